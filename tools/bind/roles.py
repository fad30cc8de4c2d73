# SPDX-License-Identifier: MIT
"""What each parameter is for: what the annotations say, else a guess, else a problem.

A guess may make a call fail, or give it wrong data. It is never one by which the program's memory is written beyond what the
type says, or a pointer of the program's goes into the sandbox. Two guesses read as far as C's conventions say: text up to its
NUL, and a const buffer with a length behind it; they are marked in the report.
"""

from __future__ import annotations

import re
from typing import Any, Optional

from header import Header
from model import Bound, Callback, Function, Library, Parameter, Place, Problem, Prototype, Record, Role, Type
from notes import Notes

LENGTHS = re.compile(r"(len|length|size|count|bytes|nbyte)$|^(n|num)$|_(n|num)$", re.IGNORECASE)
FREES = re.compile(r"((^|_)(free|destroy|close|delete|release|end|finalize)|[a-z](Free|Destroy|Close|Delete|Release|End|Finalize))$")
SETS = re.compile(r"(^|_)set(_|$)|(^|[a-z_])Set[A-Z]")
FILES = ("_IO_FILE", "FILE", "__sFILE")


class Binder:
    """Makes a Library of a header and annotations; collects all problems before it gives up."""

    def __init__(self, header: Header, notes: Notes, library: Library) -> None:
        self.header = header
        self.notes = notes
        self.library = library
        self.problems: list[Problem] = []
        for record in header.records.values():
            record.declared_opaque = notes.listed("opaque", record.name)
            if record.declared_opaque and record.complete:
                library.notes.append(
                    Problem(record.place, f"{record.text} stays in the sandbox: where a program, or a macro, looks into it, it crashes")
                )
        library.notes += [Problem(place, f"the macro {name} looks into a struct") for name, place in header.peeking]

    def bind(self, symbols: Optional[set[str]]) -> None:
        for function in self.header.functions:
            reason = self._reason(function)
            if reason:
                self.library.left_out.append((function, reason))
            elif symbols is not None and function.name not in symbols:
                self._problem(function.place, f"{function.name} is declared, but the library has no such function (leave_out names what a program does not need)")
            else:
                self._bind(function)
        for text in self.notes.unused():
            self.problems.append(Problem(Place(self.notes.path, 1), text.split(": ", 1)[1]))

    def _reason(self, function: Function) -> str:
        """Why a function is not bound; "" when it is."""
        if self.notes.listed("replace", function.name):
            return "the program brings its own"
        if self.notes.listed("leave_out", function.name):
            return "left out"
        if "only" in self.notes.library and not self.notes.listed("only", function.name):
            return "not listed"
        return ""

    def _problem(self, place: Place, text: str) -> None:
        self.problems.append(Problem(place, text))

    # ---- Functions ----

    def _bind(self, function: Function) -> None:
        said = self.notes.function(function.name)
        prototype = function.prototype
        names = [one.name for one in prototype.parameters]
        for name in said.get("params", {}):
            if name not in names:
                self._problem(function.place, f"{function.name} has no parameter '{name}' (it has {', '.join(names) or 'none'})")
        if said.get("longjmp"):
            self._longjmp(function)
            return
        bound = Bound(function, [], Role("value"), said.get("on_failure", ""), said.get("printf", ""), list(said.get("drops", [])), dict(said.get("remember", {})))
        if prototype.variadic and not bound.printf:
            self._problem(function.place, f"{function.name} has variable arguments: leave it out, replace it, or name its format with printf")
            return
        for i, parameter in enumerate(prototype.parameters):
            where = f"[functions.{function.name}] params.{parameter.name}"
            if parameter.name in said.get("params", {}):
                role = self.notes.role(said["params"][parameter.name], where)
            else:
                role = self._guess(function, i)
            self._check(function.name, parameter, role, prototype)
            bound.roles.append(role)
        bound.result = self._result(function, said)
        self._check_owners(bound)
        self.library.bound.append(bound)

    def _longjmp(self, function: Function) -> None:
        parameters = function.prototype.parameters
        if len(parameters) != 3 or not parameters[0].type.opaque or parameters[1].type.target is None:
            self._problem(function.place, f"{function.name}: longjmp is for functions of a handle, a function and the size of a jmp_buf")
            return
        bound = Bound(function, [Role("handle"), Role("longjmp"), Role("value")], Role("longjmp"))
        self.library.bound.append(bound)
        self.library.jumps = True
        self.library.notes.append(
            Problem(function.place, f"{function.name}: the library chooses when to jump. Call its functions only while the function that called setjmp runs")
        )

    def _guess(self, function: Function, index: int) -> Role:
        parameter = function.prototype.parameters[index]
        type = parameter.type
        if type.scalar:
            return Role("value")
        if type.kind != "pointer" and type.kind != "array":
            return self._hopeless(function.name, parameter)
        target = type.target
        assert target is not None
        if target.record is not None and self.notes.listed("shadow", target.record.name):
            return Role("shadow")
        if target.kind == "function":
            return Role("callback", owner=self._owner(function), guess="a function of the program's, for as long as its owner")
        if target.record is not None and target.record.name in FILES:
            return self._hopeless(function.name, parameter)
        if type.opaque:
            first = index == 0 and FREES.search(function.name) is not None
            alone = not any(one.type.kind == "pointer" for one in function.prototype.parameters[1:])
            frees = first and alone
            return Role("handle", frees=frees, guess="a handle" + (" that the function frees, by its name" if frees else ""))
        following = function.prototype.parameters[index + 1] if index + 1 < len(function.prototype.parameters) else None
        counted = following is not None and following.type.kind == "int" and LENGTHS.search(following.name) is not None
        if target.const and (target.kind == "void" or target.char) and not target.text_like and counted:
            assert following is not None
            return Role("in", length=following.name, guess=f"bytes, as many as '{following.name}' says", reads=True)
        if target.const and target.text_like and type.kind == "pointer" and not counted:
            return Role("string", guess="text, up to its NUL", reads=True)
        if target.const and not target.char and (target.scalar or self._copyable(target)) and not counted:
            return Role("in", length="1", guess="one item, in")
        measures = LENGTHS.search(parameter.name) is not None  # and may say how much room there is
        if not target.const and target.scalar and not target.char and not counted and not measures:
            return Role("out", length="1", guess="one item, out")
        if target.kind == "void" and not target.const and not counted:
            sets = SETS.search(function.name) is not None
            more = ", in place of the one before, by the function's name" if sets else ""
            return Role("user", owner=self._owner(function), new=sets, guess="a pointer that the library only hands back" + more)
        self._problem(
            parameter.place,
            f"{function.name}: what is '{type.declare(parameter.name)}' for? Say in, out, inout, handle or another role, and a length",
        )
        return Role("drop")

    def _hopeless(self, name: str, parameter: Parameter) -> Role:
        type = parameter.type
        record = type.record or (type.target.record if type.target else None)
        what = {
            "union": "is a union by value", "struct": "is a struct by value", "va_list": "is a va_list",
        }.get(type.kind, f"is a '{type.text}', which cannot go into a sandbox")
        if record is not None and record.name in FILES:
            what = "is a FILE of the host's, which means nothing in a sandbox"
        self._problem(parameter.place, f"{name}: '{parameter.name}' {what}: leave the function out, or replace it")
        return Role("drop")

    @staticmethod
    def _owner(function: Function) -> str:
        for one in function.prototype.parameters:
            if one.type.opaque:
                return one.name
        return "result" if function.prototype.result.opaque else ""

    def _copyable(self, type: Type) -> bool:
        return type.kind == "struct" and type.record is not None and not type.record.opaque

    def _result(self, function: Function, said: dict[str, Any]) -> Role:
        type = function.prototype.result
        where = f"[functions.{function.name}] returns"
        if "returns" in said:
            role = self.notes.role(said["returns"], where)
            if role.role not in ("value", "string", "handle", "user", "drop", "same"):
                self._problem(function.place, f"{function.name}: a result cannot be '{role.role}'")
        elif type.kind == "void" or type.scalar:
            role = Role("value")
        elif type.opaque:
            creates = not any(one.type.opaque and one.type.text == type.text for one in function.prototype.parameters)
            role = Role("handle", creates=creates, guess="a handle")
        elif type.kind == "pointer" and type.target is not None and type.target.const and type.target.text_like:
            owner = next((one.name for one in function.prototype.parameters if one.type.opaque), "")
            role = Role("string", owner=owner, guess="text, which the program may read until " + (f"'{owner}' is freed" if owner else "the end"))
        else:
            self._problem(function.place, f"{function.name}: what is its result, a '{type.text}'? Say handle, string, user or same")
            role = Role("drop")
        return role

    def _check_owners(self, bound: Bound) -> None:
        names = [one.name for one in bound.function.prototype.parameters]
        for role in [*bound.roles, bound.result]:
            for name in (role.owner, role.of):
                if name not in ("", "call", "callback", "result", *names):
                    self._problem(bound.function.place, f"{bound.function.name}: there is no '{name}' that something could belong to")
            if role.owner == "result" and bound.result.role != "handle":
                self._problem(bound.function.place, f"{bound.function.name}: the result is no handle that something could belong to")
        if bound.remember and bound.remember.get("of") not in names:
            self._problem(bound.function.place, f"{bound.function.name}: remember needs 'of', one of its parameters")
        shadows = [one.name for one, role in zip(bound.function.prototype.parameters, bound.roles) if role.role == "shadow"]
        for role in bound.roles:
            if role.role in ("user", "callback") and role.owner in shadows:
                self._problem(bound.function.place, f"{bound.function.name}: '{role.owner}' is a struct, and callbacks cannot belong to one yet")
        for name in bound.drops:
            if name not in names:
                self._problem(bound.function.place, f"{bound.function.name} has no parameter '{name}'")

    # ---- Whether a role fits a type ----

    def _check(self, name: str, parameter: Parameter, role: Role, prototype: Prototype) -> None:
        type, target = parameter.type, parameter.type.target
        place, what = parameter.place, f"{name}: '{parameter.name}'"
        if role.role == "value" and not type.scalar:
            self._problem(place, f"{what} is no number")
        elif role.role in ("in", "out", "inout"):
            self._check_buffer(place, what, type, role)
        elif role.role == "string" and (target is None or not target.char):
            self._problem(place, f"{what} is no text")
        elif role.role in ("handle", "user", "shadow", "rows", "rows_in", "strings") and (type.kind not in ("pointer", "array")):
            self._problem(place, f"{what} is no pointer")
        elif role.role == "callback":
            self._check_callback(place, what, f"{name}.{parameter.name}", type)
        elif role.role == "shadow":
            self._copied(place, what, target)
        elif role.role in ("inside", "cursor_in", "cursor_out"):
            self._problem(place, f"{what} is no member of a struct")
        elif role.role == "same":
            self._problem(place, f"{what} is no result")
        elif role.role == "constant" and not role.value:
            self._problem(place, f"{what} has no value")

    def _check_buffer(self, place: Place, what: str, type: Type, role: Role) -> None:
        target = type.target
        if type.kind not in ("pointer", "array") or target is None:
            self._problem(place, f"{what} is no pointer")
            return
        if not role.length:
            if target.kind == "void" or target.char:
                self._problem(place, f"{what} has no length")
            role.length = "1"
        if target.const and role.role != "in":
            self._problem(place, f"{what} is const, and cannot be written")
        if target.kind == "pointer" and not target.opaque:
            self._problem(place, f"{what} is an array of '{target.text}', which has no meaning in the sandbox")
        if target.kind in ("struct", "union"):
            self._copied(place, what, target)
            if role.length != "1" and self._has_cursors(target.record):
                self._problem(place, f"{what} is an array of structs with cursors: not supported")

    def _copied(self, place: Place, what: str, type: Optional[Type]) -> None:
        """A struct that is copied: each member must have a meaning on the other side."""
        if type is None or type.record is None:
            self._problem(place, f"{what} leads to no struct")
            return
        record = type.record
        if record.union:
            self._problem(place, f"{what} is a union by value, {record.place}")
        elif not record.complete:
            self._problem(place, f"{what}: the header does not say what is in {record.text}")
        elif record.name not in self.library.members:
            self.library.members[record.name] = {}
            self.library.records[record.name] = record
            self._members(record)

    def _has_cursors(self, record: Optional[Record]) -> bool:
        roles = self.library.members.get(record.name, {}) if record is not None else {}
        return any(one.role in ("cursor_in", "cursor_out") for one in roles.values())

    def _members(self, record: Record) -> None:
        said = self.notes.struct(record.name)
        roles = self.library.members[record.name]
        names = [one.name for one in record.fields]
        for name in said:
            if name not in names:
                self._problem(record.place, f"{record.text} has no member '{name}'")
        for one in record.fields:
            type, target = one.type, one.type.target
            what = f"{record.text}.{one.name}"
            if one.name in said:
                role = self.notes.role(said[one.name], f"[structs.{record.name}] {one.name}")
            elif type.scalar:
                role = Role("value")
            elif type.kind == "struct":
                role = Role("value")
            elif type.kind == "array" and target is not None and (target.scalar or self._copyable(target)):
                role = Role("value")
            elif type.opaque:
                role = Role("handle", guess="a handle")
            else:
                self._problem(one.place, f"{what}: what is '{type.text}' for? Say inside, drop, string, handle, cursor_in or cursor_out")
                role = Role("drop")
            if one.bits and role.role not in ("inside", "drop"):
                self._problem(one.place, f"{what} is a bit-field: a struct with it cannot be copied")
            if not one.name:
                self._problem(one.place, f"{record.text} has a member without a name: it cannot be copied")
            if role.role == "value" and type.kind == "struct":
                self._copied(one.place, what, type)
                if self._has_cursors(type.record):
                    self._problem(one.place, f"{what} is a struct with cursors in another struct: not supported")
            if role.role == "value" and type.kind == "array" and target is not None and target.kind == "struct":
                self._problem(one.place, f"{what} is an array of structs: not supported yet")
            if role.role in ("cursor_in", "cursor_out") and role.length not in names:
                self._problem(one.place, f"{what}: its length is a member's name, not '{role.length}'")
            if role.role not in ("value", "inside", "drop", "string", "handle", "cursor_in", "cursor_out"):
                self._problem(one.place, f"{what}: a member cannot be '{role.role}'")
            if role.role == "drop" or role.role == "inside":
                self.library.notes.append(Problem(one.place, f"{what} stays in the sandbox: what the program writes there has no effect"))
            roles[one.name] = role

    # ---- Callbacks ----

    def _check_callback(self, place: Place, what: str, fallback: str, type: Type) -> None:
        function = type.target.function if type.target is not None else None
        if function is None:
            self._problem(place, f"{what} is no function")
            return
        name = type.name or fallback
        if name in self.library.callbacks:
            return
        made = Callback(name, type.text, function, place)
        self.library.callbacks[name] = made
        said = self.notes.callback(name)
        if function.variadic:
            self._problem(place, f"{name} is a callback with variable arguments")
        names = [one.name for one in function.parameters]
        for one in said.get("params", {}):
            if one not in names:
                self._problem(place, f"callback {name} has no parameter '{one}' (it has {', '.join(names) or 'none'})")
        for i, parameter in enumerate(function.parameters):
            if parameter.name in said.get("params", {}):
                role = self.notes.role(said["params"][parameter.name], f"[callbacks.{name}] params.{parameter.name}")
            else:
                role = self._guess_callback(made, i)
            self._check(f"callback {name}", parameter, role, function)
            if role.role not in ("value", "string", "strings", "in", "out", "inout", "handle", "user", "drop"):
                self._problem(parameter.place, f"callback {name}: '{parameter.name}' cannot be '{role.role}'")
            made.roles.append(role)
        made.result = self._callback_result(made, said)

    def _guess_callback(self, callback: Callback, index: int) -> Role:
        parameter = callback.prototype.parameters[index]
        type, target = parameter.type, parameter.type.target
        if type.scalar:
            return Role("value")
        if type.opaque:
            return Role("handle", guess="a handle")
        if type.kind == "pointer" and target is not None:
            following = callback.prototype.parameters[index + 1] if index + 1 < len(callback.prototype.parameters) else None
            counted = following is not None and following.type.kind == "int" and LENGTHS.search(following.name) is not None
            if target.const and (target.kind == "void" or target.char) and counted:
                assert following is not None
                return Role("in", length=following.name, guess=f"bytes, as many as '{following.name}' says: a copy")
            if target.kind == "void" and not target.const and not counted:
                return Role("user", guess="a pointer of the program's, back again")
            if target.const and target.text_like:
                return Role("string", guess="text: a copy")
        self._problem(callback.place, f"callback {callback.name}: what is '{type.declare(parameter.name)}' for?")
        return Role("drop")

    def _callback_result(self, callback: Callback, said: dict[str, Any]) -> Role:
        type = callback.prototype.result
        if "returns" in said:
            return self.notes.role(said["returns"], f"[callbacks.{callback.name}] returns")
        if type.kind == "void" or (type.scalar and type.kind != "longdouble"):
            return Role("value")
        if type.opaque:
            return Role("handle", guess="a handle")
        self._problem(callback.place, f"callback {callback.name} returns a '{type.text}': not supported, but as drop")
        return Role("drop")
