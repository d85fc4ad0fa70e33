"""ICMP echo: bytes both ways, and garbage."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgpsvc.health.icmp import Echo, checksum, reply, request

ECHO = Echo(0x1234, 7, b"payload")
SOURCE = bytes((192, 168, 0, 10))


def ipv4(message: bytes, options: bytes = b"") -> bytes:
    """A packet as a raw socket hands it over."""
    header = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, 0, 0, 0, 64, 1, 0)
    return header + SOURCE + bytes(4) + options + message


def answered(echo: Echo, kind: int = 0, code: int = 0) -> bytes:
    """The reply that a host makes of a request."""
    body = struct.pack("!BBHHH", kind, code, 0, echo.identifier, echo.sequence) + echo.payload
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


def test_request() -> None:
    # A packet of ping(8), its checksum computed by hand: 0x0800 + 0x1234 + 7 + the payload in pairs.
    assert request(ECHO) == struct.pack("!BBHHH", 8, 0, 0x2895, 0x1234, 7) + b"payload"
    assert checksum(request(ECHO)) == 0


@pytest.mark.parametrize("options", [b"", bytes(8)])
def test_reply(options: bytes) -> None:
    assert reply(ipv4(answered(ECHO), options)) == (SOURCE, ECHO)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        ipv4(b""),
        ipv4(request(ECHO)),
        ipv4(answered(ECHO, kind=3)),
        ipv4(answered(ECHO, code=1)),
        ipv4(answered(ECHO)[:-1] + b"D"),
        ipv4(answered(ECHO))[:-1],
        b"\x60" + ipv4(answered(ECHO))[1:],
        b"\x42" + ipv4(answered(ECHO))[1:],
    ],
)
def test_what_is_no_reply(packet: bytes) -> None:
    assert reply(packet) is None


@given(st.binary(max_size=80))
def test_garbage_is_no_reply(packet: bytes) -> None:
    found = reply(packet)
    assert found is None or len(packet) >= 28


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=60))
def test_what_is_sent_comes_back(identifier: int, sequence: int, payload: bytes) -> None:
    echo = Echo(identifier, sequence, payload)
    sent = request(echo)
    assert checksum(sent) == 0 or len(sent) % 2
    assert reply(ipv4(answered(echo))) == (SOURCE, echo)
