/* SPDX-License-Identifier: MIT */
/*
 * A large region in parts: by several threads, when there are more than there are files, and part after part, so that
 * who waits sees how far it is. The verdict and the messages are those of lfi_verify.
 */
#include <pthread.h>
#include <stdlib.h>

#include "verify.h"

/* Bytes of a part: at least, for threads, and at most, so that there is something to show now and then. */
#define PART_LEAST ((size_t) 128 << 10)
#define PART_MOST ((size_t) 8 << 20)

/* Parts for each thread, so that they end at about the same time. More parts have more to do with each other. */
#define PARTS_EACH 4

struct split {
	const struct unit *unit;
	void *scratch;
	size_t scratch_size;
	struct LFIVerifyPart *parts;
	size_t count;
	_Atomic size_t next; /* that nobody has taken */
	_Atomic size_t done; /* bytes, roughly */
	_Atomic bool bad;    /* one of them is: the others do not matter */
};

static void *
split_worker(void *argument)
{
	struct split *split = argument;
	const struct unit *unit = split->unit;
	size_t i, each = unit->pages_size / split->count;

	while (!atomic_load(&split->bad) && (i = atomic_fetch_add(&split->next, 1)) < split->count) {
		if (lfi_verify_part(&unit->arguments->verify, unit->pages, unit->pages_size, unit->address,
			split->scratch, split->scratch_size, i, split->count, &split->parts[i]))
			atomic_store(&split->bad, true);
		atomic_fetch_add(&split->done, each);
		atomic_fetch_add(&unit->progress->bytes, each);
	}
	return NULL;
}

/* All parts, or until one is bad. */
static void
split_run(struct split *split, unsigned threads)
{
	pthread_t others[JOBS_MAX];
	unsigned started = 0;

	while (started + 1 < threads && started + 1 < split->count &&
	       pthread_create(&others[started], NULL, split_worker, split) == 0)
		started++;
	split_worker(split);
	for (unsigned i = 0; i < started; i++)
		pthread_join(others[i], NULL);
}

static size_t
parts_of(const struct unit *unit)
{
	size_t count = unit->pages_size / PART_LEAST, enough = PARTS_EACH * (size_t) unit->arguments->split;

	if (unit->arguments->split == 1)
		count = 1;
	if (count > enough)
		count = enough;
	if (count < unit->pages_size / PART_MOST)
		count = unit->pages_size / PART_MOST;
	return count; /* at most 1,024 */
}

int
pages_judge(struct unit *unit, void *scratch, size_t scratch_size, LFIViolationFn fn, struct LFIVerifyReport *report)
{
	const struct LFIVerifyOptions *options = &unit->arguments->verify;
	struct split split = {.unit = unit, .scratch = scratch, .scratch_size = scratch_size, .count = parts_of(unit)};
	int refused;

	if (split.count > 1)
		split.parts = calloc(split.count, sizeof *split.parts);
	if (split.parts) {
		split_run(&split, unit->arguments->split);
		refused = lfi_verify_finish(options, unit->pages, unit->pages_size, unit->address, scratch,
		    scratch_size, split.parts, split.count, fn, unit, report);
	} else {
		refused = lfi_verify(
		    options, unit->pages, unit->pages_size, unit->address, scratch, scratch_size, fn, unit, report);
	}
	atomic_fetch_add(&unit->progress->bytes, unit->pages_size - atomic_load(&split.done));
	free(split.parts);
	return refused;
}
