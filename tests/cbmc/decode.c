/* SPDX-License-Identifier: MIT */
/*
 * Any DECODE_WINDOW bytes to an instruction: no read outside of them or of the tables, no undefined behaviour, an end;
 * and what the rules build on.
 */
#include "insn.h"

uint8_t nondet_byte(void);

int
main(void)
{
	uint8_t bytes[DECODE_WINDOW];
	struct insn insn;
	const char *reason;
	int rule;

	for (unsigned i = 0; i < DECODE_WINDOW; i++)
		bytes[i] = nondet_byte();
	rule = decode_x64(bytes, &insn, &reason);
	__CPROVER_assert(insn.size <= INSN_MAX, "no instruction is longer than 15 bytes");
	if (rule != LFI_RULE_NONE) {
		__CPROVER_assert(reason != NULL, "a refusal has a reason");
		return 0;
	}
	__CPROVER_assert(insn.size > 0, "an instruction has bytes");
	__CPROVER_assert(insn.row != NULL && insn.number != 0, "an instruction has a row");
	__CPROVER_assert(!(insn.written & ~PROTECTED), "what is written is protected registers");
	__CPROVER_assert(!insn.memory || insn.base <= NO_REG, "a base is a register, rip or none");
	__CPROVER_assert(!insn.memory || insn.index < RIP || insn.index == NO_REG, "an index is a register or none");
	__CPROVER_assert(memory_size_x64(&insn) <= 255, "an operand's size is known");
	return 0;
}
