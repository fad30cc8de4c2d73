/* SPDX-License-Identifier: MIT */
/*
 * The C library's allocator for tests in which memory runs out: linked with --wrap of each function here, for one file
 * of a test, which says when.
 */
#ifndef TESTS_REFUSE_MEMORY_H
#define TESTS_REFUSE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Whether this call is refused. */
static bool refused(void);

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *
__wrap_malloc(size_t size)
{
	return refused() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return refused() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
	return refused() ? NULL : __real_realloc(old, size);
}

#endif
