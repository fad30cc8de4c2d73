/* SPDX-License-Identifier: MIT */
/*
 * Programs for the box. Half are made from the rows of the verifier's table, with operands of every form and the groups
 * of the scheme, bundle by bundle; the others are pieces of a real program. Then they are mutated. Whatever the
 * verifier refuses is thrown away, so that nothing here has to be right: it only has to be near the rules often enough.
 */
#include "soundness.h"

#include <string.h>

#include "insn.h"
#include "verify.h"

#define ITEM_MAX 64
#define INSTRUCTIONS_MAX 32 /* of a bundle */

uint64_t
random64(void)
{
	uint64_t x = arena->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return arena->random = x;
}

struct item {
	uint8_t bytes[ITEM_MAX];
	unsigned size;
};

static void
put(struct item *item, unsigned byte)
{
	if (item->size < ITEM_MAX)
		item->bytes[item->size++] = (uint8_t) byte;
}

static void
put_bytes(struct item *item, const char *bytes, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		put(item, (uint8_t) bytes[i]);
}

#define PUT(item, bytes) put_bytes(item, bytes, sizeof bytes - 1)

static void
put32(struct item *item, uint32_t x)
{
	for (unsigned i = 0; i < 4; i++)
		put(item, x >> 8 * i & 255);
}

/* Displacements and immediates: small, near a bound of the scheme, any. */
static uint32_t
random32(void)
{
	static const uint32_t bounds[] = {131072, 65536, 4096, 262144, 0x80000000, 0x7fffffff, 32, 16, 8, 24};
	uint32_t bound = bounds[below(sizeof bounds / sizeof bounds[0])] - 16 + below(32);

	if (one_in(3))
		return one_in(2) ? bound : 0 - bound;
	return one_in(6) ? (uint32_t) random64() : below(64) * 64;
}

/* ---- One instruction of a row ---- */

/* ModRM and what follows for a memory operand. `*rex` gets X and B; `*segment` says that 67 65 go in front. */
struct operand {
	uint8_t bytes[8];
	unsigned size, rex;
	bool segment;
};

static void
operand_add(struct operand *o, uint32_t x, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		o->bytes[o->size++] = (uint8_t) (x >> 8 * i);
}

static void
memory_operand(struct operand *o, unsigned reg, int pair)
{
	unsigned form = below(8), mod = below(3);

	o->segment = form < 4;
	if (pair >= 0) { /* disp(%r14,%rX) */
		o->segment = one_in(40);
		o->rex = REX_B | (pair & 8 ? REX_X : 0);
		operand_add(o, (mod ? mod : 1) << 6 | reg << 3 | 4, 1);
		operand_add(o, (one_in(30) ? 0x40u : 0) | (unsigned) (pair & 7) << 3 | 6, 1);
		operand_add(o, random32(), mod == 2 ? 4 : 1);
	} else if (form < 4) {
		unsigned base = below(16), index = below(16);
		bool sib = (base & 7) == 4 || one_in(4);

		o->rex = (base & 8 ? REX_B : 0) | (sib && index & 8 ? REX_X : 0);
		operand_add(o, mod << 6 | reg << 3 | (sib ? 4 : base & 7), 1);
		if (sib)
			operand_add(o, below(4) << 6 | (index & 7) << 3 | (base & 7), 1);
		if (mod)
			operand_add(o, random32(), mod == 2 ? 4 : 1);
		else if ((base & 7) == 5)
			operand_add(o, random32(), 4);
	} else if (form < 6) {
		operand_add(o, mod << 6 | reg << 3 | 4, 1);
		operand_add(o, 0x24, 1);
		if (mod)
			operand_add(o, random32(), mod == 2 ? 4 : 1);
	} else if (form == 6) {
		o->segment = one_in(20);
		operand_add(o, reg << 3 | 5, 1);
		operand_add(o, one_in(2) ? 0x100000 + (random32() & ~15u) : random32(), 4);
	} else { /* any register: 16(%r15), or wrong */
		unsigned base = one_in(2) ? 15 : below(16);

		o->rex = base & 8 ? REX_B : 0;
		operand_add(o, 1 << 6 | reg << 3 | (base & 7), 1);
		if ((base & 7) == 4)
			operand_add(o, 0x20 | (base & 7), 1);
		operand_add(o, one_in(4) ? below(256) : 16, 1);
	}
}

static const uint8_t prefix_bytes[4] = {0, 0x66, 0xf3, 0xf2};

/* An entry of the table: where it is, and for groups which form and digit. */
struct choice {
	const struct row *row;
	unsigned map, pp, opcode, digit;
	bool in_group, reg;
};

static bool
choose_row(struct choice *c)
{
	unsigned entry;

	c->map = one_in(2) ? below(2) : below(MAPS);
	c->pp = below(4);
	c->opcode = below(256);
	entry = x64_opcodes[c->map][c->pp][c->opcode];
	c->digit = below(8);
	c->in_group = entry & IN_GROUP;
	c->reg = one_in(2);
	if (c->in_group)
		entry = x64_digits[entry & ~IN_GROUP][c->reg][c->digit];
	c->row = &x64_rows[entry];
	return entry && (c->map != TWO || c->opcode != 0xa2); /* cpuid takes long in a virtual machine */
}

static unsigned
immediate_size(const struct row *row, unsigned pp, unsigned w)
{
	switch (row->imm) {
	case IB:
	case REL8:
		return 1;
	case IZ:
		return pp == 1 && !w ? 2 : 4;
	case IV:
		return w ? 8 : pp == 1 ? 2 : 4;
	case REL32:
		return 4;
	case MOFFS:
		return 8;
	default:
		return 0;
	}
}

static void
put_evex(struct item *item, const struct choice *c, unsigned rex)
{
	static const uint8_t maps[] = {1, 2, 3, 5, 6};
	unsigned map = c->map - E0F;

	put(item, 0x62);
	put(item,
	    (rex & REX_R ? 0 : 0x80) | (rex & REX_X ? 0 : 0x40) | (rex & REX_B ? 0 : 0x20) | 0x10 | maps[map / 2]);
	put(item, (map & 1) << 7 | (c->row->v ? below(16) : 15) << 3 | 4 | c->pp);
	put(item, (one_in(8) ? 0x80 : 0) | below(3) << 5 | (one_in(6) ? 0x10 : 0) | 8 | (one_in(3) ? below(8) : 0));
}

static void
put_opcode(struct item *item, const struct choice *c, unsigned rex, bool must_rex)
{
	if (c->map >= E0F) {
		put_evex(item, c, rex);
	} else if (c->map >= V0F) {
		put(item, 0xc4);
		put(item, (rex & REX_R ? 0 : 0x80) | (rex & REX_X ? 0 : 0x40) | (rex & REX_B ? 0 : 0x20) |
			      (c->map - V0F + 1));
		put(item, (rex & REX_W ? 0x80 : 0) | (c->row->v ? below(16) : 15) << 3 | below(2) << 2 | c->pp);
	} else {
		if (c->pp)
			put(item, prefix_bytes[c->pp]);
		if (rex || must_rex)
			put(item, 0x40 | rex);
		if (c->map != ONE)
			put(item, 0x0f);
		if (c->map > TWO)
			put(item, c->map == T38 ? 0x38 : 0x3a);
	}
	put(item, c->opcode);
}

/* Any row that the verifier knows, with any operands. `pair`: the register that the instruction before has truncated.
 */
static void
put_row(struct item *item, int pair)
{
	struct choice c;
	struct operand o = {.size = 0};
	unsigned reg = below(16), rm = below(16), w;
	bool memory;

	while (!choose_row(&c))
		continue;
	memory = c.in_group ? !c.reg : c.row->rm & MEM || (!(c.row->rm & REG) && (pair >= 0 || one_in(2)));
	w = one_in(3) ? REX_W : 0;
	if (c.in_group)
		reg = c.digit | (one_in(2) ? 8 : 0);
	if (!(c.in_group | c.row->rm | c.row->reg) || c.row->imm == MOFFS) {
		put_opcode(item, &c, w | (c.row->op && one_in(2) ? REX_B : 0), false);
	} else {
		if (memory)
			memory_operand(&o, reg & 7, pair);
		else {
			operand_add(&o, 0xc0 | (reg & 7) << 3 | (rm & 7), 1);
			o.rex = rm & 8 ? REX_B : 0;
		}
		if (o.segment)
			PUT(item, "\x67\x65");
		if (memory && c.row->flags & LOCK && one_in(4))
			put(item, 0xf0);
		put_opcode(item, &c, o.rex | w | (reg & 8 ? REX_R : 0), one_in(8));
		put_bytes(item, (const char *) o.bytes, o.size);
	}
	for (unsigned i = 0, size = immediate_size(c.row, c.pp, w), x = random32(); i < size; i++)
		put(item, x >> 8 * (i % 4) & 255);
}

/* ---- Groups ---- */

static unsigned
rex_b(unsigned reg)
{
	return reg & 8 ? REX_B : 0;
}

static unsigned
rex_r(unsigned reg)
{
	return reg & 8 ? REX_R : 0;
}

/* and $-32, %eX; add %r14, %rX */
static void
put_mask(struct item *item, unsigned x)
{
	if (one_in(20))
		put(item, one_in(2) ? 0x66 : 0x48);
	else if (rex_b(x))
		put(item, 0x41);
	put(item, 0x83);
	if (one_in(20))
		put_bytes(item, "\x24\x24", 2); /* andl $mask, (%rsp) */
	else
		put(item, 0xe0 | (x & 7));
	put(item, one_in(20) ? below(256) : 256 - arena->program.bundle);
	put(item, 0x4c | rex_b(x));
	put(item, one_in(4) ? 0x09 : 0x01);
	put(item, 0xf0 | (x & 7));
}

static void
put_jump(struct item *item)
{
	unsigned x = below(16), y = one_in(20) ? below(16) : x;

	put_mask(item, x);
	if (rex_b(y))
		put(item, 0x41);
	put(item, 0xff);
	put(item, (one_in(2) ? 0xe0 : 0xd0) | (y & 7));
}

/* mov, add, sub, and, lea into esp; add %r14, %rsp */
static void
put_set_rsp(struct item *item)
{
	static const uint8_t opcodes[] = {0x89, 0x01, 0x29, 0x21, 0x31, 0x09};
	unsigned from = below(16);

	switch (below(4)) {
	case 0:
		put(item, 0x83);
		put(item, (one_in(2) ? 0xe8 : one_in(2) ? 0xe0 : 0xc0) | RSP);
		put(item, below(256));
		break;
	case 1:
		put(item, 0x8d); /* lea disp32(%rX), %esp */
		put(item, 0xa0 | below(8));
		put(item, 0x24);
		put32(item, random32());
		break;
	default:
		if (rex_r(from))
			put(item, 0x44);
		put(item, opcodes[below(one_in(8) ? 6 : 4)]);
		put(item, 0xc0 | (from & 7) << 3 | RSP);
	}
	if (one_in(2))
		PUT(item, "\x4c\x01\xf4");
	else
		PUT(item, "\x4a\x8d\x24\x34"); /* lea (%rsp,%r14), %rsp */
}

/* Half of all moves are as far as one may be. */
static uint32_t
random_move(void)
{
	uint32_t move = one_in(2) ? 65536 - 8 * below(16) : 8 * below(8200);

	return one_in(4) ? random32() : one_in(2) ? move : 0 - move;
}

static void
put_drift(struct item *item)
{
	if (one_in(2)) {
		PUT(item, "\x48\x81");
		put(item, (one_in(2) ? 0xc0 : 0xe8) | RSP);
		put32(item, random_move());
	} else if (one_in(2)) {
		PUT(item, "\x48\x83");
		put(item, (one_in(2) ? 0xc0 : 0xe8) | RSP);
		put(item, below(256));
	} else {
		PUT(item, "\x48\x8d\xa4\x24");
		put32(item, random_move());
	}
	if (one_in(2))
		put(item, 0x50 + below(8));
}

/* mov %eX, %eX; lea (%r14,%rX), %rX for rdi, rsi or both; a string instruction */
static void
put_string(struct item *item)
{
	static const uint8_t opcodes[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
	bool first = one_in(2);

	if (first || one_in(2))
		PUT(item, "\x89\xff\x49\x8d\x3c\x3e");
	if (!first || one_in(2))
		PUT(item, "\x89\xf6\x49\x8d\x34\x36");
	if (one_in(16))
		put(item, one_in(2) ? 0x65 : 0x67);
	if (one_in(2))
		put(item, one_in(2) ? 0xf3 : 0xf2);
	if (one_in(3))
		put(item, one_in(2) ? 0x66 : 0x48);
	put(item, opcodes[below(sizeof opcodes)]);
}

/* mov %eY, %eX or lea; then anything at (%r14,%rX) */
static void
put_pair(struct item *item)
{
	unsigned x = below(16), y = below(16);

	if (one_in(3)) {
		if (rex_r(x))
			put(item, 0x44);
		put(item, 0x8d);
		put(item, 0x80 | (x & 7) << 3 | 3);
		put32(item, random32());
	} else {
		if (rex_b(x) | rex_r(y))
			put(item, 0x40 | rex_b(x) | rex_r(y));
		put(item, 0x89);
		put(item, 0xc0 | (y & 7) << 3 | (x & 7));
	}
	put_row(item, (int) (one_in(20) ? below(16) : x));
}

/* lea L(%rip), %r11; jmp *-8n(%r14) */
static void
put_rtcall(struct item *item)
{
	PUT(item, "\x4c\x8d\x1d");
	put32(item, one_in(8) ? random32() : one_in(8) ? below(64) : 4);
	PUT(item, "\x41\xff\x66");
	put(item, one_in(8) ? below(256) : 256 - 8 * (1 + below(16)));
}

static void
put_return(struct item *item)
{
	PUT(item, "\x4c\x8b\x1c\x24");
	put_mask(item, R11);
	PUT(item, "\x4c\x89\x1c\x24\xc3");
}

/* To some bundle, or to anywhere near. */
static void
put_branch(struct item *item, unsigned at)
{
	unsigned target =
	    below(CODE_SIZE / arena->program.bundle) * arena->program.bundle + (one_in(4) ? below(32) : 0);
	unsigned kind = below(4);

	if (kind == 0) {
		put(item, one_in(3) ? 0xe8 : 0xe9);
	} else if (kind == 1) {
		put(item, 0x0f);
		put(item, 0x80 + below(16));
	} else {
		put(item, kind == 2 ? 0x70 + below(16) : one_in(2) ? 0xeb : 0xe0 + below(4));
		put(item, (at & ~31u) + 32 * (below(7) - 3) - (at + item->size + 1));
		return;
	}
	put32(item, target - (at + item->size + 4));
}

static void
put_item(struct item *item, unsigned at)
{
	switch (below(16)) {
	case 0:
		put_jump(item);
		break;
	case 1:
		put_set_rsp(item);
		break;
	case 2:
		put_drift(item);
		break;
	case 3:
		put_string(item);
		break;
	case 4:
	case 5:
		put_pair(item);
		break;
	case 6:
		if (one_in(2))
			put_rtcall(item);
		else
			put_return(item);
		break;
	case 7:
		put_branch(item, at);
		break;
	case 8:
		put(item, (one_in(2) ? 0x50 : 0x58) + below(8));
		break;
	default:
		put_row(item, -1);
	}
}

/* ---- Programs ---- */

/* `fn` hears of every violation. */
static bool
verify(const uint8_t *code, size_t size, uint64_t offset, LFIViolationFn fn)
{
	struct LFIVerifyOptions options = {.struct_size = sizeof options,
	    .policy = arena->program.policy,
	    .bundle = arena->program.bundle,
	    .single_thread = arena->program.single_thread,
	    .max_violations = fn ? SIZE_MAX : 1};

	return lfi_verify(&options, code, size, offset, arena->scratch, sizeof arena->scratch, fn, NULL, NULL) == 0;
}

/* Whether the quick walk accepts the program, so that the rules were not asked for all of it. */
static bool
takes_quick_walk(void)
{
	const struct program *program = &arena->program;
	struct verify v = {.code = program->code,
	    .size = CODE_SIZE,
	    .offset = CODE_OFFSET,
	    .policy = program->policy,
	    .bundle = program->bundle,
	    .single_thread = program->single_thread,
	    .max_violations = 1,
	    .targets = arena->scratch,
	    .wanted = arena->scratch + CODE_SIZE / 64};

	forget_marks(&v);
	return quick_scan(&v);
}

/* A bundle of the program by itself, followed by one that confirms what drift it leaves. */
static bool
bundle_accepted(unsigned at)
{
	uint8_t code[64];
	unsigned size = arena->program.bundle;

	memset(code, 0x90, sizeof code);
	memcpy(code, arena->program.code + at, size);
	code[size] = 0x50;
	code[size + 1] = 0x58;
	return verify(code, 2 * size, CODE_OFFSET + at, NULL);
}

/* addl $1, %gs:counter */
static void
put_counter(struct item *item, unsigned at)
{
	PUT(item, "\x67\x65\x83\x04\x25");
	put32(item, COUNTER_OFFSET + 4 * (at / arena->program.bundle));
	put(item, 1);
}

/* Fills a bundle, of which the last bytes are nops. An item stays if what is there so far is accepted with it. */
static void
make_bundle(unsigned at)
{
	uint8_t *bundle = arena->program.code + at;
	unsigned size = 0, room = arena->program.bundle;

	memset(bundle, 0x90, room);
	if (arena->program.counted) {
		struct item item = {.size = 0};

		put_counter(&item, at);
		memcpy(bundle, item.bytes, item.size);
		size = item.size;
	}
	for (unsigned tries = 0; tries < 24 && size < room; tries++) {
		struct item item = {.size = 0};
		uint8_t before[32];

		put_item(&item, at + size);
		if (item.size > room - size)
			continue;
		memcpy(before, bundle, room);
		memcpy(bundle + size, item.bytes, item.size);
		if (bundle_accepted(at))
			size += item.size;
		else
			memcpy(bundle, before, room);
	}
}

/* What runs for sure once the counter has: up to the first instruction that may go elsewhere. Faults lose the rest of
 * one. */
static void
count_guaranteed(void)
{
	const char *reason;
	struct insn insn;

	for (unsigned at = 0; at < CODE_SIZE; at += arena->program.bundle) {
		unsigned count = 0, pos = at;

		while (pos < at + arena->program.bundle) {
			uint8_t bytes[DECODE_WINDOW] = {0};

			memcpy(bytes, arena->program.code + pos,
			    CODE_SIZE - pos < DECODE_WINDOW ? CODE_SIZE - pos : DECODE_WINDOW);
			if (decode_x64(bytes, &insn, &reason) != LFI_RULE_NONE)
				break;
			count++;
			pos += insn.size;
			if (insn.row->kind >= BRANCH && insn.row->kind <= RET)
				break;
		}
		arena->program.guaranteed[at / arena->program.bundle] = (uint8_t) count;
	}
}

/* What is not accepted becomes nops: bad branches in what was made, and whatever hangs over where a piece was cut out.
 */
static bool
blank_out(const struct LFIViolation *violation, void *user)
{
	unsigned size = violation->size ? (unsigned) violation->size : 1;

	if (violation->offset + size <= CODE_SIZE)
		memset(arena->program.code + violation->offset, 0x90, size);
	return true;
}

static bool
make_acceptable(void)
{
	for (unsigned i = 0; i < 40; i++)
		if (verify(arena->program.code, CODE_SIZE, CODE_OFFSET, blank_out))
			return true;
	return false;
}

static void
make_from_rows(void)
{
	for (unsigned at = 0; at < CODE_SIZE; at += arena->program.bundle)
		make_bundle(at);
	/* The last bundle goes back to somewhere: programs that end run for too short a time. */
	memset(arena->program.code + CODE_SIZE - 16, 0x90, 16);
	arena->program.code[CODE_SIZE - 5] = 0xe9;
	memcpy(arena->program.code + CODE_SIZE - 4, &(int32_t){(int32_t) (below(CODE_SIZE / 64) * 32) - CODE_SIZE}, 4);
}

static void
make_from_text(void)
{
	size_t at = (random64() % (place.text_size - CODE_SIZE)) & ~(size_t) 31;

	memcpy(arena->program.code, place.text + at, CODE_SIZE);
}

static void
mutate_once(uint8_t *code)
{
	static const uint8_t likely[] = {
	    0x65, 0x67, 0x66, 0x48, 0x41, 0x4c, 0x49, 0x24, 0xe4, 0xf4, 0xc4, 0x90, 0x89, 0x8b, 0x8d};
	unsigned at = below(CODE_SIZE - 16), bundle = at & ~31u;
	uint8_t *p = code + at;
	unsigned size = 1 + below(8);

	switch (below(7)) {
	case 0:
		*p = (uint8_t) random64();
		break;
	case 1:
		*p ^= (uint8_t) (1 << below(8));
		break;
	case 2:
		memcpy(p, code + below(CODE_SIZE - 16), size);
		break;
	case 3:
		*p = likely[below(sizeof likely)];
		break;
	case 4: /* bytes go, the rest of the bundle moves up */
		if (at + size < bundle + 32) {
			memmove(p, p + size, bundle + 32 - at - size);
			memset(code + bundle + 32 - size, 0x90, size);
		}
		break;
	case 5: /* bytes come in */
		if (at + size < bundle + 32) {
			memmove(p + size, p, bundle + 32 - at - size);
			for (unsigned i = 0; i < size; i++)
				p[i] = one_in(2) ? likely[below(sizeof likely)] : (uint8_t) random64();
		}
		break;
	default: {
		uint32_t x = random32();

		memcpy(p, &x, 4);
	}
	}
}

/* Keeps what is accepted. */
static void
mutate(unsigned times)
{
	uint8_t before[CODE_SIZE];

	while (times--) {
		memcpy(before, arena->program.code, CODE_SIZE);
		mutate_once(arena->program.code);
		if (!verify(arena->program.code, CODE_SIZE, CODE_OFFSET, NULL))
			memcpy(arena->program.code, before, CODE_SIZE);
	}
}

bool
generate(uint64_t seed)
{
	struct program *program = &arena->program;

	arena->random = seed * 0x9e3779b97f4a7c15 + 0x1234567;
	for (unsigned i = 0; i < 4; i++)
		random64();
	memset(program, 0, sizeof *program);
	program->policy = one_in(4) ? LFI_POLICY_STORES : LFI_POLICY_FULL;
	program->bundle = one_in(4) ? 16 : 32;
	program->single_thread = one_in(3);
	program->counted = program->bundle == 32 && one_in(2);
	if (place.text && !program->counted && one_in(2)) {
		program->bundle = 32;
		make_from_text();
	} else {
		make_from_rows();
	}
	if (!make_acceptable())
		return false;
	mutate(program->counted ? 0 : below(200));
	if (program->counted)
		count_guaranteed();
	shared->full += program->policy == LFI_POLICY_FULL;
	shared->quick += takes_quick_walk();
	return true;
}
