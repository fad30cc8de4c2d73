/* SPDX-License-Identifier: MIT */
/* The signal that interrupts take: which it is, and who else gets it. In a process of its own: it is picked once. */
#include "core_test.h"
#include "sanitizers.h"

#include <pthread.h>
#include <signal.h>

static int before, above;

static void
on_before(int sig, siginfo_t *info, void *uc)
{
	before++;
}

static void
on_above(int sig, siginfo_t *info, void *uc)
{
	above++;
}

static bool
is_taken(int sig)
{
	struct sigaction now;

	assert_int_equal(sigaction(sig, NULL, &now), 0);
	return (now.sa_flags & SA_SIGINFO) || now.sa_handler != SIG_DFL;
}

static void
a_signal_that_somebody_handles_is_left_alone(void **state)
{
	struct sigaction action = {.sa_sigaction = on_before, .sa_flags = SA_SIGINFO};
	struct Fixture f;

	assert_int_equal(sigaction(SIGRTMAX, &action, NULL), 0);
	signal(SIGRTMAX - 1, SIG_IGN);
	f = fixture((struct LFIOptions) {.boxsize = 0});
	assert_true(is_taken(SIGRTMAX - 2));
	before = 0;
	assert_int_equal(pthread_kill(pthread_self(), SIGRTMAX), 0);
	assert_int_equal(before, 1);
	drop(&f);
	assert_false(is_taken(SIGRTMAX - 2));
	signal(SIGRTMAX, SIG_DFL);
	signal(SIGRTMAX - 1, SIG_DFL);
}

/* Somebody goes over the library's handler, and puts it back when the library has gone. */
static void
a_handler_that_comes_back_passes_on_to_who_was_below_it(void **state)
{
	struct sigaction action = {.sa_sigaction = on_before, .sa_flags = SA_SIGINFO}, ours;
	int sig = SIGRTMAX - 2;
	struct Fixture f;

	assert_int_equal(sigaction(sig, &action, NULL), 0);
	f = fixture((struct LFIOptions) {.boxsize = 0});
	action.sa_sigaction = on_above;
	assert_int_equal(sigaction(sig, &action, &ours), 0);
	assert_ptr_not_equal(ours.sa_sigaction, on_before);
	drop(&f);
	before = above = 0;
	assert_int_equal(pthread_kill(pthread_self(), sig), 0);
	assert_int_equal(above, 1);
	assert_int_equal(sigaction(sig, &ours, NULL), 0);
	f = fixture((struct LFIOptions) {.boxsize = 0});
	assert_int_equal(pthread_kill(pthread_self(), sig), 0);
	assert_int_equal(above, 1);
	assert_int_equal(before, 1);
	drop(&f);
	assert_int_equal(pthread_kill(pthread_self(), sig), 0);
	assert_int_equal(before, 2);
	signal(sig, SIG_DFL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signal_that_somebody_handles_is_left_alone),
		cmocka_unit_test(a_handler_that_comes_back_passes_on_to_who_was_below_it),
	};

	if (THREAD_SANITIZER) {
		print_message("skipped: under ThreadSanitizer the signal is another\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
