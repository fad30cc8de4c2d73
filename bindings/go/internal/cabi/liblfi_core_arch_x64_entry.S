//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Every path between the host and sandboxed code. Trusted: a mistake is an escape or a leak.
 *
 *   I1  Sandboxed code starts with r14 = gs base = the box's base, r15 = the context, rsp in the sandbox, at an
 *       address that C masked or that the verifier vouches for (L).
 *   I2  Then no register holds host data that is no argument: general, vector and, when the box's code can read
 *       them, upper halves, masks, x87 data, status and pointers. MXCSR and the x87 control word are the sandbox's.
 *   I3  When host code runs, rsp is the host's, DF is clear, MXCSR and the x87 control word are as the frame's entry
 *       found them, gs base is what host code last had there unless that was 0 or left there by us (gs_in), the x87
 *       stack is empty with no exception pending, upper halves are clean.
 *   I4  r15 is believed in all that sandboxed code calls: it cannot write it. Nothing is read through rsp, or
 *       through any other register that it can write, but in the guarded copies, through a masked address.
 *   I5  On the way in, the state is published before the gate is looked at, and the box's code flags are read
 *       after that (box_gate_close relies on it).
 *   I6  While the state is STATE_SANDBOX, pc is in the box, in the stub page, between arch_entry_begin and arch_entry_end,
 *       or between arch_fast_begin and arch_fast_end, and wherever it is there, arch_leave_fault ends the frame: what it
 *       needs of the host's is in the frame by then (interrupt.c relies on both). Host code that a signal handler runs
 *       on top of sandboxed code is in none of them: what such a handler may call lies outside.
 *   I7  gs base is read after the state is published, never remembered: what changed it, a signal handler that
 *       entered another sandbox included, is seen, and after the publication nobody else may enter.
 */
#include "layout.h"

	.text
	.globl arch_entry_begin
	.hidden arch_entry_begin
arch_entry_begin:

/* gs base = %r11, on the host's stack. Changes nothing. */
	.macro set_gs
	cmpb $0, arch_fsgsbase(%rip)
	je 771f
	wrgsbase %r11
	jmp 772f
771:	call set_gs_slow
772:
	.endm

/*
 * Before the state is published: until gs_in has looked, gs base stays as it is on the way out. r14 becomes the base.
 * %rbx = box, %rbp = frame.
 */
	.macro gs_prepare
	movq BOX_BASE(%rbx), %r14
	movq %r14, FRAME_GS(%rbp)
	.endm

/*
 * gs base becomes %r14 (I1, I7). Reading it takes 0.8 ns and writing it 12, so it is written only where it differs, and
 * on the way out only where the host had something there. r15 = context, %rbx = box, %rbp = frame, on the host's
 * stack. Changes r11 and rax.
 */
	.macro gs_in
	cmpb $0, arch_fsgsbase(%rip)
	je 770f
	movq %fs:0, %rax
	addq thread_self@gottpoff(%rip), %rax
	rdgsbase %r11
	cmpq %r14, %r11
	jne 770f
	cmpq THREAD_GS_LEFT(%rax), %r11
	je 769f
770:	call gs_change
769:
	.endm

/* gs base = %r11, unless that says to leave it. %rbx = box. Changes nothing. */
	.macro gs_out
	cmpq BOX_BASE(%rbx), %r11
	je 768f
	set_gs
768:
	.endm

/* As gs_in, when gs base is not what we left. Changes nothing: arguments are in registers. */
gs_change:
	pushq %rax
	pushq %rcx
	pushq %r11
	movq %fs:0, %rcx
	addq thread_self@gottpoff(%rip), %rcx
	cmpb $0, arch_fsgsbase(%rip)
	je 1f
	rdgsbase %rax
	jmp 2f
1:	pushq %rax
	movq %rsp, %r11
	call get_gs_slow
	popq %rax
2:	testq %rax, %rax
	jz 3f
	cmpq %r14, %rax
	je 3f
	cmpq THREAD_GS_LEFT(%rcx), %rax
	je 3f
	movq %rax, FRAME_GS(%rbp)
	jmp 4f
3:	movq BOX_GS_IDLE(%rbx), %r11
	movq %r11, FRAME_GS(%rbp)
	movq %r11, THREAD_GS_LEFT(%rcx)
	cmpq %r14, %rax
	je 5f
4:	movq %r14, %r11
	set_gs
5:	popq %r11
	popq %rcx
	popq %rax
	ret

/* arch_prctl(ARCH_SET_GS, %r11), for kernels without FSGSBASE. */
set_gs_slow:
	pushq %rax
	pushq %rcx
	pushq %rdi
	pushq %rsi
	pushq %r11
	movl $158, %eax
	movl $0x1001, %edi
	movq %r11, %rsi
	syscall
	popq %r11
	popq %rsi
	popq %rdi
	popq %rcx
	popq %rax
	ret

/* arch_prctl(ARCH_GET_GS, %r11). Changes rax and r11. */
get_gs_slow:
	pushq %rcx
	pushq %rsi
	pushq %rdi
	movl $158, %eax
	movl $0x1004, %edi
	movq %r11, %rsi
	syscall
	popq %rdi
	popq %rsi
	popq %rcx
	ret

/* x87 for the host: stack empty, nothing pending, its control word. %r12d = code flags. Changes rax. */
	.macro x87_leave fcw
	testl $CODE_X87, %r12d
	jz 773f
	fnstsw %ax
	testw %ax, %ax
	jz 774f
	fninit
774:	emms
	fldcw \fcw
773:
	.endm

/* x87 for the sandbox: nothing of the host's, its control word. %r12d = code flags, %rbx = box. Changes rax. */
	.macro x87_enter fcw
	testl $CODE_X87, %r12d
	jz 775f
	call *BOX_X87_SCRUB(%rbx)
	fldcw \fcw
775:
	.endm

/* Upper parts of xmm0-15 become zero where the box's code could read them, and zmm16-31 and the masks. %r12d = code flags. */
	.macro upper_scrub
	testl $CODE_AVX | CODE_AVX512, %r12d
	jz 776f
	vzeroupper
	testl $CODE_AVX512, %r12d
	jz 776f
	call avx512_scrub
776:
	.endm

avx512_scrub:
	.irp i, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	vpxord %zmm\i, %zmm\i, %zmm\i
	.endr
	.irp i, 0,1,2,3,4,5,6,7
	kxorw %k\i, %k\i, %k\i
	.endr
	ret

/*
 * Publish that %r15 goes in, and wait while its box (%rbx) is closed (I5). Goes to frame_ended when the entry is not
 * to go on. Changes what C may change.
 */
	.macro gate
777:	movl $STATE_SANDBOX, CTX_STATE(%r15)
	cmpl $0, BOX_GATE(%rbx)
	jne 779f
	cmpb $0, CTX_ATTENTION(%r15)
	je 778f
779:	movl $STATE_HOST, CTX_STATE(%r15) /* I6: C follows */
	movq %r15, %rdi
	call ctx_gate_wait
	testl %eax, %eax
	jz 777b
	jmp frame_ended
778:	movl BOX_CODE(%rbx), %r12d
	.endm

/*
 * void arch_enter(struct Frame *frame). Returns when the frame has ended.
 */
	.globl arch_enter
	.hidden arch_enter
	.type arch_enter, @function
arch_enter:
	.cfi_startproc
	pushq %rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	pushq %rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	pushq %r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r12, 0
	pushq %r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r13, 0
	pushq %r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r14, 0
	pushq %r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r15, 0
	subq $8, %rsp
	.cfi_adjust_cfa_offset 8
	movq %rsp, FRAME_HOST_SP(%rdi)
	stmxcsr FRAME_MXCSR(%rdi)
	fnstcw FRAME_FCW(%rdi)
	movq FRAME_CTX(%rdi), %r15
	movq %rdi, %rbp
	movq CTX_BOX(%r15), %rbx
	cmpl $FRAME_RUN, FRAME_KIND(%rbp)
	je resume

	/* A call: arguments from the frame, all else zero. */
	gs_prepare
	gate
	gs_in
	x87_enter default_fcw(%rip)
	ldmxcsr default_mxcsr(%rip)
	upper_scrub
	.irp i, 0,1,2,3,4,5,6,7
	movq FRAME_XMM+8*\i(%rbp), %xmm\i
	.endr
	.irp i, 8,9,10,11,12,13,14,15
	xorps %xmm\i, %xmm\i
	.endr
	movq FRAME_GPR(%rbp), %rdi
	movq FRAME_GPR+8(%rbp), %rsi
	movq FRAME_GPR+16(%rbp), %rdx
	movq FRAME_GPR+24(%rbp), %rcx
	movq FRAME_GPR+32(%rbp), %r8
	movq FRAME_GPR+40(%rbp), %r9
	movq FRAME_TARGET(%rbp), %r11
	movq FRAME_SP(%rbp), %rsp
	movl $8, %eax /* for functions with variable arguments: at most so many in vector registers */
	xorl %r10d, %r10d
	xorl %ebx, %ebx
	xorl %r12d, %r12d
	xorl %r13d, %r13d
	xorl %ebp, %ebp
	jmpq *%r11

	/*
	 * Into the sandbox with all of the context's registers, at CTX_RESUME: a run, or after a runtime call.
	 * In: host stack, r15 = context, rbx = box, rbp = frame.
	 */
resume:
	gs_prepare
	gate
	gs_in
	x87_enter CTX_FCW(%r15)
	ldmxcsr CTX_MXCSR(%r15)
	testl $CODE_AVX512, %r12d
	jnz 3f
	testl $CODE_AVX, %r12d
	jnz 2f
	.irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	movups CTX_REGS+REGS_XMM+16*\i(%r15), %xmm\i
	.endr
	jmp 4f
2:
	.irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	vmovups CTX_REGS+REGS_XMM+16*\i(%r15), %xmm\i
	vinsertf128 $1, CTX_YMMH+16*\i(%r15), %ymm\i, %ymm\i
	.endr
	jmp 4f
3:
	.irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	vmovdqu64 CTX_ZMM+64*\i(%r15), %zmm\i
	vinserti32x4 $0, CTX_REGS+REGS_XMM+16*\i(%r15), %zmm\i, %zmm\i
	.endr
	.irp i, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	vmovdqu64 CTX_ZMM+64*\i(%r15), %zmm\i
	.endr
	testl $CODE_MASK64, %r12d
	jz 5f
	.irp i, 0,1,2,3,4,5,6,7
	kmovq CTX_MASK+8*\i(%r15), %k\i
	.endr
	jmp 4f
5:
	.irp i, 0,1,2,3,4,5,6,7
	kmovw CTX_MASK+8*\i(%r15), %k\i
	.endr
4:	movq CTX_REGS+REGS_RAX(%r15), %rax
	movq CTX_REGS+REGS_RCX(%r15), %rcx
	movq CTX_REGS+REGS_RDX(%r15), %rdx
	movq CTX_REGS+REGS_RBX(%r15), %rbx
	movq CTX_REGS+REGS_RBP(%r15), %rbp
	movq CTX_REGS+REGS_RSI(%r15), %rsi
	movq CTX_REGS+REGS_RDI(%r15), %rdi
	movq CTX_REGS+REGS_R8(%r15), %r8
	movq CTX_REGS+REGS_R9(%r15), %r9
	movq CTX_REGS+REGS_R10(%r15), %r10
	movq CTX_REGS+REGS_R12(%r15), %r12
	xorl %r13d, %r13d /* flags too are the host's until here */
	movq CTX_REGS+REGS_R13(%r15), %r13
	movq CTX_RESUME(%r15), %r11
	movq CTX_RESUME_RSP(%r15), %rsp
	jmpq *%r11

/*
 * Runtime calls. In: sandbox state; r11 = L, r15 = context; rcx may be changed.
 * Each keeps all registers in the context, and resumes there.
 */
	.globl arch_entry_syscall, arch_entry_trap
	.hidden arch_entry_syscall, arch_entry_trap
arch_entry_trap:
	movl $1, %ecx
	jmp 1f
arch_entry_syscall:
	xorl %ecx, %ecx
1:	movq %rax, CTX_REGS+REGS_RAX(%r15)
	movq %rdx, CTX_REGS+REGS_RDX(%r15)
	movq %rbx, CTX_REGS+REGS_RBX(%r15)
	movq %rsp, CTX_REGS+REGS_RSP(%r15)
	movq %rbp, CTX_REGS+REGS_RBP(%r15)
	movq %rsi, CTX_REGS+REGS_RSI(%r15)
	movq %rdi, CTX_REGS+REGS_RDI(%r15)
	movq %r8, CTX_REGS+REGS_R8(%r15)
	movq %r9, CTX_REGS+REGS_R9(%r15)
	movq %r10, CTX_REGS+REGS_R10(%r15)
	movq %r11, CTX_REGS+REGS_R11(%r15)
	movq %r12, CTX_REGS+REGS_R12(%r15)
	movq %r13, CTX_REGS+REGS_R13(%r15)
	movq %r11, CTX_RESUME(%r15)
	movq %rsp, CTX_RESUME_RSP(%r15)
	movl %ecx, %r13d
	movq %r11, CTX_REGS+REGS_RCX(%r15)
	movl CTX_DEPTH(%r15), %eax
	movq CTX_INSIDE(%r15), %rcx
	movq %r11, (%rcx,%rax,8)
	incq CTX_RTCALLS(%r15)
	movl $STATE_HOST, CTX_STATE(%r15)
	movq CTX_FRAME(%r15), %rbp
	movq FRAME_HOST_SP(%rbp), %rsp
	cld
	movq CTX_BOX(%r15), %rbx
	movl BOX_CODE(%rbx), %r12d
	.irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	movups %xmm\i, CTX_REGS+REGS_XMM+16*\i(%r15)
	.endr
	testl $CODE_AVX | CODE_AVX512, %r12d
	jz 4f
	testl $CODE_AVX512, %r12d
	jnz 2f
	.irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	vextractf128 $1, %ymm\i, CTX_YMMH+16*\i(%r15)
	.endr
	jmp 3f
2:
	.irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	vmovdqu64 %zmm\i, CTX_ZMM+64*\i(%r15)
	.endr
	testl $CODE_MASK64, %r12d
	jz 5f
	.irp i, 0,1,2,3,4,5,6,7
	kmovq %k\i, CTX_MASK+8*\i(%r15)
	.endr
	jmp 3f
5:
	.irp i, 0,1,2,3,4,5,6,7
	kmovw %k\i, CTX_MASK+8*\i(%r15)
	.endr
3:	vzeroupper
4:	stmxcsr CTX_MXCSR(%r15)
	ldmxcsr FRAME_MXCSR(%rbp)
	testl $CODE_X87, %r12d
	jz 6f
	fnstcw CTX_FCW(%r15)
6:	x87_leave FRAME_FCW(%rbp)
	movq FRAME_GS(%rbp), %r11
	gs_out
	movq %r15, %rdi
	testl %r13d, %r13d
	jnz 7f
	call ctx_syscall
	testl %eax, %eax
	jz resume
	jmp 8f
7:	call ctx_unknown_call
8:
frame_ended:
	/* The frame has ended, and the host's state is in place. */
	movq CTX_FRAME(%r15), %rbp
	movq FRAME_HOST_SP(%rbp), %rsp
	jmp leave

/*
 * A function that the host called by arch_enter returns: r10 = the frame.
 */
return_slowly:
	cmpl $FRAME_CALL, FRAME_KIND(%r10)
	jne trap_scrubbed
	movq %rax, FRAME_RAX(%r10)
	movq %rdx, FRAME_RDX(%r10)
	movq %xmm0, FRAME_XMM0(%r10)
	movq %xmm1, FRAME_XMM1(%r10)
	movl $END_RETURN, FRAME_END(%r10)
	cmpq $0, FRAME_X87(%r10)
	je leave_sandbox
	movq CTX_BOX(%r15), %r11
	testl $CODE_X87, BOX_CODE(%r11)
	jz leave_sandbox
	movq FRAME_X87(%r10), %r11
	fnsave (%r11) /* whatever is in st0, an exception pending included, raises nothing */
	jmp leave_sandbox

/*
 * Signal handlers send a thread here, with r15 = context, how the frame ended in the frame, and all else unknown.
 */
	.globl arch_leave_fault
	.hidden arch_leave_fault
arch_leave_fault:
	movq CTX_FRAME(%r15), %r10

	/* In: r15 = context, r10 = its frame; the sandbox's state. */
leave_sandbox:
	movl $STATE_HOST, CTX_STATE(%r15)
	movq %r10, %rbp
	movq FRAME_HOST_SP(%r10), %rsp
	cld
	movq CTX_BOX(%r15), %rbx
	movl BOX_CODE(%rbx), %r12d
	testl $CODE_AVX | CODE_AVX512, %r12d
	jz 1f
	vzeroupper
1:	ldmxcsr FRAME_MXCSR(%r10)
	x87_leave FRAME_FCW(%r10)
	movq FRAME_GS(%r10), %r11
	gs_out
	/* In: the host's stack and state, rbp = frame. */
leave:
	cmpl $FRAME_FAST, FRAME_KIND(%rbp)
	je fast_ended
	addq $8, %rsp
	.cfi_adjust_cfa_offset -8
	popq %r15
	.cfi_adjust_cfa_offset -8
	popq %r14
	.cfi_adjust_cfa_offset -8
	popq %r13
	.cfi_adjust_cfa_offset -8
	popq %r12
	.cfi_adjust_cfa_offset -8
	popq %rbx
	.cfi_adjust_cfa_offset -8
	popq %rbp
	.cfi_adjust_cfa_offset -8
	ret

/* What has been looked up is the host's: the trap keeps all registers for the next run (I2). */
trap_scrubbed:
	xorl %eax, %eax
	xorl %r10d, %r10d
	jmp arch_entry_trap

/*
 * A callback: r10 = L less that of entry 0; arguments by the psABI. rax, r10, r11 may be changed.
 */
callback:
	.cfi_adjust_cfa_offset 56
	testb $CALLBACK_ENTRY - 1, %r10b
	jnz trap_scrubbed
	shrq $5, %r10
	movq CTX_BOX(%r15), %rax
	cmpq $CALLBACK_ENTRIES, %r10
	jae callback_far
	movq BOX_CALLBACKS(%rax,%r10,8), %r10
callback_found:
	testq %r10, %r10
	jz trap_scrubbed

	/* struct Callback on the host's stack: what the sandbox gets back. */
	movq %rsp, CTX_REGS+REGS_RSP(%r15)
	movq CTX_FRAME(%r15), %rax
	movq FRAME_HOST_SP(%rax), %rax
	subq $CB_SIZE, %rax
	movq %rbx, CB_RBX(%rax)
	movq %rbp, CB_RBP(%rax)
	movq %r12, CB_R12(%rax)
	movq %r13, CB_R13(%rax)
	movq %rsp, CB_RSP(%rax)
	movq %r11, CB_RESUME(%rax)
	movq %rsp, %r14
	movq %rax, %rsp
	movq %r10, %r13
	movl CTX_DEPTH(%r15), %eax
	movq CTX_INSIDE(%r15), %r10
	movq %r11, (%r10,%rax,8)
	movl $STATE_HOST, CTX_STATE(%r15)
	cld
	movq CTX_FRAME(%r15), %rbp
	movq CTX_BOX(%r15), %rbx
	movl BOX_CODE(%rbx), %r12d
	stmxcsr CB_MXCSR(%rsp)
	ldmxcsr FRAME_MXCSR(%rbp)
	testl $CODE_AVX | CODE_AVX512, %r12d
	jz 1f
	vzeroupper
	/* The host function may load the box's first x87 code: then it starts with the default. */
1:	movw $FCW_DEFAULT, CB_FCW(%rsp)
	testl $CODE_X87, %r12d
	jz 2f
	fnstcw CB_FCW(%rsp)
2:	x87_leave FRAME_FCW(%rbp)
	movq FRAME_GS(%rbp), %r11
	gs_out
	testq %r13, %r13
	js callback_typed

	/* The arguments on the sandbox's stack, above the return address, as far as they can be read (I4). */
	subq $CALLBACK_STACK, %rsp
	movl %r14d, %r14d
	addq BOX_BASE(%rbx), %r14
guard_callback:
	.irp i, 0,1,2,3,4,5,6,7
	movups 8+16*\i(%r14), %xmm8
	movups %xmm8, 16*\i(%rsp)
	.endr
guard_callback_end:
	movl $8, %eax
	xorl %r10d, %r10d
	callq *%r13

	addq $CALLBACK_STACK, %rsp
	cmpb $0, CTX_ENDING(%r15)
	jne callback_ending
	movq %rax, CB_RAX(%rsp)
	movq %xmm0, CB_XMM0(%rsp)
	gs_prepare
	gate
	gs_in
	x87_enter CB_FCW(%rsp)
	ldmxcsr CB_MXCSR(%rsp)
	upper_scrub
	movq CB_XMM0(%rsp), %xmm0 /* no result is longer */
	xorps %xmm1, %xmm1
	movq CB_RAX(%rsp), %rax
	xorl %edx, %edx
	/* In: results in rax, rdx, xmm0, xmm1; all else is cleared. */
callback_results:
	.irp i, 2,3,4,5,6,7,8,9,10,11,12,13,14,15
	xorps %xmm\i, %xmm\i
	.endr
	movq CB_RBX(%rsp), %rbx
	movq CB_RBP(%rsp), %rbp
	movq CB_R12(%rsp), %r12
	movq CB_R13(%rsp), %r13
	movq CB_RESUME(%rsp), %r11
	movq CB_RSP(%rsp), %rsp
	xorl %ecx, %ecx
	xorl %esi, %esi
	xorl %edi, %edi
	xorl %r8d, %r8d
	xorl %r9d, %r9d
	xorl %r10d, %r10d
	jmpq *%r11

/* L is in none of the first page: r11 = L, rax = box; only rax and r10 may be changed. */
callback_far:
	.irp i, 0,1,2,3,4,5,6,7
	movq BOX_FAR+8*\i(%rax), %r10
	testq %r10, %r10
	jz trap_scrubbed
	movq %r11, %rax
	subq FAR_RESUME(%r10), %rax
	cmpq $CALLBACK_ENTRIES * CALLBACK_ENTRY, %rax
	jb 1f
	movq CTX_BOX(%r15), %rax
	.endr
	jmp trap_scrubbed
1:	shrq $5, %rax
	movq FAR_FNS(%r10,%rax,8), %r10
	jmp callback_found

/*
 * A function with a signature: C takes the arguments from where that says. In: the host's state, %rsp = struct Callback,
 * arguments in registers, r14 = the sandbox's rsp, r13 = the struct HostFn, tagged.
 */
callback_typed:
	subq $HC_SIZE, %rsp
	movq %rdi, HC_GPR(%rsp)
	movq %rsi, HC_GPR+8(%rsp)
	movq %rdx, HC_GPR+16(%rsp)
	movq %rcx, HC_GPR+24(%rsp)
	movq %r8, HC_GPR+32(%rsp)
	movq %r9, HC_GPR+40(%rsp)
	.irp i, 0,1,2,3,4,5,6,7
	movq %xmm\i, HC_XMM+8*\i(%rsp)
	.endr
	movl %r14d, %r14d
	movq %r14, HC_SP(%rsp)
	btrq $CALLBACK_TYPED_BIT, %r13
	movq %r13, %rdi
	movq %rsp, %rsi
	movq %r15, %rdx
	call ctx_host_call
	cmpb $0, CTX_ENDING(%r15)
	jne callback_ending
	testl %eax, %eax
	jnz callback_failed
	gs_prepare
	gate
	gs_in
	x87_enter HC_SIZE+CB_FCW(%rsp)
	testl $CODE_X87, %r12d
	jz 1f
	cmpl $0, HC_RESULT_X87(%rsp)
	je 1f
	fldt HC_ST0(%rsp)
	movq BOX_X87_SCRUB(%rbx), %rax /* the pointers to the last instruction and operand are the host's (I2) */
	addq $X87_TOUCH, %rax
	call *%rax
1:	ldmxcsr HC_SIZE+CB_MXCSR(%rsp)
	upper_scrub
	movq HC_XMM0(%rsp), %xmm0
	movq HC_XMM1(%rsp), %xmm1
	movq HC_RAX(%rsp), %rax
	movq HC_RDX(%rsp), %rdx
	addq $HC_SIZE, %rsp
	jmp callback_results

callback_failed:
	movq CTX_FRAME(%r15), %rbp
	movq FRAME_HOST_SP(%rbp), %rsp
	jmp leave

callback_ending:
	movq CTX_FRAME(%r15), %rbp
	movl $END_EXIT, FRAME_END(%rbp)
	movq FRAME_HOST_SP(%rbp), %rsp
	jmp leave
	.cfi_endproc
	.size arch_enter, . - arch_enter
	.globl arch_entry_end
	.hidden arch_entry_end
arch_entry_end:

/*
 * lfi_trampoline: what LFI_INVOKE mostly is, with all the checks that ctx_invoke, frame_push and frame_call make: a
 * context that is not entered, of the thread that enters it quickly, arguments in registers only. Whenever something is
 * different, invoke_slowly spills the arguments into the frame and lets ctx_invoke do the call, or say why not.
 *
 * Its length is its cost, at five instructions or so a cycle, so what can be said ahead is: a context whose stack
 * pointer is enter_rsp has been through quick_enable, and a thread without os_thread_ready has no stack span.
 */
	.macro trampoline_enter
	pushq %rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	pushq %rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	pushq %r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r12, 0
	pushq %r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r13, 0
	pushq %r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r14, 0
	pushq %r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r15, 0
	subq $FRAME_SIZE + 8, %rsp
	.cfi_adjust_cfa_offset FRAME_SIZE + 8
	movq %fs:0, %r13
	.endm

	.macro trampoline_leave
	addq $FRAME_SIZE + 8, %rsp
	.cfi_remember_state
	.cfi_adjust_cfa_offset -FRAME_SIZE - 8
	.irp reg, r15,r14,r13,r12,rbx,rbp
	popq %\reg
	.cfi_adjust_cfa_offset -8
	.endr
	ret
	.cfi_restore_state
	.endm

/* Argument \i of arch_call_prepared, and on to 2 when it is the last. */
	.macro prepared_int reg, i
	movzbl PREPARED_INT+\i(%r12), %eax
	movq (%r14,%rax,8), \reg
	andq PREPARED_KEEP+8*\i(%r12), \reg
	cmpb $\i + 1, %r10b
	jbe 2f
	.endm

	.type trampoline, @function
	.globl arch_trampoline
	.hidden arch_trampoline
	.balign 64
arch_trampoline:
trampoline:
	.cfi_startproc
	trampoline_enter
	movq %r13, %r12
	addq lfi_invoke_info@gottpoff(%rip), %r12
	addq thread_self@gottpoff(%rip), %r13
	movq INFO_CTX(%r12), %rax
	movl INFO_ARG_REGS(%r12), %r10d

	/* No words on the stack, nothing to reset beside the counted registers. The same box and context, made. */
	movq INFO_STACK_BYTES(%r12), %r11
	orq INFO_STACK_SKIP(%r12), %r11
	orq INFO_STACK_TAIL(%r12), %r11
	jnz invoke_slowly
	cmpb $1, INFO_COUNTED(%r12)
	jne invoke_slowly
	/* In: r12 = struct LFIInvokeInfo, or struct Prepared; rax = where the context is, r10d = arg_regs, r13 = thread. */
fast_checks:
	testq %rax, %rax
	jz invoke_slowly
	movq (%rax), %r15
	testq %r15, %r15
	jz invoke_slowly
	movq CTX_BOX(%r15), %rbx
	cmpq INFO_BOX(%r12), %rbx
	jne invoke_slowly
	movq INFO_TARGET(%r12), %r11
	.globl arch_trampoline_taken
	.hidden arch_trampoline_taken
arch_trampoline_taken: /* from here on a signal handler may use lfi_invoke_info */

	/* frame_push: the thread is ready, and in host code; the context is free and ours. */
	movq %rsp, %rax
	subq THREAD_STACK_FLOOR(%r13), %rax
	cmpq THREAD_STACK_SPAN(%r13), %rax
	jae invoke_slowly
	cmpq $0, THREAD_CUR(%r13)
	jne invoke_slowly
	cmpq %r13, CTX_BIASED(%r15)
	jne invoke_slowly
	cmpl $0, CTX_DEPTH(%r15)
	jne invoke_slowly
	cmpl $0, CTX_QUICK(%r15)
	jne invoke_slowly

	/* frame_call: the target and the stack are in the sandbox, and there is something to return to. */
	movq %r11, %rax
	subq BOX_MIN(%rbx), %rax
	cmpq BOX_SPAN(%rbx), %rax
	jae fast_offset
fast_target:
	andl BOX_MASK(%rbx), %r11d
	addq BOX_BASE(%rbx), %r11
	movq CTX_REGS+REGS_RSP(%r15), %rax
	cmpq CTX_ENTER_RSP(%r15), %rax
	jne invoke_slowly
	movq %rax, FRAME_CTX_RSP(%rsp)
	movq CTX_ENTER_SP(%r15), %rbp
	movq CTX_RETURN(%r15), %r14
	cmpq $-1, %r14
	je invoke_slowly
	subq $CALLBACK_RESUME, %r14

	/* own: the store, then the look. With the depth, so that a signal handler that enters here does not disown. */
	movl THREAD_TID(%r13), %eax
	movl %eax, CTX_TID(%r15)
	movabsq $0x100000001, %rax
	movq %rax, CTX_DEPTH(%r15) /* and CTX_QUICK */
	.globl arch_fast_entered
	.hidden arch_fast_entered
arch_fast_entered: /* from here on an interrupt is for this entry */
	cmpq %r13, CTX_BIASED(%r15)
	jne fast_disown
guard_fast:
	movq %r14, (%rbp)
guard_fast_end:
	xorps %xmm8, %xmm8 /* no argument */
	movq %r15, FRAME_CTX(%rsp)
	movq %rsp, FRAME_HOST_SP(%rsp)
	stmxcsr FRAME_MXCSR(%rsp)
	fnstcw FRAME_FCW(%rsp)
	movq $FRAME_FAST, FRAME_KIND(%rsp) /* and FRAME_END */
	movups %xmm8, FRAME_PREV(%rsp) /* and FRAME_BELOW */
	movups %xmm8, FRAME_SAVED(%rsp) /* and FRAME_X87 */
	movq $0, FRAME_FOREIGN(%rsp)
	incq CTX_CALLS(%r15)
	movq %rsp, CTX_FRAME(%r15)
	movq %r15, THREAD_CUR(%r13)
	movq BOX_BASE(%rbx), %r14
	movq %r14, FRAME_GS(%rsp)
	movl $STATE_SANDBOX, CTX_STATE(%r15)
	.globl arch_fast_begin
	.hidden arch_fast_begin
arch_fast_begin:
	cmpl $0, BOX_GATE(%rbx)
	jne fast_undo
	cmpb $0, CTX_ATTENTION(%r15)
	jne fast_undo
	rdgsbase %rax
	cmpq %r14, %rax
	jne fast_gs
	cmpq THREAD_GS_LEFT(%r13), %rax
	jne fast_gs
fast_gs_done:
	ldmxcsr default_mxcsr(%rip)
	movl BOX_CODE(%rbx), %r12d
	testl $CODE_X87 | CODE_AVX | CODE_AVX512, %r12d
	jnz fast_scrub
fast_scrubbed:
	cmpb $3, %r10b
	ja fast_many
	movl $0, %ecx /* keeps the flags */
	movl $0, %r8d
	movl $0, %r9d
	je fast_counted
	xorl %edx, %edx
	cmpb $1, %r10b
	ja fast_counted
	movl $0, %esi
	je fast_counted
	xorl %edi, %edi
fast_counted:
	testl $0xff00, %r10d
	jnz fast_floats
	.irp i, 0,1,2,3,4,5,6,7
	xorps %xmm\i, %xmm\i
	.endr
fast_go:
	.irp i, 8,9,10,11,12,13,14,15
	xorps %xmm\i, %xmm\i
	.endr
	movq %rbp, %rsp
	movl $8, %eax
	xorl %r10d, %r10d
	xorl %ebx, %ebx
	xorl %r12d, %r12d
	xorl %r13d, %r13d
	xorl %ebp, %ebp
	jmpq *%r11

	/* More than three arguments in general registers. */
fast_many:
	cmpb $5, %r10b
	ja fast_counted
	movl $0, %r9d
	je fast_counted
	xorl %r8d, %r8d
	jmp fast_counted

fast_scrub:
	x87_enter default_fcw(%rip)
	upper_scrub
	jmp fast_scrubbed

	/* As gs_in. rbp is the sandbox's stack pointer here. */
fast_gs:
	movq %rbp, %r12
	movq %rsp, %rbp
	call gs_change
	movq %r12, %rbp
	jmp fast_gs_done

	/* The low halves of the first r10b >> 8 registers are arguments. */
fast_floats:
	shrl $8, %r10d
	movzbl %r10b, %r10d
	.irp i, 0,1,2,3,4,5,6,7
	cmpl $\i, %r10d
	ja 765f
	xorps %xmm\i, %xmm\i
	jmp 766f
765:	movq %xmm\i, %xmm\i
766:
	.endr
	jmp fast_go

/*
 * Entry -32: a function that the host called returns, or sandboxed code calls the host back. r11 = L says which.
 */
	.globl arch_entry_return
	.hidden arch_entry_return
	.balign 64
arch_entry_return:
	movq %r11, %r10
	subq CTX_RETURN(%r15), %r10
	jnz callback
	movq CTX_FRAME(%r15), %r10
	cmpl $FRAME_FAST, FRAME_KIND(%r10)
	jne return_slowly
	movl $STATE_HOST, CTX_STATE(%r15)
	movq %r10, %rsp
	ldmxcsr FRAME_MXCSR(%rsp)
	movq CTX_BOX(%r15), %rbx
	movl BOX_CODE(%rbx), %r12d
	movq FRAME_GS(%rsp), %r11
	testl $CODE_X87 | CODE_AVX | CODE_AVX512 | CODE_DIRECTION, %r12d
	jnz fast_clean
fast_cleaned:
	gs_out

	/* frame_pop; rax, rdx, xmm0 and xmm1 are the results. */
	movq %fs:0, %r8
	movq %r8, %r9
	movq %r8, %r11
	addq lfi_invoke_info@gottpoff(%rip), %r8
	addq thread_self@gottpoff(%rip), %r9
	addq error_code@gottpoff(%rip), %r11
	movq FRAME_CTX_RSP(%rsp), %rcx
	cmpq %rcx, CTX_REGS+REGS_RSP(%r15)
	jne fast_moved /* not stored when equal: the next call would wait for it */
fast_unmoved:
	movl $0, INFO_ARG_REGS(%r8)
	movl $0, (%r11)
	movb $0, CTX_ENDING(%r15)
	movq $0, CTX_FRAME(%r15)
	movq $0, THREAD_CUR(%r9)
	movl $STATE_OUT, CTX_STATE(%r15)
	/* entry_over: the depth, the number, the look; and only then disown. */
	movl $0, CTX_DEPTH(%r15)
	incq CTX_SERIAL(%r15)
	cmpb $0, CTX_ATTENTION(%r15)
	jne fast_attention
fast_told:
	movl $0, CTX_QUICK(%r15)
	trampoline_leave

fast_attention:
	movq %rax, FRAME_RAX(%rsp)
	movq %rdx, FRAME_RDX(%rsp)
	movq %xmm0, FRAME_XMM0(%rsp)
	movq %xmm1, FRAME_XMM1(%rsp)
	movq %r15, %rdi
	call interrupt_left
	movq FRAME_RAX(%rsp), %rax
	movq FRAME_RDX(%rsp), %rdx
	movq FRAME_XMM0(%rsp), %xmm0
	movq FRAME_XMM1(%rsp), %xmm1
	jmp fast_told

fast_moved:
	movq %rcx, CTX_REGS+REGS_RSP(%r15)
	jmp fast_unmoved

fast_clean:
	cld
	testl $CODE_AVX | CODE_AVX512, %r12d
	jz 1f
	vzeroupper
1:	movq %rax, %r13
	x87_leave FRAME_FCW(%rsp)
	movq %r13, %rax
	jmp fast_cleaned

	/* The box is closed, or the entry is to end: ctx_invoke waits, or says so. */
fast_undo:
	decq CTX_CALLS(%r15)
	movl $STATE_OUT, CTX_STATE(%r15)
	.globl arch_fast_end
	.hidden arch_fast_end
arch_fast_end:
	movq $0, CTX_FRAME(%r15)
	movq $0, THREAD_CUR(%r13)
fast_disown:
	movq $0, CTX_DEPTH(%r15) /* and CTX_QUICK */

invoke_slowly:
	movq %rdi, FRAME_GPR(%rsp)
	movq %rsi, FRAME_GPR+8(%rsp)
	movq %rdx, FRAME_GPR+16(%rsp)
	movq %rcx, FRAME_GPR+24(%rsp)
	movq %r8, FRAME_GPR+32(%rsp)
	movq %r9, FRAME_GPR+40(%rsp)
	.irp i, 0,1,2,3,4,5,6,7
	movq %xmm\i, FRAME_XMM+8*\i(%rsp)
	.endr
	movq %rsp, %rdi
	leaq FRAME_SIZE + 8 + 6*8 + 8(%rsp), %rsi
	movq %r12, %rdx
	call ctx_invoke
	testl %eax, %eax
	jz invoke_result
	fldt FRAME_GPR(%rsp)
invoke_result:
	movq FRAME_RAX(%rsp), %rax
	movq FRAME_RDX(%rsp), %rdx
	movq FRAME_XMM0(%rsp), %xmm0
	movq FRAME_XMM1(%rsp), %xmm1
	trampoline_leave

	/* The target may be an offset from the base. */
fast_offset:
	movq %r11, %rax
	shrq $32, %rax
	jnz invoke_slowly
	movq %r11, %rax
	addq BOX_BASE(%rbx), %rax
	subq BOX_MIN(%rbx), %rax
	cmpq BOX_SPAN(%rbx), %rax
	jb fast_target
	jmp invoke_slowly

	/* The frame has ended otherwise. In: the host's stack and state. */
fast_ended:
	movq %rsp, %rdi
	call ctx_invoke_ended
	jmp invoke_result
	.cfi_endproc
	.size trampoline, . - trampoline

/*
 * uint64_t arch_call_prepared(const struct Prepared *prepared, struct LFIContext **ctx, const union LFIValue *args): the
 * arguments from where the signature says, each in as many bits as its type has.
 */
	.globl arch_call_prepared, arch_call_prepared_real
	.hidden arch_call_prepared, arch_call_prepared_real
	.type arch_call_prepared, @function
	.type arch_call_prepared_real, @function
	.balign 64
arch_call_prepared:
arch_call_prepared_real:
	.cfi_startproc
	trampoline_enter
	addq thread_self@gottpoff(%rip), %r13
	movq %rdi, %r12
	movq %rsi, %r11
	movq %rsi, FRAME_WHERE(%rsp)
	movq %rdx, %r14
	movl INFO_ARG_REGS(%r12), %r10d
	testb %r10b, %r10b
	jz 2f
	prepared_int %rdi, 0
	prepared_int %rsi, 1
	prepared_int %rdx, 2
	prepared_int %rcx, 3
	prepared_int %r8, 4
	prepared_int %r9, 5
2:	testl $0xff00, %r10d
	jnz prepared_floats
prepared_filled:
	movq %r11, %rax
	jmp fast_checks

prepared_floats:
	movl %r10d, %r15d
	shrl $8, %r15d
	.irp i, 0,1,2,3,4,5,6,7
	movzbl PREPARED_FLOAT+\i(%r12), %eax
	movq (%r14,%rax,8), %rax
	andq PREPARED_FLOAT_KEEP+8*\i(%r12), %rax
	movq %rax, %xmm\i
	cmpb $\i + 1, %r15b
	jbe prepared_filled
	.endr
	jmp prepared_filled
	.cfi_endproc
	.size arch_call_prepared, . - arch_call_prepared

/*
 * size_t copy_guarded(void *dst, const void *src, size_t size): what is left when a page faults.
 */
	.globl copy_guarded
	.hidden copy_guarded
	.type copy_guarded, @function
copy_guarded:
	.cfi_startproc
	movq %rdx, %rcx
	cmpq $64, %rdx
	jae guard_rep
	shrq $3, %rcx
	jz 2f
guard_words:
1:	movq (%rsi), %rax
	movq %rax, (%rdi)
	addq $8, %rsi
	addq $8, %rdi
	subq $8, %rdx
	decq %rcx
	jnz 1b
2:	testq %rdx, %rdx
	jz guard_words_end
3:	movb (%rsi), %al
	movb %al, (%rdi)
	incq %rsi
	incq %rdi
	decq %rdx
	jnz 3b
guard_words_end:
	movq %rdx, %rax
	ret
guard_rep:
	rep movsb
guard_rep_end:
	movq %rcx, %rax
	ret
	.cfi_endproc
	.size copy_guarded, . - copy_guarded

/*
 * int arch_store64(uint64_t *dst, uint64_t value): 0, or -1 when the page cannot be written.
 */
	.globl arch_store64
	.hidden arch_store64
	.type arch_store64, @function
arch_store64:
	.cfi_startproc
guard_store:
	movq %rsi, (%rdi)
guard_store_end:
	xorl %eax, %eax
	ret
store_fault:
	movl $-1, %eax
	ret
	.cfi_endproc
	.size arch_store64, . - arch_store64

/* ssize_t strnlen_guarded(const char *s, size_t max) */
	.globl strnlen_guarded
	.hidden strnlen_guarded
	.type strnlen_guarded, @function
strnlen_guarded:
	.cfi_startproc
	xorl %eax, %eax
guard_strnlen:
1:	cmpq %rsi, %rax
	jae 2f
	cmpb $0, (%rdi,%rax)
	je 2f
	incq %rax
	jmp 1b
guard_strnlen_end:
2:	ret
strnlen_fault:
	movq $-1, %rax
	ret
	.cfi_endproc
	.size strnlen_guarded, . - strnlen_guarded

	.section .rodata
	.balign 8
default_mxcsr:
	.long MXCSR_DEFAULT
default_fcw:
	.word FCW_DEFAULT

/* Rows: first instruction, end, where to go on. See arch_guard_fixup. */
	.section .data.rel.ro, "aw"
	.balign 8
	.globl arch_guards
	.hidden arch_guards
arch_guards:
	.quad guard_callback, guard_callback_end, guard_callback_end
	.quad guard_fast, guard_fast_end, fast_disown
	.quad guard_words, guard_words_end, guard_words_end
	.quad guard_rep, guard_rep_end, guard_rep_end
	.quad guard_store, guard_store_end, store_fault
	.quad guard_strnlen, guard_strnlen_end, strnlen_fault
	.quad 0, 0, 0

	.globl lfi_trampoline_addr
	.type lfi_trampoline_addr, @object
	.size lfi_trampoline_addr, 8
lfi_trampoline_addr:
	.quad arch_trampoline

	.section .note.GNU-stack, "", @progbits
