//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Pages for contexts; see slab.h. Trusted.
 *
 *   I1  A page has one owner: its bit in `taken` is set.
 *   I2  A page holds nothing of its previous owner's.      slabs_give
 */
#include "slab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

void
slabs_init(struct Slabs *slabs, size_t pagesize)
{
	*slabs = (struct Slabs){.pagesize = pagesize};
	pthread_mutex_init(&slabs->lock, NULL);
}

static void
enlist(struct Slabs *slabs, struct Slab *slab)
{
	slab->next = slabs->free;
	slab->link = &slabs->free;
	if (slab->next)
		slab->next->link = &slab->next;
	slabs->free = slab;
}

static void
delist(struct Slab *slab)
{
	*slab->link = slab->next;
	if (slab->next)
		slab->next->link = slab->link;
	slab->link = NULL;
}

static void
release(struct Slabs *slabs, struct Slab *slab)
{
	delist(slab);
	os_release(slab->pages, SLAB_PAGES * slabs->pagesize);
	free(slab);
}

void
slabs_destroy(struct Slabs *slabs)
{
	for (struct Slab *slab = slabs->free, *next; slab; slab = next) {
		next = slab->next;
		release(slabs, slab);
	}
	pthread_mutex_destroy(&slabs->lock);
}

static int
add(struct Slabs *slabs)
{
	struct Slab *slab = calloc(1, sizeof *slab);
	void *pages;
	int err;

	if (!slab)
		return ENOMEM;
	err = os_random_page(SLAB_PAGES * slabs->pagesize, &pages);
	if (err) {
		free(slab);
		return err;
	}
	slab->pages = pages;
	enlist(slabs, slab);
	slabs->nempty++;
	return 0;
}

int
slabs_take(struct Slabs *slabs, void **out, struct Slab **from)
{
	struct Slab *slab;
	int i, err = 0;

	pthread_mutex_lock(&slabs->lock);
	if (!slabs->free)
		err = add(slabs);
	if (!err) {
		slab = slabs->free;
		slabs->nempty -= slab->taken == 0;
		i = __builtin_ctzll(~slab->taken);
		slab->taken |= (uint64_t) 1 << i;
		if (slab->taken == UINT64_MAX)
			delist(slab);
		*out = slab->pages + (size_t) i * slabs->pagesize;
		*from = slab;
	}
	pthread_mutex_unlock(&slabs->lock);
	return err;
}

/* One empty slab is kept: a single context that comes and goes costs no system call. */
void
slabs_give(struct Slabs *slabs, void *page, struct Slab *slab)
{
	size_t i = (size_t) ((char *) page - slab->pages) / slabs->pagesize;

	memset(page, 0, slabs->pagesize);
	pthread_mutex_lock(&slabs->lock);
	slab->taken &= ~((uint64_t) 1 << i);
	if (!slab->link)
		enlist(slabs, slab);
	if (slab->taken == 0) {
		if (slabs->nempty > 0)
			release(slabs, slab);
		else
			slabs->nempty++;
	}
	pthread_mutex_unlock(&slabs->lock);
}
