/* SPDX-License-Identifier: MIT */
/*
 * Disassemblers of others, asked about what our decoder accepts, and the encodings to ask about. For
 * c/verify/oracle.c, a sample that runs with the tests, and for lfi-oracle (main.c), which runs as long as it may.
 */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct insn;

/*
 * What the oracle sees otherwise than `insn`, which decode_x64 made of `bytes`: length, memory operand, writes of
 * protected registers; NULL when it agrees. 15 bytes can be read. In each file stands what the oracle is known to
 * get wrong, with the reason.
 */
typedef const char *(*OracleFn)(const uint8_t *bytes, const struct insn *insn);

const char *zydis_differs(const uint8_t *bytes, const struct insn *insn);
const char *binutils_differs(const uint8_t *bytes, const struct insn *insn);
const char *llvm_differs(const uint8_t *bytes, const struct insn *insn);

/* Which of them are linked; in the order zydis, binutils, llvm. Asking a slow one takes microseconds. */
struct oracle {
	const char *name;
	OracleFn differs;
	bool slow;
};
extern const struct oracle oracles[];
extern const unsigned oracle_count;

/* What insn.h keeps to C: for the oracle that is C++. */
struct seen {
	uint8_t size;
	bool memory, free_memory, string;
	bool moves_rsp; /* without saying so in an operand */
	bool written_memory;
	bool hint;               /* a prefetch */
	bool evex, w, f3, fwait; /* for what an oracle gets wrong */
	uint8_t map, opcode;     /* as VEX and EVEX number maps */
	uint8_t length;          /* EVEX.L'L */
	bool b;
	uint8_t base, index; /* ORACLE_RIP, ORACLE_NONE, or a number */
	uint8_t scale;
	int32_t disp;
	bool gs;
	uint16_t written; /* protected registers */
	bool moffs;
};
enum { ORACLE_RIP = 32, ORACLE_NONE = 33 };
struct seen seen_by_us(const struct insn *insn);

/*
 * Encodings, one at a time: every combination of what an instruction is made of, with displacements, immediates and
 * what else has too many values at random. Combinations of prefixes and opcode that are no instruction with any operand
 * are left out. The function returns false to end it.
 */
typedef bool (*EncodingFn)(const uint8_t *bytes, void *user);

/*
 * Which combinations of prefixes and opcode. `every` 1: each that is in the share. Otherwise of each opcode so many at
 * random: one more than an `every`th of the combinations it can have; of those every other one without what few
 * instructions have, masks and VEX.vvvv.
 */
struct sample {
	uint64_t seed; /* of all that is random */
	unsigned every, share, shares;
};

enum part { LEGACY, VEX, EVEX, RANDOM, PARTS };
extern const char *const part_names[PARTS];
void enumerate(enum part part, struct sample sample, EncodingFn fn, void *user);

/*
 * Whether no instruction of this shape was asked about before: the same but for the numbers of registers within a
 * class, displacement and immediate. True again and again for some; never false for a new one.
 */
bool is_new_shape(const struct insn *insn);

/* Compares each instruction of objects that compilers made; prints. 0: all are known and nothing differs. */
int ask_about_objects(int count, char **names);

#ifdef __cplusplus
}
#endif

#endif
