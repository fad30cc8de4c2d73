/* SPDX-License-Identifier: MIT */
/*
 * lfi-oracle: the long run. Rounds of samples of all encodings for so many seconds, or every encoding once, against
 * every oracle; on several processors, each with a share.
 *
 *   lfi-oracle [--jobs N] SECONDS | --all
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

struct run {
	unsigned share, shares;
	uint64_t candidates, compared[PARTS], differ;
	time_t end; /* 0: none */
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

static bool
ask(const uint8_t *bytes, void *user)
{
	struct run *run = user;
	struct insn insn;
	const char *reason, *what;

	run->candidates++;
	if (decode_x64(bytes, &insn, &reason) == LFI_RULE_NONE) {
		run->compared[run->part]++;
		for (unsigned i = 0; i < oracle_count; i++)
			if ((what = oracles[i].differs(bytes, &insn)))
				complain(run, bytes, &insn, oracles[i].name, what);
	}
	return !run->end || run->candidates % 65536 || time(NULL) < run->end;
}

static void
report(const struct run *run, time_t begin)
{
	uint64_t all = 0;

	for (int i = 0; i < PARTS; i++)
		all += run->compared[i];
	printf("process %u: %llu encodings accepted and compared (", run->share, (unsigned long long) all);
	for (int i = 0; i < PARTS; i++)
		printf("%s%s %llu", i ? ", " : "", part_names[i], (unsigned long long) run->compared[i]);
	printf("), %llu candidates, %llu differ, %lld s\n", (unsigned long long) run->candidates,
	    (unsigned long long) run->differ, (long long) (time(NULL) - begin));
	fflush(stdout);
}

/* One share. With a time, rounds of one in 50 with other random values, so that all parts get their turn. */
static int
go(unsigned share, unsigned shares, long seconds)
{
	struct run run = {.share = share, .shares = shares};
	time_t begin = time(NULL), said = begin;

	run.end = seconds ? begin + seconds : 0;
	for (uint64_t round = share + 1; !run.end || time(NULL) < run.end; round += shares) {
		for (run.part = 0; run.part < PARTS; run.part++)
			enumerate(run.part, seconds ? 50 : shares, round, ask, &run);
		if (!run.end)
			break;
		if (time(NULL) > said + 60) {
			said = time(NULL);
			report(&run, begin);
		}
	}
	report(&run, begin);
	return run.differ > 0;
}

int
main(int argc, char **argv)
{
	long jobs = 1, seconds = 0;
	int status, bad = 0;

	if (argc > 2 && strcmp(argv[1], "--jobs") == 0) {
		jobs = atol(argv[2]);
		argv += 2;
		argc -= 2;
	}
	if (argc != 2 || jobs < 1 || (strcmp(argv[1], "--all") != 0 && (seconds = atol(argv[1])) < 1)) {
		fprintf(stderr, "usage: lfi-oracle [--jobs N] SECONDS | --all\n");
		return 2;
	}
	printf("oracles:");
	for (unsigned i = 0; i < oracle_count; i++)
		printf(" %s", oracles[i].name);
	printf("\n");
	fflush(stdout);
	for (long i = 0; i < jobs; i++)
		if (fork() == 0)
			return go((unsigned) i, (unsigned) jobs, seconds);
	while (wait(&status) > 0)
		bad |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	return bad;
}
