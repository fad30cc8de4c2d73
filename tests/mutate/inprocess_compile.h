/* SPDX-License-Identifier: MIT */
/*
 * Behind the mutants of compile.c: what a mutant writes is read, as far as it is initialisers of numbers, and takes the
 * place of x64_quick, which can be written in this program. See inprocess.py.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#undef main
int compile_main(int argc, char **argv);

size_t lfi_tables_size = sizeof(struct quick_tables);

#define ARRAY(name, size, inner)                                                           \
	{                                                                                  \
#name, (void *) &x64_quick.name, size, sizeof x64_quick.name / size, inner \
	}

/* The members: how large a number is, how many there are, and how many are in brackets of their own. */
static const struct array {
	const char *name;
	uint8_t *at;
	size_t size, count, inner;
} arrays[] = {ARRAY(first, 2, 0), ARRAY(second, 2, 2), ARRAY(opcode, 4, 0), ARRAY(line, 4, 0), ARRAY(sib, 1, 0),
    ARRAY(branch, 1, 256)};

/* As a compiler does without -Werror: what is too large is cut, what is too much is dropped; no index is out of bounds.
 */
static void
take_array(FILE *in, const struct array *array)
{
	size_t at = 0, row = 0;
	int depth = 1, c;

	while (depth > 0) {
		unsigned number;

		c = fgetc(in);
		if (c == EOF)
			exit(1);
		if (c == '{') {
			depth++;
			at = row++ * array->inner;
		} else if (c == '}') {
			depth--;
		} else if (c == '[') {
			if (fscanf(in, "%zu] =", &at) != 1 || at >= array->count)
				exit(1);
		} else if (c >= '0' && c <= '9') {
			ungetc(c, in);
			if (fscanf(in, "%i", (int *) &number) != 1)
				exit(1);
			if (at < array->count)
				memcpy(array->at + at++ * array->size, &number, array->size);
		}
	}
}

void
lfi_take_tables(void)
{
	char path[] = "/tmp/lfi-compile-XXXXXX", name[8];
	int fd = mkstemp(path);
	FILE *in;

	if (fd < 0 || close(fd) != 0 || compile_main(2, (char *[]){"compile", path, NULL}) != 0)
		exit(1);
	in = fopen(path, "r");
	unlink(path);
	if (!in || fscanf(in, "#include \"quick.h\" const struct quick_tables x64_quick = { ") != 0)
		exit(1);
	memset((void *) &x64_quick, 0, lfi_tables_size);
	while (fscanf(in, " .%7[a-z] = {", name) == 1) {
		size_t i = 0;

		while (strcmp(arrays[i].name, name) != 0)
			if (++i == sizeof arrays / sizeof arrays[0])
				exit(1);
		take_array(in, &arrays[i]);
		fscanf(in, " ,");
	}
}
