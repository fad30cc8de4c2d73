/* SPDX-License-Identifier: MIT */
/* Errors of liblfi as exceptions: what they look like is decided in lfi/_errors.py. */
#include "native.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static PyObject *factory;

PyObject *
native_set_error_factory(PyObject *function)
{
	Py_INCREF(function);
	Py_XDECREF(factory);
	factory = function;
	Py_RETURN_NONE;
}

static PyObject *
raise_with(const struct LFIError *error, PyObject *fault)
{
	PyObject *message = PyUnicode_DecodeUTF8(error->message, (Py_ssize_t) strlen(error->message), "replace");
	PyObject *made = NULL;

	if (message && factory)
		made = PyObject_CallFunction(factory, "iOO", error->code, message, fault);
	else if (message)
		PyErr_SetObject(PyExc_RuntimeError, message);
	if (made) {
		PyErr_SetObject((PyObject *) Py_TYPE(made), made);
		Py_DECREF(made);
	}
	Py_XDECREF(message);
	return NULL;
}

PyObject *
native_raise(void)
{
	struct LFIError error;

	lfi_error_get(&error);
	return raise_with(&error, Py_None);
}

PyObject *
native_fail(int code, const char *format, ...)
{
	struct LFIError error = {.code = code};
	va_list values;

	va_start(values, format);
	vsnprintf(error.message, sizeof error.message, format, values);
	va_end(values);
	return raise_with(&error, Py_None);
}

/* One frame of a backtrace: (address, offset from the base, function or "", offset in it). */
static PyObject *
frame_of(const struct LFIFault *fault, struct LFILinuxProc *proc, lfiptr address)
{
	char name[LFI_SYMBOL_MAX] = "";
	uint64_t offset = 0;

	if (!proc || lfi_proc_symbolize(proc, address, name, sizeof name, &offset) < 0)
		name[0] = 0;
	return Py_BuildValue("KKsK", (unsigned long long) address,
	    (unsigned long long) (address - (fault->pc - fault->pc_offset)), name, (unsigned long long) offset);
}

static PyObject *
backtrace_of(const struct LFIFault *fault, struct LFILinuxProc *proc)
{
	uint32_t depth = fault->depth < LFI_BACKTRACE_MAX ? fault->depth : LFI_BACKTRACE_MAX;
	PyObject *list = PyList_New(0), *frame;

	for (uint32_t i = 0; list && i < depth; i++) {
		frame = frame_of(fault, proc, fault->backtrace[i]);
		if (!frame || PyList_Append(list, frame) < 0)
			Py_CLEAR(list);
		Py_XDECREF(frame);
	}
	return list;
}

static PyObject *
fault_object(const struct LFIFault *fault, struct LFILinuxProc *proc)
{
	PyObject *backtrace = backtrace_of(fault, proc), *made;
	char text[4096] = "", symbol[LFI_SYMBOL_MAX];

	if (!backtrace)
		return NULL;
	lfi_fault_format(fault, text, sizeof text);
	memcpy(symbol, fault->symbol, sizeof symbol);
	symbol[sizeof symbol - 1] = 0;
	made = Py_BuildValue("iiKKKssKNs", fault->signal, fault->code, (unsigned long long) fault->address,
	    (unsigned long long) fault->pc, (unsigned long long) fault->pc_offset,
	    lfi_fault_kind_name((int) fault->kind), symbol, (unsigned long long) fault->symbol_offset, backtrace, text);
	return made;
}

PyObject *
native_raise_ended(const struct LFIError *error, struct LFIContext *ctx, struct LFILinuxProc *proc)
{
	struct LFIFault fault;
	PyObject *object;

	/* Ctrl-C: what Python's handler makes of it comes first. */
	if (error->code == LFI_ERR_INTERRUPTED && PyErr_CheckSignals() < 0)
		return NULL;
	if (error->code != LFI_ERR_FAULT || (ctx ? lfi_ctx_fault(ctx, &fault) : lfi_proc_fault(proc, &fault)) < 0)
		return raise_with(error, Py_None);
	object = fault_object(&fault, proc);
	if (!object)
		return NULL;
	raise_with(error, object);
	Py_DECREF(object);
	return NULL;
}
