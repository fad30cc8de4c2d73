/* SPDX-License-Identifier: MIT */
/* String instructions (section 4) and xlat. Not trusted. */
#include "emit.h"

static void
put_in_sandbox(struct Emit *e, int reg)
{
	emit(e, "movl %s, %s", reg_name(reg, 4), reg_name(reg, 4));
	emit(e, "leaq (%%r14,%s), %s", reg_name(reg, 8), reg_name(reg, 8));
}

/* Loads are free under the policies below full; a store is not. */
static bool
needs(const struct Emit *e, const struct Insn *insn, unsigned which)
{
	int policy = e->unit->opts.policy;

	if (!(insn->row->flags & which) || policy == LFI_POLICY_JUMPS)
		return false;
	return policy == LFI_POLICY_FULL || (which == DST && !(insn->row->flags & READS));
}

void
string_insn(struct Emit *e, struct Insn *insn)
{
	for (int i = 0; i < insn->count; i++)
		if (insn->op[i].kind == OP_MEM && insn->op[i].segment.n && !str_is(insn->op[i].segment, "es") &&
		    !str_is(insn->op[i].segment, "ds")) {
			unit_error(e->unit, insn->st, insn->op[i].source,
			    "a string instruction with a segment cannot be confined");
			return;
		}
	insn->count = 0;
	group_begin(e);
	if (needs(e, insn, DST))
		put_in_sandbox(e, RDI);
	if (needs(e, insn, SRC))
		put_in_sandbox(e, RSI);
	emit_insn(e, insn);
	group_end(e);
	if (needs(e, insn, DST))
		poc_after_string(e, insn, RDI);
	if (needs(e, insn, SRC))
		poc_after_string(e, insn, RSI);
}
