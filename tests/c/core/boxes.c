/* SPDX-License-Identifier: MIT */
/* Engines and boxes: options, many of them side by side, and what is left behind: nothing. */
#include "core_test.h"
#include "sanitizers.h"
#include "os/os.h"
#include "box.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void
options_that_are_wrong_are_refused(void **state)
{
	const struct {
		struct LFIOptions opts;
		size_t n;
		int error;
	} rows[] = {
		{{.boxsize = 4096}, 1, LFI_ERR_INVALID},
		{{.boxsize = (size_t) 8 << 30}, 1, LFI_ERR_INVALID},
		{{.pagesize = 8192}, 1, LFI_ERR_INVALID},
		{{.bundle = 64}, 1, LFI_ERR_INVALID},
		{{.stores_only = true, .jumps_only = true}, 1, LFI_ERR_INVALID},
		{{.boxsize = 0}, 0, LFI_ERR_INVALID},
		{{.boxsize = 0}, (size_t) 1 << 20, LFI_ERR_NOSPACE},
		{{.boxsize = 0}, (size_t) 1 << 32, LFI_ERR_NOSPACE},
		{{.boxsize = 0}, SIZE_MAX, LFI_ERR_NOSPACE},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		assert_null(lfi_new(rows[i].opts, rows[i].n));
		assert_error(rows[i].error);
	}
	assert_null(lfi_new_sized(NULL, sizeof(struct LFIOptions), 1));
	assert_error(LFI_ERR_INVALID);
}

static void
older_and_newer_callers_are_understood(void **state)
{
	struct {
		struct LFIOptions opts;
		uint64_t newer[2];
	} longer = {.newer = {0, 0}};
	struct LFIEngine *engine;

	engine = lfi_new_sized(&longer.opts, sizeof(size_t), 1);
	assert_non_null(engine);
	lfi_free(engine);
	engine = lfi_new_sized(&longer.opts, sizeof longer, 1);
	assert_non_null(engine);
	lfi_free(engine);
	longer.newer[1] = 1;
	assert_null(lfi_new_sized(&longer.opts, sizeof longer, 1));
	assert_error(LFI_ERR_INVALID);
}

static void
each_policy_and_bundle_runs(void **state)
{
	const struct LFIOptions rows[] = {{.bundle = 16, .no_verify = true}, {.bundle = 32}, {.single_thread = true},
	    {.stores_only = true}, {.jumps_only = true}, {.no_low_table = true}, {.single_thread = true, .bundle = 16}};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct Fixture f = fixture(rows[i]);
		/* Without memory accesses but the return's, and in the first 16 bytes: fit for all of them. */
		lfiptr p = LOAD(f.box, code_ud2);

		LFI_INVOKE(f.box, &f.ctx, p, int, (void));
		assert_error(LFI_ERR_FAULT);
		drop(&f);
	}
}

static void
two_boxes_cannot_see_each_other(void **state)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 2);
	struct Fixture a = fixture_of(engine), b = fixture_of(engine);
	uint32_t secret = 0x5ec2e7, got = 0;
	lfiptr load, store;

	assert_done(lfi_box_copyto(b.box, b.buffer, &secret, sizeof secret));
	load = LOAD(a.box, code_load);
	store = LOAD(a.box, code_store);
	/* The other's address means a's own page of that offset. */
	assert_true(b.buffer - lfi_box_info(b.box).base == a.buffer - lfi_box_info(a.box).base);
	assert_int_equal(LFI_INVOKE(a.box, &a.ctx, load, uint32_t, (lfiptr), b.buffer), 0);
	assert_int_equal(lfi_errno(), LFI_OK);
	LFI_INVOKE(a.box, &a.ctx, store, int, (lfiptr, int), b.buffer, 77);
	assert_done(lfi_box_copyfm(b.box, &got, b.buffer, sizeof got));
	assert_int_equal(got, secret);
	assert_done(lfi_box_copyfm(a.box, &got, a.buffer, sizeof got));
	assert_int_equal(got, 77);
	/* And the host does not mix them up either. */
	assert_int_equal(lfi_box_copyto(a.box, b.buffer, &got, sizeof got), -1);
	assert_error(LFI_ERR_RANGE);
	assert_true(lfi_box_mapat(a.box, b.buffer, PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0) == FAILED);
	assert_error(LFI_ERR_RANGE);
	assert_int_equal(LFI_INVOKE(a.box, &a.ctx, LOAD(b.box, code_add), int, (int, int), 1, 2), 0);
	assert_error(LFI_ERR_RANGE);
	assert_null(lfi_box_new(engine));
	assert_error(LFI_ERR_NOSPACE);
	lfi_box_free(a.box);
	lfi_box_free(b.box);
	lfi_free(engine);
}

static size_t
count_lines(const char *path)
{
	FILE *file = fopen(path, "r");
	size_t n = 0;

	for (int c; (c = getc(file)) != EOF;)
		n += c == '\n';
	fclose(file);
	return n;
}

static void
nothing_is_left_behind(void **state)
{
	/* What the first engine sets up for the process is not counted. */
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_add), int, (int, int), 1, 2);
	drop(&f);
	size_t before = count_lines("/proc/self/maps");

	for (int i = 0; i < 50; i++) {
		struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 4);
		struct LFIBox *boxes[4];

		for (int k = 0; k < 4; k++) {
			f = fixture_of(engine);
			boxes[k] = f.box;
			LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_add), int, (int, int), 1, 2);
			LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_ud2), int, (void));
		}
		for (int k = 0; k < 4; k++)
			lfi_box_free(boxes[k]);
		/* One reservation, table, stubs; each place's table and what is between them. */
		assert_true(count_lines("/proc/self/maps") <= before + 4 + 4 * 2);
		lfi_free(engine);
		assert_true(count_lines("/proc/self/maps") <= before + 1);
	}
}

static void
addresses_are_used_again_and_are_empty(void **state)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 1);
	lfiptr base = 0;
	unsigned char there;

	for (int i = 0; i < 1000; i++) {
		struct LFIBox *box = lfi_box_new(engine);
		struct LFIBoxInfo info = lfi_box_info(box);

		assert_non_null(box);
		assert_true(!base || base == info.base);
		base = info.base;
		assert_true(lfi_box_mapat(box, info.min, PAGE, RW, ANON, -1, 0) == info.min);
		assert_done(lfi_box_copyfm(box, &there, info.min, 1));
		assert_int_equal(there, 0);
		assert_done(lfi_box_copyto(box, info.min, "x", 1));
		lfi_box_free(box);
	}
	lfi_free(engine);
}

static void
thousands_of_boxes_lie_wall_to_wall(void **state)
{
	enum { N = THREAD_SANITIZER ? 200 : 8000 }; /* ThreadSanitizer leaves little address space */
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 2 * N);
	static struct LFIBox *boxes[N];
	uint64_t lowest = UINT64_MAX, highest = 0;

	assert_non_null(engine);
	for (int i = 0; i < N; i++) {
		boxes[i] = lfi_box_new(engine);
		assert_non_null(boxes[i]);
		uint64_t base = lfi_box_info(boxes[i]).base;

		lowest = base < lowest ? base : lowest;
		highest = base > highest ? base : highest;
	}
	assert_true(highest - lowest == (uint64_t) (N - 1) << 32);
	/* The last one works as the first does. */
	struct LFIContext *ctx = lfi_ctx_new(boxes[N - 1], NULL);
	lfi_ctx_regs(ctx)->sp = map(boxes[N - 1], PAGE) + PAGE;
	assert_done(lfi_box_init_ret(boxes[N - 1]));
	assert_int_equal(LFI_INVOKE(boxes[N - 1], &ctx, LOAD(boxes[N - 1], code_add), int, (int, int), 1, 2), 3);
	for (int i = 0; i < N; i += 2)
		lfi_box_free(boxes[i]);
	for (int i = 1; i < N; i += 2)
		lfi_box_free(boxes[i]);
	lfi_free(engine);
}

/* How a child that runs `fn` ends. */
static int
in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int
without_address_space(void)
{
	struct rlimit limit = {(rlim_t) 1 << 30, (rlim_t) 1 << 30};

	setrlimit(RLIMIT_AS, &limit);
	if (lfi_new((struct LFIOptions) {.boxsize = 0}, 1))
		return 1;
	return lfi_errno() == LFI_ERR_NOSPACE ? 0 : 2;
}

/* Address space runs out while boxes are made and filled: each call fails with a message or works. */
static int UNUSED
address_space_runs_out(void)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 64);
	struct rlimit limit;
	struct LFIBox *box = lfi_box_new(engine);
	lfiptr add = LOAD(box, code_add), at = map(box, 16 * PAGE);
	unsigned long pages;
	FILE *statm = fopen("/proc/self/statm", "r");

	if (fscanf(statm, "%lu", &pages) != 1)
		return 3;
	fclose(statm);
	limit.rlim_cur = limit.rlim_max = pages * PAGE + 8 * PAGE;
	setrlimit(RLIMIT_AS, &limit);
	if (lfi_box_mapany(box, (size_t) 1 << 20, RX, ANON, -1, 0) != FAILED || lfi_errno() != LFI_ERR_NOMEM)
		return 4;
	if (lfi_box_mprotect(box, at, 16 * PAGE, RX) != -1 || lfi_errno() != LFI_ERR_NOMEM)
		return 5;
	if (lfi_box_copyto(box, at, "abc", 4) != 0)
		return 6;
	if (lfi_box_munmap(box, add, PAGE) != 0)
		return 7;
	for (int i = 0; i < 100; i++)
		if (!lfi_box_new(engine) && lfi_errno() == LFI_OK)
			return 8;
	return 0;
}

static void
out_of_memory_is_an_error(void **state)
{
	assert_int_equal(in_child(without_address_space), 0);
	if (ADDRESS_SANITIZER)
		print_message("skipped in part: AddressSanitizer needs the address space itself\n");
	else
		assert_int_equal(in_child(address_space_runs_out), 0);
}

/* All that the kernel has left for this process. */
static void
take_mappings(void)
{
	for (int i = 0; mmap(NULL, PAGE, i % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED; i++)
		;
}

static int
out_of_mappings(void)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 4);
	struct LFIBox *box = lfi_box_new(engine), *other = lfi_box_new(engine);
	lfiptr min = lfi_box_info(box).min, last = 0;
	int failed = 0;

	/* Every other page, until the kernel has no more mappings for us: soon, because the host has what was left. */
	for (lfiptr at = min; at < min + 200000 * PAGE && !failed; at += 2 * PAGE) {
		if (at == min + 2000 * PAGE)
			take_mappings();
		if (lfi_box_mapat(box, at, PAGE, RW, ANON, -1, 0) == FAILED)
			failed = lfi_errno();
		else
			last = at;
	}
	if (failed != LFI_ERR_NOMEM)
		return 1;
	take_mappings();
	/* Neither what is to be replaced nor what is to become code is lost. */
	if (lfi_box_mapat(box, last, PAGE, LFI_PROT_READ, LFI_MAP_FIXED | ANON, -1, 0) == last)
		lfi_box_mapat(box, last, PAGE, RW, LFI_MAP_FIXED | ANON, -1, 0);
	if (lfi_box_mprotect(box, last - 2 * PAGE, PAGE, RX) != -1 || lfi_box_copyto(box, last - 2 * PAGE, "x", 1) != 0)
		return 4;
	/* What failed is not there, what did not is. */
	if (lfi_box_copyto(box, last, "x", 1) != 0 || lfi_box_copyto(box, last + 2 * PAGE, "x", 1) != -1)
		return 2;
	lfi_box_mapat(other, lfi_box_info(other).min, PAGE, RW, ANON, -1, 0);
	lfi_box_free(box);
	box = lfi_box_new(engine);
	if (!box || lfi_box_mapat(box, min, PAGE, RW, ANON, -1, 0) != min)
		return 3;
	return 0;
}

/* Of [start, end), what can be read or more: as /proc/self/maps has it. */
static uint64_t
accessible(uint64_t start, uint64_t end)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long low, high;
	uint64_t bytes = 0;
	char line[512], prot[8];

	assert_non_null(maps);
	while (fgets(line, sizeof line, maps)) {
		assert_int_equal(sscanf(line, "%lx-%lx %7s", &low, &high, prot), 3);
		low = low > start ? low : start;
		high = high < end ? high : end;
		if (low < high && strncmp(prot, "---", 3) != 0)
			bytes += high - low;
	}
	fclose(maps);
	return bytes;
}

static void
a_free_place_holds_its_table_at_most(void **state)
{
	const struct {
		struct LFIOptions opts;
		uint64_t table;
	} rows[] = {{{.boxsize = 0}, 2 * PAGE}, {{.no_low_table = true}, PAGE}};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct Fixture f = fixture_of(lfi_new(rows[i].opts, 1));
		uint64_t base = f.box->base;
		lfiptr p;

		/* The first and the last pages that can be mapped, too. */
		lfi_box_mapat(f.box, lfi_box_info(f.box).min, PAGE, RW, ANON, -1, 0);
		lfi_box_mapat(f.box, lfi_box_info(f.box).max - PAGE, PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0);
		lfi_box_free(f.box);
		assert_int_equal(accessible(base - GUARD_SPAN, base + BOX_SIZE + GUARD_SPAN), rows[i].table);
		assert_int_equal(accessible(base - PAGE, base + PAGE), rows[i].table);
		/* The next box there has that table. */
		f = fixture_of(f.engine);
		assert_int_equal(f.box->base, base);
		assert_int_equal(accessible(base - PAGE, base + PAGE), rows[i].table);
		p = LOAD(f.box, code_add);
		assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (int, int), 1, 2), 3);
		drop(&f);
	}
}

/* Freeing a box takes nothing of the one above, whose table lies at the top of the place. */
static void
free_below(struct LFIBox *box, const struct LFIBox *above)
{
	uint64_t next = above->base;

	assert_int_equal(next, box->base + BOX_SIZE);
	lfi_box_free(box);
	assert_int_equal(accessible(next - PAGE, next + PAGE), 2 * PAGE);
}

static void
few_free_places_keep_their_table(void **state)
{
	enum { N = 2 * TABLES_KEPT };
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, N);
	static struct LFIBox *boxes[N];
	size_t before = count_lines("/proc/self/maps");

	if (!engine && lfi_errno() == LFI_ERR_NOSPACE) {
		print_message("skipped: a sanitizer leaves no room for %d sandboxes\n", N);
		skip();
	}
	assert_non_null(engine);
	for (int i = 0; i < N; i++)
		assert_non_null(boxes[i] = lfi_box_new(engine));
	for (int i = 0; i < N; i++) {
		/* One that keeps its table, one that does not. */
		if (i == 0 || i == TABLES_KEPT)
			free_below(boxes[i], boxes[i + 1]);
		else
			lfi_box_free(boxes[i]);
	}
	/* Twice: those that are taken again count no more. */
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < N; i++)
			assert_non_null(boxes[i] = lfi_box_new(engine));
		assert_true(count_lines("/proc/self/maps") >= before + 2 * N);
		for (int i = 0; i < N; i++)
			lfi_box_free(boxes[i]);
		assert_in_range(count_lines("/proc/self/maps"), before + 2 * TABLES_KEPT - 2, before + 2 * TABLES_KEPT + 2);
	}
	lfi_free(engine);
}

static void
out_of_mappings_is_an_error(void **state)
{
	assert_int_equal(in_child(out_of_mappings), 0);
}

static void
one_sandbox_cannot_take_all_mappings(void **state)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 2);
	struct LFIBox *box = lfi_box_new(engine), *other = lfi_box_new(engine);
	lfiptr at = lfi_box_mapany(box, 60000 * PAGE, RW, ANON, -1, 0), page = at;

	/* Every other page read-only. */
	while (page < at + 60000 * PAGE && lfi_box_mprotect(box, page, PAGE, LFI_PROT_READ) == 0)
		page += 2 * PAGE;
	assert_error(LFI_ERR_LIMIT);
	assert_true(page > at + 8000 * PAGE && page < at + 9000 * PAGE);
	assert_int_equal(lfi_box_mapany(box, PAGE, LFI_PROT_READ, ANON, -1, 0), FAILED);
	assert_error(LFI_ERR_LIMIT);
	assert_int_equal(lfi_box_munmap(box, page + 8 * PAGE, PAGE), -1);
	assert_error(LFI_ERR_LIMIT);
	map(other, PAGE);
	/* What makes fewer of them works. */
	assert_done(lfi_box_munmap(box, at, 100 * PAGE));
	map(box, PAGE);
	lfi_box_free(box);
	lfi_box_free(other);
	lfi_free(engine);
}

static void
code_is_of_bounded_size(void **state)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 1);
	struct LFIBox *box = lfi_box_new(engine);
	size_t large = (size_t) 3 << 30;
	lfiptr at;

	assert_int_equal(lfi_box_mapany(box, large, RX, ANON, -1, 0), FAILED);
	assert_error(LFI_ERR_LIMIT);
	at = map(box, large);
	assert_int_equal(lfi_box_mprotect(box, at, large, RX), -1);
	assert_error(LFI_ERR_LIMIT);
	assert_done(lfi_box_copyto(box, at, "x", 1));
	lfi_box_free(box);
	lfi_free(engine);
}

static void
handles_that_are_null_are_errors(void **state)
{
	struct LFIBoxInfo info;
	struct LFIFault fault;
	char byte;

	lfi_sys_handler(NULL, NULL);
	lfi_set_clone_cb(NULL, NULL);
	lfi_ctx_exit(NULL, 0);
	lfi_ctx_set_tp(NULL, 0);
	lfi_box_unregister_cb(NULL, &byte);
	lfi_error_get(NULL);
	assert_null(lfi_ctx_regs(NULL));
	assert_null(lfi_ctx_data(NULL));
	assert_null(lfi_ctx_box(NULL));
	assert_int_equal(lfi_ctx_tp(NULL), 0);
	assert_false(lfi_box_ptrvalid(NULL, 0, 0));
#define NULL_IS_AN_ERROR(call, result)                                                                                 \
	do {                                                                                                           \
		lfi_error_clear();                                                                                     \
		assert_true((call) == (result));                                                                       \
		assert_error(LFI_ERR_INVALID);                                                                         \
		assert_non_null(strstr(lfi_errmsg(), "NULL"));                                                         \
	} while (0)
	NULL_IS_AN_ERROR(lfi_new_sized(NULL, 8, 1), NULL);
	NULL_IS_AN_ERROR(lfi_box_new(NULL), NULL);
	NULL_IS_AN_ERROR(lfi_box_info_sized(NULL, &info, sizeof info), -1);
	NULL_IS_AN_ERROR(lfi_box_mapany(NULL, PAGE, RW, ANON, -1, 0), FAILED);
	NULL_IS_AN_ERROR(lfi_box_mapat(NULL, 0, PAGE, RW, ANON, -1, 0), FAILED);
	NULL_IS_AN_ERROR(lfi_box_mprotect(NULL, 0, PAGE, RW), -1);
	NULL_IS_AN_ERROR(lfi_box_munmap(NULL, 0, PAGE), -1);
	NULL_IS_AN_ERROR(lfi_box_copyto(NULL, 0, &byte, 1), -1);
	NULL_IS_AN_ERROR(lfi_box_copyfm(NULL, &byte, 0, 1), -1);
	NULL_IS_AN_ERROR(lfi_box_copystr(NULL, &byte, 0, 1), -1);
	NULL_IS_AN_ERROR(lfi_box_ptr(NULL, 0, 1), NULL);
	NULL_IS_AN_ERROR(lfi_ctx_new(NULL, NULL), NULL);
	NULL_IS_AN_ERROR(lfi_ctx_run(NULL, 0), -1);
	NULL_IS_AN_ERROR(lfi_ctx_fault_sized(NULL, &fault, sizeof fault), -1);
	NULL_IS_AN_ERROR(lfi_box_init_ret(NULL), -1);
	NULL_IS_AN_ERROR(lfi_box_cbinit(NULL), false);
	NULL_IS_AN_ERROR(lfi_box_register_cb(NULL, &byte), NULL);
	NULL_IS_AN_ERROR(lfi_call(NULL, 0, "v()", NULL, NULL), -1);
}

static void
structs_of_absurd_sizes_are_refused(void **state)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 1);
	struct LFIBox *box = lfi_box_new(engine);
	struct LFIOptions opts = {.boxsize = 0};
	struct LFIBoxInfo info;

	assert_null(lfi_new_sized(&opts, (size_t) 1 << 63, 1));
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_box_info_sized(box, &info, (size_t) 1 << 63), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_box_info_sized(box, NULL, sizeof info), -1);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_box_info_sized(box, &info, 0), 0);
	lfi_box_free(box);
	lfi_free(engine);
}

static void
verbose_engines_log(void **state)
{
	setenv("LFI_VERBOSE", "0", 1);
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 1);
	assert_non_null(engine);
	lfi_free(engine);
	unsetenv("LFI_VERBOSE");
}

static void
contexts_carry_their_data(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	int user;
	struct LFIContext *ctx = lfi_ctx_new(f.box, &user);

	assert_ptr_equal(lfi_ctx_data(ctx), &user);
	assert_ptr_equal(lfi_ctx_box(ctx), f.box);
	assert_int_equal(lfi_ctx_tp(ctx), 0);
	lfi_ctx_set_tp(ctx, 0x1234);
	assert_int_equal(lfi_ctx_tp(ctx), 0x1234);
	/* Those that are left go with the box. */
	lfi_ctx_new(f.box, NULL);
	drop(&f);
}

/* Size of the process and number of its mappings. */
static void
footprint(unsigned long *pages, int *mappings)
{
	FILE *file = fopen("/proc/self/statm", "r");
	int c;

	assert_int_equal(fscanf(file, "%lu", pages), 1);
	fclose(file);
	file = fopen("/proc/self/maps", "r");
	for (*mappings = 0; (c = getc(file)) != EOF;)
		*mappings += c == '\n';
	fclose(file);
}

static void
thirty_thousand_boxes_fit_and_leave_nothing(void **state)
{
	enum { N = 30000 };
	struct LFIBox **boxes = calloc(N, sizeof *boxes);
	unsigned long pages_before, pages;
	int before, mappings;
	struct LFIEngine *engine;

	footprint(&pages_before, &before);
	engine = lfi_new((struct LFIOptions) {.boxsize = 0}, N);
	if ((ADDRESS_SANITIZER || THREAD_SANITIZER) && !engine && lfi_errno() == LFI_ERR_NOSPACE) {
		print_message("skipped: the sanitizer needs the address space itself\n");
		free(boxes);
		skip();
	}
	if (!engine)
		fail_msg("%s", lfi_errmsg());
	for (int i = 0; i < N; i++) {
		boxes[i] = lfi_box_new(engine);
		if (!boxes[i])
			fail_msg("box %d: %s", i, lfi_errmsg());
		assert_int_equal(lfi_box_info(boxes[i]).base % ((uint64_t) 1 << 32), 0);
	}
	assert_null(lfi_box_new(engine));
	assert_error(LFI_ERR_NOSPACE);
	for (int i = 0; i < N; i++)
		lfi_box_free(boxes[i]);
	lfi_free(engine);
	footprint(&pages, &mappings);
	/* The C library may have grown its heap, by a mapping or two. */
	assert_in_range(mappings, before - 2, before + 2);
	assert_true(pages < pages_before + (64 << 20) / PAGE);
	free(boxes);
}

static _Atomic int allocations, refused_at;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *
__wrap_calloc(size_t n, size_t size)
{
	return ++allocations == refused_at ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
	return ++allocations == refused_at ? NULL : __real_realloc(old, size);
}

/* Whichever allocation fails. */
static void
memory_that_is_refused_is_an_error(void **state)
{
	struct LFIEngine *engine = NULL;
	struct LFIBox *box = NULL;
	struct LFIContext *ctx = NULL;
	int refusals = 0;

	for (int n = 1; !ctx; n++) {
		allocations = 0;
		refused_at = n;
		if (!engine)
			engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 1);
		if (engine && !box)
			box = lfi_box_new(engine);
		if (box)
			ctx = lfi_ctx_new(box, NULL);
		refused_at = 0;
		if (!ctx) {
			assert_error(LFI_ERR_NOMEM);
			refusals++;
			/* From the start again. */
			lfi_box_free(box);
			lfi_free(engine);
			engine = NULL;
			box = NULL;
		}
	}
	/* The engine, two lists of places, the box, pages for contexts. */
	assert_in_range(refusals, 5, 10);
	lfi_box_free(box);
	lfi_free(engine);
}

static bool aligned;
int __real_os_reserve(size_t size, void **out);
int __wrap_os_reserve(size_t size, void **out);

/* The kernel may choose a multiple of 4 GiB. */
int
__wrap_os_reserve(size_t size, void **out)
{
	uint64_t start, first;
	void *at;
	int err = __real_os_reserve(aligned ? size + BOX_SIZE : size, &at);

	if (err || !aligned) {
		*out = err ? NULL : at;
		return err;
	}
	start = (uint64_t) at;
	first = (start + BOX_SIZE - 1) & -BOX_SIZE;
	os_release(at, first - start);
	os_release((void *) (first + size), start + BOX_SIZE - first);
	*out = (void *) first;
	return 0;
}

static void
around_the_sandboxes_nothing_is_accessible_wherever_they_lie(void **state)
{
	struct LFIEngine *engine;
	struct BoxChunk *chunk;

	for (int i = 0; i < 2; i++) {
		aligned = i == 1;
		engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 3);
		aligned = false;
		assert_non_null(engine);
		chunk = &engine->map.chunks[0];
		assert_int_equal(chunk->first % BOX_SIZE, 0);
		assert_true((uint64_t) chunk->start <= chunk->first - GUARD_SPAN);
		assert_true(os_mapped(chunk->first - GUARD_SPAN, GUARD_SPAN));
		assert_true(os_mapped(chunk->first + chunk->nslots * BOX_SIZE, GUARD_SPAN));
		assert_int_equal(
		    chunk->size, chunk->first + chunk->nslots * BOX_SIZE + GUARD_SPAN - (uint64_t) chunk->start);
		lfi_free(engine);
	}
}

static void
a_context_has_nothing_of_the_one_before(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct LFIContext *ctx = lfi_ctx_new(f.box, NULL), *again;

	assert_non_null(ctx);
	lfi_ctx_regs(ctx)->rdi = 0x1234;
	lfi_ctx_set_tp(ctx, 0x5678);
	lfi_ctx_free(ctx);
	again = lfi_ctx_new(f.box, NULL);
	assert_ptr_equal(again, ctx);
	assert_int_equal(lfi_ctx_regs(again)->rdi, 0);
	assert_int_equal(lfi_ctx_tp(again), 0);
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(around_the_sandboxes_nothing_is_accessible_wherever_they_lie),
		cmocka_unit_test(a_context_has_nothing_of_the_one_before),
		cmocka_unit_test(options_that_are_wrong_are_refused),
		cmocka_unit_test(older_and_newer_callers_are_understood),
		cmocka_unit_test(each_policy_and_bundle_runs),
		cmocka_unit_test(two_boxes_cannot_see_each_other),
		cmocka_unit_test(nothing_is_left_behind),
		cmocka_unit_test(addresses_are_used_again_and_are_empty),
		cmocka_unit_test(a_free_place_holds_its_table_at_most),
		cmocka_unit_test(few_free_places_keep_their_table),
		cmocka_unit_test(thousands_of_boxes_lie_wall_to_wall),
		cmocka_unit_test(thirty_thousand_boxes_fit_and_leave_nothing),
		cmocka_unit_test(out_of_memory_is_an_error),
		cmocka_unit_test(memory_that_is_refused_is_an_error),
		cmocka_unit_test(out_of_mappings_is_an_error),
		cmocka_unit_test(one_sandbox_cannot_take_all_mappings),
		cmocka_unit_test(code_is_of_bounded_size),
		cmocka_unit_test(handles_that_are_null_are_errors),
		cmocka_unit_test(structs_of_absurd_sizes_are_refused),
		cmocka_unit_test(verbose_engines_log),
		cmocka_unit_test(contexts_carry_their_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
