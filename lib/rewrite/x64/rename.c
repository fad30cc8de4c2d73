/* SPDX-License-Identifier: MIT */
/*
 * --rename-reserved: clang cannot be told to leave r14 and r15 alone. Each
 * function that uses one of them, together with its .cold part, gets a
 * callee-saved register that it does not use instead: as all of the function
 * agrees, callers see no difference. The clean text is changed in place. Where
 * none is free the use stays and becomes an error later. Not trusted.
 */
#include <string.h>

#include "emit.h"

/* A register that may replace a reserved one: how it is mentioned, and its spellings of the same length as %r14, %r14d,
 * … */
struct Spare {
	const char *mentions[5];
	const char *names[4]; /* of 8, 4, 2, 1 bytes */
	const char *dwarf;
};

static const struct Spare spares[] = {
    {{"%r12"}, {"%r12", "%r12d", "%r12w", "%r12b"}, "12"},
    {{"%r13"}, {"%r13", "%r13d", "%r13w", "%r13b"}, "13"},
    {{"%rbp", "%ebp", "%bp", "leave", "enter"}, {"%rbp", "%ebp ", "%bp  ", "%bpl "}, " 6"},
};

enum { SPARES = sizeof spares / sizeof spares[0] };

static const char *const reserved[2] = {"%r14", "%r15"};
static const char *const reserved_dwarf[2] = {"14", "15"};

/* What one function group uses, and what its r14 and r15 become: index + 1 in spares. */
struct Renaming {
	bool uses[2];
	bool taken[SPARES];
	int to[2];
};

/* Whether the statement belongs to a function and may name a register. */
static bool
may_name_register(const struct Statement *st)
{
	return st->function >= 0 &&
	       (st->kind == ST_INSTRUCTION || (st->kind == ST_DIRECTIVE && str_starts(st->name, ".cfi_")));
}

/* Saving and restoring alone is no use: it stays as it is. */
static void
note_uses(struct Renaming *renaming, const struct Statement *st)
{
	struct Str text = st->args;

	for (int i = 0; i < 2; i++)
		if (st->kind == ST_INSTRUCTION && !str_starts(text, "push") && !str_starts(text, "pop"))
			renaming->uses[i] |= str_find(text, reserved[i]) >= 0;
	for (int i = 0; i < SPARES; i++)
		for (int k = 0; k < 5 && spares[i].mentions[k]; k++)
			renaming->taken[i] |= str_find(text, spares[i].mentions[k]) >= 0;
}

static void
choose(struct Renaming *renaming)
{
	int spare = 0;

	for (int i = 0; i < 2; i++) {
		if (!renaming->uses[i])
			continue;
		while (spare < SPARES && renaming->taken[spare])
			spare++;
		if (spare < SPARES)
			renaming->to[i] = ++spare;
	}
}

/* Overwrites one mention at `p`; `n` bytes are left there. */
static void
replace(char *p, size_t n, const struct Spare *spare)
{
	int size = n > 4 && p[4] == 'd' ? 1 : n > 4 && p[4] == 'w' ? 2 : n > 4 && p[4] == 'b' ? 3 : 0;

	memcpy(p, spare->names[size], strlen(spare->names[size]));
}

static void
rename_in(struct Source *source, struct Str text, const struct Renaming *renaming)
{
	char *p = source->clean + (text.p - source->clean);

	for (size_t i = 0; i + 4 <= text.n; i++)
		for (int k = 0; k < 2; k++)
			if (renaming->to[k] && memcmp(p + i, reserved[k], 4) == 0) {
				replace(p + i, text.n - i, &spares[renaming->to[k] - 1]);
				break;
			}
}

/* `.cfi_offset 14, -24`: the register by its DWARF number. */
static void
rename_dwarf(struct Source *source, struct Str text, const struct Renaming *renaming)
{
	char *p = source->clean + (text.p - source->clean);

	for (int k = 0; k < 2; k++)
		if (renaming->to[k] && text.n >= 2 && memcmp(p, reserved_dwarf[k], 2) == 0 &&
		    (text.n == 2 || !source_is_name(p[2]))) {
			memcpy(p, spares[renaming->to[k] - 1].dwarf, 2);
			break;
		}
}

static bool
names_a_register_first(struct Str directive)
{
	static const char *const list[] = {".cfi_offset", ".cfi_rel_offset", ".cfi_restore", ".cfi_undefined",
	    ".cfi_same_value", ".cfi_register", ".cfi_def_cfa", ".cfi_def_cfa_register"};

	for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
		if (str_is(directive, list[i]))
			return true;
	return false;
}

static void
rename_statement(struct Source *source, const struct Statement *st, const struct Renaming *renaming)
{
	rename_in(source, st->args, renaming);
	if (names_a_register_first(st->name))
		rename_dwarf(source, st->args, renaming);
}

void
rename_reserved(struct Unit *unit)
{
	struct Renaming *all = arena_take(&unit->arena, (unit->function_count + 1) * sizeof *all);
	struct Source *source = &unit->source;

	for (size_t i = 0; i < source->count; i++)
		if (may_name_register(&source->statements[i]))
			note_uses(&all[unit->functions[source->statements[i].function].group], &source->statements[i]);
	for (size_t i = 0; i < unit->function_count; i++)
		choose(&all[i]);
	for (size_t i = 0; i < source->count; i++)
		if (may_name_register(&source->statements[i]))
			rename_statement(source, &source->statements[i],
			    &all[unit->functions[source->statements[i].function].group]);
}
