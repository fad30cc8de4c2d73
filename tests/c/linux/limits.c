/* SPDX-License-Identifier: MIT */
/* A box's limits as a Linux program meets them. */
#include "linux_test.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "lfi/lfi_core.h"

static const char *const maps[] = {"/box=box", NULL};

enum { ANON = MAP_PRIVATE | MAP_ANONYMOUS, RW = PROT_READ | PROT_WRITE };

static void
limit(struct Fixture *f, struct LFILimits limits)
{
	assert_int_equal(lfi_box_set_limits(f->proc->box, limits), 0);
}

static int64_t
map_pages(struct Fixture *f, uint64_t pages)
{
	return CALL(f, sys_mmap, 0, pages * PAGE, RW, ANON, (uint64_t) -1, 0);
}

static void
memory_beyond_the_limit_is_ENOMEM(struct Fixture *f)
{
	int64_t at;
	int64_t end;

	limit(f, (struct LFILimits){.mapped = (MEMORY_PAGES + 4) * PAGE});
	assert_int_equal(map_pages(f, 5), -ENOMEM);
	at = map_pages(f, 2);
	assert_true(at > 0);
	assert_int_equal(CALL(f, sys_mremap, (uint64_t) at, 2 * PAGE, 5 * PAGE, MREMAP_MAYMOVE), -ENOMEM);
	/* The break does not move. */
	f->proc->brk_start = f->proc->brk_end = f->proc->info.min + 64 * PAGE;
	end = CALL(f, sys_brk, 0);
	assert_int_equal(CALL(f, sys_brk, (uint64_t) end + 3 * PAGE), end);
	assert_int_equal(CALL(f, sys_brk, (uint64_t) end + 2 * PAGE), end + 2 * PAGE);
	assert_int_equal(map_pages(f, 1), -ENOMEM);
	assert_int_equal(CALL(f, sys_brk, (uint64_t) end), end);
	assert_true(map_pages(f, 2) > 0);
}

static void
threads_beyond_the_limit_are_EAGAIN(struct Fixture *f)
{
	const uint64_t flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
	struct LFILinuxThread *second;

	limit(f, (struct LFILimits){.threads = 2});
	second = thread_make(f->proc);
	assert_non_null(second);
	assert_int_equal(CALL(f, sys_clone, flags, f->memory + PAGE), -EAGAIN);
	assert_int_equal(lfi_errno(), LFI_ERR_LIMIT);
	thread_destroy(second);
	second = thread_make(f->proc);
	assert_non_null(second);
}

static void
descriptors_beyond_the_limit_are_EMFILE(struct Fixture *f)
{
	int pair[2];

	/* 0, 1 and 2 are the host's. */
	for (uint64_t fd = 3; fd < FD_MAX; fd++)
		assert_int_equal(CALL(f, sys_close, fd), -EBADF);
	limit(f, (struct LFILimits){.files = 5});
	assert_int_equal(CALL(f, sys_dup, 0), 3);
	/* One is free: a pipe needs two, and leaves it. */
	assert_int_equal(CALL(f, sys_pipe, put(f, NULL, sizeof pair)), -EMFILE);
	assert_int_equal(CALL(f, sys_openat, (uint64_t) AT_FDCWD, str(f, "/box/file"), O_RDONLY, 0), 4);
	assert_int_equal(CALL(f, sys_openat, (uint64_t) AT_FDCWD, str(f, "/box/file"), O_RDONLY, 0), -EMFILE);
	assert_int_equal(CALL(f, sys_dup, 0), -EMFILE);
	assert_int_equal(CALL(f, sys_dup2, 0, 5), -EBADF);
	assert_int_equal(CALL(f, sys_dup2, 0, 4), 4);
	assert_int_equal(CALL(f, sys_fcntl, 0, F_DUPFD, 5), -EINVAL);
	assert_int_equal(CALL(f, sys_fcntl, 0, F_DUPFD, 0), -EMFILE);
	assert_int_equal(CALL(f, sys_close, 3), 0);
	assert_int_equal(CALL(f, sys_fcntl, 0, F_DUPFD, 0), 3);
	/* What is above a limit stays and can be closed. */
	limit(f, (struct LFILimits){.files = 3});
	assert_int_equal(CALL(f, sys_fcntl, 4, F_GETFD), 0);
	assert_int_equal(CALL(f, sys_close, 4), 0);
	assert_int_equal(CALL(f, sys_dup, 0), -EMFILE);
	limit(f, (struct LFILimits){.files = 1000});
	assert_int_equal(CALL(f, sys_dup2, 0, FD_MAX - 1), FD_MAX - 1);
	assert_int_equal(CALL(f, sys_dup2, 0, FD_MAX), -EBADF);
}

static uint64_t
shown(struct Fixture *f, uint64_t resource)
{
	lfiptr at = put(f, NULL, 16), old = put(f, NULL, 16);
	uint64_t pair[2], both[2];

	assert_int_equal(CALL(f, sys_getrlimit, resource, at), 0);
	assert_int_equal(CALL(f, sys_prlimit64, 0, resource, 0, old), 0);
	get(f, pair, at, sizeof pair);
	get(f, both, old, sizeof both);
	assert_memory_equal(pair, both, sizeof pair);
	assert_int_equal(pair[0], pair[1]);
	return pair[0];
}

static void
programs_see_their_limits_and_cannot_raise_them(struct Fixture *f)
{
	uint64_t more[2] = {FD_MAX, FD_MAX};

	assert_int_equal(shown(f, RLIMIT_NOFILE), FD_MAX);
	assert_int_equal(shown(f, RLIMIT_NPROC), LINUX_THREADS_MAX);
	assert_true(shown(f, RLIMIT_CPU) == RLIM_INFINITY);
	limit(f, (struct LFILimits){.mapped = 1 << 24, .cpu_ns = 1500000000, .threads = 7, .files = 9});
	assert_int_equal(shown(f, RLIMIT_NOFILE), 9);
	assert_int_equal(shown(f, RLIMIT_NPROC), 7);
	assert_int_equal(shown(f, RLIMIT_AS), 1 << 24);
	assert_int_equal(shown(f, RLIMIT_DATA), 1 << 24);
	assert_int_equal(shown(f, RLIMIT_CPU), 2);
	assert_int_equal(CALL(f, sys_setrlimit, RLIMIT_NOFILE, put(f, more, sizeof more)), -EPERM);
	limit(f, (struct LFILimits){.cpu_ns = UINT64_MAX, .threads = 10000, .files = 10000});
	assert_int_equal(shown(f, RLIMIT_NOFILE), FD_MAX);
	assert_int_equal(shown(f, RLIMIT_NPROC), LINUX_THREADS_MAX);
	assert_true(shown(f, RLIMIT_CPU) == RLIM_INFINITY);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(memory_beyond_the_limit_is_ENOMEM, maps, "/"),
	    TEST(threads_beyond_the_limit_are_EAGAIN, maps, "/"),
	    TEST(descriptors_beyond_the_limit_are_EMFILE, maps, "/"),
	    TEST(programs_see_their_limits_and_cannot_raise_them, maps, "/"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
