/* SPDX-License-Identifier: MIT */
/* The program that fuzzing starts from (seeds.sh): a little of all that the rewriter has to change. */
#include <stddef.h>

int counter = 3;
static int table[16];
static double (*volatile function)(double);

static double
half(double x)
{
	return x / 2;
}

__attribute__((noinline)) static int
sum(const int *from, size_t n)
{
	int all = 0;

	while (n-- > 0)
		all += *from++;
	return all;
}

__attribute__((noinline)) static int
choose(unsigned which, int x)
{
	switch (which) {
	case 0:
		return x + counter;
	case 1:
		return x * 3;
	case 2:
		return x / 7;
	case 3:
		return table[x & 15];
	case 4:
		return sum(table, (size_t) x & 15);
	case 5:
		return x << 3;
	default:
		return (int) function(x);
	}
}

void
_start(void)
{
	function = half;
	for (unsigned i = 0; i < 16; i++)
		table[i] = choose(i, counter++);
	for (;;)
		;
}
