/* SPDX-License-Identifier: MIT */
/* Start and end of a program: arguments, environment, constructors, exit handlers, standard input, exit status. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int order;

__attribute__((constructor(101))) static void
first(void)
{
	printf("first %d\n", order++);
}

__attribute__((constructor)) static void
second(void)
{
	printf("second %d\n", order++);
}

__attribute__((destructor)) static void
last(void)
{
	puts("destructor");
	fflush(stdout);
}

static void
handler(void)
{
	puts("atexit");
}

int missing(void) __attribute__((weak));
int common_variable;

int
main(int argc, char **argv)
{
	char line[64];

	atexit(handler);
	for (int i = 1; i < argc; i++)
		printf("argument %d: %s\n", i, argv[i]);
	printf("environment: %s\n", getenv("LFI_TEST") ? getenv("LFI_TEST") : "none");
	while (fgets(line, sizeof line, stdin))
		printf("line: %s", line);
	printf("weak %d, common %d\n", missing ? missing() : -1, common_variable);
	errno = 0;
	printf("close %d errno %d\n", close(77), errno);
	fprintf(stderr, "to stderr\n");
	return 37;
}
