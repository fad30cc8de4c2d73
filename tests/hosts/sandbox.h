/* SPDX-License-Identifier: MIT */
/* A sandbox for hosts in other languages, as one library: see sandbox.c. Ints are 0 or -1 where nothing else is said.
 */
#ifndef TESTS_HOSTS_SANDBOX_H
#define TESTS_HOSTS_SANDBOX_H

#define SANDBOX_FAULTS 6 /* kinds for sandbox_fault: 0 and up */

/* Make the engine and the box; destroy them. */
int sandbox_open(void);
void sandbox_close(void);

/* A function of the sandbox traps, on any thread. 0: it was told as LFI_ERR_FAULT, of the right kind and signal. */
int sandbox_fault(int kind);

/* a + b, in the sandbox, on any thread. */
int sandbox_add(int a, int b);

/* In the sandbox until sandbox_stop. */
int sandbox_spin(void);
int sandbox_stop(void);

/* lfi_signal_reclaim. */
int sandbox_reclaim(void);

/* Fault in C code of the host. */
void sandbox_crash_host(void);

/* Of the calling thread. */
const char *sandbox_error(void);

#endif
