"""A BMP monitoring station for tests: decodes the stream by the RFCs and keeps what it was told.

It refuses what no router may send: routes of a peer that is not up, a second Peer Up, messages that do not
add up, anything before Initiation or behind Termination.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from bgpsvc.exabgp.attributes import unpack_attributes
from bgpsvc.exabgp.nlri import unpack_prefixes
from bgpsvc.exabgp.packed import split
from bgpsvc.exabgp.rfc7606 import Peering
from bgpsvc.model import Attributes, Family, Prefix

PRE, POST, LOC, OUT = "pre-policy", "post-policy", "loc-rib", "adj-rib-out"
_ENDS = {b"\0\0\0\0": Family.IPV4, b"\0\0\0\x06\x80\x0f\x03\0\x02\x01": Family.IPV6}


@dataclass
class Told:
    """A peer that is up. `tables`: by RIB; `ended`: families whose End-of-RIB came, by RIB."""

    opens: tuple[bytes, bytes]
    ports: tuple[int, int]
    local: bytes
    information: dict[int, str]
    asn: int
    identifier: bytes
    since: float
    tables: dict[str, dict[Prefix, Attributes]] = field(default_factory=dict)
    ended: dict[str, set[Family]] = field(default_factory=dict)
    times: set[float] = field(default_factory=set)
    """Of Route Monitoring messages."""


Key = tuple[int, int, bytes]
"""Peer type, distinguisher, address (16 bytes)."""


class Collector:
    """Feed it what a station reads."""

    def __init__(self) -> None:
        self.peers: dict[Key, Told] = {}
        self.downs: list[tuple[Key, int, bytes]] = []
        self.statistics: dict[Key, dict[int, int]] = {}
        self.initiation: dict[int, str] = {}
        self.terminated: tuple[int, str] | None = None
        self.messages = 0
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Any piece of the stream."""
        self._rest += data
        while len(self._rest) >= 6:
            version, length, kind = struct.unpack("!BIB", self._rest[:6])
            assert version == 3
            assert length >= 6
            if len(self._rest) < length:
                return
            body, self._rest = self._rest[6:length], self._rest[length:]
            assert self.terminated is None, "something behind Termination"
            assert (kind == 4) == (self.messages == 0), "Initiation is the first message, and the only one"
            self.messages += 1
            [self._routes, self._statistics, self._down, self._up, self._initiation, self._termination][kind](
                body
            )

    def of(self, table: str) -> dict[bytes, dict[Prefix, Attributes]]:
        """The tables of a RIB by the peers' addresses."""
        return {key[2]: told.tables[table] for key, told in self.peers.items() if table in told.tables}

    def _peer(self, body: bytes) -> tuple[Key, int, int, bytes, float, bytes]:
        kind, flags, distinguisher, address, asn, identifier, seconds, micros = struct.unpack(
            "!BBQ16sI4sII", body[:42]
        )
        assert micros < 1_000_000
        return (
            (kind, distinguisher, address),
            *(flags, asn, identifier, seconds + micros / 1e6, body[42:]),
        )

    def _initiation(self, body: bytes) -> None:
        self.initiation = {kind: value.decode() for kind, value in _tlvs(body)}
        assert {1, 2} <= self.initiation.keys(), "sysDescr and sysName are a must"

    def _termination(self, body: bytes) -> None:
        found = dict(_tlvs(body))
        self.terminated = struct.unpack("!H", found[1])[0], found.get(0, b"").decode()

    def _up(self, body: bytes) -> None:
        key, _, asn, identifier, at, rest = self._peer(body)
        assert key not in self.peers, "Peer Up of a peer that is up"
        ports = struct.unpack("!HH", rest[16:20])
        sent, rest2 = _bgp(rest[20:])
        received, information = _bgp(rest2)
        assert sent[18] == received[18] == 1
        texts = {kind: value.decode() for kind, value in _tlvs(information)}
        self.peers[key] = Told((sent, received), ports, rest[:16], texts, asn, identifier, at)

    def _down(self, body: bytes) -> None:
        key, _, _, _, _, rest = self._peer(body)
        assert key in self.peers, "Peer Down of a peer that is not up"
        del self.peers[key]
        reason, data = rest[0], rest[1:]
        if reason in (1, 3):
            message, nothing = _bgp(data)
            assert (message[18], nothing) == (3, b"")
        elif reason == 2:
            assert len(data) == 2
        elif reason == 6:
            assert (key[0], [kind for kind, _ in _tlvs(data)]) == (3, [3])
        else:
            assert reason in (4, 5)
            assert not data
        self.downs.append((key, reason, data))

    def _statistics(self, body: bytes) -> None:
        key, _, _, _, _, rest = self._peer(body)
        assert key in self.peers
        found = list(_tlvs(rest[4:]))
        assert struct.unpack("!I", rest[:4]) == (len(found),)
        assert all(len(value) in (4, 8) for _, value in found)
        self.statistics[key] = {kind: int.from_bytes(value, "big") for kind, value in found}

    def _routes(self, body: bytes) -> None:
        key, flags, _, _, at, rest = self._peer(body)
        told = self.peers[key]  # a KeyError: routes of a peer that is not up
        rib = LOC if key[0] == 3 else OUT if flags & 0x10 else POST if flags & 0x40 else PRE
        assert key[0] != 3 or flags == 0
        update, nothing = _bgp(rest)
        assert (update[18], nothing) == (2, b""), "one UPDATE a message"
        if update[19:] in _ENDS:
            told.ended.setdefault(rib, set()).add(_ENDS[update[19:]])
            return
        told.times.add(at)
        table = told.tables.setdefault(rib, {})
        parts = split(update[19:])
        assert parts is not None
        for prefix in unpack_prefixes(parts.withdrawn, parts.family):
            table.pop(prefix, None)
        announced = unpack_prefixes(parts.announced, parts.family)
        if announced:
            peering = Peering(asn4=not flags & 0x20, ibgp=True)
            table.update(
                dict.fromkeys(announced, unpack_attributes(parts.attributes, parts.next_hop, peering))
            )


def _tlvs(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        kind, length = struct.unpack("!HH", data[:4])
        assert len(data) >= 4 + length
        found.append((kind, data[4 : 4 + length]))
        data = data[4 + length :]
    return found


def _bgp(data: bytes) -> tuple[bytes, bytes]:
    """A BGP message, and what is behind it."""
    assert data[:16] == b"\xff" * 16
    length = int.from_bytes(data[16:18], "big")
    assert 19 <= length <= len(data)
    return data[:length], data[length:]
