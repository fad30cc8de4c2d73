# SPDX-License-Identifier: MIT
"""``python -m lfi cc|run|verify|rewrite|bind ...`` and the console scripts: the tools that the package carries."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

TOOLS = ("cc", "run", "verify", "rewrite", "bind")


def tool_path(name: str) -> str:
    """The tool ``lfi-NAME`` of the package."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "_data", "bin", f"lfi-{name}")


def _become(name: str, arguments: list[str]) -> NoReturn:
    path = tool_path(name)
    if not os.path.exists(path):
        sys.exit(f"lfi: {path} is missing: install the package from a wheel (pip install lfi)")
    sys.stdout.flush()
    # lfi-bind is Python, and needs libclang where this Python finds it; its first line is for where it was built.
    command = [sys.executable, path] if name == "bind" else [path]
    os.execv(command[0], [*command, *arguments])


def cc() -> NoReturn:
    """``lfi-cc``: compile C for the sandbox."""
    _become("cc", sys.argv[1:])


def run() -> NoReturn:
    """``lfi-run``: run a program in a sandbox."""
    _become("run", sys.argv[1:])


def verify() -> NoReturn:
    """``lfi-verify``: verify a program."""
    _become("verify", sys.argv[1:])


def rewrite() -> NoReturn:
    """``lfi-rewrite``: confine a compiler's assembly."""
    _become("rewrite", sys.argv[1:])


def bind() -> NoReturn:
    """``lfi-bind``: make stubs for a library in a sandbox."""
    _become("bind", sys.argv[1:])


def main() -> NoReturn:
    """``python -m lfi TOOL [ARGUMENT...]``."""
    usage = f"usage: python -m lfi {{{','.join(TOOLS)}}} [argument...]\n'python -m lfi TOOL --help' says what a tool takes."
    if len(sys.argv) < 2 or sys.argv[1] not in TOOLS:
        asked = len(sys.argv) >= 2 and sys.argv[1] in ("-h", "--help")
        print(usage, file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    _become(sys.argv[1], sys.argv[2:])


if __name__ == "__main__":
    main()
