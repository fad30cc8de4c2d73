/* SPDX-License-Identifier: MIT */
/*
 * Archives of ar(1) for lfi-verify: each member is verified as a file of its own. Names in the ways of GNU and of BSD;
 * tables of symbols and of names are no members. The archive may be hostile.
 */
#include <ar.h>
#include <stdlib.h>
#include <string.h>

#include "verify.h"

/* What is left to read. */
struct archive {
	const uint8_t *bytes;
	size_t size, at;
	const char *names; /* GNU's table of long names */
	size_t names_size;
};

/* One member. */
struct member {
	char name[256];
	const uint8_t *bytes;
	size_t size;
	bool table; /* no member at all */
};

bool
archive_is(const uint8_t *bytes, size_t size)
{
	return size >= SARMAG && (memcmp(bytes, ARMAG, SARMAG) == 0 || memcmp(bytes, "!<thin>\n", SARMAG) == 0);
}

/* A decimal number that fills `size` characters but for spaces behind it. */
static bool
take_decimal(const char *text, size_t size, size_t *number)
{
	size_t i = 0;

	*number = 0;
	for (; i < size && text[i] >= '0' && text[i] <= '9'; i++)
		*number = *number * 10 + (size_t) (text[i] - '0'); /* at most 15 digits */
	if (i == 0)
		return false;
	while (i < size && text[i] == ' ')
		i++;
	return i == size;
}

/* A name that ends before the first of `ends`, a NUL or `size` characters. */
static void
name_copy(struct member *member, const char *name, size_t size, const char *ends)
{
	size_t length = 0;

	while (length < size && length < sizeof member->name - 1 && name[length] && !strchr(ends, name[length]))
		length++;
	memcpy(member->name, name, length);
	member->name[length] = 0;
}

/* The member's name from the header's 16 characters. False when it lies. */
static bool
name_find(const struct archive *archive, struct member *member, const char name[16])
{
	size_t number;

	if (name[0] == '#' && name[1] == '1' && name[2] == '/') {
		if (!take_decimal(name + 3, 13, &number) || number > member->size)
			return false;
		name_copy(member, (const char *) member->bytes, number, "");
		member->bytes += number;
		member->size -= number;
		member->table = strncmp(member->name, "__.SYMDEF", 9) == 0;
		return true;
	}
	if (name[0] != '/') {
		name_copy(member, name, 16, "/");
		for (size_t n = strlen(member->name); n > 0 && member->name[n - 1] == ' '; n--)
			member->name[n - 1] = 0;
		member->table = strncmp(member->name, "__.SYMDEF", 9) == 0;
		return true;
	}
	member->table = name[1] == ' ' || name[1] == '/' || memcmp(name, "/SYM64/ ", 8) == 0;
	if (member->table)
		return true;
	if (!take_decimal(name + 1, 15, &number) || number >= archive->names_size)
		return false;
	name_copy(member, archive->names + number, archive->names_size - number, "/\n");
	return true;
}

/* The next member; NULL when it is sound, else what is wrong. */
static const char *
member_next(struct archive *archive, struct member *member)
{
	struct ar_hdr header;

	if (archive->size - archive->at < sizeof header)
		return "truncated: a member's header is cut off";
	memcpy(&header, archive->bytes + archive->at, sizeof header);
	archive->at += sizeof header;
	if (memcmp(header.ar_fmag, ARFMAG, 2) != 0 ||
	    !take_decimal(header.ar_size, sizeof header.ar_size, &member->size))
		return "a member's header is broken";
	if (member->size > archive->size - archive->at)
		return "truncated: a member is not in the file";
	member->bytes = archive->bytes + archive->at;
	archive->at += member->size;
	if (archive->at % 2 && archive->at < archive->size)
		archive->at++;
	if (header.ar_name[0] == '/' && header.ar_name[1] == '/') {
		archive->names = (const char *) member->bytes;
		archive->names_size = member->size;
	}
	return name_find(archive, member, header.ar_name) ? NULL : "a member's name is not in the file";
}

/* In memory of its own, for an archive aligns nothing. */
static int
member_verify(const struct unit *like, const struct member *member)
{
	struct unit unit = *like;
	uint8_t *bytes = malloc(member->size + 1);
	int result;

	unit.member = member->name;
	if (!bytes) {
		report_begin(&unit);
		result = unreadable(&unit, "not enough memory");
		report_end(&unit, result);
		return result;
	}
	memcpy(bytes, member->bytes, member->size);
	unit.bytes = bytes;
	unit.size = member->size;
	result = unit_verify(&unit);
	free(bytes);
	return result;
}

static int
broken(const struct unit *like, const char *why)
{
	struct unit unit = *like;

	report_begin(&unit);
	unreadable(&unit, "%s", why);
	report_end(&unit, UNREADABLE);
	return UNREADABLE;
}

/* Systems have archives without members, for libraries that became part of another. */
static int
empty(const struct unit *like)
{
	struct unit unit = *like;

	unit.what = "archive";
	report_begin(&unit);
	report_end(&unit, ACCEPTED);
	return ACCEPTED;
}

int
archive_verify(const struct unit *like, const uint8_t *bytes, size_t size)
{
	struct archive archive = {.bytes = bytes, .size = size, .at = SARMAG};
	int worst = ACCEPTED;
	size_t members = 0;

	if (memcmp(bytes, ARMAG, SARMAG) != 0)
		return broken(like, "a thin archive: its members are files of their own");
	while (archive.at < size) {
		struct member member = {0};
		const char *why = member_next(&archive, &member);
		int result;

		if (why)
			return broken(like, why);
		if (member.table)
			continue;
		result = member_verify(like, &member);
		if (result > worst)
			worst = result;
		members++;
	}
	return members ? worst : empty(like);
}
