/* SPDX-License-Identifier: MIT */
/*
 * Memory and text of one rewriting: an arena that is freed at once, slices of
 * the input, and a growing output text. Used by all of lib/rewrite. Not
 * trusted. When memory runs out, control leaves through the arena's one door
 * (longjmp), so that no caller has to check.
 */
#ifndef REWRITE_TEXT_H
#define REWRITE_TEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct Arena {
	struct ArenaBlock *blocks;
	size_t used, room;
	jmp_buf out_of_memory;
};

/* `size` zeroed bytes, aligned for any object; never NULL. */
void *arena_take(struct Arena *arena, size_t size) __attribute__((returns_nonnull));
void arena_free(struct Arena *arena);

/* Room for one more element in an array of `*room` elements; returns the array, moved if need be. */
void *arena_grow(struct Arena *arena, void *array, size_t count, size_t *room, size_t element);

/* A slice; not NUL-terminated. */
struct Str {
	const char *p;
	size_t n;
};

#define STR(literal) ((struct Str){literal, sizeof(literal) - 1})

bool str_eq(struct Str a, struct Str b);
bool str_is(struct Str a, const char *b);
bool str_starts(struct Str a, const char *prefix);
bool str_ends(struct Str a, const char *suffix);
struct Str str_trim(struct Str a);
/* Position of `needle` in `a`, or -1. */
long str_find(struct Str a, const char *needle);
/* A whole integer (decimal, octal, hexadecimal, with sign) and nothing else. */
bool str_int(struct Str a, int64_t *out);
struct Str str_format(struct Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Output text: NUL-terminated, malloc'ed. */
struct Text {
	struct Arena *arena;
	char *p;
	size_t n, room;
};

void text_put(struct Text *text, struct Str s);
void text_printf(struct Text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For printf's %.*s. */
#define S(str) (int) (str).n, (str).p

#endif
