/* SPDX-License-Identifier: MIT */
/* The set of handles that are alive, with numbers instead of objects: it does not look where they lead to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lfi/lfi_core.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handles.h"

enum { N = 20000 };

/* Anywhere, each another: a permutation of 32 bits (C. Wellons, lowbias32). */
static void *
number(size_t i)
{
	uint32_t x = (uint32_t) i;

	x = (x ^ x >> 16) * 0x7feb352d;
	x = (x ^ x >> 15) * 0x846ca68b;
	x ^= x >> 16;
	return (void *) ((uintptr_t) 0x7f0000000000 + (uintptr_t) x * 16);
}

static uint32_t
next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void
the_set_is_what_was_added_and_not_dropped(void **state)
{
	static bool there[N];
	uint32_t seed = 1;

	(void) state;
	for (size_t step = 0; step < 40 * N; step++) {
		/* It grows, shrinks, and grows again. */
		size_t i = next(&seed) % (step / (10 * N) % 2 ? N : N / 10);

		if (there[i])
			assert_true(handle_drop(number(i), HANDLE_BOX));
		else
			assert_int_equal(handle_add(number(i), HANDLE_BOX), 0);
		there[i] = !there[i];
		assert_int_equal(handle_is(number(i), HANDLE_BOX), there[i]);
		i = next(&seed) % N;
		assert_int_equal(handle_is(number(i), HANDLE_BOX), there[i]);
		assert_false(handle_is(number(i), HANDLE_CONTEXT));
	}
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(handle_is(number(i), HANDLE_BOX), there[i]);
		assert_int_equal(handle_drop(number(i), HANDLE_BOX), there[i]);
	}
}

static void
addresses_beside_a_handle_are_none(void **state)
{
	char *handle = number(1);

	(void) state;
	assert_int_equal(handle_add(handle, HANDLE_BOX), 0);
	for (int i = -48; i <= 48; i++)
		for (int kind = 1; kind < HANDLE_KINDS; kind++)
			assert_int_equal(handle_is(handle + i, kind), i == 0 && kind == HANDLE_BOX);
	assert_false(handle_is(NULL, HANDLE_BOX));
	assert_true(handle_drop(handle, HANDLE_BOX));
	assert_false(handle_drop(handle, HANDLE_BOX));
}

/* What has gone leaves next to nothing behind: the least table that 200 fit in has 4 KiB. */
static void
a_set_that_stays_small_takes_little_memory(void **state)
{
	uint32_t seed = 2;
	struct mallinfo2 before;

	(void) state;
	before = mallinfo2();
	for (size_t i = 0; i < 200; i++)
		assert_int_equal(handle_add(number(i), HANDLE_BOX), 0);
	for (size_t step = 0; step < 1000000; step++) {
		size_t i = 200 + next(&seed) % 100000;

		assert_int_equal(handle_add(number(i), HANDLE_FN), 0);
		assert_true(handle_drop(number(i), HANDLE_FN));
	}
	for (size_t i = 0; i < 200; i++)
		assert_true(handle_drop(number(i), HANDLE_BOX));
	assert_true(mallinfo2().uordblks <= before.uordblks + 32768);
}

/* ---- Threads ---- */

static _Atomic bool over;

static void *
come_and_go(void *arg)
{
	uint32_t seed = 3;

	(void) arg;
	while (!atomic_load(&over)) {
		size_t first = 100 + next(&seed) % N, count = 1 + next(&seed) % 64;

		for (size_t i = first; i < first + count; i++)
			if (handle_add(number(i), HANDLE_FN) < 0)
				return arg;
		for (size_t i = first; i < first + count; i++)
			if (!handle_drop(number(i), HANDLE_FN))
				return arg;
	}
	return NULL;
}

static void
what_stays_is_found_while_others_come_and_go(void **state)
{
	pthread_t other;
	void *failed;

	(void) state;
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(handle_add(number(i), HANDLE_BOX), 0);
	atomic_store(&over, false);
	assert_int_equal(pthread_create(&other, NULL, come_and_go, &over), 0);
	for (size_t step = 0; step < 500000; step++)
		assert_true(handle_is(number(step % 100), HANDLE_BOX));
	atomic_store(&over, true);
	pthread_join(other, &failed);
	assert_null(failed);
	for (size_t i = 0; i < 100; i++)
		assert_true(handle_drop(number(i), HANDLE_BOX));
}

/* In the middle of a search: so many come and go that both tables are made anew. */
static volatile sig_atomic_t interrupted;

static void
interrupt(int sig)
{
	(void) sig;
	for (size_t i = 500; i < 3500; i++)
		if (handle_add(number(i), HANDLE_FN) < 0 || !handle_drop(number(i), HANDLE_FN))
			abort();
	interrupted = 1;
}

/* A hundred, some of which are not where a table that is made anew has them: others were in their places. */
static void
put_aside(bool first)
{
	for (size_t i = 0; i < 100 && !first; i++)
		assert_true(handle_drop(number(i), HANDLE_BOX));
	for (size_t i = 100; i < 200; i++)
		assert_int_equal(handle_add(number(i), HANDLE_FN), 0);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(handle_add(number(i), HANDLE_BOX), 0);
	for (size_t i = 100; i < 200; i++)
		assert_true(handle_drop(number(i), HANDLE_FN));
}

static void
what_stays_is_found_by_a_search_that_was_interrupted(void **state)
{
	const struct itimerval soon = {.it_value = {0, 10}};
	struct sigaction action = {.sa_handler = interrupt}, before;
	bool found = true;

	(void) state;
	assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
	for (int i = 0; i < 3000; i++) {
		put_aside(i == 0);
		interrupted = 0;
		assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
		for (size_t step = 0; !interrupted; step++)
			found &= handle_is(number(step % 100), HANDLE_BOX);
	}
	sigaction(SIGALRM, &before, NULL);
	assert_true(found);
	for (size_t i = 0; i < 100; i++)
		assert_true(handle_drop(number(i), HANDLE_BOX));
}

static void
children_of_a_busy_host_have_a_whole_set(void **state)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);
	pthread_t other;
	void *failed;
	int status;

	(void) state;
	assert_non_null(engine);
	atomic_store(&over, false);
	assert_int_equal(pthread_create(&other, NULL, come_and_go, &over), 0);
	for (int i = 0; i < 200; i++) {
		pid_t child = fork();

		if (child == 0) {
			alarm(60); /* a lock that nobody gives back */
			_exit(handle_is(engine, HANDLE_ENGINE) && handle_add(number(1), HANDLE_BOX) == 0 &&
				      handle_drop(number(1), HANDLE_BOX)
				  ? 0
				  : 1);
		}
		assert_true(child > 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
	atomic_store(&over, true);
	pthread_join(other, &failed);
	assert_null(failed);
	lfi_free(engine);
}

int
main(void)
{
	/* The one that makes the set large comes last. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_that_stays_small_takes_little_memory),
		cmocka_unit_test(addresses_beside_a_handle_are_none),
		cmocka_unit_test(what_stays_is_found_while_others_come_and_go),
		cmocka_unit_test(what_stays_is_found_by_a_search_that_was_interrupted),
		cmocka_unit_test(children_of_a_busy_host_have_a_whole_set),
		cmocka_unit_test(the_set_is_what_was_added_and_not_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
