/* SPDX-License-Identifier: MIT */
/* Placing confined code: what comes out verifies, is what goes in, and wrong object files are refused. */
#include <lfi/lfi.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct file {
	char *data;
	size_t size;
};

static struct file
read_file(const char *path)
{
	struct file file;
	FILE *f = fopen(path, "rb");

	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	file.size = (size_t) ftell(f);
	rewind(f);
	file.data = aligned_alloc(64, (file.size + 64) & ~(size_t) 63);
	assert_int_equal(fread(file.data, 1, file.size, f), file.size);
	fclose(f);
	return file;
}

/* Assembles a text; the object file, or with `section` that section's bytes. */
static struct file
assemble(const char *text, size_t size, const char *section)
{
	char folder[] = "/tmp/lfi-layout-XXXXXX", command[512], path[256];
	struct file file;
	FILE *f;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/a.s", folder);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, size, f), size);
	fclose(f);
	snprintf(command, sizeof command, "cd %s && as a.s -o a.o && objcopy -O binary -j '%s' a.o a.bin", folder,
	    section ? section : ".text");
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof path, "%s/%s", folder, section ? "a.bin" : "a.o");
	file = read_file(path);
	snprintf(command, sizeof command, "rm -r %s", folder);
	assert_int_equal(system(command), 0);
	return file;
}

static struct file
confine(const char *text, struct LFIRewriteOptions opts)
{
	struct file out;

	opts.struct_size = sizeof opts;
	assert_int_equal(lfi_rewrite(&opts, text, strlen(text), &out.data, &out.size, NULL, NULL), 0);
	return out;
}

static struct file
place(struct file confined, struct LFIRewriteOptions opts)
{
	struct file measure, object, out;

	opts.struct_size = sizeof opts;
	assert_int_equal(lfi_rewrite_measure(confined.data, confined.size, &measure.data, &measure.size), 0);
	object = assemble(measure.data, measure.size, NULL);
	assert_int_equal(
	    lfi_rewrite_layout(&opts, confined.data, confined.size, object.data, object.size, &out.data, &out.size), 0);
	lfi_rewrite_free(measure.data);
	free(object.data);
	return out;
}

static bool
print_violation(const struct LFIViolation *violation, void *user)
{
	printf("%#zx: %s: %s\n", violation->offset, violation->insn, violation->reason);
	return true;
}

static void
assert_verifies(struct file code, const struct LFIRewriteOptions *opts)
{
	struct LFIVerifyOptions how = {.struct_size = sizeof how, .bundle = opts->bundle, .single_thread = opts->single_thread};
	size_t scratch_size = lfi_verify_scratch_size(code.size);
	void *scratch = aligned_alloc(8, (scratch_size + 7) & ~(size_t) 7);

	assert_int_equal(
	    lfi_verify(&how, code.data, code.size, 1 << 20, scratch, scratch_size, print_violation, NULL, NULL), 0);
	free(scratch);
}

/* `calls` calls with ever more code in between, behind a moved stack pointer, in a loop and not. */
static char *
program(unsigned calls, bool loop)
{
	char *text = malloc(1 << 20), *at = text;

	at += sprintf(at, "\t.text\n\t.globl f\n\t.type f, @function\nf:\n\tsubq $24, %%rsp\n");
	if (loop)
		at += sprintf(at, "1:\n");
	for (unsigned i = 0; i < calls; i++) {
		for (unsigned byte = 0; byte < i % 41; byte++)
			at += sprintf(at, byte % 7 ? "\tincl %%eax\n" : "\tmovl 8(%%rsp), %%ecx\n");
		if (i % 2)
			at += sprintf(at, "\tsubq $16, %%rsp\n%s", i % 4 == 1 ? "\tleaq 0x12345678(%rax,%rbx,4), %rcx\n" : "");
		at += sprintf(at, i % 5 == 4 ? "\tcall *%%rbx\n" : "\tcall f\n");
		if (i % 2)
			at += sprintf(at, "\taddq $16, %%rsp\n");
		if (i % 3 == 0)
			at += sprintf(at, "\tjne .Lend\n");
	}
	at += sprintf(at, "%s\n.Lend:\n\taddq $24, %%rsp\n\tret\n", loop ? "\tjne 1b" : "");
	return text;
}

static void
what_is_placed_verifies(void **state)
{
	const struct LFIRewriteOptions options[] = {
	    {.bundle = 32}, {.bundle = 16}, {.bundle = 32, .single_thread = true}, {.bundle = 16, .single_thread = true}};

	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
		for (unsigned calls = 1; calls < 200; calls = calls * 3 / 2 + 1)
			for (int loop = 0; loop < 2; loop++) {
				char *text = program(calls, loop);
				struct file confined = confine(text, options[i]), placed = place(confined, options[i]);
				struct file code = assemble(placed.data, placed.size, ".text");

				assert_verifies(code, &options[i]);
				free(text);
				free(code.data);
				lfi_rewrite_free(confined.data);
				lfi_rewrite_free(placed.data);
			}
}

static void
placing_makes_code_smaller(void **state)
{
	const struct LFIRewriteOptions options = {.bundle = 32};
	char *text = program(150, false);
	struct file confined = confine(text, options), placed = place(confined, options);
	struct file before = assemble(confined.data, confined.size, ".text");
	struct file after = assemble(placed.data, placed.size, ".text");

	assert_true(after.size < before.size);
	assert_non_null(strstr(placed.data, ".Llfi_r")); /* a landing */
	free(text);
	free(before.data);
	free(after.data);
	lfi_rewrite_free(confined.data);
	lfi_rewrite_free(placed.data);
}

static void
single_thread_returns_get_no_landing(void **state)
{
	const struct LFIRewriteOptions options = {.bundle = 32, .single_thread = true};
	char *text = program(150, false);
	struct file confined = confine(text, options), placed = place(confined, options);

	assert_null(strstr(placed.data, "jmp .Llfi_r"));
	free(text);
	lfi_rewrite_free(confined.data);
	lfi_rewrite_free(placed.data);
}

static void
assert_refused(struct file confined, const void *object, size_t size, const char *message)
{
	char *out = NULL;

	assert_int_equal(lfi_rewrite_layout(NULL, confined.data, confined.size, object, size, &out, NULL), -1);
	assert_null(out);
	assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	if (!strstr(lfi_errmsg(), message))
		fail_msg("'%s' does not say '%s'", lfi_errmsg(), message);
}

static void
an_object_file_that_does_not_belong_is_refused(void **state)
{
	struct file confined = confine("f:\tincl %eax\n\tret\n", (struct LFIRewriteOptions){0});
	struct file other = confine("f:\tret\n", (struct LFIRewriteOptions){0}), measure, object;
	_Alignas(8) char junk[128] = "no object file";

	assert_refused(confined, NULL, 0, "NULL");
	assert_refused(confined, junk, sizeof junk, "no section");
	assert_refused(confined, junk + 1, 64, "not 8-byte aligned");
	assert_int_equal(lfi_rewrite_measure(other.data, other.size, &measure.data, &measure.size), 0);
	object = assemble(measure.data, measure.size, NULL);
	assert_refused(confined, object.data, object.size, "instructions");
	for (size_t size = 0; size < object.size; size++) {
		void *cut = malloc(size + 1); /* ASan sees a read behind the end */

		assert_refused(confined, memcpy(cut, object.data, size), size, "");
		free(cut);
	}
	lfi_rewrite_free(measure.data);
	lfi_rewrite_free(confined.data);
	lfi_rewrite_free(other.data);
	free(object.data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_placed_verifies),
	    cmocka_unit_test(placing_makes_code_smaller),
	    cmocka_unit_test(single_thread_returns_get_no_landing),
	    cmocka_unit_test(an_object_file_that_does_not_belong_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
