/* SPDX-License-Identifier: MIT */
/* What our decoder says of an instruction, for oracles that compare the same facts. */
#include "oracle.h"

#include "insn.h"

static bool
moves_rsp(const struct insn *insn)
{
	switch (insn->row->kind) {
	case PUSH:
	case POP:
	case LEAVE:
	case CALL:
	case CALL_INDIRECT:
	case RET:
		return true;
	default:
		return false;
	}
}

/* As VEX and EVEX count. */
static uint8_t
map_number(unsigned map)
{
	static const uint8_t numbers[MAPS] = {[TWO] = 1,
	    [T38] = 2,
	    [T3A] = 3,
	    [V0F] = 1,
	    [V38] = 2,
	    [V3A] = 3,
	    [E0F] = 1,
	    [E0F_W1] = 1,
	    [E38] = 2,
	    [E38_W1] = 2,
	    [E3A] = 3,
	    [E3A_W1] = 3,
	    [E5] = 5,
	    [E5_W1] = 5,
	    [E6] = 6,
	    [E6_W1] = 6};

	return numbers[map];
}

struct seen
seen_by_us(const struct insn *insn)
{
	struct seen seen = {
	    .size = insn->size,
	    .memory = insn->memory,
	    .free_memory = insn->row->flags & FREE,
	    .hint = insn->row->flags & MAYBE && insn->row->rm == (R | MEM | Gb),
	    .evex = insn->evex,
	    .w = insn->rex & REX_W,
	    .f3 = insn->prefixes & P_F3,
	    .fwait = insn->map == ONE && insn->opcode == 0x9b,
	    .map = map_number(insn->map),
	    .opcode = insn->opcode,
	    .length = insn->rounding,
	    .b = insn->evex_b,
	    .string = is_string(insn) || insn->row->kind == IMPLICIT,
	    .moves_rsp = moves_rsp(insn),
	    .written_memory = insn->row->rm & W || insn->row->kind == PUSH,
	    .base = insn->base == RIP      ? ORACLE_RIP
		    : insn->base == NO_REG ? ORACLE_NONE
					   : insn->base,
	    .index = insn->index == NO_REG ? ORACLE_NONE : insn->index,
	    .scale = insn->scale,
	    .disp = insn->disp,
	    .gs = insn->prefixes & P_GS,
	    .written = insn->written,
	    .moffs = insn->row->imm == MOFFS,
	};

	return seen;
}
