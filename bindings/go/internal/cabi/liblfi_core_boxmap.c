//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * The address space of an engine. Trusted.
 *
 *   I1  Each slot's base is a multiple of 4 GiB, not 0.           cut
 *   I2  A chunk's reservation reaches at least S below its first  cut
 *       slot and above its last, so what lies within S outside a
 *       sandbox is another one's S or inaccessible.
 *   I3  A slot belongs to one box at a time. One that is free is  boxmap_take, boxmap_give
 *       inaccessible, but for its table where boxmap_give was
 *       told so.
 *
 * Half of the address space is not one piece: programs, libraries and stacks of the host lie in the middle of it. So
 * many slots take several chunks, each as large as the kernel gives.
 */
#include "boxmap.h"

#include <assert.h>
#include <errno.h>
#include "lfi_core.h"
#include <stdlib.h>
#include <string.h>

#include "box.h"
#include "checked.h"
#include "error.h"
#include "os.h"

/* No processor of today has more than 57 bits of address space. */
#define SLOTS_MAX ((size_t) 1 << 25)

/* In `given`, a bit that bases do not have (I1). */
#define SLOT_TABLE ((uint64_t) 1)

/* What the alignment of slots and the S at both ends take beside the slots. */
#define CHUNK_EXTRA (BOX_SIZE + 2 * GUARD_SPAN)

/* I1, I2: the extra slot's worth of space covers the alignment. Gives back what is left over beyond the guards. */
static void
cut(struct BoxChunk *chunk)
{
	uint64_t start = (uint64_t) chunk->start, end = start + chunk->size, low, high;

	chunk->first = align_down(start + GUARD_SPAN + BOX_SIZE - 1, BOX_SIZE);
	assert(chunk->first > 0);
	low = chunk->first - GUARD_SPAN;
	high = chunk->first + chunk->nslots * BOX_SIZE + GUARD_SPAN;
	if (low > start)
		os_release(chunk->start, low - start);
	if (end > high)
		os_release((void *) high, end - high);
	chunk->start = (void *) low;
	chunk->size = high - low;
}

/* 0, or an errno value. */
static int
reserve_slots(struct BoxChunk *chunk, size_t nslots)
{
	chunk->nslots = nslots;
	chunk->size = nslots * BOX_SIZE + CHUNK_EXTRA;
	return os_reserve(chunk->size, &chunk->start);
}

/* The largest chunk of at most `most` slots that there is room for. 0, or an errno value when there is none. */
static int
reserve_largest(struct BoxChunk *chunk, size_t most)
{
	size_t fits = 0, fails = most + 1;
	int err = reserve_slots(chunk, most);

	if (!err)
		return 0;
	while (fails - fits > 1) {
		size_t half = fits + (fails - fits) / 2;

		if (reserve_slots(chunk, half) == 0) {
			os_release(chunk->start, chunk->size);
			fits = half;
		} else {
			fails = half;
		}
	}
	return fits ? reserve_slots(chunk, fits) : err;
}

static int
add_chunk(struct BoxMap *map, size_t most)
{
	struct BoxChunk *chunks = realloc(map->chunks, (map->nchunks + 1) * sizeof *chunks);
	struct BoxChunk chunk = {.used = 0};
	int err;

	if (!chunks)
		return error_set(LFI_ERR_NOMEM, "no memory for the list of sandboxes");
	map->chunks = chunks;
	err = reserve_largest(&chunk, most);
	if (err)
		return error_set_os(LFI_ERR_NOSPACE, err,
		    "cannot reserve address space for another %zu sandboxes of 4 GiB, after %zu", most, map->nslots);
	cut(&chunk);
	map->chunks[map->nchunks++] = chunk;
	map->nslots += chunk.nslots;
	return 0;
}

int
boxmap_init(struct BoxMap *map, size_t nslots)
{
	memset(map, 0, sizeof *map);
	if (nslots == 0 || nslots > SLOTS_MAX)
		return error_set(LFI_ERR_NOSPACE, "no address space holds %zu sandboxes of 4 GiB", nslots);
	map->given = calloc(nslots, sizeof *map->given);
	if (!map->given)
		return error_set(LFI_ERR_NOMEM, "no memory for the list of %zu sandboxes", nslots);
	while (map->nslots < nslots) {
		if (add_chunk(map, nslots - map->nslots) < 0) {
			boxmap_destroy(map);
			return -1;
		}
	}
	return 0;
}

void
boxmap_destroy(struct BoxMap *map)
{
	for (size_t i = 0; i < map->nchunks; i++)
		os_release(map->chunks[i].start, map->chunks[i].size);
	free(map->chunks);
	free(map->given);
}

uint64_t
boxmap_take(struct BoxMap *map, bool *table)
{
	struct BoxChunk *chunk;
	uint64_t slot;

	*table = false;
	if (map->ngiven > 0) {
		slot = map->given[--map->ngiven];
		*table = slot & SLOT_TABLE;
		map->ntables -= *table;
		return slot & ~SLOT_TABLE;
	}
	while (map->taking < map->nchunks && map->chunks[map->taking].used == map->chunks[map->taking].nslots)
		map->taking++;
	if (map->taking == map->nchunks)
		return 0;
	chunk = &map->chunks[map->taking];
	return chunk->first + chunk->used++ * BOX_SIZE;
}

void
boxmap_give(struct BoxMap *map, uint64_t base, bool table)
{
	assert(map->ngiven < map->nslots);
	map->given[map->ngiven++] = base | (table ? SLOT_TABLE : 0);
	map->ntables += table;
}
