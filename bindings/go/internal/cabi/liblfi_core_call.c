//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Calling functions in the sandbox: what LFI_INVOKE's trampoline does not do by itself, and lfi_call and lfi_fn_call,
 * which put values where a signature given at run time says. Trusted.
 *
 *   I1  What a frame holds beside arguments is zero: entry.S loads all of it into registers.
 *   I2  The call's stack lies in what can be mapped of the sandbox, and is written by guarded stores only.
 *   I3  The target is masked as a masked jump would.
 *   I4  enter_sp is either what frame_call stored to for a stack pointer of enter_rsp, or QUICK_NONE; it is the former
 *       only where entry.S may leave out what it does not look at: see quick_enable.
 */
#include "box.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "error.h"
#include "sig.h"

_Thread_local struct LFIInvokeInfo lfi_invoke_info __attribute__((tls_model("initial-exec")));

int
frame_call(struct LFIContext *ctx, struct Frame *frame, lfiptr target, const void *stack, size_t stack_bytes)
{
	struct LFIBox *box = ctx->box;
	uint64_t page = atomic_load_explicit(&box->callback_page, memory_order_relaxed);
	uint64_t need = CALL_HEADROOM + 8 + align_down(stack_bytes + 15, 16);
	uint64_t sp = align_down(box_take_address(box, ctx->regs.rsp), 16);

	target = box_take_address(box, target);
	if (stack_bytes > BOX_SIZE)
		return error_set(LFI_ERR_RANGE, "%zu bytes of stack arguments do not fit in a sandbox", stack_bytes);
	if (!page)
		return error_set(LFI_ERR_INVALID, "lfi_box_init_ret must be called before functions of the sandbox");
	if (!box_valid(box, target, 1))
		return error_set(
		    LFI_ERR_RANGE, "the function %#llx is not in the sandbox", (unsigned long long) target);
	if (sp < box_min(box) || sp > box_max(box) || sp - box_min(box) < need)
		return error_set(LFI_ERR_RANGE,
		    "the stack pointer %#llx has no room for a call below it in the sandbox",
		    (unsigned long long) ctx->regs.rsp);
	sp -= need;
	if (arch_store64((uint64_t *) sp, page) < 0 ||
	    (stack_bytes > 0 && copy_guarded((void *) (sp + 8), stack, stack_bytes) > 0))
		return error_set(
		    LFI_ERR_UNMAPPED, "the stack at %#llx in the sandbox cannot be written", (unsigned long long) sp);
	frame->target = box_mask_entry(box, target);
	frame->sp = sp;
	return 0;
}

void
quick_disable(struct LFIContext *ctx)
{
	atomic_store_explicit(&ctx->enter_sp, QUICK_NONE, memory_order_relaxed);
	/* What no stack pointer is: then the store at enter_sp is not even tried. */
	atomic_store_explicit(&ctx->enter_rsp, 1, memory_order_release);
}

/*
 * I4. Outermost entries with this stack pointer may go the trampoline's quick way from now on. Who makes a box count
 * CPU time says so and then calls quick_disable; whichever comes last, that or this, sees the other.
 */
static void
quick_enable(struct LFIContext *ctx, const struct Frame *frame)
{
	/* A nested one has another stack pointer; its outermost one's is to stay. */
	if (frame->prev || ctx->box->single_thread || !arch_fsgsbase)
		return;
	if (atomic_load_explicit(&ctx->enter_rsp, memory_order_relaxed) != frame->ctx_rsp) {
		atomic_store(&ctx->enter_sp, frame->sp);
		atomic_store(&ctx->enter_rsp, frame->ctx_rsp);
	}
	if (atomic_load(&ctx->interrupt.metered))
		quick_disable(ctx);
}

/* Run what was pushed. */
static int
call_pushed(struct LFIContext *ctx, struct Frame *frame, lfiptr target, const void *stack, size_t stack_bytes)
{
	if (frame_call(ctx, frame, target, stack, stack_bytes) < 0)
		return -1;
	if (stack_bytes == 0 && ctx->regs.rsp == frame->ctx_rsp)
		quick_enable(ctx, frame);
	count_up(&ctx->calls);
	arch_enter(frame);
	return frame->end == END_RETURN ? 0 : frame_error(ctx, frame);
}

/* Enter, run, leave. The stack pointer stays where it was: runtime calls of the function put theirs there. */
static int
call(struct LFIContext *ctx, struct Frame *frame, lfiptr target, const void *stack, size_t stack_bytes)
{
	int r;

	frame->kind = FRAME_CALL;
	if (frame_push(ctx, frame) < 0)
		return -1;
	frame->ctx_rsp = ctx->regs.rsp;
	r = call_pushed(ctx, frame, target, stack, stack_bytes);
	ctx->regs.rsp = frame->ctx_rsp;
	frame_pop(ctx, frame);
	return r;
}

/* ---- LFI_INVOKE ---- */

struct LFIContext *
lfi_ctx_clone(struct LFIBox *box)
{
	LFICloneFn clone_cb;
	struct LFIContext *ctx;

	if (handle_check(box, HANDLE_BOX) < 0)
		return NULL;
	clone_cb = atomic_load(&box->engine->clone_cb);
	if (!clone_cb) {
		error_set(LFI_ERR_INVALID, "the context is NULL and no clone callback is set");
		return NULL;
	}
	lfi_error_clear();
	ctx = clone_cb(box);
	if (ctx)
		release_track(ctx);
	else if (lfi_errno() == LFI_OK)
		error_set(LFI_ERR_INVALID, "the clone callback made no context");
	return ctx;
}

/* The context, which was looked into already, is none of the box that it is used with. */
static int
foreign(struct LFIContext *ctx)
{
	if (ctx_check(ctx) < 0)
		return -1;
	return error_set(LFI_ERR_INVALID, "the context belongs to another sandbox");
}

/* The stack arguments without what padding holds of the host's. LFI_INVOKE has at most 64 words. */
static void
clear_padding(uint64_t *words, size_t n, uint64_t skip, uint64_t tail)
{
	for (size_t i = 0; i < n; i++) {
		if (skip >> i & 1)
			words[i] = 0;
		if (tail >> i & 1)
			words[i] &= 0xffff;
	}
}

/* I1. The two are written out because gcc makes `rep stos` of loops, which takes longer than the rest of the call. */
static inline void
clear_ints(struct Frame *frame, size_t used)
{
	switch (used) {
	case 0:
		frame->gpr[0] = 0; /* fallthrough */
	case 1:
		frame->gpr[1] = 0; /* fallthrough */
	case 2:
		frame->gpr[2] = 0; /* fallthrough */
	case 3:
		frame->gpr[3] = 0; /* fallthrough */
	case 4:
		frame->gpr[4] = 0; /* fallthrough */
	case 5:
		frame->gpr[5] = 0;
	}
}

static inline void
clear_floats(struct Frame *frame, size_t used)
{
	switch (used) {
	case 0:
		frame->xmm[0] = 0; /* fallthrough */
	case 1:
		frame->xmm[1] = 0; /* fallthrough */
	case 2:
		frame->xmm[2] = 0; /* fallthrough */
	case 3:
		frame->xmm[3] = 0; /* fallthrough */
	case 4:
		frame->xmm[4] = 0; /* fallthrough */
	case 5:
		frame->xmm[5] = 0; /* fallthrough */
	case 6:
		frame->xmm[6] = 0; /* fallthrough */
	case 7:
		frame->xmm[7] = 0;
	}
}

static int
invoke(
    struct Frame *frame, struct LFIBox *box, struct LFIContext **where, lfiptr target, void *stack, size_t stack_bytes)
{
	struct LFIContext *ctx;

	if (!box)
		return error_set(LFI_ERR_INVALID, "lfi_invoke_info has no box");
	if (!where)
		return error_null("pointer to the context");
	ctx = *where;
	if (!ctx) {
		ctx = lfi_ctx_clone(box);
		if (!ctx)
			return -1;
		*where = ctx;
	}
	if (ctx->box != box)
		return foreign(ctx);
	return call(ctx, frame, target, stack, stack_bytes);
}

/* The frame of entry.S's own way in has ended, and not by a return. */
void
ctx_invoke_ended(struct Frame *frame)
{
	struct LFIContext *ctx = frame->ctx;

	frame_error(ctx, frame);
	lfi_invoke_info.arg_regs = 0;
	ctx->regs.rsp = frame->ctx_rsp;
	frame_pop(ctx, frame);
	frame->rax = frame->rdx = frame->xmm0 = frame->xmm1 = 0;
}

/* `stack` is the caller's outgoing arguments, which belong to the callee: us. 1: the result is a long double, in gpr.
 */
int
ctx_invoke(struct Frame *frame, uint64_t *stack, struct LFIInvokeInfo *info)
{
	uint8_t x87[ARCH_FNSAVE_SIZE];
	bool prepared = info != &lfi_invoke_info;
	struct LFIBox *box = info->box;
	struct LFIContext **ctx = prepared ? frame->where : info->ctx;
	lfiptr target = info->target;
	size_t stack_bytes = info->stack_bytes;
	size_t ints = ARCH_INT_REGS, floats = ARCH_FLOAT_REGS;

	frame->x87 = NULL;
	if (info->arg_regs & LFI_INVOKE_X87) {
		memset(x87, 0, sizeof x87);
		frame->x87 = x87;
	}
	if (info->arg_regs & LFI_INVOKE_COUNTED) {
		ints = info->arg_regs & 0xff;
		floats = info->arg_regs >> 8 & 0xff;
	}
	if (info->stack_skip | info->stack_tail)
		clear_padding(stack, stack_bytes / 8 < 64 ? stack_bytes / 8 : 64, info->stack_skip, info->stack_tail);
	/* Who sets box, ctx and target only, the next time, gets defaults for the others. */
	if (!prepared) {
		info->stack_bytes = 0;
		info->arg_regs = 0;
		info->stack_skip = info->stack_tail = 0;
	}
	clear_ints(frame, ints);
	clear_floats(frame, floats);
	if (invoke(frame, box, ctx, target, stack, stack_bytes) < 0) {
		frame->rax = frame->rdx = frame->xmm0 = frame->xmm1 = 0;
		memset(x87, 0, sizeof x87);
	} else {
		error_none();
	}
	if (!frame->x87)
		return 0;
	memcpy(frame->gpr, x87 + ARCH_FNSAVE_ST0, 16);
	return 1;
}

/* ---- Signatures ---- */

/* The arguments of one call. */
struct Values {
	uint64_t gpr[ARCH_INT_REGS], xmm[ARCH_FLOAT_REGS];
	uint64_t *stack;
};

/* Store an eightbyte where the psABI wants it. */
static inline void
put(struct Values *to, const struct SigParam *param, size_t i, uint64_t bits)
{
	if (param->on_stack)
		to->stack[param->word + i] = bits;
	else if (param->reg[i] >= SIG_FLOAT)
		to->xmm[param->reg[i] - SIG_FLOAT] = bits;
	else
		to->gpr[param->reg[i]] = bits;
}

/* A struct, or a long double without what its 6 bytes of padding hold of the host's. */
static int
put_copy(struct Values *to, const struct SigParam *param, const void *value, size_t index)
{
	size_t size = param->type.letter == 'D' ? 10 : param->type.size;
	uint64_t bits[2] = {0, 0};

	if (!value)
		return error_set(LFI_ERR_SIGNATURE, "the pointer to argument %zu is NULL", index + 1);
	if (param->on_stack) {
		memcpy(&to->stack[param->word], value, size);
		return 0;
	}
	memcpy(bits, value, size); /* I2 of sig.c: at most 16 */
	for (size_t i = 0; i < (size + 7) / 8; i++)
		put(to, param, i, bits[i]);
	return 0;
}

static int
no_values(const struct Sig *sig)
{
	return error_set(LFI_ERR_SIGNATURE, "there are no values for the %u parameters", sig->n);
}

/* I1: registers that are no argument stay zero, and padding on the stack is. */
static int
put_values(struct Values *to, const struct Sig *sig, const union LFIValue *args)
{
	if (sig->n > 0 && !args)
		return no_values(sig);
	for (size_t i = 0; i < sig->n; i++) {
		const struct SigParam *param = &sig->params[i];

		if (param->type.letter != '{' && param->type.letter != 'D')
			put(to, param, 0, sig_bits(&param->type, args[i].u));
		else if (put_copy(to, param, args[i].p, i) < 0)
			return -1;
	}
	return 0;
}

/* Integers and floats of a result, in the order of eightbytes. Beyond a small integer's bits anything may be left. */
static void
take_result(const struct Frame *frame, const struct SigType *type, union LFIValue *ret)
{
	const uint64_t ints[2] = {frame->rax, frame->rdx}, floats[2] = {frame->xmm0, frame->xmm1};
	size_t nints = 0, nfloats = 0;
	uint64_t bits[2] = {0, 0};

	for (size_t i = 0; i < (type->size + 7) / 8; i++)
		bits[i] = type->floats[i] ? floats[nfloats++] : ints[nints++]; /* NOLINT: size <= 16 */
	if (type->letter == '{')
		memcpy(ret->p, bits, type->size);
	else
		ret->u = sig_bits(type, bits[0]);
}

/*
 * Scalars in registers, by the trampoline's quick way. It clears the registers that the signature does not use, so they
 * are not filled here.
 */
static int
call_simply(struct LFIBox *box, struct LFIContext **ctx, lfiptr target, const struct Sig *sig,
    const union LFIValue *args, union LFIValue *ret)
{
	typedef uint64_t (*IntFn)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
	typedef uint64_t (*BothFn)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, double, double, double,
	    double, double, double, double, double);
	typedef double (*FloatFn)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, double, double, double,
	    double, double, double, double, double);
	uint64_t r[SIG_FLOAT + ARCH_FLOAT_REGS], bits;
	const double *x = (const double *) (r + SIG_FLOAT);

	if (sig->n > 0 && !args)
		return no_values(sig);
	for (size_t i = 0; i < sig->n; i++)
		r[sig->params[i].reg[0]] = sig_bits(&sig->params[i].type, args[i].u);
	__asm__ volatile("" : "+m"(r)); /* the rest is whatever it is */
	lfi_invoke_info.box = box;
	lfi_invoke_info.ctx = ctx;
	lfi_invoke_info.target = target;
	lfi_invoke_info.stack_bytes = 0;
	lfi_invoke_info.arg_regs = LFI_INVOKE_COUNTED | sig->ints | sig->floats << 8;
	lfi_invoke_info.stack_skip = lfi_invoke_info.stack_tail = 0;
	if (sig->ret.floats[0]) {
		double real = ((FloatFn) lfi_trampoline_addr)(
		    r[0], r[1], r[2], r[3], r[4], r[5], x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]);

		memcpy(&bits, &real, sizeof bits);
	} else if (sig->floats) {
		bits = ((BothFn) lfi_trampoline_addr)(
		    r[0], r[1], r[2], r[3], r[4], r[5], x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]);
	} else {
		bits = ((IntFn) lfi_trampoline_addr)(r[0], r[1], r[2], r[3], r[4], r[5]);
	}
	if (error_code != LFI_OK)
		return -1;
	if (ret && sig->ret.size > 0)
		ret->u = sig_bits(&sig->ret, bits);
	return 0;
}

/* Space for a result on the sandbox's stack, below what a handler interrupted may use. 0 with the error set. */
static uint64_t
result_space(struct LFIContext *ctx, uint32_t size)
{
	uint64_t sp = align_down(ctx->regs.rsp, 16), need = CALL_HEADROOM + align_down((uint64_t) size + 15, 16);

	if (box_valid(ctx->box, sp - need, need))
		return sp - need;
	error_set(LFI_ERR_RANGE, "the stack pointer %#llx has no room for a result of %u bytes below it",
	    (unsigned long long) ctx->regs.rsp, size);
	return 0;
}

static int
give_result(struct Frame *frame, const struct SigType *type, uint64_t space, const uint8_t *x87, union LFIValue *ret)
{
	if (!ret || type->size == 0)
		return 0;
	if (type->x87) {
		memset(ret->p, 0, 16);
		memcpy(ret->p, x87 + ARCH_FNSAVE_ST0, 10);
	} else if (type->memory) {
		if (copy_guarded(ret->p, (void *) space, type->size) > 0)
			return error_set(LFI_ERR_UNMAPPED, "the result at %#llx in the sandbox cannot be read",
			    (unsigned long long) space);
	} else {
		take_result(frame, type, ret);
	}
	return 0;
}

/* All else: stack arguments, structs, results in memory or st0. */
static int
call_fully(struct LFIContext *ctx, lfiptr target, const struct Sig *sig, struct Values *values, union LFIValue *ret)
{
	const struct SigType *type = &sig->ret;
	uint8_t x87[ARCH_FNSAVE_SIZE] = {0};
	struct Frame frame = {.kind = FRAME_CALL, .x87 = type->x87 ? x87 : NULL};
	uint64_t space = 0;
	int r = 0;

	if (frame_push(ctx, &frame) < 0)
		return -1;
	frame.ctx_rsp = ctx->regs.rsp;
	if (type->memory && !type->x87) {
		space = values->gpr[0] = result_space(ctx, type->size);
		ctx->regs.rsp = space;
		r = space ? 0 : -1;
	}
	memcpy(frame.gpr, values->gpr, sizeof frame.gpr);
	memcpy(frame.xmm, values->xmm, sizeof frame.xmm);
	if (r == 0)
		r = call_pushed(ctx, &frame, target, values->stack, sig->words * sizeof *values->stack);
	ctx->regs.rsp = frame.ctx_rsp;
	frame_pop(ctx, &frame);
	return r < 0 ? -1 : give_result(&frame, type, space, x87, ret);
}

/* `*ctx` is made when it is NULL. */
static int
call_with_space(struct LFIBox *box, struct LFIContext **ctx, lfiptr fn, const struct Sig *sig,
    const union LFIValue *args, union LFIValue *ret)
{
	struct Values values;
	uint64_t few[32] = {0};
	int r;

	if ((sig->ret.letter == '{' || sig->ret.letter == 'D') && ret && !ret->p)
		return error_set(LFI_ERR_INVALID, "ret->p is NULL: nowhere to store the result");
	memset(&values, 0, sizeof values); /* I1 */
	values.stack = sig->words <= sizeof few / sizeof few[0] ? few : calloc(sig->words, sizeof *values.stack);
	if (!values.stack)
		return error_set(LFI_ERR_NOMEM, "no memory for %u words of arguments", sig->words);
	r = put_values(&values, sig, args);
	if (r == 0 && !*ctx && !(*ctx = lfi_ctx_clone(box)))
		r = -1;
	if (r == 0 && (*ctx)->box != box)
		r = foreign(*ctx);
	if (r == 0)
		r = call_fully(*ctx, fn, sig, &values, ret);
	if (values.stack != few)
		free(values.stack);
	if (r == 0)
		error_none();
	return r;
}

static inline int
call_by_signature(struct LFIBox *box, struct LFIContext **ctx, lfiptr fn, const struct Sig *sig,
    const union LFIValue *args, union LFIValue *ret)
{
	return sig->simple ? call_simply(box, ctx, fn, sig, args, ret) : call_with_space(box, ctx, fn, sig, args, ret);
}

/* ---- lfi_call and lfi_fn ---- */

int
lfi_call(struct LFIContext *ctx, lfiptr fn, const char *sig, const union LFIValue *args, union LFIValue *ret)
{
	union {
		struct Sig sig;
		uint8_t bytes[768];
	} few;
	struct Sig *parsed = &few.sig;
	size_t size;
	int r;

	/* One comparison, of what lfi_ctx_free clears: the set of handles takes 3 ns. */
	if (!ctx || ctx->self != ctx)
		return handle_check(ctx, HANDLE_CONTEXT);
	size = sig_size(sig);
	if (size == 0)
		return -1;
	if (size > sizeof few && !(parsed = malloc(size)))
		return error_set(LFI_ERR_NOMEM, "no memory for a signature");
	r = sig_parse(parsed, sig);
	if (r == 0)
		r = call_by_signature(ctx->box, &ctx, fn, parsed, args, ret);
	if (parsed != &few.sig)
		free(parsed);
	return r;
}

struct LFIFn {
	struct LFIFn *self;  /* what each call looks at; NULL once it was freed */
	uintptr_t args_min;  /* 1 when there are parameters: NULL will not do; of no context, whose `self` is here */
	struct LFIFn *quick; /* as `self`, when `prepared` is filled and the result is not in xmm0 */
	struct LFIBox *box;
	lfiptr target;
	uint64_t keep; /* the bits of the result; 0 for void */
	uint64_t sign; /* the uppermost of them, when it is signed */
	bool real;     /* `prepared` is filled and the result is in xmm0 */
	struct Prepared prepared;
	struct Sig sig;
};

/* Neither a bool, which is more than its bits, nor a small integer that the callee wants extended to 32. */
static bool
preparable(const struct SigType *type)
{
	return type->letter != '?' && (!type->is_signed || type->size >= 4);
}

/* I1. What arch_call_prepared does for each call instead of put_values. */
static bool
prepare_args(struct LFIFn *fn)
{
	struct Prepared *to = &fn->prepared;

	for (size_t i = 0; i < fn->sig.n; i++) {
		const struct SigParam *param = &fn->sig.params[i];
		uint64_t keep = UINT64_MAX >> param->type.shift;
		size_t reg = param->reg[0];

		if (!preparable(&param->type))
			return false;
		if (reg >= SIG_FLOAT) {
			to->float_arg[reg - SIG_FLOAT] = (uint8_t) i;
			to->float_keep[reg - SIG_FLOAT] = keep;
		} else {
			to->int_arg[reg] = (uint8_t) i;
			to->keep[reg] = keep;
		}
	}
	return true;
}

static void
prepare(struct LFIFn *fn)
{
	const struct SigType *ret = &fn->sig.ret;

	fn->args_min = fn->sig.n > 0;
	if (!fn->sig.simple || ret->letter == '?' || !prepare_args(fn))
		return;
	fn->prepared.info.box = fn->box;
	fn->prepared.info.target = fn->target;
	fn->prepared.info.arg_regs = LFI_INVOKE_COUNTED | fn->sig.ints | fn->sig.floats << 8;
	fn->keep = ret->size > 0 ? UINT64_MAX >> ret->shift : 0;
	fn->sign = ret->is_signed ? 1ull << (63 - ret->shift) : 0;
	fn->real = ret->floats[0];
	if (!fn->real)
		fn->quick = fn;
}

struct LFIFn *
lfi_fn_new(struct LFIBox *box, lfiptr fn, const char *sig)
{
	struct LFIFn *made;
	size_t size;

	if (handle_check(box, HANDLE_BOX) < 0)
		return NULL;
	fn = box_take_address(box, fn);
	if (!box_valid(box, fn, 1)) {
		error_set(LFI_ERR_RANGE, "the function %#llx is not in the sandbox", (unsigned long long) fn);
		return NULL;
	}
	size = sig_size(sig);
	if (size == 0)
		return NULL;
	made = calloc(1, offsetof(struct LFIFn, sig) + size);
	if (!made) {
		error_set(LFI_ERR_NOMEM, "no memory for a prepared call");
		return NULL;
	}
	made->self = made;
	made->box = box;
	made->target = fn;
	if (sig_parse(&made->sig, sig) == 0 && handle_add(made, HANDLE_FN) == 0) {
		prepare(made);
		return made;
	}
	free(made);
	return NULL;
}

void
lfi_fn_free(struct LFIFn *fn)
{
	if (!handle_given(fn, HANDLE_FN) || !handle_drop(fn, HANDLE_FN))
		return;
	*(struct LFIFn *volatile *) &fn->self = NULL;
	*(struct LFIFn *volatile *) &fn->quick = NULL;
	free(fn);
}

/* What is not prepared, and what is wrong. */
static __attribute__((noinline)) int
fn_call_any(struct LFIFn *fn, struct LFIContext **ctx, const union LFIValue *args, union LFIValue *ret)
{
	double real;

	if (!fn || fn->self != fn)
		return handle_check(fn, HANDLE_FN);
	if (!ctx)
		return error_null("pointer to the context");
	if (!fn->real || (uintptr_t) args < fn->args_min)
		return call_by_signature(fn->box, ctx, fn->target, &fn->sig, args, ret);
	real = arch_call_prepared_real(&fn->prepared, ctx, args);
	if (error_code != LFI_OK)
		return -1;
	if (ret) {
		ret->u = 0;
		memcpy(&ret->u, &real, fn->sig.ret.size);
	}
	return 0;
}

/* Its length is its cost: each condition is looked at once, here or where the trampoline does anyway. */
int
lfi_fn_call(struct LFIFn *fn, struct LFIContext **ctx, const union LFIValue *args, union LFIValue *ret)
{
	uint64_t bits;

	if (!fn || fn->quick != fn || (uintptr_t) args < fn->args_min)
		return fn_call_any(fn, ctx, args, ret);
	bits = arch_call_prepared(&fn->prepared, ctx, args);
	if (error_code != LFI_OK)
		return -1;
	if (ret && fn->keep)
		ret->u = ((bits & fn->keep) ^ fn->sign) - fn->sign;
	return 0;
}
