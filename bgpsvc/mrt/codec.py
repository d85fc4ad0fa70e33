"""Records of MRT (RFC 6396), octet by octet. Pure: times are given, in seconds of Unix time.

Two kinds are written. TABLE_DUMP_V2 (4.3) holds routes: an index of the peers, then a record for each prefix
with an entry for each peer that has a path to it. BGP4MP_ET (3, 4.4) holds what happened, with microseconds:
messages of peers and changes of the sessions' states.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from bgpsvc.bgp_message import AFI, encode_attributes, encode_nlri
from bgpsvc.model import Attributes, Family, Prefix, SessionState, prefix_family

TABLE_DUMP_V2 = 13
PEER_INDEX_TABLE = 1
RIB_SUBTYPES = {Family.IPV4: 2, Family.IPV6: 4}
"""RIB_IPV4_UNICAST and RIB_IPV6_UNICAST."""
BGP4MP_ET = 17
STATE_CHANGE_AS4 = 5
MESSAGE_AS4 = 4

STATES = {
    SessionState.IDLE: 1,
    SessionState.CONNECT: 2,
    SessionState.ACTIVE: 3,
    SessionState.OPENSENT: 4,
    SessionState.OPENCONFIRM: 5,
    SessionState.ESTABLISHED: 6,
}
"""RFC 6396 4.4.1, as RFC 4271 8.2.2 numbers them."""

_HEADER = struct.Struct("!IHHI")
_EXTENDED_HEADER = struct.Struct("!IHHII")
_ENTRY = struct.Struct("!HIH")
_AS4 = 0x02
_IPV6 = 0x01


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer as the index of a dump names it: packed address, BGP Identifier (4 octets), AS number."""

    address: bytes
    identifier: bytes
    asn: int


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a session: packed addresses of one family, AS numbers; `interface` is an ifindex, or 0."""

    peer_asn: int
    local_asn: int
    peer: bytes
    local: bytes
    interface: int = 0


def record(at: float, kind: int, subtype: int, body: bytes) -> bytes:
    """A record with the common header (2); the time is cut off to whole seconds."""
    return _HEADER.pack(int(at), kind, subtype, len(body)) + body


def extended(at: float, kind: int, subtype: int, body: bytes) -> bytes:
    """A record with the extended header (3): microseconds come first in what the length counts."""
    micro = round(at * 1_000_000)
    return _EXTENDED_HEADER.pack(micro // 1_000_000, kind, subtype, 4 + len(body), micro % 1_000_000) + body


def peer_index_table(at: float, collector: bytes, view: str, peers: Sequence[Peer]) -> bytes:
    """PEER_INDEX_TABLE (4.3.1). `collector` is our BGP Identifier, `view` what is dumped."""
    name = view.encode()
    parts = [collector, struct.pack("!H", len(name)), name, struct.pack("!H", len(peers))]
    for peer in peers:
        kind = _AS4 | (_IPV6 if len(peer.address) == 16 else 0)
        parts.append(bytes((kind,)) + peer.identifier + peer.address + struct.pack("!I", peer.asn))
    return record(at, TABLE_DUMP_V2, PEER_INDEX_TABLE, b"".join(parts))


def rib_attributes(attributes: Attributes, family: Family) -> bytes:
    """The attributes of an entry: AS numbers have four octets, MP_REACH_NLRI is a next hop alone (4.3.4)."""
    if family is Family.IPV4 and len(attributes.next_hop) == 4:
        return encode_attributes(attributes)
    return encode_attributes(attributes, bytes((len(attributes.next_hop),)) + attributes.next_hop)


def rib_entry(peer: int, originated: int, attributes: bytes) -> bytes:
    """One path (4.3.4): the peer's place in the index, since when it has it, `rib_attributes`."""
    return _ENTRY.pack(peer, originated, len(attributes)) + attributes


def rib_record(at: float, sequence: int, prefix: Prefix, entries: Sequence[bytes]) -> bytes:
    """All paths to a prefix (4.3.2)."""
    body = struct.pack("!I", sequence) + encode_nlri((prefix,)) + struct.pack("!H", len(entries))
    return record(at, TABLE_DUMP_V2, RIB_SUBTYPES[prefix_family(prefix)], body + b"".join(entries))


def message_as4(at: float, ends: Ends, message: bytes) -> bytes:
    """BGP4MP_MESSAGE_AS4 (4.4.3): a message of the peer, with AS numbers of four octets."""
    return extended(at, BGP4MP_ET, MESSAGE_AS4, _session(ends) + message)


def state_change_as4(at: float, ends: Ends, old: SessionState, new: SessionState) -> bytes:
    """BGP4MP_STATE_CHANGE_AS4 (4.4.4)."""
    states = struct.pack("!HH", STATES[old], STATES[new])
    return extended(at, BGP4MP_ET, STATE_CHANGE_AS4, _session(ends) + states)


def _session(ends: Ends) -> bytes:
    family = Family.IPV4 if len(ends.peer) == 4 else Family.IPV6
    head = struct.pack("!IIHH", ends.peer_asn, ends.local_asn, ends.interface, AFI[family])
    return head + ends.peer + ends.local
