/* SPDX-License-Identifier: MIT */
/*
 * Scratch registers. r11 where the function does not use it (gcc is told not
 * to); else a register whose value no path of the function needs any more;
 * else r11, saved on the stack around the instruction. Not trusted.
 */
#include <string.h>

#include "emit.h"

enum { PATH_MAX_STATEMENTS = 20000 };

/* What a statement does with a register, seen from before it. */
enum Fate { FATE_GOES_ON, FATE_DEAD, FATE_LIVE };

/* Paths that still have to be followed, as statement indices. */
struct Paths {
	struct Emit *e;
	int reg;
	int group;
	size_t *todo;
	size_t count, room;
	size_t steps;
};

static bool
overwrites(const struct Insn *insn, int reg)
{
	return insn->count == 2 && (insn->row->flags & LOADS) && operand_is_reg(&insn->op[1], reg) &&
	       insn->op[1].reg.size >= 4 && !operand_uses(&insn->op[0], reg);
}

/* `xorl %eax, %eax` does not depend on the old value. */
static bool
clears(const struct Insn *insn, int reg)
{
	return insn->count == 2 && str_starts(insn->name, "xor") && operand_is_reg(&insn->op[0], reg) &&
	       operand_is_reg(&insn->op[1], reg) && insn->op[0].reg.size >= 4;
}

/* Whether the instruction may use general registers that it does not name. */
static bool
has_implicit_operands(const struct Insn *insn)
{
	static const char *const prefixes[] = {
	    "cmpxchg", "mulx", "pcmpestr", "vpcmpestr", "imul", "mul", "div", "idiv", "xlat"};

	if (insn->row->class == INSN_PUSH || insn->row->class == INSN_POP || insn->row->class == INSN_FREE)
		return false;
	if (insn->count < 2 && !(insn->row->flags & CONFIRMS))
		return !str_is(insn->name, "vzeroupper") && !str_starts(insn->name, "set");
	for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
		if (str_starts(insn->name, prefixes[i]) && (insn->count < 2 || !str_starts(insn->name, "imul")))
			return true;
	return insn->row->class == INSN_STRING && insn->count == 0;
}

static bool
is_marked_tailcall(const struct Emit *e, const struct Statement *st)
{
	const struct Source *source = &e->unit->source;
	size_t end = st->offset;

	while (end < source->size && source->input[end] != '\n')
		end++;
	return str_find((struct Str){source->input + st->offset, end - st->offset}, "TAILCALL") >= 0;
}

static void
add_path(struct Paths *paths, size_t index)
{
	paths->todo = arena_grow(&paths->e->unit->arena, paths->todo, paths->count, &paths->room, sizeof *paths->todo);
	paths->todo[paths->count++] = index;
}

static int
group_of(const struct Emit *e, const struct Statement *st)
{
	return st->function < 0 ? -1 : e->unit->functions[st->function].group;
}

/* An indirect jump inside a function goes to one of its labels whose address is taken. */
static void
add_taken_labels(struct Paths *paths)
{
	const struct Source *source = &paths->e->unit->source;
	const struct Unit *unit = paths->e->unit;

	for (size_t f = 0; f < unit->function_count; f++)
		for (size_t i = unit->functions[f].first;
		     i < unit->functions[f].end && unit->functions[f].group == paths->group; i++)
			if (i != unit->functions[f].first && source->statements[i].exec &&
			    source->statements[i].kind == ST_LABEL &&
			    unit_is_entry(paths->e->unit, &source->statements[i]))
				add_path(paths, i);
}

static enum Fate
jump_fate(struct Paths *paths, const struct Insn *insn)
{
	long label = -1;

	if (insn->count == 1 && insn->op[0].kind == OP_TARGET)
		label = unit_label(paths->e->unit, insn->index, insn->op[0].disp);
	if (label >= 0 && group_of(paths->e, &paths->e->unit->source.statements[label]) == paths->group) {
		add_path(paths, (size_t) label);
		return insn->row->class == INSN_JCC ? FATE_GOES_ON : FATE_DEAD;
	}
	if (insn->row->class == INSN_JUMP && insn->op[0].star && !is_marked_tailcall(paths->e, insn->st)) {
		add_taken_labels(paths);
		return FATE_DEAD;
	}
	if (insn->row->class == INSN_JCC && paths->reg == R11)
		return FATE_GOES_ON;
	return paths->reg == R11 ? FATE_DEAD : FATE_LIVE;
}

/*
 * Arguments may be in registers that nothing near the call names, but not in
 * rax: compilers write the count for a variadic function right before its call.
 */
static bool
is_dead_at_call(const struct Emit *e, const struct Insn *insn, int reg)
{
	return reg == R11 || (reg == RAX && e->compiled && insn->row->class == INSN_CALL);
}

static enum Fate
fate(struct Paths *paths, const struct Insn *insn)
{
	int reg = paths->reg;

	if (overwrites(insn, reg) || clears(insn, reg))
		return FATE_DEAD;
	if (insn_uses(insn, reg) || insn->name.n == 0)
		return FATE_LIVE;
	switch (insn->row->class) {
	case INSN_JUMP:
	case INSN_JCC:
		return jump_fate(paths, insn);
	case INSN_CALL:
	case INSN_SYSCALL:
		return is_dead_at_call(paths->e, insn, reg) ? FATE_DEAD : FATE_LIVE;
	case INSN_RETURN:
		return reg == RAX || reg == RDX ? FATE_LIVE : FATE_DEAD;
	default:
		return reg < R8 && has_implicit_operands(insn) ? FATE_LIVE : FATE_GOES_ON;
	}
}

/* `movb $1, %al`: from here on, reading %al is not reading the old value. */
static bool
writes_low_byte(const struct Insn *insn, int reg)
{
	return insn->count == 2 && insn->row->class == INSN_PLAIN && (insn->row->flags & LOADS) &&
	       insn->op[1].kind == OP_REG && insn->op[1].reg.kind == REG_GPR && insn->op[1].reg.number == reg &&
	       insn->op[1].reg.size == 1 && !operand_uses(&insn->op[0], reg);
}

/* `movzbl %al, %eax` */
static bool
extends_low_byte(const struct Insn *insn, int reg)
{
	return insn->count == 2 && (insn->row->flags & LOADS) && operand_is_reg(&insn->op[0], reg) &&
	       insn->op[0].reg.kind == REG_GPR && insn->op[0].reg.size == 1 && operand_is_reg(&insn->op[1], reg) &&
	       insn->op[1].reg.size >= 4;
}

static bool
reads_low_byte_only(const struct Insn *insn, int reg)
{
	for (int i = 0; i < insn->count; i++)
		if (operand_uses(&insn->op[i], reg) &&
		    (insn->op[i].kind != OP_REG || insn->op[i].reg.kind != REG_GPR || insn->op[i].reg.size != 1))
			return false;
	return insn->row->class == INSN_PLAIN && insn_uses(insn, reg) && insn->count == 2;
}

/* Follows one path until the register is dead on it (true) or may be needed (false). */
static bool
follow(struct Paths *paths, size_t index)
{
	struct Emit *e = paths->e;
	const struct Source *source = &e->unit->source;
	struct Insn insn;
	enum Fate next;
	bool low = false; /* the register's low byte is new */

	for (; index < source->count; index++) {
		const struct Statement *st = &source->statements[index];

		if (st->kind == ST_COMMENT || st->kind == ST_MARKER)
			continue;
		if (!st->exec || group_of(e, st) != paths->group || paths->steps++ > PATH_MAX_STATEMENTS)
			return false;
		if (e->seen[index] == e->seen_now)
			return true;
		if (!low)
			e->seen[index] = e->seen_now;
		if (st->kind != ST_INSTRUCTION)
			continue;
		if (!insn_parse(e->unit, index, st->args, &insn))
			return false;
		low = low || writes_low_byte(&insn, paths->reg);
		if (low && (writes_low_byte(&insn, paths->reg) || reads_low_byte_only(&insn, paths->reg)))
			continue;
		if (low && extends_low_byte(&insn, paths->reg))
			return true;
		next = fate(paths, &insn);
		if (next != FATE_GOES_ON)
			return next == FATE_DEAD;
	}
	return false;
}

bool
is_dead_after(struct Emit *e, const struct Insn *insn, int reg)
{
	struct Paths paths = {.e = e, .reg = reg, .group = group_of(e, insn->st)};

	if (!e->seen)
		e->seen = arena_take(&e->unit->arena, e->unit->source.count * sizeof *e->seen);
	e->seen_now++;
	if (insn->row->class == INSN_JUMP) {
		if (jump_fate(&paths, insn) == FATE_LIVE)
			return false;
	} else {
		add_path(&paths, insn->index + 1);
	}
	while (paths.count)
		if (!follow(&paths, paths.todo[--paths.count]))
			return false;
	return true;
}

/* Saves r11 below the red zone, without touching flags; scratch_give gets it back. */
static int
spill(struct Emit *e)
{
	stack_settle(e);
	emit(e, "leaq -128(%%rsp), %%rsp");
	emit(e, "pushq %%r11");
	e->spilled = true;
	return R11;
}

void
scratch_give(struct Emit *e)
{
	if (!e->spilled)
		return;
	emit(e, "popq %%r11");
	emit(e, "leaq 128(%%rsp), %%rsp");
	e->drift = 128;
	e->spilled = false;
	stack_settle(e);
}

int
scratch_take(struct Emit *e, const struct Insn *insn)
{
	static const int candidates[] = {R11, R10, R9, R8, RDI, RSI, RCX, RDX, RAX};
	bool jump = insn->row->class == INSN_JUMP; /* its own address registers may serve */

	if (!emit_facts(e, insn->st)->uses_r11 && !insn_uses(insn, R11))
		return R11;
	for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++)
		if ((jump || !insn_uses(insn, candidates[i])) && is_dead_after(e, insn, candidates[i]))
			return candidates[i];
	if (e->may_spill && !insn_uses(insn, RSP) && !insn_uses(insn, R11))
		return spill(e);
	unit_error(e->unit, insn->st, insn->name.p, "no register is free to confine this: the code around it uses r11");
	return REG_NONE;
}

int
scratch_for_address(struct Emit *e, const struct Insn *insn, int k)
{
	const struct Operand *last = &insn->op[insn->count - 1];

	if (k == 0 && insn->count == 2 && last->kind == OP_REG && last->reg.kind == REG_GPR &&
	    overwrites(insn, last->reg.number) && last->reg.number != RSP)
		return last->reg.number;
	return scratch_take(e, insn);
}
