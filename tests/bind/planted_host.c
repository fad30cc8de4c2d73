/* SPDX-License-Identifier: MIT */
/*
 * Decodes PNG files with libpng's simplified interface and prints the sum of their bytes. `taken_over` is what an
 * attacker wants to be called; nothing here calls it. With -DSANDBOX a file that breaks libpng is reported, and the
 * next one gets a new sandbox: the only lines that know of it.
 */
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef SANDBOX
#include "png_sandbox.h"

static int broken;

static void
on_failure(const char *function, int code, const char *message, void *user)
{
	(void) code;
	(void) user;
	printf("contained in %s: %.40s\n", function, message);
	broken = 1;
}
#endif

void taken_over(void);

void
taken_over(void)
{
	printf("taken over\n");
	fflush(stdout);
	_Exit(42);
}

static void
decode(const unsigned char *file, size_t size)
{
	png_image image = {.version = PNG_IMAGE_VERSION};
	unsigned char *pixels;
	unsigned sum = 0;

	if (!png_image_begin_read_from_memory(&image, file, size)) {
		printf("refused: %s\n", image.message);
		return;
	}
	image.format = PNG_FORMAT_RGBA;
	/* Sizes that a file says are looked at before memory is taken. */
	if (image.width == 0 || image.height == 0 || image.width > 10000 || image.height > 10000) {
		printf("too large\n");
		png_image_free(&image);
		return;
	}
	pixels = calloc(1, PNG_IMAGE_SIZE(image));
	if (pixels && png_image_finish_read(&image, NULL, pixels, 0, NULL)) {
		for (size_t i = 0; i < PNG_IMAGE_SIZE(image); i++)
			sum = sum * 31 + pixels[i];
		printf("%u x %u, %08x\n", (unsigned) image.width, (unsigned) image.height, sum);
	} else {
		printf("refused: %s\n", image.message);
	}
	png_image_free(&image);
	free(pixels);
}

int
main(int argc, char **argv)
{
	static unsigned char file[1 << 20];

#ifdef SANDBOX
	png_sandbox_on_failure(on_failure, NULL);
#endif
	for (int i = 1; i < argc; i++) {
		FILE *from = fopen(argv[i], "rb");
		size_t size = from ? fread(file, 1, sizeof file, from) : 0;

		if (from)
			fclose(from);
		decode(file, size);
#ifdef SANDBOX
		if (broken && !png_sandbox_restart())
			return 1;
		broken = 0;
#endif
	}
	return 0;
}
