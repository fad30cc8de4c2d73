# SPDX-License-Identifier: MIT
"""Calls whose arguments are more than numbers and pointers: text, bytes, arrays, structs, in and out.

What is passed by pointer is copied into the sandbox before the call and freed after it; what the function may write is
copied back. The sandbox never sees memory of the host's.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence, Union, cast

from . import _native
from . import _types as t
from ._errors import make_error
from ._memory import Arena, Buffer, Pointer


class In:
    """Bytes for a parameter that is a pointer: copied in before the call.

    Parameters
    ----------
    data : bytes-like
        Also for parameters that are not const.
    """

    def __init__(self, data: Buffer) -> None:
        self.data = data


class Out:
    """Room for what a function writes through a pointer: copied out after the call.

    Parameters
    ----------
    room : int or writable buffer, optional
        Bytes; or where to copy them to. Default: one item of the type that the parameter points to.

    Attributes
    ----------
    bytes : bytes
        What was written (all of the room).
    value
        The item, of the type that the parameter points to.
    """

    def __init__(self, room: Union[int, Buffer, None] = None) -> None:
        if isinstance(room, int) and room < 0:
            raise ValueError(f"room={room} is no number of bytes")
        self.room = room
        self._bytes: Optional[bytes] = None
        self._type: Optional[t.CType] = None
        self._sandbox: Any = None

    @property
    def bytes(self) -> bytes:
        """What was written."""
        if self._bytes is None:
            raise ValueError("the function was not called yet")
        return self._bytes

    @property
    def value(self) -> Any:
        """The item that was written."""
        if self._type is None:
            raise TypeError("the parameter is a 'void *': it has no value, but bytes")
        return self._type.decode(self.bytes[: self._type.need_size()], self._sandbox)

    def _size(self, target: t.CType) -> int:
        if self.room is None:
            return target.need_size()
        return self.room if isinstance(self.room, int) else memoryview(self.room).nbytes

    def _initial(self, size: int) -> Buffer:
        return bytes(size)

    def _take(self, sandbox: Any, address: int, size: int, target: t.CType) -> None:
        self._sandbox = sandbox
        self._type = None if isinstance(target, t.Void) else target
        self._bytes = data = bytes(sandbox.read(address, size))
        if self.room is not None and not isinstance(self.room, int):
            memoryview(self.room).cast("B")[:] = data


class InOut(Out):
    """A writable buffer: copied in before the call and back after it.

    Parameters
    ----------
    buffer : writable buffer
        A bytearray, a memoryview, an array.
    """

    def __init__(self, buffer: Buffer) -> None:
        super().__init__(buffer)

    def _initial(self, size: int) -> Buffer:
        assert not isinstance(self.room, int) and self.room is not None
        return memoryview(self.room).cast("B")


class Spec:
    """What a function needs to convert its arguments; kept by it as its declaration."""

    __slots__ = ("name", "type", "sandbox", "arena", "address", "variants")

    def __init__(self, name: str, type: t.Function, sandbox: Any, arena: Optional[Arena], address: int) -> None:
        self.name = name
        self.type = type
        self.sandbox = sandbox
        self.arena = arena or Arena(sandbox)
        self.address = address
        self.variants: dict[str, _native.Function] = {}

    def __str__(self) -> str:
        return self.type.declare(self.name)

    def __repr__(self) -> str:
        return str(self)


def make_function(sandbox: Any, name: str, address: int, type: t.Function, arena: Optional[Arena]) -> _native.Function:
    """A callable function of a sandbox."""
    spec = Spec(name, type, sandbox, arena, address)
    return _native.Function(
        sandbox, address, type.signature(), type.result_kind(sandbox), type.kinds(sandbox), name, spec, call_slow,
        type.variadic, 0,
    )


class _Loan:
    """Blocks that live for one call."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.blocks: list[int] = []
        self.after: list[Callable[[], None]] = []

    def lend(self, data: Buffer, target: t.CType, size: int) -> Pointer:
        address = self.spec.arena.alloc(max(size, 1))
        self.blocks.append(address)
        self.spec.sandbox.write(address, data)
        return Pointer(self.spec.sandbox, address, None if isinstance(target, t.Void) else target)

    def end(self) -> None:
        for address in self.blocks:
            self.spec.arena.free(address)


def _fail(spec: Spec, index: int, value: Any, why: str) -> TypeError:
    parameters = spec.type.parameters
    name = parameters[index].name if index < len(parameters) else None
    called = f" ({name})" if name else ""
    return TypeError(f"{spec.name}: argument {index + 1}{called}: {value!r:.80} {why}")


def _out(loan: _Loan, value: Out, target: t.CType) -> Pointer:
    size = value._size(target)
    pointer = loan.lend(value._initial(size), target, size)
    address, sandbox = pointer._offset(), loan.spec.sandbox
    loan.after.append(lambda: value._take(sandbox, address, size, target))
    return pointer


def _check_items(view: memoryview, target: t.CType, spec: Spec, index: int, value: Any) -> memoryview:
    if not view.contiguous:
        raise _fail(spec, index, value, "is not contiguous")
    if target.size > 1 and view.itemsize not in (1, target.size):
        raise _fail(spec, index, value, f"has items of {view.itemsize} bytes, and '{target.name}' has {target.size}")
    return view.cast("B") if view.nbytes else memoryview(bytearray())


def _buffer(loan: _Loan, index: int, value: Any, target: t.CType, const: bool) -> Pointer:
    view = _check_items(memoryview(value), target, loan.spec, index, value)
    if const:
        # Text in C ends in a NUL, and bytes in Python do not.
        data = bytes(view) + b"\0" if isinstance(value, bytes) and target.size == 1 else view
        return loan.lend(data, target, len(data))
    if view.readonly:
        raise _fail(loan.spec, index, value, "cannot be written, and the function may: use lfi.In, or a bytearray")
    return _out(loan, InOut(view), target)


def _items(loan: _Loan, index: int, items: Sequence[Any], target: t.CType, const: bool) -> Pointer:
    if not const:
        raise _fail(loan.spec, index, items, "cannot be written, and the function may: use lfi.InOut with an array")
    data = b"".join(target.encode(one, loan.spec.sandbox) for one in items)
    return loan.lend(data, target, len(data))


def _text(loan: _Loan, index: int, text: str, type: t.Pointer, const: bool) -> Pointer:
    if type.target.size > 1:
        raise _fail(loan.spec, index, text, f"is text, and no '{type.name}'")
    if not const:
        raise _fail(loan.spec, index, text, "is text, and the function may write: use lfi.In or lfi.InOut")
    if "\0" in text:
        raise ValueError(f"{loan.spec.name}: argument {index + 1}: {text!r:.80} has a NUL in it")
    data = text.encode() + b"\0"
    return loan.lend(data, type.target, len(data))


def _struct(loan: _Loan, value: t.StructValue, target: t.CType, const: bool) -> Pointer:
    struct, sandbox = value._type if isinstance(target, t.Void) else target, loan.spec.sandbox
    data = struct.encode(value, sandbox)
    pointer = loan.lend(data, target, len(data))
    if not const:
        address = pointer._offset()
        loan.after.append(lambda: value._replace(struct.decode(sandbox.read(address, len(data)), sandbox)))
    return pointer


def _pointer(loan: _Loan, index: int, value: Any, type: t.Pointer, const: bool) -> Any:
    target = type.target
    spec = loan.spec
    if value is None:
        return None
    if isinstance(value, Pointer):
        if not value.points_to(target) and not _alike(value, target):
            raise _fail(spec, index, value, f"is no '{type.name}'")
        if value._sandbox is not spec.sandbox:
            raise make_error(_native.LFI_ERR_INVALID, f"{spec.name}: argument {index + 1}: {value!r} is of another sandbox")
        return Pointer(spec.sandbox, value._offset(), type.marker)
    if isinstance(value, In):
        view = memoryview(value.data)
        return loan.lend(view, target, view.nbytes)
    if isinstance(value, Out):
        return _out(loan, value, target)
    if isinstance(value, str):
        return _text(loan, index, value, type, const)
    if isinstance(value, t.StructValue):
        return _struct(loan, value, target, const)
    if isinstance(value, (list, tuple)) and not isinstance(target, t.Void):
        return _items(loan, index, cast("Sequence[Any]", value), target, const)
    return _other(loan, index, value, type, const)


def _other(loan: _Loan, index: int, value: Any, type: t.Pointer, const: bool) -> Any:
    callback = getattr(value, "_lfi_pointer", None)
    if callback is not None:
        return _pointer(loan, index, callback, type, const)
    try:
        memoryview(value)
    except TypeError:
        raise _fail(loan.spec, index, value, f"cannot be passed as '{type.name}'") from None
    return _buffer(loan, index, value, type.target, const)


def _alike(value: Pointer, target: t.CType) -> bool:
    """Types of pointers that differ in name, or sign of characters, only."""
    other = value._target
    if isinstance(other, t.Integer) and isinstance(target, t.Integer):
        return other.size == target.size == 1 or (other.size == target.size and other.signed == target.signed)
    if isinstance(other, t.Function) and isinstance(target, t.Function):
        return other.signature() == target.signature()
    return False


def _argument(loan: _Loan, index: int, value: Any, type: t.CType, const: bool) -> Any:
    if isinstance(type, t.Pointer):
        return _pointer(loan, index, value, type, const)
    if isinstance(type, t.Struct):
        return type.encode(value, loan.spec.sandbox)
    if isinstance(type, t.Integer) and type.size == 1 and isinstance(value, bytes) and len(value) == 1:
        return int.from_bytes(value, "little", signed=type.signed)
    if isinstance(type, (t.Integer, t.Enum)) and not hasattr(value, "__index__"):
        raise _fail(loan.spec, index, value, f"is no integer, which '{type.name}' needs")
    if isinstance(type, (t.Floating, t.LongDouble)) and not hasattr(value, "__float__"):
        raise _fail(loan.spec, index, value, f"is no number, which '{type.name}' needs")
    return value


#: Of variable arguments.
_CHARS = t.CHAR.pointer()


def _promote(value: Any) -> t.CType:
    """The type that a variable argument is passed with."""
    if isinstance(value, float):
        return t.DOUBLE
    if hasattr(value, "__index__"):
        number = value.__index__()
        if -(1 << 31) <= number < 1 << 31:
            return t.INT
        return t.LONG if number < 1 << 63 else t.ULONG
    return _CHARS if isinstance(value, (str, bytes)) else t.VOID.pointer()


def _variant(spec: Spec, extra: list[t.CType]) -> _native.Function:
    """The function with these variable arguments."""
    letters = "".join(one.code for one in extra)
    made = spec.variants.get(letters)
    if made is None:
        kinds = (*spec.type.kinds(spec.sandbox), *(("p", 0, None) if one.code == "p" else (one.code,) for one in extra))
        made = spec.variants[letters] = _native.Function(
            spec.sandbox, spec.address, spec.type.signature(letters), spec.type.result_kind(spec.sandbox), kinds,
            spec.name, spec, None, False, 0,
        )
    return made


def call_slow(function: _native.Function, args: tuple[Any, ...], timeout: float) -> Any:
    """A call that ``_native`` leaves to Python."""
    spec: Spec = function.declaration
    loan = _Loan(spec)
    parameters = spec.type.parameters
    try:
        extra = [_promote(value) for value in args[len(parameters) :]]
        converted = [
            _argument(loan, i, value, parameter.type, parameter.const)
            for i, (value, parameter) in enumerate(zip(args, parameters))
        ]
        for i, (value, type) in enumerate(zip(args[len(parameters) :], extra), len(parameters)):
            converted.append(_argument(loan, i, value, type, True))
        target = _variant(spec, extra) if spec.type.variadic else function
        result = target._direct(tuple(converted), timeout)
        for take in loan.after:
            take()
        return result
    finally:
        loan.end()
