//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * stat(2): stat, lstat, fstat, newfstatat. Owner, device and inode numbers are
 * the host's. Trusted.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"

static int64_t
stat_host(struct LFILinuxThread *thread, int host, uint64_t out)
{
	struct AbiStat guest;
	struct stat st;

	if (fstat(host, &st) < 0)
		return -errno;
	abi_stat(&guest, &st);
	return copy_out(thread, out, &guest, sizeof guest);
}

static int64_t
stat_fd(struct LFILinuxThread *thread, uint64_t fd, uint64_t out)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) fd);
	int64_t result;

	if (!file)
		return -EBADF;
	result = stat_host(thread, file->host, out);
	file_put(file);
	return result;
}

static int64_t
stat_path(struct LFILinuxThread *thread, int64_t dirfd, uint64_t path, uint64_t out, int open_flags)
{
	struct Place place;
	int64_t result = place_take(thread, dirfd, path, &place);
	int host;

	if (result < 0)
		return result;
	host = place_open(&place, O_PATH | open_flags, 0);
	if (host < 0)
		return host;
	result = stat_host(thread, host, out);
	close(host);
	return result;
}

int64_t
sys_stat(struct LFILinuxThread *thread, const uint64_t *args)
{
	return stat_path(thread, PLACE_CWD, args[0], args[1], 0);
}

int64_t
sys_lstat(struct LFILinuxThread *thread, const uint64_t *args)
{
	return stat_path(thread, PLACE_CWD, args[0], args[1], O_NOFOLLOW);
}

int64_t
sys_fstat(struct LFILinuxThread *thread, const uint64_t *args)
{
	return stat_fd(thread, args[0], args[1]);
}

int64_t
sys_newfstatat(struct LFILinuxThread *thread, const uint64_t *args)
{
	if (args[3] & ~(uint64_t) (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
		return -EINVAL;
	if (args[3] & AT_EMPTY_PATH && path_is_empty(thread, args[1]))
		return stat_fd(thread, args[0], args[2]);
	return stat_path(thread, (int) args[0], args[1], args[2], args[3] & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0);
}
