/* SPDX-License-Identifier: MIT */
/*
 * A checked view of an ELF64 program in memory: what it says about itself,
 * after all of it was checked against the buffer's size. No allocation, no
 * I/O, nothing is mapped; the buffer must outlive the view and must not
 * change. Used by the loader and by tools' tests. Trusted: see elfview.c.
 */
#ifndef ELF_ELFVIEW_H
#define ELF_ELFVIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ElfView {
	const unsigned char *bytes;
	size_t size;
	uint64_t entry;
	uint64_t phoff;
	unsigned phnum;
	uint64_t shoff;
	unsigned shnum; /* 0 when the file has no section headers */
};

struct ElfSegment {
	uint32_t type;  /* PT_* */
	uint32_t flags; /* PF_* */
	uint64_t offset;
	uint64_t vaddr;
	uint64_t filesz;
	uint64_t memsz;
	uint64_t align;
};

/* A symbol table and its strings: two ranges of the buffer, or copies of them. */
struct ElfSymtab {
	const unsigned char *symbols;
	size_t count;
	const char *strings;
	size_t strings_size; /* the last byte is 0, or there are none */
};

struct ElfSymbol {
	const char *name;
	uint64_t value;
	uint64_t size;
	unsigned type; /* STT_* */
};

/* Bytes of one symbol in ElfSymtab.symbols. */
enum { ELF_SYMBOL_SIZE = 24 };

/*
 * Checks that `bytes` is a static position-independent program for `machine`
 * (EM_*) and fills in the view. 0, or -1 with LFI_ERR_ELF saying what and where.
 */
int elfview_open(struct ElfView *view, const void *bytes, size_t size, unsigned machine);

/* Program header `index`, which is < view->phnum. All of its file range lies in the buffer. */
struct ElfSegment elfview_segment(const struct ElfView *view, unsigned index);

/* The first symbol table of section type `type` (SHT_SYMTAB, SHT_DYNSYM). False when there is none that is sound. */
bool elfview_symtab(const struct ElfView *view, uint32_t type, struct ElfSymtab *table);

/* Symbol `index`, which is < table->count. */
struct ElfSymbol elfview_symbol(const struct ElfSymtab *table, size_t index);

/* The first defined symbol of that name that is not thread-local. */
bool elfview_find(const struct ElfSymtab *table, const char *name, struct ElfSymbol *symbol);

/* The contents of the first note of that owner and type; NULL when there is none. */
const void *elfview_note(const struct ElfView *view, const char *owner, uint32_t type, size_t *size);

#endif
