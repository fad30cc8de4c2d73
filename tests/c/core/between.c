/* SPDX-License-Identifier: MIT */
/*
 * What happens between two steps of the library: the linker leads its calls to functions of this file first, where the
 * sandbox, or another thread, does something just then.
 */
#include "core_test.h"

#include <signal.h>

#include "box.h"
#include "os/os.h"

static void (*between)(void); /* happens once, at the next call */
static struct Fixture f;

static void
happens(void)
{
	void (*what)(void) = between;

	between = NULL;
	if (what)
		what();
}

ssize_t __real_strnlen_guarded(const char *s, size_t max);
ssize_t __wrap_strnlen_guarded(const char *s, size_t max);
bool __real_os_barrier(void);
bool __wrap_os_barrier(void);

ssize_t
__wrap_strnlen_guarded(const char *s, size_t max)
{
	ssize_t n = __real_strnlen_guarded(s, max);

	happens();
	return n;
}

/* Between a request and the signal for it. */
bool
__wrap_os_barrier(void)
{
	happens();
	return __real_os_barrier();
}

/* ---- Strings ---- */

static lfiptr string;

static void
unmap_it(void)
{
	lfi_box_munmap(f.box, string, PAGE);
}

static void
lengthen_it(void)
{
	lfi_box_mapat(f.box, string + PAGE, PAGE, RW, ANON, -1, 0);
	memset(lfi_box_ptr(f.box, string + PAGE, PAGE), 'x', PAGE - 1);
}

static void
a_string_that_goes_while_it_is_copied_is_an_error(void **state)
{
	char copy[64];

	f = fixture((struct LFIOptions) {.boxsize = 0});
	string = map(f.box, PAGE);
	assert_done(lfi_box_copyto(f.box, string, "abc", 4));
	assert_int_equal(lfi_box_copystr(f.box, copy, string, sizeof copy), 3);
	between = unmap_it;
	assert_int_equal(lfi_box_copystr(f.box, copy, string, sizeof copy), -1);
	assert_error(LFI_ERR_UNMAPPED);
	drop(&f);
}

static void
a_string_that_grows_while_it_is_copied_stays_within_its_place(void **state)
{
	lfiptr end;
	char copy[256];

	f = fixture((struct LFIOptions) {.boxsize = 0});
	string = map(f.box, 2 * PAGE);
	assert_done(lfi_box_munmap(f.box, string + PAGE, PAGE));
	end = string + PAGE - 32;
	memset(lfi_box_ptr(f.box, end, 32), 'x', 32);
	memset(copy, 'y', sizeof copy);
	between = lengthen_it;
	assert_int_equal(lfi_box_copystr(f.box, copy, end, 128), -1);
	assert_error(LFI_ERR_UNMAPPED);
	for (size_t i = 0; i < sizeof copy; i++)
		assert_int_equal(copy[i], 'y');
	drop(&f);
}

/* What follows the sandbox's last page is not its own, whoever has it. */
static void
a_string_ends_with_the_sandbox(void **state)
{
	lfiptr last;
	char copy[256];

	f = fixture((struct LFIOptions) {.boxsize = 0});
	last = lfi_box_info(f.box).max - PAGE;
	assert_true(lfi_box_mapat(f.box, last, PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0) == last);
	memset(lfi_box_ptr(f.box, last, PAGE), 'x', PAGE);
	assert_int_equal(lfi_box_copystr(f.box, copy, last + PAGE - 32, sizeof copy), -1);
	assert_error(LFI_ERR_RANGE);
	drop(&f);
}

/* ---- Interrupts ---- */

static void
the_entry_ends(void)
{
	atomic_fetch_add(&f.ctx->interrupt.serial, 1);
}

static void
the_deadline_is_moved(void)
{
	atomic_store(&f.ctx->interrupt.deadline, 0);
}

static int kicks;

bool __real_interrupt_arrived(ucontext_t *uc);
bool __wrap_interrupt_arrived(ucontext_t *uc);

bool
__wrap_interrupt_arrived(ucontext_t *uc)
{
	kicks++;
	return __real_interrupt_arrived(uc);
}

static lfiptr p;

static int
interrupts_what_is_over(int x)
{
	uint64_t token = lfi_ctx_token(f.ctx);

	between = the_entry_ends;
	lfi_ctx_interrupt(f.ctx, token);
	return atomic_load(&f.ctx->attention);
}

/* I3 of interrupt.c. */
static void
who_has_left_gets_no_signal(void **state)
{
	void *cb;

	f = fixture((struct LFIOptions) {.boxsize = 0});
	p = LOAD(f.box, code_apply);
	cb = lfi_box_register_cb(f.box, (void *) interrupts_what_is_over);
	kicks = 0;
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (void *, int), cb, 1), 0);
	assert_int_equal(lfi_errno(), LFI_OK);
	assert_int_equal(kicks, 0);
	drop(&f);
}

static void
a_deadline_that_is_moved_just_then_ends_nothing(void **state)
{
	f = fixture((struct LFIOptions) {.boxsize = 0});
	p = LOAD(f.box, code_add);
	between = the_deadline_is_moved;
	assert_done(lfi_ctx_deadline_at(f.ctx, 1));
	assert_null(between);
	assert_int_equal(atomic_load(&f.ctx->attention), 0);
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (int, int), 2, 3), 5);
	assert_int_equal(lfi_errno(), LFI_OK);
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_string_that_goes_while_it_is_copied_is_an_error),
		cmocka_unit_test(a_string_that_grows_while_it_is_copied_stays_within_its_place),
		cmocka_unit_test(a_string_ends_with_the_sandbox),
		cmocka_unit_test(who_has_left_gets_no_signal),
		cmocka_unit_test(a_deadline_that_is_moved_just_then_ends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
