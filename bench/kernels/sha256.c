/* SPDX-License-Identifier: MIT */
/* Kernel: SHA-256 (FIPS 180-4) of a repeated block; integer arithmetic in registers. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { BLOCKS = 1200000 };

static uint32_t k[64];

static uint32_t
rotate(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static void
init(void)
{
	int n = 0;

	for (int p = 2; n < 64; p++) {
		int prime = 1;

		for (int d = 2; d * d <= p; d++)
			prime &= p % d != 0;
		if (prime) {
			double root = cbrt(p);

			k[n++] = (uint32_t) ((root - floor(root)) * 4294967296.0);
		}
	}
}

static void
block(uint32_t h[8], const uint32_t *data)
{
	uint32_t w[64], s[8];

	memcpy(w, data, 64);
	for (int i = 16; i < 64; i++) {
		uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
		uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;

		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
	memcpy(s, h, 32);
	for (int i = 0; i < 64; i++) {
		uint32_t s1 = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
		uint32_t t1 = s[7] + s1 + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
		uint32_t s0 = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
		uint32_t t2 = s0 + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

		memmove(s + 1, s, 28);
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		h[i] += s[i];
}

int
main(void)
{
	uint32_t h[8] = {1, 2, 3, 4, 5, 6, 7, 8}, data[16] = {0};

	init();
	for (int i = 0; i < BLOCKS; i++) {
		data[i % 16] ^= h[i % 8];
		block(h, data);
	}
	printf("%08x%08x\n", h[0], h[7]);
	return 0;
}
