/* SPDX-License-Identifier: MIT */
/*
 * Conversions between 16-bit and wider floating point, rounded to nearest,
 * ties to even. Part of libgcc.a of the sysroot; runs in the sandbox, not trusted.
 */
#include "builtins.h"

static uint64_t
double_bits(double x)
{
	union {
		double value;
		uint64_t bits;
	} u = {x};

	return u.bits;
}

static double
half_to_double(uint16_t half)
{
	int exponent = half >> 10 & 31;
	uint64_t fraction = half & 0x3ff;
	double magnitude;
	union {
		uint64_t bits;
		double value;
	} special = {(uint64_t) 0x7ff << 52 | fraction << 42 | (uint64_t) (fraction != 0) << 51};

	if (exponent == 31)
		magnitude = special.value;
	else if (exponent == 0)
		magnitude = (double) fraction * 0x1p-24;
	else {
		special.bits = (uint64_t) (exponent - 15 + 1023) << 52 | fraction << 42;
		magnitude = special.value;
	}
	return half & 0x8000 ? -magnitude : magnitude;
}

/* `sticky` is set when bits below the double's were lost: they decide ties. */
static uint16_t
double_to_half(double x, int sticky)
{
	uint64_t bits = double_bits(x), fraction = bits & (((uint64_t) 1 << 52) - 1), rest;
	int exponent = (int) (bits >> 52 & 0x7ff) - 1023, shift = 42;
	uint16_t sign = (uint16_t) (bits >> 48 & 0x8000);
	uint32_t half;

	if (exponent == 1024)
		return (uint16_t) (sign | 0x7c00 | (fraction ? 0x200 | fraction >> 42 : 0));
	if (exponent > 15)
		return sign | 0x7c00;
	if (exponent < -26)
		return sign;
	fraction |= (uint64_t) 1 << 52;
	if (exponent < -14) {
		shift += -14 - exponent;
		half = (uint32_t) (fraction >> shift);
	} else
		half = (uint32_t) ((uint64_t) (exponent + 14) << 10) + (uint32_t) (fraction >> shift);
	rest = fraction & (((uint64_t) 1 << shift) - 1);
	if (rest > (uint64_t) 1 << (shift - 1) || (rest == (uint64_t) 1 << (shift - 1) && (sticky || (half & 1))))
		half++;
	return (uint16_t) (sign | half);
}

/* Of clang's __fp16: the 16 bits travel as an integer. */
float
__gnu_h2f_ieee(uint16_t half)
{
	return (float) half_to_double(half);
}

uint16_t
__gnu_f2h_ieee(float x)
{
	return double_to_half(x, 0);
}

#ifdef __FLT16_MANT_DIG__
static uint16_t
half_bits(_Float16 x)
{
	union {
		_Float16 value;
		uint16_t bits;
	} u = {x};

	return u.bits;
}

static _Float16
half_value(uint16_t bits)
{
	union {
		uint16_t bits;
		_Float16 value;
	} u = {bits};

	return u.value;
}

float
__extendhfsf2(_Float16 x)
{
	return (float) half_to_double(half_bits(x));
}

double
__extendhfdf2(_Float16 x)
{
	return half_to_double(half_bits(x));
}

long double
__extendhfxf2(_Float16 x)
{
	return half_to_double(half_bits(x));
}

_Float16
__truncsfhf2(float x)
{
	return half_value(double_to_half(x, 0));
}

_Float16
__truncdfhf2(double x)
{
	return half_value(double_to_half(x, 0));
}

/* Rounding to double first must not make a tie: what it loses is sticky, and rounds the double towards zero. */
_Float16
__truncxfhf2(long double x)
{
	double d = (double) x;
	union {
		double value;
		uint64_t bits;
	} u = {d};

	if ((d > 0 && d > x) || (d < 0 && d < x)) {
		u.bits--;
		d = u.value;
	}
	return half_value(double_to_half(d, d != x && d - d == 0));
}
#endif
