#!/bin/sh
# SPDX-License-Identifier: MIT
# The ABI of a liblfi.so against its committed description, abi/: `./dev abi` and the ctest abi_check run this.
#
#   tests/abi/abi.sh [--update [--force]] --library FILE --headers DIR [--description DIR]
#
# The description is three files:
#   liblfi.abi     functions, variables, and the types that they use, from debug information (abidw)
#   constants.txt  enumerators and macros with their values: no function has an enum in its type, so abidw sees none
#   symbols.txt    exported symbols, NAME@@NODE
# An addition is compatible. Anything else is not: a symbol, member or constant that is gone or different. What may grow
# is in liblfi.abignore. --update writes the description anew, after an incompatible change only with --force. Exit: 0 compatible,
# 1 not, 2 for what keeps this from working (no debug information, no abidiff).
set -eu
library= headers= update= force=
root=$(cd "$(dirname "$0")/../.." && pwd)
description=$root/abi
while [ $# -gt 0 ]; do
	case $1 in
	--library) library=$2; shift ;;
	--headers) headers=$(cd "$2" && pwd); shift ;;
	--description) description=$2; shift ;;
	--update) update=1 ;;
	--force) force=1 ;;
	*) echo "abi: unknown argument $1" >&2; exit 2 ;;
	esac
	shift
done
[ -f "$library" ] && [ -d "$headers" ] || { echo "abi: --library and --headers are needed" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
export LC_ALL=C

# Nothing of it depends on where or with which compiler the library was built.
describe() {
	readelf -S "$library" | grep -q '\.debug_info' || { echo "abi: $library has no debug information" >&2; exit 2; }
	abidw --headers-dir "$headers" --drop-private-types --exported-interfaces-only --no-corpus-path --no-comp-dir-path \
		--no-show-locs --no-elf-needed --no-write-default-sizes --type-id-style hash --out-file "$work/full.abi" "$library"
	sed -E "s|path='[^']*/([a-z]+/)|path='\\1|" "$work/full.abi" >"$work/liblfi.abi"
}

# NAME VALUE of each enumerator, and of each macro without parameters that has a value.
constants() {
	echo '#include <lfi/lfi.h>' >"$work/all.c"
	cc -I"$headers" -E -P "$work/all.c" | tr '\n' ' ' | grep -oE '\benum( [A-Za-z_]+)? *\{[^}]*\}' | grep -oE '\bLFI_[A-Z0-9_]+' |
		sort -u >"$work/names"
	cc -I"$headers" -E -dM "$work/all.c" | sed -nE 's/^#define (LFI_[A-Z0-9_]+) +[^ ].*/\1/p' |
		grep -vE '^LFI_(API|VERSION_.*|ARCH_NAME|INVOKE_REAL_16|INVOKE_P.*|INVOKE_CALL.*)$' >>"$work/names"
	{
		printf '#include <lfi/lfi.h>\n#include <stdio.h>\nint main(void) {\n'
		sed 's/.*/printf("& %lld\\n", (long long) &);/' "$work/names"
		echo 'return 0; }'
	} >"$work/print.c"
	cc -w -I"$headers" "$work/print.c" -o "$work/print" || return 2
	"$work/print" | sort >"$work/constants.txt"
}

symbols() {
	nm -D --defined-only --with-symbol-versions "$library" | awk '$2 != "A" { print $3 }' | sort >"$work/symbols.txt"
}

# Lines of the old file that the new one lacks, but for constants that are counts.
lost() {
	sort "$1" | comm -23 - "$2" | sed '/_COUNT /d; s/^/  gone or changed: /' >"$work/lost"
	cat "$work/lost"
	[ ! -s "$work/lost" ]
}

# Of two descriptions, not with the library: abidiff takes types without a place for private ones when it is given the
# headers, and then says nothing of them.
difference() {
	abidiff --suppressions "$description/liblfi.abignore" "$@" "$description/liblfi.abi" "$work/liblfi.abi"
}

# STRUCT.MEMBER OFFSET of a description: members of one type that change places are the same to abidiff.
members() {
	sed -nE "s/.*<(class|union)-decl name='([^']*)'.*/struct \\2/p; s/.*layout-offset-in-bits='([0-9]+)'.*/at \\1/p
		s/.*<var-decl name='([^']*)'.*visibility.*/member \\1/p" "$1" |
		awk '$1 == "struct" { s = $2 } $1 == "at" { at = $2 } $1 == "member" && at != "" { print s "." $2, at / 8; at = "" }' | sort -u
}

# STRUCT SIZE of a description.
sizes() {
	sed -nE "s/.*<class-decl name='([^']*)' size-in-bits='([0-9]+)'.*/\\1 \\2/p" "$1" | awk '{ print $1, $2 / 8 }' | sort -u
}

# New members inside the old size: what a caller of the old version has there is padding, which may hold anything.
paddings() {
	comm -13 "$2" "$3" | awk -v sizes="$1" 'BEGIN { while ((getline line < sizes) > 0) { split(line, f, " "); size[f[1]] = f[2] } }
		{ split($1, n, "."); if (n[1] in size && $2 < size[n[1]]) { print "  in what was padding: " $1; bad = 1 } } END { exit bad }'
}

compare() {
	local status=0
	difference --no-added-syms >"$work/changes" || status=$?
	[ $((status & 3)) = 0 ] || { cat "$work/changes" >&2; echo "abi: abidiff failed" >&2; exit 2; }
	[ $status = 0 ] || cat "$work/changes"
	lost "$description/constants.txt" "$work/constants.txt" || status=1
	lost "$description/symbols.txt" "$work/symbols.txt" || status=1
	members "$description/liblfi.abi" >"$work/members.old"
	members "$work/liblfi.abi" >"$work/members"
	lost "$work/members.old" "$work/members" || status=1
	sizes "$description/liblfi.abi" >"$work/sizes"
	paddings "$work/sizes" "$work/members.old" "$work/members" || status=1
	[ $status = 0 ]
}

current() {
	cmp -s "$description/constants.txt" "$work/constants.txt" && cmp -s "$description/symbols.txt" "$work/symbols.txt" &&
		difference >/dev/null
}

command -v abidiff >/dev/null && command -v abidw >/dev/null || { echo "abi: abidw and abidiff are missing (abigail-tools)" >&2; exit 2; }
describe
constants
symbols
compatible=yes
if [ -f "$description/liblfi.abi" ]; then
	compare || compatible=no
fi
if [ $compatible = no ] && [ -z "$force" ]; then
	echo "abi: incompatible with $description: programs built against released headers would break" >&2
	exit 1
fi
if [ -n "$update" ]; then
	cp "$work/liblfi.abi" "$work/constants.txt" "$work/symbols.txt" "$description"
	echo "abi: wrote the description"
elif current; then
	echo "abi: as described"
else
	echo "abi: compatible; there are additions: describe them with ./dev abi --update"
fi
