/* SPDX-License-Identifier: MIT */
/* A library that waits for ever, for bench/interrupt.c: `how` says where; *flag becomes 1 before. */
#include <poll.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

int
block(int how, volatile int *flag)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	static int ends[2];
	struct timespec century = {3000000000, 0};
	volatile int work = 0;
	struct pollfd fd;
	char byte;

	if (!ends[1])
		pipe(ends);
	pthread_mutex_trylock(&mutex);
	fd = (struct pollfd){ends[0], POLLIN, 0};
	*flag = 1;
	switch (how) {
	case 0:
		for (;;)
			work++;
	case 1:
		return read(ends[0], &byte, 1);
	case 2:
		return pthread_mutex_lock(&mutex);
	case 3:
		return nanosleep(&century, NULL);
	case 4:
		return poll(&fd, 1, -1);
	}
	return 0;
}
