"""JSON and YAML as the clouds' command lines print them, as nodes. Several documents in a file are usual:
the answers of several commands, one after the other.

Of YAML the values stay text: `1.10` is no number here. References (`&a`, `*a`) are refused: no cloud writes
them, and a few lines of them can stand for a document without end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from bgpsvc.importing.nodes import Node
from bgpsvc.importing.notes import refused, shown

DEEPEST = 40
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def parse(text: str) -> list[Node]:
    """All documents of a text, JSON if it begins like JSON. Raises Refused."""
    begins = text.lstrip()[:1]
    documents = list(_json(text) if begins in ("{", "[") else _yaml(text))
    several = len(documents) > 1
    return [Node(value, f"document {number}" if several else "") for number, value in enumerate(documents, 1)]


def _json(text: str) -> Iterator[object]:
    decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number)
    at = _skip(text, 0)
    while at < len(text):
        try:
            value, end = decoder.raw_decode(text, at)
        except RecursionError:
            raise refused("", "is nested too deeply", f"up to {DEEPEST} levels") from None
        except json.JSONDecodeError as error:
            # Of what the text has there nothing is shown: it may be part of a key.
            reason = f"is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})"
            raise refused("", reason) from None
        except ValueError as error:
            raise refused("", f"is not valid JSON: {error}") from None
        _check_depth(value, 0)
        yield value
        at = _skip(text, end)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {shown(key)} is given twice in the same object")
        found[key] = value
    return found


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is no number")


def _check_depth(value: object, depth: int) -> None:
    if depth > DEEPEST:
        raise refused("", "is nested too deeply", f"up to {DEEPEST} levels")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        _check_depth(item, depth + 1)


def _yaml(text: str) -> Iterator[object]:
    try:
        _check_events(text)
        for node in yaml.compose_all(text, Loader=_Loader):
            if node is not None:
                yield _plain(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise refused("", f"is neither JSON nor YAML{place}") from None
    except (yaml.YAMLError, UnicodeEncodeError):
        raise refused("", "is neither JSON nor YAML: it has a character that is not allowed") from None


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise refused("", "has a YAML reference (*name), which no cloud writes", "values only")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise refused("", "is nested too deeply", f"up to {DEEPEST} levels")


def _plain(node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        found: dict[str, object] = {}
        for key, value in node.value:
            name = str(key.value)
            if name in found:
                line = key.start_mark.line + 1
                raise refused("", f"the key {shown(name)} is given twice (line {line})", "once")
            found[name] = _plain(value)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    assert isinstance(node, yaml.ScalarNode), "there is no fourth kind"
    plain = str(node.value)
    return None if plain in ("", "null", "~") and not node.style else plain
