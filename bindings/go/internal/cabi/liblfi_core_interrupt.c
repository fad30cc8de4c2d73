//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Interrupts and deadlines: ending an entry from another thread, or from a signal handler. Trusted.
 *
 * Who wants an entry to end stores a request with the entry's number in the context, sets the context's attention,
 * and sends a signal to the thread. The thread itself ends the entry: at the gate of entry.S, which looks at the
 * attention on each way into sandboxed code; or in the signal's handler, which takes it out of sandboxed code, or out
 * of a system call of the host that it sleeps in (arch_blocking). Host code is never cut short: it finds out at the
 * next gate.
 *
 *   I1  A request ends the entry with its number and no other: the number is compared by the thread that counts it.
 *       Whatever signal or attention comes late finds another number.
 *   I2  The thread leaves from the signal handler only when the state is STATE_SANDBOX and pc is in the box, in the
 *       stub page or in what entry.S says may be left so (its I6): no host code, be it a signal handler on top of
 *       sandboxed code, is left in the middle.
 *   I3  A thread gets the signal only while it is in an entry: the sender holds the box's interrupt lock, and an entry
 * that sees attention takes that lock before it ends. That it sees it, or the sender sees that the entry is over, is
 * the barrier's doing. I4  The lock is held with all signals blocked and nothing waits under it, so signal handlers may
 * take it.
 */
#include "interrupt.h"

#include <sched.h>
#include <time.h>

#include "box.h"
#include "error.h"
#include "os.h"

/* ---- The lock ---- */

void
interrupt_lock(struct LFIBox *box, sigset_t *old)
{
	sigset_t all;
	int tries = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, old);
	while (atomic_exchange_explicit(&box->interrupt.lock, 1, memory_order_acquire))
		/* Its holder may have to be scheduled first. */
		if (++tries % 64 == 0)
			sched_yield();
}

void
interrupt_unlock(struct LFIBox *box, const sigset_t *old)
{
	atomic_store_explicit(&box->interrupt.lock, 0, memory_order_release);
	pthread_sigmask(SIG_SETMASK, old, NULL);
}

/* ---- Requests; the lock is held ---- */

static uint32_t
pending(struct LFIContext *ctx)
{
	uint64_t request = atomic_load(&ctx->interrupt.request);

	return request >> 3 == atomic_load(&ctx->interrupt.serial) ? (uint32_t) request & 7 : 0;
}

/* The first request of an entry counts, but a deadline can be taken back: anything else takes its place. */
static void
ask(struct LFIContext *ctx, uint64_t serial, uint32_t end)
{
	uint64_t request = atomic_load(&ctx->interrupt.request);

	if (request >> 3 != serial || (request & 7) == END_DEADLINE)
		atomic_store(&ctx->interrupt.request, serial << 3 | end);
	if (request >> 3 != serial)
		ctx->interrupt.told = false;
	atomic_store(&ctx->attention, 1);
}

/*
 * After ask and the barrier: I3. False when the signal cannot be sent now. One is enough: more of them, sent faster
 * than they are handled, would keep the thread from anything else.
 */
static bool
tell(struct LFIContext *ctx, uint64_t serial)
{
	if (atomic_load(&ctx->interrupt.serial) != serial) {
		atomic_store(&ctx->attention, pending(ctx) != 0);
		return true;
	}
	/* An entry that begins now sees the attention. */
	if (ctx->interrupt.told || atomic_load(&ctx->depth) == 0)
		return true;
	ctx->interrupt.told = os_kick(atomic_load(&ctx->interrupt.tid));
	return ctx->interrupt.told;
}

static void
withdraw(struct LFIContext *ctx)
{
	atomic_store(&ctx->interrupt.request, 0);
	atomic_store(&ctx->attention, 0);
}

uint32_t
interrupt_pending(struct LFIContext *ctx)
{
	sigset_t old;
	uint32_t end;

	interrupt_lock(ctx->box, &old);
	end = pending(ctx);
	if (!end)
		atomic_store(&ctx->attention, 0);
	interrupt_unlock(ctx->box, &old);
	return end;
}

bool
interrupt_expired(struct LFIContext *ctx, uint64_t when, uint64_t serial)
{
	bool sent = true;
	sigset_t old;

	interrupt_lock(ctx->box, &old);
	if (atomic_load(&ctx->interrupt.serial) == serial) {
		ask(ctx, serial, END_DEADLINE);
		os_barrier();
		/* The deadline may have been moved just now; who moves it looks at the attention afterwards. */
		if (atomic_load(&ctx->interrupt.deadline) == when)
			sent = tell(ctx, serial);
		else if (pending(ctx) == END_DEADLINE)
			withdraw(ctx);
	}
	interrupt_unlock(ctx->box, &old);
	return sent;
}

/* The number of the entry that is pending, or 0. Its thread counts on meanwhile. */
static uint64_t
entered(struct LFIContext *ctx)
{
	uint64_t serial;
	uint32_t depth;

	do {
		serial = atomic_load(&ctx->interrupt.serial);
		depth = atomic_load(&ctx->depth);
	} while (atomic_load(&ctx->interrupt.serial) != serial);
	return depth ? serial : 0;
}

bool
interrupt_box(struct LFIBox *box, uint32_t end)
{
	bool sent = true;
	uint64_t serial;
	sigset_t old;

	interrupt_lock(box, &old);
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next) {
		serial = entered(ctx);
		if (serial)
			ask(ctx, serial, end);
	}
	os_barrier();
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next)
		if (atomic_load(&ctx->attention))
			sent &= tell(ctx, atomic_load(&ctx->interrupt.request) >> 3);
	interrupt_unlock(box, &old);
	return sent;
}

/* ---- On the thread that has entered ---- */

/* The calling thread's own entry: no signal. */
static void
ask_self(struct LFIContext *ctx, uint32_t end)
{
	sigset_t old;

	interrupt_lock(ctx->box, &old);
	ask(ctx, atomic_load(&ctx->interrupt.serial), end);
	interrupt_unlock(ctx->box, &old);
}

/* Entries into other contexts that the thread made from within an interrupted one run on its behalf: they end too. */
static void
spread(void)
{
	struct Frame *top = thread_self.cur ? thread_self.cur->frame : NULL;
	uint32_t end;

	for (struct Frame *frame = top; frame; frame = frame->below) {
		if (!atomic_load(&frame->ctx->attention) || !(end = interrupt_pending(frame->ctx)))
			continue;
		for (struct Frame *above = top; above != frame; above = above->below)
			ask_self(above->ctx, end);
	}
}

void
interrupt_entered(struct LFIContext *ctx, struct Frame *frame)
{
	uint32_t end;

	if (frame->below && frame->below->ctx != ctx && atomic_load(&frame->below->ctx->attention)) {
		end = interrupt_pending(frame->below->ctx);
		if (end)
			ask_self(ctx, end);
	}
	if (!frame->prev && atomic_load(&ctx->interrupt.metered))
		cpu_entered(ctx);
}

void
interrupt_left(struct LFIContext *ctx)
{
	if (atomic_load(&ctx->interrupt.running))
		cpu_left(ctx);
	if (!atomic_load(&ctx->attention))
		return;
	interrupt_pending(ctx);
	/* A signal that is on its way arrives now (I3), and one that was put off. */
	os_kick_unblock();
}

void
interrupt_after_fork(struct LFIContext *ctx, bool entered)
{
	struct Interrupt *interrupt = &ctx->interrupt;

	if (entered)
		atomic_store(&interrupt->serial, atomic_load(&interrupt->serial) + 1);
	withdraw(ctx);
	atomic_store(&interrupt->running, false);
	atomic_store(&interrupt->sleeping, false);
	atomic_store(&interrupt->put_off, false);
}

bool
interrupt_arrived(ucontext_t *uc)
{
	struct LFIContext *ctx = thread_self.cur;
	uint64_t pc = arch_fault_pc(uc);
	uint32_t end;

	spread();
	if (!ctx || !atomic_load(&ctx->attention) || !(end = interrupt_pending(ctx)))
		return true;
	if (atomic_load_explicit(&ctx->state, memory_order_relaxed) != STATE_SANDBOX) {
		if (arch_blocking_stop(uc) || !atomic_load(&ctx->interrupt.sleeping))
			return true;
		atomic_store(&ctx->interrupt.put_off, true);
		return false;
	}
	if (pc - ctx->box->base >= BOX_SIZE && !arch_crossing(&ctx->box->engine->stubs, pc))
		return false;
	arch_fault_leave(uc, ctx, end);
	return true;
}

bool
ctx_interrupted(struct LFIContext *ctx)
{
	return atomic_load_explicit(&ctx->attention, memory_order_relaxed) && interrupt_pending(ctx) != 0;
}

int64_t
ctx_blocking(struct LFIContext *ctx, long number, long a, long b, long c, long d, long e, long f)
{
	int64_t result;

	atomic_store_explicit(&ctx->interrupt.sleeping, true, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	result = arch_blocking(&ctx->attention, number, a, b, c, d, e, f);
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(&ctx->interrupt.sleeping, false, memory_order_relaxed);
	if (atomic_load(&ctx->interrupt.put_off)) {
		atomic_store(&ctx->interrupt.put_off, false);
		os_kick_unblock();
	}
	return result;
}

int
interrupt_error(struct LFIContext *ctx, uint32_t end)
{
	if (end == END_DEADLINE)
		return error_set(LFI_ERR_DEADLINE, "the deadline of the call has passed");
	if (end == END_LIMIT)
		return error_set(LFI_ERR_LIMIT, "the sandbox's CPU time limit of %llu ns is used up",
		    (unsigned long long) atomic_load(&ctx->box->interrupt.cpu_limit));
	return error_set(LFI_ERR_INTERRUPTED, "the call was interrupted");
}

/* ---- The public calls ---- */

static int
not_sent(void)
{
	return error_set(LFI_ERR_OS, "too many signals are pending for this user: try again");
}

int
lfi_box_interrupt(struct LFIBox *box)
{
	if (handle_check(box, HANDLE_BOX) < 0)
		return -1;
	return interrupt_box(box, END_INTERRUPT) ? 0 : not_sent();
}

uint64_t
lfi_ctx_token(struct LFIContext *ctx)
{
	return ctx_check(ctx) < 0 ? 0 : atomic_load(&ctx->interrupt.serial);
}

int
lfi_ctx_interrupt(struct LFIContext *ctx, uint64_t token)
{
	bool found, sent = true;
	sigset_t old;

	if (ctx_check(ctx) < 0)
		return -1;
	interrupt_lock(ctx->box, &old);
	found = atomic_load(&ctx->interrupt.serial) == token;
	if (found) {
		ask(ctx, token, END_INTERRUPT);
		os_barrier();
		sent = tell(ctx, token);
	}
	interrupt_unlock(ctx->box, &old);
	if (!found)
		return error_set(LFI_ERR_NOTFOUND, "entry %llu of the context is over, or never was announced",
		    (unsigned long long) token);
	return sent ? 0 : not_sent();
}

bool
lfi_ctx_interrupted(struct LFIContext *ctx)
{
	return ctx_check(ctx) == 0 && ctx_interrupted(ctx);
}

/* A deadline that has passed before the entry began is forgotten with the deadline. */
static void
forget_expired(struct LFIContext *ctx)
{
	sigset_t old;

	interrupt_lock(ctx->box, &old);
	if (pending(ctx) == END_DEADLINE && atomic_load(&ctx->depth) == 0)
		withdraw(ctx);
	interrupt_unlock(ctx->box, &old);
}

int
lfi_ctx_deadline_at(struct LFIContext *ctx, uint64_t when_ns)
{
	struct Interrupt *interrupt;

	if (ctx_check(ctx) < 0)
		return -1;
	interrupt = &ctx->interrupt;
	if (when_ns && watchdog_start() < 0)
		return -1;
	/* In this order for the watchdog, which reads deadline, serial, deadline. */
	atomic_store_explicit(&interrupt->deadline, 0, memory_order_release);
	atomic_store_explicit(&interrupt->deadline_serial, atomic_load(&interrupt->serial), memory_order_release);
	atomic_store(&interrupt->deadline, when_ns);
	if (atomic_load(&ctx->attention))
		forget_expired(ctx);
	if (!when_ns)
		return 0;
	if (when_ns <= os_now())
		interrupt_expired(ctx, when_ns, atomic_load(&interrupt->serial));
	else
		watchdog_watch(ctx, when_ns);
	return 0;
}

int
lfi_ctx_deadline(struct LFIContext *ctx, uint64_t timeout_ns)
{
	uint64_t now = timeout_ns ? os_now() : 0;

	return lfi_ctx_deadline_at(ctx, timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns);
}
