/* SPDX-License-Identifier: MIT */
/*
 * A library is loaded and prepared once; each request then has a process of its own, that starts from there:
 * snapshot count.lfi
 */
#include <lfi/lfi.h>
#include <stdio.h>

/* A function of the library with one int. -1 with the error set when it could not be called. */
static int
call(struct LFILinuxProc *proc, const char *name, int arg)
{
	union LFIValue value = {.i = arg}, result = {.i = -1};
	struct LFIContext *ctx = lfi_thread_ctx(lfi_proc_thread(proc));

	return lfi_call(ctx, lfi_proc_sym(proc, name), "i(i)", &value, &result) < 0 ? -1 : (int) result.i;
}

/* A clone counts alone. */
static int
clones(struct LFISnapshot *snapshot)
{
	struct LFILinuxProc *a = lfi_snapshot_clone(snapshot), *b = a ? lfi_snapshot_clone(snapshot) : NULL;

	if (!b)
		return -1;
	printf("a: %d", call(a, "count", 1));
	printf(", %d\n", call(a, "count", 1));
	printf("b: %d\n", call(b, "count", 1));
	lfi_proc_free(a);
	lfi_proc_free(b);
	return 0;
}

/* What one user of a process left behind, the next one does not find. */
static int
requests(struct LFIPool *pool)
{
	for (int i = 1; i <= 3; i++) {
		struct LFILinuxProc *proc = lfi_pool_take(pool);

		if (!proc)
			return -1;
		printf("request %d: %d\n", i, call(proc, "count", i));
		if (lfi_pool_give(pool, proc) < 0)
			return -1;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	const char *args[] = {"count.lfi"};
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 8);
	struct LFILinuxEngine *linux_ = engine ? lfi_linux_new(engine, (struct LFILinuxOptions){0}) : NULL;
	struct LFILinuxProc *proc = linux_ ? lfi_proc_new(linux_) : NULL;
	struct LFILinuxThread *thread = NULL;
	struct LFISnapshot *snapshot = NULL;
	struct LFIPool *pool = NULL;

	if (!proc || argc != 2 || !lfi_proc_load_file(proc, argv[1]))
		goto fail;
	thread = lfi_thread_new(proc, 1, args, NULL);
	if (!thread || lfi_linux_init_clone(thread) < 0 || call(proc, "prepare", 40) < 0)
		goto fail;
	snapshot = lfi_snapshot_new(proc);
	pool = snapshot ? lfi_pool_new(snapshot, 2) : NULL;
	if (!pool || clones(snapshot) < 0 || requests(pool) < 0)
		goto fail;
	lfi_pool_free(pool);
	lfi_snapshot_free(snapshot);
	lfi_proc_free(proc);
	lfi_linux_free(linux_);
	lfi_free(engine);
	return 0;
fail:
	fprintf(stderr, "snapshot: %s\n", argc == 2 ? lfi_errmsg() : "usage: snapshot count.lfi");
	return 1;
}
