/* SPDX-License-Identifier: MIT */
/* Structs that cross the ABI with their size; see options.h. Trusted. */
#include "options.h"

#include <lfi/lfi_core.h>
#include <string.h>

#include "error.h"

int
options_take(void *own, size_t known, const void *given, size_t size, const char *what)
{
	const unsigned char *bytes = given;

	if (!given)
		return error_set(LFI_ERR_INVALID, "%s is NULL", what);
	for (size_t i = known; i < size; i++)
		if (bytes[i])
			return error_set(LFI_ERR_INVALID,
			    "%s of %zu bytes sets byte %zu, which this library (%s) does not know", what, size, i,
			    lfi_version_string());
	memset(own, 0, known);
	memcpy(own, given, size < known ? size : known);
	return 0;
}

void
options_give(void *given, size_t size, const void *own, size_t known)
{
	memset(given, 0, size);
	memcpy(given, own, size < known ? size : known);
}
