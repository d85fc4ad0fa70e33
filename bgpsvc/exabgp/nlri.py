"""Families and prefixes as ExaBGP writes them, to ours."""

from __future__ import annotations

from collections.abc import Iterable
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

from bgpsvc.model import Family, Prefix

FAMILIES = {"ipv4 unicast": Family.IPV4, "ipv6 unicast": Family.IPV6}
_LENGTHS = {str(length): bytes((length,)) for length in range(129)}
_OCTET_MASKS = (0xFF, 0x80, 0xC0, 0xE0, 0xF0, 0xF8, 0xFC, 0xFE)


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
