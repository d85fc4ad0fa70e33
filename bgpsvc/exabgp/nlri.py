"""Prefixes as ExaBGP writes them, and as they are on the wire, to ours.

On the wire a prefix is its length in bits and as few octets as hold them (RFC 4271 4.3). Tables have
hundreds in each UPDATE, so they are checked and taken apart together: prefixes of as many octets lie at
a fixed distance from each other, and slices with a stride move one octet of all of them at once.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from functools import cache
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

from bgpsvc.model import Family, Prefix

FAMILIES = {"ipv4 unicast": Family.IPV4, "ipv6 unicast": Family.IPV6}
_LENGTHS = {str(length): bytes((length,)) for length in range(129)}
_OCTET_MASKS = (0xFF, 0x80, 0xC0, 0xE0, 0xF0, 0xF8, 0xFC, 0xFE)
_SIZE = {Family.IPV4: 4, Family.IPV6: 16}
# The lengths in bits whose prefixes take a number of octets, and the mask of the last one of them.
_OF_OCTETS = [bytes(range(max(0, 8 * octets - 7), 8 * octets + 1)) for octets in range(17)]
_FEW = 8
_LAST_MASK = bytes(_OCTET_MASKS[length % 8] for length in range(256))


def known_families(texts: Iterable[str]) -> tuple[Family, ...]:
    """Those of the families, as ExaBGP names them, that are ours; in the same order."""
    return tuple(FAMILIES[text] for text in texts if text in FAMILIES)


def packed_prefixes(family: str, texts: list[Any]) -> tuple[Prefix, ...]:
    """NLRI texts (ExaBGP's compact form) to packed prefixes; none if the family isn't one of ours."""
    known = FAMILIES.get(family)
    if known is None:
        return ()
    kind = AF_INET if known is Family.IPV4 else AF_INET6
    lengths, pack, found = _LENGTHS, inet_pton, []
    for text in texts:
        address, _, length = text.partition("/")
        found.append(pack(kind, address) + lengths[length])
    return tuple(map(_clear_host_bits, found))  # type: ignore[arg-type]


def _clear_host_bits(prefix: Prefix) -> Prefix:
    """RFC 4271 4.3: the bits behind the prefix's length have no meaning, and peers may set them."""
    length = prefix[-1]
    if length % 8 == 0 or not prefix[length // 8] & ~_OCTET_MASKS[length % 8] & 0xFF:
        return prefix
    return Prefix(
        prefix[: length // 8]
        + bytes((prefix[length // 8] & _OCTET_MASKS[length % 8],))
        + prefix[length // 8 + 1 :]
    )


def well_formed(data: bytes, family: Family) -> bool:
    """True if `data` is nothing but whole prefixes with lengths that the family has."""
    return not data or _uniform(data, _SIZE[family]) or _runs(family).fullmatch(data) is not None


def unpack_prefixes(data: bytes, family: Family) -> tuple[Prefix, ...]:
    """The prefixes of well-formed NLRI, host bits cleared; not necessarily in the same order.

    ValueError if they are not well formed.
    """
    size = _SIZE[family]
    if not data:
        return ()
    if _uniform(data, size):
        return _spread(data, (data[0] + 7) // 8, size)
    if _runs(family).fullmatch(data) is None:
        raise ValueError(f"{data[:40]!r} is no NLRI of {family.label}")
    by_octets: dict[int, list[bytes]] = {}
    for run in _run(family).findall(data):
        by_octets.setdefault((run[0] + 7) // 8, []).append(run)
    found: list[Prefix] = []
    for octets, runs in by_octets.items():
        found += _spread(b"".join(runs), octets, size)
    return tuple(found)


def _uniform(data: bytes, size: int) -> bool:
    """True if all prefixes take as many octets as the first one, and it is one of the family's."""
    octets = (data[0] + 7) // 8
    stride = octets + 1
    return (
        octets <= size and len(data) % stride == 0 and not data[::stride].translate(None, _OF_OCTETS[octets])
    )


def _spread(data: bytes, octets: int, size: int) -> tuple[Prefix, ...]:
    """Prefixes that take the same number of octets on the wire, in the family's `size` plus one."""
    count = len(data) // (octets + 1)
    if count <= _FEW:
        return _one_by_one(data, octets, size)
    lengths = data[:: octets + 1]
    spread = bytearray(count * (size + 1))
    for octet in range(octets):
        spread[octet :: size + 1] = data[octet + 1 :: octets + 1]
    if octets:
        last = int.from_bytes(data[octets :: octets + 1], "big")
        mask = int.from_bytes(lengths.translate(_LAST_MASK), "big")
        spread[octets - 1 :: size + 1] = (last & mask).to_bytes(count, "big")
    spread[size :: size + 1] = lengths
    return struct.unpack(f"{size + 1}s" * count, spread)


def _one_by_one(data: bytes, octets: int, size: int) -> tuple[Prefix, ...]:
    """The same for a few of them."""
    padding, stride = bytes(size - octets), octets + 1
    found = [data[at + 1 : at + stride] + padding + data[at : at + 1] for at in range(0, len(data), stride)]
    if data[::stride].count(8 * octets) == len(found):
        return tuple(found)  # type: ignore[arg-type]
    return tuple(map(_clear_host_bits, found))  # type: ignore[arg-type]


@cache
def _run(family: Family) -> re.Pattern[bytes]:
    """Consecutive prefixes that take the same number of octets. The frequent numbers come first."""
    frequent = (3, 4, 2) if family is Family.IPV4 else (6, 4, 5, 8, 16, 7)
    numbers = [*frequent, *(octets for octets in range(_SIZE[family] + 1) if octets not in frequent)]
    return re.compile(b"|".join(_one_run(octets) for octets in numbers), re.DOTALL)


def _one_run(octets: int) -> bytes:
    lengths = _OF_OCTETS[octets]
    return b"(?:[\\x%02x-\\x%02x].{%d})++" % (lengths[0], lengths[-1], octets)


@cache
def _runs(family: Family) -> re.Pattern[bytes]:
    return re.compile(b"(?:" + _run(family).pattern + b")*+", re.DOTALL)
