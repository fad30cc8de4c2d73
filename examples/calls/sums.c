/* SPDX-License-Identifier: MIT */
/* The library that is not trusted: lfi-cc sums.c -O2 -o sums.lfi */
#include <stdarg.h>

struct Point {
	double x, y;
};

int
add(int a, int b)
{
	return a + b;
}

struct Point
mirror(struct Point p)
{
	return (struct Point){p.y, p.x};
}

double
sum(int n, ...)
{
	double total = 0;
	va_list args;

	va_start(args, n);
	for (int i = 0; i < n; i++)
		total += va_arg(args, double);
	va_end(args);
	return total;
}

/* Calls `report` for 1 to n. */
int
count(int n, int (*report)(int, double))
{
	int all = 0;

	for (int i = 1; i <= n; i++)
		all += report(i, i / 2.0);
	return all;
}
