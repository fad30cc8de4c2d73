/* SPDX-License-Identifier: MIT */
/*
 * What the parts of lfi-cc share. Not trusted: whatever it builds, the
 * verifier decides.
 */
#ifndef CC_H
#define CC_H

#include <lfi/lfi_rewrite.h>
#include <stdbool.h>
#include <stddef.h>

/* ---- memory: lives until the program ends, so nobody frees ---- */

void *keep_alloc(size_t size);
char *keep_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
void keep_free_all(void);

/* A growing list of strings; always followed by a NULL, so that it is an argument vector. */
struct strings {
	const char **item;
	size_t count, room;
};

void strings_add(struct strings *list, const char *item);
void strings_add_all(struct strings *list, const struct strings *more);

/* ---- what is to be done ---- */

enum mode {
	MODE_LINK,
	MODE_OBJECT,     /* -c */
	MODE_ASSEMBLY,   /* -S: rewritten assembly */
	MODE_PREPROCESS, /* -E, -M */
	MODE_CHECK,      /* -fsyntax-only */
};

/* What an input is, by its suffix or -x. */
enum kind {
	KIND_AUTO, /* -x none: by suffix */
	KIND_C,
	KIND_HEADER,
	KIND_CPP_OUTPUT,
	KIND_ASM,
	KIND_ASM_CPP,
	KIND_LINKER,
};

struct input {
	const char *path;
	enum kind kind;
	size_t link_index; /* where its object goes in cc.link */
};

struct cc {
	const char *output; /* -o, or NULL */
	struct input *inputs;
	size_t input_count, input_room;

	/* Arguments for the compiler, the assembler and the linker, in the user's order. */
	struct strings compile, assemble, link;

	const char *depend_file; /* -MF */
	const char *linker;      /* ld, or as -fuse-ld says */
	const char *query;       /* -print-… or -dump…, which ends the run */
	const char *compiler;    /* as given; NULL: search */
	const char *sysroot;
	const char *program_dir; /* where lfi-cc itself is */

	struct LFIRewriteOptions rewrite;
	enum mode mode;
	enum kind language; /* of the inputs that follow on the command line */

	bool print_only, verbose, save_temps, verify, no_layout;
	bool no_std_libs, no_start_files, no_default_libs, no_std_includes, relocatable;
	bool depend;            /* -MD or -MMD */
	bool depend_target;     /* -MT or -MQ was given */
	bool poc_asked, no_poc; /* --poc, --no-poc; rewrite.poc is what follows from them */
	bool link_wanted;       /* -Wl or the like: link although there are no inputs */
	bool clang;
};

/* options.c: fills `cc`. 0, or the exit status. */
int options_parse(struct cc *cc, int argc, char **argv);
bool has_suffix(const char *text, const char *suffix);

/* target.c: finds compiler and sysroot. 0, or the exit status. */
int target_find_compiler(struct cc *cc);
void target_find_sysroot(struct cc *cc);
/* Directory of the libraries for the chosen policy, or NULL after saying what is missing. */
const char *target_library_dir(const struct cc *cc);
int target_query(struct cc *cc);

/* compile.c: one input to rewritten assembly or an object. 0, or the exit status. */
int compile_input(struct cc *cc, struct input *input, const char *output);
int preprocess_inputs(struct cc *cc);

/* link.c */
int link_program(struct cc *cc);

/* ---- run.c: child processes and temporary files ---- */

void run_init(void);
/* Runs a command with stdin and stdout replaced where >= 0. Returns its exit status, 4 when a signal ended it; prints
 * why it did not run. */
int run_command(const struct cc *cc, const struct strings *command, int in, int out);
/* The same with stderr replaced, too. */
int run_command_all(const struct cc *cc, const struct strings *command, int in, int out, int err);
/* Whether a signal asked us to stop, and then the orderly end. */
bool run_interrupted(void);
void run_finish(void);
/* A name in the temporary directory, unique for `name`. NULL after saying why. */
const char *run_temp(const char *name);
/* A file to remove if we are stopped or fail before run_output_done. */
void run_output_begin(const char *path);
void run_output_done(bool good);

void say_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
