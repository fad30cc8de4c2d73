//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* sched_yield(2), sched_getaffinity(2) (the host thread's; others of the process likewise). Trusted. */
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys.h"

int64_t
sys_sched_yield(struct LFILinuxThread *thread, const uint64_t *args)
{
	sched_yield();
	return 0;
}

int64_t
sys_sched_getaffinity(struct LFILinuxThread *thread, const uint64_t *args)
{
	unsigned char mask[128] = {0};
	int64_t size = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);

	if (size < 0)
		return -errno;
	if (args[1] < (uint64_t) size || args[1] % sizeof(uint64_t))
		return -EINVAL;
	return copy_out(thread, args[2], mask, (size_t) size) < 0 ? -EFAULT : size;
}
