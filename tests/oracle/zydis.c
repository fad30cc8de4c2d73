/* SPDX-License-Identifier: MIT */
/*
 * Zydis: length, memory operand with its exact size, writes of protected registers, branches, implicit operands, and
 * what the report must note.
 */
#include <Zydis/Zydis.h>
#include <lfi/lfi_verify.h>
#include <string.h>

#include "insn.h"
#include "oracle.h"

static const char *what;

static void
differ(const char *how)
{
	if (!what)
		what = how;
}

/* Of each register of Zydis' its class, its number in it, and 0 to 15, or 16 for what is not a general one. */
static struct {
	uint8_t class, id, gpr;
} registers[ZYDIS_REGISTER_MAX_VALUE + 1];

static void
name_registers(void)
{
	for (unsigned i = 0; i <= ZYDIS_REGISTER_MAX_VALUE; i++) {
		ZydisRegister reg = (ZydisRegister) i;
		ZydisRegister wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

		registers[i].class = (uint8_t) ZydisRegisterGetClass(reg);
		registers[i].id = (uint8_t) ZydisRegisterGetId(reg);
		registers[i].gpr =
		    wide < ZYDIS_REGISTER_RAX || wide > ZYDIS_REGISTER_R15 ? 16 : (uint8_t) (wide - ZYDIS_REGISTER_RAX);
	}
}

static bool
moves_rsp(const struct insn *insn)
{
	switch (insn->row->kind) {
	case PUSH:
	case POP:
	case LEAVE:
	case CALL:
	case CALL_INDIRECT:
	case RET:
		return true;
	default:
		return false;
	}
}

static void
compare_register(const struct insn *insn, const ZydisDecodedOperand *op, unsigned *written)
{
	unsigned class = registers[op->reg.value].class;
	bool writes = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	unsigned number = registers[op->reg.value].gpr;

	if ((class == ZYDIS_REGCLASS_X87 || class == ZYDIS_REGCLASS_MMX) && !(insn->row->code & LFI_CODE_X87))
		differ("x87 or MMX is not noted");
	if (class == ZYDIS_REGCLASS_YMM && !(insn->row->code & LFI_CODE_AVX) && !insn->evex)
		differ("AVX is not noted");
	if ((class == ZYDIS_REGCLASS_ZMM || class == ZYDIS_REGCLASS_MASK) && !insn->evex &&
	    !(insn->row->code & LFI_CODE_AVX512))
		differ("AVX-512 is not noted");
	if (class == ZYDIS_REGCLASS_TMM)
		differ("AMX");
	if (!writes)
		return;
	if (class == ZYDIS_REGCLASS_SEGMENT || class == ZYDIS_REGCLASS_CONTROL || class == ZYDIS_REGCLASS_DEBUG ||
	    class == ZYDIS_REGCLASS_TABLE)
		differ("writes a system register");
	if (class == ZYDIS_REGCLASS_IP && insn->row->kind < BRANCH && insn->opcode != 0xcc)
		differ("writes rip");
	if (number < 16 && !(number == RSP && op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN && moves_rsp(insn)))
		*written |= 1u << number;
}

static bool
same_register(ZydisRegister reg, unsigned ours)
{
	if (reg == ZYDIS_REGISTER_NONE)
		return ours == NO_REG;
	if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return ours == RIP;
	if (registers[reg].class == ZYDIS_REGCLASS_XMM || registers[reg].class == ZYDIS_REGCLASS_YMM ||
	    registers[reg].class == ZYDIS_REGCLASS_ZMM)
		return registers[reg].id == ours;
	return registers[reg].gpr == ours;
}

static void
compare_address(const struct insn *insn, const ZydisDecodedOperand *op)
{
	bool gs = op->mem.segment == ZYDIS_REGISTER_GS;

	/* Zydis 4.0.0 does not see that ModRM.mod 0 and SIB.base 5 mean no base also with REX.B; binutils and LLVM do.
	 */
	if (op->mem.base == ZYDIS_REGISTER_R13 || op->mem.base == ZYDIS_REGISTER_R13D)
		if (insn->base == NO_REG && op->mem.disp.value == 0)
			return;
	if (!same_register(op->mem.base, insn->base) || !same_register(op->mem.index, insn->index))
		differ("base or index differs");
	if (op->mem.index != ZYDIS_REGISTER_NONE && op->mem.scale != insn->scale)
		differ("scale differs");
	if (insn->row->imm != MOFFS && op->mem.disp.value != insn->disp)
		differ("displacement differs");
	if (!(insn->row->flags & FREE) && gs != !!(insn->prefixes & P_GS))
		differ("segment differs");
	if (op->mem.segment == ZYDIS_REGISTER_FS)
		differ("segment is fs");
}

static void
compare_explicit(const struct insn *insn, const ZydisDecodedOperand *op)
{
	bool writes = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;

	if (!insn->memory) {
		differ("memory operand is not seen");
		return;
	}
	compare_address(insn, op);
	if (op->mem.type == ZYDIS_MEMOP_TYPE_AGEN || insn->row->kind == NOP) {
		if (!(insn->row->flags & FREE))
			differ("address computation is taken for an access");
		return;
	}
	if (insn->row->flags & FREE)
		differ("memory operand is taken for free");
	if (writes != !!(insn->row->rm & W))
		differ("memory operand is written by one of us only");
	if (memory_size_x64(insn) < op->size / 8u)
		differ("memory operand is larger than we think");
	if (insn->evex && insn->row->kind != GATHER && memory_size_x64(insn) != op->size / 8u)
		differ("memory operand is smaller than we think");
}

static void
compare_implicit(const struct insn *insn, const ZydisDecodedOperand *op)
{
	if (op->mem.base == ZYDIS_REGISTER_RSP ? moves_rsp(insn) : is_string(insn) || insn->row->kind == IMPLICIT)
		return;
	if (insn->row->kind == LEAVE)
		return;
	differ("implicit memory operand is not seen");
}

static void
compare_branch(const struct insn *insn, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops)
{
	bool direct = insn->row->kind == BRANCH || insn->row->kind == CALL;

	if ((z->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE) != (insn->row->kind >= BRANCH && insn->row->kind <= RET))
		differ("branch for one of us only");
	if (z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		differ("far branch");
	if (direct && (ops[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE || ops[0].imm.value.s != insn->imm))
		differ("branch target differs");
}

static void
compare_operands(const struct insn *insn, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops)
{
	unsigned written = 0, explicit_memory = 0;

	for (unsigned i = 0; i < z->operand_count; i++) {
		const ZydisDecodedOperand *op = &ops[i];

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
			compare_register(insn, op, &written);
		} else if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
			if (op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT && !is_string(insn)) {
				compare_explicit(insn, op);
				explicit_memory++;
			} else {
				compare_implicit(insn, op);
			}
		}
	}
	if ((written & PROTECTED) != (insn->written & PROTECTED))
		differ("writes of protected registers differ");
	if (insn->memory && !explicit_memory)
		differ("there is no memory operand");
}

const char *
zydis_differs(const uint8_t *bytes, const struct insn *insn)
{
	static ZydisDecoder decoder;
	static bool ready;
	ZydisDecoderContext context;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	if (!ready) {
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
		name_registers();
		ready = true;
	}
	what = NULL;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, &context, bytes, 15, &z)) ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeOperands(&decoder, &context, &z, ops, z.operand_count)))
		return "not an instruction";
	if (z.length != insn->size)
		differ("length");
	if (z.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED && insn->opcode != 0xf4)
		differ("privileged");
	compare_operands(insn, &z, ops);
	compare_branch(insn, &z, ops);
	return what;
}
