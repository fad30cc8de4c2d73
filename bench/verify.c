/* SPDX-License-Identifier: MIT */
/*
 * How fast the verifier is: MB of machine code per second of processor time, and cycles of the time stamp counter per
 * byte, the best of many rounds over the same bytes; beside it what memchr needs to pass over them, and, where it is
 * installed, Zydis to decode them and no more. Takes programs for the sandbox (their executable segment is measured)
 * and flat files of code that verifies, pads the code to whole bundles, prints a table, and writes JSON when asked to.
 * With --sizes each file has more rows: the same code again and again, until it is 1, 10 and 100 MB.
 */
#include <elf.h>
#include <lfi/lfi_verify.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#ifdef BENCH_ZYDIS
#include <Zydis/Zydis.h>
#endif

#define ROUNDS 50

struct result {
	size_t bytes, instructions;
	double best, memchr, zydis; /* seconds */
	bool refused;
};

/* What one round takes over the code; the last one's result is kept, so that none is left out. */
typedef size_t (*PassFn)(const uint8_t *code, size_t size);

static volatile size_t passed;

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

/* Ticks of the time stamp counter per second. */
static double
counter_rate(void)
{
	struct timespec from, to;
	uint64_t ticks = __rdtsc();
	double took;

	clock_gettime(CLOCK_MONOTONIC, &from);
	do {
		clock_gettime(CLOCK_MONOTONIC, &to);
		took = (double) (to.tv_sec - from.tv_sec) + (double) (to.tv_nsec - from.tv_nsec) / 1e9;
	} while (took < 0.05);
	return (double) (__rdtsc() - ticks) / took;
}

/* Over all of it: 0xf1 was taken out. */
static size_t
pass_memchr(const uint8_t *code, size_t size)
{
	return memchr(code, 0xf1, size) != NULL;
}

#ifdef BENCH_ZYDIS
/* Decodes without operands, as far as the instructions go on. */
static size_t
pass_zydis(const uint8_t *code, size_t size)
{
	ZydisDecoder decoder;
	ZydisDecodedInstruction insn;
	size_t count = 0;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisDecoderEnableMode(&decoder, ZYDIS_DECODER_MODE_MINIMAL, ZYAN_TRUE);
	for (size_t pos = 0; pos < size; count++)
		pos += ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, code + pos, size - pos, &insn))
			   ? insn.length
			   : 1;
	return count;
}
#endif

static double
best_pass(PassFn pass, const uint8_t *code, size_t size, int rounds)
{
	double best = 1e9;

	for (int i = 0; i < rounds; i++) {
		double start = processor_time(), took;

		passed = pass(code, size);
		took = processor_time() - start;
		if (took < best)
			best = took;
	}
	return best;
}

/* As many whole copies as make at least `size` bytes. Direct branches stay in their copy, so that it verifies, too. */
static uint8_t *
repeat(const char *name, uint8_t *code, size_t *size, size_t least)
{
	size_t copies = (least + *size - 1) / *size;
	uint8_t *all = *size ? malloc(copies * *size) : NULL;

	if (!all)
		give_up(name, "no memory, or no code");
	for (size_t i = 0; i < copies; i++)
		memcpy(all + i * *size, code, *size);
	*size *= copies;
	free(code);
	return all;
}

/* Of the file's code, or of so much of it that it is `least` bytes. */
static struct result
measure(const char *name, size_t least)
{
	struct result result = {.best = 1e9};
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	uint64_t offset;
	uint8_t *code = read_code(name, &result.bytes, &offset);
	int rounds = least > 10000000 ? 5 : ROUNDS;
	size_t scratch_size;
	void *scratch;

	if (least)
		code = repeat(name, code, &result.bytes, least);
	scratch_size = lfi_verify_scratch_size(result.bytes);
	scratch = malloc(scratch_size + 1);

	for (int i = 0; i < rounds && scratch; i++) {
		double start = processor_time(), took;

		if (lfi_verify(NULL, code, result.bytes, offset, scratch, scratch_size, NULL, NULL, &report))
			result.refused = true;
		took = processor_time() - start;
		if (took < result.best)
			result.best = took;
	}
	result.instructions = report.instructions;
#ifdef BENCH_ZYDIS
	result.zydis = best_pass(pass_zydis, code, result.bytes, least > 10000000 ? 1 : 3);
#endif
	for (size_t i = 0; i < result.bytes; i++)
		code[i] -= code[i] == 0xf1;
	result.memchr = best_pass(pass_memchr, code, result.bytes, rounds);
	free(scratch);
	free(code);
	return result;
}

/* A line of the table and, if there is `out`, an element of the list. */
static void
print_result(const char *name, const struct result *r, double ticks, FILE *out, bool first)
{
	double mb = (double) r->bytes / 1e6, rate = mb / r->best;

	printf("%-40s %12zu %12zu %10.2f %10.2f %10.1f %12.1f %12.1f%s\n", name, r->bytes, r->instructions,
	    r->best * 1e9 / (double) r->instructions, r->best * ticks / (double) r->bytes, rate, mb / r->memchr,
	    r->zydis > 0 ? mb / r->zydis : 0, r->refused ? " (refused)" : "");
	if (out)
		fprintf(out, "%s\n{\"file\": \"%s\", \"bytes\": %zu, \"instructions\": %zu, \"mb_per_s\": %.1f}",
		    first ? "" : ",", name, r->bytes, r->instructions, rate);
}

int
main(int argc, char **argv)
{
	static const size_t sizes[] = {0, 1000000, 10000000, 100000000};
	const char *json = NULL;
	FILE *out = NULL;
	size_t rows = 1;
	int i = 1, worst = 0;
	double ticks = counter_rate();

	if (argc > 2 && strcmp(argv[1], "--json") == 0) {
		json = argv[2];
		i = 3;
	}
	if (i < argc && strcmp(argv[i], "--sizes") == 0) {
		rows = sizeof sizes / sizeof sizes[0];
		i++;
	}
	if (i >= argc) {
		fputs("usage: bench-verify [--json OUT] [--sizes] FILE...\n", stderr);
		return 2;
	}
	if (json && !(out = fopen(json, "w"))) {
		perror(json);
		return 2;
	}
	if (out)
		fputs("[", out);
	printf("%-40s %12s %12s %10s %10s %10s %12s %12s\n", "file", "bytes", "insns", "ns/insn", "cycles/B", "MB/s",
	    "memchr MB/s", "Zydis MB/s");
	for (int first = i; i < argc; i++) {
		for (size_t row = 0; row < rows; row++) {
			struct result r = measure(argv[i], sizes[row]);

			print_result(argv[i], &r, ticks, out, i == first && row == 0);
			worst |= r.refused;
		}
	}
	if (out) {
		fputs("\n]\n", out);
		fclose(out);
	}
	return worst;
}
