/* SPDX-License-Identifier: MIT */
/*
 * Placing confined code exactly. lfi_rewrite leaves padding to the assembler, which takes each branch for as long
 * as it may get and pads with single-byte nops. Here the same text is placed with known sizes: lfi_rewrite_measure
 * makes a text whose object file holds the size of each instruction, lfi_rewrite_layout reads them there, chooses
 * the form of each branch, and writes padding as explicit nops, in front of labels where it can, so that only
 * those who fall through execute it. Called by lfi-cc. Not trusted.
 */
#include <elf.h>
#include <lfi/lfi_core.h>
#include <lfi/lfi_rewrite.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "options.h"
#include "unit.h"

#define SIZES_SECTION ".lfi.sizes"

enum {
	JUMP_SIZE = 2, /* of a short jump */
	/* Bytes of padding that a landing must save, as it costs time: on a function's main path and behind its first
	   return. */
	GAIN_LOOP = 32,
	GAIN_MAIN = 22,
	GAIN_TAIL_LOOP = 8,
	GAIN_TAIL = 4,
};

enum ItemKind {
	ITEM_OTHER, /* takes no room */
	ITEM_LABEL,
	ITEM_INSN,
	ITEM_ALIGN, /* .p2align */
	ITEM_LOCK,  /* .bundle_lock: what follows up to ITEM_UNLOCK stays in one bundle */
	ITEM_UNLOCK,
	ITEM_END,  /* `.p2align b,,n` and `.nops`: the next n + 1 bytes end a bundle */
	ITEM_DROP, /* written by the placement itself */
};

/* One per statement. */
struct Item {
	enum ItemKind kind;
	unsigned number;    /* ITEM_ALIGN: power of two; ITEM_END: bytes; ITEM_LOCK: bytes of the group */
	unsigned size;      /* ITEM_INSN: bytes; of a direct jump, its short form */
	unsigned long_size; /* of a direct jump with a near label; else 0 */
	bool is_long;
	bool inside;            /* a group or a padded call: no padding in front */
	unsigned gain;          /* ITEM_END: GAIN_* */
	long target;            /* statement of the label that a direct jump goes to, or -1 */
	unsigned pad, pad_late; /* bytes in front; the second part starts a bundle */
	size_t landing; /* not 0: what stands here is the landing of the call at this statement; see place_call */
	uint64_t offset;
};

/* The last bundle's edge of a section that padding led up to. */
struct Edge {
	bool known;
	size_t place; /* of the padding */
	uint64_t offset;
};

struct Layout {
	struct Unit unit;
	struct Item *items;
	struct Edge *edges; /* one per section */
	unsigned bundle;
};

/* Whether the instruction is a jump whose size depends on the distance. */
static bool
is_direct_jump(struct Str text, struct Str *name, struct Str *target)
{
	size_t n = 0;

	while (n < text.n && text.p[n] != ' ' && text.p[n] != '\t')
		n++;
	*name = (struct Str){text.p, n};
	*target = str_trim((struct Str){text.p + n, text.n - n});
	return text.n && text.p[0] == 'j' && !str_is(*name, "jrcxz") && !str_is(*name, "jecxz") && target->n &&
	       target->p[0] != '*';
}

static bool
parse_align(const struct Statement *st, unsigned *power, long *most)
{
	struct Str rest = st->args, item;
	int64_t number;

	*most = -1;
	if (!source_next_item(&rest, &item) || !str_int(item, &number) || number < 0 || number > 12)
		return false;
	*power = (unsigned) number;
	while (source_next_item(&rest, &item))
		if (item.n && str_int(item, &number))
			*most = (long) number;
	return true;
}

static void
classify_directive(struct Layout *l, size_t index)
{
	const struct Statement *st = &l->unit.source.statements[index];
	struct Item *item = &l->items[index];
	long most;

	if (str_is(st->name, ".bundle_align_mode") || (st->exec && str_is(st->name, ".nops"))) {
		item->kind = ITEM_DROP;
	} else if (!st->exec) {
		return;
	} else if (str_is(st->name, ".bundle_lock")) {
		item->kind = ITEM_LOCK;
	} else if (str_is(st->name, ".bundle_unlock")) {
		item->kind = ITEM_UNLOCK;
	} else if (str_is(st->name, ".p2align") && parse_align(st, &item->number, &most)) {
		item->kind = most < 0 ? ITEM_ALIGN : ITEM_END;
		if (most >= 0)
			item->number = (unsigned) most + 1;
	}
}

static void
classify_instruction(struct Layout *l, size_t index)
{
	const struct Statement *st = &l->unit.source.statements[index];
	struct Item *item = &l->items[index];
	struct Str name, target;

	item->kind = st->exec ? ITEM_INSN : ITEM_OTHER;
	item->target = -1;
	if (!st->exec || !is_direct_jump(st->args, &name, &target))
		return;
	item->target = unit_label(&l->unit, index, target);
	if (item->target >= 0 &&
	    (l->unit.source.statements[item->target].section != st->section || unit_symbol(&l->unit, target)->global))
		item->target = -1;
	item->long_size = str_is(name, "jmp") || str_is(name, "jmpq") ? 5 : 6;
	item->is_long = item->target < 0;
}

static void
classify(struct Layout *l)
{
	l->items = arena_take(&l->unit.arena, (l->unit.source.count + 1) * sizeof *l->items);
	for (size_t i = 0; i < l->unit.source.count; i++) {
		switch (l->unit.source.statements[i].kind) {
		case ST_LABEL:
			l->items[i].kind = ITEM_LABEL;
			break;
		case ST_DIRECTIVE:
			classify_directive(l, i);
			break;
		case ST_INSTRUCTION:
			classify_instruction(l, i);
			break;
		default:
			break;
		}
	}
}

/* Whether control cannot go on behind the instruction, nor elsewhere in the file: a return or a tail call. */
static bool
leaves(const struct Layout *l, size_t index)
{
	struct Str text = l->unit.source.statements[index].args;

	if (str_starts(text, "jmp"))
		return str_is(text, "jmpq *%rcx") || str_is(text, "jmpq *%r11") ||
		       (l->items[index].long_size && l->items[index].target < 0);
	return str_is(text, "ret");
}

/*
 * Guesses how often code executes: compilers put what they think unlikely behind a function's first return, and what
 * lies between a label and a later jump to it is a loop.
 */
static void
guess_heat(struct Layout *l)
{
	int *depth = arena_take(&l->unit.arena, (l->unit.source.count + 1) * sizeof *depth), loops = 0, function = -1;
	bool behind = false;

	for (size_t i = 0; i < l->unit.source.count; i++)
		if (l->items[i].kind == ITEM_INSN && l->items[i].target >= 0 && (size_t) l->items[i].target < i) {
			depth[l->items[i].target]++;
			depth[i]--;
		}
	for (size_t i = 0; i < l->unit.source.count; i++) {
		if (l->unit.source.statements[i].function != function)
			behind =
			    str_starts(l->unit.sections[l->unit.source.statements[i].section].name, ".text.unlikely");
		function = l->unit.source.statements[i].function;
		loops += depth[i];
		l->items[i].gain = behind      ? (loops > 0 ? GAIN_TAIL_LOOP : GAIN_TAIL)
				   : loops > 0 ? GAIN_LOOP
					       : GAIN_MAIN;
		behind |= l->items[i].kind == ITEM_INSN && leaves(l, i);
	}
}

/* Measuring. */

static void
put_statement(struct Layout *l, size_t index)
{
	const struct Statement *st = &l->unit.source.statements[index];
	struct Text *out = &l->unit.out;

	switch (st->kind) {
	case ST_LABEL:
		text_printf(out, "%.*s:\n", S(st->name));
		break;
	case ST_ASSIGN:
		text_printf(out, "\t%.*s = %.*s\n", S(st->name), S(st->args));
		break;
	case ST_DIRECTIVE:
		text_printf(out, "\t%.*s %.*s\n", S(st->name), S(st->args));
		break;
	default:
		text_printf(out, "\t%.*s\n", S(st->args));
	}
}

static void
put_measure(struct Layout *l)
{
	struct Text *out = &l->unit.out;
	size_t measured = 0;

	for (size_t i = 0; i < l->unit.source.count; i++) {
		switch (l->items[i].kind) {
		case ITEM_INSN:
			text_printf(out, ".Llfi_m%zu:\n", measured);
			put_statement(l, i);
			text_printf(out, ".Llfi_n%zu:\n", measured++);
			break;
		case ITEM_LABEL:
		case ITEM_OTHER:
			put_statement(l, i);
			break;
		default:
			break;
		}
	}
	text_printf(out, "\t.section %s,\"\",@progbits\n", SIZES_SECTION);
	for (size_t i = 0; i < measured; i++)
		text_printf(out, "\t.byte .Llfi_n%zu-.Llfi_m%zu\n", i, i);
}

/* The bytes of a section of an object file; NULL when there is none or the file is not one. */
static const uint8_t *
find_section(const uint8_t *object, size_t size, const char *name, size_t *section_size)
{
	const Elf64_Ehdr *header = (const void *) object;
	const Elf64_Shdr *sections, *names;

	if (size < sizeof *header || memcmp(object, ELFMAG, SELFMAG) || header->e_shoff > size || header->e_shoff % 8 ||
	    header->e_shnum > (size - header->e_shoff) / sizeof *sections || header->e_shstrndx >= header->e_shnum)
		return NULL;
	sections = (const void *) (object + header->e_shoff);
	names = &sections[header->e_shstrndx];
	if (names->sh_offset > size || names->sh_size > size - names->sh_offset)
		return NULL;
	for (unsigned i = 0; i < header->e_shnum; i++) {
		if (sections[i].sh_name > names->sh_size || names->sh_size - sections[i].sh_name <= strlen(name) ||
		    strncmp((const char *) object + names->sh_offset + sections[i].sh_name, name, strlen(name) + 1))
			continue;
		if (sections[i].sh_offset > size || sections[i].sh_size > size - sections[i].sh_offset)
			return NULL;
		*section_size = sections[i].sh_size;
		return object + sections[i].sh_offset;
	}
	return NULL;
}

static int
take_sizes(struct Layout *l, const void *object, size_t object_size)
{
	size_t count = 0, used = 0;
	const uint8_t *sizes = find_section(object, object_size, SIZES_SECTION, &count);

	if (!sizes)
		return error_set(LFI_ERR_INVALID, "the object file has no section %s", SIZES_SECTION);
	for (size_t i = 0; i < l->unit.source.count; i++) {
		if (l->items[i].kind != ITEM_INSN)
			continue;
		if (used == count)
			return error_set(
			    LFI_ERR_INVALID, "the object file has the sizes of %zu instructions only", count);
		l->items[i].size = l->items[i].long_size ? 2 : sizes[used];
		used++;
	}
	if (used != count)
		return error_set(LFI_ERR_INVALID, "the object file has %zu sizes for %zu instructions", count, used);
	return 0;
}

/* Placing. */

static unsigned
insn_size(const struct Item *item)
{
	return item->is_long ? item->long_size : item->size;
}

/* Sizes of groups and of padded calls, and which instructions lie in one. */
static int
measure_blocks(struct Layout *l)
{
	size_t lock = 0, end = 0;
	bool locked = false;
	unsigned left = 0;

	for (size_t i = 0; i < l->unit.source.count; i++) {
		struct Item *item = &l->items[i];

		if (item->kind == ITEM_LOCK) {
			lock = i, locked = true, item->number = 0;
		} else if (item->kind == ITEM_UNLOCK) {
			locked = false;
		} else if (item->kind == ITEM_END) {
			end = i, left = item->number;
		} else if (item->kind == ITEM_INSN) {
			item->inside = locked || left > 0;
			if (locked)
				l->items[lock].number += insn_size(item);
			if (left > 0 && insn_size(item) > left)
				return error_set(LFI_ERR_INVALID,
				    "line %u: the call that starts here is longer than %u bytes",
				    l->unit.source.statements[end].line, l->items[end].number);
			left -= left > 0 ? insn_size(item) : 0;
		}
	}
	return 0;
}

/* Bytes in front of `size` bytes at `offset`, in two parts: up to a bundle's edge, and from there. */
static void
pad(struct Layout *l, struct Item *item, uint64_t offset, unsigned size, bool at_end)
{
	unsigned at = (unsigned) (offset % l->bundle), room = l->bundle - at;

	item->pad = size > room ? room : 0;
	item->pad_late = 0;
	if (!at_end)
		return;
	if (item->pad)
		item->pad_late = l->bundle - size;
	else
		item->pad = room - size;
}

/* Padding goes in front of the labels before an instruction, unless they stand where they must. */
static size_t
pad_place(struct Layout *l, size_t index)
{
	const struct Statement *statements = l->unit.source.statements;
	size_t place = index;

	for (size_t i = index; i-- > 0 && statements[i].section == statements[index].section;) {
		enum ItemKind kind = l->items[i].kind;

		if (kind == ITEM_LABEL && str_starts(statements[i].name, ".Llfi_"))
			break; /* what a runtime call returns to is directly behind it */
		if (kind == ITEM_ALIGN)
			return index;
		if (kind == ITEM_LABEL)
			place = i;
		else if (kind != ITEM_OTHER || statements[i].kind == ST_INSTRUCTION)
			break;
	}
	return place;
}

static void
place_block(struct Layout *l, size_t index, unsigned size, bool at_end, uint64_t *offset)
{
	struct Edge *edge = &l->edges[l->unit.source.statements[index].section];
	struct Item probe = {0};
	size_t place;

	pad(l, &probe, *offset, size, at_end);
	place = probe.pad + probe.pad_late ? pad_place(l, index) : index;
	l->items[place].pad = probe.pad;
	l->items[place].pad_late = probe.pad_late;
	if (size > l->bundle - *offset % l->bundle)
		*edge = (struct Edge){true, place, *offset + probe.pad};
	*offset += probe.pad + probe.pad_late;
	for (size_t i = place; i < index; i++)
		l->items[i].offset = *offset;
}

/* Whether the stack pointer may have been moved without an access since: then no jump is accepted. */
static bool
drifting(const struct Layout *l, size_t index)
{
	const struct Statement *statements = l->unit.source.statements;
	int section = statements[index].section;

	for (unsigned seen = 0; index-- > 0 && seen < 12;) {
		struct Str text = statements[index].args;

		if (statements[index].section != section || l->items[index].kind != ITEM_INSN)
			continue;
		seen++;
		if (text.p[0] == 'j' || str_starts(text, "push") || str_starts(text, "pop") ||
		    str_starts(text, "call") || (str_starts(text, "mov") && str_find(text, "(%rsp)") >= 0))
			return false;
		if (str_ends(text, "%rsp"))
			return true;
	}
	return true;
}

/*
 * A call whose bundle is nearly empty would need much padding in front. Instead, its bundle starts with a landing, a
 * jump to behind the call: that is where the masked return address leads. Who falls through jumps over the landing,
 * in the place of padding that was there anyway. Not with single-thread returns: they would be mispredicted, for the
 * landing is not what the call pushed.
 */
static bool
place_landing(struct Layout *l, size_t index, uint64_t *offset)
{
	struct Edge *edge = &l->edges[l->unit.source.statements[index].section];
	unsigned gain = l->items[index].gain;
	unsigned size = l->items[index].number, used = (unsigned) (*offset % l->bundle);
	bool crosses = used + size > l->bundle;
	size_t landing = crosses ? pad_place(l, index) : edge->place;
	struct Item *at = &l->items[landing];
	unsigned before = crosses ? l->bundle - used : at->pad;

	if (l->unit.opts.single_thread || size + gain > l->bundle || before < JUMP_SIZE || drifting(l, landing))
		return false;
	if (!crosses &&
	    (!edge->known || edge->offset != *offset - used || used + size + gain > l->bundle || at->landing))
		return false;
	edge->known = false;
	at->landing = index;
	at->pad = before;
	at->pad_late = JUMP_SIZE;
	*offset += JUMP_SIZE + (crosses ? before : 0);
	for (size_t i = landing; i < index; i++)
		l->items[i].offset = crosses ? *offset : l->items[i].offset + JUMP_SIZE;
	return true;
}

static void
place_item(struct Layout *l, size_t index, uint64_t *offset)
{
	struct Item *item = &l->items[index];
	uint64_t mask;

	switch (item->kind) {
	case ITEM_ALIGN:
		l->edges[l->unit.source.statements[index].section].known = false;
		mask = ((uint64_t) 1 << item->number) - 1;
		item->pad = (unsigned) (-*offset & mask);
		if (item->pad > l->bundle - *offset % l->bundle) {
			item->pad_late = item->pad - (unsigned) (l->bundle - *offset % l->bundle);
			item->pad -= item->pad_late;
		}
		*offset += item->pad + item->pad_late;
		break;
	case ITEM_LOCK:
		place_block(l, index, item->number, false, offset);
		break;
	case ITEM_END:
		if (!place_landing(l, index, offset))
			place_block(l, index, item->number, true, offset);
		break;
	case ITEM_INSN:
		if (!item->inside)
			place_block(l, index, insn_size(item), false, offset);
		item->offset = *offset;
		*offset += insn_size(item);
		break;
	default:
		break;
	}
	if (item->kind != ITEM_INSN)
		item->offset = *offset;
}

/* Makes the short jumps long that do not reach. Whether there was one. */
static bool
lengthen(struct Layout *l)
{
	bool changed = false;

	for (size_t i = 0; i < l->unit.source.count; i++) {
		struct Item *item = &l->items[i];
		int64_t distance;

		if (item->kind != ITEM_INSN || !item->long_size || item->is_long)
			continue;
		distance = (int64_t) l->items[item->target].offset - (int64_t) (item->offset + item->size);
		if (distance < -128 || distance > 127)
			item->is_long = changed = true;
	}
	return changed;
}

static int
place(struct Layout *l)
{
	uint64_t *offsets = arena_take(&l->unit.arena, (l->unit.section_count + 1) * sizeof *offsets);

	l->edges = arena_take(&l->unit.arena, (l->unit.section_count + 1) * sizeof *l->edges);
	do {
		if (measure_blocks(l) < 0)
			return -1;
		memset(l->edges, 0, l->unit.section_count * sizeof *l->edges);
		memset(offsets, 0, l->unit.section_count * sizeof *offsets);
		for (size_t i = 0; i < l->unit.source.count; i++) {
			l->items[i].pad = l->items[i].pad_late = 0;
			l->items[i].landing = 0;
			if (l->unit.source.statements[i].exec)
				place_item(l, i, &offsets[l->unit.source.statements[i].section]);
		}
	} while (lengthen(l));
	return 0;
}

/* `_l` is the landing of a call, `_f` what follows the landing, `_r` where the call returns to. */
static void
put_padding(struct Text *out, size_t index, const struct Item *item)
{
	if (item->landing) {
		text_printf(out, "\t{disp8} jmp .Llfi_f%zu\n", index);
		if (item->pad > JUMP_SIZE)
			text_printf(out, "\t.nops %u\n", item->pad - JUMP_SIZE);
		text_printf(out, "\t{disp8} jmp .Llfi_r%zu\n.Llfi_f%zu:\n", item->landing, index);
		return;
	}
	if (item->pad)
		text_printf(out, "\t.nops %u\n", item->pad);
	if (item->pad_late)
		text_printf(out, "\t.nops %u\n", item->pad_late);
}

static void
put_placed(struct Layout *l)
{
	size_t call = 0;
	unsigned call_left = 0;
	bool *begun = arena_take(&l->unit.arena, (l->unit.section_count + 1) * sizeof *begun);
	struct Text *out = &l->unit.out;

	for (size_t i = 0; i < l->unit.source.count; i++) {
		const struct Statement *st = &l->unit.source.statements[i];
		struct Item *item = &l->items[i];

		if (st->exec && item->kind == ITEM_ALIGN && !begun[st->section]) {
			begun[st->section] = true;
			put_statement(l, i); /* aligns the section itself */
			continue;
		}
		put_padding(out, i, item);
		if (item->kind == ITEM_END)
			call = i, call_left = item->number;
		if (item->kind == ITEM_INSN && item->long_size)
			text_put(out, item->is_long ? STR("\t{disp32}") : STR("\t{disp8}"));
		if (item->kind == ITEM_INSN || item->kind == ITEM_LABEL || item->kind == ITEM_OTHER)
			put_statement(l, i);
		if (item->kind != ITEM_INSN || !call_left)
			continue;
		call_left -= insn_size(item);
		if (!call_left)
			text_printf(out, ".Llfi_r%zu:\n", call);
	}
}

/* The two calls. */

static int
run(struct Layout *l, const char *confined, size_t size, const void *object, size_t object_size)
{
	if (setjmp(l->unit.arena.out_of_memory))
		return error_set(LFI_ERR_NOMEM, "no memory to place the code");
	source_parse(&l->unit.source, &l->unit.arena, confined, size);
	unit_analyse(&l->unit);
	classify(l);
	if (!object) {
		put_measure(l);
		return 0;
	}
	guess_heat(l);
	if (take_sizes(l, object, object_size) < 0 || place(l) < 0)
		return -1;
	put_placed(l);
	return 0;
}

static int
transform(const struct LFIRewriteOptions *opts, const char *confined, size_t size, const void *object,
    size_t object_size, char **output, size_t *output_size)
{
	struct Layout *l;
	int result = -1;

	if (rewrite_check_texts(confined, size, output, output_size) < 0)
		return -1;
	l = calloc(1, sizeof *l);
	if (!l)
		return error_set(LFI_ERR_NOMEM, "no memory to place %zu bytes of text", size);
	l->unit.out.arena = &l->unit.arena;
	l->unit.opts.file = "<confined>";
	if (opts &&
	    options_take(&l->unit.opts, sizeof l->unit.opts, opts, opts->struct_size, "struct LFIRewriteOptions") < 0)
		goto free_layout;
	l->bundle = l->unit.opts.bundle ? l->unit.opts.bundle : 32;
	if (l->bundle != 16 && l->bundle != 32) {
		error_set(LFI_ERR_INVALID, "a bundle of %u bytes: 16 or 32 is possible", l->bundle);
		goto free_layout;
	}
	if (run(l, confined, size, object, object_size) < 0)
		goto free_text;
	*output = l->unit.out.p;
	if (output_size)
		*output_size = l->unit.out.n;
	l->unit.out.p = NULL;
	result = 0;
free_text:
	free(l->unit.out.p);
	arena_free(&l->unit.arena);
free_layout:
	free(l);
	return result;
}

int
lfi_rewrite_measure(const char *confined, size_t size, char **output, size_t *output_size)
{
	return transform(NULL, confined, size, NULL, 0, output, output_size);
}

int
lfi_rewrite_layout(const struct LFIRewriteOptions *opts, const char *confined, size_t size, const void *object,
    size_t object_size, char **output, size_t *output_size)
{
	if (!object || (uintptr_t) object % 8)
		return error_set(LFI_ERR_INVALID, "the object file is %s", object ? "not 8-byte aligned" : "NULL");
	return transform(opts, confined, size, object, object_size, output, output_size);
}
