//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* dup(2): dup, dup2, dup3. No difference from Linux. Trusted. */
#include <fcntl.h>

#include "sys.h"

static int64_t
dup_to(struct LFILinuxThread *thread, uint32_t from, uint32_t to, bool cloexec)
{
	struct File *file = fdtable_get(&thread->proc->fds, from);

	if (!file)
		return -EBADF;
	if (to >= fdtable_limit(&thread->proc->fds)) {
		file_put(file);
		return -EBADF;
	}
	fdtable_set(&thread->proc->fds, to, file, cloexec);
	return to;
}

int64_t
sys_dup(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);

	return file ? fdtable_add(&thread->proc->fds, file, 0, false) : -EBADF;
}

int64_t
sys_dup2(struct LFILinuxThread *thread, const uint64_t *args)
{
	if ((uint32_t) args[0] == (uint32_t) args[1])
		return fdtable_cloexec(&thread->proc->fds, (uint32_t) args[0]) < 0 ? -EBADF
										   : (int64_t) (uint32_t) args[0];
	return dup_to(thread, (uint32_t) args[0], (uint32_t) args[1], false);
}

int64_t
sys_dup3(struct LFILinuxThread *thread, const uint64_t *args)
{
	if ((uint32_t) args[0] == (uint32_t) args[1] || args[2] & ~(uint64_t) O_CLOEXEC)
		return -EINVAL;
	return dup_to(thread, (uint32_t) args[0], (uint32_t) args[1], args[2] & O_CLOEXEC);
}
