//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * CPU time of boxes that have a limit: the time of the host threads from the begin of their outermost entry to its end,
 * with the host code that the box calls. Reading a thread's clock costs half a microsecond, so other boxes do without.
 * The watchdog looks when the time could be used up, but not more often than once a millisecond. Trusted.
 */
#include <time.h>

#include "box.h"
#include "error.h"
#include "os.h"

#define CHECK_MIN ((uint64_t) 1000000) /* ns */

/* ns of CPU time, of a thread of this process; 0 when there is no such thread. */
static uint64_t
thread_time(int tid)
{
	/* See clock_getcpuclockid(3) and the kernel's posix-timers_types.h: a thread's clock of time scheduled. */
	clockid_t clock = (clockid_t) ~(unsigned) tid << 3 | 6;
	struct timespec time = {0, 0};

	clock_gettime(clock, &time);
	return (uint64_t) time.tv_sec * 1000000000 + (uint64_t) time.tv_nsec;
}

/* The lock is held. */
static uint64_t
used_by_entry(struct LFIContext *ctx)
{
	uint64_t before = atomic_load(&ctx->interrupt.cpu_before);
	uint64_t now = thread_time(atomic_load(&ctx->interrupt.tid));

	return now > before ? now - before : 0;
}

static uint64_t
used_by_box(struct LFIBox *box, uint64_t *running)
{
	uint64_t used;
	sigset_t old;

	*running = 0;
	interrupt_lock(box, &old);
	used = atomic_load(&box->interrupt.cpu_used);
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next) {
		if (atomic_load(&ctx->interrupt.running)) {
			used += used_by_entry(ctx);
			++*running;
		}
	}
	interrupt_unlock(box, &old);
	return used;
}

uint64_t
box_cpu_used(struct LFIBox *box)
{
	uint64_t running;

	return used_by_box(box, &running);
}

int
box_cpu_limit(struct LFIBox *box, uint64_t ns)
{
	uint64_t now = os_now();
	sigset_t old;

	if (watchdog_start() < 0)
		return -1;
	pthread_mutex_lock(&box->lock);
	atomic_store(&box->interrupt.cpu_limit, ns);
	interrupt_lock(box, &old);
	atomic_store(&box->interrupt.metered, true);
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next)
		atomic_store(&ctx->interrupt.metered, true);
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next)
		quick_disable(ctx);
	interrupt_unlock(box, &old);
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next) {
		if (atomic_load(&ctx->interrupt.running)) {
			atomic_store(&ctx->interrupt.check, now);
			watchdog_watch(ctx, now);
		}
	}
	pthread_mutex_unlock(&box->lock);
	return 0;
}

void
cpu_entered(struct LFIContext *ctx)
{
	struct Interrupt *of = &ctx->interrupt;
	uint64_t now;

	atomic_store(&of->cpu_before, thread_time(atomic_load(&of->tid)));
	atomic_store(&of->running, true);
	if (atomic_load(&ctx->box->interrupt.cpu_limit) == UINT64_MAX)
		return;
	now = os_now();
	atomic_store(&of->check, now);
	now = cpu_check(ctx, now);
	/* In the child of a fork it may have to be started. */
	if (now && watchdog_start() == 0)
		watchdog_watch(ctx, now);
}

void
cpu_left(struct LFIContext *ctx)
{
	sigset_t old;

	interrupt_lock(ctx->box, &old);
	atomic_fetch_add(&ctx->box->interrupt.cpu_used, used_by_entry(ctx));
	atomic_store(&ctx->interrupt.running, false);
	interrupt_unlock(ctx->box, &old);
}

uint64_t
cpu_check(struct LFIContext *ctx, uint64_t now)
{
	struct Interrupt *of = &ctx->interrupt;
	uint64_t limit = atomic_load(&ctx->box->interrupt.cpu_limit), check = atomic_load(&of->check), used, running;

	if (!atomic_load(&of->running) || limit == UINT64_MAX)
		return 0;
	if (check > now)
		return check;
	used = used_by_box(ctx->box, &running);
	if (used >= limit) {
		/* Once more, should an entry begin just now. */
		interrupt_box(ctx->box, END_LIMIT);
		check = now + CHECK_MIN;
	} else {
		check = now + (limit - used) / (running ? running : 1);
		check = check < now + CHECK_MIN ? now + CHECK_MIN : check;
	}
	atomic_store(&of->check, check);
	return check;
}
