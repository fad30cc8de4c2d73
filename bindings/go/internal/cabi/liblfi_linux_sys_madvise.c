//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * madvise(2). MADV_DONTNEED gives private anonymous memory back (EINVAL for other
 * memory); other advice is accepted without effect, MADV_FREE included. Trusted: the
 * memory is replaced through the core, so that code, which zeroing would turn
 * into other code, is not touched.
 */
#include <sys/mman.h>

#include "core.h"
#include "sys.h"

static const int anonymous = LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS;

static int64_t
drop(struct LFIBox *box, lfiptr addr, lfiptr end)
{
	struct BoxMapping mapping;
	uint64_t size;

	while (addr < end) {
		if (!box_mapping(box, addr, &mapping) || mapping.addr > addr)
			return -ENOMEM;
		if (mapping.flags != anonymous || mapping.prot & LFI_PROT_EXEC)
			return -EINVAL;
		size = mapping.addr + mapping.size - addr;
		if (size > end - addr)
			size = end - addr;
		if (lfi_box_mapat(box, addr, size, mapping.prot, anonymous | LFI_MAP_FIXED, -1, 0) == (lfiptr) -1)
			return guest_errno();
		addr += size;
	}
	return 0;
}

int64_t
sys_madvise(struct LFILinuxThread *thread, const uint64_t *args)
{
	const struct LFIBoxInfo *info = &thread->proc->info;
	lfiptr addr = guest_address(thread, args[0]);
	uint64_t size;

	if (args[0] % PAGE_BYTES || !checked_align_up(args[1], PAGE_BYTES, &size))
		return -EINVAL;
	if (!range_within(addr, size, info->min, info->max))
		return -ENOMEM;
	switch ((int) args[2]) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_FREE:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
		return 0;
	case MADV_DONTNEED:
		return drop(thread->proc->box, addr, addr + size);
	}
	return -EINVAL;
}
