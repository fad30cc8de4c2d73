/* SPDX-License-Identifier: MIT */
/*
 * Locks around fork(2). A child has only the thread that forked, so a lock that another thread held then is never
 * given back, and what it guards may be half changed. Hence all locks of the library are taken before, in the
 * order of lib/core/os/fork.c, and are new in the child. Trusted.
 */
#ifndef BASE_FORK_H
#define BASE_FORK_H

#include <pthread.h>

enum ForkStep { FORK_PREPARE, FORK_PARENT, FORK_CHILD };

static inline void
fork_lock(pthread_mutex_t *lock, enum ForkStep step)
{
	if (step == FORK_PREPARE) {
		pthread_mutex_lock(lock);
		return;
	}
	pthread_mutex_unlock(lock);
	/* Nobody of those who waited for it is there. */
	if (step == FORK_CHILD)
		pthread_mutex_init(lock, NULL);
}

/* The lock of error.c. */
void log_fork(enum ForkStep step);

#endif
