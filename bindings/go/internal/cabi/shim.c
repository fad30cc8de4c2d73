/* SPDX-License-Identifier: MIT */
/*
 * Boxes as Go has them: who is inside, and with which context.
 *
 * Goroutines move between threads, sandbox contexts should not: each thread that calls into a box gets a seat there,
 * with a context of its own, so that a call takes no lock and no atomic operation. A thread's thread-local data in the
 * sandbox is its own likewise.
 *
 *   I1  A box's handles are used by a call only while the box has the life (serial) that the caller means. Who enters
 *       says so in its seat, then looks at the serial; who ends that life changes the serial, then looks at all seats,
 *       with a barrier for all threads between (retire).
 *   I2  Seats are taken out of lists under the lock. A seat whose box's life is over is dead: its thread frees it.
 *   I3  The struct GoBox lives longer than all that has its address: Go frees it when nothing leads to it any more.
 */
#include "shim_box.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Written in Go. Both give the handle of a panic, or 0. */
extern uintptr_t lfiGoHostFunction(uintptr_t handle, bool relay, uintptr_t args, uintptr_t result);
extern uintptr_t lfiGoRuntimeCall(uintptr_t handle);

/* The place of a thread in a box. */
struct Seat {
	uint64_t serial;
	struct LFIContext *ctx;
	_Atomic unsigned depth; /* entries; written by the thread */
	_Atomic bool dead;
	bool lent;
	struct GoBox *box;
	struct Seat *next;           /* of the thread, with the same hash */
	struct Seat *peer, **parent; /* of the box */
};

struct GoFn {
	struct GoBox *box;
	struct LFIFn *fn;
	uint64_t structs;
	bool struct_result;
	struct GoFn *next;
};

/* A Go function that sandboxed code may call; stays with the box, as somebody may be in it. */
struct GoHost {
	uintptr_t handle;
	struct GoHost *next;
};

/* A call under way; they nest. */
struct GoEntry {
	struct GoEntry *up;
	struct GoBox *box;
	struct Seat *seat;
	uintptr_t handler, panic;
	struct GoCancel *cancel;
	bool outermost; /* of its context */
};

enum { HASH = 256 };
static __thread struct Seat *seats[HASH];
static __thread struct GoEntry *current;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* lists of seats, functions and hosts; lives of boxes */
static _Atomic uint64_t serials;
static bool fenced; /* there is no barrier for other threads */

/* ---- Errors ---- */

static struct GoFailure *
closed(void)
{
	return go_fail(GO_CLOSED, "the sandbox is closed");
}

static void
add_fault(struct GoFailure *failure, const struct LFIFault *fault, struct LFILinuxProc *proc)
{
	failure->has_fault = true;
	failure->signal = fault->signal;
	failure->signal_code = fault->code;
	failure->kind = (int) fault->kind;
	snprintf(failure->kind_name, sizeof failure->kind_name, "%s", lfi_fault_kind_name((int) fault->kind));
	failure->address = fault->address;
	failure->pc = fault->pc;
	failure->pc_offset = fault->pc_offset;
	failure->symbol_offset = fault->symbol_offset;
	memcpy(failure->symbol, fault->symbol, sizeof failure->symbol);
	failure->symbol[sizeof failure->symbol - 1] = 0;
	failure->depth = fault->depth < LFI_BACKTRACE_MAX ? fault->depth : LFI_BACKTRACE_MAX;
	for (uint32_t i = 0; i < failure->depth; i++) {
		struct GoPlace *place = &failure->trace[i];

		place->address = fault->backtrace[i];
		place->offset = place->address - (fault->pc - fault->pc_offset);
		if (!proc || lfi_proc_symbolize(
				 proc, place->address, place->symbol, sizeof place->symbol, &place->symbol_offset) < 0)
			place->symbol[0] = 0;
	}
	lfi_fault_format(fault, failure->text, sizeof failure->text);
}

/* Why an entry ended; asked before it is left. */
static struct GoFailure *
ended(const struct GoEntry *entry, bool program)
{
	struct LFILinuxProc *proc = entry->box->proc;
	struct GoFailure *failure;
	struct LFIFault fault;

	if (entry->panic) {
		failure = go_fail(GO_PANIC, "a Go function that the sandbox called has panicked");
		failure->panic = entry->panic;
		return failure;
	}
	failure = go_failed();
	if (failure->code == LFI_ERR_FAULT &&
	    (program ? lfi_proc_fault(proc, &fault) : lfi_ctx_fault(entry->seat->ctx, &fault)) == 0)
		add_fault(failure, &fault, proc);
	return failure;
}

/* ---- Seats ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

static void
unlink_seat(struct Seat *seat)
{
	*seat->parent = seat->peer;
	if (seat->peer)
		seat->peer->parent = seat->parent;
}

/* Its thread ends; liblfi frees a context that was made for the thread. */
static void
leave_seat(struct Seat *seat)
{
	struct GoBox *box = seat->box;

	if (atomic_load(&seat->dead))
		return;
	unlink_seat(seat);
	if (seat->ctx && box->proc && lfi_proc_thread(box->proc) &&
	    seat->ctx == lfi_thread_ctx(lfi_proc_thread(box->proc)))
		box->primary_taken = false;
	else if (seat->ctx)
		box->taken--;
}

static void
thread_ends(void *unused)
{
	struct Seat *seat;

	(void) unused;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < HASH; i++)
		while ((seat = seats[i])) {
			seats[i] = seat->next;
			leave_seat(seat);
			free(seat);
		}
	pthread_mutex_unlock(&lock);
}

static void
begin(void)
{
	pthread_key_create(&key, thread_ends);
	fenced = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0;
}

void
go_begin(void)
{
	pthread_once(&once, begin);
}

/* I2. Those of this thread that are of no use any more. */
static void
free_dead(struct Seat **at)
{
	struct Seat *seat;

	while ((seat = *at)) {
		if (atomic_load(&seat->dead)) {
			*at = seat->next;
			free(seat);
		} else {
			at = &seat->next;
		}
	}
}

static struct LFIContext *
primary(struct GoBox *box)
{
	struct LFILinuxThread *thread = box->proc ? lfi_proc_thread(box->proc) : NULL;

	return thread ? lfi_thread_ctx(thread) : NULL;
}

/* A seat for this thread. NULL: the life is over. */
static struct Seat *
make_seat(struct GoBox *box, uint64_t serial)
{
	struct Seat *seat = calloc(1, sizeof *seat);

	if (!seat)
		abort();
	pthread_once(&once, begin);
	pthread_setspecific(key, seats);
	free_dead(&seats[serial % HASH]);
	pthread_mutex_lock(&lock);
	if (serial == 0 || atomic_load(&box->serial) != serial) {
		pthread_mutex_unlock(&lock);
		free(seat);
		return NULL;
	}
	seat->serial = serial;
	seat->box = box;
	if (!box->primary_taken && (seat->ctx = primary(box)))
		box->primary_taken = true;
	seat->peer = box->seats;
	seat->parent = &box->seats;
	if (seat->peer)
		seat->peer->parent = &seat->peer;
	box->seats = seat;
	pthread_mutex_unlock(&lock);
	seat->next = seats[serial % HASH];
	seats[serial % HASH] = seat;
	return seat;
}

static inline struct Seat *
find_seat(uint64_t serial)
{
	struct Seat *seat = seats[serial % HASH];

	while (seat && seat->serial != serial)
		seat = seat->next;
	return seat;
}

/* A context for a seat that has none; the thread is inside. */
static struct GoFailure *
find_context(struct GoBox *box, struct Seat *seat, struct LFIContext *lent)
{
	bool room;

	if (lent) {
		seat->ctx = lent;
		seat->lent = true;
		return NULL;
	}
	pthread_mutex_lock(&lock);
	room = box->taken + box->primary_taken < box->room;
	box->taken += room;
	pthread_mutex_unlock(&lock);
	if (!room)
		return go_fail(GO_CROWDED, "more threads call into the sandbox than have a context there");
	seat->ctx = lfi_ctx_clone(box->box);
	if (seat->ctx)
		return NULL;
	pthread_mutex_lock(&lock);
	box->taken--;
	pthread_mutex_unlock(&lock);
	return go_failed();
}

/* ---- Entering ---- */

/* Who ends a life, and may think better of it, has the lock. */
static bool
still_alive(struct GoBox *box, uint64_t serial)
{
	bool alive;

	pthread_mutex_lock(&lock);
	alive = atomic_load(&box->serial) == serial;
	pthread_mutex_unlock(&lock);
	return alive;
}

static inline void
sit_down(struct Seat *seat)
{
	atomic_store_explicit(
	    &seat->depth, atomic_load_explicit(&seat->depth, memory_order_relaxed) + 1, memory_order_relaxed);
	if (fenced)
		atomic_thread_fence(memory_order_seq_cst);
	else
		atomic_signal_fence(memory_order_seq_cst);
}

static inline void
stand_up(struct Seat *seat)
{
	atomic_store_explicit(
	    &seat->depth, atomic_load_explicit(&seat->depth, memory_order_relaxed) - 1, memory_order_release);
}

static inline struct GoFailure *
enter(struct GoEntry *entry, struct GoBox *box, uint64_t serial, struct LFIContext *lent)
{
	struct Seat *seat = find_seat(serial);
	struct GoFailure *failure;

	if (!seat && !(seat = make_seat(box, serial)))
		return closed();
	sit_down(seat);
	if (atomic_load_explicit(&box->serial, memory_order_relaxed) != serial && !still_alive(box, serial)) {
		stand_up(seat);
		return closed();
	}
	entry->outermost = atomic_load_explicit(&seat->depth, memory_order_relaxed) == 1;
	if (!seat->ctx && (failure = find_context(box, seat, lent))) {
		stand_up(seat);
		return failure;
	}
	entry->box = box;
	entry->seat = seat;
	entry->handler = entry->panic = 0;
	entry->cancel = NULL;
	entry->up = current;
	current = entry;
	return NULL;
}

static inline void
leave(struct GoEntry *entry)
{
	struct Seat *seat = entry->seat;

	current = entry->up;
	if (seat->lent && entry->outermost) {
		seat->lent = false;
		seat->ctx = NULL;
	}
	stand_up(seat);
}

/* ---- Cancelling ---- */

struct GoCancel {
	pthread_mutex_t lock;
	struct LFIContext *ctx;
	uint64_t token;
	bool fired;
	_Atomic int holders;
};

struct GoCancel *
go_cancel_new(void)
{
	struct GoCancel *cancel = calloc(1, sizeof *cancel);

	if (!cancel)
		abort();
	pthread_mutex_init(&cancel->lock, NULL);
	atomic_init(&cancel->holders, 2);
	return cancel;
}

void
go_cancel_fire(struct GoCancel *cancel)
{
	pthread_mutex_lock(&cancel->lock);
	cancel->fired = true;
	if (cancel->ctx)
		lfi_ctx_interrupt(cancel->ctx, cancel->token);
	pthread_mutex_unlock(&cancel->lock);
}

void
go_cancel_drop(struct GoCancel *cancel)
{
	if (atomic_fetch_sub(&cancel->holders, 1) == 1) {
		pthread_mutex_destroy(&cancel->lock);
		free(cancel);
	}
}

/* A deadline is the outermost entry's: one of a call inside another is kept by who fires. */
static struct GoFailure *
arm(struct GoEntry *entry, uint64_t timeout_ns, struct GoCancel *cancel)
{
	struct LFIContext *ctx = entry->seat->ctx;
	bool fired;

	if (timeout_ns && entry->outermost && lfi_ctx_deadline(ctx, timeout_ns) < 0)
		return go_failed();
	if (!cancel)
		return NULL;
	pthread_mutex_lock(&cancel->lock);
	fired = cancel->fired;
	if (!fired) {
		cancel->ctx = ctx;
		cancel->token = lfi_ctx_token(ctx);
		entry->cancel = cancel;
	}
	pthread_mutex_unlock(&cancel->lock);
	if (!fired)
		return NULL;
	if (timeout_ns && entry->outermost)
		lfi_ctx_deadline(ctx, 0);
	return go_fail(LFI_ERR_INTERRUPTED, "the call was cancelled before it began");
}

static void
disarm(struct GoEntry *entry)
{
	if (!entry->cancel)
		return;
	pthread_mutex_lock(&entry->cancel->lock);
	entry->cancel->ctx = NULL;
	pthread_mutex_unlock(&entry->cancel->lock);
}

/* ---- Being called ---- */

static void
panicked(struct LFIContext *ctx, uintptr_t panic)
{
	lfi_ctx_end_call(ctx);
	current->panic = panic;
}

static void
host_function(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	const struct GoHost *host = user;
	uintptr_t panic;

	panic = lfiGoHostFunction(host->handle, current != NULL, (uintptr_t) args, (uintptr_t) ret);
	if (panic)
		panicked(ctx, panic);
}

static void
runtime_call(struct LFIContext *ctx)
{
	uintptr_t panic;

	if (!current || !current->handler) {
		lfi_ctx_exit(ctx, -1);
		return;
	}
	panic = lfiGoRuntimeCall(current->handler);
	if (panic)
		panicked(ctx, panic);
}

void
go_engine_serve(uintptr_t engine)
{
	lfi_sys_handler((struct LFIEngine *) engine, runtime_call);
}

/* ---- Lives of boxes ---- */

static struct GoResult
box_of(struct LFIBox *raw, struct LFILinuxProc *proc, unsigned room)
{
	struct GoBox *box;

	if (!raw)
		return (struct GoResult){.failure = go_failed()};
	box = calloc(1, sizeof *box);
	if (!box)
		abort();
	box->box = raw;
	box->proc = proc;
	box->room = room;
	atomic_init(&box->serial, atomic_fetch_add(&serials, 1) + 1);
	return (struct GoResult){.value = (uintptr_t) box};
}

struct GoResult
go_box_new(uintptr_t engine)
{
	return box_of(lfi_box_new((struct LFIEngine *) engine), NULL, 0);
}

struct GoResult
go_proc_new(uintptr_t linux_, unsigned seats_)
{
	struct LFILinuxProc *proc = lfi_proc_new((struct LFILinuxEngine *) linux_);

	return box_of(proc ? lfi_proc_box(proc) : NULL, proc, seats_);
}

struct GoResult
go_snapshot_clone(uintptr_t snapshot, unsigned seats_)
{
	struct LFILinuxProc *proc = lfi_snapshot_clone((struct LFISnapshot *) snapshot);

	return box_of(proc ? lfi_proc_box(proc) : NULL, proc, seats_);
}

uint64_t
go_box_serial(struct GoBox *box)
{
	return atomic_load(&box->serial);
}

/* Whether somebody is inside; seats of other threads are looked at after a barrier. With the lock. */
static bool
occupied(struct GoBox *box)
{
	bool others = false, inside = false;

	for (struct Seat *seat = box->seats; seat; seat = seat->peer)
		others |= find_seat(seat->serial) != seat;
	if (others && !fenced)
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	for (struct Seat *seat = box->seats; seat; seat = seat->peer)
		inside |= atomic_load(&seat->depth) > 0;
	return inside;
}

/* I1. */
struct GoFailure *
go_box_retire(struct GoBox *box)
{
	struct GoFailure *failure = NULL;
	struct Seat *seat;
	uint64_t serial;

	pthread_mutex_lock(&lock);
	serial = atomic_exchange(&box->serial, 0);
	if (occupied(box)) {
		atomic_store(&box->serial, serial);
		failure = go_fail(LFI_ERR_BUSY, "calls are still in the sandbox");
	} else {
		while ((seat = box->seats)) {
			unlink_seat(seat);
			atomic_store(&seat->dead, true); /* I2: from here on it is its thread's */
		}
		box->primary_taken = false;
		box->taken = 0;
	}
	pthread_mutex_unlock(&lock);
	return failure;
}

struct GoResult
go_box_renew(struct GoBox *box)
{
	uint64_t serial;

	if (!box->proc)
		return (struct GoResult){.failure = closed()};
	if (lfi_proc_reset(box->proc) < 0)
		return (struct GoResult){.failure = go_failed()};
	serial = atomic_fetch_add(&serials, 1) + 1;
	atomic_store(&box->serial, serial);
	return (struct GoResult){.value = serial};
}

struct GoFailure *
go_box_empty(struct GoBox *box)
{
	if (!box->box)
		return NULL;
	for (struct GoFn *fn = box->fns; fn; fn = fn->next) {
		lfi_fn_free(fn->fn);
		fn->fn = NULL;
	}
	lfi_error_clear();
	if (box->proc)
		lfi_proc_free(box->proc);
	else
		lfi_box_free(box->box);
	box->box = NULL;
	box->proc = NULL;
	return lfi_errno() == LFI_OK ? NULL : go_failed();
}

void
go_box_free(struct GoBox *box)
{
	struct GoFn *fn;
	struct GoHost *host;

	while ((fn = box->fns)) {
		box->fns = fn->next;
		free(fn);
	}
	while ((host = box->hosts)) {
		box->hosts = host->next;
		free(host);
	}
	free(box);
}

/* ---- Host functions ---- */

/*
 * liblfi takes the first entry that is free: those that had others before are taken for a moment, so that each comes to
 * where the frozen memory expects it.
 */
static void *
register_at(struct GoBox *box, const char *signature, struct GoHost *host, uint32_t at)
{
	void *got = lfi_box_register_fn(box->box, signature, host_function, host), *wanted = NULL;

	if (!got || (uint32_t) (uintptr_t) got == at)
		return got;
	if ((uint32_t) (uintptr_t) got < at)
		wanted = register_at(box, signature, host, at);
	lfi_box_unregister_fn(box->box, got);
	return wanted;
}

struct GoResult
go_box_register(struct GoBox *box, const char *signature, uintptr_t handle, uint64_t at)
{
	struct GoHost *host;
	void *got;

	if (!lfi_box_cbinit(box->box))
		return (struct GoResult){.failure = go_failed()};
	host = calloc(1, sizeof *host);
	if (!host)
		abort();
	host->handle = handle;
	lfi_error_clear();
	got = at ? register_at(box, signature, host, (uint32_t) at)
		 : lfi_box_register_fn(box->box, signature, host_function, host);
	if (!got) {
		free(host);
		return (struct GoResult){
		    .failure = lfi_errno() != LFI_OK
				   ? go_failed()
				   : go_fail(LFI_ERR_UNSUPPORTED,
					 "the place of a callback of the snapshot is not free in its clone")};
	}
	pthread_mutex_lock(&lock);
	host->next = box->hosts;
	box->hosts = host;
	pthread_mutex_unlock(&lock);
	return (struct GoResult){.value = (uint32_t) (uintptr_t) got};
}

struct GoFailure *
go_box_unregister(struct GoBox *box, uint64_t at)
{
	return go_status(lfi_box_unregister_fn(box->box, (void *) (uintptr_t) at));
}

/* ---- Runs ---- */

struct GoResult
go_box_run(struct GoBox *box, uint64_t serial, bool library, uint64_t timeout_ns, struct GoCancel *cancel)
{
	struct GoResult result = {0, NULL};
	struct LFILinuxThread *thread;
	struct GoEntry entry;
	int r;

	if ((result.failure = enter(&entry, box, serial, NULL)))
		return result;
	if ((result.failure = arm(&entry, timeout_ns, cancel)) == NULL) {
		thread = lfi_proc_thread(box->proc);
		r = library ? lfi_linux_init_clone(thread) : lfi_thread_run(thread);
		if (r < 0 || entry.panic)
			result.failure = ended(&entry, true);
		result.value = (uint64_t) r;
		disarm(&entry);
	}
	leave(&entry);
	return result;
}

/*
 * Contexts of the core API are the caller's choice: the seat has one for the time of an entry, and what was there for
 * one around it comes back.
 */
struct GoResult
go_ctx_run(struct GoBox *box, uint64_t serial, uintptr_t context, uint64_t at, uintptr_t handler, uint64_t timeout_ns,
    struct GoCancel *cancel)
{
	struct LFIContext *ctx = (struct LFIContext *) context, *before;
	struct GoResult result = {0, NULL};
	struct GoEntry entry;
	int r;

	if ((result.failure = enter(&entry, box, serial, ctx)))
		return result;
	before = entry.seat->ctx;
	entry.seat->ctx = ctx;
	entry.handler = handler;
	if ((result.failure = arm(&entry, timeout_ns, cancel)) == NULL) {
		lfi_error_clear();
		r = lfi_ctx_run(ctx, at);
		/* A handler may have given -1 to lfi_ctx_exit: then there is no error. */
		if (entry.panic || (r == -1 && lfi_errno() != LFI_OK))
			result.failure = ended(&entry, false);
		result.value = (uint64_t) r;
		disarm(&entry);
	}
	entry.seat->ctx = before;
	leave(&entry);
	return result;
}

/* ---- Calls ---- */

struct GoResult
go_fn_new(struct GoBox *box, uint64_t at, const char *signature, uint64_t structs, bool struct_result)
{
	struct LFIFn *prepared = lfi_fn_new(box->box, at, signature);
	struct GoFn *fn;

	if (!prepared)
		return (struct GoResult){.failure = go_failed()};
	fn = calloc(1, sizeof *fn);
	if (!fn)
		abort();
	fn->box = box;
	fn->fn = prepared;
	fn->structs = structs;
	fn->struct_result = struct_result;
	pthread_mutex_lock(&lock);
	fn->next = box->fns;
	box->fns = fn;
	pthread_mutex_unlock(&lock);
	return (struct GoResult){.value = (uintptr_t) fn};
}

static inline struct GoResult
call_scalars(struct GoFn *fn, uint64_t serial, const union LFIValue *args)
{
	struct GoResult result = {0, NULL};
	union LFIValue ret = {.u = 0};
	struct GoEntry entry;

	if ((result.failure = enter(&entry, fn->box, serial, NULL)))
		return result;
	if (lfi_fn_call(fn->fn, &entry.seat->ctx, args, &ret) < 0)
		result.failure = ended(&entry, false);
	leave(&entry);
	result.value = ret.u;
	return result;
}

struct GoResult
go_fn_call_few(uintptr_t fn, uint64_t serial, uint64_t a, uint64_t b, uint64_t c)
{
	const union LFIValue args[3] = {{.u = a}, {.u = b}, {.u = c}};

	return call_scalars((struct GoFn *) fn, serial, args);
}

struct GoResult
go_fn_call(uintptr_t fn, uint64_t serial, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	const union LFIValue args[6] = {{.u = a}, {.u = b}, {.u = c}, {.u = d}, {.u = e}, {.u = f}};

	return call_scalars((struct GoFn *) fn, serial, args);
}

static struct GoFailure *
copy_in(struct GoBox *box, const uint8_t *buffer, const struct GoCopy *copies, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (lfi_box_copyto(box->box, copies[i].to, buffer + copies[i].from, copies[i].size) < 0)
			return go_failed();
	return NULL;
}

static struct GoFailure *
call_fully(struct GoFn *fn, struct GoEntry *entry, uint8_t *buffer, const struct GoCall *call, uint64_t *value)
{
	const uint64_t *words = (const uint64_t *) buffer;
	union LFIValue args[64], ret = {.u = 0};
	struct GoFailure *failure;

	for (uint32_t i = 0; i < call->nargs; i++)
		if (fn->structs >> i & 1)
			args[i].p = buffer + words[i];
		else
			args[i].u = words[i];
	if (fn->struct_result)
		ret.p = buffer + words[call->nargs];
	failure = copy_in(fn->box, buffer, (const struct GoCopy *) (words + call->nargs + 1), call->ncopies);
	if (!failure)
		failure = arm(entry, call->timeout_ns, call->cancel);
	if (failure)
		return failure;
	if (lfi_fn_call(fn->fn, &entry->seat->ctx, args, &ret) < 0)
		failure = ended(entry, false);
	disarm(entry);
	*value = fn->struct_result ? 0 : ret.u;
	return failure;
}

struct GoResult
go_fn_call_fully(struct GoFn *fn, uint64_t serial, uint8_t *buffer, struct GoCall call)
{
	struct LFIContext *ctx = (struct LFIContext *) call.ctx, *before;
	struct GoResult result = {0, NULL};
	struct GoEntry entry;

	if (call.nargs > 64) {
		result.failure = go_fail(LFI_ERR_SIGNATURE, "more than 64 arguments");
		return result;
	}
	if ((result.failure = enter(&entry, fn->box, serial, ctx)))
		return result;
	before = entry.seat->ctx;
	if (!fn->box->proc)
		entry.seat->ctx = ctx;
	entry.handler = call.handler;
	result.failure = call_fully(fn, &entry, buffer, &call, &result.value);
	entry.seat->ctx = before;
	leave(&entry);
	return result;
}
