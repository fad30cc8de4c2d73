/* SPDX-License-Identifier: MIT */
/*
 * Encodings for the oracles: prefixes x opcode x ModRM x classes of SIB, for each of the ways to encode an
 * instruction, where the verifier's decoder has a row at all. See oracle.h.
 */
#include "oracle.h"

#include <string.h>

#include "insn.h"

const char *const part_names[PARTS] = {"legacy", "vex", "evex", "random"};

struct space {
	uint64_t seed;
	unsigned turn; /* whose share the next combination is */
	struct sample sample;
	EncodingFn fn;
	void *user;
	bool stop;
};

struct bytes {
	uint8_t at[48];
	unsigned size;
};

/* xorshift64; multiplied, since bit 0 of one state is bit 0 and bit 7 of the one before, and so on. */
static uint64_t
random64(struct space *s)
{
	uint64_t x;

	s->seed ^= s->seed << 13;
	s->seed ^= s->seed >> 7;
	s->seed ^= s->seed << 17;
	x = s->seed * 0x2545f4914f6cdd1d;
	return x ^ x >> 32;
}

/* More than the longest instruction; the rest, which may be read, is 0. */
static void
fill_random(struct space *s, struct bytes *b)
{
	memset(b->at, 0, sizeof b->at);
	for (unsigned i = 0; i < 16; i += 8) {
		uint64_t x = random64(s);

		memcpy(b->at + i, &x, 8);
	}
	b->size = 0;
}

static void
put(struct bytes *b, unsigned byte)
{
	b->at[b->size++] = (uint8_t) byte;
}

/* What the decoder makes of `b`, which ends with an opcode, with this ModRM and SIB. */
static int
decode(const struct bytes *b, unsigned modrm, unsigned sib, struct insn *insn)
{
	uint8_t bytes[DECODE_WINDOW] = {0};
	const char *reason;

	memcpy(bytes, b->at, b->size);
	bytes[b->size] = (uint8_t) modrm;
	bytes[b->size + 1] = (uint8_t) sib;
	return decode_x64(bytes, insn, &reason);
}

/* Which row it is may depend on ModRM, but only on what tells the rows of a group apart. */
static bool
has_row(const struct bytes *b)
{
	struct insn insn;

	for (unsigned i = 0; i < 16; i++) {
		decode(b, i << 3 | (i & 8 ? 0xc0 : 0), 0, &insn);
		if (insn.row)
			return true;
	}
	return false;
}

/*
 * Whether it is an instruction with some ModRM. All between registers; memory with each .reg, since that can be a part
 * of the opcode, and with SIB, since a gather must have one; its index twice, since it must not be another operand.
 */
static bool
is_some_instruction(const struct bytes *b)
{
	struct insn insn;

	if (!has_row(b))
		return false;
	for (unsigned reg = 0; reg < 8; reg++)
		if (!decode(b, reg << 3 | 4, 0x10, &insn) || !decode(b, reg << 3 | 4, 0x18, &insn))
			return true;
	for (unsigned modrm = 0xc0; modrm < 0x100; modrm++)
		if (!decode(b, modrm, 0, &insn))
			return true;
	return false;
}

static void
give(struct space *s, const struct bytes *b)
{
	if (!s->stop && !s->fn(b->at, s->user))
		s->stop = true;
}

/* Base and index of a SIB byte: each of the special ones with each. */
static const uint8_t sibs[] = {0x20, 0x24, 0x25, 0x00, 0x04, 0x05, 0x2c, 0x2d, 0x3e, 0x13, 0x0c, 0x35};

/* `b` ends with an opcode. What follows is random, with every ModRM, and with those that have a SIB every class of it.
 */
static void
every_operand(struct space *s, const struct bytes *b)
{
	for (unsigned modrm = 0; modrm < 256 && !s->stop; modrm++) {
		bool sib = modrm < 0xc0 && (modrm & 7) == 4;
		struct bytes all;

		fill_random(s, &all);
		memcpy(all.at, b->at, b->size);
		all.at[b->size] = (uint8_t) modrm;
		if (!sib)
			give(s, &all);
		for (unsigned i = 0; sib && i < sizeof sibs; i++) {
			all.at[b->size + 1] = (uint8_t) ((random64(s) & 0xc0) | sibs[i]);
			give(s, &all);
		}
	}
}

/* Of bytes that are all random. */
#define RANDOMS 100000000u

struct prefixes {
	uint8_t size, bytes[5];
};

static const struct prefixes prefix_rows[] = {
    {0, {0}},
    {1, {0x66}},
    {1, {0xf3}},
    {1, {0xf2}},
    {1, {0x2e}},
    {1, {0x3e}},
    {2, {0x3e, 0x2e}},
    {1, {0x67}},
    {2, {0x65, 0x67}},
    {2, {0x67, 0x65}},
    {3, {0x65, 0x67, 0x66}},
    {3, {0x65, 0x67, 0xf3}},
    {3, {0x65, 0x67, 0xf2}},
    {3, {0xf0, 0x65, 0x67}},
    {4, {0xf0, 0x65, 0x67, 0x66}},
    {2, {0xf0, 0x66}},
    {1, {0xf0}},
    {2, {0x66, 0xf3}},
    {2, {0x66, 0xf2}},
    {3, {0x66, 0x66, 0x2e}},
    {1, {0x65}},
};

#define PREFIX_ROWS (sizeof prefix_rows / sizeof prefix_rows[0])

static const struct prefixes maps[] = {{0, {0}}, {1, {0x0f}}, {2, {0x0f, 0x38}}, {2, {0x0f, 0x3a}}};

static void
put_prefixes(struct bytes *b, const struct prefixes *prefixes)
{
	for (unsigned i = 0; i < prefixes->size; i++)
		put(b, prefixes->bytes[i]);
}

/* An opcode; prefixes can be a part of it, and W. */
struct opcode {
	unsigned map, opcode, pp, w;
	const struct prefixes *prefixes;
};

/* The nth of the combinations of prefixes that an opcode can have, and the opcode. */
typedef void (*PutFn)(struct space *s, const struct opcode *opcode, unsigned n, struct bytes *b);

struct way {
	PutFn put;
	unsigned count;
	unsigned set, clear; /* bits of n: of vvvv and V' that are not used, and of no mask */
};

/* One of a share's. */
static bool
is_in_share(struct space *s)
{
	bool here = s->turn == s->sample.share;

	s->turn = s->turn + 1 == s->sample.shares ? 0 : s->turn + 1;
	return here;
}

/* At random until one is an instruction. */
static void
some_combination(struct space *s, const struct opcode *opcode, const struct way *way, bool plain)
{
	for (unsigned tries = 0; tries < 4096; tries++) {
		unsigned n = (unsigned) (random64(s) % way->count);
		struct bytes b = {.size = 0};

		way->put(s, opcode, plain ? (n | way->set) & ~way->clear : n, &b);
		if (is_some_instruction(&b)) {
			every_operand(s, &b);
			return;
		}
	}
}

static void
combinations(struct space *s, const struct opcode *opcode, const struct way *way)
{
	struct bytes first = {.size = 0};

	way->put(s, opcode, 0, &first);
	if (!has_row(&first))
		return;
	if (s->sample.every > 1) {
		for (unsigned i = 0; i <= way->count / s->sample.every && !s->stop; i++)
			some_combination(s, opcode, way, i % 2);
		return;
	}
	for (unsigned n = 0; n < way->count && !s->stop; n++) {
		struct bytes b = {.size = 0};

		if (!is_in_share(s))
			continue;
		way->put(s, opcode, n, &b);
		if (is_some_instruction(&b))
			every_operand(s, &b);
	}
}

/* REX: none, then all 16. */
static void
put_legacy(struct space *s, const struct opcode *opcode, unsigned n, struct bytes *b)
{
	put_prefixes(b, opcode->prefixes);
	if (n)
		put(b, 0x3f + n);
	put_prefixes(b, &maps[opcode->map]);
	put(b, opcode->opcode);
}

static void
legacy(struct space *s)
{
	static const struct way way = {.put = put_legacy, .count = 17};

	for (unsigned i = 0; i < 256 * 4 * PREFIX_ROWS; i++) {
		struct opcode opcode = {.prefixes = &prefix_rows[i % PREFIX_ROWS],
		    .map = i / PREFIX_ROWS % 4,
		    .opcode = i / PREFIX_ROWS / 4};

		combinations(s, &opcode, &way);
	}
}

/* gs and the address size in front of half of them, so that memory operands are of both kinds. */
static void
put_some_gs(struct space *s, struct bytes *b)
{
	uint64_t x = random64(s);

	if (x & 1) {
		put(b, 0x65);
		put(b, 0x67);
	} else if ((x & 0x1e) == 0) {
		put(b, 0x2e);
	}
}

/* R, X, B inverted; map; W; vvvv; L; pp. Map 0: the first, in the short form where X, B, W are clear. */
static void
put_vex(struct space *s, const struct opcode *opcode, unsigned n, struct bytes *b)
{
	unsigned l = n % 2, vvvv = n / 2 % 16, rxb = n / 32;

	put_some_gs(s, b);
	if (opcode->map == 0 && (rxb & 3) == 3 && !opcode->w) {
		put(b, 0xc5);
		put(b, (rxb & 4) << 5 | vvvv << 3 | l << 2 | opcode->pp);
	} else {
		put(b, 0xc4);
		put(b, rxb << 5 | (opcode->map ? opcode->map : 1));
		put(b, opcode->w << 7 | vvvv << 3 | l << 2 | opcode->pp);
	}
	put(b, opcode->opcode);
}

static void
vex(struct space *s)
{
	static const struct way way = {.put = put_vex, .count = 2 * 16 * 8, .set = 15 << 1};

	for (unsigned i = 0; i < 256 * 4 * 2 * 4; i++) {
		struct opcode opcode = {.map = i % 4, .w = i / 4 % 2, .pp = i / 8 % 4, .opcode = i / 32};

		combinations(s, &opcode, &way);
	}
}

/*
 * map; W; pp; vvvv; z, L'L, b, V', aaa as a byte; R, X, B, R' inverted. One in 16 has a reserved bit as it must not be,
 * the first has not.
 */
static void
put_evex(struct space *s, const struct opcode *opcode, unsigned n, struct bytes *b)
{
	unsigned vvvv = n / 256 % 16, rxb = n / 4096, reserved = n ? (unsigned) random64(s) & 31 : 0;

	put_some_gs(s, b);
	put(b, 0x62);
	put(b, rxb << 4 | (reserved == 1) << 3 | opcode->map);
	put(b, opcode->w << 7 | vvvv << 3 | (reserved != 2) << 2 | opcode->pp);
	put(b, n & 255);
	put(b, opcode->opcode);
}

/* Opcode outermost: the shapes of one have been seen when the next one comes. */
static void
evex(struct space *s)
{
	static const struct way way = {.put = put_evex, .count = 256 * 16 * 16, .set = 15 << 8 | 8, .clear = 0x87};

	for (unsigned i = 0; i < 256 * 8 * 2 * 4; i++) {
		struct opcode opcode = {.pp = i % 4, .w = i / 4 % 2, .map = i / 8 % 8, .opcode = i / 64};

		combinations(s, &opcode, &way);
	}
}

static void
random_bytes(struct space *s)
{
	uint64_t count = RANDOMS / s->sample.every / s->sample.shares;

	for (uint64_t n = 0; n < count && !s->stop; n++) {
		struct bytes b;

		fill_random(s, &b);
		give(s, &b);
	}
}

void
enumerate(enum part part, struct sample sample, EncodingFn fn, void *user)
{
	struct space s = {.seed = sample.seed * 2 + 1, .sample = sample, .fn = fn, .user = user};

	for (int i = 0; i < 8; i++)
		random64(&s);
	switch (part) {
	case LEGACY:
		legacy(&s);
		break;
	case VEX:
		vex(&s);
		break;
	case EVEX:
		evex(&s);
		break;
	default:
		random_bytes(&s);
		break;
	}
}
