/* SPDX-License-Identifier: MIT */
/*
 * A decoder as one finds them: small, quick, and trusting. It does not look whether a chunk lies inside the file, nor
 * whether a run goes beyond the image. In a sandbox that harms nobody.
 */
#include "qoi.h"

struct pixel {
	uint8_t r, g, b, a;
};

static uint32_t
big_endian(const uint8_t *p)
{
	return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

/* One chunk after its tag; how many pixels it stands for. */
static unsigned
chunk(const uint8_t **at, struct pixel *px, struct pixel *seen)
{
	uint8_t tag = *(*at)++;

	if (tag == 0xfe || tag == 0xff) {
		px->r = *(*at)++;
		px->g = *(*at)++;
		px->b = *(*at)++;
		if (tag == 0xff)
			px->a = *(*at)++;
	} else if (tag >> 6 == 0) {
		*px = seen[tag];
	} else if (tag >> 6 == 1) {
		px->r += (uint8_t) ((tag >> 4 & 3) - 2);
		px->g += (uint8_t) ((tag >> 2 & 3) - 2);
		px->b += (uint8_t) ((tag & 3) - 2);
	} else if (tag >> 6 == 2) {
		uint8_t more = *(*at)++, green = (uint8_t) ((tag & 63) - 32);

		px->r += (uint8_t) (green - 8 + (more >> 4));
		px->g += green;
		px->b += (uint8_t) (green - 8 + (more & 15));
	} else {
		return (tag & 63) + 1u;
	}
	seen[(px->r * 3 + px->g * 5 + px->b * 7 + px->a * 11) % 64] = *px;
	return 1;
}

int64_t
qoi_decode(const uint8_t *in, size_t n, uint8_t *out, size_t room, uint32_t size[2])
{
	struct pixel px = {0, 0, 0, 255}, seen[64] = {{0, 0, 0, 0}}, *to = (struct pixel *) out;
	const uint8_t *at = in + 14;
	uint64_t pixels;

	if (n < 22 || big_endian(in) != 0x716f6966)
		return -1;
	size[0] = big_endian(in + 4);
	size[1] = big_endian(in + 8);
	pixels = (uint64_t) size[0] * size[1];
	if (pixels > room / 4)
		return -1;
	for (uint64_t i = 0; i < pixels;)
		for (unsigned run = chunk(&at, &px, seen); run > 0; run--)
			to[i++] = px;
	return (int64_t) (pixels * 4);
}
