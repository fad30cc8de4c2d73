/* SPDX-License-Identifier: MIT */
/* The functions of tests/scenarios/library.c that are measured, for cgo. */
extern int goTwice(int x);

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

int
call_twice(int x)
{
	return apply(goTwice, x);
}
