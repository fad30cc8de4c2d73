/* SPDX-License-Identifier: MIT */
/* Python callables that sandboxed code may call. What they get is hostile; what they raise ends the call. */
#include "native.h"

#include <stdlib.h>
#include <string.h>

static PyTypeObject *callback_type;

/* Each sandbox that it is registered in, and each clone of one, holds it: sandboxed code may call it that long. */
struct Callback {
	PyObject_HEAD PyObject *callable; /* NULL: taken back */
	uint32_t address; /* in the box where it was registered first, and in its clones; 0: taken back */
	char *signature;
	struct Kind result;
	size_t nargs;
	struct Kind *kinds;
};

/* ---- Being called ---- */

static PyObject *
arguments(const struct Callback *callback, struct Sandbox *sandbox, const union LFIValue *args)
{
	PyObject *tuple = PyTuple_New((Py_ssize_t) callback->nargs), *value;

	for (size_t i = 0; tuple && i < callback->nargs; i++) {
		value = value_to_python(&callback->kinds[i], sandbox, &args[i]);
		if (value)
			PyTuple_SetItem(tuple, (Py_ssize_t) i, value);
		else
			Py_CLEAR(tuple);
	}
	return tuple;
}

static int
put_result(const struct Callback *callback, struct Sandbox *sandbox, PyObject *value, union LFIValue *ret)
{
	union LFIValue made = {.u = 0};
	long double wide = 0;
	int r;

	if (callback->result.code == 'v')
		return 0;
	if (callback->result.code == 'D')
		made.p = &wide;
	r = value_from_python(&callback->result, sandbox, value, &made, 0);
	if (r == 1)
		PyErr_Format(PyExc_TypeError, "a callback returned %R, which is not of its result's type", value);
	if (r != 0)
		return -1;
	if (callback->result.code == 'D')
		*(long double *) ret->p = wide;
	else if (callback->result.code == '{')
		memcpy(ret->p, made.p, callback->result.size);
	else
		*ret = made;
	return 0;
}

/* The sandbox that calls: of a clone, its own. */
static struct Sandbox *
caller(const struct Entry *entry, struct LFIContext *ctx)
{
	struct LFIBox *box = lfi_ctx_box(ctx);

	for (; entry; entry = entry->up)
		if (entry->sandbox->box == box)
			return entry->sandbox;
	return sandbox_of(box);
}

static int
call(struct Callback *callback, struct Entry *entry, struct LFIContext *ctx, const union LFIValue *args,
    union LFIValue *ret)
{
	struct Sandbox *sandbox = caller(entry, ctx);
	PyObject *callable = callback->callable, *tuple, *value;
	int r;

	if (!callable || !sandbox) {
		PyErr_SetString(PyExc_RuntimeError, "sandboxed code called a callback that was taken back");
		return -1;
	}
	tuple = arguments(callback, sandbox, args);
	if (!tuple)
		return -1;
	Py_INCREF(callable);
	value = PyObject_CallObject(callable, tuple);
	Py_DECREF(tuple);
	Py_DECREF(callable);
	r = value ? put_result(callback, sandbox, value, ret) : -1;
	Py_XDECREF(value);
	return r;
}

/* Called by liblfi, without the GIL. */
static void
host_function(struct LFIContext *ctx, void *user, const union LFIValue *args, union LFIValue *ret)
{
	struct Callback *callback = user;
	struct Entry *entry;
	int state = python_enter(&entry);

	if (call(callback, entry, ctx, args, ret) < 0)
		python_failed(entry, ctx, callback->callable ? callback->callable : Py_None);
	python_leave(entry, state);
}

/* ---- Registering ---- */

static int
keep(struct Sandbox *sandbox, PyObject *callback)
{
	PyObject **more = PyMem_Realloc(sandbox->callbacks, (sandbox->ncallbacks + 1) * sizeof *more);

	if (!more)
		return PyErr_NoMemory(), -1;
	sandbox->callbacks = more;
	sandbox->callbacks[sandbox->ncallbacks++] = Py_NewRef(callback);
	return 0;
}

static int
parse(struct Callback *callback, PyObject *result, PyObject *kinds)
{
	Py_ssize_t n = PyTuple_Check(kinds) ? PyTuple_Size(kinds) : -1;

	if (n < 0 || n > VALUES_MAX) {
		PyErr_Format(PyExc_TypeError, "a callback has at most %d parameters", VALUES_MAX);
		return -1;
	}
	callback->kinds = PyMem_Calloc((size_t) n + 1, sizeof *callback->kinds);
	if (!callback->kinds)
		return PyErr_NoMemory(), -1;
	if (kind_parse(&callback->result, result) < 0)
		return -1;
	for (Py_ssize_t i = 0; i < n; i++) {
		if (kind_parse(&callback->kinds[i], PyTuple_GetItem(kinds, i)) < 0)
			return -1;
		callback->nargs++;
	}
	return 0;
}

static struct Callback *
make(const char *signature, PyObject *result, PyObject *kinds, PyObject *callable)
{
	struct Callback *callback = PyObject_GC_New(struct Callback, callback_type);

	if (!callback)
		return NULL;
	memset((char *) callback + sizeof(PyObject), 0, sizeof *callback - sizeof(PyObject));
	callback->callable = Py_NewRef(callable);
	PyObject_GC_Track(callback);
	callback->signature = PyMem_Malloc(strlen(signature) + 1);
	if (callback->signature)
		strcpy(callback->signature, signature);
	else
		PyErr_NoMemory();
	if (!callback->signature || parse(callback, result, kinds) < 0) {
		Py_DECREF(callback);
		return NULL;
	}
	return callback;
}

/* (address, token for native_unregister). */
PyObject *
native_register(PyObject *object, const char *signature, PyObject *result, PyObject *kinds, PyObject *callable)
{
	struct Sandbox *sandbox = (struct Sandbox *) object;
	struct Callback *callback;
	void *address = NULL;

	if (sandbox_check(sandbox) < 0)
		return NULL;
	callback = make(signature, result, kinds, callable);
	if (!callback)
		return NULL;
	if (keep(sandbox, (PyObject *) callback) == 0) {
		if (lfi_box_cbinit(sandbox->box))
			address = lfi_box_register_fn(sandbox->box, signature, host_function, callback);
		callback->address = (uint32_t) (uintptr_t) address;
		if (!address) {
			Py_CLEAR(callback->callable);
			native_raise();
		}
	}
	Py_DECREF(callback);
	return address ? Py_BuildValue("KO", (unsigned long long) (uint32_t) (uintptr_t) address, callback) : NULL;
}

/* The struct stays, as calls may be in it. 0, or -1 with an exception. */
int
callback_take_back(struct Sandbox *sandbox, PyObject *object)
{
	struct Callback *callback = (struct Callback *) object;
	uint32_t address = callback->address;

	Py_CLEAR(callback->callable);
	callback->address = 0;
	if (!address || !sandbox->box || sandbox->closing ||
	    lfi_box_unregister_fn(sandbox->box, (void *) (uintptr_t) address) == 0)
		return 0;
	native_raise();
	return -1;
}

PyObject *
native_unregister(PyObject *object, PyObject *token)
{
	if (!PyObject_TypeCheck(token, callback_type))
		return PyErr_Format(PyExc_TypeError, "%R is no callback", token);
	if (callback_take_back((struct Sandbox *) object, token) < 0)
		return NULL;
	Py_RETURN_NONE;
}

/* ---- Clones ---- */

static int
by_address(const void *a, const void *b)
{
	uint32_t first = (*(struct Callback *const *) a)->address, second = (*(struct Callback *const *) b)->address;

	return first < second ? -1 : first > second;
}

/*
 * liblfi takes the first entry that is free: those that had others before are taken for a moment, so that each callback
 * comes to where the frozen memory expects it.
 */
static int
put_at(struct Sandbox *sandbox, struct Callback *callback, PyObject *others)
{
	uint32_t address;
	void *got;

	do {
		got = lfi_box_register_fn(sandbox->box, callback->signature, host_function, callback);
		if (!got) {
			native_raise();
			return -1;
		}
		address = (uint32_t) (uintptr_t) got;
		if (address != callback->address) {
			PyObject *number = PyLong_FromUnsignedLong(address);
			int r = number ? PyList_Append(others, number) : -1;

			Py_XDECREF(number);
			if (r < 0)
				return -1;
		}
	} while (address < callback->address);
	if (address == callback->address)
		return 0;
	native_fail(LFI_ERR_UNSUPPORTED, "a callback of the snapshot was at %#x, which is not free in its clone",
	    callback->address);
	return -1;
}

int
callbacks_clone(struct Sandbox *sandbox)
{
	PyObject *others = PyList_New(0);
	int r = others ? 0 : -1;

	qsort(sandbox->callbacks, sandbox->ncallbacks, sizeof *sandbox->callbacks, by_address);
	if (r == 0 && sandbox->ncallbacks && !lfi_box_cbinit(sandbox->box))
		r = (native_raise(), -1);
	for (size_t i = 0; i < sandbox->ncallbacks && r == 0; i++)
		if (((struct Callback *) sandbox->callbacks[i])->address)
			r = put_at(sandbox, (struct Callback *) sandbox->callbacks[i], others);
	for (Py_ssize_t i = 0; others && i < PyList_Size(others); i++)
		lfi_box_unregister_fn(
		    sandbox->box, (void *) (uintptr_t) PyLong_AsUnsignedLong(PyList_GetItem(others, i)));
	Py_XDECREF(others);
	return r;
}

/* ---- The type ---- */

static int
callback_traverse(struct Callback *callback, visitproc visit, void *arg)
{
	Py_VISIT(Py_TYPE(callback));
	Py_VISIT(callback->callable);
	Py_VISIT(callback->result.what);
	for (size_t i = 0; i < callback->nargs; i++)
		Py_VISIT(callback->kinds[i].what);
	return 0;
}

static int
callback_clear(struct Callback *callback)
{
	Py_CLEAR(callback->callable);
	return 0;
}

static void
callback_dealloc(struct Callback *callback)
{
	PyTypeObject *type = Py_TYPE(callback);

	PyObject_GC_UnTrack(callback);
	Py_CLEAR(callback->callable);
	kind_clear(&callback->result);
	for (size_t i = 0; i < callback->nargs; i++)
		kind_clear(&callback->kinds[i]);
	PyMem_Free(callback->kinds);
	PyMem_Free(callback->signature);
	PyObject_GC_Del(callback);
	Py_DECREF(type);
}

static PyType_Slot callback_slots[] = {
    {Py_tp_dealloc, callback_dealloc},
    {Py_tp_traverse, callback_traverse},
    {Py_tp_clear, callback_clear},
    {0, NULL},
};

static PyType_Spec callback_spec = {"lfi._native.Callback", sizeof(struct Callback), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, callback_slots};

int
callback_add_type(PyObject *module)
{
	PyObject *type = PyType_FromSpec(&callback_spec);

	callback_type = (PyTypeObject *) type;
	return type ? PyModule_AddObjectRef(module, "Callback", type) : -1;
}
