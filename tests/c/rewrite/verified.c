/* SPDX-License-Identifier: MIT */
/*
 * Whatever the rewriter emits verifies: the snippets below, compiled by every
 * compiler that is installed, at every level, under every policy.
 */
#include <lfi/lfi_verify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rewrite_test.h"

/* Each is a construct that compilers turn into something the rewriter treats specially. */
static const char snippets[] =
    "#include <stddef.h>\n"
    "extern int printf(const char *, ...); extern void *memcpy(void *, const void *, size_t);\n"
    "extern void *memset(void *, int, size_t); extern void use(void *); extern void abort(void);\n"
    "_Thread_local int tls_int = 3; _Thread_local char tls_bytes[64]; int table[256]; extern _Thread_local long "
    "elsewhere;\n"
    "static int helper(int x) { return x * 3 + table[x & 255]; }\n"
    "int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }\n"
    "int tls(int x) { tls_int += x; tls_bytes[x] = 1; elsewhere = x; return tls_bytes[x + 1] + helper(x); }\n"
    "int pick(int x) { switch (x) { case 0: return 5; case 1: return fib(x); case 2: return tls_int; case 3: return "
    "77;\n"
    "  case 4: return helper(9); case 5: return table[3]; case 6: return -1; } return 0; }\n"
    "int (*pointer)(int) = pick; int (*pointers[4])(int) = {pick, fib, tls, helper};\n"
    "int indirect(int x) { return pointer(x) + pointers[x & 3](x); } int tail(int x) { return pointers[x & 3](x + 1); "
    "}\n"
    "int computed(int x) { static void *const to[] = {&&a, &&b, &&c}; goto *to[x]; a: return 1; b: x += table[1]; goto "
    "*to[x]; c: return x; }\n"
    "int vla(int n) { char space[n]; use(space); return space[n / 2]; }\n"
    "int big(int n) { char space[200000]; use(space); return space[n]; }\n"
    "struct big { char bytes[300]; }; struct big copy(struct big *p) { return *p; } void clear(struct big *p) { *p = "
    "(struct big){0}; }\n"
    "double sum(const double *p, int n) { double s = 0; for (int i = 0; i < n; i++) s += p[i] * p[n - i]; return s; }\n"
    "void scale(float *a, const float *b, int n) { for (int i = 0; i < n; i++) a[i] = b[i] * 2 + a[i]; }\n"
    "long double extended(long double x, long double *p) { return x * *p + 1; }\n"
    "__int128 wide(__int128 a, __int128 b) { return a * b + 7; } unsigned long divide(unsigned long a, unsigned long "
    "b) { return a / b % 10; }\n"
    "int atomics(int *p) { __atomic_fetch_add(p, 3, 5); __sync_bool_compare_and_swap(p, 1, 2); return "
    "__atomic_exchange_n(p, 4, 5); }\n"
    "int many(int a, int b, int c, int d, int e, int f, int g, int h) { return printf(\"%d\", a + b * c - d + e * f + "
    "g * h); }\n"
    "void dies(int x) { if (x) abort(); use(&x); } int bits(unsigned x) { return __builtin_popcount(x) + "
    "__builtin_ctz(x); }\n"
    "long call(long n, long a) { long r; __asm__ volatile(\"syscall\" : \"=a\"(r) : \"a\"(n), \"D\"(a) : \"rcx\", "
    "\"r11\", \"memory\"); return r; }\n"
    "void fill(char *p, int c, size_t n) { __asm__ volatile(\"rep stosb\" : \"+D\"(p), \"+c\"(n) : \"a\"(c) : "
    "\"memory\"); }\n"
    "int variadic(int n, ...) { __builtin_va_list l; int s = 0; __builtin_va_start(l, n); while (n--) s += "
    "__builtin_va_arg(l, int);\n"
    "  __builtin_va_end(l); return s; }\n";

static char folder[] = "/tmp/lfi-rewrite-XXXXXX";

static int
run(const char *format, ...)
{
	char command[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof command, format, args);
	va_end(args);
	return system(command);
}

static char *
read_file(const char *name, size_t *size)
{
	char path[256];
	struct stat info;
	char *bytes;
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	file = fopen(path, "rb");
	if (!file)
		fail_msg("%s is missing", path);
	assert_int_equal(fstat(fileno(file), &info), 0);
	bytes = calloc(1, (size_t) info.st_size + 1);
	assert_non_null(bytes);
	*size = fread(bytes, 1, (size_t) info.st_size, file);
	fclose(file);
	return bytes;
}

static void
write_file(const char *name, const char *bytes)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	file = fopen(path, "wb");
	assert_non_null(file);
	fwrite(bytes, 1, strlen(bytes), file);
	assert_int_equal(fclose(file), 0);
}

static bool
print_violation(const struct LFIViolation *v, void *user)
{
	print_message("%s: %#zx: %s: %s\n", (const char *) user, v->offset, v->insn, v->reason);
	return true;
}

/* Verifies the section .text of folder/out.o. */
static void
verify_text(const char *name, const struct LFIVerifyOptions *opts)
{
	size_t size, scratch_size;
	char *code;
	void *scratch;

	assert_int_equal(
	    run("objcopy -O binary -j .text --set-section-flags .text=alloc %s/out.o %s/out.bin", folder, folder), 0);
	code = read_file("out.bin", &size);
	scratch_size = lfi_verify_scratch_size(size);
	scratch = calloc(1, scratch_size + 8);
	if (lfi_verify(
		opts, code, size, 0x100000, scratch, scratch_size, print_violation, (void *) (uintptr_t) name, NULL))
		fail_msg("%s does not verify", name);
	free(scratch);
	free(code);
}

/* The second way to an object file: with the sizes of a first one. */
static void
place(const char *name, const char *confined, struct LFIRewriteOptions opts, const struct LFIVerifyOptions *verify)
{
	char *text, *object;
	size_t size;

	opts.struct_size = sizeof opts;
	assert_int_equal(lfi_rewrite_measure(confined, strlen(confined), &text, NULL), 0);
	write_file("measure.s", text);
	lfi_rewrite_free(text);
	assert_int_equal(run("as %s/measure.s -o %s/measure.o", folder, folder), 0);
	object = read_file("measure.o", &size);
	if (lfi_rewrite_layout(&opts, confined, strlen(confined), object, size, &text, NULL) < 0)
		fail_msg("%s: %s", name, lfi_errmsg());
	write_file("out.s", text);
	lfi_rewrite_free(text);
	free(object);
	if (run("as %s/out.s -o %s/out.o", folder, folder) != 0)
		fail_msg("%s does not assemble once placed", name);
	verify_text(name, verify);
}

static void
check(const char *name, const char *assembly, struct LFIRewriteOptions opts)
{
	struct LFIVerifyOptions verify = {.struct_size = sizeof verify,
	    .policy = opts.policy,
	    .bundle = opts.bundle,
	    .single_thread = opts.single_thread,
	    .max_violations = 5};
	struct Seen seen;
	char *output = rewrite_text(assembly, opts, &seen);

	if (!output)
		fail_msg("%s: line %u: %s: %s", name, seen.line, seen.message, seen.text);
	write_file("out.s", output);
	if (run("as %s/out.s -o %s/out.o", folder, folder) != 0)
		fail_msg("%s does not assemble", name);
	verify_text(name, &verify);
	place(name, output, opts, &verify);
	lfi_rewrite_free(output);
}

static const struct {
	const char *command, *flags;
	bool rename;
} compilers[] = {
    {"gcc", "-ffixed-r11 -ffixed-r14 -ffixed-r15", false},
    {"clang", "-fno-integrated-as -mllvm -stress-regalloc=12", true},
    {"clang-19", "-fno-integrated-as -mllvm -stress-regalloc=12", true},
};

static const char *const levels[] = {
    "-O0", "-O1", "-O2", "-O3", "-Os", "-O2 -g", "-O3 -march=x86-64-v3", "-O2 -fPIC -ftls-model=global-dynamic"};

static const struct {
	const char *name;
	struct LFIRewriteOptions opts;
} variants[] = {
    {"full", {0}},
    {"full, bundles of 16", {.bundle = 16}},
    {"full, single thread, bundles of 16", {.bundle = 16, .single_thread = true}},
    {"full, without gs", {.no_segue = true}},
    {"full, without gs, bundles of 16", {.no_segue = true, .bundle = 16}},
    {"full, every stack move guarded, low table", {.no_guard_elim = true, .low_table = true}},
    {"stores", {.policy = LFI_POLICY_STORES}},
    {"jumps, single thread", {.policy = LFI_POLICY_JUMPS, .single_thread = true}},
};

static void
check_level(size_t compiler, const char *level)
{
	struct LFIRewriteOptions opts;
	char name[256], *assembly;
	size_t size;

	if (run("%s -w -fPIE %s %s -S %s/in.c -o %s/in.s", compilers[compiler].command, compilers[compiler].flags,
		level, folder, folder) != 0)
		fail_msg("%s %s does not compile", compilers[compiler].command, level);
	assembly = read_file("in.s", &size);
	for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++) {
		snprintf(name, sizeof name, "%s %s, %s", compilers[compiler].command, level, variants[v].name);
		opts = variants[v].opts;
		opts.rename_reserved = compilers[compiler].rename;
		check(name, assembly, opts);
	}
	free(assembly);
}

static void
what_the_rewriter_emits_verifies(void **state)
{
	write_file("in.c", snippets);
	for (size_t c = 0; c < sizeof compilers / sizeof compilers[0]; c++) {
		if (run("command -v %s >/dev/null", compilers[c].command) != 0) {
			print_message("%s is not installed: not checked\n", compilers[c].command);
			continue;
		}
		for (size_t l = 0; l < sizeof levels / sizeof levels[0]; l++)
			check_level(c, levels[l]);
	}
}

static int
make_folder(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int
remove_folder(void **state)
{
	return run("rm -rf %s", folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_the_rewriter_emits_verifies),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
