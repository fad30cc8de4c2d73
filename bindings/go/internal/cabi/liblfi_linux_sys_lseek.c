//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* lseek(2). No difference from Linux. Trusted. */
#include <unistd.h>

#include "sys.h"

int64_t
sys_lseek(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	int64_t result;

	if (!file)
		return -EBADF;
	result = host_result(lseek(file->host, (off_t) args[1], (int) args[2]));
	file_put(file);
	return result;
}
