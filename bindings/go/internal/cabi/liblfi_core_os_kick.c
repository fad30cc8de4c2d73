//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * The signal of interrupt.c: a real-time one, picked when the first engine is made. It carries a mark of ours, so that
 * the same number sent by somebody else reaches the handler that was there before. Linux. Trusted.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "box.h"
#include "error.h"
#include "os.h"

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#define THREAD_SANITIZER __has_feature(thread_sanitizer)
#else
#define THREAD_SANITIZER 0
#endif

/* Its address is the mark. */
static const char mark;

static int kick_signal;
static struct sigaction previous;

static bool
is_kick(const siginfo_t *info)
{
	return info->si_code == SI_QUEUE && info->si_value.sival_ptr == &mark && info->si_pid == getpid();
}

/*
 * A signal handler of the host runs on top of what was to be stopped: block the signal until that handler returns,
 * which brings the mask from before it back, and send it again.
 */
static void
put_off(ucontext_t *uc)
{
	sigaddset(&uc->uc_sigmask, kick_signal);
	os_kick((int) syscall(SYS_gettid));
}

/* All other signals are blocked. */
static void
on_kick(int sig, siginfo_t *info, void *uc)
{
	int err = errno;

	if (!is_kick(info))
		os_signal_pass_on(&previous, sig, info, uc);
	else if (!interrupt_arrived(uc))
		put_off(uc);
	errno = err;
}

bool
os_kick(int tid)
{
	siginfo_t info = {.si_code = SI_QUEUE};

	info.si_signo = kick_signal;
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_ptr = (void *) (uintptr_t) &mark;
	return syscall(SYS_rt_tgsigqueueinfo, info.si_pid, tid, kick_signal, &info) == 0 || errno == ESRCH;
}

void
os_kick_unblock(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, kick_signal);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* The highest that nobody handles. Where all are handled (Go does), the highest: its handler gets what is not ours. */
static int
pick(void)
{
#if THREAD_SANITIZER
	/* ThreadSanitizer keeps signals that do not come from faults back until the thread calls it. */
	return SIGSYS;
#else
	struct sigaction now;

	for (int sig = SIGRTMAX; sig >= SIGRTMIN; sig--)
		if (sigaction(sig, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)
			return sig;
	return SIGRTMAX;
#endif
}

int
os_kick_install(void)
{
	/* A call that a stray one interrupts goes on: arch_blocking is stopped all the same. */
	struct sigaction action = {.sa_sigaction = on_kick, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
	struct sigaction now;

	if (!kick_signal)
		kick_signal = pick();
	sigfillset(&action.sa_mask);
	if (sigaction(kick_signal, NULL, &now) < 0)
		return error_set_os(LFI_ERR_OS, errno, "cannot ask for the handler of signal %d", kick_signal);
	/* Still ours, below somebody who chained to us: what was before us is known. */
	if (now.sa_sigaction == on_kick)
		return 0;
	previous = now;
	if (sigaction(kick_signal, &action, NULL) < 0)
		return error_set_os(LFI_ERR_OS, errno, "cannot handle signal %d", kick_signal);
	return 0;
}

void
os_kick_uninstall(void)
{
	struct sigaction now;

	if (sigaction(kick_signal, NULL, &now) == 0 && now.sa_sigaction == on_kick)
		sigaction(kick_signal, &previous, NULL);
}

uint64_t
os_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}
