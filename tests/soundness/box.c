/* SPDX-License-Identifier: MIT */
/*
 * The memory that programs run in: section 10 of the scheme, made by hand. The whole box between its guards is readable
 * and writable, page by page as it is touched; its code lies in the middle. Within S outside of it, nothing is mapped
 * but the table's page; beyond that, pages of canaries. After arena_lock no other page of the process is writable.
 */
#include "soundness.h"

#include <fcntl.h>
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

struct place place;
struct shared *shared;
struct arena *arena;

static void
fail(const char *what)
{
	perror(what);
	exit(2);
}

static void *
map(uint64_t at, size_t size, int prot, int flags)
{
	void *p = mmap((void *) at, size, prot, MAP_ANONYMOUS | flags | (at ? MAP_FIXED : 0), -1, 0);

	if (p == MAP_FAILED)
		fail("soundness: mmap");
	return p;
}

/* Each byte says where it is, so that none can be moved onto another unseen. */
static uint8_t
canary(const uint8_t *at)
{
	uint64_t x = (uint64_t) (uintptr_t) at * 0x9e3779b97f4a7c15;

	return (uint8_t) (x >> 56);
}

static void
canaries_fill(uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = canary(bytes + i);
}

static bool
canaries_same(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != canary(bytes + i))
			return false;
	return true;
}

/* Three boxes' worth of nothing, and the second of them. */
static void
box_new(void)
{
	uint8_t *reserved = mmap(NULL, 4 * GIB4, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (reserved == MAP_FAILED)
		fail("soundness: no address space");
	place.base = ((uint64_t) (uintptr_t) reserved + 2 * GIB4 - 1) / GIB4 * GIB4;
	map(place.base + GUARD, GIB4 - 2 * GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
	madvise((void *) (place.base + GUARD), GIB4 - 2 * GUARD, MADV_NOHUGEPAGE);
	place.before = map(place.base - GUARD - CANARY_SIZE, CANARY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	place.after = map(place.base + GIB4 + GUARD, CANARY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	canaries_fill(place.before, CANARY_SIZE);
	canaries_fill(place.after, CANARY_SIZE);
}

/* The stubs trap, and the handler does what the runtime would. */
static void
table_new(void)
{
	uint8_t *stubs = map(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	uint64_t *table = map(place.base - 4096, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	uint64_t *copy = map(place.base, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	memset(stubs, 0xcc, 4096);
	place.stubs = (uint64_t) (uintptr_t) stubs;
	for (unsigned n = 1; n <= ENTRIES; n++)
		table[512 - n] = place.stubs + 64 * n;
	for (unsigned n = 1; n <= 4; n++)
		copy[n - 1] = place.stubs + 64 * n;
	mprotect(stubs, 4096, PROT_READ | PROT_EXEC);
	mprotect(table, 4096, PROT_READ);
	mprotect(copy, 4096, PROT_READ);
}

static void
context_new(void)
{
	uint8_t *page = map(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	canaries_fill(page, 4096);
	place.context = (uint64_t) (uintptr_t) page + 2048;
}

static void
read_program(const char *path)
{
	int fd = open(path, O_RDONLY);
	uint8_t *bytes = map(0, TEXT_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	ssize_t size = fd < 0 ? -1 : read(fd, bytes, TEXT_MAX);

	if (size < 0)
		fail(path);
	close(fd);
	place.text = bytes;
	place.text_size = (size_t) size;
}

void
place_init(const char *program)
{
	box_new();
	table_new();
	context_new();
	if (program)
		read_program(program);
	shared = map(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED);
}

/* At a place of its own, which a stray pointer does not find. */
void
arena_new(void)
{
	uint64_t at = 0x100000000000 + (((uint64_t) getpid() * 0x9e3779b97f4a7c15) >> 20 & 0x1fffffff000);

	arena = mmap((void *) at, sizeof *arena, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena == MAP_FAILED)
		fail("soundness: arena");
}

static bool
stays_writable(uint64_t start)
{
	uint64_t at = (uint64_t) (uintptr_t) arena, sh = (uint64_t) (uintptr_t) shared;

	return (start >= at && start < at + sizeof *arena) || (start >= sh && start < sh + sizeof *shared) ||
	       (start >= place.base - GUARD - CANARY_SIZE && start < place.base + GIB4 + GUARD + CANARY_SIZE) ||
	       start == place.context - 2048;
}

/* The kernel writes there when it preempts a thread, and the C library has it in a page that is about to be read-only.
 */
static void
rseq_give_back(void)
{
	void *area = (uint8_t *) __builtin_thread_pointer() + __rseq_offset;

	if (__rseq_size)
		syscall(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
}

/* Everything else that this process could write to becomes read-only; from here on, no stack and no libc state but
 * ours. */
void
arena_lock(void)
{
	char *line = (char *) arena->maps;
	int fd = open("/proc/self/maps", O_RDONLY);
	ssize_t got, size = 0;

	while ((got = read(fd, arena->maps + size, sizeof arena->maps - 1 - (size_t) size)) > 0)
		size += got;
	close(fd);
	rseq_give_back();
	place.fs = _readfsbase_u64();
	while (*line) {
		char *end;
		uint64_t start = strtoull(line, &end, 16), stop = strtoull(end + 1, &end, 16);
		bool writable = end[2] == 'w';

		if (writable && !stays_writable(start))
			mprotect((void *) start, stop - start, PROT_READ);
		while (*line && *line++ != '\n')
			continue;
	}
}

/* What the program left in the box; the code is put in by the caller. */
void
box_clear(void)
{
	madvise((void *) (place.base + GUARD), CODE_OFFSET - GUARD, MADV_DONTNEED);
	madvise((void *) (place.base + CODE_OFFSET + CODE_SIZE), GIB4 - GUARD - CODE_OFFSET - CODE_SIZE, MADV_DONTNEED);
}

/* The context block's thread pointer is the program's. */
bool
canaries_whole(void)
{
	const uint8_t *page = (const uint8_t *) place.context - 2048;

	return canaries_same(place.before, CANARY_SIZE) && canaries_same(place.after, CANARY_SIZE) &&
	       canaries_same(page, 2048 + 16) && canaries_same(page + 2048 + 24, 4096 - 2048 - 24);
}
