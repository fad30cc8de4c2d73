//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* read(2). No difference from Linux; a count beyond the sandbox is cut to it. Trusted. */
#include "sys.h"

int64_t
sys_read(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	uint64_t size = args[2];
	struct iovec span = {guest_span_cut(thread, args[1], &size), 0};
	int64_t result = -EFAULT;

	if (!file)
		return -EBADF;
	span.iov_len = size;
	if (span.iov_base)
		result = file_read(thread, file, &span, 1);
	file_put(file);
	return result;
}
