//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* getrandom(2). At most 1 MiB at a time. Trusted. */
#include <sys/random.h>

#include "sys.h"

enum { RANDOM_MAX = 1024 * 1024 };

int64_t
sys_getrandom(struct LFILinuxThread *thread, const uint64_t *args)
{
	uint64_t size = args[1] < RANDOM_MAX ? args[1] : RANDOM_MAX;
	void *buffer = guest_span(thread, args[0], size);

	if (!buffer)
		return -EFAULT;
	return RETRY(thread, getrandom(buffer, size, (unsigned) args[2] & (GRND_NONBLOCK | GRND_RANDOM)));
}
