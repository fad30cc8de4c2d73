/* SPDX-License-Identifier: MIT */
/*
 * lfi-cc: the system's gcc or clang as a compiler for sandboxed programs. It
 * takes a compiler's command line, so that make, autoconf and CMake can use it
 * as CC; each source goes through compiler, rewriter and assembler, and the
 * objects are linked with the C library of the sysroot. Not trusted: what it
 * makes is verified before it runs. Its parts are in tools/cc.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cc.h"

static const char *
find_program_dir(void)
{
	char path[4096];
	ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);

	if (size <= 0)
		return ".";
	path[size] = 0;
	*strrchr(path, '/') = 0;
	return keep_format("%s", path);
}

/* Sources to objects; the objects take the places of the sources in the linker's arguments. */
static int
compile_all(struct cc *cc)
{
	int first = 0;

	for (size_t i = 0; i < cc->input_count && !run_interrupted(); i++) {
		struct input *input = &cc->inputs[i];
		const char *output = cc->output;
		int status;

		if (input->kind == KIND_LINKER) {
			if (cc->mode != MODE_LINK)
				fprintf(stderr,
				    "lfi-cc: warning: %s: linker input file unused because linking not done\n",
				    input->path);
			continue;
		}
		if (cc->mode == MODE_LINK) {
			output = run_temp(keep_format("%zu.o", i));
			if (!output)
				return 1;
			cc->link.item[input->link_index] = output;
		}
		status = compile_input(cc, input, output);
		if (!first)
			first = status;
	}
	return first;
}

static int
work(struct cc *cc, int argc, char **argv)
{
	struct strings version = {0};
	int status;

	cc->program_dir = find_program_dir();
	status = options_parse(cc, argc, argv);
	if (!status)
		status = target_find_compiler(cc);
	if (status)
		return status;
	target_find_sysroot(cc);
	if (cc->query)
		return target_query(cc);
	if (cc->input_count == 0 && !cc->link_wanted) {
		strings_add(&version, cc->compiler);
		strings_add(&version, "-v");
		return run_command(cc, &version, -1, -1);
	}
	if (cc->mode == MODE_PREPROCESS || cc->mode == MODE_CHECK)
		return preprocess_inputs(cc);
	status = compile_all(cc);
	if (!status && cc->mode == MODE_LINK)
		status = link_program(cc);
	return status;
}

int
main(int argc, char **argv)
{
	static struct cc cc;
	int status;

	run_init();
	status = work(&cc, argc, argv);
	run_finish();
	keep_free_all();
	return status;
}
