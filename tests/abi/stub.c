/* SPDX-License-Identifier: MIT */
/* A library of a few public functions that do nothing, for gate.sh: its ABI is what is looked at. */
#include <lfi/lfi.h>

const char *
lfi_error_name(int code)
{
	return code ? "" : NULL;
}

void
lfi_error_get(struct LFIError *out)
{
	out->code = 0;
}

struct LFIEngine *
lfi_new_sized(const struct LFIOptions *opts, size_t size, size_t nsandboxes)
{
	return opts && size < nsandboxes ? (struct LFIEngine *) opts : NULL;
}

void
lfi_sys_handler(struct LFIEngine *engine, LFISysHandler handler)
{
	if (engine && handler)
		handler(NULL);
}

struct LFIRegs *
lfi_ctx_regs(struct LFIContext *ctx)
{
	return (struct LFIRegs *) ctx;
}

int
lfi_ctx_fault_sized(struct LFIContext *ctx, struct LFIFault *out, size_t size)
{
	return ctx && size > sizeof *out;
}
