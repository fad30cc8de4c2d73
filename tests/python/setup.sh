#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the wheel from a build of lfi, lets auditwheel say for which systems it is, and installs it into a clean virtual
# environment that has what the tests need.
#
#   tests/python/setup.sh SOURCE BUILD PYTHON
#
# The environment is BUILD/python/venv. Packages come from the index that pip is configured for.
set -eu
source=$1 build=$2 python=$3
folder=$build/python
venv=$folder/venv
mkdir -p "$folder"

# The requirements, once for each version of them.
if ! cmp -s "$source/tests/python/requirements.txt" "$folder/requirements.txt"; then
	rm -rf "$venv"
	"$python" -m venv "$venv"
	"$venv/bin/pip" install -q --disable-pip-version-check -r "$source/tests/python/requirements.txt"
	cp "$source/tests/python/requirements.txt" "$folder/requirements.txt"
fi

rm -rf "$folder/dist" "$folder/made"
PATH=$venv/bin:$PATH
{
	pip wheel -q --disable-pip-version-check --no-build-isolation --no-deps \
		-w "$folder/made" "$source/bindings/python" \
		--config-settings "build-dir=$folder/wheel" --config-settings "cmake.define.LFI_BUILD=$build" &&
		auditwheel repair -w "$folder/dist" "$folder"/made/lfi-*.whl
} >"$folder/wheel.log" 2>&1 || { cat "$folder/wheel.log" >&2; exit 1; }
pip install -q --disable-pip-version-check --force-reinstall --no-deps "$folder"/dist/lfi-*.whl
echo "python: $(ls "$folder/dist")"
