/* SPDX-License-Identifier: MIT */
/* What a host may get wrong: each call answers with an error whose message names the value, and nothing happens. */
#include "bad_input.h"
#include "core_test.h"
#include <pthread.h>
#include <stdatomic.h>

/* ---- Handles ---- */

static struct Fixture f;

/* Of each kind, one that lives and one that was freed. */
static void *live[KINDS], *freed[KINDS];

static struct LFIContext *
no_context(struct LFIBox *box)
{
	(void) box;
	return NULL;
}

static void
host_fn(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	(void) ctx;
	(void) user;
	(void) args;
	(void) ret;
}

static struct LFIBoxInfo info;
static struct LFILimits limits;
static struct LFIBoxStats stats;
static struct LFICacheStats cached;
static struct LFIFault fault_out;
static struct LFIContext *none; /* given to calls that fail earlier */
static char bytes[64];
static char *text_out;
static size_t text_size;

#define LAST(code) (lfi_errno() == (code))

/* LFI_INVOKE of what is none: 0, with an error that names it. */
static bool
invoke(void *box, struct LFIContext **ctx, lfiptr fn, int code, const char *part)
{
	int64_t r;

	lfi_error_clear();
	r = LFI_INVOKE(box, ctx, fn, int64_t, (int), 1);
	return r == 0 && LAST(code) && strstr(lfi_errmsg(), part);
}

static bool
bad_calls_are_refused(void)
{
	struct LFIContext *gone = freed[CONTEXT], *own = f.ctx, *other = live[CONTEXT];
	struct LFIBox *box = live[BOX];

	return invoke(NULL, &own, f.buffer, LFI_ERR_INVALID, "box") &&
	       invoke(f.box, NULL, f.buffer, LFI_ERR_INVALID, "context") &&
	       invoke(f.box, &gone, f.buffer, LFI_ERR_INVALID, "freed") &&
	       invoke(box, &own, f.buffer, LFI_ERR_INVALID, "another sandbox") &&
	       invoke(f.box, &other, f.buffer, LFI_ERR_INVALID, "another sandbox") &&
	       invoke(freed[BOX], &none, f.buffer, LFI_ERR_INVALID, "freed") &&
	       invoke(f.box, &none, f.buffer, LFI_ERR_INVALID, "clone callback") &&
	       invoke(f.box, &own, 1, LFI_ERR_RANGE, "0x") &&
	       invoke(f.box, &own, UINT64_MAX, LFI_ERR_RANGE, "0xffffffffffffffff");
}

/* What else lfi_invoke_info may say: more on the stack than fits. */
static bool
bad_invoke_info_is_refused(void)
{
	struct LFIContext *own = f.ctx;

	for (int i = 0; i < 2; i++) {
		lfi_invoke_info.box = f.box;
		lfi_invoke_info.ctx = &own;
		lfi_invoke_info.target = f.buffer;
		lfi_invoke_info.stack_bytes = i ? SIZE_MAX : (size_t) 1 << 32;
		lfi_error_clear();
		if (((uint64_t(*)(void)) lfi_trampoline_addr)() != 0 || !LAST(LFI_ERR_RANGE))
			return false;
	}
	return true;
}

static bool
bad_rewrites_are_refused(void)
{
	struct LFIRewriteOptions opts = {.struct_size = sizeof opts};
	static const char text[] = "ret\n";
	char *out = bytes;

	opts.policy = 77;
	if (lfi_rewrite(&opts, text, 4, &out, NULL, NULL, NULL) != -1 || out || !strstr(lfi_errmsg(), "77"))
		return false;
	opts = (struct LFIRewriteOptions){.struct_size = sizeof opts, .bundle = 7};
	if (lfi_rewrite(&opts, text, 4, &out, NULL, NULL, NULL) != -1 || out || !strstr(lfi_errmsg(), "7"))
		return false;
	return lfi_rewrite(NULL, text, 4, NULL, NULL, NULL, NULL) == -1 && LAST(LFI_ERR_INVALID) &&
	       lfi_rewrite(NULL, NULL, 4, &out, &text_size, NULL, NULL) == -1 && LAST(LFI_ERR_INVALID) && !out;
}

static bool
bad_layouts_are_refused(void)
{
	static _Alignas(8) const char object[64];
	static const char text[] = "\tret\n";

	return lfi_rewrite_layout(NULL, text, 5, NULL, 0, &text_out, NULL) == -1 && LAST(LFI_ERR_INVALID) &&
	       lfi_rewrite_layout(NULL, text, 5, object + 1, 8, &text_out, NULL) == -1 && LAST(LFI_ERR_INVALID) &&
	       lfi_rewrite_layout(NULL, text, 5, object, 64, &text_out, NULL) == -1 && LAST(LFI_ERR_INVALID) &&
	       lfi_rewrite_layout(NULL, text, 5, object, 64, NULL, NULL) == -1 && LAST(LFI_ERR_INVALID) &&
	       lfi_rewrite_layout(NULL, NULL, 5, object, 64, &text_out, NULL) == -1 && LAST(LFI_ERR_INVALID);
}

static bool
hear(const struct LFIViolation *violation, void *user)
{
	*(int *) user = violation->rule;
	return true;
}

/* The verifier sets no error: it says which rule, and why. */
static bool
verify_refuses(const struct LFIVerifyOptions *opts, const void *code, size_t size, uint64_t offset, void *scratch,
    size_t scratch_size)
{
	int rule = LFI_RULE_NONE;

	return lfi_verify(opts, code, size, offset, scratch, scratch_size, hear, &rule, NULL) == 1 &&
	       rule == LFI_RULE_ARGUMENT;
}

static bool
bad_regions_are_refused(void)
{
	static _Alignas(8) char scratch[64];
	static const char code[64];
	const size_t big = ((size_t) 1 << 32) + 32;
	struct LFIVerifyOptions unset = {.struct_size = 0}, policy = {.struct_size = sizeof policy, .policy = -1},
				bundle = {.struct_size = sizeof bundle, .bundle = 3};

	return verify_refuses(NULL, NULL, 32, 0, scratch, 64) && verify_refuses(NULL, code, 33, 0, scratch, 64) &&
	       verify_refuses(NULL, code, 32, 1, scratch, 64) && verify_refuses(NULL, code, 32, 0, NULL, 64) &&
	       verify_refuses(NULL, code, 32, 0, scratch, 1) && verify_refuses(NULL, code, 32, 0, scratch + 1, 63) &&
	       verify_refuses(NULL, code, big, 0, scratch, SIZE_MAX) &&
	       verify_refuses(NULL, code, SIZE_MAX & -32ul, 32, scratch, SIZE_MAX) &&
	       verify_refuses(NULL, code, 32, UINT64_MAX & -32ul, scratch, 64) &&
	       verify_refuses(&unset, code, 32, 0, scratch, 64) && verify_refuses(&policy, code, 32, 0, scratch, 64) &&
	       verify_refuses(&bundle, code, 32, 0, scratch, 64) &&
	       lfi_verify(NULL, NULL, 32, 0, NULL, 0, NULL, NULL, NULL) == 1;
}

static bool
bad_parts_are_refused(void)
{
	static _Alignas(8) char scratch[64];
	static const char code[64];
	struct LFIVerifyPart part;

	return lfi_verify_part(NULL, NULL, 32, 0, scratch, 64, 0, 1, &part) == 1 &&
	       lfi_verify_part(NULL, code, 33, 0, scratch, 64, 0, 1, &part) == 1 &&
	       lfi_verify_part(NULL, code, 32, 0, NULL, 64, 0, 1, &part) == 1 &&
	       lfi_verify_part(NULL, code, 32, 0, scratch, 64, 0, 1, NULL) == 1 &&
	       lfi_verify_part(NULL, code, 32, 0, scratch, 64, 1, 1, &part) == 1 &&
	       lfi_verify_part(NULL, code, 32, 0, scratch, 64, 0, SIZE_MAX, &part) == 1 &&
	       lfi_verify_part(NULL, code, 32, 0, scratch, 64, SIZE_MAX, 0, &part) == 1;
}

/* Without parts that fit it is lfi_verify. */
static bool
bad_joins_are_refused(void)
{
	static _Alignas(8) char scratch[64];
	static const char code[64];
	static const struct LFIVerifyPart parts[1];

	return lfi_verify_finish(NULL, NULL, 32, 0, scratch, 64, parts, 1, NULL, NULL, NULL) == 1 &&
	       lfi_verify_finish(NULL, code, 33, 0, scratch, 64, parts, 1, NULL, NULL, NULL) == 1 &&
	       lfi_verify_finish(NULL, code, 32, 0, NULL, 64, parts, 1, NULL, NULL, NULL) == 1 &&
	       lfi_verify_finish(NULL, code, 32, 0, scratch, 64, NULL, 1, NULL, NULL, NULL) == 1 &&
	       lfi_verify_finish(NULL, code, 32, 0, scratch, 64, parts, 0, NULL, NULL, NULL) == 1 &&
	       lfi_verify_finish(NULL, code, 32, 0, scratch, 64, parts, SIZE_MAX, NULL, NULL, NULL) == 1;
}

static bool
unknown(const char *(*name)(int))
{
	static const int numbers[] = {-1, INT32_MIN, INT32_MAX, 1000};
	bool all = true;

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		all &= strcmp(name(numbers[i]), "unknown") == 0;
	return all;
}

/* It sets no error. */
static bool
bad_signals_are_the_hosts_own(void)
{
	static char siginfo[256], ucontext[1024];

	return lfi_signal_handle(11, NULL, NULL) == 0 && lfi_signal_handle(11, siginfo, NULL) == 0 &&
	       lfi_signal_handle(11, NULL, ucontext) == 0 && lfi_signal_handle(-1, siginfo, ucontext) == 0 &&
	       lfi_signal_handle(INT32_MAX, siginfo, ucontext) == 0;
}

/* clang-format off */
#define FUNCTIONS(X)                                                                                                   \
	X(lfi_box_cbinit, BOX, 0, !lfi_box_cbinit(h))                                                                  \
	X(lfi_box_copyfm, BOX, 0, lfi_box_copyfm(h, bytes, f.buffer, 8) == -1)                                         \
	X(lfi_box_copystr, BOX, 0, lfi_box_copystr(h, bytes, f.buffer, 8) == -1)                                       \
	X(lfi_box_copyto, BOX, 0, lfi_box_copyto(h, f.buffer, bytes, 8) == -1)                                         \
	X(lfi_box_free, BOX, FREES, VOID(lfi_box_free(h)))                                                             \
	X(lfi_box_info_sized, BOX, 0, lfi_box_info_sized(h, &info, sizeof info) == -1)                                 \
	X(lfi_box_init_ret, BOX, 0, lfi_box_init_ret(h) == -1)                                                         \
	X(lfi_box_interrupt, BOX, 0, lfi_box_interrupt(h) == -1)                                                       \
	X(lfi_box_limits_sized, BOX, 0, lfi_box_limits_sized(h, &limits, sizeof limits) == -1)                         \
	X(lfi_box_mapany, BOX, 0, lfi_box_mapany(h, PAGE, RW, ANON, -1, 0) == FAILED)                                  \
	X(lfi_box_mapat, BOX, 0, lfi_box_mapat(h, 0x1000000, PAGE, RW, ANON, -1, 0) == FAILED)                         \
	X(lfi_box_mprotect, BOX, 0, lfi_box_mprotect(h, f.buffer, PAGE, RW) == -1)                                     \
	X(lfi_box_munmap, BOX, 0, lfi_box_munmap(h, f.buffer, PAGE) == -1)                                             \
	X(lfi_box_new, ENGINE, 0, !lfi_box_new(h))                                                                     \
	X(lfi_box_pin, BOX, 0, !lfi_box_pin(h, f.buffer, 8, LFI_PROT_READ))                                            \
	X(lfi_box_ptr, BOX, 0, !lfi_box_ptr(h, f.buffer, 8))                                                           \
	X(lfi_box_ptrvalid, BOX, 0, !lfi_box_ptrvalid(h, f.buffer, 8))                                                 \
	X(lfi_box_register_cb, BOX, 0, !lfi_box_register_cb(h, bytes))                                                 \
	X(lfi_box_register_fn, BOX, 0, !lfi_box_register_fn(h, "v()", host_fn, NULL))                                  \
	X(lfi_box_set_limits_sized, BOX, 0, lfi_box_set_limits_sized(h, &limits, sizeof limits) == -1)                 \
	X(lfi_box_stats_sized, BOX, 0, lfi_box_stats_sized(h, &stats, sizeof stats) == -1)                             \
	X(lfi_box_unpin, BOX, 0, lfi_box_unpin(h, f.buffer, 8) == -1)                                                  \
	X(lfi_box_unregister_cb, BOX, 0, VOID(lfi_box_unregister_cb(h, bytes)))                                        \
	X(lfi_box_unregister_fn, BOX, 0, lfi_box_unregister_fn(h, bytes) == -1)                                        \
	X(lfi_cache_stats_sized, ENGINE, 0, lfi_cache_stats_sized(h, &cached, sizeof cached) == -1)                    \
	X(lfi_call, CONTEXT, LOOKS, lfi_call(h, f.buffer, "v()", NULL, NULL) == -1)                                    \
	X(lfi_cpu_feature_name, NONE, 0, unknown(lfi_cpu_feature_name))                                                \
	X(lfi_ctx_box, CONTEXT, 0, !lfi_ctx_box(h))                                                                    \
	X(lfi_ctx_clone, BOX, 0, !lfi_ctx_clone(h))                                                                    \
	X(lfi_ctx_data, CONTEXT, 0, !lfi_ctx_data(h))                                                                  \
	X(lfi_ctx_deadline, CONTEXT, 0, lfi_ctx_deadline(h, 1) == -1)                                                  \
	X(lfi_ctx_deadline_at, CONTEXT, 0, lfi_ctx_deadline_at(h, 1) == -1)                                            \
	X(lfi_ctx_end_call, CONTEXT, 0, VOID(lfi_ctx_end_call(h)))                                                     \
	X(lfi_ctx_exit, CONTEXT, 0, VOID(lfi_ctx_exit(h, 0)))                                                          \
	X(lfi_ctx_fault_sized, CONTEXT, 0, lfi_ctx_fault_sized(h, &fault_out, sizeof fault_out) == -1)                 \
	X(lfi_ctx_free, CONTEXT, FREES, VOID(lfi_ctx_free(h)))                                                         \
	X(lfi_ctx_interrupt, CONTEXT, 0, lfi_ctx_interrupt(h, 1) == -1)                                                \
	X(lfi_ctx_interrupted, CONTEXT, 0, !lfi_ctx_interrupted(h))                                                    \
	X(lfi_ctx_new, BOX, 0, !lfi_ctx_new(h, NULL))                                                                  \
	X(lfi_ctx_regs, CONTEXT, 0, !lfi_ctx_regs(h))                                                                  \
	X(lfi_ctx_run, CONTEXT, 0, lfi_ctx_run(h, f.buffer) == -1)                                                     \
	X(lfi_ctx_set_tp, CONTEXT, 0, VOID(lfi_ctx_set_tp(h, 1)))                                                      \
	X(lfi_ctx_token, CONTEXT, 0, lfi_ctx_token(h) == 0)                                                            \
	X(lfi_ctx_tp, CONTEXT, 0, lfi_ctx_tp(h) == 0)                                                                  \
	X(lfi_cur_ctx, NONE, 0, !lfi_cur_ctx())                                                                        \
	X(lfi_errmsg, NONE, 0, lfi_errmsg() != NULL)                                                                   \
	X(lfi_errno, NONE, 0, lfi_errno() == LFI_OK)                                                                   \
	X(lfi_error_clear, NONE, 0, VOID(lfi_error_clear()))                                                           \
	X(lfi_error_get, NONE, 0, VOID(lfi_error_get(NULL)))                                                           \
	X(lfi_error_name, NONE, 0, unknown(lfi_error_name))                                                            \
	X(lfi_fault_format_sized, NONE, 0, lfi_fault_format_sized(NULL, 8, bytes, sizeof bytes) == 0 &&                \
	    LAST(LFI_ERR_INVALID) && lfi_fault_format_sized(&fault_out, sizeof fault_out, NULL, 8) == 0 &&             \
	    LAST(LFI_ERR_INVALID) && lfi_fault_format_sized(&fault_out, sizeof fault_out, NULL, 0) > 0)                \
	X(lfi_fault_kind_name, NONE, 0, unknown(lfi_fault_kind_name))                                                  \
	X(lfi_fn_call, FN, LOOKS, lfi_fn_call(h, &none, NULL, NULL) == -1)                                             \
	X(lfi_fn_free, FN, FREES, VOID(lfi_fn_free(h)))                                                                \
	X(lfi_fn_new, BOX, 0, !lfi_fn_new(h, f.buffer, "v()"))                                                         \
	X(lfi_free, ENGINE, FREES, VOID(lfi_free(h)))                                                                  \
	X(lfi_invoke_info, NONE, 0, bad_invoke_info_is_refused())                                                      \
	X(lfi_new_sized, NONE, 0, !lfi_new_sized(NULL, 8, 1) && LAST(LFI_ERR_INVALID) &&                               \
	    !lfi_new((struct LFIOptions){0}, 0) && LAST(LFI_ERR_INVALID) &&                                            \
	    !lfi_new((struct LFIOptions){0}, SIZE_MAX) && !lfi_new((struct LFIOptions){0}, (size_t) 1 << 32))          \
	X(lfi_rewrite, NONE, 0, bad_rewrites_are_refused())                                                            \
	X(lfi_rewrite_free, NONE, 0, VOID(lfi_rewrite_free(NULL)))                                                     \
	X(lfi_rewrite_layout, NONE, 0, bad_layouts_are_refused())                                                      \
	X(lfi_rewrite_measure, NONE, 0, lfi_rewrite_measure(NULL, 1, &text_out, NULL) == -1 &&                         \
	    LAST(LFI_ERR_INVALID) && lfi_rewrite_measure("", 0, NULL, NULL) == -1 && LAST(LFI_ERR_INVALID))            \
	X(lfi_set_clone_cb, ENGINE, 0, VOID(lfi_set_clone_cb(h, no_context)))                                          \
	X(lfi_set_log, NONE, 0, VOID(lfi_set_log(NULL, NULL)))                                                         \
	X(lfi_set_release_cb, ENGINE, 0, VOID(lfi_set_release_cb(h, NULL)))                                            \
	X(lfi_signal_handle, NONE, 0, bad_signals_are_the_hosts_own())                                                 \
	X(lfi_signal_reclaim, NONE, 0, lfi_signal_reclaim() == 0)                                                      \
	X(lfi_sys_handler, ENGINE, 0, VOID(lfi_sys_handler(h, NULL)))                                                  \
	X(lfi_trampoline_addr, NONE, 0, bad_calls_are_refused())                                                       \
	X(lfi_verify, NONE, 0, bad_regions_are_refused())                                                              \
	X(lfi_verify_finish, NONE, 0, bad_joins_are_refused())                                                         \
	X(lfi_verify_part, NONE, 0, bad_parts_are_refused())                                                           \
	X(lfi_verify_rule_name, NONE, 0, unknown(lfi_verify_rule_name))                                                \
	X(lfi_verify_scratch_size, NONE, 0, lfi_verify_scratch_size(SIZE_MAX) >= SIZE_MAX / 4)                         \
	X(lfi_version, NONE, 0, lfi_version() == LFI_VERSION_NUMBER)                                                   \
	X(lfi_version_string, NONE, 0, lfi_version_string() != NULL)

FUNCTIONS(FUNCTION)

static const struct Row functions[] = {
	FUNCTIONS(ROW)
};
/* clang-format on */

#define NROWS (sizeof functions / sizeof functions[0])

static void
each_exported_function_has_a_row(void)
{
	check_complete(functions, NROWS, false);
}

/* Others of f's engine, whose pages for contexts stay: what is on a fast path looks there. */
static void
make_handles(void)
{
	struct LFIBox *box = lfi_box_new(f.engine);

	live[ENGINE] = lfi_new((struct LFIOptions){0}, 1);
	live[BOX] = box;
	live[CONTEXT] = lfi_ctx_new(box, NULL);
	live[FN] = lfi_fn_new(f.box, f.buffer, "v()");
	freed[ENGINE] = lfi_new((struct LFIOptions){0}, 1);
	freed[BOX] = lfi_box_new(f.engine);
	freed[CONTEXT] = lfi_ctx_new(f.box, NULL);
	freed[FN] = lfi_fn_new(f.box, f.buffer, "v()");
	for (int kind = ENGINE; kind <= FN; kind++) {
		assert_non_null(live[kind]);
		assert_non_null(freed[kind]);
	}
	lfi_fn_free(freed[FN]);
	lfi_ctx_free(freed[CONTEXT]);
	lfi_box_free(freed[BOX]);
	lfi_free(freed[ENGINE]);
}

static void
handles_that_are_none_are_refused_by_each_function(void)
{
	make_handles();
	for (size_t i = 0; i < NROWS; i++) {
		lfi_error_clear();
		if (functions[i].kind != NONE)
			try_handles(&functions[i], live, freed);
		else if (!functions[i].refused(NULL))
			fail_msg("%s: %s: %s", functions[i].name, lfi_error_name(lfi_errno()), lfi_errmsg());
	}
	/* Nothing has happened to those that live. */
	assert_int_equal(lfi_box_stats(live[BOX]).contexts, 1);
	lfi_fn_free(live[FN]);
	lfi_box_free(live[BOX]);
	lfi_free(live[ENGINE]);
	assert_int_equal(lfi_errno(), LFI_OK);
}

static void
pointers_beside_handles_that_are_null_are_refused(void)
{
	REFUSED(lfi_box_copyto(f.box, f.buffer, NULL, 8), -1, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_box_copyfm(f.box, NULL, f.buffer, 8), -1, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_box_copystr(f.box, NULL, f.buffer, 8), -1, LFI_ERR_INVALID, "NULL");
	assert_done(lfi_box_copyto(f.box, f.buffer, NULL, 0));
	assert_done(lfi_box_copyfm(f.box, NULL, f.buffer, 0));
	REFUSED(lfi_box_register_cb(f.box, NULL), NULL, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_box_register_fn(f.box, "v()", NULL, NULL), NULL, LFI_ERR_INVALID, "NULL");
	REFUSED(lfi_box_register_fn(f.box, NULL, host_fn, NULL), NULL, LFI_ERR_SIGNATURE, "NULL");
	REFUSED(lfi_box_unregister_fn(f.box, NULL), -1, LFI_ERR_NOTFOUND, "registered");
	REFUSED(lfi_fn_new(f.box, f.buffer, NULL), NULL, LFI_ERR_SIGNATURE, "NULL");
	REFUSED(lfi_call(f.ctx, f.buffer, NULL, NULL, NULL), -1, LFI_ERR_SIGNATURE, "NULL");
	REFUSED(lfi_call(f.ctx, f.buffer, "v(i)", NULL, NULL), -1, LFI_ERR_SIGNATURE, "no values");
}

/* A handle is given back once, whoever asks; and nobody else's. */
static void
what_was_freed_is_not_freed_again(void)
{
	struct LFIContext *ctx = lfi_ctx_new(f.box, NULL);
	struct LFIBox *box = lfi_box_new(f.engine);
	struct LFIFn *fn = lfi_fn_new(f.box, f.buffer, "v()");
	void *volatile gone;

	for (int i = 0; i < 2; i++) {
		lfi_error_clear();
		gone = ctx;
		lfi_ctx_free(gone);
		assert_int_equal(lfi_errno(), i ? LFI_ERR_INVALID : LFI_OK);
		lfi_error_clear();
		gone = box;
		lfi_box_free(gone);
		assert_int_equal(lfi_errno(), i ? LFI_ERR_INVALID : LFI_OK);
		lfi_error_clear();
		gone = fn;
		lfi_fn_free(gone);
		assert_int_equal(lfi_errno(), i ? LFI_ERR_INVALID : LFI_OK);
	}
	assert_int_equal(lfi_box_stats(f.box).contexts, 1);
	/* Contexts go with their box. */
	box = lfi_box_new(f.engine);
	ctx = lfi_ctx_new(box, NULL);
	lfi_box_free(box);
	REFUSED(lfi_ctx_regs(ctx), NULL, LFI_ERR_INVALID, "freed");
}

/* More handles than the first tables hold, some of which go meanwhile. */
static void
thousands_of_handles_are_told_apart(void)
{
	enum { N = 3000 };
	static struct LFIFn *fns[N];

	for (int i = 0; i < N; i++) {
		fns[i] = lfi_fn_new(f.box, f.buffer, "v()");
		assert_non_null(fns[i]);
		if (i % 3 == 2)
			lfi_fn_free(fns[i - 1]);
	}
	for (int i = 0; i < N; i++) {
		REFUSED(lfi_ctx_regs((void *) fns[i]), NULL, LFI_ERR_INVALID,
		    i % 3 == 1 && i < N - 1 ? "0x" : "prepared call");
		if (i % 3 != 1)
			lfi_fn_free(fns[i]);
		assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	}
	assert_non_null(lfi_ctx_regs(f.ctx));
}

/* ---- Structs with their size ---- */

struct Sized {
	const char *name;
	size_t known;
	bool (*call)(void *bytes, size_t size);
	bool takes; /* else it gives */
};

static bool
with_options(void *given, size_t size)
{
	struct LFIEngine *engine = lfi_new_sized(given, size, 1);

	lfi_free(engine);
	return engine;
}

static bool
with_limits(void *given, size_t size)
{
	return lfi_box_set_limits_sized(f.box, given, size) == 0;
}

static bool
with_fault(void *given, size_t size)
{
	return lfi_fault_format_sized(given, size, bytes, sizeof bytes) > 0;
}

static bool
info_out(void *out, size_t size)
{
	return lfi_box_info_sized(f.box, out, size) == 0;
}

static bool
limits_out(void *out, size_t size)
{
	return lfi_box_limits_sized(f.box, out, size) == 0;
}

static bool
stats_out(void *out, size_t size)
{
	return lfi_box_stats_sized(f.box, out, size) == 0;
}

static bool
cache_out(void *out, size_t size)
{
	return lfi_cache_stats_sized(f.engine, out, size) == 0;
}

static bool
ctx_fault_out(void *out, size_t size)
{
	return lfi_ctx_fault_sized(f.ctx, out, size) == 0;
}

static const struct Sized sized[] = {
    {"struct LFIOptions", sizeof(struct LFIOptions), with_options, true},
    {"struct LFILimits", sizeof(struct LFILimits), with_limits, true},
    {"struct LFIFault", sizeof(struct LFIFault), with_fault, true},
    {"struct", sizeof(struct LFIBoxInfo), info_out, false},
    {"struct", sizeof(struct LFILimits), limits_out, false},
    {"struct", sizeof(struct LFIBoxStats), stats_out, false},
    {"struct", sizeof(struct LFICacheStats), cache_out, false},
    {"struct", sizeof(struct LFIFault), ctx_fault_out, false},
};

static void
refused_size(const struct Sized *s, void *given, size_t size, const char *part)
{
	lfi_error_clear();
	if (s->call(given, size) || lfi_errno() != LFI_ERR_INVALID || !strstr(lfi_errmsg(), s->name) ||
	    !strstr(lfi_errmsg(), part))
		fail_msg("%s of %zu bytes: %s", s->name, size, lfi_errmsg());
}

/* What an older caller's struct lacks means defaults, down to nothing; a newer caller's may say nothing new. */
static void
structs_of_other_sizes_are_defaults_or_refused(void)
{
	static _Alignas(16) unsigned char given[8192];
	char part[32];

	assert_int_equal(lfi_ctx_run(f.ctx, f.buffer), -1); /* data: a fault */
	for (const struct Sized *s = sized; s < sized + sizeof sized / sizeof sized[0]; s++) {
		const size_t fine[] = {0, 1, 4, s->known, s->known + 1, 4096};
		const size_t absurd[] = {4097, (size_t) 1 << 32, (size_t) 1 << 63, SIZE_MAX};

		for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
			memset(given, s->takes ? 0 : 0xaa, sizeof given);
			if (!s->call(given, fine[i]))
				fail_msg("%s of %zu bytes: %s", s->name, fine[i], lfi_errmsg());
			if (!s->takes)
				assert_int_equal(given[fine[i]], 0xaa);
		}
		for (size_t i = 0; i < sizeof absurd / sizeof absurd[0]; i++) {
			snprintf(part, sizeof part, "%zu bytes", absurd[i]);
			refused_size(s, given, absurd[i], s->takes ? part : "");
		}
		refused_size(s, NULL, s->known, "NULL");
		if (!s->takes)
			continue;
		memset(given, 0, sizeof given);
		given[s->known + 5] = 1;
		snprintf(part, sizeof part, "byte %zu", s->known + 5);
		refused_size(s, given, s->known + 6, part);
		assert_true(s->call(given, s->known + 5));
	}
}

/* ---- Addresses, lengths, flags ---- */

static void
ranges_outside_the_sandbox_and_sizes_that_overflow_are_refused(void)
{
	const struct LFIBoxInfo at = lfi_box_info(f.box);
	const struct {
		lfiptr addr;
		size_t size;
	} rows[] = {
		{0, PAGE}, {at.base, PAGE}, {at.min - PAGE, 2 * PAGE}, {at.min - PAGE, PAGE},
		{at.max - PAGE, 2 * PAGE}, {at.max, PAGE}, {at.base + at.size, PAGE},
		{at.base - at.size, PAGE}, {(lfiptr) 1 << 63, PAGE}, {-PAGE, PAGE}, {at.min, at.size},
		{at.min, SIZE_MAX}, {at.min, SIZE_MAX - PAGE + 1}, {at.max - PAGE, -at.max + 2 * PAGE},
		{f.buffer, (size_t) 1 << 32}, {f.buffer, SIZE_MAX}, {0, (size_t) 1 << 32},
		{f.buffer, (size_t) 1 << 63}, {f.buffer, (size_t) 0 - f.buffer + 1},
	};
	char byte[16];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		lfiptr addr = rows[i].addr;
		size_t size = rows[i].size;
		char part[32];

		/* The message has the address, or the size. */
		snprintf(part, sizeof part, "%#zx bytes at ", size);
		REFUSED(lfi_box_mapat(f.box, addr, size, RW, ANON, -1, 0), FAILED, LFI_ERR_RANGE, part);
		REFUSED(lfi_box_mapat(f.box, addr, size, RW, ANON | LFI_MAP_FIXED, -1, 0), FAILED, LFI_ERR_RANGE, part);
		REFUSED(lfi_box_mprotect(f.box, addr, size, RW), -1, LFI_ERR_RANGE, part);
		REFUSED(lfi_box_munmap(f.box, addr, size), -1, LFI_ERR_RANGE, part);
		/* Nothing is read of the host's memory, whose bounds these sizes leave too. */
		REFUSED(lfi_box_copyto(f.box, addr, byte, size), -1, LFI_ERR_RANGE, part);
		REFUSED(lfi_box_copyfm(f.box, byte, addr, size), -1, LFI_ERR_RANGE, part);
		REFUSED(lfi_box_ptr(f.box, addr, size), NULL, LFI_ERR_RANGE, part);
		assert_false(lfi_box_ptrvalid(f.box, addr, size));
	}
}

static void
entries_outside_the_sandbox_are_refused(void)
{
	const struct LFIBoxInfo at = lfi_box_info(f.box);
	const lfiptr rows[] = {0, at.base, at.min - 1, at.max, at.base + at.size, UINT64_MAX};
	char byte[4], part[32];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		snprintf(part, sizeof part, "%#llx", (unsigned long long) rows[i]);
		REFUSED(lfi_ctx_run(f.ctx, rows[i]), -1, LFI_ERR_RANGE, "");
		REFUSED(lfi_call(f.ctx, rows[i], "v()", NULL, NULL), -1, LFI_ERR_RANGE, "");
		REFUSED(lfi_fn_new(f.box, rows[i], "v()"), NULL, LFI_ERR_RANGE, "");
		REFUSED(lfi_box_copystr(f.box, byte, rows[i], sizeof byte), -1, LFI_ERR_RANGE, "");
	}
}

static void
copies_of_pages_that_are_not_mapped_name_the_first(void)
{
	lfiptr hole = map(f.box, 3 * PAGE) + PAGE;
	char part[32];

	assert_done(lfi_box_munmap(f.box, hole, PAGE));
	snprintf(part, sizeof part, "%#llx", (unsigned long long) hole);
	REFUSED(lfi_box_copyto(f.box, hole - 32, bytes, 64), -1, LFI_ERR_UNMAPPED, part);
	REFUSED(lfi_box_copyfm(f.box, bytes, hole - 32, 64), -1, LFI_ERR_UNMAPPED, part);
	memset(bytes, 'x', sizeof bytes);
	assert_done(lfi_box_copyto(f.box, hole - 32, bytes, 32));
	REFUSED(lfi_box_copystr(f.box, bytes, hole - 32, 64), -1, LFI_ERR_UNMAPPED, "");
	/* The string is in time not over, though memory is there. */
	REFUSED(lfi_box_copystr(f.box, bytes, hole - 32, 16), -1, LFI_ERR_RANGE, "16 bytes");
	REFUSED(lfi_box_copystr(f.box, bytes, hole - 32, 0), -1, LFI_ERR_RANGE, "0 bytes");
	REFUSED(lfi_box_mprotect(f.box, hole - PAGE, 3 * PAGE, RW), -1, LFI_ERR_UNMAPPED, "is mapped");
	/* Pages that may not be written, though they are there. */
	assert_done(lfi_box_mprotect(f.box, hole + PAGE, PAGE, LFI_PROT_READ));
	snprintf(part, sizeof part, "%#llx", (unsigned long long) (hole + PAGE));
	REFUSED(lfi_box_copyto(f.box, hole + PAGE, bytes, 1), -1, LFI_ERR_UNMAPPED, part);
	assert_done(lfi_box_copyfm(f.box, bytes, hole + PAGE, 1));
}

/* A page that comes and goes while it is copied, as hostile code has it. */
static _Atomic bool over;

static void *
map_and_unmap(void *arg)
{
	lfiptr at = *(lfiptr *) arg;

	for (int i = 0; i < 2000 && !atomic_load(&over); i++) {
		if (lfi_box_munmap(f.box, at, PAGE) < 0)
			return arg;
		if (lfi_box_mapat(f.box, at, PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0) == FAILED)
			return arg;
	}
	atomic_store(&over, true);
	return NULL;
}

static void
pages_that_go_while_they_are_copied_are_errors(void)
{
	static char copy[4096];
	lfiptr at = map(f.box, 2 * PAGE) + PAGE;
	pthread_t other;
	void *failed;

	atomic_store(&over, false);
	assert_int_equal(pthread_create(&other, NULL, map_and_unmap, &at), 0);
	while (!atomic_load(&over)) {
		if (lfi_box_copyfm(f.box, copy, at - 64, sizeof copy) < 0)
			assert_error(LFI_ERR_UNMAPPED);
		if (lfi_box_copyto(f.box, at - 64, copy, sizeof copy) < 0)
			assert_error(LFI_ERR_UNMAPPED);
		memset(copy, 'x', sizeof copy);
		if (lfi_box_copyto(f.box, at, copy, 64) < 0)
			assert_error(LFI_ERR_UNMAPPED);
		if (lfi_box_copystr(f.box, copy, at, sizeof copy) < 0)
			assert_true(lfi_errno() == LFI_ERR_UNMAPPED || lfi_errno() == LFI_ERR_RANGE);
	}
	pthread_join(other, &failed);
	assert_null(failed);
}

static void
protections_flags_and_offsets_that_are_none_are_refused(void)
{
	const int odd = 0x40000000;

	REFUSED(lfi_box_mapany(f.box, 0, RW, ANON, -1, 0), FAILED, LFI_ERR_INVALID, "size is 0");
	REFUSED(lfi_box_mapany(f.box, PAGE, odd, ANON, -1, 0), FAILED, LFI_ERR_INVALID, "0x40000000");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW | LFI_PROT_EXEC, ANON, -1, 0), FAILED, LFI_ERR_INVALID, "executable");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, ANON | odd, -1, 0), FAILED, LFI_ERR_INVALID, "0x40000022");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, LFI_MAP_ANONYMOUS, -1, 0), FAILED, LFI_ERR_INVALID, "0x20");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, ANON | LFI_MAP_SHARED, -1, 0), FAILED, LFI_ERR_INVALID, "0x23");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0), FAILED, LFI_ERR_INVALID, "LFI_MAP_FIXED");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, LFI_MAP_PRIVATE, -1, 0), FAILED, LFI_ERR_INVALID, "file");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, LFI_MAP_PRIVATE, 0, 1), FAILED, LFI_ERR_INVALID, "offset 1 ");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, LFI_MAP_PRIVATE, 0, -4096), FAILED, LFI_ERR_INVALID, "offset -4096 ");
	REFUSED(lfi_box_mapany(f.box, PAGE, RW, LFI_MAP_PRIVATE, 1 << 30, 0), FAILED, LFI_ERR_OS, "4096 bytes");
	REFUSED(lfi_box_mapany(f.box, SIZE_MAX, RW, ANON, -1, 0), FAILED, LFI_ERR_NOMEM, "18446744073709551615");
	REFUSED(lfi_box_mapat(f.box, f.buffer + 1, PAGE, RW, ANON, -1, 0), FAILED, LFI_ERR_INVALID, "page size");
	REFUSED(lfi_box_mapat(f.box, f.buffer, PAGE, RW, ANON, -1, 0), FAILED, LFI_ERR_INVALID, "is mapped in");
	REFUSED(lfi_box_mprotect(f.box, f.buffer, PAGE, odd), -1, LFI_ERR_INVALID, "0x40000000");
	REFUSED(lfi_box_mprotect(f.box, f.buffer + 8, PAGE, RW), -1, LFI_ERR_INVALID, "page size");
	REFUSED(lfi_box_munmap(f.box, f.buffer + 8, PAGE), -1, LFI_ERR_INVALID, "page size");
	REFUSED(lfi_box_munmap(f.box, f.buffer, 0), -1, LFI_ERR_INVALID, "size is 0");
}

/* The text, and where it is wrong. */
static const struct {
	const char *text;
	int at;
} signatures[] = {
    {"", 1}, {"i", 2}, {"i(", 3}, {"i(i", 4}, {"(i)", 1}, {"i)i(", 2}, {"i(v)", 3}, {"x()", 1}, {"i(y)", 3},
    {"i({)", 4}, {"i(})", 3}, {"i({})", 4}, {"i(i))", 5}, {"i()x", 4}, {"v({i)", 5}, {"\xff(\xff)", 1}, {"v(i,i)", 4},
    {"v( i)", 3}, {"v({[0i]})", 6}, {"v({[99999999999999999999i]})", 10}, {"v({[2v]})", 6}, {"v({[2i})", 7}, {"v([2i])", 3},
    {"v(...f)", 6}, {"v(.f)", 4}, {"v(......)", 6}, {"v(i", 4}, {"vv()", 2}, {"v()()", 4},
    {"v({{{{{{{{{{{{{{{{{{i}}}}}}}}}}}}}}}}}})", 20},
};

static void
refused_signature(const char *text, int at)
{
	char part[32];

	snprintf(part, sizeof part, "character %d:", at);
	REFUSED(lfi_call(f.ctx, f.buffer, text, NULL, NULL), -1, LFI_ERR_SIGNATURE, part);
	REFUSED(lfi_fn_new(f.box, f.buffer, text), NULL, LFI_ERR_SIGNATURE, part);
	REFUSED(lfi_box_register_fn(f.box, text, host_fn, NULL), NULL, LFI_ERR_SIGNATURE, part);
	if (strlen(text) < 64)
		assert_non_null(strstr(lfi_errmsg(), text));
}

static void
signatures_that_do_not_parse_are_refused_where_they_end_to_be_ones(void)
{
	static char longest[5000];

	for (size_t i = 0; i < sizeof signatures / sizeof signatures[0]; i++)
		refused_signature(signatures[i].text, signatures[i].at);
	memset(longest, 'i', sizeof longest - 1);
	refused_signature(longest, 4097);
}

/* Not a cmocka fixture: cmocka takes the fault handlers over after those, and the library's must come last. */
static void
with_box(void **state)
{
	void (*const *test)(void) = *state;

	f = fixture((struct LFIOptions){0});
	(*test)();
	drop(&f);
}

#define TEST(name)                                                                                                     \
	{                                                                                                              \
#name, with_box, NULL, NULL, &(void (*)(void)){name}                                                   \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_exported_function_has_a_row),
		TEST(handles_that_are_none_are_refused_by_each_function),
		TEST(pointers_beside_handles_that_are_null_are_refused),
		TEST(what_was_freed_is_not_freed_again),
		TEST(thousands_of_handles_are_told_apart),
		TEST(structs_of_other_sizes_are_defaults_or_refused),
		TEST(ranges_outside_the_sandbox_and_sizes_that_overflow_are_refused),
		TEST(entries_outside_the_sandbox_are_refused),
		TEST(copies_of_pages_that_are_not_mapped_name_the_first),
		TEST(protections_flags_and_offsets_that_are_none_are_refused),
		TEST(pages_that_go_while_they_are_copied_are_errors),
		TEST(signatures_that_do_not_parse_are_refused_where_they_end_to_be_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
