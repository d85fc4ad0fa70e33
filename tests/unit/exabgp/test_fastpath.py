"""The shortcut for plain UPDATEs against ExaBGP's own way: same JSON, same refusals."""

from __future__ import annotations

import struct
import subprocess
import sys
from typing import Any, ClassVar

import orjson
import pytest
from exabgp.bgp.message import Action, Update
from exabgp.bgp.message.direction import Direction
from exabgp.bgp.message.notification import Notify
from exabgp.bgp.message.update.attribute import Attribute
from exabgp.environment import getenv
from exabgp.logger import log
from exabgp.protocol.family import AFI, SAFI
from exabgp.reactor.api.response.json import JSON
from hypothesis import given
from hypothesis import strategies as st

from bgpsvc.exabgp import fastpath
from tests.fakes import bgp_wire as wire

log.init(getenv())


class Negotiated:
    """As much of ExaBGP's as decoding an UPDATE looks at."""

    asn4 = True
    aigp = False
    cached_attributes = None
    cached_wire = b""
    neighbor: ClassVar = {"local-as": 65530, "peer-as": 65500}
    families = ((AFI.ipv4, SAFI.unicast), (AFI.ipv6, SAFI.unicast))
    nexthop = ()

    def __init__(self, addpath: bool = False) -> None:
        self._addpath = addpath

    @property
    def addpath(self) -> Negotiated:
        return self

    def receive(self, *_: object) -> bool:
        return self._addpath

    send = receive


ENCODER = JSON("5.0.0")
ENCODER.compact = True


def original(body: bytes) -> Any:
    """The message part of ExaBGP's line, or the NOTIFICATION that it would send."""
    try:
        update = fastpath._ORIGINAL_UNPACK(Update, body, Direction.IN, Negotiated())
    except Notify as notify:
        return (notify.code, notify.subcode)
    if Attribute.CODE.INTERNAL_TREAT_AS_WITHDRAW in update.attributes:
        for nlri in update.nlris:
            nlri.action = Action.WITHDRAW
    return orjson.loads(str(fastpath._ORIGINAL_UPDATE(ENCODER, update)["message"]))


def shortcut(body: bytes) -> Any:
    """The same through the shortcut; None if it leaves the UPDATE to ExaBGP."""
    try:
        update = fastpath.parse(Update, body, Direction.IN, Negotiated())
    except Notify as notify:
        return (notify.code, notify.subcode)
    return orjson.loads(fastpath.message_json(update)) if isinstance(update, fastpath.PlainUpdate) else None


def body(attributes: bytes, announced: bytes = b"", withdrawn: bytes = b"") -> bytes:
    head = struct.pack("!H", len(withdrawn)) + withdrawn
    return head + struct.pack("!H", len(attributes)) + attributes + announced


GOOD = wire.attributes([65500, 70000], "169.254.10.2", med=5, communities=[(1, 2)])
NLRI = wire.nlri("20.0.0.0/24")
UPDATES = {
    "announce": body(
        GOOD, NLRI + wire.nlri("0.0.0.0/0") + wire.nlri("10.1.2.3/32") + wire.nlri("10.0.0.0/7")
    ),
    "withdraw": body(b"", b"", NLRI),
    "both": body(GOOD, NLRI, wire.nlri("30.0.0.0/8")),
    "host bits": body(GOOD, bytes((9, 28, 255, 25, 1, 2, 3, 255))),
    "treat as withdraw": body(GOOD + wire.attribute(0xC0, 32, b"\0\1\2"), NLRI),
    "discarded attribute": body(GOOD + wire.attribute(0xC0, 7, b"\0\1\2"), NLRI),
    "no next hop": body(wire.attributes([65500]), NLRI),
    "undefined origin": body(wire.attributes([65500], "169.254.10.2", origin=9), NLRI),
    "attribute runs over": body(GOOD + b"\x40\x08\xff\0", NLRI),
}
LEFT_TO_EXABGP = {
    "end of rib": b"\0\0\0\0",
    "length over 32": body(GOOD, b"\x21\1\2\3\4\5"),
    "prefix runs over": body(GOOD, b"\x18\1\2"),
    "withdrawn runs over": b"\0\x09\x18\1\2\3\0\0",
    "attributes run over": b"\0\0\0\x09\x40",
    "too short": b"\0",
    "multiprotocol": body(wire.attributes([65500], extra=wire.mp_reach("fd00::1", ["2001:db8::/32"]))),
    "multiprotocol and plain": body(
        wire.attributes([65500], "1.2.3.4", extra=wire.mp_reach("fd00::1", ["2001:db8::/32"])), NLRI
    ),
    "attributes alone": body(GOOD),
}


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES)
def test_same_json(update: bytes) -> None:
    assert shortcut(update) == original(update)


@pytest.mark.parametrize("update", LEFT_TO_EXABGP.values(), ids=LEFT_TO_EXABGP)
def test_left_to_exabgp(update: bytes) -> None:
    # Either ExaBGP's own update comes back, or ExaBGP's own refusal.
    result = shortcut(update)
    assert result is None or result == original(update)
    assert not isinstance(result, dict)


@given(
    st.lists(st.tuples(st.integers(0, 34), st.binary(min_size=0, max_size=5)), max_size=8),
    st.sampled_from(
        [GOOD, b"", GOOD + wire.attribute(0xC0, 8, b"\0\1\2"), wire.attributes([1], "1.2.3.4", origin=7)]
    ),
    st.booleans(),
)
def test_any_nlri(nlris: list[tuple[int, bytes]], attributes: bytes, withdraw: bool) -> None:
    """Whatever the bytes: the shortcut agrees with ExaBGP, or leaves it the UPDATE."""
    data = b"".join(bytes((length,)) + rest for length, rest in nlris)
    update = body(attributes, b"", data) if withdraw else body(attributes, data)
    result = shortcut(update)
    assert result is None or result == original(update)


@given(st.binary(max_size=60))
def test_any_bytes(update: bytes) -> None:
    result = shortcut(update)
    assert result is None or result == original(update)


def test_add_path_and_our_own_updates_are_left_to_exabgp() -> None:
    update = UPDATES["announce"]
    assert not isinstance(
        fastpath.unpack_message(Update, update, Direction.OUT, Negotiated()), fastpath.PlainUpdate
    )
    with_path_id = body(GOOD, struct.pack("!L", 7) + NLRI)
    result = fastpath.unpack_message(Update, with_path_id, Direction.IN, Negotiated(addpath=True))
    assert not isinstance(result, fastpath.PlainUpdate)


def test_counter_outlives_the_neighbor_object() -> None:
    """A reload makes new objects for the same session; a counter that began anew would hide a loss."""
    encoder = JSON("5.0.0")
    encoder._count = {}
    first = {"local-address": "1.1.1.1", "peer-address": "2.2.2.2"}
    assert [fastpath.counter(encoder, dict(first)) for _ in range(3)] == [1, 2, 3]
    assert fastpath.counter(encoder, first | {"peer-address": "3.3.3.3"}) == 1


def test_installed_in_a_speaker_the_lines_stay_the_same() -> None:
    """In a process of its own, as installing changes ExaBGP for good: the whole line, header and all."""
    program = """
import orjson, sys
from bgpsvc.exabgp import launcher
from tests.unit.exabgp.test_fastpath import *
neighbor = {"local-address": "1.1.1.1", "peer-address": "2.2.2.2"}
neighbor |= {"local-as": 1, "peer-as": 2, "router-id": None}
class N(dict): uid = "1"
def lines(encoder):
    update = Update.unpack_message(UPDATES["both"], Direction.IN, Negotiated())
    return orjson.loads(encoder.update(N(neighbor), "receive", update, None, b"", b""))
JSON._count = {}
before = lines(ENCODER)
launcher.install()
JSON._count = {}
after = lines(ENCODER)
before["time"] = after["time"] = 0
assert type(Update.unpack_message(UPDATES["both"], Direction.IN, Negotiated())) is fastpath.PlainUpdate
assert before == after, (before, after)
print("same")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "same\n", done.stderr
