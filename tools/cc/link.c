/* SPDX-License-Identifier: MIT */
/*
 * Linking: a static position-independent program of read-only, code and data
 * segments, with our start files and C library. Part of lfi-cc; not trusted.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cc.h"

/*
 * No interpreter: the program relocates itself. -z text: a relocation in code would have to be applied before
 * verification. -z norelro: nobody protects pages after relocation, and the segment would only cost another mapping.
 */
static const char *const program_options[] = {"-static", "-pie", "--no-dynamic-linker", "-z", "text", "-z",
    "noexecstack", "-z", "separate-code", "-z", "norelro", "--eh-frame-hdr", "--hash-style=gnu"};

/* -T and its long spellings, but not -Ttext=ADDRESS and its like. */
static bool
has_script(const struct strings *words)
{
	static const char *const addresses[] = {"-Ttext", "-Tdata", "-Tbss", "-Trodata", "-Tldata"};
	bool found = false;

	for (size_t i = 0; i < words->count && !found; i++) {
		const char *word = words->item[i];

		found = strncmp(word, "-T", 2) == 0 || strncmp(word, "-script", 7) == 0 ||
			strncmp(word, "--script", 8) == 0 || strcmp(word, "-dT") == 0;
		for (size_t j = 0; j < sizeof addresses / sizeof addresses[0]; j++)
			found = found && strncmp(word, addresses[j], strlen(addresses[j])) != 0;
	}
	return found;
}

/* The layout of segments (toolchain/segments.ld), which is for GNU ld: others cannot insert into their own script. */
static void
add_segments(const struct cc *cc, struct strings *command, const char *dir)
{
	const char *script = keep_format("%s/segments.ld", dir);

	if (!*dir || has_script(&cc->link) || (cc->linker && !has_suffix(cc->linker, "ld.bfd")) ||
	    access(script, R_OK) != 0)
		return;
	strings_add(command, "-T");
	strings_add(command, script);
}

static void
add_program(const struct cc *cc, struct strings *command, const char *dir)
{
	bool start = !cc->no_std_libs && !cc->no_start_files, libs = !cc->no_std_libs && !cc->no_default_libs;

	for (size_t i = 0; i < sizeof program_options / sizeof program_options[0]; i++)
		strings_add(command, program_options[i]);
	add_segments(cc, command, dir);
	if (start) {
		strings_add(command, keep_format("%s/rcrt1.o", dir));
		strings_add(command, keep_format("%s/crti.o", dir));
	}
	if (*dir && cc->rewrite.poc)
		strings_add(command, keep_format("%s/lfi-poc.o", dir));
	strings_add_all(command, &cc->link);
	if (*dir)
		strings_add(command, keep_format("-L%s", dir));
	if (libs) {
		strings_add(command, "--start-group");
		strings_add(command, "-lc");
		strings_add(command, "-lgcc");
		strings_add(command, "--end-group");
	}
	if (start)
		strings_add(command, keep_format("%s/crtn.o", dir));
}

static int
verify(const struct cc *cc, const char *output)
{
	static const char *const policies[] = {"full", "stores", "jumps"};
	struct strings command = {0};

	strings_add(&command, keep_format("%s/lfi-verify", cc->program_dir));
	strings_add(&command, keep_format("--sandbox=%s", policies[cc->rewrite.policy]));
	strings_add(&command, cc->rewrite.bundle == 16 ? "--cfi=bundle16" : "--cfi=bundle32");
	if (cc->rewrite.single_thread)
		strings_add(&command, "--single-thread");
	strings_add(&command, output);
	return run_command(cc, &command, -1, 2);
}

int
link_program(struct cc *cc)
{
	const char *output = cc->output ? cc->output : "a.out", *dir = "";
	struct strings command = {0};
	int status;

	if (!cc->relocatable && !cc->no_std_libs && !(dir = target_library_dir(cc)))
		return 1;
	strings_add(&command, cc->linker ? cc->linker : "ld");
	strings_add(&command, "-m");
	strings_add(&command, "elf_x86_64");
	strings_add(&command, "-o");
	strings_add(&command, output);
	if (cc->relocatable) {
		strings_add(&command, "-r");
		strings_add_all(&command, &cc->link);
	} else
		add_program(cc, &command, dir);
	run_output_begin(output);
	status = run_command(cc, &command, -1, -1);
	run_output_done(!status);
	if (!status && cc->verify && !cc->relocatable)
		status = verify(cc, output);
	return status;
}
