/* SPDX-License-Identifier: MIT */
/* setjmp, sigsetjmp and longjmp, through frames and with all callee-saved registers in use. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static jmp_buf buffer;

__attribute__((noinline)) static int
deep(int n, int value)
{
	volatile char space[100];

	space[n % 100] = (char) n;
	if (n == 0)
		longjmp(buffer, value);
	return deep(n - 1, value) + space[n % 100];
}

/* The values in registers survive, because they do not change after setjmp. */
__attribute__((noinline)) static long
keeps(long a, long b, long c, long d, long e, long f)
{
	long g = a * 3, h = b * 5, i = c * 7, j = d * 11, k = e * 13, l = f * 17;
	int r = setjmp(buffer);

	if (r == 0)
		deep(10, 5);
	return g + h + i + j + k + l + r;
}

static void
again(void)
{
	static volatile int rounds;
	int r = setjmp(buffer);

	rounds++;
	if (r < 5)
		longjmp(buffer, r + 1);
	printf("rounds %d, value %d\n", rounds, r);
}

static void
with_signals(int save)
{
	sigjmp_buf there;
	volatile int count = 0;
	int r = sigsetjmp(there, save);

	count++;
	printf("sigsetjmp(%d) %d\n", save, r);
	if (count < 3)
		siglongjmp(there, count);
}

int
main(void)
{
	int r = setjmp(buffer);

	if (r == 0)
		deep(50, 0);
	printf("longjmp 0 gives %d\n", r);
	printf("keeps %ld\n", keeps(1, 2, 3, 4, 5, 6));
	again();
	with_signals(0);
	with_signals(1);
	r = _setjmp(buffer);
	if (r == 0)
		_longjmp(buffer, -7);
	printf("_longjmp %d\n", r);
	return 0;
}
