//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* pread(2): pread64, pwrite64. No difference from Linux; a count beyond the sandbox is cut to it. Trusted. */
#include <unistd.h>

#include "sys.h"

int64_t
sys_pread64(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	uint64_t size = args[2];
	void *buffer = guest_span_cut(thread, args[1], &size);
	int64_t result = -EFAULT;

	if (!file)
		return -EBADF;
	if (buffer)
		result = RETRY(thread, pread(file->host, buffer, size, (off_t) args[3]));
	file_put(file);
	return result;
}

int64_t
sys_pwrite64(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	uint64_t size = args[2];
	void *buffer = guest_span_cut(thread, args[1], &size);
	int64_t result = -EFAULT;

	if (!file)
		return -EBADF;
	if (buffer)
		result = GROW(thread, pwrite(file->host, buffer, size, (off_t) args[3]));
	file_put(file);
	return result;
}
