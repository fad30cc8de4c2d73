//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Code that was accepted before, with a copy of its bytes; see cache.h. Called by box.c with the box's lock held, by
 * several threads at once for different boxes. Trusted: what is found here is not verified again.
 *
 *   I1  A verdict depends on the bytes, their number, the offset from the base and the options, on nothing else: not on
 *       the base, the box or the processor (lfi_verify.h). So it holds wherever all of those are equal. What depends on
 *       the box or the processor (facts: code, cpu) is given back and checked for each load by the caller.  same
 *   I2  Found means that every byte is equal to a copy in host memory, which was made of accepted bytes and is not
 *       written afterwards. No hash is trusted: it only chooses what to compare.                            cache_find
 *   I3  The caller's bytes cannot change between the comparison and their execution, as for lfi_verify (stage in
 *       box.c).
 *   I4  A copy is not freed while it is compared (refs).
 *   I5  At most `room` bytes and CACHE_REGIONS regions are kept, the least recently used go first; what a sandbox can
 *       do is to make others be verified again (make_room).
 */
#include "cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct CachedCode {
	struct CachedCode *newer, *older;
	unsigned refs; /* the list's, and who compares */
	uint64_t hash;
	struct CodeKey key; /* key.code are the bytes below */
	struct CodeFacts facts;
	uint8_t bytes[];
};

/* 8 bytes of each 64. Whoever makes two regions collide has them verified. */
static uint64_t
hash(const uint8_t *code, size_t size)
{
	uint64_t h = 0, word;

	for (size_t i = 0; i + sizeof word <= size; i += 64) {
		memcpy(&word, code + i, sizeof word);
		h = (h ^ word) * 0x9e3779b97f4a7c15u; /* 2^64 over the golden ratio */
		h ^= h >> 32;
	}
	return h;
}

/* ---- The list. The lock is held. ---- */

static void
unlink_code(struct CodeCache *cache, struct CachedCode *code)
{
	assert(!code->newer == (cache->newest == code) && !code->older == (cache->oldest == code));
	if (code->newer)
		code->newer->older = code->older;
	else
		cache->newest = code->older;
	if (code->older)
		code->older->newer = code->newer;
	else
		cache->oldest = code->newer;
}

static void
link_newest(struct CodeCache *cache, struct CachedCode *code)
{
	code->newer = NULL;
	code->older = cache->newest;
	if (cache->newest)
		cache->newest->newer = code;
	else
		cache->oldest = code;
	cache->newest = code;
}

/* I4. */
static void
drop(struct CachedCode *code)
{
	if (--code->refs == 0)
		free(code);
}

static void
forget(struct CodeCache *cache, struct CachedCode *code)
{
	unlink_code(cache, code);
	cache->bytes -= code->key.size;
	cache->regions--;
	drop(code);
}

static_assert(sizeof(struct LFIVerifyOptions) == 32, "a new option belongs in same");

/* I1, but for the bytes. */
static bool
same(const struct CodeKey *a, const struct CodeKey *b)
{
	return a->size == b->size && a->offset == b->offset && a->how.policy == b->how.policy &&
	       a->how.bundle == b->how.bundle && a->how.single_thread == b->how.single_thread &&
	       a->how.no_rdtsc == b->how.no_rdtsc;
}

static struct CachedCode *
look_up(const struct CodeCache *cache, const struct CodeKey *key, uint64_t h)
{
	for (struct CachedCode *code = cache->newest; code; code = code->older)
		if (code->hash == h && same(&code->key, key))
			return code;
	return NULL;
}

/* I5. */
static void
make_room(struct CodeCache *cache, size_t size)
{
	while (cache->oldest && (cache->room - cache->bytes < size || cache->regions == CACHE_REGIONS)) {
		forget(cache, cache->oldest);
		cache->evicted++;
	}
}

/* ---- From outside ---- */

void
cache_init(struct CodeCache *cache, size_t room)
{
	*cache = (struct CodeCache){.room = room};
	pthread_mutex_init(&cache->lock, NULL);
}

void
cache_free(struct CodeCache *cache)
{
	while (cache->newest)
		forget(cache, cache->newest);
	pthread_mutex_destroy(&cache->lock);
}

bool
cache_find(struct CodeCache *cache, const struct CodeKey *key, struct CodeFacts *facts)
{
	struct CachedCode *code;
	bool found = false;
	uint64_t h;

	if (cache->room == 0)
		return false;
	h = hash(key->code, key->size);
	pthread_mutex_lock(&cache->lock);
	code = look_up(cache, key, h);
	if (code) {
		unlink_code(cache, code);
		link_newest(cache, code);
		code->refs++;
	}
	pthread_mutex_unlock(&cache->lock);
	if (code) {
		found = memcmp(code->bytes, key->code, key->size) == 0; /* I2; outside the lock: it may be long */
		*facts = code->facts;
	}
	pthread_mutex_lock(&cache->lock);
	cache->hits += found;
	cache->misses += !found;
	if (code)
		drop(code);
	pthread_mutex_unlock(&cache->lock);
	return found;
}

void
cache_add(struct CodeCache *cache, const struct CodeKey *key, const struct CodeFacts *facts)
{
	struct CachedCode *code, *old;

	if (key->size > cache->room)
		return;
	code = malloc(sizeof *code + key->size);
	if (!code)
		return;
	*code = (struct CachedCode){.refs = 1, .key = *key, .facts = *facts};
	memcpy(code->bytes, key->code, key->size);
	memset(code->bytes + facts->traps_from, 0, key->size - facts->traps_from);
	code->key.code = code->bytes;
	code->hash = hash(code->bytes, key->size);
	pthread_mutex_lock(&cache->lock);
	/* Another thread may have been as far, or there is one that looks alike and is not. */
	old = look_up(cache, &code->key, code->hash);
	if (old)
		forget(cache, old);
	make_room(cache, key->size);
	link_newest(cache, code);
	cache->bytes += key->size;
	cache->regions++;
	pthread_mutex_unlock(&cache->lock);
}
