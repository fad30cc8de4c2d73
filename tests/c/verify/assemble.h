/* SPDX-License-Identifier: MIT */
/*
 * Assembly text to bytes for the verifier's tests. All snippets of a table go through one run of GNU as, each in a
 * section of its own; what a snippet leaves of its last bundle is int3.
 */
#ifndef TESTS_VERIFY_ASSEMBLE_H
#define TESTS_VERIFY_ASSEMBLE_H

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CODE_MAX 8192

struct code {
	uint8_t bytes[CODE_MAX];
	size_t size; /* a multiple of 32 */
};

static void
assemble_fail(const char *what)
{
	fprintf(stderr, "assemble: %s\n", what);
	exit(1);
}

static uint8_t *
assemble_object(const char *source)
{
	char object[] = "/tmp/lfi-verify-XXXXXX", command[64];
	int fd = mkstemp(object);
	uint8_t *bytes = calloc(1, 1 << 24);
	FILE *as, *in;

	if (fd < 0 || !bytes)
		assemble_fail("no temporary file");
	close(fd);
	snprintf(command, sizeof command, "as --64 -o %s -", object);
	as = popen(command, "w");
	if (!as || fputs(source, as) < 0 || pclose(as) != 0)
		assemble_fail("as refused a snippet");
	in = fopen(object, "rb");
	if (!in || fread(bytes, 1, 1 << 24, in) < sizeof(Elf64_Ehdr))
		assemble_fail("no object");
	fclose(in);
	unlink(object);
	return bytes;
}

/* Copies the sections ".row<i>" to code[i]. */
static void
assemble_take(const uint8_t *object, struct code *code, size_t count)
{
	const Elf64_Ehdr *header = (const void *) object;
	const Elf64_Shdr *sections = (const void *) (object + header->e_shoff);
	const char *names = (const char *) object + sections[header->e_shstrndx].sh_offset;

	for (unsigned i = 0; i < header->e_shnum; i++) {
		const char *name = names + sections[i].sh_name;
		size_t row, size = sections[i].sh_size;

		if (strncmp(name, ".rela.row", 9) == 0) {
			fprintf(stderr, "%s: the snippet needs a relocation\n", name);
			exit(1);
		}
		if (sscanf(name, ".row%zu", &row) != 1 || row >= count)
			continue;
		if (size > CODE_MAX)
			assemble_fail("snippet is too large");
		memset(code[row].bytes, 0xcc, CODE_MAX);
		memcpy(code[row].bytes, object + sections[i].sh_offset, size);
		code[row].size = (size + 31) / 32 * 32;
	}
}

/* Assembles `count` snippets, the text of number i being text(i). The result is freed by the caller. */
static struct code *
assemble_all(const char *(*text)(size_t i), size_t count)
{
	struct code *code = calloc(count, sizeof *code);
	char *source;
	size_t size;
	FILE *out = open_memstream(&source, &size);
	uint8_t *object;

	if (!code || !out)
		assemble_fail("no memory");
	for (size_t i = 0; i < count; i++)
		fprintf(out, "\t.section .row%zu,\"ax\",@progbits\n%s\n", i, text(i));
	fclose(out);
	object = assemble_object(source);
	assemble_take(object, code, count);
	free(object);
	free(source);
	return code;
}

#endif
