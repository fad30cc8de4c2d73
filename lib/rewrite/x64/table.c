/* SPDX-License-Identifier: MIT */
/*
 * What the rewriter knows about mnemonics: one row each. A mnemonic without a
 * row is passed on with its memory operands confined and its last operand
 * taken for written; the verifier decides. Not trusted.
 */
#include <string.h>

#include "insn.h"

#define MOV (SUFFIX | CONFIRMS | LOADS)
#define ALU (SUFFIX | CONFIRMS | FLAGS)
#define VEC (CONFIRMS | VEX)

static const struct InsnRow rows[] = {
	/* Moves and arithmetic. */
	{"mov", INSN_PLAIN, MOV, NULL},
	{"movabs", INSN_PLAIN, SUFFIX | LOADS, NULL},
	{"movzb", INSN_PLAIN, MOV, NULL},
	{"movzw", INSN_PLAIN, MOV, NULL},
	{"movzx", INSN_PLAIN, MOV, NULL},
	{"movsx", INSN_PLAIN, MOV, NULL},
	{"movsxd", INSN_PLAIN, MOV, NULL},
	{"movsb", INSN_STRING, SUFFIX | DST | SRC | CONFIRMS | LOADS, NULL},
	{"movsw", INSN_STRING, SUFFIX | DST | SRC | CONFIRMS | LOADS, NULL},
	{"movsl", INSN_STRING, SUFFIX | DST | SRC | CONFIRMS | LOADS, NULL},
	{"movsq", INSN_STRING, DST | SRC, NULL},
	{"add", INSN_PLAIN, ALU, NULL},
	{"sub", INSN_PLAIN, ALU, NULL},
	{"adc", INSN_PLAIN, ALU & ~FLAGS, NULL},
	{"sbb", INSN_PLAIN, ALU & ~FLAGS, NULL},
	{"and", INSN_PLAIN, ALU, NULL},
	{"or", INSN_PLAIN, ALU, NULL},
	{"xor", INSN_PLAIN, ALU, NULL},
	{"cmp", INSN_PLAIN, ALU | READS, NULL},
	{"test", INSN_PLAIN, ALU | READS, NULL},
	{"inc", INSN_PLAIN, SUFFIX | CONFIRMS, NULL},
	{"dec", INSN_PLAIN, SUFFIX | CONFIRMS, NULL},
	{"neg", INSN_PLAIN, ALU, NULL},
	{"not", INSN_PLAIN, SUFFIX | CONFIRMS, NULL},
	{"mul", INSN_PLAIN, ALU | READS, NULL},
	{"imul", INSN_PLAIN, ALU, NULL},
	{"div", INSN_PLAIN, ALU | READS, NULL},
	{"idiv", INSN_PLAIN, ALU | READS, NULL},
	{"shl", INSN_PLAIN, SUFFIX | CONFIRMS, NULL},
	{"sal", INSN_PLAIN, SUFFIX | CONFIRMS, NULL},
	{"shr", INSN_PLAIN, SUFFIX | CONFIRMS, NULL},
	{"sar", INSN_PLAIN, SUFFIX | CONFIRMS, NULL},
	{"rol", INSN_PLAIN, SUFFIX | CONFIRMS, NULL},
	{"ror", INSN_PLAIN, SUFFIX | CONFIRMS, NULL},
	{"xchg", INSN_EXCHANGE, SUFFIX | CONFIRMS, NULL},
	{"xadd", INSN_EXCHANGE, SUFFIX | CONFIRMS, NULL},
	{"lea", INSN_LEA, SUFFIX | LOADS, NULL},
	{"push", INSN_PUSH, SUFFIX | READS, NULL},
	{"pop", INSN_POP, SUFFIX, NULL},
	{"bt", INSN_BITTEST, SUFFIX | READS, NULL},
	{"bts", INSN_BITTEST, SUFFIX, NULL},
	{"btr", INSN_BITTEST, SUFFIX, NULL},
	{"btc", INSN_BITTEST, SUFFIX, NULL},

	/* Vectors, as far as they are common with stack operands or only read. */
	{"movaps", INSN_PLAIN, VEC, NULL},
	{"movups", INSN_PLAIN, VEC, NULL},
	{"movapd", INSN_PLAIN, VEC, NULL},
	{"movupd", INSN_PLAIN, VEC, NULL},
	{"movdqa", INSN_PLAIN, VEC, NULL},
	{"movdqu", INSN_PLAIN, VEC, NULL},
	{"movd", INSN_PLAIN, VEC, NULL},
	{"movss", INSN_PLAIN, VEC, NULL},
	{"movsd", INSN_STRING, VEC | DST | SRC, NULL},
	{"movlps", INSN_PLAIN, VEC, NULL},
	{"movhps", INSN_PLAIN, VEC, NULL},
	{"movlpd", INSN_PLAIN, VEC, NULL},
	{"movhpd", INSN_PLAIN, VEC, NULL},
	{"addss", INSN_PLAIN, VEC, NULL},
	{"addsd", INSN_PLAIN, VEC, NULL},
	{"subss", INSN_PLAIN, VEC, NULL},
	{"subsd", INSN_PLAIN, VEC, NULL},
	{"mulss", INSN_PLAIN, VEC, NULL},
	{"mulsd", INSN_PLAIN, VEC, NULL},
	{"divss", INSN_PLAIN, VEC, NULL},
	{"divsd", INSN_PLAIN, VEC, NULL},
	{"ucomiss", INSN_PLAIN, VEC | READS, NULL},
	{"ucomisd", INSN_PLAIN, VEC | READS, NULL},
	{"comiss", INSN_PLAIN, VEC | READS, NULL},
	{"comisd", INSN_PLAIN, VEC | READS, NULL},
	{"ptest", INSN_PLAIN, VEX | READS, NULL},
	{"vtestps", INSN_PLAIN, READS, NULL},
	{"vtestpd", INSN_PLAIN, READS, NULL},
	{"ldmxcsr", INSN_PLAIN, VEX | READS, NULL},
	{"pcmpestri", INSN_PLAIN, VEX | READS, NULL},
	{"pcmpestrm", INSN_PLAIN, VEX | READS, NULL},
	{"pcmpistri", INSN_PLAIN, VEX | READS, NULL},
	{"pcmpistrm", INSN_PLAIN, VEX | READS, NULL},

	/* x87 loads and arithmetic read their operand. */
	{"fld", INSN_PLAIN, READS, NULL},
	{"flds", INSN_PLAIN, READS, NULL},
	{"fldl", INSN_PLAIN, READS, NULL},
	{"fldt", INSN_PLAIN, READS, NULL},
	{"fild", INSN_PLAIN, READS, NULL},
	{"filds", INSN_PLAIN, READS, NULL},
	{"fildl", INSN_PLAIN, READS, NULL},
	{"fildq", INSN_PLAIN, READS, NULL},
	{"fildll", INSN_PLAIN, READS, NULL},
	{"fldcw", INSN_PLAIN, READS, NULL},
	{"fldenv", INSN_PLAIN, READS, NULL},
	{"frstor", INSN_PLAIN, READS, NULL},

	/* Addresses that are not dereferenced. */
	{"nop", INSN_FREE, SUFFIX | READS, NULL},

	/* Prefetches follow the rules for reads. */
	{"prefetch", INSN_PLAIN, READS, NULL},
	{"prefetchw", INSN_PLAIN, READS, NULL},
	{"prefetcht0", INSN_PLAIN, READS, NULL},
	{"prefetcht1", INSN_PLAIN, READS, NULL},
	{"prefetcht2", INSN_PLAIN, READS, NULL},
	{"prefetchnta", INSN_PLAIN, READS, NULL},

	/* Control flow. */
	{"jmp", INSN_JUMP, SUFFIX | READS, NULL},
	{"call", INSN_CALL, SUFFIX | READS, NULL},
	{"ret", INSN_RETURN, SUFFIX, NULL},
	{"retn", INSN_RETURN, 0, NULL},
	{"syscall", INSN_SYSCALL, 0, NULL},
	{"leave", INSN_LEAVE, SUFFIX, NULL},
	{"enter", INSN_ENTER, SUFFIX, NULL},
	{"ja", INSN_JCC, 0, NULL}, {"jae", INSN_JCC, 0, NULL}, {"jb", INSN_JCC, 0, NULL}, {"jbe", INSN_JCC, 0, NULL},
	{"jc", INSN_JCC, 0, NULL}, {"je", INSN_JCC, 0, NULL}, {"jg", INSN_JCC, 0, NULL}, {"jge", INSN_JCC, 0, NULL},
	{"jl", INSN_JCC, 0, NULL}, {"jle", INSN_JCC, 0, NULL}, {"jna", INSN_JCC, 0, NULL},
	{"jnae", INSN_JCC, 0, NULL}, {"jnb", INSN_JCC, 0, NULL}, {"jnbe", INSN_JCC, 0, NULL},
	{"jnc", INSN_JCC, 0, NULL}, {"jne", INSN_JCC, 0, NULL}, {"jng", INSN_JCC, 0, NULL},
	{"jnge", INSN_JCC, 0, NULL}, {"jnl", INSN_JCC, 0, NULL}, {"jnle", INSN_JCC, 0, NULL},
	{"jno", INSN_JCC, 0, NULL}, {"jnp", INSN_JCC, 0, NULL}, {"jns", INSN_JCC, 0, NULL},
	{"jnz", INSN_JCC, 0, NULL}, {"jo", INSN_JCC, 0, NULL}, {"jp", INSN_JCC, 0, NULL}, {"jpe", INSN_JCC, 0, NULL},
	{"jpo", INSN_JCC, 0, NULL}, {"js", INSN_JCC, 0, NULL}, {"jz", INSN_JCC, 0, NULL},
	{"jrcxz", INSN_JCC, 0, NULL}, {"jecxz", INSN_JCC, 0, NULL}, {"loop", INSN_JCC, SUFFIX, NULL},
	{"loope", INSN_JCC, SUFFIX, NULL}, {"loopne", INSN_JCC, SUFFIX, NULL}, {"loopz", INSN_JCC, SUFFIX, NULL},
	{"loopnz", INSN_JCC, SUFFIX, NULL},

	/* Strings. */
	{"movs", INSN_STRING, SUFFIX | DST | SRC, NULL},
	{"cmps", INSN_STRING, SUFFIX | DST | SRC | READS, NULL},
	{"cmpsd", INSN_STRING, DST | SRC | READS | VEX, NULL},
	{"stos", INSN_STRING, SUFFIX | DST, NULL},
	{"stosd", INSN_STRING, DST, NULL},
	{"scas", INSN_STRING, SUFFIX | DST | READS, NULL},
	{"scasd", INSN_STRING, DST | READS, NULL},
	{"lods", INSN_STRING, SUFFIX | SRC | READS, NULL},
	{"lodsd", INSN_STRING, SRC | READS, NULL},
	{"xlat", INSN_XLAT, SUFFIX, NULL},

	/* Gathers and scatters. */
	{"vgatherdps", INSN_GATHER, READS, NULL}, {"vgatherdpd", INSN_GATHER, READS, NULL},
	{"vgatherqps", INSN_GATHER, READS, NULL}, {"vgatherqpd", INSN_GATHER, READS, NULL},
	{"vpgatherdd", INSN_GATHER, READS, NULL}, {"vpgatherdq", INSN_GATHER, READS, NULL},
	{"vpgatherqd", INSN_GATHER, READS, NULL}, {"vpgatherqq", INSN_GATHER, READS, NULL},
	{"vscatterdps", INSN_GATHER, 0, NULL}, {"vscatterdpd", INSN_GATHER, 0, NULL},
	{"vscatterqps", INSN_GATHER, 0, NULL}, {"vscatterqpd", INSN_GATHER, 0, NULL},
	{"vpscatterdd", INSN_GATHER, 0, NULL}, {"vpscatterdq", INSN_GATHER, 0, NULL},
	{"vpscatterqd", INSN_GATHER, 0, NULL}, {"vpscatterqq", INSN_GATHER, 0, NULL},

	/* What has no confined form. */
	{"maskmovq", INSN_BAD, 0, "it stores through rdi with a mask"},
	{"maskmovdqu", INSN_BAD, VEX, "it stores through rdi with a mask"},
	{"popf", INSN_BAD, SUFFIX, "it may set the trap and alignment flags"},
	{"sysenter", INSN_BAD, 0, "use syscall"},
	{"sysret", INSN_BAD, SUFFIX, "it is privileged"},
	{"sysexit", INSN_BAD, SUFFIX, "it is privileged"},
	{"int", INSN_BAD, 0, "software interrupts reach the host; use syscall"},
	{"into", INSN_BAD, 0, "software interrupts reach the host"},
	{"iret", INSN_BAD, SUFFIX, "far transfers cannot be confined"},
	{"lret", INSN_BAD, SUFFIX, "far transfers cannot be confined"},
	{"ljmp", INSN_BAD, SUFFIX, "far transfers cannot be confined"},
	{"lcall", INSN_BAD, SUFFIX, "far transfers cannot be confined"},
	{"in", INSN_BAD, SUFFIX, "it is privileged"},
	{"out", INSN_BAD, SUFFIX, "it is privileged"},
	{"ins", INSN_BAD, SUFFIX, "it is privileged"},
	{"outs", INSN_BAD, SUFFIX, "it is privileged"},
	{"cli", INSN_BAD, 0, "it is privileged"},
	{"sti", INSN_BAD, 0, "it is privileged"},
	{"rdfsbase", INSN_BAD, SUFFIX, "fs belongs to the host"},
	{"rdgsbase", INSN_BAD, SUFFIX, "gs belongs to the sandbox"},
	{"wrfsbase", INSN_BAD, SUFFIX, "fs belongs to the host"},
	{"wrgsbase", INSN_BAD, SUFFIX, "gs belongs to the sandbox"},
	{"swapgs", INSN_BAD, 0, "it is privileged"},
	{"rdpkru", INSN_BAD, 0, "protection keys belong to the host"},
	{"wrpkru", INSN_BAD, 0, "protection keys belong to the host"},
	{"clzero", INSN_BAD, 0, "its address is implicit"},
	{"monitor", INSN_BAD, 0, "its address is implicit"},
	{"monitorx", INSN_BAD, 0, "its address is implicit"},
	{"mwait", INSN_BAD, 0, "it is privileged"},
	{"movdir64b", INSN_BAD, 0, "its address is implicit"},
	{"enqcmd", INSN_BAD, 0, "its address is implicit"},
	{"enqcmds", INSN_BAD, 0, "its address is implicit"},
	{"xsave", INSN_BAD, SUFFIX, "the processor state belongs to the host"},
	{"xsave64", INSN_BAD, 0, "the processor state belongs to the host"},
	{"xsavec", INSN_BAD, 0, "the processor state belongs to the host"},
	{"xsavec64", INSN_BAD, 0, "the processor state belongs to the host"},
	{"xsaveopt", INSN_BAD, 0, "the processor state belongs to the host"},
	{"xrstor", INSN_BAD, SUFFIX, "the processor state belongs to the host"},
	{"xrstor64", INSN_BAD, 0, "the processor state belongs to the host"},
	{"fxsave", INSN_BAD, SUFFIX, "the processor state belongs to the host"},
	{"fxsave64", INSN_BAD, 0, "the processor state belongs to the host"},
	{"fxrstor", INSN_BAD, SUFFIX, "the processor state belongs to the host"},
	{"fxrstor64", INSN_BAD, 0, "the processor state belongs to the host"},
	{"xbegin", INSN_BAD, 0, "a transaction's abort is a jump"},
	{"xend", INSN_BAD, 0, "a transaction's abort is a jump"},
	{"xabort", INSN_BAD, 0, "a transaction's abort is a jump"},
	{"clflush", INSN_BAD, 0, "cache lines belong to the host"},
	{"clflushopt", INSN_BAD, 0, "cache lines belong to the host"},
	{"clwb", INSN_BAD, 0, "cache lines belong to the host"},
};

static const struct InsnRow plain = {"", INSN_PLAIN, 0, NULL};

static const struct InsnRow *
exact(struct Str name)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (name.n && rows[i].name[0] == name.p[0] && str_is(name, rows[i].name))
			return &rows[i];
	return NULL;
}

const struct InsnRow *
insn_row(struct Str name, char *suffix)
{
	const struct InsnRow *row = exact(name);
	struct Str stem = {name.p, name.n ? name.n - 1 : 0};

	*suffix = 0;
	if (row)
		return row;
	if (stem.n && strchr("bwlq", name.p[stem.n]) && (row = exact(stem)) && (row->flags & SUFFIX)) {
		*suffix = name.p[stem.n];
		return row;
	}
	if (name.n > 1 && name.p[0] == 'v' && (row = exact((struct Str){name.p + 1, name.n - 1})) && (row->flags & VEX))
		return row;
	return &plain;
}
