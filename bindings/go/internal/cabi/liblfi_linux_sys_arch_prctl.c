//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* arch_prctl(2): ARCH_SET_FS and ARCH_GET_FS, on the virtual thread pointer. Trusted. */
#include <asm/prctl.h>

#include "sys.h"

int64_t
sys_arch_prctl(struct LFILinuxThread *thread, const uint64_t *args)
{
	lfiptr tp;

	switch (args[0]) {
	case ARCH_SET_FS:
		lfi_ctx_set_tp(thread->ctx, args[1]);
		return 0;
	case ARCH_GET_FS:
		tp = lfi_ctx_tp(thread->ctx);
		return copy_out(thread, args[1], &tp, sizeof tp);
	}
	return -EINVAL;
}
