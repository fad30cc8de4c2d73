/* SPDX-License-Identifier: MIT */
/* Values of C as Python objects and back. Nothing is cut: what does not fit is an OverflowError that names it. */
#include "native.h"

#include <string.h>

static int
fail_range(PyObject *number, char code, Py_ssize_t index)
{
	static const struct {
		char code;
		const char *name;
	} names[] = {{'b', "an 8-bit signed integer"}, {'B', "an 8-bit unsigned integer"},
	    {'h', "a 16-bit signed integer"}, {'H', "a 16-bit unsigned integer"}, {'i', "a 32-bit signed integer"},
	    {'I', "a 32-bit unsigned integer"}, {'l', "a 64-bit signed integer"}, {'L', "a 64-bit unsigned integer"},
	    {'p', "an address"}};
	const char *name = "it";

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (names[i].code == code)
			name = names[i].name;
	PyErr_Clear();
	if (index > 0)
		PyErr_Format(PyExc_OverflowError, "argument %zd: %R does not fit %s", index, number, name);
	else
		PyErr_Format(PyExc_OverflowError, "result: %R does not fit %s", number, name);
	return -1;
}

static int
signed_from(PyObject *number, unsigned bits, int64_t *out)
{
	int overflow;
	long long value = PyLong_AsLongLongAndOverflow(number, &overflow);

	if (value == -1 && !overflow && PyErr_Occurred())
		return -1;
	if (overflow || (bits < 64 && (value < -(1ll << (bits - 1)) || value >= 1ll << (bits - 1))))
		return 1;
	*out = value;
	return 0;
}

static int
unsigned_from(PyObject *number, unsigned bits, uint64_t *out)
{
	int overflow;
	long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
	unsigned long long big;

	if (value == -1 && !overflow && PyErr_Occurred())
		return -1;
	if (!overflow && value >= 0 && (bits == 64 || value < 1ll << bits)) {
		*out = (uint64_t) value;
		return 0;
	}
	if (bits < 64 || overflow <= 0)
		return 1;
	big = PyLong_AsUnsignedLongLong(number);
	if (big == (unsigned long long) -1 && PyErr_Occurred())
		return 1;
	*out = big;
	return 0;
}

static int
integer_from(char code, PyObject *object, union LFIValue *out, Py_ssize_t index)
{
	static const char letters[] = "bBhHiIlL";
	const char *at = strchr(letters, code);
	unsigned place = at ? (unsigned) (at - letters) : 7, bits = 8u << (place / 2);
	PyObject *number = object;
	int r;

	if (!PyLong_Check(object)) {
		if (PyFloat_Check(object) || !PyIndex_Check(object))
			return 1;
		number = PyNumber_Index(object);
		if (!number)
			return -1;
	}
	r = place % 2 ? unsigned_from(number, bits, &out->u) : signed_from(number, bits, &out->i);
	if (r == 1)
		r = fail_range(number, code, index);
	if (number != object)
		Py_DECREF(number);
	return r;
}

static int
pointer_from(const struct Kind *kind, struct Sandbox *sandbox, PyObject *object, union LFIValue *out)
{
	struct Pointer *pointer = (struct Pointer *) object;

	if (object == Py_None) {
		out->u = 0;
		return 0;
	}
	if (!PyObject_TypeCheck(object, pointer_type))
		return 1;
	if (pointer_check(pointer, sandbox) < 0)
		return -1;
	if (kind->what != Py_None && pointer->target != kind->what && pointer->target != Py_None)
		return 1;
	out->u = pointer->address;
	return 0;
}

int
value_from_python(
    const struct Kind *kind, struct Sandbox *sandbox, PyObject *object, union LFIValue *out, Py_ssize_t index)
{
	double number;
	int r;

	switch (kind->code) {
	case '?':
		r = PyObject_IsTrue(object);
		out->u = r > 0;
		return r < 0 ? -1 : 0;
	case 'f':
	case 'd':
	case 'D':
		if (PyFloat_Check(object)) {
			number = PyFloat_AsDouble(object);
		} else {
			if (!PyLong_Check(object) && !PyIndex_Check(object) &&
			    !PyObject_HasAttrString(object, "__float__"))
				return 1;
			number = PyFloat_AsDouble(object);
			if (number == -1.0 && PyErr_Occurred())
				return -1;
		}
		if (kind->code == 'f')
			out->f = (float) number;
		else if (kind->code == 'd')
			out->d = number;
		else
			*(long double *) out->p = number;
		return 0;
	case 'p':
		if (kind->what)
			return pointer_from(kind, sandbox, object, out);
		return integer_from('L', object, out, index);
	case '{':
		if (!PyBytes_Check(object) || (size_t) PyBytes_Size(object) != kind->size)
			return 1;
		out->p = PyBytes_AsString(object);
		return 0;
	default:
		return integer_from(kind->code, object, out, index);
	}
}

static PyObject *
plain_to_python(const struct Kind *kind, struct Sandbox *sandbox, const union LFIValue *value)
{
	switch (kind->code) {
	case 'v':
		Py_RETURN_NONE;
	case '?':
		return PyBool_FromLong(value->u != 0);
	case 'b':
	case 'h':
	case 'i':
	case 'l':
		return PyLong_FromLongLong(value->i);
	case 'f':
		return PyFloat_FromDouble((double) value->f);
	case 'd':
		return PyFloat_FromDouble(value->d);
	case 'D':
		return PyFloat_FromDouble((double) *(const long double *) value->p);
	case '{':
		return PyBytes_FromStringAndSize(value->p, (Py_ssize_t) kind->size);
	default:
		return PyLong_FromUnsignedLongLong(value->u);
	}
}

PyObject *
value_to_python(const struct Kind *kind, struct Sandbox *sandbox, const union LFIValue *value)
{
	PyObject *plain, *made;

	if (kind->code == 'p' && kind->what)
		return pointer_make(sandbox, value->u, kind->what);
	plain = plain_to_python(kind, sandbox, value);
	if (!plain || !kind->what)
		return plain;
	made = PyObject_CallFunctionObjArgs(kind->what, plain, NULL);
	Py_DECREF(plain);
	return made;
}

int
kind_parse(struct Kind *kind, PyObject *object)
{
	const char *code;
	Py_ssize_t size = 0;
	PyObject *what = NULL;

	memset(kind, 0, sizeof *kind);
	if (!PyTuple_Check(object) || !PyArg_ParseTuple(object, "s|nO", &code, &size, &what))
		return PyErr_Occurred() ? -1 : (PyErr_SetString(PyExc_TypeError, "a kind is a tuple"), -1);
	if (!code[0] || !strchr("vbBhHiIlL?fdDp{", code[0]) || size < 0) {
		PyErr_Format(PyExc_ValueError, "no kind of value is '%s'", code);
		return -1;
	}
	kind->code = code[0];
	kind->size = kind->code == 'D' ? sizeof(long double) : (size_t) size;
	/* None is "void" where it stands behind a pointer, and nothing elsewhere. */
	if (what && (what != Py_None || kind->code == 'p'))
		kind->what = Py_NewRef(what);
	return 0;
}

void
kind_clear(struct Kind *kind)
{
	Py_CLEAR(kind->what);
}
