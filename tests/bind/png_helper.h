/* SPDX-License-Identifier: MIT */
/* What the sandbox's side of libpng says about itself, for png_stdio.c. */
#ifndef PNG_HELPER_H
#define PNG_HELPER_H

#include <png.h>

/* Whether a struct was made for reading. */
int png_helper_reads(png_const_structrp png_ptr);

#endif
