"""Prefixes on the wire, many at once, against the same one by one."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgpsvc.exabgp.nlri import unpack_prefixes, well_formed
from bgpsvc.model import Family, Prefix

BITS = {Family.IPV4: 32, Family.IPV6: 128}
FAMILIES = st.sampled_from(list(Family))


def one(data: bytes, at: int, family: Family) -> tuple[Prefix, int]:
    """The prefix at an offset and where the next one begins; ValueError if there is none."""
    length = data[at]
    following = at + 1 + (length + 7) // 8
    if length > BITS[family] or following > len(data):
        raise ValueError
    address = data[at + 1 : following].ljust(BITS[family] // 8, b"\0")
    kind = ipaddress.IPv4Network if family is Family.IPV4 else ipaddress.IPv6Network
    network = kind((address, length), strict=False)
    return Prefix(network.network_address.packed + bytes((length,))), following


def all_of(data: bytes, family: Family) -> list[Prefix]:
    found, at = [], 0
    while at < len(data):
        prefix, at = one(data, at, family)
        found.append(prefix)
    return found


@st.composite
def nlri(draw: st.DrawFn, family: Family) -> bytes:
    """Well formed; few lengths or many, with bits set behind them."""
    lengths = draw(st.lists(st.integers(0, BITS[family]), min_size=1, max_size=4))
    chosen = draw(st.lists(st.sampled_from(lengths), max_size=40))
    return b"".join(
        bytes((length,)) + draw(st.binary(min_size=(length + 7) // 8, max_size=(length + 7) // 8))
        for length in chosen
    )


@settings(deadline=None)
@given(st.data(), FAMILIES)
def test_well_formed_ones(data: st.DataObject, family: Family) -> None:
    packed = data.draw(nlri(family))
    assert well_formed(packed, family)
    assert sorted(unpack_prefixes(packed, family)) == sorted(all_of(packed, family))


@settings(deadline=None)
@given(st.binary(max_size=60), FAMILIES)
def test_any_bytes(data: bytes, family: Family) -> None:
    try:
        expected = all_of(data, family)
    except ValueError:
        assert not well_formed(data, family)
        with pytest.raises(ValueError, match=r"^$|is no NLRI of ipv"):
            unpack_prefixes(data, family)
        return
    assert well_formed(data, family)
    assert sorted(unpack_prefixes(data, family)) == sorted(expected)


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("count", [1, 7, 8, 9, 300])
def test_every_length(family: Family, count: int) -> None:
    """As few of each length as are taken one by one, and as many as are taken together."""
    for length in range(BITS[family] + 1):
        data = count * (bytes((length,)) + b"\xff" * ((length + 7) // 8))
        assert unpack_prefixes(data, family) == tuple(all_of(data, family))


@pytest.mark.parametrize(
    ("data", "family"),
    [
        (b"\x21\1\2\3\4\5", Family.IPV4),
        (b"\x18\1\2", Family.IPV4),
        (b"\x18\1\2\3\x18\1\2", Family.IPV4),
        (b"\x18\1\2\3\x21\1\2\3\4\5", Family.IPV4),
        (b"\x18", Family.IPV4),
        (b"\x81" + bytes(17), Family.IPV6),
        (b"\x40" + bytes(7), Family.IPV6),
    ],
)
def test_malformed(data: bytes, family: Family) -> None:
    assert not well_formed(data, family)
    with pytest.raises(ValueError, match="is no NLRI of ipv"):
        unpack_prefixes(data, family)
