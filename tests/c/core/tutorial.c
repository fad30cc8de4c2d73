/* SPDX-License-Identifier: MIT */
/* The tutorial's programs, with x86-64 code. */
#include "core_test.h"

#include <pthread.h>

static int seen;

static void
handler(struct LFIContext *ctx)
{
	struct LFIRegs *regs = lfi_ctx_regs(ctx);

	seen = (int) regs->x8;
	lfi_ctx_exit(ctx, 0);
}

static void
a_program_makes_a_system_call_and_ends(void **state)
{
	size_t pagesize = (size_t) getpagesize();
	struct LFIEngine *engine = lfi_new(
	    (struct LFIOptions) {
		.boxsize = 4UL * 1024 * 1024 * 1024,
		.pagesize = pagesize,
	    },
	    1);
	assert_non_null(engine);
	struct LFIBox *box = lfi_box_new(engine);
	assert_non_null(box);
	static uint8_t prog[] = {
		0xb8, 0x2a, 0x00, 0x00, 0x00,             // movl $42, %eax
		0x4c, 0x8d, 0x1d, 0x04, 0x00, 0x00, 0x00, // leaq 1f(%rip), %r11
		0x41, 0xff, 0x66, 0xf8,                   // jmpq *-8(%r14)
	};                                                // 1:
	lfiptr p = lfi_box_mapany(box, pagesize, LFI_PROT_READ | LFI_PROT_WRITE, LFI_MAP_ANONYMOUS | LFI_MAP_PRIVATE, -1, 0);
	assert_true(p != (lfiptr) -1);
	assert_int_equal(lfi_box_copyto(box, p, prog, sizeof(prog)), 0);
	int r = lfi_box_mprotect(box, p, pagesize, LFI_PROT_READ | LFI_PROT_EXEC);
	assert_int_equal(r, 0);
	struct LFIContext *ctx = lfi_ctx_new(box, NULL);
	assert_non_null(ctx);
	lfi_sys_handler(engine, handler);
	size_t stacksize = pagesize;
	lfiptr stack = lfi_box_mapany(box, stacksize, LFI_PROT_READ | LFI_PROT_WRITE, LFI_MAP_ANONYMOUS | LFI_MAP_PRIVATE, -1, 0);
	lfi_ctx_regs(ctx)->sp = stack + stacksize;
	int code = lfi_ctx_run(ctx, p);
	assert_int_equal(code, 0);
	assert_int_equal(lfi_errno(), LFI_OK);
	assert_int_equal(seen, 42);
	lfi_ctx_free(ctx);
	lfi_box_free(box);
	lfi_free(engine);
}

static void
displacements_of_the_tutorial_name_the_same_entries(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_syscall_low);

	lfi_sys_handler(f.engine, handler);
	seen = 0;
	assert_int_equal(lfi_ctx_run(f.ctx, p), 0);
	assert_int_equal(seen, 42);
	drop(&f);
}

static void
without_the_low_table_they_fault(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.no_low_table = true, .no_verify = true});
	lfiptr p = LOAD(f.box, code_syscall_low);

	lfi_sys_handler(f.engine, handler);
	assert_int_equal(lfi_ctx_run(f.ctx, p), -1);
	assert_error(LFI_ERR_FAULT);
	drop(&f);
}

static void
a_function_is_invoked(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_add);
	struct LFIContext *ctx = f.ctx;
	struct LFIBox *box = f.box;

	int x = LFI_INVOKE(box, &ctx, p, int, (int, int), 10, 32);
	assert_int_equal(x, 42);
	assert_int_equal(lfi_errno(), LFI_OK);
	drop(&f);
}

static int
callback(int a)
{
	seen = a;
	return a;
}

static void
sandboxed_code_calls_a_callback(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_apply);
	struct LFIContext *ctx = f.ctx;
	struct LFIBox *box = f.box;

	void *box_callback = lfi_box_register_cb(box, callback);
	assert_non_null(box_callback);
	assert_ptr_equal(box_callback, lfi_box_register_cb(box, callback));
	int x = LFI_INVOKE(box, &ctx, p, int, (int (*)(int), int), box_callback, 42);
	assert_int_equal(x, 42);
	assert_int_equal(seen, 42);
	drop(&f);
}

static _Thread_local struct LFIContext *thread_ctx;
static struct Fixture shared;
static lfiptr shared_add;

static struct LFIContext *
clone_cb(struct LFIBox *box)
{
	struct LFIContext *ctx = lfi_ctx_new(box, NULL);
	lfiptr stack = lfi_box_mapany(box, PAGE, RW, ANON, -1, 0);

	lfi_ctx_regs(ctx)->sp = stack + PAGE;
	return ctx;
}

static void *
thread(void *arg)
{
	long wrong = 0;

	for (int i = 0; i < 20000; i++)
		wrong += LFI_INVOKE(shared.box, &thread_ctx, shared_add, int, (int, int), i, 1) != i + 1;
	return (void *) wrong;
}

static void
threads_get_contexts_by_the_clone_callback(void **state)
{
	pthread_t threads[6];
	void *wrong;

	shared = fixture((struct LFIOptions) {.boxsize = 0});
	shared_add = LOAD(shared.box, code_add);
	assert_int_equal(LFI_INVOKE(shared.box, &thread_ctx, shared_add, int, (int, int), 1, 1), 0);
	assert_error(LFI_ERR_INVALID);
	lfi_set_clone_cb(shared.engine, clone_cb);
	for (int i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, thread, NULL), 0);
	for (int i = 0; i < 6; i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	drop(&shared);
}

static void
without_a_handler_a_system_call_is_a_fault(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_syscall);

	assert_int_equal(lfi_ctx_run(f.ctx, p), -1);
	assert_error(LFI_ERR_FAULT);
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_makes_a_system_call_and_ends),
		cmocka_unit_test(displacements_of_the_tutorial_name_the_same_entries),
		cmocka_unit_test(without_the_low_table_they_fault),
		cmocka_unit_test(a_function_is_invoked),
		cmocka_unit_test(sandboxed_code_calls_a_callback),
		cmocka_unit_test(threads_get_contexts_by_the_clone_callback),
		cmocka_unit_test(without_a_handler_a_system_call_is_a_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
