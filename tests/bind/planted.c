/* SPDX-License-Identifier: MIT */
/*
 * A bug for libpng, planted by real.sh: what keeps a file's comment trusts the length that the file says, and behind
 * the comment, on the heap, is the address of a function that is called next. The file decides which.
 */
#include <stdlib.h>
#include <string.h>

struct note {
	char text[32];
	void (*report)(const char *text);
};

static void
quiet(const char *text)
{
	(void) text;
}

void
planted_comment(const unsigned char *bytes, unsigned length)
{
	struct note *note = malloc(sizeof *note);

	if (!note)
		return;
	note->report = quiet;
	memcpy(note->text, bytes, length); /* the bug */
	note->report(note->text);
	free(note);
}
