#!/bin/sh
# SPDX-License-Identifier: MIT
# Each public header alone, and all together, compile as C11, C17, C23, C++11, C++17 and C++20 without a warning.
#
#   tests/abi/headers.sh SOURCE
set -eu
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
failed=0

for header in "$source"/include/lfi/*.h; do
	name=$(basename "$header")
	# Not for direct use.
	[ "$name" != lfi_invoke.h ] || continue
	printf '#include <lfi/%s>\nint x_;\n' "$name" >"$work/$name.c"
	printf '#include <lfi/%s>\n' "$name" >>"$work/forward"
done
# Twice each, in both orders.
{ cat "$work/forward"; echo 'int x_;'; tac "$work/forward"; } >"$work/all.c"
{ tac "$work/forward"; echo 'int x_;'; } >"$work/backward.c"

# check LANGUAGE STANDARD COMPILER...
check() {
	language=$1 standard=$2
	shift 2
	"$@" -x "$language" -std="$standard" -fsyntax-only /dev/null 2>/dev/null || { echo "skipped: $* has no $standard"; return; }
	for file in "$work"/*.c; do
		"$@" -x "$language" -std="$standard" -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Werror $extra -I"$source/include" "$file" && continue
		echo "$(basename "$file" .c) does not compile with $* as $standard" >&2
		failed=1
	done
}

for compiler in gcc clang; do
	command -v $compiler >/dev/null || { echo "skipped: $compiler is not there"; continue; }
	extra='-Wstrict-prototypes -Wc++-compat'
	for standard in c11 c17 c2x; do check c $standard $compiler; done
done
for compiler in g++ clang++; do
	command -v $compiler >/dev/null || { echo "skipped: $compiler is not there"; continue; }
	extra=
	for standard in c++11 c++17 c++20; do check c++ $standard $compiler; done
done
exit $failed
