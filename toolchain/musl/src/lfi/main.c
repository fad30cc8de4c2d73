/* SPDX-License-Identifier: MIT */
/*
 * The main of a program that has none: a library whose functions the host
 * calls; and what the host needs to call them from more than one thread.
 * Linked only when nothing else defines main. Runs in the sandbox, not trusted.
 */
#define _GNU_SOURCE
#include "libc.h"
#include "pthread_impl.h"
#include "stdio_impl.h"
#include "syscall.h"
#include <sched.h>
#include <sys/mman.h>

#define LFI_LIBRARY_READY 0x4c4649

/* Members of the C library that may not be linked: as in pthread_create.c. */
static volatile size_t no_tsd_size = 0;
weak_alias(no_tsd_size, __pthread_tsd_size);
static void *no_tsd[1] = {0};
weak_alias(no_tsd, __pthread_tsd_main);
static FILE *volatile no_file = 0;
weak_alias(no_file, __stdin_used);
weak_alias(no_file, __stdout_used);
weak_alias(no_file, __stderr_used);

static void
lock_file_from_now_on(FILE *f)
{
	if (f && f->lock < 0)
		f->lock = 0;
}

/*
 * What the first pthread_create does, and for good: the host may call on a second thread while the first is anywhere,
 * also in the middle of what needs a lock.
 */
static void
start_locking(void)
{
	for (FILE *f = *__ofl_lock(); f; f = f->next)
		lock_file_from_now_on(f);
	__ofl_unlock();
	lock_file_from_now_on(__stdin_used);
	lock_file_from_now_on(__stdout_used);
	lock_file_from_now_on(__stderr_used);
	__pthread_self()->tsd = (void **) __pthread_tsd_main;
	libc.threaded = 1;
	libc.need_locks = 1;
}

/* The lock of the list of threads, as thread `tid`: the thread pointer may be borrowed, so that __tl_lock could take
 * its owner for us. */
static void
list_lock(int tid)
{
	while (a_cas(&__thread_list_lock, 0, tid))
		__syscall(SYS_sched_yield);
}

static void
list_unlock(void)
{
	a_store(&__thread_list_lock, 0);
	__wake(&__thread_list_lock, 1, 0);
}

/*
 * The thread pointer of one more thread, which the host calls functions on, or 0 when memory is short. `tid` is what
 * gettid says on it. Runs on any thread's pointer; leaves errno alone.
 */
void *
__lfi_new_thread(int tid)
{
	pthread_t self = __pthread_self(), new;
	size_t size = (libc.tls_size + __pthread_tsd_size + PAGE_SIZE - 1) & -PAGE_SIZE;
	long map = __syscall(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
	unsigned char *tsd;

	if ((unsigned long) map > -4096UL)
		return 0;
	tsd = (unsigned char *) map + size - __pthread_tsd_size;
	new = __copy_tls(tsd - libc.tls_size);
	new->self = new;
	new->map_base = (unsigned char *) map;
	new->map_size = size;
	new->tsd = (void **) tsd;
	new->locale = &libc.global_locale;
	new->detach_state = DT_DETACHED;
	new->robust_list.head = &new->robust_list.head;
	new->canary = self->canary;
	new->sysinfo = self->sysinfo;
	new->tid = tid;
	list_lock(tid);
	libc.threads_minus_1++;
	new->next = self->next;
	new->prev = self;
	new->next->prev = new;
	new->prev->next = new;
	list_unlock();
	return TP_ADJ(new);
}

/* Gives it back, from a thread with another pointer. Destructors of thread-specific data do not run. */
void
__lfi_free_thread(void *pointer)
{
	pthread_t thread = pointer;

	list_lock(thread->tid);
	thread->next->prev = thread->prev;
	thread->prev->next = thread->next;
	libc.threads_minus_1--;
	list_unlock();
	__syscall(SYS_munmap, thread->map_base, thread->map_size);
}

/* Start-up is over: the host keeps the sandbox and does not come back. Under a host that knows no libraries, an empty
 * program. */
int
main(void)
{
	start_locking();
	__syscall(LFI_LIBRARY_READY);
	return 0;
}
