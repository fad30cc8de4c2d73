//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * symlink(2): symlink, symlinkat. Any target may be written; where it leads is
 * decided when it is followed. Trusted.
 */
#include <unistd.h>

#include "sys.h"

static int64_t
symlink_at(struct LFILinuxThread *thread, uint64_t target_path, int64_t dirfd, uint64_t path)
{
	char target[PATH_MAX];
	struct Entry entry;
	int64_t result = copy_in_path(thread, target, target_path);

	if (result < 0)
		return result;
	result = entry_take(thread, dirfd, path, &entry);
	if (result < 0)
		return result;
	result = entry.must_dir ? -ENOENT : host_result(symlinkat(target, entry.parent, entry.name));
	close(entry.parent);
	return result;
}

int64_t
sys_symlink(struct LFILinuxThread *thread, const uint64_t *args)
{
	return symlink_at(thread, args[0], PLACE_CWD, args[1]);
}

int64_t
sys_symlinkat(struct LFILinuxThread *thread, const uint64_t *args)
{
	return symlink_at(thread, args[0], (int) args[1], args[2]);
}
