/* SPDX-License-Identifier: MIT */
/*
 * The allow-list in both directions: every opcode of the legacy, VEX and EVEX maps, with each mandatory prefix, W, L, vvvv and
 * form of ModRM, is accepted exactly if Zydis knows it as an instruction of a set that section 6 of the scheme names
 * and it is none of the exceptions that the section names. Sets and exceptions are spelled out here, independently of
 * rows.h. Of what is accepted, all that the rules build on must be what Zydis says: length, size and direction of the memory
 * operand, whether the access is made at all, writes of protected registers, `lock`, the processor's features and the report's flags.
 */
#include <Zydis/Zydis.h>
#include <lfi/lfi_verify.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "insn.h"

/* One encoding, and what both make of it. */
struct trial {
	uint8_t bytes[DECODE_WINDOW];
	unsigned head; /* bytes in front of ModRM */
	bool vex, w, high; /* high: all registers are r8 to r15 */
	bool low_reg;      /* but that of ModRM.reg and the index, with VEX */
	bool evex, masked, broadcast;
	unsigned l; /* 128 bits << l */
	unsigned pp, map, opcode, modrm;
	bool ours;
	struct insn insn;
	bool known;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

static ZydisDecoder decoder;
static unsigned wrong, accepted;
static unsigned enough = 40; /* so many complaints */

static void
complain(const struct trial *t, const char *what)
{
	char hex[INSN_TEXT_MAX];

	if (wrong++ >= enough)
		return;
	text_bytes_x64(t->bytes, t->known ? t->z.length : t->head + 1, hex);
	print_error("%s: %s (%s): %s\n", hex, t->known ? ZydisMnemonicGetString(t->z.mnemonic) : "unknown",
	    t->known ? ZydisISASetGetString(t->z.meta.isa_set) : "", what);
}

#define F(name) ((uint64_t) 1 << LFI_CPU_##name)

/* The sets of section 6, and what the report says that they need. */
static const struct {
	ZydisISASet set;
	uint64_t cpu;
} sets[] = {
    {ZYDIS_ISA_SET_I86, 0},
    {ZYDIS_ISA_SET_I186, 0},
    {ZYDIS_ISA_SET_I386, 0},
    {ZYDIS_ISA_SET_I486REAL, 0},
    {ZYDIS_ISA_SET_PENTIUMREAL, 0},
    {ZYDIS_ISA_SET_PENTIUMMMX, 0},
    {ZYDIS_ISA_SET_PPRO, 0},
    {ZYDIS_ISA_SET_CMOV, 0},
    {ZYDIS_ISA_SET_FCMOV, 0},
    {ZYDIS_ISA_SET_FAT_NOP, 0},
    {ZYDIS_ISA_SET_PREFETCH_NOP, 0},
    {ZYDIS_ISA_SET_LONGMODE, 0},
    {ZYDIS_ISA_SET_PAUSE, 0},
    {ZYDIS_ISA_SET_CET, 0},
    {ZYDIS_ISA_SET_XSAVE, 0},
    {ZYDIS_ISA_SET_X87, 0},
    {ZYDIS_ISA_SET_SSE, 0},
    {ZYDIS_ISA_SET_SSEMXCSR, 0},
    {ZYDIS_ISA_SET_SSE_PREFETCH, 0},
    {ZYDIS_ISA_SET_SSE2, 0},
    {ZYDIS_ISA_SET_SSE2MMX, 0},
    {ZYDIS_ISA_SET_SSE3, F(SSE3)},
    {ZYDIS_ISA_SET_SSE3X87, F(SSE3)},
    {ZYDIS_ISA_SET_SSSE3, F(SSSE3)},
    {ZYDIS_ISA_SET_SSSE3MMX, F(SSSE3)},
    {ZYDIS_ISA_SET_SSE4, F(SSE41)},
    {ZYDIS_ISA_SET_SSE42, F(SSE42)},
    {ZYDIS_ISA_SET_POPCNT, F(POPCNT)},
    {ZYDIS_ISA_SET_LZCNT, F(LZCNT)},
    {ZYDIS_ISA_SET_CMPXCHG16B, F(CX16)},
    {ZYDIS_ISA_SET_MOVBE, F(MOVBE)},
    {ZYDIS_ISA_SET_LAHF, F(LAHF)},
    {ZYDIS_ISA_SET_AES, F(AES)},
    {ZYDIS_ISA_SET_PCLMULQDQ, F(PCLMUL)},
    {ZYDIS_ISA_SET_SHA, F(SHA)},
    {ZYDIS_ISA_SET_GFNI, F(GFNI)},
    {ZYDIS_ISA_SET_RDRAND, F(RDRAND)},
    {ZYDIS_ISA_SET_RDSEED, F(RDSEED)},
    {ZYDIS_ISA_SET_RDTSCP, F(RDTSCP)},
    {ZYDIS_ISA_SET_ADOX_ADCX, F(ADX)},
    {ZYDIS_ISA_SET_BMI1, F(BMI1)},
    {ZYDIS_ISA_SET_BMI2, F(BMI2)},
    {ZYDIS_ISA_SET_F16C, F(F16C) | F(AVX)},
    {ZYDIS_ISA_SET_FMA, F(FMA) | F(AVX)},
    {ZYDIS_ISA_SET_AVX, F(AVX)},
    {ZYDIS_ISA_SET_AVX2, F(AVX2) | F(AVX)},
    {ZYDIS_ISA_SET_AVX2GATHER, F(AVX2) | F(AVX)},
    {ZYDIS_ISA_SET_AVXAES, F(AES) | F(AVX)},
    {ZYDIS_ISA_SET_VAES, F(AES) | F(VAES) | F(AVX)},
    {ZYDIS_ISA_SET_VPCLMULQDQ, F(PCLMUL) | F(VPCLMUL) | F(AVX)},
    {ZYDIS_ISA_SET_AVX_GFNI, F(GFNI) | F(AVX)},
    {ZYDIS_ISA_SET_AVX_VNNI, F(AVX_VNNI) | F(AVX)},
    {ZYDIS_ISA_SET_AVX512F_KOP, F(AVX512F)},
    {ZYDIS_ISA_SET_AVX512DQ_KOP, F(AVX512DQ)},
    {ZYDIS_ISA_SET_AVX512BW_KOP, F(AVX512BW)},
};

/* Off the list although of such a set: section 6, and for the aliases at the end the head of rows.h. */
static const ZydisMnemonic off_list[] = {
    ZYDIS_MNEMONIC_ENTER, ZYDIS_MNEMONIC_INSB, ZYDIS_MNEMONIC_INSW, ZYDIS_MNEMONIC_INSD, ZYDIS_MNEMONIC_OUTSB,
    ZYDIS_MNEMONIC_OUTSW, ZYDIS_MNEMONIC_OUTSD, ZYDIS_MNEMONIC_IN, ZYDIS_MNEMONIC_OUT, ZYDIS_MNEMONIC_INT,
    ZYDIS_MNEMONIC_INT1, ZYDIS_MNEMONIC_IRET, ZYDIS_MNEMONIC_IRETD, ZYDIS_MNEMONIC_IRETQ, ZYDIS_MNEMONIC_CLI,
    ZYDIS_MNEMONIC_STI, ZYDIS_MNEMONIC_POPF, ZYDIS_MNEMONIC_POPFQ, ZYDIS_MNEMONIC_LSS, ZYDIS_MNEMONIC_LFS,
    ZYDIS_MNEMONIC_LGS, ZYDIS_MNEMONIC_INVD, ZYDIS_MNEMONIC_INVLPG, ZYDIS_MNEMONIC_WBINVD, ZYDIS_MNEMONIC_RDMSR,
    ZYDIS_MNEMONIC_WRMSR, ZYDIS_MNEMONIC_SYSENTER, ZYDIS_MNEMONIC_SYSEXIT, ZYDIS_MNEMONIC_SYSCALL,
    ZYDIS_MNEMONIC_SYSRET, ZYDIS_MNEMONIC_SWAPGS, ZYDIS_MNEMONIC_UD0, ZYDIS_MNEMONIC_UD1, ZYDIS_MNEMONIC_WRSSD,
    ZYDIS_MNEMONIC_WRSSQ, ZYDIS_MNEMONIC_WRUSSD, ZYDIS_MNEMONIC_WRUSSQ, ZYDIS_MNEMONIC_CLRSSBSY,
    ZYDIS_MNEMONIC_INCSSPD, ZYDIS_MNEMONIC_INCSSPQ, ZYDIS_MNEMONIC_RDSSPD, ZYDIS_MNEMONIC_RDSSPQ,
    ZYDIS_MNEMONIC_RSTORSSP, ZYDIS_MNEMONIC_SAVEPREVSSP, ZYDIS_MNEMONIC_SETSSBSY, ZYDIS_MNEMONIC_XSAVE,
    ZYDIS_MNEMONIC_XSAVE64, ZYDIS_MNEMONIC_XRSTOR, ZYDIS_MNEMONIC_XRSTOR64, ZYDIS_MNEMONIC_XSETBV,
    ZYDIS_MNEMONIC_FDISI8087_NOP, ZYDIS_MNEMONIC_FENI8087_NOP, ZYDIS_MNEMONIC_FSETPM287_NOP,
    ZYDIS_MNEMONIC_FSTPNCE};

static bool
is_one_of(ZydisMnemonic mnemonic, const ZydisMnemonic *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == mnemonic)
			return true;
	return false;
}

#define IS_ONE_OF(t, ...) \
	is_one_of((t)->z.mnemonic, (const ZydisMnemonic[]){__VA_ARGS__}, \
	    sizeof(ZydisMnemonic[]){__VA_ARGS__} / sizeof(ZydisMnemonic))

static bool
name_has(const struct trial *t, const char *part)
{
	return strstr(ZydisMnemonicGetString(t->z.mnemonic), part) != NULL;
}

static bool
name_ends(const struct trial *t, const char *end)
{
	const char *name = ZydisMnemonicGetString(t->z.mnemonic);

	return strlen(name) >= strlen(end) && strcmp(name + strlen(name) - strlen(end), end) == 0;
}

/* What sets of AVX-512 are called behind "AVX512", up to the vector length. Not those that only Xeon Phi had, and pairs of masks. */
static const struct {
	const char *name;
	uint64_t cpu;
} avx512_sets[] = {{"F", 0}, {"BW", F(AVX512BW)}, {"DQ", F(AVX512DQ)}, {"CD", F(AVX512CD)}, {"_BF16", F(AVX512_BF16)},
    {"_BITALG", F(AVX512_BITALG)}, {"_FP16", F(AVX512_FP16)}, {"_GFNI", F(GFNI)}, {"_IFMA", F(AVX512_IFMA)},
    {"_VAES", F(VAES)}, {"_VBMI", F(AVX512_VBMI)}, {"_VBMI2", F(AVX512_VBMI2)}, {"_VNNI", F(AVX512_VNNI)},
    {"_VPCLMULQDQ", F(VPCLMUL)}, {"_VPOPCNTDQ", F(AVX512_VPOPCNTDQ)}};

/* 128 and 256 bits need AVX512VL; "128N", where there is no other length, and scalars do not. */
static bool
in_avx512(const struct trial *t, uint64_t *cpu)
{
	const char *set = ZydisISASetGetString(t->z.meta.isa_set), *length = strrchr(set, '_');

	if (strncmp(set, "AVX512", 6) != 0 || !length)
		return false;
	for (size_t i = 0; i < sizeof avx512_sets / sizeof avx512_sets[0]; i++) {
		size_t size = strlen(avx512_sets[i].name);

		if (set + 6 + size != length || strncmp(set + 6, avx512_sets[i].name, size) != 0)
			continue;
		*cpu = F(AVX) | F(AVX512F) | avx512_sets[i].cpu;
		if (strcmp(length, "_128") == 0 || strcmp(length, "_256") == 0)
			*cpu |= F(AVX512VL);
		return true;
	}
	return false;
}

static bool
in_sets(const struct trial *t, uint64_t *cpu)
{
	if (t->evex)
		return in_avx512(t, cpu);
	for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
		if (sets[i].set == t->z.meta.isa_set) {
			*cpu = sets[i].cpu | (t->z.mnemonic == ZYDIS_MNEMONIC_VPCLMULQDQ ? F(PCLMUL) : 0);
			return true;
		}
	return false;
}

static bool
has_register(const struct trial *t, ZydisRegisterClass class)
{
	for (unsigned i = 0; i < t->z.operand_count; i++)
		if (t->ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER && ZydisRegisterGetClass(t->ops[i].reg.value) == class)
			return true;
	return false;
}

static bool
names_register(const struct trial *t, ZydisRegisterClass class)
{
	for (unsigned i = 0; i < t->z.operand_count_visible; i++)
		if (t->ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER && ZydisRegisterGetClass(t->ops[i].reg.value) == class)
			return true;
	return false;
}

/* Encodings that mean what another one means, or that processors take for nops: no assembler makes them. */
static bool
is_alias(const struct trial *t)
{
	unsigned digit = t->modrm >> 3 & 7;
	bool reg = t->modrm >= 0xc0;

	if (t->vex)
		return false;
	if (t->map == 0)
		switch (t->opcode) {
		case 0xc0:
		case 0xc1:
		case 0xd0:
		case 0xd1:
		case 0xd2:
		case 0xd3:
			return digit == 6;
		case 0xf6:
		case 0xf7:
			return digit == 1;
		case 0xdc:
			return reg && (digit == 2 || digit == 3);
		case 0xdd:
			return reg && digit == 1;
		case 0xde:
			return reg && digit == 2;
		case 0xdf:
			return reg && digit && digit < 4;
		}
	if (t->map == 1 && t->opcode == 0xae)
		return reg && (t->modrm & 7);
	if (t->map == 1 && t->opcode == 0x0d)
		return reg || digit > 1;
	if (t->z.mnemonic == ZYDIS_MNEMONIC_NOP && t->map == 1)
		return t->opcode != 0x1f || digit;
	return false;
}

/* Branches but e8, e9 and those through registers, and two that F3 makes, take no REX. */
static bool
takes_rex(const struct trial *t)
{
	if (t->z.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
		return t->map == 0 && (t->opcode == 0xe8 || t->opcode == 0xe9 || t->opcode == 0xff || t->opcode == 0xc3);
	return !IS_ONE_OF(t, ZYDIS_MNEMONIC_PAUSE, ZYDIS_MNEMONIC_ENDBR32, ZYDIS_MNEMONIC_ENDBR64);
}

/* 66 must choose the instruction, or 16 bits for one of its operands. */
static bool
needs_66(const struct trial *t)
{
	if (t->z.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || has_register(t, ZYDIS_REGCLASS_X87) ||
	    t->z.meta.isa_ext == ZYDIS_ISA_EXT_X87 || name_has(t, "prefetch") ||
	    IS_ONE_OF(t, ZYDIS_MNEMONIC_BSWAP, ZYDIS_MNEMONIC_MOVSXD, ZYDIS_MNEMONIC_FISTTP))
		return false;
	if (IS_ONE_OF(t, ZYDIS_MNEMONIC_NOP, ZYDIS_MNEMONIC_MOVBE)) /* movbe has W as well, which goes before 66 */
		return true;
	for (unsigned i = 0; i < t->z.raw.prefix_count; i++)
		if (t->z.raw.prefixes[i].value == 0x66 && t->z.raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY)
			return true;
	return t->z.operand_width == 16 && (t->z.operand_count_visible || t->z.meta.category == ZYDIS_CATEGORY_STRINGOP ||
					       IS_ONE_OF(t, ZYDIS_MNEMONIC_CBW, ZYDIS_MNEMONIC_CWD, ZYDIS_MNEMONIC_PUSHF));
}

static bool
needs_its_prefix(const struct trial *t)
{
	bool string = t->z.meta.category == ZYDIS_CATEGORY_STRINGOP;

	if (t->vex || t->pp == 0)
		return true;
	if (t->pp == 1)
		return needs_66(t);
	for (unsigned i = 0; i < t->z.raw.prefix_count; i++)
		if (t->z.raw.prefixes[i].value >= 0xf2 && t->z.raw.prefixes[i].type != ZYDIS_PREFIX_TYPE_IGNORED)
			return t->z.raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY || string || t->z.mnemonic == ZYDIS_MNEMONIC_PAUSE;
	return string;
}

/* Scalars ignore VEX.L; the manuals advise against 1, and we refuse it. */
static bool
is_scalar(const struct trial *t)
{
	return (name_ends(t, "ss") || name_ends(t, "sd") || name_ends(t, "2si")) && !name_has(t, "vp") &&
	    !name_has(t, "broadcast");
}

/* There are eight mask registers, and a bit for sixteen. */
static bool
rm_is_mask(const struct trial *t)
{
	for (unsigned i = 0; i < t->z.operand_count_visible; i++)
		if (t->ops[i].encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM && t->ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(t->ops[i].reg.value) == ZYDIS_REGCLASS_MASK)
			return true;
	return false;
}

static bool
is_allowed(const struct trial *t, uint64_t *cpu)
{
	if (!in_sets(t, cpu) || is_one_of(t->z.mnemonic, off_list, sizeof off_list / sizeof off_list[0]) || is_alias(t))
		return false;
	if (t->z.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || (t->z.mnemonic == ZYDIS_MNEMONIC_RET && t->opcode != 0xc3))
		return false;
	if (names_register(t, ZYDIS_REGCLASS_SEGMENT) || names_register(t, ZYDIS_REGCLASS_CONTROL) ||
	    names_register(t, ZYDIS_REGCLASS_DEBUG))
		return false;
	if (t->vex && !t->evex && t->l && is_scalar(t))
		return false;
	if (t->vex && t->high && t->modrm >= 0xc0 && rm_is_mask(t))
		return false;
	/* EVEX.b, where nothing is rounded. */
	if (t->broadcast && t->modrm >= 0xc0 && (name_has(t, "dq2pd") || (name_has(t, "si2sd") && !t->w)))
		return false;
	if (t->high && (t->z.mnemonic == ZYDIS_MNEMONIC_CALL || t->z.mnemonic == ZYDIS_MNEMONIC_JMP) && t->opcode != 0xff)
		return false; /* of REX, linkers put W there, and no more */
	return needs_its_prefix(t) && (!(t->w || t->high) || t->vex || takes_rex(t));
}

static const ZydisDecodedOperand *
memory_operand(const struct trial *t)
{
	for (unsigned i = 0; i < t->z.operand_count_visible; i++)
		if (t->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return &t->ops[i];
	return NULL;
}

/* It may do without its access: section 5. Zydis knows of some of these only. */
static bool
may_not_access(const struct trial *t)
{
	bool shift = IS_ONE_OF(t, ZYDIS_MNEMONIC_ROL, ZYDIS_MNEMONIC_ROR, ZYDIS_MNEMONIC_RCL, ZYDIS_MNEMONIC_RCR,
	    ZYDIS_MNEMONIC_SHL, ZYDIS_MNEMONIC_SHR, ZYDIS_MNEMONIC_SAR);

	return name_has(t, "prefetch") || name_has(t, "cmov") || name_has(t, "vmaskmov") || name_has(t, "vpmaskmov") ||
	    name_has(t, "gather") || name_has(t, "scatter") || name_has(t, "compress") || name_has(t, "expand") || IS_ONE_OF(t, ZYDIS_MNEMONIC_SHLD, ZYDIS_MNEMONIC_SHRD) ||
	    (shift && (t->opcode & 0xfe) != 0xd0);
}

/* Instructions that read less than a whole register, whose rows say a whole one: more is allowed, less would not be. */
static bool
reads_part(const struct trial *t)
{
	if (t->evex)
		return false;
	if (!t->vex)
		return name_has(t, "ps2pi") || name_has(t, "cmpxchg8b") ||
		    (name_has(t, "punpckl") && has_register(t, ZYDIS_REGCLASS_MMX));
	return name_has(t, "vcvtdq2pd") || name_has(t, "vcvtph2ps") || name_has(t, "vcvtps2p") || name_has(t, "vmovddup") ||
	    name_has(t, "vpmovsx") || name_has(t, "vpmovzx") ||
	    name_has(t, "vpsll") || name_has(t, "vpsrl") || name_has(t, "vpsra");
}

static bool
size_agrees(const struct trial *t, const ZydisDecodedOperand *op)
{
	unsigned ours = memory_size_x64(&t->insn), zydis = op->size / 8u;
	unsigned whole = t->vex && t->l && !name_has(t, "vpmov") && !name_has(t, "ps2ph") ? 32 : 16;

	if (name_has(t, "prefetch")) /* a line, for Zydis */
		return ours == 1;
	if (t->insn.row->kind == GATHER)
		return true;
	if (strncmp(ZydisMnemonicGetString(t->z.mnemonic), "kmov", 4) == 0) /* a row has two of them, and says the larger */
		return zydis <= ours && ours == (t->pp == 1 ? 4 : 8);
	if (reads_part(t))
		return ours == (has_register(t, ZYDIS_REGCLASS_MMX) && zydis == 4 ? 8 : whole);
	return ours == zydis;
}

static unsigned
register_number(ZydisRegister reg)
{
	return reg == ZYDIS_REGISTER_NONE ? NO_REG : reg == ZYDIS_REGISTER_RIP ? RIP : (unsigned) ZydisRegisterGetId(reg);
}

static bool
address_agrees(const struct trial *t, const ZydisDecodedOperand *op)
{
	if (t->insn.row->imm == MOFFS)
		return true;
	return t->insn.disp == op->mem.disp.value && register_number(op->mem.base) == t->insn.base &&
	    register_number(op->mem.index) == t->insn.index && (t->insn.index == NO_REG || op->mem.scale == t->insn.scale);
}

static void
compare_memory(const struct trial *t)
{
	const ZydisDecodedOperand *op = memory_operand(t);
	unsigned flags = t->insn.row->flags;
	bool free = op && (op->mem.type == ZYDIS_MEMOP_TYPE_AGEN || t->z.mnemonic == ZYDIS_MNEMONIC_NOP);

	if (is_string(&t->insn))
		return;
	if (t->insn.memory != (op != NULL))
		complain(t, "memory operand for one of us only");
	if (!op || !t->insn.memory)
		return;
	if (!address_agrees(t, op))
		complain(t, "memory operands differ in their address");
	if (!!(flags & FREE) != free)
		complain(t, "dereferences its operand for one of us only");
	if (free)
		return;
	if (!size_agrees(t, op))
		complain(t, "memory operands differ in size");
	if (!!(t->insn.row->rm & W) != !!(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
		complain(t, "writes memory for one of us only");
	if (!!(flags & MAYBE) != may_not_access(t))
		complain(t, "always makes its access for one of us only");
}

static void
compare_lock(const struct trial *t)
{
	struct trial locked = {.head = t->head + 1};
	const char *reason;

	if (!t->insn.memory)
		return;
	locked.bytes[0] = 0xf0;
	memcpy(locked.bytes + 1, t->bytes, DECODE_WINDOW - 1);
	if ((decode_x64(locked.bytes, &locked.insn, &reason) == LFI_RULE_NONE) != !!(t->z.attributes & ZYDIS_ATTRIB_ACCEPTS_LOCK))
		complain(t, "takes lock for one of us only");
}

static uint32_t
code_flags(const struct trial *t)
{
	uint32_t code = 0;

	if (has_register(t, ZYDIS_REGCLASS_X87) || has_register(t, ZYDIS_REGCLASS_MMX) ||
	    t->z.meta.isa_ext == ZYDIS_ISA_EXT_X87 || t->z.meta.isa_ext == ZYDIS_ISA_EXT_MMX || name_has(t, "pi2p"))
		code |= LFI_CODE_X87;
	if (t->evex)
		return LFI_CODE_AVX | LFI_CODE_AVX512;
	if (has_register(t, ZYDIS_REGCLASS_MASK))
		return LFI_CODE_AVX512;
	if (t->vex && t->z.meta.isa_ext != ZYDIS_ISA_EXT_BMI1 && t->z.meta.isa_ext != ZYDIS_ISA_EXT_BMI2)
		code |= LFI_CODE_AVX;
	if (IS_ONE_OF(t, ZYDIS_MNEMONIC_LDMXCSR, ZYDIS_MNEMONIC_VLDMXCSR, ZYDIS_MNEMONIC_FLDCW, ZYDIS_MNEMONIC_FLDENV,
		ZYDIS_MNEMONIC_FRSTOR, ZYDIS_MNEMONIC_FNSAVE, ZYDIS_MNEMONIC_FNSTENV, ZYDIS_MNEMONIC_FNINIT,
		ZYDIS_MNEMONIC_FNCLEX))
		code |= LFI_CODE_FPCONTROL;
	if (t->z.mnemonic == ZYDIS_MNEMONIC_STD)
		code |= LFI_CODE_DIRECTION;
	return code;
}

/* Where anything may be accessed, an instruction with a row is accepted, unless it is a branch, and reported. */
static void
compare_report(const struct trial *t, uint64_t cpu)
{
	struct LFIVerifyOptions options = {.struct_size = sizeof options, .policy = LFI_POLICY_JUMPS};
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	uint64_t scratch[2];
	uint8_t code[32];
	int refused;

	if (t->insn.row->kind >= BRANCH && t->insn.row->kind <= RET)
		return;
	memset(code, 0x90, sizeof code);
	memcpy(code, t->bytes, t->insn.size);
	refused = lfi_verify(&options, code, sizeof code, 0, scratch, sizeof scratch, NULL, NULL, &report);
	if (refused != !!(t->insn.written & (1u << R14 | 1u << R15)))
		complain(t, "is refused or accepted where anything may be accessed");
	if (refused)
		return;
	if (report.cpu != cpu)
		complain(t, "needs other features of the processor");
	if (report.code != code_flags(t))
		complain(t, "is reported otherwise");
}

/* Those that push, pop and call are left out: what rsp is after them is known. */
static void
compare_written(const struct trial *t)
{
	unsigned written = 0;

	for (unsigned i = 0; i < t->z.operand_count; i++) {
		ZydisRegister wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, t->ops[i].reg.value);

		if (t->ops[i].type != ZYDIS_OPERAND_TYPE_REGISTER || !(t->ops[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) ||
		    wide < ZYDIS_REGISTER_RAX || wide > ZYDIS_REGISTER_R15)
			continue;
		if (wide == ZYDIS_REGISTER_RSP && t->ops[i].visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN)
			continue;
		written |= 1u << (wide - ZYDIS_REGISTER_RAX);
	}
	if (t->insn.written != (written & PROTECTED))
		complain(t, "writes other protected registers");
}

static void
compare(struct trial *t)
{
	uint64_t cpu = 0;
	const char *reason;
	bool allowed;

	t->ours = decode_x64(t->bytes, &t->insn, &reason) == LFI_RULE_NONE;
	t->known = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, t->bytes, INSN_MAX, &t->z, t->ops));
	allowed = t->known && is_allowed(t, &cpu);
	if (!t->ours && !reason)
		complain(t, "is refused without a reason");
	if (t->ours != allowed)
		complain(t, t->ours ? "is accepted" : "is refused");
	if (!t->ours || !allowed)
		return;
	accepted++;
	if (t->insn.size != t->z.length)
		complain(t, "lengths differ");
	compare_memory(t);
	compare_written(t);
	compare_lock(t);
	compare_report(t, cpu);
}

/* Prefixes, and what begins another map. */
static bool
is_no_opcode(unsigned map, unsigned byte)
{
	static const uint8_t one[] = {0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x62, 0x64, 0x65, 0x66, 0x67, 0xc4, 0xc5, 0xf0, 0xf2, 0xf3};

	if (map == 1)
		return byte == 0x38 || byte == 0x3a;
	return map == 0 && ((byte & 0xf0) == 0x40 || memchr(one, (int) byte, sizeof one));
}

static void
put_head(struct trial *t, unsigned vvvv)
{
	static const uint8_t prefixes[4] = {0, 0x66, 0xf3, 0xf2};
	uint8_t *p = t->bytes;

	memset(p, 0x11, sizeof t->bytes);
	if (t->evex) {
		*p++ = 0x62;
		/* Of a register, X is another bit, which general registers do not have. */
		*p++ = (uint8_t) ((t->high ? t->modrm < 0xc0 ? 0x10 : 0x50 : 0xf0) | t->map);
		*p++ = (uint8_t) (t->w << 7 | (~vvvv & 15) << 3 | 4 | t->pp);
		*p++ = (uint8_t) (t->l << 5 | t->broadcast << 4 | 8 | t->masked);
	} else if (t->vex) {
		*p++ = 0xc4;
		*p++ = (uint8_t) ((t->low_reg ? 0xc0 : t->high ? 0 : 0xe0) | t->map);
		*p++ = (uint8_t) (t->w << 7 | (~vvvv & 15) << 3 | t->l << 2 | t->pp);
	} else {
		if (t->pp)
			*p++ = prefixes[t->pp];
		if (t->w || t->high)
			*p++ = (uint8_t) (0x40 | (t->w ? 8 : 0) | (t->high ? 7 : 0));
		if (t->map)
			*p++ = 0x0f;
		if (t->map > 1)
			*p++ = t->map == 2 ? 0x38 : 0x3a;
	}
	*p++ = (uint8_t) t->opcode;
	t->head = (unsigned) (p - t->bytes);
}

/* ModRM as (%rax) and (%rcx,%rdx), for EVEX also 0x11(%rcx,%rdx), with every digit, and all of its register forms. */
static void
compare_opcode(const struct trial *of, unsigned vvvv)
{
	for (unsigned modrm = 0; modrm < 256; modrm++) {
		struct trial t = *of;

		if (modrm < 0xc0 && modrm & 0xc7 && (modrm & 0xc7) != 4 && !(of->evex && (modrm & 0xc7) == 0x44))
			continue;
		if (of->evex && modrm >= 0xc0 && modrm & 7)
			continue;
		t.modrm = modrm;
		put_head(&t, vvvv);
		t.bytes[t.head] = (uint8_t) modrm;
		compare(&t);
	}
}

static void
compare_legacy(unsigned opcode)
{
	for (unsigned i = 0; i < 4 * 4 * 4 && wrong < enough; i++) {
		struct trial t = {.map = i >> 4, .pp = i >> 2 & 3, .w = i >> 1 & 1, .high = i & 1, .opcode = opcode};

		if (!is_no_opcode(t.map, opcode) && !(t.pp == 1 && t.w && t.map < 2)) /* W goes before 66 */
			compare_opcode(&t, 0);
	}
}

static void
compare_vex(unsigned opcode)
{
	static const uint8_t vvvvs[] = {0, 6, RSP, R14};

	for (unsigned i = 0; i < 3 * 4 * 4 * 4 * 2 && wrong < enough; i++) {
		struct trial t = {.vex = true,
		    .map = 1 + (i >> 7),
		    .pp = i >> 5 & 3,
		    .w = i >> 4 & 1,
		    .l = i >> 3 & 1,
		    .high = i >> 2 & 1,
		    .opcode = opcode};

		compare_opcode(&t, vvvvs[i & 3]);
		t.low_reg = true;
		if (t.high && (i & 3) < 2)
			compare_opcode(&t, vvvvs[i & 3]);
	}
}

static void
compare_evex(unsigned opcode)
{
	static const uint8_t maps[] = {1, 2, 3, 5, 6};

	for (unsigned i = 0; i < 5 * 4 * 2 * 3 * 8 && wrong < enough; i++) {
		struct trial t = {.vex = true,
		    .evex = true,
		    .map = maps[i / (4 * 2 * 3 * 8)],
		    .pp = i / (2 * 3 * 8) & 3,
		    .w = i / (3 * 8) & 1,
		    .l = i / 8 % 3,
		    .high = i >> 2 & 1,
		    .masked = i >> 1 & 1,
		    .broadcast = i & 1,
		    .opcode = opcode};

		compare_opcode(&t, 0);
		compare_opcode(&t, 6);
	}
}

static void
exactly_what_the_scheme_lists_of_the_evex_maps_is_accepted(void **state)
{
	wrong = accepted = 0;
	for (unsigned opcode = 0; opcode < 256; opcode++)
		compare_evex(opcode);
	assert_int_equal(wrong, 0);
	assert_true(accepted > 100000);
}

static void
exactly_what_the_scheme_lists_of_the_legacy_maps_is_accepted(void **state)
{
	wrong = accepted = 0;
	for (unsigned opcode = 0; opcode < 256; opcode++)
		compare_legacy(opcode);
	assert_int_equal(wrong, 0);
	assert_true(accepted > 100000);
}

static void
exactly_what_the_scheme_lists_of_the_vex_maps_is_accepted(void **state)
{
	wrong = accepted = 0;
	for (unsigned opcode = 0; opcode < 256; opcode++)
		compare_vex(opcode);
	assert_int_equal(wrong, 0);
	assert_true(accepted > 100000);
}

/* The mutation of the verifier says which opcodes it has changed: those come first, and one complaint is enough. */
static int
compare_first(const char *opcodes)
{
	enough = 1;
	for (char *end; *opcodes; opcodes = end) {
		unsigned opcode = (unsigned) strtoul(opcodes, &end, 16) & 255;

		compare_legacy(opcode);
		compare_vex(opcode);
		compare_evex(opcode);
	}
	return wrong != 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(exactly_what_the_scheme_lists_of_the_legacy_maps_is_accepted),
	    cmocka_unit_test(exactly_what_the_scheme_lists_of_the_vex_maps_is_accepted),
	    cmocka_unit_test(exactly_what_the_scheme_lists_of_the_evex_maps_is_accepted),
	};
	const char *first = getenv("LFI_MUTATED_OPCODES");

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (first && compare_first(first))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
