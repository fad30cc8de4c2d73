/* SPDX-License-Identifier: MIT */
/* The map of mappings against a plain array of pages, with random operations. */
#include "core_test.h"

#include "pages.h"

enum { N = 64 };

/* Of these, neighbours are joined. */
#define PRIVATE (LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS)

struct Model {
	int prot[N]; /* -1: unmapped */
	int flags[N];
};

static uint64_t seed = 1;

static unsigned
random_below(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned) (seed >> 33) % n;
}

static uint64_t
mapped_pages(const struct Model *model, unsigned start, unsigned end)
{
	uint64_t n = 0;

	for (unsigned i = start; i < end; i++)
		n += model->prot[i] >= 0;
	return n;
}

/* Runs are in order, not empty, disjoint, joined where the kernel does it too, and say what the model says. */
static void
check(const struct PageMap *map, const struct Model *model)
{
	size_t run = 0;

	for (size_t i = 0; i < map->count; i++) {
		assert_true(map->runs[i].start < map->runs[i].end);
		if (i == 0)
			continue;
		assert_true(map->runs[i - 1].end <= map->runs[i].start);
		if (map->runs[i - 1].end == map->runs[i].start && !(map->runs[i].prot & LFI_PROT_EXEC) &&
		    map->runs[i].flags == PRIVATE)
			assert_true(map->runs[i - 1].prot != map->runs[i].prot || map->runs[i - 1].flags != map->runs[i].flags);
	}
	assert_int_equal(map->bytes, mapped_pages(model, 0, N));
	assert_true(map->peak >= map->bytes);
	for (uint64_t page = 0; page < N; page++) {
		while (run < map->count && map->runs[run].end <= page)
			run++;
		bool mapped = run < map->count && map->runs[run].start <= page;

		assert_int_equal(mapped, model->prot[page] >= 0);
		if (mapped) {
			assert_int_equal(map->runs[run].prot, model->prot[page]);
			assert_int_equal(map->runs[run].flags, model->flags[page]);
		}
		assert_int_equal(pages_find(map, page), run);
	}
}

static void
random_operations_agree_with_an_array_of_pages(void **state)
{
	for (int round = 0; round < 200; round++) {
		struct PageMap map = {.runs = NULL};
		struct Model model;

		for (int i = 0; i < N; i++)
			model.prot[i] = -1;
		for (int op = 0; op < 200; op++) {
			unsigned start = random_below(N), end = start + 1 + random_below(N - start);
			int prot = (int) random_below(4), flags = random_below(2) ? PRIVATE : LFI_MAP_SHARED;
			bool full = true, empty = true;

			for (unsigned i = start; i < end; i++) {
				full &= model.prot[i] >= 0;
				empty &= model.prot[i] < 0;
			}
			assert_int_equal(pages_full(&map, start, end), full);
			assert_int_equal(pages_bytes(&map, start, end), mapped_pages(&model, start, end));
			assert_int_equal(pages_empty(&map, start, end), empty);
			assert_int_equal(pages_reserve(&map), 0);
			if (random_below(3) == 0 && full) {
				assert_int_equal(pages_protect(&map, start, end, prot), 0);
				for (unsigned i = start; i < end; i++)
					model.prot[i] = prot;
			} else {
				if (prot == 3)
					prot = -1;
				pages_set(&map, start, end, prot, flags);
				for (unsigned i = start; i < end; i++) {
					model.prot[i] = prot;
					model.flags[i] = flags;
				}
			}
			check(&map, &model);
		}
		pages_free(&map);
	}
}

static void
what_the_kernel_keeps_apart_is_never_joined(void **state)
{
	struct PageMap map = {.runs = NULL};

	pages_reserve(&map);
	pages_set(&map, 0, 4, RX, 1);
	pages_reserve(&map);
	pages_set(&map, 4, 8, RX, 1);
	assert_int_equal(map.count, 2);
	/* A file's pages: of which file, and which pages, the map does not know. */
	pages_set(&map, 0, 4, 1, LFI_MAP_PRIVATE);
	pages_reserve(&map);
	pages_set(&map, 4, 8, 1, LFI_MAP_PRIVATE);
	assert_int_equal(map.count, 2);
	pages_free(&map);
}

static void
the_highest_place_that_fits_is_found(void **state)
{
	struct PageMap map = {.runs = NULL};

	assert_int_equal(pages_place(&map, 5, 10, 20), 15);
	assert_int_equal(pages_place(&map, 10, 10, 20), 10);
	assert_int_equal(pages_place(&map, 11, 10, 20), 0);
	assert_int_equal(pages_place(&map, UINT64_MAX, 10, 20), 0);
	pages_reserve(&map);
	pages_set(&map, 14, 17, 0, 1);
	assert_int_equal(pages_place(&map, 3, 10, 20), 17);
	assert_int_equal(pages_place(&map, 4, 10, 20), 10);
	assert_int_equal(pages_place(&map, 5, 10, 20), 0);
	pages_free(&map);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_agree_with_an_array_of_pages),
		cmocka_unit_test(what_the_kernel_keeps_apart_is_never_joined),
		cmocka_unit_test(the_highest_place_that_fits_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
