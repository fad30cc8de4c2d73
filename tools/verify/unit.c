/* SPDX-License-Identifier: MIT */
/* One program, object or piece of flat code: its regions, as the loader makes them, through the verifier. */
#include "verify.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE 4096u

int
unreadable(struct unit *unit, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(unit->error, sizeof unit->error, format, args);
	va_end(args);
	return UNREADABLE;
}

static bool
take_violation(const struct LFIViolation *violation, void *user)
{
	struct unit *unit = user;
	size_t most = unit->arguments->max_errors;

	if (!unit->arguments->quiet)
		report_violation(unit, violation);
	unit->violations++;
	return !unit->arguments->quiet && (!most || unit->violations < most);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* The pages of the unit. */
static int
pages_verify(struct unit *unit)
{
	struct LFIVerifyReport report = {.struct_size = sizeof report};
	size_t scratch_size = lfi_verify_scratch_size(unit->pages_size);
	void *scratch = malloc(scratch_size + 1);
	double start;
	int refused;

	if (!scratch)
		return unreadable(unit, "not enough memory");
	start = now();
	refused = pages_judge(unit, scratch, scratch_size, take_violation, &report);
	unit->seconds += now() - start;
	unit->code_bytes += unit->pages_size;
	unit->instructions += report.instructions;
	unit->cpu |= report.cpu;
	unit->code |= report.code;
	free(scratch);
	if (!refused && unit->arguments->stats)
		mix_add(&unit->mix, unit->pages, unit->pages_size);
	return refused ? REFUSED : ACCEPTED;
}

int
region_verify(struct unit *unit, uint64_t address, const uint8_t *bytes, uint64_t size)
{
	uint64_t head = address % PAGE;
	size_t most = unit->arguments->max_errors;
	uint8_t *pages;
	int result;

	if (address >= SANDBOX_SIZE || size > SANDBOX_SIZE - address)
		return unreadable(unit, "code at 0x%llx, 0x%llx bytes, does not fit in a sandbox",
		    (unsigned long long) address, (unsigned long long) size);
	if (unit->violations > 0 && (unit->arguments->quiet || (most && unit->violations >= most)))
		return REFUSED; /* enough was said */
	unit->pages_size = (head + size + PAGE - 1) / PAGE * PAGE;
	pages = malloc(unit->pages_size + 1);
	if (!pages)
		return unreadable(unit, "not enough memory");
	memset(pages, TRAP, unit->pages_size);
	if (size > 0)
		memcpy(pages + head, bytes, size);
	unit->pages = pages;
	unit->address = address - head;
	result = pages_verify(unit);
	unit->pages = NULL;
	free(pages);
	return result;
}

int
unit_verify(struct unit *unit)
{
	int result;

	report_begin(unit);
	if (unit->arguments->raw) {
		unit->what = "flat";
		result = region_verify(unit, unit->arguments->offset, unit->bytes, unit->size);
	} else {
		result = elf_verify(unit);
	}
	report_end(unit, result);
	return result;
}
