#!/bin/sh
# SPDX-License-Identifier: MIT
# A real library from its Debian source package in a sandbox, and a program of its own authors that does not know: what
# it says and writes is what it says and writes with the library compiled into it.
#
#   tests/bind/real.sh zlib|png|exploit|expat|sqlite|lua|bench BUILD FROM      FROM is the build whose lfi-cc and sysroot are used
#   KEEP=1 leaves BUILD/tests/bind-LIBRARY as it is.
set -eu

library=$1 build=$(cd "$2" && pwd) from=$(cd "$3" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
cc=$from/bin/lfi-cc
bind=$build/bin/lfi-bind
work=$build/tests/bind-$library
unset LFI_SYSROOT LFI_CC_COMPILER
liblfi="$build/lib/liblfi.a -lpthread -lm"
checked=0

fail() {
	printf 'FAILED: %s\n' "$*" >&2
	exit 1
}

# unpack NAME: the source package in ./NAME; a test without its source is skipped, and says so.
unpack() {
	archive=$("$source/toolchain/fetch.sh" "$1" "$source/build/downloads" 2>fetch.log) || {
		echo "SKIPPED: the source of $1 cannot be fetched: $(tail -n 1 fetch.log)"
		exit 77
	}
	mkdir -p "$1"
	tar -xf "$archive" -C "$1" --strip-components=1
}

# compile FOLDER FLAGS... -- FILES...: FOLDER/lfi/*.o by lfi-cc and FOLDER/native/*.o by cc.
compile() {
	folder=$1
	shift
	flags=
	while [ "$1" != -- ]; do
		flags="$flags $1"
		shift
	done
	shift
	mkdir -p "$folder/lfi" "$folder/native"
	for file; do
		name=$(basename "$file" .c)
		"$cc" -O2 -w $flags -c "$folder/$file" -o "$folder/lfi/$name.o"
		cc -O2 -w $flags -c "$folder/$file" -o "$folder/native/$name.o"
	done
}

# same SENTENCE COMMAND ARGUMENTS...: COMMAND.native and COMMAND.lfi exit alike, print the same and write the same file, out.
same() {
	sentence=$1 command=$2
	shift 2
	for kind in native lfi; do
		status=0
		rm -f out
		"./$command.$kind" "$@" >"$kind.stdout" 2>"$kind.stderr" </dev/null || status=$?
		echo "$status" >"$kind.status"
		touch out
		mv out "$kind.out"
	done
	for what in status stdout out; do
		cmp -s "native.$what" "lfi.$what" || fail "$sentence: $what differs: $(head -c 300 lfi.stderr)"
	done
	checked=$((checked + 1))
}

zlib_sources="adler32.c compress.c crc32.c deflate.c gzclose.c gzlib.c gzread.c gzwrite.c infback.c inffast.c inflate.c inftrees.c trees.c uncompr.c zutil.c"

test_zlib() {
	unpack zlib
	compile zlib -DHAVE_UNISTD_H -- $zlib_sources
	"$bind" --header zlib.h -I zlib --annotations "$here/zlib.toml" --lfi-cc="$cc" -o bound zlib/lfi/*.o
	cc -O2 -w -I bound -I zlib -I "$source/include" -c bound/zlib_sandbox.c -o zlib_sandbox.o
	for program in examples/zpipe examples/fitblk test/minigzip; do
		name=$(basename $program)
		cc -O2 -w -DHAVE_UNISTD_H -I zlib zlib/$program.c zlib/native/*.o -o $name.native
		cc -O2 -w -DHAVE_UNISTD_H -I bound -I zlib zlib/$program.c zlib_sandbox.o $liblfi -o $name.lfi
	done
	for file in zlib/*.c zlib/*.h zlib/ChangeLog zlib/zlib_sandbox.o; do
		[ -f "$file" ] || continue
		for kind in native lfi; do
			./zpipe.$kind <"$file" >$kind.z || fail "zpipe of $file"
			./zpipe.$kind -d <$kind.z | cmp -s - "$file" || fail "zpipe -d of $file"
		done
		cmp -s native.z lfi.z || fail "zpipe compresses $file differently"
		checked=$((checked + 1))
	done
	printf 'no zlib' >bad.z
	./zpipe.lfi -d <bad.z >/dev/null 2>bad.lfi && fail "zpipe accepts what is no zlib"
	./zpipe.native -d <bad.z >/dev/null 2>bad.native && fail "native zpipe"
	cmp -s bad.lfi bad.native || fail "zpipe says another thing of what is no zlib"
	# minigzip uses gzFile: the sandbox has the program's streams, and files of one folder.
	cat >gz.toml <<END
[sandbox]
stdio = true
directories = ["/=$work/files"]

END
	cat "$here/zlib.toml" >>gz.toml
	mkdir -p files
	"$bind" --header zlib.h -I zlib --annotations gz.toml --lfi-cc="$cc" -o boundgz zlib/lfi/*.o
	cc -O2 -w -I boundgz -I zlib -I "$source/include" -c boundgz/zlib_sandbox.c -o gz_sandbox.o
	cc -O2 -w -DHAVE_UNISTD_H -I boundgz -I zlib zlib/test/minigzip.c gz_sandbox.o $liblfi -o minigzip.lfi
	./minigzip.lfi <zlib/ChangeLog >lfi.gz && ./minigzip.native <zlib/ChangeLog >native.gz
	cmp -s lfi.gz native.gz || fail "minigzip compresses differently"
	./minigzip.lfi -d <lfi.gz | cmp -s - zlib/ChangeLog || fail "minigzip -d"
	cp zlib/ChangeLog files/one
	(cd files && ../minigzip.lfi one) || fail "minigzip of a file"
	./minigzip.native -d <files/one.gz | cmp -s - zlib/ChangeLog || fail "what minigzip wrote into its folder"
	cp zlib/ChangeLog outside
	./minigzip.lfi "$work/outside" 2>/dev/null && fail "minigzip of a file that its sandbox has not got"
	[ ! -f outside.gz ] || fail "the sandbox wrote outside of its folder"
	checked=$((checked + 4))
}

png_sources="png.c pngerror.c pngget.c pngmem.c pngpread.c pngread.c pngrio.c pngrtran.c pngrutil.c pngset.c pngtrans.c pngwio.c pngwrite.c pngwtran.c pngwutil.c"

build_png() {
	unpack zlib
	unpack libpng
	cp libpng/scripts/pnglibconf.h.prebuilt libpng/pnglibconf.h
	"$@"
	compile zlib -DHAVE_UNISTD_H -- $zlib_sources
	compile libpng -DPNG_INTEL_SSE_OPT=0 -I zlib -- $png_sources
	"$cc" -O2 -I libpng -I zlib -I "$here" -c "$here/png_helper.c" -o libpng/lfi/png_helper.o
	"$bind" --header png.h --header png_helper.h -I libpng -I zlib -I "$here" --annotations "$here/png.toml" --lfi-cc="$cc" \
		-o bound libpng/lfi/*.o zlib/lfi/*.o
	cc -O2 -w -I bound -I libpng -I zlib -I "$here" -I "$source/include" -c bound/png_sandbox.c -o png_sandbox.o
}

test_png() {
	build_png true
	for program in contrib/pngminus/png2pnm contrib/pngminus/pnm2png; do
		name=$(basename $program)
		cc -O2 -w -I libpng -I zlib libpng/$program.c libpng/native/*.o zlib/native/*.o -lm -o $name.native
		cc -O2 -w -I bound -I libpng -I zlib -I "$here" libpng/$program.c "$here/png_stdio.c" png_sandbox.o $liblfi -o $name.lfi
	done
	decoded=0
	for file in $(find libpng -name '*.png' | sort); do
		same "png2pnm $file" png2pnm "$file" out
		if [ "$(cat lfi.status)" = 0 ] && [ -s lfi.out ]; then
			decoded=$((decoded + 1))
			cp lfi.out picture.pnm
			same "pnm2png of $file" pnm2png picture.pnm out
		fi
	done
	[ "$decoded" -ge 150 ] || fail "only $decoded of the files are pictures"
	head -c 300 libpng/pngtest.png >cut.png
	same "a file that ends too early" png2pnm cut.png out
	[ "$(cat lfi.status)" = 1 ] || fail "a file that ends too early is refused"
	echo "$decoded pictures"
}

# A bug in what reads comments; tests/bind/planted.c says which.
plant() {
	cp "$here/planted.c" libpng/planted.c
	call='{ void planted_comment(const unsigned char *, unsigned); planted_comment(buffer, length); }'
	sed "s/^   text_info.compression = PNG_TEXT_COMPRESSION_NONE;/   $call\n&/" libpng/pngrutil.c >planted.tmp
	mv planted.tmp libpng/pngrutil.c
	grep -q 'planted_comment(buffer' libpng/pngrutil.c || fail "the bug could not be planted"
	png_sources="$png_sources planted.c"
}

# attack ADDRESS FILE: a picture whose comment fills the buffer, and then has that address.
attack() {
	python3 - "$1" "$2" <<'END'
import struct, sys, zlib

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

rows = b"".join(b"\0" + bytes((x * y) & 255 for x in range(3 * 16)) for y in range(16))
open(sys.argv[2], "wb").write(
    b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0))
    + chunk(b"tEXt", b"Comment\0".ljust(32, b"A") + struct.pack("<Q", int(sys.argv[1], 16)))
    + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
)
END
}

test_exploit() {
	build_png plant
	cc -O2 -w -no-pie -I libpng -I zlib "$here/planted_host.c" libpng/native/*.o zlib/native/*.o -lm -o host.native
	cc -O2 -w -no-pie -DSANDBOX -I bound -I libpng -I zlib "$here/planted_host.c" png_sandbox.o $liblfi -o host.lfi
	cc -O2 -w -no-pie -I libpng -I zlib -I "$here" "$here/planted_host.c" png_sandbox.o $liblfi -o unaware.lfi
	good=libpng/contrib/pngsuite/basn2c08.png
	for kind in native lfi; do attack "$(nm host.$kind | awk '$3 == "taken_over" { print $1 }')" attack.$kind; done
	status=0
	./host.native $good attack.native $good >native.said || status=$?
	[ $status = 42 ] && grep -q "taken over" native.said || fail "the exploit does not take over the program (status $status)"
	status=0
	./host.lfi $good attack.lfi $good >lfi.said 2>&1 || status=$?
	[ $status = 0 ] || fail "the program with a sandbox ended with $status"
	grep -q "taken over" lfi.said && fail "the sandboxed exploit takes over the program"
	[ "$(grep -c contained lfi.said)" = 1 ] || fail "the exploit is not contained"
	[ "$(grep -c '32 x 32' lfi.said)" = 2 ] || fail "the pictures around the exploit are not decoded"
	[ "$(head -n 1 native.said)" = "$(head -n 1 lfi.said)" ] || fail "the first picture is another one"
	attack "$(nm unaware.lfi | awk '$3 == "taken_over" { print $1 }')" attack.unaware
	status=0
	./unaware.lfi $good attack.unaware >unaware.said 2>&1 || status=$?
	[ $status = 134 ] && grep -q "png_image_begin_read_from_memory: the sandboxed library failed: LFI_ERR_FAULT" unaware.said ||
		fail "a program that knows nothing of the sandbox does not end with a message: $status"
	checked=$((checked + 6))
}

# Figures, not a test: bench/bind/bind.c, once more without sandboxes. JSON=FILE collects them.
test_bench() {
	build_png true
	mkdir -p toy
	"$cc" -O2 -fno-builtin -c "$here/toy.c" -o toy/toy.o
	"$bind" --header toy.h -I "$here" --annotations "$here/toy.toml" --lfi-cc="$cc" -o toy toy/toy.o
	cc -O2 -w -I toy -I "$here" -I "$source/include" -c toy/toy_sandbox.c -o toy_sandbox.o
	cc -O2 -w -fno-builtin -c "$here/toy.c" -o toy_native.o
	flags="-I bound -I toy -I $here -I libpng -I zlib -I $source/include"
	cc -O2 -w -DSANDBOX $flags "$source/bench/bind/bind.c" png_sandbox.o toy_sandbox.o $liblfi -o bind.lfi
	cc -O2 -w $flags "$source/bench/bind/bind.c" toy_native.o libpng/native/*.o zlib/native/*.o -lm -o bind.native
	python3 - <<'END'
import random, struct, zlib

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

# 4 megapixels whose differences are small, as those of a photograph: the filter is Paeth's.
random.seed(1)
small = bytes((0, 0, 0, 1, 1, 2, 255, 255)[i & 7] for i in range(256))
rows = b"".join(b"\4" + random.randbytes(3 * 2048).translate(small) for _ in range(2048))
open("photo.png", "wb").write(
    b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2048, 2048, 8, 2, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(rows, 6)) + chunk(b"IEND", b"")
)
END
	json=${JSON:+--json $JSON}
	for kind in lfi native lfi native; do ./bind.$kind $json photo.png; done
}

lua_sources="lapi.c lcode.c lctype.c ldebug.c ldo.c ldump.c lfunc.c lgc.c llex.c lmem.c lobject.c lopcodes.c lparser.c lstate.c lstring.c ltable.c ltm.c lundump.c lvm.c lzio.c lauxlib.c lbaselib.c lcorolib.c ldblib.c liolib.c lmathlib.c loadlib.c loslib.c lstrlib.c ltablib.c lutf8lib.c linit.c"

test_lua() {
	unpack lua
	compile lua/src -DLUA_USE_POSIX -- $lua_sources
	"$cc" -O2 -I lua/src -c "$here/lua_helper.c" -o lua/src/lfi/lua_helper.o
	"$bind" --header lua.h --header lauxlib.h --header lualib.h --header lua_helper.h -I "$here" -I lua/src \
		--annotations "$here/lua.toml" --lfi-cc="$cc" -o bound lua/src/lfi/*.o
	cc -O2 -w -I bound -I lua/src -I "$here" -I "$source/include" -c bound/lua_sandbox.c -o lua_sandbox.o
	cc -O2 -w -I lua/src -I "$here" "$here/lua_client.c" "$here/lua_helper.c" lua/src/native/*.o -lm -o client.native
	cc -O2 -w -I lua/src -I "$here" "$here/lua_client.c" lua_sandbox.o $liblfi -o client.lfi
	same "scripts that call functions of the program's" client
	grep -q "2020 calls" lfi.stdout || fail "the program says: $(cat lfi.stdout)"
}

test_sqlite() {
	command -v tclsh >/dev/null || { echo "SKIPPED: sqlite is built with tclsh, which is not there"; exit 77; }
	unpack sqlite
	(cd sqlite && ./configure --disable-tcl && make sqlite3.c sqlite3.h) >sqlite.log 2>&1 || fail "sqlite's own build: $(tail -n 3 sqlite.log)"
	compile sqlite -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -- sqlite3.c
	"$bind" --header sqlite3.h -I sqlite --annotations "$here/sqlite.toml" --lfi-cc="$cc" -o bound sqlite/lfi/sqlite3.o
	cc -O2 -w -I bound -I sqlite -I "$source/include" -c bound/sqlite_sandbox.c -o sqlite_sandbox.o
	cc -O2 -w -I sqlite "$here/sqlite_client.c" sqlite/native/sqlite3.o -lm -o client.native
	cc -O2 -w -I sqlite "$here/sqlite_client.c" sqlite_sandbox.o $liblfi -o client.lfi
	same "a program with statements, functions and an order of its own" client
	grep -q "490 changes" lfi.stdout || fail "the program says: $(cat lfi.stdout)"
}

test_expat() {
	unpack expat
	lib=expat/expat/lib # -I: its configuration
	cat >$lib/expat_config.h <<END
#define XML_NS 1
#define XML_DTD 1
#define XML_CONTEXT_BYTES 1024
#define BYTEORDER 1234
#define HAVE_GETRANDOM 1
#define HAVE_UNISTD_H 1
#define HAVE_FCNTL_H 1
END
	flags="-DXML_STATIC -DXML_DTD -I $lib"
	compile $lib $flags -- xmlparse.c xmlrole.c xmltok.c
	"$bind" --header expat.h $flags --annotations "$here/expat.toml" --lfi-cc="$cc" -o bound $lib/lfi/*.o
	cc -O2 -w $flags -I bound -I $lib -I "$source/include" -c bound/expat_sandbox.c -o expat_sandbox.o
	set --
	for name in xmlwf xmlfile codepage unixfilemap; do set -- "$@" expat/expat/xmlwf/$name.c; done
	cc -O2 -w $flags -I $lib "$@" $lib/native/*.o -o xmlwf.native
	cc -O2 -w $flags -I $lib "$@" "$here/expat_rest.c" expat_sandbox.o $liblfi -o xmlwf.lfi
	mkdir documents
	cat >documents/outer.xml <<'END'
<?xml version="1.0"?>
<!DOCTYPE a SYSTEM "outer.dtd" [
<!ENTITY inner SYSTEM "inner.xml">
<!NOTATION gif PUBLIC "gif viewer">
<!ENTITY picture SYSTEM "p.gif" NDATA gif>
<!ENTITY text "some &#228; text">
]>
<a x="1" y="&text;"><?target data?><!-- comment --><![CDATA[<raw>]]>&inner;<b xmlns="urn:b" c="2"/></a>
END
	echo '<!ENTITY % more "<!ATTLIST a z CDATA #IMPLIED>"> %more;' >documents/outer.dtd
	echo '<inner>&text;</inner>' >documents/inner.xml
	echo '<a><b></a>' >documents/mismatch.xml
	echo '<a>&undefined;</a>' >documents/entity.xml
	printf '<a>\303(</a>' >documents/utf8.xml
	: >documents/empty.xml
	mkdir out.d
	for file in documents/* expat/testdata/largefiles/* expat/expat/doc/*.xml expat/expat/doc/*.html; do
		for options in "" -n -w -r "-n -x" "-p -x" -s; do
			same "xmlwf $options $file" xmlwf $options "$file"
		done
		for kind in native lfi; do
			mkdir -p $kind.d
			./xmlwf.$kind -p -x -N -d $kind.d "$file" >/dev/null 2>&1 && status=0 || status=$?
			echo $status >$kind.d/status
		done
		diff -r native.d lfi.d >/dev/null || fail "xmlwf -d of $file"
		checked=$((checked + 1))
	done
}

rm -rf "$work"
mkdir -p "$work"
cd "$work"
"test_$library"
[ "$library" = bench ] || echo "$library: $checked comparisons, all the same"
[ -n "${KEEP:-}" ] && exit
cd "$build"
rm -rf "$work"
