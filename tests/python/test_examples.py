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
    if name == "checksums":
        pytest.importorskip("distributed")
    done = python(EXAMPLES / f"{name}.py", cwd=tmp_path)
    assert (done.stdout, done.returncode) == (EXPECTED[name], 0), done.stderr


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
