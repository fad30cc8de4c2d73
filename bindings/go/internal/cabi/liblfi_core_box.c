//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * Boxes: their place, their mappings, and the one door through which pages become executable. Trusted.
 *
 *   I1  Nothing is mapped outside [base + S, base + 4 GiB - S) but the runtime-call table.   check_range
 *   I2  No page is writable and executable.                                                  check_prot
 *   I3  Executable pages are private and anonymous, were read-only in host memory, where no
 *       sandbox and no file reaches them, from their last write on, and were verified there
 *       for the place where they then went, or found equal there to bytes that were accepted
 *       for the same offset of a box of the same engine (cache.c).                           stage
 *       Or they are pages of a sealed image, which nobody can write, and were found equal to
 *       such a region at the same offset of a box of the same engine.                        image.c
 *   I4  A region is never cut, and goes only while no context executes in the box or has a
 *       runtime call pending in it.                                                          clear_code
 *   I5  The kernel's mappings in the box are those of box->pages; the rest is inaccessible.  each function here
 *   I6  The box's code flags cover what a context could execute since it last came in.       widen
 *   I7  Pages that a host has pinned stay as they are.                                       pin.c
 */
#include "box.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "checked.h"
#include "error.h"
#include "options.h"
#include "os.h"

static_assert(4096 + 4096 + 64 + 65536 + 131072 + 128 <= GUARD_SPAN, "scheme section 1");

/*
 * The kernel's limit of mappings (65530 by default) is for all of the host's process, and a sandbox chooses how many
 * runs it makes. Each takes one mapping, and the gap beside it another.
 */
#define RUNS_MAX 8192

/* Bytes of one region: verifying it takes as much memory of the host's again, and some. */
#define CODE_MAX ((size_t) 256 << 20)

#define PROTS (LFI_PROT_READ | LFI_PROT_WRITE | LFI_PROT_EXEC)
#define FLAGS (LFI_MAP_SHARED | LFI_MAP_PRIVATE | LFI_MAP_FIXED | LFI_MAP_ANONYMOUS | LFI_MAP_FIXED_NOREPLACE)
#define KINDS (LFI_MAP_SHARED | LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS)

/* ---- Making and freeing ---- */

static int
take_place(struct LFIBox *box)
{
	struct LFIEngine *engine = box->engine;
	bool table;
	int err;

	pthread_mutex_lock(&engine->lock);
	box->base = boxmap_take(&engine->map, &table);
	engine->nboxes += box->base != 0;
	pthread_mutex_unlock(&engine->lock);
	if (!box->base)
		return error_set(LFI_ERR_NOSPACE, "all %zu places for sandboxes are taken", engine->map.nslots);
	if (table)
		return 0;
	err = arch_table_map(&engine->stubs, box->base, !engine->opts.no_low_table);
	if (!err)
		return 0;
	pthread_mutex_lock(&engine->lock);
	boxmap_give(&engine->map, box->base, false);
	engine->nboxes--;
	pthread_mutex_unlock(&engine->lock);
	return error_set_os(err == ENOMEM ? LFI_ERR_NOMEM : LFI_ERR_OS, err, "cannot map the runtime-call table");
}

/*
 * A place that is taken again soon keeps its table meanwhile: to map it takes a sixth of a clone's time. It takes two
 * of the host's mappings and up to 16 KiB of page tables, so not many do.
 */
static bool
may_keep_table(struct LFIEngine *engine)
{
	bool may;

	pthread_mutex_lock(&engine->lock);
	may = engine->map.ntables < TABLES_KEPT;
	pthread_mutex_unlock(&engine->lock);
	return may;
}

/* The sandbox, with or without its table's page and the copy in its first page; not the next sandbox's. */
static int
empty_place(const struct LFIBox *box, bool keep_table)
{
	size_t page = box->engine->opts.pagesize;

	return keep_table ? os_unuse(box->base + page, BOX_SIZE - 2 * page) : os_unuse(box->base - page, BOX_SIZE);
}

static void
give_place(struct LFIBox *box)
{
	struct LFIEngine *engine = box->engine;
	bool keep = may_keep_table(engine);
	int err = empty_place(box, keep);

	pthread_mutex_lock(&engine->lock);
	/* A place that could not be emptied is never used again. */
	if (!err)
		boxmap_give(&engine->map, box->base, keep);
	engine->nboxes--;
	pthread_mutex_unlock(&engine->lock);
	if (err)
		log_line("box at %#llx: cannot unmap it; its place is lost", (unsigned long long) box->base);
}

static void
enlist(struct LFIBox *box)
{
	struct LFIEngine *engine = box->engine;

	pthread_mutex_lock(&engine->lock);
	box->next = engine->boxes;
	box->link = &engine->boxes;
	if (box->next)
		box->next->link = &box->next;
	engine->boxes = box;
	pthread_mutex_unlock(&engine->lock);
}

/* False when it was freed meanwhile. With its handle, for a child of fork(2): there it is in both, or in none. */
static bool
delist(struct LFIBox *box)
{
	bool found;

	pthread_mutex_lock(&box->engine->lock);
	found = handle_drop(box, HANDLE_BOX);
	if (found) {
		*box->link = box->next;
		if (box->next)
			box->next->link = box->link;
	}
	pthread_mutex_unlock(&box->engine->lock);
	return found;
}

struct LFIBox *
lfi_box_new(struct LFIEngine *engine)
{
	struct LFIBox *box;

	if (handle_check(engine, HANDLE_ENGINE) < 0)
		return NULL;
	box = calloc(1, sizeof *box);
	if (!box) {
		error_set(LFI_ERR_NOMEM, "no memory for a sandbox");
		return NULL;
	}
	box->engine = engine;
	box->single_thread = engine->opts.single_thread;
	box->bundle = engine->opts.bundle;
	pthread_mutex_init(&box->lock, NULL);
	atomic_init(&box->code, engine->assumed_code | arch_code_always());
	box->x87_scrub = arch_x87_scrub(&engine->stubs);
	if (take_place(box) < 0)
		goto free_box;
	box->origin = box->base;
	box->gs_idle = engine->opts.restore_gs ? 0 : box->base;
	box->min = box_min(box);
	box->span = box_max(box) - box_min(box);
	box->entry_mask = -box->bundle;
	if (handle_add(box, HANDLE_BOX) < 0)
		goto give_place;
	enlist(box);
	return box;

give_place:
	give_place(box);
free_box:
	pthread_mutex_destroy(&box->lock);
	free(box);
	return NULL;
}

static bool
entered(struct LFIBox *box)
{
	bool found = false;

	pthread_mutex_lock(&box->lock);
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next)
		found |= atomic_load(&ctx->depth) != 0;
	pthread_mutex_unlock(&box->lock);
	return found;
}

void
box_free(struct LFIBox *box)
{
	if (box_release_close(box) < 0)
		return;
	if (entered(box)) {
		box_release_open(box);
		error_set(LFI_ERR_BUSY, "a context of the sandbox is entered: it cannot be freed");
		return;
	}
	if (!delist(box))
		return;
	while (box->contexts)
		ctx_free(box->contexts);
	box_callbacks_free(box);
	give_place(box);
	box_image_put(box->image);
	box_pins_free(box);
	pages_free(&box->pages);
	pthread_mutex_destroy(&box->lock);
	free(box);
}

void
lfi_box_free(struct LFIBox *box)
{
	if (!handle_given(box, HANDLE_BOX))
		return;
	if (box->user)
		error_set(LFI_ERR_INVALID, "box %p belongs to a process: lfi_proc_free frees it", (void *) box);
	else
		box_free(box);
}

void
box_after_fork(struct LFIBox *box)
{
	if (atomic_load(&box->runner) != thread_id()) {
		atomic_store(&box->runner, 0);
		box->runner_depth = 0;
	}
	/* Who held it for a moment is not there; what it guards is as good as it was at any time. */
	atomic_store(&box->interrupt.lock, 0);
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next)
		ctx_after_fork(ctx);
	release_after_fork(box);
}

int
lfi_box_info_sized(struct LFIBox *box, struct LFIBoxInfo *out, size_t size)
{
	struct LFIBoxInfo info = {.size = BOX_SIZE};

	if (handle_check(box, HANDLE_BOX) < 0)
		return -1;
	info.base = box->base;
	info.min = box_min(box);
	info.max = box_max(box);
	info.code = atomic_load(&box->code) & ~arch_code_always();
	pthread_mutex_lock(&box->lock);
	info.cpu = box->cpu;
	pthread_mutex_unlock(&box->lock);
	return options_give(out, size, &info, sizeof info);
}

/* ---- The gate ---- */

bool
box_gate_close(struct LFIBox *box)
{
	atomic_store(&box->gate, 1);
	/*
	 * A thread that goes in stores its state, then loads the gate, with no fence between. After this, either it
	 * sees the gate, or we see its state.
	 */
	if (!os_barrier()) {
		box_gate_open(box);
		return false;
	}
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next) {
		if (atomic_load(&ctx->state) == STATE_SANDBOX) {
			box_gate_open(box);
			return false;
		}
	}
	return true;
}

void
box_gate_open(struct LFIBox *box)
{
	atomic_store(&box->gate, 0);
}

bool
box_inside(struct LFIBox *box, lfiptr addr, size_t size)
{
	for (struct LFIContext *ctx = box->contexts; ctx; ctx = ctx->next) {
		uint32_t depth = atomic_load(&ctx->depth);

		for (uint32_t i = 1; i <= depth; i++)
			if (atomic_load(&atomic_load(&ctx->inside)[i]) - addr < size)
				return true;
	}
	return false;
}

bool
box_runner_claim(struct LFIBox *box)
{
	uintptr_t none = 0, self = thread_id();

	if (thread_interrupted())
		return false;
	if (atomic_load(&box->runner) != self && !atomic_compare_exchange_strong(&box->runner, &none, self))
		return false;
	box->runner_depth++;
	return true;
}

void
box_runner_drop(struct LFIBox *box)
{
	if (--box->runner_depth == 0)
		atomic_store(&box->runner, 0);
}

/* ---- Code ---- */

struct Complaint {
	struct LFIBox *box;
	lfiptr addr;
	size_t offset; /* of what was refused */
};

static bool
complain(const struct LFIViolation *violation, void *user)
{
	struct Complaint *c = user;

	c->offset = violation->offset;
	error_set(LFI_ERR_VERIFY, "verification failed at %#llx: `%s`: %s",
	    (unsigned long long) (c->addr + violation->offset - c->box->origin), violation->insn, violation->reason);
	return false;
}

static struct LFIVerifyOptions
verify_options(const struct LFIOptions *opts)
{
	return (struct LFIVerifyOptions){
	    .struct_size = sizeof(struct LFIVerifyOptions),
	    .policy = opts->jumps_only    ? LFI_POLICY_JUMPS
		      : opts->stores_only ? LFI_POLICY_STORES
					  : LFI_POLICY_FULL,
	    .bundle = opts->bundle,
	    .single_thread = opts->single_thread,
	    .no_rdtsc = opts->no_rdtsc,
	};
}

/* `code`, which nobody can write, is fit for `addr`. If not, `*refused_at` is where. */
static int
verify(
    struct LFIBox *box, lfiptr addr, const void *code, size_t size, struct LFIVerifyReport *report, size_t *refused_at)
{
	const struct LFIVerifyOptions how = verify_options(&box->engine->opts);
	struct Complaint complaint = {box, addr, size};
	size_t scratch_size = lfi_verify_scratch_size(size);
	void *scratch = malloc(scratch_size);
	int refused;

	if (!scratch)
		return error_set(LFI_ERR_NOMEM, "no memory to verify %zu bytes of code", size);
	error_set(LFI_ERR_VERIFY, "verification failed: %zu bytes at %#llx were not looked at", size,
	    (unsigned long long) (addr - box->origin));
	refused = lfi_verify(&how, code, size, addr - box->base, scratch, scratch_size, complain, &complaint, report);
	free(scratch);
	*refused_at = complaint.offset;
	return refused ? -1 : 0;
}

/* Whether there is something, and nothing but zeros, behind a program that ends at `offset`. */
static bool
zero_tail(const uint8_t *code, size_t offset, size_t size)
{
	for (size_t i = offset; i < size; i++)
		if (code[i])
			return false;
	return offset > 0 && offset < size;
}

static int
fill_tail(uint8_t *code, size_t offset, size_t size)
{
	int err = os_protect((uint64_t) code, size, LFI_PROT_READ | LFI_PROT_WRITE);

	if (!err) {
		memset(code + offset, ARCH_TRAP_BYTE, size - offset);
		err = os_protect((uint64_t) code, size, LFI_PROT_READ);
	}
	return err ? error_set_os(LFI_ERR_OS, err, "cannot protect %zu bytes of code", size) : 0;
}

/*
 * As verify, but the zeros that follow a program in its last page are no code: they become traps first, from
 * *traps_from on.
 */
static int
verify_filled(
    struct LFIBox *box, lfiptr addr, void *code, size_t size, struct LFIVerifyReport *report, size_t *traps_from)
{
	size_t refused_at = size;

	*traps_from = size;
	if (verify(box, addr, code, size, report, &refused_at) == 0)
		return 0;
	if (!zero_tail(code, refused_at, size) || fill_tail(code, refused_at, size) < 0)
		return -1;
	*traps_from = refused_at;
	*report = (struct LFIVerifyReport){.struct_size = sizeof *report};
	return verify(box, addr, code, size, report, &refused_at);
}

/* As verify_filled, unless the engine has seen the same before. */
static int
verify_once(struct LFIBox *box, lfiptr addr, void *code, size_t size, struct LFIVerifyReport *report)
{
	struct CodeCache *cache = &box->engine->cache;
	const struct CodeKey key = {
	    .how = verify_options(&box->engine->opts),
	    .offset = addr - box->base,
	    .code = code,
	    .size = size,
	};
	struct CodeFacts facts;

	if (cache_find(cache, &key, &facts)) {
		if (facts.traps_from < size && fill_tail(code, facts.traps_from, size) < 0)
			return -1;
		report->code = facts.code;
		report->cpu = facts.cpu;
		return 0;
	}
	if (verify_filled(box, addr, code, size, report, &facts.traps_from) < 0)
		return -1;
	facts.code = report->code;
	facts.cpu = report->cpu;
	cache_add(cache, &key, &facts);
	return 0;
}

static int
check_cpu(const struct LFIVerifyReport *report)
{
	uint64_t lacking = report->cpu & ~arch_cpu_features();

	for (int i = 0; i < LFI_CPU_COUNT; i++)
		if (lacking >> i & 1)
			return error_set(LFI_ERR_CPU,
			    "the code needs the processor feature %s, which this machine lacks",
			    lfi_cpu_feature_name(i));
	return lacking ? error_set(LFI_ERR_CPU, "the code needs a processor feature that this library does not know")
		       : 0;
}

/*
 * I6: code that does something new to the box becomes known before it can be executed. A context that came in when
 * less was known may hold, say, the host's x87 registers, so none may be executing.
 */
static int
widen(struct LFIBox *box, uint32_t code)
{
	if (!(code & ~atomic_load(&box->code)))
		return 0;
	if (!box_gate_close(box))
		return error_set(
		    LFI_ERR_BUSY, "code that uses new processor state cannot be added while a context executes");
	atomic_fetch_or(&box->code, code);
	box_gate_open(box);
	return 0;
}

/*
 * A private copy of `size` bytes at `from`, which may be changing or fault, verified for `addr` and executable,
 * but still in host memory (I3). os_move puts it in place.
 */
static int
stage(struct LFIBox *box, lfiptr addr, const void *from, size_t size, void **out)
{
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	size_t left;
	int err;

	if (size > CODE_MAX)
		return error_set(LFI_ERR_LIMIT, "%zu bytes of code at once: at most %zu are possible", size, CODE_MAX);
	err = os_map(0, size, LFI_PROT_READ | LFI_PROT_WRITE, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0, out);
	if (err)
		return error_set_os(LFI_ERR_NOMEM, err, "no memory for %zu bytes of code", size);
	left = copy_guarded(*out, from, size);
	if (left > 0) {
		error_set(LFI_ERR_UNMAPPED, "the page at %#llx cannot be read",
		    (unsigned long long) (addr + align_down(size - left, box->engine->opts.pagesize)));
		goto release;
	}
	err = os_protect((uint64_t) *out, size, LFI_PROT_READ);
	if (err)
		goto protect;
	if (!box->engine->opts.no_verify &&
	    (verify_once(box, addr, *out, size, &report) < 0 || check_cpu(&report) < 0 || widen(box, report.code) < 0))
		goto release;
	box->cpu |= report.cpu;
	err = os_protect((uint64_t) *out, size, LFI_PROT_READ | LFI_PROT_EXEC);
	if (err)
		goto protect;
	return 0;

protect:
	error_set_os(LFI_ERR_OS, err, "cannot protect %zu bytes of code", size);
release:
	os_release(*out, size);
	return -1;
}

/* ---- Checks ---- */

/* Room for what a change of mappings adds to box->pages. */
static int
reserve(struct LFIBox *box)
{
	if (box->pages.count + 2 > RUNS_MAX)
		return error_set(
		    LFI_ERR_LIMIT, "the sandbox has %zu mappings: more are not possible", box->pages.count);
	if (pages_reserve(&box->pages) < 0)
		return error_set(LFI_ERR_NOMEM, "no memory for another mapping");
	return 0;
}

/* I1. Rounds the size up to pages. */
static int
check_range(struct LFIBox *box, lfiptr addr, size_t *size)
{
	uint64_t page = box->engine->opts.pagesize, rounded;

	if (addr % page != 0)
		return error_set(
		    LFI_ERR_INVALID, "address %#llx is no multiple of the page size", (unsigned long long) addr);
	if (*size == 0)
		return error_set(LFI_ERR_INVALID, "size is 0");
	if (!checked_align_up(*size, page, &rounded) || !range_within(addr, rounded, box_min(box), box_max(box)))
		return error_set(LFI_ERR_RANGE, "%#zx bytes at %#llx are not in [%#llx, %#llx), which can be mapped",
		    *size, (unsigned long long) addr, (unsigned long long) box_min(box),
		    (unsigned long long) box_max(box));
	*size = rounded;
	return 0;
}

/* I2. What the processor grants anyway is said. */
static int
check_prot(int *prot)
{
	if (*prot & ~PROTS)
		return error_set(LFI_ERR_INVALID, "protection %#x has bits that are unknown", (unsigned) *prot);
	if ((*prot & LFI_PROT_WRITE) && (*prot & LFI_PROT_EXEC))
		return error_set(LFI_ERR_INVALID, "pages cannot be writable and executable");
	if (*prot & (LFI_PROT_WRITE | LFI_PROT_EXEC))
		*prot |= LFI_PROT_READ;
	return 0;
}

static int
check_flags(struct LFIBox *box, int flags, int fd, off_t off)
{
	int kind = flags & (LFI_MAP_SHARED | LFI_MAP_PRIVATE);

	if ((flags & ~FLAGS) || (kind != LFI_MAP_SHARED && kind != LFI_MAP_PRIVATE))
		return error_set(LFI_ERR_INVALID, "mapping flags %#x are not supported", (unsigned) flags);
	if (kind == LFI_MAP_SHARED && box->engine->opts.single_thread)
		return error_set(LFI_ERR_INVALID, "an engine with single_thread has no shared mappings");
	if (flags & LFI_MAP_ANONYMOUS)
		return 0;
	if (fd < 0)
		return error_set(LFI_ERR_INVALID, "a mapping without LFI_MAP_ANONYMOUS needs a file");
	if (off < 0 || off % (off_t) box->engine->opts.pagesize != 0)
		return error_set(LFI_ERR_INVALID, "offset %lld is no multiple of the page size", (long long) off);
	return 0;
}

/*
 * I4: code in [start, end) is about to go. Closes the gate when there is some: *closed says whether.
 */
static int
clear_code(struct LFIBox *box, uint64_t start, uint64_t end, bool *closed)
{
	bool found = false;

	*closed = false;
	for (size_t i = pages_find(&box->pages, start); i < box->pages.count && box->pages.runs[i].start < end; i++) {
		const struct PageRun *run = &box->pages.runs[i];

		if (!(run->prot & LFI_PROT_EXEC))
			continue;
		if (run->start < start || run->end > end)
			return error_set(LFI_ERR_INVALID, "the code at [%#llx, %#llx) changes as a whole or not at all",
			    (unsigned long long) run->start, (unsigned long long) run->end);
		found = true;
	}
	if (!found)
		return 0;
	if (!box_gate_close(box))
		return error_set(LFI_ERR_BUSY, "code cannot go while a context executes");
	*closed = true;
	/* Regions are what counts, but between them nobody can be inside. */
	if (!box_inside(box, start, end - start))
		return 0;
	box_gate_open(box);
	*closed = false;
	return error_set(LFI_ERR_BUSY, "a context is inside the code at [%#llx, %#llx)", (unsigned long long) start,
	    (unsigned long long) end);
}

/* ---- Mapping ---- */

/* The kernel could not replace [addr, addr + size). Mostly nothing has changed; if it has, nothing is there now (I5).
 */
static void
forget(struct LFIBox *box, lfiptr addr, size_t size)
{
	if (!os_mapped(addr, size) && os_unuse(addr, size) == 0)
		pages_set(&box->pages, addr, addr + size, -1, 0);
}

/*
 * The pages of a mapping that is not yet in the box, when they must be made elsewhere: files, so that a file that
 * cannot be mapped changes nothing, and code. NULL in *out for anonymous data.
 */
static int
prepare(struct LFIBox *box, lfiptr addr, size_t size, int prot, int flags, int fd, off_t off, void **out)
{
	void *file = NULL;
	int err;

	*out = NULL;
	if (flags & LFI_MAP_ANONYMOUS) {
		if (!(prot & LFI_PROT_EXEC))
			return 0;
		/* Zeros: the verifier says what is wrong with them. */
		err = os_map(0, size, LFI_PROT_READ, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0, &file);
	} else {
		err = os_map(0, size, prot & ~LFI_PROT_EXEC, flags & KINDS, fd, off, &file);
	}
	if (err)
		return error_set_os(err == ENOMEM ? LFI_ERR_NOMEM : LFI_ERR_OS, err, "cannot map %zu bytes", size);
	if (!(prot & LFI_PROT_EXEC)) {
		*out = file;
		return 0;
	}
	err = stage(box, addr, file, size, out);
	os_release(file, size);
	return err;
}

/* The box's lock is held; the range is checked, and free unless it may be replaced. */
static int
put(struct LFIBox *box, lfiptr addr, size_t size, int prot, int flags, int fd, off_t off)
{
	int kind = prot & LFI_PROT_EXEC ? LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS : flags & KINDS;
	void *made, *at;
	bool closed;
	int err;

	if (box_check_pins(box, addr, addr + size) < 0 || reserve(box) < 0 || box_check_mapped(box, addr, size) < 0)
		return -1;
	if (prepare(box, addr, size, prot, flags, fd, off, &made) < 0)
		return -1;
	if (clear_code(box, addr, addr + size, &closed) < 0) {
		if (made)
			os_release(made, size);
		return -1;
	}
	/* Scheme section 8: what is mapped over a stack is a write to it. */
	if (!box_runner_take(box)) {
		if (closed)
			box_gate_open(box);
		if (made)
			os_release(made, size);
		return error_set(LFI_ERR_BUSY, "the sandbox is executing: its memory cannot be replaced");
	}
	if (made)
		err = os_move(made, size, addr);
	else
		err = os_map(addr, size, prot, kind, -1, 0, &at);
	box_runner_give(box);
	if (err) {
		if (made)
			os_release(made, size);
		forget(box, addr, size);
		error_set_os(err == ENOMEM ? LFI_ERR_NOMEM : LFI_ERR_OS, err, "cannot map %zu bytes at %#llx", size,
		    (unsigned long long) addr);
	} else {
		pages_set(&box->pages, addr, addr + size, prot, kind);
	}
	if (closed)
		box_gate_open(box);
	return err ? -1 : 0;
}

lfiptr
lfi_box_mapany(struct LFIBox *box, size_t size, int prot, int flags, int fd, off_t off)
{
	uint64_t rounded, addr;
	int r;

	if (handle_check(box, HANDLE_BOX) < 0)
		return (lfiptr) -1;
	if (check_prot(&prot) < 0 || check_flags(box, flags, fd, off) < 0)
		return (lfiptr) -1;
	if (flags & (LFI_MAP_FIXED | LFI_MAP_FIXED_NOREPLACE)) {
		error_set(LFI_ERR_INVALID, "lfi_box_mapany takes no address: LFI_MAP_FIXED is for lfi_box_mapat");
		return (lfiptr) -1;
	}
	if (size == 0) {
		error_set(LFI_ERR_INVALID, "size is 0");
		return (lfiptr) -1;
	}
	if (!checked_align_up(size, box->engine->opts.pagesize, &rounded))
		rounded = UINT64_MAX;
	pthread_mutex_lock(&box->lock);
	addr = pages_place(&box->pages, rounded, box_min(box), box_max(box));
	if (!addr)
		r = error_set(LFI_ERR_NOMEM, "no free place for %zu bytes in the sandbox", size);
	else
		r = put(box, addr, rounded, prot, flags, fd, off);
	pthread_mutex_unlock(&box->lock);
	return r < 0 ? (lfiptr) -1 : box_give_address(box, addr);
}

lfiptr
lfi_box_mapat(struct LFIBox *box, lfiptr addr, size_t size, int prot, int flags, int fd, off_t off)
{
	bool replace = (flags & LFI_MAP_FIXED) && !(flags & LFI_MAP_FIXED_NOREPLACE);
	int r;

	if (handle_check(box, HANDLE_BOX) < 0)
		return (lfiptr) -1;
	addr = box_take_address(box, addr);
	if (check_prot(&prot) < 0 || check_flags(box, flags, fd, off) < 0 || check_range(box, addr, &size) < 0)
		return (lfiptr) -1;
	pthread_mutex_lock(&box->lock);
	if (!replace && !pages_empty(&box->pages, addr, addr + size))
		r = error_set(LFI_ERR_INVALID, "something is mapped in [%#llx, %#llx)", (unsigned long long) addr,
		    (unsigned long long) (addr + size));
	else
		r = put(box, addr, size, prot, flags, fd, off);
	pthread_mutex_unlock(&box->lock);
	return r < 0 ? (lfiptr) -1 : box_give_address(box, addr);
}

int
lfi_box_munmap(struct LFIBox *box, lfiptr addr, size_t size)
{
	bool closed;
	int err, r = -1;
	size_t i;

	if (handle_check(box, HANDLE_BOX) < 0)
		return -1;
	addr = box_take_address(box, addr);
	if (check_range(box, addr, &size) < 0)
		return -1;
	pthread_mutex_lock(&box->lock);
	if (box_check_pins(box, addr, addr + size) < 0)
		goto unlock;
	/* Only a hole in the middle of a run makes more of them. */
	i = pages_find(&box->pages, addr);
	if (i < box->pages.count && box->pages.runs[i].start < addr && box->pages.runs[i].end > addr + size &&
	    reserve(box) < 0)
		goto unlock;
	if (pages_reserve(&box->pages) < 0) {
		error_set(LFI_ERR_NOMEM, "no memory to cut a mapping");
		goto unlock;
	}
	if (clear_code(box, addr, addr + size, &closed) < 0)
		goto unlock;
	err = os_unuse(addr, size);
	if (err)
		error_set_os(LFI_ERR_OS, err, "cannot unmap %zu bytes at %#llx", size, (unsigned long long) addr);
	else
		pages_set(&box->pages, addr, addr + size, -1, 0);
	if (closed)
		box_gate_open(box);
	r = err ? -1 : 0;
unlock:
	pthread_mutex_unlock(&box->lock);
	return r;
}

/* ---- Protection ---- */

/* Give the kernel's pages in [start, end) the protections that box->pages says. */
static void
reprotect(struct LFIBox *box, uint64_t start, uint64_t end)
{
	for (size_t i = pages_find(&box->pages, start); i < box->pages.count && box->pages.runs[i].start < end; i++) {
		const struct PageRun *run = &box->pages.runs[i];
		uint64_t low = run->start > start ? run->start : start;
		uint64_t high = run->end < end ? run->end : end;

		os_protect(low, high - low, run->prot);
	}
}

/* Pages become data. */
static int
protect_data(struct LFIBox *box, lfiptr addr, size_t size, int prot)
{
	bool closed;
	int err;

	if (clear_code(box, addr, addr + size, &closed) < 0)
		return -1;
	err = os_protect(addr, size, prot);
	if (err) {
		reprotect(box, addr, addr + size);
		error_set_os(err == ENOMEM ? LFI_ERR_NOMEM : LFI_ERR_OS, err, "cannot protect %zu bytes at %#llx", size,
		    (unsigned long long) addr);
	} else if (pages_protect(&box->pages, addr, addr + size, prot) < 0) {
		/* Reserved by the caller. */
		assert(false);
	}
	if (closed)
		box_gate_open(box);
	return err ? -1 : 0;
}

/* Pages become one region. */
static int
protect_code(struct LFIBox *box, lfiptr addr, size_t size)
{
	const int prot = LFI_PROT_READ | LFI_PROT_EXEC;
	void *made = NULL;
	int err;

	for (size_t i = pages_find(&box->pages, addr); i < box->pages.count && box->pages.runs[i].start < addr + size;
	     i++) {
		const struct PageRun *run = &box->pages.runs[i];

		if (!(run->prot & LFI_PROT_EXEC))
			continue;
		if (run->start == addr && run->end == addr + size)
			return 0;
		return error_set(LFI_ERR_INVALID, "[%#llx, %#llx) is code already", (unsigned long long) run->start,
		    (unsigned long long) run->end);
	}
	if (stage(box, addr, (const void *) addr, size, &made) < 0)
		return -1;
	err = os_move(made, size, addr);
	if (err) {
		os_release(made, size);
		forget(box, addr, size);
		return error_set_os(
		    LFI_ERR_OS, err, "cannot put %zu bytes of code at %#llx", size, (unsigned long long) addr);
	}
	pages_set(&box->pages, addr, addr + size, prot, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS);
	return 0;
}

int
lfi_box_mprotect(struct LFIBox *box, lfiptr addr, size_t size, int prot)
{
	int r;

	if (handle_check(box, HANDLE_BOX) < 0)
		return -1;
	addr = box_take_address(box, addr);
	if (check_prot(&prot) < 0 || check_range(box, addr, &size) < 0)
		return -1;
	pthread_mutex_lock(&box->lock);
	if (!pages_full(&box->pages, addr, addr + size))
		r = error_set(LFI_ERR_UNMAPPED, "not all of [%#llx, %#llx) is mapped", (unsigned long long) addr,
		    (unsigned long long) (addr + size));
	else if (box_check_pins(box, addr, addr + size) < 0 || reserve(box) < 0)
		r = -1;
	else if (prot & LFI_PROT_EXEC)
		r = protect_code(box, addr, size);
	else
		r = protect_data(box, addr, size, prot);
	pthread_mutex_unlock(&box->lock);
	return r;
}

/* ---- Copies ---- */

/*
 * Makes `*addr` an address. Also makes sure that a fault of the copy would reach the handler: the thread may block its
 * signal.
 */
static int
check_span(struct LFIBox *box, lfiptr *addr, size_t size)
{
	if (handle_check(box, HANDLE_BOX) < 0)
		return -1;
	*addr = box_take_address(box, *addr);
	if (box_valid(box, *addr, size))
		return thread_self.ready ? 0 : os_thread_ready();
	return error_set(LFI_ERR_RANGE, "%#zx bytes at %#llx are not in the sandbox", size, (unsigned long long) *addr);
}

int
lfi_box_copyto(struct LFIBox *box, lfiptr dst, const void *src, size_t size)
{
	size_t left;

	if (check_span(box, &dst, size) < 0)
		return -1;
	if (!src && size > 0)
		return error_null("source of the copy");
	/* Scheme section 8: nobody writes while single-thread code executes. */
	if (!box_runner_take(box))
		return error_set(LFI_ERR_BUSY, "the sandbox is executing: its memory cannot be written");
	left = copy_guarded((void *) dst, src, size);
	box_runner_give(box);
	if (left > 0)
		return error_set(
		    LFI_ERR_UNMAPPED, "cannot write %#llx in the sandbox", (unsigned long long) (dst + size - left));
	return 0;
}

int
lfi_box_copyfm(struct LFIBox *box, void *dst, lfiptr src, size_t size)
{
	size_t left;

	if (check_span(box, &src, size) < 0)
		return -1;
	if (!dst && size > 0)
		return error_null("place for the copy");
	left = copy_guarded(dst, (const void *) src, size);
	if (left > 0)
		return error_set(
		    LFI_ERR_UNMAPPED, "cannot read %#llx in the sandbox", (unsigned long long) (src + size - left));
	return 0;
}

ssize_t
lfi_box_copystr(struct LFIBox *box, char *dst, lfiptr src, size_t size)
{
	size_t max = size;
	ssize_t n;

	if (check_span(box, &src, 1) < 0)
		return -1;
	if (!dst)
		return error_null("place for the string");
	if (box_max(box) - src < max)
		max = box_max(box) - src;
	n = strnlen_guarded((const char *) src, max);
	if (n < 0)
		return error_set(LFI_ERR_UNMAPPED, "cannot read all of the string at %#llx in the sandbox",
		    (unsigned long long) src);
	if ((size_t) n == max)
		return error_set(
		    LFI_ERR_RANGE, "the string at %#llx does not end within %zu bytes", (unsigned long long) src, max);
	if (copy_guarded(dst, (const void *) src, (size_t) n) > 0)
		return error_set(LFI_ERR_UNMAPPED, "cannot read all of the string at %#llx in the sandbox",
		    (unsigned long long) src);
	/* The sandbox may have changed it since: what counts is what we have. */
	dst[n] = 0;
	return (ssize_t) strlen(dst);
}

bool
lfi_box_ptrvalid(struct LFIBox *box, lfiptr addr, size_t size)
{
	return handle_check(box, HANDLE_BOX) == 0 && box_valid(box, box_take_address(box, addr), size);
}

void *
lfi_box_ptr(struct LFIBox *box, lfiptr addr, size_t size)
{
	return check_span(box, &addr, size) < 0 ? NULL : (void *) addr;
}

/* ---- For the layers above ---- */

int
box_put_code(struct LFIBox *box, const void *code, size_t size, lfiptr *out)
{
	lfiptr addr;
	void *made = NULL;
	int err;

	/* A hole of that size, as below a program: elsewhere the gap beside it is one mapping more. */
	addr = pages_hole(&box->pages, size, box_min(box));
	if (!addr)
		addr = pages_place(&box->pages, size, box_min(box), box_max(box));
	if (reserve(box) < 0)
		return -1;
	if (!addr)
		return error_set(LFI_ERR_NOMEM, "no room for %zu bytes of code in the sandbox", size);
	if (box_check_mapped(box, addr, size) < 0)
		return -1;
	if (stage(box, addr, code, size, &made) < 0)
		return -1;
	err = os_move(made, size, addr);
	if (err) {
		os_release(made, size);
		forget(box, addr, size);
		return error_set_os(
		    LFI_ERR_OS, err, "cannot put %zu bytes of code at %#llx", size, (unsigned long long) addr);
	}
	pages_set(&box->pages, addr, addr + size, LFI_PROT_READ | LFI_PROT_EXEC, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS);
	*out = addr;
	return 0;
}

struct LFIEngine *
box_engine(struct LFIBox *box)
{
	return box->engine;
}

void
box_set_user(struct LFIBox *box, void *user)
{
	box->user = user;
}

void *
box_user(struct LFIBox *box)
{
	return box->user;
}

void
box_set_symbolizer(struct LFIBox *box, BoxSymbolizer symbolizer)
{
	box->symbolizer = symbolizer;
}

void *
box_span(struct LFIBox *box, lfiptr addr, size_t size)
{
	addr = box_take_address(box, addr);
	return box_valid(box, addr, size) ? (void *) addr : NULL;
}

bool
box_mapping(struct LFIBox *box, lfiptr addr, struct BoxMapping *out)
{
	size_t i;
	bool found;

	addr = box_take_address(box, addr);
	pthread_mutex_lock(&box->lock);
	i = pages_find(&box->pages, addr);
	found = i < box->pages.count;
	if (found) {
		const struct PageRun *run = &box->pages.runs[i];

		*out = (struct BoxMapping){run->start, run->end - run->start, run->prot, run->flags & ~PAGES_IMAGE};
	}
	pthread_mutex_unlock(&box->lock);
	return found;
}

void
box_set_origin(struct LFIBox *box, lfiptr origin)
{
	box->origin = origin;
}

void
box_set_oblivious(struct LFIBox *box)
{
	box->oblivious = true;
}

lfiptr
box_handed_address(struct LFIBox *box, lfiptr addr)
{
	return box_give_address(box, addr);
}

lfiptr
box_full_address(struct LFIBox *box, lfiptr addr)
{
	return box_take_address(box, addr);
}
