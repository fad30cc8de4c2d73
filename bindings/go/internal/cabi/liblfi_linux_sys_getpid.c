//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* getpid(2), gettid(2): numbers of the emulation, not the host's. The parent is 1; there is one process group. Trusted.
 */
#include "sys.h"

int64_t
sys_getpid(struct LFILinuxThread *thread, const uint64_t *args)
{
	return thread->proc->pid;
}

int64_t
sys_gettid(struct LFILinuxThread *thread, const uint64_t *args)
{
	return thread->tid;
}

int64_t
sys_getppid(struct LFILinuxThread *thread, const uint64_t *args)
{
	return 1;
}
