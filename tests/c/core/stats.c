/* SPDX-License-Identifier: MIT */
/* What a box says that it has used. */
#include "core_test.h"

#include <sys/mman.h>

#include "os/os.h"

static struct Fixture
open_box(void)
{
	return fixture((struct LFIOptions){0});
}

static void
mapped_pages_and_their_peak_are_counted(void **state)
{
	struct Fixture f = open_box();
	struct LFIBoxStats before = lfi_box_stats(f.box), now;
	lfiptr at;

	assert_int_equal(before.mapped, STACK_BYTES + 2 * PAGE);
	assert_int_equal(before.mapped_peak, before.mapped);
	at = map(f.box, 10 * PAGE);
	assert_done(lfi_box_mprotect(f.box, at, PAGE, LFI_PROT_READ));
	assert_true(lfi_box_mapat(f.box, at + PAGE, PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0) == at + PAGE);
	assert_done(lfi_box_munmap(f.box, at, 3 * PAGE));
	now = lfi_box_stats(f.box);
	assert_int_equal(now.mapped, before.mapped + 7 * PAGE);
	assert_int_equal(now.mapped_peak, before.mapped + 10 * PAGE);
	/* Less than the peak: it stays. */
	map(f.box, PAGE);
	assert_int_equal(lfi_box_stats(f.box).mapped_peak, before.mapped + 10 * PAGE);
	drop(&f);
}

static void
pages_that_were_written_are_resident_and_shared_ones_are_not(void **state)
{
	struct Fixture f = open_box();
	uint64_t before = lfi_box_stats(f.box).resident;
	lfiptr at = map(f.box, 2000 * PAGE), shared, file;
	int fd = memfd_create("stats", MFD_CLOEXEC);
	char byte = 1;

	/* Pages of their own, also where the kernel likes huge ones. */
	madvise(lfi_box_ptr(f.box, at, 2000 * PAGE), 2000 * PAGE, MADV_NOHUGEPAGE);
	/* Of the callback entries at least. */
	assert_true(before >= PAGE && before <= STACK_BYTES + 2 * PAGE);
	assert_int_equal(lfi_box_stats(f.box).resident, before);
	for (int i = 0; i < 700; i++)
		assert_done(lfi_box_copyto(f.box, at + (size_t) i * 2 * PAGE, &byte, 1));
	assert_int_equal(lfi_box_stats(f.box).resident, before + 700 * PAGE);
	shared = lfi_box_mapany(f.box, PAGE, RW, LFI_MAP_ANONYMOUS | LFI_MAP_SHARED, -1, 0);
	assert_true(shared != FAILED);
	assert_done(lfi_box_copyto(f.box, shared, &byte, 1));
	assert_int_equal(lfi_box_stats(f.box).resident, before + 700 * PAGE);
	/* A file's page becomes the box's with the first write. */
	assert_int_equal(ftruncate(fd, (off_t) PAGE), 0);
	assert_int_equal(pwrite(fd, &byte, 1, 0), 1);
	file = lfi_box_mapany(f.box, PAGE, RW, LFI_MAP_PRIVATE, fd, 0);
	assert_true(file != FAILED);
	assert_done(lfi_box_copyfm(f.box, &byte, file, 1));
	assert_int_equal(lfi_box_stats(f.box).resident, before + 700 * PAGE);
	assert_done(lfi_box_copyto(f.box, file, &byte, 1));
	assert_int_equal(lfi_box_stats(f.box).resident, before + 701 * PAGE);
	assert_done(lfi_box_munmap(f.box, at, 2000 * PAGE));
	assert_int_equal(lfi_box_stats(f.box).resident, before + PAGE);
	close(fd);
	drop(&f);
}

static void
resident_pages_can_be_counted_without_the_kernels_page_map(void **state)
{
	struct Fixture f = open_box();
	lfiptr at = map(f.box, 2000 * PAGE);
	char byte = 1;

	madvise(lfi_box_ptr(f.box, at, 2000 * PAGE), 2000 * PAGE, MADV_NOHUGEPAGE);
	for (int i = 0; i < 700; i++)
		assert_done(lfi_box_copyto(f.box, at + (size_t) i * 2 * PAGE, &byte, 1));
	assert_int_equal(os_resident(-1, at, 2000 * PAGE, true), 700 * PAGE);
	assert_int_equal(os_resident(-1, at, 2000 * PAGE, false), 0);
	drop(&f);
}

static void
leave(struct LFIContext *ctx)
{
	lfi_ctx_exit(ctx, 0);
}

static void
runtime_calls_are_counted_served_or_not(void **state)
{
	struct Fixture f = open_box();
	lfiptr code = LOAD(f.box, code_syscall);

	/* Nothing serves it: a fault. */
	assert_int_equal(lfi_ctx_run(f.ctx, code), -1);
	assert_int_equal(lfi_box_stats(f.box).runtime_calls, 1);
	lfi_sys_handler(f.engine, leave);
	for (int i = 0; i < 4; i++)
		assert_int_equal(lfi_ctx_run(f.ctx, code), 0);
	assert_int_equal(lfi_ctx_run(f.ctx, LOAD(f.box, code_unknown_call)), -1);
	lfi_ctx_free(f.ctx);
	assert_int_equal(lfi_box_stats(f.box).runtime_calls, 6);
	assert_int_equal(lfi_box_stats(f.box).calls, 0);
	drop(&f);
}

static void
calls_and_faults_are_counted_and_outlive_contexts(void **state)
{
	static const uint8_t trap[] = {0xcc};
	struct Fixture f = open_box();
	lfiptr add = LOAD(f.box, code_add), bad = LOAD(f.box, trap);
	union LFIValue args[2] = {{.i = 1}, {.i = 2}}, sum;
	struct LFIContext *second = lfi_ctx_new(f.box, NULL);
	struct LFIBoxStats stats;

	for (int i = 0; i < 5; i++)
		assert_done(lfi_call(f.ctx, add, "i(ii)", args, &sum));
	lfi_ctx_regs(second)->sp = f.stack;
	assert_done(lfi_call(second, add, "i(ii)", args, &sum));
	assert_int_equal(lfi_call(second, bad, "v()", NULL, NULL), -1);
	assert_int_equal(lfi_ctx_run(second, bad), -1);
	stats = lfi_box_stats(f.box);
	assert_int_equal(stats.calls, 7);
	assert_int_equal(stats.faults, 2);
	assert_int_equal(stats.contexts, 2);
	lfi_ctx_free(second);
	stats = lfi_box_stats(f.box);
	assert_int_equal(stats.calls, 7);
	assert_int_equal(stats.faults, 2);
	assert_int_equal(stats.contexts, 1);
	/* What is refused is no call. */
	assert_int_equal(lfi_call(f.ctx, 0, "v()", NULL, NULL), -1);
	assert_int_equal(lfi_box_stats(f.box).calls, 7);
	drop(&f);
}

static void
cpu_time_is_counted_where_it_was_asked_for(void **state)
{
	static const uint8_t loop[] = {0xeb, 0xfe};
	struct Fixture f = open_box();
	lfiptr code = LOAD(f.box, loop);

	assert_done(lfi_ctx_deadline(f.ctx, 1000000));
	assert_int_equal(lfi_ctx_run(f.ctx, code), -1);
	assert_int_equal(lfi_box_stats(f.box).cpu_ns, 0);
	assert_done(lfi_box_set_limits(f.box, (struct LFILimits){.cpu_ns = UINT64_MAX}));
	do {
		assert_done(lfi_ctx_deadline(f.ctx, 1000000));
		assert_int_equal(lfi_ctx_run(f.ctx, code), -1);
		assert_error(LFI_ERR_DEADLINE);
	} while (lfi_box_stats(f.box).cpu_ns < 2000000);
	drop(&f);
}

static void
older_callers_get_what_they_know_and_no_box_is_an_error(void **state)
{
	struct Fixture f = open_box();
	struct LFIBoxStats stats;

	memset(&stats, 0xaa, sizeof stats);
	assert_done(lfi_box_stats_sized(f.box, &stats, 8));
	assert_int_equal(stats.mapped, STACK_BYTES + 2 * PAGE);
	assert_true(stats.mapped_peak == 0xaaaaaaaaaaaaaaaa);
	assert_int_equal(lfi_box_stats_sized(NULL, &stats, sizeof stats), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_box_stats(NULL).mapped, 0);
	assert_int_equal(lfi_box_stats_sized(f.box, NULL, sizeof stats), -1);
	assert_error(LFI_ERR_INVALID);
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mapped_pages_and_their_peak_are_counted),
		cmocka_unit_test(pages_that_were_written_are_resident_and_shared_ones_are_not),
		cmocka_unit_test(resident_pages_can_be_counted_without_the_kernels_page_map),
		cmocka_unit_test(calls_and_faults_are_counted_and_outlive_contexts),
		cmocka_unit_test(runtime_calls_are_counted_served_or_not),
		cmocka_unit_test(cpu_time_is_counted_where_it_was_asked_for),
		cmocka_unit_test(older_callers_get_what_they_know_and_no_box_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
