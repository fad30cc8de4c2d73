//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * The one system call that Linux does not have: "library ready". The sysroot's
 * default main makes it when a program has no main of its own; the run of the
 * first thread ends, the process stays for calls into it. Trusted.
 */
#include "sys.h"

int64_t
sys_lfi_ready(struct LFILinuxThread *thread, const uint64_t *args)
{
	if (thread->state != THREAD_RUNNING || thread != thread->proc->first)
		return -EINVAL;
	thread->ready = true;
	lfi_ctx_exit(thread->ctx, 0);
	return 0;
}
