/* SPDX-License-Identifier: MIT */
/*
 * One source file to confined assembly or an object: compiler, rewriter,
 * assembler. Assembly text travels in memory files, so that nothing is left
 * behind whatever happens. Part of lfi-cc; not trusted.
 */
#include <errno.h>
#include <fcntl.h>
#include <lfi/lfi_core.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cc.h"

/* ---- Text in memory files ---- */

struct text {
	char *data;
	size_t size;
};

/* Reads all of a descriptor from its start. */
static int
read_all(int fd, const char *name, struct text *text)
{
	size_t room = 65536;
	ssize_t got;

	text->data = keep_alloc(room);
	text->size = 0;
	lseek(fd, 0, SEEK_SET);
	while ((got = read(fd, text->data + text->size, room - text->size)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			say_error("%s: %s", name, strerror(errno));
			return 1;
		}
		text->size += (size_t) got;
		if (text->size == room) {
			char *bigger = keep_alloc(2 * room);

			memcpy(bigger, text->data, room);
			text->data = bigger;
			room *= 2;
		}
	}
	return 0;
}

static int
write_all(int fd, const char *name, const char *data, size_t size)
{
	while (size) {
		ssize_t put = write(fd, data, size);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0) {
			say_error("%s: %s", name, strerror(errno));
			return 1;
		}
		data += put;
		size -= (size_t) put;
	}
	return 0;
}

static int
write_file(const char *path, const struct text *text)
{
	int fd, status;

	if (strcmp(path, "-") == 0)
		return write_all(1, "standard output", text->data, text->size);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0) {
		say_error("%s: %s", path, strerror(errno));
		return 1;
	}
	status = write_all(fd, path, text->data, text->size);
	if (close(fd) < 0 && !status) {
		say_error("%s: %s", path, strerror(errno));
		status = 1;
	}
	return status;
}

static int
memory_file(void)
{
	int fd = memfd_create("lfi-cc", MFD_CLOEXEC);

	if (fd < 0)
		say_error("cannot make a memory file: %s", strerror(errno));
	return fd;
}

/* ---- Names ---- */

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* "dir/foo.c" and ".o" make "foo.o". */
static const char *
with_suffix(const char *path, const char *suffix)
{
	const char *dot = strrchr(base_name(path), '.');

	if (!dot || dot == base_name(path))
		return keep_format("%s%s", path, suffix);
	return keep_format("%.*s%s", (int) (dot - path), path, suffix);
}

/* ---- The compiler's command line ---- */

/*
 * What every compilation gets, behind the user's options so that it wins. Reserved registers: gcc leaves r11, r14, r15 alone;
 * clang cannot, so it is made to use few registers and the rewriter renames r14 and r15 where they still occur.
 */
static void
add_target_options(const struct cc *cc, struct strings *command, int registers)
{
	if (!cc->no_std_includes) {
		strings_add(command, cc->clang ? "-nostdlibinc" : "-nostdinc");
		strings_add(command, "-isystem");
		strings_add(command, keep_format("%s/include", cc->sysroot));
		if (!cc->clang) {
			strings_add(command, "-iwithprefix");
			strings_add(command, "include");
		}
	}
	if (cc->mode == MODE_PREPROCESS)
		return;
	strings_add(command, "-fPIE");
	strings_add(command, "-ftls-model=local-exec");
	strings_add(command, "-fno-lto");
	if (!cc->clang) {
		strings_add(command, "-ffixed-r11");
		strings_add(command, "-ffixed-r14");
		strings_add(command, "-ffixed-r15");
		return;
	}
	strings_add(command, "-fno-integrated-as");
	strings_add(command, "-mllvm");
	strings_add(command, keep_format("-stress-regalloc=%d", registers));
}

/* -MD and -MMD: we name file and target, since the compiler sees neither our output nor its name. */
static void
add_dependency_options(const struct cc *cc, struct strings *command, const struct input *input)
{
	const char *source = base_name(input->path), *file, *target;

	if (!cc->depend) {
		if (cc->depend_file) {
			strings_add(command, "-MF");
			strings_add(command, cc->depend_file);
		}
		return;
	}
	if (cc->mode == MODE_LINK && cc->input_count == 1 && cc->output)
		file = with_suffix(cc->output, ".d");
	else if (cc->mode == MODE_LINK)
		file = keep_format("%s-%s", cc->output ? cc->output : "a", with_suffix(source, ".d"));
	else
		file = with_suffix(cc->output ? cc->output : source, ".d");
	target = cc->output && cc->mode != MODE_LINK ? cc->output : with_suffix(source, ".o");
	strings_add(command, "-MF");
	strings_add(command, cc->depend_file ? cc->depend_file : file);
	if (!cc->depend_target) {
		strings_add(command, "-MQ");
		strings_add(command, target);
	}
}

static void
begin_command(const struct cc *cc, struct strings *command)
{
	strings_add(command, cc->compiler);
	strings_add(command, "-D__LFI__=1");
	strings_add(command, "-fcf-protection=none");
	strings_add_all(command, &cc->compile);
}

/* Runs the compiler (-S) or, for .S, its preprocessor (-E) on one file, its output to `out`. */
static int
run_compiler(const struct cc *cc, const struct input *input, int in, int out, int registers)
{
	static const char *const languages[] = {
		[KIND_C] = "c", [KIND_CPP_OUTPUT] = "cpp-output", [KIND_ASM_CPP] = "assembler-with-cpp"};
	struct strings command = {0};

	begin_command(cc, &command);
	add_target_options(cc, &command, registers);
	add_dependency_options(cc, &command, input);
	strings_add(&command, input->kind == KIND_ASM_CPP ? "-E" : "-S");
	strings_add(&command, "-o");
	strings_add(&command, "-");
	strings_add(&command, "-x");
	strings_add(&command, languages[input->kind]);
	strings_add(&command, input->path);
	if (in >= 0)
		lseek(in, 0, SEEK_SET);
	return run_command(cc, &command, in, out);
}

int
preprocess_inputs(struct cc *cc)
{
	struct strings command = {0};

	begin_command(cc, &command);
	add_target_options(cc, &command, 0);
	if (cc->depend_file) {
		strings_add(&command, "-MF");
		strings_add(&command, cc->depend_file);
	}
	if (cc->output) {
		strings_add(&command, "-o");
		strings_add(&command, cc->output);
	}
	strings_add(&command, cc->mode == MODE_CHECK ? "-fsyntax-only" : "-E");
	for (size_t i = 0; i < cc->input_count; i++) {
		const struct input *input = &cc->inputs[i];

		strings_add(&command, "-x");
		strings_add(&command, input->kind == KIND_C   ? "c"
		    : input->kind == KIND_HEADER                  ? "c-header"
		    : input->kind == KIND_ASM_CPP                 ? "assembler-with-cpp"
		    : input->kind == KIND_CPP_OUTPUT              ? "cpp-output"
		                                                  : "none");
		strings_add(&command, input->path);
	}
	return run_command(cc, &command, -1, -1);
}

/* ---- What the rewriter has to say ---- */

struct report {
	FILE *stream;             /* into memory: printed only if no further attempt follows */
	const struct text *text;
	const struct input *input;
};

/*
 * The place in the source that an assembly line comes from, by the last `# line "file"` before it. The preprocessor
 * writes one wherever lines jump; gcc writes one in front of inline assembly and `# 0 ""` behind it.
 */
static bool
source_place(const struct report *report, unsigned line, char *file, size_t file_size, unsigned *source_line)
{
	const char *at = report->text->data, *end = at + report->text->size;
	bool known = false, generated = report->input->kind == KIND_C || report->input->kind == KIND_CPP_OUTPUT;

	for (unsigned now = 1; at < end && now < line; now++) {
		const char *newline = memchr(at, '\n', (size_t) (end - at));
		char name[1024], *close;
		unsigned number;

		if (!newline)
			break;
		if (at[0] == '#' && sscanf(at, "# %u \"%1023[^\"\n]", &number, name) == 2) {
			known = true;
			snprintf(file, file_size, "%s", name);
			*source_line = number;
		} else if (at[0] == '#' && sscanf(at, "# %u \"\"", &number) == 1 && (close = strchr(at, '"')) && close < newline)
			known = false;
		else if (!generated)
			++*source_line;
		at = newline + 1;
	}
	return known;
}

static void
report_construct(const struct LFIDiagnostic *diagnostic, void *user)
{
	struct report *report = user;
	char file[1024];
	unsigned line = 0;
	bool is_source = report->input->kind == KIND_ASM;

	if (is_source)
		fprintf(report->stream, "%s:%u:", report->input->path, diagnostic->line);
	else if (source_place(report, diagnostic->line, file, sizeof file, &line))
		fprintf(report->stream, "%s:%u:", file, line);
	else
		fprintf(report->stream, "%s:", report->input->path);
	if (is_source && diagnostic->column)
		fprintf(report->stream, "%u:", diagnostic->column);
	fprintf(report->stream, " error: %s\n", diagnostic->message);
	fprintf(report->stream, "%s\n", diagnostic->text);
	for (unsigned i = 1; i < diagnostic->column; i++)
		fputc(diagnostic->text[i - 1] == '\t' ? '\t' : ' ', report->stream);
	if (diagnostic->column)
		fputs("^\n", report->stream);
	if (!is_source)
		fprintf(report->stream, "(line %u of the assembly that --save-temps keeps)\n", diagnostic->line);
}

/* Confines one text. On failure `*messages` says why; the caller decides whether anyone reads it. */
static int
rewrite(const struct cc *cc, const struct input *input, const struct text *in, struct text *out, char **messages)
{
	struct LFIRewriteOptions options = cc->rewrite;
	struct report report = {.text = in, .input = input};
	char *words = NULL, *text = NULL;
	size_t words_size = 0;
	int result;

	options.struct_size = sizeof options;
	options.file = input->path;
	options.rename_reserved = cc->clang && (input->kind == KIND_C || input->kind == KIND_CPP_OUTPUT);
	report.stream = open_memstream(&words, &words_size);
	if (!report.stream) {
		say_error("out of memory");
		return 1;
	}
	result = lfi_rewrite(&options, in->data, in->size, &text, &out->size, report_construct, &report);
	fclose(report.stream);
	if (result < 0)
		*messages = keep_format("%s%s", words, words_size ? "" : keep_format("lfi-cc: error: %s: %s\n", input->path, lfi_errmsg()));
	else {
		out->data = keep_alloc(out->size + 1);
		memcpy(out->data, text, out->size);
	}
	lfi_rewrite_free(text);
	free(words);
	return result < 0;
}

/* ---- The steps together ---- */

/* Standard input can be read once; clang may need it again. */
static int
copy_stdin(int *copy)
{
	char buffer[65536];
	ssize_t got;

	*copy = memory_file();
	if (*copy < 0)
		return 1;
	while ((got = read(0, buffer, sizeof buffer)) > 0)
		if (write_all(*copy, "standard input", buffer, (size_t) got))
			return 1;
	return 0;
}

/* The assembly of one input, before confinement. */
static int
get_assembly(const struct cc *cc, const struct input *input, int in, int registers, struct text *text)
{
	int fd, status;

	if (input->kind == KIND_ASM) {
		fd = in >= 0 ? dup(in) : open(input->path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			say_error("%s: %s", input->path, strerror(errno));
			return 1;
		}
		status = read_all(fd, input->path, text);
	} else {
		fd = memory_file();
		if (fd < 0)
			return 1;
		status = run_compiler(cc, input, in, fd, registers);
		if (!status)
			status = read_all(fd, input->path, text);
	}
	close(fd);
	return status;
}

/*
 * clang with 12 registers leaves r12, r13 and rbp for renaming in nearly all functions; where a function still uses
 * all, fewer registers help.
 */
static int
confine(const struct cc *cc, const struct input *input, int in, struct text *out)
{
	bool retries = cc->clang && (input->kind == KIND_C || input->kind == KIND_CPP_OUTPUT);
	char *messages = NULL;
	struct text text;
	int status;

	for (int registers = 12; registers >= 10; registers--) {
		status = get_assembly(cc, input, in, registers, &text);
		if (status || cc->print_only)
			return status;
		if (cc->save_temps && input->kind != KIND_ASM)
			status = write_file(with_suffix(base_name(input->path), ".s"), &text);
		if (status || !rewrite(cc, input, &text, out, &messages))
			return status;
		if (!retries)
			break;
	}
	fputs(messages ? messages : "", stderr);
	return 1;
}

static int
assemble(const struct cc *cc, const struct text *text, const char *output)
{
	struct strings command = {0};
	int in = memory_file(), status;

	if (in < 0)
		return 1;
	strings_add(&command, "as");
	strings_add(&command, "--64");
	strings_add_all(&command, &cc->assemble);
	strings_add(&command, "-o");
	strings_add(&command, output);
	status = write_all(in, "memory file", text->data, text->size);
	if (!status) {
		lseek(in, 0, SEEK_SET);
		status = run_command(cc, &command, in, -1);
	}
	close(in);
	return status;
}

int
compile_input(struct cc *cc, struct input *input, const char *output)
{
	struct text text = {0};
	int in = -1, status = 0;

	if (strcmp(input->path, "-") == 0)
		status = copy_stdin(&in);
	if (!status)
		status = confine(cc, input, in, &text);
	if (!status && cc->save_temps && !cc->print_only)
		status = write_file(with_suffix(base_name(input->path), ".lfi.s"), &text);
	if (!output)
		output = with_suffix(base_name(input->path), cc->mode == MODE_ASSEMBLY ? ".s" : ".o");
	run_output_begin(output);
	if (!status && cc->mode == MODE_ASSEMBLY)
		status = cc->print_only ? 0 : write_file(output, &text);
	else if (!status)
		status = assemble(cc, &text, output);
	run_output_done(!status);
	if (in >= 0)
		close(in);
	return status;
}
