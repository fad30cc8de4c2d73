//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* times(2), getrusage(2): of the host process and thread. Trusted. */
#include <string.h>
#include <sys/resource.h>
#include <sys/times.h>

#include "sys.h"

int64_t
sys_times(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct tms now;
	clock_t ticks = times(&now);

	return copy_out_if(thread, args[0], &now, sizeof now) < 0 ? -EFAULT : ticks;
}

int64_t
sys_getrusage(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct rusage usage;
	int who = (int) args[0];

	if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN && who != RUSAGE_THREAD)
		return -EINVAL;
	memset(&usage, 0, sizeof usage);
	if (who != RUSAGE_CHILDREN)
		getrusage(who, &usage);
	return copy_out(thread, args[1], &usage, sizeof usage);
}
