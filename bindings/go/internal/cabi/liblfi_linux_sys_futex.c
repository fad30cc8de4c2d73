//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * futex(2): WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAIT_BITSET, WAKE_BITSET. All are
 * private to the process, and what is to be requeued is woken. Trusted: the host's kernel works on the sandbox's word
 * itself; a word outside the sandbox is EFAULT.
 */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys.h"

int64_t
futex_wake(uint32_t *word, int count)
{
	return host_result(syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0));
}

static uint32_t *
word_at(struct LFILinuxThread *thread, lfiptr address)
{
	return address % sizeof(uint32_t) ? NULL : guest_span(thread, address, sizeof(uint32_t));
}

static int64_t
wait_on(struct LFILinuxThread *thread, uint32_t *word, const uint64_t *args, int operation)
{
	bool bitset = (operation & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
	bool realtime = operation & FUTEX_CLOCK_REALTIME;
	struct timespec time = {0, 0}, deadline = {0, 0};

	if (args[3] && copy_in(thread, &time, args[3], sizeof time) < 0)
		return -EFAULT;
	if (args[3] && (time.tv_sec < 0 || time.tv_nsec < 0 || time.tv_nsec >= 1000000000))
		return -EINVAL;
	if (bitset)
		deadline = time;
	else if (args[3])
		deadline_after(realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC, &time, &deadline);
	return block_futex(thread, word, FUTEX_WAIT_BITSET_PRIVATE | (realtime ? FUTEX_CLOCK_REALTIME : 0),
	    (uint32_t) args[2], args[3] ? &deadline : NULL, bitset ? (uint32_t) args[5] : FUTEX_BITSET_MATCH_ANY);
}

/* What would be moved is woken as well: a waiter must expect that, and who ends the process finds all sleepers. */
static int64_t
requeue(struct LFILinuxThread *thread, uint32_t *word, const uint64_t *args, int command)
{
	int64_t count = (int64_t) (int) args[2] + (int) args[3];
	uint32_t value;

	if (!word_at(thread, args[4]))
		return -EFAULT;
	if ((int) args[2] < 0 || (int) args[3] < 0)
		return -EINVAL;
	if (command == FUTEX_CMP_REQUEUE) {
		if (copy_in(thread, &value, args[0], sizeof value) < 0)
			return -EFAULT;
		if (value != (uint32_t) args[5])
			return -EAGAIN;
	}
	return futex_wake(word, count > INT_MAX ? INT_MAX : (int) count);
}

int64_t
sys_futex(struct LFILinuxThread *thread, const uint64_t *args)
{
	int operation = (int) args[1], command = operation & FUTEX_CMD_MASK;
	uint32_t *word = word_at(thread, args[0]);

	if (!word)
		return args[0] % sizeof(uint32_t) ? -EINVAL : -EFAULT;
	switch (command) {
	case FUTEX_WAIT:
	case FUTEX_WAIT_BITSET:
		return wait_on(thread, word, args, operation);
	case FUTEX_WAKE:
		return futex_wake(word, (int) args[2]);
	case FUTEX_WAKE_BITSET:
		return host_result(
		    syscall(SYS_futex, word, FUTEX_WAKE_BITSET_PRIVATE, (int) args[2], NULL, NULL, (uint32_t) args[5]));
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
		return requeue(thread, word, args, command);
	}
	return -ENOSYS;
}
