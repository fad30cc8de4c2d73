//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Engines: options, the address space, the runtime-call table, the handlers.
 * Trusted.
 */
#include <errno.h>
#include <stdlib.h>

#include "box.h"
#include "error.h"
#include "options.h"
#include "os.h"

/* Bytes of verified code that an engine remembers when nothing else is said. */
#define CACHE_DEFAULT ((size_t) 32 << 20)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool have_barrier;
static int fork_error;

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct LFIEngine *engines;

static void
init(void)
{
	arch_init();
	fork_error = os_fork_init();
	have_barrier = os_barrier_init();
	os_spare_init();
}

/* The caller's options with defaults filled in. */
static int
take_options(struct LFIOptions *opts, const struct LFIOptions *given, size_t size)
{
	size_t pagesize = os_pagesize();

	if (options_take(opts, sizeof *opts, given, size, "struct LFIOptions") < 0)
		return -1;
	if (opts->boxsize != 0 && opts->boxsize != BOX_SIZE)
		return error_set(LFI_ERR_INVALID, "boxsize is %zu: only 4 GiB (%llu) is supported", opts->boxsize,
		    (unsigned long long) BOX_SIZE);
	if (opts->pagesize != 0 && opts->pagesize != pagesize)
		return error_set(
		    LFI_ERR_INVALID, "pagesize is %zu: this machine has pages of %zu", opts->pagesize, pagesize);
	if (opts->bundle != 0 && opts->bundle != 16 && opts->bundle != 32)
		return error_set(LFI_ERR_INVALID, "bundle is %u: 16 and 32 are supported", opts->bundle);
	if (opts->stores_only && opts->jumps_only)
		return error_set(LFI_ERR_INVALID, "stores_only and jumps_only exclude each other");
	opts->boxsize = BOX_SIZE;
	opts->pagesize = pagesize;
	opts->bundle = opts->bundle ? opts->bundle : 32;
	opts->verify_cache = opts->verify_cache == LFI_CACHE_NONE ? 0
			     : opts->verify_cache                 ? opts->verify_cache
								  : CACHE_DEFAULT;
	opts->verbose = opts->verbose || log_env_verbose();
	return 0;
}

static void
enlist(struct LFIEngine *engine)
{
	pthread_mutex_lock(&list_lock);
	engine->next = engines;
	engine->link = &engines;
	if (engine->next)
		engine->next->link = &engine->next;
	engines = engine;
	pthread_mutex_unlock(&list_lock);
}

static void
delist(struct LFIEngine *engine)
{
	pthread_mutex_lock(&list_lock);
	*engine->link = engine->next;
	if (engine->next)
		engine->next->link = engine->link;
	pthread_mutex_unlock(&list_lock);
}

struct LFIEngine *
lfi_new_sized(const struct LFIOptions *given, size_t size, size_t nsandboxes)
{
	struct LFIOptions opts;
	struct LFIEngine *engine;

	if (take_options(&opts, given, size) < 0)
		return NULL;
	if (nsandboxes == 0) {
		error_set(LFI_ERR_INVALID, "an engine needs room for at least 1 sandbox");
		return NULL;
	}
	pthread_once(&once, init);
	if (!have_barrier) {
		error_set(LFI_ERR_UNSUPPORTED, "the kernel has no membarrier(2) (Linux 4.14), or forbids it");
		return NULL;
	}
	engine = fork_error ? NULL : calloc(1, sizeof *engine);
	if (!engine) {
		error_set(LFI_ERR_NOMEM, "no memory for an engine");
		return NULL;
	}
	engine->opts = opts;
	engine->assumed_code = opts.no_verify ? arch_code_flags() : 0;
	pthread_mutex_init(&engine->lock, NULL);
	if (boxmap_init(&engine->map, nsandboxes) < 0)
		goto free_engine;
	if (arch_stubs_make(&engine->stubs, opts.pagesize) < 0)
		goto destroy_map;
	if (os_signals_take() < 0)
		goto free_stubs;
	os_stack_size(0); /* the first call */
	slabs_init(&engine->slabs, opts.pagesize);
	cache_init(&engine->cache, opts.verify_cache);
	if (handle_add(engine, HANDLE_ENGINE) < 0)
		goto destroy_slabs;
	enlist(engine);
	if (opts.verbose)
		log_line("engine: room for %zu sandboxes at %#llx", nsandboxes,
		    (unsigned long long) engine->map.chunks[0].first);
	return engine;

destroy_slabs:
	cache_free(&engine->cache);
	slabs_destroy(&engine->slabs);
	os_signals_give();
free_stubs:
	arch_stubs_free(&engine->stubs);
destroy_map:
	boxmap_destroy(&engine->map);
free_engine:
	pthread_mutex_destroy(&engine->lock);
	free(engine);
	return NULL;
}

void
lfi_free(struct LFIEngine *engine)
{
	size_t nboxes;

	if (!handle_given(engine, HANDLE_ENGINE))
		return;
	pthread_mutex_lock(&engine->lock);
	nboxes = engine->nboxes;
	pthread_mutex_unlock(&engine->lock);
	if (nboxes > 0) {
		error_set(LFI_ERR_BUSY, "%zu sandboxes of the engine have not been freed", nboxes);
		return;
	}
	if (!handle_drop(engine, HANDLE_ENGINE))
		return;
	delist(engine);
	os_signals_give();
	slabs_destroy(&engine->slabs);
	cache_free(&engine->cache);
	arch_stubs_free(&engine->stubs);
	boxmap_destroy(&engine->map);
	pthread_mutex_destroy(&engine->lock);
	free(engine);
}

/* A list is given back after what is in it: it may change at once. */
static void
boxes_fork(struct LFIEngine *engine, enum ForkStep step)
{
	size_t nboxes = 0;

	if (step == FORK_PREPARE)
		fork_lock(&engine->lock, step);
	for (struct LFIBox *box = engine->boxes; box; box = box->next) {
		fork_lock(&box->lock, step);
		if (step == FORK_CHILD)
			box_after_fork(box);
		nboxes++;
	}
	fork_lock(&engine->slabs.lock, step);
	fork_lock(&engine->cache.lock, step);
	/* A box that another thread was making or freeing is nobody's now. Its place is lost to the child. */
	if (step == FORK_CHILD)
		engine->nboxes = nboxes;
	if (step != FORK_PREPARE)
		fork_lock(&engine->lock, step);
}

void
engines_fork(enum ForkStep step)
{
	if (step == FORK_PREPARE)
		fork_lock(&list_lock, step);
	for (struct LFIEngine *engine = engines; engine; engine = engine->next)
		boxes_fork(engine, step);
	if (step != FORK_PREPARE)
		fork_lock(&list_lock, step);
}

void
lfi_sys_handler(struct LFIEngine *engine, LFISysHandler handler)
{
	if (handle_check(engine, HANDLE_ENGINE) == 0)
		atomic_store(&engine->handler, handler);
}

void
lfi_set_clone_cb(struct LFIEngine *engine, LFICloneFn clone_cb)
{
	if (handle_check(engine, HANDLE_ENGINE) == 0)
		atomic_store(&engine->clone_cb, clone_cb);
}

void
engine_set_user(struct LFIEngine *engine, void *user)
{
	engine->user = user;
}

void *
engine_user(struct LFIEngine *engine)
{
	return engine->user;
}
