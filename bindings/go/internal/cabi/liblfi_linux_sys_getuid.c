//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* getuid(2), getgid(2) and their effective forms: the host process's, which files are opened with. Trusted. */
#include <unistd.h>

#include "sys.h"

int64_t
sys_getuid(struct LFILinuxThread *thread, const uint64_t *args)
{
	return getuid();
}

int64_t
sys_getgid(struct LFILinuxThread *thread, const uint64_t *args)
{
	return getgid();
}
