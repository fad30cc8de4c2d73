/* SPDX-License-Identifier: MIT */
/*
 * All places where a thread may sleep in the host's kernel. In one file, so
 * that what ends a process (later: interrupts it) can wake every sleeper.
 * Trusted.
 */
#ifndef LINUX_BLOCK_H
#define LINUX_BLOCK_H

#include <poll.h>
#include <signal.h>
#include <time.h>

#include "linux.h"

/*
 * Sleep until `file` is ready for `events` (POLLIN, POLLOUT), so that the
 * host call that follows need not. 0, -EAGAIN for a file that must not block,
 * -EINTR when the process has ended.
 */
int block_file(struct LFILinuxThread *thread, struct File *file, short events);

/* As ppoll, with room for one more entry at fds[count]. */
int block_poll(struct LFILinuxThread *thread, struct pollfd *fds, nfds_t count, const struct timespec *timeout);

/* Sleep until `deadline` of `clock`. 0, -EINVAL, -EINTR when the process has ended. */
int block_sleep(struct LFILinuxThread *thread, clockid_t clock, const struct timespec *deadline);

/*
 * The host's futex wait on a word of the sandbox. `operation` is
 * FUTEX_WAIT_BITSET_PRIVATE, possibly with FUTEX_CLOCK_REALTIME; deadline may be NULL.
 */
int block_futex(struct LFILinuxThread *thread, uint32_t *word, int operation, uint32_t value,
    const struct timespec *deadline, uint32_t bits);

/* Wake all threads of an ended process that sleep here. */
void block_wake_all(struct LFILinuxProc *proc);

#endif
