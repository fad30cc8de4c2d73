/* SPDX-License-Identifier: MIT */
/*
 * The only way in which the emulated kernel touches a program's memory.
 * Trusted.
 *
 *   I1  copy_in and copy_out are for bytes that we look at: each is read once, into host memory, and then trusted to
 *       stay what it is. They fail with -EFAULT instead of faulting.
 *   I2  guest_span is for bytes that only the host's kernel touches, which answers EFAULT itself where pages are
 * missing or protected. Nothing here dereferences what it returns. I3  Both check that the range lies in the part of
 * the sandbox that can be mapped. I4  A count is bounded before it is multiplied: copy_in_array.
 */
#ifndef LINUX_GUEST_H
#define LINUX_GUEST_H

#include <errno.h>
#include <limits.h>

#include "checked.h"
#include "linux.h"

static inline int
copy_in(struct LFILinuxThread *thread, void *dst, lfiptr src, size_t size)
{
	return lfi_box_copyfm(thread->proc->box, dst, src, size) < 0 ? -EFAULT : 0;
}

static inline int
copy_out(struct LFILinuxThread *thread, lfiptr dst, const void *src, size_t size)
{
	return lfi_box_copyto(thread->proc->box, dst, src, size) < 0 ? -EFAULT : 0;
}

/* As copy_out, when the program asked for it by giving an address. */
static inline int
copy_out_if(struct LFILinuxThread *thread, lfiptr dst, const void *src, size_t size)
{
	return dst ? copy_out(thread, dst, src, size) : 0;
}

/* `count` elements of `each` bytes, at most `max` of them: -EINVAL beyond (I4). */
static inline int
copy_in_array(struct LFILinuxThread *thread, void *dst, lfiptr src, uint64_t count, size_t each, size_t max)
{
	if (count > max)
		return -EINVAL;
	return count ? copy_in(thread, dst, src, count * each) : 0;
}

/* A path of at most PATH_MAX bytes with its NUL. Its length, -EFAULT or -ENAMETOOLONG. */
ssize_t copy_in_path(struct LFILinuxThread *thread, char dst[PATH_MAX], lfiptr src);

/* As the core does: below 4 GiB it is an offset from the base. */
static inline lfiptr
guest_address(const struct LFILinuxThread *thread, lfiptr addr)
{
	const struct LFIBoxInfo *info = &thread->proc->info;

	return addr < info->size ? info->base + addr : addr;
}

/* NULL when the range is not the sandbox's. An empty range is anywhere. */
static inline void *
guest_span(struct LFILinuxThread *thread, lfiptr addr, uint64_t size)
{
	const struct LFIBoxInfo *info = &thread->proc->info;

	addr = guest_address(thread, addr);
	if (size == 0)
		addr = info->min;
	else if (!range_within(addr, size, info->min, info->max))
		return NULL;
	return (void *) (uintptr_t) addr;
}

/* As guest_span, with the size cut to what the sandbox has and the kernel takes at once, as Linux does. */
static inline void *
guest_span_cut(struct LFILinuxThread *thread, lfiptr addr, uint64_t *size)
{
	const struct LFIBoxInfo *info = &thread->proc->info;

	addr = guest_address(thread, addr);
	if (*size > 0x7ffff000)
		*size = 0x7ffff000;
	if (addr >= info->min && addr<info->max && * size> info->max - addr)
		*size = info->max - addr;
	return guest_span(thread, addr, *size);
}

/* The errno, negative, for the core's last error. */
int guest_errno(void);

/* The result of a host call: itself, or -errno when it is -1. */
static inline int64_t
host_result(int64_t result)
{
	return result == -1 ? -errno : result;
}

#endif
