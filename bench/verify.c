/* SPDX-License-Identifier: MIT */
/*
 * How fast the verifier is: MB of machine code per second of processor time, the best of many rounds over the same
 * bytes. Takes flat files of code that verifies (rewritten compiler output; `objcopy -O binary -j .text`), pads each
 * to whole bundles, prints a table, and writes JSON when asked to.
 */
#include <lfi/lfi_verify.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 50

struct result {
	size_t bytes, instructions;
	double best; /* seconds */
	bool refused;
};

static double
processor_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static uint8_t *
read_code(const char *name, size_t *size)
{
	FILE *in = fopen(name, "rb");
	uint8_t *code;
	long end;

	if (!in || fseek(in, 0, SEEK_END) != 0 || (end = ftell(in)) < 0) {
		perror(name);
		exit(2);
	}
	rewind(in);
	*size = ((size_t) end + 31) / 32 * 32;
	code = malloc(*size + 1);
	if (!code || fread(code, 1, (size_t) end, in) != (size_t) end) {
		perror(name);
		exit(2);
	}
	memset(code + end, 0xcc, *size - (size_t) end);
	fclose(in);
	return code;
}

static struct result
measure(const char *name)
{
	struct result result = {.best = 1e9};
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	uint8_t *code = read_code(name, &result.bytes);
	size_t scratch_size = lfi_verify_scratch_size(result.bytes);
	void *scratch = malloc(scratch_size + 1);

	for (int i = 0; i < ROUNDS && scratch; i++) {
		double start = processor_time(), took;

		if (lfi_verify(NULL, code, result.bytes, 0x100000, scratch, scratch_size, NULL, NULL, &report))
			result.refused = true;
		took = processor_time() - start;
		if (took < result.best)
			result.best = took;
	}
	result.instructions = report.instructions;
	free(scratch);
	free(code);
	return result;
}

int
main(int argc, char **argv)
{
	const char *json = NULL;
	FILE *out = NULL;
	int i = 1, worst = 0;

	if (argc > 2 && strcmp(argv[1], "--json") == 0) {
		json = argv[2];
		i = 3;
	}
	if (i >= argc) {
		fputs("usage: bench-verify [--json OUT] FILE...\n", stderr);
		return 2;
	}
	if (json && !(out = fopen(json, "w"))) {
		perror(json);
		return 2;
	}
	if (out)
		fputs("[", out);
	printf("%-40s %12s %12s %10s %10s\n", "file", "bytes", "insns", "ns/insn", "MB/s");
	for (int first = i; i < argc; i++) {
		struct result r = measure(argv[i]);
		double rate = (double) r.bytes / r.best / 1e6;

		printf("%-40s %12zu %12zu %10.2f %10.1f%s\n", argv[i], r.bytes, r.instructions,
		    r.best * 1e9 / (double) r.instructions, rate, r.refused ? " (refused)" : "");
		if (out)
			fprintf(out, "%s\n{\"file\": \"%s\", \"bytes\": %zu, \"instructions\": %zu, \"mb_per_s\": %.1f}",
			    i == first ? "" : ",", argv[i], r.bytes, r.instructions, rate);
		worst |= r.refused;
	}
	if (out) {
		fputs("\n]\n", out);
		fclose(out);
	}
	return worst;
}
