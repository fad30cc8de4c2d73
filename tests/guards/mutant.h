/* SPDX-License-Identifier: MIT */
/* What guards.py makes of `if (condition)`: `if ((condition) && mutant(n))`. Never part of the library. */
#ifndef MUTANT_H
#define MUTANT_H

extern int mutant_removed;                      /* the guard that is never taken; 0: none */
extern volatile unsigned char *mutant_was_true; /* by guard: its condition has held once */

static inline int
mutant(int n)
{
	mutant_was_true[n] = 1;
	return n != mutant_removed;
}

#endif
