/* SPDX-License-Identifier: MIT */
/*
 * lfi-verify: says whether the code of a program would be let into a sandbox, and if not, which instruction breaks
 * which rule. Reads ELF and archives itself; the files may be hostile, so every offset in them is checked before it is
 * followed. Not trusted: what is executed is verified again when it is mapped. This file reads files and arguments, and
 * shares the files out to threads; tools/verify has the rest.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "verify.h"

#define FILE_MAX SANDBOX_SIZE /* bytes: what is larger is not read */

/* One file of the command line, and what there is to say about it. */
struct task {
	const char *name;
	char *text, *complaints; /* of out and err */
	size_t text_size, complaints_size;
	int result;
	bool done;
};

struct work {
	const struct arguments *arguments;
	struct progress progress;
	struct task *tasks;
	size_t count;
	_Atomic size_t next; /* that nobody has taken */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a task is done */
};

/* ---- Reading ---- */

/* 0, or an errno value. */
static int
read_all(FILE *stream, bool raw, uint8_t **bytes, size_t *size)
{
	size_t room = 0, got;

	do {
		if (*size == room) {
			uint8_t *more;

			room = room ? 2 * room : 1 << 16;
			more = *size > FILE_MAX ? NULL : realloc(*bytes, room);
			if (!more)
				return *size > FILE_MAX ? EFBIG : ENOMEM;
			*bytes = more;
		}
		got = fread(*bytes + *size, 1, room - *size, stream);
		*size += got;
		/* What is nothing for us need not be read to its end, which may never come. */
		if (!raw && *size >= SELFMAG && memcmp(*bytes, ELFMAG, SELFMAG) != 0 && (*bytes)[0] != '!')
			return 0;
	} while (got);
	return ferror(stream) ? errno : 0;
}

static int
read_file(const char *name, bool raw, uint8_t **bytes, size_t *size)
{
	FILE *stream = strcmp(name, "-") == 0 ? stdin : fopen(name, "rb");
	int err;

	if (!stream)
		return errno;
	err = read_all(stream, raw, bytes, size);
	if (stream != stdin)
		fclose(stream);
	return err;
}

/* ---- Work ---- */

static int
file_verify(const struct arguments *arguments, struct progress *progress, const char *name, FILE *out, FILE *err)
{
	struct unit unit = {.arguments = arguments,
	    .progress = progress,
	    .out = out,
	    .err = err,
	    .file = strcmp(name, "-") == 0 ? "(standard input)" : name};
	uint8_t *bytes = NULL;
	size_t size = 0;
	int result, error = read_file(name, arguments->raw, &bytes, &size);

	unit.bytes = bytes;
	unit.size = size;
	if (error) {
		report_begin(&unit);
		result = unreadable(&unit, "%s", strerror(error));
		report_end(&unit, result);
	} else if (!arguments->raw && archive_is(bytes, size)) {
		result = archive_verify(&unit, bytes, size);
	} else {
		result = unit_verify(&unit);
	}
	free(bytes);
	return result;
}

static void
task_run(struct work *work, struct task *task)
{
	FILE *out = open_memstream(&task->text, &task->text_size);
	FILE *err = open_memstream(&task->complaints, &task->complaints_size);

	if (out && err) {
		task->result = file_verify(work->arguments, &work->progress, task->name, out, err);
	} else {
		fprintf(stderr, "lfi-verify: %s: not enough memory\n", task->name);
		task->result = UNREADABLE;
	}
	if (out)
		fclose(out);
	if (err)
		fclose(err);
}

static void *
worker(void *argument)
{
	struct work *work = argument;
	size_t i;

	while ((i = atomic_fetch_add(&work->next, 1)) < work->count) {
		task_run(work, &work->tasks[i]);
		atomic_fetch_add(&work->progress.files, 1);
		pthread_mutex_lock(&work->lock);
		work->tasks[i].done = true;
		pthread_cond_signal(&work->changed);
		pthread_mutex_unlock(&work->lock);
	}
	return NULL;
}

/* A line for who waits, after a second of waiting. */
static void
progress_print(struct work *work, unsigned waited)
{
	if (waited < 5)
		return;
	fprintf(stderr, "\rlfi-verify: %zu of %zu files, %.1f MB of code\033[K", atomic_load(&work->progress.files),
	    work->count, (double) atomic_load(&work->progress.bytes) / 1e6);
	fflush(stderr);
}

/* Until the task is done. */
static void
task_wait(struct work *work, struct task *task)
{
	static unsigned waited; /* fifths of a second, for all tasks */
	bool shows = isatty(STDERR_FILENO) && !work->arguments->quiet;

	pthread_mutex_lock(&work->lock);
	while (!task->done) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 200000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		if (pthread_cond_timedwait(&work->changed, &work->lock, &until) == ETIMEDOUT && shows)
			progress_print(work, ++waited);
	}
	pthread_mutex_unlock(&work->lock);
	if (shows && waited >= 5)
		fputs("\r\033[K", stderr);
}

/* In the order of the command line. A JSON list has no comma in front of its first. */
static void
task_print(struct task *task, bool *first)
{
	size_t skip = 0;

	if (*first && task->text_size > 0 && task->text[0] == ',') {
		*first = false;
		skip = 1;
	}
	if (task->text)
		fwrite(task->text + skip, 1, task->text_size - skip, stdout);
	fflush(stdout);
	if (task->complaints)
		fwrite(task->complaints, 1, task->complaints_size, stderr);
	free(task->text);
	free(task->complaints);
}

static int
work_run(struct work *work)
{
	pthread_t threads[JOBS_MAX];
	unsigned started = 0;
	bool first = work->arguments->json;
	int worst = ACCEPTED;

	while (started < work->arguments->jobs && started < work->count &&
	       pthread_create(&threads[started], NULL, worker, work) == 0)
		started++;
	if (started == 0)
		worker(work);
	for (size_t i = 0; i < work->count; i++) {
		task_wait(work, &work->tasks[i]);
		task_print(&work->tasks[i], &first);
		if (work->tasks[i].result > worst)
			worst = work->tasks[i].result;
	}
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	return worst;
}

static int
files_verify(const struct arguments *arguments, char *const *names, size_t count)
{
	struct work work = {.arguments = arguments, .count = count, .tasks = calloc(count, sizeof *work.tasks)};
	int status;

	if (!work.tasks) {
		fputs("lfi-verify: not enough memory\n", stderr);
		return UNREADABLE;
	}
	pthread_mutex_init(&work.lock, NULL);
	pthread_cond_init(&work.changed, NULL);
	for (size_t i = 0; i < count; i++)
		work.tasks[i].name = names[i];
	report_open(arguments);
	status = work_run(&work);
	report_close(arguments, status);
	free(work.tasks);
	if (fflush(stdout) != 0) {
		perror("lfi-verify: standard output");
		return UNREADABLE;
	}
	return status;
}

/* ---- Arguments ---- */

static void
usage(FILE *to)
{
	fputs("usage: lfi-verify [options] FILE...\n"
	      "Says whether the code of each file would be let into a sandbox: programs, libraries, objects and "
	      "archives\n"
	      "of objects; - is the standard input.\n\n"
	      "  -s, --sandbox=full|stores|jumps  what is confined (default full)\n"
	      "      --cfi=bundle32|bundle16      size of bundles (default bundle32)\n"
	      "      --single-thread              accept the single-thread return\n"
	      "      --no-rdtsc                   refuse rdtsc and rdtscp\n"
	      "      --raw                        the files are flat code, not ELF\n"
	      "      --offset=N                   where flat code will be, from the base (default 0x100000)\n\n"
	      "      --max-errors=N               show at most N violations of a file (default 20; 0: all)\n"
	      "      --disassemble-violations     show their bytes, and what objdump makes of them\n"
	      "      --features                   say which processors run the code, and what it uses of them\n"
	      "      --stats                      say what the code consists of\n"
	      "      --json                       print all of it as JSON\n"
	      "  -j, --jobs=N                     use N threads, for several files or the parts of large ones\n"
	      "                                   (default: number of processors)\n"
	      "  -q, --quiet                      print nothing but what cannot be read\n"
	      "  -h, --help                       print this\n"
	      "      --version                    print the version\n\n"
	      "Exit status: 0 all accepted, 1 one refused, 2 one not readable or bad usage.\n",
	    to);
}

enum {
	OPT_CFI = 256,
	OPT_SINGLE,
	OPT_RDTSC,
	OPT_MAX,
	OPT_RAW,
	OPT_OFFSET,
	OPT_DISASSEMBLE,
	OPT_FEATURES,
	OPT_STATS,
	OPT_JSON,
	OPT_VERSION,
};

static const struct option options[] = {
    {"sandbox", required_argument, NULL, 's'},
    {"cfi", required_argument, NULL, OPT_CFI},
    {"single-thread", no_argument, NULL, OPT_SINGLE},
    {"no-rdtsc", no_argument, NULL, OPT_RDTSC},
    {"max-errors", required_argument, NULL, OPT_MAX},
    {"raw", no_argument, NULL, OPT_RAW},
    {"offset", required_argument, NULL, OPT_OFFSET},
    {"disassemble-violations", no_argument, NULL, OPT_DISASSEMBLE},
    {"features", no_argument, NULL, OPT_FEATURES},
    {"stats", no_argument, NULL, OPT_STATS},
    {"json", no_argument, NULL, OPT_JSON},
    {"jobs", required_argument, NULL, 'j'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static int
bad_value(const char *option, const char *value)
{
	fprintf(stderr, "lfi-verify: --%s: not a value: %s\n", option, value);
	return UNREADABLE;
}

static int
take_number(const char *option, const char *value, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(value, &end, 0);
	if (errno || *end || end == value || *value == '-')
		return bad_value(option, value);
	return 0;
}

static int
take_sandbox(struct arguments *a, const char *value)
{
	static const char *const names[] = {"full", "stores", "jumps"};

	for (int i = 0; i < 3; i++) {
		if (strcmp(value, names[i]) == 0) {
			a->verify.policy = i; /* enum LFIPolicy has this order */
			return 0;
		}
	}
	return bad_value("sandbox", value);
}

static int
take_cfi(struct arguments *a, const char *value)
{
	if (strcmp(value, "bundle32") == 0)
		a->verify.bundle = 32;
	else if (strcmp(value, "bundle16") == 0)
		a->verify.bundle = 16;
	else
		return bad_value("cfi", value);
	return 0;
}

static int
take_jobs(struct arguments *a, const char *value)
{
	uint64_t number;

	if (take_number("jobs", value, &number))
		return UNREADABLE;
	if (number == 0)
		return bad_value("jobs", value);
	a->jobs = number < JOBS_MAX ? (unsigned) number : JOBS_MAX;
	return 0;
}

static int
take_option(struct arguments *a, int option)
{
	uint64_t number;

	switch (option) {
	case 's':
		return take_sandbox(a, optarg);
	case OPT_CFI:
		return take_cfi(a, optarg);
	case OPT_SINGLE:
		a->verify.single_thread = true;
		return 0;
	case OPT_RDTSC:
		a->verify.no_rdtsc = true;
		return 0;
	case OPT_MAX:
		if (take_number("max-errors", optarg, &number))
			return UNREADABLE;
		a->max_errors = number;
		return 0;
	case OPT_RAW:
		a->raw = true;
		return 0;
	case OPT_OFFSET:
		return take_number("offset", optarg, &a->offset);
	case OPT_DISASSEMBLE:
		a->disassemble = true;
		return 0;
	case OPT_FEATURES:
		a->features = true;
		return 0;
	case OPT_STATS:
		a->stats = true;
		return 0;
	case OPT_JSON:
		a->json = true;
		return 0;
	case 'j':
		return take_jobs(a, optarg);
	case 'q':
		a->quiet = true;
		return 0;
	case 'h':
		usage(stdout);
		exit(0);
	case OPT_VERSION:
		puts("lfi-verify " LFI_VERSION_STRING);
		exit(0);
	default:
		usage(stderr);
		return UNREADABLE;
	}
}

int
main(int argc, char **argv)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	struct arguments a = {
	    .verify = {.struct_size = sizeof a.verify},
	    .max_errors = 20,
	    .offset = 0x100000,
	    .jobs = processors < 1                 ? 1
		    : processors < (long) JOBS_MAX ? (unsigned) processors
						   : JOBS_MAX,
	};
	size_t count;
	int option;

	while ((option = getopt_long(argc, argv, "s:j:qh", options, NULL)) != -1)
		if (take_option(&a, option))
			return UNREADABLE;
	if (optind == argc) {
		usage(stderr);
		return UNREADABLE;
	}
	if (a.json && a.quiet) {
		fputs("lfi-verify: --json and --quiet exclude each other\n", stderr);
		return UNREADABLE;
	}
	a.verify.max_violations = SIZE_MAX; /* take_violation stops it */
	count = (size_t) (argc - optind);
	a.split = a.jobs > count ? (unsigned) (a.jobs / count) : 1;
	return files_verify(&a, argv + optind, count);
}
