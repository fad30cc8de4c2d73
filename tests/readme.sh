#!/bin/sh
# SPDX-License-Identifier: MIT
# The program of the README's first screen compiles as it stands there and prints 42.
#
#   tests/readme.sh SOURCE BUILD
set -eu
source=$1 build=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$source/README.md" >"$folder/readme.c"
grep -q LFI_INVOKE "$folder/readme.c" || { echo "the README has no program" >&2; exit 1; }
cc -Wall -Werror -I"$source/include" "$folder/readme.c" "$build/lib/liblfi.a" -pthread -o "$folder/readme"
cp "$build/examples/add.lfi" "$folder"
cd "$folder"
[ "$(./readme)" = 42 ] || { echo "the README's program did not print 42" >&2; exit 1; }
