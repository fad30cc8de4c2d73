/* SPDX-License-Identifier: MIT */
/* Calls into the sandbox and back: LFI_INVOKE, lfi_call, callbacks, nesting, who may enter, and ends. */
#include "core_test.h"
#include "sanitizers.h"

#include <ucontext.h>

#include "box.h"

#include <pthread.h>

/* ---- LFI_INVOKE ---- */

static void
ten_integers_arrive_in_order(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_sum10);

	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (int, char, short, unsigned, int, int, int, unsigned char, long, int),
			     1, 2, 4, 8, 16, 32, 64, 128, 256L, 512),
	    1023);
	drop(&f);
}

static void
ten_doubles_arrive_in_order(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_sum10_doubles);
	double x = LFI_INVOKE(f.box, &f.ctx, p, double,
	    (double, double, double, double, double, double, double, double, double, const double), 1, 2, 4, 8, 16, 32, 64,
	    128, 256, 512.5);

	assert_true(x == 1023.5);
	drop(&f);
}

static void
floats_and_long_doubles_are_passed(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	assert_true(LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_add_floats), float, (float, float), 1.5f, 2.25f) == 3.75f);
	assert_true(LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_long_double), double, (long double), 6.5L) == 6.5);
	drop(&f);
}

static void
calls_nest_in_argument_lists(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_add);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
	int x = LFI_INVOKE(f.box, &f.ctx, p, int, (int, int), LFI_INVOKE(f.box, &f.ctx, p, int, (int, int), 1, 2), 3);
#pragma GCC diagnostic pop
	assert_int_equal(x, 6);
	drop(&f);
}

static __attribute__((noinline)) void
dirty_stack(void)
{
	uint64_t words[256];

	for (int i = 0; i < 256; i++)
		words[i] = 0x5ec2e75ec2e75ec2;
	__asm__ volatile("" : : "m"(words));
}

static void
no_word_of_the_hosts_stack_goes_in(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_dump_stack);
	uint64_t got[8];
	volatile long double one = 1.0L;

	/* On the stack: a char, padding, a long double (its end is 6 bytes of padding); then floats that no register is left for. */
	dirty_stack();
	LFI_INVOKE(f.box, &f.ctx, p, void,
	    (lfiptr, int, int, int, int, int, char, long double), f.buffer, 2, 3, 4, 5, 6, 7, one);
	peek(&f, got, sizeof got);
	assert_int_equal(got[0], 7);
	assert_int_equal(got[1], 0);
	assert_true(got[2] == 0x8000000000000000);
	assert_int_equal(got[3], 0x3fff);
	for (int i = 4; i < 8; i++)
		assert_int_equal(got[i], 0);
	dirty_stack();
	LFI_INVOKE(f.box, &f.ctx, p, void, (lfiptr, float, float, float, float, float, float, float, float, float, float),
	    f.buffer, 0, 0, 0, 0, 0, 0, 0, 0, 1.0f, 2.0f);
	peek(&f, got, sizeof got);
	assert_int_equal(got[0], 0x3f800000);
	assert_int_equal(got[1], 0x40000000);
	for (int i = 2; i < 8; i++)
		assert_int_equal(got[i], 0);
	drop(&f);
}

static void
upper_bits_of_small_arguments_are_not_the_hosts(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_identity);
	volatile uint64_t wide = 0x5ec2e75e00000001;

	assert_true(LFI_INVOKE(f.box, &f.ctx, p, uint64_t, (int), (int) wide) == 1);
	assert_true(LFI_INVOKE(f.box, &f.ctx, p, uint64_t, (unsigned char), (unsigned char) wide) == 1);
	assert_true(LFI_INVOKE(f.box, &f.ctx, p, uint64_t, (int), -1) == UINT64_MAX);
	drop(&f);
}

static void
what_cannot_be_called_says_why(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct LFIBox *other = lfi_box_new(f.engine);
	lfiptr p = LOAD(f.box, code_add);

	assert_int_equal(LFI_INVOKE(other, &f.ctx, p, int, (void)), 0);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(LFI_INVOKE(f.box, NULL, p, int, ()), 0);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, (lfiptr) (uintptr_t) dirty_stack, int, ()), 0);
	assert_error(LFI_ERR_RANGE);
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, 0, int, ()), 0);
	assert_error(LFI_ERR_RANGE);
	struct LFIContext *ctx = lfi_ctx_new(other, NULL);
	assert_int_equal(LFI_INVOKE(other, &ctx, p, int, ()), 0);
	assert_error(LFI_ERR_INVALID);
	lfi_box_free(other);
	drop(&f);
}

static void
a_stack_pointer_that_is_of_no_use_is_refused(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct LFIBoxInfo info = lfi_box_info(f.box);
	static uint64_t host_words[64];
	const struct {
		uint64_t sp;
		int error;
	} rows[] = {
		{0, LFI_ERR_RANGE},
		{(uint64_t) &host_words[32], LFI_ERR_RANGE},
		{info.base, LFI_ERR_RANGE},
		{info.min, LFI_ERR_RANGE},
		{info.min + 64, LFI_ERR_RANGE},
		{info.max + 16, LFI_ERR_RANGE},
		{UINT64_MAX, LFI_ERR_RANGE},
		{info.min + 4096, LFI_ERR_UNMAPPED},
	};
	lfiptr p = LOAD(f.box, code_add);

	lfi_box_mapat(f.box, info.min + 65536, PAGE, LFI_PROT_READ, ANON, -1, 0);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		lfi_ctx_regs(f.ctx)->sp = rows[i].sp;
		assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (int, int), 1, 2), 0);
		assert_error(rows[i].error);
	}
	/* A page that can be read only; the code's own page. */
	lfi_ctx_regs(f.ctx)->sp = info.min + 65536 + PAGE;
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (int, int), 1, 2), 0);
	assert_error(LFI_ERR_UNMAPPED);
	lfi_ctx_regs(f.ctx)->sp = p + PAGE;
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (int, int), 1, 2), 0);
	assert_error(LFI_ERR_UNMAPPED);
	lfi_ctx_regs(f.ctx)->sp = f.stack;
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (int, int), 1, 2), 3);
	drop(&f);
}

/* ---- lfi_call ---- */

static void
values_of_each_kind_go_in_and_come_back(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr identity = LOAD(f.box, code_identity);
	const struct {
		const char *sig;
		uint64_t in, out;
	} rows[] = {
		{"b(b)", 0x5ec280, (uint64_t) -128},
		{"B(B)", 0x5ec280, 128},
		{"h(h)", 0x5e8000, (uint64_t) -32768},
		{"H(H)", 0x5e8000, 32768},
		{"i(i)", 0x5e80000000, (uint64_t) -2147483648},
		{"I(I)", 0x5e80000000, 2147483648},
		{"l(l)", UINT64_MAX, UINT64_MAX},
		{"L(L)", UINT64_MAX, UINT64_MAX},
		{"p(p)", 0x123456789abcdef0, 0x123456789abcdef0},
		{"L(b)", 0x5ec280, (uint64_t) -128},
		{"L(H)", 0xffff8000, 0x8000},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		union LFIValue arg = {.u = rows[i].in}, ret = {.u = 0};

		assert_done(lfi_call(f.ctx, identity, rows[i].sig, &arg, &ret));
		assert_true(ret.u == rows[i].out);
		assert_int_equal(lfi_errno(), LFI_OK);
	}
	drop(&f);
}

static void
many_arguments_go_to_the_stack(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	union LFIValue ints[10], doubles[10], ret;

	for (int i = 0; i < 10; i++) {
		ints[i].i = 1 << i;
		doubles[i].d = (1 << i) + 0.25;
	}
	assert_done(lfi_call(f.ctx, LOAD(f.box, code_sum10), "i(iiiiiiiiii)", ints, &ret));
	assert_int_equal(ret.i, 1023);
	assert_done(lfi_call(f.ctx, LOAD(f.box, code_sum10_doubles), "d(dddddddddd)", doubles, &ret));
	assert_true(ret.d == 1025.5);
	ret.u = UINT64_MAX;
	assert_done(lfi_call(f.ctx, LOAD(f.box, code_add_floats), "f(ff)", (union LFIValue[]) {{.f = 1.5f}, {.f = 2}}, &ret));
	assert_true(ret.f == 3.5f);
	assert_done(lfi_call(f.ctx, LOAD(f.box, code_add), "v(ii)", ints, NULL));
	drop(&f);
}

static void
a_hundred_arguments_are_fine(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	union LFIValue args[100], ret;
	char sig[104] = "i(";

	for (int i = 0; i < 100; i++) {
		args[i].i = i < 10 ? i : 1000;
		sig[2 + i] = 'i';
	}
	sig[102] = ')';
	assert_done(lfi_call(f.ctx, LOAD(f.box, code_sum10), sig, args, &ret));
	assert_int_equal(ret.i, 45);
	drop(&f);
}

static void
small_structs_go_by_value(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct {
		long a, b;
	} longs = {3, 4}, longs_out;
	struct {
		double d;
		int i;
	} mixed = {1.5, 41}, mixed_out;
	struct {
		float x, y;
		char c;
	} floats = {1, 2, 'c'};
	union LFIValue args[7] = {{.p = &longs}}, ret = {.p = &longs_out};

	assert_done(lfi_call(f.ctx, LOAD(f.box, code_pair), "{ll}({ll})", args, &ret));
	assert_int_equal(longs_out.a, 4);
	assert_int_equal(longs_out.b, 3);
	args[0].p = &mixed;
	ret.p = &mixed_out;
	assert_done(lfi_call(f.ctx, LOAD(f.box, code_mixed), "{di}({di})", args, &ret));
	assert_true(mixed_out.d == 3.0);
	assert_int_equal(mixed_out.i, 42);
	/* Two floats share a vector register, the char is in rdi. */
	args[0].p = &floats;
	assert_done(lfi_call(f.ctx, LOAD(f.box, code_identity), "b({ffb})", args, &ret));
	assert_int_equal(ret.i, 'c');
	/* One that does not fit whole into registers goes to memory, and later ones may still go to registers. */
	for (int i = 0; i < 5; i++)
		args[i].i = i == 0 ? (int64_t) f.buffer : i;
	args[5].p = &longs;
	args[6].i = 6;
	assert_done(lfi_call(f.ctx, LOAD(f.box, code_dump_stack), "v(pllll{ll}l)", args, NULL));
	uint64_t got[8];
	peek(&f, got, sizeof got);
	assert_int_equal(got[0], 3);
	assert_int_equal(got[1], 4);
	drop(&f);
}

static void
signatures_that_do_not_parse_are_refused(void **state)
{
	static const char *const rows[] = {"", "i", "(", "i(", "i(i", "x()", "i(x)", "i(v)", "i()x", "i(i))", "{}()", "i({)",
	    "i({})", "i({ii}", "i({{i})", "i({[i]})", "i({[0i]})", "i({[2]})", "i({[99999999999999i]})", "i({[2i})", "i([2i])", "i(..i)", "i(.i.i)", "i(p.f)", "i({[65536l]})", "i({{{{{{{{{{{{{{{{{{i}}}}}}}}}}}}}}}}}})", "i({i)", "{v}()", "vv()", "i i()", "i({x})"};
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_add);
	int x = 0;
	union LFIValue args[4] = {{.p = &x}, {.p = &x}, {.p = &x}, {.p = &x}}, ret = {.p = &x};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		lfi_error_clear();
		assert_int_equal(lfi_call(f.ctx, p, rows[i], args, &ret), -1);
		assert_error(LFI_ERR_SIGNATURE);
	}
	assert_int_equal(lfi_call(f.ctx, p, NULL, args, &ret), -1);
	assert_error(LFI_ERR_SIGNATURE);
	assert_int_equal(lfi_call(f.ctx, p, "i(ii)", NULL, &ret), -1);
	assert_error(LFI_ERR_SIGNATURE);
	args[0].p = NULL;
	assert_int_equal(lfi_call(f.ctx, p, "i({ii})", args, &ret), -1);
	assert_error(LFI_ERR_SIGNATURE);
	ret.p = NULL;
	assert_int_equal(lfi_call(f.ctx, p, "{ii}()", args, &ret), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_call(f.ctx, 0, "i()", NULL, &ret), -1);
	assert_error(LFI_ERR_RANGE);
	drop(&f);
}

static void
without_init_ret_nothing_can_be_called(void **state)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 1);
	struct LFIBox *box = lfi_box_new(engine);
	struct LFIContext *ctx = lfi_ctx_new(box, NULL);
	lfiptr p = LOAD(box, code_add);

	lfi_ctx_regs(ctx)->sp = map(box, PAGE) + PAGE;
	assert_int_equal(lfi_call(ctx, p, "v()", NULL, NULL), -1);
	assert_error(LFI_ERR_INVALID);
	assert_null(lfi_box_register_cb(box, (void *) dirty_stack));
	assert_error(LFI_ERR_INVALID);
	lfi_box_free(box);
	lfi_free(engine);
}

/* ---- Callbacks ---- */

static double
nine_and_three(int a, long b, short c, char d, int e, int f, int g, int h, int i, double x, double y, double z)
{
	return a * 1e8 + (double) b * 1e7 + c * 1e6 + d * 1e5 + e * 1e4 + f * 1e3 + g * 1e2 + h * 1e1 + i + x + y / 2 + z / 4;
}

static void
a_callback_gets_arguments_from_registers_and_the_stack(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	void *cb = lfi_box_register_cb(f.box, nine_and_three);

	double x = LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_call_many), double, (void *), cb);
	assert_int_equal(lfi_errno(), LFI_OK);
	assert_true(x == 123456789.875);
	drop(&f);
}

static int
seven(int a, int b, int c, int d, int e, int f, int g)
{
	return g;
}

static void
a_callback_at_the_very_top_of_a_stack_does_not_read_beyond(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	void *cb = lfi_box_register_cb(f.box, seven);
	lfiptr p = LOAD(f.box, code_jump);

	/* rsp in the last word of the stack, and at the sandbox's end: the words above are not there. */
	lfi_ctx_regs(f.ctx)->rdi = (uint64_t) cb;
	lfi_ctx_regs(f.ctx)->sp = f.stack - 8;
	lfi_ctx_run(f.ctx, p);
	assert_error(LFI_ERR_FAULT);
	lfi_ctx_regs(f.ctx)->sp = lfi_box_info(f.box).base + 0xffffffff;
	lfi_ctx_run(f.ctx, p);
	assert_error(LFI_ERR_FAULT);
	drop(&f);
}

static int seventh = -1;

static int
remember_seventh(int a, int b, int c, int d, int e, int f, int g)
{
	seventh = g;
	return g;
}

static void
stack_arguments_are_read_in_the_sandbox_only(void **state)
{
	/* Under jumps-only, rsp may be anything. */
	struct Fixture f = fixture((struct LFIOptions) {.jumps_only = true, .no_verify = true});
	void *cb = lfi_box_register_cb(f.box, remember_seventh);
	uint64_t host_words[32];

	for (int i = 0; i < 32; i++)
		host_words[i] = 0x5ec2e7;
	LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_stack_jump), int, (void *, void *), cb, host_words);
	assert_int_not_equal(seventh, 0x5ec2e7);
	assert_int_not_equal(seventh, -1);
	drop(&f);
}

static struct Fixture *nested;
static lfiptr nested_fn;
static void *nested_cb;
static int depth, nested_error;

/* Calls back into the sandbox, which calls this again. */
static int
again(int x)
{
	struct LFIContext *ctx = lfi_cur_ctx();
	uint64_t sp = lfi_ctx_regs(ctx)->sp;

	assert_ptr_equal(ctx, nested->ctx);
	if (x >= depth)
		return x;
	int r = LFI_INVOKE(nested->box, &ctx, nested_fn, int, (void *, int), nested_cb, x + 1);
	if (lfi_errno() != LFI_OK && !nested_error)
		nested_error = lfi_errno();
	assert_true(lfi_ctx_regs(ctx)->sp == sp);
	return r;
}

static void
calls_and_callbacks_nest(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	nested = &f;
	nested_fn = LOAD(f.box, code_call_plus1);
	nested_cb = lfi_box_register_cb(f.box, again);
	depth = 50;
	assert_null(lfi_cur_ctx());
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, nested_fn, int, (void *, int), nested_cb, 1), 50 + 50);
	assert_int_equal(lfi_errno(), LFI_OK);
	assert_null(lfi_cur_ctx());
	drop(&f);
}

static struct Fixture alternate[2];
static lfiptr alternate_fn[2];
static void *alternate_cb[2];
static int reached, deepest_error;
static char deepest_message[256];

/* Into the other box, and so on until it is refused. */
static int
alternate_again(int x)
{
	int next = ++reached & 1, r;

	r = LFI_INVOKE(alternate[next].box, &alternate[next].ctx, alternate_fn[next], int, (void *, int), alternate_cb[next], x);
	if (lfi_errno() != LFI_OK && !deepest_error) {
		deepest_error = lfi_errno();
		snprintf(deepest_message, sizeof deepest_message, "%s", lfi_errmsg());
	}
	return r + 1;
}

static int
alternate_down(int x)
{
	int next = ++reached & 1, r;

	assert_ptr_equal(lfi_cur_ctx(), alternate[!next].ctx);
	if (x == 0)
		return 0;
	r = LFI_INVOKE(alternate[next].box, &alternate[next].ctx, alternate_fn[next], int, (void *, int), alternate_cb[next], x - 1);
	assert_int_equal(lfi_errno(), LFI_OK);
	assert_ptr_equal(lfi_cur_ctx(), alternate[!next].ctx);
	reached--;
	return r + 1;
}

static void
open_alternate(void)
{
	const size_t size = 64 << 20;

	for (int i = 0; i < 2; i++) {
		alternate[i] = fixture((struct LFIOptions) {.boxsize = 0});
		lfi_ctx_regs(alternate[i].ctx)->sp = map(alternate[i].box, size) + size;
		alternate_fn[i] = LOAD(alternate[i].box, code_call_plus1);
		alternate_cb[i] = lfi_box_register_cb(alternate[i].box, (void *) alternate_again);
	}
}

/* A, host, B, host, A, and so on; and all the way back. */
static void
calls_nest_across_sandboxes(void **state)
{
	uint64_t sp[2];

	open_alternate();
	for (int i = 0; i < 2; i++) {
		alternate_cb[i] = lfi_box_register_cb(alternate[i].box, (void *) alternate_down);
		sp[i] = lfi_ctx_regs(alternate[i].ctx)->sp;
	}
	for (int times = 0; times < 3; times++) {
		reached = 0;
		assert_int_equal(LFI_INVOKE(alternate[0].box, &alternate[0].ctx, alternate_fn[0], int, (void *, int), alternate_cb[0], 50),
		    50 + 51);
		assert_int_equal(lfi_errno(), LFI_OK);
		assert_null(lfi_cur_ctx());
	}
	for (int i = 0; i < 2; i++) {
		assert_true(lfi_ctx_regs(alternate[i].ctx)->sp == sp[i]);
		drop(&alternate[i]);
	}
}

static void *
nest_until_refused(void *same)
{
	deepest_error = reached = 0;
	LFI_INVOKE(alternate[0].box, &alternate[0].ctx, alternate_fn[0], int, (void *, int), alternate_cb[0], 1);
	assert_int_equal(lfi_errno(), LFI_OK);
	assert_int_equal(deepest_error, LFI_ERR_LIMIT);
	return NULL;
}

/* Alone, or with two boxes in turn: what the sandbox can make the host's stack hold is bounded by that stack. */
static void
calls_nest_until_the_hosts_stack_is_used_up(void **state)
{
	pthread_attr_t attr;
	pthread_t thread;
	int on_main;

	open_alternate();
	nest_until_refused(NULL);
	on_main = reached;
	assert_true(on_main > 500);
	/* Not some levels more because the stack could be another one. */
	assert_non_null(strstr(deepest_message, "bytes left"));
	pthread_attr_init(&attr);
	/* ThreadSanitizer's thread-local variables take most of that. */
	pthread_attr_setstacksize(&attr, (THREAD_SANITIZER ? 1024 : 256) * 1024);
	pthread_create(&thread, &attr, nest_until_refused, NULL);
	pthread_join(thread, NULL);
	pthread_attr_destroy(&attr);
	assert_true(reached > 5 && reached < on_main);
	assert_non_null(strstr(deepest_message, "bytes left"));
	/* Then one box alone. */
	drop(&alternate[1]);
	alternate[1] = alternate[0];
	alternate_fn[1] = alternate_fn[0];
	alternate_cb[1] = alternate_cb[0];
	nest_until_refused(NULL);
	assert_true(reached > 500);
	drop(&alternate[0]);
}

static ucontext_t fiber, from_fiber;

static void
in_fiber(void)
{
	nest_until_refused(NULL);
}

static void
on_a_fiber_calls_nest_64_times(void **state)
{
	char *stack = malloc(1 << 20);

	open_alternate();
	for (int i = 0; i < 2; i++) {
		getcontext(&fiber);
		fiber.uc_stack.ss_sp = stack;
		fiber.uc_stack.ss_size = 1 << 20;
		fiber.uc_link = &from_fiber;
		makecontext(&fiber, in_fiber, 0);
		swapcontext(&from_fiber, &fiber);
		assert_int_equal(reached, 64);
	}
	drop(&alternate[0]);
	drop(&alternate[1]);
	free(stack);
}

static void
a_callback_that_was_taken_back_faults(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	void *cb = lfi_box_register_cb(f.box, again);
	lfiptr p = LOAD(f.box, code_apply);

	depth = 0;
	nested = &f;
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (void *, int), cb, 3), 3);
	lfi_box_unregister_cb(f.box, again);
	lfi_box_unregister_cb(f.box, again);
	lfi_box_unregister_cb(f.box, NULL);
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (void *, int), cb, 3), 0);
	assert_error(LFI_ERR_FAULT);
	assert_ptr_equal(lfi_box_register_cb(f.box, again), cb);
	drop(&f);
}

static void
callbacks_run_out_at_1151(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	for (uintptr_t i = 1; i <= 1151; i++)
		assert_non_null(lfi_box_register_cb(f.box, (void *) i));
	assert_null(lfi_box_register_cb(f.box, (void *) 1152));
	assert_error(LFI_ERR_LIMIT);
	assert_non_null(lfi_box_register_cb(f.box, (void *) 1151));
	lfi_box_unregister_cb(f.box, (void *) 5);
	assert_non_null(lfi_box_register_cb(f.box, (void *) 1152));
	assert_null(lfi_box_register_cb(f.box, NULL));
	assert_error(LFI_ERR_INVALID);
	drop(&f);
}

static void
a_return_that_nobody_asked_for_faults(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	const struct {
		const void *code;
		size_t size;
	} rows[] = {
		{code_return_unasked, sizeof code_return_unasked},
		{code_unknown_call, sizeof code_unknown_call},
	};

	for (size_t i = 0; i < 2; i++) {
		lfiptr p = load_bytes(f.box, rows[i].code, rows[i].size);

		assert_int_equal(lfi_ctx_run(f.ctx, p), -1);
		assert_error(LFI_ERR_FAULT);
		assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (void)), 0);
		assert_error(LFI_ERR_FAULT);
	}
	/* A run that goes to where invocations return. */
	struct LFIContext *fresh = lfi_ctx_new(f.box, NULL);
	struct LFIFault fault;
	void *cb = lfi_box_register_cb(f.box, seven);
	lfiptr page = (lfiptr) cb & ~(lfiptr) 4095;
	lfi_ctx_regs(fresh)->rdi = page;
	assert_int_equal(lfi_ctx_run(fresh, LOAD(f.box, code_jump)), -1);
	assert_error(LFI_ERR_FAULT);
	assert_int_equal(lfi_ctx_fault(fresh, &fault), 0);
	/* A call of entry 4 with an L in the page that is no entry's. */
	uint8_t code[11] = {0x4c, 0x8d, 0x1d, 0, 0, 0, 0, 0x41, 0xff, 0x66, 0xe0}, whole[PAGE];
	lfiptr p = map(f.box, PAGE);
	int32_t distance = (int32_t) (page + 64 - (p + 7));
	memcpy(code + 3, &distance, 4);
	memset(whole, 0xcc, PAGE);
	memcpy(whole, code, sizeof code);
	assert_done(lfi_box_copyto(f.box, p, whole, PAGE));
	assert_done(lfi_box_mprotect(f.box, p, PAGE, RX));
	fresh = lfi_ctx_new(f.box, NULL);
	assert_int_equal(lfi_ctx_run(fresh, p), -1);
	assert_int_equal(lfi_ctx_fault(fresh, &fault), 0);
	assert_int_equal(fault.pc, page + 64);
	drop(&f);
}

/* ---- Who may enter ---- */

static struct Fixture *busy;

static void *
enter_from_another_thread(void *arg)
{
	int r = LFI_INVOKE(busy->box, &busy->ctx, *(lfiptr *) arg, int, (int, int), 1, 2);

	assert_int_equal(r, 0);
	return (void *) (intptr_t) lfi_errno();
}

static lfiptr busy_add;

static int
callback_with_a_thread(int x)
{
	pthread_t other;
	void *error;

	pthread_create(&other, NULL, enter_from_another_thread, &busy_add);
	pthread_join(other, &error);
	return (int) (intptr_t) error;
}

static void
a_second_thread_cannot_enter_a_context(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_apply);
	void *cb = lfi_box_register_cb(f.box, callback_with_a_thread);

	busy = &f;
	busy_add = LOAD(f.box, code_add);
	/* The first time the context is this thread's alone, then it is known to be shared. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (void *, int), cb, 0), LFI_ERR_BUSY);
	drop(&f);
}

/* Prepared calls: one that takes the quick way and one that does not. */
static struct LFIFn *busy_fns[2];

static void *
call_prepared_from_another_thread(void *arg)
{
	union LFIValue args[7] = {{.i = 1}, {.i = 2}}, ret = {.i = 77};

	for (int i = 0; i < 2; i++) {
		assert_int_equal(lfi_fn_call(busy_fns[i], &busy->ctx, args, &ret), -1);
		assert_error(LFI_ERR_BUSY);
		assert_int_equal(ret.i, 77);
	}
	return arg;
}

/* On this thread the context is not busy. */
static int
prepared_callback(int x)
{
	union LFIValue args[7] = {{.i = 1}, {.i = 2}}, ret;
	pthread_t other;

	pthread_create(&other, NULL, call_prepared_from_another_thread, NULL);
	pthread_join(other, NULL);
	for (int i = 0; i < 2; i++) {
		assert_done(lfi_fn_call(busy_fns[i], &busy->ctx, args, &ret));
		assert_int_equal(ret.i, 3);
	}
	return x;
}

static void
a_prepared_call_of_a_busy_context_says_so(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr apply = LOAD(f.box, code_call_plus1);
	struct LFIFn *fn = lfi_fn_new(f.box, apply, "i(pi)");
	union LFIValue args[2] = {{.p = lfi_box_register_cb(f.box, (void *) prepared_callback)}, {.i = 5}}, ret;

	busy = &f;
	busy_add = LOAD(f.box, code_add);
	busy_fns[0] = lfi_fn_new(f.box, busy_add, "i(ii)");
	busy_fns[1] = lfi_fn_new(f.box, busy_add, "i(iiiiiii)");
	/* The first time the context is this thread's alone, then it is known to be shared. */
	for (int i = 0; i < 3; i++) {
		assert_done(lfi_fn_call(fn, &f.ctx, args, &ret));
		assert_int_equal(ret.i, 6);
	}
	for (int i = 0; i < 2; i++)
		lfi_fn_free(busy_fns[i]);
	lfi_fn_free(fn);
	drop(&f);
}

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void *
take_turns(void *arg)
{
	long wrong = 0;

	for (int i = 0; i < 5000; i++) {
		pthread_mutex_lock(&turn);
		wrong += LFI_INVOKE(busy->box, &busy->ctx, busy_add, int, (int, int), i, 1) != i + 1;
		pthread_mutex_unlock(&turn);
	}
	return (void *) wrong;
}

static void *
crowd(void *arg)
{
	long wrong = 0;

	for (int i = 0; i < 5000; i++) {
		int r = LFI_INVOKE(busy->box, &busy->ctx, busy_add, int, (int, int), i, 1);

		wrong += r != i + 1 && !(r == 0 && lfi_errno() == LFI_ERR_BUSY);
	}
	return (void *) wrong;
}

static void
in_threads(void *(*fn)(void *), int n)
{
	pthread_t threads[8];
	void *wrong;

	for (int i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, fn, NULL);
	for (int i = 0; i < n; i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
}

static void
threads_may_take_turns_in_a_context(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	busy = &f;
	busy_add = LOAD(f.box, code_add);
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, busy_add, int, (int, int), 1, 1), 2);
	in_threads(take_turns, 4);
	drop(&f);
}

static void
threads_that_crowd_a_context_get_in_one_by_one_or_not_at_all(void **state)
{
	for (int i = 0; i < 20; i++) {
		struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

		busy = &f;
		busy_add = LOAD(f.box, code_add);
		in_threads(crowd, 3);
		assert_int_equal(LFI_INVOKE(f.box, &f.ctx, busy_add, int, (int, int), 1, 1), 2);
		drop(&f);
	}
}

static void *
enter_another_context(void *arg)
{
	struct LFIContext *ctx = lfi_ctx_new(busy->box, NULL);

	lfi_ctx_regs(ctx)->sp = busy->stack - 8 * PAGE;
	LFI_INVOKE(busy->box, &ctx, busy_add, int, (int, int), 1, 2);
	intptr_t error = lfi_errno();
	lfi_ctx_free(ctx);
	return (void *) error;
}

static int
callback_with_another_context(int x)
{
	pthread_t other;
	void *error;

	pthread_create(&other, NULL, enter_another_context, NULL);
	pthread_join(other, &error);
	/* On this thread it is fine. */
	if (enter_another_context(NULL) != NULL)
		return -1;
	return (int) (intptr_t) error;
}

static void
a_single_thread_box_has_one_thread_at_a_time(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.single_thread = true, .no_verify = true});
	lfiptr p = LOAD(f.box, code_apply);
	void *cb = lfi_box_register_cb(f.box, callback_with_another_context);

	busy = &f;
	busy_add = LOAD(f.box, code_add);
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (void *, int), cb, 0), LFI_ERR_BUSY);
	drop(&f);

	f = fixture((struct LFIOptions) {.boxsize = 0});
	p = LOAD(f.box, code_apply);
	cb = lfi_box_register_cb(f.box, callback_with_another_context);
	busy_add = LOAD(f.box, code_add);
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (void *, int), cb, 0), LFI_OK);
	drop(&f);
}

static void *
map_over_the_stack(void *arg)
{
	bool failed = lfi_box_mapat(busy->box, busy->stack - PAGE, PAGE, RW, LFI_MAP_FIXED | ANON, -1, 0) == FAILED;

	return (void *) (intptr_t) (failed ? lfi_errno() : LFI_OK);
}

static int
callback_while_another_thread_maps(int x)
{
	pthread_t thread;
	void *error;

	pthread_create(&thread, NULL, map_over_the_stack, NULL);
	pthread_join(thread, &error);
	/* This thread may, for nothing executes now. */
	if (lfi_box_mapany(busy->box, PAGE, RW, ANON, -1, 0) == FAILED)
		return -1;
	return (int) (intptr_t) error;
}

static void
a_single_thread_box_is_not_mapped_over_while_it_executes(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.single_thread = true, .no_verify = true});
	lfiptr p = LOAD(f.box, code_apply);
	void *cb = lfi_box_register_cb(f.box, callback_while_another_thread_maps);

	busy = &f;
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (void *, int), cb, 0), LFI_ERR_BUSY);
	assert_ptr_equal(map_over_the_stack(NULL), (void *) LFI_OK);
	drop(&f);
}

static int copied_by_handler;

static void
copies(int sig)
{
	copied_by_handler = lfi_box_copyto(busy->box, busy->buffer + 8, "x", 1) < 0 ? lfi_errno() : LFI_OK;
}

static void *
loop_until_stored(void *arg)
{
	LFI_INVOKE(busy->box, &busy->ctx, busy_add, int, (unsigned), (unsigned) busy->buffer);
	return (void *) (intptr_t) lfi_errno();
}

/* Scheme section 8. Memory that is written through a pointer of the host's is what the host says. */
static void
a_single_thread_box_is_not_written_while_it_executes(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.single_thread = true, .no_verify = true});
	struct sigaction action = {.sa_handler = copies, .sa_flags = SA_ONSTACK}, old;
	pthread_t thread;
	void *error;

	busy = &f;
	busy_add = LOAD(f.box, code_loop);
	copied_by_handler = -1;
	sigaction(SIGUSR1, &action, &old);
	assert_int_equal(pthread_create(&thread, NULL, loop_until_stored, NULL), 0);
	while (atomic_load(&f.ctx->state) != STATE_SANDBOX)
		sched_yield();
	assert_int_equal(lfi_box_copyto(f.box, f.buffer + 8, "x", 1), -1);
	assert_error(LFI_ERR_BUSY);
	/* Nor by the thread that executes, from a signal handler. */
	if (!THREAD_SANITIZER) {
		pthread_kill(thread, SIGUSR1);
		while (*(volatile int *) &copied_by_handler == -1)
			sched_yield();
		assert_int_equal(copied_by_handler, LFI_ERR_BUSY);
	}
	*(_Atomic int *) lfi_box_ptr(f.box, f.buffer, 4) = 1;
	pthread_join(thread, &error);
	assert_ptr_equal(error, (void *) LFI_OK);
	assert_done(lfi_box_copyto(f.box, f.buffer + 8, "x", 1));
	sigaction(SIGUSR1, &old, NULL);
	drop(&f);
}

static void
a_context_that_another_owns_is_not_freed(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	ctx_set_owned(f.ctx);
	lfi_error_clear();
	lfi_ctx_free(f.ctx);
	assert_error(LFI_ERR_INVALID);
	assert_ptr_equal(lfi_ctx_box(f.ctx), f.box);
	drop(&f);
}

/* Returns on a stack of its own, where the handler has put the way back. */
static void
moves_the_stack(struct LFIContext *ctx)
{
	struct LFIRegs *regs = lfi_ctx_regs(ctx);
	uint64_t back, nowhere = 0;

	assert_done(lfi_box_copyfm(lfi_ctx_box(ctx), &back, regs->rsp, sizeof back));
	assert_done(lfi_box_copyto(lfi_ctx_box(ctx), regs->rsp, &nowhere, sizeof nowhere));
	regs->rsp -= 128;
	assert_done(lfi_box_copyto(lfi_ctx_box(ctx), regs->rsp, &back, sizeof back));
	regs->rax = 40;
}

static void
a_handler_may_move_the_stack(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_syscall_returns);

	lfi_sys_handler(f.engine, moves_the_stack);
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (int), 2), 42);
	assert_int_equal(lfi_errno(), LFI_OK);
	drop(&f);
}

static int
callback_that_frees(int x)
{
	lfi_ctx_free(busy->ctx);
	assert_error(LFI_ERR_BUSY);
	lfi_box_free(busy->box);
	assert_error(LFI_ERR_BUSY);
	lfi_free(busy->engine);
	assert_error(LFI_ERR_BUSY);
	return 1;
}

static void
what_is_entered_is_not_freed(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_apply);

	busy = &f;
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (void *, int), lfi_box_register_cb(f.box, callback_that_frees), 0), 1);
	lfi_ctx_free(NULL);
	lfi_box_free(NULL);
	lfi_free(NULL);
	drop(&f);
}

/* ---- Ends ---- */

static int count;

static void
exit_at_ten(struct LFIContext *ctx)
{
	if (++count == 10)
		lfi_ctx_exit(ctx, 12);
}

static void
a_run_ends_when_a_handler_says_so(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_spin);

	lfi_sys_handler(f.engine, exit_at_ten);
	for (int i = 0; i < 3; i++) {
		count = 0;
		assert_int_equal(lfi_ctx_run(f.ctx, p), 12);
		assert_int_equal(lfi_errno(), LFI_OK);
		assert_int_equal(count, 10);
	}
	assert_int_equal(lfi_ctx_run(f.ctx, 12345), -1);
	assert_error(LFI_ERR_RANGE);
	drop(&f);
}

static void
an_exit_in_a_call_without_a_run_ends_the_call(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_spin);

	lfi_sys_handler(f.engine, exit_at_ten);
	count = 0;
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (void)), 0);
	assert_error(LFI_ERR_INTERRUPTED);
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_add), int, (int, int), 1, 2), 3);
	drop(&f);
}

static void
callbacks_work_in_a_run(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	uint8_t code[sizeof code_apply];

	/* To the callback, whose return goes to the word on the stack: the code that makes the last system call. */
	lfi_sys_handler(f.engine, exit_at_ten);
	count = 9;
	seventh = -1;
	memcpy(code, code_apply, sizeof code);
	uint64_t last = LOAD(f.box, code_syscall);
	lfi_ctx_regs(f.ctx)->rdi = (uint64_t) lfi_box_register_cb(f.box, remember_seventh);
	lfi_ctx_regs(f.ctx)->sp = f.stack - 256;
	assert_done(lfi_box_copyto(f.box, f.stack - 256, &last, sizeof last));
	assert_int_equal(lfi_ctx_run(f.ctx, LOAD(f.box, code)), 12);
	assert_int_equal(seventh, 0);
	drop(&f);
}

static lfiptr inner_run;
static int inner_runs;

/* At first runs something else, which ends at once. */
static void
handler_that_runs(struct LFIContext *ctx)
{
	if (inner_runs++ == 0) {
		assert_int_equal(lfi_ctx_run(ctx, inner_run), 4);
		return;
	}
	lfi_ctx_exit(ctx, inner_runs == 2 ? 4 : 5);
}

static void
a_run_in_a_handler_ends_by_itself(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	inner_runs = 0;
	inner_run = LOAD(f.box, code_spin);
	lfi_sys_handler(f.engine, handler_that_runs);
	/* The outer one goes on, and ends at its next system call. */
	assert_int_equal(lfi_ctx_run(f.ctx, inner_run), 5);
	assert_int_equal(inner_runs, 3);
	drop(&f);
}

static struct LFIContext *run_ctx;
static int inner_errno, unwound;

static int
exiting_callback(int x)
{
	lfi_ctx_exit(lfi_cur_ctx(), 33);
	return 0;
}

static lfiptr exit_apply;
static void *exit_cb;

/* In a run: calls a function that calls a callback that exits. */
static void
handler_that_invokes(struct LFIContext *ctx)
{
	LFI_INVOKE(lfi_ctx_box(ctx), &ctx, exit_apply, int, (void *, int), exit_cb, 1);
	inner_errno = lfi_errno();
	unwound++;
}

static void
an_exit_in_a_callback_unwinds_to_the_run(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	exit_apply = LOAD(f.box, code_call_plus1);
	exit_cb = lfi_box_register_cb(f.box, exiting_callback);
	lfi_sys_handler(f.engine, handler_that_invokes);
	unwound = 0;
	assert_int_equal(lfi_ctx_run(f.ctx, LOAD(f.box, code_spin)), 33);
	assert_int_equal(unwound, 1);
	assert_int_equal(inner_errno, LFI_ERR_INTERRUPTED);
	run_ctx = f.ctx;
	lfi_ctx_exit(f.ctx, 5); /* not entered: nothing */
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_add), int, (int, int), 1, 2), 3);
	drop(&f);
}

static struct LFIFn *ending_fn;
static struct LFIContext *ending_ctx;
static lfiptr ending_target;
static void *ending_cb;
static int ending_depth, ending_seen;

/* Calls itself through the sandbox, twice; the innermost ends its call. */
static void
ending_callback(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	union LFIValue inner[2] = {{.u = (uint64_t) ending_cb}, {.i = 1}}, got = {.i = 0};
	int r;

	if (++ending_depth == 3) {
		lfi_ctx_end_call(ctx);
		return;
	}
	r = ending_depth == 1 ? lfi_fn_call(ending_fn, &ending_ctx, inner, &got)
			      : lfi_call(ctx, ending_target, "i(pi)", inner, &got);
	if (r < 0 && lfi_errno() == LFI_ERR_INTERRUPTED)
		ending_seen++;
	ret->i = r < 0 ? 100 : got.i;
}

static void
a_call_that_is_ended_leaves_those_around_it(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	union LFIValue args[2] = {{.i = 0}, {.i = 1}}, ret = {.i = 0};

	assert_true(lfi_box_cbinit(f.box));
	ending_ctx = f.ctx;
	ending_target = LOAD(f.box, code_call_plus1);
	ending_fn = lfi_fn_new(f.box, ending_target, "i(pi)");
	ending_cb = lfi_box_register_fn(f.box, "i(i)", ending_callback, NULL);
	assert_non_null(ending_cb);
	args[0].u = (uint64_t) ending_cb;
	for (int i = 0; i < 2; i++) {
		ending_depth = ending_seen = 0;
		assert_done(i ? lfi_call(f.ctx, ending_target, "i(pi)", args, &ret) : lfi_fn_call(ending_fn, &f.ctx, args, &ret));
		assert_int_equal(ending_seen, 1);
		assert_int_equal(ret.i, 102);
	}
	/* The outermost one, too. */
	ending_depth = 2;
	assert_int_equal(lfi_fn_call(ending_fn, &f.ctx, args, &ret), -1);
	assert_error(LFI_ERR_INTERRUPTED);
	lfi_ctx_end_call(f.ctx); /* not entered: nothing */
	ending_depth = 0;
	assert_done(lfi_fn_call(ending_fn, &f.ctx, args, &ret));
	lfi_fn_free(ending_fn);
	drop(&f);
}

static lfiptr nested_entry;

/* A call in a system call's handler: it must not disturb the registers of the call around it. */
static void
handler_that_calls(struct LFIContext *ctx)
{
	if (lfi_ctx_regs(ctx)->rax == 1)
		lfi_ctx_regs(ctx)->rax = (uint64_t) LFI_INVOKE(lfi_ctx_box(ctx), &ctx, nested_entry, int, (int), 2);
	else
		lfi_ctx_regs(ctx)->rax = 5;
}

static void
a_call_in_a_handler_keeps_the_registers_around_it(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	uint32_t got[96];
	uint64_t regs[14];

	lfi_sys_handler(f.engine, handler_that_calls);
	nested_entry = LOAD(f.box, code_syscall_returns);
	LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_keep), void, (lfiptr), f.buffer);
	assert_int_equal(lfi_errno(), LFI_OK);
	peek(&f, got, sizeof got);
	memcpy(regs, got, sizeof regs);
	assert_int_equal(regs[0], 5 + 2);
	assert_int_equal(regs[3], 4);
	assert_int_equal(regs[12], 13);
	assert_int_equal(regs[13], 14);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(got[32 + i], 0x1000 + i / 4);
	drop(&f);
}

/* ---- Where a handler may send the sandbox ---- */

static uint64_t redirect_pc, redirect_sp;

static void
redirecting_handler(struct LFIContext *ctx)
{
	struct LFIRegs *regs = lfi_ctx_regs(ctx);

	if (regs->rax != 42) {
		lfi_ctx_exit(ctx, 1);
		return;
	}
	regs->r11 = redirect_pc;
	if (redirect_sp)
		regs->rsp = redirect_sp;
}

static int host_function_ran;

static void
host_function(void)
{
	host_function_ran = 1;
	_exit(99);
}

static void
a_handler_can_send_the_sandbox_only_to_itself(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_syscall), q = LOAD(f.box, code_dump);
	struct LFIFault fault;

	lfi_sys_handler(f.engine, redirecting_handler);
	redirect_pc = (uint64_t) (uintptr_t) host_function;
	redirect_sp = (uint64_t) (uintptr_t) &fault;
	assert_int_equal(lfi_ctx_run(f.ctx, p), -1);
	assert_error(LFI_ERR_FAULT);
	assert_int_equal(host_function_ran, 0);
	assert_int_equal(lfi_ctx_fault(f.ctx, &fault), 0);
	lfiptr base = lfi_box_info(f.box).base;
	assert_true(fault.pc >= base && fault.pc < base + ((uint64_t) 1 << 32));
	assert_true(fault.regs.rsp >= base && fault.regs.rsp <= base + ((uint64_t) 1 << 32));
	/* To a bundle's start only: q + 5 is inside an instruction. */
	redirect_pc = q + 5;
	redirect_sp = 0;
	lfi_ctx_regs(f.ctx)->rdi = f.buffer;
	lfi_ctx_regs(f.ctx)->sp = f.stack - 64;
	lfi_ctx_run(f.ctx, p);
	uint64_t got[12];
	peek(&f, got, sizeof got);
	assert_int_equal(got[11], q);
	drop(&f);
}

static void
a_run_starts_with_a_stack_pointer_in_the_sandbox(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	uint64_t host_words[64] = {0};

	lfi_ctx_regs(f.ctx)->sp = (uint64_t) &host_words[64];
	lfi_ctx_regs(f.ctx)->rax = 0x5ec2e7;
	assert_int_equal(lfi_ctx_run(f.ctx, LOAD(f.box, code_overflow)), -1);
	assert_error(LFI_ERR_FAULT);
	for (int i = 0; i < 64; i++)
		assert_int_equal(host_words[i], 0);
	drop(&f);
}

/* ---- Signatures: memory, x87, nesting, prepared calls ---- */

#define RETURN 0x41, 0x5b, 0x41, 0x83, 0xe3, 0xe0, 0x4d, 0x01, 0xf3, 0x41, 0xff, 0xe3

static uint8_t code_copy_24[] = {
	0x48, 0x8b, 0x44, 0x24, 0x08,       /* movq 8(%rsp), %rax */
	0x65, 0x67, 0x48, 0x89, 0x07,       /* movq %rax, %gs:(%edi) */
	0x48, 0x8b, 0x44, 0x24, 0x10,       /* movq 16(%rsp), %rax */
	0x65, 0x67, 0x48, 0x89, 0x47, 0x08, /* movq %rax, %gs:8(%edi) */
	0x48, 0x8b, 0x44, 0x24, 0x18,       /* movq 24(%rsp), %rax */
	0x65, 0x67, 0x48, 0x89, 0x47, 0x10, /* movq %rax, %gs:16(%edi) */
	0x31, 0xc0,                         /* xorl %eax, %eax: the host does not believe it */
	RETURN,
};

static uint8_t code_add_long_doubles[] = {
	0xdb, 0x6c, 0x24, 0x08, /* fldt 8(%rsp) */
	0xdb, 0x6c, 0x24, 0x18, /* fldt 24(%rsp) */
	0xde, 0xc1,             /* faddp */
	RETURN,
};

static uint8_t code_x87_pending[] = {
	0x6a, 0x00,       /* pushq $0 */
	0xd9, 0x2c, 0x24, /* fldcw (%rsp): all exceptions unmasked */
	0x58,             /* popq %rax */
	0xd9, 0xe8,       /* fld1 */
	0xd9, 0xee,       /* fldz */
	0xde, 0xf9,       /* fdivrp, by zero: pending */
	RETURN,
};

/* Returns all bits of its first argument. */
static uint8_t code_same[] = {0x48, 0x89, 0xf8, RETURN};

struct Big {
	int64_t a, b, c;
};

static void
large_structs_go_by_memory_and_come_back(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_copy_24);
	struct Big in = {1, -2, 3}, out = {0, 0, 0};
	union LFIValue arg = {.p = &in}, ret = {.p = &out};
	uint64_t sp = lfi_ctx_regs(f.ctx)->sp;

	assert_done(lfi_call(f.ctx, p, "{lll}({lll})", &arg, &ret));
	assert_memory_equal(&in, &out, sizeof in);
	memset(&out, 0, sizeof out);
	assert_done(lfi_call(f.ctx, p, "{l{l[2i]}}({[3l]})", &arg, &ret));
	assert_memory_equal(&in, &out, sizeof in);
	assert_done(lfi_call(f.ctx, p, "{lll}({lll})", &arg, NULL));
	assert_int_equal(lfi_ctx_regs(f.ctx)->sp, sp);
	/* No room for the result. */
	lfi_ctx_regs(f.ctx)->sp = lfi_box_info(f.box).min + 200;
	assert_int_equal(lfi_call(f.ctx, p, "{[100l]}({lll})", &arg, NULL), -1);
	assert_error(LFI_ERR_RANGE);
	lfi_ctx_regs(f.ctx)->sp = 7;
	assert_int_equal(lfi_call(f.ctx, p, "{[100l]}({lll})", &arg, NULL), -1);
	assert_error(LFI_ERR_RANGE);
	/* Its pages are not there. */
	lfi_ctx_regs(f.ctx)->sp = f.stack - STACK_BYTES + 4096;
	assert_int_equal(lfi_call(f.ctx, p, "{[1000l]}({lll})", &arg, NULL), -1);
	assert_error(LFI_ERR_UNMAPPED);
	assert_int_equal(lfi_ctx_regs(f.ctx)->sp, f.stack - STACK_BYTES + 4096);
	drop(&f);
}

static void
long_doubles_go_in_and_come_back(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_add_long_doubles);
	long double a = 1.25L, b = 0x1.0000000000000002p3L, sum = 0;
	union LFIValue args[2] = {{.p = &a}, {.p = &b}}, ret = {.p = &sum};
	struct LFIFn *fn = lfi_fn_new(f.box, p, "D(DD)");

	assert_done(lfi_call(f.ctx, p, "D(DD)", args, &ret));
	assert_true(sum == a + b);
	sum = 0;
	assert_done(lfi_fn_call(fn, &f.ctx, args, &ret));
	assert_true(sum == a + b);
	/* A struct of one is returned alike. */
	sum = 0;
	assert_done(lfi_call(f.ctx, p, "{D}({D}D)", args, &ret));
	assert_true(sum == a + b);
	assert_true(LFI_INVOKE(f.box, &f.ctx, p, long double, (long double, long double), a, b) == a + b);
	/* What is pending does not trap in the host. */
	assert_done(lfi_call(f.ctx, LOAD(f.box, code_x87_pending), "D()", NULL, &ret));
	LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_x87_pending), long double, (void));
	assert_int_equal(lfi_errno(), LFI_OK);
	__asm__ volatile("fwait");
	assert_true(LFI_INVOKE(f.box, &f.ctx, 8, long double, (void)) == 0);
	assert_error(LFI_ERR_RANGE);
	lfi_fn_free(fn);
	drop(&f);

	/* Code without x87 cannot return one: not what the host had there. */
	f = fixture((struct LFIOptions) {.boxsize = 0});
	__asm__ volatile("fldpi; fldpi; fcompp" ::: "memory");
	sum = 5;
	assert_done(lfi_call(f.ctx, LOAD(f.box, code_same), "D()", NULL, &ret));
	assert_true(sum == 0);
	drop(&f);
}

static void
bools_are_0_or_1(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_same);
	union LFIValue arg = {.u = 0x500}, ret;

	assert_true(LFI_INVOKE(f.box, &f.ctx, p, _Bool, (unsigned), 0x102) == 1);
	assert_true(LFI_INVOKE(f.box, &f.ctx, p, _Bool, (unsigned), 0x100) == 0);
	assert_done(lfi_call(f.ctx, p, "?(L)", &arg, &ret));
	assert_int_equal(ret.u, 0);
	arg.u = 0x502;
	assert_done(lfi_call(f.ctx, p, "?(L)", &arg, &ret));
	assert_int_equal(ret.u, 1);
	assert_done(lfi_call(f.ctx, p, "L(?)", &arg, &ret));
	assert_int_equal(ret.u, 1);
	drop(&f);
}

static struct LFIContext *
clone_for_fn(struct LFIBox *box)
{
	struct LFIContext *ctx = lfi_ctx_new(box, NULL);

	lfi_ctx_regs(ctx)->sp = lfi_box_info(box).max;
	lfi_ctx_regs(ctx)->sp = map(box, PAGE) + PAGE;
	return ctx;
}

static void
prepared_calls_are_calls(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0}), other = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr add = LOAD(f.box, code_add);
	struct LFIFn *fn = lfi_fn_new(f.box, add, "i(ii...)"), *many = lfi_fn_new(f.box, add, "i(iiiiiii)");
	struct LFIContext *none = NULL;
	union LFIValue seven[7] = {{.i = 40}, {.i = 2}};
	union LFIValue args[2] = {{.i = 40}, {.i = -2}}, ret = {.i = 0};

	assert_non_null(fn);
	assert_done(lfi_fn_call(fn, &f.ctx, args, &ret));
	assert_int_equal(ret.i, 38);
	assert_int_equal(lfi_errno(), LFI_OK);
	assert_done(lfi_fn_call(fn, &f.ctx, args, NULL));
	assert_int_equal(lfi_fn_call(fn, &f.ctx, NULL, &ret), -1);
	assert_error(LFI_ERR_SIGNATURE);
	assert_int_equal(lfi_fn_call(NULL, &f.ctx, args, &ret), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_fn_call(fn, NULL, args, &ret), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_fn_call(fn, &other.ctx, args, &ret), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_fn_call(many, &other.ctx, seven, &ret), -1); /* not the quick way */
	assert_error(LFI_ERR_INVALID);
	assert_done(lfi_fn_call(many, &f.ctx, seven, &ret));
	lfi_fn_free(many);
	assert_int_equal(lfi_fn_call(fn, &none, args, &ret), -1);
	assert_error(LFI_ERR_INVALID);
	lfi_set_clone_cb(f.engine, clone_for_fn);
	assert_done(lfi_fn_call(fn, &none, args, &ret));
	assert_non_null(none);
	none = lfi_ctx_clone(f.box); /* one can be had before the first call, for a deadline */
	assert_non_null(none);
	assert_true(lfi_ctx_box(none) == f.box);
	assert_done(lfi_ctx_deadline_at(none, 1));
	assert_int_equal(lfi_fn_call(fn, &none, args, &ret), -1);
	assert_error(LFI_ERR_DEADLINE);
	assert_done(lfi_fn_call(fn, &none, args, &ret));
	lfi_fn_free(fn);
	assert_null(lfi_fn_new(NULL, 0, "i()"));
	assert_error(LFI_ERR_INVALID);
	assert_null(lfi_fn_new(f.box, 5, "i()"));
	assert_error(LFI_ERR_RANGE);
	assert_null(lfi_fn_new(f.box, f.buffer, "i(q)"));
	assert_error(LFI_ERR_SIGNATURE);
	assert_non_null(strstr(lfi_errmsg(), "character 3"));
	fn = lfi_fn_new(f.box, f.buffer, "v()"); /* no code */
	assert_int_equal(lfi_fn_call(fn, &f.ctx, NULL, NULL), -1);
	assert_error(LFI_ERR_FAULT);
	lfi_fn_free(fn);
	lfi_fn_free(NULL);
	drop(&other);
	drop(&f);
}

/* Any text is refused or prepared, and what is prepared can be called. */
static void
no_signature_crashes(void **state)
{
	static const char letters[] = "bB?hHiIlLpfdDv{}[]()..12345{{[i(";
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_same);
	uint64_t seed = 88172645463325252u, parsed = 0;
	static uint8_t space[1 << 17];
	union LFIValue args[64], ret = {.p = space};

	for (size_t i = 0; i < 64; i++)
		args[i].p = space;
	for (int i = 0; i < 200000; i++) {
		char text[48];
		size_t n = 0;

		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		if (seed % 4)
			text[n++] = "vi{d"[seed >> 8 & 3], text[n++] = seed >> 10 & 1 ? '(' : 'i';
		for (size_t length = n + (seed >> 20) % 40; n < length;) {
			seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
			text[n++] = letters[seed % (sizeof letters - 1)];
		}
		if (seed >> 40 & 1)
			text[n++] = ')';
		text[n] = 0;
		struct LFIFn *fn = lfi_fn_new(f.box, p, text);
		if (!fn) {
			assert_int_equal(lfi_errno(), LFI_ERR_SIGNATURE);
			continue;
		}
		parsed++;
		ret.p = space;
		lfi_fn_call(fn, &f.ctx, args, &ret);
		lfi_fn_free(fn);
	}
	assert_true(parsed > 1000);
	char *longest = malloc(9000);
	memset(longest, 'i', 9000);
	longest[1] = '(';
	longest[8999] = 0;
	assert_null(lfi_fn_new(f.box, p, longest));
	assert_error(LFI_ERR_SIGNATURE);
	free(longest);
	drop(&f);
}

/* ---- Typed host functions. Called as functions of the sandbox: an entry is one. ---- */

static int typed_user, typed_calls;

static void
typed_all(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	struct Big big;
	int64_t pair[2];
	long double real;

	typed_calls++;
	assert_ptr_equal(user, &typed_user);
	assert_ptr_equal(ctx, lfi_cur_ctx());
	assert_int_equal(args[0].i, -1);
	assert_int_equal(args[1].u, 0xfff0);
	assert_true(args[2].f == 1.5f);
	assert_int_equal(args[2].u >> 32, 0);
	assert_true(args[3].d == -2.25);
	memcpy(pair, args[4].p, sizeof pair);
	assert_int_equal(pair[0], 77);
	memcpy(&real, args[5].p, sizeof real);
	assert_true(real == 3.5L);
	memcpy(&big, args[6].p, sizeof big);
	assert_int_equal(big.c, 3);
	for (int i = 7; i < 14; i++)
		assert_int_equal(args[i].i, i);
	ret->i = 0x1234567800000001;
}

static void
a_typed_function_gets_its_arguments(void **state)
{
	static const char sig[] = "i(bHfd{ld}D{lll}iiiiiii)";
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	void *at = lfi_box_register_fn(f.box, sig, typed_all, &typed_user);
	struct { int64_t l; double d; } pair = {77, 1};
	struct Big big = {1, 2, 3};
	long double real = 3.5L;
	union LFIValue args[14] = {{.i = -1}, {.u = 0xabcdfff0}, {.f = 1.5f}, {.d = -2.25}, {.p = &pair}, {.p = &real}, {.p = &big}}, ret;

	assert_non_null(at);
	for (int i = 7; i < 14; i++)
		args[i].i = i;
	typed_calls = 0;
	assert_done(lfi_call(f.ctx, (lfiptr) at, sig, args, &ret));
	assert_int_equal(typed_calls, 1);
	assert_int_equal(ret.i, 1);
	drop(&f);
}

static void
typed_result(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	const struct Big big = {0x1111, 0x2222, 0x3333};

	switch ((intptr_t) user) {
	case 0:
		memset(ret, 0xff, sizeof *ret);
		break;
	case 1:
		memcpy(ret->p, &big, 16);
		break;
	case 2:
		memcpy(ret->p, &big, sizeof big);
		break;
	default:
		*(long double *) ret->p = 2.5L;
	}
}

/* buffer, callback, what to go on with */
static uint8_t code_call_then[] = {
	0x49, 0x89, 0xfc, /* movq %rdi, %r12 */
	0x49, 0x89, 0xd5, /* movq %rdx, %r13 */
	0x49, 0x89, 0xf3, /* movq %rsi, %r11 */
	0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
	0x41, 0x83, 0xe3, 0xe0, /* andl $-32, %r11d */
	0x4d, 0x01, 0xf3,       /* addq %r14, %r11 */
	0x41, 0xff, 0xd3,       /* callq *%r11 */
	0x4c, 0x89, 0xe7,       /* movq %r12, %rdi */
	0x4d, 0x89, 0xeb,       /* movq %r13, %r11 */
	0x41, 0x83, 0xe3, 0xe0, /* andl $-32, %r11d */
	0x4d, 0x01, 0xf3,       /* addq %r14, %r11 */
	0x41, 0xff, 0xe3,       /* jmpq *%r11 */
};

static void
a_typed_function_gives_its_result_and_nothing_else(void **state)
{
	static const struct {
		const char *sig;
		intptr_t user;
		uint64_t rax, rdx, xmm0, xmm1;
	} rows[] = {
		{"v()", 0, 0, 0, 0, 0},
		{"?()", 0, 1, 0, 0, 0},
		{"B()", 0, 0xff, 0, 0, 0},
		{"H()", 0, 0xffff, 0, 0, 0},
		{"I()", 0, 0xffffffff, 0, 0, 0},
		{"i()", 0, UINT64_MAX, 0, 0, 0},
		{"f()", 0, 0, 0, 0xffffffff, 0},
		{"d()", 0, 0, 0, UINT64_MAX, 0},
		{"{ll}()", 1, 0x1111, 0x2222, 0, 0},
		{"{ld}()", 1, 0x1111, 0, 0x2222, 0},
		{"{dl}()", 1, 0x2222, 0, 0x1111, 0},
		{"{dd}()", 1, 0, 0, 0x1111, 0x2222},
	};
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_dump_after_call);
	union LFIValue ret;
	uint64_t got[48];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		void *at = lfi_box_register_fn(f.box, rows[i].sig, typed_result, (void *) rows[i].user);

		LFI_INVOKE(f.box, &f.ctx, p, void, (lfiptr, void *), f.buffer, at);
		assert_int_equal(lfi_errno(), LFI_OK);
		peek(&f, got, sizeof got);
		assert_int_equal(LFI_INVOKE(f.box, &f.ctx, (lfiptr) at, uint64_t, (void)), rows[i].rax);
		assert_int_equal(got[2], rows[i].rdx);
		/* The dump leaves out rax and xmm0. */
		assert_done(lfi_call(f.ctx, (lfiptr) at, "d()", NULL, &ret));
		assert_int_equal(ret.u, rows[i].xmm0);
		assert_int_equal(got[18], rows[i].xmm1);
		for (int j = 1; j < 48; j++)
			if (j != 2 && j != 15 && j != 16 && j != 18)
				assert_int_equal(got[j], 0);
		assert_int_equal(lfi_box_unregister_fn(f.box, at), 0);
	}
	drop(&f);
}

static void
typed_results_come_in_memory_and_st0(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	void *big_fn = lfi_box_register_fn(f.box, "{lll}()", typed_result, (void *) 2);
	void *real_fn = lfi_box_register_fn(f.box, "D()", typed_result, (void *) 3);
	lfiptr p = LOAD(f.box, code_call_then), dump = LOAD(f.box, code_dump_x87);
	struct Big big;
	long double real;
	union LFIValue ret = {.p = &big}, bad[1] = {{.u = 0x20000}};
	uint8_t got[108];
	uint32_t words[7];

	assert_done(lfi_call(f.ctx, (lfiptr) big_fn, "{lll}()", NULL, &ret));
	assert_int_equal(big.c, 0x3333);
	assert_int_equal(lfi_call(f.ctx, (lfiptr) big_fn, "p(p)", bad, NULL), -1);
	assert_error(LFI_ERR_FAULT);
	bad[0].u = (uint64_t) &big; /* the host's: masked */
	big.c = 5;
	lfi_call(f.ctx, (lfiptr) big_fn, "p(p)", bad, NULL);
	assert_int_equal(big.c, 5);
	ret.p = &real;
	assert_done(lfi_call(f.ctx, (lfiptr) real_fn, "D()", NULL, &ret));
	assert_true(real == 2.5L);
	/* The pointers to the last instruction and operand are not the host's. */
	LFI_INVOKE(f.box, &f.ctx, p, void, (lfiptr, void *, lfiptr), f.buffer, real_fn, dump);
	assert_int_equal(lfi_errno(), LFI_OK);
	peek(&f, got, sizeof got);
	memcpy(words, got, sizeof words);
	assert_int_equal(words[3] & ~0xfffu, (uint32_t) (uint64_t) f.engine->stubs.code);
	if (words[5])
		assert_int_equal(words[5] & ~0xfffu, (uint32_t) (uint64_t) f.engine->stubs.code);
	real = 0;
	memcpy(&real, got + 28, 10);
	assert_true(real == 2.5L);
	for (size_t i = 48; i < 98; i++)
		assert_int_equal(got[i], 0);
	drop(&f);
}

static lfiptr typed_nested;
static int typed_error;

static void
typed_misbehaves(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	typed_calls++;
	if (user == (void *) 1) {
		lfi_ctx_exit(ctx, 3);
	} else if (user == (void *) 2) {
		ret->i = LFI_INVOKE(lfi_ctx_box(ctx), &ctx, typed_nested, int, (void));
		typed_error = lfi_errno();
	} else {
		lfi_box_unregister_fn(lfi_ctx_box(ctx), user);
	}
}

static void
typed_functions_may_exit_nest_and_go(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	void *exits = lfi_box_register_fn(f.box, "v()", typed_misbehaves, (void *) 1);
	void *nests = lfi_box_register_fn(f.box, "i()", typed_misbehaves, (void *) 2), *goes;
	union LFIValue ret;

	assert_int_equal(lfi_call(f.ctx, (lfiptr) exits, "v()", NULL, NULL), -1);
	assert_error(LFI_ERR_INTERRUPTED);
	typed_nested = f.buffer;
	assert_done(lfi_call(f.ctx, (lfiptr) nests, "i()", NULL, &ret));
	assert_int_equal(ret.i, 0);
	assert_int_equal(typed_error, LFI_ERR_FAULT);
	for (int i = 0; i < 3; i++) {
		goes = lfi_box_register_fn(f.box, "i()", typed_misbehaves, (char *) exits + 64);
		assert_ptr_equal(goes, (char *) exits + 64);
		assert_done(lfi_call(f.ctx, (lfiptr) goes, "i()", NULL, &ret));
		assert_int_equal(lfi_call(f.ctx, (lfiptr) goes, "i()", NULL, &ret), -1);
		assert_error(LFI_ERR_FAULT);
		assert_int_equal(lfi_box_unregister_fn(f.box, goes), -1);
		assert_error(LFI_ERR_NOTFOUND);
	}
	drop(&f);
}

static void
typed_functions_are_registered_with_care(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct LFIBox *box = lfi_box_new(f.engine);
	union LFIValue args[40] = {{.i = 0}};
	char many[80];
	void *at = NULL, *first = NULL;

	assert_null(lfi_box_register_fn(NULL, "v()", typed_misbehaves, NULL));
	assert_error(LFI_ERR_INVALID);
	assert_null(lfi_box_register_fn(f.box, "v()", NULL, NULL));
	assert_error(LFI_ERR_INVALID);
	assert_null(lfi_box_register_fn(f.box, "v(", typed_misbehaves, NULL));
	assert_error(LFI_ERR_SIGNATURE);
	assert_null(lfi_box_register_fn(f.box, NULL, typed_misbehaves, NULL));
	assert_error(LFI_ERR_SIGNATURE);
	assert_null(lfi_box_register_fn(box, "v()", typed_misbehaves, NULL));
	assert_error(LFI_ERR_INVALID);
	memset(many, 'i', sizeof many);
	memcpy(many, "v(", 2);
	memcpy(many + 2 + 65, ")", 2);
	assert_null(lfi_box_register_fn(f.box, many, typed_misbehaves, NULL));
	assert_error(LFI_ERR_LIMIT);
	assert_null(lfi_box_register_fn(f.box, "v({[129l]})", typed_misbehaves, NULL));
	assert_error(LFI_ERR_LIMIT);
	assert_null(lfi_box_register_fn(f.box, "{[129l]}()", typed_misbehaves, NULL));
	assert_error(LFI_ERR_LIMIT);
	assert_null(lfi_box_register_cb(f.box, (void *) (UINT64_MAX - 7)));
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_box_unregister_fn(f.box, NULL), -1);
	assert_error(LFI_ERR_NOTFOUND);
	assert_int_equal(lfi_box_unregister_fn(NULL, NULL), -1);
	assert_error(LFI_ERR_INVALID);
	/* Stack arguments beyond the stack's end. */
	memcpy(many + 2 + 40, ")", 2);
	at = lfi_box_register_fn(f.box, many, typed_misbehaves, NULL);
	assert_int_equal(lfi_call(f.ctx, (lfiptr) at, "v()", args, NULL), -1);
	assert_error(LFI_ERR_FAULT);
	/* All entries of all pages work. */
	typed_calls = 0;
	for (int i = 1; i < 1151; i++) {
		at = lfi_box_register_fn(f.box, "v()", typed_misbehaves, NULL);
		assert_non_null(at);
		first = first ? first : at;
		assert_done(lfi_call(f.ctx, (lfiptr) at, "v()", NULL, NULL));
	}
	assert_int_equal(typed_calls, 1150);
	assert_null(lfi_box_register_fn(f.box, "v()", typed_misbehaves, NULL));
	assert_error(LFI_ERR_LIMIT);
	/* A call from elsewhere is looked for in all pages, and found in none. */
	LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_return_unasked), void, (void));
	assert_error(LFI_ERR_FAULT);
	assert_int_equal(lfi_box_unregister_fn(f.box, at), 0);
	assert_int_equal(lfi_call(f.ctx, (lfiptr) at, "v()", NULL, NULL), -1);
	assert_error(LFI_ERR_FAULT);
	assert_int_equal(lfi_box_unregister_fn(f.box, first), 0);
	assert_ptr_equal(lfi_box_register_fn(f.box, "v()", typed_misbehaves, NULL), first);
	lfi_box_free(box);
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_typed_function_gets_its_arguments),
		cmocka_unit_test(a_typed_function_gives_its_result_and_nothing_else),
		cmocka_unit_test(typed_results_come_in_memory_and_st0),
		cmocka_unit_test(typed_functions_may_exit_nest_and_go),
		cmocka_unit_test(typed_functions_are_registered_with_care),
		cmocka_unit_test(large_structs_go_by_memory_and_come_back),
		cmocka_unit_test(long_doubles_go_in_and_come_back),
		cmocka_unit_test(bools_are_0_or_1),
		cmocka_unit_test(prepared_calls_are_calls),
		cmocka_unit_test(no_signature_crashes),
		cmocka_unit_test(ten_integers_arrive_in_order),
		cmocka_unit_test(ten_doubles_arrive_in_order),
		cmocka_unit_test(floats_and_long_doubles_are_passed),
		cmocka_unit_test(calls_nest_in_argument_lists),
		cmocka_unit_test(no_word_of_the_hosts_stack_goes_in),
		cmocka_unit_test(upper_bits_of_small_arguments_are_not_the_hosts),
		cmocka_unit_test(what_cannot_be_called_says_why),
		cmocka_unit_test(a_stack_pointer_that_is_of_no_use_is_refused),
		cmocka_unit_test(values_of_each_kind_go_in_and_come_back),
		cmocka_unit_test(many_arguments_go_to_the_stack),
		cmocka_unit_test(a_hundred_arguments_are_fine),
		cmocka_unit_test(small_structs_go_by_value),
		cmocka_unit_test(signatures_that_do_not_parse_are_refused),
		cmocka_unit_test(without_init_ret_nothing_can_be_called),
		cmocka_unit_test(a_callback_gets_arguments_from_registers_and_the_stack),
		cmocka_unit_test(a_callback_at_the_very_top_of_a_stack_does_not_read_beyond),
		cmocka_unit_test(stack_arguments_are_read_in_the_sandbox_only),
		cmocka_unit_test(calls_and_callbacks_nest),
		cmocka_unit_test(calls_nest_across_sandboxes),
		cmocka_unit_test(calls_nest_until_the_hosts_stack_is_used_up),
		cmocka_unit_test(on_a_fiber_calls_nest_64_times),
		cmocka_unit_test(a_callback_that_was_taken_back_faults),
		cmocka_unit_test(callbacks_run_out_at_1151),
		cmocka_unit_test(a_return_that_nobody_asked_for_faults),
		cmocka_unit_test(a_second_thread_cannot_enter_a_context),
		cmocka_unit_test(a_prepared_call_of_a_busy_context_says_so),
		cmocka_unit_test(threads_may_take_turns_in_a_context),
		cmocka_unit_test(threads_that_crowd_a_context_get_in_one_by_one_or_not_at_all),
		cmocka_unit_test(a_single_thread_box_has_one_thread_at_a_time),
		cmocka_unit_test(a_single_thread_box_is_not_mapped_over_while_it_executes),
		cmocka_unit_test(a_single_thread_box_is_not_written_while_it_executes),
		cmocka_unit_test(a_context_that_another_owns_is_not_freed),
		cmocka_unit_test(a_handler_may_move_the_stack),
		cmocka_unit_test(what_is_entered_is_not_freed),
		cmocka_unit_test(a_run_ends_when_a_handler_says_so),
		cmocka_unit_test(an_exit_in_a_call_without_a_run_ends_the_call),
		cmocka_unit_test(callbacks_work_in_a_run),
		cmocka_unit_test(a_run_in_a_handler_ends_by_itself),
		cmocka_unit_test(an_exit_in_a_callback_unwinds_to_the_run),
		cmocka_unit_test(a_call_that_is_ended_leaves_those_around_it),
		cmocka_unit_test(a_call_in_a_handler_keeps_the_registers_around_it),
		cmocka_unit_test(a_handler_can_send_the_sandbox_only_to_itself),
		cmocka_unit_test(a_run_starts_with_a_stack_pointer_in_the_sandbox),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
