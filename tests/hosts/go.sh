#!/bin/sh
# SPDX-License-Identifier: MIT
# The tests with hosts in Go: go.sh GO SOURCES BUILD, where the build folder has the library of sandbox.c and `after`. Nothing is
# fetched, and nothing is written outside the build folder.
set -eu
go=$1 sources=$2 build=$3

export GOENV=off GOFLAGS=-mod=mod GOWORK=off GOPROXY=off GOTOOLCHAIN=local GOCACHE="$build/go-cache" GOPATH="$build/go-path"
export CGO_ENABLED=1 CGO_CFLAGS="-O1 -I$sources" CGO_LDFLAGS="-L$build -Wl,-rpath,$build"
"$go" version
(cd "$sources/go" && "$go" test -count=1 -v .)
(cd "$sources/goshared" && "$go" build -buildmode=c-shared -o "$build/goshared.so" .)
"$build/after" "$build/goshared.so"
echo "after: ok"
