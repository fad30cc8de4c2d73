/* SPDX-License-Identifier: MIT */
/*
 * The decoder against the disassemblers of others, on a sample of all encodings (tests/oracle enumerates them; ./dev
 * oracle asks about more). What we accept they must know, with the same length, the same memory operand, and no write
 * that the rules would miss. Besides, the features that the report names against those that Zydis knows.
 */
#include <Zydis/Zydis.h>
#include <lfi/lfi_verify.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../oracle/oracle.h"
#include "insn.h"

#define ROWS 4096

static unsigned wrong, accepted;
static bool asked[ROWS]; /* by row */

static void
complain(const uint8_t *bytes, const struct insn *insn, const char *name, const char *what)
{
	char hex[INSN_TEXT_MAX], text[INSN_TEXT_MAX];

	if (wrong++ > 40)
		return;
	text_bytes_x64(bytes, insn->size, hex);
	text_x64(insn, text);
	print_error("%s: `%s`: %s: %s\n", hex, text, name, what);
}

static bool
compare(const uint8_t *bytes, void *user)
{
	struct insn insn;
	const char *reason, *what;

	if (decode_x64(bytes, &insn, &reason) != LFI_RULE_NONE)
		return true;
	for (unsigned i = 0; i < oracle_count; i++)
		if ((what = oracles[i].differs(bytes, &insn)))
			complain(bytes, &insn, oracles[i].name, what);
	asked[insn.number] = true;
	accepted++;
	return true;
}

/* LFI_ORACLE_SEED asks about others. */
static struct sample
sample(unsigned every)
{
	const char *given = getenv("LFI_ORACLE_SEED");

	return (struct sample){.seed = given ? strtoull(given, NULL, 0) : 1, .every = every, .shares = 1};
}

static void
compare_part(enum part part, unsigned every)
{
	wrong = accepted = 0;
	enumerate(part, sample(every), compare, NULL);
	assert_in_range(accepted, 900000, 4000000);
	assert_int_equal(wrong, 0);
}

static void
what_is_accepted_of_the_legacy_maps_is_what_the_oracles_see(void **state)
{
	compare_part(LEGACY, 20);
}

static void
what_is_accepted_of_the_vex_maps_is_what_the_oracles_see(void **state)
{
	compare_part(VEX, 100);
}

static void
what_is_accepted_of_the_evex_maps_is_what_the_oracles_see(void **state)
{
	compare_part(EVEX, 16000);
}

static void
what_is_accepted_of_random_bytes_is_what_the_oracles_see(void **state)
{
	compare_part(RANDOM, 60);
}

/* ---- What is asked about ---- */

static unsigned
is_missing(unsigned row)
{
	const char *name;
	unsigned size;

	if (!row || asked[row])
		return 0;
	name = x64_name(row, 0, 0, &size);
	print_error("line %u of rows.h, `%.*s`, was not asked about\n", row, (int) size, name);
	return 1;
}

/* After the samples. */
static void
each_row_was_asked_about(void **state)
{
	const uint16_t *entries = &x64_opcodes[0][0][0];
	unsigned missing = 0;

	for (unsigned i = 0; i < MAPS * 4 * 256; i++) {
		const uint16_t *digits = &x64_digits[entries[i] & ~IN_GROUP][0][0];

		if (!(entries[i] & IN_GROUP))
			missing += is_missing(entries[i]);
		else
			for (unsigned j = 0; j < 16; j++)
				missing += is_missing(digits[j]);
	}
	assert_int_equal(missing, 0);
}

static bool
count(const uint8_t *bytes, void *user)
{
	uint64_t *counted = user;

	++*counted;
	return true;
}

static void
the_shares_of_all_encodings_are_all_of_them(void **state)
{
	uint64_t all = 0, shares = 0;

	enumerate(LEGACY, (struct sample){.seed = 1, .every = 1, .shares = 1}, count, &all);
	for (unsigned i = 0; i < 3; i++)
		enumerate(LEGACY, (struct sample){.seed = i, .every = 1, .share = i, .shares = 3}, count, &shares);
	assert_true(all > 20000000);
	assert_int_equal(all, shares);
}

static bool
is_new(const char *bytes, unsigned size)
{
	uint8_t window[DECODE_WINDOW] = {0};
	struct insn insn;
	const char *reason;

	memcpy(window, bytes, size);
	assert_int_equal(decode_x64(window, &insn, &reason), LFI_RULE_NONE);
	return is_new_shape(&insn);
}

static void
a_shape_is_new_once(void **state)
{
	static const char *const shapes[] = {
	    "\x01\xc8",                 /* add %ecx, %eax */
	    "\x29\xc8",                 /* another opcode */
	    "\x48\x01\xc8",             /* another size */
	    "\x66\x01\xc8",             /* another prefix */
	    "\x01\xcc",                 /* into esp */
	    "\x41\x01\xce",             /* into r14d */
	    "\x65\x67\x01\x08",         /* memory */
	    "\x65\x67\x01\x48\x01",     /* an 8-bit displacement */
	    "\x65\x67\x01\x0c\x08",     /* an index */
	    "\x65\x67\x01\x0c\x88",     /* a scale */
	    "\x62\xf1\x74\x48\x58\xc2", /* vaddps %zmm2, %zmm1, %zmm0 */
	    "\x62\xf1\x74\x28\x58\xc2", /* of ymm */
	    "\x62\xf1\x74\x49\x58\xc2", /* with a mask */
	    "\x62\xf1\x74\xc9\x58\xc2", /* which zeroes */
	    "\x62\xf1\x74\x58\x58\xc2", /* with rounding */
	    "\x62\xe1\x74\x48\x58\xc2", /* into zmm16 */
	};

	for (unsigned i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
		assert_true(is_new(shapes[i], (unsigned) strlen(shapes[i])));
		assert_false(is_new(shapes[i], (unsigned) strlen(shapes[i])));
	}
	assert_false(is_new("\x01\xd9", 2)); /* add %ebx, %ecx */
}

/* ---- Features ---- */

#define CPU(name) ((uint64_t) 1 << LFI_CPU_##name)

/* Zydis' name of an instruction set, up to the vector length. */
static const struct {
	const char *name;
	uint64_t cpu;
} sets[] = {
    {"AVX512F_", 0},
    {"AVX512BW_", CPU(AVX512BW)},
    {"AVX512DQ_", CPU(AVX512DQ)},
    {"AVX512CD_", CPU(AVX512CD)},
    {"AVX512_VNNI_", CPU(AVX512_VNNI)},
    {"AVX512_VBMI_", CPU(AVX512_VBMI)},
    {"AVX512_VBMI2_", CPU(AVX512_VBMI2)},
    {"AVX512_IFMA_", CPU(AVX512_IFMA)},
    {"AVX512_BITALG_", CPU(AVX512_BITALG)},
    {"AVX512_VPOPCNTDQ_", CPU(AVX512_VPOPCNTDQ)},
    {"AVX512_BF16_", CPU(AVX512_BF16)},
    {"AVX512_FP16_", CPU(AVX512_FP16)},
    {"AVX512_GFNI_", CPU(GFNI)},
    {"AVX512_VAES_", CPU(VAES)},
    {"AVX512_VPCLMULQDQ_", CPU(VPCLMUL)},
};

/* What the set needs; 0: not one of AVX-512. "128", "256" come with VL, "128N", "512", "SCALAR", "KOPB" without. */
static uint64_t
needs(const char *set)
{
	size_t length = strlen(set);

	for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
		if (strncmp(set, sets[i].name, strlen(sets[i].name)) != 0)
			continue;
		if (strstr(set, "_KOP"))
			return sets[i].cpu ? sets[i].cpu : CPU(AVX512F);
		return sets[i].cpu | CPU(AVX512F) | CPU(AVX) |
		       (strcmp(set + length - 3, "128") == 0 || strcmp(set + length - 3, "256") == 0 ? CPU(AVX512VL)
												     : 0);
	}
	return 0;
}

/* One bundle with the instruction, under the policy that minds neither operands nor the stack. */
static bool
report_of(const uint8_t *bytes, unsigned size, struct LFIVerifyReport *report)
{
	struct LFIVerifyOptions options = {.struct_size = sizeof options, .policy = LFI_POLICY_JUMPS};
	uint64_t scratch[2];
	uint8_t code[32];

	memset(code, 0x90, sizeof code);
	memcpy(code, bytes, size);
	*report = (struct LFIVerifyReport){.struct_size = sizeof *report};
	return lfi_verify(&options, code, sizeof code, 0, scratch, sizeof scratch, NULL, NULL, report) == 0;
}

static bool
compare_features(const uint8_t *bytes, void *user)
{
	static ZydisDecoder decoder;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	struct LFIVerifyReport report;
	struct insn insn;
	const char *reason;
	uint64_t wanted;

	if (decode_x64(bytes, &insn, &reason) != LFI_RULE_NONE || !report_of(bytes, insn.size, &report))
		return true;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, 15, &z, ops)))
		return true;
	wanted = needs(ZydisISASetGetString(z.meta.isa_set));
	accepted += wanted != 0;
	if (insn.evex && !wanted)
		complain(bytes, &insn, "zydis", ZydisISASetGetString(z.meta.isa_set));
	if (wanted && report.cpu != wanted)
		complain(bytes, &insn, ZydisISASetGetString(z.meta.isa_set), "other features");
	return true;
}

static void
avx512_needs_the_features_that_zydis_knows(void **state)
{
	wrong = accepted = 0;
	enumerate(VEX, sample(800), compare_features, NULL);
	enumerate(EVEX, sample(40000), compare_features, NULL);
	assert_true(accepted > 100000);
	assert_int_equal(wrong, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_accepted_of_the_legacy_maps_is_what_the_oracles_see),
	    cmocka_unit_test(what_is_accepted_of_the_vex_maps_is_what_the_oracles_see),
	    cmocka_unit_test(what_is_accepted_of_the_evex_maps_is_what_the_oracles_see),
	    cmocka_unit_test(what_is_accepted_of_random_bytes_is_what_the_oracles_see),
	    cmocka_unit_test(each_row_was_asked_about),
	    cmocka_unit_test(the_shares_of_all_encodings_are_all_of_them),
	    cmocka_unit_test(a_shape_is_new_once),
	    cmocka_unit_test(avx512_needs_the_features_that_zydis_knows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
