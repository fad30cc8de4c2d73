/* SPDX-License-Identifier: MIT */
/*
 * The programs of gcc.c-torture/execute and the options that each asks for, found the way DejaGnu finds them: by the
 * folder's .exp file (a row of `folders` here), by `{ dg-options "..." }` directives in the program, and by a .x file
 * next to it. Directives that only say which targets a program is for are not read: x86-64 Linux has all of it, and
 * what the sandbox lacks is in excluded.txt.
 */
#include "torture.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* builtins: the program, its functions in NAME-lib.c, and a main program for all of them. */
static const struct folder {
	const char *name;
	const char *options;
	bool builtins;
} folders[] = {
    {"", "-w", false},
    {"ieee/", "-w -fno-inline", false},
    {"builtins/", "-w -fno-tree-dse -fno-tree-loop-distribute-patterns -fno-tracer -fno-ipa-ra -fno-inline-functions",
	true},
};

/* What directives of the suite ask for by name and x86-64 Linux has; other names are false. */
static const char *const true_targets[] = {"fpic", "signal", "lp64", "int128", "alloca", "trampolines", "c99_runtime"};

/* Options of gcc for passes that clang does not have, and that it refuses (others it ignores by itself). */
static const char *const gcc_only[] = {
    "-fno-tree-bit-ccp",
    "-fno-dce",
    "-ftree-loop-distribution",
    "-fno-ira-share-spill-slots",
    "-fno-early-inlining",
    "-fno-tree-coalesce-vars",
    "-foptimize-strlen",
    "-fno-tree-dse",
    "-fno-tree-loop-distribute-patterns",
    "-fno-ipa-ra",
    "-mpc64",
    "-mno-stv",
};

bool
option_unknown_to_clang(const char *option)
{
	for (size_t i = 0; i < sizeof gcc_only / sizeof *gcc_only; i++) {
		if (strcmp(option, gcc_only[i]) == 0)
			return true;
	}
	return false;
}

/* ---- Directives ---- */

/*
 * The next word of a Tcl-like list at *at: a brace, a quoted string or a plain word; NULL at the end. The caller frees
 * it.
 */
static char *
next_token(const char **at)
{
	const char *p = *at + strspn(*at, " \t\n\r"), *end;

	if (!*p)
		return NULL;
	if (*p == '{' || *p == '}' || *p == '!')
		end = p + 1;
	else if (*p == '"')
		end = strchrnul(p + 1, '"');
	else
		end = p + strcspn(p, " \t\n\r{}");
	*at = end + (*p == '"' && *end);
	p += *p == '"';
	return must(strndup(p, (size_t) (end - p)));
}

static bool
is_target(const char *name)
{
	if (strchr(name, '*'))
		return fnmatch(name, "x86_64-pc-linux-gnu", 0) == 0;
	for (size_t i = 0; i < sizeof true_targets / sizeof *true_targets; i++) {
		if (strcmp(name, true_targets[i]) == 0)
			return true;
	}
	return false;
}

static bool any_of(const char **at);

/* `name`, `! name` or `{ ... }`; *more is false where the list ended instead. */
static bool
one_of(const char **at, bool *more)
{
	char *token = next_token(at);
	bool value = false;

	*more = token && strcmp(token, "}") != 0;
	if (!*more)
		value = false;
	else if (strcmp(token, "!") == 0)
		value = !one_of(at, more);
	else if (strcmp(token, "{") == 0)
		value = any_of(at);
	else
		value = is_target(token);
	free(token);
	return value;
}

/*
 * A list up to its closing brace: names next to each other are alternatives; `&&` joins all to its left with what
 * follows.
 */
static bool
any_of(const char **at)
{
	bool value = false, more;

	value = one_of(at, &more);
	while (more) {
		const char *before = *at;
		char *word = next_token(at);
		bool both = word && strcmp(word, "&&") == 0, either = word && strcmp(word, "||") == 0, next;

		free(word);
		if (!both && !either)
			*at = before;
		next = one_of(at, &more);
		if (more)
			value = both ? value && next : value || next;
	}
	return value;
}

/* What follows the options of a directive: nothing, or `{ target ... }`. */
static bool
selected(const char *at)
{
	char *token = next_token(&at);
	bool brace = token && strcmp(token, "{") == 0, value = true;

	free(token);
	if (!brace)
		return true;
	token = next_token(&at);
	if (token && strcmp(token, "target") == 0)
		value = any_of(&at);
	free(token);
	return value;
}

/* Adds the options of the directive at `at`, which stands behind its name. */
static void
directive_read(struct program *program, const char *at)
{
	char *token = next_token(&at);
	struct words options = {0};

	if (token && strcmp(token, "{") == 0) {
		free(token);
		while ((token = next_token(&at)) && strcmp(token, "}") != 0) {
			words_split(&options, token, " ");
			free(token);
		}
	} else if (token) {
		words_split(&options, token, " ");
	}
	free(token);
	if (selected(at))
		words_append(&program->options, &options);
	words_free(&options);
}

static void
directives_read(struct program *program, const char *source)
{
	static const char *const names[] = {"dg-options ", "dg-additional-options "};

	for (const char *p = source; (p = strstr(p, "dg-")); p++) {
		for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
			if (strncmp(p, names[i], strlen(names[i])) == 0)
				directive_read(program, p + strlen(names[i]));
		}
	}
	program->files = strstr(source, "dg-require-effective-target fileio") != NULL;
}

/*
 * A .x file is a Tcl script; what its unconditional lines (not indented) do to additional_flags is all that matters
 * here.
 */
static void
script_read(struct program *program, const char *script)
{
	struct words lines = {0};

	words_split(&lines, script, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		const char *line = lines.word[i];

		if (strncmp(line, "set additional_flags ", 21) == 0) {
			words_free(&program->options);
			words_add(&program->options, "-w");
			words_split(&program->options, line + 21, " \"");
		} else if (strncmp(line, "lappend additional_flags ", 25) == 0) {
			words_split(&program->options, line + 25, " \"");
		}
	}
	words_free(&lines);
}

/* ---- The list of programs ---- */

static bool
ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

static void
program_add(struct programs *programs, const char *suite, const struct folder *folder, const char *file)
{
	struct program *program;
	int stem = (int) strlen(file) - 2;
	char *path = text("%s/%s%s", suite, folder->name, file), *contents = file_read(path, NULL);

	programs->at = must(realloc(programs->at, (programs->n + 1) * sizeof *programs->at));
	program = &programs->at[programs->n++];
	*program = (struct program){.name = text("%s%s", folder->name, file)};
	words_add(&program->sources, path);
	words_split(&program->options, folder->options, " ");
	directives_read(program, must(contents));
	free(contents);
	free(path);

	path = text("%s/%s%.*s.x", suite, folder->name, stem, file);
	if ((contents = file_read(path, NULL)))
		script_read(program, contents);
	free(contents);
	free(path);
	if (folder->builtins) {
		path = text("%s/%s%.*s-lib.c", suite, folder->name, stem, file);
		words_add(&program->sources, path);
		free(path);
		path = text("%s/builtins/lib/main.c", suite);
		words_add(&program->sources, path);
		free(path);
	}
}

static int
by_name(const void *a, const void *b)
{
	const struct program *p = a, *q = b;

	return strcmp(p->name, q->name);
}

void
programs_read(struct programs *programs, const char *suite)
{
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		char *path = text("%s/%s", suite, folders[i].name);
		DIR *directory = opendir(path);
		struct dirent *entry;

		while (directory && (entry = readdir(directory))) {
			if (ends_in(entry->d_name, ".c") && !(folders[i].builtins && ends_in(entry->d_name, "-lib.c")))
				program_add(programs, suite, &folders[i], entry->d_name);
		}
		if (directory)
			closedir(directory);
		free(path);
	}
	if (!programs->n)
		die("no programs in %s", suite);
	qsort(programs->at, programs->n, sizeof *programs->at, by_name);
}
