/* SPDX-License-Identifier: MIT */
/*
 * Go's runtime comes as a library, after the engine, and puts its handlers over ours: after GO_LIBRARY. Faults of the
 * sandbox are ours all the same, nil dereferences in Go are Go's, and what is neither kills.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox.h"

static int (*go_check)(void);

/* On a thread that Go does not know at first, and then does. NULL, or what is wrong. */
static void *
use_both(void *arg)
{
	for (int round = 0; round < 300; round++) {
		if (sandbox_fault(round % SANDBOX_FAULTS) < 0)
			return "a fault of the sandbox is no result";
		if (sandbox_add(40, 2) != 42)
			return "40 + 2 is not 42";
		if (round >= SANDBOX_FAULTS && go_check() != 1)
			return "a nil dereference in Go is no panic";
	}
	return NULL;
}

/* Whether the process is killed by the signal of a fault in C code. */
static int
dies(void)
{
	const struct rlimit none = {0, 0};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		sandbox_crash_host();
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

int
main(int argc, char **argv)
{
	void *library, *wrong;
	pthread_t threads[3];
	const char *said = NULL;

	if (argc != 2 || sandbox_open() < 0) {
		fprintf(stderr, "%s\n", argc == 2 ? sandbox_error() : "usage: after GO_LIBRARY");
		return 1;
	}
	library = dlopen(argv[1], RTLD_NOW);
	go_check = library ? (int (*)(void)) dlsym(library, "go_check") : NULL;
	if (!go_check) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, use_both, NULL);
	said = use_both(NULL);
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], &wrong);
		said = said ? said : wrong;
	}
	/* The same with ours on top again. */
	if (!said && sandbox_reclaim() < 0)
		said = sandbox_error();
	said = said ? said : use_both(NULL);
	if (!said && !dies())
		said = "a fault of the host does not kill";
	if (said)
		fprintf(stderr, "%s\n", said);
	return said ? 1 : 0;
}
