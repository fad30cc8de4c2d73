/* SPDX-License-Identifier: MIT */
/*
 * From a checked ELF view to mappings in a box, and a program's initial
 * stack. Uses the public box API only: the core verifies what becomes
 * executable. Trusted: see image.c and stack.c.
 */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

#include "lfi_core.h"

/* The note that lfi-cc puts into position-oblivious programs: owner "LFI" and this type. */
enum { LOAD_NOTE_OBLIVIOUS = 2 };

struct ElfView;
struct LoadSymbols;

/* A program in a box. Addresses are whole ones, whatever the box hands out. */
struct LoadImage {
	lfiptr bias;  /* what was added to the addresses in the file */
	lfiptr start; /* first page */
	lfiptr end;   /* one past the last page */
	lfiptr entry;
	lfiptr phdr; /* of its program headers in the sandbox; 0 when they are not loaded */
	unsigned phnum;
	bool oblivious; /* its note says that it never forms the upper half of an address; the box then knows */
};

/*
 * Checks `size` bytes of a program file for this machine and maps it at the
 * low end of the box. The bytes are not kept; its symbols are, and the caller
 * frees them. On error nothing of it stays mapped: LFI_ERR_ELF, LFI_ERR_NOMEM,
 * LFI_ERR_VERIFY, LFI_ERR_CPU, LFI_ERR_OS.
 */
int load_program(
    struct LFIBox *box, const void *bytes, size_t size, struct LoadImage *image, struct LoadSymbols **symbols);

/* The mapping part of load_program. */
int load_image(struct LFIBox *box, const struct ElfView *view, struct LoadImage *image);

/* Copies the view's symbol tables. NULL sets the error. */
struct LoadSymbols *load_symbols_new(const struct ElfView *view);
void load_symbols_free(struct LoadSymbols *symbols);

/* The address in the file of a symbol of .symtab, or else of .dynsym; 0 when there is none. */
uint64_t load_symbol(const struct LoadSymbols *symbols, const char *name);

/* The function of .symtab that begins last at or before that address, and how far it is; NULL when there is none. */
const char *load_symbol_at(const struct LoadSymbols *symbols, uint64_t address, uint64_t *offset);

/* As load_symbol_at; a name fit for a terminal, cut to `room` > 0 bytes with the NUL. False when there is none. */
bool load_symbol_name(const struct LoadSymbols *symbols, uint64_t address, char *name, size_t room, uint64_t *offset);

/* "name+0x12" for an address in the file, fit for a terminal; false when no function is known there. */
enum { LOAD_PLACE = 128 };
bool load_symbol_place(const struct LoadSymbols *symbols, uint64_t address, char place[LOAD_PLACE]);

/* Calls `fn` with each function of .symtab. */
void load_functions(const struct LoadSymbols *symbols,
    void (*fn)(const char *name, uint64_t address, uint64_t size, void *user), void *user);

/* What a stack starts with. */
struct LoadArgs {
	int argc;
	const char *const *argv;
	const char *const *envp; /* NULL-terminated; may be NULL */
	const char *execfn;
};

struct LoadStack {
	lfiptr start; /* of the mapping, guard included; a whole address, as sp */
	size_t size;
	lfiptr sp;
	bool low; /* the guard is not mapped */
};

/*
 * Maps `size` bytes with an inaccessible guard below; sp is the top. 0 or -1. The first stack goes right below the
 * program when it fits: then the guard is the sandbox's empty lower end, and both share page tables.
 */
int load_stack_map(struct LFIBox *box, size_t size, struct LoadStack *stack);
void load_stack_unmap(struct LFIBox *box, const struct LoadStack *stack);

/* Left free below a program, and a page for core's callback entries. */
enum { LOAD_STACK_ROOM = 2 * 1024 * 1024 };

/* Whether the address lies in the stack's guard. */
bool load_stack_guards(const struct LoadStack *stack, lfiptr address);

/*
 * Puts argc, argv, envp and the auxiliary vector on a fresh stack and lowers
 * sp to them. 0, or -1: LFI_ERR_INVALID when they take more than a quarter of it.
 */
int load_stack_fill(
    struct LFIBox *box, const struct LoadImage *image, const struct LoadArgs *args, struct LoadStack *stack);

#endif
