/* SPDX-License-Identifier: MIT */
/*
 * The public handles that are alive: see handles.c. Each public function that is not on a fast path asks here before it
 * looks into what it was given. Used by core and linux. Trusted.
 */
#ifndef CORE_HANDLES_H
#define CORE_HANDLES_H

#include <stdbool.h>

#include "fork.h"

enum HandleKind {
	HANDLE_ENGINE = 1,
	HANDLE_BOX,
	HANDLE_CONTEXT,
	HANDLE_FN,
	HANDLE_LINUX,
	HANDLE_PROC,
	HANDLE_THREAD,
	HANDLE_SNAPSHOT,
	HANDLE_POOL,
	HANDLE_KINDS
};

/* An object that is about to be handed out, 16-byte aligned. 0, or -1 with LFI_ERR_NOMEM. */
int handle_add(const void *handle, enum HandleKind kind);

/* It is about to be freed. False when it is not there (any more): then it is not the caller's to free. */
bool handle_drop(const void *handle, enum HandleKind kind);

/* Whether there is such an object. Signal handlers may call it, and the next. */
bool handle_is(const void *handle, enum HandleKind kind);

/* 0, or -1 with LFI_ERR_INVALID: NULL, freed, or something else. Nothing is read where it leads to. */
int handle_check(const void *handle, enum HandleKind kind);

/* As handle_check, for what frees: NULL is no error. True when there is something to free. */
bool handle_given(const void *handle, enum HandleKind kind);

void handles_fork(enum ForkStep step);

#endif
