#!/bin/sh
# SPDX-License-Identifier: MIT
# Copies liblfi's sources to where cgo compiles them: all in one folder, as a Go package has them.
#
#   bindings/go/sources.sh [FOLDER]     into the module, or into FOLDER
#   bindings/go/sources.sh --check      see that the module's copy is what this makes
#
# lib/core/os/fork.c becomes liblfi_core_os_fork.c; headers keep their names. A copy differs from its original in its
# includes, which name no folder, and in its first lines: they leave it out of builds with -tags lfi_system, and include
# liblfi_names.h, which puts a prefix before what is shared between files but not public: a Go program is linked
# statically, and other C code in it may have a function of the same name. The rewriter is not copied: it is no part of
# running sandboxes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
module=$here/internal/cabi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
to=$scratch/copy
mkdir "$to"

plain() { # FILE: with includes of headers in one folder
	sed -e 's,#include <lfi/\([a-z_]*\.h\)>,#include "\1",' -e 's,#include "os/os\.h",#include "os.h",' "$1"
}

source_file() { # FILE NAME
	{ printf '//go:build !lfi_system\n\n#include "liblfi_names.h"\n\n'; plain "$1"; } >"$to/$2"
}

cd "$root"
for file in include/lfi/lfi_arch.h include/lfi/lfi_core.h include/lfi/lfi_invoke.h include/lfi/lfi_linux.h \
	include/lfi/lfi_verify.h include/lfi/lfi_version.h; do
	plain "$file" >"$to/$(basename "$file")"
done
for file in $(find lib/base lib/elf lib/verify lib/core lib/load lib/linux -name '*.[chS]' -not -path 'lib/verify/gen/*'); do
	name=$(basename "$file")
	case $name in
	*.h) [ ! -e "$to/$name" ] || { echo "sources.sh: two headers are named $name" >&2; exit 1; }
		plain "$file" >"$to/$name" ;;
	*) name=liblfi_$(echo "${file#lib/}" | tr / _)
		source_file "$file" "$name" ;;
	esac
done

# The table of the quick walk, as lib/CMakeLists.txt makes it.
cc -std=gnu17 -I include -iquote lib/verify/x64 lib/verify/gen/compile.c lib/verify/x64/table.c -o "$scratch/compile"
"$scratch/compile" "$scratch/rows.c"
{ printf '/* SPDX-License-Identifier: MIT */\n/* Written by lib/verify/gen/compile.c. */\n' && cat "$scratch/rows.c"; } >"$scratch/table.c"
source_file "$scratch/table.c" liblfi_verify_x64_quick_table.c

# What the objects define for each other.
touch "$to/liblfi_names.h"
mkdir "$scratch/objects"
for file in "$to"/liblfi_*.[cS]; do echo "$file"; done |
	xargs -P 2 -I '{}' sh -c 'cc -std=gnu17 -D_GNU_SOURCE -O0 -w -c "$1" -o "$2/$(basename "$1").o"' sh '{}' "$scratch/objects"
{
	printf '/* SPDX-License-Identifier: MIT */\n/* Written by sources.sh. */\n'
	nm -g --defined-only "$scratch"/objects/*.o | awk 'NF == 3 && $3 !~ /^lfi_/ { print "#define", $3, "liblfi_" $3 }' | LC_ALL=C sort -u
} >"$to/liblfi_names.h"

if [ "${1:-}" = --check ]; then
	mkdir "$scratch/is"
	for file in "$module"/liblfi_*.[cS] "$module"/*.h; do
		case $(basename "$file") in shim*.h) ;; *) cp "$file" "$scratch/is" ;; esac
	done
	diff -r -q "$scratch/is" "$to" && exit 0
	echo "the Go module's copy of liblfi is not that of lib/: run bindings/go/sources.sh" >&2
	exit 1
fi
to_folder=${1:-$module}
if [ "$to_folder" = "$module" ]; then
	for file in "$module"/liblfi_*.[cS] "$module"/*.h; do
		case $(basename "$file") in shim*.h) ;; *) rm -f "$file" ;; esac
	done
fi
cp "$to"/* "$to_folder"
