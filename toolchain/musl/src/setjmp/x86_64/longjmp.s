/* SPDX-License-Identifier: MIT */
/*
 * longjmp for sandboxed code: see setjmp. Stack pointer and target come from memory that the program may
 * have changed; the rewriter confines both.
 */
	.text
	.globl longjmp, _longjmp
	.type longjmp, @function
	.type _longjmp, @function
longjmp:
_longjmp:
	movl %esi, %eax
	testl %eax, %eax
	jnz 1f
	incl %eax               /* setjmp never returns 0 a second time */
1:	movq (%rdi), %rbx
	movq 8(%rdi), %rbp
	movq 16(%rdi), %r12
	movq 24(%rdi), %r13
	movq 56(%rdi), %rdx
	movq 48(%rdi), %rsp
	jmp *%rdx
	.size longjmp, . - longjmp
