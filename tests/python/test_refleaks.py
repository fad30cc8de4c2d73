# SPDX-License-Identifier: MIT
"""No test leaves references behind; refleaks.py counts them, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_no_references_are_left(library_path: Path, program: Path) -> None:
    done = subprocess.run(
        [sys.executable, HERE / "refleaks.py", library_path, program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    *found, last = done.stdout.splitlines()
    assert found == []
    assert int(last.split()[0]) > 80


@pytest.mark.parametrize("leak", ["sys.getrefcount", "lambda: memoryview(bytearray(1))"], ids=["a reference", "an object"])
def test_a_leak_is_found(leak: str) -> None:
    """Of the counting itself: with a function that keeps what it is given, as C code can."""
    code = f"""
import ctypes, refleaks, sys
what = {leak}
keep = ctypes.pythonapi.Py_IncRef
keep.argtypes = [ctypes.py_object]
print(refleaks.kept(lambda: keep(what() if what.__name__ == "<lambda>" else what)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout != "[]\n", done.stderr
