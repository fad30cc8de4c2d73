/* SPDX-License-Identifier: MIT */
/*
 * The main of a program that has none: a library whose functions the host will call. It tells the host that start-up is
 * over; the host keeps the sandbox and does not come back. Linked only when nothing else defines main.
 */
#include "syscall.h"

#define LFI_LIBRARY_READY 0x4c4649

int
main(void)
{
	return (int) __syscall(LFI_LIBRARY_READY);
}
