/* SPDX-License-Identifier: MIT */
/*
 * What lfi_verify may touch: the code's bytes and no other, its scratch memory and no more of it than it asked for, the
 * caller's structs as far as they go. Everything lies at an unmapped page, before it or after it.
 */
#include <lfi/lfi_verify.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE 4096
#define OFFSET 0x100000

static uint8_t *code_page;    /* one page of code between unmapped ones */
static uint8_t *scratch_page; /* scratch memory, likewise */
static uint8_t *struct_page;

static uint8_t *
guarded_page(void)
{
	uint8_t *pages = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(pages != MAP_FAILED);
	assert_int_equal(mprotect(pages + PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
	return pages + PAGE;
}

/* xorshift64 */
static uint8_t
random_byte(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint8_t) (x >> 32);
}

static bool
look(const struct LFIViolation *violation, void *user)
{
	/* A text that is not a string would show here. */
	assert_true(strlen(violation->insn) < 200 && strlen(violation->reason) < 200);
	return true;
}

/* All policies and bundles; scratch memory of exactly the size asked for ends at an unmapped page. */
static void
try_all(const uint8_t *code, size_t size)
{
	size_t scratch_size = lfi_verify_scratch_size(size);
	void *scratch = scratch_page + PAGE - scratch_size;

	for (int how = 0; how < 6; how++) {
		struct LFIVerifyOptions options = {
		    .struct_size = sizeof options,
		    .policy = how % 3,
		    .bundle = how < 3 ? 32 : 16,
		    .single_thread = true,
		    .max_violations = SIZE_MAX,
		};
		struct LFIVerifyReport report = {.struct_size = sizeof report};
		int refused =
		    lfi_verify(&options, code, size, OFFSET, scratch, scratch_size, look, NULL, &report);

		assert_true(refused == 0 || refused == 1);
		assert_int_equal(refused, report.violations > 0);
		if (size % options.bundle)
			assert_int_equal(refused, 1);
	}
}

/* The code is the last of its page, then the first. */
static void
try_both_ends(const uint8_t *code, size_t size)
{
	memcpy(code_page + PAGE - size, code, size);
	try_all(code_page + PAGE - size, size);
	memcpy(code_page, code, size);
	try_all(code_page, size);
}

static void
every_length_gets_a_verdict_at_both_ends(void **state)
{
	uint8_t code[100];

	for (size_t size = 0; size <= sizeof code; size++) {
		for (int byte = 0; byte < 256; byte += size % 16 ? 37 : 1) {
			memset(code, byte, sizeof code);
			try_both_ends(code, size);
		}
		for (int round = 0; round < 200; round++) {
			for (size_t i = 0; i < size; i++)
				code[i] = random_byte();
			try_both_ends(code, size);
		}
	}
}

/* What an instruction can begin with, in front of its opcode. */
static const struct {
	uint8_t size, bytes[5];
} beginnings[] = {
    {0, {0}},
    {1, {0x66}},
    {1, {0xf3}},
    {1, {0x48}},
    {2, {0x67, 0x65}},
    {3, {0x67, 0x65, 0x48}},
    {1, {0x0f}},
    {2, {0x66, 0x0f}},
    {2, {0xf3, 0x0f}},
    {2, {0xf2, 0x0f}},
    {2, {0x0f, 0x38}},
    {3, {0x66, 0x0f, 0x38}},
    {2, {0x0f, 0x3a}},
    {3, {0x66, 0x0f, 0x3a}},
    {2, {0x0f, 0x0f}},
    {2, {0xc5, 0xf8}},
    {2, {0xc5, 0xfd}},
    {3, {0xc4, 0xe1, 0x79}},
    {3, {0xc4, 0xe2, 0x79}},
    {3, {0xc4, 0xe3, 0x7d}},
    {5, {0x67, 0x65, 0xc4, 0xe2, 0x79}},
    {4, {0x62, 0xf1, 0x7c, 0x48}},
    {4, {0x62, 0xf2, 0x7d, 0x48}},
    {4, {0x62, 0xf3, 0x7d, 0x48}},
    {4, {0x62, 0xf5, 0x7c, 0x48}},
    {4, {0x62, 0xf6, 0x7d, 0x48}},
};

/* ModRM bytes that ask for the most behind them: SIB, disp8, disp32, rip. */
static const uint8_t modrms[] = {0x04, 0x05, 0x44, 0x84, 0x80, 0xc0, 0xf8};

static void
every_instruction_may_be_cut_off_by_the_end(void **state)
{
	uint8_t insn[24] = {0}, *end = code_page + PAGE;

	memset(code_page, 0x90, PAGE);
	for (size_t b = 0; b < sizeof beginnings / sizeof beginnings[0]; b++) {
		size_t head = beginnings[b].size;

		memcpy(insn, beginnings[b].bytes, head);
		for (unsigned n = 0; n < 256 * sizeof modrms; n++) {
			insn[head] = (uint8_t) (n / sizeof modrms);
			insn[head + 1] = modrms[n % sizeof modrms];
			for (size_t i = head + 2; i < sizeof insn; i++)
				insn[i] = n & 1 ? 0x24 : 0x85;
			for (size_t left = 1; left <= 15; left++) {
				struct LFIVerifyOptions options = {.struct_size = sizeof options,
				    .policy = (int) (n % 3),
				    .max_violations = SIZE_MAX};

				memcpy(end - left, insn, left);
				lfi_verify(&options, end - 32, 32, OFFSET, scratch_page, 16, look, NULL, NULL);
			}
			memset(end - 16, 0x90, 16);
		}
	}
}

/* Compiler output of the host's: this program's. Most of it is refused, which takes the ways to a message too. */
static void
every_stretch_of_real_code_gets_a_verdict(void **state)
{
	extern const uint8_t __executable_start[], etext[];
	const uint8_t *real = (const uint8_t *) every_length_gets_a_verdict_at_both_ends;
	size_t size = (size_t) (etext - real);

	assert_true(real > __executable_start && size > 200);
	if (size > 4000)
		size = 4000;
	for (size_t start = 0; start + 96 <= size; start++) {
		try_both_ends(real + start, 32);
		if (start % 7 == 0)
			try_both_ends(real + start, 96);
	}
	/* Every prefix of it. */
	for (size_t length = 0; length <= size && length <= PAGE; length++)
		try_both_ends(real, length);
}

struct Seen {
	uint64_t hash;
	size_t count;
};

static bool
add_up(const struct LFIViolation *violation, void *user)
{
	struct Seen *seen = user;

	seen->hash = (seen->hash ^ violation->offset ^ (uint64_t) violation->rule << 32) * 1099511628211u;
	seen->count++;
	return true;
}

static void
the_verdict_does_not_depend_on_where_the_bytes_lie(void **state)
{
	struct LFIVerifyOptions options = {.struct_size = sizeof options, .max_violations = SIZE_MAX};
	uint8_t code[96];

	for (int round = 0; round < 500; round++) {
		struct Seen first = {0};

		for (size_t i = 0; i < sizeof code; i++)
			code[i] = random_byte();
		for (size_t shift = 0; shift < 64; shift++) {
			struct Seen seen = {0};

			memcpy(code_page + shift, code, sizeof code);
			lfi_verify(&options, code_page + shift, sizeof code, OFFSET, scratch_page, 64, add_up, &seen, NULL);
			if (shift == 0)
				first = seen;
			assert_true(seen.hash == first.hash && seen.count == first.count);
		}
	}
}

static void
no_more_scratch_memory_is_touched_than_was_asked_for(void **state)
{
	memset(code_page, 0x90, PAGE);
	for (size_t size = 16; size <= PAGE; size += 16) {
		size_t scratch_size = lfi_verify_scratch_size(size);
		struct LFIVerifyOptions options = {.struct_size = sizeof options, .bundle = 16};

		assert_true(scratch_size <= size / 4 + 16);
		memset(scratch_page, 0x5a, PAGE);
		/* To the end of the page, and from its beginning. */
		assert_int_equal(lfi_verify(&options, code_page, size, OFFSET, scratch_page + PAGE - scratch_size,
				     scratch_size, NULL, NULL, NULL),
		    0);
		for (size_t i = 0; i < PAGE - scratch_size; i++)
			assert_int_equal(scratch_page[i], 0x5a);
		memset(scratch_page, 0x5a, PAGE);
		assert_int_equal(
		    lfi_verify(&options, code_page, size, OFFSET, scratch_page, PAGE, NULL, NULL, NULL), 0);
		for (size_t i = scratch_size; i < PAGE; i++)
			assert_int_equal(scratch_page[i], 0x5a);
	}
}

static void
structs_are_read_and_written_as_far_as_they_say(void **state)
{
	memset(code_page, 0x90, PAGE);
	for (size_t size = 8; size <= 200; size++) {
		uint8_t *at = struct_page + (PAGE - size) / 8 * 8; /* up to 7 bytes of slack, for alignment */
		struct LFIVerifyOptions *options = (void *) at;
		struct LFIVerifyReport *report = (void *) at;

		if ((PAGE - size) % 8)
			continue;
		memset(struct_page, 0, PAGE);
		memcpy(at, &size, sizeof size);
		assert_int_equal(lfi_verify(options, code_page, 64, OFFSET, scratch_page, 16, NULL, NULL, NULL), 0);
		memset(struct_page, 0x5a, PAGE);
		memcpy(at, &size, sizeof size);
		assert_int_equal(lfi_verify(NULL, code_page, 64, OFFSET, scratch_page, 16, NULL, NULL, report), 0);
		for (uint8_t *byte = struct_page; byte < at; byte++)
			assert_int_equal(*byte, 0x5a);
	}
	/* What is too short to say how long it is, is not looked at. */
	memset(struct_page, 0x5a, PAGE);
	*(size_t *) (void *) (struct_page + PAGE - 8) = 7;
	assert_int_equal(lfi_verify((void *) (struct_page + PAGE - 8), code_page, 64, OFFSET, scratch_page, 16, NULL,
			     NULL, (void *) (struct_page + PAGE - 8)),
	    1);
	assert_int_equal(*(size_t *) (void *) (struct_page + PAGE - 8), 7);
}

static void
code_that_is_refused_for_its_place_is_not_read(void **state)
{
	uint8_t *nothing = code_page + PAGE; /* unmapped */

	assert_int_equal(lfi_verify(NULL, nothing, 33, OFFSET, scratch_page, PAGE, NULL, NULL, NULL), 1);
	assert_int_equal(lfi_verify(NULL, nothing, 32, OFFSET + 1, scratch_page, PAGE, NULL, NULL, NULL), 1);
	assert_int_equal(lfi_verify(NULL, nothing, 32, (uint64_t) 1 << 32, scratch_page, PAGE, NULL, NULL, NULL), 1);
	assert_int_equal(lfi_verify(NULL, nothing, SIZE_MAX - 31, 0, scratch_page, PAGE, NULL, NULL, NULL), 1);
	assert_int_equal(lfi_verify(NULL, nothing, 32, OFFSET, scratch_page, 15, NULL, NULL, NULL), 1);
	assert_int_equal(lfi_verify(NULL, nothing, 0, OFFSET, NULL, 0, NULL, NULL, NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_length_gets_a_verdict_at_both_ends),
	    cmocka_unit_test(every_instruction_may_be_cut_off_by_the_end),
	    cmocka_unit_test(every_stretch_of_real_code_gets_a_verdict),
	    cmocka_unit_test(the_verdict_does_not_depend_on_where_the_bytes_lie),
	    cmocka_unit_test(no_more_scratch_memory_is_touched_than_was_asked_for),
	    cmocka_unit_test(structs_are_read_and_written_as_far_as_they_say),
	    cmocka_unit_test(code_that_is_refused_for_its_place_is_not_read),
	};

	code_page = guarded_page();
	scratch_page = guarded_page();
	struct_page = guarded_page();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
