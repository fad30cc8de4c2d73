//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* Files in memory for images, on Linux; see os.h. Trusted. */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* Linux 6.3: the file's mode, which mappings do not ask for, is without x bits for good */
#endif

/* The descriptors 0, 1 and 2 are what programs inherit, also when the host has closed its own. */
static int
above_stdio(int fd)
{
	int moved;

	if (fd < 0 || fd > 2)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	close(fd);
	return moved;
}

int
os_image_new(uint64_t size, int *out)
{
	int fd = memfd_create("lfi", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("lfi", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	fd = above_stdio(fd);
	if (fd < 0)
		return errno;
	if (ftruncate(fd, (off_t) size) < 0) {
		int err = errno;

		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

int
os_image_write(int fd, const void *bytes, size_t size, uint64_t off)
{
	const char *from = bytes;
	ssize_t n;

	while (size > 0) {
		n = pwrite(fd, from, size, (off_t) off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		from += n;
		off += (uint64_t) n;
		size -= (size_t) n;
	}
	return 0;
}

int
os_image_read(int fd, void *bytes, size_t size, uint64_t off)
{
	char *to = bytes;
	ssize_t n;

	while (size > 0) {
		n = pread(fd, to, size, (off_t) off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		to += n;
		off += (uint64_t) n;
		size -= (size_t) n;
	}
	return 0;
}

int
os_image_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ? errno : 0;
}

void
os_image_close(int fd)
{
	close(fd);
}

int
os_discard(uint64_t addr, size_t size)
{
	return madvise((void *) addr, size, MADV_DONTNEED) < 0 ? errno : 0;
}

bool
os_pagemap_touched(int fd, uint64_t addr)
{
	/* Bit 63: in memory; bit 62: swapped out (Documentation/admin-guide/mm/pagemap.rst). */
	const uint64_t present = (uint64_t) 1 << 63, swapped = (uint64_t) 1 << 62;
	uint64_t entry;

	if (fd < 0 || pread(fd, &entry, sizeof entry, (off_t) (addr / os_pagesize() * sizeof entry)) != sizeof entry)
		return true;
	return (entry & (present | swapped)) != 0;
}
