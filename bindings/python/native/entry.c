/* SPDX-License-Identifier: MIT */
/*
 * Entries: calls into sandboxes that are under way, one list per thread. They carry the exception of a callback
 * through sandboxed code, and let Ctrl-C end a call.
 *
 * Python's handler of SIGINT only notes the signal; what it notes is looked at when the call into the sandbox has
 * returned. So a handler of ours stands before Python's: it ends what the main thread executes in a sandbox, then
 * passes on. Others may replace it (asyncio does, and signal.signal): a watcher puts it back when a call takes long.
 */
#include "native.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static __thread struct Entry *current;

static pthread_t main_thread;
static __thread bool is_main;

/* The main thread's innermost entry; read by the handler, on that thread. */
static struct Entry *volatile main_entry;
static volatile unsigned long main_entries; /* how many there were */
static volatile sig_atomic_t noted;         /* SIGINT came while there was none; Python may have seen it since */

static volatile sig_atomic_t finalizing;

PyObject *
native_finalizing(void)
{
	finalizing = 1;
	Py_RETURN_NONE;
}

/*
 * At its end the interpreter ends threads that ask for the GIL, by pthread_exit. The frames of a sandbox cannot be
 * unwound, so such a thread sleeps for ever instead, as those of Python 3.14 do.
 */
static void
stay_out(void)
{
	while (finalizing && !is_main)
		pause();
}

void
gil_restore(PyThreadState *state)
{
	stay_out();
	PyEval_RestoreThread(state);
}

/* ---- SIGINT ---- */

static struct sigaction passed_on; /* written by the main thread and the watcher, under the lock */
static pthread_mutex_t chain_lock = PTHREAD_MUTEX_INITIALIZER;

static void
interrupt(struct Entry *entry)
{
	struct LFIContext *ctx = entry->ctx;

	if (entry->in_python)
		return;
	if (ctx)
		lfi_ctx_interrupt(ctx, entry->token);
	else if (entry->sandbox->box)
		lfi_box_interrupt(entry->sandbox->box);
}

static void
on_sigint(int sig, siginfo_t *info, void *ucontext)
{
	int saved = errno;

	if (!pthread_equal(pthread_self(), main_thread)) {
		pthread_kill(main_thread, sig);
		errno = saved;
		return;
	}
	if (main_entry)
		interrupt(main_entry);
	else
		noted = 1;
	errno = saved;
	if (passed_on.sa_flags & SA_SIGINFO)
		passed_on.sa_sigaction(sig, info, ucontext);
	else if (passed_on.sa_handler != SIG_DFL && passed_on.sa_handler != SIG_IGN)
		passed_on.sa_handler(sig);
}

/* Stand before whoever has a handler now. Where there is none, the user wants the default. */
static void
chain(void)
{
	struct sigaction now, ours = {.sa_sigaction = on_sigint};

	pthread_mutex_lock(&chain_lock);
	if (sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN &&
	    now.sa_sigaction != on_sigint) {
		passed_on = now;
		ours.sa_mask = now.sa_mask;
		ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (now.sa_flags & (SA_RESTART | SA_NODEFER));
		sigaction(SIGINT, &ours, NULL);
	}
	pthread_mutex_unlock(&chain_lock);
}

/* ---- The watcher ---- */

enum { TICK_NS = 50000000, IDLE_TICKS = 20 };
enum { WATCH_NONE, WATCH_TICKS, WATCH_SLEEPS };

static atomic_int watch_state;
static pthread_mutex_t watch_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t watch_wake = PTHREAD_COND_INITIALIZER;

/* Sleeps when the main thread has made no call for a second. */
static void *
watch(void *unused)
{
	const struct timespec tick = {0, TICK_NS};
	unsigned long seen = 0;
	int idle = 0;

	(void) unused;
	for (;;) {
		nanosleep(&tick, NULL);
		if (main_entries != seen) {
			seen = main_entries;
			idle = 0;
		} else if (main_entry) {
			chain();
		} else if (++idle == IDLE_TICKS) {
			pthread_mutex_lock(&watch_lock);
			atomic_store(&watch_state, WATCH_SLEEPS);
			while (atomic_load(&watch_state) == WATCH_SLEEPS)
				pthread_cond_wait(&watch_wake, &watch_lock);
			pthread_mutex_unlock(&watch_lock);
			idle = 0;
		}
	}
	return NULL;
}

/* Without it Ctrl-C waits for the call where somebody replaced our handler: no reason to fail. */
static void
watch_start(void)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;

	chain();
	pthread_mutex_lock(&watch_lock);
	if (atomic_load(&watch_state) == WATCH_NONE) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		pthread_attr_init(&attr);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		pthread_create(&thread, &attr, watch, NULL);
		pthread_attr_destroy(&attr);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	atomic_store(&watch_state, WATCH_TICKS);
	pthread_cond_signal(&watch_wake);
	pthread_mutex_unlock(&watch_lock);
}

static void
after_fork(void)
{
	pthread_mutex_init(&watch_lock, NULL);
	pthread_mutex_init(&chain_lock, NULL);
	pthread_cond_init(&watch_wake, NULL);
	atomic_store(&watch_state, WATCH_NONE);
	/* The thread that forked is the child's main thread, to Python too. */
	main_thread = pthread_self();
	is_main = true;
	main_entry = current;
}

int
entry_init(void)
{
	main_thread = pthread_self();
	is_main = true;
	chain();
	return pthread_atfork(NULL, NULL, after_fork) == 0 ? 0 : -1;
}

/* ---- Entering and leaving ---- */

struct Entry *
entry_current(void)
{
	return current;
}

/* The exception that is raised, which no longer is. */
static PyObject *
take_exception(void)
{
	PyObject *type, *value, *trace;

	PyErr_Fetch(&type, &value, &trace);
	PyErr_NormalizeException(&type, &value, &trace);
	if (trace)
		PyException_SetTraceback(value, trace);
	Py_XDECREF(type);
	Py_XDECREF(trace);
	return value;
}

/* A signal that came just before the entry was there: what Python's handler raises ends it as it begins. */
static void
look_at_noted(struct Entry *entry)
{
	noted = 0;
	if (PyErr_CheckSignals() == 0)
		return;
	Py_XDECREF(entry->error);
	entry->error = take_exception();
	interrupt(entry);
}

void
entry_begin(struct Entry *entry, struct Sandbox *sandbox, struct LFIContext *ctx)
{
	entry->up = current;
	entry->sandbox = sandbox;
	entry->ctx = ctx;
	entry->error = NULL;
	entry->in_python = 0;
	current = entry;
	sandbox_hold(sandbox);
	if (is_main) {
		entry->token = ctx ? lfi_ctx_token(ctx) : 0;
		main_entries++;
		main_entry = entry;
		if (atomic_load_explicit(&watch_state, memory_order_relaxed) != WATCH_TICKS)
			watch_start();
		if (noted)
			look_at_noted(entry);
	}
	entry->state = PyEval_SaveThread();
}

int
entry_end(struct Entry *entry)
{
	PyObject *error;

	/* Before the GIL is waited for: nothing is to be interrupted any more. */
	if (is_main)
		main_entry = entry->up;
	gil_restore(entry->state);
	current = entry->up;
	error = entry->error;
	sandbox_release(entry->sandbox);
	if (!error)
		return 0;
	PyErr_Restore(Py_NewRef((PyObject *) Py_TYPE(error)), error, PyException_GetTraceback(error));
	return -1;
}

/* ---- Callbacks ---- */

int
python_enter(struct Entry **entry)
{
	*entry = current;
	if (!current) {
		stay_out();
		return (int) PyGILState_Ensure();
	}
	current->in_python = 1;
	gil_restore(current->state);
	return 0;
}

void
python_leave(struct Entry *entry, int state)
{
	if (!entry) {
		PyGILState_Release((PyGILState_STATE) state);
		return;
	}
	entry->state = PyEval_SaveThread();
	entry->in_python = 0;
}

void
python_failed(struct Entry *entry, struct LFIContext *ctx, PyObject *where)
{
	lfi_ctx_end_call(ctx);
	/* A thread that the program made: nobody waits for its exception. */
	if (!entry) {
		PyErr_WriteUnraisable(where);
		return;
	}
	Py_XDECREF(entry->error);
	entry->error = take_exception();
}
