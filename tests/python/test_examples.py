# SPDX-License-Identifier: MIT
"""The examples run and print what they say, and so does the README."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(os.environ.get("LFI_SOURCE", Path(__file__).parent.parent.parent))
EXAMPLES = SOURCE / "examples" / "python"

EXPECTED = {
    "first": """add(2, 3) = 5
a guard hit in crash, and Python goes on
a loop, ended after 0.1 s
add(40, 2) = 42
""",
    "programs": """/data/greeting: hello from the host
/etc/passwd: No such file or directory
read: one
read: two
return code 3
""",
    "checksums": """b'' cbf29ce484222325
b'a' af63dc4c8601ec8c
b'!bad' fault in digest
b'foobar' 85944171f73967e8
""",
}


def python(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_an_example_prints_what_it_says(name: str, tmp_path: Path) -> None:
    done = python(EXAMPLES / f"{name}.py", cwd=tmp_path)
    assert (done.stdout, done.returncode) == (EXPECTED[name], 0), done.stderr


PNG = """as it should be:
  good: 16 x 8, the last pixel is (15, 7, 128, 255)
  cut off: refused: read beyond end of data
  damaged: refused: IDAT: incorrect data check
  too large: refused: the image is too large
  attack: 16 x 8, the last pixel is (15, 7, 128, 255)
  good again: 16 x 8, the last pixel is (15, 7, 128, 255)
exploitable:
  good: 16 x 8, the last pixel is (15, 7, 128, 255)
  cut off: refused: read beyond end of data
  damaged: refused: IDAT: incorrect data check
  too large: refused: the image is too large
  attack: contained: jump to data at 0x41414140
  good again: 16 x 8, the last pixel is (15, 7, 128, 255)
"""


def test_an_exploit_of_a_png_decoder_is_contained(tmp_path: Path) -> None:
    archives = []
    for name in ("libpng", "zlib"):
        done = subprocess.run(
            [SOURCE / "toolchain" / "fetch.sh", name, SOURCE / "build" / "downloads"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        archives.append(done.stdout.strip())
    done = python(EXAMPLES / "png" / "png.py", *archives, cwd=tmp_path)
    assert (done.stdout, done.returncode) == (PNG, 0), done.stderr


def test_each_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(EXPECTED)


def test_the_readme_is_true(tmp_path: Path) -> None:
    text = (SOURCE / "bindings" / "python" / "README.md").read_text()
    c, code = (re.search(rf"```{language}\n(.*?)```", text, re.DOTALL) for language in ("c", "python"))
    assert c and code
    (tmp_path / "add.c").write_text(c[1])
    assert python("-m", "lfi", "cc", "add.c", "-O2", "-o", "add.lfi", cwd=tmp_path).returncode == 0
    done = python("-c", code[1], cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("5\nsandboxed code trapped"), done.stderr
