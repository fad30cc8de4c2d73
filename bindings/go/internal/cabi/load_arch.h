/* SPDX-License-Identifier: MIT */
/* What the loader needs to know about x86-64. Trusted. */
#ifndef LOAD_ARCH_H
#define LOAD_ARCH_H

#include <elf.h>

enum {
	LOAD_MACHINE = EM_X86_64,
	LOAD_PAGE = 4096,
	LOAD_TRAP_BYTE = 0xcc, /* int3: fills what the file leaves of a code page */
	LOAD_ENTRY_ALIGN = 16, /* the smaller bundle; the core rounds an entry down to the bundle of its box */
};

#endif
