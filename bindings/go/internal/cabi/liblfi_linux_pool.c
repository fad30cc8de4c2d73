//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Pools: processes made ahead from one snapshot. Trusted.
 *
 *   I1  A process is taken by one caller at a time, and reset between two: a slot goes FREE, TAKEN, RESETTING, FREE.
 *   I2  What lfi_pool_give is handed is looked up, not looked into: it may be anything.
 *   I3  In a child of fork(2) a process that another thread was giving back is taken still.        after_fork
 */
#include <stdlib.h>

#include "error.h"
#include "linux.h"

/* Sandboxes that 57 bits of addresses have room for, and more. */
#define POOL_MAX ((size_t) 1 << 25)

enum SlotState { SLOT_FREE, SLOT_TAKEN, SLOT_RESETTING };

struct Slot {
	struct LFILinuxProc *proc;
	_Atomic int state;
};

struct LFIPool {
	pthread_mutex_t lock; /* free, nfree */
	size_t n;
	struct Slot *slots; /* ordered by the process's address */
	size_t *free;       /* stack of slots */
	size_t nfree;
	struct ForkLock fork;
};

static int
by_address(const void *a, const void *b)
{
	const struct Slot *x = a, *y = b;

	return (x->proc > y->proc) - (x->proc < y->proc);
}

static void
destroy(struct LFIPool *pool)
{
	for (size_t i = 0; i < pool->n; i++)
		proc_free(pool->slots[i].proc);
	pthread_mutex_destroy(&pool->lock);
	free(pool->slots);
	free(pool->free);
	free(pool);
}

static struct LFIPool *
allocate(size_t n)
{
	struct LFIPool *pool = calloc(1, sizeof *pool);

	if (!pool)
		return NULL;
	pool->slots = calloc(n, sizeof *pool->slots);
	pool->free = calloc(n, sizeof *pool->free);
	pthread_mutex_init(&pool->lock, NULL);
	if (pool->slots && pool->free)
		return pool;
	destroy(pool);
	return NULL;
}

/* What was given back last is taken first: its memory is warm. */
static void
push(struct LFIPool *pool, struct Slot *slot)
{
	pthread_mutex_lock(&pool->lock);
	atomic_store(&slot->proc->given, true);
	atomic_store(&slot->state, SLOT_FREE);
	pool->free[pool->nfree++] = (size_t) (slot - pool->slots);
	pthread_mutex_unlock(&pool->lock);
}

/* In a child of fork(2): what another thread was resetting is reset by nobody any more. */
static void
after_fork(void *owner)
{
	struct LFIPool *pool = owner;

	for (size_t i = 0; i < pool->n; i++)
		if (atomic_load(&pool->slots[i].state) == SLOT_RESETTING)
			atomic_store(&pool->slots[i].state, SLOT_TAKEN);
}

struct LFIPool *
lfi_pool_new(struct LFISnapshot *snapshot, size_t n)
{
	struct LFIPool *pool;

	if (handle_check(snapshot, HANDLE_SNAPSHOT) < 0)
		return NULL;
	if (n == 0) {
		error_set(LFI_ERR_INVALID, "a pool of 0 processes");
		return NULL;
	}
	if (n > POOL_MAX) {
		error_set(LFI_ERR_NOSPACE, "a pool of %zu processes: no address space has room for them", n);
		return NULL;
	}
	pool = allocate(n);
	if (!pool) {
		error_set(LFI_ERR_NOMEM, "no memory for a pool of %zu processes", n);
		return NULL;
	}
	for (; pool->n < n; pool->n++) {
		struct LFILinuxProc *proc = lfi_snapshot_clone(snapshot);

		if (!proc) {
			destroy(pool);
			return NULL;
		}
		proc->pool = pool;
		pool->slots[pool->n].proc = proc;
	}
	pool->fork = (struct ForkLock){.lock = &pool->lock, .child = after_fork, .owner = pool};
	qsort(pool->slots, n, sizeof *pool->slots, by_address);
	for (size_t i = n; i > 0; i--)
		push(pool, &pool->slots[i - 1]);
	if (handle_add(pool, HANDLE_POOL) < 0) {
		destroy(pool);
		return NULL;
	}
	fork_add_lock(&pool->fork);
	return pool;
}

struct LFILinuxProc *
lfi_pool_take(struct LFIPool *pool)
{
	struct LFILinuxProc *proc = NULL;

	if (handle_check(pool, HANDLE_POOL) < 0)
		return NULL;
	pthread_mutex_lock(&pool->lock);
	if (pool->nfree > 0) {
		struct Slot *slot = &pool->slots[pool->free[--pool->nfree]];

		atomic_store(&slot->state, SLOT_TAKEN);
		proc = slot->proc;
		atomic_store(&proc->given, false);
	}
	pthread_mutex_unlock(&pool->lock);
	if (!proc)
		error_set(LFI_ERR_LIMIT, "all %zu processes of the pool are taken", pool->n);
	return proc;
}

int
lfi_pool_give(struct LFIPool *pool, struct LFILinuxProc *proc)
{
	struct Slot key = {.proc = proc}, *slot;
	int taken = SLOT_TAKEN;

	if (handle_check(pool, HANDLE_POOL) < 0 || handle_check(proc, HANDLE_PROC) < 0)
		return -1;
	slot = bsearch(&key, pool->slots, pool->n, sizeof *pool->slots, by_address);
	if (!slot)
		return error_set(LFI_ERR_INVALID, "process %p is none of this pool's", (void *) proc);
	if (!atomic_compare_exchange_strong(&slot->state, &taken, SLOT_RESETTING))
		return error_set(LFI_ERR_INVALID, "process %p is not taken: it was given back already", (void *) proc);
	if (proc_reset(proc) < 0) {
		atomic_store(&slot->state, SLOT_TAKEN);
		return -1;
	}
	push(pool, slot);
	return 0;
}

static void
retire(struct LFIPool *pool)
{
	if (!handle_drop(pool, HANDLE_POOL))
		return;
	fork_remove_lock(&pool->fork);
	destroy(pool);
}

void
lfi_pool_free(struct LFIPool *pool)
{
	size_t nfree;

	if (!handle_given(pool, HANDLE_POOL))
		return;
	pthread_mutex_lock(&pool->lock);
	nfree = pool->nfree;
	pthread_mutex_unlock(&pool->lock);
	if (nfree < pool->n)
		error_set(LFI_ERR_BUSY, "%zu processes of the pool have not been given back", pool->n - nfree);
	else
		retire(pool);
}
