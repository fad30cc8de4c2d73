//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* Structs that cross the ABI with their size; see options.h. Trusted. */
#include "options.h"

#include "lfi_core.h"
#include <string.h>

#include "error.h"

/* No struct of this library is near: who passes more means something else. */
#define SIZE_LIMIT 4096

static int
check(const void *given, size_t size, const char *what)
{
	if (!given)
		return error_null(what);
	if (size > SIZE_LIMIT)
		return error_set(LFI_ERR_INVALID, "%s has %zu bytes: no version of it is that large", what, size);
	return 0;
}

int
options_take(void *own, size_t known, const void *given, size_t size, const char *what)
{
	const unsigned char *bytes = given;

	if (check(given, size, what) < 0)
		return -1;
	for (size_t i = known; i < size; i++)
		if (bytes[i])
			return error_set(LFI_ERR_INVALID,
			    "%s of %zu bytes sets byte %zu, which this library (%s) does not know", what, size, i,
			    lfi_version_string());
	memset(own, 0, known);
	memcpy(own, given, size < known ? size : known);
	return 0;
}

int
options_give(void *given, size_t size, const void *own, size_t known)
{
	if (check(given, size, "struct for the result") < 0)
		return -1;
	memset(given, 0, size);
	memcpy(given, own, size < known ? size : known);
	return 0;
}
