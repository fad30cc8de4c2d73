//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * ELF64 bytes to a checked view; see elfview.h. Trusted: what is read here
 * decides where the loader copies to.
 *
 *   I1  No byte outside [bytes, bytes + size) is read: each offset and count is checked against the size before use,
 *       without overflow.
 *   I2  Every program header of an opened view has its file range inside the buffer, filesz <= memsz for what is
 *       loaded, and vaddr + memsz does not wrap.
 *   I3  Loaded segments ascend and do not overlap, and none is both writable and executable.
 */
#include "elfview.h"

#include <assert.h>
#include <elf.h>
#include <inttypes.h>
#include "lfi_core.h"
#include <string.h>

#include "checked.h"
#include "error.h"

/* A program of ours has about ten program headers; the bound keeps hostile files cheap. */
enum { SEGMENTS_MAX = 128 };

static_assert(sizeof(Elf64_Sym) == ELF_SYMBOL_SIZE, "symbol size");

static const char *
machine_name(unsigned machine)
{
	switch (machine) {
	case EM_386:
		return "32-bit x86";
	case EM_ARM:
		return "32-bit Arm";
	case EM_X86_64:
		return "x86-64";
	case EM_AARCH64:
		return "AArch64";
	case EM_RISCV:
		return "RISC-V";
	}
	return "another processor";
}

/* Also of a file that is too short for a header, a script for example. */
static int
check_magic(const unsigned char *bytes, size_t size)
{
	if (size >= 2 && bytes[0] == '#' && bytes[1] == '!')
		return error_set(LFI_ERR_ELF, "a script (#!), not an ELF program");
	if (size >= SELFMAG && memcmp(bytes, ELFMAG, SELFMAG) != 0)
		return error_set(LFI_ERR_ELF, "not an ELF file: it starts with the bytes %02x %02x %02x %02x", bytes[0],
		    bytes[1], bytes[2], bytes[3]);
	if (size < sizeof(Elf64_Ehdr))
		return error_set(
		    LFI_ERR_ELF, "%zu bytes are too short for an ELF header (%zu bytes)", size, sizeof(Elf64_Ehdr));
	return 0;
}

static int
check_ident(const unsigned char *ident)
{
	if (ident[EI_CLASS] != ELFCLASS64)
		return error_set(
		    LFI_ERR_ELF, "not a 64-bit ELF file: class %u, expected %u", ident[EI_CLASS], ELFCLASS64);
	if (ident[EI_DATA] != ELFDATA2LSB)
		return error_set(LFI_ERR_ELF, "not a little-endian ELF file: data encoding %u, expected %u",
		    ident[EI_DATA], ELFDATA2LSB);
	if (ident[EI_VERSION] != EV_CURRENT)
		return error_set(LFI_ERR_ELF, "ELF version %u is unknown, expected %u", ident[EI_VERSION], EV_CURRENT);
	return 0;
}

static int
check_type(const Elf64_Ehdr *header, unsigned machine)
{
	if (header->e_machine != machine)
		return error_set(LFI_ERR_ELF, "the program is for machine %u (%s), not for %u (%s)", header->e_machine,
		    machine_name(header->e_machine), machine, machine_name(machine));
	if (header->e_type == ET_EXEC)
		return error_set(
		    LFI_ERR_ELF, "the program is linked to a fixed address (ET_EXEC): link it with -static-pie");
	if (header->e_type == ET_REL)
		return error_set(LFI_ERR_ELF, "this is an object file (ET_REL), not a program: link it first");
	if (header->e_type != ET_DYN)
		return error_set(
		    LFI_ERR_ELF, "ELF type %u is not a program (expected %u, ET_DYN)", header->e_type, ET_DYN);
	return 0;
}

/* I1 for a table of `count` entries of `each` bytes at `offset`. */
static int
check_table(const char *what, uint64_t offset, unsigned count, size_t each, size_t size)
{
	if (!range_within(offset, (uint64_t) count * each, 0, size))
		return error_set(LFI_ERR_ELF,
		    "%s (%u entries of %zu bytes at file offset 0x%" PRIx64
		    ") lie past the end of the file (%zu bytes)",
		    what, count, each, offset, size);
	return 0;
}

static int
check_headers(struct ElfView *view, const Elf64_Ehdr *header)
{
	if (header->e_phnum == 0)
		return error_set(LFI_ERR_ELF, "the file has no program headers");
	if (header->e_phnum > SEGMENTS_MAX)
		return error_set(
		    LFI_ERR_ELF, "%u program headers are more than the %u allowed", header->e_phnum, SEGMENTS_MAX);
	if (header->e_phentsize != sizeof(Elf64_Phdr))
		return error_set(
		    LFI_ERR_ELF, "program headers of %u bytes, expected %zu", header->e_phentsize, sizeof(Elf64_Phdr));
	if (check_table("program headers", header->e_phoff, header->e_phnum, sizeof(Elf64_Phdr), view->size) < 0)
		return -1;
	if (header->e_shnum && header->e_shentsize != sizeof(Elf64_Shdr))
		return error_set(
		    LFI_ERR_ELF, "section headers of %u bytes, expected %zu", header->e_shentsize, sizeof(Elf64_Shdr));
	if (check_table("section headers", header->e_shnum ? header->e_shoff : 0, header->e_shnum, sizeof(Elf64_Shdr),
		view->size) < 0)
		return -1;
	view->entry = header->e_entry;
	view->phoff = header->e_phoff;
	view->phnum = header->e_phnum;
	view->shoff = header->e_shoff;
	view->shnum = header->e_shnum;
	return 0;
}

struct ElfSegment
elfview_segment(const struct ElfView *view, unsigned index)
{
	Elf64_Phdr phdr;

	memcpy(&phdr, view->bytes + view->phoff + (uint64_t) index * sizeof phdr, sizeof phdr);
	return (struct ElfSegment){
	    phdr.p_type, phdr.p_flags, phdr.p_offset, phdr.p_vaddr, phdr.p_filesz, phdr.p_memsz, phdr.p_align};
}

/* I2 for any segment. */
static int
check_file_range(const struct ElfView *view, unsigned index, const struct ElfSegment *segment)
{
	if (segment->type != PT_NULL && !range_within(segment->offset, segment->filesz, 0, view->size))
		return error_set(LFI_ERR_ELF,
		    "segment %u: file offset 0x%" PRIx64 " + size 0x%" PRIx64
		    " lies past the end of the file (%zu bytes)",
		    index, segment->offset, segment->filesz, view->size);
	return 0;
}

/* I2 and I3 for a loaded segment; `end` is where the one before it ends. */
static int
check_load(unsigned index, const struct ElfSegment *segment, uint64_t end)
{
	uint64_t sum;

	if (segment->filesz > segment->memsz)
		return error_set(LFI_ERR_ELF,
		    "segment %u: 0x%" PRIx64 " bytes in the file do not fit its 0x%" PRIx64 " bytes of memory", index,
		    segment->filesz, segment->memsz);
	if (!checked_add(segment->vaddr, segment->memsz, &sum))
		return error_set(LFI_ERR_ELF, "segment %u: address 0x%" PRIx64 " + size 0x%" PRIx64 " overflows", index,
		    segment->vaddr, segment->memsz);
	if (segment->align & (segment->align - 1))
		return error_set(
		    LFI_ERR_ELF, "segment %u: alignment 0x%" PRIx64 " is not a power of two", index, segment->align);
	if (segment->align > 1 && (segment->vaddr - segment->offset) & (segment->align - 1))
		return error_set(LFI_ERR_ELF,
		    "segment %u: address 0x%" PRIx64 " and file offset 0x%" PRIx64
		    " differ modulo the alignment 0x%" PRIx64,
		    index, segment->vaddr, segment->offset, segment->align);
	if ((segment->flags & (PF_W | PF_X)) == (PF_W | PF_X))
		return error_set(
		    LFI_ERR_ELF, "segment %u at 0x%" PRIx64 " is both writable and executable", index, segment->vaddr);
	if (segment->vaddr < end)
		return error_set(LFI_ERR_ELF,
		    "segment %u at 0x%" PRIx64 " overlaps the one before it, which ends at 0x%" PRIx64
		    ", or comes out of order",
		    index, segment->vaddr, end);
	return 0;
}

static int
check_interpreter(const struct ElfView *view, unsigned index, const struct ElfSegment *segment)
{
	const unsigned char *name = view->bytes + segment->offset;
	int length = 0;

	/* What the file says goes to a terminal: printable text only. */
	while ((uint64_t) length < segment->filesz && length < 200 && name[length] > ' ' && name[length] < 0x7f)
		length++;
	return error_set(LFI_ERR_ELF, "segment %u: the program needs the dynamic linker %.*s: link it with -static-pie",
	    index, length, (const char *) name);
}

static int
check_segments(const struct ElfView *view)
{
	struct ElfSegment segment;
	unsigned loaded = 0;
	uint64_t end = 0;

	for (unsigned i = 0; i < view->phnum; i++) {
		segment = elfview_segment(view, i);
		if (check_file_range(view, i, &segment) < 0)
			return -1;
		if (segment.type == PT_INTERP)
			return check_interpreter(view, i, &segment);
		if (segment.type != PT_LOAD)
			continue;
		if (check_load(i, &segment, end) < 0)
			return -1;
		end = segment.vaddr + segment.memsz;
		loaded++;
	}
	if (!loaded)
		return error_set(LFI_ERR_ELF, "the file has no segment to load (PT_LOAD)");
	return 0;
}

int
elfview_open(struct ElfView *view, const void *bytes, size_t size, unsigned machine)
{
	Elf64_Ehdr header;

	*view = (struct ElfView){.bytes = bytes, .size = size};
	if (check_magic(bytes, size) < 0)
		return -1;
	memcpy(&header, bytes, sizeof header);
	if (check_ident(header.e_ident) < 0 || check_type(&header, machine) < 0 || check_headers(view, &header) < 0)
		return -1;
	return check_segments(view);
}

/* ---- Symbols ---- */

static Elf64_Shdr
section(const struct ElfView *view, unsigned index)
{
	Elf64_Shdr shdr;

	memcpy(&shdr, view->bytes + view->shoff + (uint64_t) index * sizeof shdr, sizeof shdr);
	return shdr;
}

static bool
section_within(const struct ElfView *view, const Elf64_Shdr *shdr)
{
	return range_within(shdr->sh_offset, shdr->sh_size, 0, view->size);
}

/* The table of section header `symbols`, if it and its strings lie in the buffer (I1). */
static bool
symtab_of(const struct ElfView *view, const Elf64_Shdr *symbols, struct ElfSymtab *table)
{
	Elf64_Shdr strings;

	if (symbols->sh_link >= view->shnum || symbols->sh_entsize != ELF_SYMBOL_SIZE || !section_within(view, symbols))
		return false;
	strings = section(view, symbols->sh_link);
	if (strings.sh_type != SHT_STRTAB || !section_within(view, &strings))
		return false;
	table->symbols = view->bytes + symbols->sh_offset;
	table->count = symbols->sh_size / ELF_SYMBOL_SIZE;
	table->strings = (const char *) view->bytes + strings.sh_offset;
	table->strings_size = strings.sh_size;
	/* A last string without its end would be read past the table. */
	return strings.sh_size > 0 && table->strings[strings.sh_size - 1] == 0;
}

bool
elfview_symtab(const struct ElfView *view, uint32_t type, struct ElfSymtab *table)
{
	Elf64_Shdr shdr;

	for (unsigned i = 0; i < view->shnum; i++) {
		shdr = section(view, i);
		if (shdr.sh_type == type && symtab_of(view, &shdr, table))
			return true;
	}
	*table = (struct ElfSymtab){0};
	return false;
}

struct ElfSymbol
elfview_symbol(const struct ElfSymtab *table, size_t index)
{
	Elf64_Sym sym;

	memcpy(&sym, table->symbols + index * ELF_SYMBOL_SIZE, sizeof sym);
	return (struct ElfSymbol){sym.st_name < table->strings_size ? table->strings + sym.st_name : "",
	    sym.st_shndx == SHN_UNDEF ? 0 : sym.st_value, sym.st_size, ELF64_ST_TYPE(sym.st_info)};
}

bool
elfview_find(const struct ElfSymtab *table, const char *name, struct ElfSymbol *symbol)
{
	for (size_t i = 0; i < table->count; i++) {
		*symbol = elfview_symbol(table, i);
		/* The value of a thread-local symbol is no address. */
		if (symbol->value && symbol->type != STT_TLS && strcmp(symbol->name, name) == 0)
			return true;
	}
	return false;
}

/* ---- Notes ---- */

/* The note of that owner and type among `size` bytes; all of them lie in the buffer. */
static const void *
find_note(const unsigned char *bytes, uint64_t size, const char *owner, uint32_t type, size_t *note_size)
{
	size_t owner_size = strlen(owner) + 1;
	uint64_t name_end, desc_end;
	Elf64_Nhdr note;

	while (size >= sizeof note) {
		memcpy(&note, bytes, sizeof note);
		/* Sums of 32-bit sizes do not overflow 64 bits. */
		name_end = sizeof note + (((uint64_t) note.n_namesz + 3) & ~(uint64_t) 3);
		desc_end = name_end + (((uint64_t) note.n_descsz + 3) & ~(uint64_t) 3);
		if (desc_end > size)
			return NULL;
		if (note.n_type == type && note.n_namesz == owner_size &&
		    memcmp(bytes + sizeof note, owner, owner_size) == 0) {
			*note_size = note.n_descsz;
			return bytes + name_end;
		}
		bytes += desc_end;
		size -= desc_end;
	}
	return NULL;
}

const void *
elfview_note(const struct ElfView *view, const char *owner, uint32_t type, size_t *size)
{
	struct ElfSegment segment;
	const void *found = NULL;

	for (unsigned i = 0; i < view->phnum && !found; i++) {
		segment = elfview_segment(view, i);
		if (segment.type == PT_NOTE)
			found = find_note(view->bytes + segment.offset, segment.filesz, owner, type, size);
	}
	return found;
}
