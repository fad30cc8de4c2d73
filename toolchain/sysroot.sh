#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the sysroot for sandboxed programs: musl and the compiler's helper functions, compiled by lfi-cc, and
# (--native) the same musl compiled plainly, which benchmarks and tests compare with. Called by CMake.
set -eu

usage() {
	cat >&2 <<'END'
usage: sysroot.sh --cc LFI-CC --output DIR --work DIR --downloads DIR [--variant NAME]... [--native DIR] [--jobs N]

  --cc         the lfi-cc to build with, and its options: "lfi-cc --lfi-compiler=gcc"
  --output     the sysroot to make: include/, lib/, lib/<variant>/
  --work       for source and objects; kept between runs
  --downloads  where fetch.sh keeps archives
  --variant    default, single-thread, bundle16 or bundle16-single-thread, or one of these with -no-poc (no-poc for the
               default one); may be repeated (default: default and single-thread)
  --native     also build musl without confinement there, with bin/native-cc to compile against it
END
	exit 2
}

die() {
	printf 'sysroot: %s\n' "$*" >&2
	exit 1
}

toolchain=$(cd "$(dirname "$0")" && pwd)
cc= output= work= downloads= variants= native= jobs=2
while [ $# -gt 0 ]; do
	[ $# -gt 1 ] || usage
	case $1 in
	--cc) cc=$2 ;;
	--output) output=$2 ;;
	--work) work=$2 ;;
	--downloads) downloads=$2 ;;
	--variant) variants="$variants $2" ;;
	--native) native=$2 ;;
	--jobs) jobs=$2 ;;
	*) usage ;;
	esac
	shift 2
done
[ -n "$cc" ] && [ -n "$output" ] && [ -n "$work" ] && [ -n "$downloads" ] || usage
variants=${variants:-default single-thread}
compiler=${LFI_CC_COMPILER:-gcc}
optimise="-O2"

say() { printf 'sysroot: %s\n' "$*"; }

# run LOG COMMAND...: quiet unless it fails.
run() {
	log=$1
	shift
	"$@" >"$log" 2>&1 || { tail -n 40 "$log" >&2; die "failed: $* (all of it: $log)"; }
}

# unpack: musl's source twice, as it is and with our files over it.
unpack() {
	tarball=$("$toolchain/fetch.sh" musl "$downloads")
	rm -rf "$work/musl" "$work/musl-native" "$work/unpack"
	mkdir -p "$work/unpack"
	tar -xf "$tarball" -C "$work/unpack"
	mv "$work"/unpack/* "$work/musl-native"
	rmdir "$work/unpack"
	cp -R "$work/musl-native" "$work/musl"
	sed -e '/^#/d' -e 's/[[:space:]].*//' "$toolchain/musl/remove.txt" | while read -r file; do rm "$work/musl/$file"; done
	(cd "$toolchain/musl" && find . -name '*.[cs]') | while read -r file; do
		mkdir -p "$work/musl/$(dirname "$file")"
		cp "$toolchain/musl/$file" "$work/musl/$file"
	done
}

# musl SOURCE BUILD CC HEADERS LIBRARIES: configures, builds and installs one musl. Objects of an earlier run are not reused:
# they may be another rewriter's.
musl() {
	rm -rf "$2"
	mkdir -p "$2" "$4" "$5"
	(
		cd "$2"
		run configure.log env CC="$3" CFLAGS="$optimise" "$1/configure" --disable-shared --disable-wrapper \
			--prefix=/ --includedir="$4" --libdir="$5"
		run make.log make -j "$jobs" install-headers install-libs
	)
}

# builtins BUILD CC LIBRARIES: libgcc.a and its empty companion.
builtins() {
	mkdir -p "$1"
	(
		cd "$1"
		ls "$toolchain"/builtins/*.c | run builtins.log xargs -n 1 -P "$jobs" $2 $optimise -ffreestanding -fno-builtin -c
		rm -f "$3/libgcc.a" "$3/libgcc_eh.a"
		ar rc "$3/libgcc.a" ./*.o
		ar rc "$3/libgcc_eh.a"
	)
}

# Interface headers of the kernel, where the system has them: musl has none of its own.
kernel_headers() {
	for dir in linux asm-generic mtd; do
		[ ! -d "/usr/include/$dir" ] || { rm -rf "$output/include/$dir"; cp -RL "/usr/include/$dir" "$output/include/$dir"; }
	done
	for dir in /usr/include/x86_64-linux-gnu/asm /usr/include/asm; do
		[ ! -d "$dir" ] || { rm -rf "$output/include/asm"; cp -RL "$dir" "$output/include/asm"; break; }
	done
}

# The compiler driver for comparisons: same compiler, same kind of program, plain musl, no confinement.
native_cc() {
	mkdir -p "$native/bin"
	cat >"$native/bin/native-cc" <<END
#!/bin/sh
# Compiles for comparison with sandboxed programs: the compiler that LFI_CC_COMPILER names (default $compiler) and the musl
# next to this file; static, position-independent, unconfined.
here=\$(cd "\$(dirname "\$0")/.." && pwd)
compiler=\${LFI_CC_COMPILER:-$compiler}
link=yes
for argument; do
	case \$argument in -c | -S | -E | -M | -MM | -fsyntax-only) link=no ;; esac
done
case \$compiler in
*clang*) headers="-nostdlibinc -isystem \$here/include" ;;
*) headers="-nostdinc -isystem \$here/include -iwithprefix include" ;;
esac
flags="-fPIE -ftls-model=local-exec -fcf-protection=none -fno-stack-protector"
[ \$link = yes ] || exec "\$compiler" "\$@" \$headers \$flags
exec "\$compiler" "\$@" \$headers \$flags -nostdlib -static-pie "\$here/lib/rcrt1.o" -L"\$here/lib" \\
	-Wl,--start-group -lc -lgcc -Wl,--end-group
END
	chmod +x "$native/bin/native-cc"
}

mkdir -p "$work" "$output/lib" "$output/include"
work=$(cd "$work" && pwd)
output=$(cd "$output" && pwd)
rm -f "$output/.done"
unpack
kernel_headers
for variant in $variants; do
	options= libraries=$output/lib/$variant
	case $variant in
	no-poc | *-no-poc) options=--no-poc ;;
	esac
	kind=${variant%no-poc}
	case ${kind%-} in
	'') ;;
	default) libraries=$output/lib ;;
	single-thread) options="$options --single-thread" ;;
	bundle16) options="$options --cfi=bundle16" ;;
	bundle16-single-thread) options="$options --cfi=bundle16 --single-thread" ;;
	*) die "no variant '$variant'" ;;
	esac
	say "C library, $variant ($libraries)"
	# The compiler's own headers only: musl's are not there yet.
	musl "$work/musl" "$work/$variant" "$cc --sysroot=$output $options" "$output/include" "$libraries"
	mkdir -p "$libraries"
	$cc --sysroot="$output" $options -c "$toolchain/poc.s" -o "$libraries/lfi-poc.o"
	cp "$toolchain/segments.ld" "$libraries/segments.ld"
	builtins "$work/$variant/builtins" "$cc --sysroot=$output $options" "$libraries"
done
if [ -n "$native" ]; then
	say "C library without confinement, for comparison ($native)"
	mkdir -p "$native"
	native=$(cd "$native" && pwd)
	musl "$work/musl-native" "$work/native" "$compiler" "$native/include" "$native/lib"
	native_cc
fi
touch "$output/.done"
