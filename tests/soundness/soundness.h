/* SPDX-License-Identifier: MIT */
/*
 * Soundness by execution: code that the verifier accepts runs in a box, and everything around the box is looked at.
 *
 *   main.c      forks children, gives each a seed, adds up what they did, tells of the first escape
 *   box.c       the memory: a box with guards and table as in section 10 of the scheme, neighbours, a child's own arena
 *   generate.c  programs: from the rows of the verifier's table and its groups, or from a real program, then mutated
 *   run.c       enters a program, natively or step by step, and ends it
 *   check.c     what must be true whenever a program is interrupted, and of each address before it is accessed
 *
 * A child writes to nothing but its arena, the shared page and the box once it is locked: all other memory of the
 * process is read-only, so that a write that escapes faults, and its address is told from those of the box.
 */
#ifndef SOUNDNESS_H
#define SOUNDNESS_H

#include <lfi/lfi_verify.h>
#include <stdint.h>
#include <ucontext.h>

#define GIB4 ((uint64_t) 1 << 32)
#define GUARD 262144   /* section 1: S */
#define DRIFT 65536    /* D */
#define RSP_SLACK 8256 /* in the clean state rsp is so near to the sandbox: 4096 + C + 64 */
#define CODE_OFFSET 0xc0000000u
#define CODE_SIZE 4096
#define COUNTER_OFFSET 0x10000000u /* a 4-byte counter for each bundle of counted programs */
#define CANARY_SIZE 65536
#define TEXT_MAX (1 << 20)
#define ENTRIES 32
#define ITSELF "the test itself faults"

/* Where things are; set up before the children are forked. */
struct place {
	uint64_t base;
	uint64_t stubs;          /* the page that the table's entries lead to, 64 bytes apart */
	uint64_t context;        /* what r15 points to, the middle of a page of canaries */
	uint8_t *before, *after; /* what neighbours could have mapped, as near as it can be */
	uint64_t fs;
	const uint8_t *text; /* of a real program, or NULL */
	size_t text_size;
};

struct program {
	uint8_t code[CODE_SIZE];
	int policy;
	unsigned bundle;
	bool single_thread;
	bool counted;
	uint8_t guaranteed[CODE_SIZE / 16]; /* instructions that run whenever a bundle's counter does */
	uint8_t starts[CODE_SIZE / 8];      /* a bit for each byte: an instruction starts here, says Zydis */
};

/* Why a run ended, for the statistics; the last is an escape. */
enum { END_BUDGET, END_TIME, END_MEMORY, END_TRAP, END_OTHER, ENDS };

/* Shared by parent and child. */
struct shared {
	uint64_t seed; /* of the program being run */
	uint64_t programs, refused, runs, entries, steps, instructions,
	    accepted;         /* accepted: instructions in the programs */
	uint64_t full, quick; /* programs under the full policy; those of them that the quick walk accepts */
	uint64_t ends[ENDS];
	/* The escape. */
	bool escaped;
	char what[128];
	uint64_t pc, address, registers[23];
	bool stepped;
	struct program program;
};

/* One child's writable memory. What enter.S uses comes first; offsets.h has the offsets. */
struct arena {
	uint64_t enter[16]; /* rax, rbx, rcx, rdx, rsi, rdi, rbp, r8 to r15, rsp */
	uint64_t target, flags, host_rsp;
	uint64_t random;
	uint8_t vectors[16][32];
	struct program program;
	uint64_t scratch[2 * CODE_SIZE / 64];
	bool running, stepping;
	unsigned left;  /* steps of this run */
	unsigned ticks; /* of the timer, since it began */
	uint8_t maps[65536];
	_Alignas(64) uint8_t signal_stack[131072];
	_Alignas(64) uint8_t stack[262144];
};

extern struct place place;
extern struct shared *shared;
extern struct arena *arena;

/* xorshift64; below(n) is 0 to n - 1. */
uint64_t random64(void);
static inline unsigned
below(unsigned n)
{
	return (unsigned) (random64() >> 11) % n;
}
static inline bool
one_in(unsigned n)
{
	return below(n) == 0;
}

void place_init(const char *program);
void arena_new(void);
void arena_lock(void);
void box_clear(void);
bool canaries_whole(void);

bool generate(uint64_t seed);

void run_init(void);
void run_program(void);
/* enter.S: loads the state and goes to the target; comes back when the handler lets it. */
void enter(struct arena *arena);
extern const char enter_back[];

/* Ends the process when something is not as it must be. */
void check_state(const ucontext_t *context);
void check_access(const ucontext_t *context);
void check_fault(const ucontext_t *context, int sig, uint64_t address, bool write);
void find_starts(struct program *program);
_Noreturn void escape(const ucontext_t *context, const char *what, uint64_t address);

#endif
