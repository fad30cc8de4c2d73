#!/bin/sh
# SPDX-License-Identifier: MIT
# The short form of `./dev sanitize --thread`: builds the library with ThreadSanitizer, and runs the tests that
# have most threads and need no sandboxed program.
#
#   tests/sanitize/thread.sh SOURCE BUILD
set -eu
source=$1 build=$2
tests='verify_threads core_stress core_fork core_interrupt core_release linux_fork linux_storm'

cmake -S "$source" --preset tsan -B "$build" -DLFI_SYSROOT=OFF >/dev/null
cmake --build "$build" -j2 --target $tests >/dev/null
for test in $tests; do
	LFI_STRESS_SECONDS=5 TSAN_OPTIONS=halt_on_error=1 "$build/tests/$test"
done
