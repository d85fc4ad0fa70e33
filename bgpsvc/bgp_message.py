"""BGP messages of what we know: the inverse of `exabgp/attributes.py` and `exabgp/nlri.py`.

RFC 4271 (4.1 header, 4.3 UPDATE), RFC 4760 (MP_REACH_NLRI, MP_UNREACH_NLRI), RFC 6793 (AS numbers of four
octets), RFC 1997, 4360 and 8092 (communities), RFC 4724 2 (End-of-RIB). Speakers never see these bytes:
ExaBGP writes what peers get. They are for readers of BMP and MRT, who want each route as a peer would
have sent it. So each attribute has the flags that its RFC specifies, the shortest form of its length, and
attributes come in the order of their codes but for MP_REACH_NLRI, which is the first (RFC 7606 5.1).

Lost is what the model does not keep: attributes that say nothing to us, and the order of communities.
`Attributes.preference` is no attribute of BGP (a policy of ours gave it) and is never written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum

from bgpsvc.model import Attributes, Family, Prefix, Segment, SegmentType, parse_address

MAXIMUM_MESSAGE = 4096
"""Octets of a message (RFC 4271 4.1)."""
MAXIMUM_EXTENDED = 65535
"""Octets of an extended message (RFC 8654)."""
AS_TRANS = 23456
"""What stands for an AS number of four octets where there is room for two (RFC 6793 9)."""
AFI = {Family.IPV4: 1, Family.IPV6: 2}
"""The address family numbers that the wire has (IANA)."""
SAFI_UNICAST = 1

_MARKER = b"\xff" * 16
_HEADER = struct.Struct("!16sHB")
_UPDATE_HEAD = _HEADER.size + 2 + 2
"""Octets of an UPDATE with nothing in it: the header and the two lengths."""
_MOST_ASNS = 255
"""AS numbers that a segment can count."""
_LARGEST_NLRI = 17
"""Octets of an IPv6 address with its length in front."""
_MP_HEAD = 4
"""Octets in front of the value of an attribute with an extended length."""

_WELL_KNOWN = 0x40
_OPTIONAL = 0x80
_OPTIONAL_TRANSITIVE = 0xC0
_EXTENDED_LENGTH = 0x10

_OCTETS = tuple((length + 7) // 8 for length in range(129))
"""How many octets hold a prefix of a length in bits."""
_UNCONFEDERATED = (SegmentType.SET, SegmentType.SEQUENCE)


class MessageType(IntEnum):
    """Types of messages (RFC 4271 4.1, RFC 2918 3)."""

    OPEN = 1
    UPDATE = 2
    NOTIFICATION = 3
    KEEPALIVE = 4
    ROUTE_REFRESH = 5


class AttributesTooLong(ValueError):
    """No message of the size that is allowed has room for these attributes and a prefix.

    Attributes as a peer sent them always fit, encoded with AS numbers as wide as it sent them. They may not
    where a policy of ours added to them, or an AS path of two octets a number is written with four.
    """


def message(kind: MessageType, body: bytes) -> bytes:
    """A whole message: marker, length, type, and the body."""
    return _HEADER.pack(_MARKER, _HEADER.size + len(body), kind) + body


def update_messages(
    attributes: Attributes | None,
    family: Family,
    announced: Sequence[Prefix],
    withdrawn: Sequence[Prefix],
    *,
    asn4: bool = True,
    maximum: int = MAXIMUM_MESSAGE,
) -> Iterator[bytes]:
    """UPDATE messages that withdraw `withdrawn` and then announce `announced`, all of them of the family.

    As few as hold them, each at most `maximum` octets. `attributes` may be None if nothing is announced.
    `asn4`: with AS numbers of four octets; otherwise with AS4_PATH and AS4_AGGREGATOR where they are needed.
    Nothing at all makes no message. AttributesTooLong, before anything is announced, if a prefix would not
    fit beside the attributes.
    """
    yield from _withdrawals(family, withdrawn, maximum)
    if announced:
        if attributes is None:
            raise ValueError("prefixes can't be announced without attributes")
        yield from _announcements(attributes, family, announced, asn4, maximum)


def end_of_rib(family: Family) -> bytes:
    """The UPDATE that ends the first exchange of routes of a family (RFC 4724 2)."""
    return _update(b"", b"" if family is Family.IPV4 else mp_unreach(family, b""), b"")


def encode_attributes(attributes: Attributes, mp_reach: bytes | None = None, *, asn4: bool = True) -> bytes:
    """The field Path Attributes of an UPDATE.

    `mp_reach` is the value of an MP_REACH_NLRI that takes the place of NEXT_HOP, which has room for an IPv4
    address only: ValueError without it for other next hops. LOCAL_PREF is written if the peer sent it.
    """
    if mp_reach is not None:
        return _attribute(_OPTIONAL, 14, mp_reach) + _encode_all(attributes, b"", asn4)
    if len(attributes.next_hop) != 4:
        raise ValueError("a next hop of IPv6 is part of MP_REACH_NLRI (RFC 4760 3)")
    return _encode_all(attributes, _attribute(_WELL_KNOWN, 3, attributes.next_hop), asn4)


def encode_nlri(prefixes: Iterable[Prefix]) -> bytes:
    """Prefixes as they are in an UPDATE: length in bits, and as few octets as hold them (RFC 4271 4.3)."""
    return b"".join([prefix[-1:] + prefix[: _OCTETS[prefix[-1]]] for prefix in prefixes])


def mp_reach_value(family: Family, next_hop: bytes, nlri: bytes) -> bytes:
    """The value of MP_REACH_NLRI (RFC 4760 3)."""
    return _afi_safi(family) + bytes((len(next_hop),)) + next_hop + b"\0" + nlri


def mp_unreach(family: Family, nlri: bytes) -> bytes:
    """The attribute MP_UNREACH_NLRI (RFC 4760 4)."""
    return _attribute(_OPTIONAL, 15, _afi_safi(family) + nlri)


def _withdrawals(family: Family, prefixes: Sequence[Prefix], maximum: int) -> Iterator[bytes]:
    if family is Family.IPV4:
        for nlri in _portions(prefixes, maximum - _UPDATE_HEAD):
            yield _update(nlri, b"", b"")
    else:
        for nlri in _portions(prefixes, maximum - _UPDATE_HEAD - _MP_HEAD - len(_afi_safi(family))):
            yield _update(b"", mp_unreach(family, nlri), b"")


def _announcements(
    attributes: Attributes, family: Family, prefixes: Sequence[Prefix], asn4: bool, maximum: int
) -> Iterator[bytes]:
    if family is Family.IPV4 and len(attributes.next_hop) == 4:
        field = encode_attributes(attributes, asn4=asn4)
        for nlri in _portions(prefixes, maximum - _UPDATE_HEAD - len(field)):
            yield _update(b"", field, nlri)
        return
    # Also IPv4 prefixes with a next hop of IPv6 (RFC 8950).
    rest = _encode_all(attributes, b"", asn4)
    before = _MP_HEAD + len(mp_reach_value(family, attributes.next_hop, b""))
    for nlri in _portions(prefixes, maximum - _UPDATE_HEAD - before - len(rest)):
        reach = _attribute(_OPTIONAL, 14, mp_reach_value(family, attributes.next_hop, nlri))
        yield _update(b"", reach + rest, b"")


def _portions(prefixes: Sequence[Prefix], room: int) -> Iterator[bytes]:
    """NLRI of at most `room` octets each."""
    if room < _LARGEST_NLRI and any(1 + _OCTETS[prefix[-1]] > room for prefix in prefixes):
        raise AttributesTooLong(f"the attributes leave {max(room, 0)} octets of a message for prefixes")
    portion: list[bytes] = []
    size = 0
    for prefix in prefixes:
        packed = prefix[-1:] + prefix[: _OCTETS[prefix[-1]]]
        size += len(packed)
        if size > room:
            yield b"".join(portion)
            portion, size = [], len(packed)
        portion.append(packed)
    if portion:
        yield b"".join(portion)


def _update(withdrawn: bytes, attributes: bytes, nlri: bytes) -> bytes:
    body = struct.pack("!H", len(withdrawn)) + withdrawn + struct.pack("!H", len(attributes)) + attributes
    return message(MessageType.UPDATE, body + nlri)


def _afi_safi(family: Family) -> bytes:
    return struct.pack("!HB", AFI[family], SAFI_UNICAST)


def _attribute(flags: int, code: int, value: bytes) -> bytes:
    if len(value) > 0xFF:
        return struct.pack("!BBH", flags | _EXTENDED_LENGTH, code, len(value)) + value
    return bytes((flags, code, len(value))) + value


def _encode_all(attributes: Attributes, next_hop: bytes, asn4: bool) -> bytes:
    """All but MP_REACH_NLRI, in the order of their codes; `next_hop` is the whole attribute, or nothing."""
    path = _attribute(_WELL_KNOWN, 2, _as_path(attributes.as_path, asn4))
    origin = _attribute(_WELL_KNOWN, 1, bytes((attributes.origin,)))
    return origin + path + next_hop + b"".join(_optional(attributes, asn4))


def _optional(attributes: Attributes, asn4: bool) -> Iterator[bytes]:
    """All behind NEXT_HOP."""
    if attributes.med is not None:
        yield _attribute(_OPTIONAL, 4, struct.pack("!I", attributes.med))
    if attributes.local_pref is not None:
        yield _attribute(_WELL_KNOWN, 5, struct.pack("!I", attributes.local_pref))
    if attributes.atomic_aggregate:
        yield _attribute(_WELL_KNOWN, 6, b"")
    if attributes.aggregator is not None:
        yield _attribute(_OPTIONAL_TRANSITIVE, 7, _aggregator(attributes.aggregator, asn4))
    if attributes.communities:
        yield _attribute(_OPTIONAL_TRANSITIVE, 8, _numbers("I", attributes.communities))
    if attributes.extended_communities:
        yield _attribute(_OPTIONAL_TRANSITIVE, 16, _numbers("Q", attributes.extended_communities))
    if not asn4:
        yield from _for_old_speakers(attributes)
    if attributes.large_communities:
        triples = b"".join(struct.pack("!3I", *triple) for triple in attributes.large_communities)
        yield _attribute(_OPTIONAL_TRANSITIVE, 32, triples)


def _for_old_speakers(attributes: Attributes) -> Iterator[bytes]:
    """RFC 6793 4.2.2: what did not fit into two octets, if anything did not. Confederations stay out (3)."""
    segments = [segment for segment in attributes.as_path if segment.type in _UNCONFEDERATED]
    if any(asn > 0xFFFF for segment in segments for asn in segment.asns):
        yield _attribute(_OPTIONAL_TRANSITIVE, 17, _as_path(segments, True))
    if attributes.aggregator is not None and attributes.aggregator[0] > 0xFFFF:
        yield _attribute(_OPTIONAL_TRANSITIVE, 18, _aggregator(attributes.aggregator, True))


def _as_path(segments: Iterable[Segment], asn4: bool) -> bytes:
    parts = []
    for segment in segments:
        # RFC 4271 5.1.2: a sequence that is full goes on in another one.
        for start in range(0, len(segment.asns), _MOST_ASNS):
            asns = segment.asns[start : start + _MOST_ASNS]
            parts.append(bytes((segment.type, len(asns))) + _asns(asns, asn4))
    return b"".join(parts)


def _aggregator(aggregator: tuple[int, str], asn4: bool) -> bytes:
    return _asns(aggregator[:1], asn4) + parse_address(aggregator[1])


def _asns(asns: Sequence[int], asn4: bool) -> bytes:
    if asn4:
        return _numbers("I", asns)
    return _numbers("H", [asn if asn <= 0xFFFF else AS_TRANS for asn in asns])


def _numbers(code: str, values: Sequence[int]) -> bytes:
    return struct.pack(f"!{len(values)}{code}", *values)
