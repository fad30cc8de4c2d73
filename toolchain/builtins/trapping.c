/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic of -ftrapv: the result, or a trap when it does not fit. Part of
 * libgcc.a of the sysroot; runs in the sandbox, not trusted.
 */
#include "builtins.h"

#define BINARY(name, type, operation)         \
	type name(type a, type b)             \
	{                                     \
		type result;                  \
		if (operation(a, b, &result)) \
			trap();               \
		return result;                \
	}

#define UNARY(suffix, type)                                \
	type __negv##suffix(type a)                        \
	{                                                  \
		type result;                               \
		if (__builtin_sub_overflow(0, a, &result)) \
			trap();                            \
		return result;                             \
	}                                                  \
	type __absv##suffix(type a)                        \
	{                                                  \
		return a < 0 ? __negv##suffix(a) : a;      \
	}

BINARY(__addvsi3, int32_t, __builtin_add_overflow)
BINARY(__addvdi3, int64_t, __builtin_add_overflow)
BINARY(__addvti3, i128, __builtin_add_overflow)
BINARY(__subvsi3, int32_t, __builtin_sub_overflow)
BINARY(__subvdi3, int64_t, __builtin_sub_overflow)
BINARY(__subvti3, i128, __builtin_sub_overflow)
BINARY(__mulvsi3, int32_t, __builtin_mul_overflow)
BINARY(__mulvdi3, int64_t, __builtin_mul_overflow)

i128 __muloti4(i128 a, i128 b, int *over);

i128
__mulvti3(i128 a, i128 b)
{
	int over;
	i128 result = __muloti4(a, b, &over);

	if (over)
		trap();
	return result;
}

UNARY(si2, int32_t)
UNARY(di2, int64_t)
UNARY(ti2, i128)
