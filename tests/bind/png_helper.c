/* SPDX-License-Identifier: MIT */
/* For the sandbox, beside libpng. */
#include "png_helper.h"
#include "pngpriv.h"

int
png_helper_reads(png_const_structrp png_ptr)
{
	return (png_ptr->mode & PNG_IS_READ_STRUCT) != 0;
}
