/* SPDX-License-Identifier: MIT */
/*
 * Writes to the stack pointer (section 5): small moves drift until an access
 * confirms them, all others go through the lower half. Not trusted.
 */
#include "emit.h"

static bool
small_move(const struct Insn *insn, int64_t *bytes)
{
	struct Str text = insn->op[0].text;
	const struct Operand *src = &insn->op[0];

	if (insn->count != 2 || !operand_is_reg(&insn->op[1], RSP) || insn->op[1].reg.size != 8)
		return false;
	if (src->kind == OP_IMM && (str_is(insn->name, "addq") || str_is(insn->name, "subq") ||
				       str_is(insn->name, "add") || str_is(insn->name, "sub")))
		return text.n > 1 && str_int((struct Str){text.p + 1, text.n - 1}, bytes);
	if (insn->row->class != INSN_LEA || src->kind != OP_MEM || !src->has_base || src->has_index ||
	    src->base.kind != REG_GPR || src->base.number != RSP || src->segment.n)
		return false;
	*bytes = 0;
	return src->disp.n == 0 || str_int(src->disp, bytes);
}

bool
stack_confirms(const struct Insn *insn)
{
	int64_t disp;

	if (insn->row->class == INSN_PUSH || insn->row->class == INSN_POP || insn->row->class == INSN_CALL ||
	    insn->row->class == INSN_RETURN || insn->row->class == INSN_LEAVE)
		return true;
	if (!(insn->row->flags & CONFIRMS) || (insn->row->class == INSN_STRING && insn->count != 2))
		return false;
	for (int i = 0; i < insn->count; i++) {
		const struct Operand *op = &insn->op[i];

		if (op->decoration.n)
			return false;
		disp = 0;
		if (op->kind == OP_MEM && !op->segment.n && op->has_base && !op->has_index &&
		    op->base.kind == REG_GPR && op->base.number == RSP && op->base.size == 8 &&
		    (op->disp.n == 0 || str_int(op->disp, &disp)) && disp + ACCESS_MAX <= CONFIRM_REACH &&
		    -disp + ACCESS_MAX <= CONFIRM_REACH)
			return true;
	}
	return false;
}

void
stack_after(struct Emit *e, const struct Insn *insn)
{
	if (stack_confirms(insn))
		e->drift = 0;
}

void
stack_settle(struct Emit *e)
{
	if (e->drift == 0)
		return;
	group_begin(e);
	emit(e, "movl %%esp, %%esp");
	emit(e, "leaq (%%rsp,%%r14), %%rsp");
	group_end(e);
	e->drift = 0;
}

/* Whether straight-line code confirms a move made at statement `index` before it jumps. */
static bool
is_confirmed_later(struct Emit *e, size_t index)
{
	const struct Source *source = &e->unit->source;
	struct Insn insn;
	int64_t bytes;

	for (size_t i = index + 1; i < source->count && i < index + 100; i++) {
		const struct Statement *st = &source->statements[i];

		if (!st->exec)
			return false;
		if (st->kind != ST_INSTRUCTION)
			continue;
		if (!insn_parse(e->unit, i, st->args, &insn))
			return false;
		if (stack_confirms(&insn))
			return true;
		if (insn.count && operand_is_reg(&insn.op[insn.count - 1], RSP) && !(insn.row->flags & READS) &&
		    !small_move(&insn, &bytes))
			return true; /* a guard follows */
		if (insn.row->class == INSN_JUMP || insn.row->class == INSN_JCC || insn.row->class == INSN_SYSCALL)
			return false;
	}
	return false;
}

/* The instruction on the lower half, then the base added again. `flags`: whether the flags must survive. */
static void
guarded(struct Emit *e, bool flags, const char *name, struct Str source)
{
	group_begin(e);
	emit(e, "%s %.*s, %%esp", name, S(source));
	emit(e, flags ? "leaq (%%rsp,%%r14), %%rsp" : "addq %%r14, %%rsp");
	group_end(e);
	e->drift = 0;
}

static bool
try_drift(struct Emit *e, struct Insn *insn)
{
	int64_t bytes, size;

	if (e->unit->opts.no_guard_elim || !small_move(insn, &bytes))
		return false;
	size = bytes < 0 ? -bytes : bytes;
	if (size > DRIFT_MAX - e->drift || !is_confirmed_later(e, insn->index))
		return false;
	emit_insn(e, insn);
	e->drift += size;
	return true;
}

static bool
source_lower_half(struct Emit *e, struct Insn *insn, struct Str *text)
{
	struct Operand *src = &insn->op[0];

	if (src->kind == OP_REG) {
		if (src->reg.kind != REG_GPR)
			return false;
		*text = str_format(&e->unit->arena, "%s", reg_name(src->reg.number, 4));
		return true;
	}
	if (src->kind == OP_MEM && !confine_operand(e, insn, 0))
		return false;
	*text = src->text;
	return true;
}

/* Ends the group that --no-segue opened for the operand, with its value in r11. */
static void
leave_group(struct Emit *e, struct Str *text)
{
	emit(e, "movl %.*s, %%r11d", S(*text));
	e->locked = false;
	group_end(e);
	*text = STR("%r11d");
}

static void
stack_set(struct Emit *e, struct Insn *insn)
{
	static const struct {
		const char *name, *lower;
		bool keeps_flags;
	} forms[] = {{"mov", "movl", true}, {"add", "addl", false}, {"sub", "subl", false}, {"and", "andl", false}};
	struct Str stem = {insn->name.p, insn->name.n - (insn->suffix == 'q')}, text;

	if (insn->row->class == INSN_LEA) {
		guarded(e, true, "leal", insn->op[0].text);
		return;
	}
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
		if (str_is(stem, forms[i].name) && insn->count == 2 && source_lower_half(e, insn, &text)) {
			if (e->locked)
				leave_group(e, &text);
			guarded(e, forms[i].keeps_flags, forms[i].lower, text);
			return;
		}
	unit_error(e->unit, insn->st, insn->name.p, "this write to the stack pointer cannot be confined");
}

static void
stack_exchange(struct Emit *e, struct Insn *insn)
{
	const struct Operand *other = &insn->op[operand_is_reg(&insn->op[0], RSP) ? 1 : 0];
	int reg;

	if (insn->count != 2 || !str_starts(insn->name, "xchg") || other->kind != OP_REG || other->reg.size != 8) {
		unit_error(e->unit, insn->st, insn->name.p, "this write to the stack pointer cannot be confined");
		return;
	}
	reg = scratch_take(e, insn);
	if (reg == REG_NONE)
		return;
	emit(e, e->unit->opts.poc ? "movl %%esp, %s" : "movq %%rsp, %s", reg_name(reg, e->unit->opts.poc ? 4 : 8));
	guarded(e, true, "movl", str_format(&e->unit->arena, "%s", reg_name(other->reg.number, 4)));
	emit(e, "movq %s, %s", reg_name(reg, 8), reg_name(other->reg.number, 8));
}

static void
stack_enter(struct Emit *e, const struct Insn *insn)
{
	int64_t bytes = 0, level = 1;

	if (insn->count == 2 && insn->op[1].text.n > 1)
		str_int((struct Str){insn->op[1].text.p + 1, insn->op[1].text.n - 1}, &level);
	if (insn->count != 2 || level != 0 ||
	    !str_int((struct Str){insn->op[0].text.p + 1, insn->op[0].text.n - 1}, &bytes)) {
		unit_error(e->unit, insn->st, insn->name.p, "`enter` with nesting cannot be confined");
		return;
	}
	emit(e, "pushq %%rbp");
	emit(e, e->unit->opts.poc ? "movl %%esp, %%ebp" : "movq %%rsp, %%rbp");
	guarded(e, true, "leal", str_format(&e->unit->arena, "-%d(%%rsp)", (int) (bytes & 0xffff)));
}

bool
stack_insn(struct Emit *e, struct Insn *insn)
{
	const struct Operand *last = insn->count ? &insn->op[insn->count - 1] : NULL;

	if (insn->row->class == INSN_LEAVE) {
		guarded(e, true, "movl", STR("%ebp"));
		emit(e, "popq %%rbp");
		return true;
	}
	if (insn->row->class == INSN_ENTER) {
		stack_enter(e, insn);
		return true;
	}
	if (insn->row->class == INSN_EXCHANGE && insn_uses(insn, RSP) &&
	    (operand_is_reg(&insn->op[0], RSP) || (last && operand_is_reg(last, RSP)))) {
		stack_exchange(e, insn);
		return true;
	}
	if (!last || !operand_is_reg(last, RSP) || (insn->row->flags & READS) || last->reg.kind != REG_GPR)
		return false;
	if (insn->row->class == INSN_POP) {
		guarded(e, true, "movl", STR("(%rsp)"));
		return true;
	}
	if (last->reg.size != 8)
		unit_error(e->unit, insn->st, last->source, "a part of the stack pointer cannot be written");
	else if (!try_drift(e, insn))
		stack_set(e, insn);
	return true;
}
