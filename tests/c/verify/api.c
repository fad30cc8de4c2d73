/* SPDX-License-Identifier: MIT */
/* lfi_verify as a function: arguments, options, reports, messages, and bytes that end at an unmapped page. */
#include <lfi/lfi_verify.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE 4096
#define GIB4 ((uint64_t) 1 << 32)

static uint64_t scratch[2 * PAGE / 64];
static uint8_t nops[64];

static bool
take_rule(const struct LFIViolation *violation, void *user)
{
	*(int *) user = violation->rule;
	return true;
}

static int
rule_of(const struct LFIVerifyOptions *options, const void *code, size_t size, uint64_t offset, size_t scratch_size)
{
	int rule = LFI_RULE_NONE;
	int result = lfi_verify(options, code, size, offset, scratch, scratch_size, take_rule, &rule, NULL);

	assert_int_equal(result, rule != LFI_RULE_NONE);
	return rule;
}

static void
a_region_must_be_whole_bundles_in_the_sandbox(void **state)
{
	static const struct {
		size_t size;
		uint64_t offset;
		int rule;
	} rows[] = {
	    {64, 0, LFI_RULE_NONE},
	    {0, 0, LFI_RULE_NONE},
	    {33, 0, LFI_RULE_ARGUMENT},
	    {48, 0, LFI_RULE_ARGUMENT},
	    {32, 16, LFI_RULE_ARGUMENT},
	    {32, 1, LFI_RULE_ARGUMENT},
	    {64, GIB4 - 64, LFI_RULE_NONE},
	    {64, GIB4 - 32, LFI_RULE_ARGUMENT},
	    {64, GIB4, LFI_RULE_ARGUMENT},
	    {64, UINT64_MAX - 63, LFI_RULE_ARGUMENT},
	    {SIZE_MAX - 31, 32, LFI_RULE_ARGUMENT},
	    {GIB4 + 32, 0, LFI_RULE_ARGUMENT},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_int_equal(rule_of(NULL, nops, rows[i].size, rows[i].offset, sizeof scratch), rows[i].rule);
	assert_int_equal(rule_of(NULL, nops, ((size_t) 1 << 32) + 32, 0, SIZE_MAX), LFI_RULE_ARGUMENT);
}

static bool
take_argument(const struct LFIViolation *violation, void *user)
{
	assert_int_equal(violation->rule, LFI_RULE_ARGUMENT);
	assert_int_equal(violation->offset, 0);
	assert_int_equal(violation->size, 0);
	assert_string_equal(violation->insn, "");
	*(const char **) user = violation->reason;
	return true;
}

/* Why an argument is refused; each is a violation that is counted. */
static const char *
reason_of(const void *code, size_t size, uint64_t offset, size_t scratch_size)
{
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	const char *reason = NULL;

	assert_int_equal(lfi_verify(NULL, code, size, offset, scratch, scratch_size, take_argument, &reason, &report), 1);
	assert_int_equal(report.violations, 1);
	return reason;
}

static void
an_argument_that_is_refused_is_a_violation_without_a_place(void **state)
{
	assert_string_equal(reason_of(NULL, 64, 0, sizeof scratch), "the code is NULL");
	assert_string_equal(reason_of(nops, 64, GIB4, sizeof scratch), "the region does not lie in the sandbox");
	/* All of the sandbox is no region too large. */
	assert_string_equal(reason_of(nops, GIB4, 0, sizeof scratch), "the scratch memory is too small or not aligned");
	assert_string_equal(reason_of(nops, GIB4, 32, sizeof scratch), "the region does not lie in the sandbox");
	/* Nothing can come from nowhere. */
	assert_int_equal(rule_of(NULL, NULL, 0, 0, sizeof scratch), LFI_RULE_NONE);
}

static void
scratch_must_be_large_enough_and_aligned(void **state)
{
	assert_int_equal(lfi_verify_scratch_size(0), 0);
	assert_int_equal(lfi_verify_scratch_size(32), 16);
	assert_int_equal(lfi_verify_scratch_size(64), 16);
	assert_int_equal(lfi_verify_scratch_size(96), 32);
	assert_int_equal(lfi_verify_scratch_size(4096), 1024);
	assert_int_equal(rule_of(NULL, nops, 64, 0, 16), LFI_RULE_NONE);
	assert_int_equal(rule_of(NULL, nops, 64, 0, 15), LFI_RULE_ARGUMENT);
	assert_int_equal(lfi_verify(NULL, nops, 64, 0, (char *) scratch + 4, 16, NULL, NULL, NULL), 1);
	assert_int_equal(lfi_verify(NULL, nops, 64, 0, NULL, 16, NULL, NULL, NULL), 1);
	assert_int_equal(lfi_verify(NULL, NULL, 64, 0, scratch, 16, NULL, NULL, NULL), 1);
}

static void
options_that_are_not_known_are_refused(void **state)
{
	struct {
		struct LFIVerifyOptions options;
		uint64_t newer;
	} grown = {.options = {.struct_size = sizeof grown}};
	struct LFIVerifyOptions options = {.struct_size = sizeof options};

	assert_int_equal(rule_of(&options, nops, 64, 0, 16), LFI_RULE_NONE);
	assert_int_equal(rule_of(&grown.options, nops, 64, 0, 16), LFI_RULE_NONE);
	grown.newer = 1;
	assert_int_equal(rule_of(&grown.options, nops, 64, 0, 16), LFI_RULE_ARGUMENT);
	options.policy = 3;
	assert_int_equal(rule_of(&options, nops, 64, 0, 16), LFI_RULE_ARGUMENT);
	options.policy = -1;
	assert_int_equal(rule_of(&options, nops, 64, 0, 16), LFI_RULE_ARGUMENT);
	options.policy = 0;
	options.bundle = 64;
	assert_int_equal(rule_of(&options, nops, 64, 0, 16), LFI_RULE_ARGUMENT);
	options.bundle = 16;
	assert_int_equal(rule_of(&options, nops, 48, 16, 16), LFI_RULE_NONE);
	options.struct_size = 0;
	assert_int_equal(rule_of(&options, nops, 64, 0, 16), LFI_RULE_ARGUMENT);
	/* An older caller's struct ends before the bundle size: the default holds. */
	options.struct_size = offsetof(struct LFIVerifyOptions, bundle);
	assert_int_equal(rule_of(&options, nops, 48, 0, 16), LFI_RULE_ARGUMENT);
}

struct report_row {
	uint8_t code[16];
	uint32_t flags;
	uint64_t cpu;
};

#define CPU(name) ((uint64_t) 1 << LFI_CPU_##name)

#define AVX512 (LFI_CODE_AVX | LFI_CODE_AVX512)
#define F (CPU(AVX) | CPU(AVX512F))

static const struct report_row report_rows[] = {
    {{0x01, 0xc8}, 0, 0},                                                /* add */
    {{0x0f, 0x58, 0xc1}, 0, 0},                                          /* addps */
    {{0xc5, 0xf8, 0x58, 0xc1}, LFI_CODE_AVX, CPU(AVX)},                  /* vaddps xmm */
    {{0xc5, 0xf9, 0xfe, 0xc1}, LFI_CODE_AVX, CPU(AVX)},                  /* vpaddd xmm */
    {{0xc5, 0xfd, 0xfe, 0xc1}, LFI_CODE_AVX, CPU(AVX) | CPU(AVX2)},      /* vpaddd ymm */
    {{0xc4, 0xe2, 0x71, 0xdc, 0xc2}, LFI_CODE_AVX, CPU(AVX) | CPU(AES)}, /* vaesenc xmm */
    {{0xc4, 0xe2, 0x75, 0xdc, 0xc2}, LFI_CODE_AVX, CPU(AVX) | CPU(AES) | CPU(VAES)},
    {{0xc5, 0xf8, 0x77}, LFI_CODE_AVX, CPU(AVX)},               /* vzeroupper */
    {{0xc4, 0xe2, 0x70, 0xf2, 0xc2}, 0, CPU(BMI1)},             /* andn: no vector register */
    {{0xd9, 0xe8}, LFI_CODE_X87, 0},                            /* fld1 */
    {{0x0f, 0xfe, 0xc1}, LFI_CODE_X87, 0},                      /* paddd mm */
    {{0xd9, 0x2c, 0x24}, LFI_CODE_X87 | LFI_CODE_FPCONTROL, 0}, /* fldcw */
    {{0x0f, 0xae, 0x14, 0x24}, LFI_CODE_FPCONTROL, 0},          /* ldmxcsr */
    {{0xfd}, LFI_CODE_DIRECTION, 0},                            /* std */
    {{0xfc}, 0, 0},                                             /* cld */
    {{0xf3, 0x0f, 0xb8, 0xc1}, 0, CPU(POPCNT)}, {{0x67, 0x65, 0x48, 0x0f, 0xc7, 0x08}, 0, CPU(CX16)}, /* cmpxchg16b */
    {{0x67, 0x65, 0x0f, 0xc7, 0x08}, 0, 0},                                                           /* cmpxchg8b */
    {{0x0f, 0x01, 0xf9}, 0, CPU(RDTSCP)},
    {{0xf3, 0x48, 0x0f, 0xb8, 0xc1}, 0, CPU(POPCNT)}, /* REX.W alone is no cmpxchg16b */
    {{0xc4, 0xe2, 0x75, 0xb8, 0xc2}, LFI_CODE_AVX, CPU(AVX) | CPU(FMA)},
    {{0xc5, 0xf5, 0x58, 0xc2}, LFI_CODE_AVX, CPU(AVX)}, /* vaddps ymm */
    {{0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1}, AVX512, F},  /* vaddps zmm */
    {{0x62, 0xf1, 0x7c, 0x28, 0x58, 0xc1}, AVX512, F | CPU(AVX512VL)},
    {{0x62, 0xf1, 0x7c, 0x18, 0x58, 0xc1}, AVX512, F}, /* of 512 bits, rounded to nearest */
    {{0x62, 0xf1, 0x7e, 0x08, 0x58, 0xc1}, AVX512, F}, /* vaddss */
    {{0x62, 0xf1, 0x7d, 0x08, 0x6e, 0xc1}, AVX512, F}, /* vmovd */
    {{0x62, 0xf1, 0x7d, 0x08, 0xfc, 0xc1}, AVX512, F | CPU(AVX512BW) | CPU(AVX512VL)},
    {{0x62, 0xf2, 0xfd, 0x48, 0x40, 0xc1}, AVX512, F | CPU(AVX512DQ)}, /* vpmullq */
    {{0x62, 0xf2, 0x7d, 0x48, 0x40, 0xc1}, AVX512, F},                 /* vpmulld */
    {{0x62, 0xf5, 0x7c, 0x48, 0x58, 0xc1}, AVX512, F | CPU(AVX512_FP16)},
    {{0x62, 0xf2, 0x7d, 0x48, 0xdc, 0xc1}, AVX512, F | CPU(VAES)},
    {{0xc5, 0xf8, 0x92, 0xc8}, LFI_CODE_AVX512, CPU(AVX512F)},        /* kmovw */
    {{0xc5, 0xf9, 0x92, 0xc8}, LFI_CODE_AVX512, CPU(AVX512DQ)},       /* kmovb */
    {{0xc5, 0xfb, 0x92, 0xc8}, LFI_CODE_AVX512, CPU(AVX512BW)},       /* kmovd */
    {{0xc4, 0xe1, 0xf4, 0x41, 0xc8}, LFI_CODE_AVX512, CPU(AVX512BW)}, /* kandq */
    {{0xc5, 0xf4, 0x41, 0xc8}, LFI_CODE_AVX512, CPU(AVX512F)},        /* kandw */
    {{0xc4, 0xe3, 0xf9, 0x30, 0xc8, 1}, LFI_CODE_AVX512, CPU(AVX512F)},
    {{0xc4, 0xe3, 0x79, 0x30, 0xc8, 1}, LFI_CODE_AVX512, CPU(AVX512DQ)}, /* kshiftrb */
};

static void
the_report_says_what_the_code_needs(void **state)
{
	for (size_t i = 0; i < sizeof report_rows / sizeof report_rows[0]; i++) {
		struct LFIVerifyReport report = {.struct_size = sizeof report};
		uint8_t code[32];

		memset(code, 0x90, sizeof code);
		for (size_t j = 0; j < 16 && report_rows[i].code[j]; j++)
			code[j] = report_rows[i].code[j];
		assert_int_equal(lfi_verify(NULL, code, 32, 0, scratch, 16, NULL, NULL, &report), 0);
		assert_int_equal(report.code, report_rows[i].flags);
		assert_int_equal(report.cpu, report_rows[i].cpu);
		assert_int_equal(report.violations, 0);
		assert_true(report.instructions > 1);
	}
}

/* In a region that is long enough for the quick walk, whose last bytes are the rules'. */
static void
the_report_says_what_the_last_bundle_needs(void **state)
{
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	uint8_t code[128];

	memset(code, 0x90, sizeof code);
	memcpy(code + 126, "\xd9\xe8", 2); /* fld1 */
	assert_int_equal(lfi_verify(NULL, code, sizeof code, 0, scratch, 32, NULL, NULL, &report), 0);
	assert_int_equal(report.code, LFI_CODE_X87);
}

static void
single_thread_returns_are_reported(void **state)
{
	static const uint8_t group[] = {
	    0x4c, 0x8b, 0x1c, 0x24, 0x41, 0x83, 0xe3, 0xe0, 0x4d, 0x01, 0xf3, 0x4c, 0x89, 0x1c, 0x24, 0xc3};
	struct LFIVerifyOptions options = {.struct_size = sizeof options, .single_thread = true};
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	uint8_t code[32];

	memset(code, 0x90, sizeof code);
	assert_int_equal(lfi_verify(&options, code, 32, 0, scratch, 16, NULL, NULL, &report), 0);
	assert_int_equal(report.code, 0);
	memcpy(code, group, sizeof group);
	assert_int_equal(lfi_verify(&options, code, 32, 0, scratch, 16, NULL, NULL, &report), 0);
	assert_int_equal(report.code, LFI_CODE_ST_RETURN);
}

/* Its last instruction has the last bit of a word of the marks. */
static void
the_last_byte_of_a_group_is_no_target(void **state)
{
	static const uint8_t group[] = {
	    0x4c, 0x8b, 0x1c, 0x24, 0x41, 0x83, 0xe3, 0xe0, 0x4d, 0x01, 0xf3, 0x4c, 0x89, 0x1c, 0x24, 0xc3};
	struct LFIVerifyOptions options = {.struct_size = sizeof options, .single_thread = true};
	uint8_t code[160];

	memset(code, 0x90, sizeof code);
	memcpy(code + 64 - sizeof group, group, sizeof group);
	assert_int_equal(rule_of(&options, code, sizeof code, 0, 48), LFI_RULE_NONE);
	memcpy(code, "\xeb\x3d", 2); /* jmp 63 */
	assert_int_equal(rule_of(&options, code, sizeof code, 0, 48), LFI_RULE_DIRECT);
	memcpy(code, "\xeb\x2e", 2); /* jmp 48 */
	assert_int_equal(rule_of(&options, code, sizeof code, 0, 48), LFI_RULE_NONE);
}

/* The last bundles of the sandbox: what may be reached from there. */
static void
nothing_above_the_sandbox_is_reached(void **state)
{
	static const struct {
		size_t size;
		uint8_t code[16];
		int rule;
	} rows[] = {
	    {6, {0x8a, 0x05, 0x39, 0, 0, 0}, LFI_RULE_NONE},   /* mov last byte, %al */
	    {6, {0x8a, 0x05, 0x3a, 0, 0, 0}, LFI_RULE_MEMORY}, /* the byte after it */
	    {6, {0x8b, 0x05, 0x36, 0, 0, 0}, LFI_RULE_NONE},   /* mov last 4 bytes, %eax */
	    {6, {0x8b, 0x05, 0x37, 0, 0, 0}, LFI_RULE_MEMORY},
	    {5, {0xe9, 0x1b, 0, 0, 0}, LFI_RULE_NONE},   /* jmp to the last bundle */
	    {5, {0xe9, 0x3b, 0, 0, 0}, LFI_RULE_DIRECT}, /* and to the end of the sandbox */
	    {11, {0x4c, 0x8d, 0x1d, 0x19, 0, 0, 0, 0x41, 0xff, 0x66, 0xf8}, LFI_RULE_NONE}, /* L is the last bundle */
	    {11, {0x4c, 0x8d, 0x1d, 0x39, 0, 0, 0, 0x41, 0xff, 0x66, 0xf8}, LFI_RULE_RTCALL},
	};
	/* A runtime call that ends where the sandbox does. */
	static const uint8_t last[] = {0x4c, 0x8d, 0x1d, 0x04, 0, 0, 0, 0x41, 0xff, 0x66, 0xf8};
	uint64_t end = (uint64_t) 1 << 32;
	uint8_t code[32];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		memset(code, 0x90, sizeof code);
		memcpy(code, rows[i].code, rows[i].size);
		assert_int_equal(rule_of(NULL, code, 32, end - 64, 16), rows[i].rule);
	}
	memset(code, 0x90, sizeof code);
	memcpy(code + 32 - sizeof last, last, sizeof last);
	assert_int_equal(rule_of(NULL, code, 32, end - 64, 16), LFI_RULE_NONE);
	assert_int_equal(rule_of(NULL, code, 32, end - 32, 16), LFI_RULE_RTCALL);
}

/* Each is named, in order, and nothing else is: not a good branch to a good place, not a bad one twice. */
static bool
append_offset(const struct LFIViolation *violation, void *user)
{
	char *text = user;

	snprintf(text + strlen(text), 20, " %zu", violation->offset);
	return true;
}

static void
each_branch_to_a_bad_place_is_named(void **state)
{
	struct LFIVerifyOptions options = {.struct_size = sizeof options, .max_violations = 100};
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	char offsets[200] = "";
	uint8_t code[96];

	memset(code, 0x90, sizeof code);
	code[0] = 0xb8;                                  /* movl $0x90909090, %eax: 1 to 4 are bad places */
	memcpy(code + 5, "\xeb\xfa\xeb\xf7\x74\xf7", 6); /* jmp 1; jmp 0; je 2 */
	memcpy(code + 11, "\xe8\xf2\xff\xff\xff", 5);    /* call 2 */
	memcpy(code + 16, "\xb0\xef", 2);                /* movb $-17, %al: no branch */
	memcpy(code + 24, "\x06\xeb\xe6", 3);            /* not an instruction, so its bundle is left */
	memcpy(code + 32, "\xeb\xdf", 2);                /* jmp 1 */
	code[61] = 0xb8;                                 /* over the bundle's edge */
	memcpy(code + 64, "\xeb\xbf", 2);                /* jmp 1 */
	assert_int_equal(lfi_verify(&options, code, 96, 0, scratch, 32, append_offset, offsets, &report), 1);
	assert_string_equal(offsets, " 24 61 5 9 11 32 64");
	assert_int_equal(report.violations, 7);
	options.max_violations = 3;
	assert_int_equal(lfi_verify(&options, code, 96, 0, scratch, 32, NULL, NULL, &report), 1);
	assert_int_equal(report.violations, 3);
}

static void
a_shorter_report_is_not_overrun(void **state)
{
	struct LFIVerifyReport report;

	memset(&report, 0x55, sizeof report);
	report.struct_size = offsetof(struct LFIVerifyReport, instructions);
	assert_int_equal(lfi_verify(NULL, nops, 64, 0, scratch, 16, NULL, NULL, &report), 0);
	assert_int_equal(report.cpu, 0);
	assert_int_equal(report.instructions, 0x5555555555555555);
	report.struct_size = sizeof report.struct_size - 1;
	report.cpu = 0x55;
	assert_int_equal(lfi_verify(NULL, nops, 64, 0, scratch, 16, NULL, NULL, &report), 0);
	assert_int_equal(report.struct_size, sizeof report.struct_size - 1);
	assert_int_equal(report.cpu, 0x55);
}

static void
a_longer_report_is_zero_where_it_is_not_known(void **state)
{
	struct {
		struct LFIVerifyReport report;
		uint64_t newer[2];
	} grown = {.report = {.struct_size = sizeof grown.report + 8}, .newer = {1, 2}};

	assert_int_equal(lfi_verify(NULL, nops, 64, 0, scratch, 16, NULL, NULL, &grown.report), 0);
	assert_int_equal(grown.report.instructions, 64);
	assert_int_equal(grown.newer[0], 0);
	assert_int_equal(grown.newer[1], 2);
}

static bool
count_violation(const struct LFIViolation *violation, void *user)
{
	return ++*(unsigned *) user < 3;
}

static void
violations_stop_at_the_limit_or_when_the_callback_says_so(void **state)
{
	struct LFIVerifyOptions options = {.struct_size = sizeof options, .max_violations = 1000};
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	uint8_t rets[64];
	unsigned count = 0;

	memset(rets, 0xc3, sizeof rets);
	assert_int_equal(lfi_verify(&options, rets, 64, 0, scratch, 16, NULL, NULL, &report), 1);
	assert_int_equal(report.violations, 64);
	assert_int_equal(lfi_verify(&options, rets, 64, 0, scratch, 16, count_violation, &count, &report), 1);
	assert_int_equal(count, 3);
	memcpy(rets, "\x89\xec\x06", 3); /* movl %ebp, %esp and no instruction: only the first is told */
	count = 2;
	assert_int_equal(lfi_verify(&options, rets, 64, 0, scratch, 16, count_violation, &count, &report), 1);
	assert_int_equal(count, 3);
	options.max_violations = 0;
	assert_int_equal(lfi_verify(&options, rets, 64, 0, scratch, 16, NULL, NULL, &report), 1);
	assert_int_equal(report.violations, 1);
}

static bool
take_text(const struct LFIViolation *violation, void *user)
{
	char *text = user;

	snprintf(text, 200, "%zu+%zu `%s`: %s", violation->offset, violation->size, violation->insn, violation->reason);
	return false;
}

static void
a_message_names_the_instruction_and_the_reason(void **state)
{
	static const struct {
		size_t size;
		uint8_t code[16];
		const char *text;
	} rows[] = {
	    {4, {0x90, 0x48, 0x8b, 0x00}, "1+3 `mov (%rax), %rax`: memory operand is not sandboxed"},
	    {7, {0xc7, 0x40, 0x08, 1}, "0+7 `movl $0x1, 0x8(%rax)`: memory operand is not sandboxed"},
	    {5, {0x67, 0x8b, 0x44, 0x88, 0xf8}, "0+5 `mov -0x8(%eax,%ecx,4), %eax`: address-size prefix without gs"},
	    {2, {0x0f, 0x05}, "0+2 `.byte 0x0f, 0x05`: instruction is not allowed"},
	    {2, {0xff, 0xd0}, "0+2 `call *%rax`: indirect branch is not masked"},
	    {3, {0x0f, 0x95, 0x00}, "0+3 `setne (%rax)`: memory operand is not sandboxed"},
	    {3, {0x0f, 0x18, 0x10}, "0+3 `prefetcht1 (%rax)`: memory operand is not sandboxed"},
	    {3, {0x4d, 0x89, 0xc6}, "0+3 `mov %r8, %r14`: writes a protected register"},
	    {4, {0xc5, 0xf5, 0x58, 0x02}, "0+4 `vaddp (%rdx), %ymm1, %ymm0`: memory operand is not sandboxed"},
	    {3, {0x40, 0x88, 0xc4}, "0+3 `mov %al, %spl`: writes the stack pointer"},
	    {3, {0xf3, 0x48, 0xab}, "0+3 `rep stosq`: string instruction outside its group"},
	    {5, {0xe9, 0xf0, 0xff, 0xff, 0xff},
		"0+5 `jmp .-0xb`: target outside the region is not a bundle start in the sandbox"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		uint8_t code[32];
		char text[200] = "";

		memset(code, 0x90, sizeof code);
		memcpy(code, rows[i].code, rows[i].size);
		assert_int_equal(lfi_verify(NULL, code, 32, 0, scratch, 16, take_text, text, NULL), 1);
		assert_string_equal(text, rows[i].text);
	}
}

static void
names_of_rules_and_features_are_never_null(void **state)
{
	assert_string_equal(lfi_verify_rule_name(LFI_RULE_MEMORY), "memory");
	assert_string_equal(lfi_verify_rule_name(-1), "unknown");
	assert_string_equal(lfi_verify_rule_name(1000), "unknown");
	assert_string_equal(lfi_verify_rule_name(LFI_RULE_NONE), "none");
	assert_string_equal(lfi_verify_rule_name(LFI_RULE_ARGUMENT), "argument");
	assert_string_equal(lfi_verify_rule_name(LFI_RULE_ARGUMENT + 1), "unknown");
	assert_string_equal(lfi_cpu_feature_name(LFI_CPU_AVX2), "avx2");
	assert_string_equal(lfi_cpu_feature_name(LFI_CPU_COUNT), "unknown");
	assert_string_equal(lfi_cpu_feature_name(0), "sse3");
	assert_string_equal(lfi_cpu_feature_name(-1), "unknown");
	assert_string_equal(lfi_cpu_feature_name(INT_MIN), "unknown");
	for (int i = 0; i <= LFI_RULE_ARGUMENT; i++)
		assert_non_null(lfi_verify_rule_name(i));
	for (int i = 0; i < LFI_CPU_COUNT; i++)
		assert_non_null(lfi_cpu_feature_name(i));
}

/* Two pages between unmapped ones. */
static uint8_t *
guarded_pages(void)
{
	uint8_t *pages = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(pages != MAP_FAILED);
	assert_int_equal(mprotect(pages + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
	return pages + PAGE;
}

static void
no_byte_outside_the_region_is_read(void **state)
{
	struct LFIVerifyOptions options = {.struct_size = sizeof options, .max_violations = SIZE_MAX};
	uint8_t *pages = guarded_pages();
	uint64_t x = 88172645463325252ull;

	for (int round = 0; round < 20000; round++) {
		size_t size = 32 + 32 * (size_t) (round % 4);
		uint8_t *code = round & 1 ? pages : pages + 2 * PAGE - size;
		unsigned count = 0;

		for (size_t i = 0; i < size; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			code[i] = (uint8_t) x;
		}
		if (round % 3 == 0)
			memset(code + size - 16, 0x2e + (round % 9 == 0), 16);
		options.policy = round % 3;
		lfi_verify(&options, code, size, 0x100000, scratch, sizeof scratch, count_violation, &count, NULL);
		lfi_verify(&options, code, size, 0x100000, scratch, sizeof scratch, NULL, NULL, NULL);
	}
	/* Prefixes without end. */
	memset(pages, 0x2e, 2 * PAGE);
	assert_int_equal(rule_of(NULL, pages + 2 * PAGE - 64, 64, 0, 16), LFI_RULE_DECODE);
	munmap(pages - PAGE, 4 * PAGE);
}

static void
the_verdict_does_not_depend_on_what_the_scratch_held(void **state)
{
	/* A jump into the immediate of the next instruction, which a stale bit would allow. */
	uint8_t code[32];

	memset(code, 0x90, sizeof code);
	memcpy(code, "\xeb\x01\xb8", 3);
	memset(scratch, 0xff, sizeof scratch);
	assert_int_equal(rule_of(NULL, code, 32, 0, sizeof scratch), LFI_RULE_DIRECT);
	memset(scratch, 0xff, sizeof scratch);
	assert_int_equal(rule_of(NULL, nops, 64, 0, sizeof scratch), LFI_RULE_NONE);
	assert_true(scratch[2] == UINT64_MAX); /* not its own */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_region_must_be_whole_bundles_in_the_sandbox),
	    cmocka_unit_test(an_argument_that_is_refused_is_a_violation_without_a_place),
	    cmocka_unit_test(scratch_must_be_large_enough_and_aligned),
	    cmocka_unit_test(options_that_are_not_known_are_refused),
	    cmocka_unit_test(the_report_says_what_the_code_needs),
	    cmocka_unit_test(the_report_says_what_the_last_bundle_needs),
	    cmocka_unit_test(single_thread_returns_are_reported),
	    cmocka_unit_test(the_last_byte_of_a_group_is_no_target),
	    cmocka_unit_test(nothing_above_the_sandbox_is_reached),
	    cmocka_unit_test(each_branch_to_a_bad_place_is_named),
	    cmocka_unit_test(a_shorter_report_is_not_overrun),
	    cmocka_unit_test(a_longer_report_is_zero_where_it_is_not_known),
	    cmocka_unit_test(violations_stop_at_the_limit_or_when_the_callback_says_so),
	    cmocka_unit_test(a_message_names_the_instruction_and_the_reason),
	    cmocka_unit_test(names_of_rules_and_features_are_never_null),
	    cmocka_unit_test(no_byte_outside_the_region_is_read),
	    cmocka_unit_test(the_verdict_does_not_depend_on_what_the_scratch_held),
	};

	memset(nops, 0x90, sizeof nops);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
