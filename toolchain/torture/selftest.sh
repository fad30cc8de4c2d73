#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests of the torture runner: small programs in place of gcc's, and plain gcc in place of lfi-cc, with BOX defined, so that a program can
# behave otherwise "in the sandbox". Each row of a list is a sentence that is true. Called by ctest with a scratch folder.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$1"
mkdir -p "$1/suite/ieee" "$1/suite/builtins/lib" "$1/build"
scratch=$(cd "$1" && pwd)
suite=$scratch/suite
build=$scratch/build
bad=0

# check SENTENCE COMMAND...: the command succeeds.
check() {
	sentence=$1
	shift
	if "$@" >"$scratch/check.log" 2>&1; then
		echo "ok: $sentence"
	else
		echo "FAILED: $sentence"
		sed 's/^/    /' "$scratch/check.log"
		bad=1
	fi
}

cat >"$scratch/box-cc" <<'END'
#!/bin/sh
compiler=${1#--lfi-compiler=}
shift
exec "$compiler" -DBOX "$@"
END
cat >"$scratch/box-run" <<'END'
#!/bin/sh
[ "$1" != --dir ] || shift 2
exec "$@"
END
cat >"$scratch/native-cc" <<END
#!/bin/sh
echo "\$*" >>"$scratch/native.log"
exec "\$@"
END
chmod +x "$scratch/box-cc" "$scratch/box-run" "$scratch/native-cc"

# torture OPTIONS...: a run with these stand-ins; its output in run.log.
torture() {
	"$here/../torture.sh" --build "$build" --suite "$suite" --lfi-cc "$scratch/box-cc" --lfi-run "$scratch/box-run" \
		--native "$scratch/native-cc %c" --limit 2 "$@" >"$scratch/run.log" 2>&1 && status=0 || status=$?
}

program() { cat >"$suite/$1"; }
closing() { [ "$(tail -n 1 "$scratch/run.log")" = "$1" ]; }
line() { grep -q "$2" "$build/torture/$1.txt"; }

# ---- One verdict for each program ----

head='#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n#include <signal.h>\n'
# name | what main does | list it must be in | text there
verdicts='
same       | puts("same"); return 0;                             |         |
status     | return BOX 3;                                       | failed  | wrong exit status: exit status 3
output     | puts(BOX "other" ? "box" : "native"); return 0;     | failed  | wrong output: output differs, now: box
errors     | fputs(BOX "other" ? "box" : "", stderr); return 0;  | failed  | wrong output: error output differs, now: box
forever    | while (BOX 1) pause(); return 0;                    | failed  | time limit: not done after 2 s
killed     | if (BOX 1) raise(SIGKILL); return 0;                | failed  | lfi-run ended by a signal: SIGKILL
trapped    | return BOX (fputs("lfi-run: sandboxed code trapped", stderr), 139);  | failed | fault in the sandbox: exit status 139
refused    | return BOX (fputs("lfi-run: verification failed", stderr), 126);     | failed | verifier refusal: exit status 126
unloadable | return BOX (fputs("lfi-run: no program", stderr), 126);              | failed | load error: exit status 126
symbol     | extern int nothing(void); return BOX nothing();     | failed  | link error: .*nothing
broken     | char a[1 - 2 * (BOX 1)]; return a != a;               | failed  | compiler error: .*negative
reserved   | _Static_assert(!(BOX 1), "r14 is reserved for the sandbox"); return 0; | failed | rewriter error: .*r14 is reserved
assembly   | if (BOX 1) asm("no such thing"); return 0;          | failed  | assembler error: .*no such
fails      | return 7;                                           | skipped | skipped: fails natively: exit status 7
hangs      | raise(SIGTERM); return 0;                           | skipped | skipped: fails natively: SIGTERM
invalid    | return 08;                                          | skipped | skipped: does not compile natively: .*invalid digit
address    | int i; printf("%p\\n", (void *) &i); return 0;            |         |
forks      | if (BOX !fork()) for (;;) pause(); return 0;         |         |
left_out   | return BOX 1;                                       | skipped | excluded: it is an example
'
printf '%s\n' "$verdicts" | while IFS='|' read -r name body rest; do
	name=$(echo $name)
	[ -z "$name" ] || printf "$head"'#ifndef BOX\n#define BOX 0 && \n#else\n#undef BOX\n#define BOX\n#endif\nint main(void) { %s }\n' "$body" >"$suite/$name.c"
done
echo 'left_out : it is an example' >"$scratch/excluded.txt"
torture --compilers gcc --levels 0 --excluded "$scratch/excluded.txt"
check "the closing line counts what passed, failed and was skipped" closing "3 passed, 12 failed, 4 skipped"
check "the exit status is 1 when something failed" [ "$status" = 1 ]
printf '%s\n' "$verdicts" >"$scratch/verdicts"
while IFS='|' read -r name body list message; do
	name=$(echo $name) list=$(echo $list) message=$(echo $message)
	[ -z "$list" ] || check "$name is in $list.txt: $message" line "$list" "^$name.c gcc -O0: $message"
done <"$scratch/verdicts"
check "processes that a program leaves behind are ended" sh -c "! ps -A -o args | grep -q '^$build/torture/work'"
check "a failure comes with the commands to reproduce it" line failed "box-cc --lfi-compiler=gcc -O0 -w .*status.c .*box-run /tmp/t.lfi"

cp "$build/torture/failed.txt" "$scratch/again.txt"
torture --compilers gcc --levels 0 --list "$scratch/again.txt" --keep
check "failed.txt is a list for --list" closing "0 passed, 12 failed, 0 skipped"
check "--keep keeps the programs of failures" [ -x "$build/torture/kept/status-gcc-O0.lfi" ]

# ---- The cache of native results ----

: >"$scratch/native.log"
torture --compilers gcc --levels 0
check "a native result is not computed twice" [ "$(grep -c . "$scratch/native.log")" = 1 ] # left_out was excluded before
echo '/* changed */' >>"$suite/same.c"
: >"$scratch/native.log"
torture --compilers gcc --levels 0
check "a changed program is compiled natively again" grep -q same.c "$scratch/native.log"

# ---- Options that a program asks for ----

rm -f "$suite"/*.c
want() { printf '/* %s */\n#if %s\nint main(void) { return 0; }\n#endif\n' "$2" "$3" >"$suite/$1.c"; }
want plain '{ dg-options "-DA=1 -DB=2" }' 'A == 1 && B == 2'
want braced '{ dg-options { "-DA=1" "-DB=2" } }' 'A == 1 && B == 2'
want more '{ dg-additional-options "-DA=1" }' 'A == 1'
want ours '{ dg-options "-DA=1" { target { i?86-*-* x86_64-*-* } } }' 'A == 1'
want theirs '{ dg-options "-DA=1" { target powerpc-*-* } }' '!defined A'
want narrow '{ dg-options "-DA=1" { target { { i?86-*-* x86_64-*-* } && ia32 } } }' '!defined A'
want inverse '{ dg-additional-options "-DA=1" { target { ! signal } } }' '!defined A'
want scripted 'by its .x file' 'A == 1 && !defined B'
printf 'if { [istarget "avr"] } {\n    lappend additional_flags "-DB"\n}\nlappend additional_flags "-DA=1"\nreturn 0\n' >"$suite/scripted.x"
want extra "--options of the runner" "C == 3"
want ieee/inline 'from its folder' '__NO_INLINE__'
printf 'void part(void);\nvoid main_test(void) { part(); }\n' >"$suite/builtins/piece.c"
echo 'void part(void) {}' >"$suite/builtins/piece-lib.c"
echo 'void main_test(void); int main(void) { main_test(); return 0; }' >"$suite/builtins/lib/main.c"
torture --compilers gcc --levels 2 --options -DC=3
check "directives, .x files and folders give the options they should" closing "11 passed, 0 failed, 0 skipped"
check "the exit status is 0 when nothing failed" [ "$status" = 0 ]

# ---- Samples ----

torture --compilers gcc --levels 0,1,2 --sample 7
check "--sample N runs N combinations" closing "7 passed, 0 failed, 0 skipped"
check "a sample is spread over the levels" grep -q '^passed .*gcc -O0 [23]  gcc -O1 [23]  gcc -O2 [23]$' "$scratch/run.log"

# ---- Interruption ----

rm -f "$suite"/*.c "$suite"/*.x
printf '#ifdef BOX\n#include <unistd.h>\nint main(void) { sleep(1234); }\n#else\nint main(void) { return 0; }\n#endif\n' >"$suite/sleeps.c"
"$here/../torture.sh" --build "$build" --suite "$suite" --lfi-cc "$scratch/box-cc" --lfi-run "$scratch/box-run" --compilers gcc --levels 0 \
	--list "$scratch/only" >"$scratch/run.log" 2>&1 &
runner=$!
wait $runner 2>/dev/null && status=0 || status=$?
check "a list that cannot be read is an error" [ "$status" = 2 ]
echo sleeps >"$scratch/only"
"$here/../torture.sh" --build "$build" --suite "$suite" --lfi-cc "$scratch/box-cc" --lfi-run "$scratch/box-run" --compilers gcc --levels 0 \
	--list "$scratch/only" >"$scratch/run.log" 2>&1 &
runner=$!
tries=0
until ps -A -o args | grep -q "^$build/torture/work/[0-9]*\.lfi" || [ $tries = 100 ]; do
	sleep 0.1
	tries=$((tries + 1))
done
torture --compilers gcc
check "a second run in the same build folder is refused" [ "$status" = 2 ]
check "and says why" grep -q 'another torture run' "$scratch/run.log"
kill -TERM $runner
wait $runner 2>/dev/null && status=0 || status=$?
check "an interrupted run ends by the signal" [ "$status" = 143 ]
check "an interrupted run leaves no process behind" sh -c "! ps -A -o args | grep -q '^$build/torture/work'"
check "an interrupted run leaves no files behind" [ ! -e "$build/torture/work" ]

exit $bad
