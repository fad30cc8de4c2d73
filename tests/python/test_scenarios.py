# SPDX-License-Identifier: MIT
"""The list that all faces of the library walk: tests/scenarios/scenarios.toml."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any, Callable

import pytest

import lfi

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent.parent / "scenarios"
LIST = tomllib.loads((FOLDER / "scenarios.toml").read_text())

HEADER = """
int add(int a, int b); int64_t wide(int64_t a); double scale(double a, float b);
int many(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j);
struct point { int x, y; }; struct point mirror(struct point p);
int length(const char *text); const char *greeting(void); int apply(int (*f)(int), int x);
int count(void); int count_mine(void); void write_to(int *p); int divide(int a, int b); int recurse(int n);
void give_up(void); void illegal(void); void spin(void); int sum_avx2(int n);
"""

ERRORS = {
    "fault": lfi.Fault,
    "timeout": lfi.Timeout,
    "interrupted": lfi.Interrupted,
    "limit": lfi.LimitExceeded,
    "verify": lfi.VerificationError,
    "program": lfi.ProgramError,
    "raised": ZeroDivisionError,
}


def able(scenario: dict[str, Any]) -> None:
    if "python" in scenario.get("not", {}):
        pytest.skip(scenario["not"]["python"])
    needs = scenario.get("needs")
    if needs and needs not in Path("/proc/cpuinfo").read_text():
        pytest.skip(f"this processor has no {needs}")


def names(scenarios: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(one, id=one["name"].replace(" ", "-")) for one in scenarios]


# ---- Programs ----


def patched(program: Path, how: str) -> bytes:
    """The program with a load through rax in place of its entry, or with another machine in its header."""
    image = bytearray(program.read_bytes())
    if how == "header":
        image[18:20] = b"\xb7\0"
        return bytes(image)
    import struct

    offset, size, count = struct.unpack_from("<32xQ14xHH", image)
    for i in range(count):
        kind, flags, place = struct.unpack_from("<IIQ", image, offset + i * size)
        if kind == 1 and flags & 1:
            image[place : place + 3] = bytes.fromhex("488b00")
    return bytes(image)


def run(program: Path, scenario: dict[str, Any], folder: Path) -> lfi.CompletedProcess:
    options: dict[str, Any] = {key: scenario[key] for key in ("env", "timeout", "memory_limit") if key in scenario}
    options["dirs"] = {inside: f"{folder}{mark}" for inside, mark in scenario.get("dirs", {}).items()}
    args = [str(program), *scenario["arguments"]]
    if "patch" in scenario:
        options["program"] = patched(program, scenario["patch"])
    if scenario.get("interrupt"):
        process = lfi.Popen(args, **options)
        process.kill()
        process.wait()
    if scenario.get("input_blocks"):
        read, write = os.pipe()
        try:
            return lfi.run(args, stdin=read, capture_output=True, **options)
        finally:
            os.close(read)
            os.close(write)
    return lfi.run(args, input=scenario.get("input", ""), capture_output=True, **options)


@pytest.mark.parametrize("scenario", names(LIST["program"]))
def test_program(scenario: dict[str, Any], compiled: Callable[..., Path], tmp_path: Path) -> None:
    able(scenario)
    program = compiled(FOLDER / "program.c")
    (tmp_path / "file").write_text("content\n")
    (tmp_path / "link").symlink_to("/etc/passwd")
    if "error" in scenario:
        with pytest.raises(ERRORS[scenario["error"]]) as caught:
            run(program, scenario, tmp_path)
        if "kind" in scenario:
            assert caught.value.kind == scenario["kind"]
        return
    done = run(program, scenario, tmp_path)
    assert done.stdout.decode() == scenario.get("stdout", "")
    assert done.returncode == scenario.get("status", 0)
    if "stderr" in scenario:
        assert done.stderr.decode() == scenario["stderr"]


# ---- Libraries ----


def argument(lib: Any, value: Any, function: str) -> Any:
    if value == "twice":
        return lib.register("int(int)", lambda x: x * 2)
    if value == "nested":
        twice = lib.register("int(int)", lambda x: x * 2)
        return lib.register("int(int)", lambda x: lib.apply(twice, x))
    if value == "raises":
        return lib.register("int(int)", lambda x: 1 // 0)
    return None if function == "write_to" else value


def plain(value: Any) -> Any:
    if isinstance(value, lfi.Pointer):
        return value.text()
    return {"x": value.x, "y": value.y} if hasattr(value, "x") else value


def call(lib: Any, row: list[Any], timeout: Any) -> None:
    function, *arguments = row
    result = None
    if arguments:
        result = arguments.pop()
    args = [argument(lib, one, function) for one in arguments]
    options = {} if timeout is None else {"timeout": timeout}
    if isinstance(result, dict) and "error" in result:
        with pytest.raises(ERRORS[result["error"]]) as caught:
            getattr(lib, function)(*args, **options)
        if "kind" in result:
            assert caught.value.kind == result["kind"]
    else:
        assert plain(getattr(lib, function)(*args, **options)) == result


def in_a_thread(work: Callable[[], None]) -> None:
    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


@pytest.mark.parametrize("scenario", names(LIST["library"]))
def test_library(scenario: dict[str, Any], compiled: Callable[..., Path]) -> None:
    able(scenario)
    module = lfi.Module(compiled(FOLDER / "library.c"), HEADER)
    timeout, fresh = scenario.get("timeout"), scenario.get("fresh")
    if fresh == "reset":
        with lfi.Pool(module, workers=1) as pool:
            for row in scenario["calls"]:
                with pool.sandbox() as lib:
                    call(lib, row, timeout)
        return
    if "boxes" in scenario:
        with lfi.Pool(module, workers=scenario["boxes"]) as pool:
            taken = [pool.sandbox() for _ in range(scenario["boxes"])]
            for sandbox in taken:
                for row in scenario["calls"]:
                    call(sandbox.__enter__(), row, timeout)
            for sandbox in taken:
                sandbox.__exit__(None, None, None)
        return
    lib = module.load()
    others = []
    for row in scenario["calls"]:
        if fresh == "thread":
            in_a_thread(lambda row=row: call(lib, row, timeout))
        else:
            call(lib, row, timeout)
        if fresh == "second":
            others.append(lib)
            lib = module.load()
    for one in [lib, *others]:
        one.close()
