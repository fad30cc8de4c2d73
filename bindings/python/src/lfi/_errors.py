# SPDX-License-Identifier: MIT
"""Exceptions. All are ``lfi.Error``; the native part makes them with `make_error`."""

from __future__ import annotations

import re
import signal as _signal
from typing import NamedTuple, Optional, Union

from . import _native


class Error(Exception):
    """Anything that goes wrong with a sandbox.

    Attributes
    ----------
    code : str
        The name of the error in the C library, for example ``"LFI_ERR_FAULT"``.
    stdout, stderr : bytes, str or None
        What :func:`lfi.run` had captured until then.
    """

    code: str = "LFI_ERR_INVALID"
    stdout: Union[bytes, str, None] = None
    stderr: Union[bytes, str, None] = None


class InvalidError(Error, ValueError):
    """An argument is wrong: the message names it."""


class AccessError(Error, ValueError):
    """An address outside the sandbox, or memory in it that is not mapped."""


class ProgramError(Error, ValueError):
    """A file that is no program for a sandbox, or needs a processor feature that is absent."""


class BusyError(Error, BlockingIOError):
    """Something is in use: a sandbox with calls in it, a context on another thread, memory with views."""


class OutOfMemory(Error, MemoryError):
    """No memory, in the host or in the sandbox, or no room for another sandbox."""


class NotFound(Error, LookupError):
    """No such symbol."""


class SystemFailure(Error, OSError):
    """The host's kernel refused something."""


class Interrupted(Error):
    """The call was interrupted, or the program ended while it was called."""


class Timeout(Error, TimeoutError):
    """The call took longer than its timeout."""


class LimitExceeded(Error):
    """A limit of the sandbox: CPU time, memory, threads, captured output."""


class VerificationError(Error, ValueError):
    """Code that does not verify.

    Attributes
    ----------
    offset : int or None
        Where the instruction is, in bytes from the sandbox's base.
    instruction : str or None
        Its text, for example ``"mov (%rax), %rax"``.
    rule : str or None
        The name of the rule that it breaks, for example ``"memory"``.
    """

    code = "LFI_ERR_VERIFY"
    offset: Optional[int] = None
    instruction: Optional[str] = None
    rule: Optional[str] = None


class Frame(NamedTuple):
    """One entry of a fault's backtrace. What it says comes from hostile memory: it is for messages only.

    Attributes
    ----------
    address : int
        Whole address in the host's address space.
    offset : int
        Bytes from the sandbox's base.
    function : str
        Function that the address is in, or "".
    function_offset : int
        Bytes from the function's first.
    """

    address: int
    offset: int
    function: str
    function_offset: int
    def __str__(self) -> str:
        where = f" in {self.function}+{self.function_offset:#x}" if self.function else ""
        return f"{self.offset:#x}{where}"


class Fault(Error):
    """Sandboxed code trapped. The host goes on, and the sandbox can be used or thrown away.

    Attributes
    ----------
    signal : int
        Signal number, as on Linux (``signal.SIGSEGV``, ...); an ``enum`` member where Python knows it.
    kind : str
        What it was, for example ``"stack overflow"``.
    address : int
        Of the access, where there was one; else 0.
    pc, pc_offset : int
        Of the instruction: whole, and from the sandbox's base.
    function : str
        The function that it is in, or ``""``.
    backtrace : list of Frame
        Innermost first.
    details : str
        All of it, with registers, as text.
    """

    code = "LFI_ERR_FAULT"
    signal: int = 0
    kind: str = "unknown"
    address: int = 0
    pc: int = 0
    pc_offset: int = 0
    function: str = ""
    backtrace: list[Frame] = []
    details: str = ""


_CLASSES: dict[int, type[Error]] = {
    _native.LFI_ERR_INVALID: InvalidError,
    _native.LFI_ERR_NOMEM: OutOfMemory,
    _native.LFI_ERR_NOSPACE: OutOfMemory,
    _native.LFI_ERR_OS: SystemFailure,
    _native.LFI_ERR_RANGE: AccessError,
    _native.LFI_ERR_UNMAPPED: AccessError,
    _native.LFI_ERR_VERIFY: VerificationError,
    _native.LFI_ERR_CPU: ProgramError,
    _native.LFI_ERR_ELF: ProgramError,
    _native.LFI_ERR_BUSY: BusyError,
    _native.LFI_ERR_FAULT: Fault,
    _native.LFI_ERR_INTERRUPTED: Interrupted,
    _native.LFI_ERR_DEADLINE: Timeout,
    _native.LFI_ERR_LIMIT: LimitExceeded,
    _native.LFI_ERR_NOTFOUND: NotFound,
    _native.LFI_ERR_SIGNATURE: InvalidError,
}

_FaultTuple = tuple[int, int, int, int, int, str, str, int, list[tuple[int, int, str, int]], str]

_VERIFY = re.compile(r"(?:at|\+)\s*(0x[0-9a-f]+).*?`([^`]*)`", re.DOTALL)


def _signal_of(number: int) -> int:
    try:
        return _signal.Signals(number)
    except ValueError:
        return number


def _fill_fault(error: Fault, fault: _FaultTuple) -> None:
    number, _, error.address, error.pc, error.pc_offset, error.kind, error.function, _, frames, error.details = fault
    error.signal = _signal_of(number)
    error.backtrace = [Frame(*frame) for frame in frames]


def _describe_fault(message: str, fault: _FaultTuple) -> str:
    frames = [Frame(*frame) for frame in fault[8]]
    lines = [message + (f" ({fault[5]}, in {fault[6]})" if fault[6] else f" ({fault[5]})")]
    lines += [f"  #{i} {frame}" for i, frame in enumerate(frames)]
    return "\n".join(lines)


def make_error(code: int, message: str, fault: Optional[_FaultTuple] = None) -> Error:
    """The exception for an error of the C library."""
    cls = _CLASSES.get(code, Error)
    if fault is not None:
        message = _describe_fault(message, fault)
    error = cls(message)
    error.code = _native.lfi_error_name(code)
    if isinstance(error, Fault) and fault is not None:
        _fill_fault(error, fault)
    elif isinstance(error, VerificationError):
        found = _VERIFY.search(message)
        if found:
            error.offset, error.instruction = int(found[1], 16), found[2]
    return error


_native.set_error_factory(make_error)
