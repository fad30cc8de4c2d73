#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh [HARNESS...]: CBMC over the harnesses of this folder, all of them unless some are named. What is bounded is in
# docs/security.md.
# Debian 11 and 13 have a package cbmc, 12 has none: there, that of 13 is fetched with apt-get into build/cbmc, together with
# the C library that it was linked with, and nothing is installed. apt-get checks signatures as always.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=$PWD/build/cbmc

fetch() {
	local options name
	mkdir -p "$dir"/apt/{lists/partial,cache/archives/partial} "$dir"/packages
	: >"$dir/apt/status"
	cat >"$dir/apt/trixie.sources" <<-'SOURCES'
		Types: deb
		URIs: http://deb.debian.org/debian
		Suites: trixie
		Components: main
		Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
	SOURCES
	options=(-qq -o Dir::Etc::sourcelist="$dir/apt/trixie.sources" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$dir/apt/lists"
		-o Dir::Cache="$dir/apt/cache" -o Dir::State::status="$dir/apt/status" -o APT::Sandbox::User=root)
	apt-get "${options[@]}" update
	(cd "$dir/packages" && apt-get "${options[@]}" download cbmc minisat libc6 libgcc-s1 libstdc++6 zlib1g)
	for name in "$dir"/packages/*.deb; do dpkg -x "$name" "$dir/root"; done
}

if command -v cbmc >/dev/null; then
	cbmc=(cbmc)
else
	[ -x "$dir/root/usr/bin/cbmc" ] || { echo "cbmc: fetching it from Debian 13 into build/cbmc"; fetch; }
	lib=$dir/root/usr/lib
	cbmc=("$lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$lib/x86_64-linux-gnu:$lib" "$dir/root/usr/bin/cbmc")
fi

# harness | sources | options
harnesses='
bitmap | verify.c                | --unwind 2
decode | x64/decode.c x64/table.c | --unwind 42 --object-bits 12
'

status=0
while IFS='|' read -r name sources options; do
	name=$(echo $name)
	[ -n "$name" ] || continue
	case " $* " in "  " | *" $name "*) ;; *) continue ;; esac
	files=()
	for source in $sources; do files+=("lib/verify/$source"); done
	begin=$SECONDS
	if "${cbmc[@]}" "tests/cbmc/$name.c" "${files[@]}" -I include -I lib/verify -I lib/verify/x64 $options --unwinding-assertions \
		--bounds-check --pointer-check --pointer-overflow-check --signed-overflow-check --undefined-shift-check \
		--div-by-zero-check >"/tmp/lfi-cbmc-$$" 2>&1; then
		echo "$name: $(grep -E '^\*\* [0-9]' "/tmp/lfi-cbmc-$$"), $((SECONDS - begin)) s"
	else
		grep -E 'FAILURE|error|^\*\* ' "/tmp/lfi-cbmc-$$" | head -n 20
		echo "$name: failed"
		status=1
	fi
	rm -f "/tmp/lfi-cbmc-$$"
done <<<"$harnesses"
exit $status
