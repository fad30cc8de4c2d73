/* SPDX-License-Identifier: MIT */
/* Calls by signature where a value has no register, a result has no memory, or there is nothing to call with. */
#include "core_test.h"

#include "box.h"
#include "sig.h"

/* Sandboxed functions; they end where the next begins. */
extern const uint8_t sig_first_word[], sig_third_word[], sig_end[];
__asm__(".pushsection .text\n"
	".bundle_align_mode 5\n"
	".macro sandboxed_return\n"
	"	popq %r11\n"
	"	.bundle_lock\n"
	"	andl $-32, %r11d; addq %r14, %r11; jmpq *%r11\n"
	"	.bundle_unlock\n"
	"	.balign 32\n"
	".endm\n"
	"	.balign 32\n"
	/* long (...): the first word that it has on the stack */
	"sig_first_word:\n"
	"	movq 8(%rsp), %rax\n"
	"	sandboxed_return\n"
	/* long (...): the third */
	"sig_third_word:\n"
	"	movq 24(%rsp), %rax\n"
	"	sandboxed_return\n"
	"sig_end:\n"
	".bundle_align_mode 0\n"
	".popsection\n");

#define LOAD_SIG(f, from, to) load_bytes((f)->box, from, (size_t) ((to) - (from)))

static void
parses(const char *text, struct Sig **sig)
{
	*sig = malloc(sig_size(text));
	assert_done(sig_parse(*sig, text));
}

static void
values_are_where_the_abi_has_them(void **state)
{
	struct Sig *sig;

	/* A long double on the stack is aligned. */
	parses("v(iiiiiiiD)", &sig);
	assert_int_equal(sig->params[6].word, 0);
	assert_int_equal(sig->params[7].word, 2);
	assert_int_equal(sig->words, 4);
	free(sig);
	parses("v(iiiiiiil)", &sig);
	assert_int_equal(sig->params[7].word, 1);
	free(sig);
	/* The place of a large result takes a register, that of one in st0 does not. */
	parses("{lll}(i)", &sig);
	assert_int_equal(sig->params[0].reg[0], 1);
	free(sig);
	parses("D(i)", &sig);
	assert_int_equal(sig->params[0].reg[0], 0);
	free(sig);
}

static void
structs_and_arrays_of_nothing_are_refused(void **state)
{
	static const char *const wrong[] = {"v({i{}})", "v({{}i})", "v({i[0]})", "v({[0]i})", "v({i[0B]})", "v({i{i)"};
	uint8_t bytes[4096];

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		memset(bytes, 0, sizeof bytes);
		assert_true(sig_size(wrong[i]) <= sizeof bytes);
		assert_int_equal(sig_parse((struct Sig *) bytes, wrong[i]), -1);
		assert_error(LFI_ERR_SIGNATURE);
	}
}

static void
large_structs_are_on_the_stack(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr first = LOAD_SIG(&f, sig_first_word, sig_third_word), third = LOAD_SIG(&f, sig_third_word, sig_end);
	static uint64_t large[512] = {11, 12, 13};
	union LFIValue args[] = {{.p = large}}, ret = {.u = 0};

	assert_done(lfi_call(f.ctx, first, "l({[4096B]})", args, &ret));
	assert_int_equal(ret.i, 11);
	assert_done(lfi_call(f.ctx, third, "l({[512l]})", args, &ret));
	assert_int_equal(ret.i, 13);
	drop(&f);
}

static struct LFIContext *
makes_none(struct LFIBox *box)
{
	return NULL;
}

static struct LFIContext *
says_why(struct LFIBox *box)
{
	lfi_box_mapat(box, 1, PAGE, RW, ANON, -1, 0);
	return NULL;
}

static void
calls_with_nothing_are_errors(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr first = LOAD_SIG(&f, sig_first_word, sig_third_word);
	union LFIValue args[] = {{.p = (void *) "0123456789abcdef"}}, ret;
	struct LFIFn *fn = lfi_fn_new(f.box, first, "l({ll})");
	struct LFIContext *none = NULL;

	assert_non_null(fn);
	assert_int_equal(lfi_call(f.ctx, first, "l({ll})", NULL, &ret), -1);
	assert_error(LFI_ERR_SIGNATURE);
	assert_int_equal(lfi_fn_call(fn, NULL, args, &ret), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_fn_call(fn, &none, args, &ret), -1);
	assert_error(LFI_ERR_INVALID);
	assert_null(none);
	lfi_fn_free(fn);
	drop(&f);
}

static void
a_clone_callback_that_makes_nothing_is_an_error(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	lfi_set_clone_cb(f.engine, makes_none);
	lfi_error_clear();
	assert_null(lfi_ctx_clone(f.box));
	assert_error(LFI_ERR_INVALID);
	/* Its own error stays. */
	lfi_set_clone_cb(f.engine, says_why);
	assert_null(lfi_ctx_clone(f.box));
	assert_non_null(strstr(lfi_errmsg(), "no multiple"));
	drop(&f);
}

/* The result's place is chosen by the stack pointer: what is mapped there is the sandbox's business. */
static void
a_result_whose_place_is_not_mapped_is_an_error(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr first = LOAD_SIG(&f, sig_first_word, sig_third_word), stack = map(f.box, 16 * PAGE);
	static uint8_t result[6 * PAGE];
	union LFIValue ret = {.p = result};

	lfi_ctx_regs(f.ctx)->sp = stack + 16 * PAGE;
	assert_done(lfi_call(f.ctx, first, "{[24576B]}()", NULL, &ret));
	assert_done(lfi_box_munmap(f.box, stack + 12 * PAGE, PAGE));
	assert_int_equal(lfi_call(f.ctx, first, "{[24576B]}()", NULL, &ret), -1);
	assert_error(LFI_ERR_UNMAPPED);
	drop(&f);
}

static void
a_call_that_works_leaves_no_error(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr first = LOAD_SIG(&f, sig_first_word, sig_third_word);
	union LFIValue args[] = {{.p = (void *) "0123456789abcdef0123456789abcdef"}}, ret;

	lfi_call(f.ctx, first, "l({llll}", args, &ret);
	assert_error(LFI_ERR_SIGNATURE);
	assert_done(lfi_call(f.ctx, first, "l({llll})", args, &ret));
	assert_int_equal(lfi_errno(), LFI_OK);
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_where_the_abi_has_them),
		cmocka_unit_test(structs_and_arrays_of_nothing_are_refused),
		cmocka_unit_test(large_structs_are_on_the_stack),
		cmocka_unit_test(calls_with_nothing_are_errors),
		cmocka_unit_test(a_clone_callback_that_makes_nothing_is_an_error),
		cmocka_unit_test(a_result_whose_place_is_not_mapped_is_an_error),
		cmocka_unit_test(a_call_that_works_leaves_no_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
