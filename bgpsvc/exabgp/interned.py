"""Equal path attributes that came the same way become one object.

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

    def of_json(self, content: Mapping[str, Any], next_hop: str, ibgp: bool) -> Judged:
        """See `attributes_of`."""
        key = orjson.dumps((content, next_hop, ibgp))
        known = self._by_text.get(key)
        if known is None:
            try:
                known = attributes_of(content, next_hop, ibgp)
            except MalformedAttributes as error:
                known = error
            self._by_text[key] = known
            limit(self._by_text, INTERNED)
        return known

    def of_line(self, text: bytes, peering: Peering) -> Judged:
        """`text` is the end of a line of `packed`: next hop and attributes. See `unpack_attributes`."""
        # What the octets mean depends on the peering too; in base64 there is no such octet.
        key = text + _MARKS[peering.asn4][peering.ibgp]
        known = self._by_text.get(key)
        if known is None:
            next_hop, _, packed = text.partition(b" ")
            try:
                known = unpack_attributes(a2b_base64(packed), a2b_base64(next_hop), peering)
            except MalformedAttributes as error:
                known = error
            self._by_text[key] = known
            limit(self._by_text, INTERNED)
        return known


_MARKS = ((b"!", b"#"), (b"$", b"%"))


def limit(entries: dict[K, V], most: int) -> None:
    """Drop the oldest tenth of a dictionary with more than `most` entries."""
    if len(entries) > most:
        for old in list(islice(entries, max(1, most // 10))):
            del entries[old]
