#!/bin/sh
# SPDX-License-Identifier: MIT
# The verifier as a library of its own: what it defines, what it asks for, that it works without a C library and that
# its sources compile as a kernel compiles its own.
#
#   tests/install/verifier.sh SOURCE LIBRARY
set -eu
source=$1 library=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
cd "$work"

wants=$(nm -u "$library" | awk '$1 == "U" { print $2 }' | grep -vxE 'memcpy|memmove|memset|memcmp' || true)
[ -z "$wants" ] || { echo "liblfi-verify.a asks for: $wants" >&2; exit 1; }
gives=$(nm -g --defined-only "$library" | awk 'NF == 3 { print $3 }' | sort | tr '\n' ' ')
[ "$gives" = "lfi_cpu_feature_name lfi_verify lfi_verify_finish lfi_verify_part lfi_verify_rule_name lfi_verify_scratch_size " ] ||
	{ echo "liblfi-verify.a defines: $gives" >&2; exit 1; }
echo "defines its own functions, asks for memory functions only: ok"

writable=$(objdump -h "$library" | awk '$2 ~ /^\.(data|bss|tdata|tbss)$/ && $3 !~ /^0+$/ { print $2 }')
[ -z "$writable" ] || { echo "liblfi-verify.a has writable data: $writable" >&2; exit 1; }
echo "keeps no state: ok"

cc -std=c17 -Wall -Wextra -Werror -Wno-unused-parameter -O2 -ffreestanding -fno-stack-protector -nostdlib -static \
	-I"$source/include" "$source/tests/install/freestanding.c" "$library" -o freestanding
./freestanding || { echo "without a C library: wrong verdict $?" >&2; exit 1; }
echo "works without a C library: ok"

for file in "$source"/lib/verify/*.c "$source"/lib/verify/x64/*.c; do
	cc -std=gnu11 -O2 -ffreestanding -fno-stack-protector -fno-pic -mcmodel=kernel -mno-red-zone -mgeneral-regs-only -Werror=frame-larger-than=3072 \
		-I"$source/include" -iquote "$source/lib/verify" -iquote "$source/lib/verify/x64" -c "$file" -o kernel.o
done
echo "compiles with a kernel's flags: ok"
