/* SPDX-License-Identifier: MIT */
/*
 * Snapshots, clones, resets and pools of processes: what a clone has, that it is its own from then on, and what a
 * reset brings back. The library is programs/stateful.c.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <lfi/lfi.h>

#include "linux.h"
#include "refuse_memory.h"
#include "sanitizers.h"
#include "sysroot_test.h"

static char dir[] = "/tmp/lfi-snapshot-XXXXXX";

struct Host {
	struct LFIEngine *engine;
	struct LFILinuxEngine *linux_;
	struct LFILinuxProc *proc;
	struct LFILinuxThread *thread;
};

static void
program_path(char path[128], const char *name)
{
	snprintf(path, 128, "%s/%s.lfi", dir, name);
}

static struct LFILinuxProc *
load(struct Host *host, const char *name)
{
	struct LFILinuxProc *proc = lfi_proc_new(host->linux_);
	char path[128];

	program_path(path, name);
	assert_non_null(proc);
	if (!lfi_proc_load_file(proc, path))
		fail_msg("%s", lfi_errmsg());
	return proc;
}

static struct Host
host_open(size_t boxes)
{
	static const char *maps[] = {"/tmp=/tmp", NULL};
	struct Host host = {.engine = lfi_new((struct LFIOptions){.boxsize = 0}, boxes)};

	assert_non_null(host.engine);
	host.linux_ = lfi_linux_new(host.engine, (struct LFILinuxOptions){.dir_maps = maps});
	assert_non_null(host.linux_);
	return host;
}

/* The library, ready, with a heap of its own: sum() is 5 + 0 + 9 + 4 * 7. */
enum { SUM = 42 };

static struct Host
library_open(size_t boxes)
{
	struct Host host = host_open(boxes);
	union LFIValue seven = {.i = 7}, result = {.i = -1};

	host.proc = load(&host, "stateful");
	host.thread = lfi_thread_new(host.proc, 0, NULL, NULL);
	assert_non_null(host.thread);
	if (lfi_linux_init_clone(host.thread) < 0)
		fail_msg("%s", lfi_errmsg());
	assert_int_equal(
	    lfi_call(lfi_thread_ctx(host.thread), lfi_proc_sym(host.proc, "prepare"), "i(i)", &seven, &result), 0);
	assert_int_equal(result.i, 0);
	return host;
}

static void
host_close(struct Host *host)
{
	lfi_proc_free(host->proc);
	lfi_linux_free(host->linux_);
	lfi_free(host->engine);
}

static struct LFISnapshot *
freeze(struct LFILinuxProc *proc)
{
	struct LFISnapshot *snapshot = lfi_snapshot_new(proc);

	if (!snapshot)
		fail_msg("%s", lfi_errmsg());
	return snapshot;
}

static struct LFILinuxProc *
clone_of(struct LFISnapshot *snapshot)
{
	struct LFILinuxProc *proc = lfi_snapshot_clone(snapshot);

	if (!proc)
		fail_msg("%s", lfi_errmsg());
	return proc;
}

/* A call with at most one integer or pointer; what it returns, or -1000 - lfi_errno(). */
static int
call(struct LFILinuxProc *proc, const char *name, int64_t arg)
{
	union LFIValue value = {.i = arg}, result = {.i = 0};
	struct LFILinuxThread *thread = lfi_proc_thread(proc);

	assert_non_null(thread);
	if (lfi_call(lfi_thread_ctx(thread), lfi_proc_sym(proc, name), "i(l)", &value, &result) < 0)
		return -1000 - lfi_errno();
	return (int) result.i;
}

static int
sum(struct LFILinuxProc *proc)
{
	return call(proc, "sum", 0);
}

/* A string in the process's memory. */
static lfiptr
string(struct LFILinuxProc *proc, const char *text)
{
	struct LFIBox *box = lfi_proc_box(proc);
	lfiptr at = lfi_box_mapany(box, 4096, 3, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0);

	assert_true(at != (lfiptr) -1);
	assert_int_equal(lfi_box_copyto(box, at, text, strlen(text) + 1), 0);
	return at;
}

static int
open_file(struct LFILinuxProc *proc, const char *path)
{
	return call(proc, "open_file", (int64_t) string(proc, path));
}

static void
clones_start_with_the_heap_and_go_their_own_ways(void **state)
{
	struct Host host = library_open(4);
	struct LFISnapshot *snapshot = freeze(host.proc);
	struct LFILinuxProc *a = clone_of(snapshot), *b = clone_of(snapshot), *late;

	assert_int_equal(sum(a), SUM);
	assert_int_equal(sum(b), SUM);
	call(a, "change", 100);
	assert_int_equal(sum(a), 700);
	assert_int_equal(sum(b), SUM);
	assert_int_equal(sum(host.proc), SUM);
	call(host.proc, "change", 1);
	assert_int_equal(sum(b), SUM);
	late = clone_of(snapshot);
	assert_int_equal(sum(late), SUM);
	assert_int_equal(call(late, "grow", 300000), 0);
	assert_int_equal(sum(late), SUM);
	lfi_proc_free(a);
	lfi_proc_free(b);
	lfi_proc_free(late);
	lfi_snapshot_free(snapshot);
	assert_int_equal(sum(host.proc), 7);
	host_close(&host);
}

static void
clones_outlive_the_process_and_the_snapshot(void **state)
{
	struct Host host = library_open(2);
	struct LFISnapshot *snapshot = freeze(host.proc);
	struct LFILinuxProc *clone = clone_of(snapshot);

	lfi_snapshot_free(snapshot);
	lfi_proc_free(host.proc);
	assert_int_equal(sum(clone), SUM);
	call(clone, "change", 1);
	assert_int_equal(lfi_proc_reset(clone), 0);
	assert_int_equal(sum(clone), SUM);
	host.proc = clone;
	host_close(&host);
}

static void
a_program_that_has_not_run_is_cloned_and_each_runs(void **state)
{
	struct Host host = host_open(3);
	const char *argv[] = {"arguments", "a", "b"};
	struct LFISnapshot *before, *after;
	struct LFILinuxProc *a, *b;
	struct LFILinuxThread *thread;

	host.proc = load(&host, "arguments");
	assert_int_equal(lfi_proc_stdio(host.proc, -1, -1, -1), 0);
	before = freeze(host.proc);
	a = clone_of(before);
	assert_null(lfi_proc_thread(a));
	assert_int_equal(lfi_errno(), LFI_ERR_NOTFOUND);
	thread = lfi_thread_new(a, 3, argv, NULL);
	assert_non_null(thread);
	assert_ptr_equal(lfi_proc_thread(a), thread);
	assert_int_equal(lfi_thread_run(thread), 3);
	/* It lives again, without the thread. */
	assert_int_equal(lfi_proc_reset(a), 0);
	assert_null(lfi_proc_thread(a));
	assert_int_equal(lfi_thread_run(lfi_thread_new(a, 2, argv, NULL)), 2);
	assert_non_null(lfi_thread_new(host.proc, 3, argv, NULL));
	after = freeze(host.proc);
	b = clone_of(after);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(lfi_thread_run(lfi_proc_thread(b)), 3);
		assert_int_equal(lfi_proc_reset(b), 0);
	}
	lfi_proc_free(a);
	lfi_proc_free(b);
	lfi_snapshot_free(before);
	lfi_snapshot_free(after);
	host_close(&host);
}

/* What is to be undone, on a process whose sum is SUM. */
static void
crash(struct LFILinuxProc *proc)
{
	assert_int_equal(call(proc, "crash", 0), -1000 - LFI_ERR_FAULT);
}

static void
change_memory(struct LFILinuxProc *proc)
{
	call(proc, "change", 3);
	assert_int_equal(sum(proc), 21);
}

static void
grow_the_heap(struct LFILinuxProc *proc)
{
	assert_int_equal(call(proc, "grow", 1000), 0);
	assert_int_equal(call(proc, "grow", 100000), 0);
	assert_int_equal(call(proc, "grow", 1000000), 0);
}

static void
leave(struct LFILinuxProc *proc)
{
	call(proc, "leave", 3);
}

static void
change_the_kernel_s_state(struct LFILinuxProc *proc)
{
	assert_int_equal(call(proc, "change_kernel_state", 0), 0);
	assert_int_equal(call(proc, "kernel_state", 0), 3);
}

static void
start_threads(struct LFILinuxProc *proc)
{
	assert_int_equal(call(proc, "start_thread", 0), 0);
	assert_int_equal(call(proc, "start_thread", 0), 0);
}

static void
call_from_another_context(struct LFILinuxProc *proc)
{
	struct LFIContext *ctx = NULL;

	assert_int_equal(LFI_INVOKE(lfi_proc_box(proc), &ctx, lfi_proc_sym(proc, "sum"), int, (void) ), SUM);
	assert_non_null(ctx);
}

static void
open_many(struct LFILinuxProc *proc)
{
	for (int i = 0; i < 100; i++)
		assert_true(open_file(proc, "/tmp") >= 0);
}

static void
free_the_first_thread(struct LFILinuxProc *proc)
{
	lfi_thread_free(lfi_proc_thread(proc));
}

static void
unmap_all(struct LFILinuxProc *proc)
{
	struct LFIBoxInfo info = lfi_box_info(lfi_proc_box(proc));

	assert_int_equal(lfi_box_munmap(lfi_proc_box(proc), info.min, info.max - info.min), 0);
}

static void
buffer_output(struct LFILinuxProc *proc)
{
	/* What is in a buffer when the process is reset is never written: the reader of the pipe sees one "again". */
	int fds[2];
	char text[32] = "";

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(lfi_proc_stdio(proc, -1, fds[1], -1), 0);
	assert_int_equal(call(proc, "print", (int64_t) string(proc, "lost")), 4);
	assert_int_equal(lfi_proc_reset(proc), 0);
	assert_int_equal(lfi_proc_stdio(proc, -1, fds[1], -1), 0);
	assert_int_equal(call(proc, "print", (int64_t) string(proc, "again")), 5);
	call(proc, "leave", 0);
	assert_int_equal(read(fds[0], text, sizeof text - 1), 5);
	assert_string_equal(text, "again");
	close(fds[0]);
	close(fds[1]);
}

static int
count_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void
a_reset_undoes(void (*deed)(struct LFILinuxProc *), bool on_a_clone)
{
	struct Host host = library_open(2);
	struct LFISnapshot *snapshot = freeze(host.proc);
	struct LFILinuxProc *proc = on_a_clone ? clone_of(snapshot) : host.proc;
	struct LFIFault fault;
	int fds = count_fds(), fd;

	for (int i = 0; i < 3; i++) {
		fd = open_file(proc, "/tmp");
		assert_true(fd >= 0);
		deed(proc);
		if (lfi_proc_reset(proc) < 0)
			fail_msg("%s", lfi_errmsg());
		assert_int_equal(sum(proc), SUM);
		assert_int_equal(call(proc, "kernel_state", 0), 0);
		assert_int_equal(call(proc, "is_open", fd), 0);
		assert_false(atomic_load(&proc->threaded));
		assert_int_equal(proc->end_event, -1);
		assert_int_equal(lfi_proc_fault(proc, &fault), -1);
		assert_int_equal(lfi_ctx_fault(lfi_thread_ctx(lfi_proc_thread(proc)), &fault), -1);
		assert_int_equal(count_fds(), fds);
		assert_int_equal(lfi_proc_reset(proc), 0);
	}
	if (on_a_clone)
		lfi_proc_free(proc);
	lfi_snapshot_free(snapshot);
	host_close(&host);
}

static void
a_reset_undoes_each_deed(void **state)
{
	static void (*const deeds[])(struct LFILinuxProc *) = {crash, change_memory, grow_the_heap, leave,
	    change_the_kernel_s_state, start_threads, call_from_another_context, open_many, free_the_first_thread,
	    unmap_all, buffer_output};

	for (size_t i = 0; i < sizeof deeds / sizeof deeds[0]; i++) {
		print_message("deed %zu\n", i);
		a_reset_undoes(deeds[i], false);
		a_reset_undoes(deeds[i], true);
	}
}

static void
open_files_are_shared_and_closed_with_the_last(void **state)
{
	struct Host host = library_open(2);
	struct LFISnapshot *snapshot;
	struct LFILinuxProc *clone;
	int fds = count_fds(), fd = open_file(host.proc, "/tmp");

	snapshot = freeze(host.proc);
	clone = clone_of(snapshot);
	assert_int_equal(call(clone, "is_open", fd), 1);
	lfi_proc_free(clone);
	assert_int_equal(call(host.proc, "is_open", fd), 1);
	lfi_snapshot_free(snapshot);
	assert_int_equal(call(host.proc, "is_open", fd), 1);
	lfi_proc_free(host.proc);
	host.proc = NULL;
	/* The standard streams and the file. */
	assert_int_equal(count_fds(), fds - 3);
	host_close(&host);
}

static void
what_cannot_be_frozen_cloned_or_reset_is_refused(void **state)
{
	struct Host host = library_open(2);
	struct LFILinuxProc *empty = lfi_proc_new(host.linux_);
	struct LFISnapshot *snapshot;
	lfiptr shared;

	assert_null(lfi_snapshot_new(NULL));
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	assert_null(lfi_snapshot_clone(NULL));
	assert_null(lfi_proc_thread(NULL));
	assert_int_equal(lfi_proc_reset(NULL), -1);
	assert_null(lfi_snapshot_new(empty));
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	assert_int_equal(lfi_proc_reset(host.proc), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	lfi_proc_free(empty);

	shared = lfi_box_mapany(host.proc->box, 4096, 3, LFI_MAP_SHARED | LFI_MAP_ANONYMOUS, -1, 0);
	assert_true(shared != (lfiptr) -1);
	assert_null(lfi_snapshot_new(host.proc));
	assert_int_equal(lfi_errno(), LFI_ERR_UNSUPPORTED);
	assert_int_equal(lfi_box_munmap(host.proc->box, shared, 4096), 0);

	call_from_another_context(host.proc);
	assert_null(lfi_snapshot_new(host.proc));
	assert_int_equal(lfi_errno(), LFI_ERR_UNSUPPORTED);
	host_close(&host);

	host = library_open(2);
	host.proc->image.oblivious = false;
	snapshot = freeze(host.proc);
	assert_null(lfi_snapshot_clone(snapshot));
	assert_int_equal(lfi_errno(), LFI_ERR_UNSUPPORTED);
	assert_non_null(strstr(lfi_errmsg(), "position-oblivious"));
	call(host.proc, "change", 3);
	assert_int_equal(lfi_proc_reset(host.proc), 0);
	assert_int_equal(sum(host.proc), SUM);
	call(host.proc, "leave", 1);
	lfi_snapshot_free(snapshot);
	host_close(&host);
}

/* ---- What the emulated kernel knows ---- */

/* Values that a process has not by itself; addresses lie in its sandbox. */
static void
mark_state(struct LFILinuxProc *proc, uint64_t by)
{
	const lfiptr at = proc->info.min + by * 64;
	struct LFILinuxThread *thread = proc->first;

	proc->pid = 5000 + (int) by;
	proc->made = 30 + (unsigned) by;
	atomic_store(&proc->umask, 0100 + (unsigned) by);
	proc->brk_start = at + 1;
	proc->brk_end = at + 2;
	for (int i = 1; i <= LINUX_SIGNALS; i++)
		proc->actions[i] = (struct SignalAction){at + 3, by + 1, at + 4, by + 2};
	thread->state = by % 2 ? THREAD_READY : THREAD_NEW;
	thread->tid = 6000 + (int) by;
	thread->leaving = false;
	thread->ready = by % 2;
	thread->has_stack = by % 2;
	thread->stack = (struct LoadStack){.start = at + 5, .size = 4096 * by, .sp = at + 6};
	thread->entry = at + 7;
	thread->clear_tid = at + 8;
	thread->sigmask = 1000 + by;
	thread->altstack[0] = at + 9;
	thread->altstack[1] = by + 3;
	thread->altstack[2] = by + 4;
}

static void
assert_marked(struct LFILinuxProc *proc, uint64_t by)
{
	const lfiptr at = proc->info.min + by * 64;
	struct LFILinuxThread *thread = proc->first;

	assert_int_equal(proc->pid, 5000 + by);
	assert_int_equal(proc->made, 30 + by);
	assert_int_equal(atomic_load(&proc->umask), 0100 + by);
	assert_int_equal(proc->brk_start, at + 1);
	assert_int_equal(proc->brk_end, at + 2);
	for (int i = 1; i <= LINUX_SIGNALS; i++) {
		assert_int_equal(proc->actions[i].handler, at + 3);
		assert_int_equal(proc->actions[i].flags, by + 1);
		assert_int_equal(proc->actions[i].restorer, at + 4);
		assert_int_equal(proc->actions[i].mask, by + 2);
	}
	assert_int_equal(thread->state, by % 2 ? THREAD_READY : THREAD_NEW);
	assert_int_equal(thread->tid, 6000 + by);
	assert_false(thread->leaving);
	assert_int_equal(thread->ready, by % 2);
	assert_int_equal(thread->has_stack, by % 2);
	assert_int_equal(thread->stack.start, at + 5);
	assert_int_equal(thread->stack.size, 4096 * by);
	assert_int_equal(thread->stack.sp, at + 6);
	assert_int_equal(thread->entry, at + 7);
	assert_int_equal(thread->clear_tid, at + 8);
	assert_int_equal(thread->sigmask, 1000 + by);
	assert_int_equal(thread->altstack[0], at + 9);
	assert_int_equal(thread->altstack[1], by + 3);
	assert_int_equal(thread->altstack[2], by + 4);
}

/* What the process's end left. */
static void
mark_ended(struct LFILinuxProc *proc)
{
	mark_state(proc, 2);
	proc->first->leaving = true;
	proc->status = 5;
	proc->error.code = LFI_ERR_FAULT;
	proc->fault.signal = SIGSEGV;
	atomic_store(&proc->ended, PROC_ENDED);
}

static void
assert_alive(struct LFILinuxProc *proc)
{
	assert_int_equal(proc->status, 0);
	assert_int_equal(proc->error.code, LFI_OK);
	assert_int_equal(proc->fault.signal, 0);
	assert_int_equal(atomic_load(&proc->ended), PROC_ALIVE);
}

static void
what_the_host_has_pinned_is_neither_frozen_nor_reset(void **state)
{
	struct Host host = library_open(1);
	struct LFISnapshot *snapshot = freeze(host.proc);
	struct LFIBox *box = lfi_proc_box(host.proc);
	lfiptr page = string(host.proc, "host");
	char *pinned = lfi_box_pin(box, page, 5, LFI_PROT_READ | LFI_PROT_WRITE);

	assert_non_null(pinned);
	assert_int_equal(lfi_proc_reset(host.proc), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_BUSY);
	assert_null(lfi_snapshot_new(host.proc));
	assert_int_equal(lfi_errno(), LFI_ERR_BUSY);
	assert_string_equal(pinned, "host");
	assert_int_equal(lfi_box_unpin(box, page, 5), 0);
	assert_int_equal(lfi_proc_reset(host.proc), 0);
	assert_int_equal(sum(host.proc), SUM);
	lfi_snapshot_free(snapshot);
	host_close(&host);
}

static void
the_kernel_s_state_goes_with_the_snapshot(void **state)
{
	struct Host host = library_open(2);
	struct LFISnapshot *snapshot;
	struct LFILinuxProc *procs[2] = {host.proc};
	const struct LoadImage *image, *was = &host.proc->image;
	lfiptr difference;

	mark_state(host.proc, 1);
	snapshot = freeze(host.proc);
	procs[1] = clone_of(snapshot);
	for (int i = 0; i < 2; i++) {
		assert_marked(procs[i], 1);
		mark_ended(procs[i]);
		assert_int_equal(lfi_proc_reset(procs[i]), 0);
		assert_marked(procs[i], 1);
		assert_alive(procs[i]);
		/* Not a stack of ours. */
		procs[i]->first->has_stack = false;
	}
	image = &procs[1]->image;
	difference = procs[1]->info.base - host.proc->info.base;
	assert_int_equal(image->bias, was->bias + difference);
	assert_int_equal(image->start, was->start + difference);
	assert_int_equal(image->end, was->end + difference);
	assert_int_equal(image->entry, was->entry + difference);
	assert_int_equal(image->phdr, was->phdr + difference);
	lfi_proc_free(procs[1]);
	lfi_snapshot_free(snapshot);
	host_close(&host);
}

static void
processes_that_run_or_have_ended_are_not_frozen(void **state)
{
	struct Host host = library_open(1);
	struct LFILinuxThread *first = host.proc->first;
	enum ThreadState was = first->state;
	struct LFISnapshot *snapshot;

	first->state = THREAD_RUNNING;
	assert_null(lfi_snapshot_new(host.proc));
	assert_int_equal(lfi_errno(), LFI_ERR_BUSY);
	first->state = was;
	host.proc->live = 1;
	assert_null(lfi_snapshot_new(host.proc));
	assert_int_equal(lfi_errno(), LFI_ERR_UNSUPPORTED);
	host.proc->live = 0;
	atomic_store(&host.proc->ended, PROC_ENDED);
	assert_null(lfi_snapshot_new(host.proc));
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	atomic_store(&host.proc->ended, PROC_ALIVE);
	snapshot = freeze(host.proc);
	first->state = THREAD_RUNNING;
	assert_int_equal(lfi_proc_reset(host.proc), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_BUSY);
	first->state = was;
	assert_int_equal(lfi_proc_reset(host.proc), 0);
	lfi_snapshot_free(snapshot);
	host_close(&host);
}

/* ---- Pools ---- */

static void
a_pool_gives_each_process_to_one_taker(void **state)
{
	struct Host host = library_open(4);
	struct LFISnapshot *snapshot = freeze(host.proc);
	struct LFIPool *pool;
	struct LFILinuxProc *procs[3];

	assert_null(lfi_pool_new(snapshot, 0));
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	assert_non_null(strstr(lfi_errmsg(), "0 processes"));
	assert_null(lfi_pool_new(NULL, 1));
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	assert_non_null(strstr(lfi_errmsg(), "NULL"));
	assert_null(lfi_pool_new(snapshot, 4));
	assert_int_equal(lfi_errno(), LFI_ERR_NOSPACE);
	pool = lfi_pool_new(snapshot, 3);
	assert_non_null(pool);
	lfi_snapshot_free(snapshot);
	for (int i = 0; i < 3; i++) {
		procs[i] = lfi_pool_take(pool);
		assert_non_null(procs[i]);
		assert_int_equal(sum(procs[i]), SUM);
		call(procs[i], "change", i);
	}
	assert_null(lfi_pool_take(pool));
	assert_int_equal(lfi_errno(), LFI_ERR_LIMIT);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sum(procs[i]), 7 * i);

	assert_int_equal(lfi_pool_give(pool, host.proc), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	assert_int_equal(lfi_pool_give(pool, (struct LFILinuxProc *) 8), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	assert_int_equal(lfi_pool_give(pool, NULL), -1);
	assert_int_equal(lfi_pool_give(NULL, procs[0]), -1);
	assert_null(lfi_snapshot_new(procs[0]));
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	lfi_proc_free(procs[0]);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);

	assert_int_equal(lfi_pool_give(pool, procs[1]), 0);
	assert_int_equal(lfi_pool_give(pool, procs[1]), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	lfi_pool_free(pool);
	assert_int_equal(lfi_errno(), LFI_ERR_BUSY);
	assert_ptr_equal(lfi_pool_take(pool), procs[1]);
	assert_int_equal(sum(procs[1]), SUM);
	for (int i = 0; i < 3; i++)
		assert_int_equal(lfi_pool_give(pool, procs[i]), 0);
	lfi_pool_free(pool);
	lfi_pool_free(NULL);
	assert_null(lfi_pool_take(NULL));
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	host_close(&host);
}

enum { POOLED = 4, TAKERS = 8 };

struct Taker {
	struct LFIPool *pool;
	int number, done;
};

static atomic_bool failed;

static void *
failure(const char *what, int got)
{
	atomic_store(&failed, true);
	print_error("%s: %d, %s\n", what, got, lfi_errmsg());
	return NULL;
}

static void *
take_change_and_give(void *arg)
{
	struct Taker *taker = arg;
	struct LFILinuxProc *proc;
	int got;

	while (taker->done < 300 && !atomic_load(&failed)) {
		proc = lfi_pool_take(taker->pool);
		if (!proc)
			continue;
		got = sum(proc);
		if (got != SUM)
			return failure("sum", got);
		call(proc, "change", taker->number);
		got = sum(proc);
		if (got != 7 * taker->number)
			return failure("changed sum", got);
		if (taker->done % 16 == 0)
			call(proc, "crash", 0);
		if (lfi_pool_give(taker->pool, proc) < 0)
			return failure("give", 0);
		taker->done++;
	}
	return NULL;
}

static void
many_threads_take_and_give(void **state)
{
	struct Host host = library_open(1 + POOLED);
	struct LFISnapshot *snapshot = freeze(host.proc);
	struct LFIPool *pool = lfi_pool_new(snapshot, POOLED);
	struct Taker takers[TAKERS];
	pthread_t threads[TAKERS];

	assert_non_null(pool);
	for (int i = 0; i < TAKERS; i++) {
		takers[i] = (struct Taker){pool, i + 1, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, take_change_and_give, &takers[i]), 0);
	}
	for (int i = 0; i < TAKERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(takers[i].done, 300);
	}
	lfi_pool_free(pool);
	lfi_snapshot_free(snapshot);
	host_close(&host);
}

static void *
take_and_give_often(void *arg)
{
	for (int i = 0; i < 5000; i++) {
		struct LFILinuxProc *proc = lfi_pool_take(arg);

		if (proc && lfi_pool_give(arg, proc) < 0)
			abort();
	}
	return NULL;
}

/* Where the list of free ones changes in two threads at once, some are lost and some are there twice. */
static void
threads_that_only_take_and_give_lose_none(void **state)
{
	struct Host host = library_open(POOLED + 1);
	struct LFISnapshot *snapshot = freeze(host.proc);
	struct LFIPool *pool = lfi_pool_new(snapshot, POOLED);
	struct LFILinuxProc *procs[POOLED];
	pthread_t threads[4];

	assert_non_null(pool);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_give_often, pool), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (int i = 0; i < POOLED; i++) {
		procs[i] = lfi_pool_take(pool);
		assert_non_null(procs[i]);
		for (int k = 0; k < i; k++)
			assert_ptr_not_equal(procs[i], procs[k]);
	}
	assert_null(lfi_pool_take(pool));
	for (int i = 0; i < POOLED; i++)
		assert_int_equal(lfi_pool_give(pool, procs[i]), 0);
	lfi_pool_free(pool);
	lfi_snapshot_free(snapshot);
	host_close(&host);
}

static void
a_snapshot_is_not_what_programs_inherit(void **state)
{
	struct Host host = library_open(2);
	int input = dup(0);
	struct LFISnapshot *snapshot;
	struct LFILinuxProc *other;

	close(0);
	snapshot = freeze(host.proc);
	assert_int_equal(fcntl(0, F_GETFD), -1);
	other = lfi_proc_new(host.linux_);
	assert_non_null(other);
	assert_null(other->fds.files[0]);
	assert_int_equal(dup2(input, 0), 0);
	close(input);
	lfi_proc_free(other);
	lfi_snapshot_free(snapshot);
	host_close(&host);
}

/* ---- fork ---- */

enum { FORKS = 200, SECONDS = 60 };

static atomic_bool stop;

static void *
take_and_give(void *arg)
{
	while (!atomic_load(&stop)) {
		struct LFILinuxProc *proc = lfi_pool_take(arg);

		if (proc && lfi_pool_give(arg, proc) < 0)
			return failure("give", 0);
	}
	return NULL;
}

/* In a child: 0, or the number of what failed. What others had taken is given back, wherever they were. */
static int
use_in_child(struct LFISnapshot *snapshot, struct LFIPool *pool, struct LFILinuxProc *procs[POOLED])
{
	struct LFILinuxProc *clone = lfi_snapshot_clone(snapshot);

	alarm(SECONDS);
	if (!clone || sum(clone) != SUM)
		return 1;
	lfi_proc_free(clone);
	for (int i = 0; i < POOLED; i++)
		if (lfi_pool_give(pool, procs[i]) < 0 && lfi_errno() != LFI_ERR_INVALID)
			return 2;
	for (int i = 0; i < POOLED; i++) {
		procs[i] = lfi_pool_take(pool);
		if (!procs[i] || sum(procs[i]) != SUM)
			return 3;
	}
	for (int i = 0; i < POOLED; i++)
		if (lfi_pool_give(pool, procs[i]) < 0)
			return 4;
	lfi_error_clear();
	lfi_pool_free(pool);
	lfi_snapshot_free(snapshot);
	return lfi_errno() == LFI_OK ? 0 : 5;
}

static void
children_use_snapshots_and_pools_of_a_busy_host(void **state)
{
	struct Host host = library_open(2 + POOLED);
	struct LFISnapshot *snapshot = freeze(host.proc);
	struct LFIPool *pool = lfi_pool_new(snapshot, POOLED);
	struct LFILinuxProc *procs[POOLED];
	pthread_t threads[2];

	for (int i = 0; i < POOLED; i++)
		assert_non_null(procs[i] = lfi_pool_take(pool));
	for (int i = 0; i < POOLED; i++)
		assert_int_equal(lfi_pool_give(pool, procs[i]), 0);
	atomic_store(&stop, false);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, pool), 0);
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();
		int status = -1;

		if (pid == 0)
			_exit(use_in_child(snapshot, pool, procs));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	lfi_pool_free(pool);
	lfi_snapshot_free(snapshot);
	host_close(&host);
}

/* ---- Leaks ---- */

static size_t
resident(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long size, pages;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu %lu", &size, &pages), 2);
	fclose(file);
	return pages * 4096;
}

static void
ten_thousand_clones_leave_nothing_behind(void **state)
{
	struct Host host = library_open(2);
	struct LFISnapshot *snapshot = freeze(host.proc);
	struct LFILinuxProc *clone;
	size_t before = 0;
	int fds = count_fds();

	for (int i = 0; i < 10000; i++) {
		if (i == 1000)
			before = resident();
		clone = clone_of(snapshot);
		if (i % 16 == 0)
			call(clone, "change", i);
		lfi_proc_free(clone);
	}
	if (ADDRESS_SANITIZER)
		print_message("skipped in part: AddressSanitizer keeps what is freed for a while\n");
	else
		assert_true(resident() < before + 512 * 1024);
	assert_int_equal(count_fds(), fds);
	lfi_snapshot_free(snapshot);
	host_close(&host);
}

/* ---- Allocations that fail: the one with the number `refused_at` ---- */

static _Atomic int allocations, refused_at;
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);

static void (*at_allocation)(void); /* happens once, at the next one */

static bool
refused(void)
{
	void (*what)(void) = at_allocation;

	at_allocation = NULL;
	if (what)
		what();
	return ++allocations == refused_at;
}

char *
__wrap_strdup(const char *text)
{
	return refused() ? NULL : __real_strdup(text);
}

static void
refuse(int at)
{
	allocations = 0;
	refused_at = at;
}

/* Whether the last deed made fewer allocations than `n`; no further ones are refused. */
static bool
was_through(int n)
{
	bool through = allocations < n;

	refuse(0);
	return through;
}

static void
a_snapshot_that_is_refused_memory_is_an_error(void **state)
{
	bool through = false;

	for (int n = 1; !through; n++) {
		struct Host host = library_open(1);
		struct LFISnapshot *snapshot;

		refuse(n);
		snapshot = lfi_snapshot_new(host.proc);
		through = was_through(n);
		assert_true(through || !snapshot);
		if (!snapshot)
			assert_int_equal(lfi_errno(), LFI_ERR_NOMEM);
		assert_int_equal(sum(host.proc), SUM);
		lfi_snapshot_free(snapshot);
		assert_int_equal(sum(host.proc), SUM);
		host_close(&host);
	}
}

/* Nothing of one that is not made stays: all places of the engine are free afterwards. */
static void
a_clone_that_is_refused_memory_is_an_error(void **state)
{
	struct Host host = library_open(2);
	struct LFISnapshot *snapshot = freeze(host.proc);
	bool through = false;
	int refusals = 0, fds = count_fds();

	for (int n = 1; !through; n++) {
		struct LFILinuxProc *clone;

		refuse(n);
		clone = lfi_snapshot_clone(snapshot);
		through = was_through(n);
		refusals += !clone;
		if (clone) {
			assert_int_equal(sum(clone), SUM);
			lfi_proc_free(clone);
		} else {
			assert_int_equal(lfi_errno(), LFI_ERR_NOMEM);
		}
		assert_int_equal(count_fds(), fds);
	}
	/* The box, its map, the process, its folder, the thread; a process without a path is one. */
	assert_in_range(refusals, 5, 12);
	lfi_snapshot_free(snapshot);
	host_close(&host);
}

static void
a_pool_that_is_refused_memory_is_an_error(void **state)
{
	struct Host host = library_open(3);
	struct LFISnapshot *snapshot = freeze(host.proc);
	bool through = false;
	int refusals = 0;

	for (int n = 1; !through; n++) {
		struct LFIPool *pool;

		refuse(n);
		pool = lfi_pool_new(snapshot, 2);
		through = was_through(n);
		refusals += !pool;
		if (!pool)
			assert_int_equal(lfi_errno(), LFI_ERR_NOMEM);
		lfi_pool_free(pool);
	}
	assert_in_range(refusals, 13, 27);
	lfi_snapshot_free(snapshot);
	host_close(&host);
}

static void
what_a_pool_could_not_reset_is_given_again(void **state)
{
	struct Host host = library_open(2);
	struct LFISnapshot *snapshot = freeze(host.proc);
	struct LFIPool *pool = lfi_pool_new(snapshot, 1);
	struct LFILinuxProc *proc = lfi_pool_take(pool);

	assert_non_null(proc);
	free_the_first_thread(proc);
	refuse(1);
	assert_int_equal(lfi_pool_give(pool, proc), -1);
	refuse(0);
	assert_int_equal(lfi_errno(), LFI_ERR_NOMEM);
	assert_null(lfi_pool_take(pool));
	assert_int_equal(lfi_pool_give(pool, proc), 0);
	assert_ptr_equal(lfi_pool_take(pool), proc);
	assert_int_equal(sum(proc), SUM);
	assert_int_equal(lfi_pool_give(pool, proc), 0);
	lfi_pool_free(pool);
	lfi_snapshot_free(snapshot);
	host_close(&host);
}

/* The next reset does it. */
static void
a_reset_that_is_refused_memory_is_an_error(void **state)
{
	static void (*const deeds[])(struct LFILinuxProc *) = {
	    change_the_kernel_s_state, free_the_first_thread, unmap_all};

	for (size_t i = 0; i < sizeof deeds / sizeof deeds[0]; i++) {
		struct Host host = library_open(2);
		struct LFISnapshot *snapshot = freeze(host.proc);
		struct LFILinuxProc *clone = clone_of(snapshot);
		bool through = false;
		int r;

		for (int n = 1; !through; n++) {
			deeds[i](clone);
			refuse(n);
			r = lfi_proc_reset(clone);
			through = was_through(n);
			if (r < 0) {
				assert_int_equal(lfi_errno(), LFI_ERR_NOMEM);
				assert_int_equal(lfi_proc_reset(clone), 0);
			}
			assert_int_equal(sum(clone), SUM);
			assert_int_equal(call(clone, "kernel_state", 0), 0);
		}
		lfi_proc_free(clone);
		lfi_snapshot_free(snapshot);
		host_close(&host);
	}
}

/* ---- Set-up ---- */

static int
compile_all(void **state)
{
	char line[4096];

	if (!mkdtemp(dir))
		return -1;
	snprintf(line, sizeof line,
	    "cd %s && for f in stateful arguments; do %s/lfi-cc -O2 %s/tests/c/linux/programs/$f.c -o $f.lfi || exit "
	    "1; "
	    "done",
	    dir, getenv("LFI_BIN"), getenv("LFI_SOURCE"));
	return system(line);
}

static int
remove_all(void **state)
{
	char line[64];

	snprintf(line, sizeof line, "rm -rf %s", dir);
	return system(line);
}

/* ---- Who waits for whom: another thread holds what a step must wait for, and changes what that step looks at ---- */

/* For what would not wait to be done: a busy machine may make it late, and then it is not caught. */
static void
give_it_time(void)
{
	usleep(20000);
}

static struct Host waited;
static atomic_bool held;
static pthread_t holder;
static void (*at_check)(void); /* happens once, before the process's threads are looked at */

bool __real_proc_host_runs(struct LFILinuxProc *proc);
bool __wrap_proc_host_runs(struct LFILinuxProc *proc);

bool
__wrap_proc_host_runs(struct LFILinuxProc *proc)
{
	void (*what)(void) = at_check;
	bool runs = __real_proc_host_runs(proc);

	at_check = NULL;
	if (what)
		what();
	return runs;
}

/* Another thread has the process's lock from here on, for a while. */
static void
let_another_hold(void *(*what)(void *))
{
	atomic_store(&held, false);
	if (pthread_create(&holder, NULL, what, NULL) != 0)
		abort();
	while (!atomic_load(&held))
		usleep(100);
}

static void *
holds_and_makes_a_thread(void *arg)
{
	pthread_mutex_lock(&waited.proc->lock);
	atomic_store(&held, true);
	give_it_time();
	waited.proc->live++;
	pthread_mutex_unlock(&waited.proc->lock);
	return NULL;
}

static void
while_a_thread_is_made(void)
{
	let_another_hold(holds_and_makes_a_thread);
}

static void
threads_are_counted_under_the_lock_before_a_snapshot(void **state)
{
	waited = library_open(2);
	at_check = while_a_thread_is_made;
	assert_null(lfi_snapshot_new(waited.proc));
	assert_int_equal(lfi_errno(), LFI_ERR_UNSUPPORTED);
	assert_null(at_check);
	pthread_join(holder, NULL);
	waited.proc->live--;
	host_close(&waited);
}

static void *
holds_and_changes(void *arg)
{
	unsigned umask_before = atomic_load(&waited.proc->umask);

	pthread_mutex_lock(&waited.proc->lock);
	atomic_store(&waited.proc->umask, 0777);
	atomic_store(&held, true);
	give_it_time();
	atomic_store(&waited.proc->umask, umask_before);
	pthread_mutex_unlock(&waited.proc->lock);
	return NULL;
}

/* In lfi_snapshot_new, when the process was found to be fit. */
static void
while_it_changes(void)
{
	let_another_hold(holds_and_changes);
}

static void
a_process_is_copied_under_its_lock(void **state)
{
	struct LFISnapshot *snapshot;
	struct LFILinuxProc *clone;

	waited = library_open(2);
	at_allocation = while_it_changes;
	snapshot = lfi_snapshot_new(waited.proc);
	assert_null(at_allocation);
	pthread_join(holder, NULL);
	assert_non_null(snapshot);
	clone = clone_of(snapshot);
	assert_int_equal(atomic_load(&clone->umask), atomic_load(&waited.proc->umask));
	assert_int_not_equal(atomic_load(&clone->umask), 0777);
	lfi_proc_free(clone);
	lfi_snapshot_free(snapshot);
	host_close(&waited);
}

static atomic_bool releasing, reset_is_done;
static bool reset_was_early;

static void
releases_slowly(struct LFIContext *ctx)
{
	atomic_store(&releasing, true);
	give_it_time();
	reset_was_early = atomic_load(&reset_is_done);
}

/* A host thread whose context a callback made, and that ends. */
static void *
calls_and_ends(void *arg)
{
	struct LFIContext *ctx = NULL;

	LFI_INVOKE(lfi_proc_box(waited.proc), &ctx, lfi_proc_sym(waited.proc, "sum"), int, (void));
	return NULL;
}

static void
a_reset_waits_for_release_callbacks(void **state)
{
	struct LFISnapshot *snapshot;
	pthread_t thread;

	waited = library_open(2);
	snapshot = freeze(waited.proc);
	lfi_set_release_cb(waited.engine, releases_slowly);
	atomic_store(&releasing, false);
	atomic_store(&reset_is_done, false);
	assert_int_equal(pthread_create(&thread, NULL, calls_and_ends, NULL), 0);
	while (!atomic_load(&releasing))
		usleep(100);
	lfi_proc_reset(waited.proc);
	atomic_store(&reset_is_done, true);
	pthread_join(thread, NULL);
	assert_false(reset_was_early);
	lfi_snapshot_free(snapshot);
	host_close(&waited);
}

static struct LFIPool *waited_pool;
static atomic_bool waiter_done;

static void *
takes_of_a_pool(void *arg)
{
	struct LFILinuxProc *proc = lfi_pool_take(waited_pool);

	atomic_store(&waiter_done, true);
	return proc;
}

/* Its lock is the first that it has. */
static void
who_takes_of_a_pool_waits_for_others(void **state)
{
	struct Host host = library_open(3);
	struct LFISnapshot *snapshot = freeze(host.proc);
	pthread_mutex_t *lock;
	pthread_t thread;
	void *proc;

	waited_pool = lfi_pool_new(snapshot, 1);
	assert_non_null(waited_pool);
	lock = (pthread_mutex_t *) waited_pool;
	atomic_store(&waiter_done, false);
	pthread_mutex_lock(lock);
	assert_int_equal(pthread_create(&thread, NULL, takes_of_a_pool, NULL), 0);
	give_it_time();
	assert_false(atomic_load(&waiter_done));
	pthread_mutex_unlock(lock);
	pthread_join(thread, &proc);
	assert_int_equal(lfi_pool_give(waited_pool, proc), 0);
	lfi_pool_free(waited_pool);
	lfi_snapshot_free(snapshot);
	host_close(&host);
}

enum { HOLES = 5 };

/* The allocator gives back what was freed first, so the pool's processes lie the other way round. */
static void
a_pool_knows_its_processes_wherever_they_lie(void **state)
{
	struct Host host = library_open(1 + HOLES);
	struct LFISnapshot *snapshot = freeze(host.proc);
	struct LFILinuxProc *procs[HOLES];
	void *apart[HOLES]; /* keeps holes from growing together */
	struct LFIPool *pool;

	for (int up = 0; up < 2; up++) {
		for (int i = 0; i < HOLES; i++) {
			procs[i] = clone_of(snapshot);
			apart[i] = malloc(2000);
		}
		for (int i = 0; i < HOLES; i++)
			lfi_proc_free(procs[up ? i : HOLES - 1 - i]);
		pool = lfi_pool_new(snapshot, HOLES);
		assert_non_null(pool);
		for (int i = 0; i < HOLES; i++)
			assert_non_null(procs[i] = lfi_pool_take(pool));
		for (int i = 0; i < HOLES; i++)
			assert_int_equal(lfi_pool_give(pool, procs[i]), 0);
		lfi_pool_free(pool);
		for (int i = 0; i < HOLES; i++)
			free(apart[i]);
	}
	lfi_snapshot_free(snapshot);
	host_close(&host);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(clones_start_with_the_heap_and_go_their_own_ways),
	    cmocka_unit_test(clones_outlive_the_process_and_the_snapshot),
	    cmocka_unit_test(a_program_that_has_not_run_is_cloned_and_each_runs),
	    cmocka_unit_test(a_reset_undoes_each_deed),
	    cmocka_unit_test(open_files_are_shared_and_closed_with_the_last),
	    cmocka_unit_test(what_cannot_be_frozen_cloned_or_reset_is_refused),
	    cmocka_unit_test(what_the_host_has_pinned_is_neither_frozen_nor_reset),
	    cmocka_unit_test(the_kernel_s_state_goes_with_the_snapshot),
	    cmocka_unit_test(processes_that_run_or_have_ended_are_not_frozen),
	    cmocka_unit_test(a_pool_gives_each_process_to_one_taker),
	    cmocka_unit_test(many_threads_take_and_give),
	    cmocka_unit_test(a_snapshot_is_not_what_programs_inherit),
	    cmocka_unit_test(children_use_snapshots_and_pools_of_a_busy_host),
	    cmocka_unit_test(threads_that_only_take_and_give_lose_none),
	    cmocka_unit_test(ten_thousand_clones_leave_nothing_behind),
	    cmocka_unit_test(a_snapshot_that_is_refused_memory_is_an_error),
	    cmocka_unit_test(a_clone_that_is_refused_memory_is_an_error),
	    cmocka_unit_test(a_pool_that_is_refused_memory_is_an_error),
	    cmocka_unit_test(what_a_pool_could_not_reset_is_given_again),
	    cmocka_unit_test(a_reset_that_is_refused_memory_is_an_error),
	    cmocka_unit_test(threads_are_counted_under_the_lock_before_a_snapshot),
	    cmocka_unit_test(a_process_is_copied_under_its_lock),
	    cmocka_unit_test(a_reset_waits_for_release_callbacks),
	    cmocka_unit_test(who_takes_of_a_pool_waits_for_others),
	    cmocka_unit_test(a_pool_knows_its_processes_wherever_they_lie),
	};

	if (!can_compile("libc.a"))
		return 0;
	return cmocka_run_group_tests(tests, compile_all, remove_all);
}
