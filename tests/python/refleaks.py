# SPDX-License-Identifier: MIT
"""Which tests leave references behind?

    python refleaks.py LIBRARY PROGRAM [PART-OF-A-NAME]

Runs the tests that need nothing but a library, a program or a pool, each several times, and prints those after which there
are more blocks of memory, or more references to something that was there before. A debug build of Python counts all
references by itself, but not those of an extension of the stable ABI, which is compiled for all builds. test_refleaks.py
runs this, in a process of its own.
"""

from __future__ import annotations

import gc
import inspect
import sys
from array import array
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Iterator

import test_core
import test_interrupt
import test_library
import test_pool
import test_run

import lfi

#: Runs before anything is counted, for what is made once and kept; and runs that are.
WARM, COUNTED = 3, 6

#: They need a process of their own, or take long; or asyncio or traceback keeps something, with and without lfi.
LEFT_OUT = {
    "test_a_backtrace_names_the_callers",
    "test_a_forked_child_uses_its_sandboxes",
    "test_ctrl_c_ends_a_program",
    "test_many_threads_take_sandboxes",
    "test_run_async",
    "test_there_is_room_for_a_thousand_callbacks",
}


class Given:
    """What tests ask for by the names of their parameters."""

    def __init__(self, library: Path, program: Path) -> None:
        self.library_path = library
        self.program = program
        self.header = Path(__file__).parent / "programs" / "library.h"
        self.module = lfi.Module(library, self.header)

    def run(self, test: Callable[..., None]) -> None:
        """With new sandboxes, which are closed after it."""
        arguments: dict[str, Any] = {}
        for name in inspect.signature(test).parameters:
            makers = {"lib": self.module.load, "pool": lambda: lfi.Pool(self.module, workers=3), "box": self._box}
            arguments[name] = makers[name]() if name in makers else getattr(self, name)
        try:
            test(**arguments)
        finally:
            for one in arguments.values():
                if isinstance(one, lfi.Pool):
                    one.shutdown()
                elif isinstance(one, (lfi.Library, test_core.core.Box)):
                    one.close()

    @staticmethod
    def _box() -> test_core.core.Box:
        return test_core.core.Engine(2).box()


def tests(given: Given) -> Iterator[tuple[str, Callable[..., None]]]:
    modules: tuple[ModuleType, ...] = (test_core, test_library, test_run, test_pool, test_interrupt)
    for module in modules:
        for name, test in vars(module).items():
            if name.startswith("test_") and name not in LEFT_OUT and not hasattr(test, "pytestmark"):
                wanted = set(inspect.signature(test).parameters)
                if wanted <= {"lib", "pool", "box", "module", "program", "library_path", "header"}:
                    yield f"{module.__name__}.{name}", test


def blocks() -> int:
    """Of memory, when nothing waits for the collector."""
    gc.collect()
    gc.collect()
    return sys.getallocatedblocks()


def objects() -> dict[int, object]:
    """All that the collector knows, and what those refer to, by id. Neither integers, of which this is full, nor text: CPython's
    cache of attributes keeps some names."""
    gc.collect()
    known = gc.get_objects()
    return {id(one): one for one in [*known, *gc.get_referents(*known)] if type(one) not in (int, str)}


def references() -> dict[int, int]:
    """How many there are of each object, by its id."""
    return {key: sys.getrefcount(one) for key, one in objects().items()}


def grown(run: Callable[[], None]) -> list[str]:
    """What there is more of, by one for each run."""
    count = blocks()
    for _ in range(COUNTED):
        run()
    found = [f"{blocks() - count} blocks of memory"] if blocks() - count >= COUNTED else []
    before = references()
    for _ in range(COUNTED):
        run()
    more = {key for key, number in references().items() if number >= before.get(key, number) + COUNTED}
    return found + [f"references to {one!r:.80}" for key, one in objects().items() if key in more] if more else found


def kept(run: Callable[[], None]) -> list[str]:
    """What a test leaves behind each time. What only grows now and then, as tables do, does not six times in a row."""
    found = [""]
    for _ in range(WARM):
        run()
    for _ in range(6):
        found = grown(run) if found else []
    return found


def main() -> None:
    given = Given(Path(sys.argv[1]), Path(sys.argv[2]))
    part = sys.argv[3] if len(sys.argv) > 3 else ""
    number = 0
    for name, test in tests(given):
        if part not in name:
            continue
        number += 1
        found = kept(lambda: given.run(test))
        if found:
            print(f"{name} leaves {', '.join(found)}", flush=True)
    print(f"{number} tests")


if __name__ == "__main__":
    main()
