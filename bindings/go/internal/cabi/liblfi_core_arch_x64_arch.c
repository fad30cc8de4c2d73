//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * x86-64: the runtime-call table and its stubs, processor features, callback
 * entries. Trusted.
 *
 *   I1  The offsets of layout.h are those of the structs.
 *   I2  The table points to the stub page only, so that who reads it learns nothing about the host.
 *   I3  Each callback entry is a runtime call of the scheme followed by a return of the scheme; it is verified
 *       like all code.
 */
#include "arch.h"

#include <assert.h>
#include <cpuid.h>
#include <string.h>
#include <sys/auxv.h>

#include "box.h"
#include "error.h"
#include "os.h"

#define SAME(constant, type, member) static_assert((constant) == offsetof(struct type, member), "I1")
SAME(CTX_SELF, LFIContext, self);
SAME(CTX_TP, LFIContext, tp);
SAME(CTX_BOX, LFIContext, box);
SAME(CTX_FRAME, LFIContext, frame);
SAME(CTX_DEPTH, LFIContext, depth);
SAME(CTX_STATE, LFIContext, state);
SAME(CTX_RESUME, LFIContext, resume);
SAME(CTX_RESUME_RSP, LFIContext, resume_rsp);
SAME(CTX_RETURN, LFIContext, return_l);
SAME(CTX_MXCSR, LFIContext, mxcsr);
SAME(CTX_FCW, LFIContext, fcw);
SAME(CTX_ENDING, LFIContext, ending);
SAME(CTX_ATTENTION, LFIContext, attention);
SAME(CTX_REGS, LFIContext, regs);
SAME(CTX_YMMH, LFIContext, ymmh);
SAME(CTX_ZMM, LFIContext, zmm);
SAME(CTX_MASK, LFIContext, mask);
SAME(CTX_CALLS, LFIContext, calls);
SAME(CTX_RTCALLS, LFIContext, runtime_calls);
SAME(CTX_BIASED, LFIContext, biased);
SAME(CTX_QUICK, LFIContext, quick);
SAME(CTX_ENTER_RSP, LFIContext, enter_rsp);
SAME(CTX_ENTER_SP, LFIContext, enter_sp);
SAME(CTX_INSIDE, LFIContext, inside);
SAME(CTX_SERIAL, LFIContext, interrupt.serial);
SAME(CTX_TID, LFIContext, interrupt.tid);
SAME(REGS_RAX, LFIRegs, rax);
SAME(REGS_RCX, LFIRegs, rcx);
SAME(REGS_RDX, LFIRegs, rdx);
SAME(REGS_RBX, LFIRegs, rbx);
SAME(REGS_RSP, LFIRegs, rsp);
SAME(REGS_RBP, LFIRegs, rbp);
SAME(REGS_RSI, LFIRegs, rsi);
SAME(REGS_RDI, LFIRegs, rdi);
SAME(REGS_R8, LFIRegs, r8);
SAME(REGS_R9, LFIRegs, r9);
SAME(REGS_R10, LFIRegs, r10);
SAME(REGS_R11, LFIRegs, r11);
SAME(REGS_R12, LFIRegs, r12);
SAME(REGS_R13, LFIRegs, r13);
SAME(REGS_XMM, LFIRegs, xmm);
SAME(BOX_BASE, LFIBox, base);
SAME(BOX_CODE, LFIBox, code);
SAME(BOX_GATE, LFIBox, gate);
SAME(BOX_X87_SCRUB, LFIBox, x87_scrub);
SAME(BOX_GS_IDLE, LFIBox, gs_idle);
SAME(BOX_MIN, LFIBox, min);
SAME(BOX_SPAN, LFIBox, span);
SAME(BOX_MASK, LFIBox, entry_mask);
SAME(BOX_CALLBACKS, LFIBox, callbacks);
SAME(BOX_FAR, LFIBox, far);
SAME(FAR_RESUME, CallbackPage, resume);
SAME(FAR_FNS, CallbackPage, fns);
SAME(HC_GPR, HostCall, gpr);
SAME(HC_XMM, HostCall, xmm);
SAME(HC_SP, HostCall, sp);
SAME(HC_RESULT_X87, HostCall, result_x87);
SAME(HC_RAX, HostCall, rax);
SAME(HC_RDX, HostCall, rdx);
SAME(HC_XMM0, HostCall, xmm0);
SAME(HC_XMM1, HostCall, xmm1);
SAME(HC_ST0, HostCall, st0);
static_assert(sizeof(struct HostCall) == HC_SIZE && HC_SIZE % 16 == 0, "I1");
SAME(FRAME_CTX, Frame, ctx);
SAME(FRAME_HOST_SP, Frame, host_sp);
SAME(FRAME_GS, Frame, gs);
SAME(FRAME_MXCSR, Frame, mxcsr);
SAME(FRAME_FCW, Frame, fcw);
SAME(FRAME_KIND, Frame, kind);
SAME(FRAME_END, Frame, end);
SAME(FRAME_TARGET, Frame, target);
SAME(FRAME_SP, Frame, sp);
SAME(FRAME_GPR, Frame, gpr);
SAME(FRAME_XMM, Frame, xmm);
SAME(FRAME_RAX, Frame, rax);
SAME(FRAME_RDX, Frame, rdx);
SAME(FRAME_XMM0, Frame, xmm0);
SAME(FRAME_XMM1, Frame, xmm1);
SAME(FRAME_PREV, Frame, prev);
SAME(FRAME_BELOW, Frame, below);
SAME(FRAME_SAVED, Frame, saved);
SAME(FRAME_CTX_RSP, Frame, ctx_rsp);
SAME(FRAME_X87, Frame, x87);
SAME(FRAME_FOREIGN, Frame, foreign);
SAME(FRAME_WHERE, Frame, where);
SAME(THREAD_CUR, Thread, cur);
SAME(THREAD_GS_LEFT, Thread, gs_left);
SAME(THREAD_TID, Thread, tid);
SAME(THREAD_STACK_FLOOR, Thread, stack_floor);
SAME(THREAD_STACK_SPAN, Thread, stack_span);
SAME(INFO_BOX, LFIInvokeInfo, box);
SAME(INFO_CTX, LFIInvokeInfo, ctx);
SAME(INFO_TARGET, LFIInvokeInfo, target);
SAME(INFO_STACK_BYTES, LFIInvokeInfo, stack_bytes);
SAME(INFO_ARG_REGS, LFIInvokeInfo, arg_regs);
SAME(INFO_STACK_SKIP, LFIInvokeInfo, stack_skip);
SAME(INFO_STACK_TAIL, LFIInvokeInfo, stack_tail);
static_assert(INFO_COUNTED == INFO_ARG_REGS + 2 && LFI_INVOKE_COUNTED == 1 << 16, "I1");
static_assert(offsetof(struct Prepared, info) == 0, "I1");
SAME(PREPARED_INT, Prepared, int_arg);
SAME(PREPARED_FLOAT, Prepared, float_arg);
SAME(PREPARED_KEEP, Prepared, keep);
SAME(PREPARED_FLOAT_KEEP, Prepared, float_keep);
static_assert(FRAME_END == FRAME_KIND + 4 && END_NONE == 0 && FRAME_BELOW == FRAME_PREV + 8 &&
		  FRAME_X87 == FRAME_SAVED + 8 && CTX_QUICK == CTX_DEPTH + 4,
    "entry.S stores both at once");
static_assert(sizeof(struct Frame) == FRAME_SIZE && FRAME_SIZE % 16 == 0, "I1");
static_assert((int) CODE_AVX == LFI_CODE_AVX && (int) CODE_AVX512 == LFI_CODE_AVX512 &&
		  (int) CODE_X87 == LFI_CODE_X87 && (int) CODE_DIRECTION == LFI_CODE_DIRECTION,
    "I1");

#define TABLE_ENTRIES 512 /* a page of them; the scheme uses 32 */

bool arch_fsgsbase;
static uint64_t features;

/* cpuid bits: leaf, subleaf, register (0 eax, 1 ebx, 2 ecx, 3 edx), bit. */
static const struct {
	uint32_t leaf, subleaf;
	int reg, bit;
} feature_bits[LFI_CPU_COUNT] = {
    [LFI_CPU_SSE3] = {1, 0, 2, 0},
    [LFI_CPU_SSSE3] = {1, 0, 2, 9},
    [LFI_CPU_SSE41] = {1, 0, 2, 19},
    [LFI_CPU_SSE42] = {1, 0, 2, 20},
    [LFI_CPU_POPCNT] = {1, 0, 2, 23},
    [LFI_CPU_LZCNT] = {0x80000001, 0, 2, 5},
    [LFI_CPU_CX16] = {1, 0, 2, 13},
    [LFI_CPU_MOVBE] = {1, 0, 2, 22},
    [LFI_CPU_LAHF] = {0x80000001, 0, 2, 0},
    [LFI_CPU_AES] = {1, 0, 2, 25},
    [LFI_CPU_PCLMUL] = {1, 0, 2, 1},
    [LFI_CPU_SHA] = {7, 0, 1, 29},
    [LFI_CPU_GFNI] = {7, 0, 2, 8},
    [LFI_CPU_RDRAND] = {1, 0, 2, 30},
    [LFI_CPU_RDSEED] = {7, 0, 1, 18},
    [LFI_CPU_ADX] = {7, 0, 1, 19},
    [LFI_CPU_BMI1] = {7, 0, 1, 3},
    [LFI_CPU_BMI2] = {7, 0, 1, 8},
    [LFI_CPU_F16C] = {1, 0, 2, 29},
    [LFI_CPU_FMA] = {1, 0, 2, 12},
    [LFI_CPU_AVX] = {1, 0, 2, 28},
    [LFI_CPU_AVX2] = {7, 0, 1, 5},
    [LFI_CPU_VAES] = {7, 0, 2, 9},
    [LFI_CPU_VPCLMUL] = {7, 0, 2, 10},
    [LFI_CPU_AVX_VNNI] = {7, 1, 0, 4},
    [LFI_CPU_RDTSCP] = {0x80000001, 0, 3, 27},
    [LFI_CPU_AVX512F] = {7, 0, 1, 16},
    [LFI_CPU_AVX512BW] = {7, 0, 1, 30},
    [LFI_CPU_AVX512DQ] = {7, 0, 1, 17},
    [LFI_CPU_AVX512VL] = {7, 0, 1, 31},
    [LFI_CPU_AVX512CD] = {7, 0, 1, 28},
    [LFI_CPU_AVX512_VNNI] = {7, 0, 2, 11},
    [LFI_CPU_AVX512_VBMI] = {7, 0, 2, 1},
    [LFI_CPU_AVX512_VBMI2] = {7, 0, 2, 6},
    [LFI_CPU_AVX512_IFMA] = {7, 0, 1, 21},
    [LFI_CPU_AVX512_BITALG] = {7, 0, 2, 12},
    [LFI_CPU_AVX512_VPOPCNTDQ] = {7, 0, 2, 14},
    [LFI_CPU_AVX512_BF16] = {7, 1, 0, 5},
    [LFI_CPU_AVX512_FP16] = {7, 0, 3, 23},
};

#define BIT(feature) ((uint64_t) 1 << (feature))

/* What needs the kernel to save ymm, and zmm and masks. */
static const uint64_t needs_ymm = BIT(LFI_CPU_F16C) | BIT(LFI_CPU_FMA) | BIT(LFI_CPU_AVX) | BIT(LFI_CPU_AVX2) |
				  BIT(LFI_CPU_VAES) | BIT(LFI_CPU_VPCLMUL) | BIT(LFI_CPU_AVX_VNNI);
static const uint64_t needs_zmm = BIT(LFI_CPU_AVX512F) | BIT(LFI_CPU_AVX512BW) | BIT(LFI_CPU_AVX512DQ) |
				  BIT(LFI_CPU_AVX512VL) | BIT(LFI_CPU_AVX512CD) | BIT(LFI_CPU_AVX512_VNNI) |
				  BIT(LFI_CPU_AVX512_VBMI) | BIT(LFI_CPU_AVX512_VBMI2) | BIT(LFI_CPU_AVX512_IFMA) |
				  BIT(LFI_CPU_AVX512_BITALG) | BIT(LFI_CPU_AVX512_VPOPCNTDQ) |
				  BIT(LFI_CPU_AVX512_BF16) | BIT(LFI_CPU_AVX512_FP16);

/* Which vector state the kernel switches: XCR0, or 0 without xgetbv. */
static uint64_t
enabled_state(void)
{
	uint32_t a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return 0;
	__asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	return (uint64_t) d << 32 | a;
}

uint64_t
arch_usable_features(uint64_t found, uint64_t state)
{
	if ((state & 0x6) != 0x6)
		found &= ~(needs_ymm | needs_zmm);
	if ((state & 0xe6) != 0xe6)
		found &= ~needs_zmm;
	return found;
}

static uint64_t
find_features(void)
{
	uint64_t found = 0;
	uint32_t regs[4];

	for (int i = 0; i < LFI_CPU_COUNT; i++) {
		if (!__get_cpuid_count(
			feature_bits[i].leaf, feature_bits[i].subleaf, &regs[0], &regs[1], &regs[2], &regs[3]))
			continue;
		if (regs[feature_bits[i].reg] >> feature_bits[i].bit & 1)
			found |= BIT(i);
	}
	return arch_usable_features(found, enabled_state());
}

void
arch_init(void)
{
	arch_fsgsbase = getauxval(AT_HWCAP2) & 2;
	features = find_features();
}

uint64_t
arch_cpu_features(void)
{
	return features;
}

void
arch_pretend_features(uint64_t pretended)
{
	features = pretended;
}

uint32_t
arch_code_flags(void)
{
	uint32_t flags = LFI_CODE_X87 | LFI_CODE_FPCONTROL | LFI_CODE_DIRECTION | LFI_CODE_ST_RETURN;

	if (features & BIT(LFI_CPU_AVX))
		flags |= LFI_CODE_AVX;
	if (features & BIT(LFI_CPU_AVX512F))
		flags |= LFI_CODE_AVX512;
	return flags;
}

uint32_t
arch_code_always(void)
{
	return features & BIT(LFI_CPU_AVX512BW) ? CODE_MASK64 : 0;
}

/* ---- The stub page ---- */

/* Entries of entry.S, as the stub page holds their addresses. */
extern const char arch_entry_syscall[], arch_entry_return[], arch_entry_trap[];

struct StubPage {
	uint8_t syscall[16];
	uint8_t get_tp[16];
	uint8_t set_tp[16];
	uint8_t back[16];
	uint8_t trap[16];
	uint8_t x87_scrub[X87_TOUCH];
	uint8_t x87_touch[16];
	uint64_t to_syscall, to_back, to_trap;
	float zero;
};

static int32_t
distance(const void *to, const void *next)
{
	return (int32_t) ((const uint8_t *) to - (const uint8_t *) next);
}

/* jmpq *target(%rip) */
static void
put_jump(uint8_t *at, uint64_t *target, const char *to)
{
	int32_t disp = distance(target, at + 6);

	*target = (uint64_t) to;
	at[0] = 0xff;
	at[1] = 0x25;
	memcpy(at + 2, &disp, sizeof disp);
}

/*
 * Clears the x87 state in eight loads of zero, 2 ns, where the usual fninit takes 26 and leaves the data in
 * place. The loads are here so that the last-instruction and last-operand pointers, which sandboxed code can
 * read, point to this page.
 */
static void
put_x87_scrub(uint8_t *at, const float *zero)
{
	static const uint8_t begin[] = {
	    0xdf, 0xe0,       /* fnstsw %ax */
	    0x66, 0x85, 0xc0, /* testw %ax, %ax: exceptions, conditions, top of stack */
	    0x74, 0x02,       /* jz over the next */
	    0xdb, 0xe3,       /* fninit */
	    0x0f, 0x77,       /* emms */
	};
	static const uint8_t end[] = {
	    0x0f, 0x77, /* emms */
	    0xc3,       /* ret */
	};

	memcpy(at, begin, sizeof begin);
	at += sizeof begin;
	for (int i = 0; i < 8; i++, at += 6) {
		int32_t disp = distance(zero, at + 6);

		at[0] = 0xd9; /* flds zero(%rip) */
		at[1] = 0x05;
		memcpy(at + 2, &disp, sizeof disp);
	}
	memcpy(at, end, sizeof end);
}

/* Changes the last-instruction and last-operand pointers, and nothing else of the x87 state: one register is free. */
static void
put_x87_touch(uint8_t *at, const float *zero)
{
	int32_t disp = distance(zero, at + 6);

	at[0] = 0xd9; /* flds zero(%rip) */
	at[1] = 0x05;
	memcpy(at + 2, &disp, sizeof disp);
	at[6] = 0xdd; /* fstp %st(0) */
	at[7] = 0xd8;
	at[8] = 0xc3; /* ret */
}

static void
fill_stubs(struct StubPage *page, size_t size)
{
	static const uint8_t get_tp[] = {
	    0x49, 0x8b, 0x47, 0x10, /* movq 16(%r15), %rax */
	    0x41, 0xff, 0xe3,       /* jmpq *%r11 */
	};
	static const uint8_t set_tp[] = {
	    0x49, 0x89, 0x7f, 0x10, /* movq %rdi, 16(%r15) */
	    0x41, 0xff, 0xe3,       /* jmpq *%r11 */
	};

	memset(page, 0xcc, size);
	put_jump(page->syscall, &page->to_syscall, arch_entry_syscall);
	put_jump(page->back, &page->to_back, arch_entry_return);
	put_jump(page->trap, &page->to_trap, arch_entry_trap);
	memcpy(page->get_tp, get_tp, sizeof get_tp);
	memcpy(page->set_tp, set_tp, sizeof set_tp);
	page->zero = 0;
	put_x87_scrub(page->x87_scrub, &page->zero);
	put_x87_touch(page->x87_touch, &page->zero);
}

static void
fill_table(uint64_t *below, uint64_t *low, struct StubPage *page)
{
	void *const entries[] = {page->syscall, page->get_tp, page->set_tp, page->back};

	for (size_t i = 0; i < TABLE_ENTRIES; i++)
		below[i] = low[i] = (uint64_t) page->trap;
	for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
		below[TABLE_ENTRIES - 1 - i] = (uint64_t) entries[i];
		low[i] = (uint64_t) entries[i];
	}
}

int
arch_stubs_make(struct ArchStubs *stubs, size_t pagesize)
{
	int err;

	stubs->pagesize = pagesize;
	err = os_random_page(pagesize, &stubs->code);
	if (err)
		return error_set_os(LFI_ERR_NOMEM, err, "cannot map the page of runtime-call stubs");
	err = os_shareable(2 * pagesize, &stubs->table);
	if (err)
		goto release_code;
	fill_stubs(stubs->code, pagesize);
	fill_table(stubs->table, (uint64_t *) ((char *) stubs->table + pagesize), stubs->code);
	err = os_protect((uint64_t) stubs->code, pagesize, LFI_PROT_READ | LFI_PROT_EXEC);
	if (err)
		goto release_table;
	err = os_protect((uint64_t) stubs->table, 2 * pagesize, LFI_PROT_READ);
	if (err)
		goto release_table;
	return 0;

release_table:
	os_release(stubs->table, 2 * pagesize);
release_code:
	os_release(stubs->code, pagesize);
	return error_set_os(LFI_ERR_NOMEM, err, "cannot map the runtime-call table");
}

void
arch_stubs_free(struct ArchStubs *stubs)
{
	os_release(stubs->table, 2 * stubs->pagesize);
	os_release(stubs->code, stubs->pagesize);
}

int
arch_table_map(const struct ArchStubs *stubs, uint64_t base, bool low)
{
	return os_duplicate(stubs->table, (low ? 2 : 1) * stubs->pagesize, base - stubs->pagesize);
}

void *
arch_x87_scrub(const struct ArchStubs *stubs)
{
	return ((struct StubPage *) stubs->code)->x87_scrub;
}

/* ---- Callback entries ---- */

void
arch_callback_page(uint8_t *page, size_t size, unsigned bundle, bool single_thread)
{
	uint8_t entry[CALLBACK_ENTRY] = {
	    0x4c, 0x8d, 0x1d, 0x04, 0x00, 0x00, 0x00, /* leaq L(%rip), %r11 */
	    0x41, 0xff, 0x66, 0xe0,                   /* jmpq *-32(%r14) */
	    0x0f, 0x1f, 0x44, 0x00, 0x00,             /* L: nopl */
	};
	uint8_t masked[] = {
	    0x41, 0x5b,             /* popq %r11 */
	    0x41, 0x83, 0xe3, 0xe0, /* andl $-bundle, %r11d */
	    0x4d, 0x01, 0xf3,       /* addq %r14, %r11 */
	    0x41, 0xff, 0xe3,       /* jmpq *%r11 */
	};
	uint8_t returned[] = {
	    0x4c, 0x8b, 0x1c, 0x24, /* movq (%rsp), %r11 */
	    0x41, 0x83, 0xe3, 0xe0, /* andl $-bundle, %r11d */
	    0x4d, 0x01, 0xf3,       /* addq %r14, %r11 */
	    0x4c, 0x89, 0x1c, 0x24, /* movq %r11, (%rsp) */
	    0xc3,                   /* ret */
	};

	masked[5] = returned[7] = (uint8_t) -bundle;
	memset(entry + 16, 0xcc, sizeof entry - 16);
	if (single_thread)
		memcpy(entry + 16, returned, sizeof returned);
	else
		memcpy(entry + 16, masked, sizeof masked);
	for (size_t at = 0; at + CALLBACK_ENTRY <= size; at += CALLBACK_ENTRY)
		memcpy(page + at, entry, sizeof entry);
}

static_assert(CALLBACK_RESUME == 11, "L is the instruction after the runtime call");

/* ---- Faults ---- */

extern const struct {
	uint64_t start, end, fixup;
} arch_guards[];

uint64_t
arch_guard_fixup(uint64_t pc)
{
	for (int i = 0; arch_guards[i].start; i++)
		if (pc >= arch_guards[i].start && pc < arch_guards[i].end)
			return arch_guards[i].fixup;
	return 0;
}

void
arch_fault_regs(const ucontext_t *uc, struct LFIRegs *regs)
{
	const greg_t *from = uc->uc_mcontext.gregs;

	memset(regs, 0, sizeof *regs);
	regs->rax = (uint64_t) from[REG_RAX];
	regs->rcx = (uint64_t) from[REG_RCX];
	regs->rdx = (uint64_t) from[REG_RDX];
	regs->rbx = (uint64_t) from[REG_RBX];
	regs->rsp = (uint64_t) from[REG_RSP];
	regs->rbp = (uint64_t) from[REG_RBP];
	regs->rsi = (uint64_t) from[REG_RSI];
	regs->rdi = (uint64_t) from[REG_RDI];
	regs->r8 = (uint64_t) from[REG_R8];
	regs->r9 = (uint64_t) from[REG_R9];
	regs->r10 = (uint64_t) from[REG_R10];
	regs->r11 = (uint64_t) from[REG_R11];
	regs->r12 = (uint64_t) from[REG_R12];
	regs->r13 = (uint64_t) from[REG_R13];
	if (uc->uc_mcontext.fpregs)
		memcpy(regs->xmm, uc->uc_mcontext.fpregs->_xmm, sizeof regs->xmm);
}

uint64_t
arch_fault_pc(const ucontext_t *uc)
{
	return (uint64_t) uc->uc_mcontext.gregs[REG_RIP];
}

void
arch_fault_goto(ucontext_t *uc, uint64_t pc)
{
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t) pc;
}

void
arch_fault_leave(ucontext_t *uc, struct LFIContext *ctx, uint32_t end)
{
	/* Direction, alignment check and trap flag are the sandbox's; the host relies on them being clear. */
	const greg_t flags = 1 << 10 | 1 << 18 | 1 << 8;

	ctx->frame->end = end;
	uc->uc_mcontext.gregs[REG_EFL] &= ~flags;
	uc->uc_mcontext.gregs[REG_R15] = (greg_t) ctx;
	arch_fault_goto(uc, (uint64_t) arch_leave_fault);
}

/* ---- Interrupts ---- */

extern const char arch_entry_begin[], arch_entry_end[], arch_fast_begin[], arch_fast_end[];
extern const char arch_blocking_begin[], arch_blocking_end[], arch_blocking_cancel[];

bool
arch_crossing(const struct ArchStubs *stubs, uint64_t pc)
{
	return (pc >= (uint64_t) arch_entry_begin && pc < (uint64_t) arch_entry_end) ||
	       (pc >= (uint64_t) arch_fast_begin && pc < (uint64_t) arch_fast_end) ||
	       pc - (uint64_t) stubs->code < stubs->pagesize;
}

bool
arch_blocking_stop(ucontext_t *uc)
{
	uint64_t pc = arch_fault_pc(uc);

	if (pc < (uint64_t) arch_blocking_begin || pc > (uint64_t) arch_blocking_end)
		return false;
	/* At the end, the call has its result. */
	if (pc < (uint64_t) arch_blocking_end)
		arch_fault_goto(uc, (uint64_t) arch_blocking_cancel);
	return true;
}
