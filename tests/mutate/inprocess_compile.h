/* SPDX-License-Identifier: MIT */
/*
 * Behind the mutants of compile.c: the tables that a mutant writes take the place of x64_quick, which can be written in
 * this program. See inprocess.py.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#undef main
int compile_main(int argc, char **argv);

size_t lfi_tables_size = sizeof(struct quick_tables);

static const char *at; /* in what was written */

static bool
next_number(unsigned long *number)
{
	char *end;

	while (*at && (*at < '0' || *at > '9'))
		if (*at++ == '.')
			return false; /* the next member */
	if (!*at)
		return false;
	*number = strtoul(at, &end, 0);
	at = end;
	return true;
}

/* `.name = {`, then [i] = v or v. */
static void
take_words(void *words, unsigned size, unsigned most, bool indexed)
{
	unsigned long value, i = 0;

	while (next_number(&value)) {
		if (indexed) {
			i = value;
			next_number(&value);
		}
		if (i >= most)
			exit(1); /* it would not compile */
		memcpy((char *) words + i++ * size, &value, size);
	}
}

static const char *
read_all(int fd, size_t *size)
{
	char *text = calloc(1, 1 << 20);

	*size = (size_t) pread(fd, text, (1 << 20) - 1, 0);
	return text;
}

static const char *
generate(size_t *size)
{
	char name[] = "/tmp/lfi-compile-XXXXXX";
	int fd = mkstemp(name);

	if (compile_main(2, (char *[]){"compile", name, NULL}) != 0)
		exit(1);
	unlink(name);
	return read_all(fd, size);
}

/* Whether the words say all that they did, and beyond that only that more instructions are events: those go to the
 * rules. */
static bool
only_more_events(const uint32_t *old, const uint32_t *new, unsigned count)
{
	const uint32_t events = ((1u << Q_SIZE_AT) - 1) & ~(2 * Q_NOT_STACK - 1);

	for (unsigned i = 0; i < count; i++)
		if ((old[i] & ~new[i]) || (new[i] & ~old[i] & ~events))
			return false;
	return true;
}

bool
lfi_tables_cautious(void *before)
{
	struct quick_tables *old = before;
	const struct quick_tables *new = &x64_quick;

	return memcmp(old->first, new->first, sizeof old->first) == 0 &&
	       memcmp(old->second, new->second, sizeof old->second) == 0 &&
	       memcmp(old->sib, new->sib, sizeof old->sib) == 0 &&
	       memcmp(old->branch, new->branch, sizeof old->branch) == 0 &&
	       only_more_events(old->opcode, new->opcode, Q_OPS * 256 + 256) &&
	       only_more_events(old->line, new->line, Q_LINES * 256);
}

void
lfi_take_tables(void)
{
	struct quick_tables *tables = (struct quick_tables *) &x64_quick;
	size_t size;

	at = generate(&size);
	memset(tables, 0, sizeof *tables);
	next_number(&(unsigned long){0}); /* to .first */
	take_words(tables->first, 2, Q_AFTER_GS + 256, true);
	take_words(tables->second, 2, 4 * Q_FIRSTS * 256, false);
	take_words(tables->opcode, 4, Q_OPS * 256 + 256, true);
	take_words(tables->line, 4, Q_LINES * 256, false);
	take_words(tables->sib, 1, 256, false);
	take_words(tables->branch, 1, 512, false);
}
