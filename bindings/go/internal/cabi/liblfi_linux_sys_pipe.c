//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* pipe(2): pipe, pipe2. O_DIRECT is refused. Trusted. */
#include <fcntl.h>
#include <unistd.h>

#include "sys.h"

static int64_t
make_pipe(struct LFILinuxThread *thread, uint64_t out, int flags)
{
	struct FDTable *fds = &thread->proc->fds;
	struct File *files[2];
	int host[2], guest[2];

	if (flags & ~(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	if (pipe2(host, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	files[0] = file_new(host[0], FILE_PIPE, true, flags & O_NONBLOCK, NULL);
	files[1] = file_new(host[1], FILE_PIPE, true, flags & O_NONBLOCK, NULL);
	if (!files[0] || !files[1]) {
		file_put(files[0]);
		file_put(files[1]);
		return -ENOMEM;
	}
	guest[0] = fdtable_add(fds, files[0], 0, flags & O_CLOEXEC);
	guest[1] = fdtable_add(fds, files[1], 0, flags & O_CLOEXEC);
	if (guest[0] >= 0 && guest[1] >= 0 && copy_out(thread, out, guest, sizeof guest) == 0)
		return 0;
	for (int i = 0; i < 2; i++)
		if (guest[i] >= 0)
			fdtable_close(fds, (uint64_t) guest[i]);
	return guest[0] < 0 || guest[1] < 0 ? -EMFILE : -EFAULT;
}

int64_t
sys_pipe(struct LFILinuxThread *thread, const uint64_t *args)
{
	return make_pipe(thread, args[0], 0);
}

int64_t
sys_pipe2(struct LFILinuxThread *thread, const uint64_t *args)
{
	return make_pipe(thread, args[0], (int) args[1]);
}
