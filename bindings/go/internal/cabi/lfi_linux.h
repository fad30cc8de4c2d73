/* SPDX-License-Identifier: MIT */
/*
 * Linux programs in sandboxes: ELF loading and system calls.
 *
 * Errors: what makes something returns NULL, what does something returns -1
 * or false; lfi_errno() and lfi_errmsg() of the calling thread say why.
 * Ownership: a Linux engine must outlive its processes, a process its
 * threads, an LFIEngine its Linux engine. `_free(NULL)` does nothing.
 * Handles: as in lfi_core.h. A process that was given back to its pool, and its
 * thread, are refused likewise until it is taken again.
 * Threads: engines and processes may be used from any thread; a thread object
 * by one host thread at a time.
 */
#ifndef LFI_LINUX_H
#define LFI_LINUX_H

#include "lfi_core.h"

#ifdef __cplusplus
extern "C" {
#endif

struct LFILinuxEngine;
struct LFILinuxProc;
struct LFILinuxThread;

/** Zero-initialise; new members come at the end and mean the old behaviour when 0. */
struct LFILinuxOptions {
	size_t stacksize;     /**< bytes of a thread's first stack; 0 means 2 MiB */
	bool verbose;         /**< log system calls; also by LFI_VERBOSE=1 */
	bool perf;            /**< write a perf symbol map file (/tmp/perf-PID.map) */
	bool debug;           /**< register loaded programs with the debugger (_r_debug); LFI_ERR_UNSUPPORTED for now */
	bool sys_passthrough; /**< unsafe: hand unknown system calls to the host */
	bool exit_unknown_syscalls; /**< end the program at an unknown system call instead of ENOSYS */
	const char **dir_maps; /**< NULL-terminated "<sandbox-path>=<host-path>"; NULL: no host files. A host path that
				  ends in ":ro" is read-only */
	const char *wd;        /**< working directory in the sandbox; NULL means "/" */
};

/** As lfi_linux_new, for callers of another version: `size` is sizeof the caller's struct. */
LFI_API struct LFILinuxEngine *lfi_linux_new_sized(
    struct LFIEngine *engine, const struct LFILinuxOptions *opts, size_t size);

/**
 * A Linux engine on top of `engine`, whose system-call handler it becomes.
 *
 * @return NULL: LFI_ERR_INVALID (options), LFI_ERR_OS (a host directory cannot be opened), LFI_ERR_NOMEM
 */
static inline struct LFILinuxEngine *
lfi_linux_new(struct LFIEngine *engine, struct LFILinuxOptions opts)
{
	return lfi_linux_new_sized(engine, &opts, sizeof opts);
}

LFI_API void lfi_linux_free(struct LFILinuxEngine *linux_);

/** A process: a fresh sandbox and its emulated kernel state. */
LFI_API struct LFILinuxProc *lfi_proc_new(struct LFILinuxEngine *linux_);

/** No host thread may be in lfi_thread_run or in a call (LFI_ERR_BUSY where that is noticed); threads that the program
 * made are ended. */
LFI_API void lfi_proc_free(struct LFILinuxProc *proc);

/**
 * Load a static position-independent ELF program.
 *
 * @param prog  `size` bytes, read once and not kept
 * @param path  for messages and debuggers; may be NULL
 * @return false: LFI_ERR_ELF (what and where), LFI_ERR_VERIFY, LFI_ERR_CPU, LFI_ERR_NOMEM; nothing stays mapped
 */
LFI_API bool lfi_proc_load(struct LFILinuxProc *proc, const uint8_t *prog, size_t size, const char *path);

/** As lfi_proc_load, of a host file. LFI_ERR_OS when it cannot be read. */
LFI_API bool lfi_proc_load_file(struct LFILinuxProc *proc, const char *path);

/** The process's sandbox; belongs to the process. */
LFI_API struct LFIBox *lfi_proc_box(struct LFILinuxProc *proc);

/** Address of a symbol of the loaded program (.symtab or .dynsym), or 0 with LFI_ERR_NOTFOUND. */
LFI_API lfiptr lfi_proc_sym(struct LFILinuxProc *proc, const char *name);

/**
 * The function of the program that `addr` is in, or that begins last before it; from the file, so take it as a hint.
 *
 * @param name   gets the name, cut to `room` > 0 bytes with the NUL; printable characters only
 * @param offset bytes from the function's first to `addr`; may be NULL
 * @return 0, or -1: LFI_ERR_NOTFOUND (no function is known there), LFI_ERR_INVALID
 */
LFI_API int lfi_proc_symbolize(struct LFILinuxProc *proc, lfiptr addr, char *name, size_t room, uint64_t *offset);

/** Replace the host descriptors that the program sees as 0, 1, 2 (duplicated; the caller keeps its own). -1 means
 * closed. */
LFI_API int lfi_proc_stdio(struct LFILinuxProc *proc, int in, int out, int err);

/**
 * The process's first thread, with a stack that holds arguments, environment and auxiliary vector.
 *
 * @param argv  `argc` strings, copied
 * @param envp  NULL-terminated, copied; NULL means empty
 */
LFI_API struct LFILinuxThread *lfi_thread_new(
    struct LFILinuxProc *proc, int argc, const char **argv, const char **envp);

LFI_API void lfi_thread_free(struct LFILinuxThread *thread);

/**
 * Run the program from its entry point until it exits.
 *
 * A program that has no main of its own says that it is a library instead of exiting: then this returns 0
 * and the process stays, so that its functions can be called.
 *
 * @return its exit status, 0 to 255, 128 + signal when it ended itself by a signal other than SIGABRT,
 *         or -1 when it could not run or was stopped: LFI_ERR_FAULT (abort too), LFI_ERR_INVALID, LFI_ERR_UNSUPPORTED
 *         (an unknown system call, with exit_unknown_syscalls)
 */
LFI_API int lfi_thread_run(struct LFILinuxThread *thread);

/** As lfi_proc_fault, for callers of another version: `size` is sizeof the caller's struct. */
LFI_API int lfi_proc_fault_sized(struct LFILinuxProc *proc, struct LFIFault *out, size_t size);

/** The fault that ended the process, in whichever thread. 0, or -1 with LFI_ERR_NOTFOUND when none did. */
static inline int
lfi_proc_fault(struct LFILinuxProc *proc, struct LFIFault *out)
{
	return lfi_proc_fault_sized(proc, out, sizeof *out);
}

/** The core context of a thread; belongs to the thread. Pass its address to LFI_INVOKE. */
LFI_API struct LFIContext *lfi_thread_ctx(struct LFILinuxThread *thread);

/**
 * Make a library of the process: runs `thread` until the program says that it is ready, unless it has been run, and
 * prepares the sandbox for calls. From then on LFI_INVOKE with a NULL context makes one for the calling host thread,
 * with a stack and thread-local data of its own. It is freed when that thread ends (lfi_set_release_cb), or with the
 * process. Destructors of the program's thread-specific data do not run then.
 *
 * @return 0, or -1: LFI_ERR_INVALID (the program ended instead: it has a main), LFI_ERR_FAULT
 */
LFI_API int lfi_linux_init_clone(struct LFILinuxThread *thread);

/* ---- Snapshots ---- */

/** A process as it was at one moment, for new ones that start from there. Any thread may use one. */
struct LFISnapshot;

/** Processes made ahead from one snapshot, that are taken and given back. Any thread may use one. */
struct LFIPool;

/**
 * Freeze a process that has a program: before its first thread was made, before that ran, or as a library that is
 * ready (lfi_linux_init_clone). It goes on as before, and lfi_proc_reset brings it back to this moment.
 *
 * Nobody may run or call it, or write its memory, meanwhile. The Linux engine must outlive the snapshot; processes
 * made of it need not.
 *
 * @return NULL: LFI_ERR_INVALID (no program; ended; of a pool), LFI_ERR_BUSY (a thread runs, or a call),
 * LFI_ERR_UNSUPPORTED (other threads than the first; a shared mapping), LFI_ERR_NOMEM, LFI_ERR_OS
 */
LFI_API struct LFISnapshot *lfi_snapshot_new(struct LFILinuxProc *proc);

/** Processes made of it live on. */
LFI_API void lfi_snapshot_free(struct LFISnapshot *snapshot);

/**
 * A new process as the frozen one was: memory (copy on write), symbols, break, working directory, umask, signal
 * actions, process number, callbacks, first thread. Descriptors share open files and their offsets, as after fork(2).
 * Code is shared, and not verified again.
 *
 * @return NULL: LFI_ERR_UNSUPPORTED (the program was not built position-oblivious), LFI_ERR_NOSPACE, LFI_ERR_NOMEM,
 * LFI_ERR_OS
 */
LFI_API struct LFILinuxProc *lfi_snapshot_clone(struct LFISnapshot *snapshot);

/** The process's first thread: that of lfi_thread_new, or the one that a clone came with. NULL: LFI_ERR_NOTFOUND. */
LFI_API struct LFILinuxThread *lfi_proc_thread(struct LFILinuxProc *proc);

/**
 * Back to the snapshot that the process was made of, or that was last made of it; also after an exit, a fault, or an
 * interrupted call. Files opened since are closed. Threads that the program made are ended; contexts and thread
 * objects made since are freed, so that variables given to LFI_INVOKE must be NULL again, but for the first thread's.
 *
 * @return 0, or -1: LFI_ERR_INVALID (there is no snapshot), LFI_ERR_BUSY (a thread runs, or a call), LFI_ERR_NOMEM,
 * LFI_ERR_OS (reset it again, or free it)
 */
LFI_API int lfi_proc_reset(struct LFILinuxProc *proc);

/** `n` > 0 processes of a snapshot, made now. The snapshot may be freed. NULL: LFI_ERR_INVALID, and as
 * lfi_snapshot_clone. */
LFI_API struct LFIPool *lfi_pool_new(struct LFISnapshot *snapshot, size_t n);

/** A process as the snapshot has it. It stays the pool's: never lfi_proc_free it. NULL: LFI_ERR_LIMIT (all are taken).
 */
LFI_API struct LFILinuxProc *lfi_pool_take(struct LFIPool *pool);

/**
 * Reset a process and let others take it.
 *
 * @return 0, or -1: LFI_ERR_INVALID (not taken from this pool, or given back already), or as lfi_proc_reset: then it
 * is still taken
 */
LFI_API int lfi_pool_give(struct LFIPool *pool, struct LFILinuxProc *proc);

/** Free the pool and its processes. All must be back: else nothing is freed and lfi_errno() is LFI_ERR_BUSY. */
LFI_API void lfi_pool_free(struct LFIPool *pool);

#ifdef __cplusplus
}
#endif

#endif
