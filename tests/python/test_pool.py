# SPDX-License-Identifier: MIT
"""Pools: each job in a sandbox as new."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import Any, Iterator

import pytest

import lfi


@pytest.fixture
def pool(module: lfi.Module) -> Iterator[lfi.Pool]:
    with lfi.Pool(module, workers=3) as pool:
        yield pool


def test_a_pool_is_an_executor(pool: lfi.Pool) -> None:
    assert isinstance(pool, Executor)
    assert pool.submit("add", 2, 3).result() == 5
    assert list(pool.map("add", range(100), range(100))) == [2 * i for i in range(100)]
    futures = [pool.submit(lambda lib, i: lib.add(i, i), i) for i in range(20)]
    assert sorted(future.result() for future in as_completed(futures)) == [2 * i for i in range(20)]


def test_no_job_finds_what_another_left(pool: lfi.Pool) -> None:
    def job(lib: Any) -> int:
        counter = lib.variable("counter", "int")
        value = counter.value
        counter.value = 99
        lib.alloc(100_000).write(b"x" * 100_000)
        lib.register("int(int)", lambda x: x)
        return int(value)

    assert [future.result() for future in [pool.submit(job) for _ in range(30)]] == [3] * 30


def test_callbacks_do_not_outlive_their_job(module: lfi.Module) -> None:
    called: list[int] = []

    def first(lib: Any) -> int:
        return int(lib.register("int(int)", lambda x: called.append(x) or x)._parts()[1])

    def second(lib: Any, address: int) -> None:
        lib.apply(lfi.Pointer(lib._sandbox, address, None), 5)

    with lfi.Pool(module, workers=1) as pool:
        addresses = {pool.submit(first).result() for _ in range(5)}
        for address in addresses:
            with pytest.raises(lfi.Fault):
                pool.submit(second, address).result()
        assert called == [] and len(addresses) == 1
        # Far more than there is room for in one sandbox.
        for _ in range(2000):
            pool.submit(first).result()


def test_a_job_that_fails_harms_no_other(pool: lfi.Pool) -> None:
    for _ in range(10):
        with pytest.raises(lfi.Fault):
            pool.submit("write_to", None).result()
        with pytest.raises(lfi.Timeout):
            pool.submit("spin", timeout=0.01).result()
        with pytest.raises(lfi.Interrupted):
            pool.submit("leave", 3).result()
        assert pool.submit("add", 1, 2).result() == 3


def test_pointers_do_not_outlive_their_job(pool: lfi.Pool) -> None:
    pointer = pool.submit(lambda lib: lib.alloc(16)).result()
    with pytest.raises(lfi.Error, match="reset"):
        pointer.read(1)
    with pool.sandbox() as lib, pytest.raises(lfi.Error, match="reset|another"):
        lib.function("release", "void(void *)")(pointer)


def test_views_outlive_their_job(pool: lfi.Pool) -> None:
    views = [pool.submit(lambda lib: lib.alloc(64).view(64)).result() for _ in range(12)]
    for i, view in enumerate(views):
        view[0] = i
    assert list(pool.map("add", range(50), range(50))) == [2 * i for i in range(50)]
    assert [view[0] for view in views] == list(range(12))


def test_a_setup_is_in_each_sandbox(module: lfi.Module) -> None:
    made: list[int] = []

    def setup(lib: Any) -> None:
        lib.variable("counter", "int").value = 40
        made.append(lib.register("int(int)", lambda x: x * 2)._parts()[1])

    def job(lib: Any) -> tuple[int, int]:
        # The callback was registered before the snapshot: it is at the same place in each clone.
        pointer = lfi.Pointer(lib._sandbox, made[0], None)
        return lib.count(), lib.apply(pointer, 4)

    with lfi.Pool(module, workers=2, setup=setup) as pool:
        assert [pool.submit(job).result() for _ in range(6)] == [(40, 9)] * 6


def test_a_pool_that_is_shut_down_takes_no_jobs(module: lfi.Module) -> None:
    pool = lfi.Pool(module, workers=1)
    future = pool.submit("add", 1, 2)
    pool.shutdown()
    pool.shutdown()
    assert future.result() == 3
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit("add", 1, 2)
    with pytest.raises(lfi.Error, match="shut down"):
        with pool.sandbox():
            pass


def test_bad_jobs_are_refused(pool: lfi.Pool) -> None:
    with pytest.raises(AttributeError, match="nothing"):
        pool.submit("nothing")
    with pytest.raises(TypeError):
        pool.submit(5)
    with pytest.raises(ValueError, match="workers=0"):
        lfi.Pool(b"", workers=0)
    import pickle

    with pytest.raises(TypeError, match="Module"):
        pickle.dumps(pool)


def test_programs_that_cannot_be_cloned_say_so(compiled: Any) -> None:
    if not Path(lfi.__file__).with_name("_data").joinpath("share", "lfi", "sysroot", "lib", "no-poc").exists():
        pytest.skip("the wheel's sysroot has no variant for --no-poc: LFI_SYSROOT_VARIANTS leaves it out")
    path = compiled(Path(__file__).parent / "programs" / "library.c", "--no-poc")
    with pytest.raises(lfi.Error, match="oblivious"):
        lfi.Pool(path, header="int add(int a, int b);", workers=1)


def test_a_pool_has_the_options_of_a_library(library_path: Path, header: Path, module: lfi.Module) -> None:
    with lfi.Pool(library_path, header, workers=1, memory_limit=16 << 20) as pool:
        for _ in range(3):
            with pytest.raises(lfi.LimitExceeded):
                pool.submit(lambda lib: lib.alloc(32 << 20)).result()
            assert pool.submit(lambda lib: lib.alloc(1 << 20).read(1)).result() == b"\0"
    for wrong in ({"memory_limt": 1}, {"stdout": 1}):
        with pytest.raises(TypeError):
            lfi.Pool(library_path, header, **wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Module"):
        lfi.Pool(module, memory_limit=1)


def test_many_threads_take_sandboxes(pool: lfi.Pool) -> None:
    results: list[int] = []

    def work(i: int) -> None:
        for k in range(50):
            with pool.sandbox() as lib:
                lib.variable("counter", "int").value = i
                results.append(lib.count() - i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0] * 400
