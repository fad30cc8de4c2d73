/* SPDX-License-Identifier: MIT */
/*
 * Offsets shared by entry.S and the C structs; arch.c checks each against
 * offsetof. Trusted.
 */
#ifndef CORE_LAYOUT_H
#define CORE_LAYOUT_H

/* struct LFIContext, which r15 points to while its code runs */
#define CTX_SELF 8
#define CTX_TP 16
#define CTX_BOX 24
#define CTX_FRAME 32
#define CTX_DEPTH 40
#define CTX_QUICK 44
#define CTX_ENTER_RSP 48
#define CTX_ENTER_SP 56
#define CTX_RETURN 64
#define CTX_BIASED 72
#define CTX_STATE 80
#define CTX_FCW 84
#define CTX_ENDING 86
#define CTX_ATTENTION 87
#define CTX_CALLS 88
#define CTX_RTCALLS 96
#define CTX_SERIAL 104
#define CTX_TID 124
#define CTX_RESUME 200
#define CTX_RESUME_RSP 208
#define CTX_MXCSR 216
#define CTX_INSIDE 224
#define CTX_REGS 272
#define CTX_YMMH 640
#define CTX_ZMM 896
#define CTX_MASK 2944

/* struct LFIRegs */
#define REGS_RAX 0
#define REGS_RCX 8
#define REGS_RDX 16
#define REGS_RBX 24
#define REGS_RSP 32
#define REGS_RBP 40
#define REGS_RSI 48
#define REGS_RDI 56
#define REGS_R8 64
#define REGS_R9 72
#define REGS_R10 80
#define REGS_R11 88
#define REGS_R12 96
#define REGS_R13 104
#define REGS_XMM 112

/* struct LFIBox */
#define BOX_BASE 0
#define BOX_CODE 8
#define BOX_GATE 12
#define BOX_X87_SCRUB 16
#define BOX_GS_IDLE 24
#define BOX_MIN 32
#define BOX_SPAN 40
#define BOX_MASK 48
#define BOX_CALLBACKS 56
#define BOX_FAR 1080

/* struct Frame */
#define FRAME_CTX 0
#define FRAME_HOST_SP 8
#define FRAME_GS 16
#define FRAME_MXCSR 24
#define FRAME_FCW 28
#define FRAME_KIND 32
#define FRAME_END 36
#define FRAME_PREV 40
#define FRAME_BELOW 48
#define FRAME_SAVED 56
#define FRAME_X87 64
#define FRAME_FOREIGN 72
#define FRAME_CTX_RSP 80
#define FRAME_TARGET 88
#define FRAME_SP 96
#define FRAME_GPR 104
#define FRAME_XMM 152
#define FRAME_RAX 216
#define FRAME_RDX 224
#define FRAME_XMM0 232
#define FRAME_XMM1 240
#define FRAME_WHERE 248
#define FRAME_SIZE 256

#define FRAME_RUN 0
#define FRAME_CALL 1
#define FRAME_FAST 2 /* a call that the trampoline makes by itself: the frame is at its own host_sp */

/* How a frame ended. */
#define END_NONE 0
#define END_RETURN 1
#define END_EXIT 2
#define END_FAULT 3
#define END_INTERRUPT 4
#define END_DEADLINE 5
#define END_LIMIT 6

/* struct Thread */
#define THREAD_CUR 0
#define THREAD_GS_LEFT 8
#define THREAD_TID 20
#define THREAD_STACK_FLOOR 24
#define THREAD_STACK_SPAN 32

/* struct LFIInvokeInfo */
#define INFO_BOX 0
#define INFO_CTX 8
#define INFO_TARGET 16
#define INFO_STACK_BYTES 24
#define INFO_ARG_REGS 32
#define INFO_COUNTED 34 /* the byte of LFI_INVOKE_COUNTED */
#define INFO_STACK_SKIP 40
#define INFO_STACK_TAIL 48

/* struct Prepared, which begins as struct LFIInvokeInfo */
#define PREPARED_INT 56
#define PREPARED_FLOAT 62
#define PREPARED_KEEP 72
#define PREPARED_FLOAT_KEEP 120

/* In CTX_ENTER_SP when there is no quick way: the kernel's, so that the store there faults. */
#define QUICK_NONE -16

/* Bytes left free above a call's stack: the red zone of what a handler interrupted, and what a callback looks at as
 * stack arguments. */
#define CALL_HEADROOM 128

#define STATE_OUT 0
#define STATE_HOST 1
#define STATE_SANDBOX 2

/* What a box's code does, enum LFICodeFlags. */
#define CODE_AVX 1
#define CODE_AVX512 2
#define CODE_X87 4
#define CODE_DIRECTION 16
#define CODE_MASK64 0x80000000 /* ours: mask registers have 64 bits on this machine */

#define MXCSR_DEFAULT 0x1f80
#define FCW_DEFAULT 0x37f

/* The callback page: entry i at i * 32, entry 0 is where invocations return. */
#define CALLBACK_ENTRY 32
#define CALLBACK_RESUME 11
#define CALLBACK_ENTRIES 128
#define CALLBACK_FAR 8        /* further pages, made when needed */
#define CALLBACK_TYPED_BIT 63 /* of what an entry leads to: set for a struct HostFn, clear for a function */

/* struct CallbackPage */
#define FAR_RESUME 0
#define FAR_FNS 8

/* Bytes of stack arguments that a callback gets to see. */
#define CALLBACK_STACK 128

/* struct Callback, the host stack during one */
#define CB_RBX 0
#define CB_RBP 8
#define CB_R12 16
#define CB_R13 24
#define CB_RSP 32
#define CB_RESUME 40
#define CB_MXCSR 48
#define CB_FCW 52
#define CB_FRAME 56
#define CB_RAX 64
#define CB_XMM0 80
#define CB_SIZE 96

/* struct HostCall, below it during one of a typed function */
#define HC_GPR 0
#define HC_XMM 48
#define HC_SP 112
#define HC_RESULT_X87 120
#define HC_RAX 128
#define HC_RDX 136
#define HC_XMM0 144
#define HC_XMM1 152
#define HC_ST0 160
#define HC_SIZE 176

#define X87_TOUCH 80 /* bytes from the stub x87_scrub to x87_touch */

#endif
