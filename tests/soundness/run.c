/* SPDX-License-Identifier: MIT */
/*
 * Runs the arena's program from several of its bundles, in states that section 3 and 5 of the scheme allow at an entry:
 * anything in every register but the protected ones, and rsp as far out as a clean state can have it.
 */
#include "offsets.h"
#include "soundness.h"

#include <immintrin.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

_Static_assert(offsetof(struct arena, enter) == ARENA_ENTER, "enter.S");
_Static_assert(offsetof(struct arena, target) == ARENA_TARGET, "enter.S");
_Static_assert(offsetof(struct arena, flags) == ARENA_FLAGS, "enter.S");
_Static_assert(offsetof(struct arena, host_rsp) == ARENA_HOST_RSP, "enter.S");
_Static_assert(offsetof(struct arena, vectors) == ARENA_VECTORS, "enter.S");

#define FLAG_TF 0x100
#define RUNS 6
#define STEPS 300

/* Goes on behind enter(). */
static void
leave(ucontext_t *context, int end)
{
	greg_t *regs = context->uc_mcontext.gregs;

	shared->ends[end]++;
	arena->running = false;
	regs[REG_RIP] = (greg_t) (uintptr_t) enter_back;
	regs[REG_RSP] = (greg_t) arena->host_rsp;
	regs[REG_EFL] = 0x202;
}

/* At an entry of the table. What the runtime would do is to go to r11, as it is; the verifier has looked at it. */
static bool
runtime_call(ucontext_t *context)
{
	greg_t *regs = context->uc_mcontext.gregs;
	uint64_t place_in_stubs = (uint64_t) regs[REG_RIP] - place.stubs;

	if (place_in_stubs >= 4096)
		return false;
	/* A stub's int3 was executed, or is about to be. */
	if ((place_in_stubs & 63) > 1 || place_in_stubs < 64 || place_in_stubs > 64 * ENTRIES + 1)
		escape(context, "enters the runtime elsewhere than at an entry", (uint64_t) regs[REG_RIP]);
	shared->entries++;
	regs[REG_RIP] = regs[REG_R11];
	check_state(context);
	return true;
}

static void
on_step(ucontext_t *context)
{
	uint64_t pc = (uint64_t) context->uc_mcontext.gregs[REG_RIP];

	if (pc >= (uintptr_t) enter && pc < (uintptr_t) enter_back)
		return;
	shared->steps++;
	check_state(context);
	runtime_call(context);
	check_access(context);
	if (arena->left-- == 0)
		leave(context, END_BUDGET);
}

static void
on_signal(int sig, siginfo_t *info, void *data)
{
	ucontext_t *context = data;
	greg_t *regs = context->uc_mcontext.gregs;
	uint64_t pc = (uint64_t) regs[REG_RIP];
	bool inside_enter = pc >= (uintptr_t) enter && pc < (uintptr_t) enter_back;

	if (sig == SIGTRAP && info->si_code == TRAP_TRACE && arena->running) {
		on_step(context);
		return;
	}
	if (sig == SIGALRM && (!arena->running || inside_enter || arena->ticks++ == 0))
		return;
	if (!arena->running || inside_enter)
		escape(context, ITSELF, (uint64_t) (uintptr_t) info->si_addr);
	check_state(context);
	if (sig == SIGTRAP && runtime_call(context))
		return;
	check_fault(context, sig, (uint64_t) (uintptr_t) info->si_addr, regs[REG_ERR] & 2);
	leave(context, sig == SIGALRM                    ? END_TIME
		       : sig == SIGSEGV || sig == SIGBUS ? END_MEMORY
		       : sig == SIGTRAP                  ? END_TRAP
							 : END_OTHER);
}

void
run_init(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM};
	stack_t stack = {.ss_sp = arena->signal_stack, .ss_size = sizeof arena->signal_stack};
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct itimerval tick = {{0, 1000}, {0, 1000}};

	sigfillset(&action.sa_mask);
	sigaltstack(&stack, NULL);
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		sigaction(signals[i], &action, NULL);
	_writegsbase_u64(place.base);
	setitimer(ITIMER_REAL, &tick, NULL);
}

/* A value that code could use: an address in the box, at an edge of something, a small number, or any bits. */
static uint64_t
random_value(void)
{
	static const uint64_t edges[] = {
	    0, 1, 0x7fffffff, 0x80000000, 0xffffffff, GIB4, ~(uint64_t) 0, GUARD, GIB4 - GUARD - 64};

	switch (below(10)) {
	case 0:
		return below(256);
	case 1:
		return edges[below(sizeof edges / sizeof edges[0])];
	case 2:
		return place.base + edges[below(sizeof edges / sizeof edges[0])];
	case 3:
		return random64();
	case 4:
		return place.context + 8 * below(8) - 32;
	case 5:
		return (uint64_t) (uintptr_t) (one_in(2) ? place.before : place.after) + below(CANARY_SIZE);
	case 6:
		return place.base + CODE_OFFSET + below(CODE_SIZE);
	default:
		return place.base + CODE_OFFSET + CODE_SIZE + (random64() & 0xfffc0);
	}
}

/* Mostly well inside; else at an end, where the next accesses meet the guards, or as far out as it can be. */
static uint64_t
random_rsp(void)
{
	uint64_t edge = one_in(2) ? place.base + GUARD : place.base + GIB4 - GUARD;

	if (one_in(4))
		return edge - 2 * 4096 + 8 * below(4096 / 2);
	if (one_in(8))
		return one_in(2) ? place.base - below(RSP_SLACK) : place.base + GIB4 + below(RSP_SLACK);
	return place.base + 0x20000000 + (random64() & 0xffffff0);
}

static void
choose_state(void)
{
	uint8_t *bytes = &arena->vectors[0][0];

	for (unsigned i = 0; i < 16; i++)
		arena->enter[i] = random_value();
	arena->enter[13] = place.base;
	arena->enter[14] = place.context;
	arena->enter[15] = random_rsp();
	for (unsigned i = 0; i < sizeof arena->vectors; i += 8) {
		uint64_t x = random_value();

		memcpy(bytes + i, &x, 8);
	}
	arena->target = place.base + CODE_OFFSET + below(CODE_SIZE / arena->program.bundle) * arena->program.bundle;
	arena->flags = 0x202 | (random64() & 0x8d5) | (one_in(16) ? 0x400 : 0);
}

static void
run_once(bool stepping)
{
	choose_state();
	arena->stepping = stepping;
	arena->left = STEPS;
	arena->ticks = 0;
	if (stepping)
		arena->flags |= FLAG_TF;
	arena->running = true;
	enter(arena);
	shared->runs++;
	if (!canaries_whole())
		escape(NULL, "a canary was overwritten", 0);
}

/* The counters say how often control came to a bundle's start, and so how many instructions ran at least. */
static void
add_counters(void)
{
	const uint32_t *counters = (const uint32_t *) (place.base + COUNTER_OFFSET);

	for (unsigned i = 0; i < CODE_SIZE / arena->program.bundle; i++)
		if (counters[i] < 100000000) /* or the program itself wrote there */
			shared->instructions += (uint64_t) counters[i] * arena->program.guaranteed[i];
}

void
run_program(void)
{
	void *code = (void *) (place.base + CODE_OFFSET);

	mprotect(code, CODE_SIZE, PROT_READ | PROT_WRITE);
	memcpy(code, arena->program.code, CODE_SIZE);
	mprotect(code, CODE_SIZE, PROT_READ | PROT_EXEC);
	find_starts(&arena->program);
	for (unsigned i = 0; i < RUNS; i++)
		run_once(one_in(24));
	if (arena->program.counted)
		add_counters();
	if (memcmp(code, arena->program.code, CODE_SIZE) != 0)
		escape(NULL, "code was overwritten", 0);
	box_clear();
	shared->programs++;
}
