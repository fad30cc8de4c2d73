/* SPDX-License-Identifier: MIT */
/*
 * Every call of the library for memory, or to the kernel, is refused once, in turn: what was to be done then is an error
 * or is done, nothing is left behind, and what was there before still works.
 */
#include "core_test.h"
#include "sanitizers.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "box.h"
#include "maps_agree.h"
#include "os/os.h"

/* ---- The C library and the kernel ---- */

static int countdown; /* the call with which it becomes 0 is refused */
static int refusals;

static bool may_go_on; /* the library can do without what was refused */
static int sigactions;
static bool no_malloc; /* each is refused */
static bool stack_unknown;

static bool
refused_as(bool may)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	refusals++;
	may_go_on = may;
	errno = ENOMEM;
	return true;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

/* Code of a page or more that is not remembered is verified again. */
void *
__wrap_malloc(size_t size)
{
	return no_malloc || refused_as(size > PAGE) ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *
__wrap_calloc(size_t n, size_t size)
{
	return refused_as(false) ? NULL : __real_calloc(n, size);
}

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *
__wrap_realloc(void *old, size_t size)
{
	return refused_as(false) ? NULL : __real_realloc(old, size);
}

void *__real_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t off);
void *__wrap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t off);

/* Elsewhere will do where an address is only a wish, emptying pages is tried again, and so is room for sandboxes. */
void *
__wrap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t off)
{
	bool again = flags & MAP_FIXED ? prot == PROT_NONE : addr || size > BOX_SIZE;

	return refused_as(again) ? MAP_FAILED : __real_mmap(addr, size, prot, flags, fd, off);
}

void *__real_mremap(void *from, size_t old, size_t size, int flags, void *to);
void *__wrap_mremap(void *from, size_t old, size_t size, int flags, void *to);

void *
__wrap_mremap(void *from, size_t old, size_t size, int flags, void *to)
{
	return refused_as(false) ? MAP_FAILED : __real_mremap(from, old, size, flags, to);
}

int __real_mprotect(void *addr, size_t size, int prot);
int __wrap_mprotect(void *addr, size_t size, int prot);

int
__wrap_mprotect(void *addr, size_t size, int prot)
{
	return refused_as(false) ? -1 : __real_mprotect(addr, size, prot);
}

int __real_sigaction(int sig, const struct sigaction *new, struct sigaction *old);
int __wrap_sigaction(int sig, const struct sigaction *new, struct sigaction *old);

/* The first engine looks at all handlers, and may leave one as it is. */
int
__wrap_sigaction(int sig, const struct sigaction *new, struct sigaction *old)
{
	return refused_as(++sigactions < NSIG) ? -1 : __real_sigaction(sig, new, old);
}

int __real_sigaltstack(const stack_t *new, stack_t *old);
int __wrap_sigaltstack(const stack_t *new, stack_t *old);

int
__wrap_sigaltstack(const stack_t *new, stack_t *old)
{
	return refused_as(false) ? -1 : __real_sigaltstack(new, old);
}

int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);

int
__wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
	return refused_as(false) ? ENOMEM : __real_pthread_setspecific(key, value);
}

int __real_pthread_getattr_np(pthread_t thread, pthread_attr_t *attr);
int __wrap_pthread_getattr_np(pthread_t thread, pthread_attr_t *attr);

int
__wrap_pthread_getattr_np(pthread_t thread, pthread_attr_t *attr)
{
	stack_unknown = refused_as(true);
	return stack_unknown ? ENOMEM : __real_pthread_getattr_np(thread, attr);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	return refused_as(false) ? EAGAIN : __real_pthread_create(thread, attr, start, arg);
}

int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);

int
__wrap_memfd_create(const char *name, unsigned flags)
{
	return refused_as(false) ? -1 : __real_memfd_create(name, flags);
}

int __real_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size);

int
__wrap_ftruncate(int fd, off_t size)
{
	return refused_as(false) ? -1 : __real_ftruncate(fd, size);
}

ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t off);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t off);

ssize_t
__wrap_pwrite(int fd, const void *bytes, size_t size, off_t off)
{
	return refused_as(false) ? -1 : __real_pwrite(fd, bytes, size, off);
}

ssize_t __real_pread(int fd, void *bytes, size_t size, off_t off);
ssize_t __wrap_pread(int fd, void *bytes, size_t size, off_t off);

ssize_t
__wrap_pread(int fd, void *bytes, size_t size, off_t off)
{
	return refused_as(true) ? -1 : __real_pread(fd, bytes, size, off);
}

int __real_madvise(void *addr, size_t size, int advice);
int __wrap_madvise(void *addr, size_t size, int advice);

int
__wrap_madvise(void *addr, size_t size, int advice)
{
	return refused_as(true) ? -1 : __real_madvise(addr, size, advice);
}

ssize_t __real_getrandom(void *bytes, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags);

ssize_t
__wrap_getrandom(void *bytes, size_t size, unsigned flags)
{
	return refused_as(true) ? -1 : __real_getrandom(bytes, size, flags);
}

/* ---- What is done ---- */

/* The scenario's thread is not cmocka's. */
static int wrong; /* the line of the first thing that is */

static void
is_true(bool holds, int line)
{
	if (!holds && !wrong)
		wrong = line;
}

#define IS(condition) is_true(condition, __LINE__)

static int refusals_before; /* the last step */

/* For a step that may have been refused: then it says so, unless it can do without. */
static bool
failed(bool done, int line)
{
	int code = lfi_errno();
	bool now = refusals > refusals_before;

	refusals_before = refusals;
	if (done) {
		is_true(!now || may_go_on, line);
		return false;
	}
	is_true(refusals == 1, line);
	is_true(code == LFI_ERR_NOMEM || code == LFI_ERR_OS, line);
	is_true(strlen(lfi_errmsg()) > 0, line);
	return true;
}

#define FAILED_TO(step) failed((lfi_error_clear(), (step)), __LINE__)

enum { DEPTH = 3 * INSIDE_FIRST, MANY = 50, CALLBACKS_MANY = CALLBACK_ENTRIES + 2 };

static struct Fixture f;
static lfiptr add, apply;
static void *deeper_cb;
static int nested_error;

static bool
add_works(void)
{
	return LFI_INVOKE(f.box, &f.ctx, add, int, (int, int), 2, 3) == 5 && lfi_errno() == LFI_OK;
}

/* Each level is a call into the sandbox and one back. */
static int
deeper(int n)
{
	int below;

	if (n == 0)
		return 0;
	lfi_error_clear();
	below = LFI_INVOKE(f.box, &f.ctx, apply, int, (void *, int), deeper_cb, n - 1);
	if (lfi_errno() != LFI_OK)
		nested_error = lfi_errno();
	return below + 1;
}

static int
nest(int n)
{
	int reached;

	nested_error = 0;
	reached = LFI_INVOKE(f.box, &f.ctx, apply, int, (void *, int), deeper_cb, n);
	if (lfi_errno() != LFI_OK)
		nested_error = lfi_errno();
	return reached;
}

static int
next(int n)
{
	return n + 1;
}

static void
twice(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	ret->i = 2 * args[0].i;
}

static bool
put_code(lfiptr *at, const uint8_t *bytes, size_t size)
{
	*at = lfi_box_mapany(f.box, PAGE, RW, ANON, -1, 0);
	if (failed(*at != FAILED, __LINE__) || FAILED_TO(lfi_box_copyto(f.box, *at, bytes, size) == 0))
		return false;
	return !FAILED_TO(lfi_box_mprotect(f.box, *at, PAGE, RX) == 0);
}

static void
calls(void)
{
	union LFIValue args[MANY] = {{.i = 2}, {.i = 3}}, ret = {.u = 0};
	char sig[MANY + 4] = "i(";
	struct LFIFn *fn;

	memset(sig + 2, 'i', MANY);
	sig[MANY + 2] = ')';
	if (!FAILED_TO(lfi_call(f.ctx, add, sig, args, &ret) == 0))
		IS(ret.i == 5);
	ret.u = 0;
	fn = lfi_fn_new(f.box, add, "i(ii)");
	if (!failed(fn != NULL, __LINE__)) {
		if (!FAILED_TO(lfi_fn_call(fn, &f.ctx, args, &ret) == 0))
			IS(ret.i == 5);
		lfi_fn_free(fn);
	}
}

static void
callbacks(void)
{
	void *typed, *last;

	deeper_cb = lfi_box_register_cb(f.box, (void *) deeper);
	if (failed(deeper_cb != NULL, __LINE__))
		return;
	typed = lfi_box_register_fn(f.box, "i(i)", twice, NULL);
	if (!failed(typed != NULL, __LINE__))
		IS(LFI_INVOKE(f.box, &f.ctx, apply, int, (void *, int), typed, 21) == 42);
	/* More than fit in a page of entries. */
	for (uintptr_t i = 1; i < CALLBACKS_MANY; i++)
		failed(lfi_box_register_cb(f.box, (void *) (i * 16)) != NULL, __LINE__);
	last = lfi_box_register_cb(f.box, (void *) next);
	if (!failed(last != NULL, __LINE__))
		IS(LFI_INVOKE(f.box, &f.ctx, apply, int, (void *, int), last, 6) == 7);
}

static void
nesting(void)
{
	int before = refusals, reached = nest(DEPTH);

	IS(refusals == before || nested_error);
	refusals_before = refusals;
	if (nested_error)
		IS(refusals == 1 && nested_error == LFI_ERR_NOMEM);
	else
		IS(reached == DEPTH);
	if (refusals)
		IS(nest(DEPTH) == DEPTH && !nested_error);
}

static uint8_t
first_byte(lfiptr at)
{
	uint8_t byte = 0;

	IS(lfi_box_copyfm(f.box, &byte, at, 1) == 0);
	return byte;
}

/* What is refused changes nothing. */
static void
mappings(void)
{
	lfiptr data = lfi_box_mapany(f.box, 4 * PAGE, RW, ANON, -1, 0);
	uint8_t one = 1;

	if (failed(data != FAILED, __LINE__))
		return;
	IS(lfi_box_copyto(f.box, data + PAGE, &one, 1) == 0);
	if (FAILED_TO(lfi_box_mprotect(f.box, data + PAGE, PAGE, LFI_PROT_READ) == 0)) {
		IS(lfi_box_copyto(f.box, data + PAGE, &one, 1) == 0);
	} else {
		IS(lfi_box_copyto(f.box, data + PAGE, &one, 1) < 0);
		IS(first_byte(data + PAGE) == 1);
	}
	if (FAILED_TO(lfi_box_mapat(f.box, data + PAGE, PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0) != FAILED))
		IS(first_byte(data + PAGE) == 1);
	else
		IS(first_byte(data + PAGE) == 0);
	IS(lfi_box_copyto(f.box, data, &one, 1) == 0);
	if (FAILED_TO(lfi_box_munmap(f.box, data, PAGE) == 0))
		IS(first_byte(data) == 1);
	else
		IS(lfi_box_copyto(f.box, data, &one, 1) < 0);
	IS(maps_agree(f.box));
}

/* In each way that it can go, and calls go on afterwards. */
static void
code_that_goes(void)
{
	uint8_t one = 1;
	lfiptr code;

	if (put_code(&code, code_add, sizeof code_add)) {
		if (FAILED_TO(lfi_box_mprotect(f.box, code, PAGE, RW) == 0))
			IS(lfi_box_copyto(f.box, code, &one, 1) < 0);
		IS(add_works());
	}
	if (put_code(&code, code_add, sizeof code_add)) {
		if (FAILED_TO(lfi_box_munmap(f.box, code, PAGE) == 0))
			IS(first_byte(code) == code_add[0]);
		IS(add_works());
	}
	if (put_code(&code, code_add, sizeof code_add)) {
		if (FAILED_TO(lfi_box_mapat(f.box, code, PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0) != FAILED))
			IS(first_byte(code) == code_add[0]);
		IS(add_works());
	}
	IS(maps_agree(f.box));
}

/* A clone has the functions where its original has them. */
static int
add_in(struct LFIBox *box)
{
	struct LFIContext *ctx = lfi_ctx_new(box, NULL);
	lfiptr moved = lfi_box_info(box).base - lfi_box_info(f.box).base;
	int sum;

	if (failed(ctx != NULL, __LINE__))
		return 5;
	lfi_ctx_regs(ctx)->sp = f.stack + STACK_BYTES + moved;
	sum = LFI_INVOKE(box, &ctx, add + moved, int, (int, int), 2, 3);
	lfi_ctx_free(ctx);
	return sum;
}

static void
snapshots(void)
{
	struct BoxImage *image;
	struct LFIBox *clone;
	uint8_t one = 1;
	lfiptr more;

	lfi_error_clear();
	image = box_freeze(f.box);
	IS(maps_agree(f.box));
	if (failed(image != NULL, __LINE__))
		return;
	clone = box_clone(image);
	if (!failed(clone != NULL, __LINE__)) {
		IS(maps_agree(clone));
		IS(add_in(clone) == 5);
		more = lfi_box_mapany(clone, PAGE, RW, ANON, -1, 0);
		failed(more != FAILED, __LINE__);
		if (FAILED_TO(box_reset(clone, false) == 0))
			IS(box_reset(clone, false) == 0);
		IS(maps_agree(clone));
		IS(add_in(clone) == 5);
		IS(more == FAILED || lfi_box_copyto(clone, more, &one, 1) < 0);
		lfi_box_free(clone);
	}
	box_image_put(image);
}

static void
deadlines(void)
{
	if (!FAILED_TO(lfi_ctx_deadline(f.ctx, (uint64_t) 3600 * 1000000000) == 0))
		IS(add_works());
	FAILED_TO(box_cpu_limit(f.box, UINT64_MAX) == 0);
}

/* To what was frozen, which has no callbacks. */
static void
back(void)
{
	lfi_error_clear();
	if (!f.box->image)
		return;
	if (failed(box_reset(f.box, false) == 0, __LINE__))
		IS(box_reset(f.box, false) == 0);
	IS(maps_agree(f.box));
	IS(add_works());
	callbacks();
	IS(add_works());
}

static void *
enter(void *arg)
{
	lfi_error_clear();
	failed(add_works(), __LINE__);
	return NULL;
}

/* A thread whose first step is a call. */
static void
enter_elsewhere(void)
{
	pthread_t thread;

	IS(__real_pthread_create(&thread, NULL, enter, NULL) == 0);
	pthread_join(thread, NULL);
	/* Its end can do without. */
	refusals_before = refusals;
}

static void
in_the_box(void)
{
	if (FAILED_TO(lfi_box_init_ret(f.box) == 0) || FAILED_TO(lfi_box_cbinit(f.box)))
		return;
	f.stack = lfi_box_mapany(f.box, STACK_BYTES, RW, ANON, -1, 0);
	if (failed(f.stack != FAILED, __LINE__))
		return;
	if (!put_code(&add, code_add, sizeof code_add) || !put_code(&apply, code_apply, sizeof code_apply))
		return;
	f.ctx = lfi_ctx_new(f.box, NULL);
	if (failed(f.ctx != NULL, __LINE__))
		return;
	lfi_ctx_regs(f.ctx)->sp = f.stack + STACK_BYTES;
	failed(add_works(), __LINE__);
	IS((thread_self.stack_span == 0) == stack_unknown);
	IS(add_works());
	calls();
	snapshots();
	IS(add_works());
	callbacks();
	IS(add_works());
	if (deeper_cb)
		nesting();
	mappings();
	code_that_goes();
	deadlines();
	IS(add_works());
	enter_elsewhere();
	back();
}

static void *
everything(void *n)
{
	countdown = (int) (uintptr_t) n;
	f = (struct Fixture) {.engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 4)};
	deeper_cb = NULL;
	if (failed(f.engine != NULL, __LINE__))
		return NULL;
	f.box = lfi_box_new(f.engine);
	if (!failed(f.box != NULL, __LINE__)) {
		in_the_box();
		lfi_box_free(f.box);
	}
	lfi_error_clear();
	lfi_free(f.engine);
	IS(lfi_errno() == LFI_OK);
	return NULL;
}

/* With the n-th call refused, on a thread that has entered no sandbox yet. */
static void
refuse(int n)
{
	pthread_t thread;

	refusals = refusals_before = wrong = sigactions = 0;
	assert_int_equal(pthread_create(&thread, NULL, everything, (void *) (uintptr_t) n), 0);
	pthread_join(thread, NULL);
	countdown = 0;
	if (wrong)
		fail_msg("with call %d refused, line %d does not hold: %s", n, wrong, lfi_errmsg());
}

/* Bytes of the heap in use. */
static size_t
heap(void)
{
	return mallinfo2().uordblks;
}

/* Pages of address space. */
static size_t
space(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	assert_int_equal(fscanf(statm, "%lu", &pages), 1);
	fclose(statm);
	return pages;
}

/* What grows once may be a cache. */
static void
nothing_is_left(int n)
{
	size_t heap_before = heap(), space_before = space();

	for (int again = 0; again < 3; again++) {
		size_t heap_now, space_now;

		refuse(n);
		heap_now = heap();
		space_now = space();
		if (heap_now <= heap_before && space_now <= space_before)
			return;
		heap_before = heap_now;
		space_before = space_now;
	}
	fail_msg("with call %d refused, something is left behind each time", n);
}

static void
whatever_is_refused_is_an_error_and_leaves_nothing(void **state)
{
	int n = 1;

	refuse(0);
	do {
		refuse(n);
		if (!ADDRESS_SANITIZER && !THREAD_SANITIZER)
			nothing_is_left(n);
		n++;
	} while (refusals > 0);
	assert_true(n > 100);
	print_message("%d calls, each refused once\n", n - 2);
}

/* Of what malloc is used for here, the set of handles is all. */
static void
nothing_else_gets_a_handle(void)
{
	no_malloc = true;
	assert_null(lfi_ctx_new(f.box, NULL));
	assert_error(LFI_ERR_NOMEM);
	lfi_error_clear();
	assert_null(lfi_box_new(f.engine));
	assert_error(LFI_ERR_NOMEM);
	lfi_error_clear();
	assert_null(lfi_new((struct LFIOptions) {.boxsize = 0}, 1));
	assert_error(LFI_ERR_NOMEM);
	no_malloc = false;
}

/* The set of handles grows with a handle: after the handle's own memory, a table and its slots are allocated. */
static void
a_handle_for_which_there_is_no_memory_is_not_made(void **state)
{
	enum { HANDLES = 3000 };
	static const int nth[] = {2, 3, 0};
	struct LFIFn *fns[HANDLES];
	int refused_before = 0;

	f = fixture((struct LFIOptions) {.boxsize = 0});
	for (int i = 0; i < HANDLES; i++) {
		fns[i] = NULL;
		for (int j = 0; j < 3 && !fns[i]; j++) {
			refusals = 0;
			countdown = nth[j];
			fns[i] = lfi_fn_new(f.box, f.buffer, "i(i)");
			countdown = 0;
			refused_before += refusals;
			if (!refusals)
				continue;
			assert_null(fns[i]);
			assert_error(LFI_ERR_NOMEM);
			nothing_else_gets_a_handle();
		}
		assert_non_null(fns[i]);
	}
	assert_true(refused_before >= 2);
	for (int i = 0; i < HANDLES; i++)
		lfi_fn_free(fns[i]);
	drop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_is_refused_is_an_error_and_leaves_nothing),
		cmocka_unit_test(a_handle_for_which_there_is_no_memory_is_not_made),
	};

	mallopt(M_ARENA_MAX, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
