//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* chdir(2): chdir, fchdir. The working directory is a path: renaming it leaves the process in no directory. Trusted. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys.h"

static int64_t
set_cwd(struct LFILinuxProc *proc, const char *path)
{
	char *copy = strdup(path), *old;

	if (!copy)
		return -ENOMEM;
	pthread_mutex_lock(&proc->lock);
	old = proc->cwd;
	proc->cwd = copy;
	pthread_mutex_unlock(&proc->lock);
	free(old);
	return 0;
}

int64_t
sys_chdir(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct Place place;
	int64_t result = place_take(thread, PLACE_CWD, args[0], &place);
	int host;

	if (result < 0)
		return result;
	host = place_open(&place, O_PATH | O_DIRECTORY, 0);
	if (host < 0)
		return host;
	result = host_result(faccessat(host, ".", X_OK, 0));
	close(host);
	return result < 0 ? result : set_cwd(thread->proc, place.path);
}

int64_t
sys_fchdir(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	int64_t result = -ENOTDIR;

	if (!file)
		return -EBADF;
	if (file->path)
		result = set_cwd(thread->proc, file->path);
	file_put(file);
	return result;
}
