"""BGP messages, octet by octet, as their RFCs have them."""

from __future__ import annotations

import pytest

from bgpsvc.bgp_message import (
    MAXIMUM_EXTENDED,
    AttributesTooLong,
    MessageType,
    encode_attributes,
    encode_nlri,
    end_of_rib,
    message,
    mp_reach_value,
    update_messages,
)
from bgpsvc.model import (
    Attributes,
    Family,
    Origin,
    Prefix,
    Segment,
    SegmentType,
    parse_address,
    parse_prefix,
)

HOP = bytes((192, 0, 2, 1))
PLAIN = Attributes(HOP, Origin.IGP)
LONG = Attributes(HOP, Origin.IGP, communities=tuple(range(1000)))
"""4,018 octets in a message without prefixes."""
HEADER = "ff" * 16


def sequence(*asns: int) -> Segment:
    return Segment(SegmentType.SEQUENCE, asns)


def path(*segments: Segment, **more: object) -> Attributes:
    return Attributes(HOP, Origin.IGP, segments, **more)  # type: ignore[arg-type]


ORIGIN_HOP = "40010100 400200 400304c0000201"
ATTRIBUTES = [
    pytest.param(PLAIN, True, ORIGIN_HOP, id="RFC 4271 5.1"),
    pytest.param(Attributes(HOP), True, "40010102 400200 400304c0000201", id="origin incomplete"),
    pytest.param(
        path(sequence(65500, 4200000001)),
        True,
        "40010100 40020a 0202 0000ffdc fa56ea01 400304c0000201",
        id="RFC 6793 4.1",
    ),
    pytest.param(
        path(
            Segment(SegmentType.CONFED_SEQUENCE, (65001,)),
            sequence(65500, 4200000001),
            Segment(SegmentType.SET, (7, 8)),
        ),
        False,
        # AS_TRANS, and AS4_PATH without the confederation.
        "40010100 400210 0301fde9 0202ffdc5ba0 010200070008 400304c0000201"
        "c01114 0202 0000ffdc fa56ea01 0102 00000007 00000008",
        id="RFC 6793 4.2.2",
    ),
    pytest.param(path(sequence(65500)), False, "40010100 4002040201ffdc 400304c0000201", id="all fit two"),
    pytest.param(
        path(sequence(*range(1, 257))),
        True,
        "40010100 50020404 02ff"
        + "".join(f"{n:08x}" for n in range(1, 256))
        + "0201 00000100 400304c0000201",
        id="a full segment goes on in another one",
    ),
    pytest.param(path(med=5), True, ORIGIN_HOP + "80040400000005", id="MULTI_EXIT_DISC"),
    pytest.param(path(local_pref=100), True, ORIGIN_HOP + "40050400000064", id="LOCAL_PREF"),
    pytest.param(path(atomic_aggregate=True), True, ORIGIN_HOP + "400600", id="ATOMIC_AGGREGATE"),
    pytest.param(
        path(aggregator=(70000, "198.51.100.7")),
        True,
        ORIGIN_HOP + "c00708 00011170 c6336407",
        id="AGGREGATOR",
    ),
    pytest.param(
        path(aggregator=(70000, "198.51.100.7")),
        False,
        ORIGIN_HOP + "c00706 5ba0c6336407 c01208 00011170c6336407",
        id="AS4_AGGREGATOR",
    ),
    pytest.param(path(communities=(0xFDE80064,)), True, ORIGIN_HOP + "c00804fde80064", id="RFC 1997"),
    pytest.param(
        path(extended_communities=(0x0002FDE800000064,)),
        True,
        ORIGIN_HOP + "c01008 0002fde800000064",
        id="RFC 4360",
    ),
    pytest.param(
        path(large_communities=((65000, 1, 2),)),
        True,
        ORIGIN_HOP + "c0200c 0000fde8 00000001 00000002",
        id="RFC 8092",
    ),
    pytest.param(
        path(communities=tuple(range(64))),
        True,
        ORIGIN_HOP + "d0080100" + "".join(f"{n:08x}" for n in range(64)),
        id="extended length",
    ),
    pytest.param(path(preference=300), True, ORIGIN_HOP, id="a policy's preference is no attribute"),
]


@pytest.mark.parametrize(("attributes", "asn4", "octets"), ATTRIBUTES)
def test_attributes_are_encoded_as_their_rfcs_say(attributes: Attributes, asn4: bool, octets: str) -> None:
    assert encode_attributes(attributes, asn4=asn4).hex() == octets.replace(" ", "")


@pytest.mark.parametrize(
    ("prefix", "octets"),
    [
        ("0.0.0.0/0", "00"),
        ("10.0.0.0/8", "080a"),
        ("10.128.0.0/9", "090a80"),
        ("192.0.2.1/32", "20c0000201"),
        ("::/0", "00"),
        ("2001:db8::/33", "2120010db800"),
    ],
)
def test_a_prefix_takes_as_few_octets_as_hold_it(prefix: str, octets: str) -> None:
    assert encode_nlri([parse_prefix(prefix)]).hex() == octets


def test_an_update_of_ipv4_withdraws_then_announces() -> None:
    found = update_messages(PLAIN, Family.IPV4, [parse_prefix("10.0.0.0/8")], [parse_prefix("10.1.0.0/16")])
    assert [m.hex() for m in found] == [
        HEADER + "001a02" + "0003" + "100a01" + "0000",
        HEADER + "002702" + "0000" + "000e" + ORIGIN_HOP.replace(" ", "") + "080a",
    ]


def test_an_update_of_ipv6_has_its_prefixes_in_the_first_attribute() -> None:
    attributes = Attributes(parse_address("2001:db8::1"), Origin.IGP)
    prefix = parse_prefix("2001:db8:1::/48")
    found = update_messages(attributes, Family.IPV6, [prefix], [prefix])
    assert [m.hex() for m in found] == [
        HEADER + "002402" + "0000" + "000d" + "800f0a" + "000201" + "3020010db80001",
        HEADER
        + "003d02"
        + "0000"
        + "0026"  # RFC 7606 5.1: first; RFC 4760 3: AFI, SAFI, next hop with its length, a reserved octet
        + "800e1c"
        + "00020110"
        + "20010db8000000000000000000000001"
        + "003020010db80001"
        + "40010100"
        + "400200",
    ]


def test_ipv4_prefixes_with_a_next_hop_of_ipv6_go_by_mp_reach() -> None:
    """RFC 8950."""
    attributes = Attributes(parse_address("2001:db8::1"), Origin.IGP)
    (found,) = update_messages(attributes, Family.IPV4, [parse_prefix("10.0.0.0/8")], [])
    assert "800e17" + "000101" + "1020010db8" in found.hex()
    assert found.endswith(bytes.fromhex("40010100400200"))


def test_end_of_rib() -> None:
    """RFC 4724 2."""
    assert end_of_rib(Family.IPV4).hex() == HEADER + "0017020000" + "0000"
    assert end_of_rib(Family.IPV6).hex() == HEADER + "001d02" + "0000" + "0006" + "800f03000201"


def test_messages_have_marker_length_and_type() -> None:
    assert message(MessageType.KEEPALIVE, b"").hex() == HEADER + "001304"


@pytest.mark.parametrize("family", Family)
def test_messages_are_filled_to_4096_octets_and_no_further(family: Family) -> None:
    attributes = PLAIN if family is Family.IPV4 else Attributes(parse_address("2001:db8::1"))
    size = 4 if family is Family.IPV4 else 16
    prefixes = [Prefix(n.to_bytes(2, "big") + bytes(size - 2) + b"\x10") for n in range(5000)]
    lengths = [len(m) for m in update_messages(attributes, family, prefixes, prefixes)]
    one = len(encode_nlri(prefixes[:1]))
    assert max(lengths) <= 4096
    # But for the last of each kind, none has room for one more.
    assert sum(length + one <= 4096 for length in lengths) <= 2


def test_attributes_that_leave_no_room_are_refused_before_anything_is_announced() -> None:
    small, large = parse_prefix("10.0.0.0/8"), parse_prefix("10.0.0.1/32")
    fitting = Attributes(HOP, communities=tuple(range(1013)))
    room = 4096 - 23 - len(encode_attributes(fitting))
    assert 2 <= room < 5, "the test needs room for one of the two"
    assert len(list(update_messages(fitting, Family.IPV4, [small], []))) == 1
    with pytest.raises(AttributesTooLong, match=f"leave {room} octets"):
        next(update_messages(fitting, Family.IPV4, [small, large], []))
    with pytest.raises(AttributesTooLong, match="leave 0 octets"):
        list(update_messages(Attributes(HOP, communities=tuple(range(1100))), Family.IPV4, [small], []))
    (extended,) = update_messages(fitting, Family.IPV4, [small, large], [], maximum=MAXIMUM_EXTENDED)
    assert len(extended) == 4096 - room + 7


def test_nothing_makes_no_message_and_prefixes_need_attributes() -> None:
    assert list(update_messages(None, Family.IPV6, [], [])) == []
    with pytest.raises(ValueError, match="without attributes"):
        list(update_messages(None, Family.IPV4, [parse_prefix("10.0.0.0/8")], []))


def test_a_next_hop_of_ipv6_is_refused_in_next_hop() -> None:
    attributes = Attributes(parse_address("2001:db8::1"))
    with pytest.raises(ValueError, match="MP_REACH_NLRI"):
        encode_attributes(attributes)
    value = mp_reach_value(Family.IPV6, attributes.next_hop, b"")
    assert encode_attributes(attributes, value).hex().startswith("800e15000201" + "10")
