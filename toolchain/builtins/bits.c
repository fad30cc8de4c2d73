/* SPDX-License-Identifier: MIT */
/*
 * Counting and swapping bits, for processors without the instructions. Part
 * of libgcc.a of the sysroot; runs in the sandbox, not trusted.
 */
#include "builtins.h"

int
__popcountdi2(uint64_t x)
{
	x -= x >> 1 & 0x5555555555555555;
	x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return (int) (x * 0x0101010101010101 >> 56);
}

int
__popcountsi2(uint32_t x)
{
	return __popcountdi2(x);
}

int
__popcountti2(u128 x)
{
	return __popcountdi2((uint64_t) x) + __popcountdi2((uint64_t) (x >> 64));
}

int
__paritydi2(uint64_t x)
{
	return __popcountdi2(x) & 1;
}

int
__paritysi2(uint32_t x)
{
	return __popcountdi2(x) & 1;
}

int
__parityti2(u128 x)
{
	return __popcountti2(x) & 1;
}

int
__clzti2(u128 x)
{
	uint64_t high = (uint64_t) (x >> 64);

	return high ? __builtin_clzll(high) : 64 + __builtin_clzll((uint64_t) x);
}

int
__clzdi2(uint64_t x)
{
	return __builtin_clzll(x);
}

int
__clzsi2(uint32_t x)
{
	return __builtin_clz(x);
}

int
__ctzti2(u128 x)
{
	return (uint64_t) x ? __builtin_ctzll((uint64_t) x) : 64 + __builtin_ctzll((uint64_t) (x >> 64));
}

int
__ctzdi2(uint64_t x)
{
	return __builtin_ctzll(x);
}

int
__ctzsi2(uint32_t x)
{
	return __builtin_ctz(x);
}

int
__ffsti2(u128 x)
{
	return x ? __ctzti2(x) + 1 : 0;
}

int
__ffsdi2(uint64_t x)
{
	return x ? __builtin_ctzll(x) + 1 : 0;
}

int
__ffssi2(uint32_t x)
{
	return x ? __builtin_ctz(x) + 1 : 0;
}

/* Copies of the sign bit below it. */
int
__clrsbti2(i128 x)
{
	u128 changed = (u128) (x < 0 ? ~x : x);

	return changed ? __clzti2(changed) - 1 : 127;
}

int
__clrsbdi2(int64_t x)
{
	uint64_t changed = (uint64_t) (x < 0 ? ~x : x);

	return changed ? __builtin_clzll(changed) - 1 : 63;
}

int
__clrsbsi2(int32_t x)
{
	return __clrsbdi2(x) - 32;
}

uint32_t
__bswapsi2(uint32_t x)
{
	x = (x & 0x00ff00ff) << 8 | (x >> 8 & 0x00ff00ff);
	return x << 16 | x >> 16;
}

uint64_t
__bswapdi2(uint64_t x)
{
	return (uint64_t) __bswapsi2((uint32_t) x) << 32 | __bswapsi2((uint32_t) (x >> 32));
}
