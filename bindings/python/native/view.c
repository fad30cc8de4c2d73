/* SPDX-License-Identifier: MIT */
/*
 * Memory of a sandbox as a buffer, without a copy. While anything looks at it the pages are pinned: the sandbox cannot
 * take them away, and closing it keeps them until the last view is gone.
 */
#include "native.h"

struct View {
	PyObject_HEAD struct Sandbox *sandbox;
	uint64_t address, serial;
	size_t size;
	int readonly;
	int exports;
	void *bytes; /* while exports > 0 */
};

static int
pin(struct View *view)
{
	struct Sandbox *sandbox = view->sandbox;
	static char nothing;

	if (sandbox_check(sandbox) < 0)
		return -1;
	if (view->serial != sandbox->serial) {
		native_fail(LFI_ERR_INVALID, "the memory is from before the sandbox was reset");
		return -1;
	}
	view->bytes = view->size ? lfi_box_pin(sandbox->box, view->address, view->size,
				       view->readonly ? LFI_PROT_READ : LFI_PROT_READ | LFI_PROT_WRITE)
				 : &nothing;
	if (!view->bytes)
		return native_raise(), -1;
	sandbox->pins++;
	return 0;
}

static void
unpin(struct View *view)
{
	struct Sandbox *sandbox = view->sandbox;

	if (view->size)
		lfi_box_unpin(sandbox->box, view->address, view->size);
	view->bytes = NULL;
	sandbox->pins--;
	/* The last one of a sandbox that was closed: it goes now. */
	if (sandbox->closing) {
		sandbox_hold(sandbox);
		sandbox_release(sandbox);
	}
}

static int
view_getbuffer(struct View *view, Py_buffer *buffer, int flags)
{
	buffer->obj = NULL;
	if (view->exports == 0 && pin(view) < 0)
		return -1;
	view->exports++;
	if (PyBuffer_FillInfo(buffer, (PyObject *) view, view->bytes, (Py_ssize_t) view->size, view->readonly, flags) ==
	    0)
		return 0;
	if (--view->exports == 0)
		unpin(view);
	return -1;
}

static void
view_releasebuffer(struct View *view, Py_buffer *buffer)
{
	(void) buffer;
	if (--view->exports == 0)
		unpin(view);
}

/* View(sandbox, address, size, readonly) */
static PyObject *
view_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
	unsigned long long address;
	PyObject *sandbox;
	struct View *view;
	Py_ssize_t size;
	int readonly;

	(void) keywords;
	if (!PyArg_ParseTuple(args, "O!Knp", sandbox_type, &sandbox, &address, &size, &readonly))
		return NULL;
	if (size < 0)
		return PyErr_Format(PyExc_ValueError, "a view has no %zd bytes", size);
	view = (struct View *) ((allocfunc) PyType_GetSlot(type, Py_tp_alloc))(type, 0);
	if (!view)
		return NULL;
	view->sandbox = (struct Sandbox *) Py_NewRef(sandbox);
	view->address = (uint32_t) address;
	view->serial = view->sandbox->serial;
	view->size = (size_t) size;
	view->readonly = readonly;
	return (PyObject *) view;
}

static void
view_dealloc(struct View *view)
{
	PyTypeObject *type = Py_TYPE(view);
	freefunc release = (freefunc) PyType_GetSlot(type, Py_tp_free);

	Py_CLEAR(view->sandbox);
	release(view);
	Py_DECREF(type);
}

static PyType_Slot view_slots[] = {
    {Py_tp_new, view_new},
    {Py_tp_dealloc, view_dealloc},
    {Py_bf_getbuffer, view_getbuffer},
    {Py_bf_releasebuffer, view_releasebuffer},
    {0, NULL},
};

static PyType_Spec view_spec = {"lfi._native.View", sizeof(struct View), 0, Py_TPFLAGS_DEFAULT, view_slots};

int
view_add_type(PyObject *module)
{
	PyObject *type = PyType_FromSpec(&view_spec);

	return type ? PyModule_AddObjectRef(module, "View", type) : -1;
}
