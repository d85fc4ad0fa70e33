"""Path attributes from ExaBGP's JSON to `Attributes`.

ExaBGP applies RFC 7606 to attributes that can't be parsed. What it lets through although the same RFC
asks for treat-as-withdraw is refused here: an undefined ORIGIN (7.1) and missing well-known
mandatory attributes (3 d). AS_PATH is missing in ExaBGP's JSON also when it is empty, which is
right from a peer of our own AS only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bgpsvc.model import Attributes, Origin, Segment, SegmentType, parse_address

_ORIGINS = {"igp": Origin.IGP, "egp": Origin.EGP, "incomplete": Origin.INCOMPLETE}
_SEGMENTS = {
    "as-set": SegmentType.SET,
    "as-sequence": SegmentType.SEQUENCE,
    "as-confed-sequence": SegmentType.CONFED_SEQUENCE,
    "as-sequence-confed": SegmentType.CONFED_SEQUENCE,
    "as-confed-set": SegmentType.CONFED_SET,
    "as-set-confed": SegmentType.CONFED_SET,
}


class MalformedAttributes(ValueError):
    """The UPDATE has to be treated as a withdrawal of its prefixes (RFC 7606 2); the text says why."""


def attributes_of(content: Mapping[str, Any], next_hop: str, ibgp: bool) -> Attributes:
    """`content` is the JSON object `attribute`, `next_hop` the text that goes with the prefixes.

    Raises MalformedAttributes, and KeyError, TypeError or ValueError if ExaBGP wrote something unknown.
    """
    origin = content.get("origin")
    if origin is None:
        raise MalformedAttributes("ORIGIN is missing (RFC 7606 3 d)")
    if origin not in _ORIGINS:
        raise MalformedAttributes("ORIGIN has an undefined value (RFC 7606 7.1)")
    as_path = _as_path(content.get("as-path", {}))
    if not as_path and not ibgp:
        raise MalformedAttributes("AS_PATH is missing or empty in an UPDATE from another AS (RFC 7606 3 d)")
    if next_hop == "no-nexthop":
        raise MalformedAttributes("NEXT_HOP is missing (RFC 7606 3 d)")
    return Attributes(
        next_hop=parse_address(next_hop),
        origin=_ORIGINS[origin],
        as_path=as_path,
        med=content.get("med"),
        local_pref=content.get("local-preference"),
        atomic_aggregate=bool(content.get("atomic-aggregate", False)),
        aggregator=_aggregator(content.get("aggregator")),
        communities=tuple(sorted((high << 16) | low for high, low in content.get("community", ()))),
        large_communities=tuple(sorted((a, b, c) for a, b, c in content.get("large-community", ()))),
        extended_communities=tuple(sorted(item["value"] for item in content.get("extended-community", ()))),
    )


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
