/* SPDX-License-Identifier: MIT */
/*
 * What lfi-verify says, as lines for people or as JSON (docs/verifier.md has the schema). Names come from files that
 * may be hostile: nothing that a terminal would obey is passed on.
 */
#include <stdlib.h>
#include <string.h>

#include "verify.h"

#define SCHEMA 1

static const char *const code_names[] = {"avx", "avx512", "x87", "fp-control", "direction", "single-thread-returns"};

/* What x86-64-v2, v3 and v4 have beyond the level below, as far as the verifier tells it. */
#define BIT(name) ((uint64_t) 1 << LFI_CPU_##name)
static const uint64_t levels[] = {
    BIT(SSE3) | BIT(SSSE3) | BIT(SSE41) | BIT(SSE42) | BIT(POPCNT) | BIT(CX16) | BIT(LAHF),
    BIT(LZCNT) | BIT(MOVBE) | BIT(BMI1) | BIT(BMI2) | BIT(F16C) | BIT(FMA) | BIT(AVX) | BIT(AVX2),
    BIT(AVX512F) | BIT(AVX512BW) | BIT(AVX512DQ) | BIT(AVX512VL) | BIT(AVX512CD),
};

/* The lowest level of x86-64 with all that `cpu` has, but for *beyond. */
static int
level_of(uint64_t cpu, uint64_t *beyond)
{
	int level = 1;

	*beyond = cpu;
	for (int i = 0; i < 3; i++) {
		if (cpu & levels[i])
			level = i + 2;
		*beyond &= ~levels[i];
	}
	return level;
}

/* ---- Lines ---- */

static void
put_plain(FILE *out, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		putc(((unsigned char) text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f ? '?' : text[i], out);
}

/* "file: ", or "archive(member): " */
static void
put_name(const struct unit *unit, FILE *out)
{
	put_plain(out, unit->file, strlen(unit->file));
	if (unit->member) {
		putc('(', out);
		put_plain(out, unit->member, strlen(unit->member));
		putc(')', out);
	}
	fputs(": ", out);
}

static void
put_words(FILE *out, const char *words)
{
	for (const char *line = words; *line;) {
		size_t length = strcspn(line, "\n");

		fputs("    ", out);
		put_plain(out, line + strspn(line, " \t"), length - strspn(line, " \t"));
		putc('\n', out);
		line += length + (line[length] == '\n');
	}
}

static size_t
size_shown(const struct unit *unit, const struct LFIViolation *violation)
{
	size_t left = violation->offset < unit->pages_size ? unit->pages_size - violation->offset : 0;
	size_t size = violation->size ? violation->size : 1;

	return size < left ? size : left;
}

static void
put_bytes(const struct unit *unit, const struct LFIViolation *violation, FILE *out, const char *between)
{
	size_t size = size_shown(unit, violation);

	for (size_t i = 0; i < size; i++)
		fprintf(out, "%s%02x", i ? between : "", unit->pages[violation->offset + i]);
}

/* What a disassembler says of the instruction; NULL without one. */
static char *
words_of(const struct unit *unit, const struct LFIViolation *violation)
{
	size_t size = size_shown(unit, violation);

	if (!unit->arguments->disassemble || size == 0)
		return NULL;
	return disassemble(unit->pages + violation->offset, size, unit->address + violation->offset);
}

static void
violation_lines(const struct unit *unit, const struct LFIViolation *violation, FILE *out)
{
	uint64_t address = unit->address + violation->offset;
	struct place place = place_of(unit, address);
	char *words;

	put_name(unit, out);
	fprintf(out, "0x%llx", (unsigned long long) address);
	if (place.name) {
		fputs(" <", out);
		put_plain(out, place.name, (size_t) place.length);
		fprintf(out, "+0x%llx>", (unsigned long long) place.offset);
	}
	fprintf(out, ": `%s`: %s (%s)\n", violation->insn, violation->reason, lfi_verify_rule_name(violation->rule));
	if (!unit->arguments->disassemble)
		return;
	words = words_of(unit, violation);
	if (words && *words) {
		put_words(out, words);
	} else if (size_shown(unit, violation) > 0) {
		fprintf(out, "    %llx:\t", (unsigned long long) address);
		put_bytes(unit, violation, out, " ");
		fputs("\t(no objdump)\n", out);
	}
	free(words);
}

static void
put_features(FILE *out, uint64_t cpu)
{
	for (int i = 0; i < LFI_CPU_COUNT; i++)
		if (cpu >> i & 1)
			fprintf(out, " %s", lfi_cpu_feature_name(i));
}

static void
features_lines(const struct unit *unit, FILE *out)
{
	uint64_t beyond;
	int level = level_of(unit->cpu, &beyond);

	put_name(unit, out);
	fprintf(out, "runs on x86-64-v%d", level);
	if (beyond) {
		fputs(" with", out);
		put_features(out, beyond);
	}
	putc('\n', out);
	put_name(unit, out);
	fputs("uses", out);
	for (size_t i = 0; i < sizeof code_names / sizeof code_names[0]; i++)
		if (unit->code >> i & 1)
			fprintf(out, " %s", code_names[i]);
	fputs(unit->code ? "\n" : " general and SSE registers only\n", out);
}

static void
counts_line(const struct unit *unit, FILE *out, const char *title, const char *const *names, const uint64_t *counts,
    size_t count, uint64_t whole)
{
	put_name(unit, out);
	fputs(title, out);
	for (size_t i = 0; i < count; i++)
		if (counts[i])
			fprintf(out, "  %s %llu (%.1f %%)", names[i], (unsigned long long) counts[i],
			    100.0 * (double) counts[i] / (double) whole);
	putc('\n', out);
}

static uint64_t
sum(const uint64_t *counts, size_t count)
{
	uint64_t all = 0;

	for (size_t i = 0; i < count; i++)
		all += counts[i];
	return all ? all : 1;
}

static void
stats_lines(const struct unit *unit, FILE *out)
{
	const struct mix *mix = &unit->mix;
	uint64_t bytes = mix->bytes ? mix->bytes : 1;

	put_name(unit, out);
	fprintf(out, "%llu instructions of %.2f bytes, padding %llu bytes (%.1f %%)\n",
	    (unsigned long long) mix->instructions,
	    (double) mix->bytes / (double) (mix->instructions ? mix->instructions : 1),
	    (unsigned long long) mix->padding, 100.0 * (double) mix->padding / (double) bytes);
	counts_line(unit, out, "instructions", kind_names, mix->kinds, KIND_COUNT, sum(mix->kinds, KIND_COUNT));
	counts_line(unit, out, "groups", group_names, mix->groups, GROUP_COUNT, sum(mix->groups, GROUP_COUNT));
	counts_line(unit, out, "memory operands", operand_names, mix->operands, OPERAND_COUNT,
	    sum(mix->operands, OPERAND_COUNT));
}

static void
accepted_lines(const struct unit *unit, FILE *out)
{
	put_name(unit, out);
	fprintf(out, "accepted%s, %llu bytes, %llu instructions (%.1f MB/s)\n",
	    strcmp(unit->what, "object") == 0 ? " as far as an object tells" : "",
	    (unsigned long long) unit->code_bytes, (unsigned long long) unit->instructions,
	    unit->seconds > 0 ? (double) unit->code_bytes / unit->seconds / 1e6 : 0);
	if (unit->cpu) {
		put_name(unit, out);
		fputs("needs", out);
		put_features(out, unit->cpu);
		putc('\n', out);
	}
	if (unit->arguments->features)
		features_lines(unit, out);
	if (unit->arguments->stats)
		stats_lines(unit, out);
}

static void
end_lines(const struct unit *unit, int result)
{
	if (result == UNREADABLE) {
		fputs("lfi-verify: ", unit->err);
		put_name(unit, unit->err);
		put_plain(unit->err, unit->error, strlen(unit->error));
		putc('\n', unit->err);
		return;
	}
	if (unit->arguments->quiet)
		return;
	if (result == ACCEPTED) {
		accepted_lines(unit, unit->out);
		return;
	}
	put_name(unit, unit->out);
	fprintf(unit->out, "refused, %zu violation%s shown\n", unit->violations, unit->violations == 1 ? "" : "s");
}

/* ---- JSON ---- */

/* Bytes of the UTF-8 sequence at `text`, 0 when it is none. */
static size_t
utf8_size(const unsigned char *text, size_t left)
{
	size_t size = text[0] < 0x80                      ? 1
		      : text[0] >= 0xc2 && text[0] < 0xe0 ? 2
		      : text[0] >= 0xe0 && text[0] < 0xf0 ? 3
		      : text[0] >= 0xf0 && text[0] < 0xf5 ? 4
							  : 0;

	if (size == 0 || size > left)
		return 0;
	for (size_t i = 1; i < size; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	/* Longer than needed, surrogates, and beyond U+10FFFF. */
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
	    (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return size;
}

/* A string; bytes that are no UTF-8 are taken as Latin-1. */
static void
json_string(FILE *out, const char *text, size_t size)
{
	putc('"', out);
	for (size_t i = 0; i < size;) {
		const unsigned char *at = (const unsigned char *) text + i;
		size_t n = utf8_size(at, size - i);

		if (n == 0 || *at < 0x20 || *at == 0x7f) {
			fprintf(out, "\\u%04x", *at);
			n = 1;
		} else {
			if (*at == '"' || *at == '\\')
				putc('\\', out);
			fwrite(at, 1, n, out);
		}
		i += n;
	}
	putc('"', out);
}

static void
json_text(FILE *out, const char *name, const char *text)
{
	fprintf(out, ", \"%s\": ", name);
	json_string(out, text, strlen(text));
}

static void
begin_json(const struct unit *unit)
{
	/* The files are separated by who puts them together: each begins with its comma. */
	fputs(",\n{\"file\": ", unit->out);
	json_string(unit->out, unit->file, strlen(unit->file));
	if (unit->member)
		json_text(unit->out, "member", unit->member);
	fputs(", \"violations\": [", unit->out);
}

static void
violation_json(const struct unit *unit, const struct LFIViolation *violation)
{
	uint64_t address = unit->address + violation->offset;
	struct place place = place_of(unit, address);
	char *words = words_of(unit, violation);
	FILE *out = unit->out;

	fprintf(out, "%s\n  {\"address\": %llu", unit->violations ? "," : "", (unsigned long long) address);
	if (unit->section)
		fprintf(out, ", \"section\": %u", unit->section);
	if (place.name) {
		fputs(", \"symbol\": ", out);
		json_string(out, place.name, (size_t) place.length);
		fprintf(out, ", \"symbol_offset\": %llu", (unsigned long long) place.offset);
	}
	json_text(out, "rule", lfi_verify_rule_name(violation->rule));
	json_text(out, "reason", violation->reason);
	json_text(out, "instruction", violation->insn);
	fputs(", \"bytes\": \"", out);
	put_bytes(unit, violation, out, "");
	putc('"', out);
	if (words && *words)
		json_text(out, "disassembly", words);
	putc('}', out);
	free(words);
}

static void
json_counts(FILE *out, const char *title, const char *const *names, const uint64_t *counts, size_t count)
{
	fprintf(out, ", \"%s\": {", title);
	for (size_t i = 0; i < count; i++)
		fprintf(out, "%s\"%s\": %llu", i ? ", " : "", names[i], (unsigned long long) counts[i]);
	putc('}', out);
}

static void
stats_json(const struct mix *mix, FILE *out)
{
	fprintf(out, ", \"stats\": {\"instructions\": %llu, \"bytes\": %llu, \"padding_bytes\": %llu",
	    (unsigned long long) mix->instructions, (unsigned long long) mix->bytes, (unsigned long long) mix->padding);
	json_counts(out, "kinds", kind_names, mix->kinds, KIND_COUNT);
	json_counts(out, "groups", group_names, mix->groups, GROUP_COUNT);
	json_counts(out, "operands", operand_names, mix->operands, OPERAND_COUNT);
	putc('}', out);
}

static void
facts_json(const struct unit *unit, FILE *out)
{
	const char *between = "";
	uint64_t beyond;

	fprintf(out, ", \"bytes\": %llu, \"instructions\": %llu, \"seconds\": %.6f, \"level\": \"x86-64-v%d\"",
	    (unsigned long long) unit->code_bytes, (unsigned long long) unit->instructions, unit->seconds,
	    level_of(unit->cpu, &beyond));
	fputs(", \"features\": [", out);
	for (int i = 0; i < LFI_CPU_COUNT; i++) {
		if (unit->cpu >> i & 1) {
			fprintf(out, "%s\"%s\"", between, lfi_cpu_feature_name(i));
			between = ", ";
		}
	}
	between = "";
	fputs("], \"uses\": [", out);
	for (size_t i = 0; i < sizeof code_names / sizeof code_names[0]; i++) {
		if (unit->code >> i & 1) {
			fprintf(out, "%s\"%s\"", between, code_names[i]);
			between = ", ";
		}
	}
	putc(']', out);
	if (unit->arguments->stats)
		stats_json(&unit->mix, out);
}

static void
end_json(const struct unit *unit, int result)
{
	static const char *const verdicts[] = {"accepted", "refused", "unreadable"};

	fputs(unit->violations ? "\n ]" : "]", unit->out);
	json_text(unit->out, "verdict", verdicts[result]);
	if (unit->what)
		json_text(unit->out, "kind", unit->what);
	if (result == UNREADABLE)
		json_text(unit->out, "error", unit->error);
	if (result == ACCEPTED)
		facts_json(unit, unit->out);
	putc('}', unit->out);
}

/* ---- Which of them ---- */

void
report_begin(const struct unit *unit)
{
	if (unit->arguments->json)
		begin_json(unit);
}

void
report_violation(const struct unit *unit, const struct LFIViolation *violation)
{
	if (unit->arguments->json)
		violation_json(unit, violation);
	else
		violation_lines(unit, violation, unit->out);
}

void
report_end(const struct unit *unit, int result)
{
	if (unit->arguments->json)
		end_json(unit, result);
	else
		end_lines(unit, result);
}

void
report_open(const struct arguments *arguments)
{
	static const char *const policies[] = {"full", "stores", "jumps"};
	const struct LFIVerifyOptions *o = &arguments->verify;

	if (!arguments->json)
		return;
	printf("{\"schema\": %d, \"version\": \"%s\", \"sandbox\": \"%s\", \"bundle\": %u, \"single_thread\": %s, "
	       "\"no_rdtsc\": %s,\n\"files\": [",
	    SCHEMA, LFI_VERSION_STRING, policies[o->policy], o->bundle ? o->bundle : 32,
	    o->single_thread ? "true" : "false", o->no_rdtsc ? "true" : "false");
}

void
report_close(const struct arguments *arguments, int status)
{
	if (arguments->json)
		printf("\n],\n\"status\": %d}\n", status);
}
