/* SPDX-License-Identifier: MIT */
/* A library with mistakes. */
#include <stdlib.h>

int write_to(int *place);
int divide(int a, int b);
int recurse(int depth);
int give_up(void);
int add(int a, int b);

int
write_to(int *place)
{
	*place = 1;
	return *place;
}

int
divide(int a, int b)
{
	return a / b;
}

/* Not a tail call: the frame is used afterwards. */
int
recurse(int depth)
{
	volatile char frame[1024];

	frame[0] = (char) depth;
	return recurse(depth + 1) + frame[0];
}

int
give_up(void)
{
	abort();
}

int
add(int a, int b)
{
	return a + b;
}
