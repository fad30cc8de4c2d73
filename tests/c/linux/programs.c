/* SPDX-License-Identifier: MIT */
/*
 * C programs made by lfi-cc, run by lfi-run or called as a library: musl's
 * start-up, stdio, files, memory, time and threads on the emulated kernel.
 * Their sources are in programs/.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <lfi/lfi.h>

#include "core.h"
#include "sysroot_test.h"

enum { OUTPUT = 8192 };

static char dir[] = "/tmp/lfi-programs-XXXXXX";

/* Runs a shell command with $RUN, $CC and $SOURCES set, in the scratch directory. Its exit status; output in `out`. */
static int
shell(const char *command, char out[OUTPUT])
{
	char line[4096];
	size_t used;
	FILE *pipe;
	int status;

	snprintf(line, sizeof line,
	    "cd %s && RUN=%s/lfi-run CC=%s/lfi-cc SOURCES=%s/tests/c/linux/programs; { %s; } 2>&1", dir,
	    getenv("LFI_BIN"), getenv("LFI_BIN"), getenv("LFI_SOURCE"), command);
	pipe = popen(line, "r");
	assert_non_null(pipe);
	used = fread(out, 1, OUTPUT - 1, pipe);
	out[used] = 0;
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
expect(const char *command, int status, const char *output)
{
	char out[OUTPUT];
	int got = shell(command, out);

	if (got != status || strcmp(out, output) != 0)
		fail_msg("%s\nexit status %d instead of %d, output:\n%s\ninstead of:\n%s", command, got, status, out,
		    output);
}

/* As expect; the output must contain `part`. */
static void
expect_part(const char *command, int status, const char *part)
{
	char out[OUTPUT];
	int got = shell(command, out);

	if (got != status || !strstr(out, part))
		fail_msg(
		    "%s\nexit status %d instead of %d, output:\n%s\nwithout:\n%s", command, got, status, out, part);
}

static void
arguments_environment_and_exit_status_pass(void **state)
{
	expect("$RUN arguments.lfi", 1, "");
	expect("$RUN arguments.lfi -v --help --env X=1 ''", 6,
	    "argument -v\nargument --help\nargument --env\nargument X=1\nargument \n");
	expect("SECRET=1 $RUN --env A=1 --env=B=two=2 -- arguments.lfi x", 2,
	    "argument x\nvariable A=1\nvariable B=two=2\n");
	expect("env -i Z=z $RUN --inherit-env arguments.lfi", 1, "variable Z=z\n");
	expect_part(
	    "$RUN arguments.lfi \"$(head -c 1000000 /dev/zero | tr '\\0' x | fold -w 100000)\" 2>&1 | tail -c 200", 0,
	    "");
	expect_part("$RUN arguments.lfi $(yes 1234567890123456789012345678901234567890 | head -n 20000)", 126,
	    "more than a quarter of the stack");
}

static void
standard_streams_are_inherited(void **state)
{
	expect("printf 'a\\nb\\n' | $RUN echo.lfi 2>error; cat error", 0, "1 a\n2 b\n2 lines\n");
	expect("$RUN echo.lfi </dev/null 2>/dev/null", 0, "");
	expect("$RUN echo.lfi <&- 2>/dev/null", 0, "");
	expect("yes | $RUN echo.lfi | head -n 2; test ${PIPESTATUS-0} = 0", 0, "1 y\n2 y\n");
}

static void
each_end_has_its_status_and_message(void **state)
{
	expect("$RUN end.lfi", 0, "before\n");
	expect("$RUN end.lfi exit", 3, "before\n");
	expect("$RUN end.lfi _exit", 4, "before\n");
	expect_part("$RUN end.lfi abort", 128 + 6, "before\nlfi-run: end.lfi: sandboxed code ended itself at 0x");
	expect_part("$RUN end.lfi abort", 128 + 6, "with signal 6 (SIGABRT)");
	expect("$RUN end.lfi raise", 128 + 15, "before\n");
	expect_part("$RUN end.lfi read", 128 + 11, "before\nlfi-run: end.lfi: sandboxed code trapped at");
	expect_part("$RUN end.lfi write", 128 + 11, "SIGSEGV");
	expect_part("$RUN end.lfi divide", 128 + 8, "SIGFPE");
	expect_part("$RUN end.lfi stack", 128 + 11, "SIGSEGV");
	expect_part("$RUN end.lfi trap", 128 + 4, "SIGILL");
	expect_part("$RUN end.lfi read", 128 + 11, ": SIGSEGV, address 0x");
	expect_part("$RUN end.lfi read", 128 + 11, ", in main+0x");
	expect_part("$RUN end.lfi thread", 128 + 11, ", in fault+0x");
	expect_part("$RUN end.lfi stack", 128 + 11, ": the stack is used up, in deeper");
}

static void
files_directories_time_and_memory_work(void **state)
{
	expect("rm -rf w ro; mkdir w ro; echo x >ro/file; ln -s /etc/passwd w/link; ln -s /etc w/linkdir;"
	       "$RUN --dir /w=w --dir=/ro=ro:ro --wd /w files.lfi </dev/null && ls w && cat ro/file",
	    0, "all is well\nlink\nlinkdir\nx\n");
}

static void
threads_work_and_end_with_the_process(void **state)
{
	const char *sum = "counter 8000, sum 68\n";

	expect("$RUN threads.lfi", 0, sum);
	for (int i = 0; i < 5; i++) {
		expect("timeout 20 $RUN threads.lfi main-ends", 4, sum);
		expect("timeout 20 $RUN threads.lfi main-leaves", 9, sum);
		expect("timeout 20 $RUN threads.lfi main-loops", 9, sum);
	}
}

/* A pipe nobody reads, standard streams whose other end keeps still: the end of the process comes all the same. */
static void
threads_that_sleep_in_calls_do_not_delay_the_end(void **state)
{
	for (int i = 0; i < 3; i++) {
		expect("timeout 20 $RUN hang.lfi pipe-read", 7, "");
		expect("timeout 20 $RUN hang.lfi pipe-write", 7, "");
	}
	expect("rm -f fifo; mkfifo fifo; (exec 3>fifo; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do printf x >&3; sleep "
	       "0.02; done;"
	       "exec sleep 20) >/dev/null 2>&1 & timeout 10 $RUN hang.lfi stdin <fifo; s=$?; kill $!; exit $s",
	    7, "");
	expect("rm -f fifo; mkfifo fifo; (exec 3<fifo; exec sleep 20) >/dev/null 2>&1 &"
	       "timeout 10 $RUN hang.lfi stdout >fifo; s=$?; kill $!; exit $s",
	    7, "");
}

static void
limits_of_options_hold(void **state)
{
	expect_part("$RUN --memory-limit 32M hungry.lfi memory", 0, " MiB, Out of memory");
	expect_part("$RUN --memory-limit=32768K hungry.lfi memory | grep -Ex '2[0-9] MiB, .*'", 0, " MiB");
	expect_part("$RUN --memory-limit 1M hungry.lfi", 126, "its limit is 1048576");
	expect("$RUN --max-threads 3 hungry.lfi threads", 0, "2 threads, Resource temporarily unavailable\n");
	expect("$RUN --max-files=10 hungry.lfi files", 0, "7 descriptors, No file descriptors available\n");
	expect_part("timeout 60 $RUN --cpu-limit 0.05 hungry.lfi time", 128 + 24, "CPU time limit");
	expect("$RUN --memory-limit 1G --max-threads 9 --max-files 9 --cpu-limit 100 hungry.lfi", 0, "");
}

static void
statistics_are_shown_when_the_program_has_ended(void **state)
{
	expect_part("$RUN --stats hungry.lfi", 0, " 0 faults, CPU time 0.");
	expect_part("$RUN --stats end.lfi read", 128 + 11, " 1 faults, CPU time 0.");
	expect_part("$RUN --stats --memory-limit 32M hungry.lfi memory 2>&1 | grep -E 'at most (3[0-2]|2[89])[0-9]{3}\\)'", 0,
	    "lfi-run: mapped ");
	expect("$RUN --stats end.lfi exit 2>/dev/null", 3, "before\n");
}

static void
limits_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = {"--memory-limit 0", "--memory-limit 1X", "--memory-limit 1KK",
	    "--memory-limit ''", "--memory-limit=-1", "--memory-limit 99999999999999999999", "--memory-limit 2000G",
	    "--max-threads 0", "--max-threads 1.5", "--max-threads 4294967296", "--max-files x", "--max-files ' 1'",
	    "--cpu-limit 0", "--cpu-limit 1s", "--cpu-limit nan"};
	char line[200];

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		snprintf(line, sizeof line, "$RUN %s hungry.lfi", bad[i]);
		expect_part(line, 125, strncmp(bad[i], "--cpu", 5) == 0 ? ": seconds" :
			strncmp(bad[i], "--mem", 5) == 0 ? ": bytes" : ": a whole number");
	}
}

static void
bad_options_and_programs_have_their_status_and_message(void **state)
{
	static const struct {
		const char *command;
		int status;
		const char *part;
	} rows[] = {
	    {"$RUN", 125, "lfi-run: no program; see lfi-run --help"},
	    {"$RUN --nonsense x", 125, "lfi-run: no option '--nonsense'"},
	    {"$RUN --dir", 125, "lfi-run: --dir needs a value"},
	    {"$RUN --dir x echo.lfi", 125, "lfi-run: directory map 'x' is not /SANDBOX-PATH=HOST-PATH[:ro]"},
	    {"$RUN --dir /x=/nowhere echo.lfi", 125, "host directory '/nowhere': No such file or directory"},
	    {"$RUN --env X echo.lfi", 125, "--env X: NAME=VALUE"},
	    {"$RUN --sandbox=none echo.lfi", 125, "one of full, stores, jumps"},
	    {"$RUN --cfi=bundle64 echo.lfi", 125, "bundle32 or bundle16"},
	    {"$RUN nowhere.lfi", 127, "lfi-run: nowhere.lfi: no such program"},
	    {"$RUN .", 126, "'.' is not a regular file"},
	    {"$RUN /bin/sh", 126, "lfi-run: /bin/sh: segment"},
	    {": >empty; $RUN empty", 126, "lfi-run: empty: 0 bytes are too short for an ELF header"},
	    {"echo '#!/bin/sh' >script; $RUN script", 126, "lfi-run: script: a script (#!), not an ELF program"},
	    {"head -c 5000 echo.lfi >cut; $RUN cut", 126, "past the end of the file (5000 bytes)"},
	    {"head -c 5000 echo.lfi >locked; chmod 0 locked; $RUN locked", 126, "lfi-run: locked: "},
	    {"echo 'int main(void) { return 0; }' >native.c; cc native.c -o native; $RUN native", 126,
		"needs the dynamic linker /lib"},
	    {"cc -static -no-pie native.c -o native; $RUN native", 126,
		"is linked to a fixed address (ET_EXEC): link it with -static-pie"},
	    {"cc -static-pie native.c -o native; $RUN native", 126,
		"it verifies with no other options either: was it made by lfi-cc?"},
	    {"cc -c native.c -o native; $RUN native", 126, "this is an object file (ET_REL), not a program"},
	    {"{ head -c 18 echo.lfi; printf '\\267\\0'; tail -c +21 echo.lfi; } >arm; $RUN arm", 126,
		"the program is for machine 183 (AArch64), not for 62 (x86-64)"},
	    {"ulimit -v 3000000; $RUN echo.lfi", 125, "is limited to 2929 MiB of address space: ulimit -v"},
	    {"$RUN echo.lfi/x", 127, "no such program"},
	    {"$RUN --help", 0, "usage: lfi-run"},
	    {"$RUN --version", 0, "lfi-run 1."},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		expect_part(rows[i].command, rows[i].status, rows[i].part);
}

static void
a_program_of_other_options_is_refused_with_the_option_that_helps(void **state)
{
	static const struct {
		const char *built;
		const char *run;
		const char *helps;
	} rows[] = {
	    {"--cfi=bundle16", "", "it verifies with --cfi=bundle16\n"},
	    {"--cfi=bundle32", "--cfi=bundle16", "it verifies with no options\n"},
	    {"--single-thread", "", "it verifies with --single-thread\n"},
	    {"--sandbox=stores", "", "it verifies with --sandbox=stores, which protects less\n"},
	    {"--sandbox=jumps", "", "it verifies with --sandbox=jumps, which protects less\n"},
	    {"--sandbox=stores --single-thread", "", "with --single-thread --sandbox=stores, which protects less\n"},
	};
	char command[512];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		snprintf(command, sizeof command,
		    "echo 'int f(int **p) { return **p = 1; } void _start(int **p) { for (;;) f(p); }' >other.c; "
		    "$CC -O1 -fno-inline -nostdlib %s other.c -o other && timeout 20 $RUN %s other",
		    rows[i].built, rows[i].run);
		expect_part(command, 126, rows[i].helps);
	}
}

/* A shared object of the host's compiler with an entry point: position-independent, and not confined. */
static void
code_that_was_not_rewritten_is_refused_with_its_place(void **state)
{
	expect_part("echo 'int _start(int *p) { return *p; }' >raw.c && cc -O1 -fPIC -shared -nostdlib -Wl,-e,_start "
		    "-Wl,-z,separate-code raw.c -o raw "
		    "&& $RUN raw",
	    126, "lfi-run: raw: ");
}

/* ---- Libraries ---- */

struct Library {
	struct LFIEngine *engine;
	struct LFILinuxEngine *linux_;
	struct LFILinuxProc *proc;
	struct LFILinuxThread *thread;
};

static _Thread_local struct LFIContext *own_ctx;

static void
open_library(struct Library *library)
{
	char path[128];

	snprintf(path, sizeof path, "%s/library.lfi", dir);
	library->engine = lfi_new((struct LFIOptions){0}, 1);
	library->linux_ = lfi_linux_new(library->engine, (struct LFILinuxOptions){0});
	library->proc = lfi_proc_new(library->linux_);
	if (!lfi_proc_load_file(library->proc, path))
		fail_msg("%s", lfi_errmsg());
	library->thread = lfi_thread_new(library->proc, 0, NULL, NULL);
	assert_non_null(library->thread);
	if (lfi_linux_init_clone(library->thread) < 0)
		fail_msg("%s", lfi_errmsg());
	own_ctx = lfi_thread_ctx(library->thread);
}

static void
close_library(struct Library *library)
{
	lfi_proc_free(library->proc);
	lfi_linux_free(library->linux_);
	lfi_free(library->engine);
}

static int
call_int(struct Library *library, const char *name, const char *sig, int a, int b)
{
	union LFIValue args[2] = {{.i = a}, {.i = b}}, result = {.i = 0};

	assert_int_equal(lfi_call(own_ctx, lfi_proc_sym(library->proc, name), sig, args, &result), 0);
	return (int) result.i;
}

static void
a_program_without_main_is_a_library(void **state)
{
	struct Library library;
	union LFIValue arg, result;
	char text[32];
	lfiptr memory;

	open_library(&library);
	assert_int_equal(call_int(&library, "add", "i(ii)", 40, 2), 42);
	assert_int_equal(call_int(&library, "count_calls", "i()", 0, 0), 1);
	assert_int_equal(call_int(&library, "count_calls", "i()", 0, 0), 2);
	assert_int_equal(call_int(&library, "use_errno", "i(i)", 77, 0), 77);
	memory = lfi_box_mapany(lfi_proc_box(library.proc), 4096, 3, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0);
	assert_int_equal(lfi_box_copyto(lfi_proc_box(library.proc), memory, "stressed", 9), 0);
	arg.u = memory;
	assert_int_equal(lfi_call(own_ctx, lfi_proc_sym(library.proc, "reversed"), "p(p)", &arg, &result), 0);
	assert_int_equal(lfi_box_copystr(lfi_proc_box(library.proc), text, result.u, sizeof text), 8);
	assert_string_equal(text, "desserts");
	assert_int_equal(
	    LFI_INVOKE(lfi_proc_box(library.proc), &own_ctx, lfi_proc_sym(library.proc, "add"), int, (int, int), 1, 2),
	    3);
	close_library(&library);
}

/* The call fails as after a trap; the error of the last call says so. */
static void
assert_ended_itself(struct Library *library, int signal)
{
	struct LFIFault fault;

	if (lfi_errno() != LFI_ERR_FAULT)
		fail_msg("%s: %s", lfi_error_name(lfi_errno()), lfi_errmsg());
	assert_int_equal(lfi_ctx_fault(own_ctx, &fault), 0);
	assert_int_equal(fault.signal, signal);
	assert_int_equal(fault.kind, LFI_FAULT_ABORT);
	assert_int_equal(fault.pc_offset, fault.pc - lfi_box_info(lfi_proc_box(library->proc)).base);
	assert_true(lfi_box_ptrvalid(lfi_proc_box(library->proc), fault.pc_offset, 1));
	assert_true(fault.depth >= 1 && fault.backtrace[0] == fault.pc);
}

static void
abort_in_a_library_ends_the_call_and_nothing_else(void **state)
{
	static const int signals[] = {0, SIGABRT, SIGSEGV, SIGTERM, SIGKILL};
	struct Library library;
	struct LFIFault fault;
	union LFIValue arg, result;
	lfiptr end_itself;

	open_library(&library);
	end_itself = lfi_proc_sym(library.proc, "end_itself");
	for (int i = 0; i < 100; i++) {
		int signal = signals[i % 5];

		arg.i = signal;
		assert_int_equal(lfi_call(own_ctx, end_itself, "i(i)", &arg, &result), -1);
		assert_ended_itself(&library, signal ? signal : SIGABRT);
		assert_int_equal(LFI_INVOKE(lfi_proc_box(library.proc), &own_ctx, end_itself, int, (int), signal), 0);
		assert_ended_itself(&library, signal ? signal : SIGABRT);
		assert_int_equal(call_int(&library, "use_errno", "i(i)", i, 0), i);
	}
	assert_int_equal(lfi_proc_fault(library.proc, &fault), -1);
	assert_int_equal(lfi_box_stats(lfi_proc_box(library.proc)).faults, 200);
	/* One that is ignored. */
	assert_int_equal(call_int(&library, "end_itself", "i(i)", SIGCHLD, 0), 7);
	close_library(&library);
}

static void
faults_and_addresses_have_the_name_of_their_function(void **state)
{
	struct Library library;
	struct LFIFault fault;
	union LFIValue arg = {.u = 0}, result;
	lfiptr crash, add;
	uint64_t offset = 99;
	char name[64], text[2048], line[128];

	open_library(&library);
	crash = lfi_proc_sym(library.proc, "crash_at");
	add = lfi_proc_sym(library.proc, "add");
	arg.u = lfi_box_info(lfi_proc_box(library.proc)).base + 8192;
	assert_int_equal(lfi_call(own_ctx, crash, "i(p)", &arg, &result), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_FAULT);
	assert_int_equal(lfi_ctx_fault(own_ctx, &fault), 0);
	assert_string_equal(fault.symbol, "crash_at");
	assert_int_equal(fault.symbol_offset, (uint32_t) (fault.pc - crash));
	assert_true(lfi_fault_format(&fault, text, sizeof text) < sizeof text);
	snprintf(line, sizeof line, "\n  in  crash_at+%#llx\n", (unsigned long long) fault.symbol_offset);
	assert_non_null(strstr(text, line));
	/* A caller of an older version has no room for it. */
	memset(&fault, 0xaa, sizeof fault);
	assert_int_equal(lfi_ctx_fault_sized(own_ctx, &fault, offsetof(struct LFIFault, symbol)), 0);
	assert_int_equal((unsigned char) fault.symbol[0], 0xaa);

	assert_int_equal(lfi_proc_symbolize(library.proc, add, name, sizeof name, &offset), 0);
	assert_string_equal(name, "add");
	assert_int_equal(offset, 0);
	assert_int_equal(lfi_proc_symbolize(library.proc, crash + 1, name, 4, &offset), 0);
	assert_string_equal(name, "cra");
	assert_int_equal(offset, 1);
	assert_int_equal(lfi_proc_symbolize(library.proc, crash, name, sizeof name, NULL), 0);
	assert_int_equal(lfi_proc_symbolize(library.proc, 0, name, sizeof name, NULL), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_NOTFOUND);
	assert_int_equal(lfi_proc_symbolize(library.proc, UINT64_MAX, name, sizeof name, NULL), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_NOTFOUND);
	assert_int_equal(lfi_proc_symbolize(library.proc, add, name, 0, NULL), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	assert_int_equal(lfi_proc_symbolize(library.proc, add, NULL, 10, NULL), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	assert_int_equal(lfi_proc_symbolize(NULL, add, name, 10, NULL), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	close_library(&library);
}

static void
exit_in_a_library_ends_the_call_with_its_status_in_the_message(void **state)
{
	struct Library library;
	union LFIValue arg = {.i = 23}, result;

	open_library(&library);
	assert_int_equal(lfi_call(own_ctx, lfi_proc_sym(library.proc, "leave"), "i(i)", &arg, &result), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INTERRUPTED);
	assert_non_null(strstr(lfi_errmsg(), "was ended by exit or lfi_ctx_exit, with code 23"));
	/* So is what makes a system call now; the process is over. */
	assert_int_equal(lfi_call(own_ctx, lfi_proc_sym(library.proc, "leave"), "i(i)", &arg, &result), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INTERRUPTED);
	close_library(&library);
}

static void
an_aborted_run_has_a_fault(void **state)
{
	char path[128];
	const char *argv[] = {"end", "abort"};
	struct LFIEngine *engine = lfi_new((struct LFIOptions){0}, 1);
	struct LFILinuxEngine *linux_ = lfi_linux_new(engine, (struct LFILinuxOptions){0});
	struct LFILinuxProc *proc = lfi_proc_new(linux_);
	struct LFILinuxThread *thread;
	struct LFIFault fault;

	snprintf(path, sizeof path, "%s/end.lfi", dir);
	assert_true(lfi_proc_load_file(proc, path));
	assert_int_equal(lfi_proc_stdio(proc, -1, -1, -1), 0);
	thread = lfi_thread_new(proc, 2, argv, NULL);
	assert_int_equal(lfi_thread_run(thread), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_FAULT);
	assert_int_equal(lfi_proc_fault(proc, &fault), 0);
	assert_int_equal(fault.signal, SIGABRT);
	assert_int_equal(fault.kind, LFI_FAULT_ABORT);
	assert_true(strlen(fault.symbol) > 0);
	assert_int_equal(fault.symbol_offset < 100000, true);
	lfi_proc_free(proc);
	lfi_linux_free(linux_);
	lfi_free(engine);
}

static void
freeing_a_process_ends_the_threads_that_it_made(void **state)
{
	struct Library library;

	open_library(&library);
	assert_int_equal(call_int(&library, "start_threads", "i(ii)", 3, 0), 3);
	close_library(&library);
}

static void
a_process_has_a_bounded_number_of_threads(void **state)
{
	struct Library library;
	int started;

	open_library(&library);
	started = call_int(&library, "start_threads", "i(ii)", 1000, 1);
	assert_in_range(started, 100, 256);
	close_library(&library);
}

struct Caller {
	struct Library *library;
	bool ok;
};

/* On a host thread that has no context yet. */
static void *
call_from_a_thread(void *arg)
{
	struct Caller *caller = arg;
	struct LFIBox *box = lfi_proc_box(caller->library->proc);
	lfiptr count_own = lfi_proc_sym(caller->library->proc, "count_own");
	lfiptr count_calls = lfi_proc_sym(caller->library->proc, "count_calls");
	lfiptr use_errno = lfi_proc_sym(caller->library->proc, "use_errno");

	caller->ok = true;
	for (int i = 1; i <= 1000; i++) {
		if (LFI_INVOKE(box, &own_ctx, count_own, int, (void) ) != i)
			caller->ok = false;
		if (LFI_INVOKE(box, &own_ctx, use_errno, int, (int), i) != i)
			caller->ok = false;
		LFI_INVOKE(box, &own_ctx, count_calls, int, (void) );
	}
	return NULL;
}

static void
host_threads_call_a_library_with_contexts_of_their_own(void **state)
{
	struct Library library;
	struct Caller callers[4];
	pthread_t threads[4];

	open_library(&library);
	for (int i = 0; i < 4; i++) {
		callers[i] = (struct Caller){&library, false};
		assert_int_equal(pthread_create(&threads[i], NULL, call_from_a_thread, &callers[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_true(callers[i].ok);
	}
	assert_int_equal(call_int(&library, "count_calls", "i()", 0, 0), 4001);
	assert_int_equal(call_int(&library, "count_own", "i()", 0, 0), 1);
	close_library(&library);
}

static void *
call_once(void *arg)
{
	struct Caller *caller = arg;

	caller->ok = LFI_INVOKE(lfi_proc_box(caller->library->proc), &own_ctx,
			 lfi_proc_sym(caller->library->proc, "count_own"), int, (void) ) == 1;
	return NULL;
}

static size_t
mapped(struct LFIBox *box)
{
	struct BoxMapping mapping;
	size_t size = 0;

	for (lfiptr at = 0; box_mapping(box, at, &mapping); at = mapping.addr + mapping.size)
		size += mapping.size;
	return size;
}

/* More than a process may have, one after the other: each gives back its memory in the sandbox. */
static void
host_threads_that_end_give_back_what_they_had(void **state)
{
	struct Library library;
	struct Caller caller = {&library, false};
	size_t before = 0;
	pthread_t thread;

	open_library(&library);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(pthread_create(&thread, NULL, call_once, &caller), 0);
		pthread_join(thread, NULL);
		assert_true(caller.ok);
		if (i == 0)
			before = mapped(lfi_proc_box(library.proc));
	}
	assert_int_equal(mapped(lfi_proc_box(library.proc)), before);
	assert_int_equal(call_int(&library, "add", "i(ii)", 40, 2), 42);
	close_library(&library);
}

/* The process ends before the thread does. */
static void *
call_and_close(void *arg)
{
	struct Caller *caller = arg;

	call_once(caller);
	close_library(caller->library);
	return NULL;
}

static void
a_process_may_be_freed_before_the_threads_that_called_it(void **state)
{
	struct Library library;
	struct Caller caller = {&library, false};
	pthread_t thread;

	open_library(&library);
	assert_int_equal(pthread_create(&thread, NULL, call_and_close, &caller), 0);
	pthread_join(thread, NULL);
	assert_true(caller.ok);
}

/* ---- Set-up ---- */

static int
compile_all(void **state)
{
	char out[OUTPUT];

	if (!mkdtemp(dir))
		return -1;
	if (shell("for f in $SOURCES/*.c; do $CC -O2 $f -o $(basename $f .c).lfi || exit 1; done", out) == 0)
		return 0;
	fprintf(stderr, "%s\n", out);
	return -1;
}

static int
remove_all(void **state)
{
	char line[64];

	snprintf(line, sizeof line, "rm -rf %s", dir);
	return system(line);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(arguments_environment_and_exit_status_pass),
	    cmocka_unit_test(standard_streams_are_inherited),
	    cmocka_unit_test(each_end_has_its_status_and_message),
	    cmocka_unit_test(files_directories_time_and_memory_work),
	    cmocka_unit_test(threads_work_and_end_with_the_process),
	    cmocka_unit_test(threads_that_sleep_in_calls_do_not_delay_the_end),
	    cmocka_unit_test(limits_of_options_hold),
	    cmocka_unit_test(statistics_are_shown_when_the_program_has_ended),
	    cmocka_unit_test(limits_that_are_none_are_refused),
	    cmocka_unit_test(bad_options_and_programs_have_their_status_and_message),
	    cmocka_unit_test(a_program_of_other_options_is_refused_with_the_option_that_helps),
	    cmocka_unit_test(code_that_was_not_rewritten_is_refused_with_its_place),
	    cmocka_unit_test(a_program_without_main_is_a_library),
	    cmocka_unit_test(abort_in_a_library_ends_the_call_and_nothing_else),
	    cmocka_unit_test(faults_and_addresses_have_the_name_of_their_function),
	    cmocka_unit_test(exit_in_a_library_ends_the_call_with_its_status_in_the_message),
	    cmocka_unit_test(an_aborted_run_has_a_fault),
	    cmocka_unit_test(freeing_a_process_ends_the_threads_that_it_made),
	    cmocka_unit_test(a_process_has_a_bounded_number_of_threads),
	    cmocka_unit_test(host_threads_call_a_library_with_contexts_of_their_own),
	    cmocka_unit_test(host_threads_that_end_give_back_what_they_had),
	    cmocka_unit_test(a_process_may_be_freed_before_the_threads_that_called_it),
	};

	if (!can_compile("libc.a"))
		return 0;
	return cmocka_run_group_tests(tests, compile_all, remove_all);
}
