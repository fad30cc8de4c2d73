/* SPDX-License-Identifier: MIT */
/*
 * Linked into a library whose guards guards.py can remove. LFI_MUTANT=N removes guard N; LFI_MUTANTS=FILE is a file
 * with a byte for each guard, shared with children and kept by a crash.
 */
#include "mutant.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUARDS_MAX 65536

static unsigned char nowhere[GUARDS_MAX];
int mutant_removed;
volatile unsigned char *mutant_was_true = nowhere;

__attribute__((constructor)) static void
start(void)
{
	const char *removed = getenv("LFI_MUTANT"), *file = getenv("LFI_MUTANTS");
	int fd = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
	void *shared = fd < 0 ? MAP_FAILED : mmap(NULL, GUARDS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (shared != MAP_FAILED)
		mutant_was_true = shared;
	if (fd >= 0)
		close(fd);
	mutant_removed = removed ? atoi(removed) : 0;
}
