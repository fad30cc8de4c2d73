/* SPDX-License-Identifier: MIT */
/*
 * The register file of a sandbox context, per target. Plain data: read and
 * written by the host while the context is in a runtime call or not entered.
 */
#ifndef LFI_ARCH_H
#define LFI_ARCH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__x86_64__)

#define LFI_ARCH_NAME "x86-64"

/**
 * General registers of x86-64 sandboxed code. r14, r15 and gs belong to the
 * scheme and cannot be set; r11 is the address that a runtime call returns
 * to. Two members have a second, portable name: `sp`, the stack pointer, and
 * `x8`, the number of the system call. Offsets are ABI.
 *
 * xmm[i] holds the low 128 bits of vector register i as they were when the
 * sandbox made its runtime call; what the host writes there is loaded when it
 * returns. Upper parts are kept but not shown.
 */
struct LFIRegs {
	union {
		uint64_t rax;
		uint64_t x8;
	};
	uint64_t rcx;
	uint64_t rdx;
	uint64_t rbx;
	union {
		uint64_t rsp;
		uint64_t sp;
	};
	uint64_t rbp;
	uint64_t rsi;
	uint64_t rdi;
	uint64_t r8;
	uint64_t r9;
	uint64_t r10;
	uint64_t r11;
	uint64_t r12;
	uint64_t r13;
	uint64_t xmm[16][2];
};

#else
#error "lfi: this architecture is not supported yet (x86-64 is)"
#endif

#ifdef __cplusplus
}
#endif

#endif
