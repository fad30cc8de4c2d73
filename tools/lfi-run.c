/* SPDX-License-Identifier: MIT */
/*
 * lfi-run: runs a sandboxed program with an emulated Linux around it. A client
 * of the public headers like any other.
 */
#include <lfi/lfi.h>

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

/* As env and timeout have them. */
enum { EXIT_TIMEOUT = 124, EXIT_OWN = 125, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127, EXIT_SIGNAL = 128 };

static const char usage_text[] =
    "usage: lfi-run [options] [--] PROGRAM [ARGUMENT...]\n"
    "\n"
    "Runs PROGRAM, made by lfi-cc, in a sandbox. Its code is verified first. It\n"
    "sees no files, no environment and no network of this machine but what the\n"
    "options give it; standard input, output and error are inherited.\n"
    "\n"
    "  --dir BOX=HOST[:ro]   the program sees directory HOST as BOX (read-only with :ro)\n"
    "  --wd DIR              its working directory, as it sees it (default /)\n"
    "  --env NAME=VALUE      an environment variable\n"
    "  --inherit-env         all of lfi-run's environment\n"
    "  --sandbox=POLICY      what it was built for: full (default), stores, jumps\n"
    "  --cfi=BUNDLE          bundle32 (default), bundle16\n"
    "  --single-thread       it may use single-thread returns; it cannot make threads\n"
    "  --timeout SECONDS     end it then, with exit status 124; fractions are fine\n"
    "  --memory-limit SIZE   it maps at most SIZE bytes, program and stacks included; K, M, G: KiB, MiB, GiB\n"
    "  --cpu-limit SECONDS   it uses at most so much CPU time; then it ends as by SIGXCPU, with exit status 152\n"
    "  --max-threads N       it has at most N threads\n"
    "  --max-files N         its descriptors are below N\n"
    "  --no-verify           unsafe: run code that was not verified\n"
    "  --exit-unknown        end it at a system call that is not known\n"
    "  --stats               what it used, to standard error when it has ended\n"
    "  --perf                write /tmp/perf-PID.map for perf\n"
    "  --verbose             log system calls to standard error\n"
    "  --help, --version\n"
    "\n"
    "Options end at PROGRAM: what follows is the program's.\n"
    "\n"
    "Exit status: the program's; 128 + N when signal N or a fault ended it; 124 when\n"
    "its time was over; 125 when lfi-run failed (bad options, no sandbox); 126 when\n"
    "PROGRAM cannot be run (not a program for us, does not verify); 127 when there is no PROGRAM.\n";

/* A growing list of strings, NULL-terminated. */
struct List {
	const char **items;
	size_t count;
};

struct Options {
	struct LFIOptions engine;
	struct LFILinuxOptions linux_;
	struct List dirs;
	struct List env;
	struct LFILimits limits;
	double timeout; /* seconds; 0: none */
	bool stats;
};

static void fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

static void
fail(int status, const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	/* The analyser loses va_start here. NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	fprintf(stderr, "lfi-run: %s\n", message);
	exit(status);
}

static void
append(struct List *list, const char *item)
{
	const char **items = realloc(list->items, (list->count + 2) * sizeof *items);

	if (!items)
		fail(EXIT_OWN, "no memory");
	list->items = items;
	items[list->count++] = item;
	items[list->count] = NULL;
}

static void
set_sandbox(struct Options *options, const char *value)
{
	options->engine.stores_only = strcmp(value, "stores") == 0;
	options->engine.jumps_only = strcmp(value, "jumps") == 0;
	if (strcmp(value, "full") != 0 && !options->engine.stores_only && !options->engine.jumps_only)
		fail(EXIT_OWN, "--sandbox=%s: one of full, stores, jumps", value);
}

static void
set_cfi(struct Options *options, const char *value)
{
	if (strcmp(value, "bundle32") == 0)
		options->engine.bundle = 32;
	else if (strcmp(value, "bundle16") == 0)
		options->engine.bundle = 16;
	else
		fail(EXIT_OWN, "--cfi=%s: bundle32 or bundle16", value);
}

static void
inherit_env(struct Options *options)
{
	for (char **variable = environ; *variable; variable++)
		append(&options->env, *variable);
}

static void
add_env(struct Options *options, const char *value)
{
	if (!strchr(value, '=') || value[0] == '=')
		fail(EXIT_OWN, "--env %s: NAME=VALUE", value);
	append(&options->env, value);
}

static double
seconds(const char *name, const char *value)
{
	char *end;
	double number = strtod(value, &end);

	if (end == value || *end || !(number > 0 && number < 1e9))
		fail(EXIT_OWN, "%s %s: seconds, more than 0 and less than 1e9", name, value);
	return number;
}

/* What follows the digits is at *end. 0 when there are none, or more than `max` says. */
static uint64_t
natural(const char *value, uint64_t max, const char **end)
{
	uint64_t number = 0;

	for (*end = value; **end >= '0' && **end <= '9'; ++*end) {
		unsigned digit = (unsigned) (**end - '0');

		if (number > (max - digit) / 10)
			return 0;
		number = 10 * number + digit;
	}
	return number;
}

static uint32_t
count(const char *name, const char *value)
{
	const char *end;
	uint64_t number = natural(value, UINT32_MAX, &end);

	if (!number || *end)
		fail(EXIT_OWN, "%s %s: a whole number, 1 to 4294967295", name, value);
	return (uint32_t) number;
}

static uint64_t
size(const char *name, const char *value)
{
	static const char units[] = "KMG";
	const char *end, *unit;
	const uint64_t max = (uint64_t) 1 << 40;
	uint64_t number = natural(value, max, &end), each = 1;

	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		each <<= 10 * (unit - units + 1);
		end++;
	}
	if (!number || *end || number > max / each)
		fail(EXIT_OWN, "%s %s: bytes, or KiB, MiB or GiB with K, M or G behind a whole number, at most 1024G",
		    name, value);
	return number * each;
}

/* Options without a value. False for others. */
static bool
take_flag(struct Options *options, const char *name)
{
	if (strcmp(name, "--help") == 0) {
		fputs(usage_text, stdout);
		exit(0);
	} else if (strcmp(name, "--version") == 0) {
		printf("lfi-run %s\n", lfi_version_string());
		exit(0);
	} else if (strcmp(name, "--inherit-env") == 0) {
		inherit_env(options);
	} else if (strcmp(name, "--single-thread") == 0) {
		options->engine.single_thread = true;
	} else if (strcmp(name, "--no-verify") == 0) {
		options->engine.no_verify = true;
	} else if (strcmp(name, "--exit-unknown") == 0) {
		options->linux_.exit_unknown_syscalls = true;
	} else if (strcmp(name, "--stats") == 0) {
		options->stats = true;
	} else if (strcmp(name, "--perf") == 0) {
		options->linux_.perf = true;
	} else if (strcmp(name, "--verbose") == 0) {
		options->linux_.verbose = true;
	} else {
		return false;
	}
	return true;
}

static void
take_value(struct Options *options, const char *name, const char *value)
{
	if (strcmp(name, "--dir") == 0)
		append(&options->dirs, value);
	else if (strcmp(name, "--wd") == 0)
		options->linux_.wd = value;
	else if (strcmp(name, "--env") == 0)
		add_env(options, value);
	else if (strcmp(name, "--timeout") == 0)
		options->timeout = seconds(name, value);
	else if (strcmp(name, "--cpu-limit") == 0)
		options->limits.cpu_ns = (uint64_t) (seconds(name, value) * 1e9) + 1;
	else if (strcmp(name, "--memory-limit") == 0)
		options->limits.mapped = size(name, value);
	else if (strcmp(name, "--max-threads") == 0)
		options->limits.threads = count(name, value);
	else if (strcmp(name, "--max-files") == 0)
		options->limits.files = count(name, value);
	else if (strcmp(name, "--sandbox") == 0)
		set_sandbox(options, value);
	else
		set_cfi(options, value);
}

/* The name of the option with a value that `arg` is, "--name" or "--name=…"; NULL when there is none. */
static const char *
value_option(const char *arg)
{
	static const char *const names[] = {"--dir", "--wd", "--env", "--timeout", "--sandbox", "--cfi",
	    "--memory-limit", "--cpu-limit", "--max-threads", "--max-files"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		size_t length = strlen(names[i]);

		if (strncmp(arg, names[i], length) == 0 && (arg[length] == 0 || arg[length] == '='))
			return names[i];
	}
	return NULL;
}

/* Index of the program's name in argv. */
static int
take_options(struct Options *options, int argc, char **argv)
{
	const char *name, *equals;
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		if (take_flag(options, argv[i]))
			continue;
		name = value_option(argv[i]);
		if (!name)
			fail(EXIT_OWN, "no option '%s'; see lfi-run --help", argv[i]);
		equals = strchr(argv[i], '=');
		if (!equals && i + 1 == argc)
			fail(EXIT_OWN, "%s needs a value", name);
		take_value(options, name, equals ? equals + 1 : argv[++i]);
	}
	if (i >= argc)
		fail(EXIT_OWN, "no program; see lfi-run --help");
	return i;
}

static int
fault_status(struct LFILinuxProc *proc)
{
	struct LFIFault fault;

	if (lfi_proc_fault(proc, &fault) < 0 || fault.signal <= 0)
		return EXIT_OWN;
	return EXIT_SIGNAL + fault.signal;
}

/* Whether the program loads with these options. */
static bool
loads_with(struct LFIOptions options, const char *program)
{
	struct LFIEngine *engine = lfi_new(options, 1);
	struct LFILinuxEngine *linux_ = engine ? lfi_linux_new(engine, (struct LFILinuxOptions){0}) : NULL;
	struct LFILinuxProc *proc = linux_ ? lfi_proc_new(linux_) : NULL;
	bool loads = proc && lfi_proc_load_file(proc, program);

	lfi_proc_free(proc);
	lfi_linux_free(linux_);
	lfi_free(engine);
	return loads;
}

/*
 * A program that does not verify was perhaps built for other options: finds those that it verifies with, the ones that
 * give up protection last.
 */
static void
fail_verification(const char *program, struct LFIOptions options)
{
	static const char *const policies[] = {
	    "", " --sandbox=stores, which protects less", " --sandbox=jumps, which protects less"};
	char message[900];

	snprintf(message, sizeof message, "%s: %s", program, lfi_errmsg());
	for (int i = 0; i < 12; i++) {
		options.single_thread = i & 1;
		options.bundle = i & 2 ? 16 : 32;
		options.stores_only = i / 4 == 1;
		options.jumps_only = i / 4 == 2;
		if (loads_with(options, program))
			fail(EXIT_CANNOT_RUN, "%s\nlfi-run: it was built for other options: it verifies with%s%s%s%s",
			    message, i == 0 ? " no options" : "", i & 2 ? " --cfi=bundle16" : "",
			    i & 1 ? " --single-thread" : "", policies[i / 4]);
	}
	fail(EXIT_CANNOT_RUN, "%s\nlfi-run: it verifies with no other options either: was it made by lfi-cc?", message);
}

/* lfi_new failed. */
static void
fail_engine(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		fail(EXIT_OWN, "%s (this process is limited to %llu MiB of address space: ulimit -v)", lfi_errmsg(),
		    (unsigned long long) limit.rlim_cur >> 20);
	fail(EXIT_OWN, "%s", lfi_errmsg());
}

static struct LFIBox *timed_box;
static volatile sig_atomic_t timed_out;

static void
on_alarm(int sig)
{
	int err = errno;

	(void) sig;
	timed_out = 1;
	lfi_box_interrupt(timed_box);
	errno = err;
}

/* All threads of the program end then. Again and again, for those that begin just then. */
static void
start_timer(struct LFIBox *box, double after)
{
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_ONSTACK | SA_RESTART};
	struct itimerval timer = {{0, 10000}, {(time_t) after, 0}};

	timer.it_value.tv_usec = (suseconds_t) ((after - (double) timer.it_value.tv_sec) * 1e6);
	if (timer.it_value.tv_sec == 0 && timer.it_value.tv_usec == 0)
		timer.it_value.tv_usec = 1;
	timed_box = box;
	if (sigaction(SIGALRM, &action, NULL) < 0 || setitimer(ITIMER_REAL, &timer, NULL) < 0)
		fail(EXIT_OWN, "cannot set a timer: %s", strerror(errno));
}

static void
stop_timer(void)
{
	const struct itimerval none = {{0, 0}, {0, 0}};

	setitimer(ITIMER_REAL, &none, NULL);
}

static void
print_stats(struct LFIBox *box)
{
	struct LFIBoxStats stats = lfi_box_stats(box);

	fprintf(stderr,
	    "lfi-run: mapped %llu KiB (at most %llu), resident %llu KiB, %llu runtime calls, %llu faults, CPU time "
	    "%.6f s\n",
	    (unsigned long long) stats.mapped >> 10, (unsigned long long) stats.mapped_peak >> 10,
	    (unsigned long long) stats.resident >> 10, (unsigned long long) stats.runtime_calls,
	    (unsigned long long) stats.faults, (double) stats.cpu_ns / 1e9);
}

/* The status that lfi-run exits with. */
static int
run(struct LFILinuxProc *proc, const char *program, int argc, char **argv, const struct Options *options)
{
	struct LFILinuxThread *thread;
	int status;

	if (access(program, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
		fail(EXIT_NOT_FOUND, "%s: no such program", program);
	if (!lfi_proc_load_file(proc, program)) {
		if (lfi_errno() == LFI_ERR_VERIFY)
			fail_verification(program, options->engine);
		fail(EXIT_CANNOT_RUN, "%s: %s", program, lfi_errmsg());
	}
	thread = lfi_thread_new(proc, argc, (const char **) argv, options->env.items);
	if (!thread)
		fail(EXIT_CANNOT_RUN, "%s: %s", program, lfi_errmsg());
	if (options->timeout > 0)
		start_timer(lfi_proc_box(proc), options->timeout);
	status = lfi_thread_run(thread);
	if (options->timeout > 0)
		stop_timer();
	if (status < 0 && timed_out && lfi_errno() == LFI_ERR_INTERRUPTED) {
		fprintf(stderr, "lfi-run: %s: ended after %g seconds (--timeout)\n", program, options->timeout);
		status = EXIT_TIMEOUT;
	} else if (status < 0 && options->limits.cpu_ns && lfi_errno() == LFI_ERR_LIMIT) {
		fprintf(stderr, "lfi-run: %s: %s\n", program, lfi_errmsg());
		status = EXIT_SIGNAL + SIGXCPU;
	} else if (status < 0) {
		fprintf(stderr, "lfi-run: %s: %s\n", program, lfi_errmsg());
		status = fault_status(proc);
	}
	if (options->stats)
		print_stats(lfi_proc_box(proc));
	lfi_thread_free(thread);
	return status;
}

int
main(int argc, char **argv)
{
	struct Options options = {.env = {NULL, 0}};
	struct LFIEngine *engine;
	struct LFILinuxEngine *linux_;
	struct LFILinuxProc *proc;
	int program = take_options(&options, argc, argv), status;

	options.linux_.dir_maps = options.dirs.items;
	options.engine.verify_cache = LFI_CACHE_NONE; /* one program, once */
	engine = lfi_new(options.engine, 1);
	if (!engine)
		fail_engine();
	linux_ = lfi_linux_new(engine, options.linux_);
	if (!linux_)
		fail(EXIT_OWN, "%s", lfi_errmsg());
	proc = lfi_proc_new(linux_);
	if (!proc)
		fail(EXIT_OWN, "%s", lfi_errmsg());
	if (options.stats && !options.limits.cpu_ns)
		options.limits.cpu_ns = UINT64_MAX;
	if (lfi_box_set_limits(lfi_proc_box(proc), options.limits) < 0)
		fail(EXIT_OWN, "%s", lfi_errmsg());
	status = run(proc, argv[program], argc - program, argv + program, &options);
	lfi_proc_free(proc);
	lfi_linux_free(linux_);
	lfi_free(engine);
	free(options.dirs.items);
	free(options.env.items);
	return status;
}
