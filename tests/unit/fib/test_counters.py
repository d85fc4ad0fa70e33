"""Counters of interfaces: bytes of the kernel to numbers."""

from __future__ import annotations

import struct

import pytest

from bgpsvc.fib.counters import decode_counters, dump_counters
from bgpsvc.fib.wire import NetlinkDecodeError, attribute
from bgpsvc.measuring.rates import Counters

WANTED = frozenset({7})
STATS = struct.pack("=25Q", 10, 20, 3000, 4000, *[99] * 21)  # rx packets, tx packets, rx bytes, tx bytes, …


def payload(index: int = 7, stats: bytes = STATS) -> bytes:
    # As 6.x sends it: an empty attribute 0 aligns the numbers to eight bytes.
    return struct.pack("=BxxxII", 0, index, 1) + attribute(0, b"") + attribute(1, stats)


def test_what_is_received_comes_out_of_the_tunnel() -> None:
    assert decode_counters(payload(), WANTED) == (7, Counters(3000, 4000, 10, 20))


def test_other_interfaces_are_left_out() -> None:
    assert decode_counters(payload(index=8), WANTED) is None


@pytest.mark.parametrize("damaged", [b"", payload()[:11], payload(stats=STATS[:24]), payload()[:20]])
def test_what_is_no_statistics_is_refused(damaged: bytes) -> None:
    with pytest.raises(NetlinkDecodeError):
        decode_counters(damaged, WANTED)


def test_the_request_asks_for_nothing_else() -> None:
    length, kind, flags, seq, _ = struct.unpack_from("=IHHII", dump_counters(5))
    assert (length, kind, flags, seq) == (28, 94, 0x301, 5)
    assert struct.unpack_from("=BxxxII", dump_counters(5), 16) == (0, 0, 1)
