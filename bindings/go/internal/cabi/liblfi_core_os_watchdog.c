//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * The watchdog: one host thread that ends entries whose deadline has passed, and looks at the CPU time of boxes with a
 * limit. Linux. Trusted.
 *
 * It sleeps until the earliest time that some context waits for. Who sets an earlier one wakes it; nobody tells it that
 * an entry is over: it sees that when it looks. So a deadline costs a few stores.
 *
 *   I1  A context is in the list while it is watched; who frees it takes it out first.
 *   I2  No time is missed. Its owner stores the time, then reads `watched`: the watchdog stores that it stops to watch,
 *       then reads the time again. Likewise with `until`.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "box.h"
#include "error.h"
#include "os.h"

#define NEVER UINT64_MAX
#define STACK_SIZE ((size_t) 64 * 1024)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the list; held while a context is looked at */
static struct LFIContext *watched;
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER; /* the thread */
static pthread_t thread;
static atomic_bool runs, stopping;

static _Atomic uint64_t until; /* it sleeps until then; NEVER also while it looks */
static _Atomic uint32_t news;  /* futex: counts what it may not have seen */

static void
wake(void)
{
	atomic_fetch_add(&news, 1);
	syscall(SYS_futex, &news, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* ---- The list ---- */

static void
enlist(struct LFIContext *ctx)
{
	struct Interrupt *of = &ctx->interrupt;

	pthread_mutex_lock(&lock);
	if (!atomic_load(&of->watched)) {
		of->next = watched;
		of->link = &watched;
		if (watched)
			watched->interrupt.link = &of->next;
		watched = ctx;
		atomic_store(&of->watched, true);
	}
	pthread_mutex_unlock(&lock);
}

static void
delist(struct LFIContext *ctx)
{
	struct Interrupt *of = &ctx->interrupt;

	*of->link = of->next;
	if (of->next)
		of->next->interrupt.link = of->link;
	atomic_store(&of->watched, false);
}

void
watchdog_watch(struct LFIContext *ctx, uint64_t when)
{
	if (!atomic_load(&ctx->interrupt.watched))
		enlist(ctx);
	if (when < atomic_load(&until))
		wake();
}

void
watchdog_forget(struct LFIContext *ctx)
{
	if (!atomic_load(&ctx->interrupt.watched))
		return;
	pthread_mutex_lock(&lock);
	if (atomic_load(&ctx->interrupt.watched))
		delist(ctx);
	pthread_mutex_unlock(&lock);
}

/* ---- The thread ---- */

/* The deadline and what it is for, both of the same time. */
static uint64_t
read_deadline(const struct Interrupt *of, uint64_t *serial)
{
	uint64_t when;

	do {
		when = atomic_load(&of->deadline);
		*serial = atomic_load(&of->deadline_serial);
	} while (atomic_load(&of->deadline) != when);
	return when;
}

/* Do what is due; when to look again. */
static uint64_t
look(struct LFIContext *ctx, uint64_t now)
{
	uint64_t serial, when = read_deadline(&ctx->interrupt, &serial), check = cpu_check(ctx, now);
	uint64_t next = check ? check : NEVER;

	if (!when || atomic_load(&ctx->interrupt.serial) != serial)
		return next;
	if (when <= now)
		when = interrupt_expired(ctx, when, serial) ? NEVER : now + 1000000;
	return when < next ? when : next;
}

static uint64_t
look_at_all(void)
{
	uint64_t now = os_now(), earliest = NEVER, when;
	struct LFIContext *next;

	pthread_mutex_lock(&lock);
	for (struct LFIContext *ctx = watched; ctx; ctx = next) {
		next = ctx->interrupt.next;
		when = look(ctx, now);
		if (when == NEVER) {
			atomic_store(&ctx->interrupt.watched, false);
			when = look(ctx, now); /* I2 */
			if (when == NEVER)
				delist(ctx);
			else
				atomic_store(&ctx->interrupt.watched, true);
		}
		earliest = when < earliest ? when : earliest;
	}
	pthread_mutex_unlock(&lock);
	return earliest;
}

static void *
watch(void *arg)
{
	uint64_t when;
	uint32_t seen;

	(void) arg;
	pthread_setname_np(pthread_self(), "lfi-watchdog");
	prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	while (!atomic_load(&stopping)) {
		atomic_store(&until, NEVER);
		seen = atomic_load(&news);
		when = look_at_all();
		atomic_store(&until, when);
		struct timespec time = {(time_t) (when / 1000000000), (long) (when % 1000000000)};
		syscall(SYS_futex, &news, FUTEX_WAIT_BITSET_PRIVATE, seen, when == NEVER ? NULL : &time, NULL,
		    FUTEX_BITSET_MATCH_ANY);
	}
	return NULL;
}

static int
create(void)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int err;

	atomic_store(&until, NEVER);
	atomic_store(&stopping, false);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, os_stack_size(STACK_SIZE));
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&thread, &attr, watch, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return err;
}

int
watchdog_start(void)
{
	int err = 0;

	if (atomic_load_explicit(&runs, memory_order_acquire))
		return 0;
	pthread_mutex_lock(&start_lock);
	if (!atomic_load(&runs)) {
		err = create();
		atomic_store(&runs, err == 0);
	}
	pthread_mutex_unlock(&start_lock);
	return err ? error_set_os(LFI_ERR_OS, err, "no thread to keep deadlines") : 0;
}

void
watchdog_stop(void)
{
	pthread_mutex_lock(&start_lock);
	if (atomic_load(&runs)) {
		atomic_store(&stopping, true);
		wake();
		pthread_join(thread, NULL);
		atomic_store(&runs, false);
	}
	pthread_mutex_unlock(&start_lock);
}

void
watchdog_fork(enum ForkStep step)
{
	fork_lock(&start_lock, step);
	fork_lock(&lock, step);
	if (step != FORK_CHILD)
		return;
	/* It starts anew when it is needed. The thread that forked has another number. */
	atomic_store(&runs, false);
	thread_self.tid = (int) syscall(SYS_gettid);
	for (struct Frame *frame = thread_self.cur ? thread_self.cur->frame : NULL; frame; frame = frame->below)
		atomic_store(&frame->ctx->interrupt.tid, thread_self.tid);
}
