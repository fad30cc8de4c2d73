/* SPDX-License-Identifier: MIT */
/*
 * Many random system calls of several threads at once, on the same memory, descriptors and paths: most useful under
 * sanitizers. Whatever they do, the host's memory, descriptors and files outside the map stay as they were, and all
 * threads come back when the process ends.
 */
#include "linux_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

enum { THREADS = 6, SLEEPERS = 2, ROUNDS = 25, MILLISECONDS = 40 };

static const char *const one_map[] = {"/data=box", NULL};

static unsigned char host_bytes[4096];

struct Storm {
	struct Fixture *f;
	struct LFILinuxThread *thread;
	lfiptr paths; /* PATHS strings, PATH_ROOM apart */
	uint64_t seed;
	uint64_t calls;
	bool sleeps; /* may make calls that last until the process ends */
	pthread_t host;
};

static const char *const path_names[] = {"/data", "/data/a", "/data/b", "/data/d", "/data/d/c", "/data/d/..",
    "/data/link", "/data/link/secret", "../secret", "a", "d/link2/secret", "/dev/null", "/dev/zero", "/data/../other",
    "/data/d/../../secret", "/"};

enum { PATHS = sizeof path_names / sizeof path_names[0], PATH_ROOM = 64 };

/* Calls that end the process, start code that is not there, or change what the checks at the end need. */
static bool
is_left_out(struct Storm *storm, const char *name)
{
	static const char *const sleeping[] = {
	    "poll", "ppoll", "select", "pselect6", "futex", "nanosleep", "clock_nanosleep", "pipe", "pipe2"};
	static const char *const names[] = {"exit", "exit_group", "clone", "kill", "tkill", "tgkill", "chmod", "fchmod",
	    "fchmodat", "umask", "rt_sigaction"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof sleeping / sizeof sleeping[0] && !storm->sleeps; i++)
		if (strcmp(name, sleeping[i]) == 0)
			return true;
	return false;
}

static uint64_t
random_number(struct Storm *storm)
{
	storm->seed ^= storm->seed << 13;
	storm->seed ^= storm->seed >> 7;
	storm->seed ^= storm->seed << 17;
	return storm->seed;
}

static uint64_t
random_address(struct Storm *storm)
{
	const struct LFIBoxInfo *info = &storm->f->proc->info;
	uint64_t number = random_number(storm);

	switch (number % 16) {
	case 0:
		return 0;
	case 1:
		return (uintptr_t) host_bytes;
	case 2:
		return info->max - PAGE * (number / 16 % 4);
	case 3:
		return info->min + PAGE * (number / 16 % 4);
	case 4:
		return info->base + number / 16 % info->size;
	case 5:
		return info->base - 8;
	}
	/* Mostly what all threads use: the first pages for structures, the others come and go. */
	return storm->f->memory + number / 16 % (number & 0x100000 ? 256 : MEMORY_PAGES * PAGE) / 8 * 8;
}

static uint64_t
random_arg(struct Storm *storm, char kind)
{
	uint64_t number = random_number(storm);

	switch (kind) {
	case 'd':
		return number % 4 ? number / 4 % 12 : number % 3 ? (uint64_t) -100 : number;
	case 's':
		return number % 16 ? storm->paths + number / 16 % PATHS * PATH_ROOM : random_address(storm);
	case 'p':
		return number % 8 ? random_address(storm) : random_address(storm) & ~(uint64_t) (PAGE - 1);
	case 'x':
		return number % 4 ? number / 4 % 64 : number >> 32;
	case 'o':
		return 0700;
	}
	/* Counts, sizes, offsets. */
	return number % 4 == 0 ? number : number % 4 == 1 ? number / 4 % 8 : number / 4 % (4 * PAGE);
}

static void
random_call(struct Storm *storm)
{
	uint64_t number = random_number(storm) % 440, args[6] = {0};
	const struct SysCall *call = abi_syscall(number);

	if (!call || is_left_out(storm, call->name))
		return;
	for (size_t i = 0; call->kinds[i]; i++)
		args[i] = random_arg(storm, call->kinds[i]);
	/* Of memory, the upper half goes; a file of a size that nobody can store is not made. */
	if ((number >= 9 && number <= 12) || number == 25 || number == 28)
		args[0] |= storm->f->memory & ~(uint64_t) 0xffff;
	if (number == 76 || number == 77 || number == 18 || number == 296)
		args[number == 18 || number == 296 ? 3 : 1] %= 1 << 20;
	call->handler(storm->thread, args);
	storm->calls++;
}

static void *
storm_main(void *arg)
{
	struct Storm *storm = arg;

	while (!proc_has_ended(storm->f->proc))
		random_call(storm);
	return NULL;
}

static unsigned
host_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void
start(struct Storm *storm, struct Fixture *f, lfiptr paths, unsigned index)
{
	*storm = (struct Storm){.f = f, .paths = paths, .seed = 0x9e3779b97f4a7c15 * (index + 1)};
	storm->sleeps = index < SLEEPERS;
	storm->thread = thread_make(f->proc);
	assert_non_null(storm->thread);
	assert_int_equal(pthread_create(&storm->host, NULL, storm_main, storm), 0);
}

/* One process: how many calls it made. */
static uint64_t
storm_round(struct Fixture *f, unsigned round)
{
	static const struct timespec pause = {0, MILLISECONDS * 1000000L};
	lfiptr paths = lfi_box_mapany(f->proc->box, PAGE, 3, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0);
	struct Storm storms[THREADS];
	uint64_t calls = 0;

	for (size_t i = 0; i < PATHS; i++)
		lfi_box_copyto(f->proc->box, paths + i * PATH_ROOM, path_names[i], strlen(path_names[i]) + 1);
	lfi_proc_stdio(f->proc, -1, -1, -1);
	/* As a process whose first call is clone; a broken pipe does not end it. */
	f->proc->actions[SIGPIPE].handler = (uintptr_t) SIG_IGN;
	f->proc->end_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	atomic_store(&f->proc->threaded, true);
	for (unsigned i = 0; i < THREADS; i++)
		start(&storms[i], f, paths, round * THREADS + i);
	nanosleep(&pause, NULL);
	proc_end(f->proc, 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(storms[i].host, NULL);
		calls += storms[i].calls;
	}
	return calls;
}

static void
storms_of_calls_leave_the_host_as_it_was(void **state)
{
	unsigned before = host_descriptors();
	uint64_t calls = 0;
	struct Fixture f;

	memset(host_bytes, 0x5a, sizeof host_bytes);
	for (unsigned round = 0; round < ROUNDS; round++) {
		fixture_open(&f, one_map, "/data");
		shell(&f, "ln -s ../.. box/link && mkdir box/d && ln -s \"$PWD\" box/d/link2 && cp -r other kept");
		calls += storm_round(&f, round);
		shell(&f, "test \"$(cat secret)\" = secret && diff -r other kept && test $(ls | wc -l) = 4");
		fixture_close(&f);
	}
	print_message("%llu calls\n", (unsigned long long) calls);
	assert_true(calls > 1000);
	assert_int_equal(host_descriptors(), before);
	for (size_t i = 0; i < sizeof host_bytes; i++)
		assert_int_equal(host_bytes[i], 0x5a);
}

/* What the program's threads do to its own memory at the same time is no race of ours: what system calls touch is not
 * watched. */
const char *__tsan_default_options(void);

__attribute__((visibility("default"))) const char *
__tsan_default_options(void)
{
	return "ignore_interceptors_accesses=1";
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(storms_of_calls_leave_the_host_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
