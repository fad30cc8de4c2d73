//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* gettimeofday(2), time(2). The time zone is UTC. Trusted. */
#include <sys/time.h>
#include <time.h>

#include "sys.h"

int64_t
sys_gettimeofday(struct LFILinuxThread *thread, const uint64_t *args)
{
	static const int zone[2] = {0, 0};
	struct timeval now;

	gettimeofday(&now, NULL);
	if (copy_out_if(thread, args[0], &now, sizeof now) < 0)
		return -EFAULT;
	return copy_out_if(thread, args[1], zone, sizeof zone);
}

int64_t
sys_time(struct LFILinuxThread *thread, const uint64_t *args)
{
	time_t now = time(NULL);

	return copy_out_if(thread, args[0], &now, sizeof now) < 0 ? -EFAULT : now;
}
