//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* The slow parts of guest.h. Trusted. */
#include "guest.h"

ssize_t
copy_in_path(struct LFILinuxThread *thread, char dst[PATH_MAX], lfiptr src)
{
	const struct LFIBoxInfo *info = &thread->proc->info;
	size_t room = PATH_MAX;
	ssize_t length;

	src = guest_address(thread, src);
	if (!range_within(src, 1, info->min, info->max))
		return -EFAULT;
	if (room > info->max - src)
		room = info->max - src;
	length = lfi_box_copystr(thread->proc->box, dst, src, room);
	if (length >= 0)
		return length;
	return lfi_errno() == LFI_ERR_RANGE && room == PATH_MAX ? -ENAMETOOLONG : -EFAULT;
}

int
guest_errno(void)
{
	switch (lfi_errno()) {
	case LFI_ERR_NOMEM:
	case LFI_ERR_NOSPACE:
	case LFI_ERR_LIMIT:
	case LFI_ERR_UNMAPPED:
	case LFI_ERR_RANGE:
		return -ENOMEM;
	case LFI_ERR_VERIFY:
		return -EACCES;
	case LFI_ERR_CPU:
		return -ENOEXEC;
	case LFI_ERR_BUSY:
		return -EBUSY;
	case LFI_ERR_OS:
		return -EIO;
	}
	return -EINVAL;
}
