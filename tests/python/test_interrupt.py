# SPDX-License-Identifier: MIT
"""Faults, timeouts, Ctrl-C, exceptions that travel through the sandbox, and what becomes of the interpreter."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Callable

import pytest

import lfi


def test_faults_say_what_and_where(lib: Any) -> None:
    with pytest.raises(lfi.Fault) as caught:
        lib.write_to(lib.bogus() and lib.cast(lib.bogus(), "int *"))
    fault = caught.value
    assert fault.signal is signal.SIGSEGV and fault.kind == "bad access" and fault.function == "write_to"
    assert fault.address % (1 << 32) == 0x12345678
    assert fault.backtrace[0].function == "write_to" and fault.backtrace[0].offset == fault.pc_offset
    assert "write_to" in str(fault) and fault.code == "LFI_ERR_FAULT" and isinstance(fault, lfi.Error)


@pytest.mark.parametrize(
    "name, args, number, kind",
    [("write_to", (None,), 11, "guard hit"), ("recurse", (1,), 11, "stack overflow"), ("divide", (1, 0, None, None), 8, "arithmetic"), ("give_up", (), 6, "abort")],
)  # fmt: skip
def test_each_fault_has_its_kind(lib: Any, name: str, args: tuple[Any, ...], number: int, kind: str) -> None:
    for _ in range(3):
        with pytest.raises(lfi.Fault) as caught:
            getattr(lib, name)(*args)
        assert caught.value.signal == number and caught.value.kind == kind
    assert lib.add(1, 2) == 3


def test_a_backtrace_names_the_callers(lib: Any) -> None:
    callback = lib.register("int(int)", lambda x: lib.write_to(None) or 1)
    with pytest.raises(lfi.Fault) as caught:
        lib.apply(callback, 1)
    assert caught.value.function == "write_to"
    # The fault of the inner call went through the callback as an exception.
    assert "<lambda>" in "".join(traceback.format_tb(caught.value.__traceback__))


def test_calls_have_deadlines(lib: Any) -> None:
    with pytest.raises(lfi.Timeout):
        lib.spin(timeout=0.02)
    lib.spin.timeout = 0.02
    assert lib.spin.timeout == pytest.approx(0.02)
    with pytest.raises(lfi.Timeout):
        lib.spin()
    assert lib.add(1, 2, timeout=100) == 3
    assert lib.length("text", timeout=100) == 4
    for bad in (0, -1, float("nan"), "x", 1e300):
        with pytest.raises((ValueError, TypeError)):
            lib.add(1, 2, timeout=bad)


def test_a_new_thread_has_deadlines_too(lib: Any) -> None:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            lib.spin(timeout=0.02)
        except lfi.Timeout as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert caught


def test_calls_are_interrupted_from_another_thread(lib: Any) -> None:
    ended = threading.Event()

    def interrupt() -> None:
        while not ended.is_set():
            lib.interrupt()
            time.sleep(0.005)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(lfi.Interrupted):
        lib.spin()
    ended.set()
    thread.join()
    assert lib.add(1, 2) == 3


# ---- Exceptions through the sandbox ----


class Mine(Exception):
    pass


@pytest.mark.parametrize("kind", [Mine, KeyboardInterrupt, SystemExit, StopIteration, MemoryError])
def test_exceptions_travel_intact(lib: Any, kind: type[BaseException]) -> None:
    error = kind("reason")

    def fail(x: int) -> int:
        raise error

    with pytest.raises(kind) as caught:
        lib.apply(lib.register("int(int)", fail), 1)
    assert caught.value is error
    assert "fail" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert lib.apply(lib.register("int(int)", lambda x: x), 1) == 2


def test_an_exception_ends_the_loop_that_called(lib: Any) -> None:
    seen: list[int] = []

    def until_three(x: int) -> None:
        seen.append(x)
        if x == 3:
            raise Mine

    with pytest.raises(Mine):
        lib.each(lib.register("void(int)", until_three), 1000)
    assert seen == [0, 1, 2, 3]


def test_callbacks_nest_and_catch(lib: Any) -> None:
    def inner(x: int) -> int:
        raise Mine(x)

    def outer(x: int) -> int:
        try:
            lib.apply(lib.register("int(int)", inner), x)
        except Mine as error:
            return int(error.args[0]) * 10
        return 0

    assert lib.apply(lib.register("int(int)", outer), 4) == 41
    assert lib.apply(lib.register("int(int)", lambda x: lib.apply(lib.register("int(int)", outer), x)), 4) == 42


def test_results_of_callbacks_are_checked(lib: Any) -> None:
    for bad, error in (("text", TypeError), (None, TypeError), (1 << 40, OverflowError), (1.5, TypeError)):
        with pytest.raises(error):
            lib.apply(lib.register("int(int)", lambda x, bad=bad: bad), 1)


def test_callbacks_get_structs_pointers_and_enums(lib: Any) -> None:
    seen: list[Any] = []

    def look(node: Any, point: Any, color: Any) -> float:
        seen.extend((node.name, point, color))
        return node.w

    assert lib.apply_node(lib.register("double(struct node *, struct point, enum color)", look), 7) == 1.5
    assert seen == [b"head\0\0\0\0", lib.point(7, -7), lib.color.GREEN]


def test_decorated_callbacks_are_passed(lib: Any) -> None:
    @lib.callback("int(int)")
    def double(x: int) -> int:
        return x * 2

    assert lib.apply(double, 20) == 41 and double(3) == 6
    lib.release(double)
    with pytest.raises(lfi.Fault):
        lib.apply(double, 1)
    with pytest.raises(LookupError):
        lib.release(double)
    with pytest.raises(lfi.DeclarationError):
        lib.register("int", print)
    with pytest.raises(TypeError):
        lib.register("int(int)", 5)


def test_there_is_room_for_a_thousand_callbacks(lib: Any) -> None:
    made = [lib.register("int(int)", lambda x, i=i: i) for i in range(1000)]
    assert lib.apply(made[999], 0) == 1000
    with pytest.raises(lfi.LimitExceeded):
        for i in range(1000):
            lib.register("int(int)", lambda x: x)
    lib.release(made[0])
    assert lib.apply(lib.register("int(int)", lambda x: -5), 0) == -4


def test_threads_of_the_sandbox_call_python(lib: Any) -> None:
    names: list[str] = []

    def look(x: int) -> int:
        names.append(threading.current_thread().name)
        return x + 1

    assert lib.in_thread(lib.register("int(int)", look), 41) == 42
    assert names and names[0] != threading.current_thread().name


# ---- Ctrl-C ----


def press_later(seconds: float = 0.05) -> threading.Timer:
    timer = threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    return timer


def test_ctrl_c_ends_a_call(lib: Any) -> None:
    press_later()
    with pytest.raises(KeyboardInterrupt):
        lib.spin()
    assert lib.add(1, 2) == 3


def test_ctrl_c_ends_a_program(program: Path) -> None:
    press_later()
    with pytest.raises(KeyboardInterrupt):
        lfi.run([program, "spin"])


def test_ctrl_c_in_a_callback_comes_out(lib: Any) -> None:
    def wait(x: int) -> int:
        time.sleep(60)
        return x

    press_later()
    with pytest.raises(KeyboardInterrupt):
        lib.apply(lib.register("int(int)", wait), 1)


def test_ctrl_c_just_before_a_call_ends_it(lib: Any) -> None:
    """It comes while the argument is converted, by C alone, so that Python has no occasion to look at it."""
    send = functools.partial(ctypes.CDLL(None)["raise"], signal.SIGINT)

    class Late:
        __index__ = staticmethod(send)

    with pytest.raises(KeyboardInterrupt):
        lib.function("spin", "void(int)")(Late())
    assert lib.add(1, 2) == 3


def test_a_handler_that_comes_later_keeps_ctrl_c_prompt(lib: Any) -> None:
    pressed: list[int] = []
    old = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        # Again and again: the first may come before lfi has taken its place.
        ended = threading.Event()

        def press() -> None:
            while not ended.wait(0.1):
                os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=press)
        thread.start()
        with pytest.raises(lfi.Interrupted):
            lib.spin()
        ended.set()
        thread.join()
        assert pressed
    finally:
        signal.signal(signal.SIGINT, old)


# ---- The interpreter ----


def test_faulthandler_still_works(python: Callable[..., Any], library_path: Path) -> None:
    done = python(
        f"""
import ctypes, faulthandler, lfi
lib = lfi.load({str(library_path)!r}, header="void write_to(int *p);")
def fault():
    try:
        lib.write_to(None)
    except lfi.Fault:
        print("fault", flush=True)
for i in range(20):
    faulthandler.enable()
    fault()
    faulthandler.disable()
    fault()
faulthandler.enable()
ctypes.string_at(0)
"""
    )
    assert done.stdout == "fault\n" * 40 and done.returncode == -signal.SIGSEGV
    assert done.stderr.startswith("Fatal Python error: Segmentation fault") and "in string_at" in done.stderr


@pytest.mark.parametrize("first", ["faulthandler.enable()", "faulthandler.disable()", ""])
def test_faulthandler_may_be_there_first(python: Callable[..., Any], library_path: Path, first: str) -> None:
    done = python(
        f"""
import faulthandler
{first}
import lfi
lib = lfi.load({str(library_path)!r}, header="void write_to(int *p);")
for end in (lambda: None, faulthandler.disable, faulthandler.enable):
    end()
    try:
        lib.write_to(None)
    except lfi.Fault:
        print("fault")
"""
    )
    assert (done.stdout, done.stderr, done.returncode) == ("fault\n" * 3, "", 0)


def test_a_forked_child_uses_its_sandboxes(lib: Any) -> None:
    lib.count()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, b"%d %d" % (lib.count(), lib.apply(lib.register("int(int)", lambda x: x), 1)))
        finally:
            os._exit(0)
    os.close(write)
    assert os.read(read, 100) == b"4 2"
    os.close(read)
    os.waitpid(child, 0)
    assert lib.count() == 4


def test_the_interpreter_ends_with_threads_in_sandboxes(python: Callable[..., Any], library_path: Path, program: Path) -> None:
    done = python(
        f"""
import lfi, sys, threading, time, types
lib = lfi.load({str(library_path)!r}, header="void spin(void); int apply(int (*f)(int), int x);")
threading.Thread(target=lib.spin, daemon=True).start()
def again(x):
    time.sleep(0.001)
    return x
def calls():
    callback = lib.register("int(int)", again)
    while True:
        lib.apply(callback, 1)
for _ in range(4):
    threading.Thread(target=calls, daemon=True).start()
process = lfi.Popen([{str(program)!r}, "spin"])
pool = lfi.Pool({str(library_path)!r}, header="int add(int a, int b);", workers=2)
print(pool.submit("add", 1, 2).result())
class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(0.5)  # when threads that want the GIL are ended already
# The threads keep the names of this module alive; what is among the modules goes.
sys.modules["slow"] = types.SimpleNamespace(slow=Slow())
time.sleep(0.1)
"""
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


def test_a_thread_whose_call_ends_too_late_stays_out(python: Callable[..., Any], library_path: Path) -> None:
    """It neither gets the GIL nor is it ended, with frames of a sandbox on its stack, while the interpreter ends."""
    done = python(
        f"""
import lfi, os, sys, threading, time, types
lib = lfi.load({str(library_path)!r}, header="void spin(void);")
class Late:
    def __del__(self, sleep=time.sleep, exists=os.path.exists, write=os.write):
        sleep(1)  # when the call has ended, unless the machine is slow
        write(1, b"there" if exists(self.task) else b"gone")
# The threads keep the names of this module alive; what is among the modules goes.
sys.modules["late"] = types.SimpleNamespace(late=Late())
def call():
    sys.modules["late"].late.task = "/proc/self/task/%d" % threading.get_native_id()
    started.set()
    lib.spin(timeout=0.4)
started = threading.Event()
threading.Thread(target=call, daemon=True).start()
started.wait()
"""
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "there", "")


def test_a_crash_in_a_program_leaves_the_host_alone(python: Callable[..., Any], program: Path) -> None:
    done = python(
        f"""
import lfi
for _ in range(50):
    try:
        lfi.run([{str(program)!r}, "crash"], capture_output=True)
    except lfi.Fault as error:
        assert error.function == "main"
print("alive")
"""
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive\n", "")
