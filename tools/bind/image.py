# SPDX-License-Identifier: MIT
"""The program for the sandbox: the library, linked by lfi-cc with a file that keeps its functions and compares structs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import debuginfo
from model import BindError, Library


def run(command: list[str]) -> str:
    """What a command writes; what it complains of is an error."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BindError(f"{command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        raise BindError(f"{command[0]} failed:\n{done.stderr.strip()}")
    return done.stdout


def symbols(files: list[str]) -> set[str]:
    """The functions that objects, archives or a program define."""
    found: set[str] = set()
    for file in files:
        if not Path(file).is_file():
            raise BindError(f"{file}: no such file")
        for line in run(["nm", "--defined-only", file]).splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in "TWi":
                found.add(words[2])
    return found


def keep(library: Library, headers: list[str]) -> str:
    """C for the sandbox: what the program calls is linked, and structs that are copied lie as the host has them."""
    lines = ["/* Made by lfi-bind, for the sandbox. */", *[f'#include "{one}"' for one in headers], "#include <stddef.h>", "#include <stdlib.h>", ""]
    for record in library.records.values():
        where = f'"{record.place}: {record.text} is another one in the sandbox"'
        lines.append(f"_Static_assert(sizeof({record.text}) == {record.size}, {where});")
        for one in record.fields:
            if not one.bits:
                lines.append(f"_Static_assert(offsetof({record.text}, {one.name}) == {one.offset // 8}, {where});")
    for bound in library.bound:
        function = bound.function
        for parameter in function.prototype.parameters:
            if parameter.type.scalar and "(*)" not in parameter.type.text:
                lines.append(
                    f'_Static_assert(sizeof({parameter.type.text}) == {parameter.type.size}, "{function.place}: {parameter.type.text} is another one in the sandbox");'
                )
    lines += ["", "void *const lfi_bind_keep[] __attribute__((used)) = {"]
    lines += [f"\t(void *) ({bound.function.name})," for bound in library.bound]
    lines += ["\t(void *) malloc,", "\t(void *) free,", "};", ""]
    return "\n".join(lines)


def find_lfi_cc(given: str, beside: Path) -> str:
    for one in (given, str(beside / "lfi-cc"), shutil.which("lfi-cc") or ""):
        if one and Path(one).is_file():
            return one
    raise BindError("lfi-cc is not there: say --lfi-cc=FILE")


def _check(library: Library, program: Path) -> None:
    problems, remark = debuginfo.compare(library, program)
    if problems:
        raise BindError(problems)
    if remark:
        print(f"lfi-bind: {remark}", file=sys.stderr)


def take(library: Library, program: Path, output: Path) -> None:
    """A finished program."""
    _check(library, program)
    output.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(program, output)


def link(library: Library, lfi_cc: str, headers: list[str], flags: list[str], files: list[str], output: Path) -> None:
    """Nothing is left in the output's folder when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / f"{library.name}_keep.c"
        program = Path(folder) / output.name
        source.write_text(keep(library, headers))
        run([lfi_cc, "-O2", "-w", *flags, str(source), *files, "-lm", "-o", str(program)])
        take(library, program, output)
