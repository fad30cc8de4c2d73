//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * From paths in the sandbox to host files. Used by all calls that take a
 * path. Trusted.
 *
 *   I1  A host file is reached from a mount's directory only, by openat2 with RESOLVE_IN_ROOT: the kernel keeps "..",
 *       absolute links and races with renames inside that directory, and follows no magic link.
 *   I2  Calls that change a directory's entries get the parent by I1 and a name without '/' that is not "." or "..";
 *       none of them follows a link at that name.
 *   I3  Nothing on a proc file system is opened: /proc/self is the host, its memory included.
 *   I4  Open flags are those of a known list.
 *   I5  A read-only mount answers EROFS to whatever changes it.
 *
 * Differences from Linux: ".." is taken out before links are followed; the target of an absolute link is looked
 * up in the mount that holds the link.
 */
#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core.h"
#include "error.h"
#include "guest.h"

/* The kernel answers EAGAIN when a rename elsewhere disturbs its check of "..". */
enum { RESOLVE_ATTEMPTS = 128 };

/* Devices that are there without a mapping: harmless, and programs count on them. */
static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};

/* I4. O_DIRECT, O_ASYNC, O_TMPFILE and what comes later are not on it. */
static const int flags_known = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |
			       O_DSYNC | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
static const int flags_known_path = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

static int
host_openat2(int dir, const char *path, uint64_t flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
	struct LFIContext *ctx = lfi_cur_ctx();
	int fd;

	for (int i = 0; i < RESOLVE_ATTEMPTS; i++) {
		/* A FIFO waits for its other end. */
		if (ctx)
			fd = (int) ctx_blocking(ctx, SYS_openat2, dir, (long) path, (long) &how, sizeof how, 0, 0);
		else
			fd = (int) host_result(syscall(SYS_openat2, dir, path, &how, sizeof how));
		if (fd != -EAGAIN && fd != -EINTR)
			break;
	}
	return fd;
}

/* I3 */
static int
refuse_proc(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0 && fs.f_type != PROC_SUPER_MAGIC)
		return fd;
	close(fd);
	return -EACCES;
}

/* I1 */
static int
open_below(int dir, const char *path, int flags, mode_t mode)
{
	uint64_t how = (uint64_t) (flags & (flags & O_PATH ? flags_known_path : flags_known)) | O_CLOEXEC;
	int fd;

	if (!(flags & O_PATH))
		how |= O_NOCTTY | O_LARGEFILE;
	fd = host_openat2(dir, path, how, how & O_CREAT ? mode & 01777 : 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	return fd < 0 ? fd : refuse_proc(fd);
}

/* ---- Mounts ---- */

static int
mount_open(struct Mount *mount, const char *map)
{
	const char *equals = strchr(map, '=');
	char box[PATH_MAX], path[PATH_MAX], *host;
	size_t length;

	if (!equals || equals == map || equals[1] == 0 || map[0] != '/')
		return error_set(LFI_ERR_INVALID, "directory map '%s' is not /SANDBOX-PATH=HOST-PATH[:ro]", map);
	length = (size_t) (equals - map);
	if (length >= sizeof path)
		return error_set(LFI_ERR_INVALID, "directory map '%.60s…' is too long", map);
	memcpy(path, map, length);
	path[length] = 0;
	if (path_normalise("/", path, box) < 0)
		return error_set(LFI_ERR_INVALID, "directory map '%s' has a sandbox path that cannot be used", map);
	host = strdup(equals + 1);
	mount->box = strdup(strcmp(box, "/") ? box : "");
	if (!host || !mount->box) {
		free(host);
		return error_set(LFI_ERR_NOMEM, "no memory for directory maps");
	}
	mount->length = strlen(mount->box);
	length = strlen(host);
	mount->readonly = length > 3 && strcmp(host + length - 3, ":ro") == 0;
	if (mount->readonly)
		host[length - 3] = 0;
	mount->host = open(host, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (mount->host < 0)
		error_set_os(LFI_ERR_OS, errno, "directory map '%s': host directory '%s'", map, host);
	free(host);
	return mount->host < 0 ? -1 : 0;
}

/* Without openat2 there is no containment, and so no files. */
static int
check_openat2(int dir)
{
	int fd = host_openat2(dir, ".", O_PATH | O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

	if (fd < 0)
		return error_set_os(LFI_ERR_UNSUPPORTED, -fd,
		    "directory maps need the kernel's openat2 (Linux 5.6), which does not work here");
	close(fd);
	return 0;
}

int
mounts_open(struct MountTable *table, const char *const *maps)
{
	size_t count = 0;

	*table = (struct MountTable){0};
	while (maps && maps[count])
		count++;
	if (count == 0)
		return 0;
	table->mounts = calloc(count, sizeof *table->mounts);
	if (!table->mounts)
		return error_set(LFI_ERR_NOMEM, "no memory for directory maps");
	for (size_t i = 0; i < count; i++)
		table->mounts[i].host = -1;
	table->count = count;
	for (size_t i = 0; i < count; i++) {
		if (mount_open(&table->mounts[i], maps[i]) < 0 || check_openat2(table->mounts[i].host) < 0) {
			mounts_close(table);
			return -1;
		}
	}
	return 0;
}

void
mounts_close(struct MountTable *table)
{
	for (size_t i = 0; i < table->count; i++) {
		free(table->mounts[i].box);
		if (table->mounts[i].host >= 0)
			close(table->mounts[i].host);
	}
	free(table->mounts);
	*table = (struct MountTable){0};
}

/* Whether the mount's path is `path` or a directory above it. */
static bool
mount_covers(const struct Mount *mount, const char *path)
{
	return strncmp(path, mount->box, mount->length) == 0 &&
	       (path[mount->length] == '/' || path[mount->length] == 0);
}

/* The longest match; of equals, the one given last. */
static const struct Mount *
mount_find(const struct MountTable *table, const char *path)
{
	const struct Mount *found = NULL;

	for (size_t i = 0; i < table->count; i++)
		if (mount_covers(&table->mounts[i], path) && (!found || table->mounts[i].length >= found->length))
			found = &table->mounts[i];
	return found;
}

/* ---- Paths ---- */

/* Appends the components of `path` to the `length` bytes in `out`, which hold no '/' at the end. */
static int
append_components(char out[PATH_MAX], size_t length, const char *path)
{
	size_t size;

	for (; *path; path += size) {
		path += strspn(path, "/");
		size = strcspn(path, "/");
		if (size == 0 || (size == 1 && path[0] == '.'))
			continue;
		if (size == 2 && path[0] == '.' && path[1] == '.') {
			while (length > 0 && out[--length] != '/')
				continue;
			continue;
		}
		if (size > NAME_MAX || length + 1 + size >= PATH_MAX)
			return -ENAMETOOLONG;
		out[length++] = '/';
		memcpy(out + length, path, size);
		length += size;
	}
	if (length == 0)
		out[length++] = '/';
	out[length] = 0;
	return 0;
}

int
path_normalise(const char *cwd, const char *path, char out[PATH_MAX])
{
	size_t length = 0;

	if (*path == 0)
		return -ENOENT;
	if (*path != '/' && strcmp(cwd, "/") != 0) {
		length = strlen(cwd);
		memcpy(out, cwd, length);
	}
	return append_components(out, length, path);
}

static enum PathLast
last_component(const char *path)
{
	size_t end = strlen(path), start;

	while (end > 0 && path[end - 1] == '/')
		end--;
	for (start = end; start > 0 && path[start - 1] != '/'; start--)
		continue;
	if (end - start == 1 && path[start] == '.')
		return PATH_DOT;
	if (end - start == 2 && path[start] == '.' && path[start + 1] == '.')
		return PATH_DOTDOT;
	return PATH_NAME;
}

static const char *
find_device(const char *path)
{
	for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
		if (strcmp(path, devices[i]) == 0)
			return devices[i];
	return NULL;
}

static int
place_look_up(struct LFILinuxThread *thread, const char *cwd, const char *path, struct Place *place)
{
	int result = path_normalise(cwd, path, place->path);
	size_t length = strlen(path);

	if (result < 0)
		return result;
	place->last = last_component(path);
	place->must_dir = path[length - 1] == '/' || place->last != PATH_NAME;
	place->rest = find_device(place->path);
	place->mount = NULL;
	if (place->rest)
		return place->must_dir ? -ENOTDIR : 0;
	place->mount = mount_find(&thread->proc->engine->mounts, place->path);
	if (!place->mount)
		return -ENOENT;
	place->rest = place->path + place->mount->length;
	place->rest += strspn(place->rest, "/");
	return 0;
}

/* A normalised path, which is shorter than PATH_MAX. */
static void
copy_path(char out[PATH_MAX], const char *path)
{
	memcpy(out, path, strlen(path) + 1);
}

/* The directory that a relative path starts from. */
static int
base_directory(struct LFILinuxThread *thread, int64_t dirfd, char out[PATH_MAX])
{
	struct LFILinuxProc *proc = thread->proc;
	struct File *file;
	int result = 0;

	if ((int) dirfd == PLACE_CWD) {
		pthread_mutex_lock(&proc->lock);
		copy_path(out, proc->cwd);
		pthread_mutex_unlock(&proc->lock);
		return 0;
	}
	file = fdtable_get(&proc->fds, (uint32_t) dirfd);
	if (!file)
		return -EBADF;
	if (file->path)
		copy_path(out, file->path);
	else
		result = -ENOTDIR;
	file_put(file);
	return result;
}

int
place_take(struct LFILinuxThread *thread, int64_t dirfd, uint64_t path, struct Place *place)
{
	char given[PATH_MAX], base[PATH_MAX];
	ssize_t length = copy_in_path(thread, given, path);
	int result;

	if (length < 0)
		return (int) length;
	copy_path(base, "/");
	if (given[0] != '/') {
		result = base_directory(thread, dirfd, base);
		if (result < 0)
			return result;
	}
	return place_look_up(thread, base, given, place);
}

int
place_of(struct LFILinuxThread *thread, const char *path, struct Place *place)
{
	char base[PATH_MAX];

	base_directory(thread, PLACE_CWD, base);
	return place_look_up(thread, base, path, place);
}

int
place_writable(const struct Place *place)
{
	return !place->mount || place->mount->readonly ? -EROFS : 0;
}

static int
device_open(const struct Place *place, int flags)
{
	int fd;

	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	fd = open(place->rest, (flags & (O_ACCMODE | O_NONBLOCK | O_PATH)) | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

/* I5: a read-only mount can be opened for reading what exists. */
static int
open_readonly(const struct Place *place, const char *rest, int flags)
{
	int fd;

	if ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC)
		return -EROFS;
	fd = open_below(place->mount->host, rest, flags & ~(O_CREAT | O_EXCL), 0);
	if (fd >= 0 && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
		close(fd);
		return -EEXIST;
	}
	return fd == -ENOENT && flags & O_CREAT ? -EROFS : fd;
}

int
place_open(const struct Place *place, int flags, mode_t mode)
{
	const char *rest = *place->rest ? place->rest : ".";

	if (!place->mount)
		return device_open(place, flags);
	if (place->must_dir && flags & O_CREAT && !(flags & O_PATH))
		return -EISDIR;
	if (place->must_dir)
		flags |= O_DIRECTORY;
	/* With '/' at the end a link is followed whatever the flags. */
	if (place->must_dir)
		flags &= ~O_NOFOLLOW;
	if (place->mount->readonly && !(flags & O_PATH))
		return open_readonly(place, rest, flags);
	return open_below(place->mount->host, rest, flags, mode);
}

/* I2 */
int
place_parent(const struct Place *place, char name[NAME_MAX + 1])
{
	char parent[PATH_MAX];
	const char *slash, *last;
	size_t length;

	if (!place->mount)
		return -EROFS;
	if (*place->rest == 0)
		return -EBUSY;
	slash = strrchr(place->rest, '/');
	length = slash ? (size_t) (slash - place->rest) : 0;
	memcpy(parent, place->rest, length);
	parent[length] = 0;
	/* A component of a normalised path: at most NAME_MAX bytes. */
	last = slash ? slash + 1 : place->rest;
	memcpy(name, last, strlen(last) + 1);
	return open_below(place->mount->host, length ? parent : ".", O_PATH | O_DIRECTORY, 0);
}
