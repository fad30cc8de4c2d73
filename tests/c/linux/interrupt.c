/* SPDX-License-Identifier: MIT */
/*
 * Interrupts and deadlines of programs and libraries that wait in every way that the emulated kernel has. The program
 * is programs/block.c.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <lfi/lfi.h>

#include "core.h"
#include "sysroot_test.h"

#define DEADLINE_NS ((uint64_t) 20000000)

static char dir[] = "/tmp/lfi-interrupt-XXXXXX";

/* As in programs/block.c. */
static const char *const ways[] = {"loop", "read", "read of the host's", "write", "poll", "poll of nothing", "select",
    "sleep", "sleep until", "mutex", "condition", "fifo", "calls"};
enum { LOOP = 0, CALLS = 12, WAYS = sizeof ways / sizeof ways[0] };

struct Process {
	struct LFIEngine *engine;
	struct LFILinuxEngine *linux_;
	struct LFILinuxProc *proc;
	struct LFILinuxThread *thread;
	int in[2], out[2];
};

static void
process_open(struct Process *p, const char *file, int argc, const char **argv)
{
	char path[128], map[128];
	const char *maps[] = {map, NULL};

	snprintf(path, sizeof path, "%s/%s", dir, file);
	snprintf(map, sizeof map, "/data=%s", dir);
	p->engine = lfi_new((struct LFIOptions){0}, 1);
	p->linux_ = lfi_linux_new(p->engine, (struct LFILinuxOptions){.dir_maps = maps});
	p->proc = lfi_proc_new(p->linux_);
	assert_non_null(p->proc);
	assert_int_equal(pipe(p->in), 0);
	assert_int_equal(pipe(p->out), 0);
	assert_int_equal(lfi_proc_stdio(p->proc, p->in[0], p->out[1], 2), 0);
	if (!lfi_proc_load_file(p->proc, path))
		fail_msg("%s", lfi_errmsg());
	p->thread = lfi_thread_new(p->proc, argc, argv, NULL);
	assert_non_null(p->thread);
}

static void
process_close(struct Process *p)
{
	lfi_proc_free(p->proc);
	lfi_linux_free(p->linux_);
	lfi_free(p->engine);
	for (int i = 0; i < 2; i++) {
		close(p->in[i]);
		close(p->out[i]);
	}
}

/* Waits until `bytes` threads are about to wait, and a little. */
struct Interrupter {
	pthread_t thread;
	struct Process *p;
	int bytes, result;
};

static void *
interrupt_when_blocked(void *arg)
{
	struct Interrupter *i = arg;
	const struct timespec moment = {0, 2000000};
	char byte;

	while (i->bytes-- > 0)
		if (read(i->p->out[0], &byte, 1) != 1)
			i->result = -2;
	nanosleep(&moment, NULL);
	i->result |= lfi_box_interrupt(lfi_proc_box(i->p->proc));
	return NULL;
}

static void
start(struct Interrupter *i, struct Process *p, int bytes)
{
	*i = (struct Interrupter){.p = p, .bytes = bytes};
	assert_int_equal(pthread_create(&i->thread, NULL, interrupt_when_blocked, i), 0);
}

static void
join(struct Interrupter *i)
{
	pthread_join(i->thread, NULL);
	assert_int_equal(i->result, 0);
}

/* What is called, and that calls work afterwards. */
static void
call_and_add(struct Process *p, int how, int expected)
{
	struct LFIContext *ctx = lfi_thread_ctx(p->thread);
	union LFIValue args[2] = {{.i = how}, {.i = 2}}, result;

	assert_int_equal(lfi_call(ctx, lfi_proc_sym(p->proc, "block"), "i(i)", args, &result), -1);
	if (lfi_errno() != expected)
		fail_msg("%s: %s", ways[how], lfi_errmsg());
	assert_int_equal(lfi_call(ctx, lfi_proc_sym(p->proc, "add"), "i(ii)", args, &result), 0);
	assert_int_equal(result.i, how + 2);
}

static void
calls_that_wait_in_any_way_are_interrupted(void **state)
{
	struct Process p;
	struct Interrupter i;

	process_open(&p, "block.lfi", 0, NULL);
	assert_int_equal(lfi_linux_init_clone(p.thread), 0);
	for (int round = 0; round < 3; round++) {
		for (int how = 0; how < WAYS; how++) {
			start(&i, &p, 1);
			call_and_add(&p, how, LFI_ERR_INTERRUPTED);
			join(&i);
		}
	}
	process_close(&p);
}

static void
calls_that_wait_in_any_way_end_at_their_deadline(void **state)
{
	struct Process p;

	process_open(&p, "block.lfi", 0, NULL);
	assert_int_equal(lfi_linux_init_clone(p.thread), 0);
	for (int how = 0; how < WAYS; how++) {
		assert_int_equal(lfi_ctx_deadline(lfi_thread_ctx(p.thread), DEADLINE_NS), 0);
		call_and_add(&p, how, LFI_ERR_DEADLINE);
	}
	process_close(&p);
}

struct Caller {
	pthread_t thread;
	struct Process *p;
	int how, error;
};

static void *
call_in_thread(void *arg)
{
	struct Caller *c = arg;
	struct LFIContext *ctx = NULL;

	LFI_INVOKE(lfi_proc_box(c->p->proc), &ctx, lfi_proc_sym(c->p->proc, "block"), int, (int), c->how);
	c->error = lfi_errno();
	return NULL;
}

/* Then the process has more than one thread, and waits in other host calls. */
static void
calls_of_several_host_threads_are_interrupted(void **state)
{
	struct Caller callers[WAYS];
	struct Process p;
	struct Interrupter i;

	process_open(&p, "block.lfi", 0, NULL);
	assert_int_equal(lfi_linux_init_clone(p.thread), 0);
	start(&i, &p, WAYS);
	for (int how = 0; how < WAYS; how++) {
		callers[how] = (struct Caller){.p = &p, .how = how};
		assert_int_equal(pthread_create(&callers[how].thread, NULL, call_in_thread, &callers[how]), 0);
	}
	join(&i);
	for (int how = 0; how < WAYS; how++) {
		pthread_join(callers[how].thread, NULL);
		assert_int_equal(callers[how].error, LFI_ERR_INTERRUPTED);
	}
	process_close(&p);
}

/* ---- Programs ---- */

static void
a_program_with_threads_ends_when_it_is_interrupted(void **state)
{
	const char *argv[WAYS + 1];
	char numbers[WAYS][8];
	struct Process p;
	struct Interrupter i;

	argv[0] = "block";
	for (int how = 0; how < WAYS; how++) {
		snprintf(numbers[how], sizeof numbers[how], "%d", how);
		argv[how + 1] = numbers[how];
	}
	process_open(&p, "program.lfi", WAYS + 1, argv);
	start(&i, &p, WAYS);
	assert_int_equal(lfi_thread_run(p.thread), -1);
	assert_int_equal(lfi_errno(), LFI_ERR_INTERRUPTED);
	join(&i);
	process_close(&p);
}

static void
a_program_ends_at_its_deadline_and_at_its_cpu_limit(void **state)
{
	static const char *const waits[] = {"0", "7", "12"};
	struct Process p;

	for (int way = 0; way < 3; way++) {
		const char *argv[] = {"block", "7", waits[way]};

		process_open(&p, "program.lfi", 3, argv);
		assert_int_equal(lfi_ctx_deadline(lfi_thread_ctx(p.thread), DEADLINE_NS), 0);
		assert_int_equal(lfi_thread_run(p.thread), -1);
		assert_int_equal(lfi_errno(), LFI_ERR_DEADLINE);
		process_close(&p);
	}
	/* The thread that works is not the first one. */
	for (int way = 0; way < 3; way += 2) {
		const char *argv[] = {"block", waits[way], "7"};

		process_open(&p, "program.lfi", 3, argv);
		assert_int_equal(box_cpu_limit(lfi_proc_box(p.proc), DEADLINE_NS), 0);
		assert_int_equal(lfi_thread_run(p.thread), -1);
		assert_int_equal(lfi_errno(), LFI_ERR_LIMIT);
		process_close(&p);
	}
}

static int
shell(const char *command, char *out, size_t room)
{
	char line[1024];
	size_t used;
	FILE *pipe;
	int status;

	snprintf(line, sizeof line, "cd %s && RUN=%s/lfi-run; CC=%s/lfi-cc; P=%s/tests/c/linux/programs; { %s; } 2>&1", dir,
	    getenv("LFI_BIN"), getenv("LFI_BIN"), getenv("LFI_SOURCE"), command);
	pipe = popen(line, "r");
	assert_non_null(pipe);
	used = fread(out, 1, room - 1, pipe);
	out[used] = 0;
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
lfi_run_ends_programs_that_take_too_long(void **state)
{
	static const char *const commands[] = {"$RUN --timeout 0.05 program.lfi 0", "$RUN --timeout=0.05 program.lfi 7 12",
	    "$RUN --timeout 0.05 program.lfi 9 10 7 leave"};
	char out[4096];

	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		assert_int_equal(shell(commands[i], out, sizeof out), 124);
		assert_non_null(strstr(out, "ended after 0.05 seconds (--timeout)"));
	}
	assert_int_equal(shell("$RUN --timeout 100 program.lfi 2 </dev/null", out, sizeof out), 0);
	assert_int_equal(shell("$RUN --timeout 0 program.lfi 2", out, sizeof out), 125);
	assert_int_equal(shell("$RUN --timeout 1x program.lfi 2", out, sizeof out), 125);
	assert_int_equal(shell("$RUN --timeout nan program.lfi 2", out, sizeof out), 125);
}

/* ---- */

static int
compile_all(void **state)
{
	char out[4096];

	if (!mkdtemp(dir))
		return -1;
	if (shell("$CC -O2 $P/block.c -o block.lfi && $CC -O2 -DPROGRAM $P/block.c -o program.lfi && mkfifo fifo", out,
		sizeof out) == 0)
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
	    cmocka_unit_test(calls_that_wait_in_any_way_are_interrupted),
	    cmocka_unit_test(calls_that_wait_in_any_way_end_at_their_deadline),
	    cmocka_unit_test(calls_of_several_host_threads_are_interrupted),
	    cmocka_unit_test(a_program_with_threads_ends_when_it_is_interrupted),
	    cmocka_unit_test(a_program_ends_at_its_deadline_and_at_its_cpu_limit),
	    cmocka_unit_test(lfi_run_ends_programs_that_take_too_long),
	};

	if (!can_compile("libc.a"))
		return 0;
	return cmocka_run_group_tests(tests, compile_all, remove_all);
}
