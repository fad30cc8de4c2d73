//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * mprotect(2). Pages never become writable and executable (EACCES); what becomes
 * executable must verify (EACCES). Trusted: the core does it.
 */
#include <sys/mman.h>

#include "sys.h"

int64_t
sys_mprotect(struct LFILinuxThread *thread, const uint64_t *args)
{
	if (args[0] % PAGE_BYTES || args[2] & ~(uint64_t) (PROT_READ | PROT_WRITE | PROT_EXEC))
		return -EINVAL;
	if ((args[2] & (PROT_WRITE | PROT_EXEC)) == (PROT_WRITE | PROT_EXEC))
		return -EACCES;
	if (args[1] == 0)
		return 0;
	return lfi_box_mprotect(thread->proc->box, args[0], args[1], (int) args[2]) < 0 ? guest_errno() : 0;
}
