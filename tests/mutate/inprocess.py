#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mutation of the verifier without a compiler run and a program start for each mutant: for whole runs on a busy machine.

All mutants of the functions of one file become functions of one program, next to the original, which are called by
pointers. The program (inprocess.c) has the test programs of tests/c/verify inside, runs each once, then forks for each
mutant, sets a pointer and runs them until one fails. Mutants outside of functions are left to run.py, as are survivors,
which it tries again in its own way, with sanitizers: --again with the lists that are written here.
"""
import argparse
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import mutants
import run as slow

HERE = Path(__file__).resolve().parent
CFLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-w", "-fsanitize=bounds,shift", "-fsanitize-undefined-trap-on-error",
          "-I", str(slow.SOURCE / "include"), "-I", str(slow.SOURCE / "tests/c"), "-iquote", str(slow.VERIFY),
          "-iquote", str(slow.VERIFY / "x64"), "-iquote", str(slow.SOURCE / "lib/base")]
TESTS = ["rules", "api", "allow", "bounds", "quick", "parts"]


def functions(lines):
    """(name, static, first line of the signature, line of its brace, last line) of each function, from 0."""
    for brace, line in enumerate(lines):
        if line != "{":
            continue
        first = brace
        while not re.match(r"\w+\(", lines[first]):
            first -= 1
        name = re.match(r"\w+", lines[first]).group(0)
        yield name, lines[first - 1].startswith("static"), first - 1, brace, lines.index("}", brace)


def tables(lines):
    """The same of tables of a type that has a name; their brace is None."""
    for first, line in enumerate(lines):
        match = re.match(r"static const (?:\w+ )+(\w+)\[.*\] = \{", line)
        if match:
            last = first
            while not lines[last].endswith("};"):
                last += 1
            yield match.group(1), True, first, None, last


def renamed(lines, name, new):
    text = "\n".join(lines)
    return re.sub(r"(?m)^%s\(" % name, new + "(", text, count=1)


def parameters(lines):
    text = " ".join(lines)
    inside = text[text.index("(") + 1:text.rindex(")")]
    return [re.search(r"(\w+)(\[[^\]]*\])?\s*$", part).group(1) for part in inside.split(",")]


class File:
    """The mutants of a file, and the file with all of them in it."""

    def __init__(self, name, match):
        self.name = name
        self.lines = (slow.VERIFY / name).read_text().split("\n")
        self.found = sorted([*functions(self.lines), *tables(self.lines)], key=lambda found: found[2])
        every = [m for m in slow.all_mutants([name]) if not match or re.search(match, m.key)]
        self.variants = {}
        self.outside = []
        for number, mutant in enumerate(every):
            where = [f for f in self.found if f[2] <= mutant.line - 1 <= f[4]]
            if where:
                self.variants[number] = (mutant, where[0])
            else:
                self.outside.append(mutant)

    def variant(self, number):
        mutant, (name, _, first, brace, last) = self.variants[number]
        lines = mutant.text.split("\n")
        if brace is None:
            text = "\n".join(lines[first:last + 1]).replace(name, "%s__%d" % (name, number), 1)
            return '#line 1 "m%d"\n%s\n' % (number, text)
        last = lines.index("}", first)
        text = renamed(lines[first:last + 1], name, "%s__%d" % (name, number))
        if not text.startswith("static"):
            text = "static " + text
        return '#line 1 "m%d"\n%s\n' % (number, text)

    def program(self):
        out, choices, at = [], [], 0
        for function in self.found:
            name, static, first, brace, last = function
            numbers = [n for n, (_, f) in self.variants.items() if f == function]
            if not numbers:
                continue
            out += self.lines[at:first]
            if brace is None:
                out.append("\n".join(self.lines[first:last + 1]).replace(name, name + "__0", 1))
                out += [self.variant(n) for n in numbers]
                out.append('#line %d "%s"' % (last + 1, self.name))
                out.append("static __typeof__(%s__0) *%s__p = &%s__0;\n#define %s (*%s__p)" % (name, name, name, name, name))
                choices += ["{%d, &%s__p, (void *) &%s__%d}," % (n, name, name, n) for n in numbers]
                at = last + 1
                continue
            original = renamed(self.lines[first:last + 1], name, name + "__0")
            out.append(original if static else "static " + original)
            out += [self.variant(n) for n in numbers]
            out.append('#line %d "%s"' % (last + 1, self.name))
            out.append("static __typeof__(%s__0) *%s__p = %s__0;" % (name, name, name))
            if static:
                # Where it is named without a call, for a macro, no member may have its name.
                named = re.search(r"(?<![\w.>])%s\b(?!\()" % name, mutants.strip_comments("\n".join(self.lines)))
                out.append(("#define %s %s__p" if named else "#define %s(...) %s__p(__VA_ARGS__)") % (name, name))
            else:
                head = "\n".join(self.lines[first:brace])
                out.append("%s\n{\n%s%s__p(%s);\n}" % (head, "" if re.match(r"void\s*$", self.lines[first]) else "return ",
                                                      name, ", ".join(parameters(self.lines[first + 1:brace]))))
            choices += ["{%d, &%s__p, %s__%d}," % (n, name, name, n) for n in numbers]
            at = last + 1
        out += self.lines[at:]
        if self.name == slow.GENERATOR[0]:
            out.append('#include "%s"' % (HERE / "inprocess_compile.h"))
        out.append("const struct { int number; void *slot, *function; } lfi_choices[] = {%s {-1}};" % "\n".join(choices))
        return "\n".join(out)


class Rows:
    """The mutants of rows.h, as changes of the tables (inprocess_rows.h)."""

    def __init__(self, match):
        self.name = "x64/table.c"
        self.lines = (slow.VERIFY / "x64/rows.h").read_text().split("\n")
        every = [m for m in slow.all_mutants(["x64/rows.h"]) if not match or re.search(match, m.key)]
        self.outside = []
        self.variants = {number: (mutant, None) for number, mutant in enumerate(every)
                         if not (mutant.key.endswith("row removed") and "GROUP(" in mutant.key)}
        self.order = list(self.variants)

    def program(self):
        out = ['#include "%s"' % (HERE / "inprocess_rows.h")]
        for i, line in enumerate(self.lines):
            if re.match("(ROW|GROUP|DIGIT)\\(", line):
                out.append("static struct range b%d[] = {PLACES_%s {0, 255}};" % (i + 1, line))
        patches, choices = [], []
        for n, (mutant, _) in self.variants.items():
            line = mutant.text.split("\n")[mutant.line - 1]
            patches.append('#line 1 "m%d"\nstatic struct range a%d[] = {%s {0, 255}};' % (n, n, line and "PLACES_" + line))
            patches.append("static struct patch p%d = {b%d, a%d, %d, %s, %s};" % (
                n, mutant.line, n, mutant.line, "ENTRY_" + line if line else 0, "FIELDS_" + line if line else "{0}"))
        choices = ["{%d, 0, &p%d}," % (n, n) for n in self.order if n in self.variants]
        return "\n".join(out + patches) + \
            "\nstruct { int number; void *slot, *function; } lfi_choices[] = {%s {-1}};\n" % "\n".join(choices)


def compile_mutants(file, folder):
    """Drops the mutants that do not compile. Returns how many."""
    source, dropped = folder / "mutated.c", 0
    include = str((slow.VERIFY / file.name).parent)
    compiler = ["gcc", *CFLAGS, "-iquote", include, "-c", str(source)]
    if file.name == slow.GENERATOR[0]:
        compiler += ["-Dmain=compile_main", "-iquote", str(slow.VERIFY / "x64")]
    while True:
        source.write_text(file.program())
        done = subprocess.run([*compiler, "-fmax-errors=0", "-fsyntax-only"], capture_output=True, text=True)
        if done.returncode == 0:
            subprocess.run([*compiler, "-O1", "-o", str(folder / "mutated.o")], check=True)
            return dropped
        bad = {int(n) for n in re.findall(r"(?m)^m(\d+):.*(?:error|note: in expansion)", done.stderr)}
        if not bad:
            sys.exit("inprocess: it does not compile:\n" + done.stderr[:4000])
        for n in bad:
            del file.variants[n]
        dropped += len(bad)


def compile_rest(file, folder):
    """The test programs, and the rest of the verifier."""
    include = folder / "include"
    include.mkdir(exist_ok=True)
    text = (slow.TESTS / "assemble.h").read_text()
    text = text.replace("assemble_all(const char *(*text)(size_t i), size_t count)\n{",
                        "assemble_new(const char *(*text)(size_t i), size_t count)\n{")
    (include / "assemble.h").write_text(text.replace("#endif\n", "") + """
static struct code *
assemble_all(const char *(*text)(size_t i), size_t count)
{
	static struct { void *text; struct code *code; } kept[8];
	int i = 0;

	while (kept[i].text && kept[i].text != (void *) text)
		i++;
	kept[i].text = text;
	if (!kept[i].code)
		kept[i].code = assemble_new(text, count);
	return kept[i].code;
}
#define free(p) ((void) (p))
#endif
""")
    jobs = []
    if not (folder / "quick_table.c").exists():
        subprocess.run(["gcc", *CFLAGS, str(slow.VERIFY / "gen/compile.c"), str(slow.VERIFY / "x64/table.c"), "-o",
                        str(folder / "compile")], check=True)
        subprocess.run([str(folder / "compile"), str(folder / "quick_table.c")], check=True)
    jobs = [(folder / "quick_table.c", "quick_table", [])]
    for path in slow.VERIFY.rglob("*.c"):
        if path.name != "compile.c":
            jobs.append((path, "lib_" + path.stem, []))
    for test in TESTS:
        source = HERE / "inprocess_allow.c" if test == "allow" else slow.TESTS / (test + ".c")
        jobs.append((source, "test_" + test, ["-I", str(include), "-I", str(slow.TESTS), "-include", str(HERE / "inprocess.h"),
                                                                "-Dmain=%s_main" % test, "-DSTRIDE=256", "-DCOUNT_ASKED"]))
    jobs.append((HERE / "inprocess.c", "inprocess", []))
    children = []
    for source, name, more in jobs:
        object = folder / (name + ".o")
        if object.exists() and object.stat().st_mtime > source.stat().st_mtime:
            continue
        text = source
        if name.startswith("test_") and source.parent != HERE:
            text = folder / source.name  # a copy, so that the folder of the original is not looked at first
            text.write_text(source.read_text().replace("<= SIZE; at += 32)", "<= SIZE; at += 17 * 32)").replace("round < 40000", "round < 1000").replace("> 1000)", "> 2)").replace("> 10000)", "> 2)"))  # survivors see the whole test
        children.append(subprocess.Popen(["gcc", *CFLAGS, "-O2", *more, *(["-Dconst="] if name == "quick_table" else []), "-c", str(text), "-o", str(object)]))
    if any([child.wait() for child in children]):
        sys.exit("inprocess: it does not compile")
    return [str(folder / (name + ".o")) for _, name, _ in jobs if name != "lib_" + Path(file.name).stem]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", help="such as x64/decode.c")
    parser.add_argument("--build", default=str(slow.SOURCE / "build/inprocess"))
    parser.add_argument("--match", help="only mutants whose key matches this regular expression")
    parser.add_argument("--again", help="only the mutants of this list of keys, such as a survivors.txt")
    parser.add_argument("--tests", help="in this order; rows.h starts with `places`")
    parser.add_argument("--seed", type=int, default=1, help="of the order of the rows' mutants")
    parser.add_argument("--seconds", type=float, default=0, help="start no mutant after so long")
    options = parser.parse_args()
    if not options.tests:
        options.tests = {"x64/rows.h": "places,rules,api", "x64/quick.c": "quick,api,bounds,parts", "x64/parts.c": "parts",
                         "verify.c": "api,parts,rules,bounds", "gen/compile.c": "quick"}.get(options.file, "rules,api,kinds")
    folder = Path(options.build) / options.file.replace("/", "_")
    folder.mkdir(parents=True, exist_ok=True)
    file = Rows(options.match) if options.file == "x64/rows.h" else File(options.file, options.match)
    if options.file == "x64/rows.h":
        random.Random(options.seed).shuffle(file.order)
    if options.again:
        keys = set(Path(options.again).read_text().split("\n"))
        file.variants = {n: v for n, v in file.variants.items() if v[0].key in keys}
    dropped = file_dropped = compile_mutants(file, folder)
    (folder.parent / "common").mkdir(exist_ok=True)
    subprocess.run(["gcc", "-o", str(folder / "inprocess"), str(folder / "mutated.o"),
                    *compile_rest(file, folder.parent / "common"), "-Wl,--wrap=rules_alone,--wrap=rules_bundle", "-ldl",
                    "-lcmocka", "-lZydis"], check=True)
    (folder / "outside.txt").write_text("".join(m.key + "\n" for m in file.outside))
    print("inprocess: %d mutants, %d do not compile, %d outside of functions" %
          (len(file.variants), dropped, len(file.outside)), flush=True)
    equivalents = slow.read_equivalents()
    child = subprocess.Popen([str(folder / "inprocess"), str(options.seconds), *options.tests.split(",")], stdout=subprocess.PIPE, text=True)
    counts, survivors, known, same = {}, [], 0, 0
    for line in child.stdout:
        words = line.split()
        if words[0] == "test":
            print(line, end="", flush=True)
            continue
        if words[1] == "uncompiled":
            dropped += 1
            continue
        if words[1] == "same":
            same += 1
            continue
        counts[words[1]] = counts.get(words[1], 0) + 1
        key = file.variants[int(words[0])][0].key
        equivalent = any(pattern.fullmatch(key) for pattern, _ in equivalents)
        if words[1] == "nothing" and equivalent:
            known += 1
        elif words[1] == "nothing":
            survivors.append(key)
            print("survives: line %d: %s" % (file.variants[int(words[0])][0].line, key), flush=True)
        elif equivalent:
            print("not equivalent, %s kills it: %s" % (words[1], key), flush=True)
        if sum(counts.values()) % 100 == 0:
            print("inprocess: %d done" % sum(counts.values()), flush=True)
    (folder / "survivors.txt").write_text("".join(key + "\n" for key in survivors))
    tried = sum(counts.values())
    print("inprocess: %s: %d do not compile; %d make the same tables; %d tried: %s; %d equivalent, %d survive, %d not tried" %
          (options.file, dropped, same, tried, counts, known, len(survivors),
           len(file.variants) + file_dropped - dropped - tried - same))
    return int(bool(survivors) or child.wait() != 0)


if __name__ == "__main__":
    sys.exit(main())
