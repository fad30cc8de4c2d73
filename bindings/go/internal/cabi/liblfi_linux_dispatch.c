//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * A system call of the sandbox: from registers to a handler and back, and the
 * trace that `verbose` writes. Called by the core on the host's stack. Trusted.
 *
 *   I1  Only rows of the table are served (or, when the host program asked for it, the host's kernel).
 *   I2  A thread of a process that has ended never goes back into the sandbox.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sys.h"

enum { SHOWN_STRING = 64, LINE = 512 };

/* The program's string in quotes; what cannot be read is shown as an address. */
static int
show_string(struct LFILinuxThread *thread, uint64_t address, char *out, size_t room)
{
	char text[PATH_MAX];
	size_t used = 0;

	if (copy_in_path(thread, text, address) < 0)
		return snprintf(out, room, "0x%" PRIx64, address);
	out[used++] = '"';
	for (size_t i = 0; text[i] && i < SHOWN_STRING && used + 8 < room; i++)
		used += (size_t) snprintf(out + used, room - used, isprint((unsigned char) text[i]) ? "%c" : "\\x%02x",
		    (unsigned char) text[i]);
	out[used++] = '"';
	out[used] = 0;
	return (int) used;
}

static int
show_arg(struct LFILinuxThread *thread, char kind, uint64_t value, char *out, size_t room)
{
	switch (kind) {
	case 'd':
		return snprintf(out, room, "%d", (int) value);
	case 'u':
		return snprintf(out, room, "%" PRIu64, value);
	case 'o':
		return snprintf(out, room, "0%" PRIo64, value);
	case 's':
		return show_string(thread, value, out, room);
	}
	return snprintf(out, room, "0x%" PRIx64, value);
}

/* Before the call: what it changes is not what it was given. */
static void
trace_enter(struct LFILinuxThread *thread, const struct SysCall *call, const uint64_t *args, char line[LINE])
{
	size_t used = (size_t) snprintf(line, LINE, "[%d] %s(", thread->tid, call->name);
	size_t arity = strlen(call->kinds);

	for (size_t i = 0; i < arity && used + 96 < LINE; i++) {
		if (i)
			used += (size_t) snprintf(line + used, LINE - used, ", ");
		used += (size_t) show_arg(thread, call->kinds[i], args[i], line + used, LINE - used);
	}
}

static void
trace_leave(const char *line, int64_t result)
{
	if (result < 0 && result >= -4095)
		log_line("%s) = -%s", line, strerrorname_np((int) -result));
	else if (result > 0xffff)
		log_line("%s) = 0x%" PRIx64, line, result);
	else
		log_line("%s) = %" PRId64, line, result);
}

static int64_t
unknown(struct LFILinuxThread *thread, uint64_t number, const uint64_t *args)
{
	struct LFILinuxProc *proc = thread->proc;

	if (proc->engine->opts.sys_passthrough)
		return host_result(syscall((long) number, args[0], args[1], args[2], args[3], args[4], args[5]));
	if (proc->verbose || proc->engine->opts.exit_unknown_syscalls)
		log_line("[%d] unknown system call %" PRIu64 "(0x%" PRIx64 ", 0x%" PRIx64 ", 0x%" PRIx64 ")",
		    thread->tid, number, args[0], args[1], args[2]);
	if (proc->engine->opts.exit_unknown_syscalls) {
		error_set(LFI_ERR_UNSUPPORTED, "the program made system call %" PRIu64 ", which is not known", number);
		proc_end_error(proc, NULL);
	}
	return -ENOSYS;
}

static int64_t
serve(struct LFILinuxThread *thread, const struct SysCall *call, const uint64_t *args)
{
	char line[LINE];
	int64_t result;

	if (!thread->proc->verbose)
		return call->handler(thread, args);
	trace_enter(thread, call, args, line);
	result = call->handler(thread, args);
	trace_leave(line, result);
	return result;
}

void
dispatch(struct LFIContext *ctx)
{
	struct LFILinuxThread *thread = lfi_ctx_data(ctx);
	struct LFIRegs *regs = lfi_ctx_regs(ctx);
	const struct SysCall *call = abi_syscall(abi_number(regs));
	uint64_t args[6];
	int64_t result = -ENOSYS;

	abi_args(regs, args);
	/* A context that is not of this library has no process to act on. */
	if (thread && !proc_has_ended(thread->proc))
		result = call ? serve(thread, call, args) : unknown(thread, abi_number(regs), args);
	abi_set_result(regs, result);
	if (thread && proc_has_ended(thread->proc))
		lfi_ctx_exit(ctx, proc_status(thread->proc));
}
