/* SPDX-License-Identifier: MIT */
/* Kernel: qsort and bsearch; calls through a function pointer. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 400000, ROUNDS = 8 };

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

	return (x > y) - (x < y);
}

int
main(void)
{
	uint32_t *v = malloc(sizeof(uint32_t) * N), seed = 1, found = 0;

	if (!v)
		return 1;
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < N; i++)
			v[i] = seed = seed * 1664525 + 1013904223;
		qsort(v, N, sizeof *v, compare);
		for (uint32_t i = 0; i < N; i++) {
			uint32_t key = i * 10737;

			found += bsearch(&key, v, N, sizeof *v, compare) != NULL;
		}
	}
	printf("%u %u %u\n", v[0], v[N / 2], found);
	return 0;
}
