#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds one program from its Debian source package with any C compiler, by the program's own configure script and
# makefile. Called by CMake, for lfi-cc and for the plain compiler that it is compared with.
set -eu

die() {
	printf 'programs: %s\n' "$*" >&2
	exit 1
}

[ $# = 5 ] || { echo "usage: programs.sh lua|minigzip|sqlite CC DOWNLOADS WORK OUTPUT" >&2; exit 2; }
program=$1 cc=$2 downloads=$3 work=$4 output=$5
toolchain=$(cd "$(dirname "$0")" && pwd)
case $program in
lua) source=lua ;;
minigzip) source=zlib ;;
sqlite) source=sqlite ;;
*) die "no program '$program'" ;;
esac
tarball=$("$toolchain/fetch.sh" $source "$downloads")
rm -rf "$work"
mkdir -p "$work"
tar -xf "$tarball" -C "$work" --strip-components=1
cd "$work"
log=$work/build.log

build() {
	"$@" >>"$log" 2>&1 || { tail -n 40 "$log" >&2; die "$program: failed: $* (all of it: $log)"; }
}

case $program in
lua)
	build make -C src CC="$cc" SYSCFLAGS=-DLUA_USE_POSIX lua
	binary=src/lua
	;;
minigzip)
	build env CC="$cc" CFLAGS=-O2 ./configure --static
	build make minigzip
	binary=minigzip
	;;
sqlite)
	# The makefile puts all of it into one file, which takes tclsh; from there on a plain compile is enough.
	build ./configure --disable-tcl --disable-shared --disable-readline
	build make sqlite3.c shell.c
	build $cc -O2 -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_ENABLE_MATH_FUNCTIONS \
		-DSQLITE_ENABLE_FTS4 -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_RTREE -o sqlite sqlite3.c shell.c -lm
	binary=sqlite
	;;
esac
cp "$binary" "$output"
