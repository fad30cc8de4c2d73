/* SPDX-License-Identifier: MIT */
/*
 * What clones, resets and pools of a small library cost: a table of microseconds, or JSON with --json; medians, and the
 * best round, which shows what a busy machine hides. Uses the public headers only.
 *
 *   bench-snapshot [--json FILE] LIBRARY    LIBRARY: build/<preset>/examples/add.lfi
 */
#include <lfi/lfi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 15
#define BATCH 200

struct Bench {
	struct LFISnapshot *snapshot;
	struct LFILinuxProc *proc; /* a clone */
	struct LFIPool *pool;
	lfiptr memory; /* pages of the clone that are in the snapshot */
	size_t dirty;  /* pages to write before a reset */
};

static void
die(const char *what)
{
	fprintf(stderr, "snapshot: %s: %s\n", what, lfi_errmsg());
	exit(1);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static void
call_add(struct LFILinuxProc *proc)
{
	union LFIValue args[2] = {{.i = 2}, {.i = 40}}, sum;

	if (lfi_call(lfi_thread_ctx(lfi_proc_thread(proc)), lfi_proc_sym(proc, "add"), "i(ii)", args, &sum) < 0)
		die("call");
}

/* Clones are freed outside the measured time. */
static double
time_clone(struct Bench *b)
{
	struct LFILinuxProc *procs[BATCH];
	double start = now(), took;

	for (int i = 0; i < BATCH; i++)
		if (!(procs[i] = lfi_snapshot_clone(b->snapshot)))
			die("clone");
	took = now() - start;
	for (int i = 0; i < BATCH; i++)
		lfi_proc_free(procs[i]);
	return took / BATCH;
}

static double
time_clone_call_free(struct Bench *b)
{
	double start = now();

	for (int i = 0; i < BATCH; i++) {
		struct LFILinuxProc *proc = lfi_snapshot_clone(b->snapshot);

		if (!proc)
			die("clone");
		call_add(proc);
		lfi_proc_free(proc);
	}
	return (now() - start) / BATCH;
}

static double
time_pool(struct Bench *b)
{
	double start = now();

	for (int i = 0; i < BATCH; i++)
		lfi_pool_give(b->pool, lfi_pool_take(b->pool));
	return (now() - start) / BATCH;
}

static double
time_pool_call(struct Bench *b)
{
	double start = now();

	for (int i = 0; i < BATCH; i++) {
		struct LFILinuxProc *proc = lfi_pool_take(b->pool);

		call_add(proc);
		if (lfi_pool_give(b->pool, proc) < 0)
			die("give");
	}
	return (now() - start) / BATCH;
}

static double
time_reset(struct Bench *b)
{
	double took = 0;

	for (int i = 0; i < BATCH; i++) {
		double start;

		for (size_t page = 0; page < b->dirty; page++)
			if (lfi_box_copyto(lfi_proc_box(b->proc), b->memory + page * 4096, "x", 1) < 0)
				die("write");
		start = now();
		if (lfi_proc_reset(b->proc) < 0)
			die("reset");
		took += now() - start;
	}
	return took / BATCH;
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
	const char *json = argc == 4 && strcmp(argv[1], "--json") == 0 ? argv[2] : NULL;
	struct LFIEngine *engine = lfi_new((struct LFIOptions){.boxsize = 0}, BATCH + 16);
	struct LFILinuxEngine *linux_;
	struct LFILinuxProc *proc;
	struct LFILinuxThread *thread;
	struct Bench b;
	static double results[8][ROUNDS];
	const struct {
		const char *name;
		double (*time)(struct Bench *);
		size_t dirty;
	} rows[] = {
	    {"clone", time_clone, 0},
	    {"clone, call, free", time_clone_call_free, 0},
	    {"pool: take, give", time_pool, 0},
	    {"pool: take, call, give", time_pool_call, 0},
	    {"reset, nothing written", time_reset, 0},
	    {"reset, 1 page written", time_reset, 1},
	    {"reset, 64 pages written", time_reset, 64},
	};
	const size_t nrows = sizeof rows / sizeof rows[0];
	FILE *out = stdout;
	lfiptr memory;

	if (argc != 2 && !json) {
		fprintf(stderr, "usage: bench-snapshot [--json FILE] LIBRARY\n");
		return 2;
	}
	if (!engine || !(linux_ = lfi_linux_new(engine, (struct LFILinuxOptions){.wd = NULL})))
		die("engine");
	proc = lfi_proc_new(linux_);
	if (!proc || !lfi_proc_load_file(proc, argv[argc - 1]) || !(thread = lfi_thread_new(proc, 0, NULL, NULL)) ||
	    lfi_linux_init_clone(thread) < 0)
		die(argv[argc - 1]);
	memory = lfi_box_mapany(
	    lfi_proc_box(proc), 64 * 4096, LFI_PROT_READ | LFI_PROT_WRITE, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0);
	b.snapshot = lfi_snapshot_new(proc);
	if (memory == (lfiptr) -1 || !b.snapshot || !(b.proc = lfi_snapshot_clone(b.snapshot)) ||
	    !(b.pool = lfi_pool_new(b.snapshot, 2)))
		die("snapshot");
	b.memory = memory; /* an offset: the program is position-oblivious */
	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < nrows; i++) {
			b.dirty = rows[i].dirty;
			results[i][round] = rows[i].time(&b);
		}
	}
	if (json && !(out = fopen(json, "w"))) {
		perror(json);
		return 1;
	}
	if (json)
		fprintf(out, "{\n");
	printf("%-32s %10s %10s\n", "what", "us", "best");
	for (size_t i = 0; i < nrows; i++) {
		qsort(results[i], ROUNDS, sizeof results[i][0], compare);
		printf("%-32s %10.2f %10.2f\n", rows[i].name, results[i][ROUNDS / 2], results[i][0]);
		if (json)
			fprintf(out, "  \"%s\": {\"median_us\": %.2f, \"best_us\": %.2f}%s\n", rows[i].name,
			    results[i][ROUNDS / 2], results[i][0], i + 1 < nrows ? "," : "");
	}
	if (json) {
		fprintf(out, "}\n");
		fclose(out);
	}
	lfi_pool_free(b.pool);
	lfi_proc_free(b.proc);
	lfi_snapshot_free(b.snapshot);
	lfi_proc_free(proc);
	lfi_linux_free(linux_);
	lfi_free(engine);
	return 0;
}
