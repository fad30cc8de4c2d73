//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* sysinfo(2). Memory is the sandbox's 4 GiB, all of it free; the time up is the host's. Trusted. */
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "sys.h"

int64_t
sys_sysinfo(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct timespec now;
	struct sysinfo info;

	memset(&info, 0, sizeof info);
	clock_gettime(CLOCK_BOOTTIME, &now);
	info.uptime = now.tv_sec;
	info.totalram = thread->proc->info.size;
	info.freeram = thread->proc->info.size;
	info.procs = 1;
	info.mem_unit = 1;
	return copy_out(thread, args[0], &info, sizeof info);
}
