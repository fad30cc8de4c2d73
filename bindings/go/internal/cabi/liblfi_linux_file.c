//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* What several system calls on files and times share; see sys.h. Trusted. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core.h"
#include "sys.h"

void
quiet_begin(struct Quiet *quiet, int signal)
{
	sigset_t pending;

	sigemptyset(&quiet->set);
	sigaddset(&quiet->set, signal);
	sigpending(&pending);
	quiet->was_pending = sigismember(&pending, signal);
	pthread_sigmask(SIG_BLOCK, &quiet->set, &quiet->old);
}

void
quiet_end(struct Quiet *quiet, bool raised)
{
	static const struct timespec now = {0, 0};

	if (raised && !quiet->was_pending)
		sigtimedwait(&quiet->set, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &quiet->old, NULL);
}

bool
file_size_limited(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

/* Writing where nobody reads raises SIGPIPE, which would end the host. */
static int64_t
write_quietly(struct LFILinuxThread *thread, int host, const struct iovec *vector, int count)
{
	struct Quiet quiet;
	int64_t result;

	quiet_begin(&quiet, SIGPIPE);
	result = ctx_blocking(thread->ctx, SYS_writev, host, (long) vector, count, 0, 0, 0);
	quiet_end(&quiet, result == -EPIPE);
	return result;
}

static uint64_t
vector_size(const struct iovec *vector, int count)
{
	uint64_t size = 0;

	for (int i = 0; i < count; i++)
		size += vector[i].iov_len;
	return size;
}

static int64_t
read_once(struct LFILinuxThread *thread, int host, const struct iovec *vector, int count)
{
	return ctx_blocking(thread->ctx, SYS_readv, host, (long) vector, count, 0, 0, 0);
}

int64_t
file_read(struct LFILinuxThread *thread, struct File *file, const struct iovec *vector, int count)
{
	if (!file->sleeps || vector_size(vector, count) == 0)
		return RETRY(thread, readv(file->host, vector, count));
	return block_transfer(thread, file, POLLIN, read_once, vector, count);
}

/* Takes the first `done` bytes off the vector. */
static void
advance(struct iovec **vector, int *count, uint64_t done)
{
	while (*count > 0 && done >= (*vector)->iov_len) {
		done -= (*vector)->iov_len;
		++*vector;
		--*count;
	}
	if (*count > 0) {
		(*vector)->iov_base = (char *) (*vector)->iov_base + done;
		(*vector)->iov_len -= done;
	}
}

/* Some of the vector, at least a byte unless it is empty. What a pipe takes as a whole stays whole. */
static int64_t
write_some(struct LFILinuxThread *thread, struct File *file, const struct iovec *vector, int count)
{
	struct iovec first;

	if (!block_is_cut(thread, file) || vector_size(vector, count) <= PIPE_BUF)
		return block_transfer(thread, file, POLLOUT, write_quietly, vector, count);
	while (vector->iov_len == 0)
		vector++;
	first = *vector;
	if (first.iov_len > PIPE_BUF)
		first.iov_len = PIPE_BUF;
	return block_transfer(thread, file, POLLOUT, write_quietly, &first, 1);
}

int64_t
file_write(struct LFILinuxThread *thread, struct File *file, struct iovec *vector, int count)
{
	int64_t done = 0, result;

	if (!file->sleeps || vector_size(vector, count) == 0)
		return GROW(thread, writev(file->host, vector, count));
	/* Who waits until there is room waits until all is written. */
	do {
		result = write_some(thread, file, vector, count);
		if (result > 0) {
			done += result;
			advance(&vector, &count, (uint64_t) result);
		}
	} while (result > 0 && vector_size(vector, count) > 0);
	if (result == -EPIPE)
		signal_raise(thread, SIGPIPE);
	return done > 0 ? done : result;
}

bool
path_is_empty(struct LFILinuxThread *thread, uint64_t path)
{
	char first;

	return path == 0 || (copy_in(thread, &first, path, 1) == 0 && first == 0);
}

int
entry_take(struct LFILinuxThread *thread, int64_t dirfd, uint64_t path, struct Entry *entry)
{
	struct Place place;
	int result = place_take(thread, dirfd, path, &place);

	if (result == 0)
		result = place_writable(&place);
	if (result < 0)
		return result;
	entry->mount = place.mount;
	entry->last = place.last;
	entry->must_dir = place.must_dir;
	entry->parent = place_parent(&place, entry->name);
	return entry->parent < 0 ? entry->parent : 0;
}

void
deadline_after(clockid_t clock, const struct timespec *time, struct timespec *deadline)
{
	clock_gettime(clock, deadline);
	if (__builtin_add_overflow(deadline->tv_sec, time->tv_sec, &deadline->tv_sec))
		deadline->tv_sec = INT64_MAX;
	deadline->tv_nsec += time->tv_nsec;
	if (deadline->tv_nsec >= 1000000000) {
		deadline->tv_nsec -= 1000000000;
		if (deadline->tv_sec < INT64_MAX)
			deadline->tv_sec++;
	}
}
