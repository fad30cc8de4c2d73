#!/bin/sh
# SPDX-License-Identifier: MIT
# abi.sh refuses what breaks programs and accepts what does not: each on a small library with the real headers.
#
#   tests/abi/gate.sh SOURCE
set -eu
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
failed=0

printf 'LFI_1.0 { global: lfi_*; local: *; };\n' >"$work/1.0.map"

# library COMPILER: of $work/include and stub.c, as $work/lib.so.
library() {
	"$1" -g -O1 -fPIC -shared -Wl,--version-script="$work/1.0.map" -Wl,-soname,liblfi.so.1 -I"$work/include" \
		"$work/stub.c" -o "$work/lib.so"
}

fresh() {
	rm -rf "$work/include" "$work/stub.c"
	cp -r "$source/include" "$work/include"
	cp "$source/tests/abi/stub.c" "$work/stub.c"
}

check() {
	"$source/tests/abi/abi.sh" --library "$work/lib.so" --headers "$work/include" --description "$work/abi" >"$work/out" 2>&1
}

# row EXPECTED-STATUS WHAT FILE SED-SCRIPT [FILE SED-SCRIPT]: changes what `fresh` makes; the change must be one.
row() {
	local expected=$1 what=$2 status=0
	shift 2
	fresh
	while [ $# -gt 0 ]; do
		cp "$work/$1" "$work/before"
		sed -i "$2" "$work/$1"
		! cmp -s "$work/before" "$work/$1" || { echo "'$what' changes nothing in $1" >&2; failed=1; }
		shift 2
	done
	library cc
	check || status=$?
	if [ $status != "$expected" ]; then
		echo "$what: status $status, not $expected" >&2
		cat "$work/out" >&2
		failed=1
	fi
}

fresh
library cc
mkdir "$work/abi"
cp "$source/abi/liblfi.abignore" "$work/abi"
"$source/tests/abi/abi.sh" --library "$work/lib.so" --headers "$work/include" --description "$work/abi" --update >/dev/null
check
grep -q 'as described' "$work/out"
if command -v clang >/dev/null; then
	library clang
	check || { echo "clang's library differs from gcc's:" >&2; cat "$work/out" >&2; exit 1; }
fi

core=include/lfi/lfi_core.h
row 1 "a function is gone" stub.c '/^lfi_error_name/s/lfi_error_name/static_name/' $core '/lfi_error_name/s/lfi_error_name/static_name/'
row 1 "a member has another type" $core '/^struct LFIError {/,/^}/s/int code/long code/'
row 1 "a member is gone" $core '/^struct LFIOptions {/,/^}/{/bool no_rdtsc/d}'
row 1 "a member is in the middle" $core '/^struct LFIOptions {/,/^}/s/^\tbool verbose/\tsize_t more;\n&/'
row 1 "a member is in what was padding" $core '/^struct LFIOptions {/,/^}/s/^\tunsigned bundle;.*/&\n\tbool more;/'
row 1 "members have changed places" $core '/^struct LFIFault {/,/^}/{s/int signal;/int c_;/;s/int code;/int signal;/;s/c_;/code;/}'
row 1 "an array has another length" $core 's/char message\[508\]/char message[1020]/'
row 1 "a struct that is not sized grows" include/lfi/lfi_arch.h 's/uint64_t xmm\[16\]\[2\];/&\n\tuint64_t more;/'
row 1 "a parameter has another type" $core 's/lfi_error_name(int code)/lfi_error_name(long code)/' stub.c 's/lfi_error_name(int code)/lfi_error_name(long code)/'
row 1 "a result has another type" $core 's/^LFI_API const char \*lfi_error_name/LFI_API int lfi_error_name/' stub.c 's/^const char \*/int/;s/return code ? "" : NULL/return code/'
row 1 "a parameter more" $core 's/lfi_error_name(int code)/lfi_error_name(int code, int more)/' stub.c 's/lfi_error_name(int code)/lfi_error_name(int code, int more)/'
row 1 "a callback has another parameter" $core 's/(\*LFISysHandler)(struct LFIContext \*ctx)/(*LFISysHandler)(struct LFIContext *ctx, int more)/' stub.c 's/handler(NULL)/handler(NULL, 0)/'
row 1 "a type of an address has another size" $core 's/^typedef uint64_t lfiptr/typedef uint32_t lfiptr/'
row 1 "an error code is in the middle" $core 's/^\tLFI_ERR_NOSPACE,/\tLFI_ERR_MORE,\n&/'
row 1 "an enumerator is gone" include/lfi/lfi_verify.h '/^\tLFI_RULE_ARGUMENT,/d'
row 1 "a flag has another value" $core 's/LFI_MAP_FIXED = 0x10,/LFI_MAP_FIXED = 0x40,/'
row 1 "a macro has another value" $core 's/LFI_INVOKE_COUNTED 0x10000u/LFI_INVOKE_COUNTED 0x20000u/'
row 0 "a function more" stub.c '$aint lfi_more(void);\nint lfi_more(void) { return 1; }'
row 0 "a sized struct grows at its end" $core '/^struct LFIOptions {/,/^}/s/^};/\tsize_t more;\n};/'
row 0 "the struct of a result grows at its end" $core '/^struct LFIFault {/,/^}/s/^};/\tsize_t more[4];\n};/'
row 0 "an error code more at the end" $core 's/^\tLFI_ERR_UNSUPPORTED,/&\n\tLFI_ERR_MORE,/'
row 0 "a processor feature more at the end" include/lfi/lfi_verify.h 's/^\tLFI_CPU_COUNT,/\tLFI_CPU_MORE,\n&/'
row 0 "an opaque struct changes" stub.c '/^#include/astruct LFIEngine { int all; };'

# Only --force describes an incompatible change.
row 1 "a member has another type" $core '/^struct LFIError {/,/^}/s/int code/long code/'
cp -r "$work/abi" "$work/kept"
! "$source/tests/abi/abi.sh" --library "$work/lib.so" --headers "$work/include" --description "$work/abi" --update >/dev/null 2>&1
cmp "$work/abi/liblfi.abi" "$work/kept/liblfi.abi"
"$source/tests/abi/abi.sh" --library "$work/lib.so" --headers "$work/include" --description "$work/abi" --update --force >/dev/null 2>&1
check
exit $failed
