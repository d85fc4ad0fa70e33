"""BMP messages, octet by octet, and the options that name stations."""

from __future__ import annotations

import re

import pytest

from bgpsvc.bgp_message import end_of_rib
from bgpsvc.bmp.options import bmp_options, name_of
from bgpsvc.bmp.peers import why_down
from bgpsvc.bmp.wire import (
    DownReason,
    Opened,
    Peer,
    PeerType,
    Rib,
    Statistic,
    initiation,
    open_message,
    peer_down,
    peer_up,
    route_monitoring,
    statistics,
    termination,
    tlv,
)
from bgpsvc.events import Notification, SessionDown
from bgpsvc.model import Family, SessionId
from bgpsvc.tap import REMOVED

V4 = Peer(PeerType.LOCAL, 201, bytes((169, 254, 10, 2)), 65500, bytes((10, 9, 9, 1)))
V6 = Peer(
    PeerType.LOCAL, 1 << 33, bytes.fromhex("fd00" + "00" * 13 + "02"), 4_200_000_000, bytes(4), asn4=False
)
LOC = Peer(PeerType.LOC_RIB, 201, bytes(4), 65530, bytes((198, 51, 100, 1)))
AT = 1_760_000_000.25


def octets(text: str) -> bytes:
    return bytes.fromhex(re.sub(r"\s+", "", text))


HEADERS = [
    (V4, Rib.PRE_POLICY, "02 00 00000000000000c9 00000000000000000000000 0a9fe0a02 0000ffdc 0a090901"),
    (V4, Rib.POST_POLICY, "02 40 00000000000000c9 00000000000000000000000 0a9fe0a02 0000ffdc 0a090901"),
    (V4, Rib.ADJ_RIB_OUT, "02 50 00000000000000c9 00000000000000000000000 0a9fe0a02 0000ffdc 0a090901"),
    (V4, None, "02 00 00000000000000c9 00000000000000000000000 0a9fe0a02 0000ffdc 0a090901"),
    (V6, Rib.PRE_POLICY, "02 a0 0000000200000000 fd000000000000000000000000000002 fa56ea00 00000000"),
    (LOC, Rib.LOC_RIB, "03 00 00000000000000c9 00000000000000000000000000000000 0000fffa c6336401"),
]


@pytest.mark.parametrize(("peer", "rib", "expected"), HEADERS)
def test_per_peer_header(peer: Peer, rib: Rib | None, expected: str) -> None:
    """RFC 7854 4.2, RFC 8671 4, RFC 9069 4."""
    assert peer.header(AT, rib) == octets(expected + "68e77800 0003d090")


def test_a_time_that_nobody_knows_is_zero() -> None:
    assert V4.header(0.0)[-8:] == bytes(8)


def test_a_time_is_never_a_whole_million_of_microseconds() -> None:
    assert V4.header(1.9999999999)[-8:] == octets("00000001 000f423f")


def test_initiation_and_termination() -> None:
    assert (
        initiation("bgpsvc 1", "gw")
        == octets("03 00000018 04 0001 0008") + b"bgpsvc 1" + octets("0002 0002") + b"gw"
    )
    assert termination(0, "bye") == octets("03 00000013 05 0001 0002 0000 0000 0003") + b"bye"


def test_peer_up_has_both_opens_whole() -> None:
    opened = Opened(bytes((169, 254, 10, 1)), 40001, 179, b"SENT", b"RECEIVED", name="c", table="t")
    expected = V4.header(AT) + bytes(12) + octets("a9fe0a01 9c41 00b3") + b"SENTRECEIVED"
    expected += octets("0000 0001") + b"c" + octets("0003 0001") + b"t"
    assert peer_up(V4, AT, opened) == octets("03 0000005a 03") + expected


def test_route_monitoring_has_one_update_a_message() -> None:
    update = end_of_rib(Family.IPV4)
    one = octets("03 00000047 00") + V4.header(AT, Rib.POST_POLICY) + update
    assert route_monitoring(V4, AT, Rib.POST_POLICY, [update, update]) == one + one


def test_statistics() -> None:
    """Counters have 32 bits and go round, gauges 64 (RFC 7854 4.8)."""
    values = [(Statistic.ADJ_RIB_IN_ROUTES, 1_000_000), (Statistic.TREATED_AS_WITHDRAW, (1 << 32) + 5)]
    body = octets("00000002 0007 0008 00000000000f4240 000b 0004 00000005")
    assert statistics(V4, AT, values) == octets("03 00000048 01") + V4.header(AT) + body


def test_the_open_that_a_loc_rib_has() -> None:
    """RFC 9069 5.2: AS numbers of four octets and the families, nothing else; AS_TRANS if it needs them."""
    made = open_message(4_200_000_000, bytes((198, 51, 100, 1)), 0, [Family.IPV6, Family.IPV4])
    assert made == b"\xff" * 16 + octets(
        "0031 01 04 5ba0 0000 c6336401 14 02 12 01 04 0001 00 01 01 04 0002 00 01 41 04 fa56ea00"
    )


SESSION = SessionId("c1-tunnel1")
CEASE = b"\xff" * 16 + octets("0015 03 06 04")
DOWNS = [
    (
        SessionDown(SESSION, "x", Notification(True, 6, 4, "", CEASE + b"")),
        DownReason.LOCAL_NOTIFICATION,
        CEASE,
    ),
    (SessionDown(SESSION, "x", Notification(False, 6, 4, "")), DownReason.REMOTE_NOTIFICATION, CEASE),
    (
        SessionDown(SESSION, "closing connection: the TCP connection was closed by the remote end"),
        *(DownReason.REMOTE, b""),
    ),
    (SessionDown(SESSION, "closing connection: Broken TCP connection"), DownReason.LOCAL, b"\0\x12"),
    (SessionDown(SESSION, "speaker ended: killed by SIGKILL"), DownReason.LOCAL, b"\0\0"),
    (SessionDown(SESSION, REMOVED), DownReason.DECONFIGURED, b""),
]


@pytest.mark.parametrize(("event", "reason", "data"), DOWNS)
def test_why_a_session_is_down(event: SessionDown, reason: DownReason, data: bytes) -> None:
    assert why_down(event) == (reason, data)
    assert peer_down(V4, AT, reason, data)[48:] == bytes((reason,)) + data


def test_a_loc_rib_that_goes_names_its_table() -> None:
    assert peer_down(LOC, AT, DownReason.LOC_RIB, tlv(3, b"gw1"))[48:] == octets("06 0003 0003") + b"gw1"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.9:1790", "192.0.2.9", 1790),
        ("[2001:db8::9]:1790", "2001:db8::9", 1790),
        ("collector.example:11019", "collector.example", 11019),
    ],
)
def test_a_station(text: str, host: str, port: int) -> None:
    options = bmp_options([text, text], "post-policy, loc-rib", 0)
    assert options.stations == ((host, port),)
    assert options.ribs == {Rib.POST_POLICY, Rib.LOC_RIB}
    assert name_of(host, port) == text


@pytest.mark.parametrize(
    ("stations", "ribs", "says"),
    [
        (["192.0.2.9"], "loc-rib", "'192.0.2.9' is not ADDRESS:PORT"),
        (["192.0.2.9:0"], "loc-rib", "a port from 1 to 65535"),
        (["2001:db8::9:1790"], "loc-rib", "an IPv6 address, and nothing else, stands in brackets"),
        (["[192.0.2.9]:1790"], "loc-rib", "an IPv6 address, and nothing else, stands in brackets"),
        (["a b:1790"], "loc-rib", "'a b' is neither an address nor a name"),
        (["192.0.2.9:1790"], "all", "'all': a RIB is one of pre-policy, post-policy, loc-rib, adj-rib-out"),
        ([f"192.0.2.{n}:1790" for n in range(9)], "loc-rib", "9 stations are too many, 8 are allowed"),
    ],
)
def test_options_that_do_not_fit(stations: list[str], ribs: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        bmp_options(stations, ribs, 60)
