#!/bin/sh
# SPDX-License-Identifier: MIT
# gcc's torture programs in sandboxes: fetches Debian's gcc-12-source (its row in sources.txt), unpacks gcc.c-torture/execute,
# compiles the runner in torture/ and lets it do the rest. The runner's --help lists the options.
set -eu

die() {
	printf 'torture: %s\n' "$*" >&2
	exit 2
}

here=$(cd "$(dirname "$0")" && pwd)
build= suite= previous=
for argument; do
	case $previous in --build) build=$argument ;; --suite) suite=$argument ;; esac
	case $argument in --build=*) build=${argument#*=} ;; --suite=*) suite=${argument#*=} ;; esac
	previous=$argument
done
[ -z "$build" ] || [ -d "$build" ] || die "$build is no build folder"
build=${build:+$(cd "$build" && pwd)}
# Without a build folder there is only --help to answer.
if [ -n "$build" ]; then
	work=$build/torture
	mkdir -p "$work"
else
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
fi

# Unpacks gcc.c-torture/execute from the archive in $1 (the Debian package, or gcc's own archive) as $2.
unpack() {
	rm -rf "$2.new"
	mkdir "$2.new"
	case $1 in
	*.deb) ar p "$1" data.tar.xz | xz -dc | tar -xOf - --wildcards './usr/src/gcc-12/gcc-*.tar.xz' ;;
	*) cat "$1" ;;
	esac | xz -dc | tar -xf - -C "$2.new" --strip-components=5 --wildcards '*/gcc/testsuite/gcc.c-torture/execute/*' ||
		die "cannot unpack $1"
	mv "$2.new" "$2"
}

# fetch: $suite becomes the folder of the programs.
fetch() {
	archive=$("$here/fetch.sh" gcc_source "${LFI_DOWNLOADS:-$here/../build/downloads}") || exit 2
	sum=$(sha256sum "$archive") || exit 2
	suite=$work/suite-$(printf '%.12s' "$sum")
	[ -d "$suite" ] || unpack "$archive" "$suite"
}

# The name is the runner's own until it is complete, so that two scripts at a time do not meet.
if [ ! -x "$work/runner" ] || [ -n "$(find "$here/torture" "$0" -name '*.[ch]' -newer "$work/runner")" ]; then
	${CC:-cc} -std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra -pthread -o "$work/runner.$$" "$here"/torture/*.c || die "cannot compile the runner"
	mv "$work/runner.$$" "$work/runner"
fi
[ -n "$suite" ] || [ -z "$build" ] || fetch
[ -n "$build" ] || { "$work/runner" "$@"; exit; }
exec "$work/runner" --suite "$suite" --excluded "$here/torture/excluded.txt" "$@" --build "$build"
