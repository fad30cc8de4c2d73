/* SPDX-License-Identifier: MIT */
/* liblfi's functions that enter no sandbox, each with its error. */
#include "shim_box.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Errors ---- */

struct GoFailure *
go_fail(int code, const char *message)
{
	struct GoFailure *failure = calloc(1, sizeof *failure);

	if (!failure)
		abort(); /* as Go does when there is no memory */
	failure->code = code;
	snprintf(failure->message, sizeof failure->message, "%s", message);
	return failure;
}

struct GoFailure *
go_failed(void)
{
	struct LFIError error;

	lfi_error_get(&error);
	return go_fail(error.code, error.message);
}

void
go_failure_free(struct GoFailure *failure)
{
	free(failure);
}

struct GoFailure *
go_status(int r)
{
	return r < 0 ? go_failed() : NULL;
}

struct GoResult
go_pointer(void *made)
{
	return made ? (struct GoResult){.value = (uintptr_t) made} : (struct GoResult){.failure = go_failed()};
}

/* ---- Engines ---- */

struct GoResult
go_engine_new(struct GoEngineOptions options, size_t boxes)
{
	struct LFIOptions opts = {0};

	go_begin();
	opts.verbose = options.verbose;
	opts.no_verify = options.no_verify;
	opts.stores_only = options.stores_only;
	opts.jumps_only = options.jumps_only;
	opts.single_thread = options.single_thread;
	opts.no_rdtsc = options.no_rdtsc;
	opts.bundle = options.bundle;
	return go_pointer(lfi_new(opts, boxes));
}

struct GoFailure *
go_engine_free(uintptr_t engine)
{
	lfi_error_clear();
	lfi_free((struct LFIEngine *) engine);
	return lfi_errno() == LFI_OK ? NULL : go_failed();
}

struct GoResult
go_linux_new(uintptr_t engine, char **maps, const char *wd, size_t stack_size, bool verbose, bool exit_unknown)
{
	struct LFILinuxOptions opts = {0};

	opts.dir_maps = (const char **) maps;
	opts.wd = wd;
	opts.stacksize = stack_size;
	opts.verbose = verbose;
	opts.exit_unknown_syscalls = exit_unknown;
	return go_pointer(lfi_linux_new((struct LFIEngine *) engine, opts));
}

struct GoFailure *
go_linux_free(uintptr_t linux_)
{
	lfi_error_clear();
	lfi_linux_free((struct LFILinuxEngine *) linux_);
	return lfi_errno() == LFI_OK ? NULL : go_failed();
}

/* ---- Programs ---- */

struct LFIBox *
go_box_raw(struct GoBox *box)
{
	return box->box;
}

struct GoFailure *
go_box_load(struct GoBox *box, const void *image, size_t size, const char *name)
{
	return lfi_proc_load(box->proc, image, size, name) ? NULL : go_failed();
}

struct GoFailure *
go_box_stdio(struct GoBox *box, int in, int out, int err)
{
	return go_status(lfi_proc_stdio(box->proc, in, out, err));
}

struct GoFailure *
go_box_thread(struct GoBox *box, int argc, char **argv, char **envp)
{
	return lfi_thread_new(box->proc, argc, (const char **) argv, (const char **) envp) ? NULL : go_failed();
}

struct GoResult
go_box_snapshot(struct GoBox *box)
{
	return go_pointer(lfi_snapshot_new(box->proc));
}

void
go_snapshot_free(uintptr_t snapshot)
{
	lfi_snapshot_free((struct LFISnapshot *) snapshot);
}

/* ---- Memory ---- */

static struct GoResult
address(lfiptr at)
{
	return at == (lfiptr) -1 ? (struct GoResult){.failure = go_failed()} : (struct GoResult){.value = at};
}

struct GoResult
go_box_map(struct GoBox *box, uint64_t at, size_t size, int prot)
{
	const int flags = LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS;

	return address(at ? lfi_box_mapat(box->box, at, size, prot, flags, -1, 0)
			  : lfi_box_mapany(box->box, size, prot, flags, -1, 0));
}

struct GoFailure *
go_box_protect(struct GoBox *box, uint64_t at, size_t size, int prot)
{
	return go_status(lfi_box_mprotect(box->box, at, size, prot));
}

struct GoFailure *
go_box_unmap(struct GoBox *box, uint64_t at, size_t size)
{
	return go_status(lfi_box_munmap(box->box, at, size));
}

struct GoFailure *
go_box_read(struct GoBox *box, void *to, uint64_t from, size_t size)
{
	return go_status(lfi_box_copyfm(box->box, to, from, size));
}

struct GoFailure *
go_box_write(struct GoBox *box, uint64_t to, const void *from, size_t size)
{
	return go_status(lfi_box_copyto(box->box, to, from, size));
}

struct GoResult
go_box_string(struct GoBox *box, char *to, uint64_t from, size_t room)
{
	ssize_t length = lfi_box_copystr(box->box, to, from, room);

	return length < 0 ? (struct GoResult){.failure = go_failed()} : (struct GoResult){.value = (uint64_t) length};
}

struct GoResult
go_box_pin(struct GoBox *box, uint64_t at, size_t size, bool write)
{
	return go_pointer(lfi_box_pin(box->box, at, size, write ? LFI_PROT_READ | LFI_PROT_WRITE : LFI_PROT_READ));
}

void
go_box_unpin(struct GoBox *box, uint64_t at, size_t size)
{
	lfi_box_unpin(box->box, at, size);
}

struct GoResult
go_box_symbol(struct GoBox *box, const char *name)
{
	lfiptr at = lfi_proc_sym(box->proc, name);

	return at ? (struct GoResult){.value = at} : (struct GoResult){.failure = go_failed()};
}

struct GoFailure *
go_box_interrupt(struct GoBox *box)
{
	return go_status(lfi_box_interrupt(box->box));
}

struct GoFailure *
go_box_limit(struct GoBox *box, uint64_t mapped, uint64_t cpu_ns, uint32_t threads, uint32_t files)
{
	struct LFILimits limits = {0};

	limits.mapped = mapped;
	limits.cpu_ns = cpu_ns;
	limits.threads = threads;
	limits.files = files;
	return go_status(lfi_box_set_limits(box->box, limits));
}

struct LFIBoxStats
go_box_stats(struct GoBox *box)
{
	return lfi_box_stats(box->box);
}

struct LFIBoxInfo
go_box_info(struct GoBox *box)
{
	return lfi_box_info(box->box);
}

struct GoFailure *
go_box_prepare_calls(struct GoBox *box)
{
	return go_status(lfi_box_init_ret(box->box));
}

/* ---- Contexts ---- */

struct GoResult
go_ctx_new(struct GoBox *box)
{
	return go_pointer(lfi_ctx_new(box->box, NULL));
}

struct GoResult
go_ctx_lend(struct GoBox *box)
{
	return go_pointer(lfi_ctx_clone(box->box));
}

struct GoFailure *
go_ctx_free(uintptr_t ctx)
{
	lfi_error_clear();
	lfi_ctx_free((struct LFIContext *) ctx);
	return lfi_errno() == LFI_OK ? NULL : go_failed();
}

struct GoFailure *
go_ctx_regs(uintptr_t ctx, struct LFIRegs *out)
{
	struct LFIRegs *regs = lfi_ctx_regs((struct LFIContext *) ctx);

	if (!regs)
		return go_failed();
	*out = *regs;
	return NULL;
}

struct GoFailure *
go_ctx_set_regs(uintptr_t ctx, const struct LFIRegs *regs)
{
	struct LFIRegs *to = lfi_ctx_regs((struct LFIContext *) ctx);

	if (!to)
		return go_failed();
	*to = *regs;
	return NULL;
}

void
go_ctx_exit(uintptr_t ctx, int code)
{
	lfi_ctx_exit((struct LFIContext *) ctx, code);
}

/* ---- The rest ---- */

struct GoFailure *
go_signal_reclaim(void)
{
	return go_status(lfi_signal_reclaim());
}

struct Violations {
	struct GoViolation *out;
	size_t room, n;
};

static bool
keep_violation(const struct LFIViolation *violation, void *user)
{
	struct Violations *all = user;
	struct GoViolation *to = &all->out[all->n++];

	to->offset = violation->offset;
	to->size = violation->size;
	to->rule = violation->rule;
	snprintf(to->rule_name, sizeof to->rule_name, "%s", lfi_verify_rule_name(violation->rule));
	snprintf(to->instruction, sizeof to->instruction, "%s", violation->insn);
	snprintf(to->reason, sizeof to->reason, "%s", violation->reason);
	return all->n < all->room;
}

struct GoResult
go_verify(const void *code, size_t size, uint64_t offset, struct GoEngineOptions options, struct GoViolation *out,
    size_t room)
{
	struct LFIVerifyOptions opts = {.struct_size = sizeof opts};
	struct Violations all = {.out = out, .room = room};
	size_t scratch_size = lfi_verify_scratch_size(size);
	void *scratch = malloc(scratch_size ? scratch_size : 1);

	if (!scratch)
		abort();
	opts.policy = options.jumps_only ? LFI_POLICY_JUMPS : options.stores_only ? LFI_POLICY_STORES : LFI_POLICY_FULL;
	opts.bundle = options.bundle;
	opts.single_thread = options.single_thread;
	opts.no_rdtsc = options.no_rdtsc;
	opts.max_violations = room;
	lfi_verify(&opts, code, size, offset, scratch, scratch_size, keep_violation, &all, NULL);
	free(scratch);
	return (struct GoResult){.value = all.n};
}
