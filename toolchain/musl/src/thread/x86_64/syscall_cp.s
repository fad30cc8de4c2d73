/* SPDX-License-Identifier: MIT */
/*
 * A system call that is a cancellation point, for sandboxed code: without r11, which is the rewriter's. A thread that is
 * cancelled between __cp_begin and __cp_end continues at __cp_cancel.
 */
	.text
	.globl __syscall_cp_asm, __cp_begin, __cp_end, __cp_cancel
	.hidden __syscall_cp_asm, __cp_begin, __cp_end, __cp_cancel, __cancel
	.type __syscall_cp_asm, @function
__syscall_cp_asm:
__cp_begin:
	movl (%rdi), %eax
	testl %eax, %eax
	jnz __cp_cancel
	movq %rsi, %rax
	movq %rdx, %rdi
	movq %rcx, %rsi
	movq %r8, %rdx
	movq %r9, %r10
	movq 8(%rsp), %r8
	movq 16(%rsp), %r9
	syscall
__cp_end:
	ret
__cp_cancel:
	jmp __cancel
	.size __syscall_cp_asm, . - __syscall_cp_asm
