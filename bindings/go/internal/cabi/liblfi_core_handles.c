//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * The set of public handles that are alive, so that NULL, a freed handle, and one of another kind are errors instead
 * of crashes: what a handle leads to is not read to find that out. A handle whose memory a newer object of the same
 * kind has got is that object. A hash table with open addressing. Trusted.
 *
 *   I1  An entry that is there is found, also while others come and go: readers take no lock, for they may be signal
 *       handlers. Within a table an entry does not move, and a slot that was taken is never free again. Who finds
 *       nothing in a table that was then made anew looks again: handle_is, renew.
 *   I2  At least half of a table's slots are free, so that a search ends.                     room
 */
#include "handles.h"

#include "lfi_core.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

/* Objects are 16-byte aligned: the kind goes into the low bits. */
#define KIND_BITS 4
#define LOW (((uintptr_t) 1 << KIND_BITS) - 1)

/* Slots: an entry, or one of these. */
#define FREE ((uintptr_t) 0)
#define GONE LOW /* what was here has gone, but searches go on */

_Static_assert(HANDLE_KINDS <= (int) LOW, "a kind and GONE fit");

#define FIRST_BITS 9

struct Table {
	unsigned bits;       /* 1 << bits slots */
	size_t live, gone;   /* slots with entries, and GONE ones; under the lock */
	struct Table *spare; /* as large, for the next one; made when it is needed */
	struct Table *older; /* smaller ones, which readers may be in still: never freed or written */
	_Atomic uintptr_t *slots;
};

static _Atomic uintptr_t first_slots[(size_t) 1 << FIRST_BITS];
static struct Table first = {.bits = FIRST_BITS, .slots = first_slots};
static _Atomic(struct Table *) current = &first;
static _Atomic uint64_t renewed;                         /* how often a spare table has been written */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of writers; no other is taken with it held */

static const char *const names[HANDLE_KINDS] = {
    [HANDLE_ENGINE] = "an engine",
    [HANDLE_BOX] = "a box",
    [HANDLE_CONTEXT] = "a context",
    [HANDLE_FN] = "a prepared call",
    [HANDLE_LINUX] = "a Linux engine",
    [HANDLE_PROC] = "a process",
    [HANDLE_THREAD] = "a thread",
    [HANDLE_SNAPSHOT] = "a snapshot",
    [HANDLE_POOL] = "a pool",
};

/* ---- Slots ---- */

static size_t
mask(const struct Table *table)
{
	return ((size_t) 1 << table->bits) - 1;
}

/* Where a search begins: the high bits of a product (Knuth, TAOCP 6.4). */
static size_t
start(const struct Table *table, uintptr_t address)
{
	return (size_t) ((uint64_t) (address >> KIND_BITS) * 0x9e3779b97f4a7c15u >> (64 - table->bits));
}

static uintptr_t
slot(const struct Table *table, size_t i)
{
	return atomic_load_explicit(&table->slots[i & mask(table)], memory_order_acquire);
}

static void
set_slot(struct Table *table, size_t i, uintptr_t entry)
{
	atomic_store_explicit(&table->slots[i & mask(table)], entry, memory_order_release);
}

/* The slot of an entry; false when it is not there. */
static bool
find(const struct Table *table, uintptr_t entry, size_t *at)
{
	uintptr_t found;

	for (size_t i = start(table, entry & ~LOW); (found = slot(table, i)) != FREE; i++) {
		if (found == entry) {
			*at = i;
			return true;
		}
	}
	return false;
}

static void
insert(struct Table *table, uintptr_t entry)
{
	size_t i = start(table, entry & ~LOW);

	while (slot(table, i) != FREE && slot(table, i) != GONE)
		i++;
	table->gone -= slot(table, i) == GONE;
	table->live++;
	set_slot(table, i, entry);
}

/* ---- New tables ---- */

static struct Table *
make(unsigned bits)
{
	struct Table *table = malloc(sizeof *table);

	if (!table)
		return NULL;
	*table = (struct Table){.bits = bits, .slots = calloc((size_t) 1 << bits, sizeof *table->slots)};
	if (table->slots)
		return table;
	free(table);
	return NULL;
}

/* The entries of the current table in another one, which becomes the current one. */
static void
move(struct Table *from, struct Table *to)
{
	for (size_t i = 0; i <= mask(from); i++)
		if (slot(from, i) != FREE && slot(from, i) != GONE)
			insert(to, slot(from, i));
	atomic_store_explicit(&current, to, memory_order_release);
}

/*
 * A table of the same size without what has gone. The spare one was the current one before, and who reads it still
 * sees that it is being written: `renewed` changes first (I1).
 */
static void
renew(struct Table *old)
{
	struct Table *table = old->spare;

	atomic_fetch_add(&renewed, 1);
	for (size_t i = 0; i <= mask(table); i++)
		set_slot(table, i, FREE);
	table->live = table->gone = 0;
	table->spare = old;
	table->older = old->older;
	move(old, table);
}

/* I2. The lock is held. */
static int
room(void)
{
	struct Table *old = atomic_load_explicit(&current, memory_order_relaxed), *table;
	size_t half = mask(old) / 2;
	bool larger = old->live > half / 2;

	if (old->live + old->gone < half)
		return 0;
	if (!larger && old->spare) {
		renew(old);
		return 0;
	}
	table = make(old->bits + larger);
	if (!table)
		return error_set(LFI_ERR_NOMEM, "no memory for another handle");
	if (larger) {
		table->older = old;
	} else {
		table->spare = old;
		table->older = old->older;
	}
	move(old, table);
	return 0;
}

/* ---- For the modules ---- */

int
handle_add(const void *handle, enum HandleKind kind)
{
	int r;

	pthread_mutex_lock(&lock);
	r = room();
	if (r == 0)
		insert(atomic_load_explicit(&current, memory_order_relaxed), (uintptr_t) handle | (uintptr_t) kind);
	pthread_mutex_unlock(&lock);
	return r;
}

bool
handle_drop(const void *handle, enum HandleKind kind)
{
	struct Table *table;
	bool found;
	size_t i;

	pthread_mutex_lock(&lock);
	table = atomic_load_explicit(&current, memory_order_relaxed);
	found = find(table, (uintptr_t) handle | (uintptr_t) kind, &i);
	if (found) {
		set_slot(table, i, GONE);
		table->live--;
		table->gone++;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

bool
handle_is(const void *handle, enum HandleKind kind)
{
	uintptr_t entry = (uintptr_t) handle | (uintptr_t) kind;
	uint64_t before;
	size_t i;

	if (!handle || ((uintptr_t) handle & LOW))
		return false;
	do {
		before = atomic_load_explicit(&renewed, memory_order_acquire);
		if (find(atomic_load_explicit(&current, memory_order_acquire), entry, &i))
			return true;
	} while (atomic_load_explicit(&renewed, memory_order_acquire) != before);
	return false;
}

/* What it is instead, when that is known. */
static int
refuse(const void *handle, enum HandleKind kind)
{
	const char *name = strchr(names[kind], ' ') + 1;

	if (!handle)
		return error_null(name);
	for (int other = 1; other < HANDLE_KINDS; other++)
		if (handle_is(handle, other))
			return error_set(LFI_ERR_INVALID, "%s %p: this is %s", name, handle, names[other]);
	return error_set(LFI_ERR_INVALID, "%s %p: this is no %s, or it was freed", name, handle, name);
}

int
handle_check(const void *handle, enum HandleKind kind)
{
	return handle_is(handle, kind) ? 0 : refuse(handle, kind);
}

bool
handle_given(const void *handle, enum HandleKind kind)
{
	return handle && handle_check(handle, kind) == 0;
}

void
handles_fork(enum ForkStep step)
{
	fork_lock(&lock, step);
}
