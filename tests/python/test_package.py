# SPDX-License-Identifier: MIT
"""The package: what it shows, its tools, its types."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import lfi
from lfi import core


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(one) for one in command], capture_output=True, text=True, check=False)


def test_nothing_of_swig_is_public() -> None:
    for module in (lfi, core):
        public = [name for name in dir(module) if not name.startswith("_")]
        assert not [name for name in public if "swig" in name.lower() or name.startswith("lfi_")], module
    assert all(hasattr(lfi, name) for name in lfi.__all__)
    assert lfi.__version__ == core.version


def test_all_that_is_public_is_documented() -> None:
    missing = []
    for module in (lfi, core):
        for name in module.__all__:
            thing = getattr(module, name)
            if not (inspect.isclass(thing) or inspect.isroutine(thing)):
                continue
            if not inspect.getdoc(thing):
                missing.append(name)
            if inspect.isclass(thing) and thing.__module__.startswith("lfi"):
                for key, member in vars(thing).items():
                    routine = inspect.isroutine(member) or isinstance(member, property)
                    if not key.startswith("_") and routine and not inspect.getdoc(member):
                        missing.append(f"{name}.{key}")
    assert missing == []


def test_the_tools_are_there(tmp_path: Path) -> None:
    (tmp_path / "add.c").write_text("int add(int a, int b) { return a + b; }\n")
    (tmp_path / "main.c").write_text("int main(int argc, char **argv) { return argc; }\n")
    binaries = Path(sys.executable).parent
    for compiler in ([sys.executable, "-m", "lfi", "cc"], [binaries / "lfi-cc"]):
        done = run(*compiler, tmp_path / "add.c", "-o", tmp_path / "add.lfi")
        assert (done.returncode, done.stderr) == (0, "")
    run(binaries / "lfi-cc", tmp_path / "main.c", "-o", tmp_path / "main.lfi")
    assert run(binaries / "lfi-verify", tmp_path / "add.lfi").returncode == 0
    assert run(sys.executable, "-m", "lfi", "verify", tmp_path / "add.lfi").returncode == 0
    assert run(sys.executable, "-m", "lfi", "run", tmp_path / "main.lfi", "a", "b").returncode == 3
    assert run(binaries / "lfi-rewrite", "--help").returncode == 0
    with lfi.load(tmp_path / "add.lfi", header="int add(int a, int b);") as lib:
        assert lib.add(40, 2) == 42


def test_a_tool_that_is_unknown_is_said() -> None:
    done = run(sys.executable, "-m", "lfi", "nothing")
    assert done.returncode == 2 and "usage" in done.stderr
    assert run(sys.executable, "-m", "lfi", "--help").returncode == 0


def test_a_missing_compiler_is_said(tmp_path: Path) -> None:
    (tmp_path / "add.c").write_text("int add(int a, int b) { return a + b; }\n")
    done = subprocess.run(
        [sys.executable, "-m", "lfi", "cc", "add.c", "-o", "add.lfi"], cwd=tmp_path, env={"PATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0 and ("gcc" in done.stderr or "compiler" in done.stderr)


def test_the_import_loads_nothing_that_takes_long() -> None:
    slow = ("asyncio", "concurrent.futures", "hashlib", "numpy", "pathlib", "pycparser", "subprocess")
    done = run(sys.executable, "-I", "-S", "-c", "import sys; sys.path[:0] = " + repr([str(Path(lfi.__file__).parent.parent)])
               + f"; import lfi; print([name for name in {slow} if name in sys.modules])")  # fmt: skip
    assert done.stdout == "[]\n"


def test_types_are_checked_strictly(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    done = run(sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", tmp_path, "-p", "lfi")
    assert (done.returncode, done.stdout) == (0, "")


def test_stubs_are_what_is_there(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\n")
    done = run(sys.executable, "-m", "mypy.stubtest", "--concise", "--ignore-missing-stub", "--mypy-config-file", config, "lfi")
    assert (done.returncode, done.stdout) == (0, "")
