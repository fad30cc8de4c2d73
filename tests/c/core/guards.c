/* SPDX-License-Identifier: MIT */
/*
 * What stands between the host and sandboxed code for a moment only, seen by standing there: the linker leads the
 * calls that entry.S and call.c make to functions of this file first. Each test goes through every way in or out that
 * there is, and compares what the moment must be like.
 */
#include "core_test.h"

#include <asm/prctl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "box.h"

/* Sandboxed functions, not verified; they end where the next begins. */
extern const uint8_t fn_callback[], fn_syscall[], fn_wait_ints[], fn_wait_doubles[], fn_std_trap[], fn_std_return[],
    fn_ints[], fn_doubles[], fn_dump[], fn_dump_callback[], fn_dump_syscall[], fn_x87_pending[], fn_end[];
__asm__(".pushsection .text\n"
	".balign 32\n"
	/* uint64_t (void *callback, uint64_t x): what the callback returns of x, plus 1 */
	"fn_callback:\n"
	"	movq %rdi, %rax\n"
	"	movq %rsi, %rdi\n"
	"	leaq 1f(%rip), %r11\n"
	"	pushq %r11\n"
	"	jmpq *%rax\n"
	"	.balign 32\n"
	"1:	incq %rax\n"
	"	ret\n"
	"	.balign 32\n"
	/* uint64_t (void): what the system call returns, plus 1 */
	"fn_syscall:\n"
	"	leaq 1f(%rip), %r11\n"
	"	jmpq *-8(%r14)\n"
	"1:	incq %rax\n"
	"	ret\n"
	"	.balign 32\n"
	/* struct { uint64_t a, b; } (uint32_t *flags): stores in the first, waits for the second; 0x1111, 0x2222 */
	"fn_wait_ints:\n"
	"	movl $1, (%rdi)\n"
	"1:	pause\n"
	"	cmpl $0, 4(%rdi)\n"
	"	je 1b\n"
	"	movl $0x1111, %eax\n"
	"	movl $0x2222, %edx\n"
	"	ret\n"
	"	.balign 32\n"
	/* struct { double a, b; } (uint32_t *flags): likewise; 3, 4 */
	"fn_wait_doubles:\n"
	"	movl $1, (%rdi)\n"
	"1:	pause\n"
	"	cmpl $0, 4(%rdi)\n"
	"	je 1b\n"
	"	movl $3, %eax\n"
	"	cvtsi2sd %eax, %xmm0\n"
	"	movl $4, %eax\n"
	"	cvtsi2sd %eax, %xmm1\n"
	"	ret\n"
	"	.balign 32\n"
	"fn_std_trap:\n"
	"	std\n"
	"	ud2\n"
	"	.balign 32\n"
	"fn_std_return:\n"
	"	std\n"
	"	ret\n"
	"	.balign 32\n"
	/* struct { uint64_t a, b; } (...): 0x1111, 0x2222 */
	"fn_ints:\n"
	"	movl $0x1111, %eax\n"
	"	movl $0x2222, %edx\n"
	"	ret\n"
	"	.balign 32\n"
	/* struct { double a, b; } (...): 3, 4 */
	"fn_doubles:\n"
	"	movl $3, %eax\n"
	"	cvtsi2sd %eax, %xmm0\n"
	"	movl $4, %eax\n"
	"	cvtsi2sd %eax, %xmm1\n"
	"	ret\n"
	"	.balign 32\n"
	/* Stores the 15 registers that are not rsp, in the order of struct Dump. */
	".macro dump_at_rbx\n"
	"	movq %rax, (%rbx); movq %rcx, 8(%rbx); movq %rdx, 16(%rbx); movq %rsi, 24(%rbx); movq %rdi, 32(%rbx)\n"
	"	movq %r8, 40(%rbx); movq %r9, 48(%rbx); movq %r10, 56(%rbx); movq %r11, 64(%rbx); movq %r12, 72(%rbx)\n"
	"	movq %r13, 80(%rbx); movq %rbp, 88(%rbx)\n"
	"	.irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	movups %xmm\\i, 96+16*\\i(%rbx)\n"
	"	.endr\n"
	".endm\n"
	/* void (struct Dump *buffer, ...) */
	"fn_dump:\n"
	"	movq %rdi, %rbx\n"
	"	dump_at_rbx\n"
	"	ret\n"
	"	.balign 32\n"
	/* void (struct Dump *buffer, void *callback): after the callback */
	"fn_dump_callback:\n"
	"	movq %rdi, %rbx\n"
	"	leaq 1f(%rip), %rax\n"
	"	pushq %rax\n"
	"	jmpq *%rsi\n"
	"	.balign 32\n"
	"1:	dump_at_rbx\n"
	"	ret\n"
	"	.balign 32\n"
	/* void (struct Dump *buffer): after a system call */
	"fn_dump_syscall:\n"
	"	movq %rdi, %rbx\n"
	"	leaq 1f(%rip), %r11\n"
	"	jmpq *-8(%r14)\n"
	"1:	dump_at_rbx\n"
	"	ret\n"
	"	.balign 32\n"
	/* int (void): 0, with an exception pending and something on the x87 stack */
	"fn_x87_pending:\n"
	"	fld1; fldz; fdivrp\n"
	"	xorl %eax, %eax\n"
	"	ret\n"
	"	.balign 32\n"
	"fn_end:\n"
	".popsection\n");

/* ThreadSanitizer keeps the tests' signals back while a thread is in the sandbox. */
#if defined(__SANITIZE_THREAD__)
#define SIGNALS_COME false
#elif defined(__has_feature)
#define SIGNALS_COME !__has_feature(thread_sanitizer)
#else
#define SIGNALS_COME true
#endif

#define LOAD_FN(box, from, to) load_bytes(box, from, (size_t) ((to) - (from)))
#define UNVERIFIED ((struct LFIOptions) {.no_verify = true})
#define HOST_GS 0x123456789000

struct Dump {
	uint64_t rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11, r12, r13, rbp, xmm[16][2];
};

static bool
direction(void)
{
	uint64_t flags;

	__asm__ volatile("pushfq; popq %0" : "=r"(flags));
	return flags & 1 << 10;
}

/* ---- What is called instead ---- */

/*
 * As the functions themselves, but with the secret in each register that a function may change, and flags that say the
 * opposite of the result.
 */
__asm__(".pushsection .text\n"
	".macro dirty name\n"
	".globl __wrap_\\name\n"
	"__wrap_\\name:\n"
	"	subq $8, %rsp\n"
	"	call seen_\\name\n"
	"	addq $8, %rsp\n"
	"	movabsq $0x5ec2e75ec2e75ec2, %rcx\n"
	"	.irp r, rdx,rsi,rdi,r8,r9,r10,r11\n"
	"	movq %rcx, %\\r\n"
	"	.endr\n"
	"	.irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	movq %rcx, %xmm\\i; punpcklqdq %xmm\\i, %xmm\\i\n"
	"	.endr\n"
	"	cmpl $1, %eax\n"
	"	ret\n"
	".endm\n"
	"	dirty ctx_gate_wait\n"
	"	dirty ctx_syscall\n"
	"	dirty ctx_host_call\n"
	"	dirty ctx_invoke\n"
	"	dirty frame_pop\n"
	"	dirty interrupt_left\n"
	".popsection\n");

int __real_ctx_gate_wait(struct LFIContext *ctx);
int __real_ctx_syscall(struct LFIContext *ctx);
int __real_ctx_host_call(struct HostFn *fn, struct HostCall *call, struct LFIContext *ctx);
int __real_ctx_invoke(struct Frame *frame, uint64_t *stack);
void __real_frame_pop(struct LFIContext *ctx, struct Frame *frame);
void __real_interrupt_left(struct LFIContext *ctx);
int seen_ctx_gate_wait(struct LFIContext *ctx);
int seen_ctx_syscall(struct LFIContext *ctx);
int seen_ctx_host_call(struct HostFn *fn, struct HostCall *call, struct LFIContext *ctx);
int seen_ctx_invoke(struct Frame *frame, uint64_t *stack);
void seen_frame_pop(struct LFIContext *ctx, struct Frame *frame);
void seen_interrupt_left(struct LFIContext *ctx);

bool __real_os_barrier(void);
bool __wrap_os_barrier(void);

static bool no_barrier; /* membarrier(2) fails */

bool
__wrap_os_barrier(void)
{
	return !no_barrier && __real_os_barrier();
}

static bool opening; /* who waits at the gate opens it */
static int waits, pops, lefts;
static const char *wrong;

/* Host code that entry.S or what follows it has called. */
static void
look(struct LFIContext *ctx, uint32_t state)
{
	if (atomic_load(&ctx->state) != state)
		wrong = "the state";
	else if (direction())
		wrong = "the direction flag";
	else if ((uint64_t) __builtin_frame_address(0) % 16)
		wrong = "the stack's alignment";
}

int
seen_ctx_gate_wait(struct LFIContext *ctx)
{
	if (!opening)
		return __real_ctx_gate_wait(ctx);
	look(ctx, STATE_HOST);
	waits++;
	box_gate_open(ctx->box);
	return 0;
}

int
seen_ctx_syscall(struct LFIContext *ctx)
{
	look(ctx, STATE_HOST);
	return __real_ctx_syscall(ctx);
}

/* What the quick way has done before it came to a closed gate is undone: as for a call that has not begun. */
int
seen_ctx_invoke(struct Frame *frame, uint64_t *stack)
{
	if (opening && lfi_cur_ctx())
		wrong = "the thread is in a context";
	return __real_ctx_invoke(frame, stack);
}

int
seen_ctx_host_call(struct HostFn *fn, struct HostCall *call, struct LFIContext *ctx)
{
	look(ctx, STATE_HOST);
	return __real_ctx_host_call(fn, call, ctx);
}

void
seen_frame_pop(struct LFIContext *ctx, struct Frame *frame)
{
	look(ctx, STATE_HOST);
	pops++;
	__real_frame_pop(ctx, frame);
}

/* The context is left: it is nobody's but for `quick` or the owner. */
void
seen_interrupt_left(struct LFIContext *ctx)
{
	look(ctx, STATE_OUT);
	if (atomic_load(&ctx->depth) || ctx->frame || lfi_cur_ctx())
		wrong = "the context is entered";
	if (!atomic_load(&ctx->quick) && !atomic_load(&ctx->owner))
		wrong = "others may enter";
	lefts++;
	__real_interrupt_left(ctx);
}

static void
nothing_wrong(void)
{
	if (wrong)
		print_error("%s\n", wrong);
	assert_null(wrong);
}

/* ---- Ways in ---- */

enum Way { WAY_QUICK, WAY_CALL, WAY_RUN, WAY_SYSCALL, WAY_CALLBACK, WAY_TYPED, WAYS };

/* What the host does before sandboxed code goes on. */
static void (*before)(struct Fixture *f);
static struct Fixture *now;

static uint64_t
callback(uint64_t x)
{
	before(now);
	return x;
}

static void
typed(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	before(now);
	ret->u = args[0].u;
}

/* The first call is to go on; the one that a run makes ends it. */
static bool running;

static void
handler(struct LFIContext *ctx)
{
	if (running)
		lfi_ctx_exit(ctx, 42);
	else
		before(now);
	lfi_ctx_regs(ctx)->rax = 41;
}

struct Ways {
	struct Fixture f;
	lfiptr add, sum10, callback, syscall;
	void *cb, *typed;
};

static struct Ways
ways(void)
{
	struct Ways w = {.f = fixture(UNVERIFIED)};

	lfi_sys_handler(w.f.engine, handler);
	w.add = LOAD(w.f.box, code_add);
	w.sum10 = LOAD(w.f.box, code_sum10);
	w.callback = LOAD_FN(w.f.box, fn_callback, fn_syscall);
	w.syscall = LOAD_FN(w.f.box, fn_syscall, fn_wait_ints);
	w.cb = lfi_box_register_cb(w.f.box, (void *) callback);
	w.typed = lfi_box_register_fn(w.f.box, "l(l)", typed, NULL);
	for (int i = 0; i < 3; i++)
		assert_int_equal(LFI_INVOKE(w.f.box, &w.f.ctx, w.add, int, (int, int), 40, i), 40 + i);
	wrong = NULL;
	waits = pops = lefts = 0;
	return w;
}

/* The same result by each of them. */
static int
go(struct Ways *w, enum Way way)
{
	struct LFIContext *ctx = w->f.ctx;
	struct LFIBox *box = w->f.box;
	int result = 0;

	now = &w->f;
	switch (way) {
	case WAY_QUICK:
		before(now);
		return LFI_INVOKE(box, &ctx, w->add, int, (int, int), 40, 2);
	case WAY_CALL:
		before(now);
		return LFI_INVOKE(box, &ctx, w->sum10, int, (int, int, int, int, int, int, int, int, int, int), 1, 2, 3, 4, 5,
		    6, 7, 8, 9, -3);
	case WAY_RUN:
		before(now);
		running = true;
		result = lfi_ctx_run(ctx, w->syscall);
		running = false;
		lfi_ctx_regs(ctx)->sp = w->f.stack;
		return result;
	case WAY_SYSCALL:
		return LFI_INVOKE(box, &ctx, w->syscall, int, (void));
	case WAY_CALLBACK:
		return (int) LFI_INVOKE(box, &ctx, w->callback, long, (void *, long), w->cb, 41);
	default:
		return (int) LFI_INVOKE(box, &ctx, w->callback, long, (void *, long), w->typed, 41);
	}
}

static void
nothing(struct Fixture *f)
{
}

static void
close_gate(struct Fixture *f)
{
	atomic_store(&f->box->gate, 1);
}

static void
nobody_goes_in_through_a_closed_gate(void **state)
{
	struct Ways w = ways();

	for (int way = 0; way < WAYS; way++) {
		uint64_t calls = w.f.ctx->calls;

		before = nothing;
		assert_int_equal(go(&w, way), 42);
		assert_int_equal(w.f.ctx->calls, calls + (way != WAY_RUN));
		before = close_gate;
		opening = true;
		waits = 0;
		assert_int_equal(go(&w, way), 42);
		opening = false;
		if (waits != 1)
			print_error("way %d: %d waits\n", way, waits);
		assert_int_equal(waits, 1);
		nothing_wrong();
		/* As if nothing had been in the way. */
		assert_int_equal(w.f.ctx->calls, calls + 2 * (way != WAY_RUN));
		assert_int_equal(atomic_load(&w.f.ctx->depth), 0);
		assert_int_equal(atomic_load(&w.f.ctx->quick), 0);
		assert_int_equal(atomic_load(&w.f.ctx->state), STATE_OUT);
		assert_null(w.f.ctx->frame);
		assert_null(lfi_cur_ctx());
	}
	drop(&w.f);
}

static void
interrupt_next(struct Fixture *f)
{
	assert_done(lfi_ctx_interrupt(f->ctx, lfi_ctx_token(f->ctx)));
}

static void
nobody_goes_in_who_is_interrupted(void **state)
{
	struct Ways w = ways();

	for (int way = 0; way < WAYS; way++) {
		before = interrupt_next;
		go(&w, way);
		assert_error(LFI_ERR_INTERRUPTED);
		assert_int_equal(w.f.ctx->attention, 0);
		assert_null(lfi_cur_ctx());
		before = nothing;
		for (int i = 0; i < 2; i++) {
			assert_int_equal(go(&w, way), 42);
			assert_int_equal(lfi_errno(), LFI_OK);
		}
	}
	nothing_wrong();
	drop(&w.f);
}

/* No register holds what the host's functions left there, whoever was called on the way in. */
static void
nothing_is_left_in_registers_on_any_way_in(void **state)
{
	struct Ways w = ways();
	lfiptr dump = LOAD_FN(w.f.box, fn_dump, fn_dump_callback);
	lfiptr dump_callback = LOAD_FN(w.f.box, fn_dump_callback, fn_dump_syscall);
	lfiptr dump_syscall = LOAD_FN(w.f.box, fn_dump_syscall, fn_x87_pending);
	struct Dump d;

	now = &w.f;
	for (int i = 0; i < 2 * WAYS; i++) {
		enum Way way = i % WAYS;

		/* With nothing in the way, and through the gate. */
		before = i < WAYS ? nothing : close_gate;
		opening = i >= WAYS;
		if (way == WAY_RUN)
			continue;
		if (way == WAY_QUICK || way == WAY_CALL)
			before(now);
		if (way == WAY_QUICK)
			LFI_INVOKE(w.f.box, &w.f.ctx, dump, void, (lfiptr, double), w.f.buffer, 0.0);
		else if (way == WAY_CALL)
			LFI_INVOKE(w.f.box, &w.f.ctx, dump, void, (lfiptr, int, int, int, int, int, int), w.f.buffer, 0, 0, 0,
			    0, 0, 0);
		else if (way == WAY_SYSCALL)
			LFI_INVOKE(w.f.box, &w.f.ctx, dump_syscall, void, (lfiptr), w.f.buffer);
		else
			LFI_INVOKE(w.f.box, &w.f.ctx, dump_callback, void, (lfiptr, void *), w.f.buffer,
			    way == WAY_TYPED ? w.typed : w.cb);
		opening = false;
		assert_int_equal(lfi_errno(), LFI_OK);
		peek(&w.f, &d, sizeof d);
		assert_int_equal(d.rdx, 0);
		assert_int_equal(d.rsi, 0);
		assert_int_equal(d.r8, 0);
		assert_int_equal(d.r9, 0);
		assert_int_equal(d.r10, 0);
		/* Where it goes on. */
		assert_true(way == WAY_SYSCALL ? d.rcx == d.r11 : d.rcx == 0);
		assert_true(d.r11 - w.f.box->base < BOX_SIZE);
		assert_int_equal(d.r12 | d.r13 | d.rbp, 0);
		for (int j = 0; j < 16; j++) {
			/* A plain callback may have a result there. */
			if (j > 0 || way != WAY_CALLBACK)
				assert_int_equal(d.xmm[j][0], 0);
			assert_int_equal(d.xmm[j][1], 0);
		}
	}
	nothing_wrong();
	drop(&w.f);
}

/* ---- Ways out ---- */

/* A frame that has ended is host code: a signal that comes then is none of the sandbox's. */
static void
what_follows_a_frame_is_host_code(void **state)
{
	struct Ways w = ways();
	lfiptr trap = LOAD_FN(w.f.box, fn_std_trap, fn_std_return), back = LOAD_FN(w.f.box, fn_std_return, fn_end);
	struct LFIContext *ctx = w.f.ctx;

	before = nothing;
	for (int i = 0; i < 3; i++) {
		/* Quick, and through the frame of arch_enter. */
		pops = 0;
		LFI_INVOKE(w.f.box, &ctx, trap, void, (void));
		assert_error(LFI_ERR_FAULT);
		LFI_INVOKE(w.f.box, &ctx, trap, void, (int, int, int, int, int, int, int), 1, 2, 3, 4, 5, 6, 7);
		assert_error(LFI_ERR_FAULT);
		LFI_INVOKE(w.f.box, &ctx, back, void, (int, int, int, int, int, int, int), 1, 2, 3, 4, 5, 6, 7);
		assert_int_equal(lfi_errno(), LFI_OK);
		assert_false(direction());
		assert_int_equal(pops, 3);
		LFI_INVOKE(w.f.box, &ctx, back, void, (void));
		assert_false(direction());
		assert_int_equal(pops, 3);
	}
	nothing_wrong();
	drop(&w.f);
}

struct Teller {
	struct LFIContext *ctx;
	_Atomic uint32_t *flags;
	bool exits;
};

/* As if an interrupt of the entry before had come late. */
static void *
tell_late(void *arg)
{
	struct Teller *t = arg;

	while (!atomic_load(&t->flags[0]))
		sched_yield();
	if (t->exits)
		lfi_ctx_exit(t->ctx, 3);
	else
		atomic_store(&t->ctx->attention, 1);
	atomic_store(&t->flags[1], 1);
	return NULL;
}

struct Ints {
	uint64_t a, b;
};

struct Doubles {
	double a, b;
};

static void
results_survive_an_attention_that_comes_late(void **state)
{
	struct Ways w = ways();
	lfiptr ints = LOAD_FN(w.f.box, fn_wait_ints, fn_wait_doubles);
	lfiptr doubles = LOAD_FN(w.f.box, fn_wait_doubles, fn_std_trap);
	struct Teller t = {w.f.ctx, lfi_box_ptr(w.f.box, w.f.buffer, 8), false};
	struct Ints i = {0, 0};
	struct Doubles d = {0, 0};
	pthread_t thread;

	for (int round = 0; round < 6; round++) {
		uint64_t serial = lfi_ctx_token(w.f.ctx);

		atomic_store(&t.flags[0], 0);
		atomic_store(&t.flags[1], 0);
		lefts = 0;
		assert_int_equal(pthread_create(&thread, NULL, tell_late, &t), 0);
		/* LFI_INVOKE itself has results of one register only. */
		lfi_invoke_info = (struct LFIInvokeInfo) {
		    w.f.box, &w.f.ctx, round % 2 ? ints : doubles, 0, LFI_INVOKE_COUNTED | 1, 0, 0};
		if (round % 2)
			i = ((struct Ints(*)(lfiptr)) lfi_trampoline_addr)(w.f.buffer);
		else
			d = ((struct Doubles(*)(lfiptr)) lfi_trampoline_addr)(w.f.buffer);
		assert_int_equal(lfi_errno(), LFI_OK);
		pthread_join(thread, NULL);
		if (round % 2) {
			assert_int_equal(i.a, 0x1111);
			assert_int_equal(i.b, 0x2222);
		} else {
			assert_true(d.a == 3 && d.b == 4);
		}
		assert_int_equal(lefts, 1);
		nothing_wrong();
		assert_int_equal(w.f.ctx->attention, 0);
		assert_int_equal(atomic_load(&w.f.ctx->quick), 0);
		assert_int_equal(lfi_ctx_token(w.f.ctx), serial + 1);
	}
	drop(&w.f);
}

/* As by a signal handler on top of sandboxed code: the call has returned before anybody looked. */
static void
an_exit_that_comes_late_is_not_for_the_next_call(void **state)
{
	struct Ways w = ways();
	lfiptr ints = LOAD_FN(w.f.box, fn_wait_ints, fn_wait_doubles);
	struct Teller t = {w.f.ctx, lfi_box_ptr(w.f.box, w.f.buffer, 8), true};
	pthread_t thread;

	before = nothing;
	for (int i = 0; i < 2; i++) {
		atomic_store(&t.flags[0], 0);
		atomic_store(&t.flags[1], 0);
		assert_int_equal(pthread_create(&thread, NULL, tell_late, &t), 0);
		assert_int_equal(LFI_INVOKE(w.f.box, &w.f.ctx, ints, int, (lfiptr), w.f.buffer), 0x1111);
		pthread_join(thread, NULL);
		assert_int_equal(go(&w, i ? WAY_TYPED : WAY_CALLBACK), 42);
		assert_int_equal(lfi_errno(), LFI_OK);
	}
	drop(&w.f);
}

/* What comes back in registers is the function's, whatever host code ran after it. */
static void
results_of_the_slow_way_come_back(void **state)
{
	struct Ways w = ways();
	lfiptr ints = LOAD_FN(w.f.box, fn_ints, fn_doubles), doubles = LOAD_FN(w.f.box, fn_doubles, fn_dump);

	for (int round = 0; round < 2; round++) {
		struct Ints i;
		struct Doubles d;

		/* A word on the stack: not quick. */
		lfi_invoke_info = (struct LFIInvokeInfo) {w.f.box, &w.f.ctx, ints, 8, LFI_INVOKE_COUNTED | 6, 0, 0};
		i = ((struct Ints(*)(long, long, long, long, long, long, long)) lfi_trampoline_addr)(1, 2, 3, 4, 5, 6, 7);
		assert_int_equal(lfi_errno(), LFI_OK);
		assert_int_equal(i.a, 0x1111);
		assert_int_equal(i.b, 0x2222);
		lfi_invoke_info = (struct LFIInvokeInfo) {w.f.box, &w.f.ctx, doubles, 8, LFI_INVOKE_COUNTED | 6, 0, 0};
		d = ((struct Doubles(*)(long, long, long, long, long, long, long)) lfi_trampoline_addr)(1, 2, 3, 4, 5, 6, 7);
		assert_int_equal(lfi_errno(), LFI_OK);
		assert_true(d.a == 3 && d.b == 4);
	}
	drop(&w.f);
}

/* Who sets box, context and target only, after a call that counted its registers, passes all of them. */
static void
a_count_of_registers_is_for_one_call(void **state)
{
	struct Ways w = ways();

	for (int i = 0; i < 3; i++) {
		assert_int_equal(LFI_INVOKE(w.f.box, &w.f.ctx, w.add, int, (int), 1), 1);
		lfi_invoke_info.box = w.f.box;
		lfi_invoke_info.ctx = &w.f.ctx;
		lfi_invoke_info.target = w.add;
		assert_int_equal(((int (*)(int, int)) lfi_trampoline_addr)(40, 2), 42);
	}
	drop(&w.f);
}

/* As a compiler of sandboxed code need not say how many vector registers a plain host function gets. */
static long
variadic(long n, ...)
{
	double sum = 0;
	va_list list;

	va_start(list, n);
	for (long i = 0; i < n; i++)
		sum += va_arg(list, double);
	va_end(list);
	return (long) sum;
}

static void
a_host_function_may_have_variable_arguments(void **state)
{
	struct Ways w = ways();
	void *cb = lfi_box_register_cb(w.f.box, (void *) variadic);

	for (int i = 0; i < 2; i++)
		assert_int_equal(LFI_INVOKE(w.f.box, &w.f.ctx, w.callback, long,
				     (void *, long, double, double, double, double, double, double, double, double), cb, 8, 1.0,
				     2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0),
		    256);
	drop(&w.f);
}

/* ---- x87 ---- */

static void
an_exception_that_waits_is_not_the_hosts(void **state)
{
	struct Ways w = ways();
	lfiptr pending = LOAD_FN(w.f.box, fn_x87_pending, fn_end);

	for (int i = 0; i < 4; i++) {
		uint16_t status;

		/* Nothing but the x87 state itself says so: the result is 0. */
		if (i % 2)
			LFI_INVOKE(w.f.box, &w.f.ctx, pending, int, (void));
		else
			LFI_INVOKE(w.f.box, &w.f.ctx, pending, int, (int, int, int, int, int, int, int), 0, 0, 0, 0, 0, 0, 0);
		__asm__ volatile("fnstsw %0; fninit" : "=m"(status));
		assert_int_equal(status, 0);
	}
	drop(&w.f);
}

/* The box has no code that can change it: neither does the way in. */
static void
the_control_word_of_the_host_stays_where_no_code_has_x87(void **state)
{
	static const uint16_t mine = 0x067f;
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr add = LOAD(f.box, code_add), sum10 = LOAD(f.box, code_sum10);

	for (int i = 0; i < 6; i++) {
		uint16_t fcw;

		__asm__ volatile("fldcw %0" : : "m"(mine));
		if (i % 3 == 0)
			LFI_INVOKE(f.box, &f.ctx, add, int, (int, int), 1, 2);
		else if (i % 3 == 1)
			/* A result that only x87 code can make. */
			LFI_INVOKE(f.box, &f.ctx, add, long double, (int, int), 1, 2);
		else
			LFI_INVOKE(f.box, &f.ctx, sum10, int, (int, int, int, int, int, int, int, int, int, int), 1, 2, 3, 4, 5,
			    6, 7, 8, 9, 10);
		__asm__ volatile("fnstcw %0; fninit" : "=m"(fcw));
		assert_int_equal(fcw, mine);
	}
	drop(&f);
}

/* ---- Who may go in ---- */

extern const char arch_fast_entered[];

/* A call that another thread's claim meets on its quick way. 0 when it has been refused without a trace. */
static int
claimed_child(void)
{
	struct Ways w = ways();
	int result;

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return 100;
	__asm__ volatile("int3" : : "a"(&w.f.ctx->biased), "c"(&w.f.ctx->owner));
	result = LFI_INVOKE(w.f.box, &w.f.ctx, w.add, int, (int, int), 40, 2);
	if (result != 0 || lfi_errno() != LFI_ERR_BUSY)
		return 1;
	return atomic_load(&w.f.ctx->depth) || atomic_load(&w.f.ctx->quick) ? 2 : 0;
}

/* I1 of ctx.c: the store, then the look. What rebias does comes in between. */
static void
who_is_no_longer_the_first_thread_sees_it_on_the_quick_way(void **state)
{
	struct user_regs_struct start, regs;
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(claimed_child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 100) {
		print_message("skipped: ptrace(2) is forbidden here\n");
		return;
	}
	assert_true(WIFSTOPPED(status));
	assert_int_equal(ptrace(PTRACE_GETREGS, pid, NULL, &start), 0);
	do {
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
			break;
		assert_int_equal(ptrace(PTRACE_GETREGS, pid, NULL, &regs), 0);
	} while (regs.rip != (uint64_t) arch_fast_entered);
	assert_true(WIFSTOPPED(status));
	ptrace(PTRACE_POKEDATA, pid, (void *) start.rax, (void *) 0);
	ptrace(PTRACE_POKEDATA, pid, (void *) start.rcx, (void *) 16);
	assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status))
		kill(pid, SIGKILL);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* What nests within an entry ends without giving the context away. */
static bool still_ours;

static void
nest(struct Fixture *f)
{
	lfiptr add = LOAD(f->box, code_add);
	struct LFIContext *ctx = f->ctx;

	still_ours = LFI_INVOKE(f->box, &ctx, add, int, (int, int), 1, 2) == 3 &&
	    (atomic_load(&ctx->quick) || atomic_load(&ctx->owner)) && atomic_load(&ctx->depth) == 1;
}

static void
a_nested_entry_leaves_the_context_with_its_thread(void **state)
{
	struct Ways w = ways();

	for (int way = WAY_SYSCALL; way < WAYS; way++) {
		before = nest;
		still_ours = false;
		assert_int_equal(go(&w, way), 42);
		assert_true(still_ours);
		assert_int_equal(atomic_load(&w.f.ctx->quick), 0);
		assert_int_equal(atomic_load(&w.f.ctx->owner), 0);
	}
	drop(&w.f);
}

/* ---- Signals ---- */

static _Atomic int signals_seen;
static pthread_t spinning;

static void
count_signal(int sig)
{
	atomic_fetch_add(&signals_seen, 1);
}

/* Sends a fault's signal while the sandbox's code waits, until the host's handler has had it. */
static void *
send_fault(void *arg)
{
	_Atomic uint32_t *flags = arg;

	while (!atomic_load(&flags[0]))
		sched_yield();
	pthread_kill(spinning, SIGSEGV);
	while (!atomic_load(&signals_seen) && atomic_load(&flags[0]) == 1)
		sched_yield();
	atomic_store(&flags[1], 1);
	return NULL;
}

static void
a_fault_that_somebody_sends_is_none_of_the_sandboxs(void **state)
{
	pthread_t thread;

	signal(SIGSEGV, count_signal);
	struct Ways w = ways();
	lfiptr ints = LOAD_FN(w.f.box, fn_wait_ints, fn_wait_doubles);
	_Atomic uint32_t *flags = lfi_box_ptr(w.f.box, w.f.buffer, 8);
	int result;

	spinning = pthread_self();
	atomic_store(&signals_seen, 0);
	assert_int_equal(pthread_create(&thread, NULL, send_fault, (void *) flags), 0);
	result = LFI_INVOKE(w.f.box, &w.f.ctx, ints, int, (lfiptr), w.f.buffer);
	atomic_store(&flags[0], 2);
	pthread_join(thread, NULL);
	assert_int_equal(result, 0x1111);
	assert_int_equal(lfi_errno(), LFI_OK);
	assert_int_equal(atomic_load(&signals_seen), 1);
	drop(&w.f);
	signal(SIGSEGV, SIG_DFL);
}

/* ---- Arguments of typed host functions ---- */

static void
sum_of_doubles(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	double sum = 0;

	for (int i = 1; i <= 8; i++)
		sum += args[i].d;
	ret->i = (int64_t) sum;
}

static void
a_typed_function_gets_all_vector_registers(void **state)
{
	struct Ways w = ways();
	void *at = lfi_box_register_fn(w.f.box, "l(ldddddddd)", sum_of_doubles, NULL);

	assert_int_equal(LFI_INVOKE(w.f.box, &w.f.ctx, w.callback, long,
			     (void *, long, double, double, double, double, double, double, double, double), at, 8, 1.0,
			     2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0),
	    256);
	drop(&w.f);
}

/* ---- Guarded accesses ---- */

/* The function with -1 in rax, which it may find there. */
int64_t with_dirty_rax(const void *fn, const void *a, uint64_t b);
__asm__(".pushsection .text\n"
	"with_dirty_rax:\n"
	"	movq %rdi, %rcx; movq %rsi, %rdi; movq %rdx, %rsi\n"
	"	movq $-1, %rax\n"
	"	jmpq *%rcx\n"
	".popsection\n");

extern const char arch_store64_text[] __asm__("arch_store64"), strnlen_guarded_text[] __asm__("strnlen_guarded");

static void
guarded_accesses_say_what_they_did(void **state)
{
	uint64_t word = 0;

	assert_int_equal((int) with_dirty_rax(arch_store64_text, &word, 5), 0);
	assert_int_equal(word, 5);
	assert_int_equal(with_dirty_rax(strnlen_guarded_text, "abc", 8), 3);
	assert_int_equal(with_dirty_rax(strnlen_guarded_text, "abc", 2), 2);
}

/* ---- Host functions that are taken back ---- */

static void *taken_back;

static void
takes_itself_back(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	struct HostFn *self = lfi_ctx_box(ctx)->host_fns;

	if (lfi_box_unregister_fn(lfi_ctx_box(ctx), taken_back) < 0)
		wrong = "it cannot be taken back";
	/* Its signature is read after it has returned. */
	if (lfi_ctx_box(ctx)->host_fns != self)
		wrong = "it was freed while it ran";
	ret->u = args[0].u;
}

static void
a_host_function_stays_until_nobody_can_be_in_it(void **state)
{
	struct Ways w = ways();
	void *other;

	assert_int_equal(lfi_box_unregister_fn(w.f.box, w.typed), 0);
	assert_null(w.f.box->host_fns);
	taken_back = lfi_box_register_fn(w.f.box, "l(l)", takes_itself_back, NULL);
	assert_int_equal(LFI_INVOKE(w.f.box, &w.f.ctx, w.callback, long, (void *, long), taken_back, 41), 42);
	nothing_wrong();
	assert_non_null(w.f.box->host_fns);
	/* Whether another thread has just found it in its entry is not known without a barrier. */
	other = lfi_box_register_fn(w.f.box, "l(l)", typed, NULL);
	no_barrier = true;
	assert_int_equal(lfi_box_unregister_fn(w.f.box, other), 0);
	no_barrier = false;
	assert_non_null(w.f.box->host_fns);
	/* The next time all go. */
	other = lfi_box_register_fn(w.f.box, "l(l)", typed, NULL);
	assert_int_equal(lfi_box_unregister_fn(w.f.box, other), 0);
	assert_null(w.f.box->host_fns);
	/* Those that are registered stay. */
	other = lfi_box_register_fn(w.f.box, "l(l)", typed, NULL);
	w.typed = lfi_box_register_fn(w.f.box, "l(l)", typed, NULL);
	assert_int_equal(lfi_box_unregister_fn(w.f.box, other), 0);
	before = nothing;
	assert_int_equal(go(&w, WAY_TYPED), 42);
	drop(&w.f);
}

/* ---- gs ---- */

static void
set_gs(uint64_t base)
{
	syscall(SYS_arch_prctl, ARCH_SET_GS, base);
}

static uint64_t
get_gs(void)
{
	uint64_t base;

	syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
	return base;
}

static uint64_t gs_next;

static void
change_gs(struct Fixture *f)
{
	set_gs(gs_next);
}

/* What counts is what host code had there last: not what it had when the frame began. */
static void
a_frame_gives_back_the_gs_of_its_last_way_in(void **state)
{
	struct Ways w = ways();

	for (int way = WAY_SYSCALL; way < WAYS; way++) {
		uint64_t base = w.f.box->base;
		/* None, ours as a call in between leaves it, and the host's other one. */
		const uint64_t next[] = {0, base, HOST_GS + 4096}, after[] = {base, base, HOST_GS + 4096};

		before = change_gs;
		for (int i = 0; i < 3; i++) {
			uint64_t gs;
			int result;

			/* That the base was left there is known. */
			set_gs(0);
			LFI_INVOKE(w.f.box, &w.f.ctx, w.add, int, (int, int), 1, 2);
			assert_int_equal(get_gs(), base);
			set_gs(HOST_GS);
			gs_next = next[i];
			result = go(&w, way);
			gs = get_gs();
			set_gs(0);
			assert_int_equal(result, 42);
			assert_int_equal(gs, after[i]);
		}
	}
	drop(&w.f);
}

static void
needs_signals(void **state)
{
	print_message("skipped: ThreadSanitizer\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_goes_in_through_a_closed_gate),
		cmocka_unit_test(nobody_goes_in_who_is_interrupted),
		cmocka_unit_test(nothing_is_left_in_registers_on_any_way_in),
		cmocka_unit_test(what_follows_a_frame_is_host_code),
		cmocka_unit_test(results_survive_an_attention_that_comes_late),
		cmocka_unit_test(an_exit_that_comes_late_is_not_for_the_next_call),
		cmocka_unit_test(results_of_the_slow_way_come_back),
		cmocka_unit_test(a_count_of_registers_is_for_one_call),
		cmocka_unit_test(a_host_function_may_have_variable_arguments),
		cmocka_unit_test(an_exception_that_waits_is_not_the_hosts),
		cmocka_unit_test(the_control_word_of_the_host_stays_where_no_code_has_x87),
		cmocka_unit_test(who_is_no_longer_the_first_thread_sees_it_on_the_quick_way),
		cmocka_unit_test(a_nested_entry_leaves_the_context_with_its_thread),
		cmocka_unit_test(SIGNALS_COME ? a_fault_that_somebody_sends_is_none_of_the_sandboxs : needs_signals),
		cmocka_unit_test(a_typed_function_gets_all_vector_registers),
		cmocka_unit_test(guarded_accesses_say_what_they_did),
		cmocka_unit_test(a_host_function_stays_until_nobody_can_be_in_it),
		cmocka_unit_test(a_frame_gives_back_the_gs_of_its_last_way_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
