/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic on untrusted sizes that says when it overflows, and alignment.
 * Trusted.
 */
#ifndef BASE_CHECKED_H
#define BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool
checked_add(uint64_t a, uint64_t b, uint64_t *out)
{
	return !__builtin_add_overflow(a, b, out);
}

static inline bool
checked_mul(uint64_t a, uint64_t b, uint64_t *out)
{
	return !__builtin_mul_overflow(a, b, out);
}

/* `align` is a power of two. */
static inline uint64_t
align_down(uint64_t x, uint64_t align)
{
	return x & ~(align - 1);
}

/* False when rounding up leaves 64 bits. */
static inline bool
checked_align_up(uint64_t x, uint64_t align, uint64_t *out)
{
	if (!checked_add(x, align - 1, out))
		return false;
	*out = align_down(*out, align);
	return true;
}

/* Whether [start, start + size) lies in [low, high), without overflow. */
static inline bool
range_within(uint64_t start, uint64_t size, uint64_t low, uint64_t high)
{
	return start >= low && start <= high && size <= high - start;
}

#endif
