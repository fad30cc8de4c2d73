/* SPDX-License-Identifier: MIT */
/* Threads: thread-local data, mutexes, conditions, once, keys, detached threads, many at a time. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Thread_local int number = 3;
static _Thread_local _Alignas(64) char aligned[128] = "aligned";
static _Thread_local int zero;
_Thread_local long shared_name = 17;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int turn, onces, total;
static atomic_int destroyed, detached;
static sem_t semaphore;

static void
run_once(void)
{
	onces++;
}

static void
destroy(void *p)
{
	free(p);
	destroyed++;
}

static void *
worker(void *argument)
{
	long id = (long) argument;
	char *text = malloc(32);

	pthread_once(&once, run_once);
	snprintf(text, 32, "thread %ld", id);
	pthread_setspecific(key, text);
	number += (int) id;
	zero += number;
	shared_name++;
	if ((unsigned long) aligned % 64 || strcmp(aligned, "aligned") != 0)
		return NULL;
	aligned[0] = 'A';
	for (int i = 0; i < 1000; i++) {
		pthread_mutex_lock(&mutex);
		total++;
		pthread_mutex_unlock(&mutex);
	}
	pthread_mutex_lock(&mutex);
	while (turn != id)
		pthread_cond_wait(&cond, &mutex);
	printf("%s: number %d zero %d shared %ld\n", (char *) pthread_getspecific(key), number, zero, shared_name);
	turn++;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&mutex);
	return (void *) (id + 100);
}

static void *
detached_worker(void *argument)
{
	detached++;
	sem_post(&semaphore);
	return argument;
}

int
main(void)
{
	enum { COUNT = 8 };
	pthread_t threads[COUNT];
	pthread_attr_t attributes;
	long sum = 0;

	pthread_key_create(&key, destroy);
	for (long i = 0; i < COUNT; i++)
		if (pthread_create(&threads[i], NULL, worker, (void *) i) != 0)
			return 1;
	for (int i = 0; i < COUNT; i++) {
		void *result;

		pthread_join(threads[i], &result);
		sum += (long) result;
	}
	printf("sum %ld total %d onces %d destroyed %d\n", sum, total, onces, destroyed);
	sem_init(&semaphore, 0, 0);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	for (int i = 0; i < 20; i++) {
		pthread_t thread;

		if (pthread_create(&thread, &attributes, detached_worker, NULL) != 0)
			return 2;
		sem_wait(&semaphore);
	}
	printf("detached %d, number here %d\n", detached, number);
	return 0;
}
