/* SPDX-License-Identifier: MIT */
/*
 * How often the quick walk asks the rules. Whoever includes this is linked with --wrap for both functions
 * (tests/CMakeLists.txt, tests/mutate/inprocess.py) and compiled with COUNT_ASKED; without it nothing is counted.
 */
#ifndef TESTS_VERIFY_ASKED_H
#define TESTS_VERIFY_ASKED_H

#include "verify.h"

static size_t asked_alone, asked_bundles;

#ifdef COUNT_ASKED
bool __real_rules_alone(const struct verify *v, size_t pos, uint32_t *drift, struct seen *seen, unsigned *length);
bool __wrap_rules_alone(const struct verify *v, size_t pos, uint32_t *drift, struct seen *seen, unsigned *length);
size_t __real_rules_bundle(struct verify *v, size_t pos, uint32_t *drift, struct seen *seen);
size_t __wrap_rules_bundle(struct verify *v, size_t pos, uint32_t *drift, struct seen *seen);

bool
__wrap_rules_alone(const struct verify *v, size_t pos, uint32_t *drift, struct seen *seen, unsigned *length)
{
	asked_alone++;
	return __real_rules_alone(v, pos, drift, seen, length);
}

size_t
__wrap_rules_bundle(struct verify *v, size_t pos, uint32_t *drift, struct seen *seen)
{
	asked_bundles++;
	return __real_rules_bundle(v, pos, drift, seen);
}
#endif

#endif
