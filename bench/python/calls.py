# SPDX-License-Identifier: MIT
"""What a call into a sandbox costs from Python, beside ctypes and cffi calling the same C function natively, and wasmtime running it.

    python bench/python/calls.py [--json FILE] [--rounds N]

Rows are measured in turn, several rounds, in one run: the median counts. Prints a table. cffi and wasmtime are measured where they are
installed.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

import lfi

HERE = Path(__file__).parent
HEADER = "int add(int a, int b); int apply(int (*f)(int), int x); int touch(uint8_t *p, size_t n);"
MEGABYTE = 1 << 20
ADD_WASM = """(module (import "host" "f" (func $f (param i32) (result i32)))
  (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
  (func (export "apply") (param i32) (result i32) local.get 0 call $f))"""

Row = tuple[str, int, Callable[[int], float]]


def statement(code: str, **names: Any) -> Callable[[int], float]:
    """A timer of `code`: seconds that n of them take."""
    space = {"clock": time.perf_counter, **names}
    exec(f"def timer(n):\n  r = range(n)\n  t = clock()\n  for _ in r:\n    {code}\n  return clock() - t\n", space)
    timer: Callable[[int], float] = space["timer"]
    return timer


def native_rows(path: Path) -> list[Row]:
    library = ctypes.CDLL(str(path))
    add, apply, touch = library.add, library.apply, library.touch
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
    add.argtypes = [ctypes.c_int, ctypes.c_int]
    apply.argtypes = [callback, ctypes.c_int]
    touch.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return [
        ("add, ctypes", 100_000, statement("f(2, 3)", f=add)),
        ("callback, ctypes", 20_000, statement("f(g, 3)", f=apply, g=callback(lambda x: x))),
    ]


def cffi_rows(path: Path) -> list[Row]:
    try:
        import cffi
    except ImportError:
        return []
    ffi = cffi.FFI()
    ffi.cdef("int add(int a, int b); int apply(int (*f)(int), int x);")
    library = ffi.dlopen(str(path))
    keep = ffi.callback("int(int)", lambda x: x)
    return [
        ("add, cffi (ABI mode)", 100_000, statement("f(2, 3)", f=library.add)),
        ("callback, cffi (ABI mode)", 20_000, statement("f(g, 3)", f=library.apply, g=keep)),
    ]


def wasm_rows() -> list[Row]:
    try:
        import wasmtime as w
    except ImportError:
        return []
    store = w.Store()
    module = w.Module(store.engine, ADD_WASM)
    host = w.Func(store, w.FuncType([w.ValType.i32()], [w.ValType.i32()]), lambda x: x)
    exports = w.Instance(store, module, [host]).exports(store)
    return [
        ("add, wasmtime", 20_000, statement("f(s, 2, 3)", f=exports["add"], s=store)),
        ("callback, wasmtime", 20_000, statement("f(s, 3)", f=exports["apply"], s=store)),
    ]


def lfi_rows(path: Path) -> list[Row]:
    lib = lfi.load(path, header=HEADER)
    data = bytearray(MEGABYTE)
    other = bytearray(MEGABYTE)
    block = lib.alloc(MEGABYTE)
    return [
        ("add, lfi", 100_000, statement("f(2, 3)", f=lib.add)),
        ("add, lfi, by attribute", 100_000, statement("lib.add(2, 3)", lib=lib)),
        ("add with a timeout, lfi", 20_000, statement("f(2, 3, timeout=1.0)", f=lib.add)),
        ("callback, lfi", 20_000, statement("f(g, 3)", f=lib.apply, g=lib.register("int(int)", lambda x: x))),
        ("1 MB in, lfi", 200, statement("p.write(d)", p=block, d=data)),
        ("1 MB out, lfi", 200, statement("p.read_into(d)", p=block, d=data)),
        ("1 MB copied in Python", 200, statement("d[:] = o", d=memoryview(data), o=other)),
        ("call with 1 MB in and out, lfi", 50, statement("f(d, n)", f=lib.touch, d=data, n=MEGABYTE)),
        ("view of 1 MB, lfi", 5_000, statement("p.view(n).release()", p=block, n=MEGABYTE)),
        ("view of 16 bytes, lfi", 5_000, statement("p.view(16).release()", p=block)),
    ]


def pool_rows(path: Path) -> list[Row]:
    pool = lfi.Pool(path, header=HEADER, workers=2)

    def once() -> None:
        with pool.sandbox() as lib:
            lib.add(2, 3)

    return [
        ("take, call, give back a sandbox, Pool", 2_000, statement("f()", f=once)),
        ("submit to a Pool", 500, statement("f('add', 2, 3).result()", f=pool.submit)),
    ]


def import_time(times: int) -> float:
    """Seconds of `times` imports, each in an interpreter of its own."""
    code = "from time import perf_counter as clock; t = clock(); import lfi; print(clock() - t)"
    return sum(float(subprocess.run([sys.executable, "-c", code], capture_output=True).stdout) for _ in range(times))


def program_rows(sandboxed: Path, native: Path) -> list[Row]:
    def by_lfi() -> None:
        assert lfi.run([sandboxed], capture_output=True).stdout == b"hello\n"

    def by_subprocess() -> None:
        assert subprocess.run([native], capture_output=True).stdout == b"hello\n"

    return [
        ("hello, lfi.run", 30, statement("f()", f=by_lfi)),
        ("hello, subprocess.run", 30, statement("f()", f=by_subprocess)),
        ("import lfi", 5, import_time),
    ]


#: What the goals are about: row, compared with, at most.
RATIOS = [
    ("add, lfi", "add, ctypes", 0.6),
    ("callback, lfi", "callback, ctypes", None),
    ("1 MB in, lfi", "1 MB copied in Python", None),
    ("1 MB out, lfi", "1 MB copied in Python", None),
    ("hello, lfi.run", "hello, subprocess.run", 0.5),
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cc = [sys.executable, "-m", "lfi", "cc", "-O2"]
        subprocess.run([*cc, HERE / "library.c", "-o", folder / "library.lfi"], check=True)
        subprocess.run([*cc, HERE / "hello.c", "-o", folder / "hello.lfi"], check=True)
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", HERE / "library.c", "-o", folder / "library.so"], check=True)
        subprocess.run(["cc", "-O2", HERE / "hello.c", "-o", folder / "hello"], check=True)
        rows = [
            *native_rows(folder / "library.so"), *cffi_rows(folder / "library.so"), *wasm_rows(),
            *lfi_rows(folder / "library.lfi"), *pool_rows(folder / "library.lfi"),
            *program_rows(folder / "hello.lfi", folder / "hello"),
        ]  # fmt: skip
        results: dict[str, list[float]] = {row: [] for row, _, _ in rows}
        empty = statement("pass")
        for _ in range(options.rounds):
            for row, times, timer in rows:
                timer(max(1, times // 20))
                results[row].append((timer(times) - empty(times)) / times * 1e9)
    print(f"{'what':40} {'ns':>12} {'best':>12}")
    for row, values in results.items():
        print(f"{row:40} {statistics.median(values):12.0f} {min(values):12.0f}")
    for row, other, aim in RATIOS:
        ratio = statistics.median(results[row]) / statistics.median(results[other])
        print(f"{row} / {other}: {ratio:.2f}" + (f" (aim: {aim})" if aim else ""))
    if options.json:
        options.json.write_text(
            json.dumps({row: {"median_ns": statistics.median(v), "best_ns": min(v)} for row, v in results.items()}, indent=2)
        )


if __name__ == "__main__":
    main()
