//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Direct branches from one part of a region to another (verify.c, I6). The walk over a part has noted them, among
 * others (leads_to_other_part); here those others are struck out, and when all parts were walked and accepted, it is
 * looked up whether what is left goes to targets. Nothing is decoded again: that the bytes are accepted instructions,
 * and where these begin, is known by then, so all that is asked is where they go. Trusted.
 */
#include <string.h>

#include "quick.h"
#include "verify.h"

/* In front of a direct branch that is accepted: hints, and what linkers leave of other instructions. */
static bool
is_prefix(uint8_t byte)
{
	return byte == 0x2e || byte == 0x3e || byte == 0x48 || byte == 0x67;
}

/* Whether the accepted instruction at `pos` is a direct branch, and where it goes: from code[0], perhaps outside. */
static bool
branch_at(const struct verify *v, size_t pos, uint64_t *target)
{
	const uint8_t *p = v->code + pos;
	unsigned two, size;
	int32_t disp;

	while (is_prefix(*p))
		p++;
	two = *p == 0x0f;
	size = x64_quick.branch[two][p[two]];
	p += two + 1;
	if (size == 4)
		memcpy(&disp, p, sizeof disp);
	else if (size == 1)
		disp = (int8_t) *p;
	else
		return false;
	*target = (uint64_t) (p + size - v->code) + (uint64_t) (int64_t) disp;
	return true;
}

/* Only a branch that will be found again is noted: what branch_at does not know leads nowhere. */
bool
leads_to_other_part(struct verify *v, size_t pos, uint64_t target)
{
	uint64_t found;

	if (target - (v->offset - v->before) >= v->before + v->size + v->behind)
		return false;
	if (!branch_at(v, pos, &found) || v->offset + found != target)
		return false;
	bit_set(v->wanted, pos);
	bit_set(v->wanted, pos & ~(size_t) (v->bundle - 1));
	return true;
}

/* Of a word of v->wanted the bits of the bundles whose first is set. No branch begins at a bundle's last byte. */
static uint64_t
noted(const struct verify *v, uint64_t word)
{
	uint64_t first = word & (v->bundle == 32 ? 0x0000000100000001 : 0x0001000100010001);

	return word & ((first << (v->bundle - 1)) - first);
}

void
arch_note_branches(struct verify *part)
{
	for (size_t i = 0; i < bitmap_words(part->size); i++) {
		uint64_t keep = 0, target;

		for (uint64_t left = noted(part, part->wanted[i]); left; left &= left - 1)
			if (branch_at(part, i * 64 + (size_t) __builtin_ctzll(left), &target) && target >= part->size)
				keep |= left & -left;
		part->wanted[i] = keep;
	}
}

bool
arch_branches_good(const struct verify *v)
{
	for (size_t i = 0; i < bitmap_words(v->size); i++) {
		uint64_t target;

		for (uint64_t left = v->wanted[i]; left; left &= left - 1)
			if (branch_at(v, i * 64 + (size_t) __builtin_ctzll(left), &target) && target < v->size &&
			    !bit_get(v->targets, target))
				return false;
	}
	return true;
}
