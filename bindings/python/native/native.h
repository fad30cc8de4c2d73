/* SPDX-License-Identifier: MIT */
/*
 * What the hand-written part of lfi._native shares: sandboxes, entries into them, functions, callbacks, views.
 *
 * The rules that keep Python safe:
 *   I1  A sandbox's handles are used only while it is open; it closes only when no thread is inside, and its memory
 * stays until the last view of it is gone. I2  No address of the host's gets into a sandbox. What a callback is
 * registered with (`user`) is host memory that sandboxed code neither sees nor chooses, and each box that may call it
 * keeps it. I3  What comes out of a sandbox is copied by liblfi, or read through pinned pages. I4  The GIL is released
 * around all that may run sandboxed code, and held for all that touches Python objects.
 */
#ifndef LFI_PYTHON_NATIVE_H
#define LFI_PYTHON_NATIVE_H

#include "limited.h"

#include <lfi/lfi.h>
#include <stdbool.h>

/* ---- Errors: raise.c ---- */

/* Sets the function that makes exceptions: called with (code, message, fault or None). */
PyObject *native_set_error_factory(PyObject *factory);

/* Raise the calling thread's last error of liblfi. NULL. */
PyObject *native_raise(void);

/* Raise an error of the binding's own, with a code of liblfi. NULL. */
PyObject *native_fail(int code, const char *format, ...);

/* Raise `error`, which ended a run of sandboxed code: an exception that a signal's handler raises instead, or one with
 * the fault of `ctx` or, when that is NULL, of `proc`. NULL. */
PyObject *native_raise_ended(const struct LFIError *error, struct LFIContext *ctx, struct LFILinuxProc *proc);

/* ---- Sandboxes: sandbox.c ---- */

struct Function;

/* A box with what it takes to close it. `proc` is NULL for a box of the core API. */
struct Sandbox {
	PyObject_HEAD struct LFIBox *box; /* NULL when closed */
	struct LFILinuxProc *proc;
	struct LFIContext *primary; /* of a process: of its first thread */
	unsigned long owner;        /* the thread that uses it */
	uint64_t serial;            /* a new one with each reset; never used twice */
	uint64_t base;
	int active;                   /* entries and copies of threads that may have released the GIL */
	int pins;                     /* views */
	bool closing;                 /* no new entries; freed with the last view */
	PyObject *keep;               /* what must outlive it */
	struct Function *functions;   /* all that have an LFIFn */
	struct Sandbox *next, **link; /* all that are open */
	PyObject **callbacks;         /* registered in it, or in what it is a clone of */
	size_t ncallbacks, nkept;     /* those that a reset keeps */
};

extern PyTypeObject *sandbox_type;

/* The open sandbox of a box, or NULL. */
struct Sandbox *sandbox_of(const struct LFIBox *box);

/* 0, or -1 with an exception: it is closed. */
int sandbox_check(struct Sandbox *sandbox);

/* Brackets of what runs without the GIL. */
void sandbox_hold(struct Sandbox *sandbox);
void sandbox_release(struct Sandbox *sandbox);

/* Where the calling thread's context of the sandbox is kept; made when there is none. NULL: an exception is set. */
struct LFIContext **sandbox_context(struct Sandbox *sandbox);

/* ---- Entries: entry.c ---- */

/* A call into a sandbox that is under way on this thread; they nest. On the C stack. */
struct Entry {
	struct Entry *up;
	struct Sandbox *sandbox;
	struct LFIContext *volatile ctx;
	uint64_t token;
	PyThreadState *state; /* while the GIL is released */
	PyObject *error;      /* exception of a callback, on its way out */
	PyObject *handler;    /* core API: serves runtime calls */
	PyObject *handler_arg;
	volatile int in_python; /* a callback runs */
};

void entry_begin(struct Entry *entry, struct Sandbox *sandbox, struct LFIContext *ctx);

/* Takes the GIL back. 0, or -1 with a callback's exception set. */
int entry_end(struct Entry *entry);

struct Entry *entry_current(void);

/* Into Python from a host function: the GIL is taken; *entry is NULL on a thread that the sandbox made. */
int python_enter(struct Entry **entry);
void python_leave(struct Entry *entry, int state);

/* The exception that is set becomes that of the entry, which ends once the host function returns. */
void python_failed(struct Entry *entry, struct LFIContext *ctx, PyObject *where);

/* Take the GIL back after work without it; never returns on a thread that must not, at the interpreter's end. */
void gil_restore(PyThreadState *state);

int entry_init(void);
PyObject *native_finalizing(void);

/* ---- Values: value.c ---- */

#define VALUES_MAX 64

/* One parameter or result. */
struct Kind {
	char code;      /* letter of lfi_call; '{' for a struct */
	size_t size;    /* of a struct, bytes */
	PyObject *what; /* of a pointer: what it points to, None for void, NULL: a plain number; of an argument that
			   Python makes something of: what is called with the value */
};

/* 0; -1 with an exception; 1: not of a type that is converted here. `index` is the argument's, from 1; 0: a result. */
int value_from_python(
    const struct Kind *kind, struct Sandbox *sandbox, PyObject *object, union LFIValue *out, Py_ssize_t index);

PyObject *value_to_python(const struct Kind *kind, struct Sandbox *sandbox, const union LFIValue *value);

/* "i", "p" with what it points to, or ("{...}", size, what). Steals nothing. 0 or -1. */
int kind_parse(struct Kind *kind, PyObject *object);
void kind_clear(struct Kind *kind);

/* ---- Pointers: pointer.c ---- */

/* The base of lfi.Pointer: an address that cannot be mistaken for a number. */
struct Pointer {
	PyObject_HEAD struct Sandbox *sandbox;
	uint64_t address; /* offset from the base */
	uint64_t serial;  /* of the sandbox when it was made */
	PyObject *target; /* what it points to, or None */
};

extern PyTypeObject *pointer_type;

/* The class that pointers which come out of sandboxes have: lfi.Pointer. */
PyObject *native_set_pointer_class(PyObject *cls);
PyObject *pointer_make(struct Sandbox *sandbox, uint64_t address, PyObject *target);

/* 0, or -1 with an exception: of another sandbox, closed, or from before a reset. */
int pointer_check(struct Pointer *pointer, struct Sandbox *sandbox);

/* ---- Functions, callbacks, views ---- */

struct Function {
	PyObject_HEAD void *vectorcall;
	struct LFIFn *fn;
	struct Sandbox *sandbox;
	struct Function *next, **link; /* of the sandbox */
	PyObject *name, *spec, *slow;
	struct LFIContext *ctx; /* core API: the context it is called in */
	uint64_t timeout;       /* ns, 0: none */
	char *signature;
	size_t nargs;
	bool variadic;
	struct Kind result;
	struct Kind *kinds;
};

extern PyTypeObject *function_type;

/* Free its LFIFn: the box goes. */
void function_close(struct Function *function);

/* Of a callback that may still be registered. 0, or -1 with an exception. */
int callback_take_back(struct Sandbox *sandbox, PyObject *callback);

/* Register in a clone what the snapshot had. 0, or -1 with an exception. */
int callbacks_clone(struct Sandbox *sandbox);

int native_add_types(PyObject *module);
int sandbox_add_type(PyObject *module);
int pointer_add_type(PyObject *module);
int function_add_type(PyObject *module);
int view_add_type(PyObject *module);
int callback_add_type(PyObject *module);

/* ---- For the SWIG interface ---- */

PyObject *native_sandbox(
    struct LFIBox *box, struct LFILinuxProc *proc, struct LFILinuxThread *thread, PyObject *keep, PyObject *from);
PyObject *native_register(
    PyObject *sandbox, const char *signature, PyObject *result, PyObject *kinds, PyObject *callable);
PyObject *native_unregister(PyObject *sandbox, PyObject *token);
PyObject *native_ctx_run(PyObject *sandbox, struct LFIContext *ctx, unsigned long long address, PyObject *handler,
    PyObject *handler_arg, double timeout);
PyObject *native_thread_run(PyObject *sandbox, struct LFILinuxThread *thread, double timeout, bool library);
void native_core_handler(struct LFIContext *ctx);

#endif
