/* SPDX-License-Identifier: MIT */
/* Memory and text of one rewriting; see text.h. Not trusted. */
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64 * 1024 };

struct ArenaBlock {
	struct ArenaBlock *next;
	max_align_t data[];
};

void *
arena_take(struct Arena *arena, size_t size)
{
	struct ArenaBlock *block;
	size_t need = (size + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
	size_t room = need > BLOCK ? need : BLOCK;

	if (need < size)
		longjmp(arena->out_of_memory, 1);
	if (!arena->blocks || arena->room - arena->used < need) {
		block = calloc(1, sizeof *block + room);
		if (!block)
			longjmp(arena->out_of_memory, 1);
		block->next = arena->blocks;
		arena->blocks = block;
		arena->used = 0;
		arena->room = room;
	}
	arena->used += need;
	return (char *) arena->blocks->data + arena->used - need;
}

void
arena_free(struct Arena *arena)
{
	struct ArenaBlock *next;

	for (struct ArenaBlock *block = arena->blocks; block; block = next) {
		next = block->next;
		free(block);
	}
	arena->blocks = NULL;
}

void *
arena_grow(struct Arena *arena, void *array, size_t count, size_t *room, size_t element)
{
	void *grown;

	if (count < *room)
		return array;
	*room = *room ? *room * 2 : 16;
	grown = arena_take(arena, *room * element);
	if (count)
		memcpy(grown, array, count * element);
	return grown;
}

bool
str_eq(struct Str a, struct Str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
str_is(struct Str a, const char *b)
{
	return str_eq(a, (struct Str){b, strlen(b)});
}

bool
str_starts(struct Str a, const char *prefix)
{
	size_t n = strlen(prefix);

	return a.n >= n && memcmp(a.p, prefix, n) == 0;
}

bool
str_ends(struct Str a, const char *suffix)
{
	size_t n = strlen(suffix);

	return a.n >= n && memcmp(a.p + a.n - n, suffix, n) == 0;
}

struct Str
str_trim(struct Str a)
{
	while (a.n && (a.p[0] == ' ' || a.p[0] == '\t'))
		a.p++, a.n--;
	while (a.n && (a.p[a.n - 1] == ' ' || a.p[a.n - 1] == '\t'))
		a.n--;
	return a;
}

long
str_find(struct Str a, const char *needle)
{
	size_t n = strlen(needle);

	for (size_t i = 0; i + n <= a.n; i++)
		if (memcmp(a.p + i, needle, n) == 0)
			return (long) i;
	return -1;
}

bool
str_int(struct Str a, int64_t *out)
{
	char digits[32];
	char *end;
	bool negative = false;
	uint64_t value;

	a = str_trim(a);
	if (a.n && (a.p[0] == '-' || a.p[0] == '+')) {
		negative = a.p[0] == '-';
		a.p++, a.n--;
	}
	if (a.n == 0 || a.n >= sizeof digits || a.p[0] < '0' || a.p[0] > '9')
		return false;
	memcpy(digits, a.p, a.n);
	digits[a.n] = 0;
	value = strtoull(digits, &end, 0);
	if (*end)
		return false;
	*out = (int64_t) (negative ? -value : value);
	return true;
}

/* Bytes that the formatted text takes, without its NUL. */
static size_t
formatted_length(const char *format, va_list args)
{
	char probe[1];
	va_list copy;
	int n;

	va_copy(copy, args);
	n = vsnprintf(probe, sizeof probe, format, copy);
	va_end(copy);
	return n > 0 ? (size_t) n : 0;
}

struct Str
str_format(struct Arena *arena, const char *format, ...)
{
	va_list args;
	struct Str s;
	char *p;

	va_start(args, format);
	s.n = formatted_length(format, args);
	s.p = p = arena_take(arena, s.n + 1);
	vsnprintf(p, s.n + 1, format, args);
	va_end(args);
	return s;
}

static void
text_reserve(struct Text *text, size_t more)
{
	size_t room = text->room ? text->room : 4096;
	char *p;

	if (text->room - text->n > more)
		return;
	while (room - text->n <= more)
		room *= 2;
	p = realloc(text->p, room);
	if (!p)
		longjmp(text->arena->out_of_memory, 1);
	text->p = p;
	text->room = room;
}

void
text_put(struct Text *text, struct Str s)
{
	text_reserve(text, s.n);
	if (s.n)
		memcpy(text->p + text->n, s.p, s.n);
	text->n += s.n;
	text->p[text->n] = 0;
}

void
text_printf(struct Text *text, const char *format, ...)
{
	va_list args;
	size_t n;

	va_start(args, format);
	n = formatted_length(format, args);
	text_reserve(text, n);
	vsnprintf(text->p + text->n, n + 1, format, args);
	va_end(args);
	text->n += n;
}
