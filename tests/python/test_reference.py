# SPDX-License-Identifier: MIT
"""The reference, which pdoc makes of the docstrings: all that is public is in it, and documented."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest
from numpydoc.validate import validate

import lfi
from lfi import core

#: Of numpydoc: sections that are unknown or in the wrong order, parameters that do not exist or are in the wrong order,
#: text that is missing or does not end in a full stop.
RULES = {"GL06", "GL07", "GL08", "PR02", "PR03", "PR05", "PR06", "PR07", "PR10", "SS01"}


def members(cls: type) -> dict[str, Any]:
    """Methods and properties that a class has of its own, or from one that is private."""
    private = [base for base in cls.__mro__ if base.__module__.startswith("lfi.") and base.__name__.startswith("_")]
    found = {key: one for base in (*reversed(private), cls) for key, one in vars(base).items()}
    return {
        key: one for key, one in found.items()
        if not key.startswith("_") and (inspect.isroutine(one) or isinstance(one, property))
    }  # fmt: skip


def public() -> Iterator[tuple[str, Any]]:
    """(name, object) of all functions, classes, methods and properties; of both modules' variables, too."""
    for module in (lfi, core):
        for name in module.__all__:
            thing = getattr(module, name)
            yield f"{module.__name__}.{name}", thing
            if inspect.isclass(thing):
                for key, member in members(thing).items():
                    yield f"{module.__name__}.{name}.{key}", member


DOCUMENTED = [
    pytest.param(name, thing, id=name)
    for name, thing in public()
    if inspect.isclass(thing) or inspect.isroutine(thing) or isinstance(thing, property)
]


def parameters(thing: Any) -> list[str]:
    if isinstance(thing, property) or inspect.isclass(thing) and not inspect.isfunction(vars(thing).get("__init__")):
        return []
    return [name for name in inspect.signature(thing).parameters if name not in ("self", "cls")]


@pytest.mark.parametrize("name, thing", DOCUMENTED)
def test_a_docstring_says_what_there_is_to_know(name: str, thing: Any) -> None:
    text = inspect.getdoc(thing) or ""
    assert text, "no docstring"
    assert [one for one in parameters(thing) if not re.search(rf"\b{one}\b", text)] == [], "parameters that it does not name"
    assert [message for code, message in validate(name)["errors"] if code in RULES] == []


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """HTML of each module."""
    folder = tmp_path_factory.mktemp("reference")
    command = [sys.executable, "-m", "pdoc", "--docformat", "numpy", "--no-show-source", "-o", str(folder), "lfi", "lfi.core"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {"lfi": Path(folder, "lfi.html").read_text(), "lfi.core": Path(folder, "lfi", "core.html").read_text()}


def test_all_that_is_public_is_in_the_reference(pages: dict[str, str]) -> None:
    missing = []
    for name, _ in public():
        module = "lfi.core" if name.startswith("lfi.core.") else "lfi"
        if f'id="{name[len(module) + 1:]}"' not in pages[module]:
            missing.append(name)
    assert missing == []


def test_nothing_private_is_in_the_reference(pages: dict[str, str]) -> None:
    for page in pages.values():
        anchors = re.findall(r'id="([\w.]+)"', page)
        assert not [one for one in anchors if re.search(r"(^|\.)_(?!_)", one)]
