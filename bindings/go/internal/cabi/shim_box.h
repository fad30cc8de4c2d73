/* SPDX-License-Identifier: MIT */
/* What the parts of the shim share. */
#ifndef LFI_GO_SHIM_BOX_H
#define LFI_GO_SHIM_BOX_H

#include "shim.h"

#include <stdatomic.h>

struct Seat;
struct GoHost;

struct GoBox {
	_Atomic uint64_t serial; /* 0: none */
	struct LFIBox *box;      /* NULL: empty */
	struct LFILinuxProc *proc;
	unsigned room, taken; /* seats with a context of their own; `taken` is without the first thread's */
	bool primary_taken;   /* the first thread's context is somebody's */
	struct Seat *seats;
	struct GoFn *fns;
	struct GoHost *hosts;
};

/* malloc'ed; never NULL: without memory the process ends, as with Go. */
struct GoFailure *go_fail(int code, const char *message);

/* The thread's last error. */
struct GoFailure *go_failed(void);

/* NULL, or why liblfi has said -1. */
struct GoFailure *go_status(int r);

struct GoResult go_pointer(void *made);

/* Once per process: thread-specific data, and barriers. */
void go_begin(void);

#endif
