/* SPDX-License-Identifier: MIT */
/* Children of tests: what hangs is ended by an alarm. After cmocka.h, which wants to be told what it needs. */
#ifndef TEST_FORK_TEST_H
#define TEST_FORK_TEST_H

#include <lfi/lfi_core.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS = 120 };

/* For ThreadSanitizer: a child has threads that nobody joins. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *
__tsan_default_options(void)
{
	return "report_thread_leaks=0";
}

/* In a child, which leaves without cmocka. */
#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			dprintf(2, "child, line %d: %s: %s\n", __LINE__, #condition, lfi_errmsg());                    \
			_exit(1);                                                                                      \
		}                                                                                                      \
	} while (0)

static pid_t
fork_child(void)
{
	pid_t pid = fork();

	/* The parent's is not inherited. */
	if (pid == 0)
		alarm(SECONDS);
	return pid;
}

static void
assert_child(pid_t pid, int expected)
{
	int status;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		print_error("the child ended by signal %d\n", WTERMSIG(status));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), expected);
}

#endif
