/* SPDX-License-Identifier: MIT */
/*
 * The stubs that lfi-bind makes of toy.h, called as a program calls the library. The second half is about a library
 * that lies: what it says ends the call, and nothing of the program's is touched.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "toy.h"
#include "toy_sandbox.h"

#include <lfi/lfi.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	int times, code;
	char function[64], message[1600];
} failure;

static void
on_failure(const char *function, int code, const char *message, void *user)
{
	assert_ptr_equal(user, &failure);
	failure.times++;
	failure.code = code;
	snprintf(failure.function, sizeof failure.function, "%s", function);
	snprintf(failure.message, sizeof failure.message, "%s", message);
}

static int
setup(void **state)
{
	(void) state;
	memset(&failure, 0, sizeof failure);
	toy_sandbox_on_failure(on_failure, &failure);
	toy_lie(0);
	return 0;
}

static int
no_failure(void **state)
{
	(void) state;
	if (failure.times)
		print_error("%s: %s\n", failure.function, failure.message);
	return failure.times;
}

/* The call failed once, in `function`, for a reason in which `text` is. */
static void
failed(const char *function, const char *text)
{
	assert_int_equal(failure.times, 1);
	assert_string_equal(failure.function, function);
	if (!strstr(failure.message, text))
		fail_msg("'%s' is not in '%s'", text, failure.message);
	failure.times = 0;
}

/* The library's handler of SIGSEGV, as main saw it: cmocka installs one of its own for each test. */
static struct sigaction handler;

static void
expect_faults(void)
{
	assert_int_equal(sigaction(SIGSEGV, &handler, NULL), 0);
}

/* ---- A library that does what it says ---- */

static void
numbers_go_in_and_come_out(void **state)
{
	(void) state;
	assert_int_equal(toy_add(2, -40), -38);
	assert_true(toy_mix(-1, 65535, 0.5f, 0.25, -7, true, TOY_GREEN) == -1 + 65535 + 0.5 + 0.25 - 7 + 1 + 7);
	assert_int_equal(toy_sixteen(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2), 136 + 16);
	toy_nothing();
	assert_true(toy_half(3.0L) == 1.5L);
}

static void
a_bool_from_the_sandbox_is_true_or_false(void **state)
{
	bool got = toy_bool(0x42);
	uint8_t byte;

	(void) state;
	memcpy(&byte, &got, 1);
	assert_true(byte <= 1);
	assert_false(toy_bool(0));
}

static void
text_goes_in_and_null_stays_null(void **state)
{
	char *large = malloc(3 << 20);

	(void) state;
	assert_int_equal(toy_length("hello"), 5);
	assert_int_equal(toy_length(""), 0);
	assert_int_equal(toy_length(NULL), 999);
	memset(large, 'x', 3 << 20);
	large[(3 << 20) - 1] = 0;
	assert_int_equal(toy_length(large), (3 << 20) - 1);
	free(large);
}

static void
text_comes_out_as_a_copy_that_stays(void **state)
{
	const char *hello = toy_greeting(1), *c = toy_greeting(2);

	(void) state;
	assert_null(toy_greeting(0));
	assert_string_equal(hello, "hello");
	assert_int_equal(strlen(c), 1999);
	assert_int_equal(c[0], 'c');
	toy_greeting(3);
	assert_int_equal(c[0], 'c');
	assert_ptr_equal(toy_greeting(1), hello);
}

static void
buffers_go_in_and_out(void **state)
{
	uint8_t bytes[300] = {1, 2, 3}, out[8];
	int items[3] = {1, -2, 3}, low = 0, high = 0;
	size_t wrote = 77;

	(void) state;
	assert_int_equal(toy_sum(bytes, sizeof bytes), 6);
	memset(out, 0xee, sizeof out);
	assert_int_equal(toy_fill(out, sizeof out, &wrote), 0);
	assert_int_equal(wrote, 4);
	assert_memory_equal(out, ((uint8_t[]){1, 2, 3, 4, 0xee, 0xee, 0xee, 0xee}), 8);
	toy_double(items, 3);
	assert_memory_equal(items, ((int[]){2, -4, 6}), sizeof items);
	toy_two(&low, &high);
	assert_int_equal(low + 10 * high, 21);
	toy_two(NULL, &high);
}

static void
what_the_library_gets_is_in_the_sandbox(void **state)
{
	uint8_t bytes[8] = {0};
	uint64_t base;

	(void) state;
	toy_sum(bytes, sizeof bytes);
	base = lfi_box_info(toy_sandbox_box()).base;
	assert_true(toy_seen() >> 32 == 0 || toy_seen() >> 32 == base >> 32);
	assert_true((uint32_t) toy_seen() != (uint32_t) (uintptr_t) bytes);
}

static void
variable_arguments_are_formatted_by_the_program(void **state)
{
	uint32_t sum = 0;

	(void) state;
	for (const char *p = "7 and %s seven"; *p; p++)
		sum += (uint8_t) *p;
	assert_int_equal(toy_printf("%d and %s %s", 7, "%s", "seven"), sum);
}

static void
padding_of_structs_does_not_leak(void **state)
{
	struct toy_shape shape;

	(void) state;
	memset(&shape, 0xaa, sizeof shape);
	shape.at = (struct toy_point){.tag = 1, .x = 2, .y = 3};
	assert_int_equal(toy_padding(&shape), 0);
}

static void
structs_go_in_and_out_by_members(void **state)
{
	struct toy_shape shape = {{'t', 10, 20}, {1, 2, 3, 4, 5}, 1.5};

	(void) state;
	toy_move(&shape, 5);
	assert_int_equal(shape.at.x, 15);
	assert_int_equal(shape.at.y, 20);
	assert_int_equal(shape.bytes[0], 2);
	assert_true(shape.size == 3.0);
}

static void
a_stream_moves_on_by_what_was_used(void **state)
{
	uint8_t out[8] = "";
	struct toy_stream stream = {.in = (const uint8_t *) "sandbox", .in_left = 7, .out = out, .out_left = 4};

	(void) state;
	assert_int_equal(toy_stream_start(&stream), 0);
	assert_null(stream.inside);
	assert_int_equal(toy_stream_run(&stream), 3);
	assert_int_equal(stream.in_left, 3);
	assert_int_equal(stream.out_left, 0);
	assert_ptr_equal(stream.out, out + 4);
	stream.out_left = 4;
	assert_int_equal(toy_stream_run(&stream), 0);
	assert_string_equal((char *) out, "SANDBOX");
	assert_int_equal(stream.calls, 2);
	assert_int_equal(toy_stream_end(&stream), 0);
}

static void
handles_are_no_addresses(void **state)
{
	toy *a = toy_new(1), *b = NULL;
	uint64_t bits = (uintptr_t) a;

	(void) state;
	assert_int_equal(toy_value(a), 1);
	assert_int_equal(toy_value(NULL), -1);
	assert_true((bits >> 47 != 0) && (bits >> 47 != 0x1ffff)); /* not canonical */
	assert_int_equal(toy_open("bad", &b), -1);
	assert_null(b);
	assert_int_equal(toy_open("good", &b), 0);
	assert_int_equal(toy_value(b), 42);
	assert_int_equal(other_value(toy_other(b)), 43);
	toy_close(&b);
	assert_null(b);
	toy_free(a);
}

static int
visit(void *user, int item)
{
	*(int *) user += item;
	return item * 10;
}

static void
a_callback_gets_its_pointer_back(void **state)
{
	int sum = 0;

	(void) state;
	assert_int_equal(toy_each(5, visit, &sum), 100);
	assert_int_equal(sum, 10);
	assert_true(toy_seen() < 1 << 20); /* a token */
}

static int
visit_nothing(void *user, int item)
{
	(void) user;
	(void) item;
	return 7;
}

static int
visit_nested(void *user, int item)
{
	int sum = 0;

	return item == 0 ? 1 : toy_each(item, visit_nested, user) + toy_add(item, 0) + toy_each(1, visit, &sum);
}

static void
callbacks_nest(void **state)
{
	(void) state;
	assert_int_equal(toy_each(5, visit_nested, &failure), 42);
}

static void
a_callback_lives_as_long_as_its_handle(void **state)
{
	int sums[3] = {0};
	toy *a = toy_new(0), *b = toy_new(0);

	(void) state;
	toy_set_visit(a, visit, &sums[0]);
	toy_set_visit(b, visit, &sums[1]);
	assert_int_equal(toy_run(a, 3), 30);
	assert_int_equal(toy_run(b, 4), 40);
	assert_ptr_equal(toy_get_user(a), &sums[0]);
	toy_free(a);
	assert_int_equal(toy_run(b, 5), 50);
	toy_set_visit(b, visit, &sums[2]);
	assert_int_equal(toy_run(b, 6), 60);
	assert_memory_equal(sums, ((int[]){3, 9, 6}), sizeof sums);
	toy_free(b);
}

static void
handles_come_and_go_without_end(void **state)
{
	int sum = 0;

	(void) state;
	for (int i = 0; i < 3000; i++) {
		toy *t = toy_new(i);

		toy_set_visit(t, visit, &sum);
		assert_int_equal(toy_run(t, 1), 10);
		toy_free(t);
	}
	assert_int_equal(sum, 3000);
}

static void
tell(void *user, const char *text, const uint8_t *bytes, size_t n)
{
	*(int *) user += strcmp(text, "text") == 0 && n == 5 && memcmp(bytes, "bytes", 5) == 0;
}

static size_t
pull(void *user, uint8_t *to, size_t room)
{
	memset(to, *(int *) user, room);
	return room;
}

static void
name(void *user, const char **names)
{
	for (; *names; names++)
		*(int *) user = *(int *) user * 10 + (int) strlen(*names);
}

static void
text_and_bytes_go_through_callbacks(void **state)
{
	int told = 0, seven = 7, digits = 0;
	uint8_t room[100] = {0};

	(void) state;
	toy_tell(tell, &told);
	assert_int_equal(told, 1);
	assert_int_equal(toy_pull(pull, &seven, room, sizeof room), sizeof room);
	assert_int_equal(room[0] + room[99], 14);
	toy_names(name, &digits);
	assert_int_equal(digits, 335);
}

static toy *jumper;

static int
jump_up(void *user, int item)
{
	(void) user;
	toy_fail(jumper, item + 5);
	return 0;
}

static void
the_library_jumps_to_the_programs_setjmp(void **state)
{
	volatile int rounds = 0;
	int value;

	(void) state;
	jumper = toy_new(0);
	value = setjmp(*toy_set_jump(jumper, longjmp, sizeof(jmp_buf)));
	rounds++;
	if (value == 0)
		toy_fail(jumper, 3);
	assert_int_equal(value, 3);
	/* Through a callback, and the call that called it. */
	value = setjmp(*toy_set_jump(jumper, longjmp, sizeof(jmp_buf)));
	rounds++;
	if (value == 0)
		toy_each(1, jump_up, &failure);
	assert_int_equal(value, 5);
	assert_int_equal(rounds, 4);
	assert_int_equal(toy_add(1, 2), 3);
	toy_free(jumper);
}

static void
rows_have_the_size_that_the_program_was_told(void **state)
{
	toy *t = toy_new(4);
	uint8_t row[8] = "--------", rows[3][8] = {"--------", "--------", "--------"};
	uint8_t *pointers[3] = {rows[0], rows[1], rows[2]};

	(void) state;
	toy_row(t, row);
	failed("toy_row", "not asked for 'width'");
	assert_memory_equal(row, "--------", 8);
	assert_int_equal(toy_width(t), 4);
	/* What it says later does not count. */
	toy_lie(6);
	toy_row(t, row);
	assert_memory_equal(row, "rrrr----", 8);
	toy_rows(t, 3, pointers);
	assert_memory_equal(rows[0], "aaaa----", 8);
	assert_memory_equal(rows[2], "cccc----", 8);
	toy_free(t);
}

static void *
thread(void *arg)
{
	int sum = 0;

	for (int i = 0; i < 200; i++) {
		if (toy_each(5, visit, &sum) != 100 || toy_length("hello") != 5)
			return NULL;
	}
	return sum == 2000 ? arg : NULL;
}

static void
each_thread_has_a_context_that_goes_with_it(void **state)
{
	pthread_t threads[4];
	uint32_t before;

	(void) state;
	toy_add(1, 1);
	before = lfi_box_stats(toy_sandbox_box()).contexts;
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 4; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, thread, state), 0);
		for (int i = 0; i < 4; i++) {
			void *result;

			pthread_join(threads[i], &result);
			assert_ptr_equal(result, state);
		}
	}
	assert_int_equal(lfi_box_stats(toy_sandbox_box()).contexts, before);
}

static void
memory_for_arguments_is_used_again(void **state)
{
	uint8_t *bytes = calloc(1, 40 << 20);
	uint64_t before;

	(void) state;
	toy_sum(bytes, 40 << 20);
	before = lfi_box_stats(toy_sandbox_box()).mapped;
	for (int i = 0; i < 5; i++)
		toy_sum(bytes, 40 << 20);
	toy_sum(bytes, 8);
	assert_true(lfi_box_stats(toy_sandbox_box()).mapped <= before);
	free(bytes);
}

/* ---- One that does not ---- */

static void
a_fault_is_told_and_gives_the_value_that_was_said(void **state)
{
	(void) state;
	expect_faults();
	assert_int_equal(toy_crash_value(), -7);
	assert_int_equal(failure.code, LFI_ERR_FAULT);
	failed("toy_crash_value", "toy_crash");
	assert_int_equal(toy_add(1, 2), 3);
}

/* What a child that ran `fn` without a handler died of. */
static int
child(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		toy_sandbox_on_failure(NULL, NULL);
		if (!freopen("/dev/null", "w", stderr))
			_exit(3);
		fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void
crash_with_value(void)
{
	if (toy_crash_value() != -7)
		abort();
}

static void
peek(void)
{
	char byte = *(volatile char *) toy_new(1);

	_exit(byte);
}

static jmp_buf out_of_callback;

static int
leave(void *user, int item)
{
	(void) user;
	longjmp(out_of_callback, item + 1);
}

static void
leave_a_callback(void)
{
	int sum;

	if (setjmp(out_of_callback) == 0)
		toy_each(1, leave, &sum);
	toy_add(1, 1);
}

static __attribute__((noinline)) int
set_in_a_function_that_returns(toy *t)
{
	char room[4096] = {1};

	__asm__ volatile("" : : "r"(room) : "memory"); /* all of it is on the stack */
	if (setjmp(*toy_set_jump(t, longjmp, sizeof(jmp_buf))) == 0)
		return room[0];
	_exit(0);
}

static void
jump_to_what_has_returned(void)
{
	toy *t = toy_new(1);

	set_in_a_function_that_returns(t);
	toy_fail(t, 1);
}

static void
without_a_handler_the_program_ends_with_a_message(void **state)
{
	(void) state;
	expect_faults();
	toy_add(1, 1);
	assert_int_equal(child(toy_crash), SIGABRT);
	assert_int_equal(child(crash_with_value), 0);
}

static void
who_looks_into_a_handle_crashes(void **state)
{
	(void) state;
	expect_faults();
	assert_int_equal(child(peek), SIGSEGV);
}

static void
jumps_that_cannot_be_end_the_program(void **state)
{
	(void) state;
	expect_faults();
	assert_int_equal(child(leave_a_callback), SIGABRT);
	assert_int_equal(child(jump_to_what_has_returned), SIGABRT);
}

static void
a_pointer_of_the_programs_is_no_handle(void **state)
{
	int mine = 5;

	(void) state;
	assert_int_equal(toy_value((toy *) &mine), -2);
	failed("toy_value", "no handle");
	assert_int_equal(toy_value((toy *) (uintptr_t) 0x10000), -2);
	failed("toy_value", "no handle");
}

static void
a_wild_handle_is_the_sandboxs_own_matter(void **state)
{
	toy *wild = toy_wild_handle(0x7fff12345678);

	(void) state;
	expect_faults();
	assert_int_equal((uint32_t) (uintptr_t) wild, 0x12345678);
	assert_int_equal(toy_value(wild), -2);
	failed("toy_value", "");
}

static void
a_length_from_the_sandbox_is_never_believed(void **state)
{
	uint8_t room[8];
	size_t wrote;
	uint8_t out[4] = "";
	struct toy_stream stream = {.in = (const uint8_t *) "ab", .in_left = 2, .out = out, .out_left = 4};

	(void) state;
	memset(room, 0xee, sizeof room);
	toy_lie(1);
	assert_int_equal(toy_fill(room, sizeof room, &wrote), -2);
	failed("toy_fill", "wrote 9 items where 8 fit");
	assert_int_equal(room[0], 0xee);
	toy_stream_start(&stream);
	toy_lie(2);
	assert_int_equal(toy_stream_run(&stream), -2);
	failed("toy_stream_run", "more is left");
	assert_ptr_equal(stream.out, out);
	toy_stream_end(&stream);
}

static void
lengths_that_cannot_be_are_refused(void **state)
{
	int items[2] = {1, 2};
	uint8_t bytes[4] = {0};

	(void) state;
	toy_double(items, SIZE_MAX / 2);
	failed("toy_double", "items of 4 bytes");
	toy_sum(bytes, SIZE_MAX - 4);
	failed("toy_sum", "an argument of");
	toy_sum(bytes, (size_t) 5 << 30);
	failed("toy_sum", "an argument of");
	assert_int_equal(items[0] + items[1], 3);
}

static void
tokens_cannot_be_made_up(void **state)
{
	int sum = 0;
	toy *t = toy_new(0);

	(void) state;
	toy_set_visit(t, visit_nothing, &sum);
	assert_int_equal(toy_forge(t, 0), 7);
	for (uint64_t i = 0; i < 2; i++) {
		assert_int_equal(toy_forge(t, 1 << 20 | i), -2);
		failed("toy_forge", "was not given");
		assert_int_equal(toy_forge(t, UINT64_MAX - i), -2);
		failed("toy_forge", "was not given");
		assert_int_equal(toy_forge(t, (uintptr_t) &sum), -2);
		failed("toy_forge", "was not given");
	}
	toy_free(t);
}

static void
a_pointer_of_another_callback_of_the_same_handle_is_refused(void **state)
{
	int sum = 0, other_sum = 0;
	toy *t = toy_new(0);
	uint64_t first;

	(void) state;
	toy_set_visit(t, visit, &other_sum);
	toy_run(t, 0);
	first = 0;
	for (uint64_t token = 1; token < 200 && !first; token++) {
		first = toy_forge(t, token) == 10 ? token : 0;
		failure.times = 0;
	}
	assert_true(first != 0);
	/* In its place: the one before is gone. */
	toy_set_visit(t, visit_nothing, &sum);
	assert_int_equal(toy_run_old(t), -2);
	failure.times = 0;
	assert_int_equal(toy_run(t, 1), 7);
	other_sum = 0;
	assert_int_equal(toy_forge(t, first), -2);
	failure.times = 0;
	assert_int_equal(other_sum, 0);
	toy_free(t);
}

static void
a_pointer_that_was_not_given_is_refused(void **state)
{
	int sum = 0, other_sum = 0;
	toy *a = toy_new(0), *b = toy_new(0);

	(void) state;
	expect_faults();
	toy_lie(3);
	assert_int_equal(toy_each(2, visit, &sum), -2);
	failed("toy_each", "was not given");
	toy_lie(0);
	/* Right for another owner only. */
	toy_set_visit(a, visit, &sum);
	toy_set_visit(b, visit_nested, &other_sum);
	assert_int_equal(toy_confuse(a, b), -2);
	failed("toy_confuse", "was not given");
	assert_int_equal(sum + other_sum, 0);
	toy_free(a);
	toy_free(b);
}

static void
a_result_that_is_a_pointer_of_the_programs_is_of_that_owner_and_use(void **state)
{
	int sum = 0;
	toy *a = toy_new(0), *b = toy_new(0);

	(void) state;
	toy_set_visit(a, visit, &sum);
	assert_ptr_equal(toy_get_user(a), &sum);
	assert_null(toy_get_user(b));
	assert_null(toy_wrong_user(b, a));
	failed("toy_wrong_user", "did not get");
	assert_null(toy_other_use(a));
	failed("toy_other_use", "did not get");
	toy_free(a);
	toy_free(b);
}

static void
a_callback_for_one_call_is_gone_after_it(void **state)
{
	int sum = 0;

	(void) state;
	expect_faults();
	assert_int_equal(toy_each(2, visit, &sum), 10);
	assert_int_equal(toy_again(), -2);
	failure.times = 0;
	assert_int_equal(sum, 1);
}

static void
entries_for_callbacks_are_given_back(void **state)
{
	(void) state;
	for (uintptr_t i = 1; i < 3000; i++) {
		toy *t = toy_new(0);

		toy_set_visit(t, (toy_visit) (i << 12), NULL); /* never called */
		assert_int_equal(failure.times, 0);
		toy_free(t);
	}
}

static void
a_callback_of_a_freed_handle_is_gone(void **state)
{
	int sum = 0;
	toy *t = toy_new(0);

	(void) state;
	expect_faults();
	toy_set_visit(t, visit, &sum);
	toy_free(t);
	/* The sandbox's allocator leaves what it freed as it was, or not: no call reaches the program. */
	toy_run(t, 1);
	failure.times = 0;
	assert_int_equal(sum, 0);
}

static void
lengths_in_callbacks_are_checked_before_memory_is_taken(void **state)
{
	int told = 0;
	uint8_t room[8] = {0};

	(void) state;
	toy_lie(4);
	toy_tell(tell, &told);
	failed("toy_tell", "8589934592 items");
	assert_int_equal(toy_pull(pull, &told, room, sizeof room), 99);
	failed("toy_pull", "items at");
	assert_int_equal(told, 0);
}

static void
text_without_an_end_is_refused(void **state)
{
	int told = 0;

	(void) state;
	toy_lie(5);
	assert_null(toy_greeting(2));
	failed("toy_greeting", "cannot be read");
	toy_tell(tell, &told);
	failed("toy_tell", "cannot be read");
	assert_int_equal(told, 0);
	assert_string_equal(toy_wild_text(0xfffffff0), "none");
	failed("toy_wild_text", "cannot be read");
}

static void
a_new_sandbox_knows_nothing_of_the_old_one(void **state)
{
	int sum = 0;
	toy *old = toy_new(1), *new;
	const char *hello = toy_greeting(1);

	(void) state;
	expect_faults();
	toy_set_visit(old, visit, &sum);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(toy_crash_value(), -7);
		failure.times = 0;
		assert_true(toy_sandbox_restart());
		assert_int_equal(toy_value(old), -2);
		failed("toy_value", "no handle");
		new = toy_new(5);
		toy_set_visit(new, visit, &sum);
		assert_int_equal(toy_run(new, 2), 20);
		assert_int_equal(toy_sum((const uint8_t *) "abc", 3), 'a' + 'b' + 'c');
	}
	assert_int_equal(sum, 6);
	assert_string_equal(hello, "hello");
}

static pthread_barrier_t barrier;

/* Calls, waits until there is another sandbox, calls or does not, waits, and ends. */
static void *
thread_that_stays(void *again)
{
	void *good = toy_length("hello") == 5 ? again : NULL;

	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	if (*(int *) again && toy_length("hello") != 5)
		good = NULL;
	return good;
}

static void
other_threads_go_on_in_a_new_sandbox(void **state)
{
	(void) state;
	for (int again = 0; again < 2; again++) {
		pthread_t other;
		void *good;

		/* So that the other thread is the first to have memory for arguments, and ours then has it in the same
		 * place. */
		assert_true(toy_sandbox_restart());
		pthread_barrier_init(&barrier, NULL, 2);
		assert_int_equal(pthread_create(&other, NULL, thread_that_stays, &again), 0);
		pthread_barrier_wait(&barrier);
		assert_true(toy_sandbox_restart());
		assert_int_equal(toy_length("in the main thread"), 18);
		pthread_barrier_wait(&barrier);
		pthread_join(other, &good);
		assert_ptr_equal(good, &again);
		/* What the other thread had was in the old one: ours is as it was. */
		assert_int_equal(toy_length("in the main thread"), 18);
		pthread_barrier_destroy(&barrier);
	}
}

static int
restart_inside(void *user, int item)
{
	(void) user;
	return item + toy_sandbox_restart();
}

static void
a_sandbox_is_not_replaced_while_it_runs(void **state)
{
	(void) state;
	assert_int_equal(toy_each(1, restart_inside, &failure), 0);
}

static void
text_after_text_does_not_fill_memory(void **state)
{
	char name[2] = "";
	int kept = 0;

	(void) state;
	for (int i = 0; i < 70 && !failure.times; i++) {
		name[0] = (char) ('0' + i);
		kept += toy_megabyte(name) != NULL;
	}
	failed("toy_megabyte", "no memory for more text");
	assert_in_range(kept, 50, 64);
	assert_true(toy_sandbox_restart());
	assert_string_equal(toy_greeting(1), "hello");
}

static void *
interrupt(void *box)
{
	usleep(20000);
	lfi_box_interrupt(box);
	return NULL;
}

static void
a_loop_ends_when_the_program_says_so(void **state)
{
	pthread_t thread_;

	(void) state;
	expect_faults();
	toy_add(1, 1);
	assert_int_equal(pthread_create(&thread_, NULL, interrupt, toy_sandbox_box()), 0);
	toy_loop();
	pthread_join(thread_, NULL);
	assert_int_equal(failure.code, LFI_ERR_INTERRUPTED);
	failed("toy_loop", "");
}

#define GOOD(test_) cmocka_unit_test_setup_teardown(test_, setup, no_failure)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    GOOD(numbers_go_in_and_come_out), GOOD(a_bool_from_the_sandbox_is_true_or_false),
	    GOOD(text_goes_in_and_null_stays_null), GOOD(text_comes_out_as_a_copy_that_stays),
	    GOOD(buffers_go_in_and_out), GOOD(what_the_library_gets_is_in_the_sandbox),
	    GOOD(variable_arguments_are_formatted_by_the_program), GOOD(padding_of_structs_does_not_leak),
	    GOOD(structs_go_in_and_out_by_members), GOOD(a_stream_moves_on_by_what_was_used),
	    GOOD(handles_are_no_addresses), GOOD(a_callback_gets_its_pointer_back), GOOD(callbacks_nest),
	    GOOD(a_callback_lives_as_long_as_its_handle), GOOD(handles_come_and_go_without_end),
	    GOOD(text_and_bytes_go_through_callbacks), GOOD(the_library_jumps_to_the_programs_setjmp),
	    GOOD(rows_have_the_size_that_the_program_was_told), GOOD(each_thread_has_a_context_that_goes_with_it),
	    GOOD(memory_for_arguments_is_used_again), GOOD(a_fault_is_told_and_gives_the_value_that_was_said),
	    GOOD(without_a_handler_the_program_ends_with_a_message), GOOD(who_looks_into_a_handle_crashes),
	    GOOD(jumps_that_cannot_be_end_the_program), GOOD(a_pointer_of_the_programs_is_no_handle),
	    GOOD(a_wild_handle_is_the_sandboxs_own_matter), GOOD(a_length_from_the_sandbox_is_never_believed),
	    GOOD(lengths_that_cannot_be_are_refused), GOOD(tokens_cannot_be_made_up),
	    GOOD(a_pointer_of_another_callback_of_the_same_handle_is_refused),
	    GOOD(a_pointer_that_was_not_given_is_refused),
	    GOOD(a_result_that_is_a_pointer_of_the_programs_is_of_that_owner_and_use),
	    GOOD(a_callback_for_one_call_is_gone_after_it), GOOD(entries_for_callbacks_are_given_back),
	    GOOD(a_callback_of_a_freed_handle_is_gone), GOOD(lengths_in_callbacks_are_checked_before_memory_is_taken),
	    GOOD(text_without_an_end_is_refused), GOOD(a_new_sandbox_knows_nothing_of_the_old_one),
	    GOOD(other_threads_go_on_in_a_new_sandbox), GOOD(a_sandbox_is_not_replaced_while_it_runs),
	    GOOD(a_loop_ends_when_the_program_says_so),
	    GOOD(text_after_text_does_not_fill_memory), /* the last: texts stay */
	};

	if (!toy_sandbox_start() || sigaction(SIGSEGV, NULL, &handler) < 0) {
		fprintf(stderr, "%s\n", toy_sandbox_message());
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
