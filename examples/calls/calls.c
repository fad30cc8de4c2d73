/* SPDX-License-Identifier: MIT */
/* The ways to call a sandboxed library, and to be called by it: calls sums.lfi. See docs/calls.md. */
#include <lfi/lfi.h>
#include <pthread.h>
#include <stdio.h>

struct Point {
	double x, y;
};

struct Library {
	struct LFIEngine *engine;
	struct LFILinuxEngine *linux_;
	struct LFILinuxProc *proc;
	struct LFILinuxThread *thread;
	struct LFIBox *box;
	struct LFIContext *ctx;
};

static int
open_library(struct Library *lib, const char *path)
{
	const char *args[] = {"sums.lfi"};

	lib->engine = lfi_new((struct LFIOptions){0}, 1);
	lib->linux_ = lib->engine ? lfi_linux_new(lib->engine, (struct LFILinuxOptions){0}) : NULL;
	lib->proc = lib->linux_ ? lfi_proc_new(lib->linux_) : NULL;
	if (!lib->proc || !lfi_proc_load_file(lib->proc, path))
		return -1;
	lib->box = lfi_proc_box(lib->proc);
	lib->thread = lfi_thread_new(lib->proc, 1, args, NULL);
	if (!lib->thread || lfi_linux_init_clone(lib->thread) < 0 || !lfi_box_cbinit(lib->box))
		return -1;
	lib->ctx = lfi_thread_ctx(lib->thread);
	return 0;
}

static void
close_library(struct Library *lib)
{
	lfi_thread_free(lib->thread);
	lfi_proc_free(lib->proc);
	lfi_linux_free(lib->linux_);
	lfi_free(lib->engine);
}

/* Types that the compiler knows: a macro that is called like the function. */
static int
invoke(struct Library *lib)
{
	int result = LFI_INVOKE(lib->box, &lib->ctx, lfi_proc_sym(lib->proc, "add"), int, (int, int), 2, 40);

	if (lfi_errno())
		return -1;
	printf("add(2, 40) = %d\n", result);
	return 0;
}

/* Types that are known at run time: the signature is parsed once. */
static int
prepared(struct Library *lib)
{
	struct LFIFn *add = lfi_fn_new(lib->box, lfi_proc_sym(lib->proc, "add"), "i(ii)");
	union LFIValue args[2] = {{.i = 0}}, result = {.i = 0};
	int r = add ? 0 : -1;

	for (int i = 1; r == 0 && i <= 100; i++) {
		args[0] = result;
		args[1].i = i;
		r = lfi_fn_call(add, &lib->ctx, args, &result);
	}
	lfi_fn_free(add);
	if (r == 0)
		printf("1 + ... + 100 = %d\n", (int) result.i);
	return r;
}

/* Structs go by value both ways; `p` of a value leads to the host's copy. */
static int
structs(struct Library *lib)
{
	struct Point point = {1, 2}, mirrored;
	union LFIValue arg = {.p = &point}, result = {.p = &mirrored};

	if (lfi_call(lib->ctx, lfi_proc_sym(lib->proc, "mirror"), "{dd}({dd})", &arg, &result) < 0)
		return -1;
	printf("mirror(1, 2) = %g, %g\n", mirrored.x, mirrored.y);
	return 0;
}

/* Arguments that follow "..." in the signature. */
static int
variable(struct Library *lib)
{
	union LFIValue args[] = {{.i = 3}, {.d = 0.5}, {.d = 1.25}, {.d = 40.25}}, result;

	if (lfi_call(lib->ctx, lfi_proc_sym(lib->proc, "sum"), "d(i...ddd)", args, &result) < 0)
		return -1;
	printf("sum of three = %g\n", result.d);
	return 0;
}

/* A host function: `user` is what was registered, and the arguments are copies that the sandbox cannot change. */
static void
report(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	double *total = user;

	(void) ctx;
	*total += args[1].d;
	ret->i = args[0].i;
}

static int
called_back(struct Library *lib)
{
	double total = 0;
	void *address = lfi_box_register_fn(lib->box, "i(id)", report, &total);
	int all;

	if (!address)
		return -1;
	all = LFI_INVOKE(lib->box, &lib->ctx, lfi_proc_sym(lib->proc, "count"), int, (int, void *), 4, address);
	if (lfi_errno())
		return -1;
	printf("count(4) = %d, halves %g\n", all, total);
	return lfi_box_unregister_fn(lib->box, address);
}

/* Another thread: its context is made by the first call, and freed when the thread ends. */
static void *
in_thread(void *arg)
{
	static _Thread_local struct LFIContext *own;
	struct Library *lib = arg;
	int result = LFI_INVOKE(lib->box, &own, lfi_proc_sym(lib->proc, "add"), int, (int, int), 3, 4);

	if (lfi_errno()) {
		fprintf(stderr, "calls: in a thread: %s\n", lfi_errmsg());
		return NULL;
	}
	printf("add(3, 4) = %d in a thread\n", result);
	return lib;
}

static int
threads(struct Library *lib)
{
	pthread_t thread;
	void *done = NULL;

	if (pthread_create(&thread, NULL, in_thread, lib) == 0)
		pthread_join(thread, &done);
	return done ? 0 : -1;
}

int
main(int argc, char **argv)
{
	struct Library lib = {0};

	if (argc != 2) {
		fprintf(stderr, "usage: calls sums.lfi\n");
		return 1;
	}
	if (open_library(&lib, argv[1]) < 0 || invoke(&lib) < 0 || prepared(&lib) < 0 || structs(&lib) < 0 ||
	    variable(&lib) < 0 || called_back(&lib) < 0 || threads(&lib) < 0) {
		fprintf(stderr, "calls: %s\n", lfi_errmsg());
		return 1;
	}
	close_library(&lib);
	return 0;
}
