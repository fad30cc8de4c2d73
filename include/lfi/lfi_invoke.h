/* SPDX-License-Identifier: MIT */
/* LFI_INVOKE, for C and C++. Included by lfi_core.h; not for direct use. */
#ifndef LFI_INVOKE_H
#define LFI_INVOKE_H

/* Filled in with the core library. */

#endif
