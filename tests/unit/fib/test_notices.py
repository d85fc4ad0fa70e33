"""Links, addresses and notifications: what is told, and what is left out."""

from __future__ import annotations

import struct

import pytest

from bgpsvc.fib import codec, notices
from bgpsvc.fib.notices import decode_connected, decode_link, decode_notices
from bgpsvc.fib.ops import (
    NEXTHOP_IDS,
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
from bgpsvc.fib.wire import attribute, number, request
from bgpsvc.model import format_prefix, parse_address, parse_prefix

TEN = parse_prefix("10.0.0.0/8")
BASE = NEXTHOP_IDS.start
UP, LOWER_UP = 0x1, 0x10000


def link(flags: int, family: int = 0) -> bytes:
    return struct.pack("=BxHiII", family, 1, 7, flags, 0) + attribute(3, b"t1\0")


def address(local: str, length: int, peer: str = "", scope: int = 0) -> bytes:
    packed = parse_address(local)
    header = struct.pack("=4BI", 2 if len(packed) == 4 else 10, length, 0, scope, 7)
    if len(packed) == 16 and not peer:
        return header + attribute(1, packed)
    return header + attribute(1, parse_address(peer or local)) + attribute(2, packed)


def route(protocol: int, table: int = 1000, nexthop: int | None = BASE, flags: int = 0) -> bytes:
    body = struct.pack("=8BI", 2, 8, 0, 0, 252, protocol, 0, 1, flags) + number(15, table)
    return body + attribute(1, TEN[:4]) + number(6, 100) + (number(30, nexthop) if nexthop else b"")


def rule(protocol: int) -> bytes:
    return struct.pack("=8BI", 2, 0, 0, 0, 0, 0, 0, 1, 0) + attribute(21, bytes((protocol,)))


def nexthop(ident: int) -> bytes:
    return struct.pack("=BBBBI", 2, 0, 201, 0, 0) + number(1, ident)


@pytest.mark.parametrize(
    ("kind", "payload", "wanted"),
    [
        (notices.RTM_NEWLINK, link(UP | LOWER_UP), [LinkSeen(Link("t1", 7, True))]),
        (notices.RTM_NEWLINK, link(UP), [LinkSeen(Link("t1", 7, False))]),
        (notices.RTM_NEWLINK, link(LOWER_UP), [LinkSeen(Link("t1", 7, False))]),
        (notices.RTM_DELLINK, link(0), [LinkGone("t1", 7)]),
        (notices.RTM_DELLINK, link(0, family=7), []),  # left its bridge, and is still there
        (notices.RTM_NEWADDR, address("10.0.0.1", 24), [AddressesChanged()]),
        (notices.RTM_DELADDR, address("10.0.0.1", 24), [AddressesChanged()]),
        (notices.RTM_DELRULE, rule(201), [RuleGone()]),
        (notices.RTM_DELRULE, rule(3), []),
        (codec.RTM_NEWNEXTHOP, nexthop(BASE), [NexthopChanged(BASE)]),
        (codec.RTM_DELNEXTHOP, nexthop(BASE), [NexthopGone(BASE)]),
        (codec.RTM_DELNEXTHOP, nexthop(5), []),
        (codec.RTM_NEWROUTE, route(201), [RouteChanged(1000, TEN, 100, 201, BASE)]),
        (codec.RTM_NEWROUTE, route(4, nexthop=None), [RouteChanged(1000, TEN, 100, 4, None)]),
        (codec.RTM_NEWROUTE, route(201, flags=codec.RTM_F_CLONED), []),
        (codec.RTM_DELROUTE, route(201, table=7), [RouteGone(7, TEN, 100)]),
        (codec.RTM_DELROUTE, route(4), []),
        (28, bytes(40), []),
    ],
)
def test_notices(kind: int, payload: bytes, wanted: list[Notice]) -> None:
    assert decode_notices(request(kind, 0, 0, payload)) == wanted


def test_several_messages_in_one_datagram() -> None:
    data = request(codec.RTM_DELROUTE, 0, 0, route(201)) + request(codec.RTM_DELNEXTHOP, 0, 0, nexthop(BASE))
    assert decode_notices(data) == [RouteGone(1000, TEN, 100), NexthopGone(BASE)]


@pytest.mark.parametrize(
    ("payload", "networks"),
    [
        (address("169.254.10.1", 30), ["169.254.10.0/30"]),
        (address("10.1.2.3", 32), ["10.1.2.3/32"]),
        (address("10.0.0.1", 32, peer="10.0.0.2"), ["10.0.0.2/32", "10.0.0.1/32"]),
        (address("2001:db8::1", 64), ["2001:db8::/64"]),
        (address("2001:db8::1", 128, peer="2001:db8::2"), ["2001:db8::2/128", "2001:db8::1/128"]),
        (address("127.0.0.1", 8, scope=254), []),
        (struct.pack("=4BI", 28, 8, 0, 0, 7), []),
    ],
)
def test_connected_networks(payload: bytes, networks: list[str]) -> None:
    assert [format_prefix(prefix) for prefix in decode_connected(payload)] == networks


def test_a_bridge_port_is_no_link() -> None:
    assert decode_link(link(UP | LOWER_UP, family=7)) is None
