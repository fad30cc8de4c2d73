/* SPDX-License-Identifier: MIT */
/*
 * A process's descriptors. The program sees indices of this table, never a
 * host descriptor. Trusted.
 *
 *   I1  Who uses a file holds a reference: a close in another thread does not give the host descriptor to somebody
 *       else meanwhile.
 *   I2  The table owns its host descriptors: they were opened or duplicated for it, close-on-exec.
 */
#ifndef LINUX_FDTABLE_H
#define LINUX_FDTABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct LFIBox;

enum { FD_MAX = 256 };

enum FileKind {
	FILE_PLAIN, /* regular file */
	FILE_DIR,
	FILE_PIPE,  /* pipes, and all else that can block; O_NONBLOCK for the host, whatever the program set */
	FILE_STDIO, /* given by the host; its flags are not the program's to change */
};

struct File {
	_Atomic unsigned refs;
	int host;
	enum FileKind kind;
	bool readonly;     /* from a read-only mapping, or the host's: no change of metadata */
	bool sleeps;       /* reading and writing may have to wait */
	_Atomic int flags; /* O_NONBLOCK and O_APPEND as the program set them */
	char *path;        /* of a directory: its path in the sandbox, normalised; else NULL */
};

struct FDTable {
	pthread_mutex_t lock;
	struct File *files[FD_MAX];
	bool cloexec[FD_MAX];
	struct LFIBox *box; /* whose limits hold; NULL: none */
};

/* A file with one reference; takes `host` over, also on failure. `path` is copied. NULL: no memory. */
struct File *file_new(int host, enum FileKind kind, bool readonly, int flags, const char *path);
void file_put(struct File *file);

void fdtable_init(struct FDTable *table);

/* A new table with the same open files. Its lock is not taken: fdtable_copy takes the two the other way round. */
void fdtable_init_copy(struct FDTable *table, struct FDTable *from);

/* Descriptors become those of `from`: the same open files, as after fork(2). What else there was is closed. */
void fdtable_copy(struct FDTable *table, struct FDTable *from);
void fdtable_clear(struct FDTable *table);

/* The file with a reference more, or NULL. */
struct File *fdtable_get(struct FDTable *table, uint64_t fd);

/* Descriptors are below this, now: FD_MAX, or what the box's limits say. Those that are above stay. */
unsigned fdtable_limit(const struct FDTable *table);

/* Puts the file, whose reference it takes over, at the lowest free index >= low. The index, or -EMFILE. */
int fdtable_add(struct FDTable *table, struct File *file, unsigned low, bool cloexec);

/* Puts the file at `fd` < FD_MAX, closing what is there. */
void fdtable_set(struct FDTable *table, unsigned fd, struct File *file, bool cloexec);

/* 0 or -EBADF. */
int fdtable_close(struct FDTable *table, uint64_t fd);

/* The flag, 0 or 1, or -EBADF. */
int fdtable_cloexec(struct FDTable *table, uint64_t fd);
int fdtable_set_cloexec(struct FDTable *table, uint64_t fd, bool cloexec);

#endif
