//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * What a fault was: its kind and its backtrace, found out after the thread has left the sandbox, and its text. Trusted.
 *
 *   I1  Sandbox memory is read by guarded copies at masked addresses that can be mapped, each
 *       word once; what is read goes nowhere but into the backtrace, masked.      read_frame, walk
 *   I2  A walk ends: frames ascend, and there are at most LFI_BACKTRACE_MAX.      walk
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "box.h"
#include "error.h"
#include "options.h"

/* Bytes around the stack pointer that count as the stack: compilers touch each page of a larger frame in turn. */
#define STACK_REACH 4096

/* ---- Kinds ---- */

/* Whether the access was near the stack pointer, where nothing can be pushed. */
static bool
stack_full(struct LFIBox *box, const struct Fault *fault)
{
	uint64_t sp = box_mask(box, fault->regs.rsp), below = sp - fault->address;
	lfiptr push = box_mask(box, sp - 8);
	struct BoxMapping map;

	if (below > STACK_REACH && -below > STACK_REACH)
		return false;
	return !box_mapping(box, push, &map) || map.addr > push || !(map.prot & LFI_PROT_WRITE);
}

static uint32_t
segv_kind(struct LFIBox *box, const struct Fault *fault)
{
	if (fault->code == SI_KERNEL)
		return LFI_FAULT_PROTECTION;
	if (fault->address == fault->pc)
		return LFI_FAULT_EXECUTE;
	if (stack_full(box, fault))
		return LFI_FAULT_STACK;
	return box_valid(box, fault->address, 1) ? LFI_FAULT_ACCESS : LFI_FAULT_GUARD;
}

static uint32_t
kind_of(struct LFIBox *box, const struct Fault *fault)
{
	if (fault->code == SI_TKILL)
		return LFI_FAULT_ABORT;
	switch (fault->signal) {
	case SIGSEGV:
		return segv_kind(box, fault);
	case SIGBUS:
		return fault->code == BUS_ADRALN ? LFI_FAULT_PROTECTION : LFI_FAULT_BUS;
	case SIGILL:
		return LFI_FAULT_ILLEGAL;
	case SIGTRAP:
		return LFI_FAULT_BREAKPOINT;
	case SIGFPE:
		return LFI_FAULT_ARITHMETIC;
	case SIGSYS:
		return LFI_FAULT_UNSERVED;
	default:
		return LFI_FAULT_UNKNOWN;
	}
}

const char *
lfi_fault_kind_name(int kind)
{
	static const char *const names[] = {"unknown", "bad access", "guard hit", "stack overflow", "jump to data",
	    "protection", "illegal instruction", "breakpoint", "arithmetic", "bus error", "unserved runtime call",
	    "abort"};

	return kind > 0 && (size_t) kind < sizeof names / sizeof names[0] ? names[kind] : names[0];
}

/* ---- Backtrace ---- */

/* What a function's prologue leaves where rbp points. */
struct StackFrame {
	uint64_t rbp, ret;
};

static bool
read_frame(const struct LFIBox *box, lfiptr at, struct StackFrame *out)
{
	return box_valid(box, at, sizeof *out) && copy_guarded(out, (const void *) at, sizeof *out) == 0;
}

static void
walk(const struct LFIBox *box, struct Fault *fault)
{
	lfiptr at = box_mask(box, fault->regs.rbp), next;
	struct StackFrame frame;

	fault->trace[0] = (uint32_t) fault->pc;
	fault->depth = 1;
	while (fault->depth < LFI_BACKTRACE_MAX && read_frame(box, at, &frame) && frame.ret) {
		fault->trace[fault->depth++] = (uint32_t) frame.ret;
		next = box_mask(box, frame.rbp);
		if (next <= at)
			return;
		at = next;
	}
}

void
fault_complete(struct LFIContext *ctx)
{
	atomic_fetch_add(&ctx->box->faults, 1);
	ctx->fault.kind = kind_of(ctx->box, &ctx->fault);
	walk(ctx->box, &ctx->fault);
}

int
lfi_ctx_fault_sized(struct LFIContext *ctx, struct LFIFault *out, size_t size)
{
	struct LFIFault fault = {.signal = 0};
	const struct Fault *from;

	if (ctx_check(ctx) < 0)
		return -1;
	if (!ctx->faulted)
		return error_set(LFI_ERR_NOTFOUND, "the context has not trapped");
	from = &ctx->fault;
	fault.signal = from->signal;
	fault.code = from->code;
	fault.address = from->address;
	fault.pc = from->pc;
	fault.regs = from->regs;
	fault.kind = from->kind;
	fault.depth = from->depth;
	fault.pc_offset = from->pc - ctx->box->base;
	for (uint32_t i = 0; i < from->depth; i++)
		fault.backtrace[i] = box_mask(ctx->box, from->trace[i]);
	if (ctx->box->symbolizer &&
	    !ctx->box->symbolizer(ctx->box, fault.pc, fault.symbol, sizeof fault.symbol, &fault.symbol_offset))
		fault.symbol[0] = 0;
	return options_give(out, size, &fault, sizeof fault);
}

/* ---- Text ---- */

struct Text {
	char *buf;
	size_t room, length;
};

static void __attribute__((format(printf, 2, 3))) add(struct Text *text, const char *format, ...)
{
	size_t done = text->length < text->room ? text->length : text->room;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(done < text->room ? text->buf + done : NULL, text->room - done, format, args);
	va_end(args);
	text->length += n > 0 ? (size_t) n : 0;
}

static void
add_regs(struct Text *text, const struct LFIRegs *regs)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {{"rax", regs->rax}, {"rbx", regs->rbx}, {"rcx", regs->rcx}, {"rdx", regs->rdx}, {"rsi", regs->rsi},
	    {"rdi", regs->rdi}, {"rbp", regs->rbp}, {"rsp", regs->rsp}, {"r8", regs->r8}, {"r9", regs->r9},
	    {"r10", regs->r10}, {"r11", regs->r11}, {"r12", regs->r12}, {"r13", regs->r13}};
	const size_t n = sizeof rows / sizeof rows[0];

	for (size_t i = 0; i < n; i++)
		add(text, "  %-3s %016llx%s", rows[i].name, (unsigned long long) rows[i].value,
		    i % 4 == 3 || i == n - 1 ? "\n" : "");
}

size_t
lfi_fault_format_sized(const struct LFIFault *given, size_t size, char *buf, size_t room)
{
	struct Text text = {buf, room, 0};
	struct LFIFault fault;

	if (options_take(&fault, sizeof fault, given, size, "struct LFIFault") < 0)
		return 0;
	if (!buf && room) {
		error_null("buffer");
		return 0;
	}
	add(&text, "%s: signal %d, code %d, address %#llx\n", lfi_fault_kind_name((int) fault.kind), fault.signal,
	    fault.code, (unsigned long long) fault.address);
	add(&text, "  pc  %#llx (sandbox +%#llx)\n", (unsigned long long) fault.pc,
	    (unsigned long long) fault.pc_offset);
	if (fault.symbol[0])
		add(&text, "  in  %.*s+%#llx\n", (int) sizeof fault.symbol, fault.symbol,
		    (unsigned long long) fault.symbol_offset);
	add_regs(&text, &fault.regs);
	for (uint32_t i = 0; i < fault.depth && i < LFI_BACKTRACE_MAX; i++)
		add(&text, "  #%-2u %#llx (sandbox +%#llx)\n", i, (unsigned long long) fault.backtrace[i],
		    (unsigned long long) (fault.backtrace[i] - (fault.pc - fault.pc_offset)));
	return text.length;
}
