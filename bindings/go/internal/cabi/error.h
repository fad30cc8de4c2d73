/* SPDX-License-Identifier: MIT */
/*
 * The calling thread's last error, and log lines. Used by every module that
 * can fail. Trusted.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>

/* The code of the thread's last error. Apart from the text and initial-exec, so that calls that succeed clear it in one
 * store. */
extern _Thread_local int error_code __attribute__((tls_model("initial-exec")));

/* The last call of the thread succeeded. */
static inline void
error_none(void)
{
	error_code = 0;
}

/* Sets the thread's error. Returns -1, so that `return error_set(…)` reads well. */
int error_set(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As error_set, with ": " and the words of errno value `err` at the end. */
int error_set_os(int code, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A handle or pointer that a public call needs is NULL: LFI_ERR_INVALID. Returns -1. */
int error_null(const char *what);

/* Puts text in front of the thread's message: "prog.lfi: " … */
int error_prefix(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One log line, whether or not anything is verbose: the caller decides. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Whether LFI_VERBOSE=1 is in the environment. */
bool log_env_verbose(void);

#endif
