/* SPDX-License-Identifier: MIT */
/*
 * The structs of core and the calls between its files. Trusted.
 */
#ifndef CORE_BOX_H
#define CORE_BOX_H

#include "lfi_core.h"
#include "lfi_verify.h"
#include <pthread.h>
#include <stdatomic.h>

#include "arch.h"
#include "boxmap.h"
#include "cache.h"
#include "checked.h"
#include "core.h"
#include "fork.h"
#include "handles.h"
#include "interrupt.h"
#include "pages.h"
#include "slab.h"

/* Constants of scheme section 1, in bytes. */
#define BOX_SIZE ((uint64_t) 1 << 32)
#define GUARD_SPAN ((uint64_t) 262144)

/* Free places of an engine that keep the runtime-call table; a few more when several threads free at once. */
#define TABLES_KEPT 256

/*
 * Entries nest as deep as the host's stack allows: what is left of it for host code, bytes (of a small stack, a quarter
 * of it). On a stack that is none the thread was made with, such as a fiber's, this many entries.
 */
#define STACK_LEFT ((uint64_t) 128 * 1024)
#define FOREIGN_MAX 64

/* Depths whose L a context has room for from the start. */
#define INSIDE_FIRST 16

/* The owner of a context that a thread of the parent process was in at fork: no thread has this number. */
#define OWNER_LOST ((uintptr_t) 1)

/*
 * Locks nest in this order: list of engines, engine, box; the signal handlers' lock is taken before, those of spare
 * mappings and of the log after them. os/fork.c takes all of them.
 */
struct LFIEngine {
	struct LFIOptions opts;
	pthread_mutex_t lock; /* boxes, nboxes, map */
	struct BoxMap map;
	struct ArchStubs stubs;
	struct LFIBox *boxes;   /* those that are neither being made nor being freed */
	struct Slabs slabs;     /* has a lock of its own, taken last */
	struct CodeCache cache; /* so has this */
	size_t nboxes;          /* all */
	uint32_t assumed_code;  /* what unverified code is taken to do */
	_Atomic(LFISysHandler) handler;
	_Atomic(LFICloneFn) clone_cb;
	_Atomic(LFIReleaseFn) release_cb;
	void *user;
	struct LFIEngine *next, **link; /* all engines */
};

/* See struct LFIBoxStats. */
struct BoxCounts {
	uint64_t calls, runtime_calls;
};

/* A host function with a signature. Freed when nobody can be in it: see reap in callback.c. */
struct HostFn;

/* A page of callback entries beyond the first. */
struct CallbackPage {
	uint64_t resume; /* L of entry 0 */
	_Atomic(void *) fns[CALLBACK_ENTRIES];
};

struct LFIBox {
	/* Offsets known to entry.S. */
	uint64_t base;
	_Atomic uint32_t code; /* enum LFICodeFlags of what was loaded */
	_Atomic uint32_t gate; /* not 0: nobody goes from the host to sandboxed code; see box_gate_close */
	void *x87_scrub;       /* code that clears the x87 state, in the stub page */
	uint64_t gs_idle;      /* what stays in gs base where the host has none: the base, or 0 */
	uint64_t min, span;    /* box_min, and box_max less that */
	uint32_t entry_mask;   /* of the low half of what is jumped to */
	bool single_thread;    /* the engine's option */
	_Atomic(void *) callbacks[CALLBACK_ENTRIES];
	_Atomic(struct CallbackPage *) far[CALLBACK_FAR]; /* from the first on, until NULL */

	struct LFIEngine *engine;
	bool oblivious;       /* addresses are given out as offsets; set before the box is shared */
	uint32_t bundle;      /* the engine's option */
	pthread_mutex_t lock; /* everything below, and who may change mappings */
	struct PageMap pages;
	struct Pin *pins; /* pin.c */
	size_t npins;
	struct LFIContext *contexts;
	uint32_t ncontexts;
	struct LFILimits limits;
	struct BoxCounts gone; /* of contexts that were freed */
	uint64_t cpu;
	lfiptr origin;
	void *user;
	BoxSymbolizer symbolizer;
	_Atomic uint64_t callback_page; /* 0 until mapped; written under the lock */
	bool callbacks_ready;
	struct HostFn *host_fns;
	_Atomic uintptr_t runner; /* single-thread engines: the thread whose context executes, else 0 */
	uint32_t runner_depth;    /* entries of that thread; written by it */
	_Atomic uint64_t faults;
	struct LFIBox *next, **link; /* engine->boxes */
	struct BoxInterrupt interrupt;
	struct BoxImage *image; /* what box_reset goes back to, or NULL */
	uint64_t image_changes; /* pages.changes when the mappings were those of the image */
	uint32_t releasing;     /* release callbacks that run for its contexts; see release.c */
	bool kept;              /* none may begin */
};

/* struct LFIFault, in less room: a context has a page. */
struct Fault {
	int signal, code;
	lfiptr address, pc;
	struct LFIRegs regs;
	uint32_t kind, depth;
	uint32_t trace[LFI_BACKTRACE_MAX]; /* offsets in the box */
};

struct LFIContext {
	/* r15 points here. Offsets known to entry.S. */
	uint64_t reserved;
	struct LFIContext *self;
	_Atomic uint64_t tp;
	struct LFIBox *box;
	struct Frame *frame;    /* the innermost entry, NULL when not entered */
	_Atomic uint32_t depth; /* how many there are */
	_Atomic uint32_t quick; /* `first` has entered, without an atomic operation; entry.S writes both at once */

	/*
	 * The quick way of entry.S: while regs.rsp is enter_rsp, a call with no words on the stack has rsp = enter_sp,
	 * and what quick_enable in call.c looks at holds. Else enter_sp is QUICK_NONE.
	 */
	_Atomic uint64_t enter_rsp, enter_sp;
	_Atomic uint64_t return_l; /* L of the return stub; ~0 when there is none */
	_Atomic uintptr_t biased;  /* the thread that may enter without an atomic operation; 0: none yet, or none any
				      more. See own() */
	_Atomic uint32_t state;    /* STATE_*: written by the thread that entered, read by box_gate_close */
	uint16_t fcw;              /* the sandbox's, during a runtime call */
	bool ending;               /* lfi_ctx_exit was called */
	_Atomic uint8_t attention; /* not 0: look at `interrupt` before sandboxed code goes on */
	_Atomic uint64_t calls;    /* of functions; written by who entered, as the next */
	_Atomic uint64_t runtime_calls; /* served or not */
	struct Interrupt interrupt;
	uint64_t resume;     /* L of the last runtime call, as the verifier saw it */
	uint64_t resume_rsp; /* rsp then */
	uint32_t mxcsr;      /* as fcw */
	/* L of the runtime call or callback that each depth is in; replaced by a longer one under the lock */
	uint32_t inside_size;
	_Atomic(_Atomic uint64_t *) inside;
	_Atomic uintptr_t first; /* what biased was when it was set; never changes then */
	_Atomic uintptr_t owner; /* the thread that entered otherwise, else 0; or OWNER_LOST */
	int exit_code;
	int aborting; /* the signal that ctx_abort was given, until the handler has returned; else 0 */
	bool faulted;
	bool owned;      /* by the layer above, which frees it */
	uintptr_t maker; /* the thread that it was made for, or 0 */
	struct LFIRegs regs;
	uint8_t ymmh[16][16]; /* upper halves, during a runtime call */
	uint8_t zmm[32][64];  /* all of AVX-512, during a runtime call */
	uint64_t mask[8];
	_Atomic uint64_t inside_first[INSIDE_FIRST];
	struct Frame *ending_frame; /* of lfi_ctx_end_call: where `ending` is over; NULL: as of lfi_ctx_exit */
	struct Fault fault;
	void *user;
	struct LFIContext *next, **link;           /* box->contexts */
	struct Slab *slab;                         /* whose page this is */
	struct LFIContext *made_next, **made_link; /* the list of its maker, or NULL; see release.c */
};

/* What a thread knows; initial-exec, for the fault handler reads it. */
struct Thread {
	/* Offsets known to entry.S. */
	struct LFIContext *cur; /* the context entered last */
	uint64_t gs_left;       /* the gs base that entry.S last left in place of none */
	bool ready;             /* os_thread_ready has run */
	bool stack_asked;       /* the next three are set */
	int tid;                /* the kernel's number, when ready */
	uint64_t stack_floor;   /* entries start above this; see STACK_LEFT */
	uint64_t stack_span;    /* from there to the end of the stack; 0 when it is not known */
	uint64_t stack_low;
	uint32_t foreign;         /* entries on other stacks */
	struct LFIContext *made;  /* for the thread, by clone callbacks */
	struct LFIBox *releasing; /* whose context a release callback has now */
};
extern _Thread_local struct Thread thread_self __attribute__((tls_model("initial-exec")));

/* One more, of what only the calling thread counts. */
static inline void
count_up(_Atomic uint64_t *count)
{
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* A number for the calling thread, never 0. */
static inline uintptr_t
thread_id(void)
{
	return (uintptr_t) &thread_self;
}

/* Whether this is a signal handler that interrupted sandboxed code, or its entry or exit. */
static inline bool
thread_interrupted(void)
{
	return thread_self.cur && atomic_load_explicit(&thread_self.cur->state, memory_order_relaxed) == STATE_SANDBOX;
}

/* 0, or -1: not a context, see handle_check. Handlers ask about the one that they were called for. */
static inline int
ctx_check(const struct LFIContext *ctx)
{
	return ctx && ctx == thread_self.cur ? 0 : handle_check(ctx, HANDLE_CONTEXT);
}

static inline lfiptr
box_min(const struct LFIBox *box)
{
	return box->base + GUARD_SPAN;
}

static inline lfiptr
box_max(const struct LFIBox *box)
{
	return box->base + BOX_SIZE - GUARD_SPAN;
}

/*
 * An address that came in through the API: below 4 GiB it is an offset from the base, which is never 0. Done once, at
 * the entry of each public function, before any check.
 */
static inline lfiptr
box_take_address(const struct LFIBox *box, lfiptr addr)
{
	return addr < BOX_SIZE ? box->base + addr : addr;
}

/* An address of the box as the API gives it out. */
static inline lfiptr
box_give_address(const struct LFIBox *box, lfiptr addr)
{
	return box->oblivious ? addr - box->base : addr;
}

/* Whether [addr, addr + size) lies in what can be mapped. */
static inline bool
box_valid(const struct LFIBox *box, lfiptr addr, size_t size)
{
	return range_within(addr, size, box_min(box), box_max(box));
}

/* `addr` made an address in the sandbox. */
static inline uint64_t
box_mask(const struct LFIBox *box, uint64_t addr)
{
	return box->base + (uint32_t) addr;
}

/* As box_mask, and rounded down to a bundle: what a masked jump does. */
static inline uint64_t
box_mask_entry(const struct LFIBox *box, uint64_t addr)
{
	return box->base + ((uint32_t) addr & ~(box->bundle - 1));
}

/*
 * Stop everyone at the border: afterwards, and until box_gate_open, no context goes from the host into sandboxed
 * code. False, with the gate open, when a context executes right now. The box's lock is held.
 */
bool box_gate_close(struct LFIBox *box);
void box_gate_open(struct LFIBox *box);

/* Whether a runtime call or callback that is pending has its L in [addr, addr + size). The gate is closed. */
bool box_inside(struct LFIBox *box, lfiptr addr, size_t size);

/* Make the calling thread the one that executes in the box of a single-thread engine. False when another does. */
bool box_runner_claim(struct LFIBox *box);
void box_runner_drop(struct LFIBox *box);

static inline bool
box_runner_take(struct LFIBox *box)
{
	return !box->single_thread || box_runner_claim(box);
}

static inline void
box_runner_give(struct LFIBox *box)
{
	if (box->single_thread)
		box_runner_drop(box);
}

/* A step of fork(2) for the locks of all engines and boxes; in the child, who was in them is forgotten. */
void engines_fork(enum ForkStep step);
void box_after_fork(struct LFIBox *box);
void ctx_after_fork(struct LFIContext *ctx);

/* Verify `code` and map it at a free place. The lock is held. 0, or -1 with the error set. */
int box_put_code(struct LFIBox *box, const void *code, size_t size, lfiptr *out);

/* Free what registered callbacks take; nobody is in the box. */
void box_callbacks_free(struct LFIBox *box);

/* What an image has of them, and a box of the image that no context has entered gets; the lock is held. */
void box_callbacks_keep(const struct LFIBox *box, void *fns[CALLBACK_ENTRIES]);
void box_callbacks_restore(struct LFIBox *box, void *const fns[CALLBACK_ENTRIES]);

/* pin.c. 0, or -1 (LFI_ERR_BUSY) when the host has pinned pages of [start, end). The box's lock is held. */
int box_check_pins(const struct LFIBox *box, uint64_t start, uint64_t end);
void box_pins_free(struct LFIBox *box);

/* Whether the box's limits allow `size` bytes mapped at `addr`; one more context. The lock is held. 0, or -1. */
int box_check_mapped(struct LFIBox *box, lfiptr addr, uint64_t size);
int box_check_contexts(struct LFIBox *box);

/* Add what was counted in the context. */
void box_counts_add(struct BoxCounts *counts, struct LFIContext *ctx);

/* The clone callback made `ctx` for the calling thread; and: it is going to be freed. */
void release_track(struct LFIContext *ctx);
void release_forget(struct LFIContext *ctx);
void release_fork(enum ForkStep step);
void release_after_fork(struct LFIBox *box);

/* Push and pop an entry of the calling thread. frame_push fails with the error set. */
int frame_push(struct LFIContext *ctx, struct Frame *frame);
void frame_pop(struct LFIContext *ctx, struct Frame *frame);

/* The error of a frame that has not ended as wanted, from frame->end and ctx->fault. Returns -1. */
int frame_error(struct LFIContext *ctx, const struct Frame *frame);

/* Fill in what the signal handler left out of ctx->fault. The thread has left the sandbox. */
void fault_complete(struct LFIContext *ctx);

/* Fill a call's stack, return address and entries of the frame. 0, or -1 with the error set. */
int frame_call(struct LFIContext *ctx, struct Frame *frame, lfiptr target, const void *stack, size_t stack_bytes);

/* The next outermost call into the context is not a quick one; it may make those after it so. */
void quick_disable(struct LFIContext *ctx);

/* Called by entry.S. A result that is not 0 ends the frame. */
int ctx_syscall(struct LFIContext *ctx);
int ctx_unknown_call(struct LFIContext *ctx);
int ctx_gate_wait(struct LFIContext *ctx);
int ctx_host_call(struct HostFn *fn, struct HostCall *call, struct LFIContext *ctx);
int ctx_invoke(struct Frame *frame, uint64_t *stack, struct LFIInvokeInfo *info);
void ctx_invoke_ended(struct Frame *frame);

#endif
