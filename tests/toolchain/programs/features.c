/* SPDX-License-Identifier: MIT */
/* What the processor can do, as the compilers' built-in functions say it; and 16-bit floating point. */
#include <stdio.h>

#ifdef __FLT16_MANT_DIG__
static void
halves(void)
{
	unsigned sum = 0;

	for (int i = 0; i < 65536; i++) {
		union {
			unsigned short bits;
			_Float16 value;
		} u = {(unsigned short) i}, back;
		volatile float f = u.value;
		volatile double d = u.value;
		volatile long double l = u.value;

		back.value = (_Float16) (f * 1.0003f);
		sum = sum * 31 + (f == f ? back.bits : 1);
		back.value = (_Float16) (d / 3);
		sum = sum * 31 + (f == f ? back.bits : 1);
		back.value = (_Float16) (l * 0.99951171875000001L);
		sum = sum * 31 + (f == f ? back.bits : 1);
	}
	printf("halves %08x\n", sum);
}
#endif

int
main(void)
{
	__builtin_cpu_init();
#define SAY(feature) printf(feature " %d\n", __builtin_cpu_supports(feature) != 0)
	SAY("cmov");
	SAY("mmx");
	SAY("popcnt");
	SAY("sse2");
	SAY("sse3");
	SAY("ssse3");
	SAY("sse4.1");
	SAY("sse4.2");
	SAY("avx");
	SAY("avx2");
	SAY("fma");
	SAY("bmi");
	SAY("bmi2");
	SAY("aes");
	SAY("pclmul");
	printf("intel %d amd %d\n", __builtin_cpu_is("intel") != 0, __builtin_cpu_is("amd") != 0);
#ifdef __FLT16_MANT_DIG__
	halves();
#endif
	return 0;
}
