/* SPDX-License-Identifier: MIT */
/*
 * Where things are: the compiler that does the work, the sysroot with the C
 * library for sandboxed programs, and the answers to the -print-… and -dump…
 * questions that build systems ask. Part of lfi-cc; not trusted.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cc.h"

/* ---- The compiler ---- */

static bool
in_path(const char *name)
{
	const char *path = getenv("PATH");

	while (path && *path) {
		size_t length = strcspn(path, ":");

		if (access(keep_format("%.*s/%s", (int) length, path, name), X_OK) == 0)
			return true;
		path += length + (path[length] == ':');
	}
	return false;
}

/* A compiler whose name does not tell is asked. */
static bool
says_clang(struct cc *cc)
{
	struct cc quiet = {0};
	struct strings command = {0};
	char text[4096];
	ssize_t size;
	int out = memfd_create("version", MFD_CLOEXEC);

	strings_add(&command, cc->compiler);
	strings_add(&command, "--version");
	if (out < 0 || run_command(&quiet, &command, -1, out) != 0)
		return false;
	size = pread(out, text, sizeof text - 1, 0);
	close(out);
	text[size > 0 ? size : 0] = 0;
	return strstr(text, "clang") != NULL;
}

int
target_find_compiler(struct cc *cc)
{
	const char *name;

	if (!cc->compiler)
		cc->compiler = getenv("LFI_CC_COMPILER");
	if (!cc->compiler || !*cc->compiler)
		cc->compiler = in_path("gcc") ? "gcc" : "clang";
	if (strchr(cc->compiler, '/') ? access(cc->compiler, X_OK) < 0 : !in_path(cc->compiler)) {
		say_error("compiler %s not found (--lfi-compiler=gcc, clang or a path)", cc->compiler);
		return 1;
	}
	name = strrchr(cc->compiler, '/');
	name = name ? name + 1 : cc->compiler;
	cc->clang = strstr(name, "clang") || (!strstr(name, "gcc") && says_clang(cc));
	return 0;
}

/* ---- The sysroot ---- */

static bool
is_sysroot(const char *path)
{
	return access(keep_format("%s/include/stdio.h", path), R_OK) == 0;
}

void
target_find_sysroot(struct cc *cc)
{
	char real[PATH_MAX];

	if (!cc->sysroot)
		cc->sysroot = getenv("LFI_SYSROOT");
	if (cc->sysroot && *cc->sysroot)
		return;
	cc->sysroot = keep_format("%s/../sysroot", cc->program_dir);
	if (!is_sysroot(cc->sysroot)) {
		const char *installed = keep_format("%s/../share/lfi/sysroot", cc->program_dir);

		if (is_sysroot(installed))
			cc->sysroot = installed;
	}
	if (realpath(cc->sysroot, real))
		cc->sysroot = keep_format("%s", real);
}

/*
 * lib, or below it the variant whose code fits: all code of a program uses the same bundles, returns the same way and
 * agrees on what a pointer is.
 */
static const char *
library_dir(const struct cc *cc)
{
	char *name = keep_format("%s%s%s", cc->rewrite.bundle == 16 ? "-bundle16" : "",
	    cc->rewrite.single_thread ? "-single-thread" : "", cc->rewrite.poc ? "" : "-no-poc");

	if (!*name)
		return keep_format("%s/lib", cc->sysroot);
	return keep_format("%s/lib/%s", cc->sysroot, name + 1);
}

const char *
target_library_dir(const struct cc *cc)
{
	const char *dir = library_dir(cc);

	if (access(keep_format("%s/libc.a", dir), R_OK) == 0 || cc->print_only)
		return dir;
	say_error("no C library in %s (--sysroot, or build one: see docs/toolchain.md)", dir);
	return NULL;
}

/* ---- Questions ---- */

static const char usage[] =
    "usage: lfi-cc [options] file...\n"
    "\n"
    "Compiles C and assembly with the system's gcc or clang into programs that lfi-verify accepts and lfi-run\n"
    "runs. Takes the compiler's options; its own are\n"
    "\n"
    "  --lfi-compiler=gcc|clang|PATH   the compiler that does the work (or LFI_CC_COMPILER; default gcc)\n"
    "  --sandbox=full|stores|jumps     what is confined: loads, stores and jumps; stores and jumps; jumps only\n"
    "  --cfi=bundle32|bundle16         size of the code bundles\n"
    "  --single-thread                 faster returns, for programs that start no threads\n"
    "  --no-segue                      address memory through r14 instead of the gs segment\n"
    "  --no-guard-elim                 guard each move of the stack pointer\n"
    "  --no-layout                     let the assembler pad; faster to compile, larger and slower code\n"
    "  --low-table                     runtime calls through the table's copy in the sandbox's first page\n"
    "  --poc, --no-poc                 position-oblivious code, whose pointers are offsets from the sandbox's base, "
    "so\n"
    "                                  that a process can be cloned; the default with --sandbox=full, only possible "
    "there\n"
    "  --sysroot=DIR                   headers and libraries (or LFI_SYSROOT)\n"
    "  --save-temps                    keep NAME.s (compiled), NAME.lfi.s (rewritten)\n"
    "  --verify                        run lfi-verify on the linked program\n"
    "  -###                            print the commands instead of running them\n";

static int
answer(const char *text)
{
	puts(text);
	return 0;
}

/* -print-file-name=X: ours when the sysroot has it, else the compiler's (its own headers), else the name. */
static int
print_file(struct cc *cc, const char *name)
{
	const char *ours = keep_format("%s/%s", library_dir(cc), name);
	struct strings command = {0};

	if (access(ours, R_OK) == 0)
		return answer(ours);
	if (strcmp(name, "include") != 0 && strncmp(name, "include/", 8) != 0 && strcmp(name, "plugin") != 0)
		return answer(name);
	strings_add(&command, cc->compiler);
	strings_add(&command, keep_format("-print-file-name=%s", name));
	return run_command(cc, &command, -1, -1);
}

int
target_query(struct cc *cc)
{
	const char *query = cc->query;
	struct strings command = {0};

	if (strcmp(query, "--help") == 0) {
		fputs(usage, stdout);
		return 0;
	}
	if (strcmp(query, "-dumpmachine") == 0)
		return answer("x86_64-linux-musl");
	if (strncmp(query, "--print-", 8) == 0)
		query++;
	if (strcmp(query, "-print-sysroot") == 0)
		return answer(cc->sysroot);
	if (strcmp(query, "-print-search-dirs") == 0) {
		printf("install: %s\nprograms: =%s\nlibraries: =%s\n", cc->sysroot, cc->program_dir, library_dir(cc));
		return 0;
	}
	if (strcmp(query, "-print-libgcc-file-name") == 0)
		return answer(keep_format("%s/libgcc.a", library_dir(cc)));
	if (strncmp(query, "-print-file-name=", 17) == 0)
		return print_file(cc, query + 17);
	if (strcmp(query, "-print-multiarch") == 0 || strcmp(query, "-print-multi-os-directory") == 0)
		return answer(strstr(query, "arch") ? "x86_64-linux-musl" : "../lib");
	strings_add(&command, cc->compiler);
	strings_add(&command, query);
	return run_command(cc, &command, -1, -1);
}
