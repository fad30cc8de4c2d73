/* SPDX-License-Identifier: MIT */
#ifndef DECODER_H
#define DECODER_H

#include <stdint.h>

enum { THUMBNAIL_SIDE = 64 };

/*
 * Decodes a QOI image of `size` bytes and shrinks it to THUMBNAIL_SIDE pixels in both directions, of 4 bytes each: red,
 * green, blue, alpha. 0, or -1 when it is no such image.
 */
int thumbnail(const uint8_t *data, uint64_t size, uint8_t *out);

#endif
