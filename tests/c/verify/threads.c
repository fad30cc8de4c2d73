/* SPDX-License-Identifier: MIT */
/*
 * Several threads verify at the same time: regions of their own, and the parts of one. ThreadSanitizer is what sees a
 * race here (`./dev sanitize --thread`); without it these tests see wrong verdicts only.
 */
#include <lfi/lfi_verify.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define THREADS 4
#define ROUNDS 50
#define SIZE 65536
#define OFFSET 0x100000
#define PARTS 13 /* no multiple of the threads */

static uint8_t code[SIZE];
static uint64_t scratch[2 * SIZE / 64];

/*
 * Calls from everywhere to the starts and middles of bundles everywhere, drift that is pending over every edge, and
 * single instructions of all kinds for the rules.
 */
static void
fill(void)
{
	static const uint8_t bundles[3][32] = {
	    {0x50, 0xe8, 0, 0, 0, 0, 0x48, 0x83, 0xec, 0x08, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
		0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90},
	    {0x50, 0xd9, 0xe8, 0x83, 0xe0, 0xe0, 0x4c, 0x01, 0xf0, 0xff, 0xd0, 0x0f, 0x84, 0, 0, 0, 0, 0x48, 0x83, 0xec,
		0x18, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90},
	    {0x50, 0xc5, 0xf8, 0x77, 0xe3, 0xfa, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
		0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90},
	};

	for (size_t at = 0; at < SIZE; at += 32) {
		size_t which = at / 32 % 3, end = which == 0 ? 6 : 17;
		int32_t distance = (int32_t) (at * 40503 % SIZE / 32 * 32 + at / 32 % 2 - (at + end));

		memcpy(code + at, bundles[which], 32);
		if (which < 2)
			memcpy(code + at + end - 4, &distance, 4);
	}
	memset(code + SIZE - 32, 0x90, 32);
	code[SIZE - 32] = 0x50;
}

static void
run(void *(*start)(void *), void *arguments, size_t size)
{
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, start, (char *) arguments + i * size), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

struct own {
	unsigned accepted;
	uint64_t scratch[2 * SIZE / 64];
};

static void *
verify_own(void *argument)
{
	struct own *own = argument;

	for (unsigned i = 0; i < ROUNDS; i++)
		own->accepted += !lfi_verify(NULL, code, SIZE, OFFSET + i * 32, own->scratch, sizeof own->scratch, NULL, NULL, NULL);
	return NULL;
}

static void
each_thread_verifies_a_region_of_its_own(void **state)
{
	static struct own own[THREADS];

	fill();
	run(verify_own, own, sizeof own[0]);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(own[i].accepted, ROUNDS);
}

static struct LFIVerifyPart parts[PARTS];
static const struct LFIVerifyOptions *options;

static void *
verify_parts(void *argument)
{
	for (size_t i = *(size_t *) argument; i < PARTS; i += THREADS)
		lfi_verify_part(options, code, SIZE, OFFSET, scratch, sizeof scratch, i, PARTS, &parts[i]);
	return NULL;
}

/* By all threads; whether the parts were enough to accept it is seen by a bit that goes when all is looked at again. */
static int
verify_together(struct LFIVerifyReport *report, bool *again)
{
	static size_t numbers[THREADS] = {0, 1, 2, 3};
	int refused;

	run(verify_parts, numbers, sizeof numbers[0]);
	scratch[SIZE / 64] |= 2; /* the instruction after a push */
	refused = lfi_verify_finish(
	    options, code, SIZE, OFFSET, scratch, sizeof scratch, parts, PARTS, NULL, NULL, report);
	*again = !(scratch[SIZE / 64] & 2);
	return refused;
}

static void
all_threads_verify_one_region(void **state)
{
	static const struct LFIVerifyOptions stores = {.struct_size = sizeof stores, .policy = LFI_POLICY_STORES};
	struct LFIVerifyReport whole = {.struct_size = sizeof whole}, report = whole;
	bool again;

	fill();
	memset(code, 0x90, 32);
	for (unsigned i = 0; i < ROUNDS; i++) {
		options = i % 4 == 3 ? &stores : NULL; /* which has no quick walk */
		assert_int_equal(lfi_verify(options, code, SIZE, OFFSET, scratch, sizeof scratch, NULL, NULL, &whole), 0);
		assert_int_equal(verify_together(&report, &again), 0);
		assert_false(again);
		assert_memory_equal(&report, &whole, sizeof whole);
	}
}

static void
what_one_thread_refuses_is_refused(void **state)
{
	struct LFIVerifyReport whole = {.struct_size = sizeof whole}, report = whole;
	bool again;

	options = NULL;
	for (size_t i = 0; i < 8; i++) {
		fill();
		if (i % 2)
			code[SIZE / 8 * i + 31] = 0xb8; /* crosses its bundle's edge */
		else
			code[SIZE / 8 * i + 1] = 0x06; /* no instruction */
		assert_int_equal(lfi_verify(NULL, code, SIZE, OFFSET, scratch, sizeof scratch, NULL, NULL, &whole), 1);
		assert_int_equal(verify_together(&report, &again), 1);
		assert_memory_equal(&report, &whole, sizeof whole);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_thread_verifies_a_region_of_its_own),
	    cmocka_unit_test(all_threads_verify_one_region),
	    cmocka_unit_test(what_one_thread_refuses_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
