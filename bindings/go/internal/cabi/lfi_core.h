/* SPDX-License-Identifier: MIT */
/*
 * The core of lfi: engines, sandboxes ("boxes"), contexts, calls in and out.
 *
 * For all calls:
 * - Errors: what makes something returns NULL (an lfiptr: (lfiptr) -1), what
 *   does something returns -1 (a bool: false). lfi_errno() and lfi_errmsg() of
 *   the calling thread then say why. Nothing here prints, exits or aborts on
 *   input.
 * - Ownership: an engine must outlive its boxes, a box its contexts. Each
 *   `_free(NULL)` does nothing.
 * - Handles: one that is NULL, was freed, or is of another kind is
 *   LFI_ERR_INVALID wherever that is noticed; see docs/c-abi.md for where.
 * - Threads: engines and boxes may be used from any thread; a context by one
 *   thread at a time.
 * - Signals: sandboxed code runs on a stack that it controls, so every signal
 *   handler of the host must be installed with SA_ONSTACK. The library does so
 *   for those that are there before the first engine, and gives each thread
 *   that enters a sandbox an alternate stack; see docs/signals.md.
 * - fork: a child can exit, exec, free, and use the boxes that only it uses; see
 *   docs/fork.md.
 * - Addresses: an lfiptr is an address in a sandbox as sandboxed code sees it.
 *   Those that come from a sandbox are hostile: what takes one checks it.
 */
#ifndef LFI_CORE_H
#define LFI_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lfi_arch.h"
#include "lfi_version.h"

#ifdef __cplusplus
extern "C" {
#endif

struct LFIEngine;
struct LFIBox;
struct LFIContext;

/**
 * An address in a sandbox. Functions that take one accept, for any box, an offset from the box's base as well: a value
 * below 4 GiB is one (no base is 0). 0 means no address where a function says so. For a box whose program is
 * position-oblivious, functions give offsets out; lfi_box_info stays absolute.
 */
typedef uint64_t lfiptr;

/* ---- Errors ---- */

/** Stable numbers; new ones are added at the end. */
enum LFIErrorCode {
	LFI_OK = 0,
	LFI_ERR_INVALID,     /**< an argument is wrong */
	LFI_ERR_NOMEM,       /**< no memory, in the host or in the sandbox */
	LFI_ERR_NOSPACE,     /**< no room for another sandbox */
	LFI_ERR_OS,          /**< the host's kernel refused something; the message has its words */
	LFI_ERR_RANGE,       /**< an address or a length outside the sandbox */
	LFI_ERR_UNMAPPED,    /**< a page that is not mapped, or not so that it can be read or written */
	LFI_ERR_VERIFY,      /**< code that does not verify */
	LFI_ERR_CPU,         /**< code that needs a processor feature that is absent */
	LFI_ERR_ELF,         /**< a file that is no program for us */
	LFI_ERR_BUSY,        /**< a context that is entered already, or code with a context inside */
	LFI_ERR_FAULT,       /**< sandboxed code trapped */
	LFI_ERR_INTERRUPTED, /**< stopped by lfi_box_interrupt or lfi_ctx_interrupt */
	LFI_ERR_DEADLINE,    /**< stopped by its deadline */
	LFI_ERR_LIMIT,       /**< a limit of the box */
	LFI_ERR_NOTFOUND,    /**< no such symbol */
	LFI_ERR_SIGNATURE,   /**< a signature that does not parse or does not fit */
	LFI_ERR_REWRITE,     /**< assembly that cannot be confined */
	LFI_ERR_UNSUPPORTED, /**< not on this machine or not with these options */
};

/** Code of the calling thread's last failed call; LFI_OK if none failed yet. */
LFI_API int lfi_errno(void);

/** One sentence for lfi_errno(). Valid until the thread's next failed call. Never NULL. */
LFI_API const char *lfi_errmsg(void);

/** Both at once, for bindings. */
struct LFIError {
	int code;
	char message[508];
};

/** Copy the calling thread's last error to `out`. */
LFI_API void lfi_error_get(struct LFIError *out);

/** Forget the calling thread's last error. */
LFI_API void lfi_error_clear(void);

/** The name of a code, for example "LFI_ERR_VERIFY"; "unknown" for other numbers. Static. */
LFI_API const char *lfi_error_name(int code);

/** Receives log lines (without newline). Called from any thread. */
typedef void (*LFILogFn)(const char *line, void *user);

/** Where log lines go, for the whole process; NULL means stderr. */
LFI_API void lfi_set_log(LFILogFn fn, void *user);

/* ---- Engine ---- */

/** Zero-initialise; new members come at the end and mean the old behaviour when 0. */
struct LFIOptions {
	size_t boxsize;     /**< bytes; 0 or 4 GiB, nothing else yet */
	size_t pagesize;    /**< bytes; 0 or the host's page size */
	bool verbose;       /**< log; also by LFI_VERBOSE=1 */
	bool no_verify;     /**< unsafe: do not verify code */
	bool stores_only;   /**< accept code of the policy stores-only */
	bool jumps_only;    /**< accept code of the policy jumps-only: needs another memory protection */
	bool single_thread; /**< accept single-thread returns (scheme section 8); one context runs in a box at a time */
	bool no_low_table;  /**< no copy of the runtime-call table in a sandbox's first page */
	bool no_rdtsc;      /**< refuse code that reads the time-stamp counter */
	unsigned bundle;    /**< 32 or 16 bytes; 0 means 32 */
	/** Set the thread's gs base back after each call, also where it was 0 before. Else the sandbox's base stays
	    there, which saves 24 ns a call, and a gs base of the host's own comes back in any case. */
	size_t restore_gs; /* not 0: yes; no padding after it */
	/** Bytes of verified code that the engine keeps a copy of, so that the same code at the same place of another
	   box is compared instead of verified; 0 means 32 MiB, LFI_CACHE_NONE none. See docs/verifier.md. */
	size_t verify_cache;
};

/** For LFIOptions.verify_cache: verify all code anew. */
#define LFI_CACHE_NONE SIZE_MAX

/** As lfi_new, for callers of another version: `size` is sizeof the caller's struct. */
LFI_API struct LFIEngine *lfi_new_sized(const struct LFIOptions *opts, size_t size, size_t nsandboxes);

/**
 * Reserve address space (no memory) for `nsandboxes` sandboxes of 4 GiB, at least 1.
 *
 * @return NULL: LFI_ERR_INVALID (options), LFI_ERR_NOSPACE, LFI_ERR_NOMEM, LFI_ERR_UNSUPPORTED
 */
static inline struct LFIEngine *
lfi_new(struct LFIOptions opts, size_t nsandboxes)
{
	return lfi_new_sized(&opts, sizeof opts, nsandboxes);
}

/** Give everything back. All boxes must have been freed: else nothing is freed and lfi_errno() is LFI_ERR_BUSY. */
LFI_API void lfi_free(struct LFIEngine *engine);

/** What the engine's cache of verified code did. New members come at the end. */
struct LFICacheStats {
	uint64_t hits;    /**< regions that became executable without being verified again */
	uint64_t misses;  /**< those that were verified, or refused */
	uint64_t evicted; /**< regions that were forgotten for others */
	uint64_t regions; /**< remembered now */
	uint64_t bytes;   /**< of their code */
};

LFI_API int lfi_cache_stats_sized(struct LFIEngine *engine, struct LFICacheStats *out, size_t size);

/** From any thread. Zeros without a cache, and when `engine` is NULL (LFI_ERR_INVALID). */
static inline struct LFICacheStats
lfi_cache_stats(struct LFIEngine *engine)
{
	struct LFICacheStats stats = {0, 0, 0, 0, 0};
	lfi_cache_stats_sized(engine, &stats, sizeof stats);
	return stats;
}

/** Serves a runtime call. Runs on the host's stack; registers are in lfi_ctx_regs(ctx). */
typedef void (*LFISysHandler)(struct LFIContext *ctx);

/** Set what serves system calls of all the engine's sandboxes. Without one, a system call ends the run with
 * LFI_ERR_FAULT. */
LFI_API void lfi_sys_handler(struct LFIEngine *engine, LFISysHandler handler);

/** Makes the context of a host thread that has none; see LFI_INVOKE. */
typedef struct LFIContext *(*LFICloneFn)(struct LFIBox *box);

/** Set what LFI_INVOKE calls when the context is NULL. */
LFI_API void lfi_set_clone_cb(struct LFIEngine *engine, LFICloneFn clone_cb);

/** Frees a context, with lfi_ctx_free, and what the clone callback made for it. */
typedef void (*LFIReleaseFn)(struct LFIContext *ctx);

/**
 * Set what gets each context that the clone callback made for a host thread, when that thread ends, on that thread.
 * NULL: nothing, and such contexts are freed with their box. A context that was freed before is not handed over, nor
 * one that a thread is in; from the end of the thread on nobody else may use it. The callback may call into the
 * sandbox; what destructors of the host call after it must begin with a NULL context again. Until it returns,
 * lfi_box_free by another thread waits, so none may hold a lock that the callback needs; by the callback itself it is
 * LFI_ERR_BUSY.
 */
LFI_API void lfi_set_release_cb(struct LFIEngine *engine, LFIReleaseFn release);

/* ---- Box ---- */

/** Protections and flags of mappings: Linux's numbers. */
enum {
	LFI_PROT_NONE = 0,
	LFI_PROT_READ = 1,
	LFI_PROT_WRITE = 2,
	LFI_PROT_EXEC = 4,
};
enum {
	LFI_MAP_SHARED = 0x01,
	LFI_MAP_PRIVATE = 0x02,
	LFI_MAP_FIXED = 0x10,
	LFI_MAP_ANONYMOUS = 0x20,
	LFI_MAP_FIXED_NOREPLACE = 0x100000,
};

/** A new, empty sandbox. NULL: LFI_ERR_NOSPACE, LFI_ERR_NOMEM, LFI_ERR_OS. */
LFI_API struct LFIBox *lfi_box_new(struct LFIEngine *engine);

/**
 * Unmap everything. No context of the box may be entered (LFI_ERR_BUSY); those left are freed with it. Waits for
 * release callbacks. That of a Linux process goes with the process: LFI_ERR_INVALID.
 */
LFI_API void lfi_box_free(struct LFIBox *box);

/** Where a box is. */
struct LFIBoxInfo {
	lfiptr base;   /**< its first address, a multiple of 4 GiB */
	size_t size;   /**< bytes: 4 GiB */
	lfiptr min;    /**< lowest address that can be mapped */
	lfiptr max;    /**< one past the highest */
	uint32_t code; /**< enum LFICodeFlags of all code loaded so far */
	uint64_t cpu;  /**< processor features of all code loaded so far, see enum LFICpuFeature */
};

LFI_API int lfi_box_info_sized(struct LFIBox *box, struct LFIBoxInfo *info, size_t size);

static inline struct LFIBoxInfo
lfi_box_info(struct LFIBox *box)
{
	struct LFIBoxInfo info = {0, 0, 0, 0, 0, 0};
	lfi_box_info_sized(box, &info, sizeof info);
	return info;
}

/**
 * Map zeroed pages, or a file, at a free place in the box.
 *
 * @param size  bytes, > 0; rounded up to the page size
 * @param prot  LFI_PROT_*; never WRITE with EXEC; with LFI_PROT_EXEC the pages are verified first
 * @param flags LFI_MAP_PRIVATE or LFI_MAP_SHARED, with LFI_MAP_ANONYMOUS or a file; never LFI_MAP_FIXED
 * @param fd    host descriptor, or -1
 * @param off   bytes into the file, a multiple of the page size
 * A box has at most 8192 runs of pages that are alike, and a region of code 256 MiB: more is LFI_ERR_LIMIT. While
 * another thread executes in a box of a single_thread engine, it is LFI_ERR_BUSY.
 *
 * @return the address, or (lfiptr) -1: LFI_ERR_INVALID, LFI_ERR_NOMEM, LFI_ERR_VERIFY, LFI_ERR_CPU, LFI_ERR_BUSY,
 * LFI_ERR_LIMIT, LFI_ERR_OS
 */
LFI_API lfiptr lfi_box_mapany(struct LFIBox *box, size_t size, int prot, int flags, int fd, off_t off);

/**
 * Map at `addr`, a multiple of the page size. Without LFI_MAP_FIXED the range must be free; with it, what
 * is there is replaced (LFI_ERR_BUSY when it is code that a context is inside). Else as lfi_box_mapany; also
 * LFI_ERR_RANGE.
 */
LFI_API lfiptr lfi_box_mapat(struct LFIBox *box, lfiptr addr, size_t size, int prot, int flags, int fd, off_t off);

/**
 * Change the protection of whole pages. Pages that become executable are one region and verified as one;
 * a region loses that protection as a whole or not at all. What is zero from the last instruction to the region's
 * end is no code: it becomes trap instructions.
 *
 * @return 0, or -1: LFI_ERR_INVALID, LFI_ERR_RANGE, LFI_ERR_UNMAPPED, LFI_ERR_VERIFY, LFI_ERR_CPU, LFI_ERR_BUSY,
 * LFI_ERR_LIMIT, LFI_ERR_OS. On error the pages are as before.
 */
LFI_API int lfi_box_mprotect(struct LFIBox *box, lfiptr addr, size_t size, int prot);

/** Unmap whole pages; holes are fine. Errors as lfi_box_mprotect. */
LFI_API int lfi_box_munmap(struct LFIBox *box, lfiptr addr, size_t size);

/** Copy into the sandbox. 0, or -1: LFI_ERR_RANGE, LFI_ERR_UNMAPPED (some bytes may have been written). */
LFI_API int lfi_box_copyto(struct LFIBox *box, lfiptr dst, const void *src, size_t size);

/** Copy out of the sandbox. 0, or -1 as lfi_box_copyto. */
LFI_API int lfi_box_copyfm(struct LFIBox *box, void *dst, lfiptr src, size_t size);

/** Copy a NUL-terminated string out; at most `size` bytes with the NUL. Its length, or -1 (LFI_ERR_RANGE also when
 * there is no NUL in time). */
LFI_API ssize_t lfi_box_copystr(struct LFIBox *box, char *dst, lfiptr src, size_t size);

/** Whether [addr, addr + size) lies in the part of the sandbox that can be mapped. Says nothing about what is mapped.
 */
LFI_API bool lfi_box_ptrvalid(struct LFIBox *box, lfiptr addr, size_t size);

/**
 * A direct pointer to [addr, addr + size). The pages may be unmapped and are written by the sandbox at any
 * time: read each value once. NULL: LFI_ERR_RANGE.
 */
LFI_API void *lfi_box_ptr(struct LFIBox *box, lfiptr addr, size_t size);

/**
 * As lfi_box_ptr, for memory that a host reads (and writes, with LFI_PROT_WRITE) whenever it likes: until it is
 * unpinned the sandbox can still write it, but neither unmap nor replace nor protect its pages (EBUSY), nor can the
 * host (LFI_ERR_BUSY), nor is the box reset or frozen. Freeing the box unmaps it: unpin first. Pins of the same pages
 * add up.
 *
 * @param size bytes, > 0
 * @param prot LFI_PROT_READ, or that with LFI_PROT_WRITE
 * @return the pointer, or NULL: LFI_ERR_RANGE, LFI_ERR_UNMAPPED (or not mapped so), LFI_ERR_INVALID (pages of code or
 * of a file), LFI_ERR_LIMIT (65,536 pins), LFI_ERR_NOMEM
 */
LFI_API void *lfi_box_pin(struct LFIBox *box, lfiptr addr, size_t size, int prot);

/** Take back one pin of exactly this range. 0, or -1: LFI_ERR_NOTFOUND, LFI_ERR_INVALID. */
LFI_API int lfi_box_unpin(struct LFIBox *box, lfiptr addr, size_t size);

/* ---- Limits ---- */

/**
 * What a box may use, beyond the limits that each box has; see docs/limits.md. 0: no limit of its own. Zero-initialise;
 * new members come at the end.
 */
struct LFILimits {
	uint64_t
	    mapped; /**< bytes of pages that are mapped, whoever mapped them and whether or not they are accessible */
	uint64_t
	    cpu_ns; /**< CPU time of all entries since the limit was first set, ns; UINT64_MAX: it is just counted */
	uint32_t threads; /**< contexts */
	uint32_t files;   /**< descriptors of a Linux process: it gets none with this number or a higher one */
};

LFI_API int lfi_box_set_limits_sized(struct LFIBox *box, const struct LFILimits *limits, size_t size);

/**
 * Replace the limits of a box, at any time and from any thread. What it has already beyond them stays; it gets no more.
 * More is LFI_ERR_LIMIT where the host asks for it (ENOMEM, EAGAIN and EMFILE where a Linux program does); a box whose
 * CPU time is used up ends what runs in it, and what is entered later, with LFI_ERR_LIMIT.
 *
 * @return 0, or -1: LFI_ERR_INVALID, LFI_ERR_OS (no thread to watch CPU time); nothing has changed then
 */
static inline int
lfi_box_set_limits(struct LFIBox *box, struct LFILimits limits)
{
	return lfi_box_set_limits_sized(box, &limits, sizeof limits);
}

LFI_API int lfi_box_limits_sized(struct LFIBox *box, struct LFILimits *out, size_t size);

/** The limits that were set; zeros when none were, and when `box` is NULL (LFI_ERR_INVALID). */
static inline struct LFILimits
lfi_box_limits(struct LFIBox *box)
{
	struct LFILimits limits = {0, 0, 0, 0};
	lfi_box_limits_sized(box, &limits, sizeof limits);
	return limits;
}

/** What a box has used. New members come at the end. */
struct LFIBoxStats {
	uint64_t mapped;      /**< bytes of pages that are mapped, as struct LFILimits counts them */
	uint64_t mapped_peak; /**< the most that ever were */
	uint64_t resident;    /**< bytes of memory that are the box's alone: pages that were written to (or read, where
				 the host cannot tell), but neither shared ones nor those swapped out */
	uint64_t calls;       /**< of sandboxed functions, by lfi_call, LFI_INVOKE and the like; nested ones too */
	uint64_t runtime_calls; /**< system calls of sandboxed code, served or not */
	uint64_t faults;        /**< entries that ended with LFI_ERR_FAULT */
	uint64_t cpu_ns;        /**< CPU time, ns; 0 unless there is, or was, a limit of it: see struct LFILimits */
	uint32_t contexts;      /**< that exist */
};

LFI_API int lfi_box_stats_sized(struct LFIBox *box, struct LFIBoxStats *out, size_t size);

/**
 * What a box has used so far, from any thread; counters of contexts that are entered may be a few calls behind. It
 * takes a microsecond or two for each MiB mapped, and 10 for each that is resident. Zeros when `box` is NULL
 * (LFI_ERR_INVALID).
 */
static inline struct LFIBoxStats
lfi_box_stats(struct LFIBox *box)
{
	struct LFIBoxStats stats = {0, 0, 0, 0, 0, 0, 0, 0};
	lfi_box_stats_sized(box, &stats, sizeof stats);
	return stats;
}

/* ---- Context ---- */

/** A thread of execution in a box. `user` is kept for lfi_ctx_data. NULL: LFI_ERR_NOMEM, LFI_ERR_LIMIT. */
LFI_API struct LFIContext *lfi_ctx_new(struct LFIBox *box, void *user);

/**
 * Make the calling thread's context with the engine's clone callback, as a call with a context that is NULL does: where
 * a deadline is to be set for the first call. It goes when the thread ends, as those do.
 *
 * @return NULL: LFI_ERR_INVALID (there is no callback, or it made none), and what the callback fails with
 */
LFI_API struct LFIContext *lfi_ctx_clone(struct LFIBox *box);

/** Must not be entered (LFI_ERR_BUSY). That of a Linux process's thread goes with the thread: LFI_ERR_INVALID. */
LFI_API void lfi_ctx_free(struct LFIContext *ctx);

/** The registers: set them before a run; read and write them in a handler. They belong to the context. */
LFI_API struct LFIRegs *lfi_ctx_regs(struct LFIContext *ctx);

LFI_API void *lfi_ctx_data(struct LFIContext *ctx);
LFI_API struct LFIBox *lfi_ctx_box(struct LFIContext *ctx);

/** The virtual thread pointer, which sandboxed code sees as fs base. */
LFI_API lfiptr lfi_ctx_tp(struct LFIContext *ctx);
LFI_API void lfi_ctx_set_tp(struct LFIContext *ctx, lfiptr tp);

/**
 * Run from `entry` (rounded down to a bundle) until a handler calls lfi_ctx_exit.
 *
 * @return the code given to lfi_ctx_exit, with lfi_errno() LFI_OK; or -1: LFI_ERR_FAULT, LFI_ERR_BUSY (entered
 * already), LFI_ERR_RANGE, LFI_ERR_INTERRUPTED, LFI_ERR_DEADLINE, LFI_ERR_LIMIT
 */
LFI_API int lfi_ctx_run(struct LFIContext *ctx, lfiptr entry);

/** In a handler: make the lfi_ctx_run that is running return `code`, once the handler has returned. */
LFI_API void lfi_ctx_exit(struct LFIContext *ctx, int code);

/**
 * In a host function or handler that sandboxed code called: end the innermost call or run of the context with
 * LFI_ERR_INTERRUPTED (a run returns -1 and LFI_OK), once the function has returned. Those around it go on: for
 * exceptions of other languages, which pass through sandboxed code one call at a time. Nothing when it ends already.
 */
LFI_API void lfi_ctx_end_call(struct LFIContext *ctx);

/* ---- Interruption ---- */

/*
 * An entry is a call of lfi_ctx_run, lfi_call, LFI_INVOKE or the like, from the outside: what it makes sandboxed code
 * call, and what that calls, belongs to it. See docs/interruption.md. An entry that is interrupted ends as soon as it
 * executes sandboxed code or sleeps in a system call of it; entries into other boxes that a host function which it
 * called has made end with it. Host code is not cut short.
 */

/**
 * End all entries that are pending in the box right now, with LFI_ERR_INTERRUPTED. Later ones are not affected.
 * From any thread, and from a signal handler.
 *
 * @return 0, also when there is none; -1: LFI_ERR_INVALID, LFI_ERR_OS (the kernel cannot take another signal now)
 */
LFI_API int lfi_box_interrupt(struct LFIBox *box);

/** The number of the context's pending entry or, when there is none, of the next one. Never 0. */
LFI_API uint64_t lfi_ctx_token(struct LFIContext *ctx);

/**
 * End the entry with this number, and no other, with LFI_ERR_INTERRUPTED: now, or when it begins. From any thread, and
 * from a signal handler; the context must exist.
 *
 * @return 0, or -1: LFI_ERR_NOTFOUND (it is over), LFI_ERR_INVALID, LFI_ERR_OS as lfi_box_interrupt
 */
LFI_API int lfi_ctx_interrupt(struct LFIContext *ctx, uint64_t token);

/**
 * End the entry that lfi_ctx_token names with LFI_ERR_DEADLINE `timeout_ns` nanoseconds from now, unless it is over by
 * then; 0: not any more. Replaces what was set before. By the thread that uses the context.
 *
 * @return 0, or -1: LFI_ERR_INVALID, LFI_ERR_OS (no thread to keep deadlines)
 */
LFI_API int lfi_ctx_deadline(struct LFIContext *ctx, uint64_t timeout_ns);

/** Likewise at `when_ns` of CLOCK_MONOTONIC. A time that has passed ends the entry when it begins. */
LFI_API int lfi_ctx_deadline_at(struct LFIContext *ctx, uint64_t when_ns);

/** In a host function or handler that sandboxed code called: whether the entry is to end once it has returned. */
LFI_API bool lfi_ctx_interrupted(struct LFIContext *ctx);

/* ---- Faults ---- */

/** What a trap was. Stable numbers; new ones are added at the end. */
enum LFIFaultKind {
	LFI_FAULT_UNKNOWN = 0, /**< no struct of a library that knows kinds */
	LFI_FAULT_ACCESS,      /**< an access to a page that is not mapped, or not mapped for it */
	LFI_FAULT_GUARD,       /**< an access outside what can be mapped: NULL, and beyond either end of the sandbox */
	LFI_FAULT_STACK,   /**< the stack is full: an access near the stack pointer failed, and nothing can be pushed */
	LFI_FAULT_EXECUTE, /**< a jump to what is no code */
	LFI_FAULT_PROTECTION, /**< misaligned vector access, or privileged instruction
			       */
	LFI_FAULT_ILLEGAL,    /**< no instruction of this processor, or ud2 */
	LFI_FAULT_BREAKPOINT, /**< int3 */
	LFI_FAULT_ARITHMETIC, /**< integer division, or a floating-point exception that is unmasked */
	LFI_FAULT_BUS,        /**< a page of a file that the file no longer has */
	LFI_FAULT_UNSERVED,   /**< a call of the runtime that nothing serves */
	LFI_FAULT_ABORT,      /**< abort(), or another fatal signal that a Linux program sent itself */
};

/** Return addresses that struct LFIFault has room for. */
#define LFI_BACKTRACE_MAX 32

/** Bytes that struct LFIFault has for a name, with the NUL. */
#define LFI_SYMBOL_MAX 64

/**
 * How sandboxed code trapped. Addresses are whole ones of the host, for position-oblivious programs too; less pc -
 * pc_offset, which is the base, they are offsets. The backtrace follows frame pointers: code that keeps none in rbp
 * ends it early or makes it wrong. It is what hostile memory says, so good for messages only; each address is in the
 * sandbox.
 */
struct LFIFault {
	int signal; /**< SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP; SIGSYS: a call of the runtime that nothing serves;
		       SIGABRT, or what else a program sent itself */
	int code;   /**< si_code */
	lfiptr address; /**< of the access, when there was one; else 0. Of a guard hit it may lie outside the sandbox */
	lfiptr pc;      /**< of the instruction */
	struct LFIRegs regs;                 /**< as they were */
	uint32_t kind;                       /**< enum LFIFaultKind */
	uint32_t depth;                      /**< addresses in backtrace, at least 1 */
	uint64_t pc_offset;                  /**< of pc, in bytes from the sandbox's base */
	lfiptr backtrace[LFI_BACKTRACE_MAX]; /**< innermost first: pc, then return addresses */
	char symbol[LFI_SYMBOL_MAX];         /**< of a Linux program: the function that pc is in, as far as it fits;
						else "" */
	uint64_t symbol_offset;              /**< of pc, in bytes from the function's first */
};

LFI_API int lfi_ctx_fault_sized(struct LFIContext *ctx, struct LFIFault *out, size_t size);

/** The context's last fault. 0, or -1 with LFI_ERR_NOTFOUND when there was none. */
static inline int
lfi_ctx_fault(struct LFIContext *ctx, struct LFIFault *out)
{
	return lfi_ctx_fault_sized(ctx, out, sizeof *out);
}

/** The name of an enum LFIFaultKind, for example "stack overflow"; "unknown" for other numbers. Static. */
LFI_API const char *lfi_fault_kind_name(int kind);

LFI_API size_t lfi_fault_format_sized(const struct LFIFault *fault, size_t size, char *buf, size_t room);

/**
 * Describe a fault in lines of text: kind, signal, addresses, function, registers, backtrace. As snprintf, at most
 * `room` bytes with the NUL are written (`buf` may be NULL when it is 0), and the length is that of the whole text.
 *
 * @return bytes without the NUL, or 0: LFI_ERR_INVALID
 */
static inline size_t
lfi_fault_format(const struct LFIFault *fault, char *buf, size_t room)
{
	return lfi_fault_format_sized(fault, sizeof *fault, buf, room);
}

/**
 * For hosts whose own handler replaces the library's: ask first whether a signal is a fault of sandboxed code. Call it
 * on the thread that got the signal, from a handler with SA_SIGINFO and SA_ONSTACK, with what that was given; it is
 * async-signal-safe and sets no error.
 *
 * @return 1: it was, or one of a copy by this library, and `ucontext` now leads out: return from the handler. 0: it is
 * the host's own, nothing has changed
 */
LFI_API int lfi_signal_handle(int sig, void *siginfo, void *ucontext);

/**
 * Be the first again that gets the signals of faults, after others have installed handlers over the library's. Theirs
 * get what is no fault of sandboxed code, and may call what they found. From any thread, not from a signal handler.
 *
 * @return 0, or -1: LFI_ERR_INVALID (there is no engine), LFI_ERR_OS, LFI_ERR_UNSUPPORTED (three times at most over
 * handlers that are still there)
 */
LFI_API int lfi_signal_reclaim(void);

/* ---- Calling functions in the sandbox ---- */

/** Map the code that sandboxed functions return to. Once per box, before the first call; again is fine. 0 or -1. */
LFI_API int lfi_box_init_ret(struct LFIBox *box);

/** What lfi_trampoline_addr reads. `*ctx` may be NULL: then it is made with the clone callback. */
struct LFIInvokeInfo {
	struct LFIBox *box;
	struct LFIContext **ctx;
	lfiptr target;
	size_t stack_bytes; /**< of arguments that the psABI passes in memory; copied to the sandbox's stack */
	uint32_t arg_regs; /**< 0: all argument registers are passed on. LFI_INVOKE_COUNTED | integer registers | vector
			      registers << 8: the others are cleared */
	uint64_t stack_skip; /**< bit i: word i of the stack arguments is padding, and cleared */
	uint64_t stack_tail; /**< bit i: of word i only the low 2 bytes are an argument's (the end of a long double) */
};

#define LFI_INVOKE_COUNTED 0x10000u
/** In arg_regs: the target returns a long double. */
#define LFI_INVOKE_X87 0x20000u

LFI_API extern __thread struct LFIInvokeInfo lfi_invoke_info;

/**
 * Code that, called with the C convention of the target of lfi_invoke_info, calls it in the sandbox and
 * returns what it returns. When the call fails (LFI_ERR_FAULT, LFI_ERR_BUSY, …) it returns zeros and
 * lfi_errno() is set; it is LFI_OK after a call that succeeded. It resets the members after `target`.
 */
LFI_API extern void *const lfi_trampoline_addr;

/** A value of lfi_call. */
union LFIValue {
	int64_t i;  /**< signed integers of all widths */
	uint64_t u; /**< unsigned integers, pointers */
	float f;
	double d;
	void *p; /**< struct by value: the host's copy, of the size that the signature says */
};

/**
 * Call a sandboxed function with a signature and values known at run time.
 *
 * @param sig  return type, then the parameters in parentheses, one letter each:
 *             v void (return only) · b B 8 · h H 16 · i I 32 · l L 64 bits, signed and unsigned · ? bool · p pointer
 * (an lfiptr) · f float · d double · D long double, by `p`, a pointer to the host's · {…} a struct made of these, by
 * value, passed by `p`, up to 64 KiB; in it {…} nests and [4i] is an array. . or ... begins variable arguments. "i(ii)"
 * is int (int, int), "i(p...id)" is printf of an int and a double.
 * @param args one per parameter; NULL when there are none
 * @param ret  may be NULL; for a struct or a long double, ret->p is where it is stored
 * @return 0, or -1: LFI_ERR_SIGNATURE, LFI_ERR_FAULT, LFI_ERR_BUSY, LFI_ERR_RANGE, LFI_ERR_INVALID (no
 * lfi_box_init_ret)
 */
LFI_API int lfi_call(
    struct LFIContext *ctx, lfiptr fn, const char *sig, const union LFIValue *args, union LFIValue *ret);

/** A function of the sandbox with its signature, parsed once. Any thread may use it, with its own context. */
struct LFIFn;

/**
 * Prepare calls of `fn`, with a signature as lfi_call takes. Free it before the box, with lfi_fn_free.
 *
 * @return NULL: LFI_ERR_SIGNATURE, LFI_ERR_RANGE, LFI_ERR_NOMEM
 */
LFI_API struct LFIFn *lfi_fn_new(struct LFIBox *box, lfiptr fn, const char *sig);

LFI_API void lfi_fn_free(struct LFIFn *fn);

/**
 * Call it: as lfi_call, at about the price of LFI_INVOKE. Where `*ctx` is NULL, a context is made with the engine's
 * clone callback and stored there.
 */
LFI_API int lfi_fn_call(struct LFIFn *fn, struct LFIContext **ctx, const union LFIValue *args, union LFIValue *ret);

/* ---- Calling the host from the sandbox ---- */

/** Prepare a box for callbacks. Again is fine. false: LFI_ERR_NOMEM, LFI_ERR_OS. */
LFI_API bool lfi_box_cbinit(struct LFIBox *box);

/**
 * Let sandboxed code call `fn`, a host function of any C type whose arguments and result are integers, pointers, floats
 * and doubles. Its arguments are hostile. Registering one function twice gives the same address.
 *
 * The type of `fn` is not known here, so the sandbox gets all of rax and the low half of xmm0 as `fn` leaves them: of a
 * function that returns void or a float, whatever it had in rax last, maybe a pointer of the host's; of one that
 * returns int, the upper half of rax too; of one without a floating-point result, the low half of xmm0. All other
 * registers are cleared. Where the sandbox must not learn such values, let `fn` return uint64_t, widened in `fn`
 * itself.
 *
 * @return its address for sandboxed code, or NULL: LFI_ERR_INVALID (no lfi_box_cbinit), LFI_ERR_LIMIT (no entry free)
 */
LFI_API void *lfi_box_register_cb(struct LFIBox *box, void *fn);

/** Take the function back; a later call from the sandbox ends the run with LFI_ERR_FAULT. Calls that are in it go on.
 */
LFI_API void lfi_box_unregister_cb(struct LFIBox *box, void *fn);

/**
 * A host function with a signature. `args` are copies, one per parameter as in lfi_call (structs and long doubles by
 * `p`), hostile, and valid during the call; a struct or long double result is written to `ret->p`, which leads to
 * zeroed space, any other to `*ret`.
 */
typedef void (*LFIHostFn)(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret);

/**
 * Let sandboxed code call `fn`, as a function of the type `sig` (see lfi_call; at most 64 parameters, 1024 bytes of
 * them in memory). The sandbox gets the result and nothing else of the host's. It may call functions of this and other
 * sandboxes, and lfi_ctx_exit. A call with a stack that cannot be read ends the run with LFI_ERR_FAULT.
 *
 * @param user passed on
 * @return its address for sandboxed code, a new one for each registration; or NULL: LFI_ERR_SIGNATURE, LFI_ERR_INVALID
 * (no lfi_box_cbinit), LFI_ERR_LIMIT (1151 functions of both kinds), LFI_ERR_NOMEM
 */
LFI_API void *lfi_box_register_fn(struct LFIBox *box, const char *sig, LFIHostFn fn, void *user);

/** Take back what lfi_box_register_fn gave `addr` for. Calls that are in it go on. 0, or -1: LFI_ERR_NOTFOUND. */
LFI_API int lfi_box_unregister_fn(struct LFIBox *box, void *addr);

/** In a callback: the context that made the call; NULL outside. */
LFI_API struct LFIContext *lfi_cur_ctx(void);

#ifdef __cplusplus
}
#endif

#include "lfi_invoke.h"

#endif
