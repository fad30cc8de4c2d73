/* SPDX-License-Identifier: MIT */
/*
 * A program of lfi-cc without main is a library: its functions can be called,
 * also from several host threads at once. A cmocka program; its argument is
 * the compiled box.c.
 */
#include <lfi/lfi.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { THREADS = 4, ROUNDS = 5000 };

static const char *path;
static struct LFIEngine *engine;
static struct LFILinuxEngine *linux_;
static struct LFILinuxProc *proc;
static struct LFILinuxThread *first;
static struct LFIBox *box;
static _Thread_local struct LFIContext *ctx;

static int
load(void **state)
{
	const char *argv[] = {"box"};

	engine = lfi_new((struct LFIOptions){.boxsize = (size_t) 4 << 30, .pagesize = 4096}, 1);
	linux_ = engine ? lfi_linux_new(engine, (struct LFILinuxOptions){.stacksize = 1 << 20}) : NULL;
	proc = linux_ ? lfi_proc_new(linux_) : NULL;
	if (!proc || !lfi_proc_load_file(proc, path) || !(first = lfi_thread_new(proc, 1, argv, NULL)) ||
	    lfi_linux_init_clone(first) < 0) {
		printf("%s\n", lfi_errmsg());
		return -1;
	}
	box = lfi_proc_box(proc);
	ctx = lfi_thread_ctx(first);
	return 0;
}

static int
unload(void **state)
{
	lfi_thread_free(first);
	lfi_proc_free(proc);
	lfi_linux_free(linux_);
	lfi_free(engine);
	return 0;
}

static lfiptr
symbol(const char *name)
{
	lfiptr address = lfi_proc_sym(proc, name);

	assert_int_not_equal(address, 0);
	return address;
}

static int
call(const char *name, int argument)
{
	return LFI_INVOKE(box, &ctx, symbol(name), int, (int), argument);
}

static void
functions_can_be_called(void **state)
{
	assert_int_equal(LFI_INVOKE(box, &ctx, symbol("add"), int, (int, int), 40, 2), 42);
	assert_int_equal(call("count_call", 0), 101);
	assert_int_equal(call("count_call", 0), 102);
	assert_int_equal(call("keeps_errno", 7), 7);
}

struct job {
	int first_count, sum, error, tid;
};

static void *
run_job(void *argument)
{
	struct job *job = argument;

	job->first_count = call("count_call", 0);
	job->tid = call("thread_id", 0);
	job->sum = call("work", ROUNDS);
	job->error = call("keeps_errno", job->tid);
	return NULL;
}

static void
threads_of_the_host_have_their_own_data(void **state)
{
	struct job jobs[THREADS] = {{0}};
	pthread_t threads[THREADS];
	int here = call("work", ROUNDS), before = call("total_rounds", 0);

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_job, &jobs[i]), 0);
	assert_int_equal(call("work", ROUNDS), here);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(jobs[i].first_count, 101);
		assert_int_equal(jobs[i].sum, here);
		assert_int_equal(jobs[i].error, jobs[i].tid);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(jobs[i].tid, jobs[j].tid);
	}
	assert_int_equal(call("total_rounds", 0), before + (THREADS + 1) * ROUNDS);
}

int
main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(functions_can_be_called),
	    cmocka_unit_test(threads_of_the_host_have_their_own_data),
	};

	path = argc > 1 ? argv[1] : "";
	return cmocka_run_group_tests_name("toolchain_library", tests, load, unload);
}
