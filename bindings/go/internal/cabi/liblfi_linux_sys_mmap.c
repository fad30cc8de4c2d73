//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * mmap(2): mmap, munmap. Differences from Linux: an address without MAP_FIXED is
 * no hint; huge pages, MAP_GROWSDOWN, MAP_32BIT and writable-and-executable pages
 * are refused; code must verify (EACCES) and a file's code is a private copy; only
 * regular files and /dev/zero can be mapped; no shared mappings next to code with
 * single-thread returns. Trusted: the core checks each address and protection.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "sys.h"

static const uint64_t flags_known = MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE |
				    MAP_POPULATE | MAP_STACK | MAP_DENYWRITE | MAP_EXECUTABLE | MAP_NONBLOCK |
				    MAP_LOCKED | MAP_FIXED_NOREPLACE;

static int64_t
map(struct LFILinuxThread *thread, const uint64_t *args, int host)
{
	struct LFIBox *box = thread->proc->box;
	int prot = (int) args[2] & (PROT_READ | PROT_WRITE | PROT_EXEC);
	int flags = (int) args[3] & (MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE);
	lfiptr got;

	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
		got = lfi_box_mapat(box, args[0], args[1], prot, flags, host, (off_t) args[5]);
	else
		got = lfi_box_mapany(box, args[1], prot, flags, host, (off_t) args[5]);
	if (got == (lfiptr) -1)
		return flags & MAP_FIXED_NOREPLACE && lfi_errno() == LFI_ERR_INVALID ? -EEXIST : guest_errno();
	return (int64_t) got;
}

static int64_t
map_file(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[4]);
	int64_t result = -ENODEV;
	uint64_t copy[6];
	struct stat st;

	if (!file)
		return -EBADF;
	if (file->kind == FILE_PLAIN || file->kind == FILE_STDIO) {
		if (fstat(file->host, &st) == 0 && S_ISREG(st.st_mode))
			result = map(thread, args, file->host);
	} else if (file->kind == FILE_PIPE && fstat(file->host, &st) == 0 && S_ISCHR(st.st_mode) &&
		   st.st_rdev == makedev(1, 5)) {
		memcpy(copy, args, sizeof copy);
		copy[3] |= MAP_ANONYMOUS;
		copy[5] = 0;
		result = map(thread, copy, -1);
	}
	file_put(file);
	return result;
}

int64_t
sys_mmap(struct LFILinuxThread *thread, const uint64_t *args)
{
	uint64_t kind = args[3] & MAP_TYPE;

	if (args[1] == 0 || args[3] & ~flags_known || (kind != MAP_SHARED && kind != MAP_PRIVATE))
		return -EINVAL;
	if (args[1] > thread->proc->info.size)
		return -ENOMEM;
	if ((args[2] & (PROT_WRITE | PROT_EXEC)) == (PROT_WRITE | PROT_EXEC))
		return -EACCES;
	if (args[3] & MAP_ANONYMOUS)
		return map(thread, args, -1);
	return map_file(thread, args);
}

int64_t
sys_munmap(struct LFILinuxThread *thread, const uint64_t *args)
{
	if (args[1] == 0 || args[0] % PAGE_BYTES)
		return -EINVAL;
	if (lfi_box_munmap(thread->proc->box, args[0], args[1]) == 0)
		return 0;
	return lfi_errno() == LFI_ERR_RANGE ? -EINVAL : guest_errno();
}
