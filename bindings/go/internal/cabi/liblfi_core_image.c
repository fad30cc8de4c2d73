//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Images: a box's memory frozen in a file of the host's memory, new boxes of it, and the way back to it. The file is
 * as large as a sandbox and each page lies at its offset from the base; pages that are zero are holes. Called by
 * lib/linux. Trusted: this is the second way in which pages become executable, beside stage in box.c.
 *
 *   I1  What is mapped executable here is private pages of a file that was sealed before: nobody, in the host
 *       either, can write, cut or replace its bytes.                                          box_freeze, seal
 *   I2  Those bytes were found equal, after the seal, to a region of the frozen box, which was verified under the
 *       engine's options at the same offset from its base and cannot have changed since (box.c, I3). The verdict
 *       depends on the bytes, the options and that offset only, so it holds in each box of the engine.
 *                                                                                             check_code
 *   I3  No page is mapped writable and executable: protections are those of the frozen box's runs, which box.c
 *       checked.                                                                              put_run, lay_group
 *   I4  Boxes of an image share it read-only: what one writes are copies of its own.          put_run, lay_group
 *   I5  A region is replaced by box_reset only with the gate closed and no context entered.   box_reset
 *   I6  A run marked PAGES_IMAGE is a mapping of box->image at its own offset. The mark comes from those who map the
 *       image only, and goes with anything that is mapped over it (forget_image). So a run that equals one of the
 *       image's, mark included, differs from it by private copies at most; with EXEC not even by those.  keeps
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "box.h"
#include "error.h"
#include "os.h"

#define ANONYMOUS (LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS)

struct BoxImage {
	_Atomic unsigned refs;
	struct LFIEngine *engine;
	int fd;
	uint32_t code;
	uint64_t cpu;
	struct PageMap pages; /* addresses are offsets from the base */
	uint64_t callback_page;
	uint64_t origin;
	bool callbacks_ready;
	bool oblivious;
	struct LFILimits limits;
	void *callbacks[CALLBACK_ENTRIES];
};

void
box_image_hold(struct BoxImage *image)
{
	atomic_fetch_add(&image->refs, 1);
}

void
box_image_put(struct BoxImage *image)
{
	if (!image || atomic_fetch_sub(&image->refs, 1) != 1)
		return;
	if (image->fd >= 0)
		os_image_close(image->fd);
	pages_free(&image->pages);
	free(image);
}

static int
fail_os(int err, const char *what)
{
	return error_set_os(err == ENOMEM ? LFI_ERR_NOMEM : LFI_ERR_OS, err, "%s", what);
}

static bool
any_entered(const struct LFIBox *box)
{
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next)
		if (atomic_load(&ctx->depth) != 0)
			return true;
	return false;
}

/* ---- Freezing: bytes ---- */

/* What copying a box's pages needs. */
struct Copy {
	struct LFIBox *box;
	struct BoxImage *image;
	int pagemap;
	uint8_t *page; /* a buffer */
	size_t size;   /* of a page */
};

/* The page's bytes to copy->page, or *hole when it has none of its own. */
static int
fetch(struct Copy *copy, const struct PageRun *run, uint64_t addr, bool *hole)
{
	uint64_t off = addr - copy->box->base;
	bool file = !(run->flags & LFI_MAP_ANONYMOUS);
	int err;

	*hole = false;
	if (file || os_pagemap_touched(copy->pagemap, addr)) {
		if (copy_guarded(copy->page, (const void *) addr, copy->size) > 0)
			return error_set(
			    LFI_ERR_UNMAPPED, "the page at %#llx cannot be read", (unsigned long long) addr);
	} else if (run->flags & PAGES_IMAGE) {
		/* Reading the mapping would fill the old image's holes. */
		err = os_image_read(copy->box->image->fd, copy->page, copy->size, off);
		if (err)
			return fail_os(err, "cannot read the image that the sandbox was made of");
	} else {
		*hole = true;
	}
	return 0;
}

static bool
is_zero(const uint8_t *page, size_t size)
{
	return page[0] == 0 && memcmp(page, page + 1, size - 1) == 0;
}

/* Copy what the run holds to the image. `*any` says whether there is something. */
static int
copy_run(struct Copy *copy, const struct PageRun *run, bool *any)
{
	bool hole;
	int err;

	for (uint64_t addr = run->start; addr < run->end; addr += copy->size) {
		if (fetch(copy, run, addr, &hole) < 0)
			return -1;
		if (hole || is_zero(copy->page, copy->size))
			continue;
		*any = true;
		err = os_image_write(copy->image->fd, copy->page, copy->size, addr - copy->box->base);
		if (err)
			return fail_os(err, "no memory for the image of a sandbox");
	}
	return 0;
}

/* As copy_run, for pages that cannot be read as they are. */
static int
copy_hidden(struct Copy *copy, const struct PageRun *run, bool *any)
{
	int err = os_protect(run->start, run->end - run->start, LFI_PROT_READ);
	int r;

	if (err)
		return fail_os(err, "cannot read a sandbox's inaccessible pages");
	r = copy_run(copy, run, any);
	/* Nothing can be lost: what fails here is a split, and the whole run is one. */
	err = os_protect(run->start, run->end - run->start, run->prot);
	if (r == 0 && err)
		r = fail_os(err, "cannot protect a sandbox's pages");
	return r;
}

static bool
touched(struct Copy *copy, const struct PageRun *run)
{
	if (!(run->flags & LFI_MAP_ANONYMOUS) || run->flags & PAGES_IMAGE)
		return true;
	for (uint64_t addr = run->start; addr < run->end; addr += copy->size)
		if (os_pagemap_touched(copy->pagemap, addr))
			return true;
	return false;
}

/* One run: its bytes, and its row in the image's map. Inaccessible pages without bytes stay the engine's reservation.
 */
static int
freeze_run(struct Copy *copy, const struct PageRun *run)
{
	bool any = run->prot != LFI_PROT_NONE;
	int r = 0;

	if (run->flags & LFI_MAP_SHARED)
		return error_set(LFI_ERR_UNSUPPORTED,
		    "the sandbox cannot be frozen: the memory at %#llx is a shared mapping",
		    (unsigned long long) run->start);
	if (run->prot & LFI_PROT_READ)
		r = copy_run(copy, run, &any);
	else if (touched(copy, run))
		r = copy_hidden(copy, run, &any);
	if (r < 0)
		return -1;
	if (pages_reserve(&copy->image->pages) < 0)
		return error_set(LFI_ERR_NOMEM, "no memory for the image of a sandbox");
	pages_set(&copy->image->pages, run->start - copy->box->base, run->end - copy->box->base, run->prot,
	    any ? ANONYMOUS | PAGES_IMAGE : ANONYMOUS);
	return 0;
}

static int
freeze_memory(struct LFIBox *box, struct BoxImage *image)
{
	struct Copy copy = {.box = box, .image = image, .size = box->engine->opts.pagesize};
	int r = 0;

	copy.page = malloc(copy.size);
	if (!copy.page)
		return error_set(LFI_ERR_NOMEM, "no memory for the image of a sandbox");
	copy.pagemap = os_pagemap_open();
	for (size_t i = 0; i < box->pages.count && r == 0; i++)
		r = freeze_run(&copy, &box->pages.runs[i]);
	os_pagemap_close(copy.pagemap);
	free(copy.page);
	return r;
}

/* I2, for one region, after the seal. */
static int
check_code(const struct LFIBox *box, const struct BoxImage *image, const struct PageRun *run)
{
	size_t size = run->end - run->start;
	void *sealed;
	bool same;
	int err = os_map(0, size, LFI_PROT_READ, LFI_MAP_PRIVATE, image->fd, (off_t) run->start, &sealed);

	if (err)
		return fail_os(err, "cannot map the image of a sandbox");
	same = memcmp(sealed, (const void *) (box->base + run->start), size) == 0;
	os_release(sealed, size);
	return same ? 0
		    : error_set(LFI_ERR_VERIFY, "the code at offset %#llx changed while the sandbox was frozen",
			  (unsigned long long) run->start);
}

/* I1, I2. */
static int
seal(const struct LFIBox *box, const struct BoxImage *image)
{
	int err = os_image_seal(image->fd);

	if (err)
		return fail_os(err, "cannot seal the image of a sandbox");
	for (size_t i = 0; i < image->pages.count; i++)
		if (image->pages.runs[i].prot & LFI_PROT_EXEC && check_code(box, image, &image->pages.runs[i]) < 0)
			return -1;
	return 0;
}

/* ---- Mapping ---- */

/* I3, I4. `run` is the image's. */
static int
put_run(struct LFIBox *box, const struct BoxImage *image, const struct PageRun *run)
{
	void *at;
	int err;

	if (!(run->flags & PAGES_IMAGE))
		return 0;
	err = os_map(box->base + run->start, run->end - run->start, run->prot, LFI_MAP_PRIVATE, image->fd,
	    (off_t) run->start, &at);
	return err ? fail_os(err, "cannot map a sandbox's image") : 0;
}

/* The box's map becomes the image's. */
static int
enter_runs(struct LFIBox *box, const struct BoxImage *image)
{
	if (pages_copy(&box->pages, &image->pages, box->base) < 0)
		return error_set(LFI_ERR_NOMEM, "no memory for a sandbox's mappings");
	box->image_changes = box->pages.changes;
	return 0;
}

/*
 * While they are replaced the box's pages are those of some file, the old image or the new one: what is read of them is
 * right, and a reset maps all of them.
 */
static void
forget_image(struct LFIBox *box)
{
	for (size_t i = 0; i < box->pages.count; i++)
		box->pages.runs[i].flags = LFI_MAP_PRIVATE;
	box->pages.changes++;
}

/* All of them, over pages that have the same bytes. One by one: what fails leaves what was there. */
static int
put_runs(struct LFIBox *box, const struct BoxImage *image)
{
	forget_image(box);
	for (size_t i = 0; i < image->pages.count; i++)
		if (put_run(box, image, &image->pages.runs[i]) < 0)
			return -1;
	return enter_runs(box, image);
}

/* How many of the `n` runs, from the first on, lie wall to wall, all of them in the image or none. */
static size_t
wall_to_wall(const struct PageRun *runs, size_t n)
{
	size_t count = 1;

	while (count < n && runs[count].start == runs[count - 1].end && runs[count].flags == runs[0].flags)
		count++;
	return count;
}

/*
 * I3, I4. Such runs, in a box that nobody knows yet: mapped as one, with what all of them grant, so that nothing can be
 * written that becomes executable; then each gets its own protection, which takes half the time of another mapping.
 */
static int
lay_group(struct LFIBox *box, const struct BoxImage *image, const struct PageRun *runs, size_t n)
{
	uint64_t start = runs[0].start, size = runs[n - 1].end - start;
	int common = runs[0].prot, err;
	void *at;

	if (!(runs[0].flags & PAGES_IMAGE))
		return 0;
	for (size_t i = 1; i < n; i++)
		common &= runs[i].prot;
	err = os_map(box->base + start, size, common, LFI_MAP_PRIVATE, image->fd, (off_t) start, &at);
	for (size_t i = 0; i < n && !err; i++)
		if (runs[i].prot != common)
			err = os_protect(box->base + runs[i].start, runs[i].end - runs[i].start, runs[i].prot);
	return err ? fail_os(err, "cannot map a sandbox's image") : 0;
}

/* All runs of the image, in a new box. */
static int
lay_runs(struct LFIBox *box, const struct BoxImage *image)
{
	const struct PageRun *runs = image->pages.runs;
	size_t count = image->pages.count;

	for (size_t i = 0, n; i < count; i += n) {
		n = wall_to_wall(&runs[i], count - i);
		if (lay_group(box, image, &runs[i], n) < 0)
			return -1;
	}
	return enter_runs(box, image);
}

/* ---- Freezing ---- */

static void
keep_state(const struct LFIBox *box, struct BoxImage *image)
{
	uint64_t page = atomic_load(&box->callback_page);

	image->code = atomic_load(&box->code);
	image->cpu = box->cpu;
	image->callback_page = page ? page - box->base : 0;
	image->callbacks_ready = box->callbacks_ready;
	image->origin = box->origin - box->base;
	image->oblivious = box->oblivious;
	image->limits = box->limits;
	box_callbacks_keep(box, image->callbacks);
}

/* Also for a box that has lived on: its contexts get to know where functions return to. */
static void
restore_state(struct LFIBox *box, const struct BoxImage *image)
{
	uint64_t page = image->callback_page ? box->base + image->callback_page : 0;

	atomic_store(&box->code, image->code);
	box->cpu = image->cpu;
	atomic_store(&box->callback_page, page);
	box->callbacks_ready = image->callbacks_ready;
	box->oblivious = image->oblivious;
	box->origin = box->base + image->origin;
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next) {
		atomic_store(&ctx->return_l, page ? page + CALLBACK_RESUME : UINT64_MAX);
		quick_disable(ctx);
	}
}

/* The gate is closed, the lock held. */
static int
freeze(struct LFIBox *box, struct BoxImage *image)
{
	int err;

	if (any_entered(box))
		return error_set(LFI_ERR_BUSY, "a context of the sandbox is entered: it cannot be frozen");
	if (box_check_pins(box, box->base, box->base + BOX_SIZE) < 0)
		return -1;
	if (atomic_load(&box->far[0]))
		return error_set(LFI_ERR_UNSUPPORTED, "the sandbox cannot be frozen: it has more than %d callbacks",
		    CALLBACK_ENTRIES - 1);
	err = os_image_new(BOX_SIZE, &image->fd);
	if (err)
		return fail_os(err, "cannot make a file for the image of a sandbox");
	if (freeze_memory(box, image) < 0 || seal(box, image) < 0)
		return -1;
	keep_state(box, image);
	/* Should this fail, the box has the same bytes as before, some of them in the image. Its mappings keep that. */
	return put_runs(box, image);
}

struct BoxImage *
box_freeze(struct LFIBox *box)
{
	struct BoxImage *image = calloc(1, sizeof *image), *old;
	int r;

	if (!image) {
		error_set(LFI_ERR_NOMEM, "no memory for the image of a sandbox");
		return NULL;
	}
	atomic_init(&image->refs, 1);
	image->engine = box->engine;
	image->fd = -1;
	pthread_mutex_lock(&box->lock);
	if (box_gate_close(box)) {
		r = freeze(box, image);
		box_gate_open(box);
	} else {
		r = error_set(LFI_ERR_BUSY, "a context of the sandbox executes: it cannot be frozen");
	}
	if (r == 0) {
		old = box->image;
		box_image_hold(image);
		box->image = image;
		box_image_put(old);
	}
	pthread_mutex_unlock(&box->lock);
	if (r == 0)
		return image;
	box_image_put(image);
	return NULL;
}

/* ---- Cloning ---- */

struct LFIBox *
box_clone(struct BoxImage *image)
{
	struct LFIBox *box = lfi_box_new(image->engine);

	if (!box)
		return NULL;
	if (lay_runs(box, image) < 0) {
		box_free(box);
		return NULL;
	}
	restore_state(box, image);
	box_callbacks_restore(box, image->callbacks);
	if (lfi_box_set_limits(box, image->limits) < 0) {
		box_free(box);
		return NULL;
	}
	box_image_hold(image);
	box->image = image;
	return box;
}

/* ---- Resetting ---- */

/* I6: the image's run that `run` of the box still is, or NULL. */
static const struct PageRun *
keeps(const struct LFIBox *box, const struct PageRun *run)
{
	const struct PageMap *pages = &box->image->pages;
	size_t i = pages_find(pages, run->start - box->base);
	const struct PageRun *own = &pages->runs[i];

	return i < pages->count && run->flags & PAGES_IMAGE && own->start == run->start - box->base &&
		       own->end == run->end - box->base && own->prot == run->prot && own->flags == run->flags
		   ? own
		   : NULL;
}

/* Drop what was written. False when the kernel does not want to (memory that is locked). */
static bool
discard(const struct LFIBox *box, int prots)
{
	for (size_t i = 0; i < box->pages.count; i++) {
		const struct PageRun *run = &box->pages.runs[i];

		if (run->flags & PAGES_IMAGE && !(run->prot & LFI_PROT_EXEC) && (run->prot & prots) == prots &&
		    os_discard(run->start, run->end - run->start) != 0)
			return false;
	}
	return true;
}

/* Unmap what is not the image's. */
static int
clear_others(struct LFIBox *box, bool all)
{
	size_t i = 0;

	while (i < box->pages.count) {
		struct PageRun run = box->pages.runs[i];
		int err;

		if (!all && keeps(box, &run)) {
			i++;
			continue;
		}
		err = os_unuse(run.start, run.end - run.start);
		if (err)
			return fail_os(err, "cannot unmap a sandbox's pages");
		pages_set(&box->pages, run.start, run.end, -1, 0);
	}
	return 0;
}

/* Map what is missing of the image. */
static int
put_missing(struct LFIBox *box)
{
	for (size_t i = 0; i < box->image->pages.count; i++) {
		const struct PageRun *run = &box->image->pages.runs[i];

		if (!pages_empty(&box->pages, box->base + run->start, box->base + run->end))
			continue;
		if (pages_reserve(&box->pages) < 0)
			return error_set(LFI_ERR_NOMEM, "no memory for a sandbox's mappings");
		if (put_run(box, box->image, run) < 0)
			return -1;
		pages_set(&box->pages, box->base + run->start, box->base + run->end, run->prot, run->flags);
	}
	return 0;
}

/* The mappings changed. I5: the gate is closed and no context is entered. */
static int
remap(struct LFIBox *box, bool all)
{
	/* A run that is read-only again may have been written meanwhile. */
	if (!all && !discard(box, LFI_PROT_NONE))
		all = true;
	if (clear_others(box, all) < 0 || put_missing(box) < 0)
		return -1;
	assert(box->pages.count == box->image->pages.count);
	restore_state(box, box->image);
	box->image_changes = box->pages.changes;
	return 0;
}

static int
remap_closed(struct LFIBox *box, bool all)
{
	int r;

	if (!box_gate_close(box))
		return error_set(LFI_ERR_BUSY, "a context of the sandbox executes: it cannot be reset");
	r = any_entered(box) ? error_set(LFI_ERR_BUSY, "a context of the sandbox is entered: it cannot be reset")
			     : remap(box, all);
	box_gate_open(box);
	return r;
}

/* The lock is held, and the turn of a single-thread engine. */
static int
reset(struct LFIBox *box, bool all)
{
	if (box_check_pins(box, box->base, box->base + BOX_SIZE) < 0)
		return -1;
	if (any_entered(box))
		return error_set(LFI_ERR_BUSY, "a context of the sandbox is entered: it cannot be reset");
	if (all || box->pages.changes != box->image_changes || !discard(box, LFI_PROT_WRITE)) {
		if (remap_closed(box, all || box->pages.changes == box->image_changes) < 0)
			return -1;
	}
	box_callbacks_restore(box, box->image->callbacks);
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next)
		ctx->faulted = false;
	return 0;
}

int
box_reset(struct LFIBox *box, bool all)
{
	int r;

	pthread_mutex_lock(&box->lock);
	if (!box->image)
		r = error_set(
		    LFI_ERR_INVALID, "the sandbox was neither frozen nor cloned: there is nothing to reset to");
	else if (!box_runner_take(box))
		r = error_set(LFI_ERR_BUSY, "the sandbox is executing: it cannot be reset");
	else {
		r = reset(box, all);
		box_runner_give(box);
	}
	pthread_mutex_unlock(&box->lock);
	return r;
}
