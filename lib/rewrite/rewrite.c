/* SPDX-License-Identifier: MIT */
/*
 * The rewriter's public calls: options in, one unit parsed, analysed and
 * written, everything freed. Not trusted: the verifier judges the result.
 */
#include <lfi/lfi_core.h>
#include <lfi/lfi_rewrite.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "options.h"
#include "unit.h"

static int
take_options(struct LFIRewriteOptions *own, const struct LFIRewriteOptions *given)
{
	*own = (struct LFIRewriteOptions){0};
	if (given && options_take(own, sizeof *own, given, given->struct_size, "struct LFIRewriteOptions") < 0)
		return -1;
	if (own->bundle == 0)
		own->bundle = 32;
	if (!own->file)
		own->file = "<input>";
	if (own->bundle != 32 && own->bundle != 16)
		return error_set(LFI_ERR_INVALID, "a bundle of %u bytes: 16 or 32 is possible", own->bundle);
	if (own->policy < LFI_POLICY_FULL || own->policy > LFI_POLICY_JUMPS)
		return error_set(LFI_ERR_INVALID, "policy %d is unknown", own->policy);
	if (own->poc && own->policy != LFI_POLICY_FULL)
		return error_set(LFI_ERR_INVALID,
		    "position-oblivious code under policy %d: only the full one confines all "
		    "addresses",
		    own->policy);
	return 0;
}

/* 0, or -1 with the error set. Running out of memory ends here. */
static int
run(struct Unit *unit, const char *input, size_t size)
{
	if (setjmp(unit->arena.out_of_memory))
		return error_set(LFI_ERR_NOMEM, "no memory to rewrite the assembly");
	source_parse(&unit->source, &unit->arena, input, size);
	unit_analyse(unit);
	x64_rewrite(unit);
	if (unit->errors)
		return error_set(LFI_ERR_REWRITE, "%s%s", unit->first_error, unit->errors > 1 ? " (and more)" : "");
	return 0;
}

int
rewrite_check_texts(const char *input, size_t size, char **output, size_t *output_size)
{
	if (!output)
		return error_null("place for the output");
	*output = NULL;
	if (output_size)
		*output_size = 0;
	return input || size == 0 ? 0 : error_null("text");
}

int
lfi_rewrite(const struct LFIRewriteOptions *opts, const char *input, size_t size, char **output, size_t *output_size,
    LFIDiagnosticFn fn, void *user)
{
	struct Unit *unit;
	int result = -1;

	if (rewrite_check_texts(input, size, output, output_size) < 0)
		return -1;
	unit = calloc(1, sizeof *unit);
	if (!unit)
		return error_set(LFI_ERR_NOMEM, "no memory to rewrite %zu bytes", size);
	unit->fn = fn;
	unit->user = user;
	unit->out.arena = &unit->arena;
	if (take_options(&unit->opts, opts) < 0)
		goto free_unit;
	if (run(unit, input, size) < 0)
		goto free_text;
	*output = unit->out.p;
	if (output_size)
		*output_size = unit->out.n;
	unit->out.p = NULL;
	result = 0;
free_text:
	free(unit->out.p);
	arena_free(&unit->arena);
free_unit:
	free(unit);
	return result;
}

void
lfi_rewrite_free(char *output)
{
	free(output);
}
