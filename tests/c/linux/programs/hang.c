/* SPDX-License-Identifier: MIT */
/* Ends with status 7 while its other threads sleep where they are hard to wake: the first argument says where. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int ends[2];
static char much[1 << 20];

/* What one of several readers takes, another may have seen coming. */
static void *
read_often(void *arg)
{
	char byte[2];

	for (;;)
		read(*(int *) arg, byte, 1);
}

static void *
write_much(void *arg)
{
	write(*(int *) arg, much, sizeof much);
	return NULL;
}

static void
start(void *(*function)(void *), int *fd, int count)
{
	pthread_t thread;

	while (count-- > 0)
		pthread_create(&thread, NULL, function, fd);
	usleep(2000);
}

int
main(int argc, char **argv)
{
	static int in = 0, out = 1;

	pipe(ends);
	if (!strcmp(argv[1], "pipe-read")) {
		start(read_often, &ends[0], 4);
		for (int i = 0; i < 2000; i++)
			write(ends[1], "xyz", i % 3 + 1);
	} else if (!strcmp(argv[1], "pipe-write")) {
		start(write_much, &ends[1], 2);
	} else if (!strcmp(argv[1], "stdin")) {
		start(read_often, &in, 4);
		usleep(300000);
	} else if (!strcmp(argv[1], "stdout")) {
		start(write_much, &out, 2);
	}
	_exit(7);
}
