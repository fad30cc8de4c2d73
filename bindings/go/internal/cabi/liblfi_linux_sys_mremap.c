//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * mremap(2): with MREMAP_MAYMOVE or without flags. Private anonymous memory only
 * (EINVAL otherwise); growing that cannot be done in place copies. Trusted: every
 * step is a call of the core, which checks it.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "core.h"
#include "sys.h"

enum { CHUNK = 64 * 1024 };

static const int anonymous = LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS;

/* The mapping's protection when all of [addr, addr + size) is one private anonymous mapping without code, else -1. */
static int
plain_prot(struct LFIBox *box, lfiptr addr, uint64_t size)
{
	struct BoxMapping mapping;

	if (!box_mapping(box, addr, &mapping) || mapping.addr > addr || mapping.size - (addr - mapping.addr) < size)
		return -1;
	return mapping.flags == anonymous && !(mapping.prot & LFI_PROT_EXEC) ? mapping.prot : -1;
}

static int
copy_pages(struct LFIBox *box, lfiptr to, lfiptr from, uint64_t size)
{
	char *chunk = malloc(CHUNK);
	uint64_t step;
	int result = chunk ? 0 : -ENOMEM;

	for (; size > 0 && result == 0; size -= step, to += step, from += step) {
		step = size < CHUNK ? size : CHUNK;
		if (lfi_box_copyfm(box, chunk, from, step) < 0 || lfi_box_copyto(box, to, chunk, step) < 0)
			result = -EFAULT;
	}
	free(chunk);
	return result;
}

static int64_t
move(struct LFIBox *box, lfiptr old, uint64_t old_size, uint64_t new_size, int prot)
{
	lfiptr to = lfi_box_mapany(box, new_size, LFI_PROT_READ | LFI_PROT_WRITE, anonymous, -1, 0);
	int result;

	if (to == (lfiptr) -1)
		return guest_errno();
	result = copy_pages(box, to, old, old_size);
	if (result == 0 && prot != (LFI_PROT_READ | LFI_PROT_WRITE) && lfi_box_mprotect(box, to, new_size, prot) < 0)
		result = guest_errno();
	if (result == 0 && lfi_box_munmap(box, old, old_size) < 0)
		result = guest_errno();
	if (result < 0) {
		lfi_box_munmap(box, to, new_size);
		return result;
	}
	return (int64_t) to;
}

int64_t
sys_mremap(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct LFIBox *box = thread->proc->box;
	uint64_t old_size, new_size;
	int prot;

	if (args[0] % PAGE_BYTES || args[3] & ~(uint64_t) MREMAP_MAYMOVE || args[2] == 0 || args[1] == 0 ||
	    !checked_align_up(args[1], PAGE_BYTES, &old_size) || !checked_align_up(args[2], PAGE_BYTES, &new_size))
		return -EINVAL;
	if (!range_within(guest_address(thread, args[0]), old_size, thread->proc->info.min, thread->proc->info.max))
		return -EFAULT;
	if (new_size > thread->proc->info.size)
		return -ENOMEM;
	prot = plain_prot(box, guest_address(thread, args[0]), old_size);
	if (prot < 0)
		return -EINVAL;
	if (new_size == old_size)
		return (int64_t) args[0];
	if (new_size < old_size)
		return lfi_box_munmap(box, args[0] + new_size, old_size - new_size) < 0 ? guest_errno()
											: (int64_t) args[0];
	if (lfi_box_mapat(box, args[0] + old_size, new_size - old_size, prot, anonymous | LFI_MAP_FIXED_NOREPLACE, -1,
		0) != (lfiptr) -1)
		return (int64_t) args[0];
	return args[3] & MREMAP_MAYMOVE ? move(box, args[0], old_size, new_size, prot) : -ENOMEM;
}
