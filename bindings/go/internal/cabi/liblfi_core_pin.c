//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Pins: pages of a box that a host may touch through a pointer for as long as it likes, whatever the sandbox does.
 * Trusted.
 *
 *   I1  A pinned page is mapped, readable (writable, where that was asked for), private memory of no file, until it is
 *       unpinned: who unmaps, replaces, protects or resets asks box_check_pins first, under the box's lock.
 *   I2  Pages of code are never pinned: what takes a region of code away does not wait for a host.
 */
#include "box.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"

/* What looks through the list is linear. */
#define PINS_MAX 65536

struct Pin {
	uint64_t start, end; /* whole pages */
	uint64_t addr, size; /* as it was asked for */
};

int
box_check_pins(const struct LFIBox *box, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < box->npins; i++)
		if (box->pins[i].start < end && start < box->pins[i].end)
			return error_set(LFI_ERR_BUSY, "the host has pinned pages in [%#llx, %#llx)",
			    (unsigned long long) start, (unsigned long long) end);
	return 0;
}

void
box_pins_free(struct LFIBox *box)
{
	free(box->pins);
	box->pins = NULL;
	box->npins = 0;
}

/* I1, I2: whether [start, end) can be pinned. */
static int
check_pages(const struct LFIBox *box, uint64_t start, uint64_t end, int prot)
{
	if (!pages_full(&box->pages, start, end))
		return error_set(LFI_ERR_UNMAPPED, "not all of [%#llx, %#llx) is mapped", (unsigned long long) start,
		    (unsigned long long) end);
	for (size_t i = pages_find(&box->pages, start); i < box->pages.count && box->pages.runs[i].start < end; i++) {
		const struct PageRun *run = &box->pages.runs[i];

		if ((run->prot & prot) != prot)
			return error_set(LFI_ERR_UNMAPPED, "the pages at %#llx have protection %#x, not %#x",
			    (unsigned long long) run->start, (unsigned) run->prot, (unsigned) prot);
		if (run->prot & LFI_PROT_EXEC)
			return error_set(LFI_ERR_INVALID, "the pages at %#llx are code: they cannot be pinned",
			    (unsigned long long) run->start);
		if (!(run->flags & LFI_MAP_ANONYMOUS))
			return error_set(LFI_ERR_INVALID, "the pages at %#llx are of a file: they cannot be pinned",
			    (unsigned long long) run->start);
	}
	return 0;
}

static int
add(struct LFIBox *box, const struct Pin *pin)
{
	struct Pin *more;

	if (box->npins == PINS_MAX)
		return error_set(LFI_ERR_LIMIT, "the sandbox has %d pins already", PINS_MAX);
	/* There is room up to the next power of two, or more. */
	if ((box->npins & (box->npins - 1)) == 0) {
		more = realloc(box->pins, (box->npins ? 2 * box->npins : 1) * sizeof *more);
		if (!more)
			return error_set(LFI_ERR_NOMEM, "no memory for a pin");
		box->pins = more;
	}
	box->pins[box->npins++] = *pin;
	return 0;
}

void *
lfi_box_pin(struct LFIBox *box, lfiptr addr, size_t size, int prot)
{
	struct Pin pin;
	uint64_t page;
	int r;

	if (handle_check(box, HANDLE_BOX) < 0)
		return NULL;
	addr = box_take_address(box, addr);
	if (prot != LFI_PROT_READ && prot != (LFI_PROT_READ | LFI_PROT_WRITE)) {
		error_set(LFI_ERR_INVALID, "protection %#x is neither LFI_PROT_READ nor that with LFI_PROT_WRITE",
		    (unsigned) prot);
		return NULL;
	}
	if (size == 0 || !box_valid(box, addr, size)) {
		error_set(LFI_ERR_RANGE, "%#zx bytes at %#llx are not in the sandbox", size, (unsigned long long) addr);
		return NULL;
	}
	page = box->engine->opts.pagesize;
	pin = (struct Pin){addr & -page, (addr + size + page - 1) & -page, addr, size};
	pthread_mutex_lock(&box->lock);
	r = check_pages(box, pin.start, pin.end, prot);
	if (r == 0)
		r = add(box, &pin);
	pthread_mutex_unlock(&box->lock);
	return r < 0 ? NULL : (void *) addr;
}

int
lfi_box_unpin(struct LFIBox *box, lfiptr addr, size_t size)
{
	int r = -1;

	if (handle_check(box, HANDLE_BOX) < 0)
		return -1;
	addr = box_take_address(box, addr);
	pthread_mutex_lock(&box->lock);
	for (size_t i = box->npins; i-- > 0 && r < 0;) {
		if (box->pins[i].addr != addr || box->pins[i].size != size)
			continue;
		box->pins[i] = box->pins[--box->npins];
		r = 0;
	}
	if (r < 0)
		error_set(LFI_ERR_NOTFOUND, "%zu bytes at %#llx are not pinned", size, (unsigned long long) addr);
	pthread_mutex_unlock(&box->lock);
	return r;
}
