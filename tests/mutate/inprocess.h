/* SPDX-License-Identifier: MIT */
/* In front of each test of tests/c/verify inside inprocess.c: the first failure ends the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* Outside of cmocka's runner a failed assertion exits. */
static inline int
run_all(const struct CMUnitTest *tests, size_t count)
{
	void *state = NULL;

	for (size_t i = 0; i < count; i++)
		tests[i].test_func(&state);
	return 0;
}

#undef cmocka_run_group_tests
#define cmocka_run_group_tests(tests, setup, teardown) run_all(tests, sizeof tests / sizeof tests[0])

/* The first run, of what is not mutated, says how often the rules are asked (quick.c). */
#define MOST_ASKED (most_asked ? most_asked : (most_asked = asked_of_accepted))
static size_t most_asked __attribute__((unused));

/* These tests print errors when they have failed. */
#define print_error(...) exit(1)
#define print_message(...) ((void) 0)
