"""Counters of interfaces over rtnetlink (RTM_GETSTATS): bytes in, values out. Pure.

RTM_GETLINK has the same counters among a kilobyte of other things for each interface; this asks for nothing
else, which matters where it is asked every few seconds and there are thousands of interfaces.
"""

from __future__ import annotations

import struct
from collections.abc import Container

from bgpsvc.fib.wire import NLM_F_DUMP, NetlinkDecodeError, attributes, request
from bgpsvc.measuring.rates import Counters

RTM_NEWSTATS, RTM_GETSTATS = 92, 94

_IF_STATS_MSG = struct.Struct("=BxxxII")  # family; ifindex, filter mask
_IFLA_STATS_LINK_64 = 1
_ONLY_LINK_64 = 1 << _IFLA_STATS_LINK_64 - 1
_LINK_STATS64 = struct.Struct("=4Q")  # the first of many: packets received, sent; bytes received, sent


def dump_counters(seq: int) -> bytes:
    """Ask for the counters of all interfaces."""
    return request(RTM_GETSTATS, NLM_F_DUMP, seq, _IF_STATS_MSG.pack(0, 0, _ONLY_LINK_64))


def decode_counters(payload: bytes, wanted: Container[int]) -> tuple[int, Counters] | None:
    """Payload of RTM_NEWSTATS: the interface's index and its counters; None if its index is not wanted.

    What an interface receives came out of its tunnel, what it sends goes into it. NetlinkDecodeError if the
    message is not what the kernel sends.
    """
    if len(payload) < _IF_STATS_MSG.size:
        raise NetlinkDecodeError(f"{len(payload)} bytes are too short for interface statistics")
    _, index, _ = _IF_STATS_MSG.unpack_from(payload)
    if index not in wanted:
        return None
    stats = attributes(payload, _IF_STATS_MSG.size).get(_IFLA_STATS_LINK_64, b"")
    if len(stats) < _LINK_STATS64.size:
        raise NetlinkDecodeError(f"statistics of interface {index} have {len(stats)} bytes")
    packets_in, packets_out, bytes_in, bytes_out = _LINK_STATS64.unpack_from(stats)
    return index, Counters(bytes_in, bytes_out, packets_in, packets_out)
