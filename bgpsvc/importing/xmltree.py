"""XML as mappings, without what makes XML dangerous: a document type is refused before anything of it is
used, so there are no entities but the five of XML itself and nothing is ever fetched; depth and number of
elements are bounded.

An element with elements inside becomes a mapping of their tags, any other its text. Attributes are under `@`
and their name. Of an element that is there several times only the tags that may be become a list; for those
one is a list, too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from xml.parsers import expat

from bgpsvc.importing.nodes import Node
from bgpsvc.importing.notes import Refused, refused, shown

DEEPEST = 20
MOST_ELEMENTS = 20_000


def parse(text: str, where: str, repeated: Collection[str]) -> Node:
    """The root element, as a mapping with its tag. `repeated` are the tags that may stand several times.

    Raises Refused for what is not well-formed, has a document type, or is beyond the bounds.
    """
    builder = _Builder(where, repeated)
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise refused(where, "has a character that is none (half of a surrogate pair)") from None
    parser = expat.ParserCreate("utf-8")  # whatever the declaration says: it is decoded already
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = builder.doctype
    parser.EntityDeclHandler = builder.doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        reason = expat.errors.messages[error.code]
        place = f"line {error.lineno}, column {error.offset + 1}"
        raise refused(where, f"is not well-formed XML: {reason} ({place})") from None
    return Node(builder.root, where)


@dataclass(slots=True)
class _Element:
    tag: str
    content: dict[str, object] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)


class _Builder:
    """Takes expat's calls."""

    def __init__(self, where: str, repeated: Collection[str]) -> None:
        self.root: dict[str, object] = {}
        self._where = where
        self._repeated = repeated
        self._open: list[_Element] = []
        self._count = 0

    def doctype(self, *_: object) -> None:
        """A document type, or an entity of one."""
        raise refused(self._where, "has a document type (<!DOCTYPE>), which no cloud writes", "XML without")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        self._count += 1
        if self._count > MOST_ELEMENTS or len(self._open) >= DEEPEST:
            bounds = f"up to {MOST_ELEMENTS} elements, {DEEPEST} deep"
            raise refused(self._where, "has too many elements", bounds)
        element = _Element(tag)
        element.content.update({f"@{name}": value for name, value in attributes.items()})
        self._open.append(element)

    def data(self, text: str) -> None:
        """Text inside an element."""
        self._open[-1].text.append(text)

    def end(self, tag: str) -> None:
        """An element ends."""
        element = self._open.pop()
        text = "".join(element.text).strip()
        if element.content and text:
            raise self._mixed(tag)
        self._put(tag, element.content or text)

    def _put(self, tag: str, value: object) -> None:
        into = self._open[-1].content if self._open else self.root
        if tag in self._repeated:
            items = into.setdefault(tag, [])
            assert isinstance(items, list), "only this makes them"
            items.append(value)
        elif tag in into:
            raise refused(self._where, f"<{_plain(tag)}> is there twice in the same element", "once")
        else:
            into[tag] = value

    def _mixed(self, tag: str) -> Refused:
        return refused(self._where, f"<{_plain(tag)}> has both text and elements", "one of them")


def _plain(tag: str) -> str:
    return shown(tag)[1:-1]
