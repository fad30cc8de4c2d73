//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * What a box has used, and what an engine's cache of verified code did. Nothing here is on a fast path: counters are
 * kept by the threads that count, each in its context, and added up when somebody asks. Trusted.
 */
#include "box.h"
#include "error.h"
#include "options.h"
#include "os.h"

void
box_counts_add(struct BoxCounts *counts, struct LFIContext *ctx)
{
	counts->calls += atomic_load_explicit(&ctx->calls, memory_order_relaxed);
	counts->runtime_calls += atomic_load_explicit(&ctx->runtime_calls, memory_order_relaxed);
}

/* The lock is held. */
static uint64_t
resident(struct LFIBox *box)
{
	uint64_t bytes = 0;
	int map = os_pagemap_open();

	for (size_t i = 0; i < box->pages.count; i++) {
		const struct PageRun *run = &box->pages.runs[i];

		bytes += os_resident(
		    map, run->start, run->end - run->start, run->flags == (LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS));
	}
	os_pagemap_close(map);
	return bytes;
}

int
lfi_box_stats_sized(struct LFIBox *box, struct LFIBoxStats *out, size_t size)
{
	struct LFIBoxStats stats = {0};
	struct BoxCounts counts;

	if (handle_check(box, HANDLE_BOX) < 0)
		return -1;
	pthread_mutex_lock(&box->lock);
	counts = box->gone;
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next)
		box_counts_add(&counts, ctx);
	stats.mapped = box->pages.bytes;
	stats.mapped_peak = box->pages.peak;
	stats.resident = resident(box);
	stats.contexts = box->ncontexts;
	pthread_mutex_unlock(&box->lock);
	stats.calls = counts.calls;
	stats.runtime_calls = counts.runtime_calls;
	stats.faults = atomic_load(&box->faults);
	stats.cpu_ns = box_cpu_used(box);
	return options_give(out, size, &stats, sizeof stats);
}

int
lfi_cache_stats_sized(struct LFIEngine *engine, struct LFICacheStats *out, size_t size)
{
	struct LFICacheStats stats;

	if (handle_check(engine, HANDLE_ENGINE) < 0)
		return -1;
	pthread_mutex_lock(&engine->cache.lock);
	stats = (struct LFICacheStats){
	    .hits = engine->cache.hits,
	    .misses = engine->cache.misses,
	    .evicted = engine->cache.evicted,
	    .regions = engine->cache.regions,
	    .bytes = engine->cache.bytes,
	};
	pthread_mutex_unlock(&engine->cache.lock);
	return options_give(out, size, &stats, sizeof stats);
}
