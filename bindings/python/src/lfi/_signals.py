# SPDX-License-Identifier: MIT
"""Handlers of faults, beside Python's faulthandler.

A fault of sandboxed code is a signal, which the C library turns into an error. faulthandler installs handlers that call
nobody: after ``faulthandler.enable()`` they would take the sandbox's faults for crashes, and ``faulthandler.disable()`` puts
back what was there before both. So importing lfi makes both of them give the C library its place again; what is no fault
of sandboxed code still goes to faulthandler.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
from typing import Any, Callable

from . import _native
from ._errors import Error


def reclaim_signals() -> None:
    """Put the handlers of the C library over those that others have installed since, which get what is not its own.

    :func:`lfi.load`, :func:`lfi.run` and :class:`lfi.Pool` do that, and ``faulthandler.enable`` and ``disable``. To be called
    after anything else that installs handlers of SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGTRAP and does not pass them on.
    """
    # Without an engine there is nothing to put back.
    with contextlib.suppress(Error):
        _native.lfi_signal_reclaim()


def _then_reclaim(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **keywords: Any) -> Any:
        try:
            return function(*args, **keywords)
        finally:
            reclaim_signals()

    return wrapper


def install() -> None:
    """Once."""
    if not hasattr(faulthandler.enable, "__wrapped__"):
        faulthandler.enable = _then_reclaim(faulthandler.enable)
        faulthandler.disable = _then_reclaim(faulthandler.disable)
