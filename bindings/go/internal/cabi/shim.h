/* SPDX-License-Identifier: MIT */
/*
 * What Go calls, between cgo and liblfi: each function does its work, and brings code and text of an error out, in one
 * crossing, as a goroutine may be on another thread at the next one.
 */
#ifndef LFI_GO_SHIM_H
#define LFI_GO_SHIM_H

#ifdef LFI_GO_SYSTEM
#include <lfi/lfi_linux.h>
#include <lfi/lfi_verify.h>
#else
#include "lfi_linux.h"
#include "lfi_verify.h"
#endif

/* ---- Errors ---- */

/* Codes beside liblfi's. */
enum {
	GO_CLOSED = 1000, /* the sandbox was closed, or given back */
	GO_CROWDED,       /* no room for a context of this thread: the call is made again with one that is lent */
	GO_PANIC,         /* a Go function that the sandbox called did not return */
};

/* One frame of a backtrace. */
struct GoPlace {
	uint64_t address, offset, symbol_offset;
	char symbol[LFI_SYMBOL_MAX];
};

/* What went wrong; malloc'ed, and freed by go_failure_free. */
struct GoFailure {
	int code;
	char message[508];
	uintptr_t panic; /* handle of what a Go function panicked with */
	bool has_fault;
	int signal, signal_code, kind;
	char kind_name[32];
	uint64_t address, pc, pc_offset, symbol_offset;
	char symbol[LFI_SYMBOL_MAX];
	uint32_t depth;
	struct GoPlace trace[LFI_BACKTRACE_MAX];
	char text[4096];
};

void go_failure_free(struct GoFailure *failure);

/* A number, or why there is none. */
struct GoResult {
	uint64_t value;
	struct GoFailure *failure;
};

/* ---- Engines ---- */

struct GoEngineOptions {
	bool verbose, no_verify, stores_only, jumps_only, single_thread, no_rdtsc;
	unsigned bundle;
};

struct GoResult go_engine_new(struct GoEngineOptions options, size_t boxes);
struct GoFailure *go_engine_free(uintptr_t engine);
/* From now on runtime calls are served by Go (core API). */
void go_engine_serve(uintptr_t engine);

struct GoResult go_linux_new(
    uintptr_t engine, char **maps, const char *wd, size_t stack_size, bool verbose, bool exit_unknown);
struct GoFailure *go_linux_free(uintptr_t linux_);

/* ---- Boxes ---- */

struct GoBox;
struct GoFn;
struct GoCancel;

/* A box of the core API; a process without a program; one that is a clone. The value is a struct GoBox. */
struct GoResult go_box_new(uintptr_t engine);
struct GoResult go_proc_new(uintptr_t linux_, unsigned seats);
struct GoResult go_snapshot_clone(uintptr_t snapshot, unsigned seats);

/* The number of the box's life, for calls into it: a new one with each reset, 0 when there is none. */
uint64_t go_box_serial(struct GoBox *box);

/* End the box's life unless somebody is in it (LFI_ERR_BUSY). Then it can be renewed, or emptied. */
struct GoFailure *go_box_retire(struct GoBox *box);
/* Back to its snapshot, and a new life. */
struct GoResult go_box_renew(struct GoBox *box);
/* Free what is in it: the box, the process. It was retired. */
struct GoFailure *go_box_empty(struct GoBox *box);
/* Free the struct, and what is left in it. Nobody uses it any more. */
void go_box_free(struct GoBox *box);

struct LFIBox *go_box_raw(struct GoBox *box);
struct GoFailure *go_box_load(struct GoBox *box, const void *image, size_t size, const char *name);
struct GoFailure *go_box_stdio(struct GoBox *box, int in, int out, int err);
struct GoFailure *go_box_thread(struct GoBox *box, int argc, char **argv, char **envp);
/* Run the program to its end (its status), or until it is a library. */
struct GoResult go_box_run(
    struct GoBox *box, uint64_t serial, bool library, uint64_t timeout_ns, struct GoCancel *cancel);
struct GoResult go_box_snapshot(struct GoBox *box);
void go_snapshot_free(uintptr_t snapshot);

struct GoResult go_box_map(struct GoBox *box, uint64_t at, size_t size, int prot);
struct GoFailure *go_box_protect(struct GoBox *box, uint64_t at, size_t size, int prot);
struct GoFailure *go_box_unmap(struct GoBox *box, uint64_t at, size_t size);
struct GoFailure *go_box_read(struct GoBox *box, void *to, uint64_t from, size_t size);
struct GoFailure *go_box_write(struct GoBox *box, uint64_t to, const void *from, size_t size);
/* At most `room` bytes with the NUL; the value is the length. */
struct GoResult go_box_string(struct GoBox *box, char *to, uint64_t from, size_t room);
struct GoResult go_box_pin(struct GoBox *box, uint64_t at, size_t size, bool write);
void go_box_unpin(struct GoBox *box, uint64_t at, size_t size);
struct GoResult go_box_symbol(struct GoBox *box, const char *name);
struct GoFailure *go_box_interrupt(struct GoBox *box);
struct GoFailure *go_box_limit(struct GoBox *box, uint64_t mapped, uint64_t cpu_ns, uint32_t threads, uint32_t files);
struct LFIBoxStats go_box_stats(struct GoBox *box);
struct LFIBoxInfo go_box_info(struct GoBox *box);
struct GoFailure *go_box_prepare_calls(struct GoBox *box);

/* Let the sandbox call the Go function behind the handle. At `at`, which was free in the snapshot that the box is a
 * clone of; 0: anywhere. */
struct GoResult go_box_register(struct GoBox *box, const char *signature, uintptr_t handle, uint64_t at);
struct GoFailure *go_box_unregister(struct GoBox *box, uint64_t at);

/* ---- Contexts ---- */

/* One of the core API. */
struct GoResult go_ctx_new(struct GoBox *box);
/* One that is lent to threads of a process. */
struct GoResult go_ctx_lend(struct GoBox *box);
struct GoFailure *go_ctx_free(uintptr_t ctx);
struct GoFailure *go_ctx_regs(uintptr_t ctx, struct LFIRegs *out);
struct GoFailure *go_ctx_set_regs(uintptr_t ctx, const struct LFIRegs *regs);
void go_ctx_exit(uintptr_t ctx, int code);
/* `handler` is what serves runtime calls meanwhile, or 0. */
struct GoResult go_ctx_run(struct GoBox *box, uint64_t serial, uintptr_t ctx, uint64_t entry, uintptr_t handler,
    uint64_t timeout_ns, struct GoCancel *cancel);

/* ---- Calls ---- */

/* `structs`: bit i: argument i is a struct, passed by its place in the buffer of go_fn_call_fully. */
struct GoResult go_fn_new(
    struct GoBox *box, uint64_t address, const char *signature, uint64_t structs, bool struct_result);

/* Up to three arguments that are no structs; all that C passes in registers. */
struct GoResult go_fn_call_few(uintptr_t fn, uint64_t serial, uint64_t a, uint64_t b, uint64_t c);

/* Up to six arguments that are no structs. `fn` is a struct GoFn; cgo would look at a pointer. */
struct GoResult go_fn_call(
    uintptr_t fn, uint64_t serial, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);

/* What is copied into the sandbox before a call. */
struct GoCopy {
	uint64_t to, from, size; /* `from` counts from the buffer's start */
};

/* The rest of what a call may have. */
struct GoCall {
	uint64_t timeout_ns;
	struct GoCancel *cancel;
	uintptr_t ctx;     /* lent, or of the core API; 0: the thread's own */
	uintptr_t handler; /* as in go_ctx_run */
	uint32_t nargs, ncopies;
};

/* The buffer: a word for each argument, one for the result, ncopies struct GoCopy, then what those and structs need. Of
 * a struct the word says where it is, counted from the buffer's start. */
struct GoResult go_fn_call_fully(struct GoFn *fn, uint64_t serial, uint8_t *buffer, struct GoCall call);

/* ---- Cancelling ---- */

struct GoCancel *go_cancel_new(void);
/* End the call that it was, or will be, given to. */
void go_cancel_fire(struct GoCancel *cancel);
/* By each of the two that have it: who calls, and who fires. */
void go_cancel_drop(struct GoCancel *cancel);

/* ---- The rest ---- */

struct GoFailure *go_signal_reclaim(void);

struct GoViolation {
	uint64_t offset, size;
	int rule;
	char rule_name[24], instruction[96], reason[160];
};

/* Verify code; at most `room` violations are kept, the value is their number. */
struct GoResult go_verify(const void *code, size_t size, uint64_t offset, struct GoEngineOptions options,
    struct GoViolation *out, size_t room);

#endif
