/* SPDX-License-Identifier: MIT */
/*
 * The torture runner: reads its options, chooses the combinations, has worker threads run them, and reports. Started by
 * torture.sh, which fetches the suite. Its exit status is 0 when nothing failed, 1 when something did, 2 when it could
 * not run.
 */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct options {
	const char *build, *suite, *excluded, *list, *compilers, *levels, *lfi_cc, *lfi_run, *native, *extra;
	long sample;     /* 0: all */
	int jobs, limit; /* limit in seconds */
	bool keep;
} options = {.compilers = "gcc,clang", .levels = "0,2,3", .jobs = 2, .limit = 40};

static struct programs programs;
static struct words compilers, levels;
static struct combination *combinations;
static struct result *results;
static size_t n_combinations;
static struct setup setup;
static char *folder; /* BUILD/torture */
static atomic_size_t next, done;

/* ---- Options ---- */

static _Noreturn void
usage(FILE *out, int status)
{
	fputs(
	    "usage: torture.sh --build BUILD [--sample N | --all] [--jobs N] [--compilers gcc,clang] [--levels 0,2,3]\n"
	    "                  [--list FILE] [--keep]\n"
	    "\n"
	    "Compiles the programs of gcc.c-torture/execute with BUILD/bin/lfi-cc, runs them in BUILD/bin/lfi-run, and "
	    "compares\n"
	    "exit status and output with the same programs compiled natively.\n"
	    "\n"
	    "  --sample N          N combinations of program, compiler and level, spread over all of them\n"
	    "  --all               all of them (default)\n"
	    "  --jobs N            so many at a time (default 2)\n"
	    "  --compilers, --levels  those with which each program is compiled\n"
	    "  --options TEXT      further options for the compiler, such as -march=x86-64-v3\n"
	    "  --list FILE         only those that FILE names, one `PROGRAM [COMPILER [-OLEVEL]]` a line; failed.txt "
	    "is such a file\n"
	    "  --keep              keep the compiled programs of failures in BUILD/torture/kept\n"
	    "  --limit SECONDS     time limit of a sandboxed run (default 40; native runs have 10)\n"
	    "  --suite DIR         programs of this folder instead of those of Debian's gcc-12-source\n"
	    "  --lfi-cc CMD, --lfi-run CMD   commands in place of BUILD/bin/lfi-cc and lfi-run\n"
	    "  --native CMD        native compiler command, %c in it stands for the compiler's name\n"
	    "\n"
	    "The environment variable LFI_GCC_SOURCE_TARBALL names a gcc-12-source package to use instead of fetching "
	    "it.\n"
	    "Results are in BUILD/torture: failed.txt, skipped.txt; native-cache keeps native results for the next "
	    "run.\n",
	    out);
	exit(status);
}

static long
number(const char *argument, const char *option)
{
	char *end;
	long value = strtol(argument, &end, 10);

	if (*end || value < 1)
		die("%s: '%s' is no positive number", option, argument);
	return value;
}

static void
options_read(int argc, char **argv)
{
	static const struct option known[] = {
	    {"build", 1, NULL, 'b'},
	    {"suite", 1, NULL, 'u'},
	    {"excluded", 1, NULL, 'x'},
	    {"sample", 1, NULL, 's'},
	    {"all", 0, NULL, 'a'},
	    {"jobs", 1, NULL, 'j'},
	    {"compilers", 1, NULL, 'c'},
	    {"levels", 1, NULL, 'l'},
	    {"list", 1, NULL, 'f'},
	    {"keep", 0, NULL, 'k'},
	    {"lfi-cc", 1, NULL, 'C'},
	    {"lfi-run", 1, NULL, 'R'},
	    {"native", 1, NULL, 'n'},
	    {"help", 0, NULL, 'h'},
	    {"limit", 1, NULL, 't'},
	    {"options", 1, NULL, 'o'},
	    {0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'b':
			options.build = optarg;
			break;
		case 'u':
			options.suite = optarg;
			break;
		case 'x':
			options.excluded = optarg;
			break;
		case 's':
			options.sample = number(optarg, "--sample");
			break;
		case 'a':
			options.sample = 0;
			break;
		case 'j':
			options.jobs = (int) number(optarg, "--jobs");
			break;
		case 'c':
			options.compilers = optarg;
			break;
		case 'l':
			options.levels = optarg;
			break;
		case 'f':
			options.list = optarg;
			break;
		case 'k':
			options.keep = true;
			break;
		case 'C':
			options.lfi_cc = optarg;
			break;
		case 'R':
			options.lfi_run = optarg;
			break;
		case 'n':
			options.native = optarg;
			break;
		case 'o':
			options.extra = optarg;
			break;
		case 't':
			options.limit = (int) number(optarg, "--limit");
			break;
		case 'h':
			usage(stdout, 0);
		default:
			usage(stderr, 2);
		}
	}
	if (optind < argc || !options.build || !options.suite || options.jobs > 64)
		usage(stderr, 2);
}

/* ---- What the native side is ---- */

static uint64_t
hash_first_line(uint64_t hash, const char *command)
{
	char line[512];
	FILE *pipe = popen(command, "re");

	if (!pipe || !fgets(line, sizeof line, pipe))
		die("`%s` does not work", command);
	while (fgetc(pipe) != EOF)
		;
	pclose(pipe);
	return hash_text(hash, line);
}

static uint64_t
native_identity(const char *compiler)
{
	char *command = text("%s --version", compiler), *libc;
	uint64_t hash = hash_first_line(HASH_START, command);
	size_t size;

	free(command);
	if (!setup.sysroot)
		return hash;
	command = text("%s/lib/libc.a", setup.sysroot);
	libc = file_read(command, &size);
	if (!libc)
		die("cannot read %s", command);
	hash = hash_bytes(hash, libc, size);
	free(libc);
	free(command);
	return hash;
}

/* The native musl of the build, if it is there, else the system's libc. */
static void
native_find(void)
{
	char *sysroot = text("%s/native-sysroot", options.build), *start = text("%s/lib/rcrt1.o", sysroot);

	setup.native = options.native;
	if (!options.native && access(start, R_OK) == 0)
		setup.sysroot = must(strdup(sysroot));
	printf("native side: %s\n", setup.sysroot    ? setup.sysroot
				    : options.native ? options.native
						     : "the system's libc");
	free(start);
	free(sysroot);
}

/* ---- Which combinations ---- */

/* A line of excluded.txt or --list: `PROGRAM [COMPILER [-OLEVEL]]`, then `: text`. */
struct row {
	struct words words;
	const char *text;
};

struct rows {
	struct row *at;
	size_t n;
};

static void
row_add(struct rows *rows, char *line)
{
	char *colon = strchr(line, ':');
	struct row row = {.text = colon ? colon + 1 + strspn(colon + 1, " ") : ""};

	if (colon)
		*colon = '\0';
	words_split(&row.words, line, " \t");
	if (!row.words.n)
		return;
	rows->at = must(realloc(rows->at, (rows->n + 1) * sizeof *rows->at));
	rows->at[rows->n++] = row;
}

/* Lines that start with a space continue what stands above them, for people. */
static struct rows
rows_read(const char *path)
{
	char *contents = file_read(path, NULL);
	struct words lines = {0};
	struct rows rows = {0};

	if (!contents)
		die("cannot read %s: %s", path, strerror(errno));
	words_split(&lines, contents, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		if (!strchr("# \t", lines.word[i][0]))
			row_add(&rows, lines.word[i]);
	}
	free(contents);
	return rows;
}

static bool
row_names(const struct row *row, const struct combination *c)
{
	const char *name = row->words.word[0];
	size_t n = strlen(name);

	if (strncmp(name, c->program->name, n) != 0 ||
	    (strcmp(c->program->name + n, "") != 0 && strcmp(c->program->name + n, ".c") != 0))
		return false;
	if (row->words.n > 1 && strcmp(row->words.word[1], c->compiler) != 0)
		return false;
	return row->words.n < 3 || strcmp(row->words.word[2] + 2, c->level) == 0;
}

static const struct row *
rows_find(const struct rows *rows, const struct combination *c)
{
	for (size_t i = 0; i < rows->n; i++) {
		if (row_names(&rows->at[i], c))
			return &rows->at[i];
	}
	return NULL;
}

/* Every combination that the list names, sorted by program, then compiler, then level. */
static void
combinations_make(const struct rows *list, const struct rows *excluded)
{
	uint64_t identity[compilers.n];

	for (size_t i = 0; i < compilers.n; i++)
		identity[i] = native_identity(compilers.word[i]);
	combinations = must(calloc(programs.n * compilers.n * levels.n, sizeof *combinations));
	for (size_t i = 0; i < programs.n * compilers.n * levels.n; i++) {
		size_t compiler = i / levels.n % compilers.n;
		struct combination c = {&programs.at[i / levels.n / compilers.n], compilers.word[compiler],
		    levels.word[i % levels.n], identity[compiler], NULL};
		const struct row *row = rows_find(excluded, &c);

		if (row)
			c.excluded = row->text;
		if (!list || rows_find(list, &c))
			combinations[n_combinations++] = c;
	}
}

/*
 * Keeps n of them, evenly spread. Where n is smaller than the number of programs, taking every k-th would meet the same
 * compiler and level again and again when k is a multiple of their number; so the list is cut into n parts and part i
 * gives the first element that has variant i.
 */
static void
sample_take(size_t n)
{
	size_t variants = compilers.n * levels.n, kept = 0;

	if (n >= n_combinations)
		return;
	for (size_t i = 0; i < n; i++) {
		size_t start = i * n_combinations / n, end = (i + 1) * n_combinations / n, at = start;

		while (at < end && at % variants != i % variants)
			at++;
		combinations[kept++] = combinations[at < end ? at : start];
	}
	n_combinations = kept;
}

/* ---- Running ---- */

static void *
work(void *number)
{
	size_t i;

	while (!children_stopped() && (i = next++) < n_combinations) {
		results[i] = combination_run(&setup, &combinations[i], (int) (intptr_t) number);
		done++;
	}
	return NULL;
}

/* A line that changes, for a person; a line for each tenth otherwise. */
static void
progress(size_t now, bool terminal, size_t *shown)
{
	size_t tenth = now * 10 / n_combinations;

	if (terminal)
		printf("\r%zu of %zu ", now, n_combinations);
	else if (tenth > *shown)
		printf("%zu %%\n", tenth * 10);
	*shown = tenth;
	fflush(stdout);
}

/* Waits for the workers to finish or for a signal to stop them; the signal or 0. */
static int
supervise(const sigset_t *signals)
{
	struct timespec quarter = {0, 250000000};
	bool terminal = isatty(1);
	size_t shown = 0;
	int signal = 0;

	while (done < n_combinations && signal <= 0) {
		signal = sigtimedwait(signals, NULL, &quarter);
		progress(done, terminal, &shown);
	}
	if (terminal)
		printf("\r");
	return signal > 0 ? signal : 0;
}

/* The signals stay blocked, so that a second one cannot keep us from removing our files. */
static int
run_all(void)
{
	pthread_t threads[options.jobs];
	sigset_t signals;
	int signal;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	for (int i = 0; i < options.jobs; i++) {
		if (pthread_create(&threads[i], NULL, work, (void *) (intptr_t) i) != 0)
			die("cannot start a thread");
	}
	signal = supervise(&signals);
	if (signal)
		children_stop();
	for (int i = 0; i < options.jobs; i++)
		pthread_join(threads[i], NULL);
	return signal;
}

/* ---- Report ---- */

static bool
failed(enum verdict verdict)
{
	return verdict > SKIPPED;
}

/* One file with the combinations for which `want` holds; returns how many. */
static size_t
list_write(const char *name, bool want_failed)
{
	char *path = text("%s/%s", folder, name);
	FILE *file = fopen(path, "we");
	size_t n = 0;

	if (!file)
		die("cannot write %s: %s", path, strerror(errno));
	for (size_t i = 0; i < n_combinations; i++) {
		const struct combination *c = &combinations[i];

		if (results[i].verdict == PASSED || failed(results[i].verdict) != want_failed)
			continue;
		fprintf(file, "%s %s -O%s: %s: %s\n", c->program->name, c->compiler, c->level,
		    verdict_names[results[i].verdict], results[i].detail);
		if (results[i].reproduce)
			fprintf(file, "    %s\n", results[i].reproduce);
		n++;
	}
	if (fclose(file) != 0)
		die("cannot write %s: %s", path, strerror(errno));
	free(path);
	return n;
}

/* A line for each verdict that came up, with its number for each compiler and level. */
static void
verdict_print(enum verdict verdict)
{
	size_t counts[compilers.n * levels.n], all = 0;

	memset(counts, 0, sizeof counts);
	for (size_t i = 0; i < n_combinations; i++) {
		for (size_t v = 0; results[i].verdict == verdict && v < compilers.n * levels.n; v++)
			counts[v] += combinations[i].compiler == compilers.word[v / levels.n] &&
				     combinations[i].level == levels.word[v % levels.n];
		all += results[i].verdict == verdict;
	}
	if (!all)
		return;
	printf("%-26s %6zu ", verdict_names[verdict], all);
	for (size_t v = 0; v < compilers.n * levels.n; v++)
		printf("  %s -O%s %zu", compilers.word[v / levels.n], levels.word[v % levels.n], counts[v]);
	printf("\n");
}

static bool
report(void)
{
	size_t n_failed = list_write("failed.txt", true), n_skipped = list_write("skipped.txt", false);

	for (enum verdict verdict = PASSED; verdict < VERDICTS; verdict++)
		verdict_print(verdict);
	if (n_failed)
		printf("failures, with the commands to reproduce them: %s/failed.txt\n", folder);
	printf("%zu passed, %zu failed, %zu skipped\n", n_combinations - n_failed - n_skipped, n_failed, n_skipped);
	return n_failed == 0;
}

/* ---- Folders ---- */

static void
remove_tree(const char *path)
{
	char *command = text("exec rm -rf '%s'", path);

	if (system(command) != 0)
		die("cannot remove %s", path);
	free(command);
}

static char *
fresh_folder(const char *name)
{
	char *path = text("%s/%s", folder, name);

	remove_tree(path);
	if (mkdir(path, 0777) < 0)
		die("cannot make %s: %s", path, strerror(errno));
	return path;
}

/* One run at a time for each build: its files have fixed names. What an earlier run could not remove goes here. */
static void
folders_make(void)
{
	char *lock, *cache;
	int fd;

	folder = text("%s/torture", options.build);
	lock = text("%s/lock", folder);
	cache = text("%s/native-cache", folder);
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		die("cannot write %s: %s", lock, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		die("another torture run is using %s", folder);
	setup.work = fresh_folder("work");
	setup.kept = options.keep ? fresh_folder("kept") : NULL;
	cache_open(cache);
	free(cache);
	free(lock);
}

static void
command_read(struct words *command, const char *given, const char *name)
{
	char *path = text("%s/bin/%s", options.build, name);

	if (given)
		words_split(command, given, " ");
	else if (access(path, X_OK) == 0)
		words_add(command, path);
	else
		die("there is no %s: build it first", path);
	free(path);
}

/* Ends as the signal would have ended us, so that a calling shell knows. */
static _Noreturn void
die_of(int signal_number)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, signal_number);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
	_exit(2);
}

int
main(int argc, char **argv)
{
	struct rows list, excluded = {0};
	int signal;

	options_read(argc, argv);
	words_split(&compilers, options.compilers, ",");
	words_split(&levels, options.levels, ",");
	setup.suite = options.suite;
	setup.limit_ms = options.limit * 1000;
	words_split(&setup.options, options.extra ? options.extra : "", " ");
	command_read(&setup.lfi_cc, options.lfi_cc, "lfi-cc");
	command_read(&setup.lfi_run, options.lfi_run, "lfi-run");
	if (options.excluded)
		excluded = rows_read(options.excluded);
	if (options.list)
		list = rows_read(options.list);
	programs_read(&programs, options.suite);
	folders_make();
	native_find();
	combinations_make(options.list ? &list : NULL, &excluded);
	if (options.sample)
		sample_take((size_t) options.sample);
	if (!n_combinations)
		die("there is nothing to run");
	results = must(calloc(n_combinations, sizeof *results));
	printf("%zu programs, %zu combinations of program, compiler and level\n", programs.n, n_combinations);
	fflush(stdout);

	signal = run_all();
	remove_tree(setup.work);
	if (signal)
		die_of(signal);
	return report() ? 0 : 1;
}
