"""Equal path attributes become one object, whichever way they came.

The oldest tenth goes when there are too many; what is still in use comes back with its next UPDATE.
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Mapping
from itertools import islice
from typing import Any, TypeVar

import orjson

from bgpsvc.exabgp.attributes import MalformedAttributes, attributes_of, unpack_attributes
from bgpsvc.exabgp.rfc7606 import Peering
from bgpsvc.model import Attributes

INTERNED = 100_000

Judged = Attributes | MalformedAttributes
"""Attributes, or why the UPDATE that has them is treated as a withdrawal."""
K = TypeVar("K")
V = TypeVar("V")


class Interned:
    """The attributes of one speaker's sessions."""

    def __init__(self) -> None:
        self._by_text: dict[bytes, Judged] = {}
        self._by_value: dict[Attributes, Attributes] = {}

    def of_json(self, content: Mapping[str, Any], next_hop: str, ibgp: bool) -> Judged:
        """See `attributes_of`."""
        key = orjson.dumps((content, next_hop, ibgp))
        known = self._by_text.get(key)
        if known is None:
            try:
                known = self._one(attributes_of(content, next_hop, ibgp))
            except MalformedAttributes as error:
                known = error
            remember(self._by_text, key, known, INTERNED)
        return known

    def of_line(self, text: bytes, peering: Peering) -> Judged:
        """`text` is the end of a line of `packed`: next hop and attributes. See `unpack_attributes`."""
        # What the octets mean depends on the peering too; in base64 there is no such octet.
        key = text + _MARKS[peering.asn4][peering.ibgp]
        known = self._by_text.get(key)
        if known is None:
            next_hop, _, packed = text.partition(b" ")
            try:
                known = self._one(unpack_attributes(a2b_base64(packed), a2b_base64(next_hop), peering))
            except MalformedAttributes as error:
                known = error
            remember(self._by_text, key, known, INTERNED)
        return known

    def _one(self, attributes: Attributes) -> Attributes:
        known = self._by_value.get(attributes)
        if known is None:
            known = attributes
            remember(self._by_value, attributes, attributes, INTERNED)
        return known


_MARKS = ((b"!", b"#"), (b"$", b"%"))


def remember(where: dict[K, V], key: K, value: V, most: int) -> None:
    """Put it into a dictionary that keeps `most` entries; the oldest tenth goes when it is full."""
    if len(where) >= most:
        for old in list(islice(where, max(1, most // 10))):
            del where[old]
    where[key] = value
