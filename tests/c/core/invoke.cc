/* SPDX-License-Identifier: MIT */
// LFI_INVOKE from C++: built and run by cxx.c with whatever c++ there is. Prints "ok", or the line that failed.
#include <lfi/lfi.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "snippets.h"

#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			std::printf("line %d: %s: %s\n", __LINE__, #condition, lfi_errmsg());                          \
			std::exit(1);                                                                                  \
		}                                                                                                      \
	} while (0)

static const int anonymous = LFI_MAP_ANONYMOUS | LFI_MAP_PRIVATE;
static const int rw = LFI_PROT_READ | LFI_PROT_WRITE;

template <size_t N>
static lfiptr
load(LFIBox *box, const uint8_t (&code)[N])
{
	static_assert(N <= 4096, "one page");
	unsigned char page[4096];
	lfiptr at = lfi_box_mapany(box, sizeof page, rw, anonymous, -1, 0);

	std::memset(page, 0xcc, sizeof page);
	std::memcpy(page, code, N);
	CHECK(lfi_box_copyto(box, at, page, sizeof page) == 0);
	CHECK(lfi_box_mprotect(box, at, sizeof page, LFI_PROT_READ | LFI_PROT_EXEC) == 0);
	return at;
}

static int
plus_one(int x)
{
	return x + 1;
}

enum Five { FIVE = 5 };

int
main()
{
	LFIEngine *engine = lfi_new(LFIOptions(), 1);
	CHECK(engine);
	LFIBox *box = lfi_box_new(engine);
	CHECK(box && lfi_box_init_ret(box) == 0 && lfi_box_cbinit(box));
	LFIContext *ctx = lfi_ctx_new(box, nullptr);
	lfi_ctx_regs(ctx)->sp = lfi_box_mapany(box, 65536, rw, anonymous, -1, 0) + 65536;
	lfiptr add = load(box, code_add);

	CHECK(LFI_INVOKE(box, &ctx, add, int, (int, int), 10, 32) == 42);
	CHECK(LFI_INVOKE(box, &ctx, add, int, (int, Five), LFI_INVOKE(box, &ctx, add, int, (int, int), 1, 2), FIVE) == 8);
	CHECK(LFI_INVOKE(box, &ctx, load(box, code_sum10), int,
		  (int, char, short, bool, int, int, int, unsigned char, long, int), 1, 2, 4, true, 16, 32, 64, 128, 256L,
		  512) == 1016);
	CHECK(LFI_INVOKE(box, &ctx, load(box, code_sum10_doubles), double,
		  (double, double, double, double, double, double, double, double, double, double), 1, 2, 4, 8, 16, 32, 64,
		  128, 256, 512.5) == 1023.5);
	CHECK(LFI_INVOKE(box, &ctx, load(box, code_add_floats), float, (float, const float), 1.5f, 2.25f) == 3.75f);
	CHECK(LFI_INVOKE(box, &ctx, load(box, code_long_double), double, (long double), 6.5L) == 6.5);
	LFI_INVOKE(box, &ctx, add, void, ());
	LFI_INVOKE(box, &ctx, add, void, (void));
	CHECK(lfi_errno() == LFI_OK);
	void *callback = lfi_box_register_cb(box, (void *) plus_one);
	CHECK(LFI_INVOKE(box, &ctx, load(box, code_apply), int, (int (*)(int), int), (int (*)(int)) callback, 41) == 42);
	lfi_box_free(box);
	lfi_free(engine);
	std::puts("ok");
	return 0;
}
