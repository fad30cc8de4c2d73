/* SPDX-License-Identifier: MIT */
/*
 * The tests of tests/c/verify, whose mains have other names here, over mutants that are called by pointers. See
 * inprocess.py. Prints for each mutant its number and the test that fails, or "nothing".
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern const struct {
	int number;
	void *slot, *function;
} lfi_choices[];

/* Where slot is NULL: makes the change of the tables. False: it would not compile. */
bool lfi_apply(void *mutant) __attribute__((weak));
/* Makes the tables again, by a mutant of compile.c. */
void lfi_take_tables(void) __attribute__((weak));
extern uint8_t x64_quick[];
extern size_t lfi_tables_size __attribute__((weak));
int places_main(void) __attribute__((weak));

int rules_main(void), api_main(void), allow_main(void), kinds_main(void), bounds_main(void), quick_main(void),
    parts_main(void);

static const struct {
	const char *name;
	int (*main)(void);
} tests[] = {{"rules", rules_main}, {"api", api_main}, {"kinds", kinds_main}, {"allow", allow_main},
    {"bounds", bounds_main}, {"quick", quick_main}, {"parts", parts_main}, {"places", places_main}};

#define UNCOMPILED 99
#define SAME 98
#define TESTS (sizeof tests / sizeof tests[0])

static int *running; /* shared with the children */
static double seconds[TESTS];

static double
cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double) usage.ru_utime.tv_sec + 1e-6 * (double) usage.ru_utime.tv_usec +
	       (double) usage.ru_stime.tv_sec + 1e-6 * (double) usage.ru_stime.tv_usec;
}

/* Of the processor, not of the clock: a loop ends by SIGPROF. */
static void
limit(double most)
{
	struct itimerval timer = {.it_value = {(time_t) most, (suseconds_t) ((most - (double) (time_t) most) * 1e6)}};

	setitimer(ITIMER_PROF, &timer, NULL);
}

static size_t
test_number(const char *name)
{
	for (size_t i = 0; i < TESTS; i++)
		if (strcmp(tests[i].name, name) == 0)
			return i;
	exit(2);
}

static void
take_tables(void)
{
	uint8_t *before;

	if (!lfi_take_tables)
		return;
	*running = (int) test_number("quick"); /* which would not even start */
	dup2(open("/dev/null", O_WRONLY), 1);
	limit(4);
	before = malloc(lfi_tables_size);
	memcpy(before, x64_quick, lfi_tables_size);
	lfi_take_tables();
	if (memcmp(before, x64_quick, lfi_tables_size) == 0)
		_exit(SAME);
}

static void
run_child(int argc, char **argv)
{
	int null = open("/dev/null", O_WRONLY);
	struct rlimit memory = {(rlim_t) 4 << 30, (rlim_t) 4 << 30}, none = {0, 0};

	dup2(null, 1);
	dup2(null, 2);
	setrlimit(RLIMIT_AS, &memory);
	setrlimit(RLIMIT_CORE, &none);
	for (int i = 2; i < argc; i++) {
		size_t n = test_number(argv[i]);

		*running = (int) n;
		limit(1 + 4 * seconds[n]);
		if (tests[n].main() != 0)
			exit(1);
	}
	_exit(0);
}

int
main(int argc, char **argv)
{
	double most = strtod(argv[1], NULL);
	time_t start = time(NULL);

	running = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int i = 2; i < argc; i++) {
		size_t n = test_number(argv[i]);
		double begin = cpu_seconds();

		if (tests[n].main() != 0)
			return 2;
		seconds[n] = cpu_seconds() - begin;
		printf("test %s: %.3f s\n", argv[i], seconds[n]);
		fflush(stdout);
	}
	for (size_t i = 0; (most == 0 || (double) (time(NULL) - start) < most) && lfi_choices[i].number >= 0; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			if (lfi_choices[i].slot)
				*(void **) lfi_choices[i].slot = lfi_choices[i].function;
			else if (!lfi_apply(lfi_choices[i].function))
				_exit(UNCOMPILED);
			take_tables();
			run_child(argc, argv);
		}
		waitpid(pid, &status, 0);
		printf("%d %s\n", lfi_choices[i].number,
		    WIFEXITED(status) && WEXITSTATUS(status) == UNCOMPILED ? "uncompiled"
		    : WIFEXITED(status) && WEXITSTATUS(status) == SAME     ? "same"
		    : status                                               ? tests[*running].name
									   : "nothing");
		fflush(stdout);
	}
	return 0;
}
