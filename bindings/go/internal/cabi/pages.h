/* SPDX-License-Identifier: MIT */
/*
 * An ordered map of a box's mappings: which pages there are and how they may
 * be used. It knows nothing of the kernel. Trusted.
 */
#ifndef CORE_PAGES_H
#define CORE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct PageRun {
	uint64_t start, end;
	int prot;  /* LFI_PROT_*; with EXEC the run is one region: never joined, never cut */
	int flags; /* LFI_MAP_SHARED or LFI_MAP_PRIVATE, with LFI_MAP_ANONYMOUS; see PAGES_IMAGE */
};

/* With LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS: the pages are those of the box's image, at their own offset in it. */
#define PAGES_IMAGE 0x40000000

/* Runs in ascending order, none empty, none touching another's pages. */
struct PageMap {
	struct PageRun *runs;
	size_t count, room;
	uint64_t changes;     /* how often it was changed */
	uint64_t bytes, peak; /* mapped now, and at most */
};

void pages_free(struct PageMap *map);

/* Make sure that the next pages_set cannot run out of memory. 0 or -1. */
int pages_reserve(struct PageMap *map);

/* [start, end) becomes one run, or unmapped when prot is -1. No region is cut. After pages_reserve. */
void pages_set(struct PageMap *map, uint64_t start, uint64_t end, int prot, int flags);

/* [start, end), all mapped, gets another protection; flags stay. May run out of memory: -1, nothing changed. */
int pages_protect(struct PageMap *map, uint64_t start, uint64_t end, int prot);

/* Make `map`, which may hold anything, a copy of `from` with all addresses `bias` higher. 0, or -1: no memory, nothing
 * changed. */
int pages_copy(struct PageMap *map, const struct PageMap *from, uint64_t bias);

/* Index of the first run that ends above `addr`; map->count when there is none. */
size_t pages_find(const struct PageMap *map, uint64_t addr);

/* Bytes of [start, end) that are mapped. */
uint64_t pages_bytes(const struct PageMap *map, uint64_t start, uint64_t end);

/* Whether all of [start, end) is mapped; whether none of it is. */
bool pages_full(const struct PageMap *map, uint64_t start, uint64_t end);
bool pages_empty(const struct PageMap *map, uint64_t start, uint64_t end);

/* The lowest hole of exactly `size` bytes between `low` and a run, or 0. */
uint64_t pages_hole(const struct PageMap *map, uint64_t size, uint64_t low);

/* The highest free place for `size` bytes in [low, high), or 0. */
uint64_t pages_place(const struct PageMap *map, uint64_t size, uint64_t low, uint64_t high);

#endif
