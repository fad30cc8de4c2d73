/* SPDX-License-Identifier: MIT */
/*
 * How long an interrupted call, or one whose deadline passes, still takes to return: median, 99th percentile and
 * maximum, for each way in which it may be busy; and what a deadline costs a call that is done in time. A table, with
 * --json FILE also a file. Uses the public headers only.
 *
 *   bench-interrupt [--json FILE] block.lfi
 */
#include <lfi/lfi.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 1000, ROWS_MAX = 32, COST_ROUNDS = 15, COST_CALLS = 100000 };

static const char *const ways[] = {"loop", "read", "futex", "sleep", "poll"};
enum { WAYS = sizeof ways / sizeof ways[0], RETURNS = WAYS };

static struct LFIBox *box;
static struct LFIContext *ctx;
static lfiptr block, flag_address;
static _Atomic int *flag;

struct Row {
	char name[48];
	double median, p99, max; /* us; of costs: ns, the median only */
	bool cost;
};
static struct Row rows[ROWS_MAX];
static int nrows;

static void
die(const char *what)
{
	fprintf(stderr, "bench-interrupt: %s: %s\n", what, lfi_errmsg());
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

static void
load(const char *path)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions){.boxsize = 0}, 1);
	struct LFILinuxEngine *linux_ = engine ? lfi_linux_new(engine, (struct LFILinuxOptions){0}) : NULL;
	struct LFILinuxProc *proc = linux_ ? lfi_proc_new(linux_) : NULL;
	struct LFILinuxThread *thread;

	if (!proc || !lfi_proc_load_file(proc, path))
		die(path);
	thread = lfi_thread_new(proc, 0, NULL, NULL);
	if (!thread || lfi_linux_init_clone(thread) < 0)
		die(path);
	box = lfi_proc_box(proc);
	ctx = lfi_thread_ctx(thread);
	block = lfi_proc_sym(proc, "block");
	flag_address =
	    lfi_box_mapany(box, 4096, LFI_PROT_READ | LFI_PROT_WRITE, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0);
	flag = lfi_box_ptr(box, flag_address, sizeof *flag);
	if (!block || !flag)
		die("block");
}

/* ---- Latency ---- */

static _Atomic uint64_t told;

static void *
interrupter(void *arg)
{
	const struct timespec moment = {0, 200000};

	for (int i = 0; i < ROUNDS; i++) {
		while (!atomic_load(flag))
			sched_yield();
		nanosleep(&moment, NULL);
		atomic_store(flag, 0);
		atomic_store(&told, now());
		if (lfi_box_interrupt(box) < 0)
			die("lfi_box_interrupt");
		/* Until the call has returned. */
		while (atomic_load(&told))
			sched_yield();
	}
	return arg;
}

static void
add_latency(const char *what, int how, double *us)
{
	struct Row *row = &rows[nrows++];

	snprintf(row->name, sizeof row->name, "%s, %s", what, ways[how]);
	qsort(us, ROUNDS, sizeof *us, compare);
	row->median = us[ROUNDS / 2];
	row->p99 = us[ROUNDS * 99 / 100];
	row->max = us[ROUNDS - 1];
}

static void
call_blocked(int how, int expected)
{
	LFI_INVOKE(box, &ctx, block, int, (int, lfiptr), how, flag_address);
	if (lfi_errno() != expected)
		die(ways[how]);
}

static void
measure_interrupt(int how)
{
	static double us[ROUNDS];
	pthread_t thread;

	if (pthread_create(&thread, NULL, interrupter, NULL) != 0)
		die("thread");
	for (int i = 0; i < ROUNDS; i++) {
		call_blocked(how, LFI_ERR_INTERRUPTED);
		us[i] = (double) (now() - atomic_load(&told)) / 1e3;
		atomic_store(&told, 0);
	}
	pthread_join(thread, NULL);
	add_latency("interrupt", how, us);
}

static void
measure_deadline(int how)
{
	static double us[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t when = now() + 500000;

		if (lfi_ctx_deadline_at(ctx, when) < 0)
			die("lfi_ctx_deadline_at");
		call_blocked(how, LFI_ERR_DEADLINE);
		us[i] = (double) (now() - when) / 1e3;
	}
	add_latency("deadline", how, us);
}

/* ---- Cost ---- */

static void
plain(void)
{
	LFI_INVOKE(box, &ctx, block, int, (int, lfiptr), RETURNS, flag_address);
}

static void
with_deadline(void)
{
	lfi_ctx_deadline(ctx, (uint64_t) 1000000000);
	plain();
}

static void
measure_cost(const char *what, void (*fn)(void))
{
	struct Row *row = &rows[nrows++];
	double ns[COST_ROUNDS];

	for (int round = 0; round < COST_ROUNDS; round++) {
		uint64_t start = now();

		for (int i = 0; i < COST_CALLS; i++)
			fn();
		ns[round] = (double) (now() - start) / COST_CALLS;
	}
	qsort(ns, COST_ROUNDS, sizeof ns[0], compare);
	snprintf(row->name, sizeof row->name, "%s", what);
	row->median = ns[COST_ROUNDS / 2];
	row->cost = true;
}

static void
write_json(const char *path)
{
	FILE *out = fopen(path, "w");

	if (!out) {
		perror(path);
		exit(1);
	}
	fputs("{\n", out);
	for (int i = 0; i < nrows; i++) {
		fprintf(out, "  \"%s\": ", rows[i].name);
		if (rows[i].cost)
			fprintf(out, "{\"median_ns\": %.2f}", rows[i].median);
		else
			fprintf(out, "{\"median_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f}", rows[i].median,
			    rows[i].p99, rows[i].max);
		fputs(i + 1 < nrows ? ",\n" : "\n}\n", out);
	}
	fclose(out);
}

int
main(int argc, char **argv)
{
	const char *json = NULL;

	if (argc == 4 && strcmp(argv[1], "--json") == 0)
		json = argv[2];
	if (argc != 2 && !json) {
		fprintf(stderr, "usage: bench-interrupt [--json FILE] block.lfi\n");
		return 2;
	}
	load(argv[argc - 1]);
	for (int how = 0; how < WAYS; how++)
		measure_interrupt(how);
	for (int how = 0; how < WAYS; how++)
		measure_deadline(how);
	measure_cost("call", plain);
	measure_cost("call with a deadline", with_deadline);
	printf("%-32s %12s %12s %12s\n", "until the call has returned", "median us", "p99 us", "max us");
	for (int i = 0; i < nrows; i++)
		if (!rows[i].cost)
			printf("%-32s %12.1f %12.1f %12.1f\n", rows[i].name, rows[i].median, rows[i].p99, rows[i].max);
	for (int i = 0; i < nrows; i++)
		if (rows[i].cost)
			printf("%-32s %9.1f ns\n", rows[i].name, rows[i].median);
	if (json)
		write_json(json);
	return 0;
}
