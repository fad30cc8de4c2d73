//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* umask(2). The host process's own mask applies too. Trusted. */
#include "sys.h"

int64_t
sys_umask(struct LFILinuxThread *thread, const uint64_t *args)
{
	return atomic_exchange(&thread->proc->umask, (unsigned) args[0] & 0777);
}
