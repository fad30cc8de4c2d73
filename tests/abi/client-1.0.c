/* SPDX-License-Identifier: MIT */
/*
 * A program as it was written for the first release. It is built against the headers of 1.0, which are beside it, and
 * against today's, and run with today's liblfi.so. It never changes: what it does must go on working.
 *
 *   client-1.0 [PROGRAM]     PROGRAM, for the sandbox, is run and its exit status must be 0
 */
#include <lfi/lfi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                     \
	do {                                                                                 \
		if (!(condition)) {                                                          \
			printf("line %d: %s: %s (%s)\n", __LINE__, #condition, lfi_errmsg(), \
			    lfi_error_name(lfi_errno()));                                    \
			exit(1);                                                             \
		}                                                                            \
	} while (0)

enum { PAGE = 4096 };
enum { ANON = LFI_MAP_ANONYMOUS | LFI_MAP_PRIVATE, RW = LFI_PROT_READ | LFI_PROT_WRITE };

/* pop %r11; and $~31, %r11d; add %r14, %r11; jmp *%r11 */
#define RETURN 0x41, 0x5b, 0x41, 0x83, 0xe3, 0xe0, 0x4d, 0x01, 0xf3, 0x41, 0xff, 0xe3

/* int add(int, int): lea (%rdi,%rsi), %eax */
static const uint8_t code_add[] = {0x8d, 0x04, 0x37, RETURN};

/* double add(double, double): addsd %xmm1, %xmm0 */
static const uint8_t code_add_doubles[] = {0xf2, 0x0f, 0x58, 0xc1, RETURN};

/* int apply(int (*)(int), int): mov %rdi, %rdx; mov %esi, %edi; and $~31, %edx; add %r14, %rdx; jmp *%rdx */
static const uint8_t code_apply[] = {0x48, 0x89, 0xfa, 0x89, 0xf7, 0x83, 0xe2, 0xe0, 0x4c, 0x01, 0xf2, 0xff, 0xe2};

/* int load(int *): mov %gs:(%edi), %eax */
static const uint8_t code_load[] = {0x65, 0x67, 0x8b, 0x07, RETURN};

/* mov $42, %eax; lea 1f(%rip), %r11; jmp *-8(%r14); 1: */
static const uint8_t code_syscall[] = {
    0xb8, 0x2a, 0x00, 0x00, 0x00, 0x4c, 0x8d, 0x1d, 0x04, 0x00, 0x00, 0x00, 0x41, 0xff, 0x66, 0xf8};

/* mov %rax, (%rax) */
static const uint8_t code_bad[] = {0x48, 0x89, 0x00};

/* ud2 */
static const uint8_t code_trap[] = {0x0f, 0x0b};

static lfiptr
load(struct LFIBox *box, const uint8_t *code, size_t size)
{
	uint8_t page[PAGE];
	lfiptr at = lfi_box_mapany(box, PAGE, RW, ANON, -1, 0);

	CHECK(at != (lfiptr) -1);
	memset(page, 0xcc, sizeof page);
	memcpy(page, code, size);
	CHECK(lfi_box_copyto(box, at, page, sizeof page) == 0);
	CHECK(lfi_box_mprotect(box, at, PAGE, LFI_PROT_READ | LFI_PROT_EXEC) == 0);
	return at;
}

#define LOAD(box, code) load(box, code, sizeof(code))

/* ---- Errors, versions ---- */

static int log_lines;

static void
count_line(const char *line, void *user)
{
	log_lines += line && user == &log_lines;
}

static void
errors(void)
{
	struct LFIError error;

	lfi_error_clear();
	CHECK(lfi_errno() == LFI_OK && lfi_errmsg());
	CHECK(!lfi_new((struct LFIOptions){0}, 0));
	lfi_error_get(&error);
	CHECK(error.code == LFI_ERR_INVALID && lfi_errno() == error.code && strcmp(error.message, lfi_errmsg()) == 0);
	CHECK(strcmp(lfi_error_name(LFI_ERR_VERIFY), "LFI_ERR_VERIFY") == 0);
	CHECK(strcmp(lfi_error_name(-5), "unknown") == 0);
	CHECK(lfi_version() >= 10000 && lfi_version() / 10000 == LFI_VERSION_MAJOR);
	CHECK(lfi_version() >= LFI_VERSION_NUMBER);
	CHECK(lfi_version_string()[0] == '1');
}

static void
freeing_nothing(void)
{
	lfi_free(NULL);
	lfi_box_free(NULL);
	lfi_ctx_free(NULL);
	lfi_linux_free(NULL);
	lfi_proc_free(NULL);
	lfi_thread_free(NULL);
	lfi_rewrite_free(NULL);
}

/* ---- Engines ---- */

static void
options(void)
{
	struct LFIOptions opts = {.boxsize = (size_t) 4 << 30, .pagesize = PAGE, .bundle = 32};
	struct LFIEngine *engine;

	CHECK((engine = lfi_new_sized(&opts, offsetof(struct LFIOptions, verbose), 1)));
	lfi_free(engine);
	opts.boxsize = 5;
	CHECK(!lfi_new(opts, 1) && lfi_errno() == LFI_ERR_INVALID);
	opts = (struct LFIOptions){.verbose = true};
	lfi_set_log(count_line, &log_lines);
	CHECK((engine = lfi_new(opts, 1)));
	lfi_free(engine);
	lfi_set_log(NULL, NULL);
	CHECK(log_lines > 0);
}

/* ---- Boxes ---- */

static void
memory(struct LFIBox *box)
{
	struct LFIBoxInfo info = lfi_box_info(box);
	lfiptr at = lfi_box_mapat(box, info.min + 16 * PAGE, 2 * PAGE, RW, ANON | LFI_MAP_FIXED, -1, 0);
	char text[16] = "sandbox";

	CHECK(info.size == (size_t) 1 << 32 && info.base % info.size == 0);
	CHECK(info.min > info.base && info.max < info.base + info.size);
	CHECK(at == info.min + 16 * PAGE);
	CHECK(lfi_box_mapat(box, at, PAGE, RW, ANON | LFI_MAP_FIXED_NOREPLACE, -1, 0) == (lfiptr) -1);
	CHECK(lfi_box_copyto(box, at, text, sizeof text) == 0);
	memset(text, 0, sizeof text);
	CHECK(lfi_box_copystr(box, text, at, sizeof text) == 7 && strcmp(text, "sandbox") == 0);
	CHECK(lfi_box_ptrvalid(box, at, PAGE) && !lfi_box_ptrvalid(box, info.max, 1));
	CHECK(memcmp(lfi_box_ptr(box, at, 8), "sandbox", 8) == 0);
	CHECK(lfi_box_mprotect(box, at, PAGE, LFI_PROT_READ) == 0);
	CHECK(lfi_box_copyto(box, at, text, 1) == -1 && lfi_errno() == LFI_ERR_UNMAPPED);
	CHECK(lfi_box_munmap(box, at, 2 * PAGE) == 0);
	CHECK(lfi_box_copyfm(box, text, at, 1) == -1 && lfi_errno() == LFI_ERR_UNMAPPED);
	CHECK(lfi_box_copyfm(box, text, info.max, 1) == -1 && lfi_errno() == LFI_ERR_RANGE);
}

static void
refused_code(struct LFIBox *box)
{
	lfiptr at = lfi_box_mapany(box, PAGE, RW, ANON, -1, 0);

	CHECK(lfi_box_copyto(box, at, code_bad, sizeof code_bad) == 0);
	CHECK(lfi_box_mprotect(box, at, PAGE, LFI_PROT_READ | LFI_PROT_EXEC) == -1);
	CHECK(lfi_errno() == LFI_ERR_VERIFY && strstr(lfi_errmsg(), "verification failed"));
	CHECK(lfi_box_munmap(box, at, PAGE) == 0);
}

/* ---- Calls ---- */

static void
calls(struct LFIBox *box, struct LFIContext *ctx)
{
	lfiptr add = LOAD(box, code_add), add_doubles = LOAD(box, code_add_doubles);
	union LFIValue args[2] = {{.i = 40}, {.i = 2}}, result = {.u = 0};

	CHECK(LFI_INVOKE(box, &ctx, add, int, (int, int), 10, 32) == 42 && lfi_errno() == LFI_OK);
	CHECK(LFI_INVOKE(box, &ctx, add_doubles, double, (double, double), 1.5, 2.25) == 3.75);
	CHECK(lfi_call(ctx, add, "i(ii)", args, &result) == 0 && result.i == 42);
	args[0].d = 0.5;
	args[1].d = 0.25;
	CHECK(lfi_call(ctx, add_doubles, "d(dd)", args, &result) == 0 && result.d == 0.75);
	CHECK(lfi_call(ctx, add, "i(x)", args, &result) == -1 && lfi_errno() == LFI_ERR_SIGNATURE);
}

/* What LFI_INVOKE does, by hand, with the members that the tutorial names. */
static void
trampoline(struct LFIBox *box, struct LFIContext *ctx)
{
	lfi_invoke_info.box = box;
	lfi_invoke_info.ctx = &ctx;
	lfi_invoke_info.target = LOAD(box, code_add);
	CHECK(((int (*)(int, int)) lfi_trampoline_addr)(20, 22) == 42);
}

static struct LFIContext *called_by;

static int
add_one(int x)
{
	called_by = lfi_cur_ctx();
	return x + 1;
}

static void
callbacks(struct LFIBox *box, struct LFIContext *ctx)
{
	lfiptr apply = LOAD(box, code_apply);
	void *fn = lfi_box_register_cb(box, (void *) add_one);

	CHECK(fn);
	CHECK(LFI_INVOKE(box, &ctx, apply, int, (int (*)(int), int), fn, 41) == 42);
	CHECK(called_by == ctx && !lfi_cur_ctx());
	lfi_box_unregister_cb(box, (void *) add_one);
	LFI_INVOKE(box, &ctx, apply, int, (int (*)(int), int), fn, 41);
	CHECK(lfi_errno() == LFI_ERR_FAULT);
}

static struct LFIContext *
make_context(struct LFIBox *box)
{
	struct LFIContext *ctx = lfi_ctx_new(box, NULL);

	lfi_ctx_regs(ctx)->sp = lfi_box_mapany(box, 4 * PAGE, RW, ANON, -1, 0) + 4 * PAGE;
	return ctx;
}

static void
lazy_contexts(struct LFIEngine *engine, struct LFIBox *box)
{
	struct LFIContext *ctx = NULL;
	lfiptr add = LOAD(box, code_add);

	LFI_INVOKE(box, &ctx, add, int, (int, int), 1, 2);
	CHECK(lfi_errno() == LFI_ERR_INVALID);
	lfi_set_clone_cb(engine, make_context);
	CHECK(LFI_INVOKE(box, &ctx, add, int, (int, int), 1, 2) == 3 && ctx && lfi_ctx_box(ctx) == box);
	lfi_ctx_free(ctx);
}

/* ---- Runs and faults ---- */

static void
handler(struct LFIContext *ctx)
{
	struct LFIRegs *regs = lfi_ctx_regs(ctx);

	*(int *) lfi_ctx_data(ctx) = (int) regs->x8;
	regs->rax = 0;
	lfi_ctx_exit(ctx, 7);
}

static void
runs(struct LFIEngine *engine, struct LFIBox *box, struct LFIContext *ctx, const int *seen)
{
	lfiptr entry = LOAD(box, code_syscall);

	lfi_ctx_set_tp(ctx, 0x1234);
	CHECK(lfi_ctx_tp(ctx) == 0x1234);
	CHECK(lfi_ctx_run(ctx, entry) == -1 && lfi_errno() == LFI_ERR_FAULT);
	lfi_sys_handler(engine, handler);
	CHECK(lfi_ctx_run(ctx, entry) == 7 && lfi_errno() == LFI_OK && *seen == 42);
	CHECK(lfi_ctx_run(ctx, lfi_box_info(box).max) == -1 && lfi_errno() == LFI_ERR_RANGE);
}

static void
faults(struct LFIBox *box, struct LFIContext *ctx)
{
	lfiptr trap = LOAD(box, code_trap), read = LOAD(box, code_load);
	struct LFIFault fault;
	lfiptr hole = lfi_box_info(box).min + 0x100000;

	LFI_INVOKE(box, &ctx, trap, void, (void) );
	CHECK(lfi_errno() == LFI_ERR_FAULT);
	CHECK(lfi_ctx_fault(ctx, &fault) == 0 && fault.signal == SIGILL && fault.pc == trap);
	LFI_INVOKE(box, &ctx, read, int, (lfiptr), hole);
	CHECK(lfi_ctx_fault(ctx, &fault) == 0 && fault.signal == SIGSEGV && fault.address == hole);
	CHECK(fault.pc == read && (uint32_t) fault.regs.rdi == (uint32_t) hole);
	fault.address = 1;
	CHECK(lfi_ctx_fault_sized(ctx, &fault, offsetof(struct LFIFault, address)) == 0);
	CHECK(fault.signal == SIGSEGV && fault.address == 1);
}

static void
core(void)
{
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 2);
	struct LFIBox *box;
	struct LFIContext *ctx;
	struct LFIFault fault;
	int seen = 0;

	CHECK(engine && (box = lfi_box_new(engine)));
	CHECK(lfi_box_init_ret(box) == 0 && lfi_box_cbinit(box));
	CHECK((ctx = lfi_ctx_new(box, &seen)) && lfi_ctx_data(ctx) == &seen && lfi_ctx_box(ctx) == box);
	CHECK(lfi_ctx_fault(ctx, &fault) == -1 && lfi_errno() == LFI_ERR_NOTFOUND);
	lfi_ctx_regs(ctx)->sp = lfi_box_mapany(box, 16 * PAGE, RW, ANON, -1, 0) + 16 * PAGE;
	memory(box);
	refused_code(box);
	calls(box, ctx);
	trampoline(box, ctx);
	callbacks(box, ctx);
	lazy_contexts(engine, box);
	runs(engine, box, ctx, &seen);
	faults(box, ctx);
	lfi_free(engine);
	CHECK(lfi_errno() == LFI_ERR_BUSY);
	lfi_ctx_free(ctx);
	lfi_box_free(box);
	lfi_free(engine);
}

/* ---- Verifier and rewriter ---- */

static bool
note(const struct LFIViolation *violation, void *user)
{
	*(struct LFIViolation *) user = *violation;
	return true;
}

static void
verifier(void)
{
	static uint64_t scratch[64];
	uint8_t code[32];
	struct LFIVerifyOptions opts = {.struct_size = sizeof opts, .policy = LFI_POLICY_FULL, .bundle = 32};
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	struct LFIViolation violation = {.rule = LFI_RULE_NONE};

	CHECK(lfi_verify_scratch_size(sizeof code) <= sizeof scratch);
	memset(code, 0xcc, sizeof code);
	memcpy(code, code_add, sizeof code_add);
	CHECK(lfi_verify(NULL, code, sizeof code, 0x100000, scratch, sizeof scratch, NULL, NULL, NULL) == 0);
	CHECK(lfi_verify(&opts, code, sizeof code, 0x100000, scratch, sizeof scratch, note, &violation, &report) == 0);
	CHECK(report.instructions > 4 && report.violations == 0 && violation.rule == LFI_RULE_NONE);
	memcpy(code, code_bad, sizeof code_bad);
	CHECK(lfi_verify(&opts, code, sizeof code, 0x100000, scratch, sizeof scratch, note, &violation, &report) == 1);
	CHECK(violation.rule == LFI_RULE_MEMORY && violation.offset == 0 && violation.size == 3);
	CHECK(strcmp(lfi_verify_rule_name(LFI_RULE_MEMORY), "memory") == 0);
	CHECK(strcmp(lfi_cpu_feature_name(LFI_CPU_AVX2), "avx2") == 0);
}

static void
diagnose(const struct LFIDiagnostic *diagnostic, void *user)
{
	*(unsigned *) user = diagnostic->line;
}

static void
rewriter(void)
{
	static const char good[] = "\t.text\nf:\n\tmovl (%rdi), %eax\n\tret\n",
			  bad[] = "\t.text\nf:\n\tmovq %rax, %gs\n";
	static const uint64_t no_object[8];
	struct LFIRewriteOptions opts = {.struct_size = sizeof opts, .bundle = 32, .file = "f.s"};
	char *output, *measured;
	size_t size, measured_size;
	unsigned line = 0;

	CHECK(lfi_rewrite(&opts, good, sizeof good - 1, &output, &size, diagnose, &line) == 0);
	CHECK(strlen(output) == size && strstr(output, "%gs:") && line == 0);
	CHECK(lfi_rewrite_measure(output, size, &measured, &measured_size) == 0 && measured_size > 0);
	lfi_rewrite_free(measured);
	CHECK(lfi_rewrite_layout(&opts, output, size, no_object, sizeof no_object, &measured, &measured_size) == -1);
	CHECK(lfi_errno() == LFI_ERR_INVALID);
	lfi_rewrite_free(output);
	CHECK(lfi_rewrite(&opts, bad, sizeof bad - 1, &output, &size, diagnose, &line) == -1);
	CHECK(lfi_errno() == LFI_ERR_REWRITE && line == 3 && !output);
}

/* ---- Linux ---- */

static void
program(struct LFILinuxEngine *linux_, const char *path)
{
	const char *argv[] = {"program", NULL}, *envp[] = {"A=B", NULL};
	struct LFILinuxProc *proc = lfi_proc_new(linux_);
	struct LFILinuxThread *thread;

	CHECK(proc && lfi_proc_load_file(proc, path));
	CHECK(lfi_proc_sym(proc, "no such symbol") == 0 && lfi_errno() == LFI_ERR_NOTFOUND);
	CHECK(lfi_proc_stdio(proc, -1, 1, 2) == 0);
	CHECK((thread = lfi_thread_new(proc, 1, argv, envp)) && lfi_thread_ctx(thread));
	CHECK(lfi_thread_run(thread) == 0);
	CHECK(lfi_linux_init_clone(thread) == -1 && lfi_errno() == LFI_ERR_INVALID);
	lfi_thread_free(thread);
	lfi_proc_free(proc);
}

static void
linux_engine(const char *path)
{
	const char *maps[] = {"/=/:ro", NULL};
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 2);
	struct LFILinuxOptions opts = {.stacksize = 1 << 20, .dir_maps = maps, .wd = "/"};
	struct LFILinuxEngine *linux_;
	struct LFILinuxProc *proc;
	struct LFIFault fault;
	uint8_t garbage[64] = {0x7f};

	CHECK((linux_ = lfi_linux_new_sized(engine, &opts, offsetof(struct LFILinuxOptions, dir_maps))));
	lfi_linux_free(linux_);
	CHECK((linux_ = lfi_linux_new(engine, opts)));
	CHECK((proc = lfi_proc_new(linux_)) && lfi_proc_box(proc));
	CHECK(!lfi_proc_load(proc, garbage, sizeof garbage, "garbage") && lfi_errno() == LFI_ERR_ELF);
	CHECK(!lfi_proc_load_file(proc, "/no such file") && lfi_errno() == LFI_ERR_OS);
	CHECK(!lfi_thread_new(proc, 0, NULL, NULL) && lfi_errno() == LFI_ERR_INVALID);
	CHECK(lfi_proc_fault(proc, &fault) == -1 && lfi_errno() == LFI_ERR_NOTFOUND);
	lfi_linux_free(linux_);
	CHECK(lfi_errno() == LFI_ERR_BUSY);
	lfi_proc_free(proc);
	if (path)
		program(linux_, path);
	lfi_linux_free(linux_);
	lfi_free(engine);
}

int
main(int argc, char **argv)
{
	errors();
	freeing_nothing();
	options();
	core();
	verifier();
	rewriter();
	linux_engine(argc > 1 ? argv[1] : NULL);
	printf("built for %s, running %s: ok\n", LFI_VERSION_STRING, lfi_version_string());
	return 0;
}
