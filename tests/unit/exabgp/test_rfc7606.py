"""Each path attribute with wrong flags, length, value, and twice: through ExaBGP's parser to the event.

Flags, lengths and what to do come from RFC 7606 3 and 7, RFC 6793 6, RFC 7607 2 and RFC 8092 5. No case may
end the session, except the last ones. All of it twice: as the speakers do it, where plain UPDATEs are handed
over as they are, and with all of them left to ExaBGP.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import orjson
import pytest
from exabgp.bgp.message import Action, Update
from exabgp.bgp.message.direction import Direction
from exabgp.bgp.message.notification import Notify
from exabgp.bgp.message.update.attribute import Attribute
from exabgp.bgp.message.update.attribute import Attributes as ExabgpAttributes
from exabgp.environment import getenv
from exabgp.logger import log
from exabgp.protocol.family import AFI, SAFI
from exabgp.reactor.api.response.json import JSON
from hypothesis import given
from hypothesis import strategies as st

from bgpsvc.events import Announced, BgpEvent, EndOfRib, Withdrawn
from bgpsvc.exabgp import fastpath, treatment
from bgpsvc.exabgp.codec import Decoder
from bgpsvc.exabgp.rfc7606 import Peering, check
from bgpsvc.model import Attributes, Family, SessionId, parse_prefix
from tests.fakes import bgp_wire as wire
from tests.unit.exabgp.handing_over import handed_over
from tests.unit.exabgp.test_fastpath import body

log.init(getenv())
ENCODER = JSON("5.0.0")
ENCODER.compact = True
ADDRESSES = ("169.254.10.1", "169.254.10.2")
NAME = SessionId("c1-tunnel1")
PREFIX = "20.0.0.0/24"
V6 = "2001:db8:1::/48"
EBGP, IBGP, OLD = Peering(True, False), Peering(True, True), Peering(False, False)


class Negotiated:
    """As much of ExaBGP's as decoding an UPDATE looks at."""

    aigp = False
    cached_attributes = None
    cached_wire = b""
    families = ((AFI.ipv4, SAFI.unicast), (AFI.ipv6, SAFI.unicast))
    nexthop = ()

    class addpath:
        """Not negotiated."""

        receive: ClassVar = staticmethod(lambda *_: False)

    def __init__(self, peering: Peering) -> None:
        self.asn4 = peering.asn4
        self.neighbor = {"local-as": 65500 if peering.ibgp else 65530, "peer-as": 65500}


class Way:
    """How UPDATEs are decoded now."""

    packed = True


@pytest.fixture(autouse=True, params=["packed", "json"])
def installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExabgpAttributes, "unpack", classmethod(treatment.unpack_attributes))
    monkeypatch.setattr(Way, "packed", request.param == "packed")


def received(data: bytes, peering: Peering = EBGP, negotiated: Negotiated | None = None) -> list[BgpEvent]:
    """The events of one UPDATE's body; Notify if it ends the session."""
    agreed = negotiated or Negotiated(peering)
    decoder = Decoder({ADDRESSES: NAME})
    lines = handed_over(agreed, data) if Way.packed else None
    events = decoder.feed(*(_lines_of_exabgp(data, agreed) if lines is None else lines))
    assert decoder.unknown == 0, decoder.last_unknown
    return events


def _lines_of_exabgp(data: bytes, agreed: Negotiated) -> list[bytes]:
    update = fastpath.unpack_message(Update, data, Direction.IN, agreed)
    if isinstance(update, fastpath.PlainUpdate):
        message = fastpath.message_json(update)
    else:
        # As ExaBGP's reactor does before it tells the API.
        if Attribute.CODE.INTERNAL_TREAT_AS_WITHDRAW in update.attributes:
            for nlri in update.nlris:
                nlri.action = Action.WITHDRAW
        message = str(fastpath._ORIGINAL_UPDATE(ENCODER, update)["message"])
    neighbor = {
        "address": {"local": ADDRESSES[0], "peer": ADDRESSES[1]},
        "asn": {"local": agreed.neighbor["local-as"], "peer": 65500},
        "message": orjson.loads(message),
    }
    return [orjson.dumps({"pid": 1, "counter": 1, "type": "update", "neighbor": neighbor})]


def attribute(code: int, value: bytes, flags: int) -> bytes:
    return wire.attribute(flags, code, value)


def path(*asns: int, kind: int = 2, size: int = 4) -> bytes:
    return bytes((kind, len(asns))) + b"".join(asn.to_bytes(size, "big") for asn in asns)


WELL_KNOWN, OPTIONAL, TRANSITIVE = 0x40, 0x80, 0xC0
FLAGS = {
    1: WELL_KNOWN,
    2: WELL_KNOWN,
    3: WELL_KNOWN,
    4: OPTIONAL,
    5: WELL_KNOWN,
    6: WELL_KNOWN,
    7: TRANSITIVE,
    8: TRANSITIVE,
    9: OPTIONAL,
    10: OPTIONAL,
    16: TRANSITIVE,
    17: TRANSITIVE,
    18: TRANSITIVE,
    25: TRANSITIVE,
    32: TRANSITIVE,
}
# A correct value of each, and another one.
VALUES = {
    1: (b"\0", b"\2"),
    2: (path(65500), path(65500, 7)),
    3: (bytes((169, 254, 10, 2)), bytes((169, 254, 10, 6))),
    4: (bytes(4), bytes(3) + b"\1"),
    5: (bytes(4), bytes(3) + b"\1"),
    6: (b"", b""),
    7: (b"\0\0\0\5\1\2\3\4", b"\0\0\0\6\1\2\3\4"),
    8: (b"\0\1\0\2", b"\0\1\0\3"),
    9: (b"\1\2\3\4", b"\1\2\3\5"),
    10: (b"\1\2\3\4", b"\1\2\3\4\1\2\3\5"),
    16: (b"\0\2\0\1\0\0\0\1", b"\0\2\0\1\0\0\0\2"),
    17: (path(70000), path(70001)),
    18: (b"\0\1\x11\x70\1\2\3\4", b"\0\1\x11\x71\1\2\3\4"),
    25: (bytes(20), bytes(19) + b"\1"),
    32: (bytes(12), bytes(11) + b"\1"),
}
MANDATORY = (1, 2, 3)
WITHDRAWN, DISCARDED, KEPT = "withdrawn", "discarded", "kept"


def attributes(code: int, *values: bytes, flags: int | None = None, asn_size: int = 4) -> bytes:
    """Those that every route has, and `code` with these values one after the other."""
    packed = b""
    for each in sorted({*MANDATORY, code}):
        if each == code:
            packed += b"".join(attribute(each, v, FLAGS[each] if flags is None else flags) for v in values)
        else:
            value = path(65500, size=asn_size) if each == 2 else VALUES[each][0]
            packed += attribute(each, value, FLAGS[each])
    return packed


def plain(peering: Peering) -> Attributes:
    """What the route has without the attribute in question."""
    (event,) = received(
        body(attributes(1, b"\0", asn_size=peering.asn_size), wire.nlri(PREFIX)), peering, Negotiated(peering)
    )
    assert isinstance(event, Announced)
    return event.attributes


def outcome(packed: bytes, peering: Peering) -> tuple[str, str]:
    """What becomes of an IPv4 and of an IPv6 route with these attributes, which must be the same."""
    found = []
    for announced, extra in ((wire.nlri(PREFIX), b""), (b"", wire.mp_reach("fd00::1", [V6]))):
        (event,) = received(body(packed + extra, announced), peering)
        if isinstance(event, Withdrawn):
            assert event.error, "the reason is told"
            found.append((WITHDRAWN, event.error))
        else:
            assert isinstance(event, Announced)
            without = replace(plain(peering), next_hop=event.attributes.next_hop)
            found.append((DISCARDED if event.attributes == without else KEPT, ""))
    assert found[0] == found[1]
    return found[0]


@dataclass(frozen=True)
class Case:
    """An attribute's value (or values), the expected outcome, and what its reason names."""

    code: int
    value: bytes
    expected: str
    reason: str = ""
    peering: Peering = EBGP


CASES = [
    Case(1, b"", WITHDRAWN, "ORIGIN has length 0 (RFC 7606 7.1)"),
    Case(1, b"\0\0", WITHDRAWN, "ORIGIN has length 2 (RFC 7606 7.1)"),
    Case(1, b"\3", WITHDRAWN, "ORIGIN has an undefined value (RFC 7606 7.1)"),
    Case(2, b"\2\0", WITHDRAWN, "AS_PATH is malformed (RFC 7606 7.2)"),
    Case(2, path(65500) + b"\1\0", WITHDRAWN, "AS_PATH is malformed"),
    Case(2, path(65500, kind=9), WITHDRAWN, "AS_PATH is malformed"),
    Case(2, path(65500, kind=0), WITHDRAWN, "AS_PATH is malformed"),
    Case(2, path(65500)[:-1], WITHDRAWN, "AS_PATH is malformed"),
    Case(2, path(65500) + b"\2", WITHDRAWN, "AS_PATH is malformed"),
    Case(2, path(65500, 0), WITHDRAWN, "AS_PATH contains AS 0 (RFC 7607 2)"),
    Case(2, path(65500) + path(5, kind=3), WITHDRAWN, "AS_PATH has a confederation segment (RFC 5065 5)"),
    Case(2, path(5, kind=4) + path(65500), WITHDRAWN, "AS_PATH has a confederation segment"),
    Case(2, path(5, kind=3), WITHDRAWN, "AS_PATH has a confederation segment", IBGP),
    Case(2, b"", WITHDRAWN, "AS_PATH is missing or empty"),
    Case(2, path(65500, 23456, size=2)[:-1], WITHDRAWN, "AS_PATH is malformed", OLD),
    Case(3, bytes(5), WITHDRAWN, "NEXT_HOP has length 5 (RFC 7606 7.3)"),
    Case(3, bytes(16), WITHDRAWN, "NEXT_HOP has length 16 (RFC 7606 7.3)"),
    Case(3, b"", WITHDRAWN, "NEXT_HOP has length 0 (RFC 7606 7.3)"),
    Case(4, bytes(5), WITHDRAWN, "MULTI_EXIT_DISC has length 5 (RFC 7606 7.4)"),
    Case(4, b"", WITHDRAWN, "MULTI_EXIT_DISC has length 0"),
    Case(5, bytes(5), DISCARDED),
    Case(5, VALUES[5][0], DISCARDED),
    Case(5, bytes(5), WITHDRAWN, "LOCAL_PREF has length 5 (RFC 7606 7.5)", IBGP),
    Case(6, b"\1", DISCARDED),
    Case(7, bytes(3), DISCARDED),
    Case(7, b"", DISCARDED),
    Case(7, b"\0\5\1\2\3\4", DISCARDED),
    Case(7, b"\0\0\0\0\1\2\3\4", DISCARDED),
    Case(7, VALUES[7][0], DISCARDED, peering=OLD),
    Case(8, b"", WITHDRAWN, "COMMUNITIES has length 0 (RFC 7606 7.8)"),
    Case(8, bytes(6), WITHDRAWN, "COMMUNITIES has length 6 (RFC 7606 7.8)"),
    Case(9, bytes(11), DISCARDED),
    Case(9, VALUES[9][0], DISCARDED),
    Case(9, bytes(11), WITHDRAWN, "ORIGINATOR_ID has length 11 (RFC 7606 7.9)", IBGP),
    Case(10, b"\x94", DISCARDED),
    Case(10, VALUES[10][0], DISCARDED),
    Case(10, b"\x94", WITHDRAWN, "CLUSTER_LIST has length 1 (RFC 7606 7.10)", IBGP),
    Case(10, b"", WITHDRAWN, "CLUSTER_LIST has length 0", IBGP),
    Case(16, b"", WITHDRAWN, "EXTENDED COMMUNITIES has length 0 (RFC 7606 7.14)"),
    Case(16, bytes(12), WITHDRAWN, "EXTENDED COMMUNITIES has length 12 (RFC 7606 7.14)"),
    Case(17, b"\2\5\0\0", DISCARDED),
    Case(17, path(70000), DISCARDED),
    Case(17, b"\2\5\0\0", DISCARDED, peering=OLD),
    Case(17, b"\2\0", DISCARDED, peering=OLD),
    Case(17, b"", DISCARDED, peering=OLD),
    Case(17, path(70000, kind=7), DISCARDED, peering=OLD),
    Case(17, path(0), DISCARDED, peering=OLD),
    Case(17, path(5, kind=3), DISCARDED, peering=OLD),
    Case(17, path(70000), KEPT, peering=OLD),
    Case(18, b"\1\2\3", DISCARDED),
    Case(18, VALUES[18][0], DISCARDED),
    Case(18, b"\1\2\3", DISCARDED, peering=OLD),
    Case(18, bytes(8), DISCARDED, peering=OLD),
    Case(18, VALUES[18][0], KEPT, peering=OLD),
    Case(25, b"", WITHDRAWN, "IPv6 EXTENDED COMMUNITIES has length 0 (RFC 7606 7.15)"),
    Case(25, bytes(21), WITHDRAWN, "IPv6 EXTENDED COMMUNITIES has length 21 (RFC 7606 7.15)"),
    Case(32, b"", WITHDRAWN, "LARGE_COMMUNITY has length 0 (RFC 8092 5)"),
    Case(32, bytes(5), WITHDRAWN, "LARGE_COMMUNITY has length 5 (RFC 8092 5)"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_malformed_value(case: Case) -> None:
    packed = attributes(case.code, case.value, asn_size=case.peering.asn_size)
    kind, reason = outcome(packed, case.peering)
    assert kind == case.expected
    assert case.reason in reason


@pytest.mark.parametrize("peering", [EBGP, IBGP], ids=["ebgp", "ibgp"])
@pytest.mark.parametrize("code", FLAGS)
def test_wrong_flags(code: int, peering: Peering) -> None:
    """RFC 7606 3 c, for the Optional and the Transitive bit alone."""
    kind, reason = outcome(attributes(code, VALUES[code][0]), peering)
    for bit in (0x80, 0x40):
        found, why = outcome(attributes(code, VALUES[code][0], flags=FLAGS[code] ^ bit), peering)
        if code in (17, 18) or (code in (5, 9, 10) and peering is EBGP):
            assert found == DISCARDED, "it has no place here, whatever its flags are"
        else:
            assert found == WITHDRAWN
            assert "wrong flags (RFC 7606 3 c)" in why
    # Partial, and the bits without a meaning.
    assert outcome(attributes(code, VALUES[code][0], flags=FLAGS[code] | 0x2F), peering) == (kind, reason)


@pytest.mark.parametrize("peering", [EBGP, IBGP], ids=["ebgp", "ibgp"])
@pytest.mark.parametrize("code", FLAGS)
def test_twice(code: int, peering: Peering) -> None:
    """RFC 7606 3 g: the first one counts, whatever the second one is."""
    first, second = VALUES[code]
    (expected,) = received(body(attributes(code, first), wire.nlri(PREFIX)), peering)
    assert isinstance(expected, Announced)
    for other in (second, b"\xff" * 7):
        (event,) = received(body(attributes(code, first, other), wire.nlri(PREFIX)), peering)
        assert event == expected


def test_an_empty_path_is_the_first_one_too() -> None:
    """From a peer of our own AS it is a correct one, and ExaBGP forgets that it was there."""
    (event,) = received(body(attributes(2, b"", path(7)), wire.nlri(PREFIX)), IBGP)
    assert isinstance(event, Announced)
    assert event.attributes.as_path == ()


@pytest.mark.parametrize("value", [b"", b"\x63\x1d\x32\xcf", bytes(range(60)), b"\xff" * 300])
@pytest.mark.parametrize("code", [0, 11, 20, 22, 23, 24, 26, 27, 29, 33, 34, 35, 40, 99, 128, 255])
def test_what_is_no_use_to_us_is_not_read(code: int, value: bytes) -> None:
    for flags in (0x80, 0xC0, 0xE0):
        packed = attributes(1, b"\0") + attribute(code, value, flags)
        assert outcome(packed, EBGP) == (DISCARDED, "")


def test_unknown_and_well_known() -> None:
    kind, reason = outcome(attributes(1, b"\0") + attribute(99, b"x", 0x40), EBGP)
    assert (kind, "attribute 99 is unknown" in reason) == (WITHDRAWN, True)


@pytest.mark.parametrize(
    "tail", [b"\x40", b"\x40\x08", b"\xc0\x08\xff\0", b"\xd0\x08\0", b"\xd0\x08\0\5\1"], ids=bytes.hex
)
def test_lengths_that_do_not_add_up(tail: bytes) -> None:
    """RFC 7606 4."""
    (event,) = received(body(attributes(1, b"\0") + tail, wire.nlri(PREFIX)))
    assert event == Withdrawn(
        NAME, (parse_prefix(PREFIX),), "the attributes' lengths do not add up (RFC 7606 4)"
    )


@pytest.mark.parametrize("code", MANDATORY)
def test_missing(code: int) -> None:
    """RFC 7606 3 d."""
    packed = b"".join(attribute(each, VALUES[each][0], FLAGS[each]) for each in MANDATORY if each != code)
    (event,) = received(body(packed, wire.nlri(PREFIX)))
    assert isinstance(event, Withdrawn)
    assert "missing" in (event.error or "")


def test_a_malformed_update_leaves_no_mark_on_the_next() -> None:
    """ExaBGP keeps the attributes of the last UPDATE for the next one that has the same."""
    agreed = Negotiated(EBGP)
    bad = body(attributes(1, b"\7"), wire.nlri(PREFIX))
    good = body(attributes(1, b"\0"), wire.nlri(PREFIX))
    gone = body(b"", b"", wire.nlri(PREFIX))
    kinds = [received(data, negotiated=agreed) for data in (good, bad, gone, good, bad, bad, good)]
    assert [type(event) for (event,) in kinds] == [
        Announced,
        Withdrawn,
        Withdrawn,
        Announced,
        Withdrawn,
        Withdrawn,
        Announced,
    ]
    assert kinds[2] == [Withdrawn(NAME, (parse_prefix(PREFIX),))]


def test_withdrawn_and_announced_in_a_malformed_one() -> None:
    (event,) = received(body(attributes(1, b"\7"), wire.nlri(PREFIX), wire.nlri("30.0.0.0/8")))
    assert isinstance(event, Withdrawn)
    assert set(event.prefixes) == {parse_prefix(PREFIX), parse_prefix("30.0.0.0/8")}


MP_END = wire.attribute(0x80, 15, b"\0\2\1")


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"\0\0\0\0", [EndOfRib(NAME, Family.IPV4)]),
        (body(MP_END), [EndOfRib(NAME, Family.IPV6)]),
        (body(b"\x90\x0f\0\3\0\2\1"), [EndOfRib(NAME, Family.IPV6)]),
        # Not one of them, though nothing of it is left: a false end would sweep a table.
        (body(attribute(99, b"x", 0xC0)), []),
        (body(attribute(18, b"x", 0xC0)), []),
        (body(MP_END + attribute(99, b"x", 0xC0)), []),
    ],
)
def test_end_of_rib(data: bytes, events: list[BgpEvent]) -> None:
    assert received(data) == events


@pytest.mark.parametrize(
    ("data", "code"),
    [
        # RFC 7606 5.2: malformed, and no prefix that could be withdrawn is seen.
        (body(attributes(1, b"\7")), (3, 1)),
        (body(attributes(1, b"\7"), b"", wire.nlri(PREFIX)), (3, 1)),
        (body(attributes(1, b"\7") + wire.mp_unreach([V6])), (3, 1)),
        # RFC 7606 3 g, 5.3, 7.11: the prefixes can't be located.
        (body(attributes(1, b"\0") + 2 * wire.mp_reach("fd00::1", [V6])), (3, 1)),
        (body(attributes(1, b"\0") + attribute(14, b"\0\2\1\x0f" + bytes(16), 0x80)), (3, 9)),
    ],
)
def test_what_still_ends_the_session(data: bytes, code: tuple[int, int]) -> None:
    with pytest.raises(Notify) as notify:
        received(data)
    assert (notify.value.code, notify.value.subcode) == code


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*range(14), *range(16, 45), 99, 128, 255]),
            st.sampled_from([0x40, 0x80, 0xC0, 0xE0, 0x50, 0xFF, 0]),
            st.binary(max_size=30),
        ),
        max_size=6,
    ),
    st.sampled_from([EBGP, IBGP, OLD, Peering(False, True)]),
)
def test_no_attribute_of_a_stranger_ends_the_session(
    extra: list[tuple[int, int, bytes]], peering: Peering
) -> None:
    base = attributes(1, b"\0", asn_size=peering.asn_size)
    packed = base + b"".join(wire.attribute(flags & 0xEF, code, value) for code, flags, value in extra)
    (event,) = received(body(packed, wire.nlri(PREFIX)), peering)
    assert isinstance(event, Announced | Withdrawn)


@given(st.binary(max_size=40))
def test_any_bytes_are_checked(data: bytes) -> None:
    checked = check(data, EBGP)
    # What is left is left as it is.
    again = check(checked.attributes, EBGP)
    assert again.attributes == checked.attributes
    assert again.malformed is None
