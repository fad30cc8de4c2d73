/* SPDX-License-Identifier: MIT */
/* Boxes frozen, cloned and reset: who sees whose writes, and what hostile code can make of the mappings meanwhile. */
#include "core_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "box.h"
#include "maps_agree.h"
#include "os/os.h"
#include "refuse_memory.h"

#define FIXED LFI_MAP_FIXED

/* A box with code that reads and writes memory, frozen; addresses are offsets from the base. */
struct Frozen {
	struct Fixture f;
	struct BoxImage *image;
	lfiptr load, store, stack, buffer;
};

static struct Frozen
frozen(void)
{
	struct Frozen z = {.f = fixture((struct LFIOptions) {.boxsize = 0})};
	lfiptr base = lfi_box_info(z.f.box).base;
	uint32_t value = 7;

	z.load = LOAD(z.f.box, code_load) - base;
	z.store = LOAD(z.f.box, code_store) - base;
	z.stack = z.f.stack - base;
	z.buffer = z.f.buffer - base;
	assert_done(lfi_box_copyto(z.f.box, z.f.buffer, &value, sizeof value));
	z.image = box_freeze(z.f.box);
	if (!z.image)
		fail_msg("%s", lfi_errmsg());
	return z;
}

static void
thaw(struct Frozen *z)
{
	box_image_put(z->image);
	drop(&z->f);
}

static struct LFIContext *
context(struct Frozen *z, struct LFIBox *box)
{
	struct LFIContext *ctx = lfi_ctx_new(box, NULL);

	assert_non_null(ctx);
	lfi_ctx_regs(ctx)->sp = lfi_box_info(box).base + z->stack;
	return ctx;
}

static int
load(struct Frozen *z, struct LFIBox *box, lfiptr at)
{
	struct LFIContext *ctx = context(z, box);
	int value = LFI_INVOKE(box, &ctx, lfi_box_info(box).base + z->load, int, (unsigned), (unsigned) at);

	assert_int_equal(lfi_errno(), LFI_OK);
	lfi_ctx_free(ctx);
	return value;
}

static void
store(struct Frozen *z, struct LFIBox *box, lfiptr at, int value)
{
	struct LFIContext *ctx = context(z, box);

	LFI_INVOKE(box, &ctx, lfi_box_info(box).base + z->store, void, (unsigned, int), (unsigned) at, value);
	assert_int_equal(lfi_errno(), LFI_OK);
	lfi_ctx_free(ctx);
}

static void
assert_maps_agree(struct LFIBox *box)
{
	assert_true(maps_agree(box));
}

static void
a_clone_has_the_memory_and_the_code_and_nobody_sees_another_s_writes(void **state)
{
	struct Frozen z = frozen();
	struct LFIBox *a = box_clone(z.image), *b = box_clone(z.image), *late;

	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(load(&z, a, z.buffer), 7);
	store(&z, a, z.buffer, 8);
	assert_int_equal(load(&z, b, z.buffer), 7);
	store(&z, z.f.box, z.buffer, 9);
	assert_int_equal(load(&z, a, z.buffer), 8);
	assert_int_equal(load(&z, b, z.buffer), 7);
	late = box_clone(z.image);
	assert_int_equal(load(&z, late, z.buffer), 7);
	assert_int_equal(load(&z, z.f.box, z.buffer), 9);
	assert_maps_agree(a);
	assert_maps_agree(z.f.box);
	lfi_box_free(a);
	lfi_box_free(b);
	lfi_box_free(late);
	thaw(&z);
}

static void
a_clone_outlives_the_box_that_was_frozen_and_its_image(void **state)
{
	struct Frozen z = frozen();
	struct LFIBox *clone = box_clone(z.image);

	lfi_box_free(z.f.box);
	box_image_put(z.image);
	assert_int_equal(load(&z, clone, z.buffer), 7);
	lfi_box_free(clone);
	lfi_free(z.f.engine);
}

static void
what_is_known_of_the_code_goes_with_it(void **state)
{
	static const uint8_t fldz[] = {0xd9, 0xee};
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct BoxImage *image;
	struct LFIBox *clone;

	LOAD(f.box, fldz);
	assert_true(lfi_box_info(f.box).code & LFI_CODE_X87);
	image = box_freeze(f.box);
	assert_non_null(image);
	clone = box_clone(image);
	assert_int_equal(lfi_box_info(clone).code, lfi_box_info(f.box).code);
	assert_int_equal(lfi_box_info(clone).cpu, lfi_box_info(f.box).cpu);
	lfi_box_free(clone);
	box_image_put(image);
	drop(&f);
}

static void
a_reset_undoes_what_was_written_and_again(void **state)
{
	struct Frozen z = frozen();
	struct LFIBox *clone = box_clone(z.image);
	struct LFIBox *boxes[] = {clone, z.f.box};

	for (int i = 0; i < 2; i++) {
		for (int again = 0; again < 3; again++) {
			store(&z, boxes[i], z.buffer, 11 + again);
			assert_done(box_reset(boxes[i], false));
			assert_int_equal(load(&z, boxes[i], z.buffer), 7);
			store(&z, boxes[i], z.buffer, 22);
			assert_done(box_reset(boxes[i], true));
			assert_int_equal(load(&z, boxes[i], z.buffer), 7);
			assert_maps_agree(boxes[i]);
		}
	}
	lfi_box_free(clone);
	thaw(&z);
}

/* What hostile code can do to its mappings; each is undone by a reset. */
static void
unmap_code(struct Frozen *z, struct LFIBox *box)
{
	assert_done(lfi_box_munmap(box, lfi_box_info(box).base + z->load, PAGE));
}

static void
code_becomes_data(struct Frozen *z, struct LFIBox *box)
{
	lfiptr at = lfi_box_info(box).base + z->load;

	assert_done(lfi_box_mprotect(box, at, PAGE, RW));
	assert_done(lfi_box_copyto(box, at, code_ud2, sizeof code_ud2));
}

static void
code_becomes_other_code(struct Frozen *z, struct LFIBox *box)
{
	lfiptr at = lfi_box_info(box).base + z->load;
	uint8_t page[PAGE];

	memset(page, 0xcc, sizeof page);
	memcpy(page, code_ud2, sizeof code_ud2);
	assert_done(lfi_box_mprotect(box, at, PAGE, RW));
	assert_done(lfi_box_copyto(box, at, page, sizeof page));
	assert_done(lfi_box_mprotect(box, at, PAGE, RX));
}

static void
data_becomes_code(struct Frozen *z, struct LFIBox *box)
{
	lfiptr at = lfi_box_info(box).base + z->buffer;
	uint8_t page[PAGE];

	memset(page, 0xcc, sizeof page);
	assert_done(lfi_box_copyto(box, at, page, sizeof page));
	assert_done(lfi_box_mprotect(box, at, PAGE, RX));
}

static void
new_code(struct Frozen *z, struct LFIBox *box)
{
	static const uint8_t fldz[] = {0xd9, 0xee};

	LOAD(box, fldz);
}

static void
write_then_hide(struct Frozen *z, struct LFIBox *box)
{
	lfiptr at = lfi_box_info(box).base + z->buffer;
	int value = 66;

	assert_done(lfi_box_copyto(box, at, &value, sizeof value));
	assert_done(lfi_box_mprotect(box, at, PAGE, LFI_PROT_NONE));
}

/* The map is the same as before, the bytes are not. */
static void
write_between_two_protections(struct Frozen *z, struct LFIBox *box)
{
	lfiptr at = lfi_box_info(box).base + z->buffer;
	int value = 66;

	assert_done(lfi_box_mprotect(box, at, PAGE, LFI_PROT_READ));
	assert_done(lfi_box_mprotect(box, at, PAGE, RW));
	assert_done(lfi_box_copyto(box, at, &value, sizeof value));
}

static void
map_over(struct Frozen *z, struct LFIBox *box)
{
	lfiptr at = lfi_box_info(box).base + z->buffer;
	int value = 66;

	assert_int_equal(lfi_box_mapat(box, at, PAGE, RW, ANON | FIXED, -1, 0), at);
	assert_done(lfi_box_copyto(box, at, &value, sizeof value));
}

static void
map_shared(struct Frozen *z, struct LFIBox *box)
{
	assert_true(lfi_box_mapany(box, PAGE, RW, LFI_MAP_SHARED | LFI_MAP_ANONYMOUS, -1, 0) != FAILED);
}

static void
unmap_all(struct Frozen *z, struct LFIBox *box)
{
	assert_done(lfi_box_munmap(box, box_min(box), box_max(box) - box_min(box)));
}

static void
many_runs(struct Frozen *z, struct LFIBox *box)
{
	lfiptr at = box_min(box);

	while (lfi_box_mapat(box, at, PAGE, RW, ANON, -1, 0) != FAILED)
		at += 2 * PAGE;
	assert_int_equal(lfi_errno(), LFI_ERR_LIMIT);
}

static void
a_reset_undoes_all_that_was_done_to_the_mappings(void **state)
{
	static void (*const deeds[])(struct Frozen *, struct LFIBox *) = {unmap_code, code_becomes_data,
	    code_becomes_other_code, data_becomes_code, new_code, write_then_hide, write_between_two_protections,
	    map_over, map_shared, unmap_all, many_runs};
	struct Frozen z = frozen();
	struct LFIBox *clone = box_clone(z.image);
	struct LFIBox *boxes[] = {clone, z.f.box};
	struct PageMap before;

	for (size_t i = 0; i < sizeof deeds / sizeof deeds[0]; i++) {
		for (int b = 0; b < 2; b++) {
			uint32_t code = lfi_box_info(boxes[b]).code;

			memset(&before, 0, sizeof before);
			assert_int_equal(pages_copy(&before, &boxes[b]->pages, 0), 0);
			deeds[i](&z, boxes[b]);
			assert_done(box_reset(boxes[b], false));
			assert_int_equal(boxes[b]->pages.count, before.count);
			for (size_t k = 0; k < before.count; k++)
				assert_memory_equal(&boxes[b]->pages.runs[k], &before.runs[k], sizeof(struct PageRun));
			assert_maps_agree(boxes[b]);
			assert_int_equal(lfi_box_info(boxes[b]).code, code);
			assert_int_equal(load(&z, boxes[b], z.buffer), 7);
			store(&z, boxes[b], z.buffer, 5);
			assert_done(box_reset(boxes[b], false));
			assert_int_equal(load(&z, boxes[b], z.buffer), 7);
			pages_free(&before);
		}
	}
	lfi_box_free(clone);
	thaw(&z);
}

static void
a_reset_sees_through_changes_behind_the_core_s_back_when_told_to(void **state)
{
	struct Frozen z = frozen();
	lfiptr at = lfi_box_info(z.f.box).base + z.load;

	assert_int_equal(mprotect((void *) at, PAGE, PROT_READ), 0);
	assert_done(box_reset(z.f.box, true));
	assert_int_equal(load(&z, z.f.box, z.buffer), 7);
	thaw(&z);
}

static void
a_box_with_8192_runs_is_frozen_and_cloned(void **state)
{
	struct Frozen z = frozen();
	struct LFIBox *clone;
	struct BoxImage *image;

	many_runs(&z, z.f.box);
	image = box_freeze(z.f.box);
	assert_non_null(image);
	clone = box_clone(image);
	assert_non_null(clone);
	assert_int_equal(clone->pages.count, z.f.box->pages.count);
	assert_int_equal(load(&z, clone, z.buffer), 7);
	lfi_box_free(clone);
	box_image_put(image);
	thaw(&z);
}

static void
inaccessible_pages_keep_what_they_hold(void **state)
{
	struct Frozen z = frozen();
	lfiptr base = lfi_box_info(z.f.box).base;
	lfiptr big = lfi_box_mapany(z.f.box, (size_t) 1 << 30, LFI_PROT_NONE, ANON, -1, 0);
	struct BoxImage *image;
	struct LFIBox *clone;
	int value = 0;

	assert_true(big != FAILED);
	write_then_hide(&z, z.f.box);
	image = box_freeze(z.f.box);
	assert_non_null(image);
	clone = box_clone(image);
	assert_maps_agree(clone);
	assert_int_equal(lfi_box_copyfm(clone, &value, clone->base + z.buffer, sizeof value), -1);
	assert_error(LFI_ERR_UNMAPPED);
	assert_done(lfi_box_mprotect(clone, clone->base + z.buffer, PAGE, RW));
	assert_int_equal(load(&z, clone, z.buffer), 66);
	assert_done(lfi_box_mprotect(clone, clone->base + (big - base), PAGE, RW));
	assert_int_equal(load(&z, clone, big - base), 0);
	store(&z, clone, big - base, 1);
	assert_done(lfi_box_mprotect(clone, clone->base + (big - base), PAGE, LFI_PROT_NONE));
	assert_done(box_reset(clone, false));
	assert_done(lfi_box_mprotect(clone, clone->base + (big - base), PAGE, RW));
	assert_int_equal(load(&z, clone, big - base), 0);
	lfi_box_free(clone);
	box_image_put(image);
	thaw(&z);
}

static void
a_private_file_is_frozen_as_it_is_now(void **state)
{
	struct Frozen z = frozen();
	int fd = memfd_create("test", 0), value = 3;
	struct BoxImage *image;
	struct LFIBox *clone;
	lfiptr at;

	assert_int_equal(pwrite(fd, &value, sizeof value, 0), sizeof value);
	at = lfi_box_mapany(z.f.box, PAGE, RW, LFI_MAP_PRIVATE, fd, 0);
	assert_true(at != FAILED);
	image = box_freeze(z.f.box);
	assert_non_null(image);
	value = 4;
	assert_int_equal(pwrite(fd, &value, sizeof value, 0), sizeof value);
	clone = box_clone(image);
	assert_int_equal(load(&z, clone, at), 3);
	lfi_box_free(clone);
	box_image_put(image);
	/* A page beyond the file's end cannot be read. */
	at = lfi_box_mapany(z.f.box, 2 * PAGE, RW, LFI_MAP_PRIVATE, fd, 0);
	assert_true(at != FAILED);
	assert_null(box_freeze(z.f.box));
	assert_error(LFI_ERR_UNMAPPED);
	assert_int_equal(load(&z, z.f.box, z.buffer), 7);
	close(fd);
	thaw(&z);
}

static void
shared_memory_and_entered_contexts_are_refused(void **state)
{
	struct Frozen z = frozen();
	lfiptr at = lfi_box_mapany(z.f.box, PAGE, RW, LFI_MAP_SHARED | LFI_MAP_ANONYMOUS, -1, 0);
	struct Frame frame = {.kind = FRAME_CALL};
	struct LFIBox *plain;

	assert_true(at != FAILED);
	assert_null(box_freeze(z.f.box));
	assert_error(LFI_ERR_UNSUPPORTED);
	assert_done(lfi_box_munmap(z.f.box, at, PAGE));
	assert_done(frame_push(z.f.ctx, &frame));
	assert_null(box_freeze(z.f.box));
	assert_error(LFI_ERR_BUSY);
	assert_int_equal(box_reset(z.f.box, false), -1);
	assert_error(LFI_ERR_BUSY);
	assert_int_equal(box_reset(z.f.box, true), -1);
	assert_error(LFI_ERR_BUSY);
	frame_pop(z.f.ctx, &frame);
	assert_done(box_reset(z.f.box, false));
	plain = lfi_box_new(z.f.engine);
	assert_int_equal(box_reset(plain, false), -1);
	assert_error(LFI_ERR_INVALID);
	lfi_box_free(plain);
	thaw(&z);
}

/* Scheme, section 8: the host writes the memory of such a box only while nobody executes in it, in its turn. */
static void
single_thread_boxes_are_reset_in_a_turn_of_their_own(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.single_thread = true});
	struct BoxImage *image = box_freeze(f.box);
	struct LFIBox *clone = image ? box_clone(image) : NULL;
	struct LFIContext *first = clone ? lfi_ctx_new(clone, NULL) : NULL;

	assert_non_null(first);
	assert_true(clone->single_thread);
	/* As if another thread were coming in: it has the turn, but has not entered yet. */
	atomic_store(&clone->runner, 1);
	assert_int_equal(box_reset(clone, false), -1);
	assert_error(LFI_ERR_BUSY);
	assert_int_equal(box_reset(clone, true), -1);
	assert_error(LFI_ERR_BUSY);
	/* Nor does anybody come in beside it. */
	assert_int_equal(lfi_ctx_run(first, lfi_box_info(clone).min), -1);
	assert_error(LFI_ERR_BUSY);
	atomic_store(&clone->runner, 0);
	assert_done(box_reset(clone, false));
	assert_int_equal(atomic_load(&clone->runner), 0);
	assert_done(box_reset(clone, true));
	assert_int_equal(atomic_load(&clone->runner), 0);
	/* No shared mapping, in a clone either. */
	assert_true(lfi_box_mapany(clone, PAGE, RW, LFI_MAP_SHARED | LFI_MAP_ANONYMOUS, -1, 0) == FAILED);
	lfi_box_free(clone);
	box_image_put(image);
	drop(&f);
}

/*
 * What core asks the kernel and the C library for, and may be refused: the call number `fails_at` from now on; to drop written pages, when
 * they are `locked`. While `watching`, what is mapped of files is remembered.
 */
static struct {
	_Atomic int calls;
	int fails_at, maps;
	bool locked, watching;
	size_t nmapped;
	struct {
		uint64_t start, end;
		int prot;
	} mapped[64];
} kernel;

static bool
refused(void)
{
	return ++kernel.calls == kernel.fails_at;
}

/* 0: it does not. Whether it did before. */
static bool
kernel_fails(int at)
{
	bool failed = kernel.fails_at && kernel.calls >= kernel.fails_at;

	kernel.calls = 0;
	kernel.fails_at = at;
	return failed;
}

/* Bytes that change between the copy and the seal, by somebody who found the descriptor. */
static bool forge;
static lfiptr forge_at;
int __real_os_image_seal(int fd);
int __wrap_os_image_seal(int fd);

int
__wrap_os_image_seal(int fd)
{
	if (forge)
		assert_int_equal(pwrite(fd, code_ud2, sizeof code_ud2, (off_t) forge_at), sizeof code_ud2);
	return refused() ? ENOMEM : __real_os_image_seal(fd);
}

static void
code_that_changed_on_its_way_into_the_image_is_refused(void **state)
{
	struct Frozen z = frozen();

	forge_at = z.load;
	forge = true;
	assert_null(box_freeze(z.f.box));
	forge = false;
	assert_error(LFI_ERR_VERIFY);
	assert_int_equal(load(&z, z.f.box, z.buffer), 7);
	thaw(&z);
}

static void
a_box_in_which_a_thread_executes_is_not_frozen(void **state)
{
	struct Frozen z = frozen();
	lfiptr at = lfi_box_mapany(z.f.box, PAGE, RW, ANON, -1, 0);

	assert_true(at != FAILED);
	/* As seen by who closes the gate just after it went in. */
	atomic_store(&z.f.ctx->state, STATE_SANDBOX);
	assert_null(box_freeze(z.f.box));
	assert_error(LFI_ERR_BUSY);
	assert_int_equal(box_reset(z.f.box, false), -1);
	assert_error(LFI_ERR_BUSY);
	assert_int_equal(box_reset(z.f.box, true), -1);
	assert_error(LFI_ERR_BUSY);
	atomic_store(&z.f.ctx->state, STATE_OUT);
	assert_done(box_reset(z.f.box, false));
	thaw(&z);
}

static void
an_entered_context_is_refused_also_when_nothing_was_mapped(void **state)
{
	struct Frozen z = frozen();
	struct Frame frame = {.kind = FRAME_CALL};

	assert_done(frame_push(z.f.ctx, &frame));
	assert_int_equal(box_reset(z.f.box, false), -1);
	assert_error(LFI_ERR_BUSY);
	frame_pop(z.f.ctx, &frame);
	thaw(&z);
}

static void
read_only_memory_that_was_written_meanwhile_is_reset(void **state)
{
	struct Frozen z = frozen();
	lfiptr at = lfi_box_mapany(z.f.box, 2 * PAGE, RW, ANON, -1, 0);
	struct BoxImage *image;
	int value = 7, got = 0;

	assert_true(at != FAILED);
	assert_done(lfi_box_copyto(z.f.box, at, &value, sizeof value));
	assert_done(lfi_box_copyto(z.f.box, at + PAGE, &value, sizeof value));
	assert_done(lfi_box_mprotect(z.f.box, at, 2 * PAGE, LFI_PROT_READ));
	image = box_freeze(z.f.box);
	assert_non_null(image);
	value = 66;
	assert_done(lfi_box_mprotect(z.f.box, at, 2 * PAGE, RW));
	assert_done(lfi_box_copyto(z.f.box, at, &value, sizeof value));
	assert_done(lfi_box_mprotect(z.f.box, at, 2 * PAGE, LFI_PROT_READ));
	assert_done(box_reset(z.f.box, false));
	assert_done(lfi_box_copyfm(z.f.box, &got, at, sizeof got));
	assert_int_equal(got, 7);
	/* The end of a run is missing. */
	assert_done(lfi_box_munmap(z.f.box, at + PAGE, PAGE));
	assert_done(box_reset(z.f.box, false));
	assert_done(lfi_box_copyfm(z.f.box, &got, at + PAGE, sizeof got));
	assert_int_equal(got, 7);
	assert_maps_agree(z.f.box);
	box_image_put(image);
	thaw(&z);
}

static void
inaccessible_pages_of_zeros_stay_inaccessible(void **state)
{
	struct Frozen z = frozen();
	lfiptr at = lfi_box_mapany(z.f.box, PAGE, RW, ANON, -1, 0);
	struct BoxImage *image;
	int zero = 0;

	assert_true(at != FAILED);
	assert_done(lfi_box_copyto(z.f.box, at, &zero, sizeof zero));
	assert_done(lfi_box_mprotect(z.f.box, at, PAGE, LFI_PROT_NONE));
	image = box_freeze(z.f.box);
	assert_non_null(image);
	assert_maps_agree(z.f.box);
	box_image_put(image);
	thaw(&z);
}

static int
triple(int x)
{
	return 3 * x;
}

static int
quadruple(int x)
{
	return 4 * x;
}

static bool
has_callback(struct LFIBox *box, int (*fn)(int))
{
	void *callbacks[CALLBACK_ENTRIES] = {NULL};

	box_callbacks_keep(box, callbacks);
	for (int i = 0; i < CALLBACK_ENTRIES; i++)
		if (callbacks[i] == (void *) fn)
			return true;
	return false;
}

static void
callbacks_are_those_of_the_frozen_box(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	void *first = lfi_box_register_cb(f.box, triple), *second;
	struct BoxImage *image = box_freeze(f.box);
	struct LFIBox *clone = image ? box_clone(image) : NULL;

	assert_non_null(first);
	assert_non_null(clone);
	assert_true(clone->callbacks_ready);
	assert_true(has_callback(clone, triple));
	second = lfi_box_register_cb(clone, quadruple);
	assert_non_null(second);
	assert_true(has_callback(clone, quadruple));
	assert_done(box_reset(clone, false));
	assert_false(has_callback(clone, quadruple));
	assert_true(has_callback(clone, triple));
	lfi_box_free(clone);
	box_image_put(image);
	drop(&f);
}

static void
boxes_with_many_callbacks_are_not_frozen(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct CallbackPage *page = (struct CallbackPage *) &f;

	atomic_store(&f.box->far[0], page);
	assert_null(box_freeze(f.box));
	assert_error(LFI_ERR_UNSUPPORTED);
	atomic_store(&f.box->far[0], NULL);
	drop(&f);
}

static void
what_addresses_count_from_goes_with_the_box(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct BoxImage *image;
	struct LFIBox *clone;

	f.box->cpu = 5;
	f.box->origin = f.box->base + 3 * PAGE;
	box_set_oblivious(f.box);
	image = box_freeze(f.box);
	assert_non_null(image);
	clone = box_clone(image);
	assert_non_null(clone);
	assert_int_equal(lfi_box_info(clone).cpu, 5);
	assert_true(clone->oblivious);
	assert_int_equal(clone->origin - clone->base, 3 * PAGE);
	lfi_box_free(clone);
	box_image_put(image);
	drop(&f);
}

/* Number of the descriptor of the newest image, found by its name. */
static int
find_memfd(void)
{
	char path[64], name[256];
	int found = -1;

	for (int fd = 0; fd < 64; fd++) {
		ssize_t n;

		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		n = readlink(path, name, sizeof name - 1);
		name[n > 0 ? n : 0] = 0;
		if (strstr(name, "memfd:lfi"))
			found = fd;
	}
	return found;
}

static void
nobody_can_write_the_file_of_an_image(void **state)
{
	struct Frozen z = frozen();
	int fd = find_memfd(), again;
	char path[64];
	struct LFIBox *clone = box_clone(z.image);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) z.load, PAGE), -1);
	assert_ptr_equal(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t) z.load), MAP_FAILED);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), -1);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR);
	if (again >= 0) {
		assert_int_equal(pwrite(again, "x", 1, (off_t) z.load), -1);
		assert_ptr_equal(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0), MAP_FAILED);
		close(again);
	}
	assert_int_equal(load(&z, clone, z.buffer), 7);
	lfi_box_free(clone);
	thaw(&z);
	assert_int_equal(find_memfd(), -1);
}

/* Mappings of images in [start, end). */
static int
image_mappings(uint64_t start, uint64_t end)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned long low, high;
	int n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof line, maps)) {
		assert_int_equal(sscanf(line, "%lx-%lx", &low, &high), 2);
		n += low < end && high > start && strstr(line, "memfd:lfi");
	}
	fclose(maps);
	return n;
}

static void
a_clone_of_a_clone_has_both_s_writes(void **state)
{
	struct Frozen z = frozen();
	struct LFIBox *a = box_clone(z.image), *b;
	struct BoxImage *image;

	store(&z, a, z.buffer + 8, 1);
	image = box_freeze(a);
	assert_non_null(image);
	lfi_box_free(a);
	b = box_clone(image);
	assert_int_equal(load(&z, b, z.buffer), 7);
	assert_int_equal(load(&z, b, z.buffer + 8), 1);
	assert_int_equal(load(&z, z.f.box, z.buffer + 8), 0);
	lfi_box_free(b);
	box_image_put(image);
	thaw(&z);
}

static void
nothing(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
}

static void
clones_have_the_limits_of_the_frozen_box(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	const struct LFILimits limits = {.mapped = 64 * PAGE, .threads = 2};
	struct BoxImage *image;
	struct LFIBox *box;

	assert_done(lfi_box_set_limits(f.box, limits));
	image = box_freeze(f.box);
	assert_non_null(image);
	box = box_clone(image);
	assert_non_null(box);
	assert_true(lfi_box_mapany(box, 65 * PAGE, RW, ANON, -1, 0) == FAILED);
	assert_error(LFI_ERR_LIMIT);
	assert_non_null(lfi_ctx_new(box, NULL));
	assert_non_null(lfi_ctx_new(box, NULL));
	assert_null(lfi_ctx_new(box, NULL));
	assert_error(LFI_ERR_LIMIT);
	lfi_box_free(box);
	box_image_put(image);
	drop(&f);
}

static void
typed_functions_stay_with_the_box_they_were_registered_in(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	void *plain = lfi_box_register_cb(f.box, (void *) abs), *typed = lfi_box_register_fn(f.box, "i(i)", nothing, NULL);
	struct BoxImage *image = box_freeze(f.box);
	struct LFIBox *box = box_clone(image);

	assert_non_null(image);
	assert_non_null(box);
	assert_ptr_not_equal(plain, typed);
	/* The clone has the plain one at the same place; the entry of the typed one is free there. */
	assert_true((lfiptr) lfi_box_register_cb(box, (void *) abs) - lfi_box_info(box).base ==
	    (lfiptr) plain - lfi_box_info(f.box).base);
	assert_true((lfiptr) lfi_box_register_fn(box, "i(i)", nothing, NULL) - lfi_box_info(box).base ==
	    (lfiptr) typed - lfi_box_info(f.box).base);
	/* A reset keeps what the host registered since, and takes nothing back that is the image's. */
	assert_done(box_reset(f.box, false));
	assert_int_equal(lfi_box_unregister_fn(f.box, typed), 0);
	lfi_box_free(box);
	box_image_put(image);
	drop(&f);
}

int __real_os_map(uint64_t addr, size_t size, int prot, int flags, int fd, off_t off, void **out);
int __wrap_os_map(uint64_t addr, size_t size, int prot, int flags, int fd, off_t off, void **out);
int __real_os_protect(uint64_t addr, size_t size, int prot);
int __wrap_os_protect(uint64_t addr, size_t size, int prot);
int __real_os_unuse(uint64_t addr, size_t size);
int __wrap_os_unuse(uint64_t addr, size_t size);
int __real_os_image_new(uint64_t size, int *out);
int __wrap_os_image_new(uint64_t size, int *out);
int __real_os_image_write(int fd, const void *bytes, size_t size, uint64_t off);
int __wrap_os_image_write(int fd, const void *bytes, size_t size, uint64_t off);
int __real_os_image_read(int fd, void *bytes, size_t size, uint64_t off);
int __wrap_os_image_read(int fd, void *bytes, size_t size, uint64_t off);
int __real_os_discard(uint64_t addr, size_t size);
int __wrap_os_discard(uint64_t addr, size_t size);

int
__wrap_os_map(uint64_t addr, size_t size, int prot, int flags, int fd, off_t off, void **out)
{
	assert_false((prot & LFI_PROT_WRITE) && (prot & LFI_PROT_EXEC));
	if (refused())
		return ENOMEM;
	kernel.maps++;
	if (kernel.watching && fd >= 0) {
		assert_true(kernel.nmapped < 64);
		kernel.mapped[kernel.nmapped].start = addr;
		kernel.mapped[kernel.nmapped].end = addr + size;
		kernel.mapped[kernel.nmapped++].prot = prot;
	}
	return __real_os_map(addr, size, prot, flags, fd, off, out);
}

int
__wrap_os_protect(uint64_t addr, size_t size, int prot)
{
	assert_false((prot & LFI_PROT_WRITE) && (prot & LFI_PROT_EXEC));
	if (refused())
		return ENOMEM;
	/* What becomes executable was not writable before, nor executable what becomes writable. */
	for (size_t i = 0; i < kernel.nmapped; i++) {
		if (addr < kernel.mapped[i].end && addr + size > kernel.mapped[i].start) {
			assert_false((kernel.mapped[i].prot & LFI_PROT_WRITE) && (prot & LFI_PROT_EXEC));
			assert_false((kernel.mapped[i].prot & LFI_PROT_EXEC) && !(prot & LFI_PROT_EXEC));
		}
	}
	return __real_os_protect(addr, size, prot);
}

int
__wrap_os_unuse(uint64_t addr, size_t size)
{
	return refused() ? ENOMEM : __real_os_unuse(addr, size);
}

int
__wrap_os_discard(uint64_t addr, size_t size)
{
	return kernel.locked || refused() ? EINVAL : __real_os_discard(addr, size);
}

int
__wrap_os_image_new(uint64_t size, int *out)
{
	return refused() ? ENOMEM : __real_os_image_new(size, out);
}

int
__wrap_os_image_write(int fd, const void *bytes, size_t size, uint64_t off)
{
	return refused() ? ENOMEM : __real_os_image_write(fd, bytes, size, off);
}

int
__wrap_os_image_read(int fd, void *bytes, size_t size, uint64_t off)
{
	return refused() ? ENOMEM : __real_os_image_read(fd, bytes, size, off);
}

/* Runs of all kinds wall to wall, and apart; the fifth page has the protection `fifth`. */
static void
map_all_kinds(struct LFIBox *box, int fifth, lfiptr *at)
{
	const int prots[] = {RW, RX, LFI_PROT_READ, RX, fifth, RW, LFI_PROT_READ, RW};
	const size_t n = sizeof prots / sizeof prots[0];
	uint8_t trap[PAGE];

	memset(trap, 0xcc, sizeof trap);
	*at = lfi_box_mapany(box, n * PAGE, RW, ANON, -1, 0);
	assert_true(*at != FAILED);
	for (size_t i = 0; i < n; i++) {
		assert_done(lfi_box_copyto(box, *at + i * PAGE, trap, sizeof trap));
		if (prots[i] != RW)
			assert_done(lfi_box_mprotect(box, *at + i * PAGE, PAGE, prots[i]));
	}
	/* A hole. */
	assert_done(lfi_box_munmap(box, *at + 6 * PAGE, PAGE));
}

static void
what_is_executable_in_a_clone_was_writable_at_no_time(void **state)
{
	/* With inaccessible pages beside the others, and without. */
	const int fifths[] = {LFI_PROT_NONE, LFI_PROT_READ};

	for (int k = 0; k < 2; k++) {
		struct Frozen z = frozen();
		struct LFIBox *clone;
		struct BoxImage *image;
		uint8_t byte;
		lfiptr at;

		map_all_kinds(z.f.box, fifths[k], &at);
		image = box_freeze(z.f.box);
		assert_non_null(image);
		kernel.watching = true;
		clone = box_clone(image);
		kernel.watching = false;
		kernel.nmapped = 0;
		assert_non_null(clone);
		assert_maps_agree(clone);
		at += clone->base - z.f.box->base;
		assert_done(lfi_box_mprotect(clone, at + 4 * PAGE, PAGE, LFI_PROT_READ));
		for (size_t i = 0; i < 8; i++) {
			if (i == 6)
				continue;
			assert_done(lfi_box_copyfm(clone, &byte, at + i * PAGE, 1));
			assert_int_equal(byte, 0xcc);
		}
		lfi_box_free(clone);
		box_image_put(image);
		thaw(&z);
	}
}

/* Whichever call the kernel refuses: nothing is made, and nothing lost. */
static void
a_clone_that_the_kernel_refuses_is_an_error(void **state)
{
	struct Frozen z = frozen();
	struct LFIBox *clones[7] = {NULL};
	struct BoxImage *image;
	lfiptr at;
	int n;

	map_all_kinds(z.f.box, LFI_PROT_NONE, &at);
	image = box_freeze(z.f.box);
	assert_non_null(image);
	for (n = 1; !clones[0]; n++) {
		kernel_fails(n);
		clones[0] = box_clone(image);
		assert_true(kernel_fails(0) == !clones[0]);
		if (!clones[0])
			assert_error(LFI_ERR_NOMEM);
		assert_int_equal(z.f.engine->nboxes, clones[0] ? 2 : 1);
	}
	/* Two mappings at least, and the protections of six runs. */
	assert_in_range(n, 8, 30);
	assert_maps_agree(clones[0]);
	assert_int_equal(load(&z, clones[0], z.buffer), 7);
	/* All other places are free. */
	for (size_t i = 1; i < 7; i++)
		assert_non_null(clones[i] = box_clone(image));
	for (size_t i = 0; i < 7; i++)
		lfi_box_free(clones[i]);
	box_image_put(image);
	thaw(&z);
	assert_int_equal(find_memfd(), -1);
}

static void
a_freeze_that_the_kernel_refuses_leaves_the_box_as_it_was(void **state)
{
	bool through = false;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	/* Who closes a descriptor that there never was closes this one. */
	assert_true(null >= 0);
	if (null != 0 && fcntl(0, F_GETFD) < 0)
		dup2(null, 0);
	for (int n = 1; !through; n++) {
		struct Frozen z = frozen();
		lfiptr at = lfi_box_mapany(z.f.box, PAGE, RW, ANON, -1, 0) - z.f.box->base;
		struct BoxImage *image;

		/* The box's map has no room to spare. */
		for (int i = 0; z.f.box->pages.room - z.f.box->pages.count != 1; i++)
			lfi_box_mapany(z.f.box, PAGE, i % 2 ? RW : LFI_PROT_READ, ANON, -1, 0);
		store(&z, z.f.box, z.buffer, 8);
		kernel_fails(n);
		image = box_freeze(z.f.box);
		assert_true(kernel_fails(0) == !image);
		if (!image)
			assert_error(LFI_ERR_NOMEM);
		through = image;
		assert_true(fcntl(0, F_GETFD) >= 0);
		assert_maps_agree(z.f.box);
		assert_int_equal(load(&z, z.f.box, z.buffer), 8);
		store(&z, z.f.box, at, 9);
		box_image_put(image);
		/* And it can be frozen then. */
		image = box_freeze(z.f.box);
		assert_non_null(image);
		store(&z, z.f.box, z.buffer, 1);
		store(&z, z.f.box, at, 1);
		assert_done(box_reset(z.f.box, false));
		assert_int_equal(load(&z, z.f.box, z.buffer), 8);
		assert_int_equal(load(&z, z.f.box, at), 9);
		box_image_put(image);
		thaw(&z);
		assert_int_equal(find_memfd(), -1);
		assert_int_equal(image_mappings(0, UINT64_MAX), 0);
	}
	close(null);
}

/* Nothing to keep: no mapping of the image, in whatever box of it. */
static void
inaccessible_pages_of_zeros_are_not_of_the_image(void **state)
{
	struct Frozen z = frozen();
	lfiptr at = lfi_box_mapany(z.f.box, PAGE, LFI_PROT_NONE, ANON, -1, 0), off = at - z.f.box->base;
	struct BoxImage *image = box_freeze(z.f.box);
	struct LFIBox *clone = box_clone(image);

	assert_non_null(clone);
	assert_int_equal(image_mappings(at, at + PAGE), 0);
	assert_int_equal(image_mappings(clone->base + off, clone->base + off + PAGE), 0);
	assert_done(box_reset(clone, true));
	assert_int_equal(image_mappings(clone->base + off, clone->base + off + PAGE), 0);
	lfi_box_free(clone);
	box_image_put(image);
	thaw(&z);
}

static void
a_reset_of_what_was_only_written_maps_nothing(void **state)
{
	struct Frozen z = frozen();
	struct LFIBox *clone = box_clone(z.image);
	struct LFIBox *boxes[] = {clone, z.f.box};

	for (int i = 0; i < 4; i++) {
		struct LFIBox *box = boxes[i % 2];

		store(&z, box, z.buffer, 8);
		kernel.maps = 0;
		assert_done(box_reset(box, false));
		assert_int_equal(kernel.maps, 0);
		assert_int_equal(load(&z, box, z.buffer), 7);
		/* Nor after one that did. */
		if (i < 2)
			assert_done(box_reset(box, true));
	}
	lfi_box_free(clone);
	thaw(&z);
}

/* Pages that cannot be read are made so for a moment. */
static void
inaccessible_pages_that_cannot_be_read_are_an_error(void **state)
{
	struct Frozen z = frozen();
	lfiptr at = z.f.box->base + z.buffer, zeros = lfi_box_mapany(z.f.box, PAGE, RW, ANON, -1, 0);
	struct BoxImage *image = NULL;

	/* One with bytes, and one that was only touched. */
	write_then_hide(&z, z.f.box);
	assert_done(lfi_box_copyto(z.f.box, zeros, "", 1));
	assert_done(lfi_box_mprotect(z.f.box, zeros, PAGE, LFI_PROT_NONE));
	for (int n = 1; !image; n++) {
		kernel_fails(n);
		image = box_freeze(z.f.box);
		assert_true(kernel_fails(0) == !image);
		if (!image)
			assert_error(LFI_ERR_NOMEM);
		else
			assert_maps_agree(z.f.box);
		/* Where it failed just then they can be read still. */
		assert_done(lfi_box_mprotect(z.f.box, at, PAGE, LFI_PROT_NONE));
		assert_done(lfi_box_mprotect(z.f.box, zeros, PAGE, LFI_PROT_NONE));
		assert_maps_agree(z.f.box);
	}
	assert_done(lfi_box_mprotect(z.f.box, at, PAGE, RW));
	assert_int_equal(load(&z, z.f.box, z.buffer), 66);
	box_image_put(image);
	thaw(&z);
}

/* 512-byte blocks of the newest image. */
static long
image_blocks(void)
{
	struct stat st;

	assert_int_equal(fstat(find_memfd(), &st), 0);
	return (long) st.st_blocks;
}

static void
pages_that_were_not_written_are_zeros_and_take_no_memory(void **state)
{
	struct Frozen z = frozen();
	long blocks = image_blocks();
	lfiptr at = lfi_box_mapany(z.f.box, 8 * PAGE, RW, ANON, -1, 0), off = at - z.f.box->base;
	struct BoxImage *image;
	struct LFIBox *clone;
	uint8_t ones[PAGE], page[PAGE], zeros[PAGE] = {0}, last[PAGE] = {0};

	assert_true(at != FAILED);
	memset(ones, 1, sizeof ones);
	last[PAGE - 1] = 1;
	/* Two with bytes, one of zeros, and others. */
	assert_done(lfi_box_copyto(z.f.box, at + PAGE, ones, sizeof ones));
	assert_done(lfi_box_copyto(z.f.box, at + 4 * PAGE, zeros, sizeof zeros));
	assert_done(lfi_box_copyto(z.f.box, at + 6 * PAGE, last, sizeof last));
	image = box_freeze(z.f.box);
	assert_non_null(image);
	assert_int_equal(image_blocks(), blocks + 2 * (long) PAGE / 512);
	clone = box_clone(image);
	for (size_t i = 0; i < 8; i++) {
		assert_done(lfi_box_copyfm(clone, page, clone->base + off + i * PAGE, sizeof page));
		assert_memory_equal(page, i == 1 ? ones : i == 6 ? last : zeros, PAGE);
	}
	lfi_box_free(clone);
	box_image_put(image);
	thaw(&z);
}

/* Nobody touched them in this box: a file's, and those of the image that it was made of. */
static void
inaccessible_pages_that_nobody_touched_keep_what_they_hold(void **state)
{
	struct Frozen z = frozen();
	int fd = memfd_create("test", 0), value = 3;
	struct BoxImage *image, *again;
	struct LFIBox *clone, *second;
	lfiptr file;

	assert_int_equal(pwrite(fd, &value, sizeof value, 0), sizeof value);
	file = lfi_box_mapany(z.f.box, PAGE, LFI_PROT_NONE, LFI_MAP_PRIVATE, fd, 0) - z.f.box->base;
	close(fd);
	write_then_hide(&z, z.f.box);
	image = box_freeze(z.f.box);
	assert_non_null(image);
	clone = box_clone(image);
	assert_non_null(clone);
	again = box_freeze(clone);
	assert_non_null(again);
	second = box_clone(again);
	assert_non_null(second);
	assert_done(lfi_box_mprotect(second, second->base + file, PAGE, RW));
	assert_int_equal(load(&z, second, file), 3);
	assert_done(lfi_box_mprotect(second, second->base + z.buffer, PAGE, RW));
	assert_int_equal(load(&z, second, z.buffer), 66);
	lfi_box_free(second);
	lfi_box_free(clone);
	box_image_put(again);
	box_image_put(image);
	thaw(&z);
}

/* Bytes are those of the box or of the image that it goes back to, whichever run was the last that could be replaced. */
static void
a_box_that_could_not_be_frozen_is_reset_to_the_image_before(void **state)
{
	bool frozen_now = false;

	for (int n = 1; !frozen_now; n++) {
		struct Frozen z = frozen();
		/* The lowest run, with others above. */
		lfiptr at = lfi_box_mapany(z.f.box, PAGE, RW, ANON, -1, 0) - z.f.box->base;
		struct BoxImage *before, *image;

		store(&z, z.f.box, at, 7);
		before = box_freeze(z.f.box);
		assert_non_null(before);
		store(&z, z.f.box, at, 8);
		kernel_fails(n);
		image = box_freeze(z.f.box);
		assert_true(kernel_fails(0) == !image);
		frozen_now = image;
		if (!image)
			assert_done(box_reset(z.f.box, false));
		assert_int_equal(load(&z, z.f.box, at), image ? 8 : 7);
		assert_maps_agree(z.f.box);
		box_image_put(image);
		box_image_put(before);
		thaw(&z);
	}
}

/* After a refusal the next reset does it. */
static void
a_reset_that_the_kernel_refuses_is_done_by_the_next(void **state)
{
	struct Frozen z = frozen();
	struct LFIBox *clone = box_clone(z.image);
	int refusals = 0;

	for (int all = 0; all < 2; all++) {
		bool through = false;

		for (int n = 1; !through; n++) {
			int r;

			code_becomes_other_code(&z, clone);
			map_over(&z, clone);
			/* Where the image has nothing. */
			map(clone, PAGE);
			kernel_fails(n);
			r = box_reset(clone, all);
			through = !kernel_fails(0);
			if (r < 0) {
				refusals++;
				assert_error(LFI_ERR_NOMEM);
				assert_done(box_reset(clone, false));
			}
			assert_maps_agree(clone);
			assert_int_equal(load(&z, clone, z.buffer), 7);
		}
	}
	assert_in_range(refusals, 4, 40);
	lfi_box_free(clone);
	thaw(&z);
}

static void
locked_memory_is_reset_too(void **state)
{
	struct Frozen z = frozen();
	struct LFIBox *clone = box_clone(z.image);

	kernel.locked = true;
	for (int i = 0; i < 2; i++) {
		store(&z, clone, z.buffer, 8);
		if (i == 1)
			map_shared(&z, clone);
		assert_done(box_reset(clone, false));
		assert_int_equal(load(&z, clone, z.buffer), 7);
		assert_maps_agree(clone);
	}
	kernel.locked = false;
	lfi_box_free(clone);
	thaw(&z);
}

static void
contexts_forget_the_return_page_that_a_reset_takes(void **state)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions) {.boxsize = 0}, 1);
	struct LFIBox *box = lfi_box_new(engine);
	struct LFIContext *ctx = lfi_ctx_new(box, NULL);
	struct BoxImage *image;

	assert_non_null(ctx);
	image = box_freeze(box);
	assert_non_null(image);
	assert_true(lfi_box_cbinit(box));
	assert_int_equal(atomic_load(&ctx->return_l), atomic_load(&box->callback_page) + CALLBACK_RESUME);
	assert_done(box_reset(box, false));
	assert_int_equal(atomic_load(&ctx->return_l), UINT64_MAX);
	box_image_put(image);
	lfi_box_free(box);
	lfi_free(engine);
}

struct Waiter {
	struct LFIBox *box;
	struct BoxImage *image;
	atomic_bool done;
};

static void *
freeze_box(void *arg)
{
	struct Waiter *waiter = arg;

	waiter->image = box_freeze(waiter->box);
	atomic_store(&waiter->done, true);
	return NULL;
}

static void *
reset_box(void *arg)
{
	struct Waiter *waiter = arg;

	box_reset(waiter->box, false);
	atomic_store(&waiter->done, true);
	return NULL;
}

static void
nobody_freezes_or_resets_a_box_that_another_thread_changes(void **state)
{
	void *(*const deeds[])(void *) = {freeze_box, reset_box};
	struct Frozen z = frozen();
	struct Waiter waiter = {.box = z.f.box};
	pthread_t thread;

	for (int i = 0; i < 2; i++) {
		atomic_store(&waiter.done, false);
		pthread_mutex_lock(&z.f.box->lock);
		assert_int_equal(pthread_create(&thread, NULL, deeds[i], &waiter), 0);
		/* Time enough to go wrong. */
		usleep(50000);
		assert_false(atomic_load(&waiter.done));
		pthread_mutex_unlock(&z.f.box->lock);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
	assert_non_null(waiter.image);
	box_image_put(waiter.image);
	thaw(&z);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_clone_has_the_memory_and_the_code_and_nobody_sees_another_s_writes),
	    cmocka_unit_test(a_clone_outlives_the_box_that_was_frozen_and_its_image),
	    cmocka_unit_test(what_is_known_of_the_code_goes_with_it),
	    cmocka_unit_test(a_reset_undoes_what_was_written_and_again),
	    cmocka_unit_test(a_reset_undoes_all_that_was_done_to_the_mappings),
	    cmocka_unit_test(a_reset_sees_through_changes_behind_the_core_s_back_when_told_to),
	    cmocka_unit_test(a_box_with_8192_runs_is_frozen_and_cloned),
	    cmocka_unit_test(inaccessible_pages_keep_what_they_hold),
	    cmocka_unit_test(a_private_file_is_frozen_as_it_is_now),
	    cmocka_unit_test(shared_memory_and_entered_contexts_are_refused),
	    cmocka_unit_test(single_thread_boxes_are_reset_in_a_turn_of_their_own),
	    cmocka_unit_test(code_that_changed_on_its_way_into_the_image_is_refused),
	    cmocka_unit_test(a_box_in_which_a_thread_executes_is_not_frozen),
	    cmocka_unit_test(an_entered_context_is_refused_also_when_nothing_was_mapped),
	    cmocka_unit_test(read_only_memory_that_was_written_meanwhile_is_reset),
	    cmocka_unit_test(inaccessible_pages_of_zeros_stay_inaccessible),
	    cmocka_unit_test(callbacks_are_those_of_the_frozen_box),
	    cmocka_unit_test(boxes_with_many_callbacks_are_not_frozen),
	    cmocka_unit_test(what_addresses_count_from_goes_with_the_box),
	    cmocka_unit_test(nobody_can_write_the_file_of_an_image),
	    cmocka_unit_test(a_clone_of_a_clone_has_both_s_writes),
		cmocka_unit_test(clones_have_the_limits_of_the_frozen_box),
		cmocka_unit_test(typed_functions_stay_with_the_box_they_were_registered_in),
		cmocka_unit_test(what_is_executable_in_a_clone_was_writable_at_no_time),
		cmocka_unit_test(a_clone_that_the_kernel_refuses_is_an_error),
		cmocka_unit_test(a_freeze_that_the_kernel_refuses_leaves_the_box_as_it_was),
		cmocka_unit_test(a_box_that_could_not_be_frozen_is_reset_to_the_image_before),
		cmocka_unit_test(inaccessible_pages_that_cannot_be_read_are_an_error),
		cmocka_unit_test(inaccessible_pages_of_zeros_are_not_of_the_image),
		cmocka_unit_test(a_reset_of_what_was_only_written_maps_nothing),
		cmocka_unit_test(pages_that_were_not_written_are_zeros_and_take_no_memory),
		cmocka_unit_test(inaccessible_pages_that_nobody_touched_keep_what_they_hold),
		cmocka_unit_test(a_reset_that_the_kernel_refuses_is_done_by_the_next),
		cmocka_unit_test(locked_memory_is_reset_too),
		cmocka_unit_test(contexts_forget_the_return_page_that_a_reset_takes),
		cmocka_unit_test(nobody_freezes_or_resets_a_box_that_another_thread_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
