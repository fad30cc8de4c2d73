/* SPDX-License-Identifier: MIT */
/* The kernel's mappings of a sandbox against what the library knows of them. */
#ifndef TESTS_MAPS_AGREE_H
#define TESTS_MAPS_AGREE_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "box.h"

/* As many pages of [start, end), which have `prot`, an "rwx" string, as are in the box. */
static bool
range_agrees(struct LFIBox *box, uint64_t start, uint64_t end, const char *prot)
{
	for (uint64_t at = start > box_min(box) ? start : box_min(box); at < end && at < box_max(box);) {
		size_t i = pages_find(&box->pages, at);
		const struct PageRun *run = &box->pages.runs[i];
		bool in = i < box->pages.count && run->start <= at;
		uint64_t to = i == box->pages.count ? box_max(box) : in ? run->end : run->start;

		if ((prot[0] == 'r') != (in && (run->prot & LFI_PROT_READ)) ||
		    (prot[1] == 'w') != (in && (run->prot & LFI_PROT_WRITE)) ||
		    (prot[2] == 'x') != (in && (run->prot & LFI_PROT_EXEC)))
			return false;
		at = to < end ? to : end;
	}
	return true;
}

/* And nothing of the whole process is writable and executable. */
static bool
maps_agree(struct LFIBox *box)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512], prot[8];
	unsigned long start, end;
	bool agree = maps != NULL;

	while (agree && fgets(line, sizeof line, maps))
		agree = sscanf(line, "%lx-%lx %7s", &start, &end, prot) == 3 && (prot[1] != 'w' || prot[2] != 'x') &&
			range_agrees(box, start, end, prot);
	if (maps)
		fclose(maps);
	return agree;
}

#endif
