//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * chmod(2): chmod, fchmod, fchmodat. Set-user-ID and set-group-ID bits are dropped;
 * files given by the host (0, 1, 2) cannot be changed: EPERM. Trusted.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"

enum { MODE_MASK = 01777 };

/* A file open with O_PATH can be changed by its name below /proc only. */
static int64_t
chmod_host(int host, mode_t mode)
{
	char name[64];

	snprintf(name, sizeof name, "/proc/self/fd/%d", host);
	return host_result(chmod(name, mode & MODE_MASK));
}

static int64_t
chmod_at(struct LFILinuxThread *thread, int64_t dirfd, uint64_t path, mode_t mode)
{
	struct Place place;
	int64_t result = place_take(thread, dirfd, path, &place);
	int host;

	if (result == 0)
		result = place_writable(&place);
	if (result < 0)
		return result;
	host = place_open(&place, O_PATH, 0);
	if (host < 0)
		return host;
	result = chmod_host(host, mode);
	close(host);
	return result;
}

int64_t
sys_chmod(struct LFILinuxThread *thread, const uint64_t *args)
{
	return chmod_at(thread, PLACE_CWD, args[0], (mode_t) args[1]);
}

int64_t
sys_fchmodat(struct LFILinuxThread *thread, const uint64_t *args)
{
	return chmod_at(thread, (int) args[0], args[1], (mode_t) args[2]);
}

int64_t
sys_fchmod(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	int64_t result = -EPERM;

	if (!file)
		return -EBADF;
	if (!file->readonly)
		result = host_result(fchmod(file->host, (mode_t) args[1] & MODE_MASK));
	file_put(file);
	return result;
}
