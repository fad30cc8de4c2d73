//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * An ordered map of a box's mappings, as a sorted array. Used by box.c only,
 * under the box's lock. Trusted: that a region is never cut rests on box.c,
 * that runs never overlap rests on this file.
 */
#include "pages.h"

#include <assert.h>
#include "lfi_core.h"
#include <stdlib.h>
#include <string.h>

void
pages_free(struct PageMap *map)
{
	free(map->runs);
	memset(map, 0, sizeof *map);
}

/* Room for `more` further runs. */
static int
grow(struct PageMap *map, size_t more)
{
	size_t room = map->room ? map->room : 8;
	struct PageRun *runs;

	if (map->room - map->count >= more)
		return 0;
	while (room - map->count < more)
		room *= 2;
	runs = realloc(map->runs, room * sizeof *runs);
	if (!runs)
		return -1;
	map->runs = runs;
	map->room = room;
	return 0;
}

int
pages_reserve(struct PageMap *map)
{
	/* Setting a range in the middle of a run makes three of one. */
	return grow(map, 2);
}

size_t
pages_find(const struct PageMap *map, uint64_t addr)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (map->runs[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void
insert(struct PageMap *map, size_t at, struct PageRun run)
{
	assert(map->count < map->room);
	memmove(&map->runs[at + 1], &map->runs[at], (map->count - at) * sizeof run);
	map->runs[at] = run;
	map->count++;
}

static void delete (struct PageMap *map, size_t at, size_t n)
{
	memmove(&map->runs[at], &map->runs[at + n], (map->count - at - n) * sizeof map->runs[0]);
	map->count -= n;
}

/* Make `addr` a border between runs. */
static void
cut(struct PageMap *map, uint64_t addr)
{
	size_t i = pages_find(map, addr);
	struct PageRun right;

	if (i == map->count || map->runs[i].start >= addr)
		return;
	right = map->runs[i];
	right.start = addr;
	map->runs[i].end = addr;
	insert(map, i + 1, right);
}

/* Neighbours that the kernel joins too. It keeps files, and memory that is shared, in mappings of their own. */
static bool
alike(const struct PageRun *a, const struct PageRun *b)
{
	return a->end == b->start && a->prot == b->prot && a->flags == b->flags &&
	       (a->flags & ~PAGES_IMAGE) == (LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS) && !(a->prot & LFI_PROT_EXEC);
}

/* Join run i with its neighbours where they are alike. */
static void
join(struct PageMap *map, size_t i)
{
	if (i + 1 < map->count && alike(&map->runs[i], &map->runs[i + 1])) {
		map->runs[i].end = map->runs[i + 1].end;
		delete (map, i + 1, 1);
	}
	if (i > 0 && alike(&map->runs[i - 1], &map->runs[i])) {
		map->runs[i - 1].end = map->runs[i].end;
		delete (map, i, 1);
	}
}

void
pages_set(struct PageMap *map, uint64_t start, uint64_t end, int prot, int flags)
{
	size_t first, last;

	map->changes++;
	cut(map, start);
	cut(map, end);
	first = pages_find(map, start);
	last = first;
	while (last < map->count && map->runs[last].start < end) {
		map->bytes -= map->runs[last].end - map->runs[last].start;
		last++;
	}
	delete (map, first, last - first);
	if (prot < 0)
		return;
	insert(map, first, (struct PageRun){start, end, prot, flags});
	join(map, first);
	map->bytes += end - start;
	if (map->bytes > map->peak)
		map->peak = map->bytes;
}

int
pages_protect(struct PageMap *map, uint64_t start, uint64_t end, int prot)
{
	if (grow(map, 2) < 0)
		return -1;
	map->changes++;
	cut(map, start);
	cut(map, end);
	for (size_t i = pages_find(map, start); i < map->count && map->runs[i].start < end; i++)
		map->runs[i].prot = prot;
	for (size_t i = pages_find(map, start); i < map->count && map->runs[i].start <= end;) {
		size_t before = map->count;

		join(map, i);
		if (map->count == before)
			i++;
	}
	return 0;
}

int
pages_copy(struct PageMap *map, const struct PageMap *from, uint64_t bias)
{
	if (from->count + 2 > map->count && grow(map, from->count + 2 - map->count) < 0)
		return -1;
	map->changes++;
	for (size_t i = 0; i < from->count; i++) {
		map->runs[i] = from->runs[i];
		map->runs[i].start += bias;
		map->runs[i].end += bias;
	}
	map->count = from->count;
	map->bytes = from->bytes;
	map->peak = map->bytes > map->peak ? map->bytes : map->peak;
	return 0;
}

uint64_t
pages_bytes(const struct PageMap *map, uint64_t start, uint64_t end)
{
	uint64_t bytes = 0;

	for (size_t i = pages_find(map, start); i < map->count && map->runs[i].start < end; i++) {
		uint64_t low = map->runs[i].start > start ? map->runs[i].start : start;
		uint64_t high = map->runs[i].end < end ? map->runs[i].end : end;

		bytes += high - low;
	}
	return bytes;
}

bool
pages_full(const struct PageMap *map, uint64_t start, uint64_t end)
{
	for (size_t i = pages_find(map, start); start < end; i++) {
		if (i == map->count || map->runs[i].start > start)
			return false;
		start = map->runs[i].end;
	}
	return true;
}

bool
pages_empty(const struct PageMap *map, uint64_t start, uint64_t end)
{
	size_t i = pages_find(map, start);

	return i == map->count || map->runs[i].start >= end;
}

uint64_t
pages_place(const struct PageMap *map, uint64_t size, uint64_t low, uint64_t high)
{
	for (size_t i = map->count; i > 0; i--) {
		if (high - map->runs[i - 1].end >= size)
			return high - size;
		high = map->runs[i - 1].start;
	}
	return high - low >= size ? high - size : 0;
}

uint64_t
pages_hole(const struct PageMap *map, uint64_t size, uint64_t low)
{
	for (size_t i = 0; i < map->count; i++) {
		if (map->runs[i].start - low == size)
			return low;
		low = map->runs[i].end;
	}
	return 0;
}
