//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* unlink(2): unlink, unlinkat. The root of a mapping cannot be removed: EBUSY. Trusted. */
#include <fcntl.h>
#include <unistd.h>

#include "sys.h"

int64_t
unlink_entry(struct LFILinuxThread *thread, int64_t dirfd, uint64_t path, int flags)
{
	struct Entry entry;
	int64_t result = entry_take(thread, dirfd, path, &entry);

	if (result < 0)
		return result;
	if (entry.last != PATH_NAME)
		result = flags & AT_REMOVEDIR ? (entry.last == PATH_DOT ? -EINVAL : -ENOTEMPTY) : -EISDIR;
	else if (entry.must_dir && !(flags & AT_REMOVEDIR))
		result = -ENOTDIR;
	else
		result = host_result(unlinkat(entry.parent, entry.name, flags));
	close(entry.parent);
	return result;
}

int64_t
sys_unlink(struct LFILinuxThread *thread, const uint64_t *args)
{
	return unlink_entry(thread, PLACE_CWD, args[0], 0);
}

int64_t
sys_unlinkat(struct LFILinuxThread *thread, const uint64_t *args)
{
	if (args[2] & ~(uint64_t) AT_REMOVEDIR)
		return -EINVAL;
	return unlink_entry(thread, (int) args[0], args[1], (int) args[2]);
}
