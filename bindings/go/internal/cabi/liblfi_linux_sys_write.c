//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * write(2). A count beyond the sandbox is cut to it. Writing to a pipe without
 * a reader never raises SIGPIPE in the host. Trusted.
 */
#include "sys.h"

int64_t
sys_write(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	struct iovec span = {NULL, args[2]};
	int64_t result = -EFAULT;

	if (!file)
		return -EBADF;
	span.iov_len = args[2];
	span.iov_base = guest_span_cut(thread, args[1], &span.iov_len);
	if (span.iov_base)
		result = file_write(thread, file, &span, 1);
	file_put(file);
	return result;
}
