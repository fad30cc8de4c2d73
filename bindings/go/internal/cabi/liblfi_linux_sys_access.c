//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * access(2): access, faccessat, faccessat2. What counts is what the host process
 * may do and whether the mapping is read-only. Trusted.
 */
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys.h"

static int64_t
access_at(struct LFILinuxThread *thread, int64_t dirfd, uint64_t path, int mode, int flags)
{
	struct Place place;
	int64_t result;
	int host;

	if (mode & ~(R_OK | W_OK | X_OK) || flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	result = place_take(thread, dirfd, path, &place);
	if (result < 0)
		return result;
	host = place_open(&place, O_PATH | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0), 0);
	if (host < 0)
		return host;
	result = host_result(syscall(SYS_faccessat2, host, "", mode, AT_EMPTY_PATH | (flags & AT_EACCESS)));
	close(host);
	if (result == 0 && mode & W_OK && place.mount)
		result = place_writable(&place);
	return result;
}

int64_t
sys_access(struct LFILinuxThread *thread, const uint64_t *args)
{
	return access_at(thread, PLACE_CWD, args[0], (int) args[1], 0);
}

int64_t
sys_faccessat(struct LFILinuxThread *thread, const uint64_t *args)
{
	return access_at(thread, (int) args[0], args[1], (int) args[2], 0);
}

int64_t
sys_faccessat2(struct LFILinuxThread *thread, const uint64_t *args)
{
	return access_at(thread, (int) args[0], args[1], (int) args[2], (int) args[3]);
}
