# SPDX-License-Identifier: MIT
"""The package: what it shows, its tools, its types."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import lfi
from lfi import core

PACKAGE = Path(lfi.__file__).parent
SOURCE = Path(os.environ["LFI_SOURCE"])


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(one) for one in command], capture_output=True, text=True, check=False)


def test_nothing_of_swig_is_public() -> None:
    for module in (lfi, core):
        public = [name for name in dir(module) if not name.startswith("_")]
        assert not [name for name in public if "swig" in name.lower() or name.startswith("lfi_")], module
    assert all(hasattr(lfi, name) for name in lfi.__all__)
    assert lfi.__version__ == core.version


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
    # It has its help, or says that libclang for Python is missing.
    done = run(binaries / "lfi-bind", "--help")
    assert "lfi-bind" in done.stdout or "libclang" in done.stderr
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
    done = run(sys.executable, "-I", "-S", "-c", "import sys; sys.path[:0] = " + repr([str(PACKAGE.parent)])
               + f"; import lfi; print([name for name in {slow} if name in sys.modules])")  # fmt: skip
    assert done.stdout == "[]\n"


def test_mypy_finds_the_types_strict(tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", tmp_path, "-p", "lfi")
    assert (done.returncode, done.stdout) == (0, "")


def pyright(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyright", "--pythonversion", "3.10", *arguments]
    # Its own copy, not the newest that there is.
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    return subprocess.run([str(one) for one in command], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_pyright_finds_the_types_strict(tmp_path: Path) -> None:
    """With the settings of the package; on a copy, as it leaves alone what is installed."""
    shutil.copytree(PACKAGE, tmp_path / "lfi", ignore=shutil.ignore_patterns("_data"))
    shutil.copy(SOURCE / "bindings" / "python" / "pyproject.toml", tmp_path)
    done = pyright(tmp_path, "--warnings", "--pythonpath", sys.executable, "-p", "pyproject.toml")
    assert (done.returncode, done.stdout) == (0, "0 errors, 0 warnings, 0 informations\n"), done.stderr


WRONG = {
    'lfi.run(["a"], timout=1)': "timout",
    'lfi.Popen(["a"], memory_limit="1")': "memory_limit",
    'lfi.Pool("a", stdout=1)': "stdout",
    'lfi.load("a", header=1)': "header",
    'lfi.load("a").alloc(1.5)': "what",
    "lfi.core": "",
}


def test_users_have_types(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text("import lfi\nimport lfi.core\n" + "".join(f"{one}\n" for one in WRONG))
    done = pyright(tmp_path, "--pythonpath", sys.executable, "user.py")
    for number, (line, word) in enumerate(WRONG.items(), 3):
        said = [one for one in done.stdout.splitlines() if f"user.py:{number}:" in one and " error: " in one]
        assert word in said[0] if word else not said, (line, done.stdout)


def test_stubs_are_what_is_there(tmp_path: Path) -> None:
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\n")
    done = run(sys.executable, "-m", "mypy.stubtest", "--concise", "--mypy-config-file", config, "lfi")
    assert (done.returncode, done.stdout) == (0, "")


def test_the_wheel_is_for_all_linuxes_that_have_its_libc() -> None:
    (wheel,) = (Path(os.environ["LFI_BUILD"]) / "python" / "dist").glob("*.whl")
    assert re.fullmatch(r"lfi-[\d.]+-cp310-abi3-manylinux_2_\d+_x86_64\.whl", wheel.name)
    done = run(sys.executable, "-m", "auditwheel", "show", wheel)
    tag = wheel.stem.split("-")[-1]
    assert done.returncode == 0 and f'"{tag}"' in " ".join(done.stdout.split()), done.stdout + done.stderr
