/* SPDX-License-Identifier: MIT */
/* What the rewriter's tests share: one call, its text or its diagnostics. */
#ifndef REWRITE_TEST_H
#define REWRITE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lfi/lfi_core.h>
#include <lfi/lfi_rewrite.h>

struct Seen {
	unsigned count, line, column;
	char message[256], text[256];
};

static void
note_diagnostic(const struct LFIDiagnostic *d, void *user)
{
	struct Seen *seen = user;

	if (seen->count++)
		return;
	seen->line = d->line;
	seen->column = d->column;
	snprintf(seen->message, sizeof seen->message, "%s", d->message);
	snprintf(seen->text, sizeof seen->text, "%s", d->text);
}

/* The output, to be freed with lfi_rewrite_free; NULL when something was refused. */
static inline char *
rewrite_text(const char *input, struct LFIRewriteOptions opts, struct Seen *seen)
{
	char *output;

	*seen = (struct Seen){0};
	opts.struct_size = sizeof opts;
	if (lfi_rewrite(&opts, input, strlen(input), &output, NULL, note_diagnostic, seen) < 0) {
		assert_null(output);
		return NULL;
	}
	return output;
}

#endif
