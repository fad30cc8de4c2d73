//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* fsync(2): fsync, fdatasync. No difference from Linux. Trusted. */
#include <unistd.h>

#include "sys.h"

int64_t
sys_fsync(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	int64_t result;

	if (!file)
		return -EBADF;
	result = host_result(fsync(file->host));
	file_put(file);
	return result;
}

int64_t
sys_fdatasync(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	int64_t result;

	if (!file)
		return -EBADF;
	result = host_result(fdatasync(file->host));
	file_put(file);
	return result;
}
