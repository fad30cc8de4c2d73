/* SPDX-License-Identifier: MIT */
/* Mappings of a box: what is accepted, what code may come from, regions as a whole, copies. */
#include "core_test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "box.h"
#include "os/os.h"

#define SHARED LFI_MAP_SHARED
#define PRIVATE LFI_MAP_PRIVATE
#define FIXED LFI_MAP_FIXED

/* A file of `pages` pages that starts with this code. */
static int
file_of(const void *code, size_t size, size_t pages)
{
	int fd = memfd_create("test", 0);
	uint8_t *bytes = malloc(pages * PAGE);

	memset(bytes, 0xcc, pages * PAGE);
	memcpy(bytes, code, size);
	assert_int_equal(write(fd, bytes, pages * PAGE), pages * PAGE);
	free(bytes);
	return fd;
}

/* What the kernel says about a page: "rwxp" as in /proc/self/maps, or "----". */
static void
kernel_prot(lfiptr addr, char out[5])
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512], prot[8];
	unsigned long start, end;

	strcpy(out, "----");
	while (fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx %7s", &start, &end, prot) == 3 && addr >= start && addr < end)
			memcpy(out, prot, 4);
	fclose(maps);
}

static void
arguments_that_are_wrong_are_refused(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct LFIBoxInfo info = lfi_box_info(f.box);
	const struct {
		size_t size;
		int prot, flags, fd;
		off_t off;
		int error;
	} rows[] = {
		{0, RW, ANON, -1, 0, LFI_ERR_INVALID},
		{PAGE, RW | LFI_PROT_EXEC, ANON, -1, 0, LFI_ERR_INVALID},
		{PAGE, LFI_PROT_WRITE | LFI_PROT_EXEC, ANON, -1, 0, LFI_ERR_INVALID},
		{PAGE, 8, ANON, -1, 0, LFI_ERR_INVALID},
		{PAGE, RW, ANON | SHARED, -1, 0, LFI_ERR_INVALID},
		{PAGE, RW, LFI_MAP_ANONYMOUS, -1, 0, LFI_ERR_INVALID},
		{PAGE, RW, ANON | 0x1000000, -1, 0, LFI_ERR_INVALID},
		{PAGE, RW, ANON | FIXED, -1, 0, LFI_ERR_INVALID},
		{PAGE, RW, PRIVATE, -1, 0, LFI_ERR_INVALID},
		{PAGE, RW, PRIVATE, 0, 1, LFI_ERR_INVALID},
		{PAGE, RW, PRIVATE, 0, -4096, LFI_ERR_INVALID},
		{PAGE, RW, PRIVATE, 9999, 0, LFI_ERR_OS},
		{(size_t) 1 << 32, RW, ANON, -1, 0, LFI_ERR_NOMEM},
		{SIZE_MAX, RW, ANON, -1, 0, LFI_ERR_NOMEM},
		{(size_t) 1 << 63, RW, ANON, -1, 0, LFI_ERR_NOMEM},
	};
	const struct {
		lfiptr addr;
		size_t size;
		int error;
	} places[] = {
		{info.min + 1, PAGE, LFI_ERR_INVALID},
		{info.min, 0, LFI_ERR_INVALID},
		{info.min - PAGE, PAGE, LFI_ERR_RANGE},
		{info.base, PAGE, LFI_ERR_RANGE},
		{info.base - PAGE, PAGE, LFI_ERR_RANGE},
		{info.max, PAGE, LFI_ERR_RANGE},
		{info.max - PAGE, PAGE + 1, LFI_ERR_RANGE},
		{info.min, SIZE_MAX, LFI_ERR_RANGE},
		{info.min, SIZE_MAX - PAGE, LFI_ERR_RANGE},
		{0, PAGE, LFI_ERR_RANGE},
		{(lfiptr) -4096, PAGE, LFI_ERR_RANGE},
		{(lfiptr) (uintptr_t) f.engine & ~(lfiptr) 4095, PAGE, LFI_ERR_RANGE},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		assert_true(lfi_box_mapany(f.box, rows[i].size, rows[i].prot, rows[i].flags, rows[i].fd, rows[i].off) == FAILED);
		assert_error(rows[i].error);
	}
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		assert_true(lfi_box_mapat(f.box, places[i].addr, places[i].size, RW, ANON | FIXED, -1, 0) == FAILED);
		assert_error(places[i].error);
		assert_int_equal(lfi_box_munmap(f.box, places[i].addr, places[i].size), -1);
		assert_error(places[i].error);
		assert_int_equal(lfi_box_mprotect(f.box, places[i].addr, places[i].size, RW), -1);
		assert_error(places[i].error);
	}
	assert_true(info.min == info.base + 262144 && info.max == info.base + 0x100000000 - 262144);
	assert_true(info.base % 0x100000000 == 0);
	/* The very first and the very last page that can be had. */
	assert_true(lfi_box_mapat(f.box, info.min, PAGE, RW, ANON, -1, 0) == info.min);
	assert_true(lfi_box_mapat(f.box, info.max - PAGE, 1, RW, ANON | FIXED, -1, 0) == info.max - PAGE);
	drop(&f);
}

static void
places_are_free_or_replaced_as_asked(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr at = lfi_box_info(f.box).min + 16 * PAGE;
	uint32_t word = 0x12345678, got;

	assert_true(lfi_box_mapat(f.box, at, 4 * PAGE, RW, ANON, -1, 0) == at);
	assert_done(lfi_box_copyto(f.box, at + PAGE, &word, 4));
	assert_true(lfi_box_mapat(f.box, at + PAGE, PAGE, RW, ANON, -1, 0) == FAILED);
	assert_error(LFI_ERR_INVALID);
	assert_true(lfi_box_mapat(f.box, at + PAGE, PAGE, RW, ANON | FIXED | LFI_MAP_FIXED_NOREPLACE, -1, 0) == FAILED);
	assert_error(LFI_ERR_INVALID);
	assert_true(lfi_box_mapat(f.box, at + 4 * PAGE, PAGE, RW, ANON | LFI_MAP_FIXED_NOREPLACE, -1, 0) == at + 4 * PAGE);
	assert_done(lfi_box_copyfm(f.box, &got, at + PAGE, 4));
	assert_int_equal(got, word);
	assert_true(lfi_box_mapat(f.box, at + PAGE, PAGE, RW, ANON | FIXED, -1, 0) == at + PAGE);
	assert_done(lfi_box_copyfm(f.box, &got, at + PAGE, 4));
	assert_int_equal(got, 0);
	/* A file that cannot be mapped leaves what was there. */
	assert_done(lfi_box_copyto(f.box, at + PAGE, &word, 4));
	assert_true(lfi_box_mapat(f.box, at + PAGE, PAGE, RW, PRIVATE | FIXED, 9999, 0) == FAILED);
	assert_error(LFI_ERR_OS);
	assert_done(lfi_box_copyfm(f.box, &got, at + PAGE, 4));
	assert_int_equal(got, word);
	/* Holes are fine for munmap, not for mprotect. */
	assert_done(lfi_box_munmap(f.box, at + PAGE, PAGE));
	assert_int_equal(lfi_box_copyfm(f.box, &got, at + PAGE, 4), -1);
	assert_error(LFI_ERR_UNMAPPED);
	assert_int_equal(lfi_box_mprotect(f.box, at, 4 * PAGE, LFI_PROT_READ), -1);
	assert_error(LFI_ERR_UNMAPPED);
	assert_done(lfi_box_munmap(f.box, at, 8 * PAGE));
	assert_done(lfi_box_munmap(f.box, at, 8 * PAGE));
	drop(&f);
}

static void
protections_are_the_kernels_too(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr at = map(f.box, 3 * PAGE);
	char prot[5];
	const struct {
		int prot;
		const char *kernel;
	} rows[] = {{LFI_PROT_NONE, "---p"}, {LFI_PROT_READ, "r--p"}, {RW, "rw-p"}, {LFI_PROT_WRITE, "rw-p"}};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		assert_done(lfi_box_mprotect(f.box, at + PAGE, PAGE, rows[i].prot));
		kernel_prot(at + PAGE, prot);
		assert_string_equal(prot, rows[i].kernel);
		kernel_prot(at, prot);
		assert_string_equal(prot, "rw-p");
	}
	at = LOAD(f.box, code_add);
	kernel_prot(at, prot);
	assert_string_equal(prot, "r-xp");
	drop(&f);
}

static void
the_table_and_the_guards_cannot_be_written(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct LFIBoxInfo info = lfi_box_info(f.box);
	const lfiptr rows[] = {info.base, info.base + 8, info.base - 8, info.base + 4096, info.min - 8, info.max, info.max + 8};
	lfiptr p = LOAD(f.box, code_store);
	char prot[5];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		LFI_INVOKE(f.box, &f.ctx, p, int, (lfiptr, int), rows[i], 1);
		assert_error(LFI_ERR_FAULT);
		assert_int_equal(lfi_box_copyto(f.box, rows[i], "x", 1), -1);
		assert_error(LFI_ERR_RANGE);
	}
	kernel_prot(info.base - PAGE, prot);
	assert_string_equal(prot, "r--s");
	kernel_prot(info.base, prot);
	assert_string_equal(prot, "r--s");
	/* It says where the stubs are and nothing about the host. */
	for (size_t i = 0; i < 1024; i++) {
		uint64_t entry = ((uint64_t *) (info.base - PAGE))[i];

		assert_true(entry - (uint64_t) f.engine->stubs.code < PAGE);
	}
	drop(&f);
}

/* ---- Code ---- */

static void
code_may_come_from_memory_and_from_files(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	int fd = file_of(code_add, sizeof code_add, 2);
	lfiptr p;
	char prot[5];

	for (int i = 0; i < 3; i++) {
		int flags = i == 1 ? SHARED : PRIVATE;

		if (i < 2) {
			/* Readable first, then executable. */
			p = lfi_box_mapany(f.box, 2 * PAGE, i ? RW : LFI_PROT_READ, flags, fd, 0);
			assert_true(p != FAILED);
			assert_done(lfi_box_mprotect(f.box, p, 2 * PAGE, RX));
		} else {
			p = lfi_box_mapany(f.box, 2 * PAGE, RX, flags, fd, 0);
			assert_true(p != FAILED);
		}
		/* In no way the file's pages any more. */
		kernel_prot(p, prot);
		assert_string_equal(prot, "r-xp");
		assert_int_equal(pwrite(fd, code_bad_store, sizeof code_bad_store, 0), sizeof code_bad_store);
		assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (int, int), 2, 3), 5);
		assert_int_equal(lfi_errno(), LFI_OK);
		assert_int_equal(pwrite(fd, code_add, sizeof code_add, 0), sizeof code_add);
	}
	close(fd);
	drop(&f);
}

static void
another_mapping_of_the_same_file_cannot_change_code(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	int fd = file_of(code_add, sizeof code_add, 1);
	lfiptr writable = lfi_box_mapany(f.box, PAGE, RW, SHARED, fd, 0);
	lfiptr p = lfi_box_mapany(f.box, PAGE, RX, SHARED, fd, 0);

	assert_true(writable != FAILED && p != FAILED);
	assert_done(lfi_box_copyto(f.box, writable, code_ud2, sizeof code_ud2));
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, p, int, (int, int), 2, 3), 5);
	close(fd);
	drop(&f);
}

static void
code_that_does_not_verify_changes_nothing(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr at = map(f.box, 3 * PAGE), base = lfi_box_info(f.box).base;
	uint8_t bytes[PAGE], word[16];
	char prot[5], place[32];
	int fd = file_of(code_bad_store, sizeof code_bad_store, 1);

	memset(bytes, 0xcc, sizeof bytes);
	memcpy(bytes + 0x1f0 - 0x10, code_bad_store, sizeof code_bad_store);
	assert_done(lfi_box_copyto(f.box, at + PAGE, bytes, sizeof bytes));
	assert_done(lfi_box_mprotect(f.box, at, PAGE, LFI_PROT_READ));
	assert_int_equal(lfi_box_mprotect(f.box, at + PAGE, PAGE, RX), -1);
	assert_error(LFI_ERR_VERIFY);
	/* It names the place, the instruction and the reason. */
	snprintf(place, sizeof place, "at %#llx: `", (unsigned long long) (at + PAGE + 0x1e0 - base));
	assert_non_null(strstr(lfi_errmsg(), place));
	assert_non_null(strstr(lfi_errmsg(), "verification failed at "));
	assert_non_null(strstr(lfi_errmsg(), "(%rax)"));
	box_set_origin(f.box, at + PAGE);
	assert_int_equal(lfi_box_mprotect(f.box, at + PAGE, PAGE, RX), -1);
	assert_non_null(strstr(lfi_errmsg(), "verification failed at 0x1e0: `"));
	kernel_prot(at, prot);
	assert_string_equal(prot, "r--p");
	kernel_prot(at + PAGE, prot);
	assert_string_equal(prot, "rw-p");
	kernel_prot(at + 2 * PAGE, prot);
	assert_string_equal(prot, "rw-p");
	assert_done(lfi_box_copyto(f.box, at + PAGE, "abc", 4));
	/* Nor does a file's, nor anonymous pages', which are zeros. */
	assert_true(lfi_box_mapat(f.box, at + PAGE, PAGE, RX, PRIVATE | FIXED, fd, 0) == FAILED);
	assert_error(LFI_ERR_VERIFY);
	assert_done(lfi_box_copyfm(f.box, word, at + PAGE, 4));
	assert_string_equal((char *) word, "abc");
	assert_true(lfi_box_mapany(f.box, PAGE, RX, ANON, -1, 0) == FAILED);
	assert_error(LFI_ERR_VERIFY);
	close(fd);
	drop(&f);
}

static struct Fixture *racing;
static lfiptr racing_at;
static atomic_bool racing_stop;

/* Writes bad code over good and good over bad, in the sandbox's memory and in the file behind it. */
static void *
write_all_the_time(void *arg)
{
	int fd = *(int *) arg;

	while (!atomic_load(&racing_stop)) {
		lfi_box_copyto(racing->box, racing_at, code_bad_store, sizeof code_bad_store);
		pwrite(fd, code_bad_store, sizeof code_bad_store, 0);
		lfi_box_copyto(racing->box, racing_at, code_add, sizeof code_add);
		pwrite(fd, code_add, sizeof code_add, 0);
	}
	return NULL;
}

static void
code_that_changes_while_it_is_verified_is_what_was_verified(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	int fd = file_of(code_add, sizeof code_add, 1), accepted = 0;
	pthread_t writer;
	uint8_t got[sizeof code_bad_store];

	racing = &f;
	racing_at = lfi_box_info(f.box).min + 64 * PAGE;
	atomic_store(&racing_stop, false);
	pthread_create(&writer, NULL, write_all_the_time, &fd);
	for (int i = 0; i < 3000; i++) {
		int flags = (i % 2 ? SHARED : PRIVATE) | FIXED;

		assert_true(lfi_box_mapat(f.box, racing_at, PAGE, RW, flags, fd, 0) == racing_at);
		if (lfi_box_mprotect(f.box, racing_at, PAGE, RX) < 0)
			continue;
		accepted++;
		for (int k = 0; k < 5; k++) {
			assert_done(lfi_box_copyfm(f.box, got, racing_at, sizeof got));
			assert_true(memcmp(got, code_bad_store, 3) != 0);
		}
	}
	atomic_store(&racing_stop, true);
	pthread_join(writer, NULL);
	assert_true(accepted > 0);
	close(fd);
	drop(&f);
}

static void
code_cannot_be_written_by_anyone(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_add), store = LOAD(f.box, code_store);

	assert_int_equal(lfi_box_copyto(f.box, p, "x", 1), -1);
	assert_error(LFI_ERR_UNMAPPED);
	LFI_INVOKE(f.box, &f.ctx, store, int, (lfiptr, int), p, 0);
	assert_error(LFI_ERR_FAULT);
	assert_int_equal(lfi_box_mprotect(f.box, p, PAGE, RW | LFI_PROT_EXEC), -1);
	assert_error(LFI_ERR_INVALID);
	drop(&f);
}

static void
a_truncated_file_is_an_error(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	int fd = file_of(code_add, sizeof code_add, 2);
	lfiptr p = lfi_box_mapany(f.box, 2 * PAGE, LFI_PROT_READ, PRIVATE, fd, 0);
	char byte;

	assert_int_equal(ftruncate(fd, (off_t) PAGE), 0);
	assert_int_equal(lfi_box_mprotect(f.box, p, 2 * PAGE, RX), -1);
	assert_error(LFI_ERR_UNMAPPED);
	assert_int_equal(lfi_box_copyfm(f.box, &byte, p + PAGE, 1), -1);
	assert_error(LFI_ERR_UNMAPPED);
	close(fd);
	drop(&f);
}

static void
a_region_changes_as_a_whole_or_not_at_all(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr at = map(f.box, 6 * PAGE);
	uint8_t bytes[4 * PAGE];
	char prot[5];

	memset(bytes, 0xcc, sizeof bytes);
	assert_done(lfi_box_copyto(f.box, at + PAGE, bytes, sizeof bytes));
	assert_done(lfi_box_mprotect(f.box, at + PAGE, 4 * PAGE, RX));
	assert_done(lfi_box_mprotect(f.box, at + PAGE, 4 * PAGE, RX)); /* is so already */
	const struct {
		size_t first, pages;
	} rows[] = {{1, 1}, {1, 3}, {2, 3}, {4, 1}, {0, 2}, {4, 2}, {0, 4}};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		lfiptr start = at + rows[i].first * PAGE;
		size_t size = rows[i].pages * PAGE;

		assert_int_equal(lfi_box_mprotect(f.box, start, size, RW), -1);
		assert_error(LFI_ERR_INVALID);
		assert_int_equal(lfi_box_mprotect(f.box, start, size, RX), -1);
		assert_error(LFI_ERR_INVALID);
		assert_int_equal(lfi_box_munmap(f.box, start, size), -1);
		assert_error(LFI_ERR_INVALID);
		assert_true(lfi_box_mapat(f.box, start, size, RW, ANON | FIXED, -1, 0) == FAILED);
		assert_error(LFI_ERR_INVALID);
		kernel_prot(start, prot);
	}
	/* All of it, also with more around. */
	assert_done(lfi_box_mprotect(f.box, at, 6 * PAGE, RW));
	kernel_prot(at + PAGE, prot);
	assert_string_equal(prot, "rw-p");
	assert_done(lfi_box_mprotect(f.box, at + PAGE, 4 * PAGE, RX));
	assert_true(lfi_box_mapat(f.box, at + PAGE, 4 * PAGE, RW, ANON | FIXED, -1, 0) == at + PAGE);
	drop(&f);
}

static lfiptr inside_code;
static int inside_errors[3];

static void
remove_code(struct LFIBox *box)
{
	lfi_error_clear();
	lfi_box_munmap(box, inside_code, PAGE);
	inside_errors[0] = lfi_errno();
	lfi_error_clear();
	lfi_box_mprotect(box, inside_code, PAGE, RW);
	inside_errors[1] = lfi_errno();
	lfi_error_clear();
	lfi_box_mapat(box, inside_code, PAGE, RW, ANON | FIXED, -1, 0);
	inside_errors[2] = lfi_errno();
}

static void
handler_that_removes_code(struct LFIContext *ctx)
{
	remove_code(lfi_ctx_box(ctx));
}

static int
callback_that_removes_code(int x)
{
	remove_code(lfi_ctx_box(lfi_cur_ctx()));
	return x;
}

static void
code_with_a_context_inside_stays(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr other;

	/* In a system call's handler: the caller's own region. */
	lfi_sys_handler(f.engine, handler_that_removes_code);
	inside_code = LOAD(f.box, code_syscall_returns);
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, inside_code, int, (int), 1), 43);
	for (int i = 0; i < 3; i++)
		assert_int_equal(inside_errors[i], LFI_ERR_BUSY);
	/* Another one may go. */
	other = inside_code;
	inside_code = LOAD(f.box, code_add);
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, other, int, (int), 1), 43);
	assert_int_equal(inside_errors[0], LFI_OK);
	/* In a callback the L is in the page of callbacks. */
	inside_code = lfi_box_info(f.box).max;
	void *cb = lfi_box_register_cb(f.box, callback_that_removes_code);
	inside_code = (lfiptr) cb & ~(lfiptr) 4095;
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_apply), int, (void *, int), cb, 5), 5);
	for (int i = 0; i < 3; i++)
		assert_int_equal(inside_errors[i], LFI_ERR_BUSY);
	drop(&f);
}

static void *
run_the_loop(void *arg)
{
	struct LFIContext *ctx = lfi_ctx_new(racing->box, NULL);

	lfi_ctx_regs(ctx)->sp = racing->stack - 4 * PAGE;
	LFI_INVOKE(racing->box, &ctx, racing_at, int, (lfiptr), racing->buffer);
	intptr_t error = lfi_errno();
	lfi_ctx_free(ctx);
	return (void *) error;
}

static void
code_stays_while_a_context_executes(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr add = LOAD(f.box, code_add);
	uint32_t one = 1;
	pthread_t thread;
	void *error;

	racing = &f;
	racing_at = LOAD(f.box, code_loop);
	pthread_create(&thread, NULL, run_the_loop, NULL);
	/* Nobody is seen inside until it is. */
	struct LFIContext *other = NULL;
	while (!other || atomic_load(&other->state) != STATE_SANDBOX) {
		pthread_mutex_lock(&f.box->lock);
		other = f.box->contexts != f.ctx ? f.box->contexts : NULL;
		pthread_mutex_unlock(&f.box->lock);
	}
	assert_int_equal(lfi_box_munmap(f.box, add, PAGE), -1);
	assert_error(LFI_ERR_BUSY);
	/* Entering goes on meanwhile. */
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, add, int, (int, int), 1, 2), 3);
	assert_done(lfi_box_copyto(f.box, f.buffer, &one, sizeof one));
	pthread_join(thread, &error);
	assert_null(error);
	assert_done(lfi_box_munmap(f.box, add, PAGE));
	drop(&f);
}

static atomic_bool crossing_stop;
static lfiptr crossing_add;

static void *
cross_all_the_time(void *arg)
{
	struct LFIContext *ctx = lfi_ctx_new(racing->box, NULL);
	lfiptr stack = lfi_box_mapany(racing->box, PAGE, RW, ANON, -1, 0);
	long wrong = 0;

	lfi_ctx_regs(ctx)->sp = stack + PAGE;
	while (!atomic_load(&crossing_stop))
		wrong += LFI_INVOKE(racing->box, &ctx, crossing_add, int, (int, int), 3, 4) != 7;
	lfi_ctx_free(ctx);
	return (void *) wrong;
}

static void
code_comes_and_goes_while_others_cross(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	pthread_t threads[3];
	void *wrong;
	int gone = 0;

	racing = &f;
	crossing_add = LOAD(f.box, code_add);
	/* Its registers are known before the others start, so that it can come while they execute. */
	LOAD(f.box, code_x87);
	atomic_store(&crossing_stop, false);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, cross_all_the_time, NULL);
	for (int i = 0; i < 2000; i++) {
		lfiptr p = LOAD(f.box, code_x87);

		while (lfi_box_munmap(f.box, p, PAGE) < 0)
			assert_int_equal(lfi_errno(), LFI_ERR_BUSY);
		gone++;
	}
	atomic_store(&crossing_stop, true);
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	assert_int_equal(gone, 2000);
	drop(&f);
}

static atomic_int gate_step;

/* Calls once, waits for the gate to be closed, calls again. */
static void *
call_twice(void *arg)
{
	LFI_INVOKE(racing->box, &racing->ctx, racing_at, int, (void));
	racing->ctx->faulted = false;
	atomic_store(&gate_step, 1);
	while (atomic_load(&gate_step) != 2)
		usleep(100);
	atomic_store(&gate_step, 3);
	LFI_INVOKE(racing->box, &racing->ctx, racing_at, int, (void));
	return NULL;
}

static void
wait_for_step(int step)
{
	while (atomic_load(&gate_step) != step)
		usleep(100);
}

static void
nobody_goes_in_while_the_gate_is_closed(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	pthread_t thread;

	racing = &f;
	racing_at = LOAD(f.box, code_ud2);
	atomic_store(&gate_step, 0);
	pthread_create(&thread, NULL, call_twice, NULL);
	wait_for_step(1);
	pthread_mutex_lock(&f.box->lock);
	assert_true(box_gate_close(f.box));
	atomic_store(&gate_step, 2);
	wait_for_step(3);
	usleep(50000);
	/* Had it gone in, it would have trapped. */
	assert_false(f.ctx->faulted);
	box_gate_open(f.box);
	pthread_mutex_unlock(&f.box->lock);
	pthread_join(thread, NULL);
	assert_true(f.ctx->faulted);
	drop(&f);
}

static void
what_code_does_is_known_before_it_runs(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	LOAD(f.box, code_add);
	assert_int_equal(lfi_box_info(f.box).code & (LFI_CODE_X87 | LFI_CODE_AVX | LFI_CODE_DIRECTION), 0);
	LOAD(f.box, code_x87);
	assert_int_equal(lfi_box_info(f.box).code & (LFI_CODE_X87 | LFI_CODE_AVX), LFI_CODE_X87);
	LOAD(f.box, code_avx);
	assert_int_equal(lfi_box_info(f.box).code & (LFI_CODE_X87 | LFI_CODE_AVX), LFI_CODE_X87 | LFI_CODE_AVX);
	assert_true(lfi_box_info(f.box).cpu & (uint64_t) 1 << LFI_CPU_AVX);
	drop(&f);
}

static lfiptr widening_loop;

static void *
run_widening(void *arg)
{
	return run_the_loop(arg);
}

static void
code_with_new_registers_waits_for_who_executes(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr at = map(f.box, PAGE);
	uint8_t bytes[PAGE];
	uint32_t one = 1;
	pthread_t thread;

	racing = &f;
	racing_at = widening_loop = LOAD(f.box, code_loop);
	memset(bytes, 0xcc, sizeof bytes);
	memcpy(bytes, code_x87, sizeof code_x87);
	assert_done(lfi_box_copyto(f.box, at, bytes, PAGE));
	pthread_create(&thread, NULL, run_widening, NULL);
	struct LFIContext *other = NULL;
	while (!other || atomic_load(&other->state) != STATE_SANDBOX) {
		pthread_mutex_lock(&f.box->lock);
		other = f.box->contexts != f.ctx ? f.box->contexts : NULL;
		pthread_mutex_unlock(&f.box->lock);
	}
	assert_int_equal(lfi_box_mprotect(f.box, at, PAGE, RX), -1);
	assert_error(LFI_ERR_BUSY);
	assert_done(lfi_box_copyto(f.box, f.buffer, &one, sizeof one));
	pthread_join(thread, NULL);
	assert_done(lfi_box_mprotect(f.box, at, PAGE, RX));
	drop(&f);
}

/* A filter under which membarrier(2) fails, as a host may install once all is set up. */
static bool
forbid_barriers(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {.len = sizeof code / sizeof code[0], .filter = code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static struct Fixture unfenced;
static lfiptr unfenced_code;

static void *
call_from_another_thread(void *arg)
{
	LFI_INVOKE(unfenced.box, &unfenced.ctx, unfenced_code, int, (int, int), 1, 2);
	return (void *) (intptr_t) lfi_errno();
}

static int
without_barriers(void)
{
	pthread_t thread;
	void *error;

	unfenced = fixture((struct LFIOptions) {.boxsize = 0});
	unfenced_code = LOAD(unfenced.box, code_add);
	if (LFI_INVOKE(unfenced.box, &unfenced.ctx, unfenced_code, int, (int, int), 1, 2) != 3)
		return 1;
	if (!forbid_barriers())
		return 100;
	if (lfi_box_munmap(unfenced.box, unfenced_code, PAGE) != -1 || lfi_errno() != LFI_ERR_BUSY)
		return 2;
	pthread_create(&thread, NULL, call_from_another_thread, NULL);
	pthread_join(thread, &error);
	if ((intptr_t) error != LFI_ERR_OS)
		return 3;
	/* What needs none goes on. */
	return LFI_INVOKE(unfenced.box, &unfenced.ctx, unfenced_code, int, (int, int), 1, 2) == 3 ? 0 : 4;
}

static void
without_barriers_code_stays_and_contexts_too(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(without_barriers());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 100)
		print_message("skipped: no seccomp(2) here\n");
	else
		assert_int_equal(WEXITSTATUS(status), 0);
}

static void
a_processor_feature_that_is_absent_is_named(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr at = map(f.box, PAGE);
	uint8_t bytes[PAGE];

	/* A processor without AVX. */
	arch_pretend_features(arch_cpu_features() & ~((uint64_t) 1 << LFI_CPU_AVX));
	memset(bytes, 0xcc, sizeof bytes);
	memcpy(bytes, code_avx, sizeof code_avx);
	assert_done(lfi_box_copyto(f.box, at, bytes, PAGE));
	assert_int_equal(lfi_box_mprotect(f.box, at, PAGE, RX), -1);
	arch_init();
	assert_error(LFI_ERR_CPU);
	assert_non_null(strstr(lfi_errmsg(), "avx"));
	drop(&f);
}

static const struct {
	int feature;
	uint8_t code[8]; /* up to the first 0 */
} avx512_rows[] = {
    {LFI_CPU_AVX512F, {0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1}},            /* vaddps %zmm1, %zmm0, %zmm0 */
    {LFI_CPU_AVX512VL, {0x62, 0xf1, 0x7c, 0x28, 0x58, 0xc1}},           /* the same of ymm */
    {LFI_CPU_AVX512BW, {0x62, 0xf1, 0x7d, 0x48, 0xfc, 0xc1}},           /* vpaddb */
    {LFI_CPU_AVX512DQ, {0x62, 0xf2, 0xfd, 0x48, 0x40, 0xc1}},           /* vpmullq */
    {LFI_CPU_AVX512CD, {0x62, 0xf2, 0x7d, 0x48, 0xc4, 0xc1}},           /* vpconflictd */
    {LFI_CPU_AVX512_VNNI, {0x62, 0xf2, 0x7d, 0x48, 0x50, 0xc1}},        /* vpdpbusd */
    {LFI_CPU_AVX512_VBMI, {0x62, 0xf2, 0x7d, 0x48, 0x8d, 0xc1}},        /* vpermb */
    {LFI_CPU_AVX512_VBMI2, {0x62, 0xf2, 0x7d, 0x48, 0x62, 0xc1}},       /* vpexpandb */
    {LFI_CPU_AVX512_IFMA, {0x62, 0xf2, 0xfd, 0x48, 0xb4, 0xc1}},        /* vpmadd52luq */
    {LFI_CPU_AVX512_BITALG, {0x62, 0xf2, 0x7d, 0x48, 0x54, 0xc1}},      /* vpopcntb */
    {LFI_CPU_AVX512_VPOPCNTDQ, {0x62, 0xf2, 0x7d, 0x48, 0x55, 0xc1}},   /* vpopcntd */
    {LFI_CPU_AVX512_BF16, {0x62, 0xf2, 0x7e, 0x48, 0x52, 0xc1}},        /* vdpbf16ps */
    {LFI_CPU_AVX512_FP16, {0x62, 0xf5, 0x7c, 0x48, 0x58, 0xc1}},        /* vaddph */
    {LFI_CPU_GFNI, {0x62, 0xf2, 0x7d, 0x48, 0xcf, 0xc1}},               /* vgf2p8mulb */
    {LFI_CPU_VAES, {0x62, 0xf2, 0x7d, 0x48, 0xdc, 0xc1}},               /* vaesenc */
    {LFI_CPU_VPCLMUL, {0x62, 0xf3, 0x7d, 0x48, 0x44, 0xc1, 0x11}},      /* vpclmulqdq */
    {LFI_CPU_AVX512F, {0xc5, 0xf8, 0x44, 0xc8}},                        /* knotw %k0, %k1 */
    {LFI_CPU_AVX512DQ, {0xc5, 0xf9, 0x44, 0xc8}},                       /* knotb */
    {LFI_CPU_AVX512BW, {0xc4, 0xe1, 0xf9, 0x44, 0xc8}},                 /* knotd */
};

static void
each_feature_of_avx512_that_is_absent_is_named(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr at = map(f.box, PAGE);
	uint8_t bytes[PAGE];

	for (size_t i = 0; i < sizeof avx512_rows / sizeof avx512_rows[0]; i++) {
		char name[64];

		snprintf(name, sizeof name, "feature %s,", lfi_cpu_feature_name(avx512_rows[i].feature));
		memset(bytes, 0xcc, sizeof bytes);
		memcpy(bytes, avx512_rows[i].code, strnlen((const char *) avx512_rows[i].code, 8));
		assert_done(lfi_box_copyto(f.box, at, bytes, PAGE));
		/* Nothing is missing but this. */
		arch_pretend_features(~((uint64_t) 1 << avx512_rows[i].feature));
		assert_int_equal(lfi_box_mprotect(f.box, at, PAGE, RX), -1);
		arch_init();
		assert_error(LFI_ERR_CPU);
		assert_non_null(strstr(lfi_errmsg(), name));
		arch_pretend_features(~(uint64_t) 0);
		assert_done(lfi_box_mprotect(f.box, at, PAGE, RX));
		arch_init();
		assert_done(lfi_box_mprotect(f.box, at, PAGE, RW));
	}
	drop(&f);
}

static void
what_the_kernel_does_not_switch_is_absent(void **state)
{
	uint64_t all = ((uint64_t) 1 << LFI_CPU_COUNT) - 1;

	/* XCR0: x87, SSE, AVX, masks, upper halves of zmm0-15, zmm16-31. */
	assert_int_equal(arch_usable_features(all, 0xe7), all);
	for (int i = 0; i < LFI_CPU_COUNT; i++) {
		const char *name = lfi_cpu_feature_name(i);
		uint64_t bit = (uint64_t) 1 << i;
		bool avx512 = strncmp(name, "avx512", 6) == 0;
		bool avx = strncmp(name, "avx", 3) == 0 || !strcmp(name, "f16c") || !strcmp(name, "fma") ||
			   !strcmp(name, "vaes") || !strcmp(name, "vpclmul");

		assert_int_equal(arch_usable_features(bit, 0x7), avx512 ? 0 : bit);
		for (unsigned missing = 0x20; missing <= 0x80; missing *= 2)
			assert_int_equal(arch_usable_features(bit, 0xe7 & ~missing), avx512 ? 0 : bit);
		assert_int_equal(arch_usable_features(bit, 0x3), avx ? 0 : bit);
		assert_int_equal(arch_usable_features(bit, 0xe3), avx ? 0 : bit);
		assert_int_equal(arch_usable_features(bit, 0), avx ? 0 : bit);
	}
}

static void
a_single_thread_engine_has_no_shared_mappings(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.single_thread = true});
	int fd = file_of(code_add, sizeof code_add, 1);

	assert_true(lfi_box_mapany(f.box, PAGE, RW, SHARED, fd, 0) == FAILED);
	assert_error(LFI_ERR_INVALID);
	assert_true(lfi_box_mapany(f.box, PAGE, RW, SHARED | LFI_MAP_ANONYMOUS, -1, 0) == FAILED);
	assert_error(LFI_ERR_INVALID);
	assert_true(lfi_box_mapany(f.box, PAGE, RW, PRIVATE, fd, 0) != FAILED);
	close(fd);
	drop(&f);
}

/* ---- Copies ---- */

static void
copies_of_every_size_stop_at_what_is_not_there(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr at = map(f.box, 3 * PAGE);
	uint8_t out[300], in[300];

	for (size_t i = 0; i < sizeof in; i++)
		in[i] = (uint8_t) (i * 7);
	assert_done(lfi_box_munmap(f.box, at + PAGE, PAGE));
	for (size_t size = 0; size < sizeof in; size++) {
		memset(out, 0, sizeof out);
		assert_done(lfi_box_copyto(f.box, at + PAGE - size, in, size));
		assert_done(lfi_box_copyfm(f.box, out, at + PAGE - size, size));
		assert_memory_equal(in, out, size);
		/* One byte more is one too many, and the rest has been copied. */
		assert_int_equal(lfi_box_copyto(f.box, at + PAGE - size, in, size + 1), -1);
		assert_error(LFI_ERR_UNMAPPED);
		memset(out, 0, sizeof out);
		assert_int_equal(lfi_box_copyfm(f.box, out, at + PAGE - size, size + 1), -1);
		assert_error(LFI_ERR_UNMAPPED);
		assert_int_equal(copy_guarded(out, (void *) (at + PAGE - size), size + 1) >= 1, 1);
	}
	assert_done(lfi_box_mprotect(f.box, at, PAGE, LFI_PROT_READ));
	assert_int_equal(lfi_box_copyto(f.box, at, in, 1), -1);
	assert_error(LFI_ERR_UNMAPPED);
	assert_done(lfi_box_copyfm(f.box, out, at, 1));
	assert_int_equal(lfi_box_copyfm(f.box, out, lfi_box_info(f.box).base, 8), -1);
	assert_error(LFI_ERR_RANGE);
	assert_int_equal(lfi_box_copyfm(f.box, out, at, SIZE_MAX), -1);
	assert_error(LFI_ERR_RANGE);
	assert_int_equal(lfi_box_copyfm(f.box, out, (lfiptr) (uintptr_t) in, 1), -1);
	assert_error(LFI_ERR_RANGE);
	drop(&f);
}

static void
strings_end_in_time_or_are_refused(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr at = map(f.box, 2 * PAGE);
	char out[64];

	assert_done(lfi_box_munmap(f.box, at + PAGE, PAGE));
	assert_done(lfi_box_copyto(f.box, at, "hello", 6));
	assert_int_equal(lfi_box_copystr(f.box, out, at, sizeof out), 5);
	assert_string_equal(out, "hello");
	assert_int_equal(lfi_box_copystr(f.box, out, at, 6), 5);
	assert_int_equal(lfi_box_copystr(f.box, out, at, 5), -1);
	assert_error(LFI_ERR_RANGE);
	assert_int_equal(lfi_box_copystr(f.box, out, at, 0), -1);
	assert_error(LFI_ERR_RANGE);
	/* Up to a page's last byte. */
	assert_done(lfi_box_copyto(f.box, at + PAGE - 4, "abc", 4));
	assert_int_equal(lfi_box_copystr(f.box, out, at + PAGE - 4, sizeof out), 3);
	assert_done(lfi_box_copyto(f.box, at + PAGE - 4, "abcd", 4));
	assert_int_equal(lfi_box_copystr(f.box, out, at + PAGE - 4, sizeof out), -1);
	assert_error(LFI_ERR_UNMAPPED);
	assert_int_equal(lfi_box_copystr(f.box, out, at + PAGE - 4, 4), -1);
	assert_error(LFI_ERR_RANGE);
	assert_int_equal(lfi_box_copystr(f.box, out, 0, 4), -1);
	assert_error(LFI_ERR_RANGE);
	drop(&f);
}

static void
pointers_are_checked(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct LFIBoxInfo info = lfi_box_info(f.box);
	const struct {
		lfiptr addr;
		size_t size;
		bool valid;
	} rows[] = {
		{info.min, 1, true}, {info.min, info.max - info.min, true}, {info.max, 0, true}, {info.max - 1, 1, true},
		{info.min - 1, 1, false}, {info.min - 1, 2, false}, {info.max, 1, false}, {info.min, info.max - info.min + 1, false},
		{info.min, SIZE_MAX, false}, {UINT64_MAX, 2, false}, {0, 0, false}, {info.min + 1, SIZE_MAX, false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		assert_int_equal(lfi_box_ptrvalid(f.box, rows[i].addr, rows[i].size), rows[i].valid);
		assert_int_equal(lfi_box_ptr(f.box, rows[i].addr, rows[i].size) != NULL, rows[i].valid);
		assert_int_equal(box_span(f.box, rows[i].addr, rows[i].size) != NULL, rows[i].valid);
	}
	drop(&f);
}

static void
mappings_are_listed(void **state)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 1);
	struct LFIBox *box = lfi_box_new(engine);
	lfiptr at = lfi_box_info(box).min;
	struct BoxMapping m;

	assert_false(box_mapping(box, 0, &m));
	lfi_box_mapat(box, at, 2 * PAGE, RW, ANON, -1, 0);
	lfi_box_mapat(box, at + 2 * PAGE, PAGE, RW, ANON, -1, 0);
	lfi_box_mapat(box, at + 8 * PAGE, PAGE, LFI_PROT_READ, ANON, -1, 0);
	assert_true(box_mapping(box, 0, &m));
	assert_true(m.addr == at && m.size == 3 * PAGE && m.prot == RW && m.flags == (ANON));
	assert_true(box_mapping(box, m.addr + m.size, &m));
	assert_true(m.addr == at + 8 * PAGE && m.prot == LFI_PROT_READ);
	assert_false(box_mapping(box, m.addr + m.size, &m));
	lfi_box_free(box);
	lfi_free(engine);
}

static void
zeros_behind_a_program_become_traps(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = lfi_box_mapany(f.box, 2 * PAGE, RW, ANON, -1, 0);
	uint8_t bytes[2 * PAGE];

	assert_int_equal(lfi_box_copyto(f.box, p, code_add, sizeof code_add), 0);
	assert_int_equal(lfi_box_mprotect(f.box, p, 2 * PAGE, RX), 0);
	assert_int_equal(lfi_box_copyfm(f.box, bytes, p, sizeof bytes), 0);
	assert_memory_equal(bytes, code_add, sizeof code_add);
	for (size_t i = sizeof code_add; i < sizeof bytes; i++)
		assert_int_equal(bytes[i], 0xcc);
	drop(&f);
}

static void
zeros_with_something_behind_are_refused(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = lfi_box_mapany(f.box, PAGE, RW, ANON, -1, 0);
	uint8_t bytes[PAGE] = {[PAGE - 1] = 0xf4}, after[PAGE];

	memcpy(bytes, code_add, sizeof code_add);
	assert_int_equal(lfi_box_copyto(f.box, p, bytes, PAGE), 0);
	assert_int_equal(lfi_box_mprotect(f.box, p, PAGE, RX), -1);
	assert_error(LFI_ERR_VERIFY);
	assert_int_equal(lfi_box_copyfm(f.box, after, p, PAGE), 0);
	assert_memory_equal(after, bytes, PAGE);
	drop(&f);
}

/* The kernel's answer, whatever the mapping was to be. */
static void
a_file_that_cannot_be_mapped_is_an_error_of_the_system(void **state)
{
	static const int prots[] = {LFI_PROT_READ, RW, RX};
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	for (size_t i = 0; i < sizeof prots / sizeof prots[0]; i++) {
		assert_true(lfi_box_mapany(f.box, PAGE, prots[i], LFI_MAP_PRIVATE, fds[0], 0) == FAILED);
		assert_error(LFI_ERR_OS);
		assert_non_null(strstr(lfi_errmsg(), strerror(ENODEV)));
	}
	close(fds[0]);
	close(fds[1]);
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeros_behind_a_program_become_traps),
		cmocka_unit_test(zeros_with_something_behind_are_refused),
		cmocka_unit_test(arguments_that_are_wrong_are_refused),
		cmocka_unit_test(places_are_free_or_replaced_as_asked),
		cmocka_unit_test(protections_are_the_kernels_too),
		cmocka_unit_test(the_table_and_the_guards_cannot_be_written),
		cmocka_unit_test(code_may_come_from_memory_and_from_files),
		cmocka_unit_test(another_mapping_of_the_same_file_cannot_change_code),
		cmocka_unit_test(code_that_does_not_verify_changes_nothing),
		cmocka_unit_test(code_that_changes_while_it_is_verified_is_what_was_verified),
		cmocka_unit_test(code_cannot_be_written_by_anyone),
		cmocka_unit_test(a_truncated_file_is_an_error),
		cmocka_unit_test(a_region_changes_as_a_whole_or_not_at_all),
		cmocka_unit_test(code_with_a_context_inside_stays),
		cmocka_unit_test(code_stays_while_a_context_executes),
		cmocka_unit_test(code_comes_and_goes_while_others_cross),
		cmocka_unit_test(nobody_goes_in_while_the_gate_is_closed),
		cmocka_unit_test(what_code_does_is_known_before_it_runs),
		cmocka_unit_test(code_with_new_registers_waits_for_who_executes),
		cmocka_unit_test(without_barriers_code_stays_and_contexts_too),
		cmocka_unit_test(a_processor_feature_that_is_absent_is_named),
		cmocka_unit_test(each_feature_of_avx512_that_is_absent_is_named),
		cmocka_unit_test(what_the_kernel_does_not_switch_is_absent),
		cmocka_unit_test(a_single_thread_engine_has_no_shared_mappings),
		cmocka_unit_test(copies_of_every_size_stop_at_what_is_not_there),
		cmocka_unit_test(strings_end_in_time_or_are_refused),
		cmocka_unit_test(pointers_are_checked),
		cmocka_unit_test(mappings_are_listed),
		cmocka_unit_test(a_file_that_cannot_be_mapped_is_an_error_of_the_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
