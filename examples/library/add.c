/* SPDX-License-Identifier: MIT */
/* The library that is not trusted: lfi-cc add.c -O2 -o add.lfi */
int
add(int a, int b)
{
	return a + b;
}

int
apply(int (*fn)(int), int x)
{
	return fn(x) + 1;
}
