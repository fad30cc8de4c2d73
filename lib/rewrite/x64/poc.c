/* SPDX-License-Identifier: MIT */
/*
 * Position-oblivious code: what would put the upper half of an address into a
 * register is replaced by its lower half, so that all pointers are offsets
 * from the base and a process's memory can be mapped at another base. Memory
 * operands and jumps use the lower half anyway. Only under the full policy: a
 * load or store that is not confined needs the whole address. Not trusted, and
 * not verified either: no safety depends on it.
 */
#include "emit.h"

static bool
is_plain_rsp(const struct Operand *op)
{
	return op->kind == OP_REG && op->reg.kind == REG_GPR && op->reg.number == RSP && op->reg.size == 8;
}

static void
set_register(struct Emit *e, struct Operand *op, int number, int size)
{
	op->reg = (struct Reg){REG_GPR, number, size};
	op->text = str_format(&e->unit->arena, "%s", reg_name(number, size));
}

static bool
is_wide(const struct Operand *op)
{
	return op->kind == OP_REG && op->reg.kind == REG_GPR && op->reg.size == 8;
}

/* `leaq` from the instruction or stack pointer, `movq foo@GOTPCREL(%rip)` (which linkers turn into the former). */
static bool
loads_address(const struct Insn *insn)
{
	const struct Operand *src = &insn->op[0];

	if (insn->count != 2 || src->kind != OP_MEM || src->segment.n || !is_wide(&insn->op[1]))
		return false;
	if (insn->row->class == INSN_LEA)
		return (src->has_base && (src->base.kind == REG_IP || operand_uses(src, RSP))) ||
		       operand_uses(src, RSP);
	return (str_is(insn->name, "movq") || str_is(insn->name, "mov")) && src->has_base && src->base.kind == REG_IP &&
	       str_find(src->disp, "@GOTPCREL") >= 0;
}

/* Comparing a register with the stack pointer needs no other register. */
static bool
narrow_comparison(struct Emit *e, struct Insn *insn)
{
	if (!str_starts(insn->name, "cmp") || insn->row->class != INSN_PLAIN || insn->count != 2 ||
	    !is_wide(&insn->op[0]) || !is_wide(&insn->op[1]) || !emit_facts(e, insn->st)->uses_r11)
		return false;
	insn->name = STR("cmpl");
	for (int i = 0; i < 2; i++)
		set_register(e, &insn->op[i], insn->op[i].reg.number, 4);
	return true;
}

/* The stack pointer as a value: its lower half, through another register unless the instruction just copies it. */
static bool
read_stack_pointer(struct Emit *e, struct Insn *insn)
{
	bool copy = insn->count == 2 && (str_is(insn->name, "movq") || str_is(insn->name, "mov")) &&
		    is_plain_rsp(&insn->op[0]) && is_wide(&insn->op[1]);
	int reg;

	if (copy) {
		insn->name = STR("movl");
		set_register(e, &insn->op[0], RSP, 4);
		set_register(e, &insn->op[1], insn->op[1].reg.number, 4);
		return true;
	}
	if (narrow_comparison(e, insn))
		return true;
	reg = scratch_take(e, insn);
	if (reg == REG_NONE)
		return false;
	emit(e, "movl %%esp, %s", reg_name(reg, 4));
	for (int i = 0; i < insn->count; i++)
		if (is_plain_rsp(&insn->op[i]))
			set_register(e, &insn->op[i], reg, 8);
	return true;
}

bool
poc_insn(struct Emit *e, struct Insn *insn)
{
	bool reads_rsp = false;

	if (!e->unit->opts.poc)
		return true;
	if (loads_address(insn)) {
		insn->name = insn->row->class == INSN_LEA ? STR("leal") : STR("movl");
		set_register(e, &insn->op[1], insn->op[1].reg.number, 4);
		return true;
	}
	for (int i = 0; i < insn->count; i++)
		reads_rsp |= is_plain_rsp(&insn->op[i]);
	return !reads_rsp || read_stack_pointer(e, insn);
}

/* Calls lose these; a tail call may pass all others on. */
static bool
is_lost(struct Emit *e, const struct Insn *insn, int reg)
{
	if (reg != RAX && reg != R10 && reg != R11)
		return false;
	return insn->row->class == INSN_CALL || is_dead_after(e, insn, reg);
}

int
poc_target(struct Emit *e, const struct Insn *insn, int reg)
{
	if (!e->unit->opts.poc || is_lost(e, insn, reg))
		return reg;
	if (insn->row->class != INSN_CALL && emit_facts(e, insn->st)->uses_r11 && !is_dead_after(e, insn, R11))
		return reg;
	emit(e, "movl %s, %%r11d", reg_name(reg, 4));
	return R11;
}

void
poc_after_string(struct Emit *e, const struct Insn *insn, int reg)
{
	if (e->unit->opts.poc && !is_dead_after(e, insn, reg))
		emit(e, "movl %s, %s", reg_name(reg, 4), reg_name(reg, 4));
}
