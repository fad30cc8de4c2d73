//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Faults. Sandboxed code that traps, and guarded copies that meet an unmapped page, raise a signal; this file turns
 * the first into the end of the entry and the second into a short copy, and passes everything else on to whoever
 * handled the signal before. Linux. Trusted.
 *
 *   I1  A fault is ours only when the processor raised it, at a pc inside the box of the context that the thread
 *       entered last, while that context executes; or at a pc inside a guarded copy.
 *   I2  Nothing else changes: previous handlers run with the mask that they asked for, and a default action is
 *       the default action.
 *   I3  No signal handler runs on a sandbox's stack: each thread that enters a sandbox has an alternate stack,
 *       and handlers that were installed before the first engine are told to use it.
 *   I4  Passing on ends. Each of our handlers passes on to the one that it was put over, and no handler is put over
 *       one that can have found it: such a one finds a handler of a lower level.      claim
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "box.h"
#include "error.h"
#include "os.h"

#define STACK_SIZE ((size_t) 64 * 1024)

static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
#define NFAULTS (sizeof fault_signals / sizeof fault_signals[0])

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t users;

/*
 * Who puts a handler over ours may call the one that he found for what is not his. When we go over him in turn, it is
 * with the handler of the next level, which passes on to him; what he calls passes on to what was below him.
 */
#define LEVELS 4
static struct sigaction previous[NFAULTS][LEVELS];
static unsigned levels[NFAULTS]; /* how many are installed, or can have been found by others */

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t stack_key;
static int key_error;

/* ---- What is not ours ---- */

/* The disposition is what it was before us, and the signal is on its way again. */
static void
default_action(int sig, siginfo_t *info)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};

	sigaction(sig, &dfl, NULL);
	/* A fault comes again by itself. A trap has passed its instruction, and what a process sent is gone. */
	if (sig == SIGTRAP || info->si_code <= 0)
		syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), sig, info);
}

void
os_signal_pass_on(struct sigaction *prev, int sig, siginfo_t *info, void *uc)
{
	struct sigaction old = *prev;
	sigset_t mask, before;

	if (old.sa_handler == SIG_IGN && info->si_code <= 0)
		return;
	/* The kernel does not ignore a fault either. */
	if (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN) {
		default_action(sig, info);
		return;
	}
	if (old.sa_flags & (int) SA_RESETHAND)
		prev->sa_handler = SIG_DFL;
	mask = ((ucontext_t *) uc)->uc_sigmask;
	for (int s = 1; s < NSIG; s++)
		if (sigismember(&old.sa_mask, s) == 1)
			sigaddset(&mask, s);
	if (!(old.sa_flags & SA_NODEFER))
		sigaddset(&mask, sig);
	pthread_sigmask(SIG_SETMASK, &mask, &before);
	if (old.sa_flags & SA_SIGINFO)
		old.sa_sigaction(sig, info, uc);
	else
		old.sa_handler(sig);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void
pass_on(unsigned level, int sig, siginfo_t *info, void *uc)
{
	for (size_t i = 0; i < NFAULTS; i++)
		if (fault_signals[i] == sig)
			os_signal_pass_on(&previous[i][level], sig, info, uc);
}

/* ---- What is ours ---- */

/* Whether si_addr means something. */
static bool
has_address(int sig, const siginfo_t *info)
{
	return (sig == SIGSEGV || sig == SIGBUS) && info->si_code != SI_KERNEL;
}

/* I1. */
static struct LFIContext *
faulting_context(int sig, const siginfo_t *info, uint64_t pc)
{
	struct LFIContext *ctx = thread_self.cur;

	if (!ctx || atomic_load_explicit(&ctx->state, memory_order_relaxed) != STATE_SANDBOX)
		return NULL;
	if (info->si_code <= 0 || (sig == SIGBUS && info->si_code == BUS_MCEERR_AO))
		return NULL;
	return pc - ctx->box->base < BOX_SIZE ? ctx : NULL;
}

/* Whether the fault was ours: then `uc` leads out of it. */
static bool
take_fault(int sig, const siginfo_t *info, ucontext_t *uc)
{
	uint64_t pc = arch_fault_pc(uc);
	uint64_t fixup = info->si_code > 0 && (sig == SIGSEGV || sig == SIGBUS) ? arch_guard_fixup(pc) : 0;
	struct LFIContext *ctx;

	if (fixup) {
		arch_fault_goto(uc, fixup);
		return true;
	}
	ctx = faulting_context(sig, info, pc);
	if (!ctx)
		return false;
	ctx->fault.signal = sig;
	ctx->fault.code = info->si_code;
	ctx->fault.address = has_address(sig, info) ? (uint64_t) info->si_addr : 0;
	ctx->fault.pc = pc;
	arch_fault_regs(uc, &ctx->fault.regs);
	ctx->faulted = true;
	arch_fault_leave(uc, ctx, END_FAULT);
	return true;
}

static void
on_fault(unsigned level, int sig, siginfo_t *info, void *context)
{
	int err = errno;

	if (!take_fault(sig, info, context))
		pass_on(level, sig, info, context);
	errno = err;
}

static void
on_fault_0(int sig, siginfo_t *info, void *context)
{
	on_fault(0, sig, info, context);
}

static void
on_fault_1(int sig, siginfo_t *info, void *context)
{
	on_fault(1, sig, info, context);
}

static void
on_fault_2(int sig, siginfo_t *info, void *context)
{
	on_fault(2, sig, info, context);
}

static void
on_fault_3(int sig, siginfo_t *info, void *context)
{
	on_fault(3, sig, info, context);
}

static void (*const handlers[LEVELS])(int, siginfo_t *, void *) = {on_fault_0, on_fault_1, on_fault_2, on_fault_3};

int
lfi_signal_handle(int sig, void *siginfo, void *ucontext)
{
	if (!siginfo || !ucontext)
		return 0;
	/* I1: the host may send itself any other signal with any code. */
	for (size_t i = 0; i < NFAULTS; i++)
		if (fault_signals[i] == sig)
			return take_fault(sig, siginfo, ucontext);
	return 0;
}

/* ---- Installing ---- */

/* I3, for handlers that are there already. */
static void
move_handlers(void)
{
	struct sigaction action;

	for (int sig = 1; sig < NSIG; sig++) {
		if (sigaction(sig, NULL, &action) < 0 || (action.sa_flags & SA_ONSTACK))
			continue;
		if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)
			continue;
		action.sa_flags |= SA_ONSTACK;
		sigaction(sig, &action, NULL);
	}
}

/* The level of a handler of ours, or -1. */
static int
level_of(const struct sigaction *action)
{
	for (int level = 0; level < LEVELS; level++)
		if (action->sa_sigaction == handlers[level])
			return level;
	return -1;
}

/*
 * I4. The level to go over `now` with: 0 when nobody is there who can know a handler of ours. LEVELS: none is left. Who
 * is above us for so many times will be there the next time, and calls us or does not.
 */
static unsigned
free_level(size_t i, const struct sigaction *now)
{
	return now->sa_handler == SIG_DFL || now->sa_handler == SIG_IGN ? 0 : levels[i];
}

/* Be the first that gets the signal. 0, or 1 when that cannot be any more, or -1 with the error set. */
static int
claim(size_t i)
{
	struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK}, now;
	int sig = fault_signals[i], ours;
	unsigned level;

	if (sigaction(sig, NULL, &now) < 0)
		return error_set_os(LFI_ERR_OS, errno, "cannot ask for the handler of signal %d", sig);
	ours = level_of(&now);
	level = ours >= 0 ? (unsigned) ours : free_level(i, &now);
	if (level == LEVELS)
		return 1;
	levels[i] = level + 1;
	if (ours >= 0)
		return 0;
	previous[i][level] = now;
	action.sa_sigaction = handlers[level];
	if (sigaction(sig, &action, NULL) < 0)
		return error_set_os(LFI_ERR_OS, errno, "cannot handle signal %d", sig);
	return 0;
}

/* Put back what was there, unless somebody has put something else there since. */
static void
uninstall(size_t n)
{
	struct sigaction now;
	int level;

	for (size_t i = 0; i < n; i++) {
		level = sigaction(fault_signals[i], NULL, &now) == 0 ? level_of(&now) : -1;
		if (level < 0)
			continue;
		sigaction(fault_signals[i], &previous[i][level], NULL);
		levels[i] = (unsigned) level;
	}
}

/* As claim, for all. */
static int
claim_all(void)
{
	int all = 0, r;

	for (size_t i = 0; i < NFAULTS; i++) {
		r = claim(i);
		if (r < 0)
			return -1;
		all |= r;
	}
	return all;
}

static int
install(void)
{
	move_handlers();
	if (claim_all() >= 0 && os_kick_install() == 0)
		return 0;
	uninstall(NFAULTS);
	return -1;
}

int
lfi_signal_reclaim(void)
{
	int r = -1;

	pthread_mutex_lock(&lock);
	if (users == 0)
		error_set(LFI_ERR_INVALID, "there is no engine, so there are no handlers");
	else
		r = claim_all();
	pthread_mutex_unlock(&lock);
	return r <= 0 ? r
		      : error_set(LFI_ERR_UNSUPPORTED, "others have put handlers over the library's %d times", LEVELS);
}

int
os_signals_take(void)
{
	int r;

	pthread_mutex_lock(&lock);
	r = users == 0 ? install() : claim_all();
	if (r >= 0)
		users++;
	pthread_mutex_unlock(&lock);
	return r < 0 ? -1 : 0;
}

void
os_signals_give(void)
{
	pthread_mutex_lock(&lock);
	if (--users == 0) {
		watchdog_stop();
		os_kick_uninstall();
		uninstall(NFAULTS);
	}
	pthread_mutex_unlock(&lock);
}

void
os_signals_fork(enum ForkStep step)
{
	fork_lock(&lock, step);
}

/* ---- Threads ---- */

/* At a thread's end. */
static void
drop_stack(void *stack)
{
	const stack_t none = {.ss_flags = SS_DISABLE};
	stack_t now;

	if (sigaltstack(NULL, &now) == 0 && now.ss_sp == stack)
		sigaltstack(&none, NULL);
	munmap((char *) stack - STACK_SIZE, 2 * STACK_SIZE);
	/* Another destructor may yet enter a sandbox; entry.S asks for the span only. */
	thread_self.ready = false;
	thread_self.stack_span = 0;
}

static void
make_key(void)
{
	key_error = pthread_key_create(&stack_key, drop_stack);
}

/* A stack above as much inaccessible space. */
static int
make_stack(void)
{
	stack_t stack = {.ss_size = STACK_SIZE};
	char *pages;

	pthread_once(&key_once, make_key);
	if (key_error)
		return error_set_os(LFI_ERR_NOMEM, key_error, "cannot keep track of signal stacks");
	pages = mmap(NULL, 2 * STACK_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pages == MAP_FAILED)
		return error_set_os(LFI_ERR_NOMEM, errno, "no memory for a signal stack");
	stack.ss_sp = pages + STACK_SIZE;
	if (mprotect(stack.ss_sp, STACK_SIZE, PROT_READ | PROT_WRITE) < 0 ||
	    pthread_setspecific(stack_key, stack.ss_sp) != 0 || sigaltstack(&stack, NULL) < 0) {
		error_set_os(LFI_ERR_NOMEM, errno, "no memory for a signal stack");
		pthread_setspecific(stack_key, NULL);
		munmap(pages, 2 * STACK_SIZE);
		return -1;
	}
	return 0;
}

int
os_thread_ready(void)
{
	stack_t now;
	sigset_t faults;

	if (sigaltstack(NULL, &now) < 0)
		return error_set_os(LFI_ERR_OS, errno, "cannot ask for the signal stack");
	if ((now.ss_flags & SS_DISABLE) && make_stack() < 0)
		return -1;
	/* A fault whose signal is blocked kills the process, whoever handles it. */
	sigemptyset(&faults);
	for (size_t i = 0; i < NFAULTS; i++)
		sigaddset(&faults, fault_signals[i]);
	pthread_sigmask(SIG_UNBLOCK, &faults, NULL);
	os_kick_unblock();
	thread_self.tid = (int) syscall(SYS_gettid);
	thread_self.ready = true;
	return 0;
}
