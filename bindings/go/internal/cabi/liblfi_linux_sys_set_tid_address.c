//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* set_tid_address(2), set_robust_list(2) (accepted: robust mutexes are not released at a thread's end). Trusted. */
#include "sys.h"

int64_t
sys_set_tid_address(struct LFILinuxThread *thread, const uint64_t *args)
{
	thread->clear_tid = args[0];
	return thread->tid;
}

int64_t
sys_set_robust_list(struct LFILinuxThread *thread, const uint64_t *args)
{
	return args[1] == 24 ? 0 : -EINVAL;
}
