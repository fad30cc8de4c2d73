/* SPDX-License-Identifier: MIT */
/*
 * The x86-64 rewriter: walks over a unit's statements and writes each in its
 * confined form. Called by rewrite.c. Not trusted: docs/scheme-x64.md is
 * enforced by the verifier.
 */
#include <stdio.h>
#include <string.h>

#include "emit.h"

void
emit(struct Emit *e, const char *format, ...)
{
	char line[512];
	va_list args, copy;
	int n;

	va_start(args, format);
	va_copy(copy, args);
	n = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	text_put(&e->unit->out, STR("\t"));
	if (n < (int) sizeof line) {
		text_put(&e->unit->out, (struct Str){line, (size_t) n});
	} else {
		char *long_line = arena_take(&e->unit->arena, (size_t) n + 1);

		vsnprintf(long_line, (size_t) n + 1, format, copy);
		text_put(&e->unit->out, (struct Str){long_line, (size_t) n});
	}
	va_end(copy);
	text_put(&e->unit->out, STR("\n"));
}

struct GroupFacts *
emit_facts(struct Emit *e, const struct Statement *st)
{
	return &e->groups[st->function < 0 ? 0 : e->unit->functions[st->function].group + 1];
}

void
group_begin(struct Emit *e)
{
	emit(e, ".bundle_lock");
}

void
group_end(struct Emit *e)
{
	emit(e, ".bundle_unlock");
}

void
emit_insn(struct Emit *e, const struct Insn *insn)
{
	struct Text *out = &e->unit->out;

	text_printf(out, "\t%s%.*s%s%.*s%.*s", insn->lock ? "lock " : "", S(insn->rep), insn->rep.n ? " " : "",
	    S(insn->prefixes), S(insn->name));
	for (int i = 0; i < insn->count; i++)
		text_printf(out, "%s%.*s", i ? ", " : " ", S(insn->op[i].text));
	text_put(out, STR("\n"));
	if (e->locked) {
		e->locked = false;
		group_end(e);
	}
}

/* Before the first label or instruction of a section: aligned, with a label that padding is measured from. */
static void
begin_section(struct Emit *e, const struct Statement *st)
{
	struct Section *section = &e->unit->sections[st->section];

	if (section->begun)
		return;
	section->begun = true;
	emit(e, ".p2align %u", e->bundle_log2);
	text_printf(&e->unit->out, ".Llfi_base%d:\n", st->section);
}

static void
rewrite_label(struct Emit *e, const struct Statement *st)
{
	if (st->exec) {
		begin_section(e, st);
		if (unit_is_entry(e->unit, st))
			emit(e, ".p2align %u", e->bundle_log2);
	}
	text_printf(&e->unit->out, "%.*s:\n", S(st->name));
}

/* Instructions. */

static bool
is_context_access(const struct Insn *insn)
{
	const struct Operand *mem = &insn->op[insn->count == 2 && insn->op[1].kind == OP_MEM];
	int64_t disp;

	return insn->count == 2 && insn->row->class == INSN_PLAIN && str_starts(insn->name, "mov") &&
	       mem->kind == OP_MEM && mem->has_base && mem->base.kind == REG_GPR && mem->base.number == R15 &&
	       !mem->has_index && str_int(mem->disp, &disp) && disp == 16;
}

/* A function that does nothing with r14 but save and restore it may as well not restore it. */
static bool
is_idle_save(struct Emit *e, const struct Insn *insn)
{
	const struct Operand *op = &insn->op[0];

	return insn->count == 1 && (insn->row->class == INSN_PUSH || insn->row->class == INSN_POP) &&
	       op->kind == OP_REG && op->reg.kind == REG_GPR && op->reg.size == 8 && op->reg.number >= R14 &&
	       !emit_facts(e, insn->st)->uses_reserved[op->reg.number - R14];
}

static bool
check_reserved(struct Emit *e, const struct Insn *insn)
{
	if (is_context_access(insn) || is_idle_save(e, insn))
		return true;
	for (int i = 0; i < insn->count; i++)
		for (int reg = R14; reg <= R15; reg++)
			if (operand_uses(&insn->op[i], reg)) {
				unit_error(e->unit, insn->st, insn->op[i].source, "%s is reserved for the sandbox",
				    reg_name(reg, 8) + 1);
				return false;
			}
	return true;
}

static bool
check_operands(struct Emit *e, const struct Insn *insn)
{
	for (int i = 0; i < insn->count; i++) {
		struct Str disp = insn->op[i].disp;

		if (disp.n && disp.p[0] == '.' && (disp.n == 1 || !source_is_name(disp.p[1]))) {
			unit_error(e->unit, insn->st, insn->op[i].source, "code moves: `.` has no fixed meaning here");
			return false;
		}
		if (insn->op[i].kind == OP_REG && insn->op[i].reg.kind == REG_SEGMENT && i == insn->count - 1) {
			unit_error(e->unit, insn->st, insn->op[i].source, "segment registers cannot be written");
			return false;
		}
	}
	return check_reserved(e, insn);
}

static void
rewrite_plain(struct Emit *e, struct Insn *insn)
{
	if (is_context_access(insn)) {
		emit_insn(e, insn);
		return;
	}
	e->may_spill = true;
	if (poc_insn(e, insn) && confine_operands(e, insn)) {
		emit_insn(e, insn);
		stack_after(e, insn);
	}
	scratch_give(e);
	e->may_spill = false;
}

static void
rewrite_bittest(struct Emit *e, struct Insn *insn)
{
	int policy = e->unit->opts.policy;
	bool far = insn->count == 2 && insn->op[0].kind == OP_REG && insn->op[1].kind == OP_MEM;

	if (far && policy != LFI_POLICY_JUMPS && !(policy == LFI_POLICY_STORES && (insn->row->flags & READS)))
		unit_error(
		    e->unit, insn->st, insn->name.p, "a bit test of memory with a register index reaches anywhere");
	else
		rewrite_plain(e, insn);
}

static void
rewrite_gather(struct Emit *e, struct Insn *insn)
{
	int policy = e->unit->opts.policy;

	if (policy == LFI_POLICY_JUMPS || (policy == LFI_POLICY_STORES && (insn->row->flags & READS)))
		emit_insn(e, insn);
	else
		unit_error(e->unit, insn->st, insn->name.p, "gathers and scatters cannot be confined");
}

static void
rewrite_xlat(struct Emit *e, struct Insn *insn)
{
	int reg;

	e->may_spill = true;
	reg = scratch_take(e, insn);
	e->may_spill = false;
	if (reg == REG_NONE)
		return;
	emit(e, "movzbl %%al, %s", reg_name(reg, 4));
	emit(e, e->unit->opts.policy == LFI_POLICY_FULL ? "movb %%gs:(%%ebx,%s), %%al" : "movb (%%rbx,%s), %%al",
	    reg_name(reg, e->unit->opts.policy == LFI_POLICY_FULL ? 4 : 8));
	scratch_give(e);
}

static void
rewrite_string(struct Emit *e, struct Insn *insn)
{
	for (int i = 0; i < insn->count; i++)
		if (insn->op[i].kind == OP_IMM || (insn->op[i].kind == OP_REG && insn->op[i].reg.kind != REG_GPR) ||
		    (insn->op[i].kind == OP_REG && str_starts(insn->name, "movs"))) {
			rewrite_plain(e, insn);
			return;
		}
	string_insn(e, insn);
}

static void
rewrite_class(struct Emit *e, struct Insn *insn)
{
	switch (insn->row->class) {
	case INSN_BAD:
		unit_error(
		    e->unit, insn->st, insn->name.p, "`%.*s` cannot be confined: %s", S(insn->name), insn->row->note);
		break;
	case INSN_JUMP:
		control_jump(e, insn);
		break;
	case INSN_JCC:
		control_jcc(e, insn);
		break;
	case INSN_CALL:
		control_call(e, insn);
		break;
	case INSN_RETURN:
		control_return(e, insn);
		break;
	case INSN_SYSCALL:
		control_syscall(e);
		break;
	case INSN_STRING:
		rewrite_string(e, insn);
		break;
	case INSN_XLAT:
		rewrite_xlat(e, insn);
		break;
	case INSN_BITTEST:
		rewrite_bittest(e, insn);
		break;
	case INSN_GATHER:
		rewrite_gather(e, insn);
		break;
	default:
		rewrite_plain(e, insn);
	}
}

/* Local-exec stands for all thread-local models: a static program needs no other. */
static struct Str
as_local_exec(struct Emit *e, struct Str text)
{
	long at = str_find(text, "@dtpoff");
	size_t skip = (size_t) at + sizeof "@dtpoff" - 1;

	if (at < 0)
		return text;
	return str_format(&e->unit->arena, "%.*s@tpoff%.*s", (int) at, text.p, (int) (text.n - skip), text.p + skip);
}

/* `leaq x@tlsgd(%rip), %rdi` up to the call of __tls_get_addr becomes the address itself in rax. */
static bool
rewrite_tls_call(struct Emit *e, const struct Insn *insn)
{
	const struct Source *source = &e->unit->source;
	long at = insn->count == 2 ? str_find(insn->op[0].disp, "@tls") : -1;
	bool general = at >= 0 && str_find(insn->op[0].disp, "@tlsgd") >= 0;

	if (at < 0 || insn->row->class != INSN_LEA)
		return false;
	for (size_t i = insn->index + 1; i < source->count && i < insn->index + 12; i++)
		if (str_find(source->statements[i].args, "__tls_get_addr") >= 0) {
			emit(e, "movq 16(%%r15), %%rax");
			if (general)
				emit(e, "leaq %.*s@tpoff(%%rax), %%rax", (int) at, insn->op[0].disp.p);
			e->skip_until = i + 1;
			return true;
		}
	unit_error(e->unit, insn->st, insn->op[0].source, "no call of __tls_get_addr follows");
	return true;
}

static bool
rewrite_special_move(struct Emit *e, struct Insn *insn)
{
	return control_runtime_call(e, insn) || rewrite_tls_call(e, insn) ||
	       (check_operands(e, insn) ? stack_insn(e, insn) : true);
}

static void
rewrite_instruction(struct Emit *e, size_t index)
{
	struct Statement *st = &e->unit->source.statements[index];
	struct Str text = as_local_exec(e, st->args);
	struct Insn insn;

	if (str_is(e->unit->sections[st->section].name, ".init") ||
	    str_is(e->unit->sections[st->section].name, ".fini")) {
		unit_error(e->unit, st, st->name.p, "code in %.*s: use .init_array and .fini_array",
		    S(e->unit->sections[st->section].name));
		return;
	}
	begin_section(e, st);
	if (e->stash.n)
		text = str_format(&e->unit->arena, "%.*s %.*s", S(e->stash), S(text));
	e->stash = STR("");
	if (!insn_parse(e->unit, index, text, &insn))
		return;
	if (insn.name.n == 0) {
		e->stash = text;
		return;
	}
	if (insn.row->class == INSN_POP && is_idle_save(e, &insn) &&
	    !insn_parse(e->unit, index, STR("leaq 8(%rsp), %rsp"), &insn))
		return;
	if (!rewrite_special_move(e, &insn))
		rewrite_class(e, &insn);
}

/* Directives. */

static bool
is_one_of(struct Str name, const char *const *list)
{
	for (; *list; list++)
		if (str_is(name, *list))
			return true;
	return false;
}

static bool
is_section_directive(struct Str name)
{
	static const char *const list[] = {
	    ".section", ".pushsection", ".popsection", ".previous", ".text", ".data", ".bss", ".subsection", NULL};

	return is_one_of(name, list);
}

/* What puts no bytes into a section of code. */
static bool
is_harmless(struct Str name)
{
	static const char *const list[] = {".globl", ".global", ".weak", ".hidden", ".protected", ".internal", ".local",
	    ".type", ".size", ".file", ".loc", ".ident", ".set", ".equ", ".equiv", ".addrsig", ".addrsig_sym",
	    ".symver", ".comm", ".lcomm", ".att_syntax", ".code64", ".if", ".ifdef", ".ifndef", ".ifc", ".ifnc",
	    ".ifeq", ".ifne", ".ifb", ".ifnb", ".ifgt", ".iflt", ".ifge", ".ifle", ".ifeqs", ".ifnes", ".else",
	    ".elseif", ".endif", ".err", ".error", ".warning", ".print", ".title", ".sbttl", ".ln", ".line", ".arch",
	    ".version", ".loc_mark_labels", ".func", ".endfunc", ".desc", ".weakref", ".extern", ".end",
	    ".gnu_attribute", ".stabs", ".stabn", ".stabd", ".cg_profile", ".lto_discard", NULL};

	return str_starts(name, ".cfi_") || is_one_of(name, list);
}

static bool
is_alignment(struct Str name)
{
	static const char *const list[] = {
	    ".p2align", ".align", ".balign", ".p2alignw", ".p2alignl", ".balignw", ".balignl", NULL};

	return is_one_of(name, list);
}

/* Bytes that are a known instruction, or belong to a thread-local access that is replaced. */
static bool
rewrite_bytes(struct Emit *e, size_t index)
{
	const struct Statement *st = &e->unit->source.statements[index];
	struct Insn insn = {.st = &e->unit->source.statements[index], .index = index};
	const struct Source *source = &e->unit->source;

	if (!str_is(st->name, ".byte"))
		return false;
	if (str_is(st->args, "0x66") && index + 1 < source->count &&
	    str_find(source->statements[index + 1].args, "@tlsgd") >= 0)
		return true;
	if (!str_is(st->args, "0xf3,0xc3") && !str_is(st->args, "0xf3, 0xc3"))
		return false;
	begin_section(e, st);
	control_return(e, &insn);
	return true;
}

static void
rewrite_code_directive(struct Emit *e, size_t index)
{
	const struct Statement *st = &e->unit->source.statements[index];

	if (is_alignment(st->name) || rewrite_bytes(e, index))
		return;
	if (is_harmless(st->name))
		emit(e, "%.*s %.*s", S(st->name), S(st->args));
	else
		unit_error(e->unit, st, st->name.p, "`%.*s` in a section of code cannot be confined", S(st->name));
}

static void
rewrite_directive(struct Emit *e, size_t index)
{
	static const char *const refused[] = {".macro", ".rept", ".irp", ".irpc", ".altmacro", ".include", ".code32",
	    ".code16", ".code16gcc", ".intel_syntax", ".bundle_align_mode", ".bundle_lock", ".bundle_unlock", NULL};
	const struct Statement *st = &e->unit->source.statements[index];

	if (is_one_of(st->name, refused)) {
		unit_error(e->unit, st, st->name.p, "`%.*s` cannot be confined", S(st->name));
	} else if (is_section_directive(st->name)) {
		stack_settle(e);
		emit(e, "%.*s %.*s", S(st->name), S(st->args));
	} else if (st->exec) {
		rewrite_code_directive(e, index);
	} else {
		emit(e, "%.*s %.*s", S(st->name), S(st->args));
	}
}

static void
rewrite_statement(struct Emit *e, size_t index)
{
	const struct Statement *st = &e->unit->source.statements[index];

	switch (st->kind) {
	case ST_LABEL:
		rewrite_label(e, st);
		break;
	case ST_ASSIGN:
		emit(e, "%.*s = %.*s", S(st->name), S(st->args));
		break;
	case ST_DIRECTIVE:
		rewrite_directive(e, index);
		break;
	case ST_INSTRUCTION:
		if (st->exec)
			rewrite_instruction(e, index);
		else
			emit(e, "%.*s", S(st->args));
		break;
	case ST_COMMENT:
	case ST_MARKER:
		text_printf(&e->unit->out, "%.*s\n", S(st->args));
		break;
	}
}

/* Analysis that needs to know instructions. */

static bool
is_undefined(struct Unit *unit, size_t index, struct Str target)
{
	long at = str_find(target, "@");

	target.n = at >= 0 ? (size_t) at : target.n;
	return target.n == 0 || target.p[0] == '*' || unit_label(unit, index, target) < 0;
}

/* `leaq L(%rip), %r11` in front of a jump through the table: r11 is dead before it. */
static bool
is_runtime_call(struct Emit *e, size_t index, const struct InsnRow *row)
{
	const struct Source *source = &e->unit->source;

	return row->class == INSN_LEA && index + 1 < source->count &&
	       str_find(source->statements[index + 1].args, "(%r14)") >= 0;
}

static void
note_facts(struct Emit *e, size_t index, const struct InsnRow *row, struct Str operands)
{
	struct GroupFacts *facts = emit_facts(e, &e->unit->source.statements[index]);

	if (str_find(operands, "%r11") >= 0 && !is_runtime_call(e, index, row))
		facts->uses_r11 = true;
	if (row->class != INSN_PUSH && row->class != INSN_POP) {
		facts->uses_reserved[0] |= str_find(operands, "%r14") >= 0;
		facts->uses_reserved[1] |= str_find(operands, "%r15") >= 0;
	}
	if (row->class == INSN_PUSH && str_is(operands, "%rcx"))
		facts->saves_rcx = true;
	if ((row->flags & LOADS) && (str_ends(operands, ",%ecx") || str_ends(operands, ", %ecx") ||
					str_ends(operands, ",%rcx") || str_ends(operands, ", %rcx")))
		facts->clobbers_rcx = true;
	if (row->class == INSN_CALL && is_undefined(e->unit, index, operands))
		facts->clobbers_rcx = true;
}

static void
scan_instruction(struct Emit *e, size_t index)
{
	struct Str rest = e->unit->source.statements[index].args, item;
	struct Str name = {rest.p, 0};
	const struct InsnRow *row;
	char suffix;

	while (name.n < rest.n && rest.p[name.n] != ' ' && rest.p[name.n] != '\t')
		name.n++;
	rest.p += name.n, rest.n -= name.n;
	rest = str_trim(rest);
	row = insn_row(name, &suffix);
	note_facts(e, index, row, rest);
	if ((row->class == INSN_JUMP || row->class == INSN_JCC || row->class == INSN_CALL) &&
	    !memchr(rest.p, '*', rest.n))
		return;
	while (source_next_item(&rest, &item))
		unit_take_addresses(e->unit, index, item);
}

static bool
is_compiler_mark(const struct Statement *st)
{
	return st->kind == ST_DIRECTIVE && str_is(st->name, ".ident") &&
	       (str_find(st->args, "GCC: ") >= 0 || str_find(st->args, "clang version") >= 0);
}

static void
scan(struct Emit *e)
{
	const struct Source *source = &e->unit->source;

	e->groups = arena_take(&e->unit->arena, (e->unit->function_count + 1) * sizeof *e->groups);
	for (size_t i = 0; i < source->count; i++)
		if (is_compiler_mark(&source->statements[i]))
			e->compiled = true;
		else if (source->statements[i].kind == ST_INSTRUCTION && source->statements[i].exec)
			scan_instruction(e, i);
}

/* Sections of code end at a bundle's edge, so that linkers put nothing between them. */
static void
end_sections(struct Emit *e)
{
	for (size_t i = 0; i < e->unit->section_count; i++)
		if (e->unit->sections[i].begun) {
			emit(e, "%.*s", S(e->unit->sections[i].directive));
			emit(e, ".p2align %u", e->bundle_log2);
		}
}

/* Marks the object as confined (docs/scheme-arm64.md, last section). */
static void
put_note(struct Emit *e)
{
	emit(e, ".section .note.LFI.ABI.x86_64,\"a\",@note");
	emit(e, ".p2align 2");
	emit(e, ".long 4, 7, 1");
	emit(e, ".asciz \"LFI\"");
	emit(e, ".asciz \"x86_64\"");
	emit(e, ".p2align 2");
}

void
x64_rewrite(struct Unit *unit)
{
	struct Emit e = {.unit = unit, .bundle = unit->opts.bundle, .bundle_log2 = unit->opts.bundle == 16 ? 4 : 5};

	if (unit->opts.rename_reserved)
		rename_reserved(unit);
	scan(&e);
	emit(&e, ".bundle_align_mode %u", e.bundle_log2);
	for (size_t i = 0; i < unit->source.count; i++)
		if (i >= e.skip_until || unit->source.statements[i].kind == ST_MARKER)
			rewrite_statement(&e, i);
	stack_settle(&e);
	end_sections(&e);
	put_note(&e);
}
