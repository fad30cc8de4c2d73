/* SPDX-License-Identifier: MIT */
/* Parses x86-64 instructions in AT&T syntax; see insn.h. Not trusted. */
#include "insn.h"

#include <string.h>

static const char *const names64[16] = {"%rax", "%rcx", "%rdx", "%rbx", "%rsp", "%rbp", "%rsi", "%rdi", "%r8", "%r9",
    "%r10", "%r11", "%r12", "%r13", "%r14", "%r15"};
static const char *const names32[16] = {"%eax", "%ecx", "%edx", "%ebx", "%esp", "%ebp", "%esi", "%edi", "%r8d", "%r9d",
    "%r10d", "%r11d", "%r12d", "%r13d", "%r14d", "%r15d"};
static const char *const names16[16] = {"%ax", "%cx", "%dx", "%bx", "%sp", "%bp", "%si", "%di", "%r8w", "%r9w", "%r10w",
    "%r11w", "%r12w", "%r13w", "%r14w", "%r15w"};
static const char *const names8[16] = {"%al", "%cl", "%dl", "%bl", "%spl", "%bpl", "%sil", "%dil", "%r8b", "%r9b",
    "%r10b", "%r11b", "%r12b", "%r13b", "%r14b", "%r15b"};
static const char *const names_high[4] = {"%ah", "%ch", "%dh", "%bh"};

static const char *const *
names_of(int size)
{
	return size == 8 ? names64 : size == 4 ? names32 : size == 2 ? names16 : names8;
}

const char *
reg_name(int number, int size)
{
	return names_of(size)[number];
}

static bool
is_numbered(struct Str name, const char *prefix)
{
	int64_t number;

	return str_starts(name, prefix) &&
	       str_int((struct Str){name.p + strlen(prefix), name.n - strlen(prefix)}, &number);
}

static bool
is_one_of(struct Str name, const char *const *list)
{
	for (; *list; list++)
		if (str_is(name, *list))
			return true;
	return false;
}

/* `name` with its %. */
static bool
parse_reg(struct Str name, struct Reg *reg)
{
	static const char *const segments[] = {"%cs", "%ds", "%es", "%fs", "%gs", "%ss", NULL};

	for (int size = 1; size <= 8; size *= 2)
		for (int i = 0; i < 16; i++)
			if (str_is(name, names_of(size)[i])) {
				*reg = (struct Reg){REG_GPR, i, size};
				return true;
			}
	for (int i = 0; i < 4; i++)
		if (str_is(name, names_high[i])) {
			*reg = (struct Reg){REG_HIGH, i, 1};
			return true;
		}
	*reg = (struct Reg){REG_OTHER, 0, 8};
	if (str_is(name, "%rip") || str_is(name, "%eip"))
		reg->kind = REG_IP;
	else if (is_numbered(name, "%xmm") || is_numbered(name, "%ymm") || is_numbered(name, "%zmm"))
		reg->kind = REG_VECTOR;
	else if (is_numbered(name, "%k"))
		reg->kind = REG_MASK;
	else if (is_one_of(name, segments))
		reg->kind = REG_SEGMENT;
	else if (str_starts(name, "%st") || is_numbered(name, "%mm"))
		reg->kind = REG_X87;
	else
		return is_numbered(name, "%cr") || is_numbered(name, "%dr") || is_numbered(name, "%db") ||
		       is_numbered(name, "%bnd");
	return true;
}

static struct Str
take_reg_name(struct Str *rest)
{
	size_t n = 1;

	while (n < rest->n && source_is_name(rest->p[n]))
		n++;
	struct Str name = {rest->p, n};
	rest->p += n, rest->n -= n;
	return name;
}

/* Splits {…} groups off the end. */
static void
take_decoration(struct Operand *op, struct Str *text)
{
	size_t n = text->n;

	while (n && text->p[n - 1] == '}') {
		while (n && text->p[n - 1] != '{')
			n--;
		if (n)
			n--;
		while (n && text->p[n - 1] == ' ')
			n--;
	}
	op->decoration = (struct Str){text->p + n, text->n - n};
	text->n = n;
}

/* Where the last parenthesis opens that holds registers, or text.n. */
static size_t
find_registers(struct Str text)
{
	size_t open = text.n;
	struct Str inner;

	if (text.n == 0 || text.p[text.n - 1] != ')')
		return text.n;
	while (open > 0 && text.p[open - 1] != '(')
		open--;
	if (open == 0)
		return text.n;
	inner = str_trim((struct Str){text.p + open, text.n - 1 - open});
	if (inner.n == 0 || (inner.p[0] != '%' && inner.p[0] != ','))
		return text.n;
	return open - 1;
}

static bool
parse_address_regs(struct Unit *unit, const struct Statement *st, struct Operand *op, struct Str inner)
{
	struct Str part[3] = {{0}};
	int count = 0;
	size_t start = 0;

	for (size_t i = 0; i <= inner.n; i++)
		if (i == inner.n || inner.p[i] == ',') {
			if (count < 3)
				part[count] = str_trim((struct Str){inner.p + start, i - start});
			count++;
			start = i + 1;
		}
	op->has_base = part[0].n > 0;
	op->has_index = part[1].n > 0;
	op->scale = part[2];
	if (count > 3 || (op->has_base && !parse_reg(part[0], &op->base)) ||
	    (op->has_index && !parse_reg(part[1], &op->index))) {
		unit_error(unit, st, op->source, "this memory operand is not understood");
		return false;
	}
	return true;
}

static bool
parse_memory(struct Unit *unit, const struct Statement *st, struct Operand *op, struct Str text)
{
	size_t open = find_registers(text);

	op->kind = OP_MEM;
	op->disp = str_trim((struct Str){text.p, open});
	if (open == text.n)
		return true;
	return parse_address_regs(unit, st, op, (struct Str){text.p + open + 1, text.n - open - 2});
}

static bool
parse_percent(struct Unit *unit, const struct Statement *st, struct Operand *op, struct Str text)
{
	struct Str rest = text, name = take_reg_name(&rest);

	rest = str_trim(rest);
	if (!parse_reg(name, &op->reg)) {
		unit_error(unit, st, op->source, "`%.*s` is no register", S(name));
		return false;
	}
	if (rest.n && rest.p[0] == ':') {
		op->segment = (struct Str){name.p + 1, name.n - 1};
		return parse_memory(unit, st, op, str_trim((struct Str){rest.p + 1, rest.n - 1}));
	}
	op->kind = OP_REG;
	if (rest.n && !(op->reg.kind == REG_X87 && rest.p[0] == '(')) {
		unit_error(unit, st, rest.p, "this is not expected after a register");
		return false;
	}
	return true;
}

static bool
parse_operand(struct Unit *unit, const struct Statement *st, struct Str text, bool target, struct Operand *op)
{
	*op = (struct Operand){.text = text, .source = text.p};
	if (text.n && text.p[0] == '*') {
		op->star = true;
		text = str_trim((struct Str){text.p + 1, text.n - 1});
	}
	take_decoration(op, &text);
	if (text.n == 0) {
		op->kind = OP_IMM; /* {rn-sae} alone */
		return true;
	}
	if (text.p[0] == '$') {
		op->kind = OP_IMM;
		return true;
	}
	if (text.p[0] == '%')
		return parse_percent(unit, st, op, text);
	if (target && !op->star && find_registers(text) == text.n) {
		op->kind = OP_TARGET;
		op->disp = text;
		return true;
	}
	return parse_memory(unit, st, op, text);
}

/* Prefixes. */

static bool
is_rep(struct Str word)
{
	static const char *const list[] = {"rep", "repe", "repz", "repne", "repnz", NULL};

	return is_one_of(word, list);
}

static bool
is_dropped_prefix(struct Str word)
{
	static const char *const list[] = {"notrack", "bnd", "cs", "ds", "es", "ss", "xacquire", "xrelease", NULL};

	return is_one_of(word, list);
}

static bool
is_kept_prefix(struct Str word)
{
	static const char *const list[] = {"data16", "rex64", "rex.w", "rex.W", "rex", NULL};

	return is_one_of(word, list) || (word.n && word.p[0] == '{');
}

static struct Str
take_word(struct Str *rest)
{
	struct Str word = {rest->p, 0};
	bool brace = rest->n && rest->p[0] == '{';

	while (word.n < rest->n && rest->p[word.n] != ' ' && rest->p[word.n] != '\t' && rest->p[word.n] != ',') {
		word.n++;
		if (brace && word.p[word.n - 1] == '}')
			break;
	}
	rest->p += word.n, rest->n -= word.n;
	*rest = str_trim(*rest);
	if (rest->n && rest->p[0] == ',') { /* a branch hint: jne,pn */
		rest->p++, rest->n--;
		take_word(rest);
	}
	return word;
}

static struct Str
parse_prefixes(struct Unit *unit, struct Insn *insn, struct Str *rest)
{
	struct Str word;

	for (;;) {
		word = take_word(rest);
		if (is_rep(word))
			insn->rep = str_starts(word, "repn") ? STR("repne") : STR("rep");
		else if (str_is(word, "lock"))
			insn->lock = true;
		else if (is_kept_prefix(word))
			insn->prefixes = str_format(&unit->arena, "%.*s%.*s ", S(insn->prefixes), S(word));
		else if (!is_dropped_prefix(word))
			return word;
	}
}

bool
insn_parse(struct Unit *unit, size_t index, struct Str text, struct Insn *insn)
{
	struct Str rest = text, item;
	bool target;

	*insn = (struct Insn){.st = &unit->source.statements[index], .index = index};
	insn->name = parse_prefixes(unit, insn, &rest);
	insn->row = insn_row(insn->name, &insn->suffix);
	target = insn->row->class == INSN_JUMP || insn->row->class == INSN_JCC || insn->row->class == INSN_CALL;
	while (source_next_item(&rest, &item)) {
		if (insn->count == MAX_OPERANDS) {
			unit_error(unit, insn->st, item.p, "too many operands");
			return false;
		}
		if (!parse_operand(unit, insn->st, item, target, &insn->op[insn->count++]))
			return false;
	}
	return true;
}

bool
operand_is_reg(const struct Operand *op, int number)
{
	return op->kind == OP_REG && (op->reg.kind == REG_GPR || op->reg.kind == REG_HIGH) && op->reg.number == number;
}

bool
operand_uses(const struct Operand *op, int number)
{
	if (op->kind == OP_MEM)
		return (op->has_base && op->base.kind == REG_GPR && op->base.number == number) ||
		       (op->has_index && op->index.kind == REG_GPR && op->index.number == number);
	return operand_is_reg(op, number);
}

bool
insn_uses(const struct Insn *insn, int number)
{
	for (int i = 0; i < insn->count; i++)
		if (operand_uses(&insn->op[i], number))
			return true;
	return false;
}
