# SPDX-License-Identifier: MIT
"""Libraries in sandboxes: functions of C that are called as if they were Python's."""

from __future__ import annotations

import contextlib
import os
from types import TracebackType
from typing import Any, Callable, Generator, Iterator, Mapping, NamedTuple, Optional, Sequence, TypedDict, TypeVar, Union

from . import _host, _native
from . import _types as t
from ._declarations import DeclarationError, Declarations, Source
from ._errors import make_error
from ._host import Program
from ._marshal import make_function
from ._memory import Arena, Buffer, Pointer
from .core import Stats

F = TypeVar("F", bound=Callable[..., Any])


class Limits(NamedTuple):
    """What a sandbox may use. 0 is no limit.

    Attributes
    ----------
    memory : int
        Bytes of mapped memory.
    cpu : float
        Seconds of CPU time.
    threads : int
        Threads, the host's that call into it included.
    files : int
        Descriptors.
    """

    memory: int = 0
    cpu: float = 0
    threads: int = 0
    files: int = 0

    def _apply(self, sandbox: Any) -> None:
        if any(value < 0 for value in self):
            raise ValueError(f"{self} has a limit below 0")
        if any(self):
            sandbox.set_limits(self.memory, int(self.cpu * 1e9), self.threads, self.files)


class ModuleOptions(TypedDict, total=False):
    """Keyword arguments of :class:`Module`."""

    include: Sequence[str]
    dirs: Optional[Mapping[str, Union[str, os.PathLike[str]]]]
    wd: str
    env: Optional[Mapping[str, str]]
    stack_size: int
    policy: str
    single_thread: bool
    bundle: int
    memory_limit: int
    cpu_limit: float
    max_threads: int
    max_files: int


class Module:
    """A program and its declarations: all that a sandbox of it is made from.

    It is immutable, compared, hashed and pickled by content, so that it goes to other processes and machines.

    Parameters
    ----------
    program : path or bytes
        A library made by ``lfi-cc``: a program without ``main``.
    header : str or path
        Declarations of C, or the path of a header.
    include : sequence of str
        Folders to look for included files in.
    dirs, wd, env, stack_size, policy, single_thread, bundle, memory_limit, cpu_limit, max_threads, max_files
        As in :func:`lfi.load`.
    """

    def __init__(
        self,
        program: Program,
        header: Source = "",
        *,
        include: Sequence[str] = (),
        dirs: Optional[Mapping[str, Union[str, os.PathLike[str]]]] = None,
        wd: str = "/",
        env: Optional[Mapping[str, str]] = None,
        stack_size: int = 0,
        policy: str = "full",
        single_thread: bool = False,
        bundle: int = 0,
        memory_limit: int = 0,
        cpu_limit: float = 0,
        max_threads: int = 0,
        max_files: int = 0,
    ) -> None:
        self.image, self.name = _host.read_program(program)
        self.declarations = Declarations(header, tuple(include))
        self.options = _host.options(dirs, wd, stack_size, policy, single_thread, bundle)
        self.environment = _host.environment(env)
        self.limits = Limits(memory_limit, cpu_limit, max_threads, max_files)

    @property
    def digest(self) -> str:
        """SHA-256 of the program, as hexadecimal."""
        import hashlib

        return hashlib.sha256(self.image).hexdigest()

    def load(
        self, *, stdout: Optional[int] = None, stderr: Optional[int] = None, timeout: Optional[float] = None
    ) -> Library:
        """A new sandbox of it; `stdout`, `stderr` and `timeout` are as in :func:`lfi.load`."""
        return Library(self, stdout=stdout, stderr=stderr, timeout=timeout)

    def _parts(self) -> tuple[Any, ...]:
        return self.image, self.name, self.declarations.text, tuple(self.options), self.environment, tuple(self.limits)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Module) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash((self.digest, self.declarations.digest))

    def __reduce__(self) -> Any:
        return _unpickle_module, self._parts()

    def __repr__(self) -> str:
        return f"<lfi.Module {self.name} {self.digest[:12]}>"


def _unpickle_module(
    image: bytes, name: str, text: str, options: tuple[Any, ...], environment: list[bytes], limits: tuple[Any, ...]
) -> Module:
    made = Module.__new__(Module)
    made.image, made.name = image, name
    made.declarations = Declarations(text)
    made.options = _host.Options(*options)
    made.environment = environment
    made.limits = Limits(*limits)
    return made


class Library:
    """A library in a sandbox of its own. Made by :func:`lfi.load`.

    Its functions, enumerators, structs and simple macros are attributes: ``lib.add(2, 3)``, ``lib.RED``,
    ``lib.point(x=1, y=2)``. All functions take ``timeout=`` in seconds, and ``lib.add.timeout`` is for all calls. Names that methods have too are in :attr:`functions`, :attr:`constants`, :attr:`structs`.

    Threads: each thread that calls has a context (stack, thread-local data) of its own in the sandbox, and calls of several
    threads run at the same time, so the C code must be made for threads if more than one calls.

    Parameters
    ----------
    module : Module
        What to load.
    stdout, stderr, timeout
        As in :func:`lfi.load`.

    Attributes
    ----------
    functions : mapping
        The declared functions by name.
    constants : mapping
        Enumerators and simple macros by name.
    structs : mapping
        The classes of structs by name.
    enums : mapping
        The enumerations by name.
    """

    def __init__(
        self, module: Module, *, stdout: Optional[int] = None, stderr: Optional[int] = None, timeout: Optional[float] = None
    ) -> None:
        self._module = module
        host, process = _host.new_process(module.options)
        self._sandbox = _native.proc_sandbox(process, host)
        try:
            self._start(host, process, stdout, stderr, timeout)
        except BaseException:
            self._sandbox.close()
            raise

    def _start(
        self, host: Any, process: Any, stdout: Optional[int], stderr: Optional[int], timeout: Optional[float]
    ) -> None:
        module = self._module
        _host.load_program(process, module.image, module.name, module.options)
        _native.lfi_proc_stdio(process, -1, 1 if stdout is None else stdout, 2 if stderr is None else stderr)
        thread = _native.thread_new(process, [os.fsencode(module.name)], module.environment)
        _native.adopt_thread(self._sandbox, thread)
        _native.thread_run(self._sandbox, thread, timeout or 0.0, True)
        module.limits._apply(self._sandbox)
        self._host = host
        self._process = process
        self._prepare()

    @classmethod
    def _of_clone(cls, module: Module, host: Any, process: Any, like: Library) -> Library:
        """Of a process that a snapshot was cloned to."""
        made = cls.__new__(cls)
        made._module = module
        made._host = host
        made._process = process
        made._sandbox = _native.clone_sandbox(process, _native.lfi_proc_thread(process), host, like._sandbox)
        made._prepare()
        return made

    def _prepare(self) -> None:
        declarations = self._module.declarations
        self._arena = Arena(self._sandbox)
        self._tokens: dict[int, Any] = {}
        self.functions: Mapping[str, _native.Function] = _Functions(self)
        self.constants: Mapping[str, int] = declarations.constants
        self.structs: Mapping[str, type[t.StructValue]] = {n: one.python for n, one in declarations.structs.items()}
        self.enums: Mapping[str, Any] = {n: one.python for n, one in declarations.enums.items()}

    # ---- Names ----

    @property
    def module(self) -> Module:
        """What it was made from."""
        return self._module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("_module", "_sandbox", "functions"):
            raise AttributeError(name)
        declarations = self._module.declarations
        if name in declarations.functions:
            function = self.functions[name]
            self.__dict__[name] = function
            return function
        for names in (self.constants, self.enums, self.structs):
            if name in names:
                return names[name]
        if self._sandbox.closed or self._sandbox.symbol(name) is None:
            raise AttributeError(f"{self._module.name} declares no {name!r}")
        raise AttributeError(f"{name!r} is in {self._module.name}, but nothing declares it: pass header= to lfi.load")

    def __dir__(self) -> list[str]:
        declarations = self._module.declarations
        return sorted({*super().__dir__(), *declarations.functions, *self.constants, *self.structs, *self.enums})

    def function(self, name: str, declaration: str) -> _native.Function:
        """A function that no header declares: ``lib.function("add", "int(int, int)")``.

        Parameters
        ----------
        name : str
            Of a symbol of the program.
        declaration : str
            The type of a function. A wrong one is no danger to the host: the sandbox gets what it did not expect.
        """
        made = self._module.declarations.parse_type(declaration)
        if not isinstance(made, t.Function):
            raise DeclarationError(f"{declaration!r} is no type of a function, such as 'int(int, int)'")
        return make_function(self._sandbox, name, self._address(name), made, self._arena)

    def _address(self, name: str) -> int:
        address = self._sandbox.symbol(name)
        if address is None:
            raise make_error(_native.LFI_ERR_NOTFOUND, f"{self._module.name} has no symbol {name!r}")
        return int(address)

    def variable(self, name: str, type: str) -> Pointer:
        """A pointer to the global variable `name` of this `type`: ``lib.variable("counter", "int")``."""
        return self._pointer(self._address(name), self._type(type))

    def _type(self, type: Union[str, t.CType]) -> t.CType:
        return type if isinstance(type, t.CType) else self._module.declarations.parse_type(type)

    def _pointer(self, address: int, target: t.CType) -> Pointer:
        return Pointer(self._sandbox, address, None if isinstance(target, t.Void) else target)

    def _own(self, pointer: Any) -> Pointer:
        if not isinstance(pointer, Pointer) or pointer._sandbox is not self._sandbox:
            raise TypeError(f"{pointer!r} is no pointer of this sandbox")
        return pointer

    # ---- Memory ----

    def alloc(self, what: Union[int, str], count: int = 1) -> Pointer:
        """Memory in the sandbox, zeroed.

        Parameters
        ----------
        what : int or str
            Bytes, or the type of the items: ``lib.alloc("double", 100)``.
        count : int
            Items.

        Returns
        -------
        Pointer
            It stays until :meth:`free`, or until the sandbox goes.
        """
        if isinstance(what, int):
            target: t.CType = t.VOID
            size = what * count
        else:
            target = self._type(what)
            size = target.need_size() * count
        if count < 0 or size < 0:
            raise ValueError(f"alloc({what!r}, {count}) is no size")
        address = self._arena.alloc(size)
        self._sandbox.write(address, bytes(size))
        return self._pointer(address, target)

    def free(self, pointer: Pointer) -> None:
        """Give back what :meth:`alloc` gave: `pointer`, which can still be read and written, but may be given out again.

        Raises
        ------
        lfi.InvalidError
            No allocation begins there.
        """
        self._arena.free(self._own(pointer)._offset())

    @contextlib.contextmanager
    def temporary(self, what: Union[int, str, Buffer], count: int = 1) -> Generator[Pointer, None, None]:
        """Memory for a ``with`` statement, freed at its end.

        Parameters
        ----------
        what : int, str or bytes-like
            Bytes, or the type of the items, as in :meth:`alloc`; or what to copy in.
        count : int
            Items.
        """
        if isinstance(what, (int, str)):
            pointer = self.alloc(what, count)
        else:
            pointer = self.alloc(memoryview(what).nbytes)
            pointer.write(what)
        try:
            yield pointer
        finally:
            self.free(pointer)

    def cast(self, pointer: Pointer, type: str) -> Pointer:
        """The `pointer` with another `type`, which is one of a pointer: ``lib.cast(p, "struct point *")``."""
        made = self._type(type)
        if not isinstance(made, t.Pointer):
            raise TypeError(f"{type!r} is no type of a pointer")
        return self._pointer(self._own(pointer)._offset(), made.target)

    def sizeof(self, type: str) -> int:
        """Bytes of a value of this `type`: ``lib.sizeof("struct point")``."""
        return self._type(type).need_size()

    # ---- Callbacks ----

    def callback(self, declaration: str) -> Callable[[F], F]:
        """Let sandboxed code call a Python function: ``@lib.callback("int(int)")``.

        The function can then be passed where a pointer to a function is wanted. What sandboxed code passes to it is hostile: check it.
        What it raises, KeyboardInterrupt too, ends the call into the sandbox and comes out of it.

        A sandbox has room for about a thousand; :meth:`release` makes room again.

        Parameters
        ----------
        declaration : str
            The type of a function.
        """

        def decorate(function: F) -> F:
            try:
                function._lfi_pointer = self.register(declaration, function)  # type: ignore[attr-defined]
            except AttributeError:
                raise TypeError(f"{function!r} cannot be marked as a callback: use lib.register") from None
            return function

        return decorate

    def register(self, declaration: str, function: Callable[..., Any]) -> Pointer:
        """A pointer to pass, for any callable; see :meth:`callback`.

        Parameters
        ----------
        declaration : str
            The type of a function.
        function : callable
            What is called. The sandbox keeps it until :meth:`release`.
        """
        made = self._module.declarations.parse_type(declaration)
        if isinstance(made, t.Pointer):
            made = made.target
        if not isinstance(made, t.Function) or made.variadic:
            raise DeclarationError(f"{declaration!r} is no type of a callback, such as 'int(int)'")
        if not callable(function):
            raise TypeError(f"{function!r} cannot be called")
        result: t.Kind = made.result.kind(self._sandbox)
        called = function
        if isinstance(made.result, t.Struct):
            called = _encoded(function, made.result, self._sandbox)
        kinds = made.host_kinds(self._sandbox)
        address, token = _native.register_callback(self._sandbox, made.signature(), result, kinds, called)
        self._tokens[address] = token
        return self._pointer(address, self._module.declarations.canonical(made))

    def release(self, callback: Any) -> None:
        """Take back a `callback`: the pointer, or the function that was decorated. Sandboxed code that still calls it faults."""
        pointer = self._own(getattr(callback, "_lfi_pointer", callback))
        token = self._tokens.pop(pointer._offset(), None)
        if token is None:
            raise make_error(_native.LFI_ERR_NOTFOUND, f"{callback!r} is no callback of this sandbox")
        _native.unregister_callback(self._sandbox, token)

    # ---- Life ----

    def interrupt(self) -> None:
        """End all calls that are pending in the sandbox with :class:`lfi.Interrupted`. From any thread."""
        self._sandbox.interrupt()

    def set_limits(self, *, memory: int = 0, cpu: float = 0, threads: int = 0, files: int = 0) -> None:
        """Limit what the sandbox may use. 0 is no limit.

        Parameters
        ----------
        memory : int
            Bytes of mapped memory.
        cpu : float
            Seconds of CPU time since there was a limit of it.
        threads, files : int
            Threads, the host's that call into it included; descriptors.
        """
        limits = Limits(memory, cpu, threads, files)
        if any(value < 0 for value in limits):
            raise ValueError(f"{limits} has a limit below 0")
        self._sandbox.set_limits(limits.memory, int(limits.cpu * 1e9), limits.threads, limits.files)

    @property
    def usage(self) -> Stats:
        """What the sandbox has used so far."""
        return Stats(*self._sandbox.stats())

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return bool(self._sandbox.closed)

    def close(self) -> None:
        """Free the sandbox. What has views of its memory keeps that memory until it is released.

        Raises
        ------
        lfi.BusyError
            Calls are still in it: interrupt them first.
        """
        self._sandbox.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        return _load_module, (self._module,)

    def __repr__(self) -> str:
        return f"<lfi.Library {self._module.name}{' (closed)' if self.closed else ''}>"


def _encoded(function: Callable[..., Any], struct: t.Struct, sandbox: Any) -> Callable[..., bytes]:
    """The function, with its result as bytes of a struct."""

    def called(*args: Any) -> bytes:
        return struct.encode(function(*args), sandbox)

    return called


def _load_module(module: Module) -> Library:
    return module.load()


class _Functions(Mapping[str, _native.Function]):
    """The declared functions that the program has; made when they are asked for."""

    def __init__(self, library: Library) -> None:
        # No cycle: the sandbox goes with the library.
        self._declarations = library._module.declarations
        self._name = library._module.name
        self._sandbox = library._sandbox
        self._arena = library._arena
        self._made: dict[str, _native.Function] = {}

    def __getitem__(self, name: str) -> _native.Function:
        made = self._made.get(name)
        if made is not None:
            return made
        declared = self._declarations.functions.get(name)
        if declared is None:
            raise KeyError(f"{self._name} declares no function {name!r}")
        address = self._sandbox.symbol(name)
        if address is None:
            raise make_error(_native.LFI_ERR_NOTFOUND, f"{self._name} has no function {name!r}, which the header declares")
        made = self._made[name] = make_function(self._sandbox, name, int(address), declared, self._arena)
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._declarations.functions)

    def __len__(self) -> int:
        return len(self._declarations.functions)


def load(
    program: Program,
    header: Source = "",
    *,
    include: Sequence[str] = (),
    dirs: Optional[Mapping[str, Union[str, os.PathLike[str]]]] = None,
    wd: str = "/",
    env: Optional[Mapping[str, str]] = None,
    memory_limit: int = 0,
    cpu_limit: float = 0,
    max_threads: int = 0,
    max_files: int = 0,
    stack_size: int = 0,
    stdout: Optional[int] = None,
    stderr: Optional[int] = None,
    timeout: Optional[float] = None,
    policy: str = "full",
    single_thread: bool = False,
    bundle: int = 0,
) -> Library:
    """Load a library into a new sandbox.

    >>> lib = lfi.load("libadd.lfi", header="int add(int a, int b);")
    >>> lib.add(2, 3)
    5

    Parameters
    ----------
    program : path or bytes
        A library made by ``lfi-cc``: a program without ``main``.
    header : str or path
        Declarations of C, or the path of a header. With ``#include``, it goes through the preprocessor of ``lfi-cc``.
    include : sequence of str
        Folders to look for included files in.
    dirs : mapping, optional
        Host directories that it sees: ``{"/data": "some/folder:ro"}``. None by default.
    wd : str
        Its working directory, as it sees it.
    env : mapping, optional
        Its environment. Empty by default.
    memory_limit, cpu_limit, max_threads, max_files
        Bytes of mapped memory, seconds of CPU time, threads, descriptors. 0 is no limit.
    stack_size : int
        Bytes of its first thread's stack; 0 is 2 MiB.
    stdout, stderr : int, optional
        Host descriptors for its output; the host's own by default, -1 for none.
    timeout : float, optional
        Seconds that its start may take.
    policy, single_thread, bundle
        What it was built for: see the tools' ``--sandbox``, ``--single-thread``, ``--cfi``.

    Raises
    ------
    lfi.VerificationError
        Its code does not verify.
    lfi.ProgramError
        It is no program for a sandbox.
    """
    module = Module(
        program, header, include=include, dirs=dirs, wd=wd, env=env, stack_size=stack_size, policy=policy,
        single_thread=single_thread, bundle=bundle, memory_limit=memory_limit, cpu_limit=cpu_limit,
        max_threads=max_threads, max_files=max_files,
    )  # fmt: skip
    return module.load(stdout=stdout, stderr=stderr, timeout=timeout)
