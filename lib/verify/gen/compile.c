/* SPDX-License-Identifier: MIT */
/*
 * Runs when the library is built: reads the rows of rows.h and writes x64_quick (quick.h) as C to the file it is told.
 * Trusted, as the rows are; tests/c/verify/quick.c compares what comes out with the rows' own decoder. Where a word has
 * no room for what a row says, the rules are asked: Q_SPECIAL, or Q_STRANGE if not even the length is known.
 */
#include <stdio.h>

#include "insn.h"
#include "quick.h"

/* What the words assume of an access's size. */
#define ACCESS_MAX 64

enum { NP, P66, PF3, PF2 };

/*
 * The opcode tables: what they are of, and how many bytes are in front of the opcode. In the order of the bytes.
 * The last two are of the byte after 66 66 and 66 2e.
 */
enum {
	STRANGE,
	ONE_NP,
	ONE_REX,
	ONE_REX_W,
	ONE_66,
	TWO_NP,
	TWO_REX,
	ONE_66_REX,
	TWO_66,
	TWO_F3,
	TWO_F2,
	NOP_11,
	NOP_10
};
static const struct op {
	uint8_t map, select, front;
	bool rex, w;
} ops[Q_OPS] = {
    [STRANGE] = {MAPS, NP, 0, false, false},
    [ONE_NP] = {ONE, NP, 0, false, false},
    [ONE_REX] = {ONE, NP, 1, true, false},
    [ONE_REX_W] = {ONE, NP, 1, true, true},
    [ONE_66] = {ONE, P66, 1, false, false},
    [TWO_NP] = {TWO, NP, 1, false, false},
    [TWO_REX] = {TWO, NP, 2, true, false},
    [ONE_66_REX] = {ONE, P66, 2, true, false},
    [TWO_66] = {TWO, P66, 2, false, false},
    [TWO_F3] = {TWO, PF3, 2, false, false},
    [TWO_F2] = {TWO, PF2, 2, false, false},
    [NOP_11] = {MAPS, P66, 2, false, false},
    [NOP_10] = {MAPS, P66, 2, false, false},
};

static bool
writes_general(unsigned operand)
{
	return operand & W && (operand & CLASS) < Vx;
}

static unsigned
immediate_size(const struct row *row, const struct op *op)
{
	switch (row->imm) {
	case IB:
	case REL8:
		return 1;
	case IZ:
		return op->select == P66 ? 2 : 4;
	case IV:
		return op->w ? 8 : op->select == P66 ? 2 : 4;
	case REL32:
		return 4;
	default:
		return 0;
	}
}

/* Kinds that the rules do not look at once the operands are good, and push and pop of a register or a constant. */
static bool
is_plain(const struct row *row)
{
	if (row->code || row->cpu || row->cpu256 || row->only || row->flags & (CX16 | NOREX | NO66 | RELAXED))
		return false;
	if (row->mem > ACCESS_MAX)
		return false;
	return row->kind <= PUSH || (row->kind == POP && !row->rm) || row->kind == BITTEST;
}

/* What follows from ModRM. */
static uint32_t
operand_bits(const struct row *row)
{
	uint32_t word = Q_LENGTH | Q_NO_BASE;

	if (writes_general(row->reg))
		word |= Q_REG;
	if (writes_general(row->rm))
		word |= Q_RM;
	if (row->rm & MEM)
		word |= Q_REG_FORM;
	if (row->rm & REG || row->kind == BITTEST)
		word |= Q_MEM_FORM;
	if (row->flags & FREE)
		return word | Q_GS;
	if (!(row->flags & MAYBE) && row->kind != BITTEST && (row->rm & CLASS) != St)
		word |= Q_CONFIRM;
	return word | Q_STACK | Q_TOUCHES;
}

/* The register in the low opcode bits. */
static uint32_t
low_bits(const struct row *row, unsigned opcode)
{
	unsigned number = opcode & 7;

	if (!writes_general(row->op))
		return 0;
	return (number == RSP ? Q_LOW : 0) | (number == R14 - 8 || number == R15 - 8 ? Q_HIGH : 0);
}

static uint32_t
row_word(const struct row *row, const struct op *op, unsigned opcode, bool modrm)
{
	uint32_t word = is_plain(row) ? 0 : Q_SPECIAL;

	if (row->imm == MOFFS)
		return Q_STRANGE;
	word |= (op->front + 1 + immediate_size(row, op)) << Q_SIZE_AT;
	if (row->kind == PUSH || row->kind == POP)
		word |= Q_CLEAN;
	return word | (modrm || row->rm || row->reg ? operand_bits(row) : Q_GS | low_bits(row, opcode));
}

/* A group's digit in either form, 0 if it is not there. */
static uint32_t
digit_word(unsigned group, const struct op *op, unsigned digit, bool reg)
{
	unsigned number = x64_digits[group][reg][digit];

	return number ? row_word(&x64_rows[number], op, 0, true) : 0;
}

/* Whether the digits below 2, or the others, have an immediate of another size than `size` says. */
static uint32_t
lengths_differ(unsigned group, const struct op *op, uint32_t size)
{
	uint32_t differ = 0;

	for (unsigned form = 0; form < 16; form++) {
		uint32_t word = digit_word(group, op, form & 7, form >> 3);

		if (word && word >> Q_SIZE_AT != size)
			differ |= (form & 7) < 2 ? Q_DIGIT_LOW : Q_DIGIT_HIGH;
	}
	return differ;
}

/* One word for all digits: a digit that is not plain in both forms has its bit. */
static uint32_t
group_word(unsigned group, const struct op *op)
{
	const uint32_t all = Q_CONFIRM | Q_CLEAN;
	uint32_t any = 0, every = all, low = 0, high = 0, size;

	for (unsigned digit = 0; digit < 8; digit++) {
		uint32_t mem = digit_word(group, op, digit, false), reg = digit_word(group, op, digit, true);

		if (!mem || !reg || (mem | reg) & Q_SPECIAL)
			any |= Q_DIGIT(digit);
		any |= mem | reg;
		every &= (mem ? mem : all) & (reg ? reg : all);
		*(digit < 2 ? &low : &high) |= (mem | reg) >> Q_SIZE_AT;
	}
	/* Of the groups whose digits differ, tests with one byte and negations without any are the most frequent. */
	size = low == op->front + 2u || !high ? low : high;
	any &= ~(all | Q_SPECIAL) & ((1u << Q_SIZE_AT) - 1);
	return any | every | lengths_differ(group, op, size) | size << Q_SIZE_AT;
}

/* The two long nops with which assemblers pad. The walk has seen only their beginning and compares the rest. */
static uint32_t
nop_word(const struct op *op, unsigned opcode)
{
	if (op == &ops[NOP_11] && opcode == 0x2e)
		return Q_SPECIAL | 11u << Q_SIZE_AT;
	if (op == &ops[NOP_10] && opcode == 0x0f)
		return Q_SPECIAL | 10u << Q_SIZE_AT;
	return Q_STRANGE;
}

static uint32_t
opcode_word(const struct op *op, unsigned opcode)
{
	unsigned entry = op->map == MAPS ? 0 : x64_opcodes[op->map][op->select][opcode];

	if (!entry)
		return nop_word(op, opcode);
	if (entry & IN_GROUP)
		return group_word(entry & ~(unsigned) IN_GROUP, op);
	return row_word(&x64_rows[entry], op, opcode, false);
}

static bool
is_protected(unsigned number)
{
	return number == RSP || number == R14 || number == R15;
}

/* A memory operand. gs with the address size makes every address good but one relative to eip. */
static uint32_t
memory_bits(bool gs, unsigned rex, unsigned mod, unsigned rm)
{
	unsigned length = mod == 0 ? 1 : mod == 1 ? 2 : 5;
	bool rip = mod == 0 && rm == 5, stack = rm == 4 && mod < 2 && !(rex & (REX_X | REX_B));
	uint32_t word = Q_MEM_FORM;

	if (rm == 4)
		length++;
	if (rm == 4 && mod == 0)
		word |= Q_NO_BASE;
	if (rip || !gs)
		word |= stack ? Q_STACK : Q_TOUCHES;
	return word | (rip ? 5 : length);
}

static uint32_t
line_word(unsigned line, unsigned modrm)
{
	unsigned mod = modrm >> 6, reg = modrm >> 3 & 7, rm = modrm & 7, rex = line & 7;
	bool gs = line & Q_LINE_GS >> 8;
	uint32_t word = Q_SPECIAL | (reg < 2 ? Q_DIGIT_LOW : Q_DIGIT_HIGH) | Q_DIGIT(reg);

	word |= rex & REX_B ? Q_HIGH : Q_LOW;
	if (gs)
		word |= Q_GS;
	if (is_protected(reg | (rex & REX_R) << 1))
		word |= Q_REG;
	if (mod != 3)
		return (word | memory_bits(gs, rex, mod, rm)) + (gs ? 2 : 0);
	if (is_protected(rm | (rex & REX_B) << 3))
		word |= Q_RM;
	return word | Q_REG_FORM | (gs ? Q_TOUCHES | 3 : 1);
}

/* Which of the lines of `second` a byte leads to. */
enum { FIRST_PLAIN, FIRST_REX, FIRST_0F = FIRST_REX + 16, FIRST_66, FIRST_F3, FIRST_F2 };

static unsigned
first_of(unsigned byte)
{
	switch (byte) {
	case 0x0f:
		return FIRST_0F;
	case 0x66:
		return FIRST_66;
	case 0xf3:
		return FIRST_F3;
	case 0xf2:
		return FIRST_F2;
	default:
		return (byte & 0xf0) == 0x40 ? FIRST_REX + (byte & 15) : FIRST_PLAIN;
	}
}

static unsigned
op_of(unsigned first, unsigned next)
{
	bool rex = (next & 0xf0) == 0x40;

	switch (first) {
	case FIRST_PLAIN:
		return ONE_NP;
	case FIRST_0F:
		return TWO_NP;
	case FIRST_66:
		if (next == 0x66 || next == 0x2e)
			return next == 0x66 ? NOP_11 : NOP_10;
		return next == 0x0f ? TWO_66 : !rex ? ONE_66 : next & REX_W ? STRANGE : ONE_66_REX;
	case FIRST_F3:
		return next == 0x0f ? TWO_F3 : STRANGE;
	case FIRST_F2:
		return next == 0x0f ? TWO_F2 : STRANGE;
	default:
		return next == 0x0f ? TWO_REX : (first - FIRST_REX) & REX_W ? ONE_REX_W : ONE_REX;
	}
}

static unsigned
line_of(unsigned first, unsigned next)
{
	if (first == FIRST_66 && (next & 0xf0) == 0x40)
		return next & 7;
	return first >= FIRST_REX && first < FIRST_0F ? (first - FIRST_REX) & 7 : 0;
}

static void
print_word(unsigned i, unsigned word)
{
	printf("%s0x%x,", i % 8 ? " " : "\n\t", word);
}

static void
print_first(void)
{
	printf(".first = {");
	for (unsigned byte = 0; byte < 256; byte++)
		print_word(byte, first_of(byte) * 256);
	puts("\n},");
}

static void
print_second(void)
{
	printf(".second = {");
	for (unsigned i = 0; i < Q_FIRSTS * 256; i++) {
		unsigned op = op_of(i / 256, i % 256);

		printf("%s{%u, %u},", i % 8 ? " " : "\n\t", op * 256 + ops[op].front * 8u,
		    line_of(i / 256, i % 256) * 256);
	}
	puts("\n},");
}

static void
print_opcodes(void)
{
	printf(".opcode = {");
	for (unsigned i = 0; i < Q_OPS * 256; i++)
		printf("%s[%u] = 0x%x,", i % 8 ? " " : "\n\t", i + ops[i / 256].front * 8u,
		    opcode_word(&ops[i / 256], i % 256));
	puts("\n},");
}

/* Direct branches without prefixes. */
static unsigned
branch_size(const struct op *op, unsigned opcode)
{
	unsigned entry = x64_opcodes[op->map][NP][opcode];
	const struct row *row = &x64_rows[entry & ~(unsigned) IN_GROUP];

	if (!entry || entry & IN_GROUP || (row->kind != BRANCH && row->kind != CALL))
		return 0;
	return immediate_size(row, op);
}

int
main(int argc, char **argv)
{
	if (argc != 2 || !freopen(argv[1], "w", stdout))
		return 2;
	puts("#include \"quick.h\"\n\nconst struct quick_tables x64_quick = {");
	print_first();
	print_second();
	print_opcodes();
	printf(".line = {");
	for (unsigned i = 0; i < Q_LINES * 256; i++)
		print_word(i, line_word(i / 256, i % 256));
	printf("\n},\n.sib = {");
	for (unsigned i = 0; i < 256; i++)
		print_word(i, ((i & 7) == 5 ? Q_NO_BASE : 0) | (i != 0x24 ? Q_STACK : 0));
	printf("\n},\n.branch = {{");
	for (unsigned i = 0; i < 256; i++)
		print_word(i, branch_size(&ops[ONE_NP], i));
	printf("\n}, {");
	for (unsigned i = 0; i < 256; i++)
		print_word(i, branch_size(&ops[TWO_NP], i));
	puts("\n}}};");
	return ferror(stdout) || fflush(stdout);
}
