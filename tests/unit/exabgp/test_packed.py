"""Plain UPDATEs handed over as they are, against ExaBGP's JSON of the same: the same events."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence

import pytest
from exabgp.bgp.message.notification import Notify
from exabgp.bgp.message.update.attribute import Attributes as ExabgpAttributes
from exabgp.environment import getenv
from exabgp.logger import log
from hypothesis import given, settings
from hypothesis import strategies as st

from bgpsvc.events import Announced, BgpEvent, MessagesLost, Withdrawn
from bgpsvc.exabgp import treatment
from bgpsvc.exabgp.codec import Decoder
from bgpsvc.exabgp.packed import Head, line, split
from bgpsvc.exabgp.rfc7606 import Peering, check, usual
from bgpsvc.model import Family, SessionId, SessionState, parse_address, parse_prefix
from tests.fakes import bgp_wire as wire
from tests.unit.exabgp.handing_over import handed_over
from tests.unit.exabgp.test_fastpath import body
from tests.unit.exabgp.test_rfc7606 import Negotiated, _lines_of_exabgp

log.init(getenv())
ADDRESSES = ("169.254.10.1", "169.254.10.2")
NAME = SessionId("c1-tunnel1")
EBGP, IBGP, OLD = Peering(True, False), Peering(True, True), Peering(False, False)
GOOD = wire.attributes([65500, 70000], "169.254.10.2", med=5, communities=[(1, 2)])
OTHER = wire.attributes([65500, 70001], "169.254.10.2")
V6 = wire.attributes([65500])


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExabgpAttributes, "unpack", classmethod(treatment.unpack_attributes))


def decoded(lines: Sequence[bytes]) -> list[BgpEvent]:
    decoder = Decoder({ADDRESSES: NAME})
    events = decoder.feed(*lines)
    assert decoder.unknown == 0, decoder.last_unknown
    return events


def without_order(events: list[BgpEvent]) -> list[object]:
    """Prefixes of one event come in any order."""
    return [
        (type(e), getattr(e, "attributes", None), getattr(e, "error", None), sorted(e.prefixes))
        for e in events
        if isinstance(e, Announced | Withdrawn)
    ]


def path(*asns: int, kind: int = 2, size: int = 4) -> bytes:
    return bytes((kind, len(asns))) + b"".join(asn.to_bytes(size, "big") for asn in asns)


# Of the EVPN ones (type 6) ExaBGP's JSON says something else than what came.
EXTENDED_COMMUNITY = st.builds(
    bytes.__add__,
    st.sampled_from([b"\0", b"\1", b"\2", b"\3", b"\x43", b"\x80"]),
    st.binary(min_size=7, max_size=7),
)


@st.composite
def attributes(draw: st.DrawFn, peering: Peering, plain_next_hop: bool) -> bytes:
    """Well-formed ones, in the order of their codes or another, some of them missing."""
    size = peering.asn_size
    numbers = st.integers(1, 256**size - 1)
    segments = st.tuples(st.sampled_from([1, 2]), st.lists(numbers, min_size=1, max_size=30))
    parts = [wire.attribute(0x40, 1, bytes((draw(st.integers(0, 2)),)))]
    found = draw(st.lists(segments, max_size=3))
    value = b"".join(path(*asns, kind=kind, size=size) for kind, asns in found)
    extended = bytes((0x50, 2)) + len(value).to_bytes(2, "big") + value
    parts.append(extended if draw(st.booleans()) else wire.attribute(0x40, 2, value))
    if plain_next_hop:
        parts.append(wire.attribute(0x40, 3, bytes((169, 254, 10, 2))))
    optional = {
        0x8004: st.binary(min_size=4, max_size=4),
        0x4005: st.binary(min_size=4, max_size=4),
        0x4006: st.just(b""),
        0xC007: st.binary(min_size=size + 4, max_size=size + 4),
        0xC008: st.sampled_from([1, 2, 80]).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)),
        0x8009: st.binary(min_size=4, max_size=4),
        0xC010: st.lists(EXTENDED_COMMUNITY, min_size=1, max_size=5).map(b"".join),
        0xC020: st.integers(1, 5).flatmap(lambda n: st.binary(min_size=12 * n, max_size=12 * n)),
        0xC063: st.binary(max_size=5),
    }
    for kind in sorted(draw(st.sets(st.sampled_from(sorted(optional)))), key=lambda kind: kind & 0xFF):
        parts.append(wire.attribute(kind >> 8, kind & 0xFF, draw(optional[kind])))
    if draw(st.booleans()):
        parts = draw(st.permutations(parts))
    return b"".join(parts)


def texts(bits: int) -> st.SearchStrategy[list[str]]:
    kind = ipaddress.IPv4Network if bits == 32 else ipaddress.IPv6Network
    one = st.builds(
        lambda address, length: str(kind((address, length), strict=False)),
        st.integers(0, 2**bits - 1),
        st.integers(0, bits),
    )
    return st.lists(one, max_size=12, unique=True)


@settings(max_examples=50, deadline=None)
@given(st.data(), st.sampled_from([EBGP, IBGP, OLD, Peering(False, True)]))
def test_ipv4_as_through_json(data: st.DataObject, peering: Peering) -> None:
    announced, withdrawn = data.draw(texts(32)), data.draw(texts(32))
    packed = data.draw(attributes(peering, data.draw(st.booleans()))) if announced else b""
    update = body(packed, b"".join(map(wire.nlri, announced)), b"".join(map(wire.nlri, withdrawn)))
    same(update, peering, plain=bool(announced or withdrawn))


@settings(max_examples=50, deadline=None)
@given(st.data(), st.sampled_from([EBGP, IBGP]))
def test_ipv6_as_through_json(data: st.DataObject, peering: Peering) -> None:
    prefixes = data.draw(texts(128))
    reach = data.draw(st.booleans())
    mp = wire.mp_reach("fd00:10::2", prefixes) if reach else wire.mp_unreach(prefixes)
    others = data.draw(attributes(peering, plain_next_hop=data.draw(st.booleans())))
    first = data.draw(st.booleans())
    if not prefixes:
        assert handed_over(Negotiated(peering), body(mp + others)) is None
        return
    same(body(mp + others if first else others + mp), peering, plain=True)


def same(update: bytes, peering: Peering, plain: bool) -> None:
    """Handed over it makes the events that it makes through JSON; if it is `plain`, it is handed over."""
    lines = handed_over(Negotiated(peering), update)
    malformed = check(split(update).attributes, peering).malformed if split(update) else None  # type: ignore[union-attr]
    assert (lines is not None) == (plain and malformed is None)
    if lines is not None:
        expected = decoded(_lines_of_exabgp(update, Negotiated(peering)))
        assert without_order(decoded(lines)) == without_order(expected)


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from([EBGP, IBGP, OLD]))
def test_any_bytes_are_handed_over_only_if_exabgp_takes_them(data: bytes, peering: Peering) -> None:
    lines = handed_over(Negotiated(peering), data)
    if lines is not None:
        expected = decoded(_lines_of_exabgp(data, Negotiated(peering)))
        assert without_order(decoded(lines)) == without_order(expected)


@settings(max_examples=50, deadline=None)
@given(st.data(), st.sampled_from([EBGP, IBGP, OLD]))
def test_what_needs_no_walk_is_found_well_formed_by_one(data: st.DataObject, peering: Peering) -> None:
    packed = data.draw(attributes(peering, True))
    position = data.draw(st.integers(0, len(packed)))
    changed = (
        packed[:position]
        + data.draw(st.binary(max_size=2))
        + packed[position + data.draw(st.integers(0, 2)) :]
    )
    for field in (packed, changed):
        if usual(peering).fullmatch(field):
            checked = check(field, peering)
            assert checked.malformed is None
            assert len(checked.attributes) in (len(field), len(field) - 1), (
                "the length of AS_PATH may be shorter"
            )


def test_routers_write_what_needs_no_walk() -> None:
    for asns in ([65500], range(1, 26)):
        packed = wire.attributes(list(asns), "169.254.10.2", med=5, communities=[(1, n) for n in range(63)])
        assert usual(EBGP).fullmatch(packed)
    assert not usual(EBGP).fullmatch(wire.attributes([65500], "169.254.10.2", local_pref=5))
    assert usual(IBGP).fullmatch(wire.attributes([], "169.254.10.2", local_pref=5))


LEFT_TO_EXABGP = {
    "end of rib": b"\0\0\0\0",
    "end of rib of ipv6": body(wire.mp_unreach([])),
    "attributes alone": body(GOOD),
    "both kinds of prefixes": body(
        GOOD + wire.mp_reach("fd00::1", ["2001:db8::/32"]), wire.nlri("20.0.0.0/8")
    ),
    "reachable and unreachable": body(
        V6 + wire.mp_reach("fd00::1", ["2001:db8::/32"]) + wire.mp_unreach(["2001:db8::/32"])
    ),
    "another family": body(V6 + wire.attribute(0x80, 14, b"\0\1\2\4\1\2\3\4\0\x08\x0a")),
    "wrong flags": body(V6 + wire.attribute(0xC0, 14, wire.mp_reach("fd00::1", ["2001:db8::/32"])[3:])),
    "next hop of 24 bytes": body(V6 + wire.attribute(0x80, 14, b"\0\2\1\x18" + bytes(25) + b"\x08\x20")),
    "two global next hops": body(V6 + wire.attribute(0x80, 14, b"\0\2\1\x20" + b"\x20" * 32 + b"\0\x08\x20")),
    "malformed": body(GOOD + wire.attribute(0xC0, 32, b"\1"), wire.nlri("20.0.0.0/8")),
    "too short": b"\0\0\0",
    "withdrawn runs over": b"\0\x09\x18\1\2\3\0\0",
    "attributes run over": b"\0\0\0\x09\x40",
}


@pytest.mark.parametrize("update", LEFT_TO_EXABGP.values(), ids=LEFT_TO_EXABGP)
def test_left_to_exabgp(update: bytes) -> None:
    assert handed_over(Negotiated(EBGP), update) is None


def test_add_path_and_families_that_were_not_negotiated() -> None:
    v4, v6 = body(GOOD, wire.nlri("20.0.0.0/8")), body(V6 + wire.mp_reach("fd00::1", ["2001:db8::/32"]))
    agreed = Negotiated(EBGP)
    assert handed_over(agreed, v4, v6) is not None
    agreed.families = agreed.families[:1]
    assert handed_over(agreed, v4) is not None
    assert handed_over(agreed, v6) is None
    agreed = Negotiated(EBGP)
    agreed.addpath = type("Path", (), {"receive": staticmethod(lambda *_: True)})  # type: ignore[misc]
    assert handed_over(agreed, v4) is None
    assert handed_over(agreed, v6) is None


def test_the_link_local_next_hop_is_the_one_used() -> None:
    """RFC 2545 3: a peer on the same link names both."""
    hops = parse_address("fd00:10::2") + parse_address("fe80::2")
    value = struct.pack("!HBB", 2, 1, 32) + hops + b"\0" + wire.nlri("2001:db8::/32")
    update = body(V6 + wire.attribute(0x80, 14, value))
    lines = handed_over(Negotiated(EBGP), update)
    assert lines is not None
    (event,) = decoded(lines)
    # ExaBGP makes two routes of it, the latter of which stays.
    assert event == decoded(_lines_of_exabgp(update, Negotiated(EBGP)))[-1]
    assert isinstance(event, Announced)
    assert event.attributes.next_hop == parse_address("fe80::2")


def test_neighbours_with_equal_attributes_share_a_line_and_an_event() -> None:
    updates = [body(GOOD, wire.nlri(f"20.{n}.0.0/16")) for n in range(5)]
    updates.append(body(OTHER, wire.nlri("30.0.0.0/16")))
    updates += [body(b"", b"", wire.nlri(f"20.{n}.0.0/16")) for n in range(3)]
    updates.append(body(GOOD, wire.nlri("20.1.0.0/16"), wire.nlri("20.4.0.0/16")))
    lines = handed_over(Negotiated(EBGP), *updates)
    assert lines is not None
    assert len(lines) == 3
    first, other, gone, again = decoded(lines)
    assert isinstance(first, Announced)
    assert len(first.prefixes) == 5
    assert isinstance(other, Announced)
    assert gone == Withdrawn(NAME, tuple(parse_prefix(f"20.{n}.0.0/16") for n in (0, 1, 2, 4)))
    assert isinstance(again, Announced)
    assert again.attributes is first.attributes
    # The same from one line each, which come together.
    apart = [line for n, update in enumerate(updates, 1) for line in renumbered(update, n)]
    assert decoded(apart) == [first, other, gone, again]


def renumbered(update: bytes, counter: int) -> list[bytes]:
    lines = handed_over(Negotiated(EBGP), update)
    assert lines is not None
    return [b" ".join((word, b"%d" % counter, rest)) for word, _, rest in (x.split(b" ", 2) for x in lines)]


def test_what_is_withdrawn_after_it_was_announced_stays_behind_it() -> None:
    prefix = wire.nlri("20.0.0.0/16")
    lines = handed_over(Negotiated(EBGP), body(GOOD, prefix), body(b"", b"", prefix), body(GOOD, prefix))
    assert lines is not None
    assert [type(event) for event in decoded(lines)] == [Announced, Withdrawn, Announced]
    other = wire.nlri("30.0.0.0/16")
    lines = handed_over(Negotiated(EBGP), body(GOOD, prefix), body(GOOD, other, prefix))
    assert lines is not None
    assert [type(event) for event in decoded(lines)] == [Announced, Withdrawn, Announced]


def test_lines_and_events_have_an_end() -> None:
    updates = [
        body(GOOD, b"".join(b"\x18" + struct.pack("!HB", n, m) for m in range(200))) for n in range(100)
    ]
    lines = handed_over(Negotiated(EBGP), *updates)
    assert lines is not None
    events = decoded(lines)
    sizes = [len(event.prefixes) for event in events if isinstance(event, Announced)]
    assert sum(sizes) == 20_000
    assert max(sizes) < 4_000
    assert len(lines) < 20


# The daemon's end -------------------------------------------------------------------------------


def packed_line(counter: int, pid: int = 7, peer: str = ADDRESSES[1], nlri: bytes = b"\x08\x14") -> bytes:
    head = Head(Family.IPV4, pid, ADDRESSES[0], peer, EBGP).pack()
    return line(head, counter, nlri, b"", b"", b"")[:-1]


def test_losses_are_counted_across_both_kinds_of_lines() -> None:
    made = Decoder({ADDRESSES: NAME})
    gone = Withdrawn(NAME, (parse_prefix("20.0.0.0/8"),))
    assert made.feed(packed_line(4), packed_line(7)) == [gone, MessagesLost(NAME, 2), gone]
    fsm = (
        b'{"pid": 7, "counter": 9, "type": "fsm", "neighbor": {"address": {"local": "%b", "peer": "%b"}, '
        b'"state": "ACTIVE"}}' % (ADDRESSES[0].encode(), ADDRESSES[1].encode())
    )
    lost, changed = made.feed(fsm)
    assert lost == MessagesLost(NAME, 1)
    assert getattr(changed, "state", None) is SessionState.CONNECT
    assert made.feed(packed_line(10)) == [gone]
    # Another process counts anew.
    assert made.feed(packed_line(3, pid=8)) == [gone]


def test_a_session_that_is_renamed_or_goes() -> None:
    made = Decoder({ADDRESSES: NAME})
    assert len(made.feed(packed_line(1))) == 1
    made.set_sessions({ADDRESSES: SessionId("other-tunnel1")})
    (event,) = made.feed(packed_line(2))
    assert isinstance(event, Withdrawn)
    assert event.session == "other-tunnel1"
    made.set_sessions({})
    assert made.feed(packed_line(3), packed_line(9, peer="10.0.0.9")) == []
    assert made.unknown == 0


@pytest.mark.parametrize(
    "text",
    [
        b"!",
        b"!4,1,a,b,0,1",
        b"!4,x,169.254.10.1,169.254.10.2,0,1 1 CBQ=   ",
        b"!5,1,169.254.10.1,169.254.10.2,0,1 1 CBQ=   ",
        packed_line(1).replace(b" 1 ", b" one "),
        packed_line(1, nlri=b"\x21\1\2\3\4\5"),
        packed_line(1).replace(b"CBQ=", b"C"),
        line(Head(Family.IPV4, 7, *ADDRESSES, EBGP).pack(), 1, b"", b"\x08\x14", b"", b"QAEB")[:-1],
    ],
)
def test_what_is_not_understood_is_counted_and_harmless(text: bytes) -> None:
    made = Decoder({ADDRESSES: NAME})
    assert made.feed(text) == []
    assert made.unknown == 1
    assert len(made.feed(packed_line(2))) == 1


def test_a_head_says_what_it_was_made_of() -> None:
    for head in (
        Head(Family.IPV4, 1, "10.0.0.1", "10.0.0.2", Peering(True, False)),
        Head(Family.IPV6, 99999, "fd00::1", "fd00::2", Peering(False, True)),
    ):
        assert Head.parse(head.pack()) == head


def test_no_exception_of_exabgp_hides_behind_a_difference() -> None:
    """What is left to ExaBGP because it ends the session does end it."""
    with pytest.raises(Notify):
        _lines_of_exabgp(LEFT_TO_EXABGP["reachable and unreachable"][:-1], Negotiated(EBGP))
