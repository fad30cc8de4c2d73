/* SPDX-License-Identifier: MIT */
/*
 * Inside the verifier: what the driver (verify.c) and an architecture share. The driver owns the options, the
 * two bitmaps and the reporting; the architecture walks the code. Trusted.
 */
#ifndef VERIFY_H
#define VERIFY_H

#include "lfi_verify.h"

#define SANDBOX_SIZE ((uint64_t) 1 << 32)

struct verify {
	const uint8_t *code;
	size_t size;
	uint64_t offset; /* of code[0] from the base */
	size_t before;   /* bytes of the region in front of code[0], other parts' (lfi_verify_part); 0: none */
	size_t behind;   /* and behind its end */
	int policy;
	uint32_t bundle;
	bool single_thread;
	bool no_rdtsc;

	uint64_t *targets; /* a bit per byte: a direct branch may go here */
	uint64_t *wanted;  /* a bit per byte: a direct branch goes here, or see leads_to_other_part */
	uint32_t drift;    /* pending at the end: 0 unless another part follows */

	size_t max_violations;
	LFIViolationFn fn;
	void *user;
	bool stop;
	struct LFIVerifyReport report;
};

static inline void
bit_set(uint64_t *map, size_t i)
{
	map[i / 64] |= (uint64_t) 1 << i % 64;
}

static inline void
bit_clear(uint64_t *map, size_t i)
{
	map[i / 64] &= ~((uint64_t) 1 << i % 64);
}

static inline bool
bit_get(const uint64_t *map, size_t i)
{
	return map[i / 64] >> i % 64 & 1;
}

static inline size_t
bitmap_words(size_t size)
{
	return size / 64 + (size % 64 != 0);
}

/* Both bitmaps are empty. */
void forget_marks(struct verify *v);

/* Counts a violation and tells the caller of lfi_verify; sets v->stop when enough is enough. */
void violation(struct verify *v, size_t pos, size_t size, int rule, const char *insn, const char *reason);

/* What a walk over the code gathers for the report. */
struct seen {
	uint64_t cpu;
	uint32_t code;
};

/* Into v's report. */
void report_seen(struct verify *v, const struct seen *seen);

/*
 * The rules over the bundle at `pos`, `*drift` being pending before it. Leaves what is pending then, marks what may be
 * branched to, unmarks what may not; a violation stops v. Returns how many instructions there are.
 */
size_t rules_bundle(struct verify *v, size_t pos, uint32_t *drift, struct seen *seen);

/*
 * The rules over the instruction at `pos`, whatever is in front of it, `*drift` being pending. True: accepted, and part
 * of no group that needs it; leaves what is pending then. False: who knows. `*length` is its size, or 0 if it has none.
 * Neither marks nor counts.
 */
bool rules_alone(const struct verify *v, size_t pos, uint32_t *drift, struct seen *seen, unsigned *length);

/* The rules over the whole region, one instruction after the other. */
void rules_scan(struct verify *v);

/*
 * The same with several instructions in flight, most of which it decides by itself. True: accepted, marks and report as
 * rules_scan leaves them. False: not, and what is in v is meaningless; rules_scan knows why.
 */
bool quick_scan(struct verify *v);

/* Every rule but whether direct branches inside the region go to targets. Fills both bitmaps and the report. */
void arch_scan(struct verify *v);

/* Reports each direct branch to a place of the region that is no target. There is one. */
void arch_bad_branches(struct verify *v);

/*
 * The direct branch at `pos` goes to `target`, from the base. True: that is in another part of the region, and is noted
 * in `wanted`, where there is no harm in bits at the starts of instructions: at the branch and at its bundle's start.
 */
bool leads_to_other_part(struct verify *v, size_t pos, uint64_t target);

/* In `wanted` of an accepted part, only those direct branches remain that go to another part, at their starts. */
void arch_note_branches(struct verify *part);

/* Whether these go to targets, after all parts were accepted. */
bool arch_branches_good(const struct verify *v);

#endif
