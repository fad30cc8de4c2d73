//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* Which version of the library is running. */
#include "lfi_version.h"

int
lfi_version(void)
{
	return LFI_VERSION_NUMBER;
}

const char *
lfi_version_string(void)
{
	return LFI_VERSION_STRING;
}
