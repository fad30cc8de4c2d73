/* SPDX-License-Identifier: MIT */
/*
 * Threads: the first one, which the host program runs; those that the program
 * makes, each a host thread of ours; and contexts for host threads that call
 * into a library. Trusted.
 *
 *   I1  A context is run by one host thread.
 *   I2  A thread is in proc->threads from thread_make to thread_destroy, and is not freed while it runs.
 *   I3  Nothing of the sandbox is touched after the last thread left and the host program got its answer.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "core.h"
#include "error.h"
#include "guest.h"
#include "os/os.h"
#include "sys.h"

enum { HOST_STACK = 512 * 1024, TIDS = 1 << 29 };

/* ns that the program's libc gets for the beginning and the end of a host thread: it does next to nothing, and the host
 * waits. */
#define LIBC_TIMEOUT ((uint64_t) 5 * 1000 * 1000 * 1000)

/* ---- Objects ---- */

static struct LFILinuxThread *
too_many(struct LFILinuxThread *thread)
{
	error_set(LFI_ERR_LIMIT, "a process has at most %d threads", LINUX_THREADS_MAX);
	free(thread);
	return NULL;
}

/* Into the list, with a number. False when there are too many. */
static bool
enlist(struct LFILinuxThread *thread)
{
	struct LFILinuxProc *proc = thread->proc;
	unsigned count = 0;

	pthread_mutex_lock(&proc->lock);
	for (struct LFILinuxThread *other = proc->threads; other; other = other->next)
		count++;
	if (count < LINUX_THREADS_MAX) {
		thread->tid = proc->pid + (int) (proc->made++ % TIDS);
		thread->next = proc->threads;
		proc->threads = thread;
	}
	pthread_mutex_unlock(&proc->lock);
	return count < LINUX_THREADS_MAX;
}

struct LFILinuxThread *
thread_make(struct LFILinuxProc *proc)
{
	struct LFILinuxThread *thread = calloc(1, sizeof *thread);

	if (!thread) {
		error_set(LFI_ERR_NOMEM, "no memory for a thread");
		return NULL;
	}
	thread->proc = proc;
	if (!enlist(thread))
		return too_many(thread);
	thread->ctx = lfi_ctx_new(proc->box, thread);
	if (thread->ctx)
		ctx_set_owned(thread->ctx);
	if (thread->ctx && handle_add(thread, HANDLE_THREAD) == 0)
		return thread;
	thread_destroy(thread);
	return NULL;
}

static void
delist(struct LFILinuxThread *thread)
{
	struct LFILinuxThread **link = &thread->proc->threads;

	pthread_mutex_lock(&thread->proc->lock);
	while (*link != thread)
		link = &(*link)->next;
	*link = thread->next;
	if (thread->proc->first == thread)
		thread->proc->first = NULL;
	pthread_mutex_unlock(&thread->proc->lock);
}

void
thread_destroy(struct LFILinuxThread *thread)
{
	handle_drop(thread, HANDLE_THREAD);
	delist(thread);
	if (thread->has_stack)
		load_stack_unmap(thread->proc->box, &thread->stack);
	if (thread->ctx)
		ctx_free(thread->ctx);
	free(thread);
}

static int
thread_check(const struct LFILinuxThread *thread)
{
	return handle_check(thread, HANDLE_THREAD) < 0 ? -1 : proc_check(thread->proc);
}

struct LFIContext *
lfi_thread_ctx(struct LFILinuxThread *thread)
{
	return thread_check(thread) < 0 ? NULL : thread->ctx;
}

/* ---- Threads that the program makes ---- */

/* What CLONE_CHILD_CLEARTID asks for. A bad address is the program's affair. */
static void
clear_tid(struct LFILinuxThread *thread)
{
	static const uint32_t zero = 0;
	lfiptr address = thread->clear_tid;
	void *word = guest_span(thread, address, sizeof zero);

	if (address && word && copy_out(thread, address, &zero, sizeof zero) == 0)
		futex_wake(word, 1);
}

/* The first time that a process gets a second thread. 0 or -errno. */
static int
become_threaded(struct LFILinuxProc *proc)
{
	int result = 0;

	pthread_mutex_lock(&proc->lock);
	if (!atomic_load(&proc->threaded)) {
		proc->end_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (proc->end_event < 0)
			result = -errno;
		else
			atomic_store(&proc->threaded, true);
	}
	pthread_mutex_unlock(&proc->lock);
	return result;
}

/* The host thread of `host` is done but for returning; the one that was before it is waited for. */
static void
leave_zombie(struct LFILinuxProc *proc, pthread_t host)
{
	pthread_t before;
	bool had;

	pthread_mutex_lock(&proc->lock);
	had = proc->has_zombie;
	before = proc->zombie;
	proc->zombie = host;
	proc->has_zombie = true;
	pthread_mutex_unlock(&proc->lock);
	if (had)
		pthread_join(before, NULL);
	pthread_mutex_lock(&proc->lock);
	proc->live--;
	pthread_cond_broadcast(&proc->changed);
	pthread_mutex_unlock(&proc->lock);
}

/* Adds the function to the message about a trap; addresses are those of the file, as debuggers show them. */
static void
name_fault(struct LFILinuxThread *thread, const struct LFIFault *fault)
{
	const struct LoadImage *image = &thread->proc->image;
	struct LFIError error;
	char place[LOAD_PLACE];

	if (load_stack_guards(&thread->stack, fault->address)) {
		lfi_error_get(&error);
		error_set(error.code, "%s: the stack is used up", error.message);
	}
	if (range_within(fault->pc, 1, image->start, image->end) &&
	    load_symbol_place(thread->proc->symbols, fault->pc - image->bias, place)) {
		lfi_error_get(&error);
		error_set(error.code, "%s, in %s (0x%" PRIx64 " of the program)", error.message, place,
		    fault->pc - image->bias);
	}
}

/* The thread's run failed, which ends the process. */
static void
end_by_failure(struct LFILinuxThread *thread)
{
	struct LFIFault fault;

	if (lfi_errno() == LFI_ERR_FAULT && lfi_ctx_fault(thread->ctx, &fault) == 0) {
		name_fault(thread, &fault);
		proc_end_error(thread->proc, &fault);
	} else {
		proc_end_error(thread->proc, NULL);
	}
}

static void *
thread_main(void *arg)
{
	struct LFILinuxThread *thread = arg;
	struct LFILinuxProc *proc = thread->proc;
	int code = lfi_ctx_run(thread->ctx, thread->entry);

	if (code < 0 && !proc_has_ended(proc))
		end_by_failure(thread);
	clear_tid(thread);
	thread_destroy(thread);
	leave_zombie(proc, pthread_self());
	return NULL;
}

/* Signals of the host program are not for our threads; the core unblocks those that faults raise. */
static int
start_host_thread(struct LFILinuxThread *thread)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int error;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, os_stack_size(HOST_STACK));
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&thread->host, &attr, thread_main, thread);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -error;
}

/* One more host thread. False when there are as many as there may be: those that have left the list may still exist. */
static bool
count_live(struct LFILinuxProc *proc)
{
	bool room;

	pthread_mutex_lock(&proc->lock);
	room = proc->live < LINUX_THREADS_MAX;
	proc->live += room;
	pthread_mutex_unlock(&proc->lock);
	return room;
}

int
thread_start(struct LFILinuxThread *thread)
{
	struct LFILinuxProc *proc = thread->proc;
	int result = become_threaded(proc);

	if (result < 0)
		return result;
	if (!count_live(proc))
		return -EAGAIN;
	thread->cloned = true;
	thread->state = THREAD_RUNNING;
	result = start_host_thread(thread);
	if (result < 0) {
		pthread_mutex_lock(&proc->lock);
		proc->live--;
		pthread_mutex_unlock(&proc->lock);
		return -EAGAIN;
	}
	return 0;
}

/* ---- The first thread ---- */

static int
check_args(struct LFILinuxProc *proc, int argc, const char **argv)
{
	if (proc_check(proc) < 0)
		return -1;
	if (!proc->loaded)
		return error_set(LFI_ERR_INVALID, "the process has no program: lfi_proc_load comes first");
	if (proc->first)
		return error_set(LFI_ERR_INVALID, "the process has its first thread already");
	if (argc < 0 || (argc > 0 && !argv))
		return error_set(LFI_ERR_INVALID, "argc is %d, argv %s", argc, argv ? "not NULL" : "NULL");
	for (int i = 0; i < argc; i++)
		if (!argv[i])
			return error_set(LFI_ERR_INVALID, "argv[%d] of %d is NULL", i, argc);
	return 0;
}

struct LFILinuxThread *
lfi_thread_new(struct LFILinuxProc *proc, int argc, const char **argv, const char **envp)
{
	const char *execfn = argc > 0 && argv ? argv[0] : "";
	struct LoadArgs args = {argc, argv, envp, execfn};
	struct LFILinuxThread *thread;

	if (check_args(proc, argc, argv) < 0)
		return NULL;
	thread = thread_make(proc);
	if (!thread)
		return NULL;
	if (load_stack_map(proc->box, proc->engine->opts.stacksize, &thread->stack) < 0)
		goto destroy;
	thread->has_stack = true;
	if (load_stack_fill(proc->box, &proc->image, &args, &thread->stack) < 0)
		goto destroy;
	lfi_ctx_regs(thread->ctx)->sp = thread->stack.sp;
	thread->entry = proc->image.entry;
	proc->first = thread;
	return thread;

destroy:
	thread_destroy(thread);
	return NULL;
}

void
lfi_thread_free(struct LFILinuxThread *thread)
{
	if (!thread || thread_check(thread) < 0)
		return;
	if (thread->state == THREAD_RUNNING)
		error_set(LFI_ERR_BUSY, "thread %d runs", thread->tid);
	else
		thread_destroy(thread);
}

void
proc_wait(struct LFILinuxProc *proc, bool until_end)
{
	pthread_t zombie;
	bool has = false;

	pthread_mutex_lock(&proc->lock);
	while (proc->live && !(until_end && proc_has_ended(proc)))
		pthread_cond_wait(&proc->changed, &proc->lock);
	if (!proc->live) {
		has = proc->has_zombie;
		zombie = proc->zombie;
		proc->has_zombie = false;
	}
	pthread_mutex_unlock(&proc->lock);
	if (has)
		pthread_join(zombie, NULL);
}

/* exit of the first thread: the process lives on while it has others. */
static void
leave_first(struct LFILinuxThread *thread, int code)
{
	clear_tid(thread);
	proc_wait(thread->proc, true);
	proc_end(thread->proc, code);
}

int
lfi_thread_run(struct LFILinuxThread *thread)
{
	struct LFILinuxProc *proc;
	int code;

	if (thread_check(thread) < 0)
		return -1;
	proc = thread->proc;
	if (thread->state != THREAD_NEW || proc_has_ended(proc))
		return error_set(LFI_ERR_INVALID, "a thread runs once, and this one has");
	thread->state = THREAD_RUNNING;
	code = lfi_ctx_run(thread->ctx, thread->entry);
	if (thread->ready && code == 0) {
		thread->state = THREAD_READY;
		return 0;
	}
	if (code < 0 && !proc_has_ended(proc))
		end_by_failure(thread);
	if (thread->leaving)
		leave_first(thread, code);
	proc_wait(proc, false);
	thread->state = THREAD_DONE;
	if (proc->error.code != LFI_OK)
		return error_set(proc->error.code, "%s", proc->error.message);
	return proc->status;
}

/* ---- Contexts for the host's threads ---- */

/*
 * A thread pointer for `thread`, made by the program's libc on the new context with the first thread's pointer; 0 sets
 * the error. The function expects to run while the first thread is anywhere.
 */
static lfiptr
new_thread_pointer(struct LFILinuxThread *thread)
{
	struct LFILinuxProc *proc = thread->proc;
	lfiptr fn = lfi_proc_sym(proc, "__lfi_new_thread");
	union LFIValue arg = {.i = thread->tid}, result = {.u = 0};

	if (!fn || !proc->first) {
		error_set(LFI_ERR_UNSUPPORTED, "the program cannot be called from a second host thread: it was linked "
					       "without the sysroot's default main");
		return 0;
	}
	lfi_ctx_set_tp(thread->ctx, lfi_ctx_tp(proc->first->ctx));
	/* The caller has no context yet that he could set a deadline for. */
	if (lfi_ctx_deadline(thread->ctx, LIBC_TIMEOUT) < 0 || lfi_call(thread->ctx, fn, "p(i)", &arg, &result) < 0)
		return 0;
	if (!result.u)
		error_set(LFI_ERR_NOMEM, "no memory in the sandbox for a thread");
	return result.u;
}

/* Stack and thread pointer for `thread`. */
static int
equip(struct LFILinuxThread *thread)
{
	struct LFILinuxProc *proc = thread->proc;
	lfiptr tp;

	if (load_stack_map(proc->box, proc->engine->opts.stacksize, &thread->stack) < 0)
		return -1;
	thread->has_stack = true;
	lfi_ctx_regs(thread->ctx)->sp = thread->stack.sp;
	tp = new_thread_pointer(thread);
	if (!tp)
		return -1;
	lfi_ctx_set_tp(thread->ctx, tp);
	thread->state = THREAD_READY;
	return 0;
}

static struct LFIContext *
clone_context(struct LFIBox *box)
{
	struct LFILinuxProc *proc = box_user(box);
	struct LFILinuxThread *thread;

	if (!proc) {
		error_set(LFI_ERR_INVALID, "the sandbox belongs to no process");
		return NULL;
	}
	if (become_threaded(proc) < 0) {
		error_set(LFI_ERR_OS, "no descriptor for a second thread");
		return NULL;
	}
	thread = thread_make(proc);
	if (thread && equip(thread) < 0) {
		thread_destroy(thread);
		return NULL;
	}
	return thread ? thread->ctx : NULL;
}

/* The thread of a context that clone_context made; NULL for what another clone callback made. */
static struct LFILinuxThread *
thread_of(struct LFILinuxProc *proc, struct LFIContext *ctx, lfiptr *first_pointer)
{
	struct LFILinuxThread *thread;

	pthread_mutex_lock(&proc->lock);
	for (thread = proc->threads; thread && thread->ctx != ctx; thread = thread->next)
		;
	*first_pointer = proc->first ? lfi_ctx_tp(proc->first->ctx) : 0;
	pthread_mutex_unlock(&proc->lock);
	return thread;
}

/*
 * Have the program's libc take back what new_thread_pointer got. When it cannot, or takes forever, the memory stays the
 * sandbox's: the thread ends all the same.
 */
static void
give_thread_pointer(struct LFILinuxThread *thread, lfiptr first_pointer)
{
	lfiptr fn = lfi_proc_sym(thread->proc, "__lfi_free_thread");
	union LFIValue arg = {.u = lfi_ctx_tp(thread->ctx)};

	if (!fn || !first_pointer || proc_has_ended(thread->proc) || lfi_ctx_deadline(thread->ctx, LIBC_TIMEOUT) < 0)
		return;
	lfi_ctx_set_tp(thread->ctx, first_pointer);
	lfi_call(thread->ctx, fn, "v(p)", &arg, NULL);
}

/* The host thread that the context was made for ends. */
static void
release_context(struct LFIContext *ctx)
{
	struct LFILinuxProc *proc = box_user(lfi_ctx_box(ctx));
	struct LFILinuxThread *thread;
	lfiptr first_pointer;

	thread = proc ? thread_of(proc, ctx, &first_pointer) : NULL;
	if (!thread)
		return;
	give_thread_pointer(thread, first_pointer);
	thread_destroy(thread);
}

int
lfi_linux_init_clone(struct LFILinuxThread *thread)
{
	struct LFILinuxProc *proc;

	if (thread_check(thread) < 0)
		return -1;
	proc = thread->proc;
	if (thread->state == THREAD_NEW && lfi_thread_run(thread) < 0)
		return -1;
	if (thread->state != THREAD_READY)
		return error_set(LFI_ERR_INVALID,
		    "the program ended with status %d instead of becoming a library: it has a main", proc->status);
	if (lfi_box_init_ret(proc->box) < 0)
		return -1;
	lfi_set_clone_cb(proc->engine->engine, clone_context);
	lfi_set_release_cb(proc->engine->engine, release_context);
	return 0;
}
