/* SPDX-License-Identifier: MIT */
/*
 * What the tests of lib/linux share: a process with a page of memory and a
 * thread on which system calls are made directly, and a scratch directory.
 */
#ifndef TEST_LINUX_H
#define TEST_LINUX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys.h"

enum { PAGE = 4096, MEMORY_PAGES = 16 };

struct Fixture {
	struct LFIEngine *engine;
	struct LFILinuxEngine *linux_;
	struct LFILinuxProc *proc;
	struct LFILinuxThread *thread;
	lfiptr memory; /* MEMORY_PAGES pages, read-write */
	size_t used;   /* of memory, by put */
	char dir[64];  /* the scratch directory on the host */
};

/* Shell commands in the scratch directory, which is $PWD. */
static inline void
shell(struct Fixture *f, const char *commands)
{
	char line[4096];

	snprintf(line, sizeof line, "cd %s && %s", f->dir, commands);
	if (system(line) != 0)
		fail_msg("failed: %s", line);
}

static inline void
fixture_open(struct Fixture *f, const char *const *maps, const char *wd)
{
	struct LFILinuxOptions opts = {.wd = wd};
	const char *list[8] = {NULL};
	static char text[8][256];

	memset(f, 0, sizeof *f);
	strcpy(f->dir, "/tmp/lfi-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	shell(f, "mkdir box other && echo secret >secret && echo inside >box/file");
	for (int i = 0; maps && maps[i]; i++) {
		const char *equals = strchr(maps[i], '=');

		snprintf(text[i], sizeof text[i], "%.*s=%s/%s", (int) (equals - maps[i]), maps[i], f->dir, equals + 1);
		list[i] = text[i];
	}
	opts.dir_maps = maps ? list : NULL;
	f->engine = lfi_new((struct LFIOptions){0}, 1);
	assert_non_null(f->engine);
	f->linux_ = lfi_linux_new(f->engine, opts);
	if (!f->linux_)
		fail_msg("%s", lfi_errmsg());
	f->proc = lfi_proc_new(f->linux_);
	assert_non_null(f->proc);
	f->thread = thread_make(f->proc);
	assert_non_null(f->thread);
	/* In the middle of nowhere, so that what lies around it is not mapped. */
	f->memory = lfi_box_mapat(f->proc->box, f->proc->info.min + 0x1000000, MEMORY_PAGES * PAGE,
	    LFI_PROT_READ | LFI_PROT_WRITE, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0);
	assert_true(f->memory != (lfiptr) -1);
}

static inline void
fixture_close(struct Fixture *f)
{
	char line[128];

	lfi_proc_free(f->proc);
	lfi_linux_free(f->linux_);
	lfi_free(f->engine);
	snprintf(line, sizeof line, "rm -rf %s", f->dir);
	if (system(line) != 0)
		fail_msg("failed: %s", line);
}

/* Bytes in the sandbox; never freed. */
static inline lfiptr
put(struct Fixture *f, const void *bytes, size_t size)
{
	lfiptr at = f->memory + f->used;

	assert_true(f->used + size <= MEMORY_PAGES * PAGE);
	if (bytes)
		assert_int_equal(lfi_box_copyto(f->proc->box, at, bytes, size), 0);
	f->used += (size + 15) & ~(size_t) 15;
	return at;
}

static inline lfiptr
str(struct Fixture *f, const char *text)
{
	/* Tests need few strings at a time. */
	if (f->used > 8 * PAGE)
		f->used = 0;
	return put(f, text, strlen(text) + 1);
}

static inline void
get(struct Fixture *f, void *to, lfiptr from, size_t size)
{
	assert_int_equal(lfi_box_copyfm(f->proc->box, to, from, size), 0);
}

#define CALL(f, handler, ...) handler((f)->thread, (const uint64_t[6]){__VA_ARGS__})

/* A test as a function of a fixture with these maps. */
struct Test {
	void (*run)(struct Fixture *f);
	const char *const *maps;
	const char *wd;
};

/*
 * Runs it. Not a cmocka fixture: cmocka takes the fault handlers over after those, and the library's must come last.
 */
static inline void
with_process(void **state)
{
	const struct Test *test = *state;
	struct Fixture f;

	fixture_open(&f, test->maps, test->wd);
	test->run(&f);
	fixture_close(&f);
}

#define TEST(name, maps, wd)                                    \
	{                                                       \
#name, with_process, NULL, NULL, &(struct Test) \
		{                                               \
			name, maps, wd                          \
		}                                               \
	}

#endif
