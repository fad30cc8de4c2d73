/* SPDX-License-Identifier: MIT */
/*
 * A decoder of QOI images, as one gets them from elsewhere: quick, and with a mistake in it. The product of width and
 * height may not fit into 32 bits: then there is less memory than pixels, and whoever makes the image chooses what is
 * written behind it.
 */
#include "decoder.h"

#include <stdlib.h>
#include <string.h>

struct pixel {
	uint8_t r, g, b, a;
};

struct reader {
	const uint8_t *at, *end;
};

static uint8_t
next(struct reader *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static uint32_t
next_word(struct reader *in)
{
	uint32_t word = 0;

	for (int i = 0; i < 4; i++)
		word = word << 8 | next(in);
	return word;
}

static unsigned
slot(struct pixel p)
{
	return (p.r * 3u + p.g * 5u + p.b * 7u + p.a * 11u) % 64;
}

/* The chunks whose first byte is a tag of two bits and six more. How often the pixel is repeated. */
static int
short_chunk(struct reader *in, uint8_t first, struct pixel *p, const struct pixel *seen)
{
	int green;
	uint8_t second;

	switch (first >> 6) {
	case 0: /* one that was there before */
		*p = seen[first];
		return 0;
	case 1: /* small differences */
		p->r += (uint8_t) ((first >> 4 & 3) - 2);
		p->g += (uint8_t) ((first >> 2 & 3) - 2);
		p->b += (uint8_t) ((first & 3) - 2);
		return 0;
	case 2: /* a difference of green, and those of the others to that */
		second = next(in);
		green = (first & 63) - 32;
		p->r += (uint8_t) (green - 8 + (second >> 4));
		p->g += (uint8_t) green;
		p->b += (uint8_t) (green - 8 + (second & 15));
		return 0;
	}
	return first & 63;
}

static void
decode(struct reader *in, struct pixel *to, uint64_t n)
{
	struct pixel seen[64] = {{0}}, p = {0, 0, 0, 255};
	int repeat = 0;

	for (uint64_t i = 0; i < n && in->at < in->end; i++) {
		if (repeat > 0) {
			repeat--;
		} else {
			uint8_t first = next(in);

			if (first >= 0xfe) {
				p.r = next(in);
				p.g = next(in);
				p.b = next(in);
				if (first == 0xff)
					p.a = next(in);
			} else {
				repeat = short_chunk(in, first, &p, seen);
			}
			seen[slot(p)] = p;
		}
		to[i] = p;
	}
}

/* Each pixel of the thumbnail is the average of those it stands for. */
static void
shrink(const struct pixel *from, uint32_t width, uint32_t height, uint8_t *out)
{
	for (uint32_t y = 0; y < THUMBNAIL_SIDE; y++)
		for (uint32_t x = 0; x < THUMBNAIL_SIDE; x++) {
			uint64_t left = (uint64_t) x * width / THUMBNAIL_SIDE,
				 top = (uint64_t) y * height / THUMBNAIL_SIDE;
			uint64_t right = (uint64_t) (x + 1) * width / THUMBNAIL_SIDE;
			uint64_t bottom = (uint64_t) (y + 1) * height / THUMBNAIL_SIDE;
			uint64_t sum[4] = {0}, n = 0;

			for (uint64_t i = top; i < bottom || i == top; i++)
				for (uint64_t j = left; j < right || j == left; j++, n++) {
					const struct pixel *p = &from[i * width + j];

					sum[0] += p->r;
					sum[1] += p->g;
					sum[2] += p->b;
					sum[3] += p->a;
				}
			for (int k = 0; k < 4; k++)
				*out++ = (uint8_t) (sum[k] / n);
		}
}

int
thumbnail(const uint8_t *data, uint64_t size, uint8_t *out)
{
	struct reader in = {data, data + size};
	uint32_t width, height;
	struct pixel *pixels;

	if (size < 14 || memcmp(data, "qoif", 4))
		return -1;
	in.at += 4;
	width = next_word(&in);
	height = next_word(&in);
	in.at += 2;
	if (!width || !height)
		return -1;
	/* The mistake: 32 bits. */
	pixels = calloc(width * height, sizeof *pixels);
	if (!pixels)
		return -1;
	decode(&in, pixels, (uint64_t) width * height);
	shrink(pixels, width, height, out);
	free(pixels);
	return 0;
}
