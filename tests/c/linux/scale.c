/* SPDX-License-Identifier: MIT */
/*
 * Thousands of processes in one host: what each takes of the kernel's mappings, of which a host has some 65,000
 * (vm.max_map_count), and that all comes back. The library is programs/stateful.c.
 */
#include <dirent.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>
#include <lfi/lfi.h>

#include "sanitizers.h"
#include "sysroot_test.h"

enum {
	CLONES = 8000,
	LOADED = 500,
	MAPPINGS = 8,  /* of one process, what is inaccessible between included */
	OTHERS = 1000, /* of the test itself */
	KEPT = 256,    /* free places that have their table, which with what lies between is two mappings */
};

static char dir[] = "/tmp/lfi-scale-XXXXXX";
static char program[64];

/* ---- What the host has ---- */

struct Usage {
	long mappings, resident_kib, tables_kib, fds;
};

static long
status_kib(const char *name)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	long value = -1;

	assert_non_null(file);
	while (fgets(line, sizeof line, file))
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtol(line + strlen(name), NULL, 10);
	fclose(file);
	assert_true(value >= 0);
	return value;
}

static long
count_lines(const char *path)
{
	FILE *file = fopen(path, "r");
	long lines = 0;
	int c;

	assert_non_null(file);
	while ((c = getc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}

static long
count_fds(void)
{
	DIR *fds = opendir("/proc/self/fd");
	long n = 0;

	assert_non_null(fds);
	while (readdir(fds))
		n++;
	closedir(fds);
	return n;
}

static struct Usage
usage(void)
{
	malloc_trim(0);
	return (struct Usage){count_lines("/proc/self/maps"), status_kib("VmRSS:"), status_kib("VmPTE:"), count_fds()};
}

/*
 * Of `n` processes' places the kernel keeps the page tables in which the runtime-call table lies, two pages, since
 * they reach into the place below; the next process there has them. Where the table itself is kept it is twice that.
 */
static void
assert_given_back(const struct Usage *before, const struct Usage *after, long n)
{
	assert_int_equal(after->fds, before->fds);
	assert_in_range(after->mappings, 0, before->mappings + 2 * KEPT + 16);
	assert_in_range(after->resident_kib, 0, before->resident_kib + 4096);
	assert_in_range(after->tables_kib, 0, before->tables_kib + n * 8 + KEPT * 8 + 1024);
}

/* Not where each page has shadows and address space is short. */
static void
needs_no_sanitizer(void)
{
	if (!THREAD_SANITIZER && !ADDRESS_SANITIZER)
		return;
	print_message("skipped: sanitizers need memory and address space of their own\n");
	skip();
}

/* Whether the kernel gives as many mappings; says so when not. */
static bool
enough_mappings(long n)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
	long most = 0;

	if (file) {
		if (fscanf(file, "%ld", &most) != 1)
			most = 0;
		fclose(file);
	}
	if (most >= n)
		return true;
	print_message("skipped: vm.max_map_count is %ld, and this takes up to %ld\n", most, n);
	return false;
}

/* ---- Processes ---- */

struct Host {
	struct LFIEngine *engine;
	struct LFILinuxEngine *linux_;
};

static struct Host
host_open(size_t boxes)
{
	struct Host host = {.engine = lfi_new((struct LFIOptions){.boxsize = 0}, boxes)};

	if (!host.engine)
		fail_msg("%s", lfi_errmsg());
	host.linux_ = lfi_linux_new(host.engine, (struct LFILinuxOptions){.wd = NULL});
	assert_non_null(host.linux_);
	return host;
}

static void
host_close(struct Host *host)
{
	lfi_linux_free(host->linux_);
	lfi_free(host->engine);
}

static int
call(struct LFILinuxProc *proc, const char *name, int arg)
{
	union LFIValue value = {.i = arg}, result = {.i = -1};

	if (lfi_call(lfi_thread_ctx(lfi_proc_thread(proc)), lfi_proc_sym(proc, name), "i(i)", &value, &result) < 0)
		fail_msg("%s: %s", name, lfi_errmsg());
	return (int) result.i;
}

/* A library, ready to be called. */
static struct LFILinuxProc *
load(struct Host *host)
{
	struct LFILinuxProc *proc = lfi_proc_new(host->linux_);
	struct LFILinuxThread *thread;

	if (!proc || !lfi_proc_load_file(proc, program) || !(thread = lfi_thread_new(proc, 0, NULL, NULL)) ||
	    lfi_linux_init_clone(thread) < 0)
		fail_msg("%s", lfi_errmsg());
	return proc;
}

static void
thousands_of_clones_fit_and_are_given_back(void **state)
{
	static struct LFILinuxProc *clones[CLONES];
	struct Usage before, after;
	struct LFISnapshot *snapshot;
	struct LFILinuxProc *proc;
	struct Host host;

	needs_no_sanitizer();
	if (!enough_mappings((long) CLONES * MAPPINGS + OTHERS))
		skip();
	host = host_open(CLONES + 1);
	proc = load(&host);
	assert_int_equal(call(proc, "prepare", 7), 0);
	snapshot = lfi_snapshot_new(proc);
	if (!snapshot)
		fail_msg("%s", lfi_errmsg());
	before = usage();
	for (int i = 0; i < CLONES; i++) {
		clones[i] = lfi_snapshot_clone(snapshot);
		if (!clones[i])
			fail_msg("clone %d: %s", i, lfi_errmsg());
		assert_int_equal(call(clones[i], "sum", 0), 42);
	}
	after = usage();
	print_message("%d clones, called once each: %.2f mappings, %.1f KiB resident, %.1f KiB of page tables each\n",
	    CLONES, (double) (after.mappings - before.mappings) / CLONES,
	    (double) (after.resident_kib - before.resident_kib) / CLONES,
	    (double) (after.tables_kib - before.tables_kib) / CLONES);
	/* Some for the contexts' pages, 64 in each mapping. */
	assert_in_range(after.mappings - before.mappings, 0, (long) CLONES * MAPPINGS + CLONES / 64 * 2 + 16);
	/* Descriptors of open files are shared. */
	assert_int_equal(after.fds, before.fds);
	for (int i = 0; i < CLONES; i++)
		lfi_proc_free(clones[i]);
	after = usage();
	assert_given_back(&before, &after, CLONES);
	lfi_snapshot_free(snapshot);
	lfi_proc_free(proc);
	host_close(&host);
	after = usage();
	assert_in_range(after.tables_kib, 0, before.tables_kib + 1024);
}

/* As many as there may be descriptors for: three each. */
static int
fitting_loaded(void)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return limit.rlim_cur / 3 < LOADED + 64 ? (int) (limit.rlim_cur / 3) - 64 : LOADED;
}

static void
hundreds_of_loaded_processes_take_few_mappings_each(void **state)
{
	static struct LFILinuxProc *procs[LOADED];
	const int n = fitting_loaded();
	struct LFILinuxProc *first;
	struct Usage before, after;
	struct Host host;

	needs_no_sanitizer();
	host = host_open(LOADED + 1);
	first = load(&host);
	/* Not what the first one takes for all. */
	before = usage();
	for (int i = 0; i < n; i++)
		procs[i] = load(&host);
	after = usage();
	print_message("%d loaded processes: %.2f mappings, %.1f KiB resident, %.1f KiB of page tables each\n", n,
	    (double) (after.mappings - before.mappings) / n, (double) (after.resident_kib - before.resident_kib) / n,
	    (double) (after.tables_kib - before.tables_kib) / n);
	assert_in_range(after.mappings - before.mappings, 0, (long) n * MAPPINGS + 32);
	for (int i = 0; i < n; i++)
		lfi_proc_free(procs[i]);
	after = usage();
	assert_given_back(&before, &after, n);
	lfi_proc_free(first);
	host_close(&host);
}

/* ---- Set-up ---- */

static int
compile(void **state)
{
	char line[4096];

	if (!mkdtemp(dir))
		return -1;
	snprintf(program, sizeof program, "%s/stateful.lfi", dir);
	snprintf(line, sizeof line, "%s/lfi-cc -O2 %s/tests/c/linux/programs/stateful.c -o %s", getenv("LFI_BIN"),
	    getenv("LFI_SOURCE"), program);
	return system(line);
}

static int
clean(void **state)
{
	unlink(program);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(thousands_of_clones_fit_and_are_given_back),
	    cmocka_unit_test(hundreds_of_loaded_processes_take_few_mappings_each),
	};

	if (!can_compile("libc.a"))
		return 0;
	return cmocka_run_group_tests(tests, compile, clean);
}
