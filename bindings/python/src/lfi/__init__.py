# SPDX-License-Identifier: MIT
"""lfi: native code that you do not trust, in a sandbox in your own process.

>>> import lfi
>>> lib = lfi.load("libadd.lfi", header="int add(int a, int b);")
>>> lib.add(2, 3)
5
>>> lfi.run(["hello.lfi"], capture_output=True).stdout
b'hello\\n'
"""

from __future__ import annotations

import atexit as _atexit
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from . import _native
from ._declarations import DeclarationError
from ._errors import (
    AccessError,
    BusyError,
    Error,
    Fault,
    Frame,
    Interrupted,
    InvalidError,
    LimitExceeded,
    NotFound,
    OutOfMemory,
    ProgramError,
    SystemFailure,
    Timeout,
    VerificationError,
)
from ._library import Library, Limits, Module, load
from ._marshal import In, InOut, Out
from ._memory import Pointer
from ._process import DEVNULL, PIPE, STDOUT, CompletedProcess, Popen, run, run_async

from ._signals import install as _install
from ._signals import reclaim_signals

if _TYPE_CHECKING:
    from ._pool import Pool

__version__: str = "1.1.0"

# Threads that are still in a sandbox at the interpreter's end must not be ended there.
_atexit.register(_native.finalizing)
_install()


def __getattr__(name: str) -> _Any:
    # It needs concurrent.futures, which takes longer to import than all the rest.
    if name == "Pool":
        from ._pool import Pool

        globals()["Pool"] = Pool
        return Pool
    raise AttributeError(f"module 'lfi' has no attribute {name!r}")


__all__ = [
    "AccessError",
    "BusyError",
    "CompletedProcess",
    "DEVNULL",
    "DeclarationError",
    "Error",
    "Fault",
    "Frame",
    "In",
    "InOut",
    "Interrupted",
    "InvalidError",
    "Library",
    "LimitExceeded",
    "Limits",
    "Module",
    "NotFound",
    "Out",
    "OutOfMemory",
    "PIPE",
    "Pointer",
    "Pool",
    "Popen",
    "ProgramError",
    "STDOUT",
    "SystemFailure",
    "Timeout",
    "VerificationError",
    "load",
    "reclaim_signals",
    "run",
    "run_async",
]
