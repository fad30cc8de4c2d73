/* SPDX-License-Identifier: MIT */
/*
 * The rows of rows.h in the form that the quick walk (quick.c) reads, made from the rows when the library is built
 * (gen/compile.c). The first two bytes say which opcode table and which ModRM table (a line) are meant; an opcode's
 * word says what can matter, a line's word what this ModRM byte does; what happens is the bits that both have. Trusted.
 */
#ifndef X64_QUICK_H
#define X64_QUICK_H

#include "table.h"

/* In both words. The first is a number: bytes of ModRM, SIB, displacement, and of gs with the address size. */
#define Q_LENGTH 15u
#define Q_NO_BASE (1u << 4) /* ModRM.mod 0 with a SIB byte: 4 bytes more if its base is 5 */
#define Q_STACK (1u << 5)   /* (%rsp) or disp8(%rsp), dereferenced, if the SIB byte is 24 */

/* What the SIB byte makes of those two, moved up. */
#define Q_SIB_SHIFT 3
#define Q_ODD_BASE (Q_NO_BASE << Q_SIB_SHIFT)
#define Q_NOT_STACK (Q_STACK << Q_SIB_SHIFT)

#define Q_DIGIT_LOW (1u << 9)   /* the words do not tell the length when ModRM.reg is below 2 */
#define Q_DIGIT_HIGH (1u << 10) /* when it is 2 or more */
#define Q_STRANGE (Q_DIGIT_LOW | Q_DIGIT_HIGH)
#define Q_TOUCHES (1u << 11) /* dereferences something that is not plainly gs with the address size, or Q_STACK */
#define Q_SPECIAL (1u << 12) /* always */
#define Q_REG (1u << 13)     /* ModRM.reg is a protected register and written */
#define Q_RM (1u << 14)      /* so is ModRM.rm, as a register */
#define Q_LOW (1u << 15)     /* so is the register in the low opcode bits, without REX.B */
#define Q_HIGH (1u << 16)    /* with REX.B */
#define Q_DIGIT(digit) (1u << 17 << (digit)) /* ModRM.reg is this, which is not plain */
#define Q_MEM_FORM (1u << 25)                /* not plain with memory */
#define Q_REG_FORM (1u << 26)                /* not plain with a register */
#define Q_GS (1u << 27)                      /* gs, but nothing is dereferenced */

/* An instruction is plain if it has none of the bits from here on; their length is not known if one of Q_UNKNOWN. */
#define Q_EVENT Q_ODD_BASE
#define Q_UNKNOWN (Q_ODD_BASE | Q_STRANGE | Q_GS)

/* In an opcode's word only: its access near rsp confirms; it is a push or a pop; bytes up to the opcode and of the
 * immediate. */
#define Q_CONFIRM Q_ODD_BASE
#define Q_CLEAN Q_NOT_STACK
#define Q_SIZE_AT 28

/* `op`: where the opcode table begins, and in its low 6 bits how many bits are in front of the opcode. `line`: where
 * the line begins if there is no gs; bits 8 to 10 are REX.B, REX.X and REX.R. */
struct quick_pair {
	uint16_t op, line;
};

/* 65 67: bits of them, and how far up from the others the lines are that are meant after them. */
#define Q_GS_BITS 16u
#define Q_LINE_GS (8u << 8)

enum { Q_OPS = 13, Q_LINES = 16, Q_FIRSTS = 21 };

struct quick_tables {
	uint16_t first[256]; /* by the byte: where in `second` to look for the next */
	struct quick_pair second[Q_FIRSTS * 256];
	uint32_t opcode[Q_OPS * 256 + 256];
	uint32_t line[Q_LINES * 256];
	uint8_t sib[256]; /* Q_NO_BASE, Q_STACK */
	uint8_t branch[2]
		      [256]; /* by opcode, without and with 0f: bytes of a direct jump's or call's displacement, or 0 */
};
extern const struct quick_tables x64_quick __attribute__((visibility("hidden")));

#endif
