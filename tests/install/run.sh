#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs a build into an empty prefix and builds programs against that copy alone: with pkg-config, with the
# CMake package, in C and in C++.
#
#   tests/install/run.sh SOURCE BUILD
set -eu
source=$1 build=$2
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT INT TERM

cmake --install "$build" --prefix "$prefix" >/dev/null
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name lfi.pc)")
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir lfi)

cd "$prefix"
cc "$source/tests/install/client.c" -o client-pc $(pkg-config --cflags --libs lfi)
LD_LIBRARY_PATH=$libdir ./client-pc
cc "$source/examples/verifier/check.c" -o verifier-pc $(pkg-config --cflags --libs lfi-verify)
./verifier-pc | grep -q 'good: accepted'
echo "built with pkg-config: ok"

c++ -x c++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only -include lfi/lfi.h /dev/null -I"$prefix/include"
echo "headers are C++: ok"

mkdir cmake-client
cat >cmake-client/CMakeLists.txt <<EOF
cmake_minimum_required(VERSION 3.21)
project(client C)
find_package(lfi 1.0 REQUIRED)
add_executable(client $source/tests/install/client.c)
target_link_libraries(client lfi::lfi)
add_executable(client-static $source/tests/install/client.c)
target_link_libraries(client-static lfi::static)
add_executable(verifier $source/examples/verifier/check.c)
target_link_libraries(verifier lfi::verify)
EOF
cmake -S cmake-client -B cmake-build -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build cmake-build >/dev/null
./cmake-build/client
./cmake-build/client-static
./cmake-build/verifier | grep -q 'good: accepted'
echo "built with the CMake package: ok"

for tool in lfi-run lfi-verify lfi-rewrite lfi-cc; do
	LD_LIBRARY_PATH=$libdir bin/$tool --version >/dev/null
done
if [ -x bin/lfi-bind ]; then
	bin/lfi-bind --version >/dev/null
	echo "installed lfi-bind: ok"
fi
if [ -d share/lfi/sysroot ]; then
	printf '#include <stdio.h>\nint main(void) { puts("installed"); return 0; }\n' >hello.c
	bin/lfi-cc -O2 hello.c -o hello.lfi
	[ "$(bin/lfi-run hello.lfi)" = installed ]
	echo "installed lfi-cc and lfi-run: ok"
fi
unexported=$(nm -D --defined-only "$(find "$libdir" -name 'liblfi.so.*.*')" | awk '$2 != "A" && $3 !~ /^lfi_[a-z_]*@@LFI_1\.[0-9]+$/ { print $3 }')
[ -z "$unexported" ] || { echo "exported without a version or by mistake: $unexported" >&2; exit 1; }
echo "exports are versioned: ok"
