/* SPDX-License-Identifier: MIT */
/*
 * What __builtin_cpu_supports and __builtin_cpu_is ask about the processor.
 * The layout and the numbers of the features are the compilers'. AVX-512 is
 * not announced. Part of libgcc.a of the sysroot; runs in the sandbox, not trusted.
 */
#include "builtins.h"

#include <cpuid.h>

enum { VENDOR_INTEL = 1, VENDOR_AMD = 2, VENDOR_OTHER = 3 };

struct {
	unsigned vendor, type, subtype, features[1];
} __cpu_model;
unsigned __cpu_features2[3];

/* Feature number of the compilers, and where cpuid tells it: leaf 1 or 7, or 0x80000001; register 0 to 3 for eax to
 * edx; bit. */
static const struct {
	unsigned char feature, leaf, reg, bit;
	unsigned char needs_avx; /* the system keeps the upper halves of vector registers */
} rows[] = {
    {0, 1, 3, 15, 0},  /* cmov */
    {1, 1, 3, 23, 0},  /* mmx */
    {2, 1, 2, 23, 0},  /* popcnt */
    {3, 1, 3, 25, 0},  /* sse */
    {4, 1, 3, 26, 0},  /* sse2 */
    {5, 1, 2, 0, 0},   /* sse3 */
    {6, 1, 2, 9, 0},   /* ssse3 */
    {7, 1, 2, 19, 0},  /* sse4.1 */
    {8, 1, 2, 20, 0},  /* sse4.2 */
    {9, 1, 2, 28, 1},  /* avx */
    {10, 7, 1, 5, 1},  /* avx2 */
    {14, 1, 2, 12, 1}, /* fma */
    {16, 7, 1, 3, 0},  /* bmi */
    {17, 7, 1, 8, 0},  /* bmi2 */
    {18, 1, 2, 25, 0}, /* aes */
    {19, 1, 2, 1, 0},  /* pclmul */
};

static int
system_keeps_avx(unsigned ecx)
{
	unsigned low, high;

	if (!(ecx & bit_OSXSAVE))
		return 0;
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (low & 6) == 6;
}

int
__cpu_indicator_init(void)
{
	unsigned leaf1[4] = {0}, leaf7[4] = {0}, highest, vendor, c, d;
	int avx;

	if (__cpu_model.vendor)
		return 0;
	__cpuid(0, highest, vendor, c, d);
	if (highest >= 1)
		__cpuid(1, leaf1[0], leaf1[1], leaf1[2], leaf1[3]);
	if (highest >= 7)
		__cpuid_count(7, 0, leaf7[0], leaf7[1], leaf7[2], leaf7[3]);
	avx = system_keeps_avx(leaf1[2]);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const unsigned *leaf = rows[i].leaf == 1 ? leaf1 : leaf7;

		if ((leaf[rows[i].reg] >> rows[i].bit & 1) && (avx || !rows[i].needs_avx))
			__cpu_model.features[0] |= 1u << rows[i].feature;
	}
	__cpu_model.vendor = vendor == signature_INTEL_ebx ? VENDOR_INTEL
			     : vendor == signature_AMD_ebx ? VENDOR_AMD
							   : VENDOR_OTHER;
	return 0;
}

/* Programs may ask in constructors, before they could call __builtin_cpu_init. */
__attribute__((constructor(101))) static void
init(void)
{
	__cpu_indicator_init();
}
