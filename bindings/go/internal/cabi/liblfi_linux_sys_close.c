//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* close(2): close, close_range without flags. Trusted. */
#include "sys.h"

int64_t
sys_close(struct LFILinuxThread *thread, const uint64_t *args)
{
	return fdtable_close(&thread->proc->fds, (uint32_t) args[0]);
}
