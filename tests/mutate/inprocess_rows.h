/* SPDX-License-Identifier: MIT */
/*
 * The tables of table.c, which can be written here, and mutants of their rows: what a line's places and contents
 * become. See inprocess.py, which writes the mutants behind this.
 */
#define const
#include "x64/table.c"
#undef const

#undef OPCODES_NP
#undef OPCODES_P66
#undef OPCODES_PF3
#undef OPCODES_PF2
#undef DIGITS_MEM
#undef DIGITS_REG

/* Of opcodes in a map with a prefix, or of digits of a group in a form; the last of an array has a map of 255. */
struct range {
	uint8_t digits, map, select, first, last;
};

#define OPCODES_NP(map, first, last, entry) {0, map, 0, first, last},
#define OPCODES_P66(map, first, last, entry) {0, map, 1, first, last},
#define OPCODES_PF3(map, first, last, entry) {0, map, 2, first, last},
#define OPCODES_PF2(map, first, last, entry) {0, map, 3, first, last},
#define DIGITS_MEM(group, first, last) {1, group, 0, first, last},
#define DIGITS_REG(group, first, last) {1, group, 1, first, last},

#define PLACES_ROW(map, prefix, first, last, ...) OPCODES_##prefix(map, first, last, 0)
#define PLACES_GROUP(map, prefix, first, last, group) OPCODES_##prefix(map, first, last, 0)
#define PLACES_DIGIT(group, form, first, last, ...) DIGITS_##form(group, first, last)
#define FIELDS_ROW(map, prefix, first, last, name, ...) \
	{                                               \
		__VA_ARGS__                             \
	}
#define FIELDS_DIGIT(group, form, first, last, name, ...) \
	{                                                 \
		__VA_ARGS__                               \
	}
#define FIELDS_GROUP(...) \
	{                 \
		0         \
	}
#define ENTRY_ROW(...) 0
#define ENTRY_DIGIT(...) 0
#define ENTRY_GROUP(map, prefix, first, last, group) IN_GROUP | group

struct patch {
	struct range *before, *after;
	unsigned line, entry; /* entry: of a group, else 0 */
	struct row row;
};

static struct patch *applied;

static uint16_t *
place_of(const struct range *range, unsigned i)
{
	return range->digits ? &x64_digits[range->map][range->select][i] : &x64_opcodes[range->map][range->select][i];
}

/* False: it would not compile, as two rows have one place. */
bool
lfi_apply(void *mutant)
{
	struct patch *patch = applied = mutant;

	for (struct range *r = patch->before; r->map != 255; r++)
		for (unsigned i = r->first; i <= r->last; i++)
			*place_of(r, i) = 0;
	for (struct range *r = patch->after; r->map != 255; r++)
		for (unsigned i = r->first; i <= r->last; i++) {
			if (*place_of(r, i))
				return false;
			*place_of(r, i) = (uint16_t) (patch->entry ? patch->entry : patch->line);
		}
	if (!patch->entry)
		x64_rows[patch->line] = patch->row;
	return true;
}

void allow_opcode(unsigned map, unsigned pp, unsigned opcode);

static void
allow_places(const struct range *r)
{
	for (; r->map != 255; r++) {
		if (!r->digits) {
			for (unsigned i = r->first; i <= r->last; i++)
				allow_opcode(r->map, r->select, i);
			continue;
		}
		for (unsigned i = 0; i < MAPS * 4 * 256; i++)
			if (x64_opcodes[0][0][i] == (IN_GROUP | r->map))
				allow_opcode(i / 1024, i / 256 % 4, i % 256);
	}
}

/* Ends first: what is not there any more, or is new. */
int
places_main(void)
{
	if (!applied)
		return 0;
	for (unsigned i = 0; i < 2; i++)
		for (struct range *r = i ? applied->after : applied->before; r->map != 255; r++)
			if (!r->digits && r->last > r->first) {
				allow_opcode(r->map, r->select, r->first);
				allow_opcode(r->map, r->select, r->last);
			}
	allow_places(applied->before);
	allow_places(applied->after);
	return 0;
}
