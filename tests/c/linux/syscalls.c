/* SPDX-License-Identifier: MIT */
/* System calls made directly on a thread: hostile arguments, memory, descriptors, futexes, signals, limits. */
#include "linux_test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static const char *const one_map[] = {"/data=box", NULL};

/* ---- Hostile pointers ---- */

enum { NUMBERS = 512, HOST_BYTES = 4096, PARTLY_GOOD = 7 };

static unsigned char host_bytes[HOST_BYTES];

/* Calls that end or start something, or sleep; each has its own test. */
static bool
is_left_out(const char *name)
{
	static const char *const names[] = {"exit", "exit_group", "clone", "kill", "tkill", "tgkill", "sched_yield",
	    "brk", "munmap", "mprotect", "mremap", "madvise", "mmap", "set_tid_address", "set_robust_list", "futex"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static lfiptr
hostile(struct Fixture *f, int which)
{
	const struct LFIBoxInfo *info = &f->proc->info;

	switch (which) {
	case 0:
		return 1; /* nothing is there */
	case 1:
		return (lfiptr) (uintptr_t) host_bytes; /* the host's */
	case 2:
		return info->base; /* the first page: not to be mapped */
	case 3:
		return info->base - 8; /* the runtime-call table */
	case 4:
		return info->max - 1; /* across the end */
	case 5:
		return info->max;
	case 6:
		return info->min; /* inside, unmapped */
	case PARTLY_GOOD:
		return f->memory + MEMORY_PAGES * PAGE - 1; /* across the end of a mapping */
	case 8:
		return 0xffffffff81000000; /* the host kernel's */
	case 9:
		return UINT64_MAX - 3; /* overflows with any size */
	case 10:
		return info->base + info->size + 0x100000; /* the next sandbox */
	}
	return 0;
}

/* Harmless values for the arguments that are no addresses: descriptor 0, small sizes and counts. */
static uint64_t
plain_arg(char kind, size_t index)
{
	return kind == 'u' ? 64 : index == 0 ? 0 : 1;
}

static void
no_call_reads_or_writes_through_a_hostile_pointer(struct Fixture *f)
{
	size_t pointers = 0;

	memset(host_bytes, 0x5a, sizeof host_bytes);
	memcpy(host_bytes, "/data/file", 11);
	/* Descriptor 0 must have something to read, and take something. */
	shell(f, "head -c 8192 /dev/zero >box/file");
	assert_int_equal(CALL(f, sys_dup2, (uint64_t) CALL(f, sys_open, str(f, "/data/file"), O_RDWR, 0), 0), 0);
	for (uint64_t number = 0; number < NUMBERS; number++) {
		const struct SysCall *call = abi_syscall(number);

		if (!call || is_left_out(call->name))
			continue;
		for (int which = 0; which <= 10; which++) {
			uint64_t args[6] = {0};
			int64_t result;
			bool any = false;

			for (size_t i = 0; call->kinds[i]; i++) {
				bool pointer = call->kinds[i] == 'p' || call->kinds[i] == 's';

				args[i] = pointer ? hostile(f, which) : plain_arg(call->kinds[i], i);
				any |= pointer;
			}
			if (!any)
				continue;
			pointers++;
			result = call->handler(f->thread, args);
			/* Where the first bytes are good, a part may be transferred, as on Linux. */
			if (result >= 0 && which != PARTLY_GOOD)
				fail_msg("%s accepts hostile pointer %d: %ld", call->name, which, (long) result);
		}
	}
	assert_true(pointers > 700);
	for (size_t i = 11; i < sizeof host_bytes; i++)
		assert_int_equal(host_bytes[i], 0x5a);
	assert_string_equal((char *) host_bytes, "/data/file");
}

static void
a_path_that_meets_the_end_of_memory_is_a_fault(struct Fixture *f)
{
	lfiptr end = f->memory + MEMORY_PAGES * PAGE;
	char name[PATH_MAX + 8];

	assert_int_equal(lfi_box_copyto(f->proc->box, end - 4, "/abc", 4), 0);
	assert_int_equal(CALL(f, sys_open, end - 4, 0, 0), -EFAULT);
	memset(name, 'x', sizeof name);
	assert_int_equal(lfi_box_copyto(f->proc->box, f->memory, name, sizeof name), 0);
	assert_int_equal(CALL(f, sys_open, f->memory, 0, 0), -ENAMETOOLONG);
}

static void
a_vector_is_checked_element_by_element(struct Fixture *f)
{
	struct iovec vector[3];
	lfiptr at = put(f, NULL, sizeof vector), data = put(f, "abcdef", 6);
	const struct {
		lfiptr base;
		uint64_t length;
		int64_t result;
	} rows[] = {
	    {data, 3, 4},
	    {(lfiptr) (uintptr_t) host_bytes, 3, -EFAULT},
	    {data, (uint64_t) 1 << 40, -EFAULT},
	    {data, UINT64_MAX, -EFAULT},
	    {f->proc->info.max - 1, 2, -EFAULT},
	    {0, 0, 1},
	};
	int64_t fd = CALL(f, sys_open, str(f, "/data/out"), O_RDWR | O_CREAT, 0644);

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		vector[0] = (struct iovec){(void *) (uintptr_t) data, 1};
		vector[1] = (struct iovec){(void *) (uintptr_t) rows[i].base, rows[i].length};
		assert_int_equal(lfi_box_copyto(f->proc->box, at, vector, sizeof vector), 0);
		assert_int_equal(CALL(f, sys_writev, (uint64_t) fd, at, 2), rows[i].result);
		if (rows[i].result < 0)
			assert_int_equal(CALL(f, sys_readv, (uint64_t) fd, at, 2), rows[i].result);
	}
	assert_int_equal(CALL(f, sys_writev, (uint64_t) fd, at, IOV_MAX + 1), -EINVAL);
	assert_int_equal(CALL(f, sys_writev, (uint64_t) fd, at, UINT64_MAX / 16 + 2), -EINVAL);
	assert_int_equal(CALL(f, sys_writev, (uint64_t) fd, 0, 0), 0);
}

static void
code_cannot_be_written_through_a_call(struct Fixture *f)
{
	lfiptr code = lfi_box_mapany(f->proc->box, PAGE, 3, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0);
	char traps[PAGE], now[PAGE];
	int64_t fd;

	memset(traps, 0xcc, sizeof traps);
	assert_int_equal(lfi_box_copyto(f->proc->box, code, traps, sizeof traps), 0);
	assert_int_equal(CALL(f, sys_mprotect, code, PAGE, PROT_READ | PROT_EXEC), 0);
	fd = CALL(f, sys_open, str(f, "/data/file"), O_RDONLY, 0);
	assert_int_equal(CALL(f, sys_read, (uint64_t) fd, code, 8), -EFAULT);
	assert_int_equal(CALL(f, sys_getrandom, code, 8, 0), -EFAULT);
	assert_int_equal(CALL(f, sys_clock_gettime, 0, code), -EFAULT);
	assert_int_equal(CALL(f, sys_madvise, code, PAGE, MADV_DONTNEED), -EINVAL);
	assert_int_equal(CALL(f, sys_mremap, code, PAGE, 2 * PAGE, MREMAP_MAYMOVE), -EINVAL);
	assert_int_equal(CALL(f, sys_mprotect, code, PAGE, 7), -EACCES);
	get(f, now, code, sizeof now);
	assert_memory_equal(now, traps, sizeof traps);
}

static void
code_that_does_not_verify_is_refused(struct Fixture *f)
{
	assert_int_equal(lfi_box_copyto(f->proc->box, f->memory, "\x0f\x05", 2), 0);
	assert_int_equal(CALL(f, sys_mprotect, f->memory, PAGE, PROT_READ | PROT_EXEC), -EACCES);
	assert_int_equal(lfi_box_copyto(f->proc->box, f->memory, "\x0f\x05", 2), 0);
	shell(f, "printf '\\017\\005' >box/code; head -c 5000 /dev/zero >>box/code");
	int64_t fd = CALL(f, sys_open, str(f, "/data/code"), O_RDONLY, 0);
	assert_int_equal(CALL(f, sys_mmap, 0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, (uint64_t) fd, 0), -EACCES);
}

/* ---- Memory ---- */

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static void
mappings_are_made_inside_the_sandbox_only(struct Fixture *f)
{
	const struct LFIBoxInfo *info = &f->proc->info;
	const struct {
		uint64_t addr, size, prot, flags;
		int64_t result;
	} rows[] = {
	    {0, 0, 3, ANON, -EINVAL}, {0, UINT64_MAX, 3, ANON, -ENOMEM}, {0, UINT64_MAX - 4096, 3, ANON, -ENOMEM},
	    {0, (uint64_t) 1 << 32, 3, ANON, -ENOMEM}, {0, (uint64_t) 1 << 63, 3, ANON, -ENOMEM},
	    {0, PAGE, 7, ANON, -EACCES}, {0, PAGE, 3, MAP_ANONYMOUS, -EINVAL},
	    {0, PAGE, 3, ANON | MAP_HUGETLB, -EINVAL}, {0, PAGE, 3, ANON | MAP_GROWSDOWN, -EINVAL},
	    {0, PAGE, 3, ANON | MAP_FIXED, -ENOMEM}, {info->base, PAGE, 3, ANON | MAP_FIXED, -ENOMEM},
	    {info->min - PAGE, PAGE, 3, ANON | MAP_FIXED, -ENOMEM},
	    {info->min - PAGE, 2 * PAGE, 3, ANON | MAP_FIXED, -ENOMEM}, {info->max, PAGE, 3, ANON | MAP_FIXED, -ENOMEM},
	    {info->max - PAGE, 2 * PAGE, 3, ANON | MAP_FIXED, -ENOMEM},
	    {info->base + info->size, PAGE, 3, ANON | MAP_FIXED, -ENOMEM},
	    {UINT64_MAX - PAGE + 1, PAGE, 3, ANON | MAP_FIXED, -ENOMEM},
	    {info->min + 8, PAGE, 3, ANON | MAP_FIXED, -EINVAL},
	    {f->memory, PAGE, 3, ANON | MAP_FIXED_NOREPLACE, -EEXIST},
	    {0, PAGE, 3, MAP_PRIVATE, -ENODEV}, /* descriptor 0 is no regular file here */
	};
	lfiptr got;
	int host;

	assert_int_equal(CALL(f, sys_dup2, (uint64_t) CALL(f, sys_open, str(f, "/data"), O_RDONLY, 0), 0), 0);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		int64_t result = CALL(f, sys_mmap, rows[i].addr, rows[i].size, rows[i].prot, rows[i].flags, 0, 0);

		if (result != rows[i].result)
			fail_msg("row %zu: %ld instead of %ld", i, (long) result, (long) rows[i].result);
	}
	/* What the host gives may be a device: it is not mapped. */
	host = open("/dev/zero", O_RDWR | O_CLOEXEC);
	assert_int_equal(lfi_proc_stdio(f->proc, host, -1, -1), 0);
	close(host);
	assert_int_equal(CALL(f, sys_mmap, 0, PAGE, 3, MAP_PRIVATE, 0, 0), -ENODEV);
	/* An address without MAP_FIXED is no more than a wish. */
	got = (lfiptr) CALL(f, sys_mmap, (uint64_t) (uintptr_t) host_bytes & -(uint64_t) PAGE, PAGE, 3, ANON, -1ULL, 0);
	assert_true(got >= info->min && got < info->max);
	assert_int_equal(CALL(f, sys_munmap, got, PAGE), 0);
	assert_int_equal(CALL(f, sys_munmap, (uint64_t) (uintptr_t) host_bytes & -(uint64_t) PAGE, PAGE), -EINVAL);
	assert_int_equal(CALL(f, sys_munmap, info->max - PAGE, UINT64_MAX), -EINVAL);
	assert_int_equal(CALL(f, sys_mprotect, info->base, PAGE, 3), -ENOMEM);
	assert_int_equal(CALL(f, sys_mprotect, info->min, UINT64_MAX, 3), -ENOMEM);
}

static void
the_break_moves_both_ways_and_stops_at_a_mapping(struct Fixture *f)
{
	lfiptr start = f->proc->info.min + 16 * PAGE, zero = 0;

	f->proc->brk_start = f->proc->brk_end = start;
	assert_int_equal(CALL(f, sys_brk, 0), start);
	assert_int_equal(CALL(f, sys_brk, start + 100), start + 100);
	assert_int_equal(lfi_box_copyto(f->proc->box, start, "x", 1), 0);
	assert_int_equal(CALL(f, sys_brk, start + 3 * PAGE), start + 3 * PAGE);
	assert_int_equal(CALL(f, sys_brk, start - 1), start + 3 * PAGE);
	assert_int_equal(CALL(f, sys_brk, UINT64_MAX), start + 3 * PAGE);
	assert_int_equal(CALL(f, sys_brk, f->proc->info.max + 1), start + 3 * PAGE);
	assert_int_equal(CALL(f, sys_brk, f->memory + 1), start + 3 * PAGE);
	assert_int_equal(CALL(f, sys_brk, start), start);
	assert_int_equal(lfi_box_copyfm(f->proc->box, &zero, start, 1), -1);
	assert_int_equal(CALL(f, sys_brk, start + PAGE), start + PAGE);
	get(f, &zero, start, 8);
	assert_int_equal(zero, 0);
}

static void
memory_is_grown_moved_and_cut(struct Fixture *f)
{
	lfiptr at = (lfiptr) CALL(f, sys_mmap, 0, 2 * PAGE, 3, ANON, -1ULL, 0), moved;
	char byte = 'a', now;

	assert_int_equal(lfi_box_copyto(f->proc->box, at + PAGE, &byte, 1), 0);
	assert_int_equal(CALL(f, sys_mremap, at, 2 * PAGE, PAGE * 2, 0), at);
	assert_int_equal(CALL(f, sys_mremap, at, 2 * PAGE, 1000 * PAGE, 0), -ENOMEM);
	moved = (lfiptr) CALL(f, sys_mremap, at, 2 * PAGE, 1000 * PAGE, MREMAP_MAYMOVE);
	assert_true(moved >= f->proc->info.min && moved < f->proc->info.max);
	get(f, &now, moved + PAGE, 1);
	assert_int_equal(now, 'a');
	assert_int_equal(lfi_box_copyfm(f->proc->box, &now, at, 1), -1);
	assert_int_equal(CALL(f, sys_mremap, moved, 1000 * PAGE, PAGE, 0), moved);
	assert_int_equal(lfi_box_copyfm(f->proc->box, &now, moved + PAGE, 1), -1);
	assert_int_equal(CALL(f, sys_mremap, moved, PAGE, 0, MREMAP_MAYMOVE), -EINVAL);
	assert_int_equal(CALL(f, sys_mremap, moved, UINT64_MAX, PAGE, MREMAP_MAYMOVE), -EINVAL);
	assert_int_equal(CALL(f, sys_mremap, moved, PAGE, UINT64_MAX - 2 * PAGE, MREMAP_MAYMOVE), -ENOMEM);
	assert_int_equal(CALL(f, sys_mremap, moved + 1, PAGE, PAGE, 0), -EINVAL);
	assert_int_equal(CALL(f, sys_mremap, moved, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE), -EINVAL);
	assert_int_equal(
	    CALL(f, sys_mremap, (uint64_t) (uintptr_t) host_bytes & -(uint64_t) PAGE, PAGE, PAGE, 1), -EFAULT);
	assert_int_equal(CALL(f, sys_mremap, moved, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED), -EINVAL);
}

static void
memory_given_back_is_zero(struct Fixture *f)
{
	char byte = 'a', now[3];

	for (int i = 0; i < 3; i++)
		assert_int_equal(lfi_box_copyto(f->proc->box, f->memory + (lfiptr) i * PAGE, &byte, 1), 0);
	assert_int_equal(CALL(f, sys_madvise, f->memory + PAGE, PAGE, MADV_DONTNEED), 0);
	for (int i = 0; i < 3; i++)
		get(f, &now[i], f->memory + (lfiptr) i * PAGE, 1);
	assert_memory_equal(now, "a\0a", 3);
	assert_int_equal(CALL(f, sys_madvise, f->memory, 8 * PAGE, MADV_WILLNEED), 0);
	assert_int_equal(CALL(f, sys_madvise, f->proc->info.min, PAGE, MADV_DONTNEED), -ENOMEM);
	assert_int_equal(CALL(f, sys_madvise, f->proc->info.base, PAGE, MADV_DONTNEED), -ENOMEM);
	assert_int_equal(CALL(f, sys_madvise, f->proc->info.base, PAGE, MADV_WILLNEED), -ENOMEM);
	assert_int_equal(CALL(f, sys_madvise, f->memory, UINT64_MAX, MADV_DONTNEED), -EINVAL);
	assert_int_equal(CALL(f, sys_madvise, f->memory, PAGE, 12345), -EINVAL);
}

/* ---- Descriptors ---- */

static void
host_descriptors_are_not_the_programs(struct Fixture *f)
{
	lfiptr out = put(f, NULL, 256);

	/* The scratch host descriptors of this test program (cmocka's, mounts) are all open; the program has 0, 1, 2.
	 */
	for (uint64_t fd = 3; fd < 300; fd++) {
		assert_int_equal(CALL(f, sys_fstat, fd, out), -EBADF);
		assert_int_equal(CALL(f, sys_read, fd, out, 1), -EBADF);
		assert_int_equal(CALL(f, sys_close, fd), -EBADF);
	}
	assert_int_equal(CALL(f, sys_close, UINT64_MAX), -EBADF);
	assert_int_equal(CALL(f, sys_dup2, 1, 1 << 20), -EBADF);
	assert_int_equal(CALL(f, sys_fcntl, 1, F_DUPFD, UINT64_MAX), -EINVAL);
}

static void
there_are_only_so_many_descriptors(struct Fixture *f)
{
	int64_t fd;
	int count = 0;

	while ((fd = CALL(f, sys_dup, 0)) >= 0)
		count++;
	assert_int_equal(fd, -EMFILE);
	assert_int_equal(count, FD_MAX - 3);
	assert_int_equal(CALL(f, sys_pipe, put(f, NULL, 8)), -EMFILE);
	assert_int_equal(CALL(f, sys_open, str(f, "/data/file"), 0, 0), -EMFILE);
	assert_int_equal(CALL(f, sys_close, 7), 0);
	assert_int_equal(CALL(f, sys_pipe, put(f, NULL, 8)), -EMFILE);
	assert_int_equal(CALL(f, sys_dup, 0), 7);
}

static void
duplicates_share_the_file_and_not_the_flag(struct Fixture *f)
{
	int64_t fd = CALL(f, sys_open, str(f, "/data/file"), O_RDONLY | O_CLOEXEC, 0);
	int64_t copy = CALL(f, sys_dup, (uint64_t) fd);

	assert_int_equal(CALL(f, sys_lseek, (uint64_t) fd, 3, SEEK_SET), 3);
	assert_int_equal(CALL(f, sys_lseek, (uint64_t) copy, 0, SEEK_CUR), 3);
	assert_int_equal(CALL(f, sys_fcntl, (uint64_t) fd, F_GETFD), 1);
	assert_int_equal(CALL(f, sys_fcntl, (uint64_t) copy, F_GETFD), 0);
	assert_int_equal(CALL(f, sys_dup3, (uint64_t) fd, (uint64_t) fd, 0), -EINVAL);
	assert_int_equal(CALL(f, sys_dup2, (uint64_t) fd, (uint64_t) fd), fd);
	assert_int_equal(CALL(f, sys_close, (uint64_t) fd), 0);
	assert_int_equal(CALL(f, sys_lseek, (uint64_t) copy, 0, SEEK_CUR), 3);
}

static void
the_hosts_open_files_keep_their_flags(struct Fixture *f)
{
	int pipes[2], before;

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(lfi_proc_stdio(f->proc, pipes[0], pipes[1], -1), 0);
	before = fcntl(pipes[0], F_GETFL);
	assert_int_equal(CALL(f, sys_fcntl, 0, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(CALL(f, sys_fcntl, 0, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(fcntl(pipes[0], F_GETFL), before);
	assert_int_equal(CALL(f, sys_read, 0, f->memory, 1), -EAGAIN);
	assert_int_equal(CALL(f, sys_write, 1, f->memory, 1), 1);
	assert_int_equal(CALL(f, sys_read, 0, f->memory, 1), 1);
	assert_int_equal(CALL(f, sys_write, 2, f->memory, 1), -EBADF);
	assert_int_equal(CALL(f, sys_fchmod, 0, 0777), -EPERM);
	close(pipes[0]);
	close(pipes[1]);
}

static void
a_broken_pipe_ends_the_program_and_not_the_host(struct Fixture *f)
{
	int pipes[2];
	uint64_t action[4] = {(uint64_t) (uintptr_t) SIG_IGN, 0, 0, 0};

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(lfi_proc_stdio(f->proc, -1, pipes[1], -1), 0);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(CALL(f, sys_rt_sigaction, SIGPIPE, put(f, action, sizeof action), 0, 8), 0);
	assert_int_equal(CALL(f, sys_write, 1, f->memory, 1), -EPIPE);
	assert_false(proc_has_ended(f->proc));
	action[0] = (uint64_t) (uintptr_t) SIG_DFL;
	assert_int_equal(CALL(f, sys_rt_sigaction, SIGPIPE, put(f, action, sizeof action), 0, 8), 0);
	assert_int_equal(CALL(f, sys_write, 1, f->memory, 1), -EPIPE);
	assert_true(proc_has_ended(f->proc));
	assert_int_equal(f->proc->status, 128 + SIGPIPE);
}

static void
polling_sees_the_programs_descriptors(struct Fixture *f)
{
	struct pollfd fds[3] = {{3, POLLIN, 0}, {99, POLLIN, 0}, {-1, POLLIN, 0}};
	lfiptr pipes = put(f, NULL, 8), at = put(f, fds, sizeof fds);
	uint64_t bits[2] = {1 << 3, 0};
	int64_t zero[2] = {0, 0};
	lfiptr set, timeout = put(f, zero, sizeof zero);

	assert_int_equal(CALL(f, sys_pipe, pipes), 0);
	assert_int_equal(CALL(f, sys_poll, at, 3, 0), 1);
	get(f, fds, at, sizeof fds);
	assert_int_equal(fds[0].revents, 0);
	assert_int_equal(fds[1].revents, POLLNVAL);
	assert_int_equal(CALL(f, sys_write, 4, at, 1), 1);
	assert_int_equal(CALL(f, sys_poll, at, 1, 1000), 1);
	assert_int_equal(CALL(f, sys_poll, at, FD_MAX + 1, 0), -EINVAL);
	assert_int_equal(CALL(f, sys_poll, at, UINT64_MAX / 4, 0), -EINVAL);
	set = put(f, bits, sizeof bits);
	assert_int_equal(CALL(f, sys_select, 5, set, 0, 0, timeout), 1);
	get(f, bits, set, sizeof bits);
	assert_int_equal(bits[0], 1 << 3);
	bits[0] = 1 << 7;
	set = put(f, bits, sizeof bits);
	assert_int_equal(CALL(f, sys_select, 9, set, 0, 0, timeout), -EBADF);
	assert_int_equal(CALL(f, sys_select, UINT64_MAX, set, 0, 0, timeout), -EINVAL);
	/* More bits than there are descriptors: only those that can be open are looked at. */
	bits[0] = 1 << 3;
	set = put(f, bits, sizeof bits);
	assert_int_equal(CALL(f, sys_select, 8192, set, 0, 0, timeout), 1);
}

/* ---- Futexes and sleeping ---- */

struct Waiter {
	struct Fixture *f;
	struct LFILinuxThread *thread;
	lfiptr word;
	int64_t result;
};

static void *
wait_forever(void *arg)
{
	struct Waiter *waiter = arg;

	waiter->result =
	    sys_futex(waiter->thread, (const uint64_t[6]){waiter->word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 5});
	return NULL;
}

/* Until the thread has announced its wait, and a little longer. */
static void
let_it_wait(struct Waiter *waiter)
{
	while (!atomic_load(&waiter->thread->waiting_on))
		usleep(100);
	usleep(2000);
}

static void
a_futex_waits_for_its_value_its_time_and_its_waker(struct Fixture *f)
{
	uint32_t value = 5;
	struct timespec soon = {0, 2000000}, negative = {-1, 0};
	lfiptr word = put(f, &value, sizeof value), other = put(f, &value, sizeof value);
	lfiptr time = put(f, &soon, sizeof soon), bad_time = put(f, &negative, sizeof negative);
	struct Waiter waiter = {f, thread_make(f->proc), word, 0};
	pthread_t host;

	assert_int_equal(CALL(f, sys_futex, word, FUTEX_WAIT, 4, 0), -EAGAIN);
	assert_int_equal(CALL(f, sys_futex, word, FUTEX_WAIT, 5, time), -ETIMEDOUT);
	assert_int_equal(CALL(f, sys_futex, word, FUTEX_WAIT_BITSET, 5, time, 0, 1), -ETIMEDOUT);
	assert_int_equal(CALL(f, sys_futex, word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 5, time, 0, 1), -ETIMEDOUT);
	assert_int_equal(CALL(f, sys_futex, word, FUTEX_WAIT, 5, bad_time), -EINVAL);
	assert_int_equal(CALL(f, sys_futex, word + 1, FUTEX_WAIT, 5, time), -EINVAL);
	assert_int_equal(CALL(f, sys_futex, (uint64_t) (uintptr_t) host_bytes, FUTEX_WAKE, 1), -EFAULT);
	assert_int_equal(CALL(f, sys_futex, f->proc->info.min, FUTEX_WAIT, 5, time), -EFAULT);
	assert_int_equal(CALL(f, sys_futex, word, FUTEX_LOCK_PI, 0), -ENOSYS);
	assert_int_equal(CALL(f, sys_futex, word, FUTEX_WAKE, 1), 0);
	assert_int_equal(pthread_create(&host, NULL, wait_forever, &waiter), 0);
	let_it_wait(&waiter);
	assert_int_equal(CALL(f, sys_futex, word, FUTEX_CMP_REQUEUE, 0, 1, other, 4), -EAGAIN);
	assert_int_equal(CALL(f, sys_futex, word, FUTEX_REQUEUE, 0, 1, (uint64_t) (uintptr_t) host_bytes), -EFAULT);
	assert_int_equal(CALL(f, sys_futex, word, FUTEX_REQUEUE, 0, 1, other), 1);
	pthread_join(host, NULL);
	assert_int_equal(waiter.result, 0);
}

static void *
sleep_long(void *arg)
{
	struct Waiter *waiter = arg;

	waiter->result = sys_nanosleep(waiter->thread, (const uint64_t[6]){waiter->word});
	return NULL;
}

static void
the_end_of_a_process_wakes_who_sleeps(struct Fixture *f)
{
	uint32_t value = 5;
	struct timespec long_time = {1000000, 0};
	struct Waiter waiters[2] = {{f, thread_make(f->proc), put(f, &value, sizeof value), 0},
	    {f, thread_make(f->proc), put(f, &long_time, sizeof long_time), 0}};
	pthread_t hosts[2];

	f->proc->end_event = dup(0);
	atomic_store(&f->proc->threaded, true);
	assert_int_equal(pthread_create(&hosts[0], NULL, wait_forever, &waiters[0]), 0);
	assert_int_equal(pthread_create(&hosts[1], NULL, sleep_long, &waiters[1]), 0);
	let_it_wait(&waiters[0]);
	proc_end(f->proc, 3);
	pthread_join(hosts[0], NULL);
	pthread_join(hosts[1], NULL);
	assert_int_equal(waiters[1].result, -EINTR);
	assert_int_equal(f->proc->status, 3);
	proc_end(f->proc, 4);
	assert_int_equal(f->proc->status, 3);
}

static void
sleeping_takes_its_time(struct Fixture *f)
{
	struct timespec time = {0, 20000000}, before, after, bad = {0, 1000000000};

	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(CALL(f, sys_nanosleep, put(f, &time, sizeof time)), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >= 20000000);
	assert_int_equal(CALL(f, sys_nanosleep, put(f, &bad, sizeof bad)), -EINVAL);
	assert_int_equal(
	    CALL(f, sys_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, put(f, &before, sizeof before)), 0);
	assert_int_equal(
	    CALL(f, sys_clock_nanosleep, CLOCK_PROCESS_CPUTIME_ID, 0, put(f, &time, sizeof time)), -EINVAL);
	assert_int_equal(CALL(f, sys_clock_gettime, (uint64_t) -6, f->memory), -EINVAL);
}

/* ---- Processes ---- */

static void
signals_end_the_process_only_by_default(struct Fixture *f)
{
	uint64_t action[4] = {(uint64_t) (uintptr_t) SIG_IGN, 0, 0, 0}, old[4];
	lfiptr given = put(f, action, sizeof action), out = put(f, NULL, sizeof old);
	uint64_t pid = (uint64_t) f->proc->pid;

	assert_int_equal(CALL(f, sys_kill, pid, 0), 0);
	assert_int_equal(CALL(f, sys_kill, 1, SIGTERM), -ESRCH);
	assert_int_equal(CALL(f, sys_kill, (uint64_t) getpid(), SIGTERM), -ESRCH);
	assert_int_equal(CALL(f, sys_kill, (uint64_t) -1, SIGTERM), -ESRCH);
	assert_int_equal(CALL(f, sys_kill, pid, 65), -EINVAL);
	assert_int_equal(CALL(f, sys_tkill, pid + 50, SIGTERM), -ESRCH);
	assert_int_equal(CALL(f, sys_kill, pid, SIGCHLD), 0);
	assert_int_equal(CALL(f, sys_rt_sigaction, SIGTERM, given, 0, 8), 0);
	assert_int_equal(CALL(f, sys_kill, pid, SIGTERM), 0);
	action[0] = 0x1234;
	assert_int_equal(CALL(f, sys_rt_sigaction, SIGTERM, put(f, action, sizeof action), out, 8), 0);
	get(f, old, out, sizeof old);
	assert_int_equal(old[0], (uint64_t) (uintptr_t) SIG_IGN);
	assert_int_equal(CALL(f, sys_kill, pid, SIGTERM), -ENOSYS);
	assert_int_equal(CALL(f, sys_rt_sigaction, SIGKILL, given, 0, 8), -EINVAL);
	assert_int_equal(CALL(f, sys_rt_sigaction, 65, given, 0, 8), -EINVAL);
	assert_int_equal(CALL(f, sys_rt_sigaction, 0, given, 0, 8), -EINVAL);
	assert_int_equal(CALL(f, sys_rt_sigaction, SIGTERM, given, 0, 16), -EINVAL);
	assert_false(proc_has_ended(f->proc));
	/* A fault of the entry, whose end is that of the process. */
	assert_int_equal(CALL(f, sys_tgkill, pid, (uint64_t) f->thread->tid, SIGABRT), 0);
	assert_false(proc_has_ended(f->proc));
	assert_int_equal(CALL(f, sys_tgkill, pid, (uint64_t) f->thread->tid, SIGQUIT), 0);
	assert_true(proc_has_ended(f->proc));
	assert_int_equal(f->proc->status, 128 + SIGQUIT);
}

static void
limits_are_told_and_not_changed(struct Fixture *f)
{
	uint64_t limit[2], lower[2] = {1, 1};
	lfiptr out = put(f, NULL, sizeof limit), in = put(f, lower, sizeof lower);

	assert_int_equal(CALL(f, sys_prlimit64, 0, RLIMIT_NOFILE, 0, out), 0);
	get(f, limit, out, sizeof limit);
	assert_int_equal(limit[0], FD_MAX);
	assert_int_equal(CALL(f, sys_prlimit64, 0, RLIMIT_NOFILE, in, 0), -EPERM);
	assert_int_equal(CALL(f, sys_prlimit64, 0, RLIMIT_NOFILE, out, 0), 0);
	assert_int_equal(CALL(f, sys_prlimit64, 1, RLIMIT_NOFILE, 0, out), -ESRCH);
	assert_int_equal(CALL(f, sys_prlimit64, 0, 99, 0, out), -EINVAL);
	assert_int_equal(CALL(f, sys_getrlimit, RLIMIT_STACK, out), 0);
}

static void
only_threads_can_be_cloned(struct Fixture *f)
{
	const uint64_t thread_flags = 0x7d0f00;

	assert_int_equal(CALL(f, sys_clone, SIGCHLD, 0, 0, 0, 0), -ENOSYS);
	assert_int_equal(CALL(f, sys_clone, 0, 0, 0, 0, 0), -ENOSYS);
	assert_int_equal(CALL(f, sys_clone, thread_flags | 0x10000000, 0, 0, 0, 0), -ENOSYS);
	lfi_ctx_regs(f->thread->ctx)->r11 = f->proc->info.min + 33;
	assert_int_equal(CALL(f, sys_clone, thread_flags, f->memory, 0, 0, 0), -EINVAL);
	lfi_ctx_regs(f->thread->ctx)->r11 = f->proc->info.min + 32;
	assert_int_equal(CALL(f, sys_clone, thread_flags, f->memory, (uint64_t) (uintptr_t) host_bytes, 0, 0), -EFAULT);
}

static void
numbers_without_a_row_are_unknown(void **state)
{
	static const uint64_t numbers[] = {57, 58, 59, 101, 165, 425, 511, 512, 0x40000000, 0x4c4648, UINT64_MAX};

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		assert_null(abi_syscall(numbers[i]));
	assert_string_equal(abi_syscall(0x4c4649)->name, "lfi_ready");
	assert_string_equal(abi_syscall(231)->name, "exit_group");
}

/* In a child process: the limit stays. 0, or the number of the call that was wrong. */
static int
grow_beyond_the_limit(struct Fixture *f)
{
	static const struct rlimit limit = {PAGE, PAGE};
	const struct iovec span = {(void *) (uintptr_t) f->memory, 1};
	uint64_t fd = (uint64_t) CALL(f, sys_open, str(f, "/data/file"), O_RDWR, 0);
	lfiptr vector = put(f, &span, sizeof span);

	if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return 1;
	if (CALL(f, sys_pwrite64, fd, f->memory, 1, PAGE) != -EFBIG)
		return 2;
	if (CALL(f, sys_pwritev, fd, vector, 1, PAGE) != -EFBIG)
		return 3;
	if (CALL(f, sys_ftruncate, fd, PAGE + 1) != -EFBIG)
		return 4;
	if (CALL(f, sys_truncate, str(f, "/data/file"), PAGE + 1) != -EFBIG)
		return 5;
	if (CALL(f, sys_lseek, fd, PAGE, SEEK_SET) != PAGE || CALL(f, sys_write, fd, f->memory, 1) != -EFBIG)
		return 6;
	return CALL(f, sys_pwrite64, fd, f->memory, 1, 0) == 1 ? 0 : 7;
}

static void
a_file_that_grows_beyond_the_hosts_limit_does_not_end_the_host(struct Fixture *f)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		_exit(grow_beyond_the_limit(f));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

struct Reader {
	struct LFILinuxThread *thread;
	uint64_t fd;
	lfiptr buffer;
	size_t got;
};

static void *
read_all(void *arg)
{
	struct Reader *reader = arg;
	int64_t result;

	while ((result = sys_read(reader->thread, (const uint64_t[6]){reader->fd, reader->buffer, PAGE})) > 0)
		reader->got += (size_t) result;
	return NULL;
}

static void
a_pipe_waits_unless_the_program_set_it_not_to(struct Fixture *f)
{
	const struct iovec spans[3] = {{(void *) (uintptr_t) f->memory, 10 * PAGE}, {(void *) (uintptr_t) f->memory, 0},
	    {(void *) (uintptr_t) f->memory, 12 * PAGE + 5}};
	lfiptr out = put(f, NULL, 2 * sizeof(int)), vector = put(f, spans, sizeof spans);
	struct Reader reader = {.thread = thread_make(f->proc), .buffer = f->memory + 15 * PAGE};
	pthread_t host;
	int fds[2];

	assert_int_equal(CALL(f, sys_pipe, out), 0);
	get(f, fds, out, sizeof fds);
	assert_int_equal(CALL(f, sys_fcntl, (uint64_t) fds[0], F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(CALL(f, sys_fcntl, (uint64_t) fds[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(CALL(f, sys_fcntl, (uint64_t) fds[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(CALL(f, sys_read, (uint64_t) fds[0], f->memory, 1), -EAGAIN);
	assert_int_equal(CALL(f, sys_fcntl, (uint64_t) fds[0], F_SETFL, 0), 0);
	/* For the host it never waits: a thread that did could not be woken. */
	for (int i = 0; i < 2; i++)
		assert_int_equal(fcntl(f->proc->fds.files[fds[i]]->host, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(CALL(f, sys_read, (uint64_t) fds[0], f->memory, 0), 0);
	/* More than a pipe holds: written as a whole, in order, while somebody reads. */
	reader.fd = (uint64_t) fds[0];
	assert_int_equal(pthread_create(&host, NULL, read_all, &reader), 0);
	assert_int_equal(CALL(f, sys_writev, (uint64_t) fds[1], vector, 3), 22 * PAGE + 5);
	assert_int_equal(CALL(f, sys_close, (uint64_t) fds[1]), 0);
	pthread_join(host, NULL);
	assert_int_equal(reader.got, 22 * PAGE + 5);
}

static void
the_owner_of_a_lock_is_not_told(struct Fixture *f)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET}, told;
	uint64_t fd = (uint64_t) CALL(f, sys_open, str(f, "/data/file"), O_RDWR, 0);
	lfiptr at = put(f, &lock, sizeof lock);
	int go[2], status;
	char byte = 0;
	pid_t child;

	assert_int_equal(pipe(go), 0);
	child = fork();
	if (child == 0) {
		if (CALL(f, sys_fcntl, fd, F_SETLK, at) != 0 || write(go[1], &byte, 1) != 1)
			_exit(1);
		pause();
	}
	assert_int_equal(read(go[0], &byte, 1), 1);
	assert_int_equal(CALL(f, sys_fcntl, fd, F_SETLK, at), -EAGAIN);
	assert_int_equal(CALL(f, sys_fcntl, fd, F_GETLK, at), 0);
	get(f, &told, at, sizeof told);
	assert_int_equal(told.l_type, F_WRLCK);
	assert_int_equal(told.l_pid, -1);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	close(go[0]);
	close(go[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(no_call_reads_or_writes_through_a_hostile_pointer, one_map, "/data"),
	    TEST(a_path_that_meets_the_end_of_memory_is_a_fault, one_map, NULL),
	    TEST(a_vector_is_checked_element_by_element, one_map, NULL),
	    TEST(code_cannot_be_written_through_a_call, one_map, NULL),
	    TEST(code_that_does_not_verify_is_refused, one_map, NULL),
	    TEST(mappings_are_made_inside_the_sandbox_only, one_map, NULL),
	    TEST(the_break_moves_both_ways_and_stops_at_a_mapping, NULL, NULL),
	    TEST(memory_is_grown_moved_and_cut, NULL, NULL),
	    TEST(memory_given_back_is_zero, NULL, NULL),
	    TEST(host_descriptors_are_not_the_programs, one_map, NULL),
	    TEST(there_are_only_so_many_descriptors, one_map, NULL),
	    TEST(duplicates_share_the_file_and_not_the_flag, one_map, NULL),
	    TEST(the_hosts_open_files_keep_their_flags, NULL, NULL),
	    TEST(a_broken_pipe_ends_the_program_and_not_the_host, NULL, NULL),
	    TEST(polling_sees_the_programs_descriptors, NULL, NULL),
	    TEST(a_futex_waits_for_its_value_its_time_and_its_waker, NULL, NULL),
	    TEST(the_end_of_a_process_wakes_who_sleeps, NULL, NULL),
	    TEST(sleeping_takes_its_time, NULL, NULL),
	    TEST(signals_end_the_process_only_by_default, NULL, NULL),
	    TEST(limits_are_told_and_not_changed, NULL, NULL),
	    TEST(only_threads_can_be_cloned, NULL, NULL),
	    TEST(a_pipe_waits_unless_the_program_set_it_not_to, NULL, NULL),
	    TEST(the_owner_of_a_lock_is_not_told, one_map, NULL),
	    TEST(a_file_that_grows_beyond_the_hosts_limit_does_not_end_the_host, one_map, NULL),
	    cmocka_unit_test(numbers_without_a_row_are_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
