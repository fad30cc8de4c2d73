/* SPDX-License-Identifier: MIT */
/* The program of scenarios.toml: does what its first argument says. */
#include <errno.h>
#include <pthread.h>
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
		if (write(1, block, (size_t) n) != n)
			return 1;
	return n < 0;
}

/* The first line of a file, or why there is none. */
static int
show(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[256];

	if (!file || !fgets(line, sizeof line, file)) {
		printf("%s\n", strerror(errno));
		return 1;
	}
	fputs(line, stdout);
	return 0;
}

static int
put(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	if (!file || fputs(text, file) < 0 || fclose(file)) {
		printf("%s\n", strerror(errno));
		return 1;
	}
	return 0;
}

static int sum;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *
count(void *unused)
{
	for (int i = 0; i < 1000; i++) {
		pthread_mutex_lock(&lock);
		sum++;
		pthread_mutex_unlock(&lock);
	}
	return unused;
}

static int
threads(void)
{
	pthread_t made[4];

	for (int i = 0; i < 4; i++)
		if (pthread_create(&made[i], NULL, count, NULL))
			return 1;
	for (int i = 0; i < 4; i++)
		pthread_join(made[i], NULL);
	printf("%d\n", sum);
	return 0;
}

/* How many MiB there are, up to a number: "all", or "fewer". */
static int
take(int mebibytes)
{
	for (int i = 0; i < mebibytes; i++) {
		char *p = malloc(1 << 20);

		if (!p)
			return puts("fewer"), 0;
		memset(p, 1, 1 << 20);
	}
	return puts("all"), 0;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "hello"))
		return puts("hello"), fputs("to stderr\n", stderr), 0;
	if (!strcmp(what, "arguments")) {
		for (int i = 2; i < argc; i++)
			printf("[%s]", argv[i]);
		return puts(getenv("WHO") ? getenv("WHO") : "nobody"), 0;
	}
	if (!strcmp(what, "exit"))
		return atoi(argv[2]);
	if (!strcmp(what, "copy"))
		return copy();
	if (!strcmp(what, "show"))
		return show(argv[2]);
	if (!strcmp(what, "put"))
		return put(argv[2], argv[3]);
	if (!strcmp(what, "threads"))
		return threads();
	if (!strcmp(what, "take"))
		return take(atoi(argv[2]));
	if (!strcmp(what, "spin"))
		for (;;)
			__asm__ volatile("");
	if (!strcmp(what, "crash"))
		*(volatile int *) 8 = 1;
	if (!strcmp(what, "abort"))
		abort();
	return 99;
}
