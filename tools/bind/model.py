# SPDX-License-Identifier: MIT
"""What lfi-bind knows about a library: its functions, what each parameter is for, and what is wrong.

`header` makes it from declarations, `roles` says what parameters are for, and what writes code reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional


@dataclass(frozen=True)
class Place:
    """Where something is declared."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Problem:
    """What cannot be done, or must be said first."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class BindError(Exception):
    """One or more problems: nothing is written."""

    def __init__(self, problems: list[Problem] | str) -> None:
        self.problems = problems if isinstance(problems, list) else []
        super().__init__(problems if isinstance(problems, str) else "\n".join(map(str, problems)))


@dataclass
class Type:
    """A type of C. `text` is as the header writes it; `kind` is of the type behind all typedefs."""

    text: str
    kind: str  # void bool int float longdouble enum pointer struct union array function va_list other
    size: int = 0
    letter: str = ""  # of lfi_call's signatures
    const: bool = False
    char: bool = False  # a character type: text, or bytes
    text_like: bool = False  # char itself
    name: str = ""  # of a typedef for a function's type, or pointer to one
    target: Optional["Type"] = None  # of pointers and arrays
    record: Optional["Record"] = None
    function: Optional["Prototype"] = None

    @property
    def scalar(self) -> bool:
        return self.kind in ("bool", "int", "float", "longdouble", "enum")

    @property
    def opaque(self) -> bool:
        """Points to a struct that the header does not define."""
        return self.kind == "pointer" and self.target is not None and self.target.record is not None and self.target.record.opaque

    def declare(self, name: str) -> str:
        """A declaration of `name` with this type."""
        if "(*)" in self.text:
            return self.text.replace("(*)", f"(*{name})", 1)
        if self.kind == "array" and "[" in self.text:
            at = self.text.index("[")
            return f"{self.text[:at].rstrip()} {name}{self.text[at:]}"
        return f"{self.text}{'' if self.text.endswith('*') else ' '}{name}"


@dataclass
class Field:
    name: str
    type: Type
    place: Place
    offset: int  # bits
    bits: bool = False  # a bit-field


@dataclass
class Record:
    """A struct or union."""

    name: str  # the tag, or the typedef's name
    text: str
    place: Place
    union: bool
    complete: bool
    size: int = 0
    fields: list[Field] = field(default_factory=list)
    declared_opaque: bool = False  # by an annotation

    @property
    def opaque(self) -> bool:
        return not self.complete or self.declared_opaque


@dataclass
class Parameter:
    name: str
    type: Type
    place: Place


@dataclass
class Prototype:
    result: Type
    parameters: list[Parameter]
    variadic: bool = False
    noreturn: bool = False


@dataclass
class Function:
    name: str
    prototype: Prototype
    place: Place
    comment: str = ""


@dataclass
class Role:
    """What a parameter, a result or a member is for. See docs/lfi-bind.md for the words."""

    role: str
    length: str = ""  # C: items, or bytes of a void *
    written: str = ""
    owner: str = ""  # what it lives as long as: a parameter, "result", "call", or "" for ever
    use: str = "user"
    frees: bool = False
    creates: bool = False
    new: bool = False
    remember: str = ""
    of: str = ""
    count: str = ""  # C: rows
    value: str = ""  # C: what the sandbox gets instead
    guess: str = ""  # why, when nobody said it
    reads: bool = False  # a guess by which the host's memory is read further than the type says


@dataclass
class Bound:
    """A function with what its parameters are for."""

    function: Function
    roles: list[Role]
    result: Role
    on_failure: str = ""
    printf: str = ""
    drops: list[str] = field(default_factory=list)
    remember: dict[str, str] = field(default_factory=dict)  # numbers of the program's by name; "of" is whose


@dataclass
class Callback:
    """A type of functions of the program's, as the library calls them."""

    name: str
    type_text: str
    prototype: Prototype
    place: Place
    roles: list[Role] = field(default_factory=list)
    result: Optional[Role] = None


@dataclass
class Library:
    name: str
    headers: list[str]
    bound: list[Bound] = field(default_factory=list)
    callbacks: dict[str, Callback] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    members: dict[str, dict[str, Role]] = field(default_factory=dict)  # of structs that are copied
    left_out: list[tuple[Function, str]] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)  # what the program must know
    jumps: bool = False
