//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * The language of lfi_call, lfi_fn_new and lfi_box_register_fn: one letter per scalar, {…} for structs, [n…] for
 * arrays in them. Trusted: the text may be anything, and what comes out is used to index registers and stacks.
 *
 *   I1  Sizes stay below STRUCT_MAX, so no sum of them overflows 32 bits.
 *   I2  A parameter in registers has at most two eightbytes, each in a register that is there.
 *   I3  Nesting is bounded: the parser recurses.
 */
#include "sig.h"

#include <string.h>

#include "arch.h"
#include "checked.h"
#include "error.h"

#define STRUCT_MAX 65536 /* bytes */
#define TEXT_MAX 4096    /* characters */
#define NESTING_MAX 16

/* By letter; size 0: none. */
static const struct {
	uint8_t size;
	bool is_float, is_signed;
} scalars[128] = {
    ['b'] = {1, false, true},
    ['B'] = {1, false, false},
    ['?'] = {1, false, false},
    ['h'] = {2, false, true},
    ['H'] = {2, false, false},
    ['i'] = {4, false, true},
    ['I'] = {4, false, false},
    ['l'] = {8, false, true},
    ['L'] = {8, false, false},
    ['p'] = {8, false, false},
    ['f'] = {4, true, false},
    ['d'] = {8, true, false},
    ['D'] = {16, false, false},
};

struct Parser {
	const char *text, *at;
};

/* The letter as an index of `scalars`, or -1. */
static int
scalar(char letter)
{
	unsigned i = (unsigned char) letter;

	return i < sizeof scalars / sizeof scalars[0] && scalars[i].size ? (int) i : -1;
}

static int
refuse(const struct Parser *p, const char *why)
{
	return error_set(
	    LFI_ERR_SIGNATURE, "signature \"%.64s\", character %d: %s", p->text, (int) (p->at - p->text) + 1, why);
}

/* A struct being laid out. Eightbytes beyond the second do not count: it goes by memory then. */
struct Layout {
	uint64_t size;
	uint32_t align;
	bool floats[2], real16;
};

static int
put_scalar(const struct Parser *p, struct Layout *to, int i)
{
	uint64_t size = scalars[i].size, offset = align_down(to->size + size - 1, size);

	if (offset + size > STRUCT_MAX)
		return refuse(p, "a struct has at most 65536 bytes");
	if (offset < 16 && !scalars[i].is_float)
		to->floats[offset / 8] = false;
	to->real16 |= i == 'D';
	to->size = offset + size;
	to->align = size > to->align ? (uint32_t) size : to->align;
	return 0;
}

static int put_member(struct Parser *p, struct Layout *to, int depth);

/* Where the layout of what is nested begins is known only when its alignment is: so it is measured first. */
static int
measure(struct Parser *p, struct Layout *out, int depth, char end)
{
	*out = (struct Layout){.align = 1, .floats = {true, true}};
	while (*p->at != end)
		if (put_member(p, out, depth) < 0)
			return -1;
	if (out->size == 0)
		return refuse(p, "a struct has at least one member");
	p->at++;
	out->size = align_down(out->size + out->align - 1, out->align);
	return 0;
}

/* Add what was measured, at its alignment. The eightbytes are those of the whole, so its members are put once more. */
static int
put_struct(struct Parser *p, struct Layout *to, int depth)
{
	struct Parser again = *p;
	struct Layout inner;
	uint64_t end;

	if (measure(p, &inner, depth, '}') < 0)
		return -1;
	to->size = align_down(to->size + inner.align - 1, inner.align);
	to->align = inner.align > to->align ? inner.align : to->align;
	end = to->size + inner.size;
	while (*again.at != '}')
		if (put_member(&again, to, depth) < 0)
			return -1;
	to->size = end;
	return end > STRUCT_MAX ? refuse(p, "a struct has at most 65536 bytes") : 0;
}

static int
put_array(struct Parser *p, struct Layout *to, int depth)
{
	struct Parser element;
	uint64_t count = 0;

	while (*p->at >= '0' && *p->at <= '9' && count < STRUCT_MAX)
		count = count * 10 + (uint64_t) (*p->at++ - '0');
	if (count == 0 || count > STRUCT_MAX)
		return refuse(p, "an array has a count from 1 to 65536");
	element = *p;
	/* Beyond 16 bytes only the size matters, and STRUCT_MAX ends it. */
	for (uint64_t i = 0; i < count; i++) {
		*p = element;
		if (put_member(p, to, depth) < 0)
			return -1;
	}
	if (*p->at != ']')
		return refuse(p, "an array is [, a count, one type, ]");
	p->at++;
	return 0;
}

static int
put_member(struct Parser *p, struct Layout *to, int depth)
{
	char letter = *p->at;
	int i = scalar(letter);

	if (depth == NESTING_MAX) /* I3 */
		return refuse(p, "structs nest too deeply");
	if (i >= 0) {
		p->at++;
		return put_scalar(p, to, i);
	}
	if (letter != '{' && letter != '[')
		return refuse(p, "a struct is made of the letters bB?hHiIlLpfdD, {…} and [n…], and ends with }");
	p->at++;
	return letter == '{' ? put_struct(p, to, depth + 1) : put_array(p, to, depth + 1);
}

static int
parse_struct(struct Parser *p, struct SigType *type)
{
	struct Layout whole;

	p->at++;
	if (measure(p, &whole, 0, '}') < 0)
		return -1;
	type->letter = '{';
	type->size = (uint32_t) whole.size;
	type->align = whole.align;
	type->x87 = whole.real16 && whole.size == 16;
	type->memory = whole.real16 || whole.size > 16;
	memcpy(type->floats, whole.floats, sizeof type->floats);
	return 0;
}

static int
parse_type(struct Parser *p, struct SigType *type)
{
	int i = scalar(*p->at);

	memset(type, 0, sizeof *type);
	if (*p->at == '{')
		return parse_struct(p, type);
	if (i < 0)
		return refuse(p, "a type is one of the letters bB?hHiIlLpfdD, or v for the result, or {…}");
	type->letter = (char) i;
	type->size = type->align = scalars[i].size;
	type->floats[0] = scalars[i].is_float;
	type->is_signed = scalars[i].is_signed;
	type->shift = type->size < 8 ? 64 - 8 * type->size : 0;
	type->memory = type->x87 = type->letter == 'D';
	p->at++;
	return 0;
}

/* I2. In registers when there are enough for all of it, else on the stack. */
static void
place(struct Sig *sig, struct SigParam *param)
{
	uint32_t n = (param->type.size + 7) / 8, ints = 0, floats = 0;

	for (uint32_t i = 0; !param->type.memory && i < n; i++)
		*(param->type.floats[i] ? &floats : &ints) += 1;
	param->on_stack =
	    param->type.memory || sig->ints + ints > ARCH_INT_REGS || sig->floats + floats > ARCH_FLOAT_REGS;
	if (param->on_stack) {
		if (param->type.align == 16)
			sig->words += sig->words % 2;
		param->word = sig->words;
		sig->words += n;
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		param->reg[i] = (uint8_t) (param->type.floats[i] ? SIG_FLOAT + sig->floats++ : sig->ints++);
}

static int
parse_params(struct Parser *p, struct Sig *sig)
{
	bool variadic = false;

	if (*p->at != '(')
		return refuse(p, "a parameter list in parentheses follows the result");
	for (p->at++; *p->at != ')';) {
		struct SigParam *param = &sig->params[sig->n];

		if (*p->at == '.' && !variadic) {
			variadic = true;
			p->at += strncmp(p->at, "...", 3) == 0 ? 3 : 1;
			continue;
		}
		if (variadic && *p->at == 'f')
			return refuse(p, "a float among variable arguments is a double: d");
		if (parse_type(p, &param->type) < 0)
			return -1;
		place(sig, param);
		sig->simple &= !param->on_stack && param->type.letter != '{';
		sig->n++;
	}
	p->at++;
	return *p->at ? refuse(p, "the signature goes on after )") : 0;
}

size_t
sig_size(const char *text)
{
	size_t letters;

	if (!text) {
		error_set(LFI_ERR_SIGNATURE, "the signature is NULL");
		return 0;
	}
	letters = strnlen(text, TEXT_MAX + 1);
	if (letters > TEXT_MAX) {
		error_set(LFI_ERR_SIGNATURE, "signature \"%.64s\", character %d: it is too long", text, TEXT_MAX + 1);
		return 0;
	}
	/* No parameter without a letter. */
	return sizeof(struct Sig) + letters * sizeof(struct SigParam);
}

int
sig_parse(struct Sig *sig, const char *text)
{
	struct Parser p = {text, text};

	memset(sig, 0, sizeof *sig);
	if (*p.at == 'v')
		p.at++;
	else if (parse_type(&p, &sig->ret) < 0)
		return -1;
	sig->simple = sig->ret.letter != '{' && !sig->ret.memory;
	if (sig->ret.memory && !sig->ret.x87)
		sig->ints = 1;
	return parse_params(&p, sig);
}
