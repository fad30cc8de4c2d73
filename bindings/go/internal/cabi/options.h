/* SPDX-License-Identifier: MIT */
/*
 * Structs that cross the ABI with their size. A shorter struct of an older
 * caller means defaults for what it lacks; a longer one of a newer caller is
 * accepted when its unknown tail is zero. Trusted.
 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stddef.h>

/* Copies the caller's struct of `size` bytes to our own of `known` bytes. 0, or -1 with LFI_ERR_INVALID naming `what`.
 */
int options_take(void *own, size_t known, const void *given, size_t size, const char *what);

/* Copies our struct out to the caller's of `size` bytes, zeroing what we do not know. 0, or -1 with LFI_ERR_INVALID. */
int options_give(void *given, size_t size, const void *own, size_t known);

#endif
