/* SPDX-License-Identifier: MIT */
/* Runs: of a program, of a library up to the point where it is ready, of a context of the core API with a handler. */
#include "native.h"

static uint64_t
nanoseconds(double seconds)
{
	if (!(seconds > 0))
		return 0;
	return seconds > 1e9 ? (uint64_t) 1e18 : seconds < 1e-9 ? 1 : (uint64_t) (seconds * 1e9);
}

/* Run a program (its status), or make a library of it (0). */
PyObject *
native_thread_run(PyObject *object, struct LFILinuxThread *thread, double timeout, bool library)
{
	struct Sandbox *sandbox = (struct Sandbox *) object;
	struct LFIContext *ctx = lfi_thread_ctx(thread);
	struct LFIError error;
	struct Entry entry;
	int r;

	if (sandbox_check(sandbox) < 0)
		return NULL;
	if (!ctx || (timeout > 0 && lfi_ctx_deadline(ctx, nanoseconds(timeout)) < 0))
		return native_raise();
	entry.handler = NULL;
	entry_begin(&entry, sandbox, ctx);
	r = library ? lfi_linux_init_clone(thread) : lfi_thread_run(thread);
	if (r < 0)
		lfi_error_get(&error);
	if (entry_end(&entry) < 0)
		return NULL;
	return r < 0 ? native_raise_ended(&error, NULL, sandbox->proc) : PyLong_FromLong(r);
}

/* ---- The core API ---- */

/* Serves the runtime calls of all engines of the core API: the entry says which Python function. */
void
native_core_handler(struct LFIContext *ctx)
{
	struct Entry *entry = entry_current();
	PyObject *result = NULL;

	if (!entry) {
		lfi_ctx_exit(ctx, -1);
		return;
	}
	python_enter(&entry);
	if (entry->handler && entry->handler != Py_None)
		result = PyObject_CallFunctionObjArgs(entry->handler, entry->handler_arg, NULL);
	else
		PyErr_SetString(
		    PyExc_RuntimeError, "sandboxed code made a runtime call, and the engine has no handler");
	if (!result)
		python_failed(entry, ctx, Py_None);
	Py_XDECREF(result);
	python_leave(entry, 0);
}

PyObject *
native_ctx_run(PyObject *object, struct LFIContext *ctx, unsigned long long address, PyObject *handler,
    PyObject *handler_arg, double timeout)
{
	struct Sandbox *sandbox = (struct Sandbox *) object;
	struct LFIError error;
	struct Entry entry;
	int r;

	if (sandbox_check(sandbox) < 0)
		return NULL;
	if (timeout > 0 && lfi_ctx_deadline(ctx, nanoseconds(timeout)) < 0)
		return native_raise();
	entry.handler = handler;
	entry.handler_arg = handler_arg;
	entry_begin(&entry, sandbox, ctx);
	lfi_error_clear();
	r = lfi_ctx_run(ctx, address);
	/* A handler may have given -1 to lfi_ctx_exit: then there is no error. */
	lfi_error_get(&error);
	if (entry_end(&entry) < 0)
		return NULL;
	return r == -1 && error.code != LFI_OK ? native_raise_ended(&error, ctx, NULL) : PyLong_FromLong(r);
}

/* ---- The module ---- */

int
native_add_types(PyObject *module)
{
	return entry_init() < 0 || sandbox_add_type(module) < 0 || pointer_add_type(module) < 0 ||
		       function_add_type(module) < 0 || callback_add_type(module) < 0 || view_add_type(module) < 0
		   ? -1
		   : 0;
}
