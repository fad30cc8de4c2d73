//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * The verifier's driver: checks the arguments, lays out the scratch memory, runs the architecture's pass over the
 * code, then compares where direct branches go with where they may. Called by core before pages become executable,
 * and by lfi-verify. Trusted: a bug here is an escape. Freestanding: no allocation, no input or output, no state.
 *
 * A region can be walked in parts, by several threads, each as if it were a region of its own that another follows.
 * Then the parts are joined. Whenever that does not end in acceptance the whole region is verified by one thread: so
 * messages, and whatever is unusual, are those of lfi_verify.
 *
 *   I1  A region is looked at only if its size and offset are multiples of the bundle and it lies in the sandbox.
 *   I2  Every direct branch goes to a marked instruction start of its region, or to a bundle-aligned place of
 *       the sandbox outside it. Marks are final before they are compared.
 *   I3  A violation that is found is counted, whether or not anybody listens: accepted means none.
 *   I4  Parts begin at whole words of the bitmaps, so what a part's walk writes no other one reads or writes.
 *   I5  A part is walked as if no drift were pending in front of it, which accepts whatever is accepted with some. What
 *       the part before it leaves pending, the rules follow into it when parts are joined, until it is confirmed.
 *   I6  A direct branch into another part goes to a bundle's start, which is marked in every part that is accepted, or
 *       is noted (leads_to_other_part), and its target is looked up in the marks when all of them are final.
 */
#include "verify.h"

#include <string.h>

void
violation(struct verify *v, size_t pos, size_t size, int rule, const char *insn, const char *reason)
{
	struct LFIViolation found = {pos, size, rule, insn, reason};

	v->report.violations++; /* I3 */
	if (v->fn && !v->fn(&found, v->user))
		v->stop = true;
	if (v->report.violations >= v->max_violations)
		v->stop = true;
}

static int
refuse_argument(struct verify *v, const char *reason)
{
	violation(v, 0, 0, LFI_RULE_ARGUMENT, "", reason);
	return -1;
}

/* An older caller's shorter struct means defaults; a newer caller's longer one must be zero beyond what we know. */
static int
take_options(struct verify *v, const struct LFIVerifyOptions *given)
{
	struct LFIVerifyOptions own = {0};
	const uint8_t *bytes = (const uint8_t *) given;

	if (given) {
		if (given->struct_size < sizeof given->struct_size)
			return refuse_argument(v, "struct_size of the options is not set");
		for (size_t i = sizeof own; i < given->struct_size; i++)
			if (bytes[i])
				return refuse_argument(v, "the options set a member that this library does not know");
		memcpy(&own, given, given->struct_size < sizeof own ? given->struct_size : sizeof own);
	}
	if (own.policy != LFI_POLICY_FULL && own.policy != LFI_POLICY_STORES && own.policy != LFI_POLICY_JUMPS)
		return refuse_argument(v, "unknown policy");
	if (own.bundle != 0 && own.bundle != 16 && own.bundle != 32)
		return refuse_argument(v, "bundle size is neither 16 nor 32");
	v->policy = own.policy;
	v->bundle = own.bundle ? own.bundle : 32;
	v->single_thread = own.single_thread;
	v->no_rdtsc = own.no_rdtsc;
	v->max_violations = own.max_violations ? own.max_violations : 1;
	return 0;
}

/* I1. */
static int
take_region(struct verify *v, const void *code, size_t size, uint64_t offset)
{
	if (size > SANDBOX_SIZE || offset > SANDBOX_SIZE - size)
		return refuse_argument(v, "the region does not lie in the sandbox");
	if (size % v->bundle || offset % v->bundle)
		return refuse_argument(v, "size or offset of the region is not a multiple of the bundle");
	if (size && !code)
		return refuse_argument(v, "the code is NULL");
	v->code = code;
	v->size = size;
	v->offset = offset;
	return 0;
}

void
forget_marks(struct verify *v)
{
	size_t bytes = bitmap_words(v->size) * sizeof *v->targets;

	if (bytes) {
		memset(v->targets, 0, bytes);
		memset(v->wanted, 0, bytes);
	}
}

static int
take_scratch(struct verify *v, void *scratch, size_t scratch_size)
{
	size_t words = bitmap_words(v->size);

	if (scratch_size < lfi_verify_scratch_size(v->size) || (words && !scratch) || (uintptr_t) scratch % 8)
		return refuse_argument(v, "the scratch memory is too small or not aligned");
	v->targets = scratch;
	v->wanted = v->targets + words;
	return 0;
}

/* I2. */
static bool
wanted_are_targets(const struct verify *v)
{
	size_t words = bitmap_words(v->size);
	uint64_t bad = 0;

	for (size_t i = 0; i < words; i++)
		bad |= v->wanted[i] & ~v->targets[i];
	return bad == 0;
}

/* From the start. */
static bool
verify_all(struct verify *v)
{
	bool good;

	forget_marks(v);
	arch_scan(v);
	good = wanted_are_targets(v);
	if (!good && !v->stop)
		arch_bad_branches(v); /* which they are, for the messages */
	return good && v->report.violations == 0;
}

/* What lfi_verify_part leaves for lfi_verify_finish: what the part is of, and what was seen. */
struct part {
	const void *code, *scratch;
	size_t size;
	uint64_t offset;
	size_t number, count;
	uint32_t policy, bundle;
	uint32_t single_thread, no_rdtsc; /* 0 or 1: whatever memory held, these can be read */
	uint32_t accepted;                /* by itself */
	uint32_t drift;                   /* pending at its end */
	struct seen seen;
	size_t instructions;
};
_Static_assert(sizeof(struct part) <= sizeof(struct LFIVerifyPart), "there is room");

static struct part
part_of(const struct verify *v, size_t number, size_t count)
{
	return (struct part){.code = v->code,
	    .scratch = v->targets,
	    .size = v->size,
	    .offset = v->offset,
	    .number = number,
	    .count = count,
	    .policy = (uint32_t) v->policy,
	    .bundle = v->bundle,
	    .single_thread = v->single_thread,
	    .no_rdtsc = v->no_rdtsc};
}

static bool
is_same_part(const struct part *a, const struct part *b)
{
	return a->code == b->code && a->scratch == b->scratch && a->size == b->size && a->offset == b->offset &&
	       a->number == b->number && a->count == b->count && a->policy == b->policy && a->bundle == b->bundle &&
	       a->single_thread == b->single_thread && a->no_rdtsc == b->no_rdtsc;
}

/* Where the part begins. I4. */
static size_t
part_start(const struct verify *v, size_t number, size_t count)
{
	return number == count ? v->size : bitmap_words(v->size) * number / count * 64;
}

/* The part as a region. */
static struct verify
narrow(const struct verify *v, size_t start, size_t end)
{
	struct verify part = *v;

	part.code += start;
	part.size = end - start;
	part.offset += start;
	part.before = start;
	part.behind = v->size - end;
	part.targets += start / 64;
	part.wanted += start / 64;
	part.max_violations = 1;
	return part;
}

/* I5. The rules over the bundles from `pos` to `end`, until `drift` is confirmed. What is left of it. */
static uint32_t
follow_drift(struct verify *v, size_t pos, size_t end, uint32_t drift)
{
	struct seen seen = {0};

	for (; drift && pos < end && !v->stop; pos += v->bundle)
		rules_bundle(v, pos, &drift, &seen);
	return drift;
}

/* Whether all parts are there, and accepted as a whole. Gathers the report. Nobody listens. */
static bool
parts_join(struct verify *v, const struct LFIVerifyPart *given, size_t count)
{
	struct seen seen = {0};
	uint32_t drift = 0;

	for (size_t i = 0; i < count; i++) {
		struct part expected = part_of(v, i, count), part;

		memcpy(&part, &given[i], sizeof part);
		if (!is_same_part(&part, &expected) || !part.accepted)
			return false;
		drift = follow_drift(v, part_start(v, i, count), part_start(v, i + 1, count), drift);
		if (!drift)
			drift = part.drift;
		seen.code |= part.seen.code;
		seen.cpu |= part.seen.cpu;
		v->report.instructions += part.instructions;
	}
	report_seen(v, &seen);
	return !drift && v->report.violations == 0 && arch_branches_good(v) /* I6 */;
}

static void
give_report(struct LFIVerifyReport *report, const struct verify *v)
{
	struct LFIVerifyReport own = v->report;

	if (!report || report->struct_size < sizeof report->struct_size)
		return;
	own.struct_size = report->struct_size;
	if (report->struct_size > sizeof own)
		memset((uint8_t *) report + sizeof own, 0, report->struct_size - sizeof own);
	memcpy(report, &own, report->struct_size < sizeof own ? report->struct_size : sizeof own);
}

size_t
lfi_verify_scratch_size(size_t size)
{
	return 2 * bitmap_words(size) * sizeof(uint64_t);
}

int
lfi_verify(const struct LFIVerifyOptions *opts, const void *code, size_t size, uint64_t offset, void *scratch,
    size_t scratch_size, LFIViolationFn fn, void *user, struct LFIVerifyReport *report)
{
	struct verify v = {.fn = fn, .user = user, .max_violations = 1};
	bool accepted = false;

	if (take_options(&v, opts) == 0 && take_region(&v, code, size, offset) == 0 &&
	    take_scratch(&v, scratch, scratch_size) == 0) {
		accepted = verify_all(&v);
	}
	give_report(report, &v);
	return !accepted;
}

int
lfi_verify_part(const struct LFIVerifyOptions *opts, const void *code, size_t size, uint64_t offset, void *scratch,
    size_t scratch_size, size_t number, size_t count, struct LFIVerifyPart *result)
{
	struct verify v = {.max_violations = 1}, own;
	struct part part;

	if (!result)
		return 1;
	memset(result, 0, sizeof *result);
	if (take_options(&v, opts) != 0 || take_region(&v, code, size, offset) != 0 ||
	    take_scratch(&v, scratch, scratch_size) != 0 || count > LFI_VERIFY_PARTS_MAX || number >= count)
		return 1;
	part = part_of(&v, number, count);
	own = narrow(&v, part_start(&v, number, count), part_start(&v, number + 1, count));
	part.accepted = verify_all(&own);
	if (part.accepted)
		arch_note_branches(&own);
	part.drift = own.drift;
	part.seen = (struct seen){own.report.cpu, own.report.code};
	part.instructions = own.report.instructions;
	memcpy(result, &part, sizeof part);
	return !part.accepted;
}

int
lfi_verify_finish(const struct LFIVerifyOptions *opts, const void *code, size_t size, uint64_t offset, void *scratch,
    size_t scratch_size, const struct LFIVerifyPart *parts, size_t count, LFIViolationFn fn, void *user,
    struct LFIVerifyReport *report)
{
	struct verify v = {.max_violations = 1};

	if (take_options(&v, opts) == 0 && take_region(&v, code, size, offset) == 0 &&
	    take_scratch(&v, scratch, scratch_size) == 0 && parts && count > 0 && parts_join(&v, parts, count)) {
		give_report(report, &v);
		return 0;
	}
	return lfi_verify(opts, code, size, offset, scratch, scratch_size, fn, user, report);
}

const char *
lfi_verify_rule_name(int rule)
{
	static const char *const names[] = {
	    [LFI_RULE_NONE] = "none",
	    [LFI_RULE_DECODE] = "decode",
	    [LFI_RULE_INSTRUCTION] = "instruction",
	    [LFI_RULE_PREFIX] = "prefix",
	    [LFI_RULE_BUNDLE] = "bundle",
	    [LFI_RULE_REGISTER] = "register",
	    [LFI_RULE_DIRECT] = "direct branch",
	    [LFI_RULE_INDIRECT] = "indirect branch",
	    [LFI_RULE_RETURN] = "return",
	    [LFI_RULE_RTCALL] = "runtime call",
	    [LFI_RULE_MEMORY] = "memory",
	    [LFI_RULE_IMPLICIT] = "implicit memory",
	    [LFI_RULE_BITTEST] = "bit test",
	    [LFI_RULE_STACK] = "stack",
	    [LFI_RULE_DRIFT] = "drift",
	    [LFI_RULE_CONTEXT] = "context block",
	    [LFI_RULE_ARGUMENT] = "argument",
	};

	if (rule < 0 || (size_t) rule >= sizeof names / sizeof names[0])
		return "unknown";
	return names[rule];
}

const char *
lfi_cpu_feature_name(int feature)
{
	static const char *const names[] = {
	    "sse3",
	    "ssse3",
	    "sse4.1",
	    "sse4.2",
	    "popcnt",
	    "lzcnt",
	    "cx16",
	    "movbe",
	    "lahf",
	    "aes",
	    "pclmul",
	    "sha",
	    "gfni",
	    "rdrand",
	    "rdseed",
	    "adx",
	    "bmi1",
	    "bmi2",
	    "f16c",
	    "fma",
	    "avx",
	    "avx2",
	    "vaes",
	    "vpclmul",
	    "avx-vnni",
	    "rdtscp",
	    "avx512f",
	    "avx512bw",
	    "avx512dq",
	    "avx512vl",
	    "avx512cd",
	    "avx512-vnni",
	    "avx512-vbmi",
	    "avx512-vbmi2",
	    "avx512-ifma",
	    "avx512-bitalg",
	    "avx512-vpopcntdq",
	    "avx512-bf16",
	    "avx512-fp16",
	};

	_Static_assert(sizeof names / sizeof names[0] == LFI_CPU_COUNT, "one name per feature");
	if (feature < 0 || feature >= LFI_CPU_COUNT)
		return "unknown";
	return names[feature];
}
