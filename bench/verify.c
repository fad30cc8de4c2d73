/* SPDX-License-Identifier: MIT */
/*
 * How fast the verifier is: GB of machine code per second of processor time, and cycles of the time stamp counter per
 * byte, the best of many rounds over the same bytes; beside it what memchr needs to pass over them, and, where it is
 * installed, Zydis to decode them and no more. Without files it takes sqlite as this build made it. Takes programs for
 * the sandbox (their executable segment is measured) and flat files of code that verifies, pads the code to whole
 * bundles, prints a table, and writes JSON when asked to. With --sizes each file has more rows: the same code again and
 * again, until it is 1, 10 and 100 MB. With --threads N each is also verified by N threads, a part each.
 */
#include <elf.h>
#include <lfi/lfi_verify.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#ifdef BENCH_ZYDIS
#include <Zydis/Zydis.h>
#endif

#ifndef BENCH_PROGRAM
#define BENCH_PROGRAM "sqlite.lfi"
#endif
#define ROUNDS 50
#define THREADS_MAX 64

struct result {
	size_t bytes, instructions;
	double best, memchr, zydis; /* seconds */
	double alone, together;     /* seconds of the clock, of one thread and of several */
	double longest;             /* of the processor, of the thread that took longest, and of joining the parts */
	bool refused;
};

/* Code, where it will be, and the scratch memory. */
struct region {
	const uint8_t *code;
	size_t size;
	uint64_t offset;
	void *scratch;
	size_t scratch_size;
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

static double
clock_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
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

/* ---- Several threads ---- */

/* Threads that verify a part each whenever `start` lets them, until there is no region. */
struct team {
	const struct region *region;
	size_t count;
	pthread_barrier_t start, end;
	struct LFIVerifyPart parts[THREADS_MAX];
	double took[THREADS_MAX]; /* seconds of the processor */
};

struct member {
	struct team *team;
	size_t number;
	pthread_t thread;
};

static void
verify_part(struct team *team, size_t number)
{
	const struct region *r = team->region;
	double start = processor_time();

	lfi_verify_part(
	    NULL, r->code, r->size, r->offset, r->scratch, r->scratch_size, number, team->count, &team->parts[number]);
	team->took[number] = processor_time() - start;
}

static void *
member_run(void *argument)
{
	struct member *member = argument;

	for (;;) {
		pthread_barrier_wait(&member->team->start);
		if (!member->team->region)
			return NULL;
		verify_part(member->team, member->number);
		pthread_barrier_wait(&member->team->end);
	}
}

/* One verification by all of the team; this thread is its first. */
static void
team_verify(struct team *team, struct result *result)
{
	const struct region *r = team->region;
	double longest = 0, start;

	pthread_barrier_wait(&team->start);
	verify_part(team, 0);
	pthread_barrier_wait(&team->end);
	for (size_t i = 0; i < team->count; i++)
		longest = team->took[i] > longest ? team->took[i] : longest;
	start = processor_time();
	if (lfi_verify_finish(NULL, r->code, r->size, r->offset, r->scratch, r->scratch_size, team->parts, team->count,
		NULL, NULL, NULL))
		result->refused = true;
	longest += processor_time() - start;
	if (longest < result->longest)
		result->longest = longest;
}

/* Rounds of one thread and of several by turns, so that what else the machine does hits both. */
static void
measure_team(const char *name, struct result *result, const struct region *region, size_t threads, int rounds)
{
	struct team team = {.region = region, .count = threads};
	struct member members[THREADS_MAX];

	result->alone = result->together = result->longest = 1e9;
	pthread_barrier_init(&team.start, NULL, (unsigned) threads);
	pthread_barrier_init(&team.end, NULL, (unsigned) threads);
	for (size_t i = 1; i < threads; i++) {
		members[i] = (struct member){.team = &team, .number = i};
		if (pthread_create(&members[i].thread, NULL, member_run, &members[i]) != 0)
			give_up(name, "no threads");
	}
	for (int i = 0; i < rounds; i++) {
		double start = clock_time(), between, end;

		lfi_verify(NULL, region->code, region->size, region->offset, region->scratch, region->scratch_size,
		    NULL, NULL, NULL);
		between = clock_time();
		team_verify(&team, result);
		end = clock_time();
		if (between - start < result->alone)
			result->alone = between - start;
		if (end - between < result->together)
			result->together = end - between;
	}
	team.region = NULL;
	pthread_barrier_wait(&team.start);
	for (size_t i = 1; i < threads; i++)
		pthread_join(members[i].thread, NULL);
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

/* Of the file's code, or of so much of it that it is `least` bytes; also by `threads`, if there are several. */
static struct result
measure(const char *name, size_t least, size_t threads)
{
	struct result result = {.best = 1e9};
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	uint64_t offset;
	uint8_t *code = read_code(name, &result.bytes, &offset);
	int rounds = least > 10000000 ? 5 : ROUNDS;
	struct region region;
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
	region = (struct region){code, result.bytes, offset, scratch, scratch_size};
	if (threads > 1 && scratch)
		measure_team(name, &result, &region, threads, rounds);
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
	const char *slash = strrchr(name, '/');

	printf("%-20s %12zu %12zu %10.2f %10.2f %10.3f %12.1f %12.3f%s\n", slash ? slash + 1 : name, r->bytes,
	    r->instructions, r->best * 1e9 / (double) r->instructions, r->best * ticks / (double) r->bytes, rate / 1e3,
	    mb / r->memchr / 1e3, r->zydis > 0 ? mb / r->zydis / 1e3 : 0, r->refused ? " (refused)" : "");
	if (r->together > 0)
		printf("  all threads: %.2f times as fast by the clock (%.3f and %.3f GB/s), %.2f times by the "
		       "longest's processor time\n",
		    r->alone / r->together, mb / r->alone / 1e3, mb / r->together / 1e3, r->best / r->longest);
	if (!out)
		return;
	fprintf(out, "%s\n{\"file\": \"%s\", \"bytes\": %zu, \"instructions\": %zu, \"mb_per_s\": %.1f",
	    first ? "" : ",", name, r->bytes, r->instructions, rate);
	fprintf(out, ", \"cycles_per_byte\": %.3f, \"memchr_mb_per_s\": %.1f, \"zydis_mb_per_s\": %.1f",
	    r->best * ticks / (double) r->bytes, mb / r->memchr, r->zydis > 0 ? mb / r->zydis : 0);
	if (r->together > 0)
		fprintf(out, ", \"threads_speedup\": %.3f, \"threads_speedup_processor\": %.3f", r->alone / r->together,
		    r->best / r->longest);
	fputs("}", out);
}

struct arguments {
	const char *json;
	size_t rows, threads;
};

/* Returns where the files begin, if there are any; 0 for bad usage. */
static int
take_arguments(struct arguments *a, int argc, char **argv)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--json") == 0 && i + 1 < argc)
			a->json = argv[++i];
		else if (strcmp(argv[i], "--sizes") == 0)
			a->rows = 4;
		else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
			a->threads = strtoul(argv[++i], NULL, 10);
		else
			return 0;
	}
	return a->threads <= THREADS_MAX ? i : 0;
}

int
main(int argc, char **argv)
{
	static const size_t sizes[] = {0, 1000000, 10000000, 100000000};
	struct arguments a = {.rows = 1};
	int i = take_arguments(&a, argc, argv), worst = 0;
	double ticks = counter_rate();
	FILE *out = NULL;

	if (!i) {
		fputs("usage: bench-verify [--json OUT] [--sizes] [--threads N] [FILE...]\n", stderr);
		return 2;
	}
	if (a.json && !(out = fopen(a.json, "w"))) {
		perror(a.json);
		return 2;
	}
	if (out)
		fputs("[", out);
	printf("%-20s %12s %12s %10s %10s %10s %12s %12s\n", "file", "bytes", "insns", "ns/insn", "cycles/B", "GB/s",
	    "memchr GB/s", "Zydis GB/s");
	for (int first = i; i < argc || i == first; i++) {
		const char *name = i < argc ? argv[i] : BENCH_PROGRAM;

		for (size_t row = 0; row < a.rows; row++) {
			struct result r = measure(name, sizes[row], a.threads);

			print_result(name, &r, ticks, out, i == first && row == 0);
			worst |= r.refused;
		}
	}
	if (out) {
		fputs("\n]\n", out);
		fclose(out);
	}
	return worst;
}
