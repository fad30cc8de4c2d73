#!/bin/sh
# SPDX-License-Identifier: MIT
# toolchain/fetch.sh hands out only files whose checksum is pinned. Nothing here needs a network.
set -u
. "$(dirname "$0")/lib.sh"

# A copy of the script beside a table of our own, and an apt-get that serves a file.
mkdir tool apt
cp "$source/toolchain/fetch.sh" tool
echo content >apt/thing_1.orig.tar.gz
sum=$(sha256sum apt/thing_1.orig.tar.gz | cut -d ' ' -f 1)
echo "thing source thing thing_1.orig.tar.gz $sum" >tool/sources.txt
cat >apt/apt-get <<END
#!/bin/sh
case "\$*" in
*indextargets*) echo "Debian $PWD/apt/debian.sources:1" ;;
*update*) cat "$PWD"/down/apt/parts/* >"$PWD/seen" ;;
*source*) cp "$PWD/apt/thing_1.orig.tar.gz" . ;;
esac
END
printf '#!/bin/sh\necho "main='\''%s/apt/sources.list'\''"; echo "parts='\''%s/apt/'\''"\n' "$PWD" "$PWD" >apt/apt-config
chmod +x apt/apt-get apt/apt-config
printf 'Types: deb\nURIs: http://mirror.example/debian\nSigned-By: /key\n' >apt/debian.sources
printf 'deb http://other.example/ x main\n' >apt/other.list
fetch() { env PATH="$PWD/apt:$PATH" tool/fetch.sh "$@"; }

says "a file is fetched" down/thing_1.orig.tar.gz fetch thing down
says "from the user's mirror, source packages switched on" "Types: deb-src" cat seen
says "with the user's key" "Signed-By: /key" cat seen
lacks "other people's archives are left out" other.example cat seen
rm apt/thing_1.orig.tar.gz
says "what was fetched is not fetched again" down/thing_1.orig.tar.gz fetch thing down
echo tampered >down/thing_1.orig.tar.gz
echo tampered >apt/thing_1.orig.tar.gz
fails "a file with another checksum is refused" 1 "none of those pinned" fetch thing down
says "LFI_<NAME>_TARBALL names a file to use" here.tar.gz sh -c "echo content >here.tar.gz; LFI_THING_TARBALL=here.tar.gz tool/fetch.sh thing down"
fails "its checksum counts, too" 1 "none of those pinned" env LFI_THING_TARBALL=apt/thing_1.orig.tar.gz tool/fetch.sh thing down
fails "and it must be there" 1 "no such file" env LFI_THING_TARBALL=missing tool/fetch.sh thing down
fails "a name without a row is an error" 1 "no row for 'nothing'" fetch nothing down
rm apt/thing_1.orig.tar.gz down/thing_1.orig.tar.gz
fails "a failing download is an error that says what to do" 1 "set LFI_THING_TARBALL" fetch thing down

# The real table: every row has five fields and a checksum.
holds "each row of the table is complete" awk '!/^#/ && (NF != 5 || length($5) != 64) { bad = 1 } END { exit bad }' "$source/toolchain/sources.txt"
finish
