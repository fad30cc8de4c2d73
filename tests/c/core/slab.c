/* SPDX-License-Identifier: MIT */
/* Pages for contexts: one owner each, zeros for the next one, and slabs that come and go with them. */
#include "core_test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "os/os.h"
#include "slab.h"

enum { PAGES = 5 * SLAB_PAGES };

struct Taken {
	void *page;
	struct Slab *slab;
};

/* How many of the slabs that were made are there still, and the kernel's refusals. */
static struct {
	int slabs;
	bool refuses, no_memory;
} kernel;

int __real_os_random_page(size_t size, void **out);
int __wrap_os_random_page(size_t size, void **out);
void __real_os_release(void *addr, size_t size);
void __wrap_os_release(void *addr, size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

int
__wrap_os_random_page(size_t size, void **out)
{
	assert_int_equal(size, SLAB_PAGES * PAGE);
	if (kernel.refuses)
		return EAGAIN;
	kernel.slabs++;
	return __real_os_random_page(size, out);
}

void
__wrap_os_release(void *addr, size_t size)
{
	assert_int_equal(size, SLAB_PAGES * PAGE);
	kernel.slabs--;
	__real_os_release(addr, size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return kernel.no_memory ? NULL : __real_calloc(n, size);
}

static void
take(struct Slabs *slabs, struct Taken *taken)
{
	static const char zeros[PAGE];

	assert_int_equal(slabs_take(slabs, &taken->page, &taken->slab), 0);
	assert_memory_equal(taken->page, zeros, PAGE);
	/* Whoever has it too would see that. */
	memset(taken->page, 0xaa, PAGE);
}

static void
give(struct Slabs *slabs, struct Taken *taken)
{
	slabs_give(slabs, taken->page, taken->slab);
	taken->page = NULL;
}

/* The list has each slab with a free page, once; at most one of them is empty. */
static void
assert_sound(struct Slabs *slabs, const struct Taken *taken)
{
	struct Slab **link = &slabs->free;
	size_t empty = 0, listed_free = 0, held = 0;
	int listed = 0, full = 0;

	for (struct Slab *slab = slabs->free; slab; slab = slab->next) {
		assert_ptr_equal(slab->link, link);
		link = &slab->next;
		assert_true(slab->taken != UINT64_MAX);
		empty += slab->taken == 0;
		listed_free += SLAB_PAGES - (size_t) __builtin_popcountll(slab->taken);
		listed++;
	}
	for (int i = 0; i < PAGES; i++)
		held += taken[i].page != NULL;
	full = kernel.slabs - listed;
	assert_int_equal(held, (size_t) kernel.slabs * SLAB_PAGES - listed_free);
	assert_true(full >= 0);
	assert_int_equal(slabs->nempty, empty);
	assert_true(empty <= 1);
}

static void
pages_come_and_go_in_any_order(void **state)
{
	static struct Taken taken[PAGES];
	struct Slabs slabs;
	unsigned seed = 1;

	slabs_init(&slabs, PAGE);
	for (int step = 0; step < 20000; step++) {
		/* More and more, then fewer and fewer. */
		bool more = step / 2000 % 2 == 0;
		int i = rand_r(&seed) % PAGES;

		if (taken[i].page && (!more || rand_r(&seed) % 4 == 0))
			give(&slabs, &taken[i]);
		else if (!taken[i].page && (more || rand_r(&seed) % 4 == 0))
			take(&slabs, &taken[i]);
		if (step % 16 == 0)
			assert_sound(&slabs, taken);
	}
	for (int i = 0; i < PAGES; i++)
		if (taken[i].page)
			give(&slabs, &taken[i]);
	assert_sound(&slabs, taken);
	assert_int_equal(kernel.slabs, 1);
	slabs_destroy(&slabs);
	assert_int_equal(kernel.slabs, 0);
}

static void
one_page_that_comes_and_goes_takes_one_slab(void **state)
{
	struct Slabs slabs;
	struct Taken first, again;

	slabs_init(&slabs, PAGE);
	take(&slabs, &first);
	give(&slabs, &first);
	for (int i = 0; i < 10; i++) {
		take(&slabs, &again);
		assert_ptr_equal(again.slab, first.slab);
		give(&slabs, &again);
	}
	assert_int_equal(kernel.slabs, 1);
	slabs_destroy(&slabs);
	assert_int_equal(kernel.slabs, 0);
}

static void
no_memory_is_an_error_and_leaves_the_pages_that_there_are(void **state)
{
	static struct Taken taken[SLAB_PAGES];
	struct Slabs slabs;
	struct Taken one = {NULL, NULL};

	slabs_init(&slabs, PAGE);
	kernel.refuses = true;
	assert_int_equal(slabs_take(&slabs, &one.page, &one.slab), EAGAIN);
	kernel.refuses = false;
	kernel.no_memory = true;
	assert_int_equal(slabs_take(&slabs, &one.page, &one.slab), ENOMEM);
	assert_null(one.page);
	kernel.no_memory = false;
	for (int i = 0; i < SLAB_PAGES; i++)
		take(&slabs, &taken[i]);
	kernel.refuses = kernel.no_memory = true;
	assert_int_equal(slabs_take(&slabs, &one.page, &one.slab), ENOMEM);
	give(&slabs, &taken[7]);
	take(&slabs, &taken[7]);
	kernel.refuses = kernel.no_memory = false;
	for (int i = 0; i < SLAB_PAGES; i++)
		give(&slabs, &taken[i]);
	slabs_destroy(&slabs);
	assert_int_equal(kernel.slabs, 0);
}

struct Worker {
	struct Slabs *slabs;
	char mark;
	bool shared; /* somebody else wrote to a page of ours */
};

static void *
work(void *arg)
{
	struct Worker *worker = arg;
	struct Taken own[40] = {{NULL, NULL}};
	unsigned seed = (unsigned) worker->mark;

	for (int step = 0; step < 20000; step++) {
		struct Taken *taken = &own[rand_r(&seed) % 40];
		char *page = taken->page;

		if (!page) {
			if (slabs_take(worker->slabs, &taken->page, &taken->slab) != 0)
				abort();
			page = taken->page;
			worker->shared |= page[0] != 0;
			page[0] = worker->mark;
		} else {
			worker->shared |= page[0] != worker->mark;
			page[0] = 0;
			slabs_give(worker->slabs, page, taken->slab);
			taken->page = NULL;
		}
	}
	for (int i = 0; i < 40; i++)
		if (own[i].page)
			slabs_give(worker->slabs, own[i].page, own[i].slab);
	return NULL;
}

static void
threads_never_share_a_page(void **state)
{
	enum { THREADS = 4 };
	struct Worker workers[THREADS];
	pthread_t threads[THREADS];
	struct Slabs slabs;

	slabs_init(&slabs, PAGE);
	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct Worker){&slabs, (char) (i + 1), false};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_false(workers[i].shared);
	}
	assert_int_equal(kernel.slabs, 1);
	slabs_destroy(&slabs);
	assert_int_equal(kernel.slabs, 0);
}

/* A thread that takes a page, or gives it back, while another has the lock. */
struct Waiter {
	struct Slabs *slabs;
	struct Taken taken;
	atomic_bool done;
};

static void *
take_one(void *arg)
{
	struct Waiter *waiter = arg;

	if (slabs_take(waiter->slabs, &waiter->taken.page, &waiter->taken.slab) != 0)
		abort();
	atomic_store(&waiter->done, true);
	return NULL;
}

static void *
give_one(void *arg)
{
	struct Waiter *waiter = arg;

	slabs_give(waiter->slabs, waiter->taken.page, waiter->taken.slab);
	atomic_store(&waiter->done, true);
	return NULL;
}

static void
nobody_takes_or_gives_a_page_while_another_thread_does(void **state)
{
	void *(*const deeds[])(void *) = {take_one, give_one};
	struct Slabs slabs;
	struct Waiter waiter = {.slabs = &slabs};
	pthread_t thread;

	slabs_init(&slabs, PAGE);
	for (int i = 0; i < 2; i++) {
		atomic_store(&waiter.done, false);
		pthread_mutex_lock(&slabs.lock);
		assert_int_equal(pthread_create(&thread, NULL, deeds[i], &waiter), 0);
		/* Time enough to go wrong. */
		usleep(20000);
		assert_false(atomic_load(&waiter.done));
		pthread_mutex_unlock(&slabs.lock);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_true(atomic_load(&waiter.done));
	}
	slabs_destroy(&slabs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pages_come_and_go_in_any_order),
	    cmocka_unit_test(one_page_that_comes_and_goes_takes_one_slab),
	    cmocka_unit_test(no_memory_is_an_error_and_leaves_the_pages_that_there_are),
	    cmocka_unit_test(threads_never_share_a_page),
	    cmocka_unit_test(nobody_takes_or_gives_a_page_while_another_thread_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
