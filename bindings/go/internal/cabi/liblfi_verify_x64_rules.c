//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * The rules of docs/scheme-x64.md over the instructions of a region, one pass. Trusted: a bug here is an escape.
 * Before and after every accepted instruction, and at every bundle start:
 *
 *   I1  r14 and the gs base hold the base, r15 the context block.    No accepted instruction writes them.
 *   I2  rsp is in the sandbox or within the drift that is counted.   Only check_rsp lets anything write it.
 *   I3  What is dereferenced lies in the sandbox or its guards.      check_memory, check_string.
 *   I4  Control goes to marked instructions, bundle starts and the   Groups are matched backwards from the
 *       runtime's entries, never inside a group.                     instruction that needs them; their inside is
 *                                                                    unmarked, and no two groups overlap.
 *
 * Groups end where they are recognised, so the window of instructions since the bundle's start is all the history
 * there is; a group cannot reach back over a bundle's edge because the window does not.
 */
#include <stddef.h>
#include <string.h>

#include "insn.h"
#include "verify.h"

/* Section 1 of the scheme. */
#define GUARD_SPAN 262144
#define MAX_DISP 131072
#define MAX_DRIFT 65536
#define MAX_CONFIRM 4096
#define TABLE_PAGE 4096
#define TABLE_ENTRIES 32
#define TABLE_COPY_ENTRIES 4

_Static_assert(TABLE_PAGE + MAX_CONFIRM + 64 + MAX_DRIFT + MAX_DISP + 128 <= GUARD_SPAN, "I2, I3");

/* The context block's one member for the sandbox. */
#define CONTEXT_TP 16

#define BUNDLE_MAX 32

struct scan {
	struct verify *v;
	struct insn window[BUNDLE_MAX]; /* since the bundle's start; the last is being checked */
	unsigned count;
	unsigned taken; /* so many of them cannot be part of another group */
	uint32_t drift; /* of rsp, pending */
	bool rsp_open;  /* the last one wrote esp; the base must be added next */
	struct seen seen;
};

static bool
fail(struct scan *s, const struct insn *insn, int rule, const char *reason)
{
	char text[INSN_TEXT_MAX] = "";

	if (s->v->fn)
		text_x64(insn, text);
	violation(s->v, insn->pos, insn->size, rule, text, reason);
	return false;
}

static unsigned
magnitude(int64_t x)
{
	return (unsigned) (x < 0 ? -x : x); /* of 32-bit values: fits */
}

/* Where a direct branch goes: an offset from the region's start, perhaps outside it. */
static int64_t
branch_target(const struct insn *insn)
{
	return (int64_t) insn->pos + insn->size + insn->imm;
}

/* Shapes of instructions that groups are made of. Prefixes that pad are free; everything else is spelled out. */

static bool
no_prefixes(const struct insn *insn)
{
	return !(insn->prefixes & ~(unsigned) (P_CS | P_DS));
}

/* `kind` of `operand` bytes between the registers. */
static bool
is_reg_reg(const struct insn *insn, int kind, unsigned operand, unsigned from, unsigned to)
{
	const struct row *row = insn->row;

	if (row->kind != kind || !row->reg || insn->memory || insn->operand != operand || !no_prefixes(insn))
		return false;
	return row->rm & W ? insn->rm == to && insn->reg == from : insn->reg == to && insn->rm == from;
}

/* addq or orq %r14, %rX. */
static bool
adds_base(const struct insn *insn, unsigned x)
{
	return is_reg_reg(insn, ADD, 8, R14, x) || is_reg_reg(insn, OR, 8, R14, x);
}

/* andl $mask, %eX. */
static bool
masks(const struct scan *s, const struct insn *insn, unsigned x)
{
	const struct row *row = insn->row;

	return row->kind == AND && row->imm && !insn->memory && insn->operand == 4 && no_prefixes(insn) &&
	       insn->imm == -(int64_t) s->v->bundle && (row->acc ? RAX : insn->rm) == x;
}

/* An operand (%r14,%rX), either way round at scale 1. */
static bool
is_base_plus(const struct insn *insn, unsigned x)
{
	return insn->scale == 1 && ((insn->base == R14 && insn->index == x) || (insn->base == x && insn->index == R14));
}

/* leaq (%r14,%rX), %rX. */
static bool
leas_base(const struct insn *insn, unsigned x)
{
	return insn->row->kind == LEA && insn->operand == 8 && no_prefixes(insn) && insn->reg == x && insn->disp == 0 &&
	       is_base_plus(insn, x);
}

/* An operand disp(%reg) without index, segment or address size. */
static bool
is_at(const struct insn *insn, unsigned base)
{
	return insn->memory && insn->base == base && insn->index == NO_REG && !(insn->prefixes & (P_GS | P_67));
}

static bool
is_nop(const struct insn *insn)
{
	return insn->row->kind == NOP && !(insn->map == ONE && insn->rex & REX_B);
}

/* Instructions first to last of the window become a group: only the first may be branched to. I4. */
static bool
take_group(struct scan *s, int first, unsigned last)
{
	if (first < (int) s->taken)
		return false;
	for (unsigned i = (unsigned) first + 1; i <= last; i++)
		bit_clear(s->v->targets, s->window[i].pos);
	s->taken = last + 1;
	return true;
}

/* Section 3: control flow. */

static bool
check_clean(struct scan *s, const struct insn *insn)
{
	if (s->drift)
		return fail(s, insn, LFI_RULE_DRIFT, "jump while the stack pointer's move is not confirmed");
	return true;
}

/* A bundle start that lies wholly in the sandbox: where control may go between regions. */
static bool
is_entry(const struct verify *v, uint64_t place)
{
	return place <= SANDBOX_SIZE - 32 && place % v->bundle == 0;
}

/* 3.1. What is wanted inside the region is compared with the targets when those are final. */
static bool
check_direct(struct scan *s, const struct insn *insn)
{
	uint64_t target = (uint64_t) branch_target(insn); /* huge when negative */

	if (target < s->v->size) {
		bit_set(s->v->wanted, (size_t) target);
		return true;
	}
	if (is_entry(s->v, s->v->offset + target) || leads_to_other_part(s->v, insn->pos, s->v->offset + target))
		return true;
	return fail(s, insn, LFI_RULE_DIRECT, "target outside the region is not a bundle start in the sandbox");
}

/* The masked jump or call ending at `last`. */
static bool
take_masked(struct scan *s, unsigned last)
{
	unsigned x = s->window[last].rm;
	int i = (int) last - 1;

	if (s->window[last].row->kind == CALL_INDIRECT)
		while (i >= 0 && is_nop(&s->window[i]))
			i--;
	if (i < 1 || x == RSP || x == R14 || x == R15)
		return false;
	if (!adds_base(&s->window[i], x) || !masks(s, &s->window[i - 1], x))
		return false;
	return take_group(s, i - 1, last);
}

static bool
is_table_entry(int32_t disp)
{
	if (disp % 8)
		return false;
	return (disp < 0 && disp >= -8 * TABLE_ENTRIES) || (disp >= 0 && disp < 8 * TABLE_COPY_ENTRIES);
}

static bool
take_rtcall(struct scan *s, unsigned last)
{
	const struct verify *v = s->v;
	const struct insn *jmp = &s->window[last], *lea = jmp - 1;
	uint64_t next = jmp->pos + (uint64_t) jmp->size, place;

	if (last < 1 || !is_table_entry(jmp->disp))
		return false;
	if (lea->row->kind != LEA || lea->operand != 8 || !no_prefixes(lea) || lea->base != RIP || lea->reg != R11)
		return false;
	place = v->offset + lea->pos + lea->size + (uint64_t) (int64_t) lea->disp;
	if (!(place == v->offset + next && next < v->size) && !is_entry(v, place))
		return false;
	return take_group(s, (int) last - 1, last);
}

static bool
check_indirect(struct scan *s, const struct insn *insn)
{
	if (insn->memory) {
		if (insn->row->kind != JMP_INDIRECT || !is_at(insn, R14))
			return fail(s, insn, LFI_RULE_INDIRECT, "indirect branch through memory");
		if (!take_rtcall(s, s->count - 1))
			return fail(s, insn, LFI_RULE_RTCALL, "not a well-formed runtime call");
	} else if (!take_masked(s, s->count - 1)) {
		return fail(s, insn, LFI_RULE_INDIRECT, "indirect branch is not masked");
	}
	if (insn->row->kind == JMP_INDIRECT)
		return check_clean(s, insn);
	s->drift = 0;
	return true;
}

/* movq between (%rsp) and r11. */
static bool
is_return_slot(const struct insn *insn, bool store)
{
	return insn->row->kind == MOV && insn->row->reg && insn->operand == 8 && no_prefixes(insn) &&
	       is_at(insn, RSP) && insn->disp == 0 && insn->reg == R11 && !(insn->row->rm & W) == !store;
}

/* Section 8. */
static bool
check_return(struct scan *s, const struct insn *insn)
{
	const struct insn *first = insn - 4;

	if (!s->v->single_thread)
		return fail(s, insn, LFI_RULE_RETURN, "return; only the single-thread policy has one");
	if (s->count < 5 || !is_return_slot(first, false) || !masks(s, first + 1, R11) || !adds_base(first + 2, R11) ||
	    !is_return_slot(first + 3, true) || !take_group(s, (int) s->count - 5, s->count - 1))
		return fail(s, insn, LFI_RULE_RETURN, "return outside the single-thread group");
	s->seen.code |= LFI_CODE_ST_RETURN;
	return check_clean(s, insn);
}

static bool
check_flow(struct scan *s, const struct insn *insn)
{
	switch (insn->row->kind) {
	case BRANCH:
		return check_clean(s, insn) && check_direct(s, insn);
	case CALL:
		s->drift = 0;
		return check_direct(s, insn);
	case JMP_INDIRECT:
	case CALL_INDIRECT:
		return check_indirect(s, insn);
	default:
		return check_return(s, insn);
	}
}

/* Section 4: memory. */

/* Half a string group ending before `end`: movl %eX, %eX and leaq (%r14,%rX), %rX. */
static bool
is_string_half(const struct scan *s, int end, unsigned x)
{
	return end >= 2 && is_reg_reg(&s->window[end - 2], MOV, 4, x, x) && leas_base(&s->window[end - 1], x);
}

static bool
take_string(struct scan *s, bool rdi, bool rsi)
{
	int last = (int) s->count - 1, first = last;

	if (rdi && rsi) {
		if ((is_string_half(s, last, RDI) && is_string_half(s, last - 2, RSI)) ||
		    (is_string_half(s, last, RSI) && is_string_half(s, last - 2, RDI)))
			first = last - 4;
	} else if (is_string_half(s, last, rdi ? RDI : RSI)) {
		first = last - 2;
	}
	return first < last && take_group(s, first, (unsigned) last);
}

/* Under the stores policy what is only read is free; gs may override the segment of rsi. */
static bool
string_reads_only(const struct insn *insn)
{
	int kind = insn->row->kind;

	if (kind == SCAS)
		return !(insn->prefixes & (P_GS | P_67));
	return (kind == LODS || kind == CMPS) && (insn->prefixes & P_GS || !(insn->prefixes & P_67));
}

static bool
check_string(struct scan *s, const struct insn *insn)
{
	int kind = insn->row->kind;
	bool stores = s->v->policy == LFI_POLICY_STORES;

	if (s->v->policy == LFI_POLICY_JUMPS || (stores && string_reads_only(insn)))
		return true;
	if (insn->prefixes & P_67 || (insn->prefixes & P_GS && !(stores && kind == MOVS)))
		return fail(s, insn, LFI_RULE_IMPLICIT, "string instruction with a segment or address size");
	if (take_string(s, kind != LODS, kind == LODS || kind == MOVS || kind == CMPS))
		return true;
	if (stores && kind == MOVS && take_string(s, true, false))
		return true;
	return fail(s, insn, LFI_RULE_IMPLICIT, "string instruction outside its group");
}

/* An address built on r15. Under gs with the address size it is one in the sandbox like any other. */
static bool
names_context(const struct insn *insn)
{
	unsigned both = P_GS | P_67;

	return (insn->base == R15 || insn->index == R15) && (insn->prefixes & both) != both;
}

/* Section 7. */
static bool
check_context(struct scan *s, const struct insn *insn)
{
	const struct row *row = insn->row;

	if (row->kind == MOV && row->reg && insn->operand == 8 && !(insn->prefixes & P_66) && is_at(insn, R15) &&
	    insn->disp == CONTEXT_TP)
		return true;
	return fail(s, insn, LFI_RULE_CONTEXT, "access to the context block");
}

static bool
check_gs(struct scan *s, const struct insn *insn)
{
	if (!(insn->prefixes & P_GS))
		return fail(s, insn, LFI_RULE_MEMORY, "address-size prefix without gs");
	if (!(insn->prefixes & P_67))
		return fail(s, insn, LFI_RULE_MEMORY, "gs without the address-size prefix");
	if (insn->base == RIP)
		return fail(s, insn, LFI_RULE_MEMORY, "gs with an address relative to eip");
	if (insn->row->imm == MOFFS)
		return fail(s, insn, LFI_RULE_MEMORY, "memory operand is not sandboxed");
	return true;
}

static bool
check_rsp_operand(struct scan *s, const struct insn *insn)
{
	unsigned disp = magnitude(insn->disp), size = memory_size_x64(insn);

	if (insn->row->kind == POP)
		disp += size; /* the address is computed after rsp has moved */
	if (disp > MAX_DISP || s->drift + disp + size > MAX_DRIFT + MAX_DISP)
		return fail(s, insn, LFI_RULE_MEMORY, "too far from the stack pointer");
	return true;
}

static bool
check_rip_operand(struct scan *s, const struct insn *insn)
{
	uint64_t place = s->v->offset + insn->pos + insn->size + (uint64_t) (int64_t) insn->disp;

	if (place > SANDBOX_SIZE - memory_size_x64(insn))
		return fail(s, insn, LFI_RULE_MEMORY, "target is outside the sandbox");
	return true;
}

/* The instruction before leaves a 32-bit value in rX: movl or leal. */
static bool
truncates(const struct insn *insn, unsigned x)
{
	const struct row *row = insn->row;

	if (row->kind == LEA)
		return insn->operand == 4 && insn->reg == x;
	if (row->kind != MOV || !row->reg || insn->operand != 4)
		return false;
	return row->reg & W ? insn->reg == x : !insn->memory && insn->rm == x;
}

/* Form 4.4. */
static bool
check_pair(struct scan *s, const struct insn *insn)
{
	unsigned x = insn->base == R14 ? insn->index : insn->base;

	if (s->count >= 2 && x < RIP && x != R14 && x != RSP && is_base_plus(insn, x) &&
	    !(insn->prefixes & (P_GS | P_67)) && magnitude(insn->disp) <= MAX_DISP && truncates(insn - 1, x) &&
	    take_group(s, (int) s->count - 2, s->count - 1))
		return true;
	return fail(s, insn, LFI_RULE_MEMORY, "memory operand is not sandboxed");
}

/* An access that ends the drift: it reaches memory near rsp, or traps. A bit test by a register reaches elsewhere. */
static bool
confirms(const struct insn *insn)
{
	const struct row *row = insn->row;

	return is_at(insn, RSP) && !(row->flags & (MAYBE | FREE)) && !insn->mask && row->kind != BITTEST &&
	       (row->rm & CLASS) != St && magnitude(insn->disp) + memory_size_x64(insn) <= MAX_CONFIRM;
}

static bool
check_operand(struct scan *s, const struct insn *insn)
{
	const struct row *row = insn->row;
	bool written = row->rm & W;

	if (s->v->policy == LFI_POLICY_JUMPS) {
		return !written || !names_context(insn) || check_context(s, insn);
	}
	if (row->kind == JMP_INDIRECT || row->kind == CALL_INDIRECT)
		return true; /* check_indirect */
	if (row->flags & FREE)
		return !(insn->prefixes & (P_GS | P_67)) || check_gs(s, insn);
	if (s->v->policy == LFI_POLICY_STORES && !written && (insn->prefixes & P_GS || !(insn->prefixes & P_67)))
		return true;
	if (row->kind == GATHER)
		return fail(s, insn, LFI_RULE_MEMORY, "gather");
	if (row->kind == BITTEST)
		return fail(s, insn, LFI_RULE_BITTEST, "bit test of memory with a register index");
	if (insn->prefixes & (P_GS | P_67))
		return check_gs(s, insn);
	if (names_context(insn))
		return check_context(s, insn);
	if (is_at(insn, RSP))
		return check_rsp_operand(s, insn);
	if (insn->base == RIP)
		return check_rip_operand(s, insn);
	return check_pair(s, insn);
}

static bool
check_memory(struct scan *s, const struct insn *insn)
{
	if (!check_operand(s, insn))
		return false;
	if (s->drift && confirms(insn))
		s->drift = 0;
	return true;
}

/* Section 5: the stack pointer. */

/* The 32-bit write that opens a group: mov, add, sub, and, lea into esp. */
static bool
opens_rsp(const struct insn *insn)
{
	int kind = insn->row->kind;

	return insn->operand == 4 && (kind == MOV || kind == ADD || kind == SUB || kind == AND || kind == LEA);
}

/* A move of rsp by a constant; `*by` says how far. */
static bool
is_drift(const struct insn *insn, unsigned *by)
{
	const struct row *row = insn->row;

	if (insn->operand != 8 || !no_prefixes(insn))
		return false;
	if (row->kind == LEA && is_at(insn, RSP))
		*by = magnitude(insn->disp);
	else if ((row->kind == ADD || row->kind == SUB) && row->imm)
		*by = magnitude(insn->imm);
	else
		return false;
	return true;
}

static bool
check_rsp(struct scan *s, const struct insn *insn)
{
	unsigned by;

	if (is_drift(insn, &by)) {
		if (by > MAX_DRIFT - s->drift)
			return fail(s, insn, LFI_RULE_DRIFT, "the stack pointer moves too far without an access");
		s->drift += by;
		return true;
	}
	if (!opens_rsp(insn))
		return fail(s, insn, LFI_RULE_STACK, "writes the stack pointer");
	if (s->count <= s->taken)
		return fail(s, insn, LFI_RULE_STACK, "two groups share an instruction");
	s->rsp_open = true;
	return true;
}

/* The base is added to what the instruction before left in esp. */
static bool
is_rsp_close(const struct insn *insn)
{
	return adds_base(insn, RSP) || (leas_base(insn, RSP) && insn->base == RSP);
}

/* The instruction after one that wrote esp, in the same bundle. */
static bool
close_rsp(struct scan *s, const struct insn *insn)
{
	s->rsp_open = false;
	if (!is_rsp_close(insn) || !take_group(s, (int) s->count - 2, s->count - 1))
		return fail(s, insn - 1, LFI_RULE_STACK, "sets the stack pointer without adding the base");
	s->drift = 0;
	return true;
}

/* Section 2. */
static bool
check_written(struct scan *s, const struct insn *insn)
{
	if (insn->written & (1u << R14 | 1u << R15))
		return fail(s, insn, LFI_RULE_REGISTER, "writes a protected register");
	if (s->v->policy == LFI_POLICY_JUMPS)
		return true;
	return check_rsp(s, insn);
}

/* What is left to check of kinds that are more than their operands. */
static bool
check_kind(struct scan *s, const struct insn *insn)
{
	bool jumps = s->v->policy == LFI_POLICY_JUMPS;

	switch (insn->row->kind) {
	case PUSH:
	case POP:
		s->drift = 0;
		return true;
	case LEAVE:
		return jumps || fail(s, insn, LFI_RULE_REGISTER, "writes the stack pointer");
	case BRANCH:
	case CALL:
	case JMP_INDIRECT:
	case CALL_INDIRECT:
	case RET:
		return check_flow(s, insn);
	case STOS:
	case SCAS:
	case MOVS:
	case CMPS:
	case LODS:
		return check_string(s, insn);
	case IMPLICIT:
		return jumps || fail(s, insn, LFI_RULE_IMPLICIT, "memory operand is implicit");
	case RDTSC:
		return !s->v->no_rdtsc || fail(s, insn, LFI_RULE_INSTRUCTION, "reading the time stamp is forbidden");
	default:
		return true;
	}
}

static void
note_evex(struct scan *s, const struct insn *insn)
{
	s->seen.code |= LFI_CODE_AVX | LFI_CODE_AVX512;
	s->seen.cpu |= (uint64_t) 1 << LFI_CPU_AVX512F;
	if (insn->vex_l < 2 && !(insn->row->flags & (L0 | LIG)))
		s->seen.cpu |= (uint64_t) 1 << LFI_CPU_AVX512VL;
}

/* Of a row's member, which is one more than LFI_CPU_*, or 0. */
static uint64_t
needed(unsigned cpu)
{
	return cpu ? (uint64_t) 1 << (cpu - 1) : 0;
}

static void
note(struct scan *s, const struct insn *insn)
{
	const struct row *row = insn->row;

	s->seen.code |= row->code;
	if (insn->evex)
		note_evex(s, insn);
	if (!row->cpu && !row->cpu256 && !(row->flags & CX16))
		return;
	if (row->flags & CPUW) {
		s->seen.cpu |= needed(insn->rex & REX_W ? row->cpu256 : row->cpu);
		return;
	}
	s->seen.cpu |= needed(row->cpu);
	if (insn->vex_l)
		s->seen.cpu |= needed(row->cpu256);
	if (row->flags & CX16 && insn->rex & REX_W)
		s->seen.cpu |= (uint64_t) 1 << LFI_CPU_CX16;
}

static bool
check(struct scan *s, const struct insn *insn)
{
	unsigned kind = insn->row->kind;

	if (s->rsp_open)
		return close_rsp(s, insn);
	if (insn->memory && !check_memory(s, insn))
		return false;
	if (insn->written && !check_written(s, insn))
		return false;
	return kind < PUSH || check_kind(s, insn);
}

static const uint8_t *
fetch(const struct verify *v, size_t pos, uint8_t copy[DECODE_WINDOW])
{
	if (v->size - pos >= DECODE_WINDOW)
		return v->code + pos;
	memset(copy, 0, DECODE_WINDOW);
	memcpy(copy, v->code + pos, v->size - pos);
	return copy;
}

static bool
fail_decode(struct scan *s, size_t pos, const uint8_t *bytes, unsigned size, int rule, const char *reason)
{
	char text[INSN_TEXT_MAX];
	size_t left = s->v->size - pos;

	if (size > left)
		size = (unsigned) left;
	text_bytes_x64(bytes, size, text);
	violation(s->v, pos, size, rule, text, reason);
	return false;
}

/* Decodes and checks the instruction at `pos` of the bundle that ends at `edge`. Returns where the next one is. */
static size_t
step(struct scan *s, size_t pos, size_t edge)
{
	struct insn *insn = &s->window[s->count];
	uint8_t copy[DECODE_WINDOW];
	const uint8_t *bytes = fetch(s->v, pos, copy);
	const char *reason;
	int rule = decode_x64(bytes, insn, &reason);

	if (rule) {
		fail_decode(s, pos, bytes, insn->size, rule, reason);
		return edge;
	}
	insn->pos = (uint32_t) pos;
	if (pos + insn->size > edge) {
		fail(s, insn, LFI_RULE_BUNDLE, "instruction crosses a bundle's edge");
		return edge;
	}
	s->count++;
	bit_set(s->v->targets, pos);
	note(s, insn);
	check(s, insn);
	return pos + insn->size;
}

/* No group and no instruction crosses the edge. */
static void
scan_bundle(struct scan *s, size_t pos, size_t edge)
{
	s->count = 0;
	s->taken = 0;
	for (; pos < edge && !s->v->stop; s->v->report.instructions++)
		pos = step(s, pos, edge);
	if (s->rsp_open && !s->v->stop)
		fail(s, &s->window[s->count - 1], LFI_RULE_STACK,
		    "the group that sets the stack pointer leaves its bundle");
	s->rsp_open = false;
}

static void
check_end(struct scan *s)
{
	s->v->drift = s->drift;
	if (s->drift && !s->v->behind && !s->v->stop)
		violation(s->v, s->v->size, 0, LFI_RULE_DRIFT, "",
		    "the stack pointer's move is not confirmed at the region's end");
}

size_t
rules_bundle(struct verify *v, size_t pos, uint32_t *drift, struct seen *seen)
{
	size_t before = v->report.instructions, count;
	struct scan s; /* of the window nothing is read before it is written */

	s.v = v;
	s.drift = *drift;
	s.rsp_open = false;
	s.seen = *seen;
	scan_bundle(&s, pos, pos + v->bundle);
	count = v->report.instructions - before;
	v->report.instructions = before;
	*drift = s.drift;
	*seen = s.seen;
	return count;
}

/* An empty window: no group is found, and one that is opened is not closed. */
bool
rules_alone(const struct verify *v, size_t pos, uint32_t *drift, struct seen *seen, unsigned *length)
{
	struct verify alone = *v;
	struct scan s;
	uint8_t copy[DECODE_WINDOW];
	const char *reason;

	s.v = &alone;
	s.count = 1;
	s.taken = 0;
	s.drift = *drift;
	s.rsp_open = false;
	s.seen = *seen;
	*length = 0;
	if (decode_x64(fetch(v, pos, copy), s.window, &reason) != LFI_RULE_NONE)
		return false;
	s.window->pos = (uint32_t) pos;
	*length = s.window->size;
	note(&s, s.window);
	if (!check(&s, s.window) || s.rsp_open)
		return false;
	*drift = s.drift;
	*seen = s.seen;
	return true;
}

void
report_seen(struct verify *v, const struct seen *seen)
{
	v->report.code = seen->code;
	v->report.cpu = seen->cpu;
	if (seen->code & LFI_CODE_AVX)
		v->report.cpu |= (uint64_t) 1 << LFI_CPU_AVX;
}

void
rules_scan(struct verify *v)
{
	struct scan s = {.v = v};

	for (size_t pos = 0; pos < v->size && !v->stop; pos += v->bundle)
		scan_bundle(&s, pos, pos + v->bundle);
	check_end(&s);
	report_seen(v, &s.seen);
}

void
arch_scan(struct verify *v)
{
	if (quick_scan(v))
		return;
	forget_marks(v);
	rules_scan(v);
}

/* Walks as rules_scan did. */
void
arch_bad_branches(struct verify *v)
{
	struct scan s = {.v = v};
	struct insn *insn = s.window;
	uint8_t copy[DECODE_WINDOW];
	const char *reason;

	for (size_t pos = 0; pos < v->size && !v->stop;) {
		size_t edge = (pos | (v->bundle - 1)) + 1;
		bool good = decode_x64(fetch(v, pos, copy), insn, &reason) == LFI_RULE_NONE;
		uint64_t target;

		insn->pos = (uint32_t) pos;
		pos = good && pos + insn->size <= edge ? pos + insn->size : edge;
		if (!good || (insn->row->kind != BRANCH && insn->row->kind != CALL))
			continue;
		target = (uint64_t) branch_target(insn);
		if (target < v->size && bit_get(v->wanted, target) && !bit_get(v->targets, target))
			fail(&s, insn, LFI_RULE_DIRECT,
			    "target is inside an instruction or a group, or was not decoded");
	}
}
