"""What `bgp_message` writes is what the decoders of received UPDATEs read, whatever it is."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bgpsvc.bgp_message import (
    MAXIMUM_EXTENDED,
    encode_attributes,
    encode_nlri,
    mp_reach_value,
    update_messages,
)
from bgpsvc.exabgp.attributes import unpack_attributes
from bgpsvc.exabgp.nlri import unpack_prefixes
from bgpsvc.exabgp.rfc7606 import Peering, check
from bgpsvc.model import Attributes, Family, Origin, Prefix, Segment, SegmentType, pack_prefix

ASN4 = Peering(asn4=True, ibgp=True)
NUMBER = st.integers(0, 0xFFFFFFFF)


def asns(most: int) -> st.SearchStrategy[int]:
    return st.integers(1, most)


def segments(most: int) -> st.SearchStrategy[tuple[Segment, ...]]:
    kinds = st.sampled_from((SegmentType.SET, SegmentType.SEQUENCE))
    members = st.lists(asns(most), min_size=1, max_size=255).map(tuple)
    return st.lists(st.builds(Segment, kinds, members), max_size=3).map(tuple)


def in_order(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=80, unique=True).map(lambda found: tuple(sorted(found)))


def attribute_sets(next_hop: int, most: int = 0xFFFFFFFF) -> st.SearchStrategy[Attributes]:
    addresses = st.ip_addresses(v=4).map(str)
    return st.builds(
        Attributes,
        next_hop=st.binary(min_size=next_hop, max_size=next_hop),
        origin=st.sampled_from(Origin),
        as_path=segments(most),
        med=st.none() | NUMBER,
        local_pref=st.none() | NUMBER,
        atomic_aggregate=st.booleans(),
        aggregator=st.none() | st.tuples(asns(most), addresses),
        communities=in_order(NUMBER),
        large_communities=in_order(st.tuples(NUMBER, NUMBER, NUMBER)),
        extended_communities=in_order(st.integers(0, 2**64 - 1)),
    )


def prefixes(family: Family) -> st.SearchStrategy[list[Prefix]]:
    size = 4 if family is Family.IPV4 else 16

    def made(drawn: tuple[int, int]) -> Prefix:
        number, length = drawn
        kept = number >> (8 * size - length) << (8 * size - length)
        return pack_prefix(kept.to_bytes(size, "big"), length)

    one = st.tuples(st.integers(0, 2 ** (8 * size) - 1), st.integers(0, 8 * size)).map(made)
    return st.lists(one, max_size=300, unique=True)


@given(attribute_sets(4))
def test_attributes_come_back(attributes: Attributes) -> None:
    field = encode_attributes(attributes)
    assert unpack_attributes(field, b"", ASN4) == attributes
    checked = check(field, ASN4)
    assert checked.malformed is None
    assert checked.attributes == field, "as RFC 7606 has them, flags and all"


@given(attribute_sets(4, 0xFFFF))
def test_attributes_come_back_from_two_octets_a_number(attributes: Attributes) -> None:
    field = encode_attributes(attributes, asn4=False)
    assert unpack_attributes(field, b"", Peering(asn4=False, ibgp=True)) == attributes
    assert not check(field, Peering(asn4=False, ibgp=True)).codes & {17, 18}, "needed by nobody"


@given(attribute_sets(16))
def test_attributes_come_back_beside_mp_reach(attributes: Attributes) -> None:
    field = encode_attributes(attributes, mp_reach_value(Family.IPV6, attributes.next_hop, b""))
    assert unpack_attributes(field, attributes.next_hop, ASN4) == attributes


@given(st.sampled_from(Family).flatmap(lambda f: st.tuples(st.just(f), prefixes(f))))
def test_prefixes_come_back(drawn: tuple[Family, list[Prefix]]) -> None:
    family, wanted = drawn
    assert sorted(unpack_prefixes(encode_nlri(wanted), family)) == sorted(wanted)


@given(attribute_sets(4), prefixes(Family.IPV4), prefixes(Family.IPV4), st.integers(5000, 6000))
def test_updates_hold_each_prefix_once(
    attributes: Attributes, announced: list[Prefix], withdrawn: list[Prefix], maximum: int
) -> None:
    found: list[Prefix] = []
    gone: list[Prefix] = []
    for update in update_messages(attributes, Family.IPV4, announced, withdrawn, maximum=maximum):
        assert len(update) == int.from_bytes(update[16:18], "big") <= maximum
        assert update[18] == 2
        (size,) = struct.unpack("!H", update[19:21])
        (length,) = struct.unpack("!H", update[21 + size : 23 + size])
        gone += unpack_prefixes(update[21 : 21 + size], Family.IPV4)
        field = update[23 + size : 23 + size + length]
        if field:
            assert unpack_attributes(field, b"", ASN4) == attributes
        found += unpack_prefixes(update[23 + size + length :], Family.IPV4)
    assert (sorted(found), sorted(gone)) == (sorted(announced), sorted(withdrawn))


@given(attribute_sets(16), prefixes(Family.IPV6))
def test_updates_of_ipv6_hold_their_prefixes_in_mp_reach(
    attributes: Attributes, announced: list[Prefix]
) -> None:
    found: list[Prefix] = []
    for update in update_messages(attributes, Family.IPV6, announced, [], maximum=MAXIMUM_EXTENDED):
        field = update[23:]
        assert field[:2] in (b"\x80\x0e", b"\x90\x0e")
        start = 4 if field[0] == 0x90 else 3
        value = field[start : start + int.from_bytes(field[2:start], "big")]
        assert value[:4] == b"\0\x02\x01\x10"
        assert unpack_attributes(field, value[4:20], ASN4) == attributes
        found += unpack_prefixes(value[21:], Family.IPV6)
    assert sorted(found) == sorted(announced)
