/* SPDX-License-Identifier: MIT */
/*
 * The address space of an engine: inaccessible reservations ("chunks"), each
 * cut into slots of 4 GiB that lie wall to wall. Used by engine.c and box.c
 * under the engine's lock. Trusted.
 */
#ifndef CORE_BOXMAP_H
#define CORE_BOXMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct BoxChunk {
	void *start; /* of the reservation */
	size_t size;
	uint64_t first; /* base of the chunk's slot 0 */
	size_t nslots;
	size_t used; /* slots below this were taken at least once */
};

struct BoxMap {
	struct BoxChunk *chunks;
	size_t nchunks;
	size_t taking;   /* chunks below this have no slot left that was never taken */
	size_t nslots;   /* of all chunks */
	uint64_t *given; /* stack of bases that came back, with SLOT_TABLE */
	size_t ngiven;
	size_t ntables; /* of those, with SLOT_TABLE */
};

/* 0, or -1 with the error set. */
int boxmap_init(struct BoxMap *map, size_t nslots);
void boxmap_destroy(struct BoxMap *map);

/*
 * The base of a free slot, or 0 when there is none; *table: the slot has its runtime-call table still, as boxmap_give
 * was told.
 */
uint64_t boxmap_take(struct BoxMap *map, bool *table);
void boxmap_give(struct BoxMap *map, uint64_t base, bool table);

#endif
