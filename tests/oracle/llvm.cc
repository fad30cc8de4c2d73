/* SPDX-License-Identifier: MIT */
/*
 * LLVM: length, memory operand, registers that are written. From the disassembler's own instructions, not from text.
 */
#include <llvm/MC/MCAsmInfo.h>
#include <llvm/MC/MCContext.h>
#include <llvm/MC/MCDisassembler/MCDisassembler.h>
#include <llvm/MC/MCInst.h>
#include <llvm/MC/MCInstrInfo.h>
#include <llvm/MC/MCRegisterInfo.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/MC/MCTargetOptions.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>

#include <memory>
#include <string>
#include <vector>

#include "oracle.h"

namespace {

enum { RSP = 4, R14 = 14, R15 = 15, NO_GPR = 255 };

struct Disassembler {
	std::unique_ptr<llvm::MCRegisterInfo> registers;
	std::unique_ptr<llvm::MCAsmInfo> assembly;
	std::unique_ptr<llvm::MCSubtargetInfo> subtarget;
	std::unique_ptr<llvm::MCInstrInfo> instructions;
	std::unique_ptr<llvm::MCContext> context;
	std::unique_ptr<llvm::MCDisassembler> decoder;
	std::vector<uint8_t> gpr, number; /* by register of LLVM's: 0 to 15 or NO_GPR; as an address */
	unsigned gs = 0, fs = 0;
};

const char *const names[16][4] = {
    {"RAX", "EAX", "AX", "AL"},
    {"RCX", "ECX", "CX", "CL"},
    {"RDX", "EDX", "DX", "DL"},
    {"RBX", "EBX", "BX", "BL"},
    {"RSP", "ESP", "SP", "SPL"},
    {"RBP", "EBP", "BP", "BPL"},
    {"RSI", "ESI", "SI", "SIL"},
    {"RDI", "EDI", "DI", "DIL"},
    {"R8", "R8D", "R8W", "R8B"},
    {"R9", "R9D", "R9W", "R9B"},
    {"R10", "R10D", "R10W", "R10B"},
    {"R11", "R11D", "R11W", "R11B"},
    {"R12", "R12D", "R12W", "R12B"},
    {"R13", "R13D", "R13W", "R13B"},
    {"R14", "R14D", "R14W", "R14B"},
    {"R15", "R15D", "R15W", "R15B"},
};

/* What a register's name means. */
void
name_register(Disassembler &d, unsigned reg)
{
	std::string name = d.registers->getName(reg);

	for (unsigned i = 0; i < 16; i++)
		for (const char *one : names[i])
			if (name == one)
				d.gpr[reg] = d.number[reg] = static_cast<uint8_t>(i);
	if (name == "RIP" || name == "EIP")
		d.number[reg] = ORACLE_RIP;
	if (name == "RIZ" || name == "EIZ")
		d.number[reg] = ORACLE_NONE;
	if (name.size() > 3 && name.compare(1, 2, "MM") == 0 && name[0] >= 'X' && name[0] <= 'Z')
		d.number[reg] = static_cast<uint8_t>(std::stoi(name.substr(3)));
	if (name == "GS")
		d.gs = reg;
	if (name == "FS")
		d.fs = reg;
}

Disassembler
start()
{
	const char *triple = "x86_64-unknown-linux-gnu";
	llvm::MCTargetOptions options;
	Disassembler d;
	std::string error;

	LLVMInitializeX86TargetInfo();
	LLVMInitializeX86TargetMC();
	LLVMInitializeX86Disassembler();
	const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, error);
	d.registers.reset(target->createMCRegInfo(triple));
	d.assembly.reset(target->createMCAsmInfo(*d.registers, triple, options));
	d.subtarget.reset(target->createMCSubtargetInfo(triple, "", ""));
	d.instructions.reset(target->createMCInstrInfo());
	d.context = std::make_unique<llvm::MCContext>(
	    llvm::Triple(triple), d.assembly.get(), d.registers.get(), d.subtarget.get());
	d.decoder.reset(target->createMCDisassembler(*d.subtarget, *d.context));
	d.gpr.assign(d.registers->getNumRegs(), NO_GPR);
	d.number.assign(d.registers->getNumRegs(), 254);
	d.number[0] = ORACLE_NONE;
	for (unsigned reg = 1; reg < d.registers->getNumRegs(); reg++)
		name_register(d, reg);
	return d;
}

const char not_an_instruction[] = "not an instruction", displacement[] = "displacement",
	   memory_is_written[] = "memory is written";

/* The first of the five operands that make a memory operand: base, scale, index, displacement, segment. -1: none. */
int
memory_operand(const llvm::MCInstrDesc &desc, const llvm::MCInst &inst, const struct seen &seen)
{
	if (seen.string || inst.getNumOperands() != desc.getNumOperands())
		return -1;
	if (seen.free_memory && seen.memory && inst.getNumOperands() == 6)
		return 1; /* lea; its operands are of no type */
	for (unsigned i = 0; i + 5 <= desc.getNumOperands(); i++)
		if (desc.operands()[i].OperandType == llvm::MCOI::OPERAND_MEMORY &&
		    desc.operands()[i + 4].OperandType == llvm::MCOI::OPERAND_MEMORY)
			return static_cast<int>(i);
	return -1;
}

const char *
compare_memory(const Disassembler &d, const llvm::MCInst &inst, unsigned first, const struct seen &seen)
{
	unsigned base = d.number[inst.getOperand(first).getReg()],
		 index = d.number[inst.getOperand(first + 2).getReg()];
	unsigned segment = inst.getOperand(first + 4).getReg();

	if (!seen.memory)
		return "memory operand is not seen";
	if (base != seen.base || index != seen.index)
		return "base or index";
	if (index != ORACLE_NONE && inst.getOperand(first + 1).getImm() != seen.scale)
		return "scale";
	if (static_cast<int32_t>(inst.getOperand(first + 3).getImm()) != seen.disp)
		return displacement;
	if (segment == d.fs || (!seen.free_memory && (segment == d.gs) != seen.gs))
		return "segment";
	return nullptr;
}

const char *
compare_written(const Disassembler &d, const llvm::MCInst &inst, const llvm::MCInstrDesc &desc, const struct seen &seen)
{
	unsigned written = 0;
	bool implicit_rsp = false;

	for (unsigned i = 0; i < desc.getNumDefs(); i++)
		if (inst.getOperand(i).isReg() && d.gpr[inst.getOperand(i).getReg()] != NO_GPR)
			written |= 1u << d.gpr[inst.getOperand(i).getReg()];
	for (auto reg : desc.implicit_defs()) {
		unsigned number = d.gpr[reg];

		if (number == RSP)
			implicit_rsp = true;
		else if (number == R14 || number == R15)
			return "an implicit write of a protected register";
	}
	if (implicit_rsp && !seen.moves_rsp)
		return "an implicit write of rsp";
	if ((written & (1u << RSP | 1u << R14 | 1u << R15)) != seen.written)
		return "writes of protected registers";
	return nullptr;
}

/*
 * What LLVM 19 gets wrong. The other oracles agree with the manuals and with us; where it says (run), so does an AMD
 * Zen 5 that executed it.
 * - movq between vector registers, f3 0f 7e, with REX.W: LLVM takes it for 66 REX.W 0f 7e, which writes a general
 *   register (run).
 * - ldmxcsr: it only reads memory.
 * - The shifts of words by an xmm count, and vpalignr: EVEX.W is ignored, LLVM knows W 0 only (run). So with vmovw.
 * - vrndscalesh, vscalefsh, vgetexpsh, vfpclasssh, vfmaddcsh, vfcmaddcsh: EVEX.L'L is ignored, LLVM knows 128 bits
 * only.
 * - The two gf2p8affine with a broadcast: an 8-bit displacement counts 8 bytes, LLVM takes it as it is (run).
 */
bool
is_known(const struct seen &seen, const char *what)
{
	unsigned op = seen.opcode;

	if (!seen.evex)
		return seen.map == 1 &&
		       ((op == 0xae && what == memory_is_written) || (op == 0x7e && seen.w && seen.f3));
	if (what == displacement)
		return seen.map == 3 && seen.b && (op == 0xce || op == 0xcf);
	if (what != not_an_instruction)
		return false;
	return (seen.map == 1 && seen.w && (op == 0xd1 || op == 0xe1 || op == 0xf1)) ||
	       (seen.map == 3 && ((seen.w && op == 0x0f) || (seen.length && (op == 0x0a || op == 0x67)))) ||
	       (seen.map == 5 && seen.w && (op == 0x6e || op == 0x7e)) ||
	       (seen.map == 6 && seen.length && (op == 0x2d || op == 0x43 || op == 0x57));
}

const char *
differs(const uint8_t *bytes, const struct seen &seen)
{
	static Disassembler d = start();
	llvm::MCInst inst;
	uint64_t size = 0;
	unsigned lock = bytes[0] == 0xf0; /* in front of all else LLVM takes it for an instruction of its own */

	if (d.decoder->getInstruction(inst, size, llvm::ArrayRef<uint8_t>(bytes + lock, 15 - lock), 0, llvm::nulls()) ==
	    llvm::MCDisassembler::Fail)
		return not_an_instruction;
	if (size + lock != seen.size)
		return "length";
	const llvm::MCInstrDesc &desc = d.instructions->get(inst.getOpcode());
	int memory = memory_operand(desc, inst, seen);

	if (memory >= 0) {
		if (const char *what = compare_memory(d, inst, static_cast<unsigned>(memory), seen))
			return what;
		if (desc.mayStore() && !seen.written_memory && !seen.free_memory && !seen.hint)
			return memory_is_written;
	} else if (seen.memory && !seen.moffs) {
		return "there is no memory operand";
	}
	return compare_written(d, inst, desc, seen);
}

} // namespace

const char *
llvm_differs(const uint8_t *bytes, const struct insn *insn)
{
	struct seen seen = seen_by_us(insn);
	const char *what = differs(bytes, seen);

	return what && is_known(seen, what) ? nullptr : what;
}
