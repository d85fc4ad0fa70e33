"""Resources whose fields may be missing because what was written for them is not valid.

A file with one bad value still deserves the answer to every other question: are names unique, do
tunnel CIDRs collide? So rules that look at several fields take a `Draft`, which yields only the
fields that are known to be good. A finished model is a draft without gaps (`draft_of`), so the same
rules guard the models when something else than a file makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar

from pydantic import BaseModel

T = TypeVar("T")
Path = tuple[str | int, ...]
IPNetwork = IPv4Network | IPv6Network


class Invalid:
    """What stands in a draft for a value that was refused; `text` is what was written, if that is text."""

    __slots__ = ("text",)

    def __init__(self, text: str | None = None) -> None:
        self.text = text


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken rule: where, why, and what would be allowed ("" if there is nothing to choose from)."""

    path: Path
    message: str
    allowed: str = ""


class Draft:
    """The good fields of one resource. Sections are drafts again, lists are tuples."""

    __slots__ = ("_fields", "path")

    def __init__(self, path: Path, fields: Mapping[str, object]) -> None:
        self.path = path
        self._fields = fields

    def at(self, *steps: str | int) -> Path:
        """The path of something below this resource."""
        return (*self.path, *steps)

    def get(self, key: str, kind: type[T]) -> T | None:
        """The value of a field, None if it is absent or was refused."""
        value = self._fields.get(key)
        return value if isinstance(value, kind) else None

    def written(self, key: str) -> str | None:
        """The value as text even if it was refused, for names that others refer to."""
        value = self._fields.get(key)
        if isinstance(value, Invalid):
            return value.text
        return None if value is None else str(value)

    def absent(self, key: str) -> bool:
        """True if the field is known to have no value; a refused value is not absent."""
        return self._fields.get(key, self) is None

    def section(self, key: str) -> Draft | None:
        """A nested resource."""
        return self.get(key, Draft)

    def sections(self, key: str) -> tuple[Draft, ...]:
        """The nested resources of a list that could be read."""
        return tuple(item for item in self.get(key, tuple) or () if isinstance(item, Draft))

    def items(self, key: str, kind: type[T]) -> Iterator[tuple[Path, T]]:
        """The good items of a list with their paths."""
        for index, item in enumerate(self.get(key, tuple) or ()):
            if isinstance(item, kind):
                yield self.at(key, index), item

    def networks(self, key: str) -> list[tuple[Path, IPNetwork]]:
        """The good networks of a list, or the one network of a single field, with their paths."""
        value = self._fields.get(key)
        if isinstance(value, IPv4Network | IPv6Network):
            return [(self.at(key), value)]
        return [*self.items(key, IPv4Network), *self.items(key, IPv6Network)]

    def count(self, key: str) -> int | None:
        """How many items a list has, refused ones included; None if it is not a list."""
        value = self.get(key, tuple)
        return None if value is None else len(value)


class PartialDraft(Draft):
    """The draft of an `Intent` that has only some of its resources; `names` has the names of all, by kind."""

    __slots__ = ("names",)

    def __init__(self, fields: Mapping[str, object], names: Mapping[str, Collection[str]]) -> None:
        super().__init__((), fields)
        self.names = names


Rule = Callable[[Draft], Iterable[Fault]]


def draft_of(model: BaseModel, path: Path = ()) -> Draft:
    """A finished model as a draft without gaps."""
    return Draft(path, {key: _wrapped(value, (*path, key)) for key, value in model})


def _wrapped(value: object, path: Path) -> object:
    if isinstance(value, BaseModel):
        return draft_of(value, path)
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        return tuple(draft_of(item, (*path, index)) for index, item in enumerate(value))
    return value
