/* SPDX-License-Identifier: MIT */
/* The bitmaps: for regions of any size up to REGION bytes, any bit of theirs lies in the scratch memory, and is one
 * bit. */
#include <stdlib.h>

#include "verify.h"

#ifndef REGION
#define REGION 4096
#endif

uint64_t nondet_u64(void);

int
main(void)
{
	size_t size = nondet_u64(), i = nondet_u64(), other = nondet_u64();
	uint64_t *map;
	bool before;

	__CPROVER_assert(size > SANDBOX_SIZE || lfi_verify_scratch_size(size) * 4 <= size + 64, "2 bits for each byte");
	__CPROVER_assert(size > SANDBOX_SIZE || lfi_verify_scratch_size(size) * 4 >= size, "2 bits for each byte");
	__CPROVER_assume(size <= REGION && i < size && other < size && other != i);
	map = malloc(lfi_verify_scratch_size(size) / 2);
	__CPROVER_assume(map);
	before = bit_get(map, other);
	bit_set(map, i);
	__CPROVER_assert(bit_get(map, i), "a bit that is set is seen");
	bit_clear(map, i);
	__CPROVER_assert(!bit_get(map, i), "a bit that is cleared is not");
	__CPROVER_assert(bit_get(map, other) == before, "no other bit changes");
	return 0;
}
