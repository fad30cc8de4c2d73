/* SPDX-License-Identifier: MIT */
/*
 * Assembly text as statements: what GNU as would see after its comments are
 * gone. The same for every architecture whose comment character is `#` and
 * whose separator is `;`. Called by rewrite.c. Not trusted.
 */
#ifndef REWRITE_SOURCE_H
#define REWRITE_SOURCE_H

#include "text.h"

enum StatementKind {
	ST_LABEL,       /* name: */
	ST_ASSIGN,      /* name = args */
	ST_DIRECTIVE,   /* .name args */
	ST_INSTRUCTION, /* args is the whole statement, prefixes included */
	ST_COMMENT,     /* args is the whole line */
	ST_MARKER,      /* # 12 "file" */
};

struct Statement {
	enum StatementKind kind;
	struct Str name, args;
	size_t offset;   /* into the input, of the statement's first byte */
	struct Str file; /* as line markers say; p NULL means the input itself */
	unsigned line;
	int section;  /* index in Unit.sections; set by the analysis */
	int function; /* index in Unit.functions, or -1 */
	bool exec;    /* whether the section holds code */
};

struct Source {
	struct Arena *arena;
	const char *input; /* as given, for messages */
	char *clean;       /* same length, comments blanked: offsets agree */
	size_t size;
	struct Statement *statements;
	size_t count, room;
	struct Str file; /* of the last line marker */
	unsigned line;
};

void source_parse(struct Source *source, struct Arena *arena, const char *input, size_t size);

/* Whether `c` may be part of a symbol's name. */
bool source_is_name(char c);

/* Takes the first comma-separated item off `*rest`, respecting quotes, parentheses and braces. False when none is left.
 */
bool source_next_item(struct Str *rest, struct Str *item);

#endif
