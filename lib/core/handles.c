/* SPDX-License-Identifier: MIT */
/*
 * The set of public handles that are alive, so that NULL, a freed handle, and one of another kind are errors instead
 * of crashes: what a handle leads to is not read to find that out. A handle whose memory a newer object of the same
 * kind has got is that object. A hash table with open addressing. Trusted.
 *
 *   I1  An entry that is there is found, also while others come and go: readers take no lock, for they may be signal
 *       handlers. So an entry never moves within a table, and what was free when it came is not free before it goes.
 *       A table that became too small stays as it was, for readers that are in it.
 *   I2  A table has free slots, so that a search ends.                                       room
 */
#include "handles.h"

#include <lfi/lfi_core.h>
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
	struct Table *older; /* never freed: together they are smaller than this one */
	_Atomic uintptr_t *slots;
};

static _Atomic uintptr_t first_slots[(size_t) 1 << FIRST_BITS];
static struct Table first = {.bits = FIRST_BITS, .slots = first_slots};
static _Atomic(struct Table *) current = &first;
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
	return atomic_load_explicit(&table->slots[i & mask(table)], memory_order_relaxed);
}

static void
set_slot(struct Table *table, size_t i, uintptr_t entry)
{
	atomic_store_explicit(&table->slots[i & mask(table)], entry, memory_order_relaxed);
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

/* I1: when no search goes on behind the slot, it is free, and so are those before it that wait for that. */
static void
clear(struct Table *table, size_t i)
{
	table->live--;
	table->gone++;
	set_slot(table, i, GONE);
	if (slot(table, i + 1) != FREE)
		return;
	for (; slot(table, i) == GONE; i--) {
		table->gone--;
		set_slot(table, i, FREE);
	}
}

/* ---- Growth ---- */

static int
grow(struct Table *old)
{
	struct Table *table = malloc(sizeof *table);

	if (!table)
		return error_set(LFI_ERR_NOMEM, "no memory for another handle");
	*table = (struct Table){.bits = old->bits + 1, .older = old};
	table->slots = calloc((size_t) 1 << table->bits, sizeof *table->slots);
	if (!table->slots) {
		free(table);
		return error_set(LFI_ERR_NOMEM, "no memory for another handle");
	}
	for (size_t i = 0; i <= mask(old); i++)
		if (slot(old, i) != FREE && slot(old, i) != GONE)
			insert(table, slot(old, i));
	atomic_store_explicit(&current, table, memory_order_release);
	return 0;
}

/* I2: half of the slots are free. The lock is held. */
static int
room(void)
{
	struct Table *table = atomic_load_explicit(&current, memory_order_relaxed);

	return table->live + table->gone <= mask(table) / 2 ? 0 : grow(table);
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
	if (found)
		clear(table, i);
	pthread_mutex_unlock(&lock);
	return found;
}

bool
handle_is(const void *handle, enum HandleKind kind)
{
	uintptr_t address = (uintptr_t) handle;
	size_t i;

	return address && !(address & LOW) &&
	       find(atomic_load_explicit(&current, memory_order_acquire), address | (uintptr_t) kind, &i);
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
