/* SPDX-License-Identifier: MIT */
/*
 * Layouts and numbers as they were released in 1.0: programs have them compiled in. Rows are never changed, only added.
 * Also what zero-initialised options mean, and that structs of other versions of the library are understood.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <lfi/lfi.h>

#define ROWS(table) (sizeof(table) / sizeof(table)[0])

/* ---- Layout ---- */

struct Size {
	const char *type;
	size_t now, released;
	bool grows; /* crosses the ABI with its size */
};
#define SIZE(type, released, grows)                  \
	{                                            \
#type, sizeof(type), released, grows \
	}

static const struct Size sizes[] = {
    SIZE(struct LFIRegs, 368, false),
    SIZE(struct LFIError, 512, false),
    SIZE(struct LFIOptions, 32, true),
    SIZE(struct LFIBoxInfo, 48, true),
    SIZE(struct LFIFault, 392, true),
    SIZE(struct LFIInvokeInfo, 56, true),
    SIZE(union LFIValue, 8, false),
    SIZE(struct LFILinuxOptions, 32, true),
    SIZE(struct LFIRewriteOptions, 32, true),
    SIZE(struct LFIDiagnostic, 32, false),
    SIZE(struct LFIVerifyOptions, 32, true),
    SIZE(struct LFIViolation, 40, false),
    SIZE(struct LFIVerifyReport, 40, true),
};

struct Member {
	const char *type, *name;
	size_t offset, size, released_offset, released_size;
};
#define MEMBER(type, name, offset, size)                                                     \
	{                                                                                    \
#type, #name, offsetof(type, name), sizeof(((type *) 0)->name), offset, size \
	}

static const struct Member members[] = {
    MEMBER(struct LFIRegs, rax, 0, 8),
    MEMBER(struct LFIRegs, x8, 0, 8),
    MEMBER(struct LFIRegs, rcx, 8, 8),
    MEMBER(struct LFIRegs, rdx, 16, 8),
    MEMBER(struct LFIRegs, rbx, 24, 8),
    MEMBER(struct LFIRegs, rsp, 32, 8),
    MEMBER(struct LFIRegs, sp, 32, 8),
    MEMBER(struct LFIRegs, rbp, 40, 8),
    MEMBER(struct LFIRegs, rsi, 48, 8),
    MEMBER(struct LFIRegs, rdi, 56, 8),
    MEMBER(struct LFIRegs, r8, 64, 8),
    MEMBER(struct LFIRegs, r9, 72, 8),
    MEMBER(struct LFIRegs, r10, 80, 8),
    MEMBER(struct LFIRegs, r11, 88, 8),
    MEMBER(struct LFIRegs, r12, 96, 8),
    MEMBER(struct LFIRegs, r13, 104, 8),
    MEMBER(struct LFIRegs, xmm, 112, 256),
    MEMBER(struct LFIError, code, 0, 4),
    MEMBER(struct LFIError, message, 4, 508),
    MEMBER(struct LFIOptions, boxsize, 0, 8),
    MEMBER(struct LFIOptions, pagesize, 8, 8),
    MEMBER(struct LFIOptions, verbose, 16, 1),
    MEMBER(struct LFIOptions, no_verify, 17, 1),
    MEMBER(struct LFIOptions, stores_only, 18, 1),
    MEMBER(struct LFIOptions, jumps_only, 19, 1),
    MEMBER(struct LFIOptions, single_thread, 20, 1),
    MEMBER(struct LFIOptions, no_low_table, 21, 1),
    MEMBER(struct LFIOptions, no_rdtsc, 22, 1),
    MEMBER(struct LFIOptions, bundle, 24, 4),
    MEMBER(struct LFIBoxInfo, base, 0, 8),
    MEMBER(struct LFIBoxInfo, size, 8, 8),
    MEMBER(struct LFIBoxInfo, min, 16, 8),
    MEMBER(struct LFIBoxInfo, max, 24, 8),
    MEMBER(struct LFIBoxInfo, code, 32, 4),
    MEMBER(struct LFIBoxInfo, cpu, 40, 8),
    MEMBER(struct LFIFault, signal, 0, 4),
    MEMBER(struct LFIFault, code, 4, 4),
    MEMBER(struct LFIFault, address, 8, 8),
    MEMBER(struct LFIFault, pc, 16, 8),
    MEMBER(struct LFIFault, regs, 24, 368),
    MEMBER(struct LFIFault, kind, 392, 4),
    MEMBER(struct LFIFault, depth, 396, 4),
    MEMBER(struct LFIFault, pc_offset, 400, 8),
    MEMBER(struct LFIFault, backtrace, 408, 256),
    MEMBER(struct LFIInvokeInfo, box, 0, 8),
    MEMBER(struct LFIInvokeInfo, ctx, 8, 8),
    MEMBER(struct LFIInvokeInfo, target, 16, 8),
    MEMBER(struct LFIInvokeInfo, stack_bytes, 24, 8),
    MEMBER(struct LFIInvokeInfo, arg_regs, 32, 4),
    MEMBER(struct LFIInvokeInfo, stack_skip, 40, 8),
    MEMBER(struct LFIInvokeInfo, stack_tail, 48, 8),
    MEMBER(union LFIValue, i, 0, 8),
    MEMBER(union LFIValue, u, 0, 8),
    MEMBER(union LFIValue, f, 0, 4),
    MEMBER(union LFIValue, d, 0, 8),
    MEMBER(union LFIValue, p, 0, 8),
    MEMBER(struct LFILinuxOptions, stacksize, 0, 8),
    MEMBER(struct LFILinuxOptions, verbose, 8, 1),
    MEMBER(struct LFILinuxOptions, perf, 9, 1),
    MEMBER(struct LFILinuxOptions, debug, 10, 1),
    MEMBER(struct LFILinuxOptions, sys_passthrough, 11, 1),
    MEMBER(struct LFILinuxOptions, exit_unknown_syscalls, 12, 1),
    MEMBER(struct LFILinuxOptions, dir_maps, 16, 8),
    MEMBER(struct LFILinuxOptions, wd, 24, 8),
    MEMBER(struct LFIRewriteOptions, struct_size, 0, 8),
    MEMBER(struct LFIRewriteOptions, policy, 8, 4),
    MEMBER(struct LFIRewriteOptions, bundle, 12, 4),
    MEMBER(struct LFIRewriteOptions, single_thread, 16, 1),
    MEMBER(struct LFIRewriteOptions, no_segue, 17, 1),
    MEMBER(struct LFIRewriteOptions, no_guard_elim, 18, 1),
    MEMBER(struct LFIRewriteOptions, low_table, 19, 1),
    MEMBER(struct LFIRewriteOptions, rename_reserved, 20, 1),
    MEMBER(struct LFIRewriteOptions, file, 24, 8),
    MEMBER(struct LFIDiagnostic, file, 0, 8),
    MEMBER(struct LFIDiagnostic, line, 8, 4),
    MEMBER(struct LFIDiagnostic, column, 12, 4),
    MEMBER(struct LFIDiagnostic, text, 16, 8),
    MEMBER(struct LFIDiagnostic, message, 24, 8),
    MEMBER(struct LFIVerifyOptions, struct_size, 0, 8),
    MEMBER(struct LFIVerifyOptions, policy, 8, 4),
    MEMBER(struct LFIVerifyOptions, bundle, 12, 4),
    MEMBER(struct LFIVerifyOptions, single_thread, 16, 1),
    MEMBER(struct LFIVerifyOptions, no_rdtsc, 17, 1),
    MEMBER(struct LFIVerifyOptions, max_violations, 24, 8),
    MEMBER(struct LFIViolation, offset, 0, 8),
    MEMBER(struct LFIViolation, size, 8, 8),
    MEMBER(struct LFIViolation, rule, 16, 4),
    MEMBER(struct LFIViolation, insn, 24, 8),
    MEMBER(struct LFIViolation, reason, 32, 8),
    MEMBER(struct LFIVerifyReport, struct_size, 0, 8),
    MEMBER(struct LFIVerifyReport, code, 8, 4),
    MEMBER(struct LFIVerifyReport, cpu, 16, 8),
    MEMBER(struct LFIVerifyReport, instructions, 24, 8),
    MEMBER(struct LFIVerifyReport, violations, 32, 8),
};

struct Constant {
	const char *name;
	long long now, released;
};
#define CONSTANT(name, released)      \
	{                             \
#name, name, released \
	}

static const struct Constant constants[] = {
    CONSTANT(LFI_OK, 0),
    CONSTANT(LFI_ERR_INVALID, 1),
    CONSTANT(LFI_ERR_NOMEM, 2),
    CONSTANT(LFI_ERR_NOSPACE, 3),
    CONSTANT(LFI_ERR_OS, 4),
    CONSTANT(LFI_ERR_RANGE, 5),
    CONSTANT(LFI_ERR_UNMAPPED, 6),
    CONSTANT(LFI_ERR_VERIFY, 7),
    CONSTANT(LFI_ERR_CPU, 8),
    CONSTANT(LFI_ERR_ELF, 9),
    CONSTANT(LFI_ERR_BUSY, 10),
    CONSTANT(LFI_ERR_FAULT, 11),
    CONSTANT(LFI_ERR_INTERRUPTED, 12),
    CONSTANT(LFI_ERR_DEADLINE, 13),
    CONSTANT(LFI_ERR_LIMIT, 14),
    CONSTANT(LFI_ERR_NOTFOUND, 15),
    CONSTANT(LFI_ERR_SIGNATURE, 16),
    CONSTANT(LFI_ERR_REWRITE, 17),
    CONSTANT(LFI_ERR_UNSUPPORTED, 18),
    CONSTANT(LFI_PROT_NONE, 0),
    CONSTANT(LFI_PROT_READ, 1),
    CONSTANT(LFI_PROT_WRITE, 2),
    CONSTANT(LFI_PROT_EXEC, 4),
    CONSTANT(LFI_MAP_SHARED, 0x1),
    CONSTANT(LFI_MAP_PRIVATE, 0x2),
    CONSTANT(LFI_MAP_FIXED, 0x10),
    CONSTANT(LFI_MAP_ANONYMOUS, 0x20),
    CONSTANT(LFI_MAP_FIXED_NOREPLACE, 0x100000),
    CONSTANT(LFI_INVOKE_COUNTED, 0x10000),
    CONSTANT(LFI_POLICY_FULL, 0),
    CONSTANT(LFI_POLICY_STORES, 1),
    CONSTANT(LFI_POLICY_JUMPS, 2),
    CONSTANT(LFI_RULE_NONE, 0),
    CONSTANT(LFI_RULE_DECODE, 1),
    CONSTANT(LFI_RULE_INSTRUCTION, 2),
    CONSTANT(LFI_RULE_PREFIX, 3),
    CONSTANT(LFI_RULE_BUNDLE, 4),
    CONSTANT(LFI_RULE_REGISTER, 5),
    CONSTANT(LFI_RULE_DIRECT, 6),
    CONSTANT(LFI_RULE_INDIRECT, 7),
    CONSTANT(LFI_RULE_RETURN, 8),
    CONSTANT(LFI_RULE_RTCALL, 9),
    CONSTANT(LFI_RULE_MEMORY, 10),
    CONSTANT(LFI_RULE_IMPLICIT, 11),
    CONSTANT(LFI_RULE_BITTEST, 12),
    CONSTANT(LFI_RULE_STACK, 13),
    CONSTANT(LFI_RULE_DRIFT, 14),
    CONSTANT(LFI_RULE_CONTEXT, 15),
    CONSTANT(LFI_RULE_ARGUMENT, 16),
    CONSTANT(LFI_CODE_AVX, 0x1),
    CONSTANT(LFI_CODE_AVX512, 0x2),
    CONSTANT(LFI_CODE_X87, 0x4),
    CONSTANT(LFI_CODE_FPCONTROL, 0x8),
    CONSTANT(LFI_CODE_DIRECTION, 0x10),
    CONSTANT(LFI_CODE_ST_RETURN, 0x20),
    CONSTANT(LFI_CPU_SSE3, 0),
    CONSTANT(LFI_CPU_SSSE3, 1),
    CONSTANT(LFI_CPU_SSE41, 2),
    CONSTANT(LFI_CPU_SSE42, 3),
    CONSTANT(LFI_CPU_POPCNT, 4),
    CONSTANT(LFI_CPU_LZCNT, 5),
    CONSTANT(LFI_CPU_CX16, 6),
    CONSTANT(LFI_CPU_MOVBE, 7),
    CONSTANT(LFI_CPU_LAHF, 8),
    CONSTANT(LFI_CPU_AES, 9),
    CONSTANT(LFI_CPU_PCLMUL, 10),
    CONSTANT(LFI_CPU_SHA, 11),
    CONSTANT(LFI_CPU_GFNI, 12),
    CONSTANT(LFI_CPU_RDRAND, 13),
    CONSTANT(LFI_CPU_RDSEED, 14),
    CONSTANT(LFI_CPU_ADX, 15),
    CONSTANT(LFI_CPU_BMI1, 16),
    CONSTANT(LFI_CPU_BMI2, 17),
    CONSTANT(LFI_CPU_F16C, 18),
    CONSTANT(LFI_CPU_FMA, 19),
    CONSTANT(LFI_CPU_AVX, 20),
    CONSTANT(LFI_CPU_AVX2, 21),
    CONSTANT(LFI_CPU_VAES, 22),
    CONSTANT(LFI_CPU_VPCLMUL, 23),
    CONSTANT(LFI_CPU_AVX_VNNI, 24),
    CONSTANT(LFI_CPU_RDTSCP, 25),
    CONSTANT(LFI_CPU_AVX512F, 26),
    CONSTANT(LFI_CPU_AVX512BW, 27),
    CONSTANT(LFI_CPU_AVX512DQ, 28),
    CONSTANT(LFI_CPU_AVX512VL, 29),
    CONSTANT(LFI_CPU_AVX512CD, 30),
    CONSTANT(LFI_CPU_AVX512_VNNI, 31),
    CONSTANT(LFI_CPU_AVX512_VBMI, 32),
    CONSTANT(LFI_CPU_AVX512_VBMI2, 33),
    CONSTANT(LFI_CPU_AVX512_IFMA, 34),
    CONSTANT(LFI_CPU_AVX512_BITALG, 35),
    CONSTANT(LFI_CPU_AVX512_VPOPCNTDQ, 36),
    CONSTANT(LFI_CPU_AVX512_BF16, 37),
    CONSTANT(LFI_CPU_AVX512_FP16, 38),
};

static void
structs_have_the_size_that_was_released_or_have_grown(void **state)
{
	(void) state;
	for (size_t i = 0; i < ROWS(sizes); i++)
		if (sizes[i].grows ? sizes[i].now < sizes[i].released : sizes[i].now != sizes[i].released)
			fail_msg("%s has %zu bytes, not %zu", sizes[i].type, sizes[i].now, sizes[i].released);
}

static void
members_are_where_they_were(void **state)
{
	(void) state;
	for (size_t i = 0; i < ROWS(members); i++) {
		const struct Member *m = &members[i];

		if (m->offset != m->released_offset || m->size != m->released_size)
			fail_msg("%s of %s is at %zu with %zu bytes, not at %zu with %zu", m->name, m->type, m->offset,
			    m->size, m->released_offset, m->released_size);
	}
}

static void
constants_have_the_values_that_they_had(void **state)
{
	(void) state;
	for (size_t i = 0; i < ROWS(constants); i++)
		if (constants[i].now != constants[i].released)
			fail_msg("%s is %lld, not %lld", constants[i].name, constants[i].now, constants[i].released);
}

/* ---- Initialisers ---- */

static void
zero_options_mean_the_documented_defaults(void **state)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);
	struct LFIBox *box;
	struct LFIBoxInfo info;

	(void) state;
	assert_non_null(engine);
	box = lfi_box_new(engine);
	assert_non_null(box);
	info = lfi_box_info(box);
	assert_int_equal(info.size, (uint64_t) 4 << 30);
	assert_int_equal(info.code, 0);
	assert_int_equal(info.cpu, 0);
	lfi_box_free(box);
	lfi_free(engine);
}

/* One bundle with an instruction across the middle, which only bundles of 32 bytes allow. */
static void
across_16_bytes(uint8_t code[32])
{
	memset(code, 0x90, 32);
	memcpy(code + 14, "\xb8\x00\x00\x00\x00", 5); /* mov $0, %eax */
}

/* Code is of bundles of 32 bytes and confined in full, and the time-stamp counter may be read. */
static void
zero_options_accept_what_the_documented_defaults_accept(void **state)
{
	static const uint8_t rdtsc[] = {0x0f, 0x31}, bad_load[] = {0x8b, 0x00}, bad_store[] = {0x89, 0x00};
	uint64_t scratch[8];
	uint8_t code[32];
	struct LFIVerifyOptions opts = {.struct_size = sizeof opts};
	struct LFIVerifyReport report = {.struct_size = sizeof report};

	(void) state;
	assert_true(lfi_verify_scratch_size(sizeof code) <= sizeof scratch);
	for (int defaults = 0; defaults < 2; defaults++) {
		const struct LFIVerifyOptions *given = defaults ? NULL : &opts;

		across_16_bytes(code);
		assert_int_equal(lfi_verify(given, code, 32, 0, scratch, sizeof scratch, NULL, NULL, NULL), 0);
		memcpy(code, rdtsc, sizeof rdtsc);
		assert_int_equal(lfi_verify(given, code, 32, 0, scratch, sizeof scratch, NULL, NULL, &report), 0);
		memcpy(code, bad_load, sizeof bad_load);
		assert_int_equal(lfi_verify(given, code, 32, 0, scratch, sizeof scratch, NULL, NULL, NULL), 1);
		memcpy(code, bad_store, sizeof bad_store);
		memcpy(code + 4, bad_store, sizeof bad_store);
		assert_int_equal(lfi_verify(given, code, 32, 0, scratch, sizeof scratch, NULL, NULL, &report), 1);
		assert_int_equal(report.violations, 1); /* stops after the first */
	}
}

static void
zero_rewrite_options_mean_the_documented_defaults(void **state)
{
	static const char input[] = "\t.text\nf:\n\tmovl (%rdi), %eax\n\tpushq %rax\n\tcall g\n\tret\n";
	struct LFIRewriteOptions zero = {.struct_size = sizeof zero};
	struct LFIRewriteOptions full = {.struct_size = sizeof full, .policy = LFI_POLICY_FULL, .bundle = 32};
	char *texts[3];
	size_t sizes_of[3];

	(void) state;
	assert_int_equal(lfi_rewrite(NULL, input, sizeof input - 1, &texts[0], &sizes_of[0], NULL, NULL), 0);
	assert_int_equal(lfi_rewrite(&zero, input, sizeof input - 1, &texts[1], &sizes_of[1], NULL, NULL), 0);
	assert_int_equal(lfi_rewrite(&full, input, sizeof input - 1, &texts[2], &sizes_of[2], NULL, NULL), 0);
	for (int i = 1; i < 3; i++)
		assert_string_equal(texts[i], texts[0]);
	for (int i = 0; i < 3; i++)
		lfi_rewrite_free(texts[i]);
}

/* ---- Structs of other versions ---- */

/* A struct of today as a newer header may have it. */
#define NEWER(type)               \
	struct {                  \
		type known;       \
		uint64_t more[2]; \
	}

static void
core_options_of_other_versions_are_understood(void **state)
{
	NEWER(struct LFIOptions) opts;
	struct LFIEngine *engine;

	(void) state;
	memset(&opts, 0, sizeof opts);
	for (size_t size = 0; size <= sizeof opts; size += 4) {
		engine = lfi_new_sized(&opts.known, size, 1);
		assert_non_null(engine);
		lfi_free(engine);
	}
	/* Beyond an older caller's struct is something else of his. */
	opts.known.bundle = 77;
	engine = lfi_new_sized(&opts.known, offsetof(struct LFIOptions, bundle), 1);
	assert_non_null(engine);
	lfi_free(engine);
	opts.known.bundle = 0;
	opts.more[1] = 1;
	assert_null(lfi_new_sized(&opts.known, sizeof opts, 1));
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
}

static void
linux_options_of_other_versions_are_understood(void **state)
{
	NEWER(struct LFILinuxOptions) opts;
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);
	struct LFILinuxEngine *linux_;

	(void) state;
	memset(&opts, 0, sizeof opts);
	for (size_t size = 0; size <= sizeof opts; size += 8) {
		linux_ = lfi_linux_new_sized(engine, &opts.known, size);
		assert_non_null(linux_);
		lfi_linux_free(linux_);
	}
	opts.known.debug = true;
	linux_ = lfi_linux_new_sized(engine, &opts.known, offsetof(struct LFILinuxOptions, debug));
	assert_non_null(linux_);
	lfi_linux_free(linux_);
	opts.known.debug = false;
	opts.more[0] = 1;
	assert_null(lfi_linux_new_sized(engine, &opts.known, sizeof opts));
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	lfi_free(engine);
}

static void
verify_and_rewrite_options_of_other_versions_are_understood(void **state)
{
	static const char input[] = "\tnop\n";
	NEWER(struct LFIVerifyOptions) verify;
	NEWER(struct LFIRewriteOptions) rewrite;
	uint64_t scratch[8];
	uint8_t code[32];
	char *output;
	size_t size;

	(void) state;
	across_16_bytes(code);
	memset(&verify, 0, sizeof verify);
	memset(&rewrite, 0, sizeof rewrite);
	for (size_t given = 8; given <= sizeof verify; given += 4) {
		verify.known.struct_size = given;
		assert_int_equal(lfi_verify(&verify.known, code, 32, 0, scratch, sizeof scratch, NULL, NULL, NULL), 0);
	}
	for (size_t given = 8; given <= sizeof rewrite; given += 4) {
		rewrite.known.struct_size = given;
		assert_int_equal(lfi_rewrite(&rewrite.known, input, sizeof input - 1, &output, &size, NULL, NULL), 0);
		lfi_rewrite_free(output);
	}
	/* Bundles of 16 bytes, in a member that an older caller does not have. */
	verify.known.bundle = rewrite.known.bundle = 77;
	verify.known.struct_size = offsetof(struct LFIVerifyOptions, bundle);
	rewrite.known.struct_size = offsetof(struct LFIRewriteOptions, bundle);
	assert_int_equal(lfi_verify(&verify.known, code, 32, 0, scratch, sizeof scratch, NULL, NULL, NULL), 0);
	assert_int_equal(lfi_rewrite(&rewrite.known, input, sizeof input - 1, &output, &size, NULL, NULL), 0);
	lfi_rewrite_free(output);
	verify.known.bundle = rewrite.known.bundle = 0;
	verify.more[1] = rewrite.more[1] = 1;
	verify.known.struct_size = sizeof verify;
	rewrite.known.struct_size = sizeof rewrite;
	assert_int_equal(lfi_verify(&verify.known, code, 32, 0, scratch, sizeof scratch, NULL, NULL, NULL), 1);
	assert_int_equal(lfi_rewrite(&rewrite.known, input, sizeof input - 1, &output, &size, NULL, NULL), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
}

/* A result in a longer struct has zeros behind what is known, and one in a shorter struct ends with it. */
static void
a_box_info_of_another_version_is_filled(void **state)
{
	NEWER(struct LFIBoxInfo) info;
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);
	struct LFIBox *box = lfi_box_new(engine);
	lfiptr base = lfi_box_info(box).base;
	const uint64_t ones = UINT64_MAX;

	(void) state;
	for (size_t size = 0; size <= sizeof info; size += 8) {
		memset(&info, 0xff, sizeof info);
		assert_int_equal(lfi_box_info_sized(box, &info.known, size), 0);
		if (size >= 8)
			assert_int_equal(info.known.base, base);
		if (size < sizeof info)
			assert_memory_equal((uint8_t *) &info + size, &ones, 8);
	}
	assert_int_equal(info.more[0] | info.more[1], 0);
	lfi_box_free(box);
	lfi_free(engine);
}

static void
a_fault_of_another_version_is_filled(void **state)
{
	NEWER(struct LFIFault) fault;
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);
	struct LFIBox *box = lfi_box_new(engine);
	struct LFIContext *ctx = lfi_ctx_new(box, NULL);

	(void) state;
	/* Nothing is mapped there: the jump itself traps. */
	assert_int_equal(lfi_ctx_run(ctx, lfi_box_info(box).min), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_FAULT);
	for (size_t size = 8; size <= sizeof fault; size += 8) {
		memset(&fault, 0xff, sizeof fault);
		assert_int_equal(lfi_ctx_fault_sized(ctx, &fault.known, size), 0);
		assert_int_equal(fault.known.signal, 11);
		if (size < sizeof fault)
			assert_int_equal(((uint8_t *) &fault)[size], 0xff);
	}
	assert_int_equal(fault.more[0] | fault.more[1], 0);
	lfi_ctx_free(ctx);
	lfi_box_free(box);
	lfi_free(engine);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(structs_have_the_size_that_was_released_or_have_grown),
	    cmocka_unit_test(members_are_where_they_were),
	    cmocka_unit_test(constants_have_the_values_that_they_had),
	    cmocka_unit_test(zero_options_mean_the_documented_defaults),
	    cmocka_unit_test(zero_options_accept_what_the_documented_defaults_accept),
	    cmocka_unit_test(zero_rewrite_options_mean_the_documented_defaults),
	    cmocka_unit_test(core_options_of_other_versions_are_understood),
	    cmocka_unit_test(linux_options_of_other_versions_are_understood),
	    cmocka_unit_test(verify_and_rewrite_options_of_other_versions_are_understood),
	    cmocka_unit_test(a_box_info_of_another_version_is_filled),
	    cmocka_unit_test(a_fault_of_another_version_is_filled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
