/* SPDX-License-Identifier: MIT */
/*
 * What accepted code consists of, for --stats: a decoder of lengths, opcodes and operands, for the encodings that a
 * processor in 64-bit mode accepts. It judges nothing: the verifier has accepted the code, and has a decoder of its
 * own.
 */
#include <string.h>

#include "verify.h"

const char *const kind_names[KIND_COUNT] = {"move", "arithmetic", "compare", "address", "jump", "branch", "call",
    "stack", "string", "vector", "x87", "nop", "trap", "other"};
const char *const group_names[GROUP_COUNT] = {
    "jump", "return", "call", "runtime-call", "single-thread-return", "stack-pointer", "string", "memory"};
const char *const operand_names[OPERAND_COUNT] = {"gs", "stack", "rip", "context", "other"};

/* One instruction, as far as it matters. */
struct insn {
	const uint8_t *bytes;
	size_t size;
	unsigned map; /* 0: one byte, 1: 0f, 2: 0f 38, 3: 0f 3a, more: as EVEX counts */
	uint8_t opcode, modrm, rex;
	bool has_modrm, vector_prefix, evex, operand16, gs;
	int base, index; /* of a memory operand, -1: none */
	bool memory, rip;
};

/* ---- Lengths ---- */

/* One-byte opcodes with a ModRM byte: a bit each, a row per 16. */
static const uint16_t modrm0[16] = {
    0x0f0f, 0x0f0f, 0x0f0f, 0x0f0f, 0, 0, 0x0a08, 0, 0xffff, 0, 0, 0, 0x00c3, 0xff0f, 0, 0xc0c0};

/* Opcodes after 0f without one. */
static bool
lacks_modrm1(uint8_t op)
{
	return (op >= 0x05 && op <= 0x0b) || op == 0x0e || (op >= 0x30 && op <= 0x37) || op == 0x77 ||
	       (op & 0xf0) == 0x80 || (op >= 0xa0 && op <= 0xa2) || (op >= 0xa8 && op <= 0xaa) || op >= 0xff ||
	       (op >= 0xc8 && op <= 0xcf);
}

/* Bytes of the immediate or the branch's displacement. */
static size_t
immediate0(const struct insn *insn)
{
	size_t word = insn->operand16 && !(insn->rex & 8) ? 2 : 4;
	uint8_t op = insn->opcode;

	if (op < 0x40)
		return (op & 7) == 4 ? 1 : (op & 7) == 5 ? word : 0;
	if ((op >= 0x70 && op < 0x80) || op == 0x6a || op == 0x6b || op == 0x80 || op == 0x83 || op == 0xa8)
		return 1;
	if (op == 0x68 || op == 0x69 || op == 0x81 || op == 0xa9 || op == 0xc7)
		return word;
	if (op >= 0xb0 && op < 0xc0)
		return op < 0xb8 ? 1 : insn->rex & 8 ? 8 : word;
	if (op == 0xc0 || op == 0xc1 || op == 0xc6 || op == 0xeb || (op >= 0xe0 && op <= 0xe3))
		return 1;
	if (op == 0xe8 || op == 0xe9)
		return 4;
	if (op == 0xf6 || op == 0xf7)
		return insn->modrm >> 3 & 6 ? 0 : op == 0xf6 ? 1 : word; /* test */
	return 0;
}

static size_t
immediate1(const struct insn *insn)
{
	uint8_t op = insn->opcode;

	if ((op & 0xf0) == 0x80)
		return insn->vector_prefix ? 0 : 4;
	return (op >= 0x70 && op <= 0x73) || op == 0xa4 || op == 0xac || op == 0xba || op == 0xc2 || op == 0xc4 ||
	       op == 0xc5 || op == 0xc6;
}

static size_t
immediate(const struct insn *insn)
{
	if (insn->map == 0)
		return immediate0(insn);
	if (insn->map == 1)
		return immediate1(insn);
	return insn->map == 3;
}

static bool
has_modrm(const struct insn *insn)
{
	if (insn->map == 0)
		return modrm0[insn->opcode >> 4] >> (insn->opcode & 15) & 1;
	if (insn->map != 1)
		return true;
	return insn->vector_prefix ? insn->opcode != 0x77 : !lacks_modrm1(insn->opcode);
}

/* Takes ModRM, SIB and displacement. Bytes behind them. */
static const uint8_t *
take_operand(struct insn *insn, const uint8_t *p)
{
	unsigned mod, rm;

	insn->modrm = *p++;
	mod = insn->modrm >> 6;
	rm = insn->modrm & 7;
	if (mod == 3)
		return p;
	insn->memory = true;
	insn->base = (int) (rm | (insn->rex & 1) << 3);
	if (rm == 4) {
		unsigned index = (*p >> 3 & 7) | (unsigned) (insn->rex & 2) << 2;

		rm = *p & 7;
		insn->base = (int) (rm | (insn->rex & 1) << 3);
		insn->index = index == 4 ? -1 : (int) index;
		p++;
	} else if (rm == 5 && mod == 0) {
		insn->rip = true;
	}
	if (rm == 5 && mod == 0) {
		insn->base = -1;
		return p + 4;
	}
	return p + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

/* Takes VEX or EVEX. Bytes behind it. */
static const uint8_t *
take_vector_prefix(struct insn *insn, const uint8_t *p)
{
	uint8_t inverted;

	insn->vector_prefix = true;
	if (*p == 0xc5) {
		insn->map = 1;
		return p + 2;
	}
	insn->evex = *p == 0x62;
	inverted = (uint8_t) ~p[1];
	insn->rex = inverted >> 5; /* R, X, B */
	insn->map = insn->evex ? p[1] & 7 : p[1] & 31;
	return p + (insn->evex ? 4 : 3);
}

/* Takes legacy prefixes and REX. Bytes behind them. */
static const uint8_t *
take_prefixes(struct insn *insn, const uint8_t *p)
{
	for (;; p++) {
		switch (*p) {
		case 0x66:
			insn->operand16 = true;
			break;
		case 0x65:
			insn->gs = true;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x67:
		case 0xf0:
		case 0xf2:
		case 0xf3:
			break;
		default:
			if ((*p & 0xf0) == 0x40)
				insn->rex = *p++;
			return p;
		}
	}
}

static const uint8_t *
take_opcode(struct insn *insn, const uint8_t *p)
{
	if (*p == 0xc4 || *p == 0xc5 || *p == 0x62) {
		p = take_vector_prefix(insn, p);
	} else if (*p == 0x0f) {
		p++;
		insn->map = *p == 0x38 ? 2 : *p == 0x3a ? 3 : 1;
		p += insn->map > 1;
	}
	insn->opcode = *p;
	return p + 1;
}

/* The instruction at `bytes`, which has 16 bytes of room behind what it may need. */
static struct insn
decode(const uint8_t *bytes)
{
	struct insn insn = {.bytes = bytes, .base = -1, .index = -1};
	const uint8_t *p = take_opcode(&insn, take_prefixes(&insn, bytes));

	insn.has_modrm = has_modrm(&insn);
	if (insn.has_modrm)
		p = take_operand(&insn, p);
	insn.size = (size_t) (p - bytes) + immediate(&insn);
	return insn;
}

/* ---- Kinds ---- */

static enum kind
kind_ff(const struct insn *insn)
{
	static const enum kind kinds[8] = {
	    KIND_ARITHMETIC, KIND_ARITHMETIC, KIND_CALL, KIND_OTHER, KIND_JUMP, KIND_OTHER, KIND_STACK, KIND_OTHER};

	return kinds[insn->modrm >> 3 & 7];
}

static enum kind
kind0(const struct insn *insn)
{
	uint8_t op = insn->opcode;

	if (op < 0x40)
		return (op & 0x38) == 0x38 ? KIND_COMPARE : KIND_ARITHMETIC;
	if ((op >= 0x50 && op < 0x60) || op == 0x68 || op == 0x6a || op == 0x8f || op == 0x9c)
		return KIND_STACK;
	if ((op >= 0x70 && op < 0x80) || (op >= 0xe0 && op <= 0xe3))
		return KIND_BRANCH;
	if (op >= 0x80 && op < 0x84)
		return (insn->modrm >> 3 & 7) == 7 ? KIND_COMPARE : KIND_ARITHMETIC;
	if (op == 0x84 || op == 0x85 || op == 0xa8 || op == 0xa9)
		return KIND_COMPARE;
	if (op == 0x63 || (op >= 0x86 && op <= 0x8b) || (op >= 0xb0 && op < 0xc0) || op == 0xc6 || op == 0xc7)
		return KIND_MOVE;
	if (op == 0x8d)
		return KIND_ADDRESS;
	if (op == 0x90)
		return insn->rex & 1 ? KIND_MOVE : KIND_NOP;
	if ((op >= 0xa4 && op <= 0xa7) || (op >= 0xaa && op <= 0xaf))
		return KIND_STRING;
	if (op == 0xc3)
		return KIND_JUMP;
	if (op == 0xcc || op == 0xf4)
		return KIND_TRAP;
	if ((op >= 0xd8 && op <= 0xdf) || op == 0x9b)
		return KIND_X87;
	if (op == 0xe8)
		return KIND_CALL;
	if (op == 0xe9 || op == 0xeb)
		return KIND_JUMP;
	if (op == 0xf6 || op == 0xf7)
		return insn->modrm >> 3 & 6 ? KIND_ARITHMETIC : KIND_COMPARE;
	if (op == 0xfe)
		return KIND_ARITHMETIC;
	if (op == 0xff)
		return kind_ff(insn);
	return (op >= 0x91 && op <= 0x99) || op == 0x69 || op == 0x6b || op == 0xc0 || op == 0xc1 ||
		       (op >= 0xd0 && op <= 0xd3)
		   ? KIND_ARITHMETIC
		   : KIND_OTHER;
}

static enum kind
kind1(const struct insn *insn)
{
	uint8_t op = insn->opcode;

	if (op == 0x1f || op == 0x1e || op == 0x18 || op == 0x19)
		return op == 0x18 ? KIND_OTHER : KIND_NOP;
	if (op == 0x0b)
		return KIND_TRAP;
	if ((op & 0xf0) == 0x40 || (op & 0xfe) == 0xb6 || (op & 0xfe) == 0xbe)
		return KIND_MOVE;
	if ((op & 0xf0) == 0x80)
		return KIND_BRANCH;
	if ((op & 0xf0) == 0x90 || (op >= 0xa3 && op <= 0xa5) || (op >= 0xab && op <= 0xad) || op == 0xaf ||
	    (op >= 0xb0 && op <= 0xb3) || (op >= 0xb8 && op <= 0xbd) || (op & 0xfe) == 0xc0 || (op & 0xf8) == 0xc8)
		return KIND_ARITHMETIC;
	if (op == 0xa2 || op == 0xae || op == 0xc3 || op == 0xc7 || op == 0x31 || op == 0x01 || op == 0x0d)
		return KIND_OTHER;
	return KIND_VECTOR;
}

static enum kind
kind_of(const struct insn *insn)
{
	if (insn->map == 0)
		return kind0(insn);
	if (insn->vector_prefix)
		return insn->map == 2 && !insn->evex && insn->opcode >= 0xf2 && insn->opcode <= 0xf7 ? KIND_ARITHMETIC
												     : KIND_VECTOR;
	if (insn->map == 1)
		return kind1(insn);
	return insn->map == 2 && insn->opcode >= 0xf0 ? KIND_ARITHMETIC : KIND_VECTOR;
}

/* ---- Groups: each ends with an instruction that is accepted at the end of one only ---- */

static bool
is_stack_pointer_end(const struct insn *insn)
{
	const uint8_t *op = insn->bytes + insn->size - 3;

	if (insn->size == 3)
		return (insn->rex & 0xf8) == 0x48 &&
		       (memcmp(op + 1, "\x01\xf4", 2) == 0 || memcmp(op + 1, "\x09\xf4", 2) == 0 ||
			   memcmp(op + 1, "\x03\xe6", 2) == 0 || memcmp(op + 1, "\x0b\xe6", 2) == 0);
	return insn->map == 0 && insn->opcode == 0x8d && (insn->modrm & 0x38) == 0x20 && !(insn->rex & 4) &&
	       ((insn->base == 4 && insn->index == 14) || (insn->base == 14 && insn->index == 4));
}

/* Whether `insn`, the end of a masked jump, takes what was popped before its group. `last` are those before it. */
static bool
is_return(const struct insn *insn, const struct insn last[3])
{
	return last[2].map == 0 && (last[2].opcode & 0xf8) == 0x58 && (last[2].opcode & 7) == (insn->modrm & 7) &&
	       (last[2].rex & 1) == (insn->rex & 1);
}

static enum group
group_of(const struct insn *insn, const struct insn last[3])
{
	unsigned operation = insn->modrm >> 3 & 7;

	if (insn->map == 0 && insn->opcode == 0xff && (operation == 4 || operation == 2)) {
		if (insn->memory)
			return GROUP_RUNTIME_CALL;
		return operation == 2 ? GROUP_CALL : is_return(insn, last) ? GROUP_RETURN : GROUP_JUMP;
	}
	if (insn->map == 0 && insn->opcode == 0xc3)
		return GROUP_FAST_RETURN;
	if (is_stack_pointer_end(insn))
		return GROUP_STACK;
	if (insn->map == 0 && kind0(insn) == KIND_STRING)
		return GROUP_STRING;
	if (insn->memory && insn->base == 14 && insn->index >= 0 && kind_of(insn) != KIND_ADDRESS)
		return GROUP_MEMORY;
	return GROUP_COUNT;
}

static enum operand
operand_of(const struct insn *insn)
{
	return insn->gs           ? OPERAND_GS
	       : insn->rip        ? OPERAND_RIP
	       : insn->base == 4  ? OPERAND_STACK
	       : insn->base == 15 ? OPERAND_CONTEXT
				  : OPERAND_OTHER;
}

static void
insn_add(struct mix *mix, const struct insn *insn, const struct insn last[3])
{
	enum kind kind = kind_of(insn);
	enum group group = group_of(insn, last);

	mix->instructions++;
	mix->bytes += insn->size;
	mix->kinds[kind]++;
	if (group != GROUP_COUNT)
		mix->groups[group]++;
	if (kind == KIND_NOP || kind == KIND_TRAP)
		mix->padding += insn->size;
	else if (insn->memory && kind != KIND_ADDRESS)
		mix->operands[operand_of(insn)]++;
}

void
mix_add(struct mix *mix, const uint8_t *code, size_t size)
{
	struct insn insn, last[3] = {{0}};
	uint8_t tail[64];

	for (size_t at = 0; at < size; at += insn.size) {
		const uint8_t *from = code + at;

		if (size - at < 32) { /* a copy with room behind it */
			memset(tail, TRAP, sizeof tail);
			memcpy(tail, from, size - at);
			from = tail;
		}
		insn = decode(from);
		if (insn.size > size - at)
			break; /* no accepted code */
		insn_add(mix, &insn, last);
		last[2] = last[1];
		last[1] = last[0];
		last[0] = insn;
	}
}
