//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * getdents(2): getdents64. Directories mapped below another mapping do not
 * show in its listings. Trusted.
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "sys.h"

int64_t
sys_getdents64(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	uint64_t size = (uint32_t) args[2];
	void *buffer = guest_span_cut(thread, args[1], &size);
	int64_t result = -EFAULT;

	if (!file)
		return -EBADF;
	if (buffer)
		result = host_result(syscall(SYS_getdents64, file->host, buffer, (unsigned) size));
	file_put(file);
	return result;
}
