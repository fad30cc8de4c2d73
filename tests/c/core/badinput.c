/* SPDX-License-Identifier: MIT */
/* What a host may get wrong: each call answers with an error whose message names the value, and nothing happens. */
#include "core_test.h"

static struct Fixture f;

/* The call gives `result`, with this error and a message that has `part`. */
#define REFUSED(call, result, error, part)                                                                             \
	do {                                                                                                           \
		lfi_error_clear();                                                                                     \
		if ((call) != (result) || lfi_errno() != (error) || !strstr(lfi_errmsg(), part))                       \
			fail_msg("%s: %s: %s", #call, lfi_error_name(lfi_errno()), lfi_errmsg());                      \
	} while (0)

static void
handles_of_the_new_calls_that_are_null_are_errors(void)
{
	struct LFILimits limits = {0};
	struct LFIBoxStats stats;
	struct LFIContext *none = NULL;
	char text[8];

	REFUSED(lfi_box_interrupt(NULL), -1, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_ctx_interrupt(NULL, 1), -1, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_ctx_deadline(NULL, 1), -1, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_ctx_deadline_at(NULL, 1), -1, LFI_ERR_INVALID, "NULL");
	assert_int_equal(lfi_ctx_token(NULL), 0);
	assert_false(lfi_ctx_interrupted(NULL));
	REFUSED(lfi_fault_format_sized(NULL, 8, text, sizeof text), 0, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_box_set_limits(NULL, limits), -1, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_box_limits_sized(NULL, &limits, sizeof limits), -1, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_box_stats_sized(NULL, &stats, sizeof stats), -1, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_fn_new(NULL, 0, "v()"), NULL, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_fn_new(f.box, f.buffer, NULL), NULL, LFI_ERR_SIGNATURE, "NULL");
	REFUSED(lfi_fn_call(NULL, &none, NULL, NULL), -1, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_box_register_fn(NULL, "v()", NULL, NULL), NULL, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_box_register_fn(f.box, "v()", NULL, NULL), NULL, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_box_unregister_fn(NULL, text), -1, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_call(f.ctx, f.buffer, NULL, NULL, NULL), -1, LFI_ERR_SIGNATURE, "NULL");
	lfi_fn_free(NULL);
	lfi_box_free(NULL);
	lfi_ctx_free(NULL);
	lfi_free(NULL);
}

static void
ranges_outside_the_sandbox_and_sizes_that_overflow_are_refused(void)
{
	const struct LFIBoxInfo info = lfi_box_info(f.box);
	const struct {
		lfiptr addr;
		size_t size;
	} rows[] = {
		{0, PAGE}, {info.base, PAGE}, {info.min - PAGE, 2 * PAGE}, {info.min - PAGE, PAGE},
		{info.max - PAGE, 2 * PAGE}, {info.max, PAGE}, {info.base + info.size, PAGE},
		{info.base - info.size, PAGE}, {(lfiptr) 1 << 63, PAGE}, {-PAGE, PAGE}, {info.min, info.size},
		{info.min, SIZE_MAX}, {info.min, SIZE_MAX - PAGE + 1}, {info.max - PAGE, -info.max + 2 * PAGE},
		{f.buffer, (size_t) 1 << 63}, {f.buffer, (size_t) 0 - f.buffer + 1},
	};
	char byte[16];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		lfiptr addr = rows[i].addr;
		size_t size = rows[i].size;
		char part[32];

		/* The message has the address, or the size. */
		snprintf(part, sizeof part, "%#zx bytes at ", size);
		REFUSED(lfi_box_mapat(f.box, addr, size, RW, ANON, -1, 0), FAILED, LFI_ERR_RANGE, part);
		REFUSED(lfi_box_mapat(f.box, addr, size, RW, ANON | LFI_MAP_FIXED, -1, 0), FAILED, LFI_ERR_RANGE, part);
		REFUSED(lfi_box_mprotect(f.box, addr, size, RW), -1, LFI_ERR_RANGE, part);
		REFUSED(lfi_box_munmap(f.box, addr, size), -1, LFI_ERR_RANGE, part);
		/* Nothing is read of the host's memory, whose bounds these sizes leave too. */
		REFUSED(lfi_box_copyto(f.box, addr, byte, size), -1, LFI_ERR_RANGE, part);
		REFUSED(lfi_box_copyfm(f.box, byte, addr, size), -1, LFI_ERR_RANGE, part);
		REFUSED(lfi_box_ptr(f.box, addr, size), NULL, LFI_ERR_RANGE, part);
		assert_false(lfi_box_ptrvalid(f.box, addr, size));
	}
}

static void
entries_outside_the_sandbox_are_refused(void)
{
	const struct LFIBoxInfo info = lfi_box_info(f.box);
	const lfiptr rows[] = {0, info.base, info.min - 1, info.max, info.base + info.size, UINT64_MAX};
	char byte[4], part[32];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		snprintf(part, sizeof part, "%#llx", (unsigned long long) rows[i]);
		REFUSED(lfi_ctx_run(f.ctx, rows[i]), -1, LFI_ERR_RANGE, "");
		REFUSED(lfi_call(f.ctx, rows[i], "v()", NULL, NULL), -1, LFI_ERR_RANGE, "");
		REFUSED(lfi_fn_new(f.box, rows[i], "v()"), NULL, LFI_ERR_RANGE, "");
		REFUSED(lfi_box_copystr(f.box, byte, rows[i], sizeof byte), -1, LFI_ERR_RANGE, "");
	}
}

static void
copies_of_pages_that_are_not_mapped_name_the_first(void)
{
	lfiptr hole = map(f.box, 3 * PAGE) + PAGE;
	char bytes[64], part[32];

	assert_done(lfi_box_munmap(f.box, hole, PAGE));
	snprintf(part, sizeof part, "%#llx", (unsigned long long) hole);
	REFUSED(lfi_box_copyto(f.box, hole - 32, bytes, 64), -1, LFI_ERR_UNMAPPED, part);
	REFUSED(lfi_box_copyfm(f.box, bytes, hole - 32, 64), -1, LFI_ERR_UNMAPPED, part);
	memset(bytes, 'x', sizeof bytes);
	assert_done(lfi_box_copyto(f.box, hole - 32, bytes, 32));
	REFUSED(lfi_box_copystr(f.box, bytes, hole - 32, 64), -1, LFI_ERR_UNMAPPED, "");
	/* The string is in time not over, though memory is there. */
	REFUSED(lfi_box_copystr(f.box, bytes, hole - 32, 16), -1, LFI_ERR_RANGE, "16 bytes");
	REFUSED(lfi_box_copystr(f.box, bytes, hole - 32, 0), -1, LFI_ERR_RANGE, "0 bytes");
	REFUSED(lfi_box_mprotect(f.box, hole - PAGE, 3 * PAGE, RW), -1, LFI_ERR_UNMAPPED, "is mapped");
	/* Pages that may not be written, though they are there. */
	assert_done(lfi_box_mprotect(f.box, hole + PAGE, PAGE, LFI_PROT_READ));
	snprintf(part, sizeof part, "%#llx", (unsigned long long) (hole + PAGE));
	REFUSED(lfi_box_copyto(f.box, hole + PAGE, bytes, 1), -1, LFI_ERR_UNMAPPED, part);
	assert_done(lfi_box_copyfm(f.box, bytes, hole + PAGE, 1));
}

static void
protections_flags_and_offsets_that_are_none_are_refused(void)
{
	const int odd = 0x40000000;

	REFUSED(lfi_box_mapany(f.box, 0, RW, ANON, -1, 0), FAILED, LFI_ERR_INVALID, "size is 0");
	REFUSED(lfi_box_mapany(f.box, PAGE, odd, ANON, -1, 0), FAILED, LFI_ERR_INVALID, "0x40000000");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW | LFI_PROT_EXEC, ANON, -1, 0), FAILED, LFI_ERR_INVALID, "executable");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, ANON | odd, -1, 0), FAILED, LFI_ERR_INVALID, "0x40000022");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, LFI_MAP_ANONYMOUS, -1, 0), FAILED, LFI_ERR_INVALID, "0x20");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, ANON | LFI_MAP_SHARED, -1, 0), FAILED, LFI_ERR_INVALID, "0x23");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0), FAILED, LFI_ERR_INVALID, "LFI_MAP_FIXED");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, LFI_MAP_PRIVATE, -1, 0), FAILED, LFI_ERR_INVALID, "file");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, LFI_MAP_PRIVATE, 0, 1), FAILED, LFI_ERR_INVALID, "offset 1 ");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, LFI_MAP_PRIVATE, 0, -4096), FAILED, LFI_ERR_INVALID, "offset -4096 ");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, LFI_MAP_PRIVATE, 1 << 30, 0), FAILED, LFI_ERR_OS, "4096 bytes");
	REFUSED(lfi_box_mapany(f.box, SIZE_MAX, RW, ANON, -1, 0), FAILED, LFI_ERR_NOMEM, "18446744073709551615");
	REFUSED(lfi_box_mapat(f.box, f.buffer + 1, PAGE, RW, ANON, -1, 0), FAILED, LFI_ERR_INVALID, "page size");
	REFUSED(lfi_box_mapat(f.box, f.buffer, PAGE, RW, ANON, -1, 0), FAILED, LFI_ERR_INVALID, "is mapped in");
	REFUSED(lfi_box_mprotect(f.box, f.buffer, PAGE, odd), -1, LFI_ERR_INVALID, "0x40000000");
	REFUSED(lfi_box_mprotect(f.box, f.buffer + 8, PAGE, RW), -1, LFI_ERR_INVALID, "page size");
	REFUSED(lfi_box_munmap(f.box, f.buffer + 8, PAGE), -1, LFI_ERR_INVALID, "page size");
	REFUSED(lfi_box_munmap(f.box, f.buffer, 0), -1, LFI_ERR_INVALID, "size is 0");
}

static void
signatures_that_are_none_are_refused(void)
{
	static const char *const bad[] = {"", "i", "i(", "i(i", "(i)", "i)i(", "i(v)", "x()", "i(y)", "i({)", "i(})", "i(i))",
	    "i()x", "v({i)", "\xff(\xff)"};
	union LFIValue args[2] = {{.i = 0}};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		REFUSED(lfi_call(f.ctx, f.buffer, bad[i], args, args), -1, LFI_ERR_SIGNATURE, "");
		REFUSED(lfi_fn_new(f.box, f.buffer, bad[i]), NULL, LFI_ERR_SIGNATURE, "");
		assert_true(strlen(lfi_errmsg()) > 10);
	}
}

/* Not a cmocka fixture: cmocka takes the fault handlers over after those, and the library's must come last. */
static void
with_box(void **state)
{
	void (*const *test)(void) = *state;

	f = fixture((struct LFIOptions){0});
	(*test)();
	drop(&f);
}

#define TEST(name)                                                                                                     \
	{                                                                                                              \
#name, with_box, NULL, NULL, &(void (*)(void)){name}                                                   \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(handles_of_the_new_calls_that_are_null_are_errors),
		TEST(ranges_outside_the_sandbox_and_sizes_that_overflow_are_refused),
		TEST(entries_outside_the_sandbox_are_refused),
		TEST(copies_of_pages_that_are_not_mapped_name_the_first),
		TEST(protections_flags_and_offsets_that_are_none_are_refused),
		TEST(signatures_that_are_none_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
