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
#define CTX_STATE 44
#define CTX_RESUME 48
#define CTX_RESUME_RSP 56
#define CTX_RETURN 64
#define CTX_MXCSR 72
#define CTX_FCW 76
#define CTX_ENDING 78
#define CTX_ATTENTION 79
#define CTX_REGS 80
#define CTX_YMMH 448
#define CTX_ZMM 704
#define CTX_MASK 2752
#define CTX_INSIDE 2816

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
#define BOX_CALLBACKS 24

/* struct Frame */
#define FRAME_CTX 0
#define FRAME_HOST_SP 8
#define FRAME_GS 16
#define FRAME_MXCSR 24
#define FRAME_FCW 28
#define FRAME_KIND 32
#define FRAME_END 36
#define FRAME_TARGET 40
#define FRAME_SP 48
#define FRAME_GPR 56
#define FRAME_XMM 104
#define FRAME_RAX 168
#define FRAME_RDX 176
#define FRAME_XMM0 184
#define FRAME_XMM1 192
#define FRAME_SIZE 224

#define FRAME_RUN 0
#define FRAME_CALL 1

/* How a frame ended. */
#define END_NONE 0
#define END_RETURN 1
#define END_EXIT 2
#define END_FAULT 3
#define END_INTERRUPT 4
#define END_DEADLINE 5
#define END_LIMIT 6

#define STATE_OUT 0
#define STATE_HOST 1
#define STATE_SANDBOX 2

/* What a box's code does, enum LFICodeFlags. */
#define CODE_AVX 1
#define CODE_AVX512 2
#define CODE_X87 4
#define CODE_MASK64 0x80000000 /* ours: mask registers have 64 bits on this machine */

#define MXCSR_DEFAULT 0x1f80
#define FCW_DEFAULT 0x37f

/* The callback page: entry i at i * 32, entry 0 is where invocations return. */
#define CALLBACK_ENTRY 32
#define CALLBACK_RESUME 11
#define CALLBACK_ENTRIES 128

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

#endif
