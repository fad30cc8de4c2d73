#!/bin/sh
# SPDX-License-Identifier: MIT
# What liblfi.so exports is what abi/symbols.txt, lib/liblfi.map and the headers say; node LFI_1.0 is what the first
# released headers declare. A new function: to the headers, to the newest node of the map, then `./dev abi --update`,
# which writes abi/symbols.txt.
#
#   tests/abi/symbols.sh SOURCE LIBRARY CLIENT     CLIENT was built against the headers of 1.0
set -eu
source=$1 library=$2 client=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
export LC_ALL=C
failed=0

same() {
	diff -u "$work/$2" "$work/$3" >"$work/diff" && return
	echo "$1:" >&2
	sed '1,2d' "$work/diff" >&2
	failed=1
}

# declared DIR: names of all that is declared with LFI_API.
declared() {
	cat "$1"/*.h | awk '/^LFI_API/ { text = ""; on = 1 } on { text = text " " $0 } on && /[(;]/ { sub(/[(;].*/, "", text); print text; on = 0 }' |
		grep -oE 'lfi_[a-z0-9_]+ *$' | tr -d ' ' | sort
}

nm -D --defined-only --with-symbol-versions "$library" | awk '$2 != "A" { print $3 }' | sort >"$work/exported"
sort "$source/abi/symbols.txt" >"$work/golden"
awk '/^LFI_/ { node = $1 } /^\tlfi_/ { sub(/;/, "", $1); print $1 "@@" node }' "$source/lib/liblfi.map" | sort >"$work/map"
sed 's/@@.*//' "$work/exported" >"$work/names"
declared "$source/include/lfi" >"$work/headers"
declared "$source/tests/abi/include-1.0/lfi" >"$work/headers-1.0"
sed -n 's/@@LFI_1\.0$//p' "$work/exported" >"$work/names-1.0"
nm -D --with-symbol-versions "$client" | awk '{ print $NF }' | grep '^lfi_' | grep -vE "@@?LFI_1\.0$" >"$work/foreign" || true
: >"$work/none"

same "abi/symbols.txt and what $library exports differ (./dev abi --update)" golden exported
same "lib/liblfi.map and what is exported differ" map exported
same "what the headers declare and what is exported differ" headers names
same "the headers of 1.0 and node LFI_1.0 differ: it has been released, new functions go to a new node" headers-1.0 names-1.0
same "a program built against the headers of 1.0 needs more than node LFI_1.0" none foreign
exit $failed
