/* SPDX-License-Identifier: MIT */
/* Processes and threads through the public interface, with programs of a few instructions made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <lfi/lfi.h>

#include "elf/make_elf.h"

enum { BUNDLE = 32, REG_RAX = 0, REG_RDI, REG_RSI, REG_RDX };

/* A program whose code grows at its end. */
struct Program {
	struct TestElf elf;
	size_t used; /* bytes of code */
};

static void
begin(struct Program *program)
{
	test_elf_make(&program->elf);
	memset(program->elf.bytes + TEST_CODE, 0xcc, 0x1000);
	program->used = 0;
}

static void
pad(struct Program *program)
{
	while (program->used % BUNDLE)
		program->elf.bytes[TEST_CODE + program->used++] = 0x90;
}

/* One instruction, or a group that stays in one bundle. */
static void
emit(struct Program *program, const void *bytes, size_t size)
{
	if (program->used % BUNDLE + size > BUNDLE)
		pad(program);
	memcpy(program->elf.bytes + TEST_CODE + program->used, bytes, size);
	program->used += size;
	program->elf.segments[1].p_filesz = program->elf.segments[1].p_memsz = program->used;
}

static void
set(struct Program *program, int reg, uint64_t value)
{
	static const unsigned char movabs[] = {0xb8, 0xbf, 0xbe, 0xba};
	unsigned char insn[10] = {0x48, movabs[reg]};

	memcpy(insn + 2, &value, sizeof value);
	emit(program, insn, sizeof insn);
}

static void
runtime_call(struct Program *program, int entry)
{
	const unsigned char insn[] = {0x4c, 0x8d, 0x1d, 4, 0, 0, 0, 0x41, 0xff, 0x66, (unsigned char) (-8 * entry)};

	emit(program, insn, sizeof insn);
}

static void
call(struct Program *program, uint64_t number, uint64_t arg)
{
	set(program, REG_RDI, arg);
	set(program, REG_RAX, number);
	runtime_call(program, 1);
}

/* exit_group with the last result, negated. */
static void
exit_with_errno(struct Program *program)
{
	emit(program, "\x89\xc7", 2);
	emit(program, "\xf7\xdf", 2);
	set(program, REG_RAX, 231);
	runtime_call(program, 1);
}

struct World {
	struct LFIEngine *engine;
	struct LFILinuxEngine *linux_;
	struct LFILinuxProc *proc;
	struct LFILinuxThread *thread;
};

static void
make(struct World *world, struct LFILinuxOptions opts, const struct Program *program)
{
	world->engine = lfi_new((struct LFIOptions){0}, 2);
	assert_non_null(world->engine);
	world->linux_ = lfi_linux_new(world->engine, opts);
	assert_non_null(world->linux_);
	world->proc = lfi_proc_new(world->linux_);
	assert_non_null(world->proc);
	if (!lfi_proc_load(world->proc, program->elf.bytes, sizeof program->elf.bytes, "made-here"))
		fail_msg("%s", lfi_errmsg());
	world->thread = lfi_thread_new(world->proc, 0, NULL, NULL);
	assert_non_null(world->thread);
}

static void
unmake(struct World *world)
{
	lfi_thread_free(world->thread);
	lfi_proc_free(world->proc);
	lfi_linux_free(world->linux_);
	lfi_error_clear();
	lfi_free(world->engine);
	assert_int_equal(lfi_errno(), LFI_OK);
}

static int
run(const struct Program *program, struct LFILinuxOptions opts)
{
	struct World world;
	int status;

	make(&world, opts, program);
	status = lfi_thread_run(world.thread);
	unmake(&world);
	return status;
}

static void
the_exit_status_is_the_programs(void **state)
{
	static const struct {
		uint64_t number, status;
		int expected;
	} rows[] = {
	    {231, 0, 0}, {231, 7, 7}, {60, 7, 7}, {231, 255, 255}, {231, 256 + 44, 44}, {60, (uint64_t) -1, 255}};
	struct Program program;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		begin(&program);
		call(&program, rows[i].number, rows[i].status);
		assert_int_equal(run(&program, (struct LFILinuxOptions){0}), rows[i].expected);
	}
}

/* Else this test does not end. */
static void
after_exit_group_nothing_of_the_program_runs(void **state)
{
	struct Program program;

	begin(&program);
	call(&program, 231, 6);
	emit(&program, "\xeb\xfe", 2);
	assert_int_equal(run(&program, (struct LFILinuxOptions){0}), 6);
}

static void
a_trap_is_an_error_of_the_run(void **state)
{
	struct Program program;
	struct World world;
	struct LFIFault fault;

	begin(&program);
	emit(&program, "\x0f\x0b", 2);
	make(&world, (struct LFILinuxOptions){0}, &program);
	assert_int_equal(lfi_proc_fault(world.proc, &fault), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_NOTFOUND);
	assert_int_equal(lfi_thread_run(world.thread), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_FAULT);
	assert_int_equal(lfi_proc_fault(world.proc, &fault), 0);
	assert_int_equal(fault.signal, 4);
	assert_int_equal(lfi_ctx_fault(lfi_thread_ctx(world.thread), &fault), 0);
	assert_int_equal(fault.signal, 4);
	assert_int_equal(fault.pc, lfi_proc_sym(world.proc, "_start"));
	unmake(&world);
}

static void
running_off_the_end_of_the_code_is_a_trap(void **state)
{
	struct Program program;

	begin(&program);
	emit(&program, "\x90", 1);
	assert_int_equal(run(&program, (struct LFILinuxOptions){0}), -1);
	assert_int_equal(lfi_errno(), LFI_OK);
}

static void
an_unknown_call_gives_enosys_or_ends_the_program(void **state)
{
	struct Program program;
	struct World world;

	begin(&program);
	call(&program, 500, 0);
	exit_with_errno(&program);
	assert_int_equal(run(&program, (struct LFILinuxOptions){0}), 38);
	make(&world, (struct LFILinuxOptions){.exit_unknown_syscalls = true}, &program);
	assert_int_equal(lfi_thread_run(world.thread), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_UNSUPPORTED);
	assert_string_equal(lfi_errmsg(), "the program made system call 500, which is not known");
	unmake(&world);
}

static char logged[4096];

static void
keep_log(const char *line, void *user)
{
	strncat(logged, line, sizeof logged - strlen(logged) - 2);
	strcat(logged, "\n");
}

static void
verbose_shows_calls_with_arguments_and_results(void **state)
{
	struct Program program;

	begin(&program);
	set(&program, REG_RSI, 2);
	call(&program, 33, 99);
	set(&program, REG_RSI, 0);
	call(&program, 2, 5);
	call(&program, 500, 1);
	call(&program, 231, 0);
	logged[0] = 0;
	lfi_set_log(keep_log, NULL);
	assert_int_equal(run(&program, (struct LFILinuxOptions){.verbose = true}), 0);
	lfi_set_log(NULL, NULL);
	assert_non_null(strstr(logged, "] dup2(99, 2) = -EBADF\n"));
	assert_non_null(strstr(logged, "] open(0x5, 0x0, 0"));
	assert_non_null(strstr(logged, " = -EFAULT\n"));
	assert_non_null(strstr(logged, "] unknown system call 500(0x1, 0x0,"));
	assert_non_null(strstr(logged, "] exit_group(0) = 0\n"));
}

/* A library: says that it is ready; then a function that returns its argument plus one, and one that ends the process.
 */
static void
make_library(struct Program *program)
{
	static const unsigned char add_one[] = {0x8d, 0x47, 0x01};
	static const unsigned char ret[] = {0x41, 0x83, 0xe3, 0xe0, 0x4d, 0x01, 0xf3, 0x41, 0xff, 0xe3};

	begin(program);
	call(program, 0x4c4649, 0);
	call(program, 231, 1);
	pad(program);
	test_elf_symbol(&program->elf, 0x2100 + 24, 1, TEST_CODE + program->used, 2, 1); /* _start's name: add_one */
	emit(program, add_one, sizeof add_one);
	emit(program, "\x41\x5b", 2);
	emit(program, ret, sizeof ret);
	pad(program);
	test_elf_symbol(&program->elf, 0x2300 + 24, 39, TEST_CODE + program->used, 2, 1);
	call(program, 231, 9);
}

static void
a_library_stays_alive_and_can_be_called(void **state)
{
	struct Program program;
	struct World world;
	union LFIValue arg = {.i = 41}, result;

	make_library(&program);
	make(&world, (struct LFILinuxOptions){0}, &program);
	assert_int_equal(lfi_linux_init_clone(world.thread), 0);
	assert_int_equal(lfi_linux_init_clone(world.thread), 0);
	assert_int_equal(
	    lfi_call(lfi_thread_ctx(world.thread), lfi_proc_sym(world.proc, "_start"), "i(i)", &arg, &result), 0);
	assert_int_equal(result.i, 42);
	assert_int_equal(lfi_proc_sym(world.proc, "nothing"), 0);
	assert_int_equal(lfi_errno(), LFI_ERR_NOTFOUND);
	assert_string_equal(lfi_errmsg(), "the program has no symbol 'nothing'");
	assert_int_equal(lfi_thread_run(world.thread), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	/* A function that ends the process ends the call. */
	assert_int_equal(
	    lfi_call(lfi_thread_ctx(world.thread), lfi_proc_sym(world.proc, "exported"), "v()", NULL, NULL), -1);
	unmake(&world);
}

static void
a_program_that_ends_is_no_library(void **state)
{
	struct Program program;
	struct World world;

	begin(&program);
	call(&program, 231, 3);
	make(&world, (struct LFILinuxOptions){0}, &program);
	assert_int_equal(lfi_linux_init_clone(world.thread), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	assert_non_null(strstr(lfi_errmsg(), "ended with status 3 instead of becoming a library"));
	unmake(&world);
}

static void
wrong_order_and_wrong_arguments_are_errors(void **state)
{
	const char *argv[] = {"a", NULL};
	struct Program program;
	struct World world;

	begin(&program);
	call(&program, 231, 0);
	make(&world, (struct LFILinuxOptions){0}, &program);
	assert_null(lfi_thread_new(world.proc, 0, NULL, NULL));
	assert_false(lfi_proc_load(world.proc, program.elf.bytes, sizeof program.elf.bytes, NULL));
	assert_string_equal(lfi_errmsg(), "the process has a program already");
	assert_int_equal(lfi_thread_run(world.thread), 0);
	assert_int_equal(lfi_thread_run(world.thread), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	lfi_linux_free(world.linux_);
	assert_int_equal(lfi_errno(), LFI_ERR_BUSY);
	lfi_thread_free(world.thread);
	lfi_proc_free(world.proc);
	world.proc = lfi_proc_new(world.linux_);
	assert_null(lfi_thread_new(world.proc, 0, NULL, NULL));
	assert_string_equal(lfi_errmsg(), "the process has no program: lfi_proc_load comes first");
	assert_true(lfi_proc_load(world.proc, program.elf.bytes, sizeof program.elf.bytes, NULL));
	assert_null(lfi_thread_new(world.proc, 2, argv, NULL));
	assert_string_equal(lfi_errmsg(), "argv[1] of 2 is NULL");
	assert_null(lfi_thread_new(world.proc, -1, argv, NULL));
	assert_null(lfi_thread_new(world.proc, 1, NULL, NULL));
	lfi_proc_free(world.proc);
	assert_null(lfi_linux_new(world.engine, (struct LFILinuxOptions){.debug = true}));
	assert_int_equal(lfi_errno(), LFI_ERR_UNSUPPORTED);
	lfi_linux_free(world.linux_);
	lfi_free(world.engine);
	lfi_proc_free(NULL);
	lfi_thread_free(NULL);
	lfi_linux_free(NULL);
}

static void
a_process_can_be_loaded_after_a_failed_load(void **state)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);
	struct LFILinuxEngine *linux_ = lfi_linux_new(engine, (struct LFILinuxOptions){0});
	struct LFILinuxProc *proc = lfi_proc_new(linux_);
	struct LFILinuxThread *thread;
	struct Program program;

	begin(&program);
	call(&program, 231, 5);
	assert_false(lfi_proc_load(proc, NULL, 0, NULL));
	assert_false(lfi_proc_load(proc, program.elf.bytes, 100, NULL));
	assert_int_equal(lfi_errno(), LFI_ERR_ELF);
	assert_false(lfi_proc_load_file(proc, "/does/not/exist"));
	assert_string_equal(lfi_errmsg(), "cannot open '/does/not/exist': No such file or directory");
	assert_false(lfi_proc_load_file(proc, "/tmp"));
	assert_string_equal(lfi_errmsg(), "'/tmp' is not a regular file");
	assert_false(lfi_proc_load_file(proc, "/dev/zero"));
	assert_false(lfi_proc_load_file(proc, "/bin/sh"));
	assert_int_equal(lfi_errno(), LFI_ERR_ELF);
	assert_int_equal(lfi_proc_sym(proc, "main"), 0);
	assert_true(lfi_proc_load(proc, program.elf.bytes, sizeof program.elf.bytes, NULL));
	thread = lfi_thread_new(proc, 0, NULL, NULL);
	assert_int_equal(lfi_thread_run(thread), 5);
	lfi_proc_free(proc);
	lfi_linux_free(linux_);
	lfi_free(engine);
}

static void
an_options_struct_of_another_version_is_taken_with_care(void **state)
{
	struct {
		struct LFILinuxOptions opts;
		uint64_t more;
	} newer = {.more = 0};
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);
	struct LFILinuxEngine *linux_;

	linux_ = lfi_linux_new_sized(engine, &newer.opts, sizeof newer);
	assert_non_null(linux_);
	lfi_linux_free(linux_);
	linux_ = lfi_linux_new_sized(engine, &newer.opts, sizeof newer.opts.stacksize);
	assert_non_null(linux_);
	lfi_linux_free(linux_);
	newer.more = 1;
	assert_null(lfi_linux_new_sized(engine, &newer.opts, sizeof newer));
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	lfi_free(engine);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_exit_status_is_the_programs),
	    cmocka_unit_test(after_exit_group_nothing_of_the_program_runs),
	    cmocka_unit_test(a_trap_is_an_error_of_the_run),
	    cmocka_unit_test(running_off_the_end_of_the_code_is_a_trap),
	    cmocka_unit_test(an_unknown_call_gives_enosys_or_ends_the_program),
	    cmocka_unit_test(verbose_shows_calls_with_arguments_and_results),
	    cmocka_unit_test(a_library_stays_alive_and_can_be_called),
	    cmocka_unit_test(a_program_that_ends_is_no_library),
	    cmocka_unit_test(wrong_order_and_wrong_arguments_are_errors),
	    cmocka_unit_test(a_process_can_be_loaded_after_a_failed_load),
	    cmocka_unit_test(an_options_struct_of_another_version_is_taken_with_care),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
