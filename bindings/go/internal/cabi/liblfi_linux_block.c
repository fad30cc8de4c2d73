//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Sleeping, and waking who sleeps; see block.h. Trusted.
 *
 * A thread that is alone in its process cannot be ended by another one, so it
 * sleeps in the host call at no extra cost. Otherwise: descriptors are
 * polled together with the process's end event, and what is then read or
 * written does not block even when another thread was faster; sleeps are waits on the
 * process's `ended` word; futex waits are announced in `waiting_on`, and who
 * ends the process wakes that word until nobody announces it any more.
 *
 * Each call that may sleep is a ctx_blocking: an interrupt of the entry ends it with -EINTR, and the core ends the
 * entry when the system call returns.
 */
#include "block.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core.h"
#include "guest.h"
#include "sys.h"

enum { SIGSET_BYTES = 8 };

static bool
is_over(struct LFILinuxThread *thread)
{
	return proc_has_ended(thread->proc) || ctx_interrupted(thread->ctx);
}

static int
wait_futex(struct LFILinuxThread *thread, uint32_t *word, int operation, uint32_t value,
    const struct timespec *deadline, uint32_t bits)
{
	return (int) ctx_blocking(thread->ctx, SYS_futex, (long) word, operation, value, (long) deadline, 0, bits);
}

int
block_poll(struct LFILinuxThread *thread, struct pollfd *fds, nfds_t count, const struct timespec *timeout)
{
	struct LFILinuxProc *proc = thread->proc;
	struct timespec left; /* the kernel stores the time left */
	nfds_t all = count;
	int ready;

	if (atomic_load(&proc->threaded)) {
		fds[count] = (struct pollfd){.fd = proc->end_event, .events = POLLIN};
		all++;
	}
	if (timeout)
		left = *timeout;
	ready = (int) ctx_blocking(
	    thread->ctx, SYS_ppoll, (long) fds, (long) all, (long) (timeout ? &left : NULL), 0, SIGSET_BYTES, 0);
	if (proc_has_ended(proc))
		return -EINTR;
	return ready;
}

/*
 * What the host gave has flags that are the host's, so that its calls may block. A process makes them one after the
 * other, and only when poll has just said that there is something: another of its threads cannot take it meanwhile.
 */
static int64_t
transfer_in_turn(struct LFILinuxThread *thread, struct File *file, short events, TransferFn transfer,
    const struct iovec *vector, int count)
{
	struct LFILinuxProc *proc = thread->proc;
	struct pollfd fd = {.fd = file->host, .events = events};
	int64_t result = -EAGAIN;

	pthread_mutex_lock(&proc->stdio_turn);
	if (poll(&fd, 1, 0) > 0)
		result = transfer(thread, file->host, vector, count);
	pthread_mutex_unlock(&proc->stdio_turn);
	return result;
}

bool
block_is_cut(struct LFILinuxThread *thread, struct File *file)
{
	return file->kind == FILE_STDIO && file->sleeps &&
	       (atomic_load(&file->flags) & O_NONBLOCK || atomic_load(&thread->proc->threaded));
}

/* One attempt, which does not sleep unless the thread is alone in its process. */
static int64_t
attempt(struct LFILinuxThread *thread, struct File *file, short events, TransferFn transfer, const struct iovec *vector,
    int count)
{
	if (block_is_cut(thread, file))
		return transfer_in_turn(thread, file, events, transfer, vector, count);
	return transfer(thread, file->host, vector, count);
}

int64_t
block_transfer(struct LFILinuxThread *thread, struct File *file, short events, TransferFn transfer,
    const struct iovec *vector, int count)
{
	struct pollfd fds[2];
	int64_t result;

	for (;;) {
		result = attempt(thread, file, events, transfer, vector, count);
		if (result == -EINTR && !is_over(thread))
			continue;
		if (result != -EAGAIN || atomic_load(&file->flags) & O_NONBLOCK)
			return result;
		fds[0] = (struct pollfd){.fd = file->host, .events = events};
		if (block_poll(thread, fds, 1, NULL) < 0 && is_over(thread))
			return -EINTR;
	}
}

int
block_sleep(struct LFILinuxThread *thread, clockid_t clock, const struct timespec *deadline)
{
	int operation = FUTEX_WAIT_BITSET_PRIVATE | (clock == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0);
	uint32_t *word = (uint32_t *) &thread->proc->ended;
	int result;

	do
		result = wait_futex(thread, word, operation, PROC_ALIVE, deadline, FUTEX_BITSET_MATCH_ANY);
	while ((result == -EINTR || result == 0) && !is_over(thread));
	if (result == -ETIMEDOUT)
		return 0;
	return is_over(thread) ? -EINTR : result;
}

int
block_futex(struct LFILinuxThread *thread, uint32_t *word, int operation, uint32_t value,
    const struct timespec *deadline, uint32_t bits)
{
	int result = -EINTR;

	atomic_store(&thread->waiting_on, word);
	if (!proc_has_ended(thread->proc))
		result = wait_futex(thread, word, operation, value, deadline, bits);
	atomic_store(&thread->waiting_on, NULL);
	return result;
}

/* Wakes everybody once; whether somebody was still to be woken. The process's lock is held. */
static bool
wake_futexes(struct LFILinuxProc *proc)
{
	bool found = false;
	uint32_t *word;

	for (struct LFILinuxThread *thread = proc->threads; thread; thread = thread->next) {
		word = atomic_load(&thread->waiting_on);
		if (word)
			futex_wake(word, INT_MAX);
		found |= word != NULL;
	}
	return found;
}

void
block_wake_all(struct LFILinuxProc *proc)
{
	static const struct timespec pause = {0, 200000};
	uint64_t one = 1;
	bool again;

	if (!atomic_load(&proc->threaded))
		return;
	futex_wake((uint32_t *) &proc->ended, INT_MAX);
	while (write(proc->end_event, &one, sizeof one) < 0 && errno == EINTR)
		continue;
	do {
		pthread_mutex_lock(&proc->lock);
		again = wake_futexes(proc);
		pthread_mutex_unlock(&proc->lock);
		/* Somebody may be between announcing and waiting. */
		if (again)
			nanosleep(&pause, NULL);
	} while (again);
}
