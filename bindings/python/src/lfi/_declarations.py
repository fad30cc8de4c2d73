# SPDX-License-Identifier: MIT
"""Declarations of C, parsed: functions, types, enumerators and simple macros by name.

Text without ``#include`` is parsed as it is. A header with some goes through the preprocessor of ``lfi-cc`` first, so that
it is seen as sandboxed code sees it.
"""

from __future__ import annotations

import os
import re
from typing import Any, Optional, Union

from . import _types as t
from ._errors import Error

Source = Union[str, "os.PathLike[str]"]

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+(.+?)[ \t]*$", re.MULTILINE)
_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include\b", re.MULTILINE)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE)
_NUMBER = re.compile(r"\(?\s*(-?(?:0[xX][0-9a-fA-F]+|\d+))[uUlL]*\s*\)?$")

#: What headers of gcc hold that is no C, made harmless.
_PLAIN = [
    "-D__attribute__(x)=",
    "-D__extension__=",
    "-D__restrict=restrict",
    "-D__inline=inline",
    "-D__asm__(x)=",
    "-D__builtin_va_list=void *",
    "-D__const=const",
    "-D_Noreturn=",
    "-D_LFI_PYTHON=1",
]


class DeclarationError(Error, ValueError):
    """A declaration that does not parse, or uses what is not known."""


def _strip_comments(text: str) -> str:
    def keep(match: re.Match[str]) -> str:
        found = match[0]
        return " " + "\n" * found.count("\n") if found.startswith("/") else found

    return _COMMENT.sub(keep, text)


def _preprocess(source: str, folder: Optional[str], include: tuple[str, ...]) -> str:
    import subprocess

    from .__main__ import tool_path

    command = [tool_path("cc"), "-E", "-x", "c", "-", *_PLAIN]
    for path in (*include, *([folder] if folder is not None else [])):
        command += ["-I", path]
    try:
        done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    except OSError as error:
        raise DeclarationError(f"the header needs a preprocessor, and {command[0]} cannot run: {error}") from error
    if done.returncode != 0:
        raise DeclarationError(f"the header does not go through the preprocessor:\n{done.stderr.strip()}")
    return done.stdout


def _read(header: Source, include: tuple[str, ...]) -> str:
    folder = None
    if isinstance(header, str) and ("\n" in header or ";" in header or "(" in header or not header.strip()):
        text = header
    else:
        with open(header, encoding="utf-8") as file:
            text = file.read()
        folder = os.path.dirname(os.path.abspath(header))
    return _preprocess(text, folder, include) + _macros(text) if _INCLUDE.search(text) else text


def _macros(text: str) -> str:
    """The #define lines, which the preprocessor took away."""
    return "\n" + "\n".join(match[0] for match in _DEFINE.finditer(text)) + "\n"


class Declarations:
    """What some text declares.

    Parameters
    ----------
    header : str or path
        Declarations, or the path of a header file.
    include : sequence of str
        Folders to look for included files in.
    """

    def __init__(self, header: Source = "", include: tuple[str, ...] = ()) -> None:
        self.functions: dict[str, t.Function] = {}
        self.typedefs: dict[str, t.CType] = dict(t.STANDARD)
        self.tags: dict[str, t.CType] = {}
        self.constants: dict[str, int] = {}
        self.enums: dict[str, t.Enum] = {}
        self.structs: dict[str, t.Struct] = {}
        self._parsed: dict[str, t.CType] = {}
        self._function_types: dict[tuple[Any, ...], t.Function] = {}
        # Ends in a newline, so that it is taken for declarations again when it is unpickled.
        text = _strip_comments(_read(header, include)).rstrip() + "\n"
        self.text = text
        self._parse_text(text)

    @property
    def digest(self) -> str:
        """Of the text."""
        import hashlib

        return hashlib.sha256(self.text.encode()).hexdigest()

    # ---- Parsing ----

    def _parse_text(self, text: str) -> None:
        for name, value in _DEFINE.findall(text):
            number = _NUMBER.match(value)
            if number:
                self.constants[name] = int(number[1], 0) if not re.match(r"-?0\d", number[1]) else int(number[1], 8)
        for node in self._ast(_DIRECTIVE.sub("", text)):
            self._take(node)

    def _ast(self, text: str) -> list[Any]:
        from pycparser import c_parser  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]

        prelude = "".join(f"typedef int {name};\n" for name in self.typedefs)
        count = len(self.typedefs)
        source = f"{prelude}# 1 \"<declarations>\"\n{text}"
        try:
            tree: Any = c_parser.CParser().parse(source, "<declarations>")
            return list(tree.ext[count:])
        except c_parser.ParseError as error:
            raise DeclarationError(f"the declarations do not parse: {error}") from None

    def _take(self, node: Any) -> None:
        kind = type(node).__name__
        if kind == "Typedef":
            made = self._type(node.type, node.name)
            self.typedefs[node.name] = made
            if isinstance(made, t.Enum):
                self.enums.setdefault(node.name, made)
            elif isinstance(made, t.Struct):
                self.structs.setdefault(node.name, made)
        elif kind == "Decl":
            self._declare(node)
        elif kind == "FuncDef":
            self._declare(node.decl)

    def _declare(self, node: Any) -> None:
        made = self._type(node.type, None)
        if isinstance(made, t.Function) and node.name:
            self.functions[node.name] = made

    def parse_type(self, text: str) -> t.CType:
        """A type written as in a cast: ``"struct point *"``, ``"int (*)(int)"``, ``"int(int)"``."""
        found = self._parsed.get(text)
        if found is None:
            found = self._parsed[text] = self._parse_type(text)
        return found

    def _parse_type(self, text: str) -> t.CType:
        try:
            nodes = self._ast(f"typedef {self._in_cast(text)};")
        except DeclarationError:
            raise DeclarationError(f"{text!r} is no type") from None
        if len(nodes) != 1:
            raise DeclarationError(f"{text!r} is no type")
        return self._type(nodes[0].type, None)

    @staticmethod
    def _in_cast(text: str) -> str:
        """The text with a name where a declaration has one."""
        name = "lfi_type"
        text = text.strip()
        if "(*" in text:
            at = text.index("(*") + 2
        elif "(" in text:
            at = text.index("(")
        elif "[" in text:
            at = text.index("[")
        else:
            at = len(text)
        return f"{text[:at]} {name} {text[at:]}"

    # ---- Types ----

    def _type(self, node: Any, alias: Optional[str]) -> t.CType:
        kind = type(node).__name__
        if kind == "TypeDecl":
            return self._type(node.type, alias)
        if kind == "Typename":
            return self._type(node.type, alias)
        if kind == "IdentifierType":
            return self._named(node.names)
        if kind == "PtrDecl":
            return self.canonical(self._type(node.type, None)).pointer()
        if kind == "ArrayDecl":
            item = self._type(node.type, None)
            return t.Array(item, self._constant(node.dim)) if node.dim is not None else t.Array(item, 0)
        if kind in ("Struct", "Union"):
            return self._struct(node, alias, kind == "Union")
        if kind == "Enum":
            return self._enum(node, alias)
        if kind == "FuncDecl":
            return self._function(node)
        raise DeclarationError(f"a declaration has {kind}, which is not known")

    def _named(self, names: list[str]) -> t.CType:
        if len(names) == 1 and names[0] in self.typedefs:
            return self.typedefs[names[0]]
        found = t.NAMES.get(tuple(sorted(names)))
        if found is None:
            raise DeclarationError(f"the type '{' '.join(names)}' is not known")
        return found

    def _struct(self, node: Any, alias: Optional[str], union: bool) -> t.CType:
        word = "union" if union else "struct"
        name = f"{word} {node.name}" if node.name else alias or f"{word} <anonymous>"
        found = self.tags.get(name) if node.name else None
        if not isinstance(found, t.Struct):
            found = t.Struct(name, union)
            if node.name:
                self.tags[name] = found
                self.structs.setdefault(node.name, found)
        if node.decls is not None and not found.complete:
            self._define(found, node.decls)
        return found

    def _define(self, struct: t.Struct, nodes: list[Any]) -> None:
        members: list[tuple[str, t.CType]] = []
        for node in nodes:
            if getattr(node, "bitsize", None) is not None:
                struct.unsupported = "has bit-fields"
                return
            if type(node).__name__ != "Decl":
                continue
            member = self._type(node.type, None)
            if node.name is None:
                struct.unsupported = "has members without a name"
                return
            if isinstance(member, t.Array) and member.count == 0:
                continue  # a flexible array at the end takes no room
            if isinstance(member, t.Struct) and member.unsupported:
                struct.unsupported = member.unsupported
                return
            members.append((node.name, member))
        if members:
            struct.define(members)

    def _enum(self, node: Any, alias: Optional[str]) -> t.CType:
        name = f"enum {node.name}" if node.name else alias or "enum <anonymous>"
        found = self.tags.get(name) if node.name else None
        if found is not None and node.values is None:
            return found
        members: dict[str, int] = {}
        following = 0
        enumerators: list[Any] = node.values.enumerators if node.values is not None else []
        for one in enumerators:
            value = self._constant(one.value) if one.value is not None else following
            members[one.name] = value
            self.constants[one.name] = value
            following = value + 1
        made = t.Enum(name, members)
        if node.name:
            self.tags[name] = made
            self.enums.setdefault(node.name, made)
        return made

    def _function(self, node: Any) -> t.Function:
        parameters: list[t.Parameter] = []
        variadic = False
        declared: list[Any] = node.args.params if node.args is not None else []
        for one in declared:
            if type(one).__name__ == "EllipsisParam":
                variadic = True
                continue
            made = self._type(one.type, None)
            const = "const" in getattr(_target(one.type), "quals", [])
            if isinstance(made, t.Void):
                continue
            if isinstance(made, t.Array):
                made = made.item.pointer()
            elif isinstance(made, t.Function):
                made = self.canonical(made).pointer()
            parameters.append(t.Parameter(one.name, made, const and isinstance(made, t.Pointer)))
        return t.Function(self._type(node.type, None), parameters, variadic)

    def canonical(self, type: t.CType) -> t.CType:
        """Of types of functions that differ in names only, one: pointers are compared by what they point to."""
        if not isinstance(type, t.Function):
            return type
        key = (id(type.result), tuple(id(parameter.type) for parameter in type.parameters), type.variadic)
        return self._function_types.setdefault(key, type)

    # ---- Constants ----

    def _constant(self, node: Any) -> int:
        kind = type(node).__name__
        if kind == "Constant" and node.type == "char":
            text = node.value[1:-1]
            return ord(text) if len(text) == 1 else ord(text.encode().decode("unicode_escape"))
        if kind == "Constant":
            text = node.value.rstrip("uUlL")
            return int(text, 8) if re.fullmatch(r"0[0-7]+", text) else int(text, 0)
        if kind == "ID" and node.name in self.constants:
            return self.constants[node.name]
        if kind == "UnaryOp" and node.op == "sizeof":
            return self._type(node.expr, None).need_size()
        if kind == "UnaryOp":
            value = self._constant(node.expr)
            return {"-": -value, "+": value, "~": ~value, "!": int(not value)}[node.op]
        if kind == "BinaryOp":
            return _binary(node.op, self._constant(node.left), self._constant(node.right))
        if kind == "Cast":
            return self._constant(node.expr)
        if kind == "TernaryOp":
            return self._constant(node.iftrue if self._constant(node.cond) else node.iffalse)
        raise DeclarationError(f"a constant has {getattr(node, 'name', kind)}, which is not known")


def _target(node: Any) -> Any:
    """What the pointer or array of a declaration leads to."""
    kind = type(node).__name__
    return node.type if kind in ("PtrDecl", "ArrayDecl") else None


def _binary(op: str, a: int, b: int) -> int:
    if op in ("/", "%") and b == 0:
        raise DeclarationError("a constant divides by zero")
    if op in ("<<", ">>") and not 0 <= b < 64:
        raise DeclarationError(f"a constant shifts by {b}")
    table = {
        "+": lambda: a + b,
        "-": lambda: a - b,
        "*": lambda: a * b,
        "/": lambda: int(a / b) if abs(a) < 1 << 52 else a // b,
        "%": lambda: a - b * int(a / b),
        "<<": lambda: a << b,
        ">>": lambda: a >> b,
        "&": lambda: a & b,
        "|": lambda: a | b,
        "^": lambda: a ^ b,
        "==": lambda: int(a == b),
        "!=": lambda: int(a != b),
        "<": lambda: int(a < b),
        ">": lambda: int(a > b),
        "<=": lambda: int(a <= b),
        ">=": lambda: int(a >= b),
        "&&": lambda: int(bool(a) and bool(b)),
        "||": lambda: int(bool(a) or bool(b)),
    }
    if op not in table:
        raise DeclarationError(f"a constant has the operator {op}, which is not known")
    return table[op]()
