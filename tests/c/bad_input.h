/* SPDX-License-Identifier: MIT */
/*
 * What core/bad_input.c and linux/bad_input.c share: a row for each exported function, which is called with handles
 * that are NULL, freed, of another kind, or no handles at all. A function without a row fails the test.
 */
#ifndef TESTS_BAD_INPUT_H
#define TESTS_BAD_INPUT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those first. */
#include <cmocka.h>

#include <lfi/lfi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum Kind { NONE, ENGINE, BOX, CONTEXT, FN, LINUX, PROC, THREAD, SNAPSHOT, POOL, KINDS };

static const char *const kind_names[KINDS] = {"", "engine", "box", "context", "prepared call", "Linux engine", "process",
    "thread", "snapshot", "pool"};

/* How a row is to be tried. */
enum {
	FREES = 1, /* NULL is fine */
	LOOKS = 2, /* on a fast path: it reads the first words of what the handle leads to, so that must be there */
};

struct Row {
	const char *name;
	enum Kind kind; /* of the handle it takes, or NONE: then `refused` is called once, with NULL */
	int how;
	bool (*refused)(void *handle); /* calls it with all else right; whether it returned what says that it failed */
};

#define FUNCTION(name, kind, how, expression)      \
	static bool bad_##name(void *h)            \
	{                                          \
		(void) h;                          \
		return expression;                 \
	}
#define ROW(name, kind, how, expression) {#name, kind, how, bad_##name},

/* Of functions that return nothing. */
#define VOID(call) ((call), true)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif

static inline void
try_handle(const struct Row *row, void *handle, const char *what, const char *text)
{
	bool fine = !handle && (row->how & FREES);

	lfi_error_clear();
	if (!row->refused(handle))
		fail_msg("%s of %s %p: it did not fail", row->name, what, handle);
	if (lfi_errno() != (fine ? LFI_OK : LFI_ERR_INVALID))
		fail_msg("%s of %s: %s: %s", row->name, what, lfi_error_name(lfi_errno()), lfi_errmsg());
	if (!fine && (!strstr(lfi_errmsg(), kind_names[row->kind]) || !strstr(lfi_errmsg(), text)))
		fail_msg("%s of %s: \"%s\" lacks \"%s\" or \"%s\"", row->name, what, lfi_errmsg(),
		    kind_names[row->kind], text);
}

/* `live` and `freed` have a handle of each kind, or NULL. */
static inline void
try_handles(const struct Row *row, void *const live[KINDS], void *const freed[KINDS])
{
	static _Alignas(16) char zeros[8192];
	char address[32], is[64];

	try_handle(row, NULL, "NULL", "NULL");
	snprintf(address, sizeof address, "%p", (void *) zeros);
	try_handle(row, zeros, "what is no handle", address);
	for (int kind = ENGINE; kind < KINDS; kind++) {
		if (!live[kind] || kind == (int) row->kind)
			continue;
		snprintf(is, sizeof is, "this is a%s %s", kind == ENGINE ? "n" : "", kind_names[kind]);
		try_handle(row, live[kind], kind_names[kind], is);
	}
	if (!(row->how & LOOKS)) {
		try_handle(row, (void *) (uintptr_t) 16, "an address where nothing is", "0x10");
		try_handle(row, (char *) zeros + 1, "an odd address", "no");
		if (live[row->kind])
			try_handle(row, (char *) live[row->kind] + 1, "an address inside an object", "no");
	}
	if (!freed[row->kind])
		return;
	if ((row->how & LOOKS) && SANITIZED)
		printf("%s: not tried with what was freed, which it looks at: the sanitizer would say so\n", row->name);
	else
		try_handle(row, freed[row->kind], "a freed handle", "freed");
}

static inline bool
of_linux(const char *name)
{
	static const char *const prefixes[] = {"lfi_linux_", "lfi_proc_", "lfi_thread_", "lfi_snapshot_", "lfi_pool_"};

	for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

/* The golden list is what liblfi.so exports: tests/abi/symbols.sh. */
static inline void
check_complete(const struct Row *rows, size_t n, bool linux_)
{
	const char *source = getenv("LFI_SOURCE");
	char path[4096], line[256];
	size_t found = 0, wanted = 0;
	FILE *list;

	if (!source) {
		puts("skipped: ctest says where abi/symbols.txt is, in LFI_SOURCE");
		skip();
	}
	snprintf(path, sizeof path, "%s/abi/symbols.txt", source);
	list = fopen(path, "r");
	assert_non_null(list);
	while (fgets(line, sizeof line, list)) {
		size_t i = 0;

		line[strcspn(line, "@\n")] = 0;
		if (of_linux(line) != linux_)
			continue;
		wanted++;
		while (i < n && strcmp(rows[i].name, line) != 0)
			i++;
		if (i == n)
			print_error("%s has no row\n", line);
		found += i < n;
	}
	fclose(list);
	assert_int_equal(found, wanted);
	assert_int_equal(found, n);
}

/* The call gives `result`, with this error and a message that has `part`. */
#define REFUSED(call, result, error, part)                                                      \
	do {                                                                                    \
		lfi_error_clear();                                                              \
		if ((call) != (result) || lfi_errno() != (error) || !strstr(lfi_errmsg(), part)) \
			fail_msg("%s: %s: %s", #call, lfi_error_name(lfi_errno()), lfi_errmsg()); \
	} while (0)

#endif
