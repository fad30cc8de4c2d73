//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Contexts: threads of execution in a box, and the entries ("frames") that are pending in one. Trusted.
 *
 *   I1  One thread at a time has entered a context: the owner.                               own
 *   I2  Entries nest: a new one starts only while the thread's innermost one is in host
 *       code, so everything that it interrupts can be given back.                            frame_push, frame_pop
 *   I3  Where sandboxed code goes on after a runtime call is the L of that call, or what
 *       the handler chose, masked; likewise rsp.                                             ctx_syscall
 */
#include "box.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "os.h"

_Thread_local struct Thread thread_self __attribute__((tls_model("initial-exec")));

/* ---- Making and freeing ---- */

static_assert(sizeof(struct LFIContext) <= 4096, "a context has a page");

/* In a page of its own, anywhere: sandboxed code can read r15, and is not to learn where the host's heap is. */
static struct LFIContext *
take_page(struct LFIBox *box)
{
	struct LFIContext *ctx;
	struct Slab *slab;
	void *page;
	int err = slabs_take(&box->engine->slabs, &page, &slab);

	if (!err) {
		ctx = page;
		ctx->slab = slab;
		return ctx;
	}
	error_set_os(LFI_ERR_NOMEM, err, "no memory for a context");
	return NULL;
}

struct LFIContext *
lfi_ctx_new(struct LFIBox *box, void *user)
{
	struct LFIContext *ctx;
	sigset_t signals;
	uint64_t page;

	if (handle_check(box, HANDLE_BOX) < 0)
		return NULL;
	ctx = take_page(box);
	if (!ctx)
		return NULL;
	if (handle_add(ctx, HANDLE_CONTEXT) < 0)
		goto give_page;
	ctx->self = ctx;
	ctx->box = box;
	ctx->user = user;
	ctx->mxcsr = MXCSR_DEFAULT;
	ctx->fcw = FCW_DEFAULT;
	atomic_init(&ctx->inside, ctx->inside_first);
	ctx->inside_size = INSIDE_FIRST;
	pthread_mutex_lock(&box->lock);
	if (box_check_contexts(box) < 0) {
		pthread_mutex_unlock(&box->lock);
		goto drop_handle;
	}
	box->ncontexts++;
	page = atomic_load(&box->callback_page);
	atomic_init(&ctx->return_l, page ? page + CALLBACK_RESUME : UINT64_MAX);
	quick_disable(ctx);
	interrupt_lock(box, &signals);
	atomic_init(&ctx->interrupt.serial, 1);
	atomic_init(&ctx->interrupt.metered, atomic_load(&box->interrupt.metered));
	ctx->next = box->contexts;
	ctx->link = &box->contexts;
	if (ctx->next)
		ctx->next->link = &ctx->next;
	box->contexts = ctx;
	interrupt_unlock(box, &signals);
	pthread_mutex_unlock(&box->lock);
	return ctx;

drop_handle:
	handle_drop(ctx, HANDLE_CONTEXT);
give_page:
	slabs_give(&box->engine->slabs, ctx, ctx->slab);
	return NULL;
}

void
ctx_free(struct LFIContext *ctx)
{
	sigset_t signals;

	if (atomic_load(&ctx->depth)) {
		error_set(LFI_ERR_BUSY, "the context is entered: it cannot be freed");
		return;
	}
	release_forget(ctx);
	watchdog_forget(ctx);
	pthread_mutex_lock(&ctx->box->lock);
	/* With the list, for a child of fork(2). */
	handle_drop(ctx, HANDLE_CONTEXT);
	ctx->box->ncontexts--;
	box_counts_add(&ctx->box->gone, ctx);
	interrupt_lock(ctx->box, &signals);
	*ctx->link = ctx->next;
	if (ctx->next)
		ctx->next->link = ctx->link;
	interrupt_unlock(ctx->box, &signals);
	pthread_mutex_unlock(&ctx->box->lock);
	if (atomic_load(&ctx->inside) != ctx->inside_first)
		free(atomic_load(&ctx->inside));
	slabs_give(&ctx->box->engine->slabs, ctx, ctx->slab);
}

void
lfi_ctx_free(struct LFIContext *ctx)
{
	if (!handle_given(ctx, HANDLE_CONTEXT))
		return;
	if (ctx->owned)
		error_set(LFI_ERR_INVALID, "context %p belongs to a thread of a process: lfi_thread_free frees it",
		    (void *) ctx);
	else
		ctx_free(ctx);
}

void
ctx_set_owned(struct LFIContext *ctx)
{
	ctx->owned = true;
}

struct LFIRegs *
lfi_ctx_regs(struct LFIContext *ctx)
{
	return ctx_check(ctx) < 0 ? NULL : &ctx->regs;
}

void *
lfi_ctx_data(struct LFIContext *ctx)
{
	return ctx_check(ctx) < 0 ? NULL : ctx->user;
}

struct LFIBox *
lfi_ctx_box(struct LFIContext *ctx)
{
	return ctx_check(ctx) < 0 ? NULL : ctx->box;
}

lfiptr
lfi_ctx_tp(struct LFIContext *ctx)
{
	return ctx_check(ctx) < 0 ? 0 : atomic_load_explicit(&ctx->tp, memory_order_relaxed);
}

void
lfi_ctx_set_tp(struct LFIContext *ctx, lfiptr tp)
{
	if (ctx_check(ctx) == 0)
		atomic_store_explicit(&ctx->tp, tp, memory_order_relaxed);
}

struct LFIContext *
lfi_cur_ctx(void)
{
	return thread_self.cur;
}

/* ---- Entries ---- */

static int own(struct LFIContext *ctx);

static int
busy(struct LFIContext *ctx)
{
	if (atomic_load(&ctx->owner) == OWNER_LOST)
		return error_set(
		    LFI_ERR_BUSY, "a thread of the parent process was in the context at fork: it can only be freed");
	return error_set(LFI_ERR_BUSY, "the context is entered by another thread");
}

/* The context's first thread becomes the one that enters quickly; when a second one comes, nobody does any more. */
static int
rebias(struct LFIContext *ctx)
{
	int r = 0;

	pthread_mutex_lock(&ctx->box->lock);
	if (!atomic_load(&ctx->first)) {
		atomic_store(&ctx->first, thread_id());
		atomic_store(&ctx->biased, thread_id());
	} else if (atomic_load(&ctx->biased) && atomic_load(&ctx->first) != thread_id()) {
		atomic_store(&ctx->biased, 0);
		/* After this, the first thread sees that it is not, or we see its `quick`. */
		if (!os_barrier()) {
			atomic_store(&ctx->biased, atomic_load(&ctx->first));
			r = error_set(LFI_ERR_OS, "the context stays with its first thread: membarrier(2) fails now");
		}
	}
	pthread_mutex_unlock(&ctx->box->lock);
	return r;
}

/* As own, for contexts that several threads use. */
static int
own_shared(struct LFIContext *ctx)
{
	uintptr_t none = 0, self = thread_id();

	if (rebias(ctx) < 0)
		return -1;
	if (atomic_load(&ctx->biased) == self)
		return own(ctx);
	if (atomic_load(&ctx->owner) == self)
		return 0;
	if (atomic_load(&ctx->quick))
		return atomic_load(&ctx->first) == self ? 0 : busy(ctx);
	return atomic_compare_exchange_strong(&ctx->owner, &none, self) ? 0 : busy(ctx);
}

/*
 * I1. An atomic exchange takes 7 ns, a fifth of a call, so the first thread that enters a context does without:
 * it stores `quick`, then looks whether it is still the one that may. The barrier of rebias pays for that, once.
 */
static int
own(struct LFIContext *ctx)
{
	uintptr_t self = thread_id();

	if (atomic_load_explicit(&ctx->biased, memory_order_relaxed) != self)
		return own_shared(ctx);
	if (atomic_load_explicit(&ctx->quick, memory_order_relaxed))
		return 0;
	atomic_store_explicit(&ctx->quick, 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&ctx->biased, memory_order_acquire) == self)
		return 0;
	atomic_store(&ctx->quick, 0);
	return own_shared(ctx);
}

static void
disown(struct LFIContext *ctx)
{
	if (atomic_load_explicit(&ctx->depth, memory_order_relaxed) != 0)
		return;
	if (atomic_load_explicit(&ctx->quick, memory_order_relaxed) &&
	    atomic_load_explicit(&ctx->owner, memory_order_relaxed) == 0)
		atomic_store_explicit(&ctx->quick, 0, memory_order_release);
	else
		atomic_store_explicit(&ctx->owner, 0, memory_order_release);
}

/* In a child of fork(2), where only the calling thread is left (os/fork.c, I2). */
void
ctx_after_fork(struct LFIContext *ctx)
{
	uintptr_t self = thread_id(), owner = atomic_load(&ctx->owner);
	bool entered = atomic_load(&ctx->depth) != 0;

	if (owner == OWNER_LOST)
		return;
	if (!owner && atomic_load(&ctx->quick))
		owner = atomic_load(&ctx->first);
	if (entered && owner == self)
		return;
	/* The number of a thread that is gone may come back. */
	atomic_store(&ctx->biased, 0);
	atomic_store(&ctx->first, entered ? OWNER_LOST : 0);
	atomic_store(&ctx->owner, entered ? OWNER_LOST : 0);
	atomic_store(&ctx->quick, 0);
	atomic_store(&ctx->depth, 0);
	atomic_store(&ctx->state, STATE_OUT);
	ctx->frame = NULL;
	ctx->ending = false;
	ctx->ending_frame = NULL;
	interrupt_after_fork(ctx, entered);
}

bool
ctx_entered(struct LFIContext *ctx)
{
	return atomic_load(&ctx->depth) != 0;
}

/* What the pending runtime call or callback needs when the entry has ended. NULL when out of memory. */
static struct ArchSaved *
save(struct LFIContext *ctx)
{
	struct ArchSaved *saved = malloc(sizeof *saved);

	if (!saved) {
		error_set(LFI_ERR_NOMEM, "no memory for a nested entry");
		return NULL;
	}
	saved->regs = ctx->regs;
	saved->resume = ctx->resume;
	saved->resume_rsp = ctx->resume_rsp;
	saved->mxcsr = ctx->mxcsr;
	saved->fcw = ctx->fcw;
	memcpy(saved->ymmh, ctx->ymmh, sizeof saved->ymmh);
	memcpy(saved->zmm, ctx->zmm, sizeof saved->zmm);
	memcpy(saved->mask, ctx->mask, sizeof saved->mask);
	return saved;
}

static void
restore(struct LFIContext *ctx, struct ArchSaved *saved)
{
	ctx->regs = saved->regs;
	ctx->resume = saved->resume;
	ctx->resume_rsp = saved->resume_rsp;
	ctx->mxcsr = saved->mxcsr;
	ctx->fcw = saved->fcw;
	memcpy(ctx->ymmh, saved->ymmh, sizeof saved->ymmh);
	memcpy(ctx->zmm, saved->zmm, sizeof saved->zmm);
	memcpy(ctx->mask, saved->mask, sizeof saved->mask);
	free(saved);
}

/* ---- How deep ---- */

/* Once per thread. */
static int
thread_ready(void)
{
	uint64_t low, high, left;

	thread_self.stack_span = 0;
	if (!thread_self.ready && os_thread_ready() < 0)
		return -1;
	thread_self.stack_asked = true;
	if (!os_stack(&low, &high))
		return 0;
	left = (high - low) / 4 < STACK_LEFT ? (high - low) / 4 : STACK_LEFT;
	thread_self.stack_low = low;
	thread_self.stack_floor = low + left;
	thread_self.stack_span = high - thread_self.stack_floor;
	return 0;
}

/* Whether the host's stack has room for one more entry. */
static int
stack_room(struct Frame *frame)
{
	uint64_t sp = (uint64_t) __builtin_frame_address(0);
	bool known = thread_self.stack_span > 0;

	frame->foreign = false;
	if (known && sp - thread_self.stack_floor < thread_self.stack_span)
		return 0;
	if (known && sp - thread_self.stack_low < thread_self.stack_floor - thread_self.stack_low)
		return error_set(LFI_ERR_LIMIT, "the host stack has %llu bytes left: entries nest too deeply",
		    (unsigned long long) (sp - thread_self.stack_low));
	if (thread_self.foreign == FOREIGN_MAX)
		return error_set(
		    LFI_ERR_LIMIT, "entries nest %d times on a host stack that is not the thread's own", FOREIGN_MAX);
	frame->foreign = true;
	return 0;
}

/* Make inside[depth] exist. Other threads read the array with the lock held. */
static int
inside_room(struct LFIContext *ctx, uint32_t depth)
{
	_Atomic uint64_t *old = atomic_load(&ctx->inside), *longer;

	if (depth < ctx->inside_size)
		return 0;
	longer = malloc(2 * (size_t) ctx->inside_size * sizeof *longer);
	if (!longer)
		return error_set(LFI_ERR_NOMEM, "no memory for %u nested entries", depth);
	pthread_mutex_lock(&ctx->box->lock);
	for (uint32_t i = 0; i < 2 * ctx->inside_size; i++)
		atomic_init(&longer[i], i < ctx->inside_size ? atomic_load(&old[i]) : 0);
	atomic_store(&ctx->inside, longer);
	ctx->inside_size *= 2;
	pthread_mutex_unlock(&ctx->box->lock);
	if (old != ctx->inside_first)
		free(old);
	return 0;
}

int
frame_push(struct LFIContext *ctx, struct Frame *frame)
{
	uint32_t depth;

	if ((!thread_self.ready || !thread_self.stack_asked) && thread_ready() < 0)
		return -1;
	if (thread_interrupted())
		return error_set(
		    LFI_ERR_BUSY, "a signal handler that interrupted sandboxed code cannot enter a sandbox");
	if (stack_room(frame) < 0 || own(ctx) < 0)
		return -1;
	depth = atomic_load_explicit(&ctx->depth, memory_order_relaxed);
	frame->saved = NULL;
	if (inside_room(ctx, depth + 1) < 0) {
		disown(ctx);
		return -1;
	}
	if (depth > 0 && !(frame->saved = save(ctx)))
		return -1;
	if (!box_runner_take(ctx->box)) {
		error_set(LFI_ERR_BUSY, "another thread executes in the sandbox, which is single-threaded");
		free(frame->saved);
		disown(ctx);
		return -1;
	}
	thread_self.foreign += frame->foreign;
	frame->ctx = ctx;
	frame->end = END_NONE;
	frame->prev = ctx->frame;
	frame->below = thread_self.cur ? thread_self.cur->frame : NULL;
	/* A signal handler of interrupt.c sees this order, and who sees the depth sees the thread. */
	atomic_store_explicit(&ctx->interrupt.tid, thread_self.tid, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	ctx->frame = frame;
	thread_self.cur = ctx;
	atomic_store_explicit(&ctx->state, STATE_HOST, memory_order_relaxed);
	atomic_store_explicit(&ctx->depth, depth + 1, memory_order_release);
	if (frame->below || atomic_load_explicit(&ctx->interrupt.metered, memory_order_relaxed))
		interrupt_entered(ctx, frame);
	return 0;
}

/*
 * The depth is 0: the next entry has the next number. Then the attention: who set it sees the number, or we see it
 * (interrupt.c, I3).
 */
static inline void
entry_over(struct LFIContext *ctx)
{
	uint64_t serial = atomic_load_explicit(&ctx->interrupt.serial, memory_order_relaxed);

	atomic_store_explicit(&ctx->interrupt.serial, serial + 1, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&ctx->attention, memory_order_relaxed) ||
	    atomic_load_explicit(&ctx->interrupt.metered, memory_order_relaxed))
		interrupt_left(ctx);
}

void
frame_pop(struct LFIContext *ctx, struct Frame *frame)
{
	uint32_t depth = atomic_load_explicit(&ctx->depth, memory_order_relaxed) - 1;

	if (frame->saved)
		restore(ctx, frame->saved);
	/* The run that was to end has ended; so have calls with no run around them. */
	if (frame->kind == FRAME_RUN || depth == 0 || frame == ctx->ending_frame) {
		ctx->ending = false;
		ctx->ending_frame = NULL;
	}
	thread_self.foreign -= frame->foreign;
	ctx->frame = frame->prev;
	thread_self.cur = frame->below ? frame->below->ctx : NULL;
	atomic_store_explicit(&ctx->state, depth ? STATE_HOST : STATE_OUT, memory_order_relaxed);
	atomic_store_explicit(&ctx->depth, depth, memory_order_relaxed);
	if (depth == 0)
		entry_over(ctx);
	box_runner_give(ctx->box);
	disown(ctx);
}

/* The program chose the number. */
static const char *
signal_name(int signal)
{
	const char *name = sigabbrev_np(signal);

	return name ? name : "?";
}

int
frame_error(struct LFIContext *ctx, const struct Frame *frame)
{
	const struct Fault *fault = &ctx->fault;

	if (frame->end == END_EXIT)
		return error_set(LFI_ERR_INTERRUPTED,
		    "the call was ended by exit or lfi_ctx_exit, with code %d, and did not return", ctx->exit_code);
	if (frame->end != END_FAULT)
		return interrupt_error(ctx, frame->end);
	fault_complete(ctx);
	if (fault->kind == LFI_FAULT_ABORT)
		return error_set(LFI_ERR_FAULT, "sandboxed code ended itself at %#llx with signal %d (SIG%s)",
		    (unsigned long long) fault->pc, fault->signal, signal_name(fault->signal));
	if (fault->signal == SIGSYS)
		return error_set(LFI_ERR_FAULT, "sandboxed code made a call at %#llx that nothing serves",
		    (unsigned long long) fault->pc);
	return error_set(LFI_ERR_FAULT, "sandboxed code trapped at %#llx: %s, address %#llx",
	    (unsigned long long) fault->pc,
	    fault->signal == SIGSEGV  ? "SIGSEGV"
	    : fault->signal == SIGBUS ? "SIGBUS"
	    : fault->signal == SIGILL ? "SIGILL"
	    : fault->signal == SIGFPE ? "SIGFPE"
				      : "SIGTRAP",
	    (unsigned long long) fault->address);
}

/* ---- Running ---- */

int
lfi_ctx_run(struct LFIContext *ctx, lfiptr entry)
{
	struct Frame frame = {.kind = FRAME_RUN};
	struct LFIBox *box;
	int code;

	if (ctx_check(ctx) < 0)
		return -1;
	box = ctx->box;
	entry = box_take_address(box, entry);
	if (!box_valid(box, entry, 1))
		return error_set(LFI_ERR_RANGE, "the entry %#llx is not in the sandbox", (unsigned long long) entry);
	if (frame_push(ctx, &frame) < 0)
		return -1;
	ctx->resume = box_mask_entry(box, entry);
	ctx->resume_rsp = box_mask(box, ctx->regs.rsp);
	ctx->mxcsr = MXCSR_DEFAULT;
	ctx->fcw = FCW_DEFAULT;
	arch_enter(&frame);
	code = ctx->exit_code;
	if (frame.end == END_EXIT)
		error_none();
	else
		code = frame_error(ctx, &frame);
	frame_pop(ctx, &frame);
	return code;
}

void
lfi_ctx_exit(struct LFIContext *ctx, int code)
{
	if (ctx_check(ctx) < 0 || !ctx->frame)
		return;
	ctx->exit_code = code;
	ctx->ending_frame = NULL;
	ctx->ending = true;
}

void
lfi_ctx_end_call(struct LFIContext *ctx)
{
	if (ctx_check(ctx) < 0 || !ctx->frame || ctx->ending)
		return;
	ctx->exit_code = -1;
	ctx->ending_frame = ctx->frame;
	ctx->ending = true;
}

/* ---- Runtime calls ---- */

/* A call that nothing serves is a fault. */
static int
unserved(struct LFIContext *ctx)
{
	ctx->fault = (struct Fault){.signal = SIGSYS, .pc = ctx->resume, .regs = ctx->regs};
	ctx->faulted = true;
	ctx->frame->end = END_FAULT;
	return 1;
}

void
ctx_abort(struct LFIContext *ctx, int signal)
{
	ctx->aborting = signal;
}

bool
ctx_in_call(struct LFIContext *ctx)
{
	return ctx->frame && ctx->frame->kind != FRAME_RUN;
}

static int
aborted(struct LFIContext *ctx)
{
	ctx->fault = (struct Fault){.signal = ctx->aborting, .code = SI_TKILL, .pc = ctx->resume, .regs = ctx->regs};
	ctx->aborting = 0;
	ctx->faulted = true;
	ctx->frame->end = END_FAULT;
	return 1;
}

int
ctx_syscall(struct LFIContext *ctx)
{
	LFISysHandler handler = atomic_load_explicit(&ctx->box->engine->handler, memory_order_acquire);

	if (!handler)
		return unserved(ctx);
	handler(ctx);
	if (ctx->aborting)
		return aborted(ctx);
	if (ctx->ending) {
		ctx->frame->end = END_EXIT;
		return 1;
	}
	if (ctx->regs.r11 != ctx->resume)
		ctx->resume = box_mask_entry(ctx->box, ctx->regs.r11);
	if (ctx->regs.rsp != ctx->resume_rsp)
		ctx->resume_rsp = box_mask(ctx->box, ctx->regs.rsp);
	return 0;
}

int
ctx_unknown_call(struct LFIContext *ctx)
{
	return unserved(ctx);
}

int
ctx_gate_wait(struct LFIContext *ctx)
{
	if (atomic_load(&ctx->attention)) {
		uint32_t end = interrupt_pending(ctx);

		if (end) {
			ctx->frame->end = end;
			return 1;
		}
	}
	/* Who closed the gate holds the lock. */
	pthread_mutex_lock(&ctx->box->lock);
	pthread_mutex_unlock(&ctx->box->lock);
	return 0;
}
