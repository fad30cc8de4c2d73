//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Contexts that the clone callback made for a host thread are handed to the release callback when that thread ends.
 * Trusted.
 *
 *   I1  A context that is in a thread's list exists: lfi_ctx_free takes it out first. A thread's list ends before the
 *       thread does, and in a child of fork(2) those of other threads are gone (release_after_fork).
 *   I2  While a release callback runs for a context of a box, the box and what is in it exist: box_release_close waits
 *       for it, and lets no other begin.
 *   I3  The lock is held for moments, and no other lock is taken with it held.
 */
#include <pthread.h>

#include "box.h"
#include "error.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* lists of all threads, `releasing` and `kept` of all boxes */
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

/* ---- Lists ---- */

static void
take_out(struct LFIContext *ctx)
{
	if (!ctx->made_link)
		return;
	*ctx->made_link = ctx->made_next;
	if (ctx->made_next)
		ctx->made_next->made_link = ctx->made_link;
	ctx->made_link = NULL;
	ctx->maker = 0;
}

static void
put_in(struct LFIContext *ctx)
{
	ctx->maker = thread_id();
	ctx->made_next = thread_self.made;
	ctx->made_link = &thread_self.made;
	if (ctx->made_next)
		ctx->made_next->made_link = &ctx->made_next;
	thread_self.made = ctx;
}

void
release_forget(struct LFIContext *ctx)
{
	pthread_mutex_lock(&lock);
	take_out(ctx);
	pthread_mutex_unlock(&lock);
}

/* ---- The end of a thread ---- */

/*
 * Not one that somebody is in: it stays until its box goes, as all do where there is no callback. Nor any when the
 * thread ends in the middle of an entry, whose frames are on the stack no more: it could not enter again.
 */
static LFIReleaseFn
release_of(struct LFIContext *ctx)
{
	if (ctx->box->kept || thread_self.cur || ctx_entered(ctx))
		return NULL;
	return atomic_load(&ctx->box->engine->release_cb);
}

/* The next context of the calling thread that is to be released, out of the list and with its box held. Or NULL. */
static struct LFIContext *
next(LFIReleaseFn *release)
{
	struct LFIContext *ctx;

	pthread_mutex_lock(&lock);
	while ((ctx = thread_self.made)) {
		take_out(ctx);
		*release = release_of(ctx);
		if (!*release)
			continue;
		ctx->box->releasing++;
		thread_self.releasing = ctx->box;
		break;
	}
	pthread_mutex_unlock(&lock);
	return ctx;
}

static void
done(void)
{
	pthread_mutex_lock(&lock);
	thread_self.releasing->releasing--;
	thread_self.releasing = NULL;
	pthread_cond_broadcast(&released);
	pthread_mutex_unlock(&lock);
}

static void
thread_ends(void *self)
{
	LFIReleaseFn release = NULL;
	struct LFIContext *ctx;

	(void) self;
	while ((ctx = next(&release))) {
		release(ctx);
		done();
	}
}

static void
make_key(void)
{
	key_error = pthread_key_create(&key, thread_ends);
}

/* Without a key the context stays until its box goes. */
void
release_track(struct LFIContext *ctx)
{
	pthread_once(&key_once, make_key);
	if (key_error || pthread_setspecific(key, &thread_self) != 0)
		return;
	pthread_mutex_lock(&lock);
	take_out(ctx);
	put_in(ctx);
	pthread_mutex_unlock(&lock);
}

void
lfi_set_release_cb(struct LFIEngine *engine, LFIReleaseFn release)
{
	if (handle_check(engine, HANDLE_ENGINE) == 0)
		atomic_store(&engine->release_cb, release);
}

/* ---- Boxes that are going to be freed ---- */

int
box_release_close(struct LFIBox *box)
{
	bool self;

	pthread_mutex_lock(&lock);
	self = thread_self.releasing == box;
	while (!self && box->releasing > 0)
		pthread_cond_wait(&released, &lock);
	if (!self)
		box->kept = true;
	pthread_mutex_unlock(&lock);
	return self ? error_set(LFI_ERR_BUSY, "a release callback cannot free the sandbox of its context") : 0;
}

void
box_release_open(struct LFIBox *box)
{
	pthread_mutex_lock(&lock);
	box->kept = false;
	pthread_mutex_unlock(&lock);
}

/* ---- fork(2) ---- */

/* In the child the list is made anew, by release_after_fork, of contexts whose boxes are there. */
void
release_fork(enum ForkStep step)
{
	if (step == FORK_CHILD) {
		thread_self.made = NULL;
		pthread_cond_init(&released, NULL);
	}
	fork_lock(&lock, step);
}

void
release_after_fork(struct LFIBox *box)
{
	box->kept = false;
	box->releasing = thread_self.releasing == box;
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next) {
		bool ours = ctx->maker == thread_id();

		ctx->made_link = NULL;
		ctx->maker = 0;
		if (ours)
			put_in(ctx);
	}
}
