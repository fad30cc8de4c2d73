#!/bin/sh
# SPDX-License-Identifier: MIT
# Whether the verifier's decoder knows each instruction that compilers make, of ordinary code that was not rewritten: Lua, zlib,
# sqlite, the programs of tests/toolchain, programs of csmith's, and the tests of gcc's suite for vectors, at -O2 and -O3
# for processors with AVX-512.
#
#   compilers.sh --build=DIR [--root=DIR] [--programs=NAMES] [--suite=N] [--only=FLAGS] [COMPILER...]
#
# COMPILER is a command that takes gcc's options; those of gcc 12 to 14 and clang 14 to 19 that are there, unless some are
# named. --root: they are in this folder, another Debian (made by debootstrap, say), and run by chroot. --programs: some of
# lua, zlib, sqlite, ours, csmith, suite, with spaces between; all unless said otherwise. --suite: every Nth of the suite's
# tests (default 10). --only: these flags instead of the six pairs of level and processor. Exit status 1 when an
# instruction is refused or seen otherwise.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)

die() {
	printf 'compilers: %s\n' "$*" >&2
	exit 2
}

build='' root='' suite=10 only='' programs='lua zlib sqlite ours csmith suite'
while [ $# -gt 0 ]; do
	case $1 in
	--build=*) build=$(cd "${1#*=}" && pwd) ;;
	--root=*) root=$(cd "${1#*=}" && pwd) ;;
	--programs=*) programs=${1#*=} ;;
	--suite=*) suite=${1#*=} ;;
	--only=*) only=${1#*=} ;;
	-*) die "no option '$1'" ;;
	*) break ;;
	esac
	shift
done
[ -x "$build/tests/lfi-oracle" ] || die "--build=DIR is a folder where lfi-oracle was built"
downloads=${LFI_DOWNLOADS:-$source/build/downloads}

# The folder as the compilers see it is $seen.
seen=/tmp/lfi-compilers.$$ work=$root/tmp/lfi-compilers.$$
mkdir -p "$work/src"
trap 'rm -rf "$work"' EXIT
trap 'exit 2' INT TERM

# run COMMAND...: in the root.
run() {
	if [ -n "$root" ]; then chroot "$root" "$@"; else "$@"; fi
}
has() { run sh -c 'command -v "$1"' sh "$1" >/dev/null 2>&1; }

if [ $# = 0 ]; then
	for compiler in gcc-12 gcc-13 gcc-14 clang-14 clang-15 clang-16 clang-17 clang-18 clang-19; do
		if has $compiler; then set -- "$@" $compiler; fi
	done
fi
[ $# -gt 0 ] || die "no compilers are there"

# ---- Sources ----

fetch() { "$source/toolchain/fetch.sh" "$1" "$downloads"; }

get_lua() {
	tar xf "$(fetch lua)" --wildcards '*/src/*.[ch]'
	ls lua*/src/*.c
}

get_zlib() {
	tar xf "$(fetch zlib)" --wildcards 'zlib-*/*.[ch]' --exclude='*/*/*'
	ls zlib*/*.c
}

# The amalgamation.
get_sqlite() {
	tar xf "$(fetch sqlite)"
	(cd sqlite3-* && ./configure --disable-tcl && make sqlite3.c) >/dev/null 2>&1 || die "sqlite's amalgamation cannot be made"
	mv sqlite3-*/sqlite3.[ch] .
	echo sqlite3.c
}

get_ours() {
	cp -r "$source/tests/toolchain/programs" .
	ls programs/*.c
}

get_csmith() {
	cp -r /usr/include/csmith .
	for i in $(seq 1 20); do csmith --seed "$i" --float >"csmith_$i.c"; done
	ls csmith_*.c
}

get_suite() {
	ar p "$(fetch gcc_source)" data.tar.xz | xz -dc | tar -xOf - --wildcards './usr/src/gcc-12/gcc-*.tar.xz' | xz -dc |
		tar -xf - --strip-components=4 --wildcards '*/gcc/testsuite/gcc.target/i386/*.[ch]' \
			'*/gcc/testsuite/gcc.dg/vect/*.[ch]'
	find i386 vect -name '*.c' | sort | awk -v n="$suite" 'NR % n == 0'
}

cd "$work/src"
files=''
for program in $programs; do
	got=$(get_$program) || die "no sources of $program"
	files="$files $got"
done

# ---- Objects ----

# What a program does with fs belongs to the C library: no stack protector. csmith's programs mind no types of pointers. Some
# of the suite's tests are for other targets.
common="-w -c -std=gnu17 -fno-stack-protector -Wno-incompatible-pointer-types -Wno-int-conversion -Icsmith -Ivect -Ii386 -DLUA_USE_LINUX"
cat >"$work/make.sh" <<'END'
compiler=$1 flags=$2
cd "$3/src"
shift 3
for file; do
	$compiler $flags "$file" -o "../objects/$(echo "$file" | tr / _).o" 2>/dev/null || echo "$file" >>../failed
done
END

# check COMPILER FLAGS
check() {
	if ! run $1 $2 -E -x c /dev/null >/dev/null 2>&1; then
		echo "skipped: $1 does not know $2"
		return 0
	fi
	rm -rf "$work/objects" "$work/failed"
	mkdir "$work/objects"
	run nice sh "$seen/make.sh" "$1" "$common $2 -mprefer-vector-width=512" "$seen" $files
	echo "$1 $2:"
	[ ! -f "$work/failed" ] || echo "$(wc -l <"$work/failed") files did not compile"
	(cd "$work/objects" && "$build/tests/lfi-oracle" --objects *.o)
}

bad=0
for compiler; do
	if [ -n "$only" ]; then
		check "$compiler" "$only" || bad=1
		continue
	fi
	for cpu in x86-64-v4 znver4 sapphirerapids; do
		for level in -O2 -O3; do check "$compiler" "$level -march=$cpu" || bad=1; done
	done
done
exit $bad
