//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* statx(2). As stat; the attributes and mount number are the host's. Trusted. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"

/* The host's answer for an open file. struct statx is the kernel's, the same on all architectures. */
static int64_t
statx_host(struct LFILinuxThread *thread, int host, unsigned mask, uint64_t out)
{
	struct statx stx;

	memset(&stx, 0, sizeof stx);
	if (statx(host, "", AT_EMPTY_PATH, mask & STATX_ALL, &stx) < 0)
		return -errno;
	return copy_out(thread, out, &stx, sizeof stx);
}

int64_t
sys_statx(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct Place place;
	struct File *file;
	int64_t result;
	int host;

	if (args[2] & AT_EMPTY_PATH && path_is_empty(thread, args[1])) {
		file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
		if (!file)
			return -EBADF;
		result = statx_host(thread, file->host, (unsigned) args[3], args[4]);
		file_put(file);
		return result;
	}
	result = place_take(thread, (int) args[0], args[1], &place);
	if (result < 0)
		return result;
	host = place_open(&place, O_PATH | (args[2] & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0), 0);
	if (host < 0)
		return host;
	result = statx_host(thread, host, (unsigned) args[3], args[4]);
	close(host);
	return result;
}
