# SPDX-License-Identifier: MIT
"""Programs in sandboxes, as :mod:`subprocess` has them: :func:`run`, :class:`Popen`, :func:`run_async`.

A program runs on a thread of this process. Its standard streams are descriptors, pipes that a thread of the host serves
(for bytes, file objects without a descriptor, and callbacks), or nothing.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple, Optional, Sequence, TypedDict, Union, cast

from . import _host, _native
from ._errors import Error, LimitExceeded
from ._library import Limits
from ._memory import Buffer
from .core import Stats

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:
    from typing_extensions import Unpack

# As subprocess has them. That module, and asyncio, are imported where they are used: importing lfi is quick.
PIPE = -1
"""A stream that the host has the other end of."""
STDOUT = -2
"""For ``stderr=``: where standard output goes."""
DEVNULL = -3
"""A stream that is empty, and takes everything."""

#: What a stream may be: PIPE, DEVNULL, STDOUT (of stderr), a descriptor, a file object, bytes to read, a callback
Stream = Union[int, None, bytes, bytearray, memoryview, Any]

#: Bytes of output that are kept unless `output_limit` says otherwise.
OUTPUT_LIMIT = 256 << 20

_BLOCK = 65536

#: A program and its arguments
Args = Sequence[Union[str, "os.PathLike[str]"]]


class ProcessOptions(TypedDict, total=False):
    """Keyword arguments of :class:`Popen`."""

    program: Optional[_host.Program]
    stdin: Stream
    stdout: Stream
    stderr: Stream
    dirs: Optional[Mapping[str, Union[str, os.PathLike[str]]]]
    wd: str
    env: Optional[Mapping[str, str]]
    memory_limit: int
    cpu_limit: float
    max_threads: int
    max_files: int
    timeout: Optional[float]
    stack_size: int
    policy: str
    single_thread: bool
    bundle: int


class RunOptions(ProcessOptions, total=False):
    """Keyword arguments of :func:`run`."""

    input: Union[bytes, str, None]
    capture_output: bool
    text: bool
    check: bool
    output_limit: int



class CompletedProcess(NamedTuple):
    """A program that has ended.

    Attributes
    ----------
    args : list of str
    returncode : int
        0 to 255; 128 + signal when the program ended itself by a signal.
    stdout, stderr : bytes, str or None
        What was captured; None if it was not.
    usage : Stats
        What the sandbox has used. CPU time is counted when there is a limit of it.
    """

    args: list[str]
    returncode: int
    stdout: Any
    stderr: Any
    usage: Stats

    def check_returncode(self) -> None:
        """Raise a :class:`subprocess.CalledProcessError` unless `returncode` is 0."""
        if self.returncode:
            import subprocess

            raise subprocess.CalledProcessError(self.returncode, self.args, self.stdout, self.stderr)


class _Collector:
    """Output that is kept, up to a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.parts: list[bytes] = []
        self.size = 0
        self.failed = False

    def __call__(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self.limit:
            raise LimitExceeded(f"the program wrote more than output_limit={self.limit} bytes")
        self.parts.append(data)

    def data(self) -> bytes:
        return b"".join(self.parts)


class _Pump:
    """One thread that empties the pipes of all programs whose output is kept. It runs no code of the user's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._epoll = select.epoll()
        self._sinks: dict[int, tuple[_Collector, Callable[[BaseException], None]]] = {}
        self._pid = 0

    def add(self, fd: int, sink: _Collector, fail: Callable[[BaseException], None]) -> None:
        """Empty `fd` from now on."""
        os.set_blocking(fd, False)
        with self._lock:
            if self._pid != os.getpid():
                self._start()
            self._sinks[fd] = sink, fail
            self._epoll.register(fd, select.EPOLLIN)

    def _start(self) -> None:
        """Also in a child, which has neither the thread nor programs of its parent."""
        self._epoll = select.epoll()
        self._sinks = {}
        self._pid = os.getpid()
        threading.Thread(target=self._loop, args=(self._epoll,), name="lfi-pump", daemon=True).start()

    def finish(self, fd: int) -> None:
        """All writers are gone: take what is left, and close it."""
        with self._lock:
            entry = self._sinks.pop(fd, None)
            if entry is not None:
                self._epoll.unregister(fd)
                while self._step(fd, *entry) > 0:
                    pass
        os.close(fd)

    def _loop(self, epoll: select.epoll) -> None:
        while True:
            for fd, _ in epoll.poll():
                with self._lock:
                    entry = self._sinks.get(fd)
                    # At its end it waits for `finish`.
                    if entry is not None and self._step(fd, *entry) == 0:
                        epoll.unregister(fd)
                        del self._sinks[fd]

    @staticmethod
    def _step(fd: int, sink: _Collector, fail: Callable[[BaseException], None]) -> int:
        """Take a block: its bytes; 0 at the end, -1 when there is nothing now."""
        try:
            data = os.read(fd, _BLOCK)
        except BlockingIOError:
            return -1
        if data and not sink.failed:
            try:
                sink(data)
            except BaseException as error:
                sink.failed = True
                fail(error)
        return len(data)


_pump = _Pump()


class _Streams:
    """The three descriptors that a program gets, and the threads that serve them."""

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        self.guest: list[int] = []  # closed once the process has its duplicates
        self.threads: list[threading.Thread] = []
        self._fail = fail
        self.kept: list[int] = []  # the host's ends of what the pump empties

    def _pipe(self) -> tuple[int, int]:
        read, write = os.pipe()
        return read, write

    def _own(self, fd: int) -> int:
        self.guest.append(fd)
        return fd

    def _serve(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=self._guard, args=(work, *args), name="lfi-stream", daemon=True)
        self.threads.append(thread)

    def _guard(self, work: Callable[..., None], *args: Any) -> None:
        try:
            work(*args)
        except BaseException as error:
            self._fail(error)

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    # ---- Input ----

    def input(self, what: Stream) -> tuple[int, Optional[io.BufferedWriter]]:
        """The descriptor for 0, and the host's end of a PIPE."""
        if what is None:
            return 0, None
        if isinstance(what, int) and not isinstance(what, bool):
            return self._input_number(what)
        return self._input_object(what), None

    def _input_object(self, what: Any) -> int:
        if isinstance(what, (bytes, bytearray, memoryview)):
            return self._memory(bytes(cast("Buffer", what)))
        fd = _fileno(what)
        if fd is not None:
            return fd
        if not callable(what) and not hasattr(what, "read"):
            raise TypeError(f"stdin={what!r} is no descriptor, file, bytes or callback")
        read, write = self._pipe()
        self._serve(_feed, what if callable(what) else what.read, write)
        return self._own(read)

    def _input_number(self, what: int) -> tuple[int, Optional[io.BufferedWriter]]:
        if what == PIPE:
            read, write = self._pipe()
            return self._own(read), io.open(write, "wb")
        if what == DEVNULL:
            return self._own(os.open(os.devnull, os.O_RDONLY)), None
        if what < 0:
            raise ValueError(f"stdin={what} is no descriptor")
        return what, None

    def _memory(self, data: bytes) -> int:
        """Bytes as a file: nobody has to feed them."""
        fd = self._own(os.memfd_create("lfi-stdin", os.MFD_CLOEXEC))
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    # ---- Output ----

    def output(self, name: str, what: Stream, default: int) -> tuple[int, Optional[io.BufferedReader]]:
        """The descriptor for 1 or 2, and the host's end of a PIPE."""
        if what is None:
            return default, None
        if isinstance(what, int) and not isinstance(what, bool):
            return self._output_number(name, what)
        fd = _fileno(what)
        if fd is not None:
            with contextlib.suppress(AttributeError):
                what.flush()  # type: ignore[union-attr]
            return fd, None
        if not callable(what) and not hasattr(what, "write"):
            raise TypeError(f"{name}={what!r} is no descriptor, file or callback")
        read, write = self._pipe()
        if isinstance(what, _Collector):
            self.kept.append(read)
            _pump.add(read, what, self._fail)
            return self._own(write), None
        self._serve(_drain, read, what if callable(what) else _writer(what), self._fail)
        return self._own(write), None

    def _output_number(self, name: str, what: int) -> tuple[int, Optional[io.BufferedReader]]:
        if what == PIPE:
            read, write = self._pipe()
            return self._own(write), io.open(read, "rb")
        if what == DEVNULL:
            return self._own(os.open(os.devnull, os.O_WRONLY)), None
        if what < 0:
            raise ValueError(f"{name}={what} is no descriptor")
        return what, None

    # ---- Ends ----

    def close_guest(self) -> None:
        """The process has its own now."""
        for fd in self.guest:
            os.close(fd)
        self.guest = []

    def join(self) -> None:
        """All is there, once the process has closed its ends."""
        for fd in self.kept:
            _pump.finish(fd)
        self.kept = []
        for thread in self.threads:
            if thread.ident is not None:
                thread.join()


def _fileno(what: Any) -> Optional[int]:
    try:
        fd = what.fileno()
    except (AttributeError, OSError, io.UnsupportedOperation):
        return None
    return fd if isinstance(fd, int) else None


def _writer(file: Any) -> Callable[[bytes], Any]:
    """`file.write`, of text or bytes."""
    if isinstance(file, io.TextIOBase):
        return lambda data: file.write(data.decode("utf-8", "replace"))
    return file.write  # type: ignore[no-any-return]


def _drain(fd: int, sink: Callable[[bytes], Any], fail: Callable[[BaseException], None]) -> None:
    """Hand out what the program writes. After an exception the rest is thrown away, so that it can end."""
    failed = False
    try:
        while data := os.read(fd, _BLOCK):
            if failed:
                continue
            try:
                sink(data)
            except BaseException as error:
                failed = True
                fail(error)
    finally:
        os.close(fd)


def _feed(source: Callable[[int], Any], fd: int) -> None:
    """Hand in what a callback or a file has, until it is empty or the program reads no more."""
    try:
        while data := source(_BLOCK):
            view = memoryview(data.encode() if isinstance(data, str) else data)
            while view:
                view = view[os.write(fd, view) :]
    except BrokenPipeError:
        pass
    finally:
        os.close(fd)


class _Process:
    """A program in a sandbox that has not run yet."""

    def __init__(
        self,
        args: Args,
        *,
        program: Optional[_host.Program] = None,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        dirs: Optional[Mapping[str, Union[str, os.PathLike[str]]]] = None,
        wd: str = "/",
        env: Optional[Mapping[str, str]] = None,
        memory_limit: int = 0,
        cpu_limit: float = 0,
        max_threads: int = 0,
        max_files: int = 0,
        timeout: Optional[float] = None,
        stack_size: int = 0,
        policy: str = "full",
        single_thread: bool = False,
        bundle: int = 0,
    ) -> None:
        self._sandbox: Any = None
        self._thread: Optional[threading.Thread] = None
        if isinstance(args, (str, bytes, os.PathLike)):
            raise TypeError(f"args={args!r} is no list: ['program.lfi', 'argument']")
        self.args = [os.fspath(one) for one in args]
        if not self.args:
            raise ValueError("args is empty: the program is missing")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout={timeout} is no number of seconds above 0")
        self.returncode: Optional[int] = None
        self._timeout = timeout or 0.0
        self._error: Optional[BaseException] = None
        self._usage: Optional[Stats] = None
        self._ended = threading.Event()
        self._streams = _Streams(self._stream_failed)
        options = _host.options(dirs, wd, stack_size, policy, single_thread, bundle)
        image, name = _host.read_program(self.args[0] if program is None else program)
        self.stdin: Optional[io.BufferedWriter] = None
        self.stdout: Optional[io.BufferedReader] = None
        self.stderr: Optional[io.BufferedReader] = None
        try:
            self._make(image, name, options, Limits(memory_limit, cpu_limit, max_threads, max_files), env,
                       (stdin, stdout, stderr))  # fmt: skip
        except BaseException:
            self._abandon()
            raise

    def _make(
        self, image: bytes, name: str, options: _host.Options, limits: Limits, env: Optional[Mapping[str, str]],
        streams: tuple[Stream, Stream, Stream],
    ) -> None:  # fmt: skip
        argv = _host.encode_strings("args", self.args)
        environment = _host.environment(env)
        host, process = _host.new_process(options)
        self._sandbox = _native.proc_sandbox(process, host)
        _host.load_program(process, image, name, options)
        limits._apply(self._sandbox)
        zero, self.stdin = self._streams.input(streams[0])
        one, self.stdout = self._streams.output("stdout", streams[1], 1)
        if isinstance(streams[2], int) and streams[2] == STDOUT:
            two = one
        else:
            two, self.stderr = self._streams.output("stderr", streams[2], 2)
        _native.lfi_proc_stdio(process, zero, one, two)
        self._streams.close_guest()
        self._main = _native.thread_new(process, argv, environment)
        _native.adopt_thread(self._sandbox, self._main)
        self._token: int = self._sandbox.token()

    def _abandon(self) -> None:
        """It could not be made."""
        self._streams.close_guest()
        for file in (self.stdin, self.stdout, self.stderr):
            if file is not None:
                file.close()
        if self._sandbox is not None:
            self._sandbox.close()
        self._streams.join()

    # ---- Running ----

    def _run_here(self) -> None:
        """Run to the end, on this thread."""
        self._streams.start()
        try:
            self.returncode = _native.thread_run(self._sandbox, self._main, self._timeout, False)
        except BaseException as error:
            # What a stream's thread says is why it was interrupted.
            if self._error is None:
                self._error = error
        try:
            self._usage = Stats(*self._sandbox.stats())
        finally:
            self._sandbox.close()  # closes its descriptors, so that the streams end
            self._ended.set()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run_here, name="lfi-program", daemon=True)
        self._thread.start()

    def _stream_failed(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
        self._kill()

    def _kill(self) -> None:
        if not self._ended.is_set() and not self._sandbox.closed:
            # Whether it runs already or not, and all its threads.
            self._sandbox.interrupt(self._token)

    def _result(self) -> int:
        self._streams.join()
        if self._error is not None:
            raise self._error
        assert self.returncode is not None
        return self.returncode

    def _stats(self) -> Stats:
        """What the sandbox has used: so far, or in all."""
        return self._usage or Stats(*self._sandbox.stats())


def _write_all(file: io.BufferedWriter, data: bytes) -> None:
    with contextlib.suppress(OSError):
        file.write(data)
    with contextlib.suppress(OSError):
        file.close()


class Popen(_Process):
    """A program that runs in a sandbox, on a thread of this process.

    Parameters
    ----------
    args : sequence of str or path
        The program, made by ``lfi-cc``, and its arguments.
    **options
        All optional:

        - `program` (path or bytes): the program, where ``args[0]`` is not its file.
        - `stdin`, `stdout`, `stderr`: :data:`PIPE`, :data:`DEVNULL`, a descriptor, a file object, for input bytes, or a
          callback: for output it is called with bytes, for input with a number of bytes and returns some, none at the
          end. `stderr` may be :data:`STDOUT`. None inherits the host's.
        - `dirs`, `wd`, `env`: what it sees of files and environment: nothing by default. A host directory that ends in
          ``:ro`` is read-only.
        - `memory_limit`, `cpu_limit`, `max_threads`, `max_files`: bytes, seconds, threads, descriptors. 0 is no limit.
        - `timeout` (float): seconds after which it is ended with :class:`lfi.Timeout`.
        - `stack_size`, `policy`, `single_thread`, `bundle`: as in :func:`lfi.load`.

    Attributes
    ----------
    stdin, stdout, stderr
        The host's ends of pipes, or None.
    returncode : int or None
        As in :class:`CompletedProcess`; None while it runs, or when it ended by an exception.
    """

    def __init__(self, args: Args, **options: Unpack[ProcessOptions]) -> None:
        super().__init__(args, **options)
        self._start()

    def kill(self) -> None:
        """End it: :meth:`wait` raises :class:`lfi.Interrupted`. Nothing happens when it has ended."""
        self._kill()

    def terminate(self) -> None:
        """As :meth:`kill`: sandboxed programs are not asked."""
        self._kill()

    def poll(self) -> Optional[int]:
        """The return code, or None while it runs. Raises what it ended with."""
        if not self._ended.is_set():
            return None
        return self._result()

    def wait(self, timeout: Optional[float] = None) -> int:
        """Wait for its end, at most `timeout` seconds.

        Returns
        -------
        int
            The return code.

        Raises
        ------
        subprocess.TimeoutExpired
            It still runs after `timeout` seconds.
        lfi.Fault, lfi.Timeout, lfi.Interrupted, lfi.LimitExceeded
            How it ended, if not by itself.
        """
        try:
            ended = self._ended.wait(timeout)
        except BaseException:
            self.kill()
            raise
        if not ended:
            import subprocess

            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self._result()

    @property
    def usage(self) -> Stats:
        """What the sandbox has used: so far, or in all."""
        return self._stats()

    def communicate(self, input: Optional[bytes] = None, timeout: Optional[float] = None) -> tuple[Any, Any]:
        """Write `input` to its PIPE, read both outputs to their ends, wait at most `timeout` seconds, as :meth:`wait`.

        Returns
        -------
        stdout, stderr
            Bytes, or None for what is no PIPE.
        """
        if input is not None and self.stdin is None:
            raise ValueError("input= needs stdin=PIPE")
        collected: dict[str, bytes] = {}
        threads: list[threading.Thread] = []

        def read(name: str, file: io.BufferedReader) -> None:
            collected[name] = file.read()

        for name, file in (("stdout", self.stdout), ("stderr", self.stderr)):
            if file is not None:
                threads.append(threading.Thread(target=read, args=(name, file), daemon=True))
        if self.stdin is not None:
            threads.append(threading.Thread(target=_write_all, args=(self.stdin, input or b""), daemon=True))
        for thread in threads:
            thread.start()
        try:
            self.wait(timeout)
        finally:
            if self._ended.is_set():
                for thread in threads:
                    thread.join()
        return collected.get("stdout"), collected.get("stderr")

    def __enter__(self) -> Popen:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        for file in (self.stdin, self.stdout, self.stderr):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
        if kind is not None:
            self.kill()
        self._ended.wait()

    def __repr__(self) -> str:
        state = "runs" if not self._ended.is_set() else f"ended: {self._error or self.returncode}"
        return f"<lfi.Popen {self.args!r} {state}>"


class _Run:
    """A program of :func:`run`: with its input, and what is kept of its output."""

    def __init__(
        self,
        args: Args,
        *,
        input: Union[bytes, str, None] = None,
        capture_output: bool = False,
        text: bool = False,
        check: bool = False,
        output_limit: int = OUTPUT_LIMIT,
        **options: Unpack[ProcessOptions],
    ) -> None:
        self._text, self._check = text, check
        self._kept: dict[str, _Collector] = {}
        if input is not None:
            if options.get("stdin") is not None:
                raise ValueError("stdin= and input= exclude each other")
            options["stdin"] = input.encode() if isinstance(input, str) else input
        if _is(options.get("stdin"), PIPE):
            raise ValueError("stdin=PIPE is for Popen: run takes input=")
        if capture_output:
            if options.get("stdout") is not None or options.get("stderr") is not None:
                raise ValueError("stdout= and stderr= exclude capture_output=")
            options["stdout"] = options["stderr"] = PIPE
        if _is(options.get("stdout"), PIPE):
            options["stdout"] = self._kept["stdout"] = _Collector(output_limit)
        if _is(options.get("stderr"), PIPE):
            options["stderr"] = self._kept["stderr"] = _Collector(output_limit)
        self._process = _Process(args, **options)

    def kill(self) -> None:
        self._process._kill()

    def run(self) -> None:
        """To its end, on this thread."""
        self._process._run_here()
        self._process._streams.join()

    def result(self) -> CompletedProcess:
        """How it ended."""
        process = self._process
        outputs: dict[str, Any] = {name: kept.data() for name, kept in self._kept.items()}
        if self._text:
            outputs = {name: data.decode() for name, data in outputs.items()}
        try:
            code = process._result()
        except Error as error:
            # As subprocess's exceptions have them.
            error.stdout, error.stderr = outputs.get("stdout"), outputs.get("stderr")
            raise
        done = CompletedProcess(process.args, code, outputs.get("stdout"), outputs.get("stderr"), process._stats())
        if self._check:
            done.check_returncode()
        return done


def _is(stream: Stream, number: int) -> bool:
    """Whether it is PIPE, or STDOUT: comparing objects of the user's could do anything."""
    return isinstance(stream, int) and stream == number


def run(
    args: Args,
    *,
    input: Union[bytes, str, None] = None,
    capture_output: bool = False,
    text: bool = False,
    check: bool = False,
    output_limit: int = OUTPUT_LIMIT,
    **options: Unpack[ProcessOptions],
) -> CompletedProcess:
    """Run a program in a sandbox and wait for its end, as :func:`subprocess.run`.

    >>> lfi.run(["sort.lfi"], input=b"b\\na\\n", capture_output=True, timeout=1.0).stdout
    b'a\\nb\\n'

    Parameters
    ----------
    args : sequence of str or path
        The program, made by ``lfi-cc``, and its arguments.
    input : bytes or str, optional
        Its standard input. Without it, and without ``stdin=``, the host's.
    capture_output : bool
        Keep standard output and error; as does ``stdout=PIPE`` for one of them.
    text : bool
        Outputs are str.
    check : bool
        A return code that is not 0 raises :class:`subprocess.CalledProcessError`.
    output_limit : int
        Bytes of each output that are kept; more ends the program with :class:`lfi.LimitExceeded`.
    **options
        As :class:`Popen`: stdin, stdout, stderr, dirs, wd, env, memory_limit, cpu_limit, max_threads, max_files, timeout, ...

    Returns
    -------
    CompletedProcess

    Raises
    ------
    lfi.Fault, lfi.Timeout, lfi.Interrupted, lfi.LimitExceeded
        How it ended, if not by itself; with what was captured in ``stdout`` and ``stderr``.
    lfi.VerificationError, lfi.ProgramError
        It cannot be run.
    """
    one = _Run(
        args, input=input, capture_output=capture_output, text=text, check=check, output_limit=output_limit, **options
    )
    one.run()
    return one.result()


async def run_async(args: Args, **options: Unpack[RunOptions]) -> CompletedProcess:
    """As :func:`run`, for asyncio. Cancelling it ends the program.

    Parameters
    ----------
    args : sequence of str or path
        The program and its arguments.
    **options
        As :func:`run`.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    one = _Run(args, **options)
    ended = asyncio.Event()

    def work() -> None:
        one.run()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=work, name="lfi-program", daemon=True).start()
    try:
        await ended.wait()
    except asyncio.CancelledError:
        one.kill()
        raise
    return one.result()
