/* SPDX-License-Identifier: MIT */
/*
 * Waits for ever, in many ways, after it has written a byte to standard output: a library with a function, or with
 * -DPROGRAM a program whose arguments say how each of its threads waits.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

enum { LOOP, READ, READ_STDIN, WRITE, POLL, POLL_NONE, SELECT, SLEEP, SLEEP_UNTIL, MUTEX, CONDITION, FIFO, CALLS };

static char much[1 << 20];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, other = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

int
block(int how)
{
	struct timespec century = {3000000000, 0};
	struct pollfd fd = {0, POLLIN, 0};
	volatile int work = 0;
	fd_set set;
	int ends[2];
	char byte;

	pipe(ends);
	fd.fd = ends[0];
	FD_ZERO(&set);
	FD_SET(ends[0], &set);
	if (how == MUTEX)
		pthread_mutex_trylock(&mutex);
	write(1, "r", 1);
	switch (how) {
	case LOOP:
		for (;;)
			work++;
	case READ:
		return read(ends[0], &byte, 1);
	case READ_STDIN:
		return read(0, &byte, 1);
	case WRITE:
		return write(ends[1], much, sizeof much);
	case POLL:
		return poll(&fd, 1, -1);
	case POLL_NONE:
		return poll(NULL, 0, 1000000000);
	case SELECT:
		return select(ends[0] + 1, &set, NULL, NULL, NULL);
	case SLEEP:
		return nanosleep(&century, NULL);
	case SLEEP_UNTIL:
		return clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &century, NULL);
	case MUTEX:
		return pthread_mutex_lock(&mutex);
	case CONDITION:
		pthread_mutex_lock(&other);
		return pthread_cond_wait(&condition, &other);
	case FIFO:
		return open("/data/fifo", O_RDONLY);
	case CALLS:
		for (;;)
			work += getppid();
	}
	return -1;
}

int
add(int a, int b)
{
	return a + b;
}

#ifdef PROGRAM
static void *
start(void *arg)
{
	block((int) (long) arg);
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_t thread;

	for (int i = 1; i < argc - 1; i++)
		pthread_create(&thread, NULL, start, (void *) (long) atoi(argv[i]));
	if (!strcmp(argv[argc - 1], "leave"))
		pthread_exit(NULL);
	block(atoi(argv[argc - 1]));
	return 0;
}
#endif
