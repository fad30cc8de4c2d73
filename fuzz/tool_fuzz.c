/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: lfi-verify's readers of ELF files and archives, its statistics and both its reports, on any bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
run(const uint8_t *data, size_t size, bool json)
{
	struct arguments arguments = {
	    .verify = {.struct_size = sizeof arguments.verify, .max_violations = SIZE_MAX},
	    .max_errors = 20,
	    .stats = true,
	    .features = true,
	    .json = json,
	};
	struct progress progress = {0};
	char *text = NULL;
	size_t text_size;
	FILE *out = open_memstream(&text, &text_size);
	struct unit unit = {.arguments = &arguments,
	    .progress = &progress,
	    .out = out,
	    .err = out,
	    .file = "fuzz",
	    .bytes = data,
	    .size = size};

	if (!out)
		abort();
	if (archive_is(data, size))
		archive_verify(&unit, data, size);
	else
		unit_verify(&unit);
	fclose(out);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1); /* aligned, as lfi-verify has it */

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	run(copy, size, false);
	run(copy, size, true);
	free(copy);
	return 0;
}
