#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The test of the test: takes one guard out of the verifier at a time, and the soundness run must find an escape.

The guards are mutants of lib/verify (tests/mutate/mutants.py) whose keys match a regular expression of guards.txt. One
under a heading `# not found: REASON` may stay unfound: its removal accepts code that is refused for another reason
than that it escapes here.
"""
import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "mutate"))
import run as mutation  # noqa: E402


def read_guards():
    rows, excuse = [], None
    for line in (HERE / "guards.txt").read_text().split("\n"):
        if line.startswith("#"):
            excuse = line[len("# not found:"):].strip() if line.startswith("# not found:") else None
        elif line:
            rows.append((re.compile(line), excuse))
    return rows


def build_soundness(folder, worker):
    program = folder / "soundness"
    sources = sorted(map(str, HERE.glob("*.c"))) + [str(HERE / "enter.S")]
    verify = mutation.VERIFY
    done = subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-mfsgsbase", "-I", str(mutation.SOURCE / "include"),
                           *mutation.includes([verify, verify / "x64", HERE]), *sources, "-o", str(program), "-Wl,-z,now",
                           "-L", str(worker.folder), "-lverify", "-lZydis"], capture_output=True, text=True)
    if done.returncode:
        sys.exit("guards: soundness does not compile:\n" + done.stderr)
    return program


def try_mutant(worker, program, mutant, options):
    """What the run says of the escape, None if it finds none, "" if the mutant does not compile."""
    path = worker.source / mutant.file
    original = path.read_text()
    path.write_text(mutant.text)
    try:
        if not worker.build([n for n in worker.sources if path.resolve() in worker.needs[n]], ".m"):
            return ""
    finally:
        path.write_text(original)
    return soundness(worker, program, options.children, options)


def soundness(worker, program, children, options):
    """The first line of what it says when there is an escape, else None."""
    command = [str(program), "--children", str(children), "--seed", str(options.seed)]
    if options.program:
        command += ["--program", options.program]
    # No lazy binding: a child's table of addresses is read-only.
    environment = dict(worker.environment(), LD_BIND_NOW="1")
    done = subprocess.run(command, capture_output=True, text=True, env=environment, errors="replace")
    if done.returncode not in (0, 1):
        sys.exit("guards: the run itself failed:\n" + done.stdout)
    return done.stdout.split("\n")[0] if done.returncode == 1 else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default=str(mutation.SOURCE / "build/guards"))
    parser.add_argument("--children", type=int, default=20, help="for each guard at most; each runs 500 programs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", help="a program for the sandbox to mutate as well")
    parser.add_argument("--match", help="only guards whose key matches")
    options = parser.parse_args()
    folder = Path(options.build)
    worker = mutation.Worker(folder / "worker")
    program = build_soundness(folder, worker)
    if soundness(worker, program, 1, options):
        sys.exit("guards: an escape without any mutation")
    every = list(mutation.all_mutants(None))
    found = missed = 0
    for pattern, excuse in read_guards():
        matching = [m for m in every if pattern.fullmatch(m.key)]
        if not matching:
            sys.exit("guards.txt: matches no mutant: " + pattern.pattern)
        for mutant in matching:
            if options.match and not re.search(options.match, mutant.key):
                continue
            begin = time.time()
            what = try_mutant(worker, program, mutant, options)
            if what:
                found += 1
                print("found in %3.0f s: %s\n                %s" % (time.time() - begin, mutant.key, what), flush=True)
            elif what is None:
                missed += not excuse
                print("not found%s: %s" % (" (%s)" % excuse if excuse else "", mutant.key), flush=True)
    print("guards: %d removed guards found, %d missed" % (found, missed))
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
