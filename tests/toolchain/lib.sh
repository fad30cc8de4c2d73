# SPDX-License-Identifier: MIT
# What the shell tests of the toolchain share: `. lib.sh BUILD`. Each runs in a temporary folder and ends with `finish`. A check's
# name is a sentence that is true when it passes.
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
cc=$build/bin/lfi-cc
unset LFI_SYSROOT LFI_CC_COMPILER
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# TMPDIR is separate, so that what lfi-cc leaves behind shows.
mkdir "$folder/tmp" "$folder/work"
export TMPDIR="$folder/tmp"
cd "$folder/work"
failed=0 passed=0

good() { passed=$((passed + 1)); }
bad() {
	failed=$((failed + 1))
	printf 'FAILED: %s\n' "$1"
	[ ! -s "$folder/log" ] || sed 's/^/    /' "$folder/log" | tail -n 20
}

# holds SENTENCE COMMAND...: exit status 0.
holds() {
	sentence=$1
	shift
	if "$@" >"$folder/log" 2>&1; then good; else bad "$sentence"; fi
}

# fails SENTENCE STATUS TEXT COMMAND...: that exit status, and TEXT in what it says.
fails() {
	sentence=$1 status=$2 text=$3
	shift 3
	got=0
	"$@" >"$folder/log" 2>&1 || got=$?
	if [ $got = "$status" ] && grep -qF -e "$text" "$folder/log"; then good; else bad "$sentence (status $got)"; fi
}

# says SENTENCE TEXT COMMAND...: exit status 0 and TEXT in the output.
says() {
	sentence=$1 text=$2
	shift 2
	if "$@" >"$folder/log" 2>&1 && grep -qF -e "$text" "$folder/log"; then good; else bad "$sentence"; fi
}

# lacks SENTENCE TEXT COMMAND...: exit status 0 and TEXT not in the output.
lacks() {
	sentence=$1 text=$2
	shift 2
	if "$@" >"$folder/log" 2>&1 && ! grep -qF -e "$text" "$folder/log"; then good; else bad "$sentence"; fi
}

same() {
	: >"$folder/log"
	if [ "$2" = "$3" ]; then good; else bad "$1: '$2' is not '$3'"; fi
}

compilers() {
	for compiler in gcc clang; do
		if command -v $compiler >/dev/null; then echo $compiler; else echo "skipped: no $compiler here" >&2; fi
	done
}

finish() {
	printf '%d checks passed, %d failed\n' $passed $failed
	[ $failed = 0 ] && [ $passed -gt 0 ]
}
