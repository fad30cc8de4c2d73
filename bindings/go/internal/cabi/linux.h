/* SPDX-License-Identifier: MIT */
/*
 * What lib/linux keeps per engine, process and thread. Private to the
 * module. Trusted: the emulated kernel runs outside the sandbox on numbers
 * that the sandbox chose.
 *
 * Locks: LFILinuxProc.lock covers the members marked (lock); the descriptor
 * table has its own, taken last. Nothing blocks while holding either.
 */
#ifndef LINUX_LINUX_H
#define LINUX_LINUX_H

#include "lfi_linux.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "fdtable.h"
#include "handles.h"
#include "load.h"
#include "path.h"

enum {
	LINUX_STACK_DEFAULT = 2 * 1024 * 1024,
	LINUX_THREADS_MAX = 256,
	LINUX_SIGNALS = 64,
};

struct LFILinuxEngine {
	struct LFIEngine *engine;
	struct LFILinuxOptions opts; /* dir_maps and wd are not used from here */
	struct MountTable mounts;
	char *wd;              /* normalised */
	_Atomic unsigned made; /* processes, ever */
	_Atomic unsigned procs;

	/* Of fork.c. */
	struct LFILinuxProc *list; /* processes that are neither being made nor being freed */
	struct LFILinuxEngine *next, **link;
};

/* What rt_sigaction was given: Linux's layout without the mask's size. */
struct SignalAction {
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};

/* Values of LFILinuxProc.ended; a futex word of the host. */
enum { PROC_ALIVE = 0, PROC_ENDED = 1 };

struct LFILinuxProc {
	struct LFILinuxEngine *engine;
	struct LFIBox *box;
	struct LFIBoxInfo info;
	bool verbose;

	bool loaded;
	char *path; /* of the program, for messages; may be NULL */
	struct LoadImage image;
	struct LoadSymbols *symbols;

	int pid;
	struct FDTable fds;
	pthread_mutex_t stdio_turn; /* see block.c; held without any other lock */
	_Atomic unsigned umask;

	pthread_mutex_t lock;
	pthread_cond_t changed;                         /* (lock) a thread left */
	struct LFILinuxThread *threads;                 /* (lock) */
	unsigned live;                                  /* (lock) threads that may run sandboxed code */
	unsigned made;                                  /* (lock) threads, ever */
	bool has_zombie;                                /* (lock) */
	pthread_t zombie;                               /* (lock) a host thread that left and is not joined */
	char *cwd;                                      /* (lock) normalised */
	lfiptr brk_start, brk_end;                      /* (lock) */
	struct SignalAction actions[LINUX_SIGNALS + 1]; /* (lock) */

	_Atomic uint32_t ended;
	_Atomic bool threaded; /* more than one thread was ever there */
	int end_event;         /* readable once ended, when threaded */
	int status;            /* (lock) valid once ended */
	struct LFIError error; /* (lock) valid once ended when code is not LFI_OK */
	struct LFIFault fault; /* (lock) what ended it; signal 0 for nothing */

	struct LFILinuxProc *next, **link; /* engine->list */

	struct LFILinuxThread *first; /* whose thread pointer foreign threads borrow while they are made */

	struct LFISnapshot *snapshot; /* what lfi_proc_reset goes back to, and who owns `symbols`; or NULL */
	struct LFIPool *pool;         /* that the process belongs to, or NULL */
	_Atomic bool given;           /* that has it back: it is not the host's to use */
};

enum ThreadState { THREAD_NEW, THREAD_RUNNING, THREAD_READY, THREAD_DONE };

struct LFILinuxThread {
	struct LFILinuxProc *proc;
	struct LFILinuxThread *next; /* in proc->threads */
	struct LFIContext *ctx;
	_Atomic(enum ThreadState) state;
	int tid;
	bool cloned;    /* the program made it */
	bool leaving;   /* the thread, not the process, called exit */
	bool ready;     /* the program said that it is a library */
	bool has_stack; /* stack was mapped by us */
	struct LoadStack stack;
	lfiptr entry;     /* where a cloned thread starts */
	pthread_t host;   /* of a cloned thread */
	lfiptr clear_tid; /* zeroed and woken when the thread leaves; 0 for none */
	uint64_t sigmask;
	uint64_t altstack[3];           /* ss_sp, ss_flags, ss_size as given */
	_Atomic(uint32_t *) waiting_on; /* the futex that the thread sleeps on */
};

/* A process in `box`, which it takes over also on failure, without descriptors. NULL sets the error. */
struct LFILinuxProc *proc_make(struct LFILinuxEngine *engine, struct LFIBox *box, int pid, const char *cwd);

/* 0, or -1 with LFI_ERR_INVALID: not a process that the host may use now. For public functions. */
int proc_check(const struct LFILinuxProc *proc);

/* As lfi_proc_free, also for a process in a pool. */
void proc_free(struct LFILinuxProc *proc);

/* Whether a host thread is in lfi_thread_run, or in a call. */
bool proc_host_runs(struct LFILinuxProc *proc);

/* End the threads that the program made, and free all but `keep`, without a look at what they have mapped. */
void proc_end_threads(struct LFILinuxProc *proc, struct LFILinuxThread *keep);

void snapshot_put(struct LFISnapshot *snapshot);

/* As lfi_proc_reset, also for a process that is being given back to its pool. */
int proc_reset(struct LFILinuxProc *proc);

/* End the process: `status` as lfi_thread_run returns it. The first call counts. All threads leave soon. */
void proc_end(struct LFILinuxProc *proc, int status);

/* As proc_end with status -1 and the calling host thread's last error. `fault` may be NULL. */
void proc_end_error(struct LFILinuxProc *proc, const struct LFIFault *fault);

static inline bool
proc_has_ended(struct LFILinuxProc *proc)
{
	return atomic_load(&proc->ended) != PROC_ALIVE;
}

/* What the process ended with: as lfi_thread_run returns it. */
int proc_status(struct LFILinuxProc *proc);

/* Wait until no thread that the program made runs; with `until_end`, or until the process has ended. */
void proc_wait(struct LFILinuxProc *proc, bool until_end);

/* A thread object in proc->threads, not running; NULL sets the error. */
struct LFILinuxThread *thread_make(struct LFILinuxProc *proc);

/* Frees a thread that does not run. */
void thread_destroy(struct LFILinuxThread *thread);

/* Start a host thread that runs `thread` from its entry. 0 or -errno. */
int thread_start(struct LFILinuxThread *thread);

/* Default action, or none, of a signal that the program sends itself. 0 or -errno. */
int64_t signal_raise(struct LFILinuxThread *thread, int signal);

/* What fork(2) of the host has to know; see fork.c. fork_add_engine: 0, or -1 with the error set. */
int fork_add_engine(struct LFILinuxEngine *engine);
void fork_remove_engine(struct LFILinuxEngine *engine);
void fork_add_proc(struct LFILinuxProc *proc);
void fork_remove_proc(struct LFILinuxProc *proc);

/* A lock under which no other is taken but those of descriptor tables. */
struct ForkLock {
	pthread_mutex_t *lock;
	void (*child)(void *owner); /* called in the child with the lock held; or NULL */
	void *owner;
	struct ForkLock *next, **link;
};

void fork_add_lock(struct ForkLock *lock);
void fork_remove_lock(struct ForkLock *lock);

/* Serves lfi_sys_handler. */
void dispatch(struct LFIContext *ctx);

#endif
