//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * sigaction(2), sigprocmask(2), sigaltstack(2): what is set is remembered and can be
 * read back. Handlers are not run, see kill.c. Trusted.
 */
#include <signal.h>
#include <string.h>

#include "sys.h"

int64_t
sys_rt_sigaction(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct LFILinuxProc *proc = thread->proc;
	struct SignalAction given, old;
	uint64_t signal = args[0];

	if (args[3] != sizeof given.mask || signal < 1 || signal > LINUX_SIGNALS)
		return -EINVAL;
	if (args[1] && (signal == SIGKILL || signal == SIGSTOP))
		return -EINVAL;
	if (args[1] && copy_in(thread, &given, args[1], sizeof given) < 0)
		return -EFAULT;
	pthread_mutex_lock(&proc->lock);
	old = proc->actions[signal];
	if (args[1])
		proc->actions[signal] = given;
	pthread_mutex_unlock(&proc->lock);
	return copy_out_if(thread, args[2], &old, sizeof old);
}

int64_t
sys_rt_sigprocmask(struct LFILinuxThread *thread, const uint64_t *args)
{
	uint64_t old = thread->sigmask, set;

	if (args[3] != sizeof set)
		return -EINVAL;
	if (args[1]) {
		if (copy_in(thread, &set, args[1], sizeof set) < 0)
			return -EFAULT;
		if (args[0] == SIG_BLOCK)
			thread->sigmask |= set;
		else if (args[0] == SIG_UNBLOCK)
			thread->sigmask &= ~set;
		else if (args[0] == SIG_SETMASK)
			thread->sigmask = set;
		else
			return -EINVAL;
	}
	return copy_out_if(thread, args[2], &old, sizeof old);
}

int64_t
sys_sigaltstack(struct LFILinuxThread *thread, const uint64_t *args)
{
	uint64_t given[3], old[3];

	memcpy(old, thread->altstack, sizeof old);
	if (args[0]) {
		if (copy_in(thread, given, args[0], sizeof given) < 0)
			return -EFAULT;
		memcpy(thread->altstack, given, sizeof given);
	}
	return copy_out_if(thread, args[1], old, sizeof old);
}
