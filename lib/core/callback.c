/* SPDX-License-Identifier: MIT */
/*
 * Host functions that sandboxed code can call, and where the functions that
 * the host calls return to: one page of verified entries per box. Entry 0 is
 * the return, entry i leads to box->callbacks[i]. Trusted.
 */
#include "box.h"

#include <stdlib.h>

#include "error.h"

/* Map the page unless it is there. The lock is held. */
static int
ensure_page(struct LFIBox *box)
{
	const struct LFIOptions *opts = &box->engine->opts;
	uint8_t *page;
	lfiptr addr;
	int r;

	if (atomic_load(&box->callback_page))
		return 0;
	page = calloc(1, opts->pagesize);
	if (!page)
		return error_set(LFI_ERR_NOMEM, "no memory for the callback entries");
	arch_callback_page(page, opts->pagesize, opts->bundle, opts->single_thread);
	r = box_put_code(box, page, opts->pagesize, &addr);
	free(page);
	if (r < 0)
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

	if (!box)
		return error_null("box");
	pthread_mutex_lock(&box->lock);
	r = ensure_page(box);
	pthread_mutex_unlock(&box->lock);
	return r;
}

bool
lfi_box_cbinit(struct LFIBox *box)
{
	int r;

	if (!box) {
		error_null("box");
		return false;
	}
	pthread_mutex_lock(&box->lock);
	r = ensure_page(box);
	box->callbacks_ready |= r == 0;
	pthread_mutex_unlock(&box->lock);
	return r == 0;
}

/* The entry of `fn`, or of NULL: a free one. 0 when there is none. */
static size_t
find(struct LFIBox *box, void *fn)
{
	for (size_t i = 1; i < CALLBACK_ENTRIES; i++)
		if (atomic_load(&box->callbacks[i]) == fn)
			return i;
	return 0;
}

void *
lfi_box_register_cb(struct LFIBox *box, void *fn)
{
	size_t i = 0;

	if (!box || !fn) {
		error_null(box ? "callback" : "box");
		return NULL;
	}
	pthread_mutex_lock(&box->lock);
	if (!box->callbacks_ready) {
		error_set(LFI_ERR_INVALID, "lfi_box_cbinit must be called before callbacks are registered");
		goto unlock;
	}
	i = find(box, fn);
	if (!i)
		i = find(box, NULL);
	if (i)
		atomic_store(&box->callbacks[i], fn);
	else
		error_set(LFI_ERR_LIMIT, "all %d callbacks of the sandbox are taken", CALLBACK_ENTRIES - 1);
unlock:
	pthread_mutex_unlock(&box->lock);
	return i ? (void *) (atomic_load(&box->callback_page) + i * CALLBACK_ENTRY) : NULL;
}

void
lfi_box_unregister_cb(struct LFIBox *box, void *fn)
{
	size_t i;

	if (!box)
		return;
	pthread_mutex_lock(&box->lock);
	i = fn ? find(box, fn) : 0;
	if (i)
		atomic_store(&box->callbacks[i], NULL);
	pthread_mutex_unlock(&box->lock);
}
