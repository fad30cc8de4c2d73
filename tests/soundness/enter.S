/* SPDX-License-Identifier: MIT */
/*
 * enter(arena): leaves the host's registers on the stack and its stack pointer in the arena, loads the program's state and
 * goes on at its target. Whatever ends the run, the signal handler goes on at enter_back with the stack pointer that
 * was left. Offsets are those of struct arena; run.c checks them.
 */
#include "offsets.h"

	.text
	.globl enter, enter_back
	.type enter, @function
enter:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, ARENA_HOST_RSP(%rdi)
	leaq ARENA_VECTORS(%rdi), %rax
	.irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovups 32*\i(%rax), %ymm\i
	.endr
	/* The flags by way of the host's stack: a trace trap comes after the instruction behind popfq. */
	movq ARENA_TARGET(%rdi), %rax
	movq %rax, -16(%rsp)
	movq ARENA_FLAGS(%rdi), %rax
	movq %rax, -24(%rsp)
	leaq ARENA_ENTER(%rdi), %rdi
	movq 8(%rdi), %rbx
	movq 16(%rdi), %rcx
	movq 24(%rdi), %rdx
	movq 32(%rdi), %rsi
	movq 48(%rdi), %rbp
	movq 56(%rdi), %r8
	movq 64(%rdi), %r9
	movq 72(%rdi), %r10
	movq 88(%rdi), %r12
	movq 96(%rdi), %r13
	movq 104(%rdi), %r14
	movq 112(%rdi), %r15
	movq (%rdi), %rax
	movq -16(%rsp), %r11
	/* popfq reads the host's stack; rsp and rdi come last, without touching the flags. */
	subq $24, %rsp
	popfq
	movq 120(%rdi), %rsp
	movq 40(%rdi), %rdi
	jmp *%r11
enter_back:
	cld
	fninit
	ldmxcsr mxcsr(%rip)
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	vzeroupper
	ret
	.size enter, .-enter
	.section .rodata
mxcsr:
	.long 0x1f80
	.section .note.GNU-stack, "", @progbits
