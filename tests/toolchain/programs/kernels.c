/* SPDX-License-Identifier: MIT */
/* Loops that compilers make vectors of, over every type of element; with -march=x86-64-v4 masks and conversions too. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 1003 };

static float a[N], b[N], c[N];
static double d[N], e[N];
static int32_t i[N], j[N];
static uint8_t u[N], v[N];
static uint16_t w[N];
static int64_t q[N];

static uint32_t
next(void)
{
	static uint32_t x = 7;

	return x = x * 1664525 + 1013904223;
}

static uint64_t
hash(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint64_t sum = 14695981039346656037ull;

	while (size--)
		sum = (sum ^ *bytes++) * 1099511628211ull;
	return sum;
}

static void
fill(void)
{
	for (int k = 0; k < N; k++) {
		a[k] = (float) (int) (next() % 1000) - 500;
		b[k] = (float) (next() % 777);
		d[k] = (next() % 5000) / 8.0;
		i[k] = (int32_t) next();
		j[k] = (int32_t) (next() % 33);
		u[k] = (uint8_t) (next() >> 24);
		v[k] = (uint8_t) (next() >> 24);
		w[k] = (uint16_t) (next() >> 16);
		q[k] = (int64_t) next() * (int32_t) next();
	}
}

static void
real_numbers(void)
{
	for (int k = 0; k < N; k++)
		c[k] = a[k] * b[k] + c[k];
	for (int k = 0; k < N; k++)
		if (a[k] > 0)
			c[k] -= b[k];
		else
			e[k] += a[k];
	for (int k = 0; k < N; k++)
		e[k] = sqrt(d[k]) + e[k] * 0.5;
	for (int k = 0; k < N; k++)
		d[k] = d[k] + (double) w[k] - (float) u[k];
}

static void
integers(void)
{
	for (int k = 0; k < N; k++)
		i[k] = (int32_t) ((uint32_t) i[k] << (j[k] & 31)) ^ (i[k] >> 3);
	for (int k = 0; k < N; k++)
		u[k] = (uint8_t) (u[k] > v[k] ? u[k] - v[k] : u[k] + v[k]);
	for (int k = 0; k < N; k++)
		w[k] = (uint16_t) (w[k] * u[k] + 7);
	for (int k = 0; k < N; k++)
		q[k] = (int64_t) ((uint64_t) q[k] * 3) ^ (i[k] + (int64_t) d[k]);
	for (int k = 0; k < N; k++)
		j[k] = __builtin_popcount((unsigned) i[k]) + abs(j[k]);
}

int
main(void)
{
	int64_t sum = 0;
	float most = 0;

	fill();
	for (int round = 0; round < 5; round++) {
		real_numbers();
		integers();
	}
	for (int k = 0; k < N; k++)
		sum += i[k] * (int64_t) j[k];
	for (int k = 0; k < N; k++)
		most = c[k] > most ? c[k] : most;
	printf("%016llx %016llx %016llx\n", (unsigned long long) hash(c, sizeof c),
	    (unsigned long long) hash(d, sizeof d), (unsigned long long) hash(e, sizeof e));
	printf("%016llx %016llx %016llx\n", (unsigned long long) hash(i, sizeof i),
	    (unsigned long long) hash(j, sizeof j), (unsigned long long) hash(q, sizeof q));
	printf("%016llx %016llx %016llx\n", (unsigned long long) hash(u, sizeof u),
	    (unsigned long long) hash(v, sizeof v), (unsigned long long) hash(w, sizeof w));
	printf("%lld %g\n", (long long) sum, most);
	return 0;
}
