/* SPDX-License-Identifier: MIT */
/*
 * What a row of rows.h says, and how rows are found. Used by the x86-64 verifier only. Trusted.
 */
#ifndef X64_TABLE_H
#define X64_TABLE_H

#include "lfi_verify.h"

/* Opcode maps. Of each EVEX map there are two: EVEX.W tells instructions apart. */
enum { ONE, TWO, T38, T3A, V0F, V38, V3A, E0F, E0F_W1, E38, E38_W1, E3A, E3A_W1, E5, E5_W1, E6, E6_W1, MAPS };

/* An operand of a row: class, access, and for ModRM.rm which form it may take. */
enum {
	/* General registers: byte, 16, 32, 64 bits, by operand size, 32 or 64 by W, 64 or (with 66) 16. */
	Gb = 1,
	Gw,
	Gd,
	Gq,
	Gv,
	Gy,
	Gs,
	/* Vector registers of the instruction's length, and of 128 bits; MMX; x87; a half, a quarter, an eighth of the
	 * instruction's length; masks. */
	Vx = 8,
	Vo,
	Pq,
	St,
	Vh,
	Vf,
	Ve,
	K,
	CLASS = 15,
	R = 16,
	W = 32,
	RW = 48,
	MEM = 64,
	REG = 128,
};

/* Immediates: bytes, except that IZ and IV depend on the operand size. */
enum { IMM_NONE, IB, IZ, IV, REL8, REL32, MOFFS };

/* What the rules treat specially. ADD to LEA are the 16-, 32- and 64-bit forms only. */
enum {
	PLAIN,
	ADD,
	OR,
	AND,
	SUB,
	MOV,
	LEA,
	NOP,
	PUSH,
	POP,
	LEAVE,
	BRANCH,
	CALL,
	JMP_INDIRECT,
	CALL_INDIRECT,
	RET,
	STOS,
	SCAS,
	MOVS,
	CMPS,
	LODS,
	BITTEST,
	GATHER,
	IMPLICIT,
	RDTSC,
};

enum {
	LOCK = 1 << 0,    /* may carry `lock` when ModRM.rm is memory */
	MAYBE = 1 << 1,   /* does not always access its memory operand: no confirming access */
	FREE = 1 << 2,    /* does not dereference its memory operand */
	PAD = 1 << 3,     /* any number of 66 */
	NOREX = 1 << 4,   /* no REX */
	ADDR32 = 1 << 5,  /* may take the address-size prefix without a memory operand */
	RELAXED = 1 << 6, /* may take one 67 or one REX.W, as linkers leave them */
	O66 = 1 << 7,     /* may take 66 as operand size besides its mandatory prefix */
	NO66 = 1 << 8,    /* no 66 although others of its group take it */
	CX16 = 1 << 9,    /* with REX.W needs LFI_CPU_CX16 */
	L0 = 1 << 10,
	L1 = 1 << 11, /* VEX.L must be this; with EVEX, L1: 256 or 512 bits */
	W0 = 1 << 12,
	W1 = 1 << 13,   /* VEX.W must be this */
	CPUW = 1 << 14, /* .cpu256 is what W needs, instead of .cpu */

	/* EVEX only. */
	L2 = 1 << 15,       /* 512 bits */
	LIG = 1 << 16,      /* a scalar: of any length */
	BC = 1 << 17,       /* memory may be one element for all: 4 or 8 bytes by W */
	BC2 = 1 << 18,      /* the same, 2 bytes */
	ER = 1 << 19,       /* between registers b may set the rounding */
	SAE = 1 << 20,      /* between registers b may suppress exceptions */
	NOMASK = 1 << 21,   /* no mask */
	ELEMENTS = 1 << 22, /* .mem is one element, which disp8 counts; the access is up to the class of .rm */
	DISTINCT = 1 << 23, /* what is written is none of the sources */
};

/* .mem: 4 or 8 bytes by W; 8 bytes of 16, else the whole vector. */
#define BY_W 255
#define DUP 254

struct row {
	uint8_t rm, reg, v, op, acc;
	uint8_t imm;
	uint8_t mem;
	uint8_t kind;
	uint8_t only;
	uint8_t code;        /* enum LFICodeFlags */
	uint8_t cpu, cpu256; /* enum LFICpuFeature + 1 */
	uint32_t flags;
};

_Static_assert(sizeof(struct row) == 16, "rows are found by a shift");

/* An opcode's entry: 0, a row's number, or IN_GROUP and a group's number. Prefixes: none, 66, F3, F2. */
#define IN_GROUP 0x8000
extern const uint16_t x64_opcodes[MAPS][4][256];

/* A group's rows, by memory (0) or register (1) form and digit. */
extern const uint16_t x64_digits[][2][8];

extern const struct row x64_rows[];

/* The name of row `number` at this opcode or digit; not terminated, at `*size` bytes. For messages only. */
const char *x64_name(unsigned number, unsigned opcode, unsigned digit, unsigned *size);

#endif
