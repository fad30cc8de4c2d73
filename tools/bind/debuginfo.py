# SPDX-License-Identifier: MIT
"""Prototypes of the header against those that the library was compiled with, where it has debug information (-g)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from model import Library, Problem, Prototype, Type

try:
    from elftools.elf.elffile import ELFFile
except ImportError:  # said by `compare`
    ELFFile = None

#: What two types must agree on: kind, bytes, name of a struct.
Shape = tuple[str, int, str]
THROUGH = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_restrict_type", "DW_TAG_atomic_type")


def _target(die: Any) -> Optional[Any]:
    """What a type or parameter leads to, without names and qualifiers; None is void."""
    while True:
        if "DW_AT_type" not in die.attributes:
            return None
        die = die.get_DIE_from_attribute("DW_AT_type")
        if die.tag not in THROUGH:
            return die


def _name(die: Any) -> str:
    name = die.attributes.get("DW_AT_name")
    return name.value.decode(errors="replace") if name is not None else ""


def _size(die: Any) -> int:
    size = die.attributes.get("DW_AT_byte_size")
    return size.value if size is not None else 0


def _compiled(die: Optional[Any]) -> Shape:
    if die is None:
        return ("void", 0, "")
    if die.tag == "DW_TAG_pointer_type":
        target = _target(die)
        record = target is not None and target.tag in ("DW_TAG_structure_type", "DW_TAG_union_type")
        return ("pointer", 8, _name(target) if record else "")
    if die.tag == "DW_TAG_base_type":
        floating = die.attributes["DW_AT_encoding"].value == 4  # DW_ATE_float
        return ("float" if floating else "int", _size(die), "")
    if die.tag == "DW_TAG_enumeration_type":
        return ("int", _size(die), "")
    return ("struct", _size(die), _name(die))


def _declared(type: Type) -> Shape:
    if type.kind in ("pointer", "array", "function"):
        record = type.target.record if type.target is not None else None
        tagged = record is not None and type.target is not None and type.target.kind in ("struct", "union")
        return ("pointer", 8, record.text.split()[-1] if tagged and record is not None and " " in record.text else "")
    if type.kind in ("float", "longdouble"):
        return ("float", type.size, "")
    if type.kind in ("int", "bool", "enum"):
        return ("int", type.size, "")
    return ("void", 0, "") if type.kind == "void" else ("struct", type.size, "")


def _differ(a: Shape, b: Shape) -> bool:
    """Names of structs count only where both have one."""
    return a[:2] != b[:2] or bool(a[2] and b[2] and a[2] != b[2])


def _text(shape: Shape) -> str:
    kind, size, name = shape
    if kind == "pointer":
        return f"a pointer to struct {name}" if name else "a pointer"
    return f"a struct of {size} bytes" if kind == "struct" else "void" if kind == "void" else f"{kind} of {size} bytes"


def _prototype(name: str, prototype: Prototype, die: Any) -> str:
    """How a function was compiled otherwise than it is declared; "" when it was not."""
    compiled = [_compiled(_target(child)) for child in die.iter_children() if child.tag == "DW_TAG_formal_parameter"]
    if len(compiled) != len(prototype.parameters):
        return f"{name} has {len(prototype.parameters)} parameters here, and the library was compiled with {len(compiled)}"
    for parameter, shape in zip(prototype.parameters, compiled):
        if _differ(_declared(parameter.type), shape):
            return f"{name}: '{parameter.name}' is {_text(_declared(parameter.type))} here, and in the library {_text(shape)}"
    result = _compiled(_target(die))
    if _differ(_declared(prototype.result), result):
        return f"{name} returns {_text(_declared(prototype.result))} here, and in the library {_text(result)}"
    return ""


def compare(library: Library, program: Path) -> tuple[list[Problem], str]:
    """What differs, and a remark when nothing could be compared though there is something."""
    if ELFFile is None:
        return [], "prototypes are not compared with debug information: that needs python3-pyelftools"
    problems: list[Problem] = []
    bound = {one.function.name: one.function for one in library.bound}
    with program.open("rb") as file:
        elf = ELFFile(file)
        if not elf.has_dwarf_info() or elf.get_section_by_name(".debug_info") is None:
            return [], ""
        for unit in elf.get_dwarf_info().iter_CUs():
            for die in unit.get_top_DIE().iter_children():
                if die.tag != "DW_TAG_subprogram" or "DW_AT_external" not in die.attributes or "DW_AT_declaration" in die.attributes:
                    continue
                function = bound.get(_name(die))
                difference = _prototype(function.name, function.prototype, die) if function is not None else ""
                if function is not None and difference:
                    problems.append(Problem(function.place, difference))
    return problems, ""
