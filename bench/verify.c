/* SPDX-License-Identifier: MIT */
/*
 * How fast the verifier is: MB of machine code per second of processor time, the best of many rounds over the same
 * bytes. Takes programs for the sandbox (their executable segment is measured) and flat files of code that verifies,
 * pads the code to whole bundles, prints a table, and writes JSON when asked to.
 */
#include <elf.h>
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

static void
give_up(const char *name, const char *why)
{
	fprintf(stderr, "bench-verify: %s: %s\n", name, why);
	exit(2);
}

static uint8_t *
read_file(const char *name, size_t *size)
{
	FILE *in = fopen(name, "rb");
	uint8_t *bytes;
	long end;

	if (!in || fseek(in, 0, SEEK_END) != 0 || (end = ftell(in)) < 0)
		give_up(name, "cannot be read");
	rewind(in);
	*size = (size_t) end;
	bytes = malloc(*size + 64);
	if (!bytes || fread(bytes, 1, *size, in) != *size)
		give_up(name, "cannot be read");
	memset(bytes + *size, 0xcc, 64);
	fclose(in);
	return bytes;
}

/* Where the code is: the executable segment of a program, or all of a flat file. */
static const uint8_t *
find_code(const char *name, const uint8_t *bytes, size_t *size, uint64_t *offset)
{
	const Elf64_Ehdr *header = (const void *) bytes;
	const Elf64_Phdr *segments;

	*offset = 0x100000;
	if (*size < sizeof *header || memcmp(bytes, ELFMAG, SELFMAG) != 0)
		return bytes;
	if (header->e_phoff % 8 || header->e_phoff > *size ||
	    header->e_phnum * sizeof *segments > *size - header->e_phoff)
		give_up(name, "no program headers");
	segments = (const void *) (bytes + header->e_phoff);
	for (unsigned i = 0; i < header->e_phnum; i++) {
		const Elf64_Phdr *s = &segments[i];

		if (s->p_type != PT_LOAD || !(s->p_flags & PF_X))
			continue;
		if (s->p_offset > *size || s->p_filesz > *size - s->p_offset)
			give_up(name, "truncated");
		*size = s->p_filesz;
		*offset = s->p_vaddr;
		return bytes + s->p_offset;
	}
	give_up(name, "no executable segment");
	return NULL;
}

/* The code in memory of its own, padded to whole bundles. */
static uint8_t *
read_code(const char *name, size_t *size, uint64_t *offset)
{
	uint8_t *bytes = read_file(name, size), *code;
	const uint8_t *found = find_code(name, bytes, size, offset);
	size_t padded = (*size + 31) / 32 * 32;

	code = malloc(padded + 1);
	if (!code)
		give_up(name, "no memory");
	memset(code, 0xcc, padded);
	memcpy(code, found, *size);
	*size = padded;
	free(bytes);
	return code;
}

static struct result
measure(const char *name)
{
	struct result result = {.best = 1e9};
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	uint64_t offset;
	uint8_t *code = read_code(name, &result.bytes, &offset);
	size_t scratch_size = lfi_verify_scratch_size(result.bytes);
	void *scratch = malloc(scratch_size + 1);

	for (int i = 0; i < ROUNDS && scratch; i++) {
		double start = processor_time(), took;

		if (lfi_verify(NULL, code, result.bytes, offset, scratch, scratch_size, NULL, NULL, &report))
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
			fprintf(out,
			    "%s\n{\"file\": \"%s\", \"bytes\": %zu, \"instructions\": %zu, \"mb_per_s\": %.1f}",
			    i == first ? "" : ",", argv[i], r.bytes, r.instructions, rate);
		worst |= r.refused;
	}
	if (out) {
		fputs("\n]\n", out);
		fclose(out);
	}
	return worst;
}
