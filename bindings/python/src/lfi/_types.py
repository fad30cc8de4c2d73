# SPDX-License-Identifier: MIT
"""Types of C as sandboxed code (x86-64, System V) lays them out, and values of them as bytes.

A type is one object, so that types are compared by identity: qualifiers are not part of it, but of the declaration that
uses it. `code` is the letter (or struct) that calls are described with.
"""

from __future__ import annotations

import enum
import struct as _struct
from typing import Any, Iterable, Iterator, Optional, Sequence, Union, cast

#: What ``_native`` takes to describe a parameter: letter, size of a struct, what a pointer points to.
Kind = tuple[Any, ...]


class CType:
    """A type of C."""

    def __init__(self, name: str, size: int, align: int, code: str) -> None:
        self.name = name
        self.size = size
        self.align = align
        self.code = code
        self._pointer: Optional[Pointer] = None

    def pointer(self) -> Pointer:
        """The type of pointers to it."""
        if self._pointer is None:
            self._pointer = Pointer(self)
        return self._pointer

    def kind(self, sandbox: Any) -> Kind:
        """How a call passes it."""
        return (self.code,)

    def decode(self, data: bytes, sandbox: Any) -> Any:
        """A Python value of `size` bytes."""
        raise TypeError(f"values of type '{self.name}' cannot be read")

    def encode(self, value: Any, sandbox: Any) -> bytes:
        """The bytes of a Python value."""
        raise TypeError(f"values of type '{self.name}' cannot be written")

    def need_size(self) -> int:
        """Its size; a TypeError when it has none."""
        if self.size == 0:
            raise TypeError(f"'{self.name}' has no size")
        return self.size

    def declare(self, name: str) -> str:
        """A declaration of `name` with this type."""
        return f"{self.name} {name}".rstrip()

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<C type '{self.name}'>"


class Void(CType):
    def __init__(self) -> None:
        super().__init__("void", 0, 1, "v")


class Integer(CType):
    def __init__(self, name: str, size: int, signed: bool, code: str) -> None:
        super().__init__(name, size, size, code)
        self.signed = signed

    def decode(self, data: bytes, sandbox: Any) -> int:
        return int.from_bytes(data, "little", signed=self.signed)

    def encode(self, value: Any, sandbox: Any) -> bytes:
        if isinstance(value, (bytes, bytearray)) and len(value) == 1 and self.size == 1:
            return bytes(value)
        if isinstance(value, float) or not hasattr(value, "__index__"):
            raise TypeError(f"{value!r} is no integer, which type '{self.name}' needs")
        try:
            return value.__index__().to_bytes(self.size, "little", signed=self.signed)  # type: ignore[no-any-return]
        except OverflowError:
            raise OverflowError(f"{value} does not fit type '{self.name}'") from None


class Bool(CType):
    def __init__(self) -> None:
        super().__init__("_Bool", 1, 1, "?")

    def decode(self, data: bytes, sandbox: Any) -> bool:
        return data != b"\0"

    def encode(self, value: Any, sandbox: Any) -> bytes:
        return b"\1" if value else b"\0"


class Floating(CType):
    def __init__(self, name: str, size: int, code: str, form: str) -> None:
        super().__init__(name, size, size, code)
        self._struct = _struct.Struct(form)

    def decode(self, data: bytes, sandbox: Any) -> float:
        return float(self._struct.unpack(data)[0])

    def encode(self, value: Any, sandbox: Any) -> bytes:
        if not hasattr(value, "__float__") and not hasattr(value, "__index__"):
            raise TypeError(f"{value!r} is no number, which type '{self.name}' needs")
        return self._struct.pack(value)


class LongDouble(CType):
    """80 bits in 16 bytes. In calls only: memory of this type is not read as numbers."""

    def __init__(self) -> None:
        super().__init__("long double", 16, 16, "D")

    def kind(self, sandbox: Any) -> Kind:
        return ("D", 16)


class Pointer(CType):
    def __init__(self, target: CType) -> None:
        super().__init__(f"{target.name} *", 8, 8, "p")
        self.target = target

    @property
    def marker(self) -> Optional[CType]:
        """What ``_native`` compares: None for void."""
        return None if isinstance(self.target, Void) else self.target

    def kind(self, sandbox: Any) -> Kind:
        return ("p", 0, self.marker)

    def decode(self, data: bytes, sandbox: Any) -> Any:
        from ._memory import Pointer as Value

        # Code that is position-oblivious keeps offsets, other code whole addresses: what counts is the lower half.
        address = int.from_bytes(data[:4], "little")
        return Value(sandbox, address, self.marker) if address else None

    def encode(self, value: Any, sandbox: Any) -> bytes:
        from ._memory import Pointer as Value

        if value is None:
            return bytes(8)
        if not isinstance(value, Value):
            raise TypeError(f"{value!r} is no pointer, which type '{self.name}' needs")
        if not value.points_to(self.target):
            raise TypeError(f"{value!r} is no '{self.name}'")
        if value._sandbox is not sandbox:
            raise ValueError(f"{value!r} is of another sandbox")
        return value._offset().to_bytes(8, "little")

    def declare(self, name: str) -> str:
        if isinstance(self.target, (Function, Array)):
            return self.target.declare(f"(*{name})")
        return f"{self.name}{name}"


class Array(CType):
    def __init__(self, item: CType, count: int) -> None:
        super().__init__(f"{item.name} [{count}]", item.size * count, item.align, f"[{count}{item.code}]")
        self.item = item
        self.count = count

    def decode(self, data: bytes, sandbox: Any) -> Any:
        size = self.item.need_size()
        if size == 1 and isinstance(self.item, Integer):
            return bytes(data)
        return [self.item.decode(data[i : i + size], sandbox) for i in range(0, len(data), size)]

    def encode(self, value: Any, sandbox: Any) -> bytes:
        if isinstance(value, (bytes, bytearray)) and self.item.size == 1:
            data = bytes(value)
        else:
            data = b"".join(self.item.encode(one, sandbox) for one in value)
        if len(data) > self.size:
            raise ValueError(f"{len(data) // self.item.need_size()} items do not fit '{self.name}'")
        return data.ljust(self.size, b"\0")

    def declare(self, name: str) -> str:
        return self.item.declare(f"{name}[{self.count}]")


class Enum(CType):
    """An enumeration; its values are members of a Python one, or integers that are no member."""

    def __init__(self, name: str, members: dict[str, int]) -> None:
        signed = any(value < 0 for value in members.values())
        wide = any(not -(1 << 31) <= value < 1 << 32 for value in members.values())
        letters = ("l", "L") if wide else ("i", "I")
        size = 8 if wide else 4
        super().__init__(name, size, size, letters[0] if signed else letters[1])
        self.signed = signed
        self.members = members
        make: Any = enum.IntEnum
        self.python: type[enum.IntEnum] = make(name.split()[-1].strip("<>") or "enum", members)

    def value(self, number: int) -> int:
        try:
            return self.python(number)
        except ValueError:
            return number

    def kind(self, sandbox: Any) -> Kind:
        return (self.code,)

    def result_kind(self) -> Kind:
        return (self.code, 0, self.value)

    def decode(self, data: bytes, sandbox: Any) -> int:
        return self.value(int.from_bytes(data, "little", signed=self.signed))

    def encode(self, value: Any, sandbox: Any) -> bytes:
        if not hasattr(value, "__index__"):
            raise TypeError(f"{value!r} is no integer, which '{self.name}' needs")
        try:
            return value.__index__().to_bytes(self.size, "little", signed=self.signed)  # type: ignore[no-any-return]
        except OverflowError:
            raise OverflowError(f"{value} does not fit '{self.name}'") from None


class Field:
    """A member of a struct."""

    __slots__ = ("name", "type", "offset")

    def __init__(self, name: str, type: CType, offset: int) -> None:
        self.name = name
        self.type = type
        self.offset = offset


class Struct(CType):
    """A struct or union. Without `define` it is incomplete: only pointers to it can be used."""

    def __init__(self, name: str, union: bool = False) -> None:
        super().__init__(name, 0, 1, "")
        self.union = union
        self.complete = False
        self.fields: dict[str, Field] = {}
        self.unsupported: Optional[str] = None
        self.python: type[StructValue] = type(name.split()[-1], (StructValue,), {"_type": self, "__slots__": ()})

    def define(self, members: Iterable[tuple[str, CType]]) -> None:
        """Lay the members out."""
        offset = 0
        codes: list[str] = []
        for name, member in members:
            if not member.size:
                raise TypeError(f"member {name} of '{self.name}' has type '{member.name}', which has no size")
            place = 0 if self.union else -(-offset // member.align) * member.align
            self.fields[name] = Field(name, member, place)
            offset = max(offset, place + member.size)
            self.align = max(self.align, member.align)
            codes.append(member.code)
        self.size = -(-offset // self.align) * self.align
        self.code = "" if self.union or "" in codes else "{" + "".join(codes) + "}"
        self.complete = True

    def need_size(self) -> int:
        if self.unsupported:
            raise TypeError(f"'{self.name}' {self.unsupported}: only pointers to it can be used")
        if not self.complete:
            raise TypeError(f"'{self.name}' is incomplete: only pointers to it can be used")
        return super().need_size()

    def kind(self, sandbox: Any) -> Kind:
        self.need_size()
        if not self.code:
            raise TypeError(f"'{self.name}' is, or holds, a union: it cannot be passed by value")
        return ("{", self.size)

    def decode(self, data: bytes, sandbox: Any) -> StructValue:
        self.need_size()
        values = {
            field.name: field.type.decode(data[field.offset : field.offset + field.type.size], sandbox)
            for field in self.fields.values()
        }
        made = self.python.__new__(self.python)
        object.__setattr__(made, "_values", values)
        return made

    def encode(self, value: Any, sandbox: Any) -> bytes:
        data = bytearray(self.need_size())
        for name, one in self._members(value).items():
            field = self.fields.get(name)
            if field is None:
                raise TypeError(f"'{self.name}' has no member {name!r}")
            data[field.offset : field.offset + field.type.size] = field.type.encode(one, sandbox)
        return bytes(data)

    def _members(self, value: Any) -> dict[Any, Any]:
        """The members that a struct, a dict or a sequence gives, by name."""
        if isinstance(value, StructValue) and value._type is self:
            return value._values
        if isinstance(value, dict):
            return {**value}
        if not isinstance(value, (tuple, list)) or self.union:
            raise TypeError(f"{value!r} is no '{self.name}'")
        items = cast("Sequence[Any]", value)
        if len(items) > len(self.fields):
            raise TypeError(f"'{self.name}' has {len(self.fields)} members, not {len(items)}")
        return dict(zip(self.fields, items))

    def field(self, name: str) -> Field:
        """The member of that name."""
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(f"'{self.name}' has no member {name!r}") from None


class StructValue:
    """A copy of a struct: a plain Python value, with the members as attributes. `lib.NAME(...)` makes one."""

    __slots__ = ("_values",)
    _type: Struct
    _values: dict[str, Any]

    def __init__(self, *args: Any, **members: Any) -> None:
        fields = self._type.fields
        if len(args) > len(fields):
            raise TypeError(f"'{self._type.name}' has {len(fields)} members, not {len(args)}")
        values = dict(zip(fields, args))
        for name, value in members.items():
            self._type.field(name)
            if name in values:
                raise TypeError(f"member {name!r} is given twice")
            values[name] = value
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._type.field(name)
        return self._values.get(name, 0)

    def __setattr__(self, name: str, value: Any) -> None:
        self._type.field(name)
        self._values[name] = value

    def _replace(self, other: StructValue) -> None:
        """Become a copy of another value of the struct."""
        object.__setattr__(self, "_values", other._values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StructValue) or other._type is not self._type:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._type.fields)

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, name) for name in self._type.fields)

    def __dir__(self) -> list[str]:
        return list(self._type.fields)

    def __repr__(self) -> str:
        members = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._type.fields)
        return f"{type(self).__name__}({members})"


class Parameter:
    """One parameter of a function."""

    __slots__ = ("name", "type", "const")

    def __init__(self, name: Optional[str], type: CType, const: bool = False) -> None:
        self.name = name
        self.type = type
        #: of a pointer: what it points to is const
        self.const = const

    def __str__(self) -> str:
        return ("const " if self.const else "") + self.type.declare(self.name or "")


class Function(CType):
    def __init__(self, result: CType, parameters: Sequence[Parameter], variadic: bool) -> None:
        words = [str(parameter) for parameter in parameters] + (["..."] if variadic else [])
        self.list = ", ".join(words) or "void"
        super().__init__(f"{result.name} ({self.list})", 0, 1, "")
        self.result = result
        self.parameters = list(parameters)
        self.variadic = variadic

    def declare(self, name: str) -> str:
        return self.result.declare(f"{name}({self.list})")

    def signature(self, extra: Sequence[str] = ()) -> str:
        """As ``lfi_call`` takes it, with the letters of variable arguments."""
        for one in [self.result, *(parameter.type for parameter in self.parameters)]:
            if isinstance(one, Struct):
                one.kind(None)
            elif not one.code:
                raise TypeError(f"type '{one.name}' cannot be passed")
        codes = "".join(parameter.type.code for parameter in self.parameters)
        tail = "..." + "".join(extra) if self.variadic else ""
        return f"{self.result.code}({codes}{tail})"

    def result_kind(self, sandbox: Any) -> Kind:
        """How the result comes back."""
        result = self.result
        if isinstance(result, Enum):
            return result.result_kind()
        if isinstance(result, Struct):
            return (*result.kind(sandbox), _Decoder(result, sandbox))
        return result.kind(sandbox)

    def kinds(self, sandbox: Any) -> tuple[Kind, ...]:
        """How the arguments are passed to the sandbox."""
        return tuple(parameter.type.kind(sandbox) for parameter in self.parameters)

    def host_kinds(self, sandbox: Any) -> tuple[Kind, ...]:
        """How a callback gets its arguments."""
        kinds: list[Kind] = []
        for parameter in self.parameters:
            one = parameter.type
            if isinstance(one, Struct):
                kinds.append((*one.kind(sandbox), _Decoder(one, sandbox)))
            elif isinstance(one, Enum):
                kinds.append(one.result_kind())
            else:
                kinds.append(one.kind(sandbox))
        return tuple(kinds)


class _Decoder:
    """Makes a struct of bytes. Keeps the sandbox; of a callback, which the sandbox keeps, it is collected as a cycle."""

    def __init__(self, type: Struct, sandbox: Any) -> None:
        self._type, self._sandbox = type, sandbox

    def __call__(self, data: bytes) -> StructValue:
        return self._type.decode(data, self._sandbox)


VOID = Void()
BOOL = Bool()
CHAR = Integer("char", 1, True, "b")
SCHAR = Integer("signed char", 1, True, "b")
UCHAR = Integer("unsigned char", 1, False, "B")
SHORT = Integer("short", 2, True, "h")
USHORT = Integer("unsigned short", 2, False, "H")
INT = Integer("int", 4, True, "i")
UINT = Integer("unsigned int", 4, False, "I")
LONG = Integer("long", 8, True, "l")
ULONG = Integer("unsigned long", 8, False, "L")
LONGLONG = Integer("long long", 8, True, "l")
ULONGLONG = Integer("unsigned long long", 8, False, "L")
FLOAT = Floating("float", 4, "f", "<f")
DOUBLE = Floating("double", 8, "d", "<d")
LONGDOUBLE = LongDouble()

#: By the words of a declaration, sorted.
NAMES: dict[tuple[str, ...], CType] = {
    ("void",): VOID,
    ("_Bool",): BOOL,
    ("char",): CHAR,
    ("char", "signed"): SCHAR,
    ("char", "unsigned"): UCHAR,
    ("short",): SHORT,
    ("int", "short"): SHORT,
    ("short", "signed"): SHORT,
    ("int", "short", "signed"): SHORT,
    ("short", "unsigned"): USHORT,
    ("int", "short", "unsigned"): USHORT,
    ("int",): INT,
    ("signed",): INT,
    ("int", "signed"): INT,
    ("unsigned",): UINT,
    ("int", "unsigned"): UINT,
    ("long",): LONG,
    ("int", "long"): LONG,
    ("long", "signed"): LONG,
    ("int", "long", "signed"): LONG,
    ("long", "unsigned"): ULONG,
    ("int", "long", "unsigned"): ULONG,
    ("long", "long"): LONGLONG,
    ("int", "long", "long"): LONGLONG,
    ("long", "long", "signed"): LONGLONG,
    ("int", "long", "long", "signed"): LONGLONG,
    ("long", "long", "unsigned"): ULONGLONG,
    ("int", "long", "long", "unsigned"): ULONGLONG,
    ("float",): FLOAT,
    ("double",): DOUBLE,
    ("double", "long"): LONGDOUBLE,
}

#: Typedefs that declarations may use without an #include.
STANDARD: dict[str, CType] = {
    "size_t": ULONG,
    "ssize_t": LONG,
    "ptrdiff_t": LONG,
    "intptr_t": LONG,
    "uintptr_t": ULONG,
    "off_t": LONG,
    "time_t": LONG,
    "wchar_t": INT,
    "int8_t": SCHAR,
    "uint8_t": UCHAR,
    "int16_t": SHORT,
    "uint16_t": USHORT,
    "int32_t": INT,
    "uint32_t": UINT,
    "int64_t": LONG,
    "uint64_t": ULONG,
    "intmax_t": LONG,
    "uintmax_t": ULONG,
    "bool": BOOL,
}

Scalar = Union[int, float, bool]
