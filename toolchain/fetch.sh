#!/bin/sh
# SPDX-License-Identifier: MIT
# Fetches one file of toolchain/sources.txt: `fetch.sh NAME DIRECTORY` prints the path of a file whose
# checksum is pinned there. The build of the sysroot, of the demo programs and the torture runner call it.
#
# The archive that the user's apt is configured for serves it. apt's configuration, lists and caches stay as they are:
# everything apt writes goes to DIRECTORY/apt, and the list of sources is a copy of the user's (with source
# packages switched on). The environment variable LFI_<NAME>_TARBALL names a file to use instead.
set -eu

die() {
	printf 'fetch: %s\n' "$*" >&2
	exit 1
}

[ $# = 2 ] || { echo "usage: fetch.sh NAME DIRECTORY" >&2; exit 2; }
name=$1
mkdir -p "$2"
directory=$(cd "$2" && pwd)
table=$(cd "$(dirname "$0")" && pwd)/sources.txt

# Rows of the table for this name: name kind package file sha256.
rows=$(awk -v name="$name" '!/^#/ && $1 == name' "$table")
[ -n "$rows" ] || die "$table has no row for '$name'"
kind=$(printf '%s\n' "$rows" | awk 'NR == 1 { print $2 }')
package=$(printf '%s\n' "$rows" | awk 'NR == 1 { print $3 }')

# pinned FILE: whether its checksum is one of this name's rows.
pinned() {
	sum=$(sha256sum "$1") || die "cannot read $1"
	printf '%s\n' "$rows" | grep -q " ${sum%% *}\$"
}

# check FILE: explains a checksum that is not pinned.
check() {
	pinned "$1" && return
	known=$(printf '%s\n' "$rows" | awk '{ print "    " $4 "  sha256 " $5 }')
	die "$1 has sha256 ${sum%% *}, which is none of those pinned in toolchain/sources.txt for $name:
$known"
}

variable=LFI_$(printf '%s' "$name" | tr 'a-z' 'A-Z')_TARBALL
override=$(printenv "$variable" || true)
if [ -n "$override" ]; then
	[ -f "$override" ] || die "$variable=$override: no such file"
	check "$override"
	printf '%s\n' "$override"
	exit
fi

# One fetch at a time for each directory: several builds may share it.
exec 9>"$directory/.lock"
flock 9

for file in $(printf '%s\n' "$rows" | awk '{ print $4 }'); do
	if [ -f "$directory/$file" ] && pinned "$directory/$file"; then
		printf '%s\n' "$directory/$file"
		exit
	fi
done
command -v apt-get >/dev/null || die "$package is not there and there is no apt-get to fetch it with: set $variable to a file"

# The user's lists of sources that belong to the distribution itself: those apt knows to be Debian's, or, before the first
# `apt-get update`, all of them.
apt=$directory/apt
mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/get"
rm -f "$apt"/parts/* "$apt"/get/*
eval "$(apt-config shell main Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"
parts=${parts%/}
ours=$(apt-get indextargets --format '$(ORIGIN) $(SOURCESENTRY)' 2>/dev/null | sed -n 's/^Debian \(.*\):[0-9]*$/\1/p' | sort -u)
types=deb-src
[ "$kind" = source ] || types=deb
for list in "$main" "$parts"/*.list "$parts"/*.sources; do
	[ -f "$list" ] || continue
	[ -z "$ours" ] || printf '%s\n' "$ours" | grep -qxF "$list" || continue
	sed -e "s/^Types:.*/Types: $types/" -e "s/^deb\(-src\)\{0,1\}\([[:space:]]\)/$types\2/" "$list" >"$apt/parts/$(basename "$list")"
done
[ -n "$(ls "$apt/parts")" ] || die "apt has no sources configured: set $variable to a file"

cat >"$apt/apt.conf" <<END
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$apt/parts";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
Dir::Cache::archives "$apt/cache/archives";
APT::Sandbox::User "root";
APT::Get::List-Cleanup "true";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::DEP-11-icons;
#clear Acquire::IndexTargets::deb::DEP-11-icons-small;
#clear Acquire::IndexTargets::deb::DEP-11-icons-large;
END

echo "fetch: getting $package from the distribution's archive" >&2
log=$apt/log
apt-get -c "$apt/apt.conf" -qq update >"$log" 2>&1 || true
cd "$apt/get"
if [ "$kind" = source ]; then
	apt-get -c "$apt/apt.conf" -qq source --download-only --tar-only "$package" >>"$log" 2>&1 || failed=yes
else
	apt-get -c "$apt/apt.conf" -qq download "$package" >>"$log" 2>&1 || failed=yes
fi
if [ "${failed:-no}" = yes ]; then
	sed 's/^/    /' "$log" >&2
	die "could not get $package: set $variable to a file"
fi
for file in *; do
	case $file in *.orig.tar.* | *.deb) ;; *) continue ;; esac
	check "$apt/get/$file"
	wanted=$(printf '%s\n' "$rows" | awk -v sum="${sum%% *}" '$5 == sum { print $4 }')
	mv "$file" "$directory/$wanted"
	printf '%s\n' "$directory/$wanted"
	exit
done
die "apt-get fetched no archive for $package"
