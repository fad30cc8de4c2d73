/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the torture runner share. The runner compiles gcc's own test programs twice, natively and for the
 * sandbox, runs both and compares: torture.sh builds it and calls it. Not part of the product and not trusted.
 */
#ifndef TORTURE_H
#define TORTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- words.c: lists of words (command lines), strings, files ---- */

struct words {
	char **word; /* ended by NULL once there is one word */
	size_t n;
};

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *must(void *memory);
char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
void words_add(struct words *w, const char *word);
void words_split(struct words *w, const char *line, const char *separators);
void words_append(struct words *w, const struct words *more);
void words_free(struct words *w);
char *words_shell(const struct words *w);        /* quoted so that a shell reads the same words */
char *file_read(const char *path, size_t *size); /* NULL when it cannot be read; a zero byte follows the contents */
uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n);
uint64_t hash_text(uint64_t hash, const char *s);
#define HASH_START 0xcbf29ce484222325u

/* ---- programs.c: the programs of the suite and the options each asks for ---- */

struct program {
	char *name;           /* "20000112-1.c", "ieee/hugeval.c" */
	struct words sources; /* paths */
	struct words options;
	bool files; /* writes temporary files */
};

struct programs {
	struct program *at;
	size_t n;
};

void programs_read(struct programs *programs, const char *suite);
bool option_unknown_to_clang(const char *option);

/* ---- child.c: one child process with a time limit ---- */

struct child {
	const char *directory; /* working directory, NULL: ours */
	const char *temporary; /* TMPDIR for compilers */
	const char *out, *err; /* files for standard output and error */
	int limit_ms;
	bool program; /* a program under test: bounded in the files that it writes */
};

struct outcome {
	enum { OUTCOME_EXIT, OUTCOME_SIGNAL, OUTCOME_TIMEOUT, OUTCOME_INTERRUPTED } kind;
	int code;
};

struct outcome child_run(const struct child *child, const struct words *command);
void children_stop(void); /* kills all that run and lets no more start */
bool children_stopped(void);
char *outcome_text(struct outcome outcome);

/* ---- cache.c: native results of earlier runs ---- */

struct native {
	char *skip;        /* why the program cannot be compared; NULL when it can */
	uint64_t out, err; /* hashes of its output; both 0 when that differs from run to run (addresses) */
};

void cache_open(const char *path);
bool cache_find(uint64_t key, struct native *native);
void cache_add(uint64_t key, const struct native *native);

/* ---- compare.c: one combination from source to verdict ---- */

enum verdict {
	PASSED,
	EXCLUDED,
	SKIPPED,
	REWRITER_ERROR,
	ASSEMBLER_ERROR,
	LINK_ERROR,
	COMPILER_ERROR,
	VERIFY_REFUSAL,
	LOAD_ERROR,
	FAULT,
	TIME_LIMIT,
	RUNNER_CRASH,
	WRONG_STATUS,
	WRONG_OUTPUT,
	VERDICTS
};

extern const char *const verdict_names[VERDICTS];

struct combination {
	const struct program *program;
	const char *compiler; /* "gcc", "clang", "clang-19" */
	const char *level;    /* "0", "2", "3" */
	uint64_t identity;    /* changes when the native compiler or libc does */
	const char *excluded; /* the reason, when excluded.txt names it */
};

struct result {
	enum verdict verdict;
	char *detail;
	char *reproduce; /* command line for a failure */
};

struct setup {
	struct words lfi_cc, lfi_run;
	struct words options; /* for both sides, besides those of the program */
	const char *native;   /* command of the native compiler, %c stands for its name; NULL: the compiler itself */
	const char *sysroot;  /* native musl to compile against, or NULL: the system's libc */
	int limit_ms;         /* for a sandboxed run */
	const char *suite, *work, *kept; /* kept: folder for what failed, or NULL */
};

struct result combination_run(const struct setup *setup, const struct combination *combination, int worker);

#endif
