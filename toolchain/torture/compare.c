/* SPDX-License-Identifier: MIT */
/*
 * One combination (program, compiler, level) from source to verdict: natively, unless the result of an earlier run is
 * known, then for the sandbox, with a reason for each way in which the two can differ. Called by the worker threads of
 * main.c.
 */
#include "torture.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMPILE_LIMIT_MS 120000
#define NATIVE_LIMIT_MS 10000
#define DETAIL_SHOWN 200

const char *const verdict_names[VERDICTS] = {
    [PASSED] = "passed",
    [EXCLUDED] = "excluded",
    [SKIPPED] = "skipped",
    [REWRITER_ERROR] = "rewriter error",
    [ASSEMBLER_ERROR] = "assembler error",
    [LINK_ERROR] = "link error",
    [COMPILER_ERROR] = "compiler error",
    [VERIFY_REFUSAL] = "verifier refusal",
    [LOAD_ERROR] = "load error",
    [FAULT] = "fault in the sandbox",
    [TIME_LIMIT] = "time limit",
    [RUNNER_CRASH] = "lfi-run ended by a signal",
    [WRONG_STATUS] = "wrong exit status",
    [WRONG_OUTPUT] = "wrong output",
};

/* The files of one worker thread. */
struct place {
	char *native, *box, *out, *err, *directory, *temporary;
};

static void
place_make(struct place *place, const char *work, int worker)
{
	place->native = text("%s/%d.native", work, worker);
	place->box = text("%s/%d.lfi", work, worker);
	place->out = text("%s/%d.out", work, worker);
	place->err = text("%s/%d.err", work, worker);
	place->directory = text("%s/%d.files", work, worker);
	place->temporary = text("%s/%d.tmp", work, worker);
	mkdir(place->directory, 0777);
	mkdir(place->temporary, 0777);
}

static void
place_free(struct place *place)
{
	unlink(place->native);
	unlink(place->box);
	free(place->native);
	free(place->box);
	free(place->out);
	free(place->err);
	free(place->directory);
	free(place->temporary);
}

/* ---- Messages ---- */

/* Takes a path out of a line, with what joins it to what follows. */
static void
cut_out(char *line, const char *path)
{
	char *cut;

	while ((cut = strstr(line, path))) {
		char *rest = cut + strlen(path);

		rest += strspn(rest, "/: ");
		memmove(cut, rest, strlen(rest) + 1);
	}
}

/*
 * What of `messages` says most: the first line with one of these signs and the one below it, where compilers and
 * rewriter show the construct.
 */
static char *
telling_line(const char *messages, const struct place *place, const char *suite)
{
	static const char *const signs[] = {
	    "undefined reference", "undefined symbol", "rror: ", "lfi-run: ", "internal compiler error", ""};
	const char *found = NULL, *end;
	char *line, *in;

	for (size_t i = 0; !found && i < sizeof signs / sizeof *signs; i++)
		found = strstr(messages, signs[i]);
	while (found > messages && found[-1] != '\n')
		found--;
	end = strchrnul(found, '\n');
	if (*end)
		end = strchrnul(end + 1, '\n');
	line = must(strndup(found, (size_t) (end - found)));
	cut_out(line, suite);
	cut_out(line, place->temporary);
	cut_out(line, place->box);
	for (in = line; *in; in++) {
		if (!isprint((unsigned char) *in))
			*in = ' ';
	}
	if (strlen(line) > DETAIL_SHOWN)
		line[DETAIL_SHOWN] = '\0';
	return line;
}

static bool
says(const char *messages, const char *what)
{
	return strstr(messages, what) != NULL;
}

static enum verdict
compile_verdict(const char *messages)
{
	if (says(messages, " (assembly):") || says(messages, "sandbox") || says(messages, "confine"))
		return REWRITER_ERROR;
	if (says(messages, "undefined reference") || says(messages, "undefined symbol") ||
	    says(messages, "multiple definition") || says(messages, "duplicate symbol") || says(messages, "ld: "))
		return LINK_ERROR;
	if (says(messages, "Assembler messages") || says(messages, "as: "))
		return ASSEMBLER_ERROR;
	return COMPILER_ERROR;
}

/* lfi-run speaks on the error output, with its name in front. */
static enum verdict
run_verdict(const char *messages)
{
	if (!says(messages, "lfi-run: "))
		return WRONG_STATUS;
	if (says(messages, "verif"))
		return VERIFY_REFUSAL;
	if (says(messages, "trapped"))
		return FAULT;
	return LOAD_ERROR;
}

/* ---- Native ---- */

static bool
is_clang(const char *compiler)
{
	return strncmp(compiler, "clang", 5) == 0;
}

/* Options that both sides get. New versions of clang make errors of what old C allows. */
static void
option_words(const struct setup *setup, const struct combination *c, struct words *w)
{
	char *level = text("-O%s", c->level);

	words_add(w, level);
	free(level);
	words_append(w, &setup->options);
	if (is_clang(c->compiler))
		words_split(w,
		    "-Wno-implicit-int -Wno-implicit-function-declaration -Wno-int-conversion -Wno-return-type "
		    "-Wno-incompatible-function-pointer-types",
		    " ");
	for (size_t i = 0; i < c->program->options.n; i++) {
		if (!is_clang(c->compiler) || !option_unknown_to_clang(c->program->options.word[i]))
			words_add(w, c->program->options.word[i]);
	}
}

/* OPTIONS SOURCES -o OUTPUT LIBRARIES */
static void
compile_words(const struct setup *setup, struct words *command, const struct combination *c, const char *output)
{
	option_words(setup, c, command);
	words_append(command, &c->program->sources);
	words_add(command, "-o");
	words_add(command, output);
	words_add(command, "-lm");
}

/* An option and a path after it, which may hold spaces. */
static void
add_path(struct words *w, const char *option, const char *form, const char *directory)
{
	char *path = text(form, directory);

	words_add(w, option);
	words_add(w, path);
	free(path);
}

/* The compiler alone, or with all that points it at a native musl instead of the system's libc. */
static void
native_first_words(const struct setup *setup, const char *compiler, struct words *w)
{
	struct words form = {0};

	words_split(&form, setup->native ? setup->native : "%c", " ");
	for (size_t i = 0; i < form.n; i++)
		words_add(w, strcmp(form.word[i], "%c") == 0 ? compiler : form.word[i]);
	words_free(&form);
	if (!setup->sysroot)
		return;
	words_add(w, is_clang(compiler) ? "-nostdlibinc" : "-nostdinc");
	add_path(w, "-isystem", "%s/include", setup->sysroot);
	add_path(w, "-nostdlib", "-L%s/lib", setup->sysroot);
	add_path(w, "-static-pie", "%s/lib/rcrt1.o", setup->sysroot);
	if (!is_clang(compiler))
		words_split(w, "-iwithprefix include", " ");
	words_split(w, "-fPIE -ftls-model=local-exec -fcf-protection=none -fno-stack-protector", " ");
}

static struct words
native_compile_words(const struct setup *setup, const struct combination *c, const char *output)
{
	struct words command = {0};

	native_first_words(setup, c->compiler, &command);
	compile_words(setup, &command, c, output);
	if (setup->sysroot)
		words_split(&command, "-Wl,--start-group -lc -lgcc -lgcc_eh -Wl,--end-group", " ");
	return command;
}

static uint64_t
native_key(const struct setup *setup, const struct combination *c)
{
	struct words command = native_compile_words(setup, c, "");
	uint64_t key = c->identity;
	size_t size;

	for (size_t i = 0; i < command.n; i++)
		key = hash_text(key, command.word[i]);
	for (size_t i = 0; i < c->program->sources.n; i++) {
		char *source = file_read(c->program->sources.word[i], &size);

		if (source)
			key = hash_bytes(key, source, size);
		free(source);
	}
	words_free(&command);
	return key;
}

static uint64_t
file_hash(const char *path)
{
	size_t size;
	char *contents = must(file_read(path, &size));
	uint64_t hash = hash_bytes(HASH_START, contents, size);

	free(contents);
	return hash;
}

static void
clear_files(const struct combination *c, const struct place *place)
{
	char *command;

	if (!c->program->files)
		return;
	command = text("exec rm -rf '%s'/*", place->directory);
	if (system(command) != 0)
		die("cannot empty %s", place->directory);
	free(command);
}

/*
 * Runs the native program, a second time where it printed something: what differs between those two cannot be compared.
 * Returns the outcome in words.
 */
static char *
native_run(const struct combination *c, const struct place *place, struct native *native, struct outcome *outcome)
{
	struct child program = {.directory = place->directory,
	    .out = place->out,
	    .err = place->err,
	    .limit_ms = NATIVE_LIMIT_MS,
	    .program = true};
	struct words run = {0};
	char *why;

	words_add(&run, place->native);
	*outcome = child_run(&program, &run);
	why = outcome_text(*outcome);
	native->out = file_hash(place->out);
	native->err = file_hash(place->err);
	if (outcome->kind != OUTCOME_EXIT || outcome->code != 0)
		native->skip = text("fails natively: %s", why);
	else if (native->out != HASH_START || native->err != HASH_START)
		*outcome = child_run(&program, &run);
	if (native->out != file_hash(place->out) || native->err != file_hash(place->err))
		native->out = native->err = 0;
	clear_files(c, place);
	words_free(&run);
	return why;
}

/* False when interrupted. */
static bool
native_make(const struct setup *setup, const struct combination *c, const struct place *place, struct native *native)
{
	struct words command = native_compile_words(setup, c, place->native);
	struct child compile = {
	    .temporary = place->temporary, .out = place->out, .err = place->err, .limit_ms = COMPILE_LIMIT_MS};
	struct outcome outcome = child_run(&compile, &command);
	char *messages, *why;

	*native = (struct native){0};
	if (outcome.kind == OUTCOME_EXIT && outcome.code == 0) {
		why = native_run(c, place, native, &outcome);
	} else {
		messages = must(file_read(place->err, NULL));
		why = telling_line(messages, place, setup->suite);
		native->skip = text("does not compile natively: %s", why);
		free(messages);
	}
	free(why);
	words_free(&command);
	return outcome.kind != OUTCOME_INTERRUPTED;
}

/* ---- Sandboxed ---- */

static struct words
box_compile_words(const struct setup *setup, const struct combination *c, const char *output)
{
	struct words command = {0};
	char *which = text("--lfi-compiler=%s", c->compiler);

	words_append(&command, &setup->lfi_cc);
	words_add(&command, which);
	free(which);
	compile_words(setup, &command, c, output);
	return command;
}

static struct words
box_run_words(const struct setup *setup, const struct combination *c, const struct place *place, const char *program)
{
	struct words run = {0};
	char *mapping = text("/tmp=%s", place ? place->directory : "/tmp");

	words_append(&run, &setup->lfi_run);
	if (c->program->files) {
		words_add(&run, "--dir");
		words_add(&run, mapping);
	}
	words_add(&run, program);
	free(mapping);
	return run;
}

static char *
reproduce_text(const struct setup *setup, const struct combination *c)
{
	struct words compile = box_compile_words(setup, c, "/tmp/t.lfi"),
		     run = box_run_words(setup, c, NULL, "/tmp/t.lfi");
	char *first = words_shell(&compile), *second = words_shell(&run), *both = text("%s && %s", first, second);

	free(first);
	free(second);
	words_free(&compile);
	words_free(&run);
	return both;
}

static struct result
failure(const struct setup *setup, const struct combination *c, enum verdict verdict, char *detail)
{
	return (struct result){verdict, detail, reproduce_text(setup, c)};
}

static struct result
compile_failure(
    const struct setup *setup, const struct combination *c, const struct place *place, struct outcome outcome)
{
	char *messages = must(file_read(place->err, NULL)), *why = outcome_text(outcome),
	     *line = telling_line(messages, place, setup->suite);
	enum verdict verdict = outcome.kind == OUTCOME_TIMEOUT ? TIME_LIMIT : compile_verdict(messages);
	struct result result = failure(setup, c, verdict, text("lfi-cc: %s: %s", why, line));

	free(messages);
	free(why);
	free(line);
	return result;
}

static struct result
run_failure(const struct setup *setup, const struct combination *c, const struct place *place, struct outcome outcome)
{
	char *messages = must(file_read(place->err, NULL)), *why = outcome_text(outcome),
	     *line = telling_line(messages, place, setup->suite);
	enum verdict verdict = outcome.kind == OUTCOME_TIMEOUT  ? TIME_LIMIT
			       : outcome.kind == OUTCOME_SIGNAL ? RUNNER_CRASH
								: run_verdict(messages);
	struct result result = failure(setup, c, verdict, text("%s%s%s", why, *line ? ": " : "", line));

	free(messages);
	free(why);
	free(line);
	return result;
}

static struct result
output_compare(
    const struct setup *setup, const struct combination *c, const struct place *place, const struct native *native)
{
	bool varies = !native->out && !native->err;
	bool out = varies || file_hash(place->out) == native->out, err = varies || file_hash(place->err) == native->err;
	const char *which = out ? "error output" : "output";
	struct result result;
	char *contents, *line;

	if (out && err)
		return (struct result){.verdict = PASSED};
	contents = must(file_read(out ? place->err : place->out, NULL));
	line = telling_line(contents, place, setup->suite);
	result = failure(setup, c, WRONG_OUTPUT, text("%s differs, now: %s", which, line));
	free(contents);
	free(line);
	return result;
}

static struct result
box_compare(
    const struct setup *setup, const struct combination *c, const struct place *place, const struct native *native)
{
	struct words command = box_compile_words(setup, c, place->box),
		     run = box_run_words(setup, c, place, place->box);
	struct child compile = {
	    .temporary = place->temporary, .out = place->out, .err = place->err, .limit_ms = COMPILE_LIMIT_MS};
	struct child program = {.directory = place->directory,
	    .out = place->out,
	    .err = place->err,
	    .limit_ms = setup->limit_ms,
	    .program = true};
	struct outcome outcome = child_run(&compile, &command);
	struct result result;

	if (outcome.kind != OUTCOME_EXIT || outcome.code != 0) {
		result = compile_failure(setup, c, place, outcome);
	} else {
		outcome = child_run(&program, &run);
		if (outcome.kind != OUTCOME_EXIT || outcome.code != 0)
			result = run_failure(setup, c, place, outcome);
		else
			result = output_compare(setup, c, place, native);
		clear_files(c, place);
	}
	words_free(&command);
	words_free(&run);
	return result;
}

/* Keeps the program of a failed combination as NAME-COMPILER-OLEVEL.lfi. */
static void
keep(const struct setup *setup, const struct combination *c, const struct place *place)
{
	char *name = must(strdup(c->program->name)), *path;

	for (char *p = name; *p; p++) {
		if (*p == '/')
			*p = '-';
	}
	path = text("%s/%.*s-%s-O%s.lfi", setup->kept, (int) strlen(name) - 2, name, c->compiler, c->level);
	if (access(place->box, F_OK) == 0 && rename(place->box, path) < 0)
		die("cannot write %s", path);
	free(path);
	free(name);
}

struct result
combination_run(const struct setup *setup, const struct combination *c, int worker)
{
	struct place place;
	struct native native;
	struct result result = {.verdict = SKIPPED};
	uint64_t key;

	if (c->excluded)
		return (struct result){EXCLUDED, must(strdup(c->excluded)), NULL};
	place_make(&place, setup->work, worker);
	key = native_key(setup, c);
	if (!cache_find(key, &native) && native_make(setup, c, &place, &native))
		cache_add(key, &native);
	if (children_stopped())
		goto free_place;
	if (native.skip) {
		result.detail = must(strdup(native.skip));
		goto free_place;
	}
	result = box_compare(setup, c, &place, &native);
	if (result.verdict != PASSED && setup->kept && !children_stopped())
		keep(setup, c, &place);

free_place:
	place_free(&place);
	return result;
}
