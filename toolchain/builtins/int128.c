/* SPDX-License-Identifier: MIT */
/*
 * Division and multiplication of 128-bit integers, as compilers call them.
 * Part of libgcc.a of the sysroot; runs in the sandbox, not trusted.
 */
#include "builtins.h"

/* (high:low) / divisor; high < divisor, so that the quotient fits. */
static uint64_t
divide_once(uint64_t high, uint64_t low, uint64_t divisor, uint64_t *rest)
{
	uint64_t quotient;

	__asm__("divq %4" : "=a"(quotient), "=d"(*rest) : "0"(low), "1"(high), "r"(divisor) : "cc");
	return quotient;
}

u128
__udivmodti4(u128 a, u128 b, u128 *rest)
{
	uint64_t a1 = (uint64_t) (a >> 64), b1 = (uint64_t) (b >> 64), high, low, r;
	u128 quotient, left;

	if (b > a) {
		quotient = 0;
		left = a;
	} else if (b1 == 0) {
		high = a1 / (uint64_t) b;
		low = divide_once(a1 % (uint64_t) b, (uint64_t) a, (uint64_t) b, &r);
		quotient = (u128) high << 64 | low;
		left = r;
	} else {
		/* Knuth's estimate: with the divisor's top 64 bits and half the dividend, at most one too large after
		 * the shift back. */
		int shift = __builtin_clzll(b1);
		uint64_t top = (uint64_t) ((b << shift) >> 64);

		low = divide_once(a1 >> 1, (uint64_t) (a >> 1), top, &r) >> (63 - shift);
		if (low)
			low--;
		left = a - low * b;
		if (left >= b) {
			low++;
			left -= b;
		}
		quotient = low;
	}
	if (rest)
		*rest = left;
	return quotient;
}

u128
__udivti3(u128 a, u128 b)
{
	return __udivmodti4(a, b, 0);
}

u128
__umodti3(u128 a, u128 b)
{
	u128 rest;

	__udivmodti4(a, b, &rest);
	return rest;
}

static u128
magnitude(i128 x)
{
	return x < 0 ? -(u128) x : (u128) x;
}

/* The rest has the dividend's sign. */
i128
__divmodti4(i128 a, i128 b, i128 *rest)
{
	u128 left, quotient = __udivmodti4(magnitude(a), magnitude(b), &left);

	*rest = (i128) (a < 0 ? -left : left);
	return (i128) ((a < 0) != (b < 0) ? -quotient : quotient);
}

i128
__divti3(i128 a, i128 b)
{
	i128 rest;

	return __divmodti4(a, b, &rest);
}

i128
__modti3(i128 a, i128 b)
{
	i128 rest;

	__divmodti4(a, b, &rest);
	return rest;
}

i128
__multi3(i128 a, i128 b)
{
	uint64_t a0 = (uint64_t) a, b0 = (uint64_t) b;
	uint64_t cross = (uint64_t) ((u128) a >> 64) * b0 + a0 * (uint64_t) ((u128) b >> 64);

	return (i128) ((u128) a0 * b0 + ((u128) cross << 64));
}

/* a * b modulo 2^128, and whether that is not the product. */
static u128
multiply_magnitudes(u128 a, u128 b, int *over)
{
	uint64_t a1 = (uint64_t) (a >> 64), b1 = (uint64_t) (b >> 64);
	u128 cross = (u128) a1 * (uint64_t) b + (u128) (uint64_t) a * b1;
	u128 low = (u128) (uint64_t) a * (uint64_t) b, sum = low + (cross << 64);

	/* With one high half 0, the cross product is a single one and cannot wrap. */
	*over = (a1 && b1) || cross >> 64 || sum < low;
	return sum;
}

i128
__muloti4(i128 a, i128 b, int *over)
{
	int negative = (a < 0) != (b < 0);
	u128 product = multiply_magnitudes(magnitude(a), magnitude(b), over);

	*over = *over || product > ((u128) 1 << 127) - (negative ? 0 : 1);
	return (i128) (negative ? -product : product);
}

int64_t
__mulodi4(int64_t a, int64_t b, int *over)
{
	int64_t product;

	*over = __builtin_mul_overflow(a, b, &product);
	return product;
}

i128
__ashlti3(i128 a, int by)
{
	uint64_t low = (uint64_t) a, high = (uint64_t) ((u128) a >> 64);

	if (by & 64)
		return (i128) ((u128) (low << (by & 63)) << 64);
	if (by == 0)
		return a;
	return (i128) ((u128) (high << by | low >> (64 - by)) << 64 | low << by);
}

i128
__lshrti3(i128 a, int by)
{
	uint64_t low = (uint64_t) a, high = (uint64_t) ((u128) a >> 64);

	if (by & 64)
		return (i128) (high >> (by & 63));
	if (by == 0)
		return a;
	return (i128) ((u128) (high >> by) << 64 | (low >> by | high << (64 - by)));
}

i128
__ashrti3(i128 a, int by)
{
	uint64_t low = (uint64_t) a;
	int64_t high = (int64_t) ((u128) a >> 64);

	if (by & 64)
		return (i128) ((u128) (uint64_t) (high >> 63) << 64 | (uint64_t) (high >> (by & 63)));
	if (by == 0)
		return a;
	return (i128) ((u128) (uint64_t) (high >> by) << 64 | (low >> by | (uint64_t) high << (64 - by)));
}

i128
__negti2(i128 a)
{
	return (i128) - (u128) a;
}

/* 0, 1, 2 for less, equal, greater. */
int
__cmpti2(i128 a, i128 b)
{
	return (a > b) - (a < b) + 1;
}

int
__ucmpti2(u128 a, u128 b)
{
	return (a > b) - (a < b) + 1;
}
