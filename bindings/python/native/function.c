/* SPDX-License-Identifier: MIT */
/* Functions of a sandbox, called by vector. What is no number and no pointer goes the slow way, through Python. */
#include "native.h"

PyTypeObject *function_type;

/* What a call needs besides the values. */
struct Call {
	union LFIValue args[VALUES_MAX];
	union LFIValue result;
	long double wide[VALUES_MAX]; /* where long doubles are */
};

static void
link_function(struct Function *function)
{
	struct Function **head = &function->sandbox->functions;

	function->next = *head;
	function->link = head;
	if (*head)
		(*head)->link = &function->next;
	*head = function;
}

void
function_close(struct Function *function)
{
	if (!function->fn)
		return;
	lfi_fn_free(function->fn);
	function->fn = NULL;
	*function->link = function->next;
	if (function->next)
		function->next->link = function->link;
}

/* ---- Calling ---- */

static PyObject *
run(struct Function *function, struct Call *call, union LFIValue *args, uint64_t timeout)
{
	struct Sandbox *sandbox = function->sandbox;
	struct LFIContext **ctx = function->ctx ? &function->ctx : sandbox_context(sandbox), *used;
	struct Entry entry;
	struct LFIError error;
	int r;

	if (!ctx)
		return NULL;
	used = *ctx;
	if (timeout && lfi_ctx_deadline(used, timeout) < 0)
		return native_raise();
	entry.handler = NULL;
	entry_begin(&entry, sandbox, used);
	r = lfi_fn_call(function->fn, ctx, args, &call->result);
	if (r < 0)
		lfi_error_get(&error);
	if (entry_end(&entry) < 0)
		return NULL;
	return r < 0 ? native_raise_ended(&error, used, sandbox->proc)
		     : value_to_python(&function->result, sandbox, &call->result);
}

static int
fail_arity(struct Function *function, size_t nargs)
{
	PyErr_Format(PyExc_TypeError, "%U takes %s%zu argument%s, not %zu", function->name,
	    function->variadic ? "at least " : "", function->nargs, function->nargs == 1 ? "" : "s", nargs);
	return -1;
}

/* Seconds. 0 or -1. */
static int
parse_timeout(PyObject *object, uint64_t *timeout)
{
	double seconds;

	if (object == Py_None) {
		*timeout = 0;
		return 0;
	}
	seconds = PyFloat_AsDouble(object);
	if (seconds == -1.0 && PyErr_Occurred())
		return -1;
	if (!(seconds > 0) || seconds > 1e9) {
		PyErr_Format(PyExc_ValueError, "timeout=%R is no number of seconds above 0", object);
		return -1;
	}
	*timeout = (uint64_t) (seconds * 1e9);
	if (*timeout == 0)
		*timeout = 1;
	return 0;
}

/* 0, 1: the slow way; -1. `names` as in a call by vector. */
static int
take_keywords(struct Function *function, PyObject *const *values, PyObject *names, uint64_t *timeout)
{
	PyObject *name;

	*timeout = function->timeout;
	for (Py_ssize_t i = 0; names && i < PyTuple_Size(names); i++) {
		name = PyTuple_GetItem(names, i);
		if (PyUnicode_CompareWithASCIIString(name, "timeout") != 0) {
			PyErr_Format(PyExc_TypeError, "%U has no keyword %R (but timeout)", function->name, name);
			return -1;
		}
		if (parse_timeout(values[i], timeout) < 0)
			return -1;
	}
	return 0;
}

static const char *
name_of(struct Function *function)
{
	Py_ssize_t size;
	const char *name = PyUnicode_AsUTF8AndSize(function->name, &size);

	return name ? name : "?";
}

/* 0, 1: an argument that is converted in Python; -1. */
static int
convert(struct Function *function, PyObject *const *args, struct Call *call)
{
	for (size_t i = 0; i < function->nargs; i++) {
		int r;

		if (function->kinds[i].code == 'D')
			call->args[i].p = &call->wide[i];
		r = value_from_python(
		    &function->kinds[i], function->sandbox, args[i], &call->args[i], (Py_ssize_t) i + 1);
		if (r != 0)
			return r;
	}
	return 0;
}

static PyObject *
finish(struct Function *function, struct Call *call, uint64_t timeout)
{
	long double wide;
	void *room;
	PyObject *result;

	if (function->result.code == 'D') {
		call->result.p = &wide;
	} else if (function->result.code == '{') {
		call->result.p = PyMem_Calloc(1, function->result.size ? function->result.size : 1);
		if (!call->result.p)
			return PyErr_NoMemory();
	}
	room = function->result.code == '{' ? call->result.p : NULL;
	result = run(function, call, call->args, timeout);
	PyMem_Free(room);
	return result;
}

/* An OverflowError says which function, too. */
static void
name_the_function(struct Function *function)
{
	PyObject *type, *value, *trace, *text;

	if (!PyErr_ExceptionMatches(PyExc_OverflowError))
		return;
	PyErr_Fetch(&type, &value, &trace);
	text = value ? PyUnicode_FromFormat("%s: %S", name_of(function), value) : NULL;
	if (!text) {
		PyErr_Restore(type, value, trace);
		return;
	}
	PyErr_SetObject(PyExc_OverflowError, text);
	Py_DECREF(text);
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(trace);
}

static PyObject *
call_slow(struct Function *function, PyObject *const *args, size_t nargs, uint64_t timeout)
{
	PyObject *tuple, *result;

	if (!function->slow || function->slow == Py_None) {
		PyErr_Format(PyExc_TypeError, "%U: an argument has a type that cannot be passed", function->name);
		return NULL;
	}
	tuple = PyTuple_New((Py_ssize_t) nargs);
	if (!tuple)
		return NULL;
	for (size_t i = 0; i < nargs; i++)
		PyTuple_SetItem(tuple, (Py_ssize_t) i, Py_NewRef(args[i]));
	result = PyObject_CallFunction(function->slow, "OOd", function, tuple, (double) timeout / 1e9);
	Py_DECREF(tuple);
	return result;
}

static PyObject *
function_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
	struct Function *function = (struct Function *) self;
	size_t nargs = nargsf & ~VECTOR_OFFSET;
	struct Call call;
	uint64_t timeout;
	int r;

	if (sandbox_check(function->sandbox) < 0)
		return NULL;
	if (names) {
		if (take_keywords(function, args + nargs, names, &timeout) < 0)
			return NULL;
	} else {
		timeout = function->timeout;
	}
	if (nargs != function->nargs && (!function->variadic || nargs < function->nargs))
		return fail_arity(function, nargs), NULL;
	if (function->variadic)
		return call_slow(function, args, nargs, timeout);
	r = convert(function, args, &call);
	if (r == 1)
		return call_slow(function, args, nargs, timeout);
	if (r < 0) {
		name_the_function(function);
		return NULL;
	}
	return finish(function, &call, timeout);
}

static PyObject *
function_call(PyObject *self, PyObject *args, PyObject *keywords)
{
	PyObject *values[VALUES_MAX + 1], *names = NULL, *result, *timeout;
	Py_ssize_t n = PyTuple_Size(args);

	if (n > VALUES_MAX)
		return PyErr_Format(PyExc_TypeError, "%zd arguments are too many", n);
	for (Py_ssize_t i = 0; i < n; i++)
		values[i] = PyTuple_GetItem(args, i);
	if (keywords && PyDict_Size(keywords)) {
		timeout = PyDict_GetItemString(keywords, "timeout");
		if (!timeout || PyDict_Size(keywords) != 1)
			return PyErr_Format(
			    PyExc_TypeError, "%U has no keyword but timeout", ((struct Function *) self)->name);
		names = Py_BuildValue("(s)", "timeout");
		if (!names)
			return NULL;
		values[n] = timeout;
	}
	result = function_vectorcall(self, values, (size_t) n, names);
	Py_XDECREF(names);
	return result;
}

/* Of values that Python has converted: (args, timeout in seconds or 0). */
static PyObject *
function_direct(struct Function *function, PyObject *args)
{
	PyObject *tuple, *values[VALUES_MAX];
	struct Call call;
	double seconds;
	int r;

	if (!PyArg_ParseTuple(args, "O!d", &PyTuple_Type, &tuple, &seconds) || sandbox_check(function->sandbox) < 0)
		return NULL;
	if ((size_t) PyTuple_Size(tuple) != function->nargs)
		return fail_arity(function, (size_t) PyTuple_Size(tuple)), NULL;
	for (size_t i = 0; i < function->nargs; i++)
		values[i] = PyTuple_GetItem(tuple, (Py_ssize_t) i);
	r = convert(function, values, &call);
	if (r == 1)
		PyErr_Format(PyExc_TypeError, "%U: an argument has a type that cannot be passed", function->name);
	else if (r < 0)
		name_the_function(function);
	return r ? NULL : finish(function, &call, (uint64_t) (seconds * 1e9));
}

/* ---- Making ---- */

static int
parse_kinds(struct Function *function, PyObject *result, PyObject *kinds)
{
	Py_ssize_t n = PyTuple_Check(kinds) ? PyTuple_Size(kinds) : -1;

	if (n < 0 || n > VALUES_MAX) {
		PyErr_Format(PyExc_TypeError, "%U has more than %d parameters", function->name, VALUES_MAX);
		return -1;
	}
	function->kinds = PyMem_Calloc((size_t) n + 1, sizeof *function->kinds);
	if (!function->kinds)
		return PyErr_NoMemory(), -1;
	if (kind_parse(&function->result, result) < 0)
		return -1;
	for (Py_ssize_t i = 0; i < n; i++) {
		if (kind_parse(&function->kinds[i], PyTuple_GetItem(kinds, i)) < 0)
			return -1;
		function->nargs++;
	}
	return 0;
}

/* Function(sandbox, address, signature, result, kinds, name, spec, slow, variadic, ctx or None) */
static PyObject *
function_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
	PyObject *sandbox, *result, *kinds, *name, *spec, *slow;
	struct Function *function;
	unsigned long long address, ctx = 0;
	const char *signature;
	int variadic;

	(void) keywords;
	if (!PyArg_ParseTuple(args, "O!KsOOUOOpK", sandbox_type, &sandbox, &address, &signature, &result, &kinds, &name,
		&spec, &slow, &variadic, &ctx) ||
	    sandbox_check((struct Sandbox *) sandbox) < 0)
		return NULL;
	function = (struct Function *) ((allocfunc) PyType_GetSlot(type, Py_tp_alloc))(type, 0);
	if (!function)
		return NULL;
	function->vectorcall = (void *) function_vectorcall;
	function->sandbox = (struct Sandbox *) Py_NewRef(sandbox);
	function->name = Py_NewRef(name);
	function->spec = Py_NewRef(spec);
	function->slow = Py_NewRef(slow);
	function->variadic = variadic;
	function->ctx = (struct LFIContext *) (uintptr_t) ctx;
	if (parse_kinds(function, result, kinds) < 0) {
		Py_DECREF(function);
		return NULL;
	}
	function->fn = lfi_fn_new(function->sandbox->box, address, signature);
	if (!function->fn) {
		native_raise();
		Py_DECREF(function);
		return NULL;
	}
	link_function(function);
	return (PyObject *) function;
}

static PyObject *
function_repr(struct Function *function)
{
	return PyUnicode_FromFormat("<sandboxed function %S>", function->spec);
}

static int
function_traverse(struct Function *function, visitproc visit, void *arg)
{
	Py_VISIT(Py_TYPE(function));
	Py_VISIT(function->sandbox);
	Py_VISIT(function->spec);
	Py_VISIT(function->slow);
	Py_VISIT(function->result.what);
	for (size_t i = 0; i < function->nargs; i++)
		Py_VISIT(function->kinds[i].what);
	return 0;
}

static int
function_clear(struct Function *function)
{
	Py_CLEAR(function->spec);
	Py_CLEAR(function->slow);
	return 0;
}

static void
function_dealloc(struct Function *function)
{
	PyTypeObject *type = Py_TYPE(function);
	freefunc release = (freefunc) PyType_GetSlot(type, Py_tp_free);

	PyObject_GC_UnTrack(function);
	function_close(function);
	kind_clear(&function->result);
	for (size_t i = 0; i < function->nargs; i++)
		kind_clear(&function->kinds[i]);
	PyMem_Free(function->kinds);
	Py_CLEAR(function->name);
	function_clear(function);
	Py_CLEAR(function->sandbox);
	release(function);
	Py_DECREF(type);
}

static PyObject *
function_get(struct Function *function, void *what)
{
	switch ((intptr_t) what) {
	case 0:
		return Py_NewRef(function->name);
	case 1:
		return Py_NewRef(function->spec ? function->spec : Py_None);
	default:
		if (!function->timeout)
			Py_RETURN_NONE;
		return PyFloat_FromDouble((double) function->timeout / 1e9);
	}
}

static int
function_set_timeout(struct Function *function, PyObject *value, void *unused)
{
	(void) unused;
	return parse_timeout(value ? value : Py_None, &function->timeout);
}

static PyMethodDef function_methods[] = {
    {"_direct", (PyCFunction) function_direct, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef function_getset[] = {
    {"__name__", (getter) function_get, NULL, NULL, (void *) 0},
    {"declaration", (getter) function_get, NULL, "How it was declared.", (void *) 1},
    {"timeout", (getter) function_get, (setter) function_set_timeout, "Seconds that a call may take, or None.",
	(void *) 2},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef function_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(struct Function, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot function_slots[] = {
    {Py_tp_new, function_new},
    {Py_tp_call, function_call},
    {Py_tp_repr, function_repr},
    {Py_tp_dealloc, function_dealloc},
    {Py_tp_traverse, function_traverse},
    {Py_tp_clear, function_clear},
    {Py_tp_methods, function_methods},
    {Py_tp_getset, function_getset},
    {Py_tp_members, function_members},
    {Py_tp_doc, "A function of a sandbox."},
    {0, NULL},
};

static PyType_Spec function_spec = {"lfi.Function", sizeof(struct Function), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, function_slots};

int
function_add_type(PyObject *module)
{
	PyObject *type = PyType_FromSpec(&function_spec);

	function_type = (PyTypeObject *) type;
	return type ? PyModule_AddObjectRef(module, "Function", type) : -1;
}
