"""ICMP echo (RFC 792): bytes in and out. Pure.

A raw socket hands over replies with their IPv4 header in front; requests are sent without one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

ECHO_REPLY, ECHO_REQUEST = 0, 8
_HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number
_IPV4_MINIMUM = 20


@dataclass(frozen=True, slots=True)
class Echo:
    """An echo request or reply. `payload` comes back as it was sent."""

    identifier: int
    sequence: int
    payload: bytes


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): 0 over data that contains its own."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def request(echo: Echo) -> bytes:
    """An echo request."""
    fields = (echo.identifier, echo.sequence)
    body = _HEADER.pack(ECHO_REQUEST, 0, 0, *fields) + echo.payload
    return _HEADER.pack(ECHO_REQUEST, 0, checksum(body), *fields) + echo.payload


def reply(packet: bytes) -> tuple[bytes, Echo] | None:
    """Source (4 bytes) and content of an echo reply with its IPv4 header; None if it is anything else."""
    if len(packet) < _IPV4_MINIMUM or packet[0] >> 4 != 4:
        return None
    length = (packet[0] & 0x0F) * 4
    message = packet[length:]
    if length < _IPV4_MINIMUM or len(message) < _HEADER.size or checksum(message):
        return None
    kind, code, _, identifier, sequence = _HEADER.unpack_from(message)
    if kind != ECHO_REPLY or code:
        return None
    return packet[12:16], Echo(identifier, sequence, message[_HEADER.size :])
