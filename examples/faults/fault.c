/* SPDX-License-Identifier: MIT */
/* Calls functions that fail in a sandboxed library, tells how, and goes on with it: fault bad.lfi */
#include <lfi/lfi.h>
#include <stdio.h>

/* Of the last call. */
static void
report(const char *function, struct LFILinuxProc *proc, struct LFIContext *ctx)
{
	struct LFIFault fault;
	char name[64];

	if (lfi_errno() != LFI_ERR_FAULT || lfi_ctx_fault(ctx, &fault) < 0) {
		printf("%s: %s\n", function, lfi_errmsg());
		return;
	}
	printf(
	    "%s: %s, signal %d, in %s\n", function, lfi_fault_kind_name((int) fault.kind), fault.signal, fault.symbol);
	/* The callers, as far as the code keeps frame pointers. */
	for (uint32_t i = 1; i < fault.depth && i < 4; i++)
		if (lfi_proc_symbolize(proc, fault.backtrace[i], name, sizeof name, NULL) == 0)
			printf("  called by %s\n", name);
}

int
main(int argc, char **argv)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);
	struct LFILinuxEngine *linux_ = engine ? lfi_linux_new(engine, (struct LFILinuxOptions){0}) : NULL;
	struct LFILinuxProc *proc = linux_ ? lfi_proc_new(linux_) : NULL;
	struct LFILinuxThread *thread = NULL;
	struct LFIContext *ctx;
	struct LFIBox *box;
	lfiptr nowhere;

	if (!proc || argc != 2 || !lfi_proc_load_file(proc, argv[1]))
		goto fail;
	box = lfi_proc_box(proc);
	/* What it may use: 64 MiB, 4 threads. */
	if (lfi_box_set_limits(box, (struct LFILimits){.mapped = 64 << 20, .threads = 4}) < 0)
		goto fail;
	thread = lfi_thread_new(proc, 0, NULL, NULL);
	if (!thread || lfi_linux_init_clone(thread) < 0)
		goto fail;
	ctx = lfi_thread_ctx(thread);

	nowhere = lfi_box_info(box).base + 64;
	(void) LFI_INVOKE(box, &ctx, lfi_proc_sym(proc, "write_to"), int, (lfiptr), nowhere);
	report("write_to", proc, ctx);
	(void) LFI_INVOKE(box, &ctx, lfi_proc_sym(proc, "divide"), int, (int, int), 1, 0);
	report("divide", proc, ctx);
	(void) LFI_INVOKE(box, &ctx, lfi_proc_sym(proc, "recurse"), int, (int), 0);
	report("recurse", proc, ctx);
	(void) LFI_INVOKE(box, &ctx, lfi_proc_sym(proc, "give_up"), int, (void) );
	report("give_up", proc, ctx);
	printf("add(2, 40) = %d\n", LFI_INVOKE(box, &ctx, lfi_proc_sym(proc, "add"), int, (int, int), 2, 40));
	printf("%llu faults\n", (unsigned long long) lfi_box_stats(box).faults);

	lfi_proc_free(proc);
	lfi_linux_free(linux_);
	lfi_free(engine);
	return 0;

fail:
	fprintf(stderr, "%s\n", argc == 2 ? lfi_errmsg() : "usage: fault bad.lfi");
	lfi_proc_free(proc);
	lfi_linux_free(linux_);
	lfi_free(engine);
	return 1;
}
