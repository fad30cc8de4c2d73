/* SPDX-License-Identifier: MIT */
/* What the library of scenarios.toml has in common with that of the Python tests. */
#include <stdlib.h>

int
add(int a, int b)
{
	return a + b;
}
int
apply(int (*f)(int), int x)
{
	return f(x) + 1;
}
static _Thread_local int mine;
int
count_mine(void)
{
	return ++mine;
}
void
write_to(int *p)
{
	*p = 1;
}
int
recurse(int n)
{
	volatile char room[1000];

	room[n % 1000] = 1;
	return n == 0 ? 0 : recurse(n + 1) + room[0];
}
void
give_up(void)
{
	abort();
}
void
spin(void)
{
	for (;;)
		__asm__ volatile("");
}
