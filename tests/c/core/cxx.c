/* SPDX-License-Identifier: MIT */
/* The headers in C++, and what LFI_INVOKE refuses to compile in both languages. */
#include "core_test.h"
#include "sanitizers.h"

static int
run(const char *format, ...)
{
	char command[8192];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof command, format, args);
	va_end(args);
	return system(command);
}

static const char *
dir(const char *name)
{
	const char *value = getenv(name);

	return value ? value : ".";
}

static bool
cxx_is_there(void)
{
	if (run("command -v c++ >/dev/null 2>&1") == 0)
		return true;
	print_message("skipped: there is no c++ here\n");
	return false;
}

static void
invoke_works_from_cxx(void **state)
{
	char out[64] = "/tmp/lfi-cxx-XXXXXX";

	if (ADDRESS_SANITIZER || THREAD_SANITIZER) {
		print_message("skipped: the library is built with a sanitizer\n");
		return;
	}
	if (!cxx_is_there())
		return;
	int fd = mkstemp(out);
	close(fd);
	for (int standard = 11; standard <= 17; standard += 3)
		assert_int_equal(run("c++ -std=c++%d -Wall -Wextra -Wpedantic -Werror -I%s/include %s/tests/c/core/invoke.cc "
				     "%s/lib/liblfi.a -lpthread -o %s && %s >/dev/null",
				     standard, dir("LFI_SOURCE"), dir("LFI_SOURCE"), dir("LFI_BUILD"), out, out),
		    0);
	unlink(out);
}

/* Bodies of a function with box, ctx and fn at hand, and whether they compile. */
static const struct {
	const char *body;
	bool compiles;
} rows[] = {
	{"return LFI_INVOKE(box, &ctx, fn, int, (int, int), 1, 2);", true},
	{"LFI_INVOKE(box, &ctx, fn, void, (void)); return 0;", true},
	{"return (int) LFI_INVOKE(box, &ctx, fn, double, (const double, const float), 1, 2);", true},
	{"return LFI_INVOKE(box, &ctx, fn, int, (long double, const char *), 1, \"\");", true},
	{"return LFI_INVOKE(box, &ctx, fn, int, (struct S), s);", false},
	{"return LFI_INVOKE(box, &ctx, fn, int, (__int128), 1);", false},
	{"return LFI_INVOKE(box, &ctx, fn, int, (_Complex double), 1);", false},
	{"LFI_INVOKE(box, &ctx, fn, struct S, (int), 1); return 0;", false},
	{"return (int) LFI_INVOKE(box, &ctx, fn, long double, (int), 1);", true},
};

static void
what_cannot_be_passed_does_not_compile(void **state)
{
	char source[64] = "/tmp/lfi-cxx-XXXXXX";
	int fd = mkstemp(source);
	bool cxx = cxx_is_there();

	close(fd);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		FILE *file = fopen(source, "w");

		fprintf(file, "#include <lfi/lfi_core.h>\nstruct S { int x; };\nint f(struct LFIBox *box, struct LFIContext *ctx, "
			      "lfiptr fn, struct S s);\nint f(struct LFIBox *box, struct LFIContext *ctx, lfiptr fn, struct S s)\n"
			      "{ (void) s; %s }\n",
		    rows[i].body);
		fclose(file);
		for (int c = 0; c < 1 + cxx; c++) {
			int r = run("%s -fsyntax-only -I%s/include %s >/dev/null 2>&1", c ? "c++ -x c++" : "cc -x c",
			    dir("LFI_SOURCE"), source);

			if ((r == 0) != rows[i].compiles)
				print_error("%s in %s\n", rows[i].body, c ? "C++" : "C");
			assert_int_equal(r == 0, rows[i].compiles);
		}
	}
	unlink(source);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(invoke_works_from_cxx),
		cmocka_unit_test(what_cannot_be_passed_does_not_compile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
