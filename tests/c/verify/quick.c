/* SPDX-License-Identifier: MIT */
/*
 * The quick walk against the rules, on regions of accepted snippets that are then damaged: what it accepts the rules
 * accept, with the same marks, the same branches and the same report.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "asked.h"
#include "assemble.h"

#define SIZE 16384

/* Of the ModRM bytes of each opcode one in so many is tried. */
#ifndef STRIDE
#define STRIDE 32
#endif

/* How often the rules may be asked about these: as often as they were when this was written. */
#ifndef MOST_ASKED
#define MOST_ASKED 719792
#endif

static uint64_t seed = 1;

static uint64_t
random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* A bundle each, or two. */
static const char *const snippets[] = {
    "movq %rax, %rbx; addl $5, %ecx; leaq 8(%rax,%rbx,4), %rdx; movl $7, %eax; movabsq $0x123456789a, %rcx",
    "movq %gs:8(%edi), %rax; movl %eax, %gs:(%esi,%ecx,8); cmpq $0, %gs:0x18(%eax); movzbl %gs:0x8(%eax), %edx",
    "pushq %rbp; subq $0x18, %rsp; movq %rax, 8(%rsp); movq 0x200(%rsp), %rax; addq $0x18, %rsp; popq %rbp",
    "popq %r11; andl $-32, %r11d; addq %r14, %r11; jmpq *%r11",
    "andl $-32, %eax; addq %r14, %rax; nopl (%rax); callq *%rax",
    "andl $-32, %ecx; addq %r14, %rcx; callq *%rcx",
    "subl $0x100, %esp; addq %r14, %rsp; movl %ebp, %esp; addq %r14, %rsp; nop",
    "testb $1, %gs:8(%edi); notl %eax; divl %ecx; incl %gs:(%eax); btq %rax, %rbx; setne %al",
    "movsd %gs:(%eax), %xmm0; addsd 8(%rsp), %xmm0; pxor %xmm1, %xmm1; movups %xmm0, 16(%rsp)",
    "vaddpd %ymm0, %ymm1, %ymm2; andn %rax, %rbx, %rcx; vmovups %gs:(%eax), %xmm1; popcntl %eax, %ebx",
    "movw %ax, %gs:2(%edx); cmpw $0x1234, %gs:(%eax); .byte 0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0",
    "leaq 1f(%rip), %r11; jmpq *-8(%r14); 1: nop; .byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0",
    "movl %edi, %edi; leaq (%r14,%rdi), %rdi; rep stosb; cld; movq 16(%r15), %rax; fld %st(1); fstp %st(0)",
    "jmp 1f; je 1f; nop; 1: call 1b; jne 1b; .byte 0x0f, 0x84; .long 0xe",
    "movl %r8d, %gs:(%r9d,%r10d,4); leal (,%rax,8), %edx; lea 0(,%rcx,4), %rsi; xchgl %eax, %ecx; movb $1, %al",
    "movq (%rsp), %r11; andl $-32, %r11d; addq %r14, %r11; movq %r11, (%rsp); ret",
    "lock incl %gs:(%eax); pshufb %xmm1, %xmm2; palignr $3, %xmm1, %xmm2; crc32l %eax, %ebx; pause",
    /* Drift that is pending for a while, as far as may be. */
    "subq $0x10000, %rsp; movq %rax, 8(%rsp); subq $0xff80, %rsp; addq $-0x80, %rsp; popq %rax",
    "subq $0x18, %rsp; call 1f; 1: addq $0x18, %rsp; callq 1b; xorl %eax, %eax",
    "addq $-0x18, %rsp; andl $-32, %r8d; addq %r14, %r8; callq *%r8",
    "subq $0x18, %rsp; andl $-32, %r13d; addq %r14, %r13; callq *%r13",
    "addq $0x18, %rsp; andl $-32, %edi; addq %r14, %rdi; callq *%rdi",
    "subq $8, %rsp; .byte 0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0; movq $1, 0x78(%rsp)",
    "subq $8, %rsp; .byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0; movl %eax, 0xfc0(%rsp)",
    "subq $8, %rsp; leaq 0x1ffc0(%rsp), %rcx; movl 0x1ffc0(%rsp), %ecx; movb %al, -0xfc0(%rsp)",
    "subq $8, %rsp; movl -0x1ffc0(%rsp), %r12d; movl 0x20(%rip), %ecx; popq %rax; leaq 0(%rip), %rsi",
    "andl $-32, %r12d; addq %r14, %r12; jmpq *%r12; nop; andl $-32, %edx; addq %r14, %rdx; jmpq *%rdx",
    "addl $0x18, %esp; addq %r14, %rsp; andl $-16, %esp; addq %r14, %rsp; subl $0x18, %esp; addq %r14, %rsp",
    "movl %edi, %esp; addq %r14, %rsp; addl $0x180, %esp; addq %r14, %rsp; andl $-256, %esp; addq %r14, %rsp",
    "jmp 1f; 1: subq $8, %rsp; pause; popq %rax; xorl %eax, %eax",
    ".skip 28, 0x90; subq $8, %rsp; leaq 8(%rax), %rbx; popq %rax",
    "movl $7, %eax; leaq -8(%rsp), %rsp; popq %rax; xorl %eax, %eax",
    ".skip 26, 0x90; subl $8, %esp; addq %r14, %rsp",
    "subq $8, %rsp; .byte 0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0; popq %rax; jmp 1f; 1: movl $7, %eax",
    "subq $8, %rsp; .byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0; popq %rax; jmp 1f; 1: movl $7, %eax",
    "addsubpd %xmm0, %xmm1; pcmpgtd %mm0, %mm1",
    /* Out of the region, to bundles. */
    ".byte 0xe9; .long 0x7ffb; .byte 0x0f, 0x84; .long 0x7ff5; .byte 0xe8; .long 0x7ff0",
    ".byte 0xe9; .long -0x8005; .byte 0x0f, 0x84; .long -0x800b; .byte 0xe8; .long -0x8010",
    "subq $8, %rsp; pushq %rax; jmp 1f; 1: subq $8, %rsp; pushq $5; jmp 1f; 1: subq $8, %rsp; pushq $0x1234; jmp 1f; 1:",
    ".rept 16; .byte 0xeb, 0; .endr", /* nothing but events */
    ".byte 0x66, 0x66, 0x90, 0x66, 0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0x66, 0x2e, 0x66, 0x90", /* nops */
    /* Behind these operands bytes that would be odd as SIB. */
    "movl %eax, %gs:(%ecx); testl %eax, %eax; movl %gs:(%edx), %ecx; testl %ecx, %ecx; movb %al, %gs:(%esi); testb $1, %al",
    "psrlw $3, %xmm1; psllq $2, %xmm3; pslldq $4, %xmm2; psrad $1, %xmm7; pshufd $1, %xmm1, %xmm2",
};

#define SNIPPETS (sizeof snippets / sizeof snippets[0])

static const char *
snippet_text(size_t i)
{
	return snippets[i];
}

struct outcome {
	uint64_t marks[2 * SIZE / 64];
	struct LFIVerifyReport report;
	bool good;
};

static struct verify
new_verify(const uint8_t *code, struct outcome *outcome, unsigned bundle)
{
	memset(outcome, 0, sizeof *outcome);
	return (struct verify){.code = code, .size = SIZE, .offset = 0x100000, .bundle = bundle, .single_thread = true,
	    .targets = outcome->marks, .wanted = outcome->marks + SIZE / 64, .max_violations = 1};
}

static unsigned accepted, differ;

static bool
show(const struct LFIViolation *violation, void *user)
{
	print_error("rules at %zx: `%s`: %s\n", violation->offset, violation->insn, violation->reason);
	return false;
}

static void
compare(const uint8_t *code, unsigned bundle)
{
	static struct outcome quick, rules;
	struct verify v = new_verify(code, &quick, bundle);

	quick.good = quick_scan(&v);
	quick.report = v.report;
	if (!quick.good)
		return;
	accepted++;
	v = new_verify(code, &rules, bundle);
	v.fn = show;
	rules_scan(&v);
	rules.report = v.report;
	rules.good = v.report.violations == 0;
	if (memcmp(&quick, &rules, sizeof quick) != 0 && differ++ < 10)
		print_error("accepted: %d; instructions %zu and %zu\n", rules.good, quick.report.instructions,
		    rules.report.instructions);
}

static void
fill(uint8_t *code, const struct code *from)
{
	for (size_t at = 0; at < SIZE;) {
		const struct code *one = &from[random64() % SNIPPETS];

		if (one->size > SIZE - at)
			continue;
		memcpy(code + at, one->bytes, one->size);
		at += one->size;
	}
}

static void
what_the_quick_walk_accepts_the_rules_accept_alike(void **state)
{
	static uint8_t code[SIZE];
	struct code *from = assemble_all(snippet_text, SNIPPETS);

	accepted = differ = 0;
	for (unsigned round = 0; round < 40000; round++) {
		if (round % 16 == 0)
			fill(code, from);
		for (unsigned i = random64() % 3; i > 0; i--)
			code[random64() % SIZE] ^= (uint8_t) (1u << random64() % 8);
		compare(code, round % 64 == 63 ? 16 : 32);
	}
	free(from);
	print_message("accepted %u of 40000\n", accepted);
	assert_true(accepted > 1000);
	assert_int_equal(differ, 0);
}

static void
accepted_snippets_pass_by_the_quick_walk(void **state)
{
	static uint8_t code[SIZE];
	struct code *from = assemble_all(snippet_text, SNIPPETS);
	unsigned refused = 0;

	for (size_t i = 0; i < SNIPPETS; i++) {
		static struct outcome outcome;
		struct verify v;

		for (size_t at = 0; at < SIZE; at += from[i].size)
			memcpy(code + at, from[i].bytes, from[i].size);
		v = new_verify(code, &outcome, 32);
		if (!quick_scan(&v) && ++refused)
			print_error("refused: %s\n", snippets[i]);
	}
	free(from);
	assert_int_equal(refused, 0);
}

#ifdef COUNT_ASKED
/*
 * How often the rules are asked about an instruction, and about all of the bundle, in each copy of a snippet. At the
 * region's ends they are asked in any case.
 */
static const struct {
	unsigned alone, bundles;
} asked[SNIPPETS] = {
    [4] = {1, 1},  /* nops before the call */
    [9] = {4, 0},  /* each has a feature, or VEX */
    [11] = {1, 1}, /* runtime call */
    [12] = {5, 1}, /* string group, context block, x87 */
    [14] = {2, 0}, /* displacements without a base */
    [16] = {5, 0}, /* lock, features, pause */
    [29] = {1, 1}, /* pause, alone and while drift is pending */
    [31] = {1, 0}, /* drift by leaq */
    [35] = {2, 0}, /* features */
    [40] = {3, 0}, /* nops in unusual forms */
    [42] = {4, 0}, /* digits of registers only */
};

/* Verdicts are the same when it is asked about all that there is: only here is it seen that it is not. */
static void
the_rules_are_asked_about_what_is_rare(void **state)
{
	static uint8_t code[SIZE];
	struct code *from = assemble_all(snippet_text, SNIPPETS);
	unsigned often = 0;

	for (size_t i = 0; i < SNIPPETS; i++) {
		static struct outcome outcome;
		struct verify v;

		for (size_t at = 0; at < SIZE; at += from[i].size)
			memcpy(code + at, from[i].bytes, from[i].size);
		v = new_verify(code, &outcome, 32);
		asked_alone = asked_bundles = 0;
		quick_scan(&v);
		if (asked_alone <= asked[i].alone * SIZE / from[i].size + 1 &&
		    asked_bundles <= asked[i].bundles * SIZE / from[i].size + 2)
			continue;
		often++;
		print_error("asked %zu and %zu times: %s\n", asked_alone, asked_bundles, snippets[i]);
	}
	free(from);
	assert_int_equal(often, 0);
}
#endif

/* Each breaks one rule that the walk checks by itself; all else is nops. */
static const char *const bad[] = {
    /* The group's first two instructions are the end of an immediate. */
    ".byte 0x48, 0xb9, 0, 0, 0x83, 0xe0, 0xe0, 0x4c, 0x01, 0xf0; jmpq *%rax",
    ".byte 0x48, 0xb9, 0, 0, 0, 0, 0, 0x83, 0xe0, 0xe0; addq %r14, %rax; jmpq *%rax",
    /* Pending drift. */
    "subq $8, %rsp; jmp 1f; 1: pushq %rax",
    "subq $8, %rsp; je 1f; 1: pushq %rax",
    "subq $8, %rsp; andl $-32, %eax; addq %r14, %rax; jmpq *%rax; pushq %rax",
    "subq $8, %rsp; nop", /* to the region's end */
    "subq $8, %rsp; jmp 1f; 1: .p2align 5, 0x90; pushq %rax",
    "subq $8, %rsp; je 1f; 1: .p2align 5, 0x90; pushq %rax",
    "subq $8, %rsp; andl $-32, %eax; addq %r14, %rax; jmpq *%rax; .p2align 5, 0x90; pushq %rax",
    "subq $8, %rsp; .p2align 5, 0x90; jmp 1f; 1: pushq %rax",
    "subq $8, %rsp; .p2align 5, 0x90; jmp 1f; 1: .p2align 5, 0x90; pushq %rax",
    "subq $8, %rsp; .p2align 5, 0x90; .skip 32, 0x90; jmp 1f; 1: pushq %rax",
    "leaq -8(%rsp), %rsp; jmp 1f; 1: pushq %rax",
    "leaq -8(%rsp), %rsp; jmp 1f; 1: .p2align 5, 0x90; pushq %rax",
    "subq $8, %rsp; movq %rax, 0x1010(%rsp); jmp 1f; 1: pushq %rax",
    "subq $8, %rsp; movq %rax, -0x1010(%rsp); jmp 1f; 1: pushq %rax",
    "subq $8, %rsp; movq %rax, %gs:8(%ecx); jmp 1f; 1: pushq %rax",
    "subq $8, %rsp; incl %eax; jmp 1f; 1: pushq %rax",
    "subq $8, %rsp; decl %edi; jmp 1f; 1: pushq %rax",
    "subq $8, %rsp; decl %r15d; jmp 1f; 1: pushq %rax",
    "subq $0xffb0, %rsp; subq $0x78, %rsp; pushq %rax",
    "subq $0xffff, %rsp; subq $2, %rsp; pushq %rax",
    /* No move of rsp as it is understood. */
    "movq %rax, %rsp; addl $-1, %eax; incl %eax; pushq %rax",
    "addw $8, %sp; pushq %rax",
    ".byte 0x40; subl $8, %esp; pushq %rax",
    "andq $-8, %rsp; pushq %rax",
    "subq %rax, %rsp; pushq %rax",
    "orq $8, %rsp; pushq %rax",
    "subq $0x10001, %rsp; pushq %rax",
    "addq $-0x10001, %rsp; pushq %rax",
    "subq $8, %r14; pushq %rax",
    "addq $0x100, %r14; pushq %rax",
    "addq $0x100, %r15; pushq %rax",
    /* An instruction that crosses an edge, and ends where none begins for who starts at the edge. */
    ".skip 29, 0x90; .byte 0x48, 0xb8, 0, 0x48, 0xb8, 0, 0, 0, 0, 0, 6, 0, 0; .p2align 5, 0x90",
    /* No stack pointer in two steps. */
    "addq %r14, %rsp",
    "nop; nop; nop; nop; nop; nop; addq %r14, %rsp",
    "movl %eax, (%rcx); addq %r14, %rsp",
    "movl %eax, %ebp; addq %r14, %rsp",
    "movl %eax, %r12d; addq %r14, %rsp",
    "movl %esp, %eax; addq %r14, %rsp",
    "movq %rax, %rsp; addq %r14, %rsp",
    "xorl %eax, %esp; nopl (%rax); nop; addq %r14, %rsp",
    "xorl %eax, %esp; nop; addq %r14, %rsp",
    "orl $8, %esp; addq %r14, %rsp",
    "xorl $8, %esp; addq %r14, %rsp",
    "adcl $8, %esp; addq %r14, %rsp",
    "cmpl $8, %esp; addq %r14, %rsp",
    "orl $0x1000, %esp; addq %r14, %rsp",
    "addl $8, %ebp; addq %r14, %rsp",
    "subl $8, %ebp; addq %r14, %rsp",
    "andl $8, %ebp; addq %r14, %rsp",
    "subl $8, %esp; addq %rsi, %rsp",
    "subl $8, %esp; .byte 0x4c, 0x03, 0xf4",
    "subl $8, %esp; addq %r14, %rbp",
    "subl $8, %esp; addq %r14, %r12",
    "subl $8, %esp; addq %r15, %rsp",
    "subl $8, %esp; subq %r14, %rsp",
    "subl $8, %esp; movq %r14, %rsp",
    "movl %eax, %esp; addq %rsi, %rsp",
    "subl $0x1000, %esp; nop; addq %r14, %rsp",
    "movl %eax, %esp; nop; addq %r14, %rsp",
    "subl $8, %esp; addl %r14d, %esp",
    "subl $8, %esp; leal (%rsp,%r14), %esp",
    "subq $8, %rsp; .skip 28, 0x90; jmp 1f; 1: pushq %rax",
    /* Over the bundle's edge, and from there on nops. */
    ".skip 30, 0x90; .byte 0xb8, 0x90",
    /* Operands and registers. */
    "movq (%rax), %rax",
    "movq %gs:(%rip), %rax",
    "movq (%rsp,%r12), %rax",
    "movq 0x40000(%rsp), %rax",
    "movq -0x40000000(%rip), %rax",
    "movl %eax, %r14d",
    "leal (%rax), %r15d",
    "popq %r14",
    "subl $8, %esp; addq %r14, %rax",
    "andl $-32, %eax; addq %r15, %rax; jmpq *%rax",
    "andl $-16, %eax; addq %r14, %rax; jmpq *%rax",
    "movq -0x40000(%rsp), %rax",
    ".byte 0x65, 0x67, 0x48, 0x8b, 0x05, 0, 0, 0, 0", /* movq %gs:(%eip), %rax */
    "subq $8, %rsp; movq %rax, 0x2000(%rsp); jmp 1f; 1: pushq %rax",
    "subq $0xff00, %rsp; subq $0xff00, %rsp; pushq %rax",
    "subq $8, %rsp; prefetcht0 8(%rsp); jmp 1f; 1: pushq %rax",
    "jmpq *%rax",
    "ret",
    "syscall",
    /* Groups in pieces. */
    "andl $-32, %esp; addq %r14, %rsp; jmpq *%rsp",
    ".skip 29, 0x90; andl $-32, %eax; addq %r14, %rax; jmpq *%rax",
    "andl $-32, %eax; addq %r14, %r8; jmpq *%r8",
    ".skip 29, 0x90; subl $8, %esp; addq %r14, %rsp",
    ".byte 0x48, 0xb9, 0, 0, 0, 0, 0, 0x83, 0xec, 0x08; addq %r14, %rsp",
    "subl $8, %esp; nop; addq %r14, %rsp",
    ".skip 18, 0x90; movq (%rsp), %r11; andl $-32, %r11d; addq %r14, %r11; .byte 0x4c, 0x89, 0x1c; .byte 0x24; ret",
    "movq (%rsp), %r11; andl $-16, %r11d; addq %r14, %r11; movq %r11, (%rsp); ret",
    ".byte 0x48, 0xb9, 0, 0, 0, 0; movq (%rsp), %r11; andl $-32, %r11d; addq %r14, %r11; movq %r11, (%rsp); ret",
    ".byte 0x40, 0x83, 0xe1, 0xe0; addq %r14, %r9; jmpq *%r9",
    ".skip 24, 0x90; movq (%rsp), %r11; andl $-32, %r11d; addq %r14, %r11; movq %r11, (%rsp); ret",
    ".skip 28, 0x90; movq (%rsp), %r11; andl $-32, %r11d; addq %r14, %r11; movq %r11, (%rsp); ret",
    "movq (%rsp), %r10; andl $-32, %r11d; addq %r14, %r11; movq %r11, (%rsp); ret",
    "movq (%rsp), %r11; andl $-32, %r10d; addq %r14, %r11; movq %r11, (%rsp); ret",
    "nopl 0(%rax); nopl 0(%rax); addq %r14, %r11; movq %r11, (%rsp); ret",
    "movq (%rsp), %r11; andl $-32, %r11d; addq %r14, %r10; movq %r11, (%rsp); ret",
    "movq (%rsp), %r11; andl $-32, %r11d; addq %r14, %r11; movq %r10, (%rsp); ret",
    "movq (%rsp), %r11; andl $-32, %r11d; addq %r14, %r11; movq (%rsp), %r11; ret",
    /* No jump after what makes one good. */
    "andl $-32, %eax; addq %r14, %rax; .byte 0x8b, 0xe0; nop",
    "andl $-32, %eax; addq %r14, %rax; .byte 0xff, 0xe8; nop",
    /* A far operand at rsp, but with another register. */
    "movq 0x100(%rsp,%r12), %rax",
    "movq 0x100(%r12), %rax",
    "movq -0xdc(%rbp), %rax; incl %eax",
    "movq 0x20010(%rsp), %rax",
    "movq -0x20010(%rsp), %rax",
    "movq 0x100(%rax), %rax",
    "movq 0x100(%rsp,%rax), %rax",
    "movq 0x100(%rsp,%rax,4), %rax",
    /* What a long nop hides if it is not long. */
    ".byte 0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x44, 0, 0; syscall; nop",
    ".byte 0x66, 0x2e, 0x0f, 0x1f, 0x44, 0, 0; syscall; nop",
    ".byte 0x67, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0",
    ".byte 0x67, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0",
};

#define BADS (sizeof bad / sizeof bad[0])

static const char *
bad_text(size_t i)
{
	return bad[i];
}

static void
a_bad_bundle_is_not_accepted_wherever_it_is(void **state)
{
	static uint8_t code[SIZE];
	struct code *from = assemble_all(bad_text, BADS);
	unsigned passed = 0;

	memset(code, 0x90, SIZE);
	for (size_t i = 0; i < BADS; i++) {
		for (size_t at = 0; at + from[i].size <= SIZE; at += 32) {
			static struct outcome outcome;
			struct verify v = new_verify(code, &outcome, 32);

			memcpy(code + at, from[i].bytes, from[i].size);
			if (quick_scan(&v) && passed++ < 10)
				print_error("at %zx: %s\n", at, bad[i]);
			memset(code + at, 0x90, from[i].size);
		}
	}
	free(from);
	assert_int_equal(passed, 0);
}

static void
single_thread_returns_need_their_policy(void **state)
{
	static const uint8_t group[] = {
	    0x4c, 0x8b, 0x1c, 0x24, 0x41, 0x83, 0xe3, 0xe0, 0x4d, 0x01, 0xf3, 0x4c, 0x89, 0x1c, 0x24, 0xc3};
	static uint8_t code[SIZE];
	static struct outcome outcome;
	struct verify v;

	memset(code, 0x90, SIZE);
	memcpy(code, group, sizeof group);
	v = new_verify(code, &outcome, 32);
	assert_true(quick_scan(&v));
	v = new_verify(code, &outcome, 32);
	v.single_thread = false;
	assert_false(quick_scan(&v));
}

/* Three bundles of nops, so that one instruction is all that differs. */
#define SHORT 96

struct verdict {
	uint64_t marks[4];
	struct LFIVerifyReport report;
	bool good;
};

static struct verdict
judge(const uint8_t *code, bool quick)
{
	struct verdict verdict = {0};
	struct verify v = {.code = code, .size = SHORT, .offset = 0x100000, .bundle = 32, .single_thread = true,
	    .targets = verdict.marks, .wanted = verdict.marks + 2, .max_violations = 1};

	if (quick)
		verdict.good = quick_scan(&v);
	else
		rules_scan(&v);
	verdict.report = v.report;
	verdict.good = quick ? verdict.good : v.report.violations == 0;
	return verdict;
}

static void
drift_that_is_pending_at_the_end_is_the_most_that_there_is(void **state)
{
	static const uint8_t moves[] = {0x48, 0x81, 0xec, 0x00, 0xc0, 0, 0, 0x48, 0x81, 0xec, 0x00, 0x40, 0, 0};

	for (unsigned more = 0; more < 2; more++) {
		uint8_t code[SHORT];

		memset(code, 0x90, SHORT);
		memcpy(code + 40, moves, sizeof moves);
		if (more)
			memcpy(code + 64, "\x48\x83\xec\x08", 4);
		code[80] = 0x58; /* popq %rax */
		assert_int_equal(judge(code, true).good, !more);
		assert_int_equal(judge(code, false).good, !more);
	}
}

/* Drift is pending before the last bundle, in which each byte is an instruction. */
static void
nobody_reads_behind_the_region(void **state)
{
	uint8_t *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *code = pages + 4096 - SHORT;

	assert_true(pages != MAP_FAILED);
	assert_int_equal(mprotect(pages + 4096, 4096, PROT_NONE), 0);
	memset(code, 0x90, SHORT);
	memcpy(code + 60, "\x48\x83\xec\x08", 4);
	code[SHORT - 1] = 0x58;
	assert_true(judge(code, true).good);
	code[SHORT - 1] = 0x90;
	assert_false(judge(code, true).good);
	munmap(pages, 8192);
}

static void
nobody_reads_in_front_of_the_region(void **state)
{
	static const uint8_t group[] = {0x83, 0xe0, 0xe0, 0x4c, 0x01, 0xf0, 0xff, 0xe0}; /* of eax */
	uint8_t *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *code = pages + 4096;

	assert_true(pages != MAP_FAILED);
	assert_int_equal(mprotect(pages, 4096, PROT_NONE), 0);
	for (size_t at = 0; at < 15; at++) {
		memset(code, 0x90, SHORT);
		code[at] = 0xc3;
		assert_false(judge(code, true).good);
	}
	for (size_t at = 0; at < 8; at++) {
		memset(code, 0x90, SHORT);
		memcpy(code + at, group, sizeof group);
		asked_alone = 0;
		assert_true(judge(code, true).good);
#ifdef COUNT_ASKED
		assert_int_equal(asked_alone, at < 2); /* then the jump is at 8 or later */
#endif
		for (size_t cut = 1; cut < sizeof group; cut++) {
			memset(code, 0x90, SHORT);
			memcpy(code + at, group + cut, sizeof group - cut);
			if (cut < 7)
				assert_false(judge(code, true).good);
		}
		memset(code, 0x90, SHORT);
		memcpy(code + at, "\x4c\x01\xf4", 3); /* addq %r14, %rsp */
		assert_false(judge(code, true).good);
	}
	munmap(pages, 8192);
}

/* A jump from the region to `place`, which the rules judge alike; they are not asked if it is good. */
static void
compare_jump(uint64_t place, uint64_t offset, unsigned size, bool good)
{
	int32_t disp = (int32_t) (place - offset - 20 - size);
	uint64_t marks[2][4] = {{0}};
	uint8_t code[SHORT];
	struct verify quick = {.code = code, .size = SHORT, .offset = offset, .bundle = 32, .targets = marks[0],
	    .wanted = marks[0] + 2, .max_violations = 1};
	struct verify rules = quick;

	rules.targets = marks[1];
	rules.wanted = marks[1] + 2;
	memset(code, 0x90, SHORT);
	memcpy(code + 20, size == 2 ? "\xeb" : size == 5 ? "\xe9" : "\x0f\x84", size == 6 ? 2 : 1);
	memcpy(code + 20 + (size == 6) + 1, &disp, size == 2 ? 1 : 4);
	asked_alone = 0;
	assert_int_equal(quick_scan(&quick), good);
#ifdef COUNT_ASKED
	assert_int_equal(asked_alone, 0);
#endif
	rules_scan(&rules);
	assert_int_equal(rules.report.violations == 0, good);
	if (good)
		assert_memory_equal(marks[0], marks[1], sizeof marks[0]);
}

/* What it crosses into reads as nops from the edge on. */
static void
no_instruction_crosses_an_edge(void **state)
{
	static uint8_t code[SIZE];
	static struct outcome outcome;

	memset(code, 0x90, SIZE);
	for (unsigned bundle = 16; bundle <= 32; bundle += 16) {
		for (size_t edge = 16; edge < SIZE; edge += 16) {
			struct verify v = new_verify(code, &outcome, bundle);

			code[edge - 4] = 0xb8; /* movl $0x90909090, %eax: one byte is behind the edge */
			assert_int_equal(quick_scan(&v), edge % bundle != 0);
			v = new_verify(code, &outcome, bundle);
			v.size = SIZE - 32; /* not a multiple of 64 */
			if (edge < v.size - 16)
				assert_int_equal(quick_scan(&v), edge % bundle != 0);
			code[edge - 4] = 0x90;
		}
	}
}

/* The jump and its bundle are marked for who looks at it later. */
static void
a_jump_into_another_part_is_noted(void **state)
{
	static const int targets[] = {-7, SHORT + 1, SHORT + 32};

	for (unsigned i = 0; i < 3; i++) {
		uint64_t marks[4] = {0};
		uint8_t code[SHORT];
		struct verify v = {.code = code, .size = SHORT, .offset = 0x100000, .before = 64, .behind = 64, .bundle = 32,
		    .targets = marks, .wanted = marks + 2, .max_violations = 1};
		int32_t disp = targets[i] - 20 - 5;

		memset(code, 0x90, SHORT);
		code[20] = 0xe9;
		memcpy(code + 21, &disp, 4);
		assert_true(quick_scan(&v));
		if (targets[i] % 32)
			assert_int_equal(marks[2], 1 << 20 | 1);
	}
}

/* What joins the parts would strike it out, and nobody would look where it goes. */
static void
a_branch_into_another_part_that_would_not_be_found_again_is_not_noted(void **state)
{
	static const uint8_t known[16] = {0xe9, 0x40}, unknown[16] = {0xf2, 0xe9, 0x40};
	uint64_t wanted = 0;
	struct verify v = {
	    .code = known, .size = 64, .offset = 0x100000, .behind = 64, .bundle = 32, .wanted = &wanted, .max_violations = 1};

	assert_true(leads_to_other_part(&v, 0, 0x100045));
	assert_int_equal(wanted, 1);
	wanted = 0;
	assert_false(leads_to_other_part(&v, 0, 0x100046));
	v.code = unknown;
	assert_false(leads_to_other_part(&v, 0, 0x100046));
	assert_int_equal(wanted, 0);
}

static void
jumps_out_of_the_region_go_to_bundles_of_the_sandbox(void **state)
{
	static const unsigned sizes[] = {2, 5, 6};
	static const int near[] = {-96, -33, -32, -31, -1, SHORT, SHORT + 1, SHORT + 31, SHORT + 32};

	for (unsigned i = 0; i < 3; i++) {
		for (unsigned j = 0; j < sizeof near / sizeof near[0]; j++)
			compare_jump(0x100000 + (uint64_t) near[j], 0x100000, sizes[i], near[j] % 32 == 0);
		compare_jump(0, 32, sizes[i], true);
		compare_jump(-(uint64_t) 32, 32, sizes[i], false);
		compare_jump(SANDBOX_SIZE - 32, SANDBOX_SIZE - 128, sizes[i], true);
		compare_jump(SANDBOX_SIZE, SANDBOX_SIZE - 128, sizes[i], false);
		compare_jump(SANDBOX_SIZE, SANDBOX_SIZE - 96, sizes[i], false);
	}
}

/* A load of four bytes, 20 bytes into the region. Close to the end the rules know better. */
static void
operands_relative_to_rip_are_in_the_sandbox(void **state)
{
	static const struct {
		uint64_t place;
		bool good;
		size_t alone;
	} rows[] = {{0, true, 0}, {SANDBOX_SIZE - 64, true, 0}, {SANDBOX_SIZE - 63, true, 1},
	    {SANDBOX_SIZE - 4, true, 1}, {SANDBOX_SIZE - 3, false, 1}, {SANDBOX_SIZE, false, 1}, {UINT64_MAX, false, 1}};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		uint64_t offset = i == 0 || i == 6 ? 0x100000 : SANDBOX_SIZE - 0x100000;
		int32_t disp = (int32_t) (rows[i].place - offset - 20 - 6);
		uint64_t marks[4] = {0};
		uint8_t code[SHORT];
		struct verify v = {.code = code, .size = SHORT, .offset = offset, .bundle = 32, .targets = marks,
		    .wanted = marks + 2, .max_violations = 1};

		memset(code, 0x90, SHORT);
		memcpy(code + 20, "\x8b\x05", 2);
		memcpy(code + 22, &disp, 4);
		asked_alone = 0;
		assert_int_equal(quick_scan(&v), rows[i].good);
#ifdef COUNT_ASKED
		assert_int_equal(asked_alone, rows[i].alone);
#endif
	}
}

/* How often the rules were asked about what was accepted. */
static size_t asked_of_accepted;

/* Counts what was accepted; what the rules say of it must be the same. */
static void
compare_short(uint8_t *code)
{
	struct verdict quick, rules;

	asked_alone = asked_bundles = 0;
	quick = judge(code, true);
	if (!quick.good)
		return;
	asked_of_accepted += asked_alone + asked_bundles;
	accepted++;
	rules = judge(code, false);
	if (memcmp(&quick, &rules, sizeof quick) == 0 || differ++ > 10)
		return;
	for (unsigned i = 0; i < 16; i++)
		print_error("%02x ", code[i]);
	print_error("rules: %d\n", rules.good);
}

/* After a move of rsp or not; at the bundle's end either a push or a jump, which minds what is pending. */
static void
try_encoding(const uint8_t *bytes, size_t size)
{
	static const uint8_t drift[] = {0x48, 0x83, 0xec, 0x08}, push[] = {0x90, 0x50}, jump[] = {0xeb, 0x00};
	uint8_t code[SHORT];

	for (unsigned i = 0; i < 4; i++) {
		size_t front = i & 1 ? sizeof drift : 0;

		memset(code, 0x90, SHORT);
		memcpy(code, drift, front);
		memcpy(code + front, bytes, size);
		memcpy(code + 30, i & 2 ? jump : push, 2);
		compare_short(code);
	}
}

struct encoding {
	uint8_t bytes[16];
	size_t size;
};

/* With each of some SIB bytes, and a displacement of four bytes that is near enough for everything. */
static void
try_modrm(struct encoding e, unsigned modrm)
{
	static const uint8_t sibs[] = {0x24, 0x25, 0x05, 0x65, 0xa4, 0x06}, disp[] = {0x00, 0x01, 0x00, 0x00};
	bool has_sib = modrm < 0xc0 && (modrm & 7) == 4, wide = modrm >> 6 == 2;

	e.bytes[e.size++] = (uint8_t) modrm;
	for (unsigned i = 0; i < (has_sib ? sizeof sibs : 1); i++) {
		if (has_sib)
			e.bytes[e.size] = sibs[i];
		if (wide)
			memcpy(e.bytes + e.size + has_sib, disp, sizeof disp);
		try_encoding(e.bytes, e.size + has_sib + (wide ? sizeof disp : 0));
	}
}

static void
each_encoding_that_the_quick_walk_accepts_the_rules_accept_alike(void **state)
{
	static const struct encoding fronts[] = {{{0}, 0}, {{0x65, 0x67}, 2}, {{0x66}, 1}, {{0xf2}, 1}, {{0xf3}, 1},
	    {{0x65, 0x67, 0x66}, 3}, {{0x65, 0x67, 0xf3}, 3}, {{0x65}, 1}, {{0x67}, 1}, {{0x2e}, 1}, {{0xf0}, 1},
	    {{0x66, 0x66}, 2}, {{0x66, 0x2e}, 2}, {{0xf0, 0x65, 0x67}, 3}};

	seed = 1;
	accepted = differ = 0;
	asked_of_accepted = 0;
	for (size_t f = 0; f < sizeof fronts / sizeof fronts[0]; f++) {
		for (unsigned rex = 0x3f; rex < 0x50; rex++) {
			for (unsigned opcode = 0; opcode < 512; opcode++) {
				struct encoding e = fronts[f];

				if (rex >= 0x40)
					e.bytes[e.size++] = (uint8_t) rex;
				if (opcode >= 256)
					e.bytes[e.size++] = 0x0f;
				e.bytes[e.size++] = (uint8_t) opcode;
				for (unsigned modrm = random64() % STRIDE; modrm < 256; modrm += STRIDE)
					try_modrm(e, modrm);
			}
		}
	}
	print_message("accepted %u, the rules were asked %zu times\n", accepted, asked_of_accepted);
	assert_true(accepted > 10000);
	assert_true(asked_of_accepted <= MOST_ASKED);
	assert_int_equal(differ, 0);
}

/* All ModRM bytes of the opcodes with digits. */
static void
each_digit_that_the_quick_walk_accepts_the_rules_accept_alike(void **state)
{
	static const struct encoding fronts[] = {{{0}, 0}, {{0x65, 0x67}, 2}, {{0x66}, 1}, {{0x48}, 1}};
	static const uint8_t one[] = {0x80, 0x81, 0x83, 0x8f, 0xc0, 0xc1, 0xc6, 0xc7, 0xd0, 0xd1, 0xd2, 0xd3, 0xd9, 0xf6,
	    0xf7, 0xfe, 0xff}, two[] = {0x01, 0x0d, 0x18, 0x1f, 0x71, 0x72, 0x73, 0xae, 0xba, 0xc7};

	accepted = differ = 0;
	for (size_t f = 0; f < sizeof fronts / sizeof fronts[0]; f++) {
		for (unsigned i = 0; i < sizeof one + sizeof two; i++) {
			struct encoding e = fronts[f];

			if (i >= sizeof one)
				e.bytes[e.size++] = 0x0f;
			e.bytes[e.size++] = i < sizeof one ? one[i] : two[i - sizeof one];
			for (unsigned modrm = 0; modrm < 256; modrm++)
				try_modrm(e, modrm);
		}
	}
	print_message("accepted %u\n", accepted);
	assert_true(accepted > 2000);
	assert_int_equal(differ, 0);
}

static void
the_rules_say_where_a_single_instruction_ends_and_goes(void **state)
{
	static uint8_t code[SIZE];
	static struct outcome outcome;
	struct verify v = new_verify(code, &outcome, 32);
	struct seen seen = {0};
	uint32_t drift = 0;
	unsigned length = 77;

	memset(code, 0x90, SIZE);
	memcpy(code + 64, "\x2e\xeb\x10", 3); /* to 64 + 3 + 16 */
	code[128] = 0x06;                     /* no instruction */
	assert_false(rules_alone(&v, 128, &drift, &seen, &length));
	assert_int_equal(length, 0);
	assert_true(rules_alone(&v, 64, &drift, &seen, &length));
	assert_int_equal(length, 3);
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(bit_get(v.wanted, i), i == 83);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(accepted_snippets_pass_by_the_quick_walk),
#ifdef COUNT_ASKED
	    cmocka_unit_test(the_rules_are_asked_about_what_is_rare),
#endif
	    cmocka_unit_test(a_bad_bundle_is_not_accepted_wherever_it_is),
	    cmocka_unit_test(single_thread_returns_need_their_policy),
	    cmocka_unit_test(drift_that_is_pending_at_the_end_is_the_most_that_there_is),
	    cmocka_unit_test(nobody_reads_behind_the_region),
	    cmocka_unit_test(nobody_reads_in_front_of_the_region),
	    cmocka_unit_test(no_instruction_crosses_an_edge),
	    cmocka_unit_test(a_jump_into_another_part_is_noted),
	    cmocka_unit_test(a_branch_into_another_part_that_would_not_be_found_again_is_not_noted),
	    cmocka_unit_test(jumps_out_of_the_region_go_to_bundles_of_the_sandbox),
	    cmocka_unit_test(operands_relative_to_rip_are_in_the_sandbox),
	    cmocka_unit_test(the_rules_say_where_a_single_instruction_ends_and_goes),
	    cmocka_unit_test(each_digit_that_the_quick_walk_accepts_the_rules_accept_alike),
	    cmocka_unit_test(what_the_quick_walk_accepts_the_rules_accept_alike),
	    cmocka_unit_test(each_encoding_that_the_quick_walk_accepts_the_rules_accept_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
