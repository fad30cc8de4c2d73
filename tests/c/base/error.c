/* SPDX-License-Identifier: MIT */
/* The calling thread's last error, log lines, versioned structs, checked arithmetic. */
#include "error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those four first. */
#include <cmocka.h>

#include <errno.h>
#include <lfi/lfi.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "options.h"

static void
an_error_has_a_code_and_a_sentence(void **state)
{
	struct LFIError copy;

	assert_int_equal(error_set(LFI_ERR_RANGE, "%d is %s", 5, "odd"), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_RANGE);
	assert_string_equal(lfi_errmsg(), "5 is odd");
	error_prefix("file: ");
	assert_string_equal(lfi_errmsg(), "file: 5 is odd");
	assert_int_equal(error_set_os(LFI_ERR_OS, ENOENT, "open"), -1);
	assert_string_equal(lfi_errmsg(), "open: No such file or directory");
	lfi_error_get(&copy);
	assert_int_equal(copy.code, LFI_ERR_OS);
	assert_string_equal(copy.message, lfi_errmsg());
	error_none();
	assert_int_equal(lfi_errno(), LFI_OK);
	assert_string_equal(lfi_errmsg(), "");
	error_set(LFI_ERR_OS, "x");
	lfi_error_clear();
	lfi_error_get(&copy);
	assert_int_equal(copy.code, LFI_OK);
	assert_string_equal(copy.message, "");
}

static void
long_messages_are_cut(void **state)
{
	char text[2000];

	memset(text, 'a', sizeof text);
	text[sizeof text - 1] = 0;
	error_set(LFI_ERR_RANGE, "%s", text);
	assert_int_equal(strlen(lfi_errmsg()), sizeof((struct LFIError *) 0)->message - 1);
	error_set_os(LFI_ERR_RANGE, ENOENT, "%s", text);
	error_prefix("%s", text);
	assert_int_equal(strlen(lfi_errmsg()), sizeof((struct LFIError *) 0)->message - 1);
}

static void *
no_error_here(void *arg)
{
	intptr_t code = lfi_errno();

	error_set(LFI_ERR_ELF, "of the other thread");
	return (void *) code;
}

static void
each_thread_has_its_own(void **state)
{
	pthread_t thread;
	void *code;

	error_set(LFI_ERR_RANGE, "mine");
	pthread_create(&thread, NULL, no_error_here, NULL);
	pthread_join(thread, &code);
	assert_null(code);
	assert_string_equal(lfi_errmsg(), "mine");
}

static void
every_code_has_a_name(void **state)
{
	for (int code = LFI_OK; code <= LFI_ERR_UNSUPPORTED; code++)
		assert_int_equal(strncmp(lfi_error_name(code), "LFI_", 4), 0);
	assert_string_equal(lfi_error_name(LFI_ERR_VERIFY), "LFI_ERR_VERIFY");
	assert_string_equal(lfi_error_name(-1), "unknown");
	assert_string_equal(lfi_error_name(LFI_ERR_UNSUPPORTED + 1), "unknown");
}

static char logged[64];

static void
log_here(const char *line, void *user)
{
	strncpy(user, line, sizeof logged - 1);
}

static void
log_lines_go_where_they_are_sent(void **state)
{
	lfi_set_log(log_here, logged);
	log_line("%d lines", 3);
	lfi_set_log(NULL, NULL);
	assert_string_equal(logged, "3 lines");
	setenv("LFI_VERBOSE", "1", 1);
	assert_true(log_env_verbose());
	setenv("LFI_VERBOSE", "0", 1);
	assert_false(log_env_verbose());
	unsetenv("LFI_VERBOSE");
	assert_false(log_env_verbose());
}

static void
structs_of_other_sizes_are_understood(void **state)
{
	const uint32_t given[4] = {1, 2, 0, 0}, unknown[4] = {1, 2, 0, 7};
	uint32_t own[2], out[4] = {9, 9, 9, 9};

	assert_int_equal(options_take(own, sizeof own, given, sizeof given, "it"), 0);
	assert_int_equal(own[1], 2);
	assert_int_equal(options_take(own, sizeof own, given, 4, "it"), 0);
	assert_int_equal(own[0], 1);
	assert_int_equal(own[1], 0);
	assert_int_equal(options_take(own, sizeof own, unknown, sizeof unknown, "it"), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	assert_int_equal(options_take(own, sizeof own, NULL, 4, "it"), -1);
	own[0] = 5;
	own[1] = 6;
	options_give(out, 4, own, sizeof own);
	assert_int_equal(out[0], 5);
	assert_int_equal(out[1], 9);
	options_give(out, sizeof out, own, sizeof own);
	assert_int_equal(out[1], 6);
	assert_int_equal(out[3], 0);
}

static void
arithmetic_says_when_it_overflows(void **state)
{
	uint64_t x;

	assert_true(checked_add(1, 2, &x) && x == 3);
	assert_false(checked_add(UINT64_MAX, 1, &x));
	assert_true(checked_mul(3, 4, &x) && x == 12);
	assert_false(checked_mul(UINT64_MAX, 2, &x));
	assert_true(checked_align_up(4097, 4096, &x) && x == 8192);
	assert_true(checked_align_up(4096, 4096, &x) && x == 4096);
	assert_false(checked_align_up(UINT64_MAX, 4096, &x));
	assert_true(align_down(4097, 4096) == 4096);
	assert_true(range_within(5, 5, 5, 10));
	assert_true(range_within(10, 0, 5, 10));
	assert_false(range_within(5, 6, 5, 10));
	assert_false(range_within(4, 1, 5, 10));
	assert_false(range_within(11, 0, 5, 10));
	assert_false(range_within(6, UINT64_MAX, 5, 10));
}

static void
the_version_is_that_of_the_headers(void **state)
{
	assert_int_equal(lfi_version(), LFI_VERSION_NUMBER);
	assert_string_equal(lfi_version_string(), LFI_VERSION_STRING);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_has_a_code_and_a_sentence),
		cmocka_unit_test(long_messages_are_cut),
		cmocka_unit_test(each_thread_has_its_own),
		cmocka_unit_test(every_code_has_a_name),
		cmocka_unit_test(log_lines_go_where_they_are_sent),
		cmocka_unit_test(structs_of_other_sizes_are_understood),
		cmocka_unit_test(arithmetic_says_when_it_overflows),
		cmocka_unit_test(the_version_is_that_of_the_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
