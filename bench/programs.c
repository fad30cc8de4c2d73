/* SPDX-License-Identifier: MIT */
/*
 * What full sandboxing costs: runs each program natively, sandboxed and, when
 * it is there, sandboxed with single-thread returns, in turn, and compares the
 * medians of the CPU times and the sizes of the machine code. Prints a table,
 * writes JSON, decides nothing. Started by bench/run.sh.
 *
 *   programs [--rounds N] [--json FILE] BUILD SOURCE
 */
#include <elf.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ROUNDS = 51, KINDS = 3 };

/* A program: BUILD/programs/<program>{.native,.lfi,.st.lfi}; `@` in an argument is the SOURCE folder. */
struct row {
	const char *name;
	const char *program;
	const char *args[4];
	const char *stdin_file; /* in BUILD/bench */
};

static const struct row rows[] = {
    {"lua calls", "lua", {"@/bench/lua/calls.lua"}, NULL},
    {"lua allocation", "lua", {"@/bench/lua/alloc.lua"}, NULL},
    {"lua strings", "lua", {"@/bench/lua/strings.lua"}, NULL},
    {"lua floats", "lua", {"@/bench/lua/floats.lua"}, NULL},
    {"minigzip compress", "minigzip", {"-6"}, "corpus"},
    {"minigzip decompress", "minigzip", {"-d"}, "corpus.gz"},
    {"kernel matmul", "matmul", {NULL}, NULL},
    {"kernel sort", "sort", {NULL}, NULL},
    {"kernel sha256", "sha256", {NULL}, NULL},
};

static const char *const kinds[KINDS] = {"native", "full", "single-thread"};
static const char *const suffixes[KINDS] = {".native", ".lfi", ".st.lfi"};

static const char *build, *source;

static char *
text(const char *a, const char *b, const char *c)
{
	char *out;

	if (asprintf(&out, "%s%s%s", a, b, c) < 0)
		abort();
	return out;
}

static char *
program_path(const struct row *row, int kind)
{
	char *folder = text(build, "/programs/", row->program);
	char *path = text(folder, suffixes[kind], "");

	free(folder);
	return path;
}

/* Bytes of machine code: the executable segments of an ELF file; 0 when it cannot be read. */
static size_t
code_size(const char *path)
{
	FILE *f = fopen(path, "rb");
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	size_t size = 0;

	if (!f)
		return 0;
	if (fread(&header, sizeof header, 1, f) == 1) {
		for (int i = 0; i < header.e_phnum; i++) {
			if (fseek(f, (long) (header.e_phoff + i * sizeof segment), SEEK_SET) ||
			    fread(&segment, sizeof segment, 1, f) != 1)
				break;
			if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X))
				size += segment.p_filesz;
		}
	}
	fclose(f);
	return size;
}

static void
run_child(const struct row *row, int kind)
{
	char *argv[16];
	int n = 0, null = open("/dev/null", O_RDWR);
	char *input = row->stdin_file ? text(build, "/bench/", row->stdin_file) : NULL;
	int in = input ? open(input, O_RDONLY) : null;

	if (in < 0 || null < 0) {
		perror(input);
		_exit(126);
	}
	if (kind > 0) {
		argv[n++] = text(build, "/bin/lfi-run", "");
		argv[n++] = text("--dir=/bench=", source, "/bench");
		if (kind == 2)
			argv[n++] = text("--single-thread", "", "");
	}
	argv[n++] = program_path(row, kind);
	for (int i = 0; i < 4 && row->args[i]; i++)
		argv[n++] = row->args[i][0] == '@' ? text(kind > 0 ? "" : source, row->args[i] + 1, "")
						   : text(row->args[i], "", "");
	argv[n] = NULL;
	dup2(in, 0);
	dup2(null, 1);
	execv(argv[0], argv);
	perror(argv[0]);
	_exit(126);
}

/* CPU seconds of one run; negative when it failed. */
static double
run(const struct row *row, int kind)
{
	struct rusage usage;
	int status;
	pid_t pid = fork();

	if (pid == 0)
		run_child(row, kind);
	if (pid < 0 || wait4(pid, &status, 0, &usage) < 0)
		return -1;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "programs: %s (%s) failed with status %#x\n", row->name, kinds[kind], status);
		return -1;
	}
	return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

static double
median(double *values, int n)
{
	qsort(values, (size_t) n, sizeof *values, by_value);
	return values[n / 2];
}

int
main(int argc, char **argv)
{
	int rounds = 5, failures = 0, measured[KINDS] = {0};
	const char *json_path = NULL;
	double sums[KINDS] = {0}, size_sums[KINDS] = {0};
	FILE *json;

	while (argc > 1 && argv[1][0] == '-') {
		if (argc > 2 && strcmp(argv[1], "--rounds") == 0)
			rounds = atoi(argv[2]);
		else if (argc > 2 && strcmp(argv[1], "--json") == 0)
			json_path = argv[2];
		else
			break;
		argc -= 2;
		argv += 2;
	}
	if (argc != 3 || rounds < 1 || rounds > MAX_ROUNDS) {
		fprintf(stderr, "usage: programs [--rounds 1..%d] [--json FILE] BUILD SOURCE\n", MAX_ROUNDS);
		return 2;
	}
	build = argv[1];
	source = argv[2];
	json = fopen(json_path ? json_path : "/dev/null", "w");
	if (!json) {
		perror(json_path);
		return 2;
	}
	fprintf(json, "{\"rounds\": %d, \"programs\": [", rounds);
	printf("%-22s %10s %8s %8s   %8s %8s\n", "CPU time", "native s", "full", "single", "size", "size st");
	for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
		double times[KINDS][MAX_ROUNDS], m[KINDS] = {0};
		size_t sizes[KINDS];
		bool ok[KINDS];

		for (int k = 0; k < KINDS; k++) {
			char *path = program_path(&rows[r], k);

			sizes[k] = code_size(path);
			ok[k] = sizes[k] > 0;
			free(path);
		}
		for (int i = 0; i < rounds; i++)
			for (int k = 0; k < KINDS; k++)
				if (ok[k] && (times[k][i] = run(&rows[r], k)) < 0)
					ok[k] = false;
		fprintf(json, "%s\n  {\"name\": \"%s\"", r ? "," : "", rows[r].name);
		for (int k = 0; k < KINDS; k++) {
			if (!ok[k])
				continue;
			m[k] = median(times[k], rounds);
			fprintf(json, ", \"%s_s\": %.6f, \"%s_code\": %zu", kinds[k], m[k], kinds[k], sizes[k]);
			if (ok[0]) {
				sums[k] += log(m[k] / m[0]);
				size_sums[k] += log((double) sizes[k] / (double) sizes[0]);
				measured[k]++;
			}
		}
		failures += !ok[0] || !ok[1];
		fprintf(json, "}");
		printf("%-22s %10.3f", rows[r].name, m[0]);
		for (int k = 1; k < KINDS; k++)
			ok[0] && ok[k] ? printf(" %8.3f", m[k] / m[0]) : printf(" %8s", "-");
		printf("  ");
		for (int k = 1; k < KINDS; k++)
			ok[0] && ok[k] ? printf(" %8.3f", (double) sizes[k] / (double) sizes[0]) : printf(" %8s", "-");
		printf("\n");
		fflush(stdout);
	}
	printf("%-22s %10s", "geometric mean", "");
	for (int k = 1; k < KINDS; k++)
		measured[k] ? printf(" %8.3f", exp(sums[k] / measured[k])) : printf(" %8s", "-");
	printf("  ");
	for (int k = 1; k < KINDS; k++)
		measured[k] ? printf(" %8.3f", exp(size_sums[k] / measured[k])) : printf(" %8s", "-");
	printf("\n");
	fprintf(json, "\n], \"full\": %.4f, \"single_thread\": %.4f}\n", exp(sums[1] / (measured[1] ? measured[1] : 1)),
	    exp(sums[2] / (measured[2] ? measured[2] : 1)));
	fclose(json);
	return failures ? 1 : 0;
}
