/* SPDX-License-Identifier: MIT */
#ifndef QOI_H
#define QOI_H

#include <stddef.h>
#include <stdint.h>

/*
 * Decode an image of the format QOI ("quite OK image", qoiformat.org) to RGBA.
 *
 * size    gets width and height; of an image that does not fit in `room` bytes too
 * returns bytes that were written, or -1
 */
int64_t qoi_decode(const uint8_t *in, size_t n, uint8_t *out, size_t room, uint32_t size[2]);

#endif
