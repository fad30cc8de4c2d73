//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * What a box may use. The limits are read and changed under the box's lock, where what they limit changes too, so that
 * two threads cannot both take the last of it. Trusted.
 *
 *   I1  What a box has beyond its limits it had when they were set: each mapping and each context is checked before
 *       it is made.                                                    box_check_mapped, box_check_contexts
 */
#include "box.h"
#include "error.h"
#include "options.h"

int
box_check_mapped(struct LFIBox *box, lfiptr addr, uint64_t size)
{
	uint64_t limit = box->limits.mapped, bytes = box->pages.bytes;
	uint64_t more = limit ? size - pages_bytes(&box->pages, addr, addr + size) : 0;

	if (!more || (bytes <= limit && more <= limit - bytes))
		return 0;
	return error_set(LFI_ERR_LIMIT, "%llu bytes more than the %llu that the sandbox has mapped: its limit is %llu",
	    (unsigned long long) more, (unsigned long long) bytes, (unsigned long long) limit);
}

int
box_check_contexts(struct LFIBox *box)
{
	if (!box->limits.threads || box->ncontexts < box->limits.threads)
		return 0;
	return error_set(
	    LFI_ERR_LIMIT, "the sandbox has %u contexts: its limit is %u", box->ncontexts, box->limits.threads);
}

uint32_t
box_files_limit(struct LFIBox *box)
{
	uint32_t files;

	pthread_mutex_lock(&box->lock);
	files = box->limits.files;
	pthread_mutex_unlock(&box->lock);
	return files;
}

/* A box that was once metered stays so; no limit is one that is never reached. */
static int
limit_cpu(struct LFIBox *box, uint64_t ns)
{
	if (ns == 0 && !atomic_load(&box->interrupt.metered))
		return 0;
	return box_cpu_limit(box, ns ? ns : UINT64_MAX);
}

int
lfi_box_set_limits_sized(struct LFIBox *box, const struct LFILimits *given, size_t size)
{
	struct LFILimits limits;

	if (handle_check(box, HANDLE_BOX) < 0)
		return -1;
	if (options_take(&limits, sizeof limits, given, size, "struct LFILimits") < 0)
		return -1;
	if (limit_cpu(box, limits.cpu_ns) < 0)
		return -1;
	pthread_mutex_lock(&box->lock);
	box->limits = limits;
	pthread_mutex_unlock(&box->lock);
	return 0;
}

int
lfi_box_limits_sized(struct LFIBox *box, struct LFILimits *out, size_t size)
{
	struct LFILimits limits;

	if (handle_check(box, HANDLE_BOX) < 0)
		return -1;
	pthread_mutex_lock(&box->lock);
	limits = box->limits;
	pthread_mutex_unlock(&box->lock);
	return options_give(out, size, &limits, sizeof limits);
}
