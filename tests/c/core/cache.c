/* SPDX-License-Identifier: MIT */
/*
 * The cache of verified code: what is found, what is not, and that a box gets only what was verified. The rows of the
 * key are tried on the cache itself, for an engine has one policy.
 */
#include "core_test.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

#include "box.h"

#define OFFSET ((uint64_t) 1 << 20)

/* ---- The cache by itself ---- */

static struct CodeKey
key_of(const uint8_t *code, size_t size)
{
	return (struct CodeKey){.how = {.bundle = 32}, .offset = OFFSET, .code = code, .size = size};
}

static void
add(struct CodeCache *cache, struct CodeKey key)
{
	struct CodeFacts facts = {.code = 5, .cpu = 6, .traps_from = key.size};

	cache_add(cache, &key, &facts);
}

static bool
found(struct CodeCache *cache, struct CodeKey key)
{
	struct CodeFacts facts = {0};
	bool yes = cache_find(cache, &key, &facts);

	if (yes)
		assert_true(facts.code == 5 && facts.cpu == 6 && facts.traps_from == key.size);
	return yes;
}

static void
what_was_added_is_found_with_its_facts(void **state)
{
	struct CodeCache cache;
	uint8_t code[2 * PAGE] = {1, 2, 3};
	struct CodeKey key = key_of(code, sizeof code);

	cache_init(&cache, 8 * PAGE);
	assert_false(found(&cache, key));
	add(&cache, key);
	assert_true(found(&cache, key));
	assert_true(cache.hits == 1 && cache.misses == 1 && cache.regions == 1 && cache.bytes == sizeof code);
	/* It has bytes of its own. */
	memset(code, 9, sizeof code);
	assert_false(found(&cache, key));
	cache_free(&cache);
}

static void
each_part_of_the_key_counts(void **state)
{
	struct CodeCache cache;
	uint8_t code[2 * PAGE] = {1, 2, 3};
	struct CodeKey key = key_of(code, sizeof code), other;

	cache_init(&cache, 8 * PAGE);
	add(&cache, key);
	other = key, other.how.policy = LFI_POLICY_STORES;
	assert_false(found(&cache, other));
	other = key, other.how.bundle = 16;
	assert_false(found(&cache, other));
	other = key, other.how.single_thread = true;
	assert_false(found(&cache, other));
	other = key, other.how.no_rdtsc = true;
	assert_false(found(&cache, other));
	other = key, other.offset += PAGE;
	assert_false(found(&cache, other));
	other = key, other.offset += (uint64_t) 1 << 32;
	assert_false(found(&cache, other));
	other = key, other.size -= PAGE;
	assert_false(found(&cache, other));
	assert_true(found(&cache, key));
	cache_free(&cache);
}

static void
each_bit_of_each_byte_counts(void **state)
{
	struct CodeCache cache;
	uint8_t code[PAGE];

	for (size_t i = 0; i < sizeof code; i++)
		code[i] = (uint8_t) (i * 7);
	cache_init(&cache, PAGE);
	add(&cache, key_of(code, sizeof code));
	for (size_t bit = 0; bit < 8 * sizeof code; bit++) {
		code[bit / 8] ^= (uint8_t) (1 << bit % 8);
		assert_false(found(&cache, key_of(code, sizeof code)));
		code[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	assert_true(found(&cache, key_of(code, sizeof code)));
	cache_free(&cache);
}

/* A size that is more than what is kept, of the same bytes. */
static void
a_longer_region_is_not_found_by_its_beginning(void **state)
{
	struct CodeCache cache;
	uint8_t code[2 * PAGE] = {0};

	cache_init(&cache, 8 * PAGE);
	add(&cache, key_of(code, PAGE));
	assert_false(found(&cache, key_of(code, 2 * PAGE)));
	add(&cache, key_of(code, 2 * PAGE));
	assert_true(found(&cache, key_of(code, PAGE)));
	assert_true(found(&cache, key_of(code, 2 * PAGE)));
	assert_int_equal(cache.regions, 2);
	cache_free(&cache);
}

static void
zeros_that_became_traps_are_zeros_in_the_key(void **state)
{
	struct CodeCache cache;
	struct CodeFacts facts = {.traps_from = 100}, seen;
	uint8_t filled[PAGE] = {1, 2, 3}, given[PAGE] = {1, 2, 3};
	struct CodeKey key = key_of(filled, PAGE);

	memset(filled + 100, 0xcc, PAGE - 100);
	cache_init(&cache, PAGE);
	cache_add(&cache, &key, &facts);
	assert_false(cache_find(&cache, &key, &seen));
	key.code = given;
	assert_true(cache_find(&cache, &key, &seen));
	assert_int_equal(seen.traps_from, 100);
	cache_free(&cache);
}

static void
the_least_recently_used_goes_first(void **state)
{
	struct CodeCache cache;
	uint8_t code[5][PAGE];

	for (int i = 0; i < 5; i++)
		memset(code[i], i, PAGE);
	cache_init(&cache, 3 * PAGE);
	for (int i = 0; i < 3; i++)
		add(&cache, key_of(code[i], PAGE));
	assert_true(found(&cache, key_of(code[0], PAGE)));
	add(&cache, key_of(code[3], PAGE)); /* 1 goes */
	assert_int_equal(cache.bytes, 3 * PAGE);
	assert_int_equal(cache.evicted, 1);
	assert_false(found(&cache, key_of(code[1], PAGE)));
	assert_true(found(&cache, key_of(code[3], PAGE)));
	assert_true(found(&cache, key_of(code[0], PAGE)));
	assert_true(found(&cache, key_of(code[2], PAGE)));
	/* One that takes the room of two, and one that takes more than there is. */
	add(&cache, key_of(code[3], 2 * PAGE));
	assert_true(cache.bytes == 3 * PAGE && cache.regions == 2 && cache.evicted == 3);
	assert_true(found(&cache, key_of(code[2], PAGE)));
	add(&cache, key_of(code[0], 4 * PAGE));
	assert_true(cache.bytes == 3 * PAGE && cache.regions == 2 && cache.evicted == 3);
	cache_free(&cache);
}

static void
small_regions_are_counted_too(void **state)
{
	struct CodeCache cache;
	uint8_t code[PAGE] = {0};
	uint32_t i;

	cache_init(&cache, SIZE_MAX / 2);
	for (i = 0; i <= CACHE_REGIONS; i++) {
		memcpy(code, &i, sizeof i);
		add(&cache, key_of(code, PAGE));
	}
	assert_true(cache.regions == CACHE_REGIONS && cache.evicted == 1);
	assert_true(found(&cache, key_of(code, PAGE)));
	memset(code, 0, PAGE);
	assert_false(found(&cache, key_of(code, PAGE)));
	cache_free(&cache);
}

static void
the_same_twice_takes_the_room_of_one(void **state)
{
	struct CodeCache cache;
	uint8_t code[PAGE] = {1};

	cache_init(&cache, 4 * PAGE);
	for (int i = 0; i < 5; i++) {
		/* Byte 9 is none of those that choose: what is kept looks alike each time. */
		code[9] = (uint8_t) (i / 2);
		add(&cache, key_of(code, PAGE));
		assert_true(found(&cache, key_of(code, PAGE)));
	}
	assert_true(cache.regions == 1 && cache.bytes == PAGE && cache.evicted == 0);
	code[9] = 0;
	assert_false(found(&cache, key_of(code, PAGE)));
	cache_free(&cache);
}

static void
without_room_nothing_is_kept_or_counted(void **state)
{
	struct CodeCache cache;
	uint8_t code[PAGE] = {1};

	cache_init(&cache, 0);
	add(&cache, key_of(code, PAGE));
	assert_false(found(&cache, key_of(code, PAGE)));
	assert_true(cache.misses == 0 && cache.regions == 0);
	cache_free(&cache);
}

#define FILLERS 4
#define KINDS_OF_CODE 8
#define ROUNDS 4000

/* Threads that add and look for more regions than there is room for; what is compared must not be freed meanwhile. */
static void *
fill(void *argument)
{
	struct CodeCache *cache = argument;
	uint8_t *code = malloc(16 * PAGE);
	size_t wrong = 0;

	memset(code, 0, 16 * PAGE);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct CodeKey key;
		struct CodeFacts facts = {.traps_from = 16 * PAGE};
		unsigned kind = i % KINDS_OF_CODE;

		memset(code, (int) kind, 16);
		key = key_of(code, 16 * PAGE);
		facts.cpu = kind;
		if (cache_find(cache, &key, &facts))
			wrong += facts.cpu != kind;
		else
			cache_add(cache, &key, &facts);
		code[16 * PAGE - 1] = 1; /* nobody adds that */
		wrong += cache_find(cache, &key, &facts);
		code[16 * PAGE - 1] = 0;
	}
	free(code);
	return (void *) wrong;
}

static void
threads_may_fill_it_at_once(void **state)
{
	struct CodeCache cache;
	pthread_t threads[FILLERS];
	void *wrong;

	cache_init(&cache, 3 * 16 * PAGE);
	for (int i = 0; i < FILLERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fill, &cache), 0);
	for (int i = 0; i < FILLERS; i++) {
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
	assert_true(cache.hits + cache.misses == 2 * FILLERS * ROUNDS);
	assert_true(cache.regions <= 3 && cache.bytes == cache.regions * 16 * PAGE);
	cache_free(&cache);
}

/* ---- In an engine ---- */

/* nops, and one instruction by which pages are told apart */
static void
write_code(uint8_t page[PAGE], uint8_t immediate)
{
	memset(page, 0x90, PAGE);
	page[128] = 0xb0; /* movb $immediate, %al */
	page[129] = immediate;
}

static bool
becomes_code(struct LFIBox *box, uint64_t offset, const uint8_t *bytes, size_t size)
{
	lfiptr at = lfi_box_mapat(box, offset, size, RW, ANON | LFI_MAP_FIXED, -1, 0);

	assert_true(at != FAILED);
	assert_done(lfi_box_copyto(box, at, bytes, size));
	return lfi_box_mprotect(box, at, size, RX) == 0;
}

static struct LFIEngine *
engine_new(struct LFIOptions options)
{
	struct LFIEngine *engine = lfi_new(options, 64);

	assert_non_null(engine);
	return engine;
}

static void
a_program_is_verified_once_for_all_boxes(void **state)
{
	struct LFIEngine *engine = engine_new((struct LFIOptions){0});
	struct LFICacheStats stats;
	struct LFIBox *boxes[50];
	uint8_t page[PAGE];

	write_code(page, 1);
	for (int i = 0; i < 50; i++) {
		boxes[i] = lfi_box_new(engine);
		assert_non_null(boxes[i]);
		assert_true(becomes_code(boxes[i], OFFSET, page, PAGE));
	}
	stats = lfi_cache_stats(engine);
	assert_true(stats.misses == 1 && stats.hits == 49 && stats.regions == 1 && stats.bytes == PAGE);
	for (int i = 0; i < 50; i++)
		lfi_box_free(boxes[i]);
	lfi_free(engine);
}

/* jmp to a bundle GUARD_SPAN below: fine at 1 MiB, out of the sandbox at the lowest place that can be mapped */
static void
code_that_is_fine_elsewhere_is_verified_here(void **state)
{
	struct LFIEngine *engine = engine_new((struct LFIOptions){0});
	struct LFIBox *box = lfi_box_new(engine);
	uint8_t page[PAGE];
	int32_t down = -(int32_t) GUARD_SPAN - 32 - 5;

	write_code(page, 2);
	page[0] = 0xe9;
	memcpy(page + 1, &down, sizeof down);
	assert_true(becomes_code(box, OFFSET, page, PAGE));
	assert_false(becomes_code(box, GUARD_SPAN, page, PAGE));
	assert_error(LFI_ERR_VERIFY);
	assert_true(becomes_code(box, OFFSET + PAGE, page, PAGE));
	assert_int_equal(lfi_cache_stats(engine).hits, 0);
	lfi_box_free(box);
	lfi_free(engine);
}

static void
code_that_was_changed_is_verified_again(void **state)
{
	struct LFIEngine *engine = engine_new((struct LFIOptions){0});
	struct LFIBox *box = lfi_box_new(engine);
	uint8_t page[PAGE];

	write_code(page, 3);
	assert_true(becomes_code(box, OFFSET, page, PAGE));
	for (size_t i = 200; i < 300; i++) {
		page[i] = 0xc3; /* ret */
		assert_false(becomes_code(box, OFFSET, page, PAGE));
		assert_error(LFI_ERR_VERIFY);
		page[i] = 0x90;
	}
	/* What is refused is not remembered. */
	page[200] = 0xc3;
	assert_false(becomes_code(box, OFFSET, page, PAGE));
	assert_int_equal(lfi_cache_stats(engine).hits, 0);
	page[200] = 0x90;
	assert_true(becomes_code(box, OFFSET, page, PAGE));
	assert_int_equal(lfi_cache_stats(engine).hits, 1);
	lfi_box_free(box);
	lfi_free(engine);
}

static void
zeros_at_the_end_become_traps_each_time(void **state)
{
	struct LFIEngine *engine = engine_new((struct LFIOptions){0});
	uint8_t page[PAGE], out[PAGE];

	write_code(page, 4);
	memset(page + 1000, 0, PAGE - 1000);
	for (int i = 0; i < 3; i++) {
		struct LFIBox *box = lfi_box_new(engine);

		assert_true(becomes_code(box, OFFSET, page, PAGE));
		assert_int_equal(lfi_cache_stats(engine).hits, i);
		assert_done(lfi_box_copyfm(box, out, lfi_box_info(box).base + OFFSET, PAGE));
		assert_memory_equal(out, page, 1000);
		for (size_t j = 1000; j < PAGE; j++)
			assert_int_equal(out[j], 0xcc);
		/* It is code: nobody can write it. */
		assert_int_equal(lfi_box_copyto(box, lfi_box_info(box).base + OFFSET, page, 1), -1);
		lfi_box_free(box);
	}
	lfi_free(engine);
}

/* What code does to a box is known of each box it goes into. */
static void
flags_and_features_come_with_what_is_found(void **state)
{
	struct LFIEngine *engine = engine_new((struct LFIOptions){0});
	uint8_t page[PAGE];

	write_code(page, 5);
	memcpy(page + 200, "\xf3\x0f\xb8\xc1", 4); /* popcntl %ecx, %eax */
	memcpy(page + 204, "\xd9\xe8", 2);         /* fld1 */
	for (int i = 0; i < 2; i++) {
		struct LFIBox *box = lfi_box_new(engine);

		assert_true(becomes_code(box, OFFSET, page, PAGE));
		assert_true(lfi_box_info(box).code & LFI_CODE_X87);
		assert_true(lfi_box_info(box).cpu & (uint64_t) 1 << LFI_CPU_POPCNT);
		lfi_box_free(box);
	}
	assert_int_equal(lfi_cache_stats(engine).hits, 1);
	lfi_free(engine);
}

static void
features_that_the_machine_lacks_are_missed_each_time(void **state)
{
	struct LFIEngine *engine = engine_new((struct LFIOptions){0});
	struct LFIBox *box = lfi_box_new(engine);
	struct CodeFacts facts = {.cpu = (uint64_t) 1 << 63, .traps_from = PAGE}; /* no processor has that */
	struct CodeKey key;
	uint8_t page[PAGE];

	write_code(page, 6);
	key = key_of(page, PAGE);
	cache_add(&engine->cache, &key, &facts);
	assert_false(becomes_code(box, OFFSET, page, PAGE));
	assert_error(LFI_ERR_CPU);
	assert_int_equal(lfi_cache_stats(engine).hits, 1);
	lfi_box_free(box);
	lfi_free(engine);
}

static void
the_size_of_the_cache_is_an_option(void **state)
{
	struct LFIEngine *engine = engine_new((struct LFIOptions){.verify_cache = LFI_CACHE_NONE});
	struct LFIBox *box = lfi_box_new(engine);
	struct LFICacheStats stats;
	uint8_t page[PAGE];

	write_code(page, 7);
	for (int i = 0; i < 3; i++)
		assert_true(becomes_code(box, OFFSET, page, PAGE));
	stats = lfi_cache_stats(engine);
	assert_true(stats.hits == 0 && stats.misses == 0 && stats.regions == 0);
	lfi_box_free(box);
	lfi_free(engine);

	engine = engine_new((struct LFIOptions){.verify_cache = 2 * PAGE});
	box = lfi_box_new(engine);
	for (int i = 0; i < 9; i++) {
		write_code(page, (uint8_t) (i % 3));
		assert_true(becomes_code(box, OFFSET, page, PAGE));
	}
	stats = lfi_cache_stats(engine);
	assert_true(stats.hits == 0 && stats.misses == 9 && stats.regions == 2 && stats.evicted == 7);
	lfi_box_free(box);
	lfi_free(engine);

	assert_int_equal(lfi_cache_stats(NULL).misses, 0);
	assert_error(LFI_ERR_INVALID);
}

static void
an_engine_that_does_not_verify_remembers_nothing(void **state)
{
	struct LFIEngine *engine = engine_new((struct LFIOptions){.no_verify = true});
	struct LFIBox *box = lfi_box_new(engine);
	uint8_t page[PAGE];

	memset(page, 0xc3, PAGE);
	assert_true(becomes_code(box, OFFSET, page, PAGE));
	assert_int_equal(lfi_cache_stats(engine).regions, 0);
	lfi_box_free(box);
	lfi_free(engine);
}

/* Each engine has its own policy, and its own cache. */
static void
engines_share_nothing(void **state)
{
	struct LFIEngine *stores = engine_new((struct LFIOptions){.stores_only = true});
	struct LFIEngine *full = engine_new((struct LFIOptions){0});
	struct LFIBox *a = lfi_box_new(stores), *b = lfi_box_new(full);
	uint8_t page[PAGE];

	write_code(page, 8);
	memcpy(page + 200, "\x8b\x00", 2); /* movl (%rax), %eax */
	assert_true(becomes_code(a, OFFSET, page, PAGE));
	assert_false(becomes_code(b, OFFSET, page, PAGE));
	assert_error(LFI_ERR_VERIFY);
	lfi_box_free(a);
	lfi_box_free(b);
	lfi_free(stores);
	lfi_free(full);
}

#define LOADERS 4
#define LOADS 300

struct Loader {
	struct LFIEngine *engine;
	pthread_t thread;
	size_t wrong;
};

static void *
load_many(void *argument)
{
	struct Loader *loader = argument;
	struct LFIBox *box = lfi_box_new(loader->engine);
	uint8_t page[PAGE];

	for (int i = 0; i < LOADS; i++) {
		lfiptr at = lfi_box_mapat(box, OFFSET, PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0);
		bool bad = i % 5 == 0;

		write_code(page, (uint8_t) (i % 3));
		if (bad)
			page[3001] = 0xc3;
		if (at == FAILED || lfi_box_copyto(box, at, page, PAGE) < 0)
			loader->wrong++;
		loader->wrong += (lfi_box_mprotect(box, at, PAGE, RX) == 0) == bad;
	}
	lfi_box_free(box);
	return NULL;
}

static void
threads_may_load_the_same_at_once(void **state)
{
	struct Loader loaders[LOADERS];
	struct LFIEngine *engine = engine_new((struct LFIOptions){.verify_cache = 2 * PAGE});
	struct LFICacheStats stats;

	for (int i = 0; i < LOADERS; i++) {
		loaders[i] = (struct Loader){.engine = engine};
		assert_int_equal(pthread_create(&loaders[i].thread, NULL, load_many, &loaders[i]), 0);
	}
	for (int i = 0; i < LOADERS; i++) {
		assert_int_equal(pthread_join(loaders[i].thread, NULL), 0);
		assert_int_equal(loaders[i].wrong, 0);
	}
	stats = lfi_cache_stats(engine);
	assert_int_equal(stats.hits + stats.misses, LOADERS * LOADS);
	lfi_free(engine);
}

/* For ThreadSanitizer: a child has threads that nobody joins. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *
__tsan_default_options(void)
{
	return "report_thread_leaks=0";
}

static _Atomic int holds;

/* Has the lock for a while, as a thread that loads code has. */
static void *
hold(void *argument)
{
	struct LFIEngine *engine = argument;

	pthread_mutex_lock(&engine->cache.lock);
	holds = 1;
	usleep(50000);
	pthread_mutex_unlock(&engine->cache.lock);
	return NULL;
}

static void
a_child_of_fork_can_load_code(void **state)
{
	struct LFIEngine *engine = engine_new((struct LFIOptions){0});
	struct LFIBox *box = lfi_box_new(engine);
	uint8_t page[PAGE];
	pthread_t thread;
	int status;
	pid_t child;

	write_code(page, 9);
	assert_int_equal(pthread_create(&thread, NULL, hold, engine), 0);
	while (!holds)
		sched_yield();
	child = fork();
	if (child == 0) {
		alarm(20);
		_exit(becomes_code(box, OFFSET, page, PAGE) ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	pthread_join(thread, NULL);
	assert_true(becomes_code(box, OFFSET, page, PAGE));
	lfi_box_free(box);
	lfi_free(engine);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_added_is_found_with_its_facts),
	    cmocka_unit_test(each_part_of_the_key_counts),
	    cmocka_unit_test(each_bit_of_each_byte_counts),
	    cmocka_unit_test(a_longer_region_is_not_found_by_its_beginning),
	    cmocka_unit_test(zeros_that_became_traps_are_zeros_in_the_key),
	    cmocka_unit_test(the_least_recently_used_goes_first),
	    cmocka_unit_test(small_regions_are_counted_too),
	    cmocka_unit_test(the_same_twice_takes_the_room_of_one),
	    cmocka_unit_test(without_room_nothing_is_kept_or_counted),
	    cmocka_unit_test(threads_may_fill_it_at_once),
	    cmocka_unit_test(a_program_is_verified_once_for_all_boxes),
	    cmocka_unit_test(code_that_is_fine_elsewhere_is_verified_here),
	    cmocka_unit_test(code_that_was_changed_is_verified_again),
	    cmocka_unit_test(zeros_at_the_end_become_traps_each_time),
	    cmocka_unit_test(flags_and_features_come_with_what_is_found),
	    cmocka_unit_test(features_that_the_machine_lacks_are_missed_each_time),
	    cmocka_unit_test(the_size_of_the_cache_is_an_option),
	    cmocka_unit_test(an_engine_that_does_not_verify_remembers_nothing),
	    cmocka_unit_test(engines_share_nothing),
	    cmocka_unit_test(threads_may_load_the_same_at_once),
	    cmocka_unit_test(a_child_of_fork_can_load_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
