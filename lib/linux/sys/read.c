/* SPDX-License-Identifier: MIT */
/* read(2). No difference from Linux; a count beyond the sandbox is cut to it. Trusted. */
#include <unistd.h>

#include "sys.h"

int64_t
sys_read(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	uint64_t size = args[2];
	void *buffer = guest_span_cut(thread, args[1], &size);
	int64_t result = -EFAULT;

	if (!file)
		return -EBADF;
	if (buffer) {
		result = block_file(thread, file, POLLIN);
		if (result == 0)
			result = RETRY(thread, read(file->host, buffer, size));
	}
	file_put(file);
	return result;
}
