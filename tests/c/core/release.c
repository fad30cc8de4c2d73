/* SPDX-License-Identifier: MIT */
/* What becomes of contexts that were made for host threads when those end. */
#include "core_test.h"
#include "sanitizers.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "box.h"

static struct Fixture f;
static lfiptr add, apply;
static atomic_int made, released;

static struct LFIContext *
make(struct LFIBox *box)
{
	lfiptr stack = map(box, PAGE);
	struct LFIContext *ctx = lfi_ctx_new(box, (void *) stack);

	assert_non_null(ctx);
	lfi_ctx_regs(ctx)->sp = stack + PAGE;
	made++;
	return ctx;
}

/* Calls into the sandbox once more, as a C library's end of a thread would. */
static void
release(struct LFIContext *ctx)
{
	lfiptr stack = (lfiptr) lfi_ctx_data(ctx);

	assert_int_equal(LFI_INVOKE(f.box, &ctx, add, int, (int, int), 3, 4), 7);
	lfi_ctx_free(ctx);
	assert_done(lfi_box_munmap(f.box, stack, PAGE));
	released++;
}

static void
open_box(LFIReleaseFn release_cb)
{
	f = fixture((struct LFIOptions) {.boxsize = 0});
	lfi_set_clone_cb(f.engine, make);
	lfi_set_release_cb(f.engine, release_cb);
	add = LOAD(f.box, code_add);
	apply = LOAD(f.box, code_apply);
	made = released = 0;
}

static void
in_a_thread(void *(*fn)(void *))
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, fn, NULL), 0);
	pthread_join(thread, NULL);
}

static void *
call_once(void *arg)
{
	static _Thread_local struct LFIContext *ctx;

	assert_int_equal(LFI_INVOKE(f.box, &ctx, add, int, (int, int), 40, 2), 42);
	return arg;
}

static int
contexts(void)
{
	int n = 0;

	for (struct LFIContext *ctx = f.box->contexts; ctx; ctx = ctx->next)
		n++;
	return n;
}

static int
mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	int n = 0;

	for (int c; (c = getc(maps)) != EOF;)
		n += c == '\n';
	fclose(maps);
	return n;
}

static void
a_thousand_threads_leave_nothing(void **state)
{
	int before;

	open_box(release);
	for (int i = 0; i < 8; i++)
		in_a_thread(call_once);
	before = mappings();
	for (int i = 0; i < 1000; i++)
		in_a_thread(call_once);
	if (THREAD_SANITIZER)
		print_message("skipped in part: ThreadSanitizer maps memory of its own\n");
	else
		assert_in_range(mappings(), 1, before + 4); /* malloc's own */
	assert_int_equal(contexts(), 1);
	assert_int_equal(made, 1008);
	assert_int_equal(released, 1008);
	drop(&f);
}

static void *
call_in_two_boxes(void *arg)
{
	struct LFIContext *first = NULL, *second = NULL, *other = NULL;
	struct LFIFn *fn = lfi_fn_new(f.box, add, "i(ii)");
	union LFIValue args[2] = {{.i = 1}, {.i = 2}}, ret;
	struct LFIBox *box = lfi_box_new(f.engine);

	LFI_INVOKE(f.box, &first, add, int, (int, int), 1, 2);
	LFI_INVOKE(box, &other, add, int, (int, int), 1, 2); /* there is no code, but a context */
	assert_done(lfi_fn_call(fn, &second, args, &ret));
	assert_true(first && second && other && first != second);
	lfi_fn_free(fn);
	lfi_ctx_free(first);
	lfi_box_free(box);
	return arg;
}

static void
what_was_freed_before_is_not_released(void **state)
{
	open_box(release);
	in_a_thread(call_in_two_boxes);
	assert_int_equal(made, 3);
	assert_int_equal(released, 1);
	assert_int_equal(contexts(), 1);
	drop(&f);
}

static void
without_a_callback_contexts_are_freed_with_their_box(void **state)
{
	open_box(NULL);
	in_a_thread(call_once);
	in_a_thread(call_once);
	assert_int_equal(contexts(), 3);
	drop(&f);
	lfi_set_release_cb(NULL, release);
}

static struct LFIContext *shared;

static struct LFIContext *
give_shared(struct LFIBox *box)
{
	return shared;
}

static void *
get_shared_and_wait(void *arg)
{
	struct LFIContext *ctx = NULL;

	LFI_INVOKE(f.box, &ctx, add, int, (int, int), 1, 2);
	assert_ptr_equal(ctx, shared);
	if (arg)
		in_a_thread(get_shared_and_wait);
	assert_int_equal(released, arg ? 1 : 0);
	return NULL;
}

static void *
get_shared_first(void *arg)
{
	return get_shared_and_wait(&f);
}

static void
a_context_that_was_given_twice_is_released_by_the_second_thread(void **state)
{
	open_box(release);
	shared = make(f.box);
	lfi_set_clone_cb(f.engine, give_shared);
	in_a_thread(get_shared_first);
	assert_int_equal(released, 1);
	drop(&f);
}

/* ---- Contexts that somebody is in ---- */

static void *
make_shared(void *arg)
{
	shared = NULL;
	LFI_INVOKE(f.box, &shared, add, int, (int, int), 1, 2);
	return arg;
}

static sem_t ends;
static pthread_t maker;

static void *
make_and_wait(void *arg)
{
	make_shared(NULL);
	sem_post(arg);
	while (sem_wait(&ends) != 0)
		;
	return arg;
}

static int
let_the_maker_end(int x)
{
	sem_post(&ends);
	pthread_join(maker, NULL);
	return x;
}

static void
a_context_that_another_thread_is_in_is_left_alone(void **state)
{
	sem_t ready;
	void *cb;

	open_box(release);
	sem_init(&ready, 0, 0);
	sem_init(&ends, 0, 0);
	cb = lfi_box_register_cb(f.box, let_the_maker_end);
	pthread_create(&maker, NULL, make_and_wait, &ready);
	while (sem_wait(&ready) != 0)
		;
	assert_int_equal(LFI_INVOKE(f.box, &shared, apply, int, (void *, int), cb, 5), 5);
	assert_int_equal(released, 0);
	assert_int_equal(contexts(), 2);
	drop(&f);
}

static int
exit_here(int x)
{
	pthread_exit(NULL);
	return x;
}

static void *
end_in_a_callback(void *arg)
{
	struct LFIContext *outer = NULL;

	make_shared(NULL);
	LFI_INVOKE(f.box, &outer, apply, int, (void *, int), lfi_box_register_cb(f.box, exit_here), 5);
	return arg;
}

static void
a_thread_that_ends_in_a_callback_releases_nothing(void **state)
{
	open_box(release);
	in_a_thread(end_in_a_callback);
	assert_int_equal(made, 2);
	assert_int_equal(released, 0);
	/* The context stays entered, and so the box. */
	lfi_box_free(f.box);
	assert_error(LFI_ERR_BUSY);
}

/* ---- Boxes that are freed meanwhile ---- */

static sem_t begun;
static atomic_bool frees;

static void
release_late(struct LFIContext *ctx)
{
	sem_post(&begun);
	while (!frees)
		;
	/* Long enough for lfi_box_free to be done, were it not to wait. */
	usleep(20000);
	release(ctx);
}

static void
a_box_is_not_freed_under_a_release_callback(void **state)
{
	pthread_t thread;

	for (int i = 0; i < 5; i++) {
		open_box(release_late);
		sem_init(&begun, 0, 0);
		frees = false;
		pthread_create(&thread, NULL, call_once, NULL);
		while (sem_wait(&begun) != 0)
			;
		frees = true;
		lfi_box_free(f.box);
		assert_int_equal(released, 1);
		pthread_join(thread, NULL);
		lfi_free(f.engine);
	}
}

static void
release_by_freeing_the_box(struct LFIContext *ctx)
{
	lfi_box_free(f.box);
	assert_error(LFI_ERR_BUSY);
	release(ctx);
}

static void
a_release_callback_cannot_free_the_box(void **state)
{
	open_box(release_by_freeing_the_box);
	in_a_thread(call_once);
	assert_int_equal(released, 1);
	drop(&f);
}

static int
free_the_box(int x)
{
	lfi_box_free(f.box);
	return x;
}

static void
a_box_that_could_not_be_freed_still_releases(void **state)
{
	open_box(release);
	assert_int_equal(
	    LFI_INVOKE(f.box, &f.ctx, apply, int, (void *, int), lfi_box_register_cb(f.box, free_the_box), 5), 5);
	in_a_thread(call_once);
	assert_int_equal(released, 1);
	drop(&f);
}

static void
a_box_that_is_being_freed_releases_nothing(void **state)
{
	open_box(release);
	assert_done(box_release_close(f.box));
	assert_done(box_release_close(f.box));
	in_a_thread(call_once);
	assert_int_equal(released, 0);
	box_release_open(f.box);
	in_a_thread(call_once);
	assert_int_equal(released, 1);
	assert_int_equal(contexts(), 2);
	drop(&f);
}

/* ---- fork ---- */

static struct LFIContext *forkers, *others;
static bool others_forgotten;

/* In the child, when its only thread has ended. */
static void
child_leaves(void)
{
	bool ok = released == 1 && others_forgotten && contexts() == 2;

	lfi_error_clear();
	lfi_box_free(f.box);
	lfi_free(f.engine);
	_exit(ok && lfi_errno() == LFI_OK ? 42 : 1);
}

static void *
fork_and_end(void *arg)
{
	pid_t pid;
	int status;

	LFI_INVOKE(f.box, &forkers, add, int, (int, int), 1, 2);
	pid = fork();
	if (pid == 0) {
		others_forgotten = !others->made_link && others->maker == 0 && forkers->made_link;
		atexit(child_leaves);
		return arg;
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
	return arg;
}

static void
a_child_releases_what_was_made_for_the_thread_that_forked(void **state)
{
	sem_t ready;

	open_box(release);
	sem_init(&ready, 0, 0);
	sem_init(&ends, 0, 0);
	forkers = NULL;
	pthread_create(&maker, NULL, make_and_wait, &ready);
	while (sem_wait(&ready) != 0)
		;
	others = shared;
	in_a_thread(fork_and_end);
	assert_int_equal(released, 1);
	sem_post(&ends);
	pthread_join(maker, NULL);
	assert_int_equal(released, 2);
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thousand_threads_leave_nothing),
		cmocka_unit_test(what_was_freed_before_is_not_released),
		cmocka_unit_test(without_a_callback_contexts_are_freed_with_their_box),
		cmocka_unit_test(a_context_that_was_given_twice_is_released_by_the_second_thread),
		cmocka_unit_test(a_context_that_another_thread_is_in_is_left_alone),
		cmocka_unit_test(a_box_is_not_freed_under_a_release_callback),
		cmocka_unit_test(a_release_callback_cannot_free_the_box),
		cmocka_unit_test(a_box_that_could_not_be_freed_still_releases),
		cmocka_unit_test(a_box_that_is_being_freed_releases_nothing),
		cmocka_unit_test(a_child_releases_what_was_made_for_the_thread_that_forked),
		cmocka_unit_test(a_thread_that_ends_in_a_callback_releases_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
