/* SPDX-License-Identifier: MIT */
/*
 * soundness [--seconds N] [--instructions N] [--seed N] [--jobs N] [--program FILE]: runs programs that the verifier
 * accepts until so much time has passed and so many instructions were counted. Exit status 0: none escaped; 1: one did,
 * and its bytes are shown; 2: it could not be tried.
 */
#include "soundness.h"

#include <Zydis/Zydis.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAMS_PER_CHILD 500

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

/* On the arena's stack. */
static uint64_t child_seed;

static void
child_main(void)
{
	arena_lock();
	for (uint64_t i = 0; i < PROGRAMS_PER_CHILD; i++) {
		shared->seed = child_seed + i;
		if (generate(child_seed + i))
			run_program();
		else
			shared->refused++;
	}
	_exit(0);
}

static _Noreturn void
child(uint64_t seed)
{
	child_seed = seed;
	arena_new();
	run_init();
	__asm__ volatile("movq %0, %%rsp\n\tcall *%1" ::"r"(arena->stack + sizeof arena->stack - 64), "r"(child_main)
			 : "memory");
	_exit(2);
}

static void
print_program(void)
{
	const struct program *program = &shared->program;
	uint64_t offset = shared->pc - place.base - CODE_OFFSET;
	ZydisDecoder decoder;
	ZydisFormatter formatter;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT);
	printf("policy %d, bundle %u, %s\n", program->policy, program->bundle,
	    program->single_thread ? "single thread" : "");
	for (unsigned at = offset < CODE_SIZE ? (unsigned) offset & ~31u : 0;
	     offset < CODE_SIZE && at < CODE_SIZE && at <= offset + 32;) {
		ZydisDecodedInstruction z;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
		char text[128] = "?";

		z.length = 1;
		if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, program->code + at, CODE_SIZE - at, &z, ops)))
			ZydisFormatterFormatInstruction(&formatter, &z, ops, z.operand_count_visible, text, sizeof text,
			    place.base + CODE_OFFSET + at, NULL);
		printf("%s %4x:", at == offset ? "=>" : "  ", at);
		for (unsigned i = 0; i < z.length; i++)
			printf(" %02x", program->code[at + i]);
		printf("\t%s\n", text);
		at += z.length;
	}
}

static void
print_registers(void)
{
	static const char *const names[] = {"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp",
	    "rbx", "rdx", "rax", "rcx", "rsp", "rip"};

	for (unsigned i = 0; i < 17; i++)
		printf("%s %016lx%s", names[i], shared->registers[i], i % 4 == 3 || i == 16 ? "\n" : "  ");
	printf("base %016lx  context %016lx  stubs %016lx\n", place.base, place.context, place.stubs);
}

/* The exit status. */
static int
tell_escape(int status)
{
	if (!shared->escaped)
		printf("seed %lu: the child died without a word, status %x\n", shared->seed, (unsigned) status);
	else
		printf("seed %lu: %s: %lx (%s)\n", shared->seed, shared->what, shared->address,
		    shared->stepped ? "stepped" : "native");
	if (shared->escaped) {
		print_registers();
		print_program();
	}
	return strcmp(shared->what, ITSELF) == 0 ? 2 : 1;
}

static void
tell(double seconds)
{
	printf("%lu programs of %lu instructions (%lu refused), %lu runs; %lu instructions stepped, at least %lu "
	       "counted, in %.1f s (%.1f "
	       "million/s)\n",
	    shared->programs, shared->accepted, shared->refused, shared->runs, shared->steps, shared->instructions,
	    seconds, (double) shared->instructions / seconds / 1e6);
	printf("under the full policy %lu, of which the quick walk accepts %lu, and the rules the others\n",
	    shared->full, shared->quick);
	printf("ends: %lu budget, %lu time, %lu memory, %lu trap, %lu other; %lu runtime calls\n",
	    shared->ends[END_BUDGET], shared->ends[END_TIME], shared->ends[END_MEMORY], shared->ends[END_TRAP],
	    shared->ends[END_OTHER], shared->entries);
	fflush(stdout);
}

/* A child that makes no progress hangs: the timer ends each run, so that is an escape as well. */
static int
wait_for(pid_t pid)
{
	int status;

	for (double begin = now();;) {
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid)
			return status;
		if (now() - begin > 300) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return status;
		}
		usleep(2000);
	}
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {{"seconds", 1, NULL, 's'}, {"instructions", 1, NULL, 'i'},
	    {"seed", 1, NULL, 'e'}, {"program", 1, NULL, 'p'}, {"children", 1, NULL, 'c'}, {NULL, 0, NULL, 0}};
	double seconds = 0, begin;
	uint64_t instructions = 0, seed = 1;
	unsigned long children = 0;
	const char *program = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 's':
			seconds = strtod(optarg, NULL);
			break;
		case 'i':
			instructions = strtoull(optarg, NULL, 0);
			break;
		case 'e':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			children = strtoul(optarg, NULL, 0);
			break;
		case 'p':
			program = optarg;
			break;
		default:
			return 2;
		}
	if (!__builtin_cpu_supports("avx")) {
		printf("not tried: no AVX on this processor\n");
		return 0;
	}
	place_init(program);
	begin = now();
	do {
		pid_t pid;
		int status;

		fflush(stdout);
		pid = fork();
		if (pid == 0)
			child(seed);
		status = wait_for(pid);
		if (status)
			return tell_escape(status);
		seed += PROGRAMS_PER_CHILD;
		children -= children > 0;
	} while (children || now() - begin < seconds || shared->instructions < instructions);
	tell(now() - begin);
	return 0;
}
