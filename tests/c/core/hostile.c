/* SPDX-License-Identifier: MIT */
/*
 * Sandboxed code and hosts that mean ill, or are unlucky: what the runtime keeps from them, and what it keeps going.
 */
#include "core_test.h"
#include "sanitizers.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "box.h"

#define SECRET 0x5ec2e75ec2e75ec2

/* Sandboxed functions; they end where the next begins. */
extern const uint8_t fn_syscall[], fn_call_then_jump[], fn_context[], fn_seven[], fn_fcw[], fn_high[], fn_end[];
__asm__(".pushsection .text\n"
	".bundle_align_mode 5\n"
	".balign 32\n"
	".macro sandboxed_return\n"
	"	popq %r11\n"
	"	.bundle_lock\n"
	"	andl $-32, %r11d; addq %r14, %r11; jmpq *%r11\n"
	"	.bundle_unlock\n"
	"	.balign 32\n"
	".endm\n"
	/* int (void): what the system call returns */
	"fn_syscall:\n"
	"	.bundle_lock\n"
	"	leaq 1f(%rip), %r11; jmpq *-8(%r14)\n"
	"	.bundle_unlock\n"
	"1:	sandboxed_return\n"
	/* int (void *callback, void *then): calls one, goes on with the other */
	"fn_call_then_jump:\n"
	"	movq %rsi, %rbx\n"
	"	.skip 21, 0x90\n" /* the call ends its bundle */
	"	.bundle_lock\n"
	"	andl $-32, %edi; addq %r14, %rdi; callq *%rdi\n"
	"	.bundle_unlock\n"
	"	.bundle_lock\n"
	"	andl $-32, %ebx; addq %r14, %rbx; jmpq *%rbx\n"
	"	.bundle_unlock\n"
	"	.balign 32\n"
	/* uint64_t (void): where the context is */
	"fn_context:\n"
	"	movq %r15, %rax\n"
	"	sandboxed_return\n"
	/* int (void): 7 */
	"fn_seven:\n"
	"	movl $7, %eax\n"
	"	sandboxed_return\n"
	/* int (void): the x87 control word */
	"fn_fcw:\n"
	"	pushq $0\n"
	"	fnstcw (%rsp)\n"
	"	popq %rax\n"
	"	sandboxed_return\n"
	/* int64_t (void), entered after a call: the upper half of its result in xmm0 */
	"fn_high:\n"
	"	movhlps %xmm0, %xmm0\n"
	"	movq %xmm0, %rax\n"
	"	sandboxed_return\n"
	"fn_end:\n"
	".bundle_align_mode 0\n"
	".popsection\n");

#define LOAD_FN(box, from, to) load_bytes(box, from, (size_t) ((to) - (from)))

static __attribute__((noinline)) void
dirty_stack(void)
{
	uint64_t words[512];

	for (int i = 0; i < 512; i++)
		words[i] = SECRET;
	__asm__ volatile("" : : "m"(words));
}

/* ---- What a call leaves ---- */

static void
calls_that_nothing_serves_leave_no_host_pointer(void **state)
{
	static const int entries[] = {0, 5, 127};
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct LFIRegs *regs = lfi_ctx_regs(f.ctx);
	struct LFIFault fault;

	/* Entry 0 is a return with nothing to return to; the others have no function. */
	for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
		regs->rax = regs->r10 = 0;
		regs->rsp = f.stack - 8;
		assert_int_equal(lfi_ctx_run(f.ctx, f.box->callback_page + entries[i] * CALLBACK_ENTRY), -1);
		assert_error(LFI_ERR_FAULT);
		assert_done(lfi_ctx_fault(f.ctx, &fault));
		assert_int_equal(regs->rax, 0);
		assert_int_equal(regs->r10, 0);
		assert_int_equal(fault.regs.rax, 0);
		assert_int_equal(fault.regs.r10, 0);
	}
	drop(&f);
}

static void
answering(struct LFIContext *ctx)
{
	lfi_ctx_regs(ctx)->rax = 42;
}

static void
calls_that_make_system_calls_do_not_eat_the_stack(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD_FN(f.box, fn_syscall, fn_call_then_jump);

	lfi_sys_handler(f.engine, answering);
	for (int i = 0; i < 10000; i++) {
		if (LFI_INVOKE(f.box, &f.ctx, p, int, (void)) != 42)
			print_error("call %d: %s\n", i, lfi_errmsg());
		assert_int_equal(lfi_errno(), LFI_OK);
	}
	assert_int_equal(lfi_ctx_regs(f.ctx)->rsp, f.stack);
	drop(&f);
}

typedef uint64_t Vector __attribute__((vector_size(16)));

static Vector
returns_a_vector(void)
{
	return (Vector) {SECRET, SECRET};
}

static void
upper_halves_of_a_callbacks_result_stay_out(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD_FN(f.box, fn_call_then_jump, fn_context), high = LOAD_FN(f.box, fn_high, fn_end);
	void *cb = lfi_box_register_cb(f.box, (void *) returns_a_vector);

	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int64_t, (void *, lfiptr), cb, high), 0);
	assert_int_equal(lfi_errno(), LFI_OK);
	drop(&f);
}

static struct Fixture *loading;
static lfiptr loaded;

static int
loads_x87_code(void)
{
	return lfi_box_mprotect(loading->box, loaded, PAGE, RX);
}

static void
the_first_x87_code_starts_with_the_default_control_word(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD_FN(f.box, fn_call_then_jump, fn_context);
	void *cb = lfi_box_register_cb(f.box, (void *) loads_x87_code);
	uint8_t page[PAGE];

	memset(page, 0xcc, sizeof page);
	memcpy(page, fn_fcw, (size_t) (fn_high - fn_fcw));
	loaded = map(f.box, PAGE);
	assert_done(lfi_box_copyto(f.box, loaded, page, sizeof page));
	loading = &f;
	dirty_stack();
	/* The host's is another. */
	__asm__ volatile("fldcw %0" : : "m"(*(const uint16_t[]) {0x67f}));
	int fcw = LFI_INVOKE(f.box, &f.ctx, p, int, (void *, lfiptr), cb, loaded);
	__asm__ volatile("fninit");
	assert_int_equal(lfi_errno(), LFI_OK);
	assert_int_equal(fcw, 0x37f);
	drop(&f);
}

static void
a_context_does_not_show_where_the_heap_is(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD_FN(f.box, fn_context, fn_seven);
	uint64_t heap = (uint64_t) malloc(1);
	int near = 0;

	/* Far from it by chance, not by a constant: one of many may be near. */
	for (int i = 0; i < 8; i++) {
		struct LFIContext *ctx = lfi_ctx_new(f.box, NULL);
		uint64_t at;

		assert_non_null(ctx);
		lfi_ctx_regs(ctx)->sp = f.stack;
		at = LFI_INVOKE(f.box, &ctx, p, uint64_t, (void));
		assert_int_equal(at, ctx);
		near += at - heap + BOX_SIZE < 2 * BOX_SIZE || at - (uint64_t) f.box + BOX_SIZE < 2 * BOX_SIZE;
		lfi_ctx_free(ctx);
	}
	assert_true(near < 4);
	free((void *) heap);
	drop(&f);
}

/* ---- A signal at every instruction of the way in and out ---- */

extern const char arch_entry_begin[], border_end[] __asm__("copy_guarded");
extern const char arch_trampoline_text[] __asm__("arch_trampoline"), arch_trampoline_taken[];

/* Before arch_trampoline_taken, a handler that calls changes lfi_invoke_info under the call. */
static bool
in_entry(uint64_t pc)
{
	return pc - (uint64_t) arch_entry_begin < (uint64_t) (border_end - arch_entry_begin) &&
	    pc - (uint64_t) arch_trampoline_text >= (uint64_t) (arch_trampoline_taken - arch_trampoline_text);
}

static struct Fixture stepped;
static lfiptr seven;
static int wrong, entered, refused;

/* Makes a call of its own: it works, or is refused. Then the tracer wants to know. */
static void
on_signal(int sig)
{
	int result = LFI_INVOKE(stepped.box, &stepped.ctx, seven, int, (void));

	if (result == 7 && lfi_errno() == LFI_OK)
		entered++;
	else if (result == 0 && lfi_errno() == LFI_ERR_BUSY)
		refused++;
	else
		wrong++;
	__asm__ volatile("int3");
}

static int
eleven(void)
{
	return 11;
}

/* A call with a callback and a system call in it, after a trap. The number of things that went wrong. */
static int
traced_child(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
	lfiptr first, then;
	void *cb;
	int result;

	stepped = fixture((struct LFIOptions) {.boxsize = 0});
	first = LOAD_FN(stepped.box, fn_call_then_jump, fn_context);
	then = LOAD_FN(stepped.box, fn_syscall, fn_call_then_jump);
	seven = LOAD_FN(stepped.box, fn_seven, fn_fcw);
	/* So that there is x87 state to save. */
	LOAD_FN(stepped.box, fn_fcw, fn_high);
	lfi_sys_handler(stepped.engine, answering);
	cb = lfi_box_register_cb(stepped.box, (void *) eleven);
	/* The thread's first call is another matter. */
	wrong += LFI_INVOKE(stepped.box, &stepped.ctx, seven, int, (void)) != 7;
	sigaction(SIGUSR1, &action, NULL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return 100;
	__asm__ volatile("int3" : : "a"(stepped.box->base), "c"(stepped.engine->stubs.code));
	result = LFI_INVOKE(stepped.box, &stepped.ctx, first, int, (void *, lfiptr), cb, then);
	wrong += result != 42 || lfi_errno() != LFI_OK;
	wrong += lfi_ctx_regs(stepped.ctx)->rsp != stepped.stack || entered < 100 || refused < 100;
	return wrong;
}

/* Wait for a trap. False when the child has ended instead. */
static bool
trapped(pid_t pid, int *status)
{
	return waitpid(pid, status, 0) == pid && WIFSTOPPED(*status) && WSTOPSIG(*status) == SIGTRAP;
}

static bool
step(pid_t pid, struct user_regs_struct *regs, int *status)
{
	return ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0 && trapped(pid, status) &&
	    ptrace(PTRACE_GETREGS, pid, NULL, regs) == 0;
}

/* Send the signal here, and come back to where the thread was. */
static bool
interrupt_here(pid_t pid, const struct user_regs_struct *here, int *status)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_CONT, pid, NULL, (void *) (uintptr_t) SIGUSR1) < 0 || !trapped(pid, status))
		return false;
	do {
		if (!step(pid, &regs, status))
			return false;
	} while (regs.rip != here->rip || regs.rsp != here->rsp);
	return true;
}

static void
signals_may_come_at_every_instruction(void **state)
{
	struct user_regs_struct regs;
	uint64_t base, stubs;
	int status = 0, sent = 0;
	pid_t pid;

	if (THREAD_SANITIZER) {
		print_message("skipped: ThreadSanitizer delivers signals later, and none of its own code may be interrupted\n");
		return;
	}
	pid = fork();
	if (pid == 0)
		_exit(traced_child());
	if (!trapped(pid, &status)) {
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 100);
		print_message("skipped: ptrace(2) is forbidden here\n");
		return;
	}
	assert_int_equal(ptrace(PTRACE_GETREGS, pid, NULL, &regs), 0);
	base = regs.rax;
	stubs = regs.rcx;
	while (step(pid, &regs, &status)) {
		if (regs.rip - base >= BOX_SIZE && regs.rip - stubs >= PAGE && !in_entry(regs.rip))
			continue;
		sent++;
		if (!interrupt_here(pid, &regs, &status))
			break;
	}
	if (!WIFEXITED(status))
		kill(pid, SIGKILL);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(sent > 300);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_that_nothing_serves_leave_no_host_pointer),
		cmocka_unit_test(calls_that_make_system_calls_do_not_eat_the_stack),
		cmocka_unit_test(upper_halves_of_a_callbacks_result_stay_out),
		cmocka_unit_test(the_first_x87_code_starts_with_the_default_control_word),
		cmocka_unit_test(a_context_does_not_show_where_the_heap_is),
		cmocka_unit_test(signals_may_come_at_every_instruction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
