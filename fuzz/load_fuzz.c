/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: any bytes are loaded into a box as a program, and its stack is filled. What is refused leaves
 * nothing mapped; what is loaded lies in the box with code that nobody can write.
 */
#include <lfi/lfi_core.h>
#include <stdlib.h>

#include "core.h"
#include "load.h"

enum { STACK_SIZE = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
	if (!holds)
		abort();
}

static void
check_mappings(struct LFIBox *box)
{
	struct LFIBoxInfo info = lfi_box_info(box);
	struct BoxMapping mapping;

	for (lfiptr at = info.min; box_mapping(box, at, &mapping); at = mapping.addr + mapping.size) {
		check(mapping.addr >= info.min && mapping.size > 0 && mapping.size <= info.max - mapping.addr);
		check(!(mapping.prot & LFI_PROT_WRITE) || !(mapping.prot & LFI_PROT_EXEC));
	}
}

static void
use(struct LFIBox *box, const struct LoadImage *image, const struct LoadSymbols *symbols)
{
	static const char *const words[] = {"program", "argument", NULL};
	struct LFIBoxInfo info = lfi_box_info(box);
	struct LoadStack stack;
	char place[LOAD_PLACE];

	check(image->start >= info.min && image->start < image->end && image->end <= info.max);
	check(image->entry >= image->start && image->entry < image->end);
	load_symbol_place(symbols, image->entry - image->bias, place);
	load_symbol(symbols, "_start");
	if (load_stack_map(box, STACK_SIZE, &stack) == 0)
		load_stack_fill(box, image, &(struct LoadArgs){2, words, words, "program"}, &stack);
	check_mappings(box);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct LFIEngine *engine;
	struct LoadSymbols *symbols = NULL;
	struct LoadImage image;
	struct BoxMapping mapping;
	struct LFIBox *box;

	if (!engine)
		engine = lfi_new((struct LFIOptions){0}, 1);
	box = lfi_box_new(engine);
	check(box != NULL);
	if (load_program(box, data, size, &image, &symbols) == 0)
		use(box, &image, symbols);
	else
		check(!box_mapping(box, lfi_box_info(box).min, &mapping));
	load_symbols_free(symbols);
	lfi_box_free(box);
	return 0;
}
