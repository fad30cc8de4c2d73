# SPDX-License-Identifier: MIT
"""Engines that processes are made in: shared by all that are built with the same options, as one engine has one set of
directories, and remembers which code it has verified."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import Any, Mapping, NamedTuple, Optional, Union

from . import _native
from ._errors import Error, OutOfMemory, VerificationError, make_error
from ._signals import reclaim_signals

Path_ = Union[str, "os.PathLike[str]"]
Program = Union[bytes, str, "os.PathLike[str]"]

#: Sandboxes of one engine; address space only.
_BOXES = 64
#: Engines that are kept though nobody uses them now.
_KEPT = 8


class Options(NamedTuple):
    """What engines differ in."""

    dirs: tuple[tuple[str, str], ...] = ()
    wd: str = "/"
    stack_size: int = 0
    policy: str = "full"
    single_thread: bool = False
    bundle: int = 0
    no_verify: bool = False
    verbose: bool = False


def options(
    dirs: Optional[Mapping[str, Path_]] = None,
    wd: str = "/",
    stack_size: int = 0,
    policy: str = "full",
    single_thread: bool = False,
    bundle: int = 0,
    no_verify: bool = False,
    verbose: bool = False,
) -> Options:
    """Checked options. A host directory that ends in ``:ro`` is read-only."""
    if policy not in ("full", "stores", "jumps"):
        raise ValueError(f"policy={policy!r} is none of full, stores, jumps")
    pairs: list[tuple[str, str]] = []
    for inside, outside in (dirs or {}).items():
        text = os.fspath(outside)
        plain, mark = (text[:-3], ":ro") if text.endswith(":ro") else (text, "")
        if not inside.startswith("/") or "=" in inside:
            raise ValueError(f"dirs: {inside!r} is no absolute path in the sandbox")
        if not os.path.isdir(plain):
            raise NotADirectoryError(f"dirs: {plain!r} is no directory")
        pairs.append((inside, os.path.abspath(plain) + mark))
    return Options(tuple(pairs), wd, stack_size, policy, single_thread, bundle, no_verify, verbose)


class Host:
    """An engine and the Linux on top of it. Processes keep it alive."""

    def __init__(self, opts: Options, boxes: int) -> None:
        self._engine: Any = None
        self._linux: Any = None
        self.snapshots: list[Any] = []
        self._engine = _native.engine_new(
            boxes, opts.verbose, opts.no_verify, opts.policy, opts.single_thread, False, False, opts.bundle
        )
        maps = [os.fsencode(f"{inside}={outside}") for inside, outside in opts.dirs]
        self._linux = _native.linux_new(self._engine, maps, opts.wd, opts.stack_size, opts.verbose, False, False)

    def process(self) -> Any:
        """A new process."""
        return _native.lfi_proc_new(self._linux)

    def __del__(self) -> None:
        # At the end of the interpreter the module may be gone; so is the process, soon.
        if _native is None:
            return
        for snapshot in getattr(self, "snapshots", ()):
            _native.lfi_snapshot_free(snapshot)
        if getattr(self, "_linux", None) is not None:
            _native.lfi_linux_free(self._linux)
        if getattr(self, "_engine", None) is not None:
            _native.lfi_free(self._engine)


_lock = threading.Lock()
_hosts: OrderedDict[Options, list[Host]] = OrderedDict()


def new_process(opts: Options) -> tuple[Host, Any]:
    """A process of an engine with these options: of one that has room, or a new one."""
    with _lock:
        hosts = _hosts.setdefault(opts, [])
        _hosts.move_to_end(opts)
        while len(_hosts) > _KEPT:
            _hosts.popitem(last=False)
        if hosts:
            reclaim_signals()  # a new engine does so by itself
        for host in hosts:
            try:
                return host, host.process()
            except OutOfMemory as error:
                if error.code != "LFI_ERR_NOSPACE":
                    raise
        host = Host(opts, _BOXES)
        # Where there are many, the latest has room most likely.
        hosts.insert(0, host)
        return host, host.process()


def read_program(program: Program) -> tuple[bytes, str]:
    """The bytes of a program, and its name for messages."""
    if isinstance(program, (bytes, bytearray, memoryview)):
        return bytes(program), "<bytes>"
    with open(program, "rb") as file:
        return file.read(), os.fsdecode(program)


def load_program(process: Any, image: bytes, name: str, opts: Options) -> None:
    """Load a program into a process. A refusal says which rule was broken."""
    try:
        _native.proc_load(process, image, name)
    except VerificationError as error:
        error.rule = _rule_of(image, opts)
        raise
    except Error as error:
        if error.code == "LFI_ERR_ELF" and not image.startswith(b"\x7fELF"):
            raise make_error(
                _native.LFI_ERR_ELF, f"{name} is no program for a sandbox ({error}): compile one with 'python -m lfi cc'"
            ) from None
        raise


def _rule_of(image: bytes, opts: Options) -> Optional[str]:
    """The name of the first rule that the code of a program breaks."""
    import struct

    from .core import verify

    try:
        offset, size, count = struct.unpack_from("<32xQ14xHH", image, 0)
        for i in range(count):
            kind, flags, place, address, length = struct.unpack_from("<IIQQ8xQ", image, offset + i * size)
            if kind == 1 and flags & 1:
                found = verify(
                    image[place : place + length],
                    address & 0xFFFFFFE0,
                    policy=opts.policy,
                    bundle=opts.bundle or 32,
                    single_thread=opts.single_thread,
                )
                if found:
                    return found[0].rule
    except struct.error:
        pass
    return None


def encode_strings(what: str, strings: list[Any]) -> list[bytes]:
    """Arguments or environment as bytes."""
    encoded = [os.fsencode(one) for one in strings]
    for one in encoded:
        if b"\0" in one:
            raise ValueError(f"{what}: {one!r} has a NUL in it")
    return encoded


def environment(env: Optional[Mapping[str, str]]) -> list[bytes]:
    """An environment as ``NAME=VALUE``."""
    return encode_strings("env", [f"{name}={value}" for name, value in (env or {}).items()])
