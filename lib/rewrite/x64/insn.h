/* SPDX-License-Identifier: MIT */
/*
 * An x86-64 instruction in AT&T syntax: prefixes, mnemonic, operands, and the
 * table row that says what the rewriter has to know about the mnemonic. Not
 * trusted, and it shares nothing with the verifier's tables.
 */
#ifndef REWRITE_X64_INSN_H
#define REWRITE_X64_INSN_H

#include "unit.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, REG_NONE = -1 };

enum RegKind { REG_GPR, REG_HIGH, REG_IP, REG_VECTOR, REG_MASK, REG_SEGMENT, REG_X87, REG_OTHER };

struct Reg {
	enum RegKind kind;
	int number;
	int size; /* bytes */
};

enum OperandKind { OP_REG, OP_IMM, OP_MEM, OP_TARGET };

struct Operand {
	enum OperandKind kind;
	struct Str text;    /* as it will be written */
	const char *source; /* where it stands, for messages */
	bool star;
	struct Reg reg;
	struct Str decoration; /* {%k1}{z} and the like */
	/* OP_MEM */
	struct Str segment; /* register name without %, or empty */
	struct Str disp;
	bool has_base, has_index;
	struct Reg base, index;
	struct Str scale;
};

enum InsnClass {
	INSN_PLAIN,
	INSN_BAD, /* cannot be confined; `note` says why */
	INSN_JUMP,
	INSN_JCC, /* direct only */
	INSN_CALL,
	INSN_RETURN,
	INSN_SYSCALL,
	INSN_FREE, /* its memory operand is not dereferenced */
	INSN_LEA,
	INSN_PUSH,
	INSN_POP,
	INSN_LEAVE,
	INSN_ENTER,
	INSN_XLAT,
	INSN_BITTEST,
	INSN_EXCHANGE,
	INSN_STRING, /* without operands, or with memory operands only */
	INSN_GATHER,
};

enum InsnFlag {
	SUFFIX = 1,   /* may carry b, w, l, q */
	READS = 2,    /* writes none of its operands */
	CONFIRMS = 4, /* an operand disp(%rsp) is always accessed */
	LOADS = 8,    /* a general destination register is overwritten without being read */
	DST = 16,     /* string: writes or reads through rdi */
	SRC = 32,     /* string: reads through rsi */
	VEX = 64,     /* the same with a leading v */
	FLAGS = 128,  /* overwrites all status flags */
};

struct InsnRow {
	const char *name;
	enum InsnClass class;
	unsigned flags;
	const char *note;
};

enum { MAX_OPERANDS = 6 };

struct Insn {
	struct Statement *st;
	size_t index;
	struct Str prefixes; /* those that are kept, each followed by a space */
	struct Str rep;      /* rep, repe, repne or empty */
	bool lock;
	struct Str name;
	char suffix; /* the letter after the row's name, or 0 */
	const struct InsnRow *row;
	struct Operand op[MAX_OPERANDS];
	int count;
};

/* Parses the text. False, after an error message, when it is not understood. A prefix alone has an empty name. */
bool insn_parse(struct Unit *unit, size_t index, struct Str text, struct Insn *insn);

const struct InsnRow *insn_row(struct Str name, char *suffix);

/* `%rax` and the like, by number and size in bytes. */
const char *reg_name(int number, int size);

/* Whether the operand mentions general register `number`, of any size. */
bool operand_uses(const struct Operand *op, int number);
bool operand_is_reg(const struct Operand *op, int number);
bool insn_uses(const struct Insn *insn, int number);

#endif
