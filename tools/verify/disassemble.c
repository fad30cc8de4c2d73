/* SPDX-License-Identifier: MIT */
/*
 * The words of a disassembler for a few bytes, for --disassemble-violations. It is the system's objdump: what lfi
 * trusts has none. Where there is no objdump there are no words.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "verify.h"

extern char **environ;

/* objdump over the file `code`; what it writes goes to `out`. The process, or -1. */
static pid_t
spawn(int code, int out, uint64_t address)
{
	char adjust[48];
	const char *const argv[] = {
	    "objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "-z", adjust, "/dev/fd/3", NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int err;

	snprintf(adjust, sizeof adjust, "--adjust-vma=0x%llx", (unsigned long long) address);
	if (posix_spawn_file_actions_init(&actions) != 0)
		return -1;
	err = posix_spawn_file_actions_adddup2(&actions, out, 1) ||
	      posix_spawn_file_actions_adddup2(&actions, code, 3) ||
	      posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) ||
	      posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0) ||
	      posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *) argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return err ? -1 : pid;
}

/* The bytes as a file. */
static int
code_file(const uint8_t *code, size_t size)
{
	int fd = memfd_create("lfi-verify", MFD_CLOEXEC), high;

	if (fd < 0)
		return -1;
	/* Not where the child has its own. */
	high = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	close(fd);
	if (high >= 0 && write(high, code, size) == (ssize_t) size)
		return high;
	if (high >= 0)
		close(high);
	return -1;
}

/* The lines that begin with an address: what is in front of them is about the file. */
static char *
keep_lines(const char *text)
{
	char *kept = calloc(1, strlen(text) + 1), *end = kept;

	for (const char *line = text; kept && *line;) {
		size_t length = strcspn(line, "\n");
		size_t blank = strspn(line, " "), hex = strspn(line + blank, "0123456789abcdef");

		if (hex > 0 && line[blank + hex] == ':') {
			memcpy(end, line, length);
			end += length;
			*end++ = '\n';
		}
		line += length + (line[length] == '\n');
	}
	return kept;
}

static char *
read_text(int fd)
{
	char text[8192];
	size_t size = 0;
	ssize_t got;

	while (size < sizeof text - 1 && (got = read(fd, text + size, sizeof text - 1 - size)) > 0)
		size += (size_t) got;
	text[size] = 0;
	return keep_lines(text);
}

char *
disassemble(const uint8_t *code, size_t size, uint64_t address)
{
	int file = code_file(code, size), ends[2], status;
	char *text = NULL;
	pid_t pid;

	if (file < 0)
		return NULL;
	if (pipe2(ends, O_CLOEXEC) < 0) {
		close(file);
		return NULL;
	}
	pid = spawn(file, ends[1], address);
	close(file);
	close(ends[1]);
	if (pid >= 0) {
		text = read_text(ends[0]);
		if (waitpid(pid, &status, 0) < 0 || status != 0) {
			free(text);
			text = NULL;
		}
	}
	close(ends[0]);
	return text;
}
