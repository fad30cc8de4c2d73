/* SPDX-License-Identifier: MIT */
/*
 * What stubs of lfi-bind cost: a scalar stub beside LFI_INVOKE of the same function and a native call, starting a
 * sandbox, and decoding a PNG, in the sandbox (bind.lfi) or natively (bind.native, built without -DSANDBOX). run.sh
 * makes both.
 *
 *     bind [--json FILE] FILE.png
 */
#include "toy.h"
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef SANDBOX
#include "png_sandbox.h"
#include "toy_sandbox.h"
#include <lfi/lfi.h>
#endif

#define ROUNDS 15
#define CALLS 200000
#define TURNS 201

static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

static int
by_value(const void *a, const void *b)
{
	return (*(const double *) a > *(const double *) b) - (*(const double *) a < *(const double *) b);
}

static FILE *json;

static void
write_row(const char *name, double median, double best, const char *unit)
{
	printf("%-28s %10.2f %10.2f  %s\n", name, median, best, unit);
	if (json)
		fprintf(json, "{\"name\": \"%s\", \"median\": %.3f, \"best\": %.3f, \"unit\": \"%s\"}\n", name, median,
		    best, unit);
}

/* Median and best of what `once` takes, in `unit`s of so many ns. */
static void
row(const char *name, double (*once)(void), double unit_ns, const char *unit)
{
	double t[ROUNDS];

	for (int i = 0; i < ROUNDS; i++)
		t[i] = once() / unit_ns;
	qsort(t, ROUNDS, sizeof *t, by_value);
	write_row(name, t[ROUNDS / 2], t[0], unit);
}

static unsigned char *file;
static size_t file_size;

static double
decode(void)
{
	png_image image = {.version = PNG_IMAGE_VERSION};
	double start = now_ns();
	void *pixels;

	if (!png_image_begin_read_from_memory(&image, file, file_size))
		exit(1);
	image.format = PNG_FORMAT_RGB;
	pixels = malloc(PNG_IMAGE_SIZE(image));
	if (!pixels || !png_image_finish_read(&image, NULL, pixels, 0, NULL))
		exit(1);
	png_image_free(&image);
	free(pixels);
	return now_ns() - start;
}

static double
stub(void)
{
	double start = now_ns();
	volatile int sum = 0;

	for (int i = 0; i < CALLS; i++)
		sum = toy_add(sum, i);
	return (now_ns() - start) / CALLS;
}

#ifdef SANDBOX
static lfiptr add_at;
static _Thread_local struct LFIContext *context;

static double
invoke(void)
{
	struct LFIBox *box = toy_sandbox_box();
	double start = now_ns();
	volatile int sum = 0;

	for (int i = 0; i < CALLS; i++)
		sum = LFI_INVOKE(box, &context, add_at, int, (int, int), sum, i);
	return (now_ns() - start) / CALLS;
}

/* In turns, so that a busy machine is busy for both. */
static void
compare_calls(void)
{
	double invoked[TURNS], stubbed[TURNS], more[TURNS];

	for (int i = 0; i < TURNS; i++) {
		invoked[i] = invoke();
		stubbed[i] = stub();
		more[i] = stubbed[i] - invoked[i];
	}
	qsort(invoked, TURNS, sizeof *invoked, by_value);
	qsort(stubbed, TURNS, sizeof *stubbed, by_value);
	qsort(more, TURNS, sizeof *more, by_value);
	write_row("LFI_INVOKE add", invoked[TURNS / 2], invoked[0], "ns");
	write_row("stub add", stubbed[TURNS / 2], stubbed[0], "ns");
	write_row("stub over LFI_INVOKE", more[TURNS / 2], stubbed[0] - invoked[0], "ns");
}

static double
restart(void)
{
	double start = now_ns();

	if (!png_sandbox_restart())
		exit(1);
	return now_ns() - start;
}
#endif

int
main(int argc, char **argv)
{
	FILE *from;
	const char *kind = "native";

	if (argc > 2 && strcmp(argv[1], "--json") == 0) {
		json = fopen(argv[2], "a");
		argv += 2;
		argc -= 2;
	}
	from = argc == 2 ? fopen(argv[1], "rb") : NULL;
	file = malloc(64 << 20);
	if (!from || !file) {
		fprintf(stderr, "usage: bind [--json FILE] FILE.png\n");
		return 2;
	}
	file_size = fread(file, 1, 64 << 20, from);
	fclose(from);
#ifdef SANDBOX
	kind = "sandbox";
	double start = now_ns();
	if (!png_sandbox_start())
		return 1;
	printf("%-28s %10.2f             ms\n", "first start (libpng)", (now_ns() - start) / 1e6);
	row("start, code verified before", restart, 1e6, "ms");
	if (!toy_sandbox_start() || !(add_at = toy_sandbox_symbol("toy_add")))
		return 1;
	compare_calls();
#endif
	printf("-- %s\n", kind);
#ifndef SANDBOX
	row("native add", stub, 1, "ns");
#endif
	row("decode PNG", decode, 1e6, "ms");
	if (json)
		fclose(json);
	return 0;
}
