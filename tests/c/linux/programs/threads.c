/* SPDX-License-Identifier: MIT */
/*
 * Threads that share a counter, allocate, and have variables of their own.
 * With an argument: ends while other threads loop, sleep, read and wait.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 8, ROUNDS = 1000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static int counter, arrived;
static __thread long own = 5;

static void *
count(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		char *memory = malloc(100 + (size_t) i);

		memset(memory, i, 100);
		pthread_mutex_lock(&mutex);
		counter++;
		pthread_mutex_unlock(&mutex);
		free(memory);
	}
	own += (long) arg;
	pthread_mutex_lock(&mutex);
	arrived++;
	pthread_cond_broadcast(&condition);
	while (arrived < THREADS)
		pthread_cond_wait(&condition, &mutex);
	pthread_mutex_unlock(&mutex);
	pthread_barrier_wait(&barrier);
	return (void *) own;
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
	sleep(100000);
	return arg;
}

static void *
read_nothing(void *arg)
{
	int ends[2];
	char byte;

	if (pipe(ends) == 0)
		read(ends[0], &byte, 1);
	return arg;
}

static void *
wait_forever(void *arg)
{
	pthread_mutex_lock(&mutex);
	for (;;)
		pthread_cond_wait(&condition, &mutex);
	return arg;
}

static void *
end_all(void *arg)
{
	usleep(20000);
	exit(9);
	return arg;
}

int
main(int argc, char **argv)
{
	static void *(*const stuck[])(void *) = {loop, doze, read_nothing, wait_forever};
	pthread_t threads[THREADS];
	long sum = 0;

	pthread_barrier_init(&barrier, NULL, THREADS);
	for (long i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, count, (void *) i))
			return puts("no thread"), 1;
	for (int i = 0; i < THREADS; i++) {
		void *result;

		pthread_join(threads[i], &result);
		sum += (long) result;
	}
	printf("counter %d, sum %ld\n", counter, sum);
	if (argc == 1)
		return 0;
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, stuck[i], NULL);
	if (strcmp(argv[1], "main-ends") == 0) {
		usleep(20000);
		return 4;
	}
	pthread_create(&threads[4], NULL, end_all, NULL);
	if (strcmp(argv[1], "main-leaves") == 0)
		pthread_exit(NULL);
	loop(NULL);
}
