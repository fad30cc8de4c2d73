/* SPDX-License-Identifier: MIT */
/* A library with state of all kinds, for snapshots. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int *heap;
static int number = 5;
static int zero;
static __thread int own = 9;
static char *big;

int prepare(int value);
int sum(void);
void change(int value);
int grow(size_t size);
int open_file(const char *path);
int is_open(int fd);
int print(const char *text);
void crash(void);
void leave(int status);
int change_kernel_state(void);
int kernel_state(void);
int start_thread(void);
int touch_stack(int pages);

int
prepare(int value)
{
	heap = malloc(4 * sizeof *heap);
	if (!heap)
		return -1;
	for (int i = 0; i < 4; i++)
		heap[i] = value;
	return 0;
}

int
sum(void)
{
	int total = number + zero + own;

	for (int i = 0; heap && i < 4; i++)
		total += heap[i];
	return total;
}

void
change(int value)
{
	number = zero = own = value;
	for (int i = 0; heap && i < 4; i++)
		heap[i] = value;
	free(malloc(100));
}

/* The heap, by brk and by mmap. */
int
grow(size_t size)
{
	for (int i = 0; i < 32; i++) {
		big = malloc(size);
		if (!big)
			return -1;
		memset(big, 1, size);
	}
	return 0;
}

int
open_file(const char *path)
{
	return open(path, O_RDONLY);
}

int
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* Stays in the buffer. */
int
print(const char *text)
{
	static char buffer[256];

	setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
	return printf("%s", text);
}

void
crash(void)
{
	*(volatile int *) 8 = 1;
}

void
leave(int status)
{
	exit(status);
}

int
change_kernel_state(void)
{
	umask(077);
	signal(SIGUSR1, SIG_IGN);
	return chdir("/tmp");
}

/* 3 when it is as changed, 0 when it is as in the beginning. */
int
kernel_state(void)
{
	struct sigaction action;
	char cwd[256];
	mode_t mask = umask(077);

	umask(mask);
	sigaction(SIGUSR1, NULL, &action);
	return (mask == 077) + (action.sa_handler == SIG_IGN) + (getcwd(cwd, sizeof cwd) && strcmp(cwd, "/tmp") == 0);
}

static void *
doze(void *arg)
{
	for (;;)
		sleep(1000);
	return arg;
}

int
start_thread(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, doze, NULL);
}

int
touch_stack(int pages)
{
	volatile char page[4096];

	page[0] = 1;
	return pages ? touch_stack(pages - 1) + page[0] : 0;
}
