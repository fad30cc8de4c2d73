/* SPDX-License-Identifier: MIT */
/*
 * Writing confined x86-64 assembly: the state that goes from statement to
 * statement, and the steps that the files of this folder share. Not trusted.
 * The rules are those of docs/scheme-x64.md; section numbers refer to it.
 */
#ifndef REWRITE_X64_EMIT_H
#define REWRITE_X64_EMIT_H

#include "insn.h"

enum {
	DRIFT_MAX = 65536,    /* D of section 5 */
	RSP_REACH = 131072,   /* P */
	CONFIRM_REACH = 4096, /* C */
	ACCESS_MAX = 64,      /* the widest access */
};

/* What the analysis saw in a function and its .cold part. */
struct GroupFacts {
	bool uses_r11;
	bool clobbers_rcx; /* as callers that know the function's body see it */
	bool saves_rcx;
	bool uses_reserved[2]; /* r14, r15, otherwise than by push and pop */
};

struct Emit {
	struct Unit *unit;
	unsigned bundle, bundle_log2;
	int64_t drift;             /* pending drift of rsp, sum of absolute values */
	unsigned labels;           /* made so far */
	bool locked;               /* a group is open and ends after the next instruction */
	struct Str stash;          /* prefixes that stood alone and belong to the next instruction */
	struct GroupFacts *groups; /* per function group + 1; [0] is for code outside functions */
	bool compiled;             /* by a compiler that says so, hence by the ABI's conventions */
	bool may_spill;            /* the instruction at hand may run with r11 saved on the stack */
	bool spilled;
	uint32_t *seen; /* per statement: the last search that came by */
	uint32_t seen_now;
	size_t skip_until; /* statements before this one were consumed by an earlier one */
};

/* One line of output. */
void emit(struct Emit *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

void group_begin(struct Emit *e);
void group_end(struct Emit *e);

/* The facts about the function that a statement belongs to. */
struct GroupFacts *emit_facts(struct Emit *e, const struct Statement *st);

/* Writes the instruction with its operands' texts, and closes an open group. */
void emit_insn(struct Emit *e, const struct Insn *insn);

/* memory.c */

/* Replaces a memory operand's text by the confined form, writing what has to come before. False after an error message.
 */
bool confine_operand(struct Emit *e, struct Insn *insn, int k);
bool confine_operands(struct Emit *e, struct Insn *insn);
bool is_rsp_form(const struct Emit *e, const struct Operand *op);

/* live.c */

/* A general register whose value nobody needs here, or REG_NONE after an error message. */
int scratch_take(struct Emit *e, const struct Insn *insn);
/* The same for the address of operand k: preferably what a load overwrites anyway. */
int scratch_for_address(struct Emit *e, const struct Insn *insn, int k);
/* After the instruction: gets back what scratch_take had to save. */
void scratch_give(struct Emit *e);

/* Whether the register's value may be lost with this instruction: nothing behind it needs it. */
bool is_dead_after(struct Emit *e, const struct Insn *insn, int reg);

/* stack.c */

/* Whether the instruction writes rsp in a way of its own; if so, it has been dealt with. */
bool stack_insn(struct Emit *e, struct Insn *insn);
/* Updates the pending drift after an ordinary instruction. */
void stack_after(struct Emit *e, const struct Insn *insn);
/* Makes the state clean before a jump. */
void stack_settle(struct Emit *e);
/* Whether the instruction makes the state clean. */
bool stack_confirms(const struct Insn *insn);

/* control.c */
void control_jump(struct Emit *e, struct Insn *insn);
void control_jcc(struct Emit *e, struct Insn *insn);
void control_call(struct Emit *e, struct Insn *insn);
void control_return(struct Emit *e, struct Insn *insn);
void control_syscall(struct Emit *e);
/* `leaq L(%rip), %r11` followed by `jmpq *n(%r14)`: written by hand, kept as a group. */
bool control_runtime_call(struct Emit *e, struct Insn *insn);

/* rename.c */
void rename_reserved(struct Unit *unit);

/* poc.c */

/* Makes the instruction read lower halves of addresses only. False after an error message. */
bool poc_insn(struct Emit *e, struct Insn *insn);
/* The register to mask for a jump or call through `reg`: another one when `reg` would be needed afterwards. */
int poc_target(struct Emit *e, const struct Insn *insn, int reg);
/* Behind a string instruction, which leaves a whole address in `reg`. */
void poc_after_string(struct Emit *e, const struct Insn *insn, int reg);

/* string.c */
void string_insn(struct Emit *e, struct Insn *insn);

#endif
