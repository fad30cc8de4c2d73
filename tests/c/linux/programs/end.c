/* SPDX-License-Identifier: MIT */
/* Ends in the way that the first argument names. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Beyond the first page, which holds the runtime-call table and can be read. */
static int *volatile nowhere = (int *) 8192;
static volatile int zero;

/* Not a tail call: the frame is used afterwards. */
static int
deeper(int depth)
{
	volatile char frame[256];

	frame[0] = (char) depth;
	return deeper(depth + 1) + frame[0];
}

static void *
fault(void *arg)
{
	*nowhere = 1;
	return arg;
}

int
main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	pthread_t thread;

	printf("before\n");
	fflush(stdout);
	if (!strcmp(how, "exit"))
		exit(3);
	if (!strcmp(how, "_exit"))
		_exit(4);
	if (!strcmp(how, "abort"))
		abort();
	if (!strcmp(how, "raise"))
		raise(SIGTERM);
	if (!strcmp(how, "read"))
		return *nowhere;
	if (!strcmp(how, "thread")) {
		pthread_create(&thread, NULL, fault, NULL);
		pthread_join(thread, NULL);
	}
	if (!strcmp(how, "write"))
		*nowhere = 1;
	if (!strcmp(how, "divide"))
		return 100 / zero;
	if (!strcmp(how, "stack"))
		return deeper(0);
	if (!strcmp(how, "trap"))
		__builtin_trap();
	return 0;
}
