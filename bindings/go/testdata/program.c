/* SPDX-License-Identifier: MIT */
/* A program that waits for ever in the way that its first argument says, or does what tests of files need. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *
sleep_on(void *unused)
{
	for (;;)
		sleep(1000);
	return unused;
}

static void *
spin_on(void *unused)
{
	for (;;)
		__asm__ volatile("");
	return unused;
}

/* The first thread leaves the program to another one. */
static int
leave_to(void *(*other)(void *) )
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, other, NULL))
		return 1;
	pthread_exit(NULL);
}

static int
wait_for_semaphore(void)
{
	sem_t semaphore;

	sem_init(&semaphore, 0, 0);
	return sem_wait(&semaphore);
}

/* A pipe of its own, that nobody writes to. */
static int
read_pipe(void)
{
	int ends[2];
	char c;

	return pipe(ends) || read(ends[0], &c, 1) != 1;
}

/* Its standard input, to the end. */
static int
read_input(void)
{
	char c;

	while (read(0, &c, 1) == 1)
		;
	return 0;
}

static int
flood(int stop)
{
	static char block[4096];

	signal(SIGPIPE, SIG_IGN);
	memset(block, 'x', sizeof block);
	while (write(1, block, sizeof block) >= 0 || !stop)
		;
	return 3;
}

/* So many lines on standard error. */
static int
complain(int lines)
{
	for (int i = 0; i < lines; i++)
		fprintf(stderr, "complaint %d\n", i);
	return 5;
}

static int
list(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;

	if (!folder)
		return puts(strerror(errno)), 1;
	while ((entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			puts(entry->d_name);
	closedir(folder);
	return 0;
}

static int
remove_file(const char *path)
{
	return unlink(path) ? puts(strerror(errno)), 1 : 0;
}

static int
wait_how(const char *how)
{
	if (!strcmp(how, "sleep"))
		sleep_on(NULL);
	if (!strcmp(how, "spin"))
		spin_on(NULL);
	if (!strcmp(how, "semaphore"))
		return wait_for_semaphore();
	if (!strcmp(how, "pipe"))
		return read_pipe();
	if (!strcmp(how, "input"))
		return read_input();
	if (!strcmp(how, "poll"))
		return poll(NULL, 0, -1);
	if (!strcmp(how, "write"))
		return flood(0);
	if (!strcmp(how, "left sleeping"))
		return leave_to(sleep_on);
	if (!strcmp(how, "left spinning"))
		return leave_to(spin_on);
	return 99;
}

int
main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "wait"))
		return wait_how(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "list"))
		return list(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "remove"))
		return remove_file(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "complain"))
		return complain(atoi(argv[2]));
	if (argc == 2 && !strcmp(argv[1], "until closed"))
		return flood(1);
	return 98;
}
