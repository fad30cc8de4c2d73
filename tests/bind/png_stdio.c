/* SPDX-License-Identifier: MIT */
/* png_init_io for a program whose libpng is in a sandbox: a FILE means nothing there, so the program reads and writes.
 */
#include "png_helper.h"
#include <stdio.h>

static void
read_file(png_structp png_ptr, png_bytep data, size_t size)
{
	if (fread(data, 1, size, png_get_io_ptr(png_ptr)) != size)
		png_error(png_ptr, "Read Error");
}

static void
write_file(png_structp png_ptr, png_bytep data, size_t size)
{
	if (fwrite(data, 1, size, png_get_io_ptr(png_ptr)) != size)
		png_error(png_ptr, "Write Error");
}

static void
flush_file(png_structp png_ptr)
{
	fflush(png_get_io_ptr(png_ptr));
}

void
png_init_io(png_structrp png_ptr, png_FILE_p file)
{
	if (png_helper_reads(png_ptr))
		png_set_read_fn(png_ptr, file, read_file);
	else
		png_set_write_fn(png_ptr, file, write_file, flush_file);
}
