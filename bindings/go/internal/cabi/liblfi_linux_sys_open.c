//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * open(2): open, openat, creat. Differences from Linux: O_TMPFILE is refused;
 * O_DIRECT, O_ASYNC, O_NOATIME have no effect; set-user-ID and set-group-ID
 * bits of a mode are dropped; a terminal never becomes the controlling one.
 * Trusted.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "sys.h"

/* What a host descriptor that was just opened is. */
static enum FileKind
kind_of(int host)
{
	struct stat st;

	if (fstat(host, &st) < 0)
		return FILE_PIPE;
	return S_ISDIR(st.st_mode) ? FILE_DIR : S_ISREG(st.st_mode) ? FILE_PLAIN : FILE_PIPE;
}

static int64_t
open_at(struct LFILinuxThread *thread, int64_t dirfd, uint64_t path, int flags, mode_t mode)
{
	struct Place place;
	struct File *file;
	enum FileKind kind;
	int result = place_take(thread, dirfd, path, &place);

	if (result < 0)
		return result;
	if ((flags & O_TMPFILE) == O_TMPFILE)
		return -EOPNOTSUPP;
	if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY) && !(flags & O_PATH))
		return -EINVAL;
	result = place_open(&place, flags, mode & ~atomic_load(&thread->proc->umask));
	if (result < 0)
		return result;
	kind = kind_of(result);
	/* Nobody but the program has this open file: waiting is done by block.c. Without effect on O_PATH. */
	if (kind == FILE_PIPE)
		fcntl(result, F_SETFL, O_NONBLOCK | (flags & O_APPEND));
	file = file_new(result, kind, place_writable(&place) < 0, flags & (O_NONBLOCK | O_APPEND),
	    kind == FILE_DIR ? place.path : NULL);
	return file ? fdtable_add(&thread->proc->fds, file, 0, flags & O_CLOEXEC) : -ENOMEM;
}

int64_t
sys_open(struct LFILinuxThread *thread, const uint64_t *args)
{
	return open_at(thread, PLACE_CWD, args[0], (int) args[1], (mode_t) args[2]);
}

int64_t
sys_openat(struct LFILinuxThread *thread, const uint64_t *args)
{
	return open_at(thread, (int) args[0], args[1], (int) args[2], (mode_t) args[3]);
}

int64_t
sys_creat(struct LFILinuxThread *thread, const uint64_t *args)
{
	return open_at(thread, PLACE_CWD, args[0], O_CREAT | O_WRONLY | O_TRUNC, (mode_t) args[1]);
}
