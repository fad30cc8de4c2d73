/* SPDX-License-Identifier: MIT */
/* What several system calls on files and times share; see sys.h. Trusted. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sys.h"

/*
 * Writing where nobody reads raises SIGPIPE in the writing host thread, which
 * would end the host. The signal is blocked meanwhile, and taken if it came
 * and was not pending before.
 */
static int64_t
write_quietly(struct LFILinuxThread *thread, int host, const struct iovec *vector, int count)
{
	static const struct timespec now = {0, 0};
	sigset_t pipe, pending, old;
	int64_t result;
	bool was_pending;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigpending(&pending);
	was_pending = sigismember(&pending, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &old);
	result = RETRY(thread, writev(host, vector, count));
	if (result == -EPIPE && !was_pending)
		sigtimedwait(&pipe, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return result;
}

int64_t
file_write(struct LFILinuxThread *thread, struct File *file, const struct iovec *vector, int count)
{
	int64_t result = block_file(thread, file, POLLOUT);

	if (result < 0)
		return result;
	if (file->kind == FILE_PLAIN)
		return RETRY(thread, writev(file->host, vector, count));
	result = write_quietly(thread, file->host, vector, count);
	if (result == -EPIPE)
		signal_raise(thread, SIGPIPE);
	return result;
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
