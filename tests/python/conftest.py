# SPDX-License-Identifier: MIT
"""What the tests share. They run in a virtual environment that has the wheel installed: see setup.sh."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

import lfi

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"


def pytest_configure(config: Any) -> None:
    if str(HERE.parent.parent / "bindings") in lfi.__file__:
        pytest.exit("these tests are for an installed wheel, not the source tree", 2)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compiles a C file with the lfi-cc of the wheel."""
    folder = tmp_path_factory.mktemp("programs")
    made: dict[tuple[str, ...], Path] = {}

    def compile(source: Path, *flags: str) -> Path:
        key = (str(source), *flags)
        if key not in made:
            output = folder / f"{source.stem}-{len(made)}.lfi"
            subprocess.run(
                [
                    sys.executable, "-m", "lfi", "cc", str(source), "-I", HERE.parent / "scenarios", "-O2",
                    "-fno-omit-frame-pointer", *flags, "-o", output, "-lm",
                ],
                check=True,
            )  # fmt: skip
            made[key] = output
        return made[key]

    return compile


@pytest.fixture(scope="session")
def program(compiled: Callable[..., Path]) -> Path:
    return compiled(PROGRAMS / "program.c")


@pytest.fixture(scope="session")
def library_path(compiled: Callable[..., Path]) -> Path:
    return compiled(PROGRAMS / "library.c")


@pytest.fixture(scope="session")
def header() -> Path:
    return PROGRAMS / "library.h"


@pytest.fixture(scope="session")
def module(library_path: Path, header: Path) -> lfi.Module:
    return lfi.Module(library_path, header)


@pytest.fixture
def lib(module: lfi.Module) -> Iterator[Any]:
    library = module.load()
    yield library
    if not library.closed:
        library.close()


@pytest.fixture
def python() -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs Python code in a process of its own."""

    def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as folder:
            return subprocess.run(
                [sys.executable, "-X", "dev", "-c", code], cwd=folder, capture_output=True, text=True, timeout=120,
                env={**os.environ, **environment}, check=False,
            )  # fmt: skip

    return run
