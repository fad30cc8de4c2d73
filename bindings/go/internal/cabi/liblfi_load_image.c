//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * A program's segments, copied to a box. Called by lfi_proc_load through lib/linux. Trusted in
 * that it must not confuse the host; that code is confined is the core's
 * business, which verifies each page before it becomes executable.
 *
 *   I1  All addresses are computed from a span that was checked to fit the box; the core checks each mapping again.
 *   I2  A page belongs to one segment, so that no page needs two protections.
 *   I3  What the file leaves of a code page is filled with traps before it is verified.
 *   I4  On error every page that was mapped here is unmapped.
 */
#include <elf.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "core.h"
#include "elfview.h"
#include "error.h"
#include "load.h"
#include "load_arch.h"

/* Pages of a segment, as addresses in the file. */
struct Pages {
	uint64_t start;
	uint64_t end;
};

/* False when rounding up overflows. */
static bool
segment_pages(const struct ElfSegment *segment, struct Pages *pages)
{
	pages->start = align_down(segment->vaddr, LOAD_PAGE);
	return checked_align_up(segment->vaddr + segment->memsz, LOAD_PAGE, &pages->end);
}

static bool
is_loaded(const struct ElfSegment *segment)
{
	return segment->type == PT_LOAD && segment->memsz > 0;
}

/* I2, and the span of all segments. */
static int
image_span(const struct ElfView *view, struct Pages *span, uint64_t *align)
{
	struct ElfSegment segment;
	struct Pages pages;
	bool first = true;

	*align = LOAD_PAGE;
	*span = (struct Pages){0, 0};
	for (unsigned i = 0; i < view->phnum; i++) {
		segment = elfview_segment(view, i);
		if (!is_loaded(&segment))
			continue;
		if (!segment_pages(&segment, &pages))
			return error_set(LFI_ERR_ELF,
			    "segment %u: address 0x%" PRIx64 " + size 0x%" PRIx64 " lies past the end of a sandbox", i,
			    segment.vaddr, segment.memsz);
		if (!first && pages.start < span->end)
			return error_set(LFI_ERR_ELF,
			    "segment %u at 0x%" PRIx64 " shares page 0x%" PRIx64 " with the one before it", i,
			    segment.vaddr, pages.start);
		if (first)
			span->start = pages.start;
		span->end = pages.end;
		if (segment.align > *align)
			*align = segment.align;
		first = false;
	}
	if (first)
		return error_set(LFI_ERR_ELF, "all segments to load are empty");
	return 0;
}

/* I1: the lowest place that the span's alignment allows, above the room for a stack. */
static int
place_image(struct LFIBox *box, const struct Pages *span, uint64_t align, struct LoadImage *image)
{
	struct LFIBoxInfo info = lfi_box_info(box);
	uint64_t size = span->end - span->start;
	uint64_t skew = span->start & (align - 1);
	uint64_t start;

	if (!checked_align_up(info.min + LOAD_PAGE + LOAD_STACK_ROOM, align, &start) ||
	    !checked_add(start, skew, &start) || !range_within(start, size, info.min, info.max))
		return error_set(LFI_ERR_ELF,
		    "the program's 0x%" PRIx64 " bytes of address space (0x%" PRIx64 " to 0x%" PRIx64
		    ", aligned to 0x%" PRIx64 ") do not fit the sandbox",
		    size, span->start, span->end, align);
	image->start = start;
	image->end = start + size;
	image->bias = start - span->start;
	return 0;
}

/* The entry point lies in the bytes of a code segment, where a bundle can start. */
static int
check_entry(const struct ElfView *view)
{
	struct ElfSegment segment;

	if (view->entry % LOAD_ENTRY_ALIGN)
		return error_set(LFI_ERR_ELF, "the entry point 0x%" PRIx64 " is not aligned to a bundle", view->entry);
	for (unsigned i = 0; i < view->phnum; i++) {
		segment = elfview_segment(view, i);
		if (is_loaded(&segment) && segment.flags & PF_X &&
		    range_within(view->entry, 1, segment.vaddr, segment.vaddr + segment.filesz))
			return 0;
	}
	return error_set(LFI_ERR_ELF, "the entry point 0x%" PRIx64 " lies in no executable segment", view->entry);
}

static lfiptr
find_phdr(const struct ElfView *view, const struct LoadImage *image)
{
	struct ElfSegment segment;

	for (unsigned i = 0; i < view->phnum; i++) {
		segment = elfview_segment(view, i);
		if (is_loaded(&segment) && range_within(view->phoff, (uint64_t) view->phnum * sizeof(Elf64_Phdr),
					       segment.offset, segment.offset + segment.filesz))
			return image->bias + segment.vaddr + (view->phoff - segment.offset);
	}
	return 0;
}

/* I3: traps in [from, to). */
static int
fill_traps(struct LFIBox *box, lfiptr from, lfiptr to)
{
	unsigned char traps[LOAD_PAGE];
	size_t size;

	memset(traps, LOAD_TRAP_BYTE, sizeof traps);
	for (; from < to; from += size) {
		size = to - from < sizeof traps ? to - from : sizeof traps;
		if (lfi_box_copyto(box, from, traps, size) < 0)
			return -1;
	}
	return 0;
}

static int
segment_prot(const struct ElfSegment *segment)
{
	int prot = LFI_PROT_NONE;

	if (segment->flags & (PF_R | PF_X))
		prot |= LFI_PROT_READ;
	if (segment->flags & PF_W)
		prot |= LFI_PROT_READ | LFI_PROT_WRITE;
	if (segment->flags & PF_X)
		prot |= LFI_PROT_EXEC;
	return prot;
}

/* Contents and protection of pages that are mapped and zero. */
static int
fill_segment(struct LFIBox *box, const struct ElfView *view, const struct ElfSegment *segment, lfiptr start, lfiptr end,
    lfiptr bias)
{
	lfiptr data = bias + segment->vaddr;
	int prot = segment_prot(segment);

	if (segment->filesz && lfi_box_copyto(box, data, view->bytes + segment->offset, segment->filesz) < 0)
		return -1;
	if (prot & LFI_PROT_EXEC &&
	    (fill_traps(box, start, data) < 0 || fill_traps(box, data + segment->filesz, end) < 0))
		return -1;
	if (prot == (LFI_PROT_READ | LFI_PROT_WRITE))
		return 0;
	return lfi_box_mprotect(box, start, end - start, prot);
}

static int
map_segment(struct LFIBox *box, const struct ElfView *view, unsigned index, lfiptr bias)
{
	struct ElfSegment segment = elfview_segment(view, index);
	struct Pages pages;
	lfiptr start;

	if (!is_loaded(&segment))
		return 0;
	segment_pages(&segment, &pages);
	start = bias + pages.start;
	if (lfi_box_mapat(box, start, pages.end - pages.start, LFI_PROT_READ | LFI_PROT_WRITE,
		LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS | LFI_MAP_FIXED_NOREPLACE, -1, 0) == (lfiptr) -1)
		return error_prefix("segment %u: ", index);
	if (fill_segment(box, view, &segment, start, bias + pages.end, bias) < 0) {
		lfi_box_munmap(box, start, pages.end - pages.start);
		return error_prefix("segment %u: ", index);
	}
	return 0;
}

/* I4: segments before `index`. */
static void
unmap_segments(struct LFIBox *box, const struct ElfView *view, unsigned index, lfiptr bias)
{
	struct ElfSegment segment;
	struct Pages pages;

	while (index-- > 0) {
		segment = elfview_segment(view, index);
		if (is_loaded(&segment) && segment_pages(&segment, &pages))
			lfi_box_munmap(box, bias + pages.start, pages.end - pages.start);
	}
}

int
load_image(struct LFIBox *box, const struct ElfView *view, struct LoadImage *image)
{
	struct Pages span;
	uint64_t align;
	size_t note_size;

	if (image_span(view, &span, &align) < 0 || check_entry(view) < 0 || place_image(box, &span, align, image) < 0)
		return -1;
	/* Messages about code then name addresses as the file and its symbols do. */
	box_set_origin(box, image->bias);
	for (unsigned i = 0; i < view->phnum; i++) {
		if (map_segment(box, view, i, image->bias) < 0) {
			unmap_segments(box, view, i, image->bias);
			return -1;
		}
	}
	image->entry = image->bias + view->entry;
	image->phdr = find_phdr(view, image);
	image->phnum = view->phnum;
	image->oblivious = elfview_note(view, "LFI", LOAD_NOTE_OBLIVIOUS, &note_size) != NULL;
	if (image->oblivious)
		box_set_oblivious(box);
	return 0;
}

/* Adds the function to a message about code that does not verify, which names an address of the file. */
static void
name_function(const struct LoadSymbols *symbols)
{
	const char *at = strstr(lfi_errmsg(), "failed at 0x");
	struct LFIError error;
	char place[LOAD_PLACE];

	if (lfi_errno() != LFI_ERR_VERIFY || !at)
		return;
	if (!load_symbol_place(symbols, strtoull(at + strlen("failed at "), NULL, 16), place))
		return;
	lfi_error_get(&error);
	error_set(error.code, "%s (in %s)", error.message, place);
}

int
load_program(struct LFIBox *box, const void *bytes, size_t size, struct LoadImage *image, struct LoadSymbols **symbols)
{
	struct ElfView view;

	if (elfview_open(&view, bytes, size, LOAD_MACHINE) < 0)
		return -1;
	*symbols = load_symbols_new(&view);
	if (!*symbols)
		return -1;
	if (load_image(box, &view, image) == 0)
		return 0;
	name_function(*symbols);
	load_symbols_free(*symbols);
	*symbols = NULL;
	return -1;
}
