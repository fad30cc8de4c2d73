/* SPDX-License-Identifier: MIT */
/* Whether tests can compile programs: not in a build without a sysroot (LFI_SYSROOT=OFF). */
#ifndef TEST_LINUX_SYSROOT_TEST_H
#define TEST_LINUX_SYSROOT_TEST_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Says so when it is not. `libc`: the C library that it takes, in sysroot/lib. */
static inline bool
can_compile(const char *libc)
{
	char path[4096] = "";

	if (getenv("LFI_BIN") && getenv("LFI_BUILD") && getenv("LFI_SOURCE"))
		snprintf(path, sizeof path, "%s/sysroot/lib/%s", getenv("LFI_BUILD"), libc);
	if (access(path, R_OK) == 0)
		return true;
	printf("skipped: there is no sysroot/lib/%s in this build (LFI_SYSROOT=OFF?), so that no program can be compiled\n", libc);
	return false;
}

#endif
