#!/bin/sh
# SPDX-License-Identifier: MIT
# lfi-cc's options do what a compiler's do: with gcc and with clang.
set -u
. "$(dirname "$0")/lib.sh"

cat >main.c <<'END'
#include <stdio.h>
#include "part.h"
#ifndef NAME
#define NAME "nobody"
#endif
int main(void) { printf("%s %d\n", NAME, part()); return 0; }
END
echo 'int part(void);' >part.h
echo '#include "part.h"
int part(void) { return 42; }' >part.c
echo 'int hand(void); int main(void) { return hand(); }' >callhand.c
printf '\t.text\n\t.globl hand\nhand:\n\tmovl $0, %%eax\n\tret\n' >hand.s
printf '#define ZERO 0\n\t.text\n\t.globl hand\nhand:\n\tmovl $ZERO, %%eax\n\tret\n' >handcpp.S

is_confined() { "$build/bin/lfi-verify" "$@"; }
segments() { [ "$(readelf -lW "$2" | grep -c ' LOAD ')" -eq "$1" ]; }
is_object() { readelf -h "$1" | grep -q 'REL (Relocatable file)'; }
is_rewritten() { grep -qF 'andl $-32' "$1"; }

for compiler in $(compilers); do
	CC="$cc --lfi-compiler=$compiler"
	rm -f ./*.o ./*.d ./*.lfi a.out

	# what to make
	holds "$compiler: -c makes NAME.o here" $CC -O2 -c part.c
	holds "$compiler: that is an object" is_object part.o
	holds "$compiler: -c -o makes the file that is named" $CC -O2 -c part.c -o other.o
	holds "$compiler: several files with -c make an object each" $CC -c main.c part.c
	holds "$compiler: objects link" $CC main.o part.o -o main.lfi
	holds "$compiler: a linked program verifies" is_confined main.lfi
	holds "$compiler: it has a read-only, a code and a data segment" segments 3 main.lfi
	echo 'SECTIONS { .own : { *(.own) } } INSERT AFTER .rela.plt;' >own.ld
	holds "$compiler: -T takes the place of our layout" $CC main.o part.o -T own.ld -o own.lfi
	holds "$compiler: which has another read-only segment" segments 4 own.lfi
	holds "$compiler: as has -Wl,-T" $CC main.o part.o -Wl,-T,own.ld -o own.lfi
	holds "$compiler: which has another read-only segment" segments 4 own.lfi
	holds "$compiler: -Wl,-Ttext-segment does not" $CC main.o part.o -Wl,-Ttext-segment=0 -o own.lfi
	holds "$compiler: it has three segments" segments 3 own.lfi
	holds "$compiler: sources and objects link together" $CC main.c part.o -o main.lfi
	holds "$compiler: without -o the program is a.out" $CC main.c part.c
	holds "$compiler: a.out verifies" is_confined a.out
	holds "$compiler: -S makes rewritten assembly" $CC -O2 -S part.c -o part.lfi.s
	holds "$compiler: it masks the return" is_rewritten part.lfi.s
	says "$compiler: -S -o - writes to standard output" 'andl $-32' $CC -S part.c -o -
	says "$compiler: -E preprocesses" 'int part(void)' $CC -E part.c
	says "$compiler: -E finds the sysroot's headers" 'sysroot/include/stdio.h' $CC -E main.c
	lacks "$compiler: and not the system's" '"/usr/include/stdio.h"' $CC -E main.c
	says "$compiler: -dM lists macros, __LFI__ among them" '#define __LFI__ 1' $CC -E -dM part.c
	holds "$compiler: -fsyntax-only makes nothing" $CC -fsyntax-only part.c
	holds "$compiler: -r links objects to an object" $CC -r main.o part.o -o both.o
	holds "$compiler: that is an object" is_object both.o

	# instructions that cannot be confined
	printf 'void spread(int *restrict a, const int *restrict b, const int *restrict i, int n)\n{\n' >gather.c
	printf '\tfor (int k = 0; k < n; k++)\n\t\ta[i[k]] = b[k];\n\tfor (int k = 0; k < n; k++)\n' >>gather.c
	printf '\t\ta[k] = b[i[k]];\n}\n' >>gather.c
	for arch in x86-64-v3 x86-64-v4; do
		holds "$compiler: loops that a compiler would make gathers of compile for $arch" \
			$CC -O3 -march=$arch -mtune=haswell -mprefer-vector-width=512 -c gather.c
		holds "$compiler: they verify" is_confined gather.o
	done

	# inputs
	holds "$compiler: preprocessed C compiles" sh -c "$CC -E part.c >part2.i && $CC -c part2.i"
	holds "$compiler: assembly is confined" $CC callhand.c hand.s -o hand.lfi
	holds "$compiler: and verifies" is_confined hand.lfi
	holds "$compiler: .S is preprocessed" $CC callhand.c handcpp.S -o hand.lfi
	holds "$compiler: and verifies" is_confined hand.lfi
	holds "$compiler: -x c reads standard input" sh -c "$CC -x c -c - -o stdin.o <part.c"
	says "$compiler: -E - reads standard input" 'int part(void)' sh -c "$CC -E - <part.c"
	holds "$compiler: -x none ends -x" $CC -x c main.c -x none part.o -o main.lfi
	holds "$compiler: archives link" sh -c "ar rc libpart.a part.o && $CC main.c -L. -lpart -o main.lfi"
	holds "$compiler: -l finds the libraries that C programs expect" $CC main.c part.c -lm -lpthread -lrt -ldl -lutil -lcrypt -lresolv -lgcc -lc -o main.lfi

	# preprocessing
	says "$compiler: -D defines" '"somebody"' $CC -E -DNAME='"somebody"' main.c
	says "$compiler: -D takes its argument apart, too" '"somebody"' $CC -E -D NAME='"somebody"' main.c
	says "$compiler: -U undefines" '"nobody"' $CC -E -DNAME='"x"' -UNAME main.c
	mkdir -p include && echo 'int from_include;' >include/extra.h
	says "$compiler: -I is searched" from_include sh -c "echo '#include <extra.h>' | $CC -E -Iinclude -"
	says "$compiler: -isystem is searched" from_include sh -c "echo '#include <extra.h>' | $CC -E -isystem include -"
	says "$compiler: -iquote is searched" from_include sh -c "echo '#include \"extra.h\"' | $CC -E -iquote include -"
	says "$compiler: -idirafter is searched" from_include sh -c "echo '#include <extra.h>' | $CC -E -idirafter include -"
	says "$compiler: -include includes" from_include $CC -E -include include/extra.h part.c
	fails "$compiler: -nostdinc leaves the sysroot's headers out" 1 stdio.h $CC -nostdinc -c main.c

	# dependencies
	says "$compiler: -M prints what the source needs" 'main.o: main.c' $CC -M main.c
	lacks "$compiler: -MM leaves out the sysroot's headers" stdio.h $CC -MM main.c
	says "$compiler: -MM names the others" part.h $CC -MM main.c
	holds "$compiler: -MD writes NAME.d while compiling" $CC -MD -c main.c -o sub.o
	says "$compiler: -MD names the file and the target after -o" 'sub.o: main.c' cat sub.d
	says "$compiler: -MD knows the sysroot's headers" stdio.h cat sub.d
	holds "$compiler: -MMD with -MF writes where it is told" $CC -MMD -MF deps -c main.c
	says "$compiler: the target is the object" 'main.o: main.c' cat deps
	holds "$compiler: -MT names the target" $CC -MMD -MF deps -MT target -c main.c
	says "$compiler: so it does" 'target: main.c' cat deps
	holds "$compiler: -MP adds targets for the headers" $CC -MMD -MP -MF deps -c main.c
	says "$compiler: so it does" 'part.h:' cat deps
	holds "$compiler: -MD while linking writes PROGRAM.d" $CC -MMD main.c part.o -o linked.lfi
	holds "$compiler: linked.d is there" test -s linked.d
	holds "$compiler: -Wp,-MMD goes to the preprocessor" $CC -Wp,-MMD,wp.d -c main.c
	holds "$compiler: wp.d is there" test -s wp.d

	# compiling
	for option in -O0 -O1 -O2 -O3 -Os -g -g3 -ggdb -fPIC -fpic -fPIE -fno-pic -static -static-pie -pie -pthread -pipe -std=c99 \
		-std=gnu17 -Wall -Wextra -Werror -w -pedantic -march=x86-64-v2 -march=x86-64-v3 -mtune=generic -mavx2 -fno-strict-aliasing \
		-fstack-protector-strong -fcf-protection -fomit-frame-pointer -fno-omit-frame-pointer -ffunction-sections -fdata-sections \
		-flto -fvisibility=hidden -fno-common -funroll-loops -fno-plt -static-libgcc -fno-asynchronous-unwind-tables; do
		holds "$compiler: $option compiles and links" $CC $option main.c part.c -o option.lfi
		holds "$compiler: and with $option the program verifies" is_confined option.lfi
	done
	fails "$compiler: an unknown option is an error" 1 no-such-option $CC -fno-such-option -c part.c
	fails "$compiler: -Werror makes warnings errors" 1 unused sh -c "echo 'static int f(void){return 0;}' | $CC -Wall -Werror -x c -c - -o x.o"
	holds "$compiler: -g keeps line numbers" $CC -g -c part.c -o debug.o
	says "$compiler: they name the source" part.c readelf --debug-dump=decodedline debug.o
	holds "$compiler: -Wa passes words to the assembler" $CC -Wa,-adhln=listing -c part.c
	holds "$compiler: there is the listing" test -s listing
	holds "$compiler: -Xassembler passes one" $CC -Xassembler --noexecstack -c part.c

	# linking
	holds "$compiler: -Wl passes words to the linker" $CC main.c part.c -Wl,-Map,map.txt -o main.lfi
	holds "$compiler: there is the map" test -s map.txt
	holds "$compiler: -Xlinker passes one" $CC main.c part.c -Xlinker --Map=map2.txt -o main.lfi
	holds "$compiler: there is the map" test -s map2.txt
	says "$compiler: -Wl,--version asks the linker" 'GNU ld' $CC -Wl,--version
	holds "$compiler: -Wl,--gc-sections links" $CC -ffunction-sections main.c part.c -Wl,--gc-sections -o main.lfi
	holds "$compiler: and verifies" is_confined main.lfi
	holds "$compiler: -s strips" $CC -s main.c part.c -o main.lfi
	lacks "$compiler: nothing is left" main readelf -s main.lfi
	holds "$compiler: -rdynamic and -e and -u and -z are the linker's" $CC main.c part.c -rdynamic -e _start -u part -z now -o main.lfi
	holds "$compiler: -nostdlib links nothing of ours" sh -c "printf '\t.globl _start\n_start:\n\thlt\n' >start.s && $CC -nostdlib start.s -o start.lfi"
	holds "$compiler: and verifies" is_confined start.lfi
	holds "$compiler: -nostartfiles leaves out the start files" $CC -nostartfiles start.s part.c -o start.lfi
	fails "$compiler: -nodefaultlibs leaves out the C library" 1 printf $CC -nodefaultlibs main.c part.c -o x.lfi
	fails "$compiler: an undefined function is an error" 1 "undefined reference to \`part'" $CC main.c -o x.lfi
	holds "$compiler: a failed link leaves no program" test ! -e x.lfi
	holds "$compiler: a source without main is a library" $CC part.c -o part.lfi
	holds "$compiler: which verifies" is_confined part.lfi

	# @file
	printf '%s\n' '-DNAME="\"from a file\""' "-O2 'main.c'" 'part.c -o file.lfi' >arguments
	holds "$compiler: @file holds arguments" $CC @arguments
	says "$compiler: with quotes" 'from a file' strings file.lfi

	# lfi-cc's own
	holds "$compiler: --single-thread uses its own library" $CC --single-thread main.c part.c -o st.lfi
	holds "$compiler: and verifies so" is_confined --single-thread st.lfi
	fails "$compiler: and not otherwise" 1 return is_confined st.lfi
	holds "$compiler: --no-segue links with the same library" $CC --no-segue main.c part.c -o nosegue.lfi
	holds "$compiler: and verifies" is_confined nosegue.lfi
	holds "$compiler: --sandbox=stores links" $CC --sandbox=stores -O2 main.c part.c -o stores.lfi
	holds "$compiler: and verifies so" is_confined --sandbox=stores stores.lfi
	holds "$compiler: --sandbox=jumps links" $CC --sandbox=jumps -O2 main.c part.c -o jumps.lfi
	holds "$compiler: and verifies so" is_confined --sandbox=jumps jumps.lfi
	holds "$compiler: --verify verifies after linking" $CC --verify main.c part.c -o main.lfi
	holds "$compiler: --save-temps keeps assembly" $CC --save-temps -c part.c
	holds "$compiler: before and after" sh -c 'test -s part.s && grep -qF "andl \$-32" part.lfi.s && ! grep -qF "andl \$-32" part.s'
	says "$compiler: -### prints commands" ' as --64' $CC -### part.c -c -o none.o
	holds "$compiler: and runs none" test ! -e none.o
	says "$compiler: -v prints them and runs them" ' as --64' $CC -v part.c -c -o verbose.o
	holds "$compiler: there it is" test -e verbose.o
	holds "$compiler: -v alone asks the compiler" $CC -v
	same "$compiler: --version is the compiler's" "$($compiler --version)" "$($CC --version)"
	same "$compiler: -dumpversion is the compiler's" "$($compiler -dumpversion)" "$($CC -dumpversion)"
	same "$compiler: nothing temporary is left" "" "$(ls "$TMPDIR")"
done

same "--print-sysroot says where it is" "$build/sysroot" "$($cc --print-sysroot)"
same "-print-file-name finds libraries" "$build/sysroot/lib/libc.a" "$($cc -print-file-name=libc.a)"
same "-print-file-name repeats what it does not find" nothing.a "$($cc -print-file-name=nothing.a)"
same "-print-libgcc-file-name is ours" "$build/sysroot/lib/libgcc.a" "$($cc -print-libgcc-file-name)"
same "-dumpmachine is no host's" x86_64-linux-musl "$($cc -dumpmachine)"
says "-print-search-dirs names the libraries" "libraries: =$build/sysroot/lib" $cc -print-search-dirs
says "--help tells lfi-cc's options" --single-thread $cc --help
same "--sysroot= wins over LFI_SYSROOT" /there "$(LFI_SYSROOT=/here $cc --sysroot=/there --print-sysroot)"
same "LFI_SYSROOT wins over the place of lfi-cc" /here "$(LFI_SYSROOT=/here $cc --print-sysroot)"
says "LFI_CC_COMPILER chooses the compiler" ' gcc ' env LFI_CC_COMPILER=gcc $cc -### -c part.c

# errors
fails "-shared is refused" 1 "no dynamic linker" $cc -shared part.c -o libpart.so
fails "-m32 is refused" 1 "only 64-bit" $cc -m32 -c part.c
fails "C++ is refused" 1 "only C and assembly" $cc -c x.cc
fails "no input is an error" 1 "no input files" $cc -O2
fails "a missing file is an error" 1 "missing.c: No such file" $cc -c missing.c
fails "a missing object is an error" 1 "missing.o: No such file" $cc missing.o -o x.lfi
fails "-o with several objects is an error" 1 "several files" $cc -c main.c part.c -o x.o
fails "-o without a name is an error" 1 "argument is missing" $cc part.c -o
fails "an input is no output" 1 "both input and output" $cc -c part.c -o part.c
fails "an unknown language is an error" 1 "language not supported" $cc -x fortran part.c
fails "standard input needs a language" 1 "-x is required" $cc -c -
fails "an unknown policy is an error" 1 "no such policy" $cc --sandbox=none -c part.c
fails "unknown bundles are an error" 1 "no such kind" $cc --cfi=bundle64 -c part.c
fails "a compiler that is not there is an error" 1 "not found" $cc --lfi-compiler=no-such-compiler -c part.c
fails "a sysroot that is not there is an error" 1 "no C library" $cc --sysroot=/nowhere -nostdinc part.c -o x.lfi
echo 'int f(void) { return }' >syntax.c
fails "a syntax error has file and line" 1 "syntax.c:1" $cc -c syntax.c -o syntax.o
holds "and leaves no object" test ! -e syntax.o
printf '\t.text\nf:\n\tnop\n\tsysenter\n\tret\n' >bad.s
fails "what cannot be confined has file and line" 1 "bad.s:4:" $cc -c bad.s
holds "and leaves no object" test ! -e bad.o
printf '#define BAD sysenter\n\n\n\t.text\nf:\n\tBAD\n' >badcpp.S
fails "in preprocessed assembly, too" 1 "badcpp.S:6:" $cc -c badcpp.S
printf '\nvoid f(void)\n{\n\t__asm__("sysenter");\n}\n' >badasm.c
fails "in inline assembly, too" 1 "badasm.c:4:" $cc --lfi-compiler=gcc -c badasm.c
printf '\tno_such_instruction\n' >unknown.s
fails "an unknown instruction is an error" 1 "unknown.s:1:" $cc -c unknown.s
fails "an output that cannot be written is an error" 1 "/nowhere/x.o" $cc -c part.c -o /nowhere/x.o

# signals: a compiler that takes long, and leaves nothing behind when lfi-cc is told to stop
printf '#!/bin/sh\nsleep 20\n' >slow-gcc
chmod +x slow-gcc
interrupted() {
	timeout -s TERM 0.5 "$cc" --lfi-compiler="$PWD/slow-gcc" part.c -o slow.lfi
	[ $? = 124 ] && [ ! -e slow.lfi ]
}
holds "SIGTERM ends lfi-cc and its compiler" interrupted
same "nothing temporary is left" "" "$(ls "$TMPDIR")"
finish
