//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * nanosleep(2), clock_nanosleep(2): CLOCK_REALTIME and CLOCK_MONOTONIC. A sleep is
 * interrupted by the end of the process only, so the time left is never stored. Trusted.
 */
#include <time.h>

#include "sys.h"

/* Relative times are measured on the monotonic clock, which nobody sets. */
static int64_t
sleep_for(struct LFILinuxThread *thread, const struct timespec *time)
{
	struct timespec deadline;

	if (time->tv_sec < 0 || time->tv_nsec < 0 || time->tv_nsec >= 1000000000)
		return -EINVAL;
	deadline_after(CLOCK_MONOTONIC, time, &deadline);
	return block_sleep(thread, CLOCK_MONOTONIC, &deadline);
}

int64_t
sys_nanosleep(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct timespec time;

	if (copy_in(thread, &time, args[0], sizeof time) < 0)
		return -EFAULT;
	return sleep_for(thread, &time);
}

int64_t
sys_clock_nanosleep(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct timespec time;

	if (args[0] != CLOCK_REALTIME && args[0] != CLOCK_MONOTONIC)
		return -EINVAL;
	if (copy_in(thread, &time, args[2], sizeof time) < 0)
		return -EFAULT;
	if (!(args[1] & TIMER_ABSTIME))
		return sleep_for(thread, &time);
	if (time.tv_sec < 0 || time.tv_nsec < 0 || time.tv_nsec >= 1000000000)
		return -EINVAL;
	return block_sleep(thread, (clockid_t) args[0], &time);
}
