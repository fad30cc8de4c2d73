/* SPDX-License-Identifier: MIT */
/*
 * lfi-rewrite: a compiler's assembly in, confined assembly out. Argument
 * parsing and files over lfi_rewrite.h.
 */
#include <errno.h>
#include <getopt.h>
#include <lfi/lfi_core.h>
#include <lfi/lfi_rewrite.h>
#include <lfi/lfi_verify.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2 };

static const char help[] =
    "Usage: lfi-rewrite [OPTION...] [INPUT]\n"
    "Rewrite AT&T assembly of gcc or clang so that it can run in a sandbox.\n"
    "\n"
    "  -o, --output=FILE       write there instead of standard output\n"
    "  -a, --arch=x64          the target\n"
    "      --cfi=TYPE          bundle32 (default) or bundle16\n"
    "      --sandbox=POLICY    full (default), stores or jumps\n"
    "      --single-thread     returns for sandboxes with one thread\n"
    "      --no-segue          memory through r14 instead of gs\n"
    "      --no-guard-elim     guard each move of the stack pointer\n"
    "      --low-table         runtime calls through the copy of the table in the sandbox's first page\n"
    "      --poc               position-oblivious: lower halves of addresses only (--sandbox=full)\n"
    "      --no-poc            the default\n"
    "      --rename-reserved   give functions that use r14 or r15 another register (for clang)\n"
    "  -h, --help              this text\n"
    "      --version           the library's version\n"
    "\n"
    "INPUT is standard input when absent or `-`. Exit status: 0; 1 when something cannot be confined; 2 for bad usage "
    "or\n"
    "a file that cannot be read or written.\n";

enum {
	OPT_CFI = 256,
	OPT_SANDBOX,
	OPT_SINGLE,
	OPT_NO_SEGUE,
	OPT_NO_ELIM,
	OPT_LOW_TABLE,
	OPT_RENAME,
	OPT_POC,
	OPT_NO_POC,
	OPT_VERSION
};

static const struct option options[] = {
    {"output", required_argument, NULL, 'o'},
    {"arch", required_argument, NULL, 'a'},
    {"cfi", required_argument, NULL, OPT_CFI},
    {"sandbox", required_argument, NULL, OPT_SANDBOX},
    {"single-thread", no_argument, NULL, OPT_SINGLE},
    {"no-segue", no_argument, NULL, OPT_NO_SEGUE},
    {"no-guard-elim", no_argument, NULL, OPT_NO_ELIM},
    {"low-table", no_argument, NULL, OPT_LOW_TABLE},
    {"rename-reserved", no_argument, NULL, OPT_RENAME},
    {"poc", no_argument, NULL, OPT_POC},
    {"no-poc", no_argument, NULL, OPT_NO_POC},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static int
usage_error(const char *what, const char *value)
{
	fprintf(stderr, "lfi-rewrite: %s: %s\n", what, value);
	return EXIT_USAGE;
}

/* The index of `value` in a NULL-terminated list, or -1. */
static int
choose(const char *value, const char *const *list)
{
	for (int i = 0; list[i]; i++)
		if (strcmp(value, list[i]) == 0)
			return i;
	return -1;
}

/* Applies one option; 0, or an exit status. */
static int
take_option(int option, struct LFIRewriteOptions *opts, const char **output)
{
	static const char *const policies[] = {"full", "stores", "jumps", NULL};
	static const char *const bundles[] = {"bundle32", "bundle16", NULL};
	static const char *const targets[] = {"x64", "x86_64", "amd64", NULL};

	switch (option) {
	case 'o':
		*output = optarg;
		return 0;
	case 'a':
		return choose(optarg, targets) < 0 ? usage_error("unknown target", optarg) : 0;
	case OPT_CFI:
		if (choose(optarg, bundles) < 0)
			return usage_error("unknown bundle size (bundle32 or bundle16)", optarg);
		opts->bundle = choose(optarg, bundles) == 0 ? 32 : 16;
		return 0;
	case OPT_SANDBOX:
		opts->policy = choose(optarg, policies);
		return opts->policy < 0 ? usage_error("unknown policy (full, stores or jumps)", optarg) : 0;
	case OPT_SINGLE:
		opts->single_thread = true;
		return 0;
	case OPT_NO_SEGUE:
		opts->no_segue = true;
		return 0;
	case OPT_NO_ELIM:
		opts->no_guard_elim = true;
		return 0;
	case OPT_LOW_TABLE:
		opts->low_table = true;
		return 0;
	case OPT_RENAME:
		opts->rename_reserved = true;
		return 0;
	case OPT_POC:
	case OPT_NO_POC:
		opts->poc = option == OPT_POC;
		return 0;
	default:
		fputs("Try `lfi-rewrite --help`.\n", stderr);
		return EXIT_USAGE;
	}
}

/* All of a stream, malloc'ed; NULL with errno set. */
static char *
read_all(FILE *stream, size_t *size)
{
	size_t room = 65536;
	char *text = malloc(room), *grown;

	for (*size = 0; text; *size += fread(text + *size, 1, room - *size, stream)) {
		if (feof(stream) || ferror(stream))
			break;
		if (*size < room)
			continue;
		grown = realloc(text, room *= 2);
		if (!grown)
			free(text);
		text = grown;
	}
	if (text && ferror(stream)) {
		free(text);
		return NULL;
	}
	return text;
}

static char *
read_input(const char *name, size_t *size)
{
	FILE *stream = name ? fopen(name, "rb") : stdin;
	char *text;
	int err;

	if (!stream)
		return NULL;
	text = read_all(stream, size);
	err = errno;
	if (name)
		fclose(stream);
	errno = err;
	return text;
}

/* The message, the source line, and a caret under the column. */
static void
print_diagnostic(const struct LFIDiagnostic *d, void *user)
{
	fprintf(stderr, "%s:%u:", d->file, d->line);
	if (d->column)
		fprintf(stderr, "%u:", d->column);
	fprintf(stderr, " error: %s\n %s\n", d->message, d->text);
	if (!d->column)
		return;
	fputc(' ', stderr);
	for (unsigned i = 1; i < d->column && d->text[i - 1]; i++)
		fputc(d->text[i - 1] == '\t' ? '\t' : ' ', stderr);
	fputs("^\n", stderr);
}

static int
write_output(const char *name, const char *text, size_t size)
{
	FILE *stream = name ? fopen(name, "wb") : stdout;
	size_t written;

	if (!stream)
		return usage_error(name, strerror(errno));
	written = fwrite(text, 1, size, stream);
	if ((name ? fclose(stream) : fflush(stream)) != 0 || written != size)
		return usage_error(name ? name : "standard output", strerror(errno));
	return 0;
}

static int
rewrite_file(struct LFIRewriteOptions *opts, const char *input, const char *output)
{
	char *text, *result;
	size_t size, result_size;
	int status;

	text = read_input(input, &size);
	if (!text)
		return usage_error(input ? input : "standard input", strerror(errno));
	opts->file = input ? input : "<stdin>";
	status = lfi_rewrite(opts, text, size, &result, &result_size, print_diagnostic, NULL);
	free(text);
	if (status < 0) {
		if (lfi_errno() != LFI_ERR_REWRITE)
			fprintf(stderr, "lfi-rewrite: %s\n", lfi_errmsg());
		return EXIT_REFUSED;
	}
	status = write_output(output, result, result_size);
	lfi_rewrite_free(result);
	return status;
}

int
main(int argc, char **argv)
{
	struct LFIRewriteOptions opts = {.struct_size = sizeof opts};
	const char *output = NULL, *input = NULL;
	int option, status;

	while ((option = getopt_long(argc, argv, "o:a:h", options, NULL)) != -1) {
		if (option == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (option == OPT_VERSION) {
			printf("lfi-rewrite %s\n", lfi_version_string());
			return 0;
		}
		status = take_option(option, &opts, &output);
		if (status)
			return status;
	}
	if (argc - optind > 1)
		return usage_error("one input only", argv[optind + 1]);
	if (optind < argc && strcmp(argv[optind], "-") != 0)
		input = argv[optind];
	return rewrite_file(&opts, input, output);
}
