//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * select(2): select, pselect6. The signal mask has no effect; select does not store
 * the time left. Trusted.
 */
#include <string.h>
#include <time.h>

#include "sys.h"

enum { WORDS = FD_MAX / 64 };

struct Sets {
	uint64_t bits[3][WORDS]; /* read, write, except */
};

static const short set_events[3] = {POLLIN | POLLRDNORM, POLLOUT | POLLWRNORM, POLLPRI};
static const short set_ready[3] = {POLLIN | POLLRDNORM | POLLHUP | POLLERR, POLLOUT | POLLWRNORM | POLLERR, POLLPRI};

static bool
set_has(const struct Sets *sets, int set, unsigned fd)
{
	return sets->bits[set][fd / 64] >> fd % 64 & 1;
}

static int
take_sets(struct LFILinuxThread *thread, const uint64_t *args, size_t bytes, struct Sets *sets)
{
	memset(sets, 0, sizeof *sets);
	for (int set = 0; set < 3; set++)
		if (args[1 + set] && copy_in(thread, sets->bits[set], args[1 + set], bytes) < 0)
			return -EFAULT;
	return 0;
}

static size_t
list_files(const struct Sets *sets, unsigned count, struct pollfd *fds)
{
	size_t used = 0;

	for (unsigned fd = 0; fd < count; fd++) {
		short events = 0;

		for (int set = 0; set < 3; set++)
			events |= set_has(sets, set, fd) ? set_events[set] : 0;
		if (events)
			fds[used++] = (struct pollfd){.fd = (int) fd, .events = events};
	}
	return used;
}

/* What is ready, in the sets that asked for it. How many bits, or -EBADF. */
static int
give_sets(struct Sets *sets, const struct pollfd *fds, size_t used)
{
	struct Sets asked = *sets;
	int ready = 0;

	memset(sets, 0, sizeof *sets);
	for (size_t i = 0; i < used; i++) {
		unsigned fd = (unsigned) fds[i].fd;

		if (fds[i].revents & POLLNVAL)
			return -EBADF;
		for (int set = 0; set < 3; set++) {
			if (set_has(&asked, set, fd) && fds[i].revents & set_ready[set]) {
				sets->bits[set][fd / 64] |= (uint64_t) 1 << fd % 64;
				ready++;
			}
		}
	}
	return ready;
}

static int64_t
select_for(struct LFILinuxThread *thread, const uint64_t *args, const struct timespec *timeout)
{
	unsigned count = (unsigned) args[0];
	size_t bytes, used;
	struct pollfd fds[FD_MAX];
	struct Sets sets;
	int result;

	if ((int) args[0] < 0)
		return -EINVAL;
	if (count > FD_MAX)
		count = FD_MAX;
	bytes = (count + 63) / 64 * 8;
	if (take_sets(thread, args, bytes, &sets) < 0)
		return -EFAULT;
	used = list_files(&sets, count, fds);
	result = poll_files(thread, fds, used, timeout);
	if (result >= 0)
		result = give_sets(&sets, fds, used);
	for (int set = 0; set < 3 && result >= 0; set++)
		if (args[1 + set] && copy_out(thread, args[1 + set], sets.bits[set], bytes) < 0)
			result = -EFAULT;
	return result;
}

int64_t
sys_select(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct timespec time;
	int64_t given[2];

	if (!args[4])
		return select_for(thread, args, NULL);
	if (copy_in(thread, given, args[4], sizeof given) < 0)
		return -EFAULT;
	if (given[0] < 0 || given[1] < 0)
		return -EINVAL;
	time.tv_nsec = given[1] % 1000000 * 1000;
	if (__builtin_add_overflow(given[0], given[1] / 1000000, &time.tv_sec))
		time.tv_sec = INT64_MAX;
	return select_for(thread, args, &time);
}

int64_t
sys_pselect6(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct timespec time;

	if (args[4] && copy_in(thread, &time, args[4], sizeof time) < 0)
		return -EFAULT;
	return select_for(thread, args, args[4] ? &time : NULL);
}
