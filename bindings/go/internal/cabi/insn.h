/* SPDX-License-Identifier: MIT */
/*
 * One decoded instruction, as the rules and the messages see it. Trusted.
 */
#ifndef X64_INSN_H
#define X64_INSN_H

#include "table.h"

/* General registers that the rules name. */
enum { RAX = 0, RCX = 1, RSP = 4, RSI = 6, RDI = 7, R11 = 11, R14 = 14, R15 = 15 };

#define PROTECTED (1u << RSP | 1u << R14 | 1u << R15)

/* In the place of a base or index register; an index can be one of 32 vector registers. */
enum { RIP = 32, NO_REG = 33 };

/* Prefix bytes seen. */
enum {
	P_66 = 1 << 0,
	P_67 = 1 << 1,
	P_F2 = 1 << 2,
	P_F3 = 1 << 3,
	P_LOCK = 1 << 4,
	P_GS = 1 << 5,
	P_CS = 1 << 6,      /* 2e */
	P_DS = 1 << 7,      /* 3e */
	P_REFUSED = 1 << 8, /* 26, 36, 64 */
};

enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8, EVEX_R = 16 };

/* An instruction has at most this many bytes. */
#define INSN_MAX 15

/* decode_x64 may look at so many bytes, whatever they are: prefixes, VEX, opcode, ModRM, SIB, displacement, immediate.
 */
#define DECODE_WINDOW 40

struct insn {
	const struct row *row;
	int64_t imm;
	int32_t disp;
	uint32_t pos;    /* in the region; the rules set it */
	uint16_t number; /* of the row */
	uint16_t prefixes;
	uint16_t written; /* protected registers that are operands and written, as bits */
	uint8_t size;
	uint8_t map, opcode;
	uint8_t rex;      /* W, R, X, B, also from VEX and EVEX; R' */
	bool rex_seen;    /* a REX prefix proper: byte registers 4 to 7 are spl to dil */
	bool vex, evex;   /* an EVEX instruction is both */
	uint8_t vex_l;    /* vector length: 128 bits << vex_l */
	uint8_t v;        /* VEX.vvvv, with V' */
	uint8_t mask;     /* EVEX.aaa, 0: all elements */
	bool zeroing;     /* EVEX.z */
	bool evex_b;      /* of memory one element for all; between registers rounding or no exceptions */
	uint8_t rounding; /* EVEX.L'L, also where vex_l is 2 for all of its values */
	uint8_t operand;  /* operand size in bytes: 2, 4, 8 */
	uint8_t digit;    /* ModRM.reg where it is part of the opcode */
	bool memory;      /* ModRM.rm (or a moffs) is memory: base, index, scale (if there is a SIB), disp */
	uint8_t reg, rm;  /* with REX.R and REX.B; rm is the low opcode bits' register where .op is used */
	uint8_t base, index, scale;
};

/*
 * Decodes one instruction at `bytes`, of which DECODE_WINDOW can be read. Returns LFI_RULE_NONE, or the rule that the
 * bytes break and why. Then insn->size is what was read so far.
 */
int decode_x64(const uint8_t *bytes, struct insn *insn, const char **reason);

/* Whether the row is a string instruction. */
static inline bool
is_string(const struct insn *insn)
{
	return insn->row->kind >= STOS && insn->row->kind <= LODS;
}

/* Bytes that the memory operand spans. */
unsigned memory_size_x64(const struct insn *insn);

/* Writes the instruction in AT&T style, terminated, to `text`. */
#define INSN_TEXT_MAX 128
void text_x64(const struct insn *insn, char text[INSN_TEXT_MAX]);

/* Writes bytes as ".byte 0x0f, 0x05", terminated. */
void text_bytes_x64(const uint8_t *bytes, unsigned size, char text[INSN_TEXT_MAX]);

#endif
