"""What would the peer accept? IKE messages that offer everything, and what is chosen of it. Pure bytes.

A peer that refuses our proposal does not say what it wants (NO_PROPOSAL_CHOSEN). Offered every algorithm it
chooses, and that names its side of the mismatch; offered the other version of IKE too, it shows that it
speaks that; and one that refuses everything has nothing configured for our address. Unlike `ike_probe` this
leaves a half-open SA at the peer for its time-out, so it is asked seldom, and only when a negotiation failed
in this way.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bgpsvc.diagnosing.ike_probe import HEADER, transform, with_header

KEY_BYTES = {14: 256, 5: 192, 2: 128, 1: 96, 15: 384, 16: 512, 31: 32}
"""Diffie-Hellman groups that are offered, and the size of a public value (RFC 7296 3.4, RFC 3526, RFC
8031)."""
_GROUPS = {number: f"group{number}" for number in (*KEY_BYTES, 19, 20, 21)}
_AES, _AES_GCM, _3DES, _DES = 12, 20, 3, 2
_KEY_LENGTH = 14
_INTEGRITY = {12: "sha256", 2: "sha1", 14: "sha512", 13: "sha384", 1: "md5"}
_PRFS = {5: "sha256", 2: "sha1", 7: "sha512", 6: "sha384", 1: "md5"}
_HASHES_V1 = {4: "sha256", 2: "sha1", 1: "md5"}
_GROUPS_V1 = (14, 5, 2)
_CIPHERS_V1 = ((7, 256), (7, 192), (7, 128), (5, None))
_SA_V2, _SA_V1 = 33, 1
_NOTIFY_V2 = 41
_INVALID_KE, _COOKIE = (17).to_bytes(2, "big"), (16390).to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Choice:
    """What came back: the algorithms that the peer chose, in our words; or the group it wants the key for; or
    the cookie that it wants back before it looks at a proposal, as one under load does (RFC 7296 2.6)."""

    algorithms: str | None = None
    group: int | None = None
    cookie: bytes = b""


def ikev2(spi: bytes, group: int, random: bytes, cookie: bytes = b"") -> bytes:
    """IKE_SA_INIT with everything, and a key for `group`. `random`: 32 bytes more than its public value. With
    the peer's cookie all else has to be as in the first message."""
    groups = [transform(4, number) for number in KEY_BYTES]
    prfs = [transform(2, number) for number in _PRFS]
    ciphers = [transform(1, _AES, _key_length(bits)) for bits in (256, 192, 128)]
    ciphers += [transform(1, _3DES), transform(1, _DES)]
    combined = [transform(1, _AES_GCM, _key_length(bits)) for bits in (256, 128)]
    integrity = [transform(3, number) for number in _INTEGRITY]
    proposals = _proposal(1, 2, [*ciphers, *prfs, *integrity, *groups])
    proposals += _proposal(2, 0, [*combined, *prfs, *groups])
    size = KEY_BYTES[group]
    key = struct.pack("!HH", group, 0) + b"\x01" + random[1:size]
    payloads = [(33, proposals), (34, key), (40, random[size : size + 32])]
    if cookie:
        payloads.insert(0, (_NOTIFY_V2, b"\0\0" + _COOKIE + cookie))
    return with_header(spi, 0x20, 34, 0x08, payloads)


def _key_length(bits: int) -> bytes:
    return struct.pack("!HH", 0x8000 | _KEY_LENGTH, bits)


def _proposal(number: int, more: int, transforms: list[bytes]) -> bytes:
    chained = b"".join(b"\x03" + one[1:] for one in transforms[:-1]) + transforms[-1]
    return struct.pack("!BBHBBBB", more, 0, 8 + len(chained), number, 1, 0, len(transforms)) + chained


def ikev1(cookie: bytes) -> bytes:
    """The first message of main mode with what the clouds offer, in one packet that needs no fragments."""
    transforms = []
    for number, (cipher, bits, hashed, group) in enumerate(_combinations(), start=1):
        values = [(1, cipher), (2, hashed), (3, 1), (4, group), (11, 1), (12, 28800)]
        values += [] if bits is None else [(_KEY_LENGTH, bits)]
        attributes = b"".join(struct.pack("!HH", 0x8000 | kind, value) for kind, value in values)
        transforms.append(struct.pack("!BBHBBH", 0, 0, 8 + len(attributes), number, 1, 0) + attributes)
    sa = struct.pack("!II", 1, 1) + _proposal(1, 0, transforms)
    return with_header(cookie, 0x10, 2, 0, [(1, sa)])


def _combinations() -> Iterator[tuple[int, int | None, int, int]]:
    for cipher, bits in _CIPHERS_V1:
        for hashed in _HASHES_V1:
            for group in _GROUPS_V1:
                yield cipher, bits, hashed, group


def read(packet: bytes, spi: bytes) -> Choice | None:
    """The choice in a packet; an empty one if it refuses. None if it is no IKE message for our SPI."""
    if len(packet) < HEADER.size:
        return None
    initiator, _, following, version, _, _, _, length = HEADER.unpack_from(packet)
    if initiator != spi or length != len(packet):
        return None
    for kind, content in _payloads(packet, following):
        if version >> 4 == 2 and kind == _SA_V2:
            return Choice(_chosen_v2(content))
        if version >> 4 == 1 and kind == _SA_V1:
            return Choice(_chosen_v1(content))
        if version >> 4 == 2 and kind == _NOTIFY_V2 and content[2:4] == _INVALID_KE:
            return Choice(group=int.from_bytes(content[4:6], "big"))
        if version >> 4 == 2 and kind == _NOTIFY_V2 and content[2:4] == _COOKIE:
            return Choice(cookie=content[4:])
    return Choice()


def _payloads(packet: bytes, following: int) -> Iterator[tuple[int, bytes]]:
    offset = HEADER.size
    while following and offset + 4 <= len(packet):
        next_following, _, size = struct.unpack_from("!BBH", packet, offset)
        if size < 4:
            return
        yield following, packet[offset + 4 : offset + size]
        following, offset = next_following, offset + size


def _transforms(proposal: bytes) -> Iterator[tuple[int, int, bytes]]:
    """First number, second number, attributes of the transforms of the first proposal."""
    if len(proposal) < 8:
        return
    offset, end = 8 + proposal[6], int.from_bytes(proposal[2:4], "big")
    while offset + 8 <= min(end, len(proposal)):
        _, _, size, first, _, second = struct.unpack_from("!BBHBBH", proposal, offset)
        if size < 8:
            return
        yield first, second, proposal[offset + 8 : offset + size]
        offset += size


def _attributes(text: bytes) -> dict[int, int]:
    """Short attributes by kind; the long ones are of no interest here."""
    found = {}
    for offset in range(0, len(text) - 3, 4):
        kind, value = struct.unpack_from("!HH", text, offset)
        if not kind & 0x8000:
            break
        found[kind & 0x7FFF] = value
    return found


def _chosen_v2(sa: bytes) -> str:
    words: dict[int, str] = {}
    for kind, number, attributes in _transforms(sa):
        if kind == 1:
            bits = _attributes(attributes).get(_KEY_LENGTH)
            words[1] = _cipher({_AES: "aes", _AES_GCM: "aesgcm", _3DES: "3des", _DES: "des"}, number, bits)
        elif kind == 3:
            words[2] = _INTEGRITY.get(number, f"integrity {number}")
        elif kind == 2:
            words.setdefault(3, _PRFS.get(number, f"prf {number}"))
        elif kind == 4:
            words[4] = _GROUPS.get(number, f"group{number}")
    if 2 in words:
        words.pop(3, None)  # it follows from the integrity algorithm
    return "-".join(words[key] for key in sorted(words))


def _chosen_v1(sa: bytes) -> str:
    for _, _, attributes in _transforms(sa[8:]):
        found = _attributes(attributes)
        cipher = _cipher({7: "aes", 5: "3des", 1: "des"}, found.get(1, 0), found.get(_KEY_LENGTH))
        hashed = _HASHES_V1.get(found.get(2, 0), f"hash {found.get(2)}")
        return f"{cipher}-{hashed}-group{found.get(4)}"
    return ""


def _cipher(names: dict[int, str], number: int, bits: int | None) -> str:
    return f"{names.get(number, f'cipher {number}')}{bits or ''}"
