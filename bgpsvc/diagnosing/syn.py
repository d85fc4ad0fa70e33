"""A TCP SYN by hand (RFC 9293 3.1), with an MD5 signature where wanted (RFC 2385), and its answer. Pure
bytes.

Without a socket behind it the own kernel answers a SYN-ACK with a reset, so the peer's BGP never hears of the
connection: unlike one that is made and closed, it counts nowhere as a failed session. It answers none that is
signed, as it has no key: there the reset is made by hand too, else the peer would hold the half-open
connection, of which a listener has few, for a minute.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, replace
from typing import Literal

from bgpsvc.health.icmp import checksum

_HEADER = struct.Struct("!HHIIBBHHH")
_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10
_MSS = struct.pack("!BBH", 2, 4, 536)
_NO_OPERATION = 1
_MD5_KIND, _MD5_LENGTH = 19, 18
_WINDOW = 1024
_TCP = 6


@dataclass(frozen=True, slots=True)
class Syn:
    """Where it goes; addresses packed (4 bytes)."""

    source: bytes
    destination: bytes
    source_port: int
    port: int
    sequence: int


def encode(syn: Syn, key: bytes | None = None) -> bytes:
    """The segment without IP header; signed with a key if there is one."""
    return _segment(syn, _SYN, _MSS, key)


def reset(syn: Syn, key: bytes | None = None) -> bytes:
    """The segment that takes an answered SYN back."""
    return _segment(replace(syn, sequence=(syn.sequence + 1) & 0xFFFFFFFF), _RST, b"", key)


def _segment(syn: Syn, flags: int, options: bytes, key: bytes | None) -> bytes:
    if key is not None:
        options += bytes((_NO_OPERATION, _NO_OPERATION, _MD5_KIND, _MD5_LENGTH)) + bytes(16)
    header = _header(syn, flags, len(options), 0)
    length = len(header) + len(options)
    pseudo = syn.source + syn.destination + struct.pack("!BBH", 0, _TCP, length)
    if key is not None:
        digest = hashlib.md5(pseudo + header + key, usedforsecurity=False).digest()
        options = options[:-16] + digest
    return _header(syn, flags, len(options), checksum(pseudo + header + options)) + options


def _header(syn: Syn, flags: int, options: int, check: int) -> bytes:
    offset = (_HEADER.size + options) // 4 << 4
    return _HEADER.pack(syn.source_port, syn.port, syn.sequence, 0, offset, flags, _WINDOW, check, 0)


@dataclass(frozen=True, slots=True)
class SynAnswer:
    """A SYN-ACK (`open`) or a reset (`refused`), and the TTL it came with."""

    answer: Literal["open", "refused"]
    ttl: int


def read(packet: bytes, syn: Syn) -> SynAnswer | None:
    """The answer in an IPv4 packet; None if it is none to this SYN."""
    if len(packet) < 20 or packet[0] >> 4 != 4:
        return None
    length = (packet[0] & 15) * 4
    if length < 20 or len(packet) < length + _HEADER.size:
        return None
    port, ours, _, acknowledged, _, flags, _, _, _ = _HEADER.unpack_from(packet, length)
    if packet[12:16] != syn.destination or (port, ours) != (syn.port, syn.source_port):
        return None
    if not flags & _ACK or acknowledged != (syn.sequence + 1) & 0xFFFFFFFF:
        return None
    if flags & _RST:
        return SynAnswer("refused", packet[8])
    return SynAnswer("open", packet[8]) if flags & _SYN else None


def signature(packet: bytes) -> bytes | None:
    """The MD5 signature of a segment in an IPv4 packet (RFC 2385 2.0); None if it has none."""
    start = (packet[0] & 15) * 4
    end = start + (packet[start + 12] >> 4) * 4
    at = start + _HEADER.size
    while at + 1 < min(end, len(packet)):
        kind, length = packet[at], packet[at + 1]
        if kind == _NO_OPERATION:
            at += 1
        elif kind == _MD5_KIND and length == _MD5_LENGTH:
            return packet[at + 2 : at + length]
        elif kind == 0 or length < 2:
            return None
        else:
            at += length
    return None


def signed_with(packet: bytes, key: bytes) -> bool:
    """The segment of an IPv4 packet is signed, and with this key."""
    start = (packet[0] & 15) * 4
    length = len(packet) - start
    offset = (packet[start + 12] >> 4) * 4
    header = packet[start : start + 16] + b"\0\0" + packet[start + 18 : start + 20]
    pseudo = packet[12:20] + struct.pack("!BBH", 0, _TCP, length)
    digest = hashlib.md5(pseudo + header + packet[start + offset :] + key, usedforsecurity=False)
    return signature(packet) == digest.digest()
