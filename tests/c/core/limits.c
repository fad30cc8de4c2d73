/* SPDX-License-Identifier: MIT */
/* Limits of a box on mapped pages and contexts; that on CPU time is in interrupt.c, those of programs in linux/limits.c. */
#include "core_test.h"

static struct Fixture
open_box(void)
{
	return fixture((struct LFIOptions){0});
}

static void
limit(struct Fixture *f, struct LFILimits limits)
{
	assert_done(lfi_box_set_limits(f->box, limits));
}

/* What the box may map: `pages` more than it has. */
static uint64_t
room_for(struct Fixture *f, uint64_t pages)
{
	/* Of the fixture: stack, buffer, callback page. */
	uint64_t bytes = STACK_BYTES + PAGE + PAGE + pages * PAGE;

	limit(f, (struct LFILimits){.mapped = bytes});
	return bytes;
}

static void
pages_beyond_the_limit_are_refused_whoever_maps_them_how(void **state)
{
	struct Fixture f = open_box();
	lfiptr at, far = lfi_box_info(f.box).min + (1 << 20);

	room_for(&f, 3);
	assert_true(lfi_box_mapany(f.box, 4 * PAGE, RW, ANON, -1, 0) == FAILED);
	assert_error(LFI_ERR_LIMIT);
	assert_non_null(strstr(lfi_errmsg(), "16384 bytes more"));
	/* Pages without access count, and sizes are rounded up. */
	assert_true(lfi_box_mapany(f.box, 3 * PAGE + 1, LFI_PROT_NONE, ANON, -1, 0) == FAILED);
	assert_error(LFI_ERR_LIMIT);
	at = map(f.box, 2 * PAGE);
	assert_true(lfi_box_mapat(f.box, far, 2 * PAGE, RW, ANON, -1, 0) == FAILED);
	assert_error(LFI_ERR_LIMIT);
	assert_true(lfi_box_mapat(f.box, far, PAGE, RW, ANON, -1, 0) == far);
	assert_true(lfi_box_mapany(f.box, 1, RW, ANON, -1, 0) == FAILED);
	assert_error(LFI_ERR_LIMIT);
	assert_done(lfi_box_munmap(f.box, at, PAGE));
	map(f.box, PAGE);
	drop(&f);
}

static void
pages_that_replace_others_cost_nothing(void **state)
{
	struct Fixture f = open_box();
	lfiptr at = map(f.box, 4 * PAGE);

	room_for(&f, 4);
	assert_true(lfi_box_mapat(f.box, at, 4 * PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0) == at);
	assert_done(lfi_box_mprotect(f.box, at, 2 * PAGE, LFI_PROT_READ));
	/* Half of them are new. */
	assert_true(lfi_box_mapat(f.box, at - 2 * PAGE, 4 * PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0) == FAILED);
	assert_error(LFI_ERR_LIMIT);
	room_for(&f, 6);
	assert_true(lfi_box_mapat(f.box, at - 2 * PAGE, 4 * PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0) == at - 2 * PAGE);
	drop(&f);
}

static void
code_counts_as_it_is_mapped(void **state)
{
	static uint8_t nops[PAGE];
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);
	struct LFIBox *box = lfi_box_new(engine);

	memset(nops, 0x90, sizeof nops);
	assert_done(lfi_box_set_limits(box, (struct LFILimits){.mapped = 1}));
	/* Of the callback entries. */
	assert_int_equal(lfi_box_init_ret(box), -1);
	assert_error(LFI_ERR_LIMIT);
	assert_done(lfi_box_set_limits(box, (struct LFILimits){.mapped = 2 * PAGE}));
	assert_done(lfi_box_init_ret(box));
	load_bytes(box, nops, sizeof nops);
	assert_true(lfi_box_mapany(box, PAGE, RX, ANON, -1, 0) == FAILED);
	assert_error(LFI_ERR_LIMIT);
	lfi_box_free(box);
	lfi_free(engine);
}

static void
a_limit_below_what_is_there_takes_nothing_away(void **state)
{
	struct Fixture f = open_box();
	struct LFIContext *second = lfi_ctx_new(f.box, NULL);
	char byte = 1;

	limit(&f, (struct LFILimits){.mapped = 1, .threads = 1});
	assert_done(lfi_box_copyto(f.box, f.buffer, &byte, 1));
	assert_true(lfi_box_mapany(f.box, 1, RW, ANON, -1, 0) == FAILED);
	assert_error(LFI_ERR_LIMIT);
	assert_done(lfi_box_munmap(f.box, f.buffer, PAGE));
	/* Still above it. */
	assert_true(lfi_box_mapany(f.box, 1, RW, ANON, -1, 0) == FAILED);
	assert_error(LFI_ERR_LIMIT);
	lfi_ctx_free(second);
	limit(&f, (struct LFILimits){0});
	map(f.box, PAGE);
	drop(&f);
}

static void
contexts_beyond_the_limit_are_refused(void **state)
{
	struct Fixture f = open_box();
	struct LFIContext *second, *third;

	limit(&f, (struct LFILimits){.threads = 2});
	second = lfi_ctx_new(f.box, NULL);
	assert_non_null(second);
	assert_null(lfi_ctx_new(f.box, NULL));
	assert_error(LFI_ERR_LIMIT);
	assert_non_null(strstr(lfi_errmsg(), "limit is 2"));
	lfi_ctx_free(second);
	third = lfi_ctx_new(f.box, NULL);
	assert_non_null(third);
	drop(&f);
}

static void
limits_are_what_was_set(void **state)
{
	struct Fixture f = open_box();
	struct LFILimits got = lfi_box_limits(f.box), set = {1 << 30, UINT64_MAX, 3, 4};

	assert_true(got.mapped == 0 && got.cpu_ns == 0 && got.threads == 0 && got.files == 0);
	limit(&f, set);
	got = lfi_box_limits(f.box);
	assert_memory_equal(&got, &set, sizeof set);
	/* Of an older caller, who knows one member; the others are none again. */
	assert_done(lfi_box_set_limits_sized(f.box, &set, 8));
	got = lfi_box_limits(f.box);
	assert_true(got.mapped == 1 << 30 && got.cpu_ns == 0 && got.threads == 0 && got.files == 0);
	drop(&f);
}

static void
limits_of_no_box_and_of_no_version_are_refused(void **state)
{
	struct Fixture f = open_box();
	struct {
		struct LFILimits limits;
		uint64_t newer;
	} more = {{0}, 1};

	assert_int_equal(lfi_box_set_limits(NULL, (struct LFILimits){0}), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_box_limits_sized(NULL, &more.limits, sizeof more.limits), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_box_limits_sized(f.box, NULL, 8), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_box_set_limits_sized(f.box, NULL, 8), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_box_set_limits_sized(f.box, &more.limits, sizeof more), -1);
	assert_error(LFI_ERR_INVALID);
	more.newer = 0;
	assert_done(lfi_box_set_limits_sized(f.box, &more.limits, sizeof more));
	drop(&f);
}

static void
a_box_whose_time_is_used_up_runs_no_more_until_it_gets_more(void **state)
{
	static const uint8_t loop[] = {0xeb, 0xfe};
	struct Fixture f = open_box();
	lfiptr code = LOAD(f.box, loop);

	limit(&f, (struct LFILimits){.cpu_ns = 1000000});
	for (int i = 0; i < 3; i++) {
		assert_int_equal(lfi_ctx_run(f.ctx, code), -1);
		assert_error(LFI_ERR_LIMIT);
	}
	/* Without a limit, something else ends it. */
	limit(&f, (struct LFILimits){0});
	assert_done(lfi_ctx_deadline(f.ctx, 5000000));
	assert_int_equal(lfi_ctx_run(f.ctx, code), -1);
	assert_error(LFI_ERR_DEADLINE);
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_beyond_the_limit_are_refused_whoever_maps_them_how),
		cmocka_unit_test(pages_that_replace_others_cost_nothing),
		cmocka_unit_test(code_counts_as_it_is_mapped),
		cmocka_unit_test(a_limit_below_what_is_there_takes_nothing_away),
		cmocka_unit_test(contexts_beyond_the_limit_are_refused),
		cmocka_unit_test(limits_are_what_was_set),
		cmocka_unit_test(limits_of_no_box_and_of_no_version_are_refused),
		cmocka_unit_test(a_box_whose_time_is_used_up_runs_no_more_until_it_gets_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
