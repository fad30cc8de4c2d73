/* SPDX-License-Identifier: MIT */
/*
 * What crosses the border besides arguments: nothing. The host's registers are filled with a secret before a call,
 * and sandboxed code stores what it sees; sandboxed code leaves its worst, and the host looks at what it got.
 */
#include "core_test.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <sys/syscall.h>

#include "box.h"

#define SECRET 0x5ec2e75ec2e75ec2
#define HOST_GS 0x123456789000
#define HOST_MXCSR 0x3fa0u /* round down, inexact seen */
#define HOST_FCW 0x067fu   /* round down, double precision */

/*
 * void dirty_trampoline(uint64_t rdi, int vectors): the trampoline of LFI_INVOKE with the secret in every other
 * register; vectors: 1 ymm too, 2 zmm and masks too. Counts in dirty_wrong the callee-saved registers that came back changed.
 */
void dirty_trampoline(uint64_t rdi, int vectors);
/* All of AVX-512 becomes the secret. */
void dirty_avx512(void);
extern int dirty_wrong;
__asm__(".pushsection .text\n"
	".globl dirty_trampoline\n"
	"dirty_trampoline:\n"
	"	pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n"
	"	subq $24, %rsp\n"
	"	fldt secret_real(%rip); fldt secret_real(%rip); fldt secret_real(%rip); fldt secret_real(%rip)\n"
	"	fldt secret_real(%rip); fldt secret_real(%rip); fldt secret_real(%rip); fldt secret_real(%rip)\n"
	"	emms\n"
	"	movq secret(%rip), %rax\n"
	"	movq %rax, %xmm0; punpcklqdq %xmm0, %xmm0\n"
	"	.irp i, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	movaps %xmm0, %xmm\\i\n"
	"	.endr\n"
	"	testl %esi, %esi; jz 1f\n"
	"	vinsertf128 $1, %xmm0, %ymm0, %ymm0\n"
	"	.irp i, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	vmovaps %ymm0, %ymm\\i\n"
	"	.endr\n"
	"	cmpl $2, %esi; jne 1f\n"
	"	.irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
	"	vpbroadcastq %rax, %zmm\\i\n"
	"	.endr\n"
	"	.irp i, 0,1,2,3,4,5,6,7\n"
	"	kmovq %rax, %k\\i\n"
	"	.endr\n"
	"1:	.irp r, rbx,rbp,r12,r13,r14,r15,rcx,rdx,rsi,r8,r9,r10,r11\n"
	"	movq %rax, %\\r\n"
	"	.endr\n"
	"	addb $0x7f, %al; orb $0x80, %al\n" /* flags */
	"	movq secret(%rip), %rax\n"
	"	call *lfi_trampoline_addr(%rip)\n"
	"	movq secret(%rip), %rax\n"
	"	.irp r, rbx,rbp,r12,r13,r14,r15\n"
	"	cmpq %rax, %\\r; je 2f; incl dirty_wrong(%rip); 2:\n"
	"	.endr\n"
	"	addq $24, %rsp\n"
	"	popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx\n"
	"	ret\n"
	"dirty_avx512:\n"
	"	movq secret(%rip), %rax\n"
	"	.irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
	"	vpbroadcastq %rax, %zmm\\i\n"
	"	.endr\n"
	"	.irp i, 0,1,2,3,4,5,6,7\n"
	"	kmovq %rax, %k\\i\n"
	"	.endr\n"
	"	ret\n"
	".popsection\n"
	".pushsection .data\n"
	"dirty_wrong: .long 0\n"
	".balign 16\n"
	"secret: .quad 0x5ec2e75ec2e75ec2\n"
	"secret_real: .quad 0xdec2e75ec2e75ec2; .word 0x4007\n"
	".popsection\n");

/* Whether contexts have been entered before: then calls take the trampoline's quick way. */
static bool warm;

static struct Fixture
warm_fixture(struct LFIOptions opts)
{
	struct Fixture f = fixture(opts);

	if (warm) {
		lfiptr add = LOAD(f.box, code_add);

		for (int i = 0; i < 2; i++)
			assert_int_equal(LFI_INVOKE(f.box, &f.ctx, add, int, (int, int), 1, i), 1 + i);
	}
	return f;
}
#define fixture(opts) warm_fixture(opts)

static int
vectors(void)
{
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
		return 2;
	return __builtin_cpu_supports("avx") ? 1 : 0;
}

static uint64_t
gs_base(void)
{
	uint64_t base;

	syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
	return base;
}

/* Calls fn(buffer) with dirty registers. */
static void
dirty_call(struct Fixture *f, lfiptr fn)
{
	dirty_wrong = 0;
	lfi_invoke_info = (struct LFIInvokeInfo) {f->box, &f->ctx, fn, 0, LFI_INVOKE_COUNTED | 1, 0, 0};
	dirty_trampoline(f->buffer, vectors());
	assert_int_equal(dirty_wrong, 0);
}

/* ---- On the way in ---- */

static void
a_call_shows_nothing_but_its_arguments(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_dump);
	uint64_t got[48];

	__builtin_ia32_ldmxcsr(HOST_MXCSR);
	dirty_call(&f, p);
	__builtin_ia32_ldmxcsr(0x1f80);
	peek(&f, got, sizeof got);
	for (int i = 0; i < 14; i++) {
		if (i == 0 || i == 4 || i == 7 || i == 11)
			continue;
		assert_int_equal(got[i], 0);
	}
	assert_int_equal(got[0], 8);
	assert_true(got[4] < f.stack && got[4] > f.stack - 4096);
	assert_int_equal(got[7], f.buffer);
	assert_int_equal(got[11], p);
	assert_int_equal(got[14] & 0xcd5, 0x44); /* arithmetic flags and direction, as xor leaves them */
	assert_int_equal((uint32_t) got[15], 0x1f80);
	for (int i = 16; i < 48; i++)
		assert_int_equal(got[i], 0);
	drop(&f);
}

static void
as_many_registers_go_in_as_are_counted(void **state)
{
	static const int ints[6] = {7, 6, 2, 1, 8, 9}; /* where code_dump stores rdi, rsi, rdx, rcx, r8, r9 */
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_dump);
	uint64_t got[48];

	for (uint32_t n = 1; n <= 6; n++) {
		for (uint32_t m = 0; m <= 8; m++) {
			lfi_invoke_info = (struct LFIInvokeInfo) {f.box, &f.ctx, p, 0, LFI_INVOKE_COUNTED | n | m << 8, 0, 0};
			dirty_trampoline(f.buffer, 0);
			assert_int_equal(lfi_errno(), LFI_OK);
			peek(&f, got, sizeof got);
			assert_int_equal(got[0], 8);
			for (uint32_t i = 1; i < 6; i++)
				assert_int_equal(got[ints[i]], i < n ? SECRET : 0);
			for (uint32_t i = 0; i < 16; i++) {
				assert_int_equal(got[16 + 2 * i], i < m ? SECRET : 0);
				assert_int_equal(got[17 + 2 * i], 0);
			}
		}
	}
	/* Without one there is no pointer to the buffer. */
	lfi_invoke_info = (struct LFIInvokeInfo) {f.box, &f.ctx, p, 0, LFI_INVOKE_COUNTED, 0, 0};
	dirty_trampoline(f.buffer, 0);
	assert_error(LFI_ERR_FAULT);
	drop(&f);
}

static __attribute__((noinline)) void
dirty_stack(void)
{
	uint64_t words[512];

	for (int i = 0; i < 512; i++)
		words[i] = SECRET;
	__asm__ volatile("" : : "m"(words));
}

static void
lfi_call_shows_nothing_but_its_arguments(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_dump);
	union LFIValue arg = {.p = (void *) f.buffer};
	uint64_t got[48];

	dirty_stack();
	assert_done(lfi_call(f.ctx, p, "v(p)", &arg, NULL));
	peek(&f, got, sizeof got);
	for (int i = 0; i < 48; i++)
		if (i != 0 && i != 4 && i != 7 && i != 11 && i != 14 && i != 15)
			assert_int_equal(got[i], 0);
	drop(&f);
}

static void
the_x87_registers_show_nothing(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_dump_x87);
	uint8_t got[108];
	uint32_t words[7];

	/* The second time with an exception and a comparison on record. */
	for (int round = 0; round < 2; round++) {
		if (round)
			__asm__ volatile("fld1; fldz; fdivrp; fldpi; fcompp; fincstp" ::: "memory");
		dirty_call(&f, p);
		peek(&f, got, sizeof got);
		memcpy(words, got, sizeof words);
		assert_int_equal(words[0] & 0xffff, 0x37f);
		assert_int_equal(words[1] & 0xffff, 0);
		assert_int_equal(words[2] & 0xffff, 0xffff);
		/* The last instruction and operand are ones of the stub page. */
		assert_int_equal(words[3] & ~0xfffu, (uint32_t) (uint64_t) f.engine->stubs.code);
		if (words[5])
			assert_int_equal(words[5] & ~0xfffu, (uint32_t) (uint64_t) f.engine->stubs.code);
		for (size_t i = 28; i < sizeof got; i++)
			assert_int_equal(got[i], 0);
		__asm__ volatile("fninit");
	}
	drop(&f);
}

static void
upper_halves_show_nothing_once_code_can_read_them(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	uint64_t got[64];

	if (vectors() < 1) {
		print_message("skipped: this processor has no AVX\n");
		drop(&f);
		return;
	}
	dirty_call(&f, LOAD(f.box, code_dump_ymm));
	peek(&f, got, sizeof got);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(got[i], 0);
	drop(&f);
}

static void
avx512_registers_and_masks_show_nothing(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	uint64_t got[264];

	if (vectors() < 2) {
		print_message("skipped: this processor has no AVX-512\n");
		drop(&f);
		return;
	}
	dirty_call(&f, LOAD(f.box, code_dump_zmm));
	peek(&f, got, sizeof got);
	for (size_t i = 0; i < 264; i++)
		assert_int_equal(got[i], 0);
	drop(&f);
}

/* code_dump_zmm with nops for each instruction that begins with gs, the address size and `begin`. */
static void
dump_without(uint8_t begin)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	uint8_t code[sizeof code_dump_zmm];
	uint64_t got[264];
	unsigned gone = 0;

	if (vectors() < 2) {
		print_message("skipped: this processor has no AVX-512\n");
		drop(&f);
		return;
	}
	memcpy(code, code_dump_zmm, sizeof code);
	for (size_t i = 0; i + 11 <= sizeof code; i++) {
		if (code[i] == 0x65 && code[i + 1] == 0x67 && code[i + 2] == begin) {
			/* kmovq; the first store, which has no displacement; the others. */
			memset(code + i, 0x90, begin == 0xc4 ? 11 : code[i + 7] < 0x40 ? 8 : 9);
			gone++;
		}
	}
	assert_true(gone >= 8);
	dirty_call(&f, LOAD(f.box, code));
	peek(&f, got, sizeof got);
	for (size_t i = 0; i < 264; i++)
		assert_int_equal(got[i], 0);
	drop(&f);
}

static void
masks_show_nothing_to_code_that_uses_nothing_else_of_avx512(void **state)
{
	dump_without(0x62);
}

static void
avx512_registers_show_nothing_to_code_without_masks(void **state)
{
	dump_without(0xc4);
}

/* A callback that fills all it may change. */
static int
dirty_callback(void)
{
	__asm__ volatile("movq %0, %%rcx; movq %0, %%rdx; movq %0, %%rsi; movq %0, %%rdi; movq %0, %%r8; movq %0, %%r9; "
			 "movq %0, %%r10; movq %0, %%r11; movq %0, %%xmm1; punpcklqdq %%xmm1, %%xmm1"
			 :
			 : "r"((uint64_t) SECRET)
			 : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "xmm1");
	__asm__ volatile(".irp i, 2,3,4,5,6,7,8,9,10,11,12,13,14,15\n movaps %%xmm1, %%xmm\\i\n .endr" ::: "memory");
	__builtin_ia32_ldmxcsr(HOST_MXCSR);
	return 0;
}

static void
a_callback_leaves_nothing_behind(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_dump_after_call);
	void *cb = lfi_box_register_cb(f.box, dirty_callback);
	uint64_t got[48];

	LFI_INVOKE(f.box, &f.ctx, p, void, (lfiptr, void *), f.buffer, cb);
	__builtin_ia32_ldmxcsr(0x1f80);
	peek(&f, got, sizeof got);
	for (int i = 0; i < 48; i++)
		if (i != 15)
			assert_int_equal(got[i], 0);
	assert_int_equal((uint32_t) got[15], 0x1f80);
	drop(&f);
}

static void
a_system_call_handler_leaves_nothing_behind_in_x87(void **state)
{
	/* As the_x87_registers_show_nothing, but what the handler left. */
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	uint8_t code[sizeof code_syscall + sizeof code_dump_x87];
	uint8_t got[108];

	memcpy(code, code_syscall, sizeof code_syscall);
	memcpy(code + sizeof code_syscall, code_dump_x87, sizeof code_dump_x87);
	lfi_sys_handler(f.engine, (LFISysHandler) (void *) dirty_callback);
	lfiptr p = LOAD(f.box, code);
	__asm__ volatile("fldt %0; fldt %0; fldt %0; fldt %0; fldt %0; fldt %0; fldt %0; fldt %0; emms"
			 :
			 : "m"(*(const long double[]) {123456789.0L}));
	LFI_INVOKE(f.box, &f.ctx, p, void, (lfiptr), f.buffer);
	__builtin_ia32_ldmxcsr(0x1f80);
	assert_int_equal(lfi_errno(), LFI_OK);
	peek(&f, got, sizeof got);
	for (size_t i = 28; i < sizeof got; i++)
		assert_int_equal(got[i], 0);
	drop(&f);
}

/* ---- What runtime calls keep ---- */

static void
handler_that_changes_everything(struct LFIContext *ctx)
{
	dirty_callback();
	if (vectors() == 2)
		dirty_avx512();
	__builtin_ia32_ldmxcsr(HOST_MXCSR);
	lfi_ctx_regs(ctx)->rax = 77;
}

static void
a_system_call_keeps_all_registers_but_three(void **state)
{
	static const uint64_t kept[14] = {77, 0, 3, 4, 0, 6, 7, 0, 9, 10, 11, 0, 13, 14};
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_keep);
	uint32_t got[96];
	uint64_t regs[14];

	lfi_sys_handler(f.engine, handler_that_changes_everything);
	LFI_INVOKE(f.box, &f.ctx, p, void, (lfiptr), f.buffer);
	__builtin_ia32_ldmxcsr(0x1f80);
	assert_int_equal(lfi_errno(), LFI_OK);
	peek(&f, got, sizeof got);
	memcpy(regs, got, sizeof regs);
	for (int i = 0; i < 14; i++)
		if (i != 1 && i != 4 && i != 7 && i != 11)
			assert_int_equal(regs[i], kept[i]);
	assert_int_equal(regs[7], f.buffer);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(got[32 + i], 0x1000 + i / 4);
	drop(&f);
}

static void
a_system_call_keeps_upper_halves(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	uint32_t got[128];

	if (vectors() < 1) {
		print_message("skipped: this processor has no AVX\n");
		drop(&f);
		return;
	}
	lfi_sys_handler(f.engine, handler_that_changes_everything);
	LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_keep_ymm), void, (lfiptr), f.buffer);
	__builtin_ia32_ldmxcsr(0x1f80);
	assert_int_equal(lfi_errno(), LFI_OK);
	peek(&f, got, sizeof got);
	for (uint32_t i = 0; i < 128; i++)
		assert_int_equal(got[i], 0x1000 + i / 8);
	drop(&f);
}

static void
a_system_call_keeps_avx512_registers_and_masks(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	uint32_t got[512 + 16];

	if (vectors() < 2) {
		print_message("skipped: this processor has no AVX-512\n");
		drop(&f);
		return;
	}
	lfi_sys_handler(f.engine, handler_that_changes_everything);
	LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_keep_zmm), void, (lfiptr), f.buffer);
	__builtin_ia32_ldmxcsr(0x1f80);
	assert_int_equal(lfi_errno(), LFI_OK);
	peek(&f, got, sizeof got);
	for (uint32_t i = 0; i < 512; i++)
		assert_int_equal(got[i], 0x1000 + i / 16);
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(got[512 + 2 * i], -0x70000000u - i);
		assert_int_equal(got[513 + 2 * i], 0xffffffff);
	}
	drop(&f);
}

static void
handler_that_writes_a_vector_register(struct LFIContext *ctx)
{
	lfi_ctx_regs(ctx)->xmm[3][0] = 0x0123456789abcdef;
	lfi_ctx_regs(ctx)->rdx = 55;
	lfi_ctx_regs(ctx)->rbx = 66;
}

static void
what_a_handler_writes_is_loaded(void **state)
{
	uint64_t got[48];

	/* Whether the box's code can use SSE only, AVX, or all that there is. */
	for (int round = 0; round < 3; round++) {
		struct Fixture f = fixture((struct LFIOptions) {.no_verify = round == 2});

		if (round == 1 && vectors())
			LOAD(f.box, code_avx);
		lfi_sys_handler(f.engine, handler_that_writes_a_vector_register);
		LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_keep), void, (lfiptr), f.buffer);
		peek(&f, got, sizeof got);
		assert_int_equal(got[2], 55);
		assert_int_equal(got[3], 66);
		assert_int_equal(got[16 + 6], 0x0123456789abcdef);
		assert_int_equal(got[16 + 7], 0x0000100300001003);
		drop(&f);
	}
}

static void
control_words_of_the_sandbox_survive_a_system_call(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_hostile_syscall);
	uint32_t both;

	lfi_sys_handler(f.engine, handler_that_changes_everything);
	both = LFI_INVOKE(f.box, &f.ctx, p, uint32_t, (void));
	__builtin_ia32_ldmxcsr(0x1f80);
	assert_int_equal(lfi_errno(), LFI_OK);
	assert_int_equal(both & 0xffff, 0x0040);
	assert_int_equal(both >> 16, 0x0f7f);
	drop(&f);
}

/* ---- On the way out ---- */

/* Why the host's state is not as set_host left it; NULL when it is. */
static const char *
host_state(void)
{
	uint64_t flags;
	uint32_t env[7], mxcsr = __builtin_ia32_stmxcsr(), a, b, c, d;

	__asm__ volatile("pushfq; popq %0" : "=r"(flags));
	__asm__ volatile("fnstenv %0; fldenv %0" : "=m"(env));
	if (flags & (1 << 10 | 1 << 18))
		return "direction or alignment check";
	if ((mxcsr & ~0x3fu) != (HOST_MXCSR & ~0x3fu))
		return "MXCSR";
	if ((env[0] & 0xffff) != HOST_FCW)
		return "x87 control word";
	if (env[1] & 0x80bf)
		return "x87 exceptions";
	if ((env[2] & 0xffff) != 0xffff)
		return "x87 stack";
	if (gs_base() != HOST_GS)
		return "gs";
	if (__get_cpuid_count(0xd, 1, &a, &b, &c, &d) && (a & 4)) {
		__asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
		if (a & 4)
			return "upper halves";
	}
	return NULL;
}

static void
set_host(void)
{
	const uint16_t fcw = HOST_FCW;

	__asm__ volatile("fninit; fldcw %0" : : "m"(fcw));
	__builtin_ia32_ldmxcsr(HOST_MXCSR);
	syscall(SYS_arch_prctl, ARCH_SET_GS, HOST_GS);
	if (vectors())
		__asm__ volatile("vzeroupper");
}

static void
unset_host(void)
{
	__asm__ volatile("fninit");
	__builtin_ia32_ldmxcsr(0x1f80);
	syscall(SYS_arch_prctl, ARCH_SET_GS, 0);
}

static const char *inside;

static int
looking_callback(void)
{
	inside = host_state();
	return 9;
}

static void
looking_handler(struct LFIContext *ctx)
{
	inside = host_state();
}

static void
exiting_handler(struct LFIContext *ctx)
{
	inside = host_state();
	lfi_ctx_exit(ctx, 3);
}

/* Each way out of the sandbox, with its worst state. */
static void
check_ways_out(struct Fixture *f)
{
	lfiptr hostile_return = LOAD(f->box, code_hostile_return), hostile_call = LOAD(f->box, code_hostile_call);
	lfiptr hostile_syscall = LOAD(f->box, code_hostile_syscall), hostile_fault = LOAD(f->box, code_hostile_fault);
	void *cb = lfi_box_register_cb(f->box, looking_callback);
	const char *wrong[8] = {"not run"};
	int results[4];

	lfi_sys_handler(f->engine, looking_handler);
	set_host();
	results[0] = LFI_INVOKE(f->box, &f->ctx, hostile_return, int, (void));
	wrong[0] = host_state();
	inside = "not run";
	results[1] = LFI_INVOKE(f->box, &f->ctx, hostile_call, int, (void *), cb);
	wrong[1] = inside;
	wrong[2] = host_state();
	inside = "not run";
	LFI_INVOKE(f->box, &f->ctx, hostile_syscall, int, (void));
	wrong[3] = inside;
	wrong[4] = host_state();
	LFI_INVOKE(f->box, &f->ctx, hostile_fault, int, (void));
	results[2] = lfi_errno();
	wrong[5] = host_state();
	lfi_sys_handler(f->engine, exiting_handler);
	inside = "not run";
	results[3] = lfi_ctx_run(f->ctx, hostile_syscall);
	wrong[6] = inside;
	wrong[7] = host_state();
	unset_host();
	for (int i = 0; i < 8; i++) {
		if (wrong[i])
			print_error("way %d: %s\n", i, wrong[i]);
		assert_null(wrong[i]);
	}
	assert_int_equal(results[0], 5);
	assert_int_equal(results[1], 9);
	assert_int_equal(results[2], LFI_ERR_FAULT);
	assert_int_equal(results[3], 3);
}

static void
the_host_gets_its_state_back_on_each_way_out(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	check_ways_out(&f);
	drop(&f);
}

static void
it_does_so_without_fsgsbase(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	if (!arch_fsgsbase)
		print_message("this kernel has no FSGSBASE: both tests are the same\n");
	arch_fsgsbase = false;
	check_ways_out(&f);
	arch_init();
	drop(&f);
}

static void
rounding_of_the_host_is_not_the_sandboxs(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_sum10_doubles);
	volatile double tenth = 0.1;
	double x, expected = tenth + 0.2;

	__builtin_ia32_ldmxcsr(0x5f80); /* up */
	x = LFI_INVOKE(f.box, &f.ctx, p, double,
	    (double, double, double, double, double, double, double, double, double, double), tenth, 0.2, 0.0, 0.0, 0.0, 0.0,
	    0.0, 0.0, 0.0, 0.0);
	__builtin_ia32_ldmxcsr(0x1f80);
	assert_true(x == expected);
	drop(&f);
}

static void
the_thread_pointer_is_the_contexts(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_set_get_tp);

	assert_true(LFI_INVOKE(f.box, &f.ctx, p, uint64_t, (uint64_t), 0x123456789abc) == 0x123456789abc);
	assert_true(lfi_ctx_tp(f.ctx) == 0x123456789abc);
	drop(&f);
}

/* ---- gs ---- */

static uint8_t code_gs_load[] = {
	0x65, 0x67, 0x8b, 0x07, /* movl %gs:(%edi), %eax */
	0x41, 0x5b,             /* popq %r11 */
	0x41, 0x83, 0xe3, 0xe0, /* andl $-32, %r11d */
	0x4d, 0x01, 0xf3,       /* addq %r14, %r11 */
	0x41, 0xff, 0xe3,       /* jmpq *%r11 */
};

static uint8_t code_call_gs_load[] = {
	0x49, 0x89, 0xfc, /* movq %rdi, %r12 */
	0x49, 0x89, 0xf3, /* movq %rsi, %r11 */
	0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
	0x41, 0x83, 0xe3, 0xe0,             /* andl $-32, %r11d */
	0x4d, 0x01, 0xf3,                   /* addq %r14, %r11 */
	0x41, 0xff, 0xd3,                   /* callq *%r11 */
	0x65, 0x67, 0x41, 0x8b, 0x04, 0x24, /* movl %gs:(%r12d), %eax */
	0x41, 0x5b,                         /* popq %r11 */
	0x41, 0x83, 0xe3, 0xe0,             /* andl $-32, %r11d */
	0x4d, 0x01, 0xf3,                   /* addq %r14, %r11 */
	0x41, 0xff, 0xe3,                   /* jmpq *%r11 */
};

static void
set_gs_base(uint64_t base)
{
	syscall(SYS_arch_prctl, ARCH_SET_GS, base);
}

static struct Fixture *inner;
static lfiptr inner_fn;
static uint64_t gs_to_set, gs_seen;
static int inner_got;

static int
callback_that_calls_another_box(void)
{
	gs_seen = gs_base();
	if (gs_to_set)
		set_gs_base(gs_to_set);
	inner_got = LFI_INVOKE(inner->box, &inner->ctx, inner_fn, int, (lfiptr), inner->buffer);
	if (gs_to_set && gs_base() != gs_to_set)
		inner_got = -1;
	return 0;
}

/* Each box's code sees its own memory through gs, whatever the host does with gs in between; and the host's stays. */
static void
check_gs(struct LFIOptions opts, uint64_t left)
{
	struct Fixture a = fixture(opts), b = fixture(opts);
	lfiptr fn = LOAD(a.box, code_call_gs_load), load = LOAD(a.box, code_gs_load);
	void *cb = lfi_box_register_cb(a.box, (void *) callback_that_calls_another_box);
	const uint32_t mine = 0x1111, other = 0x2222;

	inner = &b;
	inner_fn = LOAD(b.box, code_gs_load);
	assert_done(lfi_box_copyto(a.box, a.buffer, &mine, sizeof mine));
	assert_done(lfi_box_copyto(b.box, b.buffer, &other, sizeof other));
	for (int round = 0; round < 3; round++) {
		const uint64_t host = round ? HOST_GS + (uint64_t) round * 4096 : 0;

		set_gs_base(host);
		gs_to_set = 0;
		assert_int_equal(LFI_INVOKE(a.box, &a.ctx, load, int, (lfiptr), a.buffer), mine);
		assert_int_equal(gs_base(), host ? host : left ? a.box->base : 0);
		assert_int_equal(LFI_INVOKE(b.box, &b.ctx, inner_fn, int, (lfiptr), b.buffer), other);
		assert_int_equal(gs_base(), host ? host : left ? b.box->base : 0);
		assert_int_equal(LFI_INVOKE(a.box, &a.ctx, fn, int, (lfiptr, void *), a.buffer, cb), mine);
		assert_int_equal(inner_got, other);
		assert_int_equal(gs_seen, host ? host : left ? a.box->base : 0);
		assert_int_equal(gs_base(), host ? host : left ? a.box->base : 0);
		/* As a native function would, the callback has changed it. */
		gs_to_set = 0x3333000;
		assert_int_equal(LFI_INVOKE(a.box, &a.ctx, fn, int, (lfiptr, void *), a.buffer, cb), mine);
		assert_int_equal(inner_got, other);
		assert_int_equal(gs_base(), 0x3333000);
		/* A trap. */
		set_gs_base(host);
		LFI_INVOKE(a.box, &a.ctx, load, int, (lfiptr), (lfiptr) 0x10000);
		assert_int_equal(lfi_errno(), LFI_ERR_FAULT);
		assert_int_equal(gs_base(), host ? host : left ? a.box->base : 0);
	}
	set_gs_base(0);
	/* What a freed box left is none of the host's. */
	assert_int_equal(LFI_INVOKE(b.box, &b.ctx, inner_fn, int, (lfiptr), b.buffer), other);
	drop(&b);
	assert_int_equal(LFI_INVOKE(a.box, &a.ctx, load, int, (lfiptr), a.buffer), mine);
	assert_int_equal(gs_base(), left ? a.box->base : 0);
	drop(&a);
	set_gs_base(0);
}

static void
gs_is_each_boxs_own_and_the_hosts_stays(void **state)
{
	check_gs((struct LFIOptions) {.boxsize = 0}, 1);
}

static void
restore_gs_gives_a_gs_of_none_back_too(void **state)
{
	check_gs((struct LFIOptions) {.restore_gs = true}, 0);
}

static void
gs_works_through_the_kernel_too(void **state)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 1);
	bool have = arch_fsgsbase;

	arch_fsgsbase = false;
	check_gs((struct LFIOptions) {.boxsize = 0}, 1);
	check_gs((struct LFIOptions) {.restore_gs = true}, 0);
	arch_fsgsbase = have;
	lfi_free(engine);
}

static void *
call_in_a_thread(void *arg)
{
	struct Fixture *f = arg;
	struct LFIContext *ctx = lfi_ctx_new(f->box, NULL);
	int got;

	lfi_ctx_regs(ctx)->sp = f->stack;
	got = LFI_INVOKE(f->box, &ctx, inner_fn, int, (lfiptr), f->buffer);
	lfi_ctx_free(ctx);
	return (void *) (intptr_t) got;
}

/* clone(2) copies gs base. */
static void
a_thread_that_inherits_a_gs_can_call(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	const uint32_t mine = 0x1111;
	pthread_t thread;
	void *got;

	inner_fn = LOAD(f.box, code_gs_load);
	assert_done(lfi_box_copyto(f.box, f.buffer, &mine, sizeof mine));
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, inner_fn, int, (lfiptr), f.buffer), mine);
	pthread_create(&thread, NULL, call_in_a_thread, &f);
	pthread_join(thread, &got);
	assert_int_equal((intptr_t) got, mine);
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gs_is_each_boxs_own_and_the_hosts_stays),
		cmocka_unit_test(restore_gs_gives_a_gs_of_none_back_too),
		cmocka_unit_test(gs_works_through_the_kernel_too),
		cmocka_unit_test(a_thread_that_inherits_a_gs_can_call),
		cmocka_unit_test(a_call_shows_nothing_but_its_arguments),
		cmocka_unit_test(as_many_registers_go_in_as_are_counted),
		cmocka_unit_test(lfi_call_shows_nothing_but_its_arguments),
		cmocka_unit_test(the_x87_registers_show_nothing),
		cmocka_unit_test(upper_halves_show_nothing_once_code_can_read_them),
		cmocka_unit_test(avx512_registers_and_masks_show_nothing),
		cmocka_unit_test(masks_show_nothing_to_code_that_uses_nothing_else_of_avx512),
		cmocka_unit_test(avx512_registers_show_nothing_to_code_without_masks),
		cmocka_unit_test(a_callback_leaves_nothing_behind),
		cmocka_unit_test(a_system_call_handler_leaves_nothing_behind_in_x87),
		cmocka_unit_test(a_system_call_keeps_all_registers_but_three),
		cmocka_unit_test(a_system_call_keeps_upper_halves),
		cmocka_unit_test(a_system_call_keeps_avx512_registers_and_masks),
		cmocka_unit_test(what_a_handler_writes_is_loaded),
		cmocka_unit_test(control_words_of_the_sandbox_survive_a_system_call),
		cmocka_unit_test(the_host_gets_its_state_back_on_each_way_out),
		cmocka_unit_test(it_does_so_without_fsgsbase),
		cmocka_unit_test(rounding_of_the_host_is_not_the_sandboxs),
		cmocka_unit_test(the_thread_pointer_is_the_contexts),
	};

	if (cmocka_run_group_tests_name("first", tests, NULL, NULL) != 0)
		return 1;
	warm = true;
	return cmocka_run_group_tests_name("again", tests, NULL, NULL);
}
