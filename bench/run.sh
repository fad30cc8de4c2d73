#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the benchmarks of one build folder and writes their figures to BUILD/bench/*.json. `./dev bench` calls it.
#
#   bench/run.sh --build BUILD [--short]
set -eu
source=$(cd "$(dirname "$0")/.." && pwd)
build= rounds=7
while [ $# -gt 0 ]; do
	case $1 in
	--build) build=$2; shift ;;
	--short) rounds=3 ;;
	*) echo "usage: bench/run.sh --build BUILD [--short]" >&2; exit 2 ;;
	esac
	shift
done
[ -x "$build/bin/bench-programs" ] || { echo "bench: $build/bin/bench-programs is missing: build the preset release first" >&2; exit 2; }
build=$(cd "$build" && pwd)
mkdir -p "$build/bench"

# What minigzip works on: our own text and machine code, about 16 MB.
if [ ! -f "$build/bench/corpus" ]; then
	cat "$source"/docs/*.md "$source"/lib/*/*.[ch] "$source"/lib/*/*/*.[ch] "$build"/lib/liblfi.so "$build"/programs/lua.lfi >"$build/bench/part"
	while [ "$(cat "$build/bench/corpus.tmp" 2>/dev/null | wc -c)" -lt 16000000 ]; do cat "$build/bench/part" >>"$build/bench/corpus.tmp"; done
	"$build/programs/minigzip.native" -6 <"$build/bench/corpus.tmp" >"$build/bench/corpus.gz"
	mv "$build/bench/corpus.tmp" "$build/bench/corpus"
	rm "$build/bench/part"
fi

echo "== programs: CPU time and code size, native = 1"
"$build/bin/bench-programs" --rounds "$rounds" --json "$build/bench/programs.json" "$build" "$source"
for bench in calls interrupt fault snapshot scale verify; do
	[ -x "$build/bin/bench-$bench" ] || continue
	echo "== $bench"
	case $bench in
	interrupt) "$build/bin/bench-interrupt" --json "$build/bench/interrupt.json" "$build/programs/block.lfi" ;;
	verify) "$build/bin/bench-verify" --json "$build/bench/verify.json" --sizes --threads 2 ;;
	snapshot | scale) "$build/bin/bench-$bench" --json "$build/bench/$bench.json" "$build/examples/add.lfi" ;;
	*) "$build/bin/bench-$bench" --json "$build/bench/$bench.json" ;;
	esac
done

if [ -x "$build/bin/lfi-bind" ] && /usr/bin/python3 -c 'import clang.cindex' 2>/dev/null; then
	echo "== bind"
	rm -f "$build/bench/bind.json"
	mkdir -p "$build/tests"
	JSON="$build/bench/bind.json" "$source/tests/bind/real.sh" bench "$build" "$build"
else
	echo "== bind: left out, it needs python3-clang"
fi

# The Python package of this build, beside ctypes, cffi and wasmtime.
if python3 -c 'import venv' 2>/dev/null; then
	echo "== python"
	"$source/tests/python/setup.sh" "$source" "$build" python3
	"$build/python/venv/bin/pip" install -q --disable-pip-version-check cffi wasmtime
	"$build/python/venv/bin/python" "$source/bench/python/calls.py" --rounds "$rounds" --json "$build/bench/python.json"
fi

# The Go module of this build, beside cgo and wazero, and a server with and without sandboxes; LFI_GO is Go 1.22 or newer.
if [ -n "${LFI_GO:-}" ]; then
	echo "== go"
	: >"$build/bench/go.txt"
	for module in bench/go examples/go/server; do
		(cd "$source/$module" && LFI_BUILD="$build" GOCACHE="$build/go/cache" GOFLAGS=-mod=mod "$LFI_GO" test -run '^$' \
			-bench . -count "$rounds" .) | tee -a "$build/bench/go.txt" | grep ^Benchmark ||
			echo "bench: $module did not run: $build/bench/go.txt says why" >&2
	done
fi
