/* SPDX-License-Identifier: MIT */
/*
 * The decoder against Zydis, over every opcode with every ModRM under many prefixes, and over random bytes. What we
 * accept, Zydis must know, with the same length, the same memory operand, and no write that the rules would miss.
 */
#include <Zydis/Zydis.h>
#include <lfi/lfi_verify.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "insn.h"


static ZydisDecoder decoder;
static uint64_t seed = 1;
static unsigned wrong, accepted;

static uint64_t
random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void
complain(const uint8_t *bytes, const struct insn *insn, const char *what)
{
	char hex[INSN_TEXT_MAX], text[INSN_TEXT_MAX];

	if (wrong++ > 40)
		return;
	text_bytes_x64(bytes, insn->size, hex);
	text_x64(insn, text);
	print_error("%s: `%s`: %s\n", hex, text, what);
}

/* 0 to 15, or 16 for what is not a general register. */
static unsigned
gpr_number(ZydisRegister reg)
{
	ZydisRegister wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	if (wide < ZYDIS_REGISTER_RAX || wide > ZYDIS_REGISTER_R15)
		return 16;
	return (unsigned) (wide - ZYDIS_REGISTER_RAX);
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
compare_register(const uint8_t *bytes, const struct insn *insn, const ZydisDecodedOperand *op, unsigned *written)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(op->reg.value);
	bool writes = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	unsigned number = gpr_number(op->reg.value);

	if ((class == ZYDIS_REGCLASS_X87 || class == ZYDIS_REGCLASS_MMX) && !(insn->row->code & LFI_CODE_X87))
		complain(bytes, insn, "x87 or MMX is not noted");
	if (class == ZYDIS_REGCLASS_YMM && !(insn->row->code & LFI_CODE_AVX) && !insn->evex)
		complain(bytes, insn, "AVX is not noted");
	if ((class == ZYDIS_REGCLASS_ZMM || class == ZYDIS_REGCLASS_MASK) && !insn->evex &&
	    !(insn->row->code & LFI_CODE_AVX512))
		complain(bytes, insn, "AVX-512 is not noted");
	if (class == ZYDIS_REGCLASS_TMM)
		complain(bytes, insn, "AMX");
	if (!writes)
		return;
	if (class == ZYDIS_REGCLASS_SEGMENT || class == ZYDIS_REGCLASS_CONTROL || class == ZYDIS_REGCLASS_DEBUG ||
	    class == ZYDIS_REGCLASS_TABLE)
		complain(bytes, insn, "writes a system register");
	if (class == ZYDIS_REGCLASS_IP && insn->row->kind < BRANCH && insn->opcode != 0xcc)
		complain(bytes, insn, "writes rip");
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
	if (ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_XMM || ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_YMM ||
	    ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_ZMM)
		return (unsigned) ZydisRegisterGetId(reg) == ours;
	return gpr_number(reg) == ours;
}

static void
compare_address(const uint8_t *bytes, const struct insn *insn, const ZydisDecodedOperand *op)
{
	bool gs = op->mem.segment == ZYDIS_REGISTER_GS;

	/* Zydis 4.0.0 does not see that ModRM.mod 0 and SIB.base 5 mean no base also with REX.B; binutils and LLVM do.
	 */
	if (op->mem.base == ZYDIS_REGISTER_R13 || op->mem.base == ZYDIS_REGISTER_R13D)
		if (insn->base == NO_REG && op->mem.disp.value == 0)
			return;
	if (!same_register(op->mem.base, insn->base) || !same_register(op->mem.index, insn->index))
		complain(bytes, insn, "base or index differs");
	if (op->mem.index != ZYDIS_REGISTER_NONE && op->mem.scale != insn->scale)
		complain(bytes, insn, "scale differs");
	if (insn->row->imm != MOFFS && op->mem.disp.value != insn->disp)
		complain(bytes, insn, "displacement differs");
	if (!(insn->row->flags & FREE) && gs != !!(insn->prefixes & P_GS))
		complain(bytes, insn, "segment differs");
	if (op->mem.segment == ZYDIS_REGISTER_FS)
		complain(bytes, insn, "segment is fs");
}

static void
compare_explicit(const uint8_t *bytes, const struct insn *insn, const ZydisDecodedOperand *op)
{
	bool writes = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;

	if (!insn->memory) {
		complain(bytes, insn, "memory operand is not seen");
		return;
	}
	compare_address(bytes, insn, op);
	if (op->mem.type == ZYDIS_MEMOP_TYPE_AGEN || insn->row->kind == NOP) {
		if (!(insn->row->flags & FREE))
			complain(bytes, insn, "address computation is taken for an access");
		return;
	}
	if (insn->row->flags & FREE)
		complain(bytes, insn, "memory operand is taken for free");
	if (writes != !!(insn->row->rm & W))
		complain(bytes, insn, "memory operand is written by one of us only");
	if (memory_size_x64(insn) < op->size / 8u)
		complain(bytes, insn, "memory operand is larger than we think");
	if (insn->evex && insn->row->kind != GATHER && memory_size_x64(insn) != op->size / 8u)
		complain(bytes, insn, "memory operand is smaller than we think");
}

static void
compare_implicit(const uint8_t *bytes, const struct insn *insn, const ZydisDecodedOperand *op)
{
	if (op->mem.base == ZYDIS_REGISTER_RSP ? moves_rsp(insn) : is_string(insn) || insn->row->kind == IMPLICIT)
		return;
	if (insn->row->kind == LEAVE)
		return;
	complain(bytes, insn, "implicit memory operand is not seen");
}

static void
compare_branch(
    const uint8_t *bytes, const struct insn *insn, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops)
{
	bool direct = insn->row->kind == BRANCH || insn->row->kind == CALL;

	if ((z->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE) != (insn->row->kind >= BRANCH && insn->row->kind <= RET))
		complain(bytes, insn, "branch for one of us only");
	if (z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		complain(bytes, insn, "far branch");
	if (direct && (ops[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE || ops[0].imm.value.s != insn->imm))
		complain(bytes, insn, "branch target differs");
}

static void
compare_operands(
    const uint8_t *bytes, const struct insn *insn, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops)
{
	unsigned written = 0, explicit_memory = 0;

	for (unsigned i = 0; i < z->operand_count; i++) {
		const ZydisDecodedOperand *op = &ops[i];

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
			compare_register(bytes, insn, op, &written);
		} else if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
			if (op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT && !is_string(insn)) {
				compare_explicit(bytes, insn, op);
				explicit_memory++;
			} else {
				compare_implicit(bytes, insn, op);
			}
		}
	}
	if ((written & PROTECTED) != (insn->written & PROTECTED))
		complain(bytes, insn, "writes of protected registers differ");
	if (insn->memory && !explicit_memory)
		complain(bytes, insn, "there is no memory operand");
}

static void
compare(const uint8_t *bytes)
{
	ZydisDecodedInstruction z;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	struct insn insn;
	const char *reason;

	if (decode_x64(bytes, &insn, &reason) != LFI_RULE_NONE)
		return;
	accepted++;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, 15, &z, ops))) {
		complain(bytes, &insn, "not an instruction");
		return;
	}
	if (z.length != insn.size)
		complain(bytes, &insn, "length differs");
	if (z.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED && insn.row != NULL && insn.opcode != 0xf4)
		complain(bytes, &insn, "privileged");
	compare_operands(bytes, &insn, &z, ops);
	compare_branch(bytes, &insn, &z, ops);
}

struct prefix_row {
	uint8_t size, bytes[5];
};

static const struct prefix_row prefix_rows[] = {
    {0, {0}},
    {1, {0x66}},
    {1, {0xf3}},
    {1, {0xf2}},
    {1, {0x2e}},
    {1, {0x67}},
    {2, {0x65, 0x67}},
    {3, {0x65, 0x67, 0x66}},
    {3, {0x65, 0x67, 0xf3}},
    {3, {0x65, 0x67, 0xf2}},
    {3, {0xf0, 0x65, 0x67}},
    {2, {0xf0, 0x66}},
    {2, {0x66, 0xf3}},
    {2, {0x66, 0xf2}},
    {1, {0x65}},
};

#define PREFIX_ROWS (sizeof prefix_rows / sizeof prefix_rows[0])

static const uint8_t rexes[] = {0, 0x40, 0x41, 0x42, 0x44, 0x45, 0x47, 0x48, 0x49, 0x4c, 0x4d};

static const struct prefix_row maps[] = {{0, {0}}, {1, {0x0f}}, {2, {0x0f, 0x38}}, {2, {0x0f, 0x3a}}};

static void
fill_random(uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i += 8) {
		uint64_t x = random64();

		memcpy(bytes + i, &x, 8);
	}
}

/* Every opcode of a map with every ModRM; SIB, displacement and immediate are random. */
static void
compare_map(const struct prefix_row *prefix, uint8_t rex, const struct prefix_row *map)
{
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		for (unsigned modrm = 0; modrm < 256; modrm++) {
			uint8_t bytes[48], *p = bytes;

			fill_random(bytes, sizeof bytes);
			memcpy(p, prefix->bytes, prefix->size);
			p += prefix->size;
			if (rex)
				*p++ = rex;
			memcpy(p, map->bytes, map->size);
			p += map->size;
			*p++ = (uint8_t) opcode;
			*p++ = (uint8_t) modrm;
			compare(bytes);
		}
	}
}

static void
what_is_accepted_of_the_legacy_maps_is_what_zydis_sees(void **state)
{
	wrong = accepted = 0;
	for (size_t i = 0; i < PREFIX_ROWS; i++)
		for (size_t j = 0; j < sizeof rexes; j++)
			for (size_t k = 0; k < 4; k++)
				compare_map(&prefix_rows[i], rexes[j], &maps[k]);
	assert_true(accepted > 1000000);
	assert_int_equal(wrong, 0);
}

static void
compare_vex(unsigned map, unsigned payload, unsigned opcode, bool gs)
{
	for (unsigned modrm = 0; modrm < 256; modrm++) {
		uint8_t bytes[48], *p = bytes;

		fill_random(bytes, sizeof bytes);
		if (gs) {
			*p++ = 0x65;
			*p++ = 0x67;
		}
		*p++ = 0xc4;
		*p = (uint8_t) ((*p & 0xe0) | map);
		*++p = (uint8_t) payload;
		*++p = (uint8_t) opcode;
		*++p = (uint8_t) modrm;
		compare(bytes);
	}
}

static void
what_is_accepted_of_the_vex_maps_is_what_zydis_sees(void **state)
{
	wrong = accepted = 0;
	for (unsigned map = 1; map <= 3; map++)
		for (unsigned payload = 0; payload < 256; payload++)
			for (unsigned opcode = 0; opcode < 256; opcode++)
				compare_vex(map, payload, opcode, random64() & 1);
	assert_true(accepted > 1000000);
	assert_int_equal(wrong, 0);
}

static void
compare_evex(unsigned map, unsigned pp, unsigned opcode, unsigned p2, bool gs)
{
	for (unsigned modrm = 0; modrm < 256; modrm++) {
		uint8_t bytes[48], *p = bytes;

		fill_random(bytes, sizeof bytes);
		if (gs) {
			*p++ = 0x65;
			*p++ = 0x67;
		}
		*p++ = 0x62;
		*p = (uint8_t) ((*p & 0xf0) | map);
		if (seed & 3)
			*p |= 0x10;
		p++;
		*p = (uint8_t) ((*p & 0xf8) | 4 | pp);
		if (seed & 1)
			*p |= 0x78;
		*++p = (uint8_t) p2;
		*++p = (uint8_t) opcode;
		*++p = (uint8_t) modrm;
		compare(bytes);
	}
}

static void
what_is_accepted_of_the_evex_maps_is_what_zydis_sees(void **state)
{
	wrong = accepted = 0;
	for (unsigned map = 0; map < 8; map++)
		for (unsigned pp = 0; pp < 4; pp++)
			for (unsigned opcode = 0; opcode < 256; opcode++)
				for (unsigned p2 = 0; p2 < 256; p2 += 1 + (random64() & 7))
					compare_evex(map, pp, opcode, p2, random64() & 1);
	print_message("%u\n", accepted);
	assert_true(accepted > 1000000);
	assert_int_equal(wrong, 0);
}

static void
what_is_accepted_of_random_bytes_is_what_zydis_sees(void **state)
{
	wrong = accepted = 0;
	for (unsigned i = 0; i < 10000000; i++) {
		uint8_t bytes[48];

		fill_random(bytes, sizeof bytes);
		compare(bytes);
	}
	assert_true(accepted > 1000000);
	assert_int_equal(wrong, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_accepted_of_the_legacy_maps_is_what_zydis_sees),
	    cmocka_unit_test(what_is_accepted_of_the_vex_maps_is_what_zydis_sees),
	    cmocka_unit_test(what_is_accepted_of_the_evex_maps_is_what_zydis_sees),
	    cmocka_unit_test(what_is_accepted_of_random_bytes_is_what_zydis_sees),
	};

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
