//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* A process's descriptors; see fdtable.h. Trusted. */
#include "fdtable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core.h"

/* Regular files do not wait, nor do directories; of what the host gave we look what it is. */
static bool
may_sleep(int host, enum FileKind kind)
{
	struct stat st;

	if (kind != FILE_STDIO)
		return kind == FILE_PIPE;
	return fstat(host, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

struct File *
file_new(int host, enum FileKind kind, bool readonly, int flags, const char *path)
{
	struct File *file = calloc(1, sizeof *file);

	if (file && path)
		file->path = strdup(path);
	if (!file || (path && !file->path)) {
		free(file);
		close(host);
		return NULL;
	}
	atomic_init(&file->refs, 1);
	file->host = host;
	file->kind = kind;
	file->readonly = readonly;
	file->sleeps = may_sleep(host, kind);
	atomic_init(&file->flags, flags);
	return file;
}

void
file_put(struct File *file)
{
	if (!file || atomic_fetch_sub(&file->refs, 1) != 1)
		return;
	close(file->host);
	free(file->path);
	free(file);
}

void
fdtable_init(struct FDTable *table)
{
	memset(table, 0, sizeof *table);
	pthread_mutex_init(&table->lock, NULL);
}

void
fdtable_init_copy(struct FDTable *table, struct FDTable *from)
{
	fdtable_init(table);
	pthread_mutex_lock(&from->lock);
	memcpy(table->files, from->files, sizeof table->files);
	memcpy(table->cloexec, from->cloexec, sizeof table->cloexec);
	for (unsigned fd = 0; fd < FD_MAX; fd++)
		if (table->files[fd])
			atomic_fetch_add(&table->files[fd]->refs, 1);
	pthread_mutex_unlock(&from->lock);
}

void
fdtable_copy(struct FDTable *table, struct FDTable *from)
{
	struct File *closed[FD_MAX];
	unsigned n = 0;

	pthread_mutex_lock(&from->lock);
	pthread_mutex_lock(&table->lock);
	for (unsigned fd = 0; fd < FD_MAX; fd++) {
		struct File *file = from->files[fd];

		table->cloexec[fd] = from->cloexec[fd];
		if (table->files[fd] == file)
			continue;
		if (file)
			atomic_fetch_add(&file->refs, 1);
		closed[n++] = table->files[fd];
		table->files[fd] = file;
	}
	pthread_mutex_unlock(&table->lock);
	pthread_mutex_unlock(&from->lock);
	while (n > 0)
		file_put(closed[--n]);
}

void
fdtable_clear(struct FDTable *table)
{
	for (unsigned fd = 0; fd < FD_MAX; fd++)
		file_put(table->files[fd]);
	pthread_mutex_destroy(&table->lock);
}

struct File *
fdtable_get(struct FDTable *table, uint64_t fd)
{
	struct File *file = NULL;

	if (fd >= FD_MAX)
		return NULL;
	pthread_mutex_lock(&table->lock);
	file = table->files[fd];
	if (file)
		atomic_fetch_add(&file->refs, 1);
	pthread_mutex_unlock(&table->lock);
	return file;
}

unsigned
fdtable_limit(const struct FDTable *table)
{
	uint32_t files = table->box ? box_files_limit(table->box) : 0;

	return files && files < FD_MAX ? files : FD_MAX;
}

int
fdtable_add(struct FDTable *table, struct File *file, unsigned low, bool cloexec)
{
	unsigned fd = low, limit = fdtable_limit(table);

	pthread_mutex_lock(&table->lock);
	while (fd < limit && table->files[fd])
		fd++;
	if (fd < limit) {
		table->files[fd] = file;
		table->cloexec[fd] = cloexec;
	}
	pthread_mutex_unlock(&table->lock);
	if (fd < limit)
		return (int) fd;
	file_put(file);
	return -EMFILE;
}

void
fdtable_set(struct FDTable *table, unsigned fd, struct File *file, bool cloexec)
{
	struct File *old;

	pthread_mutex_lock(&table->lock);
	old = table->files[fd];
	table->files[fd] = file;
	table->cloexec[fd] = cloexec;
	pthread_mutex_unlock(&table->lock);
	file_put(old);
}

int
fdtable_close(struct FDTable *table, uint64_t fd)
{
	struct File *old;

	if (fd >= FD_MAX)
		return -EBADF;
	pthread_mutex_lock(&table->lock);
	old = table->files[fd];
	table->files[fd] = NULL;
	pthread_mutex_unlock(&table->lock);
	if (!old)
		return -EBADF;
	file_put(old);
	return 0;
}

int
fdtable_cloexec(struct FDTable *table, uint64_t fd)
{
	int result = -EBADF;

	if (fd >= FD_MAX)
		return result;
	pthread_mutex_lock(&table->lock);
	if (table->files[fd])
		result = table->cloexec[fd];
	pthread_mutex_unlock(&table->lock);
	return result;
}

int
fdtable_set_cloexec(struct FDTable *table, uint64_t fd, bool cloexec)
{
	int result = -EBADF;

	if (fd >= FD_MAX)
		return result;
	pthread_mutex_lock(&table->lock);
	if (table->files[fd]) {
		table->cloexec[fd] = cloexec;
		result = 0;
	}
	pthread_mutex_unlock(&table->lock);
	return result;
}
