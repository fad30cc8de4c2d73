# SPDX-License-Identifier: MIT
"""Marshalling, for any values."""

from __future__ import annotations

from typing import Any, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lfi
from lfi._declarations import DeclarationError, Declarations

quick = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)

integers = st.integers(-(1 << 70), 1 << 70)
anything = st.one_of(
    st.none(), st.booleans(), integers, st.floats(), st.text(), st.binary(), st.lists(st.floats()), st.lists(integers),
    st.just(object()), st.binary().map(bytearray), st.dictionaries(st.text(), integers), st.complex_numbers(),
)  # fmt: skip


@pytest.fixture(scope="module")
def shared(module: lfi.Module) -> Iterator[Any]:
    with module.load() as library:
        yield library


@quick
@given(integers)
def test_integers_come_back_or_do_not_fit(shared: Any, number: int) -> None:
    for name, low, high in (("same16", 0, 1 << 16), ("same64", -(1 << 63), 1 << 63), ("big", 0, 1 << 64)):
        if low <= number < high:
            assert getattr(shared, name)(number) == number
        else:
            with pytest.raises(OverflowError):
                getattr(shared, name)(number)


@quick
@given(st.floats(allow_nan=False, width=32))
def test_floats_come_back(shared: Any, number: float) -> None:
    assert shared.half(number) in (number / 2, pytest.approx(number / 2, rel=1e-6))


@quick
@given(st.text())
def test_text_has_its_length(shared: Any, text: str) -> None:
    try:
        data = text.encode()
    except UnicodeEncodeError:
        with pytest.raises(UnicodeEncodeError):
            shared.length(text)
        return
    if "\0" in text:
        with pytest.raises(ValueError):
            shared.length(text)
    else:
        assert shared.length(text) == len(data)


@quick
@given(st.binary(max_size=100_000), st.integers(0, 255))
def test_buffers_are_filled(shared: Any, data: bytes, value: int) -> None:
    room = bytearray(data)
    shared.fill(room, len(room), value)
    assert room == bytes([value]) * len(data)


@quick
@given(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-(1 << 31), (1 << 31) - 1))
def test_structs_are_mirrored(shared: Any, x: int, y: int) -> None:
    assert shared.mirror(shared.point(x, y)) == shared.point(y, x)
    with shared.temporary("struct point") as pointer:
        pointer.x, pointer.y = x, y
        assert (pointer.x, pointer.y, pointer.value) == (x, y, shared.point(x, y))


@quick
@given(st.lists(anything, max_size=4))
def test_no_argument_crashes(shared: Any, args: list[Any]) -> None:
    for name in ("add", "norm", "mirror", "length", "divide", "following", "format", "half", "twice", "negate", "first_name"):
        try:
            getattr(shared, name)(*args)
        except (TypeError, ValueError, OverflowError, lfi.Error):
            pass
    assert shared.add(1, 2) == 3


@quick
@given(anything)
def test_no_result_of_a_callback_crashes(shared: Any, value: Any) -> None:
    pointer = shared.register("int(int)", lambda x: value)
    try:
        shared.apply(pointer, 1)
    except (TypeError, OverflowError):
        pass
    finally:
        shared.release(pointer)


@quick
@given(st.integers(-(1 << 40), 1 << 40), st.integers(0, 1 << 34))
def test_no_pointer_leads_out(shared: Any, index: int, size: int) -> None:
    pointer = shared.alloc("int")
    try:
        for use in (lambda: pointer[index], lambda: pointer.read(size), lambda: pointer.view(size).release(),
                    lambda: pointer.__setitem__(index, 1) if abs(index) > 100 else None):  # fmt: skip
            try:
                use()
            except (lfi.Error, MemoryError):
                pass
    finally:
        shared.free(pointer)


@quick
@given(st.text(alphabet="int char*()[];,{}struct enumfx0123456789=+-/<>#\n \"'\\"))
def test_no_declaration_crashes(text: str) -> None:
    try:
        Declarations(text + "\n")
    except (DeclarationError, TypeError, ValueError):
        pass
