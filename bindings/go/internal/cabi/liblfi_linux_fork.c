//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * fork(2) of the host: docs/fork.md. The handlers are registered after those of core, so these locks are taken before
 * core's: a thread that holds a process's lock may go on to take a sandbox's. Trusted.
 *
 *   I1  In the child no lock is held, and nothing waits for a thread that is not there.
 *   I2  The end of a process in the child does not reach the parent's: the event that says so is the child's own.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "core.h"
#include "error.h"
#include "fork.h"
#include "linux.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_error;

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct LFILinuxEngine *engines; /* with their processes */
static struct ForkLock *locks;         /* of snapshots and pools */

/* ---- In the child ---- */

/* The thread that runs this object may be gone. */
static void
lose_thread(struct LFILinuxThread *thread)
{
	atomic_store(&thread->waiting_on, NULL);
	if (thread->state == THREAD_RUNNING && !ctx_entered(thread->ctx))
		thread->state = THREAD_DONE;
}

/* I2. Without a descriptor, which there was before, sleepers are not woken by it; negative ones are not polled. */
static void
renew_end_event(struct LFILinuxProc *proc)
{
	if (proc->end_event < 0)
		return;
	close(proc->end_event);
	proc->end_event = eventfd(proc_has_ended(proc), EFD_CLOEXEC | EFD_NONBLOCK);
}

static void
proc_after_fork(struct LFILinuxProc *proc)
{
	pthread_cond_init(&proc->changed, NULL);
	pthread_mutex_init(&proc->stdio_turn, NULL);
	for (struct LFILinuxThread *thread = proc->threads; thread; thread = thread->next)
		lose_thread(thread);
	/* A thread that the program made is one that forked when it called the host. */
	proc->live = 0;
	for (struct LFILinuxThread *thread = proc->threads; thread; thread = thread->next)
		proc->live += thread->cloned && thread->state == THREAD_RUNNING;
	proc->has_zombie = false;
	renew_end_event(proc);
}

/* ---- Around fork ---- */

static void
procs_fork(struct LFILinuxEngine *engine, enum ForkStep step)
{
	unsigned procs = 0;

	for (struct LFILinuxProc *proc = engine->list; proc; proc = proc->next) {
		if (step == FORK_CHILD)
			proc_after_fork(proc);
		fork_lock(&proc->lock, step);
		fork_lock(&proc->fds.lock, step);
		procs++;
	}
	/* Not those that another thread was making or freeing. */
	if (step == FORK_CHILD)
		atomic_store(&engine->procs, procs);
}

static void
locks_fork(enum ForkStep step)
{
	for (struct ForkLock *one = locks; one; one = one->next) {
		if (step == FORK_CHILD && one->child)
			one->child(one->owner);
		fork_lock(one->lock, step);
	}
}

/*
 * Snapshots' tables before those of processes: fdtable_copy. The lists are given back after what is in them: they may
 * change at once.
 */
static void
all(enum ForkStep step)
{
	if (step == FORK_PREPARE)
		fork_lock(&list_lock, step);
	locks_fork(step);
	for (struct LFILinuxEngine *engine = engines; engine; engine = engine->next)
		procs_fork(engine, step);
	if (step != FORK_PREPARE)
		fork_lock(&list_lock, step);
}

static void
prepare(void)
{
	all(FORK_PREPARE);
}

static void
parent(void)
{
	all(FORK_PARENT);
}

static void
child(void)
{
	all(FORK_CHILD);
}

static void
register_handlers(void)
{
	once_error = pthread_atfork(prepare, parent, child);
}

/* ---- The lists ---- */

int
fork_add_engine(struct LFILinuxEngine *engine)
{
	pthread_once(&once, register_handlers);
	if (once_error)
		return error_set_os(LFI_ERR_NOMEM, once_error, "cannot prepare for fork");
	pthread_mutex_lock(&list_lock);
	engine->next = engines;
	engine->link = &engines;
	if (engine->next)
		engine->next->link = &engine->next;
	engines = engine;
	pthread_mutex_unlock(&list_lock);
	return 0;
}

void
fork_remove_engine(struct LFILinuxEngine *engine)
{
	pthread_mutex_lock(&list_lock);
	*engine->link = engine->next;
	if (engine->next)
		engine->next->link = engine->link;
	pthread_mutex_unlock(&list_lock);
}

void
fork_add_proc(struct LFILinuxProc *proc)
{
	struct LFILinuxEngine *engine = proc->engine;

	pthread_mutex_lock(&list_lock);
	proc->next = engine->list;
	proc->link = &engine->list;
	if (proc->next)
		proc->next->link = &proc->next;
	engine->list = proc;
	pthread_mutex_unlock(&list_lock);
}

void
fork_remove_proc(struct LFILinuxProc *proc)
{
	pthread_mutex_lock(&list_lock);
	/* With the list: in a child, what is in it can be freed. */
	handle_drop(proc, HANDLE_PROC);
	*proc->link = proc->next;
	if (proc->next)
		proc->next->link = proc->link;
	pthread_mutex_unlock(&list_lock);
}

void
fork_add_lock(struct ForkLock *lock)
{
	pthread_mutex_lock(&list_lock);
	lock->next = locks;
	lock->link = &locks;
	if (lock->next)
		lock->next->link = &lock->next;
	locks = lock;
	pthread_mutex_unlock(&list_lock);
}

void
fork_remove_lock(struct ForkLock *lock)
{
	pthread_mutex_lock(&list_lock);
	*lock->link = lock->next;
	if (lock->next)
		lock->next->link = lock->link;
	pthread_mutex_unlock(&list_lock);
}
