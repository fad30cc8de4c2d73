/* SPDX-License-Identifier: MIT */
/*
 * Where the calling thread's stack is. Linux, glibc and musl. Trusted.
 */
#include <pthread.h>

#include "os/os.h"

bool
os_stack(uint64_t *low, uint64_t *high)
{
	pthread_attr_t attr;
	void *start;
	size_t size;
	bool found;

	if (pthread_getattr_np(pthread_self(), &attr) != 0)
		return false;
	found = pthread_attr_getstack(&attr, &start, &size) == 0 && size > 0;
	pthread_attr_destroy(&attr);
	if (!found)
		return false;
	*low = (uint64_t) start;
	*high = (uint64_t) start + size;
	return true;
}
