#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests of the Go module. Nothing is fetched, and nothing is written outside the build folder.
#
#   tests/go/run.sh GO SOURCE BUILD WHAT
#
#   vet     formatting, generated code, go vet
#   test    all tests, and each fuzz target with its seeds
#   race    the same under the race detector
#   gc      the same with a collector that never rests, and checks of what goes to C
#   system  the same with an installed liblfi
#   examples  those of examples/go, and that of the README
#   stress  a thousand goroutines in two hundred sandboxes, LFI_STRESS_SECONDS long
set -eu
go=$1 source=$2 build=$3 what=$4
folder=$build/go
mkdir -p "$folder"
export GOENV=off GOFLAGS=-mod=mod GOWORK=off GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=1
export GOCACHE="$folder/cache" GOPATH="$folder/path" LFI_BUILD="$build"
PATH=$(dirname "$go"):$PATH
cd "$source/bindings/go"
"$go" version

case $what in
vet)
	bad=$(gofmt -l .)
	[ -z "$bad" ] || { echo "gofmt: $bad" >&2; exit 1; }
	"$go" vet ./...
	# gen.go writes into the current folder.
	mkdir -p "$folder/gen"
	cp gen.go "$folder/gen"
	(cd "$folder/gen" && "$go" run gen.go && gofmt -w func_gen.go)
	cmp func_gen.go "$folder/gen/func_gen.go"
	;;
test) "$go" test -count=1 -timeout 10m ./... ;;
race) "$go" test -count=1 -timeout 10m -race ./... ;;
gc) GOGC=1 GODEBUG=cgocheck=1 "$go" test -count=1 -timeout 10m ./... ;;
system)
	rm -rf "$folder/prefix"
	cmake --install "$build" --prefix "$folder/prefix" >/dev/null
	config=$(dirname "$(find "$folder/prefix" -name lfi.pc)")
	export PKG_CONFIG_PATH="$config" LD_LIBRARY_PATH="${config%/pkgconfig}"
	"$go" test -count=1 -timeout 10m -tags lfi_system ./...
	;;
examples)
	cd "$source/examples/go/server"
	"$go" vet .
	"$go" test -count=1 -timeout 5m .
	# The first minute of the README.
	rm -rf "$folder/readme"
	mkdir -p "$folder/readme"
	cd "$folder/readme"
	first() { awk -v mark="\`\`\`$1" '$0 == mark { on = 1; next } /^```$/ { if (on) exit } on' "$source/bindings/go/README.md"; }
	first c | "$build/bin/lfi-cc" -xc - -O2 -o add.lfi
	first go >main.go
	printf 'module readme\n\ngo 1.22\n\nrequire %s v0.0.0\n\nreplace %s => %s\n' github.com/liblfi/lfi/bindings/go \
		github.com/liblfi/lfi/bindings/go "$source/bindings/go" >go.mod
	"$go" run . >said
	grep -qx '42 <nil>' said && grep -q '^lfi: guard hit in crash' said || { cat said >&2; exit 1; }
	;;
stress) "$go" test -count=1 -timeout 60m -run TestStress -v . ;;
*) echo "run.sh: no test '$what'" >&2; exit 2 ;;
esac
