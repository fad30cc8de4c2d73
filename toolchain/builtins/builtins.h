/* SPDX-License-Identifier: MIT */
/* What the helper functions of the compilers share. They are called by generated code only, so they have no other
 * prototypes. */
#ifndef BUILTINS_H
#define BUILTINS_H

#include <stddef.h>
#include <stdint.h>

typedef unsigned __int128 u128;
typedef __int128 i128;

_Noreturn static inline void
trap(void)
{
	__builtin_trap();
}

#endif
