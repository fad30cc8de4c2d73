/* SPDX-License-Identifier: MIT */
/* Sandboxes as Python objects: who is inside, who has views, and when they go. */
#include "native.h"

#include <string.h>

PyTypeObject *sandbox_type;

/* The GIL is held. */
static uint64_t serials;
static struct Sandbox *all;

struct Sandbox *
sandbox_of(const struct LFIBox *box)
{
	struct Sandbox *sandbox = all;

	while (sandbox && sandbox->box != box)
		sandbox = sandbox->next;
	return sandbox;
}

int
sandbox_check(struct Sandbox *sandbox)
{
	if (sandbox->box && !sandbox->closing)
		return 0;
	native_fail(LFI_ERR_INVALID, "the sandbox is closed");
	return -1;
}

/* ---- Contexts ---- */

/* A context of this thread in the sandbox (or life of one) that the serial names. */
struct Slot {
	uint64_t serial;
	struct LFIContext *ctx;
};

/* Contexts that fall out of it are made again; liblfi frees them when the thread ends. */
enum { SLOTS = 256 };
static __thread struct Slot slots[SLOTS];

struct LFIContext **
sandbox_context(struct Sandbox *sandbox)
{
	struct Slot *slot;

	if (sandbox->owner == PyThread_get_thread_ident() && sandbox->primary)
		return &sandbox->primary;
	slot = &slots[sandbox->serial % SLOTS];
	if (slot->serial == sandbox->serial && slot->ctx)
		return &slot->ctx;
	slot->ctx = lfi_ctx_clone(sandbox->box);
	if (!slot->ctx) {
		native_raise();
		return NULL;
	}
	slot->serial = sandbox->serial;
	return &slot->ctx;
}

/* ---- Closing ---- */

/* I1: nobody is inside, no view is left. Ends the threads that the program made, which may wait for the GIL. */
static void
free_box(struct Sandbox *sandbox)
{
	struct LFIBox *box = sandbox->box;
	struct LFILinuxProc *proc = sandbox->proc;
	PyThreadState *state;

	if (!box)
		return;
	sandbox->box = NULL;
	sandbox->proc = NULL;
	sandbox->primary = NULL;
	*sandbox->link = sandbox->next;
	if (sandbox->next)
		sandbox->next->link = sandbox->link;
	while (sandbox->functions)
		function_close(sandbox->functions);
	state = PyEval_SaveThread();
	if (proc)
		lfi_proc_free(proc);
	else
		lfi_box_free(box);
	gil_restore(state);
}

void
sandbox_hold(struct Sandbox *sandbox)
{
	Py_INCREF(sandbox);
	sandbox->active++;
}

void
sandbox_release(struct Sandbox *sandbox)
{
	sandbox->active--;
	if (sandbox->closing && sandbox->active == 0 && sandbox->pins == 0)
		free_box(sandbox);
	Py_DECREF(sandbox);
}

/* -1 and a BusyError while a thread is inside. */
static int
check_idle(const struct Sandbox *sandbox)
{
	if (!sandbox->active)
		return 0;
	native_fail(LFI_ERR_BUSY, "%d calls are still in the sandbox", sandbox->active);
	return -1;
}

static PyObject *
sandbox_close(struct Sandbox *sandbox, PyObject *unused)
{
	(void) unused;
	if (check_idle(sandbox) < 0)
		return NULL;
	sandbox->closing = true;
	if (sandbox->pins == 0)
		free_box(sandbox);
	Py_RETURN_NONE;
}

/* A snapshot is going to be made: the callbacks so far are its. */
static PyObject *
sandbox_freeze(struct Sandbox *sandbox, PyObject *unused)
{
	(void) unused;
	sandbox->nkept = sandbox->ncallbacks;
	Py_RETURN_NONE;
}

/*
 * Those since the snapshot. liblfi keeps functions with a signature over a reset, so they are taken back before it; the
 * structs go after it, when nobody can be in them.
 */
static int
take_back_callbacks(struct Sandbox *sandbox)
{
	for (size_t i = sandbox->nkept; i < sandbox->ncallbacks; i++)
		if (callback_take_back(sandbox, sandbox->callbacks[i]) < 0)
			return -1;
	return 0;
}

static void
drop_callbacks(struct Sandbox *sandbox)
{
	while (sandbox->ncallbacks > sandbox->nkept)
		Py_DECREF(sandbox->callbacks[--sandbox->ncallbacks]);
}

/* Back to the snapshot. */
static PyObject *
sandbox_reset(struct Sandbox *sandbox, PyObject *unused)
{
	PyThreadState *state;
	int r;

	(void) unused;
	if (sandbox_check(sandbox) < 0 || check_idle(sandbox) < 0)
		return NULL;
	if (sandbox->pins) {
		native_fail(LFI_ERR_BUSY, "%d views of the sandbox's memory are still alive", sandbox->pins);
		return NULL;
	}
	if (take_back_callbacks(sandbox) < 0)
		return NULL;
	sandbox->serial = ++serials;
	sandbox_hold(sandbox);
	state = PyEval_SaveThread();
	r = lfi_proc_reset(sandbox->proc);
	gil_restore(state);
	if (r < 0)
		native_raise();
	else
		drop_callbacks(sandbox);
	sandbox_release(sandbox);
	if (r < 0)
		return NULL;
	Py_RETURN_NONE;
}

/* The calling thread uses the process's first context from now on. */
static PyObject *
sandbox_adopt(struct Sandbox *sandbox, PyObject *unused)
{
	(void) unused;
	if (sandbox_check(sandbox) < 0 || check_idle(sandbox) < 0)
		return NULL;
	sandbox->owner = PyThread_get_thread_ident();
	Py_RETURN_NONE;
}

/* All entries that are pending; with a token, also that of the first thread that is to come. From any thread. */
static PyObject *
sandbox_interrupt(struct Sandbox *sandbox, PyObject *args)
{
	unsigned long long token = 0;

	if (!PyArg_ParseTuple(args, "|K", &token))
		return NULL;
	if (!sandbox->box)
		Py_RETURN_NONE;
	if (token && sandbox->primary && lfi_ctx_interrupt(sandbox->primary, token) < 0 &&
	    lfi_errno() != LFI_ERR_NOTFOUND)
		return native_raise();
	if (lfi_box_interrupt(sandbox->box) < 0)
		return native_raise();
	Py_RETURN_NONE;
}

/* Of the first thread's pending entry, or of its next one. */
static PyObject *
sandbox_token(struct Sandbox *sandbox, PyObject *unused)
{
	(void) unused;
	if (sandbox_check(sandbox) < 0)
		return NULL;
	return PyLong_FromUnsignedLongLong(sandbox->primary ? lfi_ctx_token(sandbox->primary) : 0);
}

/* ---- Copies ---- */

/* Smaller ones are made with the GIL. */
enum { LARGE = 16384 };

static int
copy(struct Sandbox *sandbox, uint64_t address, void *bytes, size_t size, bool out)
{
	PyThreadState *state = NULL;
	struct LFIBox *box = sandbox->box;
	int r;

	sandbox_hold(sandbox);
	if (size >= LARGE)
		state = PyEval_SaveThread();
	r = out ? lfi_box_copyfm(box, bytes, address, size) : lfi_box_copyto(box, address, bytes, size);
	if (state)
		gil_restore(state);
	if (r < 0)
		native_raise();
	sandbox_release(sandbox);
	return r;
}

static PyObject *
sandbox_read(struct Sandbox *sandbox, PyObject *args)
{
	unsigned long long address;
	Py_ssize_t size;
	PyObject *bytes;

	if (!PyArg_ParseTuple(args, "Kn", &address, &size) || sandbox_check(sandbox) < 0)
		return NULL;
	if (size < 0)
		return PyErr_Format(PyExc_ValueError, "%zd bytes cannot be read", size);
	/* Before there is room for them. */
	if (!lfi_box_ptr(sandbox->box, address, (size_t) size))
		return native_raise();
	bytes = PyBytes_FromStringAndSize(NULL, size);
	if (bytes && copy(sandbox, address, PyBytes_AsString(bytes), (size_t) size, true) < 0)
		Py_CLEAR(bytes);
	return bytes;
}

static PyObject *
copy_buffer(struct Sandbox *sandbox, PyObject *args, bool out)
{
	unsigned long long address;
	PyObject *object;
	Py_buffer view;
	int r;

	if (!PyArg_ParseTuple(args, "KO", &address, &object) || sandbox_check(sandbox) < 0)
		return NULL;
	if (PyObject_GetBuffer(object, &view, out ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0)
		return NULL;
	r = copy(sandbox, address, view.buf, (size_t) view.len, out);
	PyBuffer_Release(&view);
	if (r < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *
sandbox_read_into(struct Sandbox *sandbox, PyObject *args)
{
	return copy_buffer(sandbox, args, true);
}

static PyObject *
sandbox_write(struct Sandbox *sandbox, PyObject *args)
{
	return copy_buffer(sandbox, args, false);
}

/* A NUL-terminated string of at most `most` bytes, without the NUL. */
static PyObject *
sandbox_string(struct Sandbox *sandbox, PyObject *args)
{
	unsigned long long address;
	Py_ssize_t most;
	ssize_t length;
	PyObject *bytes;
	char *room, small[256];

	if (!PyArg_ParseTuple(args, "Kn", &address, &most) || sandbox_check(sandbox) < 0)
		return NULL;
	if (most < 0 || (uint64_t) most > (uint64_t) 1 << 32) {
		PyErr_Format(PyExc_ValueError, "a string in a sandbox has no %zd bytes", most);
		return NULL;
	}
	length = lfi_box_copystr(
	    sandbox->box, small, address, most + 1 < (Py_ssize_t) sizeof small ? (size_t) most + 1 : sizeof small);
	if (length >= 0)
		return PyBytes_FromStringAndSize(small, length);
	if (most + 1 <= (Py_ssize_t) sizeof small || lfi_errno() != LFI_ERR_RANGE)
		return native_raise();
	room = PyMem_Malloc((size_t) most + 1);
	if (!room)
		return PyErr_NoMemory();
	length = lfi_box_copystr(sandbox->box, room, address, (size_t) most + 1);
	bytes = length < 0 ? native_raise() : PyBytes_FromStringAndSize(room, length);
	PyMem_Free(room);
	return bytes;
}

/* ---- Mappings ---- */

static PyObject *
sandbox_map(struct Sandbox *sandbox, PyObject *args)
{
	Py_ssize_t size;
	lfiptr at;

	if (!PyArg_ParseTuple(args, "n", &size) || sandbox_check(sandbox) < 0)
		return NULL;
	if (size <= 0) {
		PyErr_Format(PyExc_ValueError, "%zd bytes cannot be mapped", size);
		return NULL;
	}
	at = lfi_box_mapany(
	    sandbox->box, (size_t) size, LFI_PROT_READ | LFI_PROT_WRITE, LFI_MAP_PRIVATE | LFI_MAP_ANONYMOUS, -1, 0);
	if (at == (lfiptr) -1)
		return native_raise();
	return PyLong_FromUnsignedLongLong((uint32_t) at);
}

static PyObject *
sandbox_unmap(struct Sandbox *sandbox, PyObject *args)
{
	unsigned long long address;
	Py_ssize_t size;

	if (!PyArg_ParseTuple(args, "Kn", &address, &size) || sandbox_check(sandbox) < 0)
		return NULL;
	if (lfi_box_munmap(sandbox->box, address, (size_t) size) < 0)
		return native_raise();
	Py_RETURN_NONE;
}

/* Address of a symbol, as an offset; None when there is none. */
static PyObject *
sandbox_symbol(struct Sandbox *sandbox, PyObject *args)
{
	const char *name;
	lfiptr address;

	if (!PyArg_ParseTuple(args, "s", &name) || sandbox_check(sandbox) < 0)
		return NULL;
	if (!sandbox->proc) {
		native_fail(LFI_ERR_INVALID, "the sandbox has no program");
		return NULL;
	}
	address = lfi_proc_sym(sandbox->proc, name);
	if (!address)
		Py_RETURN_NONE;
	return PyLong_FromUnsignedLongLong((uint32_t) address);
}

static PyObject *
sandbox_stats(struct Sandbox *sandbox, PyObject *unused)
{
	struct LFIBoxStats stats;

	(void) unused;
	if (sandbox_check(sandbox) < 0)
		return NULL;
	stats = lfi_box_stats(sandbox->box);
	return Py_BuildValue("KKKKKKKI", stats.mapped, stats.mapped_peak, stats.resident, stats.calls,
	    stats.runtime_calls, stats.faults, stats.cpu_ns, stats.contexts);
}

static PyObject *
sandbox_set_limits(struct Sandbox *sandbox, PyObject *args)
{
	unsigned long long mapped, cpu_ns;
	unsigned threads, files;
	struct LFILimits limits = {0};

	if (!PyArg_ParseTuple(args, "KKII", &mapped, &cpu_ns, &threads, &files) || sandbox_check(sandbox) < 0)
		return NULL;
	limits.mapped = mapped;
	limits.cpu_ns = cpu_ns;
	limits.threads = threads;
	limits.files = files;
	if (lfi_box_set_limits(sandbox->box, limits) < 0)
		return native_raise();
	Py_RETURN_NONE;
}

static PyObject *
sandbox_get(struct Sandbox *sandbox, void *what)
{
	switch ((intptr_t) what) {
	case 0:
		return PyBool_FromLong(!sandbox->box || sandbox->closing);
	case 1:
		return PyLong_FromLong(sandbox->active);
	case 2:
		return PyLong_FromLong(sandbox->pins);
	default:
		return PyLong_FromUnsignedLongLong(sandbox->serial);
	}
}

/* ---- The type ---- */

static int
sandbox_traverse(struct Sandbox *sandbox, visitproc visit, void *arg)
{
	Py_VISIT(Py_TYPE(sandbox));
	Py_VISIT(sandbox->keep);
	for (size_t i = 0; i < sandbox->ncallbacks; i++)
		Py_VISIT(sandbox->callbacks[i]);
	return 0;
}

/* I2: the box goes first, with the threads that the program made, then what they call. */
static int
sandbox_clear(struct Sandbox *sandbox)
{
	PyObject **callbacks = sandbox->callbacks;
	size_t n = sandbox->ncallbacks;

	if (sandbox->active || sandbox->pins)
		return 0;
	sandbox->closing = true;
	free_box(sandbox);
	sandbox->callbacks = NULL;
	sandbox->ncallbacks = 0;
	for (size_t i = 0; i < n; i++)
		Py_DECREF(callbacks[i]);
	PyMem_Free(callbacks);
	Py_CLEAR(sandbox->keep);
	return 0;
}

static void
sandbox_dealloc(struct Sandbox *sandbox)
{
	PyTypeObject *type = Py_TYPE(sandbox);

	PyObject_GC_UnTrack(sandbox);
	sandbox_clear(sandbox);
	PyObject_GC_Del(sandbox);
	Py_DECREF(type);
}

/* Callbacks that clones share with what was frozen. */
static int
copy_callbacks(struct Sandbox *sandbox, const struct Sandbox *from)
{
	if (from->ncallbacks == 0)
		return 0;
	sandbox->callbacks = PyMem_Malloc(from->ncallbacks * sizeof *sandbox->callbacks);
	if (!sandbox->callbacks) {
		PyErr_NoMemory();
		return -1;
	}
	for (size_t i = 0; i < from->ncallbacks; i++)
		sandbox->callbacks[i] = Py_NewRef(from->callbacks[i]);
	sandbox->ncallbacks = sandbox->nkept = from->ncallbacks;
	return 0;
}

PyObject *
native_sandbox(
    struct LFIBox *box, struct LFILinuxProc *proc, struct LFILinuxThread *thread, PyObject *keep, PyObject *from)
{
	struct Sandbox *sandbox;
	struct LFIBoxInfo info;

	if (proc)
		box = lfi_proc_box(proc);
	info = lfi_box_info(box);
	if (!info.base)
		return native_raise();
	sandbox = PyObject_GC_New(struct Sandbox, sandbox_type);
	if (!sandbox)
		return NULL;
	memset((char *) sandbox + sizeof(PyObject), 0, sizeof *sandbox - sizeof(PyObject));
	sandbox->serial = ++serials;
	sandbox->base = info.base;
	sandbox->keep = Py_NewRef(keep);
	if (from != Py_None && copy_callbacks(sandbox, (struct Sandbox *) from) < 0) {
		Py_DECREF(sandbox);
		return NULL;
	}
	/* From here on it owns the box. */
	sandbox->box = box;
	sandbox->proc = proc;
	sandbox->next = all;
	sandbox->link = &all;
	if (all)
		all->link = &sandbox->next;
	all = sandbox;
	if (thread) {
		sandbox->primary = lfi_thread_ctx(thread);
		sandbox->owner = PyThread_get_thread_ident();
	}
	PyObject_GC_Track(sandbox);
	if (from != Py_None && callbacks_clone(sandbox) < 0)
		Py_CLEAR(sandbox);
	return (PyObject *) sandbox;
}

static PyMethodDef sandbox_methods[] = {
    {"close", (PyCFunction) sandbox_close, METH_NOARGS, NULL},
    {"freeze", (PyCFunction) sandbox_freeze, METH_NOARGS, NULL},
    {"reset", (PyCFunction) sandbox_reset, METH_NOARGS, NULL},
    {"adopt", (PyCFunction) sandbox_adopt, METH_NOARGS, NULL},
    {"interrupt", (PyCFunction) sandbox_interrupt, METH_VARARGS, NULL},
    {"token", (PyCFunction) sandbox_token, METH_NOARGS, NULL},
    {"read", (PyCFunction) sandbox_read, METH_VARARGS, NULL},
    {"read_into", (PyCFunction) sandbox_read_into, METH_VARARGS, NULL},
    {"write", (PyCFunction) sandbox_write, METH_VARARGS, NULL},
    {"string", (PyCFunction) sandbox_string, METH_VARARGS, NULL},
    {"map", (PyCFunction) sandbox_map, METH_VARARGS, NULL},
    {"unmap", (PyCFunction) sandbox_unmap, METH_VARARGS, NULL},
    {"symbol", (PyCFunction) sandbox_symbol, METH_VARARGS, NULL},
    {"stats", (PyCFunction) sandbox_stats, METH_NOARGS, NULL},
    {"set_limits", (PyCFunction) sandbox_set_limits, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef sandbox_getset[] = {
    {"closed", (getter) sandbox_get, NULL, NULL, (void *) 0},
    {"active", (getter) sandbox_get, NULL, NULL, (void *) 1},
    {"pins", (getter) sandbox_get, NULL, NULL, (void *) 2},
    {"serial", (getter) sandbox_get, NULL, NULL, (void *) 3},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot sandbox_slots[] = {
    {Py_tp_dealloc, sandbox_dealloc},
    {Py_tp_traverse, sandbox_traverse},
    {Py_tp_clear, sandbox_clear},
    {Py_tp_methods, sandbox_methods},
    {Py_tp_getset, sandbox_getset},
    {0, NULL},
};

static PyType_Spec sandbox_spec = {"lfi._native.Sandbox", sizeof(struct Sandbox), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, sandbox_slots};

int
sandbox_add_type(PyObject *module)
{
	PyObject *type = PyType_FromSpec(&sandbox_spec);

	sandbox_type = (PyTypeObject *) type;
	return type ? PyModule_AddObjectRef(module, "Sandbox", type) : -1;
}
