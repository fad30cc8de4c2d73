/* SPDX-License-Identifier: MIT */
/*
 * What a host may get wrong with Linux programs: each call answers with an error whose message names the value, and
 * nothing happens. The program is made by hand, so no compiler is needed.
 */
#include "bad_input.h"

#include "elf/make_elf.h"

enum { PAGE = 4096 };

/* Of each kind, one that lives and one that was freed. */
static void *live[KINDS], *freed[KINDS];

static struct TestElf program;
static struct LFIFault fault_out;
static char bytes[64];
static struct LFILinuxOptions options;

/* ---- Handles ---- */

static struct LFILinuxProc *
loaded(struct LFILinuxEngine *linux_)
{
	struct LFILinuxProc *proc = lfi_proc_new(linux_);

	assert_non_null(proc);
	if (!lfi_proc_load(proc, program.bytes, sizeof program.bytes, "program"))
		fail_msg("%s", lfi_errmsg());
	return proc;
}

static void
make_live(void)
{
	test_elf_make(&program);
	program.bytes[0x308] = 2; /* the note says: position-oblivious */
	live[ENGINE] = lfi_new((struct LFIOptions){0}, 16);
	live[LINUX] = lfi_linux_new(live[ENGINE], options);
	live[PROC] = loaded(live[LINUX]);
	live[SNAPSHOT] = lfi_snapshot_new(live[PROC]);
	live[THREAD] = lfi_thread_new(live[PROC], 0, NULL, NULL);
	live[BOX] = lfi_proc_box(live[PROC]);
	live[CONTEXT] = lfi_thread_ctx(live[THREAD]);
	live[POOL] = lfi_pool_new(live[SNAPSHOT], 2);
	live[FN] = lfi_fn_new(live[BOX], lfi_box_info(live[BOX]).min, "v()");
	for (int kind = ENGINE; kind < KINDS; kind++)
		if (!live[kind])
			fail_msg("no %s: %s", kind_names[kind], lfi_errmsg());
}

static void
make_freed(void)
{
	freed[ENGINE] = lfi_new((struct LFIOptions){0}, 1);
	freed[LINUX] = lfi_linux_new(freed[ENGINE], options);
	freed[PROC] = loaded(live[LINUX]);
	freed[SNAPSHOT] = lfi_snapshot_new(freed[PROC]);
	freed[THREAD] = lfi_thread_new(freed[PROC], 0, NULL, NULL);
	freed[POOL] = lfi_pool_new(freed[SNAPSHOT], 1);
	assert_non_null(freed[THREAD]);
	assert_non_null(freed[POOL]);
	lfi_pool_free(freed[POOL]);
	lfi_thread_free(freed[THREAD]);
	lfi_snapshot_free(freed[SNAPSHOT]);
	lfi_proc_free(freed[PROC]);
	lfi_linux_free(freed[LINUX]);
	lfi_free(freed[ENGINE]);
}

static void
drop(void)
{
	lfi_error_clear();
	lfi_fn_free(live[FN]);
	lfi_pool_free(live[POOL]);
	lfi_thread_free(live[THREAD]);
	lfi_snapshot_free(live[SNAPSHOT]);
	lfi_proc_free(live[PROC]);
	lfi_linux_free(live[LINUX]);
	lfi_free(live[ENGINE]);
	if (lfi_errno() != LFI_OK)
		fail_msg("%s", lfi_errmsg());
}

/* clang-format off */
#define FUNCTIONS(X)                                                                                                   \
	X(lfi_linux_free, LINUX, FREES, VOID(lfi_linux_free(h)))                                                       \
	X(lfi_linux_init_clone, THREAD, 0, lfi_linux_init_clone(h) == -1)                                              \
	X(lfi_linux_new_sized, ENGINE, 0, !lfi_linux_new_sized(h, &options, sizeof options))                           \
	X(lfi_pool_free, POOL, FREES, VOID(lfi_pool_free(h)))                                                          \
	X(lfi_pool_give, POOL, 0, lfi_pool_give(h, live[PROC]) == -1)                                                  \
	X(lfi_pool_new, SNAPSHOT, 0, !lfi_pool_new(h, 1))                                                              \
	X(lfi_pool_take, POOL, 0, !lfi_pool_take(h))                                                                   \
	X(lfi_proc_box, PROC, 0, !lfi_proc_box(h))                                                                     \
	X(lfi_proc_fault_sized, PROC, 0, lfi_proc_fault_sized(h, &fault_out, sizeof fault_out) == -1)                  \
	X(lfi_proc_free, PROC, FREES, VOID(lfi_proc_free(h)))                                                          \
	X(lfi_proc_load, PROC, 0, !lfi_proc_load(h, program.bytes, sizeof program.bytes, NULL))                        \
	X(lfi_proc_load_file, PROC, 0, !lfi_proc_load_file(h, "/dev/null"))                                            \
	X(lfi_proc_new, LINUX, 0, !lfi_proc_new(h))                                                                    \
	X(lfi_proc_reset, PROC, 0, lfi_proc_reset(h) == -1)                                                            \
	X(lfi_proc_stdio, PROC, 0, lfi_proc_stdio(h, -1, -1, -1) == -1)                                                \
	X(lfi_proc_sym, PROC, 0, lfi_proc_sym(h, "_start") == 0)                                                       \
	X(lfi_proc_symbolize, PROC, 0, lfi_proc_symbolize(h, 1, bytes, sizeof bytes, NULL) == -1)                      \
	X(lfi_proc_thread, PROC, 0, !lfi_proc_thread(h))                                                               \
	X(lfi_snapshot_clone, SNAPSHOT, 0, !lfi_snapshot_clone(h))                                                     \
	X(lfi_snapshot_free, SNAPSHOT, FREES, VOID(lfi_snapshot_free(h)))                                              \
	X(lfi_snapshot_new, PROC, 0, !lfi_snapshot_new(h))                                                             \
	X(lfi_thread_ctx, THREAD, 0, !lfi_thread_ctx(h))                                                               \
	X(lfi_thread_free, THREAD, FREES, VOID(lfi_thread_free(h)))                                                    \
	X(lfi_thread_new, PROC, 0, !lfi_thread_new(h, 0, NULL, NULL))                                                  \
	X(lfi_thread_run, THREAD, 0, lfi_thread_run(h) == -1)

FUNCTIONS(FUNCTION)

static const struct Row functions[] = {
	FUNCTIONS(ROW)
};
/* clang-format on */

#define NFUNCTIONS (sizeof functions / sizeof functions[0])

static void
each_exported_function_has_a_row(void **state)
{
	(void) state;
	check_complete(functions, NFUNCTIONS, true);
}

static void
handles_that_are_none_are_refused_by_each_function(void **state)
{
	(void) state;
	make_live();
	make_freed();
	for (size_t i = 0; i < NFUNCTIONS; i++)
		try_handles(&functions[i], live, freed);
	/* Those that live still work. */
	assert_int_equal(lfi_thread_run(live[THREAD]), 7);
	drop();
}

static void
what_was_freed_is_not_freed_again(void **state)
{
	static void (*const frees[KINDS])(void *) = {
	    [ENGINE] = (void (*)(void *)) lfi_free,
	    [LINUX] = (void (*)(void *)) lfi_linux_free,
	    [PROC] = (void (*)(void *)) lfi_proc_free,
	    [THREAD] = (void (*)(void *)) lfi_thread_free,
	    [SNAPSHOT] = (void (*)(void *)) lfi_snapshot_free,
	    [POOL] = (void (*)(void *)) lfi_pool_free,
	};
	static const enum Kind order[] = {POOL, THREAD, SNAPSHOT, PROC, LINUX, ENGINE};

	(void) state;
	make_live();
	lfi_fn_free(live[FN]);
	for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
		lfi_error_clear();
		frees[order[i]](live[order[i]]);
		assert_int_equal(lfi_errno(), LFI_OK);
		frees[order[i]](live[order[i]]);
		assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
		assert_non_null(strstr(lfi_errmsg(), "freed"));
	}
}

/* What has parts that are the host's to use, but not to free; and what must not go first. */
static void
what_belongs_to_another_object_is_not_freed(void **state)
{
	struct LFILinuxProc *taken;

	(void) state;
	make_live();
	REFUSED((lfi_box_free(live[BOX]), 0), 0, LFI_ERR_INVALID, "lfi_proc_free");
	REFUSED((lfi_ctx_free(live[CONTEXT]), 0), 0, LFI_ERR_INVALID, "lfi_thread_free");
	REFUSED((lfi_free(live[ENGINE]), 0), 0, LFI_ERR_BUSY, "3 sandboxes");
	REFUSED((lfi_linux_free(live[LINUX]), 0), 0, LFI_ERR_BUSY, "3 processes");
	taken = lfi_pool_take(live[POOL]);
	assert_non_null(taken);
	REFUSED((lfi_proc_free(taken), 0), 0, LFI_ERR_INVALID, "pool");
	REFUSED((lfi_pool_free(live[POOL]), 0), 0, LFI_ERR_BUSY, "1 processes");
	assert_int_equal(lfi_pool_give(live[POOL], taken), 0);
	assert_int_equal(lfi_thread_run(live[THREAD]), 7);
	drop();
}

static void
engines_that_go_too_early_are_missed(void **state)
{
	struct LFIEngine *engine;
	struct LFILinuxEngine *linux_;
	struct LFILinuxProc *proc;
	struct LFISnapshot *snapshot;

	(void) state;
	engine = lfi_new((struct LFIOptions){0}, 2);
	linux_ = lfi_linux_new(engine, options);
	proc = loaded(linux_);
	snapshot = lfi_snapshot_new(proc);
	lfi_proc_free(proc);
	/* Its Linux engine, which it needs, goes before a snapshot. */
	lfi_linux_free(linux_);
	REFUSED(lfi_snapshot_clone(snapshot), NULL, LFI_ERR_INVALID, "Linux engine");
	REFUSED(lfi_pool_new(snapshot, 1), NULL, LFI_ERR_INVALID, "Linux engine");
	lfi_snapshot_free(snapshot);
	/* The engine goes before a Linux engine. */
	linux_ = lfi_linux_new(engine, options);
	lfi_free(engine);
	REFUSED(lfi_proc_new(linux_), NULL, LFI_ERR_INVALID, "engine");
	lfi_linux_free(linux_);
	REFUSED(lfi_proc_new(linux_), NULL, LFI_ERR_INVALID, "Linux engine");
}

/* ---- Pools ---- */

static void
processes_go_back_to_their_own_pool_once(void **state)
{
	struct LFIPool *other;
	struct LFILinuxProc *proc, *second;

	(void) state;
	make_live();
	other = lfi_pool_new(live[SNAPSHOT], 1);
	proc = lfi_pool_take(live[POOL]);
	second = lfi_pool_take(live[POOL]);
	REFUSED(lfi_pool_take(live[POOL]), NULL, LFI_ERR_LIMIT, "2 processes");
	REFUSED(lfi_pool_give(live[POOL], NULL), -1, LFI_ERR_INVALID, "process is NULL");
	REFUSED(lfi_pool_give(live[POOL], (void *) bytes), -1, LFI_ERR_INVALID, "process 0x");
	REFUSED(lfi_pool_give(live[POOL], live[PROC]), -1, LFI_ERR_INVALID, "none of this pool");
	REFUSED(lfi_pool_give(live[POOL], live[BOX]), -1, LFI_ERR_INVALID, "this is a box");
	REFUSED(lfi_pool_give(other, proc), -1, LFI_ERR_INVALID, "none of this pool");
	assert_int_equal(lfi_pool_give(live[POOL], proc), 0);
	REFUSED(lfi_pool_give(live[POOL], proc), -1, LFI_ERR_INVALID, "given back already");
	REFUSED(lfi_pool_give(other, proc), -1, LFI_ERR_INVALID, "none of this pool");
	assert_int_equal(lfi_pool_give(live[POOL], second), 0);
	lfi_pool_free(other);
	REFUSED(lfi_pool_take(other), NULL, LFI_ERR_INVALID, "pool");
	REFUSED(lfi_pool_new(live[SNAPSHOT], 0), NULL, LFI_ERR_INVALID, "0 processes");
	REFUSED(lfi_pool_new(live[SNAPSHOT], SIZE_MAX), NULL, LFI_ERR_NOSPACE, "18446744073709551615");
	REFUSED(lfi_pool_new(live[SNAPSHOT], (size_t) 1 << 60), NULL, LFI_ERR_NOSPACE, "1152921504606846976");
	REFUSED(lfi_pool_new(live[SNAPSHOT], 1000), NULL, LFI_ERR_NOSPACE, "16 places");
	drop();
}

/* Until it is taken again, it is not the host's. */
static void
processes_in_a_pool_are_refused(void **state)
{
	struct LFILinuxProc *proc;
	struct LFILinuxThread *thread;

	(void) state;
	make_live();
	proc = lfi_pool_take(live[POOL]);
	thread = lfi_thread_new(proc, 0, NULL, NULL);
	assert_non_null(thread);
	assert_int_equal(lfi_pool_give(live[POOL], proc), 0);
	for (size_t i = 0; i < NFUNCTIONS; i++)
		if (functions[i].kind == PROC) {
			lfi_error_clear();
			assert_true(functions[i].refused(proc));
			assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
			assert_non_null(strstr(lfi_errmsg(), "pool"));
		} else if (functions[i].kind == THREAD) {
			/* It was made after the snapshot, so the reset freed it. */
			try_handle(&functions[i], thread, "a thread of a process that was reset", "thread");
		}
	assert_ptr_equal(lfi_pool_take(live[POOL]), proc);
	assert_non_null(lfi_proc_box(proc));
	assert_int_equal(lfi_pool_give(live[POOL], proc), 0);
	drop();
}

/* The first thread of a process stays when that is given back. */
static void
threads_of_processes_in_a_pool_are_refused(void **state)
{
	struct LFISnapshot *snapshot;
	struct LFIPool *pool;
	struct LFILinuxProc *proc;
	struct LFILinuxThread *thread;

	(void) state;
	make_live();
	snapshot = lfi_snapshot_new(live[PROC]);
	pool = lfi_pool_new(snapshot, 1);
	proc = lfi_pool_take(pool);
	thread = lfi_proc_thread(proc);
	assert_non_null(thread);
	assert_int_equal(lfi_pool_give(pool, proc), 0);
	for (size_t i = 0; i < NFUNCTIONS; i++) {
		if (functions[i].kind != THREAD)
			continue;
		lfi_error_clear();
		assert_true(functions[i].refused(thread));
		assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
		assert_non_null(strstr(lfi_errmsg(), "pool"));
	}
	assert_ptr_equal(lfi_pool_take(pool), proc);
	assert_int_equal(lfi_thread_run(thread), 7);
	assert_int_equal(lfi_pool_give(pool, proc), 0);
	lfi_pool_free(pool);
	lfi_snapshot_free(snapshot);
	drop();
}

/* ---- What is given beside handles ---- */

static void
programs_that_are_none_are_refused(void **state)
{
	struct LFILinuxProc *proc;

	(void) state;
	make_live();
	proc = lfi_proc_new(live[LINUX]);
	REFUSED(lfi_proc_load(proc, NULL, 100, NULL), false, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_proc_load(proc, NULL, 0, NULL), false, LFI_ERR_INVALID, "NULL");
	for (size_t size = 0; size < 64; size++)
		REFUSED(lfi_proc_load(proc, program.bytes, size, NULL), false, LFI_ERR_ELF, "");
	REFUSED(lfi_proc_load_file(proc, NULL), false, LFI_ERR_INVALID, "path");
	REFUSED(lfi_proc_load_file(proc, ""), false, LFI_ERR_OS, "''");
	REFUSED(lfi_proc_load_file(proc, "/"), false, LFI_ERR_OS, "'/'");
	REFUSED(lfi_proc_load_file(proc, "/dev/zero"), false, LFI_ERR_OS, "/dev/zero");
	REFUSED(lfi_proc_load_file(proc, "/nowhere/at/all"), false, LFI_ERR_OS, "/nowhere/at/all");
	/* A process without a program. */
	REFUSED(lfi_proc_sym(proc, "_start"), 0, LFI_ERR_NOTFOUND, "_start");
	REFUSED(lfi_proc_symbolize(proc, 1, bytes, sizeof bytes, NULL), -1, LFI_ERR_NOTFOUND, "");
	REFUSED(lfi_thread_new(proc, 0, NULL, NULL), NULL, LFI_ERR_INVALID, "no program");
	REFUSED(lfi_proc_thread(proc), NULL, LFI_ERR_NOTFOUND, "no thread");
	REFUSED(lfi_snapshot_new(proc), NULL, LFI_ERR_INVALID, "no program");
	REFUSED(lfi_proc_reset(proc), -1, LFI_ERR_INVALID, "no snapshot");
	REFUSED(lfi_proc_fault_sized(proc, &fault_out, sizeof fault_out), -1, LFI_ERR_NOTFOUND, "");
	lfi_proc_free(proc);
	/* One that has a program has no room for another. */
	REFUSED(lfi_proc_load(live[PROC], program.bytes, sizeof program.bytes, NULL), false, LFI_ERR_INVALID, "already");
	drop();
}

static void
names_arguments_and_descriptors_that_are_none_are_refused(void **state)
{
	const char *const hole[] = {"a", NULL, "c", NULL}, *one[] = {"a", NULL};
	struct LFILinuxProc *proc;

	(void) state;
	make_live();
	proc = loaded(live[LINUX]);
	REFUSED(lfi_proc_sym(proc, NULL), 0, LFI_ERR_INVALID, "name");
	REFUSED(lfi_proc_sym(proc, ""), 0, LFI_ERR_NOTFOUND, "''");
	REFUSED(lfi_proc_symbolize(proc, lfi_proc_sym(proc, "_start"), NULL, 8, NULL), -1, LFI_ERR_INVALID, "name");
	REFUSED(lfi_proc_symbolize(proc, lfi_proc_sym(proc, "_start"), bytes, 0, NULL), -1, LFI_ERR_INVALID, "name");
	REFUSED(lfi_proc_symbolize(proc, UINT64_MAX, bytes, 8, NULL), -1, LFI_ERR_NOTFOUND, "0xffffffffffffffff");
	assert_int_equal(lfi_proc_symbolize(proc, lfi_proc_sym(proc, "_start"), bytes, 1, NULL), 0);
	REFUSED(lfi_proc_stdio(proc, 1 << 30, -1, -1), -1, LFI_ERR_OS, "1073741824");
	REFUSED(lfi_thread_new(proc, -1, (const char **) one, NULL), NULL, LFI_ERR_INVALID, "-1");
	REFUSED(lfi_thread_new(proc, INT32_MIN, NULL, NULL), NULL, LFI_ERR_INVALID, "-2147483648");
	REFUSED(lfi_thread_new(proc, 1, NULL, NULL), NULL, LFI_ERR_INVALID, "argv NULL");
	REFUSED(lfi_thread_new(proc, 3, (const char **) hole, NULL), NULL, LFI_ERR_INVALID, "argv[1]");
	/* A thread is run once, and a program with a main is no library. */
	REFUSED(lfi_thread_new(live[PROC], 0, NULL, NULL), NULL, LFI_ERR_INVALID, "first thread");
	REFUSED(lfi_linux_init_clone(live[THREAD]), -1, LFI_ERR_INVALID, "status 7");
	REFUSED(lfi_thread_run(live[THREAD]), -1, LFI_ERR_INVALID, "once");
	REFUSED(lfi_linux_init_clone(live[THREAD]), -1, LFI_ERR_INVALID, "status 7");
	lfi_proc_free(proc);
	drop();
}

/* As long as an argument list can be, and longer. */
static void
arguments_that_do_not_fit_are_refused(void **state)
{
	static char longest[1 << 20];
	static const char *many[4096];
	struct LFILinuxProc *proc;

	(void) state;
	make_live();
	proc = loaded(live[LINUX]);
	memset(longest, 'x', sizeof longest - 1);
	for (size_t i = 0; i < sizeof many / sizeof many[0]; i++)
		many[i] = longest;
	REFUSED(lfi_thread_new(proc, 4095, many, NULL), NULL, LFI_ERR_INVALID, "");
	REFUSED(lfi_thread_new(proc, 1, many, NULL), NULL, LFI_ERR_INVALID, "");
	many[4095] = NULL;
	REFUSED(lfi_thread_new(proc, 0, NULL, many), NULL, LFI_ERR_INVALID, "");
	lfi_proc_free(proc);
	drop();
}

static void
refused_options(struct LFIEngine *engine, struct LFILinuxOptions opts, int error, const char *part)
{
	REFUSED(lfi_linux_new(engine, opts), NULL, error, part);
}

static void
options_that_are_none_are_refused(void **state)
{
	static _Alignas(16) unsigned char given[8192];
	static const char *const bad_maps[] = {"", "=", "noequals", "/box=", "box=/tmp", "/box=/nowhere/at/all"};
	const size_t known = sizeof(struct LFILinuxOptions);
	const size_t absurd[] = {4097, (size_t) 1 << 32, (size_t) 1 << 63, SIZE_MAX};
	static char longest[5000];
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);
	struct LFILinuxEngine *linux_;

	(void) state;
	refused_options(engine, (struct LFILinuxOptions){.stacksize = SIZE_MAX}, LFI_ERR_INVALID, "18446744073709551615");
	refused_options(engine, (struct LFILinuxOptions){.stacksize = ((size_t) 1 << 30) + 1}, LFI_ERR_INVALID,
	    "1073741825");
	refused_options(engine, (struct LFILinuxOptions){.debug = true}, LFI_ERR_UNSUPPORTED, "debug");
	memset(longest, 'x', sizeof longest - 1);
	refused_options(engine, (struct LFILinuxOptions){.wd = longest}, LFI_ERR_INVALID, "xxxx");
	for (size_t i = 0; i < sizeof bad_maps / sizeof bad_maps[0]; i++) {
		const char *maps[] = {bad_maps[i], NULL};

		lfi_error_clear();
		linux_ = lfi_linux_new(engine, (struct LFILinuxOptions){.dir_maps = maps});
		if (linux_ || (lfi_errno() != LFI_ERR_INVALID && lfi_errno() != LFI_ERR_OS) ||
		    !strstr(lfi_errmsg(), bad_maps[i]))
			fail_msg("%s: %s", bad_maps[i], lfi_errmsg());
	}
	for (size_t size = 0; size <= known + 8; size++) {
		linux_ = lfi_linux_new_sized(engine, (void *) given, size);
		assert_non_null(linux_);
		lfi_linux_free(linux_);
	}
	REFUSED(lfi_linux_new_sized(engine, NULL, known), NULL, LFI_ERR_INVALID, "LFILinuxOptions is NULL");
	given[known + 3] = 1;
	REFUSED(lfi_linux_new_sized(engine, (void *) given, known + 4), NULL, LFI_ERR_INVALID, "LFILinuxOptions");
	for (size_t i = 0; i < sizeof absurd / sizeof absurd[0]; i++)
		REFUSED(lfi_linux_new_sized(engine, (void *) given, absurd[i]), NULL, LFI_ERR_INVALID, "LFILinuxOptions");
	lfi_free(engine);
}

/* A program whose first instruction is `ud2`, which the verifier takes for a trap. */
static void
a_fault_is_not_given_where_there_is_no_room(void **state)
{
	static _Alignas(16) unsigned char out[8192];
	struct LFILinuxThread *thread;
	struct LFILinuxProc *proc;

	(void) state;
	make_live();
	memcpy(program.bytes + 0x1000, "\x0f\x0b", 2);
	memset(program.bytes + 0x1002, 0xcc, 19);
	proc = loaded(live[LINUX]);
	thread = lfi_thread_new(proc, 0, NULL, NULL);
	assert_int_equal(lfi_thread_run(thread), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_FAULT);
	REFUSED(lfi_proc_fault_sized(proc, NULL, sizeof(struct LFIFault)), -1, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_proc_fault_sized(proc, (void *) out, SIZE_MAX), -1, LFI_ERR_INVALID, "18446744073709551615");
	for (size_t size = 0; size < 4096; size += 52) {
		memset(out, 0xaa, sizeof out);
		assert_int_equal(lfi_proc_fault_sized(proc, (void *) out, size), 0);
		assert_int_equal(out[size], 0xaa);
	}
	lfi_proc_free(proc);
	drop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_exported_function_has_a_row),
	    cmocka_unit_test(handles_that_are_none_are_refused_by_each_function),
	    cmocka_unit_test(what_was_freed_is_not_freed_again),
	    cmocka_unit_test(what_belongs_to_another_object_is_not_freed),
	    cmocka_unit_test(engines_that_go_too_early_are_missed),
	    cmocka_unit_test(processes_go_back_to_their_own_pool_once),
	    cmocka_unit_test(processes_in_a_pool_are_refused),
	    cmocka_unit_test(threads_of_processes_in_a_pool_are_refused),
	    cmocka_unit_test(programs_that_are_none_are_refused),
	    cmocka_unit_test(names_arguments_and_descriptors_that_are_none_are_refused),
	    cmocka_unit_test(arguments_that_do_not_fit_are_refused),
	    cmocka_unit_test(options_that_are_none_are_refused),
	    cmocka_unit_test(a_fault_is_not_given_where_there_is_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
