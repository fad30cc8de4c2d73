//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * A program's symbols, kept after its file is gone: copies of the tables as
 * they are in the file. Called by lfi_proc_load and lfi_proc_sym. Trusted.
 */
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elfview.h"
#include "error.h"
#include "load.h"

struct LoadSymbols {
	struct ElfSymtab symtab; /* point behind this struct */
	struct ElfSymtab dynsym;
};

static size_t
table_size(const struct ElfSymtab *table)
{
	return table->count * ELF_SYMBOL_SIZE + table->strings_size;
}

/* Points the table to `to`, where its bytes are copied; returns what follows them. */
static unsigned char *
copy_table(struct ElfSymtab *table, unsigned char *to)
{
	size_t symbols = table->count * ELF_SYMBOL_SIZE;

	if (symbols)
		memcpy(to, table->symbols, symbols);
	if (table->strings_size)
		memcpy(to + symbols, table->strings, table->strings_size);
	table->symbols = to;
	table->strings = (const char *) to + symbols;
	return to + table_size(table);
}

struct LoadSymbols *
load_symbols_new(const struct ElfView *view)
{
	struct ElfSymtab symtab, dynsym;
	struct LoadSymbols *symbols;

	elfview_symtab(view, SHT_SYMTAB, &symtab);
	elfview_symtab(view, SHT_DYNSYM, &dynsym);
	symbols = malloc(sizeof *symbols + table_size(&symtab) + table_size(&dynsym));
	if (!symbols) {
		error_set(LFI_ERR_NOMEM, "no memory for the program's symbols");
		return NULL;
	}
	symbols->symtab = symtab;
	symbols->dynsym = dynsym;
	copy_table(&symbols->dynsym, copy_table(&symbols->symtab, (unsigned char *) (symbols + 1)));
	return symbols;
}

void
load_symbols_free(struct LoadSymbols *symbols)
{
	free(symbols);
}

uint64_t
load_symbol(const struct LoadSymbols *symbols, const char *name)
{
	struct ElfSymbol symbol;

	if (symbols && (elfview_find(&symbols->symtab, name, &symbol) || elfview_find(&symbols->dynsym, name, &symbol)))
		return symbol.value;
	return 0;
}

void
load_functions(const struct LoadSymbols *symbols,
    void (*fn)(const char *name, uint64_t address, uint64_t size, void *user), void *user)
{
	struct ElfSymbol symbol;

	for (size_t i = 0; i < symbols->symtab.count; i++) {
		symbol = elfview_symbol(&symbols->symtab, i);
		if (symbol.type == STT_FUNC && symbol.value)
			fn(symbol.name, symbol.value, symbol.size, user);
	}
}

const char *
load_symbol_at(const struct LoadSymbols *symbols, uint64_t address, uint64_t *offset)
{
	struct ElfSymbol symbol;
	const char *name = NULL;
	uint64_t nearest = 0;

	for (size_t i = 0; i < symbols->symtab.count; i++) {
		symbol = elfview_symbol(&symbols->symtab, i);
		if (symbol.type != STT_FUNC || symbol.value > address || symbol.value < nearest || !*symbol.name)
			continue;
		name = symbol.name;
		nearest = symbol.value;
	}
	*offset = address - nearest;
	return name;
}

/* Names come from the file and messages go to terminals. */
static bool
is_printable(const char *name)
{
	while (*name > ' ' && *name < 0x7f)
		name++;
	return *name == 0;
}

bool
load_symbol_name(const struct LoadSymbols *symbols, uint64_t address, char *name, size_t room, uint64_t *offset)
{
	const char *found = load_symbol_at(symbols, address, offset);

	if (!found || !is_printable(found))
		return false;
	snprintf(name, room, "%s", found);
	return true;
}

bool
load_symbol_place(const struct LoadSymbols *symbols, uint64_t address, char place[LOAD_PLACE])
{
	uint64_t offset;
	char name[101];

	if (!load_symbol_name(symbols, address, name, sizeof name, &offset))
		return false;
	snprintf(place, LOAD_PLACE, "%s+0x%" PRIx64, name, offset);
	return true;
}
