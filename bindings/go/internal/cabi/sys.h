/* SPDX-License-Identifier: MIT */
/*
 * The system calls: sys/<man page>.c each, rows of abi/<arch>/table.c. Trusted.
 *
 * A handler gets the calling thread and the six argument registers as they
 * were; it returns what goes to the result register, -errno for an error. An
 * int argument is cut to its width by the handler, as the kernel does.
 */
#ifndef LINUX_SYS_H
#define LINUX_SYS_H

#include <poll.h>
#include <signal.h>
#include <sys/uio.h>

#include "abi.h"
#include "block.h"
#include "error.h"
#include "guest.h"

typedef int64_t (*SysHandler)(struct LFILinuxThread *thread, const uint64_t *args);

/*
 * A row. `kinds` says how to show each argument: d int, u unsigned, x flags,
 * o mode in octal, p address, s path or other string. Its length is the arity.
 */
struct SysCall {
	const char *name;
	const char *kinds;
	SysHandler handler; /* NULL: no such call */
};

/* The row for a number, or NULL. */
const struct SysCall *abi_syscall(uint64_t number);

enum { PAGE_BYTES = 4096 };

/* A host call that does not sleep for long, again when a signal of the host interrupted it; its result or -errno. */
#define RETRY(thread, call)                                                        \
	__extension__({                                                            \
		int64_t retry_result;                                              \
		do                                                                 \
			retry_result = host_result(call);                          \
		while (retry_result == -EINTR && !proc_has_ended((thread)->proc)); \
		retry_result;                                                      \
	})

/*
 * A host call that may raise `signal` in the calling host thread, which would end the host, stands between these two:
 * the signal is blocked meanwhile, and taken when it was raised and not pending before.
 */
struct Quiet {
	bool was_pending;
	sigset_t set, old;
};
void quiet_begin(struct Quiet *quiet, int signal);
void quiet_end(struct Quiet *quiet, bool raised);

/* Whether the host process has a limit on the size of files: beyond it, SIGXFSZ is raised. */
bool file_size_limited(void);

/* As RETRY, for calls that may make a file larger. */
#define GROW(thread, call)                                             \
	__extension__({                                                \
		struct Quiet grow_quiet;                               \
		bool grow_limited = file_size_limited();               \
		int64_t grow_result;                                   \
		if (grow_limited)                                      \
			quiet_begin(&grow_quiet, SIGXFSZ);             \
		grow_result = RETRY(thread, call);                     \
		if (grow_limited)                                      \
			quiet_end(&grow_quiet, grow_result == -EFBIG); \
		grow_result;                                           \
	})

/* ---- Shared by handlers; see file.c ---- */

/* read and readv. */
int64_t file_read(struct LFILinuxThread *thread, struct File *file, const struct iovec *vector, int count);

/* write and writev; changes the vector. */
int64_t file_write(struct LFILinuxThread *thread, struct File *file, struct iovec *vector, int count);

/* F_SETFL. 0 or -errno. */
int file_set_flags(struct File *file, int flags);

/* Whether the program's path is NULL or "", for calls with AT_EMPTY_PATH. */
bool path_is_empty(struct LFILinuxThread *thread, uint64_t path);

/* A directory entry that a call makes, removes or renames. */
struct Entry {
	int parent; /* host descriptor, the caller's to close */
	char name[NAME_MAX + 1];
	const struct Mount *mount;
	enum PathLast last;
	bool must_dir;
};

/* 0, or -errno: also -EROFS, and -EBUSY for the root of a mapping. */
int entry_take(struct LFILinuxThread *thread, int64_t dirfd, uint64_t path, struct Entry *entry);

int64_t unlink_entry(struct LFILinuxThread *thread, int64_t dirfd, uint64_t path, int flags);

/* As poll on the program's descriptors, in host memory; count <= FD_MAX. */
int poll_files(struct LFILinuxThread *thread, struct pollfd *fds, size_t count, const struct timespec *timeout);

/* Whether the emulation has that clock. */
bool clock_is_known(uint64_t clock);

/* Now, plus a time that was checked. */
void deadline_after(clockid_t clock, const struct timespec *time, struct timespec *deadline);

int64_t futex_wake(uint32_t *word, int count);

/* ---- Handlers ---- */

#define SYSCALL(name) int64_t name(struct LFILinuxThread *thread, const uint64_t *args)

SYSCALL(sys_access);
SYSCALL(sys_faccessat);
SYSCALL(sys_faccessat2);
SYSCALL(sys_arch_prctl);
SYSCALL(sys_brk);
SYSCALL(sys_chdir);
SYSCALL(sys_fchdir);
SYSCALL(sys_chmod);
SYSCALL(sys_fchmodat);
SYSCALL(sys_fchmod);
SYSCALL(sys_clock_gettime);
SYSCALL(sys_clock_getres);
SYSCALL(sys_clone);
SYSCALL(sys_close);
SYSCALL(sys_dup);
SYSCALL(sys_dup2);
SYSCALL(sys_dup3);
SYSCALL(sys_exit);
SYSCALL(sys_exit_group);
SYSCALL(sys_fcntl);
SYSCALL(sys_fsync);
SYSCALL(sys_fdatasync);
SYSCALL(sys_futex);
SYSCALL(sys_getcwd);
SYSCALL(sys_getdents64);
SYSCALL(sys_getpid);
SYSCALL(sys_gettid);
SYSCALL(sys_getppid);
SYSCALL(sys_getrandom);
SYSCALL(sys_getrlimit);
SYSCALL(sys_setrlimit);
SYSCALL(sys_prlimit64);
SYSCALL(sys_gettimeofday);
SYSCALL(sys_time);
SYSCALL(sys_getuid);
SYSCALL(sys_getgid);
SYSCALL(sys_ioctl);
SYSCALL(sys_kill);
SYSCALL(sys_tkill);
SYSCALL(sys_tgkill);
SYSCALL(sys_lfi_ready);
SYSCALL(sys_link);
SYSCALL(sys_linkat);
SYSCALL(sys_lseek);
SYSCALL(sys_madvise);
SYSCALL(sys_mkdir);
SYSCALL(sys_mkdirat);
SYSCALL(sys_mmap);
SYSCALL(sys_munmap);
SYSCALL(sys_mprotect);
SYSCALL(sys_mremap);
SYSCALL(sys_nanosleep);
SYSCALL(sys_clock_nanosleep);
SYSCALL(sys_open);
SYSCALL(sys_openat);
SYSCALL(sys_creat);
SYSCALL(sys_pipe);
SYSCALL(sys_pipe2);
SYSCALL(sys_poll);
SYSCALL(sys_ppoll);
SYSCALL(sys_pread64);
SYSCALL(sys_pwrite64);
SYSCALL(sys_read);
SYSCALL(sys_readlink);
SYSCALL(sys_readlinkat);
SYSCALL(sys_readv);
SYSCALL(sys_writev);
SYSCALL(sys_preadv);
SYSCALL(sys_pwritev);
SYSCALL(sys_rename);
SYSCALL(sys_renameat);
SYSCALL(sys_renameat2);
SYSCALL(sys_rmdir);
SYSCALL(sys_sched_yield);
SYSCALL(sys_sched_getaffinity);
SYSCALL(sys_select);
SYSCALL(sys_pselect6);
SYSCALL(sys_set_tid_address);
SYSCALL(sys_set_robust_list);
SYSCALL(sys_rt_sigaction);
SYSCALL(sys_rt_sigprocmask);
SYSCALL(sys_sigaltstack);
SYSCALL(sys_stat);
SYSCALL(sys_lstat);
SYSCALL(sys_fstat);
SYSCALL(sys_newfstatat);
SYSCALL(sys_statx);
SYSCALL(sys_symlink);
SYSCALL(sys_symlinkat);
SYSCALL(sys_sysinfo);
SYSCALL(sys_times);
SYSCALL(sys_getrusage);
SYSCALL(sys_truncate);
SYSCALL(sys_ftruncate);
SYSCALL(sys_umask);
SYSCALL(sys_uname);
SYSCALL(sys_unlink);
SYSCALL(sys_unlinkat);
SYSCALL(sys_utimensat);
SYSCALL(sys_write);

#endif
