/* SPDX-License-Identifier: MIT */
/* Splits assembly text into statements; see source.h. Not trusted. */
#include "source.h"

#include <string.h>

bool
source_is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
	       c == '$' || c == '@' || (unsigned char) c >= 0x80;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v' || c == 0;
}

/* Length of the quoted text or character constant at `s`, or 0. */
static size_t
quoted_length(const char *s, size_t n)
{
	size_t i;

	if (n == 0 || (s[0] != '"' && s[0] != '\''))
		return 0;
	if (s[0] == '\'') {
		i = n > 1 && s[1] == '\\' ? 3 : 2;
		if (i < n && s[i] == '\'')
			i++;
		return i < n ? i : n;
	}
	for (i = 1; i < n && s[i] != '"'; i++)
		if (s[i] == '\\')
			i++;
	return i < n ? i + 1 : n;
}

/* Whether only blanks stand between the line's start and `at`. */
static bool
starts_line(const char *s, size_t at)
{
	while (at > 0 && is_blank(s[at - 1]))
		at--;
	return at == 0 || s[at - 1] == '\n';
}

/* Blanks the comment at `at` and returns what follows it. */
static size_t
blank_comment(char *s, size_t n, size_t at)
{
	size_t end = at + 2;

	if (s[at] == '/' && at + 1 < n && s[at + 1] == '*') {
		while (end < n && !(s[end - 1] == '*' && s[end] == '/' && end > at + 2))
			end++;
		end = end < n ? end + 1 : n;
	} else {
		for (end = at; end < n && s[end] != '\n';)
			end++;
	}
	memset(s + at, ' ', end - at);
	return end;
}

static bool
is_comment(const char *s, size_t n, size_t at)
{
	if (s[at] == '#')
		return true;
	if (s[at] != '/')
		return false;
	return (at + 1 < n && s[at + 1] == '*') || starts_line(s, at);
}

static struct Statement *
add_statement(struct Source *source, enum StatementKind kind, size_t offset)
{
	struct Statement *st;

	source->statements =
	    arena_grow(source->arena, source->statements, source->count, &source->room, sizeof *source->statements);
	st = &source->statements[source->count++];
	*st = (struct Statement){
	    .kind = kind, .offset = offset, .file = source->file, .line = source->line, .section = -1, .function = -1};
	return st;
}

static size_t
line_end(const struct Source *source, size_t at)
{
	while (at < source->size && source->input[at] != '\n')
		at++;
	return at;
}

/* `# 12 "file" flags`: the next line is line 12 of that file. An empty name means the input itself again. */
static void
take_marker(struct Source *source, size_t at, size_t end)
{
	const char *s = source->input;
	size_t i = at + 1;
	unsigned line = 0;
	size_t name;

	while (i < end && is_blank(s[i]))
		i++;
	while (i < end && s[i] >= '0' && s[i] <= '9')
		line = line * 10 + (unsigned) (s[i++] - '0');
	while (i < end && is_blank(s[i]))
		i++;
	if (i >= end || s[i] != '"')
		return;
	name = ++i;
	while (i < end && s[i] != '"')
		i++;
	source->file = (struct Str){i > name ? s + name : NULL, i - name};
	source->line = line - 1;
}

/* A line that is only a comment is kept; a line marker counts. Returns the end of the line. */
static size_t
take_comment_line(struct Source *source, size_t at)
{
	size_t end = line_end(source, at);
	size_t i = at + 1;
	struct Statement *st;

	while (i < end && is_blank(source->input[i]))
		i++;
	st = add_statement(source, ST_COMMENT, at);
	st->args = (struct Str){source->input + at, end - at};
	if (i < end && source->input[i] >= '0' && source->input[i] <= '9') {
		st->kind = ST_MARKER;
		take_marker(source, at, end);
	}
	memset(source->clean + at, ' ', end - at);
	return end;
}

/* Takes `name:` off the front of [at, end); returns what follows, or `at`. */
static size_t
take_label(struct Source *source, size_t at, size_t end)
{
	const char *s = source->clean;
	size_t i = at + (s[at] == '"' ? quoted_length(s + at, end - at) : 0);
	struct Statement *st;
	size_t name;

	while (i < end && source_is_name(s[i]))
		i++;
	name = i;
	while (i < end && is_blank(s[i]))
		i++;
	if (i >= end || s[i] != ':' || name == at)
		return at;
	st = add_statement(source, ST_LABEL, at);
	st->name = (struct Str){s + at, name - at};
	return i + 1;
}

static bool
take_assignment(struct Source *source, size_t at, size_t end)
{
	const char *s = source->clean;
	size_t i = at + (s[at] == '"' ? quoted_length(s + at, end - at) : 0);
	struct Statement *st;
	size_t name;

	while (i < end && source_is_name(s[i]))
		i++;
	name = i;
	while (i < end && is_blank(s[i]))
		i++;
	if (i >= end || s[i] != '=' || name == at)
		return false;
	i += i + 1 < end && s[i + 1] == '=' ? 2 : 1;
	st = add_statement(source, ST_ASSIGN, at);
	st->name = (struct Str){s + at, name - at};
	st->args = str_trim((struct Str){s + i, end - i});
	return true;
}

/* One statement without separators: labels, then an assignment, directive or instruction. */
static void
take_statement(struct Source *source, size_t at, size_t end)
{
	const char *s = source->clean;
	struct Statement *st;
	size_t next, i;

	for (;;) {
		while (at < end && is_blank(s[at]))
			at++;
		while (end > at && is_blank(s[end - 1]))
			end--;
		if (at == end)
			return;
		next = take_label(source, at, end);
		if (next == at)
			break;
		at = next;
	}
	if (take_assignment(source, at, end))
		return;
	st = add_statement(source, s[at] == '.' ? ST_DIRECTIVE : ST_INSTRUCTION, at);
	for (i = at; i < end && !is_blank(s[i]);)
		i++;
	st->name = (struct Str){s + at, i - at};
	if (st->kind == ST_DIRECTIVE)
		st->args = str_trim((struct Str){s + i, end - i});
	else
		st->args = (struct Str){s + at, end - at};
}

/* The statement from `at` to its separator; returns what follows the separator. */
static size_t
take_until_separator(struct Source *source, size_t at)
{
	char *s = source->clean;
	size_t n = source->size;
	unsigned lines = 0;
	size_t i = at, skip;

	while (i < n && s[i] != '\n' && s[i] != ';') {
		skip = quoted_length(s + i, n - i);
		if (skip == 0 && is_comment(s, n, i))
			skip = blank_comment(s, n, i) - i;
		if (skip == 0) {
			if (is_blank(s[i]))
				s[i] = s[i] == '\t' ? '\t' : ' ';
			skip = 1;
		}
		for (size_t k = i; k < i + skip; k++)
			lines += source->input[k] == '\n';
		i += skip;
	}
	take_statement(source, at, i);
	source->line += lines;
	if (i < n && s[i] == '\n')
		source->line++;
	return i + 1;
}

void
source_parse(struct Source *source, struct Arena *arena, const char *input, size_t size)
{
	size_t at = 0, word;

	*source = (struct Source){.arena = arena, .input = input, .size = size, .line = 1};
	source->clean = arena_take(arena, size + 1);
	if (size)
		memcpy(source->clean, input, size);
	while (at < size) {
		for (word = at; word < size && is_blank(input[word]);)
			word++;
		if (word < size && input[word] == '#' && starts_line(input, word))
			at = take_comment_line(source, word);
		else
			at = take_until_separator(source, at);
	}
}

bool
source_next_item(struct Str *rest, struct Str *item)
{
	size_t i = 0, skip;
	int depth = 0;

	*rest = str_trim(*rest);
	if (rest->n == 0)
		return false;
	while (i < rest->n && (depth > 0 || rest->p[i] != ',')) {
		if (rest->p[i] == '(' || rest->p[i] == '{')
			depth++;
		if ((rest->p[i] == ')' || rest->p[i] == '}') && depth > 0)
			depth--;
		skip = quoted_length(rest->p + i, rest->n - i);
		i += skip ? skip : 1;
	}
	*item = str_trim((struct Str){rest->p, i});
	*rest = i < rest->n ? (struct Str){rest->p + i + 1, rest->n - i - 1} : (struct Str){rest->p + i, 0};
	return true;
}
