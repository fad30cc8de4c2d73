/* SPDX-License-Identifier: MIT */
/*
 * How long a call takes that ends in a fault, from the call to its return with LFI_ERR_FAULT: median, 99th percentile
 * and maximum, for a bad access, for a division by zero and for the runtime call that nothing serves; and, to compare,
 * a call that returns. A table, with --json FILE also a file. Uses the public headers only.
 *
 *   bench-fault [--json FILE]
 */
#include <lfi/lfi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 20000, WARM = 1000, PAGE = 4096, BUNDLE = 32, ROWS = 4 };

/* Verified as any code. */
static const struct Row {
	const char *name;
	int error;
	size_t size; /* bytes of code */
	uint8_t code[BUNDLE];
} rows[ROWS] = {
    /* pop %r11; and $~31, %r11d; add %r14, %r11; jmp *%r11 */
    {"return", LFI_OK, 12, {0x41, 0x5b, 0x41, 0x83, 0xe3, 0xe0, 0x4d, 0x01, 0xf3, 0x41, 0xff, 0xe3}},
    /* mov $64, %eax; movl $0, %gs:(%eax) */
    {"bad access", LFI_ERR_FAULT, 13, {0xb8, 64, 0, 0, 0, 0x65, 0x67, 0xc7, 0x00, 0, 0, 0, 0}},
    /* xor %ecx, %ecx; xor %edx, %edx; div %ecx */
    {"division by zero", LFI_ERR_FAULT, 6, {0x31, 0xc9, 0x31, 0xd2, 0xf7, 0xf1}},
    /* lea 4(%rip), %r11; jmp *-8(%r14) */
    {"unserved runtime call", LFI_ERR_FAULT, 11, {0x4c, 0x8d, 0x1d, 4, 0, 0, 0, 0x41, 0xff, 0x66, 0xf8}},
};

static double result[ROWS][3]; /* us: median, p99, max */

static void
die(const char *what)
{
	fprintf(stderr, "bench-fault: %s: %s\n", what, lfi_errmsg());
	exit(1);
}

static uint64_t
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t) time.tv_sec * 1000000000 + (uint64_t) time.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

static lfiptr
load(struct LFIBox *box)
{
	lfiptr at =
	    lfi_box_mapany(box, PAGE, LFI_PROT_READ | LFI_PROT_WRITE, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0);
	uint8_t page[PAGE];

	memset(page, 0xcc, sizeof page);
	for (int i = 0; i < ROWS; i++)
		memcpy(page + i * BUNDLE, rows[i].code, rows[i].size);
	if (at == (lfiptr) -1 || lfi_box_copyto(box, at, page, sizeof page) < 0 ||
	    lfi_box_mprotect(box, at, PAGE, LFI_PROT_READ | LFI_PROT_EXEC) < 0 || lfi_box_init_ret(box) < 0)
		die("code");
	return at;
}

static void
measure(struct LFIContext *ctx, lfiptr fn, int row)
{
	static double us[ROUNDS];

	for (int i = -WARM; i < ROUNDS; i++) {
		uint64_t start = now();

		lfi_call(ctx, fn, "v()", NULL, NULL);
		if (i >= 0)
			us[i] = (double) (now() - start) / 1e3;
		if (lfi_errno() != rows[row].error)
			die(rows[row].name);
	}
	qsort(us, ROUNDS, sizeof us[0], compare);
	result[row][0] = us[ROUNDS / 2];
	result[row][1] = us[ROUNDS * 99 / 100];
	result[row][2] = us[ROUNDS - 1];
}

static void
write_json(const char *path)
{
	FILE *out = fopen(path, "w");

	if (!out) {
		perror(path);
		exit(1);
	}
	for (int i = 0; i < ROWS; i++)
		fprintf(out, "%s  \"%s\": {\"median_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f}", i ? ",\n" : "{\n",
		    rows[i].name, result[i][0], result[i][1], result[i][2]);
	fputs("\n}\n", out);
	fclose(out);
}

int
main(int argc, char **argv)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);
	struct LFIBox *box = engine ? lfi_box_new(engine) : NULL;
	struct LFIContext *ctx = box ? lfi_ctx_new(box, NULL) : NULL;
	lfiptr at, stack;

	if (argc != 1 && (argc != 3 || strcmp(argv[1], "--json") != 0)) {
		fprintf(stderr, "usage: bench-fault [--json FILE]\n");
		return 2;
	}
	if (!ctx)
		die("sandbox");
	stack =
	    lfi_box_mapany(box, 16 * PAGE, LFI_PROT_READ | LFI_PROT_WRITE, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0);
	lfi_ctx_regs(ctx)->sp = stack + 16 * PAGE;
	at = load(box);
	printf("%-32s %12s %12s %12s\n", "a call until it has returned", "median us", "p99 us", "max us");
	for (int i = 0; i < ROWS; i++) {
		measure(ctx, at + BUNDLE * (size_t) i, i);
		printf("%-32s %12.2f %12.2f %12.2f\n", rows[i].name, result[i][0], result[i][1], result[i][2]);
	}
	if (argc == 3)
		write_json(argv[2]);
	lfi_box_free(box);
	lfi_free(engine);
	return 0;
}
