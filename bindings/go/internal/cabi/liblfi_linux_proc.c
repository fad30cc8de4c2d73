//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Processes: making, loading, symbols, ending. Trusted.
 *
 *   I1  The program's bytes are read from the caller's buffer, or from a private copy of the file; never from a file
 *       that somebody can change meanwhile.
 *   I2  What a failed load mapped is unmapped (lib/load), and the process can be loaded again.
 *   I3  Once a process has ended no thread of it runs sandboxed code for long: sleepers are woken, and where there
 *       are other threads the code loses its execute permission, so that a loop ends in a fault.
 *   I4  While a process is freed or reset no release callback (thread.c) looks at it: box_release_close.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block.h"
#include "core.h"
#include "error.h"
#include "guest.h"
#include "options.h"

/* A program is at most as large as a sandbox. */
static const off_t file_max = (off_t) 1 << 32;

/*
 * Numbers of processes start above 1 and lie so far apart that threads find room; with those of threads they stay below
 * 2^30, where Linux's futexes end.
 */
enum { FIRST_PID = 100, PIDS = 1000000 };

/* The status of a process that was freed while it had threads: as by SIGKILL. */
enum { ENDED_BY_HOST = 128 + 9 };

static bool symbolize(struct LFIBox *box, lfiptr addr, char *name, size_t room, uint64_t *offset);

/* ---- Making ---- */

int
proc_check(const struct LFILinuxProc *proc)
{
	if (handle_check(proc, HANDLE_PROC) < 0)
		return -1;
	if (atomic_load_explicit(&proc->given, memory_order_relaxed))
		return error_set(LFI_ERR_INVALID, "process %p was given back to its pool", (const void *) proc);
	return 0;
}

/* The program's descriptor `guest` becomes a duplicate of the host's. */
static int
set_stdio(struct LFILinuxProc *proc, unsigned guest, int host)
{
	struct File *file = NULL;
	int copy;

	if (host >= 0) {
		copy = fcntl(host, F_DUPFD_CLOEXEC, 3);
		if (copy < 0)
			return error_set_os(LFI_ERR_OS, errno, "host descriptor %d as the program's %u", host, guest);
		file = file_new(copy, FILE_STDIO, true, 0, NULL);
		if (!file)
			return error_set(LFI_ERR_NOMEM, "no memory for descriptor %u", guest);
	}
	fdtable_set(&proc->fds, guest, file, false);
	return 0;
}

int
lfi_proc_stdio(struct LFILinuxProc *proc, int in, int out, int err)
{
	const int hosts[3] = {in, out, err};

	if (proc_check(proc) < 0)
		return -1;
	for (unsigned guest = 0; guest < 3; guest++)
		if (set_stdio(proc, guest, hosts[guest]) < 0)
			return -1;
	return 0;
}

/* 0, 1 and 2 of the host where they are open. */
static int
inherit_stdio(struct LFILinuxProc *proc)
{
	int hosts[3];

	for (int fd = 0; fd < 3; fd++)
		hosts[fd] = fcntl(fd, F_GETFD) < 0 ? -1 : fd;
	return lfi_proc_stdio(proc, hosts[0], hosts[1], hosts[2]);
}

struct LFILinuxProc *
proc_make(struct LFILinuxEngine *engine, struct LFIBox *box, int pid, const char *cwd)
{
	struct LFILinuxProc *proc = calloc(1, sizeof *proc);

	if (proc)
		proc->cwd = strdup(cwd);
	if (!proc || !proc->cwd) {
		error_set(LFI_ERR_NOMEM, "no memory for a process");
		goto free_proc;
	}
	if (handle_add(proc, HANDLE_PROC) < 0)
		goto free_cwd;
	proc->engine = engine;
	proc->verbose = engine->opts.verbose;
	proc->end_event = -1;
	atomic_init(&proc->umask, 022);
	proc->pid = pid;
	proc->box = box;
	proc->info = lfi_box_info(proc->box);
	box_set_user(proc->box, proc);
	box_set_symbolizer(proc->box, symbolize);
	pthread_mutex_init(&proc->lock, NULL);
	pthread_mutex_init(&proc->stdio_turn, NULL);
	pthread_cond_init(&proc->changed, NULL);
	fdtable_init(&proc->fds);
	proc->fds.box = proc->box;
	atomic_fetch_add(&engine->procs, 1);
	fork_add_proc(proc);
	return proc;

free_cwd:
	free(proc->cwd);
free_proc:
	free(proc);
	box_free(box);
	return NULL;
}

struct LFILinuxProc *
lfi_proc_new(struct LFILinuxEngine *engine)
{
	struct LFILinuxProc *proc;
	struct LFIBox *box;
	int pid;

	if (handle_check(engine, HANDLE_LINUX) < 0)
		return NULL;
	pid = FIRST_PID + (int) (atomic_fetch_add(&engine->made, 1) % PIDS) * LINUX_THREADS_MAX;
	box = lfi_box_new(engine->engine);
	proc = box ? proc_make(engine, box, pid, engine->wd) : NULL;
	if (!proc || inherit_stdio(proc) == 0)
		return proc;
	proc_free(proc);
	return NULL;
}

struct LFIBox *
lfi_proc_box(struct LFILinuxProc *proc)
{
	return proc_check(proc) < 0 ? NULL : proc->box;
}

bool
proc_host_runs(struct LFILinuxProc *proc)
{
	bool found = false;

	pthread_mutex_lock(&proc->lock);
	for (struct LFILinuxThread *thread = proc->threads; thread; thread = thread->next)
		found |=
		    !thread->cloned && thread->ctx && (thread->state == THREAD_RUNNING || ctx_entered(thread->ctx));
	pthread_mutex_unlock(&proc->lock);
	return found;
}

void
proc_end_threads(struct LFILinuxProc *proc, struct LFILinuxThread *keep)
{
	struct LFILinuxThread *thread, *next;
	bool live;

	pthread_mutex_lock(&proc->lock);
	live = proc->live > 0;
	pthread_mutex_unlock(&proc->lock);
	if (live)
		proc_end(proc, ENDED_BY_HOST);
	proc_wait(proc, false);
	for (thread = proc->threads; thread; thread = next) {
		next = thread->next;
		if (thread == keep)
			continue;
		/* Goes with the box, or its reset. */
		thread->has_stack = false;
		thread_destroy(thread);
	}
}

void
proc_free(struct LFILinuxProc *proc)
{
	/* I4. A process of a pool, too, and a callback does not get here. */
	box_release_close(proc->box);
	/* Threads that the program made end when the host program says so. */
	proc_end_threads(proc, NULL);
	fork_remove_proc(proc);
	fdtable_clear(&proc->fds);
	box_free(proc->box);
	if (proc->end_event >= 0)
		close(proc->end_event);
	pthread_cond_destroy(&proc->changed);
	pthread_mutex_destroy(&proc->stdio_turn);
	pthread_mutex_destroy(&proc->lock);
	atomic_fetch_sub(&proc->engine->procs, 1);
	if (proc->snapshot)
		snapshot_put(proc->snapshot);
	else
		load_symbols_free(proc->symbols);
	free(proc->path);
	free(proc->cwd);
	free(proc);
}

void
lfi_proc_free(struct LFILinuxProc *proc)
{
	if (!handle_given(proc, HANDLE_PROC))
		return;
	if (proc->pool)
		error_set(LFI_ERR_INVALID, "process %d belongs to a pool: lfi_pool_free frees it", proc->pid);
	else if (box_release_close(proc->box) < 0)
		return;
	else if (proc_host_runs(proc)) {
		box_release_open(proc->box);
		error_set(LFI_ERR_BUSY, "a thread of process %d still runs", proc->pid);
	} else {
		proc_free(proc);
	}
}

/* ---- Loading ---- */

struct PerfMap {
	FILE *out;
	lfiptr bias;
};

static void
write_perf_line(const char *name, uint64_t address, uint64_t size, void *user)
{
	struct PerfMap *map = user;

	/* Names may overlap in a hostile file: what they take together is more than the file. */
	fprintf(map->out, "%" PRIx64 " %" PRIx64 " %.256s\n", map->bias + address, size, name);
}

/* One line per function, as perf reads them; that it cannot be written is logged. */
static void
write_perf_map(struct LFILinuxProc *proc)
{
	struct PerfMap map;
	char name[64];
	FILE *out = NULL;
	int fd;

	snprintf(name, sizeof name, "/tmp/perf-%d.map", getpid());
	fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		out = fdopen(fd, "a");
	if (!out) {
		log_line("cannot write %s: %s", name, strerror(errno));
		return;
	}
	map = (struct PerfMap){out, proc->image.bias};
	load_functions(proc->symbols, write_perf_line, &map);
	fclose(out);
}

static int
load(struct LFILinuxProc *proc, const uint8_t *bytes, size_t size)
{
	if (proc->loaded)
		return error_set(LFI_ERR_INVALID, "the process has a program already");
	if (!bytes)
		return error_set(LFI_ERR_INVALID, "the program is NULL");
	return load_program(proc->box, bytes, size, &proc->image, &proc->symbols);
}

bool
lfi_proc_load(struct LFILinuxProc *proc, const uint8_t *prog, size_t size, const char *path)
{
	if (proc_check(proc) < 0 || load(proc, prog, size) < 0)
		return false;
	proc->loaded = true;
	proc->path = path ? strdup(path) : NULL;
	proc->brk_start = proc->brk_end = proc->image.end;
	if (proc->engine->opts.perf)
		write_perf_map(proc);
	if (proc->verbose)
		log_line("loaded %s at 0x%" PRIx64 ", entry 0x%" PRIx64, path ? path : "program", proc->image.bias,
		    proc->image.entry);
	return true;
}

/* All of the file in memory that the caller frees; NULL sets the error. */
static uint8_t *
read_all(int fd, const char *path, size_t *size)
{
	struct stat st;
	uint8_t *bytes;
	size_t used = 0;
	ssize_t got;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		error_set(LFI_ERR_OS, "'%s' is not a regular file", path);
		return NULL;
	}
	if (st.st_size > file_max) {
		error_set(LFI_ERR_ELF, "'%s' has %lld bytes, more than a sandbox holds", path, (long long) st.st_size);
		return NULL;
	}
	bytes = malloc((size_t) st.st_size + 1);
	if (!bytes) {
		error_set(LFI_ERR_NOMEM, "no memory for the %lld bytes of '%s'", (long long) st.st_size, path);
		return NULL;
	}
	while (used < (size_t) st.st_size) {
		got = read(fd, bytes + used, (size_t) st.st_size - used);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			error_set_os(LFI_ERR_OS, errno, "cannot read '%s'", path);
			free(bytes);
			return NULL;
		}
		if (got == 0)
			break;
		used += (size_t) got;
	}
	*size = used;
	return bytes;
}

bool
lfi_proc_load_file(struct LFILinuxProc *proc, const char *path)
{
	uint8_t *bytes;
	size_t size;
	bool ok;
	int fd;

	if (proc_check(proc) < 0)
		return false;
	if (!path) {
		error_null("path");
		return false;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		error_set_os(LFI_ERR_OS, errno, "cannot open '%s'", path);
		return false;
	}
	bytes = read_all(fd, path, &size);
	close(fd);
	if (!bytes)
		return false;
	ok = lfi_proc_load(proc, bytes, size, path);
	free(bytes);
	return ok;
}

lfiptr
lfi_proc_sym(struct LFILinuxProc *proc, const char *name)
{
	uint64_t address;

	if (proc_check(proc) < 0)
		return 0;
	if (!name) {
		error_null("name");
		return 0;
	}
	address = load_symbol(proc->symbols, name);
	if (address)
		return box_handed_address(proc->box, proc->image.bias + address);
	error_set(LFI_ERR_NOTFOUND, "the program has no symbol '%s'", name);
	return 0;
}

static bool
function_at(struct LFILinuxProc *proc, lfiptr addr, char *name, size_t room, uint64_t *offset)
{
	const struct LoadImage *image = &proc->image;

	return proc->loaded && range_within(addr, 1, image->start, image->end) &&
	       load_symbol_name(proc->symbols, addr - image->bias, name, room, offset);
}

/* A BoxSymbolizer. */
static bool
symbolize(struct LFIBox *box, lfiptr addr, char *name, size_t room, uint64_t *offset)
{
	return function_at(box_user(box), addr, name, room, offset);
}

int
lfi_proc_symbolize(struct LFILinuxProc *proc, lfiptr addr, char *name, size_t room, uint64_t *offset)
{
	uint64_t unwanted;

	if (proc_check(proc) < 0)
		return -1;
	if (!name || room == 0)
		return error_null("room for a name");
	if (function_at(proc, box_full_address(proc->box, addr), name, room, offset ? offset : &unwanted))
		return 0;
	return error_set(
	    LFI_ERR_NOTFOUND, "the program has no function that 0x%" PRIx64 " is known to be in", (uint64_t) addr);
}

/* ---- Ending ---- */

/* I3. Reading it stays possible: the host program may look at results. */
static void
revoke_code(struct LFILinuxProc *proc)
{
	struct BoxMapping mapping;
	lfiptr at = proc->info.min;

	while (box_mapping(proc->box, at, &mapping)) {
		if (mapping.prot & LFI_PROT_EXEC)
			mprotect((void *) (uintptr_t) mapping.addr, mapping.size, PROT_READ);
		at = mapping.addr + mapping.size;
	}
}

static bool
mark_ended(struct LFILinuxProc *proc, int status, const struct LFIError *error, const struct LFIFault *fault)
{
	bool first;

	pthread_mutex_lock(&proc->lock);
	first = !proc_has_ended(proc);
	if (first) {
		proc->status = status;
		if (error)
			proc->error = *error;
		if (fault)
			proc->fault = *fault;
		atomic_store(&proc->ended, PROC_ENDED);
	}
	pthread_mutex_unlock(&proc->lock);
	return first;
}

static void
end_with(struct LFILinuxProc *proc, int status, const struct LFIError *error, const struct LFIFault *fault)
{
	if (!mark_ended(proc, status, error, fault))
		return;
	block_wake_all(proc);
	if (atomic_load(&proc->threaded))
		revoke_code(proc);
}

void
proc_end(struct LFILinuxProc *proc, int status)
{
	end_with(proc, status, NULL, NULL);
}

int
proc_status(struct LFILinuxProc *proc)
{
	int status;

	pthread_mutex_lock(&proc->lock);
	status = proc->status;
	pthread_mutex_unlock(&proc->lock);
	return status;
}

void
proc_end_error(struct LFILinuxProc *proc, const struct LFIFault *fault)
{
	struct LFIError error;

	lfi_error_get(&error);
	end_with(proc, -1, &error, fault);
}

int
lfi_proc_fault_sized(struct LFILinuxProc *proc, struct LFIFault *out, size_t size)
{
	struct LFIFault fault;

	if (proc_check(proc) < 0)
		return -1;
	pthread_mutex_lock(&proc->lock);
	fault = proc->fault;
	pthread_mutex_unlock(&proc->lock);
	if (fault.signal == 0)
		return error_set(LFI_ERR_NOTFOUND, "no fault ended the process");
	return options_give(out, size, &fault, sizeof fault);
}
