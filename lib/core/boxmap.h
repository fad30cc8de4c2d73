/* SPDX-License-Identifier: MIT */
/*
 * The address space of an engine: inaccessible reservations ("chunks"), each
 * cut into slots of 4 GiB that lie wall to wall. Used by engine.c and box.c
 * under the engine's lock. Trusted.
 */
#ifndef CORE_BOXMAP_H
#define CORE_BOXMAP_H

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
	uint64_t *given; /* stack of bases that came back */
	size_t ngiven;
};

/* 0, or -1 with the error set. */
int boxmap_init(struct BoxMap *map, size_t nslots);
void boxmap_destroy(struct BoxMap *map);

/* The base of a free slot, or 0 when there is none. */
uint64_t boxmap_take(struct BoxMap *map);
void boxmap_give(struct BoxMap *map, uint64_t base);

#endif
