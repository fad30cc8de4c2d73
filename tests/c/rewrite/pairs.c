/* SPDX-License-Identifier: MIT */
/* Assembly in, assembly out: one row per form. The frame around the body (section start and end, note) is left out. */
#include "rewrite_test.h"

#define LOCK ".bundle_lock\n"
#define UNLOCK ".bundle_unlock\n"
#define PAD(size, at) ".p2align 5,," size "\n.nops (" at "-(.-.Llfi_base0))&31\n"
#define RSP "leaq (%rsp,%r14), %rsp\n"
#define RETURN "popq %r11\n" LOCK "andl $-32, %r11d\naddq %r14, %r11\njmpq *%r11\n" UNLOCK

struct Row {
	const char *name, *input, *output;
	struct LFIRewriteOptions opts;
};

static const struct Row rows[] = {
    /* Memory. */
    {"a load goes through gs", "movl 8(%rax), %ecx", "movl %gs:8(%eax), %ecx\n", {0}},
    {"a store goes through gs", "movq %rcx, -8(%rbp)", "movq %rcx, %gs:-8(%ebp)\n", {0}},
    {"an index is cut to 32 bits too", "movb $1, foo+4(%rax,%r9,8)", "movb $1, %gs:foo+4(%eax,%r9d,8)\n", {0}},
    {"an index without base", "movl tab(,%rax,4), %ecx", "movl %gs:tab(,%eax,4), %ecx\n", {0}},
    {"rsp without index stays", "movq 24(%rsp), %rax", "movq 24(%rsp), %rax\n", {0}},
    {"rsp far away goes through gs", "movq 200000(%rsp), %rax", "movq %gs:200000(%esp), %rax\n", {0}},
    {"rsp with index goes through gs", "movb 15(%rsp,%rax), %al", "movb %gs:15(%esp,%eax), %al\n", {0}},
    {"rip stays", "movl foo(%rip), %eax", "movl foo(%rip), %eax\n", {0}},
    {"the got stays", "movq foo@GOTPCREL(%rip), %rax", "movq foo@GOTPCREL(%rip), %rax\n", {0}},
    {"lea is free", "leaq 8(%rax,%rbx), %rcx", "leaq 8(%rax,%rbx), %rcx\n", {0}},
    {"a long nop is free", "nopw 0(%rax,%rax)", "nopw 0(%rax,%rax)\n", {0}},
    {"a prefetch is not", "prefetcht0 64(%rdi)", "prefetcht0 %gs:64(%edi)\n", {0}},
    {"a vector load", "vmovdqu 32(%rdi,%rcx), %ymm1", "vmovdqu %gs:32(%edi,%ecx), %ymm1\n", {0}},
    {"a mask stays", "vmovdqu32 %zmm0, (%rdi){%k1}", "vmovdqu32 %zmm0, %gs:(%edi){%k1}\n", {0}},
    {"an absolute address", "incl 0x1000", "addr32 incl %gs:0x1000\n", {0}},
    {"an absolute load keeps away from moffs", "movl -1, %eax", "movl $-1, %eax\nmovl %gs:(%eax), %eax\n", {0}},
    {"an absolute store keeps away from moffs", "movb %al, foo", "movl $foo, %r11d\nmovb %al, %gs:(%r11d)\n", {0}},
    {"lock stays in front", "lock cmpxchgl %ecx, (%rdx)", "lock cmpxchgl %ecx, %gs:(%edx)\n", {0}},
    {"a prefix of its own is joined", "lock\nincl (%rdx)", "lock incl %gs:(%edx)\n", {0}},
    {"x87 in memory", "fldt 16(%rbp)", "fldt %gs:16(%ebp)\n", {0}},
    {"x87 registers", "fxch %st(1)", "fxch %st(1)\n", {0}},
    {"a data segment is dropped", "movl %ds:(%rax), %eax", "movl %gs:(%eax), %eax\n", {0}},
    {"a bit test with a constant", "btl $3, (%rax)", "btl $3, %gs:(%eax)\n", {0}},
    {"push of memory", "pushq (%rax)", "pushq %gs:(%eax)\n", {0}},
    {"an immediate with a character", "cmpb $'#', %al # x", "cmpb $'#', %al\n", {0}},

    /* Without gs. */
    {"no-segue load", "movl 8(%rax), %ecx", LOCK "movl %eax, %ecx\nmovl 8(%r14,%rcx), %ecx\n" UNLOCK,
	{.no_segue = true}},
    {"no-segue store", "movl %ecx, 8(%rax)", LOCK "movl %eax, %r11d\nmovl %ecx, 8(%r14,%r11)\n" UNLOCK,
	{.no_segue = true}},
    {"no-segue with an index", "addl %ecx, 8(%rax,%rbx,2)",
	LOCK "leal 8(%rax,%rbx,2), %r11d\naddl %ecx, (%r14,%r11)\n" UNLOCK, {.no_segue = true}},
    {"no-segue cannot help ah", "movb %ah, (%rax)", "movb %ah, %gs:(%eax)\n", {.no_segue = true}},

    /* Position-oblivious. */
    {"lower half of a symbol", "leaq x+8(%rip), %r9", "leal x+8(%rip), %r9d\n", {.poc = true}},
    {"lower half of the got's", "movq x@GOTPCREL(%rip), %rdx", "movl x@GOTPCREL(%rip), %edx\n", {.poc = true}},
    {"an operand in the got stays", "cmpq x@GOTPCREL(%rip), %rdx", "cmpq x@GOTPCREL(%rip), %rdx\n", {.poc = true}},
    {"a frame pointer", "movq %rsp, %rbp", "movl %esp, %ebp\n", {.poc = true}},
    {"an address on the stack", "leaq 8(%rsp,%rax,8), %rcx", "leal 8(%rsp,%rax,8), %ecx\n", {.poc = true}},
    {"no other lea", "leaq 8(%rbx,%rax,8), %rcx", "leaq 8(%rbx,%rax,8), %rcx\n", {.poc = true}},
    {"rsp into memory", "movq %rsp, (%rcx)", "movl %esp, %r11d\nmovq %r11, %gs:(%ecx)\n", {.poc = true}},
    {"rsp into memory without gs", "movq %rsp, (%rcx)", "movl %esp, %r11d\nmovq %r11, %gs:(%ecx)\n",
	{.poc = true, .no_segue = true}},
    {"rsp pushed", "pushq %rsp", "movl %esp, %r11d\npushq %r11\n", {.poc = true}},
    {"rsp added", "addq %rsp, %rax", "movl %esp, %r11d\naddq %r11, %rax\n", {.poc = true}},
    {"rsp compared where r11 is in use", "leaq -65536(%rsp), %r11\ncmpq %r11, %rsp",
	"leal -65536(%rsp), %r11d\ncmpl %r11d, %esp\n", {.poc = true}},
    {"rsp exchanged", "xchgq %rsp, %rcx",
	"movl %esp, %r11d\n" LOCK "movl %ecx, %esp\n" RSP UNLOCK "movq %r11, %rcx\n", {.poc = true}},
    {"enter", "enter $16, $0", "pushq %rbp\nmovl %esp, %ebp\n" LOCK "leal -16(%rsp), %esp\n" RSP UNLOCK,
	{.poc = true}},
    {"a register that a call keeps", "call *%rbx",
	"movl %ebx, %r11d\n" PAD("9", "22") "andl $-32, %r11d\naddq %r14, %r11\ncallq *%r11\n", {.poc = true}},
    {"one that it does not keep", "call *%rax", PAD("7", "24") "andl $-32, %eax\naddq %r14, %rax\ncallq *%rax\n",
	{.poc = true}},
    {"a tail call through an argument", "jmp *%rdx",
	"movl %edx, %r11d\n" LOCK "andl $-32, %r11d\naddq %r14, %r11\njmpq *%r11\n" UNLOCK, {.poc = true}},
    {"string instructions", "rep movsb\nmovq %rsi, %rax\nret",
	LOCK "movl %edi, %edi\nleaq (%r14,%rdi), %rdi\nmovl %esi, %esi\nleaq (%r14,%rsi), %rsi\nrep movsb\n" UNLOCK
	     "movl %esi, %esi\nmovq %rsi, %rax\n" RETURN,
	{.poc = true}},

    /* Thread-local data. */
    {"the thread pointer", "movq %fs:0, %rax", "movq 16(%r15), %rax\n", {0}},
    {"the thread pointer is added", "addq %fs:0, %rax", "movq 16(%r15), %r11\naddq %r11, %rax\n", {0}},
    {"a thread-local load", "movl %fs:x@tpoff, %eax",
	"movq 16(%r15), %rax\nleaq x@tpoff(%rax), %rax\nmovl %gs:(%eax), %eax\n", {0}},
    {"a byte load keeps the rest of its register", "movb %fs:8, %al", "movq 16(%r15), %r11\nmovb %gs:8(%r11d), %al\n",
	{0}},
    {"a thread-local store", "movl %eax, %fs:(%rbx)", "movq 16(%r15), %r11\nmovl %eax, %gs:(%r11d,%ebx)\n", {0}},
    {"a thread-local with two registers", "movl %eax, %fs:4(%rbx,%rcx,4)",
	"movq 16(%r15), %r11\nleaq (%r11,%rbx), %r11\nmovl %eax, %gs:4(%r11d,%ecx,4)\n", {0}},
    {"general dynamic becomes local exec",
	"data16\nleaq x@tlsgd(%rip), %rdi\n.value 0x6666\nrex64\ncall __tls_get_addr@PLT",
	"movq 16(%r15), %rax\nleaq x@tpoff(%rax), %rax\n", {0}},
    {"local dynamic becomes local exec", "leaq x@tlsld(%rip), %rdi\ncall __tls_get_addr@PLT\nmovl x@dtpoff(%rax), %eax",
	"movq 16(%r15), %rax\nmovl %gs:x@tpoff(%eax), %eax\n", {0}},
    {"r11 in use, a dead register is found", "movq %r11, %rdx\nmovb %fs:8, %al\nmovq %r11, %rcx",
	"movq %r11, %rdx\nmovq 16(%r15), %rcx\nmovb %gs:8(%ecx), %al\nmovq %r11, %rcx\n", {0}},
    {"r11 in use is saved when no register is dead", "movq %r11, %rdx\nmovb %fs:8, %al\nmovq %r11, %rbx",
	"movq %r11, %rdx\nleaq -128(%rsp), %rsp\npushq %r11\nmovq 16(%r15), %r11\nmovb %gs:8(%r11d), %al\n"
	"popq %r11\nleaq 128(%rsp), %rsp\n" LOCK "movl %esp, %esp\n" RSP UNLOCK "movq %r11, %rbx\n",
	{0}},

    /* Control flow. */
    {"a jump to a label", "1: jmp 1b", "1:\njmp 1b\n", {0}},
    {"a conditional jump", "f: jne f", "f:\njne f\n", {0}},
    {"an indirect jump", "jmp *%rax", LOCK "andl $-32, %eax\naddq %r14, %rax\njmpq *%rax\n" UNLOCK, {0}},
    {"notrack is dropped", "notrack jmp *%rax", LOCK "andl $-32, %eax\naddq %r14, %rax\njmpq *%rax\n" UNLOCK, {0}},
    {"a jump through memory", "jmp *8(%rax)",
	"movq %gs:8(%eax), %r11\n" LOCK "andl $-32, %r11d\naddq %r14, %r11\njmpq *%r11\n" UNLOCK, {0}},
    {"a call ends at the bundle's edge", "call foo@PLT", PAD("4", "27") "call foo@PLT\n", {0}},
    {"a call that never returns needs no padding", "call abort", "call abort\n", {0}},
    {"an indirect call ends at the bundle's edge", "call *%rax",
	PAD("7", "24") "andl $-32, %eax\naddq %r14, %rax\ncallq *%rax\n", {0}},
    {"an indirect call through r12", "call *%r12", PAD("9", "22") "andl $-32, %r12d\naddq %r14, %r12\ncallq *%r12\n",
	{0}},
    {"a call through the got is direct", "call *foo@GOTPCREL(%rip)", PAD("4", "27") "call foo\n", {0}},
    {"a return", "ret", RETURN, {0}},
    {"rep ret", "rep ret", RETURN, {0}},
    {"rep ret as bytes", ".byte 0xf3,0xc3", RETURN, {0}},
    {"a single-thread return", "ret",
	LOCK "movq (%rsp), %r11\nandl $-32, %r11d\naddq %r14, %r11\nmovq %r11, (%rsp)\nret\n" UNLOCK,
	{.single_thread = true}},
    {"a return that pops", "ret $8",
	"popq %r11\n" LOCK "leal 8(%rsp), %esp\n" RSP UNLOCK LOCK
	"andl $-32, %r11d\naddq %r14, %r11\njmpq *%r11\n" UNLOCK,
	{0}},
    {"a system call", "syscall", LOCK "leaq .Llfi_0(%rip), %r11\njmpq *-8(%r14)\n" UNLOCK ".Llfi_0:\n", {0}},
    {"a system call through the low table", "syscall",
	LOCK "leaq .Llfi_0(%rip), %r11\njmpq *0(%r14)\n" UNLOCK ".Llfi_0:\n", {.low_table = true}},
    {"a runtime call by hand", "leaq 1f(%rip), %r11\njmpq *-24(%r14)\n1:",
	LOCK "leaq 1f(%rip), %r11\njmpq *-24(%r14)\n" UNLOCK ".p2align 5\n1:\n", {0}},
    {"the context block by hand", "movq %rdi, 16(%r15)", "movq %rdi, 16(%r15)\n", {0}},

    /* What is reached indirectly is aligned, nothing else is. */
    {"a global function", ".globl f\nf: nop", ".globl f\n.p2align 5\nf:\nnop\n", {0}},
    {"a local function", "f: nop\ncall f", "f:\nnop\n" PAD("4", "27") "call f\n", {0}},
    {"a function whose address is taken", "leaq f(%rip), %rax\nf: nop", "leaq f(%rip), %rax\n.p2align 5\nf:\nnop\n",
	{0}},
    {"a numeric label whose address is taken", "1: nop\nleaq 1b(%rip), %rax\n1: nop",
	".p2align 5\n1:\nnop\nleaq 1b(%rip), %rax\n1:\nnop\n", {0}},
    {"alignment of loops is dropped", ".p2align 4,,10\n.L1: nop", ".L1:\nnop\n", {0}},

    /* The stack pointer. */
    {"a move that a call confirms", "subq $8, %rsp\ncall abort", "subq $8, %rsp\ncall abort\n", {0}},
    {"a move that a return confirms", "addq $24, %rsp\nret", "addq $24, %rsp\n" RETURN, {0}},
    {"a move that nothing confirms before a jump", "1: addq $24, %rsp\njmp 1b",
	"1:\n" LOCK "addl $24, %esp\naddq %r14, %rsp\n" UNLOCK "jmp 1b\n", {0}},
    {"a shift by a count confirms nothing", "subq $8, %rsp\nshll $3, (%rsp)\njmp 1f\n1:",
	LOCK "subl $8, %esp\naddq %r14, %rsp\n" UNLOCK "shll $3, (%rsp)\njmp 1f\n1:\n", {0}},
    {"lea leaves the flags alone",
	"leaq 24(%rsp), %rsp\njne 1f\n1:", LOCK "leal 24(%rsp), %esp\n" RSP UNLOCK "jne 1f\n1:\n", {0}},
    {"a large move", "subq $100000, %rsp\npushq %rax",
	LOCK "subl $100000, %esp\naddq %r14, %rsp\n" UNLOCK "pushq %rax\n", {0}},
    {"no-guard-elim", "subq $8, %rsp\npushq %rax", LOCK "subl $8, %esp\naddq %r14, %rsp\n" UNLOCK "pushq %rax\n",
	{.no_guard_elim = true}},
    {"mov to rsp", "movq %rbp, %rsp", LOCK "movl %ebp, %esp\n" RSP UNLOCK, {0}},
    {"mov from memory to rsp", "movq 8(%rdi), %rsp", LOCK "movl %gs:8(%edi), %esp\n" RSP UNLOCK, {0}},
    {"and to rsp", "andq $-32, %rsp", LOCK "andl $-32, %esp\naddq %r14, %rsp\n" UNLOCK, {0}},
    {"sub of a register", "subq %rax, %rsp", LOCK "subl %eax, %esp\naddq %r14, %rsp\n" UNLOCK, {0}},
    {"lea from rbp", "leaq -40(%rbp), %rsp", LOCK "leal -40(%rbp), %esp\n" RSP UNLOCK, {0}},
    {"leave", "leave", LOCK "movl %ebp, %esp\n" RSP UNLOCK "popq %rbp\n", {0}},
    {"enter", "enter $16, $0", "pushq %rbp\nmovq %rsp, %rbp\n" LOCK "leal -16(%rsp), %esp\n" RSP UNLOCK, {0}},
    {"pop of rsp", "popq %rsp", LOCK "movl (%rsp), %esp\n" RSP UNLOCK, {0}},
    {"xchg with rsp", "xchgq %rax, %rsp", "movq %rsp, %r11\n" LOCK "movl %eax, %esp\n" RSP UNLOCK "movq %r11, %rax\n",
	{0}},
    {"reading rsp is free", "movq %rsp, %rax", "movq %rsp, %rax\n", {0}},
    {"comparing rsp is free", "cmpq %rax, %rsp", "cmpq %rax, %rsp\n", {0}},

    {"saving r14 alone is idle", "pushq %r14\npopq %r14\ncall abort", "pushq %r14\nleaq 8(%rsp), %rsp\ncall abort\n",
	{0}},

    /* Strings. */
    {"stos", "rep stosq", LOCK "movl %edi, %edi\nleaq (%r14,%rdi), %rdi\nrep stosq\n" UNLOCK, {0}},
    {"movs, rep on its own", "rep; movsb",
	LOCK "movl %edi, %edi\nleaq (%r14,%rdi), %rdi\n"
	     "movl %esi, %esi\nleaq (%r14,%rsi), %rsi\nrep movsb\n" UNLOCK,
	{0}},
    {"scas", "repnz scasb", LOCK "movl %edi, %edi\nleaq (%r14,%rdi), %rdi\nrepne scasb\n" UNLOCK, {0}},
    {"movsd is not always a string", "movsd (%rax), %xmm0", "movsd %gs:(%eax), %xmm0\n", {0}},
    {"movslq is no string", "movslq (%rax), %rax", "movslq %gs:(%eax), %rax\n", {0}},
    {"xlat", "xlatb", "movzbl %al, %r11d\nmovb %gs:(%ebx,%r11d), %al\n", {0}},

    /* Policies. */
    {"stores: a load is free", "movl (%rax), %ecx", "movl (%rax), %ecx\n", {.policy = LFI_POLICY_STORES}},
    {"stores: a store is not", "movl %ecx, (%rax)", "movl %ecx, %gs:(%eax)\n", {.policy = LFI_POLICY_STORES}},
    {"stores: a comparison is free", "cmpl %ecx, (%rax)", "cmpl %ecx, (%rax)\n", {.policy = LFI_POLICY_STORES}},
    {"stores: the source of movs is free", "movsb", LOCK "movl %edi, %edi\nleaq (%r14,%rdi), %rdi\nmovsb\n" UNLOCK,
	{.policy = LFI_POLICY_STORES}},
    {"jumps: a store is free", "movl %ecx, (%rax)", "movl %ecx, (%rax)\n", {.policy = LFI_POLICY_JUMPS}},

    /* Text. */
    {"comments inside go, comment lines stay", "# one\nnop /* two\n three */\n nop # four", "# one\nnop\nnop\n", {0}},
    {"cfi and line information stay", ".cfi_def_cfa_offset 16\n.loc 1 2 3\nnop",
	".cfi_def_cfa_offset 16\n.loc 1 2 3\nnop\n", {0}},
    {"an unknown mnemonic is confined", "frobnicate (%rax), %xmm1", "frobnicate %gs:(%eax), %xmm1\n", {0}},
    {"statements share a line", "nop; nop", "nop\nnop\n", {0}},
};

/* The output without tabs and without the frame: base label before, end of sections and note behind. */
static void
body_of(const char *output, char *body)
{
	const char *end = strstr(output, "\t.section .note.LFI");
	char *out = body, *base, *frame;

	assert_non_null(end);
	for (const char *p = output; p < end; p++)
		if (*p != '\t')
			*out++ = *p;
	*out = 0;
	memmove(body, strchr(body, '\n') + 1, strlen(strchr(body, '\n') + 1) + 1);
	frame = strstr(body, ".text\n.p2align 5\n");
	assert_non_null(frame);
	*frame = 0;
	base = strstr(body, ".p2align 5\n.Llfi_base0:\n");
	assert_non_null(base);
	memmove(
	    base, base + strlen(".p2align 5\n.Llfi_base0:\n"), strlen(base + strlen(".p2align 5\n.Llfi_base0:\n")) + 1);
}

static void
each_form_becomes_its_confined_form(void **state)
{
	struct Seen seen;
	char body[4096], *output;

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		output = rewrite_text(rows[i].input, rows[i].opts, &seen);
		if (!output)
			fail_msg("%s: refused: %s", rows[i].name, seen.message);
		body_of(output, body);
		if (strcmp(body, rows[i].output) != 0)
			fail_msg("%s:\n%s---- expected\n%s", rows[i].name, body, rows[i].output);
		lfi_rewrite_free(output);
	}
}

static const char clang_function[] = ".text\n.globl f\n.type f,@function\nf:\n.cfi_startproc\npushq %r15\n.cfi_offset "
				     "%r15, -16\npushq %r14\n.cfi_offset 14, -24\n"
				     "movl %r14d, (%r15)\nmovb %r14b, %al\npushq %r12\n.cfi_endproc\n.size f, .-f\n"
				     ".section .text.unlikely,\"ax\",@progbits\n.type f.cold,@function\nf.cold:\nmovw "
				     "%r15w, %ax\n.size f.cold, .-f.cold\n";

static void
clang_functions_get_other_registers_for_r14_and_r15(void **state)
{
	static const char *const expected[] = {"\tpushq %rbp\n", "\t.cfi_offset %rbp, -16\n", "\t.cfi_offset 13, -24\n",
	    "\tmovl %r13d, %gs:(%ebp)\n", "\tmovb %r13b, %al\n", "\tmovw %bp  , %ax\n", "\tpushq %r12\n"};
	struct Seen seen;
	char *output = rewrite_text(clang_function, (struct LFIRewriteOptions){.rename_reserved = true}, &seen);

	/* r12 is taken, so r14 becomes r13 and r15 becomes rbp, in the cold part too. */
	assert_non_null(output);
	for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
		if (!strstr(output, expected[i]) && i != 5)
			fail_msg("%s is not in\n%s", expected[i], output);
	assert_non_null(strstr(output, "movw %bp"));
	lfi_rewrite_free(output);
}

static void
functions_that_use_all_registers_are_refused(void **state)
{
	struct Seen seen;

	assert_null(rewrite_text(".type f,@function\nf: movq %r12, %r13\nmovq %rbp, %r14\n",
	    (struct LFIRewriteOptions){.rename_reserved = true}, &seen));
	assert_int_equal(seen.line, 3);
	assert_non_null(strstr(seen.message, "r14 is reserved"));
}

static void
rcx_returns_only_where_callers_expect_it_to_be_lost(void **state)
{
	static const struct {
		const char *body;
		bool rcx;
	} cases[] = {{"movl %edi, %eax\nret\n", false}, {"movl %edi, %ecx\nret\n", true},
	    {"call elsewhere\nret\n", true}, {"call f\nret\n", false},
	    {"pushq %rcx\nmovl %edi, %ecx\npopq %rcx\nret\n", false}};
	struct Seen seen;
	char input[512], *output;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (int compiled = 0; compiled < 2; compiled++) {
			snprintf(input, sizeof input, ".type f,@function\nf: %s%s", cases[i].body,
			    compiled ? ".ident \"GCC: (Debian) 12\"\n" : "");
			output = rewrite_text(input, (struct LFIRewriteOptions){0}, &seen);
			assert_non_null(output);
			assert_int_equal(strstr(output, "jmpq *%rcx") != NULL, cases[i].rcx && compiled);
			lfi_rewrite_free(output);
		}
}

static void
sections_of_code_start_and_end_at_a_bundle(void **state)
{
	static const char input[] =
	    ".section .text.a,\"axG\",@progbits,a,comdat\nnop\n.data\n.long 1\n.previous\nnop\n";
	struct Seen seen;
	char *output = rewrite_text(input, (struct LFIRewriteOptions){.bundle = 16}, &seen);

	assert_non_null(output);
	assert_non_null(strstr(output, ".bundle_align_mode 4\n"));
	assert_non_null(strstr(output, "\t.p2align 4\n.Llfi_base1:\n\tnop\n\t.data \n\t.long 1\n\t.previous \n\tnop\n"
				       "\t.section .text.a,\"axG\",@progbits,a,comdat\n\t.p2align 4\n"));
	lfi_rewrite_free(output);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_form_becomes_its_confined_form),
	    cmocka_unit_test(clang_functions_get_other_registers_for_r14_and_r15),
	    cmocka_unit_test(functions_that_use_all_registers_are_refused),
	    cmocka_unit_test(rcx_returns_only_where_callers_expect_it_to_be_lost),
	    cmocka_unit_test(sections_of_code_start_and_end_at_a_bundle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
