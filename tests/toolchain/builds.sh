#!/bin/sh
# SPDX-License-Identifier: MIT
# lfi-cc is CC for make, configure scripts and CMake, and what they build runs in a sandbox.
set -u
. "$(dirname "$0")/lib.sh"

cat >greet.c <<'END'
#include "greet.h"
#include <stdio.h>
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
void greet(const char *whom) { printf("greetings, %s\n", whom); }
END
echo 'void greet(const char *whom);' >greet.h
cat >main.c <<'END'
#include "greet.h"
int main(int argc, char **argv) { greet(argc > 1 ? argv[1] : "world"); return argc; }
END
run() { "$build/bin/lfi-run" "$@"; }

# greets PROGRAM: it verifies, runs, and its status comes through.
greets() {
	"$build/bin/lfi-verify" "$1" || return 1
	output=$(run "$1" you)
	[ $? = 2 ] && [ "$output" = "greetings, you" ]
}

# plain make, with its built-in rules and an archive
mkdir make
cp ./*.[ch] make
printf 'main: main.o libgreet.a\nlibgreet.a: libgreet.a(greet.o)\n' >make/Makefile
for compiler in $(compilers); do
	holds "$compiler: make builds with its own rules" make -C make CC="$cc --lfi-compiler=$compiler" CFLAGS=-O2 main
	holds "$compiler: the program greets" greets make/main
	rm -f make/main make/*.o make/*.a
done

# a configure script: what autoconf's do, and autoconf itself where it is installed
if command -v autoconf >/dev/null; then
	mkdir auto
	cp ./*.[ch] auto
	cat >auto/configure.ac <<'END'
AC_INIT([greet], [1])
AC_CONFIG_HEADERS([config.h])
AC_PROG_CC
AC_PROG_RANLIB
AC_CHECK_HEADERS([unistd.h pthread.h sys/epoll.h no_such.h])
AC_CHECK_FUNCS([memmove strlcpy no_such_function])
AC_CHECK_LIB([m], [cos])
AC_CHECK_SIZEOF([long])
AC_C_BIGENDIAN
AC_OUTPUT([Makefile])
END
	cat >auto/Makefile.in <<'END'
greet: main.o greet.o
	@CC@ @CFLAGS@ @LDFLAGS@ -o $@ main.o greet.o @LIBS@
.c.o:
	@CC@ @CFLAGS@ @DEFS@ -c $<
END
	(cd auto && autoconf && touch config.h.in) >"$folder/log" 2>&1
	for compiler in $(compilers); do
		configure() { (cd auto && ./configure --host=x86_64-linux-musl CC="$cc --lfi-compiler=$compiler"); }
		holds "$compiler: configure accepts it" configure
		says "$compiler: it knows that this is a cross compiler" "result: yes" sed -n '/whether we are cross compiling/,/result:/p' auto/config.log
		says "$compiler: it finds headers" "ac_cv_header_pthread_h=yes" cat auto/config.log
		says "$compiler: not those that are not there" "ac_cv_header_no_such_h=no" cat auto/config.log
		says "$compiler: it finds functions" "ac_cv_func_memmove=yes" cat auto/config.log
		says "$compiler: not those that are not there" "ac_cv_func_no_such_function=no" cat auto/config.log
		says "$compiler: it finds libraries" "ac_cv_lib_m_cos=yes" cat auto/config.log
		says "$compiler: it measures types without running" "ac_cv_sizeof_long=8" cat auto/config.log
		holds "$compiler: make builds it" make -C auto greet
		holds "$compiler: the program greets" greets auto/greet
		rm -f auto/greet auto/*.o auto/config.cache
	done
else
	echo "skipped: no autoconf here"
fi

# CMake: compiler identification, feature and symbol checks, a library, Threads
mkdir cmake
cp ./*.[ch] cmake
cat >cmake/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.16)
project(greet C ASM)
include(CheckSymbolExists)
include(CheckTypeSize)
check_symbol_exists(memmove string.h HAVE_MEMMOVE)
check_symbol_exists(no_such_function string.h HAVE_NONE)
check_type_size(long SIZEOF_LONG)
find_package(Threads REQUIRED)
if(NOT HAVE_MEMMOVE OR HAVE_NONE OR NOT SIZEOF_LONG EQUAL 8)
	message(FATAL_ERROR "checks are wrong: ${HAVE_MEMMOVE} ${HAVE_NONE} ${SIZEOF_LONG}")
endif()
add_library(part STATIC greet.c)
set_target_properties(part PROPERTIES POSITION_INDEPENDENT_CODE ON C_STANDARD 11)
add_executable(greet main.c)
target_link_libraries(greet part Threads::Threads m)
END
for compiler in $(compilers); do
	printf '#!/bin/sh\nexec "%s" --lfi-compiler=%s "$@"\n' "$cc" $compiler >lfi-$compiler
	chmod +x lfi-$compiler
	holds "$compiler: CMake accepts it" cmake -S cmake -B cmake/$compiler -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_C_COMPILER="$PWD/lfi-$compiler" -DCMAKE_BUILD_TYPE=Release
	case $compiler in gcc) id=GNU ;; *) id=Clang ;; esac
	says "$compiler: CMake knows the compiler" "CMAKE_C_COMPILER_ID \"$id\"" cat cmake/$compiler/CMakeFiles/*/CMakeCCompiler.cmake
	holds "$compiler: CMake builds" cmake --build cmake/$compiler
	holds "$compiler: the program greets" greets cmake/$compiler/greet
done
finish
