/* SPDX-License-Identifier: MIT */
/*
 * One engine and one box for the tests with hosts in other languages, whose handlers for faults are what is tested: the
 * calls that Python makes through ctypes and Go through cgo.
 */
#include "sandbox.h"

#include <lfi/lfi_core.h>
#include <signal.h>
#include <string.h>

#include "snippets.h"

#define PAGE ((size_t) 4096)
#define EXPORTED __attribute__((visibility("default")))

static const struct {
	const uint8_t *code;
	size_t size;
	int signal;
	enum LFIFaultKind kind;
} faults[] = {
    {code_load, sizeof code_load, SIGSEGV, LFI_FAULT_GUARD},
    {code_ud2, sizeof code_ud2, SIGILL, LFI_FAULT_ILLEGAL},
    {code_int3, sizeof code_int3, SIGTRAP, LFI_FAULT_BREAKPOINT},
    {code_divide, sizeof code_divide, SIGFPE, LFI_FAULT_ARITHMETIC},
    {code_hlt, sizeof code_hlt, SIGSEGV, LFI_FAULT_PROTECTION},
    {code_recurse, sizeof code_recurse, SIGSEGV, LFI_FAULT_STACK},
};
_Static_assert(sizeof faults / sizeof faults[0] == SANDBOX_FAULTS, "sandbox.h");

static struct LFIEngine *engine;
static struct LFIBox *box;
static lfiptr fault_code[SANDBOX_FAULTS], add_code, loop_code, flag;

static lfiptr
map(size_t size)
{
	return lfi_box_mapany(box, size, LFI_PROT_READ | LFI_PROT_WRITE, LFI_MAP_ANONYMOUS | LFI_MAP_PRIVATE, -1, 0);
}

static lfiptr
load(const uint8_t *code, size_t size)
{
	uint8_t page[PAGE];
	lfiptr at = map(PAGE);

	memset(page, 0xcc, sizeof page);
	memcpy(page, code, size);
	if (at == (lfiptr) -1 || lfi_box_copyto(box, at, page, sizeof page) < 0 ||
	    lfi_box_mprotect(box, at, PAGE, LFI_PROT_READ | LFI_PROT_EXEC) < 0)
		return 0;
	return at;
}

EXPORTED int
sandbox_open(void)
{
	engine = lfi_new((struct LFIOptions){.boxsize = 0}, 1);
	box = engine ? lfi_box_new(engine) : NULL;
	if (!box || lfi_box_init_ret(box) < 0)
		return -1;
	for (int i = 0; i < SANDBOX_FAULTS; i++) {
		fault_code[i] = load(faults[i].code, faults[i].size);
		if (!fault_code[i])
			return -1;
	}
	add_code = load(code_add, sizeof code_add);
	loop_code = load(code_loop, sizeof code_loop);
	flag = map(PAGE);
	return add_code && loop_code && flag != (lfiptr) -1 ? 0 : -1;
}

EXPORTED void
sandbox_close(void)
{
	lfi_box_free(box);
	lfi_free(engine);
}

/* A context with a stack over a page that cannot be touched; it goes with leave. */
static struct LFIContext *
enter(lfiptr *stack)
{
	struct LFIContext *ctx = lfi_ctx_new(box, NULL);

	*stack = map(5 * PAGE);
	if (!ctx || *stack == (lfiptr) -1 || lfi_box_mprotect(box, *stack, PAGE, LFI_PROT_NONE) < 0)
		return NULL;
	lfi_ctx_regs(ctx)->sp = *stack + 5 * PAGE;
	return ctx;
}

static void
leave(struct LFIContext *ctx, lfiptr stack)
{
	lfi_ctx_free(ctx);
	lfi_box_munmap(box, stack, 5 * PAGE);
}

EXPORTED int
sandbox_fault(int kind)
{
	struct LFIFault fault = {.signal = 0};
	lfiptr stack;
	struct LFIContext *ctx = enter(&stack);

	if (!ctx || kind < 0 || kind >= SANDBOX_FAULTS)
		return -1;
	LFI_INVOKE(box, &ctx, fault_code[kind], int, (lfiptr), lfi_box_info(box).base + 8192);
	if (lfi_errno() == LFI_ERR_FAULT)
		lfi_ctx_fault(ctx, &fault);
	leave(ctx, stack);
	return fault.signal == faults[kind].signal && fault.kind == faults[kind].kind ? 0 : -1;
}

EXPORTED int
sandbox_add(int a, int b)
{
	lfiptr stack;
	struct LFIContext *ctx = enter(&stack);
	int sum;

	if (!ctx)
		return -1;
	sum = LFI_INVOKE(box, &ctx, add_code, int, (int, int), a, b);
	leave(ctx, stack);
	return sum;
}

EXPORTED int
sandbox_spin(void)
{
	uint32_t zero = 0;
	lfiptr stack;
	struct LFIContext *ctx = enter(&stack);
	int error;

	if (!ctx || lfi_box_copyto(box, flag, &zero, sizeof zero) < 0)
		return -1;
	lfi_error_clear();
	LFI_INVOKE(box, &ctx, loop_code, int, (lfiptr), flag);
	error = lfi_errno();
	leave(ctx, stack);
	return error == LFI_OK ? 0 : -1;
}

EXPORTED int
sandbox_stop(void)
{
	uint32_t one = 1;

	return lfi_box_copyto(box, flag, &one, sizeof one);
}

EXPORTED int
sandbox_reclaim(void)
{
	return lfi_signal_reclaim();
}

EXPORTED void
sandbox_crash_host(void)
{
	volatile int *volatile at = (volatile int *) 16;

	*at = 1;
}

EXPORTED const char *
sandbox_error(void)
{
	return lfi_errmsg();
}
