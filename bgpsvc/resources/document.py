"""A YAML text as nodes with positions: what was written, not what YAML 1.1 would make of it.

Scalars keep their spelling, because YAML 1.1 turns `1.10` (an ASN), `1:30` or `012345` (a password) into
other numbers. Only a plain true or false, and the absence of a value, are resolved.
"""

from __future__ import annotations

from typing import Any

import yaml

from bgpsvc.resources.draft import Path

# libyaml reads a list of 100,000 prefixes about ten times as fast as the parser in Python.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STANDARD = "tag:yaml.org,2002:"
_TRUE = frozenset({"true", "yes", "on"})


_DEEPEST = 50


class _Loader(_Base):  # type: ignore[misc]
    """Bounds the nesting: the composer calls itself, and deep brackets would overrun the C stack."""

    _depth = 0

    def descend_resolver(self, parent: yaml.Node | None, index: object) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            line, column = position(parent) if parent is not None else (1, 1)
            raise Unreadable(line, column, f"nested more than {_DEEPEST} levels deep")

    def ascend_resolver(self) -> None:
        self._depth -= 1


class Unreadable(ValueError):
    """The text is not one YAML document. `line` and `column` count from 1."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


def compose(text: str) -> yaml.Node | None:
    """The root node of the only document, None if there is none. Raises Unreadable."""
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        context = f"{error.context}: " if error.context else ""
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise Unreadable(line, column, f"{context}{error.problem}") from None
    except yaml.reader.ReaderError as error:
        # libyaml counts its offset in bytes, PyYAML in characters: look for the character ourselves.
        match = yaml.reader.Reader.NON_PRINTABLE.search(text)
        line, column = _position(text, match.start() if match else 0)
        raise Unreadable(line, column, f"a character that YAML does not allow: {error.reason}") from None
    except UnicodeEncodeError as error:
        line, column = _position(text, error.start)
        raise Unreadable(
            line, column, "a character that YAML does not allow: half of a surrogate pair"
        ) from None
    return node


def _position(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def position(node: yaml.Node) -> tuple[int, int]:
    """Line and column of a node, from 1."""
    return node.start_mark.line + 1, node.start_mark.column + 1


def is_null(node: yaml.Node) -> bool:
    """True if a key has no value."""
    return isinstance(node, yaml.ScalarNode) and node.tag == _STANDARD + "null"


def scalar(node: yaml.Node) -> object:
    """A scalar as bool or text; ValueError if it is none or has a tag of its own."""
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(
            f"is a {'mapping' if isinstance(node, yaml.MappingNode) else 'list'}, not a single value"
        )
    text = str(node.value)
    if node.tag == _STANDARD + "bool":  # never that of quoted text
        return text.lower() in _TRUE
    if not node.tag.startswith(_STANDARD):
        raise ValueError(f"has the tag {node.tag}, which means nothing here")
    return text


def locate(root: yaml.Node, path: Path) -> tuple[yaml.Node, bool]:
    """The node of a path; if it is not in the text, the innermost one around it and False."""
    node = root
    for step in path:
        inner = _step(node, step)
        if inner is None:
            return node, False
        node = inner
    return node, True


def _step(node: yaml.Node, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return node.value[step] if step < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == step:
                return value  # type: ignore[no-any-return]
    return None
