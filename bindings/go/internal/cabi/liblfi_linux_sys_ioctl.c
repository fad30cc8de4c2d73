//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * ioctl(2). Served: TCGETS and TIOCGWINSZ of terminals, FIONREAD, FIONBIO, FIOCLEX
 * and FIONCLEX. All else gives ENOTTY. Trusted.
 */
#include <fcntl.h>
#include <sys/ioctl.h>

#include "sys.h"

/* Bytes that the kernel writes for TCGETS: struct termios as the kernel has it, smaller than libc's. */
enum { KERNEL_TERMIOS = 36 };

static int64_t
ioctl_out(struct LFILinuxThread *thread, struct File *file, unsigned long request, size_t size, uint64_t out)
{
	unsigned char answer[64] = {0};

	if (ioctl(file->host, request, answer) < 0)
		return -errno;
	return copy_out(thread, out, answer, size);
}

static int64_t
set_nonblock(struct LFILinuxThread *thread, struct File *file, uint64_t address)
{
	int flags = atomic_load(&file->flags);
	int on;

	if (copy_in(thread, &on, address, sizeof on) < 0)
		return -EFAULT;
	return file_set_flags(file, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

static int64_t
ioctl_file(struct LFILinuxThread *thread, struct File *file, const uint64_t *args)
{
	switch ((uint32_t) args[1]) {
	case TCGETS:
		return ioctl_out(thread, file, TCGETS, KERNEL_TERMIOS, args[2]);
	case TIOCGWINSZ:
		return ioctl_out(thread, file, TIOCGWINSZ, sizeof(struct winsize), args[2]);
	case FIONREAD:
		return ioctl_out(thread, file, FIONREAD, sizeof(int), args[2]);
	case FIONBIO:
		return set_nonblock(thread, file, args[2]);
	case FIOCLEX:
	case FIONCLEX:
		return fdtable_set_cloexec(&thread->proc->fds, (uint32_t) args[0], (uint32_t) args[1] == FIOCLEX);
	}
	return -ENOTTY;
}

int64_t
sys_ioctl(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	int64_t result;

	if (!file)
		return -EBADF;
	result = ioctl_file(thread, file, args);
	file_put(file);
	return result;
}
