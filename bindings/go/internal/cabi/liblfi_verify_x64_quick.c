//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * The quick walk over a region: decides by two table words what most instructions are, without a branch that depends on
 * them, and in several blocks of the region at a time, so that the processor has something to do while it waits for
 * where the next instruction of a block begins. What is not plain is listed and looked at after that; what is not
 * known even then is left to the rules (rules.c). It only ever accepts, and only what the rules accept, with the same
 * marks and the same report; when it does not, the rules walk over the region from its start. Trusted.
 *
 *   I1  Each instruction is stepped over once, by the lane that walks its block, and marked. A lane comes to its
 *       block's end exactly, and every bundle's start is marked in the end: nothing crosses an edge.
 *   I2  A plain instruction is one that the rules accept after anything but an open group that sets rsp: its row exists
 *       in this form, has no kind that the rules look at, and nothing for the report; it writes no protected
 *       register; its memory operand, if it has one, is gs with the address size, or at most 128 bytes from rsp.
 *       All others are events.
 *   I3  An event is judged as if no drift were pending. Each instruction that leaves drift pending is an event, and is
 *       followed until the state is clean, over blocks' ends, adding up no less than the rules do. On the way no jump
 *       is accepted.
 *   I4  A group's last instruction is an event. By then all others of it were stepped over, so what it unmarks
 *       stays unmarked. Masked jumps, returns and sums into rsp are recognised here, by the bytes of their usual
 *       encoding, each marked as an instruction; such instructions can be in no other group. For all other
 *       groups the rules walk over the whole bundle.
 *   I5  What begins as one of the two long nops that assemblers pad with is stepped over as if it were one, and
 *       then compared; if it is none, nothing is accepted.
 *   I6  Reads stay in the region: its last bytes are the rules', and nobody looks in front of its start.
 */
#include <string.h>

#include "insn.h"
#include "quick.h"
#include "verify.h"

/* Blocks that are walked at the same time, and their size. */
#define LANES 4
#define BLOCK 1024

/* Instructions of each lane between two looks at the events. */
#define ROUND 64

/* From an instruction's start so many bytes are read. */
#define AHEAD 32

/* Drift and displacements, see rules.c. The bytes of an access are at most ACCESS_MAX, see compile.c. */
#define MAX_DISP 131072
#define MAX_DRIFT 65536
#define MAX_CONFIRM 4096
#define ACCESS_MAX 64

struct walk {
	struct verify v; /* without anybody who listens */
	struct seen seen;
	size_t last;                       /* from here on the rules walk */
	size_t next;                       /* block */
	uint32_t last_drift;               /* pending at `last`, the most that was seen */
	uint32_t event[LANES * ROUND + 1]; /* where those of a round are */
};

/* An instruction as the tables see it. */
struct glance {
	const struct quick_pair *pair;
	uint64_t gs;   /* Q_GS_BITS or 0 */
	uint32_t word; /* of the opcode */
	uint32_t bits; /* below Q_EVENT: plain */
	unsigned length;
};

static inline uint64_t
load64(const uint8_t *p)
{
	uint64_t x;

	memcpy(&x, p, 8);
	return x;
}

static inline int32_t
load32(const uint8_t *p)
{
	int32_t x;

	memcpy(&x, p, 4);
	return x;
}

/* Without a branch: `?:` would become one, which is never well predicted here. */
static inline struct glance
look(uint64_t bytes)
{
	struct glance g;
	uint64_t op, line;
	uint32_t both;

	g.gs = (uint64_t) ((uint16_t) bytes == 0x6765) * Q_GS_BITS;
	bytes >>= g.gs;
	g.pair = x64_quick.second + (x64_quick.first[(uint8_t) bytes] + (uint64_t) (uint8_t) (bytes >> 8));
	op = g.pair->op;
	bytes >>= op & 63;
	g.word = x64_quick.opcode[op + (uint8_t) bytes];
	line = g.pair->line + g.gs * (Q_LINE_GS / Q_GS_BITS);
	both = g.word & x64_quick.line[line + (uint64_t) (uint8_t) (bytes >> 8)];
	g.bits = both + ((both & x64_quick.sib[(uint8_t) (bytes >> 16)]) << Q_SIB_SHIFT);
	g.length = (both & Q_LENGTH) + (g.word >> Q_SIZE_AT);
	return g;
}

static inline size_t
in_bundle(const struct walk *w, size_t pos)
{
	return pos & (w->v.bundle - 1);
}

static inline size_t
edge_after(const struct walk *w, size_t pos)
{
	return (pos | (w->v.bundle - 1)) + 1;
}

static inline bool
is_start(const struct walk *w, size_t pos)
{
	return bit_get(w->v.targets, pos);
}

/* Bytes of a nop as assemblers pad with beyond 9 bytes: 66 and 2e before 0f 1f 84; 0 for anything else. */
static inline unsigned
nop_length(uint64_t bytes)
{
	return 11 * ((bytes & 0xffffffffffff) == 0x841f0f2e6666) + 10 * ((bytes & 0xffffffffff) == 0x841f0f2e66);
}

/* Drift is followed from `pos` on. */

/* Bytes in front of the opcode, gs not counted. */
static inline unsigned
front(const struct glance *g)
{
	return (g->pair->op & 63) / 8;
}

/* An operand disp32(%rsp) whose displacement, either way, and access stay within `most`; the only event of `g`. */
static inline bool
is_near_stack(const struct glance *g, const uint8_t *p, int32_t most)
{
	const uint8_t *modrm = p + front(g) + 1;
	unsigned by_rex = g->pair->line >> 8 & (REX_B | REX_X), gs = (unsigned) g->gs;
	bool form = ((modrm[0] & 0xc7) == 0x84) & (modrm[1] == 0x24) & ((by_rex | gs) == 0);
	int32_t disp = load32(modrm + 2);

	return form & (disp <= most - ACCESS_MAX) & (disp >= ACCESS_MAX - most);
}

/* addq or subq $imm, %rsp: how far, or more than MAX_DRIFT for anything else. */
static inline uint32_t
drift_of(const uint8_t *p)
{
	int64_t by;

	if (p[0] != 0x48 || (p[2] != 0xc4 && p[2] != 0xec))
		return UINT32_MAX;
	if (p[1] == 0x83)
		by = (int8_t) p[3];
	else if (p[1] == 0x81)
		by = load32(p + 3);
	else
		return UINT32_MAX;
	return (uint32_t) (by < 0 ? -by : by);
}

/* A call leaves its address on the stack. Whether it is accepted is decided where it is an event of its own. */
static inline bool
is_call(const uint8_t *p)
{
	unsigned prefix = p[0] == 0x41;

	return p[0] == 0xe8 || (p[prefix] == 0xff && p[prefix + 1] >= 0xd0 && p[prefix + 1] <= 0xd7);
}

/* An access at rsp, or a push or pop. */
static bool
makes_clean(const struct glance *g, const uint8_t *p)
{
	if (g->bits >= Q_EVENT)
		return g->bits & Q_TOUCHES && g->word & Q_CONFIRM && is_near_stack(g, p, MAX_CONFIRM);
	return g->word & Q_CLEAN || (g->bits & Q_STACK && g->word & Q_CONFIRM);
}

/*
 * Operands that need a look at their displacement; nothing else is special. Without a branch. What is no operand at all
 * may read as one relative to rip: its bits are others.
 */
static inline bool
is_far_operand(const struct walk *w, const struct glance *g, size_t pos)
{
	const uint8_t *p = w->v.code + pos, *modrm = p + front(g) + 1;
	bool only = (g->bits & ~(Q_EVENT - 1)) == Q_TOUCHES && !g->gs;
	bool rip = (modrm[0] & 0xc7) == 0x05;
	uint64_t place = w->v.offset + pos + g->length + (uint64_t) (int64_t) load32(modrm + 1);
	bool in_sandbox = place <= SANDBOX_SIZE - ACCESS_MAX;

	return only & ((rip & in_sandbox) | is_near_stack(g, p, MAX_DISP));
}

/*
 * To the end of the bundle or until nothing is pending. False: something that is not understood here, or refused.
 * Whatever is passed over here is an event or plain on its own; only what drift changes matters.
 */
static bool
follow_bundle(struct walk *w, size_t pos, uint32_t *drift)
{
	for (size_t edge = edge_after(w, pos); pos < edge;) {
		const uint8_t *p = w->v.code + pos;
		uint32_t by = drift_of(p);
		struct glance g = look(load64(p));

		if (by <= MAX_DRIFT - *drift) {
			*drift += by;
		} else if (is_call(p) || makes_clean(&g, p)) {
			*drift = 0;
		} else if (g.bits >= Q_EVENT) {
			unsigned nop = nop_length(load64(p));

			if (!nop && !is_far_operand(w, &g, pos))
				return false;
			pos += nop;
			g.length = nop ? 0 : g.length;
		}
		if (!*drift)
			return true;
		pos += g.length;
	}
	return true;
}

/* The rules over the bundle that ends at `edge`. That its start is one only lanes may say: it shows what crosses. I1.
 */
static void
ask_rules(struct walk *w, size_t edge, uint32_t *drift)
{
	size_t start = edge - w->v.bundle;
	bool marked = is_start(w, start);

	rules_bundle(&w->v, start, drift, &w->seen);
	if (!marked)
		bit_clear(w->v.targets, start);
}

/* `drift` is pending before `pos`, or the instruction there makes some pending. I3. */
static void
follow(struct walk *w, size_t pos, uint32_t drift)
{
	while (pos < w->last && !w->v.stop) {
		size_t edge = edge_after(w, pos);
		uint32_t before =
		    in_bundle(w, pos) ? 0 : drift; /* at the bundle's start: there this began, or it is clean */

		if (!follow_bundle(w, pos, &drift)) {
			drift = before;
			ask_rules(w, edge, &drift);
		}
		if (!drift)
			return;
		pos = edge;
	}
	if (drift > w->last_drift)
		w->last_drift = drift;
}

/* Events. */

/* A bundle start that lies wholly in the sandbox. */
static inline bool
is_entry(const struct walk *w, uint64_t place)
{
	return place <= SANDBOX_SIZE - 32 && place % w->v.bundle == 0;
}

/*
 * A direct jump or call without prefixes that stays in the region, or a long nop; without a branch. False: another
 * event.
 */
static inline bool
take_often(struct walk *w, size_t pos)
{
	const uint8_t *p = w->v.code + pos;
	unsigned two = p[0] == 0x0f, size = x64_quick.branch[two][p[two]], unused = (32 - 8 * size) & 31;
	int32_t disp = (int32_t) ((uint32_t) load32(p + 1 + two) << unused) >> unused;
	uint64_t target = pos + 1 + two + size + (uint64_t) (int64_t) disp;
	uint64_t inside = (size != 0) & (target < w->v.size);

	w->v.wanted[(target & -inside) / 64] |= inside << target % 64;
	return inside | (nop_length(load64(p)) != 0);
}

/* A direct jump or call without prefixes that leaves the region. */
static bool
take_leaving(struct walk *w, size_t pos, const struct glance *g)
{
	const uint8_t *p = w->v.code + pos, *end = p + g->length;
	bool two = p[0] == 0x0f;
	unsigned size = x64_quick.branch[two][p[two]];
	uint64_t place;

	if (!size)
		return false;
	place = w->v.offset + pos + g->length + (uint64_t) (int64_t) (size == 1 ? (int8_t) end[-1] : load32(end - 4));
	if (!is_entry(w, place) && !leads_to_other_part(&w->v, pos, place))
		w->v.stop = true;
	return true;
}

/* andl $mask, %eX; addq %r14, %rX; jmpq or callq *%rX; without a branch. The marks of a bundle are in one word. I4. */
static inline bool
take_masked(struct walk *w, size_t pos)
{
	const uint8_t *p = w->v.code + pos;
	unsigned high = p[0] == 0x41, first = 6 + high, x = p[high + 1] & 7;
	uint32_t mask = 0x83u | (0xe0 + x) << 8 | (uint32_t) (uint8_t) (0 - w->v.bundle) << 16;
	uint32_t sum = (0x4c + high) | 0x01u << 8 | (0xf0 + x) << 16;
	uint64_t *marks = w->v.targets + pos / 64, inside, all;
	bool good;

	if (pos < 8)
		return false; /* I6 */
	good = (p[high] == 0xff) & (((p[high + 1] - 0xd0) & 0xe8) == 0) & (in_bundle(w, pos) >= first);
	good &= (load32(p - 6) & 0xffffff) == (int32_t) mask;
	good &= (load32(p - 3) & 0xffffff) == (int32_t) sum;
	good &= high ? (p[-7] == 0x41) & (x < R14 - 8) : x != RSP;
	inside = (uint64_t) 1 << pos % 64 | (uint64_t) 1 << (pos - 3) % 64;
	all = inside | (uint64_t) 1 << (pos - first) % 64;
	good &= (*marks & all) == all;
	*marks &= ~(inside & -(uint64_t) good);
	return good;
}

/* movq (%rsp), %r11; andl $mask, %r11d; addq %r14, %r11; movq %r11, (%rsp); ret. I4. */
static bool
take_return(struct walk *w, size_t pos)
{
	static const uint8_t group[16] = {
	    0x4c, 0x8b, 0x1c, 0x24, 0x41, 0x83, 0xe3, 0, 0x4d, 0x01, 0xf3, 0x4c, 0x89, 0x1c, 0x24, 0xc3};
	static const uint8_t starts[4] = {15, 11, 7, 4};
	const uint8_t *p = w->v.code + pos;

	if (*p != 0xc3 || !w->v.single_thread || in_bundle(w, pos) < 15)
		return false;
	p -= 15;
	if (memcmp(p, group, 7) != 0 || p[7] != (uint8_t) (0 - w->v.bundle) || memcmp(p + 8, group + 8, 8) != 0)
		return false;
	for (unsigned i = 0; i < 4; i++)
		if (!is_start(w, pos - starts[i]))
			return false;
	for (unsigned i = 1; i < 4; i++)
		bit_clear(w->v.targets, pos - starts[i]);
	bit_clear(w->v.targets, pos);
	w->seen.code |= LFI_CODE_ST_RETURN;
	return true;
}

/* Bytes of addl, subl or andl $imm, %esp, or movl from a register; 0 for anything else. */
static unsigned
opener_length(const uint8_t *p)
{
	if (p[0] == 0x89 && (p[1] & 0xc7) == 0xc4)
		return 2;
	if ((p[0] != 0x83 && p[0] != 0x81) || (p[1] != 0xc4 && p[1] != 0xec && p[1] != 0xe4))
		return 0;
	return p[0] == 0x83 ? 3 : 6;
}

/* addq %r14, %rsp. */
static bool
closes(const uint8_t *p)
{
	return p[0] == 0x4c && p[1] == 0x01 && p[2] == 0xf4;
}

/* The two of them. Each is an event: the first is good if the second is next, and the other way round. I4. */
static bool
take_stack_pair(struct walk *w, size_t pos)
{
	static const uint8_t lengths[3] = {2, 3, 6};
	const uint8_t *p = w->v.code + pos;
	unsigned length = opener_length(p);

	if (length)
		return closes(p + length) && in_bundle(w, pos) + length + 3 <= w->v.bundle;
	if (!closes(p))
		return false;
	for (unsigned i = 0; i < 3; i++) {
		length = lengths[i];
		if (in_bundle(w, pos) >= length && is_start(w, pos - length) && opener_length(p - length) == length) {
			bit_clear(w->v.targets, pos);
			return true;
		}
	}
	return false;
}

/* By itself, or with all of its bundle. */
static void
take_by_rules(struct walk *w, size_t pos)
{
	uint32_t drift = 0;
	size_t next = edge_after(w, pos);
	unsigned length;

	if (rules_alone(&w->v, pos, &drift, &w->seen, &length))
		next = pos + length;
	else
		ask_rules(w, next, &drift);
	if (drift && !w->v.stop)
		follow(w, next, drift);
}

static void
take_rare(struct walk *w, size_t pos)
{
	const uint8_t *p = w->v.code + pos;
	struct glance g = look(load64(p));

	if (p[0] == 0x66 && (p[1] == 0x66 || p[1] == 0x2e))
		w->v.stop = true; /* I5 */
	else if (!take_leaving(w, pos, &g) && !take_return(w, pos) && !take_stack_pair(w, pos))
		take_by_rules(w, pos);
}

static inline bool
take_operand(struct walk *w, size_t pos)
{
	struct glance g = look(load64(w->v.code + pos));

	return is_far_operand(w, &g, pos);
}

static inline bool
take_drift(struct walk *w, size_t pos)
{
	if (drift_of(w->v.code + pos) > MAX_DRIFT)
		return false;
	follow(w, pos, 0);
	return true;
}

/* Those of the first `count` events that are not taken come to the front. Returns how many they are. */
static inline __attribute__((always_inline)) unsigned
sift(struct walk *w, unsigned count, bool (*take)(struct walk *, size_t))
{
	unsigned left = 0;

	for (unsigned i = 0; i < count; i++) {
		uint32_t pos = w->event[i];

		w->event[left] = pos;
		left += !take(w, pos);
	}
	return left;
}

/* The events of a round, kind after kind, the most frequent first: there is little to guess for the processor. */
static void
take_events(struct walk *w, unsigned count)
{
	count = sift(w, count, take_often);
	count = sift(w, count, take_operand);
	count = sift(w, count, take_masked);
	count = sift(w, count, take_drift);
	for (unsigned i = 0; i < count && !w->v.stop; i++)
		take_rare(w, w->event[i]);
}

/* The walk. */

/* Adds the length of an instruction that the tables do not know to `*pos`. Whether it is an event. */
static __attribute__((noinline)) bool
step_slowly(struct walk *w, size_t *pos)
{
	uint32_t drift = 0;
	unsigned length;
	bool event = !rules_alone(&w->v, *pos, &drift, &w->seen, &length) || drift;

	if (!length)
		w->v.stop = true;
	*pos += length;
	return event;
}

/* Marks the instruction and lists it if it is an event. Returns where the next one is. I1. */
static inline size_t
step(struct walk *w, const uint8_t *code, uint64_t *targets, unsigned *events, size_t pos)
{
	struct glance g = look(load64(code + pos));

	bit_set(targets, pos);
	w->event[*events] = (uint32_t) pos;
	if (__builtin_expect(g.bits & Q_UNKNOWN, 0)) {
		*events += step_slowly(w, &pos);
		return pos;
	}
	*events += g.bits >= Q_EVENT;
	return pos + g.length;
}

struct lane {
	size_t pos, end;
};

/* Until a lane is at its end, or for ROUND instructions of each. */
static void
walk_round(struct walk *w, struct lane lane[LANES])
{
	size_t a = lane[0].pos, b = lane[1].pos, c = lane[2].pos, d = lane[3].pos;
	const uint8_t *code = w->v.code;
	uint64_t *targets = w->v.targets;
	unsigned events = 0, i;

	for (i = 0; i < ROUND; i++) {
		if (a >= lane[0].end || b >= lane[1].end || c >= lane[2].end || d >= lane[3].end)
			break;
		a = step(w, code, targets, &events, a);
		b = step(w, code, targets, &events, b);
		c = step(w, code, targets, &events, c);
		d = step(w, code, targets, &events, d);
	}
	lane[0].pos = a;
	lane[1].pos = b;
	lane[2].pos = c;
	lane[3].pos = d;
	w->v.report.instructions += (size_t) LANES * i;
	take_events(w, events);
}

static void
walk_alone(struct walk *w, struct lane *lane)
{
	while (lane->pos < lane->end && !w->v.stop) {
		unsigned events = 0, i;

		for (i = 0; i < ROUND && lane->pos < lane->end; i++)
			lane->pos = step(w, w->v.code, w->v.targets, &events, lane->pos);
		w->v.report.instructions += i;
		take_events(w, events);
	}
}

/* The next block, if there is one; false also if the lane went past the end of its last. I1. */
static bool
next_block(struct walk *w, struct lane *lane)
{
	if (lane->pos != lane->end)
		w->v.stop = true;
	if (w->v.stop || w->next >= w->last)
		return false;
	lane->pos = w->next;
	lane->end = w->last - w->next > BLOCK ? w->next + BLOCK : w->last;
	w->next = lane->end;
	return true;
}

static void
walk_blocks(struct walk *w)
{
	struct lane lane[LANES] = {{0}};
	bool all = true;

	while (all && !w->v.stop) {
		for (unsigned i = 0; i < LANES && all; i++)
			if (lane[i].pos >= lane[i].end)
				all = next_block(w, &lane[i]);
		if (all)
			walk_round(w, lane);
	}
	for (unsigned i = 0; i < LANES; i++) {
		walk_alone(w, &lane[i]);
		if (lane[i].pos != lane[i].end)
			w->v.stop = true;
	}
}

/* An instruction that crosses a bundle's edge passes over the start there. I1. */
static bool
bundles_start(const struct walk *w)
{
	const uint64_t starts = w->v.bundle == 32 ? 0x0000000100000001 : 0x0001000100010001;
	size_t whole = w->v.size / 64, rest = w->v.size % 64;
	uint64_t missing = 0;

	for (size_t i = 0; i < whole; i++)
		missing |= starts & ~w->v.targets[i];
	if (rest)
		missing |= starts & ~w->v.targets[whole] & (((uint64_t) 1 << rest) - 1);
	return missing == 0;
}

bool
quick_scan(struct verify *v)
{
	struct walk w;

	if (v->policy != LFI_POLICY_FULL || v->size < 2 * AHEAD)
		return false;
	w.v = *v;
	w.v.fn = NULL;
	w.v.max_violations = 1;
	w.seen.cpu = w.seen.code = 0;
	w.last = (v->size - AHEAD) & ~(size_t) 31;
	w.next = w.last_drift = 0;
	walk_blocks(&w);
	for (size_t pos = w.last; pos < v->size && !w.v.stop; pos += v->bundle)
		w.v.report.instructions += rules_bundle(&w.v, pos, &w.last_drift, &w.seen);
	if (w.v.stop || (w.last_drift && !v->behind) || !bundles_start(&w))
		return false;
	v->drift = w.last_drift;
	report_seen(v, &w.seen);
	v->report.instructions = w.v.report.instructions;
	return true;
}
