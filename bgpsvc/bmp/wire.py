"""BMP messages (RFC 7854 version 3, with Adj-RIB-Out of RFC 8671 and Loc-RIB of RFC 9069).

Every message has a common header (RFC 7854 4.1); those about a peer have a per-peer header behind it (4.2).
Two flags of that header say which RIB a Route Monitoring message is about, see `Rib`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from bgpsvc.bgp_message import AFI, AS_TRANS, SAFI_UNICAST, MessageType, message
from bgpsvc.model import Family

VERSION = 3
_COMMON = struct.Struct("!BIB")
_PEER = struct.Struct("!BBQ16sI4sII")
_TLV = struct.Struct("!HH")
COMMON_SIZE, PEER_SIZE = _COMMON.size, _PEER.size

_V6, _POST_POLICY, _TWO_OCTETS, _OUT = 0x80, 0x40, 0x20, 0x10


class MessageKind(IntEnum):
    """Types of BMP messages (RFC 7854 4.1)."""

    ROUTE_MONITORING = 0
    STATISTICS = 1
    PEER_DOWN = 2
    PEER_UP = 3
    INITIATION = 4
    TERMINATION = 5


class PeerType(IntEnum):
    """What a per-peer header stands for (RFC 7854 4.2, RFC 9069 4.1)."""

    GLOBAL = 0
    RD = 1
    LOCAL = 2
    LOC_RIB = 3


class Rib(StrEnum):
    """What can be monitored."""

    PRE_POLICY = "pre-policy"
    """Adj-RIB-In as the peer announced it (RFC 7854 5)."""
    POST_POLICY = "post-policy"
    """Adj-RIB-In as import policy left it: what it refused is not there."""
    LOC_RIB = "loc-rib"
    """The path of each prefix that is in use (RFC 9069)."""
    ADJ_RIB_OUT = "adj-rib-out"
    """What is advertised, after export policy (RFC 8671)."""


_FLAGS = {
    Rib.PRE_POLICY: 0,
    Rib.POST_POLICY: _POST_POLICY,
    Rib.LOC_RIB: 0,
    Rib.ADJ_RIB_OUT: _OUT | _POST_POLICY,
}


class DownReason(IntEnum):
    """Why a peer is no longer monitored (RFC 7854 4.9, RFC 9069 5.3)."""

    LOCAL_NOTIFICATION = 1
    LOCAL = 2
    REMOTE_NOTIFICATION = 3
    REMOTE = 4
    DECONFIGURED = 5
    LOC_RIB = 6


class Statistic(IntEnum):
    """Types of counters (32 bits) and gauges (64) in a Statistics Report (RFC 7854 4.8, RFC 8671 6.2)."""

    ADJ_RIB_IN_ROUTES = 7
    LOC_RIB_ROUTES = 8
    TREATED_AS_WITHDRAW = 11
    ADJ_RIB_OUT_ROUTES = 15


_COUNTERS = {Statistic.TREATED_AS_WITHDRAW}

TCP_CONNECTION_FAILS = 18
"""Event of the BGP FSM (RFC 4271 8.1.4)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A monitored peer, or the Loc-RIB of an instance, which has an address of zeros.

    `distinguisher` tells instances apart whose peers may have equal addresses. `address` has 4 or 16 bytes,
    `bgp_identifier` 4. `asn4`: AS paths of its messages have numbers of four octets.
    """

    kind: PeerType
    distinguisher: int
    address: bytes
    asn: int
    bgp_identifier: bytes
    asn4: bool = True

    def header(self, at: float, rib: Rib | None = None) -> bytes:
        """The per-peer header. `at` in Unix seconds, 0 if nobody knows; `rib` only where it matters."""
        flags = 0
        if self.kind is not PeerType.LOC_RIB:
            flags = _V6 * (len(self.address) == 16) | _TWO_OCTETS * (not self.asn4)
        if rib is not None:
            flags |= _FLAGS[rib]
        seconds = int(at)
        micros = min(999_999, int((at - seconds) * 1_000_000))
        return _PEER.pack(
            *(self.kind, flags, self.distinguisher, _address(self.address), self.asn),
            *(self.bgp_identifier, seconds & 0xFFFFFFFF, micros),
        )


def _address(packed: bytes) -> bytes:
    """In 16 bytes; those of IPv4 are the last four (RFC 7854 4.2)."""
    return packed.rjust(16, b"\0")


def _message(kind: MessageKind, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return _COMMON.pack(VERSION, _COMMON.size + len(body), kind) + body


def tlv(kind: int, value: bytes) -> bytes:
    """An information TLV (RFC 7854 4.4), or a statistic."""
    return _TLV.pack(kind, len(value)) + value


def initiation(description: str, name: str) -> bytes:
    """The first message: sysDescr and sysName, as SNMP has them (RFC 7854 4.3)."""
    return _message(MessageKind.INITIATION, tlv(1, description.encode()), tlv(2, name.encode()))


def termination(reason: int, text: str) -> bytes:
    """The last message (RFC 7854 4.5). 0: administratively closed, 1: unspecified, 2: out of resources."""
    return _message(MessageKind.TERMINATION, tlv(1, struct.pack("!H", reason)), tlv(0, text.encode()))


@dataclass(frozen=True, slots=True)
class Opened:
    """What Peer Up tells beside the peer (RFC 7854 4.10): own address, ports, whole OPENs, what it is called.

    `table` is the name of a Loc-RIB's instance (RFC 9069 5.2.1).
    """

    local_address: bytes
    local_port: int
    peer_port: int
    sent: bytes
    received: bytes
    name: str | None = None
    table: str | None = None

    @property
    def information(self) -> bytes:
        """The TLVs at the end."""
        named = b"" if self.name is None else tlv(0, self.name.encode())
        return named + (b"" if self.table is None else tlv(3, self.table.encode()[:255]))


def peer_up(peer: Peer, at: float, opened: Opened) -> bytes:
    """The peer is Established, since `at`."""
    ports = struct.pack("!HH", opened.local_port, opened.peer_port)
    return _message(
        *(MessageKind.PEER_UP, peer.header(at), _address(opened.local_address), ports),
        *(opened.sent, opened.received, opened.information),
    )


def peer_down(peer: Peer, at: float, reason: DownReason, data: bytes = b"") -> bytes:
    """The peer is gone, and all of its routes. `data`: see RFC 7854 4.9."""
    return _message(MessageKind.PEER_DOWN, peer.header(at), bytes((reason,)), data)


def route_monitoring(peer: Peer, at: float, rib: Rib, updates: Iterable[bytes]) -> bytes:
    """A message for each of these UPDATEs (RFC 7854 4.6): one must not carry several."""
    header = peer.header(at, rib)
    return b"".join([_message(MessageKind.ROUTE_MONITORING, header, update) for update in updates])


def statistics(peer: Peer, at: float, values: Sequence[tuple[Statistic, int]]) -> bytes:
    """A Statistics Report (RFC 7854 4.8)."""
    report = [struct.pack("!I", len(values))]
    for kind, value in values:
        packed = value & 0xFFFFFFFF if kind in _COUNTERS else value
        report.append(tlv(kind, struct.pack("!I" if kind in _COUNTERS else "!Q", packed)))
    return _message(MessageKind.STATISTICS, peer.header(at), *report)


def open_message(asn: int, bgp_identifier: bytes, hold_time: int, families: Iterable[Family]) -> bytes:
    """An OPEN with the capabilities of families and of AS numbers with four octets, no others."""
    capabilities = b"".join(
        struct.pack("!BBHBB", 1, 4, AFI[family], 0, SAFI_UNICAST) for family in sorted(families)
    ) + struct.pack("!BBI", 65, 4, asn)
    parameter = bytes((2, len(capabilities))) + capabilities
    short = asn if asn <= 0xFFFF else AS_TRANS
    head = struct.pack("!BHH4sB", 4, short, hold_time, bgp_identifier, len(parameter))
    return message(MessageType.OPEN, head + parameter)
