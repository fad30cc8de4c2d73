/* SPDX-License-Identifier: MIT */
/*
 * lfi-oracle: the long run. Rounds of samples of all encodings for so many seconds, or every encoding once; on several
 * processors, each with a share. Zydis is asked about each encoding, the slow oracles about each new shape and one in
 * SAMPLED of the others.
 *
 *   lfi-oracle [--jobs N] SECONDS | --all [K/N]      all, or the Kth of N parts of all
 *   lfi-oracle --objects FILE...                     what compilers made, instead (objects.c)
 *
 * Exit status 1 when something differs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "insn.h"
#include "oracle.h"

#define COMPLAINTS 20

#define SAMPLED 32

/* Of a round, so that all parts get their turn. */
static const unsigned every[PARTS] = {[LEGACY] = 20, [VEX] = 200, [EVEX] = 10000, [RANDOM] = 100};

struct request {
	unsigned jobs, share, shares;
	long seconds; /* 0: all */
};

struct run {
	unsigned share;
	uint64_t candidates, compared[PARTS], slowly, differ;
	time_t begin, end, said; /* end 0: none */
	enum part part;
};

static void
complain(struct run *run, const uint8_t *bytes, const struct insn *insn, const char *name, const char *what)
{
	char hex[INSN_TEXT_MAX], text[INSN_TEXT_MAX];

	if (run->differ++ >= COMPLAINTS)
		return;
	text_bytes_x64(bytes, insn->size, hex);
	text_x64(insn, text);
	printf("%s: `%s`: %s: %s\n", hex, text, name, what);
	fflush(stdout);
}

/* Processor time. */
static double
used(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void
report(struct run *run)
{
	uint64_t all = 0;

	for (int i = 0; i < PARTS; i++)
		all += run->compared[i];
	printf("process %u: %llu encodings accepted and compared (", run->share, (unsigned long long) all);
	for (int i = 0; i < PARTS; i++)
		printf("%s%s %llu", i ? ", " : "", part_names[i], (unsigned long long) run->compared[i]);
	printf("), %llu of them with all oracles, %llu candidates, %llu differ, %lld s, %.0f of the processor's\n",
	    (unsigned long long) run->slowly, (unsigned long long) run->candidates, (unsigned long long) run->differ,
	    (long long) (time(NULL) - run->begin), used());
	fflush(stdout);
	run->said = time(NULL);
}

static void
compare(struct run *run, const uint8_t *bytes, const struct insn *insn)
{
	bool slow = is_new_shape(insn) || run->compared[run->part] % SAMPLED == 0;
	const char *what;

	run->compared[run->part]++;
	run->slowly += slow;
	for (unsigned i = 0; i < oracle_count; i++)
		if ((slow || !oracles[i].slow) && (what = oracles[i].differs(bytes, insn)))
			complain(run, bytes, insn, oracles[i].name, what);
}

static bool
ask(const uint8_t *bytes, void *user)
{
	struct run *run = user;
	struct insn insn;
	const char *reason;

	if (decode_x64(bytes, &insn, &reason) == LFI_RULE_NONE)
		compare(run, bytes, &insn);
	if (++run->candidates % 65536)
		return true;
	if (time(NULL) >= run->said + 60)
		report(run);
	return !run->end || time(NULL) < run->end;
}

/* One share: all encodings that are this process' once, or rounds with other random values. */
static int
go(unsigned share, unsigned shares, long seconds)
{
	time_t now = time(NULL);
	struct run run = {.share = share, .begin = now, .said = now, .end = seconds ? now + seconds : 0};

	for (uint64_t round = share + 1; !run.end || time(NULL) < run.end; round += shares) {
		for (run.part = 0; run.part < PARTS; run.part++) {
			struct sample all = {.seed = round, .every = 1, .share = share, .shares = shares};
			struct sample some = {.seed = round, .every = every[run.part], .shares = 1};

			enumerate(run.part, seconds ? some : all, ask, &run);
		}
		if (!run.end)
			break;
	}
	report(&run);
	return run.differ > 0;
}

/* Returns false when the arguments are wrong. */
static bool
read_arguments(int argc, char **argv, struct request *request)
{
	int at = 1;

	*request = (struct request){.jobs = 1, .share = 1, .shares = 1};
	if (argc > 2 && strcmp(argv[1], "--jobs") == 0) {
		request->jobs = (unsigned) atoi(argv[2]);
		at = 3;
	}
	if (argc > at + 1 && sscanf(argv[at + 1], "%u/%u", &request->share, &request->shares) != 2)
		return false;
	if (argc <= at || argc > at + 2 || request->jobs < 1 || request->jobs > 4096 || request->share < 1 ||
	    request->share > request->shares || request->shares > 4096)
		return false;
	if (strcmp(argv[at], "--all") == 0)
		return true;
	request->seconds = atol(argv[at]);
	return request->seconds > 0 && argc == at + 1;
}

int
main(int argc, char **argv)
{
	struct request request;
	int status, bad = 0;

	if (argc > 2 && strcmp(argv[1], "--objects") == 0)
		return ask_about_objects(argc - 2, argv + 2);
	if (!read_arguments(argc, argv, &request)) {
		fprintf(stderr, "usage: lfi-oracle [--jobs N] SECONDS | --all [K/N] | --objects FILE...\n");
		return 2;
	}
	printf("oracles:");
	for (unsigned i = 0; i < oracle_count; i++)
		printf(" %s", oracles[i].name);
	printf("\n");
	fflush(stdout);
	for (unsigned i = 0; i < request.jobs; i++)
		if (fork() == 0)
			return go(
			    (request.share - 1) * request.jobs + i, request.shares * request.jobs, request.seconds);
	while (wait(&status) > 0)
		bad |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	return bad;
}
