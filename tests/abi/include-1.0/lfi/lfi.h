/* SPDX-License-Identifier: MIT */
/* All public headers of lfi. */
#ifndef LFI_H
#define LFI_H

#include <lfi/lfi_arch.h>
#include <lfi/lfi_core.h>
#include <lfi/lfi_linux.h>
#include <lfi/lfi_rewrite.h>
#include <lfi/lfi_verify.h>
#include <lfi/lfi_version.h>

#endif
