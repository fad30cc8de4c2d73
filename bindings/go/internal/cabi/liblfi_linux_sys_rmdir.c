//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* rmdir(2). The root of a mapping cannot be removed: EBUSY. Trusted. */
#include <fcntl.h>

#include "sys.h"

int64_t
sys_rmdir(struct LFILinuxThread *thread, const uint64_t *args)
{
	return unlink_entry(thread, PLACE_CWD, args[0], AT_REMOVEDIR);
}
