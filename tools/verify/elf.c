/* SPDX-License-Identifier: MIT */
/*
 * ELF files for lfi-verify: the executable segments of a program, the executable sections of an object. The file may be
 * hostile, so every offset in it is checked before it is followed.
 *
 * An object is not linked yet. Places that a relocation fills are given a value that a linker could choose: the real
 * one for a symbol of the same section, and for any other that of a function at a far bundle. So what is said of
 * an object is that nothing in it, as far as it is known, breaks a rule; the linked program decides.
 */
#include "verify.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define OBJECT_AT 0x1000000u /* where an object's sections are verified */
#define ELSEWHERE 0x800000u  /* where symbols of other places are taken to be */

/* `size` bytes at `offset`, or NULL when the file does not have them or they are not aligned for a struct. */
static const void *
file_at(const struct unit *unit, uint64_t offset, uint64_t size, size_t align)
{
	if (offset > unit->size || size > unit->size - offset || offset % align)
		return NULL;
	return unit->bytes + offset;
}

/* The header, or NULL when it is not that of a program or object for this processor. */
static const Elf64_Ehdr *
header_check(struct unit *unit)
{
	const Elf64_Ehdr *h = file_at(unit, 0, sizeof *h, 1);

	if (!h || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
		unreadable(unit, "not an ELF file");
	else if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64)
		unreadable(unit, "not for x86-64 (class %u, machine %u)", h->e_ident[EI_CLASS], h->e_machine);
	else if (h->e_type != ET_DYN && h->e_type != ET_EXEC && h->e_type != ET_REL)
		unreadable(unit, "neither a program nor an object (ELF type %u)", h->e_type);
	else if (h->e_type != ET_REL && (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == PN_XNUM))
		unreadable(unit, "program headers of %u bytes, %u of them", h->e_phentsize, h->e_phnum);
	else
		return h;
	return NULL;
}

/* ---- Symbols ---- */

/* The section headers, *count of them; none when they are not in good order. */
static const Elf64_Shdr *
sections_find(const struct unit *unit, const Elf64_Ehdr *header, size_t *count)
{
	const Elf64_Shdr *sections;

	*count = 0;
	if (header->e_shentsize != sizeof *sections || header->e_shoff == 0)
		return NULL;
	sections = file_at(unit, header->e_shoff, sizeof *sections, 8);
	if (!sections)
		return NULL;
	/* An object of many functions has more than 16 bits count. */
	*count = header->e_shnum ? header->e_shnum : sections[0].sh_size;
	if (*count > unit->size / sizeof *sections || !file_at(unit, header->e_shoff, *count * sizeof *sections, 8)) {
		*count = 0;
		return NULL;
	}
	return sections;
}

/* The symbol table and its strings, if the file has them in good order. */
static void
symbols_find(struct unit *unit, const Elf64_Ehdr *header)
{
	size_t count;
	const Elf64_Shdr *sections = sections_find(unit, header, &count);

	for (size_t i = 0; i < count; i++) {
		const Elf64_Shdr *s = &sections[i];
		const void *symbols, *strings;

		if (s->sh_type != SHT_SYMTAB || s->sh_link >= count)
			continue;
		symbols = file_at(unit, s->sh_offset, s->sh_size, 8);
		strings = file_at(unit, sections[s->sh_link].sh_offset, sections[s->sh_link].sh_size, 1);
		if (!symbols || !strings)
			continue;
		unit->symbols = symbols;
		unit->symbols_count = s->sh_size / sizeof(Elf64_Sym);
		unit->strings = strings;
		unit->strings_size = sections[s->sh_link].sh_size;
	}
}

static bool
is_better(const struct unit *unit, const Elf64_Sym *s, uint64_t address, const Elf64_Sym *best)
{
	unsigned type = ELF64_ST_TYPE(s->st_info);

	if ((type != STT_FUNC && type != STT_NOTYPE) || s->st_shndx == SHN_UNDEF || s->st_value > address)
		return false;
	if (unit->section ? s->st_shndx != unit->section : s->st_shndx >= SHN_LORESERVE)
		return false;
	if (s->st_name >= unit->strings_size || unit->strings[s->st_name] == 0)
		return false;
	return !best || s->st_value > best->st_value || (s->st_value == best->st_value && type == STT_FUNC);
}

struct place
place_of(const struct unit *unit, uint64_t address)
{
	const Elf64_Sym *best = NULL;
	struct place place = {0};

	if (unit->section)
		address -= OBJECT_AT;
	for (size_t i = 0; i < unit->symbols_count; i++)
		if (is_better(unit, &unit->symbols[i], address, best))
			best = &unit->symbols[i];
	if (!best)
		return place;
	place.name = unit->strings + best->st_name;
	place.length = (int) strnlen(
	    place.name, unit->strings_size - best->st_name < 200 ? unit->strings_size - best->st_name : 200);
	place.offset = address - best->st_value;
	return place;
}

/* ---- Programs ---- */

static int
segment_verify(struct unit *unit, const Elf64_Phdr *segment)
{
	const uint8_t *bytes = file_at(unit, segment->p_offset, segment->p_filesz, 1);
	unsigned long long address = segment->p_vaddr;

	if (segment->p_flags & PF_W)
		return unreadable(unit, "segment at 0x%llx is writable and executable", address);
	if (!bytes)
		return unreadable(unit, "truncated: the segment at 0x%llx is not in the file", address);
	if (segment->p_memsz != segment->p_filesz)
		return unreadable(unit, "the code at 0x%llx is not all in the file", address);
	return region_verify(unit, segment->p_vaddr, bytes, segment->p_filesz);
}

/* Two regions may not share a page; the segments must be in order of address. */
static int
program_verify(struct unit *unit, const Elf64_Ehdr *header)
{
	const Elf64_Phdr *segments = file_at(unit, header->e_phoff, (uint64_t) header->e_phnum * sizeof *segments, 8);
	uint64_t free_from = 0;
	int result = ACCEPTED;
	bool found = false;

	unit->what = "program";
	if (!segments)
		return unreadable(unit, "truncated: the program headers are not in the file");
	for (unsigned i = 0; i < header->e_phnum; i++) {
		int one;

		if (segments[i].p_type != PT_LOAD || !(segments[i].p_flags & PF_X))
			continue;
		if (found && segments[i].p_vaddr / PAGE * PAGE < free_from)
			return unreadable(unit, "segments overlap at 0x%llx", (unsigned long long) segments[i].p_vaddr);
		one = segment_verify(unit, &segments[i]);
		if (one == UNREADABLE)
			return one;
		if (one == REFUSED)
			result = REFUSED;
		free_from = segments[i].p_vaddr + segments[i].p_memsz;
		found = true;
	}
	if (!found)
		return unreadable(unit, "has no executable segment");
	return result;
}

/* ---- Objects ---- */

/* Where the 4 bytes at `at` of the section should lead; see the head of this file. */
static uint32_t
relocated(const struct unit *unit, const Elf64_Rela *rela, unsigned section)
{
	size_t symbol = ELF64_R_SYM(rela->r_info);
	uint64_t from = OBJECT_AT + rela->r_offset;

	if (symbol < unit->symbols_count && unit->symbols[symbol].st_shndx == section)
		return (uint32_t) (OBJECT_AT + unit->symbols[symbol].st_value + (uint64_t) rela->r_addend - from);
	return (uint32_t) (ELSEWHERE - 4 - from);
}

static bool
is_relative(uint32_t type)
{
	return type == R_X86_64_PC32 || type == R_X86_64_PLT32 || type == R_X86_64_GOTPCREL ||
	       type == R_X86_64_GOTPCRELX || type == R_X86_64_REX_GOTPCRELX;
}

/* Applies the relocations of one table to a copy of the section. */
static int
relocate(struct unit *unit, const Elf64_Shdr *table, unsigned section, uint8_t *bytes, uint64_t size)
{
	const Elf64_Rela *rela = file_at(unit, table->sh_offset, table->sh_size, 8);

	if (!rela)
		return unreadable(unit, "truncated: relocations of section %u are not in the file", section);
	for (size_t i = 0; i < table->sh_size / sizeof *rela; i++) {
		uint32_t value;

		if (!is_relative(ELF64_R_TYPE(rela[i].r_info)))
			continue; /* of no consequence for the rules */
		if (size < sizeof value || rela[i].r_offset > size - sizeof value)
			return unreadable(unit, "a relocation is outside its section %u", section);
		value = relocated(unit, &rela[i], section);
		memcpy(bytes + rela[i].r_offset, &value, sizeof value);
	}
	return 0;
}

/* `table` are its relocations, or NULL. */
static int
section_verify(struct unit *unit, const Elf64_Shdr *s, unsigned index, const Elf64_Shdr *table)
{
	const uint8_t *given = file_at(unit, s->sh_offset, s->sh_size, 1);
	unsigned bundle = unit->arguments->verify.bundle ? unit->arguments->verify.bundle : 32;
	uint8_t *bytes;
	int result = 0;

	unit->section = index;
	if (s->sh_type != SHT_PROGBITS || !given)
		return unreadable(unit, "truncated: section %u is not in the file", index);
	if (s->sh_flags & SHF_WRITE)
		return unreadable(unit, "section %u is writable and executable", index);
	if (s->sh_addralign == 0 || s->sh_addralign % bundle)
		return unreadable(unit, "section %u of code is aligned to %llu bytes, bundles have %u", index,
		    (unsigned long long) s->sh_addralign, bundle);
	bytes = malloc(s->sh_size);
	if (!bytes)
		return unreadable(unit, "not enough memory");
	memcpy(bytes, given, s->sh_size);
	if (table)
		result = relocate(unit, table, index, bytes, s->sh_size);
	if (result == 0)
		result = region_verify(unit, OBJECT_AT, bytes, s->sh_size);
	free(bytes);
	return result;
}

/* The index of each section's table of relocations, 0: none. */
static unsigned *
tables_find(struct unit *unit, const Elf64_Shdr *sections, size_t count)
{
	unsigned *tables = calloc(count, sizeof *tables);

	if (!tables) {
		unreadable(unit, "not enough memory");
		return NULL;
	}
	for (size_t i = 1; i < count; i++) {
		if (sections[i].sh_type != SHT_RELA || sections[i].sh_info >= count)
			continue;
		if (tables[sections[i].sh_info]) {
			unreadable(unit, "section %u has two tables of relocations", sections[i].sh_info);
			free(tables);
			return NULL;
		}
		tables[sections[i].sh_info] = (unsigned) i;
	}
	return tables;
}

static int
object_verify(struct unit *unit, const Elf64_Ehdr *header)
{
	size_t count;
	const Elf64_Shdr *sections = sections_find(unit, header, &count);
	int result = ACCEPTED;
	unsigned *tables;

	unit->what = "object";
	if (!sections)
		return unreadable(unit, "truncated: the section headers are not in the file");
	tables = tables_find(unit, sections, count);
	if (!tables)
		return UNREADABLE;
	for (size_t i = 1; i < count && result != UNREADABLE; i++) {
		int one;

		if (!(sections[i].sh_flags & SHF_EXECINSTR) || sections[i].sh_size == 0)
			continue;
		one = section_verify(unit, &sections[i], (unsigned) i, tables[i] ? &sections[tables[i]] : NULL);
		if (one > result)
			result = one;
	}
	free(tables);
	return result;
}

int
elf_verify(struct unit *unit)
{
	const Elf64_Ehdr *header = header_check(unit);

	if (!header)
		return UNREADABLE;
	symbols_find(unit, header);
	return header->e_type == ET_REL ? object_verify(unit, header) : program_verify(unit, header);
}
