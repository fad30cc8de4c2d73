/* SPDX-License-Identifier: MIT */
/* Binutils: length, memory operand and the last operand, as its disassembler spells them in AT&T syntax. */
#define PACKAGE "lfi" /* bfd.h insists */
#include <bfd.h>
#include <ctype.h>
#include <dis-asm.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

enum { RSP = 4, R14 = 14, R15 = 15, NO_GPR = 255 };

static char text[256];
static size_t text_size;

static int
take(void *stream, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text + text_size, sizeof text - text_size, format, args);
	va_end(args);
	if (n > 0)
		text_size += (size_t) n < sizeof text - text_size ? (size_t) n : sizeof text - text_size - 1;
	return n;
}

static int
take_styled(void *stream, enum disassembler_style style, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text + text_size, sizeof text - text_size, format, args);
	va_end(args);
	if (n > 0)
		text_size += (size_t) n < sizeof text - text_size ? (size_t) n : sizeof text - text_size - 1;
	return n;
}

static void
no_address(bfd_vma address, struct disassemble_info *info)
{
	take(NULL, "0x%llx", (unsigned long long) address);
}

static int
disassemble(const uint8_t *bytes)
{
	static struct disassemble_info info;
	static disassembler_ftype print;

	if (!print) {
		init_disassemble_info(&info, NULL, take, take_styled);
		info.arch = bfd_arch_i386;
		info.mach = bfd_mach_x86_64;
		info.read_memory_func = buffer_read_memory;
		info.print_address_func = no_address;
		disassemble_init_for_target(&info);
		print = disassembler(bfd_arch_i386, false, bfd_mach_x86_64, NULL);
	}
	info.buffer = (bfd_byte *) bytes;
	info.buffer_length = 15;
	text_size = 0;
	text[0] = 0;
	return print(0, &info);
}

/* The number of the register whose name begins at `p`, without %, of any width; NO_GPR. */
static unsigned
gpr_number(const char *p)
{
	static const char *const names[8] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};

	if (*p == 'r' && isdigit((unsigned char) p[1]))
		return (unsigned) atoi(p + 1);
	if (*p == 'r' || *p == 'e')
		p++;
	for (unsigned i = 0; i < 8; i++)
		if (strncmp(p, names[i], 2) == 0 && !isalnum((unsigned char) p[2] == 'l' ? 0 : p[2]))
			return i;
	return NO_GPR;
}

/* A register in an address. */
static unsigned
address_register(const char *p)
{
	if (strncmp(p, "rip", 3) == 0 || strncmp(p, "eip", 3) == 0)
		return ORACLE_RIP;
	if (strncmp(p, "riz", 3) == 0 || strncmp(p, "eiz", 3) == 0)
		return ORACLE_NONE;
	if (p[1] == 'm' && p[2] == 'm')
		return (unsigned) atoi(p + 3);
	return gpr_number(p);
}

/* "%seg:disp(%base,%index,scale)", the parts that are there. */
static const char *
compare_memory(const char *open, const struct seen *seen)
{
	const char *begin = open, *p = open + 1;
	unsigned base = ORACLE_NONE, index = ORACLE_NONE, scale = 1;
	long long disp = 0;

	while (begin > text && !strchr(" ,", begin[-1]))
		begin--;
	if (begin[0] == '*')
		begin++;
	if (seen->gs != (strncmp(begin, "%gs:", 4) == 0))
		return "segment";
	if (begin[0] == '%')
		begin += 4;
	if (begin < open)
		disp = (long long) (begin[0] == '-' ? -strtoull(begin + 1, NULL, 0) : strtoull(begin, NULL, 0));
	if (*p == '%')
		base = address_register(p + 1);
	p += strcspn(p, ",)");
	if (*p == ',') {
		index = address_register(p + 2);
		p += 1 + strcspn(p + 1, ",)");
		scale = *p == ',' ? (unsigned) atoi(p + 1) : 1;
	}
	if (base != seen->base || index != seen->index)
		return "base or index";
	if (index != ORACLE_NONE && scale != seen->scale)
		return "scale";
	return (int32_t) disp == seen->disp ? NULL : "displacement";
}

/* The last operand, when it is a register. */
static unsigned
last_register(void)
{
	const char *p = text + strlen(text);

	while (p > text && !strchr(" ,", p[-1]))
		p--;
	return *p == '%' && !strchr(p, '(') && !strchr(p, ':') ? gpr_number(p + 1) : NO_GPR;
}

/* What has a register as its last operand and does not write it. */
static bool
only_reads(const char *name)
{
	static const char *const words[] = {"cmp", "test", "push", "bt ", "btw ", "btl ", "btq ", "nop", "call", "jmp",
	    "mul", "imul", "div", "idiv", "cmpxchg"};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strncmp(name, words[i], strlen(words[i])) == 0)
			return true;
	return false;
}

static const char *
without_prefixes(const char *name)
{
	static const char *const prefixes[] = {"rex", "cs ", "ds ", "gs ", "lock ", "rep", "addr32 ", "data16 "};

	for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0];) {
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0 && strchr(name, ' ')) {
			name = strchr(name, ' ') + 1;
			i = 0;
		} else {
			i++;
		}
	}
	return name;
}

static const char *
compare_written(const struct seen *seen)
{
	unsigned last = last_register(), bit = last == RSP || last == R14 || last == R15 ? 1u << last : 0;
	const char *name = without_prefixes(text);
	char word[8];

	if (bit && !(seen->written & bit) && !only_reads(name))
		return "the last operand is written";
	for (unsigned i = 4; i < 16; i++) {
		if (!(seen->written >> i & 1))
			continue;
		snprintf(word, sizeof word, i == RSP ? "sp" : "%%r%u", i);
		if (!strstr(text, word))
			return "a register that is written is not named";
	}
	return NULL;
}

const char *
binutils_differs(const uint8_t *bytes, const struct insn *insn)
{
	struct seen seen = seen_by_us(insn);
	int size = disassemble(bytes);
	char *open, *comment;
	const char *what = NULL;

	if (seen.fwait)
		return NULL; /* binutils takes it for a prefix of what follows */
	if (strstr(text, "(bad)"))
		return "not an instruction";
	if (size != seen.size)
		return "length";
	comment = strchr(text, '#');
	if (comment)
		*comment = 0;
	while (*text && text[strlen(text) - 1] == ' ')
		text[strlen(text) - 1] = 0;
	if (seen.string)
		return NULL;
	open = strchr(text, '(');
	if (open && strncmp(open, "(%st", 4) != 0 && strncmp(open, "(%dx", 4) != 0) {
		bool fp = open > text + 2 && strncmp(open - 3, "%st", 3) == 0;

		if (!fp && !seen.memory)
			return "memory operand is not seen";
		if (!fp)
			what = compare_memory(open, &seen);
	}
	return what ? what : compare_written(&seen);
}
