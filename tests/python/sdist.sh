#!/bin/sh
# SPDX-License-Identifier: MIT
# The sdist has all that a wheel is made of: builds one of it without a network, and runs the start of the README with it.
#
#   tests/python/sdist.sh SOURCE BUILD PYTHON
#
# The build requirements are those of the environment that setup.sh made. Of the sysroot, one variant is enough.
set -eu
source=$1 build=$2 python=$3
folder=$build/python/sdist
PATH=$build/python/venv/bin:$PATH
rm -rf "$folder"
mkdir -p "$folder"

fail() {
	cat "$folder/log" >&2
	echo "sdist: $*" >&2
	exit 1
}

python -m build --sdist --no-isolation --outdir "$folder" "$source/bindings/python" >"$folder/log" 2>&1 || fail "there is none"

# A network namespace of its own has no network. Where the system does not allow that, pip's word must do.
offline="unshare --map-root-user --net"
$offline true 2>/dev/null || { offline= && echo "sdist: no network namespaces here: the network was there, unused by pip"; }
$offline pip wheel --no-index --no-build-isolation --no-deps --no-cache-dir -w "$folder" "$folder"/lfi-*.tar.gz \
	--config-settings cmake.define.LFI_SYSROOT_VARIANTS=default >"$folder/log" 2>&1 || fail "no wheel can be built of it"

"$python" -m venv "$folder/venv"
PATH=$folder/venv/bin:$PATH
pip install -q --disable-pip-version-check "$folder"/lfi-*.whl
cd "$folder"
echo 'int add(int a, int b) { return a + b; }' >add.c
python -m lfi cc add.c -O2 -o add.lfi
python -c 'import lfi; assert lfi.load("add.lfi", header="int add(int a, int b);").add(2, 3) == 5'
