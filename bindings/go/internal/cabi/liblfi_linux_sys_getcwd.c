//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* getcwd(2). The path as it was given to chdir, links included. Trusted. */
#include <string.h>

#include "sys.h"

int64_t
sys_getcwd(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct LFILinuxProc *proc = thread->proc;
	char path[PATH_MAX];
	size_t size;

	pthread_mutex_lock(&proc->lock);
	size = strlen(proc->cwd) + 1;
	memcpy(path, proc->cwd, size);
	pthread_mutex_unlock(&proc->lock);
	if (args[1] < size)
		return -ERANGE;
	return copy_out(thread, args[0], path, size) < 0 ? -EFAULT : (int64_t) size;
}
