"""A classic BPF program for a BFD receiver: drops in the kernel what comes from anybody but the peers.

The receivers' ports are open on every address of the machine, and who reads them has real-time priority: a
flood must not cost its time. It is not for authenticity: a source address is easily forged.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable

MOST_PEERS = 1000
"""Of more, the program would be longer than the kernel's memory for a socket's options allows by default."""

_INSTRUCTION = struct.Struct("=HBBI")  # code, jump if true, jump if false, operand
INSTRUCTION_BYTES = _INSTRUCTION.size
_LD_W, _TAX, _MUL, _XOR_X, _JEQ, _RET = 0x20, 0x07, 0x24, 0xAC, 0x15, 0x06
_FACTOR = 0x9E3779B1  # odd, its bits spread
_SOURCE4, _SOURCE6 = 12, 8
_ACCEPT, _DROP = 0xFFFFFFFF, 0
_IP_HEADER = 0xFFF00000
"""SKF_NET_OFF: what follows is an offset in the IP header."""


def program(six: bool, peers: Iterable[str]) -> bytes | None:
    """Instructions (`struct sock_filter[]`) that let pass what these addresses send; None for too many.

    Of IPv6 addresses a hash of their four words is compared, which is enough here.
    """
    hashes = sorted({_hashed(peer) for peer in peers})
    if len(hashes) > MOST_PEERS:
        return None
    # Both headers keep the source in network order, as BPF loads it.
    code = [(_LD_W, 0, 0, _IP_HEADER + (_SOURCE6 if six else _SOURCE4))]
    for word in range(1, 4 if six else 1):
        code += [(_MUL, 0, 0, _FACTOR), (_TAX, 0, 0, 0)]
        code += [(_LD_W, 0, 0, _IP_HEADER + _SOURCE6 + 4 * word), (_XOR_X, 0, 0, 0)]
    for value in hashes:
        code += [(_JEQ, 0, 1, value), (_RET, 0, 0, _ACCEPT)]
    code.append((_RET, 0, 0, _DROP))
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)


def _hashed(address: str) -> int:
    packed = ipaddress.ip_address(address).packed
    value = 0
    for at in range(0, len(packed), 4):
        value = value * _FACTOR & 0xFFFFFFFF ^ int.from_bytes(packed[at : at + 4], "big")
    return value
