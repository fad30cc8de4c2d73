/* SPDX-License-Identifier: MIT */
/* What liblfi.so exports is what the public headers declare: names in the headers against lib/liblfi.map. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those four first. */
#include <cmocka.h>

#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *
read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text;
	long size;

	assert_non_null(file);
	fseek(file, 0, SEEK_END);
	size = ftell(file);
	rewind(file);
	text = calloc(1, (size_t) size + 1);
	assert_int_equal(fread(text, 1, (size_t) size, file), size);
	fclose(file);
	return text;
}

static const char *
source_dir(void)
{
	const char *dir = getenv("LFI_SOURCE");

	return dir ? dir : ".";
}

/* The last identifier that begins with lfi_ before the '(' or ';' of the declaration at `text`. */
static void
declared_name(const char *text, char *out, size_t size)
{
	size_t n = strcspn(text, "(;");

	out[0] = 0;
	for (size_t i = 0; i + 4 < n; i++) {
		size_t length = 0;

		if (strncmp(text + i, "lfi_", 4) != 0 || (i > 0 && (isalnum((unsigned char) text[i - 1]) || text[i - 1] == '_')))
			continue;
		while (isalnum((unsigned char) text[i + length]) || text[i + length] == '_')
			length++;
		assert_true(length < size);
		memcpy(out, text + i, length);
		out[length] = 0;
	}
}

static void
the_map_lists_what_the_headers_declare(void **state)
{
	char pattern[4096], name[128], line[160];
	size_t declared = 0, listed = 0;
	char *map;
	glob_t headers;

	snprintf(pattern, sizeof pattern, "%s/lib/liblfi.map", source_dir());
	map = read_file(pattern);
	snprintf(pattern, sizeof pattern, "%s/include/lfi/*.h", source_dir());
	assert_int_equal(glob(pattern, 0, NULL, &headers), 0);
	for (size_t i = 0; i < headers.gl_pathc; i++) {
		char *text = read_file(headers.gl_pathv[i]);

		for (char *at = text; (at = strstr(at, "\nLFI_API ")); at++) {
			declared_name(at + 9, name, sizeof name);
			assert_true(name[0]);
			snprintf(line, sizeof line, "\t%s;\n", name);
			if (!strstr(map, line))
				print_error("%s is not in lib/liblfi.map\n", name);
			assert_non_null(strstr(map, line));
			declared++;
		}
		free(text);
	}
	for (char *at = map; (at = strstr(at, "\tlfi_")); at++)
		listed++;
	assert_int_equal(declared, listed);
	globfree(&headers);
	free(map);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_map_lists_what_the_headers_declare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
