//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Host functions that sandboxed code can call, and where the functions that the host calls return to: pages of verified
 * entries. Entry 0 of a box's first page is the return, the others lead to box->callbacks, and those of further pages
 * to their own. Trusted.
 *
 *   I1  What an entry leads to is not freed while a context of the box is entered.                   reap
 *   I2  Arguments are read once, from registers and by a guarded copy of the stack in the sandbox.    ctx_host_call
 *   I3  A result is written in full: its bits, and zeros.                                            give_value
 */
#include "box.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "os.h"
#include "sig.h"

struct HostFn {
	struct HostFn *next; /* box->host_fns */
	LFIHostFn fn;
	void *user;
	bool retired; /* no entry leads here any more; under the lock */
	struct Sig sig;
};

/* Map one more page of entries. The lock is held. */
static int
make_page(struct LFIBox *box, lfiptr *addr)
{
	const struct LFIOptions *opts = &box->engine->opts;
	uint8_t *page = calloc(1, opts->pagesize);
	int r;

	if (!page)
		return error_set(LFI_ERR_NOMEM, "no memory for the callback entries");
	arch_callback_page(page, opts->pagesize, opts->bundle, opts->single_thread);
	r = box_put_code(box, page, opts->pagesize, addr);
	free(page);
	return r;
}

/* Map the first page unless it is there. The lock is held. */
static int
ensure_page(struct LFIBox *box)
{
	lfiptr addr = 0;

	if (atomic_load(&box->callback_page))
		return 0;
	if (make_page(box, &addr) < 0)
		return -1;
	atomic_store(&box->callback_page, addr);
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next)
		atomic_store(&ctx->return_l, addr + CALLBACK_RESUME);
	return 0;
}

int
lfi_box_init_ret(struct LFIBox *box)
{
	int r;

	if (handle_check(box, HANDLE_BOX) < 0)
		return -1;
	pthread_mutex_lock(&box->lock);
	r = ensure_page(box);
	pthread_mutex_unlock(&box->lock);
	return r;
}

bool
lfi_box_cbinit(struct LFIBox *box)
{
	int r;

	if (handle_check(box, HANDLE_BOX) < 0)
		return false;
	pthread_mutex_lock(&box->lock);
	r = ensure_page(box);
	box->callbacks_ready |= r == 0;
	pthread_mutex_unlock(&box->lock);
	return r == 0;
}

/* ---- Entries: those of the first page but 0, then those of further pages ---- */

#define ENTRIES_MAX (CALLBACK_ENTRIES * (1 + CALLBACK_FAR))

/* NULL when its page is not there. The lock is held. */
static _Atomic(void *) *
entry(struct LFIBox *box, size_t i)
{
	struct CallbackPage *page;

	if (i < CALLBACK_ENTRIES)
		return &box->callbacks[i];
	page = atomic_load(&box->far[i / CALLBACK_ENTRIES - 1]);
	return page ? &page->fns[i % CALLBACK_ENTRIES] : NULL;
}

static lfiptr
entry_address(struct LFIBox *box, size_t i)
{
	lfiptr page = i < CALLBACK_ENTRIES ? atomic_load(&box->callback_page)
					   : atomic_load(&box->far[i / CALLBACK_ENTRIES - 1])->resume - CALLBACK_RESUME;

	return box_give_address(box, page + i % CALLBACK_ENTRIES * CALLBACK_ENTRY);
}

/* The entry of `fn`, or of NULL: a free one. 0 when there is none. */
static size_t
find(struct LFIBox *box, void *fn)
{
	for (size_t i = 1; i < ENTRIES_MAX; i++) {
		_Atomic(void *) *at = entry(box, i);

		if (at && atomic_load(at) == fn)
			return i;
	}
	return 0;
}

/* A page more of free ones. */
static int
grow(struct LFIBox *box)
{
	struct CallbackPage *page;
	size_t i = 0;
	lfiptr addr = 0;

	while (i < CALLBACK_FAR && atomic_load(&box->far[i]))
		i++;
	if (i == CALLBACK_FAR)
		return error_set(LFI_ERR_LIMIT, "all %d callbacks of the sandbox are taken", ENTRIES_MAX - 1);
	page = calloc(1, sizeof *page);
	if (!page)
		return error_set(LFI_ERR_NOMEM, "no memory for the callback entries");
	if (make_page(box, &addr) < 0) {
		free(page);
		return -1;
	}
	page->resume = addr + CALLBACK_RESUME;
	atomic_store(&box->far[i], page);
	return 0;
}

/* Let a free entry lead to `to`. Its address, or NULL with the error set. */
static void *
take_entry(struct LFIBox *box, void *to)
{
	size_t i;

	if (!box->callbacks_ready) {
		error_set(LFI_ERR_INVALID, "lfi_box_cbinit must be called before callbacks are registered");
		return NULL;
	}
	i = find(box, NULL);
	if (!i) {
		if (grow(box) < 0)
			return NULL;
		i = find(box, NULL);
	}
	atomic_store(entry(box, i), to);
	return (void *) entry_address(box, i);
}

void *
lfi_box_register_cb(struct LFIBox *box, void *fn)
{
	void *at;
	size_t i;

	if (handle_check(box, HANDLE_BOX) < 0)
		return NULL;
	if (!fn) {
		error_null("callback");
		return NULL;
	}
	if ((uintptr_t) fn >> CALLBACK_TYPED_BIT) {
		error_set(LFI_ERR_INVALID, "the callback %p is not an address of user space", fn);
		return NULL;
	}
	pthread_mutex_lock(&box->lock);
	i = find(box, fn);
	at = i ? (void *) entry_address(box, i) : take_entry(box, fn);
	pthread_mutex_unlock(&box->lock);
	return at;
}

void
lfi_box_unregister_cb(struct LFIBox *box, void *fn)
{
	size_t i;

	if (handle_check(box, HANDLE_BOX) < 0)
		return;
	pthread_mutex_lock(&box->lock);
	i = fn ? find(box, fn) : 0;
	if (i)
		atomic_store(entry(box, i), NULL);
	pthread_mutex_unlock(&box->lock);
}

/* ---- Functions with a signature ---- */

/* What one call may take of the host's stack. */
#define PARAMS_MAX 64
#define WORDS_MAX 128

static void *
tagged(struct HostFn *fn)
{
	return (void *) ((uintptr_t) fn | (uintptr_t) 1 << CALLBACK_TYPED_BIT);
}

/*
 * Free the functions that were taken back, unless somebody may be in one: a thread that has found one in an entry has a
 * context entered. Who enters after the barrier finds the entry empty. The lock is held.
 */
static void
reap(struct LFIBox *box)
{
	if (!os_barrier())
		return;
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next)
		if (atomic_load(&ctx->depth) != 0)
			return;
	for (struct HostFn **at = &box->host_fns; *at;) {
		struct HostFn *fn = *at;

		if (fn->retired) {
			*at = fn->next;
			free(fn);
		} else {
			at = &fn->next;
		}
	}
}

void
box_callbacks_free(struct LFIBox *box)
{
	while (box->host_fns) {
		struct HostFn *fn = box->host_fns;

		box->host_fns = fn->next;
		free(fn);
	}
	for (size_t i = 0; i < CALLBACK_FAR; i++)
		free(atomic_load(&box->far[i]));
}

/* ---- Images of a box: plain functions of the first page. Typed ones belong to the box that they were registered in
 * ---- */

void
box_callbacks_keep(const struct LFIBox *box, void *fns[CALLBACK_ENTRIES])
{
	for (size_t i = 0; i < CALLBACK_ENTRIES; i++) {
		fns[i] = atomic_load(&box->callbacks[i]);
		if ((uintptr_t) fns[i] >> CALLBACK_TYPED_BIT)
			fns[i] = NULL;
	}
}

/* Further pages have gone with the mappings, and with them the typed functions there. */
static void
drop_far(struct LFIBox *box)
{
	for (struct HostFn *fn = box->host_fns; fn; fn = fn->next)
		fn->retired |= find(box, tagged(fn)) >= CALLBACK_ENTRIES;
	for (size_t i = 0; i < CALLBACK_FAR; i++) {
		free(atomic_load(&box->far[i]));
		atomic_store(&box->far[i], NULL);
	}
	reap(box);
}

void
box_callbacks_restore(struct LFIBox *box, void *const fns[CALLBACK_ENTRIES])
{
	for (size_t i = 0; i < CALLBACK_ENTRIES; i++)
		if (!((uintptr_t) atomic_load(&box->callbacks[i]) >> CALLBACK_TYPED_BIT))
			atomic_store_explicit(&box->callbacks[i], fns[i], memory_order_relaxed);
	if (atomic_load(&box->far[0]))
		drop_far(box);
}

static struct HostFn *
make_host_fn(const char *sig, LFIHostFn fn, void *user)
{
	size_t size = sig_size(sig);
	struct HostFn *made;

	if (size == 0)
		return NULL;
	made = calloc(1, offsetof(struct HostFn, sig) + size);
	if (!made) {
		error_set(LFI_ERR_NOMEM, "no memory for a host function");
		return NULL;
	}
	made->fn = fn;
	made->user = user;
	if (sig_parse(&made->sig, sig) < 0)
		goto free_made;
	if (made->sig.n > PARAMS_MAX || made->sig.words > WORDS_MAX || made->sig.ret.size > WORDS_MAX * 8) {
		error_set(LFI_ERR_LIMIT,
		    "signature \"%.64s\": a host function has at most %d parameters, %d bytes of them in memory, "
		    "and as many of result",
		    sig, PARAMS_MAX, WORDS_MAX * 8);
		goto free_made;
	}
	return made;

free_made:
	free(made);
	return NULL;
}

void *
lfi_box_register_fn(struct LFIBox *box, const char *sig, LFIHostFn fn, void *user)
{
	struct HostFn *made;
	void *at;

	if (handle_check(box, HANDLE_BOX) < 0)
		return NULL;
	if (!fn) {
		error_null("host function");
		return NULL;
	}
	made = make_host_fn(sig, fn, user);
	if (!made)
		return NULL;
	pthread_mutex_lock(&box->lock);
	at = take_entry(box, tagged(made));
	if (at) {
		made->next = box->host_fns;
		box->host_fns = made;
	}
	pthread_mutex_unlock(&box->lock);
	if (!at)
		free(made);
	return at;
}

int
lfi_box_unregister_fn(struct LFIBox *box, void *addr)
{
	lfiptr wanted;
	size_t i = 0;

	if (handle_check(box, HANDLE_BOX) < 0)
		return -1;
	wanted = box_give_address(box, box_take_address(box, (lfiptr) addr));
	pthread_mutex_lock(&box->lock);
	for (struct HostFn *fn = box->host_fns; fn && !i; fn = fn->next) {
		i = fn->retired ? 0 : find(box, tagged(fn));
		if (i && entry_address(box, i) == wanted)
			fn->retired = true;
		else
			i = 0;
	}
	if (i) {
		atomic_store(entry(box, i), NULL);
		reap(box);
	}
	pthread_mutex_unlock(&box->lock);
	return i ? 0 : error_set(LFI_ERR_NOTFOUND, "no host function is registered at %p", addr);
}

/* The values of one call, and what their pointers lead to. Aligned for long double. */
struct HostValues {
	union LFIValue args[PARAMS_MAX];
	_Alignas(16) uint64_t words[WORDS_MAX];                            /* of the sandbox's stack, read once */
	_Alignas(16) uint64_t structs[ARCH_INT_REGS + ARCH_FLOAT_REGS][2]; /* that came in registers */
	_Alignas(16) uint64_t result[WORDS_MAX];
};

/* The sandbox called with a stack, or a place for the result, that is none: it has trapped. */
static int
fault(struct LFIContext *ctx, uint64_t address)
{
	uint32_t depth = atomic_load_explicit(&ctx->depth, memory_order_relaxed);

	ctx->fault = (struct Fault){.signal = SIGSEGV,
	    .code = SEGV_MAPERR,
	    .address = address,
	    .pc = atomic_load(&atomic_load(&ctx->inside)[depth])};
	ctx->faulted = true;
	ctx->frame->end = END_FAULT;
	return 1;
}

static uint64_t
register_of(const struct HostCall *call, uint8_t reg)
{
	return reg >= SIG_FLOAT ? call->xmm[reg - SIG_FLOAT] : call->gpr[reg];
}

static void
take_values(struct HostValues *values, const struct Sig *sig, const struct HostCall *call)
{
	size_t structs = 0;

	for (size_t i = 0; i < sig->n; i++) {
		const struct SigParam *param = &sig->params[i];
		bool by_pointer = param->type.letter == '{' || param->type.letter == 'D';

		if (by_pointer && param->on_stack) {
			values->args[i].p = &values->words[param->word];
		} else if (by_pointer) {
			uint64_t *copy = values->structs[structs++];

			for (size_t j = 0; j < (param->type.size + 7) / 8; j++)
				copy[j] = register_of(call, param->reg[j]);
			values->args[i].p = copy;
		} else {
			values->args[i].u = sig_bits(&param->type,
			    param->on_stack ? values->words[param->word] : register_of(call, param->reg[0]));
		}
	}
}

/* What goes back is of the result's type to the bit: no more of `ret` than that. */
static int
give_value(struct LFIContext *ctx, const struct SigType *type, const union LFIValue *ret, struct HostCall *call,
    const uint64_t *result)
{
	uint64_t ints[2] = {0, 0}, floats[2] = {0, 0};
	size_t nints = 0, nfloats = 0;

	call->rax = call->rdx = call->xmm0 = call->xmm1 = 0;
	call->result_x87 = type->x87;
	if (type->x87) {
		memset(call->st0, 0, sizeof call->st0);
		memcpy(call->st0, result, 10);
	} else if (type->memory) {
		uint64_t to = box_mask(ctx->box, call->gpr[0]);

		if (!box_valid(ctx->box, to, type->size) || copy_guarded((void *) to, result, type->size) > 0)
			return fault(ctx, to);
		call->rax = to;
	} else if (type->size > 0) {
		for (size_t i = 0; i < (type->size + 7) / 8; i++) {
			uint64_t bits = type->letter == '{' ? result[i] : sig_bits(type, ret->u);

			if (type->floats[i])
				floats[nfloats++] = bits;
			else
				ints[nints++] = bits;
		}
		call->rax = ints[0];
		call->rdx = ints[1];
		call->xmm0 = floats[0];
		call->xmm1 = floats[1];
	}
	return 0;
}

int
ctx_host_call(struct HostFn *fn, struct HostCall *call, struct LFIContext *ctx)
{
	const struct Sig *sig = &fn->sig;
	bool by_pointer = sig->ret.letter == '{' || sig->ret.letter == 'D';
	struct HostValues values;
	union LFIValue ret = {.u = 0};

	if (sig->words > 0) {
		uint64_t from = box_mask(ctx->box, call->sp) + 8;

		if (!box_valid(ctx->box, from, sig->words * 8) ||
		    copy_guarded(values.words, (void *) from, sig->words * 8) > 0)
			return fault(ctx, from);
	}
	take_values(&values, sig, call);
	if (by_pointer) {
		memset(values.result, 0, sig->ret.size);
		ret.p = values.result;
	}
	fn->fn(ctx, fn->user, values.args, &ret);
	return give_value(ctx, &sig->ret, &ret, call, values.result);
}
