/* SPDX-License-Identifier: MIT */
/* Kernel: dense matrix product in doubles; loads and arithmetic in loops. */
#include <stdio.h>
#include <stdlib.h>

enum { N = 320, ROUNDS = 70 };

int
main(void)
{
	double *a = malloc(sizeof(double) * N * N), *b = malloc(sizeof(double) * N * N),
	       *c = calloc(N * N, sizeof(double));
	double trace = 0;

	if (!a || !b || !c)
		return 1;
	for (int i = 0; i < N * N; i++) {
		a[i] = i % 7;
		b[i] = i % 5;
	}
	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < N; i++)
			for (int k = 0; k < N; k++)
				for (int j = 0; j < N; j++)
					c[i * N + j] += a[i * N + k] * b[k * N + j];
	for (int i = 0; i < N; i++)
		trace += c[i * N + i];
	printf("%.0f\n", trace);
	return 0;
}
