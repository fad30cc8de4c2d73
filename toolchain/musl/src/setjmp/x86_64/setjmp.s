/* SPDX-License-Identifier: MIT */
/*
 * setjmp for sandboxed code. It differs from the one it replaces in what it keeps: r14 and r15 belong to the
 * sandbox and never change, so they are neither saved nor restored. The members of the buffer stay where they are.
 */
	.text
	.globl setjmp, _setjmp, __setjmp
	.type setjmp, @function
	.type _setjmp, @function
	.type __setjmp, @function
setjmp:
_setjmp:
__setjmp:
	movq %rbx, (%rdi)
	movq %rbp, 8(%rdi)
	movq %r12, 16(%rdi)
	movq %r13, 24(%rdi)
	leaq 8(%rsp), %rax      /* the stack pointer that the caller will see */
	movq %rax, 48(%rdi)
	movl (%rsp), %eax       /* the return address: aligned, as behind every call; its lower half will do */
	movq %rax, 56(%rdi)
	xorl %eax, %eax
	ret
	.size setjmp, . - setjmp
