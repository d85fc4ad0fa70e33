"""Links, addresses, and the notifications of changes (RTNLGRP_*): bytes to the values of `ops`."""

from __future__ import annotations

import struct

from bgpsvc.fib.codec import (
    RTM_DELNEXTHOP,
    RTM_DELROUTE,
    RTM_NEWNEXTHOP,
    RTM_NEWROUTE,
    RTMSG,
    decode_nexthop,
    decode_route,
)
from bgpsvc.fib.ops import (
    NEXTHOP_IDS,
    PROTOCOL,
    AddressesChanged,
    Link,
    LinkGone,
    LinkSeen,
    NexthopChanged,
    NexthopGone,
    Notice,
    RouteChanged,
    RouteGone,
    RuleGone,
)
from bgpsvc.fib.wire import NLM_F_DUMP, Message, NetlinkDecodeError, attributes, messages, number, request
from bgpsvc.model import Prefix

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_DELRULE = 33

GROUPS = (1, 5, 7, 8, 9, 11, 19, 32)
"""RTNLGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, IPV6_RULE, NEXTHOP."""

_IFINFOMSG = struct.Struct("=BxHiII")  # family, type, index, flags, change
_IFADDRMSG = struct.Struct("=4BI")  # family, prefix length, flags, scope; index
_IFLA_IFNAME, _IFLA_EXT_MASK = 3, 29
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_FRA_PROTOCOL = 21
_RTEXT_FILTER_SKIP_STATS = 8
_IFF_UP, _IFF_LOWER_UP = 0x1, 0x10000
_RT_SCOPE_HOST = 254


def dump_links(seq: int) -> bytes:
    """Ask for all interfaces."""
    header = _IFINFOMSG.pack(0, 0, 0, 0, 0)
    return request(RTM_GETLINK, NLM_F_DUMP, seq, header + number(_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS))


def dump_addresses(seq: int) -> bytes:
    """Ask for all addresses of all interfaces."""
    return request(RTM_GETADDR, NLM_F_DUMP, seq, _IFADDRMSG.pack(0, 0, 0, 0, 0))


def decode_link(payload: bytes) -> Link | None:
    """Payload of RTM_NEWLINK or RTM_DELLINK.

    None if it is about a bridge port (family AF_BRIDGE): then RTM_DELLINK means that the interface
    left its bridge, and it is still there.
    """
    found = attributes(payload, _IFINFOMSG.size)
    family, _, index, flags, _ = _IFINFOMSG.unpack_from(payload)
    if family:
        return None
    name = found.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
    return Link(name, index, bool(flags & _IFF_UP and flags & _IFF_LOWER_UP))


def decode_connected(payload: bytes) -> list[Prefix]:
    """Payload of RTM_NEWADDR: the network of the address, and the address itself if it has a peer.

    Empty for addresses of host scope, which are the loopback's own.
    """
    found = attributes(payload, _IFADDRMSG.size)
    family, length, _, scope, _ = _IFADDRMSG.unpack_from(payload)
    size = {2: 4, 10: 16}.get(family)
    if size is None or scope == _RT_SCOPE_HOST:
        return []
    address = found.get(_IFA_ADDRESS) or found.get(_IFA_LOCAL, b"")
    local = found.get(_IFA_LOCAL, address)
    if len(address) != size or len(local) != size or length > size * 8:
        raise NetlinkDecodeError(f"address of {len(address)} bytes, length {length}, family {family}")
    host_bits = size * 8 - length
    network = int.from_bytes(address, "big") >> host_bits << host_bits
    networks = [Prefix(network.to_bytes(size, "big") + bytes((length,)))]
    if local != address:
        networks.append(Prefix(local + bytes((size * 8,))))
    return networks


def decode_notices(data: bytes | memoryview) -> list[Notice]:
    """What a datagram of notifications tells; a message that is none of our business tells nothing."""
    return [notice for message in messages(data) if (notice := _notice(message)) is not None]


def _notice(message: Message) -> Notice | None:
    if message.type in (RTM_NEWROUTE, RTM_DELROUTE):
        return _route_notice(message)
    if message.type in (RTM_NEWNEXTHOP, RTM_DELNEXTHOP):
        nexthop = decode_nexthop(message.payload)
        if nexthop.id not in NEXTHOP_IDS:
            return None
        return NexthopGone(nexthop.id) if message.type == RTM_DELNEXTHOP else NexthopChanged(nexthop.id)
    if message.type in (RTM_NEWLINK, RTM_DELLINK):
        link = decode_link(message.payload)
        if link is None:
            return None
        return LinkSeen(link) if message.type == RTM_NEWLINK else LinkGone(link.name, link.ifindex)
    if message.type in (RTM_NEWADDR, RTM_DELADDR):
        return AddressesChanged()
    if message.type == RTM_DELRULE:
        protocol = attributes(message.payload, RTMSG.size).get(_FRA_PROTOCOL)
        return RuleGone() if protocol == bytes((PROTOCOL,)) else None
    return None


def _route_notice(message: Message) -> Notice | None:
    route = decode_route(message.payload)
    if route is None or route.cloned:
        return None
    if message.type == RTM_NEWROUTE:
        nexthop_id = route.nexthop_id or None
        return RouteChanged(route.table, route.prefix, route.metric, route.protocol, nexthop_id)
    if route.protocol != PROTOCOL:
        return None
    return RouteGone(route.table, route.prefix, route.metric)
