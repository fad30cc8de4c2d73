/* SPDX-License-Identifier: MIT */
/*
 * Interrupts, deadlines and CPU limits: what is to end ends with its error, what is not goes on, wherever the thread is.
 */
#include "core_test.h"
#include "sanitizers.h"

#include <asm/prctl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

#include "box.h"
#include "os/os.h"

/* ThreadSanitizer keeps the tests' signals back while a thread is in the sandbox. */
enum { SIGNALS_COME = !THREAD_SANITIZER };

/* The C library has them on the stack of each thread, more than the watchdog's is long. */
static _Thread_local volatile char thread_locals[256 * 1024];

#define LONG_NS ((uint64_t) 3600 * 1000000000)
#define SHORT_NS ((uint64_t) 2 * 1000000)

/* Sandboxed functions; they end where the next begins. */
extern const uint8_t in_loop[], in_syscall[], in_call_then_jump[], in_seven[], in_spin[], in_x87[], in_end[];
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
	/* void (uint32_t *flag): stores 1, then loops for ever with everything in disorder */
	"in_loop:\n"
	"	movl $1, %gs:(%edi)\n"
	"	std\n"
	"	movl $1, %ebx; movl %ebx, %ebp; movl %ebx, %r12d; movl %ebx, %r13d\n"
	"1:	incq %rax\n"
	"	jmp 1b\n"
	"	.balign 32\n"
	/* int (void): what the system call returns */
	"in_syscall:\n"
	"	.bundle_lock\n"
	"	leaq 1f(%rip), %r11; jmpq *-8(%r14)\n"
	"	.bundle_unlock\n"
	"1:	sandboxed_return\n"
	/* int (void *callback, void *then, x): calls one with x, goes on with the other */
	"in_call_then_jump:\n"
	"	movq %rsi, %rbx\n"
	"	movq %rdi, %rax\n"
	"	movq %rdx, %rdi\n"
	"	.skip 15, 0x90\n" /* the call ends its bundle */
	"	.bundle_lock\n"
	"	andl $-32, %eax; addq %r14, %rax; callq *%rax\n"
	"	.bundle_unlock\n"
	"	.bundle_lock\n"
	"	andl $-32, %ebx; addq %r14, %rbx; jmpq *%rbx\n"
	"	.bundle_unlock\n"
	"	.balign 32\n"
	/* int (void): 7 */
	"in_seven:\n"
	"	movl $7, %eax\n"
	"	sandboxed_return\n"
	/* void (void): loops for ever */
	"in_spin:\n"
	"1:	incq %rax\n"
	"	jmp 1b\n"
	"	.balign 32\n"
	/* never run: the box's code uses x87 */
	"in_x87:\n"
	"	fldz\n"
	"	.balign 32\n"
	"in_end:\n"
	".bundle_align_mode 0\n"
	".popsection\n");

#define LOAD_IN(box, from, to) load_bytes(box, from, (size_t) ((to) - (from)))

/*
 * int host_keeps(void *trampoline): calls it, which is a function in the sandbox of lfi_invoke_info with no more
 * arguments than `flag`; its result, or -1000 when the registers that a function keeps are not kept, -1001 when the
 * state that the host relies on is another.
 */
int host_keeps(void *trampoline, uint64_t a, uint64_t b, uint64_t c);
__asm__(".pushsection .text\n"
	"host_keeps:\n"
	"	pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n"
	"	subq $24, %rsp\n"
	"	stmxcsr (%rsp)\n"
	"	fnstcw 4(%rsp)\n"
	"	movq %rdi, %rax; movq %rsi, %rdi; movq %rdx, %rsi; movq %rcx, %rdx\n"
	"	movl $0x1001, %ebx; movl $0x1002, %ebp; movl $0x1003, %r12d; movl $0x1004, %r13d; movl $0x1005, %r14d\n"
	"	movq %rsp, %r15\n"
	"	callq *%rax\n"
	"	cmpq %rsp, %r15; jne 8f\n"
	"	cmpq $0x1001, %rbx; jne 8f\n"
	"	cmpq $0x1002, %rbp; jne 8f\n"
	"	cmpq $0x1003, %r12; jne 8f\n"
	"	cmpq $0x1004, %r13; jne 8f\n"
	"	cmpq $0x1005, %r14; jne 8f\n"
	"	stmxcsr 8(%rsp); movl 8(%rsp), %ecx; xorl (%rsp), %ecx; andl $~63, %ecx; jnz 9f\n"
	"	fnstcw 12(%rsp); movzwl 12(%rsp), %ecx; cmpw 4(%rsp), %cx; jne 9f\n"
	"	fnstsw 12(%rsp); testw $0x3800, 12(%rsp); jnz 9f\n"
	"	pushfq; popq %rcx; testl $0x400, %ecx; jnz 9f\n"
	"7:	addq $24, %rsp\n"
	"	popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx\n"
	"	ret\n"
	"8:	movq %r15, %rsp; movl $-1000, %eax; jmp 7b\n"
	"9:	cld; movl $-1001, %eax; jmp 7b\n"
	".popsection\n");

static struct Fixture
loaded(void)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	LOAD_IN(f.box, in_x87, in_end);
	return f;
}

static int
invoke_raw(struct LFIBox *box, struct LFIContext **ctx, lfiptr fn, uint64_t a, uint64_t b, uint64_t c)
{
	lfi_invoke_info.box = box;
	lfi_invoke_info.ctx = ctx;
	lfi_invoke_info.target = fn;
	return host_keeps(lfi_trampoline_addr, a, b, c);
}

/* A call that is to end with an error, and then one that works. */
static void
ends_with(struct Fixture *f, lfiptr fn, uint64_t a, uint64_t b, uint64_t c, int expected)
{
	lfiptr seven = LOAD_IN(f->box, in_seven, in_spin);
	lfiptr sp = lfi_ctx_regs(f->ctx)->rsp;

	assert_int_equal(invoke_raw(f->box, &f->ctx, fn, a, b, c), 0);
	assert_error(expected);
	assert_int_equal(lfi_ctx_regs(f->ctx)->rsp, sp);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(invoke_raw(f->box, &f->ctx, seven, 0, 0, 0), 7);
		assert_int_equal(lfi_errno(), LFI_OK);
	}
}

/* ---- Interrupters ---- */

static void
nap(long us)
{
	struct timespec time = {us / 1000000, us % 1000000 * 1000};

	nanosleep(&time, NULL);
}

/* Waits until the sandbox has set the flag, or the host one; then interrupts the box, once: another could hit the next
 * call. */
struct Interrupter {
	pthread_t thread;
	struct Fixture *f;
	_Atomic int *flag;
	int result;
};

static void *
interrupter(void *arg)
{
	struct Interrupter *i = arg;

	while (!atomic_load(i->flag))
		sched_yield();
	nap(1000);
	i->result = lfi_box_interrupt(i->f->box);
	return NULL;
}

static _Atomic int *
box_flag(struct Fixture *f)
{
	_Atomic int *flag = lfi_box_ptr(f->box, f->buffer, sizeof *flag);

	atomic_store(flag, 0);
	return flag;
}

static void
interrupter_start(struct Interrupter *i, struct Fixture *f, _Atomic int *flag)
{
	*i = (struct Interrupter) {.f = f, .flag = flag};
	assert_int_equal(pthread_create(&i->thread, NULL, interrupter, i), 0);
}

static void
interrupter_join(struct Interrupter *i)
{
	pthread_join(i->thread, NULL);
	assert_int_equal(i->result, 0);
}

/* ---- Loops ---- */

static void
a_loop_is_interrupted_by_another_thread(void **state)
{
	struct Fixture f = loaded();
	lfiptr loop = LOAD_IN(f.box, in_loop, in_syscall);
	struct Interrupter i;

	for (int round = 0; round < 20; round++) {
		interrupter_start(&i, &f, box_flag(&f));
		ends_with(&f, loop, f.buffer, 0, 0, LFI_ERR_INTERRUPTED);
		interrupter_join(&i);
	}
	drop(&f);
}

static void
a_run_is_interrupted(void **state)
{
	struct Fixture f = loaded();
	lfiptr loop = LOAD_IN(f.box, in_loop, in_syscall);
	struct Interrupter i;

	interrupter_start(&i, &f, box_flag(&f));
	lfi_ctx_regs(f.ctx)->rdi = f.buffer;
	assert_int_equal(lfi_ctx_run(f.ctx, loop), -1);
	assert_error(LFI_ERR_INTERRUPTED);
	interrupter_join(&i);
	drop(&f);
}

static struct Fixture *alarmed;
static timer_t alarm_timer;
static _Atomic int alarms;

/* Interrupts once. The alarms that come while a slow handler runs are handled on top of the next one. */
static void
on_alarm(int sig)
{
	const struct itimerspec never = {{0, 0}, {0, 0}};

	if (!alarmed || alarms > 0 || !*(_Atomic int *) lfi_box_ptr(alarmed->box, alarmed->buffer, 4))
		return;
	timer_settime(alarm_timer, 0, &never, NULL);
	atomic_fetch_add(&alarms, lfi_box_interrupt(alarmed->box) < 0 ? 1000 : 1);
}

static void
a_loop_is_interrupted_by_a_signal_handler_on_its_thread(void **state)
{
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_ONSTACK | SA_RESTART}, old;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	const struct itimerspec often = {{0, 1000000}, {0, 1000000}};
	struct Fixture f = loaded();
	lfiptr loop = LOAD_IN(f.box, in_loop, in_syscall);

	/* Once with the signal of the interrupt let in while the handler runs, once without. */
	for (int round = 0; round < 4; round++) {
		if (round % 2)
			sigfillset(&action.sa_mask);
		else
			sigemptyset(&action.sa_mask);
		box_flag(&f);
		alarmed = &f;
		alarms = 0;
		sigaction(SIGALRM, &action, &old);
		assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &alarm_timer), 0);
		assert_int_equal(timer_settime(alarm_timer, 0, &often, NULL), 0);
		assert_int_equal(invoke_raw(f.box, &f.ctx, loop, f.buffer, 0, 0), 0);
		assert_error(LFI_ERR_INTERRUPTED);
		timer_delete(alarm_timer);
		alarmed = NULL;
		sigaction(SIGALRM, &old, NULL);
		assert_int_equal(alarms, 1);
	}
	drop(&f);
}

static void
a_loop_ends_at_its_deadline(void **state)
{
	struct Fixture f = loaded();
	lfiptr loop = LOAD_IN(f.box, in_loop, in_syscall);
	struct timespec before, after;

	for (int round = 0; round < 5; round++) {
		clock_gettime(CLOCK_MONOTONIC, &before);
		assert_done(lfi_ctx_deadline(f.ctx, SHORT_NS));
		ends_with(&f, loop, f.buffer, 0, 0, LFI_ERR_DEADLINE);
		clock_gettime(CLOCK_MONOTONIC, &after);
		assert_true((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec >= (long) SHORT_NS);
	}
	drop(&f);
}

static void
deadlines_are_moved_and_taken_back(void **state)
{
	struct Fixture f = loaded();
	lfiptr seven = LOAD_IN(f.box, in_seven, in_spin), loop = LOAD_IN(f.box, in_loop, in_syscall);

	/* Taken back before it passes, and after. */
	assert_done(lfi_ctx_deadline(f.ctx, SHORT_NS));
	assert_done(lfi_ctx_deadline(f.ctx, 0));
	nap(5000);
	assert_int_equal(invoke_raw(f.box, &f.ctx, seven, 0, 0, 0), 7);
	assert_done(lfi_ctx_deadline(f.ctx, SHORT_NS));
	while (!atomic_load(&f.ctx->attention))
		sched_yield();
	nap(3000); /* the watchdog is done with it */
	assert_done(lfi_ctx_deadline(f.ctx, 0));
	assert_int_equal(invoke_raw(f.box, &f.ctx, seven, 0, 0, 0), 7);
	/* Put off after it has passed. */
	assert_done(lfi_ctx_deadline(f.ctx, SHORT_NS));
	while (!atomic_load(&f.ctx->attention))
		sched_yield();
	nap(3000); /* the watchdog is done with it */
	assert_done(lfi_ctx_deadline(f.ctx, LONG_NS));
	assert_int_equal(invoke_raw(f.box, &f.ctx, seven, 0, 0, 0), 7);
	/* The watchdog sleeps for a later one. */
	assert_done(lfi_ctx_deadline(f.ctx, LONG_NS));
	nap(1000);
	assert_done(lfi_ctx_deadline(f.ctx, SHORT_NS));
	ends_with(&f, loop, f.buffer, 0, 0, LFI_ERR_DEADLINE);
	/* Passed already. */
	for (int i = 0; i < 100; i++) {
		assert_done(lfi_ctx_deadline_at(f.ctx, 1));
		assert_int_equal(invoke_raw(f.box, &f.ctx, seven, 0, 0, 0), 0);
		assert_error(LFI_ERR_DEADLINE);
	}
	assert_int_equal(invoke_raw(f.box, &f.ctx, seven, 0, 0, 0), 7);
	/* Far beyond what the clock has. */
	assert_done(lfi_ctx_deadline(f.ctx, UINT64_MAX));
	assert_int_equal(invoke_raw(f.box, &f.ctx, seven, 0, 0, 0), 7);
	assert_int_equal(lfi_errno(), LFI_OK);
	drop(&f);
}

static void
a_deadline_is_for_one_call(void **state)
{
	struct Fixture f = loaded();
	lfiptr seven = LOAD_IN(f.box, in_seven, in_spin), loop = LOAD_IN(f.box, in_loop, in_syscall);
	_Atomic int *flag = box_flag(&f);
	struct Interrupter i;

	/* The next call is in the middle of its work when the deadline of the one before passes. */
	for (int round = 0; round < 5; round++) {
		atomic_store(flag, 0);
		assert_done(lfi_ctx_deadline(f.ctx, SHORT_NS / 8));
		if (invoke_raw(f.box, &f.ctx, seven, 0, 0, 0) == 7)
			assert_int_equal(lfi_errno(), LFI_OK);
		else
			assert_error(LFI_ERR_DEADLINE);
		interrupter_start(&i, &f, flag);
		assert_int_equal(invoke_raw(f.box, &f.ctx, loop, f.buffer, 0, 0), 0);
		assert_error(LFI_ERR_INTERRUPTED);
		interrupter_join(&i);
	}
	drop(&f);
}

static void
a_deadline_that_calls_share_hits_the_one_that_is_pending(void **state)
{
	struct Fixture f = loaded();
	lfiptr seven = LOAD_IN(f.box, in_seven, in_spin);
	int done = 0;

	for (int round = 0; round < 200; round++) {
		uint64_t when = os_now() + 100000;

		for (;;) {
			assert_done(lfi_ctx_deadline_at(f.ctx, when));
			if (invoke_raw(f.box, &f.ctx, seven, 0, 0, 0) != 7)
				break;
			done++;
			assert_true(os_now() < when + 3600000000000);
		}
		assert_error(LFI_ERR_DEADLINE);
		assert_true(os_now() >= when);
	}
	assert_true(done > 0);
	drop(&f);
}

/* ---- Tokens ---- */

struct Racer {
	pthread_t thread;
	struct LFIContext *ctx;
	_Atomic uint64_t token; /* 0: none */
	_Atomic bool used, stop;
	uint64_t hits, misses, wrong;
};

static void *
racer(void *arg)
{
	struct Racer *r = arg;
	uint64_t token, seed = 88172645463325252;

	while (!atomic_load(&r->stop)) {
		token = atomic_load(&r->token);
		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		for (volatile int i = 0; i < (int) (seed % 64); i++)
			continue;
		if (!token || seed % 4)
			continue;
		if (lfi_ctx_interrupt(r->ctx, token) == 0) {
			r->hits++;
		} else {
			r->misses++;
			r->wrong += lfi_errno() != LFI_ERR_NOTFOUND;
		}
	}
	return NULL;
}

/* Some microseconds of host code in the middle of a call. */
static void
spinning(struct LFIContext *ctx)
{
	for (volatile int i = 0; i < 2000; i++)
		continue;
	lfi_ctx_regs(ctx)->rax = 7;
}

/* Of 100,000 calls, every second one has its token given away before it begins. The others must all be done. */
static void
a_token_hits_its_call_and_no_later_one(void **state)
{
	struct Fixture f = loaded();
	lfiptr seven = LOAD_IN(f.box, in_seven, in_spin);
	lfiptr call = LOAD_IN(f.box, in_syscall, in_call_then_jump);
	struct Racer r = {.ctx = f.ctx};
	int done = 0, ended = 0;

	lfi_sys_handler(f.engine, spinning);
	assert_int_equal(pthread_create(&r.thread, NULL, racer, &r), 0);
	for (int i = 0; i < 100000; i++) {
		bool given = i % 2;
		int result;

		if (given)
			atomic_store(&r.token, lfi_ctx_token(f.ctx));
		result = LFI_INVOKE(f.box, &f.ctx, i % 8 < 2 ? call : seven, int, (void));
		if (result == 7 && lfi_errno() == LFI_OK) {
			done++;
			continue;
		}
		assert_int_equal(result, 0);
		assert_error(LFI_ERR_INTERRUPTED);
		assert_true(given);
		ended++;
	}
	atomic_store(&r.stop, true);
	pthread_join(r.thread, NULL);
	assert_int_equal(r.wrong, 0);
	assert_int_equal(done + ended, 100000);
	assert_true(done >= 50000);
	if (!ended)
		print_message("no call was hit\n");
	/* What is left of it all does not keep the context. */
	assert_int_equal(atomic_load(&f.ctx->attention), 0);
	drop(&f);
}

static void
a_token_waits_for_its_call(void **state)
{
	struct Fixture f = loaded();
	lfiptr seven = LOAD_IN(f.box, in_seven, in_spin);
	uint64_t token = lfi_ctx_token(f.ctx);

	assert_true(token != 0);
	assert_done(lfi_ctx_interrupt(f.ctx, token));
	assert_done(lfi_ctx_interrupt(f.ctx, token));
	ends_with(&f, seven, 0, 0, 0, LFI_ERR_INTERRUPTED);
	assert_true(lfi_ctx_token(f.ctx) == token + 4);
	for (uint64_t wrong = 0; wrong < 8; wrong++) {
		if (token + wrong == lfi_ctx_token(f.ctx))
			continue;
		assert_int_equal(lfi_ctx_interrupt(f.ctx, token + wrong), -1);
		assert_error(LFI_ERR_NOTFOUND);
	}
	assert_int_equal(invoke_raw(f.box, &f.ctx, seven, 0, 0, 0), 7);
	/* A box with nobody inside has nothing to interrupt. */
	assert_done(lfi_box_interrupt(f.box));
	assert_int_equal(invoke_raw(f.box, &f.ctx, seven, 0, 0, 0), 7);
	drop(&f);
}

/* The deadline has passed first, so it would be what ends the entry. */
static void
an_interrupt_outlives_a_deadline_that_is_taken_back(void **state)
{
	struct Fixture f = loaded();
	lfiptr seven = LOAD_IN(f.box, in_seven, in_spin);

	assert_done(lfi_ctx_deadline_at(f.ctx, 1));
	assert_done(lfi_ctx_interrupt(f.ctx, lfi_ctx_token(f.ctx)));
	assert_done(lfi_ctx_deadline(f.ctx, 0));
	ends_with(&f, seven, 0, 0, 0, LFI_ERR_INTERRUPTED);
	/* What came after the interrupt changes nothing either. */
	assert_done(lfi_ctx_interrupt(f.ctx, lfi_ctx_token(f.ctx)));
	assert_done(lfi_ctx_deadline_at(f.ctx, 1));
	ends_with(&f, seven, 0, 0, 0, LFI_ERR_INTERRUPTED);
	drop(&f);
}

static void
null_handles_are_errors(void **state)
{
	assert_int_equal(lfi_box_interrupt(NULL), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_ctx_interrupt(NULL, 1), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_ctx_deadline(NULL, 1), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_ctx_deadline_at(NULL, 1), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_ctx_token(NULL), 0);
	assert_false(lfi_ctx_interrupted(NULL));
}

/* ---- Host code in between ---- */

static struct Fixture *calling, *other;
static lfiptr inner;
static int inner_error, inner_result;
static bool was_interrupted;
static _Atomic int host_flag;

/* Is interrupted while the host's code runs, which is not cut short, and cannot go on in the sandbox. */
static int
interrupts_itself(void)
{
	lfi_box_interrupt(calling->box);
	was_interrupted = lfi_ctx_interrupted(calling->ctx);
	return 5;
}

static void
an_interrupt_in_a_host_function_ends_its_call(void **state)
{
	struct Fixture f = loaded();
	lfiptr p = LOAD_IN(f.box, in_call_then_jump, in_seven), seven = LOAD_IN(f.box, in_seven, in_spin);
	void *cb = lfi_box_register_cb(f.box, (void *) interrupts_itself);

	calling = &f;
	ends_with(&f, p, (uint64_t) cb, seven, 0, LFI_ERR_INTERRUPTED);
	assert_true(was_interrupted);
	assert_false(lfi_ctx_interrupted(f.ctx));
	drop(&f);
}

static int
calls_inner(void)
{
	struct Fixture *f = other ? other : calling;

	inner_result = LFI_INVOKE(f->box, &f->ctx, inner, int, (lfiptr), f->buffer);
	inner_error = lfi_errno();
	return 0;
}

static void
outer_entries_end_with_the_inner_one(void **state)
{
	struct Fixture f = loaded();
	lfiptr p = LOAD_IN(f.box, in_call_then_jump, in_seven), seven = LOAD_IN(f.box, in_seven, in_spin);
	void *cb = lfi_box_register_cb(f.box, (void *) calls_inner);
	struct Interrupter i;

	calling = &f;
	other = NULL;
	inner = LOAD_IN(f.box, in_loop, in_syscall);
	interrupter_start(&i, &f, box_flag(&f));
	ends_with(&f, p, (uint64_t) cb, seven, 0, LFI_ERR_INTERRUPTED);
	interrupter_join(&i);
	assert_int_equal(inner_result, 0);
	assert_int_equal(inner_error, LFI_ERR_INTERRUPTED);
	drop(&f);
}

/* f calls g through the host; g loops. */
static void
nest(struct Fixture *f, struct Fixture *g, struct Fixture *interrupted, int expected_inner, int expected)
{
	lfiptr p = LOAD_IN(f->box, in_call_then_jump, in_seven), seven = LOAD_IN(f->box, in_seven, in_spin);
	void *cb = lfi_box_register_cb(f->box, (void *) calls_inner);
	struct Interrupter i;
	int result;

	calling = f;
	other = g;
	inner = LOAD_IN(g->box, in_loop, in_syscall);
	interrupter_start(&i, interrupted, box_flag(g));
	result = invoke_raw(f->box, &f->ctx, p, (uint64_t) cb, seven, 0);
	assert_int_equal(result, expected == LFI_OK ? 7 : 0);
	assert_int_equal(lfi_errno(), expected);
	interrupter_join(&i);
	assert_int_equal(inner_error, expected_inner);
	assert_int_equal(atomic_load(&f->ctx->attention) | atomic_load(&g->ctx->attention), 0);
	other = NULL;
}

static void
what_nests_above_ends_and_what_lies_below_goes_on(void **state)
{
	struct Fixture f = loaded(), g = fixture_of(f.engine);

	nest(&f, &g, &f, LFI_ERR_INTERRUPTED, LFI_ERR_INTERRUPTED);
	nest(&f, &g, &g, LFI_ERR_INTERRUPTED, LFI_OK);
	lfi_box_free(g.box);
	drop(&f);
}

/* The box below is interrupted before the host goes into the next one. */
static int
interrupts_below_and_calls(void)
{
	lfi_box_interrupt(calling->box);
	return calls_inner();
}

static void
what_is_entered_from_an_interrupted_entry_ends_at_once(void **state)
{
	struct Fixture f = loaded(), g = fixture_of(f.engine);
	lfiptr p = LOAD_IN(f.box, in_call_then_jump, in_seven), seven = LOAD_IN(f.box, in_seven, in_spin);
	void *cb = lfi_box_register_cb(f.box, (void *) interrupts_below_and_calls);

	calling = &f;
	other = &g;
	inner = LOAD_IN(g.box, in_loop, in_syscall);
	box_flag(&g);
	ends_with(&f, p, (uint64_t) cb, seven, 0, LFI_ERR_INTERRUPTED);
	assert_int_equal(inner_error, LFI_ERR_INTERRUPTED);
	assert_int_equal(atomic_load(box_flag(&g)), 0);
	other = NULL;
	lfi_box_free(g.box);
	drop(&f);
}

/* ---- System calls that sleep ---- */

static int sleep_pipe[2];
static _Atomic int woken;
static int64_t slept;

/* Reads from a pipe that nobody writes to. */
static void
sleeping(struct LFIContext *ctx)
{
	char byte;

	atomic_store(&host_flag, 1);
	do
		slept = ctx_blocking(ctx, SYS_read, sleep_pipe[0], (long) &byte, 1, 0, 0, 0);
	while (slept == -EINTR && !ctx_interrupted(ctx) && ++woken);
	lfi_ctx_regs(ctx)->rax = (uint64_t) slept;
}

static void
a_system_call_that_sleeps_is_interrupted(void **state)
{
	struct Fixture f = loaded();
	lfiptr call = LOAD_IN(f.box, in_syscall, in_call_then_jump);
	struct Interrupter i;

	lfi_sys_handler(f.engine, sleeping);
	assert_int_equal(pipe(sleep_pipe), 0);
	for (int round = 0; round < 10; round++) {
		atomic_store(&host_flag, 0);
		interrupter_start(&i, &f, &host_flag);
		ends_with(&f, call, 0, 0, 0, LFI_ERR_INTERRUPTED);
		interrupter_join(&i);
		assert_int_equal(slept, -EINTR);
	}
	assert_done(lfi_ctx_deadline(f.ctx, SHORT_NS));
	ends_with(&f, call, 0, 0, 0, LFI_ERR_DEADLINE);
	/* Before it begins. */
	assert_done(lfi_ctx_interrupt(f.ctx, lfi_ctx_token(f.ctx)));
	ends_with(&f, call, 0, 0, 0, LFI_ERR_INTERRUPTED);
	/* When there is something to read, that is what it returns. */
	assert_int_equal(write(sleep_pipe[1], "x", 1), 1);
	assert_int_equal(invoke_raw(f.box, &f.ctx, call, 0, 0, 0), 1);
	close(sleep_pipe[0]);
	close(sleep_pipe[1]);
	drop(&f);
}

/* The signal has come and gone when the system call is made. */
static void
interrupted_then_sleeping(struct LFIContext *ctx)
{
	lfi_box_interrupt(lfi_ctx_box(ctx));
	sleeping(ctx);
}

static void
a_system_call_that_would_sleep_is_not_made_when_interrupted(void **state)
{
	struct Fixture f = loaded();
	lfiptr call = LOAD_IN(f.box, in_syscall, in_call_then_jump);

	lfi_sys_handler(f.engine, interrupted_then_sleeping);
	assert_int_equal(pipe(sleep_pipe), 0);
	assert_int_equal(write(sleep_pipe[1], "x", 1), 1);
	ends_with(&f, call, 0, 0, 0, LFI_ERR_INTERRUPTED);
	assert_int_equal(slept, -EINTR);
	/* The byte is still there. */
	lfi_sys_handler(f.engine, sleeping);
	assert_int_equal(invoke_raw(f.box, &f.ctx, call, 0, 0, 0), 1);
	close(sleep_pipe[0]);
	close(sleep_pipe[1]);
	drop(&f);
}

static int
kick_signal(void)
{
	struct sigaction action;

	for (int sig = SIGRTMAX; sig >= SIGRTMIN; sig--)
		if (sigaction(sig, NULL, &action) == 0 && action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN)
			return sig;
	return 0;
}

static bool kick_blocked[2];

static bool
is_kick_blocked(void)
{
	sigset_t set;

	pthread_sigmask(SIG_SETMASK, NULL, &set);
	return sigismember(&set, kick_signal()) == 1;
}

/* The signal comes close to arch_blocking, and looks like one on top of a handler. */
static void
interrupted_close_by(struct LFIContext *ctx)
{
	atomic_store(&ctx->interrupt.sleeping, true);
	lfi_box_interrupt(lfi_ctx_box(ctx));
	kick_blocked[0] = is_kick_blocked();
	sleeping(ctx);
	kick_blocked[1] = is_kick_blocked();
}

/* The thread would not be interrupted any more. */
static void
a_signal_that_was_put_off_is_let_in_when_the_system_call_is_over(void **state)
{
	struct Fixture f = loaded();
	lfiptr call = LOAD_IN(f.box, in_syscall, in_call_then_jump);

	lfi_sys_handler(f.engine, interrupted_close_by);
	assert_int_equal(pipe(sleep_pipe), 0);
	ends_with(&f, call, 0, 0, 0, LFI_ERR_INTERRUPTED);
	assert_true(kick_blocked[0]);
	assert_false(kick_blocked[1]);
	assert_int_equal(slept, -EINTR);
	close(sleep_pipe[0]);
	close(sleep_pipe[1]);
	drop(&f);
}

static void
on_usr1_interrupt(int sig)
{
	atomic_fetch_add(&alarms, 1);
	if (calling)
		lfi_box_interrupt(calling->box);
}

static void *
sends_usr1(void *arg)
{
	pthread_t *to = arg;

	while (!atomic_load(&host_flag))
		sched_yield();
	nap(2000);
	pthread_kill(*to, SIGUSR1);
	return NULL;
}

/* The handler has interrupted the call itself: the kernel restarts it, unless the interrupt is put off until then. */
static void
a_system_call_that_sleeps_is_interrupted_from_a_handler_on_top(void **state)
{
	struct sigaction action = {.sa_handler = on_usr1_interrupt, .sa_flags = SA_ONSTACK | SA_RESTART}, old;
	struct Fixture f = loaded();
	lfiptr call = LOAD_IN(f.box, in_syscall, in_call_then_jump);
	pthread_t self = pthread_self(), thread;

	lfi_sys_handler(f.engine, sleeping);
	assert_int_equal(pipe(sleep_pipe), 0);
	sigaction(SIGUSR1, &action, &old);
	calling = &f;
	for (int round = 0; round < 5; round++) {
		atomic_store(&host_flag, 0);
		assert_int_equal(pthread_create(&thread, NULL, sends_usr1, &self), 0);
		ends_with(&f, call, 0, 0, 0, LFI_ERR_INTERRUPTED);
		pthread_join(thread, NULL);
	}
	sigaction(SIGUSR1, &old, NULL);
	close(sleep_pipe[0]);
	close(sleep_pipe[1]);
	drop(&f);
}

/* ---- Signals ---- */

static int foreign;

static void
on_foreign(int sig, siginfo_t *info, void *uc)
{
	foreign += info->si_value.sival_int == 4711 || info->si_code == SI_TKILL;
}

static void
the_same_signal_from_others_reaches_who_had_it_before(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct sigaction action = {.sa_sigaction = on_foreign, .sa_flags = SA_SIGINFO | SA_ONSTACK}, old;
	lfiptr loop;
	int sig = kick_signal();
	struct Interrupter i;

	if (!sig) {
		print_message("skipped: ThreadSanitizer keeps signals back while a thread is in the sandbox\n");
		drop(&f);
		return;
	}
	drop(&f);
	/* An engine that a failed test has left keeps the signal: without it, the tests that follow would loop for ever. */
	assert_int_equal(sigaction(sig, NULL, &old), 0);
	assert_ptr_equal(old.sa_handler, SIG_DFL);
	assert_int_equal(sigaction(sig, &action, NULL), 0);
	f = loaded();
	foreign = 0;
	assert_int_equal(sigqueue(getpid(), sig, (union sigval) {.sival_int = 4711}), 0);
	assert_int_equal(pthread_kill(pthread_self(), sig), 0);
	assert_int_equal(foreign, 2);
	loop = LOAD_IN(f.box, in_loop, in_syscall);
	interrupter_start(&i, &f, box_flag(&f));
	ends_with(&f, loop, f.buffer, 0, 0, LFI_ERR_INTERRUPTED);
	interrupter_join(&i);
	assert_int_equal(foreign, 2);
	drop(&f);
	/* And is put back. */
	assert_int_equal(sigaction(sig, NULL, &action), 0);
	assert_ptr_equal(action.sa_sigaction, on_foreign);
	signal(sig, SIG_DFL);
}

static void *
loops(void *arg)
{
	struct Fixture *f = arg;
	struct LFIContext *ctx = lfi_ctx_new(f->box, NULL);
	lfiptr loop = LOAD_IN(f->box, in_loop, in_syscall), flag = map(f->box, PAGE);
	intptr_t error;

	lfi_ctx_regs(ctx)->sp = map(f->box, STACK_BYTES) + STACK_BYTES;
	atomic_fetch_add(&host_flag, 1);
	LFI_INVOKE(f->box, &ctx, loop, void, (lfiptr), flag);
	error = lfi_errno();
	lfi_ctx_free(ctx);
	return (void *) error;
}

/* Who gets that far late would miss the interrupt, which is for those that have entered. Nobody frees a context. */
static void
wait_for_loops(struct LFIBox *box, int n)
{
	int in;

	do {
		nap(1000);
		in = 0;
		for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next)
			in += atomic_load(&ctx->state) == STATE_SANDBOX;
	} while (in < n);
}

static void
all_threads_in_a_box_end_and_those_elsewhere_go_on(void **state)
{
	struct Fixture f = loaded(), g = fixture_of(f.engine);
	pthread_t threads[8], elsewhere;
	void *error;

	atomic_store(&host_flag, 0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, loops, &f), 0);
	assert_int_equal(pthread_create(&elsewhere, NULL, loops, &g), 0);
	while (atomic_load(&host_flag) < 9)
		nap(1000);
	wait_for_loops(f.box, 8);
	wait_for_loops(g.box, 1);
	assert_done(lfi_box_interrupt(f.box));
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], &error);
		assert_int_equal((intptr_t) error, LFI_ERR_INTERRUPTED);
	}
	assert_int_equal(pthread_tryjoin_np(elsewhere, &error), EBUSY);
	assert_done(lfi_box_interrupt(g.box));
	pthread_join(elsewhere, &error);
	assert_int_equal((intptr_t) error, LFI_ERR_INTERRUPTED);
	lfi_box_free(g.box);
	drop(&f);
}

/* ---- At every instruction of the way in and out ---- */

extern const char arch_entry_begin[], border_end[] __asm__("copy_guarded");
extern const char arch_blocking_text[] __asm__("arch_blocking");
extern const char arch_trampoline_text[] __asm__("arch_trampoline"), arch_fast_entered[], arch_fast_end[];
enum { BLOCKING_BYTES = 64 };

static struct Fixture stepped;

/* On top of whatever the thread does. */
static void
on_step(int sig)
{
	lfi_box_interrupt(stepped.box);
}

/* Looks for a byte in a pipe that always has one. */
static void
polling(struct LFIContext *ctx)
{
	char byte = 0;
	int64_t result = ctx_blocking(ctx, SYS_write, sleep_pipe[1], (long) &byte, 1, 0, 0, 0);

	if (result == 1)
		result += ctx_blocking(ctx, SYS_read, sleep_pipe[0], (long) &byte, 1, 0, 0, 0);
	lfi_ctx_regs(ctx)->rax = result == 2 ? 42 : 0;
}

static void
drain(void)
{
	char bytes[64];

	fcntl(sleep_pipe[0], F_SETFL, O_NONBLOCK);
	while (read(sleep_pipe[0], bytes, sizeof bytes) > 0)
		continue;
	fcntl(sleep_pipe[0], F_SETFL, 0);
}

/* The host's gs base: set before each call, and anew in the middle of it. */
static uint64_t host_gs = 0x123456780000;

static void
change_gs(void)
{
	host_gs += 4096;
	syscall(SYS_arch_prctl, ARCH_SET_GS, host_gs);
}

static bool
gs_is_the_hosts(void)
{
	uint64_t base;

	syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
	return base == host_gs;
}

static int
eleven(void)
{
	change_gs();
	return 11;
}

/*
 * Makes calls with a callback and a system call in them, a trap before and after each. They all do or are interrupted,
 * and those in between, which nobody interrupts, do. When `looping`, they would never do. Ends when the tracer stores in
 * `stop`.
 */
static volatile long stop;
static int interrupted, completed, kicks;

static int
stepped_child(bool looping)
{
	struct sigaction action = {.sa_handler = on_step, .sa_flags = SA_ONSTACK | SA_RESTART};
	lfiptr first, then, loop, seven;
	void *cb;
	int result, wrong = 0;

	stepped = loaded();
	first = LOAD_IN(stepped.box, in_call_then_jump, in_seven);
	then = LOAD_IN(stepped.box, in_syscall, in_call_then_jump);
	loop = LOAD_IN(stepped.box, in_spin, in_x87);
	seven = LOAD_IN(stepped.box, in_seven, in_spin);
	lfi_sys_handler(stepped.engine, polling);
	cb = lfi_box_register_cb(stepped.box, (void *) eleven);
	wrong += pipe(sleep_pipe) != 0;
	wrong += LFI_INVOKE(stepped.box, &stepped.ctx, first, int, (void *, lfiptr), cb, then) != 42;
	if (looping)
		then = loop;
	sigaction(SIGUSR1, &action, NULL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return 100;
	for (;;) {
		__asm__ volatile("int3" : : "a"(stepped.box->base), "c"(stepped.engine->stubs.code), "d"(&stop), "b"(looping ? loop : 0));
		if (stop)
			break;
		change_gs();
		result = LFI_INVOKE(stepped.box, &stepped.ctx, first, int, (void *, lfiptr), cb, then);
		wrong += !gs_is_the_hosts();
		if (result == 42 && lfi_errno() == LFI_OK)
			completed++;
		else if (result == 0 && lfi_errno() == LFI_ERR_INTERRUPTED)
			interrupted++;
		else
			wrong++;
		__asm__ volatile("int3");
		wrong += invoke_raw(stepped.box, &stepped.ctx, seven, 0, 0, 0) != 7;
		wrong += lfi_ctx_regs(stepped.ctx)->rsp != stepped.stack || stepped.ctx->attention;
		/* A byte that was written and not read. */
		if (result == 0)
			drain();
	}
	/* What is interrupted on its way in or within is not done. */
	return wrong + (interrupted < 100) + (looping && completed);
}

static bool
trapped(pid_t pid, int *status)
{
	return waitpid(pid, status, 0) == pid && WIFSTOPPED(*status) && WSTOPSIG(*status) == SIGTRAP;
}

/* Whether the trap was a breakpoint, and not a step. */
static bool
at_breakpoint(pid_t pid)
{
	siginfo_t info;

	return ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) == 0 && info.si_code == SI_KERNEL;
}

/* Whether `pc` is on the way in or out. An interrupt that is to end a loop comes when the entry has begun. */
static bool
at_border(uint64_t pc, bool begun)
{
	if (begun && (pc - (uint64_t) arch_trampoline_text < (uint64_t) (arch_fast_entered - arch_trampoline_text) ||
			 pc - (uint64_t) arch_fast_end < (uint64_t) (border_end - arch_fast_end)))
		return false;
	return pc - (uint64_t) arch_entry_begin < (uint64_t) (border_end - arch_entry_begin) ||
	    pc - (uint64_t) arch_blocking_text < BLOCKING_BYTES;
}

/* Steps over `count` instructions at the border. False when the child is at its breakpoint, or in `loop`, before. */
static bool
walk(pid_t pid, uint64_t base, uint64_t stubs, uint64_t loop, int count, int *status)
{
	struct user_regs_struct regs;

	for (;;) {
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0 || !trapped(pid, status) || at_breakpoint(pid) ||
		    ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0 || (loop && regs.rip - loop < PAGE))
			return false;
		if (regs.rip - base >= BOX_SIZE && regs.rip - stubs >= PAGE && !at_border(regs.rip, loop != 0))
			continue;
		if (count-- == 0)
			return true;
	}
}

/* To the next breakpoint, with this signal and those that follow from it. */
static bool
resume(pid_t pid, int sig, int *status)
{
	do {
		if (ptrace(PTRACE_CONT, pid, NULL, (void *) (uintptr_t) sig) < 0)
			return false;
		if (trapped(pid, status))
			return true;
		sig = WIFSTOPPED(*status) ? WSTOPSIG(*status) : 0;
	} while (sig >= SIGRTMIN && ++kicks);
	return false;
}

/* To the breakpoint after this call, and the one before the next. */
static bool
interrupt_here(pid_t pid, int *status)
{
	return resume(pid, SIGUSR1, status) && resume(pid, 0, status);
}

static void
interrupt_everywhere(bool looping, int at_least)
{
	struct user_regs_struct regs;
	int status = 0, sent = 0;
	pid_t pid = fork();

	kicks = 0;
	if (pid == 0)
		_exit(stepped_child(looping));
	if (!trapped(pid, &status)) {
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 100);
		print_message("skipped: ptrace(2) is forbidden here\n");
		return;
	}
	assert_int_equal(ptrace(PTRACE_GETREGS, pid, NULL, &regs), 0);
	while (walk(pid, regs.rax, regs.rcx, regs.rbx, sent, &status)) {
		sent++;
		if (!interrupt_here(pid, &status))
			break;
	}
	if (looping && WIFSTOPPED(status))
		interrupt_here(pid, &status);
	if (WIFSTOPPED(status)) {
		ptrace(PTRACE_POKEDATA, pid, (void *) regs.rdx, (void *) 1);
		while (resume(pid, 0, &status))
			continue;
	}
	if (!WIFEXITED(status))
		kill(pid, SIGKILL);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(sent > at_least && kicks >= sent);
}

static void
interrupts_may_come_at_every_instruction(void **state)
{
	interrupt_everywhere(false, 300);
}

static void
interrupts_are_not_lost_at_any_instruction(void **state)
{
	interrupt_everywhere(true, 150);
}

/* ---- The watchdog ---- */

/* Threads of that name. */
static int
watchdogs(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *task;
	int n = 0;

	assert_non_null(tasks);
	while ((task = readdir(tasks))) {
		char path[300], name[16] = "";
		FILE *file;

		snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
		file = task->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (!file)
			continue;
		n += fscanf(file, "%15s", name) == 1 && strcmp(name, "lfi-watchdog") == 0;
		fclose(file);
	}
	closedir(tasks);
	return n;
}

/* It names itself when it runs, and is joined a moment before the kernel has let go of it. */
static void
wait_for_watchdogs(int n)
{
	for (int i = 0; i < 60000 && watchdogs() != n; i++)
		nap(1000);
	assert_int_equal(watchdogs(), n);
}

static void
the_watchdog_lives_from_the_first_deadline_to_the_last_engine(void **state)
{
	struct Fixture f = loaded(), g = loaded();

	wait_for_watchdogs(0);
	assert_done(lfi_ctx_deadline(f.ctx, LONG_NS));
	wait_for_watchdogs(1);
	assert_done(lfi_ctx_deadline(g.ctx, LONG_NS));
	assert_int_equal(watchdogs(), 1);
	drop(&f);
	assert_int_equal(watchdogs(), 1);
	drop(&g);
	wait_for_watchdogs(0);
}

/* ---- fork(2) ---- */

static void
a_child_has_deadlines_and_interrupts_of_its_own(void **state)
{
	struct Fixture f = loaded();
	lfiptr loop = LOAD_IN(f.box, in_loop, in_syscall), seven = LOAD_IN(f.box, in_seven, in_spin);
	struct Interrupter i;
	int status;
	pid_t pid;

	/* The watchdog is there, and waits for something. */
	assert_done(lfi_ctx_deadline(f.ctx, LONG_NS));
	pid = fork();
	assert_true(pid >= 0);
	for (int round = 0; round < 3; round++) {
		assert_done(lfi_ctx_deadline(f.ctx, SHORT_NS));
		assert_int_equal(invoke_raw(f.box, &f.ctx, loop, f.buffer, 0, 0), 0);
		assert_error(LFI_ERR_DEADLINE);
		interrupter_start(&i, &f, box_flag(&f));
		assert_int_equal(invoke_raw(f.box, &f.ctx, loop, f.buffer, 0, 0), 0);
		assert_error(LFI_ERR_INTERRUPTED);
		interrupter_join(&i);
		assert_int_equal(invoke_raw(f.box, &f.ctx, seven, 0, 0, 0), 7);
	}
	if (pid == 0) {
		drop(&f);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	drop(&f);
}

/* ---- CPU time ---- */

static void
cpu_time_is_limited_and_counted(void **state)
{
	struct Fixture f = loaded();
	lfiptr loop = LOAD_IN(f.box, in_loop, in_syscall), seven = LOAD_IN(f.box, in_seven, in_spin);
	const uint64_t limit = 20 * 1000000;
	struct LFIContext *ctx;

	assert_int_equal(box_cpu_used(f.box), 0);
	assert_done(box_cpu_limit(f.box, limit));
	assert_int_equal(invoke_raw(f.box, &f.ctx, seven, 0, 0, 0), 7);
	assert_true(box_cpu_used(f.box) > 0 && box_cpu_used(f.box) < limit);
	assert_int_equal(invoke_raw(f.box, &f.ctx, loop, f.buffer, 0, 0), 0);
	assert_error(LFI_ERR_LIMIT);
	assert_non_null(strstr(lfi_errmsg(), "20000000"));
	assert_true(box_cpu_used(f.box) >= limit);
	/* There is none left, for a context that is made now either. */
	ctx = lfi_ctx_new(f.box, NULL);
	lfi_ctx_regs(ctx)->sp = map(f.box, STACK_BYTES) + STACK_BYTES;
	assert_int_equal(invoke_raw(f.box, &ctx, seven, 0, 0, 0), 0);
	assert_error(LFI_ERR_LIMIT);
	assert_int_equal(invoke_raw(f.box, &f.ctx, seven, 0, 0, 0), 0);
	assert_error(LFI_ERR_LIMIT);
	assert_done(box_cpu_limit(f.box, UINT64_MAX));
	assert_int_equal(invoke_raw(f.box, &f.ctx, seven, 0, 0, 0), 7);
	assert_done(box_cpu_limit(f.box, box_cpu_used(f.box) + limit));
	assert_int_equal(invoke_raw(f.box, &f.ctx, loop, f.buffer, 0, 0), 0);
	assert_error(LFI_ERR_LIMIT);
	drop(&f);
}

/* LFI_INVOKE enters by itself when a context has been entered before; what a box counts must not escape that way. */
static void
cpu_time_is_limited_on_the_quick_way_too(void **state)
{
	struct Fixture f = loaded();
	lfiptr loop = LOAD_IN(f.box, in_loop, in_syscall), seven = LOAD_IN(f.box, in_seven, in_spin);

	for (int i = 0; i < 3; i++)
		assert_int_equal(LFI_INVOKE(f.box, &f.ctx, seven, int, (void)), 7);
	assert_done(box_cpu_limit(f.box, 5 * 1000000));
	for (int i = 0; i < 3; i++)
		assert_int_equal(LFI_INVOKE(f.box, &f.ctx, seven, int, (void)), 7);
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, loop, int, (lfiptr), f.buffer), 0);
	assert_error(LFI_ERR_LIMIT);
	drop(&f);
}

/* A thread in the place of one that has ended has its number here, but not the kernel's. */
struct Successor {
	struct Fixture *f;
	struct LFIContext *other; /* the first entry of a thread is slow: this one's */
	lfiptr seven, fn;
	uintptr_t id;
	int error;
};

static void *
succeed(void *arg)
{
	struct Successor *s = arg;

	s->id = thread_id();
	LFI_INVOKE(s->f->box, &s->other, s->seven, int, (void));
	LFI_INVOKE(s->f->box, &s->f->ctx, s->fn, int, (lfiptr), s->f->buffer);
	s->error = lfi_errno();
	return NULL;
}

static void
a_thread_in_the_place_of_another_is_interrupted(void **state)
{
	struct Fixture f = loaded();
	lfiptr loop = LOAD_IN(f.box, in_loop, in_syscall), seven = LOAD_IN(f.box, in_seven, in_spin);
	struct LFIContext *before = lfi_ctx_new(f.box, NULL);
	struct Successor first = {&f, before, seven, seven, 0, -1}, second = {&f, before, seven, loop, 0, -1};
	pthread_t thread;

	lfi_ctx_regs(before)->sp = map(f.box, STACK_BYTES) + STACK_BYTES;
	assert_int_equal(pthread_create(&thread, NULL, succeed, &first), 0);
	pthread_join(thread, NULL);
	assert_int_equal(first.error, LFI_OK);
	assert_int_equal(pthread_create(&thread, NULL, succeed, &second), 0);
	while (atomic_load(&f.ctx->state) != STATE_SANDBOX)
		usleep(100);
	alarm(60);
	assert_done(lfi_box_interrupt(f.box));
	pthread_join(thread, NULL);
	alarm(0);
	assert_int_equal(second.error, LFI_ERR_INTERRUPTED);
	if (second.id != first.id)
		print_message("the second thread lies elsewhere: the quick way was not looked at\n");
	drop(&f);
}

static void
needs_signals(void **state)
{
	print_message("skipped: ThreadSanitizer keeps signals back while a thread is in the sandbox\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_loop_is_interrupted_by_another_thread),
		cmocka_unit_test(a_run_is_interrupted),
		cmocka_unit_test(SIGNALS_COME ? a_loop_is_interrupted_by_a_signal_handler_on_its_thread : needs_signals),
		cmocka_unit_test(a_loop_ends_at_its_deadline),
		cmocka_unit_test(deadlines_are_moved_and_taken_back),
		cmocka_unit_test(a_deadline_is_for_one_call),
		cmocka_unit_test(a_deadline_that_calls_share_hits_the_one_that_is_pending),
		cmocka_unit_test(a_token_hits_its_call_and_no_later_one),
		cmocka_unit_test(a_token_waits_for_its_call),
		cmocka_unit_test(an_interrupt_outlives_a_deadline_that_is_taken_back),
		cmocka_unit_test(null_handles_are_errors),
		cmocka_unit_test(an_interrupt_in_a_host_function_ends_its_call),
		cmocka_unit_test(outer_entries_end_with_the_inner_one),
		cmocka_unit_test(what_nests_above_ends_and_what_lies_below_goes_on),
		cmocka_unit_test(what_is_entered_from_an_interrupted_entry_ends_at_once),
		cmocka_unit_test(a_system_call_that_sleeps_is_interrupted),
		cmocka_unit_test(a_system_call_that_would_sleep_is_not_made_when_interrupted),
		cmocka_unit_test(SIGNALS_COME ? a_signal_that_was_put_off_is_let_in_when_the_system_call_is_over : needs_signals),
		cmocka_unit_test(SIGNALS_COME ? a_system_call_that_sleeps_is_interrupted_from_a_handler_on_top : needs_signals),
		cmocka_unit_test(the_same_signal_from_others_reaches_who_had_it_before),
		cmocka_unit_test(all_threads_in_a_box_end_and_those_elsewhere_go_on),
		cmocka_unit_test(SIGNALS_COME ? interrupts_may_come_at_every_instruction : needs_signals),
		cmocka_unit_test(SIGNALS_COME ? interrupts_are_not_lost_at_any_instruction : needs_signals),
		cmocka_unit_test(SIGNALS_COME ? a_child_has_deadlines_and_interrupts_of_its_own : needs_signals),
		cmocka_unit_test(the_watchdog_lives_from_the_first_deadline_to_the_last_engine),
		cmocka_unit_test(cpu_time_is_limited_and_counted),
		cmocka_unit_test(cpu_time_is_limited_on_the_quick_way_too),
		cmocka_unit_test(a_thread_in_the_place_of_another_is_interrupted),
	};

	thread_locals[0] = 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
