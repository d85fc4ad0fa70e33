"""A classic BPF program for the socket that hears notifications: drops in the kernel what Python
need not see, so that a million routes of our own cost nothing on the way back.

Dropped are messages that our own writers caused (`nlmsg_pid` is their port id), and routes that are
neither of our protocol nor in a table of ours (those of `ids.TABLES` are, others are named; if too many
are, all but the system's count as ours). A datagram of several messages is let through as it is
(rtnetlink sends one per datagram; a filter can judge the first only).

BPF loads are big-endian and netlink is in host order: constants are swapped where that differs.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable

from bgpsvc.fib.codec import RTA_TABLE, RTM_DELROUTE, RTM_NEWROUTE, RTMSG
from bgpsvc.fib.ops import PROTOCOL
from bgpsvc.fib.wire import ATTRIBUTE, HEADER
from bgpsvc.ids import TABLES

_INSTRUCTION = struct.Struct("=HBBI")  # code, jump if true, jump if false, operand

_LD_LEN, _LD_IMM, _LD_W, _LD_H, _LD_B, _LD_W_X = 0x80, 0x00, 0x20, 0x28, 0x30, 0x40
_LD_B_X = 0x50
_LDX_IMM, _TAX = 0x01, 0x07
_LSH, _OR_X, _AND = 0x64, 0x4C, 0x54
_JEQ, _JEQ_X = 0x15, 0x1D
_RET = 0x06
_NLATTR = 0xFFFFF000 + 12  # SKF_AD_OFF + SKF_AD_NLATTR: offset of the attribute of type X from A on
_ACCEPT, _DROP = 0xFFFFFFFF, 0
_NAMED = 250
"""Tables that a program tells apart: longer ones, while they are exchanged, are over the kernel's limit."""
_SYSTEM_TABLES = (254, 255)  # main, local: never a table of ours

_TYPE, _PID = 4, 12
_ROUTE_PROTOCOL = HEADER.size + 5


def _loaded(value: int, width: int) -> int:
    """What a BPF load makes of a number that lies in host order in the message."""
    return int.from_bytes(value.to_bytes(width, sys.byteorder), "big")


def program(writers: Iterable[int], tables: Iterable[int]) -> bytes:
    """Instructions (`struct sock_filter[]`) that drop changes by our writers' port ids and foreign routes."""
    low, high = (0, 1) if sys.byteorder == "little" else (3, 2)
    code = [
        (_LD_B, 0, 0, high),  # the lower half of nlmsg_len is enough: a longer datagram is let through
        (_LSH, 0, 0, 8),
        (_TAX, 0, 0, 0),
        (_LD_B, 0, 0, low),
        (_OR_X, 0, 0, 0),
        (_TAX, 0, 0, 0),
        (_LD_LEN, 0, 0, 0),
        (_JEQ_X, 1, 0, 0),
        (_RET, 0, 0, _ACCEPT),  # more than one message
        (_LD_W, 0, 0, _PID),
        *(code for w in writers for code in ((_JEQ, 0, 1, _loaded(w, 4)), (_RET, 0, 0, _DROP))),
        (_LD_H, 0, 0, _TYPE),
        (_JEQ, 2, 0, _loaded(RTM_NEWROUTE, 2)),
        (_JEQ, 1, 0, _loaded(RTM_DELROUTE, 2)),
        (_RET, 0, 0, _ACCEPT),
        (_LD_B, 0, 0, _ROUTE_PROTOCOL),
        (_JEQ, 0, 1, PROTOCOL),
        (_RET, 0, 0, _ACCEPT),
        (_LD_IMM, 0, 0, HEADER.size + RTMSG.size),
        (_LDX_IMM, 0, 0, RTA_TABLE),
        (_LD_W, 0, 0, _NLATTR),
        (_JEQ, 0, 1, 0),
        (_RET, 0, 0, _DROP),
        (_TAX, 0, 0, 0),
        # Tables of our own numbers, all at once: ids.TABLES is told by the highest four bits.
        (_LD_B_X, 0, 0, ATTRIBUTE.size + (3 if sys.byteorder == "little" else 0)),
        (_AND, 0, 0, 0xF0),
        (_JEQ, 0, 1, TABLES.start >> 24),
        (_RET, 0, 0, _ACCEPT),
        (_LD_W_X, 0, 0, ATTRIBUTE.size),
    ]
    named = set(tables)
    if len(named) <= _NAMED:
        judged, otherwise = [(_loaded(table, 4), _ACCEPT) for table in sorted(named)], _DROP
    else:
        judged, otherwise = [(_loaded(table, 4), _DROP) for table in _SYSTEM_TABLES], _ACCEPT
    for table, verdict in judged:
        code += [(_JEQ, 0, 1, table), (_RET, 0, 0, verdict)]
    code.append((_RET, 0, 0, otherwise))
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)
