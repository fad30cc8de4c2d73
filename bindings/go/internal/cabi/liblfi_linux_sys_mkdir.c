//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* mkdir(2): mkdir, mkdirat. Set-user-ID and set-group-ID bits are dropped. Trusted. */
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"

static int64_t
mkdir_at(struct LFILinuxThread *thread, int64_t dirfd, uint64_t path, mode_t mode)
{
	struct Entry entry;
	int64_t result = entry_take(thread, dirfd, path, &entry);

	if (result == -EBUSY)
		return -EEXIST;
	if (result < 0)
		return result;
	result = host_result(mkdirat(entry.parent, entry.name, mode & 01777 & ~atomic_load(&thread->proc->umask)));
	close(entry.parent);
	return result;
}

int64_t
sys_mkdir(struct LFILinuxThread *thread, const uint64_t *args)
{
	return mkdir_at(thread, PLACE_CWD, args[0], (mode_t) args[1]);
}

int64_t
sys_mkdirat(struct LFILinuxThread *thread, const uint64_t *args)
{
	return mkdir_at(thread, (int) args[0], args[1], (mode_t) args[2]);
}
