/* SPDX-License-Identifier: MIT */
/*
 * The command line of lfi-cc. One row per option says how its argument is
 * spelled, who gets it (compiler, assembler, linker) and what it means to
 * lfi-cc itself. An option without a row goes to the compiler, which knows
 * whether it exists. Part of lfi-cc; not trusted.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cc.h"

/* ---- The table ---- */

/* How an option takes its argument. */
enum spelling {
	FLAG,     /* -c */
	JOINED,   /* -fuse-ld=lld, also with nothing behind it */
	SEPARATE, /* -include FILE */
	EITHER,   /* -I DIR or -IDIR */
};

/* Who gets it. */
enum { NOBODY = 0, COMPILE = 1, LINK = 2 };

struct option {
	const char *name;
	enum spelling spelling;
	int to;
	int (*apply)(struct cc *cc, const struct option *option, const char *value);
	const char *text; /* for the refused ones: why */
};

static int
set_mode(struct cc *cc, const struct option *option, const char *value)
{
	static const struct {
		const char *name;
		enum mode mode;
	} modes[] = {
	    {"-c", MODE_OBJECT},
	    {"-S", MODE_ASSEMBLY},
	    {"-E", MODE_PREPROCESS},
	    {"-M", MODE_PREPROCESS},
	    {"-MM", MODE_PREPROCESS},
	    {"-fsyntax-only", MODE_CHECK},
	};
	enum mode mode = MODE_LINK;

	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
		if (strcmp(option->name, modes[i].name) == 0)
			mode = modes[i].mode;
	/* As compilers do: the one that stops earliest wins. */
	if (cc->mode < mode)
		cc->mode = mode;
	return 0;
}

static int
set_output(struct cc *cc, const struct option *option, const char *value)
{
	cc->output = value;
	return 0;
}

static int
set_language(struct cc *cc, const struct option *option, const char *value)
{
	static const struct {
		const char *name;
		enum kind kind;
	} languages[] = {
	    {"c", KIND_C},
	    {"c-header", KIND_HEADER},
	    {"cpp-output", KIND_CPP_OUTPUT},
	    {"assembler", KIND_ASM},
	    {"assembler-with-cpp", KIND_ASM_CPP},
	    {"none", KIND_AUTO},
	};

	for (size_t i = 0; i < sizeof languages / sizeof languages[0]; i++) {
		if (strcmp(value, languages[i].name) == 0) {
			cc->language = languages[i].kind;
			return 0;
		}
	}
	say_error("-x %s: language not supported (c, cpp-output, assembler, assembler-with-cpp, none)", value);
	return 1;
}

static int
refuse(struct cc *cc, const struct option *option, const char *value)
{
	say_error("%s: %s", option->name, option->text);
	return 1;
}

/* -Wl,a,b and -Wa,a,b: each word between commas is an argument. */
static void
add_words(struct strings *list, const char *words)
{
	while (*words) {
		size_t length = strcspn(words, ",");

		strings_add(list, keep_format("%.*s", (int) length, words));
		words += length + (words[length] == ',');
	}
}

static int
add_linker_words(struct cc *cc, const struct option *option, const char *value)
{
	add_words(&cc->link, value);
	cc->link_wanted = true;
	return 0;
}

static int
add_linker_word(struct cc *cc, const struct option *option, const char *value)
{
	strings_add(&cc->link, value);
	cc->link_wanted = true;
	return 0;
}

static int
add_assembler_words(struct cc *cc, const struct option *option, const char *value)
{
	add_words(&cc->assemble, value);
	return 0;
}

static int
add_assembler_word(struct cc *cc, const struct option *option, const char *value)
{
	strings_add(&cc->assemble, value);
	return 0;
}

/* An include directory is the assembler's too, for .include and .incbin. */
static int
add_include(struct cc *cc, const struct option *option, const char *value)
{
	strings_add(&cc->assemble, keep_format("-I%s", value));
	return 0;
}

/* Compilers spell some of the linker's options differently. */
static int
add_export(struct cc *cc, const struct option *option, const char *value)
{
	strings_add(&cc->link, "--export-dynamic");
	return 0;
}

static int
set_linker(struct cc *cc, const struct option *option, const char *value)
{
	cc->linker = *value == '/' ? value : keep_format("ld.%s", value);
	return 0;
}

static int
set_query(struct cc *cc, const struct option *option, const char *value)
{
	cc->query = value && *value ? keep_format("%s%s", option->name, value) : option->name;
	return 0;
}

/* Rows whose name alone says which member of `cc` they set. */
static int
set_flag(struct cc *cc, const struct option *option, const char *value)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
	    {"-###", &cc->print_only},
	    {"-v", &cc->verbose},
	    {"-nostdlib", &cc->no_std_libs},
	    {"-nolibc", &cc->no_default_libs},
	    {"-nostartfiles", &cc->no_start_files},
	    {"-nodefaultlibs", &cc->no_default_libs},
	    {"-nostdinc", &cc->no_std_includes},
	    {"-r", &cc->relocatable},
	    {"-MD", &cc->depend},
	    {"-MMD", &cc->depend},
	    {"-save-temps", &cc->save_temps},
	    {"--save-temps", &cc->save_temps},
	    {"-save-temps=", &cc->save_temps},
	    {"--verify", &cc->verify},
	    {"--no-layout", &cc->no_layout},
	    {"--single-thread", &cc->rewrite.single_thread},
	    {"--no-segue", &cc->rewrite.no_segue},
	    {"--no-guard-elim", &cc->rewrite.no_guard_elim},
	    {"--low-table", &cc->rewrite.low_table},
	};

	for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
		if (strcmp(option->name, flags[i].name) == 0)
			*flags[i].flag = true;
	return 0;
}

/* The last one counts. */
static int
set_poc(struct cc *cc, const struct option *option, const char *value)
{
	cc->poc_asked = strcmp(option->name, "--poc") == 0;
	cc->no_poc = !cc->poc_asked;
	return 0;
}

static int
set_depend_file(struct cc *cc, const struct option *option, const char *value)
{
	cc->depend_file = value;
	return 0;
}

static int
set_depend_target(struct cc *cc, const struct option *option, const char *value)
{
	cc->depend_target = true;
	return 0;
}

static int
set_policy(struct cc *cc, const struct option *option, const char *value)
{
	static const char *const names[] = {
	    [LFI_POLICY_FULL] = "full", [LFI_POLICY_STORES] = "stores", [LFI_POLICY_JUMPS] = "jumps"};

	for (int i = 0; i < 3; i++) {
		if (strcmp(value, names[i]) == 0) {
			cc->rewrite.policy = i;
			return 0;
		}
	}
	say_error("--sandbox=%s: no such policy (full, stores, jumps)", value);
	return 1;
}

static int
set_bundle(struct cc *cc, const struct option *option, const char *value)
{
	if (strcmp(value, "bundle32") == 0)
		cc->rewrite.bundle = 32;
	else if (strcmp(value, "bundle16") == 0)
		cc->rewrite.bundle = 16;
	else {
		say_error("--cfi=%s: no such kind of bundles (bundle32, bundle16)", value);
		return 1;
	}
	return 0;
}

static int
set_compiler(struct cc *cc, const struct option *option, const char *value)
{
	cc->compiler = value;
	return 0;
}

static int
set_sysroot(struct cc *cc, const struct option *option, const char *value)
{
	cc->sysroot = value;
	return 0;
}

static const char one_file[] = "sandboxed programs are static: the sandbox has no dynamic linker";
static const char one_arch[] = "only 64-bit x86-64 code can be confined";

/* The first row that fits counts; longer names stand before their prefixes. */
static const struct option table[] = {
    /* lfi-cc's own */
    {"--lfi-compiler=", JOINED, NOBODY, set_compiler, 0},
    {"--sandbox=", JOINED, NOBODY, set_policy, 0},
    {"--cfi=", JOINED, NOBODY, set_bundle, 0},
    {"--single-thread", FLAG, NOBODY, set_flag, 0},
    {"--no-segue", FLAG, NOBODY, set_flag, 0},
    {"--no-guard-elim", FLAG, NOBODY, set_flag, 0},
    {"--low-table", FLAG, NOBODY, set_flag, 0},
    {"--poc", FLAG, NOBODY, set_poc, 0},
    {"--no-poc", FLAG, NOBODY, set_poc, 0},
    {"--no-layout", FLAG, NOBODY, set_flag, 0},
    {"--verify", FLAG, NOBODY, set_flag, 0},
    {"--save-temps", FLAG, NOBODY, set_flag, 0},
    {"-save-temps", FLAG, NOBODY, set_flag, 0},
    {"-save-temps=", JOINED, NOBODY, set_flag, 0},
    {"--sysroot=", JOINED, NOBODY, set_sysroot, 0},
    {"--sysroot", SEPARATE, NOBODY, set_sysroot, 0},

    /* what to make */
    {"-c", FLAG, NOBODY, set_mode, 0},
    {"-S", FLAG, NOBODY, set_mode, 0},
    {"-E", FLAG, NOBODY, set_mode, 0},
    {"-fsyntax-only", FLAG, NOBODY, set_mode, 0},
    {"-o", EITHER, NOBODY, set_output, 0},
    {"-x", EITHER, NOBODY, set_language, 0},
    {"-###", FLAG, NOBODY, set_flag, 0},
    {"-v", FLAG, COMPILE, set_flag, 0},
    {"-pipe", FLAG, NOBODY, 0, 0},

    /* questions */
    {"--version", FLAG, NOBODY, set_query, 0},
    {"--help", FLAG, NOBODY, set_query, 0},
    {"-dumpmachine", FLAG, NOBODY, set_query, 0},
    {"-dumpversion", FLAG, NOBODY, set_query, 0},
    {"-dumpfullversion", FLAG, NOBODY, set_query, 0},
    {"-dumpspecs", FLAG, NOBODY, set_query, 0},
    {"--print-", JOINED, NOBODY, set_query, 0},
    {"-print-", JOINED, NOBODY, set_query, 0},

    /* preprocessing */
    {"-I", EITHER, COMPILE, add_include, 0},
    {"-D", EITHER, COMPILE, 0, 0},
    {"-U", EITHER, COMPILE, 0, 0},
    {"-include", SEPARATE, COMPILE, 0, 0},
    {"-imacros", SEPARATE, COMPILE, 0, 0},
    {"-isystem", EITHER, COMPILE, 0, 0},
    {"-idirafter", EITHER, COMPILE, 0, 0},
    {"-iquote", EITHER, COMPILE, 0, 0},
    {"-iprefix", EITHER, COMPILE, 0, 0},
    {"-iwithprefixbefore", EITHER, COMPILE, 0, 0},
    {"-iwithprefix", EITHER, COMPILE, 0, 0},
    {"-nostdinc", FLAG, COMPILE, set_flag, 0},
    {"-MMD", FLAG, COMPILE, set_flag, 0},
    {"-MD", FLAG, COMPILE, set_flag, 0},
    {"-MM", FLAG, COMPILE, set_mode, 0},
    {"-MF", EITHER, NOBODY, set_depend_file, 0},
    {"-MT", EITHER, COMPILE, set_depend_target, 0},
    {"-MQ", EITHER, COMPILE, set_depend_target, 0},
    {"-MP", FLAG, COMPILE, 0, 0},
    {"-MG", FLAG, COMPILE, 0, 0},
    {"-M", FLAG, COMPILE, set_mode, 0},
    {"-Xpreprocessor", SEPARATE, COMPILE, 0, 0},
    {"-Wp,", JOINED, COMPILE, 0, 0},

    /* compiling */
    {"-fuse-ld=", JOINED, NOBODY, set_linker, 0},
    {"-param", SEPARATE, COMPILE, 0, 0},
    {"--param", SEPARATE, COMPILE, 0, 0},
    {"-mllvm", SEPARATE, COMPILE, 0, 0},
    {"-Xclang", SEPARATE, COMPILE, 0, 0},
    {"-aux-info", SEPARATE, COMPILE, 0, 0},
    {"-B", EITHER, COMPILE, 0, 0},
    {"-flto", FLAG, NOBODY, 0, 0},
    {"-flto=", JOINED, NOBODY, 0, 0},
    {"-ffat-lto-objects", FLAG, NOBODY, 0, 0},
    {"-m32", FLAG, NOBODY, refuse, one_arch},
    {"-mx32", FLAG, NOBODY, refuse, one_arch},
    {"-m16", FLAG, NOBODY, refuse, one_arch},
    {"-Wa,", JOINED, NOBODY, add_assembler_words, 0},
    {"-Xassembler", SEPARATE, NOBODY, add_assembler_word, 0},
    {"-pthread", FLAG, COMPILE, 0, 0},

    /* linking */
    {"-Wl,", JOINED, NOBODY, add_linker_words, 0},
    {"-Xlinker", SEPARATE, NOBODY, add_linker_word, 0},
    {"-l", EITHER, LINK, 0, 0},
    {"-L", EITHER, LINK, 0, 0},
    {"-T", EITHER, LINK, 0, 0},
    {"-u", EITHER, LINK, 0, 0},
    {"-z", EITHER, LINK, 0, 0},
    {"-e", EITHER, LINK, 0, 0},
    {"-s", FLAG, LINK, 0, 0},
    {"-t", FLAG, LINK, 0, 0},
    {"-r", FLAG, NOBODY, set_flag, 0},
    {"-nostdlib", FLAG, NOBODY, set_flag, 0},
    {"-nolibc", FLAG, NOBODY, set_flag, 0},
    {"-nostartfiles", FLAG, NOBODY, set_flag, 0},
    {"-nodefaultlibs", FLAG, NOBODY, set_flag, 0},
    {"-rdynamic", FLAG, NOBODY, add_export, 0},
    {"-shared", FLAG, NOBODY, refuse, one_file},
    {"--shared", FLAG, NOBODY, refuse, one_file},

    /* accepted, and always so or of no meaning here */
    {"-static", FLAG, NOBODY, 0, 0},
    {"-static-pie", FLAG, NOBODY, 0, 0},
    {"-static-libgcc", FLAG, NOBODY, 0, 0},
    {"-shared-libgcc", FLAG, NOBODY, 0, 0},
    {"-pie", FLAG, NOBODY, 0, 0},
    {"-no-pie", FLAG, NOBODY, 0, 0},
    {"-nopie", FLAG, NOBODY, 0, 0},
    {"-symbolic", FLAG, NOBODY, 0, 0},
};

/* ---- Inputs ---- */

bool
has_suffix(const char *text, const char *suffix)
{
	size_t have = strlen(text), want = strlen(suffix);

	return have > want && strcmp(text + have - want, suffix) == 0;
}

static const struct {
	const char *suffix;
	enum kind kind;
} suffixes[] = {
    {".c", KIND_C},
    {".h", KIND_HEADER},
    {".i", KIND_CPP_OUTPUT},
    {".s", KIND_ASM},
    {".S", KIND_ASM_CPP},
    {".sx", KIND_ASM_CPP},
};

/* Languages that a compiler would take by suffix and lfi-cc has no sysroot for. */
static const char *const foreign[] = {
    ".cc", ".cp", ".cpp", ".cxx", ".c++", ".C", ".ii", ".m", ".mi", ".mm", ".f", ".f90", ".F", ".go", ".d", ".rs"};

static int
add_input(struct cc *cc, const char *path)
{
	struct input *input;

	if (cc->input_count == cc->input_room) {
		size_t room = cc->input_room ? 2 * cc->input_room : 16;
		struct input *bigger = keep_alloc(room * sizeof *bigger);

		if (cc->input_count)
			memcpy(bigger, cc->inputs, cc->input_count * sizeof *bigger);
		cc->inputs = bigger;
		cc->input_room = room;
	}
	input = &cc->inputs[cc->input_count++];
	input->path = path;
	input->kind = cc->language;
	input->link_index = cc->link.count;
	strings_add(&cc->link, path);
	if (input->kind != KIND_AUTO)
		return 0;
	input->kind = KIND_LINKER;
	for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
		if (has_suffix(path, suffixes[i].suffix))
			input->kind = suffixes[i].kind;
	for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
		if (has_suffix(path, foreign[i])) {
			say_error("%s: only C and assembly can be compiled", path);
			return 1;
		}
	}
	return 0;
}

/* Code is position-oblivious where it can be, unless told otherwise. */
static int
poc_check(struct cc *cc)
{
	if (cc->poc_asked && cc->rewrite.policy != LFI_POLICY_FULL) {
		say_error("--poc: position-oblivious code needs --sandbox=full, which confines all addresses");
		return 1;
	}
	cc->rewrite.poc = !cc->no_poc && cc->rewrite.policy == LFI_POLICY_FULL;
	return 0;
}

/* What can only be said when all options are known. */
static int
inputs_check(struct cc *cc)
{
	bool bad = false;

	if (cc->input_count == 0 && !(cc->mode == MODE_LINK && cc->link_wanted)) {
		if (cc->verbose)
			return 0;
		fputs("lfi-cc: fatal error: no input files\n", stderr);
		return 1;
	}
	for (size_t i = 0; i < cc->input_count; i++) {
		struct input *input = &cc->inputs[i];

		if (strcmp(input->path, "-") == 0) {
			if (input->kind != KIND_LINKER)
				continue;
			if (cc->mode != MODE_PREPROCESS) {
				say_error("-E or -x is required when input is from standard input");
				return 1;
			}
			input->kind = KIND_C;
		} else if (access(input->path, R_OK) < 0) {
			say_error("%s: %s", input->path, strerror(errno));
			bad = true;
		} else if (input->kind == KIND_HEADER && cc->mode != MODE_PREPROCESS && cc->mode != MODE_CHECK) {
			say_error("%s: precompiled headers are not supported", input->path);
			bad = true;
		}
	}
	if (!bad && cc->output && cc->input_count > 1 && (cc->mode == MODE_OBJECT || cc->mode == MODE_ASSEMBLY)) {
		say_error("cannot specify -o with -c or -S and several files");
		bad = true;
	}
	for (size_t i = 0; !bad && cc->output && i < cc->input_count; i++) {
		if (strcmp(cc->output, cc->inputs[i].path) == 0 && strcmp(cc->output, "-") != 0) {
			say_error("%s is both input and output", cc->output);
			bad = true;
		}
	}
	return bad;
}

/* ---- @file ---- */

static void expand_file(struct strings *words, const char *path, int depth);

static void
expand_word(struct strings *words, const char *word, int depth)
{
	if (word[0] == '@' && word[1] && access(word + 1, R_OK) == 0 && depth < 64)
		expand_file(words, word + 1, depth + 1);
	else
		strings_add(words, word);
}

/* Takes one word off the text: blanks end it, quotes keep blanks, a backslash keeps any character. */
static char *
next_word(const char **text)
{
	const char *from = *text;
	char *word, *to, quote = 0;

	while (isspace((unsigned char) *from))
		from++;
	if (!*from)
		return NULL;
	word = to = keep_alloc(strlen(from) + 1);
	for (; *from && (quote || !isspace((unsigned char) *from)); from++) {
		if (*from == '\\' && from[1] && quote != '\'')
			*to++ = *++from;
		else if (quote && *from == quote)
			quote = 0;
		else if (!quote && (*from == '"' || *from == '\''))
			quote = *from;
		else
			*to++ = *from;
	}
	*to = 0;
	*text = from;
	return word;
}

static void
expand_file(struct strings *words, const char *path, int depth)
{
	FILE *file = fopen(path, "r");
	size_t size = 0, room = 4096;
	char *text = keep_alloc(room + 1), *word;
	const char *rest;

	while (file && (size += fread(text + size, 1, room - size, file)) == room) {
		char *bigger = keep_alloc(2 * room + 1);

		memcpy(bigger, text, size);
		text = bigger;
		room *= 2;
	}
	if (file)
		fclose(file);
	text[size] = 0;
	rest = text;
	while ((word = next_word(&rest)))
		expand_word(words, word, depth);
}

/* ---- Parsing ---- */

static const struct option *
find_option(const char *word)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		const struct option *option = &table[i];
		bool prefix = option->spelling == JOINED || option->spelling == EITHER;

		if (prefix ? strncmp(word, option->name, strlen(option->name)) == 0 : strcmp(word, option->name) == 0)
			return option;
	}
	return NULL;
}

/* Hands an option to those that its row names, spelled as the user did. */
static void
pass_on(struct cc *cc, const struct option *option, const char *word, const char *next)
{
	struct strings *lists[] = {option->to & COMPILE ? &cc->compile : NULL, option->to & LINK ? &cc->link : NULL};

	for (size_t i = 0; i < 2; i++) {
		if (!lists[i])
			continue;
		strings_add(lists[i], word);
		if (next)
			strings_add(lists[i], next);
	}
}

int
options_parse(struct cc *cc, int argc, char **argv)
{
	struct strings words = {0};
	int status;

	for (int i = 1; i < argc; i++)
		expand_word(&words, argv[i], 0);
	for (size_t i = 0; i < words.count; i++) {
		const char *word = words.item[i], *value, *next = NULL;
		const struct option *option;

		if (word[0] != '-' || !word[1]) {
			if ((status = add_input(cc, word)))
				return status;
			continue;
		}
		option = find_option(word);
		if (!option) {
			strings_add(&cc->compile, word);
			continue;
		}
		value = word + strlen(option->name);
		if (option->spelling == SEPARATE || (option->spelling == EITHER && !*value)) {
			if (i + 1 == words.count) {
				say_error("%s: its argument is missing", word);
				return 1;
			}
			value = next = words.item[++i];
		}
		pass_on(cc, option, word, next);
		if (option->apply && (status = option->apply(cc, option, value)))
			return status;
	}
	status = poc_check(cc);
	return status || cc->query ? status : inputs_check(cc);
}
