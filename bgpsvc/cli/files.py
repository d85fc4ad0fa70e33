"""The files of `-f`: read, checked resource by resource, merged to one document, each value with its place.

Resources may refer to others that only the daemon has, so rules between resources are left to it; what it
refuses is found again here by its pointer. Secrets that stand in files of their own are read here too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from bgpsvc.cli.client import Json, Refused
from bgpsvc.cli.errors import CliError
from bgpsvc.configfile import decode, secret_reader
from bgpsvc.resources import ConfigError, Intent, Problem, document
from bgpsvc.resources.draft import Path as Place
from bgpsvc.resources.fields import MASK
from bgpsvc.resources.kinds import KIND_OF
from bgpsvc.resources.loader import compose, load_part
from bgpsvc.resources.models import Resource
from bgpsvc.resources.problems import path_text
from bgpsvc.resources.schema import is_secret

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    root: yaml.Node


@dataclass(slots=True)
class Sources:
    """What the files have together. `document` maps kinds to their resources as written, secrets included."""

    document: Json = field(default_factory=dict, repr=False)
    _places: dict[tuple[str, str], tuple[_File, Place]] = field(default_factory=dict)

    def add(self, file: _File, part: Json) -> Iterator[Problem]:
        """Takes the resources of a file; yields a problem for each that is there already."""
        for kind, items in part.items():
            for index, item in enumerate(items):
                place: Place = (kind, index)
                other = self._places.setdefault((kind, item["name"]), (file, place))
                if other == (file, place):
                    self.document.setdefault(kind, []).append(item)
                    continue
                where = _position(*other)
                yield _problem(
                    file, (*place, "name"), f"there is this {KIND_OF[kind].label} already, at {where}"
                )

    def problem(self, pointer: str, detail: str) -> str:
        """What the daemon says of a place, `/vpn_connections/conn1/tunnels/0`, with the line it is on."""
        steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
        found = self._places.get((steps[0], steps[1])) if len(steps) > 1 else None
        if found is None and len(steps) > 1 and steps[1].isdecimal():
            items = self.document.get(steps[0], ())
            if int(steps[1]) < len(items):
                found = self._places[steps[0], items[int(steps[1])]["name"]]
        if found is None:
            words = f"{' '.join(steps[:2])} {path_text(tuple(steps[2:]))}".strip()
            return f"{words}: {detail}" if words else detail
        file, place = found
        inner = tuple(int(step) if step.isdecimal() else step for step in steps[2:])
        return str(_problem(file, (*place, *inner), detail))


def read(given: Sequence[str], *, secrets: bool = True) -> Sources:
    """Files, directories of them, and `-` for standard input, merged. CliError with every problem.

    Without `secrets` the files that hold secrets stay unread.
    """
    merged = Sources()
    problems: list[Problem] = []
    for name in dict.fromkeys(name for path in given for name in _names(path)):
        content = _content(name)
        folder = Path() if name == "-" else Path(name).parent
        shown = "<stdin>" if name == "-" else name
        try:
            root = compose(decode(content, shown), shown)
            masks = frozenset(_take_masks(root))
            part = load_part(root, shown, secret_reader(folder) if secrets else None)
            problems.extend(merged.add(_File(shown, root), _written(part, root, (), masks)))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise CliError(_counted(len(problems), "") + "\n" + "\n".join(map(str, problems)))
    return merged


@contextmanager
def refused_at(sources: Sources | None, under: str = "") -> Iterator[None]:
    """What the daemon refuses of these files gets its place in them; `under`: pointer of the document."""
    try:
        yield
    except Refused as refused:
        if sources is None or not refused.errors:
            raise
        lines = [sources.problem(pointer.removeprefix(under), detail) for pointer, detail in refused.errors]
        raise CliError("\n".join([_counted(len(lines), ", says the daemon"), *lines])) from None


def _counted(number: int, who: str) -> str:
    return f"{number} problem{'' if number == 1 else 's'}{who}"


def _names(path: str) -> Iterable[str]:
    """The path itself, or the YAML files of a directory in the order of their names."""
    if path == "-" or not Path(path).is_dir():
        return [path]
    found = sorted(p for p in Path(path).iterdir() if p.suffix in SUFFIXES and not p.name.startswith("."))
    if not found:
        raise CliError(f"{path} has no file whose name ends in {' or '.join(SUFFIXES)}")
    return [str(p) for p in found]


def _content(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise CliError(f"{name} can't be read: {error.strerror or error}") from None


def _take_masks(root: yaml.Node) -> Iterator[Place]:
    """Takes the masks of secrets out of a tree, where they would be refused; yields their places."""
    waiting: list[tuple[yaml.Node, Place]] = [(root, ())]
    while waiting:
        node, path = waiting.pop()
        if isinstance(node, yaml.SequenceNode):
            waiting += [(item, (*path, index)) for index, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            kept = []
            for key, value in node.value:
                place = (*path, str(key.value))
                if isinstance(value, yaml.ScalarNode) and value.value == MASK and is_secret(Intent, place):
                    yield place
                else:
                    kept.append((key, value))
                    waiting.append((value, place))
            node.value = kept


def _written(value: Any, node: yaml.Node, path: Place, masks: frozenset[Place]) -> Any:
    """A checked value as JSON has it, with no more keys than were written: defaults are the daemon's."""
    if isinstance(value, Resource):
        assert isinstance(node, yaml.MappingNode)
        found: Json = {}
        for key_node, inner in node.value:
            key = str(key_node.value)
            if not document.is_null(inner) and f"{key.removesuffix('_file')}_file" != key:
                found[key] = _written(getattr(value, key), inner, (*path, key), masks)
        # What a file held is sent in its place: the daemon cannot read the files of this machine.
        for key, inner_value in value:
            if isinstance(inner_value, SecretStr):
                found[key] = inner_value.get_secret_value()
        found.update({str(mask[-1]): MASK for mask in masks if mask[:-1] == path})
        return found
    if isinstance(value, tuple):
        assert isinstance(node, yaml.SequenceNode)
        return [
            _written(item, inner, (*path, index), masks)
            for index, (item, inner) in enumerate(zip(value, node.value, strict=True))
        ]
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, IPv4Address | IPv6Address | IPv4Network | IPv6Network):
        return str(value)
    return value


def _position(file: _File, place: Place) -> str:
    line, column = document.position(document.locate(file.root, place)[0])
    return f"{file.name}:{line}:{column}"


def _problem(file: _File, place: Place, message: str) -> Problem:
    line, column = document.position(document.locate(file.root, place)[0])
    return Problem(file.name, line, column, path_text(place), None, message)
