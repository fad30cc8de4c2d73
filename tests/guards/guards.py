#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Which guards of a module can be removed with no test failing? `./dev guards MODULE` runs this.

A guard is an `if` of lib/MODULE's C files; removed, its condition is still evaluated, and then is never taken to hold.
All of them are compiled into one library, in a copy of the tree, and the environment says which is removed, so that
nothing is built again. The module's tests run once with none removed: a guard can only be missed by tests in which its
condition holds, and those run, the quickest first, until one fails or hangs. What is printed is one line for each guard
that nobody missed. Some need no test: what only saves work, or the first of two guards against one thing. Those are in
equivalents.txt, with the reason, and are left out.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|(?<![#\w])if\s*\(|[()]', re.S)
GUARDS_MAX = 65536  # of mutant.c


def mutate(text, guards, path):
    """The text with each `if` made a guard that can be removed; adds (path, line, condition) to guards."""
    out, at, depth, opened = [], 0, 0, None
    for token in TOKEN.finditer(text):
        if token[0].startswith('if'):
            opened, depth = (token.end(), text.count('\n', 0, token.start()) + 1), 1
            out += [text[at:token.end()], '(']
            at = token.end()
        elif opened and token[0] in '()':
            depth += 1 if token[0] == '(' else -1
            if depth == 0:
                guards.append((path, opened[1], ' '.join(text[opened[0]:token.start()].split())))
                out += [text[at:token.start()], f') && mutant({len(guards)})']
                at, opened = token.start(), None
    return ''.join(out) + text[at:]


def prepare(source, tree, module):
    """Copy the tree, with the module's guards made removable. The list of them."""
    files = subprocess.run(['git', 'ls-files'], cwd=source, check=True, capture_output=True, text=True).stdout
    guards = []
    for name in files.splitlines():
        if not (source / name).is_file():
            continue
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if name.startswith(f'lib/{module}/') and name.endswith('.c'):
            text = mutate((source / name).read_text(), guards, name)
            text = f'#include "mutant.h"\n#line 1 "{name}"\n{text}'
            if not (tree / name).is_file() or (tree / name).read_text() != text:
                (tree / name).write_text(text)
        else:
            shutil.copy2(source / name, tree / name)
    for name in ('mutant.h', 'mutant.c'):
        shutil.copy2(source / 'tests/guards' / name, tree / 'lib' / module / name)
    return guards


def equivalents(file, guards, module):
    """The numbers of the guards that need no test: lines `PATH: if (CONDITION)` of the file, without a line number."""
    numbers = {}
    for n, (path, _, condition) in enumerate(guards, 1):
        numbers.setdefault(f'{path}: if ({condition})', []).append(n)
    entries = [line for line in file.read_text().splitlines() if line.startswith(f'lib/{module}/')]
    unclear = [entry for entry in entries if len(numbers.get(entry, [])) != 1]
    if unclear:
        sys.exit(f'guards: not one guard, as {file.name} says, but none or several:\n' + '\n'.join(unclear))
    return {numbers[entry][0] for entry in entries}


def known_tests(build_dir, module):
    """What ctest knows of them; without a command for what is not built yet."""
    shown = subprocess.run(['ctest', '--show-only=json-v1', '-R', f'^{module}_'], cwd=build_dir, check=True,
                           capture_output=True, text=True).stdout
    return json.loads(shown)['tests']


def build(tree, build_dir, module, jobs, sysroot_from):
    """Configure and build the module's tests. (name, command, environment) of each."""
    configure = ['cmake', '-G', 'Ninja', '-S', tree, '-B', build_dir, '-DCMAKE_BUILD_TYPE=Debug',
                 '-DCMAKE_C_FLAGS_DEBUG=-O1 -g1', '-DLFI_WERROR=OFF', '-DLFI_BENCH=OFF', '-DLFI_SYSROOT=OFF',
                 f'-DLFI_SYSROOT_FROM={sysroot_from or ""}']
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    names = [test['name'] for test in known_tests(build_dir, module)]
    subprocess.run(['cmake', '--build', build_dir, '-j', str(jobs), '--target'] + names, check=True,
                   stdout=subprocess.DEVNULL)
    tests = []
    for test in known_tests(build_dir, module):
        properties = {p['name']: p['value'] for p in test['properties']}
        tests.append((test['name'], test['command'], dict(e.split('=', 1) for e in properties.get('ENVIRONMENT', []))))
    return tests


def run(test, timeout, environment):
    """None, or how the test failed."""
    name, command, its_environment = test
    with tempfile.TemporaryDirectory(prefix='lfi-guards-') as folder:
        process = subprocess.Popen(command, cwd=folder, start_new_session=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env={**os.environ, **its_environment, **environment})
        try:
            status = process.wait(timeout)
            return f'{name} ends with {status}' if status else None
        except subprocess.TimeoutExpired:
            return f'{name} hangs'
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def reach(test, marks):
    """Run with nothing removed: (seconds, the guards whose conditions held)."""
    marks.write_bytes(bytes(GUARDS_MAX))
    start = time.monotonic()
    failed = run(test, 300, {'LFI_MUTANTS': str(marks)})
    if failed:
        sys.exit(f'guards: {failed} although no guard is removed')
    return time.monotonic() - start, {n for n, held in enumerate(marks.read_bytes()) if held}


def missed(n, tests, costs, reached):
    """How the first test fails without guard n; None when all pass."""
    for test in sorted((t for t in tests if n in reached[t[0]]), key=lambda t: costs[t[0]]):
        failed = run(test, 20 + 3 * costs[test[0]], {'LFI_MUTANT': str(n)})
        if failed:
            return failed
    return None


def main():
    parser = argparse.ArgumentParser(description='Find guards that no test misses.')
    parser.add_argument('module', help='a folder of lib/')
    parser.add_argument('--source', type=pathlib.Path, required=True)
    parser.add_argument('--output', type=pathlib.Path, required=True, help='where the copy is built')
    parser.add_argument('--sysroot-from', help="a build that has programs for the tests")
    parser.add_argument('--only', default='', help='guards whose FILE:LINE starts with this')
    parser.add_argument('--jobs', type=int, default=os.cpu_count())
    parser.add_argument('--verbose', action='store_true', help='one line for each guard')
    options = parser.parse_args()
    options.source, options.output = options.source.resolve(), options.output.resolve()
    guards = prepare(options.source, options.output / 'tree', options.module)
    left_out = equivalents(options.source / 'tests/guards/equivalents.txt', guards, options.module)
    tests = build(options.output / 'tree', options.output / 'build', options.module, options.jobs, options.sysroot_from)
    costs, reached = {}, {}
    for test in tests:
        costs[test[0]], reached[test[0]] = reach(test, options.output / 'marks')
    chosen = [n for n, (path, line, _) in enumerate(guards, 1) if f'{path}:{line}'.startswith(options.only)]
    if not options.only:
        chosen = [n for n in chosen if n not in left_out]
    print(f'guards: {len(chosen)} guards, {len(tests)} tests of {sum(costs.values()):.0f} s', flush=True)
    lived = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for n, failed in zip(chosen, pool.map(lambda n: missed(n, tests, costs, reached), chosen)):
            path, line, condition = guards[n - 1]
            lived += not failed
            if not failed:
                held = [name for name in reached if n in reached[name]]
                failed = f'not missed by {" ".join(held)}' if held else 'holds in no test'
            elif not options.verbose:
                continue
            print(f'{path}:{line}: if ({condition}): {failed}', flush=True)
    print(f'guards: {lived} of {len(chosen)} guards were not missed')


main()
