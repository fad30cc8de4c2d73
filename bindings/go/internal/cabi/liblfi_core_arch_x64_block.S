//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * A system call that an interrupt cannot miss: what tests for one and the `syscall` instruction lie in a range that
 * the interrupt's signal handler knows. Within it the call has not been made, or was stopped and would be made again:
 * the handler sends the thread to the exit. Trusted.
 */
#define EINTR 4

	.text

/* int64_t arch_blocking(_Atomic uint8_t *attention, long number, long a, long b, long c, long d, long e, long f) */
	.globl arch_blocking
	.hidden arch_blocking
	.type arch_blocking, @function
arch_blocking:
	.cfi_startproc
	movq %rdi, %r11
	movq %rsi, %rax
	movq %rdx, %rdi
	movq %rcx, %rsi
	movq %r8, %rdx
	movq %r9, %r10
	movq 8(%rsp), %r8
	movq 16(%rsp), %r9
	.globl arch_blocking_begin
	.hidden arch_blocking_begin
arch_blocking_begin:
	cmpb $0, (%r11)
	jne arch_blocking_cancel
	syscall
	.globl arch_blocking_end
	.hidden arch_blocking_end
arch_blocking_end:
	ret
	.globl arch_blocking_cancel
	.hidden arch_blocking_cancel
arch_blocking_cancel:
	movq $-EINTR, %rax
	ret
	.cfi_endproc
	.size arch_blocking, . - arch_blocking

	.section .note.GNU-stack, "", @progbits
