/* SPDX-License-Identifier: MIT */
/*
 * From paths in the sandbox to host files. Trusted: see path.c.
 */
#ifndef LINUX_PATH_H
#define LINUX_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct LFILinuxThread;

/* A host directory that the sandbox sees at `box`. */
struct Mount {
	char *box; /* normalised, "" for the root, else no '/' at its end */
	size_t length;
	int host; /* O_PATH */
	bool readonly;
};

struct MountTable {
	struct Mount *mounts;
	size_t count;
};

/* Opens the host directories of "<sandbox-path>=<host-path>[:ro]", NULL-terminated. 0, or -1 with the error set. */
int mounts_open(struct MountTable *table, const char *const *maps);
void mounts_close(struct MountTable *table);

/* What a path's last component was before it was normalised. */
enum PathLast { PATH_NAME, PATH_DOT, PATH_DOTDOT };

/*
 * Joins `path` to `cwd` unless it is absolute, and takes out "//", "." and
 * "..". `out` gets an absolute path, "/" or without '/' at its end.
 * 0, -ENOENT for an empty path, -ENAMETOOLONG.
 */
int path_normalise(const char *cwd, const char *path, char out[PATH_MAX]);

/* A path that was looked up in the mounts. */
struct Place {
	char path[PATH_MAX];       /* in the sandbox, normalised */
	const struct Mount *mount; /* NULL for a built-in device */
	const char *rest;          /* below the mount, "" for its root; of a device: its host path */
	bool must_dir;             /* it was written with '/' at the end */
	enum PathLast last;
};

/* The directory that *at calls give as AT_FDCWD. */
enum { PLACE_CWD = -100 };

/* Reads the program's path and looks it up. 0, -EFAULT, -ENOENT, -ENAMETOOLONG, -EBADF, -ENOTDIR. */
int place_take(struct LFILinuxThread *thread, int64_t dirfd, uint64_t path, struct Place *place);

/* As place_take, for a path in host memory that is relative to the working directory. */
int place_of(struct LFILinuxThread *thread, const char *path, struct Place *place);

/* Opens what is there, close-on-exec. A host descriptor, or -errno. */
int place_open(const struct Place *place, int flags, mode_t mode);

/* Opens the directory of the last component, for calls that name an entry. Its host descriptor and the name, or -errno.
 */
int place_parent(const struct Place *place, char name[NAME_MAX + 1]);

/* -EROFS when the place cannot be changed, else 0. */
int place_writable(const struct Place *place);

#endif
