/* SPDX-License-Identifier: MIT */
/*
 * Calling functions in the sandbox: LFI_INVOKE's trampoline and lfi_call, which lowers a signature given at run time
 * to the psABI. Trusted.
 *
 *   I1  What a frame holds beside arguments is zero: entry.S loads all of it into registers.
 *   I2  The call's stack lies in what can be mapped of the sandbox, and is written by guarded stores only.
 *   I3  The target is masked as a masked jump would.
 */
#include "box.h"

#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "error.h"

_Thread_local struct LFIInvokeInfo lfi_invoke_info __attribute__((tls_model("initial-exec")));

int
frame_call(struct LFIContext *ctx, struct Frame *frame, lfiptr target, const void *stack, size_t stack_bytes)
{
	struct LFIBox *box = ctx->box;
	uint64_t page = atomic_load_explicit(&box->callback_page, memory_order_relaxed);
	uint64_t need = CALL_HEADROOM + 8 + align_down(stack_bytes + 15, 16);
	uint64_t sp = align_down(ctx->regs.rsp, 16);

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

/* Enter, run, leave. The stack pointer stays where it was: runtime calls of the function put theirs there. */
static int
call(struct LFIContext *ctx, struct Frame *frame, lfiptr target, const void *stack, size_t stack_bytes)
{
	int r;

	frame->kind = FRAME_CALL;
	if (frame_push(ctx, frame) < 0)
		return -1;
	frame->ctx_rsp = ctx->regs.rsp;
	r = frame_call(ctx, frame, target, stack, stack_bytes);
	if (r == 0) {
		atomic_store_explicit(
		    &ctx->calls, atomic_load_explicit(&ctx->calls, memory_order_relaxed) + 1, memory_order_relaxed);
		arch_enter(frame);
		if (frame->end != END_RETURN)
			r = frame_error(ctx, frame);
	}
	ctx->regs.rsp = frame->ctx_rsp;
	frame_pop(ctx, frame);
	return r;
}

/* ---- LFI_INVOKE ---- */

static struct LFIContext *
clone_context(struct LFIBox *box)
{
	LFICloneFn clone_cb = atomic_load(&box->engine->clone_cb);
	struct LFIContext *ctx;

	if (!clone_cb) {
		error_set(LFI_ERR_INVALID, "the context is NULL and no clone callback is set");
		return NULL;
	}
	lfi_error_clear();
	ctx = clone_cb(box);
	if (!ctx && lfi_errno() == LFI_OK)
		error_set(LFI_ERR_INVALID, "the clone callback made no context");
	return ctx;
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

	if (!box || !where)
		return error_set(LFI_ERR_INVALID, "lfi_invoke_info has no %s", box ? "context" : "box");
	ctx = *where;
	if (!ctx) {
		ctx = clone_context(box);
		if (!ctx)
			return -1;
		*where = ctx;
	}
	if (ctx->box != box)
		return error_set(LFI_ERR_INVALID, "the context belongs to another sandbox");
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

/* `stack` is the caller's outgoing arguments, which belong to the callee: us. */
void
ctx_invoke(struct Frame *frame, uint64_t *stack)
{
	struct LFIInvokeInfo *info = &lfi_invoke_info;
	struct LFIBox *box = info->box;
	struct LFIContext **ctx = info->ctx;
	lfiptr target = info->target;
	size_t stack_bytes = info->stack_bytes;
	size_t ints = ARCH_INT_REGS, floats = ARCH_FLOAT_REGS;

	if (info->arg_regs & LFI_INVOKE_COUNTED) {
		ints = info->arg_regs & 0xff;
		floats = info->arg_regs >> 8 & 0xff;
	}
	if (info->stack_skip | info->stack_tail)
		clear_padding(stack, stack_bytes / 8 < 64 ? stack_bytes / 8 : 64, info->stack_skip, info->stack_tail);
	/* Who sets box, ctx and target only, the next time, gets defaults for the others. */
	info->stack_bytes = 0;
	info->arg_regs = 0;
	info->stack_skip = info->stack_tail = 0;
	clear_ints(frame, ints);
	clear_floats(frame, floats);
	if (invoke(frame, box, ctx, target, stack, stack_bytes) < 0) {
		frame->rax = frame->rdx = frame->xmm0 = frame->xmm1 = 0;
		return;
	}
	error_none();
}

/* ---- lfi_call ---- */

/* Structs by value have at most this many bytes: larger ones go by memory, which a pointer does as well. */
#define STRUCT_MAX 16

/* One type of a signature. */
struct Type {
	size_t size, align; /* size 0: void */
	bool is_struct;
	bool floats[2]; /* of each eightbyte: all of it is float or double */
	char letter;
};

struct Lowering {
	struct Frame *frame;
	size_t ints, floats, words;
	uint64_t *stack;
};

static const struct {
	char letter;
	uint8_t size;
	bool is_float, is_signed;
} scalars[] = {
    {'b', 1, false, true},
    {'B', 1, false, false},
    {'h', 2, false, true},
    {'H', 2, false, false},
    {'i', 4, false, true},
    {'I', 4, false, false},
    {'l', 8, false, true},
    {'L', 8, false, false},
    {'p', 8, false, false},
    {'f', 4, true, false},
    {'d', 8, true, false},
};

static int
scalar(char letter)
{
	for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++)
		if (scalars[i].letter == letter)
			return (int) i;
	return -1;
}

static int
bad_signature(const char *sig, const char *at, const char *why)
{
	return error_set(LFI_ERR_SIGNATURE, "signature \"%.64s\", character %d: %s", sig, (int) (at - sig) + 1, why);
}

/* Parse members up to and with '}'. psABI 3.2.3: an eightbyte with an integer anywhere in it is INTEGER. */
static int
parse_members(const char *sig, const char **at, struct Type *type)
{
	size_t offset = 0;

	type->align = 1;
	type->floats[0] = type->floats[1] = true;
	for (; **at != '}'; (*at)++) {
		int i = scalar(**at);
		size_t size;

		if (i < 0)
			return bad_signature(sig, *at, "a struct is made of the letters bBhHiIlLpfd and ends with }");
		size = scalars[i].size;
		offset = align_down(offset + size - 1, size);
		if (offset + size > STRUCT_MAX)
			return bad_signature(sig, *at, "a struct by value has at most 16 bytes: pass a pointer");
		if (!scalars[i].is_float)
			type->floats[offset / 8] = false;
		offset += size;
		type->align = size > type->align ? size : type->align;
	}
	if (offset == 0)
		return bad_signature(sig, *at, "a struct has at least one member");
	type->size = align_down(offset + type->align - 1, type->align);
	(*at)++;
	return 0;
}

static int
parse_type(const char *sig, const char **at, struct Type *type)
{
	int i = scalar(**at);

	memset(type, 0, sizeof *type);
	type->letter = **at;
	if (**at == '{') {
		type->is_struct = true;
		(*at)++;
		return parse_members(sig, at, type);
	}
	if (i < 0)
		return bad_signature(sig, *at, "a type is one of the letters bBhHiIlLpfd, or v for the result, or {…}");
	type->size = type->align = scalars[i].size;
	type->floats[0] = scalars[i].is_float;
	(*at)++;
	return 0;
}

/* The bits of a scalar in an eightbyte: integers extended to 64 bits, so that no stale bits of the host's go in. */
static uint64_t
scalar_bits(char letter, const union LFIValue *value)
{
	uint32_t bits;

	switch (letter) {
	case 'b':
		return (uint64_t) (int8_t) value->i;
	case 'B':
		return (uint8_t) value->u;
	case 'h':
		return (uint64_t) (int16_t) value->i;
	case 'H':
		return (uint16_t) value->u;
	case 'i':
		return (uint64_t) (int32_t) value->i;
	case 'I':
		return (uint32_t) value->u;
	case 'f':
		memcpy(&bits, &value->f, sizeof bits);
		return bits;
	default:
		return value->u;
	}
}

/* An argument is `n` eightbytes: in registers when there are enough for all of it, else on the stack. */
static void
lower(struct Lowering *to, const struct Type *type, const uint64_t *bits, size_t n)
{
	size_t ints = 0, floats = 0;

	for (size_t i = 0; i < n; i++)
		*(type->floats[i] ? &floats : &ints) += 1;
	if (to->ints + ints > ARCH_INT_REGS || to->floats + floats > ARCH_FLOAT_REGS) {
		for (size_t i = 0; i < n; i++)
			to->stack[to->words++] = bits[i];
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (type->floats[i])
			to->frame->xmm[to->floats++] = bits[i];
		else
			to->frame->gpr[to->ints++] = bits[i];
	}
}

static int
lower_value(struct Lowering *to, const char *sig, const char *at, const struct Type *type, const union LFIValue *value)
{
	uint64_t bits[2] = {0, 0};

	if (!type->is_struct) {
		bits[0] = scalar_bits(type->letter, value);
		lower(to, type, bits, 1);
		return 0;
	}
	if (!value->p)
		return bad_signature(sig, at, "the value of this struct is NULL");
	memcpy(bits, value->p, type->size);
	lower(to, type, bits, (type->size + 7) / 8);
	return 0;
}

/* Parameters up to the ')' that ends the signature. */
static int
lower_all(struct Lowering *to, const char *sig, const char *at, const union LFIValue *args)
{
	struct Type type;

	if (*at++ != '(')
		return bad_signature(sig, at - 1, "a parameter list in parentheses follows the result");
	for (size_t i = 0; *at != ')'; i++) {
		const char *start = at;

		if (parse_type(sig, &at, &type) < 0)
			return -1;
		if (!args)
			return bad_signature(sig, start, "there are no values for the parameters");
		if (lower_value(to, sig, start, &type, &args[i]) < 0)
			return -1;
	}
	if (at[1])
		return bad_signature(sig, at + 1, "the signature goes on after )");
	return 0;
}

/* Integers and floats of a result, in the order of eightbytes. */
static void
take_result(const struct Frame *frame, const struct Type *type, union LFIValue *ret)
{
	const uint64_t ints[2] = {frame->rax, frame->rdx}, floats[2] = {frame->xmm0, frame->xmm1};
	size_t nints = 0, nfloats = 0;
	union LFIValue value;
	uint64_t bits[2] = {0, 0};

	if (!ret || type->size == 0)
		return;
	for (size_t i = 0; i < (type->size + 7) / 8; i++)
		bits[i] = type->floats[i] ? floats[nfloats++] : ints[nints++]; /* NOLINT: size <= 16 */
	if (type->is_struct) {
		memcpy(ret->p, bits, type->size);
		return;
	}
	/* Beyond a small integer's bits the callee may leave anything. */
	value.u = bits[0];
	ret->u = scalar_bits(type->letter, &value);
}

int
lfi_call(struct LFIContext *ctx, lfiptr fn, const char *sig, const union LFIValue *args, union LFIValue *ret)
{
	struct Frame frame;
	struct Lowering to = {.frame = &frame};
	struct Type result;
	const char *at = sig;
	int r;

	if (!ctx)
		return error_null("context");
	if (!sig)
		return error_set(LFI_ERR_SIGNATURE, "the signature is NULL");
	memset(frame.gpr, 0, sizeof frame.gpr); /* I1 */
	memset(frame.xmm, 0, sizeof frame.xmm);
	memset(&result, 0, sizeof result);
	if (*at == 'v')
		at++;
	else if (parse_type(sig, &at, &result) < 0)
		return -1;
	if (result.is_struct && ret && !ret->p)
		return error_set(LFI_ERR_INVALID, "ret->p is NULL: nowhere to store the struct");
	/* No parameter takes more words than letters. */
	uint64_t few[32];
	size_t letters = strlen(at);

	to.stack = letters <= sizeof few / sizeof few[0] ? few : malloc(letters * sizeof *to.stack);
	if (!to.stack)
		return error_set(LFI_ERR_NOMEM, "no memory for %zu arguments", letters);
	r = lower_all(&to, sig, at, args);
	if (r == 0)
		r = call(ctx, &frame, fn, to.stack, to.words * sizeof *to.stack);
	if (r == 0) {
		take_result(&frame, &result, ret);
		error_none();
	}
	if (to.stack != few)
		free(to.stack);
	return r;
}
