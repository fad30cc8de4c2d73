/* SPDX-License-Identifier: MIT */
/*
 * __clone(function, stack, flags, argument, parent_tid, tls, child_tid) for sandboxed code: without r11, which is
 * the rewriter's. Function and argument travel on the new stack.
 */
	.text
	.globl __clone
	.hidden __clone
	.type __clone, @function
__clone:
	movq 8(%rsp), %r10      /* child_tid */
	andq $-16, %rsi
	subq $16, %rsi
	movq %rcx, (%rsi)
	movq %rdi, 8(%rsi)
	movq %rdx, %rdi
	movq %r8, %rdx
	movq %r9, %r8
	movl $56, %eax          /* clone */
	/* Not `syscall`: the child enters where the call returns, and code is entered at the start of a bundle. */
	leaq 2f(%rip), %r11
	jmpq *-8(%r14)
	.p2align 5
2:	testl %eax, %eax
	jnz 1f
	xorl %ebp, %ebp         /* the child: its outermost frame */
	popq %rdi
	popq %rax
	call *%rax
	movl %eax, %edi
	movl $60, %eax          /* exit */
	syscall
	hlt
1:	ret
	.size __clone, . - __clone
