/* SPDX-License-Identifier: MIT */
/* A program without main: a library. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int calls;
static __thread int own;

int add(int a, int b);
int count_calls(void);
int count_own(void);
char *reversed(const char *text);
int use_errno(int value);
int start_threads(int count, int sleeping);
int end_itself(int signal);
int leave(int status);
int crash_at(const volatile int *place);

int
add(int a, int b)
{
	return a + b;
}

int
count_calls(void)
{
	return __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
}

int
count_own(void)
{
	return ++own;
}

char *
reversed(const char *text)
{
	size_t length = strlen(text);
	char *copy = malloc(length + 1);

	for (size_t i = 0; copy && i < length; i++)
		copy[i] = text[length - 1 - i];
	if (copy)
		copy[length] = 0;
	return copy;
}

int
use_errno(int value)
{
	errno = value;
	free(malloc(100));
	return errno;
}

int
crash_at(const volatile int *place)
{
	return *place + 1;
}

/* 0: by abort. */
int
end_itself(int signal)
{
	char *memory = malloc(1000);

	if (signal)
		raise(signal);
	else
		abort();
	free(memory);
	return 7;
}

int
leave(int status)
{
	exit(status);
}

static void *
loop(void *arg)
{
	for (;;)
		__asm__ volatile("");
	return arg;
}

static void *
doze(void *arg)
{
	for (;;)
		sleep(1000);
	return arg;
}

/* How many of `count` threads that never end could be started. */
int
start_threads(int count, int sleeping)
{
	pthread_t thread;
	int started = 0;

	while (started < count && pthread_create(&thread, NULL, sleeping ? doze : loop, NULL) == 0)
		started++;
	return started;
}
