/* SPDX-License-Identifier: MIT */
/*
 * All places where a thread may sleep in the host's kernel. In one file, so
 * that what ends a process or interrupts an entry wakes every sleeper. Trusted.
 */
#ifndef LINUX_BLOCK_H
#define LINUX_BLOCK_H

#include <poll.h>
#include <signal.h>
#include <sys/uio.h>
#include <time.h>

#include "linux.h"

/* The host's readv or writev, for a file that may have to wait; its result or -errno. */
typedef int64_t (*TransferFn)(struct LFILinuxThread *thread, int host, const struct iovec *vector, int count);

/*
 * Transfer once, as soon as `file` is ready for `events` (POLLIN, POLLOUT). The result of `transfer`, which may be
 * less than all; -EAGAIN for a file that must not block, -EINTR when the process has ended or the entry is
 * interrupted.
 */
int64_t block_transfer(struct LFILinuxThread *thread, struct File *file, short events, TransferFn transfer,
    const struct iovec *vector, int count);

/* Whether a transfer of more than PIPE_BUF bytes may wait where nobody could wake it. */
bool block_is_cut(struct LFILinuxThread *thread, struct File *file);

/* As ppoll, with room for one more entry at fds[count]. */
int block_poll(struct LFILinuxThread *thread, struct pollfd *fds, nfds_t count, const struct timespec *timeout);

/* Sleep until `deadline` of `clock`. 0, -EINVAL, -EINTR as block_transfer. */
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
