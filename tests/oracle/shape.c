/* SPDX-License-Identifier: MIT */
/*
 * Shapes of instructions: which of them deserve the time of a slow oracle. Two at once: how the memory operand and the
 * encoding's fields look, and which registers are operands. All of their products would be tens of millions.
 */
#include "insn.h"
#include "oracle.h"

/* What is not found here is new; what is pushed out is new again. */
#define BITS 21
static uint64_t shapes[1u << BITS];

/* By what the decoders treat specially: rsp and r12, rbp and r13, what is protected, what only EVEX reaches. 4 bits. */
static uint64_t
register_class(unsigned number)
{
	static const uint8_t classes[] = {[4] = 1, [5] = 2, [8] = 3, 3, 3, 3, 4, 5, 6, 7};

	return number < sizeof classes ? classes[number] : number < RIP ? 8 : number == RIP ? 9 : 10;
}

/* Opcode and prefixes; what else is the same for memory and registers. 41 bits; never 0. */
static uint64_t
encoding(const struct insn *insn)
{
	uint64_t key = insn->number;

	key = key << 5 | insn->map;
	key = key << 8 | insn->opcode;
	key = key << 9 | insn->prefixes;
	key = key << 2 | (uint64_t) insn->rex_seen << 1 | (insn->rex & REX_W ? 1 : 0);
	return key << 6 | (uint64_t) insn->rounding << 4 | insn->vex_l << 2 | insn->evex_b << 1 | insn->memory;
}

/* The size tells the displacement's. 18 bits. */
static uint64_t
fields(const struct insn *insn)
{
	uint64_t key = (uint64_t) (insn->mask != 0) << 5 | (uint64_t) insn->zeroing << 4 | insn->size;

	if (!insn->memory)
		return key;
	return key << 12 | (uint64_t) insn->scale << 8 | register_class(insn->base) << 4 | register_class(insn->index);
}

static uint64_t
operands(const struct insn *insn)
{
	uint64_t key = register_class(insn->reg) << 4 | register_class(insn->v);

	return insn->memory ? key : key << 4 | register_class(insn->rm);
}

static bool
is_new(uint64_t key)
{
	uint64_t *at = &shapes[key * 0x9e3779b97f4a7c15 >> (64 - BITS)];
	bool new = *at != key;

	*at = key;
	return new;
}

bool
is_new_shape(const struct insn *insn)
{
	uint64_t key = encoding(insn);

	return is_new(key << 19 | fields(insn)) | is_new(key << 19 | 1 << 18 | operands(insn));
}
