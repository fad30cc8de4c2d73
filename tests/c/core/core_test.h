/* SPDX-License-Identifier: MIT */
/* What the tests of core share: an engine, a box with a stack, and code loaded into it. */
#ifndef TESTS_CORE_TEST_H
#define TESTS_CORE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those four first. */
#include <cmocka.h>

#include <lfi/lfi_core.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "snippets.h"

#define UNUSED __attribute__((unused))
#define PAGE ((size_t) 4096)
#define STACK_BYTES (16 * PAGE)
#define ANON (LFI_MAP_ANONYMOUS | LFI_MAP_PRIVATE)
#define RW (LFI_PROT_READ | LFI_PROT_WRITE)
#define RX (LFI_PROT_READ | LFI_PROT_EXEC)
#define FAILED ((lfiptr) -1)

/* The last call failed with this code, and said something. */
#define assert_error(expected)                                                                                         \
	do {                                                                                                           \
		if (lfi_errno() != (expected))                                                                         \
			print_error("lfi_errno is %s: %s\n", lfi_error_name(lfi_errno()), lfi_errmsg());               \
		assert_int_equal(lfi_errno(), expected);                                                               \
		assert_true(strlen(lfi_errmsg()) > 0);                                                                 \
	} while (0)

#define assert_done(call)                                                                                              \
	do {                                                                                                           \
		if ((call) < 0) {                                                                                      \
			print_error("%s: %s\n", #call, lfi_errmsg());                                                  \
			fail();                                                                                        \
		}                                                                                                      \
	} while (0)

struct Fixture {
	struct LFIEngine *engine;
	struct LFIBox *box;
	struct LFIContext *ctx;
	lfiptr stack; /* its top */
	lfiptr buffer; /* a page of memory */
};

static lfiptr UNUSED
map(struct LFIBox *box, size_t size)
{
	lfiptr at = lfi_box_mapany(box, size, RW, ANON, -1, 0);

	if (at == FAILED)
		print_error("%s\n", lfi_errmsg());
	assert_true(at != FAILED);
	return at;
}

/* Pages of code, padded with int3. */
static lfiptr UNUSED
load_bytes(struct LFIBox *box, const void *code, size_t size)
{
	size_t whole = (size + PAGE - 1) / PAGE * PAGE;
	uint8_t *bytes = malloc(whole);
	lfiptr at = map(box, whole);

	memset(bytes, 0xcc, whole);
	memcpy(bytes, code, size);
	assert_done(lfi_box_copyto(box, at, bytes, whole));
	assert_done(lfi_box_mprotect(box, at, whole, RX));
	free(bytes);
	return at;
}

#define LOAD(box, code) load_bytes(box, code, sizeof(code))

static struct Fixture UNUSED
fixture_of(struct LFIEngine *engine)
{
	struct Fixture f = {.engine = engine};

	assert_non_null(engine);
	f.box = lfi_box_new(engine);
	assert_non_null(f.box);
	f.ctx = lfi_ctx_new(f.box, NULL);
	assert_non_null(f.ctx);
	f.stack = map(f.box, STACK_BYTES) + STACK_BYTES;
	lfi_ctx_regs(f.ctx)->sp = f.stack;
	f.buffer = map(f.box, PAGE);
	assert_done(lfi_box_init_ret(f.box));
	assert_true(lfi_box_cbinit(f.box));
	return f;
}

static struct Fixture UNUSED
fixture(struct LFIOptions opts)
{
	return fixture_of(lfi_new(opts, 8));
}

static void UNUSED
drop(struct Fixture *f)
{
	lfi_box_free(f->box);
	lfi_free(f->engine);
}

static void UNUSED
peek(struct Fixture *f, void *out, size_t size)
{
	assert_done(lfi_box_copyfm(f->box, out, f->buffer, size));
}

#endif
