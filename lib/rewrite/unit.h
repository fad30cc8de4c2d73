/* SPDX-License-Identifier: MIT */
/*
 * One file to be rewritten, and what is known about it as a whole: its
 * sections, its symbols and which of them can be reached indirectly, its
 * functions. The same for every architecture. Called by rewrite.c and the
 * architecture folders. Not trusted.
 */
#ifndef REWRITE_UNIT_H
#define REWRITE_UNIT_H

#include <lfi/lfi_rewrite.h>

#include "source.h"

struct Section {
	struct Str name;
	struct Str directive; /* what enters it again */
	bool exec;
	bool begun; /* its base label has been written */
};

struct Symbol {
	struct Str name;
	struct Symbol *next; /* in its hash chain */
	bool global;
	bool function; /* .type @function */
	bool taken;    /* its address is used otherwise than by a direct branch */
	int group;     /* of the function of that name, from 1; 0 when there is none yet */
	long label;    /* statement that defines it, or -1 */
};

/* A function: the statements from its label to the next function's. `group` is shared with its .cold part. */
struct Function {
	struct Str name;
	size_t first, end;
	int group;
};

enum { SYMBOL_BUCKETS = 4096, SECTION_STACK = 32 };

struct Unit {
	struct Arena arena;
	struct LFIRewriteOptions opts;
	struct Source source;
	struct Text out;
	struct Section *sections;
	size_t section_count, section_room;
	struct Symbol *symbols[SYMBOL_BUCKETS];
	struct Function *functions;
	size_t function_count, function_room;
	LFIDiagnosticFn fn;
	void *user;
	size_t errors;
	char first_error[512];
};

/* Reports a construct that cannot be confined; `at` is where in the clean text, NULL for the line as a whole. */
void unit_error(struct Unit *unit, const struct Statement *st, const char *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Finds sections, symbols and functions. */
void unit_analyse(struct Unit *unit);

/* The symbol of that name, made when it is not there yet. */
struct Symbol *unit_symbol(struct Unit *unit, struct Str name);

/* Notes that the address of each symbol in the expression of statement `index` is taken. */
void unit_take_addresses(struct Unit *unit, size_t index, struct Str expression);

/* The label statement that a name means at statement `index` (numeric labels too), or -1. */
long unit_label(struct Unit *unit, size_t index, struct Str name);

/* Whether the label of that statement may be reached by an indirect jump. */
bool unit_is_entry(struct Unit *unit, const struct Statement *st);

/* What the public calls share: an empty output, unless there is no place for it or no text: -1 with LFI_ERR_INVALID. */
int rewrite_check_texts(const char *input, size_t size, char **output, size_t *output_size);

/* The architecture's part. */
void x64_rewrite(struct Unit *unit);

#endif
