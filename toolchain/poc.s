/* SPDX-License-Identifier: MIT */
/*
 * The note that marks a program as position-oblivious: lfi-cc links it in unless --no-poc. Owner "LFI", type 2, no
 * contents: see docs/toolchain.md.
 */
	.section .note.lfi.poc, "a", @note
	.p2align 2
	.long 4, 0, 2
	.asciz "LFI"
