/* SPDX-License-Identifier: MIT */
/*
 * Memory operands (section 4): through gs, through r14 (--no-segue), through
 * rsp as they are, thread-local ones through the context block (section 7).
 * Not trusted.
 */
#include <string.h>

#include "emit.h"

static bool
is_written(const struct Insn *insn, int k)
{
	if (insn->row->flags & READS)
		return false;
	return k == insn->count - 1 || insn->row->class == INSN_EXCHANGE;
}

bool
is_rsp_form(const struct Emit *e, const struct Operand *op)
{
	int64_t disp = 0;

	if (op->kind != OP_MEM || op->segment.n || !op->has_base || op->has_index || op->base.kind != REG_GPR ||
	    op->base.number != RSP || op->base.size != 8)
		return false;
	if (op->disp.n && !str_int(op->disp, &disp))
		return false;
	return disp <= RSP_REACH && disp >= -RSP_REACH &&
	       e->drift + (disp < 0 ? -disp : disp) + ACCESS_MAX <= DRIFT_MAX + RSP_REACH;
}

static bool
is_ip_form(const struct Operand *op)
{
	return op->has_base && op->base.kind == REG_IP;
}

static bool
must_confine(const struct Emit *e, const struct Insn *insn, int k)
{
	const struct Operand *op = &insn->op[k];

	if (insn->row->class == INSN_FREE || insn->row->class == INSN_LEA || is_ip_form(op))
		return false;
	if (e->unit->opts.policy == LFI_POLICY_JUMPS)
		return false;
	if (e->unit->opts.policy == LFI_POLICY_STORES && !is_written(insn, k))
		return false;
	return !is_rsp_form(e, op);
}

/* The operand's text with 32-bit registers behind gs. */
static struct Str
gs_text(struct Emit *e, const struct Operand *op)
{
	struct Arena *arena = &e->unit->arena;
	const char *base = op->has_base ? reg_name(op->base.number, 4) : "";

	if (op->has_index)
		return str_format(arena, "%%gs:%.*s(%s,%s%s%.*s)%.*s", S(op->disp), base, reg_name(op->index.number, 4),
		    op->scale.n ? "," : "", S(op->scale), S(op->decoration));
	return str_format(arena, "%%gs:%.*s(%s)%.*s", S(op->disp), base, S(op->decoration));
}

/* An address without registers. As a displacement the assembler might choose the form without ModRM for the
 * accumulator. */
static bool
confine_absolute(struct Emit *e, struct Insn *insn, int k)
{
	struct Operand *op = &insn->op[k];
	const struct Operand *other = &insn->op[1 - k % 2];
	int reg;

	if (!str_starts(insn->name, "mov") || insn->count != 2 || !operand_is_reg(other, RAX)) {
		insn->prefixes = str_format(&e->unit->arena, "addr32 %.*s", S(insn->prefixes));
		op->text = str_format(&e->unit->arena, "%%gs:%.*s%.*s", S(op->disp), S(op->decoration));
		return true;
	}
	reg = scratch_for_address(e, insn, k);
	if (reg == REG_NONE)
		return false;
	if (str_starts(insn->name, "movabs")) {
		insn->name = insn->suffix ? str_format(&e->unit->arena, "mov%c", insn->suffix) : STR("mov");
		emit(e, "movabsq $%.*s, %s", S(op->disp), reg_name(reg, 8));
	} else {
		emit(e, "movl $%.*s, %s", S(op->disp), reg_name(reg, 4));
	}
	op->text = str_format(&e->unit->arena, "%%gs:(%s)", reg_name(reg, 4));
	return true;
}

/* Thread-local operands. */

static bool
is_zero(struct Str disp)
{
	int64_t value;

	return disp.n == 0 || (str_int(disp, &value) && value == 0);
}

/* `%fs:0` read into a register is the thread pointer itself. */
static bool
confine_thread_pointer(struct Emit *e, struct Insn *insn, int k)
{
	struct Operand *op = &insn->op[k];
	const struct Operand *last = &insn->op[insn->count - 1];
	int reg;

	if (!is_zero(op->disp) || op->has_base || op->has_index || k != 0 || insn->count != 2 || last->kind != OP_REG ||
	    last->reg.size != 8 || last->reg.kind != REG_GPR)
		return false;
	if (str_is(insn->name, "movq") || str_is(insn->name, "mov")) {
		op->text = STR("16(%r15)");
		return true;
	}
	reg = scratch_take(e, insn);
	if (reg == REG_NONE)
		return true;
	emit(e, "movq 16(%%r15), %s", reg_name(reg, 8));
	op->text = str_format(&e->unit->arena, "%s", reg_name(reg, 8));
	return true;
}

/* Turns the operand into an ordinary one that starts at the thread pointer in a register. */
static bool
resolve_thread_local(struct Emit *e, struct Insn *insn, int k)
{
	struct Operand *op = &insn->op[k];
	int reg = scratch_for_address(e, insn, k);

	if (reg == REG_NONE)
		return false;
	emit(e, "movq 16(%%r15), %s", reg_name(reg, 8));
	if (memchr(op->disp.p, '@', op->disp.n)) {
		emit(e, "leaq %.*s(%s), %s", S(op->disp), reg_name(reg, 8), reg_name(reg, 8));
		op->disp = STR("");
	}
	if (op->has_base && op->has_index) {
		emit(e, "leaq (%s,%s), %s", reg_name(reg, 8), reg_name(op->base.number, 8), reg_name(reg, 8));
	} else if (op->has_base) {
		op->has_index = true;
		op->index = op->base;
	}
	op->has_base = true;
	op->base = (struct Reg){REG_GPR, reg, 8};
	op->segment = STR("");
	op->text = str_format(&e->unit->arena, op->has_index ? "%.*s(%s,%s%s%.*s)%.*s" : "%.*s(%s%s%s%.*s)%.*s",
	    S(op->disp), reg_name(reg, 8), op->has_index ? reg_name(op->index.number, 8) : "", op->scale.n ? "," : "",
	    S(op->scale), S(op->decoration));
	return true;
}

/* --no-segue: the address in a register's lower half, then through r14. False when no such form is possible. */
static bool
confine_by_r14(struct Emit *e, struct Insn *insn, int k)
{
	struct Operand *op = &insn->op[k];
	int64_t disp = 0;
	bool small = op->disp.n == 0 || (str_int(op->disp, &disp) && disp >= -RSP_REACH && disp <= RSP_REACH);
	const struct Operand *last = &insn->op[insn->count - 1];
	int reg = R11;

	for (int i = 0; i < insn->count; i++)
		if (insn->op[i].kind == OP_REG && insn->op[i].reg.kind == REG_HIGH)
			return false;
	if (k == 0 && insn->count == 2 && last->kind == OP_REG && last->reg.kind == REG_GPR &&
	    last->reg.number != RSP && last->reg.size >= 4 && (insn->row->flags & LOADS))
		reg = last->reg.number;
	else if (emit_facts(e, insn->st)->uses_r11 || insn_uses(insn, R11))
		return false;
	if (e->bundle < 32 && (!small || op->has_index)) {
		emit(e, "leal %.*s(%s%s%s%s%.*s), %s", S(op->disp), op->has_base ? reg_name(op->base.number, 8) : "",
		    op->has_index ? "," : "", op->has_index ? reg_name(op->index.number, 8) : "",
		    op->scale.n ? "," : "", S(op->scale), reg_name(reg, 4));
		op->disp = STR("");
		op->has_base = true;
		op->has_index = false;
		op->base = (struct Reg){REG_GPR, reg, 8};
		small = true;
	}
	group_begin(e);
	e->locked = true;
	if (op->has_base && !op->has_index && small) {
		emit(e, "movl %s, %s", reg_name(op->base.number, 4), reg_name(reg, 4));
		op->text =
		    str_format(&e->unit->arena, "%.*s(%%r14,%s)%.*s", S(op->disp), reg_name(reg, 8), S(op->decoration));
		return true;
	}
	emit(e, "leal %.*s(%s%s%s%s%.*s), %s", S(op->disp), op->has_base ? reg_name(op->base.number, 8) : "",
	    op->has_index ? "," : "", op->has_index ? reg_name(op->index.number, 8) : "", op->scale.n ? "," : "",
	    S(op->scale), reg_name(reg, 4));
	op->text = str_format(&e->unit->arena, "(%%r14,%s)%.*s", reg_name(reg, 8), S(op->decoration));
	return true;
}

static bool
check_segment(struct Emit *e, const struct Insn *insn, const struct Operand *op)
{
	if (!str_is(op->segment, "gs"))
		return true;
	unit_error(e->unit, insn->st, op->source, "gs belongs to the sandbox");
	return false;
}

static bool
check_address(struct Emit *e, const struct Insn *insn, const struct Operand *op)
{
	if ((op->has_base && op->base.kind != REG_GPR) || (op->has_index && op->index.kind != REG_GPR)) {
		unit_error(e->unit, insn->st, op->source, "this kind of address cannot be confined");
		return false;
	}
	return true;
}

bool
confine_operand(struct Emit *e, struct Insn *insn, int k)
{
	struct Operand *op = &insn->op[k];

	if (op->kind != OP_MEM)
		return true;
	if (!check_segment(e, insn, op))
		return false;
	if (str_is(op->segment, "fs")) {
		if (confine_thread_pointer(e, insn, k))
			return true;
		if (!resolve_thread_local(e, insn, k))
			return false;
	}
	op->segment = STR("");
	if (!must_confine(e, insn, k))
		return true;
	if (!check_address(e, insn, op))
		return false;
	if (!op->has_base && !op->has_index)
		return confine_absolute(e, insn, k);
	if (e->unit->opts.no_segue && confine_by_r14(e, insn, k))
		return true;
	op->text = gs_text(e, op);
	return true;
}

bool
confine_operands(struct Emit *e, struct Insn *insn)
{
	for (int k = 0; k < insn->count; k++)
		if (!confine_operand(e, insn, k))
			return false;
	return true;
}
