# SPDX-License-Identifier: MIT
"""The core API: the tutorial's programs, and what a host may get wrong."""

from __future__ import annotations

import gc
from typing import Iterator

import pytest

import lfi
from lfi import core

RX = core.Prot.READ | core.Prot.EXEC

# movl $42, %eax; leaq 1f(%rip), %r11; jmpq *-8(%r14); 1: hlt
SYSTEM_CALL = bytes.fromhex("b82a000000 4c8d1d04000000 41ff66f8 f4")
# leal (%rdi,%rsi), %eax; popq %rcx; andl $-32, %ecx; addq %r14, %rcx; jmpq *%rcx
ADD = bytes.fromhex("8d0437 59 83e1e0 4c01f1 ffe1")
# movq %rdi, %rax; movl %esi, %edi; andl $-32, %eax; addq %r14, %rax; jmpq *%rax
APPLY = bytes.fromhex("4889f8 89f7 83e0e0 4c01f0 ffe0")
# jmp to itself, in the middle of a bundle
LOOP = bytes.fromhex("ebfe")


@pytest.fixture
def box() -> Iterator[core.Box]:
    with core.Engine(2) as engine, engine.box() as box:
        yield box


def code(box: core.Box, data: bytes) -> int:
    page = box.map(4096)
    box.write(page, data)
    box.protect(page, 4096, RX)
    return page


def context(box: core.Box) -> core.Context:
    made = box.context()
    made.registers.sp = box.map(65536) + 65536
    return made


def test_the_tutorials_first_program_makes_a_system_call(box: core.Box) -> None:
    numbers = []

    def handler(ctx: core.Context) -> None:
        numbers.append(ctx.registers.rax)
        ctx.exit(7)

    box.engine.handler = handler
    assert context(box).run(code(box, SYSTEM_CALL)) == 7
    assert numbers == [42]


def test_functions_are_called(box: core.Box) -> None:
    add = context(box).function(code(box, ADD), "i(ii)")
    assert add(10, 32) == 42
    assert add(-1, -1) == -2
    with pytest.raises(TypeError, match="takes 2 arguments, not 1"):
        add(1)
    with pytest.raises(OverflowError, match="argument 2: 2147483648"):
        add(1, 1 << 31)


def test_sandboxed_code_calls_python(box: core.Box) -> None:
    apply = context(box).function(code(box, APPLY), "i(pi)")
    assert apply(box.register("i(i)", lambda x: x * 2), 21) == 42


def test_what_a_handler_or_a_callback_raises_comes_out(box: core.Box) -> None:
    ctx = context(box)

    def fail(*unused: object) -> None:
        raise KeyError("mine")

    box.engine.handler = fail
    with pytest.raises(KeyError, match="mine"):
        ctx.run(code(box, SYSTEM_CALL))
    apply = ctx.function(code(box, APPLY), "i(pi)")
    with pytest.raises(KeyError, match="mine"):
        apply(box.register("i(i)", fail), 1)
    # And the context is as good as before.
    assert apply(box.register("i(i)", lambda x: x), 5) == 5


def test_no_handler_is_an_error(box: core.Box) -> None:
    with pytest.raises(RuntimeError, match="no handler"):
        context(box).run(code(box, SYSTEM_CALL))


def test_code_that_does_not_verify_is_refused_and_named(box: core.Box) -> None:
    page = box.map(4096)
    box.write(page, bytes.fromhex("90 488b00"))
    with pytest.raises(lfi.VerificationError) as caught:
        box.protect(page, 4096, RX)
    assert caught.value.instruction == "mov (%rax), %rax"
    assert caught.value.offset == page % (1 << 32) + 1
    assert caught.value.code == "LFI_ERR_VERIFY"
    assert box.read(page, 1) == b"\x90"


def test_the_verifier_says_which_rule() -> None:
    assert core.verify(ADD) == []
    (violation,) = core.verify(bytes.fromhex("488b00"))
    assert violation.rule == "memory" and violation.offset == 0 and violation.size == 3
    assert len(core.verify(bytes.fromhex("c3c3c3"), max_violations=10)) == 3
    with pytest.raises(ValueError, match="policy='none'"):
        core.verify(b"", policy="none")


def test_a_loop_ends_at_its_timeout(box: core.Box) -> None:
    with pytest.raises(lfi.Timeout):
        context(box).run(code(box, LOOP), timeout=0.05)


def test_faults_say_what_happened(box: core.Box) -> None:
    with pytest.raises(lfi.Fault) as caught:
        context(box).function(box.map(4096), "v()")()
    assert caught.value.kind == "jump to data"
    assert caught.value.signal == 11
    assert caught.value.backtrace[0].address == caught.value.pc
    assert "rsp" in caught.value.details


def test_memory_is_copied_and_checked(box: core.Box) -> None:
    page = box.map(8192)
    box.write(page + 4090, b"across\0")
    assert box.string(page + 4090) == b"across"
    assert box.read(page + 4090, 3) == b"acr"
    for address in (0, box.info().base - 4096, 1 << 63, box.info().max):
        with pytest.raises(lfi.AccessError):
            box.read(address, 8)
    with pytest.raises(lfi.AccessError):
        box.read(page, 1 << 32)
    with pytest.raises(ValueError):
        box.read(page, -1)
    with pytest.raises(lfi.AccessError, match="does not end"):
        box.write(page, b"x" * 8192)
        box.string(page, 100)


def test_views_pin_their_pages(box: core.Box) -> None:
    page = box.map(8192)
    view = box.view(page + 4096, 100)
    view[0] = 7
    assert box.read(page + 4096, 1) == b"\7"
    with pytest.raises(lfi.BusyError):
        box.unmap(page, 8192)
    with pytest.raises(lfi.BusyError):
        box.protect(page + 4096, 4096, core.Prot.READ)
    other = memoryview(view)
    view.release()
    with pytest.raises(lfi.BusyError):
        box.unmap(page, 8192)
    other.release()
    box.unmap(page, 8192)
    with pytest.raises(lfi.AccessError):
        box.view(page, 8)


def test_readonly_views_cannot_be_written(box: core.Box) -> None:
    page = box.map(4096)
    with box.view(page, 8, readonly=True) as view, pytest.raises(TypeError):
        view[0] = 1
    box.protect(page, 4096, core.Prot.READ)
    with pytest.raises(lfi.AccessError):
        box.view(page, 8)
    box.view(page, 8, readonly=True).release()


def test_a_view_outlives_its_box() -> None:
    engine = core.Engine(1)
    box = engine.box()
    view = box.view(box.map(4096), 4096)
    view[5] = 9
    box.close()
    del box, engine
    gc.collect()
    assert view[5] == 9
    view.release()


def test_what_is_closed_is_refused() -> None:
    engine = core.Engine(1)
    box = engine.box()
    ctx = context(box)
    add = ctx.function(code(box, ADD), "i(ii)")
    box.close()
    box.close()
    for call in (
        lambda: add(1, 2),
        lambda: box.map(4096),
        lambda: box.read(0, 1),
        lambda: ctx.run(0),
        lambda: ctx.registers.rax,
        lambda: box.context(),
        lambda: box.register("v()", print),
        lambda: box.set_limits(mapped=1),
    ):
        with pytest.raises(lfi.Error, match="closed"):
            call()
    engine.close()
    with pytest.raises(lfi.Error, match="closed"):
        engine.box()


def test_there_is_no_room_for_more_boxes_than_asked_for() -> None:
    with core.Engine(1) as engine, engine.box():
        with pytest.raises(lfi.OutOfMemory):
            engine.box()
    with pytest.raises(lfi.Error):
        core.Engine(0)


def test_registers_are_named(box: core.Box) -> None:
    registers = context(box).registers
    registers.rdi = 5
    assert registers.rdi == 5 and registers.sp == registers.rsp
    registers.set_vector(3, 1 << 100)
    assert registers.vector(3) == 1 << 100
    assert "rdi=0x5" in repr(registers)
    with pytest.raises(AttributeError, match="r15"):
        registers.r15 = 1
    with pytest.raises(OverflowError):
        registers.rax = 1 << 64
    with pytest.raises(IndexError):
        registers.vector(16)


@pytest.mark.parametrize("signature", ["", "i", "i(", "i(x)", "ii(i)", "i(v", "i({i})"])
def test_bad_signatures_are_refused(box: core.Box, signature: str) -> None:
    with pytest.raises(lfi.Error):
        box.register(signature, print)
    with pytest.raises(lfi.Error):
        context(box).function(code(box, ADD), signature)


def test_limits_hold(box: core.Box) -> None:
    box.set_limits(mapped=1 << 20)
    with pytest.raises(lfi.LimitExceeded):
        box.map(2 << 20)
    assert box.stats().mapped <= 1 << 20


def test_a_context_is_used_by_one_thread_at_a_time(box: core.Box) -> None:
    apply = context(box).function(code(box, APPLY), "i(pi)")
    import threading

    results: list[object] = []

    def other() -> None:
        try:
            results.append(apply(callback, 1))
        except lfi.BusyError as error:
            results.append(error)

    def waits(x: int) -> int:
        if not results:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
        return x

    callback = box.register("i(i)", waits)
    assert apply(callback, 1) == 1
    assert isinstance(results[0], lfi.BusyError)
