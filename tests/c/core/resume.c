/* SPDX-License-Identifier: MIT */
/* What sandboxed code sees when it goes on after a runtime call or a callback: its own state and nothing of the host's. */
#include "core_test.h"

#include "box.h"

#define SECRET 0x5ec2e75ec2e75ec2

/* Sandboxed functions, not verified; they end where the next begins. And what host functions do to registers. */
extern const uint8_t fn_syscall[], fn_masks[], fn_callback[], fn_words[], fn_push16[], fn_full_x87[], fn_pair[], fn_end[];
void dirty_avx512(void);
void dirty_rcx_and_flags(void);
__asm__(".pushsection .text\n"
	".balign 32\n"
	/* void (uint64_t *buffer): rcx, flags, L, and the word of the buffer that gs leads to, after a system call */
	"fn_syscall:\n"
	"	leaq 1f(%rip), %r11\n"
	"	jmpq *-8(%r14)\n"
	"1:	pushfq\n"
	"	popq 8(%rdi)\n"
	"	movq %rcx, (%rdi)\n"
	"	leaq 1b(%rip), %rax\n"
	"	movq %rax, 16(%rdi)\n"
	"	movl %edi, %r10d\n"
	"	movq %gs:32(%r10d), %rax\n"
	"	movq %rax, 24(%rdi)\n"
	"	ret\n"
	"	.balign 32\n"
	/* void (uint32_t *buffer): the masks after a system call */
	"fn_masks:\n"
	"	.irp i, 0,1,2,3,4,5,6,7\n"
	"	movl $0x1230 + \\i, %eax; kmovw %eax, %k\\i\n"
	"	.endr\n"
	"	leaq 1f(%rip), %r11\n"
	"	jmpq *-8(%r14)\n"
	"1:	.irp i, 0,1,2,3,4,5,6,7\n"
	"	kmovw %k\\i, %eax; movl %eax, 4*\\i(%rdi)\n"
	"	.endr\n"
	"	ret\n"
	"	.balign 32\n"
	/* void (uint64_t *buffer, void *callback): AVX-512 registers and masks after a callback */
	"fn_callback:\n"
	"	pushq %rdi\n"
	"	leaq 1f(%rip), %rax\n"
	"	pushq %rax\n"
	"	jmpq *%rsi\n"
	"	.balign 32\n"
	"1:	popq %rdi\n"
	"	.irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
	"	vmovdqu64 %zmm\\i, 64*\\i(%rdi)\n"
	"	.endr\n"
	"	.irp i, 0,1,2,3,4,5,6,7\n"
	"	kmovq %k\\i, 2048+8*\\i(%rdi)\n"
	"	.endr\n"
	"	ret\n"
	"	.balign 32\n"
	/* void (uint8_t *buffer, void *callback): control words, x87 state and what gs leads to after a callback */
	"fn_words:\n"
	"	pushq %rdi\n"
	"	pushq $0x3fa0\n"
	"	ldmxcsr (%rsp)\n"
	"	movl $0x0f7f, (%rsp)\n"
	"	fldcw (%rsp)\n"
	"	leaq 1f(%rip), %rax\n"
	"	pushq %rax\n"
	"	jmpq *%rsi\n"
	"	.balign 32\n"
	"1:	popq %rax\n"
	"	popq %rdi\n"
	"	stmxcsr 8(%rdi)\n"
	"	fnsave 16(%rdi)\n"
	"	movl %edi, %r10d\n"
	"	movq %gs:256(%r10d), %rax\n"
	"	movq %rax, 128(%rdi)\n"
	"	fninit\n"
	"	ret\n"
	"	.balign 32\n"
	/* int (void *callback): calls it with 16 words on the stack, 1 to 16 */
	"fn_push16:\n"
	"	.irp i, 16,15,14,13,12,11,10,9,8,7,6,5,4,3,2,1\n"
	"	pushq $\\i\n"
	"	.endr\n"
	"	leaq 1f(%rip), %rax\n"
	"	pushq %rax\n"
	"	jmpq *%rdi\n"
	"	.balign 32\n"
	"1:	addq $128, %rsp\n"
	"	ret\n"
	"	.balign 32\n"
	/* void (void): leaves eight values on the x87 stack, which then says that nothing has happened */
	"fn_full_x87:\n"
	"	fldz; fldz; fldz; fldz; fldz; fldz; fldz; fldz\n"
	"	ret\n"
	"	.balign 32\n"
	/* struct { double a, b; } (struct { double a, b; }): the same */
	"fn_pair:\n"
	"	ret\n"
	"	.balign 32\n"
	"fn_end:\n"
	"dirty_avx512:\n"
	"	movabsq $0x5ec2e75ec2e75ec2, %rax\n"
	"	.irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
	"	vpbroadcastq %rax, %zmm\\i\n"
	"	.endr\n"
	"	.irp i, 0,1,2,3,4,5,6,7\n"
	"	kmovq %rax, %k\\i\n"
	"	.endr\n"
	"	ret\n"
	"dirty_rcx_and_flags:\n"
	"	movabsq $0x5ec2e75ec2e75ec2, %rcx\n"
	"	ret\n"
	".popsection\n");

#define LOAD_FN(box, from, to) load_bytes(box, from, (size_t) ((to) - (from)))
#define UNVERIFIED ((struct LFIOptions) {.no_verify = true})

static bool
avx512(void)
{
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
		return true;
	print_message("skipped: this processor has no AVX-512\n");
	return false;
}

/* ---- Runtime calls ---- */

static struct Fixture *other;
static lfiptr other_fn;

/* As a handler may: calls into another sandbox, which has a gs base of its own. */
static void
handler_that_calls_another_box(struct LFIContext *ctx)
{
	assert_int_equal(LFI_INVOKE(other->box, &other->ctx, other_fn, int, (int, int), 40, 2), 42);
	dirty_rcx_and_flags();
}

static void
a_system_call_gives_back_gs_and_tells_where_it_returns(void **state)
{
	struct Fixture f = fixture(UNVERIFIED), g = fixture(UNVERIFIED);
	lfiptr fn = LOAD_FN(f.box, fn_syscall, fn_masks);
	const uint64_t mine = 0x1234;
	uint64_t got[4];

	other = &g;
	other_fn = LOAD(g.box, code_add);
	lfi_sys_handler(f.engine, handler_that_calls_another_box);
	assert_done(lfi_box_copyto(f.box, f.buffer + 32, &mine, sizeof mine));
	for (int i = 0; i < 3; i++) {
		LFI_INVOKE(f.box, &f.ctx, fn, void, (lfiptr), f.buffer);
		assert_int_equal(lfi_errno(), LFI_OK);
		peek(&f, got, sizeof got);
		assert_int_equal(got[0], got[2]);
		assert_int_equal(got[1] & 0xcd5, 0x44); /* as xor leaves them */
		assert_int_equal(got[3], mine);
		assert_int_equal(f.ctx->runtime_calls, i + 1);
	}
	drop(&g);
	drop(&f);
}

static void
handler_that_fills_avx512(struct LFIContext *ctx)
{
	dirty_avx512();
}

static void
masks_are_kept_with_16_bits_and_with_64(void **state)
{
	struct Fixture f = fixture(UNVERIFIED);
	uint32_t got[8];

	if (avx512()) {
		lfi_sys_handler(f.engine, handler_that_fills_avx512);
		for (int round = 0; round < 2; round++) {
			/* First as on a processor without AVX512BW. */
			atomic_fetch_xor(&f.box->code, CODE_MASK64);
			LFI_INVOKE(f.box, &f.ctx, LOAD_FN(f.box, fn_masks, fn_callback), void, (lfiptr), f.buffer);
			assert_int_equal(lfi_errno(), LFI_OK);
			peek(&f, got, sizeof got);
			for (uint32_t i = 0; i < 8; i++)
				assert_int_equal(got[i], 0x1230 + i);
		}
	}
	drop(&f);
}

static int served;

static void
counting_handler(struct LFIContext *ctx)
{
	served++;
}

static void
a_call_of_an_unknown_entry_is_no_system_call(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	lfi_sys_handler(f.engine, counting_handler);
	served = 0;
	LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_unknown_call), void, (void));
	assert_error(LFI_ERR_FAULT);
	assert_int_equal(served, 0);
	drop(&f);
}

/* ---- Callbacks and results ---- */

static void
avx512_registers_of_a_callback_stay_out(void **state)
{
	struct Fixture f = fixture(UNVERIFIED);
	void *plain = lfi_box_register_cb(f.box, (void *) dirty_avx512);
	void *typed = lfi_box_register_fn(f.box, "v()", (LFIHostFn) (void *) dirty_avx512, NULL);
	uint64_t got[264];

	if (avx512()) {
		lfiptr fn = LOAD_FN(f.box, fn_callback, fn_words);

		for (int round = 0; round < 2; round++) {
			LFI_INVOKE(f.box, &f.ctx, fn, void, (lfiptr, void *), f.buffer, round ? typed : plain);
			assert_int_equal(lfi_errno(), LFI_OK);
			peek(&f, got, sizeof got);
			for (int i = round ? 0 : 1; i < 264; i++) /* xmm0 may be a plain callback's result */
				assert_int_equal(got[i], 0);
		}
	}
	drop(&f);
}

/* Another sandbox's gs, and values of the host's in x87. */
static void
callback_that_leaves_its_worst(void)
{
	assert_int_equal(LFI_INVOKE(other->box, &other->ctx, other_fn, int, (int, int), 40, 2), 42);
	__asm__ volatile("fldpi; fldpi; fldpi; fldpi; fldpi; fldpi; fldpi; fldpi; emms" ::: "memory");
}

static void
typed_that_leaves_its_worst(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	callback_that_leaves_its_worst();
}

static void
control_words_x87_and_gs_come_back_after_a_callback(void **state)
{
	struct Fixture f = fixture(UNVERIFIED), g = fixture(UNVERIFIED);
	lfiptr fn = LOAD_FN(f.box, fn_words, fn_push16);
	void *fns[2] = {lfi_box_register_cb(f.box, (void *) callback_that_leaves_its_worst),
		lfi_box_register_fn(f.box, "v()", typed_that_leaves_its_worst, NULL)};
	const uint64_t mine = 0x1234;
	uint8_t got[136];
	uint32_t mxcsr;
	uint16_t words[5];
	uint64_t word;

	other = &g;
	other_fn = LOAD(g.box, code_add);
	assert_done(lfi_box_copyto(f.box, f.buffer + 256, &mine, sizeof mine));
	for (int i = 0; i < 6; i++) {
		LFI_INVOKE(f.box, &f.ctx, fn, void, (lfiptr, void *), f.buffer, fns[i & 1]);
		assert_int_equal(lfi_errno(), LFI_OK);
		peek(&f, got, sizeof got);
		memcpy(&mxcsr, got + 8, sizeof mxcsr);
		memcpy(words, got + 16, sizeof words);
		memcpy(&word, got + 128, sizeof word);
		assert_int_equal(mxcsr, 0x3fa0);
		assert_int_equal(words[0], 0x0f7f);
		assert_int_equal(words[2], 0);
		assert_int_equal(words[4], 0xffff);
		for (int j = 16 + 28; j < 16 + 108; j++)
			assert_int_equal(got[j], 0);
		assert_int_equal(word, mine);
	}
	drop(&g);
	drop(&f);
}

/* The words on the stack, in order. */
static int
sixteen_words(long a, long b, long c, long d, long e, long f, long w1, long w2, long w3, long w4, long w5, long w6,
    long w7, long w8, long w9, long w10, long w11, long w12, long w13, long w14, long w15, long w16)
{
	return w1 == 1 && w2 == 2 && w3 == 3 && w4 == 4 && w5 == 5 && w6 == 6 && w7 == 7 && w8 == 8 && w9 == 9 &&
	       w10 == 10 && w11 == 11 && w12 == 12 && w13 == 13 && w14 == 14 && w15 == 15 && w16 == 16;
}

static void
a_callback_gets_sixteen_words_from_the_stack(void **state)
{
	struct Fixture f = fixture(UNVERIFIED);
	void *cb = lfi_box_register_cb(f.box, (void *) sixteen_words);

	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, LOAD_FN(f.box, fn_push16, fn_full_x87), int, (void *), cb), 1);
	drop(&f);
}

/* With variable arguments, a host function keeps vector registers only when it is told that there are some. */
static int
variable_callback(void *self, double x, ...)
{
	va_list args;
	double y;

	va_start(args, x);
	y = va_arg(args, double);
	va_end(args);
	return (int) (x + y);
}

static void
eighth_double(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	ret->d = args[8].d;
}

static void
a_callback_gets_vector_registers(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr apply = LOAD(f.box, code_apply);
	union LFIValue args[10] = {{.p = lfi_box_register_cb(f.box, (void *) variable_callback)}, {.d = 2}, {.d = 3}}, ret;

	assert_done(lfi_call(f.ctx, apply, "i(pdd)", args, &ret));
	assert_int_equal(ret.i, 5);
	args[0].p = lfi_box_register_fn(f.box, "d(pdddddddd)", eighth_double, NULL);
	for (int i = 1; i < 9; i++)
		args[i].d = i;
	assert_done(lfi_call(f.ctx, apply, "d(pdddddddd)", args, &ret));
	assert_true(ret.d == 8);
	drop(&f);
}

static int
exit_with_7(int x)
{
	lfi_ctx_exit(lfi_cur_ctx(), 7);
	return x;
}

static void
an_exit_in_a_callback_ends_the_call_with_its_code(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr apply = LOAD(f.box, code_call_plus1);
	void *cb = lfi_box_register_cb(f.box, exit_with_7);

	for (int i = 0; i < 3; i++) {
		LFI_INVOKE(f.box, &f.ctx, apply, int, (void *, int), cb, 1);
		assert_error(LFI_ERR_INTERRUPTED);
		assert_non_null(strstr(lfi_errmsg(), "code 7"));
	}
	drop(&f);
}

static uint64_t sp_inside;

static int
where_the_stack_is(void)
{
	sp_inside = lfi_ctx_regs(lfi_cur_ctx())->sp;
	return 0;
}

static void
a_callback_calls_below_the_stack_of_its_caller(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	void *cb = lfi_box_register_cb(f.box, where_the_stack_is);

	LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_call_plus1), int, (void *, int), cb, 1);
	assert_int_equal(lfi_errno(), LFI_OK);
	assert_in_range(sp_inside, f.stack - STACK_BYTES, f.stack - CALL_HEADROOM - 16);
	drop(&f);
}

static void
a_full_x87_stack_is_not_the_hosts(void **state)
{
	struct Fixture f = fixture(UNVERIFIED);
	lfiptr fn = LOAD_FN(f.box, fn_full_x87, fn_pair);
	uint32_t env[7];

	for (int round = 0; round < 2; round++) {
		if (round == 0)
			LFI_INVOKE(f.box, &f.ctx, fn, void, (void));
		else
			assert_done(lfi_call(f.ctx, fn, "v()", NULL, NULL));
		__asm__ volatile("fnstenv %0; fldenv %0" : "=m"(env));
		assert_int_equal(env[2] & 0xffff, 0xffff);
	}
	drop(&f);
}

static void
two_doubles_come_back_in_two_registers(void **state)
{
	struct Fixture f = fixture(UNVERIFIED);
	double in[2] = {1.5, 2.5}, out[2] = {0, 0};
	union LFIValue arg = {.p = in}, ret = {.p = out};

	assert_done(lfi_call(f.ctx, LOAD_FN(f.box, fn_pair, fn_end), "{dd}({dd})", &arg, &ret));
	assert_memory_equal(in, out, sizeof in);
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_system_call_gives_back_gs_and_tells_where_it_returns),
		cmocka_unit_test(masks_are_kept_with_16_bits_and_with_64),
		cmocka_unit_test(a_call_of_an_unknown_entry_is_no_system_call),
		cmocka_unit_test(avx512_registers_of_a_callback_stay_out),
		cmocka_unit_test(control_words_x87_and_gs_come_back_after_a_callback),
		cmocka_unit_test(a_callback_gets_sixteen_words_from_the_stack),
		cmocka_unit_test(a_callback_gets_vector_registers),
		cmocka_unit_test(an_exit_in_a_callback_ends_the_call_with_its_code),
		cmocka_unit_test(a_callback_calls_below_the_stack_of_its_caller),
		cmocka_unit_test(a_full_x87_stack_is_not_the_hosts),
		cmocka_unit_test(two_doubles_come_back_in_two_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
