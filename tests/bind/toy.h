/* SPDX-License-Identifier: MIT */
/* A library that has one of everything, and lies when it is told to: see stubs.c. */
#ifndef TOY_H
#define TOY_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Numbers ---- */

enum toy_color { TOY_RED, TOY_GREEN = 7 };

int toy_add(int a, int b);
double toy_mix(char a, unsigned short b, float c, double d, long e, bool f, enum toy_color g);
long toy_sixteen(
    int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, int k, int l, int m, int n, int o, int p);
void toy_nothing(void);
bool toy_bool(int value);
long double toy_half(long double x);

/* ---- Text and bytes ---- */

size_t toy_length(const char *s);
const char *toy_greeting(int which);
/* A megabyte of text that begins with `name`. */
const char *toy_megabyte(const char *name);
const char *toy_wild_text(uint64_t address);
uint32_t toy_sum(const uint8_t *buf, size_t len);
int toy_fill(uint8_t *to, size_t room, size_t *wrote);
void toy_double(int *items, size_t n);
void toy_two(int *low, int *high);
int toy_printf(const char *format, ...);

/* ---- Structs ---- */

struct toy_point {
	char tag; /* padding follows */
	int32_t x, y;
};

struct toy_shape {
	struct toy_point at;
	uint8_t bytes[5]; /* padding follows */
	double size;
};

/* Bytes that are not 0 where a shape has padding. */
int toy_padding(const struct toy_shape *shape);
void toy_move(struct toy_shape *shape, int dx);

struct toy_stream {
	const uint8_t *in;
	unsigned in_left;
	uint8_t *out;
	unsigned out_left;
	void *inside;
	unsigned calls;
};

/* Copies as much as fits, upper case. It knows a stream by its address. */
int toy_stream_start(struct toy_stream *stream);
int toy_stream_run(struct toy_stream *stream);
int toy_stream_end(struct toy_stream *stream);

/* ---- Handles ---- */

typedef struct toy toy;
typedef struct other other;

toy *toy_new(int value);
int toy_open(const char *name, toy **out);
int toy_value(const toy *t);
void toy_free(toy *t);
void toy_close(toy **t);
other *toy_other(toy *t);
int other_value(const other *o);
toy *toy_wild_handle(uint64_t address);

/* How many bytes a row has, and a row. */
size_t toy_width(toy *t);
void toy_row(toy *t, uint8_t *row);
void toy_rows(toy *t, int n, uint8_t **rows);

/* ---- Callbacks ---- */

typedef int (*toy_visit)(void *user, int item);
typedef void (*toy_text_fn)(void *user, const char *text, const uint8_t *bytes, size_t n);
typedef size_t (*toy_read_fn)(void *user, uint8_t *to, size_t room);
typedef void (*toy_names_fn)(void *user, const char **names);

int toy_each(int n, toy_visit visit, void *user);
void toy_set_visit(toy *t, toy_visit visit, void *user);
int toy_run(toy *t, int item);
void *toy_get_user(toy *t);
void toy_tell(toy_text_fn fn, void *user);
size_t toy_pull(toy_read_fn fn, void *user, uint8_t *to, size_t room);
void toy_names(toy_names_fn fn, void *user);

/* ---- Jumps ---- */

typedef void (*toy_jump_fn)(jmp_buf, int);

jmp_buf *toy_set_jump(toy *t, toy_jump_fn jump, size_t size);
void toy_fail(toy *t, int value);

/* ---- What a library must not do ---- */

void toy_crash(void);
int toy_crash_value(void);
void toy_loop(void);
/* From now on: 1 says that more was written than there was room for; 2 that more is left than there was; 3 gives each
   callback what is one of another; 4 gives a callback a length beyond the sandbox; 5 text that does not end; 6 that
   rows are larger. */
void toy_lie(int how);
/* What the last pointer was that a function got. */
uint64_t toy_seen(void);
/* Calls the function of one handle with the user pointer of another. */
int toy_confuse(toy *t, toy *with);
/* Calls the function of a handle with any value as its user pointer. */
int toy_forge(toy *t, uint64_t user);
/* The user pointer of another handle; the same pointer, as if it were for another use. */
void *toy_wrong_user(toy *t, toy *with);
void *toy_other_use(toy *t);
/* Calls what toy_each, or toy_set_visit before the last time, was given. */
int toy_again(void);
int toy_run_old(toy *t);

#endif
