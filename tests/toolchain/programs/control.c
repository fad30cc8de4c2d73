/* SPDX-License-Identifier: MIT */
/* Control flow and calls: jump tables, computed jumps, function pointers, variable arguments, structs by value, big
 * frames, deep recursion. */
#include <alloca.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) static int
table(int x)
{
	switch (x) {
	case 0:
		return 17;
	case 1:
		return 4;
	case 2:
		return 99;
	case 3:
		return -3;
	case 4:
		return 12345;
	case 5:
		return 6;
	case 7:
		return 71;
	case 9:
		return 3;
	case 11:
		return 5;
	default:
		return -1;
	}
}

__attribute__((noinline)) static int
interpret(const unsigned char *code)
{
	static const void *const labels[] = {&&add, &&twice, &&stop};
	int value = 0;

	goto *labels[*code++];
add:
	value += *code++;
	goto *labels[*code++];
twice:
	value *= 2;
	goto *labels[*code++];
stop:
	return value;
}

static int
compare(const void *a, const void *b)
{
	return *(const int *) a - *(const int *) b;
}

__attribute__((noinline)) static double
sum(int count, ...)
{
	va_list arguments;
	double total = 0;

	va_start(arguments, count);
	for (int i = 0; i < count; i++)
		total += i % 2 ? va_arg(arguments, double) : va_arg(arguments, int);
	va_end(arguments);
	return total;
}

struct big {
	long v[20];
};
struct small {
	int a;
	double b;
};

__attribute__((noinline)) static struct big
change(struct big b, struct small s)
{
	b.v[3] += s.a + (long) s.b;
	return b;
}

__attribute__((noinline)) static struct small
swap(struct small s)
{
	return (struct small){(int) s.b, s.a};
}

__attribute__((noinline)) static int
large_frame(int n)
{
	volatile char space[300000];

	memset((char *) space, n, sizeof space);
	return space[7] + space[299999];
}

__attribute__((noinline)) static int
variable_frame(int n)
{
	char array[n], *more = alloca((size_t) n * 2);

	memset(array, 1, (size_t) n);
	memset(more, 2, (size_t) n * 2);
	return array[n - 1] + more[2 * n - 1];
}

__attribute__((noinline)) static int
recurse(int n)
{
	return n == 0 ? 0 : 1 + recurse(n - 1);
}

__attribute__((noinline)) static int
many(int a, int b, int c, int d, int e, int f, int g, int h, double i, int j)
{
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + (int) i + j;
}

__attribute__((section(".text.special"), noinline)) static int
elsewhere(int x)
{
	return x * 2;
}

int
main(void)
{
	static int (*const functions[])(int) = {table, large_frame, variable_frame, recurse, elsewhere, abs};
	static const unsigned char code[] = {0, 5, 1, 0, 3, 1, 2};
	int numbers[50];
	struct big b = {{0}};

	for (int i = -1; i < 13; i++)
		printf("%d ", table(i));
	printf("\ninterpret %d\n", interpret(code));
	for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
		printf("function %zu: %d\n", i, functions[i](i == 3 ? 5000 : 9));
	for (int i = 0; i < 50; i++)
		numbers[i] = i * 7919 % 101;
	qsort(numbers, 50, sizeof numbers[0], compare);
	for (int i = 0; i < 50; i += 7)
		printf("%d ", numbers[i]);
	printf("\nsum %g\n", sum(6, 1, 2.5, 3, 4.5, 5, 6.25));
	b = change(b, (struct small){4, 5.9});
	printf("big %ld, small %d %g\n", b.v[3], swap((struct small){1, 2}).a, swap((struct small){1, 2}).b);
	printf("many %d\n", many(1, 2, 3, 4, 5, 6, 7, 8, 9.5, 10));
	return 0;
}
