"""What the path's MTU leaves for packets in a tunnel: ESP in tunnel mode over IPv4 (RFC 4303 2).

    IPv4 20 | UDP 8 (RFC 3948, if encapsulated) | SPI 4 | sequence 4 | IV | packet, padding, 2 | ICV

Packet, padding, pad length and next header together fill whole blocks of the cipher (RFC 4303 2.4).
"""

from __future__ import annotations

from bgpsvc.resources.models import IpsecSettings

_IPV4, _UDP, _ESP, _TRAILER = 20, 8, 8, 2
_BLOCKS = {"aes": 16, "aes192": 16, "aes256": 16, "des": 8, "3des": 8}
"""Block size of CBC in bytes; the IV is one block (RFC 3602 3, RFC 2451 3)."""
_ICVS = {"md5": 12, "sha1": 12, "sha256": 16, "sha384": 24, "sha512": 32}
"""Integrity check value in bytes (RFC 2403, 2404, 4868)."""


def tunnel_mtu(path_mtu: int, ipsec: IpsecSettings, encapsulated: bool) -> int:
    """The largest packet, in bytes, that fits unfragmented; `encapsulated`: ESP in UDP.

    ValueError if nothing fits.
    """
    block = _BLOCKS[ipsec.encryption]
    header = _IPV4 + _ESP + block + (_UDP if encapsulated else 0)
    room = path_mtu - header - _ICVS[ipsec.authentication]
    mtu = room - room % block - _TRAILER
    if mtu <= 0:
        raise ValueError(f"a path MTU of {path_mtu} bytes leaves no room for ESP")
    return mtu


def esp_size(packet: int, ipsec: IpsecSettings, encapsulated: bool) -> int:
    """Length in bytes of the outer IPv4 packet that carries an inner one of `packet` bytes."""
    block = _BLOCKS[ipsec.encryption]
    payload = -(-(packet + _TRAILER) // block) * block
    header = _IPV4 + _ESP + block + (_UDP if encapsulated else 0)
    return header + payload + _ICVS[ipsec.authentication]
