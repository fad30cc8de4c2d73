/* SPDX-License-Identifier: MIT */
/*
 * Signatures of functions, and where the psABI puts each value of a call. Used by call.c and callback.c. Trusted.
 */
#ifndef CORE_SIG_H
#define CORE_SIG_H

#include "lfi_core.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One type. */
struct SigType {
	uint32_t size, align; /* bytes; size 0: void */
	char letter;          /* of a scalar, or '{' */
	bool is_signed;
	uint8_t shift;  /* of a scalar: 64 less its bits */
	bool memory;    /* psABI 3.2.3 class MEMORY, or X87 */
	bool x87;       /* a result in st0 */
	bool floats[2]; /* of each eightbyte: all of it is float or double */
};

#define SIG_FLOAT 16 /* reg[] of xmm0; below that: of rdi, rsi, … */

/* A parameter and its place. */
struct SigParam {
	struct SigType type;
	bool on_stack;
	uint32_t word;  /* on the stack, above the return address */
	uint8_t reg[2]; /* else: of each eightbyte */
};

struct Sig {
	struct SigType ret;
	uint32_t n;            /* parameters */
	uint32_t words;        /* on the stack */
	uint32_t ints, floats; /* registers; a hidden pointer to the result counts */
	bool simple;           /* all in registers, scalars only, and so is the result */
	struct SigParam params[];
};

/* Enough for the longest that `text` can be. 0, with the error set, when it is NULL or too long. */
size_t sig_size(const char *text);

/* Parse into `sig`, of sig_size(text) bytes. 0, or -1 with LFI_ERR_SIGNATURE naming the character. */
int sig_parse(struct Sig *sig, const char *text);

/* The bits of a scalar in an eightbyte: integers extended to 64 bits, what a float or bool leaves is 0. */
static inline uint64_t
sig_bits(const struct SigType *type, uint64_t bits)
{
	if (type->is_signed)
		return (uint64_t) ((int64_t) (bits << type->shift) >> type->shift);
	bits = bits << type->shift >> type->shift;
	return type->letter == '?' ? bits != 0 : bits;
}

#endif
