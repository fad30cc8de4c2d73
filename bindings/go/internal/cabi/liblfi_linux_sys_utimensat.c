//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * utimensat(2). Files given by the host (0, 1, 2) cannot be changed: EPERM. Trusted.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"

static int64_t
utimens_fd(struct LFILinuxThread *thread, uint64_t fd, const struct timespec *times)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) fd);
	int64_t result = -EPERM;

	if (!file)
		return -EBADF;
	if (!file->readonly)
		result = host_result(futimens(file->host, times));
	file_put(file);
	return result;
}

static int64_t
utimens_path(struct LFILinuxThread *thread, int64_t dirfd, uint64_t path, const struct timespec *times, int open_flags)
{
	struct Place place;
	int64_t result = place_take(thread, dirfd, path, &place);
	int host;

	if (result == 0)
		result = place_writable(&place);
	if (result < 0)
		return result;
	host = place_open(&place, O_PATH | open_flags, 0);
	if (host < 0)
		return host;
	result = host_result(utimensat(host, "", times, AT_EMPTY_PATH));
	close(host);
	return result;
}

int64_t
sys_utimensat(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct timespec times[2];

	if (args[3] & ~(uint64_t) AT_SYMLINK_NOFOLLOW)
		return -EINVAL;
	if (args[2] && copy_in(thread, times, args[2], sizeof times) < 0)
		return -EFAULT;
	if (!args[1])
		return utimens_fd(thread, args[0], args[2] ? times : NULL);
	return utimens_path(
	    thread, (int) args[0], args[1], args[2] ? times : NULL, args[3] & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0);
}
