/* SPDX-License-Identifier: MIT */
/*
 * A region that is verified in parts gets the verdict, the violations and the report that it gets as a whole: whatever
 * leads from one part to another, whatever is pending between them, however many they are. And what is accepted is
 * accepted by its parts: nobody looks at all of it once more.
 */
#include <lfi/lfi_verify.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "assemble.h"

#define SIZE 1056
#define COUNTS (SIZE / 64 + 3)
#define OFFSET 0x100000

static uint64_t seed = 1;

static uint64_t
random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* What lfi_verify says of a region, and what its parts say. */
struct outcome {
	int refused;
	bool again; /* all of it was looked at once more */
	struct LFIVerifyReport report;
	char text[4096];
};

static bool
append(const struct LFIViolation *violation, void *user)
{
	struct outcome *outcome = user;
	size_t at = strlen(outcome->text);

	snprintf(outcome->text + at, sizeof outcome->text - at, "%zx %zu %d %s %s\n", violation->offset,
	    violation->size, violation->rule, violation->insn, violation->reason);
	return true;
}

static uint64_t scratch[2 * (SIZE / 64 + 1)];

/* Where the region will be. */
static uint64_t place = OFFSET;

/* `size` bytes that end at a page that nobody may read. */
static uint8_t *
guarded(size_t size)
{
	static uint8_t *pages;

	if (!pages) {
		pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_true(pages != MAP_FAILED);
		assert_int_equal(mprotect(pages + 4096, 4096, PROT_NONE), 0);
	}
	return pages + 4096 - size;
}

static void
judge_whole(struct outcome *outcome, const struct LFIVerifyOptions *options, const uint8_t *code, size_t size)
{
	memset(outcome, 0, sizeof *outcome);
	outcome->report.struct_size = sizeof outcome->report;
	outcome->refused = lfi_verify(
	    options, code, size, place, scratch, sizeof scratch, append, outcome, &outcome->report);
}

/*
 * Parts in any order. Between them and the verdict a bit is set that says that a branch goes to the region's first byte;
 * tests have none there. It is good, does not matter, and is gone if all is looked at again.
 */
static void
judge_parts(struct outcome *outcome, const struct LFIVerifyOptions *options, const uint8_t *code, size_t size,
    size_t count)
{
	struct LFIVerifyPart parts[COUNTS + 1];
	size_t first = random64() % count, step = count > 1 && count % 7 ? 7 : 1;

	memset(outcome, 0, sizeof *outcome);
	memset(parts, 0xff, sizeof parts);
	memset(scratch, 0xff, sizeof scratch);
	outcome->report.struct_size = sizeof outcome->report;
	for (size_t i = 0; i < count; i++) {
		size_t number = (first + i * step) % count;

		lfi_verify_part(options, code, size, place, scratch, sizeof scratch, number, count, &parts[number]);
	}
	scratch[(size + 63) / 64] |= 1;
	outcome->refused = lfi_verify_finish(options, code, size, place, scratch, sizeof scratch, parts, count,
	    append, outcome, &outcome->report);
	outcome->again = !(scratch[(size + 63) / 64] & 1);
}

static unsigned accepted, differ;

static void
compare(const struct LFIVerifyOptions *options, const uint8_t *code, size_t size)
{
	static struct outcome whole, parts;

	judge_whole(&whole, options, code, size);
	accepted += !whole.refused;
	for (size_t count = 1; count <= size / 64 + 3; count++) {
		judge_parts(&parts, options, code, size, count);
		if (parts.refused == whole.refused && parts.again == whole.refused &&
		    strcmp(parts.text, whole.text) == 0 &&
		    memcmp(&parts.report, &whole.report, sizeof whole.report) == 0)
			continue;
		if (differ++ < 5)
			print_error("%zu parts of %zu bytes: refused %d%s, not %d:\n%swhole:\n%s", count, size,
			    parts.refused, parts.again ? " (again)" : "", whole.refused, parts.text, whole.text);
	}
}

/* ---- At random ---- */

/* A bundle each. In SLOT, five bytes become a jump. */
enum { SLOT, DRIFT, CONFIRM };

static const char *const snippets[] = {
    [SLOT] = "xorl %ecx, %ecx; .skip 5, 0x90; movl $7, %eax; leal 8(%rax), %edx",
    [DRIFT] = "nop; subq $0x3ff8, %rsp; leaq 8(%rax), %rbx",
    [CONFIRM] = "leaq 8(%rax), %rbx; pushq %rbp; jne 1f; 1: movl %eax, %gs:(%ecx)",
    "movq %rax, %rbx; addl $5, %ecx; movl $7, %eax; movabsq $0x123456789a, %rcx",
    "pushq %rbp; subq $0x18, %rsp; movq %rax, 8(%rsp); addq $0x18, %rsp; popq %rbp",
    "popq %r11; andl $-32, %r11d; addq %r14, %r11; jmpq *%r11",
    "subl $0x100, %esp; addq %r14, %rsp; movl %ebp, %esp; addq %r14, %rsp; nop",
    "leaq 1f(%rip), %r11; jmpq *-8(%r14); 1: nop",
    ".skip 21, 0x90; leaq 1f(%rip), %r11; jmpq *-8(%r14); 1:",
    "movl %edi, %edi; leaq (%r14,%rdi), %rdi; rep stosb; std; fld %st(1)",
    "jmp 1f; je 1f; nop; 1: call 1b; jne 1b",
    "movq (%rsp), %r11; andl $-32, %r11d; addq %r14, %r11; movq %r11, (%rsp); ret",
    "vaddpd %ymm0, %ymm1, %ymm2; popcntl %eax, %ebx; ldmxcsr 8(%rsp)",
};

#define SNIPPETS (sizeof snippets / sizeof snippets[0])

static const char *
snippet_text(size_t i)
{
	return snippets[i];
}

/* A place where an instruction begins, or seldom any. */
static size_t
some_target(const uint8_t *code, size_t size)
{
	size_t target;

	do
		target = 32 + random64() % (size - 32);
	while (random64() % 200 && !(scratch[target / 64] >> target % 64 & 1));
	return target;
}

static void
fill(uint8_t *code, size_t size, const struct code *from)
{
	size_t drift = 0;

	memset(code, 0x90, 32);
	for (size_t at = 32; at < size; at += 32) {
		size_t which = random64() % SNIPPETS;

		if (drift > 0 && random64() % 16)
			which = drift++ == 4 || random64() % 3 == 0 || at + 32 == size ? CONFIRM : DRIFT;
		else if (at + 32 == size && which == DRIFT)
			which = SLOT;
		drift = which == DRIFT ? drift + !drift : 0;
		memcpy(code + at, from[which].bytes, 32);
	}
	lfi_verify(NULL, code, size, OFFSET, scratch, sizeof scratch, NULL, NULL, NULL); /* for its marks */
	for (size_t at = 32; at < size; at += 32) {
		int32_t distance;

		if (memcmp(code + at, from[SLOT].bytes, 32) != 0)
			continue;
		distance = (int32_t) (some_target(code, size) - (at + 7));
		code[at + 2] = random64() % 2 ? 0xe8 : 0xe9;
		memcpy(code + at + 3, &distance, 4);
	}
}

static void
a_region_in_parts_is_judged_as_a_whole(void **state)
{
	static uint8_t code[SIZE];
	struct code *from = assemble_all(snippet_text, SNIPPETS);
	struct LFIVerifyOptions options = {.struct_size = sizeof options};

	accepted = differ = 0;
	for (unsigned round = 0; round < 3000; round++) {
		size_t size = 96 + 32 * (random64() % ((SIZE - 96) / 32 + 1));

		options.policy = round % 8 == 7 ? LFI_POLICY_STORES : round % 8 == 6 ? LFI_POLICY_JUMPS : LFI_POLICY_FULL;
		options.bundle = round % 32 == 31 ? 16 : 32;
		options.single_thread = round % 16 != 1;
		options.max_violations = random64() % 3 == 0 ? 1 + random64() % 3 : 100;
		fill(code, size, from);
		if (round % 3 == 0)
			code[32 + random64() % (size - 32)] ^= (uint8_t) (1u << random64() % 8);
		compare(&options, code, size);
	}
	free(from);
	print_message("accepted %u of 3000\n", accepted);
	assert_true(accepted > 300);
	assert_int_equal(differ, 0);
}

/* ---- One thing at a time ---- */

/* What branches there are; the last bytes are the distance. */
static const struct {
	uint8_t bytes[8];
	unsigned size, distance;
} branches[] = {
    {{0xeb}, 2, 1}, {{0xe9}, 5, 4}, {{0xe8}, 5, 4}, {{0x74}, 2, 1}, {{0x7f}, 2, 1}, {{0x0f, 0x80}, 6, 4},
    {{0x0f, 0x8f}, 6, 4}, {{0xe0}, 2, 1}, {{0xe2}, 2, 1}, {{0xe3}, 2, 1}, {{0x67, 0xe3}, 3, 1}, {{0x67, 0xe2}, 3, 1},
    {{0x2e, 0x74}, 3, 1}, {{0x3e, 0x0f, 0x84}, 7, 4}, {{0x2e, 0xe9}, 6, 4}, {{0x3e, 0xeb}, 3, 1}, {{0x3e, 0xe8}, 6, 4},
    {{0x67, 0xe8}, 6, 4}, {{0x48, 0xe9}, 6, 4}, {{0x48, 0xe8}, 6, 4}, {{0x67, 0xe9}, 6, 4}, {{0x2e, 0x67, 0xe3}, 4, 1},
    {{0x66, 0xe9}, 6, 4}, {{0xf2, 0x74}, 3, 1}, {{0xf2, 0xe8}, 6, 4}, {{0x65, 0x74}, 3, 1}, {{0x26, 0x74}, 3, 1},
    {{0x2e, 0x48, 0xe9}, 7, 4},
};

#define BRANCHES (sizeof branches / sizeof branches[0])

static void
put_branch(uint8_t *code, size_t at, size_t which, size_t target)
{
	unsigned size = branches[which].size, distance = branches[which].distance;
	int32_t far = (int32_t) (target - (at + size));

	memcpy(code + at, branches[which].bytes, size - distance);
	memcpy(code + at + size - distance, &far, distance);
}

static const struct LFIVerifyOptions bundle16 = {.struct_size = sizeof bundle16, .bundle = 16, .max_violations = 100};

/* In either direction, from the start of a part and from its end, which are walked in different ways. */
static void
branches_go_to_instructions_of_other_parts(void **state)
{
	static const size_t places[][2] = {
	    {72, 131}, {104, 131}, {131, 67}, {167, 67}, {72, 163}, {131, 99}, {94, 131}, {80, 131}, {64, 131}, {78, 163}};
	unsigned good = 0;

	differ = 0;
	for (size_t which = 0; which < BRANCHES; which++) {
		for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
			for (size_t into = 0; into < 12; into++) {
				size_t from = places[i][0], to = places[i][1];
				uint8_t code[192];
				static struct outcome whole;

				memset(code, 0x90, sizeof code);
				code[to + 2] = 0xb8;                         /* movl, to + 7 is the next */
				memcpy(code + to + 7, "\x83\xe0\xe0", 3);    /* andl $-32, %eax */
				memcpy(code + to + 10, "\x4c\x01\xf0", 3);   /* addq %r14, %rax */
				memcpy(code + to + 13, "\xff\xe0", 2);       /* jmpq *%rax */
				put_branch(code, from, which, to + into);
				judge_whole(&whole, NULL, code, sizeof code);
				good += !whole.refused;
				/* Instructions begin at 0 to 2 and 7; the group goes on to 15. */
				assert_true(whole.refused || into <= 2 || into == 7);
				compare(NULL, code, sizeof code);
				compare(&bundle16, code, sizeof code);
			}
		}
	}
	assert_true(good >= 20 * 7 * 4);
	assert_int_equal(differ, 0);
}

/* With any byte or two in front, whatever that makes of it. */
static void
branches_with_prefixes_go_to_instructions_of_other_parts(void **state)
{
	static const uint8_t second[] = {0x90, 0x2e, 0x48, 0x67};
	unsigned good = 0, bad = 0;

	differ = 0;
	for (unsigned first = 0; first < 256; first++) {
		for (size_t j = 0; j < sizeof second; j++) {
			for (size_t which = 0; which < 10; which++) {
				for (size_t into = 2; into < 4; into++) {
					static struct outcome whole;
					uint8_t code[192];

					memset(code, 0x90, sizeof code);
					code[133] = 0xb8;
					code[72] = (uint8_t) first;
					code[73] = second[j];
					put_branch(code, 74, which, 131 + into);
					if (second[j] == 0x90)
						memmove(code + 73, code + 74, 10);
					judge_whole(&whole, NULL, code, sizeof code);
					*(whole.refused ? &bad : &good) += 1;
					compare(NULL, code, sizeof code);
				}
			}
		}
	}
	assert_true(good > 1000 && bad > 3000);
	assert_int_equal(differ, 0);
}

/* What is noted of them is where they are, and nothing else. */
static void
a_part_notes_where_it_leads_to_instructions_of_others(void **state)
{
	static const struct {
		size_t at, which, target;
		bool noted;
	} rows[] = {
	    {19, 1, 70, true},
	    {64, 1, 130, true},
	    {70, 0, 75, false}, {75, 1, 128, true},  /* is a target, leads to a bundle of another part, in one that is noted */
	    {83, 0, 70, false},                      /* to one that stays in its part */
	    {94, 0, 141, true},                      /* ends its bundle */
	    {98, 0, 104, false}, {104, 1, 160, false}, /* the same in one that is not noted */
	    {213, 1, 67, true},
	};
	const size_t words = 4;
	uint8_t code[256];

	memset(code, 0x90, sizeof code);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		put_branch(code, rows[i].at, rows[i].which, rows[i].target);
	for (unsigned round = 0; round < 4; round++) {
		struct LFIVerifyOptions options = {.struct_size = sizeof options, .bundle = round % 2 ? 16 : 32};
		size_t count = round < 2 ? 4 : 2;
		uint64_t expected[4] = {0};
		struct LFIVerifyPart part;

		for (size_t number = 0; number < count; number++)
			lfi_verify_part(&options, code, sizeof code, OFFSET, scratch, sizeof scratch, number, count, &part);
		for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
			if (rows[i].noted && rows[i].at * count / 256 != rows[i].target * count / 256)
				expected[rows[i].at / 64] |= (uint64_t) 1 << rows[i].at % 64;
		for (size_t i = 0; i < words; i++)
			if (scratch[words + i] != expected[i])
				fail_msg("round %u, word %zu: %lx, not %lx", round, i, scratch[words + i], expected[i]);
	}
}

/* In a bundle that is noted for another, and as a target: it is looked at, but not looked up. */
static void
a_branch_out_of_the_region_is_no_branch_to_another_part(void **state)
{
	uint8_t code[160];

	memset(code, 0x90, sizeof code);
	put_branch(code, 64, 1, 130);
	put_branch(code, 70, 0, 75);
	put_branch(code, 75, 1, 160);
	accepted = differ = 0;
	compare(NULL, code, sizeof code);
	assert_int_equal(accepted, 1);
	assert_int_equal(differ, 0);
}

/* Outside of the region only a bundle's start is a target. */
static void
branches_out_of_the_region_go_to_bundles(void **state)
{
	static const long targets[] = {-64, -63, -32, -1, 256, 257, 288, 320, 321, 511, 512, 640, 1023};
	uint8_t code[256];

	differ = 0;
	for (size_t from = 32; from < sizeof code; from += 24) {
		for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
			static struct outcome whole;

			if (from % 32 > 32 - 5)
				continue;
			memset(code, 0x90, sizeof code);
			put_branch(code, from, 1, (size_t) targets[i]);
			judge_whole(&whole, NULL, code, sizeof code);
			assert_int_equal(whole.refused, targets[i] % 32 != 0);
			compare(NULL, code, sizeof code);
		}
	}
	assert_int_equal(differ, 0);
}

/* At either end of the sandbox: what a part's instructions reach depends on where the part is. */
static void
the_sandbox_ends_where_it_does_for_all_parts(void **state)
{
	static const struct {
		bool top;
		int32_t to; /* from the end */
		bool accepted;
	} rows[] = {{true, -4, true}, {true, -3, false}, {false, 0, true}, {false, -1, false}};
	uint8_t code[512];

	differ = 0;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		place = rows[i].top ? ((uint64_t) 1 << 32) - sizeof code : 0;
		for (size_t at = 32; at < sizeof code; at += 32) {
			static struct outcome whole;
			int32_t distance = (rows[i].top ? (int32_t) sizeof code : 0) + rows[i].to - (int32_t) (at + 6);

			memset(code, 0x90, sizeof code);
			memcpy(code + at, "\x8b\x05", 2); /* movl distance(%rip), %eax */
			memcpy(code + at + 2, &distance, 4);
			judge_whole(&whole, NULL, code, sizeof code);
			assert_int_equal(whole.refused, !rows[i].accepted);
			compare(NULL, code, sizeof code);
		}
	}
	place = ((uint64_t) 1 << 32) - sizeof code;
	for (size_t at = 32; at < sizeof code; at += 32) {
		static struct outcome whole;

		memset(code, 0x90, sizeof code);
		put_branch(code, at, 1, sizeof code); /* where nothing is */
		judge_whole(&whole, NULL, code, sizeof code);
		assert_int_equal(whole.refused, 1);
		compare(NULL, code, sizeof code);
	}
	place = OFFSET;
	assert_int_equal(differ, 0);
}

/* A jump to the last byte, which is a prefix, and a jump to another part in the same bundle. */
static void
no_byte_behind_a_part_that_is_refused_is_read(void **state)
{
	uint8_t *code = guarded(128);
	struct LFIVerifyPart part;

	memset(code, 0x90, 128);
	put_branch(code, 96, 1, 7);
	put_branch(code, 101, 1, 127);
	code[127] = 0x2e;
	assert_int_equal(lfi_verify_part(NULL, code, 128, OFFSET, scratch, sizeof scratch, 1, 2, &part), 1);
	differ = 0;
	compare(NULL, code, 128);
	code[127] = 0x90;
	compare(NULL, code, 128);
	assert_int_equal(differ, 0);
}

static void
put_bundle(uint8_t *code, size_t at, const char *bytes, size_t size)
{
	memset(code + at, 0x90, 32);
	memcpy(code + at, bytes, size);
}

#define SUB_8 "\x48\x83\xec\x08"
#define SUB_32K "\x48\x81\xec\x00\x80\x00\x00"

/* Bundles of a region that are not nops, and whether it is accepted. */
struct pending {
	struct {
		size_t at;
		const char *bytes;
		size_t size;
	} bundles[4];
	bool accepted;
};

static const struct pending pending[] = {
    {{{32, SUB_8, 4}, {64, "\x50", 1}}, true},
    {{{32, SUB_8, 4}, {96, "\x50", 1}}, true},
    {{{32, SUB_8, 4}, {96, "\x50\xeb\x00", 3}}, true},
    {{{32, SUB_8, 4}, {64, "\xeb\x00\x50", 3}}, false},
    {{{32, SUB_8, 4}, {96, "\xeb\x00\x50", 3}}, false},
    {{{32, SUB_8, 4}, {256, "\x50", 1}}, true},
    {{{32, SUB_8, 4}, {256, "\x74\x00\x50", 3}}, false},
    {{{32, SUB_8, 4}, {256, "\xeb\x00\x50", 3}}, false},
    {{{32, SUB_8, 4}}, false}, /* to the end */
    {{{256, SUB_8, 4}}, false},
    {{{32, SUB_32K, 7}, {96, SUB_32K, 7}, {160, "\x50", 1}}, true}, /* 65,536 */
    {{{32, SUB_32K, 7}, {96, SUB_32K, 7}, {160, SUB_8, 4}, {192, "\x50", 1}}, false},
    {{{32, SUB_32K, 7}, {64, "\x50", 1}, {96, SUB_32K, 7}, {160, SUB_8 "\x50", 5}}, true},
    {{{32, SUB_32K, 7}, {64, "\x50" SUB_32K, 8}, {160, SUB_8 "\x50", 5}}, true},
    {{{32, SUB_32K, 7}, {64, "\x50" SUB_32K SUB_32K, 15}, {160, "\x50", 1}}, true},
    {{{32, SUB_32K, 7}, {64, "\x50" SUB_32K SUB_32K, 15}, {160, SUB_8 "\x50", 5}}, false},
    {{{32, SUB_8, 4}, {64, SUB_8 "\x50" SUB_8, 9}, {128, SUB_8, 4}, {192, "\x50", 1}}, true},
    {{{32, SUB_8, 4}, {64, SUB_8 "\x50" SUB_8, 9}, {128, "\xeb\x00", 2}, {192, "\x50", 1}}, false},
    {{{64, "\x50" SUB_8, 5}, {192, "\x50\x50", 2}, {256, "\xe8\x00\x00\x00\x00", 5}}, true},
    {{{64, "\x50" SUB_8, 5}, {192, "\x49\xb9\x50", 3}, {256, "\x06", 1}}, false},
};

static void
what_is_pending_is_confirmed_in_another_part_or_refused(void **state)
{
	const struct LFIVerifyOptions options = {.struct_size = sizeof options, .max_violations = 100};

	differ = 0;
	for (size_t i = 0; i < sizeof pending / sizeof pending[0]; i++) {
		static struct outcome whole;
		uint8_t *code = guarded(320);

		memset(code, 0x90, 320);
		for (size_t j = 0; j < 4 && pending[i].bundles[j].bytes; j++)
			put_bundle(code, pending[i].bundles[j].at, pending[i].bundles[j].bytes, pending[i].bundles[j].size);
		judge_whole(&whole, &options, code, 320);
		if (whole.refused != !pending[i].accepted)
			fail_msg("row %zu: %s", i, whole.refused ? whole.text : "accepted");
		compare(&options, code, 320);
	}
	assert_int_equal(differ, 0);
}

/* ---- Parts of something else ---- */

/* Two parts of a region of 128 bytes that is accepted, or not if something else is asked about. */
struct asked {
	struct LFIVerifyOptions options;
	uint8_t code[128], other[128];
	uint64_t scratch[4], other_scratch[4];
	struct LFIVerifyPart parts[3];
};

static void
ask(struct asked *asked)
{
	memset(asked, 0, sizeof *asked);
	asked->options.struct_size = sizeof asked->options;
	asked->options.single_thread = true;
	memset(asked->code, 0x90, 128);
	memcpy(asked->code + 64, "\x4c\x8b\x1c\x24\x41\x83\xe3\xe0\x4d\x01\xf3\x4c\x89\x1c\x24\xc3\x0f\x31", 18);
	memcpy(asked->other, asked->code, 128);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(lfi_verify_part(&asked->options, asked->code, 128, OFFSET, asked->scratch, 32, i, 2,
				     &asked->parts[i]),
		    0);
	asked->scratch[2] |= 1; /* see judge_parts */
}

enum { BY_PARTS, AGAIN, REFUSED };

/* How the verdict came about. */
static int
answer(struct asked *a, const uint8_t *code, size_t size, uint64_t offset, uint64_t *memory, size_t count)
{
	if (lfi_verify_finish(&a->options, code, size, offset, memory, 32, a->parts, count, NULL, NULL, NULL))
		return REFUSED;
	return memory[2] & 1 ? BY_PARTS : AGAIN;
}

static void
parts_of_something_else_say_nothing(void **state)
{
	struct asked a;

	ask(&a);
	assert_int_equal(answer(&a, a.code, 128, OFFSET, a.scratch, 2), BY_PARTS);
	ask(&a);
	assert_int_equal(answer(&a, a.other, 128, OFFSET, a.scratch, 2), AGAIN);
	ask(&a);
	a.other[70] = 0x06;
	assert_int_equal(answer(&a, a.other, 128, OFFSET, a.scratch, 2), REFUSED);
	ask(&a);
	assert_int_equal(answer(&a, a.code, 128, OFFSET + 32, a.scratch, 2), AGAIN);
	ask(&a);
	assert_int_equal(answer(&a, a.code, 96, OFFSET, a.scratch, 2), AGAIN);
	ask(&a);
	a.other_scratch[2] |= 1;
	assert_int_equal(answer(&a, a.code, 128, OFFSET, a.other_scratch, 2), AGAIN);
	ask(&a);
	assert_int_equal(answer(&a, a.code, 128, OFFSET, a.scratch, 1), AGAIN);
	ask(&a);
	assert_int_equal(answer(&a, a.code, 128, OFFSET, a.scratch, 3), AGAIN);
	ask(&a);
	a.parts[2] = a.parts[0], a.parts[0] = a.parts[1], a.parts[1] = a.parts[2];
	assert_int_equal(answer(&a, a.code, 128, OFFSET, a.scratch, 2), AGAIN);
	ask(&a);
	memset(&a.parts[1], 0xff, sizeof a.parts[1]);
	assert_int_equal(answer(&a, a.code, 128, OFFSET, a.scratch, 2), AGAIN);
	ask(&a);
	memset(&a.parts[0], 0, sizeof a.parts[0]);
	assert_int_equal(answer(&a, a.code, 128, OFFSET, a.scratch, 2), AGAIN);
}

static void
parts_under_other_rules_say_nothing(void **state)
{
	struct asked a;

	ask(&a);
	a.options.single_thread = false;
	assert_int_equal(answer(&a, a.code, 128, OFFSET, a.scratch, 2), REFUSED);
	ask(&a);
	a.options.no_rdtsc = true;
	assert_int_equal(answer(&a, a.code, 128, OFFSET, a.scratch, 2), REFUSED);
	ask(&a);
	a.options.bundle = 16;
	assert_int_equal(answer(&a, a.code, 128, OFFSET, a.scratch, 2), REFUSED);
	ask(&a);
	a.options.policy = LFI_POLICY_JUMPS;
	assert_int_equal(answer(&a, a.code, 128, OFFSET, a.scratch, 2), AGAIN);
}

static bool
take_rule(const struct LFIViolation *violation, void *user)
{
	int *rule = user;

	*rule = *rule == LFI_RULE_NONE ? violation->rule : -1; /* once */
	return true;
}

static void
bad_arguments_are_refused_once(void **state)
{
	struct asked a;
	struct LFIVerifyPart part;
	int rule;

	ask(&a);
	assert_int_equal(lfi_verify_part(NULL, a.code, 128, OFFSET, a.scratch, 32, 0, 2, NULL), 1);
	assert_int_equal(lfi_verify_part(NULL, NULL, 128, OFFSET, a.scratch, 32, 0, 2, &part), 1);
	assert_int_equal(lfi_verify_part(NULL, a.code, 120, OFFSET, a.scratch, 32, 0, 2, &part), 1);
	assert_int_equal(lfi_verify_part(NULL, a.other, 128, OFFSET + 1, a.scratch, 32, 0, 2, &part), 1);
	assert_int_equal(lfi_verify_part(NULL, a.other, 128, OFFSET, a.scratch, 31, 0, 2, &part), 1);
	assert_int_equal(lfi_verify_part(NULL, a.other, 128, OFFSET, a.scratch, 32, 2, 2, &part), 1);
	assert_int_equal(lfi_verify_part(NULL, a.other, 128, OFFSET, a.scratch, 32, 0, 0, &part), 1);
	assert_int_equal(
	    lfi_verify_part(NULL, a.other, 128, OFFSET, a.scratch, 32, 0, LFI_VERIFY_PARTS_MAX + 1, &part), 1);
	a.options.struct_size = 0;
	assert_int_equal(lfi_verify_part(&a.options, a.code, 128, OFFSET, a.scratch, 32, 0, 2, &part), 1);
	for (size_t i = 0; i < sizeof part.opaque / sizeof part.opaque[0]; i++)
		assert_int_equal(part.opaque[i], 0); /* nothing of what memory held */
	rule = LFI_RULE_NONE;
	assert_int_equal(
	    lfi_verify_finish(&a.options, a.code, 128, OFFSET, a.scratch, 32, a.parts, 2, take_rule, &rule, NULL), 1);
	assert_int_equal(rule, LFI_RULE_ARGUMENT);
	rule = LFI_RULE_NONE;
	assert_int_equal(lfi_verify_finish(NULL, a.code, 127, OFFSET, a.scratch, 32, a.parts, 2, take_rule, &rule, NULL), 1);
	assert_int_equal(rule, LFI_RULE_ARGUMENT);
	rule = LFI_RULE_NONE;
	assert_int_equal(lfi_verify_finish(NULL, a.code, 128, OFFSET, a.scratch, 31, a.parts, 2, take_rule, &rule, NULL), 1);
	assert_int_equal(rule, LFI_RULE_ARGUMENT);
}

/* No parts, too many, or none to be seen: as if there were none. */
static void
without_parts_the_region_is_looked_at(void **state)
{
	struct asked a;
	static struct LFIVerifyPart many[LFI_VERIFY_PARTS_MAX + 1];

	ask(&a);
	assert_int_equal(lfi_verify_finish(&a.options, a.code, 128, OFFSET, a.scratch, 32, NULL, 2, NULL, NULL, NULL), 0);
	assert_int_equal(
	    lfi_verify_finish(&a.options, a.code, 128, OFFSET, a.scratch, 32, a.parts, 0, NULL, NULL, NULL), 0);
	assert_int_equal(lfi_verify_finish(&a.options, a.code, 128, OFFSET, a.scratch, 32, many,
			     LFI_VERIFY_PARTS_MAX + 1, NULL, NULL, NULL),
	    0);
	a.code[70] = 0x06;
	assert_int_equal(lfi_verify_finish(&a.options, a.code, 128, OFFSET, a.scratch, 32, NULL, 2, NULL, NULL, NULL), 1);
	assert_int_equal(
	    lfi_verify_finish(&a.options, a.code, 128, OFFSET, a.scratch, 32, a.parts, 0, NULL, NULL, NULL), 1);
}

static void
as_many_parts_as_there_may_be_are_taken(void **state)
{
	static struct LFIVerifyPart many[LFI_VERIFY_PARTS_MAX];
	struct asked a;

	ask(&a);
	for (size_t i = 0; i < LFI_VERIFY_PARTS_MAX; i++)
		assert_int_equal(lfi_verify_part(&a.options, a.code, 128, OFFSET, a.scratch, 32, i,
				     LFI_VERIFY_PARTS_MAX, &many[i]),
		    0);
	a.scratch[2] |= 1;
	assert_int_equal(lfi_verify_finish(&a.options, a.code, 128, OFFSET, a.scratch, 32, many, LFI_VERIFY_PARTS_MAX,
			     NULL, NULL, NULL),
	    0);
	assert_true(a.scratch[2] & 1);
}

/* A part that is refused says so, and no other does. */
static void
a_part_says_whether_it_is_good_by_itself(void **state)
{
	struct asked a;
	struct LFIVerifyPart part;

	ask(&a);
	a.code[70] = 0x06;
	assert_int_equal(lfi_verify_part(&a.options, a.code, 128, OFFSET, a.scratch, 32, 0, 2, &part), 0);
	assert_int_equal(lfi_verify_part(&a.options, a.code, 128, OFFSET, a.scratch, 32, 1, 2, &part), 1);
	memcpy(a.code, "\xeb\x01\xb8", 3); /* jmp 3 */
	assert_int_equal(lfi_verify_part(&a.options, a.code, 128, OFFSET, a.scratch, 32, 0, 2, &part), 1);
}

/* A part writes the bits of its own bytes and nothing else. */
static void
a_part_touches_its_own_words_only(void **state)
{
	static uint8_t code[6400];
	uint64_t memory[201];
	struct LFIVerifyPart part;

	memset(code, 0x90, sizeof code);
	for (size_t at = 0; at < sizeof code; at += 32) {
		int32_t far = (int32_t) (sizeof code - 31 - (at + 5)), near = (int32_t) (33 - (at + 10));

		code[at] = code[at + 5] = 0xe8;
		memcpy(code + at + 1, &far, 4);
		memcpy(code + at + 6, &near, 4);
	}
	for (size_t number = 0; number < 5; number++) {
		memset(memory, 0x5a, sizeof memory);
		lfi_verify_part(NULL, code, sizeof code, OFFSET, memory, 1600, number, 5, &part);
		for (size_t i = 0; i < 201; i++)
			if (i == 200 || i % 100 / 20 != number)
				assert_true(memory[i] == 0x5a5a5a5a5a5a5a5a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(branches_go_to_instructions_of_other_parts),
	    cmocka_unit_test(branches_with_prefixes_go_to_instructions_of_other_parts),
	    cmocka_unit_test(a_part_notes_where_it_leads_to_instructions_of_others),
	    cmocka_unit_test(a_branch_out_of_the_region_is_no_branch_to_another_part),
	    cmocka_unit_test(branches_out_of_the_region_go_to_bundles),
	    cmocka_unit_test(the_sandbox_ends_where_it_does_for_all_parts),
	    cmocka_unit_test(no_byte_behind_a_part_that_is_refused_is_read),
	    cmocka_unit_test(what_is_pending_is_confirmed_in_another_part_or_refused),
	    cmocka_unit_test(parts_of_something_else_say_nothing),
	    cmocka_unit_test(parts_under_other_rules_say_nothing),
	    cmocka_unit_test(bad_arguments_are_refused_once),
	    cmocka_unit_test(without_parts_the_region_is_looked_at),
	    cmocka_unit_test(as_many_parts_as_there_may_be_are_taken),
	    cmocka_unit_test(a_part_says_whether_it_is_good_by_itself),
	    cmocka_unit_test(a_part_touches_its_own_words_only),
	    cmocka_unit_test(a_region_in_parts_is_judged_as_a_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
