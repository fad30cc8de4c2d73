#!/bin/sh
# SPDX-License-Identifier: MIT
# lfi-bind's command line: what it refuses, with file and line; what it reports; what does not compile.
#
#   tests/bind/tool.sh BUILD FROM TOY      TOY is the folder with the toy library, bound
set -eu
cc_build=$2 toy=$(cd "$3" && pwd)
. "$(dirname "$0")/../toolchain/lib.sh" "$1"
here=$source/tests/bind
cc=$(cd "$OLDPWD" && cd "$cc_build" && pwd)/bin/lfi-cc
bind="$build/bin/lfi-bind --lfi-cc=$cc"

# header TEXT: h.h with lines of TEXT from line 1, and a library of these names.
header() {
	printf '%b\n' "$1" >h.h
}

# refuses SENTENCE TEXT HEADER [ANNOTATIONS]: exit status 1, and TEXT in what it says; nothing is written.
refuses() {
	header "$3"
	printf '%b\n' "${4:-}" >h.toml
	rm -rf made
	fails "$1" 1 "$2" $bind --header h.h -I . --annotations h.toml -o made "$toy/toy.o"
	if [ -e made ]; then bad "$1: something was written"; fi
}

# reports SENTENCE TEXT HEADER [ANNOTATIONS]
reports() {
	header "$3"
	printf '%b\n' "${4:-}" >h.toml
	says "$1" "$2" $bind --header h.h -I . --annotations h.toml --report
}

says "it says which it is" "lfi-bind 1." $bind --version
says "it says how it is used" "usage: lfi-bind" $bind --help
fails "a header is needed" 2 "required: --header" $bind

refuses "a header that does not parse is named with its line" "h.h:2: expected" 'int good(void);\nint bad((;\nint good_again(void);'
refuses "a header that is not there is named" "'nothing.h' file not found" '#include <nothing.h>'
refuses "a header that includes what is not there is named" "h.h:2:" '\n#include "none.h"'
refuses "a function that the library lacks is named" "h.h:2: toy_absent is declared, but the library has no such function" \
	'int toy_add(int a, int b);\nint toy_absent(void);'
refuses "variable arguments need a word" "h.h:1: toy_printf has variable arguments" 'int toy_printf(const char *format, ...);'
refuses "a va_list cannot go in" "h.h:2: toy_add: 'more' is a va_list" '#include <stdarg.h>\nint toy_add(va_list more);'
refuses "a union by value cannot go in" "h.h:2: toy_add: 'u' is a union by value" 'union u { int a; float b; };\nint toy_add(union u u);'
refuses "a struct by value cannot go in yet" "h.h:2: toy_add: 's' is a struct by value" 'struct s { int a; };\nint toy_add(struct s s);'
refuses "a bit-field in a struct that is copied is named" "h.h:3: struct s.b is a bit-field" \
	'struct s {\n int a;\n int b : 3;\n};\nint toy_add(const struct s *s);'
refuses "a union in a struct that is copied is named" "h.h:2: struct s.u" \
	'struct s {\n union { int a; float b; } u;\n};\nint toy_add(const struct s *s);'
refuses "a pointer in a struct that is copied needs a word" "h.h:2: struct s.p: what is 'int *' for?" \
	'struct s {\n int *p;\n};\nint toy_add(const struct s *s);'
refuses "a FILE means nothing in a sandbox" "h.h:2: toy_add: 'f' is a FILE of the host's" '#include <stdio.h>\nint toy_add(FILE *f);'
refuses "room for bytes needs a length" "h.h:1: toy_add: what is 'char *to' for?" 'int toy_add(char *to);'
refuses "room with a length is not guessed: it may be in, out or both" "what is 'void *to' for?" 'int toy_add(void *to, unsigned long size);'
refuses "text with a length is not guessed: it may be either" "what is 'const char *s' for?" 'int toy_add(const char *s, unsigned long size);'
refuses "a pointer to a pointer needs a word" "what is 'struct x **x' for?" 'struct x;\nint toy_add(struct x **x);'
refuses "what a length may measure is not guessed" "what is 'int *len' for?" 'int toy_add(int *len);'
refuses "a struct that may be written needs a word" "what is 'struct s *s' for?" 'struct s { int a; };\nint toy_add(struct s *s);'
refuses "a result that is no handle and no text needs a word" "what is its result, a 'void *'" 'void *toy_add(int a);'

refuses "an annotation file that is no TOML is named" "h.toml: " 'int toy_add(int a);' 'this is not'
refuses "an unknown word is named" "'lenght' is not known" 'int toy_add(void *p);' '[functions.toy_add]\nparams.p = { role = "in", lenght = "1" }'
refuses "an unknown role is named" "no role 'inn'" 'int toy_add(void *p);' '[functions.toy_add]\nparams.p = "inn"'
refuses "a parameter that is not there is named" "toy_add has no parameter 'q' (it has p)" 'int toy_add(int p);' '[functions.toy_add]\nparams.q = "in"'
refuses "a function that is not there is named" "[functions.toy_ad]: the headers have none" 'int toy_add(int p);' '[functions.toy_ad]\non_failure = "1"'
refuses "const memory is not written" "is const, and cannot be written" 'int toy_add(const int *p);' '[functions.toy_add]\nparams.p = { role = "out", length = "1" }'
cursors='struct s { char *p; int n; };\n'
roles='\n[structs.s]\np = { role = "cursor_out", length = "n" }'
refuses "an array of structs with cursors is refused" "toy_add: 's' is an array of structs with cursors" "${cursors}int toy_add(struct s *s);" \
	"[functions.toy_add]\nparams.s = { role = \"inout\", length = \"2\" }$roles"
refuses "so is a struct with cursors in another one" "struct t.s is a struct with cursors" \
	"${cursors}struct t { struct s s; };\nint toy_add(struct t *t);" "[functions.toy_add]\nparams.t = \"inout\"$roles"
refuses "a callback cannot belong to a struct" "'s' is a struct, and callbacks cannot belong to one" \
	"${cursors}int toy_add(struct s *s, void (*f)(void));" "[functions.toy_add]\nparams.s = \"shadow\"\nparams.f = { role = \"callback\", owner = \"s\" }$roles"
refuses "an owner that is not there is named" "there is no 'x' that something could belong to" 'int toy_add(void *p);' \
	'[functions.toy_add]\nparams.p = { role = "user", owner = "x" }'
refuses "a struct that lies otherwise in the sandbox is named" "h.h:2: struct s is another one in the sandbox" \
	'#include <features.h>\nstruct s {\n#ifdef __GLIBC__\n int more;\n#endif\n int x;\n};\nint toy_add(const struct s *s);'

# Prototypes that differ from what the library was compiled with.
"$cc" -g -O2 -c "$here/toy.c" -o debug.o
debugged() {
	header "$3"
	rm -rf made
	fails "$1" 1 "$2" $bind --header h.h -I . -o made debug.o
	if [ -e made ]; then bad "$1: something was written"; fi
}
debugged "a parameter too many is named" "h.h:2: toy_add has 3 parameters here, and the library was compiled with 2" \
	'\nint toy_add(int a, int b, int c);'
debugged "a parameter of another size is named" "h.h:1: toy_add: 'b' is int of 8 bytes here, and in the library int of 4 bytes" \
	'int toy_add(int a, long b);'
debugged "a number instead of a pointer is named" "toy_length: 's' is int of 8 bytes here, and in the library a pointer" \
	'unsigned long toy_length(unsigned long s);'
debugged "another struct is named" "toy_value: 't' is a pointer to struct other here, and in the library a pointer to struct toy" \
	'struct other;\nint toy_value(const struct other *t);'
debugged "another result is named" "toy_add returns float of 8 bytes here, and in the library int of 4 bytes" 'double toy_add(int a, int b);'
holds "prototypes that are the library's are taken" $bind --header toy.h -I "$here" --annotations "$here/toy.toml" -o again debug.o

# A finished program, and when it starts.
holds "a finished program is taken" $bind --header toy.h -I "$here" --annotations "$here/toy.toml" -o finished "$toy/toy.lfi"
holds "and is embedded as it is" cmp "$toy/toy.lfi" finished/toy.lfi
cat >start.c <<'END'
#include <stdio.h>
#include "toy.h"
#include "toy_sandbox.h"
static void failed(const char *f, int code, const char *m, void *u) { (void) code, (void) u; printf("%s: %s; ", f, m); }
int main(void) {
	printf("%d ", toy_sandbox_box() != NULL);
	toy_sandbox_on_failure(failed, NULL);
	printf("%d ", toy_add(1, 2));
	printf("%d ", toy_sandbox_start() && toy_sandbox_start());
	printf("%d\n", toy_add(1, 2));
	return 0;
}
END
for start in lazy eager explicit; do
	case $start in
	lazy) said="0 3 1 3" ;;
	eager) said="1 3 1 3" ;;
	explicit) said="0 toy_add: the sandbox was not started; 0 1 3" ;;
	esac
	$bind --header toy.h -I "$here" --annotations "$here/toy.toml" --start=$start -o $start "$toy/toy.lfi" 2>/dev/null
	cc -I "$here" -I $start -I "$source/include" start.c $start/toy_sandbox.c "$build/lib/liblfi.a" -lpthread -lm -o start.$start 2>log
	says "a sandbox that starts $start" "$said" ./start.$start
done
(echo '[sandbox]'; echo 'memory_limit = 1048576'; cat "$here/toy.toml") >limit.toml
$bind --header toy.h -I "$here" --annotations limit.toml -o limit "$toy/toy.lfi" 2>/dev/null
cc -I "$here" -I limit -I "$source/include" start.c limit/toy_sandbox.c "$build/lib/liblfi.a" -lpthread -lm -o start.limit
says "a limit on memory is the sandbox's: there is not even a stack" "mapped" ./start.limit

reports "text is guessed, and marked, as it is read" "s: string  -- guessed: text, up to its NUL (READS" 'int toy_add(const char *s);'
reports "bytes with a length are guessed, and marked" "p: in [n]  -- guessed: bytes, as many as 'n' says (READS" 'int toy_add(const void *p, unsigned long n);'
reports "an incomplete struct is guessed to be a handle" "x: handle  -- guessed: a handle" 'struct x;\nint toy_add(struct x *x);'
reports "what is left out is said" "h.h:1: toy_add: left out" 'int toy_add(int a);' '[library]\nleave_out = ["toy_*"]'
reports "a macro that looks into a struct is said" "h.h:2: the macro peek looks into a struct" 'int toy_add(int a);\n#define peek(s) ((s)->a)'

# Handles that are types of their own.
cat >good.c <<'END'
#include "toy_handles.h"
int main(void) { struct toy_toy t = toy_new(1); int v = toy_value(t); toy_close(&t); return v; }
END
cat >bad.c <<'END'
#include "toy_handles.h"
int main(void) { int mine = 1; return toy_value((void *) &mine); }
END
cat >mixed.c <<'END'
#include "toy_handles.h"
int main(void) { return toy_value(toy_other(toy_new(1))); }
END
flags="-Wall -Wextra -Werror -fsyntax-only -I $toy -I $here"
holds "handles that are types of their own compile" cc $flags good.c
fails "a pointer of the program's does not compile where a handle belongs" 1 "incompatible type for argument 1" cc $flags bad.c
fails "nor does a handle of another kind" 1 "incompatible type for argument 1" cc $flags mixed.c
holds "without that header a handle is a pointer, as the library has it" sh -c "sed 's/_handles//; s/struct toy_toy/toy */' good.c >plain.c && cc $flags plain.c"
finish
