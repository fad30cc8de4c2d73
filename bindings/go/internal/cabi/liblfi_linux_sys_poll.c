//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * poll(2): poll, ppoll. The signal mask has no effect; the time left is not stored.
 * Trusted.
 */
#include <time.h>

#include "sys.h"

/* The host's descriptors for the program's; a reference on each file is kept in `files`. */
static void
take_files(
    struct LFILinuxThread *thread, struct pollfd *host, const struct pollfd *guest, struct File **files, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		files[i] = guest[i].fd < 0 ? NULL : fdtable_get(&thread->proc->fds, (uint64_t) guest[i].fd);
		host[i] = (struct pollfd){.fd = files[i] ? files[i]->host : -1, .events = guest[i].events};
	}
}

int
poll_files(struct LFILinuxThread *thread, struct pollfd *fds, size_t count, const struct timespec *timeout)
{
	static const struct timespec now = {0, 0};
	struct pollfd host[FD_MAX + 1];
	struct File *files[FD_MAX];
	int bad = 0, ready;

	take_files(thread, host, fds, files, count);
	for (size_t i = 0; i < count; i++)
		bad += fds[i].fd >= 0 && !files[i];
	ready = block_poll(thread, host, count, bad ? &now : timeout);
	for (size_t i = 0; i < count; i++) {
		fds[i].revents = fds[i].fd >= 0 && !files[i] ? POLLNVAL : host[i].revents;
		file_put(files[i]);
	}
	return ready < 0 ? ready : ready + bad;
}

static int64_t
poll_for(struct LFILinuxThread *thread, uint64_t address, uint64_t count, const struct timespec *timeout)
{
	struct pollfd fds[FD_MAX];
	int64_t result = copy_in_array(thread, fds, address, count, sizeof fds[0], FD_MAX);

	if (result < 0)
		return result;
	result = poll_files(thread, fds, count, timeout);
	if (result >= 0 && count && copy_out(thread, address, fds, count * sizeof fds[0]) < 0)
		return -EFAULT;
	return result;
}

int64_t
sys_poll(struct LFILinuxThread *thread, const uint64_t *args)
{
	int timeout = (int) args[2];
	struct timespec time = {timeout / 1000, timeout % 1000 * 1000000L};

	return poll_for(thread, args[0], args[1], timeout < 0 ? NULL : &time);
}

int64_t
sys_ppoll(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct timespec time;

	if (args[2] && copy_in(thread, &time, args[2], sizeof time) < 0)
		return -EFAULT;
	return poll_for(thread, args[0], args[1], args[2] ? &time : NULL);
}
