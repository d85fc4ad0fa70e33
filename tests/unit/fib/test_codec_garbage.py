"""Whatever bytes come: a clear error or a value, never another exception and never a loop."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgpsvc.fib import codec, notices, wire
from bgpsvc.fib.ops import NEXTHOP_IDS, SetGroup, SetRoutes
from bgpsvc.fib.wire import NetlinkDecodeError
from bgpsvc.model import Family, parse_prefix

BASE = NEXTHOP_IDS.start
DECODERS: list[Callable[[bytes], object]] = [
    notices.decode_notices,
    codec.decode_nexthop,
    codec.decode_route,
    notices.decode_link,
    notices.decode_connected,
    lambda data: list(wire.messages(data)),
    lambda data: [wire.acknowledgement(item) for item in wire.messages(data)],
    lambda data: [wire.dump_end(item) for item in wire.messages(data)],
    lambda data: wire.attributes(data, 0),
]


def real_messages() -> bytes:
    group = SetGroup(BASE, (BASE + 1, BASE + 2))
    routes = SetRoutes(1000, 100, BASE, (parse_prefix("10.0.0.0/8"), parse_prefix("11.0.0.0/8")))
    data = b"".join(bytes(batch.data) for batch in codec.batches([group, routes], 1))
    link = struct.pack("=BxHiII", 0, 1, 2, 0x10001, 0) + wire.attribute(3, b"eth0\0")
    address = (
        struct.pack("=4BI", 2, 24, 0, 0, 2)
        + wire.attribute(1, b"\x0a\0\0\1")
        + wire.attribute(2, b"\x0a\0\0\1")
    )
    data += wire.request(notices.RTM_NEWLINK, 0, 1, link) + wire.request(notices.RTM_NEWADDR, 0, 1, address)
    error = (
        struct.pack("=i", -errno.EINVAL) + struct.pack("=IHHII", 16, 24, 0, 5, 0) + wire.attribute(1, b"no\0")
    )
    return data + wire.request(wire.NLMSG_ERROR, 0x300, 5, error)


REAL = real_messages()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Real messages, cut somewhere and with some bytes changed."""
    data = bytearray(REAL[draw(st.integers(0, len(REAL))) // 4 * 4 :])
    for _ in range(draw(st.integers(0, 6))):
        if data:
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=300) | damaged())
def test_decoders(decode: Callable[[bytes], object], data: bytes) -> None:
    with suppress(NetlinkDecodeError):
        decode(data)


@given(st.binary(max_size=300) | damaged(), st.sampled_from(list(Family)))
def test_bulk_reading_stops_inside_the_data(data: bytes, family: Family) -> None:
    dump = codec.RouteDump(family, {})
    assert 0 <= dump.feed_bulk(memoryview(data), 0) <= len(data)


def test_the_real_ones_are_read() -> None:
    assert len(list(wire.messages(REAL))) == 6
    assert len(notices.decode_notices(REAL)) == 5


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\0" * 15, "15 bytes are too short"),
        (struct.pack("=IHHII", 8, 24, 0, 0, 0), "message length 8"),
        (struct.pack("=IHHII", 0, 24, 0, 0, 0), "message length 0"),
        (struct.pack("=IHHII", 17, 24, 0, 0, 0), "message length 17 with 16 bytes"),
        (wire.request(24, 0, 0, bytes(4)), "payload of 4 bytes"),
        (wire.request(24, 0, 0, bytes(12) + struct.pack("=HH", 3, 1)), "attribute 1 of length 3"),
        (wire.request(24, 0, 0, bytes(12) + struct.pack("=HH", 9, 1) + bytes(4)), "attribute 1 of length 9"),
        (wire.request(104, 0, 0, bytes(8)), "without an id"),
        (wire.request(104, 0, 0, bytes(8) + wire.attribute(1, b"12")), "4 bytes"),
        (wire.request(104, 0, 0, bytes(8) + wire.number(1, 5) + wire.attribute(2, bytes(9))), "group of 9"),
        (wire.request(24, 0, 0, b"\x02\x21" + bytes(10)), "length 33"),
        (wire.request(24, 0, 0, b"\x02\x08" + bytes(10) + wire.attribute(1, bytes(16))), "of 16 bytes"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, text: str) -> None:
    with pytest.raises(NetlinkDecodeError, match=text):
        notices.decode_notices(data)


def quoting(code: int, quoted: bytes, flags: int, text: bytes | None) -> wire.Acknowledgement:
    payload = struct.pack("=i", -code) + quoted + (wire.attribute(1, text) if text is not None else b"")
    return wire.acknowledgement(next(wire.messages(wire.request(wire.NLMSG_ERROR, flags, 9, payload))))


HEADER = struct.pack("=IHHII", 16, 24, 0, 5, 0)


def test_acknowledgements() -> None:
    request = struct.pack("=IHHII", 21, 24, 0, 5, 0) + bytes(8)
    assert quoting(0, HEADER, 0x100, None) == wire.Acknowledgement(9, 0, "")
    assert quoting(errno.EINVAL, HEADER, 0x100, None) == wire.Acknowledgement(9, errno.EINVAL, "")
    assert quoting(errno.EINVAL, HEADER, 0x300, b"Nexthop id\0") == wire.Acknowledgement(9, 22, "Nexthop id")
    assert quoting(errno.EINVAL, request, 0x200, b"Nexthop id\0") == wire.Acknowledgement(9, 22, "Nexthop id")
    assert quoting(0, HEADER, 0x300, b"a warning\0").text == "a warning"
    assert quoting(errno.EINVAL, HEADER, 0x300, os.fsencode("\udcff")).text == "\ufffd"
