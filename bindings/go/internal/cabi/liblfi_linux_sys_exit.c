//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* exit(2), exit_group(2). Trusted. */
#include "sys.h"

int64_t
sys_exit(struct LFILinuxThread *thread, const uint64_t *args)
{
	thread->leaving = true;
	lfi_ctx_exit(thread->ctx, (int) args[0] & 0xff);
	return 0;
}

int64_t
sys_exit_group(struct LFILinuxThread *thread, const uint64_t *args)
{
	proc_end(thread->proc, (int) args[0] & 0xff);
	return 0;
}
