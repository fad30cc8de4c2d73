/* SPDX-License-Identifier: MIT */
/*
 * Jumps, calls, returns and runtime calls (sections 3 and 8). Calls are put at
 * a bundle's end so that what they return to is aligned. Not trusted.
 */
#include "emit.h"

/* Pads so that the next `size` bytes end at a bundle's edge. */
static void
pad_to_end(struct Emit *e, const struct Insn *insn, unsigned size)
{
	emit(e, ".p2align %u,,%u", e->bundle_log2, size - 1);
	emit(e, ".nops (%u-(.-.Llfi_base%d))&%u", e->bundle - size, insn->st->section, e->bundle - 1);
}

static void
mask(struct Emit *e, int reg)
{
	emit(e, "andl $-%u, %s", e->bundle, reg_name(reg, 4));
	emit(e, "addq %%r14, %s", reg_name(reg, 8));
}

/* `foo@GOTPCREL(%rip)` behind a star is foo itself. */
static bool
got_target(const struct Operand *op, struct Str *name)
{
	long at;

	if (!op->star || op->kind != OP_MEM || !op->has_base || op->base.kind != REG_IP)
		return false;
	at = str_find(op->disp, "@GOTPCREL");
	*name = (struct Str){op->disp.p, at > 0 ? (size_t) at : 0};
	return at > 0;
}

static bool
direct_target(struct Emit *e, const struct Insn *insn, struct Str *name)
{
	const struct Operand *op = &insn->op[0];

	if (insn->count != 1 || (op->kind != OP_TARGET && !op->star)) {
		unit_error(e->unit, insn->st, insn->name.p, "a jump or call needs one target");
		return false;
	}
	if (op->kind != OP_TARGET)
		return got_target(op, name);
	*name = op->disp;
	return true;
}

/* A target inside an instruction or group cannot be told from a good one once the code has moved. */
static bool
check_target(struct Emit *e, const struct Insn *insn, struct Str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[0] != '"' && !source_is_name(name.p[i])) {
			unit_error(e->unit, insn->st, name.p, "a jump or call may only go to a label");
			return false;
		}
	if (!str_is(name, ".") && name.n)
		return true;
	unit_error(e->unit, insn->st, name.p, "a jump or call may only go to a label");
	return false;
}

/* The register that holds an indirect target; a target in memory is loaded first. */
static int
target_register(struct Emit *e, struct Insn *insn, bool r11_is_dead)
{
	struct Operand *op = &insn->op[0];
	int reg;

	if (op->kind == OP_REG && op->reg.kind == REG_GPR && op->reg.size == 8 && op->reg.number != RSP)
		return op->reg.number;
	if (op->kind != OP_MEM) {
		unit_error(e->unit, insn->st, op->source, "this target cannot be confined");
		return REG_NONE;
	}
	reg = r11_is_dead ? R11 : scratch_take(e, insn);
	if (reg == REG_NONE)
		return reg;
	struct Insn load = {.st = insn->st, .index = insn->index, .name = STR("movq"), .count = 2};
	load.row = insn_row(load.name, &load.suffix);
	load.op[0] = *op;
	load.op[0].star = false;
	if (op->text.n && op->text.p[0] == '*')
		load.op[0].text = str_trim((struct Str){op->text.p + 1, op->text.n - 1});
	load.op[1] = (struct Operand){
	    .kind = OP_REG, .reg = {REG_GPR, reg, 8}, .text = str_format(&e->unit->arena, "%s", reg_name(reg, 8))};
	if (!confine_operand(e, &load, 0))
		return REG_NONE;
	emit_insn(e, &load);
	stack_after(e, &load);
	return reg;
}

void
control_jump(struct Emit *e, struct Insn *insn)
{
	struct Str name = {0};
	int reg;

	if (direct_target(e, insn, &name)) {
		stack_settle(e);
		if (check_target(e, insn, name))
			emit(e, "jmp %.*s", S(name));
		return;
	}
	if (insn->count != 1 || !insn->op[0].star)
		return;
	reg = target_register(e, insn, false);
	if (reg == REG_NONE)
		return;
	if (insn->op[0].kind == OP_REG)
		reg = poc_target(e, insn, reg);
	stack_settle(e);
	group_begin(e);
	mask(e, reg);
	emit(e, "jmpq *%s", reg_name(reg, 8));
	group_end(e);
}

void
control_jcc(struct Emit *e, struct Insn *insn)
{
	stack_settle(e);
	if (insn->count != 1 || insn->op[0].kind != OP_TARGET)
		unit_error(e->unit, insn->st, insn->name.p, "a conditional jump needs a label");
	else if (check_target(e, insn, insn->op[0].disp))
		emit_insn(e, insn);
}

static bool
is_debug_label(struct Str name)
{
	static const char *const prefixes[] = {".LVL", ".LBB", ".LBE", ".LBI", ".LFE", ".LEHE", ".Ltmp", ".Lfunc_end"};

	for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
		if (str_starts(name, prefixes[i]))
			return true;
	return false;
}

/* Whether the function ends with the call: then it does not return. */
static bool
ends_function(struct Emit *e, size_t index)
{
	const struct Source *source = &e->unit->source;

	for (size_t i = index + 1; i < source->count; i++) {
		const struct Statement *st = &source->statements[i];

		if (st->kind == ST_DIRECTIVE && (str_is(st->name, ".cfi_endproc") || str_is(st->name, ".size")))
			return true;
		if (st->kind == ST_INSTRUCTION || st->kind == ST_ASSIGN || !st->exec ||
		    (st->kind == ST_LABEL && !is_debug_label(st->name)))
			return false;
	}
	return false;
}

/* What a call that never returns would return to need not be aligned. */
static bool
never_returns(struct Emit *e, const struct Insn *insn, struct Str name)
{
	static const char *const names[] = {"abort", "exit", "_exit", "_Exit", "__assert_fail", "longjmp", "_longjmp",
	    "siglongjmp", "__stack_chk_fail", "_Unwind_Resume", "__cxa_throw", "__cxa_rethrow"};
	long at = str_find(name, "@");

	if (at >= 0)
		name.n = (size_t) at;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (str_is(name, names[i]))
			return true;
	return e->compiled && ends_function(e, insn->index);
}

void
control_call(struct Emit *e, struct Insn *insn)
{
	struct Str name = {0};
	int reg;

	if (direct_target(e, insn, &name)) {
		if (!check_target(e, insn, name))
			return;
		if (!never_returns(e, insn, name))
			pad_to_end(e, insn, 5);
		emit(e, "call %.*s", S(name));
		e->drift = 0;
		return;
	}
	if (insn->count != 1 || !insn->op[0].star)
		return;
	reg = target_register(e, insn, true);
	if (reg == REG_NONE)
		return;
	if (insn->op[0].kind == OP_REG)
		reg = poc_target(e, insn, reg);
	pad_to_end(e, insn, reg < R8 ? 8 : 10);
	mask(e, reg);
	emit(e, "callq *%s", reg_name(reg, 8));
	e->drift = 0;
}

/* Returns that take the caller's arguments off the stack. */
static void
return_and_pop(struct Emit *e, const struct Insn *insn)
{
	int64_t bytes;
	struct Str text = insn->op[0].text;

	if (insn->op[0].kind != OP_IMM || !str_int((struct Str){text.p + 1, text.n - 1}, &bytes) || bytes < 0 ||
	    bytes > 65535) {
		unit_error(e->unit, insn->st, insn->op[0].source, "`ret` takes a number");
		return;
	}
	emit(e, "popq %%r11");
	if (bytes) {
		group_begin(e);
		emit(e, "leal %d(%%rsp), %%esp", (int) bytes);
		emit(e, "leaq (%%rsp,%%r14), %%rsp");
		group_end(e);
	}
	group_begin(e);
	mask(e, R11);
	emit(e, "jmpq *%%r11");
	group_end(e);
	e->drift = 0;
}

/*
 * rcx makes a shorter return than r11, where callers expect it to be lost:
 * they may know the function's body (gcc's -fipa-ra).
 */
static int
return_register(struct Emit *e, const struct Insn *insn)
{
	const struct GroupFacts *facts = emit_facts(e, insn->st);

	return e->compiled && insn->st->function >= 0 && facts->clobbers_rcx && !facts->saves_rcx ? RCX : R11;
}

void
control_return(struct Emit *e, struct Insn *insn)
{
	int reg;

	if (insn->count > 0) {
		return_and_pop(e, insn);
		return;
	}
	if (e->unit->opts.single_thread) {
		group_begin(e);
		emit(e, "movq (%%rsp), %%r11");
		mask(e, R11);
		emit(e, "movq %%r11, (%%rsp)");
		emit(e, "ret");
		group_end(e);
	} else {
		reg = return_register(e, insn);
		emit(e, "popq %s", reg_name(reg, 8));
		group_begin(e);
		mask(e, reg);
		emit(e, "jmpq *%s", reg_name(reg, 8));
		group_end(e);
	}
	e->drift = 0;
}

void
control_syscall(struct Emit *e)
{
	unsigned label = e->labels++;

	stack_settle(e);
	group_begin(e);
	emit(e, "leaq .Llfi_%u(%%rip), %%r11", label);
	emit(e, "jmpq *%s(%%r14)", e->unit->opts.low_table ? "0" : "-8");
	group_end(e);
	text_printf(&e->unit->out, ".Llfi_%u:\n", label);
}

static size_t
next_instruction(const struct Source *source, size_t index)
{
	for (index++; index < source->count; index++)
		if (source->statements[index].kind != ST_COMMENT && source->statements[index].kind != ST_MARKER)
			break;
	return index;
}

bool
control_runtime_call(struct Emit *e, struct Insn *insn)
{
	const struct Source *source = &e->unit->source;
	size_t next = next_instruction(source, insn->index);
	struct Insn jump;

	if (insn->row->class != INSN_LEA || insn->count != 2 || !operand_is_reg(&insn->op[1], R11) ||
	    next >= source->count || source->statements[next].kind != ST_INSTRUCTION ||
	    str_find(source->statements[next].args, "(%r14)") < 0)
		return false;
	if (!insn_parse(e->unit, next, source->statements[next].args, &jump) || jump.row->class != INSN_JUMP ||
	    jump.count != 1 || !jump.op[0].star || !operand_uses(&jump.op[0], R14))
		return false;
	stack_settle(e);
	group_begin(e);
	emit_insn(e, insn);
	emit_insn(e, &jump);
	group_end(e);
	e->skip_until = next + 1;
	return true;
}
