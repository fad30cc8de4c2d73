/* SPDX-License-Identifier: MIT */
/*
 * Pages for contexts: cut from runs at random addresses, so that thousands of contexts take few mappings of the
 * host's. Used by ctx.c and engine.c. Trusted.
 */
#ifndef CORE_SLAB_H
#define CORE_SLAB_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum { SLAB_PAGES = 64 };

struct Slab {
	struct Slab *next, **link; /* of slabs with a free page; link is NULL for one that is full */
	char *pages;
	uint64_t taken; /* bit i: page i */
};

struct Slabs {
	pthread_mutex_t lock;
	size_t pagesize;
	struct Slab *free; /* slabs with a free page */
	size_t nempty;     /* of those, without any page taken */
};

void slabs_init(struct Slabs *slabs, size_t pagesize);

/* All pages must be back. */
void slabs_destroy(struct Slabs *slabs);

/* A zeroed page in *out, and what slabs_give needs with it. 0, or an errno value. */
int slabs_take(struct Slabs *slabs, void **out, struct Slab **slab);
void slabs_give(struct Slabs *slabs, void *page, struct Slab *slab);

#endif
