/* SPDX-License-Identifier: MIT */
/*
 * The trampoline's quick way in, which a context's first thread takes from its second entry on: each thing that must
 * send it the slow way. So each test calls first, and then looks.
 */
#include "core_test.h"

#include <asm/prctl.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "box.h"

extern const uint8_t fn_sp[], fn_x87[], fn_end[];
__asm__(".pushsection .text\n"
	".balign 32\n"
	/* uint64_t (void): the stack pointer at entry */
	"fn_sp:\n"
	"	movq %rsp, %rax\n"
	"	ret\n"
	"	.balign 32\n"
	/* long double (void): pi */
	"fn_x87:\n"
	"	fldpi\n"
	"	ret\n"
	"	.balign 32\n"
	"fn_end:\n"
	".popsection\n");

#define LOAD_FN(box, from, to) load_bytes(box, from, (size_t) ((to) - (from)))
#define UNVERIFIED ((struct LFIOptions) {.no_verify = true})

static lfiptr add;

static struct Fixture
entered_fixture(struct LFIOptions opts)
{
	struct Fixture f = fixture(opts);

	add = LOAD(f.box, code_add);
	for (int i = 0; i < 3; i++)
		assert_int_equal(LFI_INVOKE(f.box, &f.ctx, add, int, (int, int), 40, i), 40 + i);
	return f;
}

static int
call_add(struct Fixture *f)
{
	return LFI_INVOKE(f->box, &f->ctx, add, int, (int, int), 40, 2);
}

static void
a_context_of_another_box_is_refused(void **state)
{
	struct Fixture f = entered_fixture((struct LFIOptions) {.boxsize = 0}), g = entered_fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr fn = LOAD(f.box, code_add), sp = lfi_ctx_regs(g.ctx)->sp;

	/* All but the box is right. */
	lfi_ctx_regs(g.ctx)->sp = f.stack;
	assert_int_equal(LFI_INVOKE(f.box, &g.ctx, fn, int, (int, int), 1, 2), 0);
	assert_error(LFI_ERR_INVALID);
	lfi_ctx_regs(g.ctx)->sp = sp;
	assert_int_equal(call_add(&g), 42);
	drop(&g);
	drop(&f);
}

static void
registers_that_are_not_counted_are_all_passed(void **state)
{
	struct Fixture f = entered_fixture((struct LFIOptions) {.boxsize = 0});

	for (int i = 0; i < 3; i++) {
		lfi_invoke_info = (struct LFIInvokeInfo) {f.box, &f.ctx, add, 0, 0, 0, 0};
		assert_int_equal(((int (*)(int, int)) lfi_trampoline_addr)(40, 2), 42);
	}
	drop(&f);
}

static void
a_long_double_comes_back_each_time(void **state)
{
	struct Fixture f = entered_fixture(UNVERIFIED);
	lfiptr fn = LOAD_FN(f.box, fn_x87, fn_end);

	for (int i = 0; i < 3; i++) {
		long double pi = LFI_INVOKE(f.box, &f.ctx, fn, long double, (void));

		assert_true(pi > 3.14L && pi < 3.15L);
	}
	drop(&f);
}

static void
the_stack_is_aligned_and_has_room(void **state)
{
	struct Fixture f = entered_fixture(UNVERIFIED);
	lfiptr fn = LOAD_FN(f.box, fn_sp, fn_x87), low = lfi_box_info(f.box).min;

	for (int i = 0; i < 16; i++) {
		lfi_ctx_regs(f.ctx)->sp = f.stack - (uint64_t) i;
		uint64_t sp = LFI_INVOKE(f.box, &f.ctx, fn, uint64_t, (void));
		assert_int_equal(sp % 16, 8);
		assert_in_range(sp, f.stack - 16 - CALL_HEADROOM - 8, f.stack - CALL_HEADROOM - 8);
	}
	/* What is written must lie in what can be mapped. */
	lfi_box_mapat(f.box, low, PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0);
	for (uint64_t room = 0; room <= CALL_HEADROOM; room += 16) {
		lfi_ctx_regs(f.ctx)->sp = low + room;
		LFI_INVOKE(f.box, &f.ctx, fn, uint64_t, (void));
		assert_error(LFI_ERR_RANGE);
	}
	lfi_ctx_regs(f.ctx)->sp = lfi_box_info(f.box).max + 16;
	LFI_INVOKE(f.box, &f.ctx, fn, uint64_t, (void));
	assert_error(LFI_ERR_RANGE);
	drop(&f);
}

static void
exit_at_once(struct LFIContext *ctx)
{
	lfi_ctx_exit(ctx, 0);
}

/* A run makes the context this thread's. */
static void
without_init_ret_nothing_is_called(void **state)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 1);
	struct LFIBox *box = lfi_box_new(engine);
	struct LFIContext *ctx = lfi_ctx_new(box, NULL);
	lfiptr fn = LOAD(box, code_add), syscall = LOAD(box, code_syscall);

	lfi_sys_handler(engine, exit_at_once);
	lfi_ctx_regs(ctx)->sp = map(box, PAGE) + PAGE;
	assert_int_equal(lfi_ctx_run(ctx, syscall), 0);
	lfi_ctx_regs(ctx)->sp = map(box, PAGE) + PAGE;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(LFI_INVOKE(box, &ctx, fn, int, (int, int), 1, 2), 0);
		assert_error(LFI_ERR_INVALID);
	}
	lfi_box_free(box);
	lfi_free(engine);
}

/* The frame lies where it lay before: what it holds must be this entry's. */
static void
control_words_are_those_at_the_entry(void **state)
{
	static const uint16_t fcws[] = {0x37f, 0x67f, 0xf7f};
	static const uint32_t mxcsrs[] = {0x1f80, 0x3f80, 0x7f80};
	struct Fixture f = entered_fixture(UNVERIFIED);

	for (int i = 0; i < 9; i++) {
		uint16_t fcw;
		uint32_t mxcsr;

		__builtin_ia32_ldmxcsr(mxcsrs[i / 3]);
		__asm__ volatile("fldcw %0" : : "m"(fcws[i % 3]));
		int r = call_add(&f);
		__asm__ volatile("fnstcw %0" : "=m"(fcw));
		mxcsr = __builtin_ia32_stmxcsr();
		__asm__ volatile("fninit");
		__builtin_ia32_ldmxcsr(0x1f80);
		assert_int_equal(r, 42);
		assert_int_equal(fcw, fcws[i % 3]);
		assert_int_equal(mxcsr, mxcsrs[i / 3]);
	}
	drop(&f);
}

static __attribute__((noinline)) void
dirty_stack(void)
{
	uint64_t words[512];

	for (int i = 0; i < 512; i++)
		words[i] = 0x5ec2e75ec2e75ec2;
	__asm__ volatile("" : : "m"(words));
}

static uint64_t
gs_base(void)
{
	uint64_t base;

	syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
	return base;
}

/* The frame is on the host's stack, where anything may have been. */
static void
nothing_is_taken_from_what_lay_on_the_stack(void **state)
{
	struct Fixture f = entered_fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr trap = LOAD(f.box, code_ud2);
	uint64_t gs = gs_base();

	for (int i = 0; i < 4; i++) {
		dirty_stack();
		assert_int_equal(LFI_INVOKE(f.box, &f.ctx, add, int, (int, int), 40, 2), 42);
		assert_int_equal(gs_base(), gs);
		dirty_stack();
		LFI_INVOKE(f.box, &f.ctx, trap, void, (void));
		assert_error(LFI_ERR_FAULT);
		assert_int_equal(gs_base(), gs);
		assert_null(lfi_cur_ctx());
		assert_null(f.ctx->frame);
		assert_int_equal(thread_self.foreign, 0);
	}
	drop(&f);
}

static void
each_call_is_counted(void **state)
{
	struct Fixture f = entered_fixture((struct LFIOptions) {.boxsize = 0});
	uint64_t before = f.ctx->calls;

	for (int i = 0; i < 5; i++)
		assert_int_equal(call_add(&f), 42);
	assert_int_equal(f.ctx->calls, before + 5);
	assert_null(f.ctx->frame);
	drop(&f);
}

/* ---- Who executes ---- */

static struct Fixture *single;
static struct LFIContext *outer;

/* The second context of the box is this thread's, and has been entered before. */
static void *
enter_single(void *arg)
{
	struct LFIContext *own = lfi_ctx_new(single->box, NULL);
	pthread_barrier_t *barrier = arg;

	lfi_ctx_regs(own)->sp = single->stack - 8 * PAGE;
	assert_int_equal(LFI_INVOKE(single->box, &own, add, int, (int, int), 1, 2), 3);
	assert_int_equal(LFI_INVOKE(single->box, &own, add, int, (int, int), 1, 2), 3);
	pthread_barrier_wait(barrier); /* the other enters */
	pthread_barrier_wait(barrier);
	assert_int_equal(LFI_INVOKE(single->box, &own, add, int, (int, int), 1, 2), 0);
	assert_error(LFI_ERR_BUSY);
	pthread_barrier_wait(barrier);
	return NULL;
}

static pthread_barrier_t barrier;

static int
let_the_other_enter(int x)
{
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return x;
}

static void
a_single_thread_box_is_executed_by_one(void **state)
{
	struct Fixture f = entered_fixture((struct LFIOptions) {.single_thread = true});
	lfiptr apply = LOAD(f.box, code_apply);
	void *cb = lfi_box_register_cb(f.box, let_the_other_enter);
	pthread_t thread;

	single = &f;
	outer = f.ctx;
	pthread_barrier_init(&barrier, NULL, 2);
	pthread_create(&thread, NULL, enter_single, &barrier);
	pthread_barrier_wait(&barrier);
	assert_int_equal(LFI_INVOKE(f.box, &outer, apply, int, (void *, int), cb, 5), 5);
	pthread_join(thread, NULL);
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_context_of_another_box_is_refused),
		cmocka_unit_test(registers_that_are_not_counted_are_all_passed),
		cmocka_unit_test(a_long_double_comes_back_each_time),
		cmocka_unit_test(the_stack_is_aligned_and_has_room),
		cmocka_unit_test(without_init_ret_nothing_is_called),
		cmocka_unit_test(control_words_are_those_at_the_entry),
		cmocka_unit_test(nothing_is_taken_from_what_lay_on_the_stack),
		cmocka_unit_test(each_call_is_counted),
		cmocka_unit_test(a_single_thread_box_is_executed_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
