//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * A struct insn as text in AT&T style, for messages. It reads like a disassembly, but nothing depends on it. Trusted
 * not to write past its buffer.
 */
#include "insn.h"

struct text {
	char *p, *end;
};

static void
put_char(struct text *t, char c)
{
	if (t->p < t->end)
		*t->p++ = c;
	*t->p = 0;
}

static void
put(struct text *t, const char *s)
{
	while (*s)
		put_char(t, *s++);
}

static void
put_hex(struct text *t, uint64_t x, unsigned digits)
{
	while (digits < 16 && x >> 4 * digits)
		digits++;
	put(t, "0x");
	while (digits--)
		put_char(t, "0123456789abcdef"[x >> 4 * digits & 15]);
}

static void
put_signed(struct text *t, int64_t x)
{
	if (x < 0)
		put_char(t, '-');
	put_hex(t, x < 0 ? 0 - (uint64_t) x : (uint64_t) x, 1);
}

static void
put_number(struct text *t, unsigned x)
{
	if (x >= 10)
		put_char(t, (char) ('0' + x / 10));
	put_char(t, (char) ('0' + x % 10));
}

static void
put_gpr(struct text *t, unsigned number, unsigned size, bool rex)
{
	static const char names[8][3] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};

	put_char(t, '%');
	if (number >= 8) {
		put_char(t, 'r');
		put_number(t, number);
		put(t, size == 1 ? "b" : size == 2 ? "w" : size == 4 ? "d" : "");
	} else if (size == 1) {
		put_char(t, names[number < 4 || rex ? number : number - 4][0]);
		if (number >= 4 && rex)
			put_char(t, names[number][1]);
		put_char(t, number < 4 || rex ? 'l' : 'h');
	} else {
		put(t, size == 4 ? "e" : size == 8 ? "r" : "");
		put(t, names[number]);
	}
}

static unsigned
gpr_size(const struct insn *insn, unsigned class)
{
	switch (class) {
	case Gb:
		return 1;
	case Gw:
		return 2;
	case Gd:
		return 4;
	case Gv:
		return insn->operand;
	case Gy:
		return insn->rex & REX_W ? 8 : 4;
	case Gs:
		return insn->operand == 2 ? 2 : 8;
	default:
		return 8;
	}
}

/* Of parts of a vector: the register that holds the part. */
static const char *
vector_name(const struct insn *insn, unsigned class)
{
	unsigned part = class == Vx ? 0 : class == Vh ? 1 : class == Vf ? 2 : 3;
	unsigned size = class == Vo || insn->vex_l < part ? 0 : insn->vex_l - part;

	return size == 2 ? "%zmm" : size == 1 ? "%ymm" : "%xmm";
}

static void
put_register(struct text *t, const struct insn *insn, unsigned operand, unsigned number)
{
	unsigned class = operand & CLASS;

	if (class < Vx) {
		put_gpr(t, number, gpr_size(insn, class), insn->rex_seen);
		return;
	}
	put(t, class == Pq ? "%mm" : class == St ? "%st" : class == K ? "%k" : vector_name(insn, class));
	put_number(t, class == Pq || class == St ? number & 7 : number);
}

static void
put_address_register(struct text *t, const struct insn *insn, unsigned number)
{
	bool short_address = insn->prefixes & P_67;

	if (number == RIP)
		put(t, short_address ? "%eip" : "%rip");
	else if (number < RIP)
		put_gpr(t, number, short_address ? 4 : 8, true);
}

static void
put_memory(struct text *t, const struct insn *insn)
{
	if (insn->prefixes & P_GS)
		put(t, "%gs:");
	if (insn->disp || (insn->base == NO_REG && insn->index == NO_REG))
		put_signed(t, insn->disp);
	if (insn->base == NO_REG && insn->index == NO_REG)
		return;
	put_char(t, '(');
	put_address_register(t, insn, insn->base);
	if (insn->index != NO_REG) {
		put_char(t, ',');
		if (insn->row->kind == GATHER) {
			put_register(t, insn, Vx, insn->index);
		} else {
			put_address_register(t, insn, insn->index);
		}
		put_char(t, ',');
		put_number(t, insn->scale);
	}
	put_char(t, ')');
}

static void
separate(struct text *t, bool *first)
{
	put(t, *first ? " " : ", ");
	*first = false;
}

static void
put_rm(struct text *t, const struct insn *insn, bool *first)
{
	unsigned kind = insn->row->kind;

	if (!insn->row->rm)
		return;
	separate(t, first);
	if (kind == JMP_INDIRECT || kind == CALL_INDIRECT)
		put_char(t, '*');
	if (!insn->memory) {
		put_register(t, insn, insn->row->rm, insn->rm);
		return;
	}
	put_memory(t, insn);
	if (insn->evex_b) {
		put(t, "{1to");
		put_number(t, 16u << insn->vex_l >> (insn->row->flags & BC2 ? 1 : insn->rex & REX_W ? 3 : 2));
		put_char(t, '}');
	}
}

static void
put_reg(struct text *t, const struct insn *insn, bool *first)
{
	if (!insn->row->reg)
		return;
	separate(t, first);
	put_register(t, insn, insn->row->reg, insn->reg);
}

static void
put_v(struct text *t, const struct insn *insn, bool *first)
{
	if (!insn->row->v)
		return;
	separate(t, first);
	put_register(t, insn, insn->row->v, insn->v);
}

/* Sources first, the destination last: ModRM.reg when it is written, or by the opcode's direction bit. */
static bool
reg_is_last(const struct insn *insn)
{
	const struct row *row = insn->row;

	return row->reg & W || (!(row->rm & W) && (insn->map != ONE || insn->opcode & 2));
}

static void
put_operands(struct text *t, const struct insn *insn)
{
	static const char *const rounding[] = {"{rn-sae}", "{rd-sae}", "{ru-sae}", "{rz-sae}"};
	const struct row *row = insn->row;
	bool first = true;

	if (row->imm == REL8 || row->imm == REL32) {
		put(t, " .");
		put(t, insn->imm + insn->size < 0 ? "" : "+");
		put_signed(t, insn->imm + insn->size);
		return;
	}
	if (row->imm && row->imm != MOFFS) {
		separate(t, &first);
		put_char(t, '$');
		put_signed(t, insn->imm);
	}
	if (insn->evex_b && !insn->memory) {
		separate(t, &first);
		put(t, row->flags & SAE ? "{sae}" : rounding[insn->rounding]);
	}
	if (reg_is_last(insn)) {
		put_rm(t, insn, &first);
		put_v(t, insn, &first);
		put_reg(t, insn, &first);
	} else {
		put_reg(t, insn, &first);
		if (row->v && row->v & W) {
			put_rm(t, insn, &first);
			put_v(t, insn, &first);
		} else {
			put_v(t, insn, &first);
			put_rm(t, insn, &first);
		}
	}
	if (row->op) {
		separate(t, &first);
		put_register(t, insn, row->op, insn->rm);
	}
	if (row->acc) {
		separate(t, &first);
		put_register(t, insn, row->acc, RAX);
	}
	if (insn->mask) {
		put(t, "{%k");
		put_number(t, insn->mask);
		put(t, insn->zeroing ? "}{z}" : "}");
	}
}

/* A size for the name where no register tells it: movl $1, (%rax). */
static void
put_suffix(struct text *t, const struct insn *insn)
{
	const struct row *row = insn->row;
	unsigned class = row->rm & CLASS;

	if (is_string(insn) && row->mem != 1)
		put_char(t, insn->operand == 2 ? 'w' : insn->operand == 4 ? 'l' : 'q');
	if (!insn->memory || row->reg || row->acc || class >= Vx || row->flags & FREE || row->kind == JMP_INDIRECT ||
	    row->kind == CALL_INDIRECT || insn->map != ONE)
		return;
	switch (gpr_size(insn, class)) {
	case 1:
		put_char(t, 'b');
		break;
	case 2:
		put_char(t, 'w');
		break;
	case 4:
		put_char(t, 'l');
		break;
	default:
		put_char(t, 'q');
		break;
	}
}

void
text_x64(const struct insn *insn, char text[INSN_TEXT_MAX])
{
	struct text t = {text, text + INSN_TEXT_MAX - 1};
	unsigned size;
	const char *name = x64_name(insn->number, insn->opcode, insn->digit, &size);

	if (insn->prefixes & P_LOCK)
		put(&t, "lock ");
	if (is_string(insn) && insn->prefixes & (P_F2 | P_F3))
		put(&t, insn->prefixes & P_F3 ? "rep " : "repne ");
	while (size--)
		put_char(&t, *name++);
	put_suffix(&t, insn);
	put_operands(&t, insn);
}

void
text_bytes_x64(const uint8_t *bytes, unsigned size, char text[INSN_TEXT_MAX])
{
	struct text t = {text, text + INSN_TEXT_MAX - 1};

	put(&t, ".byte");
	for (unsigned i = 0; i < size; i++) {
		put(&t, i ? ", " : " ");
		put_hex(&t, bytes[i], 2);
	}
}
