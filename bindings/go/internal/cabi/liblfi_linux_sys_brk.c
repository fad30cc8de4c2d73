//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * brk(2). The break starts at the end of the program and grows as far as pages
 * are free above it. Trusted.
 */
#include "core.h"
#include "sys.h"

/* Maps or unmaps what lies between the old and the new break. The lock is held. */
static bool
move_break(struct LFILinuxProc *proc, lfiptr to)
{
	lfiptr old_page = align_down(proc->brk_end + PAGE_BYTES - 1, PAGE_BYTES);
	lfiptr new_page = align_down(to + PAGE_BYTES - 1, PAGE_BYTES);

	if (new_page > old_page)
		return lfi_box_mapat(proc->box, old_page, new_page - old_page, LFI_PROT_READ | LFI_PROT_WRITE,
			   LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS | LFI_MAP_FIXED_NOREPLACE, -1, 0) != (lfiptr) -1;
	return new_page == old_page || lfi_box_munmap(proc->box, new_page, old_page - new_page) == 0;
}

int64_t
sys_brk(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct LFILinuxProc *proc = thread->proc;
	lfiptr to = guest_address(thread, args[0]);
	int64_t result;

	pthread_mutex_lock(&proc->lock);
	if (to >= proc->brk_start && to <= proc->info.max && move_break(proc, to))
		proc->brk_end = to;
	result = (int64_t) box_handed_address(proc->box, proc->brk_end);
	pthread_mutex_unlock(&proc->lock);
	return result;
}
