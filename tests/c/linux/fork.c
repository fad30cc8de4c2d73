/* SPDX-License-Identifier: MIT */
/* fork(2) of the host while it has processes: docs/fork.md. What hangs is ended by an alarm. */
#include "linux_test.h"

#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>

#include "core.h"
#include "core/snippets.h"
#include "fork_test.h"

enum { FORKS = 200, FUTEX_WAIT = 0 };

static void
check_freeing(struct Fixture *f)
{
	lfi_error_clear();
	lfi_proc_free(f->proc);
	CHECK(lfi_errno() == LFI_OK);
	lfi_linux_free(f->linux_);
	CHECK(lfi_errno() == LFI_OK);
	lfi_free(f->engine);
	CHECK(lfi_errno() == LFI_OK);
}

/* The C library has them on the stack of each thread: those of the program run all the same. */
static _Thread_local volatile char thread_locals[450 * 1024];

/* A thread of the program that loops in the sandbox. */
static struct LFILinuxThread *
start_looping(struct Fixture *f)
{
	struct LFILinuxThread *thread = thread_make(f->proc);
	lfiptr code = f->memory + PAGE, flag = f->memory;
	unsigned char page[PAGE];

	memset(page, 0xcc, sizeof page);
	memcpy(page, code_loop, sizeof code_loop);
	assert_int_equal(lfi_box_copyto(f->proc->box, code, page, PAGE), 0);
	assert_int_equal(lfi_box_mprotect(f->proc->box, code, PAGE, LFI_PROT_READ | LFI_PROT_EXEC), 0);
	lfi_ctx_regs(thread->ctx)->rdi = flag;
	thread->entry = code;
	assert_int_equal(thread_start(thread), 0);
	while (!ctx_entered(thread->ctx)) {
		/* Else the thread would be gone already. */
		assert_false(proc_has_ended(f->proc));
		usleep(100);
	}
	return thread;
}

static void
a_child_uses_and_frees_a_process(struct Fixture *f)
{
	pid_t pid = fork_child();
	int sockets[2];

	if (pid == 0) {
		CHECK(CALL(f, sys_getpid, 0) == f->proc->pid);
		CHECK(CALL(f, sys_pipe2, f->memory, 0) == 0);
		CHECK(lfi_box_copyfm(f->proc->box, sockets, f->memory, sizeof sockets) == 0);
		CHECK(CALL(f, sys_close, (uint64_t) sockets[0]) == 0);
		check_freeing(f);
		_exit(0);
	}
	assert_child(pid, 0);
	assert_int_equal(CALL(f, sys_getpid, 0), f->proc->pid);
}

static void
a_child_does_not_wait_for_threads_of_the_program(struct Fixture *f)
{
	pid_t pid;

	start_looping(f);
	pid = fork_child();
	if (pid == 0) {
		CHECK(f->proc->live == 0);
		check_freeing(f);
		_exit(0);
	}
	assert_child(pid, 0);
	assert_int_equal(f->proc->live, 1);
}

/* A host thread that sleeps in a system call of the program. */
struct Sleeper {
	struct Fixture *f;
	struct LFILinuxThread *thread;
	lfiptr word;
};

static void *
sleep_on_futex(void *arg)
{
	struct Sleeper *sleeper = arg;

	sys_futex(sleeper->thread, (const uint64_t[6]){sleeper->word, FUTEX_WAIT, 0, 0, 0, 0});
	return NULL;
}

static void
a_child_does_not_wake_sleepers_that_are_not_there(struct Fixture *f)
{
	struct Sleeper sleeper = {f, thread_make(f->proc), f->memory + 64};
	pthread_t host;
	pid_t pid;

	start_looping(f);
	assert_int_equal(pthread_create(&host, NULL, sleep_on_futex, &sleeper), 0);
	while (!atomic_load(&sleeper.thread->waiting_on))
		usleep(100);
	pid = fork_child();
	if (pid == 0) {
		check_freeing(f);
		_exit(0);
	}
	assert_child(pid, 0);
	proc_end(f->proc, 0);
	pthread_join(host, NULL);
}

static void
the_end_of_a_process_in_a_child_is_the_childs_alone(struct Fixture *f)
{
	struct pollfd event;
	pid_t pid;

	start_looping(f);
	event = (struct pollfd){.fd = f->proc->end_event, .events = POLLIN};
	pid = fork_child();
	if (pid == 0) {
		event.fd = f->proc->end_event;
		CHECK(event.fd >= 0 && poll(&event, 1, 0) == 0);
		proc_end(f->proc, 1);
		CHECK(poll(&event, 1, 0) == 1);
		check_freeing(f);
		_exit(0);
	}
	assert_child(pid, 0);
	assert_int_equal(poll(&event, 1, 0), 0);
	proc_end(f->proc, 1);
	assert_int_equal(poll(&event, 1, 0), 1);
	pid = fork_child();
	if (pid == 0) {
		event.fd = f->proc->end_event;
		CHECK(poll(&event, 1, 0) == 1);
		check_freeing(f);
		_exit(0);
	}
	assert_child(pid, 0);
}

/* lfi_thread_run in another thread of the host. */
static void *
run_first(void *arg)
{
	lfi_thread_run(arg);
	return NULL;
}

static void
a_child_frees_a_process_that_another_thread_runs(struct Fixture *f)
{
	struct LFILinuxThread *looping = start_looping(f);
	pthread_t host;
	pid_t pid;

	lfi_ctx_regs(f->thread->ctx)->rdi = f->memory;
	f->thread->entry = looping->entry;
	assert_int_equal(pthread_create(&host, NULL, run_first, f->thread), 0);
	while (!ctx_entered(f->thread->ctx))
		usleep(100);
	lfi_proc_free(f->proc);
	assert_int_equal(lfi_errno(), LFI_ERR_BUSY);
	pid = fork_child();
	if (pid == 0) {
		CHECK(lfi_ctx_run(f->thread->ctx, looping->entry) == -1 && lfi_errno() == LFI_ERR_BUSY);
		check_freeing(f);
		_exit(0);
	}
	assert_child(pid, 0);
	proc_end(f->proc, 0);
	pthread_join(host, NULL);
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
fork_waits_for_who_changes_a_process(struct Fixture *f)
{
	pthread_mutex_t *const locks[] = {&f->proc->lock, &f->proc->fds.lock};

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
			check_freeing(f);
			_exit(0);
		}
		assert_child(pid, 0);
		pthread_join(thread, NULL);
	}
}

static void
a_child_has_turns_of_its_own(struct Fixture *f)
{
	pthread_t thread;
	pid_t pid;

	atomic_store(&holds, false);
	assert_int_equal(pthread_create(&thread, NULL, hold_lock, &f->proc->stdio_turn), 0);
	while (!atomic_load(&holds))
		usleep(100);
	pid = fork_child();
	if (pid == 0) {
		CHECK(pthread_mutex_trylock(&f->proc->stdio_turn) == 0);
		pthread_mutex_unlock(&f->proc->stdio_turn);
		check_freeing(f);
		_exit(0);
	}
	assert_child(pid, 0);
	pthread_join(thread, NULL);
}

static atomic_bool stop;

static void *
make_and_free(void *arg)
{
	struct Fixture *f = arg;

	while (!atomic_load(&stop)) {
		struct LFILinuxEngine *linux_ = lfi_linux_new(f->engine, (struct LFILinuxOptions){0});

		lfi_proc_free(lfi_proc_new(linux_));
		lfi_proc_free(lfi_proc_new(f->linux_));
		lfi_linux_free(linux_);
	}
	return NULL;
}

static void *
open_and_close(void *arg)
{
	struct Fixture *f = arg;
	struct LFILinuxThread *thread = thread_make(f->proc);

	while (!atomic_load(&stop)) {
		sys_brk(thread, (const uint64_t[6]){0});
		sys_close(thread, (const uint64_t[6]){(uint64_t) sys_dup(thread, (const uint64_t[6]){1})});
	}
	return NULL;
}

static void
children_of_a_busy_host_can_free_all(struct Fixture *f)
{
	struct Fixture own = *f;
	pthread_t threads[4];

	own.engine = lfi_new((struct LFIOptions){0}, 16);
	own.linux_ = lfi_linux_new(own.engine, (struct LFILinuxOptions){0});
	own.proc = lfi_proc_new(own.linux_);
	own.thread = thread_make(own.proc);
	atomic_store(&stop, false);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, i < 2 ? make_and_free : open_and_close, &own), 0);
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork_child();

		if (pid == 0) {
			CHECK(sys_getpid(own.thread, (const uint64_t[6]){0}) == own.proc->pid);
			lfi_error_clear();
			/* Those that others were making and freeing do not count. */
			while (own.linux_->list)
				lfi_proc_free(own.linux_->list);
			CHECK(lfi_errno() == LFI_OK);
			lfi_linux_free(own.linux_);
			CHECK(lfi_errno() == LFI_OK);
			_exit(0);
		}
		assert_child(pid, 0);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	lfi_proc_free(own.proc);
	lfi_linux_free(own.linux_);
	lfi_free(own.engine);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_child_uses_and_frees_a_process, NULL, NULL),
	    TEST(a_child_does_not_wait_for_threads_of_the_program, NULL, NULL),
	    TEST(a_child_does_not_wake_sleepers_that_are_not_there, NULL, NULL),
	    TEST(the_end_of_a_process_in_a_child_is_the_childs_alone, NULL, NULL),
	    TEST(a_child_frees_a_process_that_another_thread_runs, NULL, NULL),
	    TEST(fork_waits_for_who_changes_a_process, NULL, NULL),
	    TEST(a_child_has_turns_of_its_own, NULL, NULL),
	    TEST(children_of_a_busy_host_can_free_all, NULL, NULL),
	};

	alarm(SECONDS);
	thread_locals[0] = 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
