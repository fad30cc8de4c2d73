// SPDX-License-Identifier: MIT
// lfi._native: the C ABI as SWIG sees it, and the types of native.h. Flat: the package's classes are written by hand
// (lfi/core.py and its neighbours), so no proxy classes are made (-noproxy), and nothing of SWIG shows.
%module(package="lfi", threads="1") _native

%begin %{
#define Py_LIMITED_API 0x030A0000
%}

%{
#include "native.h"

/* An object for a handle of liblfi; NULL raises the error that there is. */
static PyObject *
handle_new(void *handle, const char *type)
{
	return handle ? PyCapsule_New(handle, type, NULL) : native_raise();
}
%}

%init %{
	if (native_add_types(m) < 0)
		return -1;
%}

%include <stdint.i>
typedef long off_t;
typedef long ssize_t;
#define LFI_API
#define __thread

// ---- Errors: what fails raises; the function's value says whether it did ----

%typemap(out) int %{
	if ($1 < 0) {
		native_raise();
		SWIG_fail;
	}
	$result = PyLong_FromLong($1);
%}
%typemap(out) bool %{
	if (!$1) {
		native_raise();
		SWIG_fail;
	}
	$result = SWIG_Py_Void();
%}
%typemap(out) bool lfi_box_ptrvalid %{ $result = PyBool_FromLong($1); %}
%typemap(out) lfiptr %{
	if ($1 == (lfiptr) -1) {
		native_raise();
		SWIG_fail;
	}
	$result = PyLong_FromUnsignedLongLong($1);
%}
// Handles are capsules with the type as their name: SWIG's own objects each leave a reference to their type behind.
%typemap(out) struct LFIEngine *, struct LFIBox *, struct LFIContext *, struct LFILinuxEngine *, struct LFILinuxProc *,
    struct LFILinuxThread *, struct LFISnapshot * %{
	$result = handle_new($1, "$1_type");
	if (!$result)
		SWIG_fail;
%}
%typemap(in) struct LFIEngine *, struct LFIBox *, struct LFIContext *, struct LFILinuxEngine *, struct LFILinuxProc *,
    struct LFILinuxThread *, struct LFISnapshot * %{
	if (!PyCapsule_IsValid($input, "$1_type"))
		SWIG_exception_fail(SWIG_TypeError, "in '$symname': no $1_type");
	$1 = ($1_ltype) PyCapsule_GetPointer($input, "$1_type");
%}
%typemap(in) PyObject *SANDBOX %{
	if (!PyObject_TypeCheck($input, sandbox_type))
		SWIG_exception_fail(SWIG_TypeError, "in '$symname': no Sandbox");
	$1 = $input;
%}

// ---- What goes through as it is: these, of all that the headers declare ----

%rename("$ignore", %$not %$isenum, regexmatch$name="^(LFI|lfi_)") "";
%rename("%s") LFI_ERR_INVALID;
%rename("%s") LFI_ERR_NOMEM;
%rename("%s") LFI_ERR_NOSPACE;
%rename("%s") LFI_ERR_OS;
%rename("%s") LFI_ERR_RANGE;
%rename("%s") LFI_ERR_UNMAPPED;
%rename("%s") LFI_ERR_VERIFY;
%rename("%s") LFI_ERR_CPU;
%rename("%s") LFI_ERR_ELF;
%rename("%s") LFI_ERR_BUSY;
%rename("%s") LFI_ERR_FAULT;
%rename("%s") LFI_ERR_INTERRUPTED;
%rename("%s") LFI_ERR_DEADLINE;
%rename("%s") LFI_ERR_LIMIT;
%rename("%s") LFI_ERR_NOTFOUND;
%rename("%s") LFI_ERR_SIGNATURE;
%rename("%s") LFI_PROT_NONE;
%rename("%s") LFI_PROT_READ;
%rename("%s") LFI_PROT_WRITE;
%rename("%s") LFI_PROT_EXEC;
%rename("%s") LFI_MAP_SHARED;
%rename("%s") LFI_MAP_PRIVATE;
%rename("%s") LFI_MAP_FIXED;
%rename("%s") LFI_MAP_ANONYMOUS;
%rename("%s") LFI_MAP_FIXED_NOREPLACE;
%rename("%s") lfi_version_string;
%rename("%s") lfi_error_name;
%rename("%s") lfi_free;
%rename("%s") lfi_box_new;
%rename("%s") lfi_box_mapany;
%rename("%s") lfi_box_mapat;
%rename("%s") lfi_box_mprotect;
%rename("%s") lfi_box_munmap;
%rename("%s") lfi_box_ptrvalid;
%rename("%s") lfi_box_init_ret;
%rename("%s") lfi_ctx_free;
%rename("%s") lfi_ctx_tp;
%rename("%s") lfi_ctx_set_tp;
%rename("%s") lfi_ctx_exit;
%rename("%s") lfi_ctx_token;
%rename("%s") lfi_ctx_interrupt;
%rename("%s") lfi_linux_free;
%rename("%s") lfi_proc_new;
%rename("%s") lfi_proc_stdio;
%rename("%s") lfi_proc_thread;
%rename("%s") lfi_snapshot_new;
%rename("%s") lfi_snapshot_clone;
%rename("%s") lfi_snapshot_free;
%rename("%s") lfi_signal_reclaim;

// The GIL is held in what uses a box or a context: no other thread can free it meanwhile. What takes long has a sandbox that
// is held (native.h), or a handle that no other thread has yet.
%nothread;
%thread lfi_proc_new;
%thread lfi_snapshot_new;
%thread lfi_snapshot_clone;

%include <lfi/lfi_version.h>
%include <lfi/lfi_core.h>
%include <lfi/lfi_linux.h>
%include <lfi/lfi_verify.h>

// ---- By struct ----

%inline %{
static struct LFIEngine *
engine_new(size_t boxes, bool verbose, bool no_verify, const char *policy, bool single_thread, bool no_low_table,
    bool no_rdtsc, unsigned bundle)
{
	struct LFIOptions opts = {.verbose = verbose,
	    .no_verify = no_verify,
	    .stores_only = strcmp(policy, "stores") == 0,
	    .jumps_only = strcmp(policy, "jumps") == 0,
	    .single_thread = single_thread,
	    .no_low_table = no_low_table,
	    .no_rdtsc = no_rdtsc,
	    .bundle = bundle};

	return lfi_new(opts, boxes);
}

/* Core API: its runtime calls are Python's. */
static void
engine_serve(struct LFIEngine *engine)
{
	lfi_sys_handler(engine, native_core_handler);
}

static struct LFIContext *
context_new(struct LFIBox *box)
{
	return lfi_ctx_new(box, NULL);
}

/* Address of the handle, for Function. */
static unsigned long long
context_handle(struct LFIContext *ctx)
{
	return (uintptr_t) ctx;
}
%}

%{
/* NULL-terminated C strings of a list of bytes; they live as long as the list. */
static const char **
strings_of(PyObject *list)
{
	Py_ssize_t n = PyList_Check(list) ? PyList_Size(list) : -1;
	const char **strings;

	if (n < 0) {
		PyErr_SetString(PyExc_TypeError, "no list of bytes");
		return NULL;
	}
	strings = PyMem_Calloc((size_t) n + 1, sizeof *strings);
	for (Py_ssize_t i = 0; strings && i < n; i++) {
		char *text;

		if (PyBytes_AsStringAndSize(PyList_GetItem(list, i), &text, NULL) < 0) {
			PyMem_Free(strings);
			return NULL;
		}
		strings[i] = text;
	}
	return strings ? strings : (const char **) PyErr_NoMemory();
}

/* What a violation says: appended to the list `user`, with the GIL. */
static bool
violation_seen(const struct LFIViolation *violation, void *user)
{
	PyObject *made = Py_BuildValue("nnsss", (Py_ssize_t) violation->offset, (Py_ssize_t) violation->size,
	    lfi_verify_rule_name(violation->rule), violation->insn ? violation->insn : "",
	    violation->reason ? violation->reason : "");
	int r = made ? PyList_Append(user, made) : -1;

	Py_XDECREF(made);
	return r == 0;
}
%}

%inline %{
static PyObject *
box_info(struct LFIBox *box)
{
	struct LFIBoxInfo info = lfi_box_info(box);

	if (!info.base)
		return native_raise();
	return Py_BuildValue("KKKKIK", (unsigned long long) info.base, (unsigned long long) info.size,
	    (unsigned long long) info.min, (unsigned long long) info.max, info.code, (unsigned long long) info.cpu);
}

static PyObject *
cache_stats(struct LFIEngine *engine)
{
	struct LFICacheStats stats = lfi_cache_stats(engine);

	return Py_BuildValue("KKKKK", (unsigned long long) stats.hits, (unsigned long long) stats.misses,
	    (unsigned long long) stats.evicted, (unsigned long long) stats.regions, (unsigned long long) stats.bytes);
}

/* Register i in the order of struct LFIRegs; from 14 on, the 64-bit halves of the vector registers. */
static PyObject *
register_get(struct LFIContext *ctx, unsigned i)
{
	const struct LFIRegs *regs = lfi_ctx_regs(ctx);

	if (!regs || i >= sizeof *regs / 8)
		return native_raise();
	return PyLong_FromUnsignedLongLong(((const uint64_t *) regs)[i]);
}

static PyObject *
register_set(struct LFIContext *ctx, unsigned i, unsigned long long value)
{
	struct LFIRegs *regs = lfi_ctx_regs(ctx);

	if (!regs || i >= sizeof *regs / 8)
		return native_raise();
	((uint64_t *) regs)[i] = value;
	Py_RETURN_NONE;
}

static PyObject *
linux_new(struct LFIEngine *engine, PyObject *dir_maps, const char *wd, size_t stacksize, bool verbose, bool perf,
    bool exit_unknown)
{
	const char **maps = strings_of(dir_maps);
	struct LFILinuxOptions opts = {.stacksize = stacksize,
	    .verbose = verbose,
	    .perf = perf,
	    .exit_unknown_syscalls = exit_unknown,
	    .dir_maps = maps,
	    .wd = wd};
	struct LFILinuxEngine *made;

	if (!maps)
		return NULL;
	made = lfi_linux_new(engine, opts);
	PyMem_Free(maps);
	return handle_new(made, "struct LFILinuxEngine *");
}

/* The program is verified without the GIL; `image` cannot change: it is bytes. */
static PyObject *
proc_load(struct LFILinuxProc *proc, PyObject *image, const char *path)
{
	PyThreadState *state;
	Py_ssize_t size;
	char *bytes;
	bool loaded;

	if (PyBytes_AsStringAndSize(image, &bytes, &size) < 0)
		return NULL;
	Py_INCREF(image);
	state = PyEval_SaveThread();
	loaded = lfi_proc_load(proc, (const uint8_t *) bytes, (size_t) size, path);
	gil_restore(state);
	Py_DECREF(image);
	if (!loaded)
		return native_raise();
	Py_RETURN_NONE;
}

static PyObject *
thread_new(struct LFILinuxProc *proc, PyObject *argv, PyObject *envp)
{
	const char **args = strings_of(argv), **env = args ? strings_of(envp) : NULL;
	struct LFILinuxThread *made = NULL;

	if (env)
		made = lfi_thread_new(proc, (int) PyList_Size(argv), args, env);
	PyMem_Free(args);
	PyMem_Free(env);
	if (!env)
		return NULL;
	return handle_new(made, "struct LFILinuxThread *");
}

/* (violations, code flags, processor features, instructions) */
static PyObject *
verify(PyObject *code, unsigned long long offset, int policy, unsigned bundle, bool single_thread, bool no_rdtsc,
    size_t most)
{
	struct LFIVerifyOptions opts = {.struct_size = sizeof opts,
	    .policy = policy,
	    .bundle = bundle,
	    .single_thread = single_thread,
	    .no_rdtsc = no_rdtsc,
	    .max_violations = most};
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	PyObject *list = PyList_New(0), *result = NULL;
	Py_ssize_t size = 0;
	char *bytes;
	void *scratch;
	size_t room;

	if (!list || PyBytes_AsStringAndSize(code, &bytes, &size) < 0)
		goto done;
	room = lfi_verify_scratch_size((size_t) size);
	scratch = PyMem_Malloc(room + 8);
	if (!scratch) {
		PyErr_NoMemory();
		goto done;
	}
	lfi_verify(&opts, bytes, (size_t) size, offset, scratch, room, violation_seen, list, &report);
	PyMem_Free(scratch);
	if (!PyErr_Occurred())
		result = Py_BuildValue(
		    "OIKK", list, report.code, (unsigned long long) report.cpu, (unsigned long long) report.instructions);
done:
	Py_XDECREF(list);
	return result;
}
%}

%rename("set_error_factory") native_set_error_factory;
%rename("set_pointer_class") native_set_pointer_class;
%rename("finalizing") native_finalizing;
%rename("register_callback") native_register;
%rename("ctx_run") native_ctx_run;
%rename("thread_run") native_thread_run;
PyObject *native_set_error_factory(PyObject *factory);
PyObject *native_set_pointer_class(PyObject *cls);
PyObject *native_finalizing(void);
PyObject *native_register(
    PyObject *SANDBOX, const char *signature, PyObject *result, PyObject *kinds, PyObject *callable);
PyObject *native_ctx_run(PyObject *SANDBOX, struct LFIContext *ctx, unsigned long long address, PyObject *handler,
    PyObject *handler_arg, double timeout);
PyObject *native_thread_run(PyObject *SANDBOX, struct LFILinuxThread *thread, double timeout, bool library);

%inline %{
static PyObject *
unregister_callback(PyObject *SANDBOX, PyObject *token)
{
	return native_unregister(SANDBOX, token);
}

static PyObject *
box_sandbox(struct LFIBox *box, PyObject *keep)
{
	return native_sandbox(box, NULL, NULL, keep, Py_None);
}

static PyObject *
proc_sandbox(struct LFILinuxProc *proc, PyObject *keep)
{
	return native_sandbox(NULL, proc, NULL, keep, Py_None);
}

/* The process has its first thread now. */
static PyObject *
adopt_thread(PyObject *SANDBOX, struct LFILinuxThread *thread)
{
	struct Sandbox *sandbox = (struct Sandbox *) SANDBOX;

	if (sandbox_check(sandbox) < 0)
		return NULL;
	sandbox->primary = lfi_thread_ctx(thread);
	if (!sandbox->primary)
		return native_raise();
	sandbox->owner = PyThread_get_thread_ident();
	Py_RETURN_NONE;
}

/* Of a clone, which has a first thread. */
static PyObject *
clone_sandbox(struct LFILinuxProc *proc, struct LFILinuxThread *thread, PyObject *keep, PyObject *SANDBOX)
{
	return native_sandbox(NULL, proc, thread, keep, SANDBOX);
}
%}
