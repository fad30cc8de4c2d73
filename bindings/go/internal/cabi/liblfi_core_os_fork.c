//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * What happens around fork(2) in the host; docs/fork.md is the contract. Trusted.
 *
 *   I1  Nothing of the library's is half changed in a child: prepare takes all locks, in the order in which they nest
 *       elsewhere: signals, releases, list of engines, engine, box, slabs, cache, handles, watchdog, spare mappings,
 *       log. lib/linux has its own handlers, registered later, so that its locks are taken before these.
 *   I2  In the child nobody is in a context but the thread that forked: the others are gone (ctx_after_fork).
 */
#include <pthread.h>

#include "box.h"
#include "fork.h"
#include "handles.h"
#include "os.h"

static void
all(enum ForkStep step)
{
	os_signals_fork(step);
	release_fork(step);
	engines_fork(step);
	handles_fork(step);
	watchdog_fork(step);
	os_spare_fork(step);
	log_fork(step);
}

static void
prepare(void)
{
	all(FORK_PREPARE);
}

static void
parent(void)
{
	all(FORK_PARENT);
}

/* What a thread or the kernel did for the parent alone is done anew here, after the locks. */
static void
child(void)
{
	all(FORK_CHILD);
	os_barrier_init();
}

int
os_fork_init(void)
{
	return pthread_atfork(prepare, parent, child);
}
