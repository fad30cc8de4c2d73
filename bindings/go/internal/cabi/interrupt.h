/* SPDX-License-Identifier: MIT */
/*
 * Ending entries from outside: what contexts and boxes keep for it, and what entering and leaving call. See
 * interrupt.c. Trusted.
 */
#ifndef CORE_INTERRUPT_H
#define CORE_INTERRUPT_H

#include "lfi_core.h"
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

struct Frame;

/* Of a context. What others than its thread write is written under the box's interrupt lock. */
struct Interrupt {
	_Atomic uint64_t serial;  /* of the outermost entry that is pending, or of the next one: the token */
	_Atomic uint64_t request; /* serial << 3 | END_*: that entry is to end so; 0: none */
	bool told;                /* the signal for the request was sent */
	_Atomic int tid;          /* the kernel's number of the thread that has entered */
	_Atomic bool sleeping;    /* the thread is in arch_blocking, or close to it */
	_Atomic bool put_off;     /* and got the signal in no place to stop at: it may be blocked until let in */

	/* See os/watchdog.c. */
	_Atomic uint64_t deadline;        /* CLOCK_MONOTONIC, ns; 0: none */
	_Atomic uint64_t deadline_serial; /* of the entry that it is for */
	_Atomic uint64_t check;           /* when to look at the box's CPU time; 0: not */
	_Atomic bool watched;             /* in the watchdog's list */
	struct LFIContext *next, **link;  /* there */

	/* See cpu.c. */
	_Atomic bool metered;        /* the box counts CPU time */
	_Atomic bool running;        /* and counts this entry */
	_Atomic uint64_t cpu_before; /* the thread's CPU time when the entry began, ns */
};

/* Of a box. */
struct BoxInterrupt {
	_Atomic uint32_t lock; /* taken with all signals blocked, held for some microseconds: contexts, requests */
	_Atomic bool metered;
	_Atomic uint64_t cpu_limit, cpu_used; /* ns; used: by entries that are over */
};

/* The box's interrupt lock, for who changes box->contexts; nothing that waits may happen meanwhile. */
void interrupt_lock(struct LFIBox *box, sigset_t *old);
void interrupt_unlock(struct LFIBox *box, const sigset_t *old);

/* How the pending entry is to end: END_*; 0 when nobody said so. Not for fast paths. */
uint32_t interrupt_pending(struct LFIContext *ctx);

/* What the deadline is for ends, when the deadline is still the one at `when`. False: try again soon. */
bool interrupt_expired(struct LFIContext *ctx, uint64_t when, uint64_t serial);

/* All that is executing or blocked in the box ends as `end` says. False: try again. Signal handlers may call it. */
bool interrupt_box(struct LFIBox *box, uint32_t end);

/* Rare parts of frame_push and frame_pop: the innermost frame is on the thread's chain, or off it. */
void interrupt_entered(struct LFIContext *ctx, struct Frame *frame);
void interrupt_left(struct LFIContext *ctx);

/* In the child of a fork, of a context that the thread has not entered: what others wanted of it is forgotten. */
void interrupt_after_fork(struct LFIContext *ctx, bool entered);

/* In the handler of os/kick.c. False: call again when what the signal interrupted has ended. */
bool interrupt_arrived(ucontext_t *uc);

/* The error of an entry that ended so. Returns -1. */
int interrupt_error(struct LFIContext *ctx, uint32_t end);

/* ---- cpu.c: CPU time of boxes ---- */

/* An outermost entry begins and ends. */
void cpu_entered(struct LFIContext *ctx);
void cpu_left(struct LFIContext *ctx);

/* For the watchdog: when to look again (CLOCK_MONOTONIC, ns; 0: never). Ends what runs when the time is used up. */
uint64_t cpu_check(struct LFIContext *ctx, uint64_t now);

#endif
