//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of processes: what the emulated kernel knows of one, beside the image of its memory that core keeps.
 * Trusted.
 *
 *   I1  Only a process none of whose threads runs is frozen or reset: what is copied here does not change meanwhile.
 *   I2  A clone shares with others what nobody writes (symbols) or what has a count and locks of its own (open files).
 *   I3  Addresses that the emulated kernel keeps are moved to the clone's sandbox: moved().
 *   I4  A clone in another sandbox is made only of programs whose memory has no base in it; what else a program might
 *       keep of the base can harm itself only.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core.h"
#include "error.h"
#include "sys.h"

/* The first thread. */
struct FrozenThread {
	enum ThreadState state;
	int tid;
	bool ready, has_stack;
	struct LoadStack stack;
	lfiptr entry, clear_tid, tp;
	uint64_t sigmask;
	uint64_t altstack[3];
	struct LFIRegs regs;
};

struct LFISnapshot {
	_Atomic unsigned refs;
	struct LFILinuxEngine *engine;
	struct BoxImage *memory;
	struct LFISnapshot *parent; /* who owns `symbols`; NULL: this one does */
	struct LoadSymbols *symbols;
	lfiptr base; /* where addresses here count from */
	struct LoadImage image;
	char *path, *cwd;
	int pid;
	unsigned umask, made;
	lfiptr brk_start, brk_end;
	struct SignalAction actions[LINUX_SIGNALS + 1];
	struct FDTable fds;
	struct ForkLock fork;
	bool has_first;
	struct FrozenThread first;
};

/* I3. Offsets from the base, and numbers that are no addresses of the sandbox, stay what they are. */
static lfiptr
moved(const struct LFISnapshot *snapshot, const struct LFILinuxProc *proc, lfiptr addr)
{
	return addr - snapshot->base < proc->info.size ? addr - snapshot->base + proc->info.base : addr;
}

/* ---- Making ---- */

static void
keep_thread(struct FrozenThread *frozen, struct LFILinuxThread *thread)
{
	frozen->state = thread->state;
	frozen->tid = thread->tid;
	frozen->ready = thread->ready;
	frozen->has_stack = thread->has_stack;
	frozen->stack = thread->stack;
	frozen->entry = thread->entry;
	frozen->clear_tid = thread->clear_tid;
	frozen->tp = lfi_ctx_tp(thread->ctx);
	frozen->sigmask = thread->sigmask;
	memcpy(frozen->altstack, thread->altstack, sizeof frozen->altstack);
	frozen->regs = *lfi_ctx_regs(thread->ctx);
}

static void
keep_process(struct LFISnapshot *snapshot, struct LFILinuxProc *proc)
{
	snapshot->engine = proc->engine;
	snapshot->base = proc->info.base;
	snapshot->image = proc->image;
	snapshot->pid = proc->pid;
	snapshot->umask = atomic_load(&proc->umask);
	snapshot->made = proc->made;
	snapshot->brk_start = proc->brk_start;
	snapshot->brk_end = proc->brk_end;
	memcpy(snapshot->actions, proc->actions, sizeof snapshot->actions);
	fdtable_init_copy(&snapshot->fds, &proc->fds);
	snapshot->has_first = proc->first != NULL;
	if (proc->first)
		keep_thread(&snapshot->first, proc->first);
}

/* I1. */
static int
check_frozen(struct LFILinuxProc *proc)
{
	bool others = false;

	if (proc->pool)
		return error_set(LFI_ERR_INVALID, "process %d belongs to a pool: it cannot be frozen", proc->pid);
	if (!proc->loaded)
		return error_set(LFI_ERR_INVALID, "process %d has no program: there is nothing to freeze", proc->pid);
	if (proc_host_runs(proc))
		return error_set(LFI_ERR_BUSY, "a thread of process %d runs: it cannot be frozen", proc->pid);
	if (proc_has_ended(proc))
		return error_set(LFI_ERR_INVALID, "process %d has ended: it cannot be frozen", proc->pid);
	pthread_mutex_lock(&proc->lock);
	for (struct LFILinuxThread *thread = proc->threads; thread; thread = thread->next)
		others |= thread != proc->first;
	others |= proc->live > 0;
	pthread_mutex_unlock(&proc->lock);
	if (others)
		return error_set(
		    LFI_ERR_UNSUPPORTED, "process %d has more threads than its first: it cannot be frozen", proc->pid);
	return 0;
}

static void
free_snapshot(struct LFISnapshot *snapshot)
{
	fork_remove_lock(&snapshot->fork);
	fdtable_clear(&snapshot->fds);
	box_image_put(snapshot->memory);
	free(snapshot->path);
	free(snapshot->cwd);
	free(snapshot);
}

void
snapshot_put(struct LFISnapshot *snapshot)
{
	struct LFISnapshot *parent;

	while (snapshot && atomic_fetch_sub(&snapshot->refs, 1) == 1) {
		parent = snapshot->parent;
		if (!parent)
			load_symbols_free(snapshot->symbols);
		free_snapshot(snapshot);
		snapshot = parent;
	}
}

/* All of it but the memory's image. */
static struct LFISnapshot *
make_snapshot(struct LFILinuxProc *proc)
{
	struct LFISnapshot *snapshot = calloc(1, sizeof *snapshot);

	if (!snapshot) {
		error_set(LFI_ERR_NOMEM, "no memory for a snapshot");
		return NULL;
	}
	pthread_mutex_lock(&proc->lock);
	keep_process(snapshot, proc);
	snapshot->cwd = strdup(proc->cwd);
	pthread_mutex_unlock(&proc->lock);
	/* Not before: the process's table, which is locked after snapshots' elsewhere, was locked before this one. */
	snapshot->fork.lock = &snapshot->fds.lock;
	fork_add_lock(&snapshot->fork);
	snapshot->path = proc->path ? strdup(proc->path) : NULL;
	if (snapshot->cwd && (snapshot->path || !proc->path))
		return snapshot;
	error_set(LFI_ERR_NOMEM, "no memory for a snapshot");
	free_snapshot(snapshot);
	return NULL;
}

struct LFISnapshot *
lfi_snapshot_new(struct LFILinuxProc *proc)
{
	struct LFISnapshot *snapshot;

	if (proc_check(proc) < 0 || check_frozen(proc) < 0)
		return NULL;
	snapshot = make_snapshot(proc);
	if (!snapshot)
		return NULL;
	if (handle_add(snapshot, HANDLE_SNAPSHOT) < 0)
		goto free_snapshot;
	snapshot->memory = box_freeze(proc->box);
	if (!snapshot->memory)
		goto drop_handle;
	/* I2. The caller holds one reference, the process the other; the process's hold on the old one becomes ours. */
	atomic_init(&snapshot->refs, 2);
	snapshot->symbols = proc->symbols;
	snapshot->parent = proc->snapshot;
	proc->snapshot = snapshot;
	return snapshot;

drop_handle:
	handle_drop(snapshot, HANDLE_SNAPSHOT);
free_snapshot:
	free_snapshot(snapshot);
	return NULL;
}

void
lfi_snapshot_free(struct LFISnapshot *snapshot)
{
	if (!handle_given(snapshot, HANDLE_SNAPSHOT) || !handle_drop(snapshot, HANDLE_SNAPSHOT))
		return;
	snapshot_put(snapshot);
}

/* ---- Going back to one ---- */

static struct LoadStack
moved_stack(const struct LFISnapshot *snapshot, const struct LFILinuxProc *proc)
{
	struct LoadStack stack = snapshot->first.stack;

	stack.start = moved(snapshot, proc, stack.start);
	stack.sp = moved(snapshot, proc, stack.sp);
	return stack;
}

static void
restore_thread(const struct LFISnapshot *snapshot, struct LFILinuxProc *proc, struct LFILinuxThread *thread)
{
	const struct FrozenThread *frozen = &snapshot->first;
	struct LFIRegs *regs = lfi_ctx_regs(thread->ctx);

	thread->state = frozen->state;
	thread->tid = frozen->tid;
	thread->leaving = false;
	thread->ready = frozen->ready;
	thread->has_stack = frozen->has_stack;
	thread->stack = moved_stack(snapshot, proc);
	thread->entry = moved(snapshot, proc, frozen->entry);
	thread->clear_tid = moved(snapshot, proc, frozen->clear_tid);
	thread->sigmask = frozen->sigmask;
	memcpy(thread->altstack, frozen->altstack, sizeof thread->altstack);
	thread->altstack[0] = moved(snapshot, proc, frozen->altstack[0]);
	*regs = frozen->regs;
	regs->sp = moved(snapshot, proc, regs->sp);
	lfi_ctx_set_tp(thread->ctx, moved(snapshot, proc, frozen->tp));
}

static void
restore_image(const struct LFISnapshot *snapshot, struct LFILinuxProc *proc)
{
	struct LoadImage image = snapshot->image;

	image.bias = moved(snapshot, proc, image.bias);
	image.start = moved(snapshot, proc, image.start);
	image.end = moved(snapshot, proc, image.end);
	image.entry = moved(snapshot, proc, image.entry);
	image.phdr = moved(snapshot, proc, image.phdr);
	proc->image = image;
	proc->symbols = snapshot->symbols;
	proc->loaded = true;
}

/* A function of the program gets an address of its own sandbox. */
static void
restore_actions(const struct LFISnapshot *snapshot, struct LFILinuxProc *proc)
{
	memcpy(proc->actions, snapshot->actions, sizeof proc->actions);
	for (int i = 1; i <= LINUX_SIGNALS; i++) {
		proc->actions[i].handler = moved(snapshot, proc, proc->actions[i].handler);
		proc->actions[i].restorer = moved(snapshot, proc, proc->actions[i].restorer);
	}
}

/* No thread runs. 0, or -1: no memory. */
static int
restore_process(struct LFISnapshot *snapshot, struct LFILinuxProc *proc)
{
	int r = 0;

	pthread_mutex_lock(&proc->lock);
	if (strcmp(proc->cwd, snapshot->cwd) != 0) {
		char *cwd = strdup(snapshot->cwd);

		if (cwd) {
			free(proc->cwd);
			proc->cwd = cwd;
		} else {
			r = error_set(LFI_ERR_NOMEM, "no memory for a process");
		}
	}
	proc->pid = snapshot->pid;
	proc->made = snapshot->made;
	proc->brk_start = moved(snapshot, proc, snapshot->brk_start);
	proc->brk_end = moved(snapshot, proc, snapshot->brk_end);
	restore_actions(snapshot, proc);
	atomic_store(&proc->umask, snapshot->umask);
	proc->status = 0;
	proc->error.code = LFI_OK;
	proc->fault.signal = 0;
	atomic_store(&proc->ended, PROC_ALIVE);
	pthread_mutex_unlock(&proc->lock);
	fdtable_copy(&proc->fds, &snapshot->fds);
	return r;
}

/* The first thread, as it was; one that was freed since is made again. */
static int
restore_first(struct LFISnapshot *snapshot, struct LFILinuxProc *proc)
{
	if (!snapshot->has_first)
		return 0;
	if (!proc->first)
		proc->first = thread_make(proc);
	if (!proc->first)
		return -1;
	restore_thread(snapshot, proc, proc->first);
	return 0;
}

struct LFILinuxProc *
lfi_snapshot_clone(struct LFISnapshot *snapshot)
{
	struct LFILinuxProc *proc;
	struct LFIBox *box;

	if (handle_check(snapshot, HANDLE_SNAPSHOT) < 0 || handle_check(snapshot->engine, HANDLE_LINUX) < 0)
		return NULL;
	/* I4. */
	if (!snapshot->image.oblivious) {
		error_set(LFI_ERR_UNSUPPORTED,
		    "%s was not built position-oblivious: its process can be reset, but not cloned",
		    snapshot->path ? snapshot->path : "the program");
		return NULL;
	}
	box = box_clone(snapshot->memory);
	proc = box ? proc_make(snapshot->engine, box, snapshot->pid, snapshot->cwd) : NULL;
	if (!proc)
		return NULL;
	atomic_fetch_add(&snapshot->refs, 1);
	proc->snapshot = snapshot;
	restore_image(snapshot, proc);
	if (snapshot->path)
		proc->path = strdup(snapshot->path);
	if (restore_first(snapshot, proc) < 0 || restore_process(snapshot, proc) < 0) {
		proc_free(proc);
		return NULL;
	}
	return proc;
}

struct LFILinuxThread *
lfi_proc_thread(struct LFILinuxProc *proc)
{
	if (proc_check(proc) < 0)
		return NULL;
	if (!proc->first)
		error_set(LFI_ERR_NOTFOUND, "process %d has no thread: lfi_thread_new makes one", proc->pid);
	return proc->first;
}

/* The process has no threads any more that could be ended together. */
static void
forget_threads(struct LFILinuxProc *proc)
{
	if (!atomic_load(&proc->threaded))
		return;
	close(proc->end_event);
	proc->end_event = -1;
	atomic_store(&proc->threaded, false);
}

/* No release callback looks at the process. */
static int
reset_closed(struct LFILinuxProc *proc)
{
	struct LFISnapshot *snapshot = proc->snapshot;
	bool revoked;

	if (proc_host_runs(proc))
		return error_set(LFI_ERR_BUSY, "a thread of process %d runs: it cannot be reset", proc->pid);
	proc_end_threads(proc, snapshot->has_first ? proc->first : NULL);
	/* Where there were threads, the end took the code's permission (proc.c, I3). */
	revoked = atomic_load(&proc->threaded) && proc_has_ended(proc);
	if (box_reset(proc->box, revoked) < 0)
		return -1;
	forget_threads(proc);
	return restore_first(snapshot, proc) < 0 ? -1 : restore_process(snapshot, proc);
}

int
proc_reset(struct LFILinuxProc *proc)
{
	int r;

	if (!proc->snapshot)
		return error_set(LFI_ERR_INVALID,
		    "process %d is of no snapshot, and none was made of it: there is nothing to reset to", proc->pid);
	if (box_release_close(proc->box) < 0)
		return -1;
	r = reset_closed(proc);
	box_release_open(proc->box);
	return r;
}

int
lfi_proc_reset(struct LFILinuxProc *proc)
{
	return proc_check(proc) < 0 ? -1 : proc_reset(proc);
}
