#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes inputs that fuzzing starts from, OUT/TARGET/*: programs, their code behind a byte of options, and assembly
# text behind a byte of options.
#
#   fuzz/seeds.sh LFI_CC SOURCE OUT
set -eu
lfi_cc=$1 source=$2 out=$3
rm -rf "$out"
mkdir -p "$out/elf_fuzz" "$out/load_fuzz" "$out/verify_fuzz" "$out/rewrite_fuzz"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

for level in 0 2 s; do
	"$lfi_cc" -O$level -nostdlib -ffreestanding -fno-stack-protector "$source" -o "$work/program"
	"$lfi_cc" -O$level -nostdlib -ffreestanding -fno-stack-protector -s "$source" -o "$work/stripped"
	for name in program stripped; do
		cp "$work/$name" "$out/elf_fuzz/$name-O$level"
		cp "$work/$name" "$out/load_fuzz/$name-O$level"
	done
	objcopy -O binary -j .text "$work/program" "$work/code"
	printf '\000' | cat - "$work/code" >"$out/verify_fuzz/code-O$level"
	gcc -O$level -ffreestanding -fPIE -S "$source" -o "$work/text"
	# Every option, alone and in position-oblivious code: rewrite_fuzz.c says which bit is which.
	for options in 000 001 002 003 004 007 010 013 020 023 040 043 100 103 200 203; do
		printf "\\$options" | cat - "$work/text" >"$out/rewrite_fuzz/text-O$level-$options"
	done
done
