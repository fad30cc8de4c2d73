/* SPDX-License-Identifier: MIT */
/* Pins: what the host has pinned stays mapped as it is, whoever wants it gone. */
#include "core_test.h"

#include <sys/mman.h>

#define SHARED LFI_MAP_SHARED
#define FIXED LFI_MAP_FIXED

static void
what_cannot_be_pinned_is_refused(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct LFIBoxInfo info = lfi_box_info(f.box);
	int fd = memfd_create("test", 0);
	lfiptr code = LOAD(f.box, code_add), file, readable, hidden, end = map(f.box, PAGE) + PAGE;
	const struct {
		lfiptr addr;
		size_t size;
		int prot, error;
	} rows[] = {
		{f.buffer, 0, RW, LFI_ERR_RANGE},
		{f.buffer, SIZE_MAX, RW, LFI_ERR_RANGE},
		{info.base, 8, LFI_PROT_READ, LFI_ERR_RANGE},
		{info.max - 8, 9, LFI_PROT_READ, LFI_ERR_RANGE},
		{info.min, 8, LFI_PROT_READ, LFI_ERR_UNMAPPED},
		{f.buffer, 8, LFI_PROT_WRITE, LFI_ERR_INVALID},
		{f.buffer, 8, LFI_PROT_NONE, LFI_ERR_INVALID},
		{f.buffer, 8, RX, LFI_ERR_INVALID},
		{code, 8, LFI_PROT_READ, LFI_ERR_INVALID},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		assert_null(lfi_box_pin(f.box, rows[i].addr, rows[i].size, rows[i].prot));
		assert_error(rows[i].error);
	}
	assert_int_equal(ftruncate(fd, PAGE), 0);
	file = lfi_box_mapany(f.box, PAGE, RW, SHARED, fd, 0);
	readable = lfi_box_mapany(f.box, PAGE, LFI_PROT_READ, ANON, -1, 0);
	hidden = lfi_box_mapany(f.box, PAGE, LFI_PROT_NONE, ANON, -1, 0);
	assert_true(file != FAILED && readable != FAILED && hidden != FAILED);
	assert_null(lfi_box_pin(f.box, file, 8, LFI_PROT_READ));
	assert_error(LFI_ERR_INVALID);
	assert_null(lfi_box_pin(f.box, readable, 8, RW));
	assert_error(LFI_ERR_UNMAPPED);
	assert_null(lfi_box_pin(f.box, hidden, 8, LFI_PROT_READ));
	assert_error(LFI_ERR_UNMAPPED);
	assert_int_equal(lfi_box_unpin(f.box, f.buffer, 8), -1);
	assert_error(LFI_ERR_NOTFOUND);
	/* Code, which cannot be pinned, may lie right behind. */
	assert_non_null(lfi_box_pin(f.box, readable, 8, LFI_PROT_READ));
	assert_done(lfi_box_unpin(f.box, readable, 8));
	assert_non_null(lfi_box_pin(f.box, end - 1, 1, RW));
	assert_done(lfi_box_unpin(f.box, end - 1, 1));
	close(fd);
	drop(&f);
}

/* Nothing of what may be done to a page. */
static void
assert_stays(struct LFIBox *box, lfiptr page)
{
	assert_int_equal(lfi_box_munmap(box, page, PAGE), -1);
	assert_error(LFI_ERR_BUSY);
	assert_int_equal(lfi_box_mprotect(box, page, PAGE, LFI_PROT_READ), -1);
	assert_error(LFI_ERR_BUSY);
	assert_int_equal(lfi_box_mprotect(box, page, PAGE, RX), -1);
	assert_error(LFI_ERR_BUSY);
	assert_true(lfi_box_mapat(box, page, PAGE, RW, ANON | FIXED, -1, 0) == FAILED);
	assert_error(LFI_ERR_BUSY);
}

static void
pinned_pages_stay_until_they_are_unpinned(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr pages = map(f.box, 4 * PAGE);
	/* Both ends of the range are in the middle of a page. */
	volatile char *p = lfi_box_pin(f.box, pages + 2 * PAGE - 1, 2, RW);

	assert_true((lfiptr) p == pages + 2 * PAGE - 1);
	assert_stays(f.box, pages + PAGE);
	assert_stays(f.box, pages + 2 * PAGE);
	assert_int_equal(lfi_box_munmap(f.box, pages, 4 * PAGE), -1);
	assert_error(LFI_ERR_BUSY);
	p[0] = 1, p[1] = 2;
	/* Its neighbours are free to go. */
	assert_done(lfi_box_munmap(f.box, pages, PAGE));
	assert_done(lfi_box_mprotect(f.box, pages + 3 * PAGE, PAGE, LFI_PROT_READ));
	/* Of two pins, each counts. */
	assert_non_null(lfi_box_pin(f.box, pages + 2 * PAGE, 8, LFI_PROT_READ));
	assert_done(lfi_box_unpin(f.box, pages + 2 * PAGE - 1, 2));
	assert_done(lfi_box_munmap(f.box, pages + PAGE, PAGE));
	assert_stays(f.box, pages + 2 * PAGE);
	assert_int_equal(p[1], 2);
	assert_done(lfi_box_unpin(f.box, pages + 2 * PAGE, 8));
	assert_done(lfi_box_munmap(f.box, pages + 2 * PAGE, PAGE));
	drop(&f);
}

static void
pins_come_and_go_in_any_number_up_to_a_limit(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	const size_t limit = 65536;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < limit; i++)
			assert_non_null(lfi_box_pin(f.box, f.buffer, 1 + i % 7, RW));
		assert_null(lfi_box_pin(f.box, f.buffer, 1, RW));
		assert_error(LFI_ERR_LIMIT);
		for (size_t i = limit; i-- > 0;)
			assert_done(lfi_box_unpin(f.box, f.buffer, 1 + i % 7));
	}
	assert_done(lfi_box_munmap(f.box, f.buffer, PAGE));
	/* A box is freed with what is pinned. */
	assert_non_null(lfi_box_pin(f.box, f.stack - PAGE, PAGE, RW));
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_cannot_be_pinned_is_refused),
		cmocka_unit_test(pinned_pages_stay_until_they_are_unpinned),
		cmocka_unit_test(pins_come_and_go_in_any_number_up_to_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
