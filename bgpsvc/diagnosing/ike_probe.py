"""An IKE message that asks "is anybody there?", and its answer. Pure bytes.

It opens a negotiation (IKE_SA_INIT, RFC 7296 1.2; main mode, RFC 2409 5) with one proposal that nobody can
accept, as its encryption algorithm is from the range for private use. So the peer refuses with
NO_PROPOSAL_CHOSEN and keeps no state: half-open SAs count against those that the real negotiation needs. Any
IKE message with our SPI (cookie) is an answer.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

HEADER = struct.Struct("!8s8sBBBBII")
"""SPIs, next payload, version, exchange type, flags, message id, length (RFC 7296 3.1, RFC 2408 3.1)."""
NON_ESP_MARKER = b"\0\0\0\0"
"""Before IKE on UDP 4500 (RFC 3948 2.2)."""
_PRIVATE_V2, _PRIVATE_V1 = 1024, 65001
_MODP2048, _MODP2048_BYTES = 14, 256
_SHA256_V1, _PSK_V1 = 4, 1
NOTIFICATIONS = {
    1: "UNSUPPORTED_CRITICAL_PAYLOAD",
    4: "INVALID_IKE_SPI",
    5: "INVALID_MAJOR_VERSION",
    7: "INVALID_SYNTAX",
    14: "NO_PROPOSAL_CHOSEN",
    17: "INVALID_KE_PAYLOAD",
    24: "AUTHENTICATION_FAILED",
    16390: "COOKIE",
}


@dataclass(frozen=True, slots=True)
class IkeAnswer:
    """An answer to the probe: the version of IKE that it has, and in words what it says."""

    version: int
    text: str


def ikev2(spi: bytes, random: bytes) -> bytes:
    """IKE_SA_INIT. `spi`: 8 bytes; `random`: 288 for the key exchange and the nonce."""
    chain = [
        transform(1, _PRIVATE_V2, struct.pack("!HH", 0x8000 | 14, 256)),
        transform(2, 5),  # PRF_HMAC_SHA2_256
        transform(3, 12),  # AUTH_HMAC_SHA2_256_128
    ]
    transforms = b"".join(b"\x03" + one[1:] for one in chain) + transform(4, _MODP2048)
    proposal = struct.pack("!BBHBBBB", 0, 0, 8 + len(transforms), 1, 1, 0, 4) + transforms
    # The first byte keeps the public value below the prime, which begins with 0xff.
    key = struct.pack("!HH", _MODP2048, 0) + b"\x01" + random[1:_MODP2048_BYTES]
    nonce = random[_MODP2048_BYTES : _MODP2048_BYTES + 32]
    return with_header(spi, 0x20, 34, 0x08, [(33, proposal), (34, key), (40, nonce)])


def ikev1(cookie: bytes) -> bytes:
    """The first message of main mode. `cookie`: 8 bytes."""
    values = ((1, _PRIVATE_V1), (2, _SHA256_V1), (3, _PSK_V1), (4, _MODP2048), (11, 1), (12, 28800))
    attributes = b"".join(struct.pack("!HH", 0x8000 | kind, value) for kind, value in values)
    only = struct.pack("!BBHBBH", 0, 0, 8 + len(attributes), 1, 1, 0) + attributes
    proposal = struct.pack("!BBHBBBB", 0, 0, 8 + len(only), 1, 1, 0, 1) + only
    # DOI IPsec, SIT_IDENTITY_ONLY
    return with_header(cookie, 0x10, 2, 0, [(1, struct.pack("!II", 1, 1) + proposal)])


def transform(kind: int, ident: int, attributes: bytes = b"") -> bytes:
    """A transform of IKEv2 (RFC 7296 3.3.2), as the last of its proposal; 3 in its first byte: more
    follow."""
    return struct.pack("!BBHBBH", 0, 0, 8 + len(attributes), kind, 0, ident) + attributes


def with_header(
    spi: bytes, version: int, exchange: int, flags: int, payloads: Sequence[tuple[int, bytes]]
) -> bytes:
    """A message with these payloads, by kind."""
    following = [kind for kind, _ in payloads[1:]] + [0]
    body = b"".join(
        struct.pack("!BBH", after, 0, 4 + len(content)) + content
        for after, (_, content) in zip(following, payloads, strict=True)
    )
    length = HEADER.size + len(body)
    return HEADER.pack(spi, b"\0" * 8, payloads[0][0], version, exchange, flags, 0, length) + body


def read(packet: bytes, spi: bytes) -> IkeAnswer | None:
    """The answer in a packet (without a non-ESP marker); None if it is no IKE message for our SPI."""
    if len(packet) < HEADER.size:
        return None
    initiator, _, following, version, exchange, _, _, length = HEADER.unpack_from(packet)
    if initiator != spi or length != len(packet):
        return None
    return IkeAnswer(version >> 4, _words(packet, following, version >> 4, exchange))


def _words(packet: bytes, following: int, version: int, exchange: int) -> str:
    notify = _notification(packet, following, version)
    if notify is not None:
        return NOTIFICATIONS.get(notify, f"notification {notify}")
    return "an answer" if exchange in (2, 34) else f"exchange type {exchange}"


def _notification(packet: bytes, following: int, version: int) -> int | None:
    """Type of the first Notify payload (RFC 7296 3.10, RFC 2408 3.14)."""
    wanted, skip = (41, 2) if version == 2 else (11, 6)
    offset = HEADER.size
    while following and offset + 4 <= len(packet):
        next_following, _, size = struct.unpack_from("!BBH", packet, offset)
        if size < 4:
            return None
        if following == wanted and offset + 4 + skip + 2 <= len(packet):
            return int.from_bytes(packet[offset + 4 + skip : offset + 6 + skip], "big")
        following, offset = next_following, offset + size
    return None
