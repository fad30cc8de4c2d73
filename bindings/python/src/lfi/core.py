# SPDX-License-Identifier: MIT
"""The core of lfi: engines, boxes, contexts, calls in and out.

This is the layer below :func:`lfi.run` and :func:`lfi.load`, for those who bring their own machine code and runtime
interface. Addresses are plain integers here: what is done with one is checked by the library each time.

>>> from lfi import core
>>> with core.Engine(1) as engine, engine.box() as box:
...     page = box.map(4096)
...     box.write(page, b"hello")
...     bytes(box.read(page, 5))
b'hello'
"""

from __future__ import annotations

import enum
from types import TracebackType
from typing import Any, Callable, NamedTuple, Optional, Union

from . import _native
from ._errors import make_error

__all__ = [
    "Box",
    "BoxInfo",
    "CacheStats",
    "Context",
    "Engine",
    "MapFlags",
    "Prot",
    "Registers",
    "Stats",
    "Violation",
    "verify",
    "version",
]

Buffer = Union[bytes, bytearray, memoryview]

version: str = _native.lfi_version_string()
"""Version of the library that is running, for example ``"1.1.0"``."""


class Prot(enum.IntFlag):
    """Protections of pages. WRITE and EXEC exclude each other."""

    NONE = _native.LFI_PROT_NONE
    READ = _native.LFI_PROT_READ
    WRITE = _native.LFI_PROT_WRITE
    EXEC = _native.LFI_PROT_EXEC


class MapFlags(enum.IntFlag):
    """Flags of mappings: Linux's numbers."""

    SHARED = _native.LFI_MAP_SHARED
    PRIVATE = _native.LFI_MAP_PRIVATE
    FIXED = _native.LFI_MAP_FIXED
    ANONYMOUS = _native.LFI_MAP_ANONYMOUS
    FIXED_NOREPLACE = _native.LFI_MAP_FIXED_NOREPLACE


class BoxInfo(NamedTuple):
    """Where a box is.

    Attributes
    ----------
    base : int
        Its first address.
    size : int
        Bytes.
    min : int
        Lowest address that can be mapped.
    max : int
        One past the highest.
    code : int
        What its code was seen to do: LFI_CODE_* of lfi_core.h.
    cpu : int
        Processor features that it needs: a bit for each, 1 << LFI_CPU_* of lfi_verify.h.
    """

    base: int
    size: int
    min: int
    max: int
    code: int
    cpu: int


class Stats(NamedTuple):
    """What a box has used so far.

    Attributes
    ----------
    mapped : int
        Bytes of pages that are mapped.
    mapped_peak : int
        The most that ever were.
    resident : int
        Bytes of memory that are the box's alone.
    calls : int
        Calls of sandboxed functions.
    runtime_calls : int
        System calls of sandboxed code, served or not.
    faults : int
        Calls and runs that a fault ended.
    cpu_ns : int
        CPU time in nanoseconds; 0 unless there is, or was, a limit of it.
    contexts : int
        Contexts that exist.
    """

    mapped: int
    mapped_peak: int
    resident: int
    calls: int
    runtime_calls: int
    faults: int
    cpu_ns: int
    contexts: int


class CacheStats(NamedTuple):
    """What an engine's cache of verified code did.

    Attributes
    ----------
    hits : int
        Regions that became executable without being verified again.
    misses : int
        Those that were verified, or refused.
    evicted : int
        Regions that were forgotten for others.
    regions : int
        Those that it remembers now.
    bytes : int
        Bytes of their code.
    """

    hits: int
    misses: int
    evicted: int
    regions: int
    bytes: int


class Violation(NamedTuple):
    """One rule that code breaks.

    Attributes
    ----------
    offset : int
        Where the instruction is, in bytes from the start of the code.
    size : int
        Bytes of the instruction.
    rule : str
        Name of the rule, for example "memory".
    instruction : str
        Text of the instruction.
    reason : str
        What is wrong with it.
    """

    offset: int
    size: int
    rule: str
    instruction: str
    reason: str


def verify(
    code: bytes,
    offset: int = 262144,
    *,
    policy: str = "full",
    bundle: int = 32,
    single_thread: bool = False,
    no_rdtsc: bool = False,
    max_violations: int = 1,
) -> list[Violation]:
    """Verify machine code.

    Parameters
    ----------
    code : bytes
        The code; it is padded to whole bundles with ``int3``.
    offset : int
        Where it will be, in bytes from the sandbox's base; a multiple of `bundle`.
    policy : {"full", "stores", "jumps"}
        What is confined.
    bundle : {32, 16}
        Bytes of a code bundle.
    single_thread, no_rdtsc : bool
        Accept single-thread returns; refuse reads of the time-stamp counter.
    max_violations : int
        Stop after so many.

    Returns
    -------
    list of Violation
        Empty when the code is accepted.
    """
    policies = {"full": 0, "stores": 1, "jumps": 2}
    if policy not in policies:
        raise ValueError(f"policy={policy!r} is none of full, stores, jumps")
    code = bytes(code)
    code += b"\xcc" * (-len(code) % bundle)
    found = _native.verify(code, offset, policies[policy], bundle, single_thread, no_rdtsc, max_violations)
    return [Violation(*violation) for violation in found[0]]


class Engine:
    """Address space for sandboxes, and what they have in common.

    Parameters
    ----------
    boxes : int
        How many sandboxes there may be at a time. Each reserves 4 GiB of address space, and no memory.
    verbose : bool
        Log to standard error.
    no_verify : bool
        Unsafe: do not verify code.
    policy : {"full", "stores", "jumps"}
        What code must be confined in. Anything but "full" protects less.
    single_thread, no_low_table, no_rdtsc, bundle
        As in ``struct LFIOptions``.

    Attributes
    ----------
    handler : callable or None
        Serves the runtime calls ("system calls") of all the engine's boxes: called with the :class:`Context`, whose
        registers it may read and write. What it raises ends the run and comes out of :meth:`Context.run`.
    """

    handler: Optional[Callable[[Context], object]]

    def __init__(
        self,
        boxes: int = 1,
        *,
        verbose: bool = False,
        no_verify: bool = False,
        policy: str = "full",
        single_thread: bool = False,
        no_low_table: bool = False,
        no_rdtsc: bool = False,
        bundle: int = 0,
    ) -> None:
        if policy not in ("full", "stores", "jumps"):
            raise ValueError(f"policy={policy!r} is none of full, stores, jumps")
        self.handler = None
        self._handle: Any = None
        self._handle = _native.engine_new(
            boxes, verbose, no_verify, policy, single_thread, no_low_table, no_rdtsc, bundle
        )
        _native.engine_serve(self._handle)

    def _alive(self) -> Any:
        if self._handle is None:
            raise make_error(_native.LFI_ERR_INVALID, "the engine is closed")
        return self._handle

    def box(self) -> Box:
        """A new, empty sandbox."""
        return Box(self)

    def cache_stats(self) -> CacheStats:
        """What the cache of verified code did."""
        return CacheStats(*_native.cache_stats(self._alive()))

    def close(self) -> None:
        """Give the address space back. All boxes must be closed."""
        handle, self._handle = self._handle, None
        if handle is not None:
            _native.lfi_free(handle)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()


class Box:
    """A sandbox: 4 GiB of address space, and what is mapped in it. Made by :meth:`Engine.box`.

    All methods may be called from any thread.

    Parameters
    ----------
    engine : Engine
        What it is made in.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._contexts: list[Context] = []
        self._handle = _native.lfi_box_new(engine._alive())
        self._sandbox = _native.box_sandbox(self._handle, engine)

    def _alive(self) -> Any:
        if self._sandbox.closed:
            raise make_error(_native.LFI_ERR_INVALID, "the box is closed")
        return self._handle

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return bool(self._sandbox.closed)

    @property
    def engine(self) -> Engine:
        """The engine that the box is of."""
        return self._engine

    def info(self) -> BoxInfo:
        """Where the box is."""
        return BoxInfo(*_native.box_info(self._alive()))

    def stats(self) -> Stats:
        """What the box has used so far."""
        return Stats(*self._sandbox.stats())

    def set_limits(self, *, mapped: int = 0, cpu: float = 0, threads: int = 0, files: int = 0) -> None:
        """Limit what the box may use. 0 is no limit.

        Parameters
        ----------
        mapped : int
            Bytes of mapped memory.
        cpu : float
            Seconds of CPU time since there was a limit of it.
        threads, files : int
            Contexts; descriptors of the runtime on top.
        """
        self._sandbox.set_limits(mapped, int(cpu * 1e9), threads, files)

    def map(
        self,
        size: int,
        prot: int = Prot.READ | Prot.WRITE,
        flags: int = MapFlags.PRIVATE | MapFlags.ANONYMOUS,
        *,
        address: Optional[int] = None,
        fd: int = -1,
        offset: int = 0,
    ) -> int:
        """Map zeroed pages, or a file.

        Parameters
        ----------
        size : int
            Bytes; rounded up to whole pages.
        prot : Prot
            With ``Prot.EXEC`` the pages are verified first.
        flags : MapFlags
            As of mmap(2).
        address : int, optional
            Where; default: at a free place.
        fd, offset : int
            A file's descriptor, and where in the file; without ``MapFlags.ANONYMOUS``.

        Returns
        -------
        int
            The address.
        """
        if size <= 0:
            raise make_error(_native.LFI_ERR_INVALID, f"size={size} is no number of bytes above 0")
        if address is None:
            return int(_native.lfi_box_mapany(self._alive(), size, int(prot), int(flags), fd, offset))
        return int(_native.lfi_box_mapat(self._alive(), address, size, int(prot), int(flags), fd, offset))

    def protect(self, address: int, size: int, prot: int) -> None:
        """Change the protection of whole pages. Pages that become executable are verified first.

        Parameters
        ----------
        address, size : int
            The pages: both are multiples of 4096.
        prot : Prot
            Their protection from now on.

        Raises
        ------
        lfi.VerificationError
            The code does not verify; the pages are as before.
        """
        _native.lfi_box_mprotect(self._alive(), address, size, int(prot))

    def unmap(self, address: int, size: int) -> None:
        """Unmap the whole pages from `address` to `size` bytes behind it. Views of them keep them: then it is a BusyError."""
        _native.lfi_box_munmap(self._alive(), address, size)

    def read(self, address: int, size: int) -> bytes:
        """Copy `size` bytes out of the sandbox, from `address` on."""
        return bytes(self._sandbox.read(address, size))

    def write(self, address: int, data: Buffer) -> None:
        """Copy `data` into the sandbox, to `address`."""
        self._sandbox.write(address, data)

    def string(self, address: int, limit: int = 65536) -> bytes:
        """The NUL-terminated string of at most `limit` bytes at `address`, without the NUL."""
        return bytes(self._sandbox.string(address, limit))

    def view(self, address: int, size: int, *, readonly: bool = False) -> memoryview:
        """Memory of the sandbox without a copy: `size` bytes from `address` on.

        Its pages stay mapped until the view is released, and sandboxed code may write them at any time; a `readonly` view
        cannot be written by the host.
        """
        exporter: Any = _native.View(self._sandbox, address, size, readonly)
        return memoryview(exporter)

    def valid(self, address: int, size: int = 1) -> bool:
        """Whether `size` bytes from `address` on lie in the part of the sandbox that can be mapped; not whether they are."""
        return bool(_native.lfi_box_ptrvalid(self._alive(), address, size))

    def context(self) -> Context:
        """A new thread of execution."""
        return Context(self)

    def register(self, signature: str, function: Callable[..., Any]) -> int:
        """Let sandboxed code call a Python function.

        Parameters
        ----------
        signature : str
            As ``lfi_call`` takes it: ``"i(ii)"``. Integers, bool, floats, doubles and pointers, which are integers here.
        function : callable
            What it raises ends the call and comes out of it.

        Returns
        -------
        int
            The address of the function for sandboxed code.
        """
        result, kinds = _parse_signature(signature)
        address, _ = _native.register_callback(self._sandbox, signature, result, kinds, function)
        return int(address)

    def interrupt(self) -> None:
        """End all runs and calls that are pending in the box. From any thread."""
        self._sandbox.interrupt()

    def close(self) -> None:
        """Unmap everything. Memory that has views stays until the last of them is released."""
        self._sandbox.close()

    def __enter__(self) -> Box:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()


_SIMPLE = "vbBhHiIlL?pfd"


def _parse_signature(signature: str) -> tuple[tuple[str], tuple[tuple[str], ...]]:
    """Kinds of the result and of the parameters of a signature of simple types."""
    head, bracket, tail = signature.partition("(")
    if not bracket or not tail.endswith(")") or len(head) != 1 or any(c not in _SIMPLE for c in head + tail[:-1]):
        raise make_error(
            _native.LFI_ERR_SIGNATURE, f"the signature {signature!r} is not of the form 'i(ip)' with letters of {_SIMPLE}"
        )
    return (head,), tuple((letter,) for letter in tail[:-1])


class Context:
    """A thread of execution in a box. One thread at a time may use it.

    Parameters
    ----------
    box : Box
        What it executes in.

    Attributes
    ----------
    registers : Registers
        To be set before a run; a handler reads and writes them.
    """

    def __init__(self, box: Box) -> None:
        self._box = box
        self._handle = _native.context_new(box._alive())
        self._functions = False
        self.registers = Registers(self)

    def _alive(self) -> Any:
        if self._handle is None:
            raise make_error(_native.LFI_ERR_INVALID, "the context is closed")
        self._box._alive()
        return self._handle

    @property
    def box(self) -> Box:
        """The box that the context is of."""
        return self._box

    @property
    def thread_pointer(self) -> int:
        """The virtual thread pointer, which sandboxed code sees as fs base."""
        return int(_native.lfi_ctx_tp(self._alive()))

    @thread_pointer.setter
    def thread_pointer(self, value: int) -> None:
        _native.lfi_ctx_set_tp(self._alive(), value)

    def run(self, entry: int, *, timeout: Optional[float] = None) -> int:
        """Run from `entry` until a handler calls :meth:`exit`.

        Parameters
        ----------
        entry : int
            Address; rounded down to a bundle.
        timeout : float, optional
            Seconds.

        Returns
        -------
        int
            The code that was given to :meth:`exit`.

        Raises
        ------
        lfi.Fault, lfi.Timeout, lfi.Interrupted, lfi.LimitExceeded, lfi.BusyError
        """
        handle = self._alive()
        return int(
            _native.ctx_run(self._box._sandbox, handle, entry, self._box._engine.handler, self, timeout or 0.0)
        )

    def exit(self, code: int = 0) -> None:
        """In a handler: make the run return `code` once the handler has returned."""
        _native.lfi_ctx_exit(self._alive(), code)

    def function(self, address: int, signature: str) -> _native.Function:
        """A function of the sandbox that runs in this context.

        Parameters
        ----------
        address : int
            Where the function begins.
        signature : str
            As in :meth:`Box.register`.
        """
        result, kinds = _parse_signature(signature)
        handle = self._alive()
        _native.lfi_box_init_ret(self._box._handle)
        made = _native.Function(
            self._box._sandbox, address, signature, result, kinds, f"{address:#x}", signature, None, False,
            _native.context_handle(handle),
        )
        # It uses the context for as long as it lives.
        self._functions = True
        return made

    def interrupt(self) -> None:
        """End the entry that is pending, or the next one. From any thread."""
        handle = self._alive()
        _native.lfi_ctx_interrupt(handle, _native.lfi_ctx_token(handle))

    def close(self) -> None:
        """Free the context; one that has functions, or whose box is executing, goes with its box."""
        handle, self._handle = self._handle, None
        if handle is not None and not self._box.closed and not self._functions and not self._box._sandbox.active:
            _native.lfi_ctx_free(handle)


_REGISTERS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13")
_INDEX = {name: i for i, name in enumerate(_REGISTERS)}
_INDEX["sp"] = _INDEX["rsp"]
_INDEX["x8"] = _INDEX["rax"]


class Registers:
    """Registers of a context: ``rax`` to ``r13``, and ``sp``, which is ``rsp``. Only while the context is not
    executing sandboxed code."""

    __slots__ = ("_context",)
    _context: Context

    def __init__(self, context: Context) -> None:
        object.__setattr__(self, "_context", context)

    def __getattr__(self, name: str) -> int:
        if name not in _INDEX:
            raise AttributeError(f"no register is called {name!r} ({', '.join(_INDEX)} are)")
        return int(_native.register_get(self._context._alive(), _INDEX[name]))

    def __setattr__(self, name: str, value: int) -> None:
        if name not in _INDEX:
            raise AttributeError(f"no register is called {name!r} ({', '.join(_INDEX)} are)")
        if not 0 <= value < 1 << 64:
            raise OverflowError(f"{name}={value} does not fit 64 bits")
        _native.register_set(self._context._alive(), _INDEX[name], value)

    def vector(self, i: int) -> int:
        """The low 128 bits of vector register `i`."""
        handle = self._context._alive()
        first = len(_REGISTERS) + 2 * self._check(i)
        return int(_native.register_get(handle, first)) | int(_native.register_get(handle, first + 1)) << 64

    def set_vector(self, i: int, value: int) -> None:
        """Set the low 128 bits of vector register `i` to `value`."""
        if not 0 <= value < 1 << 128:
            raise OverflowError(f"{value} does not fit 128 bits")
        handle = self._context._alive()
        first = len(_REGISTERS) + 2 * self._check(i)
        _native.register_set(handle, first, value & (1 << 64) - 1)
        _native.register_set(handle, first + 1, value >> 64)

    @staticmethod
    def _check(i: int) -> int:
        if not 0 <= i < 16:
            raise IndexError(f"there is no vector register {i}")
        return i

    def __dir__(self) -> list[str]:
        return [*_INDEX, "vector", "set_vector"]

    def __repr__(self) -> str:
        return "Registers(" + ", ".join(f"{name}={getattr(self, name):#x}" for name in _REGISTERS) + ")"
