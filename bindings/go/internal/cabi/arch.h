/* SPDX-License-Identifier: MIT */
/*
 * x86-64: what entry.S and arch.c offer to the rest of core. Trusted.
 */
#ifndef CORE_ARCH_H
#define CORE_ARCH_H

#include "lfi_core.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "layout.h"

#define ARCH_TRAP_BYTE 0xcc /* int3 */
#define ARCH_INT_REGS 6
#define ARCH_FLOAT_REGS 8
#define ARCH_FNSAVE_SIZE 112 /* what fnsave stores, and the end of st7 as a long double */
#define ARCH_FNSAVE_ST0 28

/*
 * One entry into a sandbox, on the host's stack until it ends. The caller
 * fills ctx, kind, and for a call target, sp, gpr and xmm; what is no
 * argument is zero, for the sandbox sees it.
 */
struct Frame {
	_Alignas(16) struct LFIContext *ctx;
	uint64_t host_sp;
	uint64_t gs;    /* what gs base has to be in the host; the box's base: whatever it is */
	uint32_t mxcsr; /* the host's */
	uint16_t fcw;   /* the host's */
	uint32_t kind;  /* FRAME_* */
	uint32_t end;   /* END_* */

	struct Frame *prev;      /* of the context */
	struct Frame *below;     /* of the thread: what it was in before */
	struct ArchSaved *saved; /* of an outer entry that is in a runtime call */
	void *x87;               /* ARCH_FNSAVE_SIZE bytes for the x87 state on return, or NULL */
	uint64_t foreign;        /* 1: counted in thread_self.foreign */
	uint64_t ctx_rsp;        /* a call's: the context's stack pointer, which runtime calls overwrite */

	uint64_t target; /* masked; the next four are not FRAME_FAST's */
	uint64_t sp;     /* of a call: points to the return address */
	uint64_t gpr[ARCH_INT_REGS];
	uint64_t xmm[ARCH_FLOAT_REGS]; /* low halves: no argument is longer */
	uint64_t rax, rdx;             /* results */
	uint64_t xmm0, xmm1;
	struct LFIContext **where; /* of a prepared call */
};

/*
 * A call of a function whose arguments and result are in registers, and none of the former needs an extension (small
 * signed integers do). `info` is as for lfi_trampoline_addr, without a context.
 */
struct Prepared {
	struct LFIInvokeInfo info;
	uint8_t int_arg[ARCH_INT_REGS]; /* which argument each register gets */
	uint8_t float_arg[ARCH_FLOAT_REGS];
	uint64_t keep[ARCH_INT_REGS]; /* the bits of its type; beyond them the caller's memory may hold anything */
	uint64_t float_keep[ARCH_FLOAT_REGS];
};

/* The result in rax and xmm0; as lfi_trampoline_addr when the call fails. `args` is read where registers get some. */
uint64_t arch_call_prepared(const struct Prepared *prepared, struct LFIContext **ctx, const union LFIValue *args);
double arch_call_prepared_real(const struct Prepared *prepared, struct LFIContext **ctx, const union LFIValue *args);

/* A call of a typed host function: what the sandbox gave, and what it gets. */
struct HostCall {
	uint64_t gpr[ARCH_INT_REGS];
	uint64_t xmm[ARCH_FLOAT_REGS]; /* low halves */
	uint64_t sp;                   /* low half of rsp: points to the return address */
	uint32_t result_x87;           /* the result is in st0 */
	uint64_t rax, rdx, xmm0, xmm1;
	uint8_t st0[16];
};

/* What a nested entry must give back to the runtime call that it interrupts. */
struct ArchSaved {
	struct LFIRegs regs;
	uint64_t resume, resume_rsp;
	uint32_t mxcsr;
	uint16_t fcw;
	uint8_t ymmh[16][16];
	uint8_t zmm[32][64];
	uint64_t mask[8];
};

struct ArchStubs;

/* Runs the frame's target until it ends; frame->end says how. */
void arch_enter(struct Frame *frame);

/* In the fault handler: where the thread was, as registers for struct LFIFault. */
uint64_t arch_fault_pc(const ucontext_t *uc);
void arch_fault_regs(const ucontext_t *uc, struct LFIRegs *regs);

/* In a signal handler: let the thread go on at `pc`; or out of the sandbox, with END_* as the frame's end. */
void arch_fault_goto(ucontext_t *uc, uint64_t pc);
void arch_fault_leave(ucontext_t *uc, struct LFIContext *ctx, uint32_t end);
extern const char arch_leave_fault[];

/* Whether `pc` is in what leads into sandboxed code or out of it. */
bool arch_crossing(const struct ArchStubs *stubs, uint64_t pc);

/*
 * A system call of the host: its result, or -errno; -EINTR, with nothing done, when *attention is not 0 or when
 * arch_blocking_stop says so before the call has its result. block.S.
 */
int64_t arch_blocking(_Atomic uint8_t *attention, long number, long a, long b, long c, long d, long e, long f);

/* In a signal handler: whether the thread was in arch_blocking, which then returns -EINTR or the result that it has. */
bool arch_blocking_stop(ucontext_t *uc);

/* 0, or -1 when the page cannot be written. */
int arch_store64(uint64_t *dst, uint64_t value);

/* Where to go on when `pc` faulted where a fault is an expected answer (copy_guarded and the like), or 0. */
uint64_t arch_guard_fixup(uint64_t pc);

/* The runtime-call table and the code that it points to: one of each per engine. */
struct ArchStubs {
	void *table; /* two pages, shared: the table page and the copy for the sandbox's first page */
	size_t pagesize;
	void *code;
};

int arch_stubs_make(struct ArchStubs *stubs, size_t pagesize);
void arch_stubs_free(struct ArchStubs *stubs);

/* Map the table around `base`. 0, or an errno value. */
int arch_table_map(const struct ArchStubs *stubs, uint64_t base, bool low);

/* The code that x87_enter of entry.S calls. */
void *arch_x87_scrub(const struct ArchStubs *stubs);

/* LFI_CODE_* that this machine can do. */
uint32_t arch_code_flags(void);

/* Bits that entry.S wants to see in each box's code flags beside LFI_CODE_*. */
uint32_t arch_code_always(void);

/* Of 1 << LFI_CPU_*, those whose registers the kernel switches; `state` is XCR0. */
uint64_t arch_usable_features(uint64_t found, uint64_t state);

/* 1 << LFI_CPU_* that this machine has. Tests pretend; arch_init ends that. */
uint64_t arch_cpu_features(void);
void arch_pretend_features(uint64_t features);

/* Fill the page of callback entries. */
void arch_callback_page(uint8_t *page, size_t size, unsigned bundle, bool single_thread);

/* Whether the thread's gs base can be set without the kernel. Tests clear it. */
extern bool arch_fsgsbase;

/* Once per process, before anything is entered. */
void arch_init(void);

#endif
