//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* clock_gettime(2): clock_gettime, clock_getres. Clocks of descriptors and of other processes: EINVAL. Trusted. */
#include <time.h>

#include "sys.h"

bool
clock_is_known(uint64_t clock)
{
	return clock <= CLOCK_BOOTTIME;
}

int64_t
sys_clock_gettime(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct timespec now;

	if (!clock_is_known(args[0]) || clock_gettime((clockid_t) args[0], &now) < 0)
		return -EINVAL;
	return copy_out(thread, args[1], &now, sizeof now);
}

int64_t
sys_clock_getres(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct timespec resolution;

	if (!clock_is_known(args[0]) || clock_getres((clockid_t) args[0], &resolution) < 0)
		return -EINVAL;
	return copy_out_if(thread, args[1], &resolution, sizeof resolution);
}
