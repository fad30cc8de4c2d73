/* SPDX-License-Identifier: MIT */
/*
 * What crossing the border costs: a table of nanoseconds, or JSON with --json. Rows are measured in turn, several
 * rounds; the median counts, and the best round shows what a busy machine hides. Uses the public headers only.
 */
#include <lfi/lfi_core.h>
#include <lfi/lfi_verify.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 15
#define ROWS_MAX 32

static uint8_t return_zero[] = {
    0x31, 0xc0,             /* xorl %eax, %eax */
    0x41, 0x5b,             /* popq %r11 */
    0x41, 0x83, 0xe3, 0xe0, /* andl $-32, %r11d */
    0x4d, 0x01, 0xf3,       /* addq %r14, %r11 */
    0x41, 0xff, 0xe3,       /* jmpq *%r11 */
};

static uint8_t runtime_calls[] = {
    0x89, 0xfb,                               /* movl %edi, %ebx */
    0x4c, 0x8d, 0x1d, 0x04, 0x00, 0x00, 0x00, /* 1: leaq 2f(%rip), %r11 */
    0x41, 0xff, 0x66, 0xf8,                   /* jmpq *-8(%r14) */
    0xff, 0xcb,                               /* 2: decl %ebx */
    0x75, 0xf1,                               /* jnz 1b */
    0x41, 0x5b,                               /* popq %r11 */
    0x41, 0x83, 0xe3, 0xe0,                   /* andl $-32, %r11d */
    0x4d, 0x01, 0xf3,                         /* addq %r14, %r11 */
    0x41, 0xff, 0xe3,                         /* jmpq *%r11 */
};

static uint8_t callbacks[] = {
    0x89, 0xf3,                                           /* movl %esi, %ebx */
    0x49, 0x89, 0xfc,                                     /* movq %rdi, %r12 */
    0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00, /* nopw */
    0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00, /* nopw */
    0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00, /* nopw */
    0x4d, 0x89, 0xe3,                                     /* 1: movq %r12, %r11 */
    0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00, /* nopw */
    0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00, /* nopw */
    0x90,                                                 /* nop */
    0x41, 0x83, 0xe3, 0xe0,                               /* andl $-32, %r11d */
    0x4d, 0x01, 0xf3,                                     /* addq %r14, %r11 */
    0x41, 0xff, 0xd3,                                     /* callq *%r11, at the bundle's end */
    0xff, 0xcb,                                           /* decl %ebx */
    0x75, 0xdc,                                           /* jnz 1b */
    0x41, 0x5b,                                           /* popq %r11 */
    0x41, 0x83, 0xe3, 0xe0,                               /* andl $-32, %r11d */
    0x4d, 0x01, 0xf3,                                     /* addq %r14, %r11 */
    0x41, 0xff, 0xe3,                                     /* jmpq *%r11 */
};

/* Never run: loading it tells the runtime that the box's code uses these registers. */
static uint8_t uses_x87[] = {0xd9, 0xee};             /* fldz */
static uint8_t uses_avx[] = {0xc5, 0xfc, 0x57, 0xc0}; /* vxorps %ymm0, %ymm0, %ymm0 */

struct Bench {
	struct LFIEngine *engine;
	struct LFIBox *box;
	struct LFIContext *ctx;
	lfiptr fn;
	long n;
};

static void
die(const char *what)
{
	fprintf(stderr, "calls: %s: %s\n", what, lfi_errmsg());
	exit(1);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

static lfiptr
load(struct LFIBox *box, const void *code, size_t size)
{
	size_t page = (size_t) getpagesize();
	uint8_t *filled = malloc(page);
	lfiptr at =
	    lfi_box_mapany(box, page, LFI_PROT_READ | LFI_PROT_WRITE, LFI_MAP_ANONYMOUS | LFI_MAP_PRIVATE, -1, 0);

	if (!filled || at == (lfiptr) -1)
		die("map");
	memset(filled, 0xcc, page);
	memcpy(filled, code, size);
	if (lfi_box_copyto(box, at, filled, page) < 0 ||
	    lfi_box_mprotect(box, at, page, LFI_PROT_READ | LFI_PROT_EXEC) < 0)
		die("load");
	free(filled);
	return at;
}

static void
handler(struct LFIContext *ctx)
{
	lfi_ctx_regs(ctx)->rax = 1;
}

static int
callback(void)
{
	return 0;
}

/* A fresh box with one function, and optionally code that it never runs. */
static struct Bench
open_bench(struct LFIEngine *engine, const void *code, size_t size, const void *other, size_t other_size, long n)
{
	size_t stack = 65536;
	struct Bench b = {.engine = engine, .box = lfi_box_new(engine), .n = n};
	lfiptr sp;

	if (!b.box || lfi_box_init_ret(b.box) < 0 || !lfi_box_cbinit(b.box))
		die("box");
	b.fn = load(b.box, code, size);
	if (other)
		load(b.box, other, other_size);
	b.ctx = lfi_ctx_new(b.box, NULL);
	sp = lfi_box_mapany(b.box, stack, LFI_PROT_READ | LFI_PROT_WRITE, LFI_MAP_ANONYMOUS | LFI_MAP_PRIVATE, -1, 0);
	if (!b.ctx || sp == (lfiptr) -1)
		die("context");
	lfi_ctx_regs(b.ctx)->sp = sp + stack;
	return b;
}

static double
time_native(struct Bench *b)
{
	int (*volatile fn)(void) = callback;
	double start = now();

	for (long i = 0; i < b->n; i++)
		fn();
	return now() - start;
}

static int
add(int a, int b)
{
	return a + b;
}

/* What lfi_fn_call does beside the call: arguments out of an array, the result into a value. */
static __attribute__((noinline)) int
call_with_values(int (*fn)(int, int), const union LFIValue *args, union LFIValue *ret)
{
	ret->i = fn((int) args[0].i, (int) args[1].i);
	return 0;
}

static double
time_native_values(struct Bench *b)
{
	int (*volatile fn)(int, int) = add;
	int (*volatile call)(int (*)(int, int), const union LFIValue *, union LFIValue *) = call_with_values;
	const union LFIValue args[2] = {{.i = 1}, {.i = 2}};
	union LFIValue ret;
	double start = now();

	for (long i = 0; i < b->n; i++)
		call(fn, args, &ret);
	return now() - start;
}

static double
time_invoke(struct Bench *b)
{
	double start = now();

	for (long i = 0; i < b->n; i++)
		LFI_INVOKE(b->box, &b->ctx, b->fn, int, (int, int), 1, 2);
	return now() - start;
}

static double
time_call(struct Bench *b)
{
	const union LFIValue args[2] = {{.i = 1}, {.i = 2}};
	union LFIValue ret;
	double start = now();

	for (long i = 0; i < b->n; i++)
		lfi_call(b->ctx, b->fn, "i(ii)", args, &ret);
	return now() - start;
}

static double
time_fn_call(struct Bench *b)
{
	const union LFIValue args[2] = {{.i = 1}, {.i = 2}};
	union LFIValue ret;
	struct LFIFn *fn = lfi_fn_new(b->box, b->fn, "i(ii)");
	double start = now(), end;

	for (long i = 0; i < b->n; i++)
		lfi_fn_call(fn, &b->ctx, args, &ret);
	end = now();
	lfi_fn_free(fn);
	return end - start;
}

static double
time_runtime_call(struct Bench *b)
{
	double start = now();

	LFI_INVOKE(b->box, &b->ctx, b->fn, void, (int), (int) b->n);
	return now() - start;
}

static double
time_callback(struct Bench *b)
{
	void *fn = lfi_box_register_cb(b->box, (void *) callback);
	double start = now();

	LFI_INVOKE(b->box, &b->ctx, b->fn, void, (void *, int), fn, (int) b->n);
	return now() - start;
}

static double
time_box(struct Bench *b)
{
	double start = now();

	for (long i = 0; i < b->n; i++)
		lfi_box_free(lfi_box_new(b->engine));
	return now() - start;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions){.boxsize = 0}, 32);
	struct LFIEngine *restoring = lfi_new((struct LFIOptions){.restore_gs = true}, 2);
	bool json = argc > 1 && strcmp(argv[1], "--json") == 0;

	if (!engine || !restoring)
		die("engine");
	lfi_sys_handler(engine, handler);

#define OPEN(code, n) open_bench(engine, code, sizeof(code), NULL, 0, n)
#define OPEN_WITH(code, other, n) open_bench(engine, code, sizeof(code), other, sizeof(other), n)
	struct {
		const char *name;
		double (*time)(struct Bench *);
		struct Bench bench;
	} rows[] = {
	    {"native call", time_native, {.n = 500000}},
	    {"native call with values", time_native_values, {.n = 500000}},
	    {"LFI_INVOKE", time_invoke, OPEN(return_zero, 100000)},
	    {"LFI_INVOKE, restore_gs", time_invoke,
		open_bench(restoring, return_zero, sizeof return_zero, NULL, 0, 100000)},
	    {"LFI_INVOKE, x87 in the box", time_invoke, OPEN_WITH(return_zero, uses_x87, 100000)},
	    {"LFI_INVOKE, AVX in the box", time_invoke, OPEN_WITH(return_zero, uses_avx, 100000)},
	    {"lfi_call", time_call, OPEN(return_zero, 100000)},
	    {"lfi_fn_call", time_fn_call, OPEN(return_zero, 100000)},
	    {"runtime call", time_runtime_call, OPEN(runtime_calls, 100000)},
	    {"runtime call, x87 in the box", time_runtime_call, OPEN_WITH(runtime_calls, uses_x87, 100000)},
	    {"runtime call, AVX in the box", time_runtime_call, OPEN_WITH(runtime_calls, uses_avx, 100000)},
	    {"callback", time_callback, OPEN(callbacks, 100000)},
	    {"callback, x87 in the box", time_callback, OPEN_WITH(callbacks, uses_x87, 100000)},
	    {"callback, AVX in the box", time_callback, OPEN_WITH(callbacks, uses_avx, 100000)},
	    {"box new + free", time_box, {.engine = engine, .n = 1000}},
	};
	size_t nrows = sizeof rows / sizeof rows[0];
	static double results[ROWS_MAX][ROUNDS];

	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < nrows; i++)
			results[i][round] = rows[i].time(&rows[i].bench) / (double) rows[i].bench.n;
	printf(json ? "{\n" : "%-32s %10s %10s\n", "what", "ns", "best");
	for (size_t i = 0; i < nrows; i++) {
		qsort(results[i], ROUNDS, sizeof results[i][0], compare);
		printf(json ? "  \"%s\": {\"median_ns\": %.2f, \"best_ns\": %.2f}%s\n" : "%-32s %10.2f %10.2f%s\n",
		    rows[i].name, results[i][ROUNDS / 2], results[i][0], json && i + 1 < nrows ? "," : "");
	}
	if (json)
		printf("}\n");
	for (size_t i = 0; i < nrows; i++)
		lfi_box_free(rows[i].bench.box);
	lfi_free(restoring);
	lfi_free(engine);
	return 0;
}
