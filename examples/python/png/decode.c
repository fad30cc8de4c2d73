/* SPDX-License-Identifier: MIT */
/*
 * Decode PNG files with libpng, for the sandbox. With -DEXPLOITABLE, what reads comments trusts the length that the
 * file says, and a function pointer lies behind the buffer: a file chooses where the decoder jumps.
 */
#include <png.h>
#include <stdint.h>
#include <string.h>

static void
ignore(const char *comment)
{
	(void) comment;
}

static struct {
	char comment[32];
	void (*report)(const char *);
} state = {"", ignore};

static uint32_t
big_endian(const uint8_t *p)
{
	return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static void
read_comment(const uint8_t *data, size_t size)
{
	for (size_t at = 8; at + 12 <= size; at += 12 + big_endian(data + at)) {
		uint32_t length = big_endian(data + at);

		if (length > size - at - 12)
			return;
		if (memcmp(data + at + 4, "tEXt", 4) != 0)
			continue;
#ifndef EXPLOITABLE
		if (length > sizeof state.comment - 1)
			length = sizeof state.comment - 1;
#endif
		memcpy(state.comment, data + at + 8, length);
		state.report(state.comment);
		return;
	}
}

/* `room` bytes of RGBA at `pixels`; 0, or -1 with a message of less than 64 bytes. */
int
decode(const uint8_t *data, size_t size, uint8_t *pixels, size_t room, int *width, int *height, char *message)
{
	png_image image = {.version = PNG_IMAGE_VERSION};

	read_comment(data, size);
	if (png_image_begin_read_from_memory(&image, data, size)) {
		image.format = PNG_FORMAT_RGBA;
		*width = (int) image.width;
		*height = (int) image.height;
		if (PNG_IMAGE_SIZE(image) > room)
			strcpy(image.message, "the image is too large");
		else if (png_image_finish_read(&image, NULL, pixels, 0, NULL))
			return 0;
	}
	strncpy(message, image.message, 63);
	png_image_free(&image);
	return -1;
}
