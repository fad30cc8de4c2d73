/* SPDX-License-Identifier: MIT */
/* fork(2) while there are sandboxes: docs/fork.md. What hangs is ended by an alarm. */
#include "core_test.h"
#include "sanitizers.h"

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "box.h"
#include "os/os.h"
#include "fork_test.h"

extern char **environ;

/* ThreadSanitizer does not let the child of a host with threads start some of its own. */
static const bool child_has_threads = !THREAD_SANITIZER;

enum { FORKS = 200 };

/* A box is worth nothing if any of this fails; also without cmocka. */
static bool
works(struct LFIBox *box, struct LFIContext *ctx)
{
	lfiptr add, trap;
	uint8_t page[PAGE];
	bool ok;

	memset(page, 0xcc, sizeof page);
	memcpy(page, code_add, sizeof code_add);
	add = lfi_box_mapany(box, PAGE, RW, ANON, -1, 0);
	ok = add != FAILED && lfi_box_copyto(box, add, page, PAGE) == 0 && lfi_box_mprotect(box, add, PAGE, RX) == 0;
	ok = ok && LFI_INVOKE(box, &ctx, add, int, (int, int), 40, 2) == 42;
	trap = add + 32;
	if (ok)
		LFI_INVOKE(box, &ctx, trap, void, (void));
	ok = ok && lfi_errno() == LFI_ERR_FAULT;
	return ok && lfi_box_munmap(box, add, PAGE) == 0 && lfi_box_copyfm(box, page, add, 1) < 0;
}

static bool
new_box_works(struct LFIEngine *engine)
{
	struct LFIBox *box = lfi_box_new(engine);
	struct LFIContext *ctx = box ? lfi_ctx_new(box, NULL) : NULL;
	lfiptr stack;
	bool ok;

	if (!ctx || lfi_box_init_ret(box) < 0)
		return false;
	stack = lfi_box_mapany(box, STACK_BYTES, RW, ANON, -1, 0);
	lfi_ctx_regs(ctx)->sp = stack + STACK_BYTES;
	ok = stack != FAILED && works(box, ctx);
	lfi_error_clear();
	lfi_box_free(box);
	return ok && lfi_errno() == LFI_OK;
}

static bool
new_engine_works(void)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {0}, 1);
	bool ok = engine && new_box_works(engine);

	lfi_error_clear();
	lfi_free(engine);
	return ok && lfi_errno() == LFI_OK;
}

/* ---- One thread ---- */

static void
a_child_uses_frees_and_makes_boxes(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {0});
	pid_t pid;

	assert_true(works(f.box, f.ctx));
	pid = fork_child();
	if (pid == 0) {
		CHECK(works(f.box, f.ctx));
		CHECK(new_box_works(f.engine));
		CHECK(new_engine_works());
		lfi_error_clear();
		lfi_box_free(f.box);
		CHECK(lfi_errno() == LFI_OK);
		lfi_free(f.engine);
		CHECK(lfi_errno() == LFI_OK);
		CHECK(new_engine_works());
		_exit(0);
	}
	assert_child(pid, 0);
	assert_true(works(f.box, f.ctx));
	drop(&f);
}

static void
memory_of_a_child_is_its_own(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {0});
	int value = 1, seen;
	pid_t pid;

	assert_done(lfi_box_copyto(f.box, f.buffer, &value, sizeof value));
	pid = fork_child();
	if (pid == 0) {
		value = 2;
		CHECK(lfi_box_copyto(f.box, f.buffer, &value, sizeof value) == 0);
		CHECK(lfi_box_munmap(f.box, f.buffer, PAGE) == 0);
		_exit(0);
	}
	assert_child(pid, 0);
	peek(&f, &seen, sizeof seen);
	assert_int_equal(seen, 1);
	drop(&f);
}

static struct Fixture at_exit;

static void
free_at_exit(void)
{
	lfi_error_clear();
	lfi_box_free(at_exit.box);
	lfi_free(at_exit.engine);
	if (lfi_errno() != LFI_OK)
		_exit(9);
}

static void
a_child_exits_with_handlers_that_free(void **state)
{
	pid_t pid;

	at_exit = fixture((struct LFIOptions) {0});
	pid = fork_child();
	if (pid == 0) {
		atexit(free_at_exit);
		exit(5);
	}
	assert_child(pid, 5);
	drop(&at_exit);
}

static void
a_child_executes_another_program(void **state)
{
	char sh[] = "sh", c[] = "-c", command[] = "exit 6";
	char *const argv[] = {sh, c, command, NULL};
	struct Fixture f = fixture((struct LFIOptions) {0});
	pid_t pid;

	assert_true(works(f.box, f.ctx));
	pid = fork_child();
	if (pid == 0) {
		execv("/bin/sh", argv);
		_exit(1);
	}
	assert_child(pid, 6);
	pid = vfork();
	if (pid == 0) {
		execv("/bin/sh", argv);
		_exit(1);
	}
	assert_child(pid, 6);
	assert_int_equal(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), 0);
	assert_child(pid, 6);
	assert_int_equal(WEXITSTATUS(system("exit 6")), 6);
	assert_true(works(f.box, f.ctx));
	drop(&f);
}

static void
a_grandchild_works_too(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {0});
	pid_t pid = fork_child();

	if (pid == 0) {
		int status;

		CHECK(works(f.box, f.ctx));
		pid = fork_child();
		if (pid == 0) {
			CHECK(works(f.box, f.ctx));
			_exit(0);
		}
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
		CHECK(works(f.box, f.ctx));
		_exit(0);
	}
	assert_child(pid, 0);
	drop(&f);
}

/* ---- fork in the middle of a call ---- */

static pid_t forked;

static int
forking_callback(int x)
{
	forked = fork_child();
	return forked == 0 ? x + 1 : x;
}

static void
call_that_forks(struct LFIOptions opts)
{
	struct Fixture f = fixture(opts);
	lfiptr apply = LOAD(f.box, code_apply);
	struct LFIContext *ctx = f.ctx;
	void *fn = lfi_box_register_cb(f.box, (void *) forking_callback);
	int x = LFI_INVOKE(f.box, &ctx, apply, int, (int (*)(int), int), fn, 41);

	if (forked == 0) {
		CHECK(x == 42 && lfi_errno() == LFI_OK);
		CHECK(works(f.box, f.ctx));
		lfi_box_free(f.box);
		CHECK(lfi_errno() != LFI_ERR_BUSY);
		_exit(0);
	}
	assert_int_equal(x, 41);
	assert_child(forked, 0);
	assert_true(works(f.box, f.ctx));
	drop(&f);
}

static void
a_callback_forks_and_both_return_to_the_sandbox(void **state)
{
	call_that_forks((struct LFIOptions) {0});
	call_that_forks((struct LFIOptions) {.single_thread = true, .no_verify = true});
}

static void
forking_handler(struct LFIContext *ctx)
{
	forked = fork_child();
	lfi_ctx_regs(ctx)->rax = forked == 0 ? 100 : 200;
}

static void
a_system_call_handler_forks_and_both_return_to_the_sandbox(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {0});
	lfiptr fn = LOAD(f.box, code_syscall_returns);
	struct LFIContext *ctx = f.ctx;
	int x;

	lfi_sys_handler(f.engine, forking_handler);
	x = LFI_INVOKE(f.box, &ctx, fn, int, (int), 7);
	if (forked == 0) {
		CHECK(x == 107 && lfi_errno() == LFI_OK);
		CHECK(works(f.box, f.ctx));
		_exit(0);
	}
	assert_int_equal(x, 207);
	assert_child(forked, 0);
	assert_true(works(f.box, f.ctx));
	drop(&f);
}

/* ---- Other threads ---- */

static struct Fixture busy;
static lfiptr busy_loop;
static lfiptr busy_flag;

static void *
stay_inside(void *arg)
{
	struct LFIContext *ctx = busy.ctx;

	LFI_INVOKE(busy.box, &ctx, busy_loop, int, (uint32_t), (uint32_t) busy_flag);
	return NULL;
}

/* A thread that loops in the sandbox until the flag is set. */
static pthread_t
occupy(struct LFIOptions opts)
{
	pthread_t thread;

	busy = fixture(opts);
	busy_loop = LOAD(busy.box, code_loop);
	busy_flag = busy.buffer;
	assert_int_equal(pthread_create(&thread, NULL, stay_inside, NULL), 0);
	while (atomic_load(&busy.ctx->state) != STATE_SANDBOX)
		usleep(100);
	return thread;
}

static void
release(pthread_t thread)
{
	int one = 1;

	/* Directly: a single-thread box that executes is not written by lfi_box_copyto. */
	memcpy(lfi_box_ptr(busy.box, busy_flag, sizeof one), &one, sizeof one);
	pthread_join(thread, NULL);
}

/* The address of a thread that is gone may be that of a new one. */
static void *
enter_lost(void *arg)
{
	struct LFIContext *ctx = busy.ctx;

	LFI_INVOKE(busy.box, &ctx, busy_loop, int, (uint32_t), (uint32_t) busy_flag);
	return (void *) (intptr_t) lfi_errno();
}

static void
check_lost(void)
{
	struct LFIContext *mine;
	pthread_t threads[8];
	void *result;

	/* Nobody leaves the context that was occupied. */
	CHECK(enter_lost(NULL) == (void *) LFI_ERR_BUSY && strstr(lfi_errmsg(), "fork"));
	CHECK(lfi_ctx_run(busy.ctx, busy_loop) == -1 && lfi_errno() == LFI_ERR_BUSY);
	for (int i = 0; i < 8 && child_has_threads; i++)
		CHECK(pthread_create(&threads[i], NULL, enter_lost, NULL) == 0);
	for (int i = 0; i < 8 && child_has_threads; i++)
		CHECK(pthread_join(threads[i], &result) == 0 && result == (void *) LFI_ERR_BUSY);
	/* But the box is the child's, and code can go. */
	CHECK(lfi_box_munmap(busy.box, busy_loop, PAGE) == 0);
	mine = lfi_ctx_new(busy.box, NULL);
	lfi_ctx_regs(mine)->sp = lfi_box_mapany(busy.box, STACK_BYTES, RW, ANON, -1, 0) + STACK_BYTES;
	CHECK(works(busy.box, mine));
	lfi_error_clear();
	lfi_ctx_free(busy.ctx);
	CHECK(lfi_errno() == LFI_OK);
	lfi_box_free(busy.box);
	CHECK(lfi_errno() == LFI_OK);
	lfi_free(busy.engine);
	CHECK(lfi_errno() == LFI_OK);
}

static void
what_a_thread_was_inside_of_can_be_freed_in_the_child(void **state)
{
	struct LFIOptions opts = {0};

	for (int single = 0; single < 2; single++) {
		pthread_t thread;
		pid_t pid;

		opts.single_thread = opts.no_verify = single;
		thread = occupy(opts);
		pid = fork_child();
		if (pid == 0) {
			/* In the box of its own grandchild, too. */
			pid_t grandchild = fork_child();
			int status;

			check_lost();
			if (grandchild == 0)
				_exit(0);
			CHECK(waitpid(grandchild, &status, 0) == grandchild && status == 0);
			_exit(0);
		}
		assert_child(pid, 0);
		release(thread);
		drop(&busy);
	}
}

/* A context that another thread has used, but is not in. */
static struct Fixture used;

static void *
use(void *arg)
{
	return (void *) (intptr_t) works(used.box, used.ctx);
}

static void
a_context_that_nobody_is_in_is_the_childs(void **state)
{
	pthread_t thread;
	void *result;
	pid_t pid;

	used = fixture((struct LFIOptions) {0});
	for (int both = 0; both < 2; both++) {
		assert_int_equal(pthread_create(&thread, NULL, use, NULL), 0);
		pthread_join(thread, &result);
		assert_non_null(result);
		pid = fork_child();
		if (pid == 0) {
			CHECK(works(used.box, used.ctx));
			if (child_has_threads) {
				CHECK(pthread_create(&thread, NULL, use, NULL) == 0);
				CHECK(pthread_join(thread, &result) == 0 && result);
			}
			_exit(0);
		}
		assert_child(pid, 0);
		assert_true(works(used.box, used.ctx));
	}
	drop(&used);
}

static atomic_bool holds;

static void *
hold_lock(void *lock)
{
	pthread_mutex_lock(lock);
	atomic_store(&holds, true);
	usleep(20000);
	pthread_mutex_unlock(lock);
	return NULL;
}

static void
fork_waits_for_who_changes_a_box_or_an_engine(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {0});
	pthread_mutex_t *const locks[] = {&f.box->lock, &f.engine->lock};

	for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++) {
		pthread_t thread;
		pid_t pid;

		atomic_store(&holds, false);
		assert_int_equal(pthread_create(&thread, NULL, hold_lock, locks[i]), 0);
		while (!atomic_load(&holds))
			usleep(100);
		pid = fork_child();
		if (pid == 0) {
			CHECK(pthread_mutex_trylock(locks[i]) == 0);
			pthread_mutex_unlock(locks[i]);
			CHECK(works(f.box, f.ctx) && new_box_works(f.engine));
			_exit(0);
		}
		assert_child(pid, 0);
		pthread_join(thread, NULL);
	}
	drop(&f);
}

static struct LFIEngine *crowd;
static atomic_bool stop;

static void *
make_and_free(void *arg)
{
	while (!atomic_load(&stop))
		if (!new_box_works(crowd))
			return (void *) 1;
	return NULL;
}

static void *
make_engines(void *arg)
{
	while (!atomic_load(&stop))
		if (!new_engine_works())
			return (void *) 1;
	return NULL;
}

static void
ignore_line(const char *line, void *user)
{
}

/* Takes the locks of the log and of the signal handlers all the time. */
static void *
lock_all_the_time(void *arg)
{
	while (!atomic_load(&stop)) {
		for (int i = 0; i < 100; i++)
			lfi_set_log(ignore_line, NULL);
		for (int i = 0; i < 100; i++)
			if (os_signals_take() == 0)
				os_signals_give();
	}
	return NULL;
}

/* In a child that is born while others make, change, enter, leave and free boxes. */
static void
check_crowded(struct LFIBox *box, struct LFIContext *ctx)
{
	CHECK(works(box, ctx));
	CHECK(new_box_works(crowd));
	CHECK(new_engine_works());
	lfi_free(lfi_new((struct LFIOptions) {.verbose = true}, 1));
	lfi_error_clear();
	lfi_box_free(box);
	CHECK(lfi_errno() == LFI_OK);
	/* Those that others were making and freeing do not count. */
	for (struct LFIBox *left; (left = crowd->boxes);)
		lfi_box_free(left);
	lfi_free(crowd);
	CHECK(lfi_errno() == LFI_OK);
}

static void
children_of_a_busy_host_work(void **state)
{
	void *(*const bodies[])(void *) = {make_and_free, make_and_free, make_engines, lock_all_the_time};
	pthread_t threads[4], inside = occupy((struct LFIOptions) {0});
	struct Fixture f;
	void *wrong;

	lfi_set_log(ignore_line, NULL);
	crowd = lfi_new((struct LFIOptions) {0}, 64);
	f = fixture_of(crowd);
	atomic_store(&stop, false);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, bodies[i], NULL), 0);
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork_child();

		if (pid == 0) {
			check_crowded(f.box, f.ctx);
			_exit(0);
		}
		assert_child(pid, 0);
		assert_true(works(f.box, f.ctx));
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	lfi_set_log(NULL, NULL);
	release(inside);
	drop(&busy);
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_uses_frees_and_makes_boxes),
		cmocka_unit_test(memory_of_a_child_is_its_own),
		cmocka_unit_test(a_child_exits_with_handlers_that_free),
		cmocka_unit_test(a_child_executes_another_program),
		cmocka_unit_test(a_grandchild_works_too),
		cmocka_unit_test(a_callback_forks_and_both_return_to_the_sandbox),
		cmocka_unit_test(a_system_call_handler_forks_and_both_return_to_the_sandbox),
		cmocka_unit_test(what_a_thread_was_inside_of_can_be_freed_in_the_child),
		cmocka_unit_test(a_context_that_nobody_is_in_is_the_childs),
		cmocka_unit_test(fork_waits_for_who_changes_a_box_or_an_engine),
		cmocka_unit_test(children_of_a_busy_host_work),
	};

	alarm(SECONDS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
