//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Bytes to struct insn, by the rows of rows.h. Knows how instructions are built, not what is safe, except that it
 * refuses what has no row and prefixes that are not needed. Trusted.
 *
 *   I1  The size is what every processor of both vendors uses. Encodings that they read differently have no row
 *       or are refused here.
 *   I2  `written` holds every protected register that an operand of the row writes; implicit writes other than
 *       to rsp never reach one.
 *   I3  Reads stay within DECODE_WINDOW bytes.
 */
#include "insn.h"

#include <string.h>

/* Segment overrides that do nothing in 64-bit mode may repeat: they pad. */
#define REPEATABLE (P_CS | P_DS)

static const uint16_t prefix_bits[256] = {
    [0x66] = P_66,
    [0x67] = P_67,
    [0xf2] = P_F2,
    [0xf3] = P_F3,
    [0xf0] = P_LOCK,
    [0x65] = P_GS,
    [0x2e] = P_CS,
    [0x3e] = P_DS,
    [0x26] = P_REFUSED,
    [0x36] = P_REFUSED,
    [0x64] = P_REFUSED,
};

struct cursor {
	const uint8_t *start, *p;
	struct insn *insn;
	const char *reason;
	bool repeated_66;
	bool group;     /* the row depends on ModRM */
	uint8_t select; /* mandatory prefix as index: none, 66, F3, F2 */
};

static int
refuse(struct cursor *c, int rule, const char *reason)
{
	c->insn->size = (uint8_t) (c->p - c->start > INSN_MAX ? INSN_MAX : c->p - c->start);
	c->reason = reason;
	return rule;
}

static int
legacy_prefixes(struct cursor *c)
{
	unsigned seen = 0, bit;

	while ((bit = prefix_bits[*c->p]) != 0) {
		if (seen & bit & P_66)
			c->repeated_66 = true;
		else if (seen & bit & ~REPEATABLE)
			return refuse(c, LFI_RULE_PREFIX, "prefix is repeated");
		seen |= bit;
		c->p++;
		if (c->p - c->start >= INSN_MAX) /* I3 */
			return refuse(c, LFI_RULE_DECODE, "longer than 15 bytes");
	}
	c->insn->prefixes = (uint16_t) seen;
	c->select = seen & P_F3 ? 2 : seen & P_F2 ? 3 : seen & P_66 ? 1 : 0;
	if (seen & P_REFUSED)
		return refuse(c, LFI_RULE_PREFIX, "segment override other than gs");
	if ((seen & (P_F2 | P_F3)) == (P_F2 | P_F3))
		return refuse(c, LFI_RULE_PREFIX, "both F2 and F3");
	if ((seen & P_GS) && (seen & (P_CS | P_DS)))
		return refuse(c, LFI_RULE_PREFIX, "gs with another segment override");
	return 0;
}

/* gs with the address size is what most prefixes are. */
static int
prefixes(struct cursor *c)
{
	uint16_t two = 0;
	int rule;

	memcpy(&two, c->p, 2);
	if ((two == 0x6765 || two == 0x6567) && !prefix_bits[c->p[2]]) {
		c->insn->prefixes = P_GS | P_67;
		c->p += 2;
	} else if (prefix_bits[*c->p] && (rule = legacy_prefixes(c))) {
		return rule;
	}
	if ((*c->p & 0xf0) == 0x40) {
		c->insn->rex = *c->p++ & 15;
		c->insn->rex_seen = true;
	}
	return 0;
}

static const uint8_t select_pp[4] = {0, 1, 2, 3};

/* C5 and C4: never anything else in 64-bit mode. */
static int
vex(struct cursor *c)
{
	struct insn *insn = c->insn;
	bool three = *c->p++ == 0xc4;
	unsigned first = *c->p++, last = first, map = 1;

	if (insn->rex_seen || (insn->prefixes & (P_66 | P_F2 | P_F3 | P_LOCK)))
		return refuse(c, LFI_RULE_PREFIX, "prefix in front of VEX");
	insn->rex = first & 0x80 ? 0 : REX_R;
	if (three) {
		last = *c->p++;
		map = first & 0x1f;
		insn->rex |=
		    (uint8_t) ((first & 0x40 ? 0 : REX_X) | (first & 0x20 ? 0 : REX_B) | (last & 0x80 ? REX_W : 0));
	}
	if (map < 1 || map > 3)
		return refuse(c, LFI_RULE_DECODE, "not an instruction");
	insn->vex = true;
	insn->vex_l = last >> 2 & 1;
	insn->v = (uint8_t) (~last >> 3 & 15);
	insn->map = (uint8_t) (V0F + map - 1);
	c->select = select_pp[last & 3];
	insn->opcode = *c->p++;
	return 0;
}

/* Of the bits that AVX-512 leaves reserved, APX and AVX10.2 make other instructions. I1. */
static int
evex_reserved(struct cursor *c, unsigned p0, unsigned p1)
{
	if (c->insn->rex_seen || (c->insn->prefixes & (P_66 | P_F2 | P_F3 | P_LOCK)))
		return refuse(c, LFI_RULE_PREFIX, "prefix in front of EVEX");
	if (p0 & 8 || !(p1 & 4))
		return refuse(c, LFI_RULE_DECODE, "reserved bit of EVEX");
	return 0;
}

/* 62: never anything else in 64-bit mode. R, X, B, R', vvvv and V' are inverted. */
static int
evex(struct cursor *c)
{
	static const uint8_t maps[8] = {[1] = E0F, [2] = E38, [3] = E3A, [5] = E5, [6] = E6};
	struct insn *insn = c->insn;
	unsigned p0 = c->p[1], p1 = c->p[2], p2 = c->p[3];
	int rule;

	c->p += 4;
	if ((rule = evex_reserved(c, p0, p1)))
		return rule;
	if (!maps[p0 & 7])
		return refuse(c, LFI_RULE_DECODE, "not an instruction");
	insn->vex = insn->evex = true;
	insn->rex = (uint8_t) ((p0 & 0x80 ? 0 : REX_R) | (p0 & 0x40 ? 0 : REX_X) | (p0 & 0x20 ? 0 : REX_B) |
			       (p0 & 0x10 ? 0 : EVEX_R) | (p1 & 0x80 ? REX_W : 0));
	insn->map = (uint8_t) (maps[p0 & 7] + (p1 >> 7));
	insn->v = (uint8_t) ((~p1 >> 3 & 15) | (p2 & 8 ? 0 : 16));
	c->select = select_pp[p1 & 3];
	insn->zeroing = p2 & 0x80;
	insn->vex_l = insn->rounding = p2 >> 5 & 3;
	insn->evex_b = p2 & 0x10;
	insn->mask = p2 & 7;
	insn->opcode = *c->p++;
	return 0;
}

static int
opcode(struct cursor *c)
{
	struct insn *insn = c->insn;
	unsigned byte = *c->p;

	if ((byte & 0xfe) == 0xc4)
		return vex(c);
	if (byte == 0x62)
		return evex(c);
	c->p++;
	insn->map = ONE;
	if (byte == 0x0f) {
		byte = *c->p++;
		insn->map = TWO;
		if (byte == 0x38 || byte == 0x3a) {
			insn->map = byte == 0x38 ? T38 : T3A;
			byte = *c->p++;
		}
	}
	insn->opcode = (uint8_t) byte;
	return 0;
}

static int
find_row(struct cursor *c)
{
	struct insn *insn = c->insn;
	unsigned entry = x64_opcodes[insn->map][c->select][insn->opcode];

	c->group = entry & IN_GROUP;
	if (c->group) {
		insn->digit = *c->p >> 3 & 7;
		entry = x64_digits[entry & ~IN_GROUP][*c->p >= 0xc0][insn->digit];
	}
	if (!entry)
		return refuse(c, LFI_RULE_INSTRUCTION, "instruction is not allowed");
	insn->number = (uint16_t) entry;
	insn->row = &x64_rows[entry];
	return 0;
}

/* Only for instructions with prefixes, and rows that are particular about them. */
static int
row_prefixes(struct cursor *c)
{
	struct insn *insn = c->insn;
	unsigned flags = insn->row->flags, seen = insn->prefixes;

	if (flags & NOREX && insn->rex_seen)
		return refuse(c, LFI_RULE_PREFIX, "REX is not allowed here");
	if (!insn->vex && c->select >= 2 && seen & P_66 && !(flags & O66) && !is_string(insn))
		return refuse(c, LFI_RULE_PREFIX, "66 with F2 or F3");
	if (flags & NO66 && seen & P_66)
		return refuse(c, LFI_RULE_PREFIX, "66 is not allowed here");
	if (c->repeated_66 && !(flags & PAD))
		return refuse(c, LFI_RULE_PREFIX, "prefix is repeated");
	if (flags & RELAXED && ((insn->rex_seen && insn->rex != REX_W) || (insn->rex_seen && seen & P_67)))
		return refuse(c, LFI_RULE_PREFIX, "REX is not allowed here");
	return 0;
}

static int
row_vex(struct cursor *c)
{
	struct insn *insn = c->insn;
	unsigned flags = insn->row->flags;

	if ((flags & L0 && insn->vex_l) || (flags & L1 && !insn->vex_l))
		return refuse(c, LFI_RULE_DECODE, "vector length does not exist");
	if ((flags & W0 && insn->rex & REX_W) || (flags & W1 && !(insn->rex & REX_W)))
		return refuse(c, LFI_RULE_DECODE, "VEX.W does not fit");
	if (!insn->row->v && insn->v)
		return refuse(c, LFI_RULE_DECODE, "VEX.vvvv is not used here");
	return 0;
}

/* EVEX.b: of memory, one element for all; between registers, rounding or no exceptions, then of 512 bits. */
static int
row_broadcast(struct cursor *c, bool memory)
{
	struct insn *insn = c->insn;
	unsigned flags = insn->row->flags;

	if (!(flags & (memory ? BC | BC2 : ER | SAE)))
		return refuse(c, LFI_RULE_DECODE, "EVEX.b is not used here");
	if (!memory)
		insn->vex_l = 2;
	return 0;
}

static int
row_mask(struct cursor *c, bool memory)
{
	struct insn *insn = c->insn;
	const struct row *row = insn->row;

	if (insn->mask ? row->flags & NOMASK : row->kind == GATHER)
		return refuse(c, LFI_RULE_DECODE, insn->mask ? "there is no mask here" : "there must be a mask here");
	if (insn->zeroing &&
	    (!insn->mask || row->kind == GATHER || (row->reg & (CLASS | W)) == (K | W) || (memory && row->rm & W)))
		return refuse(c, LFI_RULE_DECODE, "EVEX.z does not fit");
	return 0;
}

/* ModRM is next. A gather's V' is its index register's. */
static int
row_evex(struct cursor *c)
{
	struct insn *insn = c->insn;
	unsigned flags = insn->row->flags;
	bool memory = *c->p < 0xc0;
	int rule;

	if ((insn->evex_b && (rule = row_broadcast(c, memory))) || (rule = row_mask(c, memory)))
		return rule;
	if (insn->vex_l == 3 || (flags & L0 && insn->vex_l) || (flags & L1 && !insn->vex_l) ||
	    (flags & L2 && insn->vex_l != 2))
		return refuse(c, LFI_RULE_DECODE, "vector length does not exist");
	if (!insn->row->v && insn->v & (insn->row->kind == GATHER ? 15 : 31))
		return refuse(c, LFI_RULE_DECODE, "EVEX.vvvv is not used here");
	return 0;
}

/* There are 16 general and 8 mask registers; what other numbers mean is not the same everywhere. I1. */
static bool
exists(unsigned operand, unsigned number)
{
	unsigned class = operand & CLASS;

	return class == K ? number < 8 : class >= Vx || number < 16;
}

static int
vex_registers(struct cursor *c)
{
	const struct insn *insn = c->insn;
	const struct row *row = insn->row;

	if (!exists(row->reg, insn->reg) || (row->v && !exists(row->v, insn->v)) ||
	    (!insn->memory && !exists(row->rm, insn->rm)))
		return refuse(c, LFI_RULE_DECODE, "register does not exist");
	return 0;
}

static bool
gather_repeats(const struct insn *insn)
{
	if (insn->row->v && (insn->reg == insn->v || insn->v == insn->index))
		return true;
	return insn->row->reg & W && insn->reg == insn->index;
}

static int
distinct_registers(struct cursor *c)
{
	const struct insn *insn = c->insn;

	if (insn->row->kind == GATHER && gather_repeats(insn))
		return refuse(c, LFI_RULE_DECODE, "gather with the same register twice");
	if (insn->row->flags & DISTINCT && (insn->reg == insn->v || (!insn->memory && insn->reg == insn->rm)))
		return refuse(c, LFI_RULE_DECODE, "writes one of its sources");
	return 0;
}

/* What an 8-bit displacement counts: bytes, with EVEX what is accessed, or elements. */
static int
disp8_unit(const struct insn *insn)
{
	if (!insn->evex)
		return 1;
	if (insn->row->flags & ELEMENTS && insn->row->mem != BY_W)
		return insn->row->mem;
	if (insn->row->flags & ELEMENTS)
		return insn->rex & REX_W ? 8 : 4;
	return (int) memory_size_x64(insn);
}

/* After ModRM in memory form. SIB without base means disp32; so does ModRM without base, relative to rip. */
static int
memory(struct cursor *c, unsigned modrm)
{
	struct insn *insn = c->insn;
	unsigned mod = modrm >> 6, low = modrm & 7;
	bool wide = mod == 2;

	insn->memory = true;
	insn->index = NO_REG;
	insn->base = (uint8_t) (low | (insn->rex & REX_B) << 3);
	if (low == 4) {
		unsigned sib = *c->p++;
		unsigned index = (sib >> 3 & 7) | (insn->rex & REX_X) << 2;

		insn->scale = (uint8_t) (1 << (sib >> 6));
		insn->base = (uint8_t) ((sib & 7) | (insn->rex & REX_B) << 3);
		if (insn->row->kind == GATHER)
			insn->index = (uint8_t) (index | (insn->evex ? insn->v & 16 : 0));
		else if (index != 4)
			insn->index = (uint8_t) index;
		if ((sib & 7) == 5 && mod == 0) {
			insn->base = NO_REG;
			wide = true;
		}
	} else if (insn->row->kind == GATHER) {
		return refuse(c, LFI_RULE_DECODE, "gather without an index");
	} else if (low == 5 && mod == 0) {
		insn->base = RIP;
		wide = true;
	}
	if (wide) {
		memcpy(&insn->disp, c->p, 4);
		c->p += 4;
	} else if (mod == 1) {
		insn->disp = (int8_t) *c->p++ * disp8_unit(insn);
	}
	return 0;
}

static int
modrm(struct cursor *c)
{
	struct insn *insn = c->insn;
	const struct row *row = insn->row;
	unsigned byte = *c->p++;

	insn->reg = (uint8_t) ((byte >> 3 & 7) | (insn->rex & REX_R) << 1 | (insn->rex & EVEX_R));
	if (byte < 0xc0) {
		if (row->rm & REG || row->only)
			return refuse(c, LFI_RULE_INSTRUCTION, "instruction is not allowed");
		return memory(c, byte);
	}
	if (row->rm & MEM || (row->only && !(row->only >> (byte & 7) & 1)))
		return refuse(c, LFI_RULE_INSTRUCTION, "instruction is not allowed");
	insn->rm = (uint8_t) ((byte & 7) | (insn->rex & REX_B) << 3 | (insn->evex ? (insn->rex & REX_X) << 3 : 0));
	return 0;
}

/* A moffs is a memory operand without any register; it takes the address size. */
static void
moffs(struct cursor *c)
{
	struct insn *insn = c->insn;

	insn->memory = true;
	insn->base = insn->index = NO_REG;
	c->p += insn->prefixes & P_67 ? 4 : 8;
}

/* Bytes by kind and by operand size: 2, 4, 8 at 1, 2, 4. */
static const uint8_t immediate_sizes[][5] = {
    [IMM_NONE] = {0},
    [IB] = {0, 1, 1, 0, 1},
    [IZ] = {0, 2, 4, 0, 4},
    [IV] = {0, 2, 4, 0, 8},
    [REL8] = {0, 1, 1, 0, 1},
    [REL32] = {0, 4, 4, 0, 4},
    [MOFFS] = {0},
};

/* 1 to 8 bytes, sign-extended. */
static int64_t
read_signed(const uint8_t *p, unsigned size)
{
	unsigned unused = 64 - 8 * size;
	uint64_t bytes;

	memcpy(&bytes, p, 8);
	return (int64_t) (bytes << unused) >> unused;
}

static void
immediate(struct cursor *c)
{
	struct insn *insn = c->insn;
	unsigned size = immediate_sizes[insn->row->imm][insn->operand / 2];

	if (size) {
		insn->imm = read_signed(c->p, size);
		c->p += size;
	} else {
		moffs(c);
	}
}

/* lock, gs and the address size are tied to a memory operand; all of them count. */
static int
prefixes_fit(struct cursor *c)
{
	struct insn *insn = c->insn;
	unsigned flags = insn->row->flags, seen = insn->prefixes;

	if (seen & P_LOCK && (!(flags & LOCK) || !insn->memory))
		return refuse(c, LFI_RULE_PREFIX, "lock is not allowed here");
	if (seen & (P_GS | P_67) && !insn->memory && !is_string(insn)) {
		if (seen & P_GS || !(flags & (ADDR32 | RELAXED)))
			return refuse(c, LFI_RULE_PREFIX, "segment or address-size prefix without a memory operand");
	}
	if (c->p - c->start > INSN_MAX)
		return refuse(c, LFI_RULE_DECODE, "longer than 15 bytes");
	return 0;
}

static unsigned
written_by(const struct insn *insn, unsigned operand, unsigned number)
{
	if ((operand & CLASS) >= Vx || !(operand & W))
		return 0;
	if ((operand & CLASS) == Gb && !insn->rex_seen)
		number &= 3; /* al to bl, ah to bh */
	return 1u << number;
}

static const uint8_t is_protected[32] = {[RSP] = 1, [R14] = 1, [R15] = 1};

/* I2. Few instructions have one of those registers as an operand at all. */
static void
find_written(struct insn *insn)
{
	const struct row *row = insn->row;
	unsigned written;

	if (!(is_protected[insn->reg] | is_protected[insn->rm] | is_protected[insn->v]))
		return;
	written = written_by(insn, row->reg, insn->reg) | written_by(insn, row->op, insn->rm);

	if (!insn->memory)
		written |= written_by(insn, row->rm, insn->rm);
	if (row->v)
		written |= written_by(insn, row->v, insn->v);
	insn->written = (uint16_t) (written & PROTECTED);
}

static bool
has_modrm(const struct cursor *c, const struct row *row)
{
	return (c->group | row->rm | row->reg) && row->imm != MOFFS;
}

/* REX.W goes before 66. */
static const uint8_t operand_sizes[] = {[0] = 4, [P_66] = 2, [REX_W] = 8, [REX_W | P_66] = 8};

static int
decode(struct cursor *c)
{
	struct insn *insn = c->insn;
	int rule;

	if ((rule = prefixes(c)) || (rule = opcode(c)) || (rule = find_row(c)))
		return rule;
	if ((insn->prefixes || insn->row->flags & (NOREX | RELAXED)) && (rule = row_prefixes(c)))
		return rule;
	if (insn->vex && (rule = insn->evex ? row_evex(c) : row_vex(c)))
		return rule;
	insn->operand = operand_sizes[(insn->rex & REX_W) | (insn->prefixes & P_66)];
	if (has_modrm(c, insn->row)) {
		if ((rule = modrm(c)))
			return rule;
		if (insn->vex && ((rule = vex_registers(c)) || (rule = distinct_registers(c))))
			return rule;
	} else if (insn->row->op) {
		insn->rm = (uint8_t) ((insn->opcode & 7) | (insn->rex & REX_B) << 3);
	}
	if (insn->row->imm)
		immediate(c);
	if (insn->prefixes && (rule = prefixes_fit(c))) /* nothing without prefixes is too long */
		return rule;
	insn->size = (uint8_t) (c->p - c->start);
	find_written(insn);
	return LFI_RULE_NONE;
}

int
decode_x64(const uint8_t *bytes, struct insn *insn, const char **reason)
{
	struct cursor c = {.start = bytes, .p = bytes, .insn = insn};
	int rule;

	memset(insn, 0, sizeof *insn);
	rule = decode(&c);
	*reason = c.reason;
	return rule;
}

static unsigned
class_size(const struct insn *insn, unsigned class)
{
	switch (class) {
	case Gb:
		return 1;
	case Gw:
		return 2;
	case Gd:
		return 4;
	case Gv:
		return insn->operand;
	case Gy:
		return insn->rex & REX_W ? 8 : 4;
	case Gs:
		return insn->operand == 2 ? 2 : 8;
	case Vx:
		return 16u << insn->vex_l;
	case Vh:
		return 8u << insn->vex_l;
	case Vf:
		return 4u << insn->vex_l;
	case Ve:
		return 2u << insn->vex_l;
	case Vo:
		return 16;
	default:
		return 8;
	}
}

unsigned
memory_size_x64(const struct insn *insn)
{
	const struct row *row = insn->row;
	unsigned size = row->mem, element = insn->rex & REX_W ? 8 : 4;

	if (insn->evex_b)
		return row->flags & BC2 ? 2 : element;
	if (size == BY_W && !(row->flags & ELEMENTS))
		return element;
	if (size == DUP && !insn->vex_l)
		return 8;
	return size && size < DUP && !(row->flags & ELEMENTS) ? size : class_size(insn, row->rm & CLASS);
}
