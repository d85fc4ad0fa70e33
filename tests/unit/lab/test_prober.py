"""Packets of the prober."""

from __future__ import annotations

import struct

import pytest

from bgpsvc.lab.prober import checksum, echo_request, reply_number

IP_HEADER = bytes([0x45]) + bytes(19)
LONG_IP_HEADER = bytes([0x46]) + bytes(23)


def reply(request: bytes) -> bytes:
    return bytes([0]) + request[1:]


def test_checksum_of_the_rfc_1071_example() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF
    assert checksum(b"\x01") == ~0x0100 & 0xFFFF


@pytest.mark.parametrize("size", [64, 1450, 99])
def test_a_request_has_the_size_asked_for_and_a_right_checksum(size: int) -> None:
    request = echo_request(7, 3, size)
    assert len(request) == size - 20
    assert checksum(request) == 0


def test_an_ipv6_request_has_its_own_type_and_header_size() -> None:
    request = echo_request(7, 70_000, 1450, ipv6=True)
    assert (request[0], len(request)) == (128, 1410)
    answer = bytes([129]) + request[1:]
    # A raw socket delivers no IPv6 header.
    assert reply_number(answer, 7, ipv6=True) == 70_000
    assert reply_number(request, 7, ipv6=True) is None
    assert reply_number(answer, 8, ipv6=True) is None


def test_numbers_beyond_16_bits_are_told_apart() -> None:
    answer = reply(echo_request(7, 70_000, 64))
    assert reply_number(IP_HEADER + answer, 7) == 70_000
    assert reply_number(LONG_IP_HEADER + answer, 7) == 70_000
    assert struct.unpack_from("!H", answer, 6) == (70_000 & 0xFFFF,)


@pytest.mark.parametrize(
    "packet",
    [
        IP_HEADER + reply(echo_request(8, 1, 64)),  # of another prober
        IP_HEADER + echo_request(7, 1, 64),  # a request
        IP_HEADER + bytes(4),  # too short
    ],
)
def test_other_packets_are_not_taken_for_answers(packet: bytes) -> None:
    assert reply_number(packet, 7) is None
