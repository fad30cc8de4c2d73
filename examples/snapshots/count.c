/* SPDX-License-Identifier: MIT */
/* The library that is not trusted: lfi-cc count.c -O2 -o count.lfi */
#include <stdlib.h>

static int *counter;

int
prepare(int start)
{
	counter = malloc(sizeof *counter);
	if (!counter)
		return -1;
	*counter = start;
	return 0;
}

int
count(int by)
{
	return *counter += by;
}
