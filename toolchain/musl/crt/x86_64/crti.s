/* SPDX-License-Identifier: MIT */
/*
 * Nothing: no code in .init and .fini, because linkers pad between input sections with bytes that do not verify.
 * Constructors and destructors run from .init_array and .fini_array.
 */
	.text
