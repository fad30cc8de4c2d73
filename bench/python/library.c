/* SPDX-License-Identifier: MIT */
/* What bench/python/calls.py calls, natively by ctypes and cffi, in a sandbox, and as WebAssembly. */
#include <stddef.h>
#include <stdint.h>

int
add(int a, int b)
{
	return a + b;
}
int
apply(int (*f)(int), int x)
{
	return f(x);
}
int
touch(uint8_t *p, size_t n)
{
	return n ? p[0] + p[n - 1] : 0;
}
