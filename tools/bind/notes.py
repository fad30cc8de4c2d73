# SPDX-License-Identifier: MIT
"""The annotation file (TOML): what a header cannot say. Words that are not known are errors, so that none is misspelt."""

from __future__ import annotations

import fnmatch
import tomllib
from dataclasses import fields
from typing import Any

from model import BindError, Role

#: For parameters, members and results.
ROLES = {
    "value", "string", "strings", "in", "out", "inout", "rows", "rows_in", "handle", "user", "callback", "constant", "drop", "shadow", "inside", "cursor_in",
    "cursor_out", "same",
}
ROLE_KEYS = {one.name for one in fields(Role)} - {"guess", "reads"}
LIBRARY_KEYS = {"name", "only", "leave_out", "replace", "opaque", "shadow"}
SANDBOX_KEYS = {"start", "memory_limit", "directories", "stdio"}
FUNCTION_KEYS = {"params", "returns", "on_failure", "printf", "drops", "longjmp", "remember"}


class Notes:
    """What an annotation file says. `used` has what was asked for, so that the rest is known to be about nothing."""

    def __init__(self, path: str = "") -> None:
        self.path = path
        self.used: set[tuple[str, ...]] = set()
        self.data: dict[str, Any] = {}
        if path:
            try:
                with open(path, "rb") as file:
                    self.data = tomllib.load(file)
            except OSError as error:
                raise BindError(f"{path}: {error.strerror}") from None
            except tomllib.TOMLDecodeError as error:
                raise BindError(f"{path}: {error}") from None
        self._known(self.data, {"library", "sandbox", "functions", "callbacks", "structs"}, "")
        self.library: dict[str, Any] = self.data.get("library", {})
        self.sandbox: dict[str, Any] = self.data.get("sandbox", {})
        self._known(self.library, LIBRARY_KEYS, "[library] ")
        self._known(self.sandbox, SANDBOX_KEYS, "[sandbox] ")
        for name, table in self.data.get("functions", {}).items():
            self._known(table, FUNCTION_KEYS, f"[functions.{name}] ")
        for name, table in self.data.get("callbacks", {}).items():
            self._known(table, {"params", "returns"}, f"[callbacks.{name}] ")

    def _known(self, table: Any, known: set[str], where: str) -> None:
        if not isinstance(table, dict):
            raise BindError(f"{self.path}: {where}is no table")
        for key in table:
            if key not in known:
                raise BindError(f"{self.path}: {where}'{key}' is not known (known: {', '.join(sorted(known))})")

    def function(self, name: str) -> dict[str, Any]:
        self.used.add(("functions", name))
        return self.data.get("functions", {}).get(name, {})

    def callback(self, name: str) -> dict[str, Any]:
        self.used.add(("callbacks", name))
        return self.data.get("callbacks", {}).get(name, {})

    def struct(self, name: str) -> dict[str, Any]:
        self.used.add(("structs", name))
        return self.data.get("structs", {}).get(name, {})

    def role(self, value: Any, where: str) -> Role:
        """A role from its table, or from its name alone."""
        table = {"role": value} if isinstance(value, str) else value
        self._known(table, ROLE_KEYS, f"{where}: ")
        if table.get("role") not in ROLES:
            raise BindError(f"{self.path}: {where}: no role '{table.get('role')}' (known: {', '.join(sorted(ROLES))})")
        for one in fields(Role):
            wanted = bool if one.type == "bool" else str
            if one.name in table and not isinstance(table[one.name], wanted):
                if wanted is str and isinstance(table[one.name], int):
                    table[one.name] = str(table[one.name])
                else:
                    raise BindError(f"{self.path}: {where}: '{one.name}' must be a {wanted.__name__}")
        return Role(**table)

    def listed(self, key: str, name: str) -> bool:
        """Whether a list of patterns in [library] has a name."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.library.get(key, []))

    def unused(self) -> list[str]:
        """Tables about what the headers do not have."""
        return [
            f"{self.path}: [{kind}.{name}]: the headers have none, or it is not bound"
            for kind in ("functions", "callbacks", "structs")
            for name in self.data.get(kind, {})
            if (kind, name) not in self.used
        ]
