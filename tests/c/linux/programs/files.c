/* SPDX-License-Identifier: MIT */
/*
 * What musl makes of files, directories, pipes, time and memory. /w can be
 * written and is the working directory, /ro cannot and holds "file"; in /w lie
 * "link" and "linkdir", which lead to the host's /etc. Says what went wrong.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int wrong;

#define CHECK(what)                                                                            \
	do {                                                                                   \
		errno = 0;                                                                     \
		if (!(what))                                                                   \
			wrong = printf("line %d: %s: %s\n", __LINE__, #what, strerror(errno)); \
	} while (0)

#define FAILS(what, error) CHECK((long) (what) == -1 && errno == (error))

static void
names(void)
{
	char text[PATH_MAX];
	struct stat st;
	FILE *file = fopen("a", "w");

	CHECK(file && fprintf(file, "hello %d\n", 42) == 9 && fclose(file) == 0);
	CHECK(stat("a", &st) == 0 && st.st_size == 9 && S_ISREG(st.st_mode));
	CHECK(mkdir("d", 0755) == 0);
	FAILS(mkdir("d", 0755), EEXIST);
	CHECK(chdir("d") == 0 && getcwd(text, sizeof text) && strcmp(text, "/w/d") == 0);
	CHECK(rename("../a", "b") == 0 && symlink("b", "l") == 0 && readlink("l", text, sizeof text) == 1);
	CHECK(lstat("l", &st) == 0 && S_ISLNK(st.st_mode));
	CHECK(stat("l", &st) == 0 && S_ISREG(st.st_mode));
	CHECK(realpath("l", text) && strcmp(text, "/w/d/b") == 0);
	CHECK(link("b", "c") == 0 && unlink("c") == 0);
	FAILS(unlink("c"), ENOENT);
	CHECK(access("b", R_OK | W_OK) == 0);
	FAILS(access("c", F_OK), ENOENT);
}

static void
contents(void)
{
	struct timespec times[2] = {{1000, 0}, {2000, 5}};
	char text[16], more[16];
	struct iovec vector[2] = {{text, 3}, {more, sizeof more}};
	struct stat st;
	int fd = open("b", O_RDWR);
	char *map;

	CHECK(lseek(fd, 0, SEEK_END) == 9);
	CHECK(pread(fd, text, 5, 0) == 5 && memcmp(text, "hello", 5) == 0 && pwrite(fd, "J", 1, 0) == 1);
	CHECK(lseek(fd, 0, SEEK_SET) == 0 && readv(fd, vector, 2) == 9 && memcmp(more, "lo 42\n", 6) == 0);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED && map[0] == 'J');
	map[0] = 'Y';
	CHECK(pread(fd, text, 1, 0) == 1 && text[0] == 'Y' && munmap(map, 4096) == 0);
	CHECK(ftruncate(fd, 3) == 0 && fstat(fd, &st) == 0 && st.st_size == 3);
	CHECK(truncate("b", 5) == 0 && chmod("b", 0600) == 0 && stat("b", &st) == 0 && (st.st_mode & 07777) == 0600);
	CHECK(utimensat(AT_FDCWD, "b", times, 0) == 0 && stat("b", &st) == 0 && st.st_mtim.tv_sec == 2000);
	CHECK(futimens(fd, times) == 0 && fsync(fd) == 0 && fdatasync(fd) == 0);
	CHECK(dup2(fd, 100) == 100 && close(100) == 0 && fcntl(fd, F_DUPFD, 50) == 50 && close(50) == 0 &&
	      close(fd) == 0);
	FAILS(close(fd), EBADF);
}

static void
directories(void)
{
	DIR *dir = opendir(".");
	int entries = 0;

	while (dir && readdir(dir))
		entries++;
	CHECK(entries == 4);
	CHECK(dir && fchdir(dirfd(dir)) == 0 && closedir(dir) == 0);
	FAILS(rmdir("/w/d"), ENOTEMPTY);
	CHECK(unlink("l") == 0 && unlink("b") == 0 && chdir("..") == 0 && rmdir("d") == 0);
}

static void
borders(void)
{
	FAILS(open("/etc/passwd", O_RDONLY), ENOENT);
	FAILS(open("../../etc/passwd", O_RDONLY), ENOENT);
	FAILS(open("link", O_RDONLY), ENOENT);
	FAILS(open("linkdir/passwd", O_RDONLY), ENOENT);
	CHECK(open("/ro/file", O_RDONLY) >= 0);
	FAILS(open("/ro/file", O_WRONLY), EROFS);
	FAILS(open("/ro/new", O_WRONLY | O_CREAT, 0644), EROFS);
	FAILS(unlink("/ro/file"), EROFS);
	CHECK(open("/dev/null", O_RDWR) >= 0);
	FAILS(read(0, (void *) -8, 4), EFAULT);
	FAILS(write(1, (void *) 8, 4), EFAULT);
}

static void
waiting(void)
{
	struct timeval second = {1, 0};
	struct timespec before, after;
	struct pollfd entry;
	fd_set set;
	char byte;
	int ends[2];

	CHECK(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
	entry = (struct pollfd){ends[0], POLLIN, 0};
	CHECK(poll(&entry, 1, 1000) == 1 && entry.revents == POLLIN);
	FD_ZERO(&set);
	FD_SET(ends[0], &set);
	CHECK(select(ends[0] + 1, &set, NULL, NULL, &second) == 1 && FD_ISSET(ends[0], &set));
	CHECK(read(ends[0], &byte, 1) == 1 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
	FAILS(read(ends[0], &byte, 1), EAGAIN);
	CHECK(poll(&entry, 1, 10) == 0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	CHECK(usleep(20000) == 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >= 20000000);
}

static void
memory(void)
{
	char *big = malloc(10 << 20), *map;

	memset(big, 7, 10 << 20);
	big = realloc(big, 40 << 20);
	CHECK(big && big[(10 << 20) - 1] == 7 && big[(40 << 20) - 1] == 0);
	big = realloc(big, 1 << 20);
	CHECK(big && big[100] == 7);
	free(big);
	CHECK(!malloc((size_t) 5 << 30));
	FAILS(mmap((void *) 4096, 4096, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
	FAILS(mmap(NULL, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EACCES);
	map = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(map, 1, 16384);
	CHECK(madvise(map + 4096, 8192, MADV_DONTNEED) == 0);
	CHECK(map[0] == 1 && map[4096] == 0 && map[12287] == 0 && map[12288] == 1);
}

int
main(void)
{
	names();
	contents();
	directories();
	borders();
	waiting();
	memory();
	puts(wrong ? "wrong" : "all is well");
	return wrong != 0;
}
