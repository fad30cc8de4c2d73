/* SPDX-License-Identifier: MIT */
/*
 * What core offers to load and linux beyond include/lfi: pointers of theirs
 * on an engine and a box, guarded copies, and a walk over a box's mappings.
 * Trusted.
 */
#ifndef CORE_CORE_H
#define CORE_CORE_H

#include "lfi_core.h"

/* One pointer per engine and box for the layer above; NULL until set. */
void engine_set_user(struct LFIEngine *engine, void *user);
void *engine_user(struct LFIEngine *engine);
void box_set_user(struct LFIBox *box, void *user);
void *box_user(struct LFIBox *box);

/* Whether a thread has entered the context. */
bool ctx_entered(struct LFIContext *ctx);

struct LFIEngine *box_engine(struct LFIBox *box);

/* As lfi_box_free and lfi_ctx_free, which refuse a box with a pointer of the layer above and a context that it owns. */
void box_free(struct LFIBox *box);
void ctx_free(struct LFIContext *ctx);
void ctx_set_owned(struct LFIContext *ctx);

/*
 * Wait for the release callbacks that run for contexts of the box, and let no other begin until box_release_open.
 * Again is fine. 0, or -1 with LFI_ERR_BUSY when the caller is such a callback.
 */
int box_release_close(struct LFIBox *box);
void box_release_open(struct LFIBox *box);

/*
 * The host's pointer to [addr, addr + size) when that lies in what can be
 * mapped, else NULL with no error set. The pages may be unmapped: hand it to
 * the kernel (which says EFAULT) or to copy_guarded, never dereference it.
 */
void *box_span(struct LFIBox *box, lfiptr addr, size_t size);

/*
 * Copy `size` bytes between host and sandbox memory, lowest address first.
 * Returns how many bytes were not copied because a page could not be read or
 * written: 0 is success. Sets no error. The thread must not block SIGSEGV and
 * SIGBUS; those that have entered a sandbox do not.
 */
size_t copy_guarded(void *dst, const void *src, size_t size);

/* As strnlen on sandbox memory: the length without NUL, `max` when there is none, -1 when a page cannot be read first.
 */
ssize_t strnlen_guarded(const char *s, size_t max);

/*
 * A system call of the host in which the thread, which has entered the context, may sleep: its result, or -errno.
 * -EINTR at once when the entry is interrupted, and soon when it becomes so: look at ctx_interrupted.
 */
int64_t ctx_blocking(struct LFIContext *ctx, long number, long a, long b, long c, long d, long e, long f);

/* Whether the pending entry is to end, as soon as it would go on with sandboxed code. */
bool ctx_interrupted(struct LFIContext *ctx);

/*
 * In a system call's handler: the pending entry ends with LFI_ERR_FAULT once the handler has returned, as by a signal
 * that the code sent itself.
 */
void ctx_abort(struct LFIContext *ctx, int signal);

/* Whether the pending entry is a call of a function; otherwise it is a run. */
bool ctx_in_call(struct LFIContext *ctx);

/*
 * What names the function that an address of the box is in, for struct LFIFault; NULL: nothing does. False when there
 * is none. On any thread that asks for a fault.
 */
typedef bool (*BoxSymbolizer)(struct LFIBox *box, lfiptr addr, char *name, size_t room, uint64_t *offset);
void box_set_symbolizer(struct LFIBox *box, BoxSymbolizer symbolizer);

/* Count the box's CPU time from the next entries on, and end what runs when `ns` are used up; UINT64_MAX: just count.
 */
int box_cpu_limit(struct LFIBox *box, uint64_t ns);

/* ns so far, 0 when it is not counted. What runs now is included. */
uint64_t box_cpu_used(struct LFIBox *box);

/* The box's limit of descriptors; 0 when it has none. */
uint32_t box_files_limit(struct LFIBox *box);

/* A maximal run of pages that were mapped alike. */
struct BoxMapping {
	lfiptr addr;
	size_t size;
	int prot;  /* LFI_PROT_*; EXEC: this is one region */
	int flags; /* LFI_MAP_SHARED or LFI_MAP_PRIVATE, with LFI_MAP_ANONYMOUS */
};

/* The mapping that holds `addr`, or the lowest above it. False when there is none. */
bool box_mapping(struct LFIBox *box, lfiptr addr, struct BoxMapping *out);

/* Whether somebody is in the context. In a child of fork(2), only the thread that forked can be. */
bool ctx_entered(struct LFIContext *ctx);

/*
 * A box's memory, code flags and callbacks, frozen: see image.c. It belongs to an engine, which must outlive it, and
 * is freed with the last who holds it: the caller of box_freeze, each box made of it, and the box that was frozen.
 */
struct BoxImage;

/*
 * Freeze a box that no context has entered; it goes on from the image, so that box_reset works on it. NULL:
 * LFI_ERR_BUSY, LFI_ERR_UNSUPPORTED (a shared mapping), LFI_ERR_UNMAPPED (a file's page that cannot be read),
 * LFI_ERR_NOMEM, LFI_ERR_OS. The caller sees to it that nobody writes the box's memory meanwhile.
 */
struct BoxImage *box_freeze(struct LFIBox *box);

/* A new box of the image, without contexts. Code is not verified again. NULL: as lfi_box_new. */
struct LFIBox *box_clone(struct BoxImage *image);

/*
 * A box that was frozen or cloned becomes as its image again; its contexts stay, but for what they know of faults. With
 * `all`, the kernel's mappings are made anew even where box->pages says that they did not change. 0, or -1:
 * LFI_ERR_INVALID (it has no image), LFI_ERR_BUSY (a context is entered), LFI_ERR_NOMEM and LFI_ERR_OS (the box is
 * undefined until a reset succeeds; it can be freed).
 */
int box_reset(struct LFIBox *box, bool all);

void box_image_hold(struct BoxImage *image);
void box_image_put(struct BoxImage *image);

/* Addresses in messages about code that does not verify are printed less `origin` (at first: the base). */
void box_set_origin(struct LFIBox *box, lfiptr origin);

/*
 * The program in the box never forms the upper half of an address: from now on the API gives addresses out as offsets
 * from the base. Before the box is used by anyone else. (box_mapping and lfi_box_info stay absolute.)
 */
void box_set_oblivious(struct LFIBox *box);

/* An address of the box as the API gives it out, and back: an offset becomes an address. */
lfiptr box_handed_address(struct LFIBox *box, lfiptr addr);
lfiptr box_full_address(struct LFIBox *box, lfiptr addr);

#endif
