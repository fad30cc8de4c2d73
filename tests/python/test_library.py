# SPDX-License-Identifier: MIT
"""Calling libraries: types, marshalling, memory, declarations."""

from __future__ import annotations

import array
import copy
import enum
import gc
import pickle
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy
import pytest

import lfi


def test_integers_of_all_widths_go_in_and_out(lib: Any) -> None:
    assert lib.add(2, 3) == 5
    assert lib.add(-(1 << 31), 0) == -(1 << 31)
    assert lib.add8(-100, 27) == -73
    assert lib.same16(65535) == 65535
    assert lib.same64(-(1 << 63)) == -(1 << 63)
    assert lib.big((1 << 64) - 1) == (1 << 64) - 1
    assert lib.negate(False) is True and lib.negate(5) is False


@pytest.mark.parametrize(
    "name, value", [("add8", 128), ("add8", -129), ("same16", -1), ("same16", 65536), ("same64", 1 << 63), ("big", -1), ("big", 1 << 64)]
)  # fmt: skip
def test_what_does_not_fit_is_an_overflow(lib: Any, name: str, value: int) -> None:
    args = (value, 0) if name == "add8" else (value,)
    with pytest.raises(OverflowError, match=f"{name}: argument 1: {value}"):
        getattr(lib, name)(*args)


def test_floats_go_in_and_out(lib: Any) -> None:
    assert lib.half(3) == 1.5
    assert lib.twice(1.25) == 2.5
    assert lib.many(1, 2.0, 3, 4.0, 5, 6, 7, 8, 9.0, 10.0) == sum(i * i for i in range(1, 11))


@pytest.mark.parametrize("args", [(1.5, 2), ("1", 2), (None, 2), ([1], 2), (b"12", 2)])
def test_wrong_types_are_named(lib: Any, args: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="add: argument 1"):
        lib.add(*args)


def test_wrong_arity_is_named(lib: Any) -> None:
    with pytest.raises(TypeError, match="add takes 2 arguments, not 3"):
        lib.add(1, 2, 3)
    with pytest.raises(TypeError, match="at least 3"):
        lib.format(None)
    with pytest.raises(TypeError, match="no keyword 'c'"):
        lib.add(1, 2, c=3)
    with pytest.raises(TypeError):
        lib.add(*range(100))


def test_structs_go_by_value(lib: Any) -> None:
    assert lib.mirror(lib.point(1, 2)) == lib.point(x=2, y=1)
    assert lib.mirror((3, 4)).x == 4
    assert lib.mirror({"x": 1}) == lib.point(0, 1)
    assert lib.enlarge(lib.large(values=[1, 2, 3])).values == [2, 4, 6, 0, 0, 0, 0, 0]
    with pytest.raises(AttributeError, match="z"):
        lib.point(z=1)
    with pytest.raises(TypeError):
        lib.mirror(5)
    with pytest.raises(OverflowError):
        lib.mirror((1 << 40, 0))
    with pytest.raises(TypeError):
        lib.mirror(lib.large())


def test_a_struct_is_what_the_function_left_of_it(lib: Any) -> None:
    point = lib.point(1, 2)
    lib.shift(point, 10)
    assert point == lib.point(11, 12)
    out = lfi.Out()
    lib.shift(out, 1)
    assert out.value == lib.point(1, 1)
    with pytest.raises(TypeError, match="point"):
        lib.shift(lib.large(), 1)


def test_structs_are_read_and_written_by_pointer(lib: Any) -> None:
    node = lib.first()
    assert node.name == b"head\0\0\0\0" and node.w == 1.5 and node.values == [1, 2, 3] and node.next is None
    node.w = 2.5
    node.next = node
    assert node.next == node and node.next.w == 2.5
    node.next = None
    copied = node[0]
    copied.w = 9
    assert node.w == 2.5
    node[0] = copied
    assert node.value.w == 9
    assert lib.first_name(node).text() == "head"
    with pytest.raises(AttributeError, match="'struct node' has no member 'x'"):
        node.x
    with pytest.raises(TypeError, match="is no 'struct node"):
        node.next = lib.alloc("int")


def test_enumerations_are_pythons(lib: Any) -> None:
    assert lib.following(lib.RED) is lib.color.GREEN
    assert isinstance(lib.following(5), enum.IntEnum)
    assert lib.BLUE == 6 and lib.color.BLUE == 6


def test_simple_macros_are_constants(lib: Any) -> None:
    assert lib.LIMIT == 16 and lib.NEGATIVE == -3
    with pytest.raises(AttributeError):
        lib.TEXT


def test_text_and_bytes_are_copied_in(lib: Any) -> None:
    assert lib.length("häuser") == 7
    assert lib.length(b"bytes") == 5
    assert lib.length(bytearray(b"abc\0def")) == 3
    with pytest.raises(ValueError, match="NUL"):
        lib.length("a\0b")
    with pytest.raises(TypeError, match=r"length: argument 1 \(s\): 5"):
        lib.length(5)


def test_arrays_are_copied_in(lib: Any) -> None:
    assert lib.norm([3.0, 4], 2) == 5.0
    assert lib.norm(array.array("d", [3, 4]), 2) == 5.0
    with pytest.raises(TypeError, match="items of 4 bytes"):
        lib.norm(array.array("f", [3, 4]), 2)
    with pytest.raises(TypeError):
        lib.norm(["x"], 1)


def test_what_is_written_is_copied_out(lib: Any) -> None:
    quotient, remainder = lfi.Out(), lfi.Out()
    lib.divide(17, 5, quotient, remainder)
    assert (quotient.value, remainder.value) == (3, 2)
    room = bytearray(8)
    lib.fill(room, 4, 7)
    assert room == b"\7" * 4 + b"\0" * 4
    out = lfi.Out(16)
    with pytest.raises(ValueError, match="not called"):
        out.bytes
    lib.fill(out, 2, 1)
    assert out.bytes == b"\1\1" + bytes(14)
    both = array.array("B", b"abcd")
    lib.fill(lfi.InOut(both), 2, 0x78)
    assert both.tobytes() == b"xxcd"
    lib.fill(lfi.In(b"gone"), 4, 1)
    with pytest.raises(TypeError, match="the function may"):
        lib.fill(b"abcd", 4, 1)
    with pytest.raises(TypeError, match="the function may"):
        lib.fill("abcd", 4, 1)
    with pytest.raises(ValueError):
        lfi.Out(-1)


def test_variable_arguments_are_promoted(lib: Any) -> None:
    out = lfi.Out(64)
    assert lib.format(out, 64, "%d %s %.2f %ld %s", 5, "abc", 1.5, 1 << 40, b"xy") == 27
    assert out.bytes.rstrip(b"\0") == b"5 abc 1.50 1099511627776 xy"
    assert lib.format(out, 64, "plain") == 5
    with pytest.raises(TypeError):
        lib.format(out, 64, "%p", object())


def test_functions_by_pointer_are_called(lib: Any) -> None:
    add = lib.get_add()
    assert add(2, 3) == 5
    with pytest.raises(TypeError, match="cannot be called"):
        lib.first()()


# ---- Pointers ----


def test_pointers_are_no_numbers(lib: Any) -> None:
    pointer = lib.first()
    for use in (int, float, lambda p: p << 1, lambda p: [1, 2][p], lambda p: bytes(p), lambda p: hex(p)):
        with pytest.raises(TypeError):
            use(pointer)
    with pytest.raises(TypeError):
        pickle.dumps(pointer)
    with pytest.raises(TypeError, match="is no"):
        lib.first_name(lib.alloc("int"))
    with pytest.raises(TypeError):
        lib.first_name(12345)
    assert "struct node" in repr(pointer) and pointer.type == "struct node"


def test_pointers_that_lead_nowhere_are_errors(lib: Any) -> None:
    pointer = lib.cast(lib.bogus(), "int *")
    for use in (lambda: pointer[0], lambda: pointer.read(8), lambda: pointer.write(b"x"), lambda: pointer.string(), lambda: pointer.view()):
        with pytest.raises(lfi.AccessError):
            use()
    with pytest.raises(lfi.Fault):
        lib.write_to(pointer)
    with pytest.raises(lfi.AccessError):
        lib.alloc("int")[1 << 40]
    with pytest.raises(TypeError, match="void"):
        lib.bogus()[0]
    with pytest.raises(lfi.Fault):
        lib.write_to(None)


def test_pointers_of_another_sandbox_are_refused(lib: Any, module: lfi.Module) -> None:
    with module.load() as other:
        with pytest.raises(lfi.Error, match="another sandbox"):
            lib.write_to(other.alloc("int"))
        with pytest.raises(lfi.Error, match="another sandbox"):
            lib.norm(other.cast(other.alloc(8), "double *"), 1)
        with pytest.raises(TypeError):
            lib.free(other.alloc(8))
        with pytest.raises(ValueError):
            lib.first().next = other.first()


def test_pointers_count_in_items(lib: Any) -> None:
    numbers = lib.alloc("int", 4)
    for i in range(4):
        numbers[i] = i * i
    assert numbers[0:4] == [0, 1, 4, 9]
    assert (numbers + 3).value == 9 and (numbers + 3) - numbers == 3 and (numbers + 3) - 3 == numbers
    assert len({numbers, numbers + 0, numbers + 1}) == 2
    numbers.value = 7
    assert numbers[0] == 7
    with pytest.raises(IndexError):
        numbers[:]
    with pytest.raises(OverflowError):
        numbers[0] = 1 << 31


def test_memory_is_allocated_zeroed_and_freed(lib: Any) -> None:
    first = lib.alloc(100)
    first.write(b"x" * 100)
    lib.free(first)
    again = lib.alloc(100)
    assert again == first and again.read(100) == bytes(100)
    with pytest.raises(lfi.Error, match="nothing that was allocated"):
        lib.free(lib.cast(again, "char *") + 1)
    lib.free(again)
    with pytest.raises(lfi.Error):
        lib.free(again)
    with lib.temporary(b"hello\0") as text:
        assert lib.length(lib.cast(text, "char *")) == 5
    big = lib.alloc(1 << 20)
    lib.free(big)
    assert lib.alloc(1 << 20) == big
    with pytest.raises(lfi.OutOfMemory):
        lib.alloc(1 << 32)
    with pytest.raises(ValueError):
        lib.alloc(-1)


def test_variables_are_read_and_written(lib: Any) -> None:
    counter = lib.variable("counter", "int")
    assert counter.value == 3 and lib.count() == 3
    counter.value = 10
    assert lib.count() == 10
    with pytest.raises(LookupError, match="nothing"):
        lib.variable("nothing", "int")


# ---- Views ----


def test_views_are_memory_without_a_copy(lib: Any) -> None:
    pointer = lib.alloc("double", 4)
    view = pointer.array(4)
    view[0], view[1] = 3, 4
    assert lib.norm(pointer, 2) == 5
    assert view.format == "d" and len(view) == 4
    with pytest.raises(TypeError, match="no format"):
        lib.alloc("struct point").array(1)


def test_numpy_sees_the_memory(lib: Any) -> None:
    pointer = lib.alloc("double", 6)
    matrix = pointer.numpy((2, 3))
    matrix[:] = numpy.arange(6).reshape(2, 3)
    assert pointer[0:6] == [0, 1, 2, 3, 4, 5]
    assert lib.norm(numpy.array([3.0, 4.0]), 2) == 5
    with pytest.raises(TypeError, match="contiguous"):
        lib.norm(numpy.arange(8.0)[::2], 4)
    lib.close()
    assert matrix.sum() == 15


def test_the_sandbox_cannot_take_away_what_is_viewed(lib: Any) -> None:
    pointer = lib.alloc(1 << 20)
    view = pointer.view(1 << 20)
    assert lib.unmap(pointer, 1 << 20) == -1
    assert lib.protect(pointer, 1 << 20) == -1
    view[0] = view[-1] = 1
    view.release()
    assert lib.unmap(pointer, 1 << 20) == 0
    with pytest.raises(lfi.AccessError):
        pointer.view(1 << 20)


def test_code_cannot_be_viewed(lib: Any) -> None:
    with pytest.raises(lfi.Error, match="code"):
        lib.variable("add", "char").view(1, readonly=True)


def test_views_outlive_what_they_are_of(module: lfi.Module) -> None:
    library = module.load()
    view = library.alloc(64).view(64)
    library.close()
    assert library.closed
    del library
    gc.collect()
    view[0] = 5
    assert view[0] == 5


# ---- Life ----


def test_a_closed_library_is_refused(module: lfi.Module) -> None:
    library = module.load()
    pointer = library.alloc(8)
    add = library.add
    library.close()
    library.close()
    for use in (lambda: add(1, 2), lambda: pointer.read(1), lambda: library.alloc(8), lambda: library.usage, lambda: library.first()):
        with pytest.raises(lfi.Error, match="closed"):
            use()


def test_a_library_goes_when_nobody_has_it(module: lfi.Module) -> None:
    library = module.load()
    library.add(1, 2)
    library.register("int(int)", lambda x: library.add(x, 1))  # a cycle
    gone = weakref.ref(library)
    del library
    gc.collect()
    assert gone() is None


def test_closing_waits_for_nobody(lib: Any) -> None:
    def close(x: int) -> int:
        with pytest.raises(lfi.BusyError):
            lib.close()
        return x

    assert lib.apply(lib.register("int(int)", close), 1) == 2


def test_each_thread_has_a_context(lib: Any) -> None:
    assert [lib.count_mine() for _ in range(3)] == [1, 2, 3]
    others: list[int] = []
    thread = threading.Thread(target=lambda: others.extend(lib.count_mine() for _ in range(2)))
    thread.start()
    thread.join()
    assert others == [1, 2] and lib.count_mine() == 4


def test_libraries_are_pickled_by_content(lib: Any) -> None:
    lib.variable("counter", "int").value = 50
    again = pickle.loads(pickle.dumps(lib))
    assert again.add(1, 2) == 3 and again.count() == 3 and again.LIMIT == 16
    assert again.module.digest == lib.module.digest
    module = copy.deepcopy(lib.module)
    assert module == lib.module and hash(module) == hash(lib.module) and module != lfi.Module(b"other")
    assert module.load().mirror((1, 2)).x == 2
    again.close()


def test_exit_ends_the_call(lib: Any) -> None:
    with pytest.raises(lfi.Interrupted, match="23"):
        lib.leave(23)


# ---- Declarations ----


def test_names_that_are_missing_say_what_to_do(lib: Any, module: lfi.Module) -> None:
    with pytest.raises(LookupError, match="absent"):
        lib.absent(1)
    with pytest.raises(AttributeError, match="declares no 'nothing'"):
        lib.nothing
    with pytest.raises(AttributeError, match="pass header="):
        lib.malloc
    assert "add" in dir(lib) and "point" in dir(lib)


def test_functions_are_declared_one_by_one(library_path: Path) -> None:
    with lfi.load(library_path) as lib:
        assert lib.function("add", "int(int, int)")(1, 2) == 3
        with pytest.raises(AttributeError, match="pass header="):
            lib.add
        with pytest.raises(lfi.DeclarationError):
            lib.function("add", "int")
        with pytest.raises(lfi.DeclarationError):
            lib.function("add", "strange(int)")


@pytest.mark.parametrize("text", ["int add(int a", "int add(strange a);", "}", "int f(int) int g(int);"])
def test_declarations_that_do_not_parse_are_refused(library_path: Path, text: str) -> None:
    with pytest.raises(lfi.DeclarationError):
        lfi.load(library_path, header=text + "\n")


def test_what_cannot_be_passed_is_named(library_path: Path) -> None:
    header = """
    union either { int i; double d; }; struct flags { unsigned a : 3; }; struct hidden;
    void first(union either); struct flags count(void); void release(struct hidden);
    struct flags *take(size_t);
    """
    with lfi.load(library_path, header=header) as lib:
        with pytest.raises(TypeError, match="union"):
            lib.function("release", "void(union either)")
        with pytest.raises(TypeError, match="bit-fields"):
            lib.count()
        with pytest.raises(TypeError, match="incomplete"):
            lib.functions["release"]
        assert lib.take(8) is not None
        with pytest.raises(TypeError, match="bit-fields"):
            lib.take(8).a


def test_unions_are_read_by_pointer(lib: Any) -> None:
    either = lib.alloc("union either")
    either.d = 1.0
    assert either.i == 0 and either.d == 1.0 and lib.sizeof("union either") == 8
    either.i = 5
    assert either.i == 5


def test_constants_are_computed(library_path: Path) -> None:
    header = """
    enum { A = 1 << 4, B = (A | 3) - 1, C = sizeof(long), D = -1, E = 'x', F = A > 3 ? 7 : 8, G = 010, H = ~0 };
    struct s { char c; short h[B - 16]; double d; };
    """
    with lfi.load(library_path, header=header) as lib:
        assert [lib.A, lib.B, lib.C, lib.D, lib.E, lib.F, lib.G, lib.H] == [16, 18, 8, -1, 120, 7, 8, -1]
        assert lib.sizeof("struct s") == 16 and lib.sizeof("struct s [3]") == 48


# ---- Loading ----


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(lfi.ProgramError, match="python -m lfi cc"):
        lfi.load(b"not a program")
    with pytest.raises(FileNotFoundError):
        lfi.load(tmp_path / "nothing.lfi")
    import sys

    with pytest.raises(lfi.Error):
        lfi.load(sys.executable)


def test_code_that_does_not_verify_is_refused(library_path: Path) -> None:
    image = bytearray(library_path.read_bytes())
    add = image.find(bytes.fromhex("8d0437"))  # leal (%rdi,%rsi), %eax
    assert add > 0
    image[add : add + 3] = bytes.fromhex("488b00")[:3]
    with pytest.raises(lfi.VerificationError) as caught:
        lfi.load(bytes(image))
    assert caught.value.rule == "memory" and caught.value.instruction and caught.value.offset


def test_a_program_with_main_is_no_library(program: Path) -> None:
    with pytest.raises(lfi.Error, match="main"):
        lfi.load(program, stdout=-1, stderr=-1)


def test_limits_hold(library_path: Path) -> None:
    with lfi.load(library_path, header="void *take(size_t);", memory_limit=8 << 20) as lib:
        assert lib.take(4 << 20) is not None
        assert lib.take(8 << 20) is None
        with pytest.raises(lfi.LimitExceeded):
            lib.alloc(16 << 20)
    with pytest.raises(ValueError):
        lfi.load(library_path, memory_limit=-1)
    with lfi.load(library_path, header="void spin(void);", cpu_limit=0.05) as lib:
        with pytest.raises(lfi.LimitExceeded):
            lib.spin()
