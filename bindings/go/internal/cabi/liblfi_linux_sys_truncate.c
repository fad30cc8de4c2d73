//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* truncate(2): truncate, ftruncate. No difference from Linux. Trusted. */
#include <fcntl.h>
#include <unistd.h>

#include "sys.h"

int64_t
sys_truncate(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct Place place;
	int64_t result = place_take(thread, PLACE_CWD, args[0], &place);
	int host;

	if (result < 0)
		return result;
	/* Without O_NONBLOCK a pipe without a reader would be waited for. */
	host = place_open(&place, O_WRONLY | O_NONBLOCK, 0);
	if (host < 0)
		return host;
	result = GROW(thread, ftruncate(host, (off_t) args[1]));
	close(host);
	return result;
}

int64_t
sys_ftruncate(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	int64_t result;

	if (!file)
		return -EBADF;
	result = GROW(thread, ftruncate(file->host, (off_t) args[1]));
	file_put(file);
	return result;
}
