/* SPDX-License-Identifier: MIT */
/*
 * Native results of earlier runs: a text file of lines `key out err [why it is skipped]`, read at the start and
 * appended to. A key stands for all that the result depends on (program, compiler, options, libc), so that lines never
 * become wrong, only useless.
 */
#include "torture.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct entry {
	uint64_t key;
	struct native native;
	struct entry *next;
};

#define TABLE_SIZE (1u << 14)

static struct entry *table[TABLE_SIZE];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int file = -1;

static struct entry **
bucket(uint64_t key)
{
	return &table[key % TABLE_SIZE];
}

static void
enter(uint64_t key, struct native native)
{
	struct entry *entry = must(malloc(sizeof *entry));

	*entry = (struct entry){key, native, *bucket(key)};
	*bucket(key) = entry;
}

static void
line_read(const char *line)
{
	struct native native = {0};
	uint64_t key;
	int end = -1;

	/* A line that an interrupted run cut short says nothing. */
	if (sscanf(line, "%" SCNx64 " %" SCNx64 " %" SCNx64 " ;%n", &key, &native.out, &native.err, &end) != 3 ||
	    end < 0)
		return;
	if (line[end])
		native.skip = must(strdup(line + end));
	enter(key, native);
}

void
cache_open(const char *path)
{
	char *contents = file_read(path, NULL);
	struct words lines = {0};

	if (contents)
		words_split(&lines, contents, "\n");
	for (size_t i = 0; i < lines.n; i++)
		line_read(lines.word[i]);
	words_free(&lines);
	free(contents);
	file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (file < 0)
		die("cannot write %s", path);
}

bool
cache_find(uint64_t key, struct native *native)
{
	struct entry *entry;

	pthread_mutex_lock(&lock);
	for (entry = *bucket(key); entry && entry->key != key; entry = entry->next)
		;
	pthread_mutex_unlock(&lock);
	if (entry)
		*native = entry->native;
	return entry != NULL;
}

void
cache_add(uint64_t key, const struct native *native)
{
	char *line = text("%" PRIx64 " %" PRIx64 " %" PRIx64 " ;%s\n", key, native->out, native->err,
	    native->skip ? native->skip : "");
	ssize_t done;

	pthread_mutex_lock(&lock);
	enter(key, *native);
	done = write(file, line, strlen(line));
	pthread_mutex_unlock(&lock);
	if (done < 0)
		die("cannot write the cache of native results");
	free(line);
}
