/* SPDX-License-Identifier: MIT */
/* The library of scenarios.toml. Arguments and results are integers, doubles and text. */
#include "common.h"

#include <stdint.h>
#include <string.h>

int64_t
wide(int64_t a)
{
	return a;
}
double
scale(double a, float b)
{
	return a * b;
}
int
many(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j)
{
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j;
}

struct point {
	int x, y;
};
struct point
mirror(struct point p)
{
	return (struct point){p.y, p.x};
}

int
length(const char *text)
{
	return (int) strlen(text);
}
const char *
greeting(void)
{
	return "hello from the sandbox";
}

static int counter;
int
count(void)
{
	return ++counter;
}

int
divide(int a, int b)
{
	return a / b;
}
void
illegal(void)
{
	__asm__ volatile("ud2");
}

/* AVX2, whether or not the compiler's default has it. */
__attribute__((target("avx2"))) int
sum_avx2(int n)
{
	typedef int v8 __attribute__((vector_size(32)));
	v8 sum = {0}, step = {1, 2, 3, 4, 5, 6, 7, 8};
	int total = 0;

	for (int i = 0; i < n; i++)
		sum += step;
	for (int i = 0; i < 8; i++)
		total += sum[i];
	return total;
}
