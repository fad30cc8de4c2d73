/* SPDX-License-Identifier: MIT */
/*
 * Every rule of docs/scheme-x64.md in both directions. A row is a snippet, how it is verified, and the one rule it
 * breaks, or none.
 */
#include <lfi/lfi_verify.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "assemble.h"

enum { FULL = 1, STORES = 2, JUMPS = 4, ALL = 7, B16 = 8, SINGLE = 16, NO_RDTSC = 32 };

#define OFFSET 0x100000
#define OK LFI_RULE_NONE

struct rule_row {
	const char *text;
	int how;  /* policies to try, and options */
	int rule; /* LFI_RULE_NONE: accepted */
};

/* Verification for any of ALL; the snippet starts at OFFSET. */
static const struct rule_row rows[] = {
#include "rules.inc"
};

#define ROWS (sizeof rows / sizeof rows[0])

static const char *
row_text(size_t i)
{
	return rows[i].text;
}

struct found {
	int rule;
	char insn[160];
	const char *reason;
};

static bool
take_first(const struct LFIViolation *violation, void *user)
{
	struct found *found = user;

	found->rule = violation->rule;
	found->reason = violation->reason;
	snprintf(found->insn, sizeof found->insn, "%s", violation->insn);
	return false;
}

static unsigned
row_check(size_t i, const struct code *code, int policy)
{
	static const char *const names[] = {"full", "stores", "jumps"};
	static uint64_t scratch[2 * CODE_MAX / 64];
	int how = rows[i].how;
	struct LFIVerifyOptions options = {
	    .struct_size = sizeof options,
	    .policy = policy,
	    .bundle = how & B16 ? 16 : 32,
	    .single_thread = how & SINGLE,
	    .no_rdtsc = how & NO_RDTSC,
	};
	struct found found = {.rule = LFI_RULE_NONE, .reason = ""};
	int result =
	    lfi_verify(&options, code->bytes, code->size, OFFSET, scratch, sizeof scratch, take_first, &found, NULL);

	if (found.rule == rows[i].rule && found.reason && result == (found.rule != LFI_RULE_NONE))
		return 0;
	print_error("row %zu (%s): expected %s, got %s: `%s`: %s\n%s\n", i, names[policy],
	    lfi_verify_rule_name(rows[i].rule), lfi_verify_rule_name(found.rule), found.insn, found.reason,
	    rows[i].text);
	return 1;
}

static void
each_row_breaks_exactly_its_rule(void **state)
{
	struct code *code = assemble_all(row_text, ROWS);
	unsigned wrong = 0;

	for (size_t i = 0; i < ROWS; i++)
		for (int policy = 0; policy < 3; policy++)
			if (rows[i].how >> policy & 1)
				wrong += row_check(i, &code[i], policy);
	free(code);
	assert_int_equal(wrong, 0);
}

static void
every_rule_has_a_row_that_breaks_it(void **state)
{
	unsigned count[LFI_RULE_ARGUMENT] = {0};

	for (size_t i = 0; i < ROWS; i++)
		count[rows[i].rule]++;
	for (int rule = 0; rule < LFI_RULE_ARGUMENT; rule++) /* for which see api.c */
		assert_true(count[rule] > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_row_breaks_exactly_its_rule),
	    cmocka_unit_test(every_rule_has_a_row_that_breaks_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
