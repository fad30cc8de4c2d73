/* SPDX-License-Identifier: MIT */
/* What the files of lfi-verify share. */
#ifndef TOOLS_VERIFY_H
#define TOOLS_VERIFY_H

#include <elf.h>
#include <lfi/lfi_verify.h>
#include <stdatomic.h>
#include <stdio.h>

#define SANDBOX_SIZE ((uint64_t) 1 << 32)
#define JOBS_MAX 256u
#define TRAP 0xcc /* int3, with which the loader fills what the file leaves of a code page */

enum { ACCEPTED = 0, REFUSED = 1, UNREADABLE = 2 };

struct arguments {
	struct LFIVerifyOptions verify;
	size_t max_errors; /* of a file; 0 means all */
	uint64_t offset;   /* of flat code */
	unsigned jobs;
	unsigned split; /* threads for each region: more than one when there are fewer files than jobs */
	bool raw, quiet, json, features, stats, disassemble;
};

/* How far all threads are, for who watches. */
struct progress {
	_Atomic uint64_t bytes; /* of code that were verified */
	_Atomic size_t files;   /* that are done */
};

/* ---- mix.c ---- */

enum kind {
	KIND_MOVE,
	KIND_ARITHMETIC,
	KIND_COMPARE,
	KIND_ADDRESS,
	KIND_JUMP,
	KIND_BRANCH,
	KIND_CALL,
	KIND_STACK,
	KIND_STRING,
	KIND_VECTOR,
	KIND_X87,
	KIND_NOP,
	KIND_TRAP,
	KIND_OTHER,
	KIND_COUNT,
};

enum group {
	GROUP_JUMP,
	GROUP_RETURN,
	GROUP_CALL,
	GROUP_RUNTIME_CALL,
	GROUP_FAST_RETURN,
	GROUP_STACK,
	GROUP_STRING,
	GROUP_MEMORY,
	GROUP_COUNT,
};

enum operand { OPERAND_GS, OPERAND_STACK, OPERAND_RIP, OPERAND_CONTEXT, OPERAND_OTHER, OPERAND_COUNT };

/* What accepted code consists of. */
struct mix {
	uint64_t instructions, bytes;
	uint64_t padding; /* bytes of nops and traps */
	uint64_t kinds[KIND_COUNT], groups[GROUP_COUNT], operands[OPERAND_COUNT];
};

extern const char *const kind_names[KIND_COUNT], *const group_names[GROUP_COUNT], *const operand_names[OPERAND_COUNT];

/* Adds the instructions of accepted code. */
void mix_add(struct mix *mix, const uint8_t *code, size_t size);

/* ---- unit.c ---- */

/* One program, object or piece of flat code, and what its regions amount to. */
struct unit {
	const struct arguments *arguments;
	struct progress *progress;
	FILE *out, *err;
	const char *file;
	const char *member; /* of an archive, or NULL */
	const uint8_t *bytes;
	size_t size;
	const char *what; /* "program", "object", "flat", "archive" (without members) */

	/* The symbols of the ELF file, into its bytes; NULL when there are none. */
	const Elf64_Sym *symbols;
	size_t symbols_count;
	const char *strings;
	size_t strings_size;
	unsigned section; /* the one whose symbols are meant, 0: any */

	/* The region that is verified now. */
	const uint8_t *pages;
	size_t pages_size;
	uint64_t address;

	uint64_t code_bytes, instructions, cpu;
	uint32_t code;
	size_t violations;
	double seconds;
	struct mix mix;
	char error[512]; /* why it cannot be read */
};

/* Verifies what unit->bytes hold and prints what there is to say. ACCEPTED, REFUSED or UNREADABLE. */
int unit_verify(struct unit *unit);

/* Says why the unit cannot be read. UNREADABLE. */
int unreadable(struct unit *unit, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Verifies whole pages around the bytes at `address`, as the loader makes them. */
int region_verify(struct unit *unit, uint64_t address, const uint8_t *bytes, uint64_t size);

/* ---- split.c ---- */

/* lfi_verify over the unit's pages. */
int pages_judge(
    struct unit *unit, void *scratch, size_t scratch_size, LFIViolationFn fn, struct LFIVerifyReport *report);

/* ---- elf.c ---- */

/* The symbol at or below an address. */
struct place {
	const char *name; /* not terminated; NULL when there is none */
	int length;
	uint64_t offset;
};

int elf_verify(struct unit *unit);
struct place place_of(const struct unit *unit, uint64_t address);

/* ---- archive.c ---- */

bool archive_is(const uint8_t *bytes, size_t size);

/* Verifies each member of an archive; `like` says how. The worst of their results. */
int archive_verify(const struct unit *like, const uint8_t *bytes, size_t size);

/* ---- report.c ---- */

void report_begin(const struct unit *unit);
void report_violation(const struct unit *unit, const struct LFIViolation *violation);
void report_end(const struct unit *unit, int result);

/* What stands before and after all files, `status` being the exit status. */
void report_open(const struct arguments *arguments);
void report_close(const struct arguments *arguments, int status);

/* ---- disassemble.c ---- */

/* The lines of a disassembler for `size` bytes at `address`, or NULL. To be freed. */
char *disassemble(const uint8_t *code, size_t size, uint64_t address);

#endif
