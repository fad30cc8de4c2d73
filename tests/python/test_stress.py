# SPDX-License-Identifier: MIT
"""What must not grow, and what must not race."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable

import pytest

import lfi
from lfi import core

ADD = bytes.fromhex("8d0437 59 83e1e0 4c01f1 ffe1")


def resident() -> int:
    """Bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def stays_flat(step: Callable[[], object], times: int, room: int = 4 << 20) -> None:
    """After a tenth of them, memory does not grow by more than `room` bytes."""
    for _ in range(times // 10):
        step()
    gc.collect()
    before = resident()
    for _ in range(times):
        step()
    gc.collect()
    assert resident() - before < room


def test_boxes_come_and_go() -> None:
    """100,000 of them, each created, called and freed; code is verified once, as it is the same."""
    with core.Engine(4) as engine:

        def step() -> None:
            with engine.box() as box:
                page = box.map(4096)
                box.write(page, ADD)
                box.protect(page, 4096, core.Prot.READ | core.Prot.EXEC)
                ctx = box.context()
                ctx.registers.sp = box.map(4096) + 4096
                assert ctx.function(page, "i(ii)")(40, 2) == 42

        stays_flat(step, 90_000 if not sys.flags.dev_mode else 20_000)


def test_calls_leave_nothing(lib: Any) -> None:
    callback = lib.register("int(int)", lambda x: x)

    def step() -> None:
        lib.apply(callback, 1)
        lib.length("some text")
        lib.mirror(lib.point(1, 2))
        out = lfi.Out(100)
        lib.fill(out, 100, 1)
        node = lib.first()
        node.w = 1.0
        view = node.view()
        view.release()
        lib.free(lib.alloc("double", 10))

    stays_flat(step, 20_000)


def test_errors_leave_nothing(lib: Any) -> None:
    def fail(x: int) -> int:
        raise KeyError(x)

    callback = lib.register("int(int)", fail)

    def step() -> None:
        for call, error in (
            (lambda: lib.apply(callback, 1), KeyError),
            (lambda: lib.write_to(None), lfi.Fault),
            (lambda: lib.add("x", 1), TypeError),
            (lambda: lib.add(1 << 40, 1), OverflowError),
            (lambda: lib.bogus().read(4), lfi.AccessError),
        ):
            with pytest.raises(error):
                call()

    stays_flat(step, 1_000)


def test_libraries_come_and_go(module: lfi.Module) -> None:
    def step() -> None:
        library = module.load()
        library.register("int(int)", lambda x: library.add(x, 1))
        assert library.add(1, 2) == 3

    stays_flat(step, 300)


def test_programs_come_and_go(program: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))

    def step() -> None:
        lfi.run([program, "copy"], input=b"data", capture_output=True)

    stays_flat(step, 500)
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 3
    assert threading.active_count() < 10


def test_pooled_sandboxes_come_and_go(module: lfi.Module) -> None:
    with lfi.Pool(module, workers=2) as pool:

        def step() -> None:
            with pool.sandbox() as lib:
                lib.register("int(int)", lambda x: x)
                lib.alloc(100_000)
                assert lib.add(1, 2) == 3

        stays_flat(step, 5_000)


def test_threads_share_a_library(lib: Any) -> None:
    """Calls, callbacks, memory, faults, deadlines and threads that come and go, all at once."""
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            callback = lib.register("int(int)", lambda x: x + seed)
            for i in range(200):
                assert lib.add(i, seed) == i + seed
                assert lib.apply(callback, i) == i + seed + 1
                pointer = lib.alloc("int", 100)
                pointer[5] = i
                assert pointer[5] == i and lib.length("x" * (i + 1)) == i + 1
                lib.free(pointer)
                if i % 20 == 0:
                    with pytest.raises(lfi.Fault):
                        lib.write_to(None)
                    with pytest.raises(lfi.Timeout):
                        lib.spin(timeout=0.001)
            lib.release(callback)
        except BaseException as error:
            failures.append(error)

    for _ in range(2):
        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


def test_closing_races_with_calls(module: lfi.Module) -> None:
    for _ in range(5):
        library = module.load()
        started = threading.Event()
        ends: list[object] = []

        def work() -> None:
            try:
                while True:
                    library.add(1, 2)
                    pointer = library.alloc(64)
                    pointer.view(64)[0] = 1
                    library.free(pointer)
                    started.set()
                    # Else who closes gets the interpreter only while this thread is in the library.
                    time.sleep(0.0002)
            except lfi.Error as error:
                ends.append(str(error))

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        started.wait()
        while True:
            try:
                library.close()
                break
            except lfi.BusyError:
                pass
        for thread in threads:
            thread.join()
        assert len(ends) == 2 and all("closed" in str(end) for end in ends)


def test_closing_races_with_the_core_api() -> None:
    for _ in range(20):
        with core.Engine(1) as engine:
            box = engine.box()
            started = threading.Barrier(3)
            ends: list[str] = []

            def work() -> None:
                started.wait()
                try:
                    while True:
                        ctx = box.context()
                        ctx.registers.sp = page = box.map(4096)
                        box.write(page, ADD)
                        box.protect(page, 4096, core.Prot.READ)
                        box.view(page, 16, readonly=True).release()
                        box.unmap(page, 4096)
                        ctx.close()
                        box.info()
                except lfi.Error as error:
                    ends.append(str(error))

            threads = [threading.Thread(target=work) for _ in range(2)]
            for thread in threads:
                thread.start()
            started.wait()
            while not box.closed:
                try:
                    box.close()
                except lfi.BusyError:
                    pass
            for thread in threads:
                thread.join()
            assert len(ends) == 2 and all("closed" in end for end in ends), ends


def test_references_are_balanced(lib: Any) -> None:
    """Each object that goes through a call has as many references after it as before."""
    data, text, number, callback = b"bytes", "text", 1 << 40, lambda x: x
    pointer = lib.register("int(int)", callback)
    objects = (data, text, number, callback, pointer, lib.point, None, KeyError)

    def step() -> None:
        lib.length(data)
        lib.length(text)
        lib.same64(number)
        lib.apply(pointer, 1)
        lib.mirror(lib.point(1, 2))
        lib.write_to(lib.alloc("int"))
        with pytest.raises(TypeError):
            lib.add(data, text)
        with pytest.raises(OverflowError):
            lib.add(number, number)

    step()
    before = [sys.getrefcount(one) for one in objects]
    for _ in range(200):
        step()
    gc.collect()
    after = [sys.getrefcount(one) for one in objects]
    # None and classes are used by others, too.
    assert all(b - a < 50 for a, b in zip(before, after)), (before, after)
