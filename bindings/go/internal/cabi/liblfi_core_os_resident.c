//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* How much of a range of the host's memory is there; see os.h. Trusted. */
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os.h"

/* An entry of /proc/self/pagemap, see the kernel's admin-guide/mm/pagemap.rst. */
#define PAGE_PRESENT ((uint64_t) 1 << 63)
#define PAGE_FILE_OR_SHARED ((uint64_t) 1 << 61)

enum { CHUNK = 512 };

int
os_pagemap_open(void)
{
	return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

void
os_pagemap_close(int map)
{
	if (map >= 0)
		close(map);
}

static size_t
count_entries(const uint64_t *entries, size_t n)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += (entries[i] & (PAGE_PRESENT | PAGE_FILE_OR_SHARED)) == PAGE_PRESENT;
	return found;
}

/* False when the map cannot be read. */
static bool
count_by_map(int map, uint64_t addr, size_t pages, size_t *found)
{
	uint64_t entries[CHUNK], page = os_pagesize();
	ssize_t got;

	*found = 0;
	for (size_t at = 0; at < pages; at += (size_t) got / sizeof entries[0]) {
		size_t n = pages - at < CHUNK ? pages - at : CHUNK;

		got = pread(map, entries, n * sizeof entries[0], (off_t) ((addr / page + at) * sizeof entries[0]));
		if (got < (ssize_t) sizeof entries[0])
			return false;
		*found += count_entries(entries, (size_t) got / sizeof entries[0]);
	}
	return true;
}

static size_t
count_by_mincore(uint64_t addr, size_t pages)
{
	unsigned char there[CHUNK];
	uint64_t page = os_pagesize();
	size_t found = 0;

	for (size_t at = 0; at < pages; at += CHUNK) {
		size_t n = pages - at < CHUNK ? pages - at : CHUNK;

		if (mincore((void *) (addr + at * page), n * page, there) < 0)
			continue;
		for (size_t i = 0; i < n; i++)
			found += there[i] & 1;
	}
	return found;
}

uint64_t
os_resident(int map, uint64_t addr, size_t size, bool anonymous)
{
	size_t pages = size / os_pagesize(), found;

	if (map >= 0 && count_by_map(map, addr, pages, &found))
		return found * os_pagesize();
	return anonymous ? count_by_mincore(addr, pages) * os_pagesize() : 0;
}
