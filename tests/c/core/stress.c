/* SPDX-License-Identifier: MIT */
/*
 * Many host threads on many boxes at once: they call, interrupt, let code run into deadlines and traps, reset, free and
 * clone, for LFI_STRESS_SECONDS (default 3; `./dev stress` says 60). Every call gives its result or the error that it
 * must have, and in the end nothing is left. Most useful under ThreadSanitizer.
 */
#include "core_test.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "core.h"

enum { THREADS = 16, BOXES = 64, STACK = 4 * PAGE };

#define DEADLINE_NS ((uint64_t) 100 * 1000)
#define MARK 0x5a5a1234u

/* Addresses are offsets from the base, the same in each box. */
struct Program {
	struct LFIEngine *engine;
	struct BoxImage *image;
	lfiptr add, apply, load, store, spin, twice, stacks, data;
};

/* Who calls holds the lock shared, who frees or resets holds it alone. Thread i uses contexts[i] only. */
struct Slot {
	pthread_rwlock_t lock;
	struct LFIBox *box;
	struct LFIContext *contexts[THREADS];
	_Atomic unsigned interrupts; /* lfi_box_interrupt was called so often since the box is as it is */
};

static struct Program program;
static struct Slot slots[BOXES];
static _Atomic bool stop;
static _Atomic uint64_t counts[8];
static _Atomic unsigned wrong;

struct Worker {
	unsigned index;
	uint64_t seed;
	pthread_t thread;
};

static uint64_t
random_number(struct Worker *w)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return w->seed >> 11;
}

static void
check(bool right, const char *what)
{
	if (right)
		return;
	if (atomic_fetch_add(&wrong, 1) < 8)
		print_error("%s: %s: %s\n", what, lfi_error_name(lfi_errno()), lfi_errmsg());
}

static void
twice(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	ret->i = args[0].i * 2;
}

/* ---- Boxes ---- */

static struct LFIBox *
make_box(void)
{
	struct LFIBox *box = box_clone(program.image);

	check(box != NULL, "clone");
	if (box && lfi_box_register_fn(box, "i(i)", twice, NULL) != (void *) (lfi_box_info(box).base + program.twice))
		check(false, "register");
	return box;
}

static struct LFIContext *
context(struct Slot *slot, unsigned thread)
{
	lfiptr base = lfi_box_info(slot->box).base;

	if (slot->contexts[thread])
		return slot->contexts[thread];
	slot->contexts[thread] = lfi_ctx_new(slot->box, NULL);
	check(slot->contexts[thread] != NULL, "context");
	lfi_ctx_regs(slot->contexts[thread])->sp = base + program.stacks + (thread + 1) * STACK;
	return slot->contexts[thread];
}

static void
drop_contexts(struct Slot *slot)
{
	for (unsigned i = 0; i < THREADS; i++) {
		lfi_ctx_free(slot->contexts[i]);
		slot->contexts[i] = NULL;
	}
	atomic_store(&slot->interrupts, 0);
}

static unsigned
mark_of(struct LFIBox *box)
{
	unsigned mark = 0;

	check(lfi_box_copyfm(box, &mark, lfi_box_info(box).base + program.data, sizeof mark) == 0, "copy");
	return mark;
}

/* ---- Deeds; the slot's lock is held shared ---- */

/* The call's error is `expected`, or it was interrupted and somebody has done that. */
static bool
ended(struct Slot *slot, int expected)
{
	return lfi_errno() == expected || (lfi_errno() == LFI_ERR_INTERRUPTED && atomic_load(&slot->interrupts) > 0);
}

static void
call(struct Worker *w, struct Slot *slot, struct LFIContext *ctx, lfiptr base)
{
	int a = (int) (random_number(w) % 100000), b = (int) w->index, sum, doubled;

	sum = LFI_INVOKE(slot->box, &ctx, base + program.add, int, (int, int), a, b);
	check(ended(slot, LFI_OK) && (lfi_errno() != LFI_OK || sum == a + b), "add");
	doubled = LFI_INVOKE(slot->box, &ctx, base + program.apply, int, (lfiptr, int), base + program.twice, a);
	check(ended(slot, LFI_OK) && (lfi_errno() != LFI_OK || doubled == 2 * a), "callback");
	LFI_INVOKE(slot->box, &ctx, base + program.store, void, (lfiptr, int), base + program.data + 64 + 4 * w->index, a);
	check(ended(slot, LFI_OK), "store");
}

static void
spin(struct Worker *w, struct Slot *slot, struct LFIContext *ctx, lfiptr base)
{
	check(lfi_ctx_deadline(ctx, DEADLINE_NS) == 0, "deadline");
	LFI_INVOKE(slot->box, &ctx, base + program.spin, int, (lfiptr), base + program.data + 2048);
	check(ended(slot, LFI_ERR_DEADLINE), "spin");
}

static void
crash(struct Worker *w, struct Slot *slot, struct LFIContext *ctx, lfiptr base)
{
	struct LFIFault fault;

	LFI_INVOKE(slot->box, &ctx, base + program.load, int, (lfiptr), base + 0x80000000 + 4 * w->index);
	check(ended(slot, LFI_ERR_FAULT), "crash");
	if (lfi_errno() == LFI_ERR_FAULT)
		check(lfi_ctx_fault(ctx, &fault) == 0 && fault.address == base + 0x80000000 + 4 * w->index, "fault");
}

/* All that runs in the box, whoever's it is. */
static void
interrupt(struct Slot *slot)
{
	atomic_fetch_add(&slot->interrupts, 1);
	check(lfi_box_interrupt(slot->box) == 0, "interrupt");
}

/* The call of the token ends, and the next one works. */
static void
interrupt_own(struct Worker *w, struct Slot *slot, struct LFIContext *ctx, lfiptr base)
{
	uint64_t token = lfi_ctx_token(ctx);
	int seven;

	check(lfi_ctx_interrupt(ctx, token) == 0, "token");
	LFI_INVOKE(slot->box, &ctx, base + program.spin, int, (lfiptr), base + program.data + 2048);
	check(lfi_errno() == LFI_ERR_INTERRUPTED, "interrupted by token");
	check(lfi_ctx_interrupt(ctx, token) < 0 && lfi_errno() == LFI_ERR_NOTFOUND, "old token");
	seven = LFI_INVOKE(slot->box, &ctx, base + program.add, int, (int, int), 3, 4);
	check(ended(slot, LFI_OK) && (lfi_errno() != LFI_OK || seven == 7), "after the token");
}

static void
shared_deed(struct Worker *w, struct Slot *slot)
{
	struct LFIContext *ctx = context(slot, w->index);
	lfiptr base = lfi_box_info(slot->box).base;
	unsigned kind = (unsigned) (random_number(w) % 16);

	if (kind < 10)
		call(w, slot, ctx, base), kind = 0;
	else if (kind < 12)
		spin(w, slot, ctx, base), kind = 1;
	else if (kind < 14)
		crash(w, slot, ctx, base), kind = 2;
	else if (kind < 15)
		interrupt(slot), kind = 3;
	else
		interrupt_own(w, slot, ctx, base), kind = 4;
	atomic_fetch_add(&counts[kind], 1);
}

/* ---- Alone ---- */

static void
lonely_deed(struct Worker *w, struct Slot *slot)
{
	drop_contexts(slot);
	if (random_number(w) % 2) {
		check(box_reset(slot->box, false) == 0, "reset");
		atomic_fetch_add(&counts[5], 1);
	} else {
		lfi_box_free(slot->box);
		slot->box = make_box();
		atomic_fetch_add(&counts[6], 1);
	}
	check(slot->box && mark_of(slot->box) == MARK, "mark");
}

static void *
work(void *arg)
{
	struct Worker *w = arg;

	while (!atomic_load(&stop)) {
		struct Slot *slot = &slots[random_number(w) % BOXES];

		if (random_number(w) % 16 == 0 && pthread_rwlock_trywrlock(&slot->lock) == 0) {
			lonely_deed(w, slot);
		} else {
			pthread_rwlock_rdlock(&slot->lock);
			shared_deed(w, slot);
		}
		pthread_rwlock_unlock(&slot->lock);
	}
	return NULL;
}

/* ---- The test ---- */

static unsigned
entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned count = 0;

	while (dir && readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* A box with the program, frozen. */
static struct Fixture
freeze(void)
{
	struct Fixture f = fixture_of(lfi_new((struct LFIOptions) {.boxsize = 0}, BOXES + 1));
	lfiptr base = lfi_box_info(f.box).base;
	const unsigned mark = MARK;

	program.engine = f.engine;
	program.add = LOAD(f.box, code_add) - base;
	program.apply = LOAD(f.box, code_apply) - base;
	program.load = LOAD(f.box, code_load) - base;
	program.store = LOAD(f.box, code_store) - base;
	program.spin = LOAD(f.box, code_loop) - base;
	program.stacks = map(f.box, THREADS * STACK) - base;
	program.data = f.buffer - base;
	program.twice = (lfiptr) lfi_box_register_fn(f.box, "i(i)", twice, NULL) - base;
	assert_done(lfi_box_copyto(f.box, f.buffer, &mark, sizeof mark));
	program.image = box_freeze(f.box);
	if (!program.image)
		fail_msg("%s", lfi_errmsg());
	return f;
}

static void
threads_and_boxes_in_a_storm(void **state)
{
	const char *text = getenv("LFI_STRESS_SECONDS");
	struct timespec duration = {text ? atoi(text) : 3, 0};
	struct Worker workers[THREADS];
	unsigned fds;
	struct Fixture f = freeze();

	fds = entries("/proc/self/fd");
	for (unsigned i = 0; i < BOXES; i++) {
		pthread_rwlock_init(&slots[i].lock, NULL);
		slots[i].box = make_box();
		assert_non_null(slots[i].box);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct Worker) {.index = i, .seed = 0x9e3779b97f4a7c15u * (i + 1)};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	nanosleep(&duration, NULL);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	print_message("calls %llu, deadlines %llu, faults %llu, interrupts %llu, tokens %llu, resets %llu, clones %llu\n",
	    (unsigned long long) counts[0], (unsigned long long) counts[1], (unsigned long long) counts[2],
	    (unsigned long long) counts[3], (unsigned long long) counts[4], (unsigned long long) counts[5],
	    (unsigned long long) counts[6]);
	assert_int_equal(wrong, 0);
	for (unsigned i = 0; i < 7; i++)
		assert_true(counts[i] > 0);
	for (unsigned i = 0; i < BOXES; i++) {
		drop_contexts(&slots[i]);
		lfi_box_free(slots[i].box);
		pthread_rwlock_destroy(&slots[i].lock);
	}
	assert_int_equal(entries("/proc/self/fd"), fds);
	box_image_put(program.image);
	lfi_ctx_free(f.ctx);
	lfi_box_free(f.box);
	lfi_error_clear();
	lfi_free(f.engine);
	/* Every box and context is back, or the engine would not have gone. */
	assert_int_equal(lfi_errno(), LFI_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_and_boxes_in_a_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
