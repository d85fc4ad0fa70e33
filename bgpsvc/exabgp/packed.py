"""The lines in which a speaker hands over plain UPDATEs: prefixes and attributes as they were on the wire.

    !FAMILY,PID,LOCAL,PEER,IBGP,ASN4 COUNTER WITHDRAWN ANNOUNCED NEXT_HOP ATTRIBUTES

The head names session and process: the IP version, the speaker's process, both addresses, whether the
peer is of our AS and whether AS numbers have four octets (RFC 6793), each 0 or 1. COUNTER counts the
session's lines as in JSON. The rest is base64, any of them may be empty: NLRI (RFC 4271 4.3, RFC 4760 5),
the next hop of IPv6 routes (16 bytes; that of IPv4 routes is among the attributes), path attributes
without MP_REACH_NLRI and MP_UNREACH_NLRI. What is withdrawn goes before what is announced.

The speaker has checked all of it: prefixes and attributes are well formed, and attributes that RFC 7606
discards are gone. A line needs no other line to be understood, so losing one harms nothing but itself.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from dataclasses import dataclass
from typing import NamedTuple

from bgpsvc.exabgp.rfc7606 import MP_REACH_NLRI, MP_UNREACH_NLRI, Peering
from bgpsvc.model import Family

MARK = b"!"
MOST_NLRI = 8192
"""Bytes of announced NLRI beyond which a line takes in no further UPDATE: about 2,000 prefixes."""

_OPTIONAL, _EXTENDED_OPTIONAL = 0x80, 0x90
_IPV6_UNICAST = b"\x00\x02\x01"
_LINK_LOCAL = re.compile(rb"\xfe[\x80-\xbf]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Head:
    """Whose line it is."""

    family: Family
    pid: int
    local: str
    peer: str
    peering: Peering

    def pack(self) -> bytes:
        """The first word of a line."""
        flags = f"{int(self.peering.ibgp)},{int(self.peering.asn4)}"
        return f"!{int(self.family)},{self.pid},{self.local},{self.peer},{flags}".encode("ascii")

    @classmethod
    def parse(cls, word: bytes) -> Head:
        """The inverse of `pack`; ValueError if it is something else."""
        family, pid, local, peer, ibgp, asn4 = word[1:].decode("ascii").split(",")
        return cls(Family(int(family)), int(pid), local, peer, Peering(asn4=asn4 == "1", ibgp=ibgp == "1"))


class Parts(NamedTuple):
    """A plain UPDATE taken apart. `next_hop` is that of MP_REACH_NLRI, else empty."""

    family: Family
    withdrawn: bytes
    announced: bytes
    next_hop: bytes
    attributes: bytes


def split(body: bytes) -> Parts | None:
    """An UPDATE's body (RFC 4271 4.3); None if there is anything about it that is not plain.

    Plain are IPv4 prefixes in their own fields, or IPv6 prefixes in one MP attribute, and at least one
    of them. NLRI and the attributes themselves are not looked into.
    """
    if len(body) < 4:
        return None
    attributes_at = 4 + (body[0] << 8 | body[1])
    if attributes_at > len(body):
        return None
    announced_at = attributes_at + (body[attributes_at - 2] << 8 | body[attributes_at - 1])
    if announced_at > len(body):
        return None
    if announced_at < len(body) or attributes_at > 4:
        withdrawn = body[2 : attributes_at - 2]
        return Parts(Family.IPV4, withdrawn, body[announced_at:], b"", body[attributes_at:announced_at])
    return _multiprotocol(body[attributes_at:announced_at])


def _multiprotocol(attributes: bytes) -> Parts | None:
    """The MP attribute taken out of the others; None without one. A second one is left where it is."""
    at, end = 0, len(attributes)
    while at + 4 <= end:
        flags, code = attributes[at], attributes[at + 1]
        value_at = at + 4 if flags & 0x10 else at + 3
        following = value_at + int.from_bytes(attributes[at + 2 : value_at], "big")
        if following > end:
            return None
        if code in (MP_REACH_NLRI, MP_UNREACH_NLRI):
            if (
                flags not in (_OPTIONAL, _EXTENDED_OPTIONAL)
                or attributes[value_at : value_at + 3] != _IPV6_UNICAST
            ):
                return None
            value = attributes[value_at + 3 : following]
            others = attributes[:at] + attributes[following:]
            if code == MP_UNREACH_NLRI:
                return Parts(Family.IPV6, value, b"", b"", others) if value else None
            return _reachable(value, others)
        at = following
    return None


def _reachable(value: bytes, others: bytes) -> Parts | None:
    """MP_REACH_NLRI from its next hop on (RFC 4760 3); None if it names no prefix or no clear next hop."""
    size = value[0] if value else 0
    next_hop, announced = value[1 : 1 + size], value[2 + size :]
    if size == 32 and _LINK_LOCAL.match(next_hop, 16):
        # RFC 2545 3: the global address and the link-local one, which is reached over the tunnel itself.
        next_hop = next_hop[16:]
    if len(next_hop) != 16 or not announced:
        return None
    return Parts(Family.IPV6, b"", announced, next_hop, others)


def line(
    head: bytes, counter: int, withdrawn: bytes, announced: bytes, next_hop: bytes, attributes: bytes
) -> bytes:
    """One line with its end. `head`, `next_hop` and `attributes` are packed already, the NLRI are not."""
    return b"%b %d %b %b %b %b\n" % (
        head,
        counter,
        b2a_base64(withdrawn, newline=False),
        b2a_base64(announced, newline=False),
        next_hop,
        attributes,
    )
