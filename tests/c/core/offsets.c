/* SPDX-License-Identifier: MIT */
/* Addresses below 4 GiB are offsets from a box's base, in what comes in and, for oblivious boxes, in what goes out. */
#include "core_test.h"

#include "core.h"

#define FOUR_GIB ((uint64_t) 1 << 32)

static uint64_t
base_of(struct Fixture *f)
{
	return lfi_box_info(f->box).base;
}

static void
offsets_reach_the_same_memory(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr offset = f.buffer - base_of(&f);
	char text[8];

	assert_done(lfi_box_copyto(f.box, offset, "seven..", 8));
	assert_done(lfi_box_copyfm(f.box, text, f.buffer, 8));
	assert_string_equal(text, "seven..");
	assert_done(lfi_box_copyfm(f.box, text, offset, 8));
	assert_int_equal(lfi_box_copystr(f.box, text, offset, sizeof text), 7);
	assert_string_equal(text, "seven..");
	assert_true(lfi_box_ptrvalid(f.box, offset, PAGE));
	assert_ptr_equal(lfi_box_ptr(f.box, offset, PAGE), (void *) f.buffer);
	assert_ptr_equal(box_span(f.box, offset, PAGE), (void *) f.buffer);
	drop(&f);
}

static void
offsets_map_protect_and_unmap(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr offset = f.buffer - base_of(&f), far = 64 << 20;
	struct BoxMapping mapping;
	char byte = 0;

	assert_true(lfi_box_mapat(f.box, far, PAGE, RW, ANON, -1, 0) == base_of(&f) + far);
	assert_true(box_mapping(f.box, far, &mapping));
	assert_true(mapping.addr == base_of(&f) + far);
	assert_done(lfi_box_mprotect(f.box, offset, PAGE, LFI_PROT_READ));
	assert_int_equal(lfi_box_copyto(f.box, f.buffer, &byte, 1), -1);
	assert_error(LFI_ERR_UNMAPPED);
	assert_done(lfi_box_munmap(f.box, offset, PAGE));
	assert_int_equal(lfi_box_copyfm(f.box, &byte, f.buffer, 1), -1);
	assert_error(LFI_ERR_UNMAPPED);
	drop(&f);
}

static void
functions_and_stacks_are_offsets_too(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr fn = LOAD(f.box, code_add) - base_of(&f);
	union LFIValue args[2] = {{.i = 40}, {.i = 2}}, ret;

	lfi_ctx_regs(f.ctx)->sp = f.stack - base_of(&f);
	assert_done(lfi_call(f.ctx, fn, "i(ii)", args, &ret));
	assert_int_equal(ret.i, 42);
	drop(&f);
}

static void
offsets_outside_are_refused(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	const lfiptr bad[] = {0, PAGE, 262144 - PAGE, FOUR_GIB - 262144, FOUR_GIB - PAGE, FOUR_GIB, FOUR_GIB + PAGE};
	char byte = 0;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_int_equal(lfi_box_copyto(f.box, bad[i], &byte, 1), -1);
		assert_error(LFI_ERR_RANGE);
		assert_true(lfi_box_mapat(f.box, bad[i], PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0) == FAILED);
		assert_error(LFI_ERR_RANGE);
		assert_int_equal(lfi_box_munmap(f.box, bad[i], PAGE), -1);
		assert_int_equal(lfi_box_mprotect(f.box, bad[i], PAGE, RW), -1);
		assert_false(lfi_box_ptrvalid(f.box, bad[i], 1));
		assert_int_equal(lfi_call(f.ctx, bad[i], "v()", NULL, NULL), -1);
		assert_error(LFI_ERR_RANGE);
		assert_int_equal(lfi_ctx_run(f.ctx, bad[i]), -1);
		assert_error(LFI_ERR_RANGE);
	}
	/* Sums that leave the sandbox, or 64 bits. */
	assert_false(lfi_box_ptrvalid(f.box, 262144, FOUR_GIB));
	assert_false(lfi_box_ptrvalid(f.box, 262144, SIZE_MAX));
	assert_false(lfi_box_ptrvalid(f.box, FOUR_GIB - 262144 - 1, 2));
	assert_true(lfi_box_ptrvalid(f.box, FOUR_GIB - 262144 - 1, 1));
	drop(&f);
}

static void
nothing(void)
{
}

static void
an_oblivious_box_gives_offsets(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr at, callback;

	callback = (lfiptr) lfi_box_register_cb(f.box, (void *) nothing);
	assert_true(callback > base_of(&f));
	box_set_oblivious(f.box);
	assert_true((lfiptr) lfi_box_register_cb(f.box, (void *) nothing) == callback - base_of(&f));
	at = map(f.box, PAGE);
	assert_true(at < FOUR_GIB);
	assert_true(lfi_box_mapat(f.box, base_of(&f) + at, PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0) == at);
	assert_done(lfi_box_copyto(f.box, at, "x", 1));
	assert_true(lfi_box_mapany(f.box, 0, RW, ANON, -1, 0) == FAILED);
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offsets_reach_the_same_memory),
		cmocka_unit_test(offsets_map_protect_and_unmap),
		cmocka_unit_test(functions_and_stacks_are_offsets_too),
		cmocka_unit_test(offsets_outside_are_refused),
		cmocka_unit_test(an_oblivious_box_gives_offsets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
