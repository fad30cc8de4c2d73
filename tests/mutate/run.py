#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mutation of the verifier: each mutant of lib/verify (mutants.py) is compiled and must fail a test of tests/c/verify.

A worker has a shared library of the verifier in a folder of its own; the test programs are compiled once and find it
there. Tests run from the quickest to the slowest until one fails. A mutant that does not compile is none. One that no
test fails on is a survivor, and the run fails, unless equivalents.txt says why it means the same: its lines are
regular expressions over a mutant's key, under a comment that gives the reason. A line there that matches no mutant, or
a mutant that a test does kill, is wrong as well, in a whole run.
"""
import argparse
import os
import random
import re
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import mutants

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
VERIFY = SOURCE / "lib/verify"
TESTS = SOURCE / "tests/c/verify"
CFLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-O0", "-fPIC", "-Werror=override-init", "-Werror=array-bounds",
          "-fsanitize=bounds,shift", "-fsanitize-undefined-trap-on-error",
          "-I", str(SOURCE / "include")]
# text.c makes messages, which nothing depends on; that it stays in its buffer is shown by CBMC and the fuzzer.
LEFT_OUT = {"x64/text.c"}
# What the quick walk's tables are made by, from the rows; the first is no part of the library.
GENERATOR = ["gen/compile.c", "x64/table.c"]
# tool.c is a test of lfi-verify, the program; oracle.c needs LLVM and takes long, and its Zydis is allow.c's too; real.c
# needs programs for the sandbox, and threads.c ThreadSanitizer.
TESTS_LEFT_OUT = {"tool", "oracle", "real", "threads"}
MEMORY = 2 << 30


def run(command, timeout=None, **more):
    """(exit status, seconds); a run that takes too long has failed."""
    begin = time.time()
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                              timeout=timeout, **more)
        return done.returncode, time.time() - begin
    except subprocess.TimeoutExpired:
        return -1, time.time() - begin


def includes(paths):
    return [option for path in paths for option in ("-iquote", str(path))]


class Worker:
    """A copy of lib/verify, its objects, and the library made of them."""

    def __init__(self, folder):
        self.folder = folder
        self.source = folder / "verify"
        self.sources = sorted(p.relative_to(VERIFY).as_posix() for p in VERIFY.rglob("*.c"))
        subprocess.run(["rm", "-rf", str(folder)], check=True)
        folder.mkdir(parents=True)
        subprocess.run(["cp", "-r", str(VERIFY), str(self.source)], check=True)
        self.needs = {name: self.headers(name) for name in self.sources}
        if not self.build(self.sources):
            sys.exit("mutate: the verifier does not compile")

    def flags(self):
        return CFLAGS + includes([self.source, self.source / "x64"])

    def headers(self, name):
        out = subprocess.run(["gcc", *self.flags(), "-MM", str(self.source / name)], check=True, capture_output=True, text=True)
        return {Path(p).resolve() for p in out.stdout.replace("\\\n", " ").split()[1:]}

    def build(self, names, suffix=""):
        changed = bool(set(names) & set(GENERATOR))
        if changed and not self.generate(suffix):
            return False
        objects = [str(self.folder / ("quick_table%s.o" % (suffix if changed else "")))]
        for name in self.sources:
            if name == GENERATOR[0]:
                continue
            plain = self.folder / (name.replace("/", "_") + ".o")
            changed = plain.with_suffix(".m.o") if suffix else plain
            if name in names and run(["gcc", *self.flags(), "-c", str(self.source / name), "-o", str(changed)])[0]:
                return False
            objects.append(str(changed if name in names else plain))
        return run(["gcc", "-shared", "-Wl,-z,defs", "-o", str(self.folder / "libverify.so"), *objects])[0] == 0

    def generate(self, suffix):
        program, table = self.folder / "compile", self.folder / ("quick_table%s.c" % suffix)
        steps = [["gcc", *self.flags(), *(str(self.source / name) for name in GENERATOR), "-o", str(program)],
                 [str(program), str(table)],
                 ["gcc", *self.flags(), "-c", str(table), "-o", str(table.with_suffix(".o"))]]
        return all(run(step, timeout=60)[0] == 0 for step in steps)

    def sanitized(self, mutant, tests):
        """The mutant with AddressSanitizer, for what no test minds but reads or writes outside of something."""
        path = self.source / mutant.file
        original = path.read_text()
        path.write_text(mutant.text)
        sources = [str(self.source / name) for name in self.sources if name != GENERATOR[0]]
        sources.append(str(self.folder / "quick_table.m.c"))
        try:
            self.generate(".m")
            for test in tests:
                program = self.folder / ("sanitized_" + test.name)
                if run(["gcc", *self.flags(), *test.options, "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
                        str(test.source), *sources, "-o", str(program), "-lcmocka"])[0]:
                    continue
                if run([str(program)], timeout=200)[0]:
                    return test.name + " with sanitizers"
        finally:
            path.write_text(original)
        return None

    def environment(self, opcodes=""):
        return dict(os.environ, LD_LIBRARY_PATH=str(self.folder), LFI_MUTATED_OPCODES=opcodes)

    def kills(self, mutant, tests):
        """The name of the test that fails, None if none does, "" if the mutant does not compile."""
        path = self.source / mutant.file
        original = path.read_text()
        path.write_text(mutant.text)
        try:
            real = path.resolve()
            if not self.build([n for n in self.sources if real in self.needs[n]], ".m"):
                return ""
        finally:
            path.write_text(original)
        if mutant.opcodes:
            tests = sorted(tests, key=lambda test: test.name != "allow")
        for test in tests:
            if run([str(test.path)], timeout=20 * test.seconds + 20, env=self.environment(mutant.opcodes),
                   preexec_fn=limits)[0]:
                return test.name
        return self.sanitized(mutant, [test for test in tests if test.name in ("rules", "api")])


def limits():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Test:
    def __init__(self, name, folder, worker):
        self.name = name
        self.path = folder / name
        self.source = TESTS / (name + ".c")
        self.options = ["-I", str(SOURCE / "tests/c"), *includes([SOURCE / "lib/base", TESTS])]
        paths = includes([VERIFY, VERIFY / "x64"])
        libraries = ["-L", str(worker.folder), "-lverify", "-lcmocka"]
        if "Zydis" in (TESTS / (name + ".c")).read_text():
            libraries.append("-lZydis")
        done = subprocess.run(["gcc", *CFLAGS, "-O2", *paths, *self.options, str(self.source), "-o", str(self.path), *libraries],
                              capture_output=True, text=True)
        if done.returncode:
            sys.exit("mutate: %s does not compile:\n%s" % (name, done.stderr))
        status, self.seconds = run([str(self.path)], env=worker.environment())
        if status:
            sys.exit("mutate: %s fails without any mutation" % name)


def read_equivalents():
    rows, reason = [], None
    for line in (HERE / "equivalents.txt").read_text().split("\n"):
        if line.startswith("#"):
            reason = line[1:].strip()
        elif line:
            rows.append((re.compile(line), reason))
    return rows


def all_mutants(only):
    for path in sorted(VERIFY.rglob("*.[ch]")):
        name = path.relative_to(VERIFY).as_posix()
        if name not in LEFT_OUT and (not only or name in only):
            yield from mutants.mutants(name, path.read_text())


def choose(options):
    found = list(all_mutants(options.file))
    if options.match:
        found = [m for m in found if re.search(options.match, m.key)]
    if options.again:
        keys = {line for line in Path(options.again).read_text().split("\n")}
        found = [m for m in found if m.key in keys]
    if options.sample or options.seconds:
        random.Random(options.seed).shuffle(found)
    return found[:options.sample] if options.sample else found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default=str(SOURCE / "build/mutate"), help="where to work")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--file", action="append", help="mutate this file only, such as x64/decode.c; may be repeated")
    parser.add_argument("--match", help="only mutants whose key matches this regular expression")
    parser.add_argument("--again", help="only the mutants of this list of keys, such as survivors.txt")
    parser.add_argument("--sample", type=int, help="so many, chosen at random")
    parser.add_argument("--seconds", type=float, help="start no mutant after so long; the order is random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without", action="append", default=[], help="leave out this test, such as bounds; may be repeated")
    parser.add_argument("--list", action="store_true", help="print the keys and do nothing")
    options = parser.parse_args()
    chosen = choose(options)
    if options.list:
        print("\n".join(m.key for m in chosen))
        return 0
    return mutate(options, chosen)


def mutate(options, chosen):
    folder = Path(options.build)
    folder.mkdir(parents=True, exist_ok=True)
    workers = Queue()
    all_workers = [Worker(folder / ("worker%d" % i)) for i in range(options.jobs)]
    for worker in all_workers:
        workers.put(worker)
    names = {p.stem for p in TESTS.glob("*.c")} - TESTS_LEFT_OUT - set(options.without)
    tests = sorted((Test(name, folder, all_workers[0]) for name in names), key=lambda test: test.seconds)
    equivalents = read_equivalents()
    print("mutate: %d mutants; tests %s" % (len(chosen), ", ".join("%s (%.2f s)" % (t.name, t.seconds) for t in tests)),
          flush=True)
    begin = time.time()
    counts, used, survivors, killed_equivalents = {}, set(), [], []

    def one(mutant):
        if options.seconds and time.time() - begin > options.seconds:
            return mutant, "not tried"
        if options.sample and any(pattern.fullmatch(mutant.key) for pattern, _ in equivalents):
            return mutant, None  # a whole run tries them
        worker = workers.get()
        try:
            return mutant, worker.kills(mutant, tests)
        finally:
            workers.put(worker)

    with ThreadPoolExecutor(options.jobs) as pool:
        for number, (mutant, killer) in enumerate(pool.map(one, chosen)):
            counts[killer] = counts.get(killer, 0) + 1
            rows = [i for i, (pattern, _) in enumerate(equivalents) if pattern.fullmatch(mutant.key)]
            used.update(rows)
            if killer is None and not rows:
                survivors.append(mutant.key)
                print("survives: line %d: %s" % (mutant.line, mutant.key), flush=True)
            elif killer not in (None, "", "not tried") and rows:
                killed_equivalents.append(mutant.key)
            if number % 500 == 499:
                print("mutate: %d done, %d s" % (number + 1, time.time() - begin), flush=True)
    (folder / "survivors.txt").write_text("".join(key + "\n" for key in survivors))
    return tell(options, chosen, counts, equivalents, used, survivors, killed_equivalents, time.time() - begin)


def tell(options, chosen, counts, equivalents, used, survivors, killed_equivalents, seconds):
    compiled = len(chosen) - counts.get("", 0) - counts.get("not tried", 0)
    alive = counts.get(None, 0)
    equal = alive - len(survivors)
    bad = bool(survivors)
    for key in killed_equivalents:
        print("not equivalent, a test kills it: " + key)
        bad = True
    if not (options.sample or options.seconds or options.file or options.match or options.again):
        for i, (pattern, _) in enumerate(equivalents):
            if i not in used:
                print("equivalents.txt: matches no mutant: " + pattern.pattern)
                bad = True
    for name in sorted(k for k in counts if k and k != "not tried"):
        print("mutate: %d killed by %s" % (counts[name], name))
    print("mutate: %d mutants compile (%d do not), %d killed, %d equivalent, %d survive: %.2f %% of the others killed; %d s" %
          (compiled, counts.get("", 0), compiled - alive, equal, len(survivors),
           100.0 * (compiled - alive) / max(compiled - equal, 1), seconds))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
