"""Path attributes to `Attributes`: from ExaBGP's JSON, or as they were on the wire.

The speaker applies RFC 7606 to attributes that can't be parsed. What it lets through although the same
RFC asks for treat-as-withdraw is refused here: an undefined ORIGIN (7.1) and missing well-known
mandatory attributes (3 d). AS_PATH is missing in ExaBGP's JSON also when it is empty, which is
right from a peer of our own AS only.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from bgpsvc.exabgp.rfc7606 import EXTENDED_LENGTH, Peering
from bgpsvc.model import Attributes, Origin, Segment, SegmentType, format_address, parse_address

_ORIGINS = {"igp": Origin.IGP, "egp": Origin.EGP, "incomplete": Origin.INCOMPLETE}
_SEGMENTS = {
    "as-set": SegmentType.SET,
    "as-sequence": SegmentType.SEQUENCE,
    "as-confed-sequence": SegmentType.CONFED_SEQUENCE,
    "as-sequence-confed": SegmentType.CONFED_SEQUENCE,
    "as-confed-set": SegmentType.CONFED_SET,
    "as-set-confed": SegmentType.CONFED_SET,
}


_NUMBERED_ORIGINS = tuple(Origin)
_NUMBERED_SEGMENTS = {int(segment): segment for segment in SegmentType}


class MalformedAttributes(ValueError):
    """The UPDATE has to be treated as a withdrawal of its prefixes (RFC 7606 2); the text says why."""


def attributes_of(content: Mapping[str, Any], next_hop: str, ibgp: bool) -> Attributes:
    """`content` is the JSON object `attribute`, `next_hop` the text that goes with the prefixes.

    Raises MalformedAttributes, and KeyError, TypeError or ValueError if ExaBGP wrote something unknown.
    """
    origin = content.get("origin")
    if origin is not None and origin not in _ORIGINS:
        raise MalformedAttributes("ORIGIN has an undefined value (RFC 7606 7.1)")
    as_path = _as_path(content.get("as-path", {}))
    _require(origin is not None, bool(as_path) or ibgp, next_hop != "no-nexthop")
    return Attributes(
        next_hop=parse_address(next_hop),
        origin=_ORIGINS[str(origin)],
        as_path=as_path,
        med=content.get("med"),
        local_pref=content.get("local-preference"),
        atomic_aggregate=bool(content.get("atomic-aggregate", False)),
        aggregator=_aggregator(content.get("aggregator")),
        communities=tuple(sorted((high << 16) | low for high, low in content.get("community", ()))),
        large_communities=tuple(sorted((a, b, c) for a, b, c in content.get("large-community", ()))),
        extended_communities=tuple(sorted(item["value"] for item in content.get("extended-community", ()))),
    )


def _require(origin: bool, as_path: bool, next_hop: bool) -> None:
    """RFC 7606 3 d: the well-known mandatory attributes (RFC 4271 5) are there."""
    if not origin:
        raise MalformedAttributes("ORIGIN is missing (RFC 7606 3 d)")
    if not as_path:
        raise MalformedAttributes("AS_PATH is missing or empty in an UPDATE from another AS (RFC 7606 3 d)")
    if not next_hop:
        raise MalformedAttributes("NEXT_HOP is missing (RFC 7606 3 d)")


def unpack_attributes(data: bytes, next_hop: bytes, peering: Peering) -> Attributes:
    """`data` is a field Path Attributes (RFC 4271 4.3) that `rfc7606` found well formed.

    `next_hop` is that of MP_REACH_NLRI; if it is empty the attribute NEXT_HOP counts. Raises
    MalformedAttributes, and ValueError, IndexError, KeyError or struct.error if it is not well formed.
    """
    values = _values(data)
    get = values.get
    origin = get(1)
    as_path = _segments(get(2, b""), peering.asn4)
    next_hop = next_hop or get(3, b"")
    _require(origin is not None, bool(as_path) or peering.ibgp, bool(next_hop))
    return Attributes(
        next_hop=next_hop,
        origin=_NUMBERED_ORIGINS[origin[0]] if origin else Origin.INCOMPLETE,
        as_path=as_path,
        med=_number(get(4)),
        local_pref=_number(get(5)),
        atomic_aggregate=6 in values,
        aggregator=_unpack_aggregator(get(7)),
        communities=_sorted_numbers(get(8), "I", 4),
        # RFC 8092 5: one that is there twice counts once.
        large_communities=tuple(sorted(set(struct.iter_unpack("!3I", get(32, b""))))),
        extended_communities=_sorted_numbers(get(16), "Q", 8),
    )


def _values(data: bytes) -> dict[int, bytes]:
    """The value of each attribute, by its code."""
    found = {}
    at, end = 0, len(data)
    while at < end:
        if data[at] & EXTENDED_LENGTH:
            value_at = at + 4
            following = value_at + (data[at + 2] << 8 | data[at + 3])
        else:
            value_at = at + 3
            following = value_at + data[at + 2]
        found[data[at + 1]] = data[value_at:following]
        at = following
    if at != end:
        raise ValueError("the attributes' lengths do not add up")
    return found


def _segments(value: bytes, asn4: bool) -> tuple[Segment, ...]:
    size, code = (4, "I") if asn4 else (2, "H")
    found = []
    at, end = 0, len(value)
    while at < end:
        count = value[at + 1]
        following = at + 2 + size * count
        asns = struct.unpack(f"!{count}{code}", value[at + 2 : following])
        found.append(Segment(_NUMBERED_SEGMENTS[value[at]], asns))
        at = following
    return tuple(found)


def _sorted_numbers(value: bytes | None, code: str, size: int) -> tuple[int, ...]:
    return tuple(sorted(struct.unpack(f"!{len(value) // size}{code}", value))) if value else ()


def _number(value: bytes | None) -> int | None:
    return None if value is None else int.from_bytes(value, "big")


def _unpack_aggregator(value: bytes | None) -> tuple[int, str] | None:
    return None if value is None else (int.from_bytes(value[:-4], "big"), format_address(value[-4:]))


def _as_path(content: Mapping[str, Any]) -> tuple[Segment, ...]:
    # Segments are numbered with text keys, in order.
    return tuple(
        Segment(_SEGMENTS[segment["element"]], tuple(segment["value"])) for segment in content.values()
    )


def _aggregator(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    asn, _, address = text.partition(":")
    return int(asn), address
