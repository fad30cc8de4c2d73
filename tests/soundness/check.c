/* SPDX-License-Identifier: MIT */
/*
 * What holds whenever a program is interrupted, and of every access that it is about to make. Instructions are read by
 * Zydis: nothing here is the verifier's opinion.
 */
#include "soundness.h"

#include <Zydis/Zydis.h>
#include <immintrin.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static ZydisDecoder decoder;

__attribute__((constructor)) static void
decoder_init(void)
{
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
}

_Noreturn void
escape(const ucontext_t *context, const char *what, uint64_t address)
{
	shared->escaped = true;
	strncpy(shared->what, what, sizeof shared->what - 1);
	shared->address = address;
	shared->stepped = arena->stepping;
	shared->program = arena->program;
	if (context) {
		shared->pc = (uint64_t) context->uc_mcontext.gregs[REG_RIP];
		memcpy(shared->registers, context->uc_mcontext.gregs, sizeof shared->registers);
	}
	_exit(3);
}

static bool
in_code(uint64_t pc)
{
	return pc - (place.base + CODE_OFFSET) < CODE_SIZE;
}

/* Inside the groups that set rsp, it holds 32 bits, and the instruction at pc is the one that adds the base. */
static bool
adds_base_to_rsp(uint64_t pc)
{
	ZydisDecodedInstruction z;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	if (!in_code(pc) || !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, (const void *) pc, 15, &z, ops)))
		return false;
	if (ops[0].type != ZYDIS_OPERAND_TYPE_REGISTER || ops[0].reg.value != ZYDIS_REGISTER_RSP)
		return false;
	if (z.mnemonic == ZYDIS_MNEMONIC_LEA)
		return ops[1].mem.base == ZYDIS_REGISTER_RSP && ops[1].mem.index == ZYDIS_REGISTER_R14 &&
		       ops[1].mem.scale == 1 && ops[1].mem.disp.value == 0;
	return (z.mnemonic == ZYDIS_MNEMONIC_ADD || z.mnemonic == ZYDIS_MNEMONIC_OR) &&
	       ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER && ops[1].reg.value == ZYDIS_REGISTER_R14;
}

/* Between instructions, wherever that is: sections 2, 3 and 5 of the scheme. */
void
check_state(const ucontext_t *context)
{
	const greg_t *regs = context->uc_mcontext.gregs;
	uint64_t pc = (uint64_t) regs[REG_RIP], rsp = (uint64_t) regs[REG_RSP];
	uint64_t far = RSP_SLACK + DRIFT + 64;

	if ((uint64_t) regs[REG_R14] != place.base)
		escape(context, "r14 is not the base", (uint64_t) regs[REG_R14]);
	if ((uint64_t) regs[REG_R15] != place.context)
		escape(context, "r15 is not the context block", (uint64_t) regs[REG_R15]);
	if (_readgsbase_u64() != place.base)
		escape(context, "the gs base is not the base", _readgsbase_u64());
	if (_readfsbase_u64() != place.fs)
		escape(context, "the fs base was changed", _readfsbase_u64());
	if (pc - place.base >= GIB4 && pc - place.stubs >= 4096)
		escape(context, "control is outside the box", pc);
	if (rsp - (place.base - far) >= GIB4 + 2 * far && !(rsp < GIB4 && adds_base_to_rsp(pc)))
		escape(context, "rsp is too far outside the box", rsp);
	if (regs[REG_EFL] & (1 << 18 | 1 << 14 | 3 << 12))
		escape(context, "AC, NT or IOPL is set", (uint64_t) regs[REG_EFL]);
}

/* Instructions as they follow each other in each bundle. */
void
find_starts(struct program *program)
{
	ZydisDecodedInstruction z;

	memset(program->starts, 0, sizeof program->starts);
	for (unsigned bundle = 0; bundle < CODE_SIZE; bundle += program->bundle)
		for (unsigned at = bundle; at < bundle + program->bundle;) {
			program->starts[at / 8] |= (uint8_t) (1 << at % 8);
			if (!ZYAN_SUCCESS(
				ZydisDecoderDecodeInstruction(&decoder, NULL, program->code + at, CODE_SIZE - at, &z)))
				break;
			at += z.length;
			shared->accepted++;
		}
}

static uint64_t
register_value(const greg_t *regs, ZydisRegister reg)
{
	static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8,
	    REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
	ZydisRegister wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	if (reg == ZYDIS_REGISTER_NONE || wide < ZYDIS_REGISTER_RAX || wide > ZYDIS_REGISTER_R15)
		return 0;
	return (uint64_t) regs[order[wide - ZYDIS_REGISTER_RAX]];
}

/* Where an operand is, before its segment: 32 bits with the address-size prefix, which says nothing about a push. */
static uint64_t
effective_address(const ucontext_t *context, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *op)
{
	const greg_t *regs = context->uc_mcontext.gregs;
	uint64_t base = register_value(regs, op->mem.base);
	uint64_t address;

	if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP)
		base = (uint64_t) regs[REG_RIP] + z->length;
	address = base + register_value(regs, op->mem.index) * op->mem.scale + (uint64_t) op->mem.disp.value;
	if (op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN && op->mem.base == ZYDIS_REGISTER_RSP)
		return address;
	return z->address_width == 32 ? (uint32_t) address : address;
}

static void
check_operand(const ucontext_t *context, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops,
    const ZydisDecodedOperand *op)
{
	uint64_t address = effective_address(context, z, op), size = op->size / 8u;
	bool writes = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;

	if (op->mem.type == ZYDIS_MEMOP_TYPE_AGEN || z->mnemonic == ZYDIS_MNEMONIC_NOP)
		return;
	if (arena->program.policy != LFI_POLICY_FULL && !writes)
		return;
	if (op->mem.segment == ZYDIS_REGISTER_FS)
		escape(context, "accesses fs", address);
	if (op->mem.segment == ZYDIS_REGISTER_GS)
		address += _readgsbase_u64();
	if (op->mem.type == ZYDIS_MEMOP_TYPE_VSIB)
		escape(context, "gathers", address);
	if ((z->mnemonic == ZYDIS_MNEMONIC_BT || z->mnemonic == ZYDIS_MNEMONIC_BTS ||
		z->mnemonic == ZYDIS_MNEMONIC_BTR || z->mnemonic == ZYDIS_MNEMONIC_BTC) &&
	    ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
		escape(context, "tests a bit far away", address);
	if (z->mnemonic == ZYDIS_MNEMONIC_MOV && address == place.context + 16 && size == 8)
		return;
	if (address - (place.base - GUARD) > GIB4 + 2 * GUARD - size)
		escape(context, writes ? "writes outside the box" : "reads outside the box", address);
}

/* The instruction that is about to run. */
void
check_access(const ucontext_t *context)
{
	uint64_t pc = (uint64_t) context->uc_mcontext.gregs[REG_RIP], at = pc - place.base - CODE_OFFSET;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	if (!in_code(pc))
		return;
	if (!(arena->program.starts[at / 8] >> at % 8 & 1))
		escape(context, "runs from the middle of an instruction", pc);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, (const void *) pc, CODE_SIZE - at, &z, ops)))
		escape(context, "runs what Zydis does not know", pc);
	for (unsigned i = 0; i < z.operand_count; i++)
		if (ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			check_operand(context, &z, ops, &ops[i]);
}

/* A fault says where it was: in the box or its guards, or nowhere, of which check_access tells more. */
void
check_fault(const ucontext_t *context, int sig, uint64_t address, bool write)
{
	bool read_is_free = arena->program.policy != LFI_POLICY_FULL && !write;

	if (sig == SIGSEGV && address && !read_is_free && address - (place.base - GUARD) >= GIB4 + 2 * GUARD &&
	    address - place.stubs >= 4096)
		escape(context, write ? "a write outside the box faults" : "a read outside the box faults", address);
	if (sig != SIGALRM)
		check_access(context);
}
