/* SPDX-License-Identifier: MIT */
/*
 * Pointers into a sandbox. They are no numbers: what is behind one is read and written by checked copies only, and one
 * of another sandbox, or of before a reset, is refused.
 */
#include "native.h"

#include <string.h>

PyTypeObject *pointer_type;

static PyObject *pointer_class;

PyObject *
native_set_pointer_class(PyObject *cls)
{
	Py_INCREF(cls);
	Py_XDECREF(pointer_class);
	pointer_class = cls;
	Py_RETURN_NONE;
}

int
pointer_check(struct Pointer *pointer, struct Sandbox *sandbox)
{
	if (sandbox_check(pointer->sandbox) < 0)
		return -1;
	if (sandbox && pointer->sandbox != sandbox) {
		native_fail(LFI_ERR_INVALID, "the pointer is of another sandbox");
		return -1;
	}
	if (pointer->serial != pointer->sandbox->serial) {
		native_fail(LFI_ERR_INVALID, "the pointer is from before the sandbox was reset");
		return -1;
	}
	return 0;
}

static PyObject *
make(PyTypeObject *type, struct Sandbox *sandbox, uint64_t address, PyObject *target)
{
	allocfunc alloc = (allocfunc) PyType_GetSlot(type, Py_tp_alloc);
	struct Pointer *pointer = (struct Pointer *) alloc(type, 0);

	if (!pointer)
		return NULL;
	pointer->sandbox = (struct Sandbox *) Py_NewRef((PyObject *) sandbox);
	/* Of both forms that code may hold, the offset. */
	pointer->address = (uint32_t) address;
	pointer->serial = sandbox->serial;
	pointer->target = Py_NewRef(target);
	return (PyObject *) pointer;
}

/* NULL is None. */
PyObject *
pointer_make(struct Sandbox *sandbox, uint64_t address, PyObject *target)
{
	if (!address)
		Py_RETURN_NONE;
	return make(pointer_class ? (PyTypeObject *) pointer_class : pointer_type, sandbox, address, target);
}

static PyObject *
pointer_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
	PyObject *sandbox, *target;
	unsigned long long address;

	if (keywords && PyDict_Size(keywords)) {
		PyErr_SetString(PyExc_TypeError, "a pointer takes no keywords");
		return NULL;
	}
	if (!PyArg_ParseTuple(args, "O!KO", sandbox_type, &sandbox, &address, &target))
		return NULL;
	return make(type, (struct Sandbox *) sandbox, address, target);
}

/* The offset, once the pointer was checked: for the methods of lfi.Pointer. */
static PyObject *
pointer_offset(struct Pointer *pointer, PyObject *unused)
{
	(void) unused;
	if (pointer_check(pointer, NULL) < 0)
		return NULL;
	return PyLong_FromUnsignedLongLong(pointer->address);
}

static PyObject *
pointer_hash_parts(struct Pointer *pointer, PyObject *unused)
{
	(void) unused;
	return Py_BuildValue("KK", (unsigned long long) pointer->serial, (unsigned long long) pointer->address);
}

static PyObject *
pointer_get(struct Pointer *pointer, void *what)
{
	return Py_NewRef(what ? pointer->target : (PyObject *) pointer->sandbox);
}

static int
pointer_traverse(struct Pointer *pointer, visitproc visit, void *arg)
{
	Py_VISIT(Py_TYPE(pointer));
	Py_VISIT(pointer->sandbox);
	Py_VISIT(pointer->target);
	return 0;
}

static int
pointer_clear(struct Pointer *pointer)
{
	Py_CLEAR(pointer->target);
	return 0;
}

static void
pointer_dealloc(struct Pointer *pointer)
{
	PyTypeObject *type = Py_TYPE(pointer);
	freefunc release = (freefunc) PyType_GetSlot(type, Py_tp_free);

	PyObject_GC_UnTrack(pointer);
	Py_CLEAR(pointer->target);
	Py_CLEAR(pointer->sandbox);
	release(pointer);
	Py_DECREF(type);
}

static PyMethodDef pointer_methods[] = {
    {"_offset", (PyCFunction) pointer_offset, METH_NOARGS, NULL},
    {"_parts", (PyCFunction) pointer_hash_parts, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef pointer_getset[] = {
    {"_sandbox", (getter) pointer_get, NULL, NULL, NULL},
    {"_target", (getter) pointer_get, NULL, NULL, (void *) 1},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot pointer_slots[] = {
    {Py_tp_new, pointer_new},
    {Py_tp_dealloc, pointer_dealloc},
    {Py_tp_traverse, pointer_traverse},
    {Py_tp_clear, pointer_clear},
    {Py_tp_methods, pointer_methods},
    {Py_tp_getset, pointer_getset},
    {0, NULL},
};

static PyType_Spec pointer_spec = {"lfi._native.PointerBase", sizeof(struct Pointer), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, pointer_slots};

int
pointer_add_type(PyObject *module)
{
	PyObject *type = PyType_FromSpec(&pointer_spec);

	pointer_type = (PyTypeObject *) type;
	return type ? PyModule_AddObjectRef(module, "PointerBase", type) : -1;
}
