//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* uname(2). A fixed system: nothing of the host but its processor. Trusted. */
#include <sys/utsname.h>

#include "sys.h"

int64_t
sys_uname(struct LFILinuxThread *thread, const uint64_t *args)
{
	static const struct utsname system = {
	    .sysname = "Linux",
	    .nodename = "lfi",
	    .release = "6.1.0-lfi",
	    .version = "#1 lfi " LFI_VERSION_STRING,
	    .machine = ABI_MACHINE,
	    .domainname = "(none)",
	};

	return copy_out(thread, args[0], &system, sizeof system);
}
