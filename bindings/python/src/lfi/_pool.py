# SPDX-License-Identifier: MIT
"""Pools of sandboxes: each job runs in one that is as new, without the price of loading."""

from __future__ import annotations

import contextlib
import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from . import _host, _native
from ._declarations import Source
from ._errors import BusyError, make_error
from ._host import Program
from ._library import Library, Module, ModuleOptions

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:
    from typing_extensions import Unpack


class Sandbox:
    """``with pool.sandbox() as lib:`` takes a sandbox of the pool, and gives it back reset."""

    __slots__ = ("_pool", "_library")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __enter__(self) -> Library:
        self._library = self._pool._take()
        return self._library

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._pool._give(self._library)


class Pool(Executor):
    """Sandboxes of one library, and as many threads: an executor whose jobs each have a fresh sandbox.

    The library is loaded once, and `setup` runs in it once; a snapshot of it is what each job starts from. After a job its sandbox
    is reset, whatever the job did to it: what one job leaves behind, the next one cannot find.

    >>> with lfi.Pool("libpng.lfi", header=HEADER, workers=4) as pool:
    ...     sizes = list(pool.map("decode", images))

    Parameters
    ----------
    program : path, bytes or Module
        What to load.
    header : str or path
        Declarations of C, or the path of a header; not with a Module.
    workers : int
        Sandboxes, and threads.
    setup : callable, optional
        Called once with the :class:`Library` before the snapshot.
    **options
        As in :func:`lfi.load`, but for stdout, stderr and timeout; not with a Module.
    """

    def __init__(
        self,
        program: Union[Program, Module],
        header: Source = "",
        *,
        workers: int = 4,
        setup: Optional[Callable[[Library], object]] = None,
        **options: Unpack[ModuleOptions],
    ) -> None:
        self._closed = True
        if workers < 1:
            raise ValueError(f"workers={workers} is no number above 0")
        if isinstance(program, Module) and (header or options):
            raise TypeError("a Module has its header and its options: give them to lfi.Module")
        module = program if isinstance(program, Module) else Module(program, header, **options)
        self._module = module
        self._workers = workers
        # Sandboxes whose memory somebody still views are replaced: places for those, which cost address space only.
        self._host = _host.Host(module.options, 2 * workers + 64)
        self._first = Library.__new__(Library)
        self._first._module = module
        process = self._host.process()
        self._first._sandbox = _native.proc_sandbox(process, self._host)
        self._first._start(self._host, process, -1, -1, None)
        if setup is not None:
            setup(self._first)
        self._first._sandbox.freeze()
        self._snapshot = _native.lfi_snapshot_new(process)
        self._host.snapshots.append(self._snapshot)
        self._gone = self._clone()
        self._gone.close()
        self._free: SimpleQueue[Optional[Library]] = SimpleQueue()
        for _ in range(workers):
            self._free.put(self._clone())
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="lfi-pool")
        self._closed = False

    def _clone(self) -> Library:
        return Library._of_clone(self._module, self._host, _native.lfi_snapshot_clone(self._snapshot), self._first)

    # ---- Taking and giving ----

    def _take(self) -> Library:
        library = self._free.get()
        if library is None:
            self._free.put(None)  # for the next one who asks
            raise make_error(_native.LFI_ERR_INVALID, "the pool is shut down")
        if library.closed:
            try:
                library = self._clone()
            except BaseException:
                self._free.put(library)
                raise
        library._sandbox.adopt()
        return library

    def _give(self, library: Library) -> None:
        try:
            library._sandbox.reset()
        except Exception:
            # Somebody still has views of it, or is in it: a new one takes its place, once that is asked for.
            with contextlib.suppress(BusyError):
                library.interrupt()
                library.close()
            library = self._gone
        if self._closed:
            library.close()
        else:
            self._free.put(library)

    def sandbox(self) -> Sandbox:
        """A sandbox for a ``with`` statement. Waits when all are taken.

        Pointers into it are of no use after the statement, and raise. Views keep their memory: the pool then makes another
        sandbox.
        """
        return Sandbox(self)

    # ---- Executor ----

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a job in a fresh sandbox.

        Parameters
        ----------
        fn : str or callable
            A function of the library by name, called with the arguments; or a callable, called with the :class:`Library` and the
            arguments.
        *args, **kwargs
            The arguments; ``timeout=`` is seconds, for a function of the library.

        Returns
        -------
        concurrent.futures.Future
            Of the result. What points into the sandbox is of no use when the job has ended: copy it in the job.
        """
        if self._closed:
            raise RuntimeError("the pool is shut down")
        if not isinstance(fn, str) and not callable(fn):
            raise TypeError(f"{fn!r} is neither the name of a function nor callable")
        if isinstance(fn, str) and fn not in self._module.declarations.functions:
            raise AttributeError(f"{self._module.name} declares no function {fn!r}")
        return self._threads.submit(self._job, fn, args, kwargs)

    def _job(self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self.sandbox() as library:
            if isinstance(fn, str):
                return library.functions[fn](*args, **kwargs)
            return fn(library, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Free the sandboxes, each once its job has ended. No more jobs are taken.

        Parameters
        ----------
        wait : bool
            Return once all jobs have ended.
        cancel_futures : bool
            Cancel the jobs that have not begun.
        """
        self._closed = True
        threads = getattr(self, "_threads", None)
        if threads is not None:
            threads.shutdown(wait, cancel_futures=cancel_futures)
        if threads is not None and not self._first.closed:
            self._drop()
            self._first.close()
            self._free.put(None)

    def _drop(self) -> None:
        """Close the sandboxes that nobody has."""
        while True:
            try:
                library = self._free.get_nowait()
            except Empty:
                return
            if library is not None:
                library.close()

    def __del__(self) -> None:
        if not self._closed:
            self.shutdown(wait=False)

    def __reduce__(self) -> Any:
        raise TypeError("a pool cannot be pickled: send its lfi.Module, and make a pool there")

    def __repr__(self) -> str:
        return f"<lfi.Pool of {self._workers} {self._module.name}{' (shut down)' if self._closed else ''}>"
