//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * readv(2): readv, writev, preadv, pwritev. A vector with an element outside
 * the sandbox gives EFAULT before anything is transferred. Trusted.
 */
#include "sys.h"

/* Reads the program's vector; each element once. The number of elements or -errno. */
static int
take_vector(struct LFILinuxThread *thread, uint64_t address, uint64_t count, struct iovec vector[IOV_MAX])
{
	int result = copy_in_array(thread, vector, address, count, sizeof vector[0], IOV_MAX);

	if (result < 0)
		return result;
	for (uint64_t i = 0; i < count; i++) {
		vector[i].iov_base = guest_span(thread, (uint64_t) (uintptr_t) vector[i].iov_base, vector[i].iov_len);
		if (!vector[i].iov_base)
			return -EFAULT;
	}
	return (int) count;
}

int64_t
sys_readv(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct iovec vector[IOV_MAX];
	int count = take_vector(thread, args[1], args[2], vector);
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	int64_t result = count;

	if (!file)
		return -EBADF;
	if (count >= 0)
		result = file_read(thread, file, vector, count);
	file_put(file);
	return result;
}

int64_t
sys_writev(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct iovec vector[IOV_MAX];
	int count = take_vector(thread, args[1], args[2], vector);
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	int64_t result = count;

	if (!file)
		return -EBADF;
	if (count >= 0)
		result = file_write(thread, file, vector, count);
	file_put(file);
	return result;
}

int64_t
sys_preadv(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct iovec vector[IOV_MAX];
	int count = take_vector(thread, args[1], args[2], vector);
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	int64_t result = count;

	if (!file)
		return -EBADF;
	if (count >= 0)
		result = RETRY(thread, preadv(file->host, vector, count, (off_t) args[3]));
	file_put(file);
	return result;
}

int64_t
sys_pwritev(struct LFILinuxThread *thread, const uint64_t *args)
{
	struct iovec vector[IOV_MAX];
	int count = take_vector(thread, args[1], args[2], vector);
	struct File *file = fdtable_get(&thread->proc->fds, (uint32_t) args[0]);
	int64_t result = count;

	if (!file)
		return -EBADF;
	if (count >= 0)
		result = GROW(thread, pwritev(file->host, vector, count, (off_t) args[3]));
	file_put(file);
	return result;
}
