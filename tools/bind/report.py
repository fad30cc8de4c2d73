# SPDX-License-Identifier: MIT
"""What was guessed, what was left out, and what the program must know: for a person to read."""

from __future__ import annotations

from model import Bound, Library, Role


def _line(what: str, role: Role) -> str:
    text = f"    {what}: {role.role}"
    if role.length:
        text += f" [{role.length}]"
    if role.guess:
        text += f"  -- guessed: {role.guess}"
    if role.reads:
        text += " (READS: say so in the annotations)"
    return text


def _function(bound: Bound) -> list[str]:
    function = bound.function
    lines = [
        _line(parameter.name, role)
        for parameter, role in zip(function.prototype.parameters, bound.roles)
        if role.guess
    ]
    if bound.result.guess:
        lines.append(_line("result", bound.result))
    return [f"  {function.place}: {function.name}", *lines] if lines else []


def report(library: Library) -> str:
    lines = [f"{library.name}: {len(library.bound)} functions, {len(library.left_out)} not bound", ""]
    lines.append("Guesses:")
    for bound in library.bound:
        lines += _function(bound)
    for callback in library.callbacks.values():
        guessed = [_line(parameter.name, role) for parameter, role in zip(callback.prototype.parameters, callback.roles) if role.guess]
        if guessed:
            lines += [f"  {callback.place}: callback {callback.name}", *guessed]
    for name, roles in library.members.items():
        lines += [_line(f"{name}.{member}", role) for member, role in roles.items() if role.guess]
    lines += ["", "Not bound: a program that calls these does not link."]
    for function, reason in library.left_out:
        lines.append(f"  {function.place}: {function.name}: {reason}")
    lines += ["", "To know:"]
    lines += [f"  {note}" for note in library.notes]
    return "\n".join(lines) + "\n"


def guesses(library: Library) -> tuple[int, int]:
    """How many, and how many of them read."""
    roles = [role for bound in library.bound for role in [*bound.roles, bound.result]]
    roles += [role for callback in library.callbacks.values() for role in callback.roles]
    return sum(1 for role in roles if role.guess), sum(1 for role in roles if role.reads)
