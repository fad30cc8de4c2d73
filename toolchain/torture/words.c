/* SPDX-License-Identifier: MIT */
/*
 * Lists of words, strings and files for the torture runner. Running out of memory ends the runner: it has nothing to
 * give up.
 */
#include "torture.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Noreturn void
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("torture: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

void *
must(void *memory)
{
	if (!memory)
		die("out of memory");
	return memory;
}

char *
text(const char *format, ...)
{
	va_list args;
	char *s;

	va_start(args, format);
	if (vasprintf(&s, format, args) < 0)
		die("out of memory");
	va_end(args);
	return s;
}

void
words_add(struct words *w, const char *word)
{
	w->word = must(realloc(w->word, (w->n + 2) * sizeof *w->word));
	w->word[w->n++] = must(strdup(word));
	w->word[w->n] = NULL;
}

void
words_split(struct words *w, const char *line, const char *separators)
{
	char *copy = must(strdup(line)), *rest, *word;

	for (word = strtok_r(copy, separators, &rest); word; word = strtok_r(NULL, separators, &rest))
		words_add(w, word);
	free(copy);
}

void
words_append(struct words *w, const struct words *more)
{
	for (size_t i = 0; i < more->n; i++)
		words_add(w, more->word[i]);
}

void
words_free(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->word[i]);
	free(w->word);
	*w = (struct words){0};
}

static bool
word_is_plain(const char *word)
{
	return *word &&
	       strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./,:@%") == strlen(word);
}

char *
words_shell(const struct words *w)
{
	char *line = must(strdup("")), *longer;

	for (size_t i = 0; i < w->n; i++) {
		const char *quote = word_is_plain(w->word[i]) ? "" : "'";

		longer = text("%s%s%s%s%s", line, i ? " " : "", quote, w->word[i], quote);
		free(line);
		line = longer;
	}
	return line;
}

char *
file_read(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *contents;
	size_t done = 0;
	ssize_t got;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0)
		st.st_size = 0;
	contents = must(malloc((size_t) st.st_size + 1));
	while (done < (size_t) st.st_size && (got = read(fd, contents + done, (size_t) st.st_size - done)) > 0)
		done += (size_t) got;
	close(fd);
	contents[done] = '\0';
	if (size)
		*size = done;
	return contents;
}

/* FNV-1a. */
uint64_t
hash_bytes(uint64_t hash, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * 0x100000001b3u;
	return hash;
}

uint64_t
hash_text(uint64_t hash, const char *s)
{
	return hash_bytes(hash, s, strlen(s) + 1);
}
