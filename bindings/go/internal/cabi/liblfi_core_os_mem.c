//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* The host's memory, on Linux; see os.h. Trusted. */
#include <assert.h>
#include <errno.h>
#include "lfi_core.h"
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os.h"

static_assert(PROT_READ == LFI_PROT_READ && PROT_WRITE == LFI_PROT_WRITE && PROT_EXEC == LFI_PROT_EXEC, "same numbers");
static_assert(MAP_SHARED == LFI_MAP_SHARED && MAP_PRIVATE == LFI_MAP_PRIVATE && MAP_ANONYMOUS == LFI_MAP_ANONYMOUS,
    "same numbers");

static int
map(void *addr, size_t size, int prot, int flags, int fd, off_t off, void **out)
{
	void *got = mmap(addr, size, prot, flags, fd, off);

	if (got == MAP_FAILED)
		return errno;
	*out = got;
	return 0;
}

int
os_reserve(size_t size, void **out)
{
	return map(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, out);
}

/*
 * A process may have so many mappings, and at that number the kernel does not even let go of some: replacing them
 * may first take one more. These are kept to be given up then.
 */
static pthread_mutex_t spare_lock = PTHREAD_MUTEX_INITIALIZER;
static void *spare;
#define SPARES 4

/* Neighbours with different protections are mappings of their own. */
static void
spare_make(void)
{
	size_t page = os_pagesize();

	if (spare || os_reserve(SPARES * page, &spare) != 0)
		return;
	for (size_t i = 0; i < SPARES; i += 2)
		mprotect((char *) spare + i * page, page, PROT_READ);
}

static void
spare_drop(void)
{
	if (spare)
		munmap(spare, SPARES * os_pagesize());
	spare = NULL;
}

void
os_spare_init(void)
{
	pthread_mutex_lock(&spare_lock);
	spare_make();
	pthread_mutex_unlock(&spare_lock);
}

void
os_spare_fork(enum ForkStep step)
{
	fork_lock(&spare_lock, step);
}

static int
unuse(uint64_t addr, size_t size)
{
	void *got;

	return map(
	    (void *) addr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0, &got);
}

int
os_unuse(uint64_t addr, size_t size)
{
	int err = unuse(addr, size);

	if (err != ENOMEM)
		return err;
	pthread_mutex_lock(&spare_lock);
	spare_drop();
	err = unuse(addr, size);
	spare_make();
	pthread_mutex_unlock(&spare_lock);
	return err;
}

bool
os_mapped(uint64_t addr, size_t size)
{
	/* MS_ASYNC does nothing but find holes (msync(2)). */
	return msync((void *) addr, size, MS_ASYNC) == 0;
}

void
os_release(void *addr, size_t size)
{
	munmap(addr, size);
}

int
os_map(uint64_t addr, size_t size, int prot, int flags, int fd, off_t off, void **out)
{
	return map((void *) addr, size, prot, flags | (addr ? MAP_FIXED : 0), fd, off, out);
}

int
os_protect(uint64_t addr, size_t size, int prot)
{
	return mprotect((void *) addr, size, prot) < 0 ? errno : 0;
}

int
os_move(void *from, size_t size, uint64_t to)
{
	return mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *) to) == MAP_FAILED ? errno : 0;
}

int
os_duplicate(void *from, size_t size, uint64_t to)
{
	/* An old size of 0 leaves a shared mapping where it is (mremap(2)). */
	return mremap(from, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *) to) == MAP_FAILED ? errno : 0;
}

int
os_shareable(size_t size, void **out)
{
	return map(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0, out);
}

int
os_random_page(size_t size, void **out)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	uint64_t addr;

	for (int try = 0; try < 16; try++) {
		if (getrandom(&addr, sizeof addr, 0) != sizeof addr)
			break;
		/* Anywhere in 46 bits above the first 4 GiB; the kernel goes elsewhere when that is taken. */
		addr = (addr & 0x3ffffffff000) | ((uint64_t) 1 << 32);
		if (map((void *) addr, size, PROT_READ | PROT_WRITE, flags, -1, 0, out) != 0)
			continue;
		if (*out == (void *) addr)
			return 0;
		munmap(*out, size);
	}
	return map(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0, out);
}

bool
os_barrier_init(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

bool
os_barrier(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

size_t
os_pagesize(void)
{
	return (size_t) sysconf(_SC_PAGESIZE);
}
