/* SPDX-License-Identifier: MIT */
/* What is known about a file as a whole; see unit.h. Not trusted. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

void
unit_error(struct Unit *unit, const struct Statement *st, const char *at, const char *format, ...)
{
	const struct Source *source = &unit->source;
	bool inside = at && at >= source->clean && at <= source->clean + source->size;
	size_t offset = inside ? (size_t) (at - source->clean) : st->offset;
	size_t start = offset, end = offset;
	struct LFIDiagnostic diagnostic;
	char message[160], file[256], *text;
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	while (start > 0 && source->input[start - 1] != '\n')
		start--;
	while (end < source->size && source->input[end] != '\n')
		end++;
	text = arena_take(&unit->arena, end - start + 1);
	memcpy(text, source->input + start, end - start);
	snprintf(file, sizeof file, "%.*s", st->file.p ? (int) st->file.n : (int) strlen(unit->opts.file),
	    st->file.p ? st->file.p : unit->opts.file);
	diagnostic = (struct LFIDiagnostic){.file = file,
	    .line = st->line,
	    .column = inside ? (unsigned) (offset - start) + 1 : 0,
	    .text = text,
	    .message = message};
	if (unit->errors++ == 0)
		snprintf(unit->first_error, sizeof unit->first_error, "%.80s:%u: %s", file, st->line, message);
	if (unit->fn)
		unit->fn(&diagnostic, unit->user);
}

static unsigned
hash(struct Str name)
{
	unsigned h = 2166136261u;

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (unsigned char) name.p[i]) * 16777619u;
	return h % SYMBOL_BUCKETS;
}

struct Symbol *
unit_symbol(struct Unit *unit, struct Str name)
{
	struct Symbol **chain = &unit->symbols[hash(name)];
	struct Symbol *symbol;

	for (symbol = *chain; symbol; symbol = symbol->next)
		if (str_eq(symbol->name, name))
			return symbol;
	symbol = arena_take(&unit->arena, sizeof *symbol);
	symbol->name = name;
	symbol->label = -1;
	symbol->next = *chain;
	*chain = symbol;
	return symbol;
}

static bool
is_number(struct Str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] < '0' || name.p[i] > '9')
			return false;
	return name.n > 0;
}

long
unit_label(struct Unit *unit, size_t index, struct Str name)
{
	const struct Statement *statements = unit->source.statements;
	struct Str number = {name.p, name.n ? name.n - 1 : 0};

	if (!is_number(number) || (name.p[number.n] != 'b' && name.p[number.n] != 'f'))
		return is_number(name) ? -1 : unit_symbol(unit, name)->label;
	if (name.p[number.n] == 'b') {
		for (size_t i = index + 1; i-- > 0;)
			if (statements[i].kind == ST_LABEL && str_eq(statements[i].name, number))
				return (long) i;
	} else {
		for (size_t i = index + 1; i < unit->source.count; i++)
			if (statements[i].kind == ST_LABEL && str_eq(statements[i].name, number))
				return (long) i;
	}
	return -1;
}

/* The name at the front of an expression, without @PLT and the like. */
static struct Str
leading_name(struct Str expression)
{
	size_t n = 0;

	if (expression.n && expression.p[0] == '"') {
		for (n = 1; n < expression.n && expression.p[n] != '"';)
			n++;
		return (struct Str){expression.p, n < expression.n ? n + 1 : n};
	}
	while (n < expression.n && source_is_name(expression.p[n]) && expression.p[n] != '@')
		n++;
	return (struct Str){expression.p, n};
}

void
unit_take_addresses(struct Unit *unit, size_t index, struct Str expression)
{
	struct Str name;
	long label;

	while (expression.n) {
		if (expression.p[0] == '%') {
			expression.p++, expression.n--;
			name = leading_name(expression);
		} else {
			name = leading_name(expression);
			label = name.n ? unit_label(unit, index, name) : -1;
			if (label >= 0 && is_number(unit->source.statements[label].name))
				unit->source.statements[label].args = STR("taken");
			else if (name.n && !is_number(name))
				unit_symbol(unit, name)->taken = true;
		}
		if (name.n == 0)
			name.n = 1;
		expression.p += name.n, expression.n -= name.n <= expression.n ? name.n : expression.n;
	}
}

bool
unit_is_entry(struct Unit *unit, const struct Statement *st)
{
	struct Symbol *symbol;

	if (is_number(st->name))
		return st->args.n > 0;
	symbol = unit_symbol(unit, st->name);
	return symbol->global || symbol->taken;
}

/* Sections. */

struct SectionState {
	int current, previous;
	int stack[SECTION_STACK][2];
	int depth;
};

static bool
section_name_is_exec(struct Str name)
{
	return str_is(name, ".text") || str_starts(name, ".text.") || str_is(name, ".init") || str_is(name, ".fini") ||
	       str_starts(name, ".gnu.linkonce.t.");
}

static bool
section_flags_are_exec(struct Str args, bool otherwise)
{
	struct Str flags;

	if (!source_next_item(&args, &flags) || flags.n < 2 || flags.p[0] != '"')
		return otherwise;
	return memchr(flags.p, 'x', flags.n) != NULL;
}

static int
section_find(struct Unit *unit, struct Str name, struct Str key)
{
	for (size_t i = 0; i < unit->section_count; i++)
		if (str_eq(unit->sections[i].name, name) && (key.n == 0 || str_eq(unit->sections[i].directive, key)))
			return (int) i;
	return -1;
}

static int
section_enter(struct Unit *unit, struct Str name, struct Str args, struct Str directive)
{
	int known = section_find(unit, name, args.n ? directive : (struct Str){0});
	bool exec = section_flags_are_exec(args, section_name_is_exec(name));

	if (known >= 0)
		return known;
	unit->sections =
	    arena_grow(&unit->arena, unit->sections, unit->section_count, &unit->section_room, sizeof *unit->sections);
	unit->sections[unit->section_count] = (struct Section){.name = name, .directive = directive, .exec = exec};
	return (int) unit->section_count++;
}

static struct Str
unquote(struct Str name)
{
	if (name.n >= 2 && name.p[0] == '"')
		return (struct Str){name.p + 1, name.n - 2};
	return name;
}

static void
switch_to(struct SectionState *state, int section)
{
	state->previous = state->current;
	state->current = section;
}

static void
push_state(struct Unit *unit, struct SectionState *state, const struct Statement *st)
{
	if (state->depth == SECTION_STACK) {
		unit_error(unit, st, st->name.p, "sections are pushed too deep");
		return;
	}
	state->stack[state->depth][0] = state->current;
	state->stack[state->depth++][1] = state->previous;
}

/* What `.pushsection name, subsection, "flags"` has more than `.section`. */
static struct Str
without_subsection(struct Str args)
{
	struct Str rest = args, item;
	int64_t number;

	if (source_next_item(&rest, &item) && str_int(item, &number))
		return rest;
	return args;
}

static void
section_directive(struct Unit *unit, struct SectionState *state, const struct Statement *st)
{
	struct Str args = st->args, name = {0}, rest;
	int swapped;

	if (str_is(st->name, ".text") || str_is(st->name, ".data") || str_is(st->name, ".bss")) {
		if (args.n && !str_is(args, "0"))
			name = str_format(&unit->arena, "%.*s %.*s", S(st->name), S(args));
		switch_to(state, section_enter(unit, st->name, (struct Str){0}, name.n ? name : st->name));
	} else if (str_is(st->name, ".section") || str_is(st->name, ".pushsection")) {
		if (str_is(st->name, ".pushsection"))
			push_state(unit, state, st);
		if (!source_next_item(&args, &name)) {
			unit_error(unit, st, st->name.p, "section without a name");
			return;
		}
		rest = str_is(st->name, ".pushsection") ? without_subsection(args) : args;
		name = unquote(name);
		switch_to(state,
		    section_enter(unit, name, rest,
			str_format(&unit->arena, rest.n ? ".section %.*s,%.*s" : ".section %.*s", S(name), S(rest))));
	} else if (str_is(st->name, ".previous")) {
		swapped = state->previous;
		state->previous = state->current;
		state->current = swapped;
	} else if (str_is(st->name, ".popsection") && state->depth > 0) {
		state->current = state->stack[--state->depth][0];
		state->previous = state->stack[state->depth][1];
	}
}

/* Symbols. */

static void
mark_globals(struct Unit *unit, const struct Statement *st)
{
	struct Str rest = st->args, name;

	while (source_next_item(&rest, &name))
		unit_symbol(unit, name)->global = true;
}

static void
mark_type(struct Unit *unit, const struct Statement *st)
{
	struct Str rest = st->args, name, type;

	if (!source_next_item(&rest, &name) || !source_next_item(&rest, &type))
		return;
	if (str_ends(type, "gnu_indirect_function")) {
		unit_error(unit, st, type.p,
		    "indirect functions (IFUNC) need a dynamic resolver, which a sandbox does not have");
		return;
	}
	if (str_ends(type, "function") || str_ends(type, "STT_FUNC"))
		unit_symbol(unit, name)->function = true;
}

static bool
is_debug_section(const struct Section *section)
{
	return str_starts(section->name, ".debug") || str_starts(section->name, ".zdebug") ||
	       str_starts(section->name, ".eh_frame") || str_starts(section->name, ".stab") ||
	       str_starts(section->name, ".note") || str_starts(section->name, ".llvm") ||
	       str_starts(section->name, ".gnu.debug");
}

static bool
is_data_directive(struct Str name)
{
	static const char *const names[] = {".quad", ".8byte", ".long", ".4byte", ".int", ".value", ".short", ".2byte",
	    ".word", ".hword", ".byte", ".uleb128", ".sleb128", ".octa", ".xword", ".dword", ".set", ".equ", ".equiv",
	    ".reloc", ".dc", ".dc.b", ".dc.w", ".dc.l", ".dc.a", ".symver", ".weakref"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (str_is(name, names[i]))
			return true;
	return false;
}

/* gcc's call-site tables start and end at .LEHB and .LEHE labels, which nobody jumps to. */
static void
mark_data(struct Unit *unit, size_t index, const struct Section *section)
{
	struct Str rest = unit->source.statements[index].args, item;

	while (source_next_item(&rest, &item))
		if (!str_starts(section->name, ".gcc_except_table") ||
		    (!str_starts(item, ".LEHB") && !str_starts(item, ".LEHE")))
			unit_take_addresses(unit, index, item);
}

static void
mark_symbols(struct Unit *unit, size_t index)
{
	const struct Statement *st = &unit->source.statements[index];
	const struct Section *section = &unit->sections[st->section];

	if (st->kind == ST_ASSIGN)
		unit_take_addresses(unit, index, st->args);
	if (st->kind != ST_DIRECTIVE)
		return;
	if (str_is(st->name, ".globl") || str_is(st->name, ".global") || str_is(st->name, ".weak"))
		mark_globals(unit, st);
	else if (str_is(st->name, ".type"))
		mark_type(unit, st);
	else if (is_data_directive(st->name) && !is_debug_section(section))
		mark_data(unit, index, section);
}

/* Functions. */

static struct Str
without_cold(struct Str name)
{
	long at = str_find(name, ".cold");

	return at > 0 ? (struct Str){name.p, (size_t) at} : name;
}

static void
add_function(struct Unit *unit, struct Str name, size_t index)
{
	struct Function *function;
	struct Symbol *whole = unit_symbol(unit, without_cold(name));

	if (whole->group == 0)
		whole->group = (int) unit->function_count + 1;
	unit->functions = arena_grow(
	    &unit->arena, unit->functions, unit->function_count, &unit->function_room, sizeof *unit->functions);
	if (unit->function_count)
		unit->functions[unit->function_count - 1].end = index;
	function = &unit->functions[unit->function_count++];
	*function =
	    (struct Function){.name = name, .first = index, .end = unit->source.count, .group = whole->group - 1};
}

static void
find_functions(struct Unit *unit)
{
	struct Statement *st;

	for (size_t i = 0; i < unit->source.count; i++) {
		st = &unit->source.statements[i];
		if (st->exec && st->kind == ST_LABEL && unit_symbol(unit, st->name)->function)
			add_function(unit, st->name, i);
		if (st->exec && unit->function_count)
			st->function = (int) unit->function_count - 1;
	}
}

void
unit_analyse(struct Unit *unit)
{
	struct SectionState state = {0};
	struct Statement *st;

	section_enter(unit, STR(".text"), (struct Str){0}, STR(".text"));
	for (size_t i = 0; i < unit->source.count; i++) {
		st = &unit->source.statements[i];
		if (st->kind == ST_DIRECTIVE)
			section_directive(unit, &state, st);
		st->section = state.current;
		st->exec = unit->sections[state.current].exec;
		if (st->kind == ST_LABEL && !is_number(st->name))
			unit_symbol(unit, st->name)->label = (long) i;
	}
	for (size_t i = 0; i < unit->source.count; i++)
		mark_symbols(unit, i);
	find_functions(unit);
}
