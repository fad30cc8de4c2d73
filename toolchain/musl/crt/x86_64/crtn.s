/* SPDX-License-Identifier: MIT */
/*
 * Nothing: see crti.
 */
	.text
