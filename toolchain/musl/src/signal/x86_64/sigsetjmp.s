/* SPDX-License-Identifier: MIT */
/*
 * sigsetjmp for sandboxed code. setjmp returns here, possibly a second time when the stack below the caller's
 * frame holds something else; so the return address and rbx wait in the buffer (behind its registers: the
 * signal mask lies between the two).
 */
	.text
	.globl sigsetjmp, __sigsetjmp
	.hidden __sigsetjmp_tail
	.type sigsetjmp, @function
	.type __sigsetjmp, @function
sigsetjmp:
__sigsetjmp:
	testl %esi, %esi
	jz setjmp
	movl (%rsp), %eax
	movq %rax, 64(%rdi)
	movq %rbx, 80(%rdi)
	movq %rdi, %rbx
	call setjmp
	movq 64(%rbx), %rdx
	movq %rdx, (%rsp)
	movq %rbx, %rdi
	movl %eax, %esi
	movq 80(%rbx), %rbx
	jmp __sigsetjmp_tail
	.size sigsetjmp, . - sigsetjmp
