/* SPDX-License-Identifier: MIT */
/* libFuzzer target: whatever elfview_open accepts can be read in full without leaving the buffer. */
#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#include "elfview.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
find_in(const struct ElfView *view, uint32_t type)
{
	struct ElfSymtab table;
	struct ElfSymbol symbol;

	if (elfview_symtab(view, type, &table))
		elfview_find(&table, "_start", &symbol);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ElfView view;
	size_t note;

	if (elfview_open(&view, data, size, EM_X86_64) < 0)
		return 0;
	for (unsigned i = 0; i < view.phnum; i++)
		elfview_segment(&view, i);
	find_in(&view, SHT_SYMTAB);
	find_in(&view, SHT_DYNSYM);
	elfview_note(&view, "GNU", 3, &note);
	return 0;
}
