/* SPDX-License-Identifier: MIT */
/*
 * Conversions between 128-bit integers and floating point, rounded once and
 * to nearest. Part of libgcc.a of the sysroot; runs in the sandbox, not trusted.
 */
#include "builtins.h"

/*
 * The top 64 bits of x, the lowest of them also set when anything below is: enough for a type of at most 62 bits of
 * precision to be rounded right. *shift says how far they stand too low.
 */
static uint64_t
top_bits(u128 x, int *shift)
{
	uint64_t high = (uint64_t) (x >> 64);

	*shift = high ? 64 - __builtin_clzll(high) : 0;
	if (*shift == 0)
		return (uint64_t) x;
	return (uint64_t) (x >> *shift) | ((x & (((u128) 1 << *shift) - 1)) != 0);
}

static double
power_of_two(int n)
{
	union {
		uint64_t bits;
		double value;
	} power = {(uint64_t) (n + 1023) << 52};

	return power.value;
}

double
__floatuntidf(u128 x)
{
	int shift;
	uint64_t top = top_bits(x, &shift);

	return (double) top * power_of_two(shift);
}

float
__floatuntisf(u128 x)
{
	int shift;
	uint64_t top = top_bits(x, &shift);

	return (float) top * (float) power_of_two(shift);
}

/* Both halves are exact; the sum rounds. */
long double
__floatuntixf(u128 x)
{
	return (long double) (uint64_t) (x >> 64) * 0x1p64L + (long double) (uint64_t) x;
}

double
__floattidf(i128 x)
{
	return x < 0 ? -__floatuntidf(-(u128) x) : __floatuntidf((u128) x);
}

float
__floattisf(i128 x)
{
	return x < 0 ? -__floatuntisf(-(u128) x) : __floatuntisf((u128) x);
}

long double
__floattixf(i128 x)
{
	return x < 0 ? -__floatuntixf(-(u128) x) : __floatuntixf((u128) x);
}

u128
__fixunsxfti(long double x)
{
	uint64_t high;

	if (!(x >= 1))
		return 0;
	if (x < 0x1p64L)
		return (uint64_t) x;
	high = (uint64_t) (x * 0x1p-64L);
	return (u128) high << 64 | (uint64_t) (x - (long double) high * 0x1p64L);
}

u128
__fixunsdfti(double x)
{
	return __fixunsxfti(x);
}

u128
__fixunssfti(float x)
{
	return __fixunsxfti(x);
}

i128
__fixxfti(long double x)
{
	return (i128) (x < 0 ? -__fixunsxfti(-x) : __fixunsxfti(x));
}

i128
__fixdfti(double x)
{
	return __fixxfti(x);
}

i128
__fixsfti(float x)
{
	return __fixxfti(x);
}

/* Of older code generators: unsigned 64-bit values. */
uint64_t
__fixunsdfdi(double x)
{
	return (uint64_t) x;
}

uint64_t
__fixunssfdi(float x)
{
	return (uint64_t) x;
}

uint64_t
__fixunsxfdi(long double x)
{
	return x < 0x1p63L ? (uint64_t) (int64_t) x : (uint64_t) (int64_t) (x - 0x1p63L) + ((uint64_t) 1 << 63);
}
