/* SPDX-License-Identifier: MIT */
/*
 * The host's kernel as core uses it. Functions that can fail return 0 or an
 * errno value, and pointers through `out`. Trusted.
 */
#ifndef CORE_OS_H
#define CORE_OS_H

#include "lfi_core.h"
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fork.h"

/* Inaccessible address space of the kernel's choice. */
int os_reserve(size_t size, void **out);

/* Replace what is there by inaccessible address space. Works at the kernel's limit of mappings too, after
 * os_spare_init. */
int os_unuse(uint64_t addr, size_t size);
void os_spare_init(void);
void os_spare_fork(enum ForkStep step);

/*
 * Bytes of [addr, addr + size) that are in memory and private: not those of a file that nobody wrote to. `map` is what
 * os_pagemap_open gave, which may be -1; then only `anonymous` pages can be counted.
 */
int os_pagemap_open(void);
void os_pagemap_close(int map);
uint64_t os_resident(int map, uint64_t addr, size_t size, bool anonymous);

/* Whether something, be it inaccessible, is mapped at all of [addr, addr + size). */
bool os_mapped(uint64_t addr, size_t size);

/* Give address space back to the host. */
void os_release(void *addr, size_t size);

/* Pages at exactly `addr`, or of the kernel's choice when that is 0. prot and flags are LFI_*; fd is -1 for anonymous
 * ones. */
int os_map(uint64_t addr, size_t size, int prot, int flags, int fd, off_t off, void **out);

int os_protect(uint64_t addr, size_t size, int prot);

/* Move pages, replacing what is at `to`. */
int os_move(void *from, size_t size, uint64_t to);

/* Make a second mapping of shared pages at `to`, replacing what is there. */
int os_duplicate(void *from, size_t size, uint64_t to);

/* Pages that can be duplicated, read-write. */
int os_shareable(size_t size, void **out);

/* A read-write page at an address that cannot be guessed. */
int os_random_page(size_t size, void **out);

/*
 * A file of `size` bytes in memory, all holes; write and read parts of it; after os_image_seal nobody can write, cut
 * or grow it any more, through whatever descriptor or mapping.
 */
int os_image_new(uint64_t size, int *out);
int os_image_write(int fd, const void *bytes, size_t size, uint64_t off);
int os_image_read(int fd, void *bytes, size_t size, uint64_t off);
int os_image_seal(int fd);
void os_image_close(int fd);

/* Private pages become what they were when they were mapped. */
int os_discard(uint64_t addr, size_t size);

/* Whether the page holds something of its own; true when it cannot be told. */
bool os_pagemap_touched(int fd, uint64_t addr);

/* Whether os_barrier works here. Once per process. */
bool os_barrier_init(void);

/* After it, each thread of the process has passed a full memory barrier. False when the kernel has come to forbid it.
 */
bool os_barrier(void);

/* The calling thread's stack, [low, high). False when the C library does not know. */
bool os_stack(uint64_t *low, uint64_t *high);

/*
 * For pthread_attr_setstacksize, so that `bytes` are left for functions: C libraries put the thread-local variables of
 * the host program and its libraries on the stack. The first call may not be in a child of fork(2), where another
 * thread may have left the loader's lock taken for ever.
 */
size_t os_stack_size(size_t bytes);

size_t os_pagesize(void);

/* Signal handlers for faults, counted: installed with the first engine, on top with each, taken back with the last. */
int os_signals_take(void);
void os_signals_give(void);
void os_signals_fork(enum ForkStep step);

/* Let the handler that was there before have a signal; for handlers. */
void os_signal_pass_on(struct sigaction *previous, int sig, siginfo_t *info, void *uc);

/*
 * The signal that makes a thread look at the requests of interrupt.c: kick.c. Its handler goes with those for faults.
 * os_kick: from signal handlers too, with signals blocked. False when too many signals wait in the kernel already.
 */
int os_kick_install(void);
void os_kick_uninstall(void);
bool os_kick(int tid);
void os_kick_unblock(void);

/* CLOCK_MONOTONIC, ns */
uint64_t os_now(void);

/*
 * The thread that keeps deadlines and CPU limits: watchdog.c. Started by the first that needs it, ended with the last
 * engine. 0, or -1 with the error set.
 */
int watchdog_start(void);
void watchdog_stop(void);

/* Look at the context at `when` (os_now); the watchdog has been started. */
void watchdog_watch(struct LFIContext *ctx, uint64_t when);

/* The context is going to be freed. */
void watchdog_forget(struct LFIContext *ctx);

/* The child has no watchdog until it needs one. */
void watchdog_fork(enum ForkStep step);

/* An alternate signal stack and unblocked fault signals for the calling thread. 0, or -1 with the error set. */
int os_thread_ready(void);

/* Have fork(2) leave a child that can use the library. Once per process. 0 or an errno value. */
int os_fork_init(void);

#endif
