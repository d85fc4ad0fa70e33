"""The last day of one tunnel in memory of a fixed size. Pure.

Three rings, each of intervals of one length. The finest takes what is measured; an interval of a coarser one
is consolidated from those of the finest when the next one begins, or when somebody asks for it while it is
not over. Intervals are numbered from the epoch, so that rings of all tunnels agree on where they begin.

What is not known is NaN, in every column and also before the first row: a ring is as large on its first
second as on its last day. Numbers are single precision: counts are exact up to 16 million, rates to seven
digits.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import NamedTuple

from bgpsvc.views import HistoryWindow


class Row(NamedTuple):
    """One interval of one tunnel; NaN: not known. Rates per second, shares of the interval from 0 to 1."""

    bytes_in: float = nan
    bytes_out: float = nan
    packets_in: float = nan
    packets_out: float = nan
    carrying: float = nan
    session_up: float = nan
    prefixes_received: float = nan
    prefixes_accepted: float = nan
    prefixes_advertised: float = nan


UNKNOWN = Row()
WIDTH = len(UNKNOWN)
_AVERAGED = Row._fields.index("prefixes_received")
"""Columns before this are averaged when intervals are put together; of the others the last value counts."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """A ring's shape: the length of its intervals in seconds, and how many of them it holds."""

    interval: int
    count: int


RESOLUTIONS: dict[HistoryWindow, Resolution] = {
    "15m": Resolution(5, 180),
    "1h": Resolution(20, 180),
    "24h": Resolution(300, 288),
}
"""By the window that they show. An interval is a whole number of the finest, which reaches back that far."""

SHAPES = tuple(RESOLUTIONS.values())
FINEST = SHAPES[0].interval
_COARSER = tuple((level, shape.interval // FINEST) for level, shape in enumerate(SHAPES) if level)
"""Rings but the finest, and how many of its intervals make one of theirs."""
BYTES_PER_TUNNEL = sum(shape.count for shape in SHAPES) * WIDTH * array("f").itemsize
"""What the rings of a tunnel take: 23,328 bytes, so 1,000 connections (2,000 tunnels) take 47 MB."""


class Ring:
    """Rows of the last `count` intervals up to number `last`."""

    def __init__(self, count: int) -> None:
        self.last: int | None = None
        self._count = count
        self._cells = array("f", [nan]) * (count * WIDTH)

    def put(self, interval: int, row: Sequence[float]) -> None:
        """The row of an interval behind `last`, else ValueError. Those between are not known."""
        if self.last is not None and interval <= self.last:
            raise ValueError(f"interval {interval} is not behind {self.last}")
        if self.last is not None:
            for skipped in range(max(self.last + 1, interval - self._count + 1), interval):
                self._write(skipped, UNKNOWN)
        self._write(interval, row)
        self.last = interval

    def _write(self, interval: int, row: Sequence[float]) -> None:
        begin = interval % self._count * WIDTH
        self._cells[begin : begin + WIDTH] = array("f", row)

    def row(self, interval: int) -> Sequence[float]:
        """The row of an interval, UNKNOWN outside of what is held."""
        if self.last is None or not self.last - self._count < interval <= self.last:
            return UNKNOWN
        begin = interval % self._count * WIDTH
        return self._cells[begin : begin + WIDTH]

    def rows(self, first: int, count: int) -> list[Sequence[float]]:
        """The rows of `count` intervals from `first` on."""
        return [self.row(interval) for interval in range(first, first + count)]


def consolidate(rows: Sequence[Sequence[float]]) -> Sequence[float]:
    """One row for intervals of equal length in a row: averages, and the last prefixes, of what is known."""
    made = []
    for column, values in enumerate(zip(*rows, strict=True)):
        known = [value for value in values if not isnan(value)]
        if not known:
            made.append(nan)
        elif column < _AVERAGED:
            made.append(sum(known) / len(known))
        else:
            made.append(known[-1])
    return made


class Record:
    """The rings of one tunnel."""

    def __init__(self) -> None:
        self._rings = tuple(Ring(shape.count) for shape in SHAPES)

    def put(self, interval: int, row: Row) -> None:
        """The row of an interval of the finest ring. ValueError if it is not behind the one before."""
        last = self._rings[0].last
        for level, factor in _COARSER:
            if last is not None and interval // factor > last // factor:
                over = last // factor
                self._rings[level].put(over, self._made(factor, over))
        self._rings[0].put(interval, row)

    def _made(self, factor: int, interval: int) -> Sequence[float]:
        """An interval of a coarser ring, of those of the finest: it reaches back that far."""
        return consolidate(self._rings[0].rows(interval * factor, factor))

    def rows(self, window: HistoryWindow, last: int) -> list[Sequence[float]]:
        """The rows of a window, oldest first; `last` is the number of its last interval at the finest."""
        shape = RESOLUTIONS[window]
        factor, ring = shape.interval // FINEST, self._rings[SHAPES.index(shape)]
        end = last // factor
        rows = ring.rows(end - shape.count + 1, shape.count)
        fine = self._rings[0].last
        if factor > 1 and fine is not None and 0 <= end - fine // factor < shape.count:
            rows[fine // factor - end - 1] = self._made(factor, fine // factor)  # it is not over
        return rows
