//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Where the calling thread's stack is, and how large one has to be. Linux, glibc and musl. Trusted.
 */
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>

#include "os.h"

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

/* Adds what one loaded file has of thread-local variables. */
static int
add_tls(struct dl_phdr_info *file, size_t info_size, void *sum)
{
	for (unsigned i = 0; i < file->dlpi_phnum; i++)
		if (file->dlpi_phdr[i].p_type == PT_TLS)
			*(size_t *) sum += file->dlpi_phdr[i].p_memsz + file->dlpi_phdr[i].p_align;
	return 0;
}

size_t
os_stack_size(size_t bytes)
{
	static _Atomic size_t tls = SIZE_MAX;
	size_t sum = 0;

	if (atomic_load(&tls) == SIZE_MAX) {
		dl_iterate_phdr(add_tls, &sum);
		atomic_store(&tls, sum);
	}
	return bytes + atomic_load(&tls);
}
