//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* readlink(2): readlink, readlinkat (with a path). No difference from Linux. Trusted. */
#include <fcntl.h>
#include <unistd.h>

#include "sys.h"

static int64_t
readlink_at(struct LFILinuxThread *thread, int64_t dirfd, uint64_t path, uint64_t out, int64_t size)
{
	char target[PATH_MAX];
	struct Place place;
	int64_t result;
	int host;

	if (size <= 0)
		return -EINVAL;
	result = place_take(thread, dirfd, path, &place);
	if (result < 0)
		return result;
	host = place_open(&place, O_PATH | O_NOFOLLOW, 0);
	if (host < 0)
		return host;
	result = host_result(readlinkat(host, "", target, size < PATH_MAX ? (size_t) size : PATH_MAX));
	close(host);
	/* For what is no link the kernel says ENOENT when the path is empty. */
	if (result < 0)
		return result == -ENOENT ? -EINVAL : result;
	return copy_out(thread, out, target, (size_t) result) < 0 ? -EFAULT : result;
}

int64_t
sys_readlink(struct LFILinuxThread *thread, const uint64_t *args)
{
	return readlink_at(thread, PLACE_CWD, args[0], args[1], (int) args[2]);
}

int64_t
sys_readlinkat(struct LFILinuxThread *thread, const uint64_t *args)
{
	return readlink_at(thread, (int) args[0], args[1], args[2], (int) args[3]);
}
