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

	text->data = keep_alloc(room + 1);
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
			char *bigger = keep_alloc(2 * room + 1);

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

/* As -x spells them. What the compiler does not compile it may take as it likes. */
static const char *const language_names[] = {
    [KIND_AUTO] = "none",
    [KIND_C] = "c",
    [KIND_HEADER] = "c-header",
    [KIND_CPP_OUTPUT] = "cpp-output",
    [KIND_ASM] = "assembler",
    [KIND_ASM_CPP] = "assembler-with-cpp",
    [KIND_LINKER] = "none",
};

/*
 * What every compilation gets, behind the user's options so that it wins. Reserved registers: gcc leaves r11, r14, r15
 * alone; clang cannot, so it is made to use few registers and the rewriter renames r14 and r15 where they still occur.
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
	size_t sources = 0;

	if (!cc->depend) {
		if (cc->depend_file) {
			strings_add(command, "-MF");
			strings_add(command, cc->depend_file);
		}
		return;
	}
	for (size_t i = 0; i < cc->input_count; i++)
		sources += cc->inputs[i].kind != KIND_LINKER;
	if (cc->mode == MODE_LINK && sources == 1 && cc->output)
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

/*
 * How a C file is compiled: what the first attempts are, and later ones when the rewriter could not confine what they
 * made.
 */
struct attempt {
	int registers; /* of clang; see add_target_options */
	enum { VECTORS, NO_GATHERS, NO_VECTORS } vectors;
};

/*
 * Compilers make gathers and scatters of loops for processors with AVX2 and AVX-512; they cannot be confined. Newer
 * compilers can do without; with others nothing of the file becomes vectors.
 */
static const char *const no_gathers[] = {"-mno-gather", "-mno-scatter"};
static const char *const no_vectors[] = {"-fno-tree-vectorize", "-fno-tree-slp-vectorize"};

static bool
knows_no_gathers(const struct cc *cc)
{
	struct strings command = {0};
	int nowhere = memory_file(), status;

	if (nowhere < 0)
		return false;
	strings_add(&command, cc->compiler);
	strings_add(&command, no_gathers[0]);
	strings_add(&command, no_gathers[1]);
	strings_add(&command, "-E");
	strings_add(&command, "-x");
	strings_add(&command, "c");
	strings_add(&command, "/dev/null");
	status = run_command_all(cc, &command, -1, nowhere, nowhere);
	close(nowhere);
	return status == 0;
}

static void
add_attempt_options(const struct attempt *attempt, struct strings *command)
{
	for (int i = 0; i < 2 && attempt->vectors != VECTORS; i++)
		strings_add(command, attempt->vectors == NO_GATHERS ? no_gathers[i] : no_vectors[i]);
}

/* Runs the compiler (-S) or, for .S, its preprocessor (-E) on one file, its output to `out`. */
static int
run_compiler(const struct cc *cc, const struct input *input, int in, int out, const struct attempt *attempt)
{
	struct strings command = {0};

	begin_command(cc, &command);
	add_target_options(cc, &command, attempt->registers);
	add_attempt_options(attempt, &command);
	add_dependency_options(cc, &command, input);
	strings_add(&command, input->kind == KIND_ASM_CPP ? "-E" : "-S");
	strings_add(&command, "-o");
	strings_add(&command, "-");
	strings_add(&command, "-x");
	strings_add(&command, language_names[input->kind]);
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
		strings_add(&command, language_names[input->kind]);
		strings_add(&command, input->path);
	}
	return run_command(cc, &command, -1, -1);
}

/* ---- What the rewriter has to say ---- */

static void
report_construct(const struct LFIDiagnostic *diagnostic, void *user)
{
	FILE *stream = user;

	fprintf(stream, "%s:%u:", diagnostic->file, diagnostic->line);
	if (diagnostic->column)
		fprintf(stream, "%u:", diagnostic->column);
	fprintf(stream, " error: %s\n%s\n", diagnostic->message, diagnostic->text);
	for (unsigned i = 1; i < diagnostic->column; i++)
		fputc(diagnostic->text[i - 1] == '\t' ? '\t' : ' ', stream);
	if (diagnostic->column)
		fputs("^\n", stream);
}

/* Takes over what the rewriter made. */
static void
take_text(struct text *text, char *made, size_t size)
{
	text->data = keep_alloc(size + 1);
	text->size = size;
	memcpy(text->data, made, size);
	lfi_rewrite_free(made);
}

/* Confines one text. On failure `*messages` says why; the caller decides whether anyone reads it. */
static int
rewrite(const struct cc *cc, const struct input *input, const struct text *in, struct text *out, char **messages)
{
	struct LFIRewriteOptions options = cc->rewrite;
	bool generated = input->kind == KIND_C || input->kind == KIND_CPP_OUTPUT;
	char *words = NULL, *text = NULL;
	FILE *stream;
	size_t words_size = 0;
	int result;

	options.struct_size = sizeof options;
	/* Inline and preprocessed assembly names its lines; other lines of a compiler's text are only those of
	 * --save-temps. */
	options.file = generated ? keep_format("%s (assembly)", input->path) : input->path;
	options.rename_reserved = cc->clang && generated;
	stream = open_memstream(&words, &words_size);
	if (!stream) {
		say_error("out of memory");
		return 1;
	}
	result = lfi_rewrite(&options, in->data, in->size, &text, &out->size, report_construct, stream);
	fclose(stream);
	if (result < 0)
		*messages = keep_format(
		    "%s%s", words, words_size ? "" : keep_format("lfi-cc: error: %s: %s\n", input->path, lfi_errmsg()));
	else
		take_text(out, text, out->size);
	free(words);
	return result < 0;
}

/* ---- Weak symbols that nobody defines ---- */

/* A line of assembly that may name a symbol: its directive ("" for a label) and the symbol. */
struct naming {
	const char *directive;
	size_t directive_size;
	const char *name;
	size_t name_size;
};

static size_t
name_size(const char *at)
{
	return strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.$");
}

/* The first symbol that a line names as label, in a directive, or left of `=`. */
static struct naming
line_naming(const char *line)
{
	struct naming naming = {0};

	line += strspn(line, " \t");
	naming.directive = naming.name = line;
	naming.name_size = name_size(line);
	line += naming.name_size;
	if (*line != ':' && line[strspn(line, " \t")] != '=') {
		naming.directive_size = naming.name_size;
		naming.name = line + strspn(line, " \t");
		naming.name_size = name_size(naming.name);
	}
	return naming;
}

static bool
is_directive(const struct naming *naming, const char *name)
{
	return naming->directive_size == strlen(name) && memcmp(naming->directive, name, naming->directive_size) == 0;
}

static const char *
next_line(const char *line)
{
	line += strcspn(line, "\n");
	return *line ? line + 1 : NULL;
}

static bool
is_defined(const char *text, const struct naming *weak)
{
	static const char *const defining[] = {"", ".set", ".equ", ".equiv", ".comm", ".lcomm"};

	for (const char *line = text; line; line = next_line(line)) {
		struct naming naming = line_naming(line);

		if (naming.name_size != weak->name_size || memcmp(naming.name, weak->name, weak->name_size) != 0)
			continue;
		for (size_t i = 0; i < sizeof defining / sizeof defining[0]; i++)
			if (is_directive(&naming, defining[i]))
				return true;
	}
	return false;
}

/*
 * A weak symbol that no file defines is 0. Unless it is hidden, though, the linker thinks that a dynamic linker might
 * find it and calls it through a table of jumps through memory, which do not verify. There is no dynamic linker in a
 * sandbox.
 */
static void
hide_undefined_weak(struct text *text)
{
	struct strings hidden = {0};
	size_t size = text->size;
	char *longer, *end;

	for (const char *line = text->data; line; line = next_line(line)) {
		struct naming naming = line_naming(line);

		if (is_directive(&naming, ".weak") && !is_defined(text->data, &naming))
			strings_add(&hidden, keep_format("\t.hidden %.*s\n", (int) naming.name_size, naming.name));
	}
	if (!hidden.count)
		return;
	for (size_t i = 0; i < hidden.count; i++)
		size += strlen(hidden.item[i]);
	end = longer = keep_alloc(size + 1);
	memcpy(longer, text->data, text->size);
	end += text->size;
	for (size_t i = 0; i < hidden.count; i++)
		end = stpcpy(end, hidden.item[i]);
	text->data = longer;
	text->size = size;
}

/* ---- The steps together ---- */

/* Standard input can be read once; the compiler may need it again. */
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
get_assembly(const struct cc *cc, const struct input *input, int in, const struct attempt *attempt, struct text *text)
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
		status = run_compiler(cc, input, in, fd, attempt);
		if (!status)
			status = read_all(fd, input->path, text);
	}
	close(fd);
	return status;
}

/*
 * Changes the attempt after one that could not be confined; false when there is no other. clang with 12 registers
 * leaves r12, r13 and rbp for renaming in nearly all functions; where a function still uses all, fewer registers help.
 */
static bool
attempt_again(const struct cc *cc, const struct input *input, const char *messages, struct attempt *attempt)
{
	if (input->kind != KIND_C && input->kind != KIND_CPP_OUTPUT)
		return false;
	if (strstr(messages, "gathers and scatters") && attempt->vectors != NO_VECTORS) {
		attempt->vectors = attempt->vectors == VECTORS && knows_no_gathers(cc) ? NO_GATHERS : NO_VECTORS;
		return true;
	}
	return cc->clang && --attempt->registers >= 10;
}

static int
confine(const struct cc *cc, const struct input *input, int in, struct text *text, struct text *out)
{
	struct attempt attempt = {.registers = 12};
	char *messages = NULL;
	int status;

	do {
		status = get_assembly(cc, input, in, &attempt, text);
		if (status || cc->print_only)
			return status;
		if (cc->save_temps && input->kind != KIND_ASM)
			status = write_file(with_suffix(base_name(input->path), ".s"), text);
		if (status)
			return status;
		if (!rewrite(cc, input, text, out, &messages)) {
			hide_undefined_weak(out);
			return 0;
		}
	} while (attempt_again(cc, input, messages ? messages : "", &attempt));
	fputs(messages ? messages : "", stderr);
	return 1;
}

/* The assembler's words, which call its input by a name that means nothing to the user. */
static void
print_assembler_words(int fd, const char *name)
{
	static const char stdin_name[] = "{standard input}";
	struct text words;
	const char *at, *found;

	if (read_all(fd, "memory file", &words))
		return;
	words.data[words.size] = 0;
	for (at = words.data; (found = strstr(at, stdin_name)); at = found + sizeof stdin_name - 1)
		fprintf(stderr, "%.*s%s", (int) (found - at), at, name);
	fputs(at, stderr);
}

/* Assembles a text; what the assembler says goes to `words`. */
static int
run_assembler(const struct cc *cc, const struct text *text, const char *output, int words)
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
		status = run_command_all(cc, &command, in, -1, words);
	}
	close(in);
	return status;
}

/*
 * Assembles a text. A mistake of the user's is a mistake in the original as well, where the assembler knows its line;
 * so that is what it is asked about then.
 */
static int
assemble(const struct cc *cc, const struct input *input, const struct text *original, const struct text *text,
    const char *output)
{
	int words, status, again = 0;

	if (cc->print_only)
		return run_assembler(cc, text, output, -1);
	words = memory_file();
	if (words < 0)
		return 1;
	status = run_assembler(cc, text, output, words);
	if (status && !run_interrupted()) {
		int other = memory_file();

		if (other >= 0 && (again = run_assembler(cc, original, "/dev/null", other)))
			print_assembler_words(other, input->path);
		close(other);
	}
	if (!again)
		print_assembler_words(words, keep_format("%s (rewritten)", input->path));
	close(words);
	return status;
}

/* Exact padding: an object file tells how long each instruction is, and the rewriter places them with that. */
static int
place(const struct cc *cc, const struct input *input, const struct text *original, const struct text *confined,
    struct text *out)
{
	const char *object_name = run_temp("measure.o");
	struct LFIRewriteOptions options = cc->rewrite;
	struct text measured, object;
	size_t size;
	char *made;
	int fd, status;

	options.struct_size = sizeof options;
	if (!object_name)
		return 1;
	if (cc->print_only)
		return run_assembler(cc, confined, object_name, -1);
	if (lfi_rewrite_measure(confined->data, confined->size, &made, &size) < 0) {
		say_error("%s: %s", input->path, lfi_errmsg());
		return 1;
	}
	take_text(&measured, made, size);
	if ((status = assemble(cc, input, original, &measured, object_name)))
		return status;
	fd = open(object_name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read_all(fd, object_name, &object)) {
		say_error("%s: %s", object_name, strerror(errno));
		return 1;
	}
	close(fd);
	if (lfi_rewrite_layout(&options, confined->data, confined->size, object.data, object.size, &made, &size) < 0) {
		say_error("%s: %s", input->path, lfi_errmsg());
		return 1;
	}
	take_text(out, made, size);
	return 0;
}

int
compile_input(struct cc *cc, struct input *input, const char *output)
{
	struct text original = {0}, confined = {0}, text = {0};
	int in = -1, status = 0;

	if (strcmp(input->path, "-") == 0)
		status = copy_stdin(&in);
	if (!status)
		status = confine(cc, input, in, &original, &confined);
	if (!status && cc->no_layout)
		text = confined;
	else if (!status)
		status = place(cc, input, &original, &confined, &text);
	if (!status && cc->save_temps && !cc->print_only)
		status = write_file(with_suffix(base_name(input->path), ".lfi.s"), &text);
	if (!output)
		output = with_suffix(base_name(input->path), cc->mode == MODE_ASSEMBLY ? ".s" : ".o");
	run_output_begin(output);
	if (!status && cc->mode == MODE_ASSEMBLY)
		status = cc->print_only ? 0 : write_file(output, &text);
	else if (!status)
		status = assemble(cc, input, &original, &text, output);
	run_output_done(!status);
	if (in >= 0)
		close(in);
	return status;
}
