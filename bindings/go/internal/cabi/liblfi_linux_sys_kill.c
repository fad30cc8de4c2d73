//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * kill(2), tkill(2), tgkill(2): to the process itself only; others give ESRCH. A
 * signal whose action is the default one and not to be ignored ends the process as
 * by that signal; abort, and any of them in a function that the host called, is a
 * fault of that entry. A handler is not run: ENOSYS. Blocked signals are not kept
 * pending. Trusted.
 */
#include <signal.h>

#include "core.h"
#include "sys.h"

/* Signals whose default action does not end a process. Stopping is not emulated. */
static bool
is_ignored_by_default(int signal)
{
	switch (signal) {
	case SIGCHLD:
	case SIGURG:
	case SIGWINCH:
	case SIGCONT:
	case SIGSTOP:
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
		return true;
	}
	return false;
}

/*
 * A fault like a trap, after which a library can be called again; of a run, only abort is one: other signals are a way
 * to say a status.
 */
static void
end_by_signal(struct LFILinuxThread *thread, int signal)
{
	if (signal == SIGABRT || ctx_in_call(thread->ctx))
		ctx_abort(thread->ctx, signal);
	else
		proc_end(thread->proc, 128 + signal);
}

int64_t
signal_raise(struct LFILinuxThread *thread, int signal)
{
	struct LFILinuxProc *proc = thread->proc;
	uint64_t handler;

	if (signal < 0 || signal > LINUX_SIGNALS)
		return -EINVAL;
	if (signal == 0)
		return 0;
	pthread_mutex_lock(&proc->lock);
	handler = proc->actions[signal].handler;
	pthread_mutex_unlock(&proc->lock);
	if (handler == (uintptr_t) SIG_IGN)
		return 0;
	if (handler != (uintptr_t) SIG_DFL) {
		if (proc->verbose)
			log_line("signal %d has a handler, which this version does not run", signal);
		return -ENOSYS;
	}
	if (!is_ignored_by_default(signal))
		end_by_signal(thread, signal);
	return 0;
}

/* Whether the thread is one of the process. */
static bool
is_thread(struct LFILinuxProc *proc, int tid)
{
	struct LFILinuxThread *thread;

	pthread_mutex_lock(&proc->lock);
	for (thread = proc->threads; thread && thread->tid != tid; thread = thread->next)
		continue;
	pthread_mutex_unlock(&proc->lock);
	return thread != NULL;
}

int64_t
sys_kill(struct LFILinuxThread *thread, const uint64_t *args)
{
	int pid = (int) args[0];

	if (pid != thread->proc->pid && pid != 0 && pid != -thread->proc->pid)
		return -ESRCH;
	return signal_raise(thread, (int) args[1]);
}

int64_t
sys_tkill(struct LFILinuxThread *thread, const uint64_t *args)
{
	if (!is_thread(thread->proc, (int) args[0]))
		return -ESRCH;
	return signal_raise(thread, (int) args[1]);
}

int64_t
sys_tgkill(struct LFILinuxThread *thread, const uint64_t *args)
{
	if ((int) args[0] != thread->proc->pid || !is_thread(thread->proc, (int) args[1]))
		return -ESRCH;
	return signal_raise(thread, (int) args[2]);
}
