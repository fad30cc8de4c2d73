/* SPDX-License-Identifier: MIT */
/* Calls functions of a sandboxed library, and lets it call back: call add.lfi */
#include <lfi/lfi.h>
#include <stdio.h>

static int
twice(int x)
{
	return 2 * x;
}

int
main(int argc, char **argv)
{
	const char *args[] = {"add.lfi"};
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);
	struct LFILinuxEngine *linux_ = engine ? lfi_linux_new(engine, (struct LFILinuxOptions){0}) : NULL;
	struct LFILinuxProc *proc = linux_ ? lfi_proc_new(linux_) : NULL;
	struct LFILinuxThread *thread = NULL;
	struct LFIContext *ctx;
	struct LFIBox *box;
	void *callback;

	if (!proc || argc != 2 || !lfi_proc_load_file(proc, argv[1]))
		goto fail;
	box = lfi_proc_box(proc);
	thread = lfi_thread_new(proc, 1, args, NULL);
	if (!thread || lfi_linux_init_clone(thread) < 0 || lfi_box_init_ret(box) < 0 || !lfi_box_cbinit(box))
		goto fail;
	ctx = lfi_thread_ctx(thread);

	printf("add(2, 40) = %d\n", LFI_INVOKE(box, &ctx, lfi_proc_sym(proc, "add"), int, (int, int), 2, 40));
	if (lfi_errno())
		goto fail;

	callback = lfi_box_register_cb(box, (void *) twice);
	if (!callback)
		goto fail;
	printf("apply(twice, 10) = %d\n",
	    LFI_INVOKE(box, &ctx, lfi_proc_sym(proc, "apply"), int, (int (*)(int), int), callback, 10));
	if (lfi_errno())
		goto fail;

	lfi_thread_free(thread);
	lfi_proc_free(proc);
	lfi_linux_free(linux_);
	lfi_free(engine);
	return 0;
fail:
	fprintf(stderr, "call: %s\n", argc == 2 ? lfi_errmsg() : "usage: call add.lfi");
	return 1;
}
