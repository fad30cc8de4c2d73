/* SPDX-License-Identifier: MIT */
/* A program that does what its first argument says. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
copy(void)
{
	char block[4096];
	ssize_t n;

	while ((n = read(0, block, sizeof block)) > 0)
		if (write(1, block, n) != n)
			return 1;
	return 0;
}

static int
flood(void)
{
	static char block[4096];

	memset(block, 'x', sizeof block);
	for (;;)
		if (write(1, block, sizeof block) < 0)
			return 1;
}

static int
file(const char *path, const char *mode, const char *text)
{
	FILE *f = fopen(path, mode);
	char line[100];

	if (!f) {
		printf("%s\n", strerror(errno));
		return 1;
	}
	if (text)
		return fputs(text, f) < 0 || fclose(f) ? 1 : 0;
	if (!fgets(line, sizeof line, f))
		return 1;
	fputs(line, stdout);
	return 0;
}

static int
take(long mebibytes)
{
	long got = 0;

	while (got < mebibytes) {
		char *p = malloc(1 << 20);

		if (!p)
			break;
		memset(p, 1, 1 << 20);
		got++;
	}
	printf("%ld\n", got);
	return 0;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "hello";

	if (!strcmp(what, "hello")) {
		printf("hello, %s\n", getenv("WHO") ? getenv("WHO") : "world");
		fputs("error\n", stderr);
	} else if (!strcmp(what, "arguments")) {
		for (int i = 1; i < argc; i++)
			puts(argv[i]);
	} else if (!strcmp(what, "copy")) {
		return copy();
	} else if (!strcmp(what, "flood")) {
		return flood();
	} else if (!strcmp(what, "spin")) {
		for (;;)
			__asm__ volatile("");
	} else if (!strcmp(what, "crash")) {
		puts("before");
		fflush(stdout);
		*(volatile int *) 8 = 1;
	} else if (!strcmp(what, "exit")) {
		return atoi(argv[2]);
	} else if (!strcmp(what, "read")) {
		return file(argv[2], "r", NULL);
	} else if (!strcmp(what, "write")) {
		return file(argv[2], "w", argv[3]);
	} else if (!strcmp(what, "take")) {
		return take(atol(argv[2]));
	} else if (!strcmp(what, "where")) {
		char path[256];

		puts(getcwd(path, sizeof path) ? path : "?");
	} else if (!strcmp(what, "raise")) {
		return !!kill(getpid(), atoi(argv[2]));
	}
	return 0;
}
