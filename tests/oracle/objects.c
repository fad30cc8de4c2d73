/* SPDX-License-Identifier: MIT */
/*
 * What compilers made, ordinary objects that were not rewritten: whether the verifier's decoder knows each instruction
 * of them, and whether the oracles see it the same. What it refuses is said once for each mnemonic and reason, with
 * Zydis' help, and passed over; so is what uses fs, which lfi-cc rewrites.
 */
#include <Zydis/Zydis.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "insn.h"
#include "oracle.h"

#define REFUSALS 256

struct refusal {
	const char *mnemonic, *reason;
	uint64_t count;
	char example[INSN_TEXT_MAX];
};

struct objects {
	uint64_t instructions, refused, fs, differ;
	struct refusal refusals[REFUSALS];
	unsigned kinds;
};

static void
differs(struct objects *all, const char *file, const uint8_t *bytes, const struct insn *insn)
{
	bool slow = is_new_shape(insn);
	char hex[INSN_TEXT_MAX];
	const char *what;

	for (unsigned i = 0; i < oracle_count; i++) {
		if ((oracles[i].slow && !slow) || !(what = oracles[i].differs(bytes, insn)))
			continue;
		text_bytes_x64(bytes, insn->size, hex);
		printf("%s: %s: %s: %s\n", file, hex, oracles[i].name, what);
		all->differ++;
	}
}

/* The size that Zydis gives it. */
static unsigned
refused(struct objects *all, const uint8_t *bytes, size_t left, const char *reason)
{
	static ZydisDecoder decoder;
	ZydisDecodedInstruction z;
	const char *mnemonic = "(nothing that Zydis knows)";
	unsigned size = 1, i;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, left, &z))) {
		mnemonic = ZydisMnemonicGetString(z.mnemonic);
		size = z.length;
		if (z.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_FS) {
			all->fs++;
			return size;
		}
	}
	all->refused++;
	for (i = 0; i < all->kinds; i++)
		if (strcmp(all->refusals[i].mnemonic, mnemonic) == 0 && strcmp(all->refusals[i].reason, reason) == 0)
			break;
	if (i == REFUSALS)
		return size;
	if (i == all->kinds) {
		all->refusals[all->kinds++] = (struct refusal){.mnemonic = mnemonic, .reason = reason};
		text_bytes_x64(bytes, size, all->refusals[i].example);
	}
	all->refusals[i].count++;
	return size;
}

static void
look_at_code(struct objects *all, const char *file, const uint8_t *code, size_t size)
{
	uint8_t *copy = calloc(1, size + DECODE_WINDOW);
	struct insn insn;
	const char *reason;

	if (!copy)
		abort();
	memcpy(copy, code, size);
	for (size_t at = 0; at < size;) {
		if (decode_x64(copy + at, &insn, &reason) == LFI_RULE_NONE) {
			differs(all, file, copy + at, &insn);
			at += insn.size;
		} else {
			at += refused(all, copy + at, size - at, reason);
		}
		all->instructions++;
	}
	free(copy);
}

/* Returns false when it is no object for x86-64. */
static bool
look_at_object(struct objects *all, const char *file, const uint8_t *bytes, size_t size)
{
	Elf64_Ehdr head;

	if (size < sizeof head)
		return false;
	memcpy(&head, bytes, sizeof head);
	if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_machine != EM_X86_64 || head.e_shoff > size ||
	    head.e_shnum > (size - head.e_shoff) / sizeof(Elf64_Shdr))
		return false;
	for (unsigned i = 0; i < head.e_shnum; i++) {
		Elf64_Shdr section;

		memcpy(&section, bytes + head.e_shoff + i * sizeof section, sizeof section);
		if (section.sh_type != SHT_PROGBITS || !(section.sh_flags & SHF_EXECINSTR))
			continue;
		if (section.sh_offset > size || section.sh_size > size - section.sh_offset)
			return false;
		look_at_code(all, file, bytes + section.sh_offset, section.sh_size);
	}
	return true;
}

static bool
look_at_file(struct objects *all, const char *name)
{
	FILE *file = fopen(name, "rb");
	uint8_t *bytes = NULL;
	long size = -1;
	bool good;

	if (file && fseek(file, 0, SEEK_END) == 0)
		size = ftell(file);
	if (size > 0)
		bytes = malloc((size_t) size);
	good = bytes && fseek(file, 0, SEEK_SET) == 0 && fread(bytes, (size_t) size, 1, file) == 1;
	good = good && look_at_object(all, name, bytes, (size_t) size);
	if (!good)
		fprintf(stderr, "%s is no object for x86-64 that can be read\n", name);
	free(bytes);
	if (file)
		fclose(file);
	return good;
}

int
ask_about_objects(int count, char **names)
{
	static struct objects all;
	bool good = true;

	for (int i = 0; i < count; i++)
		good &= look_at_file(&all, names[i]);
	for (unsigned i = 0; i < all.kinds; i++)
		printf("refused: %s: %s: %llu times, such as %s\n", all.refusals[i].mnemonic, all.refusals[i].reason,
		    (unsigned long long) all.refusals[i].count, all.refusals[i].example);
	printf("%d objects, %llu instructions, %llu with fs, %llu refused, %llu differ\n", count,
	    (unsigned long long) all.instructions, (unsigned long long) all.fs, (unsigned long long) all.refused,
	    (unsigned long long) all.differ);
	return good && !all.refused && !all.differ ? 0 : 1;
}
