/* SPDX-License-Identifier: MIT */
/*
 * Many sandboxes in one host: how long the first and the last ones take to make, and what each one takes of memory and
 * of the kernel's mappings. A table, and JSON with --json. Uses the public headers only.
 *
 *   bench-scale [--json FILE] LIBRARY    LIBRARY: build/<preset>/examples/add.lfi
 */
#include <lfi/lfi.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* Two mappings for an empty box, eight for a process; vm.max_map_count is 65530 by default. */
enum { EMPTY = 30000, LOADED = 1000, CLONES = 8000 };

struct Usage {
	double mappings, resident, shared_out, tables; /* KiB but the first */
};

struct Row {
	const char *name;
	int n;
	double first, last; /* us each, of the first and the last eighth, at most 1,000 */
	struct Usage each;
};

static struct LFIEngine *engine;
static struct LFILinuxEngine *linux_;
static struct LFISnapshot *snapshot;
static const char *library;
static void *made[EMPTY];

static void
die(const char *what)
{
	fprintf(stderr, "scale: %s: %s\n", what, lfi_errmsg());
	exit(1);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

/* ---- What is taken ---- */

/* The number behind a name at a line's start, or 0. */
static double
field(const char *path, const char *name)
{
	FILE *file = fopen(path, "r");
	char line[256];
	double value = 0;

	while (file && fgets(line, sizeof line, file))
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtod(line + strlen(name), NULL);
	if (file)
		fclose(file);
	return value;
}

static double
lines(const char *path)
{
	FILE *file = fopen(path, "r");
	double n = 0;
	int c;

	while (file && (c = getc(file)) != EOF)
		n += c == '\n';
	if (file)
		fclose(file);
	return n;
}

static struct Usage
usage(void)
{
	malloc_trim(0);
	return (struct Usage){lines("/proc/self/maps"), field("/proc/self/status", "VmRSS:"),
	    field("/proc/self/smaps_rollup", "Pss:"), field("/proc/self/status", "VmPTE:")};
}

static struct Usage
each_of(int n, struct Usage from, struct Usage to)
{
	return (struct Usage){(to.mappings - from.mappings) / n, (to.resident - from.resident) / n,
	    (to.shared_out - from.shared_out) / n, (to.tables - from.tables) / n};
}

/* ---- What is made ---- */

static void *
make_empty(void)
{
	return lfi_box_new(engine);
}

static void *
make_loaded(void)
{
	struct LFILinuxProc *proc = lfi_proc_new(linux_);
	struct LFILinuxThread *thread;

	if (!proc || !lfi_proc_load_file(proc, library) || !(thread = lfi_thread_new(proc, 0, NULL, NULL)) ||
	    lfi_linux_init_clone(thread) < 0)
		return NULL;
	return proc;
}

static void *
make_clone(void)
{
	return lfi_snapshot_clone(snapshot);
}

static void
free_box(void *box)
{
	lfi_box_free(box);
}

static void
free_proc(void *proc)
{
	lfi_proc_free(proc);
}

static void
call_add(struct LFILinuxProc *proc)
{
	union LFIValue args[2] = {{.i = 2}, {.i = 40}}, sum;

	if (lfi_call(lfi_thread_ctx(lfi_proc_thread(proc)), lfi_proc_sym(proc, "add"), "i(ii)", args, &sum) < 0)
		die("call");
}

/* Fills `row`, and `called` too when it is not NULL: the same processes after a call each. */
static void
measure(struct Row *row, void *(*make)(void), void (*undo)(void *), struct Row *called)
{
	int window = row->n / 8 < 1000 ? row->n / 8 : 1000;
	struct Usage before = usage();
	double start = now();

	for (int i = 0; i < row->n; i++) {
		if (i == row->n - window)
			start = now();
		if (!(made[i] = make()))
			die(row->name);
		if (i == window - 1)
			row->first = (now() - start) / window;
	}
	row->last = (now() - start) / window;
	row->each = each_of(row->n, before, usage());
	for (int i = 0; called && i < row->n; i++) {
		if (i == 0 || i == row->n - window)
			start = now();
		call_add(made[i]);
		if (i == window - 1)
			called->first = (now() - start) / window;
	}
	if (called) {
		called->last = (now() - start) / window;
		called->each = each_of(row->n, before, usage());
	}
	for (int i = 0; i < row->n; i++)
		undo(made[i]);
}

/* Three descriptors each. */
static int
loaded_fitting(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return LOADED / 8;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur / 3 < LOADED + 64 ? (int) (limit.rlim_cur / 3) - 64 : LOADED;
}

static void
print(const struct Row *rows, size_t n, FILE *json)
{
	printf("%-26s %7s %9s %9s %9s %9s %9s %9s\n", "what", "number", "first us", "last us", "mappings", "RSS KiB",
	    "PSS KiB", "PTE KiB");
	for (size_t i = 0; i < n; i++)
		printf("%-26s %7d %9.2f %9.2f %9.2f %9.1f %9.1f %9.1f\n", rows[i].name, rows[i].n, rows[i].first,
		    rows[i].last, rows[i].each.mappings, rows[i].each.resident, rows[i].each.shared_out,
		    rows[i].each.tables);
	for (size_t i = 0; json && i < n; i++)
		fprintf(json,
		    "%s  \"%s\": {\"number\": %d, \"first_us\": %.2f, \"last_us\": %.2f, \"mappings\": %.2f, "
		    "\"rss_kib\": %.1f, \"pss_kib\": %.1f, \"pte_kib\": %.1f}%s",
		    i == 0 ? "{\n" : "", rows[i].name, rows[i].n, rows[i].first, rows[i].last, rows[i].each.mappings,
		    rows[i].each.resident, rows[i].each.shared_out, rows[i].each.tables, i + 1 < n ? ",\n" : "\n}\n");
}

int
main(int argc, char **argv)
{
	const char *path = argc == 4 && strcmp(argv[1], "--json") == 0 ? argv[2] : NULL;
	struct Row rows[] = {
	    {.name = "empty box", .n = EMPTY},
	    {.name = "loaded process", .n = loaded_fitting()},
	    {.name = "clone", .n = CLONES},
	    {.name = "clone, called once", .n = CLONES},
	};
	struct LFILinuxProc *proc;
	FILE *json = NULL;

	if (argc != 2 && !path) {
		fprintf(stderr, "usage: bench-scale [--json FILE] LIBRARY\n");
		return 2;
	}
	library = argv[argc - 1];
	if (path && !(json = fopen(path, "w"))) {
		perror(path);
		return 1;
	}
	engine = lfi_new((struct LFIOptions){.boxsize = 0}, EMPTY);
	if (!engine || !(linux_ = lfi_linux_new(engine, (struct LFILinuxOptions){.wd = NULL})))
		die("engine");
	measure(&rows[0], make_empty, free_box, NULL);
	proc = make_loaded();
	if (!proc)
		die(library);
	measure(&rows[1], make_loaded, free_proc, NULL);
	snapshot = lfi_snapshot_new(proc);
	if (!snapshot)
		die("snapshot");
	measure(&rows[2], make_clone, free_proc, &rows[3]);
	print(rows, sizeof rows / sizeof rows[0], json);
	if (json)
		fclose(json);
	lfi_snapshot_free(snapshot);
	lfi_proc_free(proc);
	lfi_linux_free(linux_);
	lfi_free(engine);
	return 0;
}
