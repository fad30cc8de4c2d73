/* SPDX-License-Identifier: MIT */
/* Ends calls into a sandboxed library that would take for ever, in three ways, and goes on with it: interrupt loop.lfi
 */
#include <lfi/lfi.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

struct Call {
	struct LFIContext *ctx;
	uint64_t token;
};

/* Has enough of one call after a while. Were the call over by then, nothing would happen. */
static void *
lose_patience(void *arg)
{
	const struct timespec patience = {0, 20000000};
	struct Call *call = arg;

	nanosleep(&patience, NULL);
	lfi_ctx_interrupt(call->ctx, call->token);
	return NULL;
}

static void *
stop_all(void *box)
{
	const struct timespec patience = {0, 20000000};

	nanosleep(&patience, NULL);
	lfi_box_interrupt(box);
	return NULL;
}

static void
report(const char *how)
{
	printf("%s: %s\n", how, lfi_error_name(lfi_errno()));
}

int
main(int argc, char **argv)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);
	struct LFILinuxEngine *linux_ = engine ? lfi_linux_new(engine, (struct LFILinuxOptions){0}) : NULL;
	struct LFILinuxProc *proc = linux_ ? lfi_proc_new(linux_) : NULL;
	struct LFILinuxThread *thread = NULL;
	struct LFIBox *box;
	struct Call call;
	pthread_t other;

	if (!proc || argc != 2 || !lfi_proc_load_file(proc, argv[1]))
		goto fail;
	thread = lfi_thread_new(proc, 0, NULL, NULL);
	if (!thread || lfi_linux_init_clone(thread) < 0)
		goto fail;
	box = lfi_proc_box(proc);
	call.ctx = lfi_thread_ctx(thread);

	/* 20 ms for the next call, in nanoseconds. */
	if (lfi_ctx_deadline(call.ctx, 20000000) < 0)
		goto fail;
	(void) LFI_INVOKE(box, &call.ctx, lfi_proc_sym(proc, "loop"), int, (int), 1);
	report("loop with a deadline");

	/* Another thread ends this call and no other. */
	call.token = lfi_ctx_token(call.ctx);
	if (pthread_create(&other, NULL, lose_patience, &call) != 0)
		goto fail;
	(void) LFI_INVOKE(box, &call.ctx, lfi_proc_sym(proc, "wait_for_input"), int, (void) );
	report("wait_for_input with a token");
	pthread_join(other, NULL);

	/* Another thread ends whatever runs in the box. */
	if (pthread_create(&other, NULL, stop_all, box) != 0)
		goto fail;
	(void) LFI_INVOKE(box, &call.ctx, lfi_proc_sym(proc, "loop"), int, (int), 1);
	report("loop in an interrupted box");
	pthread_join(other, NULL);

	printf("add(2, 40) = %d\n", LFI_INVOKE(box, &call.ctx, lfi_proc_sym(proc, "add"), int, (int, int), 2, 40));
	if (lfi_errno())
		goto fail;
	lfi_thread_free(thread);
	lfi_proc_free(proc);
	lfi_linux_free(linux_);
	lfi_free(engine);
	return 0;
fail:
	fprintf(stderr, "interrupt: %s\n", argc == 2 ? lfi_errmsg() : "usage: interrupt loop.lfi");
	return 1;
}
