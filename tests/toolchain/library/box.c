/* SPDX-License-Identifier: MIT */
/* A library without main, which library.c loads: what a thread that the C library did not make needs from it. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Thread_local int calls = 100;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int total;

int
add(int a, int b)
{
	return a + b;
}

/* Thread-local data starts anew on each thread. */
int
count_call(void)
{
	return ++calls;
}

/* Allocates, formats, locks; returns a number that only undisturbed memory gives. */
int
work(int rounds)
{
	int sum = 0;

	for (int i = 0; i < rounds; i++) {
		size_t size = (size_t) (i * 37 % 1000 + 32);
		char *text = malloc(size);

		if (!text)
			return -1;
		memset(text, i, size);
		snprintf(text, size, "%d %.3f", i, i / 8.0);
		sum += atoi(text) + (int) strlen(text);
		free(text);
		pthread_mutex_lock(&mutex);
		total++;
		pthread_mutex_unlock(&mutex);
	}
	return sum;
}

int
total_rounds(void)
{
	return total;
}

/* errno belongs to the thread. */
int
keeps_errno(int value)
{
	errno = value;
	free(malloc(5000));
	return errno;
}

int
thread_id(void)
{
	return gettid();
}
