/* SPDX-License-Identifier: MIT */
/*
 * Child processes, temporary files, and an orderly end whatever happens. A
 * signal is passed on to the running child; when that has ended, files are
 * removed and the signal ends lfi-cc too. Part of lfi-cc; not trusted.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cc.h"

/* ---- Memory ---- */

struct block {
	struct block *next;
	max_align_t data[];
};

static struct block *blocks;

void *
keep_alloc(size_t size)
{
	struct block *block = calloc(1, sizeof *block + size);

	if (!block) {
		say_error("out of memory");
		run_finish();
		exit(1);
	}
	block->next = blocks;
	blocks = block;
	return block->data;
}

char *
keep_format(const char *format, ...)
{
	va_list args;
	char *text;
	int size;

	va_start(args, format);
	size = vsnprintf(NULL, 0, format, args);
	va_end(args);
	text = keep_alloc((size_t) size + 1);
	va_start(args, format);
	vsnprintf(text, (size_t) size + 1, format, args);
	va_end(args);
	return text;
}

void
keep_free_all(void)
{
	while (blocks) {
		struct block *next = blocks->next;

		free(blocks);
		blocks = next;
	}
}

void
strings_add(struct strings *list, const char *item)
{
	if (list->count + 1 >= list->room) {
		size_t room = list->room ? 2 * list->room : 16;
		const char **bigger = keep_alloc(room * sizeof *bigger);

		if (list->count)
			memcpy(bigger, list->item, list->count * sizeof *bigger);
		list->item = bigger;
		list->room = room;
	}
	list->item[list->count++] = item;
	list->item[list->count] = NULL;
}

void
strings_add_all(struct strings *list, const struct strings *more)
{
	for (size_t i = 0; i < more->count; i++)
		strings_add(list, more->item[i]);
}

void
say_error(const char *format, ...)
{
	va_list args;

	fputs("lfi-cc: error: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* ---- Temporary files and outputs ---- */

static char temp_dir[4096];
static const char *open_output;

const char *
run_temp(const char *name)
{
	if (!temp_dir[0]) {
		const char *parent = getenv("TMPDIR");

		snprintf(temp_dir, sizeof temp_dir, "%s/lfi-cc-XXXXXX", parent && *parent ? parent : "/tmp");
		if (!mkdtemp(temp_dir)) {
			say_error("cannot make a temporary directory %s: %s", temp_dir, strerror(errno));
			temp_dir[0] = 0;
			return NULL;
		}
	}
	return keep_format("%s/%s", temp_dir, name);
}

void
run_output_begin(const char *path)
{
	open_output = path;
}

void
run_output_done(bool good)
{
	struct stat st;

	if (!good && open_output && lstat(open_output, &st) == 0 && S_ISREG(st.st_mode))
		unlink(open_output);
	open_output = NULL;
}

static void
temp_remove(void)
{
	DIR *dir;
	struct dirent *entry;

	if (!temp_dir[0])
		return;
	dir = opendir(temp_dir);
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	rmdir(temp_dir);
	temp_dir[0] = 0;
}

/* ---- Signals ---- */

static volatile sig_atomic_t stop_signal;

static void
note_signal(int number)
{
	stop_signal = number;
}

void
run_init(void)
{
	static const int numbers[] = {SIGHUP, SIGINT, SIGTERM};

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		struct sigaction action = {0}, old;

		action.sa_handler = note_signal; /* no SA_RESTART: waitpid returns */
		sigemptyset(&action.sa_mask);
		sigaction(numbers[i], NULL, &old);
		if (old.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
	}
}

bool
run_interrupted(void)
{
	return stop_signal != 0;
}

void
run_finish(void)
{
	run_output_done(false);
	temp_remove();
	if (stop_signal) {
		signal(stop_signal, SIG_DFL);
		raise(stop_signal);
	}
}

/* ---- Commands ---- */

/* As gcc -### prints: words that a shell would not take as they are stand in quotes. */
static void
print_command(const struct strings *command)
{
	for (size_t i = 0; i < command->count; i++) {
		const char *word = command->item[i];

		fputc(' ', stderr);
		if (*word &&
		    word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-./=,:%@")] ==
			0) {
			fputs(word, stderr);
			continue;
		}
		fputc('"', stderr);
		for (; *word; word++) {
			if (strchr("\"\\$`", *word))
				fputc('\\', stderr);
			fputc(*word, stderr);
		}
		fputc('"', stderr);
	}
	fputc('\n', stderr);
}

static void
become(const struct strings *command, const int *streams)
{
	for (int i = 0; i < 3; i++) {
		if (streams[i] < 0 || dup2(streams[i], i) >= 0)
			continue;
		say_error("cannot redirect: %s", strerror(errno));
		_exit(1);
	}
	execvp(command->item[0], (char **) command->item);
	say_error("cannot run %s: %s", command->item[0], strerror(errno));
	_exit(1);
}

int
run_command(const struct cc *cc, const struct strings *command, int in, int out)
{
	return run_command_all(cc, command, in, out, -1);
}

int
run_command_all(const struct cc *cc, const struct strings *command, int in, int out, int err)
{
	pid_t child;
	int status;

	if (cc->print_only || cc->verbose)
		print_command(command);
	if (cc->print_only)
		return 0;
	if (stop_signal)
		return 1;
	fflush(NULL);
	child = fork();
	if (child < 0) {
		say_error("cannot start %s: %s", command->item[0], strerror(errno));
		return 1;
	}
	if (child == 0)
		become(command, (int[]){in, out, err});
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR || (stop_signal && kill(child, stop_signal) < 0))
			break;
	if (stop_signal)
		return 1;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	say_error("%s was ended by signal %d (%s)", command->item[0], WTERMSIG(status), strsignal(WTERMSIG(status)));
	return 4;
}
