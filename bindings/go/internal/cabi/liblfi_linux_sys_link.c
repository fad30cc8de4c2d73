//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * link(2): link, linkat. A link is never followed (AT_SYMLINK_FOLLOW gives EINVAL).
 * Between two mappings: EXDEV, so that what is read-only in one cannot be written
 * through the other. Trusted.
 */
#include <unistd.h>

#include "sys.h"

static int64_t
link_at(struct LFILinuxThread *thread, int64_t from_dir, uint64_t from_path, int64_t to_dir, uint64_t to_path)
{
	struct Entry from, to;
	int64_t result = entry_take(thread, from_dir, from_path, &from);

	if (result < 0)
		return result;
	result = entry_take(thread, to_dir, to_path, &to);
	if (result < 0) {
		close(from.parent);
		return result;
	}
	if (from.mount != to.mount)
		result = -EXDEV;
	else if (from.last != PATH_NAME || to.last != PATH_NAME)
		result = -EPERM;
	else if (from.must_dir || to.must_dir)
		result = -ENOTDIR;
	else
		result = host_result(linkat(from.parent, from.name, to.parent, to.name, 0));
	close(to.parent);
	close(from.parent);
	return result;
}

int64_t
sys_link(struct LFILinuxThread *thread, const uint64_t *args)
{
	return link_at(thread, PLACE_CWD, args[0], PLACE_CWD, args[1]);
}

int64_t
sys_linkat(struct LFILinuxThread *thread, const uint64_t *args)
{
	if (args[4])
		return -EINVAL;
	return link_at(thread, (int) args[0], args[1], (int) args[2], args[3]);
}
