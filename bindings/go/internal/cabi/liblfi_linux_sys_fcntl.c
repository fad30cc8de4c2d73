//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * fcntl(2): F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL (O_NONBLOCK and
 * O_APPEND), record locks. On descriptors given by the host, F_SETFL changes what
 * this process sees and not the host's open file. Record locks belong to the host
 * process: two sandboxes in one host process do not exclude each other. Trusted.
 */
#include <fcntl.h>

#include "sys.h"

int
file_set_flags(struct File *file, int flags)
{
	static const int settable = O_NONBLOCK | O_APPEND;
	int always = file->kind == FILE_PIPE ? O_NONBLOCK : 0;

	if (file->kind != FILE_STDIO && fcntl(file->host, F_SETFL, (flags & settable) | always) < 0)
		return -errno;
	atomic_store(&file->flags, flags & settable);
	return 0;
}

static int64_t
get_flags(struct File *file)
{
	int flags = fcntl(file->host, F_GETFL);

	if (flags < 0)
		return -errno;
	return (flags & ~(O_NONBLOCK | O_APPEND)) | atomic_load(&file->flags);
}

static int64_t
record_lock(struct LFILinuxThread *thread, struct File *file, int command, uint64_t address)
{
	struct flock lock;

	if (copy_in(thread, &lock, address, sizeof lock) < 0)
		return -EFAULT;
	/* A wait for a lock could not be ended: who asks for one gets EAGAIN and tries again. */
	if (fcntl(file->host, command == F_GETLK ? F_GETLK : F_SETLK, &lock) < 0)
		return -errno;
	/* Numbers of the host's processes are not the program's business. */
	lock.l_pid = -1;
	return command == F_GETLK ? copy_out(thread, address, &lock, sizeof lock) : 0;
}

static int64_t
duplicate(struct LFILinuxThread *thread, struct File *file, uint64_t low, bool cloexec)
{
	if (low >= fdtable_limit(&thread->proc->fds))
		return -EINVAL;
	atomic_fetch_add(&file->refs, 1);
	return fdtable_add(&thread->proc->fds, file, (unsigned) low, cloexec);
}

static int64_t
fcntl_file(struct LFILinuxThread *thread, struct File *file, const uint64_t *args)
{
	struct FDTable *fds = &thread->proc->fds;

	switch ((int) args[1]) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return duplicate(thread, file, args[2], (int) args[1] == F_DUPFD_CLOEXEC);
	case F_GETFD:
		return fdtable_cloexec(fds, (uint32_t) args[0]);
	case F_SETFD:
		return fdtable_set_cloexec(fds, (uint32_t) args[0], args[2] & FD_CLOEXEC);
	case F_GETFL:
		return get_flags(file);
	case F_SETFL:
		return file_set_flags(file, (int) args[2]);
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
		return record_lock(thread, file, (int) args[1], args[2]);
	}
	return -EINVAL;
}

int64_t
sys_fcntl(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	int64_t result;

	if (!file)
		return -EBADF;
	result = fcntl_file(thread, file, args);
	file_put(file);
	return result;
}
