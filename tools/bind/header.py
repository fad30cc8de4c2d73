# SPDX-License-Identifier: MIT
"""Headers to functions and types, by libclang. Nothing is parsed by hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

from clang import cindex
from clang.cindex import CursorKind, LinkageKind, StorageClass, TypeKind

from model import BindError, Field, Function, Parameter, Place, Problem, Prototype, Record, Type

LETTERS = {
    TypeKind.CHAR_S: "b", TypeKind.SCHAR: "b", TypeKind.CHAR_U: "B", TypeKind.UCHAR: "B", TypeKind.SHORT: "h", TypeKind.USHORT: "H",
    TypeKind.INT: "i", TypeKind.UINT: "I", TypeKind.LONG: "l", TypeKind.ULONG: "L", TypeKind.LONGLONG: "l", TypeKind.ULONGLONG: "L",
    TypeKind.WCHAR: "i",
}
CHARACTERS = (TypeKind.CHAR_S, TypeKind.SCHAR, TypeKind.CHAR_U, TypeKind.UCHAR)

#: Names that stubs use: a parameter of such a name gets another one.
OURS = ("call", "result", "text", "pointer", "list", "env", "copy", "i")


def place_of(cursor: Any) -> Place:
    location = cursor.location
    return Place(str(location.file) if location.file else "<command line>", location.line)


class Header:
    """The declarations of some headers. `records` has each struct that a type leads to, by name."""

    def __init__(self, headers: list[str], flags: list[str]) -> None:
        self.records: dict[str, Record] = {}
        self.functions: list[Function] = []
        text = "".join(f'#include "{name}"\n' for name in headers)
        arguments = ["-x", "c", "-std=gnu17", "-fparse-all-comments", *flags]
        self.peeking: list[tuple[str, Place]] = []  # macros with ->
        options = cindex.TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD
        try:
            unit = cindex.Index.create().parse("lfi-bind.c", arguments, [("lfi-bind.c", text)], options)
        except cindex.TranslationUnitLoadError:
            raise BindError(f"libclang cannot parse {', '.join(headers)}") from None
        self._check(unit)
        folders = self._folders(unit)
        for cursor in unit.cursor.get_children():
            if cursor.kind == CursorKind.FUNCTION_DECL and self._public(cursor, folders):
                self._function(cursor)
            elif cursor.kind == CursorKind.MACRO_DEFINITION and cursor.location.file and self._ours(cursor, folders):
                text = " ".join(token.spelling for token in cursor.get_tokens())
                if "->" in text or "( * (" in text:
                    self.peeking.append((cursor.spelling, place_of(cursor)))

    @staticmethod
    def _check(unit: Any) -> None:
        bad = []
        for one in unit.diagnostics:
            if one.severity >= cindex.Diagnostic.Error:
                bad.append(Problem(Place(str(one.location.file or "<command line>"), one.location.line), one.spelling))
        if bad:
            raise BindError(bad)

    @staticmethod
    def _folders(unit: Any) -> list[Path]:
        """Of the headers that were asked for: what they include from there is the library's too."""
        return [Path(os.path.realpath(str(one.include))).parent for one in unit.get_includes() if one.depth == 1]

    @staticmethod
    def _public(cursor: Any, folders: list[Path]) -> bool:
        if cursor.linkage != LinkageKind.EXTERNAL or cursor.is_definition() or not cursor.location.file:
            return False
        if cursor.storage_class == StorageClass.STATIC:
            return False
        return Header._ours(cursor, folders)

    @staticmethod
    def _ours(cursor: Any, folders: list[Path]) -> bool:
        folder = Path(os.path.realpath(str(cursor.location.file))).parent
        if str(folder).startswith("/usr/include") and folder not in folders:
            return False
        return any(folder == one or one in folder.parents for one in folders)

    def _function(self, cursor: Any) -> None:
        if any(one.name == cursor.spelling for one in self.functions):
            return
        self.functions.append(
            Function(cursor.spelling, self._prototype(cursor.type, cursor), place_of(cursor), cursor.raw_comment or "")
        )

    def _prototype(self, type: Any, cursor: Optional[Any]) -> Prototype:
        type_ = type.get_canonical() if type.kind not in (TypeKind.FUNCTIONPROTO, TypeKind.FUNCTIONNOPROTO) else type
        noreturn = "noreturn" in type.spelling
        if type_.kind == TypeKind.FUNCTIONNOPROTO:
            return Prototype(self._type(type_.get_result()), [], False, noreturn)
        declared = [c for c in cursor.get_children() if c.kind == CursorKind.PARM_DECL] if cursor is not None else []
        types = list(type_.argument_types())
        parameters = []
        for i, one in enumerate(types):
            place = place_of(declared[i]) if i < len(declared) else place_of(cursor) if cursor is not None else Place("?", 0)
            name = (declared[i].spelling if i < len(declared) else "") or f"arg{i + 1}"
            name += "_" if name in OURS else ""
            parameters.append(Parameter(name, self._type(one), place))
        return Prototype(self._type(type_.get_result()), parameters, type_.is_function_variadic(), noreturn)

    # ---- Types ----

    def _type(self, type: Any) -> Type:
        canonical = type.get_canonical()
        kind = canonical.kind
        text = type.spelling.replace(" restrict", "").replace("*restrict", "*")
        made = Type(text, "other", max(canonical.get_size(), 0), const=canonical.is_const_qualified())
        if "va_list" in text:
            made.kind = "va_list"
        elif kind == TypeKind.VOID:
            made.kind, made.letter = "void", "v"
        elif kind == TypeKind.BOOL:
            made.kind, made.letter = "bool", "?"
        elif kind in LETTERS:
            made.kind, made.letter, made.char = "int", LETTERS[kind], kind in CHARACTERS
            made.text_like = kind in (TypeKind.CHAR_S, TypeKind.CHAR_U)
        elif kind == TypeKind.ENUM:
            made.kind = "enum"
            made.letter = LETTERS[canonical.get_declaration().enum_type.get_canonical().kind]
        elif kind in (TypeKind.FLOAT, TypeKind.DOUBLE):
            made.kind, made.letter = "float", "f" if kind == TypeKind.FLOAT else "d"
        elif kind == TypeKind.LONGDOUBLE:
            made.kind, made.letter = "longdouble", "D"
        elif kind == TypeKind.POINTER:
            made.kind, made.letter = "pointer", "p"
            self._pointer(made, type, canonical)
        elif kind == TypeKind.RECORD:
            made.record = self._record(canonical)
            made.kind = "union" if made.record.union else "struct"
        elif kind in (TypeKind.CONSTANTARRAY, TypeKind.INCOMPLETEARRAY):
            made.kind = "array"
            made.target = self._type(canonical.element_type)
        elif kind in (TypeKind.FUNCTIONPROTO, TypeKind.FUNCTIONNOPROTO):
            made.kind = "function"
            self._named(made, type)
        return made

    def _pointer(self, made: Type, type: Any, canonical: Any) -> None:
        pointee = canonical.get_pointee()
        if pointee.kind in (TypeKind.FUNCTIONPROTO, TypeKind.FUNCTIONNOPROTO):
            made.target = Type(pointee.spelling, "function")
            self._named(made, type)
            made.target.function = made.function
            return
        # As it is written, where that says more: names of structs by typedefs.
        written = type
        while written.kind != TypeKind.POINTER:
            under = written.get_declaration().underlying_typedef_type if written.kind == TypeKind.TYPEDEF else None
            if under is None or under.kind == TypeKind.INVALID:
                written = written.get_named_type() if written.kind == TypeKind.ELABORATED else canonical
            else:
                written = under
        made.target = self._type(written.get_pointee())

    def _named(self, made: Type, type: Any) -> None:
        """The name and parameters of a function type; names of parameters are the typedef's."""
        cursor = None
        at = type
        while at.kind in (TypeKind.TYPEDEF, TypeKind.ELABORATED, TypeKind.POINTER):
            if at.kind == TypeKind.TYPEDEF:
                cursor = at.get_declaration()
                made.name = made.name or cursor.spelling
                at = cursor.underlying_typedef_type
            elif at.kind == TypeKind.ELABORATED:
                at = at.get_named_type()
            else:
                at = at.get_pointee()
        canonical = at.get_canonical()
        made.function = self._prototype(canonical if canonical.kind != TypeKind.POINTER else canonical.get_pointee(), cursor)
        # Types of parameters as they are written.
        if at.kind in (TypeKind.FUNCTIONPROTO,):
            for parameter, written in zip(made.function.parameters, at.argument_types()):
                parameter.type = self._type(written)
            made.function.result = self._type(at.get_result())

    def _record(self, canonical: Any) -> Record:
        cursor = canonical.get_declaration()
        text = canonical.spelling.replace("const ", "").replace("volatile ", "")
        name = cursor.spelling or text
        name = name.split("::")[-1]
        if name in self.records:
            return self.records[name]
        definition = cursor.get_definition()
        record = Record(name, text, place_of(definition or cursor), cursor.kind == CursorKind.UNION_DECL, definition is not None)
        self.records[name] = record
        if definition is not None:
            record.size = canonical.get_size()
            for one in canonical.get_fields():
                offset = canonical.get_offset(one.spelling) if one.spelling else 0
                record.fields.append(Field(one.spelling, self._type(one.type), place_of(one), offset, one.is_bitfield()))
        return record
