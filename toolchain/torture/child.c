/* SPDX-License-Identifier: MIT */
/*
 * One child process with a time limit, its output in files. Each leads a process group of its own, so that a compiler
 * driver's own children end with it; the group is killed before its leader is reaped, while the number still means us.
 * One child at a time for each worker thread; children_stop may come from any thread.
 */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_CHILDREN 256
#define FILE_LIMIT (64u << 20)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t running[MAX_CHILDREN];
static bool stopped;

void
children_stop(void)
{
	pthread_mutex_lock(&lock);
	stopped = true;
	for (size_t i = 0; i < MAX_CHILDREN; i++) {
		if (running[i])
			kill(-running[i], SIGKILL);
	}
	pthread_mutex_unlock(&lock);
}

bool
children_stopped(void)
{
	pthread_mutex_lock(&lock);
	bool is = stopped;
	pthread_mutex_unlock(&lock);
	return is;
}

/* In the child: only calls that are allowed between fork and exec of a program with threads. */
static _Noreturn void
child_exec(const struct child *child, char *const *argv, char *const *envp)
{
	struct rlimit no_core = {0, 0}, files = {FILE_LIMIT, FILE_LIMIT};
	sigset_t none;
	int in, out, err;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &no_core);
	if (child->program)
		setrlimit(RLIMIT_FSIZE, &files);
	in = open("/dev/null", O_RDONLY);
	out = open(child->out, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	err = open(child->err, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0666);
	if (in >= 0 && out >= 0 && err >= 0 && dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2 &&
	    (!child->directory || chdir(child->directory) == 0)) {
		close_range(3, ~0u, 0);
		execvpe(argv[0], argv, envp);
	}
	_exit(127);
}

/* Waits until the leader has ended, without reaping it; false when the time was over first. */
static bool
wait_end(pid_t pid, int limit_ms)
{
	int fd = (int) syscall(SYS_pidfd_open, pid, 0), ready;
	struct pollfd poller = {.fd = fd, .events = POLLIN};

	if (fd < 0)
		die("pidfd_open: %s", strerror(errno));
	do
		ready = poll(&poller, 1, limit_ms);
	while (ready < 0 && errno == EINTR);
	close(fd);
	return ready > 0;
}

/* Enters the child in the table, under the same lock as children_stop reads it; -1 when stopped or not started. */
static int
child_start(const struct child *child, char *const *argv, char *const *envp, pid_t *pid)
{
	int slot = 0;

	pthread_mutex_lock(&lock);
	while (slot < MAX_CHILDREN && running[slot])
		slot++;
	if (stopped || slot == MAX_CHILDREN) {
		pthread_mutex_unlock(&lock);
		return -1;
	}
	*pid = fork();
	if (*pid == 0)
		child_exec(child, argv, envp);
	if (*pid > 0) {
		setpgid(*pid, *pid);
		running[slot] = *pid;
	}
	pthread_mutex_unlock(&lock);
	if (*pid < 0)
		die("fork: %s", strerror(errno));
	return slot;
}

static int
child_end(int slot, pid_t pid)
{
	int status = 0;

	pthread_mutex_lock(&lock);
	kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	running[slot] = 0;
	pthread_mutex_unlock(&lock);
	return status;
}

struct outcome
child_run(const struct child *child, const struct words *command)
{
	extern char **environ;
	struct words env = {0};
	char *temporary = text("TMPDIR=%s", child->temporary ? child->temporary : "/tmp");
	pid_t pid;
	int slot, status;
	bool ended;

	words_add(&env, temporary);
	words_add(&env, "LC_ALL=C"); /* messages are matched */
	for (char **e = environ; *e; e++) {
		if (strncmp(*e, "TMPDIR=", 7) != 0 && strncmp(*e, "LC_ALL=", 7) != 0)
			words_add(&env, *e);
	}
	free(temporary);
	slot = child_start(child, command->word, env.word, &pid);
	words_free(&env);
	if (slot < 0)
		return (struct outcome){OUTCOME_INTERRUPTED, 0};
	ended = wait_end(pid, child->limit_ms);
	status = child_end(slot, pid);
	if (children_stopped())
		return (struct outcome){OUTCOME_INTERRUPTED, 0};
	if (!ended)
		return (struct outcome){OUTCOME_TIMEOUT, child->limit_ms};
	if (WIFSIGNALED(status))
		return (struct outcome){OUTCOME_SIGNAL, WTERMSIG(status)};
	return (struct outcome){OUTCOME_EXIT, WEXITSTATUS(status)};
}

char *
outcome_text(struct outcome outcome)
{
	switch (outcome.kind) {
	case OUTCOME_EXIT:
		return text("exit status %d", outcome.code);
	case OUTCOME_SIGNAL:
		return text("SIG%s", sigabbrev_np(outcome.code));
	case OUTCOME_TIMEOUT:
		return text("not done after %d s", outcome.code / 1000);
	default:
		return text("interrupted");
	}
}
