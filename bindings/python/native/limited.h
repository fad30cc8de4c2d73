/* SPDX-License-Identifier: MIT */
/*
 * Python.h, limited to what all CPythons from 3.10 on have with the same layout (abi3).
 *
 * Buffers became part of it in 3.11, and calls by vector in 3.12. CPython 3.10 and 3.11, which no longer change, have
 * both with the very layout and numbers that were made stable later, so they are declared here.
 */
#ifndef LFI_PYTHON_LIMITED_H
#define LFI_PYTHON_LIMITED_H

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030A0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#if Py_LIMITED_API + 0 < 0x030B0000
typedef struct {
	void *buf;
	PyObject *obj;
	Py_ssize_t len, itemsize;
	int readonly, ndim;
	char *format;
	Py_ssize_t *shape, *strides, *suboffsets;
	void *internal;
} Py_buffer;

PyAPI_FUNC(int) PyObject_GetBuffer(PyObject *object, Py_buffer *view, int flags);
PyAPI_FUNC(void) PyBuffer_Release(Py_buffer *view);
PyAPI_FUNC(int)
    PyBuffer_FillInfo(Py_buffer *view, PyObject *object, void *bytes, Py_ssize_t size, int readonly, int flags);

#define PyBUF_SIMPLE 0
#define PyBUF_WRITABLE 1
#define Py_bf_getbuffer 1
#define Py_bf_releasebuffer 2
#endif

#if Py_LIMITED_API + 0 < 0x030C0000
#define Py_TPFLAGS_HAVE_VECTORCALL (1UL << 11)
#endif

#define VECTOR_OFFSET ((size_t) 1 << (8 * sizeof(size_t) - 1))

#endif
