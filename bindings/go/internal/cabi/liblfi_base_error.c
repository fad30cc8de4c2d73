//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * The calling thread's last error, and where log lines go. Every public call
 * that fails ends here. Trusted: it never writes past its buffers, whatever
 * a message contains.
 */
#include "error.h"

#include "lfi_core.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fork.h"

_Thread_local int error_code __attribute__((tls_model("initial-exec")));
static _Thread_local char message[sizeof(((struct LFIError *) 0)->message)];

static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static LFILogFn log_fn;
static void *log_user;

static const char *const error_names[] = {
    [LFI_OK] = "LFI_OK",
    [LFI_ERR_INVALID] = "LFI_ERR_INVALID",
    [LFI_ERR_NOMEM] = "LFI_ERR_NOMEM",
    [LFI_ERR_NOSPACE] = "LFI_ERR_NOSPACE",
    [LFI_ERR_OS] = "LFI_ERR_OS",
    [LFI_ERR_RANGE] = "LFI_ERR_RANGE",
    [LFI_ERR_UNMAPPED] = "LFI_ERR_UNMAPPED",
    [LFI_ERR_VERIFY] = "LFI_ERR_VERIFY",
    [LFI_ERR_CPU] = "LFI_ERR_CPU",
    [LFI_ERR_ELF] = "LFI_ERR_ELF",
    [LFI_ERR_BUSY] = "LFI_ERR_BUSY",
    [LFI_ERR_FAULT] = "LFI_ERR_FAULT",
    [LFI_ERR_INTERRUPTED] = "LFI_ERR_INTERRUPTED",
    [LFI_ERR_DEADLINE] = "LFI_ERR_DEADLINE",
    [LFI_ERR_LIMIT] = "LFI_ERR_LIMIT",
    [LFI_ERR_NOTFOUND] = "LFI_ERR_NOTFOUND",
    [LFI_ERR_SIGNATURE] = "LFI_ERR_SIGNATURE",
    [LFI_ERR_REWRITE] = "LFI_ERR_REWRITE",
    [LFI_ERR_UNSUPPORTED] = "LFI_ERR_UNSUPPORTED",
};

int
error_set(int code, const char *format, ...)
{
	va_list args;

	error_code = code;
	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	return -1;
}

int
error_set_os(int code, int err, const char *format, ...)
{
	va_list args;
	char words[128];
	size_t used;

	error_code = code;
	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	used = strlen(message);
	snprintf(message + used, sizeof message - used, ": %s", strerror_r(err, words, sizeof words));
	return -1;
}

int
error_null(const char *what)
{
	return error_set(LFI_ERR_INVALID, "the %s is NULL", what);
}

int
error_prefix(const char *format, ...)
{
	va_list args;
	char old[sizeof message];
	size_t used;

	memcpy(old, message, sizeof old);
	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	used = strlen(message);
	snprintf(message + used, sizeof message - used, "%s", old);
	return -1;
}

int
lfi_errno(void)
{
	return error_code;
}

const char *
lfi_errmsg(void)
{
	return error_code == LFI_OK ? "" : message;
}

void
lfi_error_get(struct LFIError *out)
{
	if (!out)
		return;
	out->code = error_code;
	snprintf(out->message, sizeof out->message, "%s", lfi_errmsg());
}

void
lfi_error_clear(void)
{
	error_code = LFI_OK;
	message[0] = 0;
}

const char *
lfi_error_name(int code)
{
	if (code < 0 || (size_t) code >= sizeof error_names / sizeof error_names[0])
		return "unknown";
	return error_names[code];
}

void
lfi_set_log(LFILogFn fn, void *user)
{
	pthread_mutex_lock(&log_mutex);
	log_fn = fn;
	log_user = user;
	pthread_mutex_unlock(&log_mutex);
}

void
log_line(const char *format, ...)
{
	va_list args;
	char line[1024];
	LFILogFn fn;
	void *user;

	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	pthread_mutex_lock(&log_mutex);
	fn = log_fn;
	user = log_user;
	pthread_mutex_unlock(&log_mutex);
	if (fn)
		fn(line, user);
	else
		fprintf(stderr, "lfi: %s\n", line);
}

void
log_fork(enum ForkStep step)
{
	fork_lock(&log_mutex, step);
}

bool
log_env_verbose(void)
{
	const char *value = getenv("LFI_VERBOSE");

	return value && strcmp(value, "1") == 0;
}
