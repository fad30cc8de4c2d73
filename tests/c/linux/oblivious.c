/* SPDX-License-Identifier: MIT */
/*
 * Position-oblivious programs: memory holds no whole address, and a copy of it
 * at another base goes on where the original is. The library that is looked at
 * is programs/oblivious.c.
 */
#include <inttypes.h>
#include <sys/wait.h>

#include "core.h"
#include "guest.h"
#include "linux_test.h"
#include "sysroot_test.h"

static char dir[] = "/tmp/lfi-oblivious-XXXXXX";

struct World {
	struct LFIEngine *engine;
	struct LFILinuxEngine *linux_;
	struct LFILinuxProc *proc;
	struct LFILinuxThread *thread;
};

/* Compiles programs/oblivious.c with these options to NAME.lfi. The exit status. */
static int
compile(const char *options, const char *name)
{
	char line[4096];

	snprintf(line, sizeof line, "%s/lfi-cc %s %s/tests/c/linux/programs/oblivious.c -o %s/%s.lfi", getenv("LFI_BIN"),
	    options, getenv("LFI_SOURCE"), dir, name);
	return system(line);
}

static void
world_open(struct World *world, const char *name)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s.lfi", dir, name);
	world->engine = lfi_new((struct LFIOptions){.single_thread = strcmp(name, "single-thread") == 0}, 2);
	world->linux_ = lfi_linux_new(world->engine, (struct LFILinuxOptions){0});
	world->proc = lfi_proc_new(world->linux_);
	if (!lfi_proc_load_file(world->proc, path))
		fail_msg("%s", lfi_errmsg());
	world->thread = lfi_thread_new(world->proc, 1, (const char *[]){"name"}, (const char *[]){"A=1", NULL});
	assert_non_null(world->thread);
	if (lfi_linux_init_clone(world->thread) < 0)
		fail_msg("%s", lfi_errmsg());
}

static void
world_close(struct World *world)
{
	lfi_proc_free(world->proc);
	lfi_linux_free(world->linux_);
	lfi_free(world->engine);
}

static int
call(struct LFILinuxProc *proc, struct LFILinuxThread *thread, lfiptr fn)
{
	union LFIValue result = {.i = -1};

	if (lfi_call(lfi_thread_ctx(thread), fn, "i()", NULL, &result) < 0)
		fail_msg("%s", lfi_errmsg());
	return (int) result.i;
}

/* A process without a program whose standard output is a pipe; `end` is where to read it. */
static struct LFILinuxProc *
new_process(struct World *world, int *end)
{
	struct LFILinuxProc *proc;
	int ends[2], saved = dup(1);

	assert_int_equal(pipe(ends), 0);
	fflush(stdout);
	dup2(ends[1], 1);
	proc = lfi_proc_new(world->linux_);
	dup2(saved, 1);
	close(saved);
	close(ends[1]);
	assert_non_null(proc);
	*end = ends[0];
	return proc;
}

/* Words, at any alignment, whose upper half is that of the base. */
static size_t
count_whole_addresses(struct LFILinuxProc *proc, const struct LoadStack *stack)
{
	uint32_t upper = (uint32_t) (proc->info.base >> 32), word;
	struct BoxMapping mapping;
	size_t hits = 0;

	for (lfiptr at = proc->info.min; box_mapping(proc->box, at, &mapping); at = mapping.addr + mapping.size) {
		const unsigned char *bytes = (const unsigned char *) mapping.addr;

		if (!(mapping.prot & LFI_PROT_WRITE) ||
		    (mapping.addr >= stack->start && mapping.addr < stack->start + stack->size))
			continue;
		for (size_t i = 4; i + 4 <= mapping.size; i++) {
			memcpy(&word, bytes + i, 4);
			if (word == upper && ++hits < 10)
				print_error("a whole address at %#" PRIx64 "\n", mapping.addr + i - 4 - proc->image.bias);
		}
	}
	return hits;
}

static void
no_whole_address_is_in_memory(const char *name)
{
	struct World world;

	world_open(&world, name);
	assert_true(world.proc->image.oblivious);
	assert_true(lfi_proc_sym(world.proc, "prepare") < (lfiptr) 1 << 32);
	assert_int_equal(count_whole_addresses(world.proc, &world.thread->stack), 0);
	assert_int_equal(call(world.proc, world.thread, lfi_proc_sym(world.proc, "prepare")), 1);
	assert_int_equal(call(world.proc, world.thread, lfi_proc_sym(world.proc, "survives")), 0);
	assert_int_equal(count_whole_addresses(world.proc, &world.thread->stack), 0);
	world_close(&world);
}

static void
gcc_code_leaves_no_whole_address_in_memory(void **state)
{
	no_whole_address_is_in_memory("gcc");
	no_whole_address_is_in_memory("unoptimised");
	no_whole_address_is_in_memory("single-thread");
	no_whole_address_is_in_memory("no-segue");
}

static void
clang_code_leaves_no_whole_address_in_memory(void **state)
{
	no_whole_address_is_in_memory("clang");
}

/* The box outlives the program's end. The script prints nothing. */
static void
lua_leaves_no_whole_address_in_memory(void **state)
{
	static const char script[] = "local t = {} for i = 1, 20000 do t[i] = {tostring(i), function() return i end} end "
				     "table.sort(t, function(a, b) return a[1] < b[1] end) "
				     "pcall(error, t) collectgarbage() assert(coroutine.wrap(function() return 7 end)() == 7)";
	const char *args[] = {"lua", "-e", script};
	struct World world = {0};
	char path[4096];

	snprintf(path, sizeof path, "%s/programs/lua.lfi", getenv("LFI_BUILD"));
	if (access(path, R_OK) < 0) {
		print_message("skipped: %s is not built\n", path);
		skip();
	}
	world.engine = lfi_new((struct LFIOptions){0}, 1);
	world.linux_ = lfi_linux_new(world.engine, (struct LFILinuxOptions){0});
	world.proc = lfi_proc_new(world.linux_);
	if (!lfi_proc_load_file(world.proc, path))
		fail_msg("%s", lfi_errmsg());
	world.thread = lfi_thread_new(world.proc, 3, args, NULL);
	assert_int_equal(lfi_thread_run(world.thread), 0);
	assert_int_equal(count_whole_addresses(world.proc, &world.thread->stack), 0);
	world_close(&world);
}

/* All mappings of `from` at the same offsets in `to`, which is empty. */
static void
copy_memory(struct LFILinuxProc *from, struct LFILinuxProc *to)
{
	struct BoxMapping mapping;
	lfiptr at;

	for (at = from->info.min; box_mapping(from->box, at, &mapping); at = mapping.addr + mapping.size) {
		lfiptr there = mapping.addr - from->info.base + to->info.base;

		if (lfi_box_mapat(to->box, there, mapping.size, 3, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0) ==
		    (lfiptr) -1)
			fail_msg("%s", lfi_errmsg());
		if (mapping.prot != LFI_PROT_NONE &&
		    lfi_box_copyto(to->box, there, (const void *) mapping.addr, mapping.size) < 0)
			fail_msg("%s", lfi_errmsg());
		if (mapping.prot != 3 && lfi_box_mprotect(to->box, there, mapping.size, mapping.prot) < 0)
			fail_msg("%s", lfi_errmsg());
	}
}

/* A thread in the copy that is where the other one is. */
static struct LFILinuxThread *
copy_thread(struct World *world, struct LFILinuxProc *to)
{
	struct LFILinuxThread *thread;
	struct LFIContext *first = lfi_thread_ctx(world->thread);

	box_set_oblivious(to->box);
	to->brk_start = world->proc->brk_start - world->proc->info.base + to->info.base;
	to->brk_end = world->proc->brk_end - world->proc->info.base + to->info.base;
	assert_int_equal(lfi_box_init_ret(to->box), 0);
	thread = thread_make(to);
	assert_non_null(thread);
	assert_true(lfi_ctx_tp(first) < (lfiptr) 1 << 32);
	lfi_ctx_set_tp(thread->ctx, lfi_ctx_tp(first));
	lfi_ctx_regs(thread->ctx)->sp = (uint32_t) lfi_ctx_regs(first)->sp;
	return thread;
}

static void
a_copy_at_another_base_goes_on(const char *name)
{
	struct World world;
	struct LFILinuxProc *copy;
	struct LFILinuxThread *thread;
	lfiptr survives, flush;
	char out[64];
	int end;

	world_open(&world, name);
	survives = lfi_proc_sym(world.proc, "survives");
	flush = lfi_proc_sym(world.proc, "flush");
	assert_int_equal(call(world.proc, world.thread, lfi_proc_sym(world.proc, "prepare")), 1);
	copy = new_process(&world, &end);
	assert_true(copy->info.base != world.proc->info.base);
	copy_memory(world.proc, copy);
	thread = copy_thread(&world, copy);
	/* The original is out of reach: what still pointed there would trap. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(call(copy, thread, survives), 0);
	assert_int_equal(call(copy, thread, flush), 0);
	assert_int_equal(read(end, out, sizeof out), 10);
	assert_memory_equal(out, "waits too\n", 10);
	close(end);
	assert_int_equal(call(world.proc, world.thread, survives), 0);
	lfi_proc_free(copy);
	world_close(&world);
}

static void
a_copy_of_gcc_code_goes_on_at_another_base(void **state)
{
	a_copy_at_another_base_goes_on("gcc");
	a_copy_at_another_base_goes_on("unoptimised");
	a_copy_at_another_base_goes_on("no-segue");
}

static void
a_copy_of_clang_code_goes_on_at_another_base(void **state)
{
	a_copy_at_another_base_goes_on("clang");
}

/* And the scan finds what is there. */
static void
other_code_works_and_holds_whole_addresses(void **state)
{
	struct World world;

	world_open(&world, "no-poc");
	assert_false(world.proc->image.oblivious);
	assert_true(lfi_proc_sym(world.proc, "prepare") > world.proc->info.base);
	assert_int_equal(call(world.proc, world.thread, lfi_proc_sym(world.proc, "prepare")), 0);
	assert_int_equal(call(world.proc, world.thread, lfi_proc_sym(world.proc, "survives")), 6);
	assert_true(count_whole_addresses(world.proc, &world.thread->stack) > 100);
	world_close(&world);
}

/* ---- Faults ---- */

static struct LFIFault
fault_in(struct LFILinuxProc *proc, struct LFILinuxThread *thread)
{
	union LFIValue place = {.u = lfi_box_info(lfi_proc_box(proc)).base + 8192}, result;
	struct LFIFault fault;

	assert_int_equal(lfi_call(lfi_thread_ctx(thread), lfi_proc_sym(proc, "calls_read_at"), "i(p)", &place, &result), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_FAULT);
	assert_int_equal(lfi_ctx_fault(lfi_thread_ctx(thread), &fault), 0);
	assert_int_equal(fault.kind, LFI_FAULT_GUARD);
	assert_int_equal(fault.address, place.u);
	return fault;
}

static void
assert_function(struct LFILinuxProc *proc, lfiptr address, const char *name)
{
	lfiptr function = (uint32_t) lfi_proc_sym(proc, name);
	char found[64];
	uint64_t offset;

	assert_int_equal(lfi_proc_symbolize(proc, address, found, sizeof found, &offset), 0);
	assert_string_equal(found, name);
	assert_int_equal(offset, (uint32_t) address - function);
}

/* Whole addresses in the struct, offsets in pc_offset and symbol_offset. */
static void
assert_places(struct LFILinuxProc *proc, const struct LFIFault *fault)
{
	lfiptr base = lfi_box_info(lfi_proc_box(proc)).base;

	assert_int_equal(fault->pc - base, fault->pc_offset);
	assert_true(fault->pc_offset < (uint64_t) 1 << 32);
	assert_string_equal(fault->symbol, "read_at");
	assert_int_equal(fault->symbol_offset, fault->pc_offset - (uint32_t) lfi_proc_sym(proc, "read_at"));
	assert_true(fault->depth >= 3);
	for (uint32_t i = 0; i < fault->depth; i++)
		assert_int_equal(fault->backtrace[i] >> 32, base >> 32);
	/* lfi_proc_symbolize takes both. */
	assert_function(proc, fault->pc, "read_at");
	assert_function(proc, fault->pc_offset, "read_at");
	assert_function(proc, fault->backtrace[1], "calls_read_at");
	assert_function(proc, fault->backtrace[1] - base, "calls_read_at");
}

static void
faults_of_programs_of_both_kinds_have_the_right_places(void **state)
{
	/* Each function has a frame. */
	static const char *const names[] = {"unoptimised", "no-poc-unoptimised"};
	struct World world;
	struct LFIFault fault;

	for (int i = 0; i < 2; i++) {
		world_open(&world, names[i]);
		assert_int_equal(world.proc->image.oblivious, i == 0);
		fault = fault_in(world.proc, world.thread);
		assert_places(world.proc, &fault);
		world_close(&world);
	}
}

static void
a_fault_in_a_clone_is_where_it_is_in_the_original(void **state)
{
	struct World world;
	struct LFISnapshot *snapshot;
	struct LFILinuxProc *clone;
	struct LFIFault fault, again;

	world_open(&world, "unoptimised");
	snapshot = lfi_snapshot_new(world.proc);
	assert_non_null(snapshot);
	clone = lfi_snapshot_clone(snapshot);
	assert_non_null(clone);
	fault = fault_in(world.proc, world.thread);
	again = fault_in(clone, lfi_proc_thread(clone));
	assert_places(clone, &again);
	assert_int_not_equal(again.pc, fault.pc);
	assert_int_equal(again.pc_offset, fault.pc_offset);
	assert_int_equal(again.symbol_offset, fault.symbol_offset);
	assert_int_equal(again.depth, fault.depth);
	for (uint32_t i = 0; i < fault.depth; i++)
		assert_int_equal((uint32_t) again.backtrace[i], (uint32_t) fault.backtrace[i]);
	lfi_proc_free(clone);
	lfi_snapshot_free(snapshot);
	world_close(&world);
}

static void
the_option_needs_the_full_policy(void **state)
{
	assert_int_not_equal(compile("--poc --sandbox=stores 2>/dev/null", "bad"), 0);
	assert_int_not_equal(compile("--sandbox=jumps --poc 2>/dev/null", "bad"), 0);
	assert_int_equal(compile("--poc --no-poc --sandbox=stores -O2", "good"), 0);
}

static int
compile_all(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	return compile("--lfi-compiler=gcc -O2", "gcc") || compile("--lfi-compiler=gcc -O0", "unoptimised") ||
	       compile("--lfi-compiler=clang -O2", "clang") || compile("--no-segue -O2", "no-segue") ||
	       compile("--single-thread -O2", "single-thread") || compile("--no-poc -O2", "no-poc") ||
	       compile("--no-poc -O0", "no-poc-unoptimised");
}

static int
remove_all(void **state)
{
	char line[64];

	snprintf(line, sizeof line, "rm -rf %s", dir);
	return system(line);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(gcc_code_leaves_no_whole_address_in_memory),
	    cmocka_unit_test(clang_code_leaves_no_whole_address_in_memory),
	    cmocka_unit_test(lua_leaves_no_whole_address_in_memory),
	    cmocka_unit_test(a_copy_of_gcc_code_goes_on_at_another_base),
	    cmocka_unit_test(a_copy_of_clang_code_goes_on_at_another_base),
	    cmocka_unit_test(other_code_works_and_holds_whole_addresses),
	    cmocka_unit_test(faults_of_programs_of_both_kinds_have_the_right_places),
	    cmocka_unit_test(a_fault_in_a_clone_is_where_it_is_in_the_original),
	    cmocka_unit_test(the_option_needs_the_full_policy),
	};

	if (!can_compile("no-poc/libc.a"))
		return 0;
	return cmocka_run_group_tests(tests, compile_all, remove_all);
}
