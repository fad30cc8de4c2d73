/* SPDX-License-Identifier: MIT */
/*
 * Encodings for the oracles: prefixes x opcode x ModRM x classes of SIB, for each of the ways to encode an
 * instruction. See oracle.h.
 */
#include "oracle.h"

#include <string.h>

const char *const part_names[PARTS] = {"legacy", "vex", "evex", "random"};

struct space {
	uint64_t seed;
	unsigned every;
	EncodingFn fn;
	void *user;
	bool stop;
};

struct bytes {
	uint8_t at[48];
	unsigned size;
};

static uint64_t
random64(struct space *s)
{
	s->seed ^= s->seed << 13;
	s->seed ^= s->seed >> 7;
	s->seed ^= s->seed << 17;
	return s->seed;
}

static void
fill_random(struct space *s, struct bytes *b)
{
	for (unsigned i = 0; i < sizeof b->at; i += 8) {
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

/* Whether this combination of prefixes and opcode is in the sample. */
static bool
chosen(struct space *s)
{
	return !s->stop && (s->every <= 1 || random64(s) % s->every == 0);
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

/* REX: none, then all 16. */
static void
legacy(struct space *s)
{
	for (unsigned n = 0; n < PREFIX_ROWS * 17 * 4 * 256 && !s->stop; n++) {
		unsigned opcode = n % 256, map = n / 256 % 4, rex = n / 1024 % 17;
		struct bytes b = {.size = 0};

		if (!chosen(s))
			continue;
		put_prefixes(&b, &prefix_rows[n / 1024 / 17]);
		if (rex)
			put(&b, 0x3f + rex);
		put_prefixes(&b, &maps[map]);
		put(&b, opcode);
		every_operand(s, &b);
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

/* R, X, B inverted; map; W; vvvv: 1111 or random; L; pp. Then the short form, which is the same with X, B, W clear. */
static void
vex(struct space *s)
{
	for (unsigned n = 0; n < 8 * 4 * 2 * 3 * 2 * 4 * 256 && !s->stop; n++) {
		unsigned opcode = n % 256, pp = n / 256 % 4, l = n / 1024 % 2, v = n / 2048 % 3, w = n / 6144 % 2;
		unsigned map = n / 12288 % 4, rxb = n / 49152;
		unsigned vvvv = v == 0 ? 15 : (unsigned) random64(s) & 15;
		struct bytes b = {.size = 0};

		if (!chosen(s))
			continue;
		put_some_gs(s, &b);
		if (map == 0 && (rxb & 3) == 3 && !w) {
			put(&b, 0xc5);
			put(&b, (rxb & 4) << 5 | vvvv << 3 | l << 2 | pp);
		} else {
			put(&b, 0xc4);
			put(&b, rxb << 5 | (map ? map : (unsigned) random64(s) & 31));
			put(&b, w << 7 | vvvv << 3 | l << 2 | pp);
		}
		put(&b, opcode);
		every_operand(s, &b);
	}
}

/*
 * R, X, B, R' inverted; map; W; vvvv: 1111 or random; pp; z; L'L; b; V'; aaa: 0 or another. One in 16 has a reserved
 * bit as it must not be.
 */
static void
evex(struct space *s)
{
	for (unsigned n = 0; n < 16 * 8 * 2 * 2 * 4 * 64 * 256 && !s->stop; n++) {
		unsigned opcode = n % 256, p2 = n / 256 % 64, pp = n / 16384 % 4, v = n / 65536 % 2, w = n / 131072 % 2;
		unsigned map = n / 262144 % 8, rxb = n / 2097152;
		unsigned vvvv, mask, reserved;
		struct bytes b = {.size = 0};

		if (!chosen(s))
			continue;
		vvvv = v ? 15 : (unsigned) random64(s) & 15;
		mask = p2 & 1 ? 1 + (unsigned) (random64(s) >> 8) % 7 : 0;
		reserved = (unsigned) random64(s) & 31;
		put_some_gs(s, &b);
		put(&b, 0x62);
		put(&b, rxb << 4 | (reserved == 1) << 3 | map);
		put(&b, w << 7 | vvvv << 3 | (reserved != 2) << 2 | pp);
		put(&b, (p2 & 0x3c) << 2 | (p2 & 2) << 2 | mask); /* z, L'L, b; V' */
		put(&b, opcode);
		every_operand(s, &b);
	}
}

static void
random_bytes(struct space *s)
{
	for (uint64_t n = 0; n < (uint64_t) 1000000000 && !s->stop; n++) {
		struct bytes b;

		if (!chosen(s))
			continue;
		fill_random(s, &b);
		give(s, &b);
	}
}

void
enumerate(enum part part, unsigned every, uint64_t seed, EncodingFn fn, void *user)
{
	struct space s = {.seed = seed * 2 + 1, .every = every, .fn = fn, .user = user};

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
