/* SPDX-License-Identifier: MIT */
/* What cannot be confined is an error with its place, never silent. */
#include "rewrite_test.h"

struct Row {
	const char *input;
	unsigned line, column;
	const char *message;
	struct LFIRewriteOptions opts;
};

static const struct Row rows[] = {
    {"\tmovl %eax, %r14d", 1, 13, "r14 is reserved", {0}},
    {"\tmovl 8(%r14), %eax", 1, 7, "r14 is reserved", {0}},
    {"nop\nnop; movq %r15, %rax", 2, 11, "r15 is reserved", {0}},
    {"movq 24(%r15), %rax", 1, 6, "r15 is reserved", {0}},
    {"movl 16(%r15,%rax), %eax", 1, 6, "r15 is reserved", {0}},
    {"popq %r14\nmovq %r14, %rax", 1, 6, "r14 is reserved", {0}},
    {"sgdt (%rax)", 1, 1, "system", {0}},
    {"strw %ax", 1, 1, "system", {0}},
    {"rdpid %rax", 1, 1, "verifier", {0}},
    {"leal 16(%r15), %eax", 1, 6, "r15 is reserved", {0}},
    {" movl %gs:0, %eax", 1, 7, "gs belongs to the sandbox", {0}},
    {"btsq %rax, (%rdi)", 1, 1, "reaches anywhere", {0}},
    {"btq %rax, (%rdi)", 1, 1, "reaches anywhere", {0}},
    {"btsq %rax, (%rdi)", 1, 1, "reaches anywhere", {.policy = LFI_POLICY_STORES}},
    {"vpgatherdd %ymm0, (%rax,%ymm1,4), %ymm2", 1, 1, "gathers", {0}},
    {"vpscatterdd %zmm0, (%rax,%zmm1,4){%k1}", 1, 1, "gathers", {.policy = LFI_POLICY_STORES}},
    {"vmovups (%rax,%ymm1,4), %ymm2", 1, 9, "kind of address", {0}},
    {"maskmovdqu %xmm0, %xmm1", 1, 1, "stores through rdi", {0}},
    {"vmaskmovdqu %xmm0, %xmm1", 1, 1, "stores through rdi", {0}},
    {"popfq", 1, 1, "trap", {0}},
    {"int $0x80", 1, 1, "use syscall", {0}},
    {"lret", 1, 1, "far transfers", {0}},
    {"wrfsbase %rax", 1, 1, "fs belongs", {0}},
    {"xsave (%rax)", 1, 1, "processor state", {0}},
    {"in %dx, %al", 1, 1, "privileged", {0}},
    {"movw %ax, %ds", 1, 11, "segment registers", {0}},
    {"incq %rsp", 1, 1, "stack pointer", {0}},
    {"movl $1, %esp", 1, 10, "part of the stack pointer", {0}},
    {"xaddq %rax, %rsp", 1, 1, "stack pointer", {0}},
    {"cmovne %rax, %rsp", 1, 1, "stack pointer", {0}},
    {"enter $8, $1", 1, 1, "nesting", {0}},
    {"jmp .+4", 1, 5, "no fixed meaning", {0}},
    {"jmp foo+4", 1, 5, "only go to a label", {0}},
    {"jmp", 1, 1, "needs one target", {0}},
    {"jne *%rax", 1, 1, "needs a label", {0}},
    {"call *%eax", 1, 6, "cannot be confined", {0}},
    {"call *%rsp", 1, 6, "cannot be confined", {0}},
    {"ret $x", 1, 5, "takes a number", {0}},
    {".byte 0x90", 1, 1, "in a section of code", {0}},
    {".long 1", 1, 1, "in a section of code", {0}},
    {".ascii \"x\"", 1, 1, "in a section of code", {0}},
    {".skip 4", 1, 1, "in a section of code", {0}},
    {".org 64", 1, 1, "in a section of code", {0}},
    {".incbin \"x\"", 1, 1, "in a section of code", {0}},
    {".quad foo", 1, 1, "in a section of code", {0}},
    {".section .text.x,\"ax\"\n.byte 0", 2, 1, "in a section of code", {0}},
    {".section x,\"awx\"\n.byte 0", 2, 1, "in a section of code", {0}},
    {".macro m", 1, 1, "`.macro`", {0}},
    {".include \"x\"", 1, 1, "`.include`", {0}},
    {".code32", 1, 1, "`.code32`", {0}},
    {".intel_syntax noprefix", 1, 1, "`.intel_syntax`", {0}},
    {".bundle_lock", 1, 1, "`.bundle_lock`", {0}},
    {".section .init,\"ax\"\nnop", 2, 1, "use .init_array", {0}},
    {".type f,@gnu_indirect_function", 1, 9, "IFUNC", {0}},
    {"movl %foo, %eax", 1, 6, "no register", {0}},
    {"movl (%foo), %eax", 1, 6, "not understood", {0}},
    {"movl %eax $1", 1, 11, "not expected", {0}},
    {"rep movsb %fs:(%rsi), (%rdi)", 1, 11, "segment", {0}},
    {"leaq x@tlsgd(%rip), %rdi\nret", 1, 6, "__tls_get_addr", {0}},
    {".pushsection", 1, 1, "without a name", {0}},
};

static void
each_construct_is_refused_at_its_place(void **state)
{
	struct Seen seen;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (rewrite_text(rows[i].input, rows[i].opts, &seen))
			fail_msg("%s is not refused", rows[i].input);
		if (lfi_errno() != LFI_ERR_REWRITE || !strstr(seen.message, rows[i].message) ||
		    seen.line != rows[i].line || seen.column != rows[i].column)
			fail_msg("%s: %u:%u: %s", rows[i].input, seen.line, seen.column, seen.message);
	}
}

static void
line_markers_name_the_file(void **state)
{
	static const char input[] = "nop\n# 40 \"a.c\" 1\nnop\npopfq\n# 0 \"\" 2\n";
	struct Seen seen;

	assert_null(rewrite_text(input, (struct LFIRewriteOptions){0}, &seen));
	assert_int_equal(seen.line, 41);
	assert_string_equal(
	    lfi_errmsg(), "a.c:41: `popfq` cannot be confined: it may set the trap and alignment flags");
}

static void
all_errors_of_a_file_are_reported(void **state)
{
	struct Seen seen;

	assert_null(rewrite_text("popfq\nsysenter\nnop\ninto\n", (struct LFIRewriteOptions){0}, &seen));
	assert_int_equal(seen.count, 3);
	assert_string_equal(seen.text, "popfq");
}

static void
data_outside_code_is_not_looked_at(void **state)
{
	struct Seen seen;
	char *output = rewrite_text(
	    ".data\n.byte 1\n.section .rodata\n.ascii \"%r14 ; # popfq\"\n", (struct LFIRewriteOptions){0}, &seen);

	assert_non_null(output);
	assert_non_null(strstr(output, ".ascii \"%r14 ; # popfq\"\n"));
	lfi_rewrite_free(output);
}

static void
bad_options_are_refused(void **state)
{
	static const struct LFIRewriteOptions bad[] = {{.bundle = 24}, {.policy = 3}, {.policy = -1},
	    {.poc = true, .policy = LFI_POLICY_STORES}, {.poc = true, .policy = LFI_POLICY_JUMPS}};
	struct Seen seen;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_null(rewrite_text("nop", bad[i], &seen));
		assert_int_equal(lfi_errno(), LFI_ERR_INVALID);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_construct_is_refused_at_its_place),
	    cmocka_unit_test(line_markers_name_the_file),
	    cmocka_unit_test(all_errors_of_a_file_are_reported),
	    cmocka_unit_test(data_outside_code_is_not_looked_at),
	    cmocka_unit_test(bad_options_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
