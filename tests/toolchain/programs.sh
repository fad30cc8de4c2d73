#!/bin/sh
# SPDX-License-Identifier: MIT
# Programs of lfi-cc verify, and behave in a sandbox as their native twins do: both compilers, with and without optimisation,
# with single-thread returns, with inputs, arguments and environment.
set -u
. "$(dirname "$0")/lib.sh"
export LFI_TEST="from outside"

# behaves NAME FLAGS: the sandboxed program says and returns what the native one does.
behaves() {
	name=$1 flags=$2 run=$3
	shift 3
	$compile $flags "$here/programs/$name.c" -o "$name.lfi" -lm -pthread || return 1
	"$build/bin/lfi-verify" $run "$name.lfi" || return 1
	LFI_CC_COMPILER=$compiler "$build/native-sysroot/bin/native-cc" $flags "$here/programs/$name.c" -o "$name.native" -lm -pthread || return 1
	printf 'one\ntwo\n' | "./$name.native" first 'second one' >native.out 2>native.err
	expected=$?
	printf 'one\ntwo\n' | "$build/bin/lfi-run" $run --env LFI_TEST="$LFI_TEST" "$name.lfi" first 'second one' >lfi.out 2>lfi.err
	got=$?
	[ $got = $expected ] || { echo "status $got instead of $expected"; cat lfi.err; return 1; }
	cmp native.err lfi.err && cmp native.out lfi.out || { diff native.out lfi.out | head -n 10; return 1; }
}

for compiler in $(compilers); do
	for file in "$here"/programs/*.c; do
		name=$(basename "$file" .c)
		compile="$cc --lfi-compiler=$compiler"
		for flags in -O0 "-O2 -g" "-O3 -march=x86-64-v2" "-Os -fno-omit-frame-pointer"; do
			holds "$compiler $flags: $name behaves" behaves "$name" "$flags" ""
		done
		[ "$name" != threads ] || continue
		compile="$cc --lfi-compiler=$compiler --single-thread"
		holds "$compiler, single-thread: $name behaves" behaves "$name" -O2 --single-thread
		compile="$cc --lfi-compiler=$compiler --no-segue"
		holds "$compiler, without segue: $name behaves" behaves "$name" -O2 ""
	done
done

# AVX2 where the processor has it
if grep -qw avx2 /proc/cpuinfo; then
	for compiler in $(compilers); do
		compile="$cc --lfi-compiler=$compiler"
		for name in memory numbers; do
			holds "$compiler -march=x86-64-v3: $name behaves" behaves $name "-O3 -march=x86-64-v3 -ffp-contract=off" ""
		done
	done
else
	echo "skipped: no AVX2 here"
fi

# AVX-512 where the processor has it
if grep -qw avx512vl /proc/cpuinfo; then
	for compiler in $(compilers); do
		compile="$cc --lfi-compiler=$compiler"
		for name in memory numbers kernels; do
			holds "$compiler -march=x86-64-v4: $name behaves" \
				behaves $name "-O3 -march=x86-64-v4 -mprefer-vector-width=512 -ffp-contract=off" ""
		done
		objdump -d kernels.lfi >disassembly
		holds "$compiler -march=x86-64-v4: there are vectors of 512 bits" grep -q zmm disassembly
		holds "$compiler -march=x86-64-v4: and masks" grep -q '{%k[1-7]}' disassembly
		says "$compiler -march=x86-64-v4: lfi-verify says what they need" 'runs on x86-64-v4' \
			"$build/bin/lfi-verify" --features kernels.lfi
	done
else
	echo "skipped: no AVX-512 here"
fi

# Lua and minigzip, from their own makefiles
lua() { "$build/bin/lfi-run" $options --dir "/s=$source/examples:ro" "$build/programs/lua$suffix" "$@"; }
squeeze() { "$build/bin/lfi-run" $options "$build/programs/minigzip$suffix" "$@"; }
for suffix in .lfi .st.lfi; do
	options=
	[ $suffix = .lfi ] || options=--single-thread
	holds "lua$suffix verifies" "$build/bin/lfi-verify" $options "$build/programs/lua$suffix"
	holds "minigzip$suffix verifies" "$build/bin/lfi-verify" $options "$build/programs/minigzip$suffix"
	for script in 'print(_VERSION)' 'print(pcall(error, "caught"))' 'local t = {} for i = 1, 1e5 do t[i] = i * 1.5 end print(#t, t[77777])' \
		'print(string.format("%5.2f|%q|%x", math.pi, "a\nb", 255), ("x"):rep(20, "-"))' \
		'local f = coroutine.wrap(function(a) while true do a = coroutine.yield(a * 2) end end) print(f(1), f(2), f(21))' \
		'print(("hello world"):gsub("o", "0"), ("k=v, x=y"):match("(%w+)=(%w+)"))' 'print(1 // 0.0, -7 // 2, 7 % -3, 2^0.5, 1 << 62, "10" + 5)'; do
		same "lua$suffix does what native Lua does: $script" "$("$build/programs/lua.native" -e "$script" 2>&1)" "$(lua -e "$script" 2>&1)"
	done
	cp "$build/programs/lua$suffix" big
	squeeze <big >big.gz
	holds "minigzip$suffix compresses" test $? = 0
	holds "gzip understands it" gzip -t big.gz
	squeeze -d <big.gz >big.back
	holds "minigzip$suffix gives it back" cmp big big.back
	"$build/programs/minigzip.native" <big >big2.gz
	holds "as native minigzip does" cmp big.gz big2.gz
done
finish
