/* SPDX-License-Identifier: MIT */
/*
 * Sleeping, and waking who sleeps; see block.h. Trusted.
 *
 * A thread that is alone in its process cannot be ended by another one, so it
 * sleeps in the plain host call at no extra cost. Otherwise: descriptors are
 * polled together with the process's end event; sleeps are waits on the
 * process's `ended` word; futex waits are announced in `waiting_on`, and who
 * ends the process wakes that word until nobody announces it any more.
 */
#include "block.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

static int
host_futex(uint32_t *word, int operation, uint32_t value, const struct timespec *deadline, uint32_t bits)
{
	return (int) host_result(syscall(SYS_futex, word, operation, value, deadline, NULL, bits));
}

int
block_poll(struct LFILinuxThread *thread, struct pollfd *fds, nfds_t count, const struct timespec *timeout)
{
	struct LFILinuxProc *proc = thread->proc;
	nfds_t all = count;
	int ready;

	if (atomic_load(&proc->threaded)) {
		fds[count] = (struct pollfd){.fd = proc->end_event, .events = POLLIN};
		all++;
	}
	ready = (int) host_result(ppoll(fds, all, timeout, NULL));
	if (proc_has_ended(proc))
		return -EINTR;
	return ready;
}

int
block_file(struct LFILinuxThread *thread, struct File *file, short events)
{
	static const struct timespec now = {0, 0};
	struct pollfd fds[2] = {{.fd = file->host, .events = events}};
	bool nonblock = atomic_load(&file->flags) & O_NONBLOCK;
	int ready;

	/* The host's kernel itself answers EAGAIN where the flag is on the descriptor. */
	if (file->kind == FILE_PLAIN || file->kind == FILE_DIR || (nonblock && file->kind != FILE_STDIO))
		return 0;
	if (!nonblock && !atomic_load(&thread->proc->threaded))
		return 0;
	do
		ready = block_poll(thread, fds, 1, nonblock ? &now : NULL);
	while (ready == -EINTR && !proc_has_ended(thread->proc));
	if (ready < 0)
		return ready;
	return ready == 0 ? -EAGAIN : 0;
}

int
block_sleep(struct LFILinuxThread *thread, clockid_t clock, const struct timespec *deadline)
{
	int operation = FUTEX_WAIT_BITSET_PRIVATE | (clock == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0);
	uint32_t *word = (uint32_t *) &thread->proc->ended;
	int result;

	do
		result = host_futex(word, operation, PROC_ALIVE, deadline, FUTEX_BITSET_MATCH_ANY);
	while (result == -EINTR || (result == 0 && !proc_has_ended(thread->proc)));
	if (result == -ETIMEDOUT)
		return 0;
	return proc_has_ended(thread->proc) ? -EINTR : result;
}

int
block_futex(struct LFILinuxThread *thread, uint32_t *word, int operation, uint32_t value,
    const struct timespec *deadline, uint32_t bits)
{
	int result = -EINTR;

	atomic_store(&thread->waiting_on, word);
	if (!proc_has_ended(thread->proc))
		result = host_futex(word, operation, value, deadline, bits);
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
			host_futex(word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, 0);
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
	host_futex((uint32_t *) &proc->ended, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, 0);
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
