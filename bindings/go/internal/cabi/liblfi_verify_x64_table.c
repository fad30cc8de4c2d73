//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * rows.h as tables: opcode to row or group, digit of a group to row, rows, and names. A row's number is its line in
 * rows.h. Two rows for one encoding do not compile (an initialiser would be overridden). Trusted.
 */
#include "table.h"

#define CPU(name) (LFI_CPU_##name + 1)
#define AVXINT .cpu256 = CPU(AVX2)
#define AVX LFI_CODE_AVX
#define AVX512 LFI_CODE_AVX512
#define X87 LFI_CODE_X87
#define FPCONTROL LFI_CODE_FPCONTROL
#define DIRECTION LFI_CODE_DIRECTION

#define ROW(...)
#define DIGIT(...)
#define GROUP(map, prefix, first, last, group) group,
enum {
#include "rows.h"
	GROUPS
};
#undef ROW
#undef DIGIT
#undef GROUP

#define OPCODES_NP(map, first, last, entry) [map][0][first... last] = entry,
#define OPCODES_P66(map, first, last, entry) [map][1][first... last] = entry,
#define OPCODES_PF3(map, first, last, entry) [map][2][first... last] = entry,
#define OPCODES_PF2(map, first, last, entry) [map][3][first... last] = entry,
#define OPCODES_OSZ(map, first, last, entry) OPCODES_NP(map, first, last, entry) OPCODES_P66(map, first, last, entry)
#define OPCODES_PS OPCODES_OSZ
#define OPCODES_NPW0 OPCODES_NP
#define OPCODES_P66W0 OPCODES_P66
#define OPCODES_PF3W0 OPCODES_PF3
#define OPCODES_PF2W0 OPCODES_PF2
#define OPCODES_NPW1(map, first, last, entry) OPCODES_NP(map + 1, first, last, entry)
#define OPCODES_P66W1(map, first, last, entry) OPCODES_P66(map + 1, first, last, entry)
#define OPCODES_PF3W1(map, first, last, entry) OPCODES_PF3(map + 1, first, last, entry)
#define OPCODES_PF2W1(map, first, last, entry) OPCODES_PF2(map + 1, first, last, entry)
#define OPCODES_P66W(map, first, last, entry) \
	OPCODES_P66(map, first, last, entry) OPCODES_P66W1(map, first, last, entry)
#define OPCODES_PF3W(map, first, last, entry) \
	OPCODES_PF3(map, first, last, entry) OPCODES_PF3W1(map, first, last, entry)
#define OPCODES_PF2W(map, first, last, entry) \
	OPCODES_PF2(map, first, last, entry) OPCODES_PF2W1(map, first, last, entry)
#define OPCODES_PSPD(map, first, last, entry) OPCODES_NP(map, first, last, entry) OPCODES_P66W1(map, first, last, entry)
#define OPCODES_SSSD(map, first, last, entry) \
	OPCODES_PF3(map, first, last, entry) OPCODES_PF2W1(map, first, last, entry)
#define OPCODES_STR(map, first, last, entry) \
	OPCODES_OSZ(map, first, last, entry) OPCODES_PF3(map, first, last, entry) OPCODES_PF2(map, first, last, entry)

#define ROW(map, prefix, first, last, ...) OPCODES_##prefix(map, first, last, __LINE__)
#define GROUP(map, prefix, first, last, group) OPCODES_##prefix(map, first, last, IN_GROUP | group)
#define DIGIT(...)
const uint16_t x64_opcodes[MAPS][4][256] = {
#include "rows.h"
};
#undef ROW
#undef GROUP
#undef DIGIT

#define DIGITS_MEM(group, first, last) [group][0][first... last] = __LINE__,
#define DIGITS_REG(group, first, last) [group][1][first... last] = __LINE__,
#define DIGITS_ANY(group, first, last) DIGITS_MEM(group, first, last) DIGITS_REG(group, first, last)

#define ROW(...)
#define GROUP(...)
#define DIGIT(group, form, first, last, ...) DIGITS_##form(group, first, last)
const uint16_t x64_digits[GROUPS][2][8] = {
#include "rows.h"
};
#undef ROW
#undef GROUP
#undef DIGIT

#define ROW(map, prefix, first, last, name, ...) [__LINE__] = {__VA_ARGS__},
#define GROUP(...)
#define DIGIT(group, form, first, last, name, ...) [__LINE__] = {__VA_ARGS__},
const struct row x64_rows[] = {
#include "rows.h"
};
#undef ROW
#undef GROUP
#undef DIGIT

struct names {
	const char *list;
	uint8_t first;
	bool digits;
};

#define ROW(map, prefix, first, last, name, ...) [__LINE__] = {name, first, false},
#define GROUP(...)
#define DIGIT(group, form, first, last, name, ...) [__LINE__] = {name, first, true},
static const struct names names[] = {
#include "rows.h"
};
#undef ROW
#undef GROUP
#undef DIGIT

static unsigned
word_size(const char *word)
{
	unsigned size = 0;

	while (word[size] && word[size] != ' ')
		size++;
	return size;
}

const char *
x64_name(unsigned number, unsigned opcode, unsigned digit, unsigned *size)
{
	const struct names *row = &names[number];
	const char *word = row->list;

	for (unsigned i = row->first; i < (row->digits ? digit : opcode); i++) {
		const char *next = word + word_size(word);

		if (!*next)
			break; /* one name for all */
		word = next + 1;
	}
	*size = word_size(word);
	return word;
}
