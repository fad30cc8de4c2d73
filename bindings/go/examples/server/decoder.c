/* SPDX-License-Identifier: MIT */
/*
 * A decoder of QOI images, as one gets them from elsewhere: quick, and with a mistake in it. The bytes of a row may
 * not fit into 32 bits: then there is less memory than pixels, and whoever makes the image chooses what is written
 * behind it.
 */
#include "decoder.h"

#include <stdlib.h>
#include <string.h>

/* Pixels are 0xAABBGGRR, which is red, green, blue, alpha in memory. */
static uint32_t
pixel(unsigned r, unsigned g, unsigned b, unsigned a)
{
	return (r & 255) | (g & 255) << 8 | (b & 255) << 16 | (uint32_t) a << 24;
}

static unsigned
slot(uint32_t p)
{
	return ((p & 255) * 3 + (p >> 8 & 255) * 5 + (p >> 16 & 255) * 7 + (p >> 24) * 11) % 64;
}

static uint32_t
word(const uint8_t *at)
{
	return (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
}

/* Pixels that are given by what they differ in from the one before: by little in each colour, or by more, most of it in
 * all of them. */
static uint32_t
nudged(uint32_t p, uint32_t first)
{
	return pixel((p & 255) + (first >> 4 & 3) - 2, (p >> 8 & 255) + (first >> 2 & 3) - 2,
	    (p >> 16 & 255) + (first & 3) - 2, p >> 24);
}

static uint32_t
changed(uint32_t p, uint32_t first, uint32_t second)
{
	uint32_t green = (first & 63) - 32;

	return pixel((p & 255) + green + (second >> 4) - 8, (p >> 8 & 255) + green,
	    (p >> 16 & 255) + green + (second & 15) - 8, p >> 24);
}

/* What is left of the data; `end` is five bytes before its end, so that the longest chunk can be read. */
struct decoder {
	const uint8_t *at, *end;
	uint32_t p, repeat, seen[64];
};

/* The rest of a row, from `to` on, or what the repetitions are enough for. */
static uint32_t *
repeated(struct decoder *d, uint32_t *to, const uint32_t *last)
{
	uint32_t n = d->repeat < (uint64_t) (last - to) ? d->repeat : (uint32_t) (last - to);

	d->repeat -= n;
	for (const uint32_t *end = to + n; to < end; to++)
		*to = d->p;
	return to;
}

/* A row. -1: there is not enough data for it. Not inlined: the loop needs all registers. */
static __attribute__((noinline)) int
decode(struct decoder *d, uint32_t *to, const uint32_t *last)
{
	const uint8_t *at = d->at;
	uint32_t p = d->p;

	to = repeated(d, to, last);
	while (to < last) {
		uint32_t first;

		if (at >= d->end)
			return -1;
		first = *at++;
		if (first >= 0xfe) {
			p = pixel(at[0], at[1], at[2], first == 0xff ? at[3] : p >> 24);
			at += first == 0xff ? 4 : 3;
		} else if (first >> 6 == 3) {
			d->p = p;
			d->repeat = (first & 63) + 1;
			to = repeated(d, to, last);
			continue;
		} else if (first >> 6 == 2) {
			p = changed(p, first, *at++);
		} else if (first >> 6 == 1) {
			p = nudged(p, first);
		} else {
			p = d->seen[first];
		}
		d->seen[slot(p)] = p;
		*to++ = p;
	}
	d->at = at;
	d->p = p;
	return 0;
}

/* Sums of colours, two of 32 bits in each number. */
struct sum {
	uint64_t red_blue, green_alpha;
	uint32_t n;
};

/* Each column of the thumbnail is the sum of those of the row that it stands for. */
static __attribute__((noinline)) void
add(struct sum *sums, const uint32_t *row, uint64_t width)
{
	for (uint64_t x = 0; x < THUMBNAIL_SIDE; x++, sums++) {
		uint64_t left = x * width / THUMBNAIL_SIDE, right = (x + 1) * width / THUMBNAIL_SIDE;
		uint64_t red_blue = sums->red_blue, green_alpha = sums->green_alpha;
		const uint32_t *at = row + left, *end = row + (right > left ? right : left + 1);

		sums->n += (uint32_t) (end - at);
		for (; at < end; at++) {
			uint64_t p = *at;

			red_blue += (p | p << 16) & 0xff000000ff;
			green_alpha += (p >> 8 | p << 8) & 0xff000000ff;
		}
		sums->red_blue = red_blue;
		sums->green_alpha = green_alpha;
	}
}

static void
write_row(uint8_t *out, const struct sum *sums)
{
	for (int x = 0; x < THUMBNAIL_SIDE; x++, sums++, out += 4) {
		uint32_t p = pixel((uint32_t) sums->red_blue / sums->n, (uint32_t) sums->green_alpha / sums->n,
		    (uint32_t) (sums->red_blue >> 32) / sums->n, (uint32_t) (sums->green_alpha >> 32) / sums->n);

		memcpy(out, &p, sizeof p);
	}
}

/* Of a low image, a row is in the thumbnail more than once. */
static int
shrink(struct decoder *d, uint32_t *row, uint32_t width, uint32_t height, uint8_t *out)
{
	struct sum sums[THUMBNAIL_SIDE];
	uint64_t done = 0;

	for (uint64_t y = 1; y <= THUMBNAIL_SIDE; y++, out += THUMBNAIL_SIDE * 4) {
		uint64_t bottom = y * height / THUMBNAIL_SIDE;

		if (y == 1 || done < bottom) {
			memset(sums, 0, sizeof sums);
			do {
				if (decode(d, row, row + width) < 0)
					return -1;
				add(sums, row, width);
			} while (++done < bottom);
		}
		write_row(out, sums);
	}
	return 0;
}

int
thumbnail(const uint8_t *data, uint64_t size, uint8_t *out)
{
	struct decoder d = {.p = pixel(0, 0, 0, 255)};
	uint32_t width, height, *row;
	int r;

	if (size < 14 + 8 || memcmp(data, "qoif", 4))
		return -1;
	width = word(data + 4);
	height = word(data + 8);
	if (!width || !height)
		return -1;
	d.at = data + 14;
	d.end = data + size - 5;
	/* The mistake: 32 bits. */
	row = malloc(width * (uint32_t) sizeof *row);
	if (!row)
		return -1;
	r = shrink(&d, row, width, height, out);
	free(row);
	return r;
}
