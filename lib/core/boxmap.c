/* SPDX-License-Identifier: MIT */
/*
 * The address space of an engine. Trusted.
 *
 *   I1  Each slot's base is a multiple of 4 GiB, not 0.           boxmap_init
 *   I2  The reservation reaches at least S below the first slot   boxmap_init
 *       and above the last, so what lies within S outside a
 *       sandbox is another one's S or inaccessible.
 *   I3  A slot belongs to one box at a time.                      boxmap_take, boxmap_give
 */
#include "boxmap.h"

#include <assert.h>
#include <errno.h>
#include <lfi/lfi_core.h>
#include <stdlib.h>
#include <string.h>

#include "box.h"
#include "checked.h"
#include "error.h"
#include "os/os.h"

/* No processor of today has more than 57 bits of address space; this also keeps slot numbers in 32 bits. */
#define SLOTS_MAX ((size_t) 1 << 25)

/* Give back what alignment left over beyond the guards. */
static void
trim(struct BoxMap *map)
{
	uint64_t start = (uint64_t) map->start, end = start + map->size;
	uint64_t low = map->first - GUARD_SPAN;
	uint64_t high = map->first + map->nslots * BOX_SIZE + GUARD_SPAN;

	if (low > start)
		os_release(map->start, low - start);
	if (end > high)
		os_release((void *) high, end - high);
	map->start = (void *) low;
	map->size = high - low;
}

int
boxmap_init(struct BoxMap *map, size_t nslots)
{
	int err;

	memset(map, 0, sizeof *map);
	if (nslots == 0 || nslots > SLOTS_MAX)
		return error_set(LFI_ERR_NOSPACE, "no address space holds %zu sandboxes of 4 GiB", nslots);
	map->nslots = nslots;
	map->given = calloc(nslots, sizeof *map->given);
	if (!map->given)
		return error_set(LFI_ERR_NOMEM, "no memory for the list of %zu sandboxes", nslots);
	map->size = (nslots + 1) * BOX_SIZE + 2 * GUARD_SPAN;
	err = os_reserve(map->size, &map->start);
	if (err) {
		free(map->given);
		return error_set_os(
		    LFI_ERR_NOSPACE, err, "cannot reserve address space for %zu sandboxes of 4 GiB", nslots);
	}
	/* I1, I2: the extra slot's worth of space covers the alignment. */
	map->first = align_down((uint64_t) map->start + GUARD_SPAN + BOX_SIZE - 1, BOX_SIZE);
	assert(map->first > 0);
	trim(map);
	return 0;
}

void
boxmap_destroy(struct BoxMap *map)
{
	os_release(map->start, map->size);
	free(map->given);
}

uint64_t
boxmap_take(struct BoxMap *map)
{
	size_t slot;

	if (map->ngiven > 0)
		slot = map->given[--map->ngiven];
	else if (map->used < map->nslots)
		slot = map->used++;
	else
		return 0;
	return map->first + slot * BOX_SIZE;
}

void
boxmap_give(struct BoxMap *map, uint64_t base)
{
	assert(map->ngiven < map->nslots);
	map->given[map->ngiven++] = (uint32_t) ((base - map->first) / BOX_SIZE);
}
