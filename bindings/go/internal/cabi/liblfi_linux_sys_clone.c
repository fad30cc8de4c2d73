//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * clone(2): threads only (the flags of pthread_create); processes give ENOSYS. Each
 * thread is a host thread. Refused (EPERM) next to code with single-thread
 * returns. The runtime call must return to a bundle's start, where a context can be
 * entered (EINVAL otherwise; the sysroot's does). Trusted.
 */
#include "lfi_verify.h"
#include <sched.h>

#include "sys.h"

static const uint64_t flags_needed = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
static const uint64_t flags_known = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
				    CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID |
				    CLONE_DETACHED;

enum { BUNDLE_MAX = 32 };

/* The new thread starts as a copy of its creator, but for result, stack and thread pointer. */
static void
copy_state(struct LFILinuxThread *child, struct LFILinuxThread *parent, const uint64_t *args)
{
	struct LFIRegs *regs = lfi_ctx_regs(child->ctx);

	*regs = *lfi_ctx_regs(parent->ctx);
	abi_set_result(regs, 0);
	if (args[1])
		regs->sp = guest_address(parent, args[1]);
	lfi_ctx_set_tp(child->ctx, args[0] & CLONE_SETTLS ? abi_clone_tls(args) : lfi_ctx_tp(parent->ctx));
	child->entry = abi_resume(lfi_ctx_regs(parent->ctx));
	child->sigmask = parent->sigmask;
}

static int64_t
set_tids(struct LFILinuxThread *thread, struct LFILinuxThread *child, const uint64_t *args)
{
	uint64_t child_tid = abi_clone_child_tid(args);

	if (args[0] & CLONE_PARENT_SETTID && copy_out(thread, args[2], &child->tid, sizeof child->tid) < 0)
		return -EFAULT;
	if (args[0] & CLONE_CHILD_SETTID && copy_out(thread, child_tid, &child->tid, sizeof child->tid) < 0)
		return -EFAULT;
	if (args[0] & CLONE_CHILD_CLEARTID)
		child->clear_tid = child_tid;
	return 0;
}

int64_t
sys_clone(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct LFILinuxThread *child;
	int64_t result;
	int tid;

	if ((args[0] & flags_needed) != flags_needed || args[0] & ~flags_known)
		return -ENOSYS;
	if (lfi_box_info(thread->proc->box).code & LFI_CODE_ST_RETURN)
		return -EPERM;
	/* The core rounds an entry down to a bundle: the child would start before the call. */
	if (abi_resume(lfi_ctx_regs(thread->ctx)) % BUNDLE_MAX) {
		if (thread->proc->verbose)
			log_line("clone: the runtime call returns to 0x%llx, which is no bundle's start",
			    (unsigned long long) abi_resume(lfi_ctx_regs(thread->ctx)));
		return -EINVAL;
	}
	child = thread_make(thread->proc);
	if (!child)
		return -EAGAIN;
	copy_state(child, thread, args);
	tid = child->tid;
	result = set_tids(thread, child, args);
	if (result == 0)
		result = thread_start(child);
	if (result < 0)
		thread_destroy(child);
	return result < 0 ? result : tid;
}
