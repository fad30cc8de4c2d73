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
		for (int quick = 0; quick < 2; quick++)
			assert_int_equal(LFI_INVOKE(f.box, &f.ctx, fn, uint64_t, (void)), sp);
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

/* What the first calls put on the stack is no matter of the next. */
static void
words_of_one_call_are_not_below_the_next(void **state)
{
	typedef struct Big { uint64_t x[4]; } Big;
	struct Fixture f = fixture(UNVERIFIED);
	lfiptr fn = LOAD_FN(f.box, fn_sp, fn_x87);
	union LFIValue args[10] = {{.u = 0}}, ret = {.p = &(Big) {{0}}};
	uint64_t sp = f.stack - CALL_HEADROOM - 8;

	assert_done(lfi_call(f.ctx, fn, "L(LLLLLLLLLL)", args, &ret));
	assert_int_equal(ret.u, sp - 32);
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, fn, uint64_t, (void)), sp);
	/* Nor is the room for a result. */
	ret.p = &(Big) {{0}};
	lfi_ctx_regs(f.ctx)->sp -= 64;
	sp -= 64;
	assert_done(lfi_call(f.ctx, fn, "{LLLL}()", NULL, &ret));
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, fn, uint64_t, (void)), sp);
	drop(&f);
}

static void
contexts_start_without_a_quick_way_and_without_fsgsbase_stay_so(void **state)
{
	bool have = arch_fsgsbase;
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr fn = LOAD(f.box, code_add);

	assert_true(atomic_load(&f.ctx->enter_sp) == (uint64_t) QUICK_NONE);
	assert_true(atomic_load(&f.ctx->enter_rsp) % 8 != 0);
	arch_fsgsbase = false;
	for (int i = 0; i < 3; i++)
		assert_int_equal(LFI_INVOKE(f.box, &f.ctx, fn, int, (int, int), 40, i), 40 + i);
	assert_true(atomic_load(&f.ctx->enter_sp) == (uint64_t) QUICK_NONE);
	arch_fsgsbase = have;
	drop(&f);
}

/* A reset takes the page that functions return to. */
static void
after_a_reset_to_before_init_ret_nothing_is_called(void **state)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 1);
	struct LFIBox *box = lfi_box_new(engine);
	struct LFIContext *ctx = lfi_ctx_new(box, NULL);
	lfiptr fn = LOAD(box, code_add);
	struct BoxImage *image;

	lfi_ctx_regs(ctx)->sp = map(box, PAGE) + PAGE;
	image = box_freeze(box);
	assert_non_null(image);
	assert_done(lfi_box_init_ret(box));
	for (int i = 0; i < 3; i++)
		assert_int_equal(LFI_INVOKE(box, &ctx, fn, int, (int, int), 40, i), 40 + i);
	assert_done(box_reset(box, false));
	assert_int_equal(LFI_INVOKE(box, &ctx, fn, int, (int, int), 1, 2), 0);
	assert_error(LFI_ERR_INVALID);
	box_image_put(image);
	lfi_box_free(box);
	lfi_free(engine);
}

/* As a call on another thread sees them while a reset takes the page. */
static void
a_call_that_sees_no_return_page_is_an_error(void **state)
{
	struct Fixture f = entered_fixture((struct LFIOptions) {.boxsize = 0});
	uint64_t page = atomic_load(&f.box->callback_page), l = atomic_load(&f.ctx->return_l);

	atomic_store(&f.box->callback_page, 0);
	atomic_store(&f.ctx->return_l, UINT64_MAX);
	assert_int_equal(call_add(&f), 0);
	assert_error(LFI_ERR_INVALID);
	atomic_store(&f.box->callback_page, page);
	atomic_store(&f.ctx->return_l, l);
	assert_int_equal(call_add(&f), 42);
	drop(&f);
}

/* Each member behind the target is for one call, also where it had nothing to say. */
static void
what_was_said_of_padding_is_for_one_call(void **state)
{
	struct Fixture f = entered_fixture((struct LFIOptions) {.boxsize = 0});

	for (int i = 0; i < 6; i++) {
		lfi_invoke_info =
		    (struct LFIInvokeInfo) {f.box, &f.ctx, add, 0, LFI_INVOKE_COUNTED | 2, i % 3 == 1, i % 3 == 2};
		assert_int_equal(((int (*)(int, int)) lfi_trampoline_addr)(40, 2), 42);
		assert_int_equal(lfi_invoke_info.arg_regs, 0);
		assert_int_equal(lfi_invoke_info.stack_skip, 0);
		assert_int_equal(lfi_invoke_info.stack_tail, 0);
	}
	drop(&f);
}

/* ---- At a thread's end ---- */

static pthread_key_t late;
static struct Fixture *ending;
static lfiptr trap_fn;

/* After the core's own destructor, which takes the signal stack. */
static void
trap_late(void *arg)
{
	struct LFIContext *ctx = arg;
	stack_t now;

	sigaltstack(NULL, &now);
	assert_true(now.ss_flags & SS_DISABLE);
	LFI_INVOKE(ending->box, &ctx, trap_fn, void, (void));
	assert_error(LFI_ERR_FAULT);
	sigaltstack(NULL, &now);
	assert_false(now.ss_flags & SS_DISABLE);
}

static void *
call_and_end(void *arg)
{
	struct LFIContext *ctx = lfi_ctx_new(ending->box, NULL);

	lfi_ctx_regs(ctx)->sp = ending->stack;
	for (int i = 0; i < 3; i++)
		assert_int_equal(LFI_INVOKE(ending->box, &ctx, add, int, (int, int), 40, i), 40 + i);
	pthread_setspecific(late, ctx);
	return arg;
}

static void
a_destructor_that_calls_gets_a_signal_stack_again(void **state)
{
	struct Fixture f = entered_fixture((struct LFIOptions) {.boxsize = 0});
	pthread_t thread;

	ending = &f;
	trap_fn = LOAD(f.box, code_ud2);
	assert_int_equal(pthread_key_create(&late, trap_late), 0);
	assert_int_equal(pthread_create(&thread, NULL, call_and_end, NULL), 0);
	pthread_join(thread, NULL);
	pthread_key_delete(late);
	drop(&f);
}

/* ---- Prepared calls ---- */

/* The only argument or result has a type of `bits` bits: more than that of a value is the host's. */
static void
check_type(struct Fixture *f, char letter, unsigned bits, bool is_signed, lfiptr same)
{
	const uint64_t garbage = 0xdeadbeefdeadbeef;
	char in[] = {'L', '(', letter, ')', 0}, out[] = {letter, '(', 'L', ')', 0};
	struct LFIFn *take = lfi_fn_new(f->box, same, in), *give = lfi_fn_new(f->box, same, out);

	for (int top = 0; top < 2; top++) {
		uint64_t mask = UINT64_MAX >> (64 - bits), value = (uint64_t) top << (bits - 1) | (bits > 1 ? 5 : 0);
		uint64_t extended = is_signed && top ? value | ~mask : value;
		union LFIValue arg = {.u = value | (garbage & ~mask)}, ret = {.u = garbage}, all;

		for (int i = 0; i < 3; i++) {
			assert_done(lfi_fn_call(take, &f->ctx, &arg, &ret));
			/* The callee may want small integers in 32 bits; more are not the host's. */
			assert_int_equal((uint32_t) ret.u, bits == 1 ? 1 : (uint32_t) extended);
			assert_true(ret.u >> 32 == extended >> 32 || ret.u >> 32 == 0 || bits == 1);
			all.u = arg.u;
			ret.u = garbage;
			assert_done(lfi_fn_call(give, &f->ctx, &all, &ret));
			assert_true(ret.u == (bits == 1 ? 1 : extended));
			assert_done(lfi_fn_call(give, &f->ctx, &all, NULL));
		}
	}
	lfi_fn_free(take);
	lfi_fn_free(give);
}

extern const uint8_t fn_same[], fn_same_real[], fn_real_bits[], fn_mixed[], fn_prepared_end[];
__asm__(".pushsection .text\n"
	".balign 32\n"
	"fn_same:\n"
	"	movq %rdi, %rax\n"
	"	ret\n"
	".balign 32\n"
	"fn_same_real:\n"
	"	ret\n"
	".balign 32\n"
	"fn_real_bits:\n"
	"	movq %xmm0, %rax\n"
	"	ret\n"
	".balign 32\n"
	/* The sum of each register times its place: rdi 1, …, r9 6, xmm0 7, …, xmm7 14. */
	"fn_mixed:\n"
	"	imulq $2, %rsi\n"
	"	imulq $3, %rdx\n"
	"	imulq $4, %rcx\n"
	"	imulq $5, %r8\n"
	"	imulq $6, %r9\n"
	"	leaq (%rdi,%rsi), %rax\n"
	"	addq %rdx, %rax\n"
	"	addq %rcx, %rax\n"
	"	addq %r8, %rax\n"
	"	addq %r9, %rax\n"
	".irp i, 0,1,2,3,4,5,6,7\n"
	"	cvttsd2siq %xmm\\i, %rcx\n"
	"	imulq $7 + \\i, %rcx\n"
	"	addq %rcx, %rax\n"
	".endr\n"
	"	ret\n"
	".balign 32\n"
	"fn_prepared_end:\n"
	".popsection\n");

static void
prepared_calls_pass_the_bits_of_each_type(void **state)
{
	static const struct { char letter; unsigned bits; bool is_signed; } types[] = {
		{'b', 8, true}, {'B', 8, false}, {'h', 16, true}, {'H', 16, false}, {'i', 32, true}, {'I', 32, false},
		{'l', 64, true}, {'L', 64, false}, {'?', 1, false},
	};
	struct Fixture f = fixture(UNVERIFIED);
	lfiptr fns = LOAD_FN(f.box, fn_same, fn_prepared_end);
	union LFIValue arg = {.u = 0xdeadbeef40490fdb}, ret = {.u = UINT64_MAX};
	struct LFIFn *bits = lfi_fn_new(f.box, fns + (lfiptr) (fn_real_bits - fn_same), "L(f)");
	struct LFIFn *same = lfi_fn_new(f.box, fns + (lfiptr) (fn_same_real - fn_same), "f(f)");
	struct LFIFn *same_double = lfi_fn_new(f.box, fns + (lfiptr) (fn_same_real - fn_same), "d(d)");

	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		check_type(&f, types[i].letter, types[i].bits, types[i].is_signed, fns);
	for (int i = 0; i < 3; i++) {
		assert_done(lfi_fn_call(bits, &f.ctx, &arg, &ret));
		assert_int_equal(ret.u, 0x40490fdb);
		ret.u = UINT64_MAX;
		assert_done(lfi_fn_call(same, &f.ctx, &arg, &ret));
		assert_int_equal(ret.u, 0x40490fdb);
		assert_done(lfi_fn_call(same, &f.ctx, &arg, NULL));
		assert_done(lfi_fn_call(same_double, &f.ctx, &arg, &ret));
		assert_int_equal(ret.u, arg.u);
	}
	lfi_fn_free(bits);
	lfi_fn_free(same);
	lfi_fn_free(same_double);
	drop(&f);
}

/* Any number of registers of both kinds, in any order; what gets no argument is zero. */
static void
prepared_calls_fill_the_registers_of_their_signature(void **state)
{
	struct Fixture f = fixture(UNVERIFIED);
	lfiptr fn = LOAD_FN(f.box, fn_mixed, fn_prepared_end);

	for (unsigned round = 0; round < 2 * 7 * 9; round++) {
		unsigned ints = round % 7, floats = round / 7 % 9, n = 0;
		bool floats_first = round >= 7 * 9;
		char text[32] = "L(";
		union LFIValue args[14], ret;
		uint64_t sum = 0;
		struct LFIFn *prepared;

		for (unsigned i = 0, j = 0; i < ints || j < floats; n++) {
			bool real = i == ints || (j < floats && (floats_first || n % 2));

			text[2 + n] = real ? 'd' : 'l';
			if (real)
				args[n].d = 100 + n;
			else
				args[n].i = 100 + n;
			sum += (100 + n) * (real ? 7 + j++ : 1 + i++);
		}
		text[2 + n] = ')';
		prepared = lfi_fn_new(f.box, fn, text);
		for (int i = 0; i < 3; i++) {
			assert_done(lfi_fn_call(prepared, &f.ctx, n ? args : NULL, &ret));
			assert_int_equal(ret.u, sum);
		}
		lfi_fn_free(prepared);
	}
	drop(&f);
}

static void
prepared_calls_say_what_is_missing(void **state)
{
	static const char *const texts[] = {"i(ii)", "d(ii)", "?(ii)", "v(ii)"};
	struct Fixture f = entered_fixture((struct LFIOptions) {.boxsize = 0});
	union LFIValue args[2] = {{.i = 1}, {.i = 2}}, ret = {.u = 0x5ec2e7};
	struct LFIFn *fn;

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct LFIContext *none = NULL;

		fn = lfi_fn_new(f.box, add, texts[i]);
		assert_int_equal(lfi_fn_call(fn, &f.ctx, NULL, &ret), -1);
		assert_error(LFI_ERR_SIGNATURE);
		assert_int_equal(lfi_fn_call(fn, NULL, args, &ret), -1);
		assert_error(LFI_ERR_INVALID);
		assert_int_equal(lfi_fn_call(fn, &none, args, &ret), -1);
		assert_error(LFI_ERR_INVALID); /* no clone callback */
		assert_int_equal(ret.u, 0x5ec2e7);
		assert_done(lfi_fn_call(fn, &f.ctx, args, NULL));
		if (texts[i][0] == 'v') {
			assert_done(lfi_fn_call(fn, &f.ctx, args, &ret));
			assert_int_equal(ret.u, 0x5ec2e7);
		}
		lfi_fn_free(fn);
		/* Its memory may hold what it held. */
		assert_int_equal(lfi_fn_call(fn, &f.ctx, args, NULL), -1);
		assert_error(LFI_ERR_INVALID);
	}
	drop(&f);
}

/* They leave alone what the host has put into lfi_invoke_info for its own next call, but for the count. */
static void
prepared_calls_do_not_change_what_they_were_made_of(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	union LFIValue args[2] = {{.i = 40}, {.i = 2}}, ret;
	struct LFIFn *fn;

	add = LOAD(f.box, code_add);
	fn = lfi_fn_new(f.box, add, "i(ii)");
	for (int i = 0; i < 4; i++) {
		struct LFIContext *ctx = lfi_ctx_new(f.box, NULL);

		lfi_ctx_regs(ctx)->sp = f.stack;
		for (int j = 0; j < 3; j++) { /* slowly, then quickly */
			assert_done(lfi_fn_call(fn, &ctx, args, &ret));
			assert_int_equal(ret.i, 42);
		}
		lfi_ctx_free(ctx);
	}
	lfi_fn_free(fn);
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
		cmocka_unit_test(words_of_one_call_are_not_below_the_next),
		cmocka_unit_test(contexts_start_without_a_quick_way_and_without_fsgsbase_stay_so),
		cmocka_unit_test(after_a_reset_to_before_init_ret_nothing_is_called),
		cmocka_unit_test(a_call_that_sees_no_return_page_is_an_error),
		cmocka_unit_test(what_was_said_of_padding_is_for_one_call),
		cmocka_unit_test(a_destructor_that_calls_gets_a_signal_stack_again),
		cmocka_unit_test(prepared_calls_pass_the_bits_of_each_type),
		cmocka_unit_test(prepared_calls_fill_the_registers_of_their_signature),
		cmocka_unit_test(prepared_calls_say_what_is_missing),
		cmocka_unit_test(prepared_calls_do_not_change_what_they_were_made_of),
		cmocka_unit_test(without_init_ret_nothing_is_called),
		cmocka_unit_test(control_words_are_those_at_the_entry),
		cmocka_unit_test(nothing_is_taken_from_what_lay_on_the_stack),
		cmocka_unit_test(each_call_is_counted),
		cmocka_unit_test(a_single_thread_box_is_executed_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
