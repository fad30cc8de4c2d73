/* SPDX-License-Identifier: MIT */
/* Takes of something, named by the first argument, what it can get; says how much. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *
forever(void *arg)
{
	for (;;)
		sleep(1000);
	return arg;
}

static int
memory(void)
{
	int got = 0;

	while (got < 4096 && malloc(1 << 20))
		got++;
	printf("%d MiB, %s\n", got, strerror(errno));
	return got;
}

static int
threads(void)
{
	pthread_t thread;
	int error = 0, got = 0;

	while (got < 1000 && (error = pthread_create(&thread, NULL, forever, NULL)) == 0)
		got++;
	printf("%d threads, %s\n", got, strerror(error));
	return got;
}

static int
files(void)
{
	int got = 0;

	while (dup(0) >= 0)
		got++;
	printf("%d descriptors, %s\n", got, strerror(errno));
	return got;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	volatile unsigned long long spins = 0;

	if (!strcmp(what, "memory"))
		memory();
	if (!strcmp(what, "threads"))
		threads();
	if (!strcmp(what, "files"))
		files();
	if (!strcmp(what, "time"))
		for (;;)
			spins++;
	fflush(stdout);
	_exit(0);
}
