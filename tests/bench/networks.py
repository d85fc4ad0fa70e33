"""The networks that the benchmarks announce: numbered from 0 in the order announced, of either family.

The number can be read from the address by one load of four bytes, so that a filter in the kernel can tell
every 64th network from the others (tests/bench/monitor.py).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from tests.fakes import bgp_wire as wire

MOST = 1_000_000
SAMPLED_FROM = 10_001
"""From this many networks on, an observer looks at a sample."""
EVERY = 64


@dataclass(frozen=True, slots=True)
class Family:
    """One address family's networks.

    `length`: prefix length. `first`: address of network 0. The network's number is the `shift`ed word at
    byte `offset` of the address, less that of network 0.
    """

    name: str
    number: int
    length: int
    first: str
    offset: int
    shift: int

    @property
    def size(self) -> int:
        """Bytes of an address."""
        return 4 if self.number == socket.AF_INET else 16

    def address(self, index: int) -> bytes:
        """The packed address of a network."""
        packed = bytearray(socket.inet_pton(self.number, self.first))
        struct.pack_into("!I", packed, self.offset, self._word(packed) + (index << self.shift))
        return bytes(packed)

    def text(self, index: int) -> str:
        """A network as `address/length`."""
        return f"{socket.inet_ntop(self.number, self.address(index))}/{self.length}"

    def index(self, address: bytes) -> int:
        """The number of a network; negative or too large if it is none of them."""
        first = socket.inet_pton(self.number, self.first)
        return (self._word(address) - self._word(first)) >> self.shift

    def word(self, index: int) -> int:
        """The four bytes that tell a network from the others, big-endian."""
        return self._word(self.address(index))

    def nlri(self, indexes: Iterable[int]) -> bytes:
        """Networks as in RFC 4271 4.3: length, then as few bytes as it needs."""
        kept = self.length // 8
        return b"".join(bytes((self.length,)) + self.address(index)[:kept] for index in indexes)

    def _word(self, address: bytes | bytearray) -> int:
        (word,) = struct.unpack_from("!I", address, self.offset)
        return int(word)


# 20.0.0.0: a million /24 fit before 36.0.0.0, none of them special. 3fff::/20: documentation (RFC 9637).
IPV4 = Family("ipv4", socket.AF_INET, 24, "20.0.0.0", 0, 8)
IPV6 = Family("ipv6", socket.AF_INET6, 48, "3fff::", 2, 0)
FAMILIES = {family.name: family for family in (IPV4, IPV6)}


def sample_step(count: int) -> int:
    """An observer of `count` networks looks at every so many-th, and at the last."""
    return EVERY if count >= SAMPLED_FROM else 1


def updates(
    family: Family, count: int, per_update: int, asn: int, next_hop: str, path: tuple[int, ...] = ()
) -> bytes:
    """UPDATEs for the first `count` networks and the End-of-RIB (RFC 4724 2), ready to be written.

    Each UPDATE carries `per_update` networks and, unless a `path` behind `asn` is given, an AS path of its
    own, as a table of many networks behind one peer does: no receiver can take it all for one attribute set.
    """
    parts: list[bytes] = []
    for number, start in enumerate(range(0, count, per_update)):
        reachable = family.nlri(range(start, min(start + per_update, count)))
        as_path = (asn, *(path or (4_200_000_000 + number,)))
        if family.number == socket.AF_INET:
            attributes, announced = wire.attributes(as_path=as_path, next_hop=next_hop), reachable
        else:
            hop = socket.inet_pton(family.number, next_hop)
            reach = struct.pack("!HBB", 2, 1, len(hop)) + hop + b"\0" + reachable
            attributes = wire.attributes(as_path=as_path, extra=wire.attribute(0x80, 14, reach))
            announced = b""
        body = struct.pack("!HH", 0, len(attributes)) + attributes + announced
        parts.append(wire.message(wire.UPDATE, body))
    return b"".join([*parts, wire.end_of_rib(family.name)])
