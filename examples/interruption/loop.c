/* SPDX-License-Identifier: MIT */
/* A library that may take for ever. */
#include <unistd.h>

int loop(int start);
int wait_for_input(void);
int add(int a, int b);

int
loop(int start)
{
	volatile int n = start;

	for (;;)
		n++;
}

int
wait_for_input(void)
{
	int ends[2];
	char byte;

	return pipe(ends) < 0 ? -1 : (int) read(ends[0], &byte, 1);
}

int
add(int a, int b)
{
	return a + b;
}
