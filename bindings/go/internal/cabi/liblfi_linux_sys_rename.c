//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * rename(2): rename, renameat, renameat2 (RENAME_NOREPLACE, RENAME_EXCHANGE).
 * Between two mappings: EXDEV, also where both are one file system. Trusted.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"

static int64_t
rename_entries(struct Entry *from, struct Entry *to, unsigned flags)
{
	struct stat st;

	if (from->last != PATH_NAME || to->last != PATH_NAME)
		return -EBUSY;
	if (from->mount != to->mount)
		return -EXDEV;
	/* '/' at the end is for directories only, and the kernel would follow a link there. */
	if ((from->must_dir || to->must_dir) && fstatat(from->parent, from->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    !S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return host_result(renameat2(from->parent, from->name, to->parent, to->name, flags));
}

static int64_t
rename_at(struct LFILinuxThread *thread, int64_t from_dir, uint64_t from_path, int64_t to_dir, uint64_t to_path,
    unsigned flags)
{
	struct Entry from, to;
	int64_t result;

	if (flags & ~(unsigned) (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	result = entry_take(thread, from_dir, from_path, &from);
	if (result < 0)
		return result;
	result = entry_take(thread, to_dir, to_path, &to);
	if (result == 0) {
		result = rename_entries(&from, &to, flags);
		close(to.parent);
	}
	close(from.parent);
	return result;
}

int64_t
sys_rename(struct LFILinuxThread *thread, const uint64_t *args)
{
	return rename_at(thread, PLACE_CWD, args[0], PLACE_CWD, args[1], 0);
}

int64_t
sys_renameat(struct LFILinuxThread *thread, const uint64_t *args)
{
	return rename_at(thread, (int) args[0], args[1], (int) args[2], args[3], 0);
}

int64_t
sys_renameat2(struct LFILinuxThread *thread, const uint64_t *args)
{
	return rename_at(thread, (int) args[0], args[1], (int) args[2], args[3], (unsigned) args[4]);
}
