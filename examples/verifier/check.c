/* SPDX-License-Identifier: MIT */
/*
 * The verifier by itself, as a build server would use it: flat code in, verdict out. Links liblfi-verify.a and nothing
 * else of lfi: check [FILE]... Without files it looks at two snippets of its own.
 */
#include <lfi/lfi_verify.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUNDLE 32
#define TRAP 0xcc         /* int3 */
#define OFFSET 0x100000   /* where the code will be, from the sandbox's base */
#define FILE_MAX 16777216 /* bytes */

static bool
print_violation(const struct LFIViolation *violation, void *user)
{
	const char *name = user;

	printf("%s: +0x%zx: `%s`: %s (%s)\n", name, violation->offset, violation->insn, violation->reason,
	    lfi_verify_rule_name(violation->rule));
	return true; /* go on */
}

static void
print_features(const char *name, uint64_t cpu)
{
	printf("%s: accepted; it needs", name);
	for (int i = 0; i < LFI_CPU_COUNT; i++)
		if (cpu >> i & 1)
			printf(" %s", lfi_cpu_feature_name(i));
	puts(cpu ? "" : " nothing beyond x86-64-v1");
}

/* 0 when the code is accepted. `code` has room for whole bundles. */
static int
check(const char *name, unsigned char *code, size_t size)
{
	struct LFIVerifyOptions options = {.struct_size = sizeof options, .max_violations = 10};
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	size_t whole = (size + BUNDLE - 1) / BUNDLE * BUNDLE, scratch_size = lfi_verify_scratch_size(whole);
	void *scratch = malloc(scratch_size + 1);
	int refused;

	if (!scratch)
		return 1;
	memset(code + size, TRAP, whole - size); /* as a loader fills the last page */
	refused =
	    lfi_verify(&options, code, whole, OFFSET, scratch, scratch_size, print_violation, (void *) name, &report);
	if (!refused)
		print_features(name, report.cpu);
	free(scratch);
	return refused;
}

static int
check_file(const char *name)
{
	unsigned char *code = malloc(FILE_MAX + BUNDLE);
	FILE *file = fopen(name, "rb");
	int result = 1;

	if (code && file)
		result = check(name, code, fread(code, 1, FILE_MAX, file));
	else
		perror(name);
	if (file)
		fclose(file);
	free(code);
	return result;
}

/* xorl %eax, %eax; movl %gs:(%edi), %ecx; popcntl %ecx, %eax; popq %r11; andl $-32, %r11d; addq %r14, %r11; jmpq *%r11
 */
static unsigned char good[64] =
    "\x31\xc0\x67\x65\x8b\x0f\xf3\x0f\xb8\xc1\x41\x5b\x41\x83\xe3\xe0\x4d\x01\xf3\x41\xff\xe3";
/* xorl %eax, %eax; movl (%rdi), %ecx; ret */
static unsigned char bad[64] = "\x31\xc0\x8b\x0f\xc3";

int
main(int argc, char **argv)
{
	int refused = 0;

	for (int i = 1; i < argc; i++)
		refused |= check_file(argv[i]);
	if (argc > 1)
		return refused;
	check("good", good, 22);
	check("bad", bad, 5);
	return 0;
}
