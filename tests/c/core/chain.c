/* SPDX-License-Identifier: MIT */
/*
 * Handlers of others, below the library's and above them: a fault of the host's goes through all of them and does what it
 * would do without us. Each test runs in a child, which ends as the host would.
 */
#include "core_test.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
#define NFAULTS (sizeof faults / sizeof faults[0])

/* What a child has seen, for its parent. */
struct Seen {
	int below, above, nested;
	int signal;
	bool restored;
};
static struct Seen *seen;

static int
setup(void **state)
{
	seen = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return seen == MAP_FAILED ? -1 : 0;
}

/* How a child ends that runs `body`, with default actions to begin with. */
static int
status_of(void (*body)(void))
{
	int status;
	pid_t pid;

	memset(seen, 0, sizeof *seen);
	pid = fork();
	if (pid == 0) {
		for (size_t i = 0; i < NFAULTS; i++)
			signal(faults[i], SIG_DFL);
		body();
		_exit(77);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
assert_killed(int status, int signal)
{
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), signal);
}

static void
assert_exited(int status, int code)
{
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), code);
}

static void
touch_null(void)
{
	volatile int *volatile at = (volatile int *) 16;

	*at = 1;
}

/* Ends the child when a fault of the sandbox is none. */
static void
fault_inside(struct Fixture *f)
{
	struct LFIFault fault;

	LFI_INVOKE(f->box, &f->ctx, LOAD(f->box, code_load), int, (lfiptr), lfi_box_info(f->box).base + 8192);
	if (lfi_errno() != LFI_ERR_FAULT || lfi_ctx_fault(f->ctx, &fault) < 0 || fault.kind != LFI_FAULT_GUARD)
		_exit(66);
	LFI_INVOKE(f->box, &f->ctx, LOAD(f->box, code_ud2), void, (void) );
	if (lfi_errno() != LFI_ERR_FAULT || lfi_ctx_fault(f->ctx, &fault) < 0 || fault.kind != LFI_FAULT_ILLEGAL)
		_exit(66);
}

static struct Fixture
begin(void)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	fault_inside(&f);
	return f;
}

/* ---- Below ---- */

static void
plain_handler(int sig)
{
	seen->below++;
	seen->signal = sig;
}

static void
leave_plainly(int sig)
{
	plain_handler(sig);
	_exit(55);
}

static void
install_plain(void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	for (size_t i = 0; i < NFAULTS; i++)
		sigaction(faults[i], &action, NULL);
}

static void
one_shot(void)
{
	install_plain(plain_handler, (int) SA_RESETHAND);
	begin();
	touch_null();
}

static void
a_handler_with_SA_RESETHAND_runs_once(void **state)
{
	assert_killed(status_of(one_shot), SIGSEGV);
	assert_int_equal(seen->below, 1);
}

static void
one_shot_put_back(void)
{
	struct sigaction now;

	install_plain(plain_handler, (int) SA_RESETHAND);
	struct Fixture f = begin();
	/* A trap has passed its instruction, so the handler returns to what follows. */
	__asm__ volatile("int3");
	fault_inside(&f);
	drop(&f);
	sigaction(SIGTRAP, NULL, &now);
	seen->restored = now.sa_handler == SIG_DFL;
	sigaction(SIGSEGV, NULL, &now);
	seen->restored &= now.sa_handler == plain_handler && (now.sa_flags & (int) SA_RESETHAND);
	__asm__ volatile("int3");
}

static void
a_handler_with_SA_RESETHAND_that_ran_is_not_put_back(void **state)
{
	assert_killed(status_of(one_shot_put_back), SIGTRAP);
	assert_int_equal(seen->below, 1);
	assert_true(seen->restored);
}

static void
without_siginfo(void)
{
	install_plain(leave_plainly, 0);
	begin();
	__asm__ volatile("ud2");
}

static void
a_handler_without_SA_SIGINFO_gets_the_signal(void **state)
{
	assert_exited(status_of(without_siginfo), 55);
	assert_int_equal(seen->below, 1);
	assert_int_equal(seen->signal, SIGILL);
}

static void
fault_in_the_handler(int sig)
{
	if (seen->below++ == 2)
		_exit(55);
	touch_null();
}

static void
nodefer(void)
{
	install_plain(fault_in_the_handler, (int) SA_NODEFER);
	begin();
	touch_null();
}

static void
deferred(void)
{
	install_plain(fault_in_the_handler, 0);
	begin();
	touch_null();
}

static void
a_fault_in_a_handler_nests_with_SA_NODEFER_and_kills_without(void **state)
{
	assert_exited(status_of(nodefer), 55);
	assert_int_equal(seen->below, 3);
	assert_killed(status_of(deferred), SIGSEGV);
	assert_int_equal(seen->below, 1);
}

static void
all_ignored(void)
{
	for (size_t i = 0; i < NFAULTS; i++)
		signal(faults[i], SIG_IGN);
	struct Fixture f = begin();
	/* What is sent is ignored; what the processor raises is not, whoever ignores it. */
	for (size_t i = 0; i < NFAULTS; i++)
		raise(faults[i]);
	fault_inside(&f);
	seen->below = 5;
	touch_null();
}

static void
a_fault_that_the_host_ignores_kills(void **state)
{
	assert_killed(status_of(all_ignored), SIGSEGV);
	assert_int_equal(seen->below, 5);
}

static void
all_default(void)
{
	begin();
	raise(SIGFPE);
}

static void
a_signal_that_the_host_sends_itself_has_its_default_action(void **state)
{
	assert_killed(status_of(all_default), SIGFPE);
}

/* A crash reporter: says something, puts back what it found, and dies of the same signal. */
static struct sigaction found[NSIG];

static void
report_and_die(int sig, siginfo_t *info, void *uc)
{
	seen->above++;
	seen->signal = sig;
	sigaction(sig, &found[sig], NULL);
	raise(sig);
}

static void
install(void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | flags};

	for (size_t i = 0; i < NFAULTS; i++)
		sigaction(faults[i], &action, &found[faults[i]]);
}

static void
reporter_below(void)
{
	install(report_and_die, (int) SA_NODEFER);
	begin();
	touch_null();
}

static void
a_crash_reporter_below_sees_faults_of_the_host_only(void **state)
{
	assert_killed(status_of(reporter_below), SIGSEGV);
	assert_int_equal(seen->above, 1);
}

/* ---- Above ---- */

/* Calls what it found, whatever that is: it takes nothing. */
static void
forward(int sig, siginfo_t *info, void *uc)
{
	seen->above++;
	/* Who was called is called again. */
	if (seen->above > 100)
		_exit(88);
	if (found[sig].sa_handler == SIG_DFL || found[sig].sa_handler == SIG_IGN)
		_exit(89);
	found[sig].sa_sigaction(sig, info, uc);
}

static void
forwarder_above_nothing(void)
{
	struct Fixture f = begin();

	install(forward, (int) SA_RESTART);
	fault_inside(&f);
	seen->above = 0;
	touch_null();
}

static void
forwarder_above_a_handler(void)
{
	install_plain(leave_plainly, 0);
	forwarder_above_nothing();
}

static void
a_forwarder_above_us_reaches_what_was_there_before_us(void **state)
{
	assert_killed(status_of(forwarder_above_nothing), SIGSEGV);
	assert_int_equal(seen->above, 1);
	assert_exited(status_of(forwarder_above_a_handler), 55);
	assert_int_equal(seen->above, 1);
	assert_int_equal(seen->below, 1);
}

static void
forwarder_between_engines(void)
{
	install_plain(leave_plainly, 0);
	struct Fixture f = begin();

	install(forward, 0);
	drop(&f);
	/* What is on top now may call the handler that has stayed below it. */
	f = begin();
	assert_int_equal(seen->above, 0);
	fault_inside(&f);
	touch_null();
}

static void
a_forwarder_that_came_between_two_engines_is_called_once(void **state)
{
	assert_exited(status_of(forwarder_between_engines), 55);
	assert_int_equal(seen->above, 1);
	assert_int_equal(seen->below, 1);
}

static void
engines_over_a_reporter(void)
{
	struct Fixture f = begin();

	install(report_and_die, (int) SA_NODEFER);
	for (int i = 0; i < 10; i++) {
		drop(&f);
		f = begin();
	}
	seen->restored = seen->above == 0;
	touch_null();
}

static void
any_number_of_engines_goes_over_the_same_handler(void **state)
{
	assert_killed(status_of(engines_over_a_reporter), SIGSEGV);
	assert_true(seen->restored);
	assert_int_equal(seen->above, 1);
}

static void
second_engine(void)
{
	struct Fixture f = begin(), second;

	install(report_and_die, (int) SA_NODEFER);
	second = begin();
	fault_inside(&f);
	drop(&second);
	fault_inside(&f);
	seen->restored = seen->above == 0;
	touch_null();
}

static void
a_second_engine_goes_over_what_came_after_the_first(void **state)
{
	assert_killed(status_of(second_engine), SIGSEGV);
	assert_true(seen->restored);
	assert_int_equal(seen->above, 1);
}

static void
reclaimed_from_a_reporter(void)
{
	struct Fixture f = begin();

	install(report_and_die, (int) SA_NODEFER);
	if (lfi_signal_reclaim() < 0)
		_exit(67);
	fault_inside(&f);
	seen->restored = seen->above == 0;
	touch_null();
}

static void
reclaimed_handlers_keep_a_crash_reporter_out_of_the_sandbox(void **state)
{
	assert_killed(status_of(reclaimed_from_a_reporter), SIGSEGV);
	assert_true(seen->restored);
	assert_int_equal(seen->above, 1);
}

static void
reclaimed_from_a_forwarder(void)
{
	install_plain(leave_plainly, 0);
	struct Fixture f = begin();

	install(forward, 0);
	for (int i = 0; i < 10; i++)
		if (lfi_signal_reclaim() < 0)
			_exit(67);
	fault_inside(&f);
	seen->restored = seen->above == 0;
	touch_null();
}

static void
passing_on_ends_when_all_call_what_they_found(void **state)
{
	assert_exited(status_of(reclaimed_from_a_forwarder), 55);
	assert_true(seen->restored);
	assert_int_equal(seen->above, 1);
	assert_int_equal(seen->below, 1);
}

static void
reporter_that_goes(void)
{
	struct Fixture f = begin();

	/* Each time it comes and goes; what it puts back is ours, and found to be there. */
	for (int i = 0; i < 20; i++) {
		install(report_and_die, 0);
		if (lfi_signal_reclaim() < 0)
			_exit(67);
		fault_inside(&f);
		for (size_t k = 0; k < NFAULTS; k++)
			sigaction(faults[k], &found[faults[k]], NULL);
		if (lfi_signal_reclaim() < 0)
			_exit(68);
		fault_inside(&f);
	}
	touch_null();
}

static void
a_handler_that_has_gone_is_not_called(void **state)
{
	assert_killed(status_of(reporter_that_goes), SIGSEGV);
	assert_int_equal(seen->above, 0);
}

static void
over_and_over(void)
{
	struct Fixture f = begin();
	int times = 0;

	do {
		install(report_and_die, (int) SA_NODEFER);
		times++;
	} while (lfi_signal_reclaim() == 0 && times < 10);
	if (times != 4 || lfi_errno() != LFI_ERR_UNSUPPORTED)
		_exit(68);
	/* All the same there can be engines: this one's faults go to who is on top. */
	drop(&f);
	f = fixture((struct LFIOptions) {.boxsize = 0});
	for (size_t i = 0; i < NFAULTS; i++)
		signal(faults[i], SIG_DFL);
	if (lfi_signal_reclaim() < 0)
		_exit(69);
	fault_inside(&f);
	touch_null();
}

static void
handlers_over_and_over_are_an_error(void **state)
{
	assert_killed(status_of(over_and_over), SIGSEGV);
	assert_int_equal(seen->above, 0);
	assert_int_equal(lfi_signal_reclaim(), -1);
	assert_error(LFI_ERR_INVALID);
}

static void
everything_given_back(void)
{
	struct sigaction now;

	install(report_and_die, 0);
	struct Fixture f = begin();
	install(forward, 0);
	if (lfi_signal_reclaim() < 0)
		_exit(67);
	drop(&f);
	/* First who came last; he puts back what he found, which is of no use to anybody but harms nobody. */
	sigaction(SIGSEGV, NULL, &now);
	seen->restored = now.sa_sigaction == forward;
	for (size_t i = 0; i < NFAULTS; i++)
		sigaction(faults[i], &found[faults[i]], NULL);
	f = begin();
	drop(&f);
	sigaction(SIGSEGV, NULL, &now);
	seen->restored &= now.sa_sigaction == report_and_die;
	_exit(55);
}

static void
the_last_engine_puts_back_what_it_went_over(void **state)
{
	assert_exited(status_of(everything_given_back), 55);
	assert_true(seen->restored);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handler_with_SA_RESETHAND_runs_once),
		cmocka_unit_test(a_handler_with_SA_RESETHAND_that_ran_is_not_put_back),
		cmocka_unit_test(a_handler_without_SA_SIGINFO_gets_the_signal),
		cmocka_unit_test(a_fault_in_a_handler_nests_with_SA_NODEFER_and_kills_without),
		cmocka_unit_test(a_fault_that_the_host_ignores_kills),
		cmocka_unit_test(a_signal_that_the_host_sends_itself_has_its_default_action),
		cmocka_unit_test(a_crash_reporter_below_sees_faults_of_the_host_only),
		cmocka_unit_test(a_forwarder_above_us_reaches_what_was_there_before_us),
		cmocka_unit_test(a_forwarder_that_came_between_two_engines_is_called_once),
		cmocka_unit_test(any_number_of_engines_goes_over_the_same_handler),
		cmocka_unit_test(a_second_engine_goes_over_what_came_after_the_first),
		cmocka_unit_test(reclaimed_handlers_keep_a_crash_reporter_out_of_the_sandbox),
		cmocka_unit_test(passing_on_ends_when_all_call_what_they_found),
		cmocka_unit_test(a_handler_that_has_gone_is_not_called),
		cmocka_unit_test(handlers_over_and_over_are_an_error),
		cmocka_unit_test(the_last_engine_puts_back_what_it_went_over),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
