/* SPDX-License-Identifier: MIT */
/* Sandboxed code that traps is a result; everything else behaves as if the library were not there. */
#include "core_test.h"
#include "sanitizers.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "box.h"

/* ---- Kinds ---- */

/* Offsets from the base, or one of these. */
#define HOLE INT64_MAX          /* an address that nothing is mapped at */
#define CUT_FILE (INT64_MAX - 1) /* one in a file that has become shorter */
#define NO_ADDRESS (INT64_MAX - 2)
#define AT_ARGUMENT (INT64_MAX - 3)
#define ANY (INT64_MAX - 4)

#define AFTER (-1)    /* pc: where the argument says */
#define ANYWHERE (-2) /* pc: in the function */
#define END_OF_BOX ((int64_t) 1 << 32)

struct Kind {
	const char *name;
	const uint8_t *code;
	size_t size;
	int64_t argument;
	int signal;
	int64_t address;
	int pc_offset;
	enum LFIFaultKind kind;
};
#define KIND(code, argument, signal, address, pc, kind)                                                                \
	{#code, code, sizeof code, argument, signal, address, pc, LFI_FAULT_##kind}

static const struct Kind kinds[] = {
	KIND(code_load, HOLE, SIGSEGV, AT_ARGUMENT, 0, ACCESS),
	KIND(code_store, HOLE, SIGSEGV, AT_ARGUMENT, 0, ACCESS),
	KIND(code_ud2, HOLE, SIGILL, NO_ADDRESS, 0, ILLEGAL),
	KIND(code_int3, HOLE, SIGTRAP, NO_ADDRESS, 1, BREAKPOINT),
	KIND(code_hlt, HOLE, SIGSEGV, NO_ADDRESS, 0, PROTECTION),
	KIND(code_divide, HOLE, SIGFPE, NO_ADDRESS, 8, ARITHMETIC),
	KIND(code_jump, HOLE, SIGSEGV, AT_ARGUMENT, AFTER, EXECUTE),
	KIND(code_sse_exception, HOLE, SIGFPE, NO_ADDRESS, 18, ARITHMETIC),
	KIND(code_x87_exception, HOLE, SIGFPE, NO_ADDRESS, 11, ARITHMETIC),
	KIND(code_misaligned, HOLE, SIGSEGV, NO_ADDRESS, 0, PROTECTION),
	KIND(code_overflow, HOLE, SIGSEGV, ANY, 0, STACK),
	KIND(code_recurse, HOLE, SIGSEGV, ANY, ANYWHERE, STACK),
	KIND(code_load, CUT_FILE, SIGBUS, AT_ARGUMENT, 0, BUS),
	KIND(code_store, CUT_FILE, SIGBUS, AT_ARGUMENT, 0, BUS),
	/* Guard hits at both ends, through rsp and through gs. */
	KIND(code_drift_low, 0, SIGSEGV, -0xfff8 - 0x20000, 12, GUARD),
	KIND(code_drift_high, END_OF_BOX - 8, SIGSEGV, END_OF_BOX - 8 + 0xfff8 + 0x20000, 12, GUARD),
	KIND(code_store_long, 0x20000, SIGSEGV, AT_ARGUMENT, 0, GUARD),
	KIND(code_store_long, END_OF_BOX - 4, SIGSEGV, AT_ARGUMENT, 0, GUARD),
	KIND(code_store_wrapped, 0x80018000, SIGSEGV, 0x10000, 0, GUARD),
	/* Runtime calls: an entry that traps, and one whose handler ends the call as abort() does. */
	KIND(code_unknown_call, HOLE, SIGSYS, NO_ADDRESS, 11, UNSERVED),
	KIND(code_spin, HOLE, SIGABRT, NO_ADDRESS, 11, ABORT),
};
#define NKINDS (sizeof kinds / sizeof kinds[0])
#define NSIGNALLED ((int) NKINDS - 2)

static lfiptr
hole(struct LFIBox *box)
{
	return lfi_box_info(box).min + 0x40000;
}

/* A page of a file that has none. */
static lfiptr
map_cut_file(struct LFIBox *box)
{
	FILE *file = tmpfile();
	lfiptr at;

	assert_non_null(file);
	assert_int_equal(ftruncate(fileno(file), PAGE), 0);
	at = lfi_box_mapany(box, PAGE, RW, LFI_MAP_PRIVATE, fileno(file), 0);
	assert_true(at != FAILED);
	assert_int_equal(ftruncate(fileno(file), 0), 0);
	fclose(file);
	return at;
}

/* Of the box that load_kinds was last for. */
static lfiptr cut_file, code_of[NKINDS];

static void
abort_call(struct LFIContext *ctx)
{
	ctx_abort(ctx, SIGABRT);
}

static void
load_kinds(struct Fixture *f)
{
	lfi_sys_handler(f->engine, abort_call);
	cut_file = map_cut_file(f->box);
	for (size_t i = 0; i < NKINDS; i++)
		code_of[i] = load_bytes(f->box, kinds[i].code, kinds[i].size);
}

static lfiptr
argument_of(struct LFIBox *box, const struct Kind *kind)
{
	if (kind->argument == CUT_FILE)
		return cut_file;
	return kind->argument == HOLE ? hole(box) : lfi_box_info(box).base + (lfiptr) kind->argument;
}

/* What the struct says against the row. NULL, or what is wrong. */
static const char *
judge(struct LFIBox *box, const struct LFIFault *fault, const struct Kind *kind, lfiptr fn)
{
	lfiptr base = lfi_box_info(box).base, argument = argument_of(box, kind);
	lfiptr address = kind->address == NO_ADDRESS  ? 0
			 : kind->address == AT_ARGUMENT ? argument
							: base + (lfiptr) kind->address;

	if (fault->signal != kind->signal)
		return "signal";
	if (fault->kind != kind->kind)
		return "kind";
	if (kind->address != ANY && fault->address != address)
		return "address";
	if (kind->pc_offset >= 0 && fault->pc != fn + (lfiptr) kind->pc_offset)
		return "pc";
	if (kind->pc_offset == AFTER && fault->pc != argument)
		return "pc";
	if (kind->pc_offset == ANYWHERE && fault->pc - fn >= kind->size)
		return "pc";
	if (kind->address == AT_ARGUMENT && (uint32_t) fault->regs.rdi != (uint32_t) argument)
		return "registers";
	if (fault->depth < 1 || fault->backtrace[0] != fault->pc || fault->pc_offset != fault->pc - base)
		return "backtrace";
	return NULL;
}

static const char *
try_kind(struct LFIBox *box, struct LFIContext *ctx, const struct Kind *kind, lfiptr fn)
{
	struct LFIFault fault;

	LFI_INVOKE(box, &ctx, fn, int, (lfiptr, int), argument_of(box, kind), 1);
	if (lfi_errno() != LFI_ERR_FAULT)
		return "no fault";
	if (!strstr(lfi_errmsg(), kind->kind == LFI_FAULT_ABORT ? "ended itself" : kind->kind == LFI_FAULT_UNSERVED ? "nothing serves" : "trapped"))
		return "message";
	if (lfi_ctx_fault(ctx, &fault) < 0)
		return "no struct LFIFault";
	return judge(box, &fault, kind, fn);
}

static void
each_kind_of_fault_is_a_result(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr add = LOAD(f.box, code_add);
	struct LFIFault fault;

	load_kinds(&f);
	assert_int_equal(lfi_ctx_fault(f.ctx, &fault), -1);
	assert_error(LFI_ERR_NOTFOUND);
	for (size_t i = 0; i < NKINDS; i++) {
		lfiptr p = code_of[i];
		const char *wrong = try_kind(f.box, f.ctx, &kinds[i], p);

		if (wrong) {
			lfi_ctx_fault(f.ctx, &fault);
			print_error("%s: %s is wrong (signal %d, pc +%#lx, address %#lx)\n", kinds[i].name, wrong, fault.signal,
			    (long) (fault.pc - p), (long) fault.address);
		}
		assert_null(wrong);
		/* The context is as good as before. */
		assert_int_equal(LFI_INVOKE(f.box, &f.ctx, add, int, (int, int), 2, 3), 5);
		assert_int_equal(lfi_errno(), LFI_OK);
	}
	drop(&f);
}

static void
the_message_says_what_and_where(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr p = LOAD(f.box, code_load);
	char expected[128];

	LFI_INVOKE(f.box, &f.ctx, p, int, (lfiptr), hole(f.box));
	snprintf(expected, sizeof expected, "sandboxed code trapped at %#llx: SIGSEGV, address %#llx", (unsigned long long) p,
	    (unsigned long long) hole(f.box));
	assert_string_equal(lfi_errmsg(), expected);
	drop(&f);
}

static struct Fixture shared;
static lfiptr shared_code;
static int rounds = 200;

/* The top of a small one, over a page that cannot be touched. */
static lfiptr
guarded_stack(struct LFIBox *box)
{
	lfiptr at = lfi_box_mapany(box, 5 * PAGE, RW, ANON, -1, 0);

	return lfi_box_mprotect(box, at, PAGE, LFI_PROT_NONE) < 0 ? FAILED : at + 5 * PAGE;
}

static void *
fault_in_a_loop(void *arg)
{
	struct LFIContext *ctx = lfi_ctx_new(shared.box, NULL);
	lfiptr stack = guarded_stack(shared.box);
	const char *wrong = stack == FAILED ? "no stack" : NULL;

	for (int round = 0; round < rounds && !wrong; round++) {
		for (size_t i = 0; i < NKINDS && !wrong; i++) {
			lfi_ctx_regs(ctx)->sp = stack;
			wrong = try_kind(shared.box, ctx, &kinds[i], code_of[i]);
		}
	}
	lfi_ctx_free(ctx);
	return (void *) wrong;
}

static void
threads_fault_side_by_side(void **state)
{
	pthread_t threads[4];
	void *wrong;

	shared = fixture((struct LFIOptions) {.boxsize = 0});
	load_kinds(&shared);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, fault_in_a_loop, NULL);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &wrong);
		if (wrong)
			print_error("%s\n", (const char *) wrong);
		assert_null(wrong);
	}
	drop(&shared);
}

/* Lines of a file of /proc: mappings or, with a word to find, the number after it. */
static long
proc_number(const char *path, const char *word)
{
	FILE *file = fopen(path, "r");
	char line[512];
	long n = 0;

	assert_non_null(file);
	while (fgets(line, sizeof line, file)) {
		if (!word)
			n++;
		else if (strncmp(line, word, strlen(word)) == 0)
			n = strtol(line + strlen(word), NULL, 10);
	}
	fclose(file);
	return n;
}

/* With four threads, each kind 100,000 times. */
static void
faults_in_a_loop_leave_nothing_behind(void **state)
{
	long maps, resident;

	threads_fault_side_by_side(state);
	maps = proc_number("/proc/self/maps", NULL);
	resident = proc_number("/proc/self/status", "VmRSS:");
	rounds = 25000;
	threads_fault_side_by_side(state);
	rounds = 200;
	/* KiB; a leak of one byte per fault were 1000. */
	if (THREAD_SANITIZER) {
		print_message("skipped in part: ThreadSanitizer has memory of its own for each access\n");
		return;
	}
	assert_in_range(proc_number("/proc/self/status", "VmRSS:"), 0, resident + 900);
	assert_in_range(proc_number("/proc/self/maps", NULL), 0, maps + 8);
}

static void
blocked_fault_signals_do_not_kill(void **state)
{
	sigset_t all, old;

	/* A thread that never entered a sandbox, with all signals blocked. */
	shared = fixture((struct LFIOptions) {.boxsize = 0});
	load_kinds(&shared);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_t thread;
	void *wrong;
	pthread_create(&thread, NULL, fault_in_a_loop, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_join(thread, &wrong);
	assert_null(wrong);
	drop(&shared);
}

static void *
copy_from_a_hole(void *arg)
{
	char byte;

	lfi_box_copyfm(shared.box, &byte, hole(shared.box), 1);
	return (void *) (intptr_t) lfi_errno();
}

static void
blocked_fault_signals_do_not_kill_a_copy(void **state)
{
	sigset_t all, old;
	pthread_t thread;
	void *error;

	shared = fixture((struct LFIOptions) {.boxsize = 0});
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_create(&thread, NULL, copy_from_a_hole, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_join(thread, &error);
	assert_int_equal((intptr_t) error, LFI_ERR_UNMAPPED);
	drop(&shared);
}

static int
fault_inside(int x)
{
	struct LFIContext *ctx = lfi_cur_ctx();
	struct LFIFault fault;

	LFI_INVOKE(shared.box, &ctx, shared_code, int, (lfiptr), hole(shared.box));
	assert_error(LFI_ERR_FAULT);
	assert_int_equal(lfi_ctx_fault(ctx, &fault), 0);
	return 7;
}

static void
a_fault_ends_the_innermost_call_only(void **state)
{
	shared = fixture((struct LFIOptions) {.boxsize = 0});
	shared_code = LOAD(shared.box, code_load);
	assert_int_equal(LFI_INVOKE(shared.box, &shared.ctx, LOAD(shared.box, code_call_plus1), int, (void *, int),
			     lfi_box_register_cb(shared.box, fault_inside), 1),
	    8);
	assert_int_equal(lfi_errno(), LFI_OK);
	drop(&shared);
}

/* ---- What is not ours ---- */

static void
touch_null(void)
{
	volatile int *volatile at = (volatile int *) 16;

	*at = 1;
}

static sigjmp_buf host_jump;
static volatile int host_signal, host_blocked;

static void
host_handler(int sig, siginfo_t *info, void *uc)
{
	sigset_t now;

	host_signal = sig;
	sigprocmask(SIG_SETMASK, NULL, &now);
	host_blocked = sigismember(&now, SIGUSR2) * 2 + sigismember(&now, sig);
	siglongjmp(host_jump, 1);
}

static void
install_host_handler(int sig)
{
	struct sigaction action = {.sa_sigaction = host_handler, .sa_flags = SA_SIGINFO};

	sigaddset(&action.sa_mask, SIGUSR2);
	sigaction(sig, &action, NULL);
}

static void
a_host_fault_goes_to_the_hosts_handler(void **state)
{
	struct sigaction before, after;

	install_host_handler(SIGSEGV);
	sigaction(SIGSEGV, NULL, &before);
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	for (int i = 0; i < 3; i++) {
		host_signal = 0;
		if (sigsetjmp(host_jump, 1) == 0)
			touch_null();
		assert_int_equal(host_signal, SIGSEGV);
		assert_int_equal(host_blocked, 3);
		/* And in between the sandbox's come to us. */
		assert_null(try_kind(f.box, f.ctx, &kinds[0], LOAD(f.box, code_load)));
	}
	drop(&f);
	/* With the last engine gone the handler is what it was, apart from the stack it runs on. */
	sigaction(SIGSEGV, NULL, &after);
	assert_ptr_equal(after.sa_sigaction, before.sa_sigaction);
	signal(SIGSEGV, SIG_DFL);
}

static int
faulting_callback(int x)
{
	if (sigsetjmp(host_jump, 1) == 0)
		touch_null();
	return host_signal;
}

static void
a_fault_in_a_callback_is_the_hosts(void **state)
{
	install_host_handler(SIGSEGV);
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	host_signal = 0;
	assert_int_equal(LFI_INVOKE(f.box, &f.ctx, LOAD(f.box, code_apply), int, (void *, int),
			     lfi_box_register_cb(f.box, faulting_callback), 1),
	    SIGSEGV);
	drop(&f);
	signal(SIGSEGV, SIG_DFL);
}

static const int defaulted[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};

/* How a child ends that runs fn with an engine around. */
static int
status_of(void (*fn)(struct Fixture *))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		/* cmocka's handlers would be asked first. */
		for (size_t i = 0; i < sizeof defaulted / sizeof defaulted[0]; i++)
			signal(defaulted[i], SIG_DFL);
		struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

		fn(&f);
		_exit(77);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void
die_null(struct Fixture *f)
{
	touch_null();
}

static void
die_ud2(struct Fixture *f)
{
	__asm__ volatile("ud2");
}

static void
die_int3(struct Fixture *f)
{
	__asm__ volatile("int3");
}

static void
die_sent(struct Fixture *f)
{
	kill(getpid(), SIGSEGV);
	for (;;)
		pause();
}

static void
die_sandbox_memory(struct Fixture *f)
{
	/* The host's own access to a page that is not there. */
	*(volatile int *) hole(f->box) = 1;
}

static void
die_sandbox_jump(struct Fixture *f)
{
	/* The host in the sandbox's code, but not through the door. */
	((void (*)(void)) LOAD(f->box, code_ud2))();
}

static lfiptr jump_target;

static int
jumping_callback(int x)
{
	((void (*)(void)) jump_target)();
	return 0;
}

static void
die_jump_in_callback(struct Fixture *f)
{
	jump_target = LOAD(f->box, code_ud2);
	LFI_INVOKE(f->box, &f->ctx, LOAD(f->box, code_apply), int, (void *, int),
	    lfi_box_register_cb(f->box, jumping_callback), 1);
}

static void
ignored_but_real(struct Fixture *f)
{
	__asm__ volatile("ud2");
}

static void
faults_of_the_host_have_their_default_action(void **state)
{
	const struct {
		void (*fn)(struct Fixture *);
		int signal;
	} rows[] = {{die_null, SIGSEGV}, {die_ud2, SIGILL}, {die_int3, SIGTRAP}, {die_sent, SIGSEGV},
	    {die_sandbox_memory, SIGSEGV}, {die_sandbox_jump, SIGILL},
	    {die_jump_in_callback, SIGILL}, {ignored_but_real, SIGILL}};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		int status = status_of(rows[i].fn);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), rows[i].signal);
	}
}

static void
survive_ignored(struct Fixture *f)
{
	kill(getpid(), SIGTRAP);
	_exit(55);
}

static void
a_signal_that_the_host_ignores_is_ignored(void **state)
{
	signal(SIGTRAP, SIG_IGN);
	int status = status_of(survive_ignored);
	signal(SIGTRAP, SIG_DFL);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 55);
}

static volatile int sent_signals;

static void
count_signal(int sig)
{
	sent_signals++;
}

static pthread_t target_thread;
static atomic_int stop_sending;

static void *
send_signals(void *arg)
{
	while (!stop_sending) {
		pthread_kill(target_thread, SIGSEGV);
		pthread_kill(target_thread, SIGUSR1);
		usleep(50);
	}
	return NULL;
}

static void
signals_sent_to_a_thread_in_the_sandbox_are_not_faults(void **state)
{
	pthread_t sender;

	signal(SIGSEGV, count_signal);
	/* Without SA_ONSTACK it would write its frame to the sandbox's stack. */
	signal(SIGUSR1, count_signal);
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr add = LOAD(f.box, code_add);
	uint8_t stack[STACK_BYTES];

	sent_signals = 0;
	stop_sending = 0;
	target_thread = pthread_self();
	pthread_create(&sender, NULL, send_signals, NULL);
	for (int i = 0; i < 300000 || sent_signals < 100; i++)
		assert_int_equal(LFI_INVOKE(f.box, &f.ctx, add, int, (int, int), i, 1), i + 1);
	stop_sending = 1;
	pthread_join(sender, NULL);
	assert_int_equal(lfi_errno(), LFI_OK);
	/* The stack holds the call's words at its top and nothing else. */
	assert_done(lfi_box_copyfm(f.box, stack, f.stack - STACK_BYTES, STACK_BYTES));
	for (size_t i = 0; i < STACK_BYTES - 256; i++)
		assert_int_equal(stack[i], 0);
	drop(&f);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGUSR1, SIG_DFL);
}

static struct Fixture *interrupted;
static volatile int interrupting_error;
static volatile uint64_t handler_stack;

static void
enter_from_a_handler(int sig)
{
	handler_stack = (uint64_t) __builtin_frame_address(0);
	struct LFIContext *ctx = interrupted->ctx;
	uint32_t one = 1;

	LFI_INVOKE(interrupted->box, &ctx, shared_code, int, (int, int), 1, 2);
	interrupting_error = lfi_errno();
	lfi_box_copyto(interrupted->box, interrupted->buffer, &one, sizeof one);
}

static void
a_signal_handler_cannot_enter_what_it_interrupted(void **state)
{
	struct sigaction action = {.sa_handler = enter_from_a_handler};

	if (THREAD_SANITIZER) {
		print_message("skipped: ThreadSanitizer delivers signals at calls, of which sandboxed code makes none\n");
		return;
	}
	sigaction(SIGALRM, &action, NULL);
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});

	interrupted = &f;
	interrupting_error = 0;
	shared_code = LOAD(f.box, code_add);
	lfiptr loop = LOAD(f.box, code_loop);
	ualarm(20000, 0);
	LFI_INVOKE(f.box, &f.ctx, loop, int, (lfiptr), f.buffer);
	assert_int_equal(interrupting_error, LFI_ERR_BUSY);
	/* Its stack is the host's, though it was installed without SA_ONSTACK. */
	assert_true(handler_stack - f.box->base >= BOX_SIZE);
	drop(&f);
	signal(SIGALRM, SIG_DFL);
}

static void *
end_of_thread(void *arg)
{
	struct LFIContext *ctx = lfi_ctx_new(shared.box, NULL);
	stack_t now;

	lfi_ctx_regs(ctx)->sp = shared.stack;
	LFI_INVOKE(shared.box, &ctx, shared_code, int, (lfiptr), hole(shared.box));
	lfi_ctx_free(ctx);
	sigaltstack(NULL, &now);
	return now.ss_sp;
}

static void
signal_stacks_go_with_their_threads(void **state)
{
	unsigned char there;
	void *stack;
	pthread_t thread;

	shared = fixture((struct LFIOptions) {.boxsize = 0});
	shared_code = LOAD(shared.box, code_load);
	pthread_create(&thread, NULL, end_of_thread, NULL);
	pthread_join(thread, &stack);
	assert_non_null(stack);
	assert_int_equal(mincore(stack, PAGE, &there), -1);
	drop(&shared);
}

static pthread_key_t late_key;
static int late_error;
static bool late_stack; /* whether its handlers ran on a stack of the host's */

/* Runs after the library's own destructor: its key is the younger one. */
static void
call_late(void *arg)
{
	struct LFIContext *ctx = lfi_ctx_new(shared.box, NULL);
	stack_t now;

	lfi_ctx_regs(ctx)->sp = shared.stack;
	LFI_INVOKE(shared.box, &ctx, shared_code, int, (lfiptr), hole(shared.box));
	late_error = lfi_errno();
	sigaltstack(NULL, &now);
	late_stack = !(now.ss_flags & SS_DISABLE);
	lfi_ctx_free(ctx);
}

static void *
thread_with_a_destructor(void *arg)
{
	call_late(NULL);
	pthread_key_create(&late_key, call_late);
	pthread_setspecific(late_key, &late_key);
	late_error = LFI_OK;
	late_stack = false;
	return NULL;
}

static void
destructors_of_a_thread_may_call(void **state)
{
	pthread_t thread;

	shared = fixture((struct LFIOptions) {.boxsize = 0});
	shared_code = LOAD(shared.box, code_load);
	pthread_create(&thread, NULL, thread_with_a_destructor, NULL);
	pthread_join(thread, NULL);
	assert_int_equal(late_error, LFI_ERR_FAULT);
	assert_true(late_stack);
	pthread_key_delete(late_key);
	drop(&shared);
}

/* ---- What the struct says ---- */

static void
an_access_beyond_either_end_is_a_guard_hit(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct LFIBoxInfo info = lfi_box_info(f.box);
	lfiptr load = LOAD(f.box, code_load);
	const lfiptr at[] = {info.base + 16, info.min - 8, info.max, info.base + info.size - 8};
	struct LFIFault fault;

	for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
		LFI_INVOKE(f.box, &f.ctx, load, int, (lfiptr), at[i]);
		/* The first page may hold the copy of the runtime-call table, which can be read. */
		if (i == 0 && lfi_errno() == LFI_OK)
			continue;
		assert_error(LFI_ERR_FAULT);
		assert_int_equal(lfi_ctx_fault(f.ctx, &fault), 0);
		assert_int_equal(fault.kind, LFI_FAULT_GUARD);
		assert_int_equal(fault.address, at[i]);
	}
	drop(&f);
}

static void
a_call_that_nothing_serves_has_a_kind(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr spin = LOAD(f.box, code_spin);
	struct LFIFault fault;

	/* The engine has no handler. */
	LFI_INVOKE(f.box, &f.ctx, spin, int, (void) );
	assert_error(LFI_ERR_FAULT);
	assert_int_equal(lfi_ctx_fault(f.ctx, &fault), 0);
	assert_int_equal(fault.kind, LFI_FAULT_UNSERVED);
	assert_int_equal(fault.backtrace[0], fault.pc);
	drop(&f);
}

CODE code_trap_with_rbp[] = {
	0x48, 0x89, 0xfd, /* mov %rdi,%rbp */
	0x0f, 0x0b, /* ud2 */
};

static struct LFIFault
fault_with_frames(struct Fixture *f, lfiptr code, lfiptr rbp)
{
	struct LFIFault fault;

	LFI_INVOKE(f->box, &f->ctx, code, int, (lfiptr), rbp);
	assert_error(LFI_ERR_FAULT);
	assert_int_equal(lfi_ctx_fault(f->ctx, &fault), 0);
	assert_int_equal(fault.kind, LFI_FAULT_ILLEGAL);
	return fault;
}

static void
put_frame(struct Fixture *f, lfiptr at, uint64_t rbp, uint64_t ret)
{
	const uint64_t words[2] = {rbp, ret};

	assert_done(lfi_box_copyto(f->box, at, words, sizeof words));
}

static void
a_backtrace_follows_frame_pointers(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr trap = LOAD(f.box, code_trap_with_rbp);
	lfiptr base = lfi_box_info(f.box).base, b = f.buffer;
	struct LFIFault fault;

	/* A saved rbp may be an offset; a return address from elsewhere is shown as one in the box. */
	put_frame(&f, b, (uint32_t) (b + 64), base + 0x50000);
	put_frame(&f, b + 64, b + 128, 0x7fff00060000);
	put_frame(&f, b + 128, 0, base + 0x70000);
	fault = fault_with_frames(&f, trap, b);
	assert_int_equal(fault.depth, 4);
	assert_int_equal(fault.backtrace[0], fault.pc);
	assert_int_equal(fault.backtrace[1], base + 0x50000);
	assert_int_equal(fault.backtrace[2], base + 0x60000);
	assert_int_equal(fault.backtrace[3], base + 0x70000);
	drop(&f);
}

static void
a_stack_overflow_shows_the_recursion(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr recurse = LOAD(f.box, code_recurse);
	struct LFIFault fault;

	lfi_ctx_regs(f.ctx)->sp = guarded_stack(f.box);
	LFI_INVOKE(f.box, &f.ctx, recurse, void, (void) );
	assert_error(LFI_ERR_FAULT);
	assert_done(lfi_ctx_fault(f.ctx, &fault));
	assert_int_equal(fault.kind, LFI_FAULT_STACK);
	assert_int_equal(fault.depth, LFI_BACKTRACE_MAX);
	for (uint32_t i = 1; i < fault.depth; i++)
		assert_int_equal(fault.backtrace[i], recurse + sizeof code_recurse);
	drop(&f);
}

static void
hostile_frames_end_the_backtrace(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr trap = LOAD(f.box, code_trap_with_rbp);
	struct LFIBoxInfo info = lfi_box_info(f.box);
	lfiptr b = f.buffer;

	/* A circle, and one frame that is its own caller. */
	put_frame(&f, b, b + 64, 1);
	put_frame(&f, b + 64, b, 2);
	assert_int_equal(fault_with_frames(&f, trap, b).depth, 3);
	put_frame(&f, b, b, 1);
	assert_int_equal(fault_with_frames(&f, trap, b).depth, 2);
	/* More than there is room for. */
	for (lfiptr at = b; at < b + PAGE; at += 16)
		put_frame(&f, at, at + 16, 3);
	assert_int_equal(fault_with_frames(&f, trap, b).depth, LFI_BACKTRACE_MAX);
	/* Unmapped, half and whole; the ends of the sandbox and of what can be mapped. */
	assert_done(lfi_box_munmap(f.box, f.buffer, PAGE));
	const lfiptr bad[] = {f.buffer, hole(f.box) - 8, info.base, info.base + 8, info.min - 8, info.max - 8, info.max,
		info.base + info.size - 8};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(fault_with_frames(&f, trap, bad[i]).depth, 1);
	drop(&f);
}

static void
a_fault_has_a_text(void **state)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	lfiptr trap = LOAD(f.box, code_trap_with_rbp);
	struct LFIFault fault;
	char text[4096], small[8], line[128];
	size_t length;

	put_frame(&f, f.buffer, 0, 0x50000);
	fault = fault_with_frames(&f, trap, f.buffer);
	length = lfi_fault_format(&fault, text, sizeof text);
	assert_int_equal(length, strlen(text));
	assert_non_null(strstr(text, "illegal instruction: signal 4"));
	snprintf(line, sizeof line, "  pc  %#llx (sandbox +%#llx)\n", (unsigned long long) fault.pc,
	    (unsigned long long) (fault.pc - lfi_box_info(f.box).base));
	assert_non_null(strstr(text, line));
	snprintf(line, sizeof line, "  #1  %#llx (sandbox +0x50000)\n",
	    (unsigned long long) lfi_box_info(f.box).base + 0x50000);
	assert_non_null(strstr(text, line));
	assert_int_equal(lfi_fault_format(&fault, NULL, 0), length);
	memset(small, 'x', sizeof small);
	assert_int_equal(lfi_fault_format(&fault, small, 5), length);
	assert_memory_equal(small, "ille\0xxx", 8);
	/* A 1.0 struct, and what is none. */
	assert_true(lfi_fault_format_sized(&fault, offsetof(struct LFIFault, kind), text, sizeof text) > 0);
	assert_int_equal(strncmp(text, "unknown: signal 4", 17), 0);
	fault.depth = UINT32_MAX;
	assert_true(lfi_fault_format(&fault, text, sizeof text) < sizeof text);
	assert_int_equal(lfi_fault_format(NULL, text, sizeof text), 0);
	assert_error(LFI_ERR_INVALID);
	assert_int_equal(lfi_fault_format(&fault, NULL, 1), 0);
	assert_error(LFI_ERR_INVALID);
	assert_string_equal(lfi_fault_kind_name(LFI_FAULT_STACK), "stack overflow");
	assert_string_equal(lfi_fault_kind_name(LFI_FAULT_UNSERVED), "unserved runtime call");
	assert_string_equal(lfi_fault_kind_name(LFI_FAULT_ABORT), "abort");
	assert_string_equal(lfi_fault_kind_name(-1), "unknown");
	assert_string_equal(lfi_fault_kind_name(LFI_FAULT_ABORT + 1), "unknown");
	drop(&f);
}

/* ---- Handlers that come after ours ---- */

static struct sigaction below[NSIG];
static volatile int above_calls, above_handled;
static bool by_hand;

/* As runtimes of languages do: theirs over ours, which they call for what is not theirs. */
static void
handler_above(int sig, siginfo_t *info, void *uc)
{
	above_calls++;
	if (!by_hand) {
		below[sig].sa_sigaction(sig, info, uc);
		return;
	}
	if (lfi_signal_handle(sig, info, uc))
		above_handled++;
	else
		siglongjmp(host_jump, 1);
}

static void
faults_reach_us_below(bool hand)
{
	struct Fixture f = fixture((struct LFIOptions) {.boxsize = 0});
	struct sigaction action = {.sa_sigaction = handler_above, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
	char byte;

	by_hand = hand;
	above_calls = above_handled = 0;
	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		sigaction(signals[i], &action, &below[signals[i]]);
	load_kinds(&f);
	for (size_t i = 0; i < NKINDS; i++)
		assert_null(try_kind(f.box, f.ctx, &kinds[i], code_of[i]));
	/* A guarded copy is ours too. */
	assert_int_equal(lfi_box_copyfm(f.box, &byte, hole(f.box), 1), -1);
	assert_error(LFI_ERR_UNMAPPED);
	assert_true(above_calls > NSIGNALLED);
	if (hand) {
		assert_int_equal(above_handled, above_calls);
		/* The host's own is not. */
		if (sigsetjmp(host_jump, 1) == 0)
			touch_null();
		assert_int_equal(above_handled, above_calls - 1);
	}
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		sigaction(signals[i], &below[signals[i]], NULL);
	drop(&f);
}

static void
a_handler_over_ours_may_chain_to_us(void **state)
{
	faults_reach_us_below(false);
}

static void
a_handler_over_ours_may_ask_us(void **state)
{
	faults_reach_us_below(true);
	assert_int_equal(lfi_signal_handle(SIGSEGV, NULL, NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_of_fault_is_a_result),
		cmocka_unit_test(the_message_says_what_and_where),
		cmocka_unit_test(threads_fault_side_by_side),
		cmocka_unit_test(faults_in_a_loop_leave_nothing_behind),
		cmocka_unit_test(blocked_fault_signals_do_not_kill),
		cmocka_unit_test(blocked_fault_signals_do_not_kill_a_copy),
		cmocka_unit_test(a_fault_ends_the_innermost_call_only),
		cmocka_unit_test(a_host_fault_goes_to_the_hosts_handler),
		cmocka_unit_test(a_fault_in_a_callback_is_the_hosts),
		cmocka_unit_test(faults_of_the_host_have_their_default_action),
		cmocka_unit_test(a_signal_that_the_host_ignores_is_ignored),
		cmocka_unit_test(signals_sent_to_a_thread_in_the_sandbox_are_not_faults),
		cmocka_unit_test(a_signal_handler_cannot_enter_what_it_interrupted),
		cmocka_unit_test(signal_stacks_go_with_their_threads),
		cmocka_unit_test(destructors_of_a_thread_may_call),
		cmocka_unit_test(an_access_beyond_either_end_is_a_guard_hit),
		cmocka_unit_test(a_call_that_nothing_serves_has_a_kind),
		cmocka_unit_test(a_backtrace_follows_frame_pointers),
		cmocka_unit_test(a_stack_overflow_shows_the_recursion),
		cmocka_unit_test(hostile_frames_end_the_backtrace),
		cmocka_unit_test(a_fault_has_a_text),
		cmocka_unit_test(a_handler_over_ours_may_chain_to_us),
		cmocka_unit_test(a_handler_over_ours_may_ask_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
