/* SPDX-License-Identifier: MIT */
/*
 * Code that was accepted before: an engine remembers the last regions that verified, so that a program that is loaded
 * again is compared instead. Used by box.c. Trusted: see cache.c.
 */
#ifndef CORE_CACHE_H
#define CORE_CACHE_H

#include "lfi_verify.h"
#include <pthread.h>

/* Regions at most, however small they are. */
#define CACHE_REGIONS 256

struct CachedCode;

struct CodeCache {
	pthread_mutex_t lock; /* taken last */
	size_t room;          /* bytes of code that are kept at most; 0: none */
	size_t bytes, regions;
	struct CachedCode *newest, *oldest; /* by their last use */
	uint64_t hits, misses, evicted;
};

/* All that a verdict rests on: `size` bytes that nobody can write, and what lfi_verify is told. */
struct CodeKey {
	struct LFIVerifyOptions how;
	uint64_t offset;
	const uint8_t *code;
	size_t size;
};

/* What is known of code that was accepted. */
struct CodeFacts {
	uint32_t code;
	uint64_t cpu;
	size_t traps_from; /* the bytes from here on were zero and became traps before it was accepted; or the size */
};

void cache_init(struct CodeCache *cache, size_t room);
void cache_free(struct CodeCache *cache);

/* Whether the same was accepted before. */
bool cache_find(struct CodeCache *cache, const struct CodeKey *key, struct CodeFacts *facts);

/* The code of `key`, which has traps from facts->traps_from on, was accepted. No memory: nothing is remembered. */
void cache_add(struct CodeCache *cache, const struct CodeKey *key, const struct CodeFacts *facts);

#endif
