"""Docstrings of names in source code, which Python itself does not keep: of enums' members, of constants."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

VARIABLE = re.compile(r"(?:BGPSVC|OTEL)_[A-Z_]*[A-Z]")
"""Name of an environment variable."""


def members(cls: type[Enum]) -> dict[str, str | None]:
    """Value of each member of an enum to the docstring below it."""
    body = ast.parse(inspect.getsource(cls)).body[0]
    assert isinstance(body, ast.ClassDef)
    told = {name: text for name, _value, text in _assigned(body.body)}
    return {str(member.value): told.get(name) for name, member in cls.__members__.items()}


def variables(package: Path) -> dict[str, str | None]:
    """Environment variables that a package's source names, with the docstring where one is a constant."""
    found: dict[str, str | None] = {}
    for path in sorted(package.rglob("*.py")):
        text = path.read_text()
        if VARIABLE.search(text):
            tree = ast.parse(text)
            strings = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
            for value in strings:
                if isinstance(value, str) and VARIABLE.fullmatch(value):
                    found.setdefault(value, None)
            found |= {value: told for _name, value, told in _assigned(tree.body) if value in found and told}
    return found


def _assigned(body: list[ast.stmt]) -> Iterator[tuple[str, object, str | None]]:
    """Names that get a constant: the name, the constant, and the docstring below."""
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
            text = None
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                text = str(following.value.value)
            for name in statement.targets:
                if isinstance(name, ast.Name):
                    yield name.id, statement.value.value, text
