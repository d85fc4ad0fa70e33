"""Path attributes of a received UPDATE checked before ExaBGP parses them (RFC 7606).

An attribute that is optional and transitive comes from anywhere in the Internet, unread by whoever
passed it on. If a malformed one resets the session, a stranger far away takes down both tunnels at
once, and again after each restart; RFC 7606 exists to prevent that. ExaBGP follows it for some
attributes only. So the whole attribute field is walked here first, by the rules of the RFC:

- *attribute discard* for what does not take part in choosing a route, and for what the sender may
  not send on this session (ORIGINATOR_ID from another AS, AS4_PATH from a NEW speaker …);
- *treat-as-withdraw* for the rest: all prefixes of the UPDATE are taken for withdrawn;
- attributes that are no use to us (PMSI_TUNNEL, BGP-LS, AIGP, Prefix-SID, those unknown) are
  unrecognized optional attributes in the sense of RFC 4271 5: accepted whatever they contain, and
  left out, as nothing is ever passed on. Parsing them could only do harm.

MP_REACH_NLRI and MP_UNREACH_NLRI pass unchanged: they contain the prefixes, and where those can't be
located RFC 7606 3 j, 5.3 and 7.11 keep the session reset. They are non-transitive, so only the peer
itself can send them malformed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

OPTIONAL = 0x80
TRANSITIVE = 0x40
EXTENDED_LENGTH = 0x10

AS_PATH = 2
LOCAL_PREF = 5
AGGREGATOR = 7
ORIGINATOR_ID = 9
CLUSTER_LIST = 10
MP_REACH_NLRI = 14
MP_UNREACH_NLRI = 15
AS4_PATH = 17
AS4_AGGREGATOR = 18

AS_SET = 1
AS_SEQUENCE = 2
AS_CONFED_SEQUENCE = 3
AS_CONFED_SET = 4


@dataclass(frozen=True, slots=True)
class Peering:
    """What the meaning of attributes depends on: `asn4` was negotiated (RFC 6793), the peer is of our AS."""

    asn4: bool
    ibgp: bool

    @property
    def asn_size(self) -> int:
        """Bytes of an AS number in AS_PATH."""
        return 4 if self.asn4 else 2


@dataclass(frozen=True, slots=True)
class Checked:
    """`attributes` is what is left, well formed. `malformed` says why to treat the UPDATE as withdrawal.

    Then `attributes` are the MP attributes alone, which hold the prefixes to be withdrawn. `codes` are
    those of all attributes that were there.
    """

    attributes: bytes
    malformed: str | None
    codes: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Rule:
    """Of one recognized attribute: its specified flags, and what is wrong with a value (None: nothing)."""

    name: str
    flags: int
    fault: Callable[[bytes, Peering], str | None]
    discard: bool = False
    """Malformed, it is left out; otherwise the UPDATE is treated as withdrawal."""


def check(data: bytes, peering: Peering) -> Checked:
    """Walk the field Path Attributes of an UPDATE (RFC 4271 4.3)."""
    kept: list[bytes] = []
    multiprotocol: list[bytes] = []
    seen: set[int] = set()
    malformed = None
    for attribute in _walk(data):
        if attribute is None:
            # RFC 7606 4: the lengths don't add up. The prefixes outside of the attributes are still known.
            malformed = malformed or "the attributes' lengths do not add up (RFC 7606 4)"
            break
        flags, code, value, packed = attribute
        if code in (MP_REACH_NLRI, MP_UNREACH_NLRI):
            seen.add(code)
            kept.append(packed)
            multiprotocol.append(packed)
            continue
        if code in seen:
            # RFC 7606 3 g: the first one counts.
            continue
        seen.add(code)
        fault = _fault(flags, code, value, peering)
        if fault is None:
            kept.append(_clean(code, value))
        elif fault:
            malformed = malformed or fault
    wanted = kept if malformed is None else multiprotocol
    return Checked(b"".join(wanted), malformed, frozenset(seen))


def _walk(data: bytes) -> Iterator[tuple[int, int, bytes, bytes] | None]:
    """Flags, code, value, and the whole of each attribute; None at last if the lengths don't add up."""
    at, end = 0, len(data)
    while at < end:
        head = 4 if data[at] & EXTENDED_LENGTH else 3
        if at + head > end:
            yield None
            return
        following = at + head + int.from_bytes(data[at + 2 : at + head], "big")
        if following > end:
            yield None
            return
        yield data[at], data[at + 1], data[at + head : following], data[at:following]
        at = following


def _fault(flags: int, code: int, value: bytes, peering: Peering) -> str | None:
    """None if it is well formed, empty if it is to be discarded, else why the routes are withdrawn."""
    rule = _RULES.get(code)
    if rule is None:
        if flags & OPTIONAL:
            return ""
        # RFC 4271 6.3 resets the session. But it may be a newer thing that somebody far away sent.
        return f"attribute {code} is unknown and claims to be well-known (RFC 4271 6.3)"
    if _out_of_place(code, peering):
        return ""
    if (flags ^ rule.flags) & (OPTIONAL | TRANSITIVE):
        return f"{rule.name} has wrong flags (RFC 7606 3 c)"
    fault = rule.fault(value, peering)
    if fault is None:
        return None
    return "" if rule.discard else f"{rule.name} {fault}"


def _out_of_place(code: int, peering: Peering) -> bool:
    """Attributes that this peer may not send are discarded unread."""
    if code in (LOCAL_PREF, ORIGINATOR_ID, CLUSTER_LIST):
        # RFC 7606 7.5, 7.9, 7.10
        return not peering.ibgp
    # RFC 6793 6: between two NEW speakers.
    return code in (AS4_PATH, AS4_AGGREGATOR) and peering.asn4


def _clean(code: int, value: bytes) -> bytes:
    """The attribute with the flags as specified: unused bits and Partial say nothing to us, but to ExaBGP."""
    flags = _RULES[code].flags
    if len(value) > 255:
        return bytes((flags | EXTENDED_LENGTH, code)) + len(value).to_bytes(2, "big") + value
    return bytes((flags, code, len(value))) + value


# What makes a value malformed -------------------------------------------------------------------


def _origin(value: bytes, _: Peering) -> str | None:
    if len(value) != 1:
        return f"has length {len(value)} (RFC 7606 7.1)"
    return None if value[0] <= 2 else "has an undefined value (RFC 7606 7.1)"


def _as_path(value: bytes, peering: Peering) -> str | None:
    segments = _segments(value, peering.asn_size)
    if segments is None:
        return "is malformed (RFC 7606 7.2)"
    for kind, asns in segments:
        if kind in (AS_CONFED_SEQUENCE, AS_CONFED_SET):
            # We are in no confederation, so no peer is in ours.
            return "has a confederation segment (RFC 5065 5)"
        if bytes(peering.asn_size) in asns:
            return "contains AS 0 (RFC 7607 2)"
    return None


def _as4_path(value: bytes, _: Peering) -> str | None:
    segments = _segments(value, 4)
    if not segments:
        return "is malformed (RFC 6793 6)"
    return "contains AS 0 (RFC 7607 2)" if any(bytes(4) in asns for _, asns in segments) else None


def _segments(value: bytes, asn_size: int) -> list[tuple[int, list[bytes]]] | None:
    """Type and AS numbers of each segment; None if it is malformed (RFC 7606 7.2)."""
    found = []
    at = 0
    while at < len(value):
        if at + 2 > len(value):
            return None
        kind, count = value[at], value[at + 1]
        following = at + 2 + count * asn_size
        if kind not in (AS_SET, AS_SEQUENCE, AS_CONFED_SEQUENCE, AS_CONFED_SET):
            return None
        if count == 0 or following > len(value):
            return None
        asns = [value[i : i + asn_size] for i in range(at + 2, following, asn_size)]
        found.append((kind, asns))
        at = following
    return found


def _aggregator(value: bytes, peering: Peering) -> str | None:
    return _aggregating(value, peering.asn_size, "RFC 7606 7.7")


def _as4_aggregator(value: bytes, _: Peering) -> str | None:
    return _aggregating(value, 4, "RFC 6793 6")


def _aggregating(value: bytes, asn_size: int, source: str) -> str | None:
    if len(value) != asn_size + 4:
        return f"has length {len(value)} ({source})"
    return None if any(value[:asn_size]) else "contains AS 0 (RFC 7607 2)"


def _length(wanted: int, source: str) -> Callable[[bytes, Peering], str | None]:
    def fault(value: bytes, _: Peering) -> str | None:
        return None if len(value) == wanted else f"has length {len(value)} ({source})"

    return fault


def _multiple(unit: int, source: str) -> Callable[[bytes, Peering], str | None]:
    """One or more values of `unit` bytes."""

    def fault(value: bytes, _: Peering) -> str | None:
        return None if value and len(value) % unit == 0 else f"has length {len(value)} ({source})"

    return fault


_RULES = {
    1: _Rule("ORIGIN", TRANSITIVE, _origin),
    AS_PATH: _Rule("AS_PATH", TRANSITIVE, _as_path),
    3: _Rule("NEXT_HOP", TRANSITIVE, _length(4, "RFC 7606 7.3")),
    4: _Rule("MULTI_EXIT_DISC", OPTIONAL, _length(4, "RFC 7606 7.4")),
    LOCAL_PREF: _Rule("LOCAL_PREF", TRANSITIVE, _length(4, "RFC 7606 7.5")),
    6: _Rule("ATOMIC_AGGREGATE", TRANSITIVE, _length(0, "RFC 7606 7.6"), discard=True),
    AGGREGATOR: _Rule("AGGREGATOR", OPTIONAL | TRANSITIVE, _aggregator, discard=True),
    8: _Rule("COMMUNITIES", OPTIONAL | TRANSITIVE, _multiple(4, "RFC 7606 7.8")),
    ORIGINATOR_ID: _Rule("ORIGINATOR_ID", OPTIONAL, _length(4, "RFC 7606 7.9")),
    CLUSTER_LIST: _Rule("CLUSTER_LIST", OPTIONAL, _multiple(4, "RFC 7606 7.10")),
    16: _Rule("EXTENDED COMMUNITIES", OPTIONAL | TRANSITIVE, _multiple(8, "RFC 7606 7.14")),
    AS4_PATH: _Rule("AS4_PATH", OPTIONAL | TRANSITIVE, _as4_path, discard=True),
    AS4_AGGREGATOR: _Rule("AS4_AGGREGATOR", OPTIONAL | TRANSITIVE, _as4_aggregator, discard=True),
    25: _Rule("IPv6 EXTENDED COMMUNITIES", OPTIONAL | TRANSITIVE, _multiple(20, "RFC 7606 7.15")),
    32: _Rule("LARGE_COMMUNITY", OPTIONAL | TRANSITIVE, _multiple(12, "RFC 8092 5")),
}


# What there is nothing to say about -------------------------------------------------------------


@cache
def usual(peering: Peering) -> re.Pattern[bytes]:
    """Matches whole fields of attributes of which `check` leaves everything and finds no fault.

    Not all of those, but what routers write for routes of the Internet: each attribute once, in order,
    with the flags as specified, an AS path of one sequence. `check` walks any field, at ten times the cost.
    """
    number, zero = (b".{4}", b"\0{4}") if peering.asn4 else (b".{2}", b"\0{2}")
    size = peering.asn_size
    asn = b"(?!" + zero + b")" + number
    paths = [_octet(2 + size * n) + b"\x02" + _octet(n) + b"(?:" + asn + b"){%d}" % n for n in range(1, 26)]
    aggregator = b"(?:\xc0\x07" + _octet(size + 4) + asn + b".{4})?"
    local_pref = b"(?:\x40\x05\x04.{4})?" if peering.ibgp else b""
    return re.compile(
        b"\x40\x01\x01[\0-\x02]"
        b"(?:\x40\x02|\x50\x02\0)(?:\0|" + b"|".join(paths) + b")"
        b"(?:\x40\x03\x04.{4})?(?:\x80\x04\x04.{4})?"
        + local_pref
        + b"(?:\x40\x06\0)?"
        + aggregator
        + _several(8, 4)
        + _several(16, 8)
        + _several(32, 12),
        re.DOTALL,
    )


def _octet(value: int) -> bytes:
    return re.escape(bytes((value,)))


def _several(code: int, unit: int) -> bytes:
    """An optional transitive attribute with one or more values of `unit` bytes, in less than 256 bytes."""
    lengths = range(unit, 256, unit)
    values = b"|".join(_octet(length) + b".{%d}" % length for length in lengths)
    return b"(?:\xc0" + _octet(code) + b"(?:" + values + b"))?"
