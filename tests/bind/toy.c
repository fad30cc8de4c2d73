/* SPDX-License-Identifier: MIT */
/* toy.h, for the sandbox. */
#include "toy.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int lie;
static uint64_t seen;
static char printed[64];
static toy_visit kept_visit;
static void *kept_user;

static void
note(const void *pointer)
{
	seen = (uintptr_t) pointer;
}

uint64_t
toy_seen(void)
{
	return seen;
}

void
toy_lie(int how)
{
	lie = how;
}

/* ---- Numbers ---- */

int
toy_add(int a, int b)
{
	return a + b;
}

double
toy_mix(char a, unsigned short b, float c, double d, long e, bool f, enum toy_color g)
{
	return a + b + (double) c + d + (double) e + f + g;
}

long
toy_sixteen(
    int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, int k, int l, int m, int n, int o, int p)
{
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j + 11 * k + 12 * l + 13 * m +
	       14 * n + 15 * o + 16L * p;
}

void
toy_nothing(void)
{
}

bool
toy_bool(int value)
{
	bool result;

	memcpy(&result, &value, 1); /* maybe neither 0 nor 1 */
	return *(volatile bool *) &result;
}

long double
toy_half(long double x)
{
	return x / 2;
}

/* ---- Text and bytes ---- */

size_t
toy_length(const char *s)
{
	note(s);
	return s ? strlen(s) : 999;
}

const char *
toy_greeting(int which)
{
	static char text[2000];

	if (which == 0)
		return NULL;
	if (which == 1)
		return "hello";
	if (lie == 5) {
		/* To the end of what is mapped. */
		char *all = malloc(1 << 25);

		memset(all, 'x', 1 << 25);
		return all;
	}
	memset(text, 'a' + which % 26, sizeof text - 1);
	return text;
}

const char *
toy_megabyte(const char *name)
{
	static char text[1 << 20];

	memset(text, 'm', sizeof text - 1);
	text[0] = name[0];
	return text;
}

const char *
toy_wild_text(uint64_t address)
{
	return (const char *) (uintptr_t) address;
}

uint32_t
toy_sum(const uint8_t *buf, size_t len)
{
	uint32_t sum = 0;

	note(buf);
	for (size_t i = 0; i < len; i++)
		sum += buf[i];
	return sum;
}

int
toy_fill(uint8_t *to, size_t room, size_t *wrote)
{
	for (size_t i = 0; i < room / 2; i++)
		to[i] = (uint8_t) (i + 1);
	*wrote = lie == 1 ? room + 1 : room / 2;
	return 0;
}

void
toy_double(int *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		items[i] *= 2;
}

void
toy_two(int *low, int *high)
{
	if (low)
		*low = 1;
	if (high)
		*high = 2;
}

int
toy_printf(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(printed, sizeof printed, format, list);
	va_end(list);
	return (int) toy_sum((const uint8_t *) printed, strlen(printed));
}

/* ---- Structs ---- */

int
toy_padding(const struct toy_shape *shape)
{
	const uint8_t *bytes = (const uint8_t *) shape;
	int dirty = 0;

	for (size_t i = 0; i < sizeof *shape; i++) {
		bool pads = (i >= 1 && i < 4) || (i >= offsetof(struct toy_shape, bytes) + sizeof shape->bytes &&
						     i < offsetof(struct toy_shape, size));

		dirty += pads && bytes[i] != 0;
	}
	return dirty;
}

void
toy_move(struct toy_shape *shape, int dx)
{
	shape->at.x += dx;
	shape->bytes[0]++;
	shape->size *= 2;
}

int
toy_stream_start(struct toy_stream *stream)
{
	stream->inside = stream;
	stream->calls = 0;
	return 0;
}

int
toy_stream_run(struct toy_stream *stream)
{
	if (stream->inside != stream)
		return -1;
	note(stream->in);
	stream->calls++;
	while (stream->in_left && stream->out_left) {
		*stream->out++ = (uint8_t) toupper(*stream->in++);
		stream->in_left--;
		stream->out_left--;
	}
	if (lie == 2)
		stream->out_left = 1u << 30;
	return (int) stream->in_left;
}

int
toy_stream_end(struct toy_stream *stream)
{
	return stream->inside == stream ? 0 : -1;
}

/* ---- Handles ---- */

struct toy {
	int value;
	toy_visit visit, old_visit;
	void *user, *old_user;
	toy_jump_fn jump;
	jmp_buf env;
};

toy *
toy_new(int value)
{
	toy *t = calloc(1, sizeof *t);

	t->value = value;
	return t;
}

int
toy_open(const char *name, toy **out)
{
	*out = strcmp(name, "good") == 0 ? toy_new(42) : NULL;
	return *out ? 0 : -1;
}

int
toy_value(const toy *t)
{
	note(t);
	return t ? t->value : -1;
}

void
toy_free(toy *t)
{
	free(t);
}

void
toy_close(toy **t)
{
	free(*t);
	*t = NULL;
}

other *
toy_other(toy *t)
{
	return (other *) t;
}

int
other_value(const other *o)
{
	return ((const toy *) o)->value + 1;
}

toy *
toy_wild_handle(uint64_t address)
{
	return (toy *) (uintptr_t) address;
}

size_t
toy_width(toy *t)
{
	return t->value + (lie == 6 ? 100000 : 0);
}

void
toy_row(toy *t, uint8_t *row)
{
	memset(row, 'r', t->value);
}

void
toy_rows(toy *t, int n, uint8_t **rows)
{
	for (int i = 0; i < n; i++)
		memset(rows[i], 'a' + i, t->value);
}

/* ---- Callbacks ---- */

int
toy_each(int n, toy_visit visit, void *user)
{
	int sum = 0;

	note(user);
	kept_visit = visit;
	kept_user = user;
	for (int i = 0; i < n; i++)
		sum += visit(lie == 3 ? (char *) user + 1 : user, i);
	return sum;
}

void
toy_set_visit(toy *t, toy_visit visit, void *user)
{
	note((void *) visit);
	t->old_visit = t->visit;
	t->old_user = t->user;
	t->visit = visit;
	t->user = user;
}

void *
toy_wrong_user(toy *t, toy *with)
{
	(void) t;
	return with->user;
}

void *
toy_other_use(toy *t)
{
	return t->user;
}

int
toy_again(void)
{
	return kept_visit(kept_user, 1);
}

int
toy_run_old(toy *t)
{
	return t->old_visit(t->old_user, 1);
}

int
toy_run(toy *t, int item)
{
	return t->visit(t->user, item);
}

void *
toy_get_user(toy *t)
{
	return t->user;
}

int
toy_confuse(toy *t, toy *with)
{
	return t->visit(with->user, 1);
}

int
toy_forge(toy *t, uint64_t user)
{
	return t->visit((void *) (uintptr_t) user, 1);
}

void
toy_tell(toy_text_fn fn, void *user)
{
	fn(user, lie == 5 ? toy_greeting(2) : "text", (const uint8_t *) "bytes", lie == 4 ? (size_t) 1 << 33 : 5);
}

size_t
toy_pull(toy_read_fn fn, void *user, uint8_t *to, size_t room)
{
	return fn(user, to, lie == 4 ? SIZE_MAX / 2 : room);
}

void
toy_names(toy_names_fn fn, void *user)
{
	const char *names[] = {"one", "two", "three", NULL};

	fn(user, names);
}

/* ---- Jumps ---- */

jmp_buf *
toy_set_jump(toy *t, toy_jump_fn jump, size_t size)
{
	(void) size;
	t->jump = jump;
	return &t->env;
}

void
toy_fail(toy *t, int value)
{
	t->jump(t->env, value);
	abort();
}

/* ---- What a library must not do ---- */

void
toy_crash(void)
{
	*(volatile int *) 8 = 1;
}

int
toy_crash_value(void)
{
	toy_crash();
	return 0;
}

void
toy_loop(void)
{
	for (;;)
		*(volatile int *) &lie;
}
